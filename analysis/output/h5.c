/* output_h5 - frontier.h5: the same numbers as the CSV files, as labelled arrays. */
#include "output.h"

#include "base/file.h"
#include "store/frontier_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Strings and arrays made for the file, all freed with the arena. */
struct build {
    const struct sg_analysis *a;
    struct sg_arena arena;
    struct sg_frontier_axis axis[16];
    struct sg_frontier_var var[96];
    int32_t n_axes, n_vars;
    double *vertex[2][2]; /* [predicted, true][cost, accuracy] */
    int64_t *steps[2];
};

static enum sg_status room(struct build *b, int64_t n, size_t size, void **out, struct sg_err *err) {
    size_t bytes = 0;
    if (!sg_mul_size((size_t)n, size, &bytes))
        return sg_fail(err, SG_E_NOMEM, "frontier.h5: too many numbers");
    return sg_arena_get(&b->arena, bytes ? bytes : 1, out, err);
}

static void axis(struct build *b, struct sg_frontier_axis x) {
    SG_ASSERT(b->n_axes < (int32_t)(sizeof b->axis / sizeof *b->axis));
    b->axis[b->n_axes++] = x;
}

static void var(struct build *b, struct sg_frontier_var x) {
    SG_ASSERT(b->n_vars < (int32_t)(sizeof b->var / sizeof *b->var));
    b->var[b->n_vars++] = x;
}

static enum sg_status curves(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = b->a;
    const int32_t n = a->opt.n_grid;
    char **name = NULL, **meaning = NULL;
    double *x[6];
    static const char *const names[6] = {"accuracy", "accuracy_low", "accuracy_high",
                                         "cost",     "cost_low",     "cost_high"};
    static const char *const said[6] = {"mean accuracy within the budget",
                                        "lower end of the 95 % bootstrap interval of accuracy",
                                        "upper end of the 95 % bootstrap interval of accuracy",
                                        "mean cost truly paid (the budget itself for frontiers)",
                                        "lower end of the 95 % bootstrap interval of cost",
                                        "upper end of the 95 % bootstrap interval of cost"};
    SG_TRY(room(b, SG_CURVES, sizeof *name, (void **)&name, err));
    SG_TRY(room(b, SG_CURVES, sizeof *meaning, (void **)&meaning, err));
    for (int k = 0; k < 6; k++) SG_TRY(room(b, (int64_t)SG_CURVES * n, sizeof(double), (void **)&x[k], err));
    for (int i = 0; i < SG_CURVES; i++) {
        const struct sg_curve *c = &a->curve[i];
        const double *from[6] = {c->accuracy, c->low, c->high, c->cost, c->cost_low, c->cost_high};
        name[i] = (char *)(uintptr_t)sg_curve_name[i];
        meaning[i] = (char *)(uintptr_t)sg_curve_meaning[i];
        for (int32_t g = 0; g < n; g++)
            for (int k = 0; k < 6; k++) x[k][i * n + g] = c->present ? from[k][g] : (double)NAN;
    }
    axis(b,
         (struct sg_frontier_axis){"budget", n, NULL, a->grid, "USD", "mean cost a query that may be spent"});
    axis(b, (struct sg_frontier_axis){"curve", SG_CURVES, name, NULL, NULL, "family of policies"});
    var(b, (struct sg_frontier_var){
               "curve_meaning", SG_FRONTIER_STRING, 1, {"curve"}, meaning, NULL, "what the curve is"});
    for (int k = 0; k < 6; k++)
        var(b, (struct sg_frontier_var){
                   names[k], SG_FRONTIER_F64, 2, {"curve", "budget"}, x[k], k < 3 ? "1" : "USD", said[k]});
out:
    return st;
}

static enum sg_status models(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = b->a;
    const struct sg_dataset *d = a->data;
    static const struct {
        const char *name, *units, *said;
    } of[] = {{"model_predicted_accuracy", "1", "mean estimated accuracy of the model used everywhere"},
              {"model_predicted_cost", "USD", "mean estimated cost of the model used everywhere"},
              {"model_accuracy", "1", "true accuracy of the model used everywhere, scored queries"},
              {"model_accuracy_low", "1", "lower end of its 95 % interval"},
              {"model_accuracy_high", "1", "upper end of its 95 % interval"},
              {"model_cost", "USD", "true mean cost of the model used everywhere, scored queries"}};
    char **name = NULL;
    double *x[6];
    int32_t *on_hull = NULL;
    SG_TRY(room(b, d->m, sizeof *name, (void **)&name, err));
    SG_TRY(room(b, d->m, sizeof *on_hull, (void **)&on_hull, err));
    for (int i = 0; i < 6; i++) SG_TRY(room(b, d->m, sizeof(double), (void **)&x[i], err));
    for (int32_t k = 0; k < d->m; k++) {
        const struct sg_single_model *s = &a->single[k];
        const double of_model[6] = {s->predicted_accuracy.value,
                                    s->predicted_cost.value,
                                    s->accuracy.value,
                                    s->accuracy.low,
                                    s->accuracy.high,
                                    s->cost.value};
        name[k] = d->r->model[d->col[k]];
        on_hull[k] = s->on_hull;
        for (int i = 0; i < 6; i++) x[i][k] = of_model[i];
    }
    axis(b, (struct sg_frontier_axis){"model", d->m, name, NULL, NULL, "model of the pool"});
    for (int i = 0; i < 6; i++)
        var(b, (struct sg_frontier_var){
                   of[i].name, SG_FRONTIER_F64, 1, {"model"}, x[i], of[i].units, of[i].said});
    var(b, (struct sg_frontier_var){"model_on_hull",
                                    SG_FRONTIER_I32,
                                    1,
                                    {"model"},
                                    on_hull,
                                    NULL,
                                    "1: no mixture of other single models is as good at its cost"});
    var(b, (struct sg_frontier_var){"price_input",
                                    SG_FRONTIER_F64,
                                    1,
                                    {"model"},
                                    d->price_input,
                                    "USD per million tokens",
                                    "price of prompt tokens used here"});
    var(b, (struct sg_frontier_var){"price_output",
                                    SG_FRONTIER_F64,
                                    1,
                                    {"model"},
                                    d->price_output,
                                    "USD per million tokens",
                                    "price of completion tokens used here"});
    var(b,
        (struct sg_frontier_var){"share",
                                 SG_FRONTIER_F64,
                                 2,
                                 {"budget", "model"},
                                 a->share,
                                 "1",
                                 d->n_scored ? "share of queries a model gets under the realised policies"
                                             : "share of queries a model gets under the predicted policies"});
out:
    return st;
}

static enum sg_status asks(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = b->a;
    const struct sg_dataset *d = a->data;
    const int64_t n = (int64_t)a->n_policies;
    char **name = NULL, **query = NULL;
    double *x[21];
    static const char *const names[21] = {"ask_predicted_accuracy",
                                          "ask_predicted_accuracy_low",
                                          "ask_predicted_accuracy_high",
                                          "ask_predicted_cost",
                                          "ask_accuracy",
                                          "ask_accuracy_low",
                                          "ask_accuracy_high",
                                          "ask_cost",
                                          "ask_cost_low",
                                          "ask_cost_high",
                                          "ask_gain",
                                          "ask_gain_low",
                                          "ask_gain_high",
                                          "ask_saving",
                                          "ask_saving_low",
                                          "ask_saving_high",
                                          "ask_regret",
                                          "ask_mixed_weight",
                                          "ask_posterior_accuracy",
                                          "ask_posterior_low",
                                          "ask_posterior_high"};
    double *share = NULL;
    static const char *const said[21] = {
        "accuracy as estimated",
        "lower end of its 95 % interval",
        "upper end of its 95 % interval",
        "mean cost as estimated",
        "true accuracy of the same policy, scored queries",
        "lower end of its 95 % interval",
        "upper end of its 95 % interval",
        "true mean cost of the same policy, scored queries",
        "lower end of its 95 % interval",
        "upper end of its 95 % interval",
        "accuracy less the best single model's, paired",
        "lower end of its 95 % interval",
        "upper end of its 95 % interval",
        "1 - cost / the best single model's, paired",
        "lower end of its 95 % interval",
        "upper end of its 95 % interval",
        "mean true utility lost against the best choice at the policy's lambda",
        "weight of the mixing pair's second model",
        "accuracy given the votes, where there is no truth",
        "lower end of its 95 % interval",
        "upper end of its 95 % interval"};
    int32_t *choice = NULL, *mixed_query = NULL, *mixed_model = NULL;
    SG_TRY(room(b, n * d->m, sizeof *share, (void **)&share, err));
    SG_TRY(room(b, n, sizeof *name, (void **)&name, err));
    SG_TRY(room(b, d->n, sizeof *query, (void **)&query, err));
    SG_TRY(room(b, n * d->n, sizeof *choice, (void **)&choice, err));
    SG_TRY(room(b, n, sizeof *mixed_query, (void **)&mixed_query, err));
    SG_TRY(room(b, n, sizeof *mixed_model, (void **)&mixed_model, err));
    for (int k = 0; k < 21; k++) SG_TRY(room(b, n, sizeof(double), (void **)&x[k], err));
    for (int64_t q = 0; q < d->n; q++) query[q] = d->r->query[d->row[q]];
    for (int64_t i = 0; i < n; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        const double of[21] = {k->predicted_accuracy.value,
                               k->predicted_accuracy.low,
                               k->predicted_accuracy.high,
                               k->predicted_cost.value,
                               k->accuracy.value,
                               k->accuracy.low,
                               k->accuracy.high,
                               k->cost.value,
                               k->cost.low,
                               k->cost.high,
                               k->gain.value,
                               k->gain.low,
                               k->gain.high,
                               k->saving.value,
                               k->saving.low,
                               k->saving.high,
                               k->regret,
                               k->policy.weight,
                               k->posterior.value,
                               k->posterior.low,
                               k->posterior.high};
        SG_TRY(room(b, 48, 1, (void **)&name[i], err));
        snprintf(name[i], 48, "%s=%.9g", k->is_target ? "target" : "budget", k->asked);
        memcpy(choice + i * d->n, k->model, sizeof *choice * (size_t)d->n);
        memcpy(share + i * d->m, k->share, sizeof *share * (size_t)d->m);
        mixed_query[i] = (int32_t)k->mixed_query;
        mixed_model[i] = k->mixed_model;
        for (int j = 0; j < 21; j++) x[j][i] = of[j];
    }
    axis(b, (struct sg_frontier_axis){"ask", n, name, NULL, NULL,
                                      "budget (mean USD a query) or target accuracy asked for"});
    axis(b, (struct sg_frontier_axis){"query", d->n, query, NULL, NULL, "query analysed"});
    for (int k = 0; k < 21; k++)
        var(b, (struct sg_frontier_var){names[k],
                                        SG_FRONTIER_F64,
                                        1,
                                        {"ask"},
                                        x[k],
                                        strstr(names[k], "cost") ? "USD" : "1",
                                        said[k]});
    var(b, (struct sg_frontier_var){"policy",
                                    SG_FRONTIER_I32,
                                    2,
                                    {"ask", "query"},
                                    choice,
                                    NULL,
                                    "index of the model that answers the query"});
    var(b,
        (struct sg_frontier_var){
            "ask_share", SG_FRONTIER_F64, 2, {"ask", "model"}, share, "1", "share of queries a model gets"});
    var(b, (struct sg_frontier_var){"ask_mixed_query",
                                    SG_FRONTIER_I32,
                                    1,
                                    {"ask"},
                                    mixed_query,
                                    NULL,
                                    "index of the one query answered by a mixing pair, -1 for none"});
    var(b, (struct sg_frontier_var){"ask_mixed_model",
                                    SG_FRONTIER_I32,
                                    1,
                                    {"ask"},
                                    mixed_model,
                                    NULL,
                                    "index of the pair's second model, used with ask_mixed_weight"});
out:
    return st;
}

static enum sg_status steps(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_path *p = &b->a->scope;
    int32_t *start = NULL, *to = NULL;
    SG_TRY(room(b, p->n, sizeof *start, (void **)&start, err));
    SG_TRY(room(b, p->n_steps, sizeof *to, (void **)&to, err));
    for (int64_t q = 0; q < p->n; q++) start[q] = p->model[p->first[q]];
    for (int64_t s = 0; s < p->n_steps; s++) to[s] = p->model[p->vertex[s]];
    axis(b, (struct sg_frontier_axis){"step", p->n_steps, NULL, NULL, NULL, NULL});
    var(b, (struct sg_frontier_var){"frontier_start",
                                    SG_FRONTIER_I32,
                                    1,
                                    {"query"},
                                    start,
                                    NULL,
                                    "index of the model a query has at the cheapest end of the frontier"});
    var(b, (struct sg_frontier_var){"step_query",
                                    SG_FRONTIER_I32,
                                    1,
                                    {"step"},
                                    p->query,
                                    NULL,
                                    "query that changes its model at this step of the predicted frontier"});
    var(b, (struct sg_frontier_var){
               "step_model", SG_FRONTIER_I32, 1, {"step"}, to, NULL, "index of its new model"});
    var(b, (struct sg_frontier_var){"step_lambda",
                                    SG_FRONTIER_F64,
                                    1,
                                    {"step"},
                                    p->key,
                                    "1/USD",
                                    "slope of the step: estimated accuracy per USD, falling"});
    var(b, (struct sg_frontier_var){"step_accuracy_change",
                                    SG_FRONTIER_F64,
                                    1,
                                    {"step"},
                                    p->dp,
                                    "1",
                                    "change of the sum over queries of estimated accuracy"});
    var(b, (struct sg_frontier_var){"step_cost_change",
                                    SG_FRONTIER_F64,
                                    1,
                                    {"step"},
                                    p->dc,
                                    "USD",
                                    "change of the sum over queries of estimated cost"});
out:
    return st;
}

/* The vertices of the predicted frontier, each policy valued by the estimates and by the truth. The arrays
 * are the build's until it is written. */
static enum sg_status vertices(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = b->a;
    struct sg_weights w = {.w = a->ones, .fold = a->fold};
    const bool truth = a->data->n_scored > 0;
    static const char *const names[2][2] = {{"vertex_predicted_cost", "vertex_predicted_accuracy"},
                                            {"vertex_cost", "vertex_accuracy"}};
    int64_t n = 0;
    sg_weights_sum(&w, a->data->n);
    for (int t = 0; t < (truth ? 2 : 1); t++)
        SG_TRY(sg_curve_points(&a->scope, &w, t, &b->vertex[t][0], &b->vertex[t][1], &b->steps[t], &n, err));
    axis(b, (struct sg_frontier_axis){"vertex", n, NULL, NULL, NULL, NULL});
    for (int t = 0; t < (truth ? 2 : 1); t++)
        for (int i = 0; i < 2; i++)
            var(b, (struct sg_frontier_var){
                       names[t][i],
                       SG_FRONTIER_F64,
                       1,
                       {"vertex"},
                       b->vertex[t][i],
                       i ? "1" : "USD",
                       t ? "policies of the predicted frontier, by the truth (scored queries)"
                         : "policies of the predicted frontier, by the estimates"});
out:
    return st;
}

static enum sg_status quality(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = b->a;
    const struct sg_dataset *d = a->data;
    const int64_t ng = a->n_groups;
    char **est = NULL, **group = NULL;
    double *x[9], *bin[3];
    static const char *const names[9] = {"brier",
                                         "log_loss",
                                         "auc",
                                         "ece",
                                         "base_rate",
                                         "pairs",
                                         "length_mae",
                                         "length_median_relative_error",
                                         "length_coverage90"};
    static const char *const said[9] = {"Brier score",
                                        "logarithmic loss",
                                        "area under the ROC curve",
                                        "expected calibration error, 15 bins of equal mass",
                                        "share of correct answers",
                                        "pairs of query and model with an estimate and a known truth",
                                        "mean absolute error of the length",
                                        "median relative error of the length",
                                        "share of lengths inside the 90 % interval of the samples"};
    static const char *const bins[3] = {"bin_pairs", "bin_mean_p", "bin_mean_correct"};
    if (!a->quality[SG_EST_SCOPE]) return SG_OK;
    SG_TRY(room(b, SG_ESTIMATORS, sizeof *est, (void **)&est, err));
    SG_TRY(room(b, ng, sizeof *group, (void **)&group, err));
    for (int k = 0; k < 9; k++) SG_TRY(room(b, SG_ESTIMATORS * ng, sizeof(double), (void **)&x[k], err));
    for (int k = 0; k < 3; k++)
        SG_TRY(room(b, SG_ESTIMATORS * ng * SG_ECE_BINS, sizeof(double), (void **)&bin[k], err));
    for (int64_t g = 0; g < ng; g++) {
        const char *prefix = g == 0 ? "all" : g <= d->m ? "model: " : "category: ";
        const char *name = g == 0      ? ""
                           : g <= d->m ? sg_dataset_model(d, (int32_t)g - 1)
                                       : d->category_name[g - 1 - d->m];
        SG_TRY(room(b, (int64_t)(strlen(prefix) + strlen(name) + 1), 1, (void **)&group[g], err));
        strcpy(group[g], prefix);
        strcat(group[g], name);
    }
    for (int e = 0; e < SG_ESTIMATORS; e++) {
        est[e] = (char *)(uintptr_t)sg_estimator_name[e];
        for (int64_t g = 0; g < ng; g++) {
            const struct sg_quality *q = a->quality[e] ? &a->quality[e][g] : NULL;
            const struct sg_length_quality *l = a->length[e] ? &a->length[e][g] : NULL;
            const double none = (double)NAN;
            const double of[9] = {
                q ? q->brier : none,       q ? q->log_loss : none,        q ? q->auc : none,
                q ? q->ece : none,         q ? q->base_rate : none,       q ? (double)q->n : 0,
                l && l->n ? l->mae : none, l ? l->median_relative : none, l ? l->coverage : none};
            for (int k = 0; k < 9; k++) x[k][e * ng + g] = of[k];
            for (int i = 0; i < SG_ECE_BINS; i++) {
                const struct sg_bin *r = a->bins[e] ? &a->bins[e][g * SG_ECE_BINS + i] : NULL;
                const int64_t at = (e * ng + g) * SG_ECE_BINS + i;
                bin[0][at] = r ? (double)r->n : 0;
                bin[1][at] = r ? r->mean_p : none;
                bin[2][at] = r ? r->mean_y : none;
            }
        }
    }
    axis(b, (struct sg_frontier_axis){"estimator", SG_ESTIMATORS, est, NULL, NULL, "source of the estimate"});
    axis(b, (struct sg_frontier_axis){"group", ng, group, NULL, NULL,
                                      "all pairs, those of one model, of one category"});
    axis(b, (struct sg_frontier_axis){"bin", SG_ECE_BINS, NULL, NULL, NULL, NULL});
    for (int k = 0; k < 9; k++)
        var(b, (struct sg_frontier_var){names[k],
                                        SG_FRONTIER_F64,
                                        2,
                                        {"estimator", "group"},
                                        x[k],
                                        k == 6 ? "tokens" : "1",
                                        said[k]});
    for (int k = 0; k < 3; k++)
        var(b, (struct sg_frontier_var){bins[k],
                                        SG_FRONTIER_F64,
                                        3,
                                        {"estimator", "group", "bin"},
                                        bin[k],
                                        "1",
                                        "reliability diagram, bins of equal mass"});
out:
    return st;
}

static enum sg_status values(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = b->a;
    const int32_t m = a->data->m;
    double *lambda = NULL, *x[4];
    static const char *const names[4] = {"shapley_predicted", "leave_one_out_predicted", "shapley_true",
                                         "leave_one_out_true"};
    SG_TRY(room(b, (int64_t)a->n_value, sizeof *lambda, (void **)&lambda, err));
    for (int k = 0; k < 4; k++) SG_TRY(room(b, (int64_t)a->n_value * m, sizeof(double), (void **)&x[k], err));
    for (size_t i = 0; i < a->n_value; i++) {
        const struct sg_portfolio_value *p = &a->value_predicted[i],
                                        *t = a->value_true ? &a->value_true[i] : NULL;
        lambda[i] = p->lambda;
        for (int32_t k = 0; k < m; k++) {
            const double of[4] = {p->shapley[k], p->leave_one_out[k], t ? t->shapley[k] : (double)NAN,
                                  t ? t->leave_one_out[k] : (double)NAN};
            for (int j = 0; j < 4; j++) x[j][(int64_t)i * m + k] = of[j];
        }
    }
    axis(b, (struct sg_frontier_axis){"lambda", (int64_t)a->n_value, NULL, lambda, "1/USD",
                                      "price of money, accuracy per USD"});
    for (int j = 0; j < 4; j++)
        var(b, (struct sg_frontier_var){names[j],
                                        SG_FRONTIER_F64,
                                        2,
                                        {"lambda", "model"},
                                        x[j],
                                        "1",
                                        "value of the model to the pool, in accuracy"});
out:
    return st;
}

static enum sg_status named(struct build *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = b->a;
    const int64_t n = (int64_t)a->n_metric;
    char **name = NULL, **curve = NULL, **detail = NULL, **source = NULL;
    double *x[3];
    static const char *const names[3] = {"metric_value", "metric_low", "metric_high"};
    static const char *const said[3] = {"value of the metric", "lower end of its 95 % interval",
                                        "upper end of its 95 % interval"};
    SG_TRY(room(b, n, sizeof *name, (void **)&name, err));
    SG_TRY(room(b, n, sizeof *curve, (void **)&curve, err));
    SG_TRY(room(b, n, sizeof *detail, (void **)&detail, err));
    SG_TRY(room(b, n, sizeof *source, (void **)&source, err));
    for (int k = 0; k < 3; k++) SG_TRY(room(b, n, sizeof(double), (void **)&x[k], err));
    for (int64_t i = 0; i < n; i++) {
        struct sg_metric *m = &a->metric[i];
        name[i] = (char *)(uintptr_t)m->name;
        curve[i] = (char *)(uintptr_t)(m->curve);
        detail[i] = m->detail;
        source[i] = (char *)(uintptr_t)m->source;
        x[0][i] = m->v.value;
        x[1][i] = m->v.low;
        x[2][i] = m->v.high;
    }
    axis(b, (struct sg_frontier_axis){"metric", n, name, NULL, NULL, "metric of the literature"});
    var(b,
        (struct sg_frontier_var){
            "metric_curve", SG_FRONTIER_STRING, 1, {"metric"}, curve, NULL, "curve it is of, empty: none"});
    var(b, (struct sg_frontier_var){
               "metric_detail", SG_FRONTIER_STRING, 1, {"metric"}, detail, NULL, "models and bounds used"});
    var(b, (struct sg_frontier_var){
               "metric_source", SG_FRONTIER_STRING, 1, {"metric"}, source, NULL, "where it is defined"});
    for (int k = 0; k < 3; k++)
        var(b, (struct sg_frontier_var){names[k], SG_FRONTIER_F64, 1, {"metric"}, x[k], "1", said[k]});
out:
    return st;
}

enum sg_status sg_output_h5(const struct sg_analysis *a, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct build b = {.a = a};
    char *path = NULL, seed[24], reps[24], digest[SG_DIGEST_HEX];
    SG_TRY(sg_path_join(dir, "frontier.h5", &path, err));
    SG_TRY(curves(&b, err));
    SG_TRY(models(&b, err));
    SG_TRY(asks(&b, err));
    SG_TRY(steps(&b, err));
    SG_TRY(vertices(&b, err));
    SG_TRY(quality(&b, err));
    SG_TRY(values(&b, err));
    SG_TRY(named(&b, err));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)a->opt.seed);
    snprintf(reps, sizeof reps, "%lld", (long long)a->opt.reps);
    sg_digest_hex(a->data->r->digest, digest);
    const struct sg_frontier_attr attrs[] = {
        {"title", "cost-accuracy frontier"},
        {"format", "scope-grid frontier"},
        {"format_version", "1"},
        {"source", a->data->path},
        {"results_digest", digest},
        {"bootstrap_replicates", reps},
        {"seed", seed},
        {"best_single_model", sg_dataset_model(a->data, a->best_single)}};
    SG_TRY(sg_frontier_file_write(path, b.axis, b.n_axes, b.var, b.n_vars, attrs,
                                  sizeof attrs / sizeof *attrs, err));
out:
    sg_arena_free(&b.arena);
    for (int t = 0; t < 2; t++) {
        free(b.vertex[t][0]);
        free(b.vertex[t][1]);
        free(b.steps[t]);
    }
    free(path);
    return st;
}

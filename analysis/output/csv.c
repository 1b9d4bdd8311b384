#include "output.h"

#include "base/file.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum sg_status sg_csv_text(struct sg_buf *b, const char *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (!strpbrk(s, ",\"\r\n")) return sg_buf_str(b, s, err);
    SG_TRY(sg_buf_str(b, "\"", err));
    for (; *s; s++) {
        if (*s == '"') SG_TRY(sg_buf_str(b, "\"", err));
        SG_TRY(sg_buf_add(b, s, 1, err));
    }
    SG_TRY(sg_buf_str(b, "\"", err));
out:
    return st;
}

enum sg_status sg_csv_number(struct sg_buf *b, double x, struct sg_err *err) {
    return !isfinite(x) ? SG_OK : sg_buf_printf(b, err, "%.12g", x);
}

enum sg_status sg_csv_save(const struct sg_buf *b, int64_t rows, const char *dir, const char *name,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    SG_TRY(sg_path_join(dir, name, &path, err));
    if (rows)
        st = sg_file_write_atomic(path, b->data, b->len, err);
    else
        unlink(path); /* of an older run; it may well not exist */
out:
    free(path);
    return st;
}

/* Fields of a row: 't' const char *, 'n' double, 'i' int64_t, 'v' const struct sg_value * (three fields). */
static enum sg_status row(struct sg_buf *b, struct sg_err *err, const char *fields, ...) {
    enum sg_status st = SG_OK;
    va_list ap;
    va_start(ap, fields);
    for (const char *f = fields; *f; f++) {
        if (f != fields) SG_TRY(sg_buf_str(b, ",", err));
        if (*f == 't')
            SG_TRY(sg_csv_text(b, va_arg(ap, const char *), err));
        else if (*f == 'n')
            SG_TRY(sg_csv_number(b, va_arg(ap, double), err));
        else if (*f == 'i')
            SG_TRY(sg_buf_printf(b, err, "%lld", (long long)va_arg(ap, int64_t)));
        else {
            const struct sg_value *v = va_arg(ap, const struct sg_value *);
            SG_TRY(sg_csv_number(b, v->value, err));
            SG_TRY(sg_buf_str(b, ",", err));
            SG_TRY(sg_csv_number(b, v->low, err));
            SG_TRY(sg_buf_str(b, ",", err));
            SG_TRY(sg_csv_number(b, v->high, err));
        }
    }
    SG_TRY(sg_buf_str(b, "\n", err));
out:
    va_end(ap);
    return st;
}

static enum sg_status curves(const struct sg_analysis *a, const char *dir, struct sg_buf *b,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t rows = 0;
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(b, "budget_usd,curve,accuracy,accuracy_low,accuracy_high,cost_usd,cost_low,cost_high\n",
                      err));
    for (int i = 0; i < SG_CURVES; i++) {
        const struct sg_curve *c = &a->curve[i];
        for (int32_t g = 0; c->present && g < a->opt.n_grid; g++) {
            if (isnan(c->accuracy[g])) continue;
            SG_TRY(row(b, err, "ntnnnnnn", a->grid[g], sg_curve_name[i], c->accuracy[g], c->low[g],
                       c->high[g], c->cost[g], c->cost_low[g], c->cost_high[g]));
            rows++;
        }
    }
    SG_TRY(sg_csv_save(b, rows, dir, "frontier.csv", err));
    sg_buf_clear(b);
    rows = 0;
    SG_TRY(sg_buf_str(b, "budget_usd,model,share\n", err));
    for (int32_t g = 0; g < a->opt.n_grid; g++)
        for (int32_t k = 0; k < a->data->m; k++) {
            const double share = a->share[(int64_t)g * a->data->m + k];
            if (!(share > 0)) continue;
            SG_TRY(row(b, err, "ntn", a->grid[g], sg_dataset_model(a->data, k), share));
            rows++;
        }
    SG_TRY(sg_csv_save(b, rows, dir, "shares.csv", err));
out:
    return st;
}

/* SCOPE's own router: what each alpha does. Alphas between two stops of the path choose as the stop before.
 */
static enum sg_status two_stage(const struct sg_analysis *a, const char *dir, struct sg_buf *b,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_path *p = &a->scope_router;
    struct sg_weights all = {.w = a->ones, .fold = a->fold};
    double *x[2] = {NULL, NULL}, *y[2] = {NULL, NULL};
    int64_t *steps[2] = {NULL, NULL}, n = 0;
    sg_buf_clear(b);
    if (p->n) {
        sg_weights_sum(&all, p->n);
        for (int t = 0; t < 2; t++) SG_TRY(sg_curve_points(p, &all, t, &x[t], &y[t], &steps[t], &n, err));
        SG_TRY(sg_buf_str(b, "alpha,accuracy,cost_usd,predicted_accuracy,predicted_cost_usd\n", err));
        for (int64_t k = 0, at = 0; k < a->opt.alphas; k++) {
            while (at + 1 < n && p->key[steps[0][at + 1] - 1] <= a->alpha[k]) at++;
            SG_TRY(row(b, err, "nnnnn", a->alpha[k], y[1][at], x[1][at], y[0][at], x[0][at]));
        }
    }
    SG_TRY(sg_csv_save(b, p->n, dir, "two_stage.csv", err));
out:
    for (int t = 0; t < 2; t++) {
        free(x[t]);
        free(y[t]);
        free(steps[t]);
    }
    return st;
}

static enum sg_status models(const struct sg_analysis *a, const char *dir, struct sg_buf *b,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(
        b,
        "model,price_input,price_output,n_estimated,predicted_accuracy,predicted_accuracy_low,"
        "predicted_accuracy_high,predicted_cost_usd,predicted_cost_low,predicted_cost_high,n_scored,accuracy,"
        "accuracy_low,accuracy_high,cost_usd,cost_low,cost_high,on_hull\n",
        err));
    for (int32_t k = 0; k < d->m; k++) {
        const struct sg_single_model *s = &a->single[k];
        SG_TRY(row(b, err, "tnnivvivvi", sg_dataset_model(d, k), d->price_input[k], d->price_output[k],
                   s->n_estimated, &s->predicted_accuracy, &s->predicted_cost, s->n_scored, &s->accuracy,
                   &s->cost, (int64_t)s->on_hull));
    }
    const struct sg_value none = {(double)NAN, (double)NAN, (double)NAN};
    const bool truth = d->n_scored > 0;
    SG_TRY(row(b, err, "tnnivvivvi", "(random)", (double)NAN, (double)NAN, truth ? d->n_scored : d->n,
               truth ? &none : &a->random_accuracy, truth ? &none : &a->random_cost, d->n_scored,
               truth ? &a->random_accuracy : &none, truth ? &a->random_cost : &none, (int64_t)0));
    SG_TRY(sg_csv_save(b, d->m, dir, "models.csv", err));
out:
    return st;
}

static void ask_name(const struct sg_asked_policy *k, char *buf, size_t n) {
    snprintf(buf, n, "%s=%.9g", k->is_target ? "target" : "budget", k->asked);
}

static enum sg_status asks(const struct sg_analysis *a, const char *dir, struct sg_buf *b,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    char name[48];
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(
        b,
        "ask,lambda,predicted_accuracy,predicted_accuracy_low,predicted_accuracy_high,predicted_cost_usd,"
        "predicted_cost_low,predicted_cost_high,accuracy,accuracy_low,accuracy_high,cost_usd,cost_low,"
        "cost_high,posterior_accuracy,posterior_low,posterior_high,gain_over_best_single,gain_low,gain_high,"
        "saving_over_best_single,saving_low,saving_high,"
        "oracle_gap,regret,mixed_query,mixed_from,mixed_to,mixed_weight,fitted_accuracy,fitted_cost_usd\n",
        err));
    for (size_t i = 0; i < a->n_policies; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        const bool mixed = k->mixed_query >= 0;
        ask_name(k, name, sizeof name);
        SG_TRY(row(b, err, "tnvvvvvvvnntttnnn", name, k->policy.lambda, &k->predicted_accuracy,
                   &k->predicted_cost, &k->accuracy, &k->cost, &k->posterior, &k->gain, &k->saving,
                   k->oracle_gap, k->regret, mixed ? sg_dataset_query(d, k->mixed_query) : "",
                   mixed ? sg_dataset_model(d, k->model[k->mixed_query]) : "",
                   mixed ? sg_dataset_model(d, k->mixed_model) : "", mixed ? k->policy.weight : (double)NAN,
                   k->fitted_accuracy, k->fitted_cost));
    }
    SG_TRY(sg_csv_save(b, (int64_t)a->n_policies, dir, "asks.csv", err));
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(b, "ask,query,model,weight\n", err));
    for (size_t i = 0; i < a->n_policies; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        ask_name(k, name, sizeof name);
        for (int64_t q = 0; q < d->n; q++) {
            const double w = q == k->mixed_query ? k->policy.weight : 0;
            SG_TRY(
                row(b, err, "tttn", name, sg_dataset_query(d, q), sg_dataset_model(d, k->model[q]), 1 - w));
            if (w > 0)
                SG_TRY(row(b, err, "tttn", name, sg_dataset_query(d, q), sg_dataset_model(d, k->mixed_model),
                           w));
        }
    }
    SG_TRY(sg_csv_save(b, (int64_t)a->n_policies, dir, "policies.csv", err));
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(b, "ask,model,share\n", err));
    for (size_t i = 0; i < a->n_policies; i++) {
        ask_name(&a->policies[i], name, sizeof name);
        for (int32_t k = 0; k < d->m; k++)
            SG_TRY(row(b, err, "ttn", name, sg_dataset_model(d, k), a->policies[i].share[k]));
    }
    SG_TRY(sg_csv_save(b, (int64_t)a->n_policies, dir, "ask_shares.csv", err));
out:
    return st;
}

static void group_name(const struct sg_analysis *a, int32_t g, const char **kind, const char **name) {
    const struct sg_dataset *d = a->data;
    *kind = g == 0 ? "all" : g <= d->m ? "model" : "category";
    *name = g == 0 ? "" : g <= d->m ? sg_dataset_model(d, g - 1) : d->category_name[g - 1 - d->m];
}

static enum sg_status quality(const struct sg_analysis *a, const char *dir, struct sg_buf *b,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t rows = 0;
    const struct sg_length_quality none = {
        .mae = (double)NAN, .median_relative = (double)NAN, .bias = (double)NAN, .coverage = (double)NAN};
    sg_buf_clear(b);
    SG_TRY(
        sg_buf_str(b,
                   "estimator,group_kind,group,n,base_rate,mean_p,brier,log_loss,auc,ece,length_n,length_mae,"
                   "length_median_relative_error,length_bias,length_coverage90\n",
                   err));
    for (int e = 0; e < SG_ESTIMATORS; e++)
        for (int32_t g = 0; a->quality[e] && g < a->n_groups; g++) {
            const struct sg_quality *q = &a->quality[e][g];
            const struct sg_length_quality *l = a->length[e] ? &a->length[e][g] : &none;
            const char *kind, *name;
            if (!q->n) continue;
            group_name(a, g, &kind, &name);
            SG_TRY(row(b, err, "tttinnnnnninnnn", sg_estimator_name[e], kind, name, q->n, q->base_rate,
                       q->mean_p, q->brier, q->log_loss, q->auc, q->ece, l->n, l->n ? l->mae : (double)NAN,
                       l->median_relative, l->n ? l->bias : (double)NAN, l->coverage));
            rows++;
        }
    SG_TRY(sg_csv_save(b, rows, dir, "quality.csv", err));
    rows = 0;
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(b, "estimator,group_kind,group,bin,n,mean_p,mean_correct\n", err));
    for (int e = 0; e < SG_ESTIMATORS; e++)
        for (int32_t g = 0; a->bins[e] && g < a->n_groups; g++)
            for (int32_t i = 0; i < SG_ECE_BINS; i++) {
                const struct sg_bin *x = &a->bins[e][g * SG_ECE_BINS + i];
                const char *kind, *name;
                if (!x->n) continue;
                group_name(a, g, &kind, &name);
                SG_TRY(row(b, err, "tttiinn", sg_estimator_name[e], kind, name, (int64_t)i, x->n, x->mean_p,
                           x->mean_y));
                rows++;
            }
    SG_TRY(sg_csv_save(b, rows, dir, "reliability.csv", err));
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(b, "samples,n_cells,variance_votes,variance_p_yes,n_brier,brier_votes,brier_p_yes\n",
                      err));
    for (int i = 0; i < SG_SAMPLING_NOISES; i++) {
        const struct sg_sampling_noise *s = &a->noise[i];
        SG_TRY(row(b, err, "iinninn", (int64_t)s->k, s->n_cells, s->variance_votes, s->variance_p_yes,
                   s->n_brier, s->brier_votes, s->brier_p_yes));
    }
    SG_TRY(sg_csv_save(b, a->noise[0].n_cells, dir, "samples.csv", err));
out:
    return st;
}

static enum sg_status values(const struct sg_analysis *a, const char *dir, struct sg_buf *b,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(
        b, "lambda,values,model,shapley,leave_one_out_loss,alone,greedy_rank,greedy_value,total\n", err));
    for (size_t i = 0; i < a->n_value; i++)
        for (int t = 0; t < 2; t++) {
            const struct sg_portfolio_value *x =
                t ? (a->value_true ? &a->value_true[i] : NULL) : &a->value_predicted[i];
            for (int32_t r = 0; x && r < x->m; r++) {
                const int32_t k = x->greedy[r];
                SG_TRY(row(b, err, "nttnnninn", x->lambda, t ? "true" : "predicted",
                           sg_dataset_model(a->data, k), x->shapley[k], x->leave_one_out[k], x->alone[k],
                           (int64_t)(r + 1), x->greedy_value[r], x->total));
            }
        }
    SG_TRY(sg_csv_save(b, (int64_t)a->n_value, dir, "portfolio_value.csv", err));
    sg_buf_clear(b);
    SG_TRY(sg_buf_str(b, "metric,curve,value,low,high,detail,formula,source\n", err));
    for (size_t i = 0; i < a->n_metric; i++) {
        const struct sg_metric *m = &a->metric[i];
        SG_TRY(row(b, err, "ttvttt", m->name, m->curve, &m->v, m->detail, m->formula, m->source));
    }
    SG_TRY(sg_csv_save(b, (int64_t)a->n_metric, dir, "metrics.csv", err));
out:
    return st;
}

enum sg_status sg_output_csv(const struct sg_analysis *a, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    SG_TRY(curves(a, dir, &b, err));
    SG_TRY(two_stage(a, dir, &b, err));
    SG_TRY(models(a, dir, &b, err));
    SG_TRY(asks(a, dir, &b, err));
    SG_TRY(quality(a, dir, &b, err));
    SG_TRY(values(a, dir, &b, err));
out:
    sg_buf_free(&b);
    return st;
}

/* tables_frontier - curves over the budgets, shares of the models, SCOPE's router, the steps and vertices of the
 * predicted frontier, metrics of the literature. */
#include "tables.h"

#include <math.h>

/* clang-format off */
struct curve {
    const char *name, *meaning;
};
static const struct sg__column curve_columns[] = {
    SG__COLUMN(TEXT, struct curve, name, SG__AXIS, .name = "curve", .long_name = "family of policies"),
    SG__COLUMN(TEXT, struct curve, meaning, SG__H5, .name = "curve_meaning", .long_name = "what the curve is"),
};
static const struct sg__layout curve_layout = {.axes = {"curve"}, SG__COLUMNS(curve_columns), .stride = sizeof(struct curve)};

struct point { /* of a curve, at a budget */
    double budget;
    const char *curve;
    double accuracy, low, high, cost, cost_low, cost_high;
};
static const struct sg__column point_columns[] = {
    SG__COLUMN(F64, struct point, budget, SG__CSV, .name = "budget", .csv = "budget_usd"),
    SG__COLUMN(TEXT, struct point, curve, SG__CSV, .name = "curve"),
    SG__COLUMN(F64, struct point, accuracy, SG__CSV | SG__H5 | SG__JSON, .name = "accuracy", .units = "1",
               .long_name = "mean accuracy within the budget"),
    SG__COLUMN(F64, struct point, low, SG__CSV | SG__H5 | SG__JSON, .name = "accuracy_low", .units = "1",
               .long_name = "lower end of the 95 % bootstrap interval of accuracy"),
    SG__COLUMN(F64, struct point, high, SG__CSV | SG__H5 | SG__JSON, .name = "accuracy_high", .units = "1",
               .long_name = "upper end of the 95 % bootstrap interval of accuracy"),
    SG__COLUMN(F64, struct point, cost, SG__CSV | SG__H5 | SG__JSON, .name = "cost", .csv = "cost_usd", .units = "USD",
               .long_name = "mean cost truly paid (the budget itself for frontiers)"),
    SG__COLUMN(F64, struct point, cost_low, SG__CSV | SG__H5 | SG__JSON, .name = "cost_low", .units = "USD",
               .long_name = "lower end of the 95 % bootstrap interval of cost"),
    SG__COLUMN(F64, struct point, cost_high, SG__CSV | SG__H5 | SG__JSON, .name = "cost_high", .units = "USD",
               .long_name = "upper end of the 95 % bootstrap interval of cost"),
};
static bool has_accuracy(const void *row) {
    return !isnan(((const struct point *)row)->accuracy);
}
static const struct sg__layout point_layout = {.csv = "frontier.csv", .json = "curves", .axes = {"curve", "budget"},
    SG__COLUMNS(point_columns), .stride = sizeof(struct point), .keep = has_accuracy};

struct share {
    double budget;
    const char *model;
    double share;
};
static const struct sg__column budget_columns[] = {
    {.kind = SG__F64, .in = SG__AXIS, .name = "budget", .units = "USD", .long_name = "mean cost a query that may be spent"},
};
static const struct sg__layout budget_layout = {.axes = {"budget"}, SG__COLUMNS(budget_columns), .stride = sizeof(double)};
static const struct sg__column share_columns[] = {
    SG__COLUMN(F64, struct share, budget, SG__CSV, .name = "budget", .csv = "budget_usd"),
    SG__COLUMN(TEXT, struct share, model, SG__CSV, .name = "model"),
    SG__COLUMN(F64, struct share, share, SG__CSV | SG__H5, .name = "share", .units = "1",
               .long_name = "share of queries a model gets under the realised (without truth: the predicted) policies"),
};
static bool has_share(const void *row) {
    return ((const struct share *)row)->share > 0;
}
static const struct sg__layout share_layout = {.csv = "shares.csv", .axes = {"budget", "model"},
    SG__COLUMNS(share_columns), .stride = sizeof(struct share), .keep = has_share};

struct router { /* SCOPE's, at one alpha */
    double alpha, accuracy, cost, predicted_accuracy, predicted_cost;
};
static const struct sg__column router_columns[] = {
    SG__COLUMN(F64, struct router, alpha, SG__CSV, .name = "alpha"),
    SG__COLUMN(F64, struct router, accuracy, SG__CSV, .name = "accuracy"),
    SG__COLUMN(F64, struct router, cost, SG__CSV, .name = "cost_usd"),
    SG__COLUMN(F64, struct router, predicted_accuracy, SG__CSV, .name = "predicted_accuracy"),
    SG__COLUMN(F64, struct router, predicted_cost, SG__CSV, .name = "predicted_cost_usd"),
};
static const struct sg__layout router_layout = {
    .csv = "two_stage.csv", SG__COLUMNS(router_columns), .stride = sizeof(struct router)};

struct walk { /* arrays: the predicted frontier from its cheapest policy on */
    const int32_t *start, *step_query, *step_model;
    const double *lambda, *accuracy_change, *cost_change;
    const double *predicted_cost, *predicted_accuracy, *cost, *accuracy; /* of the vertices; true ones NULL without truth */
};
static const struct sg__column start_columns[] = {
    SG__COLUMN(I32, struct walk, start, SG__H5, .name = "frontier_start",
               .long_name = "index of the model a query has at the cheapest end of the frontier"),
};
static const struct sg__layout start_layout = {.axes = {"query"}, SG__COLUMNS(start_columns)};
static const struct sg__column step_columns[] = {
    SG__COLUMN(I32, struct walk, step_query, SG__H5, .name = "query",
               .long_name = "query that changes its model at this step of the predicted frontier"),
    SG__COLUMN(I32, struct walk, step_model, SG__H5, .name = "model", .long_name = "index of its new model"),
    SG__COLUMN(F64, struct walk, lambda, SG__H5, .name = "lambda", .units = "1/USD",
               .long_name = "slope of the step: estimated accuracy per USD, falling"),
    SG__COLUMN(F64, struct walk, accuracy_change, SG__H5, .name = "accuracy_change", .units = "1",
               .long_name = "change of the sum over queries of estimated accuracy"),
    SG__COLUMN(F64, struct walk, cost_change, SG__H5, .name = "cost_change", .units = "USD",
               .long_name = "change of the sum over queries of estimated cost"),
};
static const struct sg__layout step_layout = {.prefix = "step_", .axes = {"step"}, SG__COLUMNS(step_columns)};
#define BY_ESTIMATES "policies of the predicted frontier, by the estimates"
#define BY_TRUTH     "policies of the predicted frontier, by the truth (scored queries)"
static const struct sg__column vertex_columns[] = {
    SG__COLUMN(F64, struct walk, predicted_cost, SG__H5, .name = "predicted_cost", .units = "USD", .long_name = BY_ESTIMATES),
    SG__COLUMN(F64, struct walk, predicted_accuracy, SG__H5, .name = "predicted_accuracy", .units = "1",
               .long_name = BY_ESTIMATES),
    SG__COLUMN(F64, struct walk, cost, SG__H5, .name = "cost", .units = "USD", .long_name = BY_TRUTH),
    SG__COLUMN(F64, struct walk, accuracy, SG__H5, .name = "accuracy", .units = "1", .long_name = BY_TRUTH),
};
static const struct sg__layout vertex_layout = {.prefix = "vertex_", .axes = {"vertex"}, SG__COLUMNS(vertex_columns)};

struct metric {
    const char *name, *curve, *detail, *formula, *source;
    struct sg_value value;
};
static const struct sg__column metric_columns[] = {
    SG__COLUMN(TEXT, struct metric, name, SG__CSV | SG__AXIS | SG__JSON, .name = "name", .csv = "metric",
               .long_name = "metric of the literature"),
    SG__COLUMN(TEXT, struct metric, curve, SG__CSV | SG__H5 | SG__JSON, .name = "curve",
               .long_name = "curve it is of, empty: none"),
    SG__COLUMN(VALUE, struct metric, value, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "value", .stem = "", .units = "1",
               .long_name = "value of the metric"),
    SG__COLUMN(TEXT, struct metric, detail, SG__CSV | SG__H5 | SG__JSON, .name = "detail",
               .long_name = "models and bounds used"),
    SG__COLUMN(TEXT, struct metric, formula, SG__CSV | SG__JSON, .name = "formula"),
    SG__COLUMN(TEXT, struct metric, source, SG__CSV | SG__H5 | SG__JSON, .name = "source",
               .long_name = "where it is defined"),
};
static const struct sg__layout metric_layout = {.csv = "metrics.csv", .json = "metrics", .prefix = "metric_", .axes = {"metric"},
    SG__COLUMNS(metric_columns), .stride = sizeof(struct metric)};
/* clang-format on */

static enum sg_status curves(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t n = a->opt.n_grid;
    struct curve *curve;
    struct point *point;
    SG_TRY(SG__ROWS(t, &curve, SG_CURVES, err));
    SG_TRY(SG__ROWS(t, &point, SG_CURVES * n, err));
    for (int i = 0; i < SG_CURVES; i++) {
        const struct sg_curve *c = &a->curve[i];
        curve[i] = (struct curve){sg_curve_name[i], sg_curve_meaning[i]};
        for (int64_t g = 0; g < n; g++) {
            struct point *p = &point[i * n + g];
            const double none = (double)NAN;
            *p = (struct point){a->grid[g], sg_curve_name[i], none, none, none, none, none, none};
            if (c->present)
                *p = (struct point){a->grid[g], sg_curve_name[i], c->accuracy[g], c->low[g],
                                    c->high[g], c->cost[g],       c->cost_low[g], c->cost_high[g]};
        }
    }
    SG_TRY(sg__tables_add(t, &curve_layout, curve, 0, SG__SIZES(SG_CURVES), err));
    SG_TRY(sg__tables_add(t, &point_layout, point, SG_CURVES * n, SG__SIZES(SG_CURVES, n), err));
out:
    return st;
}

static enum sg_status shares(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t n = a->opt.n_grid, m = a->data->m;
    struct share *share;
    SG_TRY(SG__ROWS(t, &share, n * m, err));
    for (int64_t i = 0; i < n * m; i++)
        share[i] = (struct share){a->grid[i / m], sg_dataset_model(a->data, (int32_t)(i % m)), a->share[i]};
    SG_TRY(sg__tables_add(t, &budget_layout, a->grid, 0, SG__SIZES(n), err));
    SG_TRY(sg__tables_add(t, &share_layout, share, n * m, SG__SIZES(n, m), err));
out:
    return st;
}

/* Every stop of a path by the estimates (truth false) or by the truth; the arrays are the tables'. */
static enum sg_status stops(struct sg__tables *t, const struct sg_path *path, bool truth, double **cost,
                            double **accuracy, int64_t **steps, int64_t *n, struct sg_err *err) {
    const struct sg_weights w = sg_analysis_weights(t->a);
    const enum sg_status st = sg_curve_points(path, &w, truth, cost, accuracy, steps, n, err);
    if (st != SG_OK) return st;
    t->owned[t->n_owned++] = *cost;
    t->owned[t->n_owned++] = *accuracy;
    t->owned[t->n_owned++] = *steps;
    return SG_OK;
}

/* Alphas between two stops of the path choose as at the stop before. */
static enum sg_status router(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_path *p = &t->a->scope_router;
    const int64_t alphas = p->n ? t->a->opt.alphas : 0;
    double *x[2], *y[2];
    int64_t *steps[2], n = 0;
    struct router *row;
    SG_TRY(SG__ROWS(t, &row, alphas, err));
    for (int truth = 0; alphas && truth < 2; truth++)
        SG_TRY(stops(t, p, truth, &x[truth], &y[truth], &steps[truth], &n, err));
    for (int64_t k = 0, at = 0; k < alphas; k++) {
        while (at + 1 < n && p->key[steps[0][at + 1] - 1] <= t->a->alpha[k]) at++;
        row[k] = (struct router){t->a->alpha[k], y[1][at], x[1][at], y[0][at], x[0][at]};
    }
    SG_TRY(sg__tables_add(t, &router_layout, row, alphas, SG__SIZES(0), err));
out:
    return st;
}

static enum sg_status walk(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_path *p = &t->a->scope;
    struct walk *w;
    int32_t *start, *model;
    double *x, *y;
    int64_t *steps, n;
    SG_TRY(SG__ROWS(t, &w, 1, err));
    SG_TRY(SG__ROWS(t, &start, p->n, err));
    SG_TRY(SG__ROWS(t, &model, p->n_steps, err));
    for (int64_t q = 0; q < p->n; q++) start[q] = p->model[p->first[q]];
    for (int64_t s = 0; s < p->n_steps; s++) model[s] = p->model[p->vertex[s]];
    *w = (struct walk){.start = start,
                       .step_query = p->query,
                       .step_model = model,
                       .lambda = p->key,
                       .accuracy_change = p->dp,
                       .cost_change = p->dc};
    SG_TRY(stops(t, p, false, &x, &y, &steps, &n, err));
    w->predicted_cost = x;
    w->predicted_accuracy = y;
    if (t->a->data->n_scored) {
        SG_TRY(stops(t, p, true, &x, &y, &steps, &n, err));
        w->cost = x;
        w->accuracy = y;
    }
    SG_TRY(sg__tables_add(t, &start_layout, w, 0, SG__SIZES(p->n), err));
    SG_TRY(sg__tables_add(t, &step_layout, w, 0, SG__SIZES(p->n_steps), err));
    SG_TRY(sg__tables_add(t, &vertex_layout, w, 0, SG__SIZES(n), err));
out:
    return st;
}

static enum sg_status metrics(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = (int64_t)t->a->n_metric;
    struct metric *row;
    SG_TRY(SG__ROWS(t, &row, n, err));
    for (int64_t i = 0; i < n; i++) {
        const struct sg_metric *m = &t->a->metric[i];
        row[i] = (struct metric){m->name, m->curve, m->detail, m->formula, m->source, m->v};
    }
    SG_TRY(sg__tables_add(t, &metric_layout, row, n, SG__SIZES(n), err));
out:
    return st;
}

enum sg_status sg__tables_frontier(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(curves(t, err));
    SG_TRY(shares(t, err));
    SG_TRY(router(t, err));
    SG_TRY(walk(t, err));
    SG_TRY(metrics(t, err));
out:
    return st;
}

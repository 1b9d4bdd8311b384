/* tables_frontier - curves over the budgets, shares of the models, SCOPE's router, the steps and vertices
 * of the predicted frontier, metrics of the literature. */
#include "tables.h"

#include <math.h>

/* clang-format off */
struct curves { /* arrays over the curves */
    const char *const *name, *const *meaning;
};
static const struct sg__table_column curve_columns[] = {
    SG__COLUMN(TEXT, offsetof(struct curves, name), SG__AXIS, "curve", NULL, "family of policies"),
    SG__COLUMN(TEXT, offsetof(struct curves, meaning), SG__H5, "curve_meaning", NULL, "what the curve is"),
};
static const struct sg__layout curve_layout = {.axes = {"curve"}, SG__COLUMNS(curve_columns)};
static const struct sg__table_column budget_columns[] = {
    SG__COLUMN(F64, 0, SG__AXIS, "budget", "USD", "mean cost a query that may be spent")};
static const struct sg__layout budget_layout = {.axes = {"budget"}, SG__COLUMNS(budget_columns),
    .stride = sizeof(double)};

struct point { /* of a curve, at a budget */
    double budget;
    const char *curve;
    double accuracy, low, high, cost, cost_low, cost_high;
};
#define AT(member) offsetof(struct point, member)
static const struct sg__table_column point_columns[] = {
    SG__COLUMN(F64, AT(budget), SG__CSV, "budget", .csv = "budget_usd"),
    SG__COLUMN(TEXT, AT(curve), SG__CSV, "curve"),
    SG__COLUMN(F64, AT(accuracy), SG__ALL, "accuracy", "1", "mean accuracy within the budget"),
    SG__COLUMN(F64, AT(low), SG__ALL, "accuracy_low", "1",
               "lower end of the 95 % bootstrap interval of accuracy"),
    SG__COLUMN(F64, AT(high), SG__ALL, "accuracy_high", "1",
               "upper end of the 95 % bootstrap interval of accuracy"),
    SG__COLUMN(F64, AT(cost), SG__ALL, "cost", "USD",
               "mean cost truly paid (the budget itself for frontiers)", "cost_usd"),
    SG__COLUMN(F64, AT(cost_low), SG__ALL, "cost_low", "USD",
               "lower end of the 95 % bootstrap interval of cost"),
    SG__COLUMN(F64, AT(cost_high), SG__ALL, "cost_high", "USD",
               "upper end of the 95 % bootstrap interval of cost"),
};
#undef AT
static bool has_accuracy(const void *row) {
    return !isnan(((const struct point *)row)->accuracy);
}
static const struct sg__layout point_layout = {.csv = "frontier.csv", .json = "curves",
    .axes = {"curve", "budget"}, SG__COLUMNS(point_columns), .stride = sizeof(struct point),
    .keep = has_accuracy};

static const struct sg__table_column share_columns[] = {
    SG__COLUMN(F64, 0, SG__H5, "share", "1",
               "share of queries a model gets under the realised (without truth: the predicted) policies")};
static const struct sg__layout share_layout = {.axes = {"budget", "model"}, SG__COLUMNS(share_columns),
    .stride = sizeof(double)};

#define BY_ESTIMATES "mean over the queries, by the estimates"
#define BY_TRUTH     "mean over the scored queries, by the truth"
struct router { /* SCOPE's, at one alpha */
    double alpha, accuracy, cost, predicted_accuracy, predicted_cost;
};
#define AT(member) offsetof(struct router, member)
static const struct sg__table_column router_columns[] = {
    SG__COLUMN(F64, AT(alpha), SG__AXIS, "alpha", "1", "alpha of SCOPE's two-stage router"),
    SG__COLUMN(F64, AT(accuracy), SG__H5, "accuracy", "1", BY_TRUTH),
    SG__COLUMN(F64, AT(cost), SG__H5, "cost", "USD", BY_TRUTH),
    SG__COLUMN(F64, AT(predicted_accuracy), SG__H5, "predicted_accuracy", "1", BY_ESTIMATES),
    SG__COLUMN(F64, AT(predicted_cost), SG__H5, "predicted_cost", "USD", BY_ESTIMATES),
};
#undef AT
static const struct sg__layout router_layout = {.prefix = "two_stage_", .axes = {"alpha"},
    SG__COLUMNS(router_columns), .stride = sizeof(struct router)};

static const struct sg__table_column fold_columns[] = {
    SG__COLUMN(I32, 0, SG__H5, "fold", NULL, "half of the cross-fit, 0 or 1, that a query belongs to; 2: not scored")};
static const struct sg__layout fold_layout = {.axes = {"split", "query"}, SG__COLUMNS(fold_columns),
    .stride = sizeof(int32_t)};

struct walk { /* arrays: the predicted frontier from its cheapest policy on */
    int32_t *start, *step_model;
    double *predicted_cost, *predicted_accuracy, *cost,
        *accuracy; /* of the vertices; true ones NULL without truth */
};
#define AT(member) offsetof(struct walk, member)
static const struct sg__table_column start_columns[] = {
    SG__COLUMN(I32, AT(start), SG__H5, "frontier_start", NULL,
               "index of the model a query has at the cheapest end of the frontier")};
static const struct sg__layout start_layout = {.axes = {"query"}, SG__COLUMNS(start_columns)};
static const struct sg__table_column step_model_columns[] = {
    SG__COLUMN(I32, AT(step_model), SG__H5, "step_model", NULL, "index of its new model")};
static const struct sg__layout step_model_layout = {.axes = {"step"}, SG__COLUMNS(step_model_columns)};
static const struct sg__table_column vertex_columns[] = {
    SG__COLUMN(F64, AT(predicted_cost), SG__H5, "predicted_cost", "USD", BY_ESTIMATES),
    SG__COLUMN(F64, AT(predicted_accuracy), SG__H5, "predicted_accuracy", "1", BY_ESTIMATES),
    SG__COLUMN(F64, AT(cost), SG__H5, "cost", "USD", BY_TRUTH),
    SG__COLUMN(F64, AT(accuracy), SG__H5, "accuracy", "1", BY_TRUTH),
};
#undef AT
static const struct sg__layout vertex_layout = {.prefix = "vertex_", .axes = {"vertex"},
    SG__COLUMNS(vertex_columns)};
#define AT(member) offsetof(struct sg_path, member)
static const struct sg__table_column step_columns[] = {
    SG__COLUMN(I32, AT(query), SG__H5, "query", NULL,
               "query that changes its model at this step of the predicted frontier"),
    SG__COLUMN(F64, AT(key), SG__H5, "lambda", "1/USD",
               "slope of the step: estimated accuracy per USD, falling"),
    SG__COLUMN(F64, AT(dp), SG__H5, "accuracy_change", "1",
               "change of the sum over queries of estimated accuracy"),
    SG__COLUMN(F64, AT(dc), SG__H5, "cost_change", "USD", "change of the sum over queries of estimated cost"),
};
#undef AT
static const struct sg__layout step_layout = {.prefix = "step_", .axes = {"step"}, SG__COLUMNS(step_columns)};

#define AT(member) offsetof(struct sg_metric, member)
static const struct sg__table_column metric_columns[] = {
    SG__COLUMN(TEXT, AT(name), SG__CSV | SG__AXIS | SG__JSON, "name", NULL, "metric of the literature",
               "metric"),
    SG__COLUMN(TEXT, AT(curve), SG__ALL, "curve", NULL, "curve it is of, empty: none"),
    SG__COLUMN(VALUE, AT(value), SG__ALL, "value", "1", "value of the metric", .stem = ""),
    SG__COLUMN(TEXT, AT(detail), SG__ALL, "detail", NULL, "models and bounds used"),
    SG__COLUMN(TEXT, AT(formula), SG__CSV | SG__JSON, "formula"),
    SG__COLUMN(TEXT, AT(source), SG__ALL, "source", NULL, "where it is defined"),
};
#undef AT
static const struct sg__layout metric_layout = {.csv = "metrics.csv", .json = "metrics", .prefix = "metric_",
    .axes = {"metric"}, SG__COLUMNS(metric_columns), .stride = sizeof(struct sg_metric)};
/* clang-format on */

static enum sg_status points(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t n = a->opt.n_grid;
    struct point *row;
    SG_TRY(SG__ROWS(t, &row, SG_CURVES * n, err));
    for (int64_t i = 0; i < SG_CURVES * n; i++) {
        const struct sg_curve *c = &a->curve[i / n];
        const int64_t g = i % n;
        const double none = (double)NAN;
        row[i] = (struct point){a->grid[g], sg_curve_name[i / n], none, none, none, none, none, none};
        if (!c->present) continue;
        row[i] = (struct point){a->grid[g], sg_curve_name[i / n], c->accuracy[g], c->low[g],
                                c->high[g], c->cost[g],           c->cost_low[g], c->cost_high[g]};
    }
    SG_TRY(sg__tables_add(t, &point_layout, row, SG_CURVES * n, SG__SIZES(SG_CURVES, n), err));
out:
    return st;
}

/* Every stop of a path, by the estimates or by the truth; the arrays are the tables'. */
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
    if (alphas) SG_TRY(sg__tables_add(t, &router_layout, row, 0, SG__SIZES(alphas), err));
out:
    return st;
}

static enum sg_status walk(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_path *p = &t->a->scope;
    struct walk *w;
    int64_t *steps, n;
    SG_TRY(SG__ROWS(t, &w, 1, err));
    SG_TRY(SG__ROWS(t, &w->start, p->n, err));
    SG_TRY(SG__ROWS(t, &w->step_model, p->n_steps, err));
    for (int64_t q = 0; q < p->n; q++) w->start[q] = p->model[p->first[q]];
    for (int64_t s = 0; s < p->n_steps; s++) w->step_model[s] = p->model[p->vertex[s]];
    SG_TRY(stops(t, p, false, &w->predicted_cost, &w->predicted_accuracy, &steps, &n, err));
    if (t->a->data->n_scored) SG_TRY(stops(t, p, true, &w->cost, &w->accuracy, &steps, &n, err));
    SG_TRY(sg__tables_add(t, &start_layout, w, 0, SG__SIZES(p->n), err));
    SG_TRY(sg__tables_add(t, &step_layout, p, 0, SG__SIZES(p->n_steps), err));
    SG_TRY(sg__tables_add(t, &step_model_layout, w, 0, SG__SIZES(p->n_steps), err));
    SG_TRY(sg__tables_add(t, &vertex_layout, w, 0, SG__SIZES(n), err));
out:
    return st;
}

static enum sg_status folds(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = t->a->data->n, splits = t->a->data->n_scored ? t->a->n_splits : 0;
    int32_t *row;
    SG_TRY(SG__ROWS(t, &row, splits * n, err));
    for (int64_t i = 0; i < splits * n; i++) row[i] = t->a->fold[i];
    SG_TRY(sg__tables_add(t, &fold_layout, row, 0, SG__SIZES(splits, n), err));
out:
    return st;
}

enum sg_status sg__tables_frontier(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const struct curves curves = {sg_curve_name, sg_curve_meaning};
    const int64_t n = t->a->opt.n_grid, n_metric = (int64_t)t->a->n_metric;
    SG_TRY(sg__tables_add(t, &curve_layout, &curves, 0, SG__SIZES(SG_CURVES), err));
    SG_TRY(sg__tables_add(t, &budget_layout, t->a->grid, 0, SG__SIZES(n), err));
    SG_TRY(points(t, err));
    SG_TRY(sg__tables_add(t, &share_layout, t->a->share, 0, SG__SIZES(n, t->a->data->m), err));
    SG_TRY(folds(t, err));
    SG_TRY(router(t, err));
    SG_TRY(walk(t, err));
    SG_TRY(sg__tables_add(t, &metric_layout, t->a->metric, n_metric, SG__SIZES(n_metric), err));
out:
    return st;
}

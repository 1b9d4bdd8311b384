/* tables_models - single models, and what each model is worth to the pool. */
#include "tables.h"

#include <math.h>

/* clang-format off */
struct model { /* used for every query */
    const char *model;
    double price_input, price_output;
    struct sg_single_model single;
    double brier, auc, value;
};
static const struct sg__column model_columns[] = {
    SG__COLUMN(TEXT, struct model, model, SG__CSV | SG__AXIS | SG__JSON, .name = "id", .csv = "model",
               .long_name = "model of the pool"),
    SG__COLUMN(F64, struct model, price_input, SG__CSV | SG__H5 | SG__BARE | SG__JSON, .name = "price_input",
               .units = "USD per million tokens", .long_name = "price of prompt tokens used here",
               .heading = "USD/M in", .style = SG__NUMBER, .digits = 2, .place = 5),
    SG__COLUMN(F64, struct model, price_output, SG__CSV | SG__H5 | SG__BARE | SG__JSON, .name = "price_output",
               .units = "USD per million tokens", .long_name = "price of completion tokens used here",
               .heading = "USD/M out", .style = SG__NUMBER, .digits = 2, .place = 5),
    SG__COLUMN(I64, struct model, single.n_estimated, SG__CSV, .name = "n_estimated"),
    SG__COLUMN(VALUE, struct model, single.predicted_accuracy, SG__CSV | SG__H5 | SG__JSON, .name = "predicted_accuracy",
               .units = "1", .long_name = "mean estimated accuracy of the model used everywhere",
               .heading = "predicted", .print = "   %-20s", .style = SG__PERCENT, .digits = 1, .place = 2),
    SG__COLUMN(VALUE, struct model, single.predicted_cost, SG__CSV | SG__H5 | SG__JSON, .name = "predicted_cost",
               .csv = "predicted_cost_usd", .units = "USD", .long_name = "mean estimated cost of the model used everywhere",
               .heading = "pred. cost", .print = " %12s", .style = SG__USD, .place = 2),
    SG__COLUMN(I64, struct model, single.n_scored, SG__CSV, .name = "n_scored"),
    SG__COLUMN(VALUE, struct model, single.accuracy, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "accuracy", .units = "1",
               .long_name = "true accuracy of the model used everywhere, scored queries",
               .heading = "accuracy", .print = "   %-20s", .style = SG__PERCENT, .digits = 1, .place = 1, .when = SG__TRUTH),
    SG__COLUMN(VALUE, struct model, single.cost, SG__CSV | SG__H5 | SG__JSON, .name = "cost", .csv = "cost_usd", .units = "USD",
               .long_name = "true mean cost of the model used everywhere, scored queries",
               .heading = "cost", .print = " %12s", .style = SG__USD, .place = 1, .when = SG__TRUTH),
    SG__COLUMN(BOOL, struct model, single.on_hull, SG__CSV | SG__H5 | SG__JSON, .name = "on_hull",
               .long_name = "1: no mixture of other single models is as good at its cost"),
    SG__COLUMN(F64, struct model, brier, SG__JSON, .name = "brier",
               .heading = "Brier", .style = SG__NUMBER, .digits = 3, .place = 3, .when = SG__TRUTH),
    SG__COLUMN(F64, struct model, auc, SG__JSON, .name = "auc",
               .heading = "AUC", .style = SG__NUMBER, .digits = 3, .place = 3, .when = SG__TRUTH),
    SG__COLUMN(F64, struct model, value, SG__JSON, .name = "value",
               .heading = "value", .style = SG__POINTS, .place = 4),
};
static const struct sg__layout model_layout = {.csv = "models.csv", .json = "models", .prefix = "model_", .axes = {"model"},
    SG__COLUMNS(model_columns), .stride = sizeof(struct model)};

struct worth { /* of a model to the pool, at one price of money */
    double lambda;
    const char *values, *model; /* values: predicted or true */
    double shapley, leave_one_out, alone;
    int64_t greedy_rank;
    double greedy_value, total;
};
static const struct sg__column worth_columns[] = {
    SG__COLUMN(F64, struct worth, lambda, SG__CSV, .name = "lambda"),
    SG__COLUMN(TEXT, struct worth, values, SG__CSV, .name = "values"),
    SG__COLUMN(TEXT, struct worth, model, SG__CSV, .name = "model"),
    SG__COLUMN(F64, struct worth, shapley, SG__CSV | SG__H5, .name = "shapley", .units = "1",
               .long_name = "value of the model to the pool, in accuracy"),
    SG__COLUMN(F64, struct worth, leave_one_out, SG__CSV | SG__H5, .name = "leave_one_out", .csv = "leave_one_out_loss",
               .units = "1", .long_name = "value of the model to the pool, in accuracy"),
    SG__COLUMN(F64, struct worth, alone, SG__CSV, .name = "alone"),
    SG__COLUMN(I64, struct worth, greedy_rank, SG__CSV, .name = "greedy_rank"),
    SG__COLUMN(F64, struct worth, greedy_value, SG__CSV, .name = "greedy_value"),
    SG__COLUMN(F64, struct worth, total, SG__CSV, .name = "total"),
};
static const struct sg__layout worth_layout = {.csv = "portfolio_value.csv", SG__COLUMNS(worth_columns),
    .stride = sizeof(struct worth)};
static const struct sg__layout worth_h5_layout[2] = {
    {.suffix = "_predicted", .axes = {"lambda", "model"}, SG__COLUMNS(worth_columns), .stride = sizeof(struct worth)},
    {.suffix = "_true", .axes = {"lambda", "model"}, SG__COLUMNS(worth_columns), .stride = sizeof(struct worth)}};
static const struct sg__column lambda_columns[] = {
    {.kind = SG__F64, .in = SG__AXIS, .name = "lambda", .units = "1/USD", .long_name = "price of money, accuracy per USD"},
};
static const struct sg__layout lambda_layout = {.axes = {"lambda"}, SG__COLUMNS(lambda_columns), .stride = sizeof(double)};
/* clang-format on */

/* The models of the pool and, in the CSV file alone, one at random for each query. */
static enum sg_status models(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const struct sg_dataset *d = a->data;
    const double none = (double)NAN;
    const bool truth = d->n_scored > 0;
    const struct sg_value nothing = {none, none, none};
    const struct sg_quality *q = a->quality[SG_EST_SCOPE];
    /* the dearest lambda: what a model is worth when money counts */
    const struct sg_portfolio_value *worth = &(truth ? a->value_true : a->value_predicted)[a->n_value - 1];
    struct model *row;
    SG_TRY(SG__ROWS(t, &row, d->m + 1, err));
    for (int32_t k = 0; k < d->m; k++)
        row[k] = (struct model){.model = sg_dataset_model(d, k),
                                .price_input = d->price_input[k],
                                .price_output = d->price_output[k],
                                .single = a->single[k],
                                .brier = q ? q[1 + k].brier : none,
                                .auc = q ? q[1 + k].auc : none,
                                .value = worth->shapley[k]};
    row[d->m] = (struct model){.model = "(random)",
                               .price_input = none,
                               .price_output = none,
                               .single = {.n_estimated = truth ? d->n_scored : d->n,
                                          .n_scored = d->n_scored,
                                          .predicted_accuracy = truth ? nothing : a->random_accuracy,
                                          .predicted_cost = truth ? nothing : a->random_cost,
                                          .accuracy = truth ? a->random_accuracy : nothing,
                                          .cost = truth ? a->random_cost : nothing}};
    SG_TRY(sg__tables_add(t, &model_layout, row, d->m + 1, SG__SIZES(d->m), err));
out:
    return st;
}

/* Rows by (predicted or true, lambda, model); the CSV file has them by lambda and in greedy order. */
static enum sg_status worths(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t n = (int64_t)a->n_value, m = a->data->m;
    const double none = (double)NAN;
    struct worth *row;
    int64_t *order, n_csv = 0;
    double *lambda;
    SG_TRY(SG__ROWS(t, &row, 2 * n * m, err));
    SG_TRY(SG__ROWS(t, &order, 2 * n * m, err));
    SG_TRY(SG__ROWS(t, &lambda, n, err));
    for (int64_t i = 0; i < 2 * n * m; i++) row[i].shapley = row[i].leave_one_out = none;
    for (int64_t i = 0; i < n; i++)
        for (int truth = 0; truth < (a->value_true ? 2 : 1); truth++) {
            const struct sg_portfolio_value *x = truth ? &a->value_true[i] : &a->value_predicted[i];
            lambda[i] = x->lambda;
            for (int32_t r = 0; r < m; r++) {
                const int32_t k = x->greedy[r];
                const int64_t at = (truth * n + i) * m + k;
                row[at] = (struct worth){.lambda = x->lambda,
                                         .values = truth ? "true" : "predicted",
                                         .model = sg_dataset_model(a->data, k),
                                         .shapley = x->shapley[k],
                                         .leave_one_out = x->leave_one_out[k],
                                         .alone = x->alone[k],
                                         .greedy_rank = r + 1,
                                         .greedy_value = x->greedy_value[r],
                                         .total = x->total};
                order[n_csv++] = at;
            }
        }
    SG_TRY(sg__tables_add(t, &lambda_layout, lambda, 0, SG__SIZES(n), err));
    SG_TRY(sg__tables_add(t, &worth_layout, row, n_csv, SG__SIZES(0), err));
    t->table[t->n - 1].order = order;
    for (int truth = 0; truth < 2; truth++)
        SG_TRY(sg__tables_add(t, &worth_h5_layout[truth], row + truth * n * m, 0, SG__SIZES(n, m), err));
out:
    return st;
}

enum sg_status sg__tables_models(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = models(t, err);
    return st == SG_OK ? worths(t, err) : st;
}

/* tables_models - single models, and what each model is worth to the pool. */
#include "tables.h"

#include <math.h>

/* clang-format off */
#define AT(member) offsetof(struct sg_single_model, member)
static const struct sg__table_column model_columns[] = {
    SG__COLUMN(TEXT, AT(model), SG__CSV | SG__AXIS | SG__JSON, "id", NULL, "model of the pool",
               .csv = "model"),
    SG__COLUMN(F64, AT(price_input), SG__ALL | SG__BARE, "price_input", "USD per million tokens",
               "price of prompt tokens used here", SG__SHOW("USD/M in", NULL, NUMBER, 2), .place = 5),
    SG__COLUMN(F64, AT(price_output), SG__ALL | SG__BARE, "price_output", "USD per million tokens",
               "price of completion tokens used here", SG__SHOW("USD/M out", NULL, NUMBER, 2), .place = 5),
    SG__COLUMN(I64, AT(n_estimated), SG__CSV, "n_estimated"),
    SG__COLUMN(VALUE, AT(predicted_accuracy), SG__ALL, "predicted_accuracy", "1",
               "mean estimated accuracy of the model used everywhere",
               SG__SHOW("predicted", "   %-20s", PERCENT, 1), .place = 2),
    SG__COLUMN(VALUE, AT(predicted_cost), SG__ALL | SG__LONE, "predicted_cost", "USD",
               "mean estimated cost of the model used everywhere", "predicted_cost_usd",
               SG__SHOW("pred. cost", " %12s", USD, 0), .place = 2),
    SG__COLUMN(I64, AT(n_scored), SG__CSV, "n_scored"),
    SG__COLUMN(VALUE, AT(accuracy), SG__ALL, "accuracy", "1",
               "true accuracy of the model used everywhere, scored queries",
               SG__SHOW("accuracy", "   %-20s", PERCENT, 1), .place = 1, .when = SG__TRUTH),
    SG__COLUMN(VALUE, AT(cost), SG__ALL | SG__LONE, "cost", "USD",
               "true mean cost of the model used everywhere, scored queries", "cost_usd",
               SG__SHOW("cost", " %12s", USD, 0), .place = 1, .when = SG__TRUTH),
    SG__COLUMN(BOOL, AT(on_hull), SG__ALL, "on_hull", NULL,
               "1: no mixture of other single models is as good at its cost"),
    SG__COLUMN(F64, AT(brier), SG__JSON, "brier", SG__SHOW("Brier", NULL, NUMBER, 3), .place = 3,
               .when = SG__TRUTH),
    SG__COLUMN(F64, AT(auc), SG__JSON, "auc", SG__SHOW("AUC", NULL, NUMBER, 3), .place = 3, .when = SG__TRUTH),
    SG__COLUMN(F64, AT(value), SG__JSON, "value", SG__SHOW("value", NULL, POINTS, 1), .place = 4),
};
#undef AT
static const struct sg__layout model_layout = {.csv = "models.csv", .json = "models", .prefix = "model_",
    .axes = {"model"}, SG__COLUMNS(model_columns), .stride = sizeof(struct sg_single_model)};

struct worth { /* of a model to the pool, at one price of money */
    double lambda;
    const char *values; /* predicted or true */
    int32_t model;
    int64_t greedy_rank;
    double shapley, leave_one_out, alone, greedy_value, total;
};
#define AT(member) offsetof(struct worth, member)
static const struct sg__table_column worth_columns[] = {
    SG__COLUMN(F64, AT(lambda), SG__CSV, "lambda"),
    SG__COLUMN(TEXT, AT(values), SG__CSV, "values"),
    SG__COLUMN(MODEL, AT(model), SG__CSV, "model"),
    SG__COLUMN(F64, AT(shapley), SG__CSV | SG__H5, "shapley", "1",
               "value of the model to the pool, in accuracy"),
    SG__COLUMN(F64, AT(leave_one_out), SG__CSV | SG__H5, "leave_one_out", "1",
               "value of the model to the pool, in accuracy", "leave_one_out_loss"),
    SG__COLUMN(F64, AT(alone), SG__CSV, "alone"),
    SG__COLUMN(I64, AT(greedy_rank), SG__CSV, "greedy_rank"),
    SG__COLUMN(F64, AT(greedy_value), SG__CSV, "greedy_value"),
    SG__COLUMN(F64, AT(total), SG__CSV, "total"),
};
#undef AT
static const struct sg__layout worth_layout = {.csv = "portfolio_value.csv", SG__COLUMNS(worth_columns),
    .stride = sizeof(struct worth)};
static const struct sg__layout worth_h5_layout[2] = {
    {.suffix = "_predicted", .axes = {"lambda", "model"}, SG__COLUMNS(worth_columns),
        .stride = sizeof(struct worth)},
    {.suffix = "_true", .axes = {"lambda", "model"}, SG__COLUMNS(worth_columns),
        .stride = sizeof(struct worth)}};
static const struct sg__table_column lambda_columns[] = {
    SG__COLUMN(F64, 0, SG__AXIS, "lambda", "1/USD", "price of money, accuracy per USD")};
static const struct sg__layout lambda_layout = {.axes = {"lambda"}, SG__COLUMNS(lambda_columns),
    .stride = sizeof(double)};
/* clang-format on */

/* Rows by (predicted or true, lambda, model); the CSV file has them by lambda and in greedy order. */
static enum sg_status worths(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t n = (int64_t)a->n_value, m = a->data->m;
    struct worth *row;
    int64_t *order, n_csv = 0;
    double *lambda;
    SG_TRY(SG__ROWS(t, &row, 2 * n * m, err));
    SG_TRY(SG__ROWS(t, &order, 2 * n * m, err));
    SG_TRY(SG__ROWS(t, &lambda, n, err));
    for (int64_t i = 0; i < 2 * n * m; i++) row[i].shapley = row[i].leave_one_out = (double)NAN;
    for (int64_t i = 0; i < 2 * n; i++) {
        const bool truth = i % 2;
        if (truth && !a->value_true) continue;
        const struct sg_portfolio_value *x = truth ? &a->value_true[i / 2] : &a->value_predicted[i / 2];
        lambda[i / 2] = x->lambda;
        for (int32_t r = 0; r < m; r++) {
            const int32_t k = x->greedy[r];
            const int64_t at = (truth * n + i / 2) * m + k;
            row[at] = (struct worth){.lambda = x->lambda,
                                     .values = truth ? "true" : "predicted",
                                     .model = k,
                                     .greedy_rank = r + 1,
                                     .shapley = x->shapley[k],
                                     .leave_one_out = x->leave_one_out[k],
                                     .alone = x->alone[k],
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
    enum sg_status st = SG_OK;
    const int32_t m = t->a->data->m;
    SG_TRY(sg__tables_add(t, &model_layout, t->a->single, m + 1, SG__SIZES(m), err));
    SG_TRY(worths(t, err));
out:
    return st;
}

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
    double shapley, leave_one_out, alone;
    int32_t greedy_rank;
};
#define AT(member) offsetof(struct worth, member)
#define WORTH      "value of the model to the pool, in accuracy"
static const struct sg__table_column worth_columns[] = {
    SG__COLUMN(F64, AT(shapley), SG__H5, "shapley", "1", WORTH),
    SG__COLUMN(F64, AT(leave_one_out), SG__H5, "leave_one_out", "1", WORTH),
    SG__COLUMN(F64, AT(alone), SG__H5, "alone", "1", "value of a pool of this model alone, in accuracy"),
    SG__COLUMN(I32, AT(greedy_rank), SG__H5, "greedy_rank", NULL,
               "place in the order in which each next model adds most, from 1; 0: no truth"),
};
#undef AT
static const struct sg__layout worth_layout[2] = {
    {.suffix = "_predicted", .axes = {"lambda", "model"}, SG__COLUMNS(worth_columns),
        .stride = sizeof(struct worth)},
    {.suffix = "_true", .axes = {"lambda", "model"}, SG__COLUMNS(worth_columns),
        .stride = sizeof(struct worth)}};
static const struct sg__table_column lambda_columns[] = {
    SG__COLUMN(F64, 0, SG__AXIS, "lambda", "1/USD", "price of money, accuracy per USD")};
static const struct sg__layout lambda_layout = {.axes = {"lambda"}, SG__COLUMNS(lambda_columns),
    .stride = sizeof(double)};
/* clang-format on */

/* By the estimates and by the truth, NaN where there is none. */
static enum sg_status worths(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t n = (int64_t)a->n_value, m = a->data->m;
    const double none = (double)NAN;
    struct worth *row;
    double *lambda;
    SG_TRY(SG__ROWS(t, &lambda, n, err));
    for (int64_t i = 0; i < n; i++) lambda[i] = a->value_predicted[i].lambda;
    SG_TRY(sg__tables_add(t, &lambda_layout, lambda, 0, SG__SIZES(n), err));
    for (int truth = 0; truth < 2; truth++) {
        const struct sg_portfolio_value *x = truth ? a->value_true : a->value_predicted;
        SG_TRY(SG__ROWS(t, &row, n * m, err));
        for (int64_t i = 0; i < n * m; i++) {
            const int32_t k = (int32_t)(i % m), l = (int32_t)(i / m);
            row[i] = x ? (struct worth){x[l].shapley[k], x[l].leave_one_out[k], x[l].alone[k], 0}
                       : (struct worth){none, none, none, 0};
        }
        for (int64_t i = 0; x && i < n * m; i++)
            row[i / m * m + x[i / m].greedy[i % m]].greedy_rank = (int32_t)(i % m) + 1;
        SG_TRY(sg__tables_add(t, &worth_layout[truth], row, 0, SG__SIZES(n, m), err));
    }
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

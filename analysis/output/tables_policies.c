/* tables_policies - the budgets and targets asked for: their policies, which model answers which query,
 * shares. */
#include "tables.h"

#include <string.h>

/* clang-format off */
#define AT(member) offsetof(struct sg_asked_policy, member)
#define FITTED     "the realised curve at this budget: met in true cost, cross-fitted"
static const struct sg__table_column asked_columns[] = {
    SG__COLUMN(TEXT, AT(name), SG__AXIS, "ask", NULL,
               "budget (mean USD a query) or target accuracy asked for"),
    SG__COLUMN(BOOL, AT(is_target), SG__JSON, "is_target"),
    SG__COLUMN(BOOL, AT(ours), SG__JSON, "ours"),
    SG__COLUMN(F64, AT(asked), SG__JSON, "asked"),
    SG__COLUMN(F64, AT(policy.lambda), SG__H5, "lambda", "1/USD", "price of money at which the policy stands"),
    SG__COLUMN(VALUE, AT(predicted_accuracy), SG__H5 | SG__JSON, "predicted_accuracy", "1", "accuracy as estimated",
               SG__SHOW("predicted", " %-20s", PERCENT, 1)),
    SG__COLUMN(VALUE, AT(predicted_cost), SG__H5 | SG__JSON | SG__LONE, "predicted_cost", "USD",
               "mean cost as estimated", SG__SHOW("pred. cost", " %12s", USD, 0)),
    SG__COLUMN(VALUE, AT(accuracy), SG__H5 | SG__JSON, "accuracy", "1",
               "true accuracy of the same policy, scored queries",
               SG__SHOW("true accuracy", "  %-20s", PERCENT, 1), .when = SG__TRUTH),
    SG__COLUMN(VALUE, AT(cost), SG__H5 | SG__JSON, "cost", "USD", "true mean cost of the same policy, scored queries",
               SG__SHOW("truly paid", " %12s", USD, 0), .when = SG__TRUTH),
    SG__COLUMN(VALUE, AT(posterior), SG__H5 | SG__JSON, "posterior_accuracy", "1",
               "accuracy given the votes, where there is no truth",
               SG__SHOW("given the votes", "  %-20s", PERCENT, 1), .when = SG__NO_TRUTH),
    SG__COLUMN(VALUE, AT(gain), SG__H5 | SG__JSON, "gain", "1", "accuracy less the best single model's, paired",
               SG__SHOW("gain, points", "  %-20s", POINTS, 1)),
    SG__COLUMN(VALUE, AT(saving), SG__H5 | SG__JSON, "saving", "1", "1 - cost / the best single model's, paired",
               SG__SHOW("cost saved, %", " %-20s", PERCENT, 1)),
    SG__COLUMN(F64, AT(oracle_gap), SG__H5 | SG__JSON, "oracle_gap", "1",
               "accuracy of the oracle at the same true cost less that of the policy",
               SG__SHOW("to the oracle", NULL, POINTS, 1), .when = SG__TRUTH),
    SG__COLUMN(F64, AT(regret), SG__H5, "regret", "1",
               "mean true utility lost against the best choice at the policy's lambda"),
    SG__COLUMN(QUERY, AT(mixed_query), SG__H5, "mixed_query", NULL,
               "index of the one query answered by a mixing pair, -1 for none"),
    SG__COLUMN(MODEL, AT(mixed_to), SG__H5, "mixed_model", NULL,
               "index of the pair's second model, used with ask_mixed_weight"),
    SG__COLUMN(F64, AT(policy.weight), SG__H5, "mixed_weight", "1",
               "weight of the mixing pair's second model"),
    SG__COLUMN(F64, AT(fitted_accuracy), SG__H5 | SG__JSON, "fitted_accuracy", "1", FITTED,
               SG__SHOW("fitted to true cost", NULL, PERCENT, 1), .when = SG__TRUTH),
    SG__COLUMN(F64, AT(fitted_cost), SG__H5 | SG__JSON, "fitted_cost", "USD", FITTED,
               SG__SHOW("fitted cost", NULL, USD, 0), .when = SG__TRUTH),
};
#undef AT
static const struct sg__layout asked_layout = {.json = "policies", .prefix = "ask_",
    .axes = {"ask"}, SG__COLUMNS(asked_columns), .stride = sizeof(struct sg_asked_policy)};

#define AT(member) offsetof(struct sg_unmet_target, member)
static const struct sg__table_column unmet_columns[] = {
    SG__COLUMN(F64, AT(asked), SG__JSON, "asked"), SG__COLUMN(F64, AT(best), SG__JSON, "best")};
#undef AT
static const struct sg__layout unmet_layout = {.json = "unmet", SG__COLUMNS(unmet_columns),
    .stride = sizeof(struct sg_unmet_target)};

struct answer { /* who answers a query with which weight */
    const char *ask;
    int32_t query, model;
    double weight;
};
#define AT(member) offsetof(struct answer, member)
static const struct sg__table_column answer_columns[] = {
    SG__COLUMN(TEXT, AT(ask), SG__CSV, "ask"),
    SG__COLUMN(QUERY, AT(query), SG__CSV, "query"),
    SG__COLUMN(MODEL, AT(model), SG__CSV, "model"),
    SG__COLUMN(F64, AT(weight), SG__CSV, "weight"),
};
static const struct sg__layout answer_layout = {.csv = "policies.csv", SG__COLUMNS(answer_columns),
    .stride = sizeof(struct answer)};
static const struct sg__table_column share_columns[] = {
    SG__COLUMN(F64, 0, SG__H5, "ask_share", "1", "share of queries a model gets")};
static const struct sg__layout share_layout = {.axes = {"ask", "model"}, SG__COLUMNS(share_columns),
    .stride = sizeof(double)};

static const struct sg__table_column choice_columns[] = {
    SG__COLUMN(MODEL, 0, SG__H5, "policy", NULL, "index of the model that answers the query")};
static const struct sg__layout choice_layout = {.axes = {"ask", "query"}, SG__COLUMNS(choice_columns),
    .stride = sizeof(int32_t)};
static const struct sg__table_column query_columns[] = {SG__COLUMN(TEXT, 0, SG__AXIS, "query", NULL,
           "query analysed")};
static const struct sg__layout query_layout = {.axes = {"query"}, SG__COLUMNS(query_columns),
    .stride = sizeof(char *)};
/* clang-format on */

static enum sg_status shares(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = (int64_t)t->a->n_policies, m = t->a->data->m;
    double *row;
    SG_TRY(SG__ROWS(t, &row, n * m, err));
    for (int64_t i = 0; i < n * m; i++) row[i] = t->a->policies[i / m].share[i % m];
    SG_TRY(sg__tables_add(t, &share_layout, row, 0, SG__SIZES(n, m), err));
out:
    return st;
}

/* The mixed query of a policy has two rows. */
static enum sg_status answers(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = t->a->data;
    const int64_t n = (int64_t)t->a->n_policies;
    struct answer *row;
    int32_t *choice;
    const char **query;
    int64_t rows = 0;
    SG_TRY(SG__ROWS(t, &row, n * (d->n + 1), err));
    SG_TRY(SG__ROWS(t, &choice, n * d->n, err));
    SG_TRY(SG__ROWS(t, &query, d->n, err));
    for (int64_t q = 0; q < d->n; q++) query[q] = sg_dataset_query(d, q);
    for (int64_t i = 0; i < n; i++) {
        const struct sg_asked_policy *k = &t->a->policies[i];
        memcpy(choice + i * d->n, k->model, (size_t)d->n * sizeof *choice);
        for (int32_t q = 0; q < d->n; q++) {
            const double w = q == k->mixed_query ? k->policy.weight : 0;
            row[rows++] = (struct answer){k->name, q, k->model[q], 1 - w};
            if (w > 0) row[rows++] = (struct answer){k->name, q, k->mixed_to, w};
        }
    }
    SG_TRY(sg__tables_add(t, &query_layout, query, 0, SG__SIZES(d->n), err));
    SG_TRY(sg__tables_add(t, &answer_layout, row, rows, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &choice_layout, choice, 0, SG__SIZES(n, d->n), err));
out:
    return st;
}

enum sg_status sg__tables_policies(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = (int64_t)t->a->n_policies;
    SG_TRY(sg__tables_add(t, &asked_layout, t->a->policies, 0, SG__SIZES(n), err));
    SG_TRY(sg__tables_add(t, &unmet_layout, t->a->unmet, (int64_t)t->a->n_unmet, SG__SIZES(0), err));
    SG_TRY(answers(t, err));
    SG_TRY(shares(t, err));
out:
    return st;
}

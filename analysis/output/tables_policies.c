/* tables_policies - the budgets and targets asked for: their policies, which model answers which query, shares. */
#include "tables.h"

#include <math.h>
#include <stdio.h>

/* clang-format off */
struct asked {
    const char *ask;
    struct sg_asked_policy k;
    const char *mixed_query, *mixed_from, *mixed_to; /* "": no query is mixed */
    int32_t mixed_index;
};
static const struct sg__column asked_columns[] = {
    SG__COLUMN(TEXT, struct asked, ask, SG__CSV | SG__AXIS, .name = "ask",
               .long_name = "budget (mean USD a query) or target accuracy asked for"),
    SG__COLUMN(BOOL, struct asked, k.is_target, SG__JSON, .name = "is_target"),
    SG__COLUMN(BOOL, struct asked, k.ours, SG__JSON, .name = "ours"),
    SG__COLUMN(F64, struct asked, k.asked, SG__JSON, .name = "asked"),
    SG__COLUMN(F64, struct asked, k.policy.lambda, SG__CSV, .name = "lambda"),
    SG__COLUMN(VALUE, struct asked, k.predicted_accuracy, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "predicted_accuracy",
               .units = "1", .long_name = "accuracy as estimated",
               .heading = "predicted", .print = " %-20s", .style = SG__PERCENT, .digits = 1),
    SG__COLUMN(VALUE, struct asked, k.predicted_cost, SG__CSV | SG__H5 | SG__JSON, .name = "predicted_cost",
               .csv = "predicted_cost_usd", .units = "USD", .long_name = "mean cost as estimated",
               .heading = "pred. cost", .print = " %12s", .style = SG__USD),
    SG__COLUMN(VALUE, struct asked, k.accuracy, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "accuracy", .units = "1",
               .long_name = "true accuracy of the same policy, scored queries",
               .heading = "true accuracy", .print = "  %-20s", .style = SG__PERCENT, .digits = 1, .when = SG__TRUTH),
    SG__COLUMN(VALUE, struct asked, k.cost, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "cost", .csv = "cost_usd",
               .units = "USD", .long_name = "true mean cost of the same policy, scored queries",
               .heading = "truly paid", .print = " %12s", .style = SG__USD, .when = SG__TRUTH),
    SG__COLUMN(VALUE, struct asked, k.posterior, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "posterior_accuracy",
               .stem = "posterior", .units = "1", .long_name = "accuracy given the votes, where there is no truth",
               .heading = "given the votes", .print = "  %-20s", .style = SG__PERCENT, .digits = 1, .when = SG__NO_TRUTH),
    SG__COLUMN(VALUE, struct asked, k.gain, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "gain", .csv = "gain_over_best_single",
               .units = "1", .long_name = "accuracy less the best single model's, paired",
               .heading = "gain, points", .print = "  %-20s", .style = SG__POINTS),
    SG__COLUMN(VALUE, struct asked, k.saving, SG__CSV | SG__H5_INTERVAL | SG__JSON, .name = "saving",
               .csv = "saving_over_best_single", .units = "1", .long_name = "1 - cost / the best single model's, paired",
               .heading = "cost saved, %", .print = " %-20s", .style = SG__PERCENT, .digits = 1),
    SG__COLUMN(F64, struct asked, k.oracle_gap, SG__CSV | SG__JSON, .name = "oracle_gap",
               .heading = "to the oracle", .style = SG__POINTS, .when = SG__TRUTH),
    SG__COLUMN(F64, struct asked, k.regret, SG__CSV | SG__H5, .name = "regret", .units = "1",
               .long_name = "mean true utility lost against the best choice at the policy's lambda"),
    SG__COLUMN(TEXT, struct asked, mixed_query, SG__CSV, .name = "mixed_query"),
    SG__COLUMN(I32, struct asked, mixed_index, SG__H5, .name = "mixed_query",
               .long_name = "index of the one query answered by a mixing pair, -1 for none"),
    SG__COLUMN(TEXT, struct asked, mixed_from, SG__CSV, .name = "mixed_from"),
    SG__COLUMN(TEXT, struct asked, mixed_to, SG__CSV, .name = "mixed_to"),
    SG__COLUMN(I32, struct asked, k.mixed_model, SG__H5, .name = "mixed_model",
               .long_name = "index of the pair's second model, used with ask_mixed_weight"),
    SG__COLUMN(F64, struct asked, k.policy.weight, SG__CSV | SG__BLANK0 | SG__H5, .name = "mixed_weight", .units = "1",
               .long_name = "weight of the mixing pair's second model"),
    SG__COLUMN(F64, struct asked, k.fitted_accuracy, SG__CSV | SG__JSON, .name = "fitted_accuracy",
               .heading = "fitted to true cost", .style = SG__PERCENT, .digits = 1, .when = SG__TRUTH),
    SG__COLUMN(F64, struct asked, k.fitted_cost, SG__CSV | SG__JSON, .name = "fitted_cost", .csv = "fitted_cost_usd",
               .heading = "fitted cost", .style = SG__USD, .when = SG__TRUTH),
};
static const struct sg__layout asked_layout = {.csv = "asks.csv", .json = "policies", .prefix = "ask_", .axes = {"ask"},
    SG__COLUMNS(asked_columns), .stride = sizeof(struct asked)};

struct answer { /* who answers a query, with which weight; or the share of the queries a model gets */
    const char *ask, *query, *model;
    double weight;
};
static const struct sg__column answer_columns[] = {
    SG__COLUMN(TEXT, struct answer, ask, SG__CSV, .name = "ask"),
    SG__COLUMN(TEXT, struct answer, query, SG__CSV, .name = "query"),
    SG__COLUMN(TEXT, struct answer, model, SG__CSV, .name = "model"),
    SG__COLUMN(F64, struct answer, weight, SG__CSV, .name = "weight"),
};
static const struct sg__layout answer_layout = {.csv = "policies.csv", SG__COLUMNS(answer_columns),
    .stride = sizeof(struct answer)};
static const struct sg__column share_columns[] = {
    SG__COLUMN(TEXT, struct answer, ask, SG__CSV, .name = "ask"),
    SG__COLUMN(TEXT, struct answer, model, SG__CSV, .name = "model"),
    SG__COLUMN(F64, struct answer, weight, SG__CSV | SG__H5, .name = "share", .units = "1",
               .long_name = "share of queries a model gets"),
};
static const struct sg__layout share_layout = {.csv = "ask_shares.csv", .prefix = "ask_", .axes = {"ask", "model"},
    SG__COLUMNS(share_columns), .stride = sizeof(struct answer)};

static const struct sg__column choice_columns[] = {
    {.kind = SG__I32, .in = SG__H5, .name = "policy", .long_name = "index of the model that answers the query"},
};
static const struct sg__layout choice_layout = {.axes = {"ask", "query"}, SG__COLUMNS(choice_columns), .stride = sizeof(int32_t)};
static const struct sg__column query_columns[] = {
    {.kind = SG__TEXT, .in = SG__AXIS, .name = "query", .long_name = "query analysed"},
};
static const struct sg__layout query_layout = {.axes = {"query"}, SG__COLUMNS(query_columns), .stride = sizeof(char *)};
/* clang-format on */

static enum sg_status asked(struct sg__tables *t, struct asked **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    enum { NAME_BYTES = 48 };
    const struct sg_analysis *a = t->a;
    const struct sg_dataset *d = a->data;
    const int64_t n = (int64_t)a->n_policies;
    struct asked *row;
    SG_TRY(SG__ROWS(t, &row, n, err));
    for (int64_t i = 0; i < n; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        const bool mixed = k->mixed_query >= 0;
        char *name;
        SG_TRY(SG__ROWS(t, &name, NAME_BYTES, err));
        snprintf(name, NAME_BYTES, "%s=%.9g", k->is_target ? "target" : "budget", k->asked);
        row[i] = (struct asked){.ask = name,
                                .k = *k,
                                .mixed_query = mixed ? sg_dataset_query(d, k->mixed_query) : "",
                                .mixed_from = mixed ? sg_dataset_model(d, k->model[k->mixed_query]) : "",
                                .mixed_to = mixed ? sg_dataset_model(d, k->mixed_model) : "",
                                .mixed_index = (int32_t)k->mixed_query};
    }
    SG_TRY(sg__tables_add(t, &asked_layout, row, n, SG__SIZES(n), err));
    *out = row;
out:
    return st;
}

static enum sg_status shares(struct sg__tables *t, const struct asked *asks, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = (int64_t)t->a->n_policies, m = t->a->data->m;
    struct answer *row;
    SG_TRY(SG__ROWS(t, &row, n * m, err));
    for (int64_t i = 0; i < n * m; i++)
        row[i] = (struct answer){.ask = asks[i / m].ask,
                                 .model = sg_dataset_model(t->a->data, (int32_t)(i % m)),
                                 .weight = asks[i / m].k.share[i % m]};
    SG_TRY(sg__tables_add(t, &share_layout, row, n * m, SG__SIZES(n, m), err));
out:
    return st;
}

/* The mixed query of a policy has two rows. */
static enum sg_status answers(struct sg__tables *t, const struct asked *asks, struct sg_err *err) {
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
    for (int64_t i = 0; i < n; i++)
        for (int64_t q = 0; q < d->n; q++) {
            const struct sg_asked_policy *k = &asks[i].k;
            const double w = q == k->mixed_query ? k->policy.weight : 0;
            choice[i * d->n + q] = k->model[q];
            row[rows++] = (struct answer){asks[i].ask, query[q], sg_dataset_model(d, k->model[q]), 1 - w};
            if (w > 0)
                row[rows++] = (struct answer){asks[i].ask, query[q], sg_dataset_model(d, k->mixed_model), w};
        }
    SG_TRY(sg__tables_add(t, &query_layout, query, 0, SG__SIZES(d->n), err));
    SG_TRY(sg__tables_add(t, &answer_layout, row, rows, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &choice_layout, choice, 0, SG__SIZES(n, d->n), err));
out:
    return st;
}

enum sg_status sg__tables_policies(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct asked *asks;
    SG_TRY(asked(t, &asks, err));
    SG_TRY(answers(t, asks, err));
    SG_TRY(shares(t, asks, err));
out:
    return st;
}

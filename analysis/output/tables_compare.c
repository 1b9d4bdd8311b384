/* tables_compare - several results files against the first: estimates, which models moved, and what is advised. */
#include "tables.h"

#include <math.h>

/* clang-format off */
struct file {
    struct sg_compared x;
    struct {
        double budget, accuracy;
        struct sg_value difference;
    } at[SG_COMPARE_BUDGETS];
};
#define AT(member) offsetof(struct file, member)
#define AT_BUDGET(i, n)                                                                                      \
    SG__COLUMN(F64, AT(at[i].budget), SG__CSV | SG__JSON, "budget_" n, .csv = "budget_" n "_usd"),           \
    SG__COLUMN(F64, AT(at[i].accuracy), SG__CSV | SG__JSON, "accuracy_" n),                                  \
    SG__COLUMN(VALUE, AT(at[i].difference), SG__CSV | SG__JSON, "accuracy_" n "_difference",                \
               .stem = "accuracy_" n)
static const struct sg__table_column file_columns[] = {
    SG__COLUMN(TEXT, AT(x.path), SG__CSV | SG__JSON, "file"),
    SG__COLUMN(TEXT, AT(x.name), SG__CSV, "name"),
    SG__COLUMN(F64, AT(x.sample_tokens), SG__CSV | SG__JSON, "tokens_per_cell"),
    SG__COLUMN(I64, AT(x.quality.n), SG__CSV, "n"),
    SG__COLUMN(F64, AT(x.quality.brier), SG__CSV | SG__JSON, "brier"),
    SG__COLUMN(F64, AT(x.quality.auc), SG__CSV | SG__JSON, "auc"),
    SG__COLUMN(F64, AT(x.quality.log_loss), SG__CSV, "log_loss"),
    SG__COLUMN(F64, AT(x.quality.ece), SG__CSV, "ece"),
    SG__COLUMN(TEXT, AT(x.settings), SG__CSV | SG__JSON, "settings"),
    SG__COLUMN(TEXT, AT(x.new_models), SG__CSV | SG__JSON, "new_models"),
    SG__COLUMN(TEXT, AT(x.gone_models), SG__CSV | SG__JSON, "gone_models"),
    SG__COLUMN(I64, AT(x.new_queries), SG__CSV | SG__JSON, "new_queries"),
    SG__COLUMN(I64, AT(x.gone_queries), SG__CSV | SG__JSON, "gone_queries"),
    SG__COLUMN(I64, AT(x.changes.cells), SG__CSV | SG__JSON, "cells"),
    SG__COLUMN(I64, AT(x.changes.known), SG__CSV | SG__JSON, "known_cells"),
    SG__COLUMN(VALUE, AT(x.changes.p), SG__CSV | SG__JSON, "p_change"),
    SG__COLUMN(F64, AT(x.changes.p_mean_abs), SG__CSV | SG__JSON, "p_mean_abs_change"),
    SG__COLUMN(F64, AT(x.changes.p_largest), SG__CSV | SG__JSON, "p_largest_change"),
    SG__COLUMN(I64, AT(x.changes.verdicts), SG__CSV | SG__JSON, "verdicts_changed"),
    SG__COLUMN(VALUE, AT(x.changes.length), SG__CSV | SG__JSON, "length_change"),
    SG__COLUMN(F64, AT(x.changes.length_mean_abs), SG__CSV | SG__JSON, "length_mean_abs_change"),
    SG__COLUMN(VALUE, AT(x.changes.brier), SG__CSV | SG__JSON, "brier_difference", .stem = "brier"),
    SG__COLUMN(VALUE, AT(x.changes.auc), SG__CSV | SG__JSON, "auc_difference", .stem = "auc"),
    SG__COLUMN(F64, AT(x.aiq), SG__CSV, "aiq"),
    AT_BUDGET(0, "1"), AT_BUDGET(1, "2"), AT_BUDGET(2, "3"),
};
#undef AT
_Static_assert(SG_COMPARE_BUDGETS == 3, "a column of compare.csv for every budget");
static const struct sg__layout file_layout = {.csv = "compare.csv", .json = "compared",
    SG__COLUMNS(file_columns), .stride = sizeof(struct file)};

struct drift {
    const char *file, *model, *quantity;
    struct sg_drift d;
};
#define AT(member) offsetof(struct drift, member)
static const struct sg__table_column drift_columns[] = {
    SG__COLUMN(TEXT, AT(file), SG__CSV | SG__JSON, "file"),
    SG__COLUMN(TEXT, AT(model), SG__CSV | SG__JSON, "model"),
    SG__COLUMN(TEXT, AT(quantity), SG__CSV | SG__JSON, "quantity"),
    SG__COLUMN(I64, AT(d.n), SG__CSV, "n"),
    SG__COLUMN(F64, AT(d.before), SG__CSV | SG__JSON, "before"),
    SG__COLUMN(F64, AT(d.after), SG__CSV | SG__JSON, "after"),
    SG__COLUMN(VALUE, AT(d.difference), SG__CSV, "difference", .stem = ""),
    SG__COLUMN(F64, AT(d.p_value), SG__CSV, "p_value"),
    SG__COLUMN(F64, AT(d.holm), SG__CSV | SG__JSON, "p_holm"),
    SG__COLUMN(BOOL, AT(d.moved), SG__CSV, "moved"),
};
#undef AT
static bool moved(const void *row) {
    return ((const struct drift *)row)->d.moved && !isnan(((const struct drift *)row)->d.holm);
}
static bool repriced(const void *row) {
    return ((const struct drift *)row)->d.moved && isnan(((const struct drift *)row)->d.holm);
}
static const struct sg__layout drift_layout = {.csv = "drift.csv", .json = "drift",
    SG__COLUMNS(drift_columns), .stride = sizeof(struct drift), .told = moved};
/* The same rows: what the page tells of prices. */
static const struct sg__layout price_layout = {.json = "repriced", SG__COLUMNS(drift_columns),
    .stride = sizeof(struct drift), .told = repriced};

#define AT(member) offsetof(struct sg_night, member)
#define MONEY(member, name, text) SG__COLUMN(F64, AT(member), SG__ALL, name, "USD", text)
static const struct sg__table_column night_columns[] = {
    SG__COLUMN(TEXT, AT(file), SG__CSV | SG__JSON, "file"),
    SG__COLUMN(TEXT, AT(asked), SG__CSV | SG__JSON, "ask"),
    SG__COLUMN(TEXT, AT(before.kind), SG__CSV | SG__JSON, "kind_before"),
    SG__COLUMN(TEXT, AT(after.kind), SG__CSV | SG__JSON, "kind_after"),
    SG__COLUMN(VALUE, AT(before.accuracy), SG__ALL, "accuracy_before", "1", "accuracy of what the first file advises"),
    SG__COLUMN(VALUE, AT(after.accuracy), SG__ALL, "accuracy_after", "1", "accuracy of what this file advises"),
    SG__COLUMN(VALUE, AT(difference), SG__ALL, "accuracy_difference", "1", "the latter less the former"),
    SG__COLUMN(VALUE, AT(before.cost), SG__ALL, "cost_before", "USD", "mean cost of a query, first file"),
    SG__COLUMN(VALUE, AT(after.cost), SG__ALL, "cost_after", "USD", "mean cost of a query, this file"),
    SG__COLUMN(I64, AT(common), SG__ALL, "common", "1", "queries of both files"),
    SG__COLUMN(I64, AT(rerouted), SG__ALL, "rerouted", "1", "of them, those that another model answers"),
    MONEY(bill_before, "bill_before", "mean bill of a query of the first file's policy, as estimated"),
    MONEY(bill_after, "bill_after", "the same of this file's policy"),
    MONEY(prices, "bill_prices", "part of the change: other prices of the first policy's calls"),
    MONEY(lengths, "bill_lengths", "part of the change: other lengths of the same calls"),
    MONEY(routing, "bill_routing", "part of the change: other models"),
    MONEY(queries, "bill_queries", "part of the change: queries that one file lacks"),
    SG__COLUMN(TEXT, AT(before.sentence), SG__CSV | SG__JSON, "advice_before"),
    SG__COLUMN(TEXT, AT(after.sentence), SG__CSV | SG__JSON, "advice_after"),
};
#undef MONEY
#undef AT
static const struct sg__layout night_layout = {.csv = "nights.csv", .json = "nights", .prefix = "night_",
    .axes = {"night", "night_ask"}, SG__COLUMNS(night_columns), .stride = sizeof(struct sg_night)};
static const struct sg__table_column file_name_columns[] = {
    SG__COLUMN(TEXT, 0, SG__AXIS, "night", NULL, "file that is compared with the first")};
static const struct sg__layout file_name_layout = {.axes = {"night"}, SG__COLUMNS(file_name_columns), .stride = sizeof(char *)};
static const struct sg__table_column ask_name_columns[] = {
    SG__COLUMN(TEXT, offsetof(struct sg_night, asked), SG__AXIS, "night_ask", NULL, "budget or target that both were asked for")};
static const struct sg__layout ask_name_layout = {.axes = {"night_ask"}, SG__COLUMNS(ask_name_columns), .stride = sizeof(struct sg_night)};

#define AT(member) offsetof(struct sg_reroute, member)
static const struct sg__table_column reroute_columns[] = {
    SG__COLUMN(TEXT, AT(file), SG__CSV, "file"),
    SG__COLUMN(TEXT, AT(asked), SG__CSV, "ask"),
    SG__COLUMN(TEXT, AT(query), SG__CSV, "query"),
    SG__COLUMN(TEXT, AT(before), SG__CSV, "model_before"),
    SG__COLUMN(TEXT, AT(after), SG__CSV, "model_after"),
    SG__COLUMN(F64, AT(cost_before), SG__CSV, "cost_before_usd"),
    SG__COLUMN(F64, AT(cost_after), SG__CSV, "cost_after_usd"),
};
#undef AT
static const struct sg__layout reroute_layout = {.csv = "rerouted.csv", SG__COLUMNS(reroute_columns),
    .stride = sizeof(struct sg_reroute)};

#define AT(member) offsetof(struct sg_move, member)
static const struct sg__table_column move_columns[] = {
    SG__COLUMN(TEXT, AT(file), SG__JSON, "file"),
    SG__COLUMN(TEXT, AT(asked), SG__JSON, "ask"),
    SG__COLUMN(TEXT, AT(before), SG__JSON, "before"),
    SG__COLUMN(TEXT, AT(after), SG__JSON, "after"),
    SG__COLUMN(I64, AT(queries), SG__JSON, "queries"),
};
#undef AT
static const struct sg__layout move_layout = {.json = "moves", SG__COLUMNS(move_columns), .stride = sizeof(struct sg_move)};
/* clang-format on */

static enum sg_status nights(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const struct sg_nights none = {.n_asked = 0}; /* of one file the tables are empty */
    const struct sg_nights *x = t->c ? &t->c->nights : &none;
    const int64_t n = (int64_t)x->n_nights, files = x->n_asked ? n / x->n_asked : 0;
    const char **name;
    SG_TRY(SG__ROWS(t, &name, files, err));
    for (int64_t f = 0; f < files; f++) name[f] = x->night[f * x->n_asked].file;
    if (n) { /* the axes */
        SG_TRY(sg__tables_add(t, &file_name_layout, name, 0, SG__SIZES(files), err));
        SG_TRY(sg__tables_add(t, &ask_name_layout, x->night, 0, SG__SIZES(x->n_asked), err));
    }
    SG_TRY(sg__tables_add(t, &night_layout, x->night, n, SG__SIZES(files, x->n_asked), err));
    SG_TRY(sg__tables_add(t, &reroute_layout, x->reroute, (int64_t)x->n_reroutes, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &move_layout, x->move, (int64_t)x->n_moves, SG__SIZES(0), err));
out:
    return st;
}

enum sg_status sg__tables_compare(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_comparison *c = t->c;
    const double none = (double)NAN;
    const int32_t n_files = c ? c->n_files : 0; /* of one file the tables are empty */
    const int64_t per = c ? (int64_t)c->n_models * SG_DRIFTS : 0, n = n_files ? (n_files - 1) * per : 0;
    struct file *file;
    struct drift *drift;
    SG_TRY(SG__ROWS(t, &file, n_files, err));
    SG_TRY(SG__ROWS(t, &drift, n, err));
    for (int32_t f = 0; f < n_files; f++) {
        file[f].x = c->file[f];
        if (!c->file[f].quality.n)
            file[f].x.quality =
                (struct sg_quality){0, none, none, none, none, none, none, {none, none, none}, none};
        for (int i = 0; i < SG_COMPARE_BUDGETS; i++) {
            file[f].at[i].budget = c->budget[i];
            file[f].at[i].accuracy = c->file[f].accuracy[i];
            file[f].at[i].difference = c->file[f].accuracy_difference[i];
        }
    }
    for (int64_t i = 0; i < n; i++)
        drift[i] = (struct drift){c->file[1 + i / per].path, c->model[i % per / SG_DRIFTS],
                                  sg_drift_name[i % SG_DRIFTS], c->drift[per + i]};
    SG_TRY(sg__tables_add(t, &file_layout, file, n_files, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &drift_layout, drift, n, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &price_layout, drift, n, SG__SIZES(0), err));
    SG_TRY(nights(t, err));
out:
    return st;
}

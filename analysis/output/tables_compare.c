/* tables_compare - several results files against the first, and which models moved. */
#include "tables.h"

#include <math.h>

/* clang-format off */
struct file {
    struct sg_compared x;
    struct {
        double budget, accuracy;
        struct sg_value difference;
        struct sg_rerouted rerouted;
    } at[SG_COMPARE_BUDGETS];
};
#define AT(member) offsetof(struct file, member)
#define AT_BUDGET(i, n)                                                                                      \
    SG__COLUMN(F64, AT(at[i].budget), SG__CSV | SG__JSON, "budget_" n, .csv = "budget_" n "_usd"),           \
    SG__COLUMN(F64, AT(at[i].accuracy), SG__CSV | SG__JSON, "accuracy_" n),                                  \
    SG__COLUMN(VALUE, AT(at[i].difference), SG__CSV | SG__JSON, "accuracy_" n "_difference",                \
               .stem = "accuracy_" n),                                                                      \
    SG__COLUMN(I64, AT(at[i].rerouted.queries), SG__CSV | SG__JSON, "rerouted_" n),                          \
    SG__COLUMN(F64, AT(at[i].rerouted.before), SG__CSV | SG__JSON, "bill_before_" n),                        \
    SG__COLUMN(F64, AT(at[i].rerouted.after), SG__CSV | SG__JSON, "bill_after_" n),                          \
    SG__COLUMN(F64, AT(at[i].rerouted.prices), SG__CSV | SG__JSON, "bill_prices_" n),                        \
    SG__COLUMN(F64, AT(at[i].rerouted.lengths), SG__CSV | SG__JSON, "bill_lengths_" n),                      \
    SG__COLUMN(F64, AT(at[i].rerouted.routing), SG__CSV | SG__JSON, "bill_routing_" n)
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
/* clang-format on */

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
            file[f].at[i].rerouted = c->file[f].rerouted[i];
        }
    }
    for (int64_t i = 0; i < n; i++)
        drift[i] = (struct drift){c->file[1 + i / per].path, c->model[i % per / SG_DRIFTS],
                                  sg_drift_name[i % SG_DRIFTS], c->drift[per + i]};
    SG_TRY(sg__tables_add(t, &file_layout, file, n_files, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &drift_layout, drift, n, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &price_layout, drift, n, SG__SIZES(0), err));
out:
    return st;
}

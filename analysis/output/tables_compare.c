/* tables_compare - several results files against the first, and which models moved. */
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
#define AT_BUDGET(i, n)                                                                                                \
    SG__COLUMN(F64, struct file, at[i].budget, SG__CSV | SG__JSON, .name = "budget_" n, .csv = "budget_" n "_usd"),    \
    SG__COLUMN(F64, struct file, at[i].accuracy, SG__CSV | SG__JSON, .name = "accuracy_" n),                           \
    SG__COLUMN(VALUE, struct file, at[i].difference, SG__CSV | SG__JSON, .name = "accuracy_" n "_difference",          \
               .stem = "accuracy_" n)
static const struct sg__column file_columns[] = {
    SG__COLUMN(TEXT, struct file, x.path, SG__CSV | SG__JSON, .name = "file"),
    SG__COLUMN(TEXT, struct file, x.name, SG__CSV, .name = "name"),
    SG__COLUMN(F64, struct file, x.sample_tokens, SG__CSV | SG__JSON, .name = "tokens_per_cell"),
    SG__COLUMN(I64, struct file, x.quality.n, SG__CSV, .name = "n"),
    SG__COLUMN(F64, struct file, x.quality.brier, SG__CSV | SG__JSON, .name = "brier"),
    SG__COLUMN(F64, struct file, x.quality.auc, SG__CSV | SG__JSON, .name = "auc"),
    SG__COLUMN(F64, struct file, x.quality.log_loss, SG__CSV, .name = "log_loss"),
    SG__COLUMN(F64, struct file, x.quality.ece, SG__CSV, .name = "ece"),
    SG__COLUMN(VALUE, struct file, x.brier_difference, SG__CSV | SG__JSON, .name = "brier_difference", .stem = "brier"),
    SG__COLUMN(F64, struct file, x.aiq, SG__CSV, .name = "aiq"),
    SG__COLUMN(VALUE, struct file, x.aiq_difference, SG__CSV, .name = "aiq_difference", .stem = "aiq"),
    AT_BUDGET(0, "1"), AT_BUDGET(1, "2"), AT_BUDGET(2, "3"),
};
_Static_assert(SG_COMPARE_BUDGETS == 3, "a column of compare.csv for every budget");
static const struct sg__layout file_layout = {.csv = "compare.csv", .json = "compared", SG__COLUMNS(file_columns),
    .stride = sizeof(struct file)};

struct drift {
    const char *file, *model, *quantity;
    struct sg_drift d;
};
static const struct sg__column drift_columns[] = {
    SG__COLUMN(TEXT, struct drift, file, SG__CSV | SG__JSON, .name = "file"),
    SG__COLUMN(TEXT, struct drift, model, SG__CSV | SG__JSON, .name = "model"),
    SG__COLUMN(TEXT, struct drift, quantity, SG__CSV | SG__JSON, .name = "quantity"),
    SG__COLUMN(I64, struct drift, d.n, SG__CSV, .name = "n"),
    SG__COLUMN(F64, struct drift, d.before, SG__CSV | SG__JSON, .name = "before"),
    SG__COLUMN(F64, struct drift, d.after, SG__CSV | SG__JSON, .name = "after"),
    SG__COLUMN(VALUE, struct drift, d.difference, SG__CSV, .name = "difference", .stem = ""),
    SG__COLUMN(F64, struct drift, d.p_value, SG__CSV, .name = "p_value"),
    SG__COLUMN(F64, struct drift, d.holm, SG__CSV | SG__JSON, .name = "p_holm"),
    SG__COLUMN(BOOL, struct drift, d.moved, SG__CSV, .name = "moved"),
};
static bool moved(const void *row) {
    return ((const struct drift *)row)->d.moved;
}
static const struct sg__layout drift_layout = {.csv = "drift.csv", .json = "drift", SG__COLUMNS(drift_columns),
    .stride = sizeof(struct drift), .told = moved};
/* clang-format on */

enum sg_status sg__tables_compare(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_comparison *c = t->c;
    const double none = (double)NAN;
    const int64_t per = (int64_t)c->n_models * SG_DRIFTS, n = (c->n_files - 1) * per;
    struct file *file;
    struct drift *drift;
    SG_TRY(SG__ROWS(t, &file, c->n_files, err));
    SG_TRY(SG__ROWS(t, &drift, n, err));
    for (int32_t f = 0; f < c->n_files; f++) {
        file[f].x = c->file[f];
        if (!c->file[f].quality.n)
            file[f].x.quality = (struct sg_quality){0, none, none, none, none, none, none};
        if (!c->truth) file[f].x.brier_difference = (struct sg_value){none, none, none};
        for (int i = 0; i < SG_COMPARE_BUDGETS; i++) {
            file[f].at[i].budget = c->budget[i];
            file[f].at[i].accuracy = c->file[f].accuracy[i];
            file[f].at[i].difference = c->file[f].accuracy_difference[i];
        }
    }
    for (int64_t i = 0; i < n; i++)
        drift[i] = (struct drift){c->file[1 + i / per].path, c->model[i % per / SG_DRIFTS],
                                  sg_drift_name[i % SG_DRIFTS], c->drift[per + i]};
    SG_TRY(sg__tables_add(t, &file_layout, file, c->n_files, SG__SIZES(0), err));
    SG_TRY(sg__tables_add(t, &drift_layout, drift, n, SG__SIZES(0), err));
out:
    return st;
}

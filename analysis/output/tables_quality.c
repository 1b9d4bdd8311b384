/* tables_quality - how good the estimates are: scores, reliability, the noise of k samples. */
#include "tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
struct quality { /* of an estimator, on a group */
    const char *estimator, *group_kind, *group; /* kind: all, model, category */
    struct sg_quality q;
    struct sg_length_quality length;
    struct sg_value gain; /* over SCOPE, on all pairs */
};
#define AT(member) offsetof(struct quality, member)
static const struct sg__table_column quality_columns[] = {
    SG__COLUMN(TEXT, AT(estimator), SG__CSV | SG__JSON, "estimator"),
    SG__COLUMN(TEXT, AT(group_kind), SG__CSV, "group_kind"),
    SG__COLUMN(TEXT, AT(group), SG__CSV, "group"),
    SG__COLUMN(I64, AT(q.n), SG__ALL, "pairs", "1",
               "pairs of query and model with an estimate and a known truth", "n"),
    SG__COLUMN(F64, AT(q.base_rate), SG__CSV | SG__H5, "base_rate", "1", "share of correct answers"),
    SG__COLUMN(F64, AT(q.mean_p), SG__CSV, "mean_p"),
    SG__COLUMN(F64, AT(q.brier), SG__ALL, "brier", "1", "Brier score", SG__SHOW("Brier", " %8s", NUMBER, 4)),
    SG__COLUMN(F64, AT(q.log_loss), SG__ALL, "log_loss", "1", "logarithmic loss",
               SG__SHOW("log loss", " %8s", NUMBER, 4)),
    SG__COLUMN(F64, AT(q.auc), SG__ALL, "auc", "1", "area under the ROC curve",
               SG__SHOW("AUC", " %8s", NUMBER, 4)),
    SG__COLUMN(F64, AT(q.ece), SG__ALL, "ece", "1", "expected calibration error, 15 bins of equal mass",
               SG__SHOW("ECE", " %8s", NUMBER, 4)),
    SG__COLUMN(VALUE, AT(q.ece_null), SG__ALL, "ece_null", "1",
               "ECE that calibrated estimates of these pairs would show: mean and 95 % range",
               SG__SHOW("ECE x 100 if calibrated", " %-23s", PERCENT, 1)),
    SG__COLUMN(I64, AT(length.n), SG__CSV, "length_n"),
    SG__COLUMN(F64, AT(length.mae), SG__ALL, "length_mae", "tokens", "mean absolute error of the length",
               SG__SHOW("len. MAE", " %9s", NUMBER, 1)),
    SG__COLUMN(F64, AT(length.median_relative), SG__ALL, "length_median_relative_error", "1",
               "median relative error of the length", SG__SHOW("len. med.", " %9s", PERCENT, 0)),
    SG__COLUMN(F64, AT(length.bias), SG__CSV, "length_bias"),
    SG__COLUMN(F64, AT(length.coverage), SG__CSV | SG__H5, "length_coverage90", "1",
               "share of lengths inside the 90 % interval of the samples"),
    SG__COLUMN(VALUE, AT(gain), SG__JSON, "gain",
               SG__SHOW("its Brier less SCOPE's x 100 (positive: SCOPE is better)", "  %s", POINTS, 1)),
};
#undef AT
static bool has_pairs(const void *row) {
    return ((const struct quality *)row)->q.n > 0;
}
static bool of_all(const void *row) {
    return has_pairs(row) && !strcmp(((const struct quality *)row)->group_kind, "all");
}
static const struct sg__layout quality_layout = {.csv = "quality.csv", .json = "quality",
    .axes = {"estimator", "group"}, SG__COLUMNS(quality_columns), .stride = sizeof(struct quality),
    .keep = has_pairs, .told = of_all};

static const struct sg__table_column estimator_columns[] = {
    SG__COLUMN(TEXT, 0, SG__AXIS, "estimator", NULL, "source of the estimate")};
static const struct sg__layout estimator_layout = {.axes = {"estimator"}, SG__COLUMNS(estimator_columns),
    .stride = sizeof(char *)};
static const struct sg__table_column group_columns[] = {
    SG__COLUMN(TEXT, 0, SG__AXIS, "group", NULL, "all pairs, those of one model, of one category")};
static const struct sg__layout group_layout = {.axes = {"group"}, SG__COLUMNS(group_columns),
    .stride = sizeof(char *)};

struct bin { /* of a reliability diagram */
    const char *estimator;
    bool of_all;
    struct sg_bin bin;
};
#define AT(member) offsetof(struct bin, member)
#define DIAGRAM    "reliability diagram, bins of equal mass"
static const struct sg__table_column bin_columns[] = {
    SG__COLUMN(TEXT, AT(estimator), SG__JSON, "estimator"),
    SG__COLUMN(I64, AT(bin.n), SG__H5 | SG__JSON, "pairs", "1", DIAGRAM),
    SG__COLUMN(F64, AT(bin.mean_p), SG__H5 | SG__JSON, "mean_p", "1", DIAGRAM),
    SG__COLUMN(F64, AT(bin.mean_y), SG__H5 | SG__JSON, "mean_correct", "1", DIAGRAM),
};
#undef AT
static bool holds_pairs_of_all(const void *row) {
    return ((const struct bin *)row)->of_all && ((const struct bin *)row)->bin.n > 0;
}
static const struct sg__layout bin_layout = {.json = "bins", .prefix = "bin_",
    .axes = {"estimator", "group", "bin"}, SG__COLUMNS(bin_columns), .stride = sizeof(struct bin),
    .told = holds_pairs_of_all};

#define AT(member) offsetof(struct sg_sampling_noise, member)
#define OF_MEAN    "variance of the mean of "
static const struct sg__table_column noise_columns[] = {
    SG__COLUMN(I64, AT(k), SG__AXIS | SG__JSON, "samples", "1", "samples a cell"),
    SG__COLUMN(I64, AT(n_cells), SG__H5, "n_cells", "1", "cells with two samples or more"),
    SG__COLUMN(F64, AT(variance_votes), SG__H5 | SG__JSON, "variance_votes", "1", OF_MEAN "votes",
               SG__SHOW("votes", " %12s", NUMBER, 6)),
    SG__COLUMN(F64, AT(variance_p_yes), SG__H5 | SG__JSON, "variance_p_yes", "1", OF_MEAN "p_yes",
               SG__SHOW("p_yes", " %12s", NUMBER, 6)),
    SG__COLUMN(F64, AT(ratio), SG__JSON, "ratio", SG__SHOW("ratio", " %8s", NUMBER, 2)),
    SG__COLUMN(F64, AT(variance_length), SG__H5 | SG__JSON, "variance_length", "1",
               OF_MEAN "the length, relative to the squared length", SG__SHOW("length", " %10s", NUMBER, 6)),
    SG__COLUMN(I64, AT(n_errors), SG__H5, "n_errors", "1", "cells with standard errors of p_correct"),
    SG__COLUMN(I64, AT(n_brier), SG__H5, "n_brier", "1", "cells behind the Brier scores"),
    SG__COLUMN(F64, AT(brier_votes), SG__H5 | SG__JSON, "brier_votes", "1", "Brier score of the mean of the votes",
               SG__SHOW("Brier votes", " %14s", NUMBER, 4)),
    SG__COLUMN(F64, AT(brier_p_yes), SG__H5 | SG__JSON, "brier_p_yes", "1", "Brier score of the mean of the p_yes",
               SG__SHOW("Brier p_yes", " %14s", NUMBER, 4)),
};
#undef AT
static bool has_cells(const void *row) {
    return ((const struct sg_sampling_noise *)row)->n_cells > 0;
}
static const struct sg__layout noise_layout = {.json = "noise", .prefix = "noise_", .axes = {"samples"},
    SG__COLUMNS(noise_columns), .stride = sizeof(struct sg_sampling_noise),
    .told = has_cells};
/* clang-format on */

/* The coordinates "all", "model: NAME", "category: NAME". */
static enum sg_status groups(struct sg__tables *t, const struct quality *row, int64_t n_groups,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char **label;
    SG_TRY(SG__ROWS(t, &label, n_groups, err));
    for (int64_t g = 0; g < n_groups; g++) {
        const size_t n = strlen(row[g].group_kind) + strlen(row[g].group) + 3;
        char *text;
        SG_TRY(SG__ROWS(t, &text, n, err));
        snprintf(text, n, g ? "%s: %s" : "%s", row[g].group_kind, row[g].group);
        label[g] = text;
    }
    SG_TRY(sg__tables_add(t, &estimator_layout, sg_estimator_name, 0, SG__SIZES(n_groups ? SG_ESTIMATORS : 0),
                          err));
    SG_TRY(sg__tables_add(t, &group_layout, label, 0, SG__SIZES(n_groups), err));
out:
    return st;
}

static struct quality quality_of(const struct sg_analysis *a, int64_t e, int64_t g) {
    const struct sg_dataset *d = a->data;
    const double none = (double)NAN;
    struct quality x = {.estimator = sg_estimator_name[e],
                        .group_kind = g == 0      ? "all"
                                      : g <= d->m ? "model"
                                                  : "category",
                        .group = g == 0      ? ""
                                 : g <= d->m ? sg_dataset_model(d, (int32_t)g - 1)
                                             : d->category_name[g - 1 - d->m],
                        .q = {0, none, none, none, none, none, none, {none, none, none}, none},
                        .length = {0, none, none, none, none, 0},
                        .gain = {none, none, none}};
    if (a->quality[e]) x.q = a->quality[e][g];
    if (a->length[e] && a->length[e][g].n) x.length = a->length[e][g];
    if (e != SG_EST_SCOPE && g == 0) x.gain = a->brier_gain[e];
    return x;
}

enum sg_status sg__tables_quality(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t n_groups = a->quality[SG_EST_SCOPE] ? a->n_groups : 0, n = SG_ESTIMATORS * n_groups,
                  n_bins = n * SG_ECE_BINS;
    struct quality *row;
    struct bin *bin;
    SG_TRY(SG__ROWS(t, &row, n, err));
    SG_TRY(SG__ROWS(t, &bin, n_bins, err));
    for (int64_t i = 0; i < n; i++) row[i] = quality_of(a, i / n_groups, i % n_groups);
    for (int64_t i = 0; i < n_bins; i++) {
        const struct quality *x = &row[i / SG_ECE_BINS];
        const struct sg_bin *of = a->bins[i / (n_groups * SG_ECE_BINS)];
        bin[i] = (struct bin){.estimator = x->estimator,
                              .of_all = i / SG_ECE_BINS % n_groups == 0,
                              .bin = of ? of[i % (n_groups * SG_ECE_BINS)]
                                        : (struct sg_bin){0, (double)NAN, (double)NAN}};
    }
    SG_TRY(groups(t, row, n_groups, err));
    SG_TRY(sg__tables_add(t, &quality_layout, row, n, SG__SIZES(n ? SG_ESTIMATORS : 0, n_groups), err));
    SG_TRY(sg__tables_add(t, &bin_layout, bin, 0,
                          SG__SIZES(n ? SG_ESTIMATORS : 0, n_groups, n ? SG_ECE_BINS : 0), err));
    SG_TRY(sg__tables_add(t, &noise_layout, a->noise, 0, SG__SIZES(SG_SAMPLING_NOISES), err));
out:
    return st;
}

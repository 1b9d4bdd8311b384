/* tables_quality - how good the estimates are: scores, reliability, the noise of k samples. */
#include "tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
struct group { /* of pairs (query, model) */
    const char *kind; /* all, model, category */
    const char *name;
};
struct quality { /* of an estimator, on a group */
    const char *estimator;
    struct group group;
    struct sg_quality q;
    struct sg_length_quality length;
    struct sg_value gain; /* of the group of all pairs, over SCOPE */
};
static const struct sg__column quality_columns[] = {
    SG__COLUMN(TEXT, struct quality, estimator, SG__CSV | SG__JSON, .name = "estimator"),
    SG__COLUMN(TEXT, struct quality, group.kind, SG__CSV, .name = "group_kind"),
    SG__COLUMN(TEXT, struct quality, group.name, SG__CSV, .name = "group"),
    SG__COLUMN(I64, struct quality, q.n, SG__CSV | SG__H5 | SG__JSON, .name = "pairs", .csv = "n", .units = "1",
               .long_name = "pairs of query and model with an estimate and a known truth"),
    SG__COLUMN(F64, struct quality, q.base_rate, SG__CSV | SG__H5, .name = "base_rate", .units = "1",
               .long_name = "share of correct answers"),
    SG__COLUMN(F64, struct quality, q.mean_p, SG__CSV, .name = "mean_p"),
    SG__COLUMN(F64, struct quality, q.brier, SG__CSV | SG__H5 | SG__JSON, .name = "brier", .units = "1",
               .long_name = "Brier score",
               .heading = "Brier", .print = " %8s", .style = SG__NUMBER, .digits = 4),
    SG__COLUMN(F64, struct quality, q.log_loss, SG__CSV | SG__H5 | SG__JSON, .name = "log_loss", .units = "1",
               .long_name = "logarithmic loss",
               .heading = "log loss", .print = " %8s", .style = SG__NUMBER, .digits = 4),
    SG__COLUMN(F64, struct quality, q.auc, SG__CSV | SG__H5 | SG__JSON, .name = "auc", .units = "1",
               .long_name = "area under the ROC curve",
               .heading = "AUC", .print = " %8s", .style = SG__NUMBER, .digits = 4),
    SG__COLUMN(F64, struct quality, q.ece, SG__CSV | SG__H5 | SG__JSON, .name = "ece", .units = "1",
               .long_name = "expected calibration error, 15 bins of equal mass",
               .heading = "ECE", .print = " %8s", .style = SG__NUMBER, .digits = 4),
    SG__COLUMN(I64, struct quality, length.n, SG__CSV, .name = "length_n"),
    SG__COLUMN(F64, struct quality, length.mae, SG__CSV | SG__H5 | SG__JSON, .name = "length_mae", .units = "tokens",
               .long_name = "mean absolute error of the length",
               .heading = "len. MAE", .print = " %9s", .style = SG__NUMBER, .digits = 1),
    SG__COLUMN(F64, struct quality, length.median_relative, SG__CSV | SG__H5 | SG__JSON,
               .name = "length_median_relative_error", .units = "1", .long_name = "median relative error of the length",
               .heading = "len. med.", .print = " %9s", .style = SG__PERCENT),
    SG__COLUMN(F64, struct quality, length.bias, SG__CSV, .name = "length_bias"),
    SG__COLUMN(F64, struct quality, length.coverage, SG__CSV | SG__H5, .name = "length_coverage90", .units = "1",
               .long_name = "share of lengths inside the 90 % interval of the samples"),
    SG__COLUMN(VALUE, struct quality, gain, SG__JSON, .name = "gain",
               .heading = "its Brier less SCOPE's x 100 (positive: SCOPE is better)", .print = "  %s", .style = SG__POINTS),
};
static bool has_pairs(const void *row) {
    return ((const struct quality *)row)->q.n > 0;
}
static bool of_all(const void *row) {
    const struct quality *x = row;
    return x->q.n > 0 && !strcmp(x->group.kind, "all");
}
static const struct sg__layout quality_layout = {.csv = "quality.csv", .json = "quality", .axes = {"estimator", "group"},
    SG__COLUMNS(quality_columns), .stride = sizeof(struct quality), .keep = has_pairs, .told = of_all};

static const struct sg__column estimator_columns[] = {
    {.kind = SG__TEXT, .in = SG__AXIS, .name = "estimator", .long_name = "source of the estimate"},
};
static const struct sg__layout estimator_layout = {.axes = {"estimator"}, SG__COLUMNS(estimator_columns),
    .stride = sizeof(char *)};
static const struct sg__column group_columns[] = {
    {.kind = SG__TEXT, .in = SG__AXIS, .name = "group", .long_name = "all pairs, those of one model, of one category"},
};
static const struct sg__layout group_layout = {.axes = {"group"}, SG__COLUMNS(group_columns), .stride = sizeof(char *)};

struct bin { /* of a reliability diagram */
    const char *estimator;
    struct group group;
    int64_t index;
    struct sg_bin bin;
};
static const struct sg__column bin_columns[] = {
    SG__COLUMN(TEXT, struct bin, estimator, SG__CSV | SG__JSON, .name = "estimator"),
    SG__COLUMN(TEXT, struct bin, group.kind, SG__CSV, .name = "group_kind"),
    SG__COLUMN(TEXT, struct bin, group.name, SG__CSV, .name = "group"),
    SG__COLUMN(I64, struct bin, index, SG__CSV, .name = "bin"),
    SG__COLUMN(I64, struct bin, bin.n, SG__CSV | SG__H5 | SG__JSON, .name = "pairs", .csv = "n", .units = "1",
               .long_name = "reliability diagram, bins of equal mass"),
    SG__COLUMN(F64, struct bin, bin.mean_p, SG__CSV | SG__H5 | SG__JSON, .name = "mean_p", .units = "1",
               .long_name = "reliability diagram, bins of equal mass"),
    SG__COLUMN(F64, struct bin, bin.mean_y, SG__CSV | SG__H5 | SG__JSON, .name = "mean_correct", .units = "1",
               .long_name = "reliability diagram, bins of equal mass"),
};
static bool holds_pairs(const void *row) {
    return ((const struct bin *)row)->bin.n > 0;
}
static bool holds_pairs_of_all(const void *row) {
    return holds_pairs(row) && !strcmp(((const struct bin *)row)->group.kind, "all");
}
static const struct sg__layout bin_layout = {.csv = "reliability.csv", .json = "bins", .prefix = "bin_",
    .axes = {"estimator", "group", "bin"}, SG__COLUMNS(bin_columns), .stride = sizeof(struct bin), .keep = holds_pairs,
    .told = holds_pairs_of_all};

struct noise {
    struct sg_sampling_noise k;
    double ratio;
};
static const struct sg__column noise_columns[] = {
    SG__COLUMN(I32, struct noise, k.k, SG__CSV | SG__JSON, .name = "samples"),
    SG__COLUMN(I64, struct noise, k.n_cells, SG__CSV, .name = "n_cells"),
    SG__COLUMN(F64, struct noise, k.variance_votes, SG__CSV | SG__JSON, .name = "variance_votes",
               .heading = "votes", .print = " %12s", .style = SG__NUMBER, .digits = 6),
    SG__COLUMN(F64, struct noise, k.variance_p_yes, SG__CSV | SG__JSON, .name = "variance_p_yes",
               .heading = "p_yes", .print = " %12s", .style = SG__NUMBER, .digits = 6),
    SG__COLUMN(F64, struct noise, ratio, SG__JSON, .name = "ratio",
               .heading = "ratio", .print = " %8s", .style = SG__NUMBER, .digits = 2),
    SG__COLUMN(I64, struct noise, k.n_brier, SG__CSV, .name = "n_brier"),
    SG__COLUMN(F64, struct noise, k.brier_votes, SG__CSV | SG__JSON, .name = "brier_votes",
               .heading = "Brier votes", .print = " %14s", .style = SG__NUMBER, .digits = 4),
    SG__COLUMN(F64, struct noise, k.brier_p_yes, SG__CSV | SG__JSON, .name = "brier_p_yes",
               .heading = "Brier p_yes", .print = " %14s", .style = SG__NUMBER, .digits = 4),
};
static bool has_cells(const void *row) {
    return ((const struct noise *)row)->k.n_cells > 0;
}
static const struct sg__layout noise_layout = {.csv = "samples.csv", .json = "noise", SG__COLUMNS(noise_columns),
    .stride = sizeof(struct noise), .keep = has_cells, .told = has_cells};
/* clang-format on */

/* The groups with the names of their coordinates, and the estimators: the axes. n_groups: 0 without truth. */
static enum sg_status axes(struct sg__tables *t, int64_t n_groups, struct group **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = t->a->data;
    struct group *group;
    const char **label;
    SG_TRY(SG__ROWS(t, &group, n_groups, err));
    SG_TRY(SG__ROWS(t, &label, n_groups, err));
    for (int64_t g = 0; g < n_groups; g++) {
        group[g] = g == 0      ? (struct group){"all", ""}
                   : g <= d->m ? (struct group){"model", sg_dataset_model(d, (int32_t)g - 1)}
                               : (struct group){"category", d->category_name[g - 1 - d->m]};
        const size_t n = strlen(group[g].kind) + strlen(group[g].name) + 3;
        char *text;
        SG_TRY(SG__ROWS(t, &text, n, err));
        snprintf(text, n, g ? "%s: %s" : "%s", group[g].kind, group[g].name);
        label[g] = text;
    }
    const int64_t n_estimators = n_groups ? SG_ESTIMATORS : 0;
    SG_TRY(sg__tables_add(t, &estimator_layout, sg_estimator_name, 0, SG__SIZES(n_estimators), err));
    SG_TRY(sg__tables_add(t, &group_layout, label, 0, SG__SIZES(n_groups), err));
    *out = group;
out:
    return st;
}

static enum sg_status quality(struct sg__tables *t, int64_t n_groups, const struct group *group,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const double none = (double)NAN;
    const struct sg_value nothing = {none, none, none};
    const int64_t n = SG_ESTIMATORS * n_groups;
    struct quality *row;
    SG_TRY(SG__ROWS(t, &row, n, err));
    for (int64_t i = 0; i < n; i++) {
        const int64_t e = i / n_groups, g = i % n_groups;
        struct quality *x = &row[i];
        *x = (struct quality){.estimator = sg_estimator_name[e],
                              .group = group[g],
                              .q = {0, none, none, none, none, none, none},
                              .length = {0, none, none, none, none, 0},
                              .gain = e == SG_EST_SCOPE || g ? nothing : a->brier_gain[e]};
        if (a->quality[e]) x->q = a->quality[e][g];
        if (a->length[e] && a->length[e][g].n) x->length = a->length[e][g];
    }
    SG_TRY(sg__tables_add(t, &quality_layout, row, n, SG__SIZES(n ? SG_ESTIMATORS : 0, n_groups), err));
out:
    return st;
}

static enum sg_status bins(struct sg__tables *t, int64_t n_groups, const struct group *group,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    const int64_t per = n_groups * SG_ECE_BINS, n = SG_ESTIMATORS * per;
    struct bin *row;
    SG_TRY(SG__ROWS(t, &row, n, err));
    for (int64_t i = 0; i < n; i++) {
        const struct sg_bin *of = a->bins[i / per];
        row[i] = (struct bin){.estimator = sg_estimator_name[i / per],
                              .group = group[i % per / SG_ECE_BINS],
                              .index = i % SG_ECE_BINS,
                              .bin = of ? of[i % per] : (struct sg_bin){0, (double)NAN, (double)NAN}};
    }
    SG_TRY(sg__tables_add(t, &bin_layout, row, n,
                          SG__SIZES(n ? SG_ESTIMATORS : 0, n_groups, n ? SG_ECE_BINS : 0), err));
out:
    return st;
}

static enum sg_status noise(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct noise *row;
    SG_TRY(SG__ROWS(t, &row, SG_SAMPLING_NOISES, err));
    for (int i = 0; i < SG_SAMPLING_NOISES; i++) {
        const struct sg_sampling_noise *k = &t->a->noise[i];
        row[i] = (struct noise){*k, k->variance_votes / k->variance_p_yes};
    }
    SG_TRY(sg__tables_add(t, &noise_layout, row, SG_SAMPLING_NOISES, SG__SIZES(0), err));
out:
    return st;
}

enum sg_status sg__tables_quality(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n_groups = t->a->quality[SG_EST_SCOPE] ? t->a->n_groups : 0;
    struct group *group;
    SG_TRY(axes(t, n_groups, &group, err));
    SG_TRY(quality(t, n_groups, group, err));
    SG_TRY(bins(t, n_groups, group, err));
    SG_TRY(noise(t, err));
out:
    return st;
}

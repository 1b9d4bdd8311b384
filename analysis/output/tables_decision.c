/* tables_decision - the advice: every budget of the slider with what to do, what it is worth and what it costs;
 * the candidates behind it; the estimates' cross-fitted quality; the categories. */
#include "tables.h"

/* clang-format off */
#define AT(member) offsetof(struct sg_advice_step, member)
static const struct sg__table_column step_columns[] = {
    SG__COLUMN(F64, AT(budget), SG__AXIS, "decision_step", "USD", "budget, mean USD a query"),
    SG__COLUMN(TEXT, AT(asked), SG__H5, "asked", NULL, "name of the budget where it was asked for"),
    SG__COLUMN(TEXT, AT(sentence), SG__H5, "sentence", NULL, "what to do"),
    SG__COLUMN(VALUE, AT(accuracy), SG__H5, "accuracy", "1", "accuracy of what is advised, out of fold"),
    SG__COLUMN(VALUE, AT(cost), SG__H5, "cost", "USD", "mean cost of a query of what is advised"),
    SG__COLUMN(MODEL, AT(single), SG__H5, "single", NULL, "index of the best affordable single model, -1: none"),
    SG__COLUMN(VALUE, AT(gain), SG__H5, "gain", "1", "accuracy less that model's, paired"),
    SG__COLUMN(VALUE, AT(saving), SG__H5, "saving", "1", "1 - cost / that model's"),
    SG__COLUMN(F64, AT(mix_accuracy), SG__H5, "mix_accuracy", "1", "accuracy of the best mix of two models at this budget"),
    SG__COLUMN(VALUE, AT(over_mix), SG__H5, "over_mix", "1", "accuracy less that of the mix, paired"),
    SG__COLUMN(VALUE, AT(vs_incumbent), SG__H5, "vs_incumbent", "1", "accuracy less the incumbent's, paired"),
    SG__COLUMN(VALUE, AT(saved_of_incumbent), SG__H5, "saved_of_incumbent", "1", "1 - cost / the incumbent's"),
};
#undef AT
static const struct sg__layout step_layout = {.prefix = "decision_", .axes = {"decision_step"}, SG__COLUMNS(step_columns),
    .stride = sizeof(struct sg_advice_step)};

static const struct sg__table_column share_columns[] = {
    SG__COLUMN(F64, 0, SG__H5, "decision_share", "1", "share of the queries a model gets")};
static const struct sg__layout share_layout = {.axes = {"decision_step", "model"}, SG__COLUMNS(share_columns),
    .stride = sizeof(double)};

static const struct sg__table_column kept_columns[] = {
    SG__COLUMN(BOOL, 0, SG__H5, "decision_portfolio", "1", "1: the model is one of those kept at this budget")};
static const struct sg__layout kept_layout = {.axes = {"decision_step", "model"}, SG__COLUMNS(kept_columns),
    .stride = sizeof(bool)};

struct candidate {
    const char *kind;
    int32_t advised;
    double planned;
    struct sg_value accuracy, cost, gain, saving, over_mix;
};
#define AT(member) offsetof(struct candidate, member)
static const struct sg__table_column candidate_columns[] = {
    SG__COLUMN(BOOL, AT(advised), SG__H5, "advised", "1", "1: this one is advised"),
    SG__COLUMN(F64, AT(planned), SG__H5, "planned_cost", "USD", "mean cost of a query by the estimates"),
    SG__COLUMN(VALUE, AT(accuracy), SG__H5, "accuracy", "1", "accuracy, out of fold"),
    SG__COLUMN(VALUE, AT(cost), SG__H5, "cost", "USD", "mean cost of a query"),
    SG__COLUMN(VALUE, AT(gain), SG__H5, "gain", "1", "accuracy less the best affordable single model's, paired"),
    SG__COLUMN(VALUE, AT(saving), SG__H5, "saving", "1", "1 - cost / that model's"),
    SG__COLUMN(VALUE, AT(over_mix), SG__H5, "over_mix", "1", "accuracy less that of the mix, paired"),
};
#undef AT
static const struct sg__layout candidate_layout = {.prefix = "candidate_", .axes = {"decision_step", "candidate"},
    SG__COLUMNS(candidate_columns), .stride = sizeof(struct candidate)};
static const struct sg__table_column kind_columns[] = {
    SG__COLUMN(TEXT, 0, SG__AXIS, "candidate", NULL, "one model for all, a mix of two, a table by category, routing by the estimate")};
static const struct sg__layout kind_layout = {.axes = {"candidate"}, SG__COLUMNS(kind_columns), .stride = sizeof(char *)};

#define AT(member) offsetof(struct sg_advice_category, member)
static const struct sg__table_column category_columns[] = {
    SG__COLUMN(TEXT, AT(name), SG__AXIS, "advice_category", NULL, "category of the queries"),
    SG__COLUMN(I64, AT(n_queries), SG__H5, "n_queries", "1", "queries"),
    SG__COLUMN(I64, AT(n_anchors), SG__H5, "n_anchors", "1", "anchors with outcomes"),
    SG__COLUMN(I64, AT(n_estimated), SG__H5, "n_calibration", "1", "anchors that were estimated too"),
    SG__COLUMN(F64, AT(similarity_queries), SG__H5, "similarity_queries", "1", "mean similarity of the queries to their anchors"),
    SG__COLUMN(F64, AT(similarity_anchors), SG__H5, "similarity_anchors", "1", "the same of the calibration anchors, left out"),
    SG__COLUMN(TEXT, AT(doubt), SG__H5, "doubt", NULL, "what stands in doubt"),
};
#undef AT
static const struct sg__layout category_layout = {.prefix = "category_", .axes = {"advice_category"},
    SG__COLUMNS(category_columns), .stride = sizeof(struct sg_advice_category)};
/* clang-format on */

enum sg_status sg__tables_decision(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_advice *a = t->a->opt.advice;
    struct candidate *row;
    const char **kind;
    double *share;
    bool *kept;
    if (!a || !a->present) return SG_OK;
    const int64_t n = a->n_steps, m = t->a->data->m;
    SG_TRY(SG__ROWS(t, &row, n * SG_CANDIDATES, err));
    SG_TRY(SG__ROWS(t, &share, n * m, err));
    SG_TRY(SG__ROWS(t, &kept, n * m, err));
    SG_TRY(SG__ROWS(t, &kind, SG_CANDIDATES, err));
    for (int k = 0; k < SG_CANDIDATES; k++) kind[k] = sg_candidate_name[k];
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < m; k++) share[i * m + k] = a->step[i].share[k];
        for (int64_t k = 0; k < m; k++) kept[i * m + k] = !a->step[i].kept || a->step[i].kept[k];
        for (int k = 0; k < SG_CANDIDATES; k++) {
            const struct sg_candidate_value *v = &a->step[i].is->candidate[k];
            row[i * SG_CANDIDATES + k] = (struct candidate){
                kind[k],    a->step[i].value == v, v->planned_cost, v->accuracy, v->cost, v->gain, v->saving,
                v->over_mix};
        }
    }
    SG_TRY(sg__tables_add(t, &step_layout, a->step, 0, SG__SIZES(n), err));
    SG_TRY(sg__tables_add(t, &share_layout, share, 0, SG__SIZES(n, m), err));
    SG_TRY(sg__tables_add(t, &kept_layout, kept, 0, SG__SIZES(n, m), err));
    SG_TRY(sg__tables_add(t, &kind_layout, kind, 0, SG__SIZES(SG_CANDIDATES), err));
    SG_TRY(sg__tables_add(t, &candidate_layout, row, 0, SG__SIZES(n, SG_CANDIDATES), err));
    SG_TRY(sg__tables_add(t, &category_layout, a->category, 0, SG__SIZES(a->n_categories), err));
out:
    return st;
}

/* tables_decision - the advice: every budget of the slider with what to do, what it is worth and what it costs;
 * the candidates behind it; the estimates' cross-fitted quality; the categories. */
#include "tables.h"

/* clang-format off */
/* What out-of-fold values a step and a candidate have: members of the same names. */
#define VALUED(type, in) \
    SG__COLUMN(VALUE, offsetof(type, accuracy), in, "accuracy", "1", "accuracy, out of fold"), \
    SG__COLUMN(VALUE, offsetof(type, cost), in, "cost", "USD", "mean cost of a query"), \
    SG__COLUMN(VALUE, offsetof(type, gain), in, "gain", "1", "accuracy less the best affordable single model's, paired: expected on queries like these"), \
    SG__COLUMN(F64, offsetof(type, gain_luck), in, "gain_luck", "1", "half width, 95 %, of what these queries' own outcomes yet add to the gain"), \
    SG__COLUMN(VALUE, offsetof(type, saving), in, "saving", "1", "1 - cost / that model's"), \
    SG__COLUMN(VALUE, offsetof(type, over_mix), in, "over_mix", "1", "accuracy less that of the mix, paired: expected on queries like these")
enum { BOTH = SG__H5 | SG__JSON };
#define AT(member) offsetof(struct sg_advice_step, member)
static const struct sg__table_column step_columns[] = {
    SG__COLUMN(F64, AT(budget), SG__AXIS | SG__JSON, "budget", "USD", "budget, mean USD a query"),
    SG__COLUMN(TEXT, AT(asked), BOTH, "asked", NULL, "name of the budget where it was asked for"),
    SG__COLUMN(F64, AT(spends), SG__H5, "spends", "USD", "the budget whose advice this is: a smaller one's where more is told to give less"),
    SG__COLUMN(TEXT, AT(sentence), BOTH, "sentence", NULL, "what to do"),
    VALUED(struct sg_advice_step, BOTH), /* of what is advised */
    SG__COLUMN(MODEL, AT(single), SG__H5, "single", NULL, "index of the best affordable single model, -1: none"),
    SG__COLUMN(F64, AT(mix_accuracy), BOTH, "mix_accuracy", "1", "accuracy of the best mix of two models at this budget"),
    SG__COLUMN(VALUE, AT(vs_incumbent), BOTH, "vs_incumbent", "1", "accuracy less the incumbent's, paired"),
    SG__COLUMN(VALUE, AT(saved_of_incumbent), BOTH, "saved_of_incumbent", "1", "1 - cost / the incumbent's"),
};
#undef AT
static const struct sg__layout step_layout = {.json = "steps", .prefix = "decision_", .axes = {"decision_step"}, SG__COLUMNS(step_columns),
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
    double gain_luck;
};
#define AT(member) offsetof(struct candidate, member)
static const struct sg__table_column candidate_columns[] = {
    SG__COLUMN(BOOL, AT(advised), SG__H5, "advised", "1", "1: one of its kind is advised: this one unless decision_spends is a smaller budget"),
    SG__COLUMN(F64, AT(planned), SG__H5, "planned_cost", "USD", "mean cost of a query by the estimates"),
    VALUED(struct candidate, SG__H5),
};
#undef AT
static const struct sg__layout candidate_layout = {.prefix = "candidate_", .axes = {"decision_step", "candidate"},
    SG__COLUMNS(candidate_columns), .stride = sizeof(struct candidate)};
static const struct sg__table_column kind_columns[] = {
    SG__COLUMN(TEXT, 0, SG__AXIS, "candidate", NULL, "one model for all, a mix of two, a table by category, routing by the estimate")};
static const struct sg__layout kind_layout = {.axes = {"candidate"}, SG__COLUMNS(kind_columns), .stride = sizeof(char *)};

#define AT(member) offsetof(struct sg_advice_category, member)
static const struct sg__table_column category_columns[] = {
    SG__COLUMN(TEXT, AT(name), SG__AXIS | SG__JSON, "name", NULL, "category of the queries"),
    SG__COLUMN(I64, AT(n_queries), BOTH, "n_queries", "1", "queries"),
    SG__COLUMN(I64, AT(n_anchors), BOTH, "n_anchors", "1", "anchors with outcomes"),
    SG__COLUMN(I64, AT(n_estimated), SG__H5, "n_calibration", "1", "anchors that were estimated too"),
    SG__COLUMN(F64, AT(similarity_queries), BOTH, "similarity_queries", "1", "mean similarity of the queries to their anchors"),
    SG__COLUMN(F64, AT(similarity_anchors), BOTH, "similarity_anchors", "1", "the same of the calibration anchors, left out"),
    SG__COLUMN(TEXT, AT(doubt), BOTH, "doubt", NULL, "what stands in doubt"),
};
#undef AT
static const struct sg__layout category_layout = {.json = "categories", .prefix = "category_", .axes = {"advice_category"},
    SG__COLUMNS(category_columns), .stride = sizeof(struct sg_advice_category)};

#define AT(member) offsetof(struct sg_portfolio_size, member)
static const struct sg__table_column size_columns[] = {
    SG__COLUMN(F64, AT(size), SG__CSV | SG__JSON, "size"),
    SG__COLUMN(TEXT, AT(asked), SG__CSV | SG__JSON, "ask"),
    SG__COLUMN(VALUE, AT(accuracy), SG__ALL, "accuracy", "1", "accuracy of what is advised with so many models, out of fold"),
    SG__COLUMN(F64, AT(lost), SG__ALL, "difference", "1", "accuracy less that with all models"),
    SG__COLUMN(VALUE, AT(cost), SG__ALL, "cost", "USD", "mean cost of a query"),
    SG__COLUMN(TEXT, AT(models), SG__CSV | SG__JSON, "models"),
};
static const struct sg__layout size_layout = {.csv = "portfolio.csv", .json = "sizes", .prefix = "portfolio_",
    .axes = {"portfolio_size", "portfolio_ask"}, SG__COLUMNS(size_columns), .stride = sizeof(struct sg_portfolio_size)};
static const struct sg__table_column size_axis_columns[] = {
    SG__COLUMN(F64, 0, SG__AXIS, "size", "1", "models that are kept; the first: all")};
static const struct sg__layout size_axis_layout = {.axes = {"portfolio_size"}, SG__COLUMNS(size_axis_columns), .stride = sizeof(double)};
static const struct sg__table_column size_ask_columns[] = {
    SG__COLUMN(TEXT, AT(asked), SG__AXIS, "ask", NULL, "budget asked for")};
static const struct sg__layout size_ask_layout = {.axes = {"portfolio_ask"}, SG__COLUMNS(size_ask_columns),
    .stride = sizeof(struct sg_portfolio_size)};
#undef AT
/* clang-format on */

static enum sg_status sizes(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const struct sg_portfolio_sizes none = {.n_sizes = 0};
    const struct sg_portfolio_sizes *x = t->a->opt.sizes ? t->a->opt.sizes : &none;
    const int64_t n = (int64_t)x->n_sizes * x->n_asked;
    double *size;
    SG_TRY(SG__ROWS(t, &size, x->n_sizes, err));
    for (int32_t i = 0; i < x->n_sizes; i++) size[i] = x->row[(int64_t)i * x->n_asked].size;
    if (n) {
        SG_TRY(sg__tables_add(t, &size_axis_layout, size, 0, SG__SIZES(x->n_sizes), err));
        SG_TRY(sg__tables_add(t, &size_ask_layout, x->row, 0, SG__SIZES(x->n_asked), err));
    }
    SG_TRY(sg__tables_add(t, &size_layout, x->row, n, SG__SIZES(x->n_sizes, x->n_asked), err));
out:
    return st;
}

enum sg_status sg__tables_decision(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_advice *a = t->a->opt.advice;
    struct candidate *row;
    const char **kind;
    double *share;
    bool *kept;
    SG_TRY(sizes(t, err));
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
                kind[k],   a->step[i].value && (int)a->step[i].is->advised == k, v->planned_cost, v->accuracy, v->cost, v->gain,
                v->saving, v->over_mix,           v->luck};
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

/* tables_cells - cells.csv: what the advice knows of every query with every model, one row each. */
#include "tables.h"

#include <math.h>

struct cell {
    int32_t query, model;
    const char *category;
    double p, length, cost, p_se, length_se;                 /* NaN: no estimate */
    double true_correct, true_score, true_length, true_cost; /* NaN: not known */
};
/* clang-format off */
#define AT(member) offsetof(struct cell, member)
static const struct sg__table_column cell_columns[] = {
    SG__COLUMN(QUERY, AT(query), SG__CSV, "query"),
    SG__COLUMN(MODEL, AT(model), SG__CSV, "model"),
    SG__COLUMN(TEXT, AT(category), SG__CSV, "category"),
    SG__COLUMN(F64, AT(p), SG__CSV, "p"),
    SG__COLUMN(F64, AT(length), SG__CSV, "length"),
    SG__COLUMN(F64, AT(cost), SG__CSV, "cost"),
    SG__COLUMN(F64, AT(p_se), SG__CSV, "p_se"),
    SG__COLUMN(F64, AT(length_se), SG__CSV, "length_se"),
    SG__COLUMN(F64, AT(true_correct), SG__CSV, "true_correct"),
    SG__COLUMN(F64, AT(true_score), SG__CSV, "true_score"),
    SG__COLUMN(F64, AT(true_length), SG__CSV, "true_length"),
    SG__COLUMN(F64, AT(true_cost), SG__CSV, "true_cost"),
};
#undef AT
static const struct sg__layout cell_layout = {.csv = "cells.csv", SG__COLUMNS(cell_columns),
    .stride = sizeof(struct cell)};
/* clang-format on */

static double at(const double *x, int64_t i) {
    return x ? x[i] : (double)NAN;
}

/* Where the queries have truth dataset and advice agree on it; models without any outcome stand in with estimates there,
 * which are no truth: the results' own columns are read. */
static struct cell cell_of(const struct sg_analysis *a, int64_t q, int32_t k) {
    const struct sg_dataset *d = a->data;
    const struct sg_results *r = d->r;
    const struct sg_advice *advice = a->opt.advice;
    const double *tokens = advice ? advice->tokens[advice->estimate] : NULL;
    const int64_t i = q * d->m + k, from = sg_dataset_cell(d, q, k);
    const bool estimated = !isnan(d->p[i]), known = r->true_correct && r->true_correct[from] >= 0;
    return (struct cell){.query = (int32_t)q,
                         .model = k,
                         .category = d->category_name[d->category[q]],
                         .p = d->p[i],
                         .length = !estimated ? (double)NAN
                                   : tokens   ? tokens[i]
                                              : at(r->length_mean, from),
                         .cost = d->c[i],
                         .p_se = estimated ? at(r->p_se, from) : (double)NAN,
                         .length_se = estimated ? at(r->length_se, from) : (double)NAN,
                         .true_correct = known ? r->true_correct[from] : (double)NAN,
                         .true_score = known ? sg_results_true_score(r, from) : (double)NAN,
                         .true_length = known ? at(r->true_length, from) : (double)NAN,
                         .true_cost = known ? at(d->tc, i) : (double)NAN};
}

enum sg_status sg__tables_cells(struct sg__tables *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = t->a->data;
    const int64_t n = t->a->opt.cells_csv ? d->n * d->m : 0; /* of none the file of an older run is removed */
    struct cell *row;
    SG_TRY(SG__ROWS(t, &row, n, err));
    for (int64_t i = 0; i < n; i++) row[i] = cell_of(t->a, i / d->m, (int32_t)(i % d->m));
    SG_TRY(sg__tables_add(t, &cell_layout, row, n, SG__SIZES(0), err));
out:
    return st;
}

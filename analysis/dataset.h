/* dataset - the part of a results file that is analysed: chosen queries and models, at chosen prices, as
 * dense matrices. A missing estimate is NaN. It is no candidate for its query and counts neither as wrong
 * nor as free. */
#ifndef SG_ANALYSIS_DATASET_H
#define SG_ANALYSIS_DATASET_H

#include "store/results.h"

struct sg_dataset_spec {
    const char *pool;           /* NULL: all models; else a file (id_list.h) or ids separated by commas */
    const char *const *queries; /* [n_queries] filters, all must hold: see sg_dataset_open */
    size_t n_queries;
    const char
        *prices; /* NULL: the file's; else a file of objects with id, input, output, request? (id_list.h) */
    bool batch;  /* the prices of that file are its batch_input and batch_output */
};

struct sg_dataset {
    const struct sg_results *r;         /* borrowed */
    const char *path;                   /* borrowed: names the file in messages */
    int64_t n;                          /* queries kept */
    int32_t m;                          /* models of the pool */
    int64_t *row;                       /* [n] their rows in r */
    int32_t *col;                       /* [m] their columns in r */
    double *price_input, *price_output; /* [m] USD per million tokens */
    double *price_request;              /* [m] USD per call */
    bool own_prices;                    /* prices came from a file given, not from the results */
    /* [n * m], row-major */
    double *p, *c; /* the estimator's accuracy and cost (USD a call); NaN where there is no valid cell */
    double *prompt; /* prompt tokens as bills take them (prompts.h); NULL: as the results have them */
    double *tp,
        *tc; /* truth; NaN where unknown; NULL when the file has none. tp: 1 or 0; graded: the score */
    /* [m] 0: no query's outcome of this model is known, though those of others are. After
     * sg_dataset_stand_in tp and tc of such a model hold its estimates. */
    uint8_t *measured;
    int32_t n_unmeasured;
    uint8_t *scored; /* [n] 1: the truth of every estimated cell of the pool is known */
    int64_t n_scored;
    /* what was left out, for the report */
    int64_t n_all;      /* queries in the file */
    int64_t n_filtered; /* queries the filters dropped */
    int64_t n_empty;    /* queries without a single valid cell in the pool */
    int64_t n_missing;  /* cells without an estimate in the queries kept */
    int64_t n_counted;  /* valid cells whose prompt tokens were counted by the estimator's tokenizer */
    int32_t n_categories;
    const char **category_name; /* [n_categories], sorted; "" only when some query has none */
    int32_t *category;          /* [n] */
};

/* Filters: `category=A,B`, `category!=A`, `id=GLOB,GLOB`, `id!=GLOB`, `@FILE` (one id a line). Names that
 * match nothing are errors with the nearest name. Values of valid cells that are NaN, an accuracy outside [0,
 * 1] or a negative cost are SG_E_INPUT naming query and model. r and path outlive the dataset. */
enum sg_status sg_dataset_open(const struct sg_results *r, const char *path,
                               const struct sg_dataset_spec *spec, struct sg_dataset *out,
                               struct sg_err *err);
void sg_dataset_free(struct sg_dataset *d);

/* Cuts the dataset down to the models cols[0..m) and the queries rows[0..n) of it, in that order; NULL
 * keeps all as they are. Counts of what was left out before are not touched. */
enum sg_status sg_dataset_select(struct sg_dataset *d, const int64_t *cols, int32_t m, const int64_t *rows,
                                 int64_t n, struct sg_err *err);

/* Gives models without any outcome on the queries their estimates as truth where others have outcomes, so that
 * one new model does not take the truth from all: sets measured, n_unmeasured, scored, n_scored. */
enum sg_status sg_dataset_stand_in(struct sg_dataset *d, struct sg_err *err);

enum sg_baseline { SG_BASE_KNN, SG_BASE_ANCHOR };
/* A baseline's matrices over the same cells: p and c are the caller's, [n * m]. Returns how many estimated
 * cells have no baseline (NaN there). */
int64_t sg_dataset_baseline(const struct sg_dataset *d, enum sg_baseline which, double *p, double *c);

static inline const char *sg_dataset_query(const struct sg_dataset *d, int64_t q) {
    return d->r->query[d->row[q]];
}
static inline const char *sg_dataset_model(const struct sg_dataset *d, int32_t m) {
    return d->r->model[d->col[m]];
}
static inline int64_t sg_dataset_cell(const struct sg_dataset *d, int64_t q, int32_t m) {
    return d->row[q] * d->r->n_models + d->col[m];
}
/* Prompt tokens of query q as model m bills them, -1 where unknown. */
static inline double sg_dataset_prompt(const struct sg_dataset *d, int64_t q, int32_t m) {
    return d->prompt ? d->prompt[q * d->m + m] : d->r->prompt_tokens[sg_dataset_cell(d, q, m)];
}
/* Whether the model's answer counts as correct; its truth must be known. */
static inline bool sg_dataset_correct(const struct sg_dataset *d, int64_t q, int32_t m) {
    return sg_results_graded(d->r) ? d->r->true_correct[sg_dataset_cell(d, q, m)] > 0
                                   : d->tp[q * d->m + m] > 0;
}

#endif

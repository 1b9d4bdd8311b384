/* estimates - the estimator's p and length, corrected by what the anchors measured. Three estimates of the same
 * cells, each with the next one's faults mended:
 *   scope     p as computed; length as in `anchored`, since bills must be right whichever p is used
 *   anchored  logit p moved by one shift, and length multiplied by one scale, for each model and category, so
 *             that the means over the queries are the (smoothed) means that the anchors measured
 *   combined  fitted on the calibration cells (anchors that were estimated like queries, so that both estimate
 *             and outcome are known), by ridge regression that pulls towards `anchored`
 * Formulas and sources: analysis/README.md. All functions are pure functions of arrays. */
#ifndef SG_ANALYSIS_ESTIMATES_H
#define SG_ANALYSIS_ESTIMATES_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

enum sg_estimate { SG_ESTIMATE_SCOPE, SG_ESTIMATE_ANCHORED, SG_ESTIMATE_COMBINED, SG_ESTIMATES };
extern const char *const sg_estimate_name[SG_ESTIMATES];

/* Questions with estimates of each model, [n * m] row-major; NaN: none. Made by sg_rows_make. */
struct sg_rows {
    int64_t n;
    int32_t m;
    const int32_t *category;            /* [n], borrowed */
    double *logit_p, *log_length;       /* the estimator's */
    double *logit_knn, *log_knn_length; /* the nearest anchors' */
    const double *input_cost;           /* USD of the call's prompt and of the request, borrowed */
    int64_t *order, *first;             /* rows of category c: order[first[c]] .. order[first[c + 1] - 1] */
    double *mean_p, *mean_length;       /* [n_categories * m] the estimator's means; NaN: none */
};
/* What rows are made of, all borrowed: [n * m] but for category [n]. */
struct sg_raw_rows {
    int64_t n;
    int32_t m;
    const int32_t *category;
    const double *p, *length;         /* in [0, 1]; tokens */
    const double *knn_p, *knn_length; /* may be NULL */
    const double *input_cost;         /* as in sg_rows */
};
/* Owned by the caller (sg_rows_free). */
enum sg_status sg_rows_make(const struct sg_raw_rows *raw, int32_t n_categories, struct sg_rows *out,
                            struct sg_err *err);
/* The rows index[0..n) of `from`, with their categories and costs of input, which the caller owns. */
enum sg_status sg_rows_take(const struct sg_rows *from, const int64_t *index, int64_t n,
                            const int32_t *category, int32_t n_categories, const double *input_cost,
                            struct sg_rows *out, struct sg_err *err);
void sg_rows_free(struct sg_rows *r); /* zeroed accepted */

/* Outcomes of the anchors, [n * m]; NaN where unknown. All borrowed. */
struct sg_outcomes {
    int64_t n;
    int32_t m;
    const int32_t *category; /* [n] in [0, n_categories) */
    const double *correct;   /* 1 or 0; graded: the score */
    const double *length;    /* tokens */
    const double *cost;      /* USD of the call */
    const int64_t *cell_row; /* [n] row of its estimates among the calibration rows; -1: not estimated */
};

struct sg_estimate_fit_input {
    int32_t m, n_categories;
    const double *price_output;                  /* [m] USD a token */
    const struct sg_rows *queries, *calibration; /* calibration may hold no rows */
    const struct sg_outcomes *anchors;
    const uint8_t *use; /* [anchors->n] 0: this anchor's outcome must not be seen; NULL: all are used */
};

/* Coefficients of the logistic regression, and of the one of log lengths. */
enum { SG_FIT_TERMS = 5, SG_FIT_LENGTH_TERMS = 4 };

struct sg_estimate_fit {
    enum sg_estimate kind;
    int32_t m, n_categories;
    /* [n_categories * m] */
    double *mean, *mean_length; /* the anchors' smoothed means */
    double *count, *right;      /* anchors with a known outcome; the sum of what they were worth */
    double *shift, *scale;      /* of `anchored` */
    double b[SG_FIT_TERMS];     /* of `combined`: constant, question's deviation, model's deviation, nearest
                                     anchors' deviation, anchor mean */
    double g[SG_FIT_LENGTH_TERMS];
    double *rescale; /* of `combined`: keeps the mean lengths of the anchors */
    /* [n_categories * m] logarithms of what every row asks for */
    double *logit_mean, *log_mean_length, *log_scale, *log_rescale;
    double *tried; /* [m] 1: an outcome of the model is known; the others say nothing of the question */
    double *row;   /* scratch of sg_estimate_fit_apply, which is for one thread at a time */
};
/* The fit of one kind. COMBINED without a calibration cell whose outcome is used is SG_E_INPUT; so is
 * ANCHORED without any outcome. Owned by the caller; may be used again (the arrays are kept). */
enum sg_status sg_estimate_fit_make(const struct sg_estimate_fit_input *in, enum sg_estimate kind,
                                    struct sg_estimate_fit *fit, struct sg_err *err);
/* The outcomes' smoothed means alone (mean, mean_length, count, right); in->queries and in->calibration are not
 * looked at. */
enum sg_status sg_estimate_fit_means(const struct sg_estimate_fit_input *in, struct sg_estimate_fit *fit,
                                     struct sg_err *err);
void sg_estimate_fit_free(struct sg_estimate_fit *f); /* zeroed accepted */

/* Estimates of rows [from, to): p (may be NULL), length (tokens; may be NULL) and cost (USD a call; may be NULL), each
 * [(to - from) * m], the caller's; NaN where the row has none. */
void sg_estimate_fit_apply(const struct sg_estimate_fit *fit, const struct sg_rows *rows,
                           const double *price_output, int64_t from, int64_t to, double *p, double *length,
                           double *cost);

#endif

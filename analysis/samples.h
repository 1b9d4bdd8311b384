/* samples - what more samples a cell buy: the noise of the share of yes votes against that of the mean p_yes.
 */
#ifndef SG_ANALYSIS_SAMPLES_H
#define SG_ANALYSIS_SAMPLES_H

#include "view.h"

/* For k samples a cell, over cells with at least two samples that have both a vote and a p_yes. Variances are
 * of the k-sample mean, averaged over cells: the within-cell variance (n - 1) over k, which is what
 * resampling k fresh samples gives on average, without its Monte Carlo noise. Brier scores: averaged over
 * every subset of k of the cell's n samples, exactly ((mean - y)^2 + s^2 / k (1 - k/n)); over cells with at
 * least k of them. */
struct sg_resample {
    int32_t k;
    int64_t n_cells;
    double variance_votes, variance_p_yes;
    int64_t n_brier; /* 0 without truth */
    double brier_votes, brier_p_yes;
};

/* out[n_k]; all NaN and 0 when the file was read without samples. */
void sg_resample_variance(const struct sg_view *v, const int32_t *k, int32_t n_k, struct sg_resample *out);

/* The same for the k = 2, 4, 8 that an analysis tells. */
enum { SG_RESAMPLES = 3 };
void sg_resample_usual(const struct sg_view *v, struct sg_resample out[SG_RESAMPLES]);

#endif

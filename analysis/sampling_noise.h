/* sampling_noise - what more samples a cell buy: the noise of the share of yes votes against that of the
 * mean p_yes. / */
#ifndef SG_ANALYSIS_SAMPLING_NOISE_H
#define SG_ANALYSIS_SAMPLING_NOISE_H

#include "dataset.h"

/* For k samples a cell, over cells with at least two samples that have both a vote and a p_yes. Variances are
 * of the k-sample mean, averaged over cells: the within-cell variance (n - 1) over k, which is what
 * resampling k fresh independent samples gives on average, without its Monte Carlo noise; that of stratified
 * ones is less. Brier scores: averaged over every subset of k of the cell's n samples, exactly ((mean - y)^2
 * + s^2 / k (1 - k/n)); over cells with at least k of them. */
struct sg_sampling_noise {
    int64_t k;
    int64_t n_cells;
    double variance_votes, variance_p_yes, ratio; /* ratio: of the two */
    int64_t n_brier;                              /* 0 without truth */
    double brier_votes, brier_p_yes;
};

/* For k = 1, 2, 4, 8; all NaN and 0 when the file was read without samples. */
enum { SG_SAMPLING_NOISES = 4 };
void sg_sampling_noise_usual(const struct sg_dataset *d, struct sg_sampling_noise out[SG_SAMPLING_NOISES]);

#endif

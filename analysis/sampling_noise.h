/* sampling_noise - what more samples a cell buy: the noise of the share of yes votes against that of the
 * mean p_yes and of the mean length. */
#ifndef SG_ANALYSIS_SAMPLING_NOISE_H
#define SG_ANALYSIS_SAMPLING_NOISE_H

#include "dataset.h"

/* For k samples a cell. Variances are of the k-sample mean, averaged over cells: what k fresh independent samples
 * give on average; stratified ones give less. Those of p_yes and length are n p_se^2 / k and n (length_se /
 * length_mean)^2 / k of cells with n samples that have both a vote and a p_yes: the errors are shrunk to the pool's,
 * so a cell of ONE sample counts too. That of the votes, and of p_yes in a file without standard errors, is the
 * within-cell variance (n - 1) over k of the cells with two such samples or more. Brier scores: averaged over every
 * subset of k of the cell's n samples, exactly ((mean - y)^2 + s^2 / k (1 - k/n)); over cells with at least k of them.
 * */
struct sg_sampling_noise {
    int64_t k;
    int64_t n_cells;                              /* with two samples or more */
    int64_t n_errors;                             /* with standard errors */
    double variance_votes, variance_p_yes, ratio; /* ratio: of the two */
    double variance_length;                       /* relative to the squared length; NaN without errors */
    int64_t n_brier;                              /* 0 without truth */
    double brier_votes, brier_p_yes;
};

/* For k = 1, 2, 4, 8; all NaN and 0 when the file was read without samples. */
enum { SG_SAMPLING_NOISES = 4 };
void sg_sampling_noise_usual(const struct sg_dataset *d, struct sg_sampling_noise out[SG_SAMPLING_NOISES]);

#endif

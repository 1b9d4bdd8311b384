/* spread - how far samples of a cell lie apart, and what that leaves unsure about the cell. */
#ifndef SG_STORE_SPREAD_H
#define SG_STORE_SPREAD_H

#include "store/results.h"

/* Mean over the cells with at least two samples of the variance (n - 1) of one sample: of p_yes, and of the
 * length relative to the cell's mean length squared. NaN: there is no such cell. */
struct sg_spread {
    double p_yes, length;
};
/* Of r's own cells; r was read or allocated with samples. */
struct sg_spread sg_results_spread(const struct sg_results *r);

/* Standard errors of the cell's p_correct and length_mean, sqrt(v / n) of n samples, where the variance v of
 * one sample is shrunk to the pool's, which counts as four more samples: v = (4 pool + (n - 1) s^2) / (n + 3).
 * So a cell whose few samples happen to agree is not taken for sure, and one of a single sample has an error.
 * They are those of independent draws; stratified draws (sampling.draws) err less. NaN: no samples, or no pool.
 * cell: its place in r. */
void sg_results_errors(const struct sg_results *r, int64_t cell, const struct sg_spread *pool, double *p_se,
                       double *length_se);
/* Sets p_se and length_se of all cells, of r's calibration too; the pool is that of r's own cells. */
void sg_results_set_errors(struct sg_results *r);

#endif

/* estimate - from the samples of a cell to what is stored of it. Pure functions of their arguments. */
#ifndef SG_CELL_ESTIMATE_H
#define SG_CELL_ESTIMATE_H

#include "base/status.h"
#include "cell/cell.h"
#include <stdint.h>

/* What a model costs. */
struct sg_price {
    double input, output; /* USD per million tokens */
    double request;       /* USD per call, beside its tokens */
};
/* USD of one call: prompt_tokens / 1e6 * input + completion_tokens / 1e6 * output, as SCOPE counts it, and
 * the price of the request. */
double sg_call_cost(struct sg_price price, double prompt_tokens, double completion_tokens);

/* Fills the aggregates of *cell (votes, p_correct, length_mean, length_sd, cost, valid, output_tokens) from
 * cell->samples. p_correct = mean of p_yes over the parsed samples that have one (conditional expectation
 * given the analysis: the same mean as the votes', less variance); where no parsed sample has a p_yes, the
 * share of yes votes. Lengths: over parsed samples. Sums run in sample order: the same samples give the same
 * bits. Needs query, model, prompt_tokens, n_samples, samples set; status must be SG_OK or the cell stays
 * invalid with NaN aggregates. */
void sg_cell_estimate(struct sg_cell *cell, struct sg_price price);

#endif

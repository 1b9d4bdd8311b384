/* posterior - what the votes alone say of each cell, where no truth is known. */
#ifndef SG_ANALYSIS_POSTERIOR_H
#define SG_ANALYSIS_POSTERIOR_H

#include "analysis.h"
#include "bootstrap.h"

/* Beta posterior of p, from the votes, at every vertex of the predicted frontier (*out) and of every cell that
 * has an estimate (*cell, [n * m]; zeros elsewhere); both the caller's (sg_beta_free). */
enum sg_status sg__posterior(const struct sg_analysis *a, struct sg_beta *out, struct sg_beta *cell,
                             struct sg_err *err);

#endif

/* quality - how good the estimates of this file are, against the baselines: overall, per model, per
 * category. */
#ifndef SG_ANALYSIS_QUALITY_H
#define SG_ANALYSIS_QUALITY_H

#include "analysis.h"

/* Sets a->quality, a->bins, a->length, a->brier_gain, a->n_groups, and brier and auc of a->single. Without
 * truth only the last. */
enum sg_status sg__quality(struct sg_analysis *a, struct sg_err *err);

/* For the Brier score of other estimates p of the same cells, with their truth tp, less that of the
 * dataset: adds to num[q] the difference of the squared errors over the pairs that both have, to den[q]
 * the number of these pairs. */
void sg__brier_sums(const struct sg_dataset *d, const double *scope, const double *p, const double *tp,
                    double *num, double *den);

#endif

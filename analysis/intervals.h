/* intervals - 95 % intervals of curves, policies and differences, from one paired bootstrap:
 * all are drawn with the same resamples of the queries. */
#ifndef SG_ANALYSIS_INTERVALS_H
#define SG_ANALYSIS_INTERVALS_H

#include "analysis.h"

/* Sets every low and high of a->curve and a->policies, and the replicates. Without truth also the posterior
 * curve and the policies' posterior values. Nothing is set where opt.reps is 0. */
enum sg_status sg__intervals(struct sg_analysis *a, struct sg_err *err);

#endif

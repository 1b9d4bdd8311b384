/* literature_metrics - the metrics of the literature for the curves of one analysis, each with its source
 * and bounds. */
#ifndef SG_ANALYSIS_LITERATURE_METRICS_H
#define SG_ANALYSIS_LITERATURE_METRICS_H

#include "analysis.h"

/* Sets a->metric; none without truth. Needs curves, single models and portfolio values. */
enum sg_status sg__literature_metrics(struct sg_analysis *a, struct sg_err *err);

/* AIQ of a curve over [its first point, cost_high]. */
enum sg_status sg__curve_aiq(const struct sg_analysis *a, enum sg_curve_id id, double cost_high,
                             double *value, struct sg_err *err);

#endif

/* analysis_run - computes all of an analysis. */
#ifndef SG_ANALYSIS_ANALYSIS_RUN_H
#define SG_ANALYSIS_ANALYSIS_RUN_H

#include "analysis.h"

/* The dataset outlives the analysis; *out is the caller's (sg_analysis_free). An impossible budget or
 * target is SG_E_INPUT. */
enum sg_status sg_analysis_run(const struct sg_dataset *d, const struct sg_analysis_options *opt,
                               struct sg_analysis *out, struct sg_err *err);

#endif

/* report - report.html: one file that opens from disk without a network. The page is report.html of this
 * folder with the numbers in it as JSON; its script draws them. */
#ifndef SG_ANALYSIS_OUTPUT_REPORT_H
#define SG_ANALYSIS_OUTPUT_REPORT_H

#include "analysis/analysis.h"
#include "analysis/compare.h"

/* dir/report.html; c may be NULL. */
enum sg_status sg_report_write(const struct sg_analysis *a, const struct sg_comparison *c, const char *dir,
                               struct sg_err *err);

#endif

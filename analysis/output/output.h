/* output - what scope-frontier leaves in its directory and says on the terminal. */
#ifndef SG_ANALYSIS_OUTPUT_OUTPUT_H
#define SG_ANALYSIS_OUTPUT_OUTPUT_H

#include "analysis/analysis.h"
#include "analysis/compare.h"
#include <stdio.h>

/* Writes the CSV files, frontier.h5 and report.html into `dir`, which is made, each under a temporary name
 * that is then renamed; then the summary to `to`. CSV files that would be empty (no truth, no samples) are
 * removed if an older run left them. csv_raw: texts that a spreadsheet would take for formulas stay as they are. c: NULL
 * for one results file. */
enum sg_status sg_output(const struct sg_analysis *a, const struct sg_comparison *c, const char *dir,
                         FILE *to, bool csv_raw, struct sg_err *err);

#endif

/* plots - PNG and PDF for papers, drawn by plot.py from what scope-frontier wrote. A convenience: where there
 * is no Python with matplotlib and h5py, one line says so and nothing else changes. */
#ifndef SG_ANALYSIS_OUTPUT_PLOTS_H
#define SG_ANALYSIS_OUTPUT_PLOTS_H

#include <stdio.h>

/* Runs plot.py (beside the executable) on dir/frontier.h5; says on `to` what was drawn, or why nothing was.
 */
void sg_plots_draw(const char *dir, FILE *to);

#endif

/* output - what scope-frontier leaves in its directory: CSV files, frontier.h5, and the table on the
 * terminal. Every file is written under a temporary name and renamed. */
#ifndef SG_ANALYSIS_OUTPUT_OUTPUT_H
#define SG_ANALYSIS_OUTPUT_OUTPUT_H

#include "analysis/analysis.h"
#include "base/mem.h"
#include <stdio.h>

/* frontier.csv shares.csv two_stage.csv models.csv asks.csv ask_shares.csv policies.csv quality.csv
 * reliability.csv samples.csv metrics.csv portfolio_value.csv in `dir`. Those that would be empty (no truth,
 * no samples) are removed if an older run left them. */
enum sg_status sg_output_csv(const struct sg_analysis *a, const char *dir, struct sg_err *err);

/* frontier.h5 in `dir`; xarray.open_dataset(..., engine="h5netcdf") reads it. */
enum sg_status sg_output_h5(const struct sg_analysis *a, const char *dir, struct sg_err *err);

/* The readable summary. */
void sg_output_table(const struct sg_analysis *a, FILE *to);

/* "12.3" for the share 0.123; "n/a" for NaN. Returns buf. */
char *sg_output_percent(double x, char *buf, size_t n);
/* USD with four significant digits, never in exponent form above 1e-9; "n/a" for NaN. Returns buf. */
char *sg_output_usd(double x, char *buf, size_t n);
/* With `digits` decimals; "n/a" where it is not finite. Returns buf. */
char *sg_output_number(double x, int digits, char *buf, size_t n);

/* One CSV field with its quotes where it needs them; a number, empty when not finite. */
enum sg_status sg_csv_text(struct sg_buf *b, const char *s, struct sg_err *err);
enum sg_status sg_csv_number(struct sg_buf *b, double x, struct sg_err *err);
/* Writes dir/name; removes it instead when `rows` is 0. */
enum sg_status sg_csv_save(const struct sg_buf *b, int64_t rows, const char *dir, const char *name,
                           struct sg_err *err);

#endif

/* writers - the four writers of the tables. */
#ifndef SG_ANALYSIS_OUTPUT_WRITERS_H
#define SG_ANALYSIS_OUTPUT_WRITERS_H

#include "tables.h"
#include <stdio.h>

/* Every table's CSV file in `dir`; an empty one is removed. */
enum sg_status sg__write_csv(const struct sg__tables *t, const char *dir, struct sg_err *err);
/* dir/frontier.h5; xarray.open_dataset(..., engine="h5netcdf") reads it. */
enum sg_status sg__write_h5(const struct sg__tables *t, const char *dir, struct sg_err *err);
/* dir/report.html: the page of this folder with the tables in it as JSON; its script draws them. It loads
 * nothing. */
enum sg_status sg__write_report(const struct sg__tables *t, const char *dir, struct sg_err *err);
/* The summary on the terminal. */
void sg__write_table(const struct sg__tables *t, FILE *to);
/* The advice, which comes first. */
void sg__write_decision(const struct sg_analysis *a, FILE *to);
void sg__write_comparison(const struct sg_comparison *c, FILE *to);

/* "accuracy", or "score" where outcomes are graded. */
const char *sg__measure(const struct sg_analysis *a);
/* A column's heading with that word in place of accuracy; in buf where it differs. */
const char *sg__heading(const struct sg_analysis *a, const struct sg__table_column *c, char *buf, size_t n);

/* For the terminal; each returns buf. With `digits` decimals; "n/a" where x is not finite. */
char *sg__print_number(double x, int digits, char *buf, size_t n);
/* "12.3" for the share 0.123; "n/a" where x is not finite. */
char *sg__print_percent(double x, char *buf, size_t n);
/* USD with four significant digits, never in exponent form; "n/a" for NaN. */
char *sg__print_usd(double x, char *buf, size_t n);
/* "12.3 [10.0, 14.0]": `times` the value and its interval; "-" where there is none. sign: + before positive ones. */
char *sg__print_band(const struct sg_value *v, double times, int digits, bool sign, char *buf, size_t n);
/* `times` a cost in USD with its interval; "-" where there is none. */
char *sg__print_bill(const struct sg_value *v, double times, char *buf, size_t n);

#endif

#include "output.h"

#include "base/file.h"
#include "writers.h"

enum sg_status sg_output(const struct sg_analysis *a, const struct sg_comparison *c, const char *dir,
                         FILE *to, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__tables t = {.a = a, .c = c};
    SG_TRY(sg__tables_decision(&t, err));
    SG_TRY(sg__tables_frontier(&t, err));
    SG_TRY(sg__tables_models(&t, err));
    SG_TRY(sg__tables_policies(&t, err));
    SG_TRY(sg__tables_quality(&t, err));
    SG_TRY(sg__tables_compare(&t, err));
    SG_TRY(sg_dir_make(dir, err));
    SG_TRY(sg__write_csv(&t, dir, err));
    SG_TRY(sg__write_h5(&t, dir, err));
    SG_TRY(sg__write_report(&t, dir, err));
    sg__write_table(&t, to);
    if (c) sg__write_comparison(c, to);
    fprintf(to, "\nWritten to %s: report.html, frontier.h5, CSV files\n", dir);
    fflush(to);
out:
    sg__tables_free(&t);
    return st;
}

#include "output.h"

#include "base/file.h"
#include "base/utf8.h"
#include "writers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Ids and names come from files that others may have written: a terminal shows their control characters as \u and four digits. */
static void put_shown(const char *text, FILE *to) {
    for (const char *p = text; *p;) {
        uint32_t code = 0;
        const size_t n = *p == '\n' ? 0 : sg_utf8_control(p, &code);
        if (n)
            fprintf(to, "\\u%04" PRIx32, code);
        else
            fputc(*p, to);
        p += n ? n : 1;
    }
}

/* Removes what earlier calls that were killed have left. Others may be writing into the same folder now. */
static enum sg_status tidy(const struct sg__tables *t, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const char *const others[] = {"frontier.h5",  "report.html",     "policy.json",    "frontier.png",
                                         "frontier.pdf", "reliability.png", "reliability.pdf"};
    const size_t n_others = sizeof others / sizeof *others;
    const char **names = NULL;
    size_t n = n_others;
    SG_TRY(SG_NEW(&names, t->n + n_others + 1, "names of files", err)); /* zeroed */
    memcpy(names, others, sizeof others);
    for (size_t i = 0; i < t->n; i++)
        if (t->table[i].is->csv) names[n++] = t->table[i].is->csv;
    sg_temp_tidy(dir, ".", names, SG_TEMP_AGE);
out:
    free(names);
    return st;
}

enum sg_status sg_output(const struct sg_analysis *a, const struct sg_comparison *c, const char *dir,
                         FILE *to, bool csv_raw, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__tables t = {.a = a, .c = c, .csv_raw = csv_raw};
    char *text = NULL;
    size_t size = 0;
    FILE *told = NULL;
    SG_TRY(sg__tables_decision(&t, err));
    SG_TRY(sg__tables_frontier(&t, err));
    SG_TRY(sg__tables_models(&t, err));
    SG_TRY(sg__tables_policies(&t, err));
    SG_TRY(sg__tables_quality(&t, err));
    SG_TRY(sg__tables_compare(&t, err));
    SG_TRY(sg__tables_cells(&t, err));
    SG_TRY(sg_dir_make(dir, err));
    SG_TRY(tidy(&t, dir, err));
    SG_TRY(sg__write_csv(&t, dir, err));
    SG_TRY(sg__write_h5(&t, dir, err));
    SG_TRY(sg__write_report(&t, dir, err));
    told = open_memstream(&text, &size);
    if (!told) {
        st = sg_fail(err, SG_E_NOMEM, "the summary: %s", strerror(errno));
        goto out;
    }
    sg__write_table(&t, told);
    if (c) sg__write_comparison(c, told);
    fprintf(told, "\nWritten to %s: report.html, frontier.h5, CSV files\n", dir);
    if (fclose(told) != 0) {
        st = sg_fail(err, SG_E_NOMEM, "the summary: %s", strerror(errno));
        goto out;
    }
    put_shown(text, to);
    fflush(to);
out:
    free(text);
    sg__tables_free(&t);
    return st;
}

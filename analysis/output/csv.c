#include "writers.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 64 };

/* One field with its quotes where it needs them. A spreadsheet computes a cell that begins with one of = + - @, a tab or
 * a carriage return: an apostrophe in front makes it text. Texts that begin with an apostrophe get another, so that who
 * drops one from each has the texts again. */
static enum sg_status text(struct sg_buf *b, const char *s, bool raw, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *mark = !raw && *s && strchr("=+-@\t\r'", *s) ? "'" : "";
    const bool quotes = strpbrk(s, ",\"\r\n");
    SG_TRY(sg_buf_printf(b, err, "%s%s", quotes ? "\"" : "", mark));
    if (!quotes) return sg_buf_str(b, s, err);
    for (; *s; s++) {
        if (*s == '"') SG_TRY(sg_buf_str(b, "\"", err));
        SG_TRY(sg_buf_add(b, s, 1, err));
    }
    SG_TRY(sg_buf_str(b, "\"", err));
out:
    return st;
}

static enum sg_status field(const struct sg__tables *all, struct sg_buf *b, const struct sg__table_column *c,
                            const void *cell, int part, struct sg_err *err) {
    const char *s = sg__cell_text(all, c, cell);
    if (s) return text(b, s, all->csv_raw, err);
    const double x = sg__cell_number(c, cell, part);
    if (!isfinite(x)) return SG_OK;
    if (c->kind == SG__I64) return sg_buf_printf(b, err, "%lld", (long long)*(const int64_t *)cell);
    return sg_buf_printf(b, err, "%.12g", x);
}

/* A row of the file, or, of `row` -1, its headings. */
static enum sg_status line(const struct sg__tables *all, struct sg_buf *b, const struct sg__table *t,
                           int64_t row, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char name[NAME_BYTES];
    const char *comma = "";
    for (const struct sg__table_column *c = t->is->columns; c < t->is->columns + t->is->n_columns; c++)
        for (int part = 0; c->in & SG__CSV && part < (c->kind == SG__VALUE ? 3 : 1); part++, comma = ",") {
            SG_TRY(sg_buf_str(b, comma, err));
            if (row < 0)
                SG_TRY(sg_buf_str(b, sg__table_column_name(c, part, true, name, sizeof name), err));
            else
                SG_TRY(field(all, b, c, sg__table_cell(t, c, row), part, err));
        }
    SG_TRY(sg_buf_str(b, "\n", err));
out:
    return st;
}

static enum sg_status file(const struct sg__tables *all, const struct sg__table *t, const char *dir,
                           struct sg_buf *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    int64_t written = 0;
    sg_buf_clear(b);
    SG_TRY(line(all, b, t, -1, err));
    for (int64_t i = 0; i < t->n_csv; i++) {
        if (t->is->keep && !t->is->keep((const char *)t->rows + (size_t)i * t->is->stride)) continue;
        SG_TRY(line(all, b, t, i, err));
        written++;
    }
    SG_TRY(sg_path_join(dir, t->is->csv, &path, err));
    if (written)
        SG_TRY(sg_file_write_atomic(path, b->data, b->len, err));
    else
        unlink(path); /* of an older run; it may well not exist */
out:
    free(path);
    return st;
}

enum sg_status sg__write_csv(const struct sg__tables *t, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    for (size_t i = 0; i < t->n; i++)
        if (t->table[i].is->csv) SG_TRY(file(t, &t->table[i], dir, &b, err));
out:
    sg_buf_free(&b);
    return st;
}

/* csv - reads a table of texts as spreadsheets and programs write it (RFC 4180): quotes, line ends of either kind, a byte
 * order mark, blank lines between. */
#ifndef SG_BASE_CSV_H
#define SG_BASE_CSV_H

#include "base/mem.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { SG_CSV_COLUMNS = 64 };

struct sg_csv {
    const char *path;
    int64_t line; /* where the record read last begins */
    char *field[SG_CSV_COLUMNS];
    int n;    /* fields of that record; they lie in the text */
    char *at; /* where the next one begins */
    int64_t next_line;
};
/* Reads a file of at most 1 GiB into *text, which is the caller's and is cut into fields where it lies. path is borrowed.
 * SG_E_INPUT: it is empty or holds a zero byte. */
enum sg_status sg_csv_open(struct sg_csv *c, const char *path, struct sg_buf *text, struct sg_err *err);
/* The next record; *more false: there is none. SG_E_INPUT, with file and line: a quote that is not closed, text
 * after a closing one, more than SG_CSV_COLUMNS fields. */
enum sg_status sg_csv_next(struct sg_csv *c, bool *more, struct sg_err *err);
/* The field of the record read last that is `name`; -1: none. */
int sg_csv_column(const struct sg_csv *c, const char *name);
/* A text without the apostrophe by which scope-frontier keeps a spreadsheet from reading it as a formula. */
const char *sg_csv_bare(const char *text);

#endif

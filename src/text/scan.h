/* scan - a pull reader of JSON for files too large for a tree (an 11 MB tokenizer.json) and for strings that
 * may hold NUL, which cJSON cannot carry. The text must be valid UTF-8 (checked by the caller at once).
 * Errors name `where`, line and column. */
#ifndef SG_TEXT_SCAN_H
#define SG_TEXT_SCAN_H

#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_scan {
    const char *begin, *p, *end; /* borrowed text */
    const char *where;           /* borrowed: file name for errors */
    int64_t line0;               /* line of the first byte */
    struct sg_buf tmp;           /* the last string that had escapes; owned, sg_scan_free */
};
struct sg_scan_str {
    const char *s; /* in the text, or in tmp: valid until the next string is read */
    size_t n;
};

void sg_scan_init(struct sg_scan *j, const char *text, size_t n, const char *where, int64_t line0);
void sg_scan_free(struct sg_scan *j);

/* "where:line:col: " and the message, at byte `at` of the text. */
enum sg_status sg_scan_fail(const struct sg_scan *j, const char *at, enum sg_status st, struct sg_err *err,
                            const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* First byte of the next value: { [ " t f n - 0-9, or 0 at the end. White space before it is consumed. */
char sg_scan_peek(struct sg_scan *j);
/* Containers: open consumes the bracket; more says whether an element follows (consuming the comma) or
 * consumes the closing bracket. `first` starts true and is kept by more. */
enum sg_status sg_scan_open(struct sg_scan *j, char bracket, struct sg_err *err);
enum sg_status sg_scan_more(struct sg_scan *j, char closing, bool *first, bool *more, struct sg_err *err);
/* A member's name and its colon. */
enum sg_status sg_scan_key(struct sg_scan *j, struct sg_scan_str *key, struct sg_err *err);
enum sg_status sg_scan_string(struct sg_scan *j, struct sg_scan_str *out, struct sg_err *err);
enum sg_status sg_scan_int(struct sg_scan *j, int64_t min, int64_t max, int64_t *out, struct sg_err *err);
enum sg_status sg_scan_bool(struct sg_scan *j, bool *out, struct sg_err *err);
/* Consumes null if it is next. */
bool sg_scan_null(struct sg_scan *j);
/* Any value, checked and thrown away. */
enum sg_status sg_scan_skip(struct sg_scan *j, struct sg_err *err);
/* Nothing but white space may be left. */
enum sg_status sg_scan_finish(struct sg_scan *j, struct sg_err *err);

bool sg_scan_str_is(struct sg_scan_str a, const char *b);

#endif

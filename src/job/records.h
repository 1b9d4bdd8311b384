/* records - one JSON object after another from a JSONL file or a JSON array of objects, in bounded memory:
 * a file of any size is never held whole. Every error names file and line. */
#ifndef SG_JOB_RECORDS_H
#define SG_JOB_RECORDS_H

#include "base/json.h"
#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

/* Longest record; a longer one is refused after this many bytes have been looked at. */
enum { SG_RECORD_MAX_BYTES = 16 << 20 };

struct sg__records {
    const char *path; /* borrowed */
    int fd;           /* -1: the bytes came from memory */
    int form;         /* see records.c */
    char *buf;        /* [cap]; the unread bytes are [at, end) */
    size_t cap, at, end;
    bool eof;
    int64_t line, col; /* of buf[at], from 1 */
    int64_t count;
    cJSON *doc;          /* of the current record */
    struct sg_buf where; /* "path:line" of the current record */
    int64_t record_line;
};

enum sg_status sg__records_open(const char *path, struct sg__records *out, struct sg_err *err);
/* The same over n bytes in memory (copied); `name` stands for the path in errors. */
enum sg_status sg__records_memory(const char *name, const void *bytes, size_t n, struct sg__records *out,
                                  struct sg_err *err);
/* The next record into *out, valid until the next call or the close; *more = false (and *out untouched) at
 * the end. SG_E_INPUT: broken JSON, something that is no object, a record that is too long. */
enum sg_status sg__records_next(struct sg__records *r, struct sg_json *out, bool *more, struct sg_err *err);
void sg__records_close(struct sg__records *r); /* zeroed-with-fd=-1 and half-built accepted */

#endif

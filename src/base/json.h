/* json - strict reading of JSON through cJSON: valid UTF-8, no duplicate keys, nothing after the value,
 * every error with file, line and column, or with the path of the key (`sampling.top_p`). */
#ifndef SG_BASE_JSON_H
#define SG_BASE_JSON_H

#include "base/mem.h"
#include "base/status.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses text[0..n) (text[n] must be readable: any NUL-terminated buffer). `where` names it in errors
 * ("jobs/a.json" or "queries.jsonl"); `line0` is the line its first byte stands on (1 for a whole file).
 * *out is owned by the caller (cJSON_Delete). Refused: bad UTF-8, anything that is not JSON to the letter
 * (json_scan.h), duplicate keys, numbers that are not finite; SG_E_NOMEM when memory is out. A byte order
 * mark at the start of line 1 is skipped. */
enum sg_status sg_json_parse(const char *text, size_t n, const char *where, int64_t line0, cJSON **out,
                             struct sg_err *err);
/* The same for text that starts at column col0 (from 1) of its line. */
enum sg_status sg_json_parse_at(const char *text, size_t n, const char *where, int64_t line0, int64_t col0,
                                cJSON **out, struct sg_err *err);

/* A place inside a document: what the typed readers below need to name a key in an error. Build the root
 * with {node, where, ""}; sg_json_member and sg_json_element step down. `path` memory belongs to the caller's struct. */
struct sg_json {
    const cJSON *node; /* borrowed from the document */
    const char *where; /* borrowed: file name, or "file:line" for a record */
    char path[200];    /* "" for the root, else "a.b[3]" */
};

/* The member `key` of the object `at`; out->node is NULL when absent and `required` is false. An explicit
 * null counts as absent. SG_E_INPUT when required and absent, or when `at` is no object. */
enum sg_status sg_json_member(const struct sg_json *at, const char *key, bool required, struct sg_json *out,
                              struct sg_err *err);
/* Element i of an array node. */
struct sg_json sg_json_element(const struct sg_json *at, const cJSON *element, int64_t i);

/* Typed readers of an optional member: *out is left as it is (the default) when the key is absent.
 * Range [min, max] inclusive is checked and printed. Integers must be whole and within +-2^53. */
enum sg_status sg_json_get_i64(const struct sg_json *at, const char *key, int64_t min, int64_t max,
                               int64_t *out, struct sg_err *err);
enum sg_status sg_json_get_f64(const struct sg_json *at, const char *key, double min, double max, double *out,
                               struct sg_err *err);
enum sg_status sg_json_get_bool(const struct sg_json *at, const char *key, bool *out, struct sg_err *err);
/* Borrowed from the document; valid until cJSON_Delete. */
enum sg_status sg_json_get_str(const struct sg_json *at, const char *key, const char **out,
                               struct sg_err *err);
/* As get_*, but absent is an error. */
enum sg_status sg_json_need_str(const struct sg_json *at, const char *key, const char **out,
                                struct sg_err *err);
enum sg_status sg_json_need_i64(const struct sg_json *at, const char *key, int64_t min, int64_t max,
                                int64_t *out, struct sg_err *err);

/* Refuses keys of the object `at` that are not in allowed[0..n), naming the nearest allowed one. */
enum sg_status sg_json_only(const struct sg_json *at, const char *const *allowed, size_t n,
                            struct sg_err *err);

/* The nearest of n names to `name` by edit distance, or NULL when none is near (distance > 1/3 of the
 * length + 1). For "did you mean" in errors about keys, model names, command-line options. */
const char *sg_nearest(const char *name, const char *const *names, size_t n);

/* The shortest decimal that reads back as v, as JSON has it ("null" when v is not finite); NUL-terminated. */
enum { SG_JSON_NUMBER = 32 };
void sg_json_number(double v, char out[SG_JSON_NUMBER]);

/* Appends s[0..n) as a JSON string with its quotes; bytes that are not valid UTF-8 become U+FFFD. What some
 * readers take for the end of a line (U+0085, U+2028, U+2029) is escaped: one record stays one line. */
enum sg_status sg_json_quote(struct sg_buf *b, const char *s, size_t n, struct sg_err *err);

#endif

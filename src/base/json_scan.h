/* json_scan - whether text is JSON to the letter (RFC 8259), and if not, exactly where and why. cJSON lets a
 * few things pass (01, raw newlines in strings) and names no reason; shared by json.c only. */
#ifndef SG_BASE_JSON_SCAN_H
#define SG_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* True when s[0..n), valid UTF-8, is one JSON value with nothing but white space around it. Else false, *bad
 * is the offset where it goes wrong and *why a phrase ("expected ':' after a key"). Beyond the RFC it
 * refuses \u0000 (our strings end with NUL), numbers of more than 60 characters and nesting beyond 256. */
bool sg__json_scan(const char *s, size_t n, size_t *bad, const char **why);

#endif

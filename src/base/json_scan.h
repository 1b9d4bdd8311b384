/* json_scan - checks that text is JSON by RFC 8259, and says where and why it is not. cJSON accepts some
 * errors (01, raw newlines in strings) and gives no reason. Used by json.c alone. */
#ifndef SG_BASE_JSON_SCAN_H
#define SG_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* True when s[0..n), valid UTF-8, is one JSON value with nothing but white space around it. Else false, *bad
 * is the offset where it goes wrong and *why a phrase ("expected ':' after a key"). Beyond the RFC it
 * refuses \u0000 (our strings end with NUL), numbers of more than 60 characters and nesting beyond 256. */
bool sg__json_scan(const char *s, size_t n, size_t *bad, const char **why);

#endif

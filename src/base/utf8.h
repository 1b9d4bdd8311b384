/* utf8 - checks and lengths of UTF-8 text, for several folders. Lengths are in bytes unless said. */
#ifndef SG_BASE_UTF8_H
#define SG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when all n bytes are well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF:
 * Unicode 15, table 3-7). Otherwise false, and *bad (may be NULL) is the offset of the first bad byte. */
bool sg_utf8_valid(const char *s, size_t n, size_t *bad);

/* Bytes of the longest prefix with at most `max` code points; s is valid UTF-8. */
size_t sg_utf8_prefix(const char *s, size_t n, size_t max);

/* True for what a terminal or an editor obeys instead of showing it: C0 and C1 controls, delete, line separators, and the
 * controls of writing direction, which can make a text read as another one (Unicode Standard Annex 9, table 1). */
bool sg_utf8_is_control(uint32_t code);
/* Bytes of such a character at s (NUL-terminated); 0 when it is none. *code (may be NULL): its code point. */
size_t sg_utf8_control(const char *s, uint32_t *code);

#endif

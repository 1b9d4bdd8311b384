/* unicode - what the tokenizer asks about characters: letter, number, white space or other, and Unicode's
 * normalisation form C. Categories and decompositions are utf8proc's (Unicode 15.0 in Debian 12) with the
 * letters and numbers that 15.1 and 16.0 added, because the expression engine of HuggingFace's tokenizers
 * (Oniguruma) knows them. */
#ifndef SG_TEXT_UNICODE_H
#define SG_TEXT_UNICODE_H

#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sg__class { SG__OTHER = 0, SG__LETTER = 1, SG__NUMBER = 2, SG__SPACE = 3 };
enum {
    SG__CLASS_MASK = 3,
    SG__NFC_UNSAFE = 4,       /* may change, or merge with what stands before it, under NFC */
    SG__WORD = 8,             /* \w: letters, marks, decimal digits, connectors and other alphabetics */
    SG__TABLE_SIZE = 0x33480, /* every assigned letter, number and space lies below */
};

/* One byte of flags a code point. Built at open (about 5 ms), then read-only. */
struct sg__unicode {
    uint8_t *flags; /* [SG__TABLE_SIZE], owned */
};
enum sg_status sg__unicode_init(struct sg__unicode *u, struct sg_err *err);
void sg__unicode_free(struct sg__unicode *u);

static inline uint8_t sg__flags(const struct sg__unicode *u, uint32_t cp) {
    return cp < SG__TABLE_SIZE ? u->flags[cp] : 0;
}

/* Decodes the code point at s of valid UTF-8; *len its bytes. */
static inline uint32_t sg_utf8_at(const unsigned char *s, unsigned *len) {
    uint32_t c = s[0];
    if (c < 0x80) {
        *len = 1;
        return c;
    }
    if (c < 0xE0) {
        *len = 2;
        return (c & 0x1F) << 6 | (s[1] & 0x3Fu);
    }
    if (c < 0xF0) {
        *len = 3;
        return (c & 0x0F) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    }
    *len = 4;
    return (c & 0x07) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}
/* Writes cp as UTF-8, returns its bytes (1 to 4). */
unsigned sg__utf8_put(uint32_t cp, char out[4]);

/* A stretch that NFC rewrote: source [from, from_end) became output [to, to_end). Stretches are in order;
 * outside them bytes are copied one for one. */
struct sg__edit {
    size_t from, from_end, to, to_end;
};
/* Working memory of sg__nfc; zeroed is empty. Owns everything. */
struct sg__nfc {
    struct sg_buf text; /* the result */
    struct sg__edit *edits;
    size_t n_edits, cap_edits;
    int32_t *points; /* one stretch, decomposed */
    size_t cap_points;
    int32_t *sorted; /* the same size again, for reordering marks */
    size_t cap_sorted;
};
/* Offset of the first character that NFC could touch; n when the text is in NFC by the quick check. */
size_t sg__nfc_quick(const struct sg__unicode *u, const char *s, size_t n);
/* NFC of s[0..n) into w->text, and what was rewritten into w->edits. Linear in n (marks are counted, not
 * bubbled, into order). */
enum sg_status sg__nfc(const struct sg__unicode *u, struct sg__nfc *w, const char *s, size_t n,
                       struct sg_err *err);
void sg__nfc_free(struct sg__nfc *w);

/* Appends bytes as UTF-8, each maximal ill-formed part as one U+FFFD (Unicode 15, 3.9, "substitution of
 * maximal subparts"; what Rust's from_utf8_lossy does). */
enum sg_status sg_utf8_lossy(const char *s, size_t n, struct sg_buf *out, struct sg_err *err);

#endif

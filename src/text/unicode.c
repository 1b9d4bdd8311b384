#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Letters and numbers of Unicode 15.1 and 16.0 (UnicodeData.txt), unassigned in utf8proc 2.8. Consulted only
 * for code points that the installed utf8proc calls unassigned, so a newer one makes it a no-op. */
static const struct {
    uint32_t first, last;
    enum sg__class class;
} newer[] = {
    {0x1C89, 0x1C8A, SG__LETTER},   {0xA7CB, 0xA7CD, SG__LETTER},   {0xA7DA, 0xA7DC, SG__LETTER},
    {0x105C0, 0x105F3, SG__LETTER}, {0x10D40, 0x10D49, SG__NUMBER}, {0x10D4A, 0x10D65, SG__LETTER},
    {0x10D6F, 0x10D85, SG__LETTER}, {0x10EC2, 0x10EC4, SG__LETTER}, {0x11380, 0x11389, SG__LETTER},
    {0x1138B, 0x1138B, SG__LETTER}, {0x1138E, 0x1138E, SG__LETTER}, {0x11390, 0x113B5, SG__LETTER},
    {0x113B7, 0x113B7, SG__LETTER}, {0x113D1, 0x113D1, SG__LETTER}, {0x113D3, 0x113D3, SG__LETTER},
    {0x116D0, 0x116E3, SG__NUMBER}, {0x11BC0, 0x11BE0, SG__LETTER}, {0x11BF0, 0x11BF9, SG__NUMBER},
    {0x13460, 0x143FA, SG__LETTER}, {0x16100, 0x1611D, SG__LETTER}, {0x16130, 0x16139, SG__NUMBER},
    {0x16D40, 0x16D6C, SG__LETTER}, {0x16D70, 0x16D79, SG__NUMBER}, {0x18CFF, 0x18CFF, SG__LETTER},
    {0x1CCF0, 0x1CCF9, SG__NUMBER}, {0x1E5D0, 0x1E5ED, SG__LETTER}, {0x1E5F0, 0x1E5F0, SG__LETTER},
    {0x1E5F1, 0x1E5FA, SG__NUMBER}, {0x2EBF0, 0x2EE5D, SG__LETTER},
};

/* Marks that Unicode gave a combining class (and U+11930 a composition) after version 9. HuggingFace's NFC is
 * made of the tables of Unicode 9 (Rust crate unicode-normalization-alignments): to it they are characters
 * like any other, which neither move nor compose, and its results are what models were trained on. */
static const struct {
    uint32_t first, last;
} young_marks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

/* White_Space of PropList.txt: what \s means to Oniguruma. */
static bool is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

/* Alphabetic symbols of category So: circled and squared letters. */
static bool is_letter_symbol(uint32_t c) {
    return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
           (c >= 0x1F170 && c <= 0x1F189);
}

static uint8_t category_flags(uint32_t c, utf8proc_category_t k) {
    if (is_space(c)) return SG__SPACE;
    switch (k) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return SG__LETTER | SG__WORD;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
        return SG__NUMBER | SG__WORD;
    case UTF8PROC_CATEGORY_NO:
        return SG__NUMBER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_PC:
        return SG__WORD;
    default:
        return is_letter_symbol(c) || c == 0x200C || c == 0x200D ? SG__WORD : 0;
    }
}

/* Marks c's part in NFC: c itself when NFC changes it or it is a mark, and whatever can follow in a canonical
 * decomposition, since that is what composition looks for. */
static void mark_unsafe(uint8_t *flags, uint32_t c) {
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    if (p->combining_class) flags[c] |= SG__NFC_UNSAFE;
    if (p->decomp_seqindex == UINT16_MAX || p->decomp_type != 0) return; /* no canonical decomposition */
    int32_t d[64];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, d, 64, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > 64) { /* cannot happen with sane data: be careful rather than fast */
        flags[c] |= SG__NFC_UNSAFE;
        return;
    }
    for (utf8proc_ssize_t i = 1; i < n; i++)
        if (d[i] < SG__TABLE_SIZE) flags[d[i]] |= SG__NFC_UNSAFE;
    n = utf8proc_normalize_utf32(d, n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    if (n != 1 || d[0] != (int32_t)c) flags[c] |= SG__NFC_UNSAFE;
}

enum sg_status sg__unicode_init(struct sg__unicode *u, struct sg_err *err) {
    uint8_t *flags;
    enum sg_status st = SG_NEW(&flags, SG__TABLE_SIZE, "character table", err);
    if (st != SG_OK) return st;
    for (uint32_t c = 0; c < SG__TABLE_SIZE; c++) {
        flags[c] |= category_flags(c, utf8proc_category((utf8proc_int32_t)c));
        if (c >= 0xC0) mark_unsafe(flags, c);
    }
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        for (uint32_t c = newer[i].first; c <= newer[i].last; c++)
            if (utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_CN)
                flags[c] |= (uint8_t)(newer[i].class | SG__WORD);
    for (uint32_t c = 0x1161; c <= 0x1175; c++) flags[c] |= SG__NFC_UNSAFE; /* Hangul vowels and finals: */
    for (uint32_t c = 0x11A8; c <= 0x11C2; c++) flags[c] |= SG__NFC_UNSAFE; /* composed by rule, not table */
    for (size_t i = 0; i < sizeof young_marks / sizeof *young_marks; i++)
        for (uint32_t c = young_marks[i].first; c <= young_marks[i].last; c++)
            flags[c] &= (uint8_t)~SG__NFC_UNSAFE;
    u->flags = flags;
    return SG_OK;
}

void sg__unicode_free(struct sg__unicode *u) {
    if (!u) return;
    free(u->flags);
    u->flags = NULL;
}

unsigned sg__utf8_put(uint32_t cp, char out[4]) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

/* First byte at or after i that is not ASCII. */
static size_t skip_ascii(const char *s, size_t n, size_t i) {
    while (n - i >= 8) {
        uint64_t w;
        memcpy(&w, s + i, 8);
        if (w & 0x8080808080808080u) break;
        i += 8;
    }
    while (i < n && !((unsigned char)s[i] & 0x80)) i++;
    return i;
}

size_t sg__nfc_quick(const struct sg__unicode *u, const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        i = skip_ascii(s, n, i);
        while (i < n && ((unsigned char)s[i] & 0x80)) {
            unsigned len;
            if (sg__flags(u, sg_utf8_at((const unsigned char *)s + i, &len)) & SG__NFC_UNSAFE) return i;
            i += len;
        }
    }
    return n;
}

/* 0 for what the flags call safe, whatever utf8proc knows about it. */
static unsigned combining_class(const struct sg__unicode *u, int32_t c) {
    if (!(sg__flags(u, (uint32_t)c) & SG__NFC_UNSAFE)) return 0;
    return (unsigned)utf8proc_get_property(c)->combining_class;
}

/* Puts every run of marks into the order of their combining classes, equal ones as they stood: insertion for
 * the usual handful, counting for long runs (a megabyte of marks must not take forever). */
static enum sg_status order_marks(const struct sg__unicode *u, struct sg__nfc *w, size_t n,
                                  struct sg_err *err) {
    int32_t *p = w->points;
    for (size_t i = 0; i < n;) {
        if (!combining_class(u, p[i])) {
            i++;
            continue;
        }
        size_t end = i + 1;
        while (end < n && combining_class(u, p[end])) end++;
        if (end - i <= 16) {
            for (size_t k = i + 1; k < end; k++) {
                int32_t v = p[k];
                size_t m = k;
                while (m > i && combining_class(u, p[m - 1]) > combining_class(u, v)) {
                    p[m] = p[m - 1];
                    m--;
                }
                p[m] = v;
            }
        } else {
            size_t start[257] = {0};
            enum sg_status st = SG_GROW(&w->sorted, &w->cap_sorted, end - i, "marks", err);
            if (st != SG_OK) return st;
            for (size_t k = i; k < end; k++) start[combining_class(u, p[k]) + 1]++;
            for (size_t k = 1; k < 257; k++) start[k] += start[k - 1];
            for (size_t k = i; k < end; k++) w->sorted[start[combining_class(u, p[k])]++] = p[k];
            memcpy(p + i, w->sorted, (end - i) * sizeof *p);
        }
        i = end;
    }
    return SG_OK;
}

/* One stretch from a safe character up to the next. */
static enum sg_status rewrite(const struct sg__unicode *u, struct sg__nfc *w, const char *s, size_t n,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t count = 0;
    for (size_t i = 0; i < n;) {
        unsigned len;
        uint32_t c = sg_utf8_at((const unsigned char *)s + i, &len);
        i += len;
        int32_t d[64];
        int boundary = 0;
        utf8proc_ssize_t k =
            utf8proc_decompose_char((utf8proc_int32_t)c, d, 64, UTF8PROC_DECOMPOSE, &boundary);
        SG_ASSERT(k >= 1 && k <= 64);
        SG_TRY(SG_GROW(&w->points, &w->cap_points, count + (size_t)k, "decomposed text", err));
        memcpy(w->points + count, d, (size_t)k * sizeof *d);
        count += (size_t)k;
    }
    SG_TRY(order_marks(u, w, count, err));
    utf8proc_ssize_t m =
        utf8proc_normalize_utf32(w->points, (utf8proc_ssize_t)count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    SG_ASSERT(m >= 0);
    for (utf8proc_ssize_t i = 0; i < m; i++) {
        char utf8[4];
        SG_TRY(sg_buf_add(&w->text, utf8, sg__utf8_put((uint32_t)w->points[i], utf8), err));
    }
out:
    return st;
}

enum sg_status sg__nfc(const struct sg__unicode *u, struct sg__nfc *w, const char *s, size_t n,
                       struct sg_err *err) {
    enum sg_status st = SG_OK;
    sg_buf_clear(&w->text);
    w->n_edits = 0;
    size_t done = 0;
    while (done < n) {
        size_t at = done + sg__nfc_quick(u, s + done, n - done);
        if (at == n) {
            SG_TRY(sg_buf_add(&w->text, s + done, n - done, err));
            break;
        }
        size_t from = at, to = at;
        if (from > done) /* the character before may compose with it */
            do from--;
            while (from > done && ((unsigned char)s[from] & 0xC0) == 0x80);
        while (to < n) {
            unsigned len;
            if (!(sg__flags(u, sg_utf8_at((const unsigned char *)s + to, &len)) & SG__NFC_UNSAFE)) break;
            to += len;
        }
        SG_TRY(sg_buf_add(&w->text, s + done, from - done, err));
        size_t out_from = w->text.len;
        SG_TRY(rewrite(u, w, s + from, to - from, err));
        SG_TRY(SG_GROW(&w->edits, &w->cap_edits, w->n_edits + 1, "rewritten stretches", err));
        w->edits[w->n_edits++] = (struct sg__edit){from, to, out_from, w->text.len};
        done = to;
    }
out:
    return st;
}

void sg__nfc_free(struct sg__nfc *w) {
    if (!w) return;
    sg_buf_free(&w->text);
    free(w->edits);
    free(w->points);
    free(w->sorted);
    memset(w, 0, sizeof *w);
}

/* Bytes of the well-formed character at s, or 0; then *part is the length of the maximal ill-formed part. */
static size_t well_formed(const unsigned char *s, size_t n, size_t *part) {
    unsigned char c = s[0];
    size_t len = c < 0x80                 ? 1
                 : c >= 0xC2 && c <= 0xDF ? 2
                 : (c & 0xF0) == 0xE0     ? 3
                 : c >= 0xF0 && c <= 0xF4 ? 4
                                          : 0;
    *part = 1;
    if (len < 2) return len;
    unsigned char lo = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    unsigned char hi = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    for (size_t k = 1; k < len; k++) {
        if (k >= n || s[k] < lo || s[k] > hi) {
            *part = k;
            return 0;
        }
        lo = 0x80;
        hi = 0xBF;
    }
    return len;
}

enum sg_status sg_utf8_lossy(const char *text, size_t n, struct sg_buf *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const unsigned char *s = (const unsigned char *)text;
    size_t start = 0, i = 0;
    while (i < n) {
        i = skip_ascii(text, n, i);
        if (i == n) break;
        size_t part, len = well_formed(s + i, n - i, &part);
        if (len) {
            i += len;
            continue;
        }
        SG_TRY(sg_buf_add(out, text + start, i - start, err));
        SG_TRY(sg_buf_add(out, "\xEF\xBF\xBD", 3, err));
        i += part;
        start = i;
    }
    SG_TRY(sg_buf_add(out, text + start, n - start, err));
out:
    return st;
}

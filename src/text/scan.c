#include "text/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sg_scan_init(struct sg_scan *j, const char *text, size_t n, const char *where, int64_t line0) {
    memset(j, 0, sizeof *j);
    j->begin = j->p = text;
    j->end = text + n;
    j->where = where;
    j->line0 = line0;
}

void sg_scan_free(struct sg_scan *j) {
    sg_buf_free(&j->tmp);
}

enum sg_status sg_scan_fail(const struct sg_scan *j, const char *at, enum sg_status st, struct sg_err *err,
                            const char *fmt, ...) {
    long long line = j->line0, col = 1;
    for (const char *p = j->begin; p < at; p++) {
        if (*p == '\n') {
            line++;
            col = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            col++;
        }
    }
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sg_fail(err, st, "%s:%lld:%lld: %s", j->where, line, col, text);
}

bool sg_scan_str_is(struct sg_scan_str a, const char *b) {
    return a.n == strlen(b) && !memcmp(a.s, b, a.n);
}

char sg_scan_peek(struct sg_scan *j) {
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r')) j->p++;
    return j->p < j->end ? *j->p : 0;
}

static enum sg_status expected(const struct sg_scan *j, const char *what, struct sg_err *err) {
    return j->p < j->end
               ? sg_scan_fail(j, j->p, SG_E_INPUT, err, "expected %s", what)
               : sg_scan_fail(j, j->p, SG_E_INPUT, err, "the text ends where %s was expected", what);
}

enum sg_status sg_scan_open(struct sg_scan *j, char bracket, struct sg_err *err) {
    if (sg_scan_peek(j) != bracket) return expected(j, bracket == '{' ? "an object" : "an array", err);
    j->p++;
    return SG_OK;
}

enum sg_status sg_scan_more(struct sg_scan *j, char closing, bool *first, bool *more, struct sg_err *err) {
    char c = sg_scan_peek(j);
    if (c == closing) {
        j->p++;
        *more = false;
        return SG_OK;
    }
    if (!*first) {
        if (c != ',') return expected(j, closing == '}' ? "',' or '}'" : "',' or ']'", err);
        j->p++;
        sg_scan_peek(j);
    }
    *first = false;
    *more = true;
    return SG_OK;
}

enum sg_status sg_scan_key(struct sg_scan *j, struct sg_scan_str *key, struct sg_err *err) {
    if (sg_scan_peek(j) != '"') return expected(j, "a key in quotes", err);
    enum sg_status st = sg_scan_string(j, key, err);
    if (st != SG_OK) return st;
    if (sg_scan_peek(j) != ':') return expected(j, "':'", err);
    j->p++;
    return SG_OK;
}

static int hex4(const char *p, const char *end) {
    if (end - p < 4) return -1;
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* One \u escape of four hex digits (p behind the u), a surrogate pair as one character. */
static enum sg_status unicode_escape(struct sg_scan *j, struct sg_err *err) {
    const char *at = j->p - 2;
    int v = hex4(j->p, j->end);
    if (v < 0) return sg_scan_fail(j, at, SG_E_INPUT, err, "expected four hex digits after \\u");
    j->p += 4;
    if (v >= 0xD800 && v <= 0xDFFF) {
        int low = v < 0xDC00 && j->end - j->p >= 6 && j->p[0] == '\\' && j->p[1] == 'u'
                      ? hex4(j->p + 2, j->end)
                      : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return sg_scan_fail(j, at, SG_E_INPUT, err, "half of a surrogate pair: not a character");
        j->p += 6;
        v = 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
    }
    char u[4];
    size_t n = 0;
    if (v < 0x80) {
        u[n++] = (char)v;
    } else if (v < 0x800) {
        u[n++] = (char)(0xC0 | v >> 6);
        u[n++] = (char)(0x80 | (v & 0x3F));
    } else {
        if (v < 0x10000) {
            u[n++] = (char)(0xE0 | v >> 12);
        } else {
            u[n++] = (char)(0xF0 | v >> 18);
            u[n++] = (char)(0x80 | (v >> 12 & 0x3F));
        }
        u[n++] = (char)(0x80 | (v >> 6 & 0x3F));
        u[n++] = (char)(0x80 | (v & 0x3F));
    }
    return sg_buf_add(&j->tmp, u, n, err);
}

enum sg_status sg_scan_string(struct sg_scan *j, struct sg_scan_str *out, struct sg_err *err) {
    if (sg_scan_peek(j) != '"') return expected(j, "a string", err);
    const char *start = ++j->p, *p = start;
    while (p < j->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) p++;
    if (p < j->end && *p == '"') { /* no escapes: the text itself */
        *out = (struct sg_scan_str){start, (size_t)(p - start)};
        j->p = p + 1;
        return SG_OK;
    }
    sg_buf_clear(&j->tmp);
    enum sg_status st = SG_OK;
    for (;;) {
        SG_TRY(sg_buf_add(&j->tmp, start, (size_t)(p - start), err));
        j->p = p;
        if (p == j->end) return expected(j, "the end of a string", err);
        if (*p == '"') break;
        if (*p != '\\') return sg_scan_fail(j, p, SG_E_INPUT, err, "a control character inside a string");
        if (j->end - p < 2) return expected(j, "the rest of an escape", err);
        j->p = p + 2;
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *e = p[1] ? strchr(from, p[1]) : NULL;
        if (e) {
            SG_TRY(sg_buf_add(&j->tmp, &to[e - from], 1, err));
        } else if (p[1] == 'u') {
            SG_TRY(unicode_escape(j, err));
        } else {
            return sg_scan_fail(j, p, SG_E_INPUT, err, "unknown escape in a string");
        }
        start = p = j->p;
        while (p < j->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) p++;
    }
    j->p = p + 1;
    *out = (struct sg_scan_str){j->tmp.data ? j->tmp.data : "", j->tmp.len};
out:
    return st;
}

static bool digit(const struct sg_scan *j) {
    return j->p < j->end && *j->p >= '0' && *j->p <= '9';
}

enum sg_status sg_scan_int(struct sg_scan *j, int64_t min, int64_t max, int64_t *out, struct sg_err *err) {
    char c = sg_scan_peek(j);
    const char *at = j->p;
    bool negative = c == '-';
    if (negative) j->p++;
    if (!digit(j)) return expected(j, "a whole number", err);
    int64_t v = 0;
    bool over = false;
    bool zero = *j->p == '0'; /* which stands alone */
    while (digit(j)) {
        over |= __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *j->p - '0', &v);
        j->p++;
        if (zero) break;
    }
    if (j->p < j->end && (*j->p == '.' || *j->p == 'e' || *j->p == 'E')) {
        j->p = at;
        return expected(j, "a whole number", err);
    }
    if (negative) v = -v;
    if (over || v < min || v > max)
        return sg_scan_fail(j, at, SG_E_INPUT, err, "expected a whole number from %lld to %lld",
                            (long long)min, (long long)max);
    *out = v;
    return SG_OK;
}

static bool literal(struct sg_scan *j, const char *word) {
    size_t n = strlen(word);
    sg_scan_peek(j);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0) return false;
    j->p += n;
    return true;
}

enum sg_status sg_scan_bool(struct sg_scan *j, bool *out, struct sg_err *err) {
    if (literal(j, "true"))
        *out = true;
    else if (literal(j, "false"))
        *out = false;
    else
        return expected(j, "true or false", err);
    return SG_OK;
}

bool sg_scan_null(struct sg_scan *j) {
    return literal(j, "null");
}

static enum sg_status skip_number(struct sg_scan *j, struct sg_err *err) {
    if (*j->p == '-') j->p++;
    if (!digit(j)) return expected(j, "a digit", err);
    bool zero = *j->p == '0'; /* which stands alone */
    do j->p++;
    while (digit(j) && !zero);
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (!digit(j)) return expected(j, "a digit", err);
        while (digit(j)) j->p++;
    }
    if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-')) j->p++;
        if (!digit(j)) return expected(j, "a digit", err);
        while (digit(j)) j->p++;
    }
    return SG_OK;
}

/* Skipping keeps the open brackets in a fixed stack: no recursion that a deep file could exhaust. */
enum { SKIP_DEPTH = 256 };

enum sg_status sg_scan_skip(struct sg_scan *j, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char closing[SKIP_DEPTH];
    bool first[SKIP_DEPTH];
    int depth = 0;
    struct sg_scan_str s;
    bool b;
    do {
        if (depth) {
            bool more = false;
            SG_TRY(sg_scan_more(j, closing[depth - 1], &first[depth - 1], &more, err));
            if (!more) {
                depth--;
                continue;
            }
            if (closing[depth - 1] == '}') SG_TRY(sg_scan_key(j, &s, err));
        }
        char c = sg_scan_peek(j);
        if (c == '{' || c == '[') {
            if (depth == SKIP_DEPTH)
                return sg_scan_fail(j, j->p, SG_E_INPUT, err, "nested deeper than %d", SKIP_DEPTH);
            closing[depth] = c == '{' ? '}' : ']';
            first[depth++] = true;
            j->p++;
        } else if (c == '"') {
            SG_TRY(sg_scan_string(j, &s, err));
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            SG_TRY(skip_number(j, err));
        } else if (c == 't' || c == 'f') {
            SG_TRY(sg_scan_bool(j, &b, err));
        } else if (!sg_scan_null(j)) {
            return expected(j, "a value", err);
        }
    } while (depth);
out:
    return st;
}

enum sg_status sg_scan_finish(struct sg_scan *j, struct sg_err *err) {
    if (sg_scan_peek(j) || j->p != j->end)
        return sg_scan_fail(j, j->p, SG_E_INPUT, err, "text after the end of the JSON value");
    return SG_OK;
}

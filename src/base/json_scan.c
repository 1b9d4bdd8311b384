#include "base/json_scan.h"

#include <string.h>

enum { MAX_DEPTH = 256, MAX_NUMBER = 60 };

struct scan {
    const char *s;
    size_t at, n;
    const char *why; /* set when a function below returned false; `at` is then the place */
};

static bool fail(struct scan *c, const char *why) {
    c->why = why;
    return false;
}

/* The current byte, or -1 at the end. */
static int peek(const struct scan *c) {
    return c->at < c->n ? (unsigned char)c->s[c->at] : -1;
}

static bool take(struct scan *c, int byte) {
    if (peek(c) != byte) return false;
    c->at++;
    return true;
}

static bool is_digit(int byte) {
    return byte >= '0' && byte <= '9';
}

static void skip_space(struct scan *c) {
    while (c->at < c->n &&
           (c->s[c->at] == ' ' || c->s[c->at] == '\n' || c->s[c->at] == '\r' || c->s[c->at] == '\t'))
        c->at++;
}

/* Four hex digits at `at`: their value, and `at` behind them; -1 when there are none. */
static int take_hex4(struct scan *c) {
    int v = 0;
    if (c->n - c->at < 4) return -1;
    for (size_t i = 0; i < 4; i++) {
        char h = c->s[c->at + i];
        int d = h >= '0' && h <= '9'   ? h - '0'
                : h >= 'a' && h <= 'f' ? h - 'a' + 10
                : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    c->at += 4;
    return v;
}

/* What follows a backslash; `start` is where that stands. */
static bool scan_escape(struct scan *c, size_t start) {
    int e = peek(c);
    if (e >= 0 && e != 'u' && memchr("\"\\/bfnrt", e, 8)) {
        c->at++;
        return true;
    }
    int v = -1, low = -1;
    if (take(c, 'u')) v = take_hex4(c);
    if (v >= 0xD800 && v <= 0xDBFF && take(c, '\\') && take(c, 'u')) low = take_hex4(c);
    bool half =
        (v >= 0xD800 && v <= 0xDBFF && !(low >= 0xDC00 && low <= 0xDFFF)) || (v >= 0xDC00 && v <= 0xDFFF);
    if (v > 0 && !half) return true;
    c->at = start;
    return fail(c, v == 0 ? "\\u0000 is not accepted in strings"
                   : half ? "half of a surrogate pair"
                          : "unknown escape in a string");
}

static bool scan_string(struct scan *c) {
    size_t start = c->at;
    if (!take(c, '"')) return fail(c, "expected a string");
    for (;;) {
        int b = peek(c);
        if (b < 0) {
            c->at = start;
            return fail(c, "this string does not end");
        }
        if (b < 0x20) return fail(c, "a control character in a string; write it as an escape");
        c->at++;
        if (b == '"') return true;
        if (b == '\\' && !scan_escape(c, c->at - 1)) return false;
    }
}

static bool scan_number(struct scan *c) {
    size_t start = c->at;
    take(c, '-');
    bool ok = is_digit(peek(c));
    if (take(c, '0')) ok = !is_digit(peek(c)); /* no leading zero */
    while (is_digit(peek(c))) c->at++;
    if (ok && take(c, '.')) {
        ok = is_digit(peek(c));
        while (is_digit(peek(c))) c->at++;
    }
    if (ok && (take(c, 'e') || take(c, 'E'))) {
        if (!take(c, '+')) take(c, '-');
        ok = is_digit(peek(c));
        while (is_digit(peek(c))) c->at++;
    }
    if (ok && c->at - start <= MAX_NUMBER) return true;
    const char *why = ok ? "a number of more than 60 characters" : "malformed number";
    c->at = start;
    return fail(c, why);
}

static bool scan_word(struct scan *c, const char *word) {
    size_t n = strlen(word);
    if (c->n - c->at < n || memcmp(c->s + c->at, word, n) != 0) return fail(c, "expected a value");
    c->at += n;
    return true;
}

static bool scan_value(struct scan *c, int depth);

/* The members of an object (close = '}') or the elements of an array (close = ']'), up to the bracket. */
static bool scan_members(struct scan *c, int close, int depth) {
    skip_space(c);
    if (take(c, close)) return true;
    for (;;) {
        skip_space(c);
        if (close == '}') {
            if (peek(c) != '"') return fail(c, "expected a key in double quotes");
            if (!scan_string(c)) return false;
            skip_space(c);
            if (!take(c, ':')) return fail(c, "expected ':' after a key");
        }
        if (!scan_value(c, depth)) return false;
        skip_space(c);
        if (take(c, close)) return true;
        if (!take(c, ',')) return fail(c, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    }
}

static bool scan_value(struct scan *c, int depth) {
    skip_space(c);
    int b = peek(c);
    if (b == '{' || b == '[') {
        if (depth == MAX_DEPTH) return fail(c, "nested too deeply");
        c->at++;
        return scan_members(c, b == '{' ? '}' : ']', depth + 1);
    }
    if (b == '"') return scan_string(c);
    if (b == '-' || is_digit(b)) return scan_number(c);
    if (b < 0) return fail(c, "it ends where a value was expected");
    return scan_word(c, b == 't' ? "true" : b == 'f' ? "false" : "null");
}

bool sg__json_scan(const char *s, size_t n, size_t *bad, const char **why) {
    struct scan c = {.s = s, .n = n};
    bool ok = scan_value(&c, 0);
    if (ok) {
        skip_space(&c);
        if (c.at < n) ok = fail(&c, "text after the end of the JSON value");
    }
    if (ok) return true;
    *bad = c.at;
    *why = c.why;
    return false;
}

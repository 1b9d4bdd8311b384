#include "text/verdict.h"

#include <stdlib.h>
#include <string.h>

/* A place in the text. Readers move it forward. */
struct at {
    const char *s;
    size_t n, i;
    bool final; /* nothing will follow s[n - 1] */
};

/* MORE: the text ends where it could still go either way (never when it is final). */
enum outcome { NO, MORE, YES };

#define MARKS      "*_`#\"'"
#define OPENS      "{[("
#define CLOSES     "}])"
#define SEPARATORS ",;.|"
enum { SKIP_MAX = 64 };

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool in(char c, const char *set) {
    return c && strchr(set, c);
}

static enum outcome at_end(const struct at *a) {
    return a->final ? NO : MORE;
}

/* Bytes of a space of Unicode at a->i, or with `comma` of U+FF0C; 0: none. -1: what the text ends with may become one. */
static int wide(const struct at *a, bool comma) {
    static const char *const chars[] = {"\xC2\xA0", "\xE2\x80\x89", "\xE2\x80\xAF", "\xE3\x80\x80",
                                        "\xEF\xBC\x8C"}; /* the comma last */
    for (size_t k = 0; k < sizeof chars / sizeof *chars - !comma; k++) {
        const size_t size = strlen(chars[k]), left = a->n - a->i, n = left < size ? left : size;
        if (!n || memcmp(a->s + a->i, chars[k], n)) continue;
        if (n == size) return (int)size;
        if (!a->final) return -1;
    }
    return 0;
}

/* White space and characters of the set, a bounded number of them: what a tracker reads again with every
 * token must not grow. Where the text ends within a character, it ends before it. */
static void skip(struct at *a, const char *set) {
    for (int k = 0; k < SKIP_MAX && a->i < a->n; k++) {
        int n = is_space(a->s[a->i]) || in(a->s[a->i], set) ? 1 : wide(a, in(',', set));
        if (n < 0) a->n = a->i;
        if (n <= 0) return;
        a->i += (size_t)n;
    }
}

/* The letters of `word`, in any case. */
static enum outcome take(struct at *a, const char *word) {
    size_t k = 0;
    while (word[k] && a->i + k < a->n && lower(a->s[a->i + k]) == word[k]) k++;
    if (word[k]) return a->i + k == a->n ? at_end(a) : NO;
    a->i += k;
    return YES;
}

/* ':' or '=' or U+FF1A, with marks before it. */
static enum outcome take_colon(struct at *a) {
    skip(a, MARKS);
    if (a->i == a->n) return at_end(a);
    if (a->s[a->i] != ':' && a->s[a->i] != '=') return take(a, "\xEF\xBC\x9A");
    a->i++;
    return YES;
}

/* A group of exactly three digits behind the comma at a->i. */
static enum outcome thousands(const struct at *a) {
    size_t k = 1;
    while (k <= 4 && a->i + k < a->n && is_digit(a->s[a->i + k])) k++;
    if (k <= 4 && a->i + k == a->n && !a->final) return MORE;
    return k == 4 ? YES : NO;
}

static enum outcome take_length(struct at *a, int64_t *length) {
    skip(a, MARKS OPENS "~");
    if (a->i == a->n) return at_end(a);
    if (!is_digit(a->s[a->i])) return NO;
    int64_t v = 0;
    int lead = 0; /* digits before the first comma */
    bool grouped = false;
    for (; a->i < a->n; a->i++) {
        char c = a->s[a->i];
        if (is_digit(c)) {
            lead += !grouped && lead < 4;
            v = v > SG_VERDICT_MAX_LENGTH ? v : v * 10 + (c - '0');
            continue;
        }
        if (c != ',' || lead > 3) break;
        enum outcome o = thousands(a);
        if (o == MORE) return MORE;
        if (o == NO) break; /* the comma between the fields */
        grouped = true;
    }
    if (a->i == a->n && !a->final) return MORE;
    if (v > SG_VERDICT_MAX_LENGTH) return NO;
    if (a->i < a->n) {
        char c = a->s[a->i];
        const int other = wide(a, true);
        if (other < 0) return MORE;
        if (!is_space(c) && !in(c, MARKS CLOSES SEPARATORS) && !other) return NO; /* 1e3, 5k, 3-4 */
        if (c == '.' && a->i + 1 < a->n && is_digit(a->s[a->i + 1])) return NO;
        if (c == '.' && a->i + 1 == a->n && !a->final) return MORE;
    }
    *length = v;
    skip(a, MARKS);
    struct at word = *a;
    enum outcome o = a->i < a->n ? take(&word, "token") : NO;
    if (o == YES) {
        *a = word;
        if (a->i < a->n && lower(a->s[a->i]) == 's') a->i++;
    }
    return o == MORE ? MORE : YES;
}

/* yes or no as a word of its own. */
static enum outcome take_answer(struct at *a, bool *yes, size_t *answer) {
    skip(a, MARKS OPENS);
    if (a->i == a->n) return at_end(a);
    *answer = a->i;
    *yes = lower(a->s[a->i]) == 'y';
    enum outcome o = take(a, *yes ? "yes" : "no");
    if (o != YES) return o;
    if (a->i == a->n) return a->final ? YES : MORE;
    const char c = a->s[a->i];
    const int other = wide(a, true);
    if (other < 0) return MORE;
    return is_space(c) || in(c, MARKS CLOSES SEPARATORS "!") || other ? YES : NO;
}

static enum outcome take_len_field(struct at *a, int64_t *length) {
    enum outcome o = take(a, "len");
    if (o != YES) return o;
    struct at rest = *a;
    o = take(&rest, "gth");
    if (o == MORE) return MORE;
    if (o == YES) *a = rest;
    o = take_colon(a);
    return o == YES ? take_length(a, length) : o;
}

static enum outcome take_correct_field(struct at *a, bool *yes, size_t *answer) {
    enum outcome o = take(a, "correct");
    if (o == YES) o = take_colon(a);
    return o == YES ? take_answer(a, yes, answer) : o;
}

/* "Predicted Performance" and its colon, which may be left out before a bracket. */
static enum outcome take_heading(struct at *a) {
    enum outcome o = take(a, "predicted");
    if (o != YES) return o;
    skip(a, MARKS);
    if (a->i == a->n) return at_end(a);
    o = take(a, "performance");
    if (o != YES) return o;
    o = take_colon(a);
    if (o != NO) return o;
    return a->i < a->n && in(a->s[a->i], OPENS) ? YES : NO;
}

/* The bracket '}' behind an answer that may have been going to say more: on its line, a bounded number of characters on, and
 * before the next heading, whose bracket it would else take for its own. */
static enum outcome take_late_bracket(struct at *a) {
    for (int k = 0; k < SKIP_MAX && a->i < a->n && a->s[a->i] != '}' && a->s[a->i] != '\n'; k++, a->i++) {
        struct at heading = *a;
        enum outcome o = lower(a->s[a->i]) == 'p' ? take_heading(&heading) : NO;
        if (o != NO) return o == YES ? NO : MORE;
    }
    if (a->i == a->n) return at_end(a);
    return a->s[a->i] == '}' ? YES : NO;
}

/* The two fields. YES as soon as both are there; *open: the bracket around them may still be closed. */
static enum outcome take_fields(struct at a, struct sg_verdict *out, bool *open) {
    struct sg_verdict v = {.parsed = true};
    bool has_length = false, has_answer = false;
    *open = false;
    skip(&a, MARKS);
    const char *bracket = a.i < a.n && a.s[a.i] ? strchr(OPENS, a.s[a.i]) : NULL;
    while (!has_length || !has_answer) {
        skip(&a, MARKS OPENS CLOSES SEPARATORS);
        if (a.i == a.n) return at_end(&a);
        char c = lower(a.s[a.i]);
        enum outcome o = NO;
        if (c == 'l' && !has_length) {
            o = take_len_field(&a, &v.length);
            has_length = true;
        } else if (c == 'c' && !has_answer) {
            o = take_correct_field(&a, &v.correct, &v.answer);
            has_answer = true;
        }
        if (o != YES) return o;
    }
    if (bracket) {
        char closing = CLOSES[bracket - OPENS];
        for (int k = 0; k < SKIP_MAX && a.i < a.n && a.s[a.i] != closing; k++) {
            const bool one = is_space(a.s[a.i]) || in(a.s[a.i], MARKS CLOSES SEPARATORS "!");
            const int size = one ? 1 : wide(&a, true);
            if (size < 0) a.n = a.i;
            if (size <= 0) break;
            a.i += (size_t)size;
        }
        v.closed = a.i < a.n && a.s[a.i] == closing;
        *open = a.i == a.n;
        if (closing == '}' && !v.closed) {
            enum outcome o = take_late_bracket(&a);
            if (o != YES) return o;
        }
    }
    *out = v;
    return YES;
}

/* Reads on to the end of the text. *closed is set when a verdict became closed. */
static void advance(struct sg_tracker *t, const char *s, size_t n, bool final, bool *closed) {
    for (;;) {
        if (t->fields) {
            bool open;
            enum outcome o = take_fields((struct at){s, n, t->fields, final}, &t->best, &open);
            if (o == YES && t->best.closed) *closed = true;
            if (o == NO || (o == YES && !open)) t->fields = 0;
        }
        enum outcome o = NO;
        size_t i = t->scanned;
        for (; i < n; i++) {
            if (lower(s[i]) != 'p') continue;
            struct at a = {s, n, i, final};
            o = take_heading(&a);
            if (o == NO) continue;
            if (o == YES) t->fields = i = a.i;
            break;
        }
        t->scanned = i;
        if (o != YES) return;
    }
}

void sg_verdict_parse(const char *text, size_t n, struct sg_verdict *out) {
    struct sg_tracker t = {0};
    bool closed = false;
    advance(&t, text, n, true, &closed);
    *out = t.best;
}

enum sg_status sg_tracker_feed(struct sg_tracker *t, const char *bytes, size_t n, bool *complete,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(SG_GROW(&t->starts, &t->cap_starts, t->n_tokens + 1, "token offsets", err));
    size_t start = t->text.len;
    SG_TRY(sg_buf_add(&t->text, bytes, n, err));
    t->starts[t->n_tokens++] = start;
    bool closed = false;
    advance(t, t->text.data, t->text.len, false, &closed);
    *complete = closed;
out:
    return st;
}

void sg_tracker_verdict(const struct sg_tracker *t, struct sg_verdict *out, int32_t *answer_token) {
    struct sg_tracker end = *t; /* shares the text; only the scalars change */
    bool closed = false;
    advance(&end, t->text.data ? t->text.data : "", t->text.len, true, &closed);
    *out = end.best;
    *answer_token = -1;
    if (!out->parsed) return;
    size_t lo = 0, hi = t->n_tokens; /* the last token that begins at or before the answer */
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (t->starts[mid] <= out->answer)
            lo = mid;
        else
            hi = mid;
    }
    *answer_token = (int32_t)lo;
}

void sg_tracker_reset(struct sg_tracker *t) {
    sg_buf_clear(&t->text);
    t->n_tokens = t->scanned = t->fields = 0;
    t->best = (struct sg_verdict){0};
}

void sg_tracker_free(struct sg_tracker *t) {
    if (!t) return;
    sg_buf_free(&t->text);
    free(t->starts);
    memset(t, 0, sizeof *t);
}

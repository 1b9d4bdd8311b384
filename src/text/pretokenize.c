#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenize.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

const char *const sg__gpt2_regex =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* The family of expressions that sg__word_end knows: they differ in how many digits make a word. */
static const struct {
    const char *regex;
    int max_digits;
} known[] = {
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
     "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     1},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
     "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     3},
};

/* ---- the hand-written splitter ------------------------------------------------------------------------ */

static inline unsigned class_at(const struct sg__unicode *u, const unsigned char *s, size_t i,
                                unsigned *len) {
    unsigned char c = s[i];
    if (c < 0x80) {
        *len = 1;
        return u->flags[c] & SG__CLASS_MASK;
    }
    return sg__flags(u, sg_utf8_at(s + i, len)) & SG__CLASS_MASK;
}

static inline size_t run_of(const struct sg__unicode *u, unsigned class, const unsigned char *s, size_t n,
                            size_t i) {
    unsigned len;
    while (i < n && class_at(u, s, i, &len) == class) i += len;
    return i;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d) at an apostrophe: its bytes, or 0. U+017F folds to s. */
static size_t contraction(const unsigned char *s, size_t n) {
    if (n < 2) return 0;
    unsigned char a = s[1] | 0x20;
    if ((s[1] & 0x80) == 0 && (a == 's' || a == 't' || a == 'm' || a == 'd')) return 2;
    if (n < 3) return 0;
    if (s[1] == 0xC5 && s[2] == 0xBF) return 3;
    unsigned char b = s[2] | 0x20;
    if ((s[1] | s[2]) & 0x80) return 0;
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s*[\r\n]+ | \s+(?!\S) | \s+ : up to the last line end of the run if it has one; else all of it where the
 * text ends or it is one character; else all but its last character, which goes to the next word. */
static size_t space_end(const struct sg__unicode *u, const unsigned char *s, size_t n, size_t i) {
    size_t newline = 0, last = i, e = i;
    unsigned len;
    while (e < n && class_at(u, s, e, &len) == SG__SPACE) {
        last = e;
        e += len;
        if (s[last] == '\n' || s[last] == '\r') newline = e;
    }
    if (newline) return newline;
    return e == n || last == i ? e : last;
}

size_t sg__word_end(const struct sg__unicode *u, int max_digits, const char *text, size_t n, size_t i) {
    const unsigned char *s = (const unsigned char *)text;
    unsigned len, next_len;
    unsigned class = class_at(u, s, i, &len);
    if (class == SG__LETTER) return run_of(u, SG__LETTER, s, n, i + len);
    if (class == SG__NUMBER) {
        size_t e = i + len;
        for (int k = 1; k < max_digits && e < n && class_at(u, s, e, &next_len) == SG__NUMBER; k++)
            e += next_len;
        return e;
    }
    unsigned char c = s[i];
    if (c == '\'') {
        size_t k = contraction(s + i, n - i);
        if (k) return i + k;
    }
    size_t e = i + len;
    unsigned next = e < n ? class_at(u, s, e, &next_len) : SG__SPACE;
    if (next == SG__LETTER && c != '\r' && c != '\n') return run_of(u, SG__LETTER, s, n, e + next_len);
    if (class == SG__SPACE && !(c == ' ' && next == SG__OTHER)) return space_end(u, s, n, i);
    e = run_of(u, SG__OTHER, s, n, e);
    while (e < n && (s[e] == '\r' || s[e] == '\n')) e++;
    return e;
}

/* ---- PCRE2 -------------------------------------------------------------------------------------------- */

/* What PCRE2's tables lack: letters (or numbers) of our character table that its \p{L} does not match, as
 * ranges for a character class. Libraries of one system follow different versions of Unicode. */
static enum sg_status missing_from_pcre(const struct sg__unicode *u, unsigned class, struct sg_buf *out,
                                        struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf all = {0}; /* every character of the class, so that few matches find the few that lack */
    pcre2_match_data *m = NULL;
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(class == SG__LETTER ? "\\P{L}+" : "\\P{N}+"),
                                   PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    if (re) m = pcre2_match_data_create(1, NULL);
    if (!m) {
        st = sg_fail(err, SG_E_NOMEM, "no memory for a regular expression");
        goto out;
    }
    char s[4];
    SG_TRY(sg_buf_str(out, "", err));
    for (uint32_t c = 0x80; c < SG__TABLE_SIZE; c++)
        if ((u->flags[c] & SG__CLASS_MASK) == class) SG_TRY(sg_buf_add(&all, s, sg__utf8_put(c, s), err));
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(m);
    for (size_t from = 0;
         pcre2_match(re, (PCRE2_SPTR)all.data, all.len, from, PCRE2_NO_UTF_CHECK, m, NULL) > 0; from = v[1]) {
        uint32_t first = 0, last = 0;
        for (size_t i = v[0]; i < v[1];) {
            unsigned len;
            uint32_t c = sg_utf8_at((const unsigned char *)all.data + i, &len);
            i += len;
            if (first && c != last + 1) SG_TRY(sg_buf_printf(out, err, "\\x{%x}-\\x{%x}", first, last));
            if (!first || c != last + 1) first = c;
            last = c;
        }
        SG_TRY(sg_buf_printf(out, err, "\\x{%x}-\\x{%x}", first, last));
    }
out:
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    sg_buf_free(&all);
    return st;
}

/* A walk over the expression as Oniguruma reads it, writing what PCRE2 must read. */
struct translation {
    const char *s;
    size_t n, i;
    bool in_class;
    const struct sg__unicode *u;
    struct sg_buf out;
    struct sg_buf letters, numbers; /* see missing_from_pcre; made when first needed */
};

static enum sg_status refuse(const struct translation *t, size_t at, size_t len, struct sg_err *err) {
    if (len > t->n - at) len = t->n - at;
    return sg_fail(err, SG_E_UNSUPPORTED, "the expression's \"%.*s\" (byte %zu) is not supported", (int)len,
                   t->s + at, at + 1);
}

/* A set of characters, bracketed unless we are inside brackets already. */
static enum sg_status put_set(struct translation *t, const char *members, const char *more, bool negated,
                              struct sg_err *err) {
    if (t->in_class) return sg_buf_printf(&t->out, err, "%s%s", members, more);
    return sg_buf_printf(&t->out, err, "[%s%s%s]", negated ? "^" : "", members, more);
}

static enum sg_status translate_escape(struct translation *t, struct sg_err *err) {
    const char *s = t->s + t->i;
    size_t left = t->n - t->i, at = t->i;
    if (left < 2) return refuse(t, at, 1, err);
    t->i += 2;
    switch (s[1]) {
    case 's':
        return sg_buf_str(&t->out, "\\p{White_Space}", err);
    case 'S':
        return sg_buf_str(&t->out, "\\P{White_Space}", err);
    case 'w':
        return put_set(t, "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}", "", false, err);
    case 'W':
        if (t->in_class) return refuse(t, at, 2, err);
        return put_set(t, "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}", "", true, err);
    case 'v':
        return sg_buf_str(&t->out, "\\x0b", err);
    case 'u':
        if (left < 6) return refuse(t, at, 6, err);
        t->i += 4;
        return sg_buf_printf(&t->out, err, "\\x{%.4s}", s + 2);
    case 'p':
    case 'P': {
        bool negated = s[1] == 'P';
        if (left >= 5 && s[2] == '{' && s[4] == '}' && (s[3] == 'L' || s[3] == 'N') &&
            !(negated && t->in_class)) {
            struct sg_buf *more = s[3] == 'L' ? &t->letters : &t->numbers;
            enum sg_status st = SG_OK;
            if (!more->data) st = missing_from_pcre(t->u, s[3] == 'L' ? SG__LETTER : SG__NUMBER, more, err);
            if (st != SG_OK) return st;
            t->i += 3;
            return put_set(t, s[3] == 'L' ? "\\p{L}" : "\\p{N}", more->data, negated, err);
        }
        return sg_buf_add(&t->out, s, 2, err); /* PCRE2 knows the name or names it in its error */
    }
    default:
        break;
    }
    bool letter = ((s[1] | 0x20) >= 'a' && (s[1] | 0x20) <= 'z') || (s[1] >= '0' && s[1] <= '9');
    if (letter && !memchr("rntfdDxaebBAz", s[1], 13)) return refuse(t, at, 2, err);
    return sg_buf_add(&t->out, s, 2, err);
}

static enum sg_status translate(struct translation *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    while (t->i < t->n) {
        const char *s = t->s + t->i;
        size_t left = t->n - t->i;
        if (*s == '\\') {
            SG_TRY(translate_escape(t, err));
            continue;
        }
        if (t->in_class) {
            if (*s == '[' || (left > 1 && s[0] == '&' && s[1] == '&')) return refuse(t, t->i, 2, err);
            if (*s == ']') t->in_class = false;
        } else if (*s == '[') {
            t->in_class = true;
            SG_TRY(sg_buf_add(&t->out, s, 1, err));
            t->i++;
            if (left > 1 && s[1] == '^') {
                SG_TRY(sg_buf_add(&t->out, "^", 1, err));
                t->i++;
            }
            if (t->i < t->n && t->s[t->i] == ']') return refuse(t, t->i - 1, 2, err);
            continue;
        } else if (*s == '^' || *s == '$') { /* line ends in Oniguruma's Ruby syntax */
            SG_TRY(sg_buf_printf(&t->out, err, "(?m:%c)", *s));
            t->i++;
            continue;
        } else if (*s == '(' && left > 2 && s[1] == '?') {
            bool group = strchr(":=!>", s[2]) || (s[2] == '<' && left > 3 && (s[3] == '=' || s[3] == '!'));
            bool caseless = left > 3 && s[2] == 'i' && (s[3] == ':' || s[3] == ')');
            if (!group && !caseless) return refuse(t, t->i, 4, err);
        } else if ((*s == '{' && left > 1 && s[1] == ',') || (*s == '}' && left > 1 && s[1] == '+')) {
            return refuse(t, t->i, 2, err); /* both mean something else to PCRE2 */
        }
        SG_TRY(sg_buf_add(&t->out, s, 1, err));
        t->i++;
    }
out:
    return st;
}

static enum sg_status compile(const char *pattern, size_t n, bool literal, void **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int code;
    PCRE2_SIZE at;
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    if (!cc) return sg_fail(err, SG_E_NOMEM, "no memory for a regular expression");
    pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
    uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &at, cc);
    if (!re) {
        char why[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        st = sg_fail(err, SG_E_UNSUPPORTED, "the expression \"%.*s\" cannot be used: %s",
                     (int)(n < 300 ? n : 300), pattern, why);
        goto out;
    }
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* without JIT it is slower, not wrong */
    *out = re;
out:
    pcre2_compile_context_free(cc);
    return st;
}

enum sg_status sg__pre_add(struct sg__pre *pre, const struct sg__unicode *u, const char *regex, size_t n,
                           bool literal, bool force_pcre, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct translation t = {.s = regex, .n = n, .u = u};
    if (pre->n == SG__MAX_SPLITS)
        return sg_fail(err, SG_E_UNSUPPORTED, "more than %d splits", SG__MAX_SPLITS);
    struct sg__split *split = &pre->split[pre->n];
    *split = (struct sg__split){0};
    for (size_t k = 0; k < sizeof known / sizeof *known && !literal && !force_pcre; k++)
        if (strlen(known[k].regex) == n && !memcmp(known[k].regex, regex, n))
            split->max_digits = known[k].max_digits;
    if (split->max_digits) {
        pre->n++;
        return SG_OK;
    }
    if (literal) {
        SG_TRY(compile(regex, n, true, &split->code, err));
    } else {
        SG_TRY(translate(&t, err));
        SG_TRY(compile(t.out.data ? t.out.data : "", t.out.len, false, &split->code, err));
    }
    pre->n++;
out:
    sg_buf_free(&t.out);
    sg_buf_free(&t.letters);
    sg_buf_free(&t.numbers);
    return st;
}

void sg__pre_free(struct sg__pre *pre) {
    if (!pre) return;
    for (int i = 0; i < pre->n; i++) pcre2_code_free(pre->split[i].code);
    memset(pre, 0, sizeof *pre);
}

enum sg_status sg__pre_scratch_init(struct sg__pre_scratch *x, struct sg_err *err) {
    x->match = pcre2_match_data_create(1, NULL);
    x->context = pcre2_match_context_create(NULL);
    x->stack =
        pcre2_jit_stack_create((size_t)32 << 10, (size_t)64 << 20, NULL); /* NULL where there is no JIT */
    if (!x->match || !x->context) {
        sg__pre_scratch_free(x);
        return sg_fail(err, SG_E_NOMEM, "no memory for regular expressions");
    }
    pcre2_set_match_limit(x->context, UINT32_MAX); /* long runs of one kind are legitimate */
    if (x->stack) pcre2_jit_stack_assign(x->context, NULL, x->stack);
    return SG_OK;
}

void sg__pre_scratch_free(struct sg__pre_scratch *x) {
    if (!x) return;
    pcre2_match_data_free(x->match);
    pcre2_match_context_free(x->context);
    pcre2_jit_stack_free(x->stack);
    memset(x, 0, sizeof *x);
}

struct walk {
    const struct sg__pre *pre;
    const struct sg__unicode *u;
    const struct sg__pre_scratch *x;
    sg__word_fn *fn;
    void *ctx;
};

/* Applies the steps from `level` on to one piece; recursion is as deep as there are steps. */
static enum sg_status walk(const struct walk *w, int level, const char *s, size_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (level == w->pre->n) return n ? w->fn(w->ctx, s, n, err) : SG_OK;
    const struct sg__split *split = &w->pre->split[level];
    if (split->max_digits) {
        for (size_t i = 0; i < n;) {
            size_t e = sg__word_end(w->u, split->max_digits, s, n, i);
            SG_TRY(level + 1 == w->pre->n ? w->fn(w->ctx, s + i, e - i, err)
                                          : walk(w, level + 1, s + i, e - i, err));
            i = e;
        }
        goto out;
    }
    size_t done = 0, from = 0;
    while (from <= n) {
        int rc =
            pcre2_match(split->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, w->x->match, w->x->context);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) {
            char why[160];
            pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
            return sg_fail(err, SG_E_UNSUPPORTED, "the pre-tokenizer's expression failed on this text: %s",
                           why);
        }
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(w->x->match);
        size_t a = v[0], b = v[1];
        if (a == b) { /* nothing to cut off: look on from the next character */
            from = b + 1;
            while (from < n && ((unsigned char)s[from] & 0xC0) == 0x80) from++;
            continue;
        }
        if (a > done) SG_TRY(walk(w, level + 1, s + done, a - done, err));
        SG_TRY(walk(w, level + 1, s + a, b - a, err));
        done = from = b;
    }
    if (done < n) SG_TRY(walk(w, level + 1, s + done, n - done, err));
out:
    return st;
}

enum sg_status sg__pre_words(const struct sg__pre *pre, const struct sg__unicode *u,
                             const struct sg__pre_scratch *x, const char *s, size_t n, sg__word_fn *fn,
                             void *ctx, struct sg_err *err) {
    struct walk w = {pre, u, x, fn, ctx};
    return walk(&w, 0, s, n, err);
}

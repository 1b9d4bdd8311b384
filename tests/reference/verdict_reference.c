#include "tests/reference/verdict_reference.h"

#include "text/unicode.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

/* Phrases that lose their markdown first, in this order. */
static const char *const phrases[][2] = {
    {"**Analysis**", "Analysis:"},
    {"**Analysis:**", "Analysis:"},
    {"**Analysis:", "Analysis:"},
    {"Analysis**:", "Analysis:"},
    {"__Analysis__", "Analysis:"},
    {"**Predicted Performance:**", "Predicted Performance:"},
    {"**Predicted Performance**:", "Predicted Performance:"},
    {"**Predicted Performance:", "Predicted Performance:"},
    {"Predicted Performance**:", "Predicted Performance:"},
    {"__Predicted Performance__:", "Predicted Performance:"},
    {"__Predicted Performance__", "Predicted Performance:"},
};

/* Two texts, `now` being rewritten into `next`. */
struct clean {
    struct sg_buf now, next;
};

static void swap(struct clean *c) {
    struct sg_buf t = c->now;
    c->now = c->next;
    c->next = t;
}

static bool starts(const struct sg_buf *b, size_t i, const char *s, size_t n) {
    return b->len - i >= n && !memcmp(b->data + i, s, n);
}

static enum sg_status replace(struct clean *c, const char *from, const char *to, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t n = strlen(from), i = 0, kept = 0;
    sg_buf_clear(&c->next);
    while (i < c->now.len) {
        const char *p = memchr(c->now.data + i, from[0], c->now.len - i);
        if (!p) break;
        i = (size_t)(p - c->now.data);
        if (!starts(&c->now, i, from, n)) {
            i++;
            continue;
        }
        SG_TRY(sg_buf_add(&c->next, c->now.data + kept, i - kept, err));
        SG_TRY(sg_buf_str(&c->next, to, err));
        kept = i += n;
    }
    SG_TRY(sg_buf_add(&c->next, c->now.data + kept, c->now.len - kept, err));
    swap(c);
out:
    return st;
}

/* `count` times the mark, text without the mark, `count` times the mark: the text alone remains. */
static enum sg_status unmark(struct clean *c, char mark, size_t count, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char marks[2] = {mark, mark};
    size_t i = 0, kept = 0;
    sg_buf_clear(&c->next);
    while (i < c->now.len) {
        if (!starts(&c->now, i, marks, count)) {
            i++;
            continue;
        }
        size_t begin = i + count, end = begin;
        while (end < c->now.len && c->now.data[end] != mark) end++;
        if (end == begin || !starts(&c->now, end, marks, count)) {
            i++;
            continue;
        }
        SG_TRY(sg_buf_add(&c->next, c->now.data + kept, i - kept, err));
        SG_TRY(sg_buf_add(&c->next, c->now.data + begin, end - begin, err));
        kept = i = end + count;
    }
    SG_TRY(sg_buf_add(&c->next, c->now.data + kept, c->now.len - kept, err));
    swap(c);
out:
    return st;
}

/* Python's str.isspace: Unicode white space and the four separators of ASCII. */
static bool python_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

/* Value of a decimal digit, or -1. Unicode assigns them in runs of ten that begin with zero. */
static int digit_value(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9' ? (int)c - '0' : -1;
    if (utf8proc_category((utf8proc_int32_t)c) != UTF8PROC_CATEGORY_ND) return -1;
    uint32_t first = c;
    while (utf8proc_category((utf8proc_int32_t)(first - 1)) == UTF8PROC_CATEGORY_ND) first--;
    return (int)((c - first) % 10);
}

static size_t skip_space(const struct sg_buf *b, size_t i) {
    while (i < b->len) {
        unsigned len;
        if (!python_space(sg_utf8_at((const unsigned char *)b->data + i, &len))) break;
        i += len;
    }
    return i;
}

/* The end of `word`, in any case, at i; 0 when it is not there. */
static size_t match_word(const struct sg_buf *b, size_t i, const char *word) {
    for (; *word; word++) {
        if (i >= b->len) return 0;
        unsigned char c = (unsigned char)b->data[i];
        if (*word == 's' && c == 0xC5 && b->len - i >= 2 && (unsigned char)b->data[i + 1] == 0xBF) {
            i += 2;
            continue;
        }
        if ((c | 0x20) != (unsigned char)*word) return 0;
        i++;
    }
    return i;
}

/* Where the value after the first `name` that has one may begin: name, a colon (with `loose`: white space,
 * then ':' or '='), white space. Searches from *i; false at the end. */
static bool next_field(const struct sg_buf *b, const char *name, bool loose, size_t *i, size_t *value) {
    for (; *i < b->len; ++*i) {
        size_t k = match_word(b, *i, name);
        if (!k) continue;
        if (loose) k = skip_space(b, k);
        if (k >= b->len || (b->data[k] != ':' && !(loose && b->data[k] == '='))) continue;
        *value = skip_space(b, k + 1);
        ++*i;
        return true;
    }
    return false;
}

/* First length of the text into *digits, without leading zeros. *found = false, digits untouched: none. */
static enum sg_status find_length(const struct sg_buf *b, bool loose, struct sg_buf *digits, bool *found,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t i = 0, k;
    *found = false;
    while (!*found && next_field(b, "len", loose, &i, &k)) {
        while (k < b->len) {
            unsigned len;
            int v = digit_value(sg_utf8_at((const unsigned char *)b->data + k, &len));
            if (v < 0) break;
            if (!*found) sg_buf_clear(digits);
            *found = true;
            char c = (char)('0' + v);
            if (digits->len == 1 && digits->data[0] == '0') sg_buf_clear(digits);
            SG_TRY(sg_buf_add(digits, &c, 1, err));
            k += len;
        }
    }
out:
    return st;
}

static bool find_answer(const struct sg_buf *b, bool loose, char out[SG_REFERENCE_ANSWER]) {
    size_t i = 0, k;
    while (next_field(b, "correct", loose, &i, &k)) {
        size_t end = match_word(b, k, "yes");
        if (!end) end = match_word(b, k, "no");
        if (!end) continue;
        memset(out, 0, SG_REFERENCE_ANSWER);
        for (size_t n = 0; k < end; k++, n++) {
            char c = b->data[k];
            out[n] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        return true;
    }
    return false;
}

/* What stands from "Predicted Performance:" on, without brackets, into c->next. */
static enum sg_status performance_part(struct clean *c, bool *found, struct sg_err *err) {
    static const char heading[] = "Predicted Performance:";
    enum sg_status st = SG_OK;
    size_t i = 0;
    while (i < c->now.len && !starts(&c->now, i, heading, sizeof heading - 1)) i++;
    *found = i < c->now.len;
    sg_buf_clear(&c->next);
    for (; i < c->now.len; i++)
        if (!memchr("[]()", c->now.data[i], 4)) SG_TRY(sg_buf_add(&c->next, c->now.data + i, 1, err));
out:
    return st;
}

enum sg_status sg_verdict_reference(const char *text, size_t n, struct sg_reference_verdict *out,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct clean c = {0};
    bool has_length, has_answer, has_part;
    sg_buf_clear(&out->length);
    strcpy(out->correct, "unknown");
    out->confidence = 0.5;
    SG_TRY(sg_utf8_lossy(text, n, &c.now, err));
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        SG_TRY(replace(&c, phrases[i][0], phrases[i][1], err));
    SG_TRY(unmark(&c, '*', 2, err));
    SG_TRY(unmark(&c, '_', 2, err));
    SG_TRY(unmark(&c, '*', 1, err));
    SG_TRY(unmark(&c, '`', 1, err));

    SG_TRY(find_length(&c.now, false, &out->length, &has_length, err));
    has_answer = find_answer(&c.now, false, out->correct);
    if (has_length && has_answer) {
        out->confidence = 1.0;
        goto out;
    }
    sg_buf_clear(&out->length);
    strcpy(out->correct, "unknown");
    has_answer = false;
    SG_TRY(performance_part(&c, &has_part, err));
    if (has_part) {
        SG_TRY(find_length(&c.next, true, &out->length, &has_length, err));
        has_answer = find_answer(&c.next, true, out->correct);
        if (has_answer) out->confidence = has_length ? 1.0 : 0.9;
    }
    if (!has_answer && find_answer(&c.now, true, out->correct)) out->confidence = 0.8;
    if (!out->length.len || !strcmp(out->length.data, "0"))
        SG_TRY(find_length(&c.now, true, &out->length, &has_length, err));
out:
    if (st == SG_OK && !out->length.len) st = sg_buf_str(&out->length, "0", err);
    sg_buf_free(&c.now);
    sg_buf_free(&c.next);
    return st;
}

void sg_reference_verdict_free(struct sg_reference_verdict *v) {
    if (!v) return;
    sg_buf_free(&v->length);
}

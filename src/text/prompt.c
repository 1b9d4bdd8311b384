#include "text/prompt.h"

#include "base/json.h"
#include "base/utf8.h"
#include "text/prompt_template.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char before[] = "<|im_start|>user\n", after[] = "<|im_end|>\n<|im_start|>assistant\n";

/* Placeholders; the main text knows the first four, the example the others. */
enum value {
    NUM_ANCHORS,
    TARGET_MODEL,
    EXAMPLES,
    TARGET_QUESTION,
    INDEX,
    ANCHOR_QUESTION,
    COMPLETION_TOKENS,
    YES_NO,
    LITERAL,
    N_VALUES = LITERAL
};
static const char *const names[N_VALUES] = {"num_anchors",       "target_model", "examples",
                                            "target_question",   "index",        "anchor_question",
                                            "completion_tokens", "yes_no"};

struct piece {
    enum value value;
    size_t from, len; /* LITERAL: the template's bytes */
};
struct text {
    struct sg_buf bytes;
    struct piece *pieces;
    size_t n, cap;
    uint32_t has; /* bit of every value it holds */
};
struct sg_prompt {
    struct text main, example;
};

static enum sg_status add_piece(struct text *t, enum value value, size_t from, size_t len,
                                struct sg_err *err) {
    if (value == LITERAL && !len) return SG_OK;
    enum sg_status st = SG_GROW(&t->pieces, &t->cap, t->n + 1, "prompt template", err);
    if (st != SG_OK) return st;
    t->pieces[t->n++] = (struct piece){value, from, len};
    t->has |= 1u << value;
    return SG_OK;
}

static int line_of(const struct text *t, size_t at) {
    int line = 1;
    for (size_t i = 0; i < at; i++) line += t->bytes.data[i] == '\n';
    return line;
}

static enum sg_status take_apart(struct text *t, const struct sg_prompt_source *source, const char *built_in,
                                 const char *where, enum value first, enum value last, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_str(&t->bytes, source && source->text ? source->text : built_in, err));
    const char *s = t->bytes.data;
    size_t n = t->bytes.len, done = 0, bad;
    if (!sg_utf8_valid(s, n, &bad))
        return sg_fail(err, SG_E_INPUT, "%s:%d: invalid UTF-8", where, line_of(t, bad));
    for (size_t i = 0; i + 1 < n;) {
        if (s[i] != '{' || s[i + 1] != '{' || s[i + 2] == '{') { /* of three braces the last two count */
            i++;
            continue;
        }
        const char *end = strstr(s + i, "}}");
        if (!end) return sg_fail(err, SG_E_INPUT, "%s:%d: \"{{\" without \"}}\"", where, line_of(t, i));
        size_t len = (size_t)(end - (s + i + 2));
        int v = (int)first;
        while (v <= (int)last && (strlen(names[v]) != len || memcmp(names[v], s + i + 2, len) != 0)) v++;
        if (v > (int)last) {
            char name[60];
            snprintf(name, sizeof name, "%.*s", (int)(len < 50 ? len : 50), s + i + 2);
            const char *near = sg_nearest(name, names + first, (size_t)(last - first + 1));
            return near
                       ? sg_fail(err, SG_E_INPUT, "%s:%d: unknown placeholder {{%s}}; did you mean {{%s}}?",
                                 where, line_of(t, i), name, near)
                       : sg_fail(err, SG_E_INPUT,
                                 "%s:%d: unknown placeholder {{%s}}; known here: {{%s}} {{%s}} {{%s}} {{%s}}",
                                 where, line_of(t, i), name, names[first], names[first + 1], names[first + 2],
                                 names[first + 3]);
        }
        SG_TRY(add_piece(t, LITERAL, done, i - done, err));
        SG_TRY(add_piece(t, (enum value)v, 0, 0, err));
        done = i += len + 4;
    }
    SG_TRY(add_piece(t, LITERAL, done, n - done, err));
out:
    return st;
}

static enum sg_status need(const struct text *t, enum value value, const char *where, struct sg_err *err) {
    if (t->has & 1u << value) return SG_OK;
    return sg_fail(err, SG_E_INPUT, "%s: the template lacks {{%s}}", where, names[value]);
}

enum sg_status sg_prompt_open(const struct sg_prompt_source *main_text,
                              const struct sg_prompt_source *example, struct sg_prompt **out,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_prompt *p = NULL;
    const char *main_where = main_text && main_text->where ? main_text->where : "prompt template";
    const char *example_where = example && example->where ? example->where : "prompt example template";
    SG_TRY(SG_NEW(&p, 1, "prompt template", err));
    SG_TRY(take_apart(&p->main, main_text, sg__template_main, main_where, NUM_ANCHORS, TARGET_QUESTION, err));
    SG_TRY(take_apart(&p->example, example, sg__template_example, example_where, INDEX, YES_NO, err));
    SG_TRY(need(&p->main, TARGET_QUESTION, main_where, err));
    SG_TRY(need(&p->main, EXAMPLES, main_where, err));
    SG_TRY(need(&p->example, ANCHOR_QUESTION, example_where, err));
    *out = p;
    p = NULL;
out:
    sg_prompt_close(p);
    return st;
}

static void free_text(struct text *t) {
    sg_buf_free(&t->bytes);
    free(t->pieces);
}

void sg_prompt_close(struct sg_prompt *p) {
    if (!p) return;
    free_text(&p->main);
    free_text(&p->example);
    free(p);
}

/* While the text grows it may move: spans get their lengths now and their pointers at the end. */
static enum sg_status put(struct sg_prompt_text *out, const char *s, size_t n, bool trusted,
                          struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (!n) return SG_OK;
    SG_TRY(sg_buf_add(&out->text, s, n, err));
    if (out->n_spans && out->spans[out->n_spans - 1].trusted == trusted) {
        out->spans[out->n_spans - 1].len += n;
        goto out;
    }
    SG_TRY(SG_GROW(&out->spans, &out->cap_spans, out->n_spans + 1, "prompt spans", err));
    out->spans[out->n_spans++] = (struct sg_span){.len = n, .trusted = trusted};
out:
    return st;
}

static enum sg_status put_number(struct sg_prompt_text *out, int64_t v, struct sg_err *err) {
    char s[24];
    return put(out, s, (size_t)snprintf(s, sizeof s, "%lld", (long long)v), true, err);
}

static enum sg_status put_anchor_question(struct sg_prompt_text *out, const struct sg_prompt_anchor *a,
                                          int64_t chars, struct sg_err *err) {
    size_t n = chars > 0 ? sg_utf8_prefix(a->question, a->len, (size_t)chars) : a->len;
    enum sg_status st = put(out, a->question, n, false, err);
    return st == SG_OK && n < a->len ? put(out, "...", 3, false, err) : st;
}

/* anchor: index of the one an example is about; -1 in the main text. */
static enum sg_status put_text(const struct sg_prompt *p, const struct text *t,
                               const struct sg_prompt_cell *cell, int32_t anchor, struct sg_prompt_text *out,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_prompt_anchor *a = anchor >= 0 ? &cell->anchors[anchor] : NULL;
    for (size_t i = 0; i < t->n; i++) {
        const struct piece *piece = &t->pieces[i];
        switch (piece->value) {
        case LITERAL:
            SG_TRY(put(out, t->bytes.data + piece->from, piece->len, true, err));
            break;
        case NUM_ANCHORS:
            SG_TRY(put_number(out, cell->n_anchors, err));
            break;
        case TARGET_MODEL:
            SG_TRY(put(out, cell->model, cell->model_len, false, err));
            break;
        case TARGET_QUESTION:
            SG_TRY(put(out, cell->question, cell->question_len, false, err));
            break;
        case EXAMPLES:
            for (int32_t k = 0; k < cell->n_anchors; k++) SG_TRY(put_text(p, &p->example, cell, k, out, err));
            break;
        case INDEX:
            SG_TRY(put_number(out, anchor + 1, err));
            break;
        case ANCHOR_QUESTION:
            SG_TRY(put_anchor_question(out, a, cell->anchor_chars, err));
            break;
        case COMPLETION_TOKENS:
            SG_TRY(put_number(out, a->completion_tokens, err));
            break;
        case YES_NO:
            SG_TRY(put(out, a->correct ? "yes" : "no", a->correct ? 3 : 2, true, err));
            break;
        }
    }
out:
    return st;
}

enum sg_status sg_prompt_build(const struct sg_prompt *p, const struct sg_prompt_cell *cell,
                               struct sg_prompt_text *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    sg_buf_clear(&out->text);
    out->n_spans = 0;
    SG_TRY(put(out, before, sizeof before - 1, true, err));
    SG_TRY(put_text(p, &p->main, cell, -1, out, err));
    SG_TRY(put(out, after, sizeof after - 1, true, err));
    for (size_t i = 0, at = 0; i < out->n_spans; at += out->spans[i++].len)
        out->spans[i].text = out->text.data + at;
out:
    return st;
}

void sg_prompt_text_free(struct sg_prompt_text *t) {
    if (!t) return;
    sg_buf_free(&t->text);
    free(t->spans);
    memset(t, 0, sizeof *t);
}

/* Reads tokenizer.json. The order of keys in an object is free; what changes the encoding and is not known
 * here is refused with the name the file gives it. */
#include "base/utf8.h"
#include "text/scan.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8 };

struct reader {
    struct sg_scan j;
    struct sg_tokenizer *tok;
    struct sg__byte_map map;
    struct sg__added *added; /* as listed; moved into the sets at the end */
    size_t n_added, cap_added;
    struct sg__merge *merges;
    size_t n_merges, cap_merges;
    const char *model_at, *merges_at, *post_at; /* where values stand that need others read first */
    bool has_vocab, byte_level;
    int depth; /* of Sequences inside Sequences */
    struct sg_buf joined;
    struct split { /* the pre-tokenizer's steps, compiled when all of the file is known to be sound */
        struct sg_buf regex;
        bool literal, removed;
        const char *at;
    } splits[SG__MAX_SPLITS];
    int n_splits;
};

static enum sg_status unsupported(struct reader *r, const char *at, struct sg_err *err, const char *what,
                                  struct sg_scan_str v) {
    return sg_scan_fail(&r->j, at, SG_E_UNSUPPORTED, err, "%s \"%.*s\" is not supported", what,
                        (int)(v.n < 100 ? v.n : 100), v.s);
}

/* One member of an object: its key has been read, its value comes next; `at` is where the key stands. One
 * element of an array. `to` is what the caller of each_* hands on. */
typedef enum sg_status member_fn(struct reader *r, struct sg_scan_str key, const char *at, void *to,
                                 struct sg_err *err);
typedef enum sg_status element_fn(struct reader *r, void *to, struct sg_err *err);

static enum sg_status each_member(struct reader *r, member_fn *fn, void *to, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    SG_TRY(sg_scan_open(&r->j, '{', err));
    for (;;) {
        struct sg_scan_str key;
        SG_TRY(sg_scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *at = r->j.p;
        SG_TRY(sg_scan_key(&r->j, &key, err));
        SG_TRY(fn(r, key, at, to, err));
    }
out:
    return st;
}

static enum sg_status each_element(struct reader *r, element_fn *fn, void *to, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    SG_TRY(sg_scan_open(&r->j, '[', err));
    for (;;) {
        SG_TRY(sg_scan_more(&r->j, ']', &first, &more, err));
        if (!more) break;
        SG_TRY(fn(r, to, err));
    }
out:
    return st;
}

/* Where the next value begins. */
static const char *here(struct reader *r) {
    sg_scan_peek(&r->j);
    return r->j.p;
}

static struct sg_scan_str str_of(const char *s) {
    return (struct sg_scan_str){s, strlen(s)};
}

/* Key `key` must be null (or absent): anything else changes the encoding. */
static enum sg_status need_null(struct reader *r, const char *key, struct sg_err *err) {
    if (sg_scan_null(&r->j)) return SG_OK;
    return sg_scan_fail(&r->j, r->j.p, SG_E_UNSUPPORTED, err, "%s is not supported; expected null", key);
}

static enum sg_status need_false(struct reader *r, const char *key, struct sg_err *err) {
    const char *at = here(r);
    bool v;
    enum sg_status st = sg_scan_bool(&r->j, &v, err);
    if (st == SG_OK && v)
        st = sg_scan_fail(&r->j, at, SG_E_UNSUPPORTED, err, "%s: true is not supported", key);
    return st;
}

/* null or "": a prefix or suffix that does nothing. */
static enum sg_status need_empty(struct reader *r, const char *key, struct sg_err *err) {
    if (sg_scan_null(&r->j)) return SG_OK;
    const char *at = r->j.p;
    struct sg_scan_str s;
    enum sg_status st = sg_scan_string(&r->j, &s, err);
    if (st == SG_OK && s.n) st = unsupported(r, at, err, key, s);
    return st;
}

/* The "type" of an object. "" when there is none; cut at its size. */
struct type {
    char name[32];
};

static enum sg_status find_type(struct reader *r, struct sg_scan_str key, const char *at, void *to,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct type *type = to;
    struct sg_scan_str v;
    (void)at;
    if (type->name[0] || !sg_scan_str_is(key, "type")) return sg_scan_skip(&r->j, err);
    SG_TRY(sg_scan_string(&r->j, &v, err));
    memcpy(type->name, v.s, v.n < sizeof type->name - 1 ? v.n : sizeof type->name - 1);
out:
    return st;
}

/* The type of the object that comes next, wherever in it the key stands; the reader does not move. */
static enum sg_status peek_type(struct reader *r, struct type *out, struct sg_err *err) {
    const char *keep = r->j.p;
    memset(out, 0, sizeof *out);
    enum sg_status st = each_member(r, find_type, out, err);
    if (st == SG_OK) r->j.p = keep;
    return st;
}

/* ---- vocabulary --------------------------------------------------------------------------------------- */

/* Enters a token; `at` is where the file gives it. */
static enum sg_status add_token(struct reader *r, struct sg_scan_str name, int64_t id, const char *at,
                                struct sg_err *err) {
    struct sg_err why = {0};
    enum sg_status st = sg__vocab_add(r->tok, &r->map, name.s, name.n, (int32_t)id, &why);
    return st == SG_OK ? st : sg_scan_fail(&r->j, at, st, err, "%s", why.text);
}

static enum sg_status read_vocab_entry(struct reader *r, struct sg_scan_str name, const char *at, void *to,
                                       struct sg_err *err) {
    int64_t id;
    (void)to;
    enum sg_status st = sg_scan_int(&r->j, 0, SG__MAX_ID, &id, err);
    return st == SG_OK ? add_token(r, name, id, at, err) : st;
}

static enum sg_status merge_part(struct reader *r, struct sg_scan_str s, const char *at, int32_t *id,
                                 struct sg_err *err) {
    *id = sg__tokenizer_find(r->tok, s.s, s.n);
    if (*id >= 0) return SG_OK;
    return sg_scan_fail(&r->j, at, SG_E_INPUT, err, "a merge names \"%.*s\", which is not in the vocabulary",
                        (int)(s.n < 100 ? s.n : 100), s.s);
}

/* One merge: "a b" or ["a", "b"]. joined collects both parts, since an unescaped string does not outlive the
 * next one. */
static enum sg_status read_merge(struct reader *r, void *to, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_scan_str s;
    struct sg__merge m;
    bool first = true, more;
    size_t n_left;
    const char c = sg_scan_peek(&r->j), *at = r->j.p;
    (void)to;
    sg_buf_clear(&r->joined);
    if (c == '[') {
        SG_TRY(sg_scan_open(&r->j, '[', err));
        SG_TRY(sg_scan_more(&r->j, ']', &first, &more, err));
        if (!more) goto bad;
        SG_TRY(sg_scan_string(&r->j, &s, err));
        n_left = s.n;
        SG_TRY(sg_buf_add(&r->joined, s.s, s.n, err));
        SG_TRY(sg_scan_more(&r->j, ']', &first, &more, err));
        if (!more) goto bad;
        SG_TRY(sg_scan_string(&r->j, &s, err));
        SG_TRY(sg_buf_add(&r->joined, s.s, s.n, err));
        SG_TRY(sg_scan_more(&r->j, ']', &first, &more, err));
        if (more) goto bad;
    } else {
        SG_TRY(sg_scan_string(&r->j, &s, err));
        const char *space = memchr(s.s, ' ', s.n);
        if (!space || memchr(space + 1, ' ', s.n - (size_t)(space + 1 - s.s))) goto bad;
        n_left = (size_t)(space - s.s);
        SG_TRY(sg_buf_add(&r->joined, s.s, n_left, err));
        SG_TRY(sg_buf_add(&r->joined, space + 1, s.n - n_left - 1, err));
    }
    SG_TRY(merge_part(r, (struct sg_scan_str){r->joined.data, n_left}, at, &m.left, err));
    SG_TRY(merge_part(r, (struct sg_scan_str){r->joined.data + n_left, r->joined.len - n_left}, at, &m.right,
                      err));
    SG_TRY(merge_part(r, (struct sg_scan_str){r->joined.data, r->joined.len}, at, &m.result, err));
    SG_TRY(SG_GROW(&r->merges, &r->cap_merges, r->n_merges + 1, "merges", err));
    r->merges[r->n_merges++] = m;
out:
    return st;
bad:
    return sg_scan_fail(&r->j, at, SG_E_INPUT, err, "expected a merge: \"a b\" or [\"a\", \"b\"]");
}

/* What the model's keys said, beside what goes into the reader. */
struct model {
    const char *merges; /* where they stand */
    bool unknown;       /* it has a way with bytes that have no token */
};

static enum sg_status read_model_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                     struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct model *m = to;
    bool flag;
    if (sg_scan_str_is(k, "type")) return sg_scan_skip(&r->j, err);
    if (sg_scan_str_is(k, "dropout")) return need_null(r, "model.dropout", err);
    if (sg_scan_str_is(k, "continuing_subword_prefix"))
        return need_empty(r, "model.continuing_subword_prefix", err);
    if (sg_scan_str_is(k, "end_of_word_suffix")) return need_empty(r, "model.end_of_word_suffix", err);
    if (sg_scan_str_is(k, "ignore_merges")) return sg_scan_bool(&r->j, &r->tok->ignore_merges, err);
    if (sg_scan_str_is(k, "fuse_unk")) return sg_scan_bool(&r->j, &flag, err);
    if (sg_scan_str_is(k, "unk_token")) { /* matters only where a byte has no token */
        m->unknown |= sg_scan_peek(&r->j) == '"';
        return sg_scan_skip(&r->j, err);
    }
    if (sg_scan_str_is(k, "byte_fallback")) {
        SG_TRY(sg_scan_bool(&r->j, &flag, err));
        m->unknown |= flag;
    } else if (sg_scan_str_is(k, "vocab")) {
        SG_TRY(each_member(r, read_vocab_entry, NULL, err));
        r->has_vocab = true;
    } else if (sg_scan_str_is(k, "merges")) { /* they name tokens: read when those are known */
        m->merges = here(r);
        if (!r->has_vocab) r->merges_at = m->merges;
        SG_TRY(r->has_vocab ? each_element(r, read_merge, NULL, err) : sg_scan_skip(&r->j, err));
    } else {
        st = unsupported(r, at, err, "model key", k);
    }
out:
    return st;
}

static enum sg_status read_model(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct type type;
    struct model m = {0};
    const char *at = here(r);
    SG_TRY(peek_type(r, &type, err));
    if (type.name[0] && strcmp(type.name, "BPE") != 0)
        return unsupported(r, at, err, "model type", str_of(type.name));
    SG_TRY(each_member(r, read_model_key, &m, err));
    if (!r->has_vocab || !m.merges)
        return sg_scan_fail(&r->j, at, SG_E_INPUT, err, "model.%s is missing",
                            r->has_vocab ? "merges" : "vocab");
    if (r->merges_at) {
        const char *keep = r->j.p;
        r->j.p = r->merges_at;
        SG_TRY(each_element(r, read_merge, NULL, err));
        r->j.p = keep;
    }
    for (int b = 0; b < 256; b++) {
        char name[4];
        r->tok->bpe.byte_id[b] = sg__tokenizer_find(r->tok, name, sg__utf8_put(r->map.cp[b], name));
        if (m.unknown && r->tok->bpe.byte_id[b] < 0)
            return sg_scan_fail(&r->j, at, SG_E_UNSUPPORTED, err,
                                "byte 0x%02x has no token; unk_token and byte_fallback are not supported",
                                (unsigned)b);
    }
    SG_TRY(sg__bpe_init(&r->tok->bpe, r->merges, r->n_merges, err));
out:
    return st;
}

/* ---- normaliser, pre-tokenizer, decoder, post-processor ----------------------------------------------- */

/* A part of the file: null, an object of one of these types, or a Sequence of such under the key `list`. */
struct part {
    const char *name, *list;
    struct {
        const char *type;
        enum sg_status (*read)(struct reader *r, struct sg_err *err);
    } kind[4];
};

static element_fn read_sequence_element;

static enum sg_status read_sequence_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                        struct sg_err *err) {
    const struct part *const *part = to;
    (void)at;
    return sg_scan_str_is(k, (*part)->list) ? each_element(r, read_sequence_element, to, err)
                                            : sg_scan_skip(&r->j, err);
}

static enum sg_status read_part(struct reader *r, const struct part *part, struct sg_err *err) {
    struct type type;
    if (sg_scan_null(&r->j)) return SG_OK;
    const char *at = r->j.p;
    enum sg_status st = peek_type(r, &type, err);
    if (st != SG_OK) return st;
    for (size_t i = 0; i < sizeof part->kind / sizeof *part->kind && part->kind[i].type; i++)
        if (!strcmp(type.name, part->kind[i].type)) return part->kind[i].read(r, err);
    if (strcmp(type.name, "Sequence") != 0) return unsupported(r, at, err, part->name, str_of(type.name));
    if (r->depth == MAX_DEPTH)
        return sg_scan_fail(&r->j, at, SG_E_UNSUPPORTED, err, "Sequences nested too deeply");
    r->depth++;
    st = each_member(r, read_sequence_key, &part, err);
    r->depth--;
    return st;
}

/* `to`: the pointer to the part. */
static enum sg_status read_sequence_element(struct reader *r, void *to, struct sg_err *err) {
    const struct part *const *part = to;
    return read_part(r, *part, err);
}

/* A type that changes nothing here: what it says concerns offsets, or the way back from ids to bytes. */
static enum sg_status read_nothing(struct reader *r, struct sg_err *err) {
    return sg_scan_skip(&r->j, err);
}

static enum sg_status read_nfc(struct reader *r, struct sg_err *err) {
    r->tok->nfc = true;
    return sg_scan_skip(&r->j, err);
}

/* ByteLevel turns text into bytes: nothing may split behind it. */
static enum sg_status before_byte_level(struct reader *r, const char *type, struct sg_err *err) {
    if (!r->byte_level) return SG_OK;
    return sg_scan_fail(&r->j, r->j.p, SG_E_UNSUPPORTED, err,
                        "pre_tokenizer \"%s\" after ByteLevel is not supported", type);
}

/* Keeps one step for compile_splits. */
static enum sg_status add_split(struct reader *r, const char *regex, size_t n, bool literal, bool removed,
                                const char *at, struct sg_err *err) {
    if (r->n_splits == SG__MAX_SPLITS)
        return sg_scan_fail(&r->j, at, SG_E_UNSUPPORTED, err, "more than %d splits are not supported",
                            SG__MAX_SPLITS);
    struct split *s = &r->splits[r->n_splits++];
    s->literal = literal;
    s->removed = removed;
    s->at = at;
    return sg_buf_add(&s->regex, regex, n, err);
}

static enum sg_status compile_splits(struct reader *r, struct sg_err *err) {
    for (int i = 0; i < r->n_splits; i++) {
        const struct split *s = &r->splits[i];
        struct sg__pre *pre = &r->tok->pre;
        struct sg_err why = {0};
        enum sg_status st =
            sg__pre_add(pre, &r->tok->unicode, s->regex.data, s->regex.len, s->literal, false, &why);
        if (st != SG_OK) return sg_scan_fail(&r->j, s->at, st, err, "pre_tokenizer: %s", why.text);
        /* "Removed" and inverted throws away what lies between matches: the same where matches cover all. */
        if (s->removed && !pre->split[pre->n - 1].max_digits)
            return sg_scan_fail(
                &r->j, s->at, SG_E_UNSUPPORTED, err,
                "pre_tokenizer: split behavior \"Removed\" is not supported with this expression");
    }
    return SG_OK;
}

/* A Split as its keys say. */
struct split_keys {
    struct sg_buf regex;
    bool invert, literal, removed, got;
};

static enum sg_status read_pattern(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct split_keys *s = to;
    struct sg_scan_str v;
    s->literal = sg_scan_str_is(k, "String");
    if (!s->literal && !sg_scan_str_is(k, "Regex")) return unsupported(r, at, err, "split pattern", k);
    if (s->got)
        return sg_scan_fail(&r->j, at, SG_E_INPUT, err, "expected {\"Regex\": ...} or {\"String\": ...}");
    SG_TRY(sg_scan_string(&r->j, &v, err));
    SG_TRY(sg_buf_add(&s->regex, v.s, v.n, err));
    s->got = true;
out:
    return st;
}

static enum sg_status read_split_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                     struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct split_keys *s = to;
    struct sg_scan_str v;
    if (sg_scan_str_is(k, "type")) return sg_scan_skip(&r->j, err);
    if (sg_scan_str_is(k, "invert")) return sg_scan_bool(&r->j, &s->invert, err);
    if (sg_scan_str_is(k, "pattern")) return each_member(r, read_pattern, to, err);
    if (!sg_scan_str_is(k, "behavior")) return unsupported(r, at, err, "split key", k);
    SG_TRY(sg_scan_string(&r->j, &v, err));
    s->removed = sg_scan_str_is(v, "Removed");
    if (!s->removed && !sg_scan_str_is(v, "Isolated")) st = unsupported(r, at, err, "split behavior", v);
out:
    return st;
}

static enum sg_status read_split(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct split_keys s = {0};
    const char *at = r->j.p;
    SG_TRY(before_byte_level(r, "Split", err));
    SG_TRY(each_member(r, read_split_key, &s, err));
    if (!s.got)
        st = sg_scan_fail(&r->j, at, SG_E_INPUT, err, "a split without a pattern");
    else if (s.removed != s.invert)
        st = sg_scan_fail(&r->j, at, SG_E_UNSUPPORTED, err,
                          "split with behavior \"%s\" and invert %s is not supported",
                          s.removed ? "Removed" : "Isolated", s.invert ? "true" : "false");
    else
        st = add_split(r, s.regex.data, s.regex.len, s.literal, s.removed, at, err);
out:
    sg_buf_free(&s.regex);
    return st;
}

/* `to`: bool, whether it splits by GPT-2's expression. */
static enum sg_status read_byte_level_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                          struct sg_err *err) {
    bool ignored;
    if (sg_scan_str_is(k, "type")) return sg_scan_skip(&r->j, err);
    if (sg_scan_str_is(k, "use_regex")) return sg_scan_bool(&r->j, to, err);
    if (sg_scan_str_is(k, "add_prefix_space"))
        return need_false(r, "pre_tokenizer ByteLevel add_prefix_space", err);
    if (sg_scan_str_is(k, "trim_offsets")) return sg_scan_bool(&r->j, &ignored, err); /* offsets only */
    return unsupported(r, at, err, "ByteLevel key", k);
}

static enum sg_status read_byte_level(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool use_regex = true;
    const char *at = r->j.p;
    SG_TRY(before_byte_level(r, "ByteLevel", err));
    SG_TRY(each_member(r, read_byte_level_key, &use_regex, err));
    r->byte_level = true;
    if (use_regex) SG_TRY(add_split(r, sg__gpt2_regex, strlen(sg__gpt2_regex), false, false, at, err));
out:
    return st;
}

/* `to`: bool, whether every digit stands alone. */
static enum sg_status read_digits_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                      struct sg_err *err) {
    if (sg_scan_str_is(k, "type")) return sg_scan_skip(&r->j, err);
    if (sg_scan_str_is(k, "individual_digits")) return sg_scan_bool(&r->j, to, err);
    return unsupported(r, at, err, "Digits key", k);
}

static enum sg_status read_digits(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool individual = false;
    const char *at = r->j.p;
    SG_TRY(before_byte_level(r, "Digits", err));
    SG_TRY(each_member(r, read_digits_key, &individual, err));
    const char *regex = individual ? "\\p{N}" : "\\p{N}+";
    SG_TRY(add_split(r, regex, strlen(regex), false, false, at, err));
out:
    return st;
}

/* A template being read: what stands in it before the text and after. */
struct template {
    bool seen_text;
    int kinds; /* of the piece that is open: one */
};

static enum sg_status read_template_token(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                          struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct template *t = to;
    struct sg_token_ids *ids = t->seen_text ? &r->tok->after : &r->tok->before;
    struct sg_scan_str v;
    if (!sg_scan_str_is(k, "id")) return sg_scan_skip(&r->j, err);
    SG_TRY(sg_scan_string(&r->j, &v, err));
    int32_t id = sg__tokenizer_find(r->tok, v.s, v.n);
    if (id < 0) return unsupported(r, at, err, "a template's token outside the vocabulary,", v);
    SG_TRY(SG_GROW(&ids->data, &ids->cap, ids->len + 1, "template", err));
    ids->data[ids->len++] = id;
out:
    return st;
}

static enum sg_status read_template_kind(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                         struct sg_err *err) {
    struct template *t = to;
    if (t->kinds++) return sg_scan_fail(&r->j, at, SG_E_INPUT, err, "a template piece with two kinds");
    if (sg_scan_str_is(k, "SpecialToken")) return each_member(r, read_template_token, to, err);
    if (!sg_scan_str_is(k, "Sequence")) return unsupported(r, at, err, "template piece", k);
    t->seen_text = true;
    return sg_scan_skip(&r->j, err);
}

/* One piece: {"Sequence": {...}} or {"SpecialToken": {"id": "<|endoftext|>", ...}}. */
static enum sg_status read_template_piece(struct reader *r, void *to, struct sg_err *err) {
    struct template *t = to;
    const char *at = here(r);
    t->kinds = 0;
    enum sg_status st = each_member(r, read_template_kind, to, err);
    if (st == SG_OK && !t->kinds)
        st = sg_scan_fail(&r->j, at, SG_E_INPUT, err, "an empty piece in a template");
    return st;
}

static enum sg_status read_template_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                        struct sg_err *err) {
    (void)at; /* beside "single": type, pair, special_tokens */
    return sg_scan_str_is(k, "single") ? each_element(r, read_template_piece, to, err)
                                       : sg_scan_skip(&r->j, err);
}

static enum sg_status read_template(struct reader *r, struct sg_err *err) {
    struct template t = {0};
    return each_member(r, read_template_key, &t, err);
}

/* A pre_tokenizer that is null lacks ByteLevel, which is told at the end. */
static const struct part normalizer = {"normalizer", "normalizers", {{"NFC", read_nfc}}};
static const struct part pre_tokenizer = {
    "pre_tokenizer",
    "pretokenizers",
    {{"ByteLevel", read_byte_level}, {"Split", read_split}, {"Digits", read_digits}}};
static const struct part decoder = {"decoder", "decoders", {{"ByteLevel", read_nothing}}};
static const struct part post_processor = {
    "post_processor", "processors", {{"ByteLevel", read_nothing}, {"TemplateProcessing", read_template}}};

/* ---- added tokens ------------------------------------------------------------------------------------- */

static enum sg_status read_added_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                     struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__added *a = to;
    struct sg_scan_str v;
    int64_t id;
    bool *flag = sg_scan_str_is(k, "special")       ? &a->special
                 : sg_scan_str_is(k, "normalized")  ? &a->normalized
                 : sg_scan_str_is(k, "lstrip")      ? &a->lstrip
                 : sg_scan_str_is(k, "rstrip")      ? &a->rstrip
                 : sg_scan_str_is(k, "single_word") ? &a->single_word
                                                    : NULL;
    if (flag) return sg_scan_bool(&r->j, flag, err);
    if (sg_scan_str_is(k, "id")) {
        SG_TRY(sg_scan_int(&r->j, 0, SG__MAX_ID, &id, err));
        a->id = (int32_t)id;
    } else if (sg_scan_str_is(k, "content")) {
        SG_TRY(sg_scan_string(&r->j, &v, err));
        free(a->content);
        a->content = NULL;
        SG_TRY(SG_NEW(&a->content, v.n + 1, "added token", err));
        memcpy(a->content, v.s, v.n);
        a->len = v.n;
    } else {
        st = unsupported(r, at, err, "added token key", k);
    }
out:
    return st;
}

static enum sg_status read_added_token(struct reader *r, void *to, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__added a = {.id = -1};
    const char *at = here(r);
    (void)to;
    SG_TRY(each_member(r, read_added_key, &a, err));
    if (a.id < 0 || !a.content || !a.len) {
        st = sg_scan_fail(&r->j, at, SG_E_INPUT, err, "an added token needs an id and a content");
        goto out;
    }
    SG_TRY(SG_GROW(&r->added, &r->cap_added, r->n_added + 1, "added tokens", err));
    r->added[r->n_added++] = a;
    a.content = NULL;
out:
    free(a.content);
    return st;
}

static int by_first_then_length(const void *pa, const void *pb) {
    const struct sg__added *a = pa, *b = pb;
    if (a->content[0] != b->content[0])
        return (unsigned char)a->content[0] < (unsigned char)b->content[0] ? -1 : 1;
    if (a->len != b->len) return a->len > b->len ? -1 : 1;
    int c = memcmp(a->content, b->content, a->len);
    return c ? c : a->id < b->id ? -1 : a->id > b->id;
}

static void index_set(struct sg__added_set *set) {
    if (set->n) qsort(set->items, set->n, sizeof *set->items, by_first_then_length);
    size_t k = 0;
    int kinds = 0;
    set->only = -1;
    for (int c = 0; c < 256; c++) {
        set->first[c] = (uint32_t)k;
        size_t start = k;
        while (k < set->n && (unsigned char)set->items[k].content[0] == c) k++;
        if (k == start) continue;
        kinds++;
        set->only = c;
    }
    set->first[256] = (uint32_t)k;
    if (kinds != 1) set->only = -1;
}

/* Enters the listed tokens into the vocabulary and sorts them into the two sets. */
static enum sg_status place_added(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_tokenizer *tok = r->tok;
    struct sg__nfc nfc = {0};
    for (size_t i = 0; i < r->n_added; i++) {
        struct sg__added *a = &r->added[i];
        int32_t known = sg__tokenizer_find(tok, a->content, a->len);
        if (known >= 0 && known != a->id) {
            st =
                sg_fail(err, SG_E_INPUT, "%s: added token \"%.100s\" has id %d here and %d in the vocabulary",
                        r->j.where, a->content, a->id, known);
            goto out;
        }
        if (known < 0) SG_TRY(add_token(r, (struct sg_scan_str){a->content, a->len}, a->id, r->j.p, err));
        tok->tokens[a->id].flags |=
            SG__TOKEN_ADDED | (a->special ? SG__TOKEN_SPECIAL : 0u) | (known < 0 ? SG__TOKEN_OUTSIDE : 0u);
        if (a->normalized && tok->nfc) {
            SG_TRY(sg__nfc(&tok->unicode, &nfc, a->content, a->len, err));
            char *copy;
            SG_TRY(SG_NEW(&copy, nfc.text.len + 1, "added token", err));
            memcpy(copy, nfc.text.data, nfc.text.len);
            free(a->content);
            a->content = copy;
            a->len = nfc.text.len;
        }
        struct sg__added_set *set = a->normalized ? &tok->normalized : &tok->raw;
        SG_TRY(SG_GROW(&set->items, &set->cap, set->n + 1, "added tokens", err));
        set->items[set->n++] = *a;
        a->content = NULL;
    }
    index_set(&tok->raw);
    index_set(&tok->normalized);
out:
    sg__nfc_free(&nfc);
    return st;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static enum sg_status read_top_key(struct reader *r, struct sg_scan_str k, const char *at, void *to,
                                   struct sg_err *err) {
    (void)to;
    if (sg_scan_str_is(k, "version")) return sg_scan_skip(&r->j, err);
    if (sg_scan_str_is(k, "truncation")) return need_null(r, "truncation", err);
    if (sg_scan_str_is(k, "padding")) return need_null(r, "padding", err);
    if (sg_scan_str_is(k, "added_tokens")) return each_element(r, read_added_token, NULL, err);
    if (sg_scan_str_is(k, "normalizer")) return read_part(r, &normalizer, err);
    if (sg_scan_str_is(k, "pre_tokenizer")) return read_part(r, &pre_tokenizer, err);
    if (sg_scan_str_is(k, "decoder")) return read_part(r, &decoder, err);
    if (sg_scan_str_is(k, "post_processor")) { /* names added tokens: read when they are known */
        r->post_at = here(r);
        return sg_scan_skip(&r->j, err);
    }
    if (!sg_scan_str_is(k, "model")) return unsupported(r, at, err, "key", k);
    if (r->model_at) return sg_scan_fail(&r->j, at, SG_E_INPUT, err, "\"model\" stands twice");
    r->model_at = at;
    return read_model(r, err);
}

static enum sg_status read_top(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(each_member(r, read_top_key, NULL, err));
    SG_TRY(sg_scan_finish(&r->j, err));
    if (!r->model_at) return sg_fail(err, SG_E_INPUT, "%s: model is missing", r->j.where);
    if (!r->byte_level)
        return sg_fail(err, SG_E_UNSUPPORTED, "%s: a pre_tokenizer without ByteLevel is not supported",
                       r->j.where);
out:
    return st;
}

enum sg_status sg__tokenizer_read(struct sg_tokenizer *tok, const char *text, size_t n, const char *where,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct reader r = {.tok = tok};
    size_t bad;
    sg_scan_init(&r.j, text, n, where, 1);
    sg__byte_map_init(&r.map);
    if (n > UINT32_MAX / 2) return sg_fail(err, SG_E_UNSUPPORTED, "%s: larger than 2 GiB", where);
    if (!sg_utf8_valid(text, n, &bad))
        return sg_scan_fail(&r.j, text + bad, SG_E_INPUT, err, "invalid UTF-8");
    SG_TRY(read_top(&r, err));
    SG_TRY(sg__unicode_init(&tok->unicode, err));
    SG_TRY(compile_splits(&r, err));
    SG_TRY(place_added(&r, err));
    if (r.post_at) {
        r.j.p = r.post_at;
        SG_TRY(read_part(&r, &post_processor, err));
    }
out:
    for (size_t i = 0; i < r.n_added; i++) free(r.added[i].content);
    free(r.added);
    for (int i = 0; i < r.n_splits; i++) sg_buf_free(&r.splits[i].regex);
    free(r.merges);
    sg_buf_free(&r.joined);
    sg_scan_free(&r.j);
    return st;
}

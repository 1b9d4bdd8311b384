/* Reads tokenizer.json. The order of keys in an object is free; what changes the encoding and is not known
 * here is refused with the name the file gives it. */
#include "base/utf8.h"
#include "text/scan.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8 };

struct reader {
    struct sg__scan j;
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
                                  struct sg__str v) {
    return sg__scan_fail(&r->j, at, SG_E_UNSUPPORTED, err, "%s \"%.*s\" is not supported", what,
                         (int)(v.n < 100 ? v.n : 100), v.s);
}

/* Key `key` must be null (or absent): anything else changes the encoding. */
static enum sg_status need_null(struct reader *r, const char *key, struct sg_err *err) {
    if (sg__scan_null(&r->j)) return SG_OK;
    return sg__scan_fail(&r->j, r->j.p, SG_E_UNSUPPORTED, err, "%s is not supported; expected null", key);
}

static enum sg_status need_false(struct reader *r, const char *key, struct sg_err *err) {
    sg__scan_peek(&r->j);
    const char *at = r->j.p;
    bool v;
    enum sg_status st = sg__scan_bool(&r->j, &v, err);
    if (st == SG_OK && v)
        st = sg__scan_fail(&r->j, at, SG_E_UNSUPPORTED, err, "%s: true is not supported", key);
    return st;
}

/* null or "": a prefix or suffix that does nothing. */
static enum sg_status need_empty(struct reader *r, const char *key, struct sg_err *err) {
    if (sg__scan_null(&r->j)) return SG_OK;
    const char *at = r->j.p;
    struct sg__str s;
    enum sg_status st = sg__scan_string(&r->j, &s, err);
    if (st == SG_OK && s.n) st = unsupported(r, at, err, key, s);
    return st;
}

/* The "type" of the object that comes next, wherever in it the key stands; the reader does not move.
 * "" when there is none. Copied into out, cut at its size. */
static enum sg_status peek_type(struct reader *r, char *out, size_t size, struct sg_err *err) {
    const char *keep = r->j.p;
    enum sg_status st = SG_OK;
    bool first = true, more;
    out[0] = 0;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k, v;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (!sg__str_is(k, "type")) {
            SG_TRY(sg__scan_skip(&r->j, err));
            continue;
        }
        SG_TRY(sg__scan_string(&r->j, &v, err));
        size_t n = v.n < size - 1 ? v.n : size - 1;
        memcpy(out, v.s, n);
        out[n] = 0;
        break;
    }
    r->j.p = keep;
out:
    return st;
}

/* ---- vocabulary --------------------------------------------------------------------------------------- */

/* Enters a token; `at` is where the file gives it. */
static enum sg_status add_token(struct reader *r, struct sg__str name, int64_t id, const char *at,
                                struct sg_err *err) {
    struct sg_err why = {0};
    enum sg_status st = sg__vocab_add(r->tok, &r->map, name.s, name.n, (int32_t)id, &why);
    return st == SG_OK ? st : sg__scan_fail(&r->j, at, st, err, "%s", why.text);
}

static enum sg_status read_vocab(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str name;
        int64_t id;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *at = r->j.p;
        SG_TRY(sg__scan_key(&r->j, &name, err));
        SG_TRY(sg__scan_int(&r->j, 0, SG__MAX_ID, &id, err));
        SG_TRY(add_token(r, name, id, at, err));
    }
    r->has_vocab = true;
out:
    return st;
}

static enum sg_status merge_part(struct reader *r, struct sg__str s, const char *at, int32_t *id,
                                 struct sg_err *err) {
    *id = sg__tokenizer_find(r->tok, s.s, s.n);
    if (*id >= 0) return SG_OK;
    return sg__scan_fail(&r->j, at, SG_E_INPUT, err, "a merge names \"%.*s\", which is not in the vocabulary",
                         (int)(s.n < 100 ? s.n : 100), s.s);
}

/* One merge: "a b" or ["a", "b"]. joined collects both parts, since an unescaped string does not outlive the
 * next one. */
static enum sg_status read_merge(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__str s;
    struct sg__merge m;
    bool first = true, more;
    size_t n_left;
    char c = sg__scan_peek(&r->j);
    const char *at = r->j.p;
    sg_buf_clear(&r->joined);
    if (c == '[') {
        SG_TRY(sg__scan_open(&r->j, '[', err));
        SG_TRY(sg__scan_more(&r->j, ']', &first, &more, err));
        if (!more) goto bad;
        SG_TRY(sg__scan_string(&r->j, &s, err));
        n_left = s.n;
        SG_TRY(sg_buf_add(&r->joined, s.s, s.n, err));
        SG_TRY(sg__scan_more(&r->j, ']', &first, &more, err));
        if (!more) goto bad;
        SG_TRY(sg__scan_string(&r->j, &s, err));
        SG_TRY(sg_buf_add(&r->joined, s.s, s.n, err));
        SG_TRY(sg__scan_more(&r->j, ']', &first, &more, err));
        if (more) goto bad;
    } else {
        SG_TRY(sg__scan_string(&r->j, &s, err));
        const char *space = memchr(s.s, ' ', s.n);
        if (!space || memchr(space + 1, ' ', s.n - (size_t)(space + 1 - s.s))) goto bad;
        n_left = (size_t)(space - s.s);
        SG_TRY(sg_buf_add(&r->joined, s.s, n_left, err));
        SG_TRY(sg_buf_add(&r->joined, space + 1, s.n - n_left - 1, err));
    }
    SG_TRY(merge_part(r, (struct sg__str){r->joined.data, n_left}, at, &m.left, err));
    SG_TRY(
        merge_part(r, (struct sg__str){r->joined.data + n_left, r->joined.len - n_left}, at, &m.right, err));
    SG_TRY(merge_part(r, (struct sg__str){r->joined.data, r->joined.len}, at, &m.result, err));
    SG_TRY(SG_GROW(&r->merges, &r->cap_merges, r->n_merges + 1, "merges", err));
    r->merges[r->n_merges++] = m;
out:
    return st;
bad:
    return sg__scan_fail(&r->j, at, SG_E_INPUT, err, "expected a merge: \"a b\" or [\"a\", \"b\"]");
}

static enum sg_status read_merges(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    SG_TRY(sg__scan_open(&r->j, '[', err));
    for (;;) {
        SG_TRY(sg__scan_more(&r->j, ']', &first, &more, err));
        if (!more) break;
        SG_TRY(read_merge(r, err));
    }
out:
    return st;
}

static enum sg_status read_model(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more, flag, unknown = false;
    char type[32];
    sg__scan_peek(&r->j);
    const char *at = r->j.p, *merges = NULL;
    SG_TRY(peek_type(r, type, sizeof type, err));
    if (type[0] && strcmp(type, "BPE") != 0)
        return unsupported(r, at, err, "model type", (struct sg__str){type, strlen(type)});
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *key_at = r->j.p;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (sg__str_is(k, "type")) {
            SG_TRY(sg__scan_skip(&r->j, err));
        } else if (sg__str_is(k, "dropout")) {
            SG_TRY(need_null(r, "model.dropout", err));
        } else if (sg__str_is(k, "continuing_subword_prefix")) {
            SG_TRY(need_empty(r, "model.continuing_subword_prefix", err));
        } else if (sg__str_is(k, "end_of_word_suffix")) {
            SG_TRY(need_empty(r, "model.end_of_word_suffix", err));
        } else if (sg__str_is(k, "unk_token")) { /* matters only where a byte has no token: checked below */
            unknown |= sg__scan_peek(&r->j) == '"';
            SG_TRY(sg__scan_skip(&r->j, err));
        } else if (sg__str_is(k, "fuse_unk") || sg__str_is(k, "byte_fallback")) {
            bool fallback = k.s[0] == 'b';
            SG_TRY(sg__scan_bool(&r->j, &flag, err));
            unknown |= flag && fallback;
        } else if (sg__str_is(k, "ignore_merges")) {
            SG_TRY(sg__scan_bool(&r->j, &r->tok->ignore_merges, err));
        } else if (sg__str_is(k, "vocab")) {
            SG_TRY(read_vocab(r, err));
        } else if (sg__str_is(k, "merges")) {
            sg__scan_peek(&r->j);
            merges = r->j.p;
            if (r->has_vocab)
                SG_TRY(read_merges(r, err));
            else
                SG_TRY(sg__scan_skip(&r->j, err));
            if (!r->has_vocab) r->merges_at = merges;
        } else {
            return unsupported(r, key_at, err, "model key", k);
        }
    }
    if (!r->has_vocab || !merges)
        return sg__scan_fail(&r->j, at, SG_E_INPUT, err, "model.%s is missing",
                             r->has_vocab ? "merges" : "vocab");
    if (r->merges_at) {
        const char *keep = r->j.p;
        r->j.p = r->merges_at;
        SG_TRY(read_merges(r, err));
        r->j.p = keep;
    }
    for (int b = 0; b < 256; b++) {
        char name[4];
        r->tok->bpe.byte_id[b] = sg__tokenizer_find(r->tok, name, sg__utf8_put(r->map.cp[b], name));
        if (unknown && r->tok->bpe.byte_id[b] < 0)
            return sg__scan_fail(&r->j, at, SG_E_UNSUPPORTED, err,
                                 "byte 0x%02x has no token; unk_token and byte_fallback are not supported",
                                 (unsigned)b);
    }
    SG_TRY(sg__bpe_init(&r->tok->bpe, r->merges, r->n_merges, err));
out:
    return st;
}

/* ---- normaliser, pre-tokenizer, decoder, post-processor ----------------------------------------------- */

/* Calls each(r, err) for every element of the array `list` of the object that comes next. */
static enum sg_status each_of(struct reader *r, const char *list,
                              enum sg_status (*each)(struct reader *, struct sg_err *), struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    if (r->depth == MAX_DEPTH)
        return sg__scan_fail(&r->j, r->j.p, SG_E_UNSUPPORTED, err, "Sequences nested too deeply");
    r->depth++;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (!sg__str_is(k, list)) {
            SG_TRY(sg__scan_skip(&r->j, err));
            continue;
        }
        bool first_item = true, item;
        SG_TRY(sg__scan_open(&r->j, '[', err));
        for (;;) {
            SG_TRY(sg__scan_more(&r->j, ']', &first_item, &item, err));
            if (!item) break;
            SG_TRY(each(r, err));
        }
    }
out:
    r->depth--;
    return st;
}

/* A value whose type must be `plain`, or a Sequence (key `list`) of such; null is nothing. *found is set when
 * the type was there. */
static enum sg_status read_normalizer(struct reader *r, struct sg_err *err) {
    char type[32];
    if (sg__scan_null(&r->j)) return SG_OK;
    const char *at = r->j.p;
    enum sg_status st = peek_type(r, type, sizeof type, err);
    if (st != SG_OK) return st;
    if (!strcmp(type, "Sequence")) return each_of(r, "normalizers", read_normalizer, err);
    if (strcmp(type, "NFC") != 0)
        return unsupported(r, at, err, "normalizer", (struct sg__str){type, strlen(type)});
    r->tok->nfc = true;
    return sg__scan_skip(&r->j, err);
}

static enum sg_status read_decoder(struct reader *r, struct sg_err *err) {
    char type[32];
    if (sg__scan_null(&r->j)) return SG_OK;
    const char *at = r->j.p;
    enum sg_status st = peek_type(r, type, sizeof type, err);
    if (st != SG_OK) return st;
    if (!strcmp(type, "Sequence")) return each_of(r, "decoders", read_decoder, err);
    if (strcmp(type, "ByteLevel") != 0)
        return unsupported(r, at, err, "decoder", (struct sg__str){type, strlen(type)});
    return sg__scan_skip(&r->j, err);
}

/* Keeps one step for compile_splits. */
static enum sg_status add_split(struct reader *r, const char *regex, size_t n, bool literal, bool removed,
                                const char *at, struct sg_err *err) {
    if (r->n_splits == SG__MAX_SPLITS)
        return sg__scan_fail(&r->j, at, SG_E_UNSUPPORTED, err, "more than %d splits are not supported",
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
        if (st != SG_OK) return sg__scan_fail(&r->j, s->at, st, err, "pre_tokenizer: %s", why.text);
        /* "Removed" and inverted throws away what lies between matches: the same where matches cover all. */
        if (s->removed && !pre->split[pre->n - 1].max_digits)
            return sg__scan_fail(
                &r->j, s->at, SG_E_UNSUPPORTED, err,
                "pre_tokenizer: split behavior \"Removed\" is not supported with this expression");
    }
    return SG_OK;
}

static enum sg_status read_split(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more, invert = false, literal = false, got = false, removed = false;
    struct sg_buf regex = {0};
    struct sg__str k, v;
    const char *at = r->j.p;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *key_at = r->j.p;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (sg__str_is(k, "type")) {
            SG_TRY(sg__scan_skip(&r->j, err));
        } else if (sg__str_is(k, "invert")) {
            SG_TRY(sg__scan_bool(&r->j, &invert, err));
        } else if (sg__str_is(k, "behavior")) {
            SG_TRY(sg__scan_string(&r->j, &v, err));
            removed = sg__str_is(v, "Removed");
            if (!removed && !sg__str_is(v, "Isolated")) {
                st = unsupported(r, key_at, err, "split behavior", v);
                goto out;
            }
        } else if (sg__str_is(k, "pattern")) {
            bool first_kind = true;
            SG_TRY(sg__scan_open(&r->j, '{', err));
            SG_TRY(sg__scan_more(&r->j, '}', &first_kind, &more, err));
            if (more) {
                SG_TRY(sg__scan_key(&r->j, &k, err));
                literal = sg__str_is(k, "String");
                if (!literal && !sg__str_is(k, "Regex")) {
                    st = unsupported(r, key_at, err, "split pattern", k);
                    goto out;
                }
                SG_TRY(sg__scan_string(&r->j, &v, err));
                SG_TRY(sg_buf_add(&regex, v.s, v.n, err));
                got = true;
                SG_TRY(sg__scan_more(&r->j, '}', &first_kind, &more, err));
            }
            if (more || !got) {
                st = sg__scan_fail(&r->j, key_at, SG_E_INPUT, err,
                                   "expected {\"Regex\": ...} or {\"String\": ...}");
                goto out;
            }
        } else {
            st = unsupported(r, key_at, err, "split key", k);
            goto out;
        }
    }
    if (!got) {
        st = sg__scan_fail(&r->j, at, SG_E_INPUT, err, "a split without a pattern");
        goto out;
    }
    if (removed != invert) {
        st = sg__scan_fail(&r->j, at, SG_E_UNSUPPORTED, err,
                           "split with behavior \"%s\" and invert %s is not supported",
                           removed ? "Removed" : "Isolated", invert ? "true" : "false");
        goto out;
    }
    SG_TRY(add_split(r, regex.data, regex.len, literal, removed, at, err));
out:
    sg_buf_free(&regex);
    return st;
}

static enum sg_status read_byte_level(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more, use_regex = true, ignored;
    const char *at = r->j.p;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *key_at = r->j.p;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (sg__str_is(k, "type"))
            SG_TRY(sg__scan_skip(&r->j, err));
        else if (sg__str_is(k, "add_prefix_space"))
            SG_TRY(need_false(r, "pre_tokenizer ByteLevel add_prefix_space", err));
        else if (sg__str_is(k, "use_regex"))
            SG_TRY(sg__scan_bool(&r->j, &use_regex, err));
        else if (sg__str_is(k, "trim_offsets")) /* offsets only */
            SG_TRY(sg__scan_bool(&r->j, &ignored, err));
        else
            return unsupported(r, key_at, err, "ByteLevel key", k);
    }
    r->byte_level = true;
    if (use_regex) SG_TRY(add_split(r, sg__gpt2_regex, strlen(sg__gpt2_regex), false, false, at, err));
out:
    return st;
}

static enum sg_status read_digits(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more, individual = false;
    const char *at = r->j.p;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *key_at = r->j.p;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (sg__str_is(k, "type"))
            SG_TRY(sg__scan_skip(&r->j, err));
        else if (sg__str_is(k, "individual_digits"))
            SG_TRY(sg__scan_bool(&r->j, &individual, err));
        else
            return unsupported(r, key_at, err, "Digits key", k);
    }
    SG_TRY(add_split(r, individual ? "\\p{N}" : "\\p{N}+", individual ? 5 : 6, false, false, at, err));
out:
    return st;
}

static enum sg_status read_pre_tokenizer(struct reader *r, struct sg_err *err) {
    char type[32];
    if (sg__scan_null(&r->j)) return SG_OK; /* the missing ByteLevel is told at the end */
    const char *at = r->j.p;
    enum sg_status st = peek_type(r, type, sizeof type, err);
    if (st != SG_OK) return st;
    if (!strcmp(type, "Sequence")) return each_of(r, "pretokenizers", read_pre_tokenizer, err);
    if (r->byte_level)
        return sg__scan_fail(&r->j, at, SG_E_UNSUPPORTED, err,
                             "pre_tokenizer \"%s\" after ByteLevel is not supported", type);
    if (!strcmp(type, "ByteLevel")) return read_byte_level(r, err);
    if (!strcmp(type, "Split")) return read_split(r, err);
    if (!strcmp(type, "Digits")) return read_digits(r, err);
    return unsupported(r, at, err, "pre_tokenizer", (struct sg__str){type, strlen(type)});
}

/* One piece of a template: {"Sequence": {...}} or {"SpecialToken": {"id": "<|endoftext|>", ...}}. */
static enum sg_status read_template_piece(struct reader *r, bool *seen_text, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more, first_in = true, more_in;
    struct sg__str k, v;
    const char *at = r->j.p;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
    if (!more) return sg__scan_fail(&r->j, at, SG_E_INPUT, err, "an empty piece in a template");
    SG_TRY(sg__scan_key(&r->j, &k, err));
    if (sg__str_is(k, "Sequence")) {
        *seen_text = true;
        SG_TRY(sg__scan_skip(&r->j, err));
    } else if (sg__str_is(k, "SpecialToken")) {
        SG_TRY(sg__scan_open(&r->j, '{', err));
        for (;;) {
            SG_TRY(sg__scan_more(&r->j, '}', &first_in, &more_in, err));
            if (!more_in) break;
            SG_TRY(sg__scan_key(&r->j, &k, err));
            if (!sg__str_is(k, "id")) {
                SG_TRY(sg__scan_skip(&r->j, err));
                continue;
            }
            SG_TRY(sg__scan_string(&r->j, &v, err));
            int32_t id = sg__tokenizer_find(r->tok, v.s, v.n);
            if (id < 0) return unsupported(r, at, err, "a template's token outside the vocabulary,", v);
            struct sg_token_ids *ids = *seen_text ? &r->tok->after : &r->tok->before;
            SG_TRY(SG_GROW(&ids->data, &ids->cap, ids->len + 1, "template", err));
            ids->data[ids->len++] = id;
        }
    } else {
        return unsupported(r, at, err, "template piece", k);
    }
    SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
    if (more) return sg__scan_fail(&r->j, r->j.p, SG_E_INPUT, err, "a template piece with two kinds");
out:
    return st;
}

static enum sg_status read_template(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more, seen_text = false;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (!sg__str_is(k, "single")) { /* type, pair, special_tokens */
            SG_TRY(sg__scan_skip(&r->j, err));
            continue;
        }
        bool first_piece = true, piece;
        SG_TRY(sg__scan_open(&r->j, '[', err));
        for (;;) {
            SG_TRY(sg__scan_more(&r->j, ']', &first_piece, &piece, err));
            if (!piece) break;
            SG_TRY(read_template_piece(r, &seen_text, err));
        }
    }
out:
    return st;
}

static enum sg_status read_post_processor(struct reader *r, struct sg_err *err) {
    char type[32];
    if (sg__scan_null(&r->j)) return SG_OK;
    const char *at = r->j.p;
    enum sg_status st = peek_type(r, type, sizeof type, err);
    if (st != SG_OK) return st;
    if (!strcmp(type, "Sequence")) return each_of(r, "processors", read_post_processor, err);
    if (!strcmp(type, "ByteLevel")) return sg__scan_skip(&r->j, err); /* offsets only */
    if (!strcmp(type, "TemplateProcessing")) return read_template(r, err);
    return unsupported(r, at, err, "post_processor", (struct sg__str){type, strlen(type)});
}

/* ---- added tokens ------------------------------------------------------------------------------------- */

static enum sg_status read_added_token(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__added a = {.id = -1};
    bool first = true, more;
    sg__scan_peek(&r->j);
    const char *at = r->j.p;
    int64_t id = -1;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k, v;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *key_at = r->j.p;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        bool *flag = sg__str_is(k, "special")       ? &a.special
                     : sg__str_is(k, "normalized")  ? &a.normalized
                     : sg__str_is(k, "lstrip")      ? &a.lstrip
                     : sg__str_is(k, "rstrip")      ? &a.rstrip
                     : sg__str_is(k, "single_word") ? &a.single_word
                                                    : NULL;
        if (flag) {
            SG_TRY(sg__scan_bool(&r->j, flag, err));
        } else if (sg__str_is(k, "id")) {
            SG_TRY(sg__scan_int(&r->j, 0, SG__MAX_ID, &id, err));
        } else if (sg__str_is(k, "content")) {
            SG_TRY(sg__scan_string(&r->j, &v, err));
            free(a.content);
            a.content = NULL;
            SG_TRY(SG_NEW(&a.content, v.n + 1, "added token", err));
            memcpy(a.content, v.s, v.n);
            a.len = v.n;
        } else {
            st = unsupported(r, key_at, err, "added token key", k);
            goto out;
        }
    }
    if (id < 0 || !a.content || !a.len) {
        st = sg__scan_fail(&r->j, at, SG_E_INPUT, err, "an added token needs an id and a content");
        goto out;
    }
    a.id = (int32_t)id;
    SG_TRY(SG_GROW(&r->added, &r->cap_added, r->n_added + 1, "added tokens", err));
    r->added[r->n_added++] = a;
    a.content = NULL;
out:
    free(a.content);
    return st;
}

static enum sg_status read_added_tokens(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    SG_TRY(sg__scan_open(&r->j, '[', err));
    for (;;) {
        SG_TRY(sg__scan_more(&r->j, ']', &first, &more, err));
        if (!more) break;
        SG_TRY(read_added_token(r, err));
    }
out:
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
        if (known < 0) SG_TRY(add_token(r, (struct sg__str){a->content, a->len}, a->id, r->j.p, err));
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

static enum sg_status read_top(struct reader *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    SG_TRY(sg__scan_open(&r->j, '{', err));
    for (;;) {
        struct sg__str k;
        SG_TRY(sg__scan_more(&r->j, '}', &first, &more, err));
        if (!more) break;
        const char *key_at = r->j.p;
        SG_TRY(sg__scan_key(&r->j, &k, err));
        if (sg__str_is(k, "version")) {
            SG_TRY(sg__scan_skip(&r->j, err));
        } else if (sg__str_is(k, "truncation") || sg__str_is(k, "padding")) {
            SG_TRY(need_null(r, k.s[0] == 't' ? "truncation" : "padding", err));
        } else if (sg__str_is(k, "added_tokens")) {
            SG_TRY(read_added_tokens(r, err));
        } else if (sg__str_is(k, "normalizer")) {
            SG_TRY(read_normalizer(r, err));
        } else if (sg__str_is(k, "pre_tokenizer")) {
            SG_TRY(read_pre_tokenizer(r, err));
        } else if (sg__str_is(k, "decoder")) {
            SG_TRY(read_decoder(r, err));
        } else if (sg__str_is(k, "post_processor")) { /* names added tokens: read when they are known */
            sg__scan_peek(&r->j);
            r->post_at = r->j.p;
            SG_TRY(sg__scan_skip(&r->j, err));
        } else if (sg__str_is(k, "model")) {
            if (r->model_at) return sg__scan_fail(&r->j, key_at, SG_E_INPUT, err, "\"model\" stands twice");
            r->model_at = key_at;
            SG_TRY(read_model(r, err));
        } else {
            return unsupported(r, key_at, err, "key", k);
        }
    }
    SG_TRY(sg__scan_finish(&r->j, err));
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
    sg__scan_init(&r.j, text, n, where, 1);
    sg__byte_map_init(&r.map);
    if (n > UINT32_MAX / 2) return sg_fail(err, SG_E_UNSUPPORTED, "%s: larger than 2 GiB", where);
    if (!sg_utf8_valid(text, n, &bad))
        return sg__scan_fail(&r.j, text + bad, SG_E_INPUT, err, "invalid UTF-8");
    tok->digest = sg_digest_bytes(text, n);
    SG_TRY(read_top(&r, err));
    SG_TRY(sg__unicode_init(&tok->unicode, err));
    SG_TRY(compile_splits(&r, err));
    SG_TRY(place_added(&r, err));
    if (r.post_at) {
        r.j.p = r.post_at;
        SG_TRY(read_post_processor(&r, err));
    }
out:
    for (size_t i = 0; i < r.n_added; i++) free(r.added[i].content);
    free(r.added);
    for (int i = 0; i < r.n_splits; i++) sg_buf_free(&r.splits[i].regex);
    free(r.merges);
    sg_buf_free(&r.joined);
    sg__scan_free(&r.j);
    return st;
}

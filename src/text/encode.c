/* Encoding: added tokens in trusted spans, NFC, words, cache, BPE. */
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- word cache ---------------------------------------------------------------------------------------
 * Words of at most 32 bytes and 7 ids, in sets of two entries of one cache line each: the newer first, the
 * older overwritten. 1 MiB in all. A key is the word's bytes read as (overlapping) 8-byte pieces, which with
 * the length is one-to-one. */
enum { KEY_BYTES = 32, ENTRY_IDS = 7, CACHE_SETS = 8192 };

struct key {
    uint64_t k[4];
};
struct entry {
    struct key key;
    int32_t ids[ENTRY_IDS];
    uint16_t len; /* 0 = empty */
    uint16_t n;
};

/* Trusted bytes [from, to); in order, apart from each other. */
struct range {
    size_t from, to;
};

struct sg_encoder {
    struct entry *cache; /* [2 * CACHE_SETS] */
    struct sg__pre_scratch pre;
    struct sg__bpe_scratch bpe;
    struct sg__nfc nfc;
    struct sg_buf text; /* the spans joined */
    struct sg_buf name; /* one word spelled as tokens are, for ignore_merges */
    struct range *trusted, *mapped;
    size_t n_trusted, cap_trusted, n_mapped, cap_mapped;
};

enum sg_status sg_encoder_new(const struct sg_tokenizer *tok, struct sg_encoder **out, struct sg_err *err) {
    (void)tok;
    enum sg_status st = SG_OK;
    struct sg_encoder *e = NULL;
    void *cache;
    SG_TRY(SG_NEW(&e, 1, "encoder", err));
    SG_TRY(sg_new_aligned(&cache, sizeof(struct entry) * 2 * CACHE_SETS, "word cache", err));
    e->cache = cache;
    SG_TRY(sg__pre_scratch_init(&e->pre, err));
    *out = e;
    e = NULL;
out:
    sg_encoder_free(e);
    return st;
}

void sg_encoder_free(struct sg_encoder *e) {
    if (!e) return;
    free(e->cache);
    sg__pre_scratch_free(&e->pre);
    sg__bpe_scratch_free(&e->bpe);
    sg__nfc_free(&e->nfc);
    sg_buf_free(&e->text);
    sg_buf_free(&e->name);
    free(e->trusted);
    free(e->mapped);
    free(e);
}

static inline uint64_t load64(const char *s) {
    uint64_t v;
    memcpy(&v, s, 8);
    return v;
}

static inline uint64_t load32(const char *s) {
    uint32_t v;
    memcpy(&v, s, 4);
    return v;
}

/* 1 <= n <= KEY_BYTES; reads inside s[0..n) only. */
static inline uint64_t make_key(const char *s, size_t n, struct key *key) {
    uint64_t a, b = 0, c = 0, d = 0;
    if (n >= 8) {
        a = load64(s);
        b = load64(s + n - 8);
        if (n > 16) {
            c = load64(s + 8);
            d = load64(s + n - 16);
        }
    } else if (n >= 4) {
        a = load32(s) | load32(s + n - 4) << 32;
    } else {
        a = (uint64_t)(unsigned char)s[0] | (uint64_t)(unsigned char)s[n / 2] << 8 |
            (uint64_t)(unsigned char)s[n - 1] << 16;
    }
    *key = (struct key){{a, b, c, d}};
    uint64_t h = (a + n) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32 ^ b) * 0xBF58476D1CE4E5B9u;
    if (n > 16) h = (h ^ h >> 32 ^ c ^ (d << 1 | d >> 63)) * 0x94D049BB133111EBu;
    return h;
}

static inline bool key_equal(const struct entry *e, const struct key *key, size_t n) {
    return e->len == n && e->key.k[0] == key->k[0] && e->key.k[1] == key->k[1] && e->key.k[2] == key->k[2] &&
           e->key.k[3] == key->k[3];
}

/* What one call of encode carries through the layers. */
struct job {
    const struct sg_tokenizer *tok;
    struct sg_encoder *e;
    struct sg_token_ids *ids;
};

/* ---- one word ----------------------------------------------------------------------------------------- */

/* With ignore_merges a word that is a token by itself is that token, whatever the merges say. */
static enum sg_status whole_word(const struct job *j, const char *word, size_t n, int32_t *id,
                                 struct sg_err *err) {
    struct sg__byte_map map;
    enum sg_status st = SG_OK;
    sg__byte_map_init(&map);
    sg_buf_clear(&j->e->name);
    for (size_t i = 0; i < n; i++) {
        char c[4];
        SG_TRY(sg_buf_add(&j->e->name, c, sg__utf8_put(map.cp[(unsigned char)word[i]], c), err));
    }
    *id = sg__tokenizer_find(j->tok, j->e->name.data, j->e->name.len);
    if (*id >= 0 && (j->tok->tokens[*id].flags & (SG__TOKEN_SPECIAL | SG__TOKEN_OUTSIDE))) *id = -1;
out:
    return st;
}

static enum sg_status encode_word(const struct job *j, const char *word, size_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_token_ids *ids = j->ids;
    SG_TRY(SG_GROW(&ids->data, &ids->cap, ids->len + n, "token ids", err));
    int32_t *out = ids->data + ids->len;
    size_t count;
    if (j->tok->ignore_merges) {
        int32_t id;
        SG_TRY(whole_word(j, word, n, &id, err));
        if (id >= 0) {
            out[0] = id;
            ids->len++;
            goto out;
        }
    }
    SG_TRY(sg__bpe_word(&j->tok->bpe, &j->e->bpe, word, n, out, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!(j->tok->tokens[out[i]].flags & SG__TOKEN_SPECIAL)) continue;
        /* Merges that spell a control token: plain text must not become one. Bytes are always plain. */
        count = 0;
        for (size_t k = 0; k < n; k++) {
            int32_t id = j->tok->bpe.byte_id[(unsigned char)word[k]];
            if (id >= 0) out[count++] = id;
        }
        break;
    }
    ids->len += count;
out:
    return st;
}

static enum sg_status word(void *ctx, const char *s, size_t n, struct sg_err *err) {
    const struct job *j = ctx;
    if (n > KEY_BYTES) return encode_word(j, s, n, err);
    struct key key;
    struct entry *set = j->e->cache + 2 * (make_key(s, n, &key) >> 51);
    struct sg_token_ids *ids = j->ids;
    if (ids->cap - ids->len < ENTRY_IDS + 1) {
        enum sg_status st = SG_GROW(&ids->data, &ids->cap, ids->len + ENTRY_IDS + 1, "token ids", err);
        if (st != SG_OK) return st;
    }
    const struct entry *hit = key_equal(&set[0], &key, n)   ? &set[0]
                              : key_equal(&set[1], &key, n) ? &set[1]
                                                            : NULL;
    if (hit) {
        memcpy(ids->data + ids->len, hit->ids, sizeof hit->ids); /* all of them: no branch on how many */
        ids->len += hit->n;
        return SG_OK;
    }
    size_t start = ids->len;
    enum sg_status st = encode_word(j, s, n, err);
    if (st != SG_OK) return st;
    size_t count = ids->len - start;
    if (count > ENTRY_IDS) return SG_OK;
    set[1] = set[0];
    set[0].key = key;
    set[0].len = (uint16_t)n;
    set[0].n = (uint16_t)count;
    memcpy(set[0].ids, ids->data + start, count * sizeof *ids->data);
    return SG_OK;
}
_Static_assert(CACHE_SETS == 1 << (64 - 51), "the set is the hash's top bits");

/* Text without added tokens, already normalised. */
static enum sg_status encode_plain(struct job *j, const char *s, size_t n, struct sg_err *err) {
    const struct sg__pre *pre = &j->tok->pre;
    if (pre->n == 1 && pre->split[0].max_digits) { /* the usual case, without the walk */
        int digits = pre->split[0].max_digits;
        for (size_t i = 0; i < n;) {
            size_t end = sg__word_end(&j->tok->unicode, digits, s, n, i);
            enum sg_status st = word(j, s + i, end - i, err);
            if (st != SG_OK) return st;
            i = end;
        }
        return SG_OK;
    }
    return sg__pre_words(pre, &j->tok->unicode, &j->e->pre, s, n, word, j, err);
}

/* ---- added tokens ------------------------------------------------------------------------------------- */

/* The leftmost and there longest item in s[from..to); false when there is none. */
static bool find_added(const struct sg__added_set *set, const char *s, size_t from, size_t to, size_t *at,
                       const struct sg__added **item) {
    while (from < to) {
        if (set->only >= 0) {
            const char *p = memchr(s + from, set->only, to - from);
            if (!p) return false;
            from = (size_t)(p - s);
        }
        unsigned char c = (unsigned char)s[from];
        for (uint32_t i = set->first[c]; i < set->first[c + 1]; i++) {
            const struct sg__added *a = &set->items[i];
            if (a->len > to - from || memcmp(a->content, s + from, a->len) != 0) continue;
            *at = from;
            *item = a;
            return true;
        }
        from++;
    }
    return false;
}

/* Flags of the characters around an offset; 0 at the ends. */
static uint8_t flags_before(const struct sg_tokenizer *tok, const char *s, size_t at, size_t *begin) {
    if (!at) return 0;
    do at--;
    while (at && ((unsigned char)s[at] & 0xC0) == 0x80);
    unsigned len;
    *begin = at;
    return sg__flags(&tok->unicode, sg_utf8_at((const unsigned char *)s + at, &len));
}

static uint8_t flags_after(const struct sg_tokenizer *tok, const char *s, size_t n, size_t at, size_t *end) {
    if (at >= n) return 0;
    unsigned len;
    uint8_t f = sg__flags(&tok->unicode, sg_utf8_at((const unsigned char *)s + at, &len));
    *end = at + len;
    return f;
}

struct text {
    const char *s;
    size_t n;
    const struct range *trusted; /* [n_trusted], rising */
    size_t n_trusted;
};
/* What becomes of s[from..to) of a text, which has no added token of the set that was looked for. */
typedef enum sg_status piece_fn(struct job *j, const struct text *t, size_t from, size_t to,
                                struct sg_err *err);

/* Calls plain() for what lies between added tokens of `set` that stand whole inside trusted ranges of the text,
 * and appends their ids. Mirrors HuggingFace's AddedVocabulary::find_matches: single_word discards a match
 * beside a word character, lstrip and rstrip take white space along. */
static enum sg_status split_added(struct job *j, const struct sg__added_set *set, const struct text *t,
                                  piece_fn *plain, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *s = t->s;
    size_t done = 0, pos = 0, other;
    for (size_t r = 0; r < t->n_trusted && set->n; r++) {
        if (pos < t->trusted[r].from) pos = t->trusted[r].from;
        const struct sg__added *a;
        size_t start;
        while (find_added(set, s, pos, t->trusted[r].to, &start, &a)) {
            size_t stop = pos = start + a->len;
            if (a->single_word &&
                ((flags_before(j->tok, s, start, &other) | flags_after(j->tok, s, t->n, stop, &other)) &
                 SG__WORD))
                continue;
            if (a->lstrip)
                while (start > done && (flags_before(j->tok, s, start, &other) & SG__CLASS_MASK) == SG__SPACE)
                    start = other;
            if (a->rstrip)
                while ((flags_after(j->tok, s, t->n, stop, &other) & SG__CLASS_MASK) == SG__SPACE)
                    stop = other;
            if (start > done) SG_TRY(plain(j, t, done, start, err));
            SG_TRY(SG_GROW(&j->ids->data, &j->ids->cap, j->ids->len + 1, "token ids", err));
            j->ids->data[j->ids->len++] = a->id;
            done = stop;
        }
    }
    if (done < t->n) SG_TRY(plain(j, t, done, t->n, err));
out:
    return st;
}

static enum sg_status plain_piece(struct job *j, const struct text *t, size_t from, size_t to,
                                  struct sg_err *err) {
    return encode_plain(j, t->s + from, to - from, err);
}

/* Where source offset `at` went: a border inside a rewritten stretch moves to the stretch's end (up) or
 * beginning, so that a stretch with one untrusted character counts as untrusted. */
static size_t map_offset(const struct sg__nfc *w, size_t at, bool up) {
    size_t lo = 0, hi = w->n_edits; /* the last edit that begins before `at` */
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (w->edits[mid].from < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo) return at;
    const struct sg__edit *e = &w->edits[lo - 1];
    if (at >= e->from_end) return e->to_end + (at - e->from_end);
    return up ? e->to_end : e->to;
}

/* A piece between raw added tokens: normalise, look for added tokens of normalised text, encode the rest. */
static enum sg_status encode_piece(struct job *j, const struct text *t, size_t from, size_t to,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_encoder *e = j->e;
    const char *text = t->s + from;
    size_t n = to - from;
    bool rewritten = j->tok->nfc && sg__nfc_quick(&j->tok->unicode, text, n) < n;
    if (rewritten) {
        SG_TRY(sg__nfc(&j->tok->unicode, &e->nfc, text, n, err));
        text = e->nfc.text.data;
        n = e->nfc.text.len;
    }
    if (!j->tok->normalized.n || !t->n_trusted) return encode_plain(j, text, n, err);
    e->n_mapped = 0;
    for (size_t r = 0; r < t->n_trusted; r++) {
        const struct range *of = &t->trusted[r];
        size_t a = of->from < from ? from : of->from, b = of->to > to ? to : of->to;
        if (a >= b) continue;
        a -= from;
        b -= from;
        if (rewritten) {
            a = map_offset(&e->nfc, a, true);
            b = map_offset(&e->nfc, b, false);
            if (a >= b) continue;
        }
        SG_TRY(SG_GROW(&e->mapped, &e->cap_mapped, e->n_mapped + 1, "trusted ranges", err));
        e->mapped[e->n_mapped++] = (struct range){a, b};
    }
    const struct text normal = {text, n, e->mapped, e->n_mapped};
    SG_TRY(split_added(j, &j->tok->normalized, &normal, plain_piece, err));
out:
    return st;
}

/* ---- all spans ---------------------------------------------------------------------------------------- */

enum sg_status sg_tokenizer_encode(const struct sg_tokenizer *tok, struct sg_encoder *e,
                                   const struct sg_span *spans, size_t n_spans, struct sg_token_ids *ids,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t total = 0, bad, was = ids->len;
    e->n_trusted = 0;
    for (size_t i = 0; i < n_spans; i++) {
        if (!sg_utf8_valid(spans[i].text, spans[i].len, &bad))
            return sg_fail(err, SG_E_INPUT, "text is not valid UTF-8 at byte %zu", total + bad + 1);
        if (spans[i].trusted && spans[i].len) {
            struct range *last = e->n_trusted ? &e->trusted[e->n_trusted - 1] : NULL;
            if (last && last->to == total) {
                last->to += spans[i].len;
            } else {
                SG_TRY(SG_GROW(&e->trusted, &e->cap_trusted, e->n_trusted + 1, "trusted ranges", err));
                e->trusted[e->n_trusted++] = (struct range){total, total + spans[i].len};
            }
        }
        if (!sg_add_size(total, spans[i].len, &total))
            return sg_fail(err, SG_E_INPUT, "the text is too long");
    }
    const char *text = n_spans ? spans[0].text : "";
    if (n_spans > 1) {
        sg_buf_clear(&e->text);
        for (size_t i = 0; i < n_spans; i++) SG_TRY(sg_buf_add(&e->text, spans[i].text, spans[i].len, err));
        text = e->text.data;
    }
    struct job j = {tok, e, ids};
    const struct text whole = {text, total, e->trusted, e->n_trusted};
    SG_TRY(split_added(&j, &tok->raw, &whole, encode_piece, err));
out:
    if (st != SG_OK) ids->len = was;
    return st;
}

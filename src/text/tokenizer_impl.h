/* tokenizer_impl - what the reader of tokenizer.json (tokenizer_json.c, vocab.c) fills and the encoder
 * (encode.c) uses. */
#ifndef SG_TEXT_TOKENIZER_IMPL_H
#define SG_TEXT_TOKENIZER_IMPL_H

#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

enum {
    SG__TOKEN_PRESENT = 1,
    SG__TOKEN_ADDED = 2,   /* listed in added_tokens */
    SG__TOKEN_SPECIAL = 4, /* and marked special there */
    SG__TOKEN_OUTSIDE = 8, /* and not in the model's vocabulary: no word is it */
};
enum { SG__MAX_ID = (1 << 22) - 1 }; /* a lying id must not allocate the machine away */

/* One token: its content as the file spells it (bytes mapped to printable characters), and its bytes. */
struct sg__token {
    uint32_t name, name_len;   /* in names */
    uint32_t bytes, bytes_len; /* in bytes */
    uint32_t flags;
};

/* Added tokens that one pass looks for, by first byte, longer ones first. */
struct sg__added {
    char *content; /* owned; normalised when `normalized` */
    size_t len;
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
};
struct sg__added_set {
    struct sg__added *items; /* owned, sorted by (first byte, length descending, content) */
    size_t n, cap;
    uint32_t first[257]; /* items of first byte c: first[c] .. first[c + 1] */
    int only;            /* the one first byte there is, or -1 */
};

struct sg__name_slot {
    uint32_t hash; /* 0 = empty */
    int32_t id;
};

struct sg_tokenizer {
    struct sg__unicode unicode;
    struct sg__pre pre;
    struct sg__bpe bpe;
    bool nfc, ignore_merges;
    struct sg__token *tokens; /* [size] */
    size_t size, cap_tokens;
    struct sg_buf names, bytes;
    struct sg__name_slot *slots; /* [1 << slot_bits], at most half full */
    unsigned slot_bits;
    size_t n_names;
    struct sg__added_set raw, normalized; /* matched before, and after, normalisation */
    struct sg_token_ids before, after;
};

/* Id of the token spelled name[0..n), or -1. */
int32_t sg__tokenizer_find(const struct sg_tokenizer *tok, const char *name, size_t n);

/* GPT-2's map between bytes and printable characters: the 188 printable bytes stand for themselves, the
 * others for U+0100 and on, in order. */
struct sg__byte_map {
    uint16_t cp[256];
    int16_t byte[324]; /* -1: no byte */
};
void sg__byte_map_init(struct sg__byte_map *m);

/* Enters token `id`, spelled name[0..n). SG_E_INPUT when the name or the id is taken. */
enum sg_status sg__vocab_add(struct sg_tokenizer *tok, const struct sg__byte_map *map, const char *name,
                             size_t n, int32_t id, struct sg_err *err);

/* Reads the whole file into a zeroed tok; on failure tok is half-built, to be closed. */
enum sg_status sg__tokenizer_read(struct sg_tokenizer *tok, const char *text, size_t n, const char *where,
                                  struct sg_err *err);

#endif

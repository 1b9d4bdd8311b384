/* tokenizer - byte-level BPE as a HuggingFace `tokenizer.json` describes it. Everything comes from the file:
 * vocabulary, merges, added tokens, normaliser (none or NFC), the pre-tokenizer's expressions. What the file
 * asks for and we cannot do is refused by name when it is opened.
 *
 * Text comes in spans. In a trusted span (our own chat wrapper) added tokens are control tokens, matched
 * first, leftmost and longest, as HuggingFace does it. In an untrusted span (whatever a user wrote) nothing
 * gives an added token: `<|im_end|>` in a question is eight ordinary characters and more. Only that matching
 * looks at spans; ordinary text on both sides of a border is normalised and cut into words as one text.
 *
 * A tokenizer is read-only after open and may be shared by threads; whatever changes while encoding (word
 * cache, buffers) lives in an encoder, one a thread. */
#ifndef SG_TEXT_TOKENIZER_H
#define SG_TEXT_TOKENIZER_H

#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_tokenizer; /* owned by the caller of open */
struct sg_encoder;   /* borrows its tokenizer; owned by the caller of new */

struct sg_span {
    const char *text; /* UTF-8, borrowed; may hold NUL */
    size_t len;       /* bytes */
    bool trusted;
};

/* Token ids; zeroed is empty. Owns data. */
struct sg_token_ids {
    int32_t *data;
    size_t len, cap;
};
void sg_token_ids_free(struct sg_token_ids *ids);

/* path: tokenizer.json, or the directory that holds one. SG_E_INPUT for a broken file (with line and column),
 * SG_E_UNSUPPORTED for what this code cannot do, by the name the file gives it. */
enum sg_status sg_tokenizer_open(const char *path, struct sg_tokenizer **out, struct sg_err *err);
/* The same from text[0..n) in memory; `where` names it in errors. */
enum sg_status sg_tokenizer_parse(const char *text, size_t n, const char *where, struct sg_tokenizer **out,
                                  struct sg_err *err);
void sg_tokenizer_close(struct sg_tokenizer *tok); /* NULL accepted */

enum sg_status sg_encoder_new(const struct sg_tokenizer *tok, struct sg_encoder **out, struct sg_err *err);
void sg_encoder_free(struct sg_encoder *enc); /* NULL accepted */

/* Appends the ids of the spans, taken as one text, to *ids. Nothing is added around them (see the wrap ids).
 * SG_E_INPUT when a span is not valid UTF-8. Not thread-safe in enc. */
enum sg_status sg_tokenizer_encode(const struct sg_tokenizer *tok, struct sg_encoder *enc,
                                   const struct sg_span *spans, size_t n_spans, struct sg_token_ids *ids,
                                   struct sg_err *err);

/* Appends the text of ids to *out; bytes that are not UTF-8 become U+FFFD as HuggingFace's lossy decoding
 * does it (one for each maximal ill-formed part). Ids without a token are left out. skip_special leaves out
 * tokens marked special. */
enum sg_status sg_tokenizer_decode(const struct sg_tokenizer *tok, const int32_t *ids, size_t n,
                                   bool skip_special, struct sg_buf *out, struct sg_err *err);

/* The bytes of one token: possibly part of a character. Borrowed from tok. False, and an empty piece, when
 * there is no token of that id. */
bool sg_tokenizer_piece(const struct sg_tokenizer *tok, int32_t id, const char **bytes, size_t *len);
bool sg_tokenizer_is_special(const struct sg_tokenizer *tok, int32_t id);

/* The id of a token by its content as the file writes it ("<|im_end|>", "Ġthe"), or -1. */
int32_t sg_tokenizer_id(const struct sg_tokenizer *tok, const char *content);

/* Largest id + 1: the rows an embedding matrix must have at least. */
int32_t sg_tokenizer_size(const struct sg_tokenizer *tok);

/* Ids that the file's post-processor puts before and after a single text (Qwen3-Embedding appends
 * <|endoftext|>); encode never adds them. Borrowed; lengths may be 0. */
void sg_tokenizer_wrap(const struct sg_tokenizer *tok, const int32_t **before, size_t *n_before,
                       const int32_t **after, size_t *n_after);

/* Appends every ordinary token that answers `word` ("yes"): its text without leading ASCII white space
 * equals word, ASCII letters compared without case. Ascending ids. */
enum sg_status sg_tokenizer_answer_ids(const struct sg_tokenizer *tok, const char *word,
                                       struct sg_token_ids *ids, struct sg_err *err);

#endif

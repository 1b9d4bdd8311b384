/* pretokenize - cuts text into the words that BPE merges inside. What is cut is defined by the regular
 * expressions of tokenizer.json, run by PCRE2 (JIT where the system allows it). The one expression that the
 * Qwen, Llama 3 and GPT-4 families share is recognised letter by letter and cut by a hand-written splitter;
 * tests compare the two on random text. */
#ifndef SG_TEXT_PRETOKENIZE_H
#define SG_TEXT_PRETOKENIZE_H

#include "base/mem.h"
#include "base/status.h"
#include "text/unicode.h"
#include <stdbool.h>
#include <stddef.h>

enum { SG__MAX_SPLITS = 8 };

/* One step: every piece is cut at each match and between matches ("Isolated": both are kept). */
struct sg__split {
    int max_digits; /* > 0: the known expression, with that many digits a word; then code is not used */
    void *code;     /* pcre2_code, owned; NULL when max_digits > 0 */
};
struct sg__pre {
    struct sg__split split[SG__MAX_SPLITS]; /* applied one after the other */
    int n;
};

/* The expression that ByteLevel uses where the file says use_regex (GPT-2's). */
extern const char *const sg__gpt2_regex;

/* Appends one step. `regex` is in the syntax of Oniguruma (what HuggingFace runs); what means something else
 * to PCRE2 is translated, or refused with SG_E_UNSUPPORTED by name. `literal` takes it as plain text. With
 * force_pcre the known expression is not recognised (tests). */
enum sg_status sg__pre_add(struct sg__pre *pre, const struct sg__unicode *u, const char *regex, size_t n,
                           bool literal, bool force_pcre, struct sg_err *err);
void sg__pre_free(struct sg__pre *pre);

/* Per-thread working memory of the PCRE2 steps. */
struct sg__pre_scratch {
    void *match, *context, *stack; /* pcre2_match_data, pcre2_match_context, pcre2_jit_stack */
};
enum sg_status sg__pre_scratch_init(struct sg__pre_scratch *x, struct sg_err *err);
void sg__pre_scratch_free(struct sg__pre_scratch *x);

/* Calls fn for every word of s[0..n) (valid UTF-8) in order; together they are the text. */
typedef enum sg_status sg__word_fn(void *ctx, const char *word, size_t n, struct sg_err *err);
enum sg_status sg__pre_words(const struct sg__pre *pre, const struct sg__unicode *u,
                             const struct sg__pre_scratch *x, const char *s, size_t n, sg__word_fn *fn,
                             void *ctx, struct sg_err *err);

/* The hand-written splitter: end of the word that begins at s[i], i < n. */
size_t sg__word_end(const struct sg__unicode *u, int max_digits, const char *s, size_t n, size_t i);

#endif

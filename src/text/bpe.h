/* bpe - byte pair encoding of one word: the pair of neighbours with the lowest rank is merged, leftmost first
 * among equals, until no pair has a rank. Linear scans for short words, a heap for long ones
 * (n log n: a megabyte of one letter is a word too). */
#ifndef SG_TEXT_BPE_H
#define SG_TEXT_BPE_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct sg__merge {
    int32_t left, right, result; /* token ids */
};

/* Open-addressed table of (left, right) -> (rank, result); at most half full. */
struct sg__bpe_slot {
    uint64_t pair; /* left << 32 | right; UINT64_MAX = empty */
    uint32_t rank;
    int32_t result;
};
struct sg__bpe {
    struct sg__bpe_slot *slots; /* owned */
    unsigned shift;             /* 64 - log2(slots) */
    int32_t byte_id[256];       /* the token of each byte, -1 where the vocabulary has none */
};
/* merges[i] has rank i; of a pair given twice the later counts. byte_id is the caller's to fill. */
enum sg_status sg__bpe_init(struct sg__bpe *b, const struct sg__merge *merges, size_t n, struct sg_err *err);
void sg__bpe_free(struct sg__bpe *b);

/* Working memory for long words; zeroed is empty. Owns everything. */
struct sg__bpe_scratch {
    struct sg__bpe_symbol *symbols;
    size_t cap_symbols;
    struct sg__bpe_item *heap;
    size_t cap_heap;
};
void sg__bpe_scratch_free(struct sg__bpe_scratch *x);

/* Writes the ids of word[0..n) to out, which has room for n; *n_out of them. Bytes without a token are left
 * out, as HuggingFace does without an unknown token. */
enum sg_status sg__bpe_word(const struct sg__bpe *b, struct sg__bpe_scratch *x, const char *word, size_t n,
                            int32_t *out, size_t *n_out, struct sg_err *err);

#endif

#include "text/bpe.h"

#include "base/mem.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_WORD = 40 }; /* symbols up to which scanning beats the heap */
#define NO_RANK UINT32_MAX

static inline size_t slot_of(const struct sg__bpe *b, uint64_t pair) {
    return (size_t)((pair * 0x9E3779B97F4A7C15u ^ pair >> 29) * 0xBF58476D1CE4E5B9u >> b->shift);
}

static inline uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* Rank of the pair, NO_RANK when it does not merge. */
static inline uint32_t rank_of(const struct sg__bpe *b, int32_t left, int32_t right, int32_t *result) {
    uint64_t pair = pair_of(left, right);
    size_t mask = ((size_t)1 << (64 - b->shift)) - 1;
    for (size_t i = slot_of(b, pair);; i = (i + 1) & mask) {
        const struct sg__bpe_slot *s = &b->slots[i];
        if (s->pair == pair) {
            *result = s->result;
            return s->rank;
        }
        if (s->pair == UINT64_MAX) return NO_RANK;
    }
}

enum sg_status sg__bpe_init(struct sg__bpe *b, const struct sg__merge *merges, size_t n, struct sg_err *err) {
    if (n >= (size_t)1 << 30) return sg_fail(err, SG_E_UNSUPPORTED, "more than 2^30 merges");
    unsigned bits = 4;
    while (((size_t)1 << bits) < 2 * n) bits++;
    enum sg_status st = SG_NEW(&b->slots, (size_t)1 << bits, "merge table", err);
    if (st != SG_OK) return st;
    b->shift = 64 - bits;
    size_t mask = ((size_t)1 << bits) - 1;
    for (size_t i = 0; i <= mask; i++) b->slots[i].pair = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t pair = pair_of(merges[i].left, merges[i].right);
        size_t k = slot_of(b, pair);
        while (b->slots[k].pair != UINT64_MAX && b->slots[k].pair != pair) k = (k + 1) & mask;
        b->slots[k] = (struct sg__bpe_slot){pair, (uint32_t)i, merges[i].result};
    }
    return SG_OK;
}

void sg__bpe_free(struct sg__bpe *b) {
    if (!b) return;
    free(b->slots);
    b->slots = NULL;
}

void sg__bpe_scratch_free(struct sg__bpe_scratch *x) {
    if (!x) return;
    free(x->symbols);
    free(x->heap);
    memset(x, 0, sizeof *x);
}

static size_t merge_short(const struct sg__bpe *b, int32_t *ids, size_t n) {
    uint32_t rank[SHORT_WORD]; /* of ids[i] with ids[i + 1] */
    int32_t result[SHORT_WORD];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(b, ids[i], ids[i + 1], &result[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == NO_RANK) break;
        ids[best] = result[best];
        n--;
        for (size_t i = best + 1; i < n; i++) ids[i] = ids[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) {
            rank[i] = rank[i + 1];
            result[i] = result[i + 1];
        }
        if (best + 1 < n) rank[best] = rank_of(b, ids[best], ids[best + 1], &result[best]);
        if (best > 0) rank[best - 1] = rank_of(b, ids[best - 1], ids[best], &result[best - 1]);
    }
    return n;
}

/* A doubly linked list in an array; `rank` is of the pair with the next symbol, NO_RANK when there is none,
 * it does not merge, or the symbol is gone. */
struct sg__bpe_symbol {
    int32_t id, result;
    uint32_t prev, next;
    uint32_t rank;
};
struct sg__bpe_item {
    uint32_t rank, at;
};

static inline bool before(struct sg__bpe_item a, struct sg__bpe_item b) {
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void sift_down(struct sg__bpe_item *heap, size_t n, size_t i) {
    struct sg__bpe_item v = heap[i];
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= n) break;
        if (k + 1 < n && before(heap[k + 1], heap[k])) k++;
        if (!before(heap[k], v)) break;
        heap[i] = heap[k];
        i = k;
    }
    heap[i] = v;
}

static void sift_up(struct sg__bpe_item *heap, size_t i) {
    struct sg__bpe_item v = heap[i];
    while (i && before(v, heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = v;
}

static enum sg_status merge_long(const struct sg__bpe *b, struct sg__bpe_scratch *x, int32_t *ids,
                                 size_t *n_ids, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t n = *n_ids, n_heap = 0;
    const uint32_t none = UINT32_MAX;
    SG_TRY(SG_GROW(&x->symbols, &x->cap_symbols, n, "a long word", err));
    /* One item a pair at first; a merge takes one out and puts at most two in, and there are n - 1 merges. */
    SG_TRY(SG_GROW(&x->heap, &x->cap_heap, 2 * n, "a long word", err));
    struct sg__bpe_symbol *s = x->symbols;
    struct sg__bpe_item *heap = x->heap;
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct sg__bpe_symbol){.id = ids[i],
                                       .prev = i ? (uint32_t)i - 1 : none,
                                       .next = i + 1 < n ? (uint32_t)i + 1 : none,
                                       .rank = NO_RANK};
        if (i + 1 < n) s[i].rank = rank_of(b, ids[i], ids[i + 1], &s[i].result);
        if (s[i].rank != NO_RANK) heap[n_heap++] = (struct sg__bpe_item){s[i].rank, (uint32_t)i};
    }
    for (size_t i = n_heap / 2; i-- > 0;) sift_down(heap, n_heap, i);
    while (n_heap) {
        struct sg__bpe_item top = heap[0];
        heap[0] = heap[--n_heap];
        if (n_heap) sift_down(heap, n_heap, 0);
        struct sg__bpe_symbol *a = &s[top.at];
        if (a->rank != top.rank) continue; /* the pair has changed since */
        struct sg__bpe_symbol *gone = &s[a->next];
        a->id = a->result;
        a->next = gone->next;
        gone->rank = NO_RANK;
        if (a->next != none) s[a->next].prev = top.at;
        a->rank = a->next != none ? rank_of(b, a->id, s[a->next].id, &a->result) : NO_RANK;
        if (a->rank != NO_RANK) {
            heap[n_heap] = (struct sg__bpe_item){a->rank, top.at};
            sift_up(heap, n_heap++);
        }
        if (a->prev != none) {
            struct sg__bpe_symbol *p = &s[a->prev];
            p->rank = rank_of(b, p->id, a->id, &p->result);
            if (p->rank != NO_RANK) {
                heap[n_heap] = (struct sg__bpe_item){p->rank, a->prev};
                sift_up(heap, n_heap++);
            }
        }
    }
    size_t out = 0;
    for (uint32_t i = 0; i != none; i = s[i].next) ids[out++] = s[i].id;
    *n_ids = out;
out:
    return st;
}

enum sg_status sg__bpe_word(const struct sg__bpe *b, struct sg__bpe_scratch *x, const char *word, size_t n,
                            int32_t *out, size_t *n_out, struct sg_err *err) {
    if (n >= INT32_MAX) return sg_fail(err, SG_E_INPUT, "a word of %zu bytes is too long", n);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t id = b->byte_id[(unsigned char)word[i]];
        if (id >= 0) out[count++] = id;
    }
    enum sg_status st = SG_OK;
    if (count <= SHORT_WORD)
        count = merge_short(b, out, count);
    else
        st = merge_long(b, x, out, &count, err);
    if (st == SG_OK) *n_out = count;
    return st;
}

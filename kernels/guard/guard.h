/* guard - a backend that wraps a host backend and breaks callers, and backends, that break contracts:
 * - every allocation lies between canaries; every pointer of an operator must lie, with its whole extent,
 *   inside one allocation;
 * - outputs, scratch and fresh memory are filled with a NaN pattern; after the call no output may still hold
 *   it, and no input may hold it before: memory that nobody wrote is neither read nor left;
 * - inputs are hashed and must not have changed; outputs overlap nothing (but what the contract allows);
 * - a fetch arrives at its wait, with the bytes as they were at the fetch; until then its destination holds
 *   the NaN pattern: who reads it too early is found out;
 * - ids, positions, slots and pages are in range, host copies equal the device's arrays, slots of one call
 *   differ, and keys that attention reads were written.
 * All of it is SG_E_INTERNAL, naming operator and argument. Private to kernels/guard. */
#ifndef SG_KERNELS_GUARD_H
#define SG_KERNELS_GUARD_H

#include "kernels/backend.h"
#include "kernels/host.h"

/* A quiet NaN that no arithmetic makes by itself; as an integer far out of any range. */
static const uint32_t SG__POISON = 0xFFE5A55Au;
static const unsigned char SG__CANARY = 0xC5;
enum { SG__GUARD_ZONE = 128, SG__GUARD_RANGES = 12 };

struct sg__guard_block { /* one allocation of the caller's */
    struct sg__guard_block *next;
    char *base; /* zone, the caller's bytes, zone */
    size_t bytes;
    char what[40];
};
struct sg__guard_kv { /* beside each pool: when each slot was written */
    struct sg__guard_kv *next;
    const struct sg_kv *kv;
    uint32_t *stamp; /* [layers][pages * SG_PAGE_TOKENS]: number of the call that wrote it, 0 = never */
};
struct sg__guard_fetch { /* under way */
    struct sg__guard_fetch *next;
    void *dst;
    size_t bytes;
    char data[]; /* [bytes] */
};
struct sg__guard_dev {
    struct sg_dev base;
    struct sg_dev *inner;
    struct sg__guard_block *blocks;
    struct sg__guard_kv *kvs;
    struct sg__guard_fetch *fetches[SG_FETCH_SLOTS];
    uint32_t calls;
};

enum sg__guard_use {
    SG__READ,   /* must hold written values, and must not change */
    SG__RAW,    /* the same, but any bits are fine */
    SG__WRITE,  /* poisoned before, whole afterwards */
    SG__UPDATE, /* read, then written */
};
struct sg__guard_range {
    const char *name;
    const void *p;
    void *out; /* p with SG__WRITE, else NULL */
    size_t bytes;
    enum sg__guard_use use;
    uint64_t hash;
};
struct sg__guard_call {
    struct sg__guard_dev *g;
    const char *op;
    struct sg__guard_range ranges[SG__GUARD_RANGES];
    int n;
};

/* A pointer with its extent, to be checked by enter; NULL is left out (optional arguments). */
void sg__guard_add(struct sg__guard_call *c, const char *name, const void *p, size_t count, size_t size,
                   enum sg__guard_use use);
/* The same for what the operator writes whole: SG__WRITE. */
void sg__guard_out(struct sg__guard_call *c, const char *name, void *p, size_t count, size_t size);
enum sg_status sg__guard_enter(struct sg__guard_call *c, struct sg_err *err);
/* st: what the wrapped operator returned. */
enum sg_status sg__guard_leave(struct sg__guard_call *c, enum sg_status st, struct sg_err *err);
/* The extent [p, p + bytes) inside one allocation. */
enum sg_status sg__guard_inside(const struct sg__guard_dev *g, const char *op, const char *name,
                                const void *p, size_t bytes, struct sg_err *err);
/* Every x[i] in [0, below). */
enum sg_status sg__guard_values(const struct sg__guard_call *c, const char *name, const int32_t *x, int64_t n,
                                int64_t below, struct sg_err *err);
/* Fills memory with SG__POISON. */
void sg__guard_poison(void *p, size_t bytes);
/* The canaries around every allocation, after operator `op`. */
enum sg_status sg__guard_canaries(const struct sg__guard_dev *g, const char *op, struct sg_err *err);
uint32_t *sg__guard_stamps(const struct sg__guard_dev *g, const struct sg_kv *kv, int32_t layer);

/* The operators, ops.c of this folder. */
enum sg_status sg__guard_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                               float *out, struct sg_err *err);
enum sg_status sg__guard_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                     const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err);
enum sg_status sg__guard_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                     int32_t n, int32_t cols, float eps, void *out, struct sg_err *err);
enum sg_status sg__guard_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                                void *y, struct sg_err *err);
enum sg_status sg__guard_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                                float *logits, struct sg_err *err);
enum sg_status sg__guard_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err);
enum sg_status sg__guard_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a,
                                      struct sg_err *err);
enum sg_status sg__guard_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err);
enum sg_status sg__guard_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                                struct sg_err *err);
enum sg_status sg__guard_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                     int32_t n, int32_t cols, void *out, struct sg_err *err);
enum sg_status sg__guard_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                                struct sg_err *err);
enum sg_status sg__guard_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                                 int32_t vocab, float *out, struct sg_err *err);
enum sg_status sg__guard_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err);

#endif

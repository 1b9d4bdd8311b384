/* plans - which algorithms of a library multiply matrices of one shape, so that a row of the result has the same
 * bits for every number of rows and at every place among them. Nothing is taken on trust: an algorithm is used
 * for a number of rows only after its result for that very number, on random data, was compared bit by bit with
 * the reference's. Host code without a device behind it: rt_cuda.c answers for cuBLASLt, a test for libraries
 * that misbehave. Private to kernels/cuda. */
#ifndef SG_KERNELS_CUDA_PLANS_H
#define SG_KERNELS_CUDA_PLANS_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    SG__PLAN_TILE = 64,       /* numbers of rows are multiples of it: SG_RT_GEMM_ROWS */
    SG__PLAN_MAX_ROWS = 4096, /* most rows of one product; the backend cuts what is longer into pieces */
    SG__PLAN_BUCKETS = 7,     /* up to 64, 128, 256, ..., 4096 rows, each with an algorithm of its own */
    SG__PLAN_CANDIDATES = 32, /* most algorithms that are looked at */
};

enum sg__plan_answer {
    SG__PLAN_SAME,    /* every row has the reference's bits */
    SG__PLAN_OTHER,   /* some row has not */
    SG__PLAN_REFUSED, /* the library does not do it */
};

/* The products of one shape by candidates 0 .. n - 1, in the library's order of preference: that order alone
 * chooses the reference, so it must be the same on every device of a kind. Every row of the left operand is
 * one of SG__PLAN_TILE random rows, in turn. */
struct sg__plan_source {
    void *ctx;
    const char *what; /* the product, for errors: "[6144][2560]" */
    int32_t n;
    int64_t
        max_rows; /* a multiple of SG__PLAN_TILE, at most SG__PLAN_MAX_ROWS; a function of the shape alone */
    /* Whether the library takes candidate c for m rows. Costs nothing on the device. */
    bool (*takes)(void *ctx, int32_t c, int64_t m);
    /* SG__PLAN_TILE rows by candidate c: what later results are compared with. SAME, or REFUSED. */
    enum sg_status (*refer)(void *ctx, int32_t c, enum sg__plan_answer *out, struct sg_err *err);
    /* m rows by candidate c, row r against row r % SG__PLAN_TILE of the reference. */
    enum sg_status (*compare)(void *ctx, int32_t c, int64_t m, enum sg__plan_answer *out, struct sg_err *err);
    enum sg_status (*time)(void *ctx, int32_t c, int64_t m, double *ns, struct sg_err *err);
};

struct sg__plan {
    int32_t reference;
    int32_t bucket[SG__PLAN_BUCKETS]; /* candidate for its numbers of rows; -1: above max_rows */
};

/* The bucket of m rows, 1 <= m <= SG__PLAN_MAX_ROWS. */
static inline int32_t sg__plan_bucket(int64_t m) {
    int32_t b = 0;
    while (b < SG__PLAN_BUCKETS - 1 && m > (int64_t)SG__PLAN_TILE << b) b++;
    return b;
}

/* Reference: the first candidate that the library takes for every number of rows and whose rows have the same
 * bits for all of them. A bucket's algorithm: the fastest at its upper end among those whose rows have the
 * reference's bits for all numbers of rows of the bucket; the reference, unless another is faster by more than
 * the clock's noise. SG_E_DEVICE when no candidate can be the reference. */
enum sg_status sg__plan_choose(const struct sg__plan_source *s, struct sg__plan *out, struct sg_err *err);

#endif

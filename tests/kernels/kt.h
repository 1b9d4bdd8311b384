/* kt - what the operator tests share. One source per operator runs on every backend, named on its command
 * line as BACKEND[:ISA] ("ref", "cpu:avx2", "guard", "guard:ref", "cuda", "cuda:float32"); a test whose backend or
 * instruction set is not here exits with 77 (skipped). Device memory is reached only through sg_dev_*.
 *
 * Error model: expected values are computed in double from the inputs as the device's products take
 * them (sg_dev_info.products). A result may differ by `rel * |terms| + abs`, where the relative part is derived
 * from the operation's length in units of float32 roundoff, plus one rounding to the output's type. */
#ifndef SG_TESTS_KT_H
#define SG_TESTS_KT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/kernels.h"
#include <math.h>
#include <stdio.h>

#define KT_U 0x1p-24 /* unit roundoff of float32 */

/* Reads the backend from argv; to be called first in main. KT_ONLY in the environment: tests of this name, with
 * * and ? as in a shell. */
void kt_init(int argc, char **argv);
const char *kt_backend(void); /* "cpu" */
const char *kt_isa(void);     /* "avx2" or NULL */
/* Host backends only differ in speed by threads; others ignore them. */
bool kt_is(const char *backend); /* the backend under test is this one, or guards it */

/* Opens the backend under test, or another; skips the program (77) where it does not exist. */
struct sg_dev *kt_open(int threads);
struct sg_dev *kt_open_as(const char *backend, const char *isa, int threads);
/* Instruction sets of the cpu backend that this machine runs; NULL-terminated. */
const char *const *kt_isas(void);
/* Limits that fit every test here unless it says otherwise. */
struct sg_limits kt_limits(void);
void kt_reserve(struct sg_dev *dev, const struct sg_limits *lim);

/* Checks st == SG_OK and prints the error otherwise. */
void kt_ok(enum sg_status st, const struct sg_err *err);
#define KT_OK(call)                                                                                          \
    do {                                                                                                     \
        struct sg_err err = {0};                                                                             \
        kt_ok((call), &err);                                                                                 \
    } while (0)

/* Checks that the call fails with this status and an error that holds `text`. */
void kt_refused(enum sg_status got, const struct sg_err *err, enum sg_status want, const char *text);
#define KT_REFUSED(call, want, text)                                                                         \
    do {                                                                                                     \
        struct sg_err err = {0};                                                                             \
        const enum sg_status st_ = (call);                                                                   \
        kt_refused(st_, &err, want, text);                                                                   \
    } while (0)

/* ---- random inputs: the value of (stream, index), never of call order --------------------------- */
double kt_uniform(uint64_t stream, int64_t i); /* [0, 1) */
/* Uniform in [-1, 1] * scale with one value in 97 a hundred times larger: sums must survive outliers. */
void kt_fill(float *x, int64_t n, uint64_t stream, float scale, bool outliers);
int32_t kt_pick(uint64_t stream, int64_t i, int32_t below);

/* ---- device arrays: copies of host arrays, freed with sg_dev_free ------------------------------- */
/* Rounds x to what the device's products take, in place, so that the host computes from what they have. */
void kt_round_act(const struct sg_dev *dev, float *x, int64_t n);
void *kt_act(struct sg_dev *dev, const float *x,
             int64_t n); /* x must be rounded; NULL x: undefined contents */
void kt_act_get(struct sg_dev *dev, const void *p, int64_t n, float *out);
float *kt_f32(struct sg_dev *dev, const float *x, int64_t n);
/* The same for x and y of products: n rows, and room for the last whole tile (sg_tile_rows). */
void *kt_act_rows(struct sg_dev *dev, const float *x, int32_t n, int64_t cols);
float *kt_f32_rows(struct sg_dev *dev, int32_t n, int64_t cols);
int32_t *kt_i32(struct sg_dev *dev, const int32_t *x, int64_t n);
void kt_get(struct sg_dev *dev, const void *p, size_t bytes, void *out);
/* Relative error of one rounding to the activation type. */
double kt_act_round(const struct sg_dev *dev);
/* Relative error of what a device may keep in bf16 inside an operator (0 on float32). */
double kt_inner_round(const struct sg_dev *dev);

/* ---- weights ------------------------------------------------------------------------------------ */
/* A host matrix of dtype with exact float values w [n] (rounded here): bytes for sg_weight_part.data,
 * owned by the caller. */
void *kt_encode(float *w, int64_t n, enum sg_dtype t);

/* Whether the backend has attention for heads of this size: SG_E_UNSUPPORTED is its right. */
bool kt_has_head_dim(struct sg_dev *dev, int32_t head_dim);

/* ---- KV pool: puts given keys and values at slots, through sg_op_qkv_rope at position 0 --------- */
/* k, v [n][kv_heads][head_dim], v rounded to act; k is what the pool holds afterwards (RMS-normalised,
 * times k_gain), written back for the expected value. A bf16 device rounds the normalised k, on which side of
 * a tie depends on its last bits: there k becomes its signs first, whose norm lands far from any tie. */
void kt_write_kv(struct sg_dev *dev, struct sg_kv *kv, int32_t layer, int32_t kv_heads, int32_t head_dim,
                 int32_t n, const int32_t *slots, float *k, float *v, float k_gain);

/* ---- comparing ---------------------------------------------------------------------------------- */
/* |got - want| <= bound for every i; prints at most ten that are not, with both values, and fails. NaN
 * equals NaN. The expected values must not all be (nearly) zero. */
void kt_close(const char *what, const float *got, const double *want, const double *bound, int64_t n);
/* The same bits; every NaN counts as one. */
void kt_same_bits(const char *what, const float *a, const float *b, int64_t n);

void *kt_malloc(size_t bytes); /* never NULL; a test that has no memory ends */

#endif

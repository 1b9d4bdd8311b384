/* fp8 - weights rounded to eight bits: e4m3 (OCP 8-bit Floating Point Specification, revision 1.0: 4 bits of
 * exponent with bias 7, 3 of fraction, subnormals, one NaN of each sign, no infinities, largest 448) times
 * a power of two for every row. Private to kernels/.
 *
 * A row's scale is 2^k, k = ceil(log2(largest / 448)) over its finite elements, kept within bounds. A power
 * of two costs a floating-point format nothing: inside its normal range a value is rounded by the same
 * relative error, at most 1/16, whatever the scale; it only takes up to one of the 18 binades that e4m3 has.
 * In return code * 2^k is a bf16 exactly, so that every backend can multiply the very same weights, whether
 * it keeps them as codes or as bf16.
 *
 * Rounding is to nearest, ties to even; what is finite and larger than 448 * 2^k (rows beyond 448 * 2^119)
 * becomes that. NaN and infinities become NaN: e4m3 has no infinity, and a checkpoint with one must not look
 * sound. */
#ifndef SG_KERNELS_FP8_H
#define SG_KERNELS_FP8_H

#include "kernels/kernels.h"

enum {
    SG__FP8_MIN_EXPONENT = -124, /* the smallest code, 2^-9, is then 2^-133: bf16's smallest subnormal */
    SG__FP8_MAX_EXPONENT = 119,  /* 448 2^119 is the largest that bf16 holds */
};

/* k of a row of n elements at `row`, at any alignment. 0 for a row without a finite element other than 0. */
int sg__fp8_exponent(const void *row, int64_t n, enum sg_dtype t);
/* to[i] = code of from[i] / 2^k, i < n. A row may be done in pieces. */
void sg__fp8_encode(uint8_t *to, const void *from, int64_t n, enum sg_dtype t, int k);
/* A whole row as the bf16 that its codes stand for: element i to to[i * stride]. to = row with
 * a stride of 1 rounds a row of bf16 where it is. */
void sg__fp8_round_row(uint16_t *to, int64_t stride, const void *row, int64_t n, enum sg_dtype t);

#endif

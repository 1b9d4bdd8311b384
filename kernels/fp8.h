/* fp8 - weights rounded to eight bits: e4m3 (OCP 8-bit Floating Point Specification, revision 1.0: 4 bits of
 * exponent with bias 7, 3 of fraction, subnormals, one NaN of each sign, no infinities, largest 448) times
 * a power of two for every row. Private to kernels/.
 *
 * A row's scale is 2^k, k = ceil(log2(largest / 448)) over its finite elements, clamped to the bounds below.
 * A power of two leaves the relative error of a value in e4m3's normal range at 1/16 or less; it costs at
 * most one of the 18 binades of e4m3. In return code * 2^k is exactly a bf16, so that every backend
 * multiplies the same weights, whether it stores codes or bf16.
 *
 * Rounding is to nearest, ties to even. Finite values beyond 448 * 2^k (in rows beyond 448 * 2^119) become
 * 448 * 2^k. NaN and infinities become NaN: e4m3 has no infinity, and a broken checkpoint must stay
 * detectable. */
#ifndef SG_KERNELS_FP8_H
#define SG_KERNELS_FP8_H

#include "kernels/kernels.h"

enum {
    SG__FP8_MIN_EXPONENT = -124, /* the smallest code, 2^-9, is then 2^-133: bf16's smallest subnormal */
    SG__FP8_MAX_EXPONENT = 119,  /* 448 2^119 is the largest such number that bf16 holds */
};

/* k of a row of n elements at `row`, at any alignment. 0 for a row without a finite element other than 0. */
int sg__fp8_exponent(const void *row, int64_t n, enum sg_dtype t);
/* to[i] = code of from[i] / 2^k, i < n. The caller may encode a row in pieces. */
void sg__fp8_encode(uint8_t *to, const void *from, int64_t n, enum sg_dtype t, int k);
/* Writes the bf16 values of a whole row's codes: element i to to[i * stride]. to = row with a stride of 1
 * rounds a row of bf16 in place. */
void sg__fp8_round_row(uint16_t *to, int64_t stride, const void *row, int64_t n, enum sg_dtype t);

#endif

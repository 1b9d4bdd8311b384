/* bf16 - the upper half of a float32: 8 bits of exponent, 7 of fraction. Private to kernels/.
 *
 * Rounding is to nearest, ties to even. Subnormal numbers count as zero, as they do for the processors'
 * instructions on bf16 (VCVTNEPS2BF16, VDPBF16PS); NaN stays NaN. */
#ifndef SG_KERNELS_BF16_H
#define SG_KERNELS_BF16_H

#include "kernels/kernels.h"

#include <string.h>

/* Softmax weights are rounded in units of the largest weight so far, which moves after so many keys of a run. */
enum { SG__BF16_KEYS = 64 };

/* The bits of x rounded to bf16, still as a float32: the lower half is zero. */
static inline uint32_t sg__bf16_bits(float x) {
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    const uint32_t size = b & 0x7FFFFFFFu;
    const uint32_t near = b + 0x7FFFu + (b >> 16 & 1u), nan = b | 0x400000u, zero = b & 0x80000000u;
    return (size > 0x7F800000u ? nan : size < 0x800000u ? zero : near) & 0xFFFF0000u;
}
static inline float sg__bf16_round(float x) {
    const uint32_t b = sg__bf16_bits(x);
    memcpy(&x, &b, sizeof x);
    return x;
}

/* to[i] = element i of `from`, rounded. from: any alignment; from = to is allowed for bf16. */
void sg__bf16_from(uint16_t *to, const void *from, int64_t n, enum sg_dtype t);

#endif

/* random - a weight of random numbers: element e of its rows is number e of the stream `key` (base/rng.h)
 * out bf16 [rows][cols]; or, with scale [rows], e4m3 codes of every row over a power of two, as kernels/fp8.h
 * rounds them. For measurements: no host copy of the weights. About 10 integer operations an element (twice
 * as many as codes); reads nothing, writes 2 rows cols bytes (codes: rows (cols + 4)). A thread makes the
 * eight elements of one counter at a time and stores them at once where they lie on a boundary of that. */
#include "base/rng.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS) random_kernel(uint16_t *out, int64_t n, uint64_t key) {
    const int64_t first = ((int64_t)blockIdx.x * THREADS + (int64_t)threadIdx.x) * 8;
    uint32_t w[4];
    if (first >= n) return;
    sg_random_weights(key, (uint64_t)first / 8, w);
    if (first + 8 <= n)
        st16(out + first, make_uint4(w[0], w[1], w[2], w[3]));
    else
        for (int j = 0; first + j < n; j++) out[first + j] = (uint16_t)(w[j / 2] >> j % 2 * 16);
}

/* Bits of element j of eight, without the sign. */
static __device__ __forceinline__ uint32_t magnitude(const uint32_t w[4], int j) {
    return w[j / 2] >> j % 2 * 16 & 0x7fffu;
}
/* The code of element j over 2^k. All of a row lie in two binades, its largest in e4m3's last two: none is
 * subnormal there. Three of seven bits of the fraction stay, to nearest, ties to even; a carry moves the
 * exponent. */
static __device__ __forceinline__ uint32_t encode(const uint32_t w[4], int j, int k) {
    const uint32_t m = magnitude(w, j), rounded = (m + 7 + (m >> 4 & 1)) >> 4;
    return (w[j / 2] >> j % 2 * 16 & 0x8000u) >> 8 | (rounded - (uint32_t)((127 - 7 + k) * 8));
}

/* A block makes a row, whose first and last counters it may share with its neighbours. */
static __global__ void __launch_bounds__(THREADS)
    random_fp8_kernel(uint8_t *out, float *scale, int32_t cols, uint64_t key) {
    SHARED(float, part, [THREADS / 32]);
    const int64_t begin = (int64_t)blockIdx.x * cols, end = begin + cols;
    uint32_t w[4];
    float top = 0;
    for (int64_t c = begin / 8 + (int)threadIdx.x; c * 8 < end; c += THREADS) {
        sg_random_weights(key, (uint64_t)c, w);
        for (int j = 0; j < 8; j++)
            if (c * 8 + j >= begin && c * 8 + j < end)
                top = fmaxf(top, __uint_as_float(magnitude(w, j) << 16));
    }
    /* ceil(log2(top / 448)), 448 = 1.75 2^8: the fraction of 1.75 is 0x600000 */
    const uint32_t bits = __float_as_uint(block_max(top, part));
    const int k = (int)(bits >> 23) - 127 - 8 + ((bits & 0x7fffffu) > 0x600000u);
    if (threadIdx.x == 0) scale[blockIdx.x] = __uint_as_float((uint32_t)(127 + k) << 23);
    for (int64_t c = begin / 8 + (int)threadIdx.x; c * 8 < end; c += THREADS) {
        uint32_t code[8];
        sg_random_weights(key, (uint64_t)c, w);
        UNROLL for (int j = 0; j < 8; j++) code[j] = encode(w, j, k);
        if (c * 8 >= begin && c * 8 + 8 <= end)
            st8(out + c * 8, make_uint2(code[0] | code[1] << 8 | code[2] << 16 | code[3] << 24,
                                        code[4] | code[5] << 8 | code[6] << 16 | code[7] << 24));
        else
            UNROLL for (int j = 0; j < 8; j++) if (c * 8 + j >= begin && c * 8 + j < end) out[c * 8 + j] =
                (uint8_t)code[j];
    }
}

extern "C" int sg__launch_random(void *out, float *scale, int64_t rows, int32_t cols, uint64_t key,
                                 void *stream) {
    const int64_t n = rows * cols;
    if (scale)
        return LAUNCH(random_fp8_kernel, (unsigned)rows, THREADS, 0, stream, (uint8_t *)out, scale, cols,
                      key);
    return LAUNCH(random_kernel, (unsigned)sg__blocks(n, 8 * THREADS), THREADS, 0, stream, (uint16_t *)out, n,
                  key);
}

/* rng - counter-based random numbers: the same key and counter give the same bits on any machine, in any
 * order, on host and device. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC'11). Header only, so that kernels use the very same code. */
#ifndef SG_BASE_RNG_H
#define SG_BASE_RNG_H

#include <stdint.h>

#ifdef __CUDACC__
#    define SG_HD __host__ __device__ static inline
#else
#    define SG_HD static inline
#endif

/* c (4 words, in and out) is the counter, k0 k1 the key. */
SG_HD void sg_philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int i = 0; i < 10; i++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t h0 = (uint32_t)(p0 >> 32), l0 = (uint32_t)p0, h1 = (uint32_t)(p1 >> 32),
                       l1 = (uint32_t)p1;
        c[0] = h1 ^ c[1] ^ k0;
        c[1] = l1;
        c[2] = h0 ^ c[3] ^ k1;
        c[3] = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Uniform in [0, 1) with 24 random bits, of the stream `key` (see sg_sample_key in engine/group.h) at
 * position `pos`. 24 bits so that float holds it exactly on every backend. */
SG_HD float sg_uniform(uint64_t key, uint32_t pos) {
    uint32_t c[4] = {pos, 0, 0, 0};
    sg_philox(c, (uint32_t)key, (uint32_t)(key >> 32));
    return (float)(c[0] >> 8) * (1.0f / 16777216.0f);
}

/* One 64-bit value of the stream; for host code that shuffles, bootstraps or makes test data. */
SG_HD uint64_t sg_random64(uint64_t key, uint64_t pos) {
    uint32_t c[4] = {(uint32_t)pos, (uint32_t)(pos >> 32), 1, 0};
    sg_philox(c, (uint32_t)key, (uint32_t)(key >> 32));
    return (uint64_t)c[1] << 32 | c[0];
}

/* Weights 8 block to 8 block + 7 of the stream, as bf16, two in a word, the first in its low half: the sign
 * and all values with 2^-7 <= |x| < 2^-5 equally likely, a standard deviation of 0.0189 as trained linear
 * maps have about. Exact bits, no arithmetic: the same on every device. */
SG_HD void sg_random_weights(uint64_t key, uint64_t block, uint32_t w[4]) {
    w[0] = (uint32_t)block, w[1] = (uint32_t)(block >> 32), w[2] = 2, w[3] = 0;
    sg_philox(w, (uint32_t)key, (uint32_t)(key >> 32));
    for (int i = 0; i < 4; i++) w[i] = (w[i] & 0x80ff80ffu) | 0x3c003c00u;
}

#endif

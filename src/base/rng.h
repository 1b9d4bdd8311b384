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

/* Uniform in [0, 1) with 24 random bits, of the stream `key` (see sg_sample_stream in engine/engine.h)
 * at position `pos`. 24 bits so that float holds it exactly on every backend. */
SG_HD float sg_uniform(uint64_t key, uint32_t pos) {
    uint32_t c[4] = {pos, 0, 0, 0};
    sg_philox(c, (uint32_t)key, (uint32_t)(key >> 32));
    return (float)(c[0] >> 8) * (1.0f / 16777216.0f);
}

/* ---- stratified uniforms ------------------------------------------------------------------------------ */

/* The place of sample k among the samples [first, first + n) of a block of 64 in a random order of them, anew
 * at every position: the rank of its random word. n: a multiple of 4. */
static inline uint32_t sg__rng_place(uint64_t key, uint32_t pos, uint32_t block, uint32_t first, uint32_t n,
                                     uint32_t k) {
    uint32_t words[64], rank = 0;
    for (uint32_t i = first; i < first + n; i += 4) {
        uint32_t *c = words + i;
        c[0] = pos, c[1] = block, c[2] = 3, c[3] = i / 4;
        sg_philox(c, (uint32_t)key, (uint32_t)(key >> 32));
    }
    for (uint32_t i = first; i < first + n; i++)
        rank += words[i] < words[k] || (words[i] == words[k] && i < k);
    return rank;
}

/* The uniform of sample k of those that share `key`, at position `pos`; 24 bits as above. Of the samples
 * [0, n), n = 4, 8, 16, 32, 64, one falls into each of n equal intervals: a Latin hypercube over the positions
 * (McKay, Beckman, Conover 1979) whose first samples are one again. Samples 64 b to 64 b + 63 are another one.
 * By itself each sample is drawn as with sg_uniform: uniform, positions independent of each other.
 * Samples 0-3 lie in the quarters, and those from n to 2 n - 1 in the free halves of the n intervals, each in
 * a random order that is another one at every position. A fixed order (van der Corput's sequence, scrambled)
 * would keep two samples in one quarter at every position, nearly the same answer twice; samples 0 and 1 in
 * opposite halves at every position would already undo part of the gain wherever positions interact. */
static inline float sg_uniform_stratified(uint64_t key, uint32_t pos, uint32_t k) {
    const uint32_t block = k / 64;
    uint32_t path[5], level[5], n = 0, i = k % 64; /* sample path[n] has the free half of the next one's */
    for (; i >= 4; n++) {
        uint32_t l = 2;
        while (i >> (l + 1)) l++;
        path[n] = i;
        level[n] = l;
        i = sg__rng_place(key, pos, block, 1u << l, 1u << l, i);
    }
    uint32_t own[4] = {pos, block * 64 + i, 4, 0};
    sg_philox(own, (uint32_t)key, (uint32_t)(key >> 32));
    uint32_t bits = sg__rng_place(key, pos, block, 0, 4, i) << 22 | own[0] >> 10;
    while (n-- > 0) {
        const uint32_t half = 1u << (23 - level[n]);
        own[0] = pos, own[1] = block * 64 + path[n], own[2] = 4, own[3] = 0;
        sg_philox(own, (uint32_t)key, (uint32_t)(key >> 32));
        bits = (bits & ~(2 * half - 1)) | (~bits & half) | (own[0] >> 8 & (half - 1));
    }
    return (float)bits * (1.0f / 16777216.0f);
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

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

/* The uniform of sample k of those that share `key`, at position `pos`; 24 bits as above. Of the samples
 * [0, 2^j), j <= 6, one falls into each of 2^j equal intervals, which one by chance anew at every position: a
 * Latin hypercube (McKay, Beckman, Conover 1979) whose first samples are one again. Samples 64 b to 64 b + 63
 * are such a hypercube of their own. Positions are independent of each other, so each sample by itself is
 * drawn as with sg_uniform. The six leading bits are k's, least significant first, each flipped by a random
 * bit that its predecessors choose among 2^l: Owen's nested scrambling (1995) of van der Corput's sequence. */
SG_HD float sg_uniform_stratified(uint64_t key, uint32_t pos, uint32_t k) {
    uint32_t flips[4] = {pos, k >> 6, 3, 0}, own[4] = {pos, k, 4, 0};
    sg_philox(flips, (uint32_t)key, (uint32_t)(key >> 32));
    sg_philox(own, (uint32_t)key, (uint32_t)(key >> 32));
    const uint64_t flip = (uint64_t)flips[1] << 32 | flips[0];
    uint32_t bits = 0, path = 0; /* b_0 leading; b_0 least significant */
    for (uint32_t l = 0; l < 6; l++) {
        const uint32_t b = (k >> l ^ (uint32_t)(flip >> ((1u << l) - 1 + path))) & 1;
        bits = bits << 1 | b;
        path |= b << l;
    }
    return (float)(bits << 18 | own[0] >> 14) * (1.0f / 16777216.0f);
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

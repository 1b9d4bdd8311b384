/* isa - the vectors of the product kernels, at the width that the instruction set's registers have. Included
 * only by isa_*.c, which are compiled once per instruction set. */
#ifndef SG_KERNELS_CPU_ISA_H
#define SG_KERNELS_CPU_ISA_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/v16.h"

/* Product tiles: X(rows, units at once). Accumulators, weights and one broadcast fill the registers. */
#if defined(__AVX512F__) /* 32 registers, a unit is a whole panel */
#    define SG_TILE_ROWS 14
#    define SG_PRODUCT_SHAPES(X)                                                                             \
        X(1, 4)                                                                                              \
        X(2, 4)                                                                                              \
        X(3, 4) X(4, 3) X(5, 2) X(6, 2) X(7, 2) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(13, 1) X(14, 1)
#elif defined(__AVX2__) /* 16 registers, a unit is half a panel */
#    define SG_TILE_ROWS         6
#    define SG_PRODUCT_SHAPES(X) X(1, 4) X(2, 2) X(3, 2) X(4, 1) X(5, 1) X(6, 1)
#else
#    define SG_TILE_ROWS         4
#    define SG_PRODUCT_SHAPES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1)
#endif

#if defined(__AVX512F__)
struct vn {
    __m512 v;
};
#    define VN_OP(op, ...) ((struct vn){_mm512_##op(__VA_ARGS__)})
#elif defined(__AVX2__)
struct vn {
    __m256 v;
};
#    define VN_OP(op, ...) ((struct vn){_mm256_##op(__VA_ARGS__)})
#else
struct vn {
    struct v16 v;
};
#endif
struct sg_pair {
    struct vn a, b;
};

#if defined(__AVX2__)
SG_INLINE struct vn vn_set1(float x) {
    return VN_OP(set1_ps, x);
}
SG_INLINE struct vn vn_load(const float *p) {
    return VN_OP(loadu_ps, p);
}
SG_INLINE struct vn vn_fma(struct vn a, struct vn b, struct vn c) {
    return VN_OP(fmadd_ps, a.v, b.v, c.v);
}
#endif
#if defined(__AVX512F__)
SG_INLINE void vn_store(float *p, struct vn a) {
    _mm512_storeu_ps(p, a.v);
}
SG_INLINE struct sg_pair vn_bf16_pair(const void *p) {
    const __m512i w = _mm512_loadu_si512(p);
    return (struct sg_pair){{_mm512_castsi512_ps(_mm512_slli_epi32(w, 16))},
                            {_mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(-65536)))}};
}
SG_INLINE struct vn vn_f16(const void *p) {
    return VN_OP(cvtph_ps, _mm256_loadu_si256(p));
}
#elif defined(__AVX2__)
SG_INLINE void vn_store(float *p, struct vn a) {
    _mm256_storeu_ps(p, a.v);
}
SG_INLINE struct sg_pair vn_bf16_pair(const void *p) {
    const __m256i w = _mm256_loadu_si256(p);
    return (struct sg_pair){{_mm256_castsi256_ps(_mm256_slli_epi32(w, 16))},
                            {_mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(-65536)))}};
}
SG_INLINE struct vn vn_f16(const void *p) {
    return VN_OP(cvtph_ps, _mm_loadu_si128(p));
}
#else
SG_INLINE struct vn vn_set1(float x) {
    return (struct vn){v16_set1(x)};
}
SG_INLINE struct vn vn_load(const float *p) {
    return (struct vn){v16_load(p)};
}
SG_INLINE void vn_store(float *p, struct vn a) {
    v16_store(p, a.v);
}
SG_INLINE struct vn vn_fma(struct vn a, struct vn b, struct vn c) {
    return (struct vn){v16_fma(a.v, b.v, c.v)};
}
SG_INLINE struct sg_pair vn_bf16_pair(const void *p) {
    uint32_t lo[16], hi[16];
    struct sg_pair r;
    memcpy(lo, p, sizeof lo);
    for (int i = 0; i < 16; i++) {
        hi[i] = lo[i] & 0xFFFF0000u;
        lo[i] <<= 16;
    }
    memcpy(r.a.v.f, lo, sizeof lo);
    memcpy(r.b.v.f, hi, sizeof hi);
    return r;
}
SG_INLINE struct vn vn_f16(const void *p) {
    struct vn r;
    for (int i = 0; i < 16; i++) r.v.f[i] = sg_dtype_to_f32(p, i, SG_F16);
    return r;
}
#endif
/* The first n lanes, all when n >= SG_LANES. */
SG_INLINE void vn_store_upto(float *p, struct vn a, int64_t n) {
    if (n >= SG_LANES) {
        vn_store(p, a);
    } else {
        float all[SG_LANES];
        vn_store(all, a);
        memcpy(p, all, (size_t)n * sizeof *p);
    }
}

#endif

/* isa - the vectors of the product kernels, at the width that the instruction set's registers have. Included
 * only by isa_*.c, which are compiled once per instruction set. */
#ifndef SG_KERNELS_CPU_ISA_H
#define SG_KERNELS_CPU_ISA_H

#include "kernels/bf16.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/v16.h"

#include <float.h>

/* Product tiles: X(rows, units at once), a unit being two vectors. Accumulators, weights and one broadcast fill the registers. */
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
SG_INLINE struct vn vn_mul(struct vn a, struct vn b) {
    return VN_OP(mul_ps, a.v, b.v);
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
SG_INLINE struct vn vn_mul(struct vn a, struct vn b) {
    return (struct vn){v16_mul(a.v, b.v)};
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
/* ---- products of bf16 ---------------------------------------------------------------------------
 *
 * acc + x.hi * w.hi + x.lo * w.lo, as two chained FMAs of float32 in this order. Each of them takes
 * subnormal operands as zero, rounds to nearest, ties to even, and returns zero of its sign for a result
 * below 2^-126 (judged after rounding to 24 bits). VDPBF16PS does just this: Intel's manual gives the order
 * and the treatment of subnormals, sg__bf16_agrees compares the rest on the machine at hand. Without that
 * instruction it is two FMAs between flush_begin and flush_end. The instruction itself heeds no mode; vn_mul_flush does
 * with every instruction set. x: two neighbours along the sum, rounded to bf16. */
#if defined(__AVX512BF16__)
struct sg_x2 {
    uint32_t w; /* hi, lo */
};
struct vw {
    __m512i v;
};
SG_INLINE struct sg_x2 x2_make(float hi, float lo) {
    return (struct sg_x2){sg__bf16_bits(hi) | sg__bf16_bits(lo) >> 16};
}
SG_INLINE struct vw vw_load(const void *p) {
    return (struct vw){_mm512_loadu_si512(p)};
}
SG_INLINE struct vw vw_high(struct vw w) {
    return (struct vw){_mm512_and_si512(w.v, _mm512_set1_epi32(-65536))};
}
SG_INLINE struct vn vn_dot2(struct vn acc, struct sg_x2 x, struct vw w) {
    return VN_OP(dpbf16_ps, acc.v, (__m512bh)_mm512_set1_epi32((int)x.w), (__m512bh)w.v);
}
#else
struct sg_x2 {
    float hi, lo;
};
struct vw {
    struct vn hi, lo;
};
SG_INLINE struct sg_x2 x2_make(float hi, float lo) {
    return (struct sg_x2){sg__bf16_round(hi), sg__bf16_round(lo)};
}
SG_INLINE struct vw vw_high(struct vw w) {
    return (struct vw){w.hi, vn_set1(0)};
}
#    if defined(__AVX2__)
SG_INLINE struct vw vw_load(const void *p) {
    const struct sg_pair w = vn_bf16_pair(p);
    return (struct vw){w.b, w.a};
}
SG_INLINE struct vn vn_fma_flush(struct vn a, struct vn b, struct vn c) {
    return vn_fma(a, b, c);
}
#    else
/* Functions of their own: in line, sanitizers make them take minutes to compile. */
#        define SG_CALL static __attribute__((noinline, unused))
SG_CALL struct vw vw_load(const void *p) {
    const struct sg_pair w = vn_bf16_pair(p);
    struct vw r;
    for (int i = 0; i < 16; i++) {
        r.hi.v.f[i] = sg__bf16_round(w.b.v.f[i]); /* for its subnormals */
        r.lo.v.f[i] = sg__bf16_round(w.a.v.f[i]);
    }
    return r;
}
SG_INLINE float fma_flush(float a, float b, float c) {
    c = fabsf(c) < FLT_MIN ? copysignf(0, c) : c;
    const float r = fmaf(a, b, c);
    if (!(fabsf(r) <= FLT_MIN)) return r;
    /* Exact here: a, b have 8 bits (or c is 0), c is a multiple of 2^-149, and the sum is at most 2^-126. What 24 bits
     * round to 2^-126 is no subnormal; fmaf rounded to a multiple of 2^-149 and does not show it. */
    const double sum = (double)a * b + (double)c;
    return fabs(sum) < 0x1p-126 - 0x1p-151 ? copysignf(0, r) : r;
}
SG_CALL struct vn vn_fma_flush(struct vn a, struct vn b, struct vn c) {
    for (int i = 0; i < 16; i++) c.v.f[i] = fma_flush(a.v.f[i], b.v.f[i], c.v.f[i]);
    return c;
}
#    endif
SG_INLINE struct vn vn_dot2(struct vn acc, struct sg_x2 x, struct vw w) {
    return vn_fma_flush(vn_set1(x.lo), w.lo, vn_fma_flush(vn_set1(x.hi), w.hi, acc));
}
#endif
/* a b between flush_begin and flush_end, flushed as vn_dot2 does; a: of vn_dot2, or 0; b normal, or 0. */
SG_INLINE struct vn vn_mul_flush(struct vn a, struct vn b) {
#if defined(__AVX2__)
    return vn_mul(a, b);
#else
    return vn_fma_flush(a, b, vn_set1(-0.0f)); /* which changes no product, nor the sign of a zero */
#endif
}
/* Sixteen rows to load from, where there are fewer: a constant number of loads stays in registers. */
SG_INLINE void rows_of_16(const float *const *rows, int32_t height, const float *all[16]) {
    for (int32_t r = 0; r < 16; r++) all[r] = rows[r < height ? r : 0];
}
/* Rows side by side: to[k * height + r] = element k of row r times `scale`, k < n; height at most 16. */
SG_INLINE void f32_pack(const float *const *rows, int32_t height, int64_t n, float scale, float *to) {
    const float *all[16];
    int64_t k = 0;
    rows_of_16(rows, height, all);
    for (; k + 16 <= n; k += 16) { /* a cache line of each row at a time */
        struct v16 line[16];
        SG_UNROLL
        for (int32_t r = 0; r < 16; r++) line[r] = v16_mul(v16_load(all[r] + k), v16_set1(scale));
        v16_store_columns(line, height, to + k * height, height);
    }
    for (; k < n; k++)
        for (int32_t r = 0; r < height; r++) to[k * height + r] = rows[r][k] * scale;
}
/* The same in pairs: to[i * height + r] = elements 2 i and 2 i + 1 of row r, i < pairs. */
SG_INLINE void x2_pack(const float *const *rows, int32_t height, int64_t pairs, struct sg_x2 *to) {
    int64_t i = 0;
#if defined(__AVX512BF16__)
    const float *all[16];
    rows_of_16(rows, height, all);
    for (; i + 16 <= pairs; i += 16) {
        struct v16 line[16];
        SG_UNROLL
        for (int32_t r = 0; r < 16; r++) {
            const float *at = all[r] + 2 * i; /* VCVTNE2PS2BF16 rounds as sg__bf16_bits does */
            const __m512i even_low =
                (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(at + 16), _mm512_loadu_ps(at));
            line[r].v = _mm512_castsi512_ps(_mm512_rol_epi32(even_low, 16));
        }
        v16_store_columns(line, height, (float *)(void *)(to + i * height), height);
    }
#endif
    for (; i < pairs; i += 8)
        for (int32_t r = 0; r < height; r++)
            for (int64_t k = i; k < i + 8 && k < pairs; k++)
                to[k * height + r] = x2_make(rows[r][2 * k], rows[r][2 * k + 1]);
}
/* Rounds `vectors` times sixteen numbers, each zero or normal and not negative, and writes them as pairs; the sums of what
 * they became, sixteen chains over the vectors, in an order of lanes that x2_sums knows. */
#if defined(__AVX512BF16__)
/* Lanes: those of even elements 0 to 6, of 8 to 14, then of odd ones. */
SG_INLINE struct v16 x2_round_chains(struct sg_x2 *to, const struct v16 *x, int32_t vectors) {
    const __m512i high = _mm512_set1_epi32(-65536);
    __m512 sum = _mm512_setzero_ps();
    int32_t i = 0;
    for (; i + 2 <= vectors; i += 2) { /* VCVTNE2PS2BF16 rounds as sg__bf16_bits does */
        const __m512i w = _mm512_rol_epi32((__m512i)_mm512_cvtne2ps_pbh(x[i + 1].v, x[i].v), 16);
        const __m512 even = _mm512_castsi512_ps(_mm512_and_si512(w, high)),
                     odd = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
        _mm512_storeu_si512(to + i * 8, w);
        sum = _mm512_add_ps(sum, _mm512_shuffle_f32x4(even, odd, 0x44));
        sum = _mm512_add_ps(sum, _mm512_shuffle_f32x4(even, odd, 0xEE));
    }
    if (i < vectors) {
        const __m512i both = _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh(x[i].v));
        const __m512i w = _mm512_rol_epi32(both, 16);
        const __m512 even = _mm512_castsi512_ps(_mm512_and_si512(w, high)),
                     odd = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
        _mm256_storeu_si256((void *)(to + i * 8), _mm512_castsi512_si256(w));
        sum = _mm512_add_ps(sum, _mm512_shuffle_f32x4(even, odd, 0x44));
    }
    return (struct v16){sum};
}
/* Lane i = the tree of v16_sum over the chains r[i]; its last step, of neighbours, is that of even and odd ones. */
SG_INLINE struct v16 x2_sums(const struct v16 r[16]) {
    __m512 f[8];
    SG_UNROLL
    for (int i = 0; i < 8; i++)
        f[i] = SG_FOLD(add, r[i / 4 * 8 + i % 4].v, r[i / 4 * 8 + i % 4 + 4].v, _mm512_shuffle_f32x4, 0x88,
                       0xDD);
    SG_UNROLL
    for (int i = 0; i < 4; i++) f[i] = SG_FOLD(add, f[2 * i], f[2 * i + 1], _mm512_shuffle_ps, 0x44, 0xEE);
    SG_UNROLL
    for (int i = 0; i < 2; i++) f[i] = SG_FOLD(add, f[2 * i], f[2 * i + 1], _mm512_shuffle_ps, 0x88, 0xDD);
    return (struct v16){SG_FOLD(add, f[0], f[1], _mm512_shuffle_f32x4, 0x88, 0xDD)};
}
#else
SG_INLINE struct v16 x2_round_chains(struct sg_x2 *to, const struct v16 *x, int32_t vectors) {
    struct v16 sum = v16_set1(0);
    for (int32_t i = 0; i < vectors; i++) {
        const struct v16 near = v16_bf16(x[i]);
        v16_store((float *)(void *)(to + i * 8), near);
        sum = v16_add(sum, near);
    }
    return sum;
}
SG_INLINE struct v16 x2_sums(const struct v16 r[16]) {
    return v16_sums(r);
}
#endif
/* The compiler knows nothing of the mode: what is to run under it must be in a function of its own that is
 * not inlined (SG_OWN). */
#define SG_OWN static __attribute__((noinline))
#if defined(__AVX2__)
SG_INLINE unsigned flush_begin(void) {
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040u); /* results to zero, operands as zero */
    return mode;
}
SG_INLINE void flush_end(unsigned mode) {
    _mm_setcsr(mode);
}
#else
SG_INLINE unsigned flush_begin(void) {
    return 0;
}
SG_INLINE void flush_end(unsigned mode) {
    (void)mode;
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

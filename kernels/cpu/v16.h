/* v16 - sixteen floats that behave the same, bit for bit, on AVX-512, AVX2 and plain C: lane-wise IEEE
 * operations, fused multiply-add where it is written, sums in one fixed tree. Included only by the sources
 * that are compiled once per instruction set (isa_*.c). */
#ifndef SG_KERNELS_CPU_V16_H
#define SG_KERNELS_CPU_V16_H

#include "kernels/bf16.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#    include <immintrin.h>
#endif

/* Instrumented by a sanitizer, the register tiles would take minutes to compile: there the compiler may call functions
 * and keep loops. Only the scalar build is instrumented (kernels/CMakeLists.txt); the bits are the same. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SG_INLINE static inline
#else
#    define SG_INLINE static inline __attribute__((always_inline))
#endif

/* Loops over small constant counts whose arrays must end up in registers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SG_UNROLL
#elif defined(__clang__)
#    define SG_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define SG_UNROLL _Pragma("GCC unroll 32")
#endif

#if defined(__AVX512F__)
#    define SG_LANES 16
struct v16 {
    __m512 v;
};
SG_INLINE struct v16 v16_set1(float x) {
    return (struct v16){_mm512_set1_ps(x)};
}
SG_INLINE struct v16 v16_load(const float *p) {
    return (struct v16){_mm512_loadu_ps(p)};
}
SG_INLINE void v16_store(float *p, struct v16 a) {
    _mm512_storeu_ps(p, a.v);
}
/* Lanes 0..n-1 from p, the others `fill`; 0 <= n <= 16. Never touches memory past p[n-1]. */
SG_INLINE struct v16 v16_load_n(const float *p, int n, float fill) {
    return (struct v16){_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << n) - 1u), p)};
}
SG_INLINE void v16_store_n(float *p, struct v16 a, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a.v);
}
SG_INLINE struct v16 v16_add(struct v16 a, struct v16 b) {
    return (struct v16){_mm512_add_ps(a.v, b.v)};
}
SG_INLINE struct v16 v16_sub(struct v16 a, struct v16 b) {
    return (struct v16){_mm512_sub_ps(a.v, b.v)};
}
SG_INLINE struct v16 v16_mul(struct v16 a, struct v16 b) {
    return (struct v16){_mm512_mul_ps(a.v, b.v)};
}
SG_INLINE struct v16 v16_div(struct v16 a, struct v16 b) {
    return (struct v16){_mm512_div_ps(a.v, b.v)};
}
/* a * b + c, rounded once */
SG_INLINE struct v16 v16_fma(struct v16 a, struct v16 b, struct v16 c) {
    return (struct v16){_mm512_fmadd_ps(a.v, b.v, c.v)};
}
/* a > b ? a : b; b when either is NaN */
SG_INLINE struct v16 v16_max(struct v16 a, struct v16 b) {
    return (struct v16){_mm512_max_ps(a.v, b.v)};
}
/* x < lim ? yes : no, lane-wise; no for NaN */
SG_INLINE struct v16 v16_if_less(struct v16 x, struct v16 lim, struct v16 yes, struct v16 no) {
    return (struct v16){_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, lim.v, _CMP_LT_OQ), no.v, yes.v)};
}
/* One bit per lane, bit 0 for lane 0: x >= lim. */
SG_INLINE uint32_t v16_mask_ge(struct v16 x, struct v16 lim) {
    return _mm512_cmp_ps_mask(x.v, lim.v, _CMP_GE_OQ);
}
/* a * 2^n for n = the integer in the low bits of `shifted` (see v16_exp_parts), by adding to the exponent. */
SG_INLINE struct v16 v16_scale2(struct v16 a, struct v16 shifted) {
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23);
    return (struct v16){_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), n))};
}
/* To the nearest number of bf16, ties to even; for zeros, normal numbers, infinities and NaN. */
SG_INLINE struct v16 v16_bf16(struct v16 a) {
    const __m512i b = _mm512_castps_si512(a.v), odd = _mm512_srli_epi32(_mm512_slli_epi32(b, 15), 31);
    const __m512i near = _mm512_add_epi32(_mm512_add_epi32(b, odd), _mm512_set1_epi32(0x7FFF));
    const __m512i up = _mm512_and_si512(near, _mm512_set1_epi32(-65536));
    return (struct v16){_mm512_mask_mov_ps(_mm512_castsi512_ps(up),
                                           _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), _mm512_set1_ps(NAN))};
}
/* The largest lane; NaN lanes may be passed over. */
SG_INLINE float v16_hmax(struct v16 a) {
    return _mm512_reduce_max_ps(a.v);
}
SG_INLINE float v16_sum(struct v16 a) {
    const __m256 hi = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
    const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), hi);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
#elif defined(__AVX2__)
#    define SG_LANES 8
struct v16 {
    __m256 lo, hi;
};
SG_INLINE __m256i v16_mask8(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SG_INLINE struct v16 v16_set1(float x) {
    return (struct v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
SG_INLINE struct v16 v16_load(const float *p) {
    return (struct v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
SG_INLINE void v16_store(float *p, struct v16 a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
SG_INLINE struct v16 v16_load_n(const float *p, int n, float fill) {
    const __m256i m0 = v16_mask8(n), m1 = v16_mask8(n - 8);
    const __m256 f = _mm256_set1_ps(fill);
    return (struct v16){_mm256_blendv_ps(f, _mm256_maskload_ps(p, m0), _mm256_castsi256_ps(m0)),
                        _mm256_blendv_ps(f, _mm256_maskload_ps(p + 8, m1), _mm256_castsi256_ps(m1))};
}
SG_INLINE void v16_store_n(float *p, struct v16 a, int n) {
    _mm256_maskstore_ps(p, v16_mask8(n), a.lo);
    _mm256_maskstore_ps(p + 8, v16_mask8(n - 8), a.hi);
}
SG_INLINE struct v16 v16_add(struct v16 a, struct v16 b) {
    return (struct v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
SG_INLINE struct v16 v16_sub(struct v16 a, struct v16 b) {
    return (struct v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
SG_INLINE struct v16 v16_mul(struct v16 a, struct v16 b) {
    return (struct v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
SG_INLINE struct v16 v16_div(struct v16 a, struct v16 b) {
    return (struct v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
SG_INLINE struct v16 v16_fma(struct v16 a, struct v16 b, struct v16 c) {
    return (struct v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
SG_INLINE struct v16 v16_max(struct v16 a, struct v16 b) {
    return (struct v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
SG_INLINE struct v16 v16_if_less(struct v16 x, struct v16 lim, struct v16 yes, struct v16 no) {
    return (struct v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(x.lo, lim.lo, _CMP_LT_OQ)),
                        _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(x.hi, lim.hi, _CMP_LT_OQ))};
}
SG_INLINE uint32_t v16_mask_ge(struct v16 x, struct v16 lim) {
    const int lo = _mm256_movemask_ps(_mm256_cmp_ps(x.lo, lim.lo, _CMP_GE_OQ));
    const int hi = _mm256_movemask_ps(_mm256_cmp_ps(x.hi, lim.hi, _CMP_GE_OQ));
    return (uint32_t)lo | (uint32_t)hi << 8;
}
SG_INLINE struct v16 v16_scale2(struct v16 a, struct v16 shifted) {
    const __m256i n0 = _mm256_slli_epi32(_mm256_castps_si256(shifted.lo), 23);
    const __m256i n1 = _mm256_slli_epi32(_mm256_castps_si256(shifted.hi), 23);
    return (struct v16){_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.lo), n0)),
                        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.hi), n1))};
}
SG_INLINE __m256 v16_bf16_half(__m256 a) {
    const __m256i b = _mm256_castps_si256(a), odd = _mm256_srli_epi32(_mm256_slli_epi32(b, 15), 31);
    const __m256i near = _mm256_add_epi32(_mm256_add_epi32(b, odd), _mm256_set1_epi32(0x7FFF));
    const __m256i up = _mm256_and_si256(near, _mm256_set1_epi32(-65536));
    return _mm256_blendv_ps(_mm256_castsi256_ps(up), _mm256_set1_ps(NAN), _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
SG_INLINE struct v16 v16_bf16(struct v16 a) {
    return (struct v16){v16_bf16_half(a.lo), v16_bf16_half(a.hi)};
}
SG_INLINE float v16_hmax(struct v16 a) {
    const __m256 s8 = _mm256_max_ps(a.lo, a.hi);
    const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
SG_INLINE float v16_sum(struct v16 a) {
    const __m256 s8 = _mm256_add_ps(a.lo, a.hi);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
#else
#    define SG_LANES 16
struct v16 {
    float f[16];
};
#    define SG_EACH  for (int i_ = 0; i_ < 16; i_++)
SG_INLINE struct v16 v16_set1(float x) {
    struct v16 r;
    SG_EACH r.f[i_] = x;
    return r;
}
SG_INLINE struct v16 v16_load(const float *p) {
    struct v16 r;
    memcpy(r.f, p, sizeof r.f);
    return r;
}
SG_INLINE void v16_store(float *p, struct v16 a) {
    memcpy(p, a.f, sizeof a.f);
}
SG_INLINE struct v16 v16_load_n(const float *p, int n, float fill) {
    struct v16 r;
    SG_EACH r.f[i_] = i_ < n ? p[i_] : fill;
    return r;
}
SG_INLINE void v16_store_n(float *p, struct v16 a, int n) {
    for (int i = 0; i < n; i++) p[i] = a.f[i];
}
SG_INLINE struct v16 v16_add(struct v16 a, struct v16 b) {
    SG_EACH a.f[i_] += b.f[i_];
    return a;
}
SG_INLINE struct v16 v16_sub(struct v16 a, struct v16 b) {
    SG_EACH a.f[i_] -= b.f[i_];
    return a;
}
SG_INLINE struct v16 v16_mul(struct v16 a, struct v16 b) {
    SG_EACH a.f[i_] *= b.f[i_];
    return a;
}
SG_INLINE struct v16 v16_div(struct v16 a, struct v16 b) {
    SG_EACH a.f[i_] /= b.f[i_];
    return a;
}
SG_INLINE struct v16 v16_fma(struct v16 a, struct v16 b, struct v16 c) {
    SG_EACH c.f[i_] = fmaf(a.f[i_], b.f[i_], c.f[i_]);
    return c;
}
SG_INLINE struct v16 v16_max(struct v16 a, struct v16 b) {
    SG_EACH a.f[i_] = a.f[i_] > b.f[i_] ? a.f[i_] : b.f[i_];
    return a;
}
SG_INLINE struct v16 v16_if_less(struct v16 x, struct v16 lim, struct v16 yes, struct v16 no) {
    SG_EACH no.f[i_] = x.f[i_] < lim.f[i_] ? yes.f[i_] : no.f[i_];
    return no;
}
SG_INLINE uint32_t v16_mask_ge(struct v16 x, struct v16 lim) {
    uint32_t m = 0;
    SG_EACH m |= (uint32_t)(x.f[i_] >= lim.f[i_]) << i_;
    return m;
}
SG_INLINE struct v16 v16_scale2(struct v16 a, struct v16 shifted) {
    uint32_t x[16], n[16];
    memcpy(x, a.f, sizeof x);
    memcpy(n, shifted.f, sizeof n);
    SG_EACH x[i_] += n[i_] << 23;
    memcpy(a.f, x, sizeof x);
    return a;
}
SG_INLINE struct v16 v16_bf16(struct v16 a) {
    SG_EACH a.f[i_] = sg__bf16_round(a.f[i_]);
    return a;
}
SG_INLINE float v16_hmax(struct v16 a) {
    float top = -INFINITY;
    for (int i = 0; i < 16; i++) top = a.f[i] > top ? a.f[i] : top;
    return top;
}
SG_INLINE float v16_sum(struct v16 a) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.f[i] += a.f[i + half];
    return a.f[0];
}
#    undef SG_EACH
#endif

/* Sixteen at once: lane i = v16_hmax(r[i]), and v16_sum(r[i]) with the same tree of sums. One after another each would wait
 * for the steps of its own tree. */
#if defined(__AVX512F__)
/* Each step puts halves of two neighbours side by side and adds the other halves; line 4 b + j goes in at place b + 4 j, for
 * its sum to come out at lane 4 b + j. */
#    define SG_FOLD(op, a, b, shuffle, low, high) _mm512_##op##_ps(shuffle(a, b, low), shuffle(a, b, high))
#    define SG_FOLD_LINES(op)                                                                                \
        __m512 f[16];                                                                                        \
        SG_UNROLL                                                                                            \
        for (int i = 0; i < 8; i++)                                                                          \
            f[i] = SG_FOLD(op, r[i / 2 + i % 2 * 8].v, r[i / 2 + i % 2 * 8 + 4].v, _mm512_shuffle_f32x4,     \
                           0x44, 0xEE);                                                                      \
        SG_UNROLL                                                                                            \
        for (int i = 0; i < 4; i++)                                                                          \
            f[i] = SG_FOLD(op, f[2 * i], f[2 * i + 1], _mm512_shuffle_f32x4, 0x88, 0xDD);                    \
        SG_UNROLL                                                                                            \
        for (int i = 0; i < 2; i++)                                                                          \
            f[i] = SG_FOLD(op, f[2 * i], f[2 * i + 1], _mm512_shuffle_ps, 0x44, 0xEE);                       \
        return (struct v16) {                                                                                \
            SG_FOLD(op, f[0], f[1], _mm512_shuffle_ps, 0x88, 0xDD)                                           \
        }
SG_INLINE struct v16 v16_hmaxs(const struct v16 r[16]) {
    SG_FOLD_LINES(max);
}
SG_INLINE struct v16 v16_sums(const struct v16 r[16]) {
    SG_FOLD_LINES(add);
}
#else
SG_INLINE struct v16 v16_hmaxs(const struct v16 r[16]) {
    float f[16];
    for (int i = 0; i < 16; i++) f[i] = v16_hmax(r[i]);
    return v16_load(f);
}
SG_INLINE struct v16 v16_sums(const struct v16 r[16]) {
    float f[16];
    for (int i = 0; i < 16; i++) f[i] = v16_sum(r[i]);
    return v16_load(f);
}
#endif

/* Columns of sixteen rows: to[k * stride + r] = lane k of r[r], for the first n rows and all sixteen k. */
SG_INLINE void v16_store_columns(const struct v16 r[16], int n, float *to, int64_t stride) {
#if defined(__AVX512F__)
    /* Blocks of 4 x 4 lanes are turned in two steps, then the blocks among each other in two more. */
    __m512 a[16], b[16];
    const __mmask16 rows = (__mmask16)((1u << n) - 1u);
    SG_UNROLL
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
        a[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
    }
    SG_UNROLL
    for (int i = 0; i < 16; i += 4) { /* b[i + c]: columns c, c + 4, c + 8, c + 12 of rows i to i + 3 */
        b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xEE);
        b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
    }
    SG_UNROLL
    for (int c = 0; c < 4; c++) {
        const __m512 low0 = _mm512_shuffle_f32x4(b[c], b[c + 4], 0x44),
                     low1 = _mm512_shuffle_f32x4(b[c + 8], b[c + 12], 0x44),
                     high0 = _mm512_shuffle_f32x4(b[c], b[c + 4], 0xEE),
                     high1 = _mm512_shuffle_f32x4(b[c + 8], b[c + 12], 0xEE);
        _mm512_mask_storeu_ps(to + c * stride, rows, _mm512_shuffle_f32x4(low0, low1, 0x88));
        _mm512_mask_storeu_ps(to + (c + 4) * stride, rows, _mm512_shuffle_f32x4(low0, low1, 0xDD));
        _mm512_mask_storeu_ps(to + (c + 8) * stride, rows, _mm512_shuffle_f32x4(high0, high1, 0x88));
        _mm512_mask_storeu_ps(to + (c + 12) * stride, rows, _mm512_shuffle_f32x4(high0, high1, 0xDD));
    }
#else
    for (int i = 0; i < n; i++) {
        float lanes[16];
        v16_store(lanes, r[i]);
        for (int k = 0; k < 16; k++) to[k * stride + i] = lanes[k];
    }
#endif
}

/* exp(x) = 2^n p: x = n ln2 + r with |r| <= ln2 / 2 (Cody and Waite's two-part ln2), p = exp(r) by the degree-6
 * polynomial of Cephes' expf. 1.5 * 2^23 added rounds to an integer n that then stands in the low bits of *shifted. */
SG_INLINE struct v16 v16_exp_parts(struct v16 x, struct v16 *shifted) {
    const struct v16 round = v16_set1(12582912.0f);
    *shifted = v16_fma(x, v16_set1(1.44269504088896341f), round);
    const struct v16 n = v16_sub(*shifted, round);
    struct v16 r = v16_fma(n, v16_set1(-0.693359375f), x);
    r = v16_fma(n, v16_set1(2.12194440e-4f), r);
    struct v16 p = v16_set1(1.9875691500e-4f);
    p = v16_fma(p, r, v16_set1(1.3981999507e-3f));
    p = v16_fma(p, r, v16_set1(8.3334519073e-3f));
    p = v16_fma(p, r, v16_set1(4.1665795894e-2f));
    p = v16_fma(p, r, v16_set1(1.6666665459e-1f));
    p = v16_fma(p, r, v16_set1(5.0000001201e-1f));
    return v16_fma(p, v16_mul(r, r), v16_add(r, v16_set1(1.0f)));
}
/* exp(x): within 2 ulp (2.4e-7 relative) for -87 <= x <= 88, 0 below, +inf above, NaN for NaN. The bound is tested in
 * tests/kernels/test_exp.c. */
SG_INLINE struct v16 v16_exp(struct v16 x) {
    struct v16 shifted;
    const struct v16 p = v16_exp_parts(x, &shifted);
    const struct v16 in = v16_scale2(p, shifted), out = v16_mul(x, v16_set1(INFINITY)); /* +inf, or NaN */
    const struct v16 most = v16_if_less(x, v16_set1(88.0f), in, out);
    return v16_if_less(x, v16_set1(-87.0f), v16_set1(0.0f), most);
}
/* The same bits for x <= 0, in fewer steps: what softmax asks for. NaN stays NaN: a product keeps it. */
SG_INLINE struct v16 v16_exp_down(struct v16 x) {
    struct v16 shifted;
    const struct v16 p = v16_exp_parts(x, &shifted);
    const struct v16 in = v16_mul(p, v16_scale2(v16_set1(1.0f), shifted));
    return v16_if_less(x, v16_set1(-87.0f), v16_set1(0.0f), in);
}
SG_INLINE float v16_exp1(float x) {
    float f[16];
    v16_store(f, v16_exp(v16_set1(x)));
    return f[0];
}

#endif

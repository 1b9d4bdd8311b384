#include "kernels/fp8.h"

#include "kernels/host.h"
#include <string.h>

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

enum { CHUNK = 256 };
static const uint32_t INF = 0x7F800000u, SIGN = 0x80000000u;

static bool is_number(uint32_t bits) {
    return (int32_t)(bits & ~SIGN) < (int32_t)INF;
}

/* n <= CHUNK elements from the i-th on as floats: every dtype is exact in them. bf16, what checkpoints are
 * made of, in a loop that compilers turn into vector code, like those below. */
static void load(float *to, const void *from, int64_t i, int64_t n, enum sg_dtype t) {
    if (t == SG_BF16) {
        const char *at = (const char *)from + 2 * i;
        for (int64_t j = 0; j < n; j++) {
            uint16_t h;
            memcpy(&h, at + 2 * j, sizeof h);
            to[j] = float_of((uint32_t)h << 16);
        }
    } else {
        for (int64_t j = 0; j < n; j++) to[j] = sg_dtype_to_f32(from, i + j, t);
    }
}

/* Positive floats are ordered as their bits: with integers, compilers make the choices below without jumps.
 */
enum { MOST = 0x43E00000, LEAST_NORMAL = 0x3C800000 }; /* bits of 448 and of 2^-6 */

/* x 2^-k as the nearest e4m3 number without its sign; of NaN and infinities any number. inv = 2^-k. */
static float nearest(uint32_t x, float inv) {
    const int32_t scaled = (int32_t)bits_of(float_of(x & ~SIGN) * inv), a = scaled < MOST ? scaled : MOST;
    /* p: the power of two at or below a, or that of the smallest normal number. Codes are p/8 apart there, as
     * floats are around 1.5 * 2^20 p: adding that rounds as float addition does, to nearest even. */
    const int32_t power = a & (int32_t)INF, p = power > LEAST_NORMAL ? power : LEAST_NORMAL;
    const float c = float_of((uint32_t)p) * 0x1.8p20f;
    return (float_of((uint32_t)a) + c) - c;
}

static float scale_of(int k) {
    return float_of((uint32_t)(k + 127) << 23);
}

int sg__fp8_exponent(const void *row, int64_t n, enum sg_dtype t) {
    float x[CHUNK];
    int32_t most = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t some = n - i < CHUNK ? n - i : CHUNK;
        load(x, row, i, some, t);
        for (int64_t j = 0; j < some; j++) {
            const uint32_t u = bits_of(x[j]);
            const int32_t size = is_number(u) ? (int32_t)(u & ~SIGN) : 0;
            most = size > most ? size : most;
        }
    }
    if (most == 0) return 0;
    if (most < 0x00800000) return SG__FP8_MIN_EXPONENT; /* a subnormal float */
    /* most = 2^e (1 + fraction), 448 = 2^8 * 1.75 */
    const int e = (most >> 23) - 127;
    const int k = e - 8 + ((most & 0x007FFFFF) > 0x00600000);
    return k < SG__FP8_MIN_EXPONENT   ? SG__FP8_MIN_EXPONENT
           : k > SG__FP8_MAX_EXPONENT ? SG__FP8_MAX_EXPONENT
                                      : k;
}

void sg__fp8_encode(uint8_t *to, const void *from, int64_t n, enum sg_dtype t, int k) {
    float x[CHUNK];
    const float inv = scale_of(-k);
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t some = n - i < CHUNK ? n - i : CHUNK;
        load(x, from, i, some, t);
        for (int64_t j = 0; j < some; j++) {
            const uint32_t u = bits_of(x[j]);
            const float r = nearest(u, inv);
            /* Exponent and fraction of a float lie as those of e4m3 do, 20 bits up; a subnormal code is the
             * fraction of what lies 2^-6 above it. */
            const int32_t bits = (int32_t)bits_of(r), normal = bits - (120 << 23);
            const int32_t subnormal = (int32_t)bits_of(r + 0x1p-6f) - (121 << 23);
            const int32_t code = (bits < LEAST_NORMAL ? subnormal : normal) >> 20;
            to[i + j] = (uint8_t)((is_number(u) ? code : 0x7F) | (int32_t)((u & SIGN) >> 24));
        }
    }
}

void sg__fp8_round_row(uint16_t *to, int64_t stride, const void *row, int64_t n, enum sg_dtype t) {
    float x[CHUNK];
    uint16_t y[CHUNK];
    const int k = sg__fp8_exponent(row, n, t);
    const float inv = scale_of(-k), scale = scale_of(k);
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t some = n - i < CHUNK ? n - i : CHUNK;
        load(x, row, i, some, t);
        for (int64_t j = 0; j < some; j++) {
            const uint32_t u = bits_of(x[j]);
            const uint32_t bf16 = bits_of(nearest(u, inv) * scale) >> 16; /* exact */
            y[j] = (uint16_t)((is_number(u) ? bf16 : 0x7FC0u) | (u & SIGN) >> 16);
        }
        for (int64_t j = 0; j < some; j++) to[(i + j) * stride] = y[j];
    }
}

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
        for (int64_t j = 0; j < n; j++) to[j] = sg__dtype_to_f32(from, i + j, t);
    }
}

/* x 2^-k as the nearest e4m3 number without its sign; of NaN and infinities any number. inv = 2^-k. */
static float nearest(uint32_t x, float inv) {
    float a = float_of(x & ~SIGN) * inv;
    a = a < 448.0f ? a : 448.0f;
    /* p: the power of two at or below a, or that of the smallest normal number. Codes are p/8 apart there, as
     * floats are around 1.5 * 2^20 p: adding that rounds as float addition does, to nearest even. */
    float p = float_of(bits_of(a) & INF);
    p = p > 0x1p-6f ? p : 0x1p-6f;
    const float c = p * 0x1.8p20f;
    return (a + c) - c;
}

static float scale_of(int k) {
    return float_of((uint32_t)(k + 127) << 23);
}

int sg__fp8_exponent(const void *row, int64_t n, enum sg_dtype t) {
    float x[CHUNK];
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t some = n - i < CHUNK ? n - i : CHUNK;
        load(x, row, i, some, t);
        for (int64_t j = 0; j < some; j++) {
            const uint32_t u = bits_of(x[j]) & ~SIGN, finite = u < INF ? u : 0;
            most = finite > most ? finite : most;
        }
    }
    if (most == 0) return 0;
    if (most < 0x00800000u) return SG__FP8_MIN_EXPONENT; /* a subnormal float */
    /* most = 2^e (1 + fraction), 448 = 2^8 * 1.75 */
    const int e = (int)(most >> 23) - 127;
    const int k = e - 8 + ((most & 0x007FFFFFu) > 0x00600000u);
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
            const uint32_t normal = bits_of(r) - (120u << 23),
                           subnormal = bits_of(r + 0x1p-6f) - (121u << 23);
            uint32_t code = (r < 0x1p-6f ? subnormal : normal) >> 20;
            code = (u & ~SIGN) < INF ? code : 0x7Fu;
            to[i + j] = (uint8_t)(code | (u & SIGN) >> 24);
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
            y[j] = (uint16_t)(((u & ~SIGN) < INF ? bf16 : 0x7FC0u) | (u & SIGN) >> 16);
        }
        for (int64_t j = 0; j < some; j++) to[(i + j) * stride] = y[j];
    }
}

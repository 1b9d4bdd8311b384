/* dtype - element types: names, sizes, exact conversion to float. */
#include "kernels/bf16.h"

#include <string.h>

const char *sg_dtype_name(enum sg_dtype t) {
#define SG_NAME(code, name, bytes) name,
    static const char *const names[] = {SG_DTYPE_LIST(SG_NAME)};
#undef SG_NAME
    return (unsigned)t < SG_DTYPE_COUNT ? names[t] : "?";
}

size_t sg_dtype_bytes(enum sg_dtype t) {
#define SG_SIZE(code, name, bytes) bytes,
    static const unsigned char sizes[] = {SG_DTYPE_LIST(SG_SIZE)};
#undef SG_SIZE
    return (unsigned)t < SG_DTYPE_COUNT ? sizes[t] : 0;
}

/* IEEE binary16 to float: every value is exact, NaN payloads are kept. */
static float f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = (h >> 10) & 31u, man = h & 1023u;
    float f;
    if (exp == 0) { /* zero and subnormals: man * 2^-24 */
        f = (float)man * 0x1p-24f;
        return sign ? -f : f;
    }
    const uint32_t bits = sign | (exp == 31 ? 0x7F800000u : (exp + 112) << 23) | man << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float sg_dtype_to_f32(const void *data, int64_t i, enum sg_dtype t) {
    const char *at = (const char *)data + (size_t)i * sg_dtype_bytes(t);
    uint16_t half;
    uint32_t bits;
    float f;
    if (t == SG_F32) {
        memcpy(&f, at, sizeof f);
        return f;
    }
    memcpy(&half, at, sizeof half);
    if (t == SG_F16) return f16_to_f32(half);
    bits = (uint32_t)half << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void sg__bf16_from(uint16_t *to, const void *from, int64_t n, enum sg_dtype t) {
    for (int64_t i = 0; i < n; i++) to[i] = (uint16_t)(sg__bf16_bits(sg_dtype_to_f32(from, i, t)) >> 16);
}

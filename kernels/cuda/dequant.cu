/* dequant - out[r][c] = codes[r][c] * scale[r], e4m3 to bf16 or float32, in front of the product with such a
 * weight
 * codes [rows][cols] e4m3 (kernels/fp8.h), scale [rows] powers of two, out bf16 or float32 [rows][cols].
 * Exact; NaN of either sign becomes one. rows cols multiplications twice over; reads rows (cols + 4) bytes,
 * writes 2 rows cols (float32: 4). A block makes one row, a thread 16 neighbours at a time: one load, two
 * (four) stores of 16 bytes where rows are aligned to that. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

/* Exponent and fraction of e4m3, moved to where a float has them, make 2^-120 times the number, subnormals
 * included; both products are exact, and no bit of the last lies below bf16's. */
static __device__ __forceinline__ uint32_t decode(uint32_t code, float scale) {
    const uint32_t sign = (code & 0x80u) << 24, rest = code & 0x7fu;
    const float f = __uint_as_float(sign | rest << 20) * 0x1p120f * scale;
    return rest == 0x7fu ? sign | 0x7fc00000u : __float_as_uint(f);
}
/* Two bf16 of the low two codes of a word. */
static __device__ __forceinline__ uint32_t decode2(uint32_t codes, float scale) {
    return decode(codes & 0xffu, scale) >> 16 | (decode(codes >> 8 & 0xffu, scale) & 0xffff0000u);
}

/* Four of a word. */
static __device__ __forceinline__ void put4(float *to, uint32_t codes, float scale) {
    st16(to, make_uint4(decode(codes & 0xffu, scale), decode(codes >> 8 & 0xffu, scale),
                        decode(codes >> 16 & 0xffu, scale), decode(codes >> 24, scale)));
}
static __device__ __forceinline__ void put16(float *to, uint4 codes, float scale) {
    put4(to, codes.x, scale), put4(to + 4, codes.y, scale);
    put4(to + 8, codes.z, scale), put4(to + 12, codes.w, scale);
}
static __device__ __forceinline__ void put16(bf16 *to, uint4 u, float s) {
    st16(to, make_uint4(decode2(u.x, s), decode2(u.x >> 16, s), decode2(u.y, s), decode2(u.y >> 16, s)));
    st16(to + 8, make_uint4(decode2(u.z, s), decode2(u.z >> 16, s), decode2(u.w, s), decode2(u.w >> 16, s)));
}
static __device__ __forceinline__ void put(float *to, uint32_t code, float scale) {
    *to = __uint_as_float(decode(code, scale));
}
static __device__ __forceinline__ void put(bf16 *to, uint32_t code, float scale) {
    const uint16_t h = (uint16_t)(decode(code, scale) >> 16);
    memcpy(to, &h, sizeof h);
}

template <class T, bool WIDE>
static __global__ void __launch_bounds__(512)
    dequant_kernel(T *out, const uint8_t *codes, const float *scale, int32_t cols) {
    const int64_t row = (int64_t)blockIdx.x * cols;
    const float s = scale[blockIdx.x];
    if (WIDE) {
        for (int c = (int)threadIdx.x * 16; c < cols; c += (int)blockDim.x * 16)
            put16(out + row + c, ld16(codes + row + c), s);
    } else {
        for (int c = (int)threadIdx.x; c < cols; c += (int)blockDim.x) put(out + row + c, codes[row + c], s);
    }
}

template <class T>
static int launch(T *out, const uint8_t *codes, const float *scale, int64_t rows, int32_t cols,
                  void *stream) {
    const int threads = sg__row_threads(cols / 2);
    if (cols % 16 == 0 && sg__wide(cols, out, codes, nullptr))
        return LAUNCH((dequant_kernel<T, true>), (unsigned)rows, threads, 0, stream, out, codes, scale, cols);
    return LAUNCH((dequant_kernel<T, false>), (unsigned)rows, threads, 0, stream, out, codes, scale, cols);
}

extern "C" int sg__launch_dequant(void *out, const void *codes, const float *scale, int64_t rows,
                                  int32_t cols, bool f32, void *stream) {
    if (f32) return launch((float *)out, (const uint8_t *)codes, scale, rows, cols, stream);
    return launch((bf16 *)out, (const uint8_t *)codes, scale, rows, cols, stream);
}

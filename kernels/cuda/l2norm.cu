/* l2norm - out[i][:] = x[i][:] / max(|x[i]|_2, 1e-12)
 * x bf16 or float32 [n][cols], out f32 [n][cols]. 5 n cols flops; reads 2 n cols bytes (float32: 4), writes 4
 * n cols. A block per row; the sum of squares has an order that depends on cols alone, and is taken relative
 * to the largest value. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

template <class T, bool WIDE>
static __global__ void __launch_bounds__(512) l2norm_kernel(float *out, const T *x, int32_t cols) {
    SHARED(float, part, [16]);
    const int64_t row = (int64_t)blockIdx.x * cols;
    const int first = (int)threadIdx.x * 8, step = (int)blockDim.x * 8;
    float top = 0.0f, squares = 0.0f;
    for (int i = first; i < cols; i += step) {
        float v[8];
        load8<WIDE>(v, x + row + i, cols - i);
        for (int j = 0; j < 8; j++) top = nan_max(top, fabsf(v[j]));
    }
    top = block_max(top, part);
    const float by = top > 0.0f ? 1.0f / top : 1.0f; /* or squares leave the range of float */
    for (int i = first; i < cols; i += step) {
        float v[8];
        load8<WIDE>(v, x + row + i, cols - i);
        for (int j = 0; j < 8; j++) squares += (v[j] * by) * (v[j] * by);
    }
    const float norm = sqrtf(block_sum(squares, part)), floor = 1e-12f * by;
    const float scale = 1.0f / (norm < floor ? floor : norm) * by; /* not fmaxf: it would hide a NaN */
    for (int i = first; i < cols; i += step) {
        float v[8];
        load8<WIDE>(v, x + row + i, cols - i);
        for (int j = 0; j < 8 && j < cols - i; j++) out[row + i + j] = v[j] * scale;
    }
}

template <class T> static int launch(float *out, const T *x, int32_t n, int32_t cols, void *stream) {
    const int threads = sg__row_threads(cols);
    if (sg__wide(cols, nullptr, x, nullptr))
        return LAUNCH((l2norm_kernel<T, true>), n, threads, 0, stream, out, x, cols);
    return LAUNCH((l2norm_kernel<T, false>), n, threads, 0, stream, out, x, cols);
}

extern "C" int sg__launch_l2norm(float *out, const void *x, int32_t n, int32_t cols, bool f32, void *stream) {
    return f32 ? launch(out, (const float *)x, n, cols, stream)
               : launch(out, (const bf16 *)x, n, cols, stream);
}

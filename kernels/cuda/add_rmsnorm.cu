/* add_rmsnorm - resid[i] += delta[i] (delta may be NULL), then
 * out[i][j] = resid[i][j] / sqrt(mean_j(resid[i][j]^2) + eps) * weight[j]   (RMSNorm, arXiv:1910.07467)
 * resid f32, delta, out T [n][cols], T = bf16 or float32, weight f32 [cols]. Sums are float32 in an order
 * that depends on cols alone; the only roundings to bf16 are those of delta, before, and of out. 5 n cols
 * flops; moves 12 n cols bytes with delta, 6 without (a residual in bf16 would be 8 and 4), in float32 16
 * and 8. A block per row: the second sweep finds the row in the cache. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

template <class T, bool WIDE>
static __global__ void __launch_bounds__(512)
    add_rmsnorm_kernel(T *out, float *resid, const T *delta, const float *weight, int32_t cols, float eps) {
    SHARED(float, part, [16]);
    const int64_t row = (int64_t)blockIdx.x * cols;
    const int first = (int)threadIdx.x * 8, step = (int)blockDim.x * 8;
    float squares = 0.0f;
    for (int i = first; i < cols; i += step) {
        float r[8];
        load8<WIDE>(r, resid + row + i, cols - i);
        if (delta) {
            float d[8];
            load8<WIDE>(d, delta + row + i, cols - i);
            for (int j = 0; j < 8; j++) r[j] += d[j];
            store8<WIDE>(resid + row + i, r, cols - i);
        }
        for (int j = 0; j < 8; j++) squares += r[j] * r[j];
    }
    const float scale = 1.0f / sqrtf(block_sum(squares, part) / (float)cols + eps);
    for (int i = first; i < cols; i += step) {
        float r[8];
        load8<WIDE>(r, resid + row + i, cols - i);
        for (int j = 0; j < 8; j++) r[j] = WIDE || j < cols - i ? r[j] * scale * weight[i + j] : 0.0f;
        store8<WIDE>(out + row + i, r, cols - i);
    }
}

template <class T>
static int launch(T *out, float *resid, const T *delta, const float *weight, int32_t n, int32_t cols,
                  float eps, void *stream) {
    const int threads = sg__row_threads(cols);
    if (sg__wide(cols, out, resid, delta))
        return LAUNCH((add_rmsnorm_kernel<T, true>), n, threads, 0, stream, out, resid, delta, weight, cols,
                      eps);
    return LAUNCH((add_rmsnorm_kernel<T, false>), n, threads, 0, stream, out, resid, delta, weight, cols,
                  eps);
}

extern "C" int sg__launch_add_rmsnorm(void *out, float *resid, const void *delta, const float *weight,
                                      int32_t n, int32_t cols, float eps, bool f32, void *stream) {
    if (f32) return launch((float *)out, resid, (const float *)delta, weight, n, cols, eps, stream);
    return launch((bf16 *)out, resid, (const bf16 *)delta, weight, n, cols, eps, stream);
}

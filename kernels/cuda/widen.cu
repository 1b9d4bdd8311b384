/* widen - out[i] = x[i], bf16 to float32, in front of a product in float32 with a weight that is kept in bf16
 * x bf16 [n], out f32 [n]. Exact. No flops; reads 2 n bytes, writes 4 n. A thread takes 8 neighbours, where n
 * and the arrays allow it by one load and two stores of 16 bytes. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 256 };

template <bool WIDE>
static __global__ void __launch_bounds__(THREADS) widen_kernel(float *out, const bf16 *x, int64_t n) {
    const int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 8;
    if (at < n) {
        const int left = n - at < 8 ? (int)(n - at) : 8;
        float v[8];
        load8<WIDE>(v, x + at, left);
        store8<WIDE>(out + at, v, left);
    }
}

extern "C" int sg__launch_widen(float *out, const void *x, int64_t n, void *stream) {
    const unsigned blocks = (unsigned)sg__blocks(n, 8 * THREADS);
    if (sg__wide((int32_t)(n % 8), out, x, nullptr))
        return LAUNCH(widen_kernel<true>, blocks, THREADS, 0, stream, out, (const bf16 *)x, n);
    return LAUNCH(widen_kernel<false>, blocks, THREADS, 0, stream, out, (const bf16 *)x, n);
}

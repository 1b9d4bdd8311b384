/* read - sums n floats, to measure what rate memory is read at: out[b] is block b's sum.
 * Reads 4 n bytes, adds n times. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS) read_kernel(float *out, const float *x, int64_t n) {
    SHARED(float, part, [THREADS / 32]);
    float sum = 0.0f;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n;
         i += (int64_t)gridDim.x * THREADS * 4) {
        const uint4 u = ld16(x + i);
        sum += __uint_as_float(u.x) + __uint_as_float(u.y) + __uint_as_float(u.z) + __uint_as_float(u.w);
    }
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

extern "C" int sg__launch_read(float *out, const float *x, int64_t n, int32_t blocks, void *stream) {
    return LAUNCH(read_kernel, blocks, THREADS, 0, stream, out, x, n);
}

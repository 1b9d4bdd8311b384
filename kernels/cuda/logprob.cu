/* logprob - out[i] = log softmax(logits[i])[target[i]], temperature 1; NaN when the row holds a NaN
 * logits f32 [n][vocab], target [n], out f32 [n]. About 4 n vocab flops; reads 4 n vocab bytes twice, the
 * second time mostly from the cache. A block per row; sums have a fixed order. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 512 };

static __global__ void __launch_bounds__(THREADS)
    logprob_kernel(float *out, const float *logits, const int32_t *target, int32_t vocab) {
    SHARED(float, part, [THREADS / 32]);
    const float *x = logits + (int64_t)blockIdx.x * vocab;
    float top = -INFINITY, sum = 0.0f;
    for (int i = (int)threadIdx.x; i < vocab; i += THREADS) top = nan_max(top, x[i]);
    top = block_max(top, part);
    for (int i = (int)threadIdx.x; i < vocab; i += THREADS) sum += expf(x[i] - top);
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) out[blockIdx.x] = x[target[blockIdx.x]] - top - logf(sum);
}

extern "C" int sg__launch_logprob(float *out, const float *logits, const int32_t *target, int32_t n,
                                  int32_t vocab, void *stream) {
    return LAUNCH(logprob_kernel, n, THREADS, 0, stream, out, logits, target, vocab);
}

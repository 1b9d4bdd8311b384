/* feed_tokens - ids[i] = max(token[from[i]], 0) where from[i] >= 0, unchanged elsewhere
 * token, from, ids int32. No flops; reads at most 8 n bytes, writes at most 4 n. A thread takes one id. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 128 };

static __global__ void __launch_bounds__(THREADS)
    feed_tokens_kernel(int32_t *ids, const int32_t *token, const int32_t *from, int32_t n) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n && from[i] >= 0) {
        const int32_t t = token[from[i]];
        ids[i] = t > 0 ? t : 0;
    }
}

extern "C" int sg__launch_feed_tokens(int32_t *ids, const int32_t *token, const int32_t *from, int32_t n,
                                      void *stream) {
    return LAUNCH(feed_tokens_kernel, (unsigned)sg__blocks(n, THREADS), THREADS, 0, stream, ids, token, from,
                  n);
}

/* embed - out[i][:] = w[ids[i]][:], widened to float32: the residual stream begins
 * w bf16 [rows][cols], ids [n], out f32 [n][cols]. No flops; reads n (2 cols + 4) bytes, writes 4 n cols.
 * A block takes one row, 8 values a thread, 16 bytes at a time where rows are aligned to that. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

template <bool WIDE>
static __global__ void __launch_bounds__(512)
    embed_kernel(float *out, const bf16 *w, const int32_t *ids, int32_t cols) {
    const bf16 *from = w + (int64_t)ids[blockIdx.x] * cols;
    float *to = out + (int64_t)blockIdx.x * cols;
    for (int i = (int)threadIdx.x * 8; i < cols; i += (int)blockDim.x * 8) {
        float v[8];
        load8<WIDE>(v, from + i, cols - i);
        store8<WIDE>(to + i, v, cols - i);
    }
}

extern "C" int sg__launch_embed(float *out, const void *w, const int32_t *ids, int32_t n, int32_t cols,
                                void *stream) {
    const int threads = sg__row_threads(cols);
    if (sg__wide(cols, out, w, nullptr))
        return LAUNCH(embed_kernel<true>, n, threads, 0, stream, out, (const bf16 *)w, ids, cols);
    return LAUNCH(embed_kernel<false>, n, threads, 0, stream, out, (const bf16 *)w, ids, cols);
}

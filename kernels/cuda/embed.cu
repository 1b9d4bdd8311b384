/* embed - out[i][:] = w[ids[i]][:]
 * w bf16 [rows][cols], ids [n], out bf16 [n][cols]. No flops; reads n (2 cols + 4) bytes, writes 2 n cols.
 * A block copies one row, 16 bytes a thread where rows are aligned to that. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

template <bool WIDE>
static __global__ void __launch_bounds__(512)
    embed_kernel(bf16 *out, const bf16 *w, const int32_t *ids, int32_t cols) {
    copy_row<WIDE>(out + (int64_t)blockIdx.x * cols, w + (int64_t)ids[blockIdx.x] * cols, cols);
}

extern "C" int sg__launch_embed(void *out, const void *w, const int32_t *ids, int32_t n, int32_t cols,
                                void *stream) {
    const int threads = sg__row_threads(cols);
    if (sg__wide(cols, out, w, nullptr))
        return LAUNCH(embed_kernel<true>, n, threads, 0, stream, (bf16 *)out, (const bf16 *)w, ids, cols);
    return LAUNCH(embed_kernel<false>, n, threads, 0, stream, (bf16 *)out, (const bf16 *)w, ids, cols);
}

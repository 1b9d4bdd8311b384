/* gather_rows - out[i][:] = x[rows[i]][:]
 * x, out bf16 [.][cols], rows [n]. No flops; reads n (2 cols + 4) bytes, writes 2 n cols. A block copies one
 * row, 16 bytes a thread where rows are aligned to that. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

template <bool WIDE>
static __global__ void __launch_bounds__(512)
    gather_kernel(bf16 *out, const bf16 *x, const int32_t *rows, int32_t cols) {
    copy_row<WIDE>(out + (int64_t)blockIdx.x * cols, x + (int64_t)rows[blockIdx.x] * cols, cols);
}

extern "C" int sg__launch_gather_rows(void *out, const void *x, const int32_t *rows, int32_t n, int32_t cols,
                                      void *stream) {
    const int threads = sg__row_threads(cols);
    if (sg__wide(cols, out, x, nullptr))
        return LAUNCH(gather_kernel<true>, n, threads, 0, stream, (bf16 *)out, (const bf16 *)x, rows, cols);
    return LAUNCH(gather_kernel<false>, n, threads, 0, stream, (bf16 *)out, (const bf16 *)x, rows, cols);
}

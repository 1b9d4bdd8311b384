/* embed - out[i][:] = w[ids[i]][:], widened to float32: the residual stream begins
 * w T [rows][cols], T = bf16 or float32, ids [n], out f32 [n][cols]. No flops; reads n (2 cols + 4) bytes
 * (float32: n (4 cols + 4)), writes 4 n cols.
 * A block takes one row, 8 values a thread, 16 bytes at a time where rows are aligned to that. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

template <class T, bool WIDE>
static __global__ void __launch_bounds__(512)
    embed_kernel(float *out, const T *w, const int32_t *ids, int32_t cols) {
    const T *from = w + (int64_t)ids[blockIdx.x] * cols;
    float *to = out + (int64_t)blockIdx.x * cols;
    for (int i = (int)threadIdx.x * 8; i < cols; i += (int)blockDim.x * 8) {
        float v[8];
        load8<WIDE>(v, from + i, cols - i);
        store8<WIDE>(to + i, v, cols - i);
    }
}

template <class T>
static int launch(float *out, const T *w, const int32_t *ids, int32_t n, int32_t cols, void *stream) {
    const int threads = sg__row_threads(cols);
    if (sg__wide(cols, out, w, nullptr))
        return LAUNCH((embed_kernel<T, true>), n, threads, 0, stream, out, w, ids, cols);
    return LAUNCH((embed_kernel<T, false>), n, threads, 0, stream, out, w, ids, cols);
}

extern "C" int sg__launch_embed(float *out, const void *w, bool w_f32, const int32_t *ids, int32_t n,
                                int32_t cols, void *stream) {
    return w_f32 ? launch(out, (const float *)w, ids, n, cols, stream)
                 : launch(out, (const bf16 *)w, ids, n, cols, stream);
}

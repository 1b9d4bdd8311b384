/* swiglu - out[i][j] = silu(g) u with g = gate_up[i][j], u = gate_up[i][cols + j], silu(x) = x / (1 +
 * exp(-x)) gate_up T [n][2 cols], out T [n][cols], T = bf16 or float32. About 4 n cols flops; moves 6 n cols
 * bytes (float32: 12). A thread makes 8 neighbours of one row. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 256 };

template <class T, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    swiglu_kernel(T *out, const T *gate_up, int64_t chunks, int32_t per_row, int32_t cols) {
    const int64_t chunk = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (chunk < chunks) {
        const int64_t row = chunk / per_row;
        const int i = (int)(chunk - row * per_row) * 8;
        float g[8], u[8];
        load8<WIDE>(g, gate_up + row * 2 * cols + i, cols - i);
        load8<WIDE>(u, gate_up + row * 2 * cols + cols + i, cols - i);
        for (int j = 0; j < 8; j++) g[j] = g[j] / (1.0f + exp_for<T>(-g[j])) * u[j];
        store8<WIDE>(out + row * cols + i, g, cols - i);
    }
}

template <class T> static int launch(T *out, const T *gate_up, int32_t n, int32_t cols, void *stream) {
    const int32_t per_row = (int32_t)sg__blocks(cols, 8);
    const int64_t chunks = (int64_t)n * per_row, blocks = sg__blocks(chunks, THREADS);
    if (sg__wide(cols, out, gate_up, nullptr))
        return LAUNCH((swiglu_kernel<T, true>), (unsigned)blocks, THREADS, 0, stream, out, gate_up, chunks,
                      per_row, cols);
    return LAUNCH((swiglu_kernel<T, false>), (unsigned)blocks, THREADS, 0, stream, out, gate_up, chunks,
                  per_row, cols);
}

extern "C" int sg__launch_swiglu(void *out, const void *gate_up, int32_t n, int32_t cols, bool f32,
                                 void *stream) {
    if (f32) return launch((float *)out, (const float *)gate_up, n, cols, stream);
    return launch((bf16 *)out, (const bf16 *)gate_up, n, cols, stream);
}

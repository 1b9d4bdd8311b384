/* bugs - see bugs.h. Each fault is one that a GPU would let pass now and then, or always. */
#include "kernels/cuda/device.cuh"
#include "tests/cuda/bugs.h"

enum { THREADS = 256, WARPS = THREADS / 32, ROW = 256 };

static __global__ void __launch_bounds__(THREADS) reduce_kernel(float *out, const float *x, int n, bug b) {
    SHARED(float, part, [WARPS]);
    SHARED(float, never, [1]);
    const int t = (int)threadIdx.x, lane = t & 31, w = t >> 5;
    float sum = 0.0f;
    if (b == BUG_EARLY_RETURN && t == THREADS - 1) return;
    for (int i = t * 4; i < n; i += THREADS * 4) {
        const int at = b == BUG_MISALIGNED ? i + 1 : b == BUG_GLOBAL_BOUNDS ? i + n : i;
        const uint4 u = ld16(x + at);
        sum += __uint_as_float(u.x) + __uint_as_float(u.y) + __uint_as_float(u.z) + __uint_as_float(u.w);
    }
    const unsigned mask = b == BUG_SHUFFLE_MASK ? 0x0000ffffu : 0xffffffffu;
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(mask, sum, o);
    if (lane == 0) part[b == BUG_SHARED_BOUNDS ? w + 1 : w] = sum;
    if (b != BUG_NO_SYNCTHREADS) __syncthreads();
    if (w == 0) {
        sum = lane < WARPS ? part[lane] : 0.0f;
        if (b == BUG_UNWRITTEN_SHARED) sum += never[0];
        if (b != BUG_SHUFFLE_BRANCH || lane < 8)
            for (int o = 4; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
        if (b == BUG_SHUFFLE_BRANCH && lane >= 8) sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        if (b == BUG_DIVERGENT_BARRIER) __syncthreads();
        if (t == 0) out[0] = sum;
    }
    __syncthreads();
}
static __global__ void __launch_bounds__(THREADS) big_smem_kernel(float *out) {
    DYN_SMEM(raw);
    if (threadIdx.x == 0) out[0] = (float)raw[0];
}
int sg__bug_reduce(float *out, const float *x, int n, bug b, void *stream) {
    if (b == BUG_GRID_OVERFLOW)
        return LAUNCH(reduce_kernel, n * 65536LL * 4096, THREADS, 0, stream, out, x, n, b);
    if (b == BUG_BLOCK_TOO_LARGE) return LAUNCH(reduce_kernel, 1, 2048, 0, stream, out, x, n, b);
    if (b == BUG_SMEM_NOT_ALLOWED) return LAUNCH(big_smem_kernel, 1, THREADS, 64 * 1024, stream, out);
    if (b == BUG_SMEM_OVER_DEVICE) return ALLOW_SMEM(big_smem_kernel, 256 * 1024);
    return LAUNCH(reduce_kernel, 1, THREADS, 0, stream, out, x, n, b);
}

static __global__ void __launch_bounds__(THREADS) exchange_kernel(float *out, const float *x, bug b) {
    SHARED(float, cell, [THREADS]);
    const int t = (int)threadIdx.x;
    cell[t] = x[t];
    if (b == BUG_DEADLOCK && t < 16) __syncthreads(); /* half a warp here, the other half below */
    if (b != BUG_NO_SYNCWARP) __syncwarp();
    out[t] = cell[t ^ 1];
    __syncthreads();
}
int sg__bug_exchange(float *out, const float *x, int n, bug b, void *stream) {
    (void)n;
    return LAUNCH(exchange_kernel, 1, THREADS, 0, stream, out, x, b);
}

/* A row goes to a buffer 64 lanes wide; warps read what other warps have copied. */
static __device__ __forceinline__ void copy_row(float *to, const float *from, bug b) {
    const int t = (int)threadIdx.x;
    if (t < ROW / 4) cp_async16(to + t * 4 + (b == BUG_COPY_MISALIGNED ? 1 : 0), from + t * 4, 1);
    cp_async_commit();
}
static __global__ void __launch_bounds__(THREADS) stream_kernel(float *out, const float *x, int rows, bug b) {
    SHARED_ALIGNED(float, buffer, [2][ROW]);
    const int t = (int)threadIdx.x;
    float sum = 0.0f;
    copy_row(buffer[0], x, b);
    for (int r = 0; r < rows; r++) {
        const bool more = r + 1 < rows || b == BUG_COPY_LEFT_OPEN;
        if (more) copy_row(buffer[(r + 1) & 1], x + (int64_t)(r + 1 < rows ? r + 1 : 0) * ROW, b);
        if (b == BUG_COPY_NOT_WAITED)
            cp_async_wait(2);
        else if (more)
            cp_async_wait(1);
        else
            cp_async_wait(0);
        __syncthreads();
        sum += buffer[r & 1][(t * 7 + 64) % ROW]; /* another warp's */
        if (b != BUG_NO_BARRIER_BEFORE_REFILL) __syncthreads();
    }
    if (b == BUG_COPY_NOT_WAITED) cp_async_wait(0);
    out[(t * 7 + 64) % ROW] = sum;
}
int sg__bug_stream(float *out, const float *x, int n, bug b, void *stream) {
    return LAUNCH(stream_kernel, 1, THREADS, 0, stream, out, x, n / ROW, b);
}

static __global__ void __launch_bounds__(32)
    product_kernel(float *out, const bf16 *a, const bf16 *b, bug bad) {
    SHARED_ALIGNED(bf16, sa, [16][24]);
    SHARED_ALIGNED(bf16, sb, [16][24]); /* rows 8 to 15 stay zero */
    const int lane = (int)threadIdx.x, g = lane >> 2, t = (lane & 3) * 2, r = lane >> 1, d = (lane & 1) * 8;
    st16(&sa[r][d], ld16(a + r * 16 + d));
    st16(&sb[r][d], r < 8 ? ld16(b + r * 16 + d) : make_uint4(0, 0, 0, 0));
    __syncwarp();
    uint32_t fa[4], fb[4];
    float c[4] = {0};
    ldmatrix_x4(fa, &sa[lane & 15][(lane >> 4) * 8]);
    if (bad == BUG_MMA_LAYOUT)
        ldmatrix_x4_trans(fb, &sb[(lane & 7) + (lane >> 4) * 8][(lane >> 3 & 1) * 8]);
    else
        ldmatrix_x4(fb, &sb[(lane & 7) + (lane >> 4) * 8][(lane >> 3 & 1) * 8]);
    if (bad != BUG_MMA_HALF_WARP || lane < 16) mma_m16n8k16_bf16(c, fa, fb);
    out[g * 8 + t] = c[0], out[g * 8 + t + 1] = c[1];
    out[(g + 8) * 8 + t] = c[2], out[(g + 8) * 8 + t + 1] = c[3];
}
int sg__bug_product(float *out, const uint16_t *a, const uint16_t *b, bug bad, void *stream) {
    return LAUNCH(product_kernel, 1, 32, 0, stream, out, (const bf16 *)a, (const bf16 *)b, bad);
}

static __global__ void __launch_bounds__(THREADS) scale_kernel(float *out, const float *x, int n, float by) {
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (i < n) out[i] = by * x[i];
}
int sg__bug_scale(float *out, const float *x, int n, float by, void *stream) {
    return LAUNCH(scale_kernel, (n + THREADS - 1) / THREADS, THREADS, 0, stream, out, x, n, by);
}

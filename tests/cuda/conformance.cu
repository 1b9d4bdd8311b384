/* conformance - see conformance.h */
#include "kernels/cuda/device.cuh"
#include "tests/cuda/conformance.h"

static __global__ void __launch_bounds__(32)
    mma_kernel(float *out, const uint32_t *a, const uint32_t *b, const float *c) {
    const int l = (int)threadIdx.x;
    float d[4];
    for (int i = 0; i < 4; i++) d[i] = c[l * 4 + i];
    const uint32_t fa[4] = {a[l * 4], a[l * 4 + 1], a[l * 4 + 2], a[l * 4 + 3]},
                   fb[2] = {b[l * 2], b[l * 2 + 1]};
    mma_m16n8k16_bf16(d, fa, fb);
    for (int i = 0; i < 4; i++) out[l * 4 + i] = d[i];
}
int sg__conf_mma(float *out, const uint32_t *a, const uint32_t *b, const float *c, void *stream) {
    return LAUNCH(mma_kernel, 1, 32, 0, stream, out, a, b, c);
}

static __global__ void __launch_bounds__(32) ldmatrix_kernel(uint32_t *out, const bf16 *rows) {
    SHARED_ALIGNED(bf16, tile, [32][8]);
    const int l = (int)threadIdx.x;
    st16(tile[l], ld16(rows + l * 8));
    __syncwarp();
    uint32_t r[4], t[4];
    ldmatrix_x4(r, tile[l]);
    ldmatrix_x4_trans(t, tile[l]);
    for (int i = 0; i < 4; i++) out[l * 4 + i] = r[i], out[128 + l * 4 + i] = t[i];
}
int sg__conf_ldmatrix(uint32_t *out, const uint16_t *rows, void *stream) {
    return LAUNCH(ldmatrix_kernel, 1, 32, 0, stream, out, (const bf16 *)rows);
}

static __global__ void __launch_bounds__(32) copy_kernel(uint32_t *out, const uint32_t *in) {
    SHARED_ALIGNED(uint32_t, tile, [64]);
    const int l = (int)threadIdx.x;
    if (l < 16) cp_async16(&tile[l * 4], in + l * 4, (l & 1) == 0);
    cp_async_commit();
    cp_async_wait(0);
    __syncwarp();
    out[l] = tile[l], out[l + 32] = tile[l + 32];
}
int sg__conf_copy(uint32_t *out, const uint32_t *in, void *stream) {
    return LAUNCH(copy_kernel, 1, 32, 0, stream, out, in);
}

static __global__ void __launch_bounds__(32) warp_kernel(uint32_t *out, const uint32_t *in) {
    const int l = (int)threadIdx.x;
    const uint32_t x = in[l];
    out[l] = __shfl_xor_sync(0xffffffffu, x, 5);
    out[32 + l] = __shfl_up_sync(0xffffffffu, x, 3);
    out[64 + l] = __ballot_sync(0xffffffffu, (x & 1) != 0);
    out[96 + l] = (uint32_t)warp_sum((float)(x & 255u));
    out[128 + l] = (uint32_t)__popc(x);
}
int sg__conf_warp(uint32_t *out, const uint32_t *in, void *stream) {
    return LAUNCH(warp_kernel, 1, 32, 0, stream, out, in);
}

static __global__ void __launch_bounds__(32) round_kernel(uint32_t *out, const float *in, int n) {
    for (int i = (int)threadIdx.x; i < n; i += 32) out[i] = bf_bits(in[i]);
}
int sg__conf_round(uint32_t *out, const float *in, int n, void *stream) {
    return LAUNCH(round_kernel, 1, 32, 0, stream, out, in, n);
}

static __global__ void __launch_bounds__(32) math_kernel(float *out, const float *in, int n) {
    for (int i = (int)threadIdx.x; i < n; i += 32) {
        out[i] = __expf(in[i]);
        out[n + i] = expf(in[i]);
        out[2 * n + i] = 1.0f / sqrtf(in[i]);
    }
}
int sg__conf_math(float *out, const float *in, int n, void *stream) {
    return LAUNCH(math_kernel, 1, 32, 0, stream, out, in, n);
}

static __global__ void __launch_bounds__(32) pack_kernel(uint32_t *out, const float *in, int n) {
    for (int i = (int)threadIdx.x; i < n; i += 32) out[i] = bf_pack(in[i], in[n - 1 - i]);
}
int sg__conf_pack(uint32_t *out, const float *in, int n, void *stream) {
    return LAUNCH(pack_kernel, 1, 32, 0, stream, out, in, n);
}

static __global__ void __launch_bounds__(32) max_kernel(float *out, const float *in, int n) {
    for (int i = (int)threadIdx.x; i < n * n; i += 32) out[i] = nan_max(in[i / n], in[i % n]);
}
int sg__conf_max(float *out, const float *in, int n, void *stream) {
    return LAUNCH(max_kernel, 1, 32, 0, stream, out, in, n);
}

static __global__ void __launch_bounds__(32) exp2_kernel(float *out, const float *in, int n) {
    for (int i = (int)threadIdx.x; i < n; i += 32) out[i] = exp2_fast(in[i]);
}
int sg__conf_exp2(float *out, const float *in, int n, void *stream) {
    return LAUNCH(exp2_kernel, 1, 32, 0, stream, out, in, n);
}

static __global__ void __launch_bounds__(32) atomic_kernel(unsigned long long *out, const uint32_t *in) {
    SHARED(unsigned long long, sum, [1]);
    SHARED(int, least, [1]);
    const int l = (int)threadIdx.x;
    if (l == 0) sum[0] = out[0], least[0] = 0x7fffffff;
    __syncthreads();
    atomicAdd(&sum[0], (unsigned long long)in[l] << 20);
    atomicMin(&least[0], (int)(in[l] >> 1));
    __syncthreads();
    if (l == 0) out[0] = sum[0], out[1] = (unsigned long long)(unsigned)least[0];
}
int sg__conf_atomic(unsigned long long *out, const uint32_t *in, void *stream) {
    return LAUNCH(atomic_kernel, 1, 32, 0, stream, out, in);
}

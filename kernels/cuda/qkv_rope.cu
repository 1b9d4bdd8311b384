/* qkv_rope - after the packed q, k, v projection, per row: RMSNorm of every q and k head over its head_dim
 * values with its weight, RoPE in the half-rotation form, q to q_out, k and v into the paged pool
 *   y[j] = x[j] / sqrt(mean(x^2) + eps) * weight[j]
 *   out[j] = y[j] cos_j - y[j + half] sin_j,  out[j + half] = y[j + half] cos_j + y[j] sin_j,  j < half
 * with half = head_dim / 2. T = bf16 or float32: qkv T [n][(q_heads + 2 kv_heads) head_dim] in the order q,
 * k, v; cos_sin f32
 * [.][head_dim], half cosines then half sines, its row positions[i]; slot[i] = page * SG_PAGE_TOKENS +
 * offset; q_out and the pool T. About 7 flops a value of q and k; moves 4 bytes a value (float32: 8), and the
 * cos_sin rows (cached). 16 lanes hold one head; a lane has 4 neighbours of the first half and their partners
 * in the second. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { LANES = 16, HEADS_PER_BLOCK = 8, THREADS = HEADS_PER_BLOCK * LANES };

template <class T> struct qkv_params {
    const T *qkv;
    T *q_out, *k, *v;
    int32_t q_heads, kv_heads, dim;
    const float *q_norm, *k_norm, *cos_sin;
    float eps;
    const int32_t *positions, *slot;
};

/* Where head `head` of row `row` goes. */
template <class T>
static __device__ __forceinline__ T *target(const qkv_params<T> &p, int64_t row, int head) {
    if (head < p.q_heads) return p.q_out + (row * p.q_heads + head) * p.dim;
    const int32_t slot = p.slot[row], page = slot / SG_PAGE_TOKENS, offset = slot - page * SG_PAGE_TOKENS;
    const int kv_head = (head - p.q_heads) % p.kv_heads;
    T *pool = head < p.q_heads + p.kv_heads ? p.k : p.v;
    return pool + (((int64_t)page * p.kv_heads + kv_head) * SG_PAGE_TOKENS + offset) * p.dim;
}

template <class T> static __global__ void __launch_bounds__(THREADS) qkv_rope_kernel(qkv_params<T> p) {
    const int heads = p.q_heads + 2 * p.kv_heads, half = p.dim / 2;
    const int head = (int)blockIdx.y * HEADS_PER_BLOCK + (int)threadIdx.x / LANES;
    const int64_t row = (int64_t)blockIdx.x;
    const int j = ((int)threadIdx.x & (LANES - 1)) * 4;
    const bool mine = head < heads && j < half; /* the others only take part in the sum, with zeros */
    const T *from = p.qkv + (row * heads + head) * p.dim + j;
    float a[4] = {0}, b[4] = {0}, squares = 0.0f;
    if (mine) load4(a, from), load4(b, from + half);
    for (int i = 0; i < 4; i++) squares += a[i] * a[i] + b[i] * b[i];
    for (int o = LANES / 2; o > 0; o >>= 1) squares += __shfl_xor_sync(0xffffffffu, squares, o);
    if (mine && head < p.q_heads + p.kv_heads) {
        const float *weight = (head < p.q_heads ? p.q_norm : p.k_norm) + j;
        const float *cs = p.cos_sin + (int64_t)p.positions[row] * p.dim + j;
        const float scale = 1.0f / sqrtf(squares / (float)p.dim + p.eps);
        for (int i = 0; i < 4; i++) {
            const float x = a[i] * scale * weight[i], y = b[i] * scale * weight[half + i];
            a[i] = x * cs[i] - y * cs[half + i];
            b[i] = y * cs[i] + x * cs[half + i];
        }
    }
    if (mine) {
        T *to = target(p, row, head) + j;
        store4(to, a);
        store4(to + half, b);
    }
}

template <class T> static int launch(const struct sg__qkv_launch *a, void *stream) {
    const qkv_params<T> p = {(const T *)a->qkv,
                             (T *)a->q_out,
                             (T *)a->kv.k,
                             (T *)a->kv.v,
                             a->q_heads,
                             a->kv.kv_heads,
                             a->kv.head_dim,
                             a->q_norm,
                             a->k_norm,
                             a->cos_sin,
                             a->eps,
                             a->positions,
                             a->slot};
    const int64_t y = sg__blocks(a->q_heads + 2 * a->kv.kv_heads, HEADS_PER_BLOCK);
    return LAUNCH(qkv_rope_kernel<T>, dim3((unsigned)a->n, (unsigned)y), THREADS, 0, stream, p);
}

extern "C" int sg__launch_qkv_rope(const struct sg__qkv_launch *a, void *stream) {
    return a->kv.f32 ? launch<float>(a, stream) : launch<bf16>(a, stream);
}

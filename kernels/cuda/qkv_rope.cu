/* qkv_rope - after the packed q, k, v projection, per row: RMSNorm of every q and k head over its 128 values
 * with its weight, RoPE in the half-rotation form, q to q_out, k and v into the paged pool
 *   y[j] = x[j] / sqrt(mean(x^2) + eps) * weight[j]
 *   out[j] = y[j] cos_j - y[j + 64] sin_j,  out[j + 64] = y[j + 64] cos_j + y[j] sin_j,  j < 64
 * qkv bf16 [n][(q_heads + 2 kv_heads) 128] in the order q, k, v; cos_sin f32 [.][128], 64 cosines then 64
 * sines, its row positions[i]; slot[i] = page * SG_PAGE_TOKENS + offset.
 * About 8 flops a value of q and k; moves 4 bytes a value, and the cos_sin rows (512 n, cached).
 * 16 lanes hold one head, 8 values each; lane l and l ^ 8 hold the two halves of each rotated pair. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { HEADS_PER_BLOCK = 8, THREADS = HEADS_PER_BLOCK * 16 };

struct qkv_params {
    const bf16 *qkv;
    bf16 *q_out, *k, *v;
    int32_t q_heads, kv_heads;
    const float *q_norm, *k_norm, *cos_sin;
    float eps;
    const int32_t *positions, *slot;
};

static __global__ void __launch_bounds__(THREADS) qkv_rope_kernel(qkv_params p) {
    const int lane = (int)threadIdx.x & 15, d = lane * 8;
    const int heads = p.q_heads + 2 * p.kv_heads,
              head = (int)blockIdx.y * HEADS_PER_BLOCK + ((int)threadIdx.x >> 4);
    const bool there = head < heads; /* lanes without a head take part in the shuffles with zeros */
    const int64_t row = (int64_t)blockIdx.x;
    float x[8] = {0}, partner[8];
    if (there) load8<true>(x, p.qkv + (row * heads + head) * SG__HEAD_DIM + d, 8);

    float squares = 0.0f;
    for (int j = 0; j < 8; j++) squares += x[j] * x[j];
    for (int o = 8; o > 0; o >>= 1) squares += __shfl_xor_sync(0xffffffffu, squares, o);
    const bool is_v = head >= p.q_heads + p.kv_heads;
    if (there && !is_v) {
        const float *weight = head < p.q_heads ? p.q_norm : p.k_norm;
        const float scale = 1.0f / sqrtf(squares / (float)SG__HEAD_DIM + p.eps);
        for (int j = 0; j < 8; j++) x[j] = x[j] * scale * weight[d + j];
    }
    for (int j = 0; j < 8; j++) partner[j] = __shfl_xor_sync(0xffffffffu, x[j], 8);
    if (there && !is_v) {
        const float *cs = p.cos_sin + (int64_t)p.positions[row] * SG__HEAD_DIM + (lane & 7) * 8;
        const float sign = lane < 8 ? -1.0f : 1.0f;
        for (int j = 0; j < 8; j++) x[j] = x[j] * cs[j] + sign * partner[j] * cs[SG__HEAD_DIM / 2 + j];
    }
    if (there) {
        bf16 *to;
        if (head < p.q_heads) {
            to = p.q_out + (row * p.q_heads + head) * SG__HEAD_DIM;
        } else {
            const int32_t slot = p.slot[row], page = slot / SG_PAGE_TOKENS,
                          offset = slot - page * SG_PAGE_TOKENS;
            const int kv_head = (head - p.q_heads) % p.kv_heads;
            to = (is_v ? p.v : p.k) +
                 (((int64_t)page * p.kv_heads + kv_head) * SG_PAGE_TOKENS + offset) * SG__HEAD_DIM;
        }
        store8<true>(to + d, x, 8);
    }
}

extern "C" int sg__launch_qkv_rope(const struct sg__qkv_launch *a, void *stream) {
    const qkv_params p = {(const bf16 *)a->qkv, (bf16 *)a->q_out, (bf16 *)a->kv.k, (bf16 *)a->kv.v,
                          a->q_heads,           a->kv.kv_heads,   a->q_norm,       a->k_norm,
                          a->cos_sin,           a->eps,           a->positions,    a->slot};
    const int64_t y = sg__blocks(a->q_heads + 2 * a->kv.kv_heads, HEADS_PER_BLOCK);
    return LAUNCH(qkv_rope_kernel, dim3((unsigned)a->n, (unsigned)y), THREADS, 0, stream, p);
}

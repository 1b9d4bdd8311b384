/* tile - what both attention kernels share: rows in shared memory, and one step of softmax(q k^T) v, of bf16
 * on tensor cores, of float32 (tile_f32.cuh) by fused multiply-adds. */
#ifndef SG_KERNELS_CUDA_TILE_CUH
#define SG_KERNELS_CUDA_TILE_CUH

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

/* Rows of a tile, in elements of type T. A row is padded by 16 bytes: the 8 rows of an ldmatrix, or of 8
 * lanes that read 16 bytes each, then lie in different banks. A chunk is what 16 bytes hold. */
template <class T> struct tile_of {
    enum {
        CHUNK = 16 / (int)sizeof(T),
        STRIDE = SG__HEAD_TILE + CHUNK,
        CHUNKS = SG__HEAD_TILE / CHUNK,
    };
};
enum { TILE_STRIDE = tile_of<bf16>::STRIDE, CHUNKS = tile_of<bf16>::CHUNKS };

/* Query fragment of 16 rows and 16 dims from column d: an mma's a operand. */
static __device__ __forceinline__ void load_queries(uint32_t fq[4], const bf16 *rows, int d, int lane) {
    ldmatrix_x4(fq, rows + (lane & 15) * TILE_STRIDE + d + (lane >> 4) * 8);
}
/* Key fragment of 16 keys and 16 dims from column d: b operands of keys 0-7 in fk[0..1], 8-15 in fk[2..3]. */
static __device__ __forceinline__ void load_keys(uint32_t fk[4], const bf16 *rows, int d, int lane) {
    ldmatrix_x4(fk, rows + ((lane & 7) + (lane >> 4) * 8) * TILE_STRIDE + d + (lane >> 3 & 1) * 8);
}
/* Value fragment of 16 keys and 16 dims from column d: dims 0-7 in fv[0..1], 8-15 in fv[2..3]. */
static __device__ __forceinline__ void load_values(uint32_t fv[4], const bf16 *rows, int d, int lane) {
    ldmatrix_x4_trans(fv, rows + (lane & 15) * TILE_STRIDE + d + (lane >> 4) * 8);
}

/* Scores are kept in units of log2: q k scale log2(e), so that a weight is one ex2. float32 computes in units
 * of ln, by expf. */
template <class T> static inline float score_scale(float scale) {
    return sizeof(T) == sizeof(float) ? scale : scale * 1.44269504f;
}
/* The weight of a score x below its reference. */
template <class T> static __device__ __forceinline__ float weight(float x) {
    return sizeof(T) == sizeof(float) ? expf(x) : exp2_fast(x);
}

/* The running softmax of the two rows a lane holds of a 16-row tile: rows g = lane / 4 and g + 8; o[i] are
 * its mma accumulators for dims 8 i. `top` is what a row's weights are relative to: its largest score, or up
 * to SLACK less, so that they stay below 2^SLACK. A row's four lanes agree on it; `sum` is each lane's own
 * part. */
struct softmax_rows {
    float top[2], sum[2], o[SG__HEAD_TILE / 8][4];
};
static __device__ __forceinline__ void softmax_clear(softmax_rows *r) {
    UNROLL
    for (int i = 0; i < SG__HEAD_TILE / 8; i++)
        for (int c = 0; c < 4; c++) r->o[i][c] = 0.0f;
    for (int h = 0; h < 2; h++) r->top[h] = -INFINITY, r->sum[h] = 0.0f;
}
/* Takes in scores s[n][4] (accumulators of 8 keys each, -inf where masked) and turns them into 2^(s - top).
 * A row's state does not change, bit for bit, when all its scores are -inf: what a tile holds beyond a row's
 * own keys does not matter. A row's `top` moves, by its own scores alone, only when these are more than SLACK
 * above it; a warp none of whose rows does so leaves its accumulators alone: a factor of 1 changes no bit. */
template <int N> static __device__ __forceinline__ void softmax_step(softmax_rows *r, float s[N][4]) {
    const float SLACK = 8.0f;
    float shrink[2];
    UNROLL
    for (int h = 0; h < 2; h++) {
        float most = nan_max(s[0][2 * h], s[0][2 * h + 1]);
        for (int i = 1; i < N; i++) most = nan_max(most, nan_max(s[i][2 * h], s[i][2 * h + 1]));
        most = nan_max(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = nan_max(most, __shfl_xor_sync(0xffffffffu, most, 2));
        const float old = r->top[h], top = most > old + SLACK ? most : old;
        const float base = top == -INFINITY ? 0.0f : top;
        shrink[h] = top == old ? 1.0f : exp2_fast(old - base);
        float sum = 0.0f;
        for (int i = 0; i < N; i++)
            for (int c = 2 * h; c < 2 * h + 2; c++) {
                s[i][c] = exp2_fast(s[i][c] - base);
                sum += s[i][c];
            }
        r->sum[h] = r->sum[h] * shrink[h] + sum;
        r->top[h] = top;
    }
    if (!__all_sync(0xffffffffu, shrink[0] == 1.0f && shrink[1] == 1.0f)) {
        UNROLL
        for (int i = 0; i < SG__HEAD_TILE / 8; i++)
            for (int c = 0; c < 4; c++) r->o[i][c] *= shrink[c >> 1];
    }
}
/* o += p v for 16 keys, of M tiles; p[m][n] and the next are accumulators of softmax_step, rounded to bf16 as
 * the operand. */
template <int M, int N>
static __device__ __forceinline__ void add_values(softmax_rows r[M], const float p[M][N][4], int n,
                                                  const bf16 *rows, int lane) {
    uint32_t fp[M][4];
    UNROLL
    for (int m = 0; m < M; m++)
        for (int i = 0; i < 4; i++)
            fp[m][i] = bf_pack(p[m][n + i / 2][i % 2 * 2], p[m][n + i / 2][i % 2 * 2 + 1]);
    UNROLL
    for (int d = 0; d < SG__HEAD_TILE / 16; d++) {
        uint32_t fv[4];
        load_values(fv, rows, d * 16, lane);
        UNROLL
        for (int m = 0; m < M; m++) {
            mma_m16n8k16_bf16(r[m].o[2 * d], fp[m], fv);
            mma_m16n8k16_bf16(r[m].o[2 * d + 1], fp[m], fv + 2);
        }
    }
}
/* The four lanes' parts of a row's sum, together. */
static __device__ __forceinline__ float row_sum(const softmax_rows *r, int h) {
    float sum = r->sum[h];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    return sum + __shfl_xor_sync(0xffffffffu, sum, 2);
}

#endif

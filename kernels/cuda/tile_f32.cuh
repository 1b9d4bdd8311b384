/* tile_f32 - softmax(q k^T) v of one warp in float32: 4 R rows against keys in shared memory.
 * Lane l, with g = l / 8 and c = l % 8, has rows g + 4 i (i < R): of their scores keys c + 8 j (j < N), of
 * their results values 4 c + 32 d + u (d, u < 4). So a row's eight lanes read 16 bytes of eight neighbouring
 * keys, or of one key's values, without a bank conflict, and each float4 read feeds 4 N, 4 R or 16
 * multiply-adds. */
#ifndef SG_KERNELS_CUDA_TILE_F32_CUH
#define SG_KERNELS_CUDA_TILE_F32_CUH

#include "kernels/cuda/tile.cuh"

enum { F32_STRIDE = tile_of<float>::STRIDE };

/* What a lane knows of its rows. A row's eight lanes agree on `top`; `sum` is each lane's own part. */
template <int R> struct softmax_f32 { float top[R], sum[R], o[R][16]; };
template <int R> static __device__ __forceinline__ void softmax_clear(softmax_f32<R> *r) {
    UNROLL
    for (int i = 0; i < R; i++) {
        r->top[i] = -INFINITY, r->sum[i] = 0.0f;
        for (int v = 0; v < 16; v++) r->o[i][v] = 0.0f;
    }
}

/* s[i][j] = q . k over dim values, in order: a multiple of 4. */
template <int R, int N>
static __device__ __forceinline__ void scores(float s[R][N], const float *q, const float *k, int dim,
                                              int lane) {
    const float *rows = q + (lane >> 3) * F32_STRIDE, *keys = k + (lane & 7) * F32_STRIDE;
    UNROLL
    for (int i = 0; i < R; i++)
        for (int j = 0; j < N; j++) s[i][j] = 0.0f;
    for (int d = 0; d < dim; d += 4) {
        float a[R][4], b[N][4];
        UNROLL
        for (int i = 0; i < R; i++) load4(a[i], rows + 4 * i * F32_STRIDE + d);
        UNROLL
        for (int j = 0; j < N; j++) load4(b[j], keys + 8 * j * F32_STRIDE + d);
        UNROLL
        for (int u = 0; u < 4; u++)
            for (int i = 0; i < R; i++)
                for (int j = 0; j < N; j++) s[i][j] = fmaf(a[i][u], b[j][u], s[i][j]);
    }
}

/* Takes in scores, -inf where masked, and turns them into exp(s - top). A row's state does not change, bit
 * for bit, when all its scores are -inf. */
template <int R, int N>
static __device__ __forceinline__ void softmax_step(softmax_f32<R> *r, float s[R][N]) {
    UNROLL
    for (int i = 0; i < R; i++) {
        float top = r->top[i];
        for (int j = 0; j < N; j++) top = nan_max(top, s[i][j]);
        for (int o = 1; o < 8; o *= 2) top = nan_max(top, __shfl_xor_sync(0xffffffffu, top, o));
        const float base = top == -INFINITY ? 0.0f : top, shrink = expf(r->top[i] - base);
        float sum = 0.0f;
        for (int j = 0; j < N; j++) {
            s[i][j] = expf(s[i][j] - base);
            sum += s[i][j];
        }
        r->sum[i] = r->sum[i] * shrink + sum;
        r->top[i] = top;
        for (int v = 0; v < 16; v++) r->o[i][v] *= shrink;
    }
}

/* Rows of weights in shared memory, 8 N keys and padding: lanes of all four g write and read without
 * conflicts. */
template <int N> struct weights_f32 {
    enum { STRIDE = 8 * N + 8 };
};
template <int R, int N>
static __device__ __forceinline__ void put_weights(float *p, const float s[R][N], int lane) {
    enum { STRIDE = weights_f32<N>::STRIDE };
    UNROLL
    for (int i = 0; i < R; i++)
        for (int j = 0; j < N; j++) p[((lane >> 3) + 4 * i) * STRIDE + (lane & 7) + 8 * j] = s[i][j];
}
/* o += p v over 8 N keys, in order; p by put_weights of the whole warp. */
template <int R, int N>
static __device__ __forceinline__ void add_values(softmax_f32<R> *r, const float *p, const float *v,
                                                  int lane) {
    enum { STRIDE = weights_f32<N>::STRIDE };
    const float *weights = p + (lane >> 3) * STRIDE, *values = v + (lane & 7) * 4;
    for (int t = 0; t < 8 * N; t += 4) {
        float w[R][4];
        UNROLL
        for (int i = 0; i < R; i++) load4(w[i], weights + 4 * i * STRIDE + t);
        UNROLL
        for (int e = 0; e < 4; e++) UNROLL
        for (int d = 0; d < 4; d++) {
            float x[4];
            load4(x, values + (t + e) * F32_STRIDE + 32 * d);
            UNROLL
            for (int i = 0; i < R; i++)
                for (int u = 0; u < 4; u++) r->o[i][4 * d + u] = fmaf(w[i][e], x[u], r->o[i][4 * d + u]);
        }
    }
}

/* The eight lanes' parts of row i's sum, together. */
template <int R> static __device__ __forceinline__ float row_sum(const softmax_f32<R> *r, int i) {
    float sum = r->sum[i];
    for (int o = 1; o < 8; o *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, o);
    return sum;
}

#endif

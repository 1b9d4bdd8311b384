/* attn_prefill - causal attention of runs of consecutive positions over paged keys
 *   out[r] = softmax_t(scale q[r] . k[t]) v[t],  t = 0 .. position of r
 * q, out and the pool bf16 or float32; q, out [n][q_heads][head_dim]; segment s: rows [row_begin[s],
 * row_begin[s + 1]) at positions pos0[s],
 * ...; keys of token t in page pages[page_begin[s] + t / 16]. out may be q: a block reads its queries before
 * it writes them. 4 * 128 flops a (row, head, visible key), of bf16 on tensor cores with float32 sums, of
 * float32 by fused multiply-adds; a block of 64 rows reads each key and value it sees once (512 bytes a key,
 * 1,024 in float32), from the cache when heads share them.
 *
 * A block: 64 rows of one head, four warps of 16 rows. Keys come in steps of 64 from key 0, copied one step
 * ahead; in float32 of 32, the values copied while the scores are made, the next keys while values are
 * summed. A row's sums depend on its own keys alone: steps begin at fixed keys, and what is masked adds
 * nothing (softmax_step), so rows do not change with the chunk they are prefilled in. */
#include "kernels/cuda/tile_f32.cuh"

enum { ROWS = SG__PREFILL_ROWS, THREADS = 128 };
template <class T>
struct step { /* keys taken in at a time: fixed, where a row's sums are cut is part of its result */
    enum { KEYS = sizeof(T) == sizeof(float) ? SG__PREFILL_KEYS_F32 : SG__PREFILL_KEYS };
};

template <class T> struct prefill_smem;
template <> struct prefill_smem<bf16> {
    bf16 q[ROWS * TILE_STRIDE];
    bf16 k[2][SG__PREFILL_KEYS * TILE_STRIDE], v[2][SG__PREFILL_KEYS * TILE_STRIDE];
};
enum { N_F32 = SG__PREFILL_KEYS_F32 / 8, WEIGHTS = weights_f32<N_F32>::STRIDE };
/* 76 KiB: two blocks on a processor from sm_80 on. */
template <> struct prefill_smem<float> {
    float q[ROWS * F32_STRIDE];
    float k[SG__PREFILL_KEYS_F32 * F32_STRIDE], v[SG__PREFILL_KEYS_F32 * F32_STRIDE];
    float p[ROWS * WEIGHTS];
};
static_assert(2 * (sizeof(prefill_smem<bf16>) + 1024) <= 228 * 1024,
              "two blocks on a processor, on sm_80 one");
static_assert(2 * (sizeof(prefill_smem<float>) + 1024) <= 164 * 1024, "two blocks from sm_80 on");
template <class T> struct prefill_params {
    const T *q, *k, *v;
    T *out;
    int32_t q_heads, kv_heads, dim;
    float scale;
    const int32_t *row_begin, *pos0, *page_begin, *pages;
};

/* One step's keys, or values, from key0 on of one KV head, zeros from `end` on and beyond head_dim. */
template <class T>
static __device__ __forceinline__ void copy_keys(T *to, const T *from, const prefill_params<T> &p,
                                                 const int32_t *pages, int kv_head, int key0, int end) {
    typedef tile_of<T> tile;
    ROLLED
    for (int c = (int)threadIdx.x; c < step<T>::KEYS * tile::CHUNKS; c += THREADS) {
        const int r = c / tile::CHUNKS, d = c % tile::CHUNKS * tile::CHUNK, key = key0 + r;
        const int ok = key < end && d < p.dim;
        const int64_t page = ok ? pages[key / SG_PAGE_TOKENS] : 0;
        const int64_t at =
            ((page * p.kv_heads + kv_head) * SG_PAGE_TOKENS + key % SG_PAGE_TOKENS) * p.dim + d;
        cp_async16(to + r * tile::STRIDE + d, from + at, ok);
    }
}

/* One step's keys and values. */
static __device__ __forceinline__ void copy_step(bf16 *k, bf16 *v, const prefill_params<bf16> &p,
                                                 const int32_t *pages, int kv_head, int key0, int end) {
    enum { ROWS_AT_ONCE = THREADS / CHUNKS };
    if (key0 + SG__PREFILL_KEYS <= end && p.dim == SG__HEAD_TILE) { /* addresses that differ by constants */
        const int r = (int)threadIdx.x / CHUNKS, d = (int)threadIdx.x % CHUNKS * 8, to = r * TILE_STRIDE + d;
        UNROLL
        for (int i = 0; i < SG__PREFILL_KEYS; i += SG_PAGE_TOKENS) {
            const int64_t page = pages[(key0 + i) / SG_PAGE_TOKENS];
            const int64_t at = ((page * p.kv_heads + kv_head) * SG_PAGE_TOKENS + r) * SG__HEAD_TILE + d;
            UNROLL
            for (int j = 0; j < SG_PAGE_TOKENS; j += ROWS_AT_ONCE) {
                cp_async16(k + to + (i + j) * TILE_STRIDE, p.k + at + j * SG__HEAD_TILE, 1);
                cp_async16(v + to + (i + j) * TILE_STRIDE, p.v + at + j * SG__HEAD_TILE, 1);
            }
        }
    } else {
        copy_keys(k, p.k, p, pages, kv_head, key0, end);
        copy_keys(v, p.v, p, pages, kv_head, key0, end);
    }
}

/* The block's queries, zeros where it has none. */
template <class T>
static __device__ __forceinline__ void copy_queries(T *to, const prefill_params<T> &p, int64_t row0,
                                                    int n_rows, int head) {
    typedef tile_of<T> tile;
    for (int c = (int)threadIdx.x; c < ROWS * tile::CHUNKS; c += THREADS) {
        const int r = c / tile::CHUNKS, d = c % tile::CHUNKS * tile::CHUNK, ok = r < n_rows && d < p.dim;
        cp_async16(to + r * tile::STRIDE + d, p.q + ((row0 + (ok ? r : 0)) * p.q_heads + head) * p.dim + d,
                   ok);
    }
}

/* One block's rows: [row0, row0 + n_rows) of q, the first at position pos. */
static __device__ __forceinline__ void attend_tile(prefill_smem<bf16> *sm, const prefill_params<bf16> &p,
                                                   int64_t row0, int n_rows, int pos, const int32_t *pages) {
    enum { KEYS = SG__PREFILL_KEYS };
    const int head = (int)blockIdx.y, kv_head = head / (p.q_heads / p.kv_heads);
    const int lane = (int)threadIdx.x & 31, w = (int)threadIdx.x >> 5, g = lane >> 2, t = (lane & 3) * 2;
    const int end = pos + n_rows, steps = (end + KEYS - 1) / KEYS;
    copy_queries(sm->q, p, row0, n_rows, head);
    copy_step(sm->k[0], sm->v[0], p, pages, kv_head, 0, end);
    cp_async_commit();
    bf16 *rows = sm->q + w * 16 * TILE_STRIDE; /* this warp's */
    uint32_t fq[SG__HEAD_TILE / 16][4];
    softmax_rows acc;
    softmax_clear(&acc);
    for (int b = 0; b < steps; b++) {
        const int buf = b & 1;
        if (b + 1 < steps) {
            copy_step(sm->k[buf ^ 1], sm->v[buf ^ 1], p, pages, kv_head, (b + 1) * KEYS, end);
            cp_async_commit();
            cp_async_wait(1);
        } else {
            cp_async_wait(0);
        }
        __syncthreads();
        if (b == 0) load_queries(fq, rows, lane);
        float s[KEYS / 8][4] = {};
        UNROLL
        for (int j = 0; j < KEYS / 16; j++) UNROLL
        for (int kk = 0; kk < SG__HEAD_TILE / 16; kk++) {
            uint32_t fk[4];
            load_keys(fk, sm->k[buf] + j * 16 * TILE_STRIDE, kk * 16, lane);
            mma_m16n8k16_bf16(s[2 * j], fq[kk], fk);
            mma_m16n8k16_bf16(s[2 * j + 1], fq[kk], fk + 2);
        }
        const bool edge = (b + 1) * KEYS > pos + 1; /* some row of the block does not see all these keys */
        UNROLL
        for (int i = 0; i < KEYS / 8; i++)
            for (int c = 0; c < 4; c++) s[i][c] *= p.scale;
        if (edge) {
            UNROLL
            for (int i = 0; i < KEYS / 8; i++)
                for (int c = 0; c < 4; c++) {
                    const int key = b * KEYS + i * 8 + t + (c & 1), at = pos + w * 16 + g + (c >> 1) * 8;
                    if (key > at) s[i][c] = -INFINITY;
                }
        }
        softmax_step<KEYS / 8>(&acc, s);
        UNROLL
        for (int j = 0; j < KEYS / 16; j++)
            add_values(&acc, s + 2 * j, sm->v[buf] + j * 16 * TILE_STRIDE, lane);
        __syncthreads();
    }
    /* through shared memory, so that rows are written 16 bytes at a time */
    for (int h = 0; h < 2; h++) {
        const float scale = 1.0f / row_sum(&acc, h);
        for (int i = 0; i < SG__HEAD_TILE / 8; i++) {
            const uint32_t pair = bf_pack(acc.o[i][2 * h] * scale, acc.o[i][2 * h + 1] * scale);
            memcpy(rows + (g + 8 * h) * TILE_STRIDE + i * 8 + t, &pair, sizeof pair);
        }
    }
    __syncwarp();
    for (int c = lane; c < 16 * CHUNKS; c += 32) {
        const int r = c / CHUNKS, d = c % CHUNKS * 8;
        if (w * 16 + r < n_rows && d < p.dim)
            st16(p.out + ((row0 + w * 16 + r) * p.q_heads + head) * p.dim + d,
                 ld16(rows + r * TILE_STRIDE + d));
    }
}

static __device__ __forceinline__ void attend_tile(prefill_smem<float> *sm, const prefill_params<float> &p,
                                                   int64_t row0, int n_rows, int pos, const int32_t *pages) {
    enum { KEYS = SG__PREFILL_KEYS_F32, R = 4 };
    const int head = (int)blockIdx.y, kv_head = head / (p.q_heads / p.kv_heads);
    const int lane = (int)threadIdx.x & 31, w = (int)threadIdx.x >> 5, g = lane >> 3, c = lane & 7;
    const int end = pos + n_rows, steps = (end + KEYS - 1) / KEYS;
    const float *rows = sm->q + w * 16 * F32_STRIDE; /* this warp's */
    float *weights = sm->p + w * 16 * WEIGHTS;
    softmax_f32<R> acc;
    softmax_clear(&acc);
    copy_queries(sm->q, p, row0, n_rows, head);
    copy_keys(sm->k, p.k, p, pages, kv_head, 0, end);
    cp_async_commit();
    for (int b = 0; b < steps; b++) {
        copy_keys(sm->v, p.v, p, pages, kv_head, b * KEYS, end);
        cp_async_commit();
        cp_async_wait(1);
        __syncthreads();
        float s[R][N_F32];
        scores<R, N_F32>(s, rows, sm->k, p.dim, lane);
        __syncthreads(); /* everybody has read these keys */
        if (b + 1 < steps) copy_keys(sm->k, p.k, p, pages, kv_head, (b + 1) * KEYS, end);
        cp_async_commit();
        UNROLL
        for (int i = 0; i < R; i++)
            for (int j = 0; j < N_F32; j++) {
                const int key = b * KEYS + c + 8 * j, at = pos + w * 16 + g + 4 * i;
                s[i][j] = key <= at ? s[i][j] * p.scale : -INFINITY;
            }
        softmax_step<R, N_F32>(&acc, s);
        put_weights<R, N_F32>(weights, s, lane);
        cp_async_wait(1);
        __syncthreads();
        add_values<R, N_F32>(&acc, weights, sm->v, lane);
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < R; i++) {
        const int r = w * 16 + g + 4 * i;
        const float scale = 1.0f / row_sum(&acc, i);
        float *to = p.out + ((row0 + r) * p.q_heads + head) * p.dim + 4 * c;
        for (int d = 0; d < 4; d++) {
            float x[4];
            for (int u = 0; u < 4; u++) x[u] = acc.o[i][4 * d + u] * scale;
            if (r < n_rows && 4 * c + 32 * d < p.dim) store4(to + 32 * d, x);
        }
    }
}

/* grid (row tiles of the longest segment, q_heads, segments); late tiles, which see most keys, come first */
template <class T>
static __global__ void __launch_bounds__(THREADS, 2) attn_prefill_kernel(prefill_params<T> p) {
    DYN_SMEM(raw);
    const int s = (int)blockIdx.z, tile = (int)(gridDim.x - 1 - blockIdx.x) * ROWS;
    const int64_t row0 = p.row_begin[s];
    const int n = (int)(p.row_begin[s + 1] - row0) - tile;
    if (n > 0)
        attend_tile((prefill_smem<T> *)raw, p, row0 + tile, n < ROWS ? n : ROWS, p.pos0[s] + tile,
                    p.pages + p.page_begin[s]);
}

template <class T> static int launch(const struct sg__prefill_launch *a, void *stream) {
    const int e = ALLOW_SMEM(attn_prefill_kernel<T>, sizeof(prefill_smem<T>));
    if (e) return e;
    const prefill_params<T> p = {(const T *)a->q,    (const T *)a->kv.k,
                                 (const T *)a->kv.v, (T *)a->out,
                                 a->q_heads,         a->kv.kv_heads,
                                 a->kv.head_dim,     score_scale<T>(a->scale),
                                 a->row_begin,       a->pos0,
                                 a->page_begin,      a->pages};
    const int64_t tiles = sg__blocks(a->max_rows, ROWS);
    return LAUNCH(attn_prefill_kernel<T>, dim3((unsigned)tiles, (unsigned)a->q_heads, (unsigned)a->n_segs),
                  THREADS, sizeof(prefill_smem<T>), stream, p);
}

extern "C" int sg__launch_attn_prefill(const struct sg__prefill_launch *a, void *stream) {
    return a->kv.f32 ? launch<float>(a, stream) : launch<bf16>(a, stream);
}

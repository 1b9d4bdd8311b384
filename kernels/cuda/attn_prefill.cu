/* attn_prefill - causal attention of runs of consecutive positions over paged keys
 *   out[r] = softmax_t(scale q[r] . k[t]) v[t],  t = 0 .. position of r
 * q, out and the pool bf16 or float32; q, out [n][q_heads][head_dim]; segment s: rows [row_begin[s],
 * row_begin[s + 1]) at positions pos0[s],
 * ...; keys of token t in page pages[page_begin[s] + t / 16]. out may be q: a block reads its queries before
 * it writes them. 4 * 128 flops a (row, head, visible key), of bf16 on tensor cores with float32 sums, of
 * float32 by fused multiply-adds.
 *
 * All rows of a segment times the query heads of one KV head form one matrix, row by row: matrix row i is head
 * i % GQA of row i / GQA. A block takes 128 rows of it (float32: 64), so that a key and a value are copied once
 * for all heads that share them: 512 bytes a (key, KV head, block; float32: 1,024). Four warps of two tiles of
 * 16 rows: a fragment of keys or values that a warp reads from shared memory feeds both. Keys come in steps of
 * 64 from key 0, copied one step ahead; in float32 of 32, the values copied while the scores are made, the next
 * keys while values are summed. A row's sums depend on its own keys alone: steps begin at fixed keys, and what
 * is masked adds nothing (softmax_step), so rows do not change with the chunk they are prefilled in, nor with
 * the heads beside them. */
#include "kernels/cuda/tile_f32.cuh"

enum { THREADS = 128 };
template <class T> struct step {
    enum {
        F32 = sizeof(T) == sizeof(float),
        ROWS = F32 ? SG__PREFILL_ROWS_F32 : SG__PREFILL_ROWS, /* matrix rows of a block */
        KEYS = F32 ? SG__PREFILL_KEYS_F32 : SG__PREFILL_KEYS  /* taken in at a time: fixed, where a row's sums
                                                               * are cut is part of its result */
    };
};

template <class T> struct prefill_smem;
template <> struct prefill_smem<bf16> {
    bf16 q[SG__PREFILL_ROWS * TILE_STRIDE];
    bf16 k[2][SG__PREFILL_KEYS * TILE_STRIDE], v[2][SG__PREFILL_KEYS * TILE_STRIDE];
};
enum { N_F32 = SG__PREFILL_KEYS_F32 / 8, WEIGHTS = weights_f32<N_F32>::STRIDE };
/* 76 KiB: two blocks on a processor from sm_80 on. */
template <> struct prefill_smem<float> {
    float q[SG__PREFILL_ROWS_F32 * F32_STRIDE];
    float k[SG__PREFILL_KEYS_F32 * F32_STRIDE], v[SG__PREFILL_KEYS_F32 * F32_STRIDE];
    float p[SG__PREFILL_ROWS_F32 * WEIGHTS];
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

/* A block's matrix rows: [first, first + n_rows) of those of a segment that begins at row0 of q, at position
 * pos0. */
struct prefill_work {
    int64_t row0;
    int first, n_rows, pos0, kv_head, gqa;
    const int32_t *pages;
};
/* Position of matrix row r of the block; where its values are in q and out. */
static __device__ __forceinline__ int position(const prefill_work &w, int r) {
    return w.pos0 + (w.first + r) / w.gqa;
}
template <class T>
static __device__ __forceinline__ int64_t values_of(const prefill_params<T> &p, const prefill_work &w,
                                                    int r) {
    const int i = w.first + r;
    return ((w.row0 + i / w.gqa) * p.q_heads + w.kv_head * w.gqa + i % w.gqa) * p.dim;
}

/* The block's queries, zeros where it has none. */
template <class T>
static __device__ __forceinline__ void copy_queries(T *to, const prefill_params<T> &p,
                                                    const prefill_work &w) {
    typedef tile_of<T> tile;
    ROLLED
    for (int c = (int)threadIdx.x; c < step<T>::ROWS * tile::CHUNKS; c += THREADS) {
        const int r = c / tile::CHUNKS, d = c % tile::CHUNKS * tile::CHUNK, ok = r < w.n_rows && d < p.dim;
        cp_async16(to + r * tile::STRIDE + d, p.q + (ok ? values_of(p, w, r) + d : 0), ok);
    }
}

static __device__ __forceinline__ void attend_tile(prefill_smem<bf16> *sm, const prefill_params<bf16> &p,
                                                   const prefill_work &work) {
    enum { KEYS = SG__PREFILL_KEYS, M = 2, WARP_ROWS = M * 16 };
    const int lane = (int)threadIdx.x & 31, w = (int)threadIdx.x >> 5, g = lane >> 2, t = (lane & 3) * 2;
    const int end = position(work, work.n_rows - 1) + 1, steps = (end + KEYS - 1) / KEYS;
    copy_queries(sm->q, p, work);
    copy_step(sm->k[0], sm->v[0], p, work.pages, work.kv_head, 0, end);
    cp_async_commit();
    bf16 *rows = sm->q + w * WARP_ROWS * TILE_STRIDE; /* this warp's */
    softmax_rows acc[M];
    for (int m = 0; m < M; m++) softmax_clear(&acc[m]);
    ROLLED
    for (int b = 0; b < steps; b++) {
        const int buf = b & 1;
        if (b + 1 < steps) {
            copy_step(sm->k[buf ^ 1], sm->v[buf ^ 1], p, work.pages, work.kv_head, (b + 1) * KEYS, end);
            cp_async_commit();
            cp_async_wait(1);
        } else {
            cp_async_wait(0);
        }
        __syncthreads();
        float s[M][KEYS / 8][4] = {};
        UNROLL
        for (int kk = 0; kk < SG__HEAD_TILE / 16; kk++) {
            uint32_t fq[M][4];
            UNROLL
            for (int m = 0; m < M; m++) load_queries(fq[m], rows + m * 16 * TILE_STRIDE, kk * 16, lane);
            UNROLL
            for (int j = 0; j < KEYS / 16; j++) {
                uint32_t fk[4];
                load_keys(fk, sm->k[buf] + j * 16 * TILE_STRIDE, kk * 16, lane);
                UNROLL
                for (int m = 0; m < M; m++) {
                    mma_m16n8k16_bf16(s[m][2 * j], fq[m], fk);
                    mma_m16n8k16_bf16(s[m][2 * j + 1], fq[m], fk + 2);
                }
            }
        }
        UNROLL
        for (int m = 0; m < M; m++)
            for (int i = 0; i < KEYS / 8; i++)
                for (int c = 0; c < 4; c++) s[m][i][c] *= p.scale;
        if ((b + 1) * KEYS > position(work, 0) + 1) { /* some row of the block does not see all these keys */
            UNROLL
            for (int m = 0; m < M; m++)
                for (int h = 0; h < 2; h++) {
                    const int last = position(work, w * WARP_ROWS + m * 16 + g + h * 8) - b * KEYS;
                    for (int i = 0; i < KEYS / 8; i++)
                        for (int c = 0; c < 2; c++)
                            if (i * 8 + t + c > last) s[m][i][2 * h + c] = -INFINITY;
                }
        }
        UNROLL
        for (int m = 0; m < M; m++) softmax_step<KEYS / 8>(&acc[m], s[m]);
        UNROLL
        for (int j = 0; j < KEYS / 16; j++)
            add_values<M>(acc, s, 2 * j, sm->v[buf] + j * 16 * TILE_STRIDE, lane);
        __syncthreads();
    }
    /* through shared memory, so that rows are written 16 bytes at a time */
    UNROLL
    for (int m = 0; m < M; m++)
        for (int h = 0; h < 2; h++) {
            const float scale = 1.0f / row_sum(&acc[m], h);
            for (int i = 0; i < SG__HEAD_TILE / 8; i++) {
                st4(rows + (m * 16 + g + 8 * h) * TILE_STRIDE + i * 8 + t,
                    bf_pack(acc[m].o[i][2 * h] * scale, acc[m].o[i][2 * h + 1] * scale));
            }
        }
    __syncwarp();
    ROLLED
    for (int c = lane; c < WARP_ROWS * CHUNKS; c += 32) {
        const int r = c / CHUNKS, d = c % CHUNKS * 8;
        if (w * WARP_ROWS + r < work.n_rows && d < p.dim)
            st16(p.out + values_of(p, work, w * WARP_ROWS + r) + d, ld16(rows + r * TILE_STRIDE + d));
    }
}

static __device__ __forceinline__ void attend_tile(prefill_smem<float> *sm, const prefill_params<float> &p,
                                                   const prefill_work &work) {
    enum { KEYS = SG__PREFILL_KEYS_F32, R = 4 };
    const int lane = (int)threadIdx.x & 31, w = (int)threadIdx.x >> 5, g = lane >> 3, c = lane & 7;
    const int end = position(work, work.n_rows - 1) + 1, steps = (end + KEYS - 1) / KEYS;
    const float *rows = sm->q + w * 16 * F32_STRIDE; /* this warp's */
    float *weights = sm->p + w * 16 * WEIGHTS;
    softmax_f32<R> acc;
    softmax_clear(&acc);
    copy_queries(sm->q, p, work);
    copy_keys(sm->k, p.k, p, work.pages, work.kv_head, 0, end);
    cp_async_commit();
    for (int b = 0; b < steps; b++) {
        copy_keys(sm->v, p.v, p, work.pages, work.kv_head, b * KEYS, end);
        cp_async_commit();
        cp_async_wait(1);
        __syncthreads();
        float s[R][N_F32];
        scores<R, N_F32>(s, rows, sm->k, p.dim, lane);
        __syncthreads(); /* everybody has read these keys */
        if (b + 1 < steps) copy_keys(sm->k, p.k, p, work.pages, work.kv_head, (b + 1) * KEYS, end);
        cp_async_commit();
        UNROLL
        for (int i = 0; i < R; i++) {
            const int last = position(work, w * 16 + g + 4 * i) - b * KEYS;
            for (int j = 0; j < N_F32; j++) s[i][j] = c + 8 * j <= last ? s[i][j] * p.scale : -INFINITY;
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
        float *to = p.out + values_of(p, work, r) + 4 * c;
        for (int d = 0; d < 4; d++) {
            float x[4];
            for (int u = 0; u < 4; u++) x[u] = acc.o[i][4 * d + u] * scale;
            if (r < work.n_rows && 4 * c + 32 * d < p.dim) store4(to + 32 * d, x);
        }
    }
}

/* grid (blocks of the longest segment, kv_heads, segments); late blocks, which see most keys, come first */
template <class T>
static __global__ void __launch_bounds__(THREADS, 2) attn_prefill_kernel(prefill_params<T> p) {
    DYN_SMEM(raw);
    enum { ROWS = step<T>::ROWS };
    const int s = (int)blockIdx.z, first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS;
    const int gqa = p.q_heads / p.kv_heads, row0 = p.row_begin[s];
    const int n = (p.row_begin[s + 1] - row0) * gqa - first;
    if (n > 0) {
        const prefill_work work = {
            row0, first, n < ROWS ? n : ROWS, p.pos0[s], (int)blockIdx.y, gqa, p.pages + p.page_begin[s]};
        attend_tile((prefill_smem<T> *)raw, p, work);
    }
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
    const int64_t blocks = sg__blocks((int64_t)a->max_rows * (a->q_heads / a->kv.kv_heads), step<T>::ROWS);
    return LAUNCH(attn_prefill_kernel<T>, dim3((unsigned)blocks, (unsigned)p.kv_heads, (unsigned)a->n_segs),
                  THREADS, sizeof(prefill_smem<T>), stream, p);
}

extern "C" int sg__launch_attn_prefill(const struct sg__prefill_launch *a, void *stream) {
    return a->kv.f32 ? launch<float>(a, stream) : launch<bf16>(a, stream);
}

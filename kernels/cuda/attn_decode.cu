/* attn_decode - attention of decode rows, one new token each, grouped by the prompt they share
 *   out[r] = softmax_t(scale q[r] . k[t]) v[t],  t over the prompt of r's group and r's own suffix
 * q, out and the pool bf16 or float32; q, out [n_rows][q_heads][head_dim]; pages as in kernels.h; out may be
 * q (the second kernel writes it, the first has then read all of q).
 *
 * First kernel, on the prompts: all rows of a group times the heads of one KV head (n x GQA) form one matrix
 * against the prompt's keys, so that a prompt is read once for all samples: 512 bytes a (key, KV head;
 * float32: 1,024) and 4 * 128 flops a (row, head, key). The KV axis is cut every SG__SPLIT_KEYS keys; a block
 * is one (group, 32 rows, KV head, split). Its four warps take every fourth page, each with copies one page
 * ahead (float32: half a page, values behind keys), a softmax of its own and no barrier with the others; the
 * four are merged in the order of the warps. It also notes how many splits the prompt of each row has, for
 * the kernels behind it. Same kernel, on the suffixes: the GQA heads of one row against its own pages. Last
 * kernel: merges the splits of a (row, head) by log-sum-exp, prompt first, in order.
 * Cuts and orders are the same for every batch, so rows do not change with it. The partial results cost 528
 * bytes written and read a (row, head, split). */
#include "kernels/cuda/tile_f32.cuh"

enum { WARPS = 4, THREADS = WARPS * 32 };

/* Of a row's first partial result, behind the largest score and the sum: the splits of its prompt. */
enum { PROMPT_SPLITS = SG__HEAD_TILE + 2 };

template <class T> struct decode_params {
    const T *q, *k, *v;
    T *out;
    float *partial;
    int32_t q_heads, kv_heads, dim;
    float scale;
    const int32_t *row_begin, *prompt_len, *prompt_page_begin, *prompt_pages;
    const int32_t *suffix_len, *suffix_page_begin, *suffix_pages;
    int32_t stride, tiles;
};
template <class T> struct page_smem {
    T k[SG_PAGE_TOKENS * tile_of<T>::STRIDE], v[SG_PAGE_TOKENS * tile_of<T>::STRIDE];
};
/* Rows of results, padded so that the rows of an mma accumulator lie in different banks. */
template <int ROWS> struct part_smem { float top[ROWS], sum[ROWS], o[ROWS][SG__HEAD_TILE + 8]; };
/* A warp's own: pages of keys and values while it runs, then its part of the result. */
template <class T, int ROWS> struct warp_smem;
template <int ROWS> struct warp_smem<bf16, ROWS> {
    union {
        page_smem<bf16> page[2];
        part_smem<ROWS> part;
    };
};
enum { N_F32 = SG_PAGE_TOKENS / 8, WEIGHTS = weights_f32<N_F32>::STRIDE };
template <int ROWS> struct warp_smem<float, ROWS> {
    union {
        page_smem<float> page;
        part_smem<ROWS> part;
    };
    float p[ROWS * WEIGHTS];
};
template <class T, int ROWS> struct decode_smem {
    T q[ROWS * tile_of<T>::STRIDE];
    warp_smem<T, ROWS> warp[WARPS];
    int32_t head[ROWS]; /* of each matrix row: its (row, head), counted over all rows */
};
/* Blocks of such that a processor holds: shared memory 164 KiB on sm_80, 228 KiB from sm_90 on, of which
 * every block takes 1 KiB more than it asks for. */
template <class T, int ROWS> struct blocks_of {
    enum {
        NEED = (int)sizeof(decode_smem<T, ROWS>) + 1024,
        SM80 = 164 * 1024 / NEED,
        SM90 = 228 * 1024 / NEED
    };
};
static_assert(blocks_of<bf16, 32>::SM80 == 2 && blocks_of<bf16, 32>::SM90 == 2, "prompts");
static_assert(blocks_of<bf16, 16>::SM80 == 2 && blocks_of<bf16, 16>::SM90 == 3, "suffixes, small groups");
/* Rows of q against a run of keys: matrix row i is head kv_head * gqa + i % gqa of row row0 + i / gqa. */
struct decode_work {
    int64_t row0;
    int n_rows; /* matrix rows, 1 .. SG__DECODE_TILE */
    int first;  /* of the group's matrix rows */
    const int32_t *pages;
    int n_keys, split; /* keys of this split; where its result goes */
};

/* A page's keys, or its values. */
template <class T>
static __device__ __forceinline__ void copy_half(T *to, const T *from, const decode_params<T> &p,
                                                 int64_t page, int valid, int lane) {
    typedef tile_of<T> tile;
    const int64_t base = (page * p.kv_heads + blockIdx.y) * SG_PAGE_TOKENS * p.dim;
    ROLLED
    for (int c = lane; c < SG_PAGE_TOKENS * tile::CHUNKS; c += 32) {
        const int r = c / tile::CHUNKS, d = c % tile::CHUNKS * tile::CHUNK;
        cp_async16(to + r * tile::STRIDE + d, from + base + r * p.dim + d, r < valid && d < p.dim);
    }
}
static __device__ __forceinline__ void copy_page(page_smem<bf16> *to, const decode_params<bf16> &p,
                                                 int64_t page, int valid, int lane) {
    enum { ROWS_AT_ONCE = 32 / CHUNKS };
    const int r = lane / CHUNKS, d = lane % CHUNKS * 8;
    const int64_t at = ((page * p.kv_heads + blockIdx.y) * SG_PAGE_TOKENS + r) * p.dim + d;
    const bf16 *k = p.k + at, *v = p.v + at;
    bf16 *to_k = to->k + r * TILE_STRIDE + d, *to_v = to->v + r * TILE_STRIDE + d;
    if (valid == SG_PAGE_TOKENS &&
        p.dim == SG__HEAD_TILE) { /* nearly always: addresses differ by constants */
        UNROLL
        for (int i = 0; i < SG_PAGE_TOKENS; i += ROWS_AT_ONCE) {
            cp_async16(to_k + i * TILE_STRIDE, k + i * SG__HEAD_TILE, 1);
            cp_async16(to_v + i * TILE_STRIDE, v + i * SG__HEAD_TILE, 1);
        }
    } else {
        const int keys = d < p.dim ? valid - r : 0;
        ROLLED
        for (int i = 0; i < SG_PAGE_TOKENS; i += ROWS_AT_ONCE) {
            cp_async16(to_k + i * TILE_STRIDE, k + (i < keys ? i * p.dim : 0), i < keys);
            cp_async16(to_v + i * TILE_STRIDE, v + (i < keys ? i * p.dim : 0), i < keys);
        }
    }
}

static __device__ __forceinline__ int page_keys(const decode_work &w, int page) {
    const int left = w.n_keys - page * SG_PAGE_TOKENS;
    return left < SG_PAGE_TOKENS ? left : SG_PAGE_TOKENS;
}

/* This warp's pages of the split, for ROWS matrix rows; its part of the result into ws. */
template <int ROWS>
static __device__ __forceinline__ void attend_pages(warp_smem<bf16, ROWS> *ws, const bf16 *q,
                                                    const decode_params<bf16> &p, const decode_work &work,
                                                    int warp, int lane) {
    enum { M = ROWS / 16 }; /* tiles */
    softmax_rows acc[M];
    for (int m = 0; m < M; m++) softmax_clear(&acc[m]);
    const int n_pages = (work.n_keys + SG_PAGE_TOKENS - 1) / SG_PAGE_TOKENS, t = (lane & 3) * 2;
    int buf = 0;
    if (warp < n_pages) copy_page(&ws->page[0], p, work.pages[warp], page_keys(work, warp), lane);
    cp_async_commit();
    ROLLED
    for (int i = warp; i < n_pages; i += WARPS, buf ^= 1) {
        const int next = i + WARPS, valid = page_keys(work, i);
        if (next < n_pages) copy_page(&ws->page[buf ^ 1], p, work.pages[next], page_keys(work, next), lane);
        cp_async_commit();
        cp_async_wait(1);
        __syncwarp();
        float s[M][2][4] = {};
        UNROLL
        for (int kk = 0; kk < SG__HEAD_TILE / 16; kk++) {
            uint32_t fk[4];
            load_keys(fk, ws->page[buf].k, kk * 16, lane);
            UNROLL
            for (int m = 0; m < M; m++) {
                uint32_t fq[4];
                load_queries(fq, q + m * 16 * TILE_STRIDE, kk * 16, lane);
                mma_m16n8k16_bf16(s[m][0], fq, fk);
                mma_m16n8k16_bf16(s[m][1], fq, fk + 2);
            }
        }
        UNROLL
        for (int m = 0; m < M; m++)
            for (int n = 0; n < 2; n++)
                for (int c = 0; c < 4; c++) s[m][n][c] *= p.scale;
        if (valid < SG_PAGE_TOKENS) {
            UNROLL
            for (int m = 0; m < M; m++)
                for (int n = 0; n < 2; n++)
                    for (int c = 0; c < 4; c++)
                        if (n * 8 + t + (c & 1) >= valid) s[m][n][c] = -INFINITY;
        }
        UNROLL
        for (int m = 0; m < M; m++) softmax_step<2>(&acc[m], s[m]);
        add_values<M>(acc, s, 0, ws->page[buf].v, lane);
        __syncwarp(); /* nobody copies over what another lane still reads */
    }
    __syncwarp();
    const int g = lane >> 2;
    for (int m = 0; m < M; m++)
        for (int h = 0; h < 2; h++) {
            const int r = m * 16 + g + 8 * h;
            const float sum = row_sum(&acc[m], h);
            if (t == 0) ws->part.top[r] = acc[m].top[h], ws->part.sum[r] = sum;
            for (int i = 0; i < SG__HEAD_TILE / 8; i++)
                st8(&ws->part.o[r][i * 8 + t],
                    make_uint2(__float_as_uint(acc[m].o[i][2 * h]), __float_as_uint(acc[m].o[i][2 * h + 1])));
        }
}
template <int ROWS>
static __device__ __forceinline__ void attend_pages(warp_smem<float, ROWS> *ws, const float *q,
                                                    const decode_params<float> &p, const decode_work &work,
                                                    int warp, int lane) {
    enum { R = ROWS / 4 };
    const int n_pages = (work.n_keys + SG_PAGE_TOKENS - 1) / SG_PAGE_TOKENS, g = lane >> 3, c = lane & 7;
    softmax_f32<R> acc;
    softmax_clear(&acc);
    if (warp < n_pages) copy_half(ws->page.k, p.k, p, work.pages[warp], page_keys(work, warp), lane);
    cp_async_commit();
    for (int i = warp; i < n_pages; i += WARPS) {
        const int next = i + WARPS, valid = page_keys(work, i);
        copy_half(ws->page.v, p.v, p, work.pages[i], valid, lane);
        cp_async_commit();
        cp_async_wait(1);
        __syncwarp();
        float s[R][N_F32];
        scores<R, N_F32>(s, q, ws->page.k, p.dim, lane);
        __syncwarp(); /* all lanes have read these keys */
        if (next < n_pages) copy_half(ws->page.k, p.k, p, work.pages[next], page_keys(work, next), lane);
        cp_async_commit();
        UNROLL
        for (int r = 0; r < R; r++)
            for (int j = 0; j < N_F32; j++) s[r][j] = c + 8 * j < valid ? s[r][j] * p.scale : -INFINITY;
        softmax_step<R, N_F32>(&acc, s);
        put_weights<R, N_F32>(ws->p, s, lane);
        cp_async_wait(1);
        __syncwarp();
        add_values<R, N_F32>(&acc, ws->p, ws->page.v, lane);
        __syncwarp();
    }
    UNROLL
    for (int i = 0; i < R; i++) {
        const int r = g + 4 * i;
        const float sum = row_sum(&acc, i);
        if (c == 0) ws->part.top[r] = acc.top[i], ws->part.sum[r] = sum;
        for (int d = 0; d < 4; d++) store4(&ws->part.o[r][4 * c + 32 * d], acc.o[i] + 4 * d);
    }
}

template <class T, int ROWS>
static __device__ __forceinline__ void attend_split(decode_smem<T, ROWS> *sm, const decode_params<T> &p,
                                                    const decode_work &work) {
    typedef tile_of<T> tile;
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5;
    const int gqa = p.q_heads / p.kv_heads, head0 = (int)blockIdx.y * gqa;
    if ((int)threadIdx.x < ROWS) {
        const int r = (int)threadIdx.x, i = work.first + r;
        sm->head[r] = ((int)work.row0 + i / gqa) * p.q_heads + head0 + i % gqa;
    }
    __syncthreads();
    for (int c = (int)threadIdx.x; c < ROWS * tile::CHUNKS; c += THREADS) {
        const int r = c / tile::CHUNKS, d = c % tile::CHUNKS * tile::CHUNK;
        const bool ok = r < work.n_rows && d < p.dim;
        const int64_t at = (int64_t)sm->head[r] * p.dim + d;
        st16(sm->q + r * tile::STRIDE + d, ok ? ld16(p.q + at) : make_uint4(0, 0, 0, 0));
    }
    __syncthreads();
    attend_pages(&sm->warp[warp], sm->q, p, work, warp, lane);
    __syncthreads();
    /* a warp takes every fourth row, a lane four of its values */
    for (int r = warp; r < work.n_rows; r += WARPS) {
        float top = -INFINITY, sum = 0.0f, o[4] = {0};
        UNROLL
        for (int w = 0; w < WARPS; w++) top = nan_max(top, sm->warp[w].part.top[r]);
        UNROLL
        for (int w = 0; w < WARPS; w++) {
            const float e = weight<T>(sm->warp[w].part.top[r] - top); /* 0 for a warp that had no page */
            float x[4];
            load4(x, &sm->warp[w].part.o[r][lane * 4]);
            sum += e * sm->warp[w].part.sum[r];
            for (int j = 0; j < 4; j++) o[j] += e * x[j];
        }
        float *to = p.partial + ((int64_t)sm->head[r] * p.stride + work.split) * SG__PARTIAL_FLOATS;
        store4(to + lane * 4, o);
        if (lane == 0) to[SG__HEAD_TILE] = top, to[SG__HEAD_TILE + 1] = sum;
    }
}

/* Where the splits of a row's prompt are noted. */
template <class T>
static __device__ __forceinline__ float *prompt_splits_of(const decode_params<T> &p, int row) {
    return p.partial + (int64_t)row * p.q_heads * p.stride * SG__PARTIAL_FLOATS + PROMPT_SPLITS;
}

/* grid (groups x tiles of 32 matrix rows, kv_heads, splits of the longest prompt) */
template <class T, int ROWS>
static __global__ void __launch_bounds__(THREADS, sizeof(T) == 2 && ROWS == 16 ? 3 : 2)
    attn_prompt_kernel(decode_params<T> p) {
    DYN_SMEM(raw);
    const int group = (int)blockIdx.x / p.tiles, first = (int)blockIdx.x % p.tiles * SG__DECODE_TILE;
    const int gqa = p.q_heads / p.kv_heads, split = (int)blockIdx.z, key0 = split * SG__SPLIT_KEYS;
    const int row0 = p.row_begin[group], n = p.row_begin[group + 1] - row0, len = p.prompt_len[group];
    const int rows = n * gqa - first, keys = len - key0;
    if (blockIdx.y == 0 && split == 0 && first == 0)
        for (int r = (int)threadIdx.x; r < n; r += THREADS)
            *prompt_splits_of(p, row0 + r) = __uint_as_float((uint32_t)sg__splits(len));
    if (rows > 0 && keys > 0) {
        const decode_work work = {row0,
                                  rows < ROWS ? rows : ROWS,
                                  first,
                                  p.prompt_pages + p.prompt_page_begin[group] + key0 / SG_PAGE_TOKENS,
                                  keys < SG__SPLIT_KEYS ? keys : SG__SPLIT_KEYS,
                                  split};
        attend_split((decode_smem<T, ROWS> *)raw, p, work);
    }
}

/* Matrix rows for the heads of one row: an mma has 16, of float32 as many as there can be heads. */
template <class T> struct suffix_of {
    enum { ROWS = sizeof(T) == sizeof(float) ? SG_MAX_GQA : 16 };
};

/* grid (rows, kv_heads, splits of the longest suffix) */
template <class T>
static __global__ void __launch_bounds__(THREADS, sizeof(T) == sizeof(float) ? 2 : 3)
    attn_suffix_kernel(decode_params<T> p) {
    DYN_SMEM(raw);
    const int row = (int)blockIdx.x, split = (int)blockIdx.z, key0 = split * SG__SPLIT_KEYS;
    const int keys = p.suffix_len[row] - key0;
    if (keys > 0) {
        const decode_work work = {row,
                                  p.q_heads / p.kv_heads,
                                  0,
                                  p.suffix_pages + p.suffix_page_begin[row] + key0 / SG_PAGE_TOKENS,
                                  keys < SG__SPLIT_KEYS ? keys : SG__SPLIT_KEYS,
                                  (int)__float_as_uint(*prompt_splits_of(p, row)) + split};
        attend_split((decode_smem<T, suffix_of<T>::ROWS> *)raw, p, work);
    }
}

/* grid (rows, q_heads / 4 up), a warp per (row, head), 4 values a lane */
template <class T> static __global__ void __launch_bounds__(THREADS) attn_merge_kernel(decode_params<T> p) {
    const int row = (int)blockIdx.x, head = (int)blockIdx.y * WARPS + ((int)threadIdx.x >> 5);
    const int lane = (int)threadIdx.x & 31;
    if (head < p.q_heads && lane * 4 < p.dim) {
        const int n = (int)__float_as_uint(*prompt_splits_of(p, row)) + sg__splits(p.suffix_len[row]);
        const int64_t at = (int64_t)row * p.q_heads + head;
        const float *part = p.partial + at * p.stride * SG__PARTIAL_FLOATS;
        float top = -INFINITY, sum = 0.0f, o[4] = {0};
        for (int i = 0; i < n; i++) top = nan_max(top, part[i * SG__PARTIAL_FLOATS + SG__HEAD_TILE]);
        for (int i = 0; i < n; i++) {
            const float *x = part + i * SG__PARTIAL_FLOATS;
            const float e = weight<T>(x[SG__HEAD_TILE] - top);
            float y[4];
            load4(y, x + lane * 4);
            sum += e * x[SG__HEAD_TILE + 1];
            for (int j = 0; j < 4; j++) o[j] += e * y[j];
        }
        if (sizeof(T) == sizeof(float)) {
            for (int j = 0; j < 4; j++) o[j] /= sum;
        } else {
            const float scale = 1.0f / sum;
            for (int j = 0; j < 4; j++) o[j] *= scale;
        }
        store4(p.out + at * p.dim + lane * 4, o);
    }
}

template <class T, int ROWS> static int launch_prompts(const decode_params<T> &p, dim3 grid, void *stream) {
    const int bytes = (int)sizeof(decode_smem<T, ROWS>);
    const int e = ALLOW_SMEM((attn_prompt_kernel<T, ROWS>), bytes);
    if (e) return e;
    return LAUNCH((attn_prompt_kernel<T, ROWS>), grid, THREADS, bytes, stream, p);
}

template <class T> static int launch(const struct sg__decode_launch *a, void *stream) {
    decode_params<T> p = {(const T *)a->q, (const T *)a->kv.k, (const T *)a->kv.v,
                          (T *)a->out,     a->partial,         a->q_heads,
                          a->kv.kv_heads,  a->kv.head_dim,     score_scale<T>(a->scale),
                          a->row_begin,    a->prompt_len,      a->prompt_page_begin,
                          a->prompt_pages, a->suffix_len,      a->suffix_page_begin,
                          a->suffix_pages, a->stride,          0};
    const int most = a->max_group_rows * (a->q_heads / a->kv.kv_heads);
    p.tiles = (int32_t)sg__blocks(most, SG__DECODE_TILE);
    const dim3 prompts((unsigned)(a->n_groups * p.tiles), (unsigned)p.kv_heads,
                       (unsigned)a->max_prompt_splits);
    /* half a tile where it is enough for every group */
    int e = most <= 16 ? launch_prompts<T, 16>(p, prompts, stream)
                       : launch_prompts<T, SG__DECODE_TILE>(p, prompts, stream);
    if (e) return e;
    const int bytes = (int)sizeof(decode_smem<T, suffix_of<T>::ROWS>);
    e = ALLOW_SMEM(attn_suffix_kernel<T>, bytes);
    if (e) return e;
    const dim3 suffixes((unsigned)a->n_rows, (unsigned)p.kv_heads, (unsigned)a->max_suffix_splits);
    e = LAUNCH(attn_suffix_kernel<T>, suffixes, THREADS, bytes, stream, p);
    if (e) return e;
    const dim3 merges((unsigned)a->n_rows, (unsigned)sg__blocks(a->q_heads, WARPS));
    return LAUNCH(attn_merge_kernel<T>, merges, THREADS, 0, stream, p);
}

extern "C" int sg__launch_attn_decode(const struct sg__decode_launch *a, void *stream) {
    return a->kv.f32 ? launch<float>(a, stream) : launch<bf16>(a, stream);
}

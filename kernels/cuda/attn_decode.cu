/* attn_decode - attention of decode rows, one new token each, grouped by the prompt they share
 *   out[r] = softmax_t(scale q[r] . k[t]) v[t],  t over the prompt of r's group and r's own suffix
 * q, out bf16 [n_rows][q_heads][head_dim]; pages as in kernels.h; out may be q (the second kernel writes it,
 * the first has then read all of q).
 *
 * First kernel, on the prompts: all rows of a group times the heads of one KV head (n x GQA) form one matrix
 * against the prompt's keys, so that a prompt is read once for all samples: 512 bytes a (key, KV head) and
 * 4 * 128 flops a (row, head, key). The KV axis is cut every SG__SPLIT_KEYS keys; a block is one (group, 32
 * rows, KV head, split). Its four warps take every fourth page, each with copies one page ahead, a softmax of
 * its own and no barrier with the others; the four are merged in the order of the warps.
 * Same kernel, on the suffixes: the GQA heads of one row against its own pages.
 * Second kernel: merges the splits of a (row, head) by log-sum-exp, prompt first, in order.
 * Cuts and orders are the same for every batch, so rows do not change with it. The partial results cost 528
 * bytes written and read a (row, head, split). */
#include "kernels/cuda/tile.cuh"

enum { WARPS = 4, THREADS = WARPS * 32, PAGE_TILE = SG_PAGE_TOKENS * TILE_STRIDE };

struct decode_params {
    const bf16 *q, *k, *v;
    bf16 *out;
    float *partial;
    int32_t q_heads, kv_heads, dim, n_groups;
    float scale;
    const int32_t *row_begin, *prompt_len, *prompt_page_begin, *prompt_pages;
    const int32_t *suffix_len, *suffix_page_begin, *suffix_pages;
    int32_t stride, tiles;
};
/* A warp's own: two pages of keys and values while it runs, then its part of the result. */
union warp_smem {
    struct {
        bf16 k[PAGE_TILE], v[PAGE_TILE];
    } page[2];
    struct {
        float top[SG__DECODE_TILE], sum[SG__DECODE_TILE], o[SG__DECODE_TILE][SG__HEAD_TILE];
    } part;
};
struct decode_smem {
    bf16 q[SG__DECODE_TILE * TILE_STRIDE];
    warp_smem warp[WARPS];
};
/* Rows of q against a run of keys: matrix row i is head kv_head * gqa + i % gqa of row row0 + i / gqa. */
struct decode_work {
    int64_t row0;
    int n_rows; /* matrix rows, 1 .. SG__DECODE_TILE */
    int first;  /* of the group's matrix rows */
    const int32_t *pages;
    int n_keys, split; /* keys of this split; where its result goes */
};

static __device__ __forceinline__ void copy_page(bf16 *k, bf16 *v, const decode_params &p, int64_t page,
                                                 int valid, int lane) {
    const int64_t base = (page * p.kv_heads + blockIdx.y) * SG_PAGE_TOKENS * p.dim;
    for (int c = lane; c < SG_PAGE_TOKENS * CHUNKS; c += 32) {
        const int r = c / CHUNKS, d = c % CHUNKS * 8;
        cp_async16(k + r * TILE_STRIDE + d, p.k + base + r * p.dim + d, r < valid && d < p.dim);
        cp_async16(v + r * TILE_STRIDE + d, p.v + base + r * p.dim + d, r < valid && d < p.dim);
    }
}

static __device__ __forceinline__ int page_keys(const decode_work &w, int page) {
    const int left = w.n_keys - page * SG_PAGE_TOKENS;
    return left < SG_PAGE_TOKENS ? left : SG_PAGE_TOKENS;
}

/* This warp's pages of the split, for M tiles of 16 matrix rows. */
template <int M>
static __device__ __forceinline__ void attend_pages(softmax_rows acc[M], warp_smem *ws, const bf16 *q,
                                                    const decode_params &p, const decode_work &work, int warp,
                                                    int lane) {
    const int n_pages = (work.n_keys + SG_PAGE_TOKENS - 1) / SG_PAGE_TOKENS, t = (lane & 3) * 2;
    int buf = 0;
    if (warp < n_pages)
        copy_page(ws->page[0].k, ws->page[0].v, p, work.pages[warp], page_keys(work, warp), lane);
    cp_async_commit();
    for (int i = warp; i < n_pages; i += WARPS, buf ^= 1) {
        const int next = i + WARPS, valid = page_keys(work, i);
        if (next < n_pages)
            copy_page(ws->page[buf ^ 1].k, ws->page[buf ^ 1].v, p, work.pages[next], page_keys(work, next),
                      lane);
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
                ldmatrix_x4(fq, q + (m * 16 + (lane & 15)) * TILE_STRIDE + kk * 16 + (lane >> 4) * 8);
                mma_m16n8k16_bf16(s[m][0], fq, fk);
                mma_m16n8k16_bf16(s[m][1], fq, fk + 2);
            }
        }
        UNROLL
        for (int m = 0; m < M; m++) {
            for (int n = 0; n < 2; n++)
                for (int c = 0; c < 4; c++)
                    s[m][n][c] = n * 8 + t + (c & 1) < valid ? s[m][n][c] * p.scale : -INFINITY;
            softmax_step<2>(&acc[m], s[m]);
            add_values(&acc[m], s[m], ws->page[buf].v, lane);
        }
        __syncwarp(); /* nobody copies over what another lane still reads */
    }
}

template <int M>
static __device__ __forceinline__ void attend_split(decode_smem *sm, const decode_params &p,
                                                    const decode_work &work) {
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5, g = lane >> 2, t = (lane & 3) * 2;
    const int gqa = p.q_heads / p.kv_heads, head0 = (int)blockIdx.y * gqa;
    for (int c = (int)threadIdx.x; c < M * 16 * CHUNKS; c += THREADS) {
        const int r = c / CHUNKS, d = c % CHUNKS * 8, i = work.first + r, ok = r < work.n_rows && d < p.dim;
        const int64_t at = (work.row0 + i / gqa) * p.q_heads + head0 + i % gqa;
        st16(sm->q + r * TILE_STRIDE + d, ok ? ld16(p.q + at * p.dim + d) : make_uint4(0, 0, 0, 0));
    }
    __syncthreads();
    softmax_rows acc[M];
    for (int m = 0; m < M; m++) softmax_clear(&acc[m]);
    warp_smem *ws = &sm->warp[warp];
    attend_pages<M>(acc, ws, sm->q, p, work, warp, lane);

    __syncwarp();
    for (int m = 0; m < M; m++)
        for (int h = 0; h < 2; h++) {
            const int r = m * 16 + g + 8 * h;
            const float sum = row_sum(&acc[m], h);
            if (t == 0) ws->part.top[r] = acc[m].top[h], ws->part.sum[r] = sum;
            for (int i = 0; i < SG__HEAD_TILE / 8; i++)
                for (int c = 0; c < 2; c++) ws->part.o[r][i * 8 + t + c] = acc[m].o[i][2 * h + c];
        }
    __syncthreads();
    const int d = (int)threadIdx.x; /* THREADS = SG__HEAD_TILE: one value of each row */
    for (int r = 0; r < work.n_rows; r++) {
        float top = -INFINITY, sum = 0.0f, o = 0.0f;
        for (int w = 0; w < WARPS; w++) top = nan_max(top, sm->warp[w].part.top[r]);
        for (int w = 0; w < WARPS; w++) {
            const float e = __expf(sm->warp[w].part.top[r] - top); /* 0 for a warp that had no page */
            sum += e * sm->warp[w].part.sum[r];
            o += e * sm->warp[w].part.o[r][d];
        }
        const int i = work.first + r;
        const int64_t row = (work.row0 + i / gqa) * p.q_heads + head0 + i % gqa;
        float *to = p.partial + (row * p.stride + work.split) * SG__PARTIAL_FLOATS;
        to[d] = o;
        if (d == 0) to[SG__HEAD_TILE] = top, to[SG__HEAD_TILE + 1] = sum;
    }
}

/* The group that row r belongs to: the last with row_begin <= r (groups may be empty). */
static __device__ __forceinline__ int group_of(const int32_t *row_begin, int n_groups, int r) {
    int lo = 0, hi = n_groups;
    while (hi - lo > 1) {
        const int mid = (lo + hi) / 2;
        if (row_begin[mid] <= r)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* grid (groups x tiles of 32 matrix rows, kv_heads, splits of the longest prompt) */
template <int M> static __global__ void __launch_bounds__(THREADS, 2) attn_prompt_kernel(decode_params p) {
    DYN_SMEM(raw);
    const int group = (int)blockIdx.x / p.tiles, first = (int)blockIdx.x % p.tiles * SG__DECODE_TILE;
    const int gqa = p.q_heads / p.kv_heads, split = (int)blockIdx.z, key0 = split * SG__SPLIT_KEYS;
    const int rows = (p.row_begin[group + 1] - p.row_begin[group]) * gqa - first,
              keys = p.prompt_len[group] - key0;
    if (rows > 0 && keys > 0) {
        const decode_work work = {p.row_begin[group],
                                  rows < M * 16 ? rows : M * 16,
                                  first,
                                  p.prompt_pages + p.prompt_page_begin[group] + key0 / SG_PAGE_TOKENS,
                                  keys < SG__SPLIT_KEYS ? keys : SG__SPLIT_KEYS,
                                  split};
        attend_split<M>((decode_smem *)raw, p, work);
    }
}

/* grid (rows, kv_heads, splits of the longest suffix) */
static __global__ void __launch_bounds__(THREADS, 2) attn_suffix_kernel(decode_params p) {
    DYN_SMEM(raw);
    const int row = (int)blockIdx.x, split = (int)blockIdx.z, key0 = split * SG__SPLIT_KEYS;
    const int keys = p.suffix_len[row] - key0;
    if (keys > 0) {
        const int group = group_of(p.row_begin, p.n_groups, row);
        const decode_work work = {row,
                                  p.q_heads / p.kv_heads,
                                  0,
                                  p.suffix_pages + p.suffix_page_begin[row] + key0 / SG_PAGE_TOKENS,
                                  keys < SG__SPLIT_KEYS ? keys : SG__SPLIT_KEYS,
                                  sg__splits(p.prompt_len[group]) + split};
        attend_split<1>((decode_smem *)raw, p, work);
    }
}

/* grid (rows, q_heads / 4 up), a warp per (row, head), 4 values a lane */
static __global__ void __launch_bounds__(THREADS) attn_merge_kernel(decode_params p) {
    const int row = (int)blockIdx.x, head = (int)blockIdx.y * WARPS + ((int)threadIdx.x >> 5);
    const int lane = (int)threadIdx.x & 31;
    if (head < p.q_heads && lane * 4 < p.dim) {
        const int group = group_of(p.row_begin, p.n_groups, row);
        const int n = sg__splits(p.prompt_len[group]) + sg__splits(p.suffix_len[row]);
        const int64_t at = (int64_t)row * p.q_heads + head;
        const float *part = p.partial + at * p.stride * SG__PARTIAL_FLOATS;
        float top = -INFINITY, sum = 0.0f, o[4] = {0};
        for (int i = 0; i < n; i++) top = nan_max(top, part[i * SG__PARTIAL_FLOATS + SG__HEAD_TILE]);
        for (int i = 0; i < n; i++) {
            const float *x = part + i * SG__PARTIAL_FLOATS;
            const float e = __expf(x[SG__HEAD_TILE] - top);
            const uint4 u = ld16(x + lane * 4);
            sum += e * x[SG__HEAD_TILE + 1];
            o[0] += e * __uint_as_float(u.x), o[1] += e * __uint_as_float(u.y);
            o[2] += e * __uint_as_float(u.z), o[3] += e * __uint_as_float(u.w);
        }
        const uint32_t pair[2] = {bf_pack(o[0] / sum, o[1] / sum), bf_pack(o[2] / sum, o[3] / sum)};
        memcpy(p.out + at * p.dim + lane * 4, pair, sizeof pair);
    }
}

extern "C" int sg__launch_attn_decode(const struct sg__decode_launch *a, void *stream) {
    decode_params p = {(const bf16 *)a->q,
                       (const bf16 *)a->kv.k,
                       (const bf16 *)a->kv.v,
                       (bf16 *)a->out,
                       a->partial,
                       a->q_heads,
                       a->kv.kv_heads,
                       a->kv.head_dim,
                       a->n_groups,
                       a->scale,
                       a->row_begin,
                       a->prompt_len,
                       a->prompt_page_begin,
                       a->prompt_pages,
                       a->suffix_len,
                       a->suffix_page_begin,
                       a->suffix_pages,
                       a->stride,
                       0};
    const int bytes = (int)sizeof(decode_smem), most = a->max_group_rows * (a->q_heads / a->kv.kv_heads);
    const bool small = most <= 16; /* half a tile is enough for every group */
    p.tiles = (int32_t)sg__blocks(most, SG__DECODE_TILE);
    int e = ALLOW_SMEM(attn_prompt_kernel<1>, bytes);
    if (!e) e = ALLOW_SMEM(attn_prompt_kernel<2>, bytes);
    if (!e) e = ALLOW_SMEM(attn_suffix_kernel, bytes);
    if (e) return e;
    const dim3 prompts((unsigned)(a->n_groups * p.tiles), (unsigned)p.kv_heads,
                       (unsigned)a->max_prompt_splits);
    if (small)
        e = LAUNCH(attn_prompt_kernel<1>, prompts, THREADS, bytes, stream, p);
    else
        e = LAUNCH(attn_prompt_kernel<2>, prompts, THREADS, bytes, stream, p);
    if (e) return e;
    const dim3 suffixes((unsigned)a->n_rows, (unsigned)p.kv_heads, (unsigned)a->max_suffix_splits);
    e = LAUNCH(attn_suffix_kernel, suffixes, THREADS, bytes, stream, p);
    if (e) return e;
    const dim3 merges((unsigned)a->n_rows, (unsigned)sg__blocks(a->q_heads, WARPS));
    return LAUNCH(attn_merge_kernel, merges, THREADS, 0, stream, p);
}

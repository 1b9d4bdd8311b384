/* attn_prefill - causal attention of runs of consecutive positions over paged keys
 *   out[r] = softmax_t(scale q[r] . k[t]) v[t],  t = 0 .. position of r
 * q, out bf16 [n][q_heads][head_dim]; segment s: rows [row_begin[s], row_begin[s + 1]) at positions pos0[s],
 * ...; keys of token t in page pages[page_begin[s] + t / 16]. out may be q: a block reads its queries before
 * it writes them. 4 * 128 flops a (row, head, visible key), on tensor cores with float32 sums; a block of 64
 * rows reads each key and value it sees once (512 bytes a key), from the cache when heads share them.
 *
 * A block: 64 rows of one head, four warps of 16 rows. Keys come in steps of 64 from key 0, copied one step
 * ahead. A row's sums depend on its own keys alone: steps begin at fixed keys, and what is masked adds
 * nothing (softmax_step), so rows do not change with the chunk they are prefilled in. */
#include "kernels/cuda/tile.cuh"

enum { ROWS = SG__PREFILL_ROWS, KEYS = SG__PREFILL_KEYS, THREADS = 128 };

struct prefill_smem {
    bf16 q[ROWS * TILE_STRIDE];
    bf16 k[2][KEYS * TILE_STRIDE], v[2][KEYS * TILE_STRIDE];
};
struct prefill_params {
    const bf16 *q, *k, *v;
    bf16 *out;
    int32_t q_heads, kv_heads, dim;
    float scale;
    const int32_t *row_begin, *pos0, *page_begin, *pages;
};

/* Keys [key0, key0 + 64) of one KV head, zeros from `end` on and beyond head_dim. */
static __device__ __forceinline__ void copy_keys(bf16 *k, bf16 *v, const prefill_params &p,
                                                 const int32_t *pages, int kv_head, int key0, int end) {
    for (int c = (int)threadIdx.x; c < KEYS * CHUNKS; c += THREADS) {
        const int r = c / CHUNKS, d = c % CHUNKS * 8, key = key0 + r, ok = key < end && d < p.dim;
        const int64_t page = ok ? pages[key / SG_PAGE_TOKENS] : 0;
        const int64_t at =
            ((page * p.kv_heads + kv_head) * SG_PAGE_TOKENS + key % SG_PAGE_TOKENS) * p.dim + d;
        cp_async16(k + r * TILE_STRIDE + d, p.k + at, ok);
        cp_async16(v + r * TILE_STRIDE + d, p.v + at, ok);
    }
    cp_async_commit();
}

/* One block's rows: [row0, row0 + n_rows) of q, the first at position pos. */
static __device__ __forceinline__ void attend_tile(prefill_smem *sm, const prefill_params &p, int64_t row0,
                                                   int n_rows, int pos, const int32_t *pages) {
    const int head = (int)blockIdx.y, kv_head = head / (p.q_heads / p.kv_heads);
    const int lane = (int)threadIdx.x & 31, w = (int)threadIdx.x >> 5, g = lane >> 2, t = (lane & 3) * 2;
    const int end = pos + n_rows, steps = (end + KEYS - 1) / KEYS;
    for (int c = (int)threadIdx.x; c < ROWS * CHUNKS; c += THREADS) {
        const int r = c / CHUNKS, d = c % CHUNKS * 8, ok = r < n_rows && d < p.dim;
        cp_async16(sm->q + r * TILE_STRIDE + d, p.q + ((row0 + (ok ? r : 0)) * p.q_heads + head) * p.dim + d,
                   ok);
    }
    copy_keys(sm->k[0], sm->v[0], p, pages, kv_head, 0, end);
    bf16 *rows = sm->q + w * 16 * TILE_STRIDE; /* this warp's */
    uint32_t fq[SG__HEAD_TILE / 16][4];
    softmax_rows acc;
    softmax_clear(&acc);
    for (int b = 0; b < steps; b++) {
        const int buf = b & 1;
        if (b + 1 < steps) {
            copy_keys(sm->k[buf ^ 1], sm->v[buf ^ 1], p, pages, kv_head, (b + 1) * KEYS, end);
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
            for (int c = 0; c < 4; c++) {
                const int key = b * KEYS + i * 8 + t + (c & 1), at = pos + w * 16 + g + (c >> 1) * 8;
                s[i][c] = !edge || key <= at ? s[i][c] * p.scale : -INFINITY;
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

/* grid (row tiles of the longest segment, q_heads, segments); late tiles, which see most keys, come first */
static __global__ void __launch_bounds__(THREADS, 2) attn_prefill_kernel(prefill_params p) {
    DYN_SMEM(raw);
    const int s = (int)blockIdx.z, tile = (int)(gridDim.x - 1 - blockIdx.x) * ROWS;
    const int64_t row0 = p.row_begin[s];
    const int n = (int)(p.row_begin[s + 1] - row0) - tile;
    if (n > 0)
        attend_tile((prefill_smem *)raw, p, row0 + tile, n < ROWS ? n : ROWS, p.pos0[s] + tile,
                    p.pages + p.page_begin[s]);
}

extern "C" int sg__launch_attn_prefill(const struct sg__prefill_launch *a, void *stream) {
    const int e = ALLOW_SMEM(attn_prefill_kernel, sizeof(prefill_smem));
    if (e) return e;
    const prefill_params p = {(const bf16 *)a->q,
                              (const bf16 *)a->kv.k,
                              (const bf16 *)a->kv.v,
                              (bf16 *)a->out,
                              a->q_heads,
                              a->kv.kv_heads,
                              a->kv.head_dim,
                              a->scale,
                              a->row_begin,
                              a->pos0,
                              a->page_begin,
                              a->pages};
    const int64_t tiles = sg__blocks(a->max_rows, ROWS);
    return LAUNCH(attn_prefill_kernel, dim3((unsigned)tiles, (unsigned)a->q_heads, (unsigned)a->n_segs),
                  THREADS, sizeof(prefill_smem), stream, p);
}

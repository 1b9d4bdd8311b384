/* Attention by tiles of query lines (one row and head each) that share a KV head. Keys come in blocks of
 * SG__KEYS at fixed positions; for every line scores are one FMA chain over head_dim, the weighted sum of
 * values is one FMA chain over the keys, and the online softmax rescales once per block. What a line gets
 * thus depends on its own query and keys alone, whatever tile it sits in. */
#include "kernels/cpu/isa.h"

/* ---- tile products ------------------------------------------------------------------------------ */

/* c[r][0..16) (and d[r] when B = 2) = or += sum over k < n of x[k * xk + r * xr] * a[k * step] (b for d). */
SG_INLINE void tile_product(const int R, const int B, const int xk, const int xr, const bool accumulate,
                            int32_t n, const float *x, const float *a, const float *b, int32_t step, float *c,
                            float *d, int32_t c_step) {
    for (int sub = 0; sub < 16; sub += SG_LANES) {
        struct vn acc[16][2];
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            acc[r][0] = accumulate ? vn_load(c + r * c_step + sub) : vn_set1(0);
            if (B == 2) acc[r][1] = accumulate ? vn_load(d + r * c_step + sub) : vn_set1(0);
        }
        for (int64_t k = 0; k < n; k++) {
            const struct vn wa = vn_load(a + k * step + sub), wb = B == 2 ? vn_load(b + k * step + sub) : wa;
            SG_UNROLL
            for (int r = 0; r < R; r++) {
                const struct vn xv = vn_set1(x[k * xk + r * xr]);
                acc[r][0] = vn_fma(xv, wa, acc[r][0]);
                if (B == 2) acc[r][1] = vn_fma(xv, wb, acc[r][1]);
            }
        }
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            vn_store(c + r * c_step + sub, acc[r][0]);
            if (B == 2) vn_store(d + r * c_step + sub, acc[r][1]);
        }
    }
}

/* Scores of `height` lines against one page of keys, or two: q [dim][height], s rows SG__KEYS apart. */
static void score_pages(int32_t height, bool two, int32_t dim, const float *q, const float *k0,
                        const float *k1, float *s) {
    switch (height) {
#define SG_CASE(R, U)                                                                                        \
    case R:                                                                                                  \
        if (two)                                                                                             \
            tile_product(R, 2, R, 1, false, dim, q, k0, k1, 16, s, s + 16, SG__KEYS);                        \
        else                                                                                                 \
            tile_product(R, 1, R, 1, false, dim, q, k0, NULL, 16, s, NULL, SG__KEYS);                        \
        break;
        SG_PRODUCT_SHAPES(SG_CASE)
#undef SG_CASE
    }
}

/* acc += p V over n keys of one page: p rows SG__KEYS apart, v and acc rows `pad` floats. */
static void add_values(int32_t height, int32_t n, int32_t pad, const float *p, const float *v, float *acc) {
    for (int32_t c = 0; c < pad; c += 32) {
        const bool two = c + 16 < pad;
        switch (height) {
#define SG_CASE(R, U)                                                                                        \
    case R:                                                                                                  \
        if (two)                                                                                             \
            tile_product(R, 2, 1, SG__KEYS, true, n, p, v + c, v + c + 16, pad, acc + c, acc + c + 16, pad); \
        else                                                                                                 \
            tile_product(R, 1, 1, SG__KEYS, true, n, p, v + c, NULL, pad, acc + c, NULL, pad);               \
        break;
            SG_PRODUCT_SHAPES(SG_CASE)
#undef SG_CASE
        }
    }
}

/* ---- one block of keys -------------------------------------------------------------------------- */

/* A tile at work: `lines` queries against KV head `head` of layer `layer`. */
struct tile {
    const struct sg__cpu_kv *kv;
    int32_t layer, head, lines, dim, pad;
    struct sg__tiling chunks; /* runs of lines that one tile_product takes */
    float *q, *s;             /* chunk at line b: q + b * dim, [dim][height]; s [lines][SG__KEYS] */
};

static struct tile tile_init(const struct sg__cpu_kv *kv, int32_t layer, int32_t head, int32_t lines,
                             float *q, float *s) {
    const int32_t dim = kv->base.head_dim;
    return (struct tile){kv, layer, head, lines, dim, sg__pad16(dim), sg__tile_rows(lines, SG_TILE_ROWS),
                         q,  s};
}

/* Line i of the tile is query head head * ratio + i % ratio of row i / ratio; q points at the tile's first
 * row. The scale goes into the queries. */
static void pack_queries(const struct tile *t, const float *q, int32_t q_heads, int32_t ratio, float scale) {
    for (int32_t c = 0; c < t->chunks.tiles; c++) {
        const int32_t begin = sg__tile_begin(t->chunks, c), height = sg__tile_begin(t->chunks, c + 1) - begin;
        for (int32_t r = 0; r < height; r++) {
            const int32_t line = begin + r;
            const float *from =
                q + ((int64_t)(line / ratio) * q_heads + t->head * ratio + line % ratio) * t->dim;
            float *to = t->q + begin * t->dim + r;
            for (int32_t d = 0; d < t->dim; d++) to[d * height] = from[d] * scale;
        }
    }
}

static void partial_reset(struct sg__partial p, int32_t lines, int32_t pad) {
    for (int32_t i = 0; i < lines; i++) {
        p.m[i] = -INFINITY;
        p.l[i] = 0;
    }
    memset(p.acc, 0, (size_t)lines * (size_t)pad * sizeof *p.acc);
}

/* Scores of one line become exp(score - m); m, l and acc move to the new maximum. 0 < n <= SG__KEYS. */
static void softmax_line(float *s, int32_t n, float *m, float *l, float *acc, int32_t pad) {
    struct v16 x[SG__KEYS / 16], top = v16_set1(-INFINITY);
    const int32_t vectors = (n + 15) / 16;
    for (int32_t i = 0; i < vectors; i++) {
        const int32_t left = n - i * 16;
        x[i] = v16_load_n(s + i * 16, left < 16 ? left : 16, -INFINITY);
        top = v16_max(x[i], top);
    }
    const float old = *m, high = v16_hmax(top), now = high > old ? high : old;
    struct v16 sum = v16_set1(0);
    for (int32_t i = 0; i < vectors; i++) {
        const struct v16 p = v16_exp(v16_sub(x[i], v16_set1(now)));
        v16_store(s + i * 16, p);
        sum = v16_add(sum, p);
    }
    if (now > old) {
        const float fade = v16_exp1(old - now);
        *l *= fade;
        for (int32_t c = 0; c < pad; c += 16) v16_store(acc + c, v16_mul(v16_load(acc + c), v16_set1(fade)));
        *m = now;
    }
    *l += v16_sum(sum);
}

/* Asks for n floats to be brought into the second-level cache. Pages lie scattered: the processor cannot
 * guess where the next one is. */
static void fetch(const float *p, int32_t n) {
    for (int32_t i = 0; i < n; i += 16) __builtin_prefetch(p + i, 0, 2);
}

/* Adds the block whose pages are given; line i sees its first seen[i] keys, 0..SG__KEYS. Pages that no line
 * sees into are not looked at, nor are values that a line does not see (they may be anything). `ahead` pages
 * follow in the list that the next block will want; negative: all of it is in the cache already. */
static void attend_block(const struct tile *t, const int32_t *pages, const int32_t *seen, int32_t ahead,
                         struct sg__partial p) {
    for (int32_t c = 0; c < t->chunks.tiles; c++) {
        const int32_t begin = sg__tile_begin(t->chunks, c), height = sg__tile_begin(t->chunks, c + 1) - begin;
        float *s = t->s + begin * SG__KEYS, *acc = p.acc + begin * t->pad;
        int32_t most = 0, least = SG__KEYS;
        for (int32_t r = 0; r < height; r++) {
            most = seen[begin + r] > most ? seen[begin + r] : most;
            least = seen[begin + r] < least ? seen[begin + r] : least;
        }
        for (int32_t k = 0; k < most; k += 32) {
            const bool two = k + 16 < most;
            const float *k0 = sg__kv_at(t->kv, t->layer, pages[k / 16], t->head);
            const float *k1 = two ? sg__kv_at(t->kv, t->layer, pages[k / 16 + 1], t->head) : NULL;
            if (c == 0 && ahead >= 0) { /* values, needed after the scores */
                fetch(k0 + t->dim * 16, t->pad * 16);
                if (two) fetch(k1 + t->dim * 16, t->pad * 16);
            }
            score_pages(height, two, t->dim, t->q + begin * t->dim, k0, k1, s + k);
        }
        for (int32_t r = 0; r < height; r++) {
            const int32_t i = begin + r;
            if (seen[i] > 0)
                softmax_line(s + r * SG__KEYS, seen[i], p.m + i, p.l + i, acc + r * t->pad, t->pad);
        }
        for (int32_t k = 0; k < most; k += 16) {
            const float *v = sg__kv_at(t->kv, t->layer, pages[k / 16], t->head) + t->dim * 16;
            if (c == 0 && k / 16 < ahead) /* keys of the next block */
                fetch(sg__kv_at(t->kv, t->layer, pages[(k + SG__KEYS) / 16], t->head), t->dim * 16);
            if (k < least) add_values(height, least - k < 16 ? least - k : 16, t->pad, s + k, v, acc);
            for (int32_t r = 0; r < height; r++) /* keys that only some lines of the chunk see */
                for (int32_t j = k > least ? k : least; j < k + 16 && j < seen[begin + r]; j++) {
                    const struct v16 weight = v16_set1(s[r * SG__KEYS + j]);
                    float *a = acc + r * t->pad;
                    for (int32_t d = 0; d < t->pad; d += 16)
                        v16_store(a + d,
                                  v16_fma(weight, v16_load(v + (j - k) * t->pad + d), v16_load(a + d)));
                }
        }
    }
}

/* All lines over keys [k0, k1) of the run whose first page is pages[0]; k0 a multiple of SG__KEYS. */
static void attend_all(const struct tile *t, const int32_t *pages, int32_t k0, int32_t k1,
                       struct sg__partial p) {
    int32_t seen[SG__TILE];
    for (int32_t k = k0; k < k1; k += SG__KEYS) {
        for (int32_t i = 0; i < t->lines; i++) seen[i] = k1 - k < SG__KEYS ? k1 - k : SG__KEYS;
        attend_block(t, pages + k / 16, seen, k1 - k > SG__KEYS ? sg_pages_for(k1 - k - SG__KEYS) : 0, p);
    }
}

/* ---- merging and the end ------------------------------------------------------------------------ */

/* into = into and p together (log-sum-exp); the first one is copied. */
static void fold(struct sg__partial into, struct sg__partial p, int32_t lines, int32_t pad, bool first) {
    for (int32_t i = 0; i < lines; i++) {
        float *a = into.acc + i * pad;
        const float *b = p.acc + i * pad;
        if (first) {
            into.m[i] = p.m[i];
            into.l[i] = p.l[i];
            memcpy(a, b, (size_t)pad * sizeof *a);
            continue;
        }
        const float top = into.m[i] > p.m[i] ? into.m[i] : p.m[i];
        const float wa = v16_exp1(into.m[i] - top), wb = v16_exp1(p.m[i] - top);
        into.m[i] = top;
        into.l[i] = fmaf(p.l[i], wb, into.l[i] * wa);
        for (int32_t d = 0; d < pad; d += 16)
            v16_store(a + d, v16_fma(v16_load(b + d), v16_set1(wb), v16_mul(v16_load(a + d), v16_set1(wa))));
    }
}

/* out: the tile's first row. */
static void finish(const struct tile *t, struct sg__partial p, int32_t q_heads, int32_t ratio, float *out) {
    for (int32_t i = 0; i < t->lines; i++) {
        float *to = out + ((int64_t)(i / ratio) * q_heads + t->head * ratio + i % ratio) * t->dim;
        for (int32_t d = 0; d < t->dim; d += 16) {
            const struct v16 y = v16_div(v16_load(p.acc + i * t->pad + d), v16_set1(p.l[i]));
            v16_store_n(to + d, y, t->dim - d < 16 ? t->dim - d : 16);
        }
    }
}

/* ---- tasks -------------------------------------------------------------------------------------- */

/* Task: one tile of prefill rows, the last (longest) first. */
void SG_ISA_NAME(prefill)(void *ctx, int64_t task, int thread) {
    const struct sg__prefill_job *j = ctx;
    const struct sg_prefill_args *a = j->a;
    const struct sg__thread_scratch *scratch = &j->threads[thread];
    const int32_t ratio = a->q_heads / a->kv_heads;
    const struct sg__tile cut =
        sg__find_tile(a->row_begin, a->n_segs, a->kv_heads, ratio, j->n_tiles - 1 - task);
    const int64_t at = (int64_t)cut.row * a->q_heads * a->head_dim;
    const struct tile t = tile_init((const struct sg__cpu_kv *)a->kv, a->layer, cut.kv_head, cut.rows * ratio,
                                    scratch->q, scratch->s);
    const int32_t *pages = a->pages + a->page_begin[cut.group];
    const int32_t first = a->pos0[cut.group] + cut.row - a->row_begin[cut.group], end = first + cut.rows;
    pack_queries(&t, (const float *)a->q + at, a->q_heads, ratio, a->scale);
    partial_reset(scratch->part, t.lines, t.pad);
    for (int32_t k = 0; k < end; k += SG__KEYS) {
        int32_t seen[SG__TILE];
        for (int32_t i = 0; i < t.lines; i++) {
            const int32_t see = first + i / ratio + 1 - k;
            seen[i] = see < 0 ? 0 : see > SG__KEYS ? SG__KEYS : see;
        }
        attend_block(&t, pages + k / 16, seen, -1, scratch->part);
    }
    finish(&t, scratch->part, a->q_heads, ratio, (float *)a->out + at);
}

struct decode_tile {
    struct tile t;
    const int32_t *pages;
    int32_t row, ratio, prompt, splits;
    int64_t at; /* of the tile's first row in q and out */
};

static struct decode_tile decode_tile(const struct sg__decode_job *j, int64_t task, int thread) {
    const struct sg_decode_args *a = j->a;
    const int32_t ratio = a->q_heads / a->kv_heads;
    const struct sg__tile cut = sg__find_tile(a->row_begin, a->n_groups, a->kv_heads, ratio, task);
    struct decode_tile d = {.row = cut.row, .ratio = ratio, .prompt = a->prompt_len[cut.group]};
    d.t = tile_init((const struct sg__cpu_kv *)a->kv, a->layer, cut.kv_head, cut.rows * ratio,
                    j->threads[thread].q, j->threads[thread].s);
    d.pages = a->prompt_pages + a->prompt_page_begin[cut.group];
    d.splits = (d.prompt + SG_SPLIT_TOKENS - 1) / SG_SPLIT_TOKENS;
    d.at = (int64_t)cut.row * a->q_heads * a->head_dim;
    return d;
}

static void attend_split(const struct decode_tile *d, int32_t split, struct sg__partial p) {
    const int32_t k0 = split * SG_SPLIT_TOKENS, left = d->prompt - k0;
    partial_reset(p, d->t.lines, d->t.pad);
    attend_all(&d->t, d->pages, k0, k0 + (left < SG_SPLIT_TOKENS ? left : SG_SPLIT_TOKENS), p);
}

/* Each row's own suffix, then everything together into out. */
static void decode_end(const struct sg__decode_job *j, const struct decode_tile *d, int thread) {
    const struct sg_decode_args *a = j->a;
    const struct sg__thread_scratch *scratch = &j->threads[thread];
    const struct tile *t = &d->t;
    partial_reset(scratch->part, t->lines, t->pad);
    for (int32_t i = 0; i < t->lines / d->ratio; i++) {
        const int32_t line = i * d->ratio, row = d->row + i;
        const struct tile own =
            tile_init(t->kv, t->layer, t->head, d->ratio, t->q + line * t->dim, t->s + line * SG__KEYS);
        const struct sg__partial p = {scratch->part.m + line, scratch->part.l + line,
                                      scratch->part.acc + line * t->pad};
        pack_queries(&own, (const float *)a->q + (int64_t)row * a->q_heads * t->dim, a->q_heads, d->ratio,
                     a->scale);
        attend_all(&own, a->suffix_pages + a->suffix_page_begin[row], 0, a->suffix_len[row], p);
    }
    fold(scratch->running, scratch->part, t->lines, t->pad, false);
    finish(t, scratch->running, a->q_heads, d->ratio, (float *)a->out + d->at);
}

/* Task: one tile from beginning to end. */
void SG_ISA_NAME(decode)(void *ctx, int64_t task, int thread) {
    const struct sg__decode_job *j = ctx;
    const struct decode_tile d = decode_tile(j, task, thread);
    const struct sg__thread_scratch *scratch = &j->threads[thread];
    pack_queries(&d.t, (const float *)j->a->q + d.at, j->a->q_heads, d.ratio, j->a->scale);
    for (int32_t s = 0; s < d.splits; s++) {
        attend_split(&d, s, scratch->part);
        fold(scratch->running, scratch->part, d.t.lines, d.t.pad, s == 0);
    }
    decode_end(j, &d, thread);
}

/* Task: one split of one tile; used when there are fewer tiles than threads. The same sums as above. */
void SG_ISA_NAME(decode_split)(void *ctx, int64_t task, int thread) {
    const struct sg__decode_job *j = ctx;
    const struct decode_tile d = decode_tile(j, task / j->max_splits, thread);
    const int32_t split = (int32_t)(task % j->max_splits);
    if (split >= d.splits) return;
    pack_queries(&d.t, (const float *)j->a->q + d.at, j->a->q_heads, d.ratio, j->a->scale);
    attend_split(&d, split, sg__partial_at(j->splits + (size_t)task * j->partial_floats));
}

/* Task: what the splits of one tile left, in their order, and the suffixes. */
void SG_ISA_NAME(decode_fold)(void *ctx, int64_t task, int thread) {
    const struct sg__decode_job *j = ctx;
    const struct decode_tile d = decode_tile(j, task, thread);
    for (int32_t s = 0; s < d.splits; s++) {
        float *at = j->splits + (size_t)(task * j->max_splits + s) * j->partial_floats;
        fold(j->threads[thread].running, sg__partial_at(at), d.t.lines, d.t.pad, s == 0);
    }
    decode_end(j, &d, thread);
}

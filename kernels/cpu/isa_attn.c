/* Attention by tiles of query lines (one row and head each) that share a KV head. Keys come in blocks of
 * SG__KEYS at fixed positions, some of them at a time (SG__SPAN); for every line scores are one FMA chain over head_dim, the weighted sum of
 * values is one FMA chain over the keys, and the online softmax rescales once per block. What a line gets
 * thus depends on its own query and keys alone, whatever tile it sits in.
 *
 * In bf16 queries, keys, values and softmax weights are rounded and go in pairs, along head_dim for scores and
 * along the keys for values (vn_dot2). Pairs of keys begin at even places; the last key, when its place is
 * even, goes with zero. */
#include "kernels/cpu/isa.h"

/* ---- tile products ------------------------------------------------------------------------------ */

enum { BLOCK_PAGES = SG__KEYS / 16, SPAN_PAGES = SG__SPAN / 16, BLOCKS = SG__SPAN / SG__KEYS };

/* Vectors of sixteen that R lines take at once: enough chains for the latency of an FMA. */
#define SG_WIDE(R) ((R)*4 <= SG_TILE_ROWS * 2 ? 4 : 2)

/* One step of the sums of R lines: of one k, or in bf16 of a pair. x is strided by xr from line to line. */
SG_INLINE void step(const int R, const int B, const bool half, const void *x, const int xr,
                    const float *const at[4], struct vn acc[16][4]) {
    struct vn w[4];
    struct vw pair[4];
    SG_UNROLL
    for (int b = 0; b < B; b++) {
        if (half)
            pair[b] = vw_load(at[b]);
        else
            w[b] = vn_load(at[b]);
    }
    SG_UNROLL
    for (int r = 0; r < R; r++) {
        SG_UNROLL
        for (int b = 0; b < B; b++)
            acc[r][b] = half ? vn_dot2(acc[r][b], ((const struct sg_x2 *)x)[r * xr], pair[b])
                             : vn_fma(vn_set1(((const float *)x)[r * xr]), w[b], acc[r][b]);
    }
}

/* Pages lie scattered: the processor cannot guess where the next one is. The products ask for what comes after them, one
 * line of a page a step: many at once would fill the queue of misses and stop the products. */
SG_INLINE void fetch(const float *p) {
    __builtin_prefetch(p, 0, 2);
}

/* s[r][16 b..] = q k of page b; n steps over dim, q [n][R], s rows SG__SPAN apart. Fetches n lines of `next`. */
SG_INLINE void tile_scores(const int R, const int B, const bool half, int32_t n, const void *q,
                           const float *const *k, const float *const *next, float *s) {
    const size_t size = half ? sizeof(struct sg_x2) : sizeof(float);
    for (int sub = 0; sub < 16; sub += SG_LANES) {
        struct vn acc[16][4];
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            SG_UNROLL
            for (int b = 0; b < B; b++) acc[r][b] = vn_set1(0);
        }
        for (int64_t i = 0; i < n; i++) {
            const float *at[4];
            SG_UNROLL
            for (int b = 0; b < B; b++) {
                at[b] = k[b] + i * 16 + sub;
                if (sub == 0) fetch(next[b] + i * 16);
            }
            step(R, B, half, (const char *)q + (size_t)(i * R) * size, 1, at, acc);
        }
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            SG_UNROLL
            for (int b = 0; b < B; b++) vn_store(s + r * SG__SPAN + b * 16 + sub, acc[r][b]);
        }
    }
}

/* Weights of a run of lines, and the values that they are for. */
struct weighted {
    const float *p;        /* rows SG__SPAN words apart; in bf16 pairs, a block's from its first word on */
    const float *const *v; /* pages */
    const float *fade;     /* [BLOCKS][SG__TILE]: what a line's sums are multiplied by when a block begins */
    uint32_t moved;        /* bit b: some line's is not 1 in block b */
    const float *const *next; /* pages whose keys are fetched meanwhile */
};

SG_INLINE struct vn fade_by(const bool half, struct vn acc, float fade) {
    return half ? vn_mul_flush(acc, vn_set1(fade)) : vn_mul(acc, vn_set1(fade));
}

/* Where the weight of step i of a page is, `size` bytes to a step. */
SG_INLINE const void *weight_at(const float *p, int32_t page, int64_t i, int32_t steps, size_t size) {
    return (const char *)(p + page / BLOCK_PAGES * SG__KEYS) +
           (size_t)(page % BLOCK_PAGES * steps + i) * size;
}

/* acc[r][0..16 B) += p v over n steps along the keys, `steps` to a page; v and acc rows `pad` words apart. */
SG_INLINE void tile_values(const int R, const int B, const bool half, int32_t n, const int32_t steps,
                           int32_t pad, const struct weighted *w, int32_t column, float *out) {
    const int xr = half ? (int)(SG__SPAN * sizeof(float) / sizeof(struct sg_x2)) : SG__SPAN;
    const size_t size = half ? sizeof(struct sg_x2) : sizeof(float);
    for (int sub = 0; sub < 16; sub += SG_LANES) {
        struct vn acc[16][4];
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            SG_UNROLL
            for (int b = 0; b < B; b++) acc[r][b] = vn_load(out + r * pad + column + b * 16 + sub);
        }
        for (int32_t page = 0; page * steps < n; page++) {
            const float *at_page = w->v[page] + column + sub, *keys = w->next[page] + column * steps;
            const int32_t left = n - page * steps, end = left < steps ? left : steps;
            if (page % BLOCK_PAGES == 0 && w->moved >> page / BLOCK_PAGES & 1) {
                const float *fade = w->fade + page / BLOCK_PAGES * SG__TILE;
                SG_UNROLL
                for (int r = 0; r < R; r++) {
                    SG_UNROLL
                    for (int b = 0; b < B; b++) acc[r][b] = fade_by(half, acc[r][b], fade[r]);
                }
            }
            for (int64_t i = 0; i < end; i++) {
                const float *at[4];
                SG_UNROLL
                for (int b = 0; b < B; b++) {
                    at[b] = at_page + i * pad + b * 16;
                    if (sub == 0) fetch(keys + (b * steps + i) * 16);
                }
                step(R, B, half, weight_at(w->p, page, i, steps, size), xr, at, acc);
            }
        }
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            SG_UNROLL
            for (int b = 0; b < B; b++) vn_store(out + r * pad + column + b * 16 + sub, acc[r][b]);
        }
    }
}

SG_INLINE void pages_scores(const bool half, int32_t height, int32_t pages, int32_t n, const void *q,
                            const float *const *k, const float *const *next, float *s) {
    switch (height) {
#define SG_CASE(R, U)                                                                                        \
    case R:                                                                                                  \
        if (pages == 4 && SG_WIDE(R) == 4) {                                                                 \
            tile_scores(R, SG_WIDE(R), half, n, q, k, next, s);                                              \
            break;                                                                                           \
        }                                                                                                    \
        for (; pages >= 2; pages -= 2, k += 2, next += 2, s += 32)                                           \
            tile_scores(R, 2, half, n, q, k, next, s);                                                       \
        if (pages) tile_scores(R, 1, half, n, q, k, next, s);                                                \
        break;
        SG_PRODUCT_SHAPES(SG_CASE)
#undef SG_CASE
    }
}

SG_INLINE void columns_values(const bool half, int32_t height, int32_t columns, int32_t n, int32_t pad,
                              const struct weighted *w, int32_t c, float *acc) {
    const int32_t steps = half ? SG_PAGE_TOKENS / 2 : SG_PAGE_TOKENS;
    switch (height) {
#define SG_CASE(R, U)                                                                                        \
    case R:                                                                                                  \
        if (columns == 4 && SG_WIDE(R) == 4) {                                                               \
            tile_values(R, SG_WIDE(R), half, n, steps, pad, w, c, acc);                                      \
            break;                                                                                           \
        }                                                                                                    \
        for (; columns >= 2; columns -= 2, c += 32) tile_values(R, 2, half, n, steps, pad, w, c, acc);       \
        if (columns) tile_values(R, 1, half, n, steps, pad, w, c, acc);                                      \
        break;
        SG_PRODUCT_SHAPES(SG_CASE)
#undef SG_CASE
    }
}

/* Scores of `height` lines against one to four pages of keys. */
SG_OWN void scores(const bool half, int32_t height, int32_t pages, int32_t dim, const float *q,
                   const float *const *k, const float *const *next, float *s) {
    if (half)
        pages_scores(true, height, pages, dim / 2, q, k, next, s);
    else
        pages_scores(false, height, pages, dim, q, k, next, s);
}

/* acc += p V over the first n keys (in bf16: n even), for `columns` x 16 columns from c. */
SG_OWN void values(const bool half, int32_t height, int32_t columns, int32_t n, int32_t pad,
                   const struct weighted *w, int32_t c, float *acc) {
    if (half)
        columns_values(true, height, columns, n / 2, pad, w, c, acc);
    else
        columns_values(false, height, columns, n, pad, w, c, acc);
}

/* The same of line r, for keys [k0, k1); in bf16 k0 is even, and the partner of an odd last key is not looked
 * at: it may be anything. */
SG_OWN void values_line(const bool half, int32_t r, int32_t k0, int32_t k1, int32_t pad,
                        const struct weighted *w, float *acc) {
    for (int32_t k = k0; k < k1; k += half ? 2 : 1) {
        const int32_t page = k / SG_PAGE_TOKENS, i = half ? k % SG_PAGE_TOKENS / 2 : k % SG_PAGE_TOKENS;
        const float *row = w->v[page] + i * pad;
        const void *p = weight_at(w->p + r * SG__SPAN, page, i, half ? SG_PAGE_TOKENS / 2 : SG_PAGE_TOKENS,
                                  half ? sizeof(struct sg_x2) : sizeof(float));
        const float fade = k % SG__KEYS == 0 ? w->fade[k / SG__KEYS * SG__TILE + r] : 1;
        for (int32_t d = 0; d < pad; d += SG_LANES) {
            struct vn a = fade_by(half, vn_load(acc + d), fade);
            if (half) {
                const struct vw word = vw_load(row + d);
                a = vn_dot2(a, *(const struct sg_x2 *)p, k + 1 < k1 ? word : vw_high(word));
            } else {
                a = vn_fma(vn_set1(*(const float *)p), vn_load(row + d), a);
            }
            vn_store(acc + d, a);
        }
    }
}

/* ---- one span of keys --------------------------------------------------------------------------- */

/* A tile at work: `lines` queries against KV head `head` of layer `layer`. */
struct tile {
    const struct sg__cpu_kv *kv;
    int32_t layer, head, lines, dim, pad;
    bool half;                /* factors are rounded to bf16 */
    int32_t v_at;             /* words of a page's keys */
    float scale;              /* of scores: goes into the queries, in bf16 into the sums */
    struct sg__tiling chunks; /* runs of lines that one product takes */
    float *q, *s; /* chunk at line b: q + b * dim, [dim][height]; s [lines][SG__SPAN]. In bf16 pairs
                               * in place of dim and keys, of struct sg_x2, and rows and blocks of s as far apart */
};

static struct tile tile_init(const struct sg__cpu_kv *kv, int32_t layer, int32_t head, int32_t lines,
                             float scale, float *q, float *s) {
    const int32_t dim = kv->base.head_dim;
    return (struct tile){.kv = kv,
                         .layer = layer,
                         .head = head,
                         .lines = lines,
                         .dim = dim,
                         .pad = sg__pad16(dim),
                         .half = kv->half,
                         .v_at = kv->half ? dim * 8 : dim * 16,
                         .scale = scale,
                         .chunks = sg__tile_rows(lines, SG_TILE_ROWS),
                         .q = q,
                         .s = s};
}

static float *queries_at(const struct tile *t, int32_t line) {
    const size_t pairs = (size_t)line * (size_t)(t->dim / 2);
    return t->half ? (float *)(void *)((struct sg_x2 *)(void *)t->q + pairs) : t->q + line * t->dim;
}

/* Line i of the tile is query head head * ratio + i % ratio of row i / ratio; q points at the tile's first
 * row. */
static void pack_queries(const struct tile *t, const float *q, int32_t q_heads, int32_t ratio) {
    for (int32_t c = 0; c < t->chunks.tiles; c++) {
        const int32_t begin = sg__tile_begin(t->chunks, c), height = sg__tile_begin(t->chunks, c + 1) - begin;
        const float *row[16] = {0};
        for (int32_t r = 0; r < height; r++) {
            const int32_t line = begin + r;
            row[r] = q + ((int64_t)(line / ratio) * q_heads + t->head * ratio + line % ratio) * t->dim;
        }
        if (t->half)
            x2_pack(row, height, t->dim / 2, (struct sg_x2 *)(void *)queries_at(t, begin));
        else
            f32_pack(row, height, t->dim, t->scale, queries_at(t, begin));
    }
}

static void partial_reset(struct sg__partial p, int32_t lines, int32_t pad) {
    for (int32_t i = 0; i < lines; i++) {
        p.m[i] = -INFINITY;
        p.l[i] = 0;
    }
    memset(p.acc, 0, (size_t)lines * (size_t)pad * sizeof *p.acc);
}

/* Scores of a line as the softmax takes them, vector i of them; those behind the n seen are of no weight. */
SG_INLINE struct v16 score(const bool half, const bool full, float scale, const float *s, int32_t n,
                           int32_t i) {
    const int32_t left = n - i * 16;
    const struct v16 x = full ? v16_load(s + i * 16)
                              : v16_load_n(s + i * 16, left < 16 ? left : 16, -copysignf(INFINITY, scale));
    return half ? v16_mul(x, v16_set1(scale)) : x;
}
/* Sixteen chains of the greatest of n scores, 0 < n <= SG__KEYS. */
SG_INLINE struct v16 greatest(const bool half, const bool full, float scale, const float *s, int32_t n) {
    const int32_t vectors = full ? BLOCK_PAGES : (n + 15) / 16;
    struct v16 top = v16_set1(-INFINITY);
    for (int32_t i = 0; i < vectors; i++) top = v16_max(score(half, full, scale, s, n, i), top);
    return top;
}
/* Scores become exp(score - now), in bf16 rounded and in pairs; sixteen chains of the sum of what they became. */
SG_INLINE struct v16 weights(const bool half, const bool full, float scale, float *s, int32_t n, float now) {
    const int32_t vectors = full ? BLOCK_PAGES : (n + 15) / 16;
    struct v16 p[BLOCK_PAGES], sum = v16_set1(0);
    for (int32_t i = 0; i < vectors; i++)
        p[i] = v16_exp_down(v16_sub(score(half, full, scale, s, n, i), v16_set1(now)));
    if (half) return x2_round_chains((struct sg_x2 *)(void *)s, p, vectors);
    for (int32_t i = 0; i < vectors; i++) {
        v16_store(s + i * 16, p[i]);
        sum = v16_add(sum, p[i]);
    }
    return sum;
}

/* Scores of a block of `height` lines, sixteen or less, become weights of the softmax; m and l (the sum of the weights)
 * move to the new maximum. fade: what their values so far are to be multiplied by; returns the lines where it is not 1. s:
 * first of the lines; seen, p, fade: from them on. What waits for itself is done for all lines at once: the last steps of
 * maxima and of sums, and exp(old - new maximum). */
SG_INLINE uint32_t softmax(const bool half, const struct tile *t, int32_t height, const int32_t *seen,
                           float *s, struct sg__partial p, float *fade) {
    const float scale = half ? t->scale : 1;
    struct v16 line[16];
    float now[16];
    for (int32_t r = 0; r < 16; r++) {
        const float *at = s + r * SG__SPAN;
        if (r >= height || seen[r] == 0)
            line[r] = v16_set1(-INFINITY);
        else if (seen[r] == SG__KEYS)
            line[r] = greatest(half, true, scale, at, SG__KEYS);
        else
            line[r] = greatest(half, false, scale, at, seen[r]);
    }
    const struct v16 old = v16_load_n(p.m, height, 0), top = v16_max(v16_hmaxs(line), old);
    const struct v16 down = v16_if_less(old, top, v16_exp(v16_sub(old, top)), v16_set1(1));
    v16_store(now, top);
    v16_store_n(p.m, top, height);
    v16_store_n(fade, down, height);
    for (int32_t r = 0; r < 16; r++) {
        float *at = s + r * SG__SPAN;
        if (r >= height || seen[r] == 0)
            line[r] = v16_set1(0);
        else if (seen[r] == SG__KEYS)
            line[r] = weights(half, true, scale, at, SG__KEYS, now[r]);
        else
            line[r] = weights(half, false, scale, at, seen[r], now[r]);
    }
    const struct v16 sum = half ? x2_sums(line) : v16_sums(line);
    v16_store_n(p.l, v16_add(v16_mul(v16_load_n(p.l, height, 0), down), sum), height);
    return ~v16_mask_ge(old, top) & ((1u << height) - 1);
}
SG_OWN uint32_t softmax_lines(const struct tile *t, int32_t height, const int32_t *seen, float *s,
                              struct sg__partial p, float *fade) {
    return t->half ? softmax(true, t, height, seen, s, p, fade) : softmax(false, t, height, seen, s, p, fade);
}

/* Pages that will be wanted next: the first n of a list. */
struct ahead {
    const int32_t *pages;
    int32_t n;
};

/* Keys or values of pages that will be wanted after those, the first n of a list. */
struct halves {
    const float *const *at;
    int32_t n;
};

/* A run of lines of a span: those that one product takes. */
struct run {
    int32_t begin, height, most, least; /* keys that one of its lines sees, and that all of them see */
    struct weighted w;
};

/* The weights of a span's blocks, one after another: each begins with the maximum that the one before left. fade
 * [BLOCKS][SG__TILE]; moved[b]: lines whose maximum moves in block b. */
static void span_weights(const struct tile *t, int32_t blocks, const int32_t *seen, struct sg__partial p,
                         float *fade, uint32_t *moved) {
    for (int32_t b = 0; b < blocks; b++) {
        int32_t here[SG__TILE];
        moved[b] = 0;
        for (int32_t i = 0; i < t->lines; i++) {
            const int32_t left = seen[i] - b * SG__KEYS;
            here[i] = left < 0 ? 0 : left < SG__KEYS ? left : SG__KEYS;
        }
        for (int32_t i = 0; i < t->lines; i += 16) {
            const int32_t left = t->lines - i;
            const struct sg__partial lines = {p.m + i, p.l + i, NULL};
            moved[b] |= softmax_lines(t, left < 16 ? left : 16, here + i, t->s + i * SG__SPAN + b * SG__KEYS,
                                      lines, fade + b * SG__TILE + i)
                        << i;
        }
    }
}

/* Adds the span whose pages are given; line i sees its first seen[i] keys, 0..SG__SPAN. Pages that no line
 * sees into are not looked at, nor are values that a line does not see (they may be anything). All runs take their scores
 * of a block before the next block, and a few columns of the values before the next ones: what they share comes into the
 * first-level cache once. A run's sums stay in registers over all keys of the span. */
static void attend_span(const struct tile *t, const int32_t *pages, const int32_t *seen, struct ahead ahead,
                        struct halves later, struct sg__partial p) {
    const float *k[SPAN_PAGES], *v[SPAN_PAGES], *block_on[SPAN_PAGES], *next[SPAN_PAGES], *then[SPAN_PAGES];
    float fade[BLOCKS * SG__TILE];
    uint32_t moved[BLOCKS];
    struct run runs[SG__TILE];
    int32_t n = 0;
    for (int32_t c = 0; c < t->chunks.tiles; c++) {
        const int32_t begin = sg__tile_begin(t->chunks, c);
        struct run *r = runs + c;
        *r = (struct run){begin, sg__tile_begin(t->chunks, c + 1) - begin, 0, SG__SPAN, {0}};
        for (int32_t i = begin; i < begin + r->height; i++) {
            r->most = seen[i] > r->most ? seen[i] : r->most;
            r->least = seen[i] < r->least ? seen[i] : r->least;
        }
        n = sg_pages_for(r->most) > n ? sg_pages_for(r->most) : n;
    }
    for (int32_t i = 0; i < n; i++) {
        k[i] = sg__kv_at(t->kv, t->layer, pages[i], t->head);
        v[i] = k[i] + t->v_at;
        next[i] = i < ahead.n ? sg__kv_at(t->kv, t->layer, ahead.pages[i], t->head) : k[i];
        then[i] = i < later.n ? later.at[i] : v[i];
    }
    for (int32_t i = 0; i < n; i++) block_on[i] = k[i + BLOCK_PAGES < n ? i + BLOCK_PAGES : i];
    struct run *const last = runs + t->chunks.tiles;
    unsigned mode = t->half ? flush_begin() : 0;
    for (int32_t block = 0; block < n; block += BLOCK_PAGES)
        for (const struct run *r = runs; r < last; r++) {
            const int32_t group = SG_WIDE(r->height), all = sg_pages_for(r->most);
            const int32_t end = all < block + BLOCK_PAGES ? all : block + BLOCK_PAGES;
            for (int32_t i = block; i < end; i += group)
                scores(t->half, r->height, end - i < group ? end - i : group, t->dim, queries_at(t, r->begin),
                       k + i, (r == runs ? v : block_on) + i, t->s + r->begin * SG__SPAN + i * 16);
        }
    if (t->half) flush_end(mode);
    span_weights(t, (n + BLOCK_PAGES - 1) / BLOCK_PAGES, seen, p, fade, moved);
    for (struct run *r = runs; r < last; r++) {
        r->w = (struct weighted){t->s + r->begin * SG__SPAN, v, fade + r->begin, 0, r == runs ? next : then};
        for (int32_t b = 0; b * BLOCK_PAGES < n; b++)
            r->w.moved |= (uint32_t)((moved[b] >> r->begin & ((1u << r->height) - 1)) != 0) << b;
    }
    const int32_t group = SG_WIDE(runs->height); /* of the tallest */
    mode = t->half ? flush_begin() : 0;
    for (int32_t d = 0; d < t->pad; d += 16 * group)
        for (const struct run *r = runs; r < last; r++) {
            const int32_t columns = (t->pad - d) / 16, least = t->half ? r->least & ~1 : r->least;
            if (least > 0)
                values(t->half, r->height, columns < group ? columns : group, least, t->pad, &r->w, d,
                       p.acc + r->begin * t->pad);
        }
    for (const struct run *r = runs; r < last; r++) /* keys that only some lines of the run see */
        for (int32_t i = 0; i < r->height; i++)
            values_line(t->half, i, t->half ? r->least & ~1 : r->least, seen[r->begin + i], t->pad, &r->w,
                        p.acc + (r->begin + i) * t->pad);
    if (t->half) flush_end(mode);
}

/* All lines over keys [k0, k1) of the run whose first page is pages[0]; k0 a multiple of SG__KEYS. The run has n_pages
 * pages; `then` comes after them, `later` behind that: it is fetched beside the first SG__SPAN keys. */
static void attend_all(const struct tile *t, const int32_t *pages, int32_t n_pages, int32_t k0, int32_t k1,
                       struct ahead then, struct halves later, struct sg__partial p) {
    int32_t seen[SG__TILE];
    for (int32_t k = k0; k < k1; k += SG__SPAN) {
        const int32_t after = k / 16 + SPAN_PAGES;
        for (int32_t i = 0; i < t->lines; i++) seen[i] = k1 - k < SG__SPAN ? k1 - k : SG__SPAN;
        attend_span(t, pages + k / 16, seen,
                    after < n_pages ? (struct ahead){pages + after, n_pages - after} : then,
                    k == k0 ? later : (struct halves){0}, p);
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
                                    a->scale, scratch->q, scratch->s);
    const int32_t *pages = a->pages + a->page_begin[cut.group];
    const int32_t first = a->pos0[cut.group] + cut.row - a->row_begin[cut.group], end = first + cut.rows;
    pack_queries(&t, (const float *)a->q + at, a->q_heads, ratio);
    partial_reset(scratch->part, t.lines, t.pad);
    for (int32_t k = 0; k < end; k += SG__SPAN) {
        int32_t seen[SG__TILE];
        for (int32_t i = 0; i < t.lines; i++) {
            const int32_t see = first + i / ratio + 1 - k;
            seen[i] = see < 0 ? 0 : see > SG__SPAN ? SG__SPAN : see;
        }
        const int32_t after = k / 16 + SPAN_PAGES, left = sg_pages_for(end) - after;
        attend_span(&t, pages + k / 16, seen, (struct ahead){left > 0 ? pages + after : pages, left},
                    (struct halves){0}, scratch->part);
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
    d.t = tile_init((const struct sg__cpu_kv *)a->kv, a->layer, cut.kv_head, cut.rows * ratio, a->scale,
                    j->threads[thread].q, j->threads[thread].s);
    d.pages = a->prompt_pages + a->prompt_page_begin[cut.group];
    d.splits = (d.prompt + SG_SPLIT_TOKENS - 1) / SG_SPLIT_TOKENS;
    d.at = (int64_t)cut.row * a->q_heads * a->head_dim;
    return d;
}

/* What row i of a tile attends to of its own; nothing behind the last row. */
static struct ahead suffix_of(const struct sg__decode_job *j, const struct decode_tile *d, int32_t i) {
    const struct sg_decode_args *a = j->a;
    const int32_t row = d->row + i;
    if (i >= d->t.lines / d->ratio) return (struct ahead){NULL, 0};
    return (struct ahead){a->suffix_pages + a->suffix_page_begin[row], sg_pages_for(a->suffix_len[row])};
}

static void attend_split(const struct sg__decode_job *j, const struct decode_tile *d, int32_t split,
                         struct halves later, struct sg__partial p) {
    const int32_t k0 = split * SG_SPLIT_TOKENS, left = d->prompt - k0;
    partial_reset(p, d->t.lines, d->t.pad);
    attend_all(&d->t, d->pages, sg_pages_for(d->prompt), k0,
               k0 + (left < SG_SPLIT_TOKENS ? left : SG_SPLIT_TOKENS), suffix_of(j, d, 0), later, p);
}

/* Each row's own suffix, then everything together into out. */
static void decode_end(const struct sg__decode_job *j, const struct decode_tile *d, int thread) {
    const struct sg_decode_args *a = j->a;
    const struct sg__thread_scratch *scratch = &j->threads[thread];
    const struct tile *t = &d->t;
    partial_reset(scratch->part, t->lines, t->pad);
    for (int32_t i = 0; i < t->lines / d->ratio; i++) {
        const int32_t line = i * d->ratio, row = d->row + i;
        const struct tile own = tile_init(t->kv, t->layer, t->head, d->ratio, t->scale, t->q, t->s);
        const struct sg__partial p = {scratch->part.m + line, scratch->part.l + line,
                                      scratch->part.acc + line * t->pad};
        pack_queries(&own, (const float *)a->q + (int64_t)row * a->q_heads * t->dim, a->q_heads, d->ratio);
        const struct ahead suffix = suffix_of(j, d, i);
        attend_all(&own, suffix.pages, suffix.n, 0, a->suffix_len[row], suffix_of(j, d, i + 1),
                   (struct halves){0}, p);
    }
    fold(scratch->running, scratch->part, t->lines, t->pad, false);
    finish(t, scratch->running, a->q_heads, d->ratio, (float *)a->out + d->at);
}

/* Keys and values of the rows' own pages, as many as the second-level cache takes beside the prompt's. One row alone looks
 * at them: their products wait for memory, while those of the prompt leave it idle. */
enum { MOST_HALVES = 96 };
static int32_t own_halves(const struct sg__decode_job *j, const struct decode_tile *d,
                          const float *own[MOST_HALVES]) {
    int32_t n = 0;
    for (int32_t i = 0; i < d->t.lines / d->ratio; i++) {
        const struct ahead suffix = suffix_of(j, d, i);
        for (int32_t page = 0; page < suffix.n && n < MOST_HALVES; page++) {
            own[n++] = sg__kv_at(d->t.kv, d->t.layer, suffix.pages[page], d->t.head);
            own[n] = own[n - 1] + d->t.v_at;
            n++;
        }
    }
    return n;
}

/* Task: one tile from beginning to end. */
void SG_ISA_NAME(decode)(void *ctx, int64_t task, int thread) {
    const struct sg__decode_job *j = ctx;
    const struct decode_tile d = decode_tile(j, task, thread);
    const struct sg__thread_scratch *scratch = &j->threads[thread];
    pack_queries(&d.t, (const float *)j->a->q + d.at, j->a->q_heads, d.ratio);
    const float *own[MOST_HALVES];
    const int32_t n = own_halves(j, &d, own);
    for (int32_t s = 0; s < d.splits; s++) {
        const int32_t done = s * SPAN_PAGES;
        const struct halves later = {own + (done < n ? done : n), done < n ? n - done : 0};
        attend_split(j, &d, s, later, s ? scratch->part : scratch->running);
        if (s) fold(scratch->running, scratch->part, d.t.lines, d.t.pad, false);
    }
    decode_end(j, &d, thread);
}

/* Task: one split of one tile; used when there are fewer tiles than threads. The same sums as above. */
void SG_ISA_NAME(decode_split)(void *ctx, int64_t task, int thread) {
    const struct sg__decode_job *j = ctx;
    const struct decode_tile d = decode_tile(j, task / j->max_splits, thread);
    const int32_t split = (int32_t)(task % j->max_splits);
    if (split >= d.splits) return;
    pack_queries(&d.t, (const float *)j->a->q + d.at, j->a->q_heads, d.ratio);
    attend_split(j, &d, split, (struct halves){0},
                 sg__partial_at(j->splits + (size_t)task * j->partial_floats));
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

/* cpu - the fast host backend. Private to kernels/cpu.
 *
 * Bits: every output element is one chain of fused multiply-adds over k (or keys) in ascending order, and
 * sums over a row go through the sixteen fixed lanes of v16.h. So instruction sets, tile shapes, batch
 * sizes and thread counts change speed only.
 *
 * Weights: panels of SG__PANEL output columns (rows of W), k-major: for one k the 32 values of a panel lie
 * side by side. bf16: 32-bit word j holds column j in its low half and column j + 16 in its high half, so
 * that one load, one shift and one mask give two vectors of float32. f16 and f32: in order. The last panel
 * is padded with zeros. Weights that are only looked up (SG_USE_EMBED alone) stay row-major. A device that
 * computes in bf16 has panels of pairs instead: the 32-bit word of column j holds k in its high half and k + 1
 * in its low half, k even (see vn_dot2 in isa.h); behind an odd last k comes zero.
 *
 * KV page of one layer and KV head: keys [head_dim][16 tokens], so that sixteen scores are one chain of
 * vector FMAs; then values [16 tokens][dim_pad], dim_pad = head_dim rounded up to 16, the pad zero. In bf16 keys
 * [head_dim / 2][16 tokens] of pairs along head_dim, values [8][dim_pad] of pairs of tokens. */
#ifndef SG_KERNELS_CPU_H
#define SG_KERNELS_CPU_H

#include "kernels/backend.h"
#include "kernels/bf16.h"
#include "kernels/cpu/pool.h"
#include "kernels/host.h"

enum {
    SG__PANEL = 32,      /* columns of a weight panel */
    SG__ROW_BLOCK = 504, /* rows packed at a time by a product: a multiple of both tile heights (14 and 6) */
    SG__TILE = 32,       /* query lines (row x head) of an attention tile */
    SG__KEYS = SG__BF16_KEYS,   /* keys of one online-softmax step; at fixed multiples of it, divides
                               * SG_SPLIT_TOKENS */
    SG__SPAN = SG_SPLIT_TOKENS, /* keys that attention takes at once: whole steps */
    SG__CHUNK = 128,            /* logits per entry of the sampler's table of maxima */
};

static inline int32_t sg__pad16(int32_t dim) {
    return (dim + 15) & ~15;
}

/* Partial softmax sums of `lines` queries: out = acc / l, both scaled by exp(-m). */
struct sg__partial {
    float *m, *l; /* [SG__TILE] */
    float *acc;   /* [SG__TILE][dim_pad] */
};
/* What one thread needs to itself. */
struct sg__thread_scratch {
    float *q;                         /* [SG__TILE][head_dim], packed by chunk */
    float *s;                         /* [SG__TILE][SG__SPAN] */
    struct sg__partial part, running; /* this split's sums; those of all splits so far */
    uint64_t *heap;                   /* [vocab] */
    float *maxima;                    /* [ceil(vocab / SG__CHUNK)] */
};

struct sg__isa;
struct sg__cpu_dev {
    struct sg_dev base;
    struct sg__host_mem mem;
    struct sg__pool *pool;
    const struct sg__isa *isa;
    char *scratch; /* NULL before the first reserve */
    float *x_pack; /* [SG__ROW_BLOCK or less][widest input, made even] */
    struct sg__thread_scratch *threads;
    float
        *splits; /* [split_slots][sg__partial_floats]; partial sums of a decode that is cut along its keys */
    int64_t split_slots;
};
struct sg__cpu_weight {
    struct sg_weight base;
    void *data;
    bool panels;
};
struct sg__cpu_kv {
    struct sg_kv base;
    float *data;
    bool half;                                     /* pairs of bf16 */
    size_t head_floats, page_floats, layer_floats; /* strides, in words of 32 bits */
};
static inline int64_t sg__panels(int64_t rows) {
    return (rows + SG__PANEL - 1) / SG__PANEL;
}
static inline float *sg__kv_at(const struct sg__cpu_kv *kv, int32_t layer, int32_t page, int32_t head) {
    return kv->data + (size_t)layer * kv->layer_floats + (size_t)page * kv->page_floats +
           (size_t)head * kv->head_floats;
}

/* ---- jobs: what a task function gets ------------------------------------------------------------ */

/* Rows are cut into tiles of nearly equal height, at most isa->tile_rows. */
struct sg__tiling {
    int32_t n, tiles;
};
static inline struct sg__tiling sg__tile_rows(int32_t n, int32_t most) {
    return (struct sg__tiling){n, (n + most - 1) / most};
}
/* First row of tile t, 0 <= t <= tiles. */
static inline int32_t sg__tile_begin(struct sg__tiling t, int32_t tile) {
    const int32_t base = t.n / t.tiles, extra = t.n % t.tiles;
    return tile * base + (tile < extra ? tile : extra);
}

struct sg__linear_job {
    const struct sg__cpu_weight *w;
    const float *x; /* [n][cols] */
    /* linear_pack writes, tile t at sg__tile_begin(t) * cols: [cols][height]; n > 1 only. In bf16 pairs in place
     * of cols, of struct sg_x2. */
    float *x_pack;
    const float *packed; /* linear reads: x_pack, or x itself when n = 1 */
    float *y;            /* [n][rows] */
    struct sg__tiling tiling;
    /* first `groups` tasks of `group` panels, then tasks of `least` to the end: threads that finish their group apart
     * share out what is left */
    int64_t group, groups, least;
    int32_t row_splits,
        tail_splits;    /* tasks over the row tiles, per run of panels: per group, and behind those */
    int32_t pack_parts; /* bf16: tasks over the columns of a tile that is packed */
    int64_t ahead;      /* bf16: panels from one of a task to the one that it fetches meanwhile; 0: none */
};
/* What task number `task` multiplies: panels [p0, p1) and row tiles [t0, t1). */
struct sg__linear_part {
    int64_t p0, p1;
    int32_t t0, t1;
};
static inline struct sg__linear_part sg__linear_part(const struct sg__linear_job *j, int64_t task) {
    const int64_t panels = sg__panels(j->w->base.rows), whole = j->groups * j->row_splits;
    const bool tail = task >= whole;
    const int64_t splits = tail ? j->tail_splits : j->row_splits, run = (tail ? task - whole : task) / splits;
    const int64_t part = (tail ? task - whole : task) % splits;
    const int64_t p0 = tail ? j->groups * j->group + run * j->least : run * j->group;
    const int64_t end = p0 + (tail ? j->least : j->group);
    return (struct sg__linear_part){p0, end < panels ? end : panels,
                                    (int32_t)(j->tiling.tiles * part / splits),
                                    (int32_t)(j->tiling.tiles * (part + 1) / splits)};
}
/* Bytes from panel p of a task to what row tile `tile` of it asks for while it multiplies, spread over its sums: the first
 * two tiles each fetch half of the panel that will likely come in its place. 0 when none does. */
static inline size_t sg__fetch_ahead(const struct sg__linear_job *j, int32_t tile, int64_t p, int64_t panels,
                                     size_t panel) {
    return j->ahead && p + j->ahead < panels && tile < 2 ? (size_t)j->ahead * panel + (size_t)tile * panel / 2
                                                         : 0;
}
struct sg__pack_job { /* fills a weight's panels from row-major parts, or with random numbers */
    const struct sg_weight_spec *spec;
    struct sg__cpu_weight *w;
    bool made; /* rows are those of the stream `key` */
    uint64_t key;
    uint16_t *row; /* [threads][cols]: room for rows that are made or rounded; else NULL */
};
struct sg__rows_job { /* row-wise operators: a task is `block` rows */
    int32_t n, block, cols;
    const void *a, *b;
    void *c, *out;
    const float *weight;
    float eps;
    const struct sg_qkv_args *qkv;
};
/* One attention tile: rows [row, row + rows) of q, heads of one KV head, `lines` = rows * ratio. */
struct sg__tile {
    int32_t row, rows, kv_head, group; /* group: segment or decode group */
};
struct sg__prefill_job {
    const struct sg_prefill_args *a;
    struct sg__thread_scratch *threads;
    int64_t n_tiles;
};
struct sg__decode_job {
    const struct sg_decode_args *a;
    struct sg__thread_scratch *threads;
    int64_t n_tiles;
    int32_t max_splits; /* of any group; > 0: partial sums of (tile, split) go to `splits` */
    float *splits;
    size_t partial_floats;
};
struct sg__sample_job {
    const struct sg_sample_args *a;
    struct sg__thread_scratch *threads;
};
struct sg__logprob_job {
    const float *logits;
    const int32_t *target;
    int32_t vocab;
    float *out;
};
struct sg__measure_job {
    const float *data; /* [chunks][chunk_floats] */
    int64_t chunk_floats;
    int64_t fma_rounds;
    float *sink; /* [threads][16] */
};

/* Tile number i of the cut of all groups: every group's rows in runs of SG__TILE / ratio, for each KV head.
 * row_begin [n_groups + 1]; order: group, KV head, run. */
struct sg__tile sg__find_tile(const int32_t *row_begin, int32_t n_groups, int32_t kv_heads, int32_t ratio,
                              int64_t i);
int64_t sg__count_tiles(const int32_t *row_begin, int32_t n_groups, int32_t kv_heads, int32_t ratio);
size_t sg__partial_floats(int32_t dim_pad);
/* m, l, acc laid out in one run of floats. */
struct sg__partial sg__partial_at(float *p);

/* ---- one table per instruction set -------------------------------------------------------------- */

struct sg__isa {
    const char *name;
    int32_t tile_rows;                                  /* tallest product tile */
    sg__task_fn *linear_pack, *linear;                  /* sg__linear_job */
    sg__task_fn *pack_bf16, *linear_bf16;               /* sg__linear_job, on a device of bf16 */
    sg__task_fn *norm, *swiglu, *l2norm, *qkv;          /* sg__rows_job */
    sg__task_fn *prefill;                               /* sg__prefill_job */
    sg__task_fn *decode, *decode_split, *decode_fold;   /* sg__decode_job */
    sg__task_fn *sample;                                /* sg__sample_job */
    sg__task_fn *logprob;                               /* sg__logprob_job */
    sg__task_fn *measure_fma, *measure_read;            /* sg__measure_job */
    sg__task_fn *measure_dot2;                          /* sg__measure_job, for a device of bf16 */
    void (*exp)(const float *x, int32_t n, float *out); /* for the test of its error bound */
    /* out[i] = c[i] + products of the bf16 in the high halves of x[i / 16] and w[i], then of those in the low
     * halves (isa.h); n a multiple of 16 */
    void (*dot2)(const uint32_t *x, const uint32_t *w, const float *c, int64_t n, float *out);
};
extern const struct sg__isa sg__isa_scalar, sg__isa_avx2, sg__isa_avx512, sg__isa_avx512bf16;
/* The table by name, or NULL with the reason in err. "auto": the widest this machine runs; the one with
 * products of bf16 only if those are wanted and agree with the others' bits on this machine. */
const struct sg__isa *sg__isa_find(const char *name, bool bf16, struct sg_err *err);

/* isa_*.c are compiled once per instruction set; SG_ISA is its name. */
#define SG__CAT2(a, b)    a##b
#define SG__CAT(a, b)     SG__CAT2(a, b)
#define SG_ISA_NAME(name) SG__CAT(SG__CAT(sg__, SG_ISA), SG__CAT(_, name))

#endif

/* The operators: cut into tasks, hand them to the pool. */
#include "kernels/cpu/internal.h"

#include <string.h>

/* Work (multiply-adds or elements) below which waking the other threads costs more than it saves. */
static const int64_t SMALL = 16384;
/* Weight bytes that stay in a core's second-level cache while the row tiles pass by. */
static const int64_t GROUP_BYTES = 384 * 1024;
/* Packed rows that stay there while the panels pass by. */
static const int64_t ROWS_BYTES = 400 * 1024;

static void run(struct sg__cpu_dev *d, int64_t work, int64_t tasks, sg__task_fn *fn, void *job) {
    if (work <= SMALL)
        for (int64_t t = 0; t < tasks; t++) fn(job, t, 0);
    else
        sg__pool_run(d->pool, tasks, fn, job);
}

static void run_rows(struct sg__cpu_dev *d, struct sg__rows_job *j, sg__task_fn *fn) {
    const int64_t work = (int64_t)j->n * j->cols;
    const int32_t even = (j->n + 4 * d->base.info.threads - 1) / (4 * d->base.info.threads);
    j->block = even < 1 ? 1 : even > 32 ? 32 : even;
    run(d, work, (j->n + j->block - 1) / j->block, fn, j);
}

struct embed_job {
    const struct sg__cpu_weight *w;
    const int32_t *ids;
    float *out;
};
static void embed_row(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct embed_job *j = ctx;
    sg__cpu_weight_row(j->w, j->ids[task], j->out + task * j->w->base.cols);
}

enum sg_status sg__cpu_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                             float *out, struct sg_err *err) {
    (void)err;
    struct embed_job j = {(const struct sg__cpu_weight *)w, ids, out};
    run((struct sg__cpu_dev *)dev, n * w->cols, n, embed_row, &j);
    return SG_OK;
}

enum sg_status sg__cpu_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                   const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err) {
    (void)dev, (void)err, (void)n_tokens;
    for (int32_t i = 0; i < n; i++)
        if (from[i] >= 0) ids[i] = token[from[i]] > 0 ? token[from[i]] : 0;
    return SG_OK;
}

enum sg_status sg__cpu_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                   int32_t n, int32_t cols, float eps, void *out, struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__rows_job j = {
        .n = n, .cols = cols, .b = delta, .c = resid, .out = out, .weight = weight, .eps = eps};
    run_rows(d, &j, d->isa->norm);
    return SG_OK;
}

/* Cuts one block of rows into tasks: groups of panels that fit the cache, more of them than threads, and smaller ones
 * at the end; where the matrix is narrow the row tiles are shared out too. In bf16 few rows stay in the cache instead: a task
 * is one panel that meets all of them, while its thread fetches the panel that it takes next if the others keep pace. Else
 * the first row tile would ask two cores' memory for weights faster than it gives them, the others not at all; float32 asks
 * half as fast and gains nothing. */
static void multiply(struct sg__cpu_dev *d, const struct sg__cpu_weight *w, const float *x, int32_t n,
                     float *y) {
    const int64_t threads = d->base.info.threads, panels = sg__panels(w->base.rows), cols = w->base.cols;
    const int64_t panel_bytes = cols * SG__PANEL * (int64_t)sg_dtype_bytes(w->base.dtype);
    struct sg__linear_job j = {
        .w = w, .x = x, .y = y, .tiling = sg__tile_rows(n, d->isa->tile_rows), .row_splits = 1};
    const int64_t even = panels / (4 * threads), most = GROUP_BYTES / panel_bytes;
    const int32_t lowest = n / j.tiling.tiles;
    const int64_t least = lowest <= 4 ? 4 : lowest <= 7 ? 2 : 1; /* panels that low tiles take at once */
    const bool bf16 = d->base.info.products == SG_BF16,
               few = bf16 && j.tiling.tiles > 1 && n * cols * 2 <= ROWS_BYTES;
    j.group = few ? least : even < most ? even : most;
    if (j.group < least) j.group = least;
    j.ahead = few ? threads * least : 0;
    j.least = j.group / 3 > least ? j.group / 3 : least;
    j.groups = panels / j.group - threads > 0 ? panels / j.group - threads : 0;
    const int64_t rest = panels - j.groups * j.group, runs = j.groups + (rest + j.least - 1) / j.least;
    if (runs < 4 * threads) {
        const int64_t want = (4 * threads + runs - 1) / runs;
        j.row_splits = (int32_t)(want < j.tiling.tiles ? want : j.tiling.tiles);
    }
    /* who comes to the end first waits for no more than a part of a run */
    j.tail_splits = j.row_splits > 1 ? j.row_splits : j.tiling.tiles < 4 ? j.tiling.tiles : 4;
    const int64_t work = n * w->base.rows * cols;
    j.x_pack = d->x_pack;
    j.packed = n == 1 ? x : d->x_pack;
    j.pack_parts = bf16 && j.tiling.tiles < 4 * threads ? 4 : 1; /* few tiles leave a thread without work */
    if (n > 1 || bf16)
        run(d, n * cols, (int64_t)j.tiling.tiles * j.pack_parts,
            bf16 ? d->isa->pack_bf16 : d->isa->linear_pack, &j);
    run(d, work, j.groups * j.row_splits + (runs - j.groups) * j.tail_splits,
        bf16 ? d->isa->linear_bf16 : d->isa->linear, &j);
}

enum sg_status sg__cpu_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              void *y, struct sg_err *err) {
    (void)err;
    for (int32_t i = 0; i < n; i += SG__ROW_BLOCK) {
        const int32_t rows = n - i < SG__ROW_BLOCK ? n - i : SG__ROW_BLOCK;
        multiply((struct sg__cpu_dev *)dev, (const struct sg__cpu_weight *)w, (const float *)x + i * w->cols,
                 rows, (float *)y + i * w->rows);
    }
    return SG_OK;
}

enum sg_status sg__cpu_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              float *logits, struct sg_err *err) {
    return sg__cpu_linear(dev, w, x, n, logits, err);
}

enum sg_status sg__cpu_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__rows_job j = {.n = a->n, .cols = (a->q_heads + 2 * a->kv_heads) * a->head_dim, .qkv = a};
    run_rows(d, &j, d->isa->qkv);
    return SG_OK;
}

enum sg_status sg__cpu_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a, struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    const int64_t tiles = sg__count_tiles(a->row_begin, a->n_segs, a->kv_heads, a->q_heads / a->kv_heads);
    struct sg__prefill_job j = {a, d->threads, tiles};
    run(d, INT64_MAX, tiles, d->isa->prefill, &j);
    return SG_OK;
}

enum sg_status sg__cpu_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    const int64_t tiles = sg__count_tiles(a->row_begin, a->n_groups, a->kv_heads, a->q_heads / a->kv_heads);
    struct sg__decode_job j = {.a = a, .threads = d->threads, .n_tiles = tiles, .splits = d->splits};
    j.partial_floats = sg__partial_floats(sg__pad16(a->head_dim));
    for (int32_t g = 0; g < a->n_groups; g++) {
        const int32_t splits = (a->prompt_len[g] + SG_SPLIT_TOKENS - 1) / SG_SPLIT_TOKENS;
        if (splits > j.max_splits) j.max_splits = splits;
    }
    if (tiles < d->base.info.threads && j.max_splits > 1 && tiles * j.max_splits <= d->split_slots) {
        run(d, INT64_MAX, tiles * j.max_splits, d->isa->decode_split, &j);
        run(d, INT64_MAX, tiles, d->isa->decode_fold, &j);
    } else {
        run(d, INT64_MAX, tiles, d->isa->decode, &j);
    }
    return SG_OK;
}

enum sg_status sg__cpu_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                              struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__rows_job j = {.n = n, .cols = cols, .a = gate_up, .out = out};
    run_rows(d, &j, d->isa->swiglu);
    return SG_OK;
}

enum sg_status sg__cpu_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                   int32_t n, int32_t cols, void *out, struct sg_err *err) {
    (void)dev, (void)err, (void)n_x;
    for (int64_t i = 0; i < n; i++)
        memcpy((float *)out + i * cols, (const float *)x + (int64_t)rows[i] * cols,
               (size_t)cols * sizeof(float));
    return SG_OK;
}

enum sg_status sg__cpu_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                              struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__rows_job j = {.n = n, .cols = cols, .a = x, .out = out};
    run_rows(d, &j, d->isa->l2norm);
    return SG_OK;
}

enum sg_status sg__cpu_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                               int32_t vocab, float *out, struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__logprob_job j = {logits, target, vocab, out};
    run(d, (int64_t)n * vocab, n, d->isa->logprob, &j);
    return SG_OK;
}

enum sg_status sg__cpu_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err) {
    (void)err;
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__sample_job j = {a, d->threads};
    run(d, (int64_t)a->n * a->vocab, a->n, d->isa->sample, &j);
    return SG_OK;
}

/* backend_cuda - the table "cuda": bf16 activations and weights, float32 sums, own kernels for everything but
 * the linear layers; or float32 throughout, weights kept in bf16 where the checkpoint has them so.
 * Straight-line code over launch.h and rt.h: on a GPU rt_cuda.c stands behind it, in tests without one the
 * emulation. */
#include "kernels/cuda/backend_cuda.h"
#include "kernels/cuda/launch.h"

#include "base/mem.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cuda_kv {
    struct sg_kv base;
    char *data;  /* act [layer][k, v][page][kv_head][SG_PAGE_TOKENS][head_dim] */
    size_t half; /* bytes of one layer's k */
};

/* ---- device ----------------------------------------------------------------------------------------- */

static void cuda_close(struct sg_dev *dev) {
    struct cuda_dev *d = cuda_of(dev);
    sg__rt_close(d->rt);
    sg__nvml_close(d->nvml);
    free(d->times);
    free(d);
}

static enum sg_status cuda_find(int index, struct sg_dev_place *out, struct sg_err *err) {
    struct sg__rt_info info;
    const enum sg_status st = sg__rt_find(index, &out->count, &info, err);
    if (st != SG_OK) return st;
    out->device = index % out->count;
    memcpy(out->name, info.name, sizeof out->name);
    memcpy(out->uuid, info.uuid, sizeof out->uuid);
    return SG_OK;
}

static enum sg_status cuda_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err) {
    enum sg_status st;
    struct sg__rt_info info;
    struct cuda_dev *d = NULL;
    SG_TRY(SG_NEW(&d, 1, "cuda device", err));
    SG_TRY(SG_NEW(&d->times, 1, "cuda times", err));
    SG_TRY(sg__rt_open(opt->device, &d->rt, &info, err));
    d->base.be = &sg__backend_cuda;
    d->lane = d->lanes;
    d->f32 = opt->precision == SG_PRECISION_FLOAT32;
    d->base.info = (struct sg_dev_info){.backend = "cuda",
                                        .act = d->f32 ? SG_F32 : SG_BF16,
                                        .products = d->f32 ? SG_F32 : SG_BF16,
                                        .threads = 1,
                                        .async = true,
                                        .records = true,
                                        .max_head_dim = SG__HEAD_TILE,
                                        .row_tile = SG_RT_GEMM_ROWS,
                                        .lanes = SG_DEV_LANES,
                                        .memory_bytes = info.memory_bytes};
    memcpy(d->base.info.name, info.name, sizeof info.name);
    memcpy(d->base.info.uuid, info.uuid, sizeof info.uuid);
    memcpy(d->base.info.runtime, info.runtime, sizeof info.runtime);
    d->nvml = sg__nvml_open(SG__NVML_LIBRARY, info.uuid, info.pci);
    const char *driver = sg__nvml_driver(d->nvml);
    snprintf(d->base.info.driver, sizeof d->base.info.driver, "%.40s%s%.20s", driver, driver[0] ? ", " : "",
             info.driver);
    d->emulated = info.emulated;
    *out = &d->base;
    return SG_OK;
out:
    if (d) cuda_close(&d->base);
    return st;
}

static int64_t cuda_memory_free(struct sg_dev *dev) {
    return sg__rt_memory_free(cuda_of(dev)->rt);
}

static void cuda_power(struct sg_dev *dev, struct sg_dev_power *out) {
    sg__nvml_read(cuda_of(dev)->nvml, out);
}

static enum sg_status cuda_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                 struct sg_err *err) {
    return sg__rt_alloc(cuda_of(dev)->rt, bytes, what, out, err);
}

static void cuda_free(struct sg_dev *dev, void *p) {
    sg__rt_free(cuda_of(dev)->rt, p);
}

static enum sg_status cuda_upload(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                                  struct sg_err *err) {
    return sg__rt_upload(cuda_of(dev)->rt, dst, src, bytes, err);
}

/* ---- times ------------------------------------------------------------------------------------------ */

/* A launch between two marks; ends the function. `call` uses d. */
#define SG_LAUNCH(name, stage, call)                                                                         \
    do {                                                                                                     \
        enum sg_status st_ = sg__cuda_begin(d, stage, err);                                                  \
        if (st_ != SG_OK) return st_;                                                                        \
        const int code_ = (call);                                                                            \
        if (code_) return sg_fail(err, SG_E_DEVICE, "cuda: %s: %s", name, sg__rt_error(code_));              \
        return sg__cuda_end(d, err);                                                                         \
    } while (0)

static void cuda_stats(struct sg_dev *dev, struct sg_stage_stats *stats) {
    struct cuda_dev *d = cuda_of(dev);
    sg__cuda_read_times(d, d->times->made, NULL); /* a lost device shows at the next call that can tell it */
    for (int s = 0; s < SG_STAGE_COUNT; s++) stats[s].ns += d->times->ns[s];
}

static void cuda_stats_reset(struct sg_dev *dev) {
    struct cuda_dev *d = cuda_of(dev);
    sg__cuda_read_times(d, d->times->made, NULL);
    memset(d->times->ns, 0, sizeof d->times->ns);
}

static enum sg_status cuda_download(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                                    struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    const enum sg_status st = sg__rt_download(d->rt, dst, src, bytes, err);
    return st == SG_OK ? sg__cuda_read_times(d, d->times->made, err) : st;
}

static enum sg_status cuda_sync(struct sg_dev *dev, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    const enum sg_status st = sg__rt_sync(d->rt, err);
    return st == SG_OK ? sg__cuda_read_times(d, d->times->made, err) : st;
}

static enum sg_status cuda_host_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                      struct sg_err *err) {
    return sg__rt_host_alloc(cuda_of(dev)->rt, bytes, what, out, err);
}

static void cuda_host_free(struct sg_dev *dev, void *p) {
    sg__rt_host_free(cuda_of(dev)->rt, p);
}

static enum sg_status cuda_fetch(struct sg_dev *dev, int slot, void *dst, const void *src, size_t bytes,
                                 struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    d->times->fetched[slot] = d->times->made;
    return sg__rt_fetch(d->rt, slot, dst, src, bytes, err);
}

/* The stream has passed what was called before the fetch: those times can be read without waiting. */
static enum sg_status cuda_fetch_wait(struct sg_dev *dev, int slot, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    const enum sg_status st = sg__rt_fetch_wait(d->rt, slot, err);
    return st == SG_OK ? sg__cuda_read_times(d, d->times->fetched[slot], err) : st;
}

/* ---- records ---------------------------------------------------------------------------------------- */

static enum sg_status cuda_record_begin(struct sg_dev *dev, struct sg_err *err) {
    return sg__rt_record_begin(cuda_of(dev)->rt, err);
}

static enum sg_status cuda_record_end(struct sg_dev *dev, void **out, struct sg_err *err) {
    struct sg__rt_graph *g = NULL;
    const enum sg_status st = sg__rt_record_end(cuda_of(dev)->rt, out ? &g : NULL, err);
    if (st == SG_OK && out) *out = g;
    return st;
}

static enum sg_status cuda_replay(struct sg_dev *dev, void *run, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    enum sg_status st;
    SG_TRY(sg__cuda_begin(d, SG_STAGE_STEP, err));
    SG_TRY(sg__rt_replay(d->rt, run, err));
    SG_TRY(sg__cuda_end(d, err));
out:
    return st;
}

static void cuda_record_free(struct sg_dev *dev, void *run) {
    (void)dev;
    sg__rt_graph_free(run);
}

/* ---- lanes ------------------------------------------------------------------------------------------ */

static void cuda_lane(struct sg_dev *dev, int lane) {
    struct cuda_dev *d = cuda_of(dev);
    d->lane = &d->lanes[lane];
    sg__rt_lane(d->rt, lane);
}
static enum sg_status cuda_fork(struct sg_dev *dev, struct sg_err *err) {
    return sg__rt_order(cuda_of(dev)->rt, 0, 1, err);
}
static enum sg_status cuda_join(struct sg_dev *dev, struct sg_err *err) {
    cuda_lane(dev, 0);
    return sg__rt_order(cuda_of(dev)->rt, 1, 0, err);
}

/* ---- scratch ---------------------------------------------------------------------------------------- */

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}
static size_t round_up(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/* Bytes of an activation. */
static size_t act_width(const struct cuda_dev *d) {
    return d->f32 ? 4 : 2;
}

/* What float32 products expand at a time: enough for tiles of 128 rows and columns to fill a large GPU from
 * some 500 rows on, small beside the weights. Emulated, so that small models come in several blocks as well.
 */
static size_t block_bytes(const struct cuda_dev *d) {
    return d->emulated ? (size_t)1 << 14 : (size_t)128 << 20;
}
/* Rows of a weight in a block: whole tiles, by its shape alone. */
static int64_t block_rows(const struct cuda_dev *d, int64_t rows, int64_t cols) {
    const int64_t fit = (int64_t)(block_bytes(d) / 4) / cols / SG_RT_GEMM_ROWS * SG_RT_GEMM_ROWS;
    const int64_t most = fit > SG_RT_GEMM_ROWS ? fit : SG_RT_GEMM_ROWS;
    return rows < most ? rows : most;
}

struct scratch_sizes {
    size_t partial[SG_DEV_LANES], expanded, all;
};
static int lanes_of(const struct sg_limits *l) {
    return l->lanes > 1 ? SG_DEV_LANES : 1;
}
static struct scratch_sizes scratch_sizes(const struct cuda_dev *d, const struct sg_limits *l) {
    const size_t attn = (size_t)l->q_heads * (size_t)l->head_dim, hidden = (size_t)l->hidden;
    const size_t qkv = attn + 2 * (size_t)l->kv_heads * (size_t)l->head_dim, ffn = (size_t)l->intermediate;
    const size_t in = larger(larger(hidden, ffn), attn);
    struct scratch_sizes s = {.all = 0};
    const size_t largest = larger(hidden * larger(larger(qkv, attn), 2 * ffn), ffn * hidden);
    s.expanded = d->f32           ? round_up(larger(block_bytes(d), SG_RT_GEMM_ROWS * in * 4))
                 : l->fp8_weights ? round_up(2 * largest)
                                  : 0;
    for (int i = 0; i < lanes_of(l); i++) {
        s.partial[i] = round_up(sg__partial_bytes(sg_lane_rows(i, l->max_decode_rows), l->q_heads,
                                                  sg__max_splits(l->max_context)));
        s.all += s.partial[i] + s.expanded;
    }
    return s;
}

static size_t cuda_reserve_bytes(const struct sg_dev *dev, const struct sg_limits *lim) {
    const struct cuda_dev *d = cuda_seen(dev);
    return scratch_sizes(d, lim).all + (size_t)(lanes_of(lim) - 1) * sg__rt_lane_bytes(d->rt);
}

static enum sg_status check_head_dim(int32_t head_dim, struct sg_err *err) {
    if (head_dim <= SG__HEAD_TILE) return SG_OK;
    return sg_fail(err, SG_E_UNSUPPORTED, "cuda: head_dim %d: the attention kernels reach to %d", head_dim,
                   SG__HEAD_TILE);
}

/* The products of a model of these limits, planned while memory is free: their algorithms are verified before
 * the first step, and a step can be recorded. */
static enum sg_status plan_products(struct cuda_dev *d, const struct sg_limits *l, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t attn = (int64_t)l->q_heads * l->head_dim, kv = (int64_t)l->kv_heads * l->head_dim;
    const struct {
        int64_t n, k;
        bool y_f32;
    } maps[] = {{attn + 2 * kv, l->hidden, false},
                {l->hidden, attn, false},
                {2 * (int64_t)l->intermediate, l->hidden, false},
                {l->hidden, l->intermediate, false},
                {l->vocab, l->hidden, true}};
    for (size_t i = 0; i < sizeof maps / sizeof *maps && !d->f32; i++)
        SG_TRY(sg__rt_gemm_plan(d->rt, maps[i].y_f32, maps[i].n, maps[i].k, err));
out:
    return st;
}

static enum sg_status cuda_reserve(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    sg__rt_free(d->rt, d->scratch);
    d->scratch = NULL;
    memset(d->lanes, 0, sizeof d->lanes);
    const struct scratch_sizes s = scratch_sizes(d, lim);
    enum sg_status st;
    SG_TRY(plan_products(d, lim, err));
    SG_TRY(sg__rt_lanes(d->rt, lanes_of(lim), err));
    SG_TRY(sg__rt_alloc(d->rt, s.all, "scratch", &d->scratch, err));
    char *at = d->scratch;
    for (int i = 0; i < lanes_of(lim); i++) {
        d->lanes[i] = (struct sg__cuda_lane){.partial = (float *)(void *)at,
                                             .partial_bytes = s.partial[i],
                                             .expanded = at + s.partial[i],
                                             .expanded_bytes = s.expanded};
        at += s.partial[i] + s.expanded;
    }
    d->max_splits = sg__max_splits(lim->max_context);
out:
    return st;
}

/* ---- KV pool ---------------------------------------------------------------------------------------- */

static size_t cuda_kv_page_bytes(const struct sg_dev *dev, int32_t layers, int32_t kv_heads,
                                 int32_t head_dim) {
    return (size_t)layers * 2 * act_width(cuda_seen(dev)) * SG_PAGE_TOKENS * (size_t)kv_heads *
           (size_t)head_dim;
}

static enum sg_status cuda_kv_new(struct sg_dev *dev, int32_t layers, int32_t pages, int32_t kv_heads,
                                  int32_t head_dim, struct sg_kv **out, struct sg_err *err) {
    enum sg_status st;
    struct cuda_kv *kv = NULL;
    size_t bytes;
    void *data;
    SG_TRY(check_head_dim(head_dim, err));
    if (!sg_mul_size(cuda_kv_page_bytes(dev, layers, kv_heads, head_dim), (size_t)pages, &bytes))
        return sg_fail(err, SG_E_NOMEM, "cuda: KV pool of %d pages overflows the address space", pages);
    SG_TRY(SG_NEW(&kv, 1, "KV pool", err));
    SG_TRY(sg__rt_alloc(cuda_of(dev)->rt, bytes, "KV pool", &data, err));
    kv->data = data;
    kv->half = bytes / (size_t)layers / 2;
    *out = &kv->base;
    return SG_OK;
out:
    free(kv);
    return st;
}

static void cuda_kv_free(struct sg_dev *dev, struct sg_kv *kv) {
    sg__rt_free(cuda_of(dev)->rt, ((struct cuda_kv *)kv)->data);
    free(kv);
}

static struct sg__kv_layer layer_of(const struct sg_kv *pool, int32_t layer) {
    const struct cuda_kv *kv = (const struct cuda_kv *)pool;
    char *k = kv->data + (size_t)layer * 2 * kv->half;
    return (struct sg__kv_layer){k, k + kv->half, pool->kv_heads, pool->head_dim, cuda_seen(pool->dev)->f32};
}

/* ---- operators -------------------------------------------------------------------------------------- */

static enum sg_status cuda_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                                 float *out, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    const struct cuda_weight *c = (const struct cuda_weight *)w;
    SG_LAUNCH("embed", SG_STAGE_EMBED,
              sg__launch_embed(out, c->data, c->f32, ids, n, (int32_t)w->cols, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                       const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    (void)n_tokens;
    SG_LAUNCH("feed_tokens", SG_STAGE_OTHER,
              sg__launch_feed_tokens(ids, token, from, n, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta,
                                       const float *weight, int32_t n, int32_t cols, float eps, void *out,
                                       struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    SG_LAUNCH("add_rmsnorm", SG_STAGE_NORM,
              sg__launch_add_rmsnorm(out, resid, delta, weight, n, cols, eps, d->f32, sg__rt_stream(d->rt)));
}

/* W as bf16: where it is, or expanded from e4m3 in scratch. */
static enum sg_status expand(struct cuda_dev *d, const struct sg_weight *w, const void **data,
                             struct sg_err *err) {
    const struct cuda_weight *c = (const struct cuda_weight *)w;
    *data = c->data;
    if (!c->scale) return SG_OK;
    const size_t bytes = 2 * (size_t)w->rows * (size_t)w->cols;
    if (bytes > d->lane->expanded_bytes)
        return sg_fail(err, SG_E_INTERNAL, "cuda: an fp8 weight takes %zu bytes of scratch, %zu reserved",
                       bytes, d->lane->expanded_bytes);
    const int code = sg__launch_dequant(d->lane->expanded, c->data, c->scale, w->rows, (int32_t)w->cols,
                                        false, sg__rt_stream(d->rt));
    if (code) return sg_fail(err, SG_E_DEVICE, "cuda: dequant: %s", sg__rt_error(code));
    *data = d->lane->expanded;
    return SG_OK;
}

/* Rows [first, first + n) of W as float32: where they are, or expanded in scratch. */
static enum sg_status expand_f32(struct cuda_dev *d, const struct sg_weight *w, int64_t first, int64_t n,
                                 const float **data, struct sg_err *err) {
    const struct cuda_weight *c = (const struct cuda_weight *)w;
    const size_t at = (size_t)first * (size_t)w->cols, bytes = (size_t)n * (size_t)w->cols * sizeof(float);
    if (c->f32) {
        *data = (const float *)c->data + at;
        return SG_OK;
    }
    if (bytes > d->lane->expanded_bytes)
        return sg_fail(err, SG_E_INTERNAL, "cuda: %zu bytes of a weight to expand, %zu reserved", bytes,
                       d->lane->expanded_bytes);
    *data = d->lane->expanded;
    const int code = c->scale
                         ? sg__launch_dequant(d->lane->expanded, (const char *)c->data + at, c->scale + first,
                                              n, (int32_t)w->cols, true, sg__rt_stream(d->rt))
                         : sg__launch_widen(d->lane->expanded, (const char *)c->data + 2 * at, n * w->cols,
                                            sg__rt_stream(d->rt));
    if (code) return sg_fail(err, SG_E_DEVICE, "cuda: expanding a weight: %s", sg__rt_error(code));
    return SG_OK;
}

static enum sg_status multiply(struct cuda_dev *d, const struct sg_weight *w, const void *x, int32_t n,
                               void *y, bool y_f32, struct sg_err *err) {
    enum sg_status st;
    const void *data;
    SG_TRY(expand(d, w, &data, err));
    SG_TRY(sg__rt_gemm(d->rt, y, y_f32, x, data, n, w->rows, w->cols, err));
out:
    return st;
}
/* In float32 a weight is expanded and multiplied in blocks of its rows. */
static enum sg_status multiply_f32(struct cuda_dev *d, const struct sg_weight *w, const void *x, int32_t n,
                                   float *y, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t most = ((const struct cuda_weight *)w)->f32 ? w->rows : block_rows(d, w->rows, w->cols);
    for (int64_t first = 0, some; first < w->rows; first += some) {
        const float *data = NULL;
        some = w->rows - first < most ? w->rows - first : most;
        SG_TRY(expand_f32(d, w, first, some, &data, err));
        SG_TRY(sg__rt_gemm_f32(d->rt, y + first, w->rows, x, data, n, some, w->cols, err));
    }
out:
    return st;
}

/* x and y hold whole tiles of rows (info.row_tile): a product runs over all of the last one. */
static enum sg_status product(struct cuda_dev *d, enum sg_stage stage, const struct sg_weight *w,
                              const void *x, int32_t n, void *y, bool y_f32, struct sg_err *err) {
    enum sg_status st;
    SG_TRY(sg__cuda_begin(d, stage, err));
    SG_TRY(d->f32 ? multiply_f32(d, w, x, n, y, err) : multiply(d, w, x, n, y, y_f32, err));
    SG_TRY(sg__cuda_end(d, err));
out:
    return st;
}

static enum sg_status cuda_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                                  void *y, struct sg_err *err) {
    return product(cuda_of(dev), SG_STAGE_LINEAR, w, x, n, y, false, err);
}

static enum sg_status cuda_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                                  float *logits, struct sg_err *err) {
    return product(cuda_of(dev), SG_STAGE_LOGITS, w, x, n, logits, true, err);
}

static enum sg_status cuda_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    const struct sg__qkv_launch l = {.qkv = a->qkv,
                                     .q_out = a->q_out,
                                     .kv = layer_of(a->kv, a->layer),
                                     .n = a->n,
                                     .q_heads = a->q_heads,
                                     .q_norm = a->q_norm,
                                     .k_norm = a->k_norm,
                                     .cos_sin = a->cos_sin,
                                     .eps = a->eps,
                                     .positions = a->positions,
                                     .slot = a->slot};
    SG_LAUNCH("qkv_rope", SG_STAGE_QKV, sg__launch_qkv_rope(&l, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a,
                                        struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    int32_t longest = 0;
    for (int32_t s = 0; s < a->n_segs; s++) {
        const int32_t rows = a->host_row_begin[s + 1] - a->host_row_begin[s];
        if (rows > longest) longest = rows;
    }
    const struct sg__prefill_launch l = {.q = a->q,
                                         .out = a->out,
                                         .kv = layer_of(a->kv, a->layer),
                                         .q_heads = a->q_heads,
                                         .n_segs = a->n_segs,
                                         .scale = a->scale,
                                         .row_begin = a->row_begin,
                                         .pos0 = a->pos0,
                                         .page_begin = a->page_begin,
                                         .pages = a->pages,
                                         .max_rows = longest};
    if (longest == 0) return SG_OK;
    SG_LAUNCH("attn_prefill", SG_STAGE_PREFILL, sg__launch_attn_prefill(&l, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a,
                                       struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    struct sg__decode_launch l = {.q = a->q,
                                  .out = a->out,
                                  .partial = d->lane->partial,
                                  .kv = layer_of(a->kv, a->layer),
                                  .q_heads = a->q_heads,
                                  .n_groups = a->n_groups,
                                  .n_rows = a->n_rows,
                                  .scale = a->scale,
                                  .row_begin = a->row_begin,
                                  .prompt_len = a->prompt_len,
                                  .prompt_page_begin = a->prompt_page_begin,
                                  .prompt_pages = a->prompt_pages,
                                  .suffix_len = a->suffix_len,
                                  .suffix_page_begin = a->suffix_page_begin,
                                  .suffix_pages = a->suffix_pages};
    if (a->bound_group_rows) {
        l.max_group_rows = a->bound_group_rows;
        l.max_prompt_splits = sg__splits(a->bound_prompt_len);
        l.max_suffix_splits = sg__splits(a->bound_suffix_len);
        l.stride = l.max_prompt_splits + l.max_suffix_splits;
        if (l.stride > d->max_splits) l.stride = d->max_splits; /* no row's prompt and suffix have more */
    }
    for (int32_t g = 0; g < a->n_groups && !a->bound_group_rows; g++) {
        const int32_t first = a->host_row_begin[g], rows = a->host_row_begin[g + 1] - first;
        if (rows == 0) continue;
        const int32_t prompt = sg__splits(a->host_prompt_len[g]);
        if (rows > l.max_group_rows) l.max_group_rows = rows;
        if (prompt > l.max_prompt_splits) l.max_prompt_splits = prompt;
        for (int32_t r = first; r < first + rows; r++) {
            const int32_t suffix = sg__splits(a->host_suffix_len[r]);
            if (suffix > l.max_suffix_splits) l.max_suffix_splits = suffix;
            if (prompt + suffix > l.stride) l.stride = prompt + suffix;
        }
    }
    const size_t bytes = sg__partial_bytes(a->n_rows, a->q_heads, l.stride);
    if (bytes > d->lane->partial_bytes)
        return sg_fail(err, SG_E_INTERNAL, "cuda: attn_decode needs %zu bytes of scratch, %zu reserved",
                       bytes, d->lane->partial_bytes);
    SG_LAUNCH("attn_decode", SG_STAGE_DECODE, sg__launch_attn_decode(&l, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                                  struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    SG_LAUNCH("swiglu", SG_STAGE_SWIGLU,
              sg__launch_swiglu(out, gate_up, n, cols, d->f32, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                       int32_t n, int32_t cols, void *out, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    (void)n_x;
    if (d->f32) cols *= 2; /* moved as pairs of 16 bits */
    SG_LAUNCH("gather_rows", SG_STAGE_OTHER,
              sg__launch_gather_rows(out, x, rows, n, cols, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                                  struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    SG_LAUNCH("l2norm", SG_STAGE_OTHER, sg__launch_l2norm(out, x, n, cols, d->f32, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                                   int32_t vocab, float *out, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    SG_LAUNCH("logprob", SG_STAGE_SAMPLE,
              sg__launch_logprob(out, logits, target, n, vocab, sg__rt_stream(d->rt)));
}

static enum sg_status cuda_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err) {
    struct cuda_dev *d = cuda_of(dev);
    const struct sg__sample_launch l = {.logits = a->logits,
                                        .vocab = a->vocab,
                                        .n = a->n,
                                        .row = a->row,
                                        .u = a->u,
                                        .setting = a->setting,
                                        .settings = a->settings,
                                        .yes_ids = a->yes_ids,
                                        .no_ids = a->no_ids,
                                        .n_yes = a->n_yes,
                                        .n_no = a->n_no,
                                        .token = a->token,
                                        .p_yes = a->p_yes,
                                        .logprob = a->logprob,
                                        .list = SG__SAMPLE_LIST};
    SG_LAUNCH("sample", SG_STAGE_SAMPLE, sg__launch_sample(&l, sg__rt_stream(d->rt)));
}

/* ---- measurement ------------------------------------------------------------------------------------ */

static enum sg_status square_product(struct cuda_dev *d, void *y, const void *x, const void *w, int64_t m,
                                     struct sg_err *err) {
    return d->f32 ? sg__rt_gemm_f32(d->rt, y, m, x, w, m, m, m, err)
                  : sg__rt_gemm_any(d->rt, y, false, x, w, m, m, m, err);
}

/* Random bits over all of p, a multiple of 16 bytes: bf16 weights, or as float32 their upper halves with random
 * fractions behind them. Zeros would switch no transistor: the card would draw less power, clock higher and
 * show a limit that no real product reaches. */
static enum sg_status fill(struct cuda_dev *d, void *p, size_t bytes, uint64_t key, struct sg_err *err) {
    const int code = sg__launch_random(p, NULL, 1, (int32_t)(bytes / 2), key, sg__rt_stream(d->rt));
    return code ? sg_fail(err, SG_E_DEVICE, "cuda: measurement: %s", sg__rt_error(code)) : SG_OK;
}

/* The best of five runs: the fastest matrix product the library has (bf16 with float32 sums, or float32), and
 * a kernel that only reads. */
static enum sg_status cuda_measure(struct sg_dev *dev, double *flops_per_s, double *bytes_per_s,
                                   struct sg_err *err) {
    enum sg_status st;
    struct cuda_dev *d = cuda_of(dev);
    const int64_t m = d->emulated ? 64 : 8192, floats = d->emulated ? 1 << 16 : 1 << 28;
    const size_t square = (size_t)(m * m) * act_width(d);
    void *x = NULL, *y = NULL, *w = NULL, *data = NULL, *sums = NULL;
    double best_product = 0, best_read = 0, ns;
    SG_TRY(sg__cuda_read_times(d, d->times->made, err)); /* the marks are used below */
    SG_TRY(sg__rt_alloc(d->rt, square, "measurement", &x, err));
    SG_TRY(sg__rt_alloc(d->rt, square, "measurement", &y, err));
    SG_TRY(sg__rt_alloc(d->rt, square, "measurement", &w, err));
    SG_TRY(sg__rt_alloc(d->rt, (size_t)floats * 4, "measurement", &data, err));
    SG_TRY(sg__rt_alloc(d->rt, 4096 * 4, "measurement", &sums, err));
    SG_TRY(fill(d, x, square, 1, err));
    SG_TRY(fill(d, w, square, 2, err));
    SG_TRY(fill(d, data, (size_t)floats * 4, 3, err));
    for (int i = 0; i < 6; i++) { /* the first warms up */
        SG_TRY(sg__rt_mark(d->rt, 0, err));
        SG_TRY(square_product(d, y, x, w, m, err));
        SG_TRY(sg__rt_mark(d->rt, 1, err));
        const int code = sg__launch_read(sums, data, floats, d->emulated ? 4 : 4096, sg__rt_stream(d->rt));
        if (code) {
            st = sg_fail(err, SG_E_DEVICE, "cuda: measurement: %s", sg__rt_error(code));
            goto out;
        }
        SG_TRY(sg__rt_mark(d->rt, 2, err));
        SG_TRY(sg__rt_between(d->rt, 0, 1, &ns, err));
        const double product_rate = 2e9 * (double)m * (double)m * (double)m / (ns + 1);
        SG_TRY(sg__rt_between(d->rt, 1, 2, &ns, err));
        const double read_rate = 4e9 * (double)floats / (ns + 1);
        if (i > 0 && product_rate > best_product) best_product = product_rate;
        if (i > 0 && read_rate > best_read) best_read = read_rate;
    }
    *flops_per_s = best_product;
    *bytes_per_s = best_read;
    st = SG_OK;
out:
    sg__rt_free(d->rt, x);
    sg__rt_free(d->rt, y);
    sg__rt_free(d->rt, w);
    sg__rt_free(d->rt, data);
    sg__rt_free(d->rt, sums);
    return st;
}

const struct sg_backend sg__backend_cuda = {
    .name = "cuda",
    .async = true,
    .find = cuda_find,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .sync = cuda_sync,
    .host_alloc = cuda_host_alloc,
    .host_free = cuda_host_free,
    .fetch = cuda_fetch,
    .fetch_wait = cuda_fetch_wait,
    .record_begin = cuda_record_begin,
    .record_end = cuda_record_end,
    .replay = cuda_replay,
    .record_free = cuda_record_free,
    .fork = cuda_fork,
    .lane = cuda_lane,
    .join = cuda_join,
    .memory_free = cuda_memory_free,
    .reserve_bytes = cuda_reserve_bytes,
    .reserve = cuda_reserve,
    .weight_bytes_for = sg__cuda_weight_bytes_for,
    .weight_new = sg__cuda_weight_new,
    .weight_random = sg__cuda_weight_random,
    .weight_free = sg__cuda_weight_free,
    .kv_page_bytes = cuda_kv_page_bytes,
    .kv_new = cuda_kv_new,
    .kv_free = cuda_kv_free,
    .embed = cuda_embed,
    .feed_tokens = cuda_feed_tokens,
    .add_rmsnorm = cuda_add_rmsnorm,
    .linear = cuda_linear,
    .logits = cuda_logits,
    .qkv_rope = cuda_qkv_rope,
    .attn_prefill = cuda_attn_prefill,
    .attn_decode = cuda_attn_decode,
    .swiglu = cuda_swiglu,
    .gather_rows = cuda_gather_rows,
    .l2norm = cuda_l2norm,
    .logprob = cuda_logprob,
    .sample = cuda_sample,
    .measure = cuda_measure,
    .stats = cuda_stats,
    .stats_reset = cuda_stats_reset,
    .power = cuda_power,
};

/* The reference backend's device: memory, weights, pool, the table. */
#include "kernels/ref/ref.h"

#include "base/clock.h"
#include "base/mem.h"
#include "kernels/bf16.h"
#include "kernels/fp8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sg_status ref_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err) {
    struct sg__ref_dev *d;
    const enum sg_status st = SG_NEW(&d, 1, "ref device", err);
    if (st != SG_OK) return st;
    d->base.be = &sg__backend_ref;
    d->mem.touch = opt->touch;
    d->base.info = (struct sg_dev_info){.backend = "ref",
                                        .act = SG_F32,
                                        .products = opt->precision == SG_PRECISION_BF16 ? SG_BF16 : SG_F32,
                                        .host_memory = true,
                                        .threads = 1,
                                        .memory_bytes = sg__host_memory_bytes()};
    char cpu[80];
    sg__host_cpu_name(cpu, sizeof cpu);
    snprintf(d->base.info.name, sizeof d->base.info.name, "%s (reference, double)", cpu);
    *out = &d->base;
    return SG_OK;
}

static void ref_close(struct sg_dev *dev) {
    sg__host_free_all(&((struct sg__ref_dev *)dev)->mem);
    free(dev);
}

static enum sg_status ref_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                struct sg_err *err) {
    return sg__host_alloc(&((struct sg__ref_dev *)dev)->mem, bytes, what, out, err);
}

static void ref_free(struct sg_dev *dev, void *p) {
    sg__host_free(&((struct sg__ref_dev *)dev)->mem, p);
}

static enum sg_status ref_copy(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                               struct sg_err *err) {
    (void)dev, (void)err;
    memcpy(dst, src, bytes);
    return SG_OK;
}

static enum sg_status ref_sync(struct sg_dev *dev, struct sg_err *err) {
    (void)dev, (void)err;
    return SG_OK;
}

/* Doubles that the neediest operator takes: attention wants a score per key and one output row, sample a
 * probability and an id per token, linear a row of weights. */
static size_t ref_scratch(const struct sg_limits *lim) {
    const size_t attend = (size_t)lim->max_context + (size_t)lim->head_dim, sample = 2 * (size_t)lim->vocab;
    const size_t attn = (size_t)lim->q_heads * (size_t)lim->head_dim;
    size_t most = attend > sample ? attend : sample;
    if ((size_t)lim->hidden > most) most = (size_t)lim->hidden;
    if ((size_t)lim->intermediate > most) most = (size_t)lim->intermediate;
    return attn > most ? attn : most;
}

static size_t ref_reserve_bytes(const struct sg_dev *dev, const struct sg_limits *lim) {
    (void)dev;
    return ref_scratch(lim) * sizeof(double);
}

static enum sg_status ref_reserve(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err) {
    struct sg__ref_dev *d = (struct sg__ref_dev *)dev;
    ref_free(dev, d->scratch);
    d->scratch = NULL;
    return ref_alloc(dev, ref_reserve_bytes(dev, lim), "ref scratch", (void **)&d->scratch, err);
}

static void ref_poison_scratch(struct sg_dev *dev, uint32_t word) {
    struct sg__ref_dev *d = (struct sg__ref_dev *)dev;
    if (d->scratch) sg__fill32(d->scratch, 2 * ref_scratch(&dev->lim), word);
}

static size_t ref_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                                   unsigned use) {
    (void)dev, (void)use;
    return (size_t)rows * (size_t)cols * sg_dtype_bytes(t);
}

/* Rounds the rows of a part to bf16, or to the bf16 that e4m3 stands for. */
static void round_part(void *to, const struct sg_weight_part *part, const struct sg_weight_spec *spec) {
    const size_t row = (size_t)spec->cols * sg_dtype_bytes(part->dtype);
    for (int64_t r = 0; r < part->rows; r++) {
        uint16_t *at = (uint16_t *)to + r * spec->cols;
        const char *from = (const char *)part->data + (size_t)r * row;
        if (spec->use & SG_USE_FP8)
            sg__fp8_round_row(at, 1, from, spec->cols, part->dtype);
        else
            sg__bf16_from(at, from, spec->cols, part->dtype);
    }
}

static bool rounds(const struct sg_dev *dev, const struct sg_weight_spec *spec) {
    return (spec->use & SG_USE_FP8) || dev->info.products == SG_BF16;
}

/* Room for a weight. */
static enum sg_status take_weight(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                  struct sg__ref_weight **out, struct sg_err *err) {
    struct sg__ref_weight *w;
    const size_t head = (sizeof *w + 63) / 64 * 64;
    const size_t bytes = ref_weight_bytes_for(dev, spec->rows, spec->cols, spec->held, spec->use);
    const enum sg_status st = ref_alloc(dev, head + bytes, "weight", (void **)&w, err);
    if (st != SG_OK) return st;
    w->data = (char *)w + head;
    w->base.bytes = bytes;
    *out = w;
    return SG_OK;
}

static enum sg_status ref_weight_random(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                        struct sg_weight **out, struct sg_err *err) {
    struct sg__ref_weight *w;
    const enum sg_status st = take_weight(dev, spec, &w, err);
    if (st != SG_OK) return st;
    sg__random_weights(w->data, key, 0, spec->rows * spec->cols);
    const struct sg_weight_part all = {w->data, SG_BF16, spec->rows};
    if (rounds(dev, spec)) round_part(w->data, &all, spec);
    *out = &w->base;
    return SG_OK;
}

static enum sg_status ref_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                     struct sg_weight **out, struct sg_err *err) {
    struct sg__ref_weight *w;
    const enum sg_status st = take_weight(dev, spec, &w, err);
    if (st != SG_OK) return st;
    char *at = w->data;
    for (int i = 0; i < spec->n_parts; i++) {
        const size_t part = (size_t)spec->parts[i].rows * (size_t)spec->cols * sg_dtype_bytes(spec->held);
        if (rounds(dev, spec))
            round_part(at, &spec->parts[i], spec);
        else
            memcpy(at, spec->parts[i].data, part);
        at += part;
    }
    *out = &w->base;
    return SG_OK;
}

static void ref_weight_free(struct sg_dev *dev, struct sg_weight *w) {
    ref_free(dev, w);
}

static size_t ref_kv_page_bytes(const struct sg_dev *dev, int32_t layers, int32_t kv_heads,
                                int32_t head_dim) {
    (void)dev;
    return 2 * sizeof(float) * SG_PAGE_TOKENS * (size_t)layers * (size_t)kv_heads * (size_t)head_dim;
}

static enum sg_status ref_kv_new(struct sg_dev *dev, int32_t layers, int32_t pages, int32_t kv_heads,
                                 int32_t head_dim, struct sg_kv **out, struct sg_err *err) {
    struct sg__ref_kv *kv;
    const size_t head = (sizeof *kv + 63) / 64 * 64;
    size_t bytes, total;
    if (!sg_mul_size(ref_kv_page_bytes(dev, layers, kv_heads, head_dim), (size_t)pages, &bytes) ||
        !sg_add_size(bytes, head, &total))
        return sg_fail(err, SG_E_NOMEM, "KV pool: %d pages overflow the address space", pages);
    const enum sg_status st = ref_alloc(dev, total, "KV pool", (void **)&kv, err);
    if (st != SG_OK) return st;
    kv->k = (float *)(void *)((char *)kv + head);
    kv->v = kv->k + bytes / 2 / sizeof(float);
    *out = &kv->base;
    return SG_OK;
}

static void ref_kv_free(struct sg_dev *dev, struct sg_kv *kv) {
    ref_free(dev, kv);
}

/* The reference has no speed to speak of; these are the rates of plain loops on its one thread. */
static enum sg_status ref_measure(struct sg_dev *dev, double *flops_per_s, double *bytes_per_s,
                                  struct sg_err *err) {
    enum { N = 1 << 20, ROUNDS = 64 };
    float *x;
    const enum sg_status st = ref_alloc(dev, N * sizeof *x, "measurement", (void **)&x, err);
    if (st != SG_OK) return st;
    for (int i = 0; i < N; i++) x[i] = 1.0f / (float)(i + 1);
    volatile float keep;
    int64_t t0 = sg_clock_ns();
    double sum = 0;
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < N; i++) sum = fma(x[i], x[i], sum);
    keep = (float)sum;
    const double secs = 1e-9 * (double)(sg_clock_ns() - t0 + 1);
    *flops_per_s = 2.0 * N * ROUNDS / secs;
    *bytes_per_s = 4.0 * N * ROUNDS / secs;
    (void)keep;
    ref_free(dev, x);
    return SG_OK;
}

const struct sg_backend sg__backend_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .alloc = ref_alloc,
    .free = ref_free,
    .upload = ref_copy,
    .download = ref_copy,
    .sync = ref_sync,
    .reserve_bytes = ref_reserve_bytes,
    .reserve = ref_reserve,
    .weight_bytes_for = ref_weight_bytes_for,
    .weight_new = ref_weight_new,
    .weight_random = ref_weight_random,
    .weight_free = ref_weight_free,
    .kv_page_bytes = ref_kv_page_bytes,
    .kv_new = ref_kv_new,
    .kv_free = ref_kv_free,
    .embed = sg__ref_embed,
    .feed_tokens = sg__ref_feed_tokens,
    .add_rmsnorm = sg__ref_add_rmsnorm,
    .linear = sg__ref_linear,
    .logits = sg__ref_logits,
    .qkv_rope = sg__ref_qkv_rope,
    .attn_prefill = sg__ref_attn_prefill,
    .attn_decode = sg__ref_attn_decode,
    .swiglu = sg__ref_swiglu,
    .gather_rows = sg__ref_gather_rows,
    .l2norm = sg__ref_l2norm,
    .logprob = sg__ref_logprob,
    .sample = sg__ref_sample,
    .measure = ref_measure,
    .poison_scratch = ref_poison_scratch,
};

/* The guard's device: allocations between canaries, copies, weights, pools. */
#include "kernels/guard/guard.h"

#include "base/digest.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sg__guard_dev *guard(struct sg_dev *dev) {
    return (struct sg__guard_dev *)dev;
}

/* ---- device ------------------------------------------------------------------------------------- */

static void guard_free(struct sg_dev *dev, void *p) {
    for (struct sg__guard_block **at = &guard(dev)->blocks; *at; at = &(*at)->next) {
        struct sg__guard_block *b = *at;
        if (b->base + SG__GUARD_ZONE != p) continue;
        *at = b->next;
        guard(dev)->inner->be->free(guard(dev)->inner, b->base);
        free(b);
        return;
    }
    fprintf(stderr, "guard: sg_dev_free of a pointer that sg_dev_alloc did not give\n");
    abort();
}

static void land(struct sg__guard_dev *g, int slot) {
    while (g->fetches[slot]) {
        struct sg__guard_fetch *f = g->fetches[slot];
        g->fetches[slot] = f->next;
        memcpy(f->dst, f->data, f->bytes);
        free(f);
    }
}

static void guard_close(struct sg_dev *dev) {
    struct sg__guard_dev *g = guard(dev);
    for (int s = 0; s < SG_FETCH_SLOTS; s++) land(g, s);
    while (g->blocks) guard_free(dev, g->blocks->base + SG__GUARD_ZONE);
    while (g->kvs) {
        struct sg__guard_kv *next = g->kvs->next;
        free(g->kvs->stamp);
        free(g->kvs);
        g->kvs = next;
    }
    if (g->inner) g->inner->be->close(g->inner);
    free(g);
}

static enum sg_status guard_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err) {
    const char *name = strncmp(opt->backend, "guard:", 6) == 0 ? opt->backend + 6 : "cpu";
    const struct sg_backend *be = sg__backend_find(name);
    if (!be || be == &sg__backend_guard)
        return sg_fail(err, SG_E_USAGE, "device '%s': the guard can wrap ref or cpu", opt->backend);
    struct sg__guard_dev *g = NULL;
    enum sg_status st;
    SG_TRY(SG_NEW(&g, 1, "guard device", err));
    struct sg_dev_options o = *opt;
    o.backend = name;
    SG_TRY(be->open(&o, &g->inner, err));
    if (!g->inner->info.host_memory) {
        st = sg_fail(err, SG_E_UNSUPPORTED, "device '%s': the guard wraps backends on host memory only",
                     opt->backend);
        goto out;
    }
    g->base.be = &sg__backend_guard;
    g->base.info = g->inner->info;
    snprintf(g->base.info.backend, sizeof g->base.info.backend, "guard");
    snprintf(g->base.info.name, sizeof g->base.info.name, "guard over %.100s", g->inner->info.name);
    *out = &g->base;
    g = NULL;
out:
    if (g) guard_close(&g->base);
    return st;
}

static enum sg_status guard_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                  struct sg_err *err) {
    struct sg__guard_dev *g = guard(dev);
    struct sg__guard_block *b = NULL;
    size_t total;
    void *base;
    if (!sg_add_size(bytes, 2 * SG__GUARD_ZONE, &total))
        return sg_fail(err, SG_E_NOMEM, "%s: no memory for %zu bytes", what, bytes);
    enum sg_status st;
    SG_TRY(SG_NEW(&b, 1, "guard block", err));
    SG_TRY(g->inner->be->alloc(g->inner, total, what, &base, err));
    b->base = base;
    b->bytes = bytes;
    snprintf(b->what, sizeof b->what, "%s", what);
    memset(b->base, SG__CANARY, SG__GUARD_ZONE);
    memset(b->base + SG__GUARD_ZONE + bytes, SG__CANARY, SG__GUARD_ZONE);
    sg__guard_poison(b->base + SG__GUARD_ZONE, bytes);
    b->next = g->blocks;
    g->blocks = b;
    *out = b->base + SG__GUARD_ZONE;
    b = NULL;
out:
    free(b);
    return st;
}

static enum sg_status guard_upload(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                                   struct sg_err *err) {
    const enum sg_status st = sg__guard_inside(guard(dev), "upload", "dst", dst, bytes, err);
    return st == SG_OK ? guard(dev)->inner->be->upload(guard(dev)->inner, dst, src, bytes, err) : st;
}

static enum sg_status guard_download(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                                     struct sg_err *err) {
    const enum sg_status st = sg__guard_inside(guard(dev), "download", "src", src, bytes, err);
    return st == SG_OK ? guard(dev)->inner->be->download(guard(dev)->inner, dst, src, bytes, err) : st;
}

static enum sg_status guard_fetch(struct sg_dev *dev, int slot, void *dst, const void *src, size_t bytes,
                                  struct sg_err *err) {
    struct sg__guard_dev *g = guard(dev);
    struct sg__guard_fetch *f = NULL;
    enum sg_status st;
    SG_TRY(sg__guard_inside(g, "fetch", "src", src, bytes, err));
    SG_TRY(sg__guard_inside(g, "fetch", "dst", dst, bytes, err));
    SG_TRY(sg_new((void **)&f, 1, sizeof *f + bytes, "guard fetch", err));
    f->dst = dst;
    f->bytes = bytes;
    memcpy(f->data, src, bytes);
    sg__guard_poison(dst, bytes);
    f->next = g->fetches[slot];
    g->fetches[slot] = f;
out:
    return st;
}

static enum sg_status guard_fetch_wait(struct sg_dev *dev, int slot, struct sg_err *err) {
    land(guard(dev), slot);
    return sg__guard_canaries(guard(dev), "fetch", err);
}

static enum sg_status guard_sync(struct sg_dev *dev, struct sg_err *err) {
    const enum sg_status st = guard(dev)->inner->be->sync(guard(dev)->inner, err);
    return st == SG_OK ? sg__guard_canaries(guard(dev), "sync", err) : st;
}

static size_t guard_reserve_bytes(const struct sg_dev *dev, const struct sg_limits *lim) {
    const struct sg_dev *inner = ((const struct sg__guard_dev *)dev)->inner;
    return inner->be->reserve_bytes(inner, lim);
}

static enum sg_status guard_reserve(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err) {
    struct sg_dev *inner = guard(dev)->inner;
    const enum sg_status st = inner->be->reserve(inner, lim, err);
    if (st == SG_OK) inner->lim = *lim;
    return st;
}

/* Weights and pools are the wrapped backend's own; device.c enters the guard as their device. */
static size_t guard_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                                     unsigned use) {
    const struct sg_dev *inner = ((const struct sg__guard_dev *)dev)->inner;
    return inner->be->weight_bytes_for(inner, rows, cols, t, use);
}

static enum sg_status guard_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                       struct sg_weight **out, struct sg_err *err) {
    struct sg_dev *inner = guard(dev)->inner;
    return inner->be->weight_new(inner, spec, out, err);
}

static enum sg_status guard_weight_random(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                          struct sg_weight **out, struct sg_err *err) {
    struct sg_dev *inner = guard(dev)->inner;
    return inner->be->weight_random(inner, spec, key, out, err);
}

static void guard_weight_free(struct sg_dev *dev, struct sg_weight *w) {
    guard(dev)->inner->be->weight_free(guard(dev)->inner, w);
}

static size_t guard_kv_page_bytes(const struct sg_dev *dev, int32_t layers, int32_t kv_heads,
                                  int32_t head_dim) {
    const struct sg_dev *inner = ((const struct sg__guard_dev *)dev)->inner;
    return inner->be->kv_page_bytes(inner, layers, kv_heads, head_dim);
}

static enum sg_status guard_kv_new(struct sg_dev *dev, int32_t layers, int32_t pages, int32_t kv_heads,
                                   int32_t head_dim, struct sg_kv **out, struct sg_err *err) {
    struct sg__guard_dev *g = guard(dev);
    struct sg__guard_kv *k = NULL;
    struct sg_kv *kv;
    enum sg_status st;
    SG_TRY(SG_NEW(&k, 1, "guard pool", err));
    SG_TRY(SG_NEW(&k->stamp, (size_t)layers * (size_t)pages * SG_PAGE_TOKENS, "guard pool", err));
    SG_TRY(g->inner->be->kv_new(g->inner, layers, pages, kv_heads, head_dim, &kv, err));
    k->kv = kv;
    k->next = g->kvs;
    g->kvs = k;
    k = NULL;
    *out = kv;
out:
    if (k) free(k->stamp);
    free(k);
    return st;
}

static void guard_kv_free(struct sg_dev *dev, struct sg_kv *kv) {
    struct sg__guard_dev *g = guard(dev);
    for (struct sg__guard_kv **at = &g->kvs; *at; at = &(*at)->next) {
        struct sg__guard_kv *k = *at;
        if (k->kv != kv) continue;
        *at = k->next;
        free(k->stamp);
        free(k);
        break;
    }
    g->inner->be->kv_free(g->inner, kv);
}

static enum sg_status guard_measure(struct sg_dev *dev, double *flops_per_s, double *bytes_per_s,
                                    struct sg_err *err) {
    return guard(dev)->inner->be->measure(guard(dev)->inner, flops_per_s, bytes_per_s, err);
}

const struct sg_backend sg__backend_guard = {
    .name = "guard",
    .open = guard_open,
    .close = guard_close,
    .alloc = guard_alloc,
    .free = guard_free,
    .upload = guard_upload,
    .download = guard_download,
    .sync = guard_sync,
    .fetch = guard_fetch,
    .fetch_wait = guard_fetch_wait,
    .reserve_bytes = guard_reserve_bytes,
    .reserve = guard_reserve,
    .weight_bytes_for = guard_weight_bytes_for,
    .weight_new = guard_weight_new,
    .weight_random = guard_weight_random,
    .weight_free = guard_weight_free,
    .kv_page_bytes = guard_kv_page_bytes,
    .kv_new = guard_kv_new,
    .kv_free = guard_kv_free,
    .embed = sg__guard_embed,
    .feed_tokens = sg__guard_feed_tokens,
    .add_rmsnorm = sg__guard_add_rmsnorm,
    .linear = sg__guard_linear,
    .logits = sg__guard_logits,
    .qkv_rope = sg__guard_qkv_rope,
    .attn_prefill = sg__guard_attn_prefill,
    .attn_decode = sg__guard_attn_decode,
    .swiglu = sg__guard_swiglu,
    .gather_rows = sg__guard_gather_rows,
    .l2norm = sg__guard_l2norm,
    .logprob = sg__guard_logprob,
    .sample = sg__guard_sample,
    .measure = guard_measure,
};

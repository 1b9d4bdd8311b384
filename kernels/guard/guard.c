/* The guard's device: allocations between canaries, and the checks around a call. */
#include "kernels/guard/guard.h"

#include "base/digest.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char CANARY = 0xC5;

static struct sg__guard_dev *guard(struct sg_dev *dev) {
    return (struct sg__guard_dev *)dev;
}

static void poison(void *p, size_t bytes) {
    sg__fill32(p, bytes / 4, SG__POISON);
    if (bytes % 4) memcpy((char *)p + bytes / 4 * 4, &SG__POISON, bytes % 4);
}

/* Index of the first poisoned element of four bytes, or -1. */
static int64_t find_poison(const void *p, size_t bytes) {
    for (size_t i = 0; i < bytes / 4; i++)
        if (memcmp((const char *)p + 4 * i, &SG__POISON, 4) == 0) return (int64_t)i;
    return -1;
}

/* ---- extents ------------------------------------------------------------------------------------ */

enum sg_status sg__guard_inside(const struct sg__guard_dev *g, const char *op, const char *name,
                                const void *p, size_t bytes, struct sg_err *err) {
    const uintptr_t at = (uintptr_t)p;
    for (const struct sg__guard_block *b = g->blocks; b; b = b->next) {
        const uintptr_t lo = (uintptr_t)b->base + SG__GUARD_ZONE;
        if (at < lo || at >= lo + b->bytes) continue;
        if (bytes <= lo + b->bytes - at) return SG_OK;
        return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s takes %zu bytes, %zu are left of '%s' (%zu bytes)",
                       op, name, bytes, (size_t)(lo + b->bytes - at), b->what, b->bytes);
    }
    return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s points into no device allocation", op, name);
}

static enum sg_status check_canaries(const struct sg__guard_dev *g, const char *op, struct sg_err *err) {
    for (const struct sg__guard_block *b = g->blocks; b; b = b->next)
        for (size_t i = 0; i < SG__GUARD_ZONE; i++) {
            const bool front = (unsigned char)b->base[i] != CANARY;
            const bool back = (unsigned char)b->base[SG__GUARD_ZONE + b->bytes + i] != CANARY;
            if (front || back)
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: memory %s '%s' (%zu bytes) was overwritten",
                               op, front ? "in front of" : "behind", b->what, b->bytes);
        }
    return SG_OK;
}

/* ---- around a call ------------------------------------------------------------------------------ */

void sg__guard_add(struct sg__guard_call *c, const char *name, const void *p, size_t count, size_t size,
                   enum sg__guard_use use) {
    if (!p) return;
    SG_ASSERT(c->n < SG__GUARD_RANGES);
    c->ranges[c->n++] = (struct sg__guard_range){.name = name, .p = p, .bytes = count * size, .use = use};
}

static bool writes(const struct sg__guard_range *r) {
    return r->use == SG__WRITE || r->use == SG__UPDATE;
}

enum sg_status sg__guard_enter(struct sg__guard_call *c, struct sg_err *err) {
    enum sg_status st;
    c->g->calls++;
    for (int i = 0; i < c->n; i++) {
        struct sg__guard_range *r = &c->ranges[i];
        st = sg__guard_inside(c->g, c->op, r->name, r->p, r->bytes, err);
        if (st != SG_OK) return st;
        for (int j = 0; j < c->n; j++) {
            const struct sg__guard_range *o = &c->ranges[j];
            const uintptr_t a = (uintptr_t)r->p, b = (uintptr_t)o->p;
            if (i != j && writes(r) && a < b + o->bytes && b < a + r->bytes)
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s overlaps %s", c->op, r->name, o->name);
        }
        if (r->use == SG__READ || r->use == SG__UPDATE) {
            const int64_t bad = find_poison(r->p, r->bytes);
            if (bad >= 0)
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s[%lld] was never written", c->op, r->name,
                               (long long)bad);
        }
        if (!writes(r)) r->hash = sg_hash64(r->p, r->bytes);
    }
    for (int i = 0; i < c->n; i++)
        if (c->ranges[i].use == SG__WRITE) poison((void *)(uintptr_t)c->ranges[i].p, c->ranges[i].bytes);
    if (c->g->inner->be->poison_scratch) c->g->inner->be->poison_scratch(c->g->inner, SG__POISON);
    return SG_OK;
}

enum sg_status sg__guard_leave(struct sg__guard_call *c, enum sg_status st, struct sg_err *err) {
    if (st != SG_OK) return st;
    for (int i = 0; i < c->n; i++) {
        const struct sg__guard_range *r = &c->ranges[i];
        if (!writes(r)) {
            if (r->hash != sg_hash64(r->p, r->bytes))
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: the input %s was changed", c->op, r->name);
            continue;
        }
        const int64_t bad = find_poison(r->p, r->bytes);
        if (bad >= 0)
            return sg_fail(err, SG_E_INTERNAL,
                           "guard: %s: %s[%lld] was left unwritten, or made of memory nobody wrote", c->op,
                           r->name, (long long)bad);
    }
    return check_canaries(c->g, c->op, err);
}

enum sg_status sg__guard_values(const struct sg__guard_call *c, const char *name, const int32_t *x, int64_t n,
                                int64_t below, struct sg_err *err) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] < 0 || x[i] >= below)
            return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s[%lld] is %d, expected 0 to %lld", c->op, name,
                           (long long)i, x[i], (long long)below - 1);
    return SG_OK;
}

uint32_t *sg__guard_stamps(const struct sg__guard_dev *g, const struct sg_kv *kv, int32_t layer) {
    const struct sg__guard_kv *k = g->kvs;
    while (k->kv != kv) k = k->next; /* ops.c has checked that the pool is ours */
    return k->stamp + (size_t)layer * (size_t)kv->pages * SG_PAGE_TOKENS;
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
    memset(b->base, CANARY, SG__GUARD_ZONE);
    memset(b->base + SG__GUARD_ZONE + bytes, CANARY, SG__GUARD_ZONE);
    poison(b->base + SG__GUARD_ZONE, bytes);
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
    poison(dst, bytes);
    f->next = g->fetches[slot];
    g->fetches[slot] = f;
out:
    return st;
}

static enum sg_status guard_fetch_wait(struct sg_dev *dev, int slot, struct sg_err *err) {
    land(guard(dev), slot);
    return check_canaries(guard(dev), "fetch", err);
}

static enum sg_status guard_sync(struct sg_dev *dev, struct sg_err *err) {
    const enum sg_status st = guard(dev)->inner->be->sync(guard(dev)->inner, err);
    return st == SG_OK ? check_canaries(guard(dev), "sync", err) : st;
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

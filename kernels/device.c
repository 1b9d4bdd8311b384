/* device - opening devices, memory, weights, pools and statistics: checks in front of every backend. */
#include "kernels/backend.h"
#include "kernels/host.h"

#include "base/mem.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SG_BACKEND(name) &sg__backend_##name,
static const struct sg_backend *const backends[] = {
#include "kernels/backends.inc"
};
#undef SG_BACKEND
enum { N_BACKENDS = sizeof backends / sizeof *backends };

const char *sg_stage_name(enum sg_stage s) {
#define SG_NAME(code, name) name,
    static const char *const names[] = {SG_STAGE_LIST(SG_NAME)};
#undef SG_NAME
    return (unsigned)s < SG_STAGE_COUNT ? names[s] : "?";
}

const char *sg_backend_name(int i) {
    return i >= 0 && i < N_BACKENDS ? backends[i]->name : NULL;
}

const struct sg_backend *sg__backend_find(const char *name) {
    for (int i = 0; i < N_BACKENDS; i++)
        if (strcmp(backends[i]->name, name) == 0) return backends[i];
    return NULL;
}

/* ---- devices ------------------------------------------------------------------------------------ */

static enum sg_status unknown_backend(const char *name, struct sg_err *err) {
    char known[256] = "auto";
    size_t len = strlen(known);
    for (int i = 0; i < N_BACKENDS && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, ", %s", backends[i]->name);
    return sg_fail(err, SG_E_USAGE,
                   "device '%s' is unknown to this build; it has: %s (guard:NAME guards NAME)", name, known);
}

enum sg_status sg_dev_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err) {
    static const struct sg_dev_options defaults;
    if (!opt) opt = &defaults;
    const char *name = opt->backend ? opt->backend : "auto";
    if (opt->threads < 0 || opt->threads > 4096)
        return sg_fail(err, SG_E_USAGE, "%d threads: expected 0 (all cores) to 4096", opt->threads);
    if (strcmp(name, "auto") == 0) {
        const struct sg_backend *gpu = sg__backend_find("cuda");
        if (gpu) {
            const enum sg_status st = gpu->open(opt, out, err);
            if (st != SG_E_DEVICE) return st;
            if (err) memset(err, 0, sizeof *err); /* no GPU here: not an error of "auto" */
        }
        name = "cpu";
    }
    const struct sg_backend *be =
        strncmp(name, "guard:", 6) == 0 ? sg__backend_find("guard") : sg__backend_find(name);
    if (!be) return unknown_backend(name, err);
    struct sg_dev_options o = *opt;
    o.backend = name;
    return be->open(&o, out, err);
}

enum sg_status sg_dev_find(const char *backend, int index, struct sg_dev_place *out, struct sg_err *err) {
    const bool any = !backend || strcmp(backend, "auto") == 0;
    const char *name = any ? "cuda" : backend;
    const struct sg_backend *be =
        strncmp(name, "guard:", 6) == 0 ? sg__backend_find("guard") : sg__backend_find(name);
    if (index < 0) return sg_fail(err, SG_E_INTERNAL, "sg_dev_find: device %d", index);
    if (be && be->find) {
        struct sg_dev_place place = {.count = 0};
        const enum sg_status st = be->find(index, &place, any ? NULL : err);
        if (st == SG_OK) {
            snprintf(place.backend, sizeof place.backend, "%s", be->name);
            *out = place;
        }
        if (st == SG_OK || !any) return st;
    }
    if (!be && !any) return unknown_backend(name, err);
    *out = (struct sg_dev_place){.count = 0};
    snprintf(out->backend, sizeof out->backend, "%.15s", any ? "cpu" : name);
    return SG_OK;
}

void sg_dev_close(struct sg_dev *dev) {
    if (dev) dev->be->close(dev);
}

const struct sg_dev_info *sg_dev_info(const struct sg_dev *dev) {
    return &dev->info;
}

/* What must not happen inside a record: it would be done now, and not by a replay. Nor between fork and join: it
 * would be ordered behind one lane alone. */
static enum sg_status no_operator(const struct sg_dev *dev, const char *what, struct sg_err *err) {
    if (!dev->recording && !dev->forked) return SG_OK;
    return sg_fail(err, SG_E_INTERNAL, "%s while operators %s", what,
                   dev->recording ? "are recorded" : "run on two lanes");
}

enum sg_status sg_dev_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                            struct sg_err *err) {
    if (!dev || !out) return sg_fail(err, SG_E_INTERNAL, "sg_dev_alloc: NULL argument");
    const enum sg_status st = no_operator(dev, "sg_dev_alloc", err);
    if (st != SG_OK) return st;
    return dev->be->alloc(dev, bytes ? bytes : 1, what ? what : "device memory", out, err);
}

void sg_dev_free(struct sg_dev *dev, void *p) {
    if (dev && p) dev->be->free(dev, p);
}

enum sg_status sg_dev_upload(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                             struct sg_err *err) {
    if (bytes == 0) return SG_OK;
    if (!dev || !dst || !src)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_upload of %zu bytes: NULL argument", bytes);
    const enum sg_status st = no_operator(dev, "sg_dev_upload", err);
    if (st != SG_OK) return st;
    return dev->be->upload(dev, dst, src, bytes, err);
}

enum sg_status sg_dev_download(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                               struct sg_err *err) {
    if (bytes == 0) return SG_OK;
    if (!dev || !dst || !src)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_download of %zu bytes: NULL argument", bytes);
    const enum sg_status st = no_operator(dev, "sg_dev_download", err);
    if (st != SG_OK) return st;
    return dev->be->download(dev, dst, src, bytes, err);
}

enum sg_status sg_dev_sync(struct sg_dev *dev, struct sg_err *err) {
    if (!dev) return sg_fail(err, SG_E_INTERNAL, "sg_dev_sync: NULL device");
    const enum sg_status st = no_operator(dev, "sg_dev_sync", err);
    return st != SG_OK ? st : dev->be->sync(dev, err);
}

enum sg_status sg_dev_host_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                 struct sg_err *err) {
    if (!dev || !out) return sg_fail(err, SG_E_INTERNAL, "sg_dev_host_alloc: NULL argument");
    if (!dev->be->host_alloc) return sg_dev_alloc(dev, bytes, what, out, err);
    const enum sg_status st = no_operator(dev, "sg_dev_host_alloc", err);
    if (st != SG_OK) return st;
    return dev->be->host_alloc(dev, bytes ? bytes : 1, what ? what : "host memory", out, err);
}

void sg_dev_host_free(struct sg_dev *dev, void *p) {
    if (!dev || !p) return;
    if (dev->be->host_free)
        dev->be->host_free(dev, p);
    else
        dev->be->free(dev, p);
}

enum sg_status sg_dev_fetch(struct sg_dev *dev, int slot, void *dst, const void *src, size_t bytes,
                            struct sg_err *err) {
    if (bytes == 0) return SG_OK;
    if (!dev || !dst || !src || slot < 0 || slot >= SG_FETCH_SLOTS)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_fetch of %zu bytes: NULL argument, or slot %d of %d",
                       bytes, slot, SG_FETCH_SLOTS);
    const enum sg_status st = no_operator(dev, "sg_dev_fetch", err);
    if (st != SG_OK) return st;
    return dev->be->fetch ? dev->be->fetch(dev, slot, dst, src, bytes, err)
                          : dev->be->download(dev, dst, src, bytes, err);
}

enum sg_status sg_dev_fetch_wait(struct sg_dev *dev, int slot, struct sg_err *err) {
    if (!dev || slot < 0 || slot >= SG_FETCH_SLOTS)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_fetch_wait: NULL device, or slot %d of %d", slot,
                       SG_FETCH_SLOTS);
    const enum sg_status st = no_operator(dev, "sg_dev_fetch_wait", err);
    if (st != SG_OK) return st;
    return dev->be->fetch_wait ? dev->be->fetch_wait(dev, slot, err) : SG_OK;
}

int64_t sg_dev_memory_free(struct sg_dev *dev) {
    return dev->be->memory_free ? dev->be->memory_free(dev) : sg__host_memory_free("");
}

static enum sg_status check_limits(const struct sg_limits *l, struct sg_err *err) {
    if (l->max_rows < 0 || l->max_decode_rows < 0 || l->max_logit_rows < 0 || l->max_draws < 0 ||
        l->max_context < 1 || l->lanes < 0 || l->lanes > SG_DEV_LANES || l->hidden < 1 ||
        l->intermediate < 1 || l->vocab < 1)
        return sg_fail(
            err, SG_E_INTERNAL,
            "sg_dev_reserve: limits out of range (rows %d, decode rows %d, logit rows %d, draws %d, "
            "context %d, lanes %d, hidden %d, intermediate %d, vocab %d)",
            l->max_rows, l->max_decode_rows, l->max_logit_rows, l->max_draws, l->max_context, l->lanes,
            l->hidden, l->intermediate, l->vocab);
    if (l->q_heads < 1 || l->kv_heads < 1 || l->q_heads % l->kv_heads ||
        l->q_heads / l->kv_heads > SG_MAX_GQA)
        return sg_fail(err, SG_E_UNSUPPORTED,
                       "%d query heads over %d key heads: expected a whole ratio from 1 to %d", l->q_heads,
                       l->kv_heads, SG_MAX_GQA);
    if (l->head_dim < 8 || l->head_dim > SG_MAX_HEAD_DIM || l->head_dim % 8)
        return sg_fail(err, SG_E_UNSUPPORTED, "head_dim %d: expected a multiple of 8 up to %d", l->head_dim,
                       SG_MAX_HEAD_DIM);
    return SG_OK;
}

size_t sg_dev_reserve_bytes(const struct sg_dev *dev, const struct sg_limits *lim) {
    return check_limits(lim, NULL) == SG_OK ? dev->be->reserve_bytes(dev, lim) : 0;
}

enum sg_status sg_dev_reserve(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err) {
    if (!dev || !lim) return sg_fail(err, SG_E_INTERNAL, "sg_dev_reserve: NULL argument");
    enum sg_status st = check_limits(lim, err);
    if (st == SG_OK) st = no_operator(dev, "sg_dev_reserve", err);
    if (st == SG_OK && lim->lanes > 1 && !dev->be->fork)
        st = sg_fail(err, SG_E_UNSUPPORTED, "%s: this device has one lane", dev->info.backend);
    if (st != SG_OK) return st;
    memset(&dev->lim, 0, sizeof dev->lim);
    st = dev->be->reserve(dev, lim, err);
    if (st == SG_OK) dev->lim = *lim;
    return st;
}

/* ---- weights ------------------------------------------------------------------------------------ */

/* Bounds that keep every product of rows, cols and element size far below 2^63. */
static bool weight_shape_ok(int64_t rows, int64_t cols, unsigned use) {
    const bool use_ok =
        (use >= 1 && use <= (SG_USE_LINEAR | SG_USE_EMBED)) || use == (SG_USE_LINEAR | SG_USE_FP8);
    return rows >= 1 && rows <= INT32_MAX && cols >= 1 && cols <= INT32_MAX && use_ok;
}

static enum sg_dtype held(const struct sg_dev *dev, enum sg_dtype t, unsigned use) {
    const bool rounded = dev->info.host_memory && dev->info.products == SG_BF16;
    return rounded || (use & SG_USE_FP8) ? SG_BF16 : t;
}

static struct sg_weight *weight_made(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                     struct sg_weight *w) {
    w->dev = dev;
    w->rows = spec->rows;
    w->cols = spec->cols;
    w->dtype = spec->held;
    w->use = spec->use;
    return w;
}

enum sg_status sg_weight_new(struct sg_dev *dev, const struct sg_weight_part *parts, int n_parts,
                             int64_t cols, unsigned use, struct sg_weight **out, struct sg_err *err) {
    if (!dev || !parts || !out || n_parts < 1)
        return sg_fail(err, SG_E_INTERNAL, "sg_weight_new: NULL argument or %d parts", n_parts);
    int64_t rows = 0;
    for (int i = 0; i < n_parts; i++) {
        const struct sg_weight_part *p = &parts[i];
        if (!p->data || (unsigned)p->dtype >= SG_DTYPE_COUNT || p->rows < 1 || p->rows > INT32_MAX)
            return sg_fail(err, SG_E_INTERNAL,
                           "sg_weight_new: part %d has no data, a wrong dtype or %" PRId64 " rows", i,
                           p->rows);
        if (p->dtype != parts[0].dtype)
            return sg_fail(err, SG_E_INTERNAL, "sg_weight_new: part %d is %s, part 0 is %s", i,
                           sg_dtype_name(p->dtype), sg_dtype_name(parts[0].dtype));
        rows += p->rows;
        if (rows > INT32_MAX) break;
    }
    if (!weight_shape_ok(rows, cols, use))
        return sg_fail(err, SG_E_INTERNAL, "sg_weight_new: shape [%" PRId64 "][%" PRId64 "], use %u", rows,
                       cols, use);
    const enum sg_dtype t = parts[0].dtype;
    const struct sg_weight_spec spec = {parts, n_parts, rows, cols, t, held(dev, t, use), use};
    struct sg_weight *w = NULL;
    const enum sg_status st = dev->be->weight_new(dev, &spec, &w, err);
    if (st == SG_OK) *out = weight_made(dev, &spec, w);
    return st;
}

enum sg_status sg_weight_random(struct sg_dev *dev, int64_t rows, int64_t cols, unsigned use, uint64_t key,
                                struct sg_weight **out, struct sg_err *err) {
    if (!dev || !out) return sg_fail(err, SG_E_INTERNAL, "sg_weight_random: NULL argument");
    if (!weight_shape_ok(rows, cols, use))
        return sg_fail(err, SG_E_INTERNAL, "sg_weight_random: shape [%" PRId64 "][%" PRId64 "], use %u", rows,
                       cols, use);
    const struct sg_weight_spec spec = {
        .rows = rows, .cols = cols, .dtype = SG_BF16, .held = SG_BF16, .use = use};
    struct sg_weight *w = NULL;
    const enum sg_status st = dev->be->weight_random(dev, &spec, key, &w, err);
    if (st == SG_OK) *out = weight_made(dev, &spec, w);
    return st;
}

void sg_weight_free(struct sg_dev *dev, struct sg_weight *w) {
    if (dev && w) dev->be->weight_free(dev, w);
}

int64_t sg_weight_rows(const struct sg_weight *w) {
    return w->rows;
}

int64_t sg_weight_cols(const struct sg_weight *w) {
    return w->cols;
}

size_t sg_weight_bytes(const struct sg_weight *w) {
    return w->bytes;
}

size_t sg_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                           unsigned use) {
    if (!weight_shape_ok(rows, cols, use) || (unsigned)t >= SG_DTYPE_COUNT) return 0;
    return dev->be->weight_bytes_for(dev, rows, cols, held(dev, t, use), use);
}

/* ---- KV pool ------------------------------------------------------------------------------------ */

static bool kv_shape_ok(int32_t layers, int32_t kv_heads, int32_t head_dim) {
    return layers >= 1 && layers <= 4096 && kv_heads >= 1 && kv_heads <= 4096 && head_dim >= 8 &&
           head_dim <= SG_MAX_HEAD_DIM && head_dim % 8 == 0;
}

size_t sg_kv_page_bytes(const struct sg_dev *dev, int32_t layers, int32_t kv_heads, int32_t head_dim) {
    return kv_shape_ok(layers, kv_heads, head_dim) ? dev->be->kv_page_bytes(dev, layers, kv_heads, head_dim)
                                                   : 0;
}

enum sg_status sg_kv_new(struct sg_dev *dev, int32_t layers, int32_t pages, int32_t kv_heads,
                         int32_t head_dim, struct sg_kv **out, struct sg_err *err) {
    if (!dev || !out) return sg_fail(err, SG_E_INTERNAL, "sg_kv_new: NULL argument");
    if (!kv_shape_ok(layers, kv_heads, head_dim))
        return sg_fail(
            err, SG_E_UNSUPPORTED,
            "KV pool of %d layers, %d heads, head_dim %d: expected 1..4096, 1..4096, a multiple of 8 up "
            "to %d",
            layers, kv_heads, head_dim, SG_MAX_HEAD_DIM);
    if (pages < 1 || pages > INT32_MAX / SG_PAGE_TOKENS)
        return sg_fail(err, SG_E_UNSUPPORTED, "KV pool of %d pages: expected 1 to %d", pages,
                       INT32_MAX / SG_PAGE_TOKENS);
    struct sg_kv *kv = NULL;
    const enum sg_status st = dev->be->kv_new(dev, layers, pages, kv_heads, head_dim, &kv, err);
    if (st != SG_OK) return st;
    kv->dev = dev;
    kv->layers = layers;
    kv->pages = pages;
    kv->kv_heads = kv_heads;
    kv->head_dim = head_dim;
    *out = kv;
    return SG_OK;
}

void sg_kv_free(struct sg_dev *dev, struct sg_kv *kv) {
    if (dev && kv) dev->be->kv_free(dev, kv);
}

int32_t sg_kv_pages(const struct sg_kv *kv) {
    return kv->pages;
}

/* ---- records ------------------------------------------------------------------------------------ */

enum sg_status sg_dev_record_begin(struct sg_dev *dev, struct sg_err *err) {
    struct sg_dev_record *r = NULL;
    enum sg_status st;
    if (!dev) return sg_fail(err, SG_E_INTERNAL, "sg_dev_record_begin: NULL device");
    if (!dev->be->record_begin)
        return sg_fail(err, SG_E_UNSUPPORTED, "%s: this device does not record operators", dev->info.backend);
    SG_TRY(no_operator(dev, "sg_dev_record_begin", err));
    SG_TRY(SG_NEW(&r, 1, "record", err));
    SG_TRY(dev->be->record_begin(dev, err));
    r->dev = dev;
    dev->recording = r;
    r = NULL;
out:
    free(r);
    return st;
}

enum sg_status sg_dev_record_end(struct sg_dev *dev, struct sg_dev_record **out, struct sg_err *err) {
    if (out) *out = NULL;
    if (!dev || !dev->recording) return sg_fail(err, SG_E_INTERNAL, "sg_dev_record_end: nothing is recorded");
    struct sg_dev_record *r = dev->recording;
    dev->recording = NULL;
    const enum sg_status st = dev->be->record_end(dev, out ? &r->run : NULL, err);
    if (st == SG_OK && out)
        *out = r;
    else
        free(r);
    return st;
}

enum sg_status sg_dev_replay(struct sg_dev *dev, struct sg_dev_record *r, const struct sg_decode_args *decode,
                             struct sg_err *err) {
    if (!dev || !r || r->dev != dev)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_replay: NULL argument, or another device's record");
    enum sg_status st = no_operator(dev, "sg_dev_replay", err);
    if (st == SG_OK) st = dev->be->replay(dev, r->run, err);
    if (st != SG_OK) return st;
    double flops = r->decode_flops, bytes = r->decode_bytes;
    if (decode) {
        sg__decode_cost(dev, decode, &flops, &bytes);
        flops *= (double)r->n_decode;
        bytes *= (double)r->n_decode;
    }
    struct sg_stage_stats *s = &dev->stats[SG_STAGE_STEP];
    s->calls++;
    s->flops += r->flops + flops;
    s->bytes += r->bytes + bytes;
    return SG_OK;
}

void sg_dev_record_free(struct sg_dev *dev, struct sg_dev_record *r) {
    if (!dev || !r) return;
    dev->be->record_free(dev, r->run);
    free(r);
}

/* ---- lanes -------------------------------------------------------------------------------------- */

enum sg_status sg_dev_fork(struct sg_dev *dev, struct sg_err *err) {
    if (!dev) return sg_fail(err, SG_E_INTERNAL, "sg_dev_fork: NULL device");
    if (!dev->be->fork)
        return sg_fail(err, SG_E_UNSUPPORTED, "%s: this device has one lane", dev->info.backend);
    if (dev->lim.lanes < SG_DEV_LANES)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_fork: one lane is reserved");
    enum sg_status st = no_operator(dev, "sg_dev_fork", err);
    if (st == SG_OK) st = dev->be->fork(dev, err);
    if (st == SG_OK) dev->forked = true;
    return st;
}

enum sg_status sg_dev_lane(struct sg_dev *dev, int lane, struct sg_err *err) {
    if (!dev || !dev->forked || lane < 0 || lane >= SG_DEV_LANES)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_lane: lane %d of %d, or outside of fork and join", lane,
                       SG_DEV_LANES);
    dev->be->lane(dev, lane);
    return SG_OK;
}

enum sg_status sg_dev_join(struct sg_dev *dev, struct sg_err *err) {
    if (!dev || !dev->forked) return sg_fail(err, SG_E_INTERNAL, "sg_dev_join: without a fork");
    dev->forked = false;
    return dev->be->join(dev, err);
}

/* ---- measurement -------------------------------------------------------------------------------- */

void sg_dev_stats(struct sg_dev *dev, struct sg_stage_stats *stats) {
    memcpy(stats, dev->stats, sizeof dev->stats);
    if (dev->be->stats) dev->be->stats(dev, stats);
}

void sg_dev_stats_reset(struct sg_dev *dev) {
    memset(dev->stats, 0, sizeof dev->stats);
    if (dev->be->stats_reset) dev->be->stats_reset(dev);
}

enum sg_status sg_dev_measure(struct sg_dev *dev, double *flops_per_s, double *bytes_per_s,
                              struct sg_err *err) {
    if (!dev || !flops_per_s || !bytes_per_s)
        return sg_fail(err, SG_E_INTERNAL, "sg_dev_measure: NULL argument");
    return dev->be->measure(dev, flops_per_s, bytes_per_s, err);
}

void sg_dev_power(struct sg_dev *dev, struct sg_dev_power *out) {
    *out = (struct sg_dev_power){NAN, NAN, NAN};
    if (dev->be->power) dev->be->power(dev, out);
}

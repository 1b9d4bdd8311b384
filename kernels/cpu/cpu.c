/* The cpu backend's device: instruction set, threads, memory, scratch, pool of pages, the table. */
#include "kernels/cpu/internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(SG_CPU_X86)
#    include <cpuid.h>
#endif

/* ---- instruction sets --------------------------------------------------------------------------- */

#if defined(SG_CPU_X86)
static bool has_avx2(void) {
    unsigned a, b, c = 0, d;
    /* f16c has no name in every compiler's __builtin_cpu_supports; the system saves its registers with AVX's
     */
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
}
static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f");
}
/* Whether VDPBF16PS has the bits of two FMAs (isa.h) here, on numbers of all sizes and around 2^-126: the
 * manuals of other processors than those it was tried on leave some of it open. */
static bool bf16_agrees(void) {
    enum { N = 4096 };
    uint32_t x[N / 16], w[N];
    float c[N], want[N], got[N];
    for (int i = 0; i < N; i++) {
        const uint64_t a = sg_random64(0xB16, (uint64_t)i), b = sg_random64(0xB17, (uint64_t)i);
        w[i] = (uint32_t)a & 0xBFFFBFFFu; /* exponents below 128: neither infinities nor NaN */
        if (i % 16 == 0) x[i / 16] = (uint32_t)(a >> 32) & 0xBFFFBFFFu;
        uint32_t at = (uint32_t)b;
        if (b >> 62)
            at = (at & 0x807FFFFFu) | ((uint32_t)(b >> 40) % 8) << 23; /* about 2^-126 */
        else
            at &= 0xBFFFFFFFu;
        memcpy(&c[i], &at, sizeof at);
    }
    sg__isa_avx512.dot2(x, w, c, N, want);
    sg__isa_avx512bf16.dot2(x, w, c, N, got);
    return memcmp(want, got, sizeof want) == 0;
}
static bool has_avx512bf16(void) {
    return has_avx512() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512bf16") &&
           bf16_agrees();
}
#endif
static bool has_scalar(void) {
    return true;
}

const struct sg__isa *sg__isa_find(const char *name, bool bf16, struct sg_err *err) {
    static const struct {
        const struct sg__isa *isa;
        bool (*here)(void);
        bool bf16; /* differs from the next one there alone */
    } all[] = {
#if defined(SG_CPU_X86)
        {&sg__isa_avx512bf16, has_avx512bf16, true},
        {&sg__isa_avx512, has_avx512, false},
        {&sg__isa_avx2, has_avx2, false},
#endif
        {&sg__isa_scalar, has_scalar, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const bool any = !name || strcmp(name, "auto") == 0;
        if (any ? all[i].bf16 && !bf16 : strcmp(name, all[i].isa->name) != 0) continue;
        if (all[i].here()) return all[i].isa;
        if (any) continue;
        sg_fail(err, SG_E_DEVICE, "this processor has no %s", name);
        return NULL;
    }
    sg_fail(err, SG_E_USAGE, "instruction set '%s': expected auto, scalar, avx2, avx512 or avx512bf16", name);
    return NULL;
}

/* ---- open, close, memory ------------------------------------------------------------------------ */

static void cpu_close(struct sg_dev *dev) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    sg__pool_close(d->pool);
    sg__host_free_all(&d->mem);
    free(d);
}

static enum sg_status cpu_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err) {
    struct sg__cpu_dev *d = NULL;
    struct sg_err why = {0};
    const bool bf16 = opt->precision == SG_PRECISION_BF16;
    const struct sg__isa *isa = sg__isa_find(opt->isa, bf16, &why);
    if (!isa) return sg_fail(err, why.status, "%s", why.text);
    enum sg_status st;
    SG_TRY(SG_NEW(&d, 1, "cpu device", err));
    d->base.be = &sg__backend_cpu;
    d->isa = isa;
    d->mem.touch = opt->touch;
    const int threads = opt->threads > 0 ? opt->threads : sg__host_cores();
    SG_TRY(sg__pool_open(threads, &d->pool, err));
    d->base.info = (struct sg_dev_info){.backend = "cpu",
                                        .act = SG_F32,
                                        .products = bf16 ? SG_BF16 : SG_F32,
                                        .host_memory = true,
                                        .threads = threads,
                                        .memory_bytes = sg__host_memory_bytes()};
    char cpu[80];
    sg__host_cpu_name(cpu, sizeof cpu);
    snprintf(d->base.info.name, sizeof d->base.info.name, "%s (%s, %d thread%s)", cpu, isa->name, threads,
             threads == 1 ? "" : "s");
    *out = &d->base;
    d = NULL;
out:
    if (d) cpu_close(&d->base);
    return st;
}

static enum sg_status cpu_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                struct sg_err *err) {
    return sg__host_alloc(&((struct sg__cpu_dev *)dev)->mem, bytes, what, out, err);
}

static void cpu_free(struct sg_dev *dev, void *p) {
    sg__host_free(&((struct sg__cpu_dev *)dev)->mem, p);
}

static enum sg_status cpu_copy(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                               struct sg_err *err) {
    (void)dev, (void)err;
    memcpy(dst, src, bytes);
    return SG_OK;
}

static enum sg_status cpu_sync(struct sg_dev *dev, struct sg_err *err) {
    (void)dev, (void)err;
    return SG_OK;
}

/* ---- scratch ------------------------------------------------------------------------------------ */

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Hands out the next n elements of `size` bytes, at a multiple of 64; NULL while only counting. */
static void *take(char *base, size_t *used, size_t n, size_t size) {
    void *p = base ? base + *used : NULL;
    *used += (n * size + 63) / 64 * 64;
    return p;
}

/* Scratch of `lim`: bytes when base is NULL, the same cut into *d otherwise. */
static size_t lay_out(const struct sg_limits *lim, int threads, char *base, struct sg__cpu_dev *d) {
    struct sg__cpu_dev none;
    if (!d) d = &none;
    size_t used = 0;
    const size_t dim = (size_t)lim->head_dim, vocab = (size_t)lim->vocab;
    const size_t partial = sg__partial_floats(sg__pad16(lim->head_dim));
    size_t rows =
        max_size((size_t)lim->max_rows, max_size((size_t)lim->max_decode_rows, (size_t)lim->max_logit_rows));
    if (rows > SG__ROW_BLOCK) rows = SG__ROW_BLOCK;
    const size_t widest = max_size(max_size((size_t)lim->hidden, (size_t)lim->intermediate),
                                   (size_t)lim->q_heads * (size_t)lim->head_dim);
    d->x_pack = take(base, &used, rows * (widest + widest % 2), sizeof(float));
    struct sg__thread_scratch *t = take(base, &used, (size_t)threads, sizeof *t);
    d->threads = t;
    for (int i = 0; i < threads; i++) {
        float *q = take(base, &used, SG__TILE * dim, sizeof(float));
        float *s = take(base, &used, (size_t)SG__TILE * SG__SPAN, sizeof(float));
        float *part = take(base, &used, partial, sizeof(float));
        float *running = take(base, &used, partial, sizeof(float));
        uint64_t *heap = take(base, &used, vocab, sizeof *heap);
        float *maxima = take(base, &used, (vocab + SG__CHUNK - 1) / SG__CHUNK, sizeof *maxima);
        if (base)
            t[i] = (struct sg__thread_scratch){q,    s,     sg__partial_at(part), sg__partial_at(running),
                                               heap, maxima};
    }
    /* only for fewer tiles than threads; bounded, so that a long context on a large machine stays sane */
    const int64_t splits = ((int64_t)lim->max_context + SG_SPLIT_TOKENS - 1) / SG_SPLIT_TOKENS;
    const int64_t most = 32 * (int64_t)threads, wanted = (threads - 1) * splits;
    d->split_slots = wanted < most ? wanted : most;
    d->splits = take(base, &used, (size_t)d->split_slots * partial, sizeof(float));
    return used;
}

static size_t cpu_reserve_bytes(const struct sg_dev *dev, const struct sg_limits *lim) {
    return lay_out(lim, dev->info.threads, NULL, NULL);
}

static enum sg_status cpu_reserve(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    cpu_free(dev, d->scratch);
    d->scratch = NULL;
    const enum sg_status st =
        cpu_alloc(dev, cpu_reserve_bytes(dev, lim), "scratch", (void **)&d->scratch, err);
    if (st == SG_OK) lay_out(lim, dev->info.threads, d->scratch, d);
    return st;
}

/* The table of threads between the first and the last of it stays: it is not scratch of any operator. */
static void cpu_poison_scratch(struct sg_dev *dev, uint32_t word) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    if (!d->scratch) return;
    char *end = d->scratch + cpu_reserve_bytes(dev, &dev->lim), *threads = (char *)d->threads;
    char *after = threads + ((size_t)dev->info.threads * sizeof *d->threads + 63) / 64 * 64;
    sg__fill32(d->scratch, (size_t)(threads - d->scratch) / 4, word);
    sg__fill32(after, (size_t)(end - after) / 4, word);
}

/* ---- KV pool ------------------------------------------------------------------------------------ */

static size_t head_floats(const struct sg_dev *dev, int32_t head_dim) {
    const size_t both = (size_t)SG_PAGE_TOKENS * ((size_t)head_dim + (size_t)sg__pad16(head_dim));
    return dev->info.products == SG_BF16 ? both / 2 : both;
}

static size_t cpu_kv_page_bytes(const struct sg_dev *dev, int32_t layers, int32_t kv_heads,
                                int32_t head_dim) {
    return (size_t)layers * (size_t)kv_heads * head_floats(dev, head_dim) * sizeof(float);
}

static enum sg_status cpu_kv_new(struct sg_dev *dev, int32_t layers, int32_t pages, int32_t kv_heads,
                                 int32_t head_dim, struct sg_kv **out, struct sg_err *err) {
    struct sg__cpu_kv *kv;
    const size_t head = (sizeof *kv + 63) / 64 * 64;
    size_t bytes, total;
    if (!sg_mul_size(cpu_kv_page_bytes(dev, layers, kv_heads, head_dim), (size_t)pages, &bytes) ||
        !sg_add_size(bytes, head, &total))
        return sg_fail(err, SG_E_NOMEM, "KV pool: %d pages overflow the address space", pages);
    const enum sg_status st = cpu_alloc(dev, total, "KV pool", (void **)&kv, err);
    if (st != SG_OK) return st;
    kv->data = (float *)(void *)((char *)kv + head);
    kv->half = dev->info.products == SG_BF16;
    kv->head_floats = head_floats(dev, head_dim);
    kv->page_floats = kv->head_floats * (size_t)kv_heads;
    kv->layer_floats = kv->page_floats * (size_t)pages;
    *out = &kv->base;
    return SG_OK;
}

static void cpu_kv_free(struct sg_dev *dev, struct sg_kv *kv) {
    cpu_free(dev, kv);
}

/* ---- measurement -------------------------------------------------------------------------------- */

static enum sg_status cpu_measure(struct sg_dev *dev, double *flops_per_s, double *bytes_per_s,
                                  struct sg_err *err) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    enum { CHUNK = 1 << 18, CHUNKS = 256 }; /* 256 MiB in all: more than any cache */
    const bool bf16 = dev->info.products == SG_BF16;
    sg__task_fn *products = bf16 ? d->isa->measure_dot2 : d->isa->measure_fma;
    const int64_t flops_per_round = bf16 ? 4 * 12 : 2 * 12; /* and times the lanes of a register */
    const int threads = dev->info.threads;
    const int64_t lanes = strcmp(d->isa->name, "avx2") == 0 ? 8 : 16;
    float *data = NULL, *sink = NULL;
    enum sg_status st;
    SG_TRY(cpu_alloc(dev, (size_t)CHUNK * CHUNKS * sizeof *data, "measurement", (void **)&data, err));
    SG_TRY(cpu_alloc(dev, 4 * (size_t)threads * 16 * sizeof *sink, "measurement", (void **)&sink, err));
    memset(data, 1, (size_t)CHUNK * CHUNKS * sizeof *data);
    struct sg__measure_job j = {.data = data, .chunk_floats = CHUNK, .fma_rounds = 1 << 10, .sink = sink};
    int64_t ns = 0, best = INT64_MAX;
    const int64_t tasks = 4 * (int64_t)threads;
    for (int i = 0; i < 10;) { /* the best of ten, each long enough for the clock: neighbours may disturb */
        const int64_t t0 = sg_clock_ns();
        sg__pool_run(d->pool, tasks, products, &j);
        ns = sg_clock_ns() - t0;
        if (ns < 20000000) {
            j.fma_rounds *= 2;
            continue;
        }
        best = ns < best ? ns : best;
        i++;
    }
    *flops_per_s = (double)(flops_per_round * lanes * j.fma_rounds * tasks) / (1e-9 * (double)best);
    best = INT64_MAX;
    for (int i = 0; i < 8; i++) {
        const int64_t t0 = sg_clock_ns();
        sg__pool_run(d->pool, CHUNKS, d->isa->measure_read, &j);
        ns = sg_clock_ns() - t0;
        best = ns < best ? ns : best;
    }
    *bytes_per_s = (double)CHUNK * CHUNKS * sizeof *data / (1e-9 * (double)best);
out:
    cpu_free(dev, data);
    cpu_free(dev, sink);
    return st;
}

const struct sg_backend sg__backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .sync = cpu_sync,
    .reserve_bytes = cpu_reserve_bytes,
    .reserve = cpu_reserve,
    .weight_bytes_for = sg__cpu_weight_bytes_for,
    .weight_new = sg__cpu_weight_new,
    .weight_random = sg__cpu_weight_random,
    .weight_free = sg__cpu_weight_free,
    .kv_page_bytes = cpu_kv_page_bytes,
    .kv_new = cpu_kv_new,
    .kv_free = cpu_kv_free,
    .embed = sg__cpu_embed,
    .feed_tokens = sg__cpu_feed_tokens,
    .add_rmsnorm = sg__cpu_add_rmsnorm,
    .linear = sg__cpu_linear,
    .logits = sg__cpu_logits,
    .qkv_rope = sg__cpu_qkv_rope,
    .attn_prefill = sg__cpu_attn_prefill,
    .attn_decode = sg__cpu_attn_decode,
    .swiglu = sg__cpu_swiglu,
    .gather_rows = sg__cpu_gather_rows,
    .l2norm = sg__cpu_l2norm,
    .logprob = sg__cpu_logprob,
    .sample = sg__cpu_sample,
    .measure = cpu_measure,
    .poison_scratch = cpu_poison_scratch,
};

/* The engine on the emulated cuda backend: every sample's tokens and p_yes are the same bits for any
 * max_batch_tokens, a pool so small that groups start over, any order, alone, with streams that run late and
 * copies that land at other moments, with steps recorded, padded or neither, one ahead or not; in float32
 * too, where they are those of the ref backend to its rounding. A random checkpoint with heads of 128,
 * prompts longer than a split of decode attention among others; no outside data. */
#include "engine/internal.h"
#include "kernels/backend.h"
#include "model/qwen3.h"
#ifndef SG_ON_GPU
#    include "tests/cuda/emu/control.h"
#endif
#include "tests/cuda/skip.h"
#include "unit/model/tiny.h"
#include <math.h>

enum { GROUPS = 5, MAX_SAMPLES = 5, MAX_NEW = 20, CONTEXT = 640 };
static const int32_t prompt_len[GROUPS] = {1, 16, 77, 40, 530}, n_samples[GROUPS] = {5, 1, 3, 2, 4};

struct outcome {
    int32_t n, tokens[MAX_NEW];
    float p_yes[MAX_NEW];
};
struct run {
    struct outcome out[GROUPS][MAX_SAMPLES];
    int32_t done;
    struct sg_engine_stats stats;
};
struct setup {
    int32_t batch_tokens, pages, stride; /* stride: the order in which groups are handed in */
    bool alone, hopeful;                 /* hopeful: the schedule is told that answers are short */
    int lazy;
    uint64_t seed;
    int32_t overlap_rows;
    int32_t steps_ahead; /* 0: as the device likes it, one */
    enum sg_engine_graphs records;
    const char *backend; /* NULL: cuda */
    enum sg_precision precision;
    void (*spoil)(struct sg_backend *be); /* NULL: the device is sound */
};
static char dir[64];

/* Drivers that do not record what they should: at the end, or at an operator in the middle. */
static enum sg_status no_end(struct sg_dev *dev, void **out, struct sg_err *err) {
    (void)out;
    const enum sg_status st = sg__backend_find("cuda")->record_end(dev, NULL, err);
    return st != SG_OK ? st : sg_fail(err, SG_E_DEVICE, "no graph");
}
static enum sg_status no_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                                struct sg_err *err) {
    if (dev->recording) return sg_fail(err, SG_E_DEVICE, "not while capturing");
    return sg__backend_find("cuda")->swiglu(dev, gate_up, n, cols, out, err);
}
static void spoil_end(struct sg_backend *be) {
    be->record_end = no_end;
}
static void spoil_operator(struct sg_backend *be) {
    be->swiglu = no_swiglu;
}

static void on_done(void *ctx, const struct sg_group_result *g) {
    struct run *r = ctx;
    if (g->status != SG_OK) fail_msg("%s", g->err.text);
    r->done++;
    for (int32_t k = 0; k < g->n_samples; k++) {
        struct outcome *o = &r->out[g->tag][k];
        o->n = g->samples[k].n_tokens;
        memcpy(o->tokens, g->samples[k].tokens, (size_t)o->n * sizeof *o->tokens);
        memcpy(o->p_yes, g->samples[k].p_yes, (size_t)o->n * sizeof *o->p_yes);
    }
}

static void submit(struct sg_engine *e, int32_t g, int32_t vocab) {
    int32_t prompt[CONTEXT];
    struct sg_stream streams[MAX_SAMPLES];
    int32_t settings[MAX_SAMPLES];
    char name[16];
    snprintf(name, sizeof name, "q%d", g);
    for (int32_t i = 0; i < prompt_len[g]; i++)
        prompt[i] = (int32_t)(sg_random64((uint64_t)g, (uint64_t)i) % (uint64_t)vocab);
    for (int32_t k = 0; k < n_samples[g]; k++) {
        streams[k] = sg_sample_stream(g % 2 == 0, 5, name, "m", k);
        settings[k] = (g + k) % 3;
    }
    TINY_OK(sg_engine_submit(e, (uint64_t)g, prompt, prompt_len[g], streams, settings, n_samples[g], err));
}

static void drain(struct sg_engine *e, bool hopeful) {
    for (bool busy = true; busy;) {
        if (hopeful) e->sched.usual = 1;
        TINY_OK(sg_engine_step(e, &busy, err));
    }
}

static void run_with(struct run *r, const struct setup *s) {
    static const int32_t yes[] = {10, 11}, no[] = {20};
    struct sg_dev *dev = NULL;
    struct sg_model *model = NULL;
    struct sg_engine *e = NULL;
    const struct sg_dev_options opt = {.backend = s->backend ? s->backend : "cuda",
                                       .precision = s->precision};
    const struct sg_engine_hooks hooks = {.ctx = r, .on_done = on_done};
    memset(r, 0, sizeof *r);
#ifndef SG_ON_GPU
    sg_emu_set_lazy(s->lazy);
    sg_emu_set_seed(s->seed);
#endif
    TINY_OK(sg_dev_open(&opt, &dev, err));
    struct sg_backend spoilt = *dev->be;
    if (s->spoil) {
        s->spoil(&spoilt);
        dev->be = &spoilt;
    }
    TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = CONTEXT}, &model, err));
    const struct sg_config *c = sg_model_config(model);
    static const struct sg_draw_settings settings[] = {{1.2f, 0.95f, 20}, {0.7f, 1, 0}, {2, 0.9f, 5}};
    const struct sg_engine_options eng = {
        .max_batch_tokens = s->batch_tokens,
        .kv_cache_bytes = s->pages * (int64_t)sg_kv_page_bytes(dev, c->layers, c->kv_heads, c->head_dim),
        .max_context = CONTEXT,
        .max_samples = MAX_SAMPLES,
        .steps_ahead = s->steps_ahead,
        .records = s->records,
        .overlap_rows = s->overlap_rows,
        .sampling = {.max_new_tokens = MAX_NEW},
        .settings = settings,
        .n_settings = 3,
        .yes_ids = yes,
        .no_ids = no,
        .n_yes = 2,
        .n_no = 1};
    TINY_OK(sg_engine_open(dev, model, &eng, &hooks, &e, err));
    for (int32_t i = 0, g = 0; i < GROUPS; i++, g = (g + s->stride) % GROUPS) {
        submit(e, g, c->vocab);
        if (s->alone) drain(e, false);
    }
    drain(e, s->hopeful);
    assert_int_equal(r->done, GROUPS);
    sg_engine_stats(e, &r->stats);
    sg_engine_close(e);
    sg_model_close(model);
    sg_dev_close(dev);
}

static void make_checkpoint(void) {
    struct tiny tiny = TINY_DEFAULTS;
    tiny.head_dim = 128;
    tiny.q_heads = 3; /* an odd ratio */
    tiny.kv_heads = 1;
    tiny_dir(dir);
    tiny_checkpoint(dir, &tiny);
}

static void test_invariance(void **state) {
    (void)state;
    static struct run base, other;
    make_checkpoint();
    const struct setup wide = {.batch_tokens = 1024,
                               .pages = 200,
                               .stride = 1,
                               .seed = 1,
                               .steps_ahead = -1,
                               .records = SG_GRAPHS_OFF};
    run_with(&base, &wide);
    assert_true(base.stats.replays == 0 && base.stats.wasted_rows == 0 && base.stats.padded_rows == 0);
    int32_t distinct = 0;
    for (int32_t g = 0; g < GROUPS; g++)
        for (int32_t k = 0; k < n_samples[g]; k++) {
            const struct outcome *o = &base.out[g][k];
            distinct += k > 0 && memcmp(o->tokens, base.out[g][0].tokens, sizeof o->tokens) != 0;
            assert_true(o->n >= 1);
            for (int32_t i = 0; i < o->n; i++) assert_true(o->p_yes[i] > 0 && o->p_yes[i] < 1);
        }
    assert_true(distinct > 3); /* the comparison is about something */
    static const struct {
        const char *name;
        struct setup s;
    } others[] = {
        {"batches of 16", {.batch_tokens = 16, .pages = 200, .stride = 2, .seed = 2}},
        {"batches of 100, late streams",
         {.batch_tokens = 100, .pages = 200, .stride = 3, .lazy = 1, .seed = 3}},
        {"a small pool", {.batch_tokens = 256, .pages = 44, .stride = 4, .hopeful = true, .seed = 4}},
        {"nobody beside", {.batch_tokens = 1024, .pages = 200, .stride = 1, .alone = true, .seed = 5}},
        {"records, none ahead",
         {.batch_tokens = 1024, .pages = 200, .stride = 1, .seed = 6, .steps_ahead = -1}},
        {"padding alone, late streams",
         {.batch_tokens = 512, .pages = 200, .stride = 2, .seed = 7, .lazy = 1, .records = SG_GRAPHS_PAD}},
        {"a step ahead alone, late streams",
         {.batch_tokens = 512, .pages = 200, .stride = 3, .seed = 8, .lazy = 1, .records = SG_GRAPHS_OFF}},
        {"a device that ends no record",
         {.batch_tokens = 1024, .pages = 200, .stride = 1, .seed = 10, .lazy = 1, .spoil = spoil_end}},
        {"a device that records not every operator",
         {.batch_tokens = 1024, .pages = 200, .stride = 1, .seed = 11, .spoil = spoil_operator}},
        {"halves side by side, late streams",
         {.batch_tokens = 512, .pages = 200, .stride = 3, .seed = 12, .lazy = 1, .overlap_rows = 24}},
        {"a small pool, late streams",
         {.batch_tokens = 64, .pages = 44, .stride = 2, .hopeful = true, .seed = 9, .lazy = 1}},
    };
    int64_t restarts = 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        run_with(&other, &others[i].s);
        const struct sg_engine_stats *t = &other.stats;
        const struct setup *s = &others[i].s;
        restarts += t->restarts;
        assert_int_equal(t->record_errors, s->spoil ? 1 : 0); /* once, then it is left alone */
        assert_true((t->replays > 0) == (s->records == SG_GRAPHS_AUTO && !s->spoil));
        assert_true(t->replays >= t->records);
        assert_true((t->padded_rows > 0) ==
                    (s->records != SG_GRAPHS_OFF)); /* and some buckets partly filled */
        assert_true((t->halved > 0) == (s->overlap_rows > 0));
        assert_true((t->wasted_rows > 0) == (s->steps_ahead >= 0));
        if (memcmp(base.out, other.out, sizeof base.out)) fail_msg("results differ with %s", others[i].name);
    }
    assert_true(restarts > 0);
    tiny_remove(dir);
}

/* The same in float32, of a few setups; and the tokens and p_yes of ref, which bf16 misses. */
static void test_float32(void **state) {
    (void)state;
    static struct run base, other, ref, bf16;
    make_checkpoint();
    struct setup s = {.batch_tokens = 1024,
                      .pages = 200,
                      .stride = 1,
                      .seed = 21,
                      .steps_ahead = -1,
                      .records = SG_GRAPHS_OFF,
                      .precision = SG_PRECISION_FLOAT32};
    run_with(&base, &s);
    s.precision = SG_PRECISION_BF16;
    run_with(&bf16, &s);
    s.precision = SG_PRECISION_AUTO, s.backend = "ref";
    run_with(&ref, &s);
    static const struct setup others[] = {
        {.batch_tokens = 256,
         .pages = 44,
         .stride = 4,
         .hopeful = true,
         .seed = 22,
         .lazy = 1,
         .precision = SG_PRECISION_FLOAT32},
        {.batch_tokens = 512, .pages = 200, .stride = 3, .seed = 23, .precision = SG_PRECISION_FLOAT32},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        run_with(&other, &others[i]);
        if (memcmp(base.out, other.out, sizeof base.out)) fail_msg("results differ with setup %zu", i);
        assert_true(i == 0 ? other.stats.restarts > 0 : other.stats.replays > 0);
    }
    double worst = 0, of_bf16 = 0;
    for (int32_t g = 0; g < GROUPS; g++)
        for (int32_t k = 0; k < n_samples[g]; k++) {
            const struct outcome *a = &base.out[g][k], *b = &ref.out[g][k], *c = &bf16.out[g][k];
            assert_int_equal(a->n, b->n);
            assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
            for (int32_t i = 0; i < a->n; i++) {
                worst = fmax(worst, fabs((double)a->p_yes[i] - b->p_yes[i]));
                if (i == 0) of_bf16 = fmax(of_bf16, fabs((double)c->p_yes[i] - b->p_yes[i]));
            }
        }
    print_message("p_yes of float32 and ref differ by %.1e at most, of bf16 by %.1e\n", worst, of_bf16);
    /* p (1 - p) of the difference of logits of about 1, each off by some tens of roundings of 2^-24; bf16 by
     * as many of 2^-9: the comparison can tell. */
    assert_true(worst < 4e-6 && of_bf16 > 1e-3);
    tiny_remove(dir);
}

/* What a GPU takes and refuses by its precision: twice the pages, f32 and f16 checkpoints kept in four bytes.
 */
static void test_float32_memory(void **state) {
    (void)state;
    struct sg_dev *narrow = NULL, *wide = NULL;
    const struct sg_dev_options bf16 = {.backend = "cuda", .precision = SG_PRECISION_BF16},
                                f32 = {.backend = "cuda", .precision = SG_PRECISION_FLOAT32};
    TINY_OK(sg_dev_open(&bf16, &narrow, err));
    TINY_OK(sg_dev_open(&f32, &wide, err));
    assert_int_equal(sg_dev_info(wide)->act, SG_F32);
    assert_int_equal(sg_kv_page_bytes(wide, 3, 2, 64), 2 * sg_kv_page_bytes(narrow, 3, 2, 64));
    static const unsigned fp8 = SG_USE_LINEAR | SG_USE_FP8;
    for (int t = 0; t < SG_DTYPE_COUNT; t++) {
        const enum sg_dtype type = (enum sg_dtype)t;
        const size_t two = sg_weight_bytes_for(narrow, 100, 64, type, SG_USE_LINEAR);
        assert_int_equal(two, 100 * 64 * 2);
        assert_int_equal(sg_weight_bytes_for(wide, 100, 64, type, SG_USE_LINEAR),
                         type == SG_BF16 ? two : 2 * two);
        assert_int_equal(sg_weight_bytes_for(wide, 100, 64, type, fp8),
                         sg_weight_bytes_for(narrow, 100, 64, type, fp8));
    }
    sg_dev_close(narrow);
    sg_dev_close(wide);
}

/* Float32 and float16 checkpoints are rounded to bf16 as they are loaded; heads over 128 are refused by name.
 */
static void test_checkpoints(void **state) {
    (void)state;
    struct sg_dev *dev = NULL;
    const struct sg_dev_options opt = {.backend = "cuda"};
    TINY_OK(sg_dev_open(&opt, &dev, err));
    assert_int_equal(sg_dev_info(dev)->act, SG_BF16);
    assert_false(sg_dev_info(dev)->host_memory);
    struct sg_weight *w = NULL;
    const float f32[8] = {1, -2.5f, 1.00390625f, 3.0e38f, 1e-37f, 0.1f, 255, 0};
    const uint16_t f16[8] = {0x3c00, 0xc100, 0x0001, 0x7bff, 0x8000, 0x2e66, 0x5bf8, 0};
    const float expect32[8] = {1, -2.5f, 1, 2.9997e38f, 1e-37f, 0.10009765625f, 255, 0};
    const float expect16[8] = {1, -2.5f, 0x1p-24f, 65536, -0.0f, 0.10009765625f, 255, 0};
    for (int t = 0; t < 2; t++) {
        const struct sg_weight_part part = {t ? (const void *)f16 : f32, t ? SG_F16 : SG_F32, 1};
        TINY_OK(sg_weight_new(dev, &part, 1, 8, SG_USE_EMBED, &w, err));
        const struct sg_limits lim = tiny_limits();
        TINY_OK(sg_dev_reserve(dev, &lim, err));
        void *ids, *out;
        const int32_t zero = 0;
        float got[8];
        TINY_OK(sg_dev_alloc(dev, 4, "ids", &ids, err));
        TINY_OK(sg_dev_alloc(dev, sizeof got, "row", &out, err));
        TINY_OK(sg_dev_upload(dev, ids, &zero, 4, err));
        TINY_OK(sg_op_embed(dev, w, ids, 1, out, err));
        TINY_OK(sg_dev_download(dev, got, out, sizeof got, err));
        for (int i = 0; i < 8; i++) {
            const float x = got[i], want = t ? expect16[i] : expect32[i];
            if (!(x >= want - 0x1p-8f * (want < 0 ? -want : want) &&
                  x <= want + 0x1p-8f * (want < 0 ? -want : want)))
                fail_msg("element %d of %s: %g, expected %g", i, t ? "F16" : "F32", (double)x, (double)want);
        }
        sg_weight_free(dev, w);
    }
    struct sg_kv *kv = NULL;
    struct sg_err err = {0};
    assert_int_equal(sg_kv_new(dev, 1, 1, 1, 136, &kv, &err), SG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "head_dim 136"));
    sg_dev_close(dev);
    const struct sg_dev_options far = {.backend = "cuda", .device = 99};
    assert_int_equal(sg_dev_open(&far, &dev, &err), SG_E_DEVICE);
    assert_non_null(strstr(err.text, "device 99"));
}

/* Rates are measured and every stage that ran has a time. */
static void test_stats(void **state) {
    (void)state;
    struct sg_dev *dev = NULL;
    double flops = 0, bytes = 0;
    const struct sg_dev_options opt = {.backend = "cuda"};
    TINY_OK(sg_dev_open(&opt, &dev, err));
    TINY_OK(sg_dev_measure(dev, &flops, &bytes, err));
    assert_true(flops > 0 && bytes > 0);
    sg_dev_close(dev);
}

int main(void) {
    if (no_cuda()) return 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_invariance), cmocka_unit_test(test_float32),
                                       cmocka_unit_test(test_float32_memory),
                                       cmocka_unit_test(test_checkpoints), cmocka_unit_test(test_stats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

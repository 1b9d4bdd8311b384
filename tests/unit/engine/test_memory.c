/* Guards: an engine takes what sg_engine_plan said beforehand and not a byte more, allocates nothing while it
 * steps, and an open that runs out of memory at any allocation leaves nothing behind. The allocator is
 * replaced at link time (--wrap). */
#include "engine/engine.h"
#include "model/qwen3.h"
#include "unit/model/tiny.h"

#include <malloc.h>

static int64_t live, peak, calls, fail_at; /* fail_at: the call that gets NULL, counted from 1; 0: none */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void __wrap_free(void *p);

static bool refuse(void) {
    return ++calls == fail_at;
}

static void *count(void *p) {
    if (p) live += (int64_t)malloc_usable_size(p);
    if (live > peak) peak = live;
    return p;
}

void *__wrap_malloc(size_t n) {
    return refuse() ? NULL : count(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size) {
    return refuse() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_aligned_alloc(size_t align, size_t n) {
    return refuse() ? NULL : count(__real_aligned_alloc(align, n));
}

void *__wrap_realloc(void *p, size_t n) {
    if (refuse()) return NULL;
    const int64_t before = p ? (int64_t)malloc_usable_size(p) : 0;
    void *q = __real_realloc(p, n);
    if (q) live -= before;
    return count(q);
}

void __wrap_free(void *p) {
    if (p) live -= (int64_t)malloc_usable_size(p);
    __real_free(p);
}

static struct sg_dev *dev;
static struct sg_model *model;
static char dir[64];
static int32_t done;

static void on_done(void *ctx, const struct sg_group_result *r) {
    (void)ctx;
    assert_int_equal(r->status, SG_OK);
    done++;
}

static struct sg_engine_options options_of(int32_t rows, int32_t context, int64_t kv_bytes) {
    return (struct sg_engine_options){
        .max_batch_tokens = rows,
        .kv_cache_bytes = kv_bytes,
        .max_context = context,
        .max_samples = 4,
        .sampling = {.temperature = 1, .top_p = 0.9, .max_new_tokens = 30, .ignore_eos = true}};
}

static void test_plan_holds(void **state) {
    (void)state;
    static const struct {
        int32_t rows, context;
        int64_t kv;
    } cases[] = {{16, 64, 1 << 16}, {64, 256, 1 << 20}, {2048, 512, 1 << 22}, {300, 1024, 3 << 20}};
    const struct sg_engine_hooks hooks = {.on_done = on_done};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const struct sg_engine_options opt = options_of(cases[k].rows, cases[k].context, cases[k].kv);
        struct sg_engine_memory plan;
        struct sg_engine *e = NULL;
        TINY_OK(sg_engine_plan(dev, model, &opt, &plan, err));
        assert_true(plan.kv_bytes <= cases[k].kv && plan.kv_bytes > cases[k].kv / 2);
        assert_int_equal(plan.weight_bytes, sg_model_device_bytes(model));
        const int64_t before = live;
        peak = live;
        TINY_OK(sg_engine_open(dev, model, &opt, &hooks, &e, err));
        const int64_t taken = peak - before, said = plan.kv_bytes + plan.workspace_bytes;
        if (taken > said) fail_msg("took %lld bytes, plan said %lld", (long long)taken, (long long)said);
        /* and the plan is no wild guess either; an earlier reserve's scratch may be given back by this one */
        if (k == 0 && taken < said / 2)
            fail_msg("took %lld bytes, plan said %lld", (long long)taken, (long long)said);
        sg_engine_close(e);
    }
}

static void test_steps_allocate_nothing(void **state) {
    (void)state;
    const struct sg_engine_options opt = options_of(32, 256, 1 << 20);
    const struct sg_engine_hooks hooks = {.on_done = on_done};
    struct sg_engine *e = NULL;
    const int32_t prompt[100] = {1, 2, 3};
    const struct sg_stream streams[4] = {{1, -1}, {2, -1}, {3, -1}, {4, -1}};
    TINY_OK(sg_engine_open(dev, model, &opt, &hooks, &e, err));
    for (int32_t g = 0; g < 10; g++) TINY_OK(sg_engine_submit(e, 0, prompt, 100, streams, NULL, 4, err));
    done = 0;
    const int64_t before = calls;
    for (bool busy = true; busy;) TINY_OK(sg_engine_step(e, &busy, err));
    assert_int_equal(calls - before, 0);
    assert_int_equal(done, 10);
    sg_engine_close(e);
}

/* Every allocation of open, of a whole model and of an engine, fails once. */
static void test_out_of_memory(void **state) {
    (void)state;
    int64_t failures = 0;
    for (int64_t n = 1;; n++) {
        const struct sg_engine_options opt = options_of(64, 256, 1 << 20);
        struct sg_dev *d = NULL;
        struct sg_model *m = NULL;
        struct sg_engine *e = NULL;
        struct sg_err err = {0};
        const struct sg_dev_options ref = {.backend = "ref"};
        const int64_t before = live;
        calls = 0;
        fail_at = n;
        enum sg_status st = sg_dev_open(&ref, &d, &err);
        if (st == SG_OK) st = sg_model_open(d, dir, &(struct sg_model_options){.max_context = 256}, &m, &err);
        if (st == SG_OK) st = sg_engine_open(d, m, &opt, NULL, &e, &err);
        const bool reached = calls >= n;
        fail_at = 0;
        sg_engine_close(e);
        sg_model_close(m);
        sg_dev_close(d);
        if (live != before)
            fail_msg("allocation %lld: %lld bytes are left", (long long)n, (long long)(live - before));
        if (!reached) {
            if (st != SG_OK) fail_msg("%s", err.text);
            break;
        }
        if (st != SG_OK) { /* a few, such as a file's directory name, are survivable */
            failures++;
            assert_true(err.text[0] != 0);
        }
    }
    assert_true(failures > 20);
}

static int open_all(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    const struct sg_dev_options opt = {.backend = "cpu", .threads = 1};
    tiny_dir(dir);
    tiny_checkpoint(dir, &c);
    TINY_OK(sg_dev_open(&opt, &dev, err));
    TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = 1024}, &model, err));
    return 0;
}

static int close_all(void **state) {
    (void)state;
    sg_model_close(model);
    sg_dev_close(dev);
    tiny_remove(dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plan_holds),
                                       cmocka_unit_test(test_steps_allocate_nothing),
                                       cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}

/* Protects: the KV cache that a rank takes when the job does not say how large: its share of the memory that
 * is left, weights and workspace taken off, never more than could be filled, and a clear no when nothing is
 * left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/kv_budget.h"
#include "model/qwen3.h"
#include <string.h>

static struct sg_err err;
static struct sg_dev *dev;
static struct sg_model *model;
static int64_t page, weights;
static const int64_t MIB = 1 << 20;
static const struct sg_engine_options OPT = {.max_batch_tokens = 64,
                                             .max_context = 256,
                                             .max_samples = 4,
                                             .sampling = {.max_new_tokens = 32, .top_p = 1}};

static int open_model(void **state) {
    (void)state;
    const struct sg_dev_options o = {.backend = "cpu", .threads = 1};
    if (sg_dev_open(&o, &dev, &err) != SG_OK ||
        sg_model_plan(dev, "../jobs/demo/model", &(struct sg_model_options){.max_context = 256}, &model,
                      &err) != SG_OK)
        return 1;
    const struct sg_config *c = sg_model_config(model);
    page = (int64_t)sg_kv_page_bytes(dev, c->layers, c->kv_heads, c->head_dim);
    weights = sg_model_device_bytes(model);
    return 0;
}
static int close_model(void **state) {
    (void)state;
    sg_model_close(model);
    sg_dev_close(dev);
    return 0;
}

static int64_t room(int64_t host_free, int32_t sharers, int64_t cells) {
    const struct sg_kv_budget r = {.host_free = host_free, .sharers = sharers, .cells = cells};
    int64_t bytes = -1;
    if (sg_kv_budget_bytes(dev, model, &OPT, &r, &bytes, &err) != SG_OK) fail_msg("%s", err.text);
    return bytes;
}

static int64_t taken(int64_t kv_bytes) {
    struct sg_engine_options o = OPT;
    struct sg_engine_memory m;
    o.kv_cache_bytes = kv_bytes;
    if (sg_engine_plan(dev, model, &o, &m, &err) != SG_OK) fail_msg("%s", err.text);
    return m.kv_bytes + m.workspace_bytes + m.weight_bytes;
}

static void takes_its_share(void **state) {
    (void)state;
    const int64_t one = room(60 * MIB, 1, 0), half = room(60 * MIB, 2, 0);
    assert_true(one > page && half > page && half < one);
    assert_true(taken(one) <= 45 * MIB && taken(one) > 44 * MIB); /* three quarters, to a page or so */
    assert_true(2 * taken(half) <= 45 * MIB && 2 * taken(half) > 43 * MIB);
}

static void takes_no_more_than_is_of_use(void **state) {
    (void)state;
    /* 64 rows, each in a cell of its own: 16 pages of prompt and answer, one more where they meet */
    assert_int_equal(room((int64_t)1 << 40, 1, 0), 64 * 17 * page);
    /* three cells: a prompt and four answers of two pages each */
    assert_int_equal(room((int64_t)1 << 40, 1, 3), 3 * (16 + 4 * 2) * page);
}

static void says_when_nothing_is_left(void **state) {
    (void)state;
    const struct sg_kv_budget r = {.host_free = weights, .sharers = 1};
    int64_t bytes = -1;
    assert_int_equal(sg_kv_budget_bytes(dev, model, &OPT, &r, &bytes, &err), SG_E_NOMEM);
    assert_non_null(strstr(err.text, "no room for a KV cache on "));
    assert_non_null(strstr(err.text, "engine.kv_cache_mib"));
    assert_int_equal(bytes, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_its_share),
        cmocka_unit_test(takes_no_more_than_is_of_use),
        cmocka_unit_test(says_when_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}

/* bf16 compute on the host in the whole engine: tokens, p_yes, logits, log-probabilities and embeddings have the
 * same bits on every instruction set of the cpu backend, with any number of threads, batch size and cut of a
 * prompt into chunks, and through the guard; they follow the reference backend, which rounds in the same places,
 * and differ from float32. The KV cache takes half the memory. */
#include "kernels/layout.h"
#include "model/qwen3.h"

#include <math.h>

enum { GROUPS = 4, SAMPLES = 3, MAX_NEW = 12, PROMPT = 300, VOCAB = 97, HIDDEN = 48 };
#include "unit/engine/seen.h"

static char dir[64];

struct how {
    const char *backend, *isa;
    int threads;
    int32_t batch;
    enum sg_precision precision;
};

/* false: no such instruction set here. */
static bool look(struct how h, struct seen *s) {
    static const int32_t yes[] = {10, 11}, no[] = {20};
    struct sg_dev *dev = NULL;
    struct sg_model *model = NULL;
    struct sg_engine *e = NULL;
    const struct sg_dev_options o = {
        .backend = h.backend, .isa = h.isa, .threads = h.threads, .precision = h.precision};
    struct sg_err none = {0};
    const enum sg_status st = sg_dev_open(&o, &dev, &none);
    if (st == SG_E_DEVICE) return false;
    if (st != SG_OK) fail_msg("%s", none.text);
    const struct sg_engine_hooks hooks = {.ctx = s, .on_done = seen_done};
    const struct sg_engine_options opt = {
        .max_batch_tokens = h.batch,
        .kv_cache_bytes = 2 << 20,
        .max_context = 512,
        .max_samples = SAMPLES,
        .sampling = {.temperature = 1, .top_p = 1, .max_new_tokens = MAX_NEW, .ignore_eos = true},
        .yes_ids = yes,
        .no_ids = no,
        .n_yes = 2,
        .n_no = 1};
    memset(s, 0, sizeof *s);
    TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = 512}, &model, err));
    TINY_OK(sg_engine_open(dev, model, &opt, &hooks, &e, err));
    seen_fill(s, e, 71, true);
    s->logprobs[0] = 0; /* NaN: nothing comes before it */
    sg_engine_close(e);
    sg_model_close(model);
    sg_dev_close(dev);
    return true;
}

static void checkpoint(enum sg_dtype t, bool tied) {
    struct tiny c = TINY_DEFAULTS;
    c.dtype = t;
    c.tied = tied;
    tiny_dir(dir);
    tiny_checkpoint(dir, &c);
}

static void test_same_bits(void **state) {
    (void)state;
    static struct seen first, s;
    static const struct how hows[] = {
        {"cpu", "auto", 1, 2048, SG_PRECISION_BF16},     {"cpu", "scalar", 1, 2048, SG_PRECISION_BF16},
        {"cpu", "scalar", 3, 64, SG_PRECISION_BF16},     {"cpu", "avx2", 2, 2048, SG_PRECISION_BF16},
        {"cpu", "avx2", 5, 17, SG_PRECISION_BF16},       {"cpu", "avx512", 2, 100, SG_PRECISION_BF16},
        {"cpu", "avx512", 1, 17, SG_PRECISION_BF16},     {"cpu", "avx512bf16", 1, 64, SG_PRECISION_BF16},
        {"cpu", "avx512bf16", 2, 17, SG_PRECISION_BF16}, {"cpu", "avx512bf16", 5, 333, SG_PRECISION_BF16},
        {"guard", "auto", 2, 77, SG_PRECISION_BF16},
    };
    for (int t = 0; t < SG_DTYPE_COUNT; t++) {
        checkpoint((enum sg_dtype)t, t != SG_F16);
        for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
            if (!look(hows[i], i ? &s : &first)) continue;
            if (i && memcmp(&s, &first, sizeof s))
                fail_msg("%s, %s: %d threads, batches of %d: other bits", sg_dtype_name((enum sg_dtype)t),
                         hows[i].isa, hows[i].threads, (int)hows[i].batch);
        }
        tiny_remove(dir);
    }
}

/* Largest difference, and largest size of b. */
static double apart(const float *a, const float *b, int n, double *size) {
    double most = 0;
    *size = 0;
    for (int i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        *size = fmax(*size, fabs((double)b[i]));
    }
    return most;
}

static void test_values(void **state) {
    (void)state;
    static struct seen bf16, f32, ref;
    for (int t = 0; t < SG_DTYPE_COUNT; t++) {
        double size;
        checkpoint((enum sg_dtype)t, true);
        assert_true(look((struct how){"cpu", "auto", 2, 128, SG_PRECISION_BF16}, &bf16));
        assert_true(look((struct how){"cpu", "auto", 2, 128, SG_PRECISION_FLOAT32}, &f32));
        assert_true(look((struct how){"ref", "auto", 1, 128, SG_PRECISION_BF16}, &ref));
        const double near = apart(bf16.logits, ref.logits, VOCAB, &size),
                     far = apart(bf16.logits, f32.logits, VOCAB, &size);
        printf("%s: logits %.2g from the reference, %.2g from float32, largest %.2g\n",
               sg_dtype_name((enum sg_dtype)t), near, far, size);
        assert_true(near <= 4e-3 * size);
        assert_true(far > 1e-5 * size && far <= 2e-2 * size);
        assert_true(apart(bf16.logprobs, ref.logprobs, PROMPT, &size) <= 4e-3 * size);
        assert_true(apart(bf16.hidden, ref.hidden, HIDDEN, &size) <= 4e-3 * size);
        tiny_remove(dir);
    }
}

static void test_memory(void **state) {
    (void)state;
    static const char *const backends[] = {"cpu", "guard"};
    for (size_t i = 0; i < 2; i++) {
        size_t page[2], half[2], whole[2];
        for (int b = 0; b < 2; b++) {
            struct sg_dev *dev = NULL;
            const struct sg_dev_options o = {.backend = backends[i],
                                             .precision = b ? SG_PRECISION_BF16 : SG_PRECISION_AUTO};
            TINY_OK(sg_dev_open(&o, &dev, err));
            page[b] = sg_kv_page_bytes(dev, 2, 8, 72);
            half[b] = sg_weight_bytes_for(dev, 64, 48, SG_BF16, SG_USE_LINEAR);
            whole[b] = sg_weight_bytes_for(dev, 64, 48, SG_F32, SG_USE_LINEAR);
            sg_dev_close(dev);
        }
        assert_int_equal(page[0], 2 * page[1]);
        assert_int_equal(half[0], half[1]);
        assert_int_equal(whole[0], 2 * whole[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

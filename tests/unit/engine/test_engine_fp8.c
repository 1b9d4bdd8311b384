/* fp8 weights in the engine, on the backend named on the command line: tokens, p_yes, logits and embeddings
 * have the very bits of a checkpoint whose linear maps were rounded beforehand and stored as bf16 (embedding
 * and head as they were), and not those of the checkpoint itself; for bf16, float32 and float16 checkpoints.
 * Memory: what a plan says is what the weights take. A checkpoint with NaN or an infinity in a rounded map
 * gives no numbers. */
#include "kernels/fp8.h"
#include "model/qwen3.h"

#include <math.h>

enum { GROUPS = 3, SAMPLES = 2, MAX_NEW = 12, PROMPT = 30, VOCAB = 97, HIDDEN = 48 };
#include "unit/engine/seen.h"

static const char *backend = "cpu";
static char dir[64];

static bool is_linear(const char *name) {
    return strstr(name, "_proj.weight") != NULL;
}

/* The checkpoint with its linear maps rounded and stored as bf16; all else as bf16 too, exact or not as it
 * always was on the device. */
static void write_rounded(const struct tiny *c) {
    struct tiny_tensors l = tiny_make(c);
    for (size_t i = 0; i < l.n; i++) {
        struct tiny_tensor *t = &l.t[i];
        if (!is_linear(t->name)) continue;
        const int64_t rows = t->dims[0], cols = t->dims[1];
        const size_t width = sg_dtype_bytes(c->dtype);
        uint16_t *rounded = malloc((size_t)(rows * cols) * sizeof *rounded);
        assert_non_null(rounded);
        for (int64_t r = 0; r < rows; r++)
            sg__fp8_round_row(rounded + r * cols, 1, t->data + (size_t)(r * cols) * width, cols, c->dtype);
        free(t->data);
        t->data = (unsigned char *)rounded;
        t->bytes = (size_t)(rows * cols) * sizeof *rounded;
        snprintf(t->dtype, sizeof t->dtype, "BF16");
    }
    tiny_config(dir, c, NULL);
    tiny_weights(dir, c, &l);
    tiny_free(&l);
}

static struct sg_dev *open_device(void) {
    struct sg_dev *dev = NULL;
    const struct sg_dev_options opt = {.backend = backend, .threads = 2};
    TINY_OK(sg_dev_open(&opt, &dev, err));
    return dev;
}

static void look(bool fp8, struct seen *s) {
    static const int32_t yes[] = {10, 11}, no[] = {20};
    struct sg_dev *dev = open_device();
    struct sg_model *model = NULL, *plan = NULL;
    struct sg_engine *e = NULL;
    const struct sg_model_options how = {.max_context = 128, .fp8_weights = fp8};
    const struct sg_engine_hooks hooks = {.ctx = s, .on_done = seen_done};
    memset(s, 0, sizeof *s);
    TINY_OK(sg_model_plan(dev, dir, &how, &plan, err));
    TINY_OK(sg_model_open(dev, dir, &how, &model, err));
    s->bytes = sg_model_device_bytes(model);
    const struct sg_engine_options opt = {
        .max_batch_tokens = 64,
        .kv_cache_bytes = 1 << 20,
        .max_context = 128,
        .max_samples = SAMPLES,
        .sampling = {.temperature = 1, .top_p = 1, .max_new_tokens = MAX_NEW},
        .yes_ids = yes,
        .no_ids = no,
        .n_yes = 2,
        .n_no = 1};
    struct sg_engine_memory planned, loaded;
    TINY_OK(sg_engine_plan(dev, plan, &opt, &planned, err));
    TINY_OK(sg_engine_plan(dev, model, &opt, &loaded, err));
    assert_memory_equal(&planned, &loaded, sizeof planned);
    assert_int_equal(planned.weight_bytes, s->bytes);
    TINY_OK(sg_engine_open(dev, model, &opt, &hooks, &e, err));
    seen_fill(s, e, 1, false);
    sg_engine_close(e);
    sg_model_close(plan);
    sg_model_close(model);
    sg_dev_close(dev);
}

static void test_same_bits(void **state) {
    (void)state;
    static struct seen fp8, rounded, plain;
    for (int t = 0; t < SG_DTYPE_COUNT; t++)
        for (int tied = 0; tied < 2; tied++) {
            struct tiny c = TINY_DEFAULTS;
            c.dtype = (enum sg_dtype)t;
            c.tied = tied;
            tiny_dir(dir);
            tiny_checkpoint(dir, &c);
            look(true, &fp8);
            look(false, &plain);
            write_rounded(&c);
            look(false, &rounded);
            tiny_remove(dir);
            const int64_t saved = plain.bytes - fp8.bytes;
            const bool halved = !strcmp(backend, "cuda");
            rounded.bytes = plain.bytes = fp8.bytes; /* looked at below */
            if (memcmp(&fp8, &rounded, sizeof fp8))
                fail_msg("%s, %s: other bits than with weights rounded beforehand", backend,
                         sg_dtype_name(c.dtype));
            assert_memory_not_equal(fp8.logits, plain.logits, sizeof fp8.logits);
            double change = 0, size = 0;
            for (int i = 0; i < VOCAB; i++) {
                change += pow((double)fp8.logits[i] - (double)plain.logits[i], 2);
                size += pow((double)plain.logits[i], 2);
            }
            assert_true(change < 0.1 * size); /* the same model still */
            if (halved) {                     /* a byte of two for each weight, less a scale for each row */
                const int64_t weights = 2 * (48 * (64 + 32 + 32) + 64 * 48 + 3 * 72 * 48);
                const int64_t rows = 2 * (64 + 32 + 32 + 48 + 2 * 72 + 48);
                assert_int_equal(saved, weights - 4 * rows);
            } else if (t != SG_F32) {
                assert_int_equal(saved, 0); /* host backends hold the rounded weights as bf16 */
            }
        }
}

/* Not the largest finite number: what is no number must stay none, so that a run ends. */
static void test_no_numbers(void **state) {
    (void)state;
    static const uint16_t odd[] = {0x7FC0, 0x7F80, 0xFF80};
    for (int i = 0; i < 3; i++) {
        struct tiny c = TINY_DEFAULTS;
        struct tiny_tensors l = tiny_make(&c);
        memcpy(tiny_find(&l, "layers.1.mlp.down_proj")->data + 2 * 1000, &odd[i], 2);
        tiny_dir(dir);
        tiny_config(dir, &c, NULL);
        tiny_weights(dir, &c, &l);
        tiny_free(&l);
        struct sg_dev *dev = open_device();
        struct sg_model *model = NULL;
        struct sg_engine *e = NULL;
        const struct sg_model_options how = {.max_context = 64, .fp8_weights = true};
        const struct sg_engine_options opt = {.max_batch_tokens = 64,
                                              .kv_cache_bytes = 1 << 18,
                                              .max_context = 64,
                                              .max_samples = 1,
                                              .sampling = {.top_p = 1, .max_new_tokens = 1}};
        const struct sg_engine_hooks hooks = {0};
        const int32_t token = 3;
        float logits[VOCAB];
        struct sg_err why = {0};
        TINY_OK(sg_model_open(dev, dir, &how, &model, err));
        TINY_OK(sg_engine_open(dev, model, &opt, &hooks, &e, err));
        const enum sg_status st = sg_engine_score(e, &token, 1, logits, NULL, &why);
        if (st == SG_OK) fail_msg("weight %04x: logits, the first of them %g", odd[i], (double)logits[0]);
        assert_non_null(strstr(why.text, "NaN or infinite"));
        sg_engine_close(e);
        sg_model_close(model);
        sg_dev_close(dev);
        tiny_remove(dir);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) backend = argv[1];
    const struct sg_dev_options opt = {.backend = backend};
    struct sg_dev *dev = NULL;
    struct sg_err none = {0};
    const enum sg_status st = sg_dev_open(&opt, &dev, &none);
    if (st == SG_E_DEVICE || st == SG_E_USAGE) {
        printf("SKIP: %s\n", none.text);
        return 77;
    }
    sg_dev_close(dev);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_no_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

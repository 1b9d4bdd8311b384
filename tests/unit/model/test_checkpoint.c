#define _GNU_SOURCE /* memmem */
/* Guards: no file of a checkpoint is believed. Each way to break one gives an error that names the file, the
 * tensor and both sides, and never a crash or a model; every good form (shards, prefix, dtypes, heads) loads.
 */
#include "model/digest.h"
#include "model/qwen3.h"
#include "model/safetensors.h"
#include "unit/model/tiny.h"

static struct sg_dev *dev;
static char dir[64];

static int set_up(void **state) {
    (void)state;
    tiny_dir(dir);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tiny_remove(dir);
    return 0;
}

static int open_dev(void **state) {
    (void)state;
    const struct sg_dev_options opt = {.backend = "ref"};
    TINY_OK(sg_dev_open(&opt, &dev, err));
    return 0;
}

static int close_dev(void **state) {
    (void)state;
    sg_dev_close(dev);
    return 0;
}

/* Opening the directory has to fail with all of these pieces in its one line; planning fails alike. */
static void expect_fail(enum sg_status status, const char *a, const char *b, const char *c) {
    for (int planned = 0; planned < 2; planned++) {
        struct sg_err err = {0};
        struct sg_model *m = NULL;
        const struct sg_model_options opt = {.max_context = 64};
        const enum sg_status st =
            planned ? sg_model_plan(dev, dir, &opt, &m, &err) : sg_model_open(dev, dir, &opt, &m, &err);
        assert_null(m);
        if (st != status || !strstr(err.text, a) || !strstr(err.text, b) || !strstr(err.text, c))
            fail_msg("got %s: %s; expected %s with '%s', '%s', '%s'", sg_status_name(st), err.text,
                     sg_status_name(status), a, b, c);
    }
}

static void test_good_forms(void **state) {
    (void)state;
    for (int k = 0; k < 24; k++) {
        struct tiny c = TINY_DEFAULTS;
        c.tied = k % 2;
        c.prefix = k / 2 % 2 || !c.tied;
        c.dtype = (enum sg_dtype)(k % 3);
        c.shards = 1 + k % 4;
        c.nested_rope = k % 2;
        tiny_checkpoint(dir, &c);
        struct sg_model *m = NULL, *plan = NULL;
        TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = 100}, &m, err));
        TINY_OK(sg_model_plan(dev, dir, &(struct sg_model_options){.max_context = 100}, &plan, err));
        assert_int_equal(sg_model_device_bytes(m), sg_model_device_bytes(plan));
        assert_true(sg_model_device_bytes(m) >= sg_model_params(m) * (int64_t)sg_dtype_bytes(c.dtype));
        assert_true(sg_model_loaded(m) && !sg_model_loaded(plan));
        assert_true(sg_model_has_head(m));
        assert_int_equal(sg_model_max_context(m), 100);
        sg_model_close(m);
        sg_model_close(plan);
        tiny_remove(dir);
        tiny_dir(dir);
    }
}

static void test_context(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    struct sg_model *m = NULL;
    struct sg_err why = {0};
    tiny_checkpoint(dir, &c);
    assert_int_equal(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = 2049}, &m, &why),
                     SG_E_INPUT);
    assert_non_null(strstr(why.text, "a context of 2049 tokens; config.json allows 1 to 2048"));
    TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){0}, &m, err));
    assert_int_equal(sg_model_max_context(m), 2048);
    sg_model_close(m);
}

static void test_missing_files(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    expect_fail(SG_E_INPUT, dir, "config.json", "cannot open");
    tiny_config(dir, &c, NULL);
    expect_fail(SG_E_INPUT, dir, "neither model.safetensors", "model.safetensors.index.json");
    c.shards = 3;
    tiny_checkpoint(dir, &c);
    char path[128];
    snprintf(path, sizeof path, "%s/model-00002-of-00003.safetensors", dir);
    assert_int_equal(unlink(path), 0);
    expect_fail(SG_E_INPUT, "model-00002-of-00003.safetensors", "cannot open", "");
    struct sg_model *m = NULL;
    struct sg_err err = {0};
    assert_int_equal(
        sg_model_open(dev, "/nonexistent/model", &(struct sg_model_options){.max_context = 64}, &m, &err),
        SG_E_INPUT);
    assert_non_null(strstr(err.text, "/nonexistent/model: no such model directory"));
}

/* A test spoils the tensors of a good checkpoint. */
static struct tiny_tensors spoil(struct tiny *c) {
    tiny_config(dir, c, NULL);
    return tiny_make(c);
}

static void write_and_expect(struct tiny *c, struct tiny_tensors *l, enum sg_status status, const char *a,
                             const char *b, const char *third) {
    tiny_weights(dir, c, l);
    tiny_free(l);
    expect_fail(status, a, b, third);
}

static void test_wrong_tensors(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    struct tiny_tensors l = spoil(&c);
    struct tiny_tensor *t = tiny_find(&l, "layers.1.mlp.up_proj.weight");
    t->dims[0] = c.hidden;
    t->dims[1] = c.intermediate;
    write_and_expect(&c, &l, SG_E_INPUT, "model.layers.1.mlp.up_proj.weight", "[48, 72]", "[72, 48]");

    l = spoil(&c);
    t = tiny_find(&l, "layers.0.self_attn.q_norm.weight");
    t->n_dims = 2;
    t->dims[1] = 1;
    write_and_expect(&c, &l, SG_E_INPUT, "q_norm.weight has shape [16, 1]", "[16]", "model.safetensors");

    l = spoil(&c);
    t = tiny_find(&l, "layers.0.self_attn.k_proj.weight");
    snprintf(t->dtype, sizeof t->dtype, "I8");
    t->bytes /= 2;
    write_and_expect(&c, &l, SG_E_UNSUPPORTED, "layers.0.self_attn.k_proj.weight is I8", "quantised",
                     "model.safetensors");

    l = spoil(&c);
    t = tiny_find(&l, "layers.0.self_attn.k_proj.weight");
    snprintf(t->dtype, sizeof t->dtype, "F16");
    write_and_expect(&c, &l, SG_E_UNSUPPORTED, "layers.0.self_attn.k_proj.weight is F16", "q_proj", "BF16");

    l = spoil(&c);
    snprintf(tiny_find(&l, "layers.1.input_layernorm")->name, 96, "model.layers.1.input_layernorm.bias");
    write_and_expect(&c, &l, SG_E_INPUT, "tensor model.layers.1.input_layernorm.weight is missing", dir, "");

    l = spoil(&c);
    tiny_add(&l, &c, "model.layers.0.self_attn.q_proj.bias", 64, 0);
    write_and_expect(&c, &l, SG_E_UNSUPPORTED, "model.layers.0.self_attn.q_proj.bias",
                     "no part of a Qwen3 model", "");

    l = spoil(&c);
    tiny_add(&l, &c, "embed_tokens.weight", c.vocab, c.hidden);
    write_and_expect(&c, &l, SG_E_INPUT, "both", "embed_tokens.weight", "model.embed_tokens.weight");

    l = spoil(&c);
    snprintf(tiny_find(&l, "layers.1.mlp.up_proj")->name, 96, "model.layers.1.mlp.gate_proj.weight");
    write_and_expect(&c, &l, SG_E_INPUT, "layers.1.mlp.gate_proj.weight", "model.safetensors", "");
}

static void test_harmless_tensors(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    struct tiny_tensors l = spoil(&c);
    struct sg_model *m = NULL;
    tiny_add(&l, &c, "model.layers.0.self_attn.rotary_emb.inv_freq", 8, 0);
    tiny_add(&l, &c, "lm_head.weight", c.vocab, c.hidden); /* tied: has to be the embedding */
    struct tiny_tensor *head = tiny_find(&l, "lm_head.weight"), *embed = tiny_find(&l, "embed_tokens.weight");
    memcpy(head->data, embed->data, embed->bytes);
    tiny_weights(dir, &c, &l);
    TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = 64}, &m, err));
    sg_model_close(m);
    head->data[5] ^= 1;
    write_and_expect(&c, &l, SG_E_INPUT, "lm_head.weight differs from the embedding",
                     "tie_word_embeddings true", "");
}

/* Bytes of a good file, changed, as model.safetensors. */
static struct sg_buf good_file(struct tiny *c) {
    struct tiny_tensors l = spoil(c);
    struct sg_buf b = tiny_safetensors(l.t, l.n);
    tiny_free(&l);
    return b;
}

static void expect_bytes(const struct sg_buf *b, size_t n, enum sg_status status, const char *a,
                         const char *c) {
    tiny_write(dir, "model.safetensors", b->data, n);
    expect_fail(status, "model.safetensors", a, c);
}

/* With one text of the header replaced by another of the same length. */
static void expect_replaced(struct tiny *c, const char *from, const char *to, enum sg_status status,
                            const char *word, const char *other) {
    struct sg_buf b = good_file(c);
    assert_int_equal(strlen(from), strlen(to));
    char *at = memmem(b.data, b.len, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    expect_bytes(&b, b.len, status, word, other);
    sg_buf_free(&b);
}

static void test_broken_files(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    struct sg_buf b = good_file(&c);
    const size_t head = 8 + ((size_t)(unsigned char)b.data[0] | (size_t)(unsigned char)b.data[1] << 8);
    expect_bytes(&b, 0, SG_E_INPUT, "0 bytes are too few", "");
    expect_bytes(&b, 7, SG_E_INPUT, "7 bytes are too few", "");
    expect_bytes(&b, 8, SG_E_INPUT, "bytes in a file of 8", "");
    expect_bytes(&b, head, SG_E_INPUT, "do not fit the 0 bytes of data", "embed_tokens");
    expect_bytes(&b, b.len - 1, SG_E_INPUT, "is it cut short?", "model.norm.weight");
    TINY_OK(sg_buf_add(&b, "xyz", 3, err));
    expect_bytes(&b, b.len, SG_E_INPUT, "3 bytes after the last tensor", "model.norm.weight");
    sg_buf_free(&b);

    static const unsigned char huge[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const unsigned char large[] = {0, 0, 0, 8, 0, 0, 0, 0};
    b = good_file(&c);
    memcpy(b.data, huge, 8);
    expect_bytes(&b, b.len, SG_E_INPUT, "a header of 18446744073709551615 bytes", "at most 100000000");
    memcpy(b.data, large, 8);
    expect_bytes(&b, b.len, SG_E_INPUT, "a header of 134217728 bytes", "");
    b.data[3] = 0;
    b.data[0] = 100;
    expect_bytes(&b, b.len, SG_E_INPUT, "broken JSON", "");
    sg_buf_free(&b);

    /* the first tensor is [97][48] bf16 at [0, 9312), the second begins there */
    expect_replaced(&c, "[9312, ", "[9310, ", SG_E_INPUT, "q_proj.weight", "span");
    /* a leading zero is no JSON */
    expect_replaced(&c, "\"data_offsets\": [9312, 15456]", "\"data_offsets\": [3168, 09312]", SG_E_INPUT,
                    "broken JSON", "");
    expect_replaced(&c, "\"data_offsets\": [9312, 15456]", "\"data_offsets\": [3168,  9312]", SG_E_INPUT,
                    "overlaps", "q_proj.weight");
    expect_replaced(&c, "\"data_offsets\": [9312, 15456]", "\"data_offsets\": [9313, 15457]", SG_E_INPUT,
                    "1 unused bytes between model.embed_tokens.weight and tensor", "");
    expect_replaced(&c, "\"data_offsets\": [9312, 15456]", "\"data_offsets\": [15456, 9312]", SG_E_INPUT,
                    "data_offsets [15456, 9312]", "");
    expect_replaced(&c, "\"shape\": [97, 48]", "\"shape\": [9e18,8]", SG_E_INPUT,
                    "shape[0] is not a whole number", "embed_tokens");
    expect_replaced(&c, "\"shape\": [97, 48]", "\"shape\": [-7, 48]", SG_E_INPUT,
                    "shape[0] is not a whole number", "embed_tokens");
    expect_replaced(&c, "\"dtype\": \"BF16\"", "\"dtype\": \"BF17\"", SG_E_UNSUPPORTED, "unknown dtype BF17",
                    "embed_tokens");
}

/* Products of a shape beyond size_t, from a header alone. */
static void test_shape_overflow(void **state) {
    (void)state;
    static const char head[] =
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [4503599627370496, 4503599627370496], "
        "\"data_offsets\": [0, 0]}}";
    unsigned char bytes[8 + sizeof head];
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (unsigned char)strlen(head);
    memcpy(bytes + 8, head, strlen(head));
    struct sg_arena arena = {0};
    struct sg_tensor *t = NULL;
    size_t n;
    struct sg_err err = {0};
    assert_int_equal(sg_safetensors_parse(bytes, 8 + strlen(head), "x.safetensors", &arena, &t, &n, &err),
                     SG_E_INPUT);
    assert_non_null(strstr(err.text, "x.safetensors: tensor a: the product of its shape overflows"));
    sg_arena_free(&arena);
}

static void write_index(const char *text) {
    tiny_write(dir, "model.safetensors.index.json", text, strlen(text));
}

static void test_index(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    c.shards = 2;
    tiny_checkpoint(dir, &c);
    struct sg_buf b = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    TINY_OK(sg_file_read(path, 1 << 20, &b, err));
    static const char last[] = "\"model.norm.weight\": \"model-00002-of-00002.safetensors\"";
    char *at = strstr(b.data, last);
    assert_non_null(at);
    char text[8192];

    snprintf(text, sizeof text, "%.*s\"model.norm.weight\": \"model-00001-of-00002.safetensors\"}}",
             (int)(at - b.data), b.data);
    write_index(text);
    expect_fail(SG_E_INPUT, "index.json", "model.norm.weight is in model-00001", "but it is in model-00002");
    snprintf(text, sizeof text, "%.*s%s, \"model.none\": \"model-00001-of-00002.safetensors\"}}",
             (int)(at - b.data), b.data, last);
    write_index(text);
    expect_fail(SG_E_INPUT, "index.json", "tensor model.none is in model-00001", "in no shard");
    snprintf(text, sizeof text, "%.*s\"model.x\": 3}}", (int)(at - b.data), b.data);
    write_index(text);
    expect_fail(SG_E_INPUT, "index.json", "weight_map.model.x", "must name a file");
    snprintf(text, sizeof text, "%.*s\"model.x\": \"../model.safetensors\"}}", (int)(at - b.data), b.data);
    write_index(text);
    expect_fail(SG_E_INPUT, "index.json", "weight_map.model.x", "in the same directory");
    snprintf(text, sizeof text, "%.*s\"model.x\": \"lock\"}}", (int)(at - b.data), b.data);
    write_index(text);
    expect_fail(SG_E_INPUT, "index.json", "weight_map.model.x", "must name a file *.safetensors");
    at[-2] = '}'; /* the entry before the last ends the map: the last tensor is unlisted */
    at[-1] = '}';
    *at = 0;
    write_index(b.data);
    expect_fail(SG_E_INPUT, "index.json", "does not list tensor model.norm.weight", "model-00002");
    write_index("{\"weight_map\": {}}");
    expect_fail(SG_E_INPUT, "index.json", "0 tensors", "");
    write_index("{}");
    expect_fail(SG_E_INPUT, "index.json", "weight_map is missing", "");
    sg_buf_free(&b);
}

static void test_doubled_over_shards(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    struct tiny_tensors l = spoil(&c);
    tiny_add(&l, &c, "model.embed_tokens.weight", c.vocab, c.hidden); /* in the last shard once more */
    c.shards = 2;
    struct sg_buf ix = {0};
    tiny_weights(dir, &c, &l);
    /* the index lists it once, or JSON itself would refuse it */
    TINY_OK(sg_buf_str(&ix, "{\"weight_map\": {", err));
    for (size_t i = 0; i + 1 < l.n; i++)
        TINY_OK(sg_buf_printf(&ix, err, "%s\"%s\": \"model-0000%d-of-00002.safetensors\"", i ? ", " : "",
                              l.t[i].name, i < l.n / 2 ? 1 : 2));
    TINY_OK(sg_buf_str(&ix, "}}", err));
    write_index(ix.data);
    sg_buf_free(&ix);
    tiny_free(&l);
    expect_fail(SG_E_INPUT, "tensor model.embed_tokens.weight stands in", "model-00001-of-00002",
                "model-00002-of-00002");
}

static void test_digest(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    struct sg_digest a, b, d;
    c.shards = 2;
    tiny_checkpoint(dir, &c);
    TINY_OK(sg_model_digest(dir, 1, &a, err));
    TINY_OK(sg_model_digest(dir, 3, &b, err));
    assert_true(sg_digest_equal(a, b));
    tiny_write(dir, "generation_config.json", "{\"eos_token_id\": [3]}", 21);
    TINY_OK(sg_model_digest(dir, 1, &d, err));
    assert_false(sg_digest_equal(a, d));
    c.seed++;
    tiny_checkpoint(dir, &c);
    TINY_OK(sg_model_digest(dir, 1, &b, err));
    assert_false(sg_digest_equal(d, b));
}

/* Random weights: of a config.json alone comes a model as large as its checkpoint would be, the same for one
 * seed and another for the next. */
static void test_random_weights(void **state) {
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct tiny c = TINY_DEFAULTS;
        struct sg_model *m = NULL, *stored = NULL, *plan = NULL;
        struct sg_config shape;
        char path[128];
        c.tied = tied;
        tiny_checkpoint(dir, &c);
        TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = 100}, &stored, err));
        tiny_remove(dir);
        tiny_dir(dir);
        tiny_config(dir, &c, NULL);
        snprintf(path, sizeof path, "%s/config.json", dir);
        TINY_OK(sg_config_shape(tied ? dir : path, &shape, err));
        const struct sg_model_options opt = {.max_context = 100, .random = &shape, .seed = 3};
        TINY_OK(sg_model_open(dev, "a name", &opt, &m, err));
        TINY_OK(sg_model_plan(dev, "a name", &opt, &plan, err));
        assert_string_equal(sg_model_dir(m), "a name");
        assert_int_equal(sg_model_params(m), sg_model_params(stored));
        assert_int_equal(sg_model_device_bytes(m), sg_model_device_bytes(stored));
        assert_int_equal(sg_model_device_bytes(m), sg_model_device_bytes(plan));
        assert_true(sg_model_has_head(m) && sg_model_loaded(m) && !sg_model_loaded(plan));
        sg_model_close(m), sg_model_close(stored), sg_model_close(plan);
    }
}

/* The published shapes: a shape that is wrong in one number has another number of parameters. */
static void test_shapes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t params;
    } published[] = {{"qwen3-0.6b", 596049920}, {"qwen3-1.7b", 1720574976}, {"qwen3-4b", 4022468096},
                     {"qwen3-8b", 8190735360},  {"qwen3-14b", 14768307200}, {"qwen3-32b", 32762123264}};
    struct sg_config c;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct sg_model *m = NULL;
        TINY_OK(sg_config_shape(published[i].name, &c, err));
        TINY_OK(sg_model_plan(dev, published[i].name,
                              &(struct sg_model_options){.max_context = 64, .random = &c}, &m, err));
        assert_int_equal(sg_model_params(m), published[i].params);
        sg_model_close(m);
    }
    struct sg_err why = {0};
    assert_int_equal(sg_config_shape("qwen3-5b", &c, &why), SG_E_INPUT);
    assert_non_null(
        strstr(why.text, "qwen3-5b: no such shape, directory or config.json; expected qwen3-0.6b, "));
    assert_int_equal(sg_config_shape(dir, &c, &why), SG_E_INPUT); /* without a config.json */
    assert_non_null(strstr(why.text, "config.json"));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_good_forms),          T(test_context),      T(test_missing_files),  T(test_wrong_tensors),
        T(test_harmless_tensors),    T(test_broken_files), T(test_shape_overflow), T(test_index),
        T(test_doubled_over_shards), T(test_digest),       T(test_random_weights), T(test_shapes)};
    return cmocka_run_group_tests(tests, open_dev, close_dev);
}

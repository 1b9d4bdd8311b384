/* Guards: the forward pass equals transformers' Qwen3 (expected.json of data/oracle, made by transformers in
 * float32 on the same weights): logits of the last token, log-probabilities of the prompt, greedy
 * continuations, embeddings; and the decode path equals the prefill path. Every host backend is judged. */
#include "base/file.h"
#include "base/json.h"
#include "engine/engine.h"
#include "model/qwen3.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *backend;

struct fixture {
    struct sg_dev *dev;
    struct sg_model *model;
    struct sg_engine *engine;
    cJSON *expected;
    int32_t greedy[256], n_greedy;
};

static void on_done(void *ctx, const struct sg_group_result *r) {
    struct fixture *f = ctx;
    if (r->status != SG_OK) fail_msg("%s", r->err.text);
    assert_int_equal(r->n_samples, 1);
    assert_true(r->samples[0].n_tokens <= 256);
    f->n_greedy = r->samples[0].n_tokens;
    memcpy(f->greedy, r->samples[0].tokens, (size_t)f->n_greedy * sizeof(int32_t));
}

static void open_fixture(struct fixture *f, const char *name, int32_t max_batch_tokens, int32_t max_new) {
    struct sg_err err = {0};
    struct sg_buf text = {0};
    char dir[1024], path[1100];
    snprintf(dir, sizeof dir, "%s/data/oracle/%s", SG_SHARED_DIR, name);
    snprintf(path, sizeof path, "%s/expected.json", dir);
    if (sg_file_read(path, 1 << 26, &text, &err) != SG_OK ||
        sg_json_parse(text.data, text.len, path, 1, &f->expected, &err) != SG_OK)
        fail_msg("%s", err.text);
    sg_buf_free(&text);
    const struct sg_dev_options opt = {.backend = backend, .threads = 2};
    const struct sg_engine_options eng = {
        .max_batch_tokens = max_batch_tokens,
        .kv_cache_bytes = 64 << 20,
        .max_context = 1024,
        .max_samples = 1,
        .sampling = {.temperature = 0, .top_p = 1, .max_new_tokens = max_new, .ignore_eos = true}};
    const struct sg_engine_hooks hooks = {.ctx = f, .on_done = on_done};
    if (sg_dev_open(&opt, &f->dev, &err) != SG_OK ||
        sg_model_open(f->dev, dir, &(struct sg_model_options){.max_context = 1024}, &f->model, &err) !=
            SG_OK ||
        sg_engine_open(f->dev, f->model, &eng, &hooks, &f->engine, &err) != SG_OK)
        fail_msg("%s", err.text);
}

static void close_fixture(struct fixture *f) {
    sg_engine_close(f->engine);
    sg_model_close(f->model);
    sg_dev_close(f->dev);
    cJSON_Delete(f->expected);
}

/* Numbers of an array member; the caller frees. */
static double *numbers(const cJSON *object, const char *key, int *n) {
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsArray(a));
    *n = cJSON_GetArraySize(a);
    double *out = calloc((size_t)*n + 1, sizeof *out);
    int i = 0;
    for (const cJSON *v = a->child; v; v = v->next) out[i++] = v->valuedouble;
    return out;
}

static int32_t *ids_of(const cJSON *c, int *n) {
    double *v = numbers(c, "ids", n);
    int32_t *ids = calloc((size_t)*n + 1, sizeof *ids);
    for (int i = 0; i < *n; i++) ids[i] = (int32_t)v[i];
    free(v);
    return ids;
}

static void check_case(struct fixture *f, const cJSON *c) {
    struct sg_err err = {0};
    int n, n_logits, n_logprobs, n_greedy;
    int32_t *ids = ids_of(c, &n);
    double *want = numbers(c, "last_logits", &n_logits),
           *want_lp = numbers(c, "logprobs_of_prompt", &n_logprobs);
    double *greedy = numbers(c, "greedy", &n_greedy), top = 0;
    float *logits = calloc((size_t)n_logits, sizeof *logits), *lp = calloc((size_t)n, sizeof *lp);
    assert_int_equal(n_logits, sg_model_config(f->model)->vocab);
    assert_int_equal(n_logprobs, n - 1);
    if (sg_engine_score(f->engine, ids, n, logits, lp, &err) != SG_OK) fail_msg("%s", err.text);
    for (int i = 0; i < n_logits; i++) top = fmax(top, fabs(want[i]));
    assert_true(top > 0.5); /* the expectation is not trivial */
    for (int i = 0; i < n_logits; i++)
        if (fabs(logits[i] - want[i]) > 1e-3 * top)
            fail_msg("%d tokens: logit %d is %.6f, expected %.6f (largest %.3f)", n, i, (double)logits[i],
                     want[i], top);
    assert_true(isnan(lp[0]));
    for (int i = 1; i < n; i++)
        if (fabs(lp[i] - want_lp[i - 1]) > 2e-3 * top)
            fail_msg("%d tokens: logprob %d is %.6f, expected %.6f", n, i, (double)lp[i], want_lp[i - 1]);

    const struct sg_stream stream = {1, -1};
    bool busy = true;
    if (sg_engine_submit(f->engine, 7, ids, n, &stream, NULL, 1, &err) != SG_OK) fail_msg("%s", err.text);
    while (busy)
        if (sg_engine_step(f->engine, &busy, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(f->n_greedy, n_greedy);
    for (int i = 0; i < n_greedy; i++) assert_int_equal(f->greedy[i], (int32_t)greedy[i]);

    /* Decode against prefill: the drawn tokens are also the likeliest ones after a prefill of all before. */
    int32_t *longer = calloc((size_t)(n + n_greedy), sizeof *longer);
    memcpy(longer, ids, (size_t)n * sizeof *ids);
    for (int i = 0; i < n_greedy; i++) longer[n + i] = f->greedy[i];
    if (sg_engine_score(f->engine, longer, n + n_greedy - 1, logits, NULL, &err) != SG_OK)
        fail_msg("%s", err.text);
    int best = 0;
    for (int i = 1; i < n_logits; i++)
        if (logits[i] > logits[best]) best = i;
    assert_int_equal(best, f->greedy[n_greedy - 1]);
    free(longer);
    free(ids);
    free(want);
    free(want_lp);
    free(greedy);
    free(logits);
    free(lp);
}

static void check_causal(const char *name) {
    /* a budget below the longest prompt cuts it into chunks, with an odd one at the end */
    const int32_t budgets[] = {512, 48};
    for (int k = 0; k < 2; k++) {
        struct fixture f = {0};
        open_fixture(&f, name, budgets[k], 24);
        int cases = 0;
        for (const cJSON *c = f.expected->child; c; c = c->next, cases++) check_case(&f, c);
        assert_true(cases > 0);
        close_fixture(&f);
    }
}

static void test_tied(void **state) {
    (void)state;
    check_causal("tied-gqa4");
}

static void test_untied_sharded(void **state) {
    (void)state;
    check_causal("untied-sharded");
}

static void test_embedding(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sg_err err = {0};
    open_fixture(&f, "embedding", 64, 1);
    int cases = 0;
    for (const cJSON *c = f.expected->child; c; c = c->next, cases++) {
        int n, width;
        int32_t *ids = ids_of(c, &n);
        double *want = numbers(c, "embedding", &width), largest = 0;
        float *got = calloc((size_t)width, sizeof *got);
        assert_int_equal(width, sg_model_config(f.model)->hidden);
        if (sg_engine_embed(f.engine, ids, n, got, &err) != SG_OK) fail_msg("%s", err.text);
        for (int i = 0; i < width; i++) {
            largest = fmax(largest, fabs(want[i]));
            if (fabs(got[i] - want[i]) > 1e-4)
                fail_msg("%d tokens: component %d is %.6f, expected %.6f", n, i, (double)got[i], want[i]);
        }
        assert_true(largest > 0.05);
        free(ids);
        free(want);
        free(got);
    }
    assert_true(cases > 0);
    close_fixture(&f);
}

int main(int argc, char **argv) {
    backend = argc > 1 ? argv[1] : "cpu";
    if (!sg_dir_exists(SG_SHARED_DIR "/data/oracle")) {
        printf("SKIP: %s/data/oracle is not here\n", SG_SHARED_DIR);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tied), cmocka_unit_test(test_untied_sharded),
                                       cmocka_unit_test(test_embedding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

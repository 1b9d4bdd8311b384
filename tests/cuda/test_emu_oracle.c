/* The whole engine on the emulated cuda backend against transformers (data/oracle): logits, log-probabilities
 * and embeddings within a bf16 bound, greedy tokens equal, and the same bits for every max_batch_tokens.
 *
 * Error model. Weights are bf16 in both; activations are rounded to bf16 (relative u = 2^-9, uniform, so
 * rms u / sqrt 3) at these points of a layer: both norms, q/k/v, q and k after RoPE, the weights p of
 * attention, its result, o, gate and up, their product, down, and the two sums of the residual: 12, taken as
 * independent. A later layer m adds 1/m of the residual's variance; attention hands relative errors on as
 * they are, the MLP, a product of two factors of one input, doubles them, half and half: variance grows by (1
 * - 1/m) + (1 + 4) / 2m = 1 + 1.5/m. With two roundings in the last norm and the head a row's relative error
 * is e = u sqrt((12 sum_l prod_{m > l} (1 + 1.5/m) + 2) / 3), for a logit relative to the rms of the row's
 * logits about their mean. Over rows of 500 and a few cases 5.5 standard deviations are never passed by
 * chance. What is printed at the end tells how much of the bound is used.
 * A greedy token may differ only where transformers itself is torn: its logit within twice the bound. */
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

#ifndef __has_feature
#    define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#    define SLOW 1
#else
#    define SLOW 0
#endif

enum {
    MAX_NEW = 24,
    MAX_PROMPT = 512,
    LONG_PROMPT = SLOW ? 64 : MAX_PROMPT
}; /* sanitizers: the short cases */

struct fixture {
    struct sg_dev *dev;
    struct sg_model *model;
    struct sg_engine *engine;
    int32_t tokens[MAX_NEW], n_tokens;
};
/* Where the reference data is: as configured, or as the environment says (a machine the test was carried to).
 */
static const char *shared_dir(void) {
    const char *dir = getenv("SG_SHARED_DIR");
    return dir ? dir : SG_SHARED_DIR;
}
static double most_used; /* of the bound, over all logits */

static void on_done(void *ctx, const struct sg_group_result *r) {
    struct fixture *f = ctx;
    if (r->status != SG_OK) fail_msg("%s", r->err.text);
    f->n_tokens = r->samples[0].n_tokens;
    memcpy(f->tokens, r->samples[0].tokens, (size_t)f->n_tokens * sizeof(int32_t));
}

static void open_fixture(struct fixture *f, const char *backend, const char *name, int32_t batch_tokens) {
    struct sg_err err = {0};
    char dir[1024];
    snprintf(dir, sizeof dir, "%s/data/oracle/%s", shared_dir(), name);
    const struct sg_dev_options opt = {.backend = backend, .threads = 1};
    const struct sg_engine_options eng = {
        .max_batch_tokens = batch_tokens,
        .kv_cache_bytes = 16 << 20,
        .max_context = 400,
        .max_samples = 1,
        .sampling = {.temperature = 0, .top_p = 1, .max_new_tokens = MAX_NEW, .ignore_eos = true}};
    const struct sg_engine_hooks hooks = {.ctx = f, .on_done = on_done};
    memset(f, 0, sizeof *f);
    if (sg_dev_open(&opt, &f->dev, &err) != SG_OK ||
        sg_model_open(f->dev, dir, &(struct sg_model_options){.max_context = 400}, &f->model, &err) != SG_OK ||
        sg_engine_open(f->dev, f->model, &eng, &hooks, &f->engine, &err) != SG_OK)
        fail_msg("%s", err.text);
}
static void close_fixture(struct fixture *f) {
    sg_engine_close(f->engine);
    sg_model_close(f->model);
    sg_dev_close(f->dev);
}

static cJSON *expected_of(const char *name) {
    struct sg_err err = {0};
    struct sg_buf text = {0};
    cJSON *json = NULL;
    char path[1100];
    snprintf(path, sizeof path, "%s/data/oracle/%s/expected.json", shared_dir(), name);
    if (sg_file_read(path, 1 << 26, &text, &err) != SG_OK ||
        sg_json_parse(text.data, text.len, path, 1, &json, &err) != SG_OK)
        fail_msg("%s", err.text);
    sg_buf_free(&text);
    return json;
}
static int numbers(const cJSON *object, const char *key, double *out, int max) {
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsArray(a));
    int n = 0;
    for (const cJSON *v = a->child; v; v = v->next, n++) {
        assert_true(n < max);
        out[n] = v->valuedouble;
    }
    return n;
}

static double relative_error(const struct sg_model *m) {
    double squares = 0;
    for (int l = 1; l <= sg_model_config(m)->layers; l++) squares = squares * (1 + 1.5 / l) + 12;
    return 0x1p-9 * sqrt((squares + 2) / 3);
}
/* Rms about the mean. */
static double spread(const double *x, int n) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += x[i], squares += x[i] * x[i];
    return sqrt(squares / n - sum / n * (sum / n));
}

static void score(struct fixture *f, const int32_t *ids, int n, float *logits, float *logprobs) {
    struct sg_err err = {0};
    if (sg_engine_score(f->engine, ids, n, logits, logprobs, &err) != SG_OK) fail_msg("%s", err.text);
}

/* The first token that differs: the reference must be torn between the two. */
static void check_torn(struct fixture *ref, const int32_t *ids, int n, int32_t want, int32_t got,
                       double bound) {
    static float logits[4096];
    score(ref, ids, n, logits, NULL);
    const double gap = (double)logits[want] - logits[got];
    if (gap > 2 * bound)
        fail_msg("after %d tokens: greedy %d, expected %d, whose logit is %.4f larger (bound %.4f)", n, got,
                 want, gap, bound);
}

static void check_case(struct fixture *f, struct fixture *ref, const cJSON *c) {
    static double v[4096], want[4096], want_lp[MAX_PROMPT], greedy[MAX_NEW];
    static float logits[4096], lp[MAX_PROMPT];
    int32_t ids[MAX_PROMPT + MAX_NEW];
    const int n = numbers(c, "ids", v, MAX_PROMPT), vocab = numbers(c, "last_logits", want, 4096);
    const int n_lp = numbers(c, "logprobs_of_prompt", want_lp, MAX_PROMPT);
    const int n_greedy = numbers(c, "greedy", greedy, MAX_NEW);
    for (int i = 0; i < n; i++) ids[i] = (int32_t)v[i];
    const double bound = 5.5 * relative_error(f->model) * spread(want, vocab);
    score(f, ids, n, logits, lp);
    for (int i = 0; i < vocab; i++) {
        const double off = fabs(logits[i] - want[i]);
        most_used = fmax(most_used, off / bound);
        if (!(off <= bound))
            fail_msg("%d tokens: logit %d is %.5f, expected %.5f +- %.5f", n, i, (double)logits[i], want[i],
                     bound);
    }
    /* a log-probability is a logit less a smooth maximum of all: both may be off */
    for (int i = 0; i < n_lp; i++)
        if (!(fabs(lp[i + 1] - want_lp[i]) <= 2 * bound))
            fail_msg("%d tokens: logprob %d is %.5f, expected %.5f +- %.5f", n, i + 1, (double)lp[i + 1],
                     want_lp[i], 2 * bound);
    const uint64_t key = 1;
    struct sg_err err = {0};
    bool busy = true;
    if (sg_engine_submit(f->engine, 1, ids, n, &key, NULL, 1, &err) != SG_OK) fail_msg("%s", err.text);
    while (busy)
        if (sg_engine_step(f->engine, &busy, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(f->n_tokens, n_greedy);
    for (int i = 0; i < n_greedy; i++) {
        if (f->tokens[i] != (int32_t)greedy[i]) {
            check_torn(ref, ids, n + i, (int32_t)greedy[i], f->tokens[i], bound);
            print_message(
                "%d tokens: greedy follows transformers for %d of %d, then takes the other of two\n", n, i,
                n_greedy);
            break; /* from here on the texts are different ones */
        }
        ids[n + i] = f->tokens[i];
    }
}

static void check_model(const char *name) {
    struct fixture f, ref;
    cJSON *expected = expected_of(name);
    int cases = 0;
    open_fixture(&f, "cuda", name, 96);
    open_fixture(&ref, "ref", name, 96);
    for (const cJSON *c = expected->child; c; c = c->next)
        if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(c, "ids")) <= LONG_PROMPT) {
            check_case(&f, &ref, c);
            cases++;
        }
    assert_true(cases > 0);
    close_fixture(&f);
    close_fixture(&ref);
    cJSON_Delete(expected);
    print_message("%s: %.0f %% of the bound used\n", name, 100 * most_used);
    most_used = 0;
}
static void test_tied(void **state) {
    (void)state;
    check_model("tied-gqa4");
}
static void test_untied_sharded(void **state) {
    (void)state;
    if (SLOW) skip(); /* the same code as the tied model's, and minutes */
    check_model("untied-sharded");
}

static void test_embedding(void **state) {
    (void)state;
    static double v[MAX_PROMPT], want[4096];
    float got[4096];
    struct fixture f;
    cJSON *expected = expected_of("embedding");
    open_fixture(&f, "cuda", "embedding", 96);
    for (const cJSON *c = expected->child; c; c = c->next) {
        int32_t ids[MAX_PROMPT];
        struct sg_err err = {0};
        const int n = numbers(c, "ids", v, MAX_PROMPT), width = numbers(c, "embedding", want, 4096);
        for (int i = 0; i < n; i++) ids[i] = (int32_t)v[i];
        if (sg_engine_embed(f.engine, ids, n, got, &err) != SG_OK) fail_msg("%s", err.text);
        const double bound = 5.5 * relative_error(f.model) / sqrt(width); /* of a vector of length 1 */
        for (int i = 0; i < width; i++)
            if (!(fabs(got[i] - want[i]) <= bound + 2 * 0x1p-9 * fabs(want[i])))
                fail_msg("%d tokens: component %d is %.5f, expected %.5f +- %.5f", n, i, (double)got[i],
                         want[i], bound);
    }
    close_fixture(&f);
    cJSON_Delete(expected);
}

/* A prompt in one piece, in pieces of 16 and of 40 rows: the same bits. */
static void test_batch_tokens(void **state) {
    (void)state;
    static float whole[512], pieces[512], lp_whole[150], lp_pieces[150];
    int32_t ids[150];
    struct fixture f;
    for (int i = 0; i < 150; i++) ids[i] = (i * 37 + i * i) % 509;
    open_fixture(&f, "cuda", "tied-gqa4", 256);
    score(&f, ids, 150, whole, lp_whole);
    close_fixture(&f);
    static const int32_t budgets[] = {16, 40};
    for (int b = 0; b < 2; b++) {
        open_fixture(&f, "cuda", "tied-gqa4", budgets[b]);
        score(&f, ids, 150, pieces, lp_pieces);
        close_fixture(&f);
        assert_memory_equal(pieces, whole, sizeof whole);
        assert_memory_equal(lp_pieces + 1, lp_whole + 1, sizeof lp_whole - sizeof *lp_whole);
    }
}

int main(void) {
    const struct sg_dev_options cuda = {.backend = "cuda"};
    struct sg_dev *dev = NULL;
    struct sg_err none = {0};
    if (sg_dev_open(&cuda, &dev, &none) == SG_E_DEVICE) {
        printf("SKIP: %s\n", none.text);
        return 77;
    }
    sg_dev_close(dev);
    char oracle[1100];
    snprintf(oracle, sizeof oracle, "%s/data/oracle", shared_dir());
    if (!sg_dir_exists(oracle)) {
        printf("SKIP: %s is not here\n", oracle);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tied), cmocka_unit_test(test_untied_sharded),
                                       cmocka_unit_test(test_embedding), cmocka_unit_test(test_batch_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

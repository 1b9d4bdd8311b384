/* The whole engine on the emulated cuda backend against transformers (data/oracle, float32): logits,
 * log-probabilities and embeddings within a bf16 bound, greedy tokens, and the same bits for every
 * max_batch_tokens.
 *
 * Error model: bf16_error.py derives it, rounding by rounding, from the kernels and the reference's own
 * numbers, nothing fitted, and shows it beside measurements (within 1.0 to 1.3 of them on these checkpoints,
 * 1.0 to 1.7 on random ones of up to 12 layers). `predicted` is what it says for these cases; the test
 * cuda_bf16_error compares. An error is Gaussian enough: a sum of thousands of roundings. The bound on a
 * number is 5 standard deviations (passed by chance once in 300 runs of all 6,000 numbers, had we other
 * roundings each time) times 2 for what the model leaves out, that errors of neighbouring rows are alike. The
 * rms over a row, which a kernel with one rounding too many shows in, may be twice the predicted.
 *
 * Greedy tokens: of the 192 steps here none has its two best logits closer than one standard deviation of
 * their difference (the closest: 1.1), and by chance 0.4 steps should differ. A step that differs must be such
 * a toss, by less than 4 of those deviations (times 2); then the reference's token is taken and the comparison
 * goes on, so that all 192 count.
 *
 * In float32 all 192 must be equal. Its errors come the same way through the same network, of roundings that
 * are 2^16 times smaller: but where bf16 rounds a sum of K products once, its partial sums in float32 having
 * no part in it, float32 rounds all K, and a partial sum of k random terms is sqrt(k / K) of the whole: like
 * one rounding sqrt(K / 2) times as large. K is at most the longest sum of the checkpoint. The reference,
 * float32 as well, has errors of its own, independent of ours: sqrt(2). So sigma is float32_of(K) times that
 * of bf16. */
#include "base/file.h"
#include "base/json.h"
#include "engine/engine.h"
#include "model/qwen3.h"
#include "tests/cuda/skip.h"

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
    bool f32;
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
/* Of the bound, over all logits; of the predicted rms, over all rows. */
static double most_used, most_rms;
static int steps, torn; /* greedy steps, and those where the reference's other choice was taken */

/* bf16_error.py prints these lines. last: the relative error of the last row, rms; most: the largest of a
 * row's logits, absolute. */
static const struct prediction {
    const char *checkpoint;
    int32_t tokens;
    double last, most;
} predicted[] = {
    {"tied-gqa4", 1, 0.00561, 0.00379},       {"tied-gqa4", 7, 0.00649, 0.00489},
    {"tied-gqa4", 64, 0.00645, 0.00519},      {"tied-gqa4", 301, 0.00606, 0.00581},
    {"untied-sharded", 1, 0.00475, 0.00306},  {"untied-sharded", 7, 0.00417, 0.00315},
    {"untied-sharded", 64, 0.00452, 0.00315}, {"untied-sharded", 301, 0.00425, 0.00371},
    {"embedding", 1, 0.00476, 0.00329},       {"embedding", 7, 0.00546, 0.00487},
    {"embedding", 64, 0.00725, 0.00724},      {"embedding", 301, 0.00851, 0.0082},
};
enum { SAFETY = 2 }; /* errors of keys that are alike */

static void on_done(void *ctx, const struct sg_group_result *r) {
    struct fixture *f = ctx;
    if (r->status != SG_OK) fail_msg("%s", r->err.text);
    f->n_tokens = r->samples[0].n_tokens;
    memcpy(f->tokens, r->samples[0].tokens, (size_t)f->n_tokens * sizeof(int32_t));
}

static void open_fixture(struct fixture *f, const char *backend, enum sg_precision precision,
                         const char *name, int32_t batch_tokens) {
    struct sg_err err = {0};
    char dir[1024];
    snprintf(dir, sizeof dir, "%s/data/oracle/%s", shared_dir(), name);
    const struct sg_dev_options opt = {.backend = backend, .threads = 1, .precision = precision};
    const struct sg_engine_options eng = {
        .max_batch_tokens = batch_tokens,
        .kv_cache_bytes = 16 << 20,
        .max_context = 400,
        .max_samples = 1,
        .sampling = {.temperature = 0, .top_p = 1, .max_new_tokens = MAX_NEW, .ignore_eos = true}};
    const struct sg_engine_hooks hooks = {.ctx = f, .on_done = on_done};
    memset(f, 0, sizeof *f);
    if (sg_dev_open(&opt, &f->dev, &err) != SG_OK ||
        sg_model_open(f->dev, dir, &(struct sg_model_options){.max_context = 400}, &f->model, &err) !=
            SG_OK ||
        sg_engine_open(f->dev, f->model, &eng, &hooks, &f->engine, &err) != SG_OK)
        fail_msg("%s", err.text);
    f->f32 = precision == SG_PRECISION_FLOAT32;
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

static const struct prediction *prediction_of(const char *checkpoint, int32_t tokens) {
    for (size_t i = 0; i < sizeof predicted / sizeof *predicted; i++)
        if (predicted[i].tokens == tokens && !strcmp(predicted[i].checkpoint, checkpoint))
            return predicted + i;
    fail_msg("%s, %d tokens: bf16_error.py has not said what to expect", checkpoint, tokens);
    return NULL;
}
/* Of the errors in bf16, what float32 leaves (above). */
static double float32_of(const struct sg_model *m) {
    const struct sg_config *c = sg_model_config(m);
    double longest = fmax(fmax(c->hidden, c->intermediate), (double)c->q_heads * c->head_dim);
    longest = fmax(longest, MAX_PROMPT); /* attention */
    return 0x1p-16 * sqrt(longest / 2) * sqrt(2);
}
static double scale_of(const struct fixture *f) {
    return f->f32 ? float32_of(f->model) : 1;
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

/* Greedy answers to ids, which has room for them: they are those of transformers, but where it is torn. */
static void check_greedy(struct fixture *f, struct fixture *ref, int32_t *ids, int n, const double *want,
                         int n_want, double sigma) {
    static float logits[4096];
    struct sg_err err = {0};
    for (int at = 0; at < n_want;) {
        const struct sg_stream stream = {1, -1};
        bool busy = true;
        if (sg_engine_submit(f->engine, 1, ids, n + at, &stream, NULL, 1, &err) != SG_OK)
            fail_msg("%s", err.text);
        while (busy)
            if (sg_engine_step(f->engine, &busy, &err) != SG_OK) fail_msg("%s", err.text);
        assert_int_equal(f->n_tokens, MAX_NEW);
        bool same = true;
        for (int i = 0; same && at < n_want; i++, at++) {
            const int32_t expected = (int32_t)want[at], got = f->tokens[i];
            same = got == expected;
            steps++;
            if (!same) {
                score(ref, ids, n + at, logits, NULL);
                const double gap = (double)logits[expected] - logits[got];
                if (f->f32 || gap > 4 * SAFETY * sqrt(2) * sigma)
                    fail_msg(
                        "after %d tokens: greedy %d, expected %d, whose logit is %.5f larger (sigma %.5f)",
                        n + at, got, expected, gap, sigma);
                print_message(
                    "%d tokens, step %d: the other of two logits %.5f apart (sigma of that: %.5f)\n", n, at,
                    gap, sqrt(2) * sigma);
                torn++;
            }
            ids[n + at] = expected;
        }
    }
}

static void check_case(struct fixture *f, struct fixture *ref, const char *checkpoint, const cJSON *c) {
    static double v[4096], want[4096], want_lp[MAX_PROMPT], greedy[MAX_NEW];
    static float logits[4096], lp[MAX_PROMPT];
    int32_t ids[MAX_PROMPT + MAX_NEW];
    const int n = numbers(c, "ids", v, MAX_PROMPT), vocab = numbers(c, "last_logits", want, 4096);
    const int n_lp = numbers(c, "logprobs_of_prompt", want_lp, MAX_PROMPT);
    const int n_greedy = numbers(c, "greedy", greedy, MAX_NEW);
    for (int i = 0; i < n; i++) ids[i] = (int32_t)v[i];
    const struct prediction *p = prediction_of(checkpoint, n);
    const double scale = scale_of(f);
    const double sigma = scale * p->last * spread(want, vocab), bound = 5 * SAFETY * sigma;
    double squares = 0;
    score(f, ids, n, logits, lp);
    for (int i = 0; i < vocab; i++) {
        const double off = fabs(logits[i] - want[i]);
        squares += off * off;
        most_used = fmax(most_used, off / bound);
        if (!(off <= bound))
            fail_msg("%d tokens: logit %d is %.8f, expected %.8f +- %.8f", n, i, (double)logits[i], want[i],
                     bound);
    }
    const double rms = sqrt(squares / vocab);
    most_rms = fmax(most_rms, rms / sigma);
    if (!(rms <= SAFETY * sigma))
        fail_msg("%d tokens: logits are off by %.8f rms, predicted %.8f", n, rms, sigma);
    /* a log-probability is a logit less a smooth maximum of all: both are off, independently */
    for (int i = 0; i < n_lp; i++)
        if (!(fabs(lp[i + 1] - want_lp[i]) <= sqrt(2) * 5 * SAFETY * scale * p->most))
            fail_msg("%d tokens: logprob %d is %.8f, expected %.8f +- %.8f", n, i + 1, (double)lp[i + 1],
                     want_lp[i], sqrt(2) * 5 * SAFETY * scale * p->most);
    assert_int_equal(n_greedy, MAX_NEW);
    check_greedy(f, ref, ids, n, greedy, n_greedy, sigma);
}

static void check_model(const char *name, enum sg_precision precision) {
    struct fixture f, ref;
    cJSON *expected = expected_of(name);
    int cases = 0;
    open_fixture(&f, "cuda", precision, name, 96);
    open_fixture(&ref, "ref", SG_PRECISION_AUTO, name, 96);
    for (const cJSON *c = expected->child; c; c = c->next)
        if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(c, "ids")) <= LONG_PROMPT) {
            check_case(&f, &ref, name, c);
            cases++;
        }
    assert_true(cases > 0);
    close_fixture(&f);
    close_fixture(&ref);
    cJSON_Delete(expected);
    print_message("%s: %.0f %% of the bound used, rms %.2f of the predicted, %d of %d greedy steps equal\n",
                  name, 100 * most_used, most_rms, steps - torn, steps);
    /* 0.4 by chance over all cases, with errors twice as large about 1 (Poisson): more than 4 once in 270. */
    assert_true(torn <= 4);
    most_used = most_rms = 0;
    steps = torn = 0;
}
static void test_tied(void **state) {
    (void)state;
    check_model("tied-gqa4", SG_PRECISION_AUTO);
}
static void test_tied_float32(void **state) {
    (void)state;
    check_model("tied-gqa4", SG_PRECISION_FLOAT32);
}
static void test_untied_sharded(void **state) {
    (void)state;
    if (SLOW) skip(); /* the same code as the tied model's, and minutes */
    check_model("untied-sharded", SG_PRECISION_BF16);
}
static void test_untied_sharded_float32(void **state) {
    (void)state;
    if (SLOW) skip();
    check_model("untied-sharded", SG_PRECISION_FLOAT32);
}

static void check_embedding(enum sg_precision precision) {
    static double v[MAX_PROMPT], want[4096];
    float got[4096];
    struct fixture f;
    cJSON *expected = expected_of("embedding");
    open_fixture(&f, "cuda", precision, "embedding", 96);
    for (const cJSON *c = expected->child; c; c = c->next) {
        int32_t ids[MAX_PROMPT];
        struct sg_err err = {0};
        const int n = numbers(c, "ids", v, MAX_PROMPT), width = numbers(c, "embedding", want, 4096);
        for (int i = 0; i < n; i++) ids[i] = (int32_t)v[i];
        if (sg_engine_embed(f.engine, ids, n, got, &err) != SG_OK) fail_msg("%s", err.text);
        /* of a vector of length 1 */
        const double scale = scale_of(&f), sigma = scale * prediction_of("embedding", n)->last / sqrt(width);
        double squares = 0;
        for (int i = 0; i < width; i++) {
            /* the last rounding is in proportion to the component: for a large one it counts apart */
            const double off = fabs(got[i] - want[i]);
            const double bound = 5 * SAFETY * sigma + (f.f32 ? 0x1p-23 : 0x1p-8) * fabs(want[i]);
            squares += off * off;
            if (!(off <= bound))
                fail_msg("%d tokens: component %d is %.8f, expected %.8f +- %.8f", n, i, (double)got[i],
                         want[i], bound);
        }
        most_rms = fmax(most_rms, sqrt(squares / width) / sigma);
        if (!(sqrt(squares / width) <= SAFETY * sigma))
            fail_msg("%d tokens: off by %.8f rms, predicted %.8f", n, sqrt(squares / width), sigma);
    }
    print_message("embedding: rms %.2f of the predicted\n", most_rms);
    most_rms = 0;
    close_fixture(&f);
    cJSON_Delete(expected);
}
static void test_embedding(void **state) {
    (void)state;
    check_embedding(SG_PRECISION_AUTO);
}
static void test_embedding_float32(void **state) {
    (void)state;
    check_embedding(SG_PRECISION_FLOAT32);
}

/* A prompt in one piece, in pieces of 16 and of 40 rows: the same bits. */
static void check_batch_tokens(enum sg_precision precision) {
    static float whole[512], pieces[512], lp_whole[150], lp_pieces[150];
    int32_t ids[150];
    struct fixture f;
    for (int i = 0; i < 150; i++) ids[i] = (i * 37 + i * i) % 509;
    open_fixture(&f, "cuda", precision, "tied-gqa4", 256);
    score(&f, ids, 150, whole, lp_whole);
    close_fixture(&f);
    static const int32_t budgets[] = {16, 40};
    for (int b = 0; b < 2; b++) {
        open_fixture(&f, "cuda", precision, "tied-gqa4", budgets[b]);
        score(&f, ids, 150, pieces, lp_pieces);
        close_fixture(&f);
        assert_memory_equal(pieces, whole, sizeof whole);
        assert_memory_equal(lp_pieces + 1, lp_whole + 1, sizeof lp_whole - sizeof *lp_whole);
    }
}
static void test_batch_tokens(void **state) {
    (void)state;
    check_batch_tokens(SG_PRECISION_AUTO);
    check_batch_tokens(SG_PRECISION_FLOAT32);
}

int main(void) {
    if (no_cuda()) return 77;
    char oracle[1100];
    snprintf(oracle, sizeof oracle, "%s/data/oracle", shared_dir());
    if (!sg_dir_exists(oracle)) {
        printf("SKIP: %s is not here\n", oracle);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tied),
                                       cmocka_unit_test(test_untied_sharded),
                                       cmocka_unit_test(test_embedding),
                                       cmocka_unit_test(test_batch_tokens),
                                       cmocka_unit_test(test_tied_float32),
                                       cmocka_unit_test(test_untied_sharded_float32),
                                       cmocka_unit_test(test_embedding_float32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

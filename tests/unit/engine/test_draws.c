/* Protects: means over the samples of a cell are unbiased with both kinds of draws, and err less with
 * stratified ones. A toy language model of four words and an end, whose next word depends on the last; the
 * expectations are sums over all its answers, by code that does not share the sampler's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rng.h"
#include "engine/engine.h"
#include "kernels/kernels.h"
#include <stdio.h>

enum { WORDS = 5, END = 4, LONGEST = 6, SAMPLES = 8, REPLICATES = 10000, DRAWS = REPLICATES * SAMPLES };

/* Row: the last word (END: none yet). No two sums of probabilities are near a top_p below. */
static const float LOGITS[WORDS][WORDS] = {{1.0f, 0.3f, -0.4f, -1.1f, 0.2f},
                                           {-0.5f, 1.4f, 0.6f, -0.2f, 0.9f},
                                           {0.8f, -0.9f, 0.1f, 1.2f, -0.1f},
                                           {-1.3f, 0.4f, 1.1f, 0.7f, 0.5f},
                                           {0.9f, 0.0f, 0.5f, -0.6f, -2.0f}};
/* What an answer says: "p" by its last word, and its number of words. */
static const double P_OF[WORDS] = {0.9, 0.55, 0.3, 0.05, 0.5};
struct saying {
    double p, length;
};

static const struct sg_draw_settings SETTINGS[] = {{1, 1, 0}, {0.7f, 1, 3}, {1.5f, 0.8f, 0}, {0.6f, 0.9f, 4}};

/* ---- by enumeration ----------------------------------------------------------------------------------- */

/* Probability of each word after `last`: a word is kept if fewer than top_k are likelier and those likelier
 * sum to less than top_p of what top_k keeps. */
static void next_word(const struct sg_draw_settings *s, int last, double p[WORDS]) {
    double w[WORDS], kept = 0, sum = 0;
    int before[WORDS] = {0};
    for (int i = 0; i < WORDS; i++) {
        w[i] = exp((double)LOGITS[last][i] / (double)s->temperature);
        for (int j = 0; j < WORDS; j++) before[i] += LOGITS[last][j] > LOGITS[last][i];
        if (s->top_k && before[i] >= s->top_k) w[i] = 0;
        kept += w[i];
    }
    for (int i = 0; i < WORDS; i++) {
        double ahead = 0;
        for (int j = 0; j < WORDS; j++) ahead += LOGITS[last][j] > LOGITS[last][i] ? w[j] : 0;
        p[i] = ahead < (double)s->top_p * kept ? w[i] : 0;
        sum += p[i];
    }
    for (int i = 0; i < WORDS; i++) p[i] /= sum;
}

static struct saying expected(const struct sg_draw_settings *s, int last, int length) {
    struct saying e = {P_OF[last], length};
    double p[WORDS];
    if (length == LONGEST) return e;
    next_word(s, last, p);
    e.p *= p[END], e.length *= p[END];
    for (int i = 0; i < END; i++) {
        if (p[i] <= 0) continue;
        const struct saying next = expected(s, i, length + 1);
        e.p += p[i] * next.p, e.length += p[i] * next.length;
    }
    return e;
}

/* ---- by sampling -------------------------------------------------------------------------------------- */

struct tally {
    double sum, squares;
};
static void tally(struct tally *t, double x) {
    t->sum += x, t->squares += x * x;
}
static double mean_of(const struct tally *t) {
    return t->sum / REPLICATES;
}
static double variance_of(const struct tally *t) {
    return (t->squares - t->sum * mean_of(t)) / (REPLICATES - 1);
}

struct device {
    struct sg_dev *dev;
    float *logits, *u;
    int32_t *row, *setting, *token;
    struct sg_draw_settings *settings;
};

#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct sg_err err = {0};                                                                             \
        if ((call) != SG_OK) fail_msg("%s", err.text);                                                       \
    } while (0)

static void *on_device(struct sg_dev *dev, const void *host, size_t bytes) {
    void *p = NULL;
    OK(sg_dev_alloc(dev, bytes, "toy", &p, &err));
    if (host) OK(sg_dev_upload(dev, p, host, bytes, &err));
    return p;
}

/* All samples of all replicates, one position after the other; m[0] of p, m[1] of length: over the first half
 * of each replicate's samples and over all. */
static void sample(const struct device *d, bool stratified, const struct sg_draw_settings *s,
                   struct tally m[2][2]) {
    static struct sg_stream stream[DRAWS];
    static int32_t last[DRAWS], length[DRAWS], token[DRAWS];
    static float u[DRAWS];
    for (int i = 0; i < DRAWS; i++) {
        char query[16];
        snprintf(query, sizeof query, "q%d", i / SAMPLES);
        stream[i] = sg_sample_stream(stratified, 20260, query, "m", i % SAMPLES);
        last[i] = END, length[i] = 0;
    }
    for (uint32_t pos = 0; pos < LONGEST; pos++) {
        for (int i = 0; i < DRAWS; i++) u[i] = sg_stream_uniform(&stream[i], pos);
        OK(sg_dev_upload(d->dev, d->row, last, sizeof last, &err));
        OK(sg_dev_upload(d->dev, d->u, u, sizeof u, &err));
        const struct sg_sample_args a = {.logits = d->logits,
                                         .n_rows = WORDS,
                                         .vocab = WORDS,
                                         .n = DRAWS,
                                         .row = d->row,
                                         .u = d->u,
                                         .setting = d->setting,
                                         .settings = d->settings,
                                         .host_settings = s,
                                         .n_settings = 1,
                                         .token = d->token};
        OK(sg_op_sample(d->dev, &a, &err));
        OK(sg_dev_download(d->dev, token, d->token, sizeof token, &err));
        OK(sg_dev_sync(d->dev, &err));
        for (int i = 0; i < DRAWS; i++) {
            if (length[i] < (int32_t)pos) continue; /* it has ended */
            assert_true(token[i] >= 0 && token[i] < WORDS);
            if (token[i] == END) continue;
            last[i] = token[i];
            length[i]++;
        }
    }
    for (int r = 0; r < REPLICATES; r++) {
        double p = 0, words = 0;
        for (int k = 0; k < SAMPLES; k++) {
            p += P_OF[last[r * SAMPLES + k]], words += length[r * SAMPLES + k];
            if (k + 1 != SAMPLES / 2 && k + 1 != SAMPLES) continue;
            tally(&m[0][k == SAMPLES - 1], p / (k + 1));
            tally(&m[1][k == SAMPLES - 1], words / (k + 1));
        }
    }
}

static void means_are_unbiased(void **state) {
    (void)state;
    static const int32_t zeros[DRAWS];
    struct device d = {0};
    double ratios = 0;
    int n_ratios = 0;
    const struct sg_dev_options opt = {.backend = "ref"};
    OK(sg_dev_open(&opt, &d.dev, &err));
    const struct sg_limits lim = {.max_rows = WORDS,
                                  .max_decode_rows = WORDS,
                                  .max_logit_rows = WORDS,
                                  .max_draws = DRAWS,
                                  .max_context = 16,
                                  .q_heads = 1,
                                  .kv_heads = 1,
                                  .head_dim = 8,
                                  .hidden = 8,
                                  .intermediate = 8,
                                  .vocab = WORDS};
    OK(sg_dev_reserve(d.dev, &lim, &err));
    d.logits = on_device(d.dev, LOGITS, sizeof LOGITS);
    d.u = on_device(d.dev, NULL, sizeof(float) * DRAWS);
    d.row = on_device(d.dev, NULL, sizeof zeros);
    d.setting = on_device(d.dev, zeros, sizeof zeros);
    d.token = on_device(d.dev, NULL, sizeof zeros);
    for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS; s++) {
        const struct saying exact = expected(&SETTINGS[s], END, 0);
        double variance[2][2][2]; /* [stratified][p, length][4, 8 samples] */
        d.settings = on_device(d.dev, &SETTINGS[s], sizeof *SETTINGS);
        for (int kind = 0; kind < 2; kind++) {
            struct tally m[2][2] = {{{0}}};
            sample(&d, kind, &SETTINGS[s], m);
            for (int what = 0; what < 2; what++)
                for (int all = 0; all < 2; all++) {
                    const double want = what ? exact.length : exact.p, got = mean_of(&m[what][all]);
                    variance[kind][what][all] = variance_of(&m[what][all]);
                    const double error = sqrt(variance[kind][what][all] / REPLICATES);
                    if (!(fabs(got - want) <= 4 * error))
                        fail_msg(
                            "settings %d, %s, %s of %d samples: %.5f, expected %.5f, standard error %.5f",
                            (int)s, kind ? "stratified" : "independent", what ? "length" : "p",
                            all ? SAMPLES : SAMPLES / 2, got, want, error);
                }
        }
        for (int what = 0; what < 2; what++)
            for (int all = 0; all < 2; all++)
                ratios += variance[1][what][all] / variance[0][what][all], n_ratios++;
        sg_dev_free(d.dev, d.settings);
    }
    /* 0.85; independent samples would give 1.00 with a standard error of 0.01 */
    if (!(ratios / n_ratios < 0.9)) fail_msg("stratified draws have %.2f of the variance", ratios / n_ratios);
    sg_dev_free(d.dev, d.logits);
    sg_dev_free(d.dev, d.u);
    sg_dev_free(d.dev, d.row);
    sg_dev_free(d.dev, d.setting);
    sg_dev_free(d.dev, d.token);
    sg_dev_close(d.dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(means_are_unbiased)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

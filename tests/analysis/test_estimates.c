/* Protects: the estimates that decisions are made with. They keep the anchors' means, take signal and leave
 * noise, and models and categories without outcomes do no harm. tests/analysis/decision_check.py fits the
 * regressions anew. */
#include "analysis/decision.h"
#include "decision_world.h"
#include "fake.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct sg_estimate_fit fitted(const struct world *w, enum sg_estimate kind) {
    struct sg_estimate_fit f = {0};
    const struct sg_estimate_fit_input in = {.m = w->m,
                                             .n_categories = w->c,
                                             .price_output = w->price,
                                             .queries = &w->rows[0],
                                             .calibration = &w->rows[1],
                                             .anchors = &w->known[1]};
    assert_int_equal(sg_estimate_fit_make(&in, kind, &f, NULL), SG_OK);
    return f;
}

/* Estimates of all queries, and their means by category and model. */
static void applied(const struct world *w, enum sg_estimate kind, double *p, double *length, double *cost) {
    struct sg_estimate_fit f = fitted(w, kind);
    sg_estimate_fit_apply(&f, &w->rows[0], w->price, 0, w->n, p, length, cost);
    sg_estimate_fit_free(&f);
}

static double p_of[CELLS], length_of[CELLS], cost_of[CELLS], p_other[CELLS], length_other[CELLS];

static void anchored_keeps_the_anchors_means(void **state) {
    (void)state;
    struct world *w = world_make(120, 90, 40, 4, 3, 0.7, 0.5, 11);
    for (int64_t i = 0; i < w->n * w->m; i += 17) w->p[0][i] = w->length[0][i] = (double)NAN;
    world_link(w);
    for (int kind = SG_ESTIMATE_SCOPE; kind < SG_ESTIMATES; kind++) {
        struct sg_estimate_fit f = fitted(w, (enum sg_estimate)kind);
        sg_estimate_fit_apply(&f, &w->rows[0], w->price, 0, w->n, p_of, length_of, cost_of);
        for (int32_t c = 0; c < w->c; c++)
            for (int32_t k = 0; k < w->m; k++) {
                const int64_t at = (int64_t)c * w->m + k;
                double n = 0, right = 0, tokens = 0;
                for (int64_t i = 0; i < w->na; i++)
                    if (w->category[1][i] == c) {
                        n++;
                        right += w->y[1][i * w->m + k];
                        tokens += w->tokens[1][i * w->m + k];
                    }
                assert_near(f.count[at], n, 0);
                assert_near(f.right[at], right, 0);
                /* drawn towards a prior that five anchors outweigh */
                assert_true(fabs(f.mean[at] - right / n) <= 5 / (n + 5));
                assert_true(fabs(f.mean_length[at] - tokens / n) <= 0.5 * 5 / (n + 5) * tokens / n);
                if (kind == SG_ESTIMATE_ANCHORED) assert_near(world_mean(w, p_of, c, k), f.mean[at], 1e-8);
                assert_near(world_mean(w, length_of, c, k), f.mean_length[at], 1e-8 * f.mean_length[at]);
            }
        for (int64_t i = 0; i < w->n * w->m; i++) {
            assert_int_equal(isnan(p_of[i]), i % 17 == 0);
            assert_int_equal(isnan(length_of[i]), i % 17 == 0);
            assert_int_equal(isnan(cost_of[i]), i % 17 == 0);
            if (i % 17 == 0) continue;
            assert_near(cost_of[i], w->input[0][i] + length_of[i] * w->price[i % w->m], 1e-18);
            if (kind == SG_ESTIMATE_SCOPE) assert_near(p_of[i], w->p[0][i], 1e-12);
        }
        sg_estimate_fit_free(&f);
    }
    world_free(w);
}

/* An estimator that says the same of every question: the regression has nothing to stack. What is left is that
 * left-out means of few anchors are drawn a little towards each other. */
static void combined_without_signal_is_anchored(void **state) {
    (void)state;
    struct world *w = world_make(120, 240, 240, 4, 3, 0, 0, 12);
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < CELLS; i++) w->knn[s][i] = w->knn_length[s][i] = (double)NAN;
    world_link(w);
    struct sg_estimate_fit f = fitted(w, SG_ESTIMATE_COMBINED);
    for (int i = 1; i < 4; i++) assert_near(f.b[i], 0, 1e-6);
    sg_estimate_fit_free(&f);
    applied(w, SG_ESTIMATE_COMBINED, p_of, NULL, NULL);
    applied(w, SG_ESTIMATE_ANCHORED, p_other, NULL, NULL);
    for (int64_t i = 0; i < w->n * w->m; i++) assert_near(p_of[i], p_other[i], 0.04);
    world_free(w);
}

/* Noise is left out, signal is kept: how far p moves with the estimate. */
static void combined_takes_what_is_true(void **state) {
    (void)state;
    double spread[2][2] = {{0}};
    for (int good = 0; good < 2; good++) {
        struct world *w = world_make(200, 240, 240, 4, 2, good ? 1 : 0, good ? 0.1 : 1, 13);
        struct sg_estimate_fit f = fitted(w, SG_ESTIMATE_COMBINED);
        applied(w, SG_ESTIMATE_COMBINED, p_of, NULL, NULL);
        applied(w, SG_ESTIMATE_ANCHORED, p_other, NULL, NULL);
        for (int32_t c = 0; c < w->c; c++)
            for (int32_t k = 0; k < w->m; k++) {
                const double mean = world_mean(w, p_of, c, k), other = world_mean(w, p_other, c, k);
                for (int64_t q = 0; q < w->n; q++) {
                    if (w->category[0][q] != c) continue;
                    spread[good][0] += pow(p_of[q * w->m + k] - mean, 2);
                    spread[good][1] += pow(p_other[q * w->m + k] - other, 2);
                }
            }
        /* the whole weight of the estimate: 1 + b of its own deviation */
        if (!good) assert_true(fabs(1 + f.b[2]) < 0.2);
        if (good) assert_true(1 + f.b[1] > 0.6);
        sg_estimate_fit_free(&f);
        world_free(w);
    }
    assert_true(spread[0][0] < 0.25 * spread[0][1]);
    assert_true(spread[1][0] > 0.5 * spread[1][1]);
}

static void categories_without_anchors(void **state) {
    (void)state;
    struct world *w = world_make(120, 120, 60, 4, 4, 0.7, 0.5, 14);
    /* 0: queries and anchors; 1: queries alone; 2: anchors, some calibrated; 3: neither */
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < (s ? w->na : w->n); i++) w->category[s][i] = i % 2 ? (s ? 2 : 1) : 0;
    world_link(w);
    struct sg_estimate_fit f = fitted(w, SG_ESTIMATE_ANCHORED);
    applied(w, SG_ESTIMATE_ANCHORED, p_of, length_of, NULL);
    for (int32_t k = 0; k < w->m; k++) {
        double n = 0, right = 0;
        for (int64_t i = 0; i < w->na; i++) n++, right += w->y[1][i * w->m + k];
        /* by the model's mean over all anchors, drawn towards that of all models */
        assert_near(f.count[w->m + k], 0, 0);
        assert_true(fabs(f.mean[w->m + k] - right / n) < 0.04);
        assert_near(world_mean(w, p_of, 1, k), f.mean[w->m + k], 1e-8);
        assert_near(world_mean(w, length_of, 1, k), f.mean_length[w->m + k], 1e-6);
        /* from the calibration rows */
        double sum = 0, rows = 0;
        for (int64_t i = 0; i < w->cells; i++)
            if (w->category[1][i] == 2)
                sum += world_expit(w->rows[1].logit_p[i * w->m + k] + f.shift[2 * w->m + k]), rows++;
        assert_near(sum / rows, f.mean[2 * w->m + k], 1e-8);
        assert_near(f.shift[3 * w->m + k], 0, 0);
        assert_near(f.scale[3 * w->m + k], 1, 0);
    }
    sg_estimate_fit_free(&f);
    world_free(w);
}

/* A model that nobody has tried changes nothing for the others, in no estimate and in no bit of it: it enters
 * no mean of outcomes, and what the estimator says of it says nothing of the question. */
static void untried_model(void **state) {
    (void)state;
    for (int kind = SG_ESTIMATE_SCOPE; kind < SG_ESTIMATES; kind++) {
        struct world *w = world_make(80, 90, 60, 4, 3, 0.7, 0.5, 15);
        struct world *more = world_make(80, 90, 60, 5, 3, 0.7, 0.5, 15);
        for (int64_t i = 0; i < more->na; i++)
            more->y[1][i * 5 + 4] = more->tokens[1][i * 5 + 4] = (double)NAN;
        for (int64_t i = 0; i < w->na; i++)
            for (int32_t k = 0; k < 4; k++) assert_near(w->y[1][i * 4 + k], more->y[1][i * 5 + k], 0);
        world_link(more);
        applied(w, (enum sg_estimate)kind, p_of, length_of, NULL);
        applied(more, (enum sg_estimate)kind, p_other, length_other, NULL);
        for (int64_t q = 0; q < w->n; q++) {
            for (int32_t k = 0; k < 4; k++) {
                assert_near(p_of[q * 4 + k], p_other[q * 5 + k], 0);
                assert_near(length_of[q * 4 + k], length_other[q * 5 + k], 0);
            }
            assert_true(p_other[q * 5 + 4] > 0 && p_other[q * 5 + 4] < 1 && length_other[q * 5 + 4] > 0);
        }
        world_free(w);
        world_free(more);
    }
}

static void nothing_to_fit(void **state) {
    (void)state;
    struct world *w = world_make(20, 30, 10, 3, 2, 0.7, 0.5, 16);
    struct sg_estimate_fit f = {0};
    struct sg_estimate_fit_input in = {.m = w->m,
                                       .n_categories = w->c,
                                       .price_output = w->price,
                                       .queries = &w->rows[0],
                                       .calibration = &w->rows[1],
                                       .anchors = &w->known[1]};
    struct sg_err err = {0};
    uint8_t use[MAX_N] = {0};
    in.use = use;
    assert_int_equal(sg_estimate_fit_make(&in, SG_ESTIMATE_ANCHORED, &f, &err), SG_E_INPUT);
    for (int64_t i = w->cells; i < w->na; i++) use[i] = 1; /* outcomes, but of no calibrated anchor */
    assert_int_equal(sg_estimate_fit_make(&in, SG_ESTIMATE_ANCHORED, &f, &err), SG_OK);
    assert_int_equal(sg_estimate_fit_make(&in, SG_ESTIMATE_COMBINED, &f, &err), SG_E_INPUT);
    sg_estimate_fit_free(&f);
    world_free(w);
}

/* The cross-fitted log loss orders the estimates as their worth does. */
static void cross_fit_prefers_the_better(void **state) {
    (void)state;
    for (int good = 0; good < 2; good++) {
        struct world *w = world_make(100, 240, 240, 4, 2, good ? 1 : 0, good ? 0.2 : 1.5, 17);
        double loss[SG_ESTIMATES], *p = calloc(CELLS, sizeof *p), by_hand = 0;
        for (int k = 0; k < SG_ESTIMATES; k++)
            assert_int_equal(
                sg_cross_fit(&w->in, (enum sg_estimate)k, k == 0 ? p : NULL, NULL, &loss[k], NULL), SG_OK);
        for (int64_t i = 0; i < w->cells * w->m; i++)
            by_hand -= log(w->y[1][i] > 0.5 ? p[i] : 1 - p[i]) / (double)(w->cells * w->m);
        assert_near(loss[0], by_hand, 1e-9);
        for (int64_t i = 0; i < w->cells * w->m; i++)
            assert_near(p[i], fmin(fmax(w->p[1][i], 0.005), 0.995), 1e-9);
        assert_true(loss[SG_ESTIMATE_COMBINED] < loss[SG_ESTIMATE_ANCHORED] - (good ? 0 : 0.1));
        assert_true(loss[SG_ESTIMATE_ANCHORED] < loss[SG_ESTIMATE_SCOPE]);
        free(p);
        world_free(w);
    }
}

/* Queries of a category without anchors: the mean of all anchors of the others stands for them, in whatever order the
 * categories are. */
static void values_without_anchors(void **state) {
    (void)state;
    for (int32_t without = 0; without < 3; without++) {
        struct world *w = world_make(120, 90, 60, 4, 3, 0.8, 0.3, 28);
        double budgets[3], in_category[3] = {0};
        for (int64_t q = 0; q < w->n; q++) in_category[w->category[0][q]]++;
        for (int64_t i = 0; i < w->na; i++) /* the calibrated ones among them */
            if (w->category[1][i] == without) w->category[1][i] = (without + 1) % 3;
        world_link(w);
        world_ask(w, budgets, 3);
        struct sg_decision d = {0};
        assert_int_equal(sg_decide(&w->in, &d, NULL), SG_OK);
        for (int32_t k = 0; k < 4; k++) {
            double n[3] = {0}, y[3] = {0}, value = 0, all = 0;
            for (int64_t i = 0; i < w->na; i++) {
                n[w->category[1][i]]++;
                y[w->category[1][i]] += w->y[1][i * 4 + k];
                all += w->y[1][i * 4 + k] / (double)w->na;
            }
            for (int32_t c = 0; c < 3; c++)
                value += in_category[c] / 120 * (c == without ? all : y[c] / n[c]);
            assert_near(d.single_value[k].value, value, 1e-12);
        }
        sg_decision_free(&d);
        world_free(w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchored_keeps_the_anchors_means),
        cmocka_unit_test(combined_without_signal_is_anchored),
        cmocka_unit_test(combined_takes_what_is_true),
        cmocka_unit_test(categories_without_anchors),
        cmocka_unit_test(values_without_anchors),
        cmocka_unit_test(untried_model),
        cmocka_unit_test(nothing_to_fit),
        cmocka_unit_test(cross_fit_prefers_the_better),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

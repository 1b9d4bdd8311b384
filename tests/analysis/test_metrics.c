/* Protects: the metrics of the literature and the quality scores, by examples worked by hand (worked in the
 * comments) and by definitions computed the slow way. */
#include "analysis/calibration.h"
#include "analysis/metrics.h"
#include "fake.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void hull(void **state) {
    (void)state;
    struct sg_xy p[] = {{3, 0.7}, {1, 0.2}, {2, 0.6}, {4, 0.65}, {1, 0.1}, {2, (double)NAN}, {1.5, 0.3}};
    const int64_t n =
        sg_hull_nondecreasing(p, 7); /* (1,.2) (2,.6) (3,.7): the rest lies below or is dearer */
    assert_int_equal(n, 3);
    assert_true(p[0].x == 1 && p[0].y == 0.2 && p[1].x == 2 && p[2].x == 3);
    assert_near(sg_hull_at(p, n, 1.5), 0.4, 1e-15);
    assert_near(sg_hull_at(p, n, 9), 0.7, 0);
    assert_true(isnan(sg_hull_at(p, n, 0.9)));
    /* RouterBench, paper: over [1, 5] the area is (.2+.6)/2 + (.6+.7)/2 + 2*.7 = 2.45; / 4 */
    assert_near(sg_aiq(p, n, 1, 5), 2.45 / 4, 1e-15);
    /* code: from 0 to 5 with nothing before cost 1: 2.45 / 5 */
    assert_near(sg_aiq(p, n, 1.5, 2.5), (0.5 * (0.4 + 0.6) / 2 + 0.5 * (0.6 + 0.65) / 2) / 1, 1e-15);
    assert_true(isnan(sg_aiq(p, n, 2, 2)));
    /* QNC: accuracy .65 is reached at cost 2.5; best single model costs 4: .625 */
    assert_near(sg_qnc(p, n, 0.65, 4), 2.5 / 4, 1e-15);
    assert_near(sg_qnc(p, n, 0.1, 4), 1.0 / 4, 1e-15);
    assert_true(isnan(sg_qnc(p, n, 0.71, 4)));
}

static void route_llm(void **state) {
    (void)state;
    /* RouteLLM. 10 queries; the strong model gains on the first five by margin, in this order of margins */
    const double margin[] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    const double weak[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1}, strong[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const double level[] = {0.5, 0.8, 1};
    double apgr, cpt[3];
    assert_int_equal(sg_route_llm(margin, weak, strong, 10, &apgr, level, cpt, 3, NULL), SG_OK);
    /* PGR at shares .1 .2 .3 .4 .5 = .2 .4 .6 .8 1, then 1: mean (3 + 5) / 10 */
    assert_near(apgr, 0.8, 1e-12);
    assert_near(cpt[0], 0.3, 1e-12); /* 2 of 5 is .4, 3 of 5 is .6 */
    assert_near(cpt[1], 0.4, 1e-12);
    assert_near(cpt[2], 0.5, 1e-12);
    assert_near(sg_pgr(0.7, 0.5, 0.9), 0.5, 1e-12);
    assert_true(isnan(sg_pgr(0.7, 0.5, 0.5)));
}

static void arena(void **state) {
    (void)state;
    /* RouterArena: cost 2 between 1 and 4 is the middle of the log scale: C = .5; A = .8: 1.1*.8*.5 /
     * (.08+.5) */
    assert_near(sg_router_arena(0.8, 2, 1, 4), 0.44 / 0.58, 1e-12);
    assert_near(sg_router_arena(0.8, 9, 1, 4), 0, 1e-12);           /* dearer than the bound */
    assert_near(sg_router_arena(0.8, 1, 1, 4), 0.88 / 1.08, 1e-12); /* C = 1 */
    assert_true(isnan(sg_router_arena(0.8, 1, 0, 4)));
}

static void quality_by_hand(void **state) {
    (void)state;
    /* Brier: (.04 + .09 + .16 + .25) / 4 = .135; log loss: -(ln .8 + ln .7 + ln .6 + ln .5) / 4.
     * AUC: right .8 .7; wrong .4 .5: all four pairs in order: 1 */
    const double p[] = {0.8, 0.7, 0.4, 0.5}, y[] = {1, 1, 0, 0};
    const struct sg_grouping all = {NULL, 1};
    struct sg_quality q;
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p, y, NULL, 4}, &all, 1, &q, NULL, NULL), SG_OK);
    assert_near(q.brier, 0.135, 1e-15);
    assert_near(q.log_loss, -(log(0.8) + log(0.7) + log(0.6) + log(0.5)) / 4, 1e-15);
    assert_near(q.auc, 1, 0);
    assert_near(q.base_rate, 0.5, 0);
    /* four pairs in 15 bins: one a bin, ECE = mean |p - y| = (.2 + .3 + .4 + .5) / 4 */
    assert_near(q.ece, 0.35, 1e-15);
    /* ties: right .5 .5, wrong .5 .2: pairs tie, tie, win, win: (2 + 2 * .5) / 4 */
    const double p2[] = {0.5, 0.5, 0.5, 0.2}, y2[] = {1, 1, 0, 0};
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p2, y2, NULL, 4}, &all, 1, &q, NULL, NULL), SG_OK);
    assert_near(q.auc, 0.75, 1e-15);
    const double y3[] = {1, 1, 1, 1};
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p2, y3, NULL, 4}, &all, 1, &q, NULL, NULL), SG_OK);
    assert_true(isnan(q.auc));
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p2, y3, NULL, 0}, &all, 1, &q, NULL, NULL), SG_OK);
    assert_true(q.n == 0 && isnan(q.brier) && isnan(q.ece));
}

/* What calibrated estimates would show: E |y - p| = 2 p (1 - p) with one pair a bin; the range holds the ECE of
 * outcomes that do follow p in 95 % of cases; of many pairs the normal law of each bin says the same. */
static void ece_of_calibrated_estimates(void **state) {
    (void)state;
    enum { N = 60000, SMALL = 300 };
    const struct sg_grouping all = {NULL, 1};
    const double p4[] = {0.8, 0.7, 0.4, 0.5}, y4[] = {1, 1, 0, 0};
    struct sg_quality q;
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p4, y4, NULL, 4}, &all, 1, &q, NULL, NULL), SG_OK);
    assert_near(q.ece_null.value, 2 * (0.16 + 0.21 + 0.24 + 0.25) / 4, 0.02);
    static double p[N], y[N];
    int held = 0;
    for (uint64_t s = 0; s < 200; s++) {
        for (uint64_t i = 0; i < SMALL; i++) {
            p[i] = pow(fake_uniform(3 + 2 * s, i), 2);
            y[i] = fake_uniform(4 + 2 * s, i) < p[i];
        }
        assert_int_equal(sg_quality_groups(&(struct sg_pairs){p, y, NULL, SMALL}, &all, 1, &q, NULL, NULL),
                         SG_OK);
        held += q.ece_null.low <= q.ece && q.ece <= q.ece_null.high;
    }
    print_message("calibrated: ECE inside its range in %d of 200\n", held);
    assert_true(held >= 181 && held < 200);
    double law = 0;
    for (uint64_t i = 0; i < N; i++) {
        p[i] = (double)(i + 1) / (N + 2);
        y[i] = fake_uniform(5, i) < p[i];
    }
    for (int b = 0; b < SG_ECE_BINS; b++) {
        double variance = 0;
        for (int i = b * N / SG_ECE_BINS; i < (b + 1) * N / SG_ECE_BINS; i++) variance += p[i] * (1 - p[i]);
        law += sqrt(variance * 2 / 3.141592653589793) / N;
    }
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p, y, NULL, N}, &all, 1, &q, NULL, NULL), SG_OK);
    assert_near(q.ece_null.value, law, 0.03 * law);
    const struct sg_quality many = q;
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p, y, NULL, 50000}, &all, 1, &q, NULL, NULL),
                     SG_OK); /* drawn pair by pair */
    assert_near(q.ece_null.value / many.ece_null.value, sqrt(60.0 / 50), 0.12);
}

static void quality_slowly(void **state) {
    (void)state;
    enum { N = 400, K = 3 };
    static double p[N], y[N];
    static int32_t of[N];
    for (int i = 0; i < N; i++) {
        p[i] = floor(20 * fake_uniform(1, (uint64_t)i)) / 20; /* many ties */
        y[i] = fake_uniform(2, (uint64_t)i) < p[i];
        of[i] = i % K;
        if (i % 11 == 0) p[i] = (double)NAN;
        if (i % 13 == 0) y[i] = (double)NAN;
    }
    const struct sg_grouping by[] = {{NULL, 1}, {of, K}};
    struct sg_quality q[1 + K];
    struct sg_bin bins[(1 + K) * SG_ECE_BINS];
    assert_int_equal(sg_quality_groups(&(struct sg_pairs){p, y, NULL, N}, by, 2, q, bins, NULL), SG_OK);
    for (int g = 0; g <= K; g++) {
        double pairs = 0, won = 0, brier = 0, n = 0, least = 1e9, most = 0, in_bins = 0;
        for (int i = 0; i < N; i++) {
            if (isnan(p[i]) || isnan(y[i]) || (g && of[i] != g - 1)) continue;
            brier += (p[i] - y[i]) * (p[i] - y[i]);
            n++;
            for (int j = 0; j < N; j++) {
                if (isnan(p[j]) || isnan(y[j]) || (g && of[j] != g - 1) || !(y[i] > y[j])) continue;
                pairs++;
                won += p[i] > p[j] ? 1 : p[i] == p[j] ? 0.5 : 0;
            }
        }
        assert_int_equal(q[g].n, (int)n);
        assert_near(q[g].auc, won / pairs, 1e-12);
        assert_near(q[g].brier, brier / n, 1e-12);
        double last = -1;
        for (int b = 0; b < SG_ECE_BINS; b++) { /* equal mass, rising */
            const struct sg_bin *x = &bins[g * SG_ECE_BINS + b];
            least = fmin(least, (double)x->n), most = fmax(most, (double)x->n), in_bins += (double)x->n;
            assert_true(x->mean_p >= last);
            last = x->mean_p;
        }
        assert_true(most - least <= 1 && in_bins == n);
    }
}

static void lengths(void **state) {
    (void)state;
    /* errors 10, -20, 60; relative .1, .1, .6: median .1; bias 50 / 500; intervals of 2 samples: t(.95, 1)
     * = 6.3138, half-width 6.3138 sd sqrt(1.5): holds 10 of sd 2 (15.5), not -20 of sd 2; the third has one
     * sample */
    const double e[] = {110, 180, 160, (double)NAN}, t[] = {100, 200, 100, 5}, sd[] = {2, 2, 0, 1};
    const int32_t k[] = {2, 2, 1, 2};
    const struct sg_grouping all = {NULL, 1};
    struct sg_length_quality q;
    assert_int_equal(sg_length_groups(&(struct sg_length_pairs){e, t, sd, k, 4}, &all, 1, &q, NULL), SG_OK);
    assert_int_equal(q.n, 3);
    assert_near(q.mae, 30, 1e-12);
    assert_near(q.median_relative, 0.1, 1e-12);
    assert_near(q.bias, 50.0 / 400, 1e-12);
    assert_int_equal(q.n_coverage, 2);
    assert_near(q.coverage, 0.5, 1e-12);
}

static void student(void **state) {
    (void)state;
    /* tables of the t distribution */
    assert_near(sg_t_quantile(0.1, 1), 6.313752, 1e-5);
    assert_near(sg_t_quantile(0.1, 7), 1.894579, 1e-5);
    assert_near(sg_t_quantile(0.1, 1000), 1.646379, 1e-5);
    assert_near(sg_t_two_sided(2.262157, 9), 0.05, 1e-6);
    assert_near(sg_t_two_sided(0, 9), 1, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hull),
        cmocka_unit_test(route_llm),
        cmocka_unit_test(arena),
        cmocka_unit_test(quality_by_hand),
        cmocka_unit_test(ece_of_calibrated_estimates),
        cmocka_unit_test(quality_slowly),
        cmocka_unit_test(lengths),
        cmocka_unit_test(student),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

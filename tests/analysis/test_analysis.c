/* Protects: the analysis as a whole on results of a known law. What is asked is what is scored; missing cells
 * are never chosen; the oracle is not beaten; posterior bands; the noise of samples; comparison of files in
 * any order, Holm. */
#include "analysis/analysis_run.h"
#include "analysis/compare.h"
#include "fake.h"
#include "store/spread.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct sg_analysis_options defaults = {
    .alphas = 21, .reps = 100, .seed = 1, .threads = 2, .n_grid = 41};

static struct sg_results results(struct fake f) {
    struct sg_results r;
    struct sg_err err = {0};
    if (fake_results(&f, &r, &err) != SG_OK) fail_msg("%s", err.text);
    return r;
}

static struct sg_dataset dataset(const struct sg_results *r) {
    struct sg_dataset d;
    struct sg_err err = {0};
    const struct sg_dataset_spec spec = {.pool = NULL};
    if (sg_dataset_open(r, "fake", &spec, &d, &err) != SG_OK) fail_msg("%s", err.text);
    return d;
}

static struct sg_analysis analysis(const struct sg_dataset *d, const struct sg_analysis_options *o) {
    struct sg_analysis a;
    struct sg_err err = {0};
    if (sg_analysis_run(d, o, &a, &err) != SG_OK) fail_msg("%s", err.text);
    return a;
}

static void asked_is_scored(void **state) {
    (void)state;
    struct sg_results r = results((struct fake){
        .n = 200, .m = 6, .seed = 5, .truth = true, .noise = 0.5, .missing = 0.1, .categories = 2});
    r.true_correct[7 * 6 + 2] = -1; /* one query cannot be scored */
    struct sg_dataset d = dataset(&r);
    const double budgets[] = {0.001, 0.004}, targets[] = {0.6};
    struct sg_analysis_options o = defaults;
    o.budgets = budgets, o.n_budgets = 2, o.targets = targets, o.n_targets = 1;
    struct sg_analysis a = analysis(&d, &o);
    assert_int_equal(d.n_scored, d.n - 1);
    assert_int_equal(a.n_policies, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct sg_asked_policy *k = &a.policies[i];
        double p = 0, c = 0, tp = 0, tc = 0, share = 0, regret = 0;
        for (int64_t q = 0; q < d.n; q++) {
            const double w = q == k->mixed_query ? k->policy.weight : 0;
            const int64_t x = q * 6 + k->model[q], y = w > 0 ? q * 6 + k->mixed_to : x;
            assert_false(d.p[x] != d.p[x]); /* a missing cell is no candidate */
            p += ((1 - w) * d.p[x] + w * d.p[y]) / (double)d.n;
            c += ((1 - w) * d.c[x] + w * d.c[y]) / (double)d.n;
            if (!d.scored[q]) continue;
            const double qp = (1 - w) * d.tp[x] + w * d.tp[y], qc = (1 - w) * d.tc[x] + w * d.tc[y];
            double best = -1e9;
            for (int j = 0; j < 6; j++)
                best = fmax(best, d.tp[q * 6 + j] - k->policy.lambda * d.tc[q * 6 + j]);
            tp += qp / (double)d.n_scored;
            tc += qc / (double)d.n_scored;
            regret += (best - qp + k->policy.lambda * qc) / (double)d.n_scored;
        }
        for (int j = 0; j < 6; j++) share += k->share[j];
        assert_near(share, 1, 1e-12);
        assert_near(k->predicted_accuracy.value, p, 1e-12);
        assert_near(k->predicted_cost.value, c, 1e-12);
        assert_near(k->accuracy.value, tp, 1e-12);
        assert_near(k->cost.value, tc, 1e-12);
        assert_near(k->regret, regret, 1e-12);
        assert_true(k->regret >= -1e-12 && k->oracle_gap >= -1e-12);
        assert_true(k->accuracy.low <= tp && tp <= k->accuracy.high);
        assert_true(k->gain.low <= k->gain.value && k->gain.value <= k->gain.high);
    }
    assert_near(a.policies[0].predicted_cost.value, 0.001, 1e-12);
    assert_near(a.policies[2].predicted_accuracy.value, 0.6, 1e-12);
    /* nobody beats the oracle at the cost paid; shares are shares */
    for (int32_t g = 0; g < o.n_grid; g++) {
        double sum = 0;
        for (int j = 0; j < 6; j++) sum += a.share[g * 6 + j];
        assert_true(isnan(sum) || fabs(sum - 1) < 1e-9);
        if (!isnan(a.curve[SG_CURVE_MIX].accuracy[g]))
            assert_true(a.curve[SG_CURVE_MIX].accuracy[g] <= a.curve[SG_CURVE_ORACLE].accuracy[g] + 1e-12);
    }
    sg_analysis_free(&a);
    sg_dataset_free(&d);
    sg_results_free(&r);
}

/* The seed deals the halves. The mean over 20 splits moves with it by a quarter of what one split does; queries that
 * are not scored are in no half, and from 2,000 queries on there are fewer splits. */
static void splits_are_averaged(void **state) {
    (void)state;
    enum { SEEDS = 16 };
    struct sg_results r = results((struct fake){.n = 64, .m = 6, .seed = 5, .truth = true, .noise = 0.5});
    struct sg_dataset d = dataset(&r);
    struct sg_analysis_options o = defaults;
    o.reps = 0;
    double sum[2] = {0, 0}, square[2] = {0, 0}, *tmp = calloc(sg_curve_choice_scratch(1), sizeof *tmp);
    d.scored[3] = 0, d.n_scored--;
    for (o.seed = 1; o.seed <= SEEDS; o.seed++) {
        struct sg_analysis a = analysis(&d, &o);
        const int g = 30;
        double x[2], cost;
        assert_int_equal(a.n_splits, 20);
        for (int s = 0; s < 20; s++) {
            int n[3] = {0, 0, 0};
            for (int q = 0; q < 64; q++) n[a.fold[s * 64 + q]]++;
            assert_true(n[0] == 32 && n[1] == 31 && n[2] == 1 && a.fold[s * 64 + 3] == 2);
        }
        sg_curve_splits(&a.scope, a.ones, a.fold, 1, &a.grid[g], 1, &x[0], &cost, tmp);
        x[1] = a.curve[SG_CURVE_REALISED].accuracy[g];
        for (int i = 0; i < 2; i++) sum[i] += x[i], square[i] += x[i] * x[i];
        sg_analysis_free(&a);
    }
    for (int i = 0; i < 2; i++) square[i] = sqrt((square[i] - sum[i] * sum[i] / SEEDS) / (SEEDS - 1));
    print_message("realised accuracy over seeds: sd %.4f with one split, %.4f with 20\n", square[0],
                  square[1]);
    assert_true(square[0] > 0 && square[1] < 0.5 * square[0]);
    free(tmp);
    sg_dataset_free(&d);
    sg_results_free(&r);
    r = results((struct fake){.n = 9000, .m = 2, .seed = 5, .truth = true, .noise = 0.5});
    d = dataset(&r);
    struct sg_analysis a = analysis(&d, &o);
    assert_int_equal(a.n_splits, 4);
    sg_analysis_free(&a);
    sg_dataset_free(&d);
    sg_results_free(&r);
}

/* A model with neither estimate nor outcome on some queries is judged by the queries it has, and a query is
 * scored by the cells it has: what is missing counts neither as wrong nor as free. */
static void holes_in_the_truth(void **state) {
    (void)state;
    struct sg_results r = results((struct fake){.n = 90, .m = 3, .seed = 6, .truth = true, .noise = 0.4});
    for (int64_t q = 0; q < 90; q += 3) {
        r.valid[q * 3 + 2] = 0;
        r.true_correct[q * 3 + 2] = -1;
        r.true_length[q * 3 + 2] = r.true_cost[q * 3 + 2] = (double)NAN;
    }
    struct sg_dataset d = dataset(&r);
    assert_int_equal(d.n_scored, 90);
    struct sg_analysis a = analysis(&d, &defaults);
    double p = 0, c = 0;
    for (int64_t q = 0; q < 90; q++)
        if (q % 3) p += r.true_correct[q * 3 + 2] / 60.0, c += r.true_cost[q * 3 + 2] / 60.0;
    assert_int_equal(a.single[2].n_scored, 60);
    assert_near(a.single[2].accuracy.value, p, 1e-12);
    assert_near(a.single[2].cost.value, c, 1e-15);
    assert_int_equal(a.best_single, 2);
    for (size_t i = 0; i < a.n_policies; i++) {
        assert_true(a.policies[i].gain.low <= a.policies[i].gain.high && a.policies[i].accuracy.low >= 0);
        assert_near(a.policies[i].gain.value, a.policies[i].accuracy.value - p, 1e-12);
    }
    assert_true(a.curve[SG_CURVE_ORACLE].accuracy[defaults.n_grid - 1] > p);
    for (size_t i = 0; i < a.n_value; i++) { /* efficiency holds with holes */
        double sum = 0;
        for (int k = 0; k < 3; k++) sum += a.value_true[i].shapley[k];
        assert_near(sum, a.value_true[i].total, 1e-12);
    }
    sg_analysis_free(&a);
    sg_dataset_free(&d);
    sg_results_free(&r);
}

/* Calibrated estimates and no truth: the posterior bands of the predicted frontier hold the accuracy that the
 * policies really have (votes of 16 samples, drawn from each cell's p). */
static void posterior_bands(void **state) {
    (void)state;
    int held = 0, all = 0, optimistic = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct fake f = {.n = 150, .m = 5, .samples = 16, .seed = 100 * seed, .truth = true};
        struct sg_results r = results(f);
        struct sg_dataset known = dataset(&r);
        struct sg_analysis_options o = defaults;
        double *p = calloc((size_t)(f.n * f.m), sizeof *p);
        memcpy(p, known.p,
               sizeof *p * (size_t)(f.n * f.m));  /* the cells' own p: what votes are drawn from, nearly */
        for (int64_t i = 0; i < f.n * f.m; i++) { /* the estimator sees its votes alone */
            r.p_correct[i] = (double)r.votes_yes[i] / 16;
            r.true_correct[i] = -1;
        }
        struct sg_dataset d = dataset(&r);
        assert_int_equal(d.n_scored, 0);
        struct sg_analysis a = analysis(&d, &o);
        for (size_t i = 0; i < a.n_policies; i++) {
            const struct sg_asked_policy *k = &a.policies[i];
            double real = 0;
            for (int64_t q = 0; q < d.n; q++) real += p[q * f.m + k->model[q]] / (double)d.n;
            held += k->posterior.low <= real && real <= k->posterior.high;
            optimistic += k->predicted_accuracy.value > real;
            all++;
        }
        sg_analysis_free(&a);
        sg_dataset_free(&d);
        sg_dataset_free(&known);
        sg_results_free(&r);
        free(p);
    }
    print_message("posterior bands hold %d of %d; the point estimate is optimistic in %d\n", held, all,
                  optimistic);
    assert_true(all >= 36);
    assert_true(optimistic > all * 2 / 3); /* the optimiser's curse is there */
    assert_true(held > all * 8 / 10);
}

/* Votes drawn at a low temperature say yes or no more firmly than p_correct, and on average differ from it.
 * Without truth a policy is still told on the scale of p_correct, as single models are: of a pool of one model,
 * whose only policy is that model, neither gain nor loss can come out. */
static void votes_of_another_scale(void **state) {
    struct sg_results r = {0};
    struct sg_dataset d = {0};
    struct sg_analysis a = {0};
    struct sg_err err = {0};
    (void)state;
    const struct fake f = {.n = 400, .m = 1, .seed = 3};
    const struct sg_dataset_spec spec = {0};
    const struct sg_analysis_options opt = {.alphas = 2, .reps = 200, .seed = 1, .threads = 1, .n_grid = 11};
    assert_int_equal(fake_results(&f, &r, &err), SG_OK);
    double mean = 0, votes = 0;
    for (int64_t q = 0; q < f.n; q++) {
        r.votes_yes[q] = r.p_correct[q] > 0.7 ? 8 : 0;
        r.votes_no[q] = 8 - r.votes_yes[q];
        mean += r.p_correct[q] / (double)f.n;
        votes += r.votes_yes[q] / 8.0 / (double)f.n;
    }
    assert_true(mean - votes > 0.05);
    assert_int_equal(sg_dataset_open(&r, "fake", &spec, &d, &err), SG_OK);
    assert_int_equal(sg_analysis_run(&d, &opt, &a, &err), SG_OK);
    assert_true(a.n_policies > 0);
    assert_near(a.policies[0].posterior.value, mean, 0.01);
    assert_near(a.policies[0].gain.value, 0, 0.01);
    sg_analysis_free(&a);
    sg_dataset_free(&d);
    sg_results_free(&r);
}

/* The metrics that have an interval: it holds the value that 20,000 queries of the same law have, for the same
 * named models, in about 95 % of samples of 150 queries. The others have none. */
static void metrics_with_intervals_cover(void **state) {
    (void)state;
    enum { N = 20000, SAMPLE = 150, RUNS = 150, M = 4, NAMES = 5 };
    static const char *const name[NAMES] = {"PGR (SCOPE)", "PGR (RouteLLM)", "Gap@Oracle", "Gain@Budget",
                                            "regret"};
    const double lambda = 5;
    struct sg_analysis_options o = defaults;
    struct sg_results r = results((struct fake){.n = N, .m = M, .seed = 77, .truth = true, .noise = 0.5});
    struct sg_dataset all = dataset(&r);
    o.lambdas = &lambda, o.n_lambdas = 1, o.reps = 0;
    struct sg_analysis whole = analysis(&all, &o);
    int held[NAMES] = {0}, runs = 0;
    o.reps = 200;
    for (uint64_t s = 0; s < RUNS; s++) {
        struct sg_dataset d = dataset(&r);
        int64_t rows[SAMPLE];
        for (uint64_t i = 0; i < SAMPLE; i++) /* one of each 133 in a row */
            rows[i] = (int64_t)((double)i * 133 + 133 * fake_uniform(900 + s, i));
        assert_int_equal(sg_dataset_select(&d, NULL, M, rows, SAMPLE, NULL), SG_OK);
        d.n_scored = SAMPLE;
        struct sg_analysis a = analysis(&d, &o);
        const bool same = a.best_single == whole.best_single && a.worst_single == whole.worst_single &&
                          a.cheapest_single == whole.cheapest_single;
        runs += same;
        for (size_t i = 0; i < a.n_metric; i++) {
            const struct sg_value *v = &a.metric[i].value;
            int which = 0;
            while (which < NAMES && strcmp(a.metric[i].name, name[which]) != 0) which++;
            assert_true(which < NAMES ? v->low <= v->high : isnan(v->low));
            if (which == NAMES || !same) continue;
            assert_string_equal(whole.metric[i].name, name[which]);
            held[which] += v->low <= whole.metric[i].value.value && whole.metric[i].value.value <= v->high;
        }
        sg_analysis_free(&a);
        sg_dataset_free(&d);
    }
    for (int i = 0; i < NAMES; i++) {
        print_message("%s: interval holds in %d of %d\n", name[i], held[i], runs);
        assert_true(held[i] >= runs * 88 / 100); /* of 520 runs: 92.5 to 95.8 % */
    }
    assert_true(runs > RUNS / 2);
    sg_analysis_free(&whole);
    sg_dataset_free(&all);
    sg_results_free(&r);
}

static void noise_of_samples(void **state) {
    (void)state;
    /* one cell: votes 1 1 0 0, p_yes .8 .6 .4 .2: variances 1/3 and 1/15 (n - 1); truth 1, and a cell
     * unparsed but for one sample, which has no variance */
    struct sg_results r = results((struct fake){.n = 1, .m = 2, .samples = 4, .seed = 1, .truth = true});
    const int8_t votes[] = {1, 1, 0, 0, 1, -1, -1, -1};
    const float p_yes[] = {0.8f, 0.6f, 0.4f, 0.2f, 0.9f, NAN, NAN, NAN};
    memcpy(r.sample_correct, votes, sizeof votes);
    memcpy(r.sample_p_yes, p_yes, sizeof p_yes);
    r.true_correct[0] = 1;
    struct sg_dataset d = dataset(&r);
    struct sg_sampling_noise one[SG_SAMPLING_NOISES], *s = one + 1;
    sg_sampling_noise_usual(&d, one);
    assert_int_equal(one[0].k, 1);
    assert_int_equal(s[0].n_cells, 1);
    /* one of four votes, two of them right: (0 + 0 + 1 + 1) / 4 */
    assert_near(one[0].brier_votes, 0.5, 1e-12);
    const int32_t k[] = {2, 4, 8};
    for (int i = 0; i < 3; i++) {
        assert_near(s[i].variance_votes, 1.0 / 3 / k[i], 1e-12);
        assert_near(s[i].variance_p_yes, 1.0 / 15 / k[i], 1e-7);
    }
    /* Brier of two of four, over all six pairs: votes 11 -> 0, 00 -> 1, four mixed -> .25: 2 / 6 */
    assert_near(s[0].brier_votes, 2.0 / 6, 1e-12);
    assert_near(s[1].brier_votes, 0.25, 1e-12);
    assert_int_equal(s[2].n_brier, 0);
    double brier = 0;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) brier += pow(((double)p_yes[i] + (double)p_yes[j]) / 2 - 1, 2) / 6;
    assert_near(s[0].brier_p_yes, brier, 1e-7);
    /* with standard errors the cell of one sample counts too: both are shrunk to the only variance there is. Lengths
     * 10 20 30 40: variance 500/3, the mean 25 squared is 625 */
    const int64_t length[] = {10, 20, 30, 40, 70, -1, -1, -1};
    memcpy(r.sample_length, length, sizeof length);
    r.length_mean[0] = 25, r.length_mean[1] = 70;
    sg_results_set_errors(&r);
    sg_sampling_noise_usual(&d, one);
    assert_int_equal(one[0].n_cells, 1);
    assert_int_equal(one[0].n_errors, 2);
    for (int i = 0; i < SG_SAMPLING_NOISES; i++) {
        assert_near(one[i].variance_p_yes, 1.0 / 15 / (double)one[i].k, 1e-7);
        assert_near(one[i].variance_length, 500.0 / 3 / 625 / (double)one[i].k, 1e-12);
        assert_near(one[i].variance_votes, 1.0 / 3 / (double)one[i].k, 1e-12);
    }
    sg_dataset_free(&d);
    sg_results_free(&r);
}

static void holm(void **state) {
    (void)state;
    /* Holm: sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .06 with the running maximum */
    const double p[] = {0.03, 0.01, (double)NAN, 0.04, 0.02};
    double out[5];
    assert_int_equal(sg_holm(p, 5, out, NULL), SG_OK);
    assert_near(out[1], 0.04, 1e-12);
    assert_near(out[4], 0.06, 1e-12);
    assert_near(out[0], 0.06, 1e-12);
    assert_near(out[3], 0.06, 1e-12);
    assert_true(isnan(out[2]));
}

/* The same results with queries and models in another order. */
static void reverse(struct sg_results *r) {
    const int64_t n = r->n_queries, m = r->n_models;
#define FLIP(x)                                                                                              \
    for (int64_t i = 0; i < n * m / 2; i++) {                                                                \
        const double t = (double)r->x[i];                                                                    \
        r->x[i] = r->x[n * m - 1 - i];                                                                       \
        r->x[n * m - 1 - i] = (__typeof__(r->x[0]))t;                                                        \
    }
    FLIP(valid)
    FLIP(p_correct)
    FLIP(votes_yes)
    FLIP(votes_no)
    FLIP(length_mean)
    FLIP(length_sd)
    FLIP(cost)
    FLIP(prompt_tokens)
    FLIP(prompt_source)
    FLIP(output_tokens)
    FLIP(true_correct)
    FLIP(true_length)
    FLIP(true_cost)
    FLIP(knn_correct)
    FLIP(knn_length)
    FLIP(anchor_correct)
    FLIP(anchor_length)
#undef FLIP
    for (int64_t i = 0; i < n / 2; i++) {
        char *t = r->query[i];
        r->query[i] = r->query[n - 1 - i], r->query[n - 1 - i] = t;
        t = r->category[i];
        r->category[i] = r->category[n - 1 - i], r->category[n - 1 - i] = t;
    }
    for (int64_t k = 0; k < m / 2; k++) {
        char *t = r->model[k];
        const double in = r->price_input[k], out = r->price_output[k];
        r->model[k] = r->model[m - 1 - k], r->model[m - 1 - k] = t;
        r->price_input[k] = r->price_input[m - 1 - k], r->price_input[m - 1 - k] = in;
        r->price_output[k] = r->price_output[m - 1 - k], r->price_output[m - 1 - k] = out;
    }
}

static void compared_in_any_order(void **state) {
    (void)state;
    const struct fake f = {
        .n = 80, .m = 4, .seed = 9, .truth = true, .noise = 0.5, .missing = 0.05, .categories = 2};
    struct sg_results a = results(f), b = results(f);
    reverse(&b);
    struct sg_dataset night[2] = {dataset(&a), dataset(&b)};
    struct sg_comparison c;
    struct sg_err err = {0};
    if (sg_compare(night, 2, &defaults, &c, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(c.n_models, 4);
    assert_int_equal(c.n_queries, night[0].n);
    for (int k = 0; k < 4 * SG_DRIFTS; k++) {
        const struct sg_drift *d = &c.drift[4 * SG_DRIFTS + k];
        assert_true(d->n > 60 && d->difference.value == 0 && !d->moved);
    }
    assert_true(c.file[1].changes.brier.value == 0 && c.file[1].changes.auc.value == 0 &&
                c.file[1].aiq == c.file[0].aiq);
    for (int i = 0; i < SG_COMPARE_BUDGETS; i++) {
        assert_true(c.file[1].accuracy_difference[i].value == 0);
        assert_true(c.file[1].accuracy_difference[i].high == 0);
    }
    sg_comparison_free(&c);
    sg_dataset_free(&night[0]), sg_dataset_free(&night[1]);
    sg_results_free(&a), sg_results_free(&b);
}

static void drift_is_found(void **state) {
    (void)state;
    const struct fake f = {.n = 150, .m = 4, .seed = 9, .truth = true, .noise = 0.5};
    int false_alarms = 0;
    for (uint64_t s = 0; s < 20; s++) {
        struct sg_results a = results(f), b = results(f);
        for (int64_t i = 0; i < f.n * f.m;
             i++) { /* another night: the same but for noise, and model 2 got longer */
            b.p_correct[i] = fmin(1, fmax(0, b.p_correct[i] + 0.1 * fake_normal(50 + s, (uint64_t)i)));
            b.length_mean[i] *=
                exp(0.2 * fake_normal(90 + s, (uint64_t)i)) / exp(0.02) * (i % 4 == 2 ? 1.15 : 1);
        }
        struct sg_dataset night[2] = {dataset(&a), dataset(&b)};
        struct sg_comparison c;
        struct sg_analysis_options o = defaults;
        o.reps = 0;
        assert_int_equal(sg_compare(night, 2, &o, &c, NULL), SG_OK);
        bool alarm = false;
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < SG_DRIFTS; i++) {
                const struct sg_drift *d = &c.drift[(4 + k) * SG_DRIFTS + i];
                if (k == 2 && i == SG_DRIFT_LENGTH)
                    assert_true(d->moved && d->difference.low > 0);
                else if (k == 2 && i == SG_DRIFT_COST)
                    assert_true(d->difference.value > 0); /* longer at the same price */
                else
                    alarm = alarm || d->moved;
            }
        false_alarms += alarm;
        sg_comparison_free(&c);
        sg_dataset_free(&night[0]), sg_dataset_free(&night[1]);
        sg_results_free(&a), sg_results_free(&b);
    }
    assert_true(false_alarms <= 4); /* 5 % a night: 4 of 20 and more happens in 1.6 % */
}

/* Another night with all prices 10 % up and the lengths of model 1 a fifth up: no price is called drift, a
 * model and queries that one night lacks are named. */
static void cells_of_two_nights(void **state) {
    (void)state;
    const struct fake f = {.n = 120, .m = 4, .seed = 9, .truth = true, .noise = 0.5};
    struct sg_results a = results(f), b = results(f);
    for (int k = 0; k < 4; k++) b.price_input[k] *= 1.1, b.price_output[k] *= 1.1;
    for (int64_t i = 0; i < f.n * f.m; i++) {
        if (i % 4 == 1) b.length_mean[i] *= 1.2;
        b.cost[i] =
            b.prompt_tokens[i] / 1e6 * b.price_input[i % 4] + b.length_mean[i] / 1e6 * b.price_output[i % 4];
    }
    b.model[3][0] = 'X';
    for (int q = 0; q < 5; q++) b.query[q][0] = 'X';
    char job_a[] = "{\"sampling\": {\"seed\": 1, \"top_p\": 0.9}, \"name\": \"a\"}",
         job_b[] = "{\"sampling\": {\"seed\": 2, \"top_p\": 0.9}, \"name\": \"b\"}";
    a.job_text = job_a, b.job_text = job_b;
    struct sg_dataset night[2] = {dataset(&a), dataset(&b)};
    struct sg_comparison c;
    struct sg_err err = {0};
    if (sg_compare(night, 2, &defaults, &c, &err) != SG_OK) fail_msg("%s", err.text);
    const struct sg_compared *x = &c.file[1];
    assert_string_equal(x->settings, "sampling.seed: 1 -> 2");
    assert_true(x->another_seed);
    assert_string_equal(x->new_models, "Xaker/model-03");
    assert_string_equal(x->gone_models, "maker/model-03");
    assert_int_equal(x->new_queries, 5);
    assert_int_equal(x->gone_queries, 5);
    assert_int_equal(c.n_queries, 115);
    assert_true(x->changes.verdicts == 0 && x->changes.p_largest == 0 && x->changes.length.low > 0);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < SG_DRIFTS; i++) {
            const struct sg_drift *d = &c.drift[(3 + k) * SG_DRIFTS + i];
            const bool price = i == SG_DRIFT_PRICE_INPUT || i == SG_DRIFT_PRICE_OUTPUT,
                       longer = k == 1 && (i == SG_DRIFT_LENGTH || i == SG_DRIFT_COST);
            assert_int_equal(d->moved, price || longer);
            if (price) assert_near(d->after / d->before, 1.1, 1e-12);
            if (price) assert_true(isnan(d->p_value) && isnan(d->holm));
        }
    sg_comparison_free(&c);
    sg_dataset_free(&night[0]), sg_dataset_free(&night[1]);
    sg_results_free(&a), sg_results_free(&b);
}

/* What is advised on the night before and on one with prices 10 % up, model 1 longer by a fifth, another name for the best
 * model and for five queries: the bill's parts sum to its change and are what a count over the queries gives. */
static void advice_of_two_nights(void **state) {
    (void)state;
    const struct fake f = {.n = 120,
                           .m = 4,
                           .seed = 9,
                           .truth = false,
                           .noise = 0.3,
                           .categories = 2,
                           .anchors = 150,
                           .calibrated = 60};
    struct sg_results a = results(f), b = results(f);
    for (int k = 0; k < 4; k++) b.price_input[k] *= 1.1, b.price_output[k] *= 1.1;
    for (int64_t i = 1; i < 150 * 4; i += 4) {
        if (i < 120 * 4) b.length_mean[i] *= 1.2;
        if (i < 60 * 4) b.calibration->length_mean[i] *= 1.2;
        b.anchors.completion_tokens[i] = (int32_t)(1.2 * b.anchors.completion_tokens[i]);
    }
    for (int64_t i = 0; i < f.n * f.m; i++)
        b.cost[i] =
            b.prompt_tokens[i] / 1e6 * b.price_input[i % 4] + b.length_mean[i] / 1e6 * b.price_output[i % 4];
    b.model[3][0] = 'X';
    for (int q = 0; q < 5; q++) b.query[q][0] = 'X';
    struct sg_dataset night[2] = {dataset(&a), dataset(&b)};
    struct sg_err err = {0};
    const char *cap = "maker/model-03=0.4"; /* of a model that is gone the second night */
    const struct sg_advice_options wanted = {
        .estimate = SG_ESTIMATE_ANCHORED, .seed = 1, .n_grid = 9, .at_most = &cap, .n_at_most = 1};
    struct sg_advice advice;
    if (sg_advise(&night[0], &wanted, &advice, &err) != SG_OK) fail_msg("%s", err.text);
    struct sg_analysis_options o = defaults;
    const double target = 0.99;
    o.reps = 0, o.advice = &advice, o.targets = &target, o.n_targets = 1;
    struct sg_analysis first = analysis(&night[0], &o);
    struct sg_nights x = {.n_asked = 0};
    if (sg_nights_add(&x, &first, &night[1], &wanted, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(x.n_asked, 6);
    assert_int_equal(x.n_nights, 6);
    size_t seen = 0, some = 0;
    for (size_t i = 0; i < 5; i++) {
        const struct sg_night *n = &x.night[i];
        const struct sg_asked_policy *was = &first.policies[i];
        double prices = 0, lengths = 0;
        int64_t left = 0;
        assert_string_equal(n->asked, was->name);
        assert_near(n->bill_before, was->predicted_cost.value, 1e-15);
        assert_int_equal(n->common, 115);
        if (isnan(n->bill_after)) { /* prices are up: the least budget fits nothing now */
            assert_string_equal(n->after.kind, "none");
            continue;
        }
        some++;
        for (int64_t q = 5; q < f.n; q++) {
            const int32_t k = was->model[q];
            if (k == 3) { /* gone: its cost is left, all of it by routing */
                left++;
                continue;
            }
            const double old = night[0].c[q * 4 + k], new = night[1].c[q * 4 + k];
            prices += 0.1 * old / 115;
            lengths += (new - 1.1 * old) / 115;
            if (k != 1) assert_near(new, 1.1 * old, 0.02 * old); /* means over other queries */
        }
        assert_near(n->prices, prices, 1e-12);
        assert_near(n->lengths, lengths, 1e-12);
        assert_near(n->bill_before + n->prices + n->lengths + n->routing + n->queries, n->bill_after, 1e-15);
        assert_true(n->rerouted >= left);
        int64_t moved = 0, listed = 0;
        for (size_t j = 0; j < x.n_moves; j++) moved += x.move[j].asked == n->asked ? x.move[j].queries : 0;
        for (size_t j = 0; j < x.n_reroutes; j++) {
            const struct sg_reroute *r = &x.reroute[j];
            assert_string_not_equal(r->before, r->after);
            listed += r->asked == n->asked;
        }
        assert_int_equal(moved, n->rerouted);
        assert_int_equal(listed, n->rerouted);
        seen += (size_t)listed;
        assert_near(n->difference.value, n->after.accuracy.value - n->before.accuracy.value, 1e-15);
        assert_true(n->difference.low <= n->difference.value && n->difference.value <= n->difference.high);
    }
    assert_int_equal(seen, x.n_reroutes);
    assert_true(some >= 3 && seen > 50);
    assert_string_equal(x.night[5].asked, "target=0.99");
    assert_string_equal(x.night[5].before.kind, "none");
    assert_non_null(strstr(x.night[5].after.sentence, "Out of reach"));
    sg_nights_free(&x);
    sg_analysis_free(&first);
    sg_advice_free(&advice);
    sg_dataset_free(&night[0]), sg_dataset_free(&night[1]);
    sg_results_free(&a), sg_results_free(&b);
}

static void nothing_in_common(void **state) {
    (void)state;
    struct sg_results a = results((struct fake){.n = 20, .m = 2, .seed = 1, .truth = true});
    struct sg_results b = results((struct fake){.n = 20, .m = 2, .seed = 1, .truth = true});
    for (int k = 0; k < 2; k++) b.model[k][0] = 'X';
    struct sg_dataset d[2] = {dataset(&a), dataset(&b)};
    struct sg_comparison c;
    struct sg_err err = {0};
    assert_int_equal(sg_compare(d, 2, &defaults, &c, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "no model in common"));
    sg_dataset_free(&d[0]), sg_dataset_free(&d[1]);
    sg_results_free(&a), sg_results_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_are_averaged),    cmocka_unit_test(asked_is_scored),
        cmocka_unit_test(holes_in_the_truth),     cmocka_unit_test(posterior_bands),
        cmocka_unit_test(votes_of_another_scale), cmocka_unit_test(metrics_with_intervals_cover),
        cmocka_unit_test(noise_of_samples),       cmocka_unit_test(holm),
        cmocka_unit_test(compared_in_any_order),  cmocka_unit_test(drift_is_found),
        cmocka_unit_test(cells_of_two_nights),    cmocka_unit_test(advice_of_two_nights),
        cmocka_unit_test(nothing_in_common),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Protects: the exact frontier. Every vertex and every budget between vertices against brute force over all
 * integral policies and against the Lagrangian dual, the tie rules, exact budgets, and what is refused. */
#include "analysis/frontier.h"
#include "analysis/sort.h"
#include "fake.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { Q = 5, M = 4 };

struct instance {
    int64_t n;
    int32_t m;
    double p[64], c[64];
};

/* Small random instances with the nasty cases in turn: ties, equal costs, zero costs, identical and dominated
 * models, missing cells, one model. */
static struct instance make(uint64_t seed, int kind) {
    struct instance x = {.n = Q, .m = kind == 6 ? 1 : M};
    for (int64_t q = 0; q < x.n; q++)
        for (int32_t k = 0; k < x.m; k++) {
            const int64_t at = q * x.m + k;
            x.p[at] = fake_uniform(seed, (uint64_t)at);
            x.c[at] = fake_uniform(seed + 1, (uint64_t)at);
            if (kind == 1) x.p[at] = floor(x.p[at] * 3) / 3;
            if (kind == 1) x.c[at] = floor(x.c[at] * 3) / 3;
            if (kind == 2) x.c[at] = 0.5;
            if (kind == 3 && k == 1) x.c[at] = 0;
            if (kind == 4) x.p[at] = x.p[q * x.m], x.c[at] = x.c[q * x.m];
            if (kind == 5 && k > 0) x.p[at] = x.p[q * x.m] * 0.9, x.c[at] = x.c[q * x.m] + 0.1 * k;
            if (kind == 7 && k == (q % x.m)) x.p[at] = (double)NAN;
        }
    return x;
}

static struct sg_path build(const struct instance *x) {
    struct sg_path path;
    struct sg_err err = {0};
    const struct sg_path_input in = {.n = x->n, .m = x->m, .p = x->p, .c = x->c};
    if (sg_path_frontier(&in, &path, &err) != SG_OK) fail_msg("%s", err.text);
    return path;
}

/* min over lambda of lambda B + mean_q max_m (p - lambda c): the LP's dual, its minimum lies at a slope
 * between two points of a query or at 0. */
static double dual(const struct instance *x, double budget) {
    double best = INFINITY;
    for (int64_t q = 0; q < x->n; q++)
        for (int32_t i = 0; i < x->m; i++)
            for (int32_t j = 0; j < x->m; j++) {
                const double dc = x->c[q * x->m + j] - x->c[q * x->m + i];
                double lambda = (x->p[q * x->m + j] - x->p[q * x->m + i]) / dc;
                if (!(dc > 0) || !(lambda > 0)) lambda = 0;
                double v = lambda * budget;
                for (int64_t r = 0; r < x->n; r++) {
                    double top = -INFINITY;
                    for (int32_t k = 0; k < x->m; k++)
                        if (!isnan(x->p[r * x->m + k]))
                            top = fmax(top, x->p[r * x->m + k] - lambda * x->c[r * x->m + k]);
                    v += top / (double)x->n;
                }
                best = fmin(best, v);
            }
    return best;
}

/* The best integral policy within the budget, by trying all m^n. */
static double enumerate(const struct instance *x, double budget) {
    double best = -INFINITY;
    int64_t count = 1;
    for (int64_t q = 0; q < x->n; q++) count *= x->m;
    for (int64_t i = 0; i < count; i++) {
        double p = 0, c = 0;
        int64_t rest = i;
        for (int64_t q = 0; q < x->n; q++, rest /= x->m) {
            p += x->p[q * x->m + rest % x->m];
            c += x->c[q * x->m + rest % x->m];
        }
        if (!isnan(p) && c / (double)x->n <= budget + 1e-15) best = fmax(best, p / (double)x->n);
    }
    return best;
}

static void against_brute_force(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        for (int kind = 0; kind <= 7; kind++) {
            const struct instance x = make(seed * 100 + (uint64_t)kind, kind);
            struct sg_path path = build(&x);
            double low = 0, high = 0;
            for (int64_t q = 0; q < x.n; q++) low += path.start_c[q] / (double)x.n;
            high = low;
            for (int64_t s = 0; s < path.n_steps; s++) high += path.dc[s] / (double)x.n;
            for (int i = 0; i <= 20; i++) {
                const double budget = low + (high + 0.1 - low) * i / 20;
                struct sg_policy pol;
                struct sg_err err = {0};
                assert_int_equal(sg_path_at_budget(&path, budget, &pol, &err), SG_OK);
                assert_true(pol.c <= budget + 1e-12);
                assert_near(pol.p, dual(&x, budget), 1e-12);
                const double whole = enumerate(&x, budget);
                assert_true(pol.p >= whole - 1e-12);
                /* rounding the one mixed query loses at most 1/n */
                assert_true(pol.p <= whole + 1.0 / (double)x.n + 1e-12);
                if (budget < high) assert_near(pol.c, budget, 1e-12);
            }
            sg_path_free(&path);
        }
}

static void concave_and_monotone(void **state) {
    (void)state;
    enum { N = 400, K = 12 };
    static double p[N * K], c[N * K];
    for (int i = 0; i < N * K; i++) {
        p[i] = fake_uniform(7, (uint64_t)i);
        c[i] = exp(3 * fake_uniform(8, (uint64_t)i));
    }
    const struct sg_path_input in = {.n = N, .m = K, .p = p, .c = c};
    struct sg_path path;
    assert_int_equal(sg_path_frontier(&in, &path, NULL), SG_OK);
    assert_true(path.n_steps > N);
    int32_t at[N];
    for (int64_t q = 0; q < N; q++) at[q] = path.model[path.first[q]];
    for (int64_t s = 0; s < path.n_steps; s++) {
        assert_true(path.dp[s] > 0 && path.dc[s] > 0);
        if (s) assert_true(path.key[s] <= path.key[s - 1]);
        /* the walk is consistent: each step leaves the vertex that the query is at */
        const int32_t q = path.query[s];
        assert_int_equal(path.model[path.vertex[s] - 1], at[q]);
        at[q] = path.model[path.vertex[s]];
    }
    for (int64_t q = 0; q < N; q++) /* at the end every query has its best model */
        for (int32_t k = 0; k < K; k++) assert_true(p[q * K + at[q]] >= p[q * K + k]);
    sg_path_free(&path);
}

static void tie_rules(void **state) {
    (void)state;
    /* equal cost: the higher p; equal (c, p): the first model; dearer and no better: never */
    const double p[] = {0.5, 0.7, 0.7, 0.7, 0.2, 0.2}, c[] = {1, 1, 1, 2, 3, 0.5};
    const struct sg_path_input in = {.n = 1, .m = 6, .p = p, .c = c};
    struct sg_path path;
    assert_int_equal(sg_path_frontier(&in, &path, NULL), SG_OK);
    assert_int_equal(path.n_vertices, 2);
    assert_int_equal(path.model[0], 5);
    assert_int_equal(path.model[1], 1);
    sg_path_free(&path);
}

static void budgets_met_exactly(void **state) {
    (void)state;
    enum { N = 2000, K = 9 };
    static double p[N * K], c[N * K];
    for (int i = 0; i < N * K; i++) {
        p[i] = fake_uniform(17, (uint64_t)i);
        c[i] = 1e-3 * exp(5 * fake_uniform(18, (uint64_t)i));
    }
    const struct sg_path_input in = {.n = N, .m = K, .p = p, .c = c};
    struct sg_path path;
    assert_int_equal(sg_path_frontier(&in, &path, NULL), SG_OK);
    uint32_t *vertex = calloc(N, sizeof *vertex);
    struct sg_policy all;
    sg_path_at_lambda(&path, 0, &all);
    for (int i = 1; i < 50; i++) {
        struct sg_policy pol, again;
        double low = 0, cost = 0, accuracy = 0;
        for (int64_t q = 0; q < N; q++) low += path.start_c[q] / N;
        const double budget = low + (all.c - low) * i / 50;
        assert_int_equal(sg_path_at_budget(&path, budget, &pol, NULL), SG_OK);
        sg_path_vertices(&path, pol.steps, vertex);
        for (int64_t q = 0; q < N; q++) { /* the mixed policy, summed afresh */
            const int64_t a = q * K + path.model[vertex[q]];
            const bool mixed = pol.weight > 0 && q == path.query[pol.steps];
            const int64_t b = mixed ? q * K + path.model[path.vertex[pol.steps]] : a;
            if (mixed) assert_int_equal(path.vertex[pol.steps], vertex[q] + 1);
            const double w = mixed ? pol.weight : 0;
            cost += ((1 - w) * c[a] + w * c[b]) / N;
            accuracy += ((1 - w) * p[a] + w * p[b]) / N;
        }
        assert_true(fabs(cost - budget) < 1e-12);
        assert_true(fabs(accuracy - pol.p) < 1e-12);
        assert_int_equal(sg_path_at_target(&path, pol.p, &again, NULL), SG_OK); /* and back */
        assert_true(fabs(again.c - budget) < 1e-10);
        sg_path_at_lambda(&path, pol.lambda * (1 + 1e-9), &again);
        assert_true(again.steps <= pol.steps && again.c <= budget + 1e-12);
    }
    free(vertex);
    sg_path_free(&path);
}

static void refusals(void **state) {
    (void)state;
    const double p[] = {0.5, 0.7, 0.1, 0.9}, c[] = {1, 2, 3, 4};
    const struct sg_path_input in = {.n = 2, .m = 2, .p = p, .c = c};
    struct sg_path path;
    struct sg_policy pol;
    struct sg_err err = {0};
    assert_int_equal(sg_path_frontier(&in, &path, NULL), SG_OK);
    assert_int_equal(sg_path_at_budget(&path, 1.9, &pol, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "is already 2;")); /* says the least budget */
    assert_int_equal(sg_path_at_budget(&path, 2, &pol, &err), SG_OK);
    assert_int_equal(sg_path_at_target(&path, 0.81, &pol, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "0.8"));
    assert_int_equal(sg_path_at_target(&path, 0.8, &pol, &err), SG_OK);
    sg_path_free(&path);
    const double none[] = {0.5, 0.7, (double)NAN, (double)NAN};
    const struct sg_path_input bad = {.n = 2, .m = 2, .p = none, .c = c};
    assert_int_equal(sg_path_frontier(&bad, &path, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "query 1"));
}

static void families_by_choice(void **state) {
    (void)state;
    const double p[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, c[] = {1, 2, 3, 4, 5, 6}, knob[] = {0, 0.5, 1};
    const int32_t choice[] = {0, 2, 1, 2, 0, 1}; /* [3 knobs][2 queries] */
    const struct sg_path_input in = {.n = 2, .m = 3, .p = p, .c = c};
    struct sg_path path;
    assert_int_equal(sg_path_choices(&in, choice, knob, 3, &path, NULL), SG_OK);
    assert_int_equal(path.n_steps, 3);
    const uint8_t stop[] = {1, 0, 1};
    assert_memory_equal(path.stop, stop, sizeof stop);
    uint32_t vertex[2];
    for (int64_t k = 0, steps[] = {0, 1, 3}; k < 3; k++) {
        sg_path_vertices(&path, steps[k], vertex);
        for (int q = 0; q < 2; q++) assert_int_equal(path.model[vertex[q]], choice[k * 2 + q]);
    }
    sg_path_free(&path);
}

static void sorting(void **state) {
    (void)state;
    enum { N = 5000 };
    static double x[N], copy[N];
    uint32_t order[N];
    for (int i = 0; i < N; i++)
        x[i] = i % 3 == 0 ? -floor(50 * fake_uniform(3, (uint64_t)i)) : fake_normal(4, (uint64_t)i);
    x[7] = -0.0, x[9] = 0.0, x[11] = INFINITY, x[13] = -INFINITY;
    for (int falling = 0; falling < 2; falling++) {
        assert_int_equal(sg_sort_order(x, N, falling, order, NULL), SG_OK);
        for (int i = 1; i < N; i++) {
            const double a = x[order[i - 1]], b = x[order[i]];
            assert_true(falling ? a >= b : a <= b);
            if (a == b) assert_true(order[i - 1] < order[i]);
        }
    }
    memcpy(copy, x, sizeof x);
    sg_sort_order(x, N, false, order, NULL);
    assert_true(sg_quantile(copy, N, 0.5) == (x[order[2499]] + x[order[2500]]) / 2);
    assert_true(isnan(sg_quantile(copy, 0, 0.5)));
}

static bool in_order(const struct sg_point *a, const struct sg_point *b) {
    return a->c != b->c ? a->c < b->c : a->p != b->p ? a->p > b->p : a->model <= b->model;
}

/* Lists short and long, all costs different or some alike: nothing is lost, and each pair stands in order. */
static void points(void **state) {
    (void)state;
    enum { MOST = 1500 };
    static struct sg_point x[MOST];
    for (int32_t n = 0; n <= MOST; n = n < 260 ? n + 1 : n + 413)
        for (int ties = 0; ties < 2; ties++) {
            uint8_t seen[MOST] = {0};
            for (int32_t i = 0; i < n; i++) {
                const double c = fake_uniform(7, (uint64_t)(n * MOST + i));
                x[i] = (struct sg_point){.c = ties ? floor(c * n) : c - 0.5, .p = i % 3, .model = i};
            }
            sg_sort_points(x, n);
            for (int32_t i = 0; i < n; i++) {
                assert_false(seen[x[i].model]++);
                assert_true(x[i].p == x[i].model % 3);
                assert_true(!i || in_order(&x[i - 1], &x[i]));
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_brute_force),
        cmocka_unit_test(concave_and_monotone),
        cmocka_unit_test(tie_rules),
        cmocka_unit_test(budgets_met_exactly),
        cmocka_unit_test(refusals),
        cmocka_unit_test(families_by_choice),
        cmocka_unit_test(sorting),
        cmocka_unit_test(points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Protects: portfolio value. Shapley against its definition over all subsets, its sum, greedy and
 * leave-one-out the slow way. */
#include "analysis/portfolio_value.h"
#include "fake.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 30, M = 6 };

static double value(const double *p, const double *c, const uint8_t *use, double lambda, unsigned set) {
    double sum = 0, n = 0;
    for (int q = 0; q < N; q++) {
        if (use && !use[q]) continue;
        double best = 0;
        for (int k = 0; k < M; k++)
            if (set >> k & 1 && !isnan(p[q * M + k])) best = fmax(best, p[q * M + k] - lambda * c[q * M + k]);
        sum += best;
        n++;
    }
    return sum / n;
}

static double factorial(int n) {
    return n <= 1 ? 1 : n * factorial(n - 1);
}

static void against_definitions(void **state) {
    (void)state;
    double p[N * M], c[N * M];
    uint8_t use[N];
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < N * M; i++) {
            p[i] = fake_uniform(1 + (uint64_t)kind, (uint64_t)i);
            c[i] = fake_uniform(2, (uint64_t)i);
            if (kind == 1) p[i] = floor(p[i] * 4) / 4, c[i] = 0.25; /* ties */
            if (kind == 2 && i % 5 == 0) p[i] = (double)NAN;
            if (kind == 3 && i % M == 2) p[i] = p[i - 1], c[i] = c[i - 1]; /* a twin */
        }
        for (int q = 0; q < N; q++) use[q] = kind != 2 || q % 3 != 0;
        for (int l = 0; l < 3; l++) {
            const double lambda = l * 0.7;
            struct sg_portfolio_value v;
            assert_int_equal(sg_portfolio_value(p, c, use, N, M, lambda, &v, NULL), SG_OK);
            const unsigned all = (1u << M) - 1;
            double sum = 0;
            assert_near(v.total, value(p, c, use, lambda, all), 1e-12);
            for (int k = 0; k < M; k++) {
                double phi = 0;
                for (unsigned s = 0; s <= all; s++) {
                    if (s >> k & 1) continue;
                    const int size = __builtin_popcount(s);
                    phi += factorial(size) * factorial(M - size - 1) / factorial(M) *
                           (value(p, c, use, lambda, s | 1u << k) - value(p, c, use, lambda, s));
                }
                assert_near(v.shapley[k], phi, 1e-12);
                assert_near(v.leave_one_out[k], v.total - value(p, c, use, lambda, all & ~(1u << k)), 1e-12);
                assert_near(v.alone[k], value(p, c, use, lambda, 1u << k), 1e-12);
                sum += v.shapley[k];
            }
            assert_near(sum, v.total, 1e-12); /* efficiency */
            unsigned have = 0;
            for (int r = 0; r < M; r++) { /* each adds most to those before it, the first of equals */
                int best = -1;
                double top = -1;
                for (int k = 0; k < M; k++)
                    if (!(have >> k & 1) && value(p, c, use, lambda, have | 1u << k) > top + 1e-13)
                        top = value(p, c, use, lambda, have | 1u << k), best = k;
                assert_near(v.greedy_value[r], top, 1e-12);
                assert_int_equal(v.greedy[r], best);
                have |= 1u << v.greedy[r];
            }
            assert_int_equal(have, all);
            if (kind == 3) assert_near(v.shapley[1], v.shapley[2], 1e-12); /* symmetry */
            sg_portfolio_value_free(&v);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_definitions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

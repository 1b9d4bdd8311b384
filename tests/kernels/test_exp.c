/* The cpu backend's exp keeps its stated bound (2.4e-7 relative on [-87, 88], 0 below, +inf above, NaN for
 * NaN) and has the same bits on every instruction set. */
#include "kernels/cpu/cpu.h"

#include "kt.h"

enum { N = 1 << 20 };

static void test_bound_and_bits(void **state) {
    (void)state;
    float *x = kt_malloc(N * sizeof *x), *first = kt_malloc(N * sizeof *x), *y = kt_malloc(N * sizeof *x);
    for (int i = 0; i < N; i++) x[i] = (float)(-92 + 184 * kt_uniform(7, i));
    for (int i = 0; i < N / 4; i++) x[i] = (float)(2 * kt_uniform(8, i) - 1) * 1e-3f; /* around zero */
    const float edges[] = {0,         -0.0f, -87,   88,     1,      -1,        INFINITY,
                           -INFINITY, NAN,   1e30f, -1e30f, 1e-40f, 87.99999f, -87.00001f};
    memcpy(x, edges, sizeof edges);
    for (const char *const *isa = kt_isas(); *isa; isa++) {
        sg__isa_find(*isa, false, NULL)->exp(x, N, y);
        if (isa == kt_isas()) memcpy(first, y, N * sizeof *y);
        kt_same_bits(*isa, y, first, N);
        double worst = 0;
        for (int i = 0; i < N; i++) {
            if (isnan(x[i])) {
                assert_true(isnan(y[i]));
            } else if (x[i] < -87) {
                assert_true(y[i] == 0);
            } else if (x[i] > 88) {
                assert_true(isinf(y[i]));
            } else if (x[i] < 88) {
                worst = fmax(worst, fabs((double)y[i] / exp((double)x[i]) - 1));
            }
        }
        printf("%s: largest relative error %.3g\n", *isa, worst);
        assert_true(worst <= 2.4e-7);
        assert_true(y[0] == 1 && y[1] == 1);
    }
    free(x), free(first), free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bound_and_bits)};
    return cmocka_run_group_tests_name("exp", tests, NULL, NULL);
}

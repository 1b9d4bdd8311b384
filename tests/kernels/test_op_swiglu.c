/* sg_op_swiglu. Error model: exp within 4 u relative, which silu passes on undiminished where exp rules
 * (gate far below zero), and three more roundings: 8 u relative, plus the output's rounding; below the range
 * of exp (gate < -87) silu may flush to zero. */
#include "kt.h"

static void run(struct sg_dev *dev, const float *in, int32_t n, int32_t cols, float *out) {
    void *x = kt_act(dev, in, (int64_t)n * 2 * cols), *y = kt_act(dev, NULL, (int64_t)n * cols);
    KT_OK(sg_op_swiglu(dev, x, n, cols, y, &err));
    kt_act_get(dev, y, (int64_t)n * cols, out);
    sg_dev_free(dev, x), sg_dev_free(dev, y);
}

static void check(struct sg_dev *dev, int32_t n, int32_t cols) {
    const int64_t size = (int64_t)n * cols;
    float *in = kt_malloc((size_t)size * 2 * sizeof *in), *out = kt_malloc((size_t)size * sizeof *out);
    float *alone = kt_malloc((size_t)cols * sizeof *out);
    double *want = kt_malloc((size_t)size * sizeof *want), *bound = kt_malloc((size_t)size * sizeof *bound);
    kt_fill(in, 2 * size, 31, 3, true); /* outliers reach +-300: both ends of exp */
    kt_round_act(dev, in, 2 * size);
    run(dev, in, n, cols, out);
    for (int64_t i = 0; i < n; i++)
        for (int32_t j = 0; j < cols; j++) {
            const double g = in[i * 2 * cols + j], u = in[i * 2 * cols + cols + j], y = g / (1 + exp(-g)) * u;
            want[i * cols + j] = y;
            bound[i * cols + j] =
                fabs(y) * (8 * KT_U + kt_act_round(dev) + kt_inner_round(dev)) + fabs(u) * 88 * 1.7e-38;
        }
    kt_close("swiglu", out, want, bound, size);
    for (int32_t i = 0; i < n; i++) {
        run(dev, in + (int64_t)i * 2 * cols, 1, cols, alone);
        kt_same_bits("swiglu of one row", alone, out + (int64_t)i * cols, cols);
    }
    free(in), free(out), free(alone), free(want), free(bound);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    check(dev, 1, 1);
    check(dev, 19, 99);
    check(dev, 99, 19);
    check(dev, 8, 1024);
    sg_dev_close(dev);
}

static void test_nan(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(1);
    kt_reserve(dev, NULL);
    float in[40], out[20];
    for (int i = 0; i < 40; i++) in[i] = 1;
    in[3] = NAN, in[20 + 7] = NAN;
    run(dev, in, 1, 20, out);
    for (int i = 0; i < 20; i++) assert_true(isnan(out[i]) == (i == 3 || i == 7));
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_nan)};
    return cmocka_run_group_tests_name("swiglu", tests, NULL, NULL);
}

/* sg_op_l2norm. Error model: sum of squares (cols + 1) u relative, halved by the root, three roundings. Rows
 * whose squares leave the range of float, the zero row (0 by the floor of 1e-12) and NaN too. */
#include "kt.h"

static void run(struct sg_dev *dev, const float *in, int32_t n, int32_t cols, float *out) {
    void *x = kt_act(dev, in, (int64_t)n * cols);
    float *y = kt_f32(dev, NULL, (int64_t)n * cols);
    KT_OK(sg_op_l2norm(dev, x, n, cols, y, &err));
    kt_get(dev, y, (size_t)n * (size_t)cols * sizeof *out, out);
    sg_dev_free(dev, x), sg_dev_free(dev, y);
}

static void check(struct sg_dev *dev, int32_t n, int32_t cols, float scale) {
    const int64_t size = (int64_t)n * cols;
    float *in = kt_malloc((size_t)size * sizeof *in), *out = kt_malloc((size_t)size * sizeof *out);
    double *want = kt_malloc((size_t)size * sizeof *want), *bound = kt_malloc((size_t)size * sizeof *bound);
    kt_fill(in, size, 51, scale, true);
    kt_round_act(dev, in, size);
    run(dev, in, n, cols, out);
    for (int32_t i = 0; i < n; i++) {
        double squares = 0;
        for (int32_t j = 0; j < cols; j++) squares += (double)in[i * cols + j] * in[i * cols + j];
        for (int32_t j = 0; j < cols; j++) {
            const double y = in[i * cols + j] / fmax(sqrt(squares), 1e-12);
            want[i * cols + j] = y;
            bound[i * cols + j] = fabs(y) * (0.5 * (cols + 1) + 4) * KT_U;
        }
    }
    kt_close("l2norm", out, want, bound, size);
    free(in), free(out), free(want), free(bound);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const float scales[] = {1, 1e-18f, 1e18f, 1e-10f};
    for (int s = 0; s < 4; s++) {
        check(dev, 1, 1, scales[s]);
        check(dev, 19, 99, scales[s]);
        check(dev, 5, 1024, scales[s]);
    }
    float in[60] = {0}, out[60];
    in[20] = NAN;
    in[40] = 3e-13f; /* below the floor: divided by 1e-12 */
    run(dev, in, 3, 20, out);
    for (int j = 0; j < 20; j++) assert_true(out[j] == 0 && isnan(out[20 + j]));
    assert_true(fabs((double)out[40] - 0.3) < 0.3 * 0x1p-7);
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};
    return cmocka_run_group_tests_name("l2norm", tests, NULL, NULL);
}

/* sg_op_add_rmsnorm. Error model: the sum of squares has a relative error of (cols + 1) u at most, the
 * square root halves it, then five roundings; the residual is float32 on every device. */
#include "kt.h"

static void run(struct sg_dev *dev, const float *resid, const float *delta, const float *gain, int32_t n,
                int32_t cols, float eps, float *sum, float *out) {
    const int64_t size = (int64_t)n * cols;
    void *d = delta ? kt_act(dev, delta, size) : NULL, *o = kt_act(dev, NULL, size);
    float *g = kt_f32(dev, gain, cols), *r = kt_f32(dev, resid, size);
    KT_OK(sg_op_add_rmsnorm(dev, r, d, g, n, cols, eps, o, &err));
    kt_get(dev, r, (size_t)size * sizeof *sum, sum);
    kt_act_get(dev, o, size, out);
    sg_dev_free(dev, r), sg_dev_free(dev, d), sg_dev_free(dev, o), sg_dev_free(dev, g);
}

static void check(struct sg_dev *dev, int32_t n, int32_t cols, bool with_delta) {
    const int64_t size = (int64_t)n * cols;
    const size_t bytes = (size_t)size * sizeof(float);
    float *resid = kt_malloc(bytes), *delta = kt_malloc(bytes),
          *gain = kt_malloc((size_t)cols * sizeof(float));
    float *sum = kt_malloc(bytes), *out = kt_malloc(bytes), *one = kt_malloc(bytes),
          *one_sum = kt_malloc(bytes);
    double *want = kt_malloc(2 * bytes), *bound = kt_malloc(2 * bytes);
    kt_fill(resid, size, 21, 1, true);
    kt_fill(delta, size, 22, 1, true);
    kt_fill(gain, cols, 23, 2, false);
    kt_round_act(dev, delta, size);
    const float eps = 1e-6f;
    run(dev, resid, with_delta ? delta : NULL, gain, n, cols, eps, sum, out);
    for (int64_t i = 0; i < size; i++) {
        want[i] = with_delta ? (double)resid[i] + delta[i] : (double)resid[i];
        bound[i] = with_delta ? KT_U * fabs(want[i]) : 0;
    }
    kt_close("resid", sum, want, bound, size);
    for (int32_t i = 0; i < n; i++) {
        double squares = 0;
        for (int32_t j = 0; j < cols; j++) squares += (double)sum[i * cols + j] * sum[i * cols + j];
        for (int32_t j = 0; j < cols; j++) {
            const double y = sum[i * cols + j] / sqrt(squares / cols + eps) * gain[j];
            want[i * cols + j] = y;
            bound[i * cols + j] =
                fabs(y) * ((0.5 * (cols + 1) + 6) * KT_U + kt_act_round(dev) + 2 * kt_inner_round(dev));
        }
    }
    kt_close("norm", out, want, bound, size);
    for (int32_t i = 0; i < n; i++) { /* each row alone: the same bits */
        run(dev, resid + i * cols, with_delta ? delta + i * cols : NULL, gain, 1, cols, eps, one_sum, one);
        kt_same_bits("norm of one row", one, out + i * cols, cols);
    }
    free(resid), free(delta), free(gain), free(sum), free(out), free(one), free(one_sum), free(want),
        free(bound);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const int32_t shapes[][2] = {{1, 1}, {1, 1024}, {19, 99}, {99, 19}, {7, 64}, {40, 2560}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        check(dev, shapes[s][0], shapes[s][1], true);
        check(dev, shapes[s][0], shapes[s][1], false);
    }
    sg_dev_close(dev);
}

/* Zero rows give zeros through eps; a NaN stays in its row. */
static void test_edges(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { N = 3, COLS = 40 };
    float resid[N * COLS] = {0}, gain[COLS], sum[N * COLS], out[N * COLS];
    for (int j = 0; j < COLS; j++) gain[j] = 1, resid[COLS + j] = 2;
    resid[2 * COLS + 3] = NAN;
    run(dev, resid, NULL, gain, N, COLS, 1e-6f, sum, out);
    for (int j = 0; j < COLS; j++) {
        assert_true(out[j] == 0);
        assert_true(fabs((double)out[COLS + j] - 1) < 1e-2);
        assert_true(isnan(out[2 * COLS + j]));
    }
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_edges)};
    return cmocka_run_group_tests_name("add_rmsnorm", tests, NULL, NULL);
}

/* sg_op_logprob. Error model: the sum of exps has a relative error of (vocab + 8) u at most, which the
 * logarithm turns into an absolute one; the logits' own magnitude adds three roundings. */
#include "kt.h"

static void run(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n, int32_t vocab,
                float *out) {
    float *x = kt_f32(dev, logits, (int64_t)n * vocab), *y = kt_f32(dev, NULL, n);
    int32_t *t = kt_i32(dev, target, n);
    KT_OK(sg_op_logprob(dev, x, t, n, vocab, y, &err));
    kt_get(dev, y, (size_t)n * sizeof *out, out);
    sg_dev_free(dev, x), sg_dev_free(dev, y), sg_dev_free(dev, t);
}

static void check(struct sg_dev *dev, int32_t n, int32_t vocab) {
    float *x = kt_malloc((size_t)n * (size_t)vocab * sizeof *x), *out = kt_malloc((size_t)n * sizeof *out),
          alone;
    int32_t *target = kt_malloc((size_t)n * sizeof *target);
    double *want = kt_malloc((size_t)n * sizeof *want), *bound = kt_malloc((size_t)n * sizeof *bound);
    kt_fill(x, (int64_t)n * vocab, 61, 8, false);
    for (int32_t i = 0; i < n; i++) {
        float *row = x + (int64_t)i * vocab;
        target[i] = kt_pick(62, i, vocab);
        for (int32_t j = 0; j < vocab && i % 3 == 2; j++) row[j] -= 300; /* exp of these is 0 in float */
        row[kt_pick(63, i, vocab)] = i % 3 == 0 ? 60 : i % 3 == 1 ? 200 : -280; /* one that rules the sum */
        row[kt_pick(64, i, vocab)] = -INFINITY;                                 /* one ruled out */
        if (row[target[i]] == -INFINITY) row[target[i]] = i % 3 == 2 ? -290 : 1;
        double top = -INFINITY, sum = 0;
        for (int32_t j = 0; j < vocab; j++) top = fmax(top, row[j]);
        for (int32_t j = 0; j < vocab; j++) sum += exp(row[j] - top);
        want[i] = row[target[i]] - top - log(sum);
        bound[i] = (vocab + 8) * KT_U + 3 * KT_U * (fabs(top) + fabs(want[i]));
    }
    run(dev, x, target, n, vocab, out);
    kt_close("logprob", out, want, bound, n);
    for (int32_t i = 0; i < n; i++) {
        run(dev, x + (int64_t)i * vocab, target + i, 1, vocab, &alone);
        kt_same_bits("logprob of one row", &alone, out + i, 1);
    }
    free(x), free(out), free(target), free(want), free(bound);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    check(dev, 19, 99);
    check(dev, 9, 4096);
    check(dev, 2, 151936);
    float x[3 * 19] = {0}, out[3];
    x[19 + 4] = NAN, x[2 * 19 + 5] = INFINITY;
    const int32_t target[3] = {3, 3, 3};
    run(dev, x, target, 3, 19, out);
    assert_true(fabs((double)out[0] + log(19)) < 1e-5);
    assert_true(isnan(out[1]));
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};
    return cmocka_run_group_tests_name("logprob", tests, NULL, NULL);
}

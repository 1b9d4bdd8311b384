/* sg_op_embed: looked-up rows are exact (of weights that the device keeps rounded, rounded once), from a table
 * that is only looked up and from one that is multiplied too. */
#include "kt.h"

static void check(enum sg_dtype t, unsigned use, int32_t rows, int32_t cols) {
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { N = 19 };
    const int64_t size = (int64_t)rows * cols;
    float *w = kt_malloc((size_t)size * sizeof *w), *y = kt_malloc(sizeof *y * N * (size_t)cols);
    float *want = kt_malloc(sizeof *y * N * (size_t)cols);
    kt_fill(w, size, 5, 2, true);
    void *bytes = kt_encode(w, size, t);
    const struct sg_weight_part part = {bytes, t, rows};
    struct sg_weight *weight;
    KT_OK(sg_weight_new(dev, &part, 1, cols, use, &weight, &err));
    assert_int_equal(sg_weight_bytes(weight), sg_weight_bytes_for(dev, rows, cols, t, use));
    int32_t ids[N];
    for (int i = 0; i < N; i++) {
        ids[i] = i == 0 ? 0 : i == 1 ? rows - 1 : kt_pick(6, i, rows);
        memcpy(want + i * cols, w + (int64_t)ids[i] * cols, (size_t)cols * sizeof *w);
    }
    kt_round_act(dev, want, (int64_t)N * cols);
    int32_t *d_ids = kt_i32(dev, ids, N);
    float *out = kt_f32(dev, NULL, (int64_t)N * cols);
    KT_OK(sg_op_embed(dev, weight, d_ids, N, out, &err));
    kt_get(dev, out, sizeof *y * N * (size_t)cols, y);
    kt_same_bits("embed", y, want, (int64_t)N * cols);
    sg_dev_free(dev, d_ids), sg_dev_free(dev, out), sg_weight_free(dev, weight);
    free(w), free(y), free(want), free(bytes);
    sg_dev_close(dev);
}

static void test_rows(void **state) {
    (void)state;
    for (int t = 0; t < SG_DTYPE_COUNT; t++) {
        check((enum sg_dtype)t, SG_USE_EMBED, 99, 19);
        check((enum sg_dtype)t, SG_USE_EMBED | SG_USE_LINEAR, 99, 19);
        check((enum sg_dtype)t, SG_USE_EMBED | SG_USE_LINEAR, 64, 256);
        check((enum sg_dtype)t, SG_USE_EMBED, 1, 8);
    }
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("embed", tests, NULL, NULL);
}

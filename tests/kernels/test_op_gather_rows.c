/* sg_op_gather_rows: exact copies, in any order, rows repeated. */
#include "kt.h"

static void test_rows(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const int32_t shapes[][3] = {{1, 1, 1}, {19, 7, 99}, {64, 99, 24}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int32_t n_x = shapes[s][0], n = shapes[s][1], cols = shapes[s][2];
        float *x = kt_malloc(sizeof *x * (size_t)n_x * (size_t)cols),
              *y = kt_malloc(sizeof *y * (size_t)n * (size_t)cols);
        int32_t *rows = kt_malloc(sizeof *rows * (size_t)n);
        kt_fill(x, (int64_t)n_x * cols, 41, 1, true);
        kt_round_act(dev, x, (int64_t)n_x * cols);
        x[0] = NAN;
        for (int32_t i = 0; i < n; i++) rows[i] = i == 0 ? n_x - 1 : kt_pick(42, i, n_x);
        void *dx = kt_act(dev, x, (int64_t)n_x * cols), *dy = kt_act(dev, NULL, (int64_t)n * cols);
        int32_t *dr = kt_i32(dev, rows, n);
        KT_OK(sg_op_gather_rows(dev, dx, n_x, dr, n, cols, dy, &err));
        kt_act_get(dev, dy, (int64_t)n * cols, y);
        for (int32_t i = 0; i < n; i++)
            kt_same_bits("row", y + (int64_t)i * cols, x + (int64_t)rows[i] * cols, cols);
        sg_dev_free(dev, dx), sg_dev_free(dev, dy), sg_dev_free(dev, dr);
        free(x), free(y), free(rows);
    }
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("gather_rows", tests, NULL, NULL);
}

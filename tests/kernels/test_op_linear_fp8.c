/* Weights with SG_USE_FP8: a product of them has the very bits of the product of the same weights rounded
 * beforehand and given as bf16, for every dtype, stacked parts, odd shapes, any batch; so for the LM head's
 * float32 results. A NaN or an infinity in one row of W reaches that output alone and is no number; memory is
 * what was said beforehand; other uses are refused. test_fp8 is about the rounding itself. */
#include "kernels/fp8.h"
#include "kt.h"

enum { MOST = 130 };

/* Rows in three parts of dtype t, the data one byte off any alignment. */
static struct sg_weight *make(struct sg_dev *dev, const void *data, int64_t rows, int64_t cols,
                              enum sg_dtype t, unsigned use) {
    const size_t width = sg_dtype_bytes(t), bytes = (size_t)(rows * cols) * width;
    unsigned char *moved = kt_malloc(bytes + 1);
    memcpy(moved + 1, data, bytes);
    const int64_t cut[4] = {0, rows / 3, rows / 3 + rows / 2, rows};
    struct sg_weight_part parts[3];
    int n_parts = 0;
    for (int i = 0; i < 3; i++)
        if (cut[i + 1] > cut[i])
            parts[n_parts++] =
                (struct sg_weight_part){moved + 1 + (size_t)(cut[i] * cols) * width, t, cut[i + 1] - cut[i]};
    struct sg_weight *w = NULL;
    KT_OK(sg_weight_new(dev, parts, n_parts, cols, use, &w, &err));
    assert_int_equal(sg_weight_bytes(w), sg_weight_bytes_for(dev, rows, cols, t, use));
    memset(moved, 0xAA, bytes + 1); /* the device must hold a copy */
    free(moved);
    return w;
}

static void product(struct sg_dev *dev, const struct sg_weight *w, const float *x, int32_t n, float *y,
                    float *logits) {
    const int64_t size = (int64_t)n * sg_weight_rows(w);
    void *dx = kt_act_rows(dev, x, n, sg_weight_cols(w)), *dy = kt_act_rows(dev, NULL, n, sg_weight_rows(w));
    float *dl = kt_f32_rows(dev, n, sg_weight_rows(w));
    KT_OK(sg_op_linear(dev, w, dx, n, dy, &err));
    KT_OK(sg_op_logits(dev, w, dx, n, dl, &err));
    kt_act_get(dev, dy, size, y);
    kt_get(dev, dl, (size_t)size * sizeof *dl, logits);
    sg_dev_free(dev, dx), sg_dev_free(dev, dy), sg_dev_free(dev, dl);
}

static struct sg_dev *open_fp8(void) {
    struct sg_dev *dev = kt_open(2);
    struct sg_limits lim = kt_limits();
    lim.fp8_weights = true;
    kt_reserve(dev, &lim);
    return dev;
}

static void check(struct sg_dev *dev, int32_t rows, int32_t cols, enum sg_dtype t, bool outliers) {
    const int64_t size = (int64_t)rows * cols;
    const size_t width = sg_dtype_bytes(t);
    float *w = kt_malloc((size_t)size * sizeof *w), *x = kt_malloc((size_t)(MOST * cols) * sizeof *x);
    kt_fill(w, size, 21, 0.1f, outliers);
    /* Every row has a scale of its own, made by its first elements: it may be loaded in pieces. */
    for (int64_t i = 0; i < size; i++) w[i] = ldexpf(w[i], (int)(i / cols * 7 % 11) - (i % cols < 8 ? 5 : 9));
    for (int32_t c = 0; c < cols; c++) w[(int64_t)(rows / 2) * cols + c] = c % 2 ? 0.0f : -0.0f;
    kt_fill(x, (int64_t)MOST * cols, 22, 1, false);
    kt_round_act(dev, x, (int64_t)MOST * cols);
    unsigned char *data = kt_encode(w, size, t);
    uint16_t *rounded = kt_malloc((size_t)size * sizeof *rounded);
    for (int32_t r = 0; r < rows; r++)
        sg__fp8_round_row(rounded + (int64_t)r * cols, 1, data + (size_t)((int64_t)r * cols) * width, cols,
                          t);
    struct sg_weight *fp8 = make(dev, data, rows, cols, t, SG_USE_LINEAR | SG_USE_FP8);
    struct sg_weight *plain = make(dev, rounded, rows, cols, SG_BF16, SG_USE_LINEAR);
    const size_t most = (size_t)MOST * (size_t)rows;
    float *y = kt_malloc(4 * most * sizeof *y), *logits = y + most, *want = y + 2 * most,
          *want_logits = y + 3 * most;
    static const int32_t batches[] = {1, 3, 14, 63, 64, 65, MOST};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        char what[64];
        snprintf(what, sizeof what, "fp8 %s %dx%dx%d", sg_dtype_name(t), batches[b], rows, cols);
        product(dev, fp8, x, batches[b], y, logits);
        product(dev, plain, x, batches[b], want, want_logits);
        kt_same_bits(what, y, want, (int64_t)batches[b] * rows);
        kt_same_bits(what, logits, want_logits, (int64_t)batches[b] * rows);
    }
    if (size > 50)
        assert_true(want_logits[0] != 0 || want_logits[1] != 0); /* the comparison is about something */
    sg_weight_free(dev, fp8), sg_weight_free(dev, plain);
    free(w), free(x), free(data), free(rounded), free(y);
}

static void test_bits(void **state) {
    (void)state;
    struct sg_dev *dev = open_fp8();
    static const int32_t shapes[][2] = {{1, 1},    {33, 99},   {19, 16},   {40, 15}, {65, 40},
                                        {31, 256}, {128, 129}, {700, 208}, {3, 17}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int t = 0; t < SG_DTYPE_COUNT; t++)
            check(dev, shapes[s][0], shapes[s][1], (enum sg_dtype)t, s % 2);
    sg_dev_close(dev);
}

static void test_no_numbers(void **state) {
    (void)state;
    struct sg_dev *dev = open_fp8();
    enum { ROWS = 40, COLS = 33, N = 3 };
    float w[ROWS * COLS], x[N * COLS], y[N * ROWS], logits[N * ROWS];
    kt_fill(w, ROWS * COLS, 31, 1, false);
    kt_fill(x, N * COLS, 32, 1, false);
    kt_round_act(dev, x, N * COLS);
    w[5 * COLS + 7] = NAN, w[17 * COLS] = INFINITY, w[39 * COLS + 32] = -INFINITY;
    struct sg_weight *fp8 = make(dev, w, ROWS, COLS, SG_F32, SG_USE_LINEAR | SG_USE_FP8);
    product(dev, fp8, x, N, y, logits);
    for (int i = 0; i < N; i++)
        for (int r = 0; r < ROWS; r++) {
            const bool odd = r == 5 || r == 17 || r == 39;
            assert_true((isfinite(y[i * ROWS + r]) != 0) != odd);
            assert_true((isfinite(logits[i * ROWS + r]) != 0) != odd);
        }
    sg_weight_free(dev, fp8);
    sg_dev_close(dev);
}

static void test_contract(void **state) {
    (void)state;
    struct sg_dev *dev = open_fp8();
    const uint16_t one[16] = {0x3F80};
    const struct sg_weight_part part = {one, SG_BF16, 1};
    struct sg_weight *w = NULL;
    struct sg_err err = {0};
    static const unsigned refused[] = {SG_USE_FP8, SG_USE_EMBED | SG_USE_FP8,
                                       SG_USE_LINEAR | SG_USE_EMBED | SG_USE_FP8, 8};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(sg_weight_new(dev, &part, 1, 16, refused[i], &w, &err), SG_E_INTERNAL);
        assert_int_equal(sg_weight_bytes_for(dev, 1, 16, SG_BF16, refused[i]), 0);
    }
    /* what it is for: on a device that keeps codes, half of the memory and a scale for each row */
    const size_t fp8 = sg_weight_bytes_for(dev, 512, 1024, SG_BF16, SG_USE_LINEAR | SG_USE_FP8);
    const size_t bf16 = sg_weight_bytes_for(dev, 512, 1024, SG_BF16, SG_USE_LINEAR);
    assert_int_equal(fp8, sg_dev_info(dev)->host_memory ? bf16 : bf16 / 2 + 512 * sizeof(float));
    assert_int_equal(sg_weight_bytes_for(dev, 512, 1024, SG_F32, SG_USE_LINEAR | SG_USE_FP8), fp8);
    /* scratch is taken for them only where they are announced; float32 products expand all weights in theirs */
    struct sg_limits lim = kt_limits();
    const size_t without = sg_dev_reserve_bytes(dev, &lim);
    lim.fp8_weights = true;
    const size_t with = sg_dev_reserve_bytes(dev, &lim);
    assert_true(sg_dev_info(dev)->act == SG_F32 ? with == without : with > without);
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_no_numbers),
                                       cmocka_unit_test(test_contract)};
    return cmocka_run_group_tests_name("linear_fp8", tests, NULL, NULL);
}

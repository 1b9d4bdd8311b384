/* sg_op_linear and sg_op_logits against the same product in double: all dtypes, odd shapes, stacked parts,
 * unaligned data, outliers, NaN; and that a row's bits do not depend on the batch, on threads or on the
 * instruction set. Error model: a sum of K products in float32 in any order is off by at most
 * K u / (1 - K u) * sum |w x| (Higham, Accuracy and Stability, 3.1), then rounded once to the output. */
#include "kt.h"

struct product {
    int32_t n, rows, cols;
    float *w, *x;
    unsigned char *bytes;
    struct sg_weight *weight;
};

/* Three parts of uneven height, the data one byte off any alignment. */
static struct product make(struct sg_dev *dev, int32_t n, int32_t rows, int32_t cols, enum sg_dtype t,
                           bool outliers) {
    struct product p = {.n = n, .rows = rows, .cols = cols};
    const int64_t size = (int64_t)rows * cols;
    p.w = kt_malloc((size_t)size * sizeof *p.w);
    p.x = kt_malloc((size_t)n * (size_t)cols * sizeof *p.x);
    kt_fill(p.w, size, 11, 0.3f, outliers);
    kt_fill(p.x, (int64_t)n * cols, 12, 1, outliers);
    kt_round_act(dev, p.x, (int64_t)n * cols);
    unsigned char *encoded = kt_encode(p.w, size, t);
    kt_round_act(dev, p.w, size); /* a bf16 device multiplies in bf16 */
    const size_t bytes = (size_t)size * sg_dtype_bytes(t);
    p.bytes = kt_malloc(bytes + 1);
    memcpy(p.bytes + 1, encoded, bytes);
    free(encoded);
    const int64_t cut[4] = {0, rows / 3, rows / 3 + rows / 2, rows};
    struct sg_weight_part parts[3];
    int n_parts = 0;
    for (int i = 0; i < 3; i++)
        if (cut[i + 1] > cut[i])
            parts[n_parts++] = (struct sg_weight_part){
                p.bytes + 1 + (size_t)(cut[i] * cols) * sg_dtype_bytes(t), t, cut[i + 1] - cut[i]};
    KT_OK(sg_weight_new(dev, parts, n_parts, cols, SG_USE_LINEAR, &p.weight, &err));
    assert_int_equal(sg_weight_rows(p.weight), rows);
    assert_int_equal(sg_weight_cols(p.weight), cols);
    assert_int_equal(sg_weight_bytes(p.weight), sg_weight_bytes_for(dev, rows, cols, t, SG_USE_LINEAR));
    memset(p.bytes, 0xAA, bytes + 1); /* the device must hold a copy */
    return p;
}

static void drop(struct sg_dev *dev, struct product *p) {
    sg_weight_free(dev, p->weight);
    free(p->w), free(p->x), free(p->bytes);
}

static void run_linear(struct sg_dev *dev, const struct product *p, const float *x, int32_t n, float *y) {
    void *dx = kt_act_rows(dev, x, n, p->cols), *dy = kt_act_rows(dev, NULL, n, p->rows);
    KT_OK(sg_op_linear(dev, p->weight, dx, n, dy, &err));
    kt_act_get(dev, dy, (int64_t)n * p->rows, y);
    sg_dev_free(dev, dx), sg_dev_free(dev, dy);
}

static void check(struct sg_dev *dev, int32_t n, int32_t rows, int32_t cols, enum sg_dtype t, bool outliers) {
    struct product p = make(dev, n, rows, cols, t, outliers);
    const int64_t size = (int64_t)n * rows;
    float *y = kt_malloc((size_t)size * sizeof *y), *logits = kt_malloc((size_t)size * sizeof *y);
    double *want = kt_malloc((size_t)size * sizeof *want), *bound = kt_malloc((size_t)size * sizeof *want);
    double *bound_f32 = kt_malloc((size_t)size * sizeof *want);
    for (int32_t i = 0; i < n; i++)
        for (int32_t r = 0; r < rows; r++) {
            double sum = 0, mass = 0;
            for (int32_t k = 0; k < cols; k++) {
                const double term = (double)p.w[(int64_t)r * cols + k] * p.x[(int64_t)i * cols + k];
                sum += term, mass += fabs(term);
            }
            const double ku = cols * KT_U;
            want[(int64_t)i * rows + r] = sum;
            bound_f32[(int64_t)i * rows + r] = ku / (1 - ku) * mass;
            bound[(int64_t)i * rows + r] = ku / (1 - ku) * mass + fabs(sum) * kt_act_round(dev);
        }
    run_linear(dev, &p, p.x, n, y);
    char what[96];
    snprintf(what, sizeof what, "linear %dx%dx%d %s", n, rows, cols, sg_dtype_name(t));
    kt_close(what, y, want, bound, size);
    void *dx = kt_act_rows(dev, p.x, n, cols);
    float *dl = kt_f32_rows(dev, n, rows);
    KT_OK(sg_op_logits(dev, p.weight, dx, n, dl, &err));
    kt_get(dev, dl, (size_t)size * sizeof *dl, logits);
    snprintf(what, sizeof what, "logits %dx%dx%d %s", n, rows, cols, sg_dtype_name(t));
    kt_close(what, logits, want, bound_f32, size);
    sg_dev_free(dev, dx), sg_dev_free(dev, dl);
    drop(dev, &p);
    free(y), free(logits), free(want), free(bound), free(bound_f32);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const int32_t shapes[][3] = {{1, 32, 64},  {1, 1, 1},     {19, 99, 19},   {2, 33, 99},
                                        {3, 19, 1},   {5, 31, 256},  {14, 128, 129}, {15, 64, 96},
                                        {99, 65, 40}, {13, 257, 512}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int t = 0; t < SG_DTYPE_COUNT; t++)
            check(dev, shapes[s][0], shapes[s][1], shapes[s][2], (enum sg_dtype)t, s % 2);
    for (int32_t n = 4; n <= 18; n++) check(dev, n, 70, 48, SG_BF16, true); /* every height of a tile */
    check(dev, 600, 40, 24, SG_BF16, false); /* more rows than are packed at once */
    sg_dev_close(dev);
}

/* A NaN or an infinity in one row reaches all of that row and nothing else. */
static void test_nan(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { N = 17, ROWS = 40, COLS = 33 };
    struct product p = make(dev, N, ROWS, COLS, SG_BF16, false);
    float clean[N * ROWS], y[N * ROWS];
    run_linear(dev, &p, p.x, N, clean);
    p.x[5 * COLS + 7] = NAN;
    run_linear(dev, &p, p.x, N, y);
    for (int i = 0; i < N; i++)
        for (int r = 0; r < ROWS; r++) {
            if (i == 5)
                assert_true(isnan(y[i * ROWS + r]));
            else
                kt_same_bits("row beside a NaN", &y[i * ROWS + r], &clean[i * ROWS + r], 1);
        }
    drop(dev, &p);
    sg_dev_close(dev);
}

/* Row i alone, in batches of every size, at every place: the same bits. */
static void test_batch_invariance(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(3);
    kt_reserve(dev, NULL);
    enum { N = 70, ROWS = 99, COLS = 150 };
    for (int t = 0; t < SG_DTYPE_COUNT; t++) {
        struct product p = make(dev, N, ROWS, COLS, (enum sg_dtype)t, true);
        float *all = kt_malloc(sizeof(float) * N * ROWS), *some = kt_malloc(sizeof(float) * N * ROWS);
        run_linear(dev, &p, p.x, N, all);
        for (int32_t n = 1; n < N; n += n < 33 ? 1 : 9)
            for (int32_t at = 0; at + n <= N; at += n < 3 ? 7 : 23) {
                run_linear(dev, &p, p.x + at * COLS, n, some);
                kt_same_bits("rows of a smaller batch", some, all + at * ROWS, (int64_t)n * ROWS);
            }
        free(all), free(some);
        drop(dev, &p);
    }
    sg_dev_close(dev);
}

/* cpu: every instruction set and thread count gives the same bits. */
static void test_isa_and_threads(void **state) {
    (void)state;
    if (!kt_is("cpu")) skip();
    enum { N = 23, ROWS = 131, COLS = 99 };
    static const int threads[] = {1, 2, 3, 5};
    for (int t = 0; t < SG_DTYPE_COUNT; t++) {
        float first[N * ROWS], y[N * ROWS];
        bool have = false;
        for (const char *const *isa = kt_isas(); *isa; isa++)
            for (size_t i = 0; i < 4; i++) {
                struct sg_dev *dev = kt_open_as("cpu", *isa, threads[i]);
                kt_reserve(dev, NULL);
                struct product p = make(dev, N, ROWS, COLS, (enum sg_dtype)t, true);
                run_linear(dev, &p, p.x, N, y);
                if (have)
                    kt_same_bits(*isa, y, first, N * ROWS);
                else
                    memcpy(first, y, sizeof y);
                have = true;
                drop(dev, &p);
                sg_dev_close(dev);
            }
    }
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_batch_invariance),
        cmocka_unit_test(test_isa_and_threads),
    };
    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}

/* sg_weight_random: whatever it is used for, a weight made on the device has the very bits of the same
 * numbers made here and loaded, rounded to fp8 among them; the numbers are those of the stream, element by
 * element; streams differ; and they are distributed as base/rng.h says. */
#include "kt.h"

enum { N = 5, DRAWS = 1 << 20 };

/* Element e of the stream, on its own. */
static uint16_t element(uint64_t key, int64_t e) {
    uint32_t w[4];
    sg_random_weights(key, (uint64_t)e / 8, w);
    return (uint16_t)(w[e % 8 / 2] >> (e % 2 ? 16 : 0));
}

/* Both products of N rows of x with w: y and logits [N][rows], one behind the other. */
static void product(struct sg_dev *dev, const struct sg_weight *w, const float *x, float *y) {
    const int64_t size = N * sg_weight_rows(w);
    void *dx = kt_act_rows(dev, x, N, sg_weight_cols(w)), *dy = kt_act_rows(dev, NULL, N, sg_weight_rows(w));
    float *logits = kt_f32_rows(dev, N, sg_weight_rows(w));
    KT_OK(sg_op_linear(dev, w, dx, N, dy, &err));
    KT_OK(sg_op_logits(dev, w, dx, N, logits, &err));
    kt_act_get(dev, dy, size, y);
    kt_get(dev, logits, (size_t)size * sizeof *logits, y + size);
    sg_dev_free(dev, dx), sg_dev_free(dev, dy), sg_dev_free(dev, logits);
}

static void lookup(struct sg_dev *dev, const struct sg_weight *w, float *y) {
    const int32_t rows = (int32_t)sg_weight_rows(w), cols = (int32_t)sg_weight_cols(w);
    int32_t *ids = kt_malloc((size_t)rows * sizeof *ids);
    for (int32_t r = 0; r < rows; r++) ids[r] = rows - 1 - r;
    int32_t *d_ids = kt_i32(dev, ids, rows);
    float *out = kt_f32(dev, NULL, (int64_t)rows * cols);
    KT_OK(sg_op_embed(dev, w, d_ids, rows, out, &err));
    kt_get(dev, out, (size_t)rows * (size_t)cols * sizeof *out, y);
    sg_dev_free(dev, d_ids), sg_dev_free(dev, out);
    free(ids);
}

static void check(struct sg_dev *dev, int32_t rows, int32_t cols, unsigned use) {
    const uint64_t key = 77 + use;
    const int64_t size = (int64_t)rows * cols;
    const int64_t most = size > 2 * N * (int64_t)rows ? size : 2 * N * (int64_t)rows;
    uint16_t *host = kt_malloc((size_t)size * sizeof *host);
    float *x = kt_malloc(N * (size_t)cols * sizeof *x), *got = kt_malloc(2 * (size_t)most * sizeof *got);
    float *want = got + most;
    char what[64];
    snprintf(what, sizeof what, "random %d x %d, use %u", rows, cols, use);
    for (int64_t e = 0; e < size; e++) host[e] = element(key, e);
    kt_fill(x, (int64_t)N * cols, 3, 1, false);
    kt_round_act(dev, x, (int64_t)N * cols);
    const struct sg_weight_part part = {host, SG_BF16, rows};
    struct sg_weight *made, *loaded, *other;
    KT_OK(sg_weight_random(dev, rows, cols, use, key, &made, &err));
    KT_OK(sg_weight_random(dev, rows, cols, use, key + 1, &other, &err));
    KT_OK(sg_weight_new(dev, &part, 1, cols, use, &loaded, &err));
    assert_int_equal(sg_weight_rows(made), rows);
    assert_int_equal(sg_weight_cols(made), cols);
    assert_int_equal(sg_weight_bytes(made), sg_weight_bytes_for(dev, rows, cols, SG_BF16, use));
    if (use & SG_USE_LINEAR) {
        product(dev, made, x, got);
        product(dev, loaded, x, want);
        kt_same_bits(what, got, want, 2 * N * (int64_t)rows);
        product(dev, other, x, got);
        if (size > 8) assert_true(memcmp(got, want, (size_t)(2 * N * rows) * sizeof *got) != 0);
    }
    if (use & SG_USE_EMBED) {
        lookup(dev, made, got);
        for (int64_t e = 0; e < size; e++)
            want[(rows - 1 - e / cols) * cols + e % cols] = sg_dtype_to_f32(host, e, SG_BF16);
        kt_same_bits(what, got, want, size);
    }
    sg_weight_free(dev, made), sg_weight_free(dev, loaded), sg_weight_free(dev, other);
    free(host), free(x), free(got);
}

static void test_bits(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(3);
    /* little scratch: the emulated device closes all of it to the host and opens it again around every launch
     */
    struct sg_limits lim = kt_limits();
    lim.fp8_weights = true;
    lim.max_rows = lim.max_logit_rows = 99;
    lim.max_decode_rows = lim.max_draws = 8;
    lim.q_heads = lim.kv_heads = 1;
    lim.intermediate = 256;
    lim.vocab = 512;
    kt_reserve(dev, &lim);
    /* rows that end within a counter's eight, that lie on its boundary, one column, several blocks of threads
     */
    static const int32_t shapes[][2] = {{1, 1},    {1, 8},    {99, 19},  {33, 1},
                                        {64, 256}, {31, 129}, {7, 2056}, {5, 4095}};
    static const unsigned uses[] = {SG_USE_EMBED, SG_USE_EMBED | SG_USE_LINEAR, SG_USE_LINEAR,
                                    SG_USE_LINEAR | SG_USE_FP8};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t u = 0; u < sizeof uses / sizeof *uses; u++)
            check(dev, shapes[s][0], shapes[s][1], uses[u]);
    sg_dev_close(dev);
}

static void test_refused(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(1);
    struct sg_weight *w = NULL;
    struct sg_err err = {0};
    assert_int_equal(sg_weight_random(dev, 0, 8, SG_USE_LINEAR, 1, &w, &err), SG_E_INTERNAL);
    assert_non_null(strstr(err.text, "shape [0][8]"));
    assert_int_equal(sg_weight_random(dev, 8, 8, SG_USE_EMBED | SG_USE_FP8, 1, &w, &err), SG_E_INTERNAL);
    assert_int_equal(sg_weight_random(dev, 8, 8, SG_USE_LINEAR, 1, NULL, &err), SG_E_INTERNAL);
    assert_null(w);
    sg_dev_close(dev);
}

/* Two binades, 128 fractions and two signs, each of DRAWS / 512 draws: chi-square with 511 degrees of
 * freedom, whose mean is 511 and deviation 32. Also far behind, where a counter has more than 32 bits. */
static void test_distribution(void **state) {
    (void)state;
    static const int64_t begins[] = {0, (int64_t)1 << 40};
    for (int b = 0; b < 2; b++) {
        int count[512] = {0};
        double squares = 0;
        for (int64_t e = 0; e < DRAWS; e++) {
            const uint16_t bits = element(9, begins[b] + e);
            const double x = (double)sg_dtype_to_f32(&bits, 0, SG_BF16);
            assert_true(fabs(x) >= 0x1p-7 && fabs(x) < 0x1p-5);
            count[(bits >> 15) << 8 | (bits & 0xff)]++;
            squares += x * x;
        }
        double chi = 0;
        for (int i = 0; i < 512; i++) {
            const double off = count[i] - DRAWS / 512.0;
            chi += off * off / (DRAWS / 512.0);
        }
        assert_true(chi > 511 - 4 * 32 && chi < 511 + 4 * 32);
        assert_true(fabs(sqrt(squares / DRAWS) - 0.0189) < 1e-4);
    }
    assert_int_not_equal(element(9, 3),
                         element(9, ((int64_t)1 << 35) + 3)); /* not the low 32 bits of a counter alone */
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_distribution)};
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}

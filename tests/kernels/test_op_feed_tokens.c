/* sg_op_feed_tokens: ids come from the tokens where asked, -1 becomes 0, the others stay. */
#include "kt.h"

static void test_ids(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { TOKENS = 40, MOST = 60 };
    int32_t token[TOKENS], from[MOST + 1] = {0}, ids[MOST + 1] = {0}, want[MOST], got[MOST];
    for (int32_t i = 0; i < TOKENS; i++) token[i] = i % 5 == 3 ? -1 : kt_pick(81, i, 1 << 30);
    for (int32_t n = 0; n <= MOST; n += n < 3 ? 1 : 19) {
        for (int32_t i = 0; i < n; i++) {
            from[i] = kt_pick(82, i, 3) ? kt_pick(83, i, TOKENS) : -1;
            ids[i] = 1000 + i;
            want[i] = from[i] < 0 ? ids[i] : token[from[i]] < 0 ? 0 : token[from[i]];
        }
        int32_t *d_token = kt_i32(dev, token, TOKENS), *d_from = kt_i32(dev, from, n + 1),
                *d_ids = kt_i32(dev, ids, n + 1);
        KT_OK(sg_op_feed_tokens(dev, d_token, TOKENS, d_from, n, d_ids, &err));
        kt_get(dev, d_ids, sizeof got[0] * (size_t)n, got);
        for (int32_t i = 0; i < n; i++) assert_int_equal(got[i], want[i]);
        sg_dev_free(dev, d_token), sg_dev_free(dev, d_from), sg_dev_free(dev, d_ids);
    }
    sg_dev_close(dev);
}

static void test_refusals(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(1);
    kt_reserve(dev, NULL);
    const int32_t zero[8] = {0};
    int32_t *x = kt_i32(dev, zero, 8), *y = kt_i32(dev, zero, 8);
    struct sg_err err = {0};
    assert_int_equal(sg_op_feed_tokens(dev, x, 8, y, 8, y, &err), SG_E_INTERNAL);
    assert_non_null(strstr(err.text, "feed_tokens: ids overlaps token or from"));
    assert_int_equal(sg_op_feed_tokens(dev, x, 0, y, 8, y, &err), SG_E_INTERNAL);
    assert_non_null(strstr(err.text, "feed_tokens: 0 tokens"));
    assert_int_equal(sg_op_feed_tokens(dev, x, 8, NULL, 8, y, &err), SG_E_INTERNAL);
    assert_non_null(strstr(err.text, "feed_tokens: NULL token, from or ids"));
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests_name("feed_tokens", tests, NULL, NULL);
}

/* What a caller that never stops the stream relies on: a fetch brings the bytes as they were at its place
 * among the operators, and only when it is waited for; a record runs at its replays alone, on what memory
 * holds then; what may not happen inside of one is refused. */
#include "kt.h"

enum { N = 24, COLS = 8 };

#define REFUSED(call, want) KT_REFUSED(call, want, "")

static void *pinned(struct sg_dev *dev, size_t bytes) {
    void *p = NULL;
    KT_OK(sg_dev_host_alloc(dev, bytes, "test", &p, &err));
    return p;
}

static void test_fetch(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    int32_t token[2 * N], first[N], second[N];
    for (int32_t i = 0; i < 2 * N; i++) token[i] = 5 + kt_pick(91, i, 1000);
    for (int32_t i = 0; i < N; i++) first[i] = i, second[i] = N + i;
    int32_t *d_token = kt_i32(dev, token, 2 * N), *d_first = kt_i32(dev, first, N),
            *d_second = kt_i32(dev, second, N), *ids = kt_i32(dev, first, N);
    int32_t *a = pinned(dev, sizeof first), *b = pinned(dev, sizeof first);
    KT_OK(sg_dev_fetch_wait(dev, 1, &err)); /* nothing to wait for */
    for (int round = 0; round < 3; round++) {
        KT_OK(sg_op_feed_tokens(dev, d_token, 2 * N, d_first, N, ids, &err));
        KT_OK(sg_dev_fetch(dev, 0, a, ids, sizeof(int32_t) * (N / 2), &err));
        KT_OK(sg_dev_fetch(dev, 0, a + N / 2, ids + N / 2, sizeof(int32_t) * (N - N / 2), &err));
        KT_OK(sg_op_feed_tokens(dev, d_token, 2 * N, d_second, N, ids, &err));
        KT_OK(sg_dev_fetch(dev, 1, b, ids, sizeof first, &err));
        const char *name = sg_dev_info(dev)->name;
        if (strstr(name, "emulated") || strstr(name, "guard")) /* these are never early */
            assert_memory_not_equal(a, token, sizeof first);
        KT_OK(sg_dev_fetch_wait(dev, 0, &err));
        assert_memory_equal(a, token, sizeof first);
        KT_OK(sg_dev_fetch_wait(dev, 1, &err));
        assert_memory_equal(b, token + N, sizeof first);
    }
    REFUSED(sg_dev_fetch(dev, SG_FETCH_SLOTS, a, ids, 4, &err), SG_E_INTERNAL);
    REFUSED(sg_dev_fetch_wait(dev, -1, &err), SG_E_INTERNAL);
    REFUSED(sg_dev_fetch(dev, 0, NULL, ids, 4, &err), SG_E_INTERNAL);
    sg_dev_host_free(dev, a);
    sg_dev_host_free(dev, NULL);
    sg_dev_close(dev); /* takes b along */
}

static void run_both(struct sg_dev *dev, const int32_t *token, const int32_t *from, int32_t *ids,
                     const void *x, void *y) {
    KT_OK(sg_op_feed_tokens(dev, token, N, from, N, ids, &err));
    KT_OK(sg_op_gather_rows(dev, x, N, ids, N, COLS, y, &err));
}

static void test_record(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    struct sg_dev_record *r = NULL, *second = NULL;
    if (!sg_dev_info(dev)->records) {
        REFUSED(sg_dev_record_begin(dev, &err), SG_E_UNSUPPORTED);
        REFUSED(sg_dev_record_end(dev, &r, &err), SG_E_INTERNAL);
        sg_dev_close(dev);
        return;
    }
    float x[N * COLS], y[N * COLS], none[N * COLS] = {0};
    int32_t token[N], from[N];
    kt_fill(x, N * COLS, 92, 1, false);
    kt_round_act(dev, x, N * COLS);
    for (int32_t i = 0; i < N; i++) from[i] = i, token[i] = i;
    void *d_x = kt_act(dev, x, N * COLS), *d_y = kt_act(dev, none, N * COLS);
    int32_t *d_token = kt_i32(dev, token, N), *d_from = kt_i32(dev, from, N), *ids = kt_i32(dev, token, N);
    run_both(dev, d_token, d_from, ids, d_x, d_y); /* once before it is recorded */
    kt_act_get(dev, d_y, N * COLS, y);
    kt_same_bits("before", y, x, N * COLS);

    KT_OK(sg_dev_record_begin(dev, &err));
    REFUSED(sg_dev_record_begin(dev, &err), SG_E_INTERNAL);
    run_both(dev, d_token, d_from, ids, d_x, d_y);
    REFUSED(sg_dev_upload(dev, d_token, token, sizeof token, &err), SG_E_INTERNAL);
    REFUSED(sg_dev_download(dev, token, d_token, sizeof token, &err), SG_E_INTERNAL);
    REFUSED(sg_dev_fetch(dev, 0, token, d_token, sizeof token, &err), SG_E_INTERNAL);
    REFUSED(sg_dev_fetch_wait(dev, 0, &err), SG_E_INTERNAL);
    REFUSED(sg_dev_sync(dev, &err), SG_E_INTERNAL);
    void *p;
    REFUSED(sg_dev_alloc(dev, 4, "x", &p, &err), SG_E_INTERNAL);
    REFUSED(sg_dev_host_alloc(dev, 4, "x", &p, &err), SG_E_INTERNAL);
    KT_OK(sg_dev_record_end(dev, &r, &err));
    KT_OK(sg_dev_record_begin(dev, &err)); /* one that is dropped */
    run_both(dev, d_token, d_from, ids, d_x, d_y);
    KT_OK(sg_dev_record_end(dev, NULL, &err));

    sg_dev_stats_reset(dev);
    for (int32_t round = 1; round <= 3; round++) { /* other contents each time */
        for (int32_t i = 0; i < N; i++) token[i] = (i + round * 5) % N;
        KT_OK(sg_dev_upload(dev, d_token, token, sizeof token, &err));
        kt_act_get(dev, d_y, N * COLS, y);
        for (int32_t i = 0; i < N; i++) /* not before the replay */
            kt_same_bits("row", y + i * COLS, x + (i + (round - 1) * 5) % N * COLS, COLS);
        KT_OK(sg_dev_replay(dev, r, NULL, &err));
        if (round == 3) sg_dev_record_free(dev, r); /* under way */
        kt_act_get(dev, d_y, N * COLS, y);
        for (int32_t i = 0; i < N; i++) kt_same_bits("row", y + i * COLS, x + token[i] * COLS, COLS);
    }
    struct sg_stage_stats s[SG_STAGE_COUNT];
    const size_t act = sg_dtype_bytes(sg_dev_info(dev)->act);
    sg_dev_stats(dev, s);
    assert_int_equal(s[SG_STAGE_STEP].calls, 3);
    assert_int_equal(s[SG_STAGE_OTHER].calls, 0);
    assert_true(s[SG_STAGE_STEP].ns > 0);
    assert_true(s[SG_STAGE_STEP].bytes == 3 * (12.0 * N + 2.0 * (double)act * N * COLS));
    REFUSED(sg_dev_replay(dev, second, NULL, &err), SG_E_INTERNAL);
    sg_dev_record_free(dev, NULL);
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fetch), cmocka_unit_test(test_record)};
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}

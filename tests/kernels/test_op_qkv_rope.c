/* sg_op_qkv_rope: q directly; k and v where they can be seen, through attention with a query that picks one
 * key. Error model for q: mean square (dim + 2) u, halved by the root, then six roundings, all relative to
 * the two terms of the rotation; for a bf16 device one more rounding inside. What prefill reads back is
 * tested in test_op_attn_*; here that slots, layers and heads do not touch each other. */
#include "kt.h"

static void rope_table(float *cs, int32_t positions, int32_t dim) {
    for (int32_t p = 0; p < positions; p++)
        for (int32_t j = 0; j < dim / 2; j++) {
            const double angle = p * pow(10000, -2.0 * j / dim);
            cs[p * dim + j] = (float)cos(angle);
            cs[p * dim + dim / 2 + j] = (float)sin(angle);
        }
}

static void check(struct sg_dev *dev, int32_t n, int32_t q_heads, int32_t kv_heads, int32_t dim) {
    if (!kt_has_head_dim(dev, dim)) return;
    enum { CONTEXT = 200, PAGES = 9 };
    const int32_t width = (q_heads + 2 * kv_heads) * dim;
    float *qkv = kt_malloc(sizeof(float) * (size_t)n * (size_t)width),
          *cs = kt_malloc(sizeof(float) * CONTEXT * (size_t)dim);
    const size_t q_size = (size_t)n * (size_t)q_heads * (size_t)dim;
    float *q = kt_malloc(q_size * sizeof *q), *one = kt_malloc(q_size * sizeof *q), gain_q[256], gain_k[256];
    double *want = kt_malloc(q_size * sizeof *want), *bound = kt_malloc(q_size * sizeof *want);
    int32_t *pos = kt_malloc(sizeof *pos * (size_t)n), *slot = kt_malloc(sizeof *slot * (size_t)n);
    kt_fill(qkv, (int64_t)n * width, 71, 1, true);
    kt_round_act(dev, qkv, (int64_t)n * width);
    kt_fill(gain_q, dim, 72, 2, false);
    kt_fill(gain_k, dim, 73, 2, false);
    rope_table(cs, CONTEXT, dim);
    for (int32_t i = 0; i < n; i++)
        pos[i] = i == 0 ? CONTEXT - 1 : kt_pick(74, i, CONTEXT), slot[i] = i * 7 % (PAGES * 16);
    struct sg_kv *kv;
    KT_OK(sg_kv_new(dev, 2, PAGES, kv_heads, dim, &kv, &err));
    assert_int_equal(sg_kv_pages(kv), PAGES);
    struct sg_qkv_args a = {
        .kv = kv, .layer = 1, .n = n, .q_heads = q_heads, .kv_heads = kv_heads, .head_dim = dim};
    a.eps = 1e-6f, a.max_context = CONTEXT;
    void *d_qkv = kt_act(dev, qkv, (int64_t)n * width), *d_q = kt_act(dev, NULL, (int64_t)q_size);
    float *d_gq = kt_f32(dev, gain_q, dim), *d_gk = kt_f32(dev, gain_k, dim),
          *d_cs = kt_f32(dev, cs, CONTEXT * dim);
    int32_t *d_pos = kt_i32(dev, pos, n), *d_slot = kt_i32(dev, slot, n);
    a.qkv = d_qkv, a.q_out = d_q, a.q_norm = d_gq, a.k_norm = d_gk, a.cos_sin = d_cs, a.positions = d_pos,
    a.slot = d_slot;
    KT_OK(sg_op_qkv_rope(dev, &a, &err));
    kt_act_get(dev, d_q, (int64_t)q_size, q);
    for (int32_t i = 0; i < n; i++)
        for (int32_t h = 0; h < q_heads; h++) {
            const float *x = qkv + (int64_t)i * width + h * dim, *c = cs + pos[i] * dim;
            double squares = 0;
            for (int32_t d = 0; d < dim; d++) squares += (double)x[d] * x[d];
            const double by = 1 / sqrt(squares / dim + 1e-6f);
            const double rel = (0.5 * (dim + 2) + 6) * KT_U + kt_inner_round(dev);
            for (int32_t d = 0; d < dim / 2; d++) {
                const int64_t at = ((int64_t)i * q_heads + h) * dim + d, to = at + dim / 2;
                const double u = x[d] * by * gain_q[d], v = x[d + dim / 2] * by * gain_q[d + dim / 2];
                const double co = c[d], si = c[d + dim / 2];
                want[at] = u * co - v * si, want[to] = v * co + u * si;
                bound[at] = rel * (fabs(u * co) + fabs(v * si)) + kt_act_round(dev) * fabs(want[at]);
                bound[to] = rel * (fabs(v * co) + fabs(u * si)) + kt_act_round(dev) * fabs(want[to]);
            }
        }
    kt_close("q", q, want, bound, (int64_t)q_size);

    /* v of every row, read back through attention over its single key: softmax of one is 1, so out = v */
    for (int32_t i = 0; i < n; i += 5) {
        const int32_t page = slot[i] / SG_PAGE_TOKENS;
        if (slot[i] % SG_PAGE_TOKENS != 0) continue; /* key 0 of a page is what a one-token run sees */
        const int32_t rows[2] = {0, 1}, zero = 0, pages_at[2] = {0, 1};
        int32_t *d_rows = kt_i32(dev, rows, 2), *d_zero = kt_i32(dev, &zero, 1),
                *d_at = kt_i32(dev, pages_at, 2);
        int32_t *d_page = kt_i32(dev, &page, 1);
        struct sg_prefill_args p = {
            .q = d_q, .out = d_q, .kv = kv, .layer = 1, .q_heads = q_heads, .kv_heads = kv_heads};
        p.head_dim = dim, p.scale = 0.1f, p.n_segs = 1;
        p.row_begin = d_rows, p.pos0 = d_zero, p.page_begin = d_at, p.pages = d_page;
        p.host_row_begin = rows, p.host_pos0 = &zero, p.host_page_begin = pages_at;
        KT_OK(sg_op_attn_prefill(dev, &p, &err));
        kt_act_get(dev, d_q, q_heads * dim, one);
        for (int32_t h = 0; h < q_heads; h++)
            kt_same_bits("v", one + h * dim,
                         qkv + (int64_t)i * width + (q_heads + kv_heads + h / (q_heads / kv_heads)) * dim,
                         dim);
    }
    void *all[] = {d_qkv, d_q, d_gq, d_gk, d_cs, d_pos, d_slot};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
    sg_kv_free(dev, kv);
    free(qkv), free(cs), free(q), free(one), free(want), free(bound), free(pos), free(slot);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    check(dev, 1, 1, 1, 8);
    check(dev, 19, 4, 2, 24);
    check(dev, 99, 16, 8, 64);
    check(dev, 40, 8, 1, 128);
    check(dev, 17, 2, 2, 256);
    sg_dev_close(dev);
}

/* Keys and values of ROWS rows, written in runs of at most `most`, as attention sees them: out [ROWS][4 heads][dim]. */
enum { ROWS = 165, TOGETHER_DIM = 40 };
static void write_and_attend(struct sg_dev *dev, int32_t most, float *out) {
    enum { DIM = TOGETHER_DIM, Q = 4, KV = 2, WIDTH = (Q + 2 * KV) * DIM, PAGES = (ROWS + 15) / 16 };
    static float qkv[ROWS * WIDTH], cs[ROWS * DIM], gain[DIM];
    int32_t index[ROWS];
    struct sg_kv *kv;
    kt_fill(qkv, ROWS * WIDTH, 75, 1, true);
    kt_fill(gain, DIM, 76, 2, false);
    rope_table(cs, ROWS, DIM);
    for (int32_t i = 0; i < ROWS; i++) index[i] = i;
    KT_OK(sg_kv_new(dev, 1, PAGES, KV, DIM, &kv, &err));
    void *d_q = kt_act(dev, NULL, ROWS * Q * DIM);
    float *d_gain = kt_f32(dev, gain, DIM), *d_cs = kt_f32(dev, cs, ROWS * DIM);
    for (int32_t i = 0, n; i < ROWS; i += n) {
        n = i == 0 && most > 5 ? 5
            : ROWS - i < most  ? ROWS - i
                               : most; /* the second run begins inside a page */
        void *d_qkv = kt_act(dev, qkv + i * WIDTH, n * WIDTH), *d_some = kt_act(dev, NULL, n * Q * DIM);
        int32_t *d_at = kt_i32(dev, index + i, n);
        const struct sg_qkv_args a = {.kv = kv,
                                      .n = n,
                                      .q_heads = Q,
                                      .kv_heads = KV,
                                      .head_dim = DIM,
                                      .eps = 1e-6f,
                                      .max_context = ROWS,
                                      .qkv = d_qkv,
                                      .q_out = d_some,
                                      .q_norm = d_gain,
                                      .k_norm = d_gain,
                                      .cos_sin = d_cs,
                                      .positions = d_at,
                                      .slot = d_at};
        KT_OK(sg_op_qkv_rope(dev, &a, &err));
        sg_dev_free(dev, d_qkv), sg_dev_free(dev, d_some), sg_dev_free(dev, d_at);
    }
    const int32_t rows[2] = {0, ROWS}, zero = 0, pages_at[2] = {0, PAGES};
    void *d_x = kt_act(dev, qkv, ROWS * Q * DIM);
    int32_t *d_rows = kt_i32(dev, rows, 2), *d_zero = kt_i32(dev, &zero, 1), *d_at = kt_i32(dev, pages_at, 2),
            *d_pages = kt_i32(dev, index, PAGES);
    const struct sg_prefill_args p = {.q = d_x,
                                      .out = d_q,
                                      .kv = kv,
                                      .q_heads = Q,
                                      .kv_heads = KV,
                                      .head_dim = DIM,
                                      .scale = 0.2f,
                                      .n_segs = 1,
                                      .row_begin = d_rows,
                                      .pos0 = d_zero,
                                      .page_begin = d_at,
                                      .pages = d_pages,
                                      .host_row_begin = rows,
                                      .host_pos0 = &zero,
                                      .host_page_begin = pages_at};
    KT_OK(sg_op_attn_prefill(dev, &p, &err));
    kt_act_get(dev, d_q, ROWS * Q * DIM, out);
    void *all[] = {d_q, d_gain, d_cs, d_x, d_rows, d_zero, d_at, d_pages};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
    sg_kv_free(dev, kv);
}

/* Rows that fill a page at once leave what rows one by one leave. */
static void test_whole_pages(void **state) {
    (void)state;
    static float one[ROWS * 4 * TOGETHER_DIM], together[ROWS * 4 * TOGETHER_DIM];
    struct sg_dev *dev = kt_open(1);
    if (kt_has_head_dim(dev, TOGETHER_DIM)) {
        kt_reserve(dev, NULL);
        write_and_attend(dev, 1, one);
        write_and_attend(dev, ROWS, together);
        kt_same_bits("whole pages", together, one, ROWS * 4 * TOGETHER_DIM);
    }
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_whole_pages)};
    return cmocka_run_group_tests_name("qkv_rope", tests, NULL, NULL);
}

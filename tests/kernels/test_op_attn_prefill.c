/* sg_op_attn_prefill: causal attention over scattered pages for several sequences at once, every GQA ratio,
 * head sizes that are no multiple of 16, pages whose unused slots hold NaN; and that bits depend neither on
 * how a prompt is cut into chunks, nor on threads, nor on the instruction set. */
#include "kt_attn.h"

enum { MAX_SEGS = 4 };

/* q, out [rows of all segments][q_heads][dim] */
static void run(struct kt_pool *p, const struct kt_seq *const *seqs, const int32_t *pos0, const int32_t *rows,
                int32_t n, int32_t q_heads, float scale, const float *q, float *out) {
    int32_t row_begin[MAX_SEGS + 1] = {0}, page_begin[MAX_SEGS + 1] = {0}, pages[1024];
    for (int32_t s = 0; s < n; s++) {
        row_begin[s + 1] = row_begin[s] + rows[s];
        page_begin[s + 1] = page_begin[s] + seqs[s]->n_pages;
        memcpy(pages + page_begin[s], seqs[s]->pages, (size_t)seqs[s]->n_pages * sizeof *pages);
    }
    struct sg_dev *dev = p->dev;
    const int64_t size = (int64_t)row_begin[n] * q_heads * p->dim;
    void *d_q = kt_act(dev, q, size);
    int32_t *d_rows = kt_i32(dev, row_begin, n + 1), *d_pos = kt_i32(dev, pos0, n);
    int32_t *d_begin = kt_i32(dev, page_begin, n + 1), *d_pages = kt_i32(dev, pages, page_begin[n]);
    struct sg_prefill_args a = {.q = d_q, .out = d_q, .kv = p->kv, .layer = p->layer, .q_heads = q_heads};
    a.kv_heads = p->kv_heads, a.head_dim = p->dim, a.scale = scale, a.n_segs = n;
    a.row_begin = d_rows, a.pos0 = d_pos, a.page_begin = d_begin, a.pages = d_pages;
    a.host_row_begin = row_begin, a.host_pos0 = pos0, a.host_page_begin = page_begin;
    KT_OK(sg_op_attn_prefill(dev, &a, &err)); /* out = q: allowed */
    kt_act_get(dev, d_q, size, out);
    sg_dev_free(dev, d_q), sg_dev_free(dev, d_rows), sg_dev_free(dev, d_pos), sg_dev_free(dev, d_begin);
    sg_dev_free(dev, d_pages);
}

static void check(struct sg_dev *dev, int32_t kv_heads, int32_t ratio, int32_t dim, const int32_t *len,
                  const int32_t *pos0, int32_t n) {
    if (!kt_has_head_dim(dev, dim)) return;
    struct kt_pool p = kt_pool_new(dev, 61, kv_heads, dim);
    struct kt_seq seqs[MAX_SEGS];
    const struct kt_seq *at[MAX_SEGS];
    int32_t rows[MAX_SEGS], total = 0;
    for (int32_t s = 0; s < n; s++) {
        seqs[s] = kt_seq_new(&p, len[s], (uint64_t)s);
        at[s] = &seqs[s];
        rows[s] = len[s] - pos0[s];
        total += rows[s];
    }
    const int32_t q_heads = kv_heads * ratio;
    const int64_t size = (int64_t)total * q_heads * dim;
    float *q = kt_malloc((size_t)size * sizeof *q), *out = kt_malloc((size_t)size * sizeof *out);
    double *want = kt_malloc((size_t)size * sizeof *want), *bound = kt_malloc((size_t)size * sizeof *bound);
    kt_fill(q, size, 81, 1.7f, false);
    for (int64_t i = 0; i < size; i += 997) q[i] *= 20; /* a few sharp rows */
    kt_round_act(dev, q, size);
    const float scale = (float)(1 / sqrt(dim));
    run(&p, at, pos0, rows, n, q_heads, scale, q, out);
    int64_t row = 0;
    for (int32_t s = 0; s < n; s++)
        for (int32_t i = 0; i < rows[s]; i++, row++)
            for (int32_t h = 0; h < q_heads; h++) {
                const int64_t o = (row * q_heads + h) * dim;
                kt_attend(&p, q + o, h / ratio, (double)scale, at[s], pos0[s] + i + 1, NULL, 0, want + o,
                          bound + o);
            }
    char what[64];
    snprintf(what, sizeof what, "prefill dim %d ratio %d", dim, ratio);
    kt_close(what, out, want, bound, size);
    for (int32_t s = 0; s < n; s++) kt_seq_free(&seqs[s]);
    kt_pool_free(&p);
    free(q), free(out), free(want), free(bound);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const int32_t one[] = {1}, zero[] = {0}, mixed[] = {99, 19, 1, 300}, from[] = {0, 7, 0, 250};
    check(dev, 1, 1, 8, one, zero, 1);
    check(dev, 2, 2, 64, mixed, from, 4);
    check(dev, 1, 3, 24, mixed, from, 3);
    check(dev, 2, 7, 40, mixed, from, 3);
    check(dev, 1, 8, 128, mixed, from, 4);
    check(dev, 2, 3, 128, mixed, from, 1); /* whole steps of keys, of two heads */
    check(dev, 2, 1, 256, mixed, from, 2);
    check(dev, 1, 4, 16, mixed, from, 4);
    sg_dev_close(dev);
}

/* One sequence of 147 tokens, cut at every kind of place, in one call or in several: the same bits. */
static void prefill_cut(struct kt_pool *p, const struct kt_seq *seq, int32_t q_heads, const float *q,
                        int32_t cut_at, bool together, float *out) {
    const struct kt_seq *at[2] = {seq, seq};
    const int32_t pos0[2] = {0, cut_at}, rows[2] = {cut_at, seq->len - cut_at};
    const int64_t row = (int64_t)q_heads * p->dim;
    if (together) {
        run(p, at, pos0, rows, 2, q_heads, 0.2f, q, out);
        return;
    }
    run(p, at, pos0, rows, 1, q_heads, 0.2f, q, out);
    run(p, at, pos0 + 1, rows + 1, 1, q_heads, 0.2f, q + cut_at * row, out + cut_at * row);
}

static void test_chunks(void **state) {
    (void)state;
    enum { LEN = 147, KV = 2, Q = 6, DIM = 24, SIZE = LEN * Q * DIM };
    struct sg_dev *dev = kt_open(3);
    kt_reserve(dev, NULL);
    struct kt_pool p = kt_pool_new(dev, 23, KV, DIM);
    struct kt_seq seq = kt_seq_new(&p, LEN, 9);
    const struct kt_seq *at[1] = {&seq};
    float *q = kt_malloc(SIZE * sizeof *q), *whole = kt_malloc(SIZE * sizeof *q),
          *cut = kt_malloc(SIZE * sizeof *q);
    kt_fill(q, SIZE, 91, 1, true);
    kt_round_act(dev, q, SIZE);
    const int32_t zero = 0, all = LEN;
    run(&p, at, &zero, &all, 1, Q, 0.2f, q, whole);
    static const int32_t cuts[] = {1, 2, 15, 16, 17, 63, 64, 65, 100, 128, 146};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        prefill_cut(&p, &seq, Q, q, cuts[c], false, cut);
        kt_same_bits("two calls", cut, whole, SIZE);
        prefill_cut(&p, &seq, Q, q, cuts[c], true, cut);
        kt_same_bits("two segments", cut, whole, SIZE);
    }
    kt_seq_free(&seq);
    kt_pool_free(&p);
    free(q), free(whole), free(cut);
    sg_dev_close(dev);
}

static void test_isa_and_threads(void **state) {
    (void)state;
    if (!kt_is("cpu")) skip();
    enum { LEN = 99, KV = 1, Q = 5, DIM = 40, SIZE = LEN * Q * DIM };
    static const int threads[] = {1, 2, 3, 5};
    float *q = kt_malloc(SIZE * sizeof *q), *first = kt_malloc(SIZE * sizeof *q),
          *out = kt_malloc(SIZE * sizeof *q);
    kt_fill(q, SIZE, 92, 1, true);
    bool have = false;
    for (const char *const *isa = kt_isas(); *isa; isa++)
        for (int i = 0; i < 4; i++) {
            struct sg_dev *dev = kt_open_as("cpu", *isa, threads[i]);
            kt_reserve(dev, NULL);
            struct kt_pool p = kt_pool_new(dev, 11, KV, DIM);
            struct kt_seq seq = kt_seq_new(&p, LEN, 10);
            const struct kt_seq *at[1] = {&seq};
            const int32_t zero = 0, all = LEN;
            run(&p, at, &zero, &all, 1, Q, 0.2f, q, out);
            if (have) kt_same_bits(*isa, out, first, SIZE);
            memcpy(first, out, SIZE * sizeof *out);
            have = true;
            kt_seq_free(&seq);
            kt_pool_free(&p);
            sg_dev_close(dev);
        }
    free(q), free(first), free(out);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_isa_and_threads),
    };
    return cmocka_run_group_tests_name("attn_prefill", tests, NULL, NULL);
}

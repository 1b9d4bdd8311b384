/* kt_attn - sequences in a KV pool for the attention tests, and what attention over them must give. */
#ifndef SG_TESTS_KT_ATTN_H
#define SG_TESTS_KT_ATTN_H

#include "kt.h"

/* A pool whose every slot holds NaN until a sequence is written: what must not be looked at shows. */
struct kt_pool {
    struct sg_dev *dev;
    struct sg_kv *kv;
    int32_t pages, used, layer, kv_heads, dim;
};
struct kt_pool kt_pool_new(struct sg_dev *dev, int32_t pages, int32_t kv_heads, int32_t dim);
void kt_pool_free(struct kt_pool *p);

/* k, v [len][kv_heads][dim] as the pool holds them; pages scattered over the pool. */
struct kt_seq {
    int32_t len, n_pages, *pages;
    float *k, *v;
};
struct kt_seq kt_seq_new(struct kt_pool *p, int32_t len, uint64_t stream);
void kt_seq_free(struct kt_seq *s);

/* Attention of one query head over the first len[i] tokens of two sequences (b may be NULL).
 *
 * Error model: a score is off by at most ds = scale sum|q k| * (1.5 dim + 16) u (the product, and the norm
 * that made k), so every weight by 2 ds relative (its own and the largest), and exp, the running sums and
 * their rescaling once per block of keys by (n + 8 n / 16 + 60) u. The output is off by that times
 * sum p|v|, and rounded once. A bf16 device may round p inside (k is exact there, see kt_write_kv). */
void kt_attend(const struct kt_pool *p, const float *q, int32_t kv_head, double scale, const struct kt_seq *a,
               int32_t len_a, const struct kt_seq *b, int32_t len_b, double *want, double *bound);

#endif

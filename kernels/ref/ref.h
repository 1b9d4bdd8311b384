/* ref - the reference backend: double inside, float storage, one thread, no tricks. What the others are
 * judged by. In bf16 it rounds the factors of products as sg_dev_info.products says, at the places where cpu does. Private to kernels/ref. */
#ifndef SG_KERNELS_REF_H
#define SG_KERNELS_REF_H

#include "kernels/backend.h"
#include "kernels/bf16.h"
#include "kernels/host.h"

struct sg__ref_dev {
    struct sg_dev base;
    struct sg__host_mem mem;
    double *scratch; /* [ref_scratch(lim)]; NULL before the first reserve */
};
/* Elements stay as they came, or are rounded to bf16; row-major: rows, one after another. */
struct sg__ref_weight {
    struct sg_weight base;
    void *data; /* [rows][cols] of dtype, at the end of this allocation */
};
/* k and v [layer][page][SG_PAGE_TOKENS][kv_heads][head_dim], v after k. */
struct sg__ref_kv {
    struct sg_kv base;
    float *k, *v;
};

/* Where head h of the token in `slot` lives. */
static inline size_t sg__ref_kv_at(const struct sg_kv *kv, int32_t layer, int64_t slot, int32_t head) {
    const size_t token = (size_t)layer * (size_t)kv->pages * SG_PAGE_TOKENS + (size_t)slot;
    return (token * (size_t)kv->kv_heads + (size_t)head) * (size_t)kv->head_dim;
}

/* One row of keys that a query attends to: key t of `len` lives in slot of pages[t / SG_PAGE_TOKENS]. */
struct sg__ref_keys {
    const int32_t *pages;
    int32_t len, split; /* split: keys that share a running maximum of softmax (bf16) */
};
/* x as the device's products take it. */
static inline double sg__ref_factor(const struct sg_dev *dev, float x) {
    return (double)(dev->info.products == SG_BF16 ? sg__bf16_round(x) : x);
}
/* out[head_dim] = softmax(scale q.k) v over the keys of both runs together; scores has room for all keys
 * and head_dim more. */
void sg__ref_attend(const struct sg__ref_kv *kv, int32_t layer, int32_t kv_head, const float *q, double scale,
                    const struct sg__ref_keys runs[2], double *scores, float *out);
/* log of the sum of exp(x), in double; NaN when x holds one. */
double sg__ref_log_sum_exp(const float *x, int32_t n);

enum sg_status sg__ref_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                             float *out, struct sg_err *err);
enum sg_status sg__ref_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                   const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err);
enum sg_status sg__ref_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                   int32_t n, int32_t cols, float eps, void *out, struct sg_err *err);
enum sg_status sg__ref_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              void *y, struct sg_err *err);
enum sg_status sg__ref_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              float *logits, struct sg_err *err);
enum sg_status sg__ref_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err);
enum sg_status sg__ref_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a, struct sg_err *err);
enum sg_status sg__ref_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err);
enum sg_status sg__ref_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                              struct sg_err *err);
enum sg_status sg__ref_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                   int32_t n, int32_t cols, void *out, struct sg_err *err);
enum sg_status sg__ref_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                              struct sg_err *err);
enum sg_status sg__ref_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                               int32_t vocab, float *out, struct sg_err *err);
enum sg_status sg__ref_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err);

#endif

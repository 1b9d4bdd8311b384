/* internal - functions that the plain sources of kernels/cpu share. */
#ifndef SG_KERNELS_CPU_INTERNAL_H
#define SG_KERNELS_CPU_INTERNAL_H

#include "kernels/cpu/cpu.h"

size_t sg__cpu_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                                unsigned use);
enum sg_status sg__cpu_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                  struct sg_weight **out, struct sg_err *err);
enum sg_status sg__cpu_weight_random(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                     struct sg_weight **out, struct sg_err *err);
void sg__cpu_weight_free(struct sg_dev *dev, struct sg_weight *w);
/* One row of W as float: out [cols]. */
void sg__cpu_weight_row(const struct sg__cpu_weight *w, int32_t row, float *out);

/* The operators, ops.c of this folder. */
enum sg_status sg__cpu_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                             float *out, struct sg_err *err);
enum sg_status sg__cpu_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                   const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err);
enum sg_status sg__cpu_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                   int32_t n, int32_t cols, float eps, void *out, struct sg_err *err);
enum sg_status sg__cpu_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              void *y, struct sg_err *err);
enum sg_status sg__cpu_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              float *logits, struct sg_err *err);
enum sg_status sg__cpu_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err);
enum sg_status sg__cpu_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a, struct sg_err *err);
enum sg_status sg__cpu_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err);
enum sg_status sg__cpu_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                              struct sg_err *err);
enum sg_status sg__cpu_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                   int32_t n, int32_t cols, void *out, struct sg_err *err);
enum sg_status sg__cpu_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                              struct sg_err *err);
enum sg_status sg__cpu_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                               int32_t vocab, float *out, struct sg_err *err);
enum sg_status sg__cpu_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err);

#endif

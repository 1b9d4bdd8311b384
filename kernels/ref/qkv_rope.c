/* RMSNorm of each q and k head, RoPE in the half-rotation form, k and v into the pool. */
#include "kernels/ref/ref.h"

#include <math.h>

/* out = rope(x / sqrt(mean(x^2) + eps) * weight); cs: cos of the dim/2 angles, then sin. */
static void norm_rope(const float *x, const float *weight, const float *cs, int32_t dim, double eps,
                      float *out) {
    double squares = 0;
    for (int32_t j = 0; j < dim; j++) squares += (double)x[j] * x[j];
    const double scale = 1.0 / sqrt(squares / dim + eps);
    for (int32_t j = 0; j < dim / 2; j++) {
        const int32_t k = j + dim / 2;
        const double a = x[j] * scale * weight[j], b = x[k] * scale * weight[k], c = cs[j], s = cs[k];
        out[j] = (float)(a * c - b * s);
        out[k] = (float)(b * c + a * s);
    }
}

enum sg_status sg__ref_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err) {
    (void)err;
    const struct sg__ref_kv *kv = (const struct sg__ref_kv *)a->kv;
    const int32_t dim = a->head_dim;
    for (int32_t i = 0; i < a->n; i++) {
        const float *row = (const float *)a->qkv + (int64_t)i * (a->q_heads + 2 * a->kv_heads) * dim;
        const float *cs = a->cos_sin + (int64_t)a->positions[i] * dim;
        float *q = (float *)a->q_out + (int64_t)i * a->q_heads * dim;
        for (int32_t h = 0; h < a->q_heads; h++)
            norm_rope(row + h * dim, a->q_norm, cs, dim, (double)a->eps, q + h * dim);
        for (int32_t h = 0; h < a->kv_heads; h++) {
            const size_t at = sg__ref_kv_at(a->kv, a->layer, a->slot[i], h);
            float *k = kv->k + at, *v = kv->v + at;
            norm_rope(row + (a->q_heads + h) * dim, a->k_norm, cs, dim, (double)a->eps, k);
            for (int32_t j = 0; j < dim; j++) {
                k[j] = (float)sg__ref_factor(dev, k[j]);
                v[j] = (float)sg__ref_factor(dev, row[(a->q_heads + a->kv_heads + h) * dim + j]);
            }
        }
    }
    return SG_OK;
}

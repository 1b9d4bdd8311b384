/* Causal attention of prefill rows: each row over keys 0..its own position. */
#include "kernels/ref/ref.h"

enum sg_status sg__ref_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a, struct sg_err *err) {
    (void)err;
    double *scratch = ((struct sg__ref_dev *)dev)->scratch;
    const int32_t ratio = a->q_heads / a->kv_heads;
    for (int32_t s = 0; s < a->n_segs; s++)
        for (int32_t i = a->row_begin[s]; i < a->row_begin[s + 1]; i++) {
            const int32_t len = a->pos0[s] + (i - a->row_begin[s]) + 1;
            const struct sg__ref_keys runs[2] = {{a->pages + a->page_begin[s], len, len}, {NULL, 0, 0}};
            for (int32_t h = 0; h < a->q_heads; h++) {
                const int64_t at = ((int64_t)i * a->q_heads + h) * a->head_dim;
                sg__ref_attend((const struct sg__ref_kv *)a->kv, a->layer, h / ratio,
                               (const float *)a->q + at, (double)a->scale, runs, scratch,
                               (float *)a->out + at);
            }
        }
    return SG_OK;
}

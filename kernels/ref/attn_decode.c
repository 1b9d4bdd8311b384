/* Attention of decode rows: each row over its group's prompt and its own suffix. */
#include "kernels/ref/ref.h"

enum sg_status sg__ref_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err) {
    (void)err;
    double *scratch = ((struct sg__ref_dev *)dev)->scratch;
    const int32_t ratio = a->q_heads / a->kv_heads;
    for (int32_t g = 0; g < a->n_groups; g++)
        for (int32_t i = a->row_begin[g]; i < a->row_begin[g + 1]; i++) {
            const struct sg__ref_keys runs[2] = {
                {a->prompt_pages + a->prompt_page_begin[g], a->prompt_len[g], SG_SPLIT_TOKENS},
                {a->suffix_pages + a->suffix_page_begin[i], a->suffix_len[i], a->suffix_len[i]},
            };
            for (int32_t h = 0; h < a->q_heads; h++) {
                const int64_t at = ((int64_t)i * a->q_heads + h) * a->head_dim;
                sg__ref_attend((const struct sg__ref_kv *)a->kv, a->layer, h / ratio,
                               (const float *)a->q + at, (double)a->scale, runs, scratch,
                               (float *)a->out + at);
            }
        }
    return SG_OK;
}

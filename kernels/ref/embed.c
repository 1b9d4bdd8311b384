/* out[i][:] = W[ids[i]][:] */
#include "kernels/ref/ref.h"

enum sg_status sg__ref_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                             float *out, struct sg_err *err) {
    (void)dev, (void)err;
    const void *data = ((const struct sg__ref_weight *)w)->data;
    for (int32_t i = 0; i < n; i++)
        for (int64_t j = 0; j < w->cols; j++)
            out[i * w->cols + j] = sg_dtype_to_f32(data, ids[i] * w->cols + j, w->dtype);
    return SG_OK;
}

/* y[i][:] = W x[i][:], for linear and logits: both are float here. */
#include "kernels/ref/ref.h"

enum sg_status sg__ref_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              void *y, struct sg_err *err) {
    (void)err;
    double *row = ((struct sg__ref_dev *)dev)->scratch;
    const void *data = ((const struct sg__ref_weight *)w)->data;
    for (int64_t r = 0; r < w->rows; r++) {
        for (int64_t k = 0; k < w->cols; k++)
            row[k] = (double)sg_dtype_to_f32(data, r * w->cols + k, w->dtype);
        for (int32_t i = 0; i < n; i++) {
            const float *xi = (const float *)x + i * w->cols;
            double sum = 0;
            for (int64_t k = 0; k < w->cols; k++) sum += row[k] * sg__ref_factor(dev, xi[k]);
            ((float *)y)[i * w->rows + r] = (float)sum;
        }
    }
    return SG_OK;
}

enum sg_status sg__ref_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                              float *logits, struct sg_err *err) {
    return sg__ref_linear(dev, w, x, n, logits, err);
}

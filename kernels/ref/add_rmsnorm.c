/* resid += delta; out = resid / sqrt(mean(resid^2) + eps) * weight */
#include "kernels/ref/ref.h"

#include <math.h>

enum sg_status sg__ref_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                   int32_t n, int32_t cols, float eps, void *out, struct sg_err *err) {
    (void)dev, (void)err;
    for (int32_t i = 0; i < n; i++) {
        const int64_t at = (int64_t)i * cols;
        float *r = resid + at, *y = (float *)out + at;
        const float *d = delta ? (const float *)delta + at : NULL;
        double squares = 0;
        for (int32_t j = 0; j < cols; j++) {
            if (d) r[j] += d[j]; /* the sum is stored as float: what is normalised is what is stored */
            squares += (double)r[j] * r[j];
        }
        const double scale = 1.0 / sqrt(squares / cols + (double)eps);
        for (int32_t j = 0; j < cols; j++) y[j] = (float)(r[j] * scale * weight[j]);
    }
    return SG_OK;
}

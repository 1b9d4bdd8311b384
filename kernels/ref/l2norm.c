/* out = x / max(|x|_2, 1e-12) */
#include "kernels/ref/ref.h"

#include <math.h>

enum sg_status sg__ref_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                              struct sg_err *err) {
    (void)dev, (void)err;
    for (int64_t i = 0; i < n; i++) {
        const float *row = (const float *)x + i * cols;
        double squares = 0;
        for (int32_t j = 0; j < cols; j++) squares += (double)row[j] * row[j];
        const double norm = sqrt(squares), by = norm < 1e-12 ? 1e-12 : norm; /* a NaN stays */
        for (int32_t j = 0; j < cols; j++) out[i * cols + j] = (float)(row[j] / by);
    }
    return SG_OK;
}

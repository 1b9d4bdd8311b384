/* out = silu(gate) * up */
#include "kernels/ref/ref.h"

#include <math.h>

enum sg_status sg__ref_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                              struct sg_err *err) {
    (void)dev, (void)err;
    for (int64_t i = 0; i < n; i++) {
        const float *gate = (const float *)gate_up + i * 2 * cols, *up = gate + cols;
        float *y = (float *)out + i * cols;
        for (int32_t j = 0; j < cols; j++) {
            const double g = gate[j];
            y[j] = (float)(g / (1 + exp(-g)) * up[j]);
        }
    }
    return SG_OK;
}

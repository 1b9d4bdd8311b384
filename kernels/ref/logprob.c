/* out[i] = log softmax(logits[i])[target[i]] */
#include "kernels/ref/ref.h"

#include <math.h>

double sg__ref_log_sum_exp(const float *x, int32_t n) {
    double top = -INFINITY, sum = 0;
    for (int32_t j = 0; j < n; j++)
        if (x[j] > top) top = x[j];
    for (int32_t j = 0; j < n; j++) sum += exp(x[j] - top);
    return top + log(sum);
}

enum sg_status sg__ref_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                               int32_t vocab, float *out, struct sg_err *err) {
    (void)dev, (void)err;
    for (int32_t i = 0; i < n; i++) {
        const float *row = logits + (int64_t)i * vocab;
        out[i] = (float)(row[target[i]] - sg__ref_log_sum_exp(row, vocab));
    }
    return SG_OK;
}

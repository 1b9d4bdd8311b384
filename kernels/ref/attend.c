/* softmax(scale q.K^T) V of one query over two runs of keys, in one piece and in double. */
#include "kernels/ref/ref.h"

#include <math.h>

void sg__ref_attend(const struct sg__ref_kv *kv, int32_t layer, int32_t kv_head, const float *q, double scale,
                    const struct sg__ref_keys runs[2], double *scores, float *out) {
    const int32_t dim = kv->base.head_dim, total = runs[0].len + runs[1].len;
    double *sum = scores + total;
    double top = -INFINITY, mass = 0;
    for (int32_t r = 0, n = 0; r < 2; r++)
        for (int32_t t = 0; t < runs[r].len; t++, n++) {
            const int64_t slot = sg_slot(runs[r].pages[t / SG_PAGE_TOKENS], t % SG_PAGE_TOKENS);
            const float *k = kv->k + sg__ref_kv_at(&kv->base, layer, slot, kv_head);
            double dot = 0;
            for (int32_t j = 0; j < dim; j++) dot += (double)q[j] * k[j];
            scores[n] = dot * scale;
            if (scores[n] > top) top = scores[n];
        }
    for (int32_t j = 0; j < dim; j++) sum[j] = 0;
    for (int32_t r = 0, n = 0; r < 2; r++)
        for (int32_t t = 0; t < runs[r].len; t++, n++) {
            const int64_t slot = sg_slot(runs[r].pages[t / SG_PAGE_TOKENS], t % SG_PAGE_TOKENS);
            const float *v = kv->v + sg__ref_kv_at(&kv->base, layer, slot, kv_head);
            const double p = exp(scores[n] - top);
            mass += p;
            for (int32_t j = 0; j < dim; j++) sum[j] += p * v[j];
        }
    for (int32_t j = 0; j < dim; j++) out[j] = (float)(sum[j] / mass);
}

/* softmax(scale q.K^T) V of one query over two runs of keys, in one piece and in double. */
#include "kernels/ref/ref.h"

#include <math.h>

/* exp(scores - top) of n keys, which go by blocks of SG__BF16_KEYS; each block's are rounded to bf16
 * in units of the largest so far, as an online softmax has them. */
static void round_weights(double *scores, int32_t n, double top) {
    double most = -INFINITY;
    for (int32_t k = 0; k < n; k += SG__BF16_KEYS) {
        const int32_t end = n - k < SG__BF16_KEYS ? n : k + SG__BF16_KEYS;
        for (int32_t i = k; i < end; i++) most = scores[i] > most ? scores[i] : most;
        for (int32_t i = k; i < end; i++)
            scores[i] = (double)sg__bf16_round((float)exp(scores[i] - most)) * exp(most - top);
    }
}

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
            for (int32_t j = 0; j < dim; j++) dot += sg__ref_factor(kv->base.dev, q[j]) * k[j];
            scores[n] = dot * scale;
            if (scores[n] > top) top = scores[n];
        }
    const bool bf16 = kv->base.dev->info.products == SG_BF16;
    for (int32_t r = 0, n = 0; r < 2 && bf16; r++)
        for (int32_t t = 0; t < runs[r].len; t += runs[r].split) {
            const int32_t left = runs[r].len - t, some = left < runs[r].split ? left : runs[r].split;
            round_weights(scores + n, some, top);
            n += some;
        }
    for (int32_t j = 0; j < dim; j++) sum[j] = 0;
    for (int32_t r = 0, n = 0; r < 2; r++)
        for (int32_t t = 0; t < runs[r].len; t++, n++) {
            const int64_t slot = sg_slot(runs[r].pages[t / SG_PAGE_TOKENS], t % SG_PAGE_TOKENS);
            const float *v = kv->v + sg__ref_kv_at(&kv->base, layer, slot, kv_head);
            const double p = bf16 ? scores[n] : exp(scores[n] - top);
            mass += p;
            for (int32_t j = 0; j < dim; j++) sum[j] += p * v[j];
        }
    for (int32_t j = 0; j < dim; j++) out[j] = (float)(sum[j] / mass);
}

#include "kt_attn.h"

struct kt_pool kt_pool_new(struct sg_dev *dev, int32_t pages, int32_t kv_heads, int32_t dim) {
    struct kt_pool p = {.dev = dev, .pages = pages, .layer = 1, .kv_heads = kv_heads, .dim = dim};
    KT_OK(sg_kv_new(dev, 2, pages, kv_heads, dim, &p.kv, &err));
    const int32_t n = pages * SG_PAGE_TOKENS, width = kv_heads * dim;
    int32_t *slots = kt_malloc((size_t)n * sizeof *slots);
    float *k = kt_malloc((size_t)n * (size_t)width * sizeof *k),
          *v = kt_malloc((size_t)n * (size_t)width * sizeof *v);
    for (int32_t i = 0; i < n; i++) slots[i] = i;
    for (int64_t i = 0; i < (int64_t)n * width; i++) k[i] = v[i] = NAN;
    kt_write_kv(dev, p.kv, p.layer, kv_heads, dim, n, slots, k, v, 1);
    free(slots), free(k), free(v);
    return p;
}

void kt_pool_free(struct kt_pool *p) {
    sg_kv_free(p->dev, p->kv);
}

struct kt_seq kt_seq_new(struct kt_pool *p, int32_t len, uint64_t stream) {
    struct kt_seq s = {.len = len, .n_pages = sg_pages_for(len)};
    const int64_t size = (int64_t)len * p->kv_heads * p->dim;
    s.pages = kt_malloc((size_t)s.n_pages * sizeof *s.pages);
    s.k = kt_malloc((size_t)size * sizeof *s.k);
    s.v = kt_malloc((size_t)size * sizeof *s.v);
    int32_t stride = p->pages / 3 | 1; /* coprime to the number of pages: each comes up once */
    for (int32_t a = p->pages, b = stride, t; b > 0; t = a % b, a = b, b = t)
        if (a % b == 0 && b > 1) a = p->pages, b = stride += 2;
    for (int32_t i = 0; i < s.n_pages; i++) {
        assert_true(p->used < p->pages);
        s.pages[i] = (int32_t)((int64_t)p->used++ * stride % p->pages);
    }
    kt_fill(s.k, size, stream * 2 + 1000, 1, false);
    kt_fill(s.v, size, stream * 2 + 1001, 1, true);
    int32_t *slots = kt_malloc((size_t)len * sizeof *slots);
    for (int32_t t = 0; t < len; t++) slots[t] = sg_slot(s.pages[t / SG_PAGE_TOKENS], t % SG_PAGE_TOKENS);
    kt_write_kv(p->dev, p->kv, p->layer, p->kv_heads, p->dim, len, slots, s.k, s.v, 1.5f);
    free(slots);
    return s;
}

void kt_seq_free(struct kt_seq *s) {
    free(s->pages), free(s->k), free(s->v);
}

void kt_attend(const struct kt_pool *p, const float *q, int32_t kv_head, double scale, const struct kt_seq *a,
               int32_t len_a, const struct kt_seq *b, int32_t len_b, double *want, double *bound) {
    const int32_t n = len_a + len_b, dim = p->dim;
    const double inner = kt_inner_round(p->dev);
    double *s = kt_malloc((size_t)n * sizeof *s), *mass_v = calloc((size_t)dim, sizeof *mass_v);
    double top = -INFINITY, most = 0, sum = 0;
    for (int32_t t = 0; t < n; t++) {
        const struct kt_seq *seq = t < len_a ? a : b;
        const float *k = seq->k + ((int64_t)(t < len_a ? t : t - len_a) * p->kv_heads + kv_head) * dim;
        double dot = 0, abs_dot = 0;
        for (int32_t d = 0; d < dim; d++) dot += (double)q[d] * k[d], abs_dot += fabs((double)q[d] * k[d]);
        s[t] = dot * scale;
        top = fmax(top, s[t]);
        most = fmax(most, abs_dot * fabs(scale));
    }
    for (int32_t d = 0; d < dim; d++) want[d] = 0;
    for (int32_t t = 0; t < n; t++) {
        const struct kt_seq *seq = t < len_a ? a : b;
        const float *v = seq->v + ((int64_t)(t < len_a ? t : t - len_a) * p->kv_heads + kv_head) * dim;
        const double w = exp(s[t] - top);
        sum += w;
        for (int32_t d = 0; d < dim; d++) want[d] += w * v[d], mass_v[d] += w * fabs((double)v[d]);
    }
    const double ds = most * (1.5 * dim + 16) * KT_U;
    const double rel = expm1(2 * ds) + (n + 0.5 * n + 60) * KT_U + inner;
    for (int32_t d = 0; d < dim; d++) {
        want[d] /= sum;
        bound[d] = rel * (1 + rel) * mass_v[d] / sum + kt_act_round(p->dev) * fabs(want[d]);
    }
    free(s), free(mass_v);
}

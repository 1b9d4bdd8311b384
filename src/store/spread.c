#include "store/spread.h"

#include <math.h>

enum { PRIOR_SAMPLES = 4 };

struct moments {
    int64_t n;
    double mean, variance; /* variance: 0 for n = 1 */
};

/* Of p_yes and length over the cell's parsed samples. */
static void moments_of(const struct sg_results *r, int64_t cell, struct moments *p, struct moments *length) {
    *p = *length = (struct moments){0, 0, 0};
    const int64_t begin = cell * r->n_samples, end = begin + r->n_samples;
    for (int64_t i = begin; i < end; i++) {
        if (r->sample_correct[i] < 0 || r->sample_length[i] < 0) continue;
        length->n++;
        length->mean += (double)r->sample_length[i];
        if (isnan(r->sample_p_yes[i])) continue;
        p->n++;
        p->mean += (double)r->sample_p_yes[i];
    }
    p->mean /= (double)p->n;
    length->mean /= (double)length->n;
    for (int64_t i = begin; i < end; i++) {
        if (r->sample_correct[i] < 0 || r->sample_length[i] < 0) continue;
        const double l = (double)r->sample_length[i] - length->mean, q = (double)r->sample_p_yes[i] - p->mean;
        length->variance += l * l;
        if (!isnan(q)) p->variance += q * q;
    }
    if (p->n > 1) p->variance /= (double)(p->n - 1);
    if (length->n > 1) length->variance /= (double)(length->n - 1);
}

struct sg_spread sg_results_spread(const struct sg_results *r) {
    double p_sum = 0, length_sum = 0;
    int64_t n_p = 0, n_length = 0;
    for (int64_t c = 0; c < r->n_queries * r->n_models; c++) {
        struct moments p, length;
        moments_of(r, c, &p, &length);
        if (p.n > 1) p_sum += p.variance, n_p++;
        if (length.n > 1 && length.mean > 0)
            length_sum += length.variance / (length.mean * length.mean), n_length++;
    }
    return (struct sg_spread){p_sum / (double)n_p, length_sum / (double)n_length};
}

static double error_of(const struct moments *m, double pool) {
    if (m->n == 0) return (double)NAN;
    const double n = (double)m->n,
                 v = (PRIOR_SAMPLES * pool + (n - 1) * m->variance) / (n + PRIOR_SAMPLES - 1);
    return sqrt(v / n);
}

void sg_results_errors(const struct sg_results *r, int64_t cell, const struct sg_spread *pool, double *p_se,
                       double *length_se) {
    struct moments p, length;
    moments_of(r, cell, &p, &length);
    *p_se = error_of(&p, pool->p_yes);
    *length_se = error_of(&length, pool->length * length.mean * length.mean);
}

void sg_results_set_errors(struct sg_results *r) {
    const struct sg_spread pool = sg_results_spread(r);
    struct sg_results *const parts[] = {r, r->calibration};
    for (int k = 0; k < 2 && parts[k]; k++)
        for (int64_t c = 0; c < parts[k]->n_queries * parts[k]->n_models; c++)
            sg_results_errors(parts[k], c, &pool, &parts[k]->p_se[c], &parts[k]->length_se[c]);
}

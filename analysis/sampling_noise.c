#include "sampling_noise.h"

#include "sum.h"

#include <math.h>

struct moments {
    int32_t n;
    double mean, variance;
};

static void moments(const struct sg_results *r, int64_t cell, struct moments *vote, struct moments *p_yes) {
    double sum[2] = {0, 0}, square[2] = {0, 0};
    int32_t n = 0;
    for (int64_t i = cell * r->n_samples; i < (cell + 1) * r->n_samples; i++) {
        if (r->sample_correct[i] < 0 || isnan(r->sample_p_yes[i])) continue;
        sum[0] += r->sample_correct[i];
        sum[1] += (double)r->sample_p_yes[i];
        n++;
    }
    for (int64_t i = cell * r->n_samples; n && i < (cell + 1) * r->n_samples; i++) {
        if (r->sample_correct[i] < 0 || isnan(r->sample_p_yes[i])) continue;
        const double a = r->sample_correct[i] - sum[0] / n, b = (double)r->sample_p_yes[i] - sum[1] / n;
        square[0] += a * a;
        square[1] += b * b;
    }
    *vote = (struct moments){n, sum[0] / n, square[0] / (n - 1)};
    *p_yes = (struct moments){n, sum[1] / n, square[1] / (n - 1)};
}

static double subset_brier(const struct moments *x, double y, int32_t k) {
    return (x->mean - y) * (x->mean - y) + x->variance / k * (1 - (double)k / x->n);
}

void sg_sampling_noise_usual(const struct sg_dataset *d, struct sg_sampling_noise out[SG_SAMPLING_NOISES]) {
    static const int32_t k[SG_SAMPLING_NOISES] = {1, 2, 4, 8};
    const int32_t n_k = SG_SAMPLING_NOISES;
    const struct sg_results *r = d->r;
    struct sg_sum within[2] = {{0, 0}, {0, 0}}, of_errors[2] = {{0, 0}, {0, 0}};
    int64_t cells = 0, with_errors[2] = {0, 0};
    for (int32_t i = 0; i < n_k; i++)
        out[i] = (struct sg_sampling_noise){.k = k[i],
                                            .variance_votes = (double)NAN,
                                            .variance_p_yes = (double)NAN,
                                            .variance_length = (double)NAN,
                                            .ratio = (double)NAN,
                                            .brier_votes = 0,
                                            .brier_p_yes = 0};
    for (int64_t at = 0; r->sample_correct && r->sample_p_yes && at < d->n * d->m; at++) {
        if (isnan(d->p[at])) continue;
        struct moments vote, p_yes;
        const int64_t cell = sg_dataset_cell(d, at / d->m, (int32_t)(at % d->m));
        moments(r, cell, &vote, &p_yes);
        /* the variance of one sample, of which the cell's standard error is the mean's */
        if (r->p_se && vote.n > 0 && !isnan(r->p_se[cell])) {
            with_errors[0]++;
            sg_sum_add(&of_errors[0], vote.n * r->p_se[cell] * r->p_se[cell]);
        }
        if (r->length_se && vote.n > 0 && !isnan(r->length_se[cell]) && r->length_mean[cell] > 0) {
            const double relative = r->length_se[cell] / r->length_mean[cell];
            with_errors[1]++;
            sg_sum_add(&of_errors[1], vote.n * relative * relative);
        }
        if (vote.n < 2) continue;
        cells++;
        sg_sum_add(&within[0], vote.variance);
        sg_sum_add(&within[1], p_yes.variance);
        for (int32_t i = 0; d->tp && !isnan(d->tp[at]) && i < n_k; i++) {
            if (vote.n < k[i]) continue;
            out[i].n_brier++;
            out[i].brier_votes += subset_brier(&vote, d->tp[at], k[i]);
            out[i].brier_p_yes += subset_brier(&p_yes, d->tp[at], k[i]);
        }
    }
    for (int32_t i = 0; i < n_k; i++) {
        out[i].n_cells = cells;
        out[i].n_errors = with_errors[0];
        out[i].brier_votes /= (double)out[i].n_brier;
        out[i].brier_p_yes /= (double)out[i].n_brier;
        if (with_errors[1])
            out[i].variance_length = sg_sum_get(&of_errors[1]) / (double)with_errors[1] / k[i];
        if (with_errors[0]) out[i].variance_p_yes = sg_sum_get(&of_errors[0]) / (double)with_errors[0] / k[i];
        if (!cells) continue;
        out[i].variance_votes = sg_sum_get(&within[0]) / (double)cells / k[i];
        if (!with_errors[0]) out[i].variance_p_yes = sg_sum_get(&within[1]) / (double)cells / k[i];
        out[i].ratio = out[i].variance_votes / out[i].variance_p_yes;
    }
}

#include "decision_value.h"

#include "calibration.h"

#include <math.h>

struct sg__estimate sg__value(const struct sg__valued *v, const double *x, const double *d, double shift) {
    struct sg__estimate e = {.value = shift};
    double var = 0, df = 0, sampled = 0;
    for (int32_t s = 0; s < v->n_strata; s++) {
        const double w = v->weight[s], n = x ? v->rows[s] : 0, k = d ? v->paired_rows[s] : 0;
        double mx = 0, md = 0, both = 0, own = 0;
        if (!(w > 0)) continue;
        for (int64_t i = 0; i < v->n; i++) {
            if (v->stratum[i] != s) continue;
            if (x) mx += x[i] / n;
            if (d && v->paired[i]) md += d[i] / k;
        }
        e.value += w * (mx + md);
        /* divisors of the unbiased variances */
        const double fx = n > 1 ? 1 / sqrt(n * (n - 1)) : 1, fd = k > 1 ? 1 / sqrt(k * (k - 1)) : 1;
        const double m = d ? k : n;
        for (int64_t i = 0; i < v->n; i++) {
            if (v->stratum[i] != s) continue;
            const double ax = x ? x[i] - mx : 0, ad = d && v->paired[i] ? d[i] - md : 0;
            const double influence = ax * fx + ad * fd;
            both += influence * influence;
            if (!d || v->paired[i]) own += (ax + ad) * (ax + ad);
        }
        own = m > 1 ? own / (m - 1) : own;
        const double here = w * w * (both + v->unknown * own / fmax(w * v->n_queries, 1));
        var += here;
        sampled += w * w * both;
        if (m > 1) df += here * here / (m - 1);
    }
    e.se = sqrt(var);
    e.mean_se = sqrt(sampled);
    e.df = df > 0 ? fmin(var * var / df, 1e6) : 1e6;
    if (e.df < 1) e.df = 1;
    return e;
}

static double half(struct sg__estimate e) {
    return e.se > 0 ? sg_t_quantile(0.05, e.df) * e.se : 0;
}

struct sg_value sg__interval_plain(struct sg__estimate e) {
    return (struct sg_value){e.value, e.value - half(e), e.value + half(e)};
}

bool sg__above_zero(struct sg__estimate e) {
    return e.value > 0 && e.value > sg_t_quantile(0.025, e.df) * e.mean_se;
}

struct sg_value sg__interval_chosen(struct sg__estimate e) {
    const double h = e.se > 0 ? sg_t_quantile(0.025, e.df) * e.se : 0;
    return (struct sg_value){e.value, e.value - h, e.value + h};
}

struct sg_value sg__interval_cost(struct sg__estimate e) {
    if (!(e.value > 0)) return (struct sg_value){e.value, fmax(0, e.value - half(e)), e.value + half(e)};
    const double f = exp(half(e) / e.value);
    return (struct sg_value){e.value, e.value / f, e.value * f};
}

struct sg_value sg__interval_accuracy(const struct sg__valued *v, struct sg__estimate e) {
    /* all right or all wrong: half an answer of the other kind keeps the interval open */
    const double n = (double)v->n, edge = 0.5 / (n + 1), p = fmin(fmax(e.value, edge), 1 - edge);
    const double least = sqrt(p * (1 - p) * (1 / n + v->unknown / fmax(v->n_queries, 1)));
    if (e.value <= edge || e.value >= 1 - edge) e.se = fmax(e.se, least);
    const double l = log(p / (1 - p)), h = half(e) / (p * (1 - p));
    return (struct sg_value){e.value, fmin(e.value, 1 / (1 + exp(-(l - h)))),
                             fmax(e.value, 1 / (1 + exp(-(l + h))))};
}

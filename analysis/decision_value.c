#include "decision_value.h"

#include "calibration.h"

#include <math.h>
#include <string.h>

int64_t sg__differing(const struct sg__valued *v, const double *d, bool paired) {
    int64_t n = 0;
    for (int64_t i = 0; i < v->n; i++)
        n += v->stratum[i] >= 0 && (!paired || v->paired[i]) && fabs(d[i]) > 1e-12;
    return n;
}

struct sg__estimate sg__value(const struct sg__valued *v, const double *x, const double *d, double shift) {
    struct sg__estimate e = {.value = shift};
    double var = 0, df = 0, sampled = 0;
    memset(v->sums, 0, sizeof *v->sums * (size_t)v->n_strata);
    for (int64_t i = 0; i < v->n; i++) {
        if (v->stratum[i] < 0) continue;
        struct sg__stratum_sums *s = &v->sums[v->stratum[i]];
        if (x) s->x += x[i];
        if (d && v->paired[i]) s->d += d[i];
    }
    for (int32_t s = 0; s < v->n_strata; s++) {
        const double n = v->rows[s], k = v->paired_rows[s];
        struct sg__stratum_sums *o = &v->sums[s];
        o->x = n > 0 ? o->x / n : 0;
        o->d = k > 0 ? o->d / k : 0;
        /* divisors of the unbiased variances */
        o->fx = n > 1 ? 1 / sqrt(n * (n - 1)) : 1;
        o->fd = k > 1 ? 1 / sqrt(k * (k - 1)) : 1;
    }
    for (int64_t i = 0; i < v->n; i++) {
        if (v->stratum[i] < 0) continue;
        struct sg__stratum_sums *s = &v->sums[v->stratum[i]];
        const double ax = x ? x[i] - s->x : 0, ad = d && v->paired[i] ? d[i] - s->d : 0;
        const double influence = ax * s->fx + ad * s->fd;
        s->both += influence * influence;
        if (!d || v->paired[i]) s->own += (ax + ad) * (ax + ad);
    }
    for (int32_t s = 0; s < v->n_strata; s++) {
        const double w = v->weight[s], m = d ? v->paired_rows[s] : v->rows[s];
        const struct sg__stratum_sums *o = &v->sums[s];
        if (!(w > 0)) continue;
        e.value += w * (o->x + o->d);
        const double own = m > 1 ? o->own / (m - 1) : o->own;
        const double here = w * w * (o->both + v->unknown * own / fmax(w * v->n_queries, 1));
        var += here;
        sampled += w * w * o->both;
        if (m > 1) df += here * here / (m - 1);
    }
    for (int32_t s = 0; s < v->n_strata && !(v->unknown > 0); s++) {
        const double off = v->sums[s].x + v->sums[s].d - (e.value - shift);
        const double shares = v->weight[s] * off * off / v->n_queries;
        var += shares;
        sampled += shares;
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

/* Differences of two means of outcomes from 0 to 1: no end lies beyond 1. */
static struct sg_value difference(double value, double below, double above) {
    return (struct sg_value){value, fmin(value, fmax(value - below, -1)),
                             fmax(value, fmin(value + above, 1))};
}

struct sg_value sg__interval_plain(struct sg__estimate e) {
    return difference(e.value, half(e), half(e));
}

struct sg_value sg__interval_gain(struct sg__estimate e) {
    return difference(e.value, e.se > 0 ? sg_t_quantile(0.025, e.df) * e.se : 0, half(e));
}

double sg__lift(double x, double s) {
    return s * exp(-x * x / 2) / (sqrt(1.5707963267948966) * erfc(-x * sqrt(0.5)));
}

struct sg_value sg__interval_cost(struct sg__estimate e) {
    if (!(e.value > 0)) return (struct sg_value){e.value, fmax(0, e.value - half(e)), e.value + half(e)};
    const double f = exp(half(e) / e.value);
    return (struct sg_value){e.value, e.value / f, e.value * f};
}

struct sg_value sg__interval_saving(double ratio, struct sg__estimate less, double base) {
    less.value = ratio;
    less.se /= base;
    const struct sg_value r = sg__interval_cost(less);
    return (struct sg_value){1 - r.value, 1 - r.high, 1 - r.low};
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

double sg__mix_at(const struct sg_decision *d, double cost) {
    double best = 0;
    for (int32_t i = 0; i < d->m; i++) {
        const double a = d->single_value[i].value, c = d->single_bill[i].value;
        if (!(c <= cost)) continue;
        best = fmax(best, a);
        for (int32_t j = 0; j < d->m; j++) {
            const double more = d->single_bill[j].value - c;
            if (d->single_bill[j].value > cost)
                best = fmax(best, a + (cost - c) / more * (d->single_value[j].value - a));
        }
    }
    return best;
}

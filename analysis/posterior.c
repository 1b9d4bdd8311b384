/* posterior - what the votes alone say of each cell's p, where no truth is known.
 *
 * A cell's p is Beta(s mu + yes, s (1 - mu) + no), where yes and no are its votes. The prior mean mu
 * depends on the model and on the query: queries differ in difficulty for all models alike, and a prior of
 * the model alone would trust the model with the luckiest votes on each query. With y the share of yes
 * among a cell's k votes, and x the mean share of the other models on its query less the mean of x over
 * the model's cells:
 *     mu = mean of y over the model's cells + b x    b by least squares over all cells; kept in [0.01, 0.99]
 *     E (y - mu)^2 = mu (1 - mu) (1/k + (1 - 1/k) / (s + 1))     gives s by moments; kept in [0.5, 200]
 *
 * Votes are drawn at the sampling temperature, below 1 as a rule, while p_correct is read at temperature
 * 1: their means over a grid differ. Each model's draws are therefore mapped linearly towards 0 or 1, so
 * that the model used for every query has its mean p_correct: policies and single models are then on one
 * scale. The posterior says how much of a policy's predicted accuracy is the luck of the cells chosen, and
 * how certain that is. */
#include "posterior.h"

#include "base/mem.h"
#include "bootstrap.h"

#include <math.h>
#include <stdlib.h>

/* Share of yes among the cell's parsed votes, and how many; NaN without. */
static double share(const struct sg_dataset *d, int64_t q, int32_t k, double *votes) {
    const int64_t at = sg_dataset_cell(d, q, k);
    const double yes = d->r->votes_yes[at];
    *votes = yes + d->r->votes_no[at];
    return !isnan(d->p[q * d->m + k]) && *votes > 0 ? yes / *votes : (double)NAN;
}

/* Mean share of the other models on the query; NaN where the query has no other cell. */
static double others(const struct sg_dataset *d, int64_t q, int32_t k, double sum, double n) {
    double votes;
    const double y = share(d, q, k, &votes);
    return isnan(y) || n < 2 ? (double)NAN : (sum - y) / (n - 1);
}

static void query_sum(const struct sg_dataset *d, int64_t q, double *sum, double *n) {
    *sum = *n = 0;
    for (int32_t k = 0; k < d->m; k++) {
        double votes;
        const double y = share(d, q, k, &votes);
        if (isnan(y)) continue;
        *sum += y;
        (*n)++;
    }
}

/* Per model: mean share, mean of the others' share. */
struct model {
    double n, y, n_x, x;
    double cells, p,
        posterior; /* cells with an estimate; sums over them of p_correct and of the posterior mean */
};

static double centred(const struct model *f, double x) {
    return isnan(x) ? 0 : x - f->x;
}

static double prior_mean(const struct model *f, double b, double x) {
    return fmin(fmax(f->y + b * centred(f, x), 0.01), 0.99);
}

static double strength(const struct sg_dataset *d, const struct model *f, double b) {
    double residual = 0, sampling = 0, spread = 0;
    for (int64_t q = 0; q < d->n; q++) {
        double sum, n;
        query_sum(d, q, &sum, &n);
        for (int32_t k = 0; k < d->m; k++) {
            double votes;
            const double y = share(d, q, k, &votes);
            if (isnan(y)) continue;
            const double mu = prior_mean(&f[k], b, others(d, q, k, sum, n)), var = mu * (1 - mu);
            residual += (y - mu) * (y - mu);
            sampling += var / votes;
            spread += var * (1 - 1 / votes);
        }
    }
    const double rho = spread > 0 ? (residual - sampling) / spread : 0; /* 1 / (s + 1) */
    return rho > 0 ? fmin(fmax(1 / rho - 1, 0.5), 200) : 200;
}

/* Of cell (q, k): the prior's votes and the cell's own. */
static void cell_beta(const struct sg_dataset *d, int64_t q, int32_t k, double mu, double s, double *a,
                      double *b) {
    const int64_t at = sg_dataset_cell(d, q, k);
    *a = s * mu + d->r->votes_yes[at];
    *b = s * (1 - mu) + d->r->votes_no[at];
}

/* The linear map of [0, 1] into itself that takes the model's mean posterior m to its mean p_correct t. */
static void stretch_of(double m, double t, double *base, double *stretch) {
    *stretch = t < m ? t / m : m < 1 ? (1 - t) / (1 - m) : 1;
    *base = t < m ? 0 : 1 - *stretch;
}

/* Per model the mean shares (pass 0), then b, the slope of the centred shares (pass 1). f: [m], zeroed. */
static double fit(const struct sg_dataset *d, struct model *f) {
    double xy = 0, xx = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t q = 0; q < d->n; q++) {
            double sum, n, votes;
            query_sum(d, q, &sum, &n);
            for (int32_t k = 0; k < d->m; k++) {
                const double y = share(d, q, k, &votes), x = others(d, q, k, sum, n);
                if (isnan(y)) continue;
                if (pass == 1) {
                    xy += (y - f[k].y) * centred(&f[k], x);
                    xx += centred(&f[k], x) * centred(&f[k], x);
                    continue;
                }
                f[k].y += y;
                f[k].n++;
                f[k].x += isnan(x) ? 0 : x;
                f[k].n_x += !isnan(x);
            }
        }
        for (int32_t k = 0; k < d->m && pass == 0; k++) {
            f[k].y = f[k].n > 0 ? f[k].y / f[k].n : 0.5;
            f[k].x = f[k].n_x > 0 ? f[k].x / f[k].n_x : 0.5;
        }
    }
    return xx > 0 ? xy / xx : 0;
}

enum sg_status sg__posterior(const struct sg_analysis *a, struct sg_beta *out, struct sg_beta *cell,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const struct sg_path *path = &a->scope;
    struct sg_beta o = {0}, c = {0};
    struct model *f = NULL;
    SG_TRY(SG_NEW(&f, d->m, "prior", err));
    SG_TRY(sg_beta_new(&o, path->n_vertices, err));
    SG_TRY(sg_beta_new(&c, d->n * d->m, err));
    const double b = fit(d, f), s = strength(d, f, b);
    for (int64_t q = 0; q < d->n; q++) {
        double sum, n;
        query_sum(d, q, &sum, &n);
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t at = q * d->m + k;
            if (isnan(d->p[at])) continue;
            cell_beta(d, q, k, prior_mean(&f[k], b, others(d, q, k, sum, n)), s, &c.a[at], &c.b[at]);
            f[k].cells++;
            f[k].p += d->p[at];
            f[k].posterior += c.a[at] / (c.a[at] + c.b[at]);
        }
    }
    for (int64_t at = 0; at < d->n * d->m; at++) {
        const struct model *m = &f[at % d->m];
        if (!isnan(d->p[at]))
            stretch_of(m->posterior / m->cells, m->p / m->cells, &c.base[at], &c.stretch[at]);
    }
    for (int64_t q = 0; q < d->n; q++)
        for (uint32_t u = path->first[q]; u < path->first[q + 1]; u++) {
            const int64_t at = q * d->m + path->model[u];
            o.a[u] = c.a[at];
            o.b[u] = c.b[at];
            o.base[u] = c.base[at];
            o.stretch[u] = c.stretch[at];
        }
    *out = o;
    *cell = c;
out:
    free(f);
    if (st != SG_OK) sg_beta_free(&o);
    if (st != SG_OK) sg_beta_free(&c);
    return st;
}

#include "calibration.h"

#include "base/mem.h"
#include "order.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Running state of one group. The sums are taken in index order, the rest in rising order of p. */
struct running {
    struct sg_sum p, y, brier, log_loss;
    int64_t n, wrong_before; /* pairs; wrong ones with a smaller p than the run of ties that is open */
    int64_t tie_right, tie_wrong, right, seen;
    double auc_pairs, tie_p; /* concordant pairs + ties / 2; p of the open run */
};

static void close_run(struct running *g) {
    g->auc_pairs += (double)g->tie_right * ((double)g->wrong_before + 0.5 * (double)g->tie_wrong);
    g->right += g->tie_right;
    g->wrong_before += g->tie_wrong;
    g->tie_right = g->tie_wrong = 0;
}

static void take_sorted(struct running *g, struct sg_bin *bins, double p, double y) {
    if (p != g->tie_p) {
        close_run(g);
        g->tie_p = p;
    }
    if (y > 0)
        g->tie_right++;
    else
        g->tie_wrong++;
    struct sg_bin *b = &bins[g->seen++ * SG_ECE_BINS / g->n]; /* sizes differ by one at most */
    b->n++;
    b->mean_p += p;
    b->mean_y += y;
}

static void finish(struct running *r, struct sg_bin *bins, struct sg_quality *o) {
    close_run(r);
    const double total = (double)r->n;
    *o = (struct sg_quality){.n = r->n,
                             .base_rate = sg_sum_get(&r->y) / total,
                             .mean_p = sg_sum_get(&r->p) / total,
                             .brier = sg_sum_get(&r->brier) / total,
                             .log_loss = sg_sum_get(&r->log_loss) / total,
                             .auc = r->auc_pairs / ((double)r->right * (double)r->wrong_before),
                             .ece = r->n ? 0 : (double)NAN};
    for (int32_t i = 0; i < SG_ECE_BINS; i++) {
        if (bins[i].n) o->ece += fabs(bins[i].mean_p - bins[i].mean_y) / total;
        bins[i].mean_p /= (double)bins[i].n;
        bins[i].mean_y /= (double)bins[i].n;
    }
}

enum sg_status sg_quality_groups(const double *p, const double *y, int64_t n, const struct sg_grouping *by,
                                 int32_t n_by, struct sg_quality *out, struct sg_bin *bins_out,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint32_t *order = NULL, *pair = NULL;
    double *key = NULL;
    struct running *g = NULL;
    struct sg_bin *bins = NULL;
    int32_t n_groups = 0;
    int64_t k = 0;
    for (int32_t b = 0; b < n_by; b++) n_groups += by[b].n;
    SG_TRY(SG_NEW(&pair, n, "pairs", err));
    SG_TRY(SG_NEW(&key, n, "pairs", err));
    SG_TRY(SG_NEW(&g, n_groups, "groups", err));
    SG_TRY(SG_NEW(&bins, (int64_t)n_groups * SG_ECE_BINS, "bins", err));
    for (int64_t i = 0; i < n; i++) {
        if (isnan(p[i]) || isnan(y[i])) continue;
        const double q = fmin(fmax(p[i], 1e-6), 1 - 1e-6), loss = -log(y[i] > 0 ? q : 1 - q);
        struct running *r = g;
        for (int32_t b = 0; b < n_by; r += by[b++].n) {
            struct running *x = &r[by[b].of ? by[b].of[i] : 0];
            sg_sum_add(&x->p, p[i]);
            sg_sum_add(&x->y, y[i]);
            sg_sum_add(&x->brier, (p[i] - y[i]) * (p[i] - y[i]));
            sg_sum_add(&x->log_loss, loss);
            x->n++;
        }
        key[k] = p[i];
        pair[k++] = (uint32_t)i;
    }
    SG_TRY(SG_NEW(&order, k, "order of estimates", err));
    SG_TRY(sg_order_doubles(key, k, false, order, err));
    for (int64_t j = 0; j < k; j++) {
        const uint32_t i = pair[order[j]];
        struct running *r = g;
        struct sg_bin *x = bins;
        for (int32_t b = 0; b < n_by; b++) {
            const int32_t of = by[b].of ? by[b].of[i] : 0;
            take_sorted(&r[of], &x[of * SG_ECE_BINS], p[i], y[i]);
            r += by[b].n;
            x += by[b].n * SG_ECE_BINS;
        }
    }
    for (int32_t i = 0; i < n_groups; i++) finish(&g[i], &bins[i * SG_ECE_BINS], &out[i]);
    if (bins_out) memcpy(bins_out, bins, sizeof *bins * (size_t)n_groups * SG_ECE_BINS);
out:
    free(order);
    free(pair);
    free(key);
    free(g);
    free(bins);
    return st;
}

/* Regularised incomplete beta by its continued fraction (Lentz), for the t distribution. */
static double beta_fraction(double a, double b, double x) {
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
    double h = d;
    for (int i = 1; i <= 500; i++) {
        const double m = i;
        double t = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / (1 + t * d);
        c = 1 + t / c;
        h *= d * c;
        t = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / (1 + t * d);
        c = 1 + t / c;
        const double by = d * c;
        h *= by;
        if (fabs(by - 1) < 1e-15) break;
    }
    return h;
}

static double beta_regularised(double a, double b, double x) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double sg_t_two_sided(double t, double df) {
    if (isnan(t)) return (double)NAN;
    if (isinf(t)) return 0;
    return beta_regularised(df / 2, 0.5, df / (df + t * t));
}

double sg_t_quantile95(int64_t df) {
    double low = 0, high = 7; /* t(0.95, 1) = 6.314 is the largest */
    for (int i = 0; i < 60; i++) {
        const double mid = (low + high) / 2;
        if (sg_t_two_sided(mid, (double)df) > 0.1)
            low = mid;
        else
            high = mid;
    }
    return (low + high) / 2;
}

enum sg_status sg_length_groups(const double *estimate, const double *truth, const double *sd,
                                const int32_t *k, int64_t n, struct sg_grouping by,
                                struct sg_length_quality *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    enum { T_KNOWN = 64 };
    double t95[T_KNOWN], *relative = NULL;
    int64_t *first = NULL, *fill = NULL;
    for (int i = 1; i < T_KNOWN; i++) t95[i] = sg_t_quantile95(i);
    SG_TRY(SG_NEW(&relative, n, "length errors", err));
    SG_TRY(SG_NEW(&first, by.n + 1, "groups", err));
    SG_TRY(SG_NEW(&fill, by.n + 1, "groups", err));
    memset(out, 0, sizeof *out * (size_t)by.n);
    for (int64_t i = 0; i < n; i++)
        if (truth[i] > 0 && !isnan(estimate[i])) first[(by.of ? by.of[i] : 0) + 1]++;
    for (int32_t g = 0; g < by.n; g++) first[g + 1] += first[g];
    memcpy(fill, first, sizeof *fill * (size_t)(by.n + 1));
    for (int64_t i = 0; i < n; i++) {
        if (isnan(estimate[i]) || isnan(truth[i])) continue;
        const int32_t g = by.of ? by.of[i] : 0;
        struct sg_length_quality *o = &out[g];
        const double e = estimate[i] - truth[i];
        o->n++;
        o->mae += fabs(e);
        o->bias += e;
        o->median_relative += truth[i]; /* the sum of truths until the end */
        if (truth[i] > 0) relative[fill[g]++] = fabs(e) / truth[i];
        if (sd && k && k[i] >= 2 && !isnan(sd[i])) {
            const double t = k[i] - 1 < T_KNOWN ? t95[k[i] - 1] : sg_t_quantile95(k[i] - 1);
            o->n_coverage++;
            o->coverage += fabs(e) <= t * sd[i] * sqrt(1 + 1.0 / k[i]);
        }
    }
    for (int32_t g = 0; g < by.n; g++) {
        struct sg_length_quality *o = &out[g];
        o->mae /= (double)o->n;
        o->bias /= o->median_relative;
        o->median_relative = sg_quantile(relative + first[g], first[g + 1] - first[g], 0.5);
        o->coverage = o->n_coverage ? o->coverage / (double)o->n_coverage : (double)NAN;
    }
out:
    free(relative);
    free(first);
    free(fill);
    return st;
}

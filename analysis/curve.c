#include "curve.h"

#include "base/mem.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>

void sg_weights_sum(struct sg_weights *w, int64_t n) {
    int64_t sum[3] = {0, 0, 0};
    for (int64_t q = 0; q < n; q++) sum[w->fold[q]] += w->w[q];
    for (int f = 0; f < 3; f++) w->by_fold[f] = (double)sum[f];
    w->total = w->by_fold[0] + w->by_fold[1] + w->by_fold[2];
}

void sg_curve_lp(const struct sg_path *path, const struct sg_weights *w, const double *value,
                 const double *grid, int32_t n_grid, double *accuracy) {
    double p = 0, c = 0;
    int32_t g = 0;
    SG_ASSERT(path->exact);
    for (int64_t q = 0; q < path->n; q++) {
        p += w->w[q] * (value ? value[path->first[q]] : path->start_p[q]);
        c += w->w[q] * path->start_c[q];
    }
    for (; g < n_grid && !(grid[g] * w->total >= c * (1 - 1e-15)); g++) accuracy[g] = (double)NAN;
    for (int64_t s = 0; s < path->n_steps && g < n_grid; s++) {
        const double x = w->w[path->query[s]];
        const double dc = x * path->dc[s];
        const double dp = x * (value ? value[path->vertex[s]] - value[path->vertex[s] - 1] : path->dp[s]);
        for (; g < n_grid && grid[g] * w->total < c + dc; g++)
            accuracy[g] = (p + dp * fmax(0, grid[g] * w->total - c) / dc) / w->total;
        p += dp;
        c += dc;
    }
    for (; g < n_grid; g++) accuracy[g] = p / w->total;
}

/* One side of the choice: for each budget the best policy of queries `a` and what the queries `b` get from
 * it. */
struct best {
    double p, c;             /* of the choosing side: sums */
    double other_p, other_c; /* of the scoring side */
    double steps;
};

size_t sg_curve_choice_scratch(int32_t n_grid) {
    return 2 * (size_t)(n_grid + 1) * (sizeof(struct best) / sizeof(double)) + 2 * (size_t)n_grid;
}

/* Index of the first budget >= cost, from the last one found: costs move little from step to step. */
static inline int32_t locate(const double *budget, int32_t n, double cost, int32_t j) {
    while (j < n && budget[j] < cost) j++;
    while (j > 0 && budget[j - 1] >= cost) j--;
    return j;
}

void sg_curve_choice(const struct sg_path *path, const struct sg_weights *w, enum sg_pick pick,
                     enum sg_fit fit, const double *grid, int32_t n_grid, double *accuracy, double *cost,
                     struct sg_choice *chosen, double *tmp) {
    const int sides = fit == SG_FIT_CROSS ? 2 : 1;
    const uint8_t merge = fit == SG_FIT_CROSS ? 0 : 1; /* in sample: folds 0 and 1 are one */
    struct best *best[2] = {(struct best *)(void *)tmp, (struct best *)(void *)tmp + n_grid + 1};
    double *budget[2] = {(double *)(best[1] + n_grid + 1), (double *)(best[1] + n_grid + 1) + n_grid};
    double tp[3] = {0, 0, 0}, tc[3] = {0, 0, 0};
    const double total[2] = {merge ? w->by_fold[0] + w->by_fold[1] : w->by_fold[0], w->by_fold[1]};
    int32_t at[2] = {0, 0};
    uint8_t lane[3] = {0, merge ? 0 : 1, 2};
    for (int64_t q = 0; q < path->n; q++) {
        const uint8_t f = lane[w->fold[q]];
        tp[f] += w->w[q] * path->start_tp[q];
        tc[f] += w->w[q] * path->start_tc[q];
    }
    for (int a = 0; a < sides; a++) {
        const int b = fit == SG_FIT_CROSS ? 1 - a : a;
        for (int32_t g = 0; g < n_grid; g++) budget[a][g] = grid[g] * total[a] * (1 + 1e-12);
        for (int32_t g = 0; g <= n_grid; g++)
            best[a][g] = (struct best){.p = -INFINITY, .c = -INFINITY, .steps = -1};
        at[a] = locate(budget[a], n_grid, tc[a], 0);
        best[a][at[a]] = (struct best){tp[a], tc[a], tp[b], tc[b], 0};
    }
    for (int64_t s = 0; s < path->n_steps; s++) {
        const int32_t q = path->query[s];
        const uint8_t f = lane[w->fold[q]];
        tp[f] += w->w[q] * path->dtp[s];
        tc[f] += w->w[q] * path->dtc[s];
        if (!path->stop[s]) continue;
        for (int a = 0; a < sides; a++) {
            if (path->exact && a != f) continue; /* only the side that moved has a new policy */
            at[a] = locate(budget[a], n_grid, tc[a], at[a]);
            struct best *x = &best[a][at[a]];
            if (pick == SG_PICK_BEST ? tp[a] > x->p : tc[a] >= x->c) {
                const int b = fit == SG_FIT_CROSS ? 1 - a : a;
                *x = (struct best){tp[a], tc[a], tp[b], tc[b], (double)(s + 1)};
            }
        }
    }
    for (int a = 0; a < sides; a++)
        for (int32_t g = 1; g < n_grid; g++)
            if (pick == SG_PICK_BEST ? best[a][g - 1].p >= best[a][g].p : best[a][g].steps < 0)
                best[a][g] = best[a][g - 1];
    const double scored = w->by_fold[0] + w->by_fold[1];
    for (int32_t g = 0; g < n_grid; g++) {
        bool ok = scored > 0;
        double sum_p = 0, sum_c = 0;
        for (int a = 0; a < sides; a++) {
            ok = ok && best[a][g].steps >= 0 && total[a] > 0;
            sum_p += best[a][g].other_p;
            sum_c += best[a][g].other_c;
            if (chosen) chosen[g].steps[a] = (int64_t)best[a][g].steps;
        }
        if (chosen && sides == 1) chosen[g].steps[1] = chosen[g].steps[0];
        accuracy[g] = ok ? sum_p / scored : (double)NAN;
        cost[g] = ok ? sum_c / scored : (double)NAN;
    }
}

enum sg_status sg_curve_points(const struct sg_path *path, const struct sg_weights *w, bool truth,
                               double **cost, double **accuracy, int64_t **steps, int64_t *n_points,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_sum p = {0, 0}, c = {0, 0};
    double *x = NULL, *y = NULL;
    int64_t *at = NULL, n = 1, k = 0;
    const double total = truth ? w->by_fold[0] + w->by_fold[1] : w->total;
    for (int64_t s = 0; s < path->n_steps; s++) n += path->stop[s];
    SG_TRY(SG_NEW(&x, n, "curve", err));
    SG_TRY(SG_NEW(&y, n, "curve", err));
    SG_TRY(SG_NEW(&at, n, "curve", err));
    for (int64_t q = 0; q < path->n; q++) {
        sg_sum_add(&p, w->w[q] * (truth ? path->start_tp[q] : path->start_p[q]));
        sg_sum_add(&c, w->w[q] * (truth ? path->start_tc[q] : path->start_c[q]));
    }
    x[k] = sg_sum_get(&c) / total;
    y[k++] = sg_sum_get(&p) / total;
    for (int64_t s = 0; s < path->n_steps; s++) {
        const double f = w->w[path->query[s]];
        sg_sum_add(&p, f * (truth ? path->dtp[s] : path->dp[s]));
        sg_sum_add(&c, f * (truth ? path->dtc[s] : path->dc[s]));
        if (!path->stop[s]) continue;
        x[k] = sg_sum_get(&c) / total;
        y[k] = sg_sum_get(&p) / total;
        at[k++] = s + 1;
    }
    *cost = x;
    *accuracy = y;
    *steps = at;
    *n_points = n;
    x = y = NULL;
    at = NULL;
out:
    free(x);
    free(y);
    free(at);
    return st;
}

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

/* The best policy for one budget as its choosing queries see it, and what the scoring queries get from it:
 * sums. */
struct best {
    double p, c;
    double other_p, other_c;
    int64_t steps; /* -1: none yet */
};

/* One choosing side: its queries' weight, the budgets as sums over them, the best policy in each budget's
 * slot (those whose cost lies between the budget before and this one; the last slot: over all budgets). */
struct side {
    double total;
    double *budget;    /* [n_grid] */
    struct best *best; /* [n_grid + 1] */
    int32_t at;        /* slot of the policy that the walk stands on */
};

size_t sg_curve_choice_scratch(int32_t n_grid) {
    const size_t slots = (size_t)n_grid + 1;
    return 2 * (slots * (sizeof(struct best) / sizeof(double)) + slots) + 3 * slots;
}

/* Index of the first budget >= cost. j: the last index found, which is near, since a step changes the cost
 * little. */
static inline int32_t locate(const double *budget, int32_t n, double cost, int32_t j) {
    while (j < n && budget[j] < cost) j++;
    while (j > 0 && budget[j - 1] >= cost) j--;
    return j;
}

/* The policy after `steps` steps, worth (p, c) to the choosing side and (other_p, other_c) to the scoring
 * one. */
static inline void offer(struct side *s, int32_t n_grid, struct best x) {
    s->at = locate(s->budget, n_grid, x.c, s->at);
    struct best *b = &s->best[s->at];
    if (x.c >= b->c) *b = x;
}

static void open_side(struct side *s, double total, const double *grid, int32_t n_grid, struct best *best,
                      double *budget) {
    *s = (struct side){.total = total, .budget = budget, .best = best};
    for (int32_t g = 0; g < n_grid; g++) budget[g] = grid[g] * total * (1 + 1e-12);
    for (int32_t g = 0; g <= n_grid; g++)
        best[g] = (struct best){.p = -INFINITY, .c = -INFINITY, .steps = -1};
}

/* A policy that fits a budget fits every larger one. */
static void settle(struct side *s, int32_t n_grid) {
    for (int32_t g = 1; g < n_grid; g++)
        if (s->best[g].steps < 0) s->best[g] = s->best[g - 1];
}

void sg_curve_choice(const struct sg_path *path, const struct sg_weights *w, const double *grid,
                     int32_t n_grid, double *accuracy, double *cost, struct sg_choice *chosen, double *tmp) {
    const double scored = w->by_fold[0] + w->by_fold[1];
    double tp[3] = {0, 0, 0}, tc[3] = {0, 0, 0}; /* of the two halves; 2: not scored */
    struct best *best = (struct best *)(void *)tmp;
    double *budget = (double *)(best + 2 * (n_grid + 1));
    struct side side[2];
    for (int64_t q = 0; q < path->n; q++) {
        const uint8_t f = w->fold[q];
        tp[f] += w->w[q] * path->start_tp[q];
        tc[f] += w->w[q] * path->start_tc[q];
    }
    for (int a = 0; a < 2; a++) {
        open_side(&side[a], w->by_fold[a], grid, n_grid, best + a * (n_grid + 1), budget + a * n_grid);
        offer(&side[a], n_grid, (struct best){tp[a], tc[a], tp[1 - a], tc[1 - a], 0});
    }
    for (int64_t s = 0; s < path->n_steps; s++) {
        const int32_t q = path->query[s];
        const uint8_t f = w->fold[q];
        tp[f] += w->w[q] * path->dtp[s];
        tc[f] += w->w[q] * path->dtc[s];
        if (!path->stop[s]) continue;
        for (int a = 0; a < 2; a++) {
            if (path->exact && a != f) continue; /* only the side that moved has a new policy */
            offer(&side[a], n_grid, (struct best){tp[a], tc[a], tp[1 - a], tc[1 - a], s + 1});
        }
    }
    for (int a = 0; a < 2; a++) settle(&side[a], n_grid);
    for (int32_t g = 0; g < n_grid; g++) {
        bool ok = scored > 0;
        double sum_p = 0, sum_c = 0;
        for (int a = 0; a < 2; a++) {
            const struct best *x = &side[a].best[g];
            ok = ok && x->steps >= 0 && side[a].total > 0;
            sum_p += x->other_p;
            sum_c += x->other_c;
            if (chosen) chosen[g].steps[a] = x->steps;
        }
        accuracy[g] = ok ? sum_p / scored : (double)NAN;
        cost[g] = ok ? sum_c / scored : (double)NAN;
    }
}

void sg_curve_splits(const struct sg_path *path, const uint8_t *w, const uint8_t *fold, int32_t n_splits,
                     const double *grid, int32_t n_grid, double *accuracy, double *cost, double *tmp) {
    double *p = tmp + sg_curve_choice_scratch(n_grid) - 3 * (n_grid + 1), *c = p + n_grid, *fits = c + n_grid;
    for (int32_t g = 0; g < n_grid; g++) accuracy[g] = cost[g] = fits[g] = 0;
    for (int32_t s = 0; s < n_splits; s++) {
        struct sg_weights one = {.w = w, .fold = fold + s * path->n};
        sg_weights_sum(&one, path->n);
        sg_curve_choice(path, &one, grid, n_grid, p, c, NULL, tmp);
        for (int32_t g = 0; g < n_grid; g++) {
            if (isnan(p[g])) continue;
            accuracy[g] += p[g];
            cost[g] += c[g];
            fits[g]++;
        }
    }
    for (int32_t g = 0; g < n_grid; g++) {
        const double n = 2 * fits[g] >= n_splits ? fits[g] : (double)NAN;
        accuracy[g] /= n;
        cost[g] /= n;
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

#include "bootstrap.h"

#include "base/mem.h"
#include "base/rng.h"
#include "sort.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static uint64_t stream(uint64_t seed, int64_t r, uint64_t use) {
    return sg_random64(seed ^ use * 0x9E3779B97F4A7C15u, (uint64_t)r);
}

void sg_boot_draw(uint64_t seed, int64_t r, int64_t n, uint8_t *w) {
    const uint64_t key = stream(seed, r, 1);
    memset(w, 0, (size_t)n);
    for (int64_t i = 0; i < n; i += 2) {
        const uint64_t x = sg_random64(key, (uint64_t)i);
        const uint64_t a = ((x >> 32) * (uint64_t)n) >> 32, b = ((x & UINT32_MAX) * (uint64_t)n) >> 32;
        /* 255 copies of one query: probability below 1e-300 unless n is tiny, and then n bounds it */
        if (w[a] < UINT8_MAX) w[a]++;
        if (i + 1 < n && w[b] < UINT8_MAX) w[b]++;
    }
}

static double unit(uint64_t key, uint64_t *pos) { /* in (0, 1) */
    return ((double)(sg_random64(key, (*pos)++) >> 12) + 0.5) * (1.0 / 4503599627370496.0);
}

double sg_draw_normal(uint64_t key, uint64_t *pos) {
    const double r = sqrt(-2 * log(unit(key, pos)));
    return r * cos(6.283185307179586 * unit(key, pos));
}

static double draw_gamma(uint64_t key, uint64_t *pos, double a) {
    double boost = 1;
    if (a < 1) {
        boost = pow(unit(key, pos), 1 / a);
        a += 1;
    }
    const double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = sg_draw_normal(key, pos), v = 1 + c * x;
        if (v <= 0) continue;
        const double v3 = v * v * v;
        if (log(unit(key, pos)) < 0.5 * x * x + d * (1 - v3 + log(v3))) return boost * d * v3;
    }
}

double sg_draw_beta(uint64_t key, uint64_t *pos, double a, double b) {
    const double x = draw_gamma(key, pos, a), y = draw_gamma(key, pos, b);
    return x + y > 0 ? x / (x + y) : a / (a + b);
}

enum sg_status sg_beta_new(struct sg_beta *b, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(SG_NEW(&b->a, n, "posterior", err));
    SG_TRY(SG_NEW(&b->b, n, "posterior", err));
    SG_TRY(SG_NEW(&b->base, n, "posterior", err));
    SG_TRY(SG_NEW(&b->stretch, n, "posterior", err));
out:
    return st;
}

void sg_beta_free(struct sg_beta *b) {
    free(b->a);
    free(b->b);
    free(b->base);
    free(b->stretch);
    memset(b, 0, sizeof *b);
}

/* What one thread owns. */
struct worker {
    const struct sg_boot *b;
    atomic_llong *next;
    uint8_t *w, *w_scored;
    double *value, *drawn, *tmp;
    pthread_t thread;
    bool started;
};

static double draw_of(const struct sg_beta *b, uint64_t key, uint64_t *pos, int64_t i) {
    return b->base[i] + b->stretch[i] * sg_draw_beta(key, pos, b->a[i], b->b[i]);
}

static double point_accuracy(const struct sg_boot_point *p, const double *drawn, int64_t q) {
    if (!p->drawn || p->drawn[q] < 0) return p->accuracy[q];
    const double x = drawn[p->drawn[q]];
    return q == p->mixed ? (1 - p->weight) * x + p->weight * drawn[p->mixed_to] : x;
}

static void one_replicate(struct worker *k, int64_t r) {
    const struct sg_boot *b = k->b;
    struct sg_weights all = {.w = k->w, .fold = b->fold}, scored = {.w = k->w_scored, .fold = b->fold};
    sg_boot_draw(b->seed, r, b->n, k->w);
    for (int64_t q = 0; q < b->n; q++) k->w_scored[q] = b->fold[q] < 2 ? k->w[q] : 0;
    sg_weights_sum(&all, b->n);
    sg_weights_sum(&scored, b->n);
    for (int32_t i = 0; i < b->n_curves; i++) {
        const struct sg_boot_curve *c = &b->curves[i];
        double *accuracy = c->accuracy + r * c->n_grid;
        const double *value = NULL;
        if (c->posterior) {
            const uint64_t key = stream(b->seed, r, 2 + (uint64_t)i);
            uint64_t pos = 0;
            for (int64_t v = 0; v < c->path->n_vertices; v++)
                k->value[v] = draw_of(c->posterior, key, &pos, v);
            value = k->value;
        }
        if (c->kind == SG_BOOT_CHOICE)
            sg_curve_splits(c->path, k->w, b->fold, b->n_splits, c->grid, c->n_grid, accuracy,
                            c->cost + r * c->n_grid, k->tmp);
        else
            sg_curve_lp(c->path, c->kind == SG_BOOT_LP ? &all : &scored, value, c->grid, c->n_grid, accuracy);
    }
    uint64_t pos = 0;
    for (int64_t i = 0; i < b->n_drawn; i++)
        k->drawn[i] = draw_of(b->drawn, stream(b->seed, r, 2 + (uint64_t)b->n_curves), &pos, i);
    for (int32_t i = 0; i < b->n_points; i++) {
        const struct sg_boot_point *p = &b->points[i];
        const uint8_t *w = p->scored ? k->w_scored : k->w;
        double a = 0, c = 0;
        for (int64_t q = 0; q < b->n; q++) {
            if (!w[q]) continue;
            a += w[q] * point_accuracy(p, k->drawn, q);
            c += w[q] * p->cost[q];
        }
        const double total = p->scored ? scored.total : all.total;
        p->rep_accuracy[r] = total > 0 ? a / total : (double)NAN;
        if (p->rep_cost) p->rep_cost[r] = total > 0 ? c / total : (double)NAN;
    }
}

static void *work(void *arg) {
    struct worker *k = arg;
    for (;;) {
        const int64_t r = atomic_fetch_add(k->next, 1);
        if (r >= k->b->reps) return NULL;
        one_replicate(k, r);
    }
}

enum sg_status sg_bootstrap(const struct sg_boot *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct worker *workers = NULL;
    atomic_llong next = 0;
    int64_t most_vertices = 0;
    int32_t most_budgets = 0;
    const int32_t threads = b->threads < 1         ? 1
                            : b->threads > b->reps ? (int32_t)(b->reps > 0 ? b->reps : 1)
                                                   : b->threads;
    for (int32_t i = 0; i < b->n_curves; i++) {
        const struct sg_boot_curve *c = &b->curves[i];
        if (c->posterior && c->path->n_vertices > most_vertices) most_vertices = c->path->n_vertices;
        if (c->n_grid > most_budgets) most_budgets = c->n_grid;
    }
    SG_TRY(SG_NEW(&workers, threads, "bootstrap threads", err));
    for (int32_t t = 0; t < threads; t++) {
        struct worker *k = &workers[t];
        k->b = b;
        k->next = &next;
        SG_TRY(SG_NEW(&k->w, b->n, "bootstrap weights", err));
        SG_TRY(SG_NEW(&k->w_scored, b->n, "bootstrap weights", err));
        SG_TRY(SG_NEW(&k->value, most_vertices, "posterior draws", err));
        SG_TRY(SG_NEW(&k->drawn, b->n_drawn, "posterior draws", err));
        SG_TRY(SG_NEW(&k->tmp, sg_curve_choice_scratch(most_budgets), "bootstrap scratch", err));
    }
    /* Threads that cannot be started are no error: those that run compute all replicates. */
    for (int32_t t = 1; t < threads; t++)
        workers[t].started = pthread_create(&workers[t].thread, NULL, work, &workers[t]) == 0;
    work(&workers[0]);
    for (int32_t t = 1; t < threads; t++)
        if (workers[t].started) pthread_join(workers[t].thread, NULL);
out:
    for (int32_t t = 0; workers && t < threads; t++) {
        free(workers[t].w);
        free(workers[t].w_scored);
        free(workers[t].value);
        free(workers[t].drawn);
        free(workers[t].tmp);
    }
    free(workers);
    return st;
}

void sg_boot_interval(const double *x, int64_t reps, int64_t stride, int64_t at, double *low, double *high,
                      double *scratch) {
    int64_t n = 0;
    for (int64_t r = 0; r < reps; r++)
        if (isfinite(x[r * stride + at])) scratch[n++] = x[r * stride + at];
    *low = *high = (double)NAN;
    if (n == 0 || (double)n < 0.9 * (double)reps) return;
    *low = sg_quantile(scratch, n, 0.025);
    *high = sg_quantile(scratch, n, 0.975);
}

enum sg_status sg_boot_ratios(struct sg_boot_ratio *ratio, int32_t n_ratios, int64_t n, uint64_t seed,
                              int64_t reps, int32_t threads, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double *rep = NULL;
    uint8_t *fold = NULL;
    struct sg_boot_point *points = NULL;
    SG_TRY(SG_NEW(&rep, reps * (2 * n_ratios + 1), "replicates", err));
    SG_TRY(SG_NEW(&points, n_ratios, "replicates", err));
    SG_TRY(SG_NEW(&fold, n, "replicates", err));
    for (int32_t i = 0; i < n_ratios; i++)
        points[i] = (struct sg_boot_point){.accuracy = ratio[i].num,
                                           .cost = ratio[i].den,
                                           .rep_accuracy = rep + (2 * i) * reps,
                                           .rep_cost = rep + (2 * i + 1) * reps};
    const struct sg_boot boot = {.n = n,
                                 .fold = fold,
                                 .n_points = n_ratios,
                                 .reps = reps,
                                 .seed = seed,
                                 .threads = threads,
                                 .points = points};
    SG_TRY(sg_bootstrap(&boot, err));
    for (int32_t i = 0; i < n_ratios; i++) {
        double a = 0, b = 0, *x = points[i].rep_accuracy;
        for (int64_t q = 0; q < n; q++) {
            a += ratio[i].num[q];
            b += ratio[i].den[q];
        }
        ratio[i].value = a / b;
        for (int64_t r = 0; r < reps; r++) x[r] /= points[i].rep_cost[r];
        sg_boot_interval(x, reps, 1, 0, &ratio[i].low, &ratio[i].high, rep + 2 * n_ratios * reps);
    }
out:
    free(rep);
    free(points);
    free(fold);
    return st;
}

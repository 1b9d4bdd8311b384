/* bands - intervals of everything from one paired bootstrap: curves at the budgets of the grid, what was
 * asked, the best single model and the differences to it. Without truth also what the policies are worth
 * given the votes. */
#include "analysis_internal.h"

#include "base/mem.h"
#include "bootstrap.h"

#include <math.h>
#include <stdlib.h>

/* What one bootstrap works on. Replicates of ask i: rep[4 i + {0: predicted p, 1: c, 2: true p, 3: true
 * c}][reps]. */
struct work {
    struct sg_boot_curve curves[SG_CURVES + 1];
    enum sg_curve_id id[SG_CURVES];
    int32_t n_bands, n_curves, n_points;
    struct sg_boot_point *points;
    struct sg_beta beta;
    double *rep, *values, *asked, *asked_rep;
    double *scratch, *diff; /* [reps] */
};

static int rising(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void add_curves(struct sg_analysis *a, struct work *w) {
    const struct sg_path *path[SG_CURVES] = {
        [SG_CURVE_PREDICTED_] = &a->scope, [SG_CURVE_POSTERIOR_] = &a->scope,
        [SG_CURVE_REALISED_] = &a->scope,  [SG_CURVE_KNN_] = &a->knn,
        [SG_CURVE_ANCHOR_] = &a->anchor,   [SG_CURVE_TWO_STAGE_] = &a->two_stage,
        [SG_CURVE_ORACLE_] = &a->oracle};
    for (int i = 0; i < SG_CURVES; i++) {
        struct sg_curve *c = &a->curve[i];
        if (!c->rep) continue;
        const bool lp = i == SG_CURVE_PREDICTED_ || i == SG_CURVE_POSTERIOR_;
        w->id[w->n_curves] = (enum sg_curve_id)i;
        w->curves[w->n_curves++] =
            (struct sg_boot_curve){.path = path[i],
                                   .kind = lp                      ? SG_CURVE_LP
                                           : i == SG_CURVE_ORACLE_ ? SG_CURVE_LP_SCORED
                                                                   : SG_CURVE_CHOICE,
                                   .posterior = i == SG_CURVE_POSTERIOR_ ? &w->beta : NULL,
                                   .grid = a->grid,
                                   .n_grid = a->opt.n_grid,
                                   .accuracy = c->rep,
                                   .cost = c->rep_cost};
    }
    w->n_bands = w->n_curves;
}

/* The asked policies as fixed points; without truth their budgets also as a grid for the posterior. */
static void add_asks(struct sg_analysis *a, struct work *w) {
    const int64_t n = a->v->n, reps = a->opt.reps;
    const bool truth = a->v->n_scored > 0;
    for (size_t i = 0; i < a->n_ask; i++) {
        double *x = w->values + 4 * (int64_t)i * n, *r = w->rep + 4 * (int64_t)i * reps;
        sg__ask_values(a, &a->ask[i], x, x + n, x + 2 * n, x + 3 * n);
        w->asked[i] = a->ask[i].policy.c;
        w->points[w->n_points++] =
            (struct sg_boot_point){.accuracy = x, .cost = x + n, .rep_accuracy = r, .rep_cost = r + reps};
        if (truth)
            w->points[w->n_points++] = (struct sg_boot_point){.accuracy = x + 2 * n,
                                                              .cost = x + 3 * n,
                                                              .scored = true,
                                                              .rep_accuracy = r + 2 * reps,
                                                              .rep_cost = r + 3 * reps};
    }
    if (truth || !a->n_ask) return;
    qsort(w->asked, a->n_ask, sizeof *w->asked, rising);
    w->curves[w->n_curves++] = (struct sg_boot_curve){.path = &a->scope,
                                                      .kind = SG_CURVE_LP,
                                                      .posterior = &w->beta,
                                                      .grid = w->asked,
                                                      .n_grid = (int32_t)a->n_ask,
                                                      .accuracy = w->asked_rep};
}

/* The best single model: true values, or estimates with the model's mean where it has none. */
static void add_best_single(struct sg_analysis *a, struct work *w) {
    const struct sg_view *v = a->v;
    const bool truth = v->n_scored > 0;
    const struct sg_single *s = &a->single[a->best_single];
    double *p = w->values + 4 * (int64_t)a->n_ask * v->n, *c = p + v->n;
    for (int64_t q = 0; q < v->n; q++) {
        const int64_t at = q * v->m + a->best_single;
        if (truth) {
            /* a cell without an estimate may lack its truth even on a scored query */
            p[q] = !v->scored[q] ? 0 : isnan(v->tp[at]) ? s->accuracy.value : v->tp[at];
            c[q] = !v->scored[q] ? 0 : isnan(v->tp[at]) ? s->cost.value : v->tc[at];
        } else {
            p[q] = isnan(v->p[at]) ? s->predicted_accuracy.value : v->p[at];
            c[q] = isnan(v->c[at]) ? s->predicted_cost.value : v->c[at];
        }
    }
    w->points[w->n_points++] = (struct sg_boot_point){.accuracy = p,
                                                      .cost = c,
                                                      .scored = truth,
                                                      .rep_accuracy = a->best_rep_accuracy,
                                                      .rep_cost = a->best_rep_cost};
}

/* Mean of the finite replicates x[r * stride + at]. */
static double mean(const double *x, int64_t reps, int64_t stride, int64_t at) {
    double sum = 0, n = 0;
    for (int64_t r = 0; r < reps; r++)
        if (isfinite(x[r * stride + at])) {
            sum += x[r * stride + at];
            n++;
        }
    return sum / n;
}

static void curve_bands(struct sg_analysis *a, struct work *w) {
    const int64_t reps = a->opt.reps;
    const int32_t n = a->opt.n_grid;
    for (int32_t i = 0; i < w->n_bands; i++) {
        struct sg_curve *c = &a->curve[w->id[i]];
        for (int32_t g = 0; g < n; g++) {
            double low, high;
            sg_boot_interval(c->rep, reps, n, g, &low, &high, w->scratch);
            if (w->id[i] == SG_CURVE_POSTERIOR_) c->accuracy[g] = isnan(low) ? low : mean(c->rep, reps, n, g);
            if (isnan(c->accuracy[g])) continue;
            c->low[g] = low;
            c->high[g] = high;
            if (c->rep_cost)
                sg_boot_interval(c->rep_cost, reps, n, g, &c->cost_low[g], &c->cost_high[g], w->scratch);
        }
    }
}

static void set_interval(struct sg_value *v, const double *rep, int64_t reps, double *scratch) {
    sg_boot_interval(rep, reps, 1, 0, &v->low, &v->high, scratch);
}

static void ask_bands(struct sg_analysis *a, size_t i, struct work *w) {
    const int64_t reps = a->opt.reps;
    const bool truth = a->v->n_scored > 0;
    struct sg_ask *k = &a->ask[i];
    const double *r = w->rep + 4 * (int64_t)i * reps;
    const double *p = r + (truth ? 2 : 0) * reps, *c = r + (truth ? 3 : 1) * reps;
    set_interval(&k->predicted_accuracy, r, reps, w->scratch);
    set_interval(&k->predicted_cost, r + reps, reps, w->scratch);
    if (truth) {
        set_interval(&k->accuracy, p, reps, w->scratch);
        set_interval(&k->cost, c, reps, w->scratch);
    }
    size_t g = 0;
    while (!truth && w->asked[g] != k->policy.c) g++;
    for (int64_t j = 0; j < reps; j++) {
        const double x = truth ? p[j] : w->asked_rep[j * (int64_t)a->n_ask + (int64_t)g];
        w->diff[j] = x - a->best_rep_accuracy[j];
    }
    set_interval(&k->gain, w->diff, reps, w->scratch);
    if (!truth) {
        k->posterior.value = mean(w->asked_rep, reps, (int64_t)a->n_ask, (int64_t)g);
        sg_boot_interval(w->asked_rep, reps, (int64_t)a->n_ask, (int64_t)g, &k->posterior.low,
                         &k->posterior.high, w->scratch);
        k->gain.value = mean(w->diff, reps, 1, 0);
    }
    for (int64_t j = 0; j < reps; j++) w->diff[j] = 1 - c[j] / a->best_rep_cost[j];
    set_interval(&k->saving, w->diff, reps, w->scratch);
}

enum sg_status sg__analysis_bands(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t reps = a->opt.reps, n_asks = (int64_t)a->n_ask;
    struct work w = {.n_curves = 0};
    if (!reps) return SG_OK;
    SG_TRY(SG_NEW(&w.scratch, reps, "intervals", err));
    SG_TRY(SG_NEW(&w.diff, reps, "intervals", err));
    SG_TRY(SG_NEW(&a->best_rep_accuracy, reps, "replicates", err));
    SG_TRY(SG_NEW(&a->best_rep_cost, reps, "replicates", err));
    SG_TRY(SG_NEW(&w.rep, reps * 4 * n_asks, "replicates", err));
    SG_TRY(SG_NEW(&w.points, 2 * n_asks + 1, "points", err));
    SG_TRY(SG_NEW(&w.values, a->v->n * (4 * n_asks + 2), "policies", err));
    SG_TRY(SG_NEW(&w.asked, n_asks, "budgets", err));
    SG_TRY(SG_NEW(&w.asked_rep, reps * n_asks, "replicates", err));
    if (!a->v->n_scored) SG_TRY(sg__analysis_posterior(a, &w.beta, err));
    add_curves(a, &w);
    add_asks(a, &w);
    add_best_single(a, &w);
    const struct sg_boot boot = {.n = a->v->n,
                                 .fold = a->fold,
                                 .n_curves = w.n_curves,
                                 .n_points = w.n_points,
                                 .reps = reps,
                                 .seed = a->opt.seed,
                                 .threads = a->opt.threads,
                                 .curves = w.curves,
                                 .points = w.points};
    SG_TRY(sg_bootstrap(&boot, err));
    curve_bands(a, &w);
    for (size_t i = 0; i < a->n_ask; i++) ask_bands(a, i, &w);
out:
    free(w.points);
    sg_beta_free(&w.beta);
    free(w.rep);
    free(w.values);
    free(w.asked);
    free(w.asked_rep);
    free(w.scratch);
    free(w.diff);
    return st;
}

#include "intervals.h"

#include "base/mem.h"
#include "policies.h"
#include "posterior.h"
#include "single_models.h"
#include "bootstrap.h"

#include <math.h>
#include <stdlib.h>

/* Splits in a replicate. Few serve: the split moves an accuracy less than half as much as the sample does. */
enum { BOOT_SPLITS = 5 };

/* What one bootstrap works on. Replicates of policy i: rep[4 i + j][reps], j = 0: predicted p, 1:
 * predicted c, 2: true p, 3: true c. */
struct work {
    struct sg_boot_curve curves[SG_CURVES + 1];
    enum sg_curve_id id[SG_CURVES];
    int32_t n_intervals, n_curves, n_points;
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
        [SG_CURVE_PREDICTED] = &a->scope, [SG_CURVE_POSTERIOR] = &a->scope,
        [SG_CURVE_REALISED] = &a->scope,  [SG_CURVE_KNN] = &a->knn,
        [SG_CURVE_ANCHOR] = &a->anchor,   [SG_CURVE_ROUTER] = &a->scope_router,
        [SG_CURVE_ORACLE] = &a->oracle};
    for (int i = 0; i < SG_CURVES; i++) {
        struct sg_curve *c = &a->curve[i];
        if (!c->rep) continue;
        const bool lp = i == SG_CURVE_PREDICTED || i == SG_CURVE_POSTERIOR;
        w->id[w->n_curves] = (enum sg_curve_id)i;
        w->curves[w->n_curves++] =
            (struct sg_boot_curve){.path = path[i],
                                   .kind = lp                     ? SG_BOOT_LP
                                           : i == SG_CURVE_ORACLE ? SG_BOOT_LP_SCORED
                                                                  : SG_BOOT_CHOICE,
                                   .posterior = i == SG_CURVE_POSTERIOR ? &w->beta : NULL,
                                   .grid = a->grid,
                                   .n_grid = a->opt.n_grid,
                                   .accuracy = c->rep,
                                   .cost = c->rep_cost};
    }
    w->n_intervals = w->n_curves;
}

/* The asked policies as fixed points; without truth their budgets also as a grid for the posterior. */
static void add_policies(struct sg_analysis *a, struct work *w) {
    const int64_t n = a->data->n, reps = a->opt.reps;
    const bool truth = a->data->n_scored > 0;
    for (size_t i = 0; i < a->n_policies; i++) {
        double *x = w->values + 4 * (int64_t)i * n, *r = w->rep + 4 * (int64_t)i * reps;
        sg__policy_values(a, &a->policies[i], x, x + n, x + 2 * n, x + 3 * n);
        w->asked[i] = a->policies[i].policy.c;
        w->points[w->n_points++] =
            (struct sg_boot_point){.accuracy = x, .cost = x + n, .rep_accuracy = r, .rep_cost = r + reps};
        if (truth)
            w->points[w->n_points++] = (struct sg_boot_point){.accuracy = x + 2 * n,
                                                              .cost = x + 3 * n,
                                                              .scored = true,
                                                              .rep_accuracy = r + 2 * reps,
                                                              .rep_cost = r + 3 * reps};
    }
    if (truth || !a->n_policies) return;
    qsort(w->asked, a->n_policies, sizeof *w->asked, rising);
    w->curves[w->n_curves++] = (struct sg_boot_curve){.path = &a->scope,
                                                      .kind = SG_BOOT_LP,
                                                      .posterior = &w->beta,
                                                      .grid = w->asked,
                                                      .n_grid = (int32_t)a->n_policies,
                                                      .accuracy = w->asked_rep};
}

/* The single models that policies and metrics are measured by. */
static void add_singles(struct sg_analysis *a, struct work *w) {
    const int64_t n = a->data->n;
    const int32_t model[3] = {a->best_single, a->cheapest_single, a->worst_single};
    double *const rep[3] = {a->best_rep_accuracy, a->cheapest_rep_accuracy, a->worst_rep_accuracy};
    for (int i = 0; i < 3; i++) {
        double *p = w->values + (4 * (int64_t)a->n_policies + 2 * i) * n;
        sg__single_values(a, model[i], p, p + n);
        w->points[w->n_points++] = (struct sg_boot_point){.accuracy = p,
                                                          .cost = p + n,
                                                          .scored = a->data->n_scored > 0,
                                                          .rep_accuracy = rep[i],
                                                          .rep_cost = i ? NULL : a->best_rep_cost};
    }
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

static void curve_intervals(struct sg_analysis *a, struct work *w) {
    const int64_t reps = a->opt.reps;
    const int32_t n = a->opt.n_grid;
    for (int32_t i = 0; i < w->n_intervals; i++) {
        struct sg_curve *c = &a->curve[w->id[i]];
        for (int32_t g = 0; g < n; g++) {
            double low, high;
            sg_boot_interval(c->rep, reps, n, g, &low, &high, w->scratch);
            if (w->id[i] == SG_CURVE_POSTERIOR) c->accuracy[g] = isnan(low) ? low : mean(c->rep, reps, n, g);
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

static void policy_intervals(struct sg_analysis *a, size_t i, struct work *w) {
    const int64_t reps = a->opt.reps;
    const bool truth = a->data->n_scored > 0;
    struct sg_asked_policy *k = &a->policies[i];
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
        const double x = truth ? p[j] : w->asked_rep[j * (int64_t)a->n_policies + (int64_t)g];
        w->diff[j] = x - a->best_rep_accuracy[j];
    }
    set_interval(&k->gain, w->diff, reps, w->scratch);
    if (!truth) {
        k->posterior.value = mean(w->asked_rep, reps, (int64_t)a->n_policies, (int64_t)g);
        sg_boot_interval(w->asked_rep, reps, (int64_t)a->n_policies, (int64_t)g, &k->posterior.low,
                         &k->posterior.high, w->scratch);
        k->gain.value = mean(w->diff, reps, 1, 0);
    }
    for (int64_t j = 0; j < reps; j++) w->diff[j] = 1 - c[j] / a->best_rep_cost[j];
    set_interval(&k->saving, w->diff, reps, w->scratch);
}

enum sg_status sg__intervals(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t reps = a->opt.reps, n_policies = (int64_t)a->n_policies;
    struct work w = {.n_curves = 0};
    if (!reps) return SG_OK;
    SG_TRY(SG_NEW(&w.scratch, reps, "intervals", err));
    SG_TRY(SG_NEW(&w.diff, reps, "intervals", err));
    SG_TRY(SG_NEW(&a->best_rep_accuracy, reps, "replicates", err));
    SG_TRY(SG_NEW(&a->best_rep_cost, reps, "replicates", err));
    SG_TRY(SG_NEW(&a->cheapest_rep_accuracy, reps, "replicates", err));
    SG_TRY(SG_NEW(&a->worst_rep_accuracy, reps, "replicates", err));
    SG_TRY(SG_NEW(&w.rep, reps * 4 * n_policies, "replicates", err));
    SG_TRY(SG_NEW(&w.points, 2 * n_policies + 3, "points", err));
    SG_TRY(SG_NEW(&w.values, a->data->n * (4 * n_policies + 6), "policies", err));
    SG_TRY(SG_NEW(&w.asked, n_policies, "budgets", err));
    SG_TRY(SG_NEW(&w.asked_rep, reps * n_policies, "replicates", err));
    if (!a->data->n_scored) SG_TRY(sg__posterior(a, &w.beta, err));
    add_curves(a, &w);
    add_policies(a, &w);
    add_singles(a, &w);
    const struct sg_boot boot = {.n = a->data->n,
                                 .fold = a->fold,
                                 .n_splits = a->n_splits < BOOT_SPLITS ? a->n_splits : BOOT_SPLITS,
                                 .n_curves = w.n_curves,
                                 .n_points = w.n_points,
                                 .reps = reps,
                                 .seed = a->opt.seed,
                                 .threads = a->opt.threads,
                                 .curves = w.curves,
                                 .points = w.points};
    SG_TRY(sg_bootstrap(&boot, err));
    curve_intervals(a, &w);
    for (size_t i = 0; i < a->n_policies; i++) policy_intervals(a, i, &w);
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

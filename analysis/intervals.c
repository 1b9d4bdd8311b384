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
 * predicted c, 2: true p, without truth p given the votes, 3: true c. Without truth also the best single
 * model's p given the votes, and the posteriors of the cells that these choose. */
struct work {
    struct sg_boot_curve curves[SG_CURVES + 1];
    enum sg_curve_id id[SG_CURVES];
    int32_t n_intervals, n_curves, n_points;
    struct sg_boot_point *points;
    struct sg_beta beta, cell, drawn;
    int64_t *drawn_as; /* [n * m] a cell's place in `drawn`, -1: no policy chooses it */
    int64_t n_drawn,
        *draws; /* draws [n_policies + 1][n]: places of each policy, last of the best single model */
    double *rep, *values, *best_rep;
    double *scratch, *diff; /* [reps] */
};

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

/* The cell's place in `drawn`; the first time it is put there. */
static int64_t place(struct work *w, int64_t cell) {
    if (w->drawn_as[cell] >= 0) return w->drawn_as[cell];
    const int64_t i = w->n_drawn++;
    w->drawn.a[i] = w->cell.a[cell];
    w->drawn.b[i] = w->cell.b[cell];
    w->drawn.base[i] = w->cell.base[cell];
    w->drawn.stretch[i] = w->cell.stretch[cell];
    return w->drawn_as[cell] = i;
}

/* The asked policies as fixed points, as estimated, and by the truth or else given the votes. */
static void add_policies(struct sg_analysis *a, struct work *w) {
    const int64_t n = a->data->n, reps = a->opt.reps;
    const int32_t m = a->data->m;
    const bool truth = a->data->n_scored > 0;
    for (size_t i = 0; i < a->n_policies; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        double *x = w->values + 4 * (int64_t)i * n, *r = w->rep + 4 * (int64_t)i * reps;
        int64_t *draw = w->draws + (int64_t)i * n;
        sg__policy_values(a, k, x, x + n, x + 2 * n, x + 3 * n);
        w->points[w->n_points++] =
            (struct sg_boot_point){.accuracy = x, .cost = x + n, .rep_accuracy = r, .rep_cost = r + reps};
        struct sg_boot_point p = {.accuracy = x + 2 * n,
                                  .cost = x + 3 * n,
                                  .scored = true,
                                  .rep_accuracy = r + 2 * reps,
                                  .rep_cost = r + 3 * reps};
        if (!truth) {
            for (int64_t q = 0; q < n; q++) draw[q] = place(w, q * m + k->model[q]);
            p = (struct sg_boot_point){.accuracy = x,
                                       .cost = x + n,
                                       .drawn = draw,
                                       .mixed = k->mixed_query,
                                       .weight = k->policy.weight,
                                       .rep_accuracy = r + 2 * reps};
            if (p.mixed >= 0) p.mixed_to = place(w, p.mixed * m + k->mixed_to);
        }
        w->points[w->n_points++] = p;
    }
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
    if (a->data->n_scored) return;
    const double *p = w->values + 4 * (int64_t)a->n_policies * n;
    int64_t *draw = w->draws + (int64_t)a->n_policies * n;
    for (int64_t q = 0; q < n; q++) {
        const int64_t at = q * a->data->m + a->best_single;
        draw[q] = isnan(a->data->p[at]) ? -1 : place(w, at);
    }
    w->points[w->n_points++] = (struct sg_boot_point){
        .accuracy = p, .cost = p + n, .drawn = draw, .mixed = -1, .rep_accuracy = w->best_rep};
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
    const double *c = r + (truth ? 3 : 1) * reps;
    set_interval(&k->predicted_accuracy, r, reps, w->scratch);
    set_interval(&k->predicted_cost, r + reps, reps, w->scratch);
    if (truth) {
        set_interval(&k->accuracy, r + 2 * reps, reps, w->scratch);
        set_interval(&k->cost, c, reps, w->scratch);
    }
    for (int64_t j = 0; j < reps; j++)
        w->diff[j] = r[2 * reps + j] - (truth ? a->best_rep_accuracy : w->best_rep)[j];
    set_interval(&k->gain, w->diff, reps, w->scratch);
    if (!truth) {
        k->posterior.value = mean(r + 2 * reps, reps, 1, 0);
        set_interval(&k->posterior, r + 2 * reps, reps, w->scratch);
        k->gain.value = mean(w->diff, reps, 1, 0);
    }
    for (int64_t j = 0; j < reps; j++) w->diff[j] = 1 - c[j] / a->best_rep_cost[j];
    set_interval(&k->saving, w->diff, reps, w->scratch);
}

/* The posteriors, where there is no truth, and room for those that policies choose. */
static enum sg_status new_drawn(const struct sg_analysis *a, struct work *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = a->data->n, cells = n * a->data->m, policies = (int64_t)a->n_policies;
    const int64_t chosen = (n + 1) * (policies + 1), most = chosen < cells ? chosen : cells;
    SG_TRY(sg__posterior(a, &w->beta, &w->cell, err));
    SG_TRY(sg_beta_new(&w->drawn, most, err));
    SG_TRY(SG_NEW(&w->drawn_as, cells, "posterior", err));
    for (int64_t i = 0; i < cells; i++) w->drawn_as[i] = -1;
    SG_TRY(SG_NEW(&w->draws, n * (policies + 1), "policies", err));
    SG_TRY(SG_NEW(&w->best_rep, a->opt.reps, "replicates", err));
out:
    return st;
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
    SG_TRY(SG_NEW(&w.points, 2 * n_policies + 4, "points", err));
    SG_TRY(SG_NEW(&w.values, a->data->n * (4 * n_policies + 6), "policies", err));
    if (!a->data->n_scored) SG_TRY(new_drawn(a, &w, err));
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
                                 .points = w.points,
                                 .drawn = &w.drawn,
                                 .n_drawn = w.n_drawn};
    SG_TRY(sg_bootstrap(&boot, err));
    curve_intervals(a, &w);
    for (size_t i = 0; i < a->n_policies; i++) policy_intervals(a, i, &w);
out:
    free(w.points);
    sg_beta_free(&w.beta);
    sg_beta_free(&w.cell);
    sg_beta_free(&w.drawn);
    free(w.drawn_as);
    free(w.draws);
    free(w.best_rep);
    free(w.rep);
    free(w.values);
    free(w.scratch);
    free(w.diff);
    return st;
}

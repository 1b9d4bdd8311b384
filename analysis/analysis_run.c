#include "analysis_run.h"

#include "base/mem.h"
#include "base/rng.h"
#include "intervals.h"
#include "literature_metrics.h"
#include "metrics.h"
#include "policies.h"
#include "quality.h"
#include "scope_router.h"
#include "single_models.h"
#include "sort.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The halves of the cross-fit. In each split the scored queries, in the order of a keyed hash of their ids, go to the
 * halves by turns: the halves differ by one query at most, and few queries change their half when others come or
 * go. The accuracy of one split has a standard deviation of about 20 points / sqrt(queries): with 20 splits, and
 * fewer from 2,000 queries on, the mean's is below 0.1 points where there are 2,000 or more. */
static enum sg_status deal_folds(struct sg_analysis *a, struct sg_err *err) {
    enum { MOST = 20, ENOUGH = 40000 };
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const int64_t enough = d->n_scored ? ENOUGH / d->n_scored : 1;
    double *key = NULL;
    uint32_t *order = NULL;
    a->n_splits = enough < 1 ? 1 : enough > MOST ? MOST : (int32_t)enough;
    SG_TRY(SG_NEW(&a->fold, a->n_splits * d->n, "halves", err));
    SG_TRY(SG_NEW(&a->ones, d->n, "halves", err));
    SG_TRY(SG_NEW(&key, d->n, "halves", err));
    SG_TRY(SG_NEW(&order, d->n, "halves", err));
    memset(a->ones, 1, (size_t)d->n);
    for (int32_t s = 0; s < a->n_splits; s++) {
        const uint64_t split = (a->opt.seed ^ 0x5bd1e995) + (uint64_t)s * 0x9E3779B97F4A7C15u;
        int dealt = 0;
        for (int64_t q = 0; q < d->n; q++) {
            const char *id = sg_dataset_query(d, q);
            key[q] = (double)(sg_random64(split, sg_hash64(id, strlen(id))) >> 12);
        }
        SG_TRY(sg_sort_order(key, d->n, false, order, err));
        for (int64_t i = 0; i < d->n; i++)
            a->fold[s * d->n + order[i]] = d->scored[order[i]] ? (uint8_t)(dealt++ & 1) : 2;
    }
out:
    free(key);
    free(order);
    return st;
}

static struct sg_path_input input_of(const struct sg_dataset *d, const double *p, const double *c) {
    return (struct sg_path_input){
        .n = d->n, .m = d->m, .p = p, .c = c, .tp = d->tp, .tc = d->tc, .scored = d->scored};
}

/* A baseline is only compared where it can decide every query. */
static bool decides_all(const struct sg_dataset *d, const double *p) {
    for (int64_t q = 0; q < d->n; q++) {
        int32_t k = 0;
        while (k < d->m && isnan(p[q * d->m + k])) k++;
        if (k == d->m) return false;
    }
    return true;
}

/* y of the two-stage router: more parsed samples say yes than no; an even vote is decided by p_correct. */
static double says_yes(const struct sg_dataset *d, int64_t q, int32_t k) {
    const int64_t at = sg_dataset_cell(d, q, k);
    const int32_t yes = d->r->votes_yes[at], no = d->r->votes_no[at];
    return yes != no ? yes > no : d->p[q * d->m + k] > 0.5;
}

static enum sg_status two_stage_path(struct sg_analysis *a, const double *knn_p, const double *knn_c,
                                     double *yes, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    int32_t *choice = NULL;
    for (int64_t i = 0; i < d->n * d->m; i++)
        yes[i] = isnan(d->p[i]) ? (double)NAN : says_yes(d, i / d->m, (int32_t)(i % d->m));
    const struct sg_scope_router in = {
        .n = d->n, .m = d->m, .anchor_correct = knn_p, .anchor_cost = knn_c, .yes = yes, .cost = d->c};
    const struct sg_path_input of = input_of(d, d->p, d->c);
    SG_TRY(SG_NEW(&a->alpha, a->opt.alphas, "alphas", err));
    SG_TRY(SG_NEW(&choice, d->n * a->opt.alphas, "alphas", err));
    SG_TRY(sg_scope_router_choose(&in, a->opt.alphas, a->alpha, choice, err));
    SG_TRY(sg_path_choices(&of, choice, a->alpha, a->opt.alphas, &a->scope_router, err));
out:
    free(choice);
    return st;
}

static enum sg_status build_paths(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const int64_t cells = d->n * d->m;
    double *p = NULL, *c = NULL, *yes = NULL;
    struct sg_path_input in = input_of(d, d->p, d->c);
    SG_TRY(sg_path_frontier(&in, &a->scope, err));
    SG_TRY(SG_NEW(&p, cells, "baseline", err));
    SG_TRY(SG_NEW(&c, cells, "baseline", err));
    in = input_of(d, p, c);
    if (d->n_scored) {
        for (int64_t i = 0; i < cells; i++) {
            const bool scored = d->scored[i / d->m];
            /* a query without truth needs some choice; it has no weight in this path */
            p[i] = scored ? d->tp[i] : 0;
            c[i] = scored ? d->tc[i] : 0;
        }
        SG_TRY(sg_path_frontier(&in, &a->oracle, err));
    }
    sg_dataset_baseline(d, SG_BASE_ANCHOR, p, c);
    if (d->n_scored && decides_all(d, p)) SG_TRY(sg_path_frontier(&in, &a->anchor, err));
    if (!a->opt.baselines || !d->n_scored) goto out;
    sg_dataset_baseline(d, SG_BASE_KNN, p, c);
    if (decides_all(d, p)) {
        SG_TRY(sg_path_frontier(&in, &a->knn, err));
        SG_TRY(SG_NEW(&yes, cells, "votes", err));
        SG_TRY(two_stage_path(a, p, c, yes, err));
    }
out:
    free(p);
    free(c);
    free(yes);
    return st;
}

/* Mean cost at both ends of a path. */
static void widen(const struct sg_path *path, const struct sg_weights *w, bool truth, double *low,
                  double *high) {
    struct sg_sum c = {0, 0};
    const double total = truth ? w->by_fold[0] + w->by_fold[1] : w->total;
    if (!path->n) return;
    for (int64_t q = 0; q < path->n; q++)
        if (!truth || w->fold[q] < 2) sg_sum_add(&c, truth ? path->start_tc[q] : path->start_c[q]);
    *low = fmin(*low, sg_sum_get(&c) / total);
    for (int64_t s = 0; s < path->n_steps; s++)
        if (!truth || w->fold[path->query[s]] < 2) sg_sum_add(&c, truth ? path->dtc[s] : path->dc[s]);
    /* the first policy of a family over alpha may be the dearest */
    *low = fmin(*low, sg_sum_get(&c) / total);
    *high = fmax(*high, sg_sum_get(&c) / total);
}

/* The common grid: even in the logarithm (costs span orders of magnitude), in the cost itself where a
 * model is free. Its ends are the cheapest and the dearest mean cost of any curve or of the best single
 * model. */
static enum sg_status make_grid(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_weights w = sg_analysis_weights(a);
    const bool truth = a->data->n_scored > 0;
    double low = INFINITY, high = 0;
    const int32_t n = a->opt.n_grid;
    SG_TRY(SG_NEW(&a->grid, n, "grid", err));
    widen(&a->scope, &w, false, &low, &high);
    if (truth) {
        widen(&a->scope, &w, true, &low, &high);
        widen(&a->knn, &w, true, &low, &high);
        widen(&a->anchor, &w, true, &low, &high);
        widen(&a->scope_router, &w, true, &low, &high);
        widen(&a->oracle, &w, true, &low, &high);
    }
    high = fmax(high, sg__single_cost(a, a->best_single));
    low = fmin(low, sg__single_cost(a, a->cheapest_single));
    for (int32_t g = 0; g < n; g++) {
        const double f = n > 1 ? (double)g / (n - 1) : 1;
        a->grid[g] = g == n - 1 ? high : low > 0 ? low * pow(high / low, f) : high * f;
        if (g && a->grid[g] < a->grid[g - 1]) a->grid[g] = a->grid[g - 1];
    }
    a->grid[0] = n > 1 ? low : high;
    if (a->opt.grid) memcpy(a->grid, a->opt.grid, sizeof *a->grid * (size_t)n);
out:
    return st;
}

static enum sg_status new_curve(struct sg_analysis *a, enum sg_curve_id id, bool bands, bool paid,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_curve *c = &a->curve[id];
    const int32_t n = a->opt.n_grid;
    const int64_t reps = bands ? a->opt.reps : 0;
    SG_TRY(SG_NEW(&c->accuracy, n, "curve", err));
    SG_TRY(SG_NEW(&c->low, n, "curve", err));
    SG_TRY(SG_NEW(&c->high, n, "curve", err));
    SG_TRY(SG_NEW(&c->cost, n, "curve", err));
    SG_TRY(SG_NEW(&c->cost_low, n, "curve", err));
    SG_TRY(SG_NEW(&c->cost_high, n, "curve", err));
    if (reps) SG_TRY(SG_NEW(&c->rep, reps * n, "replicates", err));
    if (reps && paid) SG_TRY(SG_NEW(&c->rep_cost, reps * n, "replicates", err));
    for (int32_t g = 0; g < n; g++) {
        c->low[g] = c->high[g] = c->cost_low[g] = c->cost_high[g] = (double)NAN;
        c->cost[g] = a->grid[g];
    }
    c->present = true;
out:
    return st;
}

static enum sg_status point_curves(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const struct sg_weights w = sg_analysis_weights(a);
    const int32_t n = a->opt.n_grid;
    double *tmp = NULL;
    struct sg_xy *hull = NULL;
    const struct {
        enum sg_curve_id id;
        const struct sg_path *path;
    } choice[] = {{SG_CURVE_REALISED, &a->scope},
                  {SG_CURVE_KNN, &a->knn},
                  {SG_CURVE_ANCHOR, &a->anchor},
                  {SG_CURVE_ROUTER, &a->scope_router}};
    SG_TRY(SG_NEW(&tmp, sg_curve_choice_scratch(n), "curve", err));
    SG_TRY(SG_NEW(&hull, d->m, "single models", err));
    SG_TRY(new_curve(a, SG_CURVE_PREDICTED, true, false, err));
    sg_curve_lp(&a->scope, &w, NULL, a->grid, n, a->curve[SG_CURVE_PREDICTED].accuracy);
    if (!d->n_scored && a->opt.reps) SG_TRY(new_curve(a, SG_CURVE_POSTERIOR, true, false, err));
    for (size_t i = 0; d->n_scored && i < sizeof choice / sizeof *choice; i++) {
        if (!choice[i].path->n) continue;
        struct sg_curve *c = &a->curve[choice[i].id];
        SG_TRY(new_curve(a, choice[i].id, true, true, err));
        sg_curve_splits(choice[i].path, a->ones, a->fold, a->n_splits, a->grid, n, c->accuracy, c->cost, tmp);
    }
    if (d->n_scored) {
        const struct sg_weights scored = sg_analysis_scored_weights(a);
        SG_TRY(new_curve(a, SG_CURVE_ORACLE, true, false, err));
        sg_curve_lp(&a->oracle, &scored, NULL, a->grid, n, a->curve[SG_CURVE_ORACLE].accuracy);
    }
    SG_TRY(new_curve(a, SG_CURVE_MIX, false, false, err));
    for (int32_t k = 0; k < d->m; k++)
        hull[k] = (struct sg_xy){sg__single_cost(a, k), sg__single_accuracy(a, k)};
    const int64_t h = sg_hull_nondecreasing(hull, d->m);
    for (int32_t g = 0; g < n; g++) a->curve[SG_CURVE_MIX].accuracy[g] = sg_hull_at(hull, h, a->grid[g]);
out:
    free(tmp);
    free(hull);
    return st;
}

static enum sg_status portfolio_values(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    double ours[2] = {0, 0};
    const double *lambda = a->opt.lambdas;
    size_t n = a->opt.n_lambdas;
    if (!n) { /* by default lambda 0, and the slope where half of the best single model's cost is spent */
        struct sg_policy half = {0};
        const double budget = a->single[a->best_single].predicted_cost.value / 2;
        if (sg_path_at_budget(&a->scope, budget, &half, NULL) == SG_OK) ours[1] = half.lambda;
        lambda = ours;
        n = ours[1] > 0 ? 2 : 1;
    }
    SG_TRY(SG_NEW(&a->value_predicted, n, "portfolio value", err));
    if (d->n_scored) SG_TRY(SG_NEW(&a->value_true, n, "portfolio value", err));
    a->n_value = n;
    for (size_t i = 0; i < n; i++) {
        SG_TRY(sg_portfolio_value(d->p, d->c, NULL, d->n, d->m, lambda[i], &a->value_predicted[i], err));
        if (d->n_scored)
            SG_TRY(
                sg_portfolio_value(d->tp, d->tc, d->scored, d->n, d->m, lambda[i], &a->value_true[i], err));
    }
    /* the last lambda is the largest: what a model is worth where cost counts */
    const struct sg_portfolio_value *last = &(d->n_scored ? a->value_true : a->value_predicted)[n - 1];
    for (int32_t k = 0; k < d->m; k++) a->single[k].value = last->shapley[k];
out:
    return st;
}

enum sg_status sg_analysis_run(const struct sg_dataset *d, const struct sg_analysis_options *opt,
                               struct sg_analysis *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_analysis a = {.data = d, .opt = *opt};
    if (d->n < 2) a.opt.reps = 0; /* every resample of one query is that query: it shows no uncertainty */
    SG_TRY(deal_folds(&a, err));
    SG_TRY(build_paths(&a, err));
    SG_TRY(sg__single_models(&a, err));
    SG_TRY(make_grid(&a, err));
    SG_TRY(point_curves(&a, err));
    SG_TRY(sg__policies(&a, err));
    SG_TRY(sg__intervals(&a, err));
    SG_TRY(sg__policies_shares(&a, err));
    SG_TRY(sg__quality(&a, err));
    if (opt->noise)
        memcpy(a.noise, opt->noise, sizeof a.noise);
    else
        sg_sampling_noise_usual(d, a.noise);
    SG_TRY(portfolio_values(&a, err));
    SG_TRY(sg__literature_metrics(&a, err));
    *out = a;
out:
    if (st != SG_OK) sg_analysis_free(&a);
    return st;
}

/* asks - the policies for budgets and targets, and the shares of the models along the grid. */
#include "analysis_internal.h"

#include "base/mem.h"
#include "metrics.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void sg__ask_values(const struct sg_analysis *a, const struct sg_ask *k, double *p, double *c, double *tp,
                    double *tc) {
    const struct sg_view *v = a->v;
    for (int64_t q = 0; q < v->n; q++) {
        const double w = q == k->mixed_query ? k->policy.weight : 0;
        const int64_t at = q * v->m + k->model[q], other = q * v->m + (w > 0 ? k->mixed_model : k->model[q]);
        p[q] = (1 - w) * v->p[at] + w * v->p[other];
        c[q] = (1 - w) * v->c[at] + w * v->c[other];
        tp[q] = v->scored[q] ? (1 - w) * v->tp[at] + w * v->tp[other] : 0;
        tc[q] = v->scored[q] ? (1 - w) * v->tc[at] + w * v->tc[other] : 0;
    }
}

/* Mean over scored queries of the best true utility less that of the policy, at its own lambda. */
static double regret(const struct sg_analysis *a, const struct sg_ask *k, const double *tp,
                     const double *tc) {
    const struct sg_view *v = a->v;
    const double lambda = k->policy.lambda;
    struct sg_sum s = {0, 0};
    for (int64_t q = 0; q < v->n; q++) {
        if (!v->scored[q]) continue;
        double best = -INFINITY;
        for (int32_t j = 0; j < v->m; j++) {
            const int64_t at = q * v->m + j;
            if (!isnan(v->tp[at])) best = fmax(best, v->tp[at] - lambda * v->tc[at]);
        }
        sg_sum_add(&s, best - (tp[q] - lambda * tc[q]));
    }
    return sg_sum_get(&s) / (double)v->n_scored;
}

static struct sg_value plain(double x) {
    return (struct sg_value){x, (double)NAN, (double)NAN};
}

/* Everything about one ask that needs no bootstrap. */
static enum sg_status answer(struct sg_analysis *a, struct sg_ask *k, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_view *v = a->v;
    const struct sg_path *path = &a->scope;
    uint32_t *vertex = NULL;
    double *value = NULL, *tmp = NULL;
    SG_TRY(SG_NEW(&vertex, v->n, "policy", err));
    SG_TRY(SG_NEW(&value, 4 * v->n, "policy", err));
    SG_TRY(SG_NEW(&k->model, v->n, "policy", err));
    SG_TRY(SG_NEW(&k->share, v->m, "policy", err));
    sg_path_vertices(path, k->policy.steps, vertex);
    k->mixed_query = -1;
    k->mixed_model = -1;
    for (int64_t q = 0; q < v->n; q++) {
        k->model[q] = path->model[vertex[q]];
        k->share[k->model[q]] += 1.0 / (double)v->n;
    }
    if (k->policy.weight > 0) {
        k->mixed_query = path->query[k->policy.steps];
        k->mixed_model = path->model[path->vertex[k->policy.steps]];
        k->share[k->model[k->mixed_query]] -= k->policy.weight / (double)v->n;
        k->share[k->mixed_model] += k->policy.weight / (double)v->n;
    }
    k->predicted_accuracy = plain(k->policy.p);
    k->predicted_cost = plain(k->policy.c);
    k->accuracy = k->cost = k->posterior = plain((double)NAN);
    k->oracle_gap = k->regret = (double)NAN;
    double p = k->policy.p, c = k->policy.c;
    if (v->n_scored) {
        struct sg_sum sp = {0, 0}, sc = {0, 0};
        struct sg_weights scored = {.w = v->scored, .fold = a->fold};
        double *tp = value + 2 * v->n, *tc = value + 3 * v->n, oracle;
        sg_weights_sum(&scored, v->n);
        sg__ask_values(a, k, value, value + v->n, tp, tc);
        for (int64_t q = 0; q < v->n; q++) {
            sg_sum_add(&sp, tp[q]);
            sg_sum_add(&sc, tc[q]);
        }
        p = sg_sum_get(&sp) / (double)v->n_scored;
        c = sg_sum_get(&sc) / (double)v->n_scored;
        k->accuracy = plain(p);
        k->cost = plain(c);
        k->regret = regret(a, k, tp, tc);
        sg_curve_lp(&a->oracle, &scored, NULL, &c, 1, &oracle);
        k->oracle_gap = oracle - p;
    }
    k->fitted_accuracy = k->fitted_cost = (double)NAN;
    if (v->n_scored && !k->is_target) {
        const struct sg_weights w = sg__analysis_weights(a);
        SG_TRY(SG_NEW(&tmp, sg_curve_choice_scratch(1), "policy", err));
        sg_curve_choice(path, &w, SG_PICK_SPEND, SG_FIT_CROSS, &k->asked, 1, &k->fitted_accuracy,
                        &k->fitted_cost, NULL, tmp);
    }
    k->gain = plain(p - sg__single_accuracy(a, a->best_single));
    k->saving = plain(1 - c / sg__single_cost(a, a->best_single));
out:
    free(vertex);
    free(value);
    free(tmp);
    return st;
}

static enum sg_status add_ask(struct sg_analysis *a, bool is_target, double asked, bool ours,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ask *k = &a->ask[a->n_ask];
    for (size_t i = 0; i < a->n_ask; i++)
        if (a->ask[i].is_target == is_target && a->ask[i].asked == asked) return SG_OK; /* asked twice */
    *k = (struct sg_ask){.is_target = is_target, .asked = asked, .ours = ours};
    SG_TRY(is_target ? sg_path_at_target(&a->scope, asked, &k->policy, err)
                     : sg_path_at_budget(&a->scope, asked, &k->policy, err));
    a->n_ask++;
    SG_TRY(answer(a, k, err));
out:
    return st;
}

enum sg_status sg__analysis_asks(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const double share[] = {0.1, 0.25, 0.5, 1};
    const size_t n = a->opt.n_budgets + a->opt.n_targets;
    SG_TRY(SG_NEW(&a->ask, n ? n : sizeof share / sizeof *share, "asks", err));
    for (size_t i = 0; i < a->opt.n_budgets; i++) SG_TRY(add_ask(a, false, a->opt.budgets[i], false, err));
    for (size_t i = 0; i < a->opt.n_targets; i++) SG_TRY(add_ask(a, true, a->opt.targets[i], false, err));
    if (n) return SG_OK;
    /* nothing asked: parts of what the best single model is estimated to cost, as far as they are possible */
    struct sg_sum least = {0, 0};
    for (int64_t q = 0; q < a->v->n; q++) sg_sum_add(&least, a->scope.start_c[q]);
    for (size_t i = 0; i < sizeof share / sizeof *share; i++) {
        const double budget = share[i] * a->single[a->best_single].predicted_cost.value;
        if (budget * (double)a->v->n >= sg_sum_get(&least)) SG_TRY(add_ask(a, false, budget, true, err));
    }
out:
    return st;
}

/* One place on the path whose shares are wanted. */
struct place {
    int64_t steps;
    int32_t g;
    uint8_t fold; /* queries counted: those of this fold; 3: all */
};

static int by_steps(const void *x, const void *y) {
    const struct place *a = x, *b = y;
    return (a->steps > b->steps) - (a->steps < b->steps);
}

/* share[g][m] += number of queries of the place's fold that use model m there; one walk for all places. */
static void count_shares(const struct sg_path *path, const uint8_t *fold, struct place *at, int32_t n,
                         int64_t *count, double *share) {
    qsort(at, (size_t)n, sizeof *at, by_steps);
    for (int64_t q = 0; q < path->n; q++) count[fold[q] * path->m + path->model[path->first[q]]]++;
    int64_t s = 0;
    for (int32_t i = 0; i < n; i++) {
        for (; s < at[i].steps; s++) {
            int64_t *c = &count[fold[path->query[s]] * path->m];
            c[path->model[path->vertex[s] - 1]]--;
            c[path->model[path->vertex[s]]]++;
        }
        for (int32_t k = 0; k < path->m; k++)
            for (uint8_t f = 0; f < 3; f++)
                if (at[i].fold == 3 || at[i].fold == f)
                    share[(int64_t)at[i].g * path->m + k] += (double)count[f * path->m + k];
    }
}

enum sg_status sg__analysis_shares(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_view *v = a->v;
    const int32_t n = a->opt.n_grid;
    const bool truth = v->n_scored > 1 && a->curve[SG_CURVE_REALISED_].present;
    struct place *at = NULL;
    struct sg_choice *chosen = NULL;
    double *tmp = NULL;
    int64_t *count = NULL;
    int32_t k = 0;
    SG_TRY(SG_NEW(&a->share, (int64_t)n * v->m, "shares", err));
    SG_TRY(SG_NEW(&at, 2 * n, "shares", err));
    SG_TRY(SG_NEW(&chosen, n, "shares", err));
    SG_TRY(SG_NEW(&tmp, sg_curve_choice_scratch(n) + 2 * (size_t)n, "shares", err));
    SG_TRY(SG_NEW(&count, 3 * v->m, "shares", err));
    if (truth) {
        const struct sg_weights w = sg__analysis_weights(a);
        sg_curve_choice(&a->scope, &w, SG_PICK_SPEND, SG_FIT_CROSS, a->grid, n, tmp, tmp + n, chosen,
                        tmp + 2 * n);
        for (int32_t g = 0; g < n; g++)
            for (uint8_t f = 0; f < 2 && chosen[g].steps[0] >= 0 && chosen[g].steps[1] >= 0; f++)
                at[k++] = (struct place){.steps = chosen[g].steps[f], .g = g, .fold = (uint8_t)(1 - f)};
    } else {
        for (int32_t g = 0; g < n; g++) {
            struct sg_policy p;
            if (sg_path_at_budget(&a->scope, a->grid[g], &p, NULL) == SG_OK)
                at[k++] = (struct place){.steps = p.steps, .g = g, .fold = 3};
        }
    }
    count_shares(&a->scope, a->fold, at, k, count, a->share);
    for (int32_t g = 0; g < n; g++) {
        double sum = 0;
        for (int32_t j = 0; j < v->m; j++) sum += a->share[(int64_t)g * v->m + j];
        for (int32_t j = 0; j < v->m; j++)
            a->share[(int64_t)g * v->m + j] /= sum; /* NaN: no policy that cheap */
    }
out:
    free(at);
    free(chosen);
    free(tmp);
    free(count);
    return st;
}

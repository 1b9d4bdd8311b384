#include "policies.h"

#include "base/mem.h"
#include "decision_limits.h"
#include "single_models.h"
#include "metrics.h"
#include "sort.h"
#include "sum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sg__policy_values(const struct sg_analysis *a, const struct sg_asked_policy *k, double *p, double *c,
                       double *tp, double *tc) {
    const struct sg_dataset *d = a->data;
    for (int64_t q = 0; q < d->n; q++) {
        const double w = q == k->mixed_query ? k->policy.weight : 0;
        const int64_t at = q * d->m + k->model[q], other = q * d->m + (w > 0 ? k->mixed_to : k->model[q]);
        p[q] = (1 - w) * d->p[at] + w * d->p[other];
        c[q] = (1 - w) * d->c[at] + w * d->c[other];
        tp[q] = d->scored[q] ? (1 - w) * d->tp[at] + w * d->tp[other] : 0;
        tc[q] = d->scored[q] ? (1 - w) * d->tc[at] + w * d->tc[other] : 0;
    }
}

double sg__best_utility(const struct sg_dataset *d, int64_t q, double lambda) {
    double best = -INFINITY;
    for (int64_t at = q * d->m; at < (q + 1) * d->m; at++)
        if (!isnan(d->tp[at])) best = fmax(best, d->tp[at] - lambda * d->tc[at]);
    return best;
}

/* Mean over scored queries of the best true utility less that of the policy, at its own lambda. */
static double regret(const struct sg_analysis *a, const struct sg_asked_policy *k, const double *tp,
                     const double *tc) {
    const double lambda = k->policy.lambda;
    struct sg_sum s = {0, 0};
    for (int64_t q = 0; q < a->data->n; q++)
        if (a->data->scored[q])
            sg_sum_add(&s, sg__best_utility(a->data, q, lambda) - (tp[q] - lambda * tc[q]));
    return sg_sum_get(&s) / (double)a->data->n_scored;
}

static struct sg_value plain(double x) {
    return (struct sg_value){x, (double)NAN, (double)NAN};
}

enum sg_status sg__path_models(const struct sg_path *path, const struct sg_policy *policy, int32_t *model,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint32_t *vertex = NULL;
    SG_TRY(SG_NEW(&vertex, path->n, "policy", err));
    sg_path_vertices(path, policy->steps, vertex);
    for (int64_t q = 0; q < path->n; q++) model[q] = path->model[vertex[q]];
out:
    free(vertex);
    return st;
}

/* Which model answers which query, and the shares. */
static enum sg_status choose(const struct sg_analysis *a, struct sg_asked_policy *k, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_path *path = &a->scope;
    const double each = 1.0 / (double)path->n;
    SG_TRY(sg__path_models(path, &k->policy, k->model, err));
    for (int64_t q = 0; q < path->n; q++) k->share[k->model[q]] += each;
    if (k->policy.weight > 0) {
        k->mixed_query = path->query[k->policy.steps];
        k->mixed_from = k->model[k->mixed_query];
        k->mixed_to = path->model[path->vertex[k->policy.steps]];
        k->share[k->mixed_from] -= k->policy.weight * each;
        k->share[k->mixed_to] += k->policy.weight * each;
    }
out:
    return st;
}

/* For a query of which model k has no estimate: the best of those that cost no more, else the cheapest. */
static int32_t stand_in(const struct sg_dataset *d, const struct sg_advice *advice, const uint8_t *kept,
                        int64_t q, int32_t k) {
    const double *cost = advice->decision.single_cost, *p = d->p + q * d->m, *c = d->c + q * d->m;
    int32_t best = -1, cheapest = -1;
    for (int32_t j = 0; j < d->m; j++) {
        if (isnan(p[j]) || (kept && !kept[j])) continue;
        if (cheapest < 0 || c[j] < c[cheapest]) cheapest = j;
        if (k >= 0 && cost[j] <= cost[k] && (best < 0 || p[j] > p[best])) best = j;
    }
    if (cheapest < 0) return stand_in(d, advice, NULL, q, k); /* none of the portfolio */
    return best < 0 ? cheapest : best;
}

/* Gives the share of the queries that is told to the dearer of a mix's two models: the first so many in the order of their
 * keys. Few queries may be dear or cheap ones by chance: the last one drawn changes places with the first of the rest, the
 * one before it with the second, and so on, where that brings the estimated bill nearer to that of as many mean queries and
 * keeps the budget, until the bill is there. */
static void mix(const struct sg_dataset *d, const struct sg_rule *rule, uint32_t *order, double *more,
                double budget, int32_t *model) {
    struct sg_sum bill = {0, 0}, all = {0, 0}, drawn = {0, 0};
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++) {
        const double *c = d->c + (int64_t)order[i] * d->m, x = c[rule->to] - c[rule->from];
        if (!isnan(c[rule->from])) sg_sum_add(&bill, c[rule->from]);
        if (isnan(x)) continue;
        sg_sum_add(&all, x);
        more[n] = x;
        order[n++] = order[i];
    }
    const int64_t told = (int64_t)floor(rule->weight * (double)d->n + 1e-6), most = told < n ? told : n;
    const double room = budget * (double)d->n * (1 + 1e-9) - sg_sum_get(&bill);
    const double mean = n ? (double)most * (sg_sum_get(&all) / (double)n) : 0;
    for (int64_t i = 0; i < most; i++) {
        sg_sum_add(&drawn, more[i]);
        model[order[i]] = rule->to;
    }
    const bool high = sg_sum_get(&drawn) > mean;
    for (int64_t i = most - 1, j = most; i >= 0 && j < n; i--, j++) {
        const double by = more[j] - more[i], now = sg_sum_get(&drawn);
        if (high ? now <= fmin(mean, room) : now >= mean) break;
        if (high ? by >= 0 : by <= 0 || now + by > room) continue;
        sg_sum_add(&drawn, by);
        model[order[i]] = rule->from;
        model[order[j]] = rule->to;
    }
    for (int64_t i = n - 1; i >= 0 && sg_sum_get(&drawn) > room; i--) {
        if (model[order[i]] != rule->to || !(more[i] > 0)) continue;
        sg_sum_add(&drawn, -more[i]);
        model[order[i]] = rule->from;
    }
}

/* The advised routing within the caps; or, given choices, these with the caps kept to the last query. */
static enum sg_status within_caps(const struct sg_dataset *d, const struct sg_advice *advice,
                                  const struct sg_advice_step *step, bool given, int32_t *model,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__limited x = {0};
    bool met;
    SG_TRY(sg__limited_open(&x, d->n, d->m, d->p, d->c, advice->cap, step->kept, err));
    if (given) {
        memcpy(x.model, model, sizeof *model * (size_t)d->n);
        for (int64_t q = 0; q < d->n; q++) x.count[model[q]]++;
        SG_TRY(sg__limited_keep(
            &x, advice->decision.step[step->is->as_at].candidate[SG_CANDIDATE_ROUTING].rule.lambda, err));
    } else {
        SG_TRY(sg__limited_at(&x, step->spends, &met, err));
    }
    memcpy(model, x.model, sizeof *model * (size_t)d->n);
out:
    sg__limited_close(&x);
    return st;
}

enum sg_status sg__advised_models(const struct sg_dataset *d, const struct sg_advice *advice,
                                  const struct sg_path *scope, const struct sg_advice_step *step,
                                  int32_t *model, struct sg_policy *at, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_rule *rule = &step->value->rule;
    const double *key = advice->choice_key;
    struct sg_sum p = {0, 0}, c = {0, 0};
    uint32_t *order = NULL;
    double *more = NULL;
    *at = (struct sg_policy){.steps = 0};
    if (rule->kind == SG_CANDIDATE_ROUTING && rule->toll) {
        SG_TRY(within_caps(d, advice, step, false, model, err));
    } else if (rule->kind == SG_CANDIDATE_ROUTING) {
        SG_TRY(sg_path_at_budget(scope, step->spends, at, err));
        SG_TRY(sg__path_models(scope, at, model, err));
        if (at->weight > 0 && key[scope->query[at->steps]] < at->weight)
            model[scope->query[at->steps]] = scope->model[scope->vertex[at->steps]];
    } else {
        SG_TRY(SG_NEW(&order, d->n, "policy", err));
        SG_TRY(sg_sort_order(key, d->n, false, order, err));
        for (int64_t q = 0; q < d->n; q++)
            model[q] = sg_rule_model(rule, d->m, d->category[q], d->p + q * d->m, d->c + q * d->m,
                                     1); /* a mix: `from` */
        SG_TRY(SG_NEW(&more, d->n, "policy", err));
        if (rule->kind == SG_CANDIDATE_MIX && rule->weight > 0)
            mix(d, rule, order, more, step->spends, model);
    }
    for (int64_t q = 0; q < d->n; q++)
        if (model[q] < 0 || isnan(d->p[q * d->m + model[q]]))
            model[q] = stand_in(d, advice, step->kept, q, model[q]);
    if (advice->cap) SG_TRY(within_caps(d, advice, step, true, model, err));
    for (int64_t q = 0; q < d->n; q++) {
        sg_sum_add(&p, d->p[q * d->m + model[q]]);
        sg_sum_add(&c, d->c[q * d->m + model[q]]);
    }
    at->weight = 0;
    at->p = sg_sum_get(&p) / (double)d->n;
    at->c = sg_sum_get(&c) / (double)d->n;
out:
    free(order);
    free(more);
    return st;
}

/* What the truth says of a policy; needs scored queries. */
static enum sg_status score(const struct sg_analysis *a, struct sg_asked_policy *k, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = a->data->n;
    const struct sg_weights scored = sg_analysis_scored_weights(a);
    struct sg_sum p = {0, 0}, c = {0, 0};
    double *value = NULL, *tmp = NULL, oracle;
    SG_TRY(SG_NEW(&value, 4 * n, "policy", err));
    SG_TRY(SG_NEW(&tmp, sg_curve_choice_scratch(1), "policy", err));
    double *tp = value + 2 * n, *tc = value + 3 * n;
    sg__policy_values(a, k, value, value + n, tp, tc);
    for (int64_t q = 0; q < n; q++) {
        sg_sum_add(&p, tp[q]);
        sg_sum_add(&c, tc[q]);
    }
    k->accuracy = plain(sg_sum_get(&p) / (double)a->data->n_scored);
    k->cost = plain(sg_sum_get(&c) / (double)a->data->n_scored);
    k->regret = regret(a, k, tp, tc);
    sg_curve_lp(&a->oracle, &scored, NULL, &k->cost.value, 1, &oracle);
    k->oracle_gap = oracle - k->accuracy.value;
    if (!k->is_target)
        sg_curve_splits(&a->scope, a->ones, a->fold, a->n_splits, &k->asked, 1, &k->fitted_accuracy,
                        &k->fitted_cost, tmp);
out:
    free(value);
    free(tmp);
    return st;
}

/* Adds the policy for a budget or a target, without intervals: what the advice says (step), or the frontier's
 * (step NULL). One that is there already is not added again. */
static enum sg_status add(struct sg_analysis *a, bool is_target, double asked, bool ours,
                          const struct sg_advice_step *step, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const double none = (double)NAN;
    const bool truth = a->data->n_scored > 0;
    char text[48], *name;
    for (size_t i = 0; i < a->n_policies; i++)
        if (a->policies[i].is_target == is_target && a->policies[i].asked == asked) return SG_OK;
    struct sg_asked_policy *k = &a->policies[a->n_policies];
    *k = (struct sg_asked_policy){.is_target = is_target, .asked = asked, .ours = ours};
    if (!step && is_target && sg_path_at_target(&a->scope, asked, &k->policy, NULL) != SG_OK) {
        struct sg_policy dearest;
        sg_path_at_lambda(&a->scope, 0, &dearest);
        a->unmet[a->n_unmet++] = (struct sg_unmet_target){asked, dearest.p};
        return SG_OK;
    }
    if (!step && !is_target) SG_TRY(sg_path_at_budget(&a->scope, asked, &k->policy, err));
    a->n_policies++;
    if (step && !is_target)
        snprintf(text, sizeof text, "%s", step->asked);
    else
        snprintf(text, sizeof text, "%s=%.9g", is_target ? "target" : "budget", asked);
    SG_TRY(sg_arena_dup(&a->strings, text, strlen(text), &name, err));
    k->name = name;
    SG_TRY(SG_NEW(&k->model, a->data->n, "policy", err));
    SG_TRY(SG_NEW(&k->share, a->data->m, "policy", err));
    k->mixed_query = k->mixed_from = k->mixed_to = -1;
    if (step) {
        SG_TRY(sg__advised_models(a->data, a->opt.advice, &a->scope, step, k->model, &k->policy, err));
        for (int64_t q = 0; q < a->data->n; q++) k->share[k->model[q]] += 1.0 / (double)a->data->n;
    } else {
        SG_TRY(choose(a, k, err));
    }
    k->predicted_accuracy = plain(k->policy.p);
    k->predicted_cost = plain(k->policy.c);
    k->accuracy = k->cost = k->posterior = plain(none);
    k->oracle_gap = k->regret = k->fitted_accuracy = k->fitted_cost = none;
    if (truth) SG_TRY(score(a, k, err));
    k->gain =
        plain((truth ? k->accuracy : k->predicted_accuracy).value - sg__single_accuracy(a, a->best_single));
    k->saving = plain(1 - (truth ? k->cost : k->predicted_cost).value / sg__single_cost(a, a->best_single));
out:
    return st;
}

const struct sg_advice_step *sg__advised_step(const struct sg_advice *advice, bool is_target, double asked,
                                              double *best) {
    const struct sg_advice_step *hit = NULL;
    *best = 0;
    for (int32_t i = advice->n_steps - 1; i >= 0; i--) {
        const struct sg_advice_step *s = &advice->step[i];
        if (!s->value) continue;
        *best = fmax(*best, s->accuracy.value);
        if (is_target ? s->accuracy.value >= asked : s->budget == asked) hit = s;
    }
    return hit;
}

/* The advice at the budgets that were asked for, and the cheapest advice that reaches each target. */
static enum sg_status add_advised(struct sg_analysis *a, const struct sg_advice *advice, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(SG_NEW(&a->policies, (size_t)advice->n_steps + a->opt.n_targets, "policies", err));
    SG_TRY(SG_NEW(&a->unmet, a->opt.n_targets, "policies", err));
    for (int32_t i = 0; i < advice->n_steps; i++) {
        const struct sg_advice_step *s = &advice->step[i];
        if (*s->asked && s->value) SG_TRY(add(a, false, s->budget, s->ours, s, err));
    }
    for (size_t t = 0; t < a->opt.n_targets; t++) {
        double best;
        const struct sg_advice_step *hit = sg__advised_step(advice, true, a->opt.targets[t], &best);
        if (hit)
            SG_TRY(add(a, true, a->opt.targets[t], false, hit, err));
        else
            a->unmet[a->n_unmet++] = (struct sg_unmet_target){a->opt.targets[t], best};
    }
out:
    return st;
}

enum sg_status sg__policies(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (a->opt.advice && a->opt.advice->present) return add_advised(a, a->opt.advice, err);
    static const double share[] = {0.1, 0.25, 0.5, 1};
    const size_t n = a->opt.n_budgets + a->opt.n_targets;
    SG_TRY(SG_NEW(&a->policies, n ? n : sizeof share / sizeof *share, "policies", err));
    SG_TRY(SG_NEW(&a->unmet, a->opt.n_targets, "policies", err));
    for (size_t i = 0; i < a->opt.n_budgets; i++) SG_TRY(add(a, false, a->opt.budgets[i], false, NULL, err));
    for (size_t i = 0; i < a->opt.n_targets; i++) SG_TRY(add(a, true, a->opt.targets[i], false, NULL, err));
    if (n) return SG_OK;
    /* Nothing is asked: parts of what the best single model is estimated to cost, as far as they are
     * possible. */
    struct sg_sum least = {0, 0};
    for (int64_t q = 0; q < a->data->n; q++) sg_sum_add(&least, a->scope.start_c[q]);
    for (size_t i = 0; i < sizeof share / sizeof *share; i++) {
        const double budget = share[i] * a->single[a->best_single].predicted_cost.value;
        if (budget * (double)a->data->n >= sg_sum_get(&least)) SG_TRY(add(a, false, budget, true, NULL, err));
    }
out:
    return st;
}

/* A number of steps of the path, and the budget whose shares it gives. */
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
    memset(count, 0, sizeof *count * 3 * (size_t)path->m);
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

enum sg_status sg__policies_shares(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const int32_t n = a->opt.n_grid;
    const bool truth = d->n_scored > 1 && a->curve[SG_CURVE_REALISED].present;
    struct place *at = NULL;
    struct sg_choice *chosen = NULL;
    double *tmp = NULL;
    int64_t *count = NULL;
    int32_t k = 0;
    SG_TRY(SG_NEW(&a->share, (int64_t)n * d->m, "shares", err));
    SG_TRY(SG_NEW(&at, 2 * n, "shares", err));
    SG_TRY(SG_NEW(&chosen, n, "shares", err));
    SG_TRY(SG_NEW(&tmp, sg_curve_choice_scratch(n) + 2 * (size_t)n, "shares", err));
    SG_TRY(SG_NEW(&count, 3 * d->m, "shares", err));
    for (int32_t s = 0; truth && s < a->n_splits; s++) {
        struct sg_weights w = {.w = a->ones, .fold = a->fold + s * d->n};
        sg_weights_sum(&w, d->n);
        sg_curve_choice(&a->scope, &w, a->grid, n, tmp, tmp + n, chosen, tmp + 2 * n);
        k = 0;
        for (int32_t g = 0; g < n; g++)
            for (uint8_t f = 0; f < 2 && chosen[g].steps[0] >= 0 && chosen[g].steps[1] >= 0; f++)
                at[k++] = (struct place){.steps = chosen[g].steps[f], .g = g, .fold = (uint8_t)(1 - f)};
        count_shares(&a->scope, w.fold, at, k, count, a->share);
    }
    for (int32_t g = 0; !truth && g < n; g++) {
        struct sg_policy p;
        if (sg_path_at_budget(&a->scope, a->grid[g], &p, NULL) == SG_OK)
            at[k++] = (struct place){.steps = p.steps, .g = g, .fold = 3};
    }
    if (!truth) count_shares(&a->scope, a->fold, at, k, count, a->share);
    for (int32_t g = 0; g < n; g++) {
        double sum = 0;
        for (int32_t j = 0; j < d->m; j++) sum += a->share[(int64_t)g * d->m + j];
        for (int32_t j = 0; j < d->m; j++)
            a->share[(int64_t)g * d->m + j] /= sum; /* NaN: no policy that cheap */
    }
out:
    free(at);
    free(chosen);
    free(tmp);
    free(count);
    return st;
}

#include "decision_holes.h"

#include "base/mem.h"
#include "decision_rules.h"
#include "decision_unseen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A mean without outcomes is a prior with the weight of five (estimates.c), so it errs as a mean of so many would: of an
 * accuracy p by p (1 - p) / 6 (the variance of that Beta law), of a length, whose deviation is taken to be its mean, by
 * length^2 / 6. Errors of one model in several categories are taken to be one error: it may be better or worse in all. */
static const double PRIOR = 6;

struct hole {
    double p, cost; /* standard deviations, of the outcome and of what a call costs */
    double luck[2]; /* variances of one outcome and of one call's cost */
};

static struct hole hole_of(const struct sg__work *w, int64_t cell) {
    const double p = w->outcomes.mean[cell],
                 cost = w->in->price_output[cell % w->m] * w->outcomes.mean_length[cell];
    return (struct hole){sqrt(p * (1 - p) / PRIOR), cost / sqrt(PRIOR), {p * (1 - p), cost * cost}};
}

/* Row x of w->hole: [2][m] errors, then the two variances of luck. */
static double *hole_row(const struct sg__work *w, int32_t x) {
    return w->hole + (int64_t)x * 2 * (w->m + 1);
}

/* Policy x gives this share of all queries to a model where it has no outcome. */
static void give(struct sg__work *w, int32_t x, int64_t cell, double share) {
    const struct hole h = hole_of(w, cell);
    const int64_t k = cell % w->m;
    double *row = hole_row(w, x);
    row[k] += share * h.p;
    row[w->m + k] += share * h.cost;
    for (int i = 0; i < 2; i++)
        row[2 * w->m + i] += share * h.luck[i] * w->valued.unknown / w->valued.n_queries;
}

static void give_routed(struct sg__work *w, const uint8_t *is, int32_t x, const struct sg_rule *rule) {
    for (int64_t q = 0; q < w->n; q++) {
        const int32_t c = w->category[q],
                      k = sg_rule_model(rule, w->m, c, w->p + q * w->m, w->c + q * w->m, 0);
        if (k >= 0 && is[(int64_t)c * w->m + k]) give(w, x, (int64_t)c * w->m + k, 1 / (double)w->n);
    }
}

enum sg_status sg__find_holes(struct sg__work *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t cells = (int64_t)w->nc * w->m;
    const int32_t kinds = w->in->n_budgets * SG__KINDS;
    uint8_t *is = NULL;
    bool any = false;
    SG_TRY(SG_NEW(&is, cells, "outcomes", err));
    for (int64_t cell = 0; cell < cells; cell++) {
        const int32_t c = (int32_t)(cell / w->m), k = (int32_t)(cell % w->m);
        is[cell] = w->weight[c] > 0 && !w->has[(int64_t)w->stratum_of[c] * w->m + k];
        any = any || is[cell];
    }
    if (!any) goto out;
    SG_TRY(SG_NEW(&w->hole, (int64_t)(kinds + w->m) * 2 * (w->m + 1), "outcomes", err));
    for (int64_t cell = 0; cell < cells; cell++) {
        const int32_t c = (int32_t)(cell / w->m), k = (int32_t)(cell % w->m);
        if (!is[cell]) continue;
        give(w, kinds + k, cell, w->weight[c]);
        for (int32_t x = 0; x < kinds && w->in->splits; x++) {
            const int kind = x % SG__KINDS, of = kind < SG__NAMED ? kind : kind - SG__NAMED;
            const struct sg_rule *rule =
                kind == SG__INCUMBENT ? &w->incumbent : &w->out->step[x / SG__KINDS].candidate[of].rule;
            if (rule->kind == SG_CANDIDATE_ROUTING || !rule->affordable) continue;
            if (rule->kind != SG_CANDIDATE_TABLE && rule->from < 0) continue;
            const double share = sg__rule_share(rule, c, k);
            if (share > 0) give(w, x, cell, w->weight[c] * share);
        }
    }
    for (int32_t b = 0; b < w->in->n_budgets && w->in->splits; b++) {
        const struct sg_rule *rule = &w->out->step[b].candidate[SG_CANDIDATE_ROUTING].rule;
        if (rule->affordable) give_routed(w, is, b * SG__KINDS + SG_CANDIDATE_ROUTING, rule);
    }
out:
    free(is);
    return st;
}

static void add(const struct sg__work *w, const double *x, const double *y, double f, bool cost,
                struct sg__estimate *e) {
    double sum = 0;
    for (int64_t k = 0; k < w->m; k++) {
        const double d = x[cost * w->m + k] - (y ? f * y[cost * w->m + k] : 0);
        sum += d * d;
    }
    e->mean_se = sqrt(e->mean_se * e->mean_se + sum);
    e->se = sqrt(e->se * e->se + sum + (y ? 0 : x[2 * w->m + cost]));
}

void sg__add_holes(const struct sg__work *w, int32_t x, int32_t y, double f, bool cost,
                   struct sg__estimate *e) {
    if (w->hole) add(w, hole_row(w, x), y < 0 ? NULL : hole_row(w, y), f, cost, e);
    sg__add_unseen(w, x, y, f, cost, e);
}

void sg__add_model_holes(const struct sg__work *w, int32_t k, bool cost, struct sg__estimate *e) {
    sg__add_holes(w, w->in->n_budgets * SG__KINDS + k, -1, 0, cost, e);
}

void sg__copy_holes(struct sg__work *w, int32_t to, int32_t of) {
    if (w->hole) memcpy(hole_row(w, to), hole_row(w, of), sizeof(double) * 2 * (size_t)(w->m + 1));
    sg__copy_unseen(w, to, of);
}

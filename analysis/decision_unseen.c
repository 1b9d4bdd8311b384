#include "decision_unseen.h"

#include "base/mem.h"
#include "decision_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a policy is worth in a category is taken to vary between categories as it does between those with outcomes: by the
 * models' smoothed means there, answered as the policy answers the unseen ones. Few categories show little of that, so a
 * prior stands beside them as one more: a model's mean over all categories that is known by five outcomes of an unseen one
 * (decision_holes.c). All unseen categories are taken to be answered alike, and to differ independently. */
static const double PRIOR = 6;

/* w->unseen: [rows][m] shares of the models among the queries of unseen categories, then the weight, the number of seen
 * categories, and their values: [2][seen][m], accuracies and costs of a call. */
static double *shares(const struct sg__work *w, int32_t x) {
    return w->unseen + (int64_t)x * w->m;
}

static double *known(const struct sg__work *w) {
    return shares(w, w->in->n_budgets * SG__KINDS + w->m);
}

static const struct sg_rule *rule_of(const struct sg__work *w, int32_t x) {
    const int kind = x % SG__KINDS, of = kind < SG__NAMED ? kind : kind - SG__NAMED;
    const struct sg_rule *r =
        kind == SG__INCUMBENT ? &w->incumbent : &w->out->step[x / SG__KINDS].candidate[of].rule;
    const bool blind = r->kind == SG_CANDIDATE_SINGLE || r->kind == SG_CANDIDATE_MIX;
    return !r->affordable || (blind && r->from < 0) ? NULL : r;
}

/* The shares of every kind among the queries of unseen categories, which are `part` of all. */
static void fill(struct sg__work *w, const uint8_t *seen, double part) {
    const int32_t kinds = w->in->splits ? w->in->n_budgets * SG__KINDS : 0;
    int64_t n = 0;
    for (int64_t q = 0; q < w->n; q++) n += !seen[w->category[q]];
    for (int32_t x = 0; x < kinds; x++) {
        const struct sg_rule *r = rule_of(w, x);
        double *to = shares(w, x);
        if (r && r->kind != SG_CANDIDATE_ROUTING)
            for (int32_t c = 0; c < w->nc; c++)
                for (int32_t k = 0; k < w->m && !seen[c]; k++)
                    to[k] += w->weight[c] / part * sg__rule_share(r, c, k);
        if (!r || r->kind != SG_CANDIDATE_ROUTING) continue;
        for (int64_t q = 0; q < w->n; q++) {
            const int32_t k = seen[w->category[q]] ? -1
                                                   : sg_rule_model(r, w->m, w->category[q], w->p + q * w->m,
                                                                   w->c + q * w->m, 0);
            if (k >= 0) to[k] += 1 / (double)n;
        }
    }
    for (int32_t k = 0; k < w->m; k++) shares(w, w->in->n_budgets * SG__KINDS + k)[k] = 1;
}

enum sg_status sg__find_unseen(struct sg__work *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint8_t *seen = NULL; /* 1: also a category without queries */
    int32_t n = 0;
    double part = 0, squares = 0;
    SG_TRY(SG_NEW(&seen, w->nc, "categories", err));
    for (int64_t i = 0; i < w->all.n; i++)
        if (w->stratum[i] >= 0) seen[w->all_category[i]] = 1;
    for (int32_t c = 0; c < w->nc; c++) {
        n += seen[c];
        if (seen[c]) continue;
        part += w->weight[c];
        squares += w->weight[c] * w->weight[c];
    }
    if (!(part > 0) || !n) goto out;
    SG_TRY(SG_NEW(&w->unseen, (int64_t)(w->in->n_budgets * SG__KINDS + w->m + 2 * n) * w->m + 2, "outcomes",
                  err));
    fill(w, seen, part);
    double *to = known(w);
    *to++ = squares;
    *to++ = n;
    for (int cost = 0; cost < 2; cost++)
        for (int32_t c = 0; c < w->nc; c++)
            for (int32_t k = 0; k < w->m && seen[c]; k++) {
                const int64_t cell = (int64_t)c * w->m + k;
                *to++ =
                    cost ? w->in->price_output[k] * w->outcomes.mean_length[cell] : w->outcomes.mean[cell];
            }
out:
    free(seen);
    return st;
}

void sg__add_unseen(const struct sg__work *w, int32_t x, int32_t y, double f, bool cost,
                    struct sg__estimate *e) {
    if (!w->unseen) return;
    const double *sx = shares(w, x), *sy = y < 0 ? NULL : shares(w, y), n = known(w)[1];
    const int32_t seen = (int32_t)n;
    const double *value = known(w) + 2 + (cost ? (int64_t)seen * w->m : 0);
    double var = 0, mean = 0;
    for (int32_t k = 0; k < w->m; k++) {
        const double s = sx[k] - (sy ? f * sy[k] : 0);
        double v = 0;
        for (int32_t c = 0; c < seen; c++) v += value[(int64_t)c * w->m + k] / n;
        mean += s * v;
        var += s * s * (cost ? v * v : v * (1 - v)) / PRIOR;
    }
    for (int32_t c = 0; c < seen; c++) {
        double here = 0;
        for (int32_t k = 0; k < w->m; k++)
            here += (sx[k] - (sy ? f * sy[k] : 0)) * value[(int64_t)c * w->m + k];
        var += (here - mean) * (here - mean);
    }
    /* n - 1 degrees of freedom of the categories, one of the prior; the mean of the seen ones errs, too */
    var *= known(w)[0] * (1 + 1 / n) / n;
    const double own = e->se * e->se, all = own + var;
    if (!(var > 0)) return;
    e->df = fmax(1, all * all / (own * own / e->df + var * var / n));
    e->se = sqrt(all);
    e->mean_se = sqrt(e->mean_se * e->mean_se + var);
}

void sg__copy_unseen(struct sg__work *w, int32_t to, int32_t of) {
    if (w->unseen) memcpy(shares(w, to), shares(w, of), sizeof(double) * (size_t)w->m);
}

#include "decision.h"

#include "base/mem.h"
#include "base/rng.h"
#include "decision_folds.h"
#include "decision_holes.h"
#include "decision_rules.h"
#include "decision_unseen.h"
#include "decision_value.h"
#include "decision_work.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void work_free(struct sg__work *w) {
    sg_rows_free(&w->rows);
    void *owned[] = {
        w->query,      w->category,     w->input_cost, w->key,       w->weight,    w->all_correct,
        w->all_length, w->all_category, w->all_row,    w->all_key,   w->h,         w->hk,
        w->stratum_of, w->stratum,      w->paired,     w->strata,    w->sums,      w->truth_model,
        w->fold_all,   w->fold_query,   w->use,        w->build,     w->pick,      w->p,
        w->c,          w->length,       w->mean_p,     w->cal_p,     w->full_cost, w->sum_p,
        w->rule,       w->tables,       w->tolls,      w->kept,      w->blind_y,   w->q_p,
        w->single,     w->has,          w->hole,       w->mean_gain, w->unseen};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    sg_estimate_fit_free(&w->fit);
    sg_estimate_fit_free(&w->outcomes);
}

/* --- the queries ------------------------------------------------------------------------------------- */

/* At most max_queries of the queries, those whose keys come first. */
static enum sg_status take_queries(struct sg__work *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_rows *all = w->in->queries;
    double *key = NULL;
    uint32_t *order = NULL;
    w->n = all->n < w->in->max_queries ? all->n : w->in->max_queries;
    SG_TRY(SG_NEW(&w->query, w->n, "valued queries", err));
    SG_TRY(SG_NEW(&w->category, w->n, "valued queries", err));
    SG_TRY(SG_NEW(&w->key, w->n, "valued queries", err));
    SG_TRY(SG_NEW(&w->input_cost, w->n * w->m, "valued queries", err));
    SG_TRY(SG_NEW(&w->weight, w->nc, "categories", err));
    SG_TRY(SG_NEW(&key, all->n, "valued queries", err));
    SG_TRY(SG_NEW(&order, all->n, "valued queries", err));
    for (int64_t q = 0; q < all->n; q++) {
        key[q] = sg__unit_key(w->in->query_key[q], w->in->seed ^ 0x71);
        w->weight[all->category[q]] += 1.0 / (double)all->n;
    }
    SG_TRY(sg_sort_order(key, all->n, false, order, err));
    for (int64_t i = 0; i < w->n; i++) {
        const int64_t q = order[i];
        w->query[i] = q;
        w->category[i] = all->category[q];
        w->key[i] = w->in->query_key[q];
        memcpy(w->input_cost + i * w->m, all->input_cost + q * w->m, sizeof *w->input_cost * (size_t)w->m);
    }
    SG_TRY(sg_rows_take(all, w->query, w->n, w->category, w->nc, w->input_cost, &w->rows, err));
out:
    free(key);
    free(order);
    return st;
}

/* --- the outcomes ------------------------------------------------------------------------------------- */

static bool known(const struct sg__work *w, int64_t i, int32_t k) {
    return !isnan(w->all_correct[i * w->m + k]) && !isnan(w->all_length[i * w->m + k]);
}

static enum sg_status take_outcomes(struct sg__work *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_outcomes *a = w->in->anchors, *t = w->in->truth;
    const int32_t m = w->m;
    const int64_t cap = a->n + (t ? w->n : 0);
    int64_t n = 0;
    SG_TRY(SG_NEW(&w->all_correct, cap * m, "outcomes", err));
    SG_TRY(SG_NEW(&w->all_length, cap * m, "outcomes", err));
    SG_TRY(SG_NEW(&w->all_category, cap, "outcomes", err));
    SG_TRY(SG_NEW(&w->all_row, cap, "outcomes", err));
    SG_TRY(SG_NEW(&w->all_key, cap, "outcomes", err));
    SG_TRY(SG_NEW(&w->truth_model, m, "outcomes", err));
    for (; n < a->n; n++) {
        memcpy(w->all_correct + n * m, a->correct + n * m, sizeof(double) * (size_t)m);
        memcpy(w->all_length + n * m, a->length + n * m, sizeof(double) * (size_t)m);
        w->all_category[n] = a->category[n];
        w->all_row[n] = a->cell_row[n];
        w->all_key[n] = w->in->anchor_key[n];
    }
    for (int64_t q = 0; t && q < w->n; q++) {
        const int64_t of = w->query[q];
        bool any = false;
        for (int32_t k = 0; k < m; k++)
            any |= !isnan(t->correct[of * m + k]) && !isnan(t->length[of * m + k]);
        if (!any) continue;
        memcpy(w->all_correct + n * m, t->correct + of * m, sizeof(double) * (size_t)m);
        memcpy(w->all_length + n * m, t->length + of * m, sizeof(double) * (size_t)m);
        w->all_category[n] = w->category[q];
        w->all_row[n] = q;
        w->all_key[n] = w->key[q];
        n++;
    }
    w->all = (struct sg_outcomes){.n = n,
                                  .m = m,
                                  .category = w->all_category,
                                  .correct = w->all_correct,
                                  .length = w->all_length,
                                  .cell_row = w->all_row};
    for (int32_t k = 0; k < m; k++) {
        int64_t with = 0;
        for (int64_t i = a->n; i < n; i++) with += known(w, i, k);
        w->truth_model[k] = 2 * with >= w->n && with > 1;
    }
    w->measured = true;
    for (int32_t k = 0; k < m; k++) w->measured = w->measured && w->truth_model[k];
out:
    return st;
}

/* Whether row i values model k. */
static bool values(const struct sg__work *w, int64_t i, int32_t k) {
    return known(w, i, k) && (i >= w->in->anchors->n || !w->truth_model[k]);
}

/* Whether the blind candidates are built from row i: where the queries' own outcomes value all models, from these
 * alone. */
static bool builds(const struct sg__work *w, int64_t i) {
    return !w->measured || i >= w->in->anchors->n;
}

/* Strata, and the multipliers: a mean over all rows of a stratum of h * x is the mean of x over those rows
 * whose outcome values the model. */
static enum sg_status stratify(struct sg__work *w, struct sg_decision *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = w->all.n;
    const int32_t m = w->m;
    double *count = NULL, labelled = 0, spread = 0;
    SG_TRY(SG_NEW(&w->stratum_of, w->nc, "strata", err));
    SG_TRY(SG_NEW(&w->stratum, n, "strata", err));
    SG_TRY(SG_NEW(&w->paired, n, "strata", err));
    SG_TRY(SG_NEW(&w->strata, 3 * (w->nc + 1), "strata", err));
    SG_TRY(SG_NEW(&w->sums, w->nc + 1, "strata", err));
    SG_TRY(SG_NEW(&w->h, n * m, "strata", err));
    SG_TRY(SG_NEW(&w->hk, n * m, "strata", err));
    SG_TRY(SG_NEW(&count, 2 * (int64_t)(w->nc + 1) * (m + 1), "strata", err));
    double *paired_count = count + (int64_t)(w->nc + 1) * (m + 1);
    /* rows of each category, in slot m */
    for (int64_t i = 0; i < n; i++) {
        bool any = false;
        for (int32_t k = 0; k < m; k++) any |= values(w, i, k);
        w->paired[i] = any && w->all_row[i] >= 0;
        w->stratum[i] = any && w->weight[w->all_category[i]] > 0 ? 0 : -1;
        if (w->stratum[i] < 0) continue;
        count[w->all_category[i]]++;
        paired_count[w->all_category[i]] += w->paired[i];
    }
    double pooled = 0, pooled_rows = 0, pooled_paired = 0;
    bool any_paired = false;
    for (int32_t c = 0; c < w->nc; c++) any_paired |= paired_count[c] > 0;
    for (int32_t c = 0; c < w->nc; c++) {
        const bool large = (any_paired ? paired_count[c] : count[c]) >= SG__LEAST_ROWS;
        w->stratum_of[c] = large ? w->n_strata++ : -1;
        if (large) continue;
        pooled += w->weight[c];
        pooled_rows += count[c];
        pooled_paired += paired_count[c];
    }
    /* too few rows even together: they join the last stratum, or are the only one. What the queries of these
     * categories weigh goes to all strata by their rows then: the mean of all rows stands for them, not that of
     * whichever category is last. */
    const bool own =
        pooled > 0 && (!w->n_strata || (any_paired ? pooled_paired : pooled_rows) >= SG__LEAST_ROWS);
    const int32_t rest = own ? w->n_strata++ : w->n_strata - 1;
    if (!own && w->n_strata) spread = pooled;
    for (int32_t c = 0; c < w->nc; c++)
        if (w->stratum_of[c] < 0) w->stratum_of[c] = rest < 0 ? 0 : rest;
    if (!w->n_strata) w->n_strata = 1;
    double *weight = w->strata, *rows = w->strata + w->n_strata, *paired_rows = w->strata + 2 * w->n_strata;
    for (int32_t c = 0; c < w->nc; c++) weight[w->stratum_of[c]] += w->weight[c];
    memset(count, 0, sizeof *count * 2 * (size_t)(w->nc + 1) * (size_t)(m + 1));
    for (int64_t i = 0; i < n; i++) {
        if (w->stratum[i] < 0) continue;
        const int32_t s = w->stratum[i] = w->stratum_of[w->all_category[i]];
        rows[s]++;
        paired_rows[s] += w->paired[i];
        for (int32_t k = 0; k < m; k++) {
            if (!values(w, i, k)) continue;
            count[(int64_t)s * m + k]++;
            paired_count[(int64_t)s * m + k] += w->paired[i];
        }
        out->n_valued++;
        out->n_paired += w->paired[i];
        out->truth |= i >= w->in->anchors->n;
        out->anchors |= i < w->in->anchors->n;
        labelled += i >= w->in->anchors->n;
    }
    for (int32_t s = 0; s < w->n_strata && spread > 0; s++) {
        const double others = weight[s] - (s == rest ? spread : 0);
        weight[s] = others + spread * rows[s] / (double)out->n_valued;
    }
    SG_TRY(SG_NEW(&w->has, (int64_t)w->n_strata * m, "strata", err));
    for (int64_t i = 0; i < (int64_t)w->n_strata * m; i++) w->has[i] = count[i] > 0;
    for (int64_t i = 0; i < n; i++)
        for (int32_t k = 0; k < m && w->stratum[i] >= 0; k++) {
            const int32_t s = w->stratum[i];
            if (!values(w, i, k)) continue;
            w->h[i * m + k] = rows[s] / count[(int64_t)s * m + k];
            if (w->paired[i]) w->hk[i * m + k] = paired_rows[s] / paired_count[(int64_t)s * m + k];
        }
    w->valued = (struct sg__valued){
        .n = n,
        .n_strata = w->n_strata,
        .stratum = w->stratum,
        .weight = weight,
        .rows = rows,
        .paired_rows = paired_rows,
        .paired = w->paired,
        .sums = w->sums,
        .n_queries = (double)w->in->queries->n,
        /* truth that values all models: about queries like these, not about the rest of them */
        .unknown = w->measured ? 0 : 1 - labelled / (double)w->n};
out:
    free(count);
    return st;
}

/* --- folds --------------------------------------------------------------------------------------------- */

/* The folds of one split: of the sampled queries, and of the outcomes; a query's outcome has its fold. */
static enum sg_status deal_split(struct sg__work *w, int32_t split, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const uint64_t seed = sg_random64(w->in->seed ^ 0xf01d, (uint64_t)split);
    const int64_t na = w->in->anchors->n;
    SG_TRY(sg__deal(w->category, w->key, w->n, seed, w->nc, w->in->folds, w->fold_query, err));
    SG_TRY(sg__deal(w->all_category, w->all_key, na, seed ^ 1, w->nc, w->in->folds, w->fold_all, err));
    for (int64_t i = na; i < w->all.n; i++) w->fold_all[i] = w->fold_query[w->all_row[i]];
out:
    return st;
}

/* --- one fold --------------------------------------------------------------------------------------------- */

/* Fits without the outcomes whose use[] is 0, estimates the queries, and takes means by category and model. */
static enum sg_status fit_queries(struct sg__work *w, const uint8_t *use, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double *input = NULL; /* [2 * m] sums and numbers of what the prompts of a model cost */
    const int32_t m = w->m;
    const size_t cells = (size_t)w->nc * (size_t)m;
    const struct sg_estimate_fit_input in = {.m = m,
                                             .n_categories = w->nc,
                                             .price_output = w->in->price_output,
                                             .queries = &w->rows,
                                             .calibration = w->in->calibration,
                                             .anchors = w->in->anchors,
                                             .use = use};
    struct sg_estimate_fit_input outcomes = in;
    outcomes.anchors = &w->all;
    outcomes.use = w->build;
    SG_TRY(sg_estimate_fit_means(&outcomes, &w->outcomes, err));
    if (w->fitted) return SG_OK; /* no outcome that values has a say in the estimates */
    w->fitted = w->measured;
    SG_TRY(sg_estimate_fit_make(&in, w->in->estimate, &w->fit, err));
    sg_estimate_fit_apply(&w->fit, &w->rows, w->in->price_output, 0, w->n, w->p, w->length, w->c);
    memset(w->mean_p, 0, sizeof *w->mean_p * cells * 6);
    double *n = w->pick_c + cells;
    SG_TRY(SG_NEW(&input, 2 * m, "estimates", err));
    for (int64_t q = 0; q < w->n; q++)
        for (int32_t k = 0; k < m; k++) {
            const int64_t at = q * m + k, to = (int64_t)w->category[q] * m + k;
            if (isnan(w->p[at])) continue;
            w->mean_p[to] += w->p[at];
            w->mean_length[to] += w->length[at];
            w->mean_cost[to] += w->c[at];
            n[to]++;
            input[k] += w->c[at] - w->in->price_output[k] * w->length[at];
            input[m + k]++;
        }
    /* a category in which a model has no estimate takes what its prompts cost in the others */
    for (size_t i = 0; i < cells; i++) {
        w->mean_p[i] = n[i] > 0 ? w->mean_p[i] / n[i] : w->outcomes.mean[i];
        w->mean_length[i] = n[i] > 0 ? w->mean_length[i] / n[i] : w->outcomes.mean_length[i];
        w->mean_cost[i] = n[i] > 0 ? w->mean_cost[i] / n[i]
                                   : input[i % (size_t)m] / input[(size_t)m + i % (size_t)m] +
                                         w->in->price_output[i % (size_t)m] * w->mean_length[i];
    }
    for (int64_t q = 0; q < w->n; q++)
        for (int32_t k = 0; k < m && w->pick[q]; k++) {
            const int64_t at = q * m + k, to = (int64_t)w->category[q] * m + k;
            w->pick_p[to] += isnan(w->p[at]) ? w->mean_p[to] : w->p[at];
            w->pick_c[to] += isnan(w->p[at]) ? w->mean_cost[to] : w->c[at];
        }
out:
    free(input);
    return st;
}

static struct sg__rule_input rule_input(const struct sg__work *w, const double *cost) {
    return (struct sg__rule_input){.n = w->n,
                                   .m = w->m,
                                   .n_categories = w->nc,
                                   .category = w->category,
                                   .weight = w->weight,
                                   .p = w->p,
                                   .c = w->c,
                                   .mean = w->outcomes.mean,
                                   .mean_cost = cost,
                                   .budgets = w->in->budgets,
                                   .n_budgets = w->in->n_budgets,
                                   .cap = w->in->cap,
                                   .tolls = w->tolls,
                                   .portfolio = w->in->portfolio,
                                   .kept = w->kept};
}

static const struct sg_rule *rule_of(const struct sg__work *w, int32_t b, int kind) {
    if (kind == SG__INCUMBENT) return &w->incumbent;
    return kind < SG__NAMED ? &w->rule[b * SG_CANDIDATES + kind]
                            : &w->out->step[b].candidate[kind - SG__NAMED].rule;
}

/* Adds to the values at `at` that model k answers row i with this share. p, tokens: the row's estimates, NULL without. */
static void value_answer(struct sg__work *w, int64_t i, int64_t at, int32_t k, double share, bool blind,
                         const double *p, const double *tokens) {
    const int64_t cell = i * w->m + k, mean = (int64_t)w->all_category[i] * w->m + k;
    const double y = w->all_correct[cell], length = w->all_length[cell], price = w->in->price_output[k];
    const double h = share * w->h[cell], hk = p ? share * w->hk[cell] : 0;
    if (w->measured) {
        if (!(h > 0)) return;
        const double paid = w->input_cost[w->all_row[i] * w->m + k] + price * length;
        w->blind_y[at] += h * y;
        w->blind_c[at] += h * paid;
        w->paired_y[at] += hk * y;
        w->paired_c[at] += hk * paid;
        return;
    }
    if (blind) {
        w->blind_y[at] += share * w->outcomes.mean[mean];
        if (h > 0) {
            w->blind_y[at] += h * (y - w->outcomes.mean[mean]);
            w->blind_c[at] += h * price * (length - w->mean_length[mean]);
        }
    }
    if (hk > 0) {
        w->paired_y[at] += hk * (y - (isnan(p[k]) ? w->mean_p[mean] : p[k]));
        w->paired_c[at] += hk * price * (length - (isnan(p[k]) ? w->mean_length[mean] : tokens[k]));
    }
}

/* Sums over the picked queries of the estimates under the policy in use. */
static void given_sums(const struct sg__work *w, double *p, double *c) {
    const struct sg_given_policy *g = w->in->policy;
    for (int64_t q = 0; q < w->n; q++)
        for (int64_t i = g->first[w->query[q]]; i < g->first[w->query[q] + 1] && w->pick[q]; i++) {
            const int64_t at = q * w->m + g->model[i], mean = (int64_t)w->category[q] * w->m + g->model[i];
            *p += g->weight[i] * (isnan(w->p[at]) ? w->mean_p[mean] : w->p[at]);
            *c += g->weight[i] * (isnan(w->p[at]) ? w->mean_cost[mean] : w->c[at]);
        }
}

/* Adds what row i, which this fold's rules have not seen, says of them. */
static void value_row(struct sg__work *w, int64_t i) {
    const int32_t m = w->m, c = w->all_category[i];
    const int64_t na = w->in->anchors->n;
    const double *p = NULL, *cost = NULL, *tokens = NULL;
    if (w->paired[i]) {
        p = w->cal_p, cost = w->cal_cost, tokens = w->cal_length;
        if (i < na) {
            sg_estimate_fit_apply(&w->fit, w->in->calibration, w->in->price_output, w->all_row[i],
                                  w->all_row[i] + 1, w->cal_p, w->cal_length, w->cal_cost);
        } else {
            p = w->p + w->all_row[i] * m;
            cost = w->c + w->all_row[i] * m;
            tokens = w->length + w->all_row[i] * m;
        }
    }
    for (int32_t b = 0; b < w->in->n_budgets; b++)
        for (int kind = 0; kind < SG__KINDS; kind++) {
            const int64_t at = ((int64_t)b * SG__KINDS + kind) * w->all.n + i;
            const struct sg_rule *r = rule_of(w, b, kind);
            /* the models that answer, and their shares: two of a mix */
            int32_t model[2] = {-1, -1};
            double share[2] = {1, 0};
            if (kind == SG_CANDIDATE_ROUTING)
                model[0] = p ? sg_rule_model(r, m, c, p, cost, 0) : -1;
            else if (r->kind == SG_CANDIDATE_TABLE)
                model[0] = r->table[c];
            else if (r->from >= 0)
                model[0] = r->from, model[1] = r->to, share[0] = 1 - r->weight, share[1] = r->weight;
            if (kind == SG__INCUMBENT &&
                w->in->policy) { /* a given policy says nothing of other rows than its own */
                for (int32_t k = 0; k < m && w->measured; k++) {
                    const double part = sg_given_policy_share(w->in->policy, w->query[w->all_row[i]], k);
                    if (part > 0) value_answer(w, i, at, k, part, true, p, tokens);
                }
                continue;
            }
            for (int a = 0; a < 2; a++)
                if (model[a] >= 0 && share[a] > 0)
                    value_answer(w, i, at, model[a], share[a], kind != SG_CANDIDATE_ROUTING, p, tokens);
        }
}

/* What a model's answers cost in a category, in the lengths that were measured where any were. */
static void take_costs(const struct sg__work *w, double *cost) {
    for (int64_t i = 0; i < (int64_t)w->nc * w->m; i++)
        cost[i] = w->mean_cost[i] +
                  (w->outcomes.count[i] > 0
                       ? w->in->price_output[i % w->m] * (w->outcomes.mean_length[i] - w->mean_length[i])
                       : 0);
}

/* What the answer of model k to row i costs more than its answers do in the row's category. */
static double dearer(const struct sg__work *w, int64_t i, int32_t k) {
    const int64_t at = i * w->m + k, c = (int64_t)w->all_category[i] * w->m + k;
    if (k < 0 || !(w->h[at] > 0)) return 0;
    const double length = w->all_length[at] - w->mean_length[c];
    return w->h[at] * (w->mean_cost[c] + w->in->price_output[k] * length - w->full_cost[c]);
}

/* Adds to the bills of a split's tables what choosing them flatters: a table takes the models that seem cheap in a category,
 * by luck too. Built without a fold it costs more on that fold than on the outcomes that it was built from; (K - 1) / K of
 * the mean over the folds is the optimism of what all outcomes chose (Efron 2004, "The Estimation of Prediction Error"; of
 * a minimum: Tibshirani and Tibshirani 2009). By row: by the table built without it, less the mean over the K tables. */
static void add_optimism(struct sg__work *w) {
    const int32_t folds = w->in->folds;
    const int64_t cells = (int64_t)w->in->n_budgets * w->nc;
    for (int64_t cell = 0; cell < cells; cell++) {
        int32_t *k = w->fold_tables + cell, other = 0;
        for (int32_t f = 1; f < folds; f++) other += k[f * cells] != k[0];
        if (!other) k[0] = -1; /* all folds agree: no choice, no luck */
    }
    for (int64_t i = 0; i < w->all.n; i++)
        for (int32_t b = 0; b < w->in->n_budgets && w->stratum[i] >= 0; b++) {
            const int32_t *k = w->fold_tables + (int64_t)b * w->nc + w->all_category[i];
            if (k[0] < 0) continue;
            double more = dearer(w, i, k[w->fold_all[i] * cells]);
            for (int32_t f = 0; f < folds; f++) more -= dearer(w, i, k[f * cells]) / folds;
            w->blind_c[((int64_t)b * SG__KINDS + SG__NAMED + SG_CANDIDATE_TABLE) * w->all.n + i] += more;
        }
}

static enum sg_status value_fold(struct sg__work *w, uint8_t fold, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t i = 0; i < w->all.n; i++) {
        w->use[i] = w->fold_all[i] != fold;
        w->build[i] = w->use[i] && builds(w, i);
    }
    for (int64_t q = 0; q < w->n; q++) w->pick[q] = w->fold_query[q] == fold;
    SG_TRY(fit_queries(w, w->use, err));
    struct sg__rule_input ri = rule_input(w, w->fold_cost);
    /* as if these were all outcomes: for add_optimism */
    take_costs(w, w->fold_cost);
    ri.blind = true;
    SG_TRY(
        sg__rules_make(&ri, w->rule, w->fold_tables + (int64_t)fold * w->in->n_budgets * w->nc, NULL, err));
    ri.mean_cost = w->full_cost;
    ri.blind = w->measured;
    const struct sg__routing_sums sums = {
        .pick = w->pick, .p = w->sum_p, .c = w->sum_c, .planned = w->planned};
    SG_TRY(sg__rules_make(&ri, w->rule, w->tables, &sums, err));
    for (int32_t b = 0; b < w->in->n_budgets && !w->measured; b++)
        for (int kind = 0; kind < SG__KINDS; kind++) {
            const int32_t at = b * SG__KINDS + kind;
            double p = 0, c = 0;
            if (kind == SG_CANDIDATE_ROUTING) {
                p = w->sum_p[b];
                c = w->sum_c[b];
            }
            const bool given = kind == SG__INCUMBENT && w->in->policy;
            if (given && b) p = w->fold_given[0], c = w->fold_given[1];
            if (given && !b) given_sums(w, &p, &c), w->fold_given[0] = p, w->fold_given[1] = c;
            for (int32_t g = 0; g < w->nc && kind != SG_CANDIDATE_ROUTING && !given; g++)
                for (int32_t k = 0; k < w->m; k++) {
                    const double share = sg__rule_share(rule_of(w, b, kind), g, k);
                    p += share * w->pick_p[(int64_t)g * w->m + k];
                    c += share * w->pick_c[(int64_t)g * w->m + k];
                }
            w->q_p[at] += p / (double)w->n;
            w->q_c[at] += c / (double)w->n;
        }
    for (int64_t i = 0; i < w->all.n; i++)
        if (w->stratum[i] >= 0 && !w->use[i]) value_row(w, i);
out:
    return st;
}

static enum sg_status single_values(const struct sg__work *w, struct sg_decision *out, double *tmp,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(SG_NEW(&out->single_accuracy, w->m, "models", err));
    SG_TRY(SG_NEW(&out->single_cost, w->m, "models", err));
    SG_TRY(SG_NEW(&out->single_value, w->m, "models", err));
    SG_TRY(SG_NEW(&out->single_bill, w->m, "models", err));
    const struct sg__rule_input ri = rule_input(w, w->full_cost);
    for (int32_t k = 0; k < w->m; k++) {
        const struct sg_rule one = {.kind = SG_CANDIDATE_SINGLE, .from = k, .to = -1};
        for (int64_t i = 0; i < w->all.n; i++) {
            const double mean = w->outcomes.mean[(int64_t)w->all_category[i] * w->m + k];
            tmp[i] = w->h[i * w->m + k] > 0
                         ? mean + w->h[i * w->m + k] * (w->all_correct[i * w->m + k] - mean)
                         : mean;
        }
        struct sg__estimate e = sg__value(&w->valued, tmp, NULL, 0);
        sg__add_model_holes(w, k, false, &e);
        out->single_value[k] = sg__interval_accuracy(&w->valued, e);
        for (int64_t i = 0; i < w->all.n; i++) {
            const int64_t at = i * w->m + k, c = (int64_t)w->all_category[i] * w->m + k;
            const double mean = w->outcomes.mean_length[c];
            const double extra = w->h[at] > 0 ? w->h[at] * (w->all_length[at] - mean) : 0;
            tmp[i] = w->full_cost[c] + w->in->price_output[k] * extra;
            if (w->measured && w->h[at] > 0)
                tmp[i] = w->h[at] * (w->input_cost[w->all_row[i] * w->m + k] +
                                     w->in->price_output[k] * w->all_length[at]);
        }
        e = sg__value(&w->valued, tmp, NULL, 0);
        sg__add_model_holes(w, k, true, &e);
        out->single_bill[k] = sg__interval_cost(e);
        out->single_accuracy[k] = sg__rule_mean(&one, &ri, w->outcomes.mean);
        out->single_cost[k] = sg__rule_mean(&one, &ri, w->full_cost);
    }
out:
    return st;
}

static enum sg_status new_work(struct sg__work *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t cells = (int64_t)w->nc * w->m, nb = w->in->n_budgets;
    const int64_t values_n = nb * SG__KINDS * w->all.n;
    SG_TRY(SG_NEW(&w->fold_all, w->all.n, "folds", err));
    SG_TRY(SG_NEW(&w->fold_query, w->n, "folds", err));
    SG_TRY(SG_NEW(&w->use, w->all.n, "folds", err));
    SG_TRY(SG_NEW(&w->build, w->all.n, "folds", err));
    SG_TRY(SG_NEW(&w->pick, w->n, "folds", err));
    SG_TRY(SG_NEW(&w->p, w->n * w->m, "estimates", err));
    SG_TRY(SG_NEW(&w->c, w->n * w->m, "estimates", err));
    SG_TRY(SG_NEW(&w->length, w->n * w->m, "estimates", err));
    SG_TRY(SG_NEW(&w->mean_p, 6 * cells, "estimates", err));
    SG_TRY(SG_NEW(&w->cal_p, 3 * w->m, "estimates", err));
    SG_TRY(SG_NEW(&w->full_cost, 2 * cells, "estimates", err));
    SG_TRY(SG_NEW(&w->sum_p, 3 * nb, "budgets", err));
    SG_TRY(SG_NEW(&w->rule, nb * SG_CANDIDATES, "budgets", err));
    SG_TRY(SG_NEW(&w->tables, nb * w->nc * (1 + w->in->folds), "budgets", err));
    if (w->in->portfolio) SG_TRY(SG_NEW(&w->kept, nb * w->m, "budgets", err));
    SG_TRY(SG_NEW(&w->tolls, nb * w->m, "budgets", err));
    SG_TRY(SG_NEW(&w->blind_y, 4 * values_n, "values", err));
    SG_TRY(SG_NEW(&w->single, w->m, "models", err));
    SG_TRY(SG_NEW(&w->mean_gain, w->all.n + 2 * nb + w->in->splits * (1 + 3 * nb), "values", err));
    w->preferred = w->mean_gain + w->all.n;
    w->split_gain = w->preferred + 2 * nb;
    w->routed = w->split_gain + w->in->splits;
    SG_TRY(SG_NEW(&w->q_p, 2 * nb * SG__KINDS + 4 * nb * SG_CANDIDATES * SG__MOVES, "values", err));
    w->fold_cost = w->full_cost + cells;
    w->fold_tables = w->tables + nb * w->nc;
    w->mean_length = w->mean_p + cells;
    w->mean_cost = w->mean_p + 2 * cells;
    w->pick_p = w->mean_p + 3 * cells;
    w->pick_c = w->mean_p + 4 * cells;
    w->cal_length = w->cal_p + w->m;
    w->cal_cost = w->cal_p + 2 * w->m;
    w->sum_c = w->sum_p + nb;
    w->planned = w->sum_p + 2 * nb;
    w->blind_c = w->blind_y + values_n;
    w->paired_y = w->blind_y + 2 * values_n;
    w->paired_c = w->blind_y + 3 * values_n;
    w->q_c = w->q_p + nb * SG__KINDS;
    w->split = w->q_c + nb * SG__KINDS;
out:
    return st;
}

enum sg_status sg_decide(const struct sg_decision_input *in, struct sg_decision *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__work w = {
        .in = in,
        .m = in->m,
        .nc = in->n_categories,
        .incumbent = {.kind = SG_CANDIDATE_SINGLE, .affordable = true, .from = in->incumbent, .to = -1}};
    struct sg_decision d = {.m = in->m, .n_categories = in->n_categories, .n_steps = in->n_budgets};
    double *tmp = NULL;
    SG_TRY(take_queries(&w, err));
    SG_TRY(take_outcomes(&w, err));
    SG_TRY(stratify(&w, &d, err));
    SG_TRY(new_work(&w, err));
    SG_TRY(SG_NEW(&tmp, w.all.n, "values", err));
    SG_TRY(SG_NEW(&d.step, in->n_budgets, "decision", err));
    SG_TRY(SG_NEW(&d.tables, (int64_t)in->n_budgets * in->n_categories, "decision", err));
    SG_TRY(SG_NEW(&d.tolls, (int64_t)in->n_budgets * in->m, "decision", err));
    if (in->portfolio) SG_TRY(SG_NEW(&d.kept, (int64_t)in->n_budgets * in->m, "decision", err));
    SG_TRY(SG_NEW(&d.weight, in->n_categories, "decision", err));
    memcpy(d.weight, w.weight, sizeof *d.weight * (size_t)in->n_categories);
    /* with all outcomes: what is advised, and what budgets afford */
    for (int64_t i = 0; i < w.all.n; i++) w.build[i] = builds(&w, i);
    SG_TRY(fit_queries(&w, NULL, err));
    take_costs(&w, w.full_cost);
    struct sg__rule_input ri = rule_input(&w, w.full_cost);
    ri.tolls = d.tolls;
    ri.kept = d.kept;
    const struct sg__routing_sums sums = {.pick = w.pick, .p = w.sum_p, .c = w.sum_c, .planned = w.planned};
    SG_TRY(sg__rules_make(&ri, w.rule, d.tables, &sums, err));
    for (int32_t b = 0; b < in->n_budgets; b++) {
        d.step[b].budget = in->budgets[b];
        for (int k = 0; k < SG_CANDIDATES; k++) {
            struct sg_candidate_value *v = &d.step[b].candidate[k];
            v->rule = w.rule[b * SG_CANDIDATES + k];
            v->planned_cost = k == SG_CANDIDATE_ROUTING ? w.planned[b]
                              : v->rule.affordable      ? sg__rule_mean(&v->rule, &ri, w.full_cost)
                                                        : (double)NAN;
        }
    }
    if (in->portfolio) memcpy(w.kept, d.kept, (size_t)in->n_budgets * (size_t)in->m);
    w.out = &d;
    SG_TRY(sg__find_holes(&w, err));
    SG_TRY(sg__find_unseen(&w, err));
    SG_TRY(single_values(&w, &d, tmp, err));
    if (in->policy && !in->splits) { /* its planned bill */
        memset(w.pick, 1, (size_t)w.n);
        given_sums(&w, &d.policy_accuracy.value, &d.policy_cost.value);
        d.policy_accuracy.value /= (double)w.n;
        d.policy_cost.value /= (double)w.n;
    }
    d.fit = w.fit;
    w.fit = (struct sg_estimate_fit){0};
    for (int32_t split = 0; split < in->splits; split++) {
        SG_TRY(deal_split(&w, split, err));
        for (int32_t f = 0; f < in->folds; f++) SG_TRY(value_fold(&w, (uint8_t)f, err));
        add_optimism(&w);
        sg__note_split(&w, split, tmp);
    }
    const int64_t n_values = 4 * (int64_t)in->n_budgets * SG__KINDS * w.all.n;
    if (!in->splits) { /* the models' means alone were asked for */
        *out = d;
        d = (struct sg_decision){0};
        goto out;
    }
    for (int64_t i = 0; i < n_values; i++) w.blind_y[i] /= in->splits;
    for (int32_t i = 0; i < 2 * in->n_budgets * SG__KINDS; i++) w.q_p[i] /= in->splits;
    sg__answer(&w, &d, tmp);
    if (in->policy) sg__value_given(&w, &d);
    *out = d;
out:
    work_free(&w);
    free(tmp);
    if (st != SG_OK) sg_decision_free(&d);
    return st;
}

void sg_decision_free(struct sg_decision *d) {
    if (!d) return;
    free(d->step);
    free(d->single_accuracy);
    free(d->single_cost);
    free(d->single_value);
    free(d->single_bill);
    free(d->weight);
    free(d->tables);
    free(d->tolls);
    free(d->kept);
    sg_estimate_fit_free(&d->fit);
    memset(d, 0, sizeof *d);
}

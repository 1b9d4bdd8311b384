#include "decision_portfolio.h"

#include "base/mem.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HALVINGS = 18 };
static const double dearest = 1e4; /* the largest lambda is this by the budget */

struct search {
    int64_t n;
    int32_t m, size;
    double *p, *c; /* [m * n] by model; no candidate: p -INFINITY, c 0 */
    const double *cap;
    double *mean_c; /* [m] what each costs alone */
    bool room;      /* sets whose caps cannot keep the budget are left out, as long as others are there */
    double *v;      /* [m * n] p - lambda c */
    double *most;   /* [(size + 1) * n] the largest v of the first models of a set */
    double lambda, budget;
    /* sets of the enumeration */
    int32_t *set; /* [n_sets * size] */
    double *bound;
    int64_t n_sets;
    int32_t *now, *best; /* [size] */
};

/* The routing of a set at a price of money: its mean p - lambda c, and what it spends. */
static double at_lambda(const struct search *s, const int32_t *set, double lambda, double *spent) {
    double sum = 0, cost = 0;
    for (int64_t q = 0; q < s->n; q++) {
        double most = -INFINITY, c = 0;
        for (int32_t i = 0; i < s->size; i++) {
            const int64_t at = set[i] * s->n + q;
            const double v = s->p[at] - lambda * s->c[at];
            if (v > most || (v == most && s->c[at] < c)) {
                most = v;
                c = s->c[at];
            }
        }
        if (isinf(most)) {
            *spent = INFINITY; /* models without any estimate */
            return -INFINITY;
        }
        sum += most;
        cost += c;
    }
    *spent = cost / (double)s->n;
    return sum / (double)s->n;
}

/* What a set is worth at the budget; -INFINITY: it does not fit. */
static double value(const struct search *s, const int32_t *set, double *lambda) {
    double high = dearest / fmax(s->budget, 1e-12), low = high * 1e-12, spent, best;
    *lambda = 0;
    best = at_lambda(s, set, 0, &spent);
    if (spent <= s->budget || isinf(best)) return best;
    double worth = at_lambda(s, set, high, &spent);
    if (spent > s->budget * (1 + 1e-9)) return -INFINITY;
    best = fmin(best, worth + high * s->budget);
    for (int i = 0; i < HALVINGS && high > low * (1 + 1e-3); i++) {
        const double mid = sqrt(low * high);
        worth = at_lambda(s, set, mid, &spent) + mid * s->budget;
        if (worth < best) {
            best = worth;
            *lambda = mid;
        }
        if (spent > s->budget)
            low = mid;
        else
            high = mid;
    }
    return best;
}

/* Whether the models of a set may answer all queries together, and (room) can within the budget: the cheapest as many as
 * its cap allows, then the next. */
static bool caps_allow(const struct search *s, const int32_t *set) {
    double left = 1, spent = 0;
    int32_t last = -1;
    if (!s->cap) return true;
    for (int32_t i = 0; i < s->size && left > 1e-9; i++) {
        int32_t next = -1;
        for (int32_t j = 0; j < s->size; j++) { /* by cost, then by model */
            const int32_t k = set[j];
            const double c = s->mean_c[k];
            const bool after = last < 0 || c > s->mean_c[last] || (c == s->mean_c[last] && k > last);
            if (after && (next < 0 || c < s->mean_c[next] || (c == s->mean_c[next] && k < next))) next = k;
        }
        last = next;
        const double share = fmin(left, s->cap[last]);
        left -= share;
        if (share > 0) spent += share * s->mean_c[last];
    }
    return left <= 1e-9 && (!s->room || spent <= s->budget * (1 + 1e-9));
}

/* All sets that begin with now[0..depth), with their bounds. */
static void enumerate(struct search *s, int32_t depth, int32_t from) {
    const double *restrict before = s->most + depth * s->n;
    if (depth == s->size) {
        double sum = 0;
        if (!caps_allow(s, s->now)) return;
        for (int64_t q = 0; q < s->n; q++) sum += before[q];
        s->bound[s->n_sets] = sum / (double)s->n + s->lambda * s->budget;
        memcpy(s->set + s->n_sets++ * s->size, s->now, sizeof *s->now * (size_t)s->size);
        return;
    }
    double *restrict after = s->most + (depth + 1) * s->n;
    for (int32_t k = from; k <= s->m - (s->size - depth); k++) {
        const double *restrict v = s->v + k * s->n;
        for (int64_t q = 0; q < s->n; q++) after[q] = v[q] > before[q] ? v[q] : before[q];
        s->now[depth] = k;
        enumerate(s, depth + 1, k + 1);
    }
}

static enum sg_status best_of_all(struct search *s, uint32_t *order, double *found, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double lambda;
    s->n_sets = 0;
    for (int64_t i = 0; i < s->m * s->n; i++) s->v[i] = s->p[i] - s->lambda * s->c[i];
    for (int64_t q = 0; q < s->n; q++) s->most[q] = -INFINITY;
    enumerate(s, 0, 0);
    SG_TRY(sg_sort_order(s->bound, s->n_sets, true, order, err));
    for (int64_t i = 0; i < s->n_sets && s->bound[order[i]] > *found; i++) {
        const int32_t *set = s->set + (int64_t)order[i] * s->size;
        const double worth = value(s, set, &lambda);
        if (worth <= *found) continue;
        *found = worth;
        memcpy(s->best, set, sizeof *set * (size_t)s->size);
    }
out:
    return st;
}

static bool holds(const int32_t *set, int32_t size, int32_t k) {
    for (int32_t i = 0; i < size; i++)
        if (set[i] == k) return true;
    return false;
}

/* Exchanges a model of `best` as long as one is found that makes it worth more. */
static void exchange(struct search *s, double *found) {
    double lambda;
    bool better = true;
    *found = caps_allow(s, s->best) ? value(s, s->best, &lambda) : -INFINITY;
    while (better) {
        better = false;
        for (int32_t i = 0; i < s->size; i++)
            for (int32_t k = 0; k < s->m; k++) {
                if (holds(s->best, s->size, k)) continue;
                memcpy(s->now, s->best, sizeof *s->now * (size_t)s->size);
                s->now[i] = k;
                const double worth = caps_allow(s, s->now) ? value(s, s->now, &lambda) : -INFINITY;
                if (worth <= *found + 1e-12) continue;
                *found = worth;
                memcpy(s->best, s->now, sizeof *s->now * (size_t)s->size);
                better = true;
            }
    }
}

/* How many sets of `size` of m models there are; m at most SG__PORTFOLIO_EXACT. */
static int64_t choose(int32_t m, int32_t size) {
    int64_t n = 1;
    for (int32_t i = 0; i < size; i++) n = n * (m - i) / (i + 1);
    return n;
}

/* The estimates of model k. A query without one has their mean: it would be answered by a model that stands in. */
static void take(struct search *s, int32_t k, const double *p, const double *c) {
    double *to_p = s->p + k * s->n, *to_c = s->c + k * s->n, mean_p = 0, mean_c = 0, some = 0;
    for (int64_t q = 0; q < s->n; q++) {
        to_p[q] = p[q * s->m + k];
        to_c[q] = c[q * s->m + k];
        if (isnan(to_p[q]) || isnan(to_c[q])) continue;
        mean_p += to_p[q];
        mean_c += to_c[q];
        some++;
    }
    for (int64_t q = 0; q < s->n; q++) {
        if (!isnan(to_p[q]) && !isnan(to_c[q])) continue;
        to_p[q] = some > 0 ? mean_p / some : -INFINITY;
        to_c[q] = some > 0 ? mean_c / some : 0;
    }
    s->mean_c[k] = some > 0 ? mean_c / some : INFINITY;
}

enum sg_status sg__portfolio(int64_t n, int32_t m, const double *p, const double *c, const double *cap,
                             int32_t size, const double *budgets, int32_t n_budgets, uint8_t *in,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct search s = {
        .n = n < SG__PORTFOLIO_ROWS ? n : SG__PORTFOLIO_ROWS, .m = m, .size = size, .cap = cap};
    const bool exact = m <= SG__PORTFOLIO_EXACT;
    const int64_t cells = m * s.n, sets = exact ? choose(m, size) : 0;
    uint32_t *order = NULL;
    int32_t *all = NULL;
    SG_TRY(SG_NEW(&s.p, 3 * cells, "portfolio", err));
    SG_TRY(SG_NEW(&s.most, (size + 1) * s.n, "portfolio", err));
    SG_TRY(SG_NEW(&s.set, sets * size, "portfolio", err));
    SG_TRY(SG_NEW(&s.bound, sets, "portfolio", err));
    SG_TRY(SG_NEW(&order, sets, "portfolio", err));
    SG_TRY(SG_NEW(&s.now, 2 * size, "portfolio", err));
    SG_TRY(SG_NEW(&all, m, "portfolio", err));
    SG_TRY(SG_NEW(&s.mean_c, m, "portfolio", err));
    s.c = s.p + cells;
    s.v = s.p + 2 * cells;
    s.best = s.now + size;
    for (int32_t k = 0; k < m; k++) {
        all[k] = k;
        take(&s, k, p, c);
    }
    memset(in, 0, (size_t)n_budgets * (size_t)m);
    for (int32_t i = 0; i < size; i++) s.best[i] = i;
    for (int32_t b = 0; b < n_budgets; b++) {
        double found = -INFINITY;
        s.budget = budgets[b];
        s.size = m;
        value(&s, all, &s.lambda); /* of all models: where a set is near them its bound is tight */
        s.size = size;
        for (int strict = cap != NULL; strict >= 0 && isinf(found); strict--) {
            s.room = strict;
            if (exact)
                SG_TRY(best_of_all(&s, order, &found, err));
            else
                exchange(&s, &found);
        }
        for (int32_t i = 0; i < size && found > -INFINITY; i++) in[(int64_t)b * m + s.best[i]] = 1;
    }
out:
    free(s.p);
    free(s.most);
    free(s.set);
    free(s.bound);
    free(s.now);
    free(s.mean_c);
    free(order);
    free(all);
    return st;
}

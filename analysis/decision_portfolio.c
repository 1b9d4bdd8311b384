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
    double *routed; /* [2 * n] of at_lambda */
    double *rest;   /* [(m + 1) * n] the largest v of the models from one on */
    double lambda, budget, floor;
    /* sets of the enumeration */
    int32_t *set;  /* [n_sets * size] candidates */
    double *bound; /* [n_sets] */
    int64_t n_sets;
    int32_t *now, *best; /* [size] */
};

/* The routing of a set at a price of money: its mean p - lambda c, and what it spends. By model first, without branches: the
 * compiler makes vector code of it. */
static double at_lambda(const struct search *s, const int32_t *set, double lambda, double *spent) {
    double *restrict most = s->routed, *restrict paid = s->routed + s->n;
    double sum = 0, cost = 0;
    for (int64_t q = 0; q < s->n; q++) {
        most[q] = -INFINITY;
        paid[q] = 0;
    }
    for (int32_t i = 0; i < s->size; i++) {
        const double *restrict p = s->p + set[i] * s->n, *restrict c = s->c + set[i] * s->n;
        for (int64_t q = 0; q < s->n; q++) {
            const double v = p[q] - lambda * c[q];
            const bool better = (v > most[q]) | ((v == most[q]) & (c[q] < paid[q]));
            most[q] = better ? v : most[q];
            paid[q] = better ? c[q] : paid[q];
        }
    }
    for (int64_t q = 0; q < s->n; q++) {
        sum += most[q];
        cost += paid[q];
    }
    if (isinf(sum)) cost = INFINITY; /* models without any estimate */
    *spent = cost / (double)s->n;
    return sum / (double)s->n;
}

/* What a set is worth at the budget; -INFINITY: it does not fit. What is below `least` is no more than a bound: every
 * lambda bounds it from above, so the search for the best of them ends there. */
static double value(const struct search *s, const int32_t *set, double least, double *lambda) {
    double high = dearest / fmax(s->budget, 1e-12), low = high * 1e-12, spent, best;
    *lambda = 0;
    best = at_lambda(s, set, 0, &spent);
    if (spent <= s->budget || isinf(best) || best < least) return best;
    double worth = at_lambda(s, set, high, &spent);
    if (spent > s->budget * (1 + 1e-9)) return -INFINITY;
    best = fmin(best, worth + high * s->budget);
    for (int i = 0; i < HALVINGS && high > low * (1 + 1e-3) && best >= least; i++) {
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

/* The mean of the larger ones of a and b. Eight sums: of one the additions would wait for each other. */
static double mean_of_larger(const double *restrict a, const double *restrict b, int64_t n) {
    double part[8] = {0}, sum = 0;
    int64_t q = 0;
    for (; q + 8 <= n; q += 8)
        for (int i = 0; i < 8; i++) part[i] += a[q + i] > b[q + i] ? a[q + i] : b[q + i];
    for (; q < n; q++) part[0] += fmax(a[q], b[q]);
    for (int i = 0; i < 8; i++) sum += part[i];
    return sum / (double)n;
}

/* The sets that begin with now[0..depth) and whose bound at s->lambda is not below s->floor. */
static void enumerate(struct search *s, int32_t depth, int32_t from) {
    const double *restrict before = s->most + depth * s->n;
    double *restrict after = s->most + (depth + 1) * s->n;
    const double floor = s->floor - s->lambda * s->budget;
    for (int32_t k = from; k <= s->m - (s->size - depth); k++) {
        const double *restrict v = s->v + k * s->n;
        s->now[depth] = k;
        if (depth + 1 == s->size) {
            const double mean = mean_of_larger(v, before, s->n);
            if (mean < floor || !caps_allow(s, s->now)) continue;
            s->bound[s->n_sets] = mean;
            memcpy(s->set + s->n_sets++ * s->size, s->now, sizeof *s->now * (size_t)s->size);
            continue;
        }
        if (mean_of_larger(s->rest + k * s->n, before, s->n) < floor) break; /* with all from k on */
        for (int64_t q = 0; q < s->n; q++) after[q] = v[q] > before[q] ? v[q] : before[q];
        enumerate(s, depth + 1, k + 1);
    }
}

/* s->set: all sets that may be worth at least `least`, by the bound at a lambda. */
static void candidates(struct search *s, double lambda, double least) {
    s->n_sets = 0;
    s->lambda = lambda;
    /* a bound's own rounding, 1e-13 of these, must not leave a set out */
    s->floor = least - 1e-9 * (1 + fabs(least) + lambda * s->budget);
    for (int64_t i = 0; i < s->m * s->n; i++) s->v[i] = s->p[i] - lambda * s->c[i];
    for (int32_t k = s->m - 1; k >= 0; k--) {
        const double *restrict v = s->v + k * s->n, *restrict behind = s->rest + (k + 1) * s->n;
        double *restrict rest = s->rest + k * s->n;
        for (int64_t q = 0; q < s->n; q++) rest[q] = k + 1 < s->m && behind[q] > v[q] ? behind[q] : v[q];
    }
    for (int64_t q = 0; q < s->n; q++) s->most[q] = -INFINITY;
    enumerate(s, 0, 0);
}

/* Of sets that are worth the same, equal[n] in s->set, into best the one whose bound is largest at the lambda of all models;
 * of those the first. */
static void best_of_equals(struct search *s, const int32_t *all, const uint32_t *equal, int64_t n) {
    const int32_t size = s->size;
    double most = -INFINITY, at, spent;
    uint32_t first = 0;
    s->size = s->m;
    value(s, all, -INFINITY, &at);
    s->size = size;
    for (int64_t i = 0; i < n; i++) {
        const double bound = at_lambda(s, s->set + (int64_t)equal[i] * size, at, &spent);
        if (bound < most || (bound == most && equal[i] > first)) continue;
        most = bound;
        first = equal[i];
    }
    memcpy(s->best, s->set + (int64_t)first * size, sizeof *s->best * (size_t)size);
}

/* Into best the set that is worth most. best: the one to begin with, that of the last budget, which leaves few others to be
 * valued; whichever is worth more takes its place. all [m]: every model. order: [2 * sets]. */
static enum sg_status best_of_all(struct search *s, const int32_t *all, uint32_t *order, double *found,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    const size_t bytes = sizeof *s->best * (size_t)s->size;
    double lambda = 0, at;
    int64_t n_equal;
    bool better;
    *found = caps_allow(s, s->best) ? value(s, s->best, -INFINITY, &lambda) : -INFINITY;
    do {
        candidates(s, lambda, *found);
        SG_TRY(sg_sort_order(s->bound, s->n_sets, true, order, err));
        uint32_t *equal = order + s->n_sets;
        n_equal = 0;
        better = false;
        for (int64_t i = 0; i < s->n_sets && !better; i++) {
            const int32_t *set = s->set + (int64_t)order[i] * s->size;
            const double worth = memcmp(set, s->best, bytes) ? value(s, set, *found, &at) : *found;
            if (worth == *found) equal[n_equal++] = order[i];
            if (worth <= *found) continue;
            *found = worth;
            lambda = at;
            memcpy(s->best, set, bytes);
            better = true;
        }
        if (!better && n_equal > 1 && *found > -INFINITY) best_of_equals(s, all, equal, n_equal);
    } while (better);
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
    *found = caps_allow(s, s->best) ? value(s, s->best, -INFINITY, &lambda) : -INFINITY;
    while (better) {
        better = false;
        for (int32_t i = 0; i < s->size; i++)
            for (int32_t k = 0; k < s->m; k++) {
                if (holds(s->best, s->size, k)) continue;
                memcpy(s->now, s->best, sizeof *s->now * (size_t)s->size);
                s->now[i] = k;
                const double worth = caps_allow(s, s->now) ? value(s, s->now, *found, &lambda) : -INFINITY;
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
    SG_TRY(SG_NEW(&s.routed, 2 * s.n, "portfolio", err));
    SG_TRY(SG_NEW(&s.rest, cells + s.n, "portfolio", err));
    SG_TRY(SG_NEW(&s.bound, sets, "portfolio", err));
    SG_TRY(SG_NEW(&order, 2 * sets, "portfolio", err));
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
        for (int strict = cap != NULL; strict >= 0 && isinf(found); strict--) {
            s.room = strict;
            if (exact)
                SG_TRY(best_of_all(&s, all, order, &found, err));
            else
                exchange(&s, &found);
        }
        for (int32_t i = 0; i < size && found > -INFINITY; i++) in[(int64_t)b * m + s.best[i]] = 1;
    }
out:
    free(s.p);
    free(s.most);
    free(s.set);
    free(s.routed);
    free(s.rest);
    free(s.bound);
    free(s.now);
    free(s.mean_c);
    free(order);
    free(all);
    return st;
}

#include "decision_limits.h"

#include "base/mem.h"
#include "base/rng.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SWEEPS = 40, MOST_HALVINGS = 60 };
/* where lambda begins: a cost of this part of the budget outweighs one in accuracy */
static const double dearest = 1e4, tie_break = 2e-4;

enum sg_status sg__limited_open(struct sg__limited *x, int64_t n, int32_t m, const double *p, const double *c,
                                const double *cap, const uint8_t *in, struct sg_err *err) {
    enum sg_status st = SG_OK;
    *x = (struct sg__limited){.n = n, .m = m, .p = p, .c = c, .free_cost = (double)NAN};
    SG_TRY(SG_NEW(&x->room, m, "limits", err));
    SG_TRY(SG_NEW(&x->toll, m, "limits", err));
    SG_TRY(SG_NEW(&x->count, m, "limits", err));
    SG_TRY(SG_NEW(&x->model, n, "limits", err));
    SG_TRY(SG_NEW(&x->dearer, n, "limits", err));
    SG_TRY(SG_NEW(&x->kept, n, "limits", err));
    SG_TRY(SG_NEW(&x->kept_toll, m, "limits", err));
    SG_TRY(SG_NEW(&x->margin, n, "limits", err));
    SG_TRY(SG_NEW(&x->tmp, n, "limits", err));
    SG_TRY(SG_NEW(&x->order, n, "limits", err));
    SG_TRY(SG_NEW(&x->by_model, 3 * n * m, "limits", err));
    x->v = x->by_model + 2 * n * m;
    for (int32_t k = 0; k < m; k++) {
        const bool none = (in && !in[k]) || (cap && !(cap[k] > 0));
        x->room[k] = none ? 0 : cap && cap[k] < 1 ? (int64_t)floor(cap[k] * (double)n + 1e-9) : n;
        x->toll[k] = none ? INFINITY : 0;
        /* Accuracies differ by up to 0.0001 more than they do: among many equal ones tolls taken in turn would stop
         * where two capped models are full and have the same queries next in line. */
        for (int64_t q = 0; q < n; q++) {
            const double u = (double)(sg_random64((uint64_t)q, (uint64_t)k) >> 12) / 4503599627370496.0;
            const bool possible = !none && !isnan(p[q * m + k]) && !isnan(c[q * m + k]);
            x->by_model[k * n + q] = possible ? p[q * m + k] + (cap ? tie_break * (u - 0.5) : 0) : -INFINITY;
            x->by_model[(m + k) * n + q] = possible ? c[q * m + k] : 0;
            x->v[k * n + q] = -INFINITY;
        }
    }
out:
    if (st != SG_OK) sg__limited_close(x);
    return st;
}

void sg__limited_close(struct sg__limited *x) {
    if (!x) return;
    void *owned[] = {x->room,  x->toll,     x->count,  x->model, x->margin,   x->tmp,
                     x->order, x->by_model, x->dearer, x->kept,  x->kept_toll};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    memset(x, 0, sizeof *x);
}

/* v of all candidates at a price of money. */
static void value_candidates(struct sg__limited *x, double lambda) {
    for (int32_t k = 0; k < x->m; k++) {
        const double *restrict p = x->by_model + k * x->n, *restrict c = x->by_model + (x->m + k) * x->n;
        double *restrict v = x->v + k * x->n;
        if (isinf(x->toll[k])) continue; /* v is what it was at first: no candidate */
        for (int64_t q = 0; q < x->n; q++) v[q] = p[q] - lambda * c[q];
    }
}

/* The least toll at which no more queries than its room prefer model k. */
static double toll_of(struct sg__limited *x, int32_t k) {
    int64_t over = 0;
    const int64_t n = x->n;
    const double *own = x->v + k * n;
    double *restrict other = x->tmp;
    for (int64_t q = 0; q < n; q++) other[q] = -INFINITY;
    for (int32_t j = 0; j < x->m; j++) {
        const double *restrict v = x->v + j * n, toll = x->toll[j];
        if (j == k || isinf(toll)) continue;
        for (int64_t q = 0; q < n; q++) other[q] = v[q] - toll > other[q] ? v[q] - toll : other[q];
    }
    for (int64_t q = 0; q < n; q++) {
        x->margin[q] = isinf(own[q]) ? -INFINITY : own[q] - other[q];
        over += x->margin[q] > 0;
    }
    if (over <= x->room[k]) return 0;
    memcpy(x->tmp, x->margin, sizeof *x->tmp * (size_t)x->n);
    const double first_out = sg_select(x->tmp, x->n, x->n - 1 - x->room[k]);
    const double last_in = x->room[k] ? sg_select(x->tmp, x->n, x->n - x->room[k]) : INFINITY;
    if (isinf(first_out)) return x->toll[k]; /* more queries than its room have no other candidate */
    /* between both, so that other rows are split as these are */
    return fmax(0, isinf(last_in) ? first_out + 1e-9 : first_out + (last_in - first_out) / 2);
}

static double worth(const struct sg__limited *x, int64_t q, int32_t k) {
    return x->v[k * x->n + q];
}

static bool limited(const struct sg__limited *x, int32_t k) {
    return x->room[k] < x->n && !isinf(x->toll[k]);
}

static enum sg_status keep(struct sg__limited *x, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool moved = true;
    while (moved) {
        moved = false;
        for (int32_t k = 0; k < x->m; k++) {
            if (x->count[k] <= x->room[k]) continue;
            for (int64_t q = 0; q < x->n; q++) {
                double best = -INFINITY;
                for (int32_t j = 0; j < x->m && x->model[q] == k; j++)
                    if (j != k && x->count[j] < x->room[j]) best = fmax(best, worth(x, q, j));
                x->margin[q] = isinf(best) ? INFINITY : worth(x, q, k) - best;
            }
            SG_TRY(sg_sort_order(x->margin, x->n, false, x->order, err));
            for (int64_t i = 0; i < x->n && x->count[k] > x->room[k]; i++) {
                const int64_t q = x->order[i];
                int32_t to = -1;
                if (x->model[q] != k || (isinf(x->margin[q]) && x->margin[q] > 0)) continue;
                for (int32_t j = 0; j < x->m; j++)
                    if (j != k && x->count[j] < x->room[j] && !isinf(worth(x, q, j)) &&
                        (to < 0 || worth(x, q, j) > worth(x, q, to)))
                        to = j;
                if (to < 0) continue;
                x->model[q] = to;
                x->count[k]--;
                x->count[to]++;
                moved = true;
            }
        }
    }
out:
    return st;
}

enum sg_status sg__limited_keep(struct sg__limited *x, double lambda, struct sg_err *err) {
    value_candidates(x, lambda);
    return keep(x, err);
}

static void count_choices(struct sg__limited *x) {
    int64_t n = 0;
    memset(x->count, 0, sizeof *x->count * (size_t)x->m);
    x->mean_p = x->mean_c = 0;
    for (int64_t q = 0; q < x->n; q++) {
        if (x->model[q] < 0) continue;
        x->mean_p += x->p[q * x->m + x->model[q]];
        x->mean_c += x->c[q * x->m + x->model[q]];
        x->count[x->model[q]]++;
        n++;
    }
    x->mean_p /= (double)(n ? n : 1);
    x->mean_c /= (double)(n ? n : 1);
}

/* The policy at a price of money: its mean cost. */
static enum sg_status evaluate(struct sg__limited *x, double lambda, double *cost, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int32_t capped = 0;
    bool over = false;
    value_candidates(x, lambda);
    for (int32_t k = 0; k < x->m; k++) capped += limited(x, k);
    for (int sweep = 0; sweep < (capped > 1 ? MOST_SWEEPS : 1); sweep++) {
        double change = 0;
        for (int32_t k = 0; k < x->m; k++) {
            if (!limited(x, k)) continue;
            const double toll = toll_of(x, k);
            change = fmax(change, fabs(toll - x->toll[k]));
            x->toll[k] = toll;
        }
        if (change < 1e-6) break;
    }
    memset(x->count, 0, sizeof *x->count * (size_t)x->m);
    for (int64_t q = 0; q < x->n; q++) {
        x->model[q] = -1;
        x->tmp[q] = -INFINITY;
    }
    for (int32_t k = 0; k < x->m; k++) {
        const double *v = x->v + k * x->n, toll = x->toll[k];
        for (int64_t q = 0; q < x->n && !isinf(toll); q++) {
            const double w = v[q] - toll, *c = x->c + q * x->m;
            if (isinf(w) || w < x->tmp[q] || (w == x->tmp[q] && !(c[k] < c[x->model[q]]))) continue;
            x->model[q] = k;
            x->tmp[q] = w;
        }
    }
    for (int64_t q = 0; q < x->n; q++)
        if (x->model[q] >= 0) x->count[x->model[q]]++;
    for (int32_t k = 0; k < x->m; k++) over |= x->count[k] > x->room[k];
    if (over) SG_TRY(keep(x, err));
    count_choices(x);
    x->lambda = lambda;
    *cost = x->mean_c;
out:
    return st;
}

/* Accuracy per USD that another model would add to a query; below 0: it adds none. */
static double slope(const struct sg__limited *x, int64_t q, int32_t to) {
    const double *p = x->p + q * x->m, *c = x->c + q * x->m;
    const int32_t from = x->model[q];
    if (from < 0 || to < 0 || isinf(worth(x, q, to)) || p[to] <= p[from]) return -1;
    return c[to] > c[from] ? (p[to] - p[from]) / (c[to] - c[from]) : 1e300;
}

/* Where many queries change their model at one lambda the budget falls among them: those of the dearer policy's
 * choices that still fit, then any that do, the most accuracy per USD first. */
static enum sg_status fill(struct sg__limited *x, double budget, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double left = (budget - x->mean_c) * (double)x->n;
    bool moved = true;
    for (int round = 0; round < 8 && (moved || round < 2); round++) {
        moved = false;
        for (int64_t q = 0; q < x->n; q++) {
            for (int32_t j = 0; round && j < x->m; j++)
                if (x->count[j] < x->room[j] && (j == 0 || slope(x, q, j) > slope(x, q, x->dearer[q])))
                    x->dearer[q] = j;
            x->margin[q] = slope(x, q, x->dearer[q]);
        }
        SG_TRY(sg_sort_order(x->margin, x->n, true, x->order, err));
        for (int64_t i = 0; i < x->n && x->margin[x->order[i]] > 0; i++) {
            const int64_t q = x->order[i];
            const int32_t from = x->model[q], to = x->dearer[q];
            const double more = x->c[q * x->m + to] - x->c[q * x->m + from];
            if (more > left || x->count[to] >= x->room[to]) continue;
            left -= more;
            x->mean_c += more / (double)x->n;
            x->mean_p += (x->p[q * x->m + to] - x->p[q * x->m + from]) / (double)x->n;
            x->model[q] = to;
            x->count[from]--;
            x->count[to]++;
            moved = true;
        }
    }
out:
    return st;
}

/* Notes the policy as the dearest that keeps the budget, or as the cheapest that does not. */
static void note(struct sg__limited *x, bool keeps) {
    memcpy(keeps ? x->kept : x->dearer, x->model, sizeof *x->model * (size_t)x->n);
    if (!keeps) return;
    memcpy(x->kept_toll, x->toll, sizeof *x->toll * (size_t)x->m);
    x->kept_lambda = x->lambda;
}

/* Back to the noted policy. With several caps a policy also depends on where its tolls were looked for from. */
static void restore(struct sg__limited *x) {
    memcpy(x->model, x->kept, sizeof *x->model * (size_t)x->n);
    memcpy(x->toll, x->kept_toll, sizeof *x->toll * (size_t)x->m);
    value_candidates(x, x->kept_lambda);
    count_choices(x);
    x->lambda = x->kept_lambda;
}

enum sg_status sg__limited_at(struct sg__limited *x, double budget, bool *affordable, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const double most = budget * (1 + 1e-9);
    double high = x->start > 0 ? x->start : dearest / fmax(budget, 1e-12), low = high, cost, dear = 0, at;
    if (isnan(x->free_cost)) SG_TRY(evaluate(x, 0, &x->free_cost, err));
    *affordable = true;
    if (x->free_cost <= most) SG_TRY(evaluate(x, 0, &cost, err));
    if (x->free_cost <= most && cost <= most) goto out;
    SG_TRY(evaluate(x, high, &cost, err));
    *affordable = cost <= most;
    if (!*affordable) goto out;
    note(x, true);
    for (int i = 0; i < MOST_HALVINGS && dear <= most; i++) { /* a lambda that costs too much */
        low /= i || x->start > 0 ? 2 : 16;
        SG_TRY(evaluate(x, low, &at, err));
        note(x, at <= most);
        if (at > most) {
            dear = at;
        } else {
            high = low;
            cost = at;
        }
    }
    for (int i = 0;
         i < MOST_HALVINGS && dear > most && cost < budget * (1 - 1e-3) && high > low * (1 + 1e-10); i++) {
        const double part = i % 3 == 2 ? 0.5 : fmin(fmax((budget - cost) / (dear - cost), 0.05), 0.95);
        const double mid = high * pow(low / high, part);
        SG_TRY(evaluate(x, mid, &at, err));
        note(x, at <= most);
        if (at > most) {
            low = mid;
            dear = at;
        } else {
            high = mid;
            cost = at;
        }
    }
    restore(x);
    if (dear > most && cost < budget * (1 - 1e-3)) SG_TRY(fill(x, budget, err));
    x->start = high;
out:
    return st;
}

/* --- tables ------------------------------------------------------------------------------------------- */

enum { MOST_NODES = 20000 };

struct search {
    int32_t n, m;
    const double *y, *z, *weight;
    double budget, lambda, *room, best;
    double *most, *least; /* [n + 1] of the items from i on: the largest y - lambda z, the least z */
    int32_t *at, *here;
    int64_t nodes;
};

static void search(struct search *s, int32_t i, double y, double z) {
    if (s->nodes++ > MOST_NODES) return;
    if (i == s->n) {
        if (!(y > s->best) || z > s->budget) return;
        s->best = y;
        memcpy(s->here, s->at, sizeof *s->here * (size_t)s->n);
        return;
    }
    if (z + s->least[i] > s->budget || y + s->most[i] + s->lambda * (s->budget - z) <= s->best) return;
    const double *yi = s->y + (int64_t)i * s->m, *zi = s->z + (int64_t)i * s->m;
    double last = INFINITY;
    int32_t last_k = -1;
    for (int32_t tried = 0; tried < s->m; tried++) { /* by falling worth */
        int32_t k = -1;
        double w = -INFINITY;
        for (int32_t j = 0; j < s->m; j++) {
            const double v = yi[j] - s->lambda * zi[j];
            if (isnan(v) || v > last || (v == last && j <= last_k) || (k >= 0 && v <= w)) continue;
            k = j;
            w = v;
        }
        if (k < 0) return;
        last = w;
        last_k = k;
        if (s->room[k] < s->weight[i]) continue;
        s->room[k] -= s->weight[i];
        s->at[i] = k;
        search(s, i + 1, y + yi[k], z + zi[k]);
        s->room[k] += s->weight[i];
    }
}

enum sg_status sg__limited_table(int32_t n, int32_t m, const double *y, const double *z, const double *weight,
                                 const double *cap, double budget, double lambda, int32_t *here, bool *found,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct search s = {.n = n,
                       .m = m,
                       .y = y,
                       .z = z,
                       .weight = weight,
                       .budget = budget * (1 + 1e-9),
                       .lambda = lambda,
                       .best = -INFINITY,
                       .here = here};
    SG_TRY(SG_NEW(&s.room, m, "table", err));
    SG_TRY(SG_NEW(&s.most, 2 * ((int64_t)n + 1), "table", err));
    SG_TRY(SG_NEW(&s.at, n, "table", err));
    s.least = s.most + n + 1;
    for (int32_t k = 0; k < m; k++) s.room[k] = cap ? cap[k] + 1e-9 : INFINITY;
    for (int32_t i = n - 1; i >= 0; i--) {
        double most = -INFINITY, least = INFINITY;
        for (int64_t at = (int64_t)i * m; at < (int64_t)(i + 1) * m; at++) {
            if (isnan(y[at]) || isnan(z[at])) continue;
            most = fmax(most, y[at] - lambda * z[at]);
            least = fmin(least, z[at]);
        }
        s.most[i] = s.most[i + 1] + most;
        s.least[i] = s.least[i + 1] + least;
    }
    search(&s, 0, 0, 0);
    *found = s.best > -INFINITY;
out:
    free(s.room);
    free(s.most);
    free(s.at);
    return st;
}

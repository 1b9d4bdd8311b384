#include "frontier.h"

#include "base/mem.h"
#include "sort.h"
#include "sum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Upper concave hull of one query's points from its cheapest model to its best; returns the number of
 * vertices written to hull (room for m). First cuts away what lies on or below the chord from the cheapest to
 * the best point, so that few points are left to sort. */
static int32_t query_hull(const double *p, const double *c, int32_t m, struct sg_point *hull) {
    struct sg_point low = {.model = -1}, top = {.model = -1};
    for (int32_t k = 0; k < m; k++) {
        if (isnan(p[k]) || isnan(c[k])) continue;
        if (low.model < 0 || c[k] < low.c || (c[k] == low.c && p[k] > low.p))
            low = (struct sg_point){c[k], p[k], k};
        if (top.model < 0 || p[k] > top.p || (p[k] == top.p && c[k] < top.c))
            top = (struct sg_point){c[k], p[k], k};
    }
    if (low.model < 0) return 0;
    hull[0] = low;
    if (top.p <= low.p) return 1;
    int32_t n = 1;
    const double run = top.c - low.c, rise = top.p - low.p;
    for (int32_t k = 0; k < m; k++)
        if (p[k] > low.p && c[k] < top.c && (p[k] - low.p) * run > rise * (c[k] - low.c))
            hull[n++] = (struct sg_point){c[k], p[k], k};
    sg_sort_points(hull + 1, n - 1);
    int32_t h = 1;
    for (int32_t i = 1; i <= n; i++) {
        const struct sg_point x = i < n ? hull[i] : top;
        if (x.p <= hull[h - 1].p) continue; /* dearer and no better */
        while (h > 1) {
            const struct sg_point a = hull[h - 2], b = hull[h - 1];
            if ((b.p - a.p) * (x.c - b.c) > (x.p - b.p) * (b.c - a.c)) break;
            h--;
        }
        hull[h++] = x;
    }
    return h;
}

static enum sg_status alloc_steps(struct sg_path *o, int64_t n_steps, struct sg_err *err) {
    enum sg_status st = SG_OK;
    o->n_steps = n_steps;
    SG_TRY(SG_NEW(&o->query, n_steps, "frontier steps", err));
    SG_TRY(SG_NEW(&o->vertex, n_steps, "frontier steps", err));
    SG_TRY(SG_NEW(&o->key, n_steps, "frontier steps", err));
    SG_TRY(SG_NEW(&o->dp, n_steps, "frontier steps", err));
    SG_TRY(SG_NEW(&o->dc, n_steps, "frontier steps", err));
    SG_TRY(SG_NEW(&o->dtp, n_steps, "frontier steps", err));
    SG_TRY(SG_NEW(&o->dtc, n_steps, "frontier steps", err));
    SG_TRY(SG_NEW(&o->stop, n_steps, "frontier steps", err));
out:
    return st;
}

static enum sg_status alloc_start(const struct sg_path_input *in, struct sg_path *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (in->n > INT32_MAX || in->n * (int64_t)in->m >= (int64_t)UINT32_MAX)
        return sg_fail(err, SG_E_UNSUPPORTED,
                       "%lld queries x %d models: at most 4.29 billion cells are analysed at once",
                       (long long)in->n, in->m);
    o->n = in->n;
    o->m = in->m;
    SG_TRY(SG_NEW(&o->first, in->n + 1, "frontier", err));
    SG_TRY(SG_NEW(&o->start_p, in->n, "frontier", err));
    SG_TRY(SG_NEW(&o->start_c, in->n, "frontier", err));
    SG_TRY(SG_NEW(&o->start_tp, in->n, "frontier", err));
    SG_TRY(SG_NEW(&o->start_tc, in->n, "frontier", err));
out:
    return st;
}

static bool is_scored(const struct sg_path_input *in, int64_t q) {
    return in->tp && in->tc && in->scored && in->scored[q];
}

static void set_start(const struct sg_path_input *in, struct sg_path *o, int64_t q) {
    const int64_t at = q * in->m + o->model[o->first[q]];
    o->start_p[q] = in->p[at];
    o->start_c[q] = in->c[at];
    o->start_tp[q] = is_scored(in, q) ? in->tp[at] : 0;
    o->start_tc[q] = is_scored(in, q) ? in->tc[at] : 0;
}

/* Step number s of the walk: query q goes to vertex v. */
static void set_step(const struct sg_path_input *in, struct sg_path *o, int64_t s, int64_t q, uint32_t v,
                     double key, bool stop) {
    const int64_t from = q * in->m + o->model[v - 1], to = q * in->m + o->model[v];
    o->query[s] = (int32_t)q;
    o->vertex[s] = v;
    o->key[s] = key;
    o->dp[s] = in->p[to] - in->p[from];
    o->dc[s] = in->c[to] - in->c[from];
    o->dtp[s] = is_scored(in, q) ? in->tp[to] - in->tp[from] : 0;
    o->dtc[s] = is_scored(in, q) ? in->tc[to] - in->tc[from] : 0;
    o->stop[s] = stop;
}

enum sg_status sg_path_frontier(const struct sg_path_input *in, struct sg_path *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_path o = {.exact = true};
    struct sg_point *hull = NULL;
    double *slope = NULL;
    uint32_t *at = NULL, *order = NULL;
    int32_t *query = NULL;
    size_t cap = 0;
    SG_TRY(alloc_start(in, &o, err));
    SG_TRY(SG_NEW(&hull, in->m + 1, "hull", err));
    for (int64_t q = 0; q < in->n; q++) {
        const int32_t h = query_hull(in->p + q * in->m, in->c + q * in->m, in->m, hull);
        if (!h) {
            st = sg_fail(err, SG_E_INPUT, "query %lld has no model with an estimate", (long long)q);
            goto out;
        }
        SG_TRY(SG_GROW(&o.model, &cap, o.n_vertices + h, "hull vertices", err));
        o.first[q] = (uint32_t)o.n_vertices;
        for (int32_t k = 0; k < h; k++) o.model[o.n_vertices++] = hull[k].model;
        set_start(in, &o, q);
    }
    o.first[in->n] = (uint32_t)o.n_vertices;
    const int64_t n_steps = o.n_vertices - in->n;
    SG_TRY(SG_NEW(&slope, n_steps, "slopes", err));
    SG_TRY(SG_NEW(&at, n_steps, "slopes", err));
    SG_TRY(SG_NEW(&query, n_steps, "slopes", err));
    SG_TRY(SG_NEW(&order, n_steps, "slopes", err));
    int64_t s = 0;
    for (int64_t q = 0; q < in->n; q++) {
        double last = INFINITY;
        for (uint32_t v = o.first[q] + 1; v < o.first[q + 1]; v++, s++) {
            const int64_t a = q * in->m + o.model[v - 1], b = q * in->m + o.model[v];
            const double k = (in->p[b] - in->p[a]) / (in->c[b] - in->c[a]);
            /* slopes of a query fall; rounding must not change the order of its steps */
            slope[s] = last = k < last ? k : last;
            at[s] = v;
            query[s] = (int32_t)q;
        }
    }
    SG_TRY(sg_sort_order(slope, n_steps, true, order, err));
    SG_TRY(alloc_steps(&o, n_steps, err));
    for (int64_t i = 0; i < n_steps; i++)
        set_step(in, &o, i, query[order[i]], at[order[i]], slope[order[i]], true);
    *out = o;
out:
    free(hull);
    free(slope);
    free(at);
    free(query);
    free(order);
    if (st != SG_OK) sg_path_free(&o);
    return st;
}

enum sg_status sg_path_choices(const struct sg_path_input *in, const int32_t *choice, const double *knob,
                               int64_t n_knobs, struct sg_path *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_path o = {0};
    const int64_t n = in->n;
    int64_t n_steps = 0, s = 0;
    uint32_t *here = NULL;
    SG_TRY(alloc_start(in, &o, err));
    for (int64_t k = 1; k < n_knobs; k++)
        for (int64_t q = 0; q < n; q++) n_steps += choice[k * n + q] != choice[(k - 1) * n + q];
    if (n_steps + n >= (int64_t)UINT32_MAX) {
        st =
            sg_fail(err, SG_E_UNSUPPORTED, "a family of %lld policies changes too often", (long long)n_knobs);
        goto out;
    }
    o.n_vertices = n_steps + n;
    SG_TRY(SG_NEW(&o.model, o.n_vertices, "policy vertices", err));
    SG_TRY(SG_NEW(&here, n, "policy vertices", err));
    SG_TRY(alloc_steps(&o, n_steps, err));
    uint32_t v = 0;
    for (int64_t q = 0; q < n; q++) {
        o.first[q] = here[q] = v;
        o.model[v++] = choice[q];
        for (int64_t k = 1; k < n_knobs; k++)
            if (choice[k * n + q] != choice[(k - 1) * n + q]) o.model[v++] = choice[k * n + q];
        set_start(in, &o, q);
    }
    o.first[n] = v;
    for (int64_t k = 1; k < n_knobs; k++) {
        for (int64_t q = 0; q < n; q++)
            if (choice[k * n + q] != choice[(k - 1) * n + q])
                set_step(in, &o, s++, q, ++here[q], knob[k], false);
        if (s) o.stop[s - 1] = 1;
    }
    *out = o;
out:
    free(here);
    if (st != SG_OK) sg_path_free(&o);
    return st;
}

void sg_path_free(struct sg_path *p) {
    if (!p) return;
    free(p->first);
    free(p->model);
    free(p->start_p);
    free(p->start_c);
    free(p->start_tp);
    free(p->start_tc);
    free(p->query);
    free(p->vertex);
    free(p->key);
    free(p->dp);
    free(p->dc);
    free(p->dtp);
    free(p->dtc);
    free(p->stop);
    memset(p, 0, sizeof *p);
}

static void start_sums(const struct sg_path *path, struct sg_sum *p, struct sg_sum *c) {
    for (int64_t q = 0; q < path->n; q++) {
        sg_sum_add(p, path->start_p[q]);
        sg_sum_add(c, path->start_c[q]);
    }
}

static double step_key(const struct sg_path *path, int64_t s) {
    return s < path->n_steps ? path->key[s] : 0;
}

/* x with nine digits, never below x: what is printed as the least budget works as a budget. */
static const char *rounded_up(double x, char *buf, size_t n) {
    for (double up = x;; up *= 1 + 1e-9) {
        snprintf(buf, n, "%.9g", up);
        if (strtod(buf, NULL) >= x) return buf;
    }
}

enum sg_status sg_path_at_budget(const struct sg_path *path, double budget, struct sg_policy *out,
                                 struct sg_err *err) {
    struct sg_sum p = {0, 0}, c = {0, 0};
    const double n = (double)path->n;
    SG_ASSERT(path->exact);
    start_sums(path, &p, &c);
    /* a budget that misses the least one by rounding alone is met */
    if (!(budget * n >= sg_sum_get(&c) * (1 - 1e-13))) {
        char least[32];
        return sg_fail(err, SG_E_INPUT,
                       "budget %.9g USD a query is impossible: with every query at its cheapest model the "
                       "mean cost is already %s; give at least that",
                       budget, rounded_up(sg_sum_get(&c) / n, least, sizeof least));
    }
    int64_t s = 0;
    for (; s < path->n_steps; s++) {
        struct sg_sum next = c;
        sg_sum_add(&next, path->dc[s]);
        if (sg_sum_get(&next) > budget * n) break;
        c = next;
        sg_sum_add(&p, path->dp[s]);
    }
    double w = s < path->n_steps ? (budget * n - sg_sum_get(&c)) / path->dc[s] : 0;
    if (!(w > 0)) w = 0;
    if (s < path->n_steps) {
        sg_sum_add(&p, w * path->dp[s]);
        sg_sum_add(&c, w * path->dc[s]);
    }
    *out = (struct sg_policy){.steps = s,
                              .weight = w,
                              .lambda = step_key(path, s),
                              .p = sg_sum_get(&p) / n,
                              .c = sg_sum_get(&c) / n};
    return SG_OK;
}

enum sg_status sg_path_at_target(const struct sg_path *path, double target, struct sg_policy *out,
                                 struct sg_err *err) {
    struct sg_sum p = {0, 0}, c = {0, 0};
    const double n = (double)path->n;
    SG_ASSERT(path->exact);
    start_sums(path, &p, &c);
    int64_t s = 0;
    double w = 0;
    for (; s < path->n_steps && sg_sum_get(&p) < target * n; s++) {
        struct sg_sum next = p;
        sg_sum_add(&next, path->dp[s]);
        if (sg_sum_get(&next) > target * n) {
            w = (target * n - sg_sum_get(&p)) / path->dp[s];
            sg_sum_add(&p, w * path->dp[s]);
            sg_sum_add(&c, w * path->dc[s]);
            break;
        }
        p = next;
        sg_sum_add(&c, path->dc[s]);
    }
    /* rounding of the sum must not refuse the best accuracy of the pool */
    if (sg_sum_get(&p) / n < target - 1e-12)
        return sg_fail(err, SG_E_INPUT,
                       "target accuracy %.9g is out of reach: the best this pool is estimated to do is %.9g",
                       target, sg_sum_get(&p) / n);
    *out = (struct sg_policy){.steps = s,
                              .weight = w,
                              .lambda = step_key(path, s),
                              .p = sg_sum_get(&p) / n,
                              .c = sg_sum_get(&c) / n};
    return SG_OK;
}

void sg_path_at_lambda(const struct sg_path *path, double lambda, struct sg_policy *out) {
    struct sg_sum p = {0, 0}, c = {0, 0};
    const double n = (double)path->n;
    SG_ASSERT(path->exact);
    start_sums(path, &p, &c);
    int64_t s = 0;
    for (; s < path->n_steps && path->key[s] > lambda; s++) {
        sg_sum_add(&p, path->dp[s]);
        sg_sum_add(&c, path->dc[s]);
    }
    *out = (struct sg_policy){.steps = s, .lambda = lambda, .p = sg_sum_get(&p) / n, .c = sg_sum_get(&c) / n};
}

void sg_path_vertices(const struct sg_path *path, int64_t steps, uint32_t *vertex) {
    for (int64_t q = 0; q < path->n; q++) vertex[q] = path->first[q];
    for (int64_t s = 0; s < steps; s++) vertex[path->query[s]] = path->vertex[s];
}

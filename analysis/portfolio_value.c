#include "portfolio_value.h"

#include "base/mem.h"
#include "sort.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 }; /* queries turned from rows to columns at once */

/* Shapley value and leave-one-out loss of one query: for utilities u_1 >= u_2 >= ... >= outside option,
 * phi_j = sum over i >= j of (u_i - u_{i+1}) / i, and only the best one is missed: by u_1 - u_2. */
static void one_query(struct sg_point *o, int32_t n, struct sg_sum *shapley, struct sg_sum *loss) {
    sg_sort_points(o, n); /* c is -u, so that the most useful comes first */
    if (!n) return;
    sg_sum_add(&loss[o[0].model], o[0].p - (n > 1 ? o[1].p : 0));
    double phi = 0;
    for (int32_t j = n; j >= 1; j--) {
        phi += (o[j - 1].p - (j < n ? o[j].p : 0)) / j;
        sg_sum_add(&shapley[o[j - 1].model], phi);
    }
}

/* Gain of model k over what the queries already have. Four plain sums over short runs, which the compiler
 * keeps in registers without a branch that it could not predict, and a compensated sum of the runs.
 */
static double gain(const double *u, const double *have, int64_t n, int32_t k) {
    enum { RUN = 512 };
    struct sg_sum s = {0, 0};
    const double *x = u + (int64_t)k * n;
    for (int64_t from = 0; from < n; from += RUN) {
        const int64_t to = from + RUN < n ? from + RUN : n;
        double part[4] = {0, 0, 0, 0};
        int64_t q = from;
        for (; q + 4 <= to; q += 4)
            for (int i = 0; i < 4; i++) {
                const double d = x[q + i] - have[q + i];
                part[i] += d > 0 ? d : 0;
            }
        for (; q < to; q++) part[0] += x[q] > have[q] ? x[q] - have[q] : 0;
        sg_sum_add(&s, (part[0] + part[1]) + (part[2] + part[3]));
    }
    return sg_sum_get(&s);
}

/* Lazy greedy (Minoux 1978): gains only shrink, so a stale gain is an upper bound. u: [m][n], by model. */
static void greedy(const double *u, int64_t n, double *have, double *bound, int32_t *round,
                   struct sg_portfolio_value *o) {
    struct sg_sum value = {0, 0};
    for (int32_t k = 0; k < o->m; k++) {
        bound[k] = gain(u, have, n, k);
        o->alone[k] = bound[k] / (double)n;
        round[k] = 0;
    }
    for (int32_t r = 0; r < o->m; r++) {
        int32_t best;
        for (;;) {
            best = -1;
            for (int32_t k = 0; k < o->m; k++)
                if (round[k] >= 0 && (best < 0 || bound[k] > bound[best])) best = k;
            if (round[best] == r) break;
            bound[best] = gain(u, have, n, best);
            round[best] = r;
        }
        sg_sum_add(&value, bound[best]);
        o->greedy[r] = best;
        o->greedy_value[r] = sg_sum_get(&value) / (double)n;
        round[best] = -1;
        for (int64_t q = 0; q < n; q++) have[q] = fmax(have[q], u[(int64_t)best * n + q]);
    }
}

enum sg_status sg_portfolio_value(const double *p, const double *c, const uint8_t *use, int64_t n, int32_t m,
                                  double lambda, struct sg_portfolio_value *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_portfolio_value o = {.m = m, .lambda = lambda};
    struct sg_point *opt = NULL;
    struct sg_sum *shapley = NULL, *loss = NULL, total = {0, 0};
    double *u = NULL, *have = NULL, *bound = NULL, *block = NULL;
    int32_t *round = NULL;
    int64_t used = 0;
    for (int64_t q = 0; q < n; q++) used += !use || use[q];
    SG_TRY(SG_NEW(&o.greedy, m, "portfolio value", err));
    SG_TRY(SG_NEW(&o.greedy_value, m, "portfolio value", err));
    SG_TRY(SG_NEW(&o.leave_one_out, m, "portfolio value", err));
    SG_TRY(SG_NEW(&o.shapley, m, "portfolio value", err));
    SG_TRY(SG_NEW(&o.alone, m, "portfolio value", err));
    SG_TRY(SG_NEW(&opt, m, "portfolio value", err));
    SG_TRY(SG_NEW(&shapley, m, "portfolio value", err));
    SG_TRY(SG_NEW(&loss, m, "portfolio value", err));
    SG_TRY(SG_NEW(&bound, m, "portfolio value", err));
    SG_TRY(SG_NEW(&round, m, "portfolio value", err));
    SG_TRY(SG_NEW(&have, used, "portfolio value", err));
    SG_TRY(SG_NEW(&block, m * BLOCK, "portfolio value", err));
    SG_TRY(SG_NEW(&u, used * m, "portfolio value", err));
    int64_t row = 0;
    for (int64_t q = 0; q < n; q++) {
        if (use && !use[q]) continue;
        int32_t k_opt = 0;
        double *to = block + row % BLOCK;
        for (int32_t k = 0; k < m; k++) {
            const double x = p[q * m + k] - lambda * c[q * m + k];
            /* a NaN, and what is worth less than no call, is no option */
            if (x > 0) opt[k_opt++] = (struct sg_point){-x, x, k};
            to[k * BLOCK] = x > 0 ? x : 0;
        }
        row++;
        if (row % BLOCK == 0 || row == used) /* by model, in runs that fill cache lines */
            for (int32_t k = 0; k < m; k++)
                memcpy(u + (int64_t)k * used + (row - 1) / BLOCK * BLOCK, block + k * BLOCK,
                       sizeof *u * (size_t)((row - 1) % BLOCK + 1));
        one_query(opt, k_opt, shapley, loss);
        if (k_opt) sg_sum_add(&total, opt[0].p);
    }
    o.total = sg_sum_get(&total) / (double)used;
    for (int32_t k = 0; k < m; k++) {
        o.shapley[k] = sg_sum_get(&shapley[k]) / (double)used;
        o.leave_one_out[k] = sg_sum_get(&loss[k]) / (double)used;
    }
    greedy(u, used, have, bound, round, &o);
    *out = o;
out:
    free(opt);
    free(shapley);
    free(loss);
    free(u);
    free(block);
    free(have);
    free(bound);
    free(round);
    if (st != SG_OK) sg_portfolio_value_free(&o);
    return st;
}

void sg_portfolio_value_free(struct sg_portfolio_value *v) {
    if (!v) return;
    free(v->greedy);
    free(v->greedy_value);
    free(v->leave_one_out);
    free(v->shapley);
    free(v->alone);
    memset(v, 0, sizeof *v);
}

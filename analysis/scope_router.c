#include "scope_router.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* The terms of one candidate's score: those that do not depend on alpha, and the two powers that do. */
struct candidate {
    double has_anchor, a, y; /* 1 or 0; A; y */
    double anchor_power,
        anchor_ratio;    /* (1 - C)^gamma at this alpha, its factor from one alpha to the next */
    double power, ratio; /* the same of (1 - Cp) */
    int32_t model;
};

static double scaled(double x, double low, double range, double least_range) {
    return range <= least_range ? 0.5 : (x - low) / range;
}

static int32_t gather(const struct sg_scope_router *in, int64_t q, double cost_low, double cost_range,
                      double gamma_step, struct candidate *out) {
    const int64_t at = q * in->m;
    double a_low = INFINITY, a_high = -INFINITY, c_low = INFINITY, c_high = -INFINITY;
    int32_t n = 0;
    for (int32_t k = 0; k < in->m; k++) {
        if (isnan(in->anchor_correct[at + k])) continue;
        const double c = log(in->anchor_cost[at + k] + 1e-9);
        a_low = fmin(a_low, in->anchor_correct[at + k]);
        a_high = fmax(a_high, in->anchor_correct[at + k]);
        c_low = fmin(c_low, c);
        c_high = fmax(c_high, c);
    }
    for (int32_t k = 0; k < in->m; k++) {
        if (isnan(in->yes[at + k])) continue;
        const double x = 1 - scaled(in->cost[at + k], cost_low, cost_range, 0);
        struct candidate *o = &out[n++];
        *o =
            (struct candidate){.y = in->yes[at + k], .power = x * x, .ratio = pow(x, gamma_step), .model = k};
        if (isnan(in->anchor_correct[at + k])) continue;
        const double c = 1 - scaled(log(in->anchor_cost[at + k] + 1e-9), c_low, c_high - c_low, 1e-9);
        o->has_anchor = 1;
        o->a = scaled(in->anchor_correct[at + k], a_low, a_high - a_low, 1e-9);
        o->anchor_power = c * c;
        o->anchor_ratio = pow(c, gamma_step);
    }
    return n;
}

/* Every score rises with A, y and both powers. So for alpha > 0 a candidate is never chosen if another one
 * is at least as good in all four and either is listed before it or exceeds it in A or y by more than
 * rounding. (Powers near 0 can vanish in the sum; then the first listed wins the tie.) Works in place: the
 * candidates kept move down in order. A beaten candidate may be overwritten, since the one that beats it
 * beats all that it would beat. */
static int32_t prune(struct candidate *c, int32_t n) {
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++) {
        bool beaten = false;
        for (int32_t j = 0; j < n && !beaten; j++) {
            if (j == i || c[j].has_anchor != c[i].has_anchor) continue;
            const bool reaches = c[j].a >= c[i].a && c[j].y >= c[i].y &&
                                 c[j].anchor_power >= c[i].anchor_power && c[j].power >= c[i].power;
            beaten = reaches && (j < i || c[j].a > c[i].a + 1e-6 || c[j].y > c[i].y + 1e-6);
        }
        if (!beaten) c[kept++] = c[i];
    }
    return kept;
}

/* The best of n candidates at one alpha: the first listed wins ties. */
static int32_t winner(const struct candidate *c, int32_t n, double alpha) {
    const double w1 = 0.3 * (0.5 + 0.5 * alpha);
    double best = -INFINITY;
    int32_t who = -1;
    for (int32_t i = 0; i < n; i++) {
        const double s1 = c[i].has_anchor * (alpha * c[i].a + (1 - alpha) * c[i].anchor_power);
        const double score = w1 * s1 + (1 - w1) * (alpha * c[i].y + (1 - alpha) * c[i].power);
        if (score > best) {
            best = score;
            who = c[i].model;
        }
    }
    return who;
}

enum sg_status sg_scope_router_choose(const struct sg_scope_router *in, int64_t n_alphas, double *alpha,
                                      int32_t *choice, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double low = INFINITY, high = -INFINITY;
    struct candidate *c = NULL, *cubed = NULL;
    /* alpha grows by step, gamma = 6 - 4 alpha falls by 4 step: walking alpha down from 1, each power is the
     * one before times x^(4 step), two pow() a cell instead of two for each alpha */
    const double step = n_alphas > 1 ? 1.0 / (double)(n_alphas - 1) : 0;
    SG_TRY(SG_NEW(&c, in->m, "candidates", err));
    SG_TRY(SG_NEW(&cubed, in->m, "candidates", err));
    for (int64_t i = 0; i < in->n * in->m; i++) {
        if (isnan(in->yes[i])) continue;
        low = fmin(low, in->cost[i]);
        high = fmax(high, in->cost[i]);
    }
    for (int64_t k = 0; k < n_alphas; k++) alpha[k] = n_alphas > 1 ? (double)k / (double)(n_alphas - 1) : 0;
    for (int64_t q = 0; q < in->n; q++) {
        int32_t n = gather(in, q, low, high - low, 4 * step, c);
        SG_ASSERT(n > 0);
        for (int32_t i = 0; i < n; i++) { /* alpha 0: gamma 6 */
            cubed[i] = c[i];
            cubed[i].power = c[i].power * c[i].power * c[i].power;
            cubed[i].anchor_power = c[i].anchor_power * c[i].anchor_power * c[i].anchor_power;
        }
        choice[q] = winner(cubed, n, 0);
        n = prune(c, n);
        for (int64_t k = n_alphas - 1; k > 0; k--) {
            choice[k * in->n + q] = winner(c, n, alpha[k]);
            for (int32_t i = 0; i < n; i++) {
                c[i].power *= c[i].ratio;
                c[i].anchor_power *= c[i].anchor_ratio;
            }
        }
    }
out:
    free(c);
    free(cubed);
    return st;
}

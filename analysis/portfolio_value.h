/* portfolio_value - what each model adds to the pool at a fixed price of money lambda.
 *
 * u(S) = mean over queries of max(outside, max over m in S of p - lambda c) is monotone submodular in S; the
 * outside option is no call at all: worth 0. Values are in accuracy (share of queries). */
#ifndef SG_ANALYSIS_PORTFOLIO_VALUE_H
#define SG_ANALYSIS_PORTFOLIO_VALUE_H

#include "base/status.h"
#include <stdint.h>

struct sg_portfolio_value {
    int32_t m;
    double lambda;   /* accuracy per USD */
    double total;    /* u(all models) */
    int32_t *greedy; /* [m] models in greedy order: each adds most to those before; ties: the first model */
    double *greedy_value;  /* [m] u of the first k + 1 of them */
    double *leave_one_out; /* [m] u(all) - u(all but this model) */
    double *shapley;       /* [m] exact; their sum is total */
    double *alone;         /* [m] u({model}) */
};

/* p, c: [n * m], NaN where there is no estimate (then the model is not an option there). use: [n] or NULL,
 * only queries with use[q] count. O(n m log m) for Shapley, lazily evaluated greedy. Owned by the caller. */
enum sg_status sg_portfolio_value(const double *p, const double *c, const uint8_t *use, int64_t n, int32_t m,
                                  double lambda, struct sg_portfolio_value *out, struct sg_err *err);
void sg_portfolio_value_free(struct sg_portfolio_value *v);

#endif

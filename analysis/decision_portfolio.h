/* decision_portfolio - which few models to keep at a budget. */
#ifndef SG_ANALYSIS_DECISION_PORTFOLIO_H
#define SG_ANALYSIS_DECISION_PORTFOLIO_H

#include "base/status.h"
#include <stdint.h>

enum { SG__PORTFOLIO_ROWS = 1024, SG__PORTFOLIO_EXACT = 12 };

/* For each budget (rising, mean USD a query) the `size` models whose routing is estimated to be the best on the first
 * 1,024 of the n rows: p, c [n * m], NaN: no candidate. A set S is worth min over lambda of lambda budget + mean of the
 * largest p - lambda c in S, the dual of its frontier. Any lambda bounds that from above: of all sets (up to 12 models)
 * those are valued whose bound at the lambda of the best one so far reaches its value, so the choice is exact. Beyond 12
 * models one is exchanged for another as long as the value rises. cap [m]: sets whose caps sum to less than
 * 1 are left out; NULL: none. in[n_budgets * m], the caller's: 1 for the models kept; all 0 where no set fits. */
enum sg_status sg__portfolio(int64_t n, int32_t m, const double *p, const double *c, const double *cap,
                             int32_t size, const double *budgets, int32_t n_budgets, uint8_t *in,
                             struct sg_err *err);

#endif

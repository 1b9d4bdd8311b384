/* scope_router - SCOPE's own router (spec: two-stage routing of the reference), as a family of policies over
 * alpha.
 *
 * Per query, over the models with anchor data, a and c their similarity-weighted accuracy and cost there:
 *     A     = (a - min) / (max - min)                 0.5 where the range is <= 1e-9
 *     C     = (log(c + 1e-9) - min) / (max - min)     0.5 where the range is <= 1e-9
 * Over all cells:
 *     Cp    = (predicted cost - min) / (max - min)    0.5 where the range is 0
 * With y the predicted answer (1 correct, 0 not):
 *     gamma = 2 (1 + 2 (1 - alpha))
 *     w1    = 0.3 (0.5 + 0.5 alpha)
 *     s1    = alpha A + (1 - alpha) (1 - C)^gamma     0 without anchor data
 *     s2    = alpha y + (1 - alpha) (1 - Cp)^gamma
 *     score = w1 s1 + (1 - w1) s2                     the first listed model wins ties */
#ifndef SG_ANALYSIS_SCOPE_ROUTER_H
#define SG_ANALYSIS_SCOPE_ROUTER_H

#include "base/status.h"
#include <stdint.h>

struct sg_scope_router {
    int64_t n; /* queries */
    int32_t m; /* models */
    /* [n * m]; anchor_*: similarity-weighted means over the nearest anchors, NaN without; cost in USD */
    const double *anchor_correct, *anchor_cost;
    const double *yes;  /* 1 predicted correct, 0 not or unknown; NaN: not a candidate */
    const double *cost; /* predicted, USD; NaN only where yes is */
};

/* The model chosen for each (alpha k, query q) into choice[k * n + q] (the caller's), alpha[k] = k /
 * (n_alphas - 1) (0 when n_alphas is 1) into alpha[n_alphas]. Every query needs a candidate. */
enum sg_status sg_scope_router_choose(const struct sg_scope_router *in, int64_t n_alphas, double *alpha,
                                      int32_t *choice, struct sg_err *err);

#endif

/* policies - the policies for the budgets and targets asked for, and the shares of the models along the
 * grid. */
#ifndef SG_ANALYSIS_POLICIES_H
#define SG_ANALYSIS_POLICIES_H

#include "analysis.h"

/* Sets a->policies: one for every budget and target of the options; without any, those for parts of what
 * the best single model is estimated to cost. Intervals are left NaN. Sets a->unmet to the targets out of reach; an
 * impossible budget is SG_E_INPUT. */
enum sg_status sg__policies(struct sg_analysis *a, struct sg_err *err);

/* Sets a->share. Needs the curves. */
enum sg_status sg__policies_shares(struct sg_analysis *a, struct sg_err *err);

/* The models of a policy of the path, [n], the caller's; of its mixed query the one left. */
enum sg_status sg__path_models(const struct sg_path *path, const struct sg_policy *policy, int32_t *model,
                               struct sg_err *err);

/* The step of the advice for a budget, or the cheapest that is advised for a target accuracy; NULL: none, *best
 * is the most that is advised. */
const struct sg_advice_step *sg__advised_step(const struct sg_advice *advice, bool is_target, double asked,
                                              double *best);

/* What is advised at a step whose value is not NULL, query by query: model[n], the caller's. A share of the queries goes to
 * the one of two models by the queries' keys. scope: the frontier of d's estimates. *at: p and c are the policy's
 * means as estimated; of routing without limits lambda and steps too. */
enum sg_status sg__advised_models(const struct sg_dataset *d, const struct sg_advice *advice,
                                  const struct sg_path *scope, const struct sg_advice_step *step,
                                  int32_t *model, struct sg_policy *at, struct sg_err *err);

/* Per-query values [n] of a policy, the caller's: estimated accuracy p and cost c, true ones tp and tc (0
 * where the query is not scored). */
void sg__policy_values(const struct sg_analysis *a, const struct sg_asked_policy *k, double *p, double *c,
                       double *tp, double *tc);

/* max over the models of p - lambda c, by the truth. */
double sg__best_utility(const struct sg_dataset *d, int64_t q, double lambda);

#endif

/* single_models - each model used for every query, one model at random for each query, and which model is
 * the best, the cheapest and the worst. */
#ifndef SG_ANALYSIS_SINGLE_MODELS_H
#define SG_ANALYSIS_SINGLE_MODELS_H

#include "analysis.h"

/* Sets a->single (all but brier, auc, value), a->best_single, a->cheapest_single, a->worst_single. With
 * truth: over the scored queries for which the model's own truth is known. */
enum sg_status sg__single_models(struct sg_analysis *a, struct sg_err *err);

/* Of model k used for every query: true values where truth is known, else as estimated. */
double sg__single_accuracy(const struct sg_analysis *a, int32_t k);
double sg__single_cost(const struct sg_analysis *a, int32_t k);
/* Per query [n], the caller's: its true accuracy and cost (0 where the query is not scored), without truth the
 * estimates; where it has none its mean. */
void sg__single_values(const struct sg_analysis *a, int32_t k, double *p, double *c);

#endif

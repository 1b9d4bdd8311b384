/* analysis_internal - what the parts of one analysis share (analysis.c, asks.c, quality.c, named.c). */
#ifndef SG_ANALYSIS_INTERNAL_H
#define SG_ANALYSIS_INTERNAL_H

#include "analysis.h"
#include "bootstrap.h"

/* Every query once. */
struct sg_weights sg__analysis_weights(const struct sg_analysis *a);

/* Of model k used everywhere: true where truth is known, else as estimated. */
double sg__single_accuracy(const struct sg_analysis *a, int32_t k);
double sg__single_cost(const struct sg_analysis *a, int32_t k);

/* Per-query values [n] of an asked policy: estimated accuracy and cost, and true ones (0 where unscored). */
void sg__ask_values(const struct sg_analysis *a, const struct sg_ask *k, double *p, double *c, double *tp,
                    double *tc);

/* AIQ (paper) of a curve and, into rep[reps] (the caller's, may be NULL), of each of its replicates. c_max is
 * `cost_high`. */
enum sg_status sg__analysis_aiq(const struct sg_analysis *a, enum sg_curve_id id, double cost_high,
                                double *value, double *rep, struct sg_err *err);

/* Beta posterior of p at every vertex of the predicted frontier, from the votes; the caller's (sg_beta_free). */
enum sg_status sg__analysis_posterior(const struct sg_analysis *a, struct sg_beta *out, struct sg_err *err);

/* Parts of the run. An impossible budget or target is SG_E_INPUT. */
enum sg_status sg__analysis_singles(struct sg_analysis *a, struct sg_err *err);
enum sg_status sg__analysis_asks(struct sg_analysis *a, struct sg_err *err);
enum sg_status sg__analysis_bands(struct sg_analysis *a, struct sg_err *err);
enum sg_status sg__analysis_shares(struct sg_analysis *a, struct sg_err *err);
enum sg_status sg__analysis_quality(struct sg_analysis *a, struct sg_err *err);
enum sg_status sg__analysis_metrics(struct sg_analysis *a, struct sg_err *err);

#endif

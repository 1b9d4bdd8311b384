/* analysis - everything scope-frontier says about one results file: curves with their bands, single models,
 * policies for what was asked, the quality of the estimates, the value of each model, metrics by name. */
#ifndef SG_ANALYSIS_ANALYSIS_H
#define SG_ANALYSIS_ANALYSIS_H

#include "calibration.h"
#include "curve.h"
#include "frontier.h"
#include "portfolio_value.h"
#include "samples.h"
#include "view.h"

struct sg_analysis_options {
    const double *budgets, *targets, *lambdas; /* mean USD a query; accuracy; accuracy per USD */
    size_t n_budgets, n_targets, n_lambdas;
    int64_t alphas; /* of the two-stage policy */
    int64_t reps;   /* bootstrap replicates; 0: no bands */
    uint64_t seed;  /* of the bootstrap and the cross-fit's halves */
    int32_t threads;
    int32_t n_grid; /* budgets of the common grid */
    /* [SG_RESAMPLES] computed before (the samples may be gone by now), or NULL */
    const struct sg_resample *resample;
    const double *grid; /* NULL: made from the costs; else these [n_grid], rising */
};

/* One list makes the curves, their names and what they mean. */
#define SG_CURVE_LIST(X)                                                                                     \
    X(PREDICTED, "predicted",                                                                                \
      "exact frontier of the estimates, valued by the estimates: optimistic about itself")                   \
    X(POSTERIOR, "posterior",                                                                                \
      "policies of the predicted frontier, worth what the votes say (Beta posterior); only without truth")   \
    X(REALISED, "realised",                                                                                  \
      "policies of the predicted frontier: the one that spends the budget on one half of the queries, "      \
      "scored with the truth on the other half, both ways: the claim")                                       \
    X(KNN, "knn", "as realised, with the estimate of the k nearest anchors")                                 \
    X(ANCHOR, "anchor_mean", "as realised, with each model's mean over the anchors of the category")         \
    X(TWO_STAGE, "two_stage", "as realised, with SCOPE's own two-stage router over its alphas")              \
    X(MIX, "blind_mix", "best mixture of single models that ignores the query, chosen in hindsight")         \
    X(IN_SAMPLE, "in_sample",                                                                                \
      "policies of the predicted frontier, the most accurate within the budget in hindsight: optimistic")    \
    X(ORACLE, "oracle", "exact frontier of the truth: what no router can beat")
#define SG_CURVE_ENUM(id, name, meaning) SG_CURVE_##id##_,
enum sg_curve_id { SG_CURVE_LIST(SG_CURVE_ENUM) SG_CURVES };
#undef SG_CURVE_ENUM
const char *sg_curve_name(enum sg_curve_id id);
const char *sg_curve_meaning(enum sg_curve_id id);

/* Values at the budgets of the grid; NaN where the budget is below the policy's cheapest, or without bands.
 */
struct sg_curve {
    bool present;
    double *accuracy, *low, *high;       /* [n_grid] */
    double *cost, *cost_low, *cost_high; /* [n_grid] mean cost truly paid; the budget itself for LP curves */
    double *rep;                         /* [reps * n_grid] replicates of accuracy, or NULL */
    double *rep_cost;
};

struct sg_value {
    double value, low, high;
};

/* A model used for every query. */
struct sg_single {
    int64_t n_estimated, n_scored;                      /* queries behind the values below */
    struct sg_value predicted_accuracy, predicted_cost; /* over the queries with an estimate */
    /* true, over the scored queries whose truth is known for the model; 95 %: Wilson's for
     * the true accuracy, else by the normal law */
    struct sg_value accuracy, cost;
    bool on_hull; /* no mixture of other single models is as good at its cost (true values; else predicted) */
};

/* What was asked: a budget or a target, and the policy that answers. */
struct sg_ask {
    bool is_target;
    double asked;
    bool ours; /* a default of this program, not asked by the user */
    struct sg_policy policy;
    struct sg_value predicted_accuracy, predicted_cost, accuracy, cost; /* true ones NaN without truth */
    struct sg_value posterior; /* without truth: accuracy given the votes; else NaN */
    struct sg_value gain;      /* true accuracy less the best single model's (paired) */
    struct sg_value saving;    /* 1 - true cost / the best single model's (paired) */
    /* the realised curve at this budget; NaN for targets and without truth */
    double fitted_accuracy, fitted_cost;
    double oracle_gap;   /* oracle accuracy at the same true cost, less accuracy */
    double regret;       /* mean over scored queries of max_m (p - lambda c) true minus that of the choice */
    double *share;       /* [m] share of queries a model gets; the mixed query counts by its weights */
    int32_t *model;      /* [n] choice; of the mixed query the one left */
    int64_t mixed_query; /* -1: none */
    int32_t mixed_model; /* the second one of the pair, with weight policy.weight */
};

struct sg_metric {
    const char *name, *source, *formula; /* static text */
    const char *curve;                   /* of which curve; NULL: of none alone */
    char detail[512];                    /* with which bounds or models */
    struct sg_value v;
};

enum sg_estimator { SG_EST_SCOPE, SG_EST_KNN, SG_EST_ANCHOR, SG_EST_BASE, SG_ESTIMATORS };
extern const char *const sg_estimator_name[SG_ESTIMATORS];

struct sg_analysis {
    const struct sg_view *v; /* borrowed */
    struct sg_analysis_options opt;
    uint8_t *fold;                                        /* [n] */
    uint8_t *ones;                                        /* [n] all 1 */
    struct sg_path scope, knn, anchor, two_stage, oracle; /* empty (n = 0) when absent */
    double *alpha;                                        /* [alphas] */
    int64_t knn_missing, anchor_missing;                  /* estimated cells without that baseline */

    double *grid; /* [n_grid] budgets, mean USD a query, rising */
    struct sg_curve curve[SG_CURVES];
    double *share; /* [n_grid * m] shares of the models under the realised (else the predicted) policy */
    double *predicted_at_share; /* [n_grid] its accuracy as estimated */

    struct sg_single *single;                           /* [m] */
    int32_t best_single, cheapest_single, worst_single; /* by true accuracy (then cost), else as predicted */
    struct sg_value random_accuracy, random_cost;       /* one model at random for each query */
    double *best_rep_accuracy, *best_rep_cost;          /* [reps] of the best single model */

    struct sg_ask *ask;
    size_t n_ask;
    /* groups: 0 all, then m models, then the categories */
    int32_t n_groups;
    struct sg_quality *quality[SG_ESTIMATORS];       /* [n_groups]; NULL when absent */
    struct sg_bin *bins[SG_ESTIMATORS];              /* [n_groups * SG_ECE_BINS] */
    struct sg_length_quality *length[SG_ESTIMATORS]; /* [n_groups]; NULL when absent */
    struct sg_value brier_gain[SG_ESTIMATORS]; /* Brier of that estimator less SCOPE's, paired bootstrap */
    struct sg_resample resample[SG_RESAMPLES];
    struct sg_portfolio_value *value_predicted, *value_true; /* [n_value]; the latter NULL without truth */
    size_t n_value;
    struct sg_metric *metric;
    size_t n_metric, cap_metric;
};

/* Runs all of it. The view outlives the analysis. An impossible budget or target is SG_E_INPUT. */
enum sg_status sg_analysis_run(const struct sg_view *v, const struct sg_analysis_options *opt,
                               struct sg_analysis *out, struct sg_err *err);
void sg_analysis_free(struct sg_analysis *a);

#endif

/* analysis - what scope-frontier knows about one results file: curves with their intervals, single models,
 * policies for the budgets and targets asked for, the quality of the estimates, the value of each model,
 * metrics of the literature. analysis_run.h fills it; output/ writes it. */
#ifndef SG_ANALYSIS_ANALYSIS_H
#define SG_ANALYSIS_ANALYSIS_H

#include "advice.h"
#include "calibration.h"
#include "curve.h"
#include "dataset.h"
#include "frontier.h"
#include "portfolio_sizes.h"
#include "portfolio_value.h"
#include "sampling_noise.h"

#include "base/mem.h"

struct sg_analysis_options {
    const double *budgets, *targets, *lambdas; /* mean USD a query; accuracy; accuracy per USD */
    size_t n_budgets, n_targets, n_lambdas;
    int64_t alphas; /* steps of SCOPE's router */
    int64_t reps;   /* bootstrap replicates; 0: no intervals */
    uint64_t seed;  /* of the bootstrap and of the cross-fit's halves */
    int32_t threads;
    int32_t n_grid; /* budgets of the common grid */
    bool baselines; /* the k nearest anchors and SCOPE's two-stage router as well: curves and quality */
    /* [SG_SAMPLING_NOISES] computed earlier by a caller that has freed the samples since; NULL: computed
     * here */
    const struct sg_sampling_noise *noise;
    bool cells_csv;     /* cells.csv is written */
    const double *grid; /* [n_grid] rising; NULL: made from the costs */
    const struct sg_advice
        *advice; /* borrowed; NULL: none was made, policies are those of the frontier alone */
    const struct sg_portfolio_sizes *sizes; /* borrowed; NULL: no portfolio was asked for */
};

/* One list makes the curves, their names and what they mean. */
#define SG_CURVE_LIST(X)                                                                                     \
    X(PREDICTED, "predicted",                                                                                \
      "exact frontier of the estimates, valued by the estimates: optimistic about itself")                   \
    X(POSTERIOR, "posterior",                                                                                \
      "policies of the predicted frontier, worth what the votes say (Beta posterior); only without truth")   \
    X(REALISED, "realised",                                                                                  \
      "policies of the predicted frontier: the one that spends the budget on one half of the queries, "      \
      "scored with the truth on the other half, both ways, mean over splits: the claim")                     \
    X(KNN, "knn", "as realised, with the estimate of the k nearest anchors; only with --baselines")          \
    X(ANCHOR, "anchor_mean", "as realised, with each model's mean over the anchors of the category")         \
    X(ROUTER, "two_stage",                                                                                   \
      "as realised, with SCOPE's own two-stage router over its alphas; only with --baselines")               \
    X(MIX, "blind_mix", "best mixture of single models that ignores the query, chosen in hindsight")         \
    X(ORACLE, "oracle", "exact frontier of the truth: what no router can beat")
#define SG_CURVE_ENUM(id, name, meaning) SG_CURVE_##id,
enum sg_curve_id { SG_CURVE_LIST(SG_CURVE_ENUM) SG_CURVES };
#undef SG_CURVE_ENUM
extern const char *const sg_curve_name[SG_CURVES], *const sg_curve_meaning[SG_CURVES];

/* Values at the budgets of the grid. NaN: the budget is below the cheapest policy, or there is no
 * interval. */
struct sg_curve {
    bool present;
    double *accuracy, *low, *high;       /* [n_grid] */
    double *cost, *cost_low, *cost_high; /* [n_grid] mean cost truly paid; the budget itself for LP curves */
    double *rep;                         /* [reps * n_grid] replicates of accuracy, or NULL */
    double *rep_cost;
};

/* A model used for every query. */
struct sg_single_model {
    const char *model;                /* borrowed */
    double price_input, price_output; /* USD per million tokens */
    int64_t n_estimated, n_scored;    /* queries behind the values below */
    /* Over the queries with an estimate. */
    struct sg_value predicted_accuracy, predicted_cost;
    /* Over the scored queries for which the model's truth is known. 95 % intervals: Wilson's for the true
     * accuracy, by the normal law for the others. */
    struct sg_value accuracy, cost;
    bool on_hull; /* no mixture of other single models is as good at its cost (true values; else predicted) */
    double brier, auc; /* of its estimates; NaN without truth */
    double value;      /* Shapley value at the dearest lambda, by the truth, else as estimated */
};

/* A budget or a target accuracy, and the policy that meets it. */
struct sg_asked_policy {
    const char *name; /* "budget=0.001", "target=0.7" */
    bool is_target;
    double asked; /* the budget or the target */
    bool ours;    /* a default of this program, not asked by the user */
    struct sg_policy policy;
    struct sg_value predicted_accuracy, predicted_cost, accuracy, cost; /* true ones NaN without truth */
    struct sg_value posterior; /* accuracy given the votes; NaN with truth */
    struct sg_value gain;   /* accuracy (true, else given the votes) less the best single model's, paired */
    struct sg_value saving; /* 1 - cost (true, else predicted) / the best single model's, paired */
    /* the realised curve at this budget; NaN for targets and without truth */
    double fitted_accuracy, fitted_cost;
    double oracle_gap; /* oracle accuracy at the same true cost, less accuracy */
    double regret;     /* mean over scored queries of max_m (p - lambda c) true minus that of the choice */
    double *share;     /* [m] share of queries a model gets; the mixed query counts by its weights */
    int32_t *model;    /* [n] choice; of the mixed query the one left */
    /* the one query that is answered by a pair of models, and the pair: the second has weight
     * policy.weight; -1: none */
    int32_t mixed_query, mixed_from, mixed_to;
};

/* A target accuracy that no policy is estimated to reach; `best`: where the estimates end. */
struct sg_unmet_target {
    double asked, best;
};

struct sg_metric {
    const char *name, *source, *formula; /* static text */
    const char *curve;                   /* name of the curve measured; "": no single curve */
    const char *detail;                  /* the bounds or models that the value depends on */
    struct sg_value value;
};

enum sg_estimator {
    SG_EST_SCOPE,
    SG_EST_ANCHORED,
    SG_EST_COMBINED,
    SG_EST_KNN,
    SG_EST_ANCHOR,
    SG_EST_BASE,
    SG_ESTIMATORS
};
extern const char *const sg_estimator_name[SG_ESTIMATORS];

struct sg_analysis {
    const struct sg_dataset *data; /* borrowed */
    struct sg_analysis_options opt;
    /* [n_splits * n] the half of the cross-fit that a query belongs to; 2: not scored */
    uint8_t *fold;
    int32_t n_splits;
    uint8_t *ones;                                           /* [n] all 1 */
    struct sg_path scope, knn, anchor, scope_router, oracle; /* empty (n = 0) when absent */
    double *alpha;                                           /* [alphas] */

    double *grid; /* [n_grid] budgets, mean USD a query, rising */
    struct sg_curve curve[SG_CURVES];
    double *share; /* [n_grid * m] shares of the models under the realised (else the predicted) policy */

    struct sg_single_model *single; /* [m + 1]; the last: one model at random for each query */
    int32_t best_single, cheapest_single, worst_single; /* by true accuracy (then cost), else as predicted */
    /* [reps] of single models */
    double *best_rep_accuracy, *best_rep_cost, *cheapest_rep_accuracy, *worst_rep_accuracy;

    struct sg_asked_policy *policies;
    size_t n_policies;
    struct sg_unmet_target *unmet;
    size_t n_unmet;
    /* groups of pairs (query, model): 0 all, then m models, then the categories */
    int32_t n_groups;
    struct sg_quality *quality[SG_ESTIMATORS];       /* [n_groups]; NULL when absent */
    struct sg_bin *bins[SG_ESTIMATORS];              /* [n_groups * SG_ECE_BINS] */
    struct sg_length_quality *length[SG_ESTIMATORS]; /* [n_groups]; NULL when absent */
    struct sg_value brier_gain[SG_ESTIMATORS]; /* Brier of that estimator less SCOPE's, paired bootstrap */
    struct sg_sampling_noise noise[SG_SAMPLING_NOISES];
    struct sg_portfolio_value *value_predicted, *value_true; /* [n_value]; the latter NULL without truth */
    size_t n_value;
    struct sg_metric *metric;
    size_t n_metric, cap_metric;
    struct sg_arena strings; /* names and details */
};

void sg_analysis_free(struct sg_analysis *a); /* zeroed accepted */

/* Every query once; every scored query once. */
struct sg_weights sg_analysis_weights(const struct sg_analysis *a);
struct sg_weights sg_analysis_scored_weights(const struct sg_analysis *a);

#endif

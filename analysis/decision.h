/* decision - what to do with a budget, valued out of fold. For each budget four candidates are built from the
 * estimates and from outcomes alone:
 *   one model  the model with the best post-stratified mean among those that the budget affords everywhere
 *   mix        the best mixture of two models that ignores the query
 *   table      one model for each category
 *   routing    the exact frontier of the estimates, query by query
 * Each is built `splits` x `folds` times without one fold of the outcomes and valued on that fold, so no value is
 * flattered by having been chosen on the same outcomes. Where the queries' truth is known it values; elsewhere
 * the anchors do: value = mean over the queries of the prediction + mean over outcomes of (truth - prediction),
 * post-stratified by category (prediction-powered inference, Angelopoulos et al. 2023; AIPW, Robins et al. 1994).
 * Caps on models' shares hold for all four (decision_limits.h). A candidate is advised only where it beats every simpler one beyond noise. analysis/README.md has the formulas. */
#ifndef SG_ANALYSIS_DECISION_H
#define SG_ANALYSIS_DECISION_H

#include "calibration.h" /* struct sg_value */
#include "estimates.h"
#include "policy_file.h"

enum sg_candidate {
    SG_CANDIDATE_SINGLE,
    SG_CANDIDATE_MIX,
    SG_CANDIDATE_TABLE,
    SG_CANDIDATE_ROUTING,
    SG_CANDIDATES
};
extern const char *const sg_candidate_name[SG_CANDIDATES];

struct sg_decision_input {
    int32_t m, n_categories;
    const double *price_output; /* [m] USD a token */
    const struct sg_rows *queries, *calibration;
    const struct sg_outcomes *anchors;
    const struct sg_outcomes *truth;        /* over the queries, cell_row[q] = q; NULL: no truth */
    const uint64_t *query_key, *anchor_key; /* hashes of the ids: decide samples and folds */
    enum sg_estimate estimate;
    const double *budgets; /* [n_budgets] rising, mean USD a query */
    int32_t n_budgets;
    int32_t splits, folds;
    int64_t max_queries; /* larger sets are valued on so many of their queries */
    uint64_t seed;
    int32_t incumbent; /* model in use, which candidates are also compared with; -1: none */
    const struct sg_given_policy *policy; /* the same, a policy over the queries; NULL: none */
    int32_t portfolio;                    /* models to keep at each budget, fewer than m; 0: all */
    const double *cap; /* [m] the largest share of the queries that a model may get; NULL: no limits */
};

/* A policy as a rule. */
struct sg_rule {
    enum sg_candidate kind;
    bool affordable;
    int32_t from, to; /* one model: from; mix: to with weight, from with the rest */
    double weight;
    int32_t *table; /* [n_categories], borrowed from the decision */
    double lambda;  /* routing: argmax p - lambda cost - toll, accuracy per USD */
    /* routing: [m], borrowed from the decision; INFINITY: the model gets nothing; NULL: no limits */
    const double *toll;
    bool barred; /* one model: every affordable one is over its cap; it is compared with but never advised */
};

struct sg_candidate_value {
    struct sg_rule rule; /* built with all outcomes */
    double planned_cost; /* mean USD a query by the estimates */
    /* out of fold */
    struct sg_value accuracy, cost;
    /* Accuracy less the best affordable single model's, and less the mix's, paired: expected on queries like these.
     * A lower end above zero is what "better beyond noise" means. No interval (NaN): too few outcomes tried it. */
    struct sg_value gain, over_mix;
    double luck;            /* half width, 95 %, of what the queries' own outcomes yet add to the gain */
    struct sg_value saving; /* 1 - cost / cost of that model */
};

struct sg_decision_step {
    double budget;
    enum sg_candidate advised;
    bool affordable;  /* some model fits the budget */
    bool over_budget; /* the interval of the advised policy's cost lies above the budget */
    /* The step whose advice this is: this one, or a smaller budget's where what this one's candidates advise is told to be
     * worth less than that. */
    int32_t as_at;
    struct sg_candidate_value candidate[SG_CANDIDATES];
    /* against the incumbent: accuracy less its accuracy, 1 - cost / its cost; NaN without one */
    struct sg_value versus[SG_CANDIDATES], saved[SG_CANDIDATES];
    /* What is advised, less what being chosen adds on average. Intervals of its gain and of over_mix are the candidate's.
     * One model has the same accuracy and bill at every budget. */
    struct sg_candidate_value told;
    struct sg_value told_versus, told_saved;
    /* the accuracy that is told, but expected on queries like these: without their own luck */
    struct sg_value chance;
};

struct sg_decision {
    int32_t m, n_categories, n_steps;
    struct sg_decision_step *step;         /* [n_steps] */
    double *single_accuracy, *single_cost; /* [m] post-stratified means of the outcomes; calibrated costs */
    struct sg_value *single_bill;          /* [m] what each model truly costs, mean USD a query */
    struct sg_value *single_value;         /* [m] accuracy of each model with its interval */
    double *weight;                        /* [n_categories] shares of the queries */
    int64_t n_valued;           /* rows whose outcomes value the policies: anchors, or queries with truth */
    int64_t n_paired;           /* those of them that have estimates */
    bool truth;                 /* the queries' own outcomes value them */
    bool anchors;               /* anchors value some model */
    struct sg_estimate_fit fit; /* with all outcomes: what the rules are applied with */
    int32_t *tables;
    double *tolls;
    uint8_t *kept; /* [n_steps * m] 1: the model is one of the portfolio; NULL: all are */
    /* What routing gains on the best of the simple candidates (one model, mix, table), expected, the mean over the budgets.
     * It is advised only where the lower end lies above zero. NaN: no routing is valued, or too few outcomes tried it. */
    struct sg_value routing;
    /* The policy in use. Where the queries' own outcomes do not value all models, its values are the estimates' means
     * without a correction, and neither they nor comparisons with it have an interval (NaN). */
    struct sg_value policy_accuracy, policy_cost;
    bool policy_measured;
};
enum sg_status sg_decide(const struct sg_decision_input *in, struct sg_decision *out, struct sg_err *err);
void sg_decision_free(struct sg_decision *d); /* zeroed accepted */

/* Cross-fitted log loss of an estimate on the calibration cells: the mean over splits. And its predictions:
 * p[n_calibration * m] averaged over the splits, the caller's, may be NULL; cost and length likewise. */
enum sg_status sg_cross_fit(const struct sg_decision_input *in, enum sg_estimate kind, double *p,
                            double *length, double *log_loss, struct sg_err *err);

/* The model that a rule gives a row whose estimates are p and c [m]; `share` in [0, 1) is the row's place
 * among all (mix). -1: none. */
int32_t sg_rule_model(const struct sg_rule *rule, int32_t m, int32_t category, const double *p,
                      const double *c, double share);

#endif

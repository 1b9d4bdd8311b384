/* advice - the decision for a results file: which estimate is used and why, what to do at each budget, in words
 * and numbers, and what stands in doubt. The statistics are decision.h's. */
#ifndef SG_ANALYSIS_ADVICE_H
#define SG_ANALYSIS_ADVICE_H

#include "calibration.h"
#include "dataset.h"
#include "decision.h"

#include "base/mem.h"

struct sg_advice_options {
    const double *budgets; /* [n_budgets] asked for, mean USD a query */
    size_t n_budgets;
    const double *
        targets; /* [n_targets] accuracies asked for; without a budget the first is what the answer is about */
    size_t n_targets;
    int estimate;          /* enum sg_estimate to use; -1: the one with the least cross-fitted log loss */
    const char *incumbent; /* id of the model in use, or a file of the policy in use (FILE.csv); NULL: none */
    double margin;         /* accuracy that the cheapest policy may lose against the incumbent */
    double volume;         /* queries a month; 0: not given */
    uint64_t seed;
    const char *const *at_most; /* [n_at_most] MODEL=SHARE */
    size_t n_at_most;
    int32_t portfolio; /* the best so many models at each budget; 0: all */
    bool no_defaults;  /* five budgets of the slider are asked for where nothing is; not then */
    int32_t n_grid;    /* budgets of the slider, from the cheapest model's cost to the best one's */
};

/* A category of the queries, against the anchors'. */
struct sg_advice_category {
    const char *name;
    int64_t n_queries, n_anchors, n_estimated;     /* anchors with outcomes; calibration anchors */
    double similarity_queries, similarity_anchors; /* mean similarity to the anchors shown; NaN unknown */
    const char *doubt;                             /* "": none */
};

struct sg_advice_step {
    double budget;
    double spends;     /* the budget whose advice this is: a smaller one's where more is told to give less */
    const char *asked; /* "budget=0.002"; "": a step of the slider alone */
    bool ours;         /* a default of this program, not asked by the user */
    const struct sg_decision_step *is;
    const struct sg_candidate_value *value; /* of what is advised; NULL: no model fits the budget */
    const char *sentence;
    const uint8_t *kept; /* [m] 1: one of the portfolio at this budget; NULL: all are */
    int32_t single;      /* the best affordable one; -1: none */
    double mix_accuracy;
    struct sg_value accuracy, cost, gain, saving, over_mix; /* of what is advised */
    double gain_luck;
    struct sg_value vs_incumbent, saved_of_incumbent; /* NaN without one */
    double *share;                                    /* [m] of the queries */
};

struct sg_advice {
    bool present; /* false: the file holds no outcomes of anchors (older versions) and no truth */
    enum sg_estimate estimate;
    const char *estimate_why;
    bool fitted[SG_ESTIMATES];
    double log_loss[SG_ESTIMATES]; /* cross-fitted, on the calibration cells; NaN: not fitted there */
    struct sg_quality quality[SG_ESTIMATES];
    struct sg_length_quality length[SG_ESTIMATES];
    int64_t n_calibration; /* anchors that were estimated */
    struct sg_decision decision;
    int32_t n_steps, def; /* def: the step that the page opens at, and that the answer in short is about */
    double target;        /* the accuracy that the answer in short is about; NaN: a budget */
    struct sg_advice_step *step;
    int32_t incumbent;          /* model; -1: none, or a policy */
    const char *incumbent_name; /* borrowed: the model's id or the policy's file; NULL: none */
    struct sg_given_policy policy;
    int32_t
        cheapest_as_good; /* step: the least bill that is not more than the margin below the incumbent; -1 */
    double *cap;          /* [m] the largest share of the queries that a model may get; NULL: no limits */
    double margin, volume;
    int32_t n_categories;
    struct sg_advice_category *category;
    const char **doubts;
    int32_t n_doubts;
    const char *sentence; /* the answer in short */
    /* the estimates of the dataset's cells; NULL where not fitted. p and c of the dataset are then copies of
     * the chosen one's, and these the others', for their quality: [SG_ESTIMATES][n * m] */
    double *p[SG_ESTIMATES], *tokens[SG_ESTIMATES];
    double *choice_key; /* [n] in [0, 1): the query's place when a share of the queries is drawn */
    struct sg_arena strings;
};

/* Whether a step gives model k as many of the n queries as its cap allows, to one query or one in a hundred of them. */
static inline bool sg_advice_capped(const struct sg_advice *a, const struct sg_advice_step *s, int32_t k,
                                    int64_t n) {
    if (!a->cap || !s->value || !(a->cap[k] < 1) || !(s->share[k] > 0)) return false;
    return s->share[k] >= 0.99 * a->cap[k] || s->share[k] > a->cap[k] - 1 / (double)n;
}

/* Fits the estimates, decides, and replaces d's p and c by the estimate used. */
enum sg_status sg_advise(struct sg_dataset *d, const struct sg_advice_options *opt, struct sg_advice *out,
                         struct sg_err *err);
void sg_advice_free(struct sg_advice *a); /* zeroed accepted */

#endif

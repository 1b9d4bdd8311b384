/* decision_rules - the four candidates for every budget, built from estimates and outcome means. */
#ifndef SG_ANALYSIS_DECISION_RULES_H
#define SG_ANALYSIS_DECISION_RULES_H

#include "decision.h"

/* What rules are built from. */
struct sg__rule_input {
    int64_t n; /* queries */
    int32_t m, n_categories;
    const int32_t *category; /* [n] */
    const double *weight;    /* [n_categories] shares of the queries; 0: no query */
    const double *p, *c;     /* [n * m] estimates; NaN: none */
    const double *mean;      /* [n_categories * m] smoothed outcome means */
    const double *mean_cost; /* [n_categories * m] what a call is expected to cost */
    const double *budgets;   /* [n_budgets] rising */
    int32_t n_budgets;
    bool blind;        /* the rules of routing stay as they are: the estimates have not changed */
    const double *cap; /* [m]; NULL: no limits */
    double *tolls;     /* [n_budgets * m] the rules' storage; used within limits alone */
    int32_t portfolio; /* models to keep at each budget; 0: all */
    uint8_t *kept;     /* [n_budgets * m] 1: the model is kept; storage, used with a portfolio alone */
};
/* Sums of the routing's p and c over the queries with pick[q] != 0, [n_budgets] each. */
struct sg__routing_sums {
    const uint8_t *pick;
    double *p, *c;   /* as estimated, of the picked queries */
    double *planned; /* mean c over all queries */
};
/* rule[n_budgets][SG_CANDIDATES]; tables[n_budgets * n_categories] is the rules' storage. sums may be NULL. */
enum sg_status sg__rules_make(const struct sg__rule_input *in, struct sg_rule *rule, int32_t *tables,
                              const struct sg__routing_sums *sums, struct sg_err *err);

/* The blind rules' weights: model k's share in category c. */
static inline double sg__rule_share(const struct sg_rule *r, int32_t c, int32_t k) {
    if (r->kind == SG_CANDIDATE_TABLE) return r->table[c] == k;
    return (k == r->from ? 1 - r->weight : 0) + (k == r->to ? r->weight : 0);
}
/* Mean of x[n_categories * m] under a blind rule. */
double sg__rule_mean(const struct sg_rule *r, const struct sg__rule_input *in, const double *x);

#endif

/* frontier - families of policies as one sorted list of steps, and what is read off such a list.
 *
 * A policy gives each query one model. A path is a family of policies that begins with one model per query
 * and changes one query at a time. The exact cost-accuracy frontier is such a path (spec: maximise mean p
 * under a mean-cost budget; the LP separates by its multiplier lambda, so only the upper concave hull of each
 * query's (c, p) points matters, and merging all hull steps by falling slope dp/dc visits every vertex of the
 * LP's optimum). A router with one knob (alpha) is such a path as well. Steps are sorted once; budgets,
 * targets, the bootstrap and the cross-fit only walk them. */
#ifndef SG_ANALYSIS_FRONTIER_H
#define SG_ANALYSIS_FRONTIER_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_path {
    int64_t n; /* queries */
    int32_t m; /* models */
    int64_t n_vertices, n_steps;
    uint32_t *first; /* [n + 1] vertices of query q: first[q] .. first[q+1], in the order they are reached */
    int32_t *model;  /* [n_vertices] */
    /* the policy at the start, per query */
    double *start_p, *start_c;   /* as estimated; USD */
    double *start_tp, *start_tc; /* true values; 0 where the query is not scored */
    /* the steps in walking order */
    int32_t *query;    /* [n_steps] */
    uint32_t *vertex;  /* [n_steps] vertex reached; the one left is vertex - 1 */
    double *key;       /* [n_steps] lambda = dp/dc (accuracy per USD), falling; or alpha, rising */
    double *dp, *dc;   /* [n_steps] change as estimated */
    double *dtp, *dtc; /* [n_steps] change in truth; 0 where the query is not scored */
    uint8_t *stop;     /* [n_steps] 1: the policy after this step is a member of the family */
    /* true: key is a slope and the policies are the vertices of the exact LP frontier of (p, c) */
    bool exact;
};

/* What a path is built from: matrices [n][m], row-major. p or c NaN: not a candidate. tp, tc may be NULL. */
struct sg_path_input {
    int64_t n;
    int32_t m;
    const double *p, *c;   /* estimates; p in [0,1], c >= 0 USD */
    const double *tp, *tc; /* truth */
    const uint8_t *scored; /* [n] the queries whose truth counts; NULL: none */
};

/* The exact frontier. Equal costs: the higher p; equal (c, p): the first model. SG_E_INPUT when a query has
 * no candidate. *out is owned by the caller (sg_path_free). O(n m log(n m)). */
enum sg_status sg_path_frontier(const struct sg_path_input *in, struct sg_path *out, struct sg_err *err);

/* A family given by its choices: choice[k][q] (k = 0..n_knobs-1, [n_knobs * n]) with knob[k] as key. */
enum sg_status sg_path_choices(const struct sg_path_input *in, const int32_t *choice, const double *knob,
                               int64_t n_knobs, struct sg_path *out, struct sg_err *err);
void sg_path_free(struct sg_path *p); /* zeroed accepted */

/* A policy of a path: the first `steps` steps are taken; of the next one only the share `weight` (one query
 * is answered by the mixing pair vertex - 1, vertex with weights 1 - weight, weight). p, c: means as
 * estimated. */
struct sg_policy {
    int64_t steps;
    double weight; /* in [0, 1); 0: no query is mixed */
    double lambda; /* key of the step that is or would be next; 0 at the end */
    double p, c;
};

/* The best policy of mean estimated cost <= budget; meets it exactly unless the frontier ends before. For
 * exact paths only. SG_E_INPUT when even the cheapest models cost more: the error says the least budget. */
enum sg_status sg_path_at_budget(const struct sg_path *path, double budget, struct sg_policy *out,
                                 struct sg_err *err);
/* The cheapest policy of mean estimated accuracy >= target. SG_E_INPUT when none: the error says the best. */
enum sg_status sg_path_at_target(const struct sg_path *path, double target, struct sg_policy *out,
                                 struct sg_err *err);
/* The policy maximising mean (p - lambda c); of several the cheapest. */
void sg_path_at_lambda(const struct sg_path *path, double lambda, struct sg_policy *out);

/* The vertex of every query under a policy with its first `steps` steps taken; vertex[n] is the caller's. */
void sg_path_vertices(const struct sg_path *path, int64_t steps, uint32_t *vertex);

#endif

/* decision_limits - routing and tables within limits: a model gets at most a share of the queries, or nothing. */
#ifndef SG_ANALYSIS_DECISION_LIMITS_H
#define SG_ANALYSIS_DECISION_LIMITS_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

/* max mean p subject to mean c <= budget and to every model's share <= its cap. The dual has a price of money
 * (lambda) and a toll for each capped model; a query goes to the model of the largest p - lambda c - toll. For a
 * given lambda each toll is an order statistic of the margins by which queries prefer its model, taken in turn
 * until none changes (coordinate descent: exact for one capped model). lambda follows by bisection. */
struct sg__limited {
    int64_t n;
    int32_t m;
    const double *p, *c;    /* [n * m], borrowed; NaN: no candidate */
    int64_t *room;          /* [m] queries that a model may get */
    double *toll;           /* [m]; INFINITY: gets nothing */
    int32_t *model;         /* [n] the last policy's choices; -1: the query has no candidate */
    int32_t *dearer, *kept; /* [n] choices above and below the budget */
    double *kept_toll, kept_lambda;
    int64_t *count;       /* [m] */
    double *by_model, *v; /* [2 * m * n] p and c, [m * n] p - lambda c; -INFINITY: no candidate */
    double *margin, *tmp; /* [n] */
    uint32_t *order;      /* [n] */
    double lambda, start; /* of the last budget; from where the next one is looked for, 0: none yet */
    double free_cost;     /* mean cost where money has no price; NaN: not known yet */
    double mean_p, mean_c;
};

/* cap [m] shares in [0, 1], NULL: none; in [m] 0: the model gets nothing, NULL: all may. */
enum sg_status sg__limited_open(struct sg__limited *x, int64_t n, int32_t m, const double *p, const double *c,
                                const double *cap, const uint8_t *in, struct sg_err *err);
void sg__limited_close(struct sg__limited *x); /* zeroed accepted */

/* The policy for a budget (mean USD a query): lambda, toll, model, count, mean_p and mean_c of x. Budgets are met from below
 * within 0.1 %, or as near as whole queries and lambdas allow. *affordable false: even the cheapest policy
 * costs more; x then holds that one. Budgets that rise from call to call are found faster. */
enum sg_status sg__limited_at(struct sg__limited *x, double budget, bool *affordable, struct sg_err *err);

/* Moves the queries that are over a model's room to the next best models that have room, the least loss of
 * p - lambda c first. */
enum sg_status sg__limited_keep(struct sg__limited *x, double lambda, struct sg_err *err);

/* One model for each of n items: the most accuracy within the budget and the caps. y, z [n * m]: what an item adds to
 * accuracy and cost (NaN: not possible); weight [n] its share of the queries. Branch and bound over at most
 * 20,000 nodes, with the price of money `lambda` in its bound: exact where these suffice, as they do for few categories,
 * else the best that was found. here[n]; *found false: none. */
enum sg_status sg__limited_table(int32_t n, int32_t m, const double *y, const double *z, const double *weight,
                                 const double *cap, double budget, double lambda, int32_t *here, bool *found,
                                 struct sg_err *err);

#endif

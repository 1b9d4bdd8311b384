/* decision_world - questions, anchors and models made up by a known law, as sg_decide takes them: for tests. */
#ifndef SG_TEST_DECISION_WORLD_H
#define SG_TEST_DECISION_WORLD_H

#include "analysis/decision.h"

enum { MAX_N = 240, MAX_M = 5, MAX_C = 5, CELLS = MAX_N * MAX_M };

/* A world: n queries, na anchors of which the first nc are calibrated; models from cheap and weak to dear and
 * good. signal: how much the estimator knows of a question. */
struct world {
    int64_t n, na, cells;
    int32_t m, c;
    double signal, noise;
    uint64_t seed;
    /* of queries (0) and anchors (1) */
    int32_t category[2][MAX_N];
    uint64_t key[2][MAX_N];
    double p[2][CELLS], length[2][CELLS], knn[2][CELLS], knn_length[2][CELLS], input[2][CELLS], y[2][CELLS],
        tokens[2][CELLS];
    int64_t row[2][MAX_N];
    double price[MAX_M];
    struct sg_rows rows[2]; /* queries, calibration */
    struct sg_outcomes known[2];
    struct sg_decision_input in;
};

/* Freed with world_free. A program without memory ends with status 70. */
struct world *world_make(int64_t n, int64_t na, int64_t cells, int32_t m, int32_t c, double signal,
                         double noise, uint64_t seed);
/* Makes rows, known and in of the arrays as they are now; in.budgets is left to the caller, truth NULL. */
void world_link(struct world *w);
void world_free(struct world *w);
/* Budgets from the cheapest model's mean cost to the dearest's, by the anchors' outcomes; set in w->in. */
void world_ask(struct world *w, double *budgets, int32_t n);
/* Mean of x[n * m] over the queries of category c, NaN left out. */
double world_mean(const struct world *w, const double *x, int32_t c, int32_t k);
double world_expit(double x);

#endif

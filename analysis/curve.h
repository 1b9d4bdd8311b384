/* curve - accuracy against a budget, read off a path on a common cost grid with any weights of the queries.
 * One walk over the sorted steps costs O(n + steps): the bootstrap calls these with resampled weights. */
#ifndef SG_ANALYSIS_CURVE_H
#define SG_ANALYSIS_CURVE_H

#include "frontier.h"
#include <stddef.h>

/* Weighted copies of the queries; which half of the cross-fit a query belongs to. */
struct sg_weights {
    const uint8_t *w;    /* [n] copies of query q in this resample */
    const uint8_t *fold; /* [n] 0 or 1; 2: not scored, counts only for the predicted frontier */
    /* sums over queries: all, and per fold (2: unscored) */
    double total, by_fold[3];
};
void sg_weights_sum(struct sg_weights *w, int64_t n);

/* The LP frontier of the path's own (p, c) at mean costs grid[g], g rising: accuracy[g], NaN below the
 * cheapest policy, flat behind the dearest. value: NULL, or another value of every vertex ([n_vertices]) that
 * is averaged instead of p while c decides (posterior draws). Exact paths only. */
void sg_curve_lp(const struct sg_path *path, const struct sg_weights *w, const double *value,
                 const double *grid, int32_t n_grid, double *accuracy);

/* Where on the path a budget's policy lies. */
struct sg_choice {
    int64_t steps[2]; /* policy chosen on fold f, to be used on the other one; -1: nothing fits the budget */
};

/* The cross-fit of one split. For every budget grid[g] the member of the family that spends most of it, in true
 * cost, on one half (of equals the last in walking order) is scored on the other half, both ways: true mean
 * accuracy[g] and cost[g]; NaN where nothing fits or a half is empty. chosen: NULL or [n_grid]. tmp: scratch of
 * sg_curve_choice_scratch(n_grid) doubles. */
void sg_curve_choice(const struct sg_path *path, const struct sg_weights *w, const double *grid,
                     int32_t n_grid, double *accuracy, double *cost, struct sg_choice *chosen, double *tmp);
/* Its mean over splits, fold[n_splits][n]: what a split happens to put together matters less. Where something fits
 * in less than half of the splits NaN. tmp: the same scratch. */
void sg_curve_splits(const struct sg_path *path, const uint8_t *w, const uint8_t *fold, int32_t n_splits,
                     const double *grid, int32_t n_grid, double *accuracy, double *cost, double *tmp);
size_t sg_curve_choice_scratch(int32_t n_grid);

/* True (cost, accuracy) after every stop of the path, all scored queries, n_points <= n_steps + 1; the caller
 * owns both arrays. For paths without truth the estimated pair. */
enum sg_status sg_curve_points(const struct sg_path *path, const struct sg_weights *w, bool truth,
                               double **cost, double **accuracy, int64_t **steps, int64_t *n_points,
                               struct sg_err *err);

#endif

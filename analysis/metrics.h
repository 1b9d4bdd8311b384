/* metrics - the numbers by which routers are compared in the literature, each by its source. A curve is a set
 * of (cost, accuracy) points; costs are mean USD a query, accuracies shares in [0, 1]. Pure functions. */
#ifndef SG_ANALYSIS_METRICS_H
#define SG_ANALYSIS_METRICS_H

#include "base/status.h"
#include <stdint.h>

struct sg_xy {
    double x, y; /* cost, accuracy */
};

/* The non-decreasing concave upper hull of n points ("non-decreasing convex hull" of RouterBench), in place;
 * returns its size. Points with a NaN are dropped. Sorts the array. */
int64_t sg_hull_nondecreasing(struct sg_xy *pt, int64_t n);

/* Accuracy of a hull at cost x: linear between points, flat behind the last, NaN before the first. */
double sg_hull_at(const struct sg_xy *hull, int64_t n, double x);

/* AIQ, RouterBench (arXiv:2403.12031, eq. 3): area under the hull over [x_min, x_max] / (x_max - x_min). */
double sg_aiq(const struct sg_xy *hull, int64_t n, double x_min, double x_max);
/* PGR, RouteLLM (arXiv:2406.18665): (r - weak) / (strong - weak); NaN when they are equal. */
double sg_pgr(double r, double weak, double strong);

/* Two-model routing of RouteLLM: queries go to the strong model by falling margin. y_weak, y_strong: [n]
 * truth; margin[n]. APGR: mean PGR over strong shares 0.1 .. 1.0 (10 thresholds; the k-th sends round(n k /
 * 10)). cpt[i]: least share of strong calls whose PGR reaches level[i] (NaN: none does). Ties in margin:
 * query order. */
enum sg_status sg_route_llm(const double *margin, const double *y_weak, const double *y_strong, int64_t n,
                            double *apgr, const double *level, double *cpt, int32_t n_levels,
                            struct sg_err *err);

/* QNC (UniRoute, arXiv:2502.08773; ORBIT): least cost at which the hull reaches `accuracy`, over `cost` (of
 * the best single model); NaN when it never does. */
double sg_qnc(const struct sg_xy *hull, int64_t n, double accuracy, double cost);

/* RouterArena (arXiv:2510.00202): S = (1 + b) A C / (b A + C), b = 0.1, C = (log2 high - log2 cost) /
 * (log2 high - log2 low), clamped to [0, 1]; low and high are the bounds used. NaN unless 0 < low < high,
 * cost > 0. */
double sg_router_arena(double accuracy, double cost, double low, double high);

#endif

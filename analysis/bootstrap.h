/* bootstrap - paired bootstrap over queries: every replicate draws one multinomial resample of the queries
 * and walks all curves with it, so that differences between policies are paired. A replicate depends on
 * (seed, replicate) alone: the numbers are the same for any number of threads. */
#ifndef SG_ANALYSIS_BOOTSTRAP_H
#define SG_ANALYSIS_BOOTSTRAP_H

#include "curve.h"

enum sg_boot_kind {
    SG_BOOT_LP,        /* sg_curve_lp over all queries */
    SG_BOOT_LP_SCORED, /* the same over the scored queries alone (the oracle) */
    SG_BOOT_CHOICE     /* sg_curve_splits */
};

/* Beta posterior of every vertex of a path, or of every cell, for intervals where no truth is known. */
struct sg_beta {
    double *a, *b;          /* [n] */
    double *base, *stretch; /* [n] a vertex or cell is worth base + stretch x draw, in [0, 1] */
};
/* Zeroed arrays for n; also after an error the caller's to free. */
enum sg_status sg_beta_new(struct sg_beta *b, int64_t n, struct sg_err *err);
void sg_beta_free(struct sg_beta *b); /* the arrays; zeroed accepted */

struct sg_boot_curve {
    const struct sg_path *path;
    enum sg_boot_kind kind;
    const struct sg_beta *posterior; /* NULL: none; SG_BOOT_LP only */
    const double *grid;              /* [n_grid] budgets, rising */
    int32_t n_grid;
    double *accuracy, *cost; /* out: [reps * n_grid], the caller's; cost NULL for SG_BOOT_LP* */
};

/* A fixed policy: per query its value pair; scored queries alone when `scored`. */
struct sg_boot_point {
    const double *accuracy, *cost; /* [n] */
    bool scored;
    /* Not NULL: the accuracy of query q is the replicate's draw drawn[q] of the posteriors sg_boot.drawn, the same for
     * every point; where drawn[q] is -1 accuracy[q]. Of query `mixed` (-1: none) with weight `weight` the draw mixed_to. */
    const int64_t *drawn; /* [n] */
    int64_t mixed, mixed_to;
    double weight;
    double *rep_accuracy, *rep_cost; /* out: [reps], the caller's; rep_cost may be NULL */
};

struct sg_boot {
    int64_t n;
    const uint8_t *fold; /* [n_splits * n], at least [n]: it says which queries are scored */
    int32_t n_splits;
    int32_t n_curves, n_points;
    int64_t reps;
    uint64_t seed;
    int32_t threads;
    struct sg_boot_curve *curves;
    struct sg_boot_point *points;
    const struct sg_beta *drawn; /* [n_drawn] posteriors that each replicate draws once, for the points */
    int64_t n_drawn;
};

enum sg_status sg_bootstrap(const struct sg_boot *b, struct sg_err *err);

/* The resample of replicate r: w[q] copies of query q, sum n. */
void sg_boot_draw(uint64_t seed, int64_t r, int64_t n, uint8_t *w);

/* Percentile interval of level 95 % of x[r * stride + at], r < reps; NaN bounds unless 90 % are finite.
 * scratch: [reps]. */
void sg_boot_interval(const double *x, int64_t reps, int64_t stride, int64_t at, double *low, double *high,
                      double *scratch);

/* Sum num / sum den over the queries, and its 95 % interval (NaN when reps is 0) under the same resamples as
 * sg_bootstrap draws: for scores that are means over cells, with the queries as the units that are drawn. */
struct sg_boot_ratio {
    const double *num, *den; /* [n] */
    double value, low, high; /* out */
};
enum sg_status sg_boot_ratios(struct sg_boot_ratio *ratio, int32_t n_ratios, int64_t n, uint64_t seed,
                              int64_t reps, int32_t threads, struct sg_err *err);

/* A draw of the standard normal law, by Box and Muller (1958), and one of Beta(a, b), from the stream (key, *pos); *pos
 * moves on. Gamma ratio, Marsaglia and Tsang (2000).
 */
double sg_draw_normal(uint64_t key, uint64_t *pos);
double sg_draw_beta(uint64_t key, uint64_t *pos, double a, double b);

#endif

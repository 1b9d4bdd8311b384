/* calibration - how good the estimates are, against what happened. All pairs (query, model) with an estimate
 * and a known truth count once. */
#ifndef SG_ANALYSIS_CALIBRATION_H
#define SG_ANALYSIS_CALIBRATION_H

#include "base/status.h"
#include <stdint.h>

enum { SG_ECE_BINS = 15 };

struct sg_value {
    double value, low, high;
};

/* One bin of a reliability diagram: equal numbers of pairs, in the order of the estimate. */
struct sg_bin {
    int64_t n;
    double mean_p, mean_y; /* NaN when n = 0 */
};

struct sg_quality {
    int64_t n;        /* pairs */
    double base_rate; /* mean truth */
    double mean_p;
    double brier;    /* mean (p - y)^2 (Brier 1950) */
    double log_loss; /* mean -log of the probability given to what happened, p kept inside [1e-6, 1 - 1e-6];
                        of a graded y: -(y log p + (1 - y) log(1 - p)), least in the mean at p = E[y] as well */
    double auc;      /* P(p of a correct pair > p of a wrong one) + half the ties (Mann and Whitney 1947); NaN
                        where all are correct or all wrong */
    double ece; /* sum over 15 equal-mass bins of share * |mean p - mean y| (Naeini et al. 2015; Nixon et al.
                   2019 for equal mass) */
    /* the ECE that perfectly calibrated estimates of these pairs would show: mean and 95 % range of 400
     * draws of y ~ Bernoulli(p); graded truth varies less, so that this is the most they would show */
    struct sg_value ece_null;
    double spread; /* mean (y - base_rate)^2 */
};

/* One way to split the pairs: of[i] in [0, n). NULL: all pairs are one group (n = 1). */
struct sg_grouping {
    const int32_t *of;
    int32_t n;
};

/* Estimates and truth, [n] each. */
struct sg_pairs {
    const double *p, *y;    /* y in [0, 1]; pairs with a NaN are left out */
    const uint8_t *correct; /* 1 or 0: which pairs the AUC takes for right; NULL: those whose y is above 0 */
    int64_t n;
};
/* Quality of p against y. One sort serves all groupings: out (and bins, which may be NULL, SG_ECE_BINS a
 * group) holds the groups of the first grouping, then those of the next. Ties in p: bins are cut in index order.
 * n < 2^32. Of more than 50,000 pairs the draws of ece_null come from the normal law of each bin's sum. The draws depend
 * on the pairs alone. */
enum sg_status sg_quality_groups(const struct sg_pairs *pairs, const struct sg_grouping *by, int32_t n_by,
                                 struct sg_quality *out, struct sg_bin *bins, struct sg_err *err);

/* Memory that calls one after the other work in, 32 bytes a pair: zeroed is empty, the first call fills it. */
struct sg_quality_room {
    void *block;
    int64_t bytes;
};
void sg_quality_room_free(struct sg_quality_room *room);
/* The same in the caller's room. At most 4 groupings. */
enum sg_status sg_quality_groups_in(struct sg_quality_room *room, const struct sg_pairs *pairs,
                                    const struct sg_grouping *by, int32_t n_by, struct sg_quality *out,
                                    struct sg_bin *bins, struct sg_err *err);

/* Length estimates. */
struct sg_length_quality {
    int64_t n;
    double mae;             /* mean |estimate - true|, tokens */
    double median_relative; /* median |estimate - true| / true, over true > 0 */
    double bias;            /* mean (estimate - true) / mean true */
    double coverage;        /* share of truths inside the 90 % interval of the samples; NaN without sd */
    int64_t n_coverage;
};
/* Pairs of an estimate and a truth [n], all borrowed; those with a NaN are left out. */
struct sg_length_pairs {
    const double *estimate, *truth;
    const double *sd; /* the samples' standard deviation; NULL: no coverage */
    const int32_t *k; /* their number: the interval is mean +- t(0.95, k - 1) sd sqrt(1 + 1/k), for k >= 2 */
    int64_t n;
};
/* out: of the groups of all groupings, one after the other. */
enum sg_status sg_length_groups(const struct sg_length_pairs *pairs, const struct sg_grouping *by,
                                int32_t n_by, struct sg_length_quality *out, struct sg_err *err);
enum sg_status sg_length_groups_in(struct sg_quality_room *room, const struct sg_length_pairs *pairs,
                                   const struct sg_grouping *by, int32_t n_by, struct sg_length_quality *out,
                                   struct sg_err *err);

/* Student's t with df >= 1 degrees of freedom: the t beyond which, on both sides together, lies the share
 * `outside`, at least 0.025; and that share of a t, the two-sided p-value. */
double sg_t_quantile(double outside, double df);
double sg_t_two_sided(double t, double df);

#endif

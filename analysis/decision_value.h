/* decision_value - post-stratified means of outcomes with their 95 % intervals. */
#ifndef SG_ANALYSIS_DECISION_VALUE_H
#define SG_ANALYSIS_DECISION_VALUE_H

#include "decision.h"

struct sg__stratum_sums {
    double x, d, fx, fd, both, own;
};
/* The rows whose outcomes value policies, in strata: categories, the small ones together. */
struct sg__valued {
    int64_t n;
    int32_t n_strata;
    const int32_t *stratum;           /* [n]; -1: the row values nothing */
    const double *weight;             /* [n_strata] share of the queries */
    const double *rows, *paired_rows; /* [n_strata] how many rows, how many with estimates */
    const uint8_t *paired;            /* [n] 1: the row has estimates */
    double n_queries;                 /* that the value is about */
    /* Share of them without truth: their own outcomes are still to come. 0: the value is about queries like these, which
     * fall into the strata in other shares. */
    double unknown;
    struct sg__stratum_sums *sums; /* [n_strata] scratch of sg__value */
};

/* Rows on which a difference d [n] is not zero: on how many outcomes two policies differ. paired: of the paired rows alone. */
int64_t sg__differing(const struct sg__valued *v, const double *d, bool paired);

/* Sum over strata of weight * (mean of x over the rows + mean of d over the paired rows) + shift, and its
 * standard error. x or d NULL: that part is zero. The error has the sampling of the rows (linearised, a row
 * that stands in both means counts once with both) and the outcomes of the n_queries themselves, which vary
 * about their expectation as the rows do. Where all are known: sum of weight * (stratum's mean - mean)^2 / n_queries, since
 * n_queries show what share of such queries a stratum has (double sampling for stratification, Cochran 1977, chapter 12).
 * df: Welch and Satterthwaite. */
struct sg__estimate {
    double value, se, df;
    double mean_se; /* without the queries' own luck: of the expected value */
};
struct sg__estimate sg__value(const struct sg__valued *v, const double *x, const double *d, double shift);

/* 95 % intervals: of an accuracy (in logits, so that it stays inside [0, 1]), of a positive cost (in
 * logarithms), of a difference. */
struct sg_value sg__interval_accuracy(const struct sg__valued *v, struct sg__estimate e);
struct sg_value sg__interval_cost(struct sg__estimate e);
/* 1 - ratio of a cost to the cost `base`; less: cost - ratio * base. In logarithms of the ratio. */
struct sg_value sg__interval_saving(double ratio, struct sg__estimate less, double base);
struct sg_value sg__interval_plain(struct sg__estimate e);
/* Of an expected gain. The lower end decides whether it is advised: it is above zero where the gain is "better beyond
 * noise". It leaves 1.25 % below, since a candidate has two comparisons to pass (one model, mix); the upper 2.5 %. */
struct sg_value sg__interval_gain(struct sg__estimate e);
/* How far a normal value that is seen only where it exceeds a bound lies above its mean, on average, where that mean is
 * x >= 0 standard errors s above the bound. */
double sg__lift(double x, double s);

/* What the best mix of two models is worth at this cost, by the models' own values and bills; 0: none fits. */
double sg__mix_at(const struct sg_decision *d, double cost);

#endif

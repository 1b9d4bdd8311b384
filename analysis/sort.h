/* sort - stable radix sort of doubles by an index array. No NaN. Linear in n: the curves, AUC and the bins
 * of a reliability diagram all come from one such order. */
#ifndef SG_ANALYSIS_SORT_H
#define SG_ANALYSIS_SORT_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

/* order[i] (caller's, [n], n < 2^32) = index of the i-th key, rising (or falling); equal keys keep their
 * index order in both cases; -0 equals 0. */
enum sg_status sg_sort_order(const double *key, int64_t n, bool falling, uint32_t *order, struct sg_err *err);

/* A number as bits in the same order, and what comes along with it. */
struct sg_sort_item {
    uint64_t key;
    uint32_t index;
};
uint64_t sg_sort_key(double x); /* -0 has the bits of 0 */
double sg_sort_value(uint64_t key);
/* Sorts a[0..n) rising with b as room for as many, n < 2^32; the one of the two that holds the result. Equal keys keep
 * their order. */
struct sg_sort_item *sg_sort_items(struct sg_sort_item *a, struct sg_sort_item *b, int64_t n);

/* A model's cost and accuracy on a query, or other numbers that are ordered likewise. */
struct sg_point {
    double c, p;
    int32_t model;
};
/* Cheapest first; of equal cost the better, of equal both the first model. For lists of a pool's size. */
void sg_sort_points(struct sg_point *x, int32_t n);

/* The k-th smallest (from 0) of x[0..n), which is permuted: none before it is larger, none behind
 * it smaller. Quickselect, median of three; long lists are cut around two pivots of a sample first. */
double sg_select(double *x, int64_t n, int64_t k);

/* Quantile f in [0, 1] of x[0..n) (permuted), linear between order statistics ("type 7"); NaN when n = 0. */
double sg_quantile(double *x, int64_t n, double f);

#endif

/* sum - compensated sums (Neumaier 1974): means over 1e7 cells stay exact to the last digits, so that a
 * policy meets its budget to 1e-12 whatever the order of the steps. */
#ifndef SG_ANALYSIS_SUM_H
#define SG_ANALYSIS_SUM_H

#include <math.h>

struct sg_sum {
    double s, c;
};
static inline void sg_sum_add(struct sg_sum *a, double x) {
    const double t = a->s + x;
    a->c += fabs(a->s) >= fabs(x) ? (a->s - t) + x : (x - t) + a->s;
    a->s = t;
}
static inline double sg_sum_get(const struct sg_sum *a) {
    return a->s + a->c;
}

#endif

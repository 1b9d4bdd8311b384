/* limits_probe: reads "n m b", then n*m accuracies ("nan": no candidate), n*m costs, m caps, b budgets from stdin.
 * Prints for each budget, rising: of the routing within the caps whether it is affordable, its mean accuracy, its mean
 * cost, lambda, m tolls and m shares; then of the table (the rows being categories of equal weight) whether one was
 * found, its accuracy and cost. For the cross-check with an independent solver. */
#include "analysis/decision_limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    long long n, b;
    int m;
    if (scanf("%lld %d %lld", &n, &m, &b) != 3) return 2;
    const size_t cells = (size_t)n * (size_t)m;
    double *x = calloc(5 * cells + (size_t)m + (size_t)n, sizeof *x), *p = x, *c = x + cells,
           *y = x + 2 * cells, *z = x + 3 * cells, *cap = x + 4 * cells, *weight = cap + m, budget;
    int32_t *here = calloc((size_t)n, sizeof *here);
    struct sg__limited l;
    bool met;
    for (size_t i = 0; i < 2 * cells; i++)
        if (scanf("%lf", &x[i]) != 1) return 2;
    for (int k = 0; k < m; k++)
        if (scanf("%lf", &cap[k]) != 1) return 2;
    for (size_t i = 0; i < cells; i++) {
        y[i] = p[i] / (double)n;
        z[i] = c[i] / (double)n;
    }
    for (long long q = 0; q < n; q++) weight[q] = 1 / (double)n;
    if (sg__limited_open(&l, n, m, p, c, cap, NULL, NULL) != SG_OK) return 3;
    for (long long i = 0; i < b; i++) {
        double accuracy = 0, cost = 0;
        if (scanf("%lf", &budget) != 1) return 2;
        if (sg__limited_at(&l, budget, &met, NULL) != SG_OK) return 3;
        printf("%d %.17g %.17g %.17g", met, l.mean_p, l.mean_c, l.lambda);
        for (int k = 0; k < m; k++) printf(" %.17g", l.toll[k]);
        for (int k = 0; k < m; k++) printf(" %.17g", (double)l.count[k] / (double)n);
        if (sg__limited_table((int32_t)n, m, y, z, weight, cap, budget, l.lambda, here, &met, NULL) != SG_OK)
            return 3;
        for (long long q = 0; q < n && met; q++) {
            accuracy += y[q * m + here[q]];
            cost += z[q * m + here[q]];
        }
        printf(" %d %.17g %.17g\n", met, accuracy, cost);
    }
    sg__limited_close(&l);
    free(x);
    free(here);
    return 0;
}

/* lp_probe: reads "n m b", then n*m accuracies ("nan": no candidate), n*m costs, b budgets from stdin; prints
 * for each budget the accuracy and cost of the exact frontier, or "no". For the cross-check with an
 * independent solver. */
#include "analysis/frontier.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    long long n, b;
    int m;
    if (scanf("%lld %d %lld", &n, &m, &b) != 3) return 2;
    double *p = calloc((size_t)n * (size_t)m, sizeof *p), *c = calloc((size_t)n * (size_t)m, sizeof *c),
           budget;
    for (long long i = 0; i < n * m; i++)
        if (scanf("%lf", &p[i]) != 1) return 2;
    for (long long i = 0; i < n * m; i++)
        if (scanf("%lf", &c[i]) != 1) return 2;
    const struct sg_path_input in = {.n = n, .m = m, .p = p, .c = c};
    struct sg_path path;
    if (sg_path_frontier(&in, &path, NULL) != SG_OK) return 3;
    for (long long i = 0; i < b; i++) {
        struct sg_policy pol;
        if (scanf("%lf", &budget) != 1) return 2;
        if (sg_path_at_budget(&path, budget, &pol, NULL) != SG_OK)
            printf("no\n");
        else
            printf("%.17g %.17g\n", pol.p, pol.c);
    }
    sg_path_free(&path);
    free(p);
    free(c);
    return 0;
}

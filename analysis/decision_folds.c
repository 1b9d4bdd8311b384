#include "decision_folds.h"

#include "base/mem.h"
#include "base/rng.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>

double sg__unit_key(uint64_t key, uint64_t seed) {
    return (double)(sg_random64(seed, key) >> 12);
}

enum sg_status sg__deal(const int32_t *category, const uint64_t *key, int64_t n, uint64_t seed, int32_t nc,
                        int32_t folds, uint8_t *fold, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double *x = NULL;
    uint32_t *order = NULL;
    int32_t *next = NULL;
    SG_TRY(SG_NEW(&x, n, "folds", err));
    SG_TRY(SG_NEW(&order, n, "folds", err));
    SG_TRY(SG_NEW(&next, nc, "folds", err));
    for (int64_t i = 0; i < n; i++) x[i] = sg__unit_key(key[i], seed);
    SG_TRY(sg_sort_order(x, n, false, order, err));
    /* categories begin at different folds, so that small ones do not all fill the first */
    for (int32_t c = 0; c < nc; c++) next[c] = c;
    for (int64_t i = 0; i < n; i++) fold[order[i]] = (uint8_t)(next[category[order[i]]]++ % folds);
out:
    free(x);
    free(order);
    free(next);
    return st;
}

enum sg_status sg_cross_fit(const struct sg_decision_input *in, enum sg_estimate kind, double *p,
                            double *length, double *log_loss, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_outcomes *a = in->anchors;
    const int32_t m = in->m;
    struct sg_estimate_fit fit = {0};
    uint8_t *fold = NULL, *use = NULL;
    double *row = NULL, loss = 0, n = 0;
    SG_TRY(SG_NEW(&fold, a->n, "folds", err));
    SG_TRY(SG_NEW(&use, a->n, "folds", err));
    SG_TRY(SG_NEW(&row, 3 * m, "estimates", err));
    for (int64_t i = 0; i < in->calibration->n * m; i++) {
        if (p) p[i] = 0;
        if (length) length[i] = 0;
    }
    for (int32_t split = 0; split < in->splits; split++) {
        const uint64_t seed = sg_random64(in->seed ^ 0xf01d, (uint64_t)split);
        SG_TRY(sg__deal(a->category, in->anchor_key, a->n, seed ^ 1, in->n_categories, in->folds, fold, err));
        for (int32_t f = 0; f < in->folds; f++) {
            for (int64_t i = 0; i < a->n; i++) use[i] = fold[i] != f;
            const struct sg_estimate_fit_input fi = {.m = m,
                                                     .n_categories = in->n_categories,
                                                     .price_output = in->price_output,
                                                     .queries = in->queries,
                                                     .calibration = in->calibration,
                                                     .anchors = a,
                                                     .use = use};
            SG_TRY(sg_estimate_fit_make(&fi, kind, &fit, err));
            for (int64_t i = 0; i < a->n; i++) {
                if (use[i] || a->cell_row[i] < 0) continue;
                const int64_t to = a->cell_row[i] * m;
                sg_estimate_fit_apply(&fit, in->calibration, in->price_output, a->cell_row[i],
                                      a->cell_row[i] + 1, row, row + m, NULL);
                for (int32_t k = 0; k < m; k++) {
                    if (p) p[to + k] += row[k] / in->splits;
                    if (length) length[to + k] += row[m + k] / in->splits;
                    const double y = a->correct[i * m + k];
                    if (isnan(y) || isnan(row[k])) continue;
                    const double yes = fmax(row[k], 1e-6), no = fmax(1 - row[k], 1e-6);
                    loss -= y > 0 && y < 1 ? y * log(yes) + (1 - y) * log(no) : log(y > 0.5 ? yes : no);
                    n++;
                }
            }
        }
    }
    *log_loss = n > 0 ? loss / n : (double)NAN;
out:
    sg_estimate_fit_free(&fit);
    free(fold);
    free(use);
    free(row);
    return st;
}

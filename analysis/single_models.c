#include "single_models.h"

#include "base/mem.h"
#include "metrics.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>

/* The sums behind a mean and its standard error. */
struct moment {
    int64_t n;
    struct sg_sum sum, square;
};

static void add(struct moment *m, double x) {
    m->n++;
    sg_sum_add(&m->sum, x);
    sg_sum_add(&m->square, x * x);
}

static const double Z95 = 1.959963984540054;

/* The mean of values in [0, most] with its 95 % interval by the normal law, since the model was not chosen
 * by these values. NaN when n is 0. */
static struct sg_value mean_of(const struct moment *m, double most) {
    const double n = (double)m->n, sum = sg_sum_get(&m->sum), mean = sum / n;
    const double var = n > 1 ? fmax(0, (sg_sum_get(&m->square) - sum * mean) / (n - 1)) : (double)NAN;
    const double half = Z95 * sqrt(var / n);
    if (isnan(half)) return (struct sg_value){mean, (double)NAN, (double)NAN};
    return (struct sg_value){mean, fmax(0, mean - half), fmin(most, mean + half)};
}

/* A share of yes and no with its 95 % score interval (Wilson 1927), which stays inside [0, 1] and does not
 * call a model certain that was right, or wrong, every time. NaN when n is 0. */
static struct sg_value share_of(const struct moment *m) {
    const double n = (double)m->n, p = sg_sum_get(&m->sum) / n, z = Z95 * Z95 / n;
    const double middle = (p + z / 2) / (1 + z), half = Z95 / (1 + z) * sqrt(p * (1 - p) / n + z / (4 * n));
    if (isnan(p)) return (struct sg_value){p, p, p};
    return (struct sg_value){p, fmax(0, middle - half), fmin(1, middle + half)};
}

double sg__single_accuracy(const struct sg_analysis *a, int32_t k) {
    return a->data->n_scored ? a->single[k].accuracy.value : a->single[k].predicted_accuracy.value;
}
double sg__single_cost(const struct sg_analysis *a, int32_t k) {
    return a->data->n_scored ? a->single[k].cost.value : a->single[k].predicted_cost.value;
}

void sg__single_values(const struct sg_analysis *a, int32_t k, double *p, double *c) {
    const struct sg_dataset *d = a->data;
    const struct sg_single_model *s = &a->single[k];
    const bool truth = d->n_scored > 0;
    for (int64_t q = 0; q < d->n; q++) {
        const int64_t at = q * d->m + k;
        if (truth) {
            /* a cell without an estimate may lack its truth even on a scored query */
            p[q] = !d->scored[q] ? 0 : isnan(d->tp[at]) ? s->accuracy.value : d->tp[at];
            c[q] = !d->scored[q] ? 0 : isnan(d->tp[at]) ? s->cost.value : d->tc[at];
        } else {
            p[q] = isnan(d->p[at]) ? s->predicted_accuracy.value : d->p[at];
            c[q] = isnan(d->c[at]) ? s->predicted_cost.value : d->c[at];
        }
    }
}

static enum sg_status mark_hull(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_xy *pt = NULL;
    SG_TRY(SG_NEW(&pt, a->data->m, "single models", err));
    for (int32_t k = 0; k < a->data->m; k++)
        pt[k] = (struct sg_xy){sg__single_cost(a, k), sg__single_accuracy(a, k)};
    const int64_t h = sg_hull_nondecreasing(pt, a->data->m);
    for (int32_t k = 0; k < a->data->m; k++)
        for (int64_t i = 0; i < h; i++)
            if (pt[i].x == sg__single_cost(a, k) && pt[i].y == sg__single_accuracy(a, k))
                a->single[k].on_hull = true;
out:
    free(pt);
    return st;
}

/* Best: of equal accuracy the cheaper. All are models with an estimate; ties go to the first. */
static void name_them(struct sg_analysis *a) {
    a->best_single = a->cheapest_single = a->worst_single = -1;
    for (int32_t k = 0; k < a->data->m; k++) {
        const double y = sg__single_accuracy(a, k), x = sg__single_cost(a, k);
        if (!a->single[k].n_estimated || isnan(y)) continue;
        if (a->best_single < 0) a->best_single = a->cheapest_single = a->worst_single = k;
        const double by = sg__single_accuracy(a, a->best_single), bx = sg__single_cost(a, a->best_single);
        if (y > by || (y == by && x < bx)) a->best_single = k;
        if (x < sg__single_cost(a, a->cheapest_single)) a->cheapest_single = k;
        if (y < sg__single_accuracy(a, a->worst_single)) a->worst_single = k;
    }
    SG_ASSERT(a->best_single >=
              0); /* every query of a dataset has a valid cell; scored ones know its truth */
}

enum sg_status sg__single_models(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const bool truth = d->n_scored > 0;
    struct model {
        struct moment p, c, tp, tc;
    } *s = NULL;
    struct moment random_p = {0}, random_c = {0};
    SG_TRY(SG_NEW(&a->single, d->m + 1, "single models", err));
    SG_TRY(SG_NEW(&s, d->m, "single models", err));
    for (int64_t q = 0; q < d->n; q++) {
        double row_p = 0, row_c = 0, row = 0;
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t at = q * d->m + k;
            const bool estimated = !isnan(d->p[at]),
                       known = truth && d->scored[q] && !isnan(d->tp[at]) && (!d->measured || d->measured[k]);
            if (estimated) {
                add(&s[k].p, d->p[at]);
                add(&s[k].c, d->c[at]);
            }
            if (known) {
                add(&s[k].tp, d->tp[at]);
                add(&s[k].tc, d->tc[at]);
            }
            if (truth ? !known : !estimated) continue;
            row_p += truth ? d->tp[at] : d->p[at];
            row_c += truth ? d->tc[at] : d->c[at];
            row++;
        }
        if (row == 0) continue;
        add(&random_p, row_p / row);
        add(&random_c, row_c / row);
    }
    const double none = (double)NAN;
    for (int32_t k = 0; k < d->m; k++)
        a->single[k] = (struct sg_single_model){.model = sg_dataset_model(d, k),
                                                .price_input = d->price_input[k],
                                                .price_output = d->price_output[k],
                                                .n_estimated = s[k].p.n,
                                                .n_scored = s[k].tp.n,
                                                .predicted_accuracy = mean_of(&s[k].p, 1),
                                                .predicted_cost = mean_of(&s[k].c, INFINITY),
                                                .accuracy = sg_results_graded(d->r) ? mean_of(&s[k].tp, 1)
                                                                                    : share_of(&s[k].tp),
                                                .cost = mean_of(&s[k].tc, INFINITY),
                                                .brier = none,
                                                .auc = none};
    const struct moment nothing = {0};
    a->single[d->m] =
        (struct sg_single_model){.model = "(random)",
                                 .price_input = none,
                                 .price_output = none,
                                 .n_estimated = truth ? d->n_scored : d->n,
                                 .n_scored = d->n_scored,
                                 .predicted_accuracy = mean_of(truth ? &nothing : &random_p, 1),
                                 .predicted_cost = mean_of(truth ? &nothing : &random_c, INFINITY),
                                 .accuracy = mean_of(truth ? &random_p : &nothing, 1),
                                 .cost = mean_of(truth ? &random_c : &nothing, INFINITY)};
    name_them(a);
    SG_TRY(mark_hull(a, err));
out:
    free(s);
    return st;
}

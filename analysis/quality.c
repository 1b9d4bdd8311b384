#include "quality.h"

#include "base/mem.h"
#include "bootstrap.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scores of a constant estimate, the group's own rate of right answers. An estimate that does not beat it
 * says nothing about single answers. The rate is taken in hindsight, which makes the constant slightly too
 * good. */
static void base_rate(const struct sg_quality *of, struct sg_quality *out) {
    const double r = of->base_rate;
    const double none = (double)NAN; /* its calibration is by construction and says nothing */
    *out = (struct sg_quality){.n = of->n,
                               .base_rate = r,
                               .mean_p = r,
                               .brier = of->spread,
                               .auc = 0.5,
                               .ece = none,
                               .ece_null = {none, none, none}};
    out->log_loss = r > 0 && r < 1 ? -r * log(r) - (1 - r) * log1p(-r) : 0;
    if (!of->n) out->brier = out->log_loss = out->auc = none;
    if (isnan(of->auc)) out->auc = none;
}

/* The estimator's own p, whichever estimate decides. */
static const double *scope_of(const struct sg_analysis *a) {
    const struct sg_advice *v = a->opt.advice;
    return v && v->p[SG_ESTIMATE_SCOPE] ? v->p[SG_ESTIMATE_SCOPE] : a->data->p;
}

void sg__brier_sums(const struct sg_dataset *d, const double *scope, const double *p, const double *tp,
                    double *num, double *den) {
    for (int64_t q = 0, i = 0; q < d->n; q++)
        for (int32_t k = 0; k < d->m; k++, i++) {
            const double ours = scope[i] - tp[i], theirs = p[i] - tp[i];
            if (isnan(ours) || isnan(theirs)) continue;
            num[q] += theirs * theirs - ours * ours;
            den[q]++;
        }
}

/* Scratch of one run: matrices [n * m] of one estimator, and the two groupings. */
struct work {
    double *p, *length, *sd, *true_length;
    double *truth;    /* as measured: NaN for a model whose truth is stood in for */
    uint8_t *correct; /* where truth is graded: what counts as right; else NULL */
    double *gain;     /* [2 * SG_ESTIMATORS][n]: num, den of each estimator's Brier score less ours */
    int32_t *by_model, *by_category, *samples;
    struct sg_quality_room room;
};

static enum sg_estimate estimate_of(enum sg_estimator e) {
    return e == SG_EST_ANCHORED ? SG_ESTIMATE_ANCHORED : SG_ESTIMATE_COMBINED;
}

static void fill_lengths(const struct sg_dataset *d, const struct sg_advice *of, struct work *w,
                         enum sg_estimator e) {
    const struct sg_results *r = d->r;
    const double *from = e == SG_EST_SCOPE ? r->length_mean
                         : e == SG_EST_KNN ? r->knn_length
                                           : r->anchor_length;
    const double *fitted =
        of && (e == SG_EST_ANCHORED || e == SG_EST_COMBINED) ? of->tokens[estimate_of(e)] : NULL;
    for (int64_t q = 0, i = 0; q < d->n; q++)
        for (int32_t k = 0; k < d->m; k++, i++)
            w->length[i] = isnan(d->p[i]) || isnan(w->truth[i]) || !from ? (double)NAN
                           : fitted                                      ? fitted[i]
                                                                         : from[sg_dataset_cell(d, q, k)];
}

static enum sg_status one_estimator(struct sg_analysis *a, struct work *w, enum sg_estimator e,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const int64_t cells = d->n * d->m;
    const struct sg_grouping by[3] = {{NULL, 1}, {w->by_model, d->m}, {w->by_category, d->n_categories}};
    const double *p = scope_of(a);
    if (e == SG_EST_ANCHORED || e == SG_EST_COMBINED) {
        p = a->opt.advice ? a->opt.advice->p[estimate_of(e)] : NULL;
        if (!p) return SG_OK;
    } else if (e != SG_EST_SCOPE) {
        /* a pair without this baseline is left out of this estimator's pairs alone; the table gives their
         * number */
        const int64_t without =
            sg_dataset_baseline(d, e == SG_EST_KNN ? SG_BASE_KNN : SG_BASE_ANCHOR, w->p, w->length);
        if (without == cells - d->n_missing) return SG_OK; /* none at all */
        p = w->p;
    }
    SG_TRY(SG_NEW(&a->quality[e], a->n_groups, "quality", err));
    SG_TRY(SG_NEW(&a->bins[e], (int64_t)a->n_groups * SG_ECE_BINS, "quality", err));
    SG_TRY(SG_NEW(&a->length[e], a->n_groups, "quality", err));
    SG_TRY(sg_quality_groups_in(&w->room, &(struct sg_pairs){p, w->truth, w->correct, cells}, by, 3,
                                a->quality[e], a->bins[e], err));
    if (e != SG_EST_SCOPE)
        sg__brier_sums(d, scope_of(a), p, w->truth, w->gain + 2 * e * d->n, w->gain + (2 * e + 1) * d->n);
    fill_lengths(d, a->opt.advice, w, e);
    const struct sg_length_pairs pairs = {w->length, w->true_length, e == SG_EST_SCOPE ? w->sd : NULL,
                                          w->samples, cells};
    SG_TRY(sg_length_groups_in(&w->room, &pairs, by, 3, a->length[e], err));
out:
    return st;
}

enum sg_status sg__quality(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const int64_t cells = d->n * d->m;
    struct work w = {0};
    a->n_groups = 1 + d->m + d->n_categories;
    if (!d->tp) return SG_OK;
    SG_TRY(SG_NEW(&w.p, cells, "quality", err));
    SG_TRY(SG_NEW(&w.length, cells, "quality", err));
    SG_TRY(SG_NEW(&w.sd, cells, "quality", err));
    SG_TRY(SG_NEW(&w.true_length, cells, "quality", err));
    SG_TRY(SG_NEW(&w.truth, cells, "quality", err));
    for (int64_t i = 0; i < cells; i++)
        w.truth[i] = d->measured && !d->measured[i % d->m] ? (double)NAN : d->tp[i];
    if (sg_results_graded(d->r)) {
        SG_TRY(SG_NEW(&w.correct, cells, "quality", err));
        for (int64_t i = 0; i < cells; i++)
            w.correct[i] = sg_dataset_correct(d, i / d->m, (int32_t)(i % d->m));
    }
    SG_TRY(SG_NEW(&w.gain, 2 * SG_ESTIMATORS * d->n, "quality", err));
    SG_TRY(SG_NEW(&w.by_model, cells, "quality", err));
    SG_TRY(SG_NEW(&w.by_category, cells, "quality", err));
    SG_TRY(SG_NEW(&w.samples, cells, "quality", err));
    for (int64_t q = 0; q < d->n; q++)
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t i = q * d->m + k, at = sg_dataset_cell(d, q, k);
            w.by_model[i] = k;
            w.by_category[i] = d->category[q];
            w.true_length[i] = isnan(w.truth[i]) ? (double)NAN : d->r->true_length[at];
            w.sd[i] = d->r->length_sd[at];
            w.samples[i] = d->r->votes_yes[at] + d->r->votes_no[at];
        }
    for (int e = 0; e < SG_EST_BASE; e++)
        if (e != SG_EST_KNN || a->opt.baselines) SG_TRY(one_estimator(a, &w, (enum sg_estimator)e, err));
    SG_TRY(SG_NEW(&a->quality[SG_EST_BASE], a->n_groups, "quality", err));
    for (int32_t g = 0; g < a->n_groups; g++)
        base_rate(&a->quality[SG_EST_SCOPE][g], &a->quality[SG_EST_BASE][g]);
    const double rate = a->quality[SG_EST_SCOPE][0].base_rate;
    for (int64_t i = 0; i < cells; i++) w.p[i] = isnan(d->p[i]) ? (double)NAN : rate;
    sg__brier_sums(d, scope_of(a), w.p, w.truth, w.gain + 2 * SG_EST_BASE * d->n,
                   w.gain + (2 * SG_EST_BASE + 1) * d->n);
    struct sg_boot_ratio ratio[SG_ESTIMATORS];
    for (int e = 0; e < SG_ESTIMATORS; e++)
        ratio[e] = (struct sg_boot_ratio){.num = w.gain + 2 * e * d->n, .den = w.gain + (2 * e + 1) * d->n};
    SG_TRY(sg_boot_ratios(ratio, SG_ESTIMATORS, d->n, a->opt.seed, a->opt.reps, a->opt.threads, err));
    for (int e = 0; e < SG_ESTIMATORS; e++)
        a->brier_gain[e] = (struct sg_value){ratio[e].value, ratio[e].low, ratio[e].high};
    for (int32_t k = 0; k < d->m; k++) {
        a->single[k].brier = a->quality[SG_EST_SCOPE][1 + k].brier;
        a->single[k].auc = a->quality[SG_EST_SCOPE][1 + k].auc;
    }
out:
    free(w.p);
    free(w.length);
    free(w.sd);
    free(w.true_length);
    free(w.truth);
    free(w.correct);
    free(w.gain);
    free(w.by_model);
    free(w.by_category);
    free(w.samples);
    sg_quality_room_free(&w.room);
    return st;
}

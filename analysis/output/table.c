#include "analysis/text_width.h"
#include "output.h"

#include <math.h>
#include <string.h>

char *sg_output_number(double x, int digits, char *buf, size_t n) {
    if (isfinite(x))
        snprintf(buf, n, "%.*f", digits, x);
    else
        snprintf(buf, n, "n/a");
    return buf;
}

char *sg_output_percent(double x, char *buf, size_t n) {
    return sg_output_number(100 * x, 1, buf, n);
}

char *sg_output_usd(double x, char *buf, size_t n) {
    if (isnan(x))
        snprintf(buf, n, "n/a");
    else if (x == 0)
        snprintf(buf, n, "0");
    else {
        int digits = 3 - (int)floor(log10(fabs(x)));
        snprintf(buf, n, "%.*f", digits < 0 ? 0 : digits > 12 ? 12 : digits, x);
    }
    return buf;
}

/* In percent; what would print as -0.0 is 0. */
static double tenth(double x) {
    return fabs(100 * x) < 0.05 ? 0 : 100 * x;
}

/* "71.4 [66.1, 76.5]" in percent. */
static char *band(double x, double low, double high, char *buf, size_t n) {
    if (!isfinite(x))
        snprintf(buf, n, "-");
    else if (isnan(low))
        snprintf(buf, n, "%.1f", tenth(x));
    else
        snprintf(buf, n, "%.1f [%.1f, %.1f]", tenth(x), tenth(low), tenth(high));
    return buf;
}

/* "1 query", "2 queries". */
static const char *count(int64_t n, const char *one, const char *many, char *buf, size_t size) {
    snprintf(buf, size, "%lld %s", (long long)n, n == 1 ? one : many);
    return buf;
}

static void head(const struct sg_analysis *a, FILE *to) {
    const struct sg_dataset *d = a->data;
    char b1[40], b2[40];
    fprintf(to, "%s%s%s\n", d->path, d->r->name && *d->r->name ? ": " : "", d->r->name ? d->r->name : "");
    fprintf(to, "%s x %s", count(d->n, "query", "queries", b1, sizeof b1),
            count(d->m, "model", "models", b2, sizeof b2));
    if (d->n_filtered)
        fprintf(to, " (%lld of %s left out by the filters)", (long long)d->n_filtered,
                count(d->n_all, "query", "queries", b1, sizeof b1));
    fprintf(to, "; %s\n",
            d->n_scored == d->n ? "all scored against the truth"
            : d->n_scored       ? "part of them scored against the truth"
                                : "no truth: everything below is as estimated");
    if (d->n_scored && d->n_scored < d->n)
        fprintf(to, "  %s without the truth of an estimated cell: not scored\n",
                count(d->n - d->n_scored, "query", "queries", b1, sizeof b1));
    if (d->n_missing)
        fprintf(to, "  %s without an estimate: no candidate, neither wrong nor free\n",
                count(d->n_missing, "cell", "cells", b1, sizeof b1));
    if (d->n_empty)
        fprintf(to, "  %s without a single valid cell: left out\n",
                count(d->n_empty, "query", "queries", b1, sizeof b1));
    if (d->n_counted)
        fprintf(to, "  %s: prompt tokens counted by the estimator's tokenizer, not measured\n",
                count(d->n_counted, "cell", "cells", b1, sizeof b1));
    if (d->n_scored && !a->knn.n)
        fprintf(to, "  no k-nearest-anchor estimate for every query: that curve and the two-stage "
                    "router are left out\n");
    if (d->n_scored && !a->anchor.n)
        fprintf(to, "  no anchor mean for every query: that curve is left out\n");
}

/* Rows of the frontier table: evenly over the grid. Most columns of a model's name. */
enum { ROWS = 9, NAME_MAX_COLUMNS = 44, NAME_BYTES = 4 * NAME_MAX_COLUMNS + 1 };

static void frontier(const struct sg_analysis *a, FILE *to) {
    const bool truth = a->data->n_scored > 0, bands = a->opt.reps > 0;
    const int32_t n = a->opt.n_grid;
    char c1[32], c2[32], b1[64], b2[64], b3[64], p[3][16];
    fprintf(to, "\nFrontier (accuracy in %%%s; mean cost in USD a query)\n", bands ? ", 95 % interval" : "");
    if (truth)
        fprintf(to, "  %12s  %-20s %-20s %12s  %-20s %8s %9s %9s\n", "budget", "realised", "predicted",
                "truly paid", "oracle", "k-near.", "anch.mean", "two-stage");
    else
        fprintf(to, "  %12s  %-20s %s\n", "budget", "predicted", bands ? "given the votes" : "");
    const struct sg_curve *main_curve = &a->curve[truth ? SG_CURVE_REALISED : SG_CURVE_PREDICTED];
    int32_t first = 0, last = 0; /* budgets below what anything costs say nothing */
    while (first < n - 1 && isnan(main_curve->accuracy[first])) first++;
    for (int r = 0; r < ROWS; r++) {
        const int32_t g = first + (int32_t)((int64_t)r * (n - 1 - first) / (ROWS - 1));
        if (r && a->grid[g] == a->grid[last]) continue; /* all costs the same */
        last = g;
        const struct sg_curve *re = &a->curve[SG_CURVE_REALISED], *pr = &a->curve[SG_CURVE_PREDICTED];
        const struct sg_curve *orc = &a->curve[SG_CURVE_ORACLE];
        sg_output_usd(a->grid[g], c1, sizeof c1);
        band(pr->accuracy[g], pr->low[g], pr->high[g], b2, sizeof b2);
        if (!truth) {
            const struct sg_curve *po = &a->curve[SG_CURVE_POSTERIOR];
            fprintf(to, "  %12s  %-20s %s\n", c1, b2,
                    po->present ? band(po->accuracy[g], po->low[g], po->high[g], b1, sizeof b1) : "");
            continue;
        }
        band(re->accuracy[g], re->low[g], re->high[g], b1, sizeof b1);
        band(orc->accuracy[g], orc->low[g], orc->high[g], b3, sizeof b3);
        const enum sg_curve_id other[3] = {SG_CURVE_KNN, SG_CURVE_ANCHOR, SG_CURVE_ROUTER};
        for (int i = 0; i < 3; i++) {
            const struct sg_curve *o = &a->curve[other[i]];
            band(o->present ? o->accuracy[g] : (double)NAN, (double)NAN, (double)NAN, p[i], sizeof p[i]);
        }
        fprintf(to, "  %12s  %-20s %-20s %12s  %-20s %8s %9s %9s\n", c1, b1, b2,
                isnan(re->cost[g]) ? "-" : sg_output_usd(re->cost[g], c2, sizeof c2), b3, p[0], p[1], p[2]);
    }
    if (!truth && bands)
        fprintf(
            to,
            "  given the votes: what the chosen policies are worth by the Beta posterior of their cells; it\n"
            "  lies below the predicted accuracy by the luck of the cells chosen. Gains below are by it.\n");
    if (truth)
        fprintf(to,
                "  realised: fitted to the budget on one half of the queries, scored on the other (2-fold); "
                "predicted is\n"
                "  optimistic about itself; oracle knows the answers. k-nearest, anchor mean, two-stage: "
                "as realised.\n");
}

static void singles(const struct sg_analysis *a, FILE *to) {
    const struct sg_dataset *d = a->data;
    const bool truth = d->n_scored > 0;
    char b1[64], b2[64], c1[32], c2[32], name[NAME_BYTES];
    int wide = 10;
    for (int32_t k = 0; k < d->m && wide < NAME_MAX_COLUMNS; k++) {
        const int w = sg_text_width(sg_dataset_model(d, k));
        wide = w > NAME_MAX_COLUMNS ? NAME_MAX_COLUMNS : w > wide ? w : wide;
    }
    fprintf(to, "\nSingle models (* on the hull of single models)\n  %-*s   %-20s %12s   %-20s %12s\n", wide,
            "model", truth ? "accuracy" : "", truth ? "cost" : "", "predicted", "pred. cost");
    for (int32_t k = 0; k < d->m; k++) {
        const struct sg_single_model *s = &a->single[k];
        const struct sg_value *x = &s->accuracy, *p = &s->predicted_accuracy;
        fprintf(to, "%s %s   %-20s %12s   %-20s %12s%s\n", s->on_hull ? "*" : " ",
                sg_text_fit(sg_dataset_model(d, k), wide, name, sizeof name),
                truth ? band(x->value, x->low, x->high, b1, sizeof b1) : "",
                truth ? sg_output_usd(s->cost.value, c1, sizeof c1) : "",
                band(p->value, p->low, p->high, b2, sizeof b2),
                sg_output_usd(s->predicted_cost.value, c2, sizeof c2),
                k == a->best_single       ? "  best"
                : k == a->cheapest_single ? "  cheapest"
                                          : "");
    }
    band(a->random_accuracy.value, a->random_accuracy.low, a->random_accuracy.high, b1, sizeof b1);
    if (truth)
        fprintf(to, "  %-*s   %-20s %12s\n", wide, "(random)", truth ? b1 : "",
                truth ? sg_output_usd(a->random_cost.value, c1, sizeof c1) : "");
}

/* What the realised curve has for this budget, and "model 61 %, other 22 %": the models with most queries, at
 * most four. */
static void shares(const struct sg_analysis *a, const struct sg_asked_policy *k, FILE *to) {
    double last = INFINITY, rest = 1;
    int32_t last_model = -1;
    char cost[32], name[NAME_BYTES];
    fprintf(to, "      ");
    if (isfinite(k->fitted_accuracy))
        fprintf(to, "fitted to true costs: %.1f %% for USD %s; ", 100 * k->fitted_accuracy,
                sg_output_usd(k->fitted_cost, cost, sizeof cost));
    for (int i = 0; i < 4; i++) {
        int32_t best = -1;
        for (int32_t j = 0; j < a->data->m; j++) {
            const double s = k->share[j];
            const bool after = s < last || (s == last && j > last_model);
            if (after && s >= 0.005 && (best < 0 || s > k->share[best])) best = j;
        }
        if (best < 0) break;
        fprintf(to, "%s%s %.0f %%", i ? ", " : "",
                sg_text_cut(sg_text_short_name(sg_dataset_model(a->data, best)), NAME_MAX_COLUMNS, name,
                            sizeof name),
                100 * k->share[best]);
        last = k->share[best];
        last_model = best;
        rest -= last;
    }
    if (rest >= 0.005) fprintf(to, ", others %.0f %%", 100 * rest);
    fprintf(to, "\n");
}

static void asks(const struct sg_analysis *a, FILE *to) {
    const struct sg_dataset *d = a->data;
    const bool truth = d->n_scored > 0;
    char b1[64], b2[64], b3[64], c1[32], c2[32], c3[32], best[NAME_BYTES];
    if (!a->n_policies) return;
    fprintf(to, "\nPolicies against the best single model, %s%s\n",
            sg_text_cut(sg_dataset_model(d, a->best_single), NAME_MAX_COLUMNS, best, sizeof best),
            truth ? "" : " (as estimated)");
    fprintf(to, "  %-19s %-20s %12s  %-20s %12s  %-20s %-20s\n",
            a->policies[0].ours ? "budget (our choice)" : "asked", "predicted", "pred. cost",
            truth ? "realised" : "given the votes", truth ? "truly paid" : "", "gain, points",
            "cost saved, %");
    for (size_t i = 0; i < a->n_policies; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        const struct sg_value *real = truth ? &k->accuracy : &k->posterior;
        char name[48];
        snprintf(name, sizeof name, "%s %s", k->is_target ? "accuracy" : "USD",
                 k->is_target ? sg_output_percent(k->asked, c3, sizeof c3)
                              : sg_output_usd(k->asked, c3, sizeof c3));
        fprintf(to, "  %-19s %-20s %12s  ", name,
                band(k->predicted_accuracy.value, k->predicted_accuracy.low, k->predicted_accuracy.high, b1,
                     sizeof b1),
                sg_output_usd(k->predicted_cost.value, c1, sizeof c1));
        fprintf(to, "%-20s %12s  %-20s %-20s\n", band(real->value, real->low, real->high, b1, sizeof b1),
                truth ? sg_output_usd(k->cost.value, c2, sizeof c2) : "",
                band(k->gain.value, k->gain.low, k->gain.high, b2, sizeof b2),
                band(k->saving.value, k->saving.low, k->saving.high, b3, sizeof b3));
        shares(a, k, to);
    }
}

static void quality(const struct sg_analysis *a, FILE *to) {
    char b[64];
    if (!a->quality[SG_EST_SCOPE] || !a->quality[SG_EST_SCOPE][0].n) return;
    fprintf(to, "\nQuality of the estimates over %s\n  %-12s %8s %8s %8s %8s %9s %9s  %s\n",
            count(a->quality[SG_EST_SCOPE][0].n, "cell", "cells", b, sizeof b), "estimator", "Brier",
            "log loss", "AUC", "ECE", "len. MAE", "len. med.",
            "its Brier less SCOPE's x 100 (positive: SCOPE is better)");
    for (int e = 0; e < SG_ESTIMATORS; e++) {
        if (!a->quality[e]) continue;
        const struct sg_quality *q = &a->quality[e][0];
        const struct sg_length_quality *l = a->length[e] ? &a->length[e][0] : NULL;
        const struct sg_value *d = &a->brier_gain[e];
        const double score[] = {q->brier, q->log_loss, q->auc, q->ece};
        fprintf(to, "  %-12s ", sg_estimator_name[e]);
        for (int i = 0; i < 4; i++) fprintf(to, "%8s ", sg_output_number(score[i], 4, b, sizeof b));
        if (l && l->n)
            fprintf(to, "%9.1f %8.0f%%", l->mae, 100 * l->median_relative);
        else
            fprintf(to, "%9s %9s", "-", "-");
        fprintf(to, "  %s\n", e == SG_EST_SCOPE ? "" : band(d->value, d->low, d->high, b, sizeof b));
    }
    const struct sg_length_quality *l = a->length[SG_EST_SCOPE];
    if (l && l->n_coverage)
        fprintf(to, "  90 %% intervals of length from the samples hold the truth in %.1f %% of %s\n",
                100 * l->coverage, count(l->n_coverage, "cell", "cells", b, sizeof b));
}

static void samples(const struct sg_analysis *a, FILE *to) {
    char b[40];
    if (!a->noise[0].n_cells) return;
    fprintf(to, "\nNoise of k samples a cell over %s (variance of the mean)\n  %2s %12s %12s %8s %14s %14s\n",
            count(a->noise[0].n_cells, "cell", "cells", b, sizeof b), "k", "votes", "p_yes", "ratio",
            "Brier votes", "Brier p_yes");
    for (int i = 0; i < SG_SAMPLING_NOISES; i++) {
        const struct sg_sampling_noise *s = &a->noise[i];
        fprintf(to, "  %2d %12.6f %12.6f %8s ", s->k, s->variance_votes, s->variance_p_yes,
                sg_output_number(s->variance_votes / s->variance_p_yes, 2, b, sizeof b));
        if (s->n_brier)
            fprintf(to, "%14.4f %14.4f\n", s->brier_votes, s->brier_p_yes);
        else
            fprintf(to, "%14s %14s\n", "-", "-");
    }
}

void sg_output_table(const struct sg_analysis *a, FILE *to) {
    head(a, to);
    frontier(a, to);
    singles(a, to);
    asks(a, to);
    quality(a, to);
    samples(a, to);
}

#include "writers.h"

#include "analysis/single_models.h"
#include "analysis/text_width.h"

#include <math.h>
#include <string.h>

static const char *band(struct sg_value v, char *buf, size_t n) {
    return sg__print_band(&v, 100, 1, false, buf, n);
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
                                : "no truth: what follows the decision is as estimated");
    if (sg_results_graded(d->r))
        fprintf(
            to,
            "  outcomes are graded: the mean score stands where accuracy would; AUC is about correct: yes\n");
    if (d->n_scored && d->n_scored < d->n)
        fprintf(to, "  %s without the truth of an estimated cell: not scored\n",
                count(d->n - d->n_scored, "query", "queries", b1, sizeof b1));
    if (d->n_unmeasured && d->n_scored)
        fprintf(to, "  %s without any outcome on these queries: in the curves its calls count as estimated\n",
                count(d->n_unmeasured, "model", "models", b1, sizeof b1));
    if (d->n_missing)
        fprintf(
            to,
            "  %s without an estimate: neither wrong nor free; another model answers such a query, whatever "
            "is said of everything\n",
            count(d->n_missing, "cell", "cells", b1, sizeof b1));
    if (d->n_empty)
        fprintf(to, "  %s without a single valid cell: left out\n",
                count(d->n_empty, "query", "queries", b1, sizeof b1));
    if (d->n_counted)
        fprintf(to, "  %s: prompt tokens counted by the estimator's tokenizer, not measured\n",
                count(d->n_counted, "cell", "cells", b1, sizeof b1));
    if (d->n_scored && a->opt.baselines && !a->knn.n)
        fprintf(to, "  no k-nearest-anchor estimate for every query: that curve and the two-stage "
                    "router are left out\n");
    if (d->n_scored && !a->anchor.n)
        fprintf(to, "  no anchor mean for every query: that curve is left out\n");
}

/* Rows of the frontier table: evenly over the grid. Most columns of a model's name. */
enum { ROWS = 9, NAME_MAX_COLUMNS = 44, NAME_BYTES = 4 * NAME_MAX_COLUMNS + 1 };

/* The columns of the frontier table: of a curve its accuracy, with its interval or without, or the cost
 * truly paid. */
enum what { BAND, ACCURACY, COST };
static const struct {
    enum sg_curve_id id;
    enum what what;
    const char *heading, *print;
    bool truth; /* shown with truth, or without */
} frontier_columns[] = {{SG_CURVE_REALISED, BAND, "realised", "  %-20s", true},
                        {SG_CURVE_PREDICTED, BAND, "predicted", " %-20s", true},
                        {SG_CURVE_REALISED, COST, "truly paid", " %12s", true},
                        {SG_CURVE_ORACLE, BAND, "oracle", "  %-20s", true},
                        {SG_CURVE_KNN, ACCURACY, "k-near.", " %8s", true},
                        {SG_CURVE_ANCHOR, ACCURACY, "anch.mean", " %9s", true},
                        {SG_CURVE_ROUTER, ACCURACY, "two-stage", " %9s", true},
                        {SG_CURVE_PREDICTED, BAND, "predicted", "  %-20s", false},
                        {SG_CURVE_POSTERIOR, BAND, "given the votes", " %s", false}};

/* The headings, or the cells at budget g. */
static void frontier_line(const struct sg_analysis *a, int32_t g, FILE *to) {
    const double none = (double)NAN;
    char b[64];
    fprintf(to, "  %12s", g < 0 ? "budget" : sg__print_usd(a->grid[g], b, sizeof b));
    for (size_t i = 0; i < sizeof frontier_columns / sizeof *frontier_columns; i++) {
        const struct sg_curve *c = &a->curve[frontier_columns[i].id];
        const enum what what = frontier_columns[i].what;
        const char *text = frontier_columns[i].heading;
        if (frontier_columns[i].truth != (a->data->n_scored > 0)) continue;
        if (what != COST && frontier_columns[i].id != SG_CURVE_PREDICTED && !c->present) continue;
        if (g >= 0 && what == COST)
            text = isnan(c->cost[g]) ? "-" : sg__print_usd(c->cost[g], b, sizeof b);
        else if (g >= 0 && what == BAND)
            text = band((struct sg_value){c->accuracy[g], c->low[g], c->high[g]}, b, sizeof b);
        else if (g >= 0)
            text = band((struct sg_value){c->accuracy[g], none, none}, b, sizeof b);
        fprintf(to, frontier_columns[i].print, text);
    }
    fprintf(to, "\n");
}

/* Where there is advice, it says what the policies are worth. */
static bool told_policies(const struct sg_analysis *a) {
    return !a->opt.advice || !a->opt.advice->present || a->n_unmet > 0;
}

static void frontier(const struct sg_analysis *a, FILE *to) {
    const bool truth = a->data->n_scored > 0, bands = a->opt.reps > 0;
    const int32_t n = a->opt.n_grid;
    const struct sg_curve *c = &a->curve[truth ? SG_CURVE_REALISED : SG_CURVE_PREDICTED];
    int32_t first = 0, last = 0; /* budgets below what anything costs say nothing */
    while (first < n - 1 && isnan(c->accuracy[first])) first++;
    fprintf(to, "\nFrontier (%s in %%%s; mean cost in USD a query)\n", sg__measure(a),
            bands ? ", 95 % interval" : "");
    frontier_line(a, -1, to);
    for (int r = 0; r < ROWS; r++) {
        const int32_t g = first + (int32_t)((int64_t)r * (n - 1 - first) / (ROWS - 1));
        if (r && a->grid[g] == a->grid[last]) continue; /* all costs the same */
        last = g;
        frontier_line(a, g, to);
    }
    if (!truth && bands)
        fprintf(
            to,
            "  given the votes: what the chosen policies are worth by the Beta posterior of their cells; it\n"
            "  lies below what is predicted by the luck of the cells chosen.%s%s\n",
            told_policies(a) ? " Gains below are by it." : "",
            sg_results_graded(a->data->r) ? " It is about\n  correct: yes, not about scores." : "");
    if (truth)
        fprintf(to,
                "  realised: fitted to the budget on one half of the queries, scored on the other, both "
                "ways, mean\n"
                "  over %d split%s; predicted is optimistic about itself; oracle knows the answers. Anchor "
                "mean%s: as\n"
                "  realised.\n",
                a->n_splits, a->n_splits == 1 ? "" : "s", a->opt.baselines ? ", k-nearest, two-stage" : "");
}

/* A shown column's cell: "71.4 [66.1, 76.5]", "0.0002641", "29%"; "-" where there is none. */
static const char *shown(const struct sg__table_column *c, const void *cell, char *buf, size_t n) {
    const double x = sg__cell_number(c, cell, 0);
    if (!isfinite(x)) return "-";
    if (c->style == SG__AS_USD) return sg__print_usd(x, buf, n);
    if (c->kind == SG__VALUE) return band(*(const struct sg_value *)cell, buf, n);
    if (c->style == SG__AS_PERCENT)
        snprintf(buf, n, "%.*f%%", c->digits, 100 * x);
    else
        snprintf(buf, n, "%.*f", c->digits, x);
    return buf;
}

/* The headings of a table's columns, or the cells of row i. */
static void cells(const struct sg__tables *t, const struct sg__table *table, int64_t i, FILE *to) {
    const bool truth = t->a->data->n_scored > 0;
    char buf[64];
    for (const struct sg__table_column *c = NULL; (c = sg__table_column_shown(table, c, truth));)
        if (c->print)
            fprintf(to, c->print,
                    i < 0 ? sg__heading(t->a, c, buf, sizeof buf)
                          : shown(c, sg__table_cell(table, c, i), buf, sizeof buf));
}

static void singles(const struct sg__tables *t, FILE *to) {
    const struct sg_analysis *a = t->a;
    const struct sg_dataset *d = a->data;
    const struct sg__table *table = sg__tables_find(t, "models");
    char b[64], c[32], name[NAME_BYTES];
    int wide = 10;
    for (int32_t k = 0; k < d->m && wide < NAME_MAX_COLUMNS; k++) {
        const int w = sg_text_width(sg_dataset_model(d, k));
        wide = w > NAME_MAX_COLUMNS ? NAME_MAX_COLUMNS : w > wide ? w : wide;
    }
    fprintf(to, "\nSingle models (* on the hull of single models)\n  %-*s", wide, "model");
    cells(t, table, -1, to);
    for (int32_t k = 0; k < d->m; k++) {
        fprintf(to, "\n%s %s", a->single[k].on_hull ? "*" : " ",
                sg_text_fit(sg_dataset_model(d, k), wide, name, sizeof name));
        cells(t, table, k, to);
        fprintf(to, "%s", k == a->best_single ? "  best" : k == a->cheapest_single ? "  cheapest" : "");
    }
    fprintf(to, "\n");
    const struct sg_single_model *r = &a->single[d->m];
    if (d->n_scored)
        fprintf(to, "  %-*s   %-20s %12s\n", wide, r->model, band(r->accuracy, b, sizeof b),
                sg__print_usd(r->cost.value, c, sizeof c));
}

/* The models with most queries under the policy, at most four: "model 61 %, other 22 %". Then what another
 * policy, that of the realised curve, has for this budget. */
static void shares(const struct sg_analysis *a, const struct sg_asked_policy *k, FILE *to) {
    double last = INFINITY, rest = 1;
    int32_t last_model = -1;
    char cost[32], name[NAME_BYTES];
    fprintf(to, "      who answers: ");
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
    if (isfinite(k->fitted_accuracy))
        fprintf(to, "      the realised curve, which meets this budget in true cost: %.1f %% for USD %s\n",
                100 * k->fitted_accuracy, sg__print_usd(k->fitted_cost, cost, sizeof cost));
}

/* A target out of reach, and what one model alone is known to reach. */
static void unmet(const struct sg_analysis *a, const struct sg_unmet_target *u, FILE *to) {
    char asked[32], end[32], known[32], name[NAME_BYTES];
    const double best = sg__single_accuracy(a, a->best_single);
    fprintf(to, "  %s %-10s out of reach: %s at %s %%", sg__measure(a),
            sg__print_percent(u->asked, asked, sizeof asked),
            a->opt.advice && a->opt.advice->present ? "what is advised ends" : "the estimates end",
            sg__print_percent(u->best, end, sizeof end));
    if (a->data->n_scored)
        fprintf(to, "; by the truth %s alone %s %s %%",
                sg_text_cut(sg_dataset_model(a->data, a->best_single), NAME_MAX_COLUMNS, name, sizeof name),
                sg_results_graded(a->data->r) ? "scores" : "is right on",
                sg__print_percent(best, known, sizeof known));
    fprintf(to, "\n");
}

static void policies(const struct sg__tables *t, FILE *to) {
    const struct sg_analysis *a = t->a;
    const struct sg__table *table = sg__tables_find(t, "policies");
    char name[48], number[32], best[NAME_BYTES];
    if (!a->n_policies && !a->n_unmet) return;
    fprintf(to, "\nPolicies against the best single model, %s%s\n  %-19s",
            sg_text_cut(sg_dataset_model(a->data, a->best_single), NAME_MAX_COLUMNS, best, sizeof best),
            a->data->n_scored ? "" : " (as estimated)",
            a->n_policies && a->policies[0].ours ? "budget (our choice)" : "asked");
    cells(t, table, -1, to);
    fprintf(to, "\n");
    for (size_t i = 0; i < a->n_policies; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        snprintf(name, sizeof name, "%s %s", k->is_target ? sg__measure(a) : "USD",
                 k->is_target ? sg__print_percent(k->asked, number, sizeof number)
                              : sg__print_usd(k->asked, number, sizeof number));
        fprintf(to, "  %-19s", name);
        cells(t, table, (int64_t)i, to);
        fprintf(to, "\n");
        shares(a, k, to);
    }
    for (size_t i = 0; i < a->n_unmet; i++) unmet(a, &a->unmet[i], to);
}

static void quality(const struct sg__tables *t, FILE *to) {
    const struct sg__table *table = sg__tables_find(t, "quality");
    const struct sg_quality *scope = t->a->quality[SG_EST_SCOPE];
    const struct sg_length_quality *length = t->a->length[SG_EST_SCOPE];
    char b[64];
    if (!scope || !scope->n) return;
    fprintf(to, "\nQuality of the estimates over %s\n  %-12s", count(scope->n, "cell", "cells", b, sizeof b),
            "estimator");
    cells(t, table, -1, to);
    for (int e = 0; e < SG_ESTIMATORS; e++) {
        const int64_t row = (int64_t)e * t->a->n_groups;
        if (!sg__table_told(table, row)) continue;
        fprintf(to, "\n  %-12s", sg_estimator_name[e]);
        cells(t, table, row, to);
    }
    fprintf(to, "\n");
    if (length && length->n_coverage)
        fprintf(to, "  90 %% intervals of length from the samples hold the truth in %.1f %% of %s\n",
                100 * length->coverage, count(length->n_coverage, "cell", "cells", b, sizeof b));
}

static void noise(const struct sg__tables *t, FILE *to) {
    const struct sg__table *table = sg__tables_find(t, "noise");
    const struct sg_sampling_noise *k = t->a->noise;
    char b[40];
    if (!k->n_cells) return;
    fprintf(to, "\nNoise of k samples a cell over %s (variance of the mean)\n  %2s",
            count(k->n_cells, "cell", "cells", b, sizeof b), "k");
    cells(t, table, -1, to);
    for (int i = 0; i < SG_SAMPLING_NOISES; i++) {
        fprintf(to, "\n  %2lld", (long long)k[i].k);
        cells(t, table, i, to);
    }
    fprintf(to, "\n");
}

void sg__write_table(const struct sg__tables *t, FILE *to) {
    head(t->a, to);
    sg__write_decision(t->a, to);
    frontier(t->a, to);
    singles(t, to);
    if (told_policies(t->a)) policies(t, to);
    quality(t, to);
    noise(t, to);
}

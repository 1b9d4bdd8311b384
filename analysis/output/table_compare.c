#include "writers.h"

#include "analysis/text_width.h"

#include <math.h>
#include <string.h>

static const char *signed_band(const struct sg_value *v, double times, char *buf, size_t n) {
    return sg__print_band(v, times, 2, true, buf, n);
}

/* The lines of the models whose quantities from `first` to `last` changed; how many. */
static int moves(const struct sg_comparison *c, int32_t f, int first, int last, FILE *to) {
    enum { NAME = 40 };
    static const char *const unit[SG_DRIFTS] = {"points",       "tokens",       "USD/million calls",
                                                "USD/M tokens", "USD/M tokens", "USD a call"};
    static const double times[SG_DRIFTS] = {100, 1, 1e6, 1, 1, 1};
    int moved = 0;
    char b[64], name[4 * NAME + 1];
    for (int32_t k = 0; k < c->n_models; k++)
        for (int i = first; i <= last; i++) {
            const struct sg_drift *d = &c->drift[((int64_t)f * c->n_models + k) * SG_DRIFTS + i];
            if (!d->moved) continue;
            fprintf(to, "  %s %-19s %10.4g -> %-10.4g  %s %s\n",
                    sg_text_fit(c->model[k], NAME, name, sizeof name), sg_drift_name[i], d->before, d->after,
                    signed_band(&d->difference, times[i], b, sizeof b), unit[i]);
            moved++;
        }
    return moved;
}

/* The cells of a file against those of the first. */
static void cells(const struct sg_compared *x, FILE *to) {
    const struct sg_changes *e = &x->changes;
    char b[64], b2[64];
    fprintf(to,
            "  %lld cells that both have: p_correct x 100 changes by %s, |change| %.2f, at most %.2f; %lld "
            "verdicts "
            "change\n",
            (long long)e->cells, signed_band(&e->p, 100, b, sizeof b), 100 * e->p_mean_abs,
            100 * e->p_largest, (long long)e->verdicts);
    fprintf(to, "  lengths of %.1f tokens change by %s, |change| %.2f\n", e->length_first,
            signed_band(&e->length, 1, b, sizeof b), e->length_mean_abs);
    if (e->known)
        fprintf(to, "  over the %lld with a truth Brier x 100 changes by %s, AUC x 100 by %s\n",
                (long long)e->known, signed_band(&e->brier, 100, b, sizeof b),
                signed_band(&e->auc, 100, b2, sizeof b2));
}

/* What stands in one of the files alone. */
static void come_and_gone(const struct sg_compared *x, FILE *to) {
    enum { LIST = 90 };
    char list[4 * LIST + 1];
    if (*x->new_models)
        fprintf(to, "  new models: %s\n", sg_text_cut(x->new_models, LIST, list, sizeof list));
    if (*x->gone_models)
        fprintf(to, "  gone models: %s\n", sg_text_cut(x->gone_models, LIST, list, sizeof list));
    if (x->new_queries || x->gone_queries)
        fprintf(to, "  queries: %lld new, %lld gone\n", (long long)x->new_queries,
                (long long)x->gone_queries);
}

static void advised(const char *when, const struct sg_night_advice *x, FILE *to) {
    char b[2][96];
    fprintf(to, "    %s ", when);
    if (!isnan(x->accuracy.value))
        fprintf(to, "%s %% for USD %s: ", sg__print_band(&x->accuracy, 100, 1, false, b[0], sizeof b[0]),
                sg__print_bill(&x->cost, 1, b[1], sizeof b[1]));
    fprintf(to, "%s\n", x->sentence);
}

/* What a file advises against the first: who answers, the accuracy, the bill in its parts. */
static void advice(const struct sg_nights *x, const struct sg_night *n, FILE *to) {
    enum { MOVES = 3, NAME = 40 };
    char band[64], from[4 * NAME + 1], into[4 * NAME + 1];
    int told = 0;
    fprintf(to, "  %s\n", n->asked);
    advised("then:", &n->before, to);
    advised("now: ", &n->after, to);
    if (isnan(n->prices)) return;
    if (!isnan(n->difference.value))
        fprintf(to, "    accuracy %s points; ", signed_band(&n->difference, 100, band, sizeof band));
    fprintf(to, "another model answers %lld of %lld queries", (long long)n->rerouted, (long long)n->common);
    for (size_t i = 0; i < x->n_moves && told < MOVES; i++) {
        const struct sg_move *m = &x->move[i];
        if (m->file != n->file || m->asked != n->asked) continue;
        fprintf(to, "%s%lld from %s to %s", told++ ? ", " : ": ", (long long)m->queries,
                sg_text_cut(m->before, NAME, from, sizeof from),
                sg_text_cut(m->after, NAME, into, sizeof into));
    }
    fprintf(to, "\n    estimated bill %s -> %s", sg__print_usd(n->bill_before, from, sizeof from),
            sg__print_usd(n->bill_after, into, sizeof into));
    static const char *const part[4] = {"prices", "lengths", "routing", "other queries"};
    const double money[4] = {n->prices, n->lengths, n->routing, n->queries};
    for (int j = 0; j < (n->queries != 0 ? 4 : 3); j++) {
        /* less than the bill's digits show: what its sums are rounded to */
        const double moved = fabs(money[j]) < 1e-6 * n->bill_before ? 0 : money[j];
        fprintf(to, "%s %s %s%s", j ? "," : ":", part[j], moved > 0 ? "+" : "",
                sg__print_usd(moved, from, sizeof from));
    }
    fputc('\n', to);
}

void sg__write_comparison(const struct sg_comparison *c, FILE *to) {
    char b[64], b2[32], usd[32];
    fprintf(to,
            "\nCompared on the %lld queries x %d models that all %d files have (differences to the first, "
            "paired, 95 %%)\n",
            (long long)c->n_queries, c->n_models, c->n_files);
    for (int32_t f = 0; f < c->n_files; f++) {
        const struct sg_compared *x = &c->file[f];
        fprintf(to, "%s%s%s%s\n", x->path, *x->name ? " (" : "", x->name, *x->name ? ")" : "");
        if (f)
            fprintf(to, "  %s%s%s\n", *x->settings ? "settings: " : "same settings", x->settings,
                    x->another_seed ? " (another seed: what it changes is noise)" : "");
        fprintf(to, "  %.0f tokens written a cell", x->sample_tokens);
        if (c->truth && x->quality.n)
            fprintf(to, "; Brier %.4f, AUC %s", x->quality.brier,
                    sg__print_number(x->quality.auc, 4, b2, sizeof b2));
        fprintf(to, "; AIQ %s\n", sg__print_number(x->aiq, 4, b2, sizeof b2));
        if (f) cells(x, to);
        for (int i = 0; i < SG_COMPARE_BUDGETS; i++)
            fprintf(to, "  %s accuracy at USD %s: %s %%  %s\n", c->truth ? "realised" : "predicted",
                    sg__print_usd(c->budget[i], usd, sizeof usd),
                    sg__print_percent(x->accuracy[i], b2, sizeof b2),
                    f ? signed_band(&x->accuracy_difference[i], 100, b, sizeof b) : "");
    }
    for (int32_t f = 1; f < c->n_files; f++) {
        const struct sg_compared *x = &c->file[f];
        fprintf(to, "\nFrom %s to %s\n", c->file[0].path, x->path);
        come_and_gone(x, to);
        moves(c, f, SG_DRIFT_PRICE_INPUT, SG_DRIFT_PRICE_CALL, to);
        if (!moves(c, f, SG_DRIFT_CORRECT, SG_DRIFT_COST, to))
            fprintf(to, "  no model's estimates moved beyond noise (paired t, Holm over models and "
                        "quantities, 5 %%)\n");
        if (c->nights.n_nights) fprintf(to, "  What is advised, then and now\n");
        for (int32_t i = 0; i < c->nights.n_asked; i++)
            advice(&c->nights, &c->nights.night[(int64_t)(f - 1) * c->nights.n_asked + i], to);
    }
}

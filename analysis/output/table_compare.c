#include "writers.h"

#include "analysis/text_width.h"

#include <math.h>
#include <string.h>

static const char *signed_band(const struct sg_value *v, double times, char *buf, size_t n) {
    if (isnan(v->value))
        snprintf(buf, n, "-");
    else if (isnan(v->low))
        snprintf(buf, n, "%+.2f", times * v->value);
    else
        snprintf(buf, n, "%+.2f [%+.2f, %+.2f]", times * v->value, times * v->low, times * v->high);
    return buf;
}

/* The lines of the models whose quantities from `first` to `last` changed; how many. */
static int moves(const struct sg_comparison *c, int32_t f, int first, int last, FILE *to) {
    enum { NAME = 40 };
    static const char *const unit[SG_DRIFTS] = {"points", "tokens", "USD/million calls", "USD/M tokens",
                                                "USD/M tokens"};
    static const double times[SG_DRIFTS] = {100, 1, 1e6, 1, 1};
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

/* The policies at the budgets: queries that change their model, and what the bill does. */
static void rerouted(const struct sg_comparison *c, const struct sg_compared *x, FILE *to) {
    char b[5][32];
    for (int i = 0; i < SG_COMPARE_BUDGETS; i++) {
        const struct sg_rerouted *r = &x->rerouted[i];
        const double money[5] = {r->before, r->after, r->prices, r->lengths, r->routing};
        if (isnan(r->before)) continue;
        for (int j = 0; j < 5; j++) sg__print_usd(money[j], b[j], sizeof b[j]);
        fprintf(to,
                "  policy of USD %s: %lld of %lld queries change their model; estimated bill %s -> %s: "
                "prices %s, "
                "lengths %s, routing %s\n",
                b[0], (long long)r->queries, (long long)c->n_queries, b[0], b[1], b[2], b[3], b[4]);
    }
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
        moves(c, f, SG_DRIFT_PRICE_INPUT, SG_DRIFT_PRICE_OUTPUT, to);
        if (!moves(c, f, SG_DRIFT_CORRECT, SG_DRIFT_COST, to))
            fprintf(to, "  no model's estimates moved beyond noise (paired t, Holm over models and "
                        "quantities, 5 %%)\n");
        rerouted(c, x, to);
    }
}

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

static void moves(const struct sg_comparison *c, int32_t f, FILE *to) {
    enum { NAME = 40 };
    int moved = 0;
    char b[64], name[4 * NAME + 1];
    for (int32_t k = 0; k < c->n_models; k++)
        for (int i = 0; i < SG_DRIFTS; i++) {
            const struct sg_drift *d = &c->drift[((int64_t)f * c->n_models + k) * SG_DRIFTS + i];
            if (!d->moved) continue;
            const double times = i == SG_DRIFT_CORRECT ? 100 : i == SG_DRIFT_COST ? 1e6 : 1;
            fprintf(to, "  %s %-10s %10.4g -> %-10.4g  %s %s\n",
                    sg_text_fit(c->model[k], NAME, name, sizeof name), sg_drift_name[i], d->before, d->after,
                    signed_band(&d->difference, times, b, sizeof b),
                    i == SG_DRIFT_CORRECT ? "points"
                    : i == SG_DRIFT_COST  ? "USD/million calls"
                                          : "tokens");
            moved++;
        }
    if (!moved) fprintf(to, "  no model moved beyond noise\n");
}

void sg__write_comparison(const struct sg_comparison *c, FILE *to) {
    char b[64], b2[32], usd[32];
    fprintf(to,
            "\nCompared on the %lld queries x %d models that all %d files have (differences to the first, "
            "paired, 95 %%)\n",
            (long long)c->n_queries, c->n_models, c->n_files);
    for (int32_t f = 0; f < c->n_files; f++) {
        const struct sg_compared *x = &c->file[f];
        fprintf(to, "%s%s%s%s\n  %.0f tokens written a cell", x->path, *x->name ? " (" : "", x->name,
                *x->name ? ")" : "", x->sample_tokens);
        if (c->truth && x->quality.n)
            fprintf(to, "; Brier %.4f, AUC %s; Brier difference x 100: %s", x->quality.brier,
                    sg__print_number(x->quality.auc, 4, b2, sizeof b2),
                    f ? signed_band(&x->brier_difference, 100, b, sizeof b) : "-");
        fprintf(to, "\n");
        for (int i = 0; i < SG_COMPARE_BUDGETS; i++)
            fprintf(to, "  %s accuracy at USD %s: %s %%  %s\n", c->truth ? "realised" : "predicted",
                    sg__print_usd(c->budget[i], usd, sizeof usd),
                    sg__print_percent(x->accuracy[i], b2, sizeof b2),
                    f ? signed_band(&x->accuracy_difference[i], 100, b, sizeof b) : "");
        fprintf(to, "  AIQ %s\n", sg__print_number(x->aiq, 4, b2, sizeof b2));
    }
    for (int32_t f = 1; f < c->n_files; f++) {
        fprintf(
            to,
            "\nDrift: moved beyond noise from %s to %s (paired t, Holm over models and quantities, 5 %%)\n",
            c->file[0].path, c->file[f].path);
        moves(c, f, to);
    }
}

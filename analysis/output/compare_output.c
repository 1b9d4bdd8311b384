#include "analysis/compare.h"

#include "analysis/text_width.h"
#include "output.h"

#include <math.h>
#include <string.h>

static enum sg_status numbers(struct sg_buf *b, const double *x, int n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int i = 0; i < n; i++) {
        SG_TRY(sg_buf_str(b, ",", err));
        SG_TRY(sg_csv_number(b, x[i], err));
    }
out:
    return st;
}

enum sg_status sg_comparison_csv(const struct sg_comparison *c, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    SG_TRY(sg_buf_str(
        &b,
        "file,name,tokens_per_cell,n,brier,auc,log_loss,ece,brier_difference,brier_low,brier_high,aiq,"
        "aiq_difference,aiq_low,aiq_high",
        err));
    for (int i = 0; i < SG_COMPARE_BUDGETS; i++)
        SG_TRY(sg_buf_printf(
            &b, err, ",budget_%d_usd,accuracy_%d,accuracy_%d_difference,accuracy_%d_low,accuracy_%d_high",
            i + 1, i + 1, i + 1, i + 1, i + 1));
    SG_TRY(sg_buf_str(&b, "\n", err));
    for (int32_t f = 0; f < c->n_files; f++) {
        const struct sg_compared *x = &c->file[f];
        const struct sg_quality *q = &x->quality;
        const double none = (double)NAN;
        const double of[13] = {x->sample_tokens,
                               (double)q->n,
                               q->n ? q->brier : none,
                               q->n ? q->auc : none,
                               q->n ? q->log_loss : none,
                               q->n ? q->ece : none,
                               c->truth ? x->brier_difference.value : none,
                               c->truth ? x->brier_difference.low : none,
                               c->truth ? x->brier_difference.high : none,
                               x->aiq,
                               x->aiq_difference.value,
                               x->aiq_difference.low,
                               x->aiq_difference.high};
        SG_TRY(sg_csv_text(&b, x->path, err));
        SG_TRY(sg_buf_str(&b, ",", err));
        SG_TRY(sg_csv_text(&b, x->name, err));
        SG_TRY(numbers(&b, of, 13, err));
        for (int i = 0; i < SG_COMPARE_BUDGETS; i++) {
            const struct sg_value *d = &x->accuracy_difference[i];
            const double at[5] = {c->budget[i], x->accuracy[i], d->value, d->low, d->high};
            SG_TRY(numbers(&b, at, 5, err));
        }
        SG_TRY(sg_buf_str(&b, "\n", err));
    }
    SG_TRY(sg_csv_save(&b, c->n_files, dir, "compare.csv", err));
    sg_buf_clear(&b);
    SG_TRY(
        sg_buf_str(&b, "file,model,quantity,n,before,after,difference,low,high,p_value,p_holm,moved\n", err));
    for (int32_t f = 1; f < c->n_files; f++)
        for (int32_t k = 0; k < c->n_models; k++)
            for (int i = 0; i < SG_DRIFTS; i++) {
                const struct sg_drift *d = &c->drift[((int64_t)f * c->n_models + k) * SG_DRIFTS + i];
                const double of[7] = {
                    d->before,  d->after, d->difference.value, d->difference.low, d->difference.high,
                    d->p_value, d->holm};
                SG_TRY(sg_csv_text(&b, c->file[f].path, err));
                SG_TRY(sg_buf_str(&b, ",", err));
                SG_TRY(sg_csv_text(&b, c->model[k], err));
                SG_TRY(sg_buf_printf(&b, err, ",%s,%lld", sg_drift_name[i], (long long)d->n));
                SG_TRY(numbers(&b, of, 7, err));
                SG_TRY(sg_buf_printf(&b, err, ",%d\n", d->moved));
            }
    SG_TRY(sg_csv_save(&b, c->n_files - 1, dir, "drift.csv", err));
out:
    sg_buf_free(&b);
    return st;
}

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

void sg_comparison_table(const struct sg_comparison *c, FILE *to) {
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
                    sg_output_number(x->quality.auc, 4, b2, sizeof b2),
                    f ? signed_band(&x->brier_difference, 100, b, sizeof b) : "-");
        fprintf(to, "\n");
        for (int i = 0; i < SG_COMPARE_BUDGETS; i++)
            fprintf(to, "  %s accuracy at USD %s: %s %%  %s\n", c->truth ? "realised" : "predicted",
                    sg_output_usd(c->budget[i], usd, sizeof usd),
                    sg_output_percent(x->accuracy[i], b2, sizeof b2),
                    f ? signed_band(&x->accuracy_difference[i], 100, b, sizeof b) : "");
        fprintf(to, "  AIQ %s  %s\n", sg_output_number(x->aiq, 4, b2, sizeof b2),
                f ? signed_band(&x->aiq_difference, 100, b, sizeof b) : "");
    }
    for (int32_t f = 1; f < c->n_files; f++) {
        fprintf(
            to,
            "\nDrift: moved beyond noise from %s to %s (paired t, Holm over models and quantities, 5 %%)\n",
            c->file[0].path, c->file[f].path);
        moves(c, f, to);
    }
}

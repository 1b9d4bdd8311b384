#include "report.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "analysis/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const unsigned char sg__report_page[]; /* made from report.html by the build */

/* JSON being written; the first error sticks, so that the writers below read like the data. */
struct out {
    struct sg_buf b;
    enum sg_status st;
    struct sg_err *err;
    bool comma;
};

static void raw(struct out *o, const char *s) {
    if (o->st == SG_OK) o->st = sg_buf_str(&o->b, s, o->err);
}
static void sep(struct out *o) {
    if (o->comma) raw(o, ",");
    o->comma = true;
}
static void text(struct out *o, const char *s) {
    sep(o);
    if (o->st == SG_OK) o->st = sg_json_quote(&o->b, s ? s : "", s ? strlen(s) : 0, o->err);
}
static void key(struct out *o, const char *s) {
    text(o, s);
    raw(o, ":");
    o->comma = false;
}
static void open_(struct out *o, const char *bracket) {
    sep(o);
    raw(o, bracket);
    o->comma = false;
}
static void close_(struct out *o, const char *bracket) {
    raw(o, bracket);
    o->comma = true;
}
static void number(struct out *o, double x) {
    sep(o);
    if (!isfinite(x))
        raw(o, "null");
    else if (o->st == SG_OK)
        o->st = sg_buf_printf(&o->b, o->err, "%.7g", x);
}
static void whole(struct out *o, int64_t x) {
    sep(o);
    if (o->st == SG_OK) o->st = sg_buf_printf(&o->b, o->err, "%lld", (long long)x);
}
static void key_text(struct out *o, const char *k, const char *s) {
    key(o, k);
    text(o, s);
}
static void key_number(struct out *o, const char *k, double x) {
    key(o, k);
    number(o, x);
}
static void key_whole(struct out *o, const char *k, int64_t x) {
    key(o, k);
    whole(o, x);
}
static void key_array(struct out *o, const char *k, const double *x, int64_t n) {
    key(o, k);
    open_(o, "[");
    for (int64_t i = 0; i < n; i++) number(o, x[i]);
    close_(o, "]");
}
static void value(struct out *o, const struct sg_value *v) {
    open_(o, "[");
    number(o, v->value);
    number(o, v->low);
    number(o, v->high);
    close_(o, "]");
}
static void key_value(struct out *o, const char *k, const struct sg_value *v) {
    key(o, k);
    value(o, v);
}

static void facts(struct out *o, const struct sg_analysis *a) {
    const struct sg_dataset *d = a->data;
    const struct sg_results *r = d->r;
    char digest[SG_DIGEST_HEX], version[80];
    sg_digest_hex(r->digest, digest);
    snprintf(version, sizeof version, "scope-grid %.60s", r->version && *r->version ? r->version : "?");
    key_text(o, "name", r->name);
    key_text(o, "file", d->path);
    key_text(o, "digest", digest);
    key_text(o, "version", version);
    key_text(o, "finished", r->finished_at);
    key_whole(o, "n", d->n);
    key_whole(o, "n_scored", d->n_scored);
    key_whole(o, "n_missing", d->n_missing);
    key_whole(o, "n_empty", d->n_empty);
    key_whole(o, "n_filtered", d->n_filtered);
    key_whole(o, "n_counted", d->n_counted);
    key_whole(o, "own_prices", d->own_prices);
    key_whole(o, "reps", a->opt.reps);
    key_whole(o, "seed", (int64_t)a->opt.seed);
    key_whole(o, "best", a->best_single);
    key_whole(o, "cheapest", a->cheapest_single);
}

static void curves(struct out *o, const struct sg_analysis *a) {
    const int32_t n = a->opt.n_grid;
    key_array(o, "grid", a->grid, n);
    key(o, "curves");
    open_(o, "{");
    for (int i = 0; i < SG_CURVES; i++) {
        const struct sg_curve *c = &a->curve[i];
        if (!c->present) continue;
        key(o, sg_curve_name[i]);
        open_(o, "{");
        key_array(o, "accuracy", c->accuracy, n);
        key_array(o, "low", c->low, n);
        key_array(o, "high", c->high, n);
        key_array(o, "cost", c->cost, n);
        if (c->rep_cost) key_array(o, "cost_low", c->cost_low, n);
        if (c->rep_cost) key_array(o, "cost_high", c->cost_high, n);
        close_(o, "}");
    }
    close_(o, "}");
    key(o, "share");
    open_(o, "[");
    for (int32_t g = 0; g < n; g++) {
        open_(o, "[");
        for (int32_t k = 0; k < a->data->m; k++) {
            const double s = a->share[(int64_t)g * a->data->m + k];
            if (!(s > 0)) continue;
            open_(o, "[");
            whole(o, k);
            number(o, s);
            close_(o, "]");
        }
        close_(o, "]");
    }
    close_(o, "]");
}

/* Intervals of gain and saving against the best single model at every budget, paired. */
static enum sg_status gains(struct out *o, const struct sg_analysis *a) {
    enum sg_status st = SG_OK;
    struct sg_err *err = o->err;
    const struct sg_curve *c = &a->curve[a->data->n_scored                      ? SG_CURVE_REALISED
                                         : a->curve[SG_CURVE_POSTERIOR].present ? SG_CURVE_POSTERIOR
                                                                                : SG_CURVE_PREDICTED];
    const int32_t n = a->opt.n_grid;
    const int64_t reps = c->rep && a->best_rep_accuracy ? a->opt.reps : 0;
    double *x = NULL, *scratch = NULL;
    SG_TRY(SG_NEW(&x, 4 * n + reps, "gains", err));
    SG_TRY(SG_NEW(&scratch, reps, "gains", err));
    double *diff = x + 4 * n;
    for (int32_t g = 0; g < n; g++) {
        for (int i = 0; i < 4; i++) x[i * n + g] = (double)NAN;
        if (!reps || isnan(c->accuracy[g])) continue;
        for (int64_t r = 0; r < reps; r++) diff[r] = c->rep[r * n + g] - a->best_rep_accuracy[r];
        sg_boot_interval(diff, reps, 1, 0, &x[g], &x[n + g], scratch);
        for (int64_t r = 0; r < reps; r++)
            diff[r] = 1 - (c->rep_cost ? c->rep_cost[r * n + g] : a->grid[g]) / a->best_rep_cost[r];
        sg_boot_interval(diff, reps, 1, 0, &x[2 * n + g], &x[3 * n + g], scratch);
    }
    key_array(o, "gain_low", x, n);
    key_array(o, "gain_high", x + n, n);
    key_array(o, "save_low", x + 2 * n, n);
    key_array(o, "save_high", x + 3 * n, n);
out:
    free(x);
    free(scratch);
    return st;
}

static void models(struct out *o, const struct sg_analysis *a) {
    const struct sg_dataset *d = a->data;
    const size_t at = a->n_value - 1; /* the dearest lambda: what a model is worth when money counts */
    const struct sg_portfolio_value *worth = a->value_true ? &a->value_true[at] : &a->value_predicted[at];
    key_number(o, "value_lambda", worth->lambda);
    key_value(o, "random_accuracy", &a->random_accuracy);
    key_value(o, "random_cost", &a->random_cost);
    key(o, "models");
    open_(o, "[");
    for (int32_t k = 0; k < d->m; k++) {
        const struct sg_single_model *s = &a->single[k];
        const struct sg_quality *q = a->quality[SG_EST_SCOPE] ? &a->quality[SG_EST_SCOPE][1 + k] : NULL;
        open_(o, "{");
        key_text(o, "id", sg_dataset_model(d, k));
        key_value(o, "accuracy", &s->accuracy);
        key_value(o, "cost", &s->cost);
        key_value(o, "predicted_accuracy", &s->predicted_accuracy);
        key_value(o, "predicted_cost", &s->predicted_cost);
        key_number(o, "price_input", d->price_input[k]);
        key_number(o, "price_output", d->price_output[k]);
        key_whole(o, "on_hull", s->on_hull);
        key_number(o, "brier", q ? q->brier : (double)NAN);
        key_number(o, "auc", q ? q->auc : (double)NAN);
        key_number(o, "value", worth->shapley[k]);
        close_(o, "}");
    }
    close_(o, "]");
}

static void asks(struct out *o, const struct sg_analysis *a) {
    key(o, "asks");
    open_(o, "[");
    for (size_t i = 0; i < a->n_policies; i++) {
        const struct sg_asked_policy *k = &a->policies[i];
        open_(o, "{");
        key_whole(o, "is_target", k->is_target);
        key_whole(o, "ours", k->ours);
        key_number(o, "asked", k->asked);
        key_value(o, "predicted_accuracy", &k->predicted_accuracy);
        key_value(o, "predicted_cost", &k->predicted_cost);
        key_value(o, "accuracy", &k->accuracy);
        key_value(o, "cost", &k->cost);
        key_value(o, "posterior", &k->posterior);
        key_value(o, "gain", &k->gain);
        key_value(o, "saving", &k->saving);
        key_number(o, "oracle_gap", k->oracle_gap);
        key_number(o, "fitted_accuracy", k->fitted_accuracy);
        key_number(o, "fitted_cost", k->fitted_cost);
        close_(o, "}");
    }
    close_(o, "]");
}

static void quality(struct out *o, const struct sg_analysis *a) {
    key(o, "quality");
    open_(o, "{");
    for (int e = 0; e < SG_ESTIMATORS; e++) {
        if (!a->quality[e]) continue;
        const struct sg_quality *q = &a->quality[e][0];
        const struct sg_length_quality *l = a->length[e] ? &a->length[e][0] : NULL;
        key(o, sg_estimator_name[e]);
        open_(o, "{");
        key_whole(o, "n", q->n);
        key_number(o, "brier", q->brier);
        key_number(o, "log_loss", q->log_loss);
        key_number(o, "auc", q->auc);
        key_number(o, "ece", q->ece);
        key_number(o, "length_median", l && l->n ? l->median_relative : (double)NAN);
        key_value(o, "gain", &a->brier_gain[e]);
        close_(o, "}");
    }
    close_(o, "}");
    key(o, "bins");
    open_(o, "{");
    for (int e = 0; e < SG_ESTIMATORS; e++) {
        if (!a->bins[e]) continue;
        key(o, sg_estimator_name[e]);
        open_(o, "[");
        for (int i = 0; i < SG_ECE_BINS; i++) {
            const struct sg_bin *b = &a->bins[e][i];
            if (!b->n) continue;
            open_(o, "[");
            number(o, b->mean_p);
            number(o, b->mean_y);
            whole(o, b->n);
            close_(o, "]");
        }
        close_(o, "]");
    }
    close_(o, "}");
    key(o, "samples");
    open_(o, "[");
    for (int i = 0; i < SG_SAMPLING_NOISES && a->noise[i].n_cells; i++) {
        const struct sg_sampling_noise *s = &a->noise[i];
        open_(o, "[");
        whole(o, s->k);
        number(o, s->variance_votes);
        number(o, s->variance_p_yes);
        number(o, s->brier_votes);
        number(o, s->brier_p_yes);
        close_(o, "]");
    }
    close_(o, "]");
}

static void metrics(struct out *o, const struct sg_analysis *a) {
    key(o, "metrics");
    open_(o, "[");
    for (size_t i = 0; i < a->n_metric; i++) {
        const struct sg_metric *m = &a->metric[i];
        open_(o, "{");
        key_text(o, "name", m->name);
        key(o, "curve");
        text(o, m->curve);
        key_value(o, "v", &m->v);
        key_text(o, "detail", m->detail);
        key_text(o, "formula", m->formula);
        key_text(o, "source", m->source);
        close_(o, "}");
    }
    close_(o, "]");
}

static void comparison(struct out *o, const struct sg_comparison *c) {
    const struct sg_value none = {(double)NAN, (double)NAN, (double)NAN};
    key(o, "compare");
    open_(o, "{");
    key_whole(o, "n", c->n_queries);
    key_whole(o, "m", c->n_models);
    key_array(o, "budgets", c->budget, SG_COMPARE_BUDGETS);
    key(o, "files");
    open_(o, "[");
    for (int32_t f = 0; f < c->n_files; f++) {
        const struct sg_compared *x = &c->file[f];
        open_(o, "{");
        key_text(o, "path", x->path);
        key_number(o, "tokens", x->sample_tokens);
        key_number(o, "brier", x->quality.n ? x->quality.brier : (double)NAN);
        key_number(o, "auc", x->quality.n ? x->quality.auc : (double)NAN);
        key_value(o, "brier_difference", c->truth ? &x->brier_difference : &none);
        key_array(o, "accuracy", x->accuracy, SG_COMPARE_BUDGETS);
        key(o, "accuracy_difference");
        open_(o, "[");
        for (int i = 0; i < SG_COMPARE_BUDGETS; i++) value(o, &x->accuracy_difference[i]);
        close_(o, "]");
        close_(o, "}");
    }
    close_(o, "]");
    key(o, "moved");
    open_(o, "[");
    for (int32_t f = 1; f < c->n_files; f++)
        for (int32_t k = 0; k < c->n_models; k++)
            for (int i = 0; i < SG_DRIFTS; i++) {
                const struct sg_drift *d = &c->drift[((int64_t)f * c->n_models + k) * SG_DRIFTS + i];
                if (!d->moved) continue;
                open_(o, "{");
                key_text(o, "model", c->model[k]);
                key_text(o, "what", sg_drift_name[i]);
                key_text(o, "file", c->file[f].path);
                key_number(o, "before", d->before);
                key_number(o, "after", d->after);
                key_number(o, "p", d->holm);
                close_(o, "}");
            }
    close_(o, "]");
    close_(o, "}");
}

enum sg_status sg_report_write(const struct sg_analysis *a, const struct sg_comparison *c, const char *dir,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct out o = {.err = err};
    struct sg_buf page = {0};
    char *path = NULL;
    const char *start = (const char *)sg__report_page, *hole = strstr(start, "@DATA@");
    SG_ASSERT(hole);
    SG_TRY(sg_path_join(dir, "report.html", &path, err));
    open_(&o, "{");
    facts(&o, a);
    curves(&o, a);
    SG_TRY(gains(&o, a));
    models(&o, a);
    asks(&o, a);
    quality(&o, a);
    metrics(&o, a);
    if (c) comparison(&o, c);
    close_(&o, "}");
    SG_TRY(o.st);
    SG_TRY(sg_buf_add(&page, start, (size_t)(hole - start), err));
    for (size_t i = 0, from = 0; i <= o.b.len;
         i++) { /* '<' could end the script element: only strings hold it */
        if (i < o.b.len && o.b.data[i] != '<') continue;
        SG_TRY(sg_buf_add(&page, o.b.data + from, i - from, err));
        if (i < o.b.len) SG_TRY(sg_buf_str(&page, "\\u003c", err));
        from = i + 1;
    }
    SG_TRY(sg_buf_str(&page, hole + strlen("@DATA@"), err));
    SG_TRY(sg_file_write_atomic(path, page.data, page.len, err));
out:
    free(path);
    sg_buf_free(&o.b);
    sg_buf_free(&page);
    return st;
}

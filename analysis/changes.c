#include "changes.h"

#include "base/json.h"
#include "base/mem.h"
#include "bootstrap.h"
#include "quality.h"
#include "sort.h"
#include "sum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const sg_drift_name[SG_DRIFTS] = {"p_correct",   "length",       "cost at equal prices",
                                              "input price", "output price", "price of a call"};

static double length_of(const struct sg_dataset *d, int64_t at) {
    return d->r->length_mean[sg_dataset_cell(d, at / d->m, (int32_t)(at % d->m))];
}

static bool both(const struct sg_dataset *a, const struct sg_dataset *b, int64_t at) {
    return !isnan(a->p[at]) && !isnan(b->p[at]);
}

/* AUC of p against y over k pairs, and of each pair what it adds: AUC is the mean of these sums over the pairs of
 * a resample, to first order (DeLong et al. 1988; Obuchowski 1997 for pairs in clusters, here queries). Adds sign
 * times it to influence[query]. */
static enum sg_status auc_influence(const double *p, const uint8_t *y, const int32_t *query, int64_t k,
                                    double sign, double *influence, double *auc, struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint32_t *order = NULL;
    double *placed = NULL, right = 0, wrong = 0, right_before = 0, wrong_before = 0, sum = 0;
    SG_TRY(SG_NEW(&order, k, "pairs", err));
    SG_TRY(SG_NEW(&placed, k, "pairs", err));
    SG_TRY(sg_sort_order(p, k, false, order, err));
    for (int64_t i = 0; i < k; i++) right += y[i];
    wrong = (double)k - right;
    for (int64_t i = 0, j; i < k; i = j) { /* runs of ties */
        double tie_right = 0;
        for (j = i; j < k && p[order[j]] == p[order[i]]; j++) tie_right += y[order[j]];
        const double tie_wrong = (double)(j - i) - tie_right;
        const double of_right = (wrong_before + tie_wrong / 2) / wrong;
        const double of_wrong = (right - right_before - tie_right / 2) / right;
        for (int64_t t = i; t < j; t++) placed[order[t]] = y[order[t]] ? of_right : of_wrong;
        sum += tie_right * of_right;
        right_before += tie_right;
        wrong_before += tie_wrong;
    }
    *auc = sum / right;
    for (int64_t i = 0; i < k; i++) influence[query[i]] += sign * (placed[i] - *auc) / (y[i] ? right : wrong);
out:
    free(order);
    free(placed);
    return st;
}

/* AUC of b less that of a, and per query what a resample adds to it. */
static enum sg_status auc_change(const struct sg_dataset *a, const struct sg_dataset *b, double *influence,
                                 double *difference, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t cells = a->n * a->m;
    double *p = NULL, first, second;
    uint8_t *y = NULL;
    int32_t *query = NULL;
    int64_t k = 0;
    SG_TRY(SG_NEW(&p, 2 * cells, "pairs", err));
    SG_TRY(SG_NEW(&y, cells, "pairs", err));
    SG_TRY(SG_NEW(&query, cells, "pairs", err));
    for (int64_t at = 0; at < cells; at++) {
        if (!both(a, b, at) || isnan(a->tp[at])) continue;
        p[k] = a->p[at];
        p[cells + k] = b->p[at];
        y[k] = sg_dataset_correct(a, at / a->m, (int32_t)(at % a->m));
        query[k++] = (int32_t)(at / a->m);
    }
    SG_TRY(auc_influence(p, y, query, k, -1, influence, &first, err));
    SG_TRY(auc_influence(p + cells, y, query, k, 1, influence, &second, err));
    *difference = second - first;
out:
    free(p);
    free(y);
    free(query);
    return st;
}

enum sg_status sg__changes(const struct sg_dataset *a, const struct sg_dataset *b,
                           const struct sg_analysis_options *opt, struct sg_changes *out,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    const double none = (double)NAN;
    const int64_t n = a->n;
    struct sg_changes x = {.brier = {none, none, none}, .auc = {none, none, none}};
    struct sg_sum p_abs = {0, 0}, length_abs = {0, 0}, first = {0, 0};
    double *q =
        NULL; /* [7 * n]: sums over each query's cells of the changes of p, of length, cells; squared errors,
                         their number; the AUC's; ones */
    SG_TRY(SG_NEW(&q, 7 * n, "changes", err));
    for (int64_t at = 0; at < n * a->m; at++) {
        if (!both(a, b, at)) continue;
        const double la = length_of(a, at), lb = length_of(b, at), dp = b->p[at] - a->p[at];
        sg_sum_add(&p_abs, fabs(dp));
        sg_sum_add(&length_abs, fabs(lb - la));
        sg_sum_add(&first, la);
        x.p_largest = fmax(x.p_largest, fabs(dp));
        x.verdicts += (a->p[at] >= 0.5) != (b->p[at] >= 0.5);
        x.known += a->tp && b->tp && !isnan(a->tp[at]);
        x.cells++;
        q[at / a->m] += dp;
        q[n + at / a->m] += lb - la;
        q[2 * n + at / a->m]++;
    }
    for (int64_t i = 0; i < n; i++) q[6 * n + i] = 1;
    x.p_mean_abs = sg_sum_get(&p_abs) / (double)x.cells;
    x.length_first = sg_sum_get(&first) / (double)x.cells;
    x.length_mean_abs = sg_sum_get(&length_abs) / (double)x.cells;
    struct sg_boot_ratio ratio[4] = {{.num = q, .den = q + 2 * n},
                                     {.num = q + n, .den = q + 2 * n},
                                     {.num = q + 3 * n, .den = q + 4 * n},
                                     {.num = q + 5 * n, .den = q + 6 * n}};
    double auc = none;
    if (x.known) {
        sg__brier_sums(a, a->p, b->p, b->tp, q + 3 * n, q + 4 * n);
        SG_TRY(auc_change(a, b, q + 5 * n, &auc, err));
        for (int64_t i = 5 * n; i < 6 * n; i++) q[i] *= (double)n;
    }
    SG_TRY(sg_boot_ratios(ratio, x.known ? 4 : 2, n, opt->seed, opt->reps, opt->threads, err));
    struct sg_value *const value[4] = {&x.p, &x.length, &x.brier, &x.auc};
    for (int i = 0; i < (x.known ? 4 : 2); i++)
        *value[i] = (struct sg_value){ratio[i].value, ratio[i].low, ratio[i].high};
    if (x.known) x.auc = (struct sg_value){auc, auc + ratio[3].low, auc + ratio[3].high};
    *out = x;
out:
    free(q);
    return st;
}

enum sg_status sg_holm(const double *p, int64_t n, double *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint32_t *order = NULL;
    double *key = NULL, most = 0;
    int64_t tests = 0, rank = 0;
    SG_TRY(SG_NEW(&order, n, "p-values", err));
    SG_TRY(SG_NEW(&key, n, "p-values", err));
    for (int64_t i = 0; i < n; i++) {
        tests += !isnan(p[i]);
        key[i] = isnan(p[i]) ? INFINITY : p[i];
    }
    SG_TRY(sg_sort_order(key, n, false, order, err));
    for (int64_t i = 0; i < n; i++) {
        const uint32_t k = order[i];
        if (isnan(p[k])) {
            out[k] = (double)NAN;
            continue;
        }
        most = fmax(most, fmin(1, p[k] * (double)(tests - rank++)));
        out[k] = most;
    }
out:
    free(order);
    free(key);
    return st;
}

/* USD of a call as estimated, with the prices of another dataset. */
static double cost_at(const struct sg_dataset *prices, const struct sg_dataset *d, int64_t at) {
    const int32_t k = (int32_t)(at % d->m);
    return sg_dataset_prompt(d, at / d->m, k) / 1e6 * prices->price_input[k] +
           length_of(d, at) / 1e6 * prices->price_output[k] + prices->price_request[k];
}

static double drift_value(const struct sg_dataset *prices, const struct sg_dataset *d, int64_t at, int what) {
    if (isnan(d->p[at])) return (double)NAN;
    return what == SG_DRIFT_CORRECT ? d->p[at]
           : what == SG_DRIFT_COST  ? cost_at(prices, d, at)
                                    : length_of(d, at);
}

static struct sg_drift price_change(const struct sg_dataset *a, double before, double after) {
    const double none = (double)NAN;
    return (struct sg_drift){.n = a->n,
                             .before = before,
                             .after = after,
                             .difference = {after - before, none, none},
                             .p_value = none,
                             .moved = after != before};
}

static struct sg_drift drift(const struct sg_dataset *a, const struct sg_dataset *b, int32_t k, int what) {
    struct sg_sum before = {0, 0}, after = {0, 0};
    double mean = 0, square = 0; /* of the differences, about their mean (Welford 1962) */
    struct sg_drift d = {.p_value = (double)NAN};
    if (what == SG_DRIFT_PRICE_INPUT) return price_change(a, a->price_input[k], b->price_input[k]);
    if (what == SG_DRIFT_PRICE_OUTPUT) return price_change(a, a->price_output[k], b->price_output[k]);
    if (what == SG_DRIFT_PRICE_CALL) return price_change(a, a->price_request[k], b->price_request[k]);
    for (int64_t at = k; at < a->n * a->m; at += a->m) {
        const double x = drift_value(a, a, at, what), y = drift_value(a, b, at, what);
        if (isnan(x) || isnan(y)) continue;
        sg_sum_add(&before, x);
        sg_sum_add(&after, y);
        const double off = y - x - mean;
        mean += off / (double)++d.n;
        square += off * (y - x - mean);
    }
    const double n = (double)d.n, se = n > 1 ? sqrt(square / (n - 1) / n) : (double)NAN;
    const double half = n > 1 ? sg_t_quantile(0.05, n - 1) * se : (double)NAN;
    d.before = sg_sum_get(&before) / n;
    d.after = sg_sum_get(&after) / n;
    d.difference = (struct sg_value){mean, mean - half, mean + half};
    if (d.n == 0) d.difference.value = (double)NAN;
    if (d.n > 1) d.p_value = se > 0 ? sg_t_two_sided(mean / se, n - 1) : mean == 0 ? 1 : 0;
    return d;
}

enum sg_status sg__drifts(const struct sg_dataset *a, const struct sg_dataset *b, struct sg_drift *out,
                          struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = (int64_t)a->m * SG_DRIFTS;
    double *p = NULL;
    SG_TRY(SG_NEW(&p, 2 * n, "drift", err));
    for (int64_t i = 0; i < n; i++) {
        out[i] = drift(a, b, (int32_t)(i / SG_DRIFTS), (int)(i % SG_DRIFTS));
        p[i] = out[i].p_value;
    }
    SG_TRY(sg_holm(p, n, p + n, err));
    for (int64_t i = 0; i < n; i++) {
        out[i].holm = p[n + i];
        out[i].moved = out[i].moved || p[n + i] < 0.05;
    }
out:
    free(p);
    return st;
}

static enum sg_status put_setting(struct sg_buf *b, const cJSON *x, struct sg_err *err) {
    if (cJSON_IsString(x)) return sg_buf_str(b, x->valuestring, err);
    char *text = x ? cJSON_PrintUnformatted(x) : NULL;
    if (x && !text) return sg_fail(err, SG_E_NOMEM, "settings: out of memory");
    const enum sg_status st = sg_buf_str(b, x ? text : "none", err);
    cJSON_free(text);
    return st;
}

/* Appends "path: A -> B" for every leaf of the objects x and y (NULL: none) that differs. */
static enum sg_status differences(struct sg_buf *b, const cJSON *x, const cJSON *y, const char *path,
                                  struct sg_err *err) {
    static const char *const no_matter[] = {"output",  "engine",   "name",      "queries",
                                            "anchors", "outcomes", "portfolio", "calibration"};
    enum sg_status st = SG_OK;
    char inner[256];
    if ((!x || cJSON_IsObject(x)) && (!y || cJSON_IsObject(y)) && (x || y)) {
        for (int second = 0; second < 2; second++)
            for (const cJSON *c = second ? (y ? y->child : NULL) : (x ? x->child : NULL); c; c = c->next) {
                const cJSON *in_x = x ? cJSON_GetObjectItemCaseSensitive(x, c->string) : NULL;
                const cJSON *in_y = y ? cJSON_GetObjectItemCaseSensitive(y, c->string) : NULL;
                bool skip = second && in_x; /* told already */
                for (size_t i = 0; !*path && i < sizeof no_matter / sizeof *no_matter; i++)
                    skip = skip || !strcmp(c->string, no_matter[i]);
                if (skip || snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", c->string) < 0)
                    continue;
                SG_TRY(differences(b, in_x, in_y, inner, err));
            }
        return SG_OK;
    }
    if (cJSON_Compare(x, y, true)) return SG_OK;
    SG_TRY(sg_buf_printf(b, err, "%s%s: ", b->len ? ", " : "", path));
    SG_TRY(put_setting(b, x, err));
    SG_TRY(sg_buf_str(b, " -> ", err));
    SG_TRY(put_setting(b, y, err));
out:
    return st;
}

enum sg_status sg__settings_changed(const char *job_a, const char *job_b, struct sg_arena *arena, char **out,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    cJSON *x = NULL, *y = NULL;
    if (!job_a || !*job_a) job_a = "{}";
    if (!job_b || !*job_b) job_b = "{}";
    SG_TRY(sg_json_parse(job_a, strlen(job_a), "job of the first file", 1, &x, err));
    SG_TRY(sg_json_parse(job_b, strlen(job_b), "job of the other file", 1, &y, err));
    SG_TRY(differences(&b, x, y, "", err));
    SG_TRY(sg_arena_dup(arena, b.len ? b.data : "", b.len, out, err));
out:
    cJSON_Delete(x);
    cJSON_Delete(y);
    sg_buf_free(&b);
    return st;
}

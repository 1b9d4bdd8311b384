#include "writers.h"

#include "base/file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const unsigned char sg__report_page[]; /* made from report.html by the build */

/* The data of the page being built. A refused allocation sets `failed`; the functions below go on, so that
 * they read like the data. */
struct out {
    cJSON *data;
    bool failed;
};

/* Puts item into the object (key) or the array (key NULL) `to`; returns it. */
static cJSON *put(struct out *o, cJSON *to, const char *key, cJSON *item) {
    if (item && (key ? cJSON_AddItemToObject(to, key, item) : cJSON_AddItemToArray(to, item))) return item;
    cJSON_Delete(item);
    o->failed = true;
    return NULL;
}

/* With seven digits: the page is for eyes. */
static cJSON *number(double x) {
    char text[32];
    if (!isfinite(x)) return cJSON_CreateNull();
    snprintf(text, sizeof text, "%.7g", x);
    return cJSON_CreateNumber(strtod(text, NULL));
}

static void put_text(struct out *o, const char *key, const char *s) {
    put(o, o->data, key, cJSON_CreateString(s ? s : ""));
}

static void put_whole(struct out *o, const char *key, int64_t x) {
    put(o, o->data, key, cJSON_CreateNumber((double)x));
}

static void put_array(struct out *o, cJSON *to, const char *key, const double *x, int64_t n) {
    cJSON *array = put(o, to, key, cJSON_CreateArray());
    for (int64_t i = 0; i < n; i++) put(o, array, NULL, number(x[i]));
}

static void put_value(struct out *o, cJSON *to, const char *key, const struct sg_value *v) {
    put_array(o, to, key, (const double[]){v->value, v->low, v->high}, 3);
}

static void facts(struct out *o, const struct sg_analysis *a) {
    const struct sg_dataset *d = a->data;
    const struct sg_results *r = d->r;
    char digest[SG_DIGEST_HEX], version[80];
    sg_digest_hex(r->digest, digest);
    snprintf(version, sizeof version, "scope-grid %.60s", r->version && *r->version ? r->version : "?");
    put_text(o, "name", r->name);
    put_text(o, "file", d->path);
    put_text(o, "digest", digest);
    put_text(o, "version", version);
    put_text(o, "finished", r->finished_at);
    put_whole(o, "n", d->n);
    put_whole(o, "n_scored", d->n_scored);
    put_whole(o, "n_missing", d->n_missing);
    put_whole(o, "n_empty", d->n_empty);
    put_whole(o, "n_filtered", d->n_filtered);
    put_whole(o, "n_counted", d->n_counted);
    put_whole(o, "graded", sg_results_graded(r));
    put_whole(o, "own_prices", d->own_prices);
    put_whole(o, "reps", a->opt.reps);
    put_whole(o, "seed", (int64_t)a->opt.seed);
    put_whole(o, "best", a->best_single);
    put_whole(o, "cheapest", a->cheapest_single);
    put(o, o->data, "value_lambda", number(a->value_predicted[a->n_value - 1].lambda));
}

static void put_cell(struct out *o, cJSON *to, const struct sg__tables *t, const struct sg__table_column *c,
                     const void *cell) {
    const char *text = sg__cell_text(t, c, cell);
    if (text)
        put(o, to, c->name, cJSON_CreateString(text));
    else if (c->kind == SG__VALUE)
        put_value(o, to, c->name, cell);
    else
        put(o, to, c->name, number(sg__cell_number(c, cell, 0)));
}

/* Row i of a table as an object. */
static cJSON *put_row(struct out *o, cJSON *to, const struct sg__tables *all, const struct sg__table *t,
                      int64_t i) {
    cJSON *row = put(o, to, NULL, cJSON_CreateObject());
    for (const struct sg__table_column *c = t->is->columns; c < t->is->columns + t->is->n_columns; c++)
        if (c->in & SG__JSON) put_cell(o, row, all, c, sg__table_cell(t, c, i));
    return row;
}

/* The rows of a table, and its columns that people are shown. */
static void rows(struct out *o, cJSON *shown, const struct sg__tables *all, const struct sg__table *t) {
    char heading[64];
    static const char *const style[] = {"percent", "points", "usd", "number"};
    cJSON *list = put(o, o->data, t->is->json, cJSON_CreateArray());
    for (int64_t i = 0; i < sg__table_rows(t); i++)
        if (sg__table_told(t, i)) put_row(o, list, all, t, i);
    list = put(o, shown, t->is->json, cJSON_CreateArray());
    for (const struct sg__table_column *c = NULL;
         (c = sg__table_column_shown(t, c, all->a->data->n_scored > 0));) {
        cJSON *column = put(o, list, NULL, cJSON_CreateObject());
        put(o, column, "key", cJSON_CreateString(c->name));
        put(o, column, "heading", cJSON_CreateString(sg__heading(all->a, c, heading, sizeof heading)));
        put(o, column, "style", cJSON_CreateString(style[c->style]));
        put(o, column, "digits", cJSON_CreateNumber(c->digits));
        put(o, column, "interval", cJSON_CreateBool(!(c->in & SG__LONE)));
    }
}

/* The curves that are there, each as arrays over the budgets. */
static void curves(struct out *o, const struct sg__tables *t) {
    const struct sg_analysis *a = t->a;
    const struct sg__table *points = sg__tables_find(t, "curves");
    const int64_t n = a->opt.n_grid;
    put_array(o, o->data, "grid", a->grid, n);
    cJSON *all = put(o, o->data, "curves", cJSON_CreateObject());
    for (int i = 0; i < SG_CURVES; i++) {
        if (!a->curve[i].present) continue;
        cJSON *curve = put(o, all, sg_curve_name[i], cJSON_CreateObject());
        for (const struct sg__table_column *c = points->is->columns;
             c < points->is->columns + points->is->n_columns; c++) {
            if (!(c->in & SG__JSON)) continue;
            cJSON *array = put(o, curve, c->name, cJSON_CreateArray());
            for (int64_t g = i * n; g < (i + 1) * n; g++)
                put(o, array, NULL, number(sg__cell_number(c, sg__table_cell(points, c, g), 0)));
        }
    }
}

/* The pairs [model, share] of the models that are used. */
static void put_shares(struct out *o, cJSON *to, const double *share, int32_t m) {
    cJSON *list = put(o, to, "shares", cJSON_CreateArray());
    for (int32_t k = 0; k < m; k++)
        if (share[k] > 0) put_array(o, list, NULL, (const double[]){k, share[k]}, 2);
}

/* What a step has beside its columns. */
static void put_step(struct out *o, cJSON *step, const struct sg_analysis *a,
                     const struct sg_advice_step *s) {
    const struct sg_dataset *d = a->data;
    put(o, step, "kind", cJSON_CreateString(s->value ? sg_candidate_name[s->is->advised] : "none"));
    put(o, step, "single", cJSON_CreateNumber(s->single));
    put(o, step, "over_budget", cJSON_CreateBool(s->is->over_budget));
    put_shares(o, step, s->share, d->m);
    cJSON *list = put(o, step, "reached", cJSON_CreateArray()); /* the models whose caps hold it back */
    for (int32_t k = 0; k < d->m; k++)
        if (sg_advice_capped(a->opt.advice, s, k, d->n)) put(o, list, NULL, cJSON_CreateNumber(k));
    list = s->kept ? put(o, step, "kept", cJSON_CreateArray()) : NULL;
    for (int32_t k = 0; s->kept && k < d->m; k++)
        if (s->kept[k]) put(o, list, NULL, cJSON_CreateNumber(k));
    list = put(o, step, "table", cJSON_CreateArray());
    if (!s->value || s->is->advised != SG_CANDIDATE_TABLE) return;
    for (int32_t c = 0; c < d->n_categories; c++) {
        cJSON *pair = put(o, list, NULL, cJSON_CreateArray());
        put(o, pair, NULL, cJSON_CreateString(d->category_name[c]));
        put(o, pair, NULL, cJSON_CreateNumber(s->value->rule.table[c]));
    }
}

static void put_incumbent(struct out *o, cJSON *to, const struct sg_advice *v) {
    const struct sg_decision *d = &v->decision;
    const bool one = v->incumbent >= 0;
    cJSON *incumbent = put(o, to, "incumbent", v->incumbent_name ? cJSON_CreateObject() : cJSON_CreateNull());
    if (!v->incumbent_name) return;
    put(o, incumbent, "name", cJSON_CreateString(v->incumbent_name));
    put_value(o, incumbent, "accuracy", one ? &d->single_value[v->incumbent] : &d->policy_accuracy);
    put(o, incumbent, "cost", number((one ? d->single_bill[v->incumbent] : d->policy_cost).value));
    put(o, incumbent, "predicted", cJSON_CreateBool(!one && !d->policy_measured));
    put(o, incumbent, "margin", number(v->margin));
    put(o, incumbent, "as_good", cJSON_CreateNumber(v->cheapest_as_good)); /* a step; -1: none */
}

/* The advice: null where nothing was measured that could value a policy. */
static void decision(struct out *o, const struct sg__tables *t) {
    const struct sg_analysis *a = t->a;
    const struct sg_advice *v = a->opt.advice;
    if (!v || !v->present) {
        put(o, o->data, "decision", cJSON_CreateNull());
        return;
    }
    cJSON *to = put(o, o->data, "decision", cJSON_CreateObject());
    put(o, to, "estimate", cJSON_CreateString(sg_estimate_name[v->estimate]));
    put(o, to, "estimate_why", cJSON_CreateString(v->estimate_why));
    put(o, to, "valued_on",
        cJSON_CreateString(!v->decision.truth    ? "anchors"
                           : v->decision.anchors ? "both"
                                                 : "truth"));
    put(o, to, "n_queries", cJSON_CreateNumber((double)a->data->n));
    put(o, to, "n_labelled", cJSON_CreateNumber((double)v->decision.n_valued));
    put(o, to, "sentence", cJSON_CreateString(v->sentence));
    put(o, to, "volume", v->volume > 0 ? number(v->volume) : cJSON_CreateNull());
    put_incumbent(o, to, v);
    cJSON *list = put(o, to, "caps", cJSON_CreateArray());
    for (int32_t k = 0; v->cap && k < a->data->m; k++)
        if (v->cap[k] < 1) put_array(o, list, NULL, (const double[]){k, v->cap[k]}, 2);
    list = put(o, to, "singles", cJSON_CreateArray());
    for (int32_t k = 0; k < a->data->m; k++) {
        cJSON *one = put(o, list, NULL, cJSON_CreateObject());
        put_value(o, one, "accuracy", &v->decision.single_value[k]);
        put(o, one, "cost", number(v->decision.single_bill[k].value));
    }
    put(o, to, "default", cJSON_CreateNumber(v->def));
    put(o, to, "target", number(v->target)); /* what the default step answers; null: a budget */
    list = put(o, to, "steps", cJSON_CreateArray());
    for (int32_t i = 0; i < v->n_steps; i++)
        put_step(o, put_row(o, list, t, sg__tables_find(t, "steps"), i), a, &v->step[i]);
    list = put(o, to, "categories", cJSON_CreateArray());
    for (int32_t i = 0; i < v->n_categories; i++) put_row(o, list, t, sg__tables_find(t, "categories"), i);
    list = put(o, to, "doubts", cJSON_CreateArray());
    for (int32_t i = 0; i < v->n_doubts; i++) put(o, list, NULL, cJSON_CreateString(v->doubts[i]));
}

/* Whether a table's rows lie in D under its own key, not within the curves or the decision. */
static bool apart(const struct sg__table *t) {
    static const char *const within[] = {"curves", "steps", "categories"};
    for (size_t i = 0; i < sizeof within / sizeof *within; i++)
        if (t->is->json && !strcmp(t->is->json, within[i])) return false;
    return t->is->json;
}

/* The data as text. '<' could end the script element: it stands in strings alone, where \u003c is the
 * same. */
static enum sg_status add_data(struct sg_buf *page, const char *json, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (const char *at; (at = strchr(json, '<')); json = at + 1) {
        SG_TRY(sg_buf_add(page, json, (size_t)(at - json), err));
        SG_TRY(sg_buf_str(page, "\\u003c", err));
    }
    SG_TRY(sg_buf_str(page, json, err));
out:
    return st;
}

enum sg_status sg__write_report(const struct sg__tables *t, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct out o = {.data = cJSON_CreateObject()};
    struct sg_buf page = {0};
    char *path = NULL, *json = NULL;
    const char *start = (const char *)sg__report_page, *hole = strstr(start, "@DATA@");
    SG_ASSERT(hole);
    facts(&o, t->a);
    curves(&o, t);
    decision(&o, t);
    cJSON *shown = put(&o, o.data, "shown", cJSON_CreateObject());
    for (size_t i = 0; i < t->n; i++)
        if (apart(&t->table[i])) rows(&o, shown, t, &t->table[i]);
    if (t->c) {
        cJSON *common = put(&o, o.data, "compare", cJSON_CreateObject());
        put(&o, common, "n", cJSON_CreateNumber((double)t->c->n_queries));
        put(&o, common, "m", cJSON_CreateNumber(t->c->n_models));
    }
    json = o.failed ? NULL : cJSON_PrintUnformatted(o.data);
    if (!json) {
        st = sg_fail(err, SG_E_NOMEM, "report.html: out of memory");
        goto out;
    }
    SG_TRY(sg_path_join(dir, "report.html", &path, err));
    SG_TRY(sg_buf_add(&page, start, (size_t)(hole - start), err));
    SG_TRY(add_data(&page, json, err));
    SG_TRY(sg_buf_str(&page, hole + strlen("@DATA@"), err));
    SG_TRY(sg_file_write_atomic(path, page.data, page.len, err));
out:
    cJSON_Delete(o.data);
    cJSON_free(json);
    free(path);
    sg_buf_free(&page);
    return st;
}

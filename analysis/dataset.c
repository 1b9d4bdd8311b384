#include "dataset.h"

#include "base/file.h"
#include "base/json.h"
#include "id_list.h"
#include "prompts.h"

#include <ctype.h>
#include <float.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list of names, from a comma list or a file. */
struct names {
    char **item; /* borrowed from arena */
    size_t n, cap;
    struct sg_arena arena;
    const char *where;
};

static void names_free(struct names *l) {
    free(l->item);
    sg_arena_free(&l->arena);
}

static enum sg_status names_add(struct names *l, const char *s, size_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    while (n && isspace((unsigned char)*s)) s++, n--;
    while (n && isspace((unsigned char)s[n - 1])) n--;
    if (!n) return SG_OK;
    SG_TRY(SG_GROW(&l->item, &l->cap, l->n + 1, "names", err));
    SG_TRY(sg_arena_dup(&l->arena, s, n, &l->item[l->n], err));
    l->n++;
out:
    return st;
}

static enum sg_status names_split(struct names *l, const char *s, char at, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (;;) {
        const char *end = strchr(s, at);
        SG_TRY(names_add(l, s, end ? (size_t)(end - s) : strlen(s), err));
        if (!end) break;
        s = end + 1;
    }
out:
    return st;
}

static enum sg_status names_file(struct names *l, const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    cJSON *list = NULL;
    bool json;
    l->where = path;
    SG_TRY(sg_id_list_read(path, &text, &json, err));
    if (json) {
        SG_TRY(sg_id_list_json(&text, path, &list, err));
        for (const cJSON *e = list->child; e; e = e->next)
            SG_TRY(names_add(l, sg_id_list_id(e), strlen(sg_id_list_id(e)), err));
    } else {
        SG_TRY(names_split(l, text.len ? text.data : "", '\n', err));
    }
    if (!l->n) st = sg_fail(err, SG_E_INPUT, "%s: names nothing", path);
out:
    cJSON_Delete(list);
    sg_buf_free(&text);
    return st;
}

static enum sg_status unknown_name(const char *what, const char *name, char **all, int64_t n,
                                   const char *where, struct sg_err *err) {
    const char *near = sg_nearest(name, (const char *const *)all, (size_t)n);
    return near ? sg_fail(err, SG_E_INPUT, "%s: no %s \"%s\" in the results; did you mean \"%s\"?", where,
                          what, name, near)
                : sg_fail(err, SG_E_INPUT,
                          "%s: no %s \"%s\" in the results; they have %lld, for example \"%s\"", where, what,
                          name, (long long)n, n ? all[0] : "");
}

static int64_t find_name(const char *name, char **all, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!strcmp(all[i], name)) return i;
    return -1;
}

/* What an option lists with commas; one name that has a comma may stand alone. */
static enum sg_status names_listed(struct names *l, const char *text, char **all, int64_t n,
                                   struct sg_err *err) {
    if (find_name(text, all, n) >= 0) return names_add(l, text, strlen(text), err);
    return names_split(l, text, ',', err);
}

static enum sg_status choose_pool(struct sg_dataset *d, const char *pool, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *r = d->r;
    struct names l = {.where = "--pool"};
    uint8_t *taken = NULL;
    SG_TRY(SG_NEW(&taken, r->n_models, "pool", err));
    SG_TRY(SG_NEW(&d->col, r->n_models, "pool", err));
    if (!pool)
        memset(taken, 1, (size_t)r->n_models);
    else if (sg_file_exists(pool))
        SG_TRY(names_file(&l, pool, err));
    else
        SG_TRY(names_listed(&l, pool, r->model, r->n_models, err));
    if (pool && !l.n) {
        st = sg_fail(err, SG_E_USAGE, "--pool names no model");
        goto out;
    }
    for (size_t i = 0; i < l.n; i++) {
        const int64_t k = find_name(l.item[i], r->model, r->n_models);
        if (k < 0) {
            st = unknown_name("model", l.item[i], r->model, r->n_models, l.where, err);
            goto out;
        }
        taken[k] = 1;
    }
    for (int64_t k = 0; k < r->n_models; k++)
        if (taken[k]) d->col[d->m++] = (int32_t)k;
out:
    names_free(&l);
    free(taken);
    return st;
}

static bool glob_any(const struct names *l, const char *s, uint8_t *used) {
    bool hit = false;
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->item[i], s) || fnmatch(l->item[i], s, 0) == 0) {
            used[i] = 1;
            hit = true;
        }
    return hit;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* keep[q] &= id in the file. By binary search: such a file may name most of 1e5 queries. */
static enum sg_status filter_file(const struct sg_dataset *d, const char *path, uint8_t *keep,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *r = d->r;
    struct names l = {0};
    uint8_t *used = NULL;
    SG_TRY(names_file(&l, path, err));
    qsort(l.item, l.n, sizeof *l.item, by_name);
    SG_TRY(SG_NEW(&used, l.n, "names", err));
    for (int64_t q = 0; q < r->n_queries; q++) {
        char **hit = bsearch(&r->query[q], l.item, l.n, sizeof *l.item, by_name);
        if (hit)
            used[hit - l.item] = 1;
        else
            keep[q] = 0;
    }
    for (size_t i = 0; i < l.n; i++) {
        if (used[i] || (i && !strcmp(l.item[i], l.item[i - 1]))) continue;
        st = unknown_name("query", l.item[i], r->query, r->n_queries, path, err);
        goto out;
    }
out:
    free(used);
    names_free(&l);
    return st;
}

static enum sg_status filter(const struct sg_dataset *d, const char *f, uint8_t *keep, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *r = d->r;
    struct names l = {.where = "--queries"};
    uint8_t *used = NULL;
    if (*f == '@') return filter_file(d, f + 1, keep, err);
    const char *eq = strchr(f, '=');
    const bool not = eq && eq > f && eq[-1] == '!';
    const size_t key = eq ? (size_t)(eq - f) - not : 0;
    const bool by_id = key == 2 && !strncmp(f, "id", 2), by_category = key == 8 && !strncmp(f, "category", 8);
    if (!by_id && !by_category)
        return sg_fail(
            err, SG_E_USAGE,
            "--queries %s: expected category=NAME[,NAME], category!=NAME, id=GLOB[,GLOB], id!=GLOB or @FILE",
            f);
    SG_TRY(names_listed(&l, eq + 1, by_id ? r->query : r->category, r->n_queries, err));
    SG_TRY(SG_NEW(&used, l.n, "filter", err));
    char **of = by_id ? r->query : r->category;
    for (int64_t q = 0; q < r->n_queries; q++)
        if (glob_any(&l, of[q], used) == not ) keep[q] = 0;
    for (size_t i = 0; i < l.n; i++)
        if (!used[i]) {
            st = unknown_name(by_id ? "query" : "category", l.item[i], of, r->n_queries, "--queries", err);
            goto out;
        }
    if (!l.n) st = sg_fail(err, SG_E_USAGE, "--queries %s: names nothing", f);
out:
    free(used);
    names_free(&l);
    return st;
}

static enum sg_status price_of(const cJSON *e, const struct sg_dataset_spec *spec, const char *id,
                               struct sg_price *price, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char where[160];
    const char *key[2] = {spec->batch ? "batch_input" : "input", spec->batch ? "batch_output" : "output"};
    snprintf(where, sizeof where, "%.100s: model \"%.40s\"", spec->prices, id);
    const struct sg_json at = {.node = e, .where = where, .path = ""};
    *price = (struct sg_price){.input = -1, .output = -1};
    SG_TRY(sg_json_get_f64(&at, key[0], 0, 1e9, &price->input, err));
    SG_TRY(sg_json_get_f64(&at, key[1], 0, 1e9, &price->output, err));
    SG_TRY(sg_json_get_f64(&at, "request", 0, 1e9, &price->request, err));
    if (price->input < 0 || price->output < 0)
        st = sg_fail(err, SG_E_INPUT, "%s has no \"%s\" price (USD per million tokens)%s", where,
                     key[price->input < 0 ? 0 : 1], spec->batch ? "; --pool leaves such a model out" : "");
out:
    return st;
}

static enum sg_status read_prices(struct sg_dataset *d, const struct sg_dataset_spec *spec,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *path = spec->prices;
    struct sg_buf text = {0};
    cJSON *doc = NULL;
    const char **known = NULL;
    bool json;
    size_t cap = 0, n = 0;
    SG_TRY(sg_id_list_read(path, &text, &json, err));
    SG_TRY(sg_id_list_json(&text, path, &doc, err));
    for (int32_t k = 0; k < d->m; k++) d->price_input[k] = (double)NAN;
    int i = 0;
    for (const cJSON *e = doc->child; e; e = e->next, i++) {
        const char *name = sg_id_list_id(e);
        if (!cJSON_IsObject(e)) {
            st = sg_fail(err, SG_E_INPUT, "%s: [%d] is not an object with an \"id\"", path, i);
            goto out;
        }
        SG_TRY(SG_GROW(&known, &cap, n + 1, "prices", err));
        known[n++] = name;
        for (int32_t k = 0; k < d->m; k++) {
            if (strcmp(sg_dataset_model(d, k), name) != 0) continue;
            if (!isnan(d->price_input[k])) {
                st = sg_fail(err, SG_E_INPUT, "%s: model \"%s\" stands twice", path, name);
                goto out;
            }
            struct sg_price price;
            SG_TRY(price_of(e, spec, name, &price, err));
            d->price_input[k] = price.input;
            d->price_output[k] = price.output;
            d->price_request[k] = price.request;
        }
    }
    for (int32_t k = 0; k < d->m; k++) {
        if (!isnan(d->price_input[k])) continue;
        const char *near = sg_nearest(sg_dataset_model(d, k), known, n);
        st = sg_fail(err, SG_E_INPUT, "%s: no price for model \"%s\" of the pool%s%s%s", path,
                     sg_dataset_model(d, k), near ? "; it has \"" : "", near ? near : "", near ? "\"" : "");
        goto out;
    }
    d->own_prices = true;
out:
    free((void *)known);
    cJSON_Delete(doc);
    sg_buf_free(&text);
    return st;
}

static enum sg_status set_prices(struct sg_dataset *d, const struct sg_dataset_spec *spec,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *r = d->r;
    SG_TRY(SG_NEW(&d->price_input, d->m, "prices", err));
    SG_TRY(SG_NEW(&d->price_output, d->m, "prices", err));
    SG_TRY(SG_NEW(&d->price_request, d->m, "prices", err));
    for (int32_t k = 0; k < d->m; k++) {
        d->price_input[k] = r->price_input[d->col[k]];
        d->price_output[k] = r->price_output[d->col[k]];
        d->price_request[k] = sg_results_price(r, d->col[k]).request;
    }
    if (spec->prices) SG_TRY(read_prices(d, spec, err));
    for (int32_t k = 0; k < d->m; k++)
        if (!(d->price_input[k] >= 0) || !(d->price_output[k] >= 0)) {
            st = sg_fail(err, SG_E_INPUT,
                         "%s: no price for model \"%s\" of the pool; give one with --prices FILE", d->path,
                         sg_dataset_model(d, k));
            goto out;
        }
out:
    return st;
}

/* Refuses a file in which an id stands twice: a policy that names it would be ambiguous. */
static enum sg_status need_different(const struct sg_dataset *d, const char *what, char **all, int64_t n,
                                     struct sg_err *err) {
    enum sg_status st = SG_OK;
    char **sorted = NULL;
    SG_TRY(SG_NEW(&sorted, n, "names", err));
    for (int64_t i = 0; i < n; i++) sorted[i] = all[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    for (int64_t i = 1; i < n; i++)
        if (!strcmp(sorted[i], sorted[i - 1])) {
            st = sg_fail(err, SG_E_INPUT, "%s: %s \"%s\" stands twice", d->path, what, sorted[i]);
            goto out;
        }
out:
    free(sorted);
    return st;
}

/* A number of a file, and what it may be. */
struct stated {
    const char *name;
    double value, most;
    const char *expected;
    bool needed; /* NaN is a fault too; else it means that there is none */
};

/* Refuses a number outside of its range. kind and id: of the row. */
static enum sg_status need_within(const struct sg_dataset *d, const char *kind, const char *id, int32_t k,
                                  const struct stated *of, size_t n, struct sg_err *err) {
    for (size_t i = 0; i < n; i++)
        if ((of[i].needed || !isnan(of[i].value)) && !(of[i].value >= 0 && of[i].value <= of[i].most))
            return sg_fail(err, SG_E_INPUT, "%s: %s \"%s\", model \"%s\": %s is %g; expected %s", d->path,
                           kind, id, d->r->model[d->col[k]], of[i].name, of[i].value, of[i].expected);
    return SG_OK;
}

/* Far more than a job can ask for, so that sums of votes are whole numbers of 32 bits. */
static const double MOST_VOTES = 1e6;

static double number_at(const double *x, int64_t at) {
    return x ? x[at] : (double)NAN;
}

/* Checks the cell of row q of the grid or of calibration, `r`. */
static enum sg_status need_sound(const struct sg_dataset *d, const struct sg_results *r, const char *kind,
                                 int64_t q, int32_t k, struct sg_err *err) {
    const int64_t at = q * r->n_models + d->col[k];
    const double nothing = (double)NAN;
    const bool valid = r->valid[at], known = r->true_correct && r->true_correct[at] != -1;
    const struct stated of[] = {
        {"true_correct", known ? r->true_correct[at] : nothing, 1, "1, 0 or -1", false},
        {"true_score", known && r->true_score ? r->true_score[at] : nothing, 1, "a number from 0 to 1",
         known && r->true_score},
        {"true_length", number_at(r->true_length, at), DBL_MAX, "a number of tokens", false},
        {"votes_yes", valid ? r->votes_yes[at] : nothing, MOST_VOTES, "a number of samples", false},
        {"votes_no", valid ? r->votes_no[at] : nothing, MOST_VOTES, "a number of samples", false},
        {"p_correct", valid ? r->p_correct[at] : nothing, 1, "a number from 0 to 1", valid},
        {"length_mean", valid ? r->length_mean[at] : nothing, DBL_MAX, "a number of tokens", valid},
        {"knn_correct", number_at(r->knn_correct, at), 1, "a number from 0 to 1", false},
        {"knn_length", number_at(r->knn_length, at), DBL_MAX, "a number of tokens", false},
        {"anchor_correct", number_at(r->anchor_correct, at), 1, "a number from 0 to 1", false},
        {"anchor_length", number_at(r->anchor_length, at), DBL_MAX, "a number of tokens", false}};
    return need_within(d, kind, r->query[q], k, of, sizeof of / sizeof *of, err);
}

/* What the advice is made of beside the grid: the anchors' outcomes and the calibration cells. */
static enum sg_status need_sound_evidence(const struct sg_dataset *d, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_anchor_outcomes *a = &d->r->anchors;
    const struct sg_results *c = d->r->calibration;
    for (int64_t q = 0; c && q < c->n_queries; q++)
        for (int32_t k = 0; k < d->m; k++) SG_TRY(need_sound(d, c, "calibration anchor", q, k, err));
    for (int64_t i = 0; i < a->n; i++)
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t at = i * d->r->n_models + d->col[k];
            const bool known = a->correct[at] != -1, counted = a->completion_tokens[at] != -1;
            const double nothing = (double)NAN;
            const struct stated of[] = {
                {"anchors/correct", known ? a->correct[at] : nothing, 1, "1, 0 or -1", false},
                {"anchors/score", known && a->score ? a->score[at] : nothing, 1, "a number from 0 to 1",
                 known && a->score},
                {"anchors/completion_tokens", counted ? a->completion_tokens[at] : nothing, DBL_MAX,
                 "a number of tokens or -1", false}};
            SG_TRY(need_within(d, "anchor", a->id[i], k, of, sizeof of / sizeof *of, err));
        }
out:
    return st;
}

static double call_cost(const struct sg_dataset *d, int32_t k, double prompt_tokens,
                        double completion_tokens) {
    const struct sg_price price = {
        .input = d->price_input[k], .output = d->price_output[k], .request = d->price_request[k]};
    return sg_call_cost(price, prompt_tokens, completion_tokens);
}

static enum sg_status need_cost(const struct sg_dataset *d, int64_t q, int32_t k, const char *what, double c,
                                struct sg_err *err) {
    if (c >= 0 && isfinite(c)) return SG_OK;
    return sg_fail(err, SG_E_INPUT, "%s: query \"%s\", model \"%s\": %s %g is not a cost", d->path,
                   d->r->query[q], d->r->model[d->col[k]], what, c);
}

/* True accuracy (graded: score) and cost of query q of the file with model k of the pool into tp[to] and tc[to]. */
static enum sg_status set_truth(struct sg_dataset *d, int64_t q, int32_t k, int64_t to, struct sg_err *err) {
    const struct sg_results *r = d->r;
    const int64_t at = q * r->n_models + d->col[k];
    const double prompt = r->prompt_tokens[at];
    const bool paid = !d->own_prices && r->true_cost && !isnan(r->true_cost[at]);
    /* what a call cost is not known where neither its cost nor its prompt was measured */
    const bool known = r->true_correct[at] >= 0 && !isnan(r->true_length[at]) && (paid || prompt >= 0);
    d->tp[to] = d->tc[to] = (double)NAN;
    if (!known) return SG_OK;
    d->tp[to] = sg_results_true_score(r, at);
    d->tc[to] = paid ? r->true_cost[at] : call_cost(d, k, prompt, r->true_length[at]);
    return need_cost(d, q, k, "true cost", d->tc[to], err);
}

/* The same of the estimate, into p[to] and c[to]. */
static enum sg_status set_estimate(struct sg_dataset *d, int64_t q, int32_t k, int64_t to,
                                   struct sg_err *err) {
    const struct sg_results *r = d->r;
    const int64_t at = q * r->n_models + d->col[k];
    d->p[to] = d->c[to] = (double)NAN;
    if (!r->valid[at]) return SG_OK;
    d->p[to] = r->p_correct[at];
    d->c[to] = d->own_prices ? call_cost(d, k, r->prompt_tokens[at], r->length_mean[at]) : r->cost[at];
    d->n_counted += r->prompt_source[at] == SG_PROMPT_COUNTED;
    return need_cost(d, q, k, "cost", d->c[to], err);
}

/* The matrices of the queries to keep that have a valid cell; of the others the counts. */
static enum sg_status fill(struct sg_dataset *d, const uint8_t *keep, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *r = d->r;
    const bool truth = r->true_correct && r->true_length;
    int64_t upper = 0;
    size_t cells;
    for (int64_t q = 0; q < r->n_queries; q++) upper += keep[q];
    if (!sg_mul_size((size_t)upper, (size_t)d->m, &cells)) return sg_fail(err, SG_E_NOMEM, "too many cells");
    SG_TRY(SG_NEW(&d->row, upper, "queries", err));
    SG_TRY(SG_NEW(&d->scored, upper, "queries", err));
    SG_TRY(SG_NEW(&d->p, cells, "cells", err));
    SG_TRY(SG_NEW(&d->c, cells, "cells", err));
    if (truth) SG_TRY(SG_NEW(&d->tp, cells, "cells", err));
    if (truth) SG_TRY(SG_NEW(&d->tc, cells, "cells", err));
    for (int64_t q = 0; q < r->n_queries; q++) {
        if (!keep[q]) continue;
        int32_t valid = 0;
        bool all_true = truth;
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t to = d->n * d->m + k;
            SG_TRY(need_sound(d, r, "query", q, k, err));
            if (truth) SG_TRY(set_truth(d, q, k, to, err));
            SG_TRY(set_estimate(d, q, k, to, err));
            if (isnan(d->p[to])) continue;
            valid++;
            all_true = all_true && !isnan(d->tp[to]);
        }
        if (!valid) {
            d->n_empty++;
            continue;
        }
        d->n_missing += d->m - valid;
        d->scored[d->n] = all_true;
        d->n_scored += all_true;
        d->row[d->n++] = q;
    }
out:
    return st;
}

static enum sg_status set_categories(struct sg_dataset *d, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char **all = NULL;
    SG_TRY(SG_NEW(&all, d->n, "categories", err));
    SG_TRY(SG_NEW(&d->category, d->n, "categories", err));
    SG_TRY(SG_NEW(&d->category_name, d->n, "categories", err));
    for (int64_t q = 0; q < d->n; q++) all[q] = d->r->category[d->row[q]];
    qsort(all, (size_t)d->n, sizeof *all, by_name);
    for (int64_t q = 0; q < d->n; q++)
        if (q == 0 || strcmp(all[q], all[q - 1]) != 0) d->category_name[d->n_categories++] = all[q];
    for (int64_t q = 0; q < d->n; q++) {
        const char **hit = bsearch(&d->r->category[d->row[q]], d->category_name, (size_t)d->n_categories,
                                   sizeof *d->category_name, by_name);
        d->category[q] = (int32_t)(hit - d->category_name);
    }
out:
    free(all);
    return st;
}

enum sg_status sg_dataset_open(const struct sg_results *r, const char *path,
                               const struct sg_dataset_spec *spec, struct sg_dataset *out,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_dataset d = {.r = r, .path = path, .n_all = r->n_queries};
    uint8_t *keep = NULL;
    SG_TRY(need_different(&d, "query", r->query, r->n_queries, err));
    SG_TRY(need_different(&d, "model", r->model, r->n_models, err));
    SG_TRY(choose_pool(&d, spec->pool, err));
    SG_TRY(set_prices(&d, spec, err));
    SG_TRY(SG_NEW(&keep, r->n_queries, "queries", err));
    memset(keep, 1, (size_t)r->n_queries);
    for (size_t i = 0; i < spec->n_queries; i++) SG_TRY(filter(&d, spec->queries[i], keep, err));
    for (int64_t q = 0; q < r->n_queries; q++) d.n_filtered += !keep[q];
    SG_TRY(fill(&d, keep, err));
    SG_TRY(need_sound_evidence(&d, err));
    if (!d.n) {
        st = sg_fail(
            err, SG_E_INPUT,
            "%s: nothing to analyse: of %lld queries the filters drop %lld, and %lld have no valid cell",
            path, (long long)d.n_all, (long long)d.n_filtered, (long long)d.n_empty);
        goto out;
    }
    SG_TRY(set_categories(&d, err));
    SG_TRY(sg_scale_prompts(&d, err));
    *out = d;
out:
    free(keep);
    if (st != SG_OK) sg_dataset_free(&d);
    return st;
}

/* *x[n][m] of the chosen rows and columns; replaces the array. */
static enum sg_status select_cells(const struct sg_dataset *d, double **x, const int64_t *cols, int32_t m,
                                   const int64_t *rows, int64_t n, struct sg_err *err) {
    double *to = NULL;
    if (!*x) return SG_OK;
    enum sg_status st = SG_NEW(&to, n * m, "cells", err);
    if (st != SG_OK) return st;
    for (int64_t q = 0; q < n; q++)
        for (int32_t k = 0; k < m; k++)
            to[q * m + k] = (*x)[(rows ? rows[q] : q) * d->m + (cols ? cols[k] : k)];
    free(*x);
    *x = to;
    return SG_OK;
}

/* A query is scored where the truth of all its estimated cells is known. */
static void count_scored(struct sg_dataset *d) {
    d->n_scored = 0;
    for (int64_t q = 0; q < d->n; q++) {
        bool all_true = d->tp != NULL;
        for (int64_t i = q * d->m; i < (q + 1) * d->m; i++)
            all_true = all_true && (isnan(d->p[i]) || !isnan(d->tp[i]));
        d->scored[q] = all_true;
        d->n_scored += all_true;
    }
}

enum sg_status sg_dataset_select(struct sg_dataset *d, const int64_t *cols, int32_t m, const int64_t *rows,
                                 int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t *row = NULL;
    int32_t *col = NULL;
    double *price[3] = {NULL, NULL, NULL};
    uint8_t *scored = NULL;
    SG_TRY(SG_NEW(&row, n, "queries", err));
    SG_TRY(SG_NEW(&scored, n, "queries", err));
    SG_TRY(SG_NEW(&col, m, "models", err));
    SG_TRY(SG_NEW(&price[0], m, "prices", err));
    SG_TRY(SG_NEW(&price[1], m, "prices", err));
    SG_TRY(SG_NEW(&price[2], m, "prices", err));
    double **cells[] = {&d->p, &d->c, &d->tp, &d->tc, &d->prompt};
    for (int i = 0; i < 5; i++) SG_TRY(select_cells(d, cells[i], cols, m, rows, n, err));
    for (int64_t q = 0; q < n; q++) row[q] = d->row[rows ? rows[q] : q];
    for (int32_t k = 0; k < m; k++) {
        const int64_t from = cols ? cols[k] : k;
        col[k] = d->col[from];
        price[0][k] = d->price_input[from];
        price[1][k] = d->price_output[from];
        price[2][k] = d->price_request[from];
    }
    d->n_missing = 0;
    for (int64_t i = 0; i < n * m; i++) d->n_missing += isnan(d->p[i]) != 0;
    free(d->row);
    free(d->col);
    free(d->price_input);
    free(d->price_output);
    free(d->price_request);
    free(d->scored);
    free(d->category);
    free((void *)d->category_name);
    d->row = row;
    d->col = col;
    d->price_input = price[0];
    d->price_output = price[1];
    d->price_request = price[2];
    d->scored = scored;
    d->category = NULL;
    d->category_name = NULL;
    d->n_categories = 0;
    d->n = n;
    d->m = m;
    count_scored(d);
    return set_categories(d, err);
out:
    free(row);
    free(col);
    free(price[0]);
    free(price[1]);
    free(price[2]);
    free(scored);
    return st;
}

enum sg_status sg_dataset_stand_in(struct sg_dataset *d, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (!d->tp) return SG_OK;
    if (!d->measured) SG_TRY(SG_NEW(&d->measured, d->m, "models", err));
    d->n_unmeasured = d->m;
    for (int32_t k = 0; k < d->m; k++) {
        d->measured[k] = 0;
        for (int64_t q = 0; q < d->n && !d->measured[k]; q++)
            if (!isnan(d->tp[q * d->m + k])) d->measured[k] = 1;
        d->n_unmeasured -= d->measured[k];
    }
    if (!d->n_unmeasured || d->n_unmeasured == d->m) return SG_OK;
    for (int64_t i = 0; i < d->n * d->m; i++) {
        if (d->measured[i % d->m]) continue;
        d->tp[i] = d->p[i];
        d->tc[i] = d->c[i];
    }
    count_scored(d);
out:
    return st;
}

void sg_dataset_free(struct sg_dataset *d) {
    if (!d) return;
    free(d->row);
    free(d->col);
    free(d->price_input);
    free(d->price_output);
    free(d->price_request);
    free(d->p);
    free(d->c);
    free(d->prompt);
    free(d->tp);
    free(d->tc);
    free(d->scored);
    free(d->measured);
    free((void *)d->category_name);
    free(d->category);
    memset(d, 0, sizeof *d);
}

int64_t sg_dataset_baseline(const struct sg_dataset *d, enum sg_baseline which, double *p, double *c) {
    const struct sg_results *r = d->r;
    const double *from_p = which == SG_BASE_KNN ? r->knn_correct : r->anchor_correct;
    const double *from_l = which == SG_BASE_KNN ? r->knn_length : r->anchor_length;
    int64_t without = 0;
    for (int64_t q = 0; q < d->n; q++)
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t at = sg_dataset_cell(d, q, k), to = q * d->m + k;
            const bool estimated = !isnan(d->p[to]);
            const bool has =
                estimated && from_p && from_l && from_p[at] >= 0 && from_p[at] <= 1 && from_l[at] >= 0;
            p[to] = has ? from_p[at] : (double)NAN;
            c[to] = has ? call_cost(d, k, sg_dataset_prompt(d, q, k), from_l[at]) : (double)NAN;
            without += estimated && !has;
        }
    return without;
}

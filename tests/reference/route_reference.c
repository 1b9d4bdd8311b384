#include "tests/reference/route_reference.h"

#include "base/file.h"
#include "base/json.h"
#include "analysis/scope_router.h"
#include "base/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP_ANCHORS = 6 };
static const size_t MAX_BYTES = (size_t)1 << 30;

/* One document and the bytes it came from. */
struct doc {
    const char *path;
    cJSON *root;
};

static enum sg_status load(const char *path, struct doc *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    SG_TRY(sg_file_read(path, MAX_BYTES, &text, err));
    SG_TRY(sg_json_parse(text.data, text.len, path, 1, &out->root, err));
    out->path = path;
out:
    sg_buf_free(&text);
    return st;
}

static const char *string_of(const cJSON *o, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

/* A finite number, or NaN. */
static double number_of(const cJSON *o, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

struct entry {
    const char *name;
    const cJSON *value;
};
static int by_name(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}
static const cJSON *lookup(const struct entry *e, size_t n, const char *name) {
    const struct entry key = {name, NULL};
    const struct entry *hit = n ? bsearch(&key, e, n, sizeof *e, by_name) : NULL;
    return hit ? hit->value : NULL;
}

/* What the documents say, with indexes. */
struct input {
    struct doc selection, similarity, anchors, portfolio;
    const char **model; /* [m] of the portfolio */
    size_t m, cap_model;
    struct entry *similar, *anchor; /* sorted by name */
    size_t n_similar, cap_similar, n_anchor, cap_anchor;
};

static void input_free(struct input *in) {
    cJSON_Delete(in->selection.root);
    cJSON_Delete(in->similarity.root);
    cJSON_Delete(in->anchors.root);
    cJSON_Delete(in->portfolio.root);
    free(in->model);
    free(in->similar);
    free(in->anchor);
}

static enum sg_status add_entry(struct entry **e, size_t *n, size_t *cap, const char *name,
                                const cJSON *value, struct sg_err *err) {
    enum sg_status st = SG_GROW(e, cap, *n + 1, "entries", err);
    if (st == SG_OK) (*e)[(*n)++] = (struct entry){name, value};
    return st;
}

static enum sg_status index_files(struct input *in, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int i = 0;
    if (!cJSON_IsArray(in->portfolio.root))
        return sg_fail(err, SG_E_INPUT, "%s: expected an array of models", in->portfolio.path);
    for (const cJSON *e = in->portfolio.root->child; e; e = e->next, i++) {
        const char *id = string_of(e, "id");
        if (!id) return sg_fail(err, SG_E_INPUT, "%s: [%d] has no \"id\"", in->portfolio.path, i);
        SG_TRY(SG_GROW(&in->model, &in->cap_model, in->m + 1, "models", err));
        in->model[in->m++] = id;
    }
    if (!in->m) return sg_fail(err, SG_E_INPUT, "%s: no models", in->portfolio.path);
    if (!cJSON_IsArray(in->similarity.root))
        return sg_fail(err, SG_E_INPUT, "%s: expected an array of {\"router_id\", \"similar_anchors\"}",
                       in->similarity.path);
    i = 0;
    for (const cJSON *e = in->similarity.root->child; e; e = e->next, i++) {
        const char *id = string_of(e, "router_id");
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(e, "similar_anchors");
        if (!id || !cJSON_IsArray(list))
            return sg_fail(err, SG_E_INPUT, "%s: [%d] needs \"router_id\" and \"similar_anchors\"",
                           in->similarity.path, i);
        SG_TRY(add_entry(&in->similar, &in->n_similar, &in->cap_similar, id, list, err));
    }
    if (!cJSON_IsObject(in->anchors.root))
        return sg_fail(err, SG_E_INPUT, "%s: expected an object of anchors", in->anchors.path);
    for (const cJSON *e = in->anchors.root->child; e; e = e->next)
        SG_TRY(add_entry(&in->anchor, &in->n_anchor, &in->cap_anchor, e->string, e, err));
    if (in->n_similar) qsort(in->similar, in->n_similar, sizeof *in->similar, by_name);
    if (in->n_anchor) qsort(in->anchor, in->n_anchor, sizeof *in->anchor, by_name);
out:
    return st;
}

/* Stage I of one model for one query: weighted means over the top anchors; NaN when no anchor knows the
 * model. */
static enum sg_status stage_one(const struct input *in, const cJSON *similar, const char *query,
                                const char *model, double *correct, double *cost, struct sg_err *err) {
    double w_sum = 0, c_sum = 0, y_sum = 0;
    int k = 0;
    for (const cJSON *s = similar->child; s && k < TOP_ANCHORS; s = s->next, k++) {
        const char *id = string_of(s, "anchor_id");
        const double similarity = number_of(s, "similarity");
        if (!id || isnan(similarity))
            return sg_fail(err, SG_E_INPUT,
                           "%s: query \"%s\": similar_anchors[%d] needs \"anchor_id\" and \"similarity\"",
                           in->similarity.path, query, k);
        const cJSON *record = cJSON_GetObjectItemCaseSensitive(lookup(in->anchor, in->n_anchor, id), model);
        if (!record) continue;
        const cJSON *y = cJSON_GetObjectItemCaseSensitive(record, "is_correct");
        const double c = number_of(record, "cost"), w = similarity * similarity;
        if (!cJSON_IsBool(y) || !(c >= 0))
            return sg_fail(err, SG_E_INPUT,
                           "%s: anchor \"%s\", model \"%s\": needs \"is_correct\" (bool) and \"cost\" (USD)",
                           in->anchors.path, id, model);
        w_sum += w;
        y_sum += w * cJSON_IsTrue(y);
        c_sum += w * c;
    }
    *correct = w_sum > 0 ? y_sum / w_sum : (double)NAN;
    *cost = w_sum > 0 ? c_sum / w_sum : (double)NAN;
    return SG_OK;
}

/* The grid in the order of the files: column j of a query is the j-th model it lists; behind those stand the
 * other models of the portfolio, which count in stage I alone. [n][m] each. */
struct grid {
    int64_t n;
    double *anchor_correct, *anchor_cost, *yes, *cost, *true_correct, *true_cost;
    const char **model;
};

static void grid_free(struct grid *g) {
    free(g->anchor_correct);
    free(g->anchor_cost);
    free(g->yes);
    free(g->cost);
    free(g->true_correct);
    free(g->true_cost);
    free((void *)g->model);
}

static enum sg_status grid_new(struct grid *g, int64_t cells, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(SG_NEW(&g->anchor_correct, cells, "cells", err));
    SG_TRY(SG_NEW(&g->anchor_cost, cells, "cells", err));
    SG_TRY(SG_NEW(&g->yes, cells, "cells", err));
    SG_TRY(SG_NEW(&g->cost, cells, "cells", err));
    SG_TRY(SG_NEW(&g->true_correct, cells, "cells", err));
    SG_TRY(SG_NEW(&g->true_cost, cells, "cells", err));
    SG_TRY(SG_NEW(&g->model, cells, "cells", err));
out:
    return st;
}

static enum sg_status listed(const struct input *in, const cJSON *e, const char *query, struct grid *g,
                             int64_t at, struct sg_err *err) {
    const char *model = string_of(e, "model"), *path = in->selection.path;
    const cJSON *p = cJSON_GetObjectItemCaseSensitive(e, "predicted");
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(e, "ground_truth");
    if (!model)
        return sg_fail(err, SG_E_INPUT, "%s: query \"%s\": an entry of all_models has no \"model\"", path,
                       query);
    size_t k = 0;
    while (k < in->m && strcmp(in->model[k], model) != 0) k++;
    if (k == in->m) {
        const char *near = sg_nearest(model, in->model, in->m);
        return sg_fail(err, SG_E_INPUT, "%s: query \"%s\": model \"%s\" is not in %s%s%s%s", path, query,
                       model, in->portfolio.path, near ? "; did you mean \"" : "", near ? near : "",
                       near ? "\"?" : "");
    }
    const char *y = string_of(p, "correctness"), *yt = string_of(t, "correctness");
    g->cost[at] = number_of(p, "cost");
    g->true_cost[at] = number_of(t, "cost");
    if (!y || !yt || !(g->cost[at] >= 0) || !(g->true_cost[at] >= 0))
        return sg_fail(err, SG_E_INPUT,
                       "%s: query \"%s\", model \"%s\": predicted and ground_truth need \"correctness\" and "
                       "\"cost\" (USD)",
                       path, query, model);
    g->yes[at] = !strcmp(y, "yes"); /* unknown counts as no */
    g->true_correct[at] = !strcmp(yt, "yes");
    g->model[at] = in->model[k];
    return SG_OK;
}

static enum sg_status one_query(const struct input *in, const cJSON *question, int index, struct grid *g,
                                const char **id, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const cJSON *models = cJSON_GetObjectItemCaseSensitive(question, "all_models");
    const char *query = string_of(question, "question_id");
    const int64_t at = g->n * (int64_t)in->m;
    size_t k = 0;
    bool any = false;
    if (!query || !cJSON_IsArray(models) || !models->child)
        return sg_fail(err, SG_E_INPUT, "%s: questions[%d] needs \"question_id\" and \"all_models\"",
                       in->selection.path, index);
    const cJSON *similar = lookup(in->similar, in->n_similar, query);
    if (!similar) return SG_OK; /* no anchors: dropped, as the reference does */
    for (const cJSON *e = models->child; e; e = e->next, k++) {
        if (k == in->m)
            return sg_fail(err, SG_E_INPUT, "%s: query \"%s\" lists more models than %s has",
                           in->selection.path, query, in->portfolio.path);
        SG_TRY(listed(in, e, query, g, at + (int64_t)k, err));
        for (size_t j = 0; j < k; j++)
            if (g->model[at + (int64_t)j] == g->model[at + (int64_t)k])
                return sg_fail(err, SG_E_INPUT, "%s: query \"%s\" lists model \"%s\" twice",
                               in->selection.path, query, g->model[at + (int64_t)k]);
    }
    const size_t n_listed = k;
    for (size_t j = 0; j < in->m; j++) {
        size_t seen = 0;
        while (seen < n_listed && g->model[at + (int64_t)seen] != in->model[j]) seen++;
        if (seen < n_listed) continue;
        g->model[at + (int64_t)k] = in->model[j];
        g->yes[at + (int64_t)k] = (double)NAN;
        k++;
    }
    for (k = 0; k < in->m; k++) {
        const int64_t c = at + (int64_t)k;
        SG_TRY(stage_one(in, similar, query, g->model[c], &g->anchor_correct[c], &g->anchor_cost[c], err));
        any = any || !isnan(g->anchor_correct[c]);
    }
    if (any) {
        *id = query;
        g->n++;
    }
out:
    return st;
}

static enum sg_status score(const struct input *in, const struct grid *g, int64_t n_alphas,
                            struct sg_route_curve *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int32_t *choice = NULL;
    const struct sg_scope_router two = {.n = g->n,
                                        .m = (int32_t)in->m,
                                        .anchor_correct = g->anchor_correct,
                                        .anchor_cost = g->anchor_cost,
                                        .yes = g->yes,
                                        .cost = g->cost};
    SG_TRY(SG_NEW(&choice, n_alphas * g->n, "decisions", err));
    SG_TRY(SG_NEW(&o->alpha, n_alphas, "decisions", err));
    SG_TRY(SG_NEW(&o->accuracy, n_alphas, "decisions", err));
    SG_TRY(SG_NEW(&o->total_cost, n_alphas, "decisions", err));
    SG_TRY(SG_NEW(&o->selected, n_alphas * g->n, "decisions", err));
    SG_TRY(sg_scope_router_choose(&two, n_alphas, o->alpha, choice, err));
    for (int64_t k = 0; k < n_alphas; k++) {
        for (int64_t q = 0; q < g->n; q++) {
            const int64_t at = q * (int64_t)in->m + choice[k * g->n + q];
            char *name;
            SG_TRY(sg_arena_dup(&o->strings, g->model[at], strlen(g->model[at]), &name, err));
            o->selected[k * g->n + q] = name;
            o->accuracy[k] += g->true_correct[at];
            o->total_cost[k] += g->true_cost[at];
        }
        o->accuracy[k] /= (double)g->n;
    }
out:
    free(choice);
    return st;
}

enum sg_status sg_route_reference(const struct sg_route_files *files, int64_t n_alphas,
                                  struct sg_route_curve *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct input in = {0};
    struct grid g = {0};
    struct sg_route_curve o = {.n_alphas = n_alphas};
    SG_TRY(load(files->selection, &in.selection, err));
    SG_TRY(load(files->similarity, &in.similarity, err));
    SG_TRY(load(files->anchors, &in.anchors, err));
    SG_TRY(load(files->portfolio, &in.portfolio, err));
    SG_TRY(index_files(&in, err));
    const cJSON *questions = cJSON_GetObjectItemCaseSensitive(in.selection.root, "questions");
    if (!cJSON_IsArray(questions)) {
        st = sg_fail(err, SG_E_INPUT, "%s: expected an object with an array \"questions\"", files->selection);
        goto out;
    }
    const int n = cJSON_GetArraySize(questions);
    int i = 0;
    SG_TRY(grid_new(&g, (int64_t)n * (int64_t)in.m, err));
    SG_TRY(SG_NEW(&o.query, n, "queries", err));
    for (const cJSON *q = questions->child; q; q = q->next, i++) {
        const char *id = NULL;
        char *copy;
        SG_TRY(one_query(&in, q, i, &g, &id, err));
        if (!id) continue;
        SG_TRY(sg_arena_dup(&o.strings, id, strlen(id), &copy, err));
        o.query[g.n - 1] = copy;
    }
    o.n_queries = g.n;
    o.n_dropped = n - g.n;
    if (!g.n) {
        st = sg_fail(err, SG_E_INPUT, "%s: no question has an anchor in %s with an outcome in %s",
                     files->selection, files->similarity, files->anchors);
        goto out;
    }
    SG_TRY(score(&in, &g, n_alphas, &o, err));
    *out = o;
out:
    input_free(&in);
    grid_free(&g);
    if (st != SG_OK) sg_route_curve_free(&o);
    return st;
}

void sg_route_curve_free(struct sg_route_curve *c) {
    if (!c) return;
    free(c->alpha);
    free(c->accuracy);
    free(c->total_cost);
    free((void *)c->selected);
    free((void *)c->query);
    sg_arena_free(&c->strings);
    memset(c, 0, sizeof *c);
}

static enum sg_status curve_json(const struct sg_route_curve *c, struct sg_buf *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_str(b, "[", err));
    for (int64_t k = 0; k < c->n_alphas; k++) {
        SG_TRY(sg_buf_printf(
            b, err, "%s\n{\"alpha\": %.17g, \"accuracy\": %.17g, \"total_cost\": %.17g, \"selected\": [",
            k ? "," : "", c->alpha[k], c->accuracy[k], c->total_cost[k]));
        for (int64_t q = 0; q < c->n_queries; q++) {
            const char *s = c->selected[k * c->n_queries + q];
            if (q) SG_TRY(sg_buf_str(b, ", ", err));
            SG_TRY(sg_json_quote(b, s, strlen(s), err));
        }
        SG_TRY(sg_buf_str(b, "]}", err));
    }
    SG_TRY(sg_buf_str(b, "\n]\n", err));
out:
    return st;
}

enum sg_status sg_route_reference_main(int argc, char **argv, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_route_files f = {0};
    struct sg_route_curve c = {0};
    struct sg_buf text = {0};
    int64_t alphas = 101;
    const char *path = "curve.json", *none[1];
    bool help = false;
    const struct sg_opt opts[] = {
        {"selection", SG_OPT_STR, &f.selection, 0, 0, "FILE",
         "predictions and ground truth of every query and model"},
        {"similarity", SG_OPT_STR, &f.similarity, 0, 0, "FILE", "the most similar anchors of every query"},
        {"anchors", SG_OPT_STR, &f.anchors, 0, 0, "FILE", "outcome and cost of every model on every anchor"},
        {"portfolio", SG_OPT_STR, &f.portfolio, 0, 0, "FILE", "the models"},
        {"alphas", SG_OPT_I64, &alphas, 2, 10001, "N", "values of alpha from 0 to 1; default 101"},
        {"output", SG_OPT_STR, &path, 0, 0, "FILE", "the curve, also -o; default curve.json"},
    };
    SG_TRY(sg_options_read(
        argc, argv,
        &(struct sg_opt_spec){
            "Usage: scope-frontier route-reference --selection F --similarity F --anchors F --portfolio F\n"
            "       [--alphas 101] [-o curve.json]\n\n"
            "The two-stage router of the reference scripts on their own files.",
            opts, sizeof opts / sizeof *opts, none, 0, 0},
        &help, err));
    if (help) goto out;
    const struct {
        const char *name, *value;
    } need[] = {{"selection", f.selection},
                {"similarity", f.similarity},
                {"anchors", f.anchors},
                {"portfolio", f.portfolio}};
    for (size_t i = 0; i < 4; i++)
        if (!need[i].value) {
            st = sg_fail(err, SG_E_USAGE, "route-reference: --%s FILE is missing", need[i].name);
            goto out;
        }
    SG_TRY(sg_route_reference(&f, alphas, &c, err));
    SG_TRY(curve_json(&c, &text, err));
    SG_TRY(sg_file_write_atomic(path, text.data, text.len, err));
    int64_t best = 0;
    for (int64_t k = 1; k < c.n_alphas; k++)
        if (c.accuracy[k] > c.accuracy[best]) best = k;
    printf("%lld queries (%lld without anchors dropped), %lld alphas -> %s\n", (long long)c.n_queries,
           (long long)c.n_dropped, (long long)c.n_alphas, path);
    printf("alpha %.4g: accuracy %.2f %% at %.6g USD in total; alpha %.4g: %.2f %% at %.6g USD; best %.2f %% "
           "at alpha %.4g\n",
           c.alpha[0], 100 * c.accuracy[0], c.total_cost[0], c.alpha[c.n_alphas - 1],
           100 * c.accuracy[c.n_alphas - 1], c.total_cost[c.n_alphas - 1], 100 * c.accuracy[best],
           c.alpha[best]);
out:
    sg_route_curve_free(&c);
    sg_buf_free(&text);
    return st;
}

#include "job/corpus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- questions ------------------------------------------------------------------------------------- */

/* A needed string that is not empty, copied. */
static enum sg_status copy_text(const struct sg_json *rec, const char *key, struct sg_arena *strings,
                                char **out, int64_t *n, struct sg_err *err) {
    const char *s = NULL;
    enum sg_status st = sg_json_need_str(rec, key, &s, err);
    if (st != SG_OK) return st;
    if (!s[0]) return sg_fail(err, SG_E_INPUT, "%s: %s is empty", rec->where, key);
    size_t len = strlen(s);
    if (n) *n = (int64_t)len;
    return sg_arena_dup(strings, s, len, out, err);
}

static enum sg_status read_question(const struct sg_json *rec, struct sg_arena *strings, struct sg_query *out,
                                    struct sg_err *err) {
    char *id = NULL, *text = NULL, *category_copy = NULL;
    const char *category = "";
    struct sg_json prompt, question;
    int64_t n = 0;
    enum sg_status st = SG_OK;
    SG_TRY(copy_text(rec, "id", strings, &id, NULL, err));
    SG_TRY(sg_json_member(rec, "prompt", false, &prompt, err));
    SG_TRY(sg_json_member(rec, "question", false, &question, err));
    if (!prompt.node && !question.node) {
        st = sg_fail(err, SG_E_INPUT, "%s: prompt (or question) is missing", rec->where);
        goto out;
    }
    SG_TRY(copy_text(rec, prompt.node ? "prompt" : "question", strings, &text, &n, err));
    SG_TRY(sg_json_get_str(rec, "category", &category, err));
    SG_TRY(sg_arena_dup(strings, category, strlen(category), &category_copy, err));
    *out = (struct sg_query){.id = id, .category = category_copy, .prompt = {.s = text, .n = n}};
out:
    return st;
}

enum sg_status sg__questions_read(struct sg__records *r, const char *what, bool may_be_empty,
                                  struct sg_arena *strings, struct sg__questions *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__questions q = {0};
    for (;;) {
        struct sg_json rec;
        bool more = false;
        int64_t old;
        SG_TRY(sg__records_next(r, &rec, &more, err));
        if (!more) break;
        if (q.n == INT32_MAX) {
            st = sg_fail(err, SG_E_UNSUPPORTED, "%s: more than %d %s", r->path, INT32_MAX, what);
            goto out;
        }
        SG_TRY(SG_GROW(&q.items, &q.cap, q.n + 1, what, err));
        SG_TRY(SG_GROW(&q.lines, &q.cap_lines, q.n + 1, what, err));
        struct sg_query *item = &q.items[q.n];
        SG_TRY(read_question(&rec, strings, item, err));
        SG_TRY(sg_ids_add(&q.ids, item->id, strlen(item->id), q.n, &old, err));
        if (old >= 0) {
            st = sg_fail(err, SG_E_INPUT, "%s: id \"%s\" stands here a second time; first on line %lld",
                         rec.where, item->id, (long long)q.lines[old]);
            goto out;
        }
        q.lines[q.n++] = r->record_line;
    }
    if (!q.n && !may_be_empty) {
        st = sg_fail(err, SG_E_INPUT, "%s: holds no %s; expected at least one record", r->path, what);
        goto out;
    }
    *out = q;
    memset(&q, 0, sizeof q);
out:
    sg__questions_free(&q);
    return st;
}

void sg__questions_free(struct sg__questions *q) {
    if (!q) return;
    free(q->items);
    free(q->lines);
    sg_ids_free(&q->ids);
    memset(q, 0, sizeof *q);
}

/* --- outcomes -------------------------------------------------------------------------------------- */

/* is_correct as true/false or, as tables that went through pandas have it, 1/0. */
static enum sg_status read_correct(const struct sg_json *rec, const struct sg_json *is_correct, bool *out,
                                   struct sg_err *err) {
    const struct sg_json m = *is_correct;
    if (cJSON_IsNumber(m.node) && (m.node->valuedouble == 0 || m.node->valuedouble == 1)) {
        *out = m.node->valuedouble == 1;
        return SG_OK;
    }
    if (cJSON_IsBool(m.node)) {
        *out = cJSON_IsTrue(m.node);
        return SG_OK;
    }
    return sg_fail(err, SG_E_INPUT, "%s: is_correct must be true, false, 1 or 0", rec->where);
}

/* What an outcome was worth, and whether that counts as correct; either follows from the other. */
static enum sg_status read_score(const struct sg_json *rec, double correct_at, bool *correct, double *score,
                                 struct sg_err *err) {
    struct sg_json flag, graded;
    enum sg_status st = SG_OK;
    SG_TRY(sg_json_member(rec, "is_correct", false, &flag, err));
    SG_TRY(sg_json_member(rec, "score", false, &graded, err));
    if (!flag.node && !graded.node) {
        st = sg_fail(err, SG_E_INPUT, "%s: is_correct (or score) is missing", rec->where);
        goto out;
    }
    if (flag.node) SG_TRY(read_correct(rec, &flag, correct, err));
    if (!graded.node) {
        *score = *correct;
        goto out;
    }
    SG_TRY(sg_json_get_f64(rec, "score", 0, 1, score, err));
    const bool enough = *score >= correct_at;
    if (flag.node && *correct != enough) {
        st = sg_fail(err, SG_E_INPUT,
                     "%s: score is %g and is_correct is %s, but from prompt.correct_at = %g on an answer is "
                     "correct; mend the record or prompt.correct_at",
                     rec->where, *score, *correct ? "true" : "false", correct_at);
        goto out;
    }
    *correct = enough;
out:
    return st;
}

static enum sg_status read_outcome(const struct sg_json *rec, double correct_at, struct sg_outcome *out,
                                   struct sg_err *err) {
    int64_t completion = 0, prompt = -1;
    bool correct = false;
    double score = 0;
    enum sg_status st = SG_OK;
    SG_TRY(read_score(rec, correct_at, &correct, &score, err));
    SG_TRY(sg_json_need_i64(rec, "usage_completion_tokens", 0, INT32_MAX, &completion, err));
    SG_TRY(sg_json_get_i64(rec, "usage_prompt_tokens", 0, INT32_MAX, &prompt, err));
    *out = (struct sg_outcome){.known = true,
                               .correct = correct,
                               .prompt_tokens = (int32_t)prompt,
                               .completion_tokens = (int32_t)completion,
                               .score = score};
out:
    return st;
}

/* Names that no entry of the portfolio knows, with their counts. */
struct unknown {
    struct sg_unknown_model *items;
    int64_t n;
    size_t cap;
    struct sg_ids by_name;
};

static enum sg_status count_unknown(struct unknown *u, const char *name, struct sg_arena *strings,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *copy = NULL;
    const size_t n = strlen(name);
    int64_t old = sg_ids_get(&u->by_name, name, n);
    if (old >= 0) {
        u->items[old].outcomes++;
        return SG_OK;
    }
    SG_TRY(SG_GROW(&u->items, &u->cap, u->n + 1, "model names", err));
    SG_TRY(sg_arena_dup(strings, name, n, &copy, err));
    SG_TRY(sg_ids_add(&u->by_name, copy, n, u->n, &old, err));
    u->items[u->n++] = (struct sg_unknown_model){.name = copy, .outcomes = 1};
out:
    return st;
}

static int more_outcomes(const void *a, const void *b) {
    const struct sg_unknown_model *x = a, *y = b;
    if (x->outcomes != y->outcomes) return x->outcomes > y->outcomes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorts, and finds what the first few may have meant. */
static enum sg_status suggest_names(struct unknown *u, const struct sg__portfolio *models,
                                    struct sg_err *err) {
    enum { SUGGESTED = 20 };
    enum sg_status st = SG_OK;
    const char **known = NULL;
    if (!u->n) return SG_OK;
    qsort(u->items, (size_t)u->n, sizeof *u->items, more_outcomes);
    SG_TRY(SG_NEW(&known, models->n + models->n_names, "names", err));
    for (int64_t i = 0; i < models->n; i++) known[i] = models->items[i].id;
    for (int64_t i = 0; i < models->n_names; i++) known[models->n + i] = models->names[i].s;
    for (int64_t i = 0; i < u->n && i < SUGGESTED; i++)
        u->items[i].near = sg_nearest(u->items[i].name, known, (size_t)(models->n + models->n_names));
out:
    free(known);
    return st;
}

static enum sg_status put_outcome(struct sg_outcome *at, const struct sg_outcome *o, const char *where,
                                  const char *id, const char *model, struct sg_err *err) {
    if (at->known)
        return sg_fail(err, SG_E_INPUT, "%s: a second outcome of model \"%s\" on question \"%s\"; keep one",
                       where, model, id);
    *at = *o;
    return SG_OK;
}

enum sg_status sg__outcomes_read(struct sg__records *r, const struct sg__questions *queries,
                                 const struct sg__questions *anchors, const struct sg__portfolio *models,
                                 struct sg_arena *strings, struct sg__outcomes *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct unknown u = {0};
    int64_t on_queries = 0, elsewhere = 0;
    for (;;) {
        struct sg_json rec;
        bool more = false;
        const char *id = NULL, *name = NULL;
        struct sg_outcome o = {0};
        SG_TRY(sg__records_next(r, &rec, &more, err));
        if (!more) break;
        SG_TRY(sg_json_need_str(&rec, "id", &id, err));
        SG_TRY(sg_json_need_str(&rec, "model_name", &name, err));
        int64_t m = sg__portfolio_find(models, name);
        if (m < 0) {
            SG_TRY(count_unknown(&u, name, strings, err));
            continue;
        }
        SG_TRY(read_outcome(&rec, out->correct_at, &o, err));
        int64_t q = sg_ids_get(&queries->ids, id, strlen(id)), a = sg_ids_get(&anchors->ids, id, strlen(id));
        if (q < 0 && a < 0) elsewhere++;
        if (q >= 0) {
            SG_TRY(put_outcome(&out->truth[q * models->n + m], &o, rec.where, id, name, err));
            on_queries++;
        }
        if (a >= 0)
            SG_TRY(put_outcome(&out->anchor_outcomes[a * models->n + m], &o, rec.where, id, name, err));
    }
    SG_TRY(suggest_names(&u, models, err));
    out->n_truth = on_queries;
    out->unused = elsewhere;
    out->unknown = u.items;
    out->n_unknown = u.n;
    u.items = NULL;
out:
    free(u.items);
    sg_ids_free(&u.by_name);
    return st;
}

void sg__outcomes_free(struct sg__outcomes *o) {
    free(o->unknown);
    o->unknown = NULL;
    o->n_unknown = 0;
}

/* --- similarity file ------------------------------------------------------------------------------- */

/* Puts an anchor into a row of k that is sorted by falling similarity; equal ones keep the file's order. */
static void insert_ranked(struct sg_cell_anchor *row, int32_t k, struct sg_cell_anchor a) {
    int32_t at = k;
    while (at > 0 && (row[at - 1].anchor < 0 || row[at - 1].similarity < a.similarity)) at--;
    if (at == k) return;
    memmove(row + at + 1, row + at, (size_t)(k - at - 1) * sizeof *row);
    row[at] = a;
}

/* out->anchor is -1 for an anchor that the job does not have and need not. */
static enum sg_status read_similar(const struct sg_json *item, const struct sg__questions *anchors,
                                   bool lenient, struct sg_cell_anchor *out, struct sg_err *err) {
    const char *id = NULL;
    struct sg_json value;
    double s = NAN;
    enum sg_status st = SG_OK;
    SG_TRY(sg_json_need_str(item, "anchor_id", &id, err));
    SG_TRY(sg_json_member(item, "similarity", true, &value, err));
    SG_TRY(sg_json_get_f64(item, "similarity", -1e6, 1e6, &s, err)); /* cosines; others that stay finite */
    int64_t a = sg_ids_get(&anchors->ids, id, strlen(id));
    if (a < 0 && !lenient) {
        st = sg_fail(err, SG_E_INPUT, "%s: %s.anchor_id is \"%s\", which is no anchor of this job",
                     item->where, item->path, id);
        goto out;
    }
    *out = (struct sg_cell_anchor){.anchor = (int32_t)a, .similarity = (float)s};
out:
    return st;
}

/* One question's list into its row. seen[anchor]: the `number` of the list that named it last: finds an
 * anchor twice. */
static enum sg_status read_row(const struct sg_json *rec, const struct sg_query *query, bool lenient,
                               const struct sg__questions *anchors, int32_t k, int64_t number, int64_t *seen,
                               struct sg_cell_anchor *row, struct sg_err *err) {
    struct sg_json list;
    enum sg_status st = SG_OK;
    const struct sg_doc self = {.id = query->id, .s = query->prompt.s, .n = query->prompt.n};
    SG_TRY(sg_json_member(rec, "similar_anchors", true, &list, err));
    if (!cJSON_IsArray(list.node)) {
        st = sg_fail(err, SG_E_INPUT, "%s: similar_anchors must be an array", rec->where);
        goto out;
    }
    int64_t i = 0;
    for (const cJSON *c = list.node->child; c; c = c->next, i++) {
        struct sg_json item = sg_json_element(&list, c, i);
        struct sg_cell_anchor a = {0};
        SG_TRY(read_similar(&item, anchors, lenient, &a, err));
        if (a.anchor < 0) continue;
        const struct sg_query *anchor = &anchors->items[a.anchor];
        if (seen[a.anchor] == number) {
            st = sg_fail(err, SG_E_INPUT, "%s: %s.anchor_id \"%s\" stands twice for this query", rec->where,
                         item.path, anchor->id);
            goto out;
        }
        seen[a.anchor] = number;
        const struct sg_doc doc = {.id = anchor->id, .s = anchor->prompt.s, .n = anchor->prompt.n};
        if (!sg_anchor_is_query(&self, &doc)) insert_ranked(row, k, a);
    }
out:
    return st;
}

enum sg_status sg__similarity_read(struct sg__records *r, const struct sg__questions *queries,
                                   const struct sg__questions *anchors, int32_t k,
                                   struct sg_cell_anchor *ranked, struct sg__anchor_rows *own,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_cell_anchor none = {.anchor = -1, .similarity = 0};
    bool *have = NULL;
    int64_t *seen = NULL, lists = 0;
    SG_TRY(SG_NEW(&have, queries->n, "queries", err));
    SG_TRY(SG_NEW(&seen, anchors->n, "anchors", err));
    for (int64_t i = 0; i < queries->n * k; i++) ranked[i] = none;
    for (int64_t i = 0; own && i < anchors->n * k; i++) own->ranked[i] = none;
    for (;;) {
        struct sg_json rec;
        bool more = false;
        const char *id = NULL;
        SG_TRY(sg__records_next(r, &rec, &more, err));
        if (!more) break;
        SG_TRY(sg_json_need_str(&rec, "router_id", &id, err));
        int64_t q = sg_ids_get(&queries->ids, id, strlen(id)),
                a = own ? sg_ids_get(&anchors->ids, id, strlen(id)) : -1;
        if (q >= 0 && have[q]) {
            st = sg_fail(err, SG_E_INPUT, "%s: router_id \"%s\" stands here a second time", rec.where, id);
            goto out;
        }
        if (q >= 0) {
            have[q] = true;
            SG_TRY(read_row(&rec, &queries->items[q], false, anchors, k, ++lists, seen, ranked + q * k, err));
        }
        if (a >= 0 && !own->have[a]) {
            own->have[a] = true;
            SG_TRY(read_row(&rec, &anchors->items[a], true, anchors, k, ++lists, seen, own->ranked + a * k,
                            err));
        }
    }
    for (int64_t q = 0; q < queries->n; q++)
        if (!have[q]) {
            st =
                sg_fail(err, SG_E_INPUT, "%s: has no record for query \"%s\"", r->path, queries->items[q].id);
            goto out;
        }
out:
    free(have);
    free(seen);
    return st;
}

#include "policy_file.h"

#include "base/csv.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ASKS_TOLD = 5 };
enum column { QUERY, MODEL, WEIGHT, ASK, COLUMNS };
static const char *const column_name[COLUMNS] = {"query", "model", "weight", "ask"};

static enum sg_status heading(struct sg_csv *r, int column[COLUMNS], struct sg_err *err) {
    bool more;
    const enum sg_status st = sg_csv_next(r, &more, err);
    if (st != SG_OK) return st;
    for (int k = 0; k < COLUMNS; k++) column[k] = sg_csv_column(r, column_name[k]);
    if (column[QUERY] < 0 || column[MODEL] < 0)
        return sg_fail(
            err, SG_E_INPUT,
            "%s:1: no column \"%s\"; expected the columns query, model and, where models share a query, "
            "weight",
            r->path, column_name[column[QUERY] < 0 ? QUERY : MODEL]);
    return SG_OK;
}

struct entry {
    int64_t query, line;
    int32_t model;
    double weight;
};

static enum sg_status unknown(const struct sg_csv *r, const char *what, const char *id, char *const *names,
                              int64_t n, struct sg_err *err) {
    const char *near = sg_nearest(id, (const char *const *)names, (size_t)n);
    return sg_fail(err, SG_E_INPUT, "%s:%lld: no %s \"%s\" in the results%s%s%s", r->path, (long long)r->line,
                   what, id, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* A row as an entry; its query is -1 where the dataset left it out. */
static enum sg_status entry(const struct sg_csv *r, const int column[COLUMNS], const struct sg_dataset *d,
                            const struct sg_ids *queries, const int64_t *of_row, struct entry *e,
                            struct sg_err *err) {
    int most = 0;
    for (int k = 0; k < COLUMNS; k++) most = column[k] > most ? column[k] : most;
    if (r->n <= most)
        return sg_fail(err, SG_E_INPUT, "%s:%lld: %d columns; the heading has more", r->path,
                       (long long)r->line, r->n);
    const char *query = r->field[column[QUERY]], *model = r->field[column[MODEL]];
    const char *weight = column[WEIGHT] < 0 ? "1" : r->field[column[WEIGHT]];
    const char *bare = sg_csv_bare(query);
    int64_t row = sg_ids_get(queries, query, strlen(query));
    if (row < 0) row = sg_ids_get(queries, bare, strlen(bare));
    if (row < 0) return unknown(r, "query", query, d->r->query, d->r->n_queries, err);
    *e = (struct entry){.query = of_row[row], .line = r->line, .model = -1};
    for (int32_t k = 0; k < d->m; k++)
        if (!strcmp(sg_dataset_model(d, k), model) || !strcmp(sg_dataset_model(d, k), sg_csv_bare(model)))
            e->model = k;
    for (int64_t k = 0; e->model < 0 && k < d->r->n_models; k++)
        if (!strcmp(d->r->model[k], model))
            return sg_fail(err, SG_E_INPUT, "%s:%lld: model \"%s\" is in use but not in the pool (--pool)",
                           r->path, (long long)r->line, model);
    if (e->model < 0) return unknown(r, "model", model, d->r->model, d->r->n_models, err);
    char *end;
    errno = 0;
    e->weight = strtod(weight, &end);
    if (end == weight || *end || errno == ERANGE || !(e->weight >= 0 && e->weight <= 1))
        return sg_fail(err, SG_E_INPUT, "%s:%lld: weight \"%s\"; expected a number from 0 to 1", r->path,
                       (long long)r->line, weight);
    return SG_OK;
}

/* The asks that the rows have, in the order of their first row; an error where there are several. */
struct asks {
    const char *name[ASKS_TOLD];
    int n;
};
static void meet(struct asks *a, const char *name) {
    for (int i = 0; i < a->n && i < ASKS_TOLD; i++)
        if (!strcmp(a->name[i], name)) return;
    if (a->n < ASKS_TOLD) a->name[a->n] = name;
    a->n += a->n <= ASKS_TOLD;
}
static enum sg_status one_ask(const struct asks *a, const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    if (a->n < 2) return SG_OK;
    for (int i = 0; i < a->n && i < ASKS_TOLD; i++)
        SG_TRY(sg_buf_printf(&b, err, "%s%s", i ? ", " : "", a->name[i]));
    st = sg_fail(err, SG_E_INPUT,
                 "%s: holds the policies of several asks (%s%s); keep the rows of one of them", path, b.data,
                 a->n > ASKS_TOLD ? ", ..." : "");
out:
    sg_buf_free(&b);
    return st;
}

/* The entries by query, and that their weights sum to 1. */
static enum sg_status arrange(const char *path, const struct sg_dataset *d, const struct entry *list,
                              int64_t n, struct sg_given_policy *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t *line = NULL;
    p->n = d->n;
    SG_TRY(SG_NEW(&p->first, d->n + 1, "policy", err));
    SG_TRY(SG_NEW(&p->model, n, "policy", err));
    SG_TRY(SG_NEW(&p->weight, n, "policy", err));
    SG_TRY(SG_NEW(&p->share, d->m, "policy", err));
    SG_TRY(SG_NEW(&line, d->n, "policy", err));
    for (int64_t i = 0; i < n; i++) p->first[list[i].query + 1]++;
    for (int64_t q = 0; q < d->n; q++) p->first[q + 1] += p->first[q];
    for (int64_t i = n - 1; i >= 0; i--) { /* first[q + 1] runs down to where q begins */
        const struct entry *e = &list[i];
        const int64_t to = --p->first[e->query + 1];
        p->model[to] = e->model;
        p->weight[to] = e->weight;
        p->share[e->model] += e->weight / (double)d->n;
        line[e->query] = e->line;
    }
    memmove(p->first, p->first + 1, sizeof *p->first * (size_t)d->n);
    p->first[d->n] = n;
    for (int64_t q = 0; q < d->n; q++) {
        double sum = 0;
        for (int64_t i = p->first[q]; i < p->first[q + 1]; i++) sum += p->weight[i];
        if (p->first[q] == p->first[q + 1])
            st = sg_fail(err, SG_E_INPUT,
                         "%s: no row for query \"%s\"; leave it out with --queries, or say who answers it",
                         path, sg_dataset_query(d, q));
        else if (fabs(sum - 1) > 1e-6)
            st = sg_fail(err, SG_E_INPUT, "%s:%lld: the weights of query \"%s\" sum to %.9g; expected 1",
                         path, (long long)line[q], sg_dataset_query(d, q), sum);
        if (st != SG_OK) goto out;
    }
out:
    free(line);
    return st;
}

enum sg_status sg_given_policy_read(const char *path, const struct sg_dataset *d, struct sg_given_policy *out,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_given_policy p = {0};
    struct sg_buf text = {0};
    struct sg_ids queries = {0};
    struct entry *list = NULL;
    struct asks asks = {.n = 0};
    struct sg_csv r;
    int64_t *of_row = NULL, n = 0, lines = 0, old;
    int column[COLUMNS];
    bool more = true;
    SG_TRY(sg_csv_open(&r, path, &text, err));
    for (const char *s = r.at; *s; s++) lines += *s == '\n' || *s == '\r';
    SG_TRY(SG_NEW(&list, lines + 1, "policy", err));
    SG_TRY(SG_NEW(&of_row, d->r->n_queries, "policy", err));
    for (int64_t i = 0; i < d->r->n_queries; i++) {
        of_row[i] = -1;
        SG_TRY(sg_ids_add(&queries, d->r->query[i], strlen(d->r->query[i]), i, &old, err));
    }
    for (int64_t q = 0; q < d->n; q++) of_row[d->row[q]] = q;
    SG_TRY(heading(&r, column, err));
    while (more) {
        SG_TRY(sg_csv_next(&r, &more, err));
        if (!more) break;
        SG_TRY(entry(&r, column, d, &queries, of_row, &list[n], err));
        if (column[ASK] >= 0) meet(&asks, r.field[column[ASK]]);
        n += list[n].query >= 0 && list[n].weight > 0;
    }
    SG_TRY(one_ask(&asks, path, err));
    SG_TRY(arrange(path, d, list, n, &p, err));
    *out = p;
    p = (struct sg_given_policy){0};
out:
    sg_given_policy_free(&p);
    sg_buf_free(&text);
    sg_ids_free(&queries);
    free(list);
    free(of_row);
    return st;
}

double sg_given_policy_share(const struct sg_given_policy *p, int64_t q, int32_t k) {
    double share = 0;
    for (int64_t i = p->first[q]; i < p->first[q + 1]; i++) share += p->model[i] == k ? p->weight[i] : 0;
    return share;
}

void sg_given_policy_free(struct sg_given_policy *p) {
    if (!p) return;
    free(p->first);
    free(p->model);
    free(p->weight);
    free(p->share);
    memset(p, 0, sizeof *p);
}

#include "job/corpus.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PRICE = 1000000000 }; /* USD per million tokens: beyond any price, short of absurd */

static enum sg_status read_price(const struct sg_json *rec, const char *key, const char *id, double *out,
                                 struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(rec, key, false, &m, err);
    if (st != SG_OK) return st;
    if (!m.node)
        return sg_fail(err, SG_E_INPUT,
                       "%s: model \"%s\" has no price: %s is missing (USD per million tokens)", rec->where,
                       id, key);
    return sg_json_get_f64(rec, key, 0, MAX_PRICE, out, err);
}

static enum sg_status read_model(const struct sg_json *rec, struct sg_arena *strings,
                                 struct sg_portfolio_model *out, struct sg_err *err) {
    const char *id = NULL, *name = NULL;
    char *id_copy = NULL, *name_copy = NULL;
    double input = 0, output = 0;
    enum sg_status st = SG_OK;
    SG_TRY(sg_json_need_str(rec, "id", &id, err));
    if (!id[0]) {
        st = sg_fail(err, SG_E_INPUT, "%s: id is empty", rec->where);
        goto out;
    }
    SG_TRY(sg_json_get_str(rec, "name", &name, err));
    SG_TRY(read_price(rec, "input", id, &input, err));
    SG_TRY(read_price(rec, "output", id, &output, err));
    SG_TRY(sg_arena_dup(strings, id, strlen(id), &id_copy, err));
    if (name) SG_TRY(sg_arena_dup(strings, name, strlen(name), &name_copy, err));
    *out = (struct sg_portfolio_model){.id = id_copy, .name = name_copy, .input = input, .output = output};
out:
    return st;
}

/* Short names are a second way to say a model in outcomes; one that two models bear says neither. */
static enum sg_status index_names(struct sg__portfolio *p, struct sg_err *err) {
    struct sg_ids once = {0};
    bool *shared = NULL;
    int64_t old;
    enum sg_status st = SG_NEW(&shared, p->n, "names", err);
    for (int64_t i = 0; i < p->n && st == SG_OK; i++) {
        const char *name = p->items[i].name;
        if (!name) continue;
        st = sg_ids_add(&once, name, strlen(name), i, &old, err);
        if (st == SG_OK && old >= 0) shared[i] = shared[old] = true;
    }
    for (int64_t i = 0; i < p->n && st == SG_OK; i++) {
        const char *name = p->items[i].name;
        if (name && !shared[i]) st = sg_ids_add(&p->names, name, strlen(name), i, &old, err);
    }
    free(shared);
    sg_ids_free(&once);
    return st;
}

enum sg_status sg__portfolio_read(struct sg__records *r, struct sg_arena *strings, struct sg__portfolio *out,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__portfolio p = {0};
    for (;;) {
        struct sg_json rec;
        bool more = false;
        int64_t old;
        SG_TRY(sg__records_next(r, &rec, &more, err));
        if (!more) break;
        if (p.n == INT32_MAX) {
            st = sg_fail(err, SG_E_UNSUPPORTED, "%s: more than %d models", r->path, INT32_MAX);
            goto out;
        }
        SG_TRY(SG_GROW(&p.items, &p.cap, p.n + 1, "portfolio", err));
        SG_TRY(SG_GROW(&p.lines, &p.cap_lines, p.n + 1, "portfolio", err));
        struct sg_portfolio_model *item = &p.items[p.n];
        SG_TRY(read_model(&rec, strings, item, err));
        SG_TRY(sg_ids_add(&p.ids, item->id, strlen(item->id), p.n, &old, err));
        if (old >= 0) {
            st = sg_fail(err, SG_E_INPUT, "%s: model \"%s\" stands here a second time; first on line %lld",
                         rec.where, item->id, (long long)p.lines[old]);
            goto out;
        }
        p.lines[p.n++] = r->record_line;
    }
    if (!p.n) {
        st = sg_fail(err, SG_E_INPUT, "%s: holds no models; expected at least one record", r->path);
        goto out;
    }
    SG_TRY(index_names(&p, err));
    *out = p;
    memset(&p, 0, sizeof p);
out:
    sg__portfolio_free(&p);
    return st;
}

void sg__portfolio_free(struct sg__portfolio *p) {
    if (!p) return;
    free(p->items);
    free(p->lines);
    sg_ids_free(&p->ids);
    sg_ids_free(&p->names);
    memset(p, 0, sizeof *p);
}

int64_t sg__portfolio_find(const struct sg__portfolio *p, const char *name) {
    size_t n = strlen(name);
    int64_t i = sg_ids_get(&p->ids, name, n);
    return i >= 0 ? i : sg_ids_get(&p->names, name, n);
}

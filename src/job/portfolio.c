#include "job/corpus.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PRICE = 1000000000 }; /* USD per million tokens: beyond any price, short of absurd */

/* A price of the record; a needed one that is missing is an error, another is left out in *out. */
static enum sg_status read_price(const struct sg_json *rec, const char *key, bool needed, const char *id,
                                 double *out, struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(rec, key, false, &m, err);
    if (st != SG_OK) return st;
    if (!m.node && needed)
        return sg_fail(err, SG_E_INPUT,
                       "%s: model \"%s\" has no price: %s is missing (USD per million tokens)", rec->where,
                       id, key);
    return sg_json_get_f64(rec, key, 0, MAX_PRICE, out, err);
}

static enum sg_status read_prices(const struct sg_json *rec, struct sg_portfolio_model *m,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    double batch[2] = {-1, -1};
    SG_TRY(read_price(rec, "input", true, m->id, &m->price.input, err));
    SG_TRY(read_price(rec, "output", true, m->id, &m->price.output, err));
    SG_TRY(read_price(rec, "request", false, m->id, &m->price.request, err));
    SG_TRY(read_price(rec, "batch_input", false, m->id, &batch[0], err));
    SG_TRY(read_price(rec, "batch_output", false, m->id, &batch[1], err));
    if ((batch[0] < 0) != (batch[1] < 0))
        st = sg_fail(err, SG_E_INPUT, "%s: model \"%s\" has one batch price: %s is missing", rec->where,
                     m->id, batch[0] < 0 ? "batch_input" : "batch_output");
out:
    return st;
}

/* The date of the prices: YYYY-MM-DD, so that dates compare as texts. */
static enum sg_status read_date(const struct sg_json *rec, struct sg_arena *strings, struct sg__portfolio *p,
                                struct sg_err *err) {
    static const char form[] = "dddd-dd-dd";
    const char *date = NULL;
    char *copy = NULL;
    enum sg_status st = sg_json_get_str(rec, "as_of", &date, err);
    if (st != SG_OK || !date) return st;
    bool good = strlen(date) == sizeof form - 1;
    for (size_t i = 0; good && i < sizeof form - 1; i++)
        good = form[i] == 'd' ? date[i] >= '0' && date[i] <= '9' : date[i] == '-';
    if (!good)
        return sg_fail(err, SG_E_INPUT, "%s: as_of is \"%.40s\"; expected YYYY-MM-DD", rec->where, date);
    st = sg_arena_dup(strings, date, strlen(date), &copy, err);
    if (st != SG_OK) return st;
    if (!p->as_of_first || strcmp(copy, p->as_of_first) < 0) p->as_of_first = copy;
    if (!p->as_of_last || strcmp(copy, p->as_of_last) > 0) p->as_of_last = copy;
    return SG_OK;
}

/* Notes a copy of `name` as one of model p->n; *out, when given, is the copy. */
static enum sg_status add_name(struct sg__portfolio *p, const char *name, bool alias,
                               struct sg_arena *strings, const char **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *copy = NULL;
    SG_TRY(SG_GROW(&p->names, &p->cap_names, p->n_names + 1, "names", err));
    SG_TRY(sg_arena_dup(strings, name, strlen(name), &copy, err));
    p->names[p->n_names++] = (struct sg__model_name){.s = copy, .model = p->n, .alias = alias};
    if (out) *out = copy;
out:
    return st;
}

static enum sg_status read_names(const struct sg_json *rec, struct sg_arena *strings, struct sg__portfolio *p,
                                 struct sg_portfolio_model *m, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *name = NULL, *provider = NULL;
    struct sg_json aliases;
    SG_TRY(sg_json_get_str(rec, "name", &name, err));
    SG_TRY(sg_json_get_str(rec, "provider_id", &provider, err));
    SG_TRY(sg_json_member(rec, "aliases", false, &aliases, err));
    if (name) SG_TRY(add_name(p, name, false, strings, &m->name, err));
    if (provider && !provider[0]) {
        st = sg_fail(err, SG_E_INPUT, "%s: provider_id is empty", rec->where);
        goto out;
    }
    /* named as the short name is: one name, which must not count as two models' */
    if (provider && (!name || strcmp(provider, name) != 0))
        SG_TRY(add_name(p, provider, false, strings, NULL, err));
    if (aliases.node && !cJSON_IsArray(aliases.node)) {
        st = sg_fail(err, SG_E_INPUT, "%s: aliases must be an array of names", rec->where);
        goto out;
    }
    for (const cJSON *a = aliases.node ? aliases.node->child : NULL; a; a = a->next) {
        if (!cJSON_IsString(a) || !a->valuestring[0]) {
            st = sg_fail(err, SG_E_INPUT, "%s: aliases must be an array of names", rec->where);
            goto out;
        }
        SG_TRY(add_name(p, a->valuestring, true, strings, NULL, err));
    }
out:
    return st;
}

static enum sg_status read_model(const struct sg_json *rec, struct sg_arena *strings, struct sg__portfolio *p,
                                 struct sg_portfolio_model *out, struct sg_err *err) {
    const char *id = NULL;
    char *copy = NULL;
    struct sg_portfolio_model m = {0};
    enum sg_status st = SG_OK;
    SG_TRY(sg_json_need_str(rec, "id", &id, err));
    if (!id[0]) {
        st = sg_fail(err, SG_E_INPUT, "%s: id is empty", rec->where);
        goto out;
    }
    SG_TRY(sg_arena_dup(strings, id, strlen(id), &copy, err));
    m.id = copy;
    SG_TRY(read_names(rec, strings, p, &m, err));
    SG_TRY(read_prices(rec, &m, err));
    SG_TRY(read_date(rec, strings, p, err));
    *out = m;
out:
    return st;
}

/* Short names and provider ids are a second way to say a model in outcomes; one that two models bear says
 * neither. An alias is meant: where another model bears it as well, the file is wrong. */
static enum sg_status index_names(const char *path, struct sg__portfolio *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ids once = {0};
    bool *shared = NULL;
    int64_t old;
    SG_TRY(SG_NEW(&shared, p->n_names, "names", err));
    for (int64_t i = 0; i < p->n_names; i++) {
        const struct sg__model_name *n = &p->names[i];
        int64_t other = n->alias ? sg_ids_get(&p->ids, n->s, strlen(n->s)) : -1;
        SG_TRY(sg_ids_add(&once, n->s, strlen(n->s), i, &old, err));
        const struct sg__model_name *twin = old >= 0 ? &p->names[old] : NULL;
        const bool differs = twin && twin->model != n->model;
        if (differs && (twin->alias || n->alias)) other = twin->model;
        if (other >= 0 && other != n->model) {
            st = sg_fail(err, SG_E_INPUT,
                         "%s:%lld: \"%s\" is an alias, and a name of the model of line %lld as well", path,
                         (long long)p->lines[n->model], n->s, (long long)p->lines[other]);
            goto out;
        }
        if (differs) shared[i] = shared[old] = true;
    }
    for (int64_t i = 0; i < p->n_names; i++) {
        const struct sg__model_name *n = &p->names[i];
        if (!shared[i]) SG_TRY(sg_ids_add(&p->by_name, n->s, strlen(n->s), n->model, &old, err));
    }
out:
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
        SG_TRY(read_model(&rec, strings, &p, item, err));
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
    SG_TRY(index_names(r->path, &p, err));
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
    free(p->names);
    sg_ids_free(&p->ids);
    sg_ids_free(&p->by_name);
    memset(p, 0, sizeof *p);
}

int64_t sg__portfolio_find(const struct sg__portfolio *p, const char *name) {
    size_t n = strlen(name);
    int64_t i = sg_ids_get(&p->ids, name, n);
    return i >= 0 ? i : sg_ids_get(&p->by_name, name, n);
}

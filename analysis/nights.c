#include "nights.h"

#include "base/ids.h"
#include "policies.h"
#include "sum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the two files, with what its policies are made of. */
struct side {
    const struct sg_dataset *d;
    const struct sg_advice *advice;
    const struct sg_path *scope;
    int32_t *model; /* [n] who answers, at what is asked; -1: nothing is advised */
};

/* What is asked of both. */
struct ask {
    const char *name;
    bool is_target;
    double value;
};

/* Both files and what they share. */
struct pair {
    struct side a, b;
    int64_t *query; /* [b.n] the query's index in a; -1: new */
    int32_t *to_b;  /* [a.m] the model's index in b; -1: gone */
    int64_t common;
    int64_t *moves; /* [a.m * b.m] */
};

static enum sg_status keep(struct sg_nights *x, const char *text, const char **out, struct sg_err *err) {
    char *copy;
    const enum sg_status st = sg_arena_dup(&x->strings, text, strlen(text), &copy, err);
    if (st == SG_OK) *out = copy;
    return st;
}

static struct sg_value plain(double x) {
    return (struct sg_value){x, (double)NAN, (double)NAN};
}

/* --- what is asked ------------------------------------------------------------------------------------------ */

static enum sg_status asks(const struct sg_analysis *first, struct sg_nights *x, struct ask **out, int32_t *n,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_advice *v = first->opt.advice;
    const bool advised = v && v->present;
    struct ask *ask = NULL;
    char text[48];
    int32_t k = 0;
    SG_TRY(SG_NEW(&ask, advised ? (size_t)v->n_steps + first->opt.n_targets : first->n_policies, "budgets",
                  err));
    for (int32_t i = 0; advised && i < v->n_steps; i++)
        if (*v->step[i].asked) ask[k++] = (struct ask){v->step[i].asked, false, v->step[i].budget};
    for (size_t i = 0; advised && i < first->opt.n_targets; i++, k++) {
        ask[k] = (struct ask){NULL, true, first->opt.targets[i]};
        snprintf(text, sizeof text, "target=%.9g", ask[k].value);
        SG_TRY(keep(x, text, &ask[k].name, err));
    }
    for (size_t i = 0; !advised && i < first->n_policies; i++)
        ask[k++] =
            (struct ask){first->policies[i].name, first->policies[i].is_target, first->policies[i].asked};
    *out = ask;
    *n = k;
    ask = NULL;
out:
    free(ask);
    return st;
}

/* The options for the other file: its own estimate, the same budgets and limits. The incumbent stays with the first. Its own
 * slider too: what is told of a model, and which smaller budget's advice holds on, hangs on all budgets. */
static enum sg_status advise(struct sg_dataset *d, const struct ask *ask, int32_t n,
                             const struct sg_advice_options *wanted, struct sg_advice *out,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_advice_options opt = *wanted;
    double *budgets = NULL;
    const char **caps = NULL;
    SG_TRY(SG_NEW(&budgets, n, "budgets", err));
    SG_TRY(SG_NEW((void ***)&caps, wanted->n_at_most, "limits", err));
    opt.incumbent = NULL;
    opt.no_defaults = true;
    opt.budgets = budgets;
    opt.n_budgets = 0;
    for (int32_t i = 0; i < n; i++)
        if (!ask[i].is_target) budgets[opt.n_budgets++] = ask[i].value;
    opt.at_most = caps;
    opt.n_at_most = 0;
    for (size_t i = 0; i < wanted->n_at_most; i++) {
        const size_t id = (size_t)(strrchr(wanted->at_most[i], '=') - wanted->at_most[i]);
        for (int32_t k = 0; k < d->m; k++)
            if (strlen(sg_dataset_model(d, k)) == id &&
                !strncmp(wanted->at_most[i], sg_dataset_model(d, k), id))
                caps[opt.n_at_most++] = wanted->at_most[i];
    }
    SG_TRY(sg_advise(d, &opt, out, err));
out:
    free(budgets);
    free((void *)caps);
    return st;
}

/* --- the policies ------------------------------------------------------------------------------------------- */

/* The policy of the estimates, where there are no outcomes that could value one. */
static enum sg_status estimated(struct side *s, const struct ask *ask, struct sg_night_advice *out,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_policy policy;
    const bool is = (ask->is_target ? sg_path_at_target(s->scope, ask->value, &policy, NULL)
                                    : sg_path_at_budget(s->scope, ask->value, &policy, NULL)) == SG_OK;
    out->kind = is ? "as estimated" : "none";
    out->sentence = is ? "Route query by query as estimated: no outcome could value a policy"
                       : "No policy is estimated to meet this";
    if (!is) return SG_OK;
    SG_TRY(sg__path_models(s->scope, &policy, s->model, err));
    out->accuracy = plain(policy.p);
    out->cost = plain(policy.c);
out:
    return st;
}

static enum sg_status policy(struct sg_nights *x, struct side *s, const struct ask *ask,
                             struct sg_night_advice *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const double none = (double)NAN;
    struct sg_policy at;
    double best;
    out->accuracy = out->cost = plain(none);
    for (int64_t q = 0; q < s->d->n; q++) s->model[q] = -1;
    if (!s->advice || !s->advice->present) return estimated(s, ask, out, err);
    const struct sg_advice_step *step = sg__advised_step(s->advice, ask->is_target, ask->value, &best);
    out->kind = step ? sg_candidate_name[step->is->advised] : "none";
    if (!step) {
        char text[96];
        snprintf(text, sizeof text,
                 ask->is_target ? "Out of reach: at most %.1f %% is expected of what is advised"
                                : "No policy fits this budget",
                 100 * best);
        return keep(x, text, &out->sentence, err);
    }
    SG_TRY(keep(x, step->sentence, &out->sentence, err));
    out->accuracy = step->accuracy;
    out->cost = step->cost;
    SG_TRY(sg__advised_models(s->d, s->advice, s->scope, step, s->model, &at, err));
out:
    return st;
}

/* --- the bill ----------------------------------------------------------------------------------------------- */

/* USD of a call of s as estimated, at the prices of model k of another dataset: the tokens are those its own cost has. */
static double cost_at(const struct sg_dataset *prices, int32_t k, const struct side *s, int64_t q,
                      int32_t model) {
    const struct sg_dataset *d = s->d;
    const int64_t cell = sg_dataset_cell(d, q, model);
    const double in = d->price_input[model], out = d->price_output[model], call = d->price_request[model];
    const double prompt = fmax(0, sg_dataset_prompt(d, q, model)) / 1e6, paid = d->c[q * d->m + model];
    const double tokens = out > 0 ? (paid - prompt * in - call) / out : d->r->length_mean[cell] / 1e6;
    if (prices->price_input[k] == in && prices->price_output[k] == out && prices->price_request[k] == call)
        return paid;
    return prompt * prices->price_input[k] + tokens * prices->price_output[k] + prices->price_request[k];
}

static double bill(const struct side *s) {
    struct sg_sum sum = {0, 0};
    for (int64_t q = 0; q < s->d->n; q++) sg_sum_add(&sum, s->d->c[q * s->d->m + s->model[q]]);
    return sg_sum_get(&sum) / (double)s->d->n;
}

/* The bill's change in its parts; the queries that another model answers. */
static enum sg_status split(struct sg_nights *x, struct pair *p, struct sg_night *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct side *a = &p->a, *b = &p->b;
    struct sg_sum prices = {0, 0}, lengths = {0, 0}, routing = {0, 0};
    memset(p->moves, 0, sizeof *p->moves * (size_t)a->d->m * (size_t)b->d->m);
    for (int64_t q = 0; q < b->d->n; q++) {
        const int64_t old = p->query[q];
        if (old < 0) continue;
        const int32_t was = a->model[old], is = b->model[q], same = p->to_b[was];
        const double paid = a->d->c[old * a->d->m + was], pays = b->d->c[q * b->d->m + is];
        /* of a model that is gone, or has no estimate any more, the rest is routing */
        double repriced = same >= 0 ? cost_at(b->d, same, a, old, was) : paid;
        const bool known = same >= 0 && !isnan(b->d->p[q * b->d->m + same]);
        const double kept = known ? b->d->c[q * b->d->m + same] : repriced;
        if (fabs(kept - repriced) <= 1e-9 * kept) repriced = kept; /* the rounding of a price is no length */
        sg_sum_add(&prices, repriced - paid);
        sg_sum_add(&lengths, kept - repriced);
        sg_sum_add(&routing, pays - kept);
        if (is == same) continue;
        p->moves[(int64_t)was * b->d->m + is]++;
        out->rerouted++;
        SG_TRY(SG_GROW(&x->reroute, &x->cap_reroutes, x->n_reroutes + 1, "rerouted queries", err));
        x->reroute[x->n_reroutes++] = (struct sg_reroute){out->file,
                                                          out->asked,
                                                          sg_dataset_query(b->d, q),
                                                          sg_dataset_model(a->d, was),
                                                          sg_dataset_model(b->d, is),
                                                          paid,
                                                          pays};
    }
    const double n = p->common ? (double)p->common : 1;
    out->prices = sg_sum_get(&prices) / n;
    out->lengths = sg_sum_get(&lengths) / n;
    out->routing = sg_sum_get(&routing) / n;
    const double parts = out->prices + out->lengths + out->routing;
    out->queries =
        p->common == a->d->n && p->common == b->d->n ? 0 : out->bill_after - out->bill_before - parts;
out:
    return st;
}

static int by_queries(const void *x, const void *y) {
    const struct sg_move *a = x, *b = y;
    if (a->queries != b->queries) return a->queries < b->queries ? 1 : -1;
    const int c = strcmp(a->before, b->before);
    return c ? c : strcmp(a->after, b->after);
}

static enum sg_status add_moves(struct sg_nights *x, const struct pair *p, const struct sg_night *of,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    const size_t first = x->n_moves;
    for (int32_t i = 0; i < p->a.d->m; i++)
        for (int32_t j = 0; j < p->b.d->m; j++) {
            const int64_t n = p->moves[(int64_t)i * p->b.d->m + j];
            if (!n) continue;
            SG_TRY(SG_GROW(&x->move, &x->cap_moves, x->n_moves + 1, "rerouted queries", err));
            x->move[x->n_moves++] = (struct sg_move){of->file, of->asked, sg_dataset_model(p->a.d, i),
                                                     sg_dataset_model(p->b.d, j), n};
        }
    if (x->n_moves > first) qsort(x->move + first, x->n_moves - first, sizeof *x->move, by_queries);
out:
    return st;
}

/* --- both files --------------------------------------------------------------------------------------------- */

/* Of queries that keep their model none becomes right or wrong: the others bound the difference. */
static struct sg_value difference(const struct sg_night *n, double others) {
    const struct sg_value *a = &n->before.accuracy, *b = &n->after.accuracy;
    const double x = b->value - a->value;
    if (isnan(a->low) || isnan(b->low)) return plain(x);
    return (struct sg_value){x, fmin(x, fmax(0 - others, x - hypot(b->value - b->low, a->high - a->value))),
                             fmax(x, fmin(others, x + hypot(b->high - b->value, a->value - a->low)))};
}

static enum sg_status match(const struct sg_dataset *a, const struct sg_dataset *b, struct pair *p,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ids queries = {0}, models = {0};
    int64_t old;
    SG_TRY(SG_NEW(&p->query, b->n, "common queries", err));
    SG_TRY(SG_NEW(&p->to_b, a->m, "common models", err));
    SG_TRY(SG_NEW(&p->moves, (int64_t)a->m * b->m, "common models", err));
    SG_TRY(SG_NEW(&p->a.model, a->n, "policies", err));
    SG_TRY(SG_NEW(&p->b.model, b->n, "policies", err));
    for (int64_t q = 0; q < a->n; q++) {
        const char *id = sg_dataset_query(a, q);
        SG_TRY(sg_ids_add(&queries, id, strlen(id), q, &old, err));
    }
    for (int32_t k = 0; k < b->m; k++) {
        const char *id = sg_dataset_model(b, k);
        SG_TRY(sg_ids_add(&models, id, strlen(id), k, &old, err));
    }
    for (int64_t q = 0; q < b->n; q++) {
        const char *id = sg_dataset_query(b, q);
        p->query[q] = sg_ids_get(&queries, id, strlen(id));
        p->common += p->query[q] >= 0;
    }
    for (int32_t k = 0; k < a->m; k++) {
        const char *id = sg_dataset_model(a, k);
        p->to_b[k] = (int32_t)sg_ids_get(&models, id, strlen(id));
    }
out:
    sg_ids_free(&queries);
    sg_ids_free(&models);
    return st;
}

static enum sg_status compare(struct sg_nights *x, struct pair *p, const struct ask *ask,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    const double none = (double)NAN;
    struct sg_night n = {.file = p->b.d->path,
                         .common = p->common,
                         .bill_before = none,
                         .bill_after = none,
                         .prices = none,
                         .lengths = none,
                         .routing = none,
                         .queries = none};
    SG_TRY(keep(x, ask->name, &n.asked, err));
    SG_TRY(policy(x, &p->a, ask, &n.before, err));
    SG_TRY(policy(x, &p->b, ask, &n.after, err));
    n.difference = plain(none);
    const bool was = strcmp(n.before.kind, "none") != 0, is = strcmp(n.after.kind, "none") != 0;
    if (was) n.bill_before = bill(&p->a);
    if (is) n.bill_after = bill(&p->b);
    if (was && is) {
        SG_TRY(split(x, p, &n, err));
        SG_TRY(add_moves(x, p, &n, err));
        n.difference = difference(&n, 1 - (double)(n.common - n.rerouted) /
                                              (double)(p->a.d->n > p->b.d->n ? p->a.d->n : p->b.d->n));
    }
    SG_TRY(SG_GROW(&x->night, &x->cap_nights, x->n_nights + 1, "nights", err));
    x->night[x->n_nights++] = n;
out:
    return st;
}

enum sg_status sg_nights_add(struct sg_nights *x, const struct sg_analysis *first, struct sg_dataset *d,
                             const struct sg_advice_options *wanted, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct ask *ask = NULL;
    struct sg_advice advice = {0};
    struct sg_path scope = {0};
    struct pair p = {.common = 0};
    SG_TRY(asks(first, x, &ask, &x->n_asked, err));
    if (!x->n_asked) goto out;
    SG_TRY(advise(d, ask, x->n_asked, wanted, &advice, err));
    const struct sg_path_input in = {.n = d->n, .m = d->m, .p = d->p, .c = d->c};
    SG_TRY(sg_path_frontier(&in, &scope, err));
    p.a = (struct side){.d = first->data, .advice = first->opt.advice, .scope = &first->scope};
    p.b = (struct side){.d = d, .advice = &advice, .scope = &scope};
    SG_TRY(match(first->data, d, &p, err));
    for (int32_t i = 0; i < x->n_asked; i++) SG_TRY(compare(x, &p, &ask[i], err));
out:
    free(ask);
    free(p.a.model);
    free(p.b.model);
    free(p.query);
    free(p.to_b);
    free(p.moves);
    sg_path_free(&scope);
    sg_advice_free(&advice);
    return st;
}

void sg_nights_free(struct sg_nights *x) {
    if (!x) return;
    free(x->night);
    free(x->reroute);
    free(x->move);
    sg_arena_free(&x->strings);
    memset(x, 0, sizeof *x);
}

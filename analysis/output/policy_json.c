#include "policy_json.h"

#include "base/file.h"
#include "doc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct sg_candidate_value *usable(const struct sg_candidate_value *c) {
    return c->rule.affordable && !c->rule.barred ? c : NULL;
}

/* The candidate that stands in the file: the last of table, mix and one model, from what is advised on down, that fits
 * the budget and the caps. NULL: routing alone does. */
static const struct sg_candidate_value *rule_of(const struct sg_advice_step *s) {
    const struct sg_candidate_value *list = s->is->candidate, *of = s->value;
    if (of->rule.kind != SG_CANDIDATE_ROUTING) return of;
    of = usable(&list[SG_CANDIDATE_TABLE]);
    if (!of) of = usable(&list[SG_CANDIDATE_MIX]);
    return of ? of : usable(&list[SG_CANDIDATE_SINGLE]);
}

/* What answers where the rule has no category; NULL: neither one model nor a mix may answer all. */
static const struct sg_rule *default_of(const struct sg_advice_step *s, const struct sg_rule *rule) {
    const struct sg_candidate_value *list = s->is->candidate, *of;
    if (rule->kind != SG_CANDIDATE_TABLE) return rule;
    of = usable(&list[SG_CANDIDATE_SINGLE]);
    if (!of) of = usable(&list[SG_CANDIDATE_MIX]);
    return of ? &of->rule : NULL;
}

struct out {
    struct sg__doc doc;
    const struct sg_analysis *a;
    const struct sg_provider_ids *ids;
};

static void answer(struct out *o, cJSON *to, int32_t model, double probability) {
    cJSON *at = sg__doc_object(&o->doc, to, NULL);
    sg__doc_text(&o->doc, at, "model", sg_dataset_model(o->a->data, model));
    sg__doc_text(&o->doc, at, "provider_id", o->ids->id[model]);
    sg__doc_number(&o->doc, at, "probability", probability);
}

/* One model or a mix, or (r NULL) the shares that the models have of the grid: [{model, provider_id, probability}], in
 * sum 1. */
static void answers(struct out *o, const char *key, const struct sg_rule *r, const double *share) {
    cJSON *list = sg__doc_array(&o->doc, o->doc.root, key);
    for (int32_t k = 0; !r && k < o->a->data->m; k++)
        if (share[k] > 0) answer(o, list, k, share[k]);
    if (!r) return;
    const double w = r->to >= 0 && r->to != r->from ? r->weight : 0;
    if (w < 1) answer(o, list, r->from, 1 - w);
    if (w > 0) answer(o, list, r->to, w);
}

static void categories(struct out *o, const struct sg_rule *r) {
    const struct sg_dataset *d = o->a->data;
    cJSON *all = sg__doc_object(&o->doc, o->doc.root, "categories");
    for (int32_t c = 0; r->kind == SG_CANDIDATE_TABLE && c < d->n_categories; c++)
        answer(o, sg__doc_array(&o->doc, all, d->category_name[c]), r->table[c], 1);
}

static void models(struct out *o) {
    const struct sg_dataset *d = o->a->data;
    cJSON *list = sg__doc_array(&o->doc, o->doc.root, "prices");
    for (int32_t k = 0; k < d->m; k++) {
        cJSON *at = sg__doc_object(&o->doc, list, NULL);
        sg__doc_text(&o->doc, at, "model", sg_dataset_model(d, k));
        sg__doc_number(&o->doc, at, "input", d->price_input[k]);
        sg__doc_number(&o->doc, at, "output", d->price_output[k]);
        sg__doc_number(&o->doc, at, "request", d->price_request[k]);
        sg__doc_text(&o->doc, at, "as_of", o->ids->as_of[k]);
    }
}

static const char *note(const struct sg_advice_step *s, const struct sg_rule *r) {
    if (s->value->rule.kind != SG_CANDIDATE_ROUTING)
        return "What is advised for the queries of the grid, as a rule for other queries of the same kinds.";
    return r->kind == SG_CANDIDATE_TABLE
               ? "Advised for the queries of the grid is routing, which needs an estimate of each query. For "
                 "queries without one this is the best table by category within the same budget; accuracy "
                 "and "
                 "cost are the table's."
           : r->kind == SG_CANDIDATE_MIX
               ? "Advised for the queries of the grid is routing, which needs an estimate of each query. For "
                 "queries without one this is the best mix within the same budget, as no table fits it; "
                 "accuracy and cost are the mix's."
               : "Advised for the queries of the grid is routing, which needs an estimate of each query. For "
                 "queries without one this is the best one model within the same budget, as neither a table "
                 "nor a mix fits it; accuracy and cost are that model's.";
}

enum sg_status sg_policy_json_write(const struct sg_analysis *a, const struct sg_advised *advised,
                                    const struct sg_provider_ids *ids, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct out o = {.a = a, .ids = ids};
    char *path = NULL;
    SG_TRY(sg_path_join(dir, "policy.json", &path, err));
    if (!advised) {
        unlink(path); /* it may well not exist */
        goto out;
    }
    const struct sg_advice_step *s = advised->step;
    const struct sg_candidate_value *value = rule_of(s);
    if (!value) {
        st =
            sg_fail(err, SG_E_INPUT,
                    "--policy-json: at %s nothing but routing keeps the budget and --at-most, which needs an "
                    "estimate of each query; give more, or raise a share",
                    advised->policy->name);
        goto out;
    }
    const struct sg_rule *rule = &value->rule;
    sg__doc_open(&o.doc);
    sg__doc_text(&o.doc, o.doc.root, "format", "scope-frontier policy 1");
    sg__doc_text(&o.doc, o.doc.root, "kind", sg_candidate_name[rule->kind]);
    sg__doc_text(&o.doc, o.doc.root, "advised", sg_candidate_name[s->value->rule.kind]);
    sg__doc_text(&o.doc, o.doc.root, "note", note(s, rule));
    answers(&o, "default", default_of(s, rule), s->share);
    categories(&o, rule);
    sg__doc_text(&o.doc, o.doc.root, "ask", advised->policy->name);
    sg__doc_number(&o.doc, o.doc.root, "budget", s->budget);
    sg__doc_number(&o.doc, o.doc.root, "lambda",
                   s->value->rule.kind == SG_CANDIDATE_ROUTING ? s->value->rule.lambda : (double)NAN);
    sg__doc_value(&o.doc, o.doc.root, "accuracy", value == s->value ? &s->accuracy : &value->accuracy, 1);
    sg__doc_value(&o.doc, o.doc.root, "cost", &value->cost, 1);
    sg__doc_results(&o.doc, sg__doc_object(&o.doc, o.doc.root, "fitted_on"), a);
    sg__doc_text(&o.doc, o.doc.root, "as_of", a->data->r->finished_at);
    models(&o);
    SG_TRY(sg_dir_make(dir, err));
    SG_TRY(sg__doc_write(&o.doc, path, err));
out:
    sg__doc_close(&o.doc);
    free(path);
    return st;
}

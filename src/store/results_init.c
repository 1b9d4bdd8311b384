#include "store/merge.h"

#include "cell/estimate.h"
#include "job/plan.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum sg_status dup(struct sg_results *r, const char *s, char **out, struct sg_err *err) {
    return sg_arena_dup(&r->strings, s ? s : "", s ? strlen(s) : 0, out, err);
}

static void set_truth(struct sg_results *r, int64_t cell, const struct sg_outcome *t,
                      const struct sg_portfolio_model *m) {
    r->true_correct[cell] = t->correct;
    if (r->true_score) r->true_score[cell] = t->score;
    r->true_length[cell] = t->completion_tokens;
    if (t->prompt_tokens < 0) return; /* the merge computes the cost with the estimator's count */
    r->prompt_tokens[cell] = t->prompt_tokens;
    r->prompt_source[cell] = SG_PROMPT_MEASURED;
    r->true_cost[cell] = sg_call_cost(m->price, t->prompt_tokens, t->completion_tokens);
}

/* The rows of the plan from `first` on, into r: the results, or their calibration. Strings go to `whole`. */
static enum sg_status set_rows(const struct sg_plan *plan, int64_t first, struct sg_results *r,
                               struct sg_results *whole, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t q = 0; q < r->n_queries; q++) {
        SG_TRY(dup(whole, plan->queries[first + q].id, &r->query[q], err));
        SG_TRY(dup(whole, plan->queries[first + q].category, &r->category[q], err));
        r->similarity[q] = sg_plan_row_similarity(plan, first + q);
    }
    for (int64_t c = 0; c < r->n_queries * r->n_models; c++) {
        const int64_t cell = first * r->n_models + c;
        const struct sg_outcome *truth = sg_plan_cell_truth(plan, cell);
        if (truth) set_truth(r, c, truth, &plan->models[c % plan->n_models]);
        sg_plan_cell_baselines(plan, cell, &r->knn_correct[c], &r->knn_length[c], &r->anchor_correct[c],
                               &r->anchor_length[c]);
    }
out:
    return st;
}

static enum sg_status set_anchors(const struct sg_plan *plan, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_anchor_outcomes *a = &r->anchors;
    for (int64_t i = 0; i < a->n; i++) {
        char *id, *category;
        SG_TRY(dup(r, plan->anchors[i].id, &id, err));
        SG_TRY(dup(r, plan->anchors[i].category, &category, err));
        a->id[i] = id;
        a->category[i] = category;
    }
    for (int64_t i = 0; i < a->n * plan->n_models; i++) {
        const struct sg_outcome *o = &plan->anchor_outcomes[i];
        if (!o->known) continue;
        a->correct[i] = o->correct;
        if (a->score) a->score[i] = o->score;
        a->completion_tokens[i] = o->completion_tokens;
        a->prompt_tokens[i] = o->prompt_tokens;
    }
out:
    return st;
}

enum sg_status sg_results_init_plan(const struct sg_plan *plan, struct sg_results *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r = {0};
    char hex[SG_DIGEST_HEX];
    SG_TRY(sg_results_alloc(&r, plan->n_queries, plan->n_models, plan->job.sampling.samples,
                            plan->truth != NULL, err));
    for (int64_t m = 0; m < plan->n_models; m++) {
        SG_TRY(dup(&r, plan->models[m].id, &r.model[m], err));
        r.price_input[m] = plan->models[m].price.input;
        r.price_output[m] = plan->models[m].price.output;
        r.price_request[m] = plan->models[m].price.request;
    }
    if (plan->n_anchors) SG_TRY(sg_results_alloc_anchors(&r, plan->n_anchors, err));
    if (plan->n_calibration) SG_TRY(sg_results_alloc_calibration(&r, plan->n_calibration, err));
    if (plan->graded) SG_TRY(sg_results_alloc_scores(&r, err));
    SG_TRY(set_rows(plan, 0, &r, &r, err));
    SG_TRY(set_anchors(plan, &r, err));
    if (r.calibration) SG_TRY(set_rows(plan, plan->n_queries, r.calibration, &r, err));
    SG_TRY(SG_NEW(&r.origin.fingerprint, plan->n_cells, "cell fingerprints", err));
    memcpy(r.origin.fingerprint, plan->cell_fingerprint, (size_t)plan->n_cells * sizeof(struct sg_digest));
    SG_TRY(SG_NEW(&r.origin.prompt, plan->n_queries, "hashes of the queries", err));
    for (int64_t q = 0; q < plan->n_queries; q++)
        r.origin.prompt[q] = sg_digest_bytes(plan->queries[q].prompt.s, (size_t)plan->queries[q].prompt.n);
    sg_digest_hex(plan->fingerprint, hex);
    SG_TRY(dup(&r, hex, &r.fingerprint, err));
    SG_TRY(dup(&r, plan->job.name, &r.name, err));
    SG_TRY(dup(&r, plan->job.text, &r.job_text, err));
    *out = r;
    return SG_OK;
out:
    sg_results_free(&r);
    return st;
}

enum sg_status sg_results_set_night(struct sg_results *r, const char *night, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_origin *o = &r->origin;
    free(o->night);
    free(o->nights);
    o->night = NULL;
    o->nights = NULL;
    o->n_nights = 0;
    SG_TRY(SG_NEW(&o->night, sg_results_n_cells(r), "nights of cells", err));
    SG_TRY(SG_NEW(&o->nights, 1, "nights", err));
    SG_TRY(dup(r, night, &o->nights[0], err));
    o->n_nights = 1;
out:
    return st;
}

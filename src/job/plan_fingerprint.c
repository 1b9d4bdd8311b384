/* The two fingerprints; plan.h lists what they cover and what not. Texts are hashed once each; a cell's
 * fingerprint is the hash of a short row of those hashes, so that 10^8 cells take seconds. */
#include "job/plan.h"
#include "job/plan_memory.h"
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 2 }; /* raise when the meaning of a fingerprint changes */

static void add_digest(struct sg_hasher *h, struct sg_digest d) {
    sg_hasher_add(h, &d, sizeof d);
}

/* A text that may be absent: "built in" and "empty" differ. */
static void add_optional(struct sg_hasher *h, const char *s) {
    sg_hasher_i64(h, s != NULL);
    if (s) sg_hasher_str(h, s);
}

/* What all cells of a run share. */
static enum sg_status common_digest(const struct sg_plan *p, const struct sg_plan_inputs *in,
                                    const struct sg_sampling_params *params, int32_t n_params,
                                    struct sg_digest *out, struct sg_err *err) {
    struct sg_hasher *h = NULL;
    enum sg_status st = sg_hasher_new(&h, err);
    if (st != SG_OK) return st;
    sg_hasher_str(h, "scope-grid cell");
    sg_hasher_i64(h, FORMAT);
    add_digest(h, in->model_digest);
    sg_hasher_str(h, in->numerics ? in->numerics : "");
    add_optional(h, p->template_text);
    add_optional(h, p->example_text);
    sg_hasher_i64(h, p->job.prompt.anchor_chars);
    for (int32_t i = 0; i < n_params; i++) {
        sg_hasher_i64(h, params[i].samples);
        sg_hasher_f64(h, params[i].temperature);
        sg_hasher_f64(h, params[i].top_p);
        sg_hasher_i64(h, params[i].top_k);
        sg_hasher_i64(h, p->job.sampling.max_new_tokens);
        sg_hasher_i64(h, (int64_t)params[i].seed);
        sg_hasher_i64(h, params[i].draws);
    }
    *out = sg_hasher_end(h);
    sg_hasher_free(h);
    return SG_OK;
}

static struct sg_digest pair(struct sg_digest a, struct sg_digest b) {
    struct sg_digest both[2] = {a, b};
    return sg_digest_bytes(both, sizeof both);
}

/* The row that is hashed for a cell; no padding, every byte set. */
struct row_anchor {
    struct sg_digest text;
    int64_t completion_tokens, correct;
};
struct row_head {
    struct sg_digest common, query, model;
    int64_t n_anchors;
    int64_t reserved; /* keeps what follows aligned; always 0 */
};

/* common[2]: of the cells that the plan does not list, and of the others. */
static enum sg_status cell_fingerprints(const struct sg_plan *p, const struct sg_digest common[2],
                                        struct sg_digest *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg__plan_memory *memory = p->memory;
    struct sg_digest *anchor = NULL, *model = NULL;
    struct sg_cell_anchor *chosen = NULL;
    char *row = NULL;
    int32_t max = p->job.prompt.anchors < p->top_k ? (int32_t)p->job.prompt.anchors : p->top_k;
    SG_TRY(SG_NEW(&anchor, p->n_anchors, "fingerprints", err));
    SG_TRY(SG_NEW(&model, p->n_models, "fingerprints", err));
    SG_TRY(SG_NEW(&chosen, max, "fingerprints", err));
    SG_TRY(
        SG_NEW(&row, sizeof(struct row_head) + (size_t)max * sizeof(struct row_anchor), "fingerprints", err));
    for (int64_t a = 0; a < p->n_anchors; a++) {
        const struct sg_text *t =
            &p->anchors[a].prompt; /* as shown, and whether it was cut (then ... follows) */
        anchor[a] = sg_digest_bytes(t->s, (size_t)memory->anchor_bytes[a]);
        if (memory->anchor_bytes[a] < t->n) anchor[a].lo ^= 1;
    }
    for (int64_t m = 0; m < p->n_models; m++)
        model[m] = sg_digest_bytes(p->models[m].id, strlen(p->models[m].id));
    for (int64_t c = 0; c < p->n_cells; c++) {
        const struct sg_query *q = &p->queries[c / p->n_models];
        struct row_head head = {.common = common[!p->listed || p->listed[c]],
                                .model = model[c % p->n_models]};
        int32_t n;
        if (c % p->n_models == 0)
            head.query = pair(sg_digest_bytes(q->id, strlen(q->id)),
                              sg_digest_bytes(q->prompt.s, (size_t)q->prompt.n));
        else
            memcpy(&head.query, row + offsetof(struct row_head, query), sizeof head.query);
        sg_plan_cell_anchors(p, c, chosen, max, &n);
        head.n_anchors = n;
        memcpy(row, &head, sizeof head);
        for (int32_t i = 0; i < n; i++) {
            const struct sg_outcome *o =
                &p->anchor_outcomes[chosen[i].anchor * p->n_models + c % p->n_models];
            struct row_anchor a = {.text = anchor[chosen[i].anchor],
                                   .completion_tokens = o->completion_tokens,
                                   .correct = o->correct};
            memcpy(row + sizeof head + (size_t)i * sizeof a, &a, sizeof a);
        }
        out[c] = sg_digest_bytes(row, sizeof head + (size_t)n * sizeof(struct row_anchor));
    }
out:
    free(anchor);
    free(model);
    free(chosen);
    free(row);
    return st;
}

/* Scores where some are graded alone: else they say what `correct` says. */
static void add_outcomes(struct sg_hasher *h, const struct sg_outcome *o, int64_t n, bool graded) {
    for (int64_t i = 0; i < n; i++) {
        int32_t v[4] = {o[i].known, o[i].correct, o[i].prompt_tokens, o[i].completion_tokens};
        sg_hasher_add(h, v, sizeof v);
        if (graded) sg_hasher_f64(h, o[i].score);
    }
}

enum sg_status sg_plan_run_fingerprint(const struct sg_plan *p, const struct sg_digest *cells,
                                       struct sg_digest *out, struct sg_err *err) {
    struct sg_hasher *h = NULL;
    enum sg_status st = sg_hasher_new(&h, err);
    if (st != SG_OK) return st;
    sg_hasher_str(h, "scope-grid run");
    sg_hasher_i64(h, FORMAT);
    sg_hasher_i64(h, p->n_queries);
    sg_hasher_i64(h, p->n_models);
    sg_hasher_i64(h, p->n_anchors);
    sg_hasher_i64(h, p->top_k);
    sg_hasher_i64(h, p->job.output.texts);
    for (int64_t q = 0; q < p->n_queries; q++) {
        sg_hasher_str(h, p->queries[q].id);
        sg_hasher_str(h, p->queries[q].category);
    }
    for (int64_t m = 0; m < p->n_models; m++) {
        sg_hasher_str(h, p->models[m].id);
        sg_hasher_f64(h, p->models[m].price.input);
        sg_hasher_f64(h, p->models[m].price.output);
        sg_hasher_f64(h, p->models[m].price.request);
    }
    sg_hasher_add(h, cells, (size_t)p->n_cells * sizeof *cells);
    for (int64_t a = 0; a < p->n_anchors; a++) {
        sg_hasher_str(h, p->anchors[a].id);
        sg_hasher_str(h, p->anchors[a].category);
    }
    sg_hasher_i64(h, p->n_calibration);
    for (int64_t i = 0; i < p->n_calibration; i++) sg_hasher_i64(h, p->calibration[i]);
    if (p->graded) sg_hasher_str(h, "graded");
    add_outcomes(h, p->anchor_outcomes, p->n_anchors * p->n_models, p->graded);
    sg_hasher_i64(h, p->truth != NULL);
    if (p->truth) add_outcomes(h, p->truth, p->n_queries * p->n_models, p->graded);
    sg_hasher_add(h, p->ranked, (size_t)(p->n_rows * p->top_k) * sizeof *p->ranked);
    *out = sg_hasher_end(h);
    sg_hasher_free(h);
    return SG_OK;
}

enum sg_status sg_plan_fingerprints_of(const struct sg_plan *p, const struct sg_plan_inputs *in,
                                       const struct sg_sampling_params *params, struct sg_digest *out,
                                       struct sg_err *err) {
    struct sg_digest common[2];
    enum sg_status st = common_digest(p, in, params, 1, &common[1], err);
    common[0] = common[1];
    return st == SG_OK ? cell_fingerprints(p, common, out, err) : st;
}

enum sg_status sg__plan_fingerprint(struct sg_plan *p, const struct sg_plan_inputs *in, struct sg_err *err) {
    struct sg_digest common[2];
    struct sg_sampling_params others = p->params[0];
    others.samples = p->job.sampling.others;
    enum sg_status st = common_digest(p, in, p->params, p->n_params, &common[1], err);
    common[0] = common[1];
    if (st == SG_OK && p->listed) st = common_digest(p, in, &others, 1, &common[0], err);
    if (st == SG_OK) st = cell_fingerprints(p, common, p->cell_fingerprint, err);
    return st == SG_OK ? sg_plan_run_fingerprint(p, p->cell_fingerprint, &p->fingerprint, err) : st;
}

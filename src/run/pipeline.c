#include "run/pipeline.h"

#include "base/mem.h"
#include "cell/estimate.h"
#include "text/prompt.h"
#include "text/verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A cell in the engine; its tag is its index in `slots`. */
struct slot {
    int64_t cell; /* -1: free */
    int32_t n_prompt;
    bool begun;                  /* a token of it was seen */
    struct sg_tracker *trackers; /* [n_samples] */
};

struct sg_pipeline {
    struct sg_pipeline_options opt;
    struct sg_token_engine engine;
    int32_t n_samples;
    struct sg_encoder *enc;
    struct sg_prompt *prompt; /* the parsed template */
    struct slot *slots;
    size_t n_slots, cap_slots;
    int64_t ready_cell; /* whose tokens are in `ids`; -1: none */
    struct sg_token_ids ids;
    struct sg_prompt_text prompt_text;
    struct sg_cell_anchor *anchors; /* [prompt.anchors] */
    struct sg_prompt_anchor *shown; /* [prompt.anchors] */
    struct sg_stream *streams;      /* [n_samples] */
    int32_t *settings;              /* [n_samples] which of the plan's sampling parameters each has */
    struct sg_cell_sample *samples; /* [n_samples] */
    struct sg_buf text;             /* all texts of one cell, each with a NUL */
    int64_t waiting;                /* prompt tokens of cells submitted and not begun */
    /* an error inside a callback, which cannot return it: submit or step does */
    enum sg_status status;
    struct sg_err err;
};

static void fail_later(struct sg_pipeline *p, enum sg_status st, const struct sg_err *err) {
    if (p->status != SG_OK) return;
    p->status = st;
    p->err = *err;
}

/* ---- prompt ----------------------------------------------------------------------------------------- */

/* Appends the tokens of the cell's prompt. */
static enum sg_status encode_prompt(struct sg_pipeline *p, int64_t cell_index, struct sg_token_ids *ids,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = p->opt.plan;
    const struct sg_query *query = &plan->queries[cell_index / plan->n_models];
    const int64_t model = cell_index % plan->n_models;
    int32_t n;
    sg_plan_cell_anchors(plan, cell_index, p->anchors, (int32_t)plan->job.prompt.anchors, &n);
    for (int32_t i = 0; i < n; i++) {
        const struct sg_query *a = &plan->anchors[p->anchors[i].anchor];
        const struct sg_outcome *o = &plan->anchor_outcomes[p->anchors[i].anchor * plan->n_models + model];
        p->shown[i] = (struct sg_prompt_anchor){.question = a->prompt.s,
                                                .len = (size_t)a->prompt.n,
                                                .completion_tokens = o->completion_tokens,
                                                .correct = o->correct};
    }
    const struct sg_prompt_cell cell = {.question = query->prompt.s,
                                        .question_len = (size_t)query->prompt.n,
                                        .model = plan->models[model].id,
                                        .model_len = strlen(plan->models[model].id),
                                        .anchors = p->shown,
                                        .n_anchors = n,
                                        .anchor_chars = plan->job.prompt.anchor_chars};
    SG_TRY(sg_prompt_build(p->prompt, &cell, &p->prompt_text, err));
    SG_TRY(sg_tokenizer_encode(p->opt.tok, p->enc, p->prompt_text.spans, p->prompt_text.n_spans, ids, err));
out:
    return st;
}

enum sg_status sg_pipeline_prompt(struct sg_pipeline *p, int64_t cell_index, struct sg_token_ids *ids,
                                  struct sg_err *err) {
    return encode_prompt(p, cell_index, ids, err);
}

/* Tokens of the query alone: the estimate of what its target model is billed for. */
static enum sg_status count_query(struct sg_pipeline *p, int64_t query, int32_t *n, struct sg_err *err) {
    const struct sg_text *t = &p->opt.plan->queries[query].prompt;
    const struct sg_span span = {.text = t->s, .len = (size_t)t->n, .trusted = false};
    struct sg_token_ids ids = {0};
    enum sg_status st = sg_tokenizer_encode(p->opt.tok, p->enc, &span, 1, &ids, err);
    if (st == SG_OK) *n = (int32_t)ids.len;
    sg_token_ids_free(&ids);
    return st;
}

static enum sg_status prompt_tokens(struct sg_pipeline *p, int64_t cell_index, int32_t *n,
                                    struct sg_err *err) {
    const struct sg_plan *plan = p->opt.plan;
    const struct sg_outcome *truth = sg_plan_cell_truth(plan, cell_index);
    if (truth && truth->prompt_tokens >= 0) {
        *n = truth->prompt_tokens;
        return SG_OK;
    }
    return count_query(p, cell_index / plan->n_models, n, err);
}

/* ---- callbacks of the engine ------------------------------------------------------------------------ */

/* The token's text; special tokens (the end of the answer) have none. */
static void token_bytes(const struct sg_pipeline *p, int32_t token, const char **bytes, size_t *len) {
    *bytes = "";
    *len = 0;
    if (!sg_tokenizer_is_special(p->opt.tok, token)) sg_tokenizer_piece(p->opt.tok, token, bytes, len);
}

static bool on_token(void *ctx, uint64_t tag, int32_t sample, int32_t index, int32_t token, float p_yes) {
    (void)p_yes;
    struct sg_pipeline *p = ctx;
    struct slot *s = &p->slots[tag];
    struct sg_tracker *t = &s->trackers[sample];
    if (!s->begun) {
        s->begun = true;
        p->waiting -= s->n_prompt;
    }
    if (index == 0) sg_tracker_reset(t); /* the first time, or after the engine began the group again */
    const char *bytes;
    size_t len;
    bool complete = false;
    struct sg_err err = {0};
    token_bytes(p, token, &bytes, &len);
    enum sg_status st = sg_tracker_feed(t, bytes, len, &complete, &err);
    if (st != SG_OK) fail_later(p, st, &err);
    return complete || st != SG_OK;
}

static enum sg_status take_samples(struct sg_pipeline *p, const struct slot *s,
                                   const struct sg_group_result *r, struct sg_cell *cell,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    const bool texts = p->opt.plan->job.output.texts;
    sg_buf_clear(&p->text);
    for (int32_t i = 0; i < r->n_samples; i++) {
        const struct sg_sample_out *o = &r->samples[i];
        struct sg_cell_sample *c = &p->samples[i];
        struct sg_verdict v;
        int32_t answer;
        sg_tracker_verdict(&s->trackers[i], &v, &answer);
        *c = (struct sg_cell_sample){.correct = SG_ANSWER_UNPARSED,
                                     .finish = (uint8_t)o->finish,
                                     .tokens = o->n_tokens,
                                     .length = -1,
                                     .p_yes = NAN};
        if (v.parsed) {
            c->correct = v.correct ? SG_ANSWER_YES : SG_ANSWER_NO;
            c->length = v.length;
            if (answer >= 0 && answer < o->n_tokens) c->p_yes = o->p_yes[answer];
        }
        if (!texts) continue;
        size_t at = p->text.len;
        SG_TRY(sg_tokenizer_decode(p->opt.tok, o->tokens, (size_t)o->n_tokens, true, &p->text, err));
        c->text_bytes = (int64_t)(p->text.len - at);
        SG_TRY(sg_buf_add(&p->text, "", 1, err));
    }
    /* nothing is appended any more, so the buffer does not move */
    const char *text = p->text.data;
    for (int32_t i = 0; texts && i < r->n_samples; i++) {
        p->samples[i].text = text;
        text += p->samples[i].text_bytes + 1;
    }
    cell->n_samples = r->n_samples;
    cell->samples = p->samples;
out:
    return st;
}

static enum sg_status finish_cell(struct sg_pipeline *p, struct slot *s, const struct sg_group_result *r,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = p->opt.plan;
    struct sg_cell cell = {.query = (int32_t)(s->cell / plan->n_models),
                           .model = (int32_t)(s->cell % plan->n_models),
                           .status = (int32_t)r->status,
                           .estimator_prompt_tokens = s->n_prompt};
    const struct sg_portfolio_model *m = &plan->models[cell.model];
    SG_TRY(prompt_tokens(p, s->cell, &cell.prompt_tokens, err));
    if (r->status == SG_OK)
        SG_TRY(take_samples(p, s, r, &cell, err));
    else
        cell.reason = r->err.text;
    sg_cell_estimate(&cell, m->price);
    SG_TRY(p->opt.sink.done(p->opt.sink.ctx, s->cell, &cell, err));
out:
    return st;
}

static void on_done(void *ctx, const struct sg_group_result *r) {
    struct sg_pipeline *p = ctx;
    struct slot *s = &p->slots[r->tag];
    struct sg_err err = {0};
    if (!s->begun) p->waiting -= s->n_prompt;
    enum sg_status st = p->status == SG_OK ? finish_cell(p, s, r, &err) : SG_OK;
    if (st != SG_OK) fail_later(p, st, &err);
    s->cell = -1;
}

struct sg_engine_hooks sg_pipeline_hooks(struct sg_pipeline *p) {
    return (struct sg_engine_hooks){.ctx = p, .on_token = on_token, .on_done = on_done};
}

void sg_pipeline_set_engine(struct sg_pipeline *p, const struct sg_token_engine *engine) {
    p->engine = *engine;
}

/* ---- new and free ----------------------------------------------------------------------------------- */

enum sg_status sg_pipeline_new(const struct sg_pipeline_options *opt, struct sg_pipeline **out,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = opt->plan;
    struct sg_pipeline *p = NULL;
    SG_TRY(SG_NEW(&p, 1, "pipeline", err));
    p->opt = *opt;
    p->n_samples = (int32_t)plan->n_samples;
    p->ready_cell = -1;
    SG_TRY(sg_encoder_new(opt->tok, &p->enc, err));
    const struct sg_prompt_source main_text = {plan->template_text, plan->job.prompt.template_path},
                                  example = {plan->example_text, plan->job.prompt.template_path};
    SG_TRY(sg_prompt_open(&main_text, &example, &p->prompt, err));
    SG_TRY(SG_NEW(&p->anchors, plan->job.prompt.anchors, "anchors", err));
    SG_TRY(SG_NEW(&p->shown, plan->job.prompt.anchors, "anchors", err));
    SG_TRY(SG_NEW(&p->streams, p->n_samples, "samples", err));
    SG_TRY(SG_NEW(&p->settings, p->n_samples, "samples", err));
    SG_TRY(SG_NEW(&p->samples, p->n_samples, "samples", err));
    for (int32_t d = 0, i = 0; d < plan->n_params; d++)
        for (int64_t k = 0; k < plan->params[d].samples; k++) p->settings[i++] = d;
    *out = p;
    p = NULL;
out:
    sg_pipeline_free(p);
    return st;
}

void sg_pipeline_free(struct sg_pipeline *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n_slots; i++) {
        for (int32_t k = 0; k < p->n_samples; k++) sg_tracker_free(&p->slots[i].trackers[k]);
        free(p->slots[i].trackers);
    }
    free(p->slots);
    sg_encoder_free(p->enc);
    sg_prompt_close(p->prompt);
    sg_prompt_text_free(&p->prompt_text);
    sg_token_ids_free(&p->ids);
    sg_buf_free(&p->text);
    free(p->anchors);
    free(p->shown);
    free(p->streams);
    free(p->settings);
    free(p->samples);
    free(p);
}

/* ---- sg_compute ------------------------------------------------------------------------------------- */

static enum sg_status new_slot(struct sg_pipeline *p, size_t *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (size_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].cell < 0) {
            *out = i;
            return SG_OK;
        }
    SG_TRY(SG_GROW(&p->slots, &p->cap_slots, p->n_slots + 1, "cells in the engine", err));
    struct slot s = {.cell = -1};
    SG_TRY(SG_NEW(&s.trackers, p->n_samples, "samples", err));
    p->slots[p->n_slots] = s;
    *out = p->n_slots++;
out:
    return st;
}

/* Makes sure that `ids` holds the cell's prompt. */
static enum sg_status make_ready(struct sg_pipeline *p, int64_t cell_index, struct sg_err *err) {
    if (p->ready_cell == cell_index) return SG_OK;
    p->ready_cell = -1;
    p->ids.len = 0;
    enum sg_status st = encode_prompt(p, cell_index, &p->ids, err);
    if (st == SG_OK) p->ready_cell = cell_index;
    return st;
}

/* Keeps about one batch of prompts waiting in the engine, so that a step gets new prompts as soon as the
 * engine has pages and rows. Any more would be cells that no other rank can take. */
static bool has_room(void *ctx, int64_t cell_index) {
    struct sg_pipeline *p = ctx;
    if (p->waiting == 0) return true;
    struct sg_err err;
    if (make_ready(p, cell_index, &err) != SG_OK) return true; /* submit tells why */
    return p->waiting + (int64_t)p->ids.len <= p->engine.batch_tokens;
}

static enum sg_status submit(void *ctx, int64_t cell_index, int32_t first, struct sg_err *err) {
    struct sg_pipeline *p = ctx;
    const struct sg_plan *plan = p->opt.plan;
    const char *query = plan->queries[cell_index / plan->n_models].id,
               *model = plan->models[cell_index % plan->n_models].id;
    enum sg_status st = SG_OK;
    size_t tag;
    SG_TRY(make_ready(p, cell_index, err));
    SG_TRY(new_slot(p, &tag, err));
    for (int32_t d = 0, i = 0; d < plan->n_params; d++)
        for (int32_t k = 0; k < plan->params[d].samples; k++)
            p->streams[i++] = sg_sample_stream(plan->params[d].draws == SG_DRAWS_STRATIFIED,
                                               plan->params[d].seed, query, model, k);
    const int32_t n = (int32_t)sg_plan_cell_samples(plan, cell_index) - first;
    struct slot *s = &p->slots[tag];
    s->cell = cell_index;
    s->n_prompt = (int32_t)p->ids.len;
    s->begun = false;
    p->waiting += s->n_prompt;
    p->ready_cell = -1;
    st = p->engine.submit(p->engine.ctx, tag, p->ids.data, (int32_t)p->ids.len, p->streams + first,
                          p->settings + first, n, err);
    if (st == SG_OK && p->status != SG_OK) { /* on_done was called inside and failed */
        if (err) *err = p->err;
        st = p->status;
    }
out:
    if (st != SG_OK) sg_err_at(err, "query %s, model %s", query, model);
    return st;
}

static enum sg_status step(void *ctx, struct sg_err *err) {
    struct sg_pipeline *p = ctx;
    bool busy;
    enum sg_status st = p->engine.step(p->engine.ctx, &busy, err);
    if (p->status == SG_OK) return st;
    if (err) *err = p->err;
    return p->status;
}

static int64_t pending(void *ctx) {
    const struct sg_pipeline *p = ctx;
    return p->engine.pending(p->engine.ctx);
}

struct sg_compute sg_pipeline_compute(struct sg_pipeline *p) {
    return (struct sg_compute){
        .ctx = p, .has_room = has_room, .submit = submit, .step = step, .pending = pending};
}

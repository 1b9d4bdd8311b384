#include "engine/internal.h"

#include "base/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- open and close ---------------------------------------------------------------------------------- */

/* Allocates n elements on the device, and as many on the host when `host` is not NULL. */
static enum sg_status pair(struct sg_engine *e, int32_t n, size_t size, const char *what, void *device,
                           void *host, struct sg_err *err) {
    const enum sg_status st = sg_dev_alloc(e->dev, (size_t)n * size, what, device, err);
    return st != SG_OK || !host ? st : sg_new(host, (size_t)n, size, what, err);
}

static enum sg_status upload_ids(struct sg_engine *e, const int32_t *ids, int32_t n, int32_t **out,
                                 struct sg_err *err) {
    if (n == 0) return SG_OK;
    const enum sg_status st = sg_dev_alloc(e->dev, (size_t)n * sizeof *ids, "answer ids", (void **)out, err);
    return st != SG_OK ? st : sg_dev_upload(e->dev, *out, ids, (size_t)n * sizeof *ids, err);
}

/* Copies the draw settings of the options, or the one of `sampling`, to host and device. */
static enum sg_status take_settings(struct sg_engine *e, const struct sg_engine_options *opt,
                                    struct sg_err *err) {
    const struct sg_draw_settings one = sg__engine_setting(&opt->sampling);
    enum sg_status st;
    e->n_settings = opt->n_settings > 0 ? opt->n_settings : 1;
    const size_t bytes = (size_t)e->n_settings * sizeof one;
    SG_TRY(pair(e, e->n_settings, sizeof one, "draw settings", &e->d_settings, &e->settings, err));
    memcpy(e->settings, opt->n_settings > 0 ? opt->settings : &one, bytes);
    SG_TRY(sg_dev_upload(e->dev, e->d_settings, e->settings, bytes, err));
out:
    return st;
}

static enum sg_status take_memory(struct sg_engine *e, const struct sg_engine_options *opt,
                                  struct sg_err *err) {
    const struct sg__sizes *z = &e->size;
    const struct sg_config *c = e->config;
    const int32_t draws = z->batch.max_draws, rows = z->logit_rows;
    const size_t logits = (size_t)sg_tile_rows(e->dev, rows) * (size_t)c->vocab * sizeof(float);
    enum sg_status st;
    SG_TRY(sg_dev_reserve(e->dev, &z->dev, err));
    SG_TRY(sg_kv_new(e->dev, c->layers, z->pages + (z->pad ? SG_PAD_PAGES : 0), c->kv_heads, c->head_dim,
                     &e->kv, err));
    SG_TRY(sg_kv_pool_init(&e->pool, z->pages, err));
    SG_TRY(sg_sched_init(&e->sched, &z->sched, &e->pool, err));
    SG_TRY(sg_batcher_init(&e->batcher[0], e->dev, &z->batch, err));
    SG_TRY(sg_workspace_new(e->model, z->dev.max_rows, &e->ws[0], err));
    if (z->overlap_rows) {
        SG_TRY(sg_batcher_init(&e->batcher[1], e->dev, &z->half, err));
        SG_TRY(sg_workspace_new(e->model, z->half.max_rows, &e->ws[1], err));
    }
    SG_TRY(sg_dev_alloc(e->dev, logits, "logits", (void **)&e->logits, err));
    SG_TRY(pair(e, 2 * draws, sizeof *e->d_token, "draws", &e->d_token, NULL, err));
    e->d_p_yes = (float *)(void *)(e->d_token + draws);
    for (int i = 0; i < 2; i++) {
        struct sg__inflight_step *f = &e->inflight[i];
        f->slot = i;
        SG_TRY(SG_NEW(&f->draws, draws, "draws", err));
        SG_TRY(sg_dev_host_alloc(e->dev, 2 * (size_t)draws * sizeof *e->d_token, "draws", &f->landing, err));
    }
    SG_TRY(pair(e, rows, sizeof *e->target, "score targets", &e->d_target, &e->target, err));
    SG_TRY(pair(e, rows, sizeof *e->logprob, "log-probabilities", &e->d_logprob, &e->logprob, err));
    SG_TRY(pair(e, c->hidden, sizeof *e->d_row, "embedding", &e->d_row, NULL, err));
    SG_TRY(take_settings(e, opt, err));
    SG_TRY(upload_ids(e, opt->yes_ids, opt->n_yes, &e->d_yes, err));
    SG_TRY(upload_ids(e, opt->no_ids, opt->n_no, &e->d_no, err));
    SG_TRY(SG_NEW(&e->results, opt->max_samples, "results", err));
out:
    return st;
}

enum sg_status sg_engine_open(struct sg_dev *dev, struct sg_model *model, const struct sg_engine_options *opt,
                              const struct sg_engine_hooks *hooks, struct sg_engine **out,
                              struct sg_err *err) {
    enum sg_status st;
    struct sg_engine *e = NULL;
    if (!sg_model_loaded(model))
        return sg_fail(err, SG_E_INTERNAL, "%s: planned, not loaded", sg_model_dir(model));
    SG_TRY(SG_NEW(&e, 1, "engine", err));
    e->dev = dev;
    e->model = model;
    e->config = sg_model_config(model);
    e->sampling = opt->sampling;
    if (hooks) e->hooks = *hooks;
    e->max_context = opt->max_context;
    e->n_yes = opt->n_yes;
    e->n_no = opt->n_no;
    SG_TRY(sg__engine_sizes(dev, model, opt, &e->size, err));
    SG_TRY(take_memory(e, opt, err));
    e->stats.pages = e->size.pages;
    *out = e;
    e = NULL;
out:
    sg_engine_close(e);
    return st;
}

static void free_ended(struct sg_engine *e) {
    while (e->ended.head) {
        struct sg_group *s = e->ended.head;
        sg_group_list_remove(&e->ended, s);
        sg_group_free(s);
    }
}

void sg_engine_close(struct sg_engine *e) {
    if (!e) return;
    void *const device[] = {e->logits, e->d_token, e->d_target, e->d_logprob,
                            e->d_row,  e->d_yes,   e->d_no,     e->d_settings};
    void *const host[] = {e->target, e->logprob, e->results, e->settings};
    for (int i = 0; i < 2; i++) {
        struct sg__inflight_step *f = &e->inflight[i];
        if (f->up) sg_dev_fetch_wait(e->dev, f->slot, NULL); /* the device may still write to landing */
        sg_dev_host_free(e->dev, f->landing);
        free(f->draws);
    }
    sg_graph_cache_free(&e->records, e->dev);
    free_ended(e);
    sg_sched_free(&e->sched);
    for (int i = 0; i < SG_DEV_LANES; i++) {
        sg_batcher_free(&e->batcher[i]);
        sg_workspace_free(e->model, &e->ws[i]);
    }
    sg_kv_pool_free(&e->pool);
    sg_kv_free(e->dev, e->kv);
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) sg_dev_free(e->dev, device[i]);
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) free(host[i]);
    free(e);
}

/* ---- submit ------------------------------------------------------------------------------------------ */

/* Why a prompt of this length can never run, or SG_OK. */
static enum sg_status can_fit(const struct sg_engine *e, int32_t n_prompt, struct sg_err *err) {
    const int32_t max_new = e->sampling.max_new_tokens;
    if ((int64_t)n_prompt + max_new > e->max_context)
        return sg_fail(
            err, SG_E_INPUT,
            "the prompt of %d tokens and max_new_tokens %d exceed the context of %d tokens: shorten the "
            "prompt or lower max_new_tokens",
            n_prompt, max_new, e->max_context);
    const int64_t need = sg_sched_pages_alone(&e->sched, n_prompt);
    if (need > e->size.pages) {
        const int64_t mib = (need * e->size.page_bytes + (1 << 20) - 1) >> 20;
        return sg_fail(err, SG_E_NOMEM,
                       "the prompt of %d tokens and one answer of up to %d take %" PRId64
                       " KV pages, the cache has %d: raise kv_cache_mib to at least %" PRId64,
                       n_prompt, max_new, need, e->size.pages, mib);
    }
    return SG_OK;
}

static enum sg_status check_ids(const struct sg_engine *e, const int32_t *ids, int32_t n,
                                struct sg_err *err) {
    if (n < 1) return sg_fail(err, SG_E_INPUT, "an empty prompt: expected at least one token");
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= e->config->vocab)
            return sg_fail(err, SG_E_INPUT, "token id %d at place %d is outside the vocabulary of %d of %s",
                           ids[i], i, e->config->vocab, sg_model_dir(e->model));
    return SG_OK;
}

enum sg_status sg_engine_submit(struct sg_engine *e, uint64_t tag, const int32_t *prompt, int32_t n_prompt,
                                const struct sg_stream *streams, const int32_t *settings, int32_t n_samples,
                                struct sg_err *err) {
    enum sg_status st;
    struct sg_group *group = NULL;
    if (n_samples < 1 || n_samples > e->size.sched.max_samples)
        return sg_fail(err, SG_E_INTERNAL, "submit: %d samples, the engine was opened for 1 to %d", n_samples,
                       e->size.sched.max_samples);
    for (int32_t i = 0; settings && i < n_samples; i++)
        if (settings[i] < 0 || settings[i] >= e->n_settings)
            return sg_fail(err, SG_E_INTERNAL, "submit: sample %d has setting %d, the engine has %d", i,
                           settings[i], e->n_settings);
    if (!sg_model_has_head(e->model))
        return sg_fail(err, SG_E_UNSUPPORTED, "%s: the checkpoint has no lm_head: it makes embeddings only",
                       sg_model_dir(e->model));
    if (e->config->n_eos == 0 && !e->sampling.ignore_eos)
        return sg_fail(
            err, SG_E_INPUT,
            "%s: neither generation_config.json nor config.json gives eos_token_id: answers would not end",
            sg_model_dir(e->model));
    SG_TRY(check_ids(e, prompt, n_prompt, err));
    struct sg_err why = {0};
    const enum sg_status fits = can_fit(e, n_prompt, &why);
    SG_TRY(sg_group_new(tag, prompt, n_prompt, streams, settings, n_samples,
                        fits == SG_OK ? e->sampling.max_new_tokens : 0, &group, err));
    group->status = fits;
    group->err = why;
    if (fits == SG_OK)
        sg_sched_submit(&e->sched, group);
    else
        sg_group_list_push(&e->ended, group);
out:
    return st;
}

/* ---- queries ----------------------------------------------------------------------------------------- */

int32_t sg_engine_pending(const struct sg_engine *e) {
    return e->sched.queue.n + e->sched.running.n + e->ended.n;
}

bool sg_engine_has_room(const struct sg_engine *e, int32_t n_prompt, int32_t n_samples) {
    return sg_sched_has_room(&e->sched, n_prompt, n_samples);
}

void sg_engine_stats(const struct sg_engine *e, struct sg_engine_stats *out) {
    *out = e->stats;
    out->restarts = e->sched.restarts;
    out->pages_peak = e->pool.peak;
}

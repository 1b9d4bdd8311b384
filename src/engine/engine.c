#include "engine/internal.h"

#include "base/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- open and close ---------------------------------------------------------------------------------- */

/* n elements on the device, with a copy on the host when `host` is not NULL. */
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

/* The options' settings, or the one that `sampling` makes, on both sides. */
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
    const size_t logits = (size_t)rows * (size_t)c->vocab * sizeof(float);
    enum sg_status st;
    SG_TRY(sg_dev_reserve(e->dev, &z->dev, err));
    SG_TRY(sg_kv_new(e->dev, c->layers, z->pages, c->kv_heads, c->head_dim, &e->kv, err));
    SG_TRY(sg_kv_pool_init(&e->pool, z->pages, err));
    SG_TRY(sg_sched_init(&e->sched, &z->sched, &e->pool, err));
    SG_TRY(sg_batcher_init(&e->batcher, e->dev, &z->batch, err));
    SG_TRY(sg_workspace_new(e->model, z->dev.max_rows, &e->ws, err));
    SG_TRY(sg_dev_alloc(e->dev, logits, "logits", (void **)&e->logits, err));
    SG_TRY(pair(e, draws, sizeof *e->token, "drawn tokens", &e->d_token, &e->token, err));
    SG_TRY(pair(e, draws, sizeof *e->p_yes, "p_yes", &e->d_p_yes, &e->p_yes, err));
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
        struct sg_seq *s = e->ended.head;
        sg_seq_list_remove(&e->ended, s);
        sg_seq_free(s);
    }
}

void sg_engine_close(struct sg_engine *e) {
    if (!e) return;
    void *const device[] = {e->logits, e->d_token, e->d_p_yes, e->d_target,  e->d_logprob,
                            e->d_row,  e->d_yes,   e->d_no,    e->d_settings};
    void *const host[] = {e->token, e->p_yes, e->target, e->logprob, e->results, e->settings};
    free_ended(e);
    sg_sched_free(&e->sched);
    sg_batcher_free(&e->batcher);
    sg_workspace_free(e->model, &e->ws);
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
                                const uint64_t *keys, const int32_t *settings, int32_t n_samples,
                                struct sg_err *err) {
    enum sg_status st;
    struct sg_seq *seq = NULL;
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
    SG_TRY(sg_seq_new(tag, prompt, n_prompt, keys, settings, n_samples,
                      fits == SG_OK ? e->sampling.max_new_tokens : 0, &seq, err));
    seq->status = fits;
    seq->err = why;
    if (fits == SG_OK)
        sg_sched_submit(&e->sched, seq);
    else
        sg_seq_list_push(&e->ended, seq);
out:
    return st;
}

/* ---- step -------------------------------------------------------------------------------------------- */

/* Groups that ended, to the owner. A callback may submit: what that adds to the list is reported too. */
static void report(struct sg_engine *e) {
    while (e->ended.head) {
        struct sg_seq *s = e->ended.head;
        sg_seq_list_remove(&e->ended, s);
        for (int32_t i = 0; i < s->n_samples; i++) {
            const struct sg_seq_sample *a = &s->samples[i];
            e->results[i] = (struct sg_sample_out){
                .tokens = a->tokens, .p_yes = a->p_yes, .n_tokens = a->n_tokens, .finish = a->finish};
        }
        const struct sg_group_result r = {.tag = s->tag,
                                          .prompt_tokens = s->n_prompt,
                                          .n_samples = s->n_samples,
                                          .samples = s->status == SG_OK ? e->results : NULL,
                                          .status = s->status,
                                          .err = s->err};
        if (e->hooks.on_done) e->hooks.on_done(e->hooks.ctx, &r);
        sg_seq_free(s);
    }
}

/* Logits of the rows that came out, a slice at a time, and the draws from each slice. */
static enum sg_status draw(struct sg_engine *e, const void *hidden, struct sg_err *err) {
    const struct sg_batcher *b = &e->batcher;
    const int32_t n_out = b->batch.n_out, slice = e->size.logit_rows;
    enum sg_status st = SG_OK;
    for (int32_t first = 0, k = 0; first < n_out; first += slice, k++) {
        const int32_t rows = n_out - first < slice ? n_out - first : slice, d = b->slice_begin[k];
        SG_TRY(sg_model_logits(e->model, hidden, first, rows, e->logits, err));
        const struct sg_sample_args a = {.logits = e->logits,
                                         .n_rows = rows,
                                         .vocab = e->config->vocab,
                                         .n = b->slice_begin[k + 1] - d,
                                         .row = b->draw_row + d,
                                         .key = b->draw_key + d,
                                         .pos = b->draw_pos + d,
                                         .setting = b->draw_setting + d,
                                         .settings = e->d_settings,
                                         .host_settings = e->settings,
                                         .n_settings = e->n_settings,
                                         .yes_ids = e->d_yes,
                                         .no_ids = e->d_no,
                                         .n_yes = e->n_yes,
                                         .n_no = e->n_no,
                                         .token = e->d_token + d,
                                         .p_yes = e->d_p_yes + d};
        SG_TRY(sg_op_sample(e->dev, &a, err));
    }
    SG_TRY(sg_dev_download(e->dev, e->token, e->d_token, (size_t)b->n_draws * sizeof *e->token, err));
    SG_TRY(sg_dev_download(e->dev, e->p_yes, e->d_p_yes, (size_t)b->n_draws * sizeof *e->p_yes, err));
out:
    return st;
}

static bool is_eos(const struct sg_engine *e, int32_t token) {
    for (int32_t i = 0; i < e->config->n_eos; i++)
        if (e->config->eos[i] == token) return true;
    return false;
}

/* Shows a token to the hook; true when it says that the sample is complete. */
static bool tell(struct sg_engine *e, const struct sg_seq *seq, int32_t sample, int32_t index) {
    const struct sg_seq_sample *a = &seq->samples[sample];
    return e->hooks.on_token &&
           e->hooks.on_token(e->hooks.ctx, seq->tag, sample, index, a->tokens[index], a->p_yes[index]);
}

static enum sg_finish judge(struct sg_engine *e, const struct sg_seq *seq, int32_t sample) {
    const struct sg_seq_sample *a = &seq->samples[sample];
    const bool stop = tell(e, seq, sample, a->n_tokens - 1);
    if (!e->sampling.ignore_eos && is_eos(e, a->tokens[a->n_tokens - 1])) return SG_FINISH_EOS;
    if (stop) return SG_FINISH_VERDICT;
    return a->n_tokens == e->sampling.max_new_tokens ? SG_FINISH_LENGTH : SG_FINISH_NONE;
}

static void fail_group(struct sg_engine *e, struct sg_seq *seq, int32_t place) {
    sg_sched_drop(&e->sched, seq);
    seq->status =
        sg_fail(&seq->err, SG_E_INPUT,
                "%s: the logits after %d tokens are not finite: the checkpoint holds NaN or infinite "
                "weights, or weights that overflow",
                sg_model_dir(e->model), seq->n_prompt + place);
    sg_seq_list_push(&e->ended, seq);
}

/* What the step's draws mean for the samples. Groups that end are only listed: their memory is still named
 * by later draws of the same step. */
static void collect(struct sg_engine *e) {
    const struct sg_step *step = &e->sched.step;
    const struct sg_batcher *b = &e->batcher;
    for (int32_t k = 0; k < step->n_chunks; k++)
        sg_sched_prefilled(&e->sched, step->chunks[k].seq, step->chunks[k].n);
    for (int32_t k = 0; k < b->n_draws; k++) {
        struct sg_seq *seq = b->draws[k].seq;
        const int32_t i = b->draws[k].sample;
        struct sg_seq_sample *a = &seq->samples[i];
        if (seq->status != SG_OK) continue; /* failed earlier in this loop */
        if (e->token[k] < 0) {
            fail_group(e, seq, a->n_tokens);
            continue;
        }
        if (a->replay) {
            a->replay = false;
            (void)tell(e, seq, i, 0);
        }
        sg_sched_token(&e->sched, seq, i, e->token[k], e->p_yes[k]);
        const enum sg_finish finish = judge(e, seq, i);
        if (finish == SG_FINISH_NONE) continue;
        e->stats.decode_tokens += a->n_tokens;
        if (sg_sched_finish_sample(&e->sched, seq, i, finish)) sg_seq_list_push(&e->ended, seq);
    }
}

static void count_step(struct sg_engine *e, int64_t ns) {
    const struct sg_step *step = &e->sched.step;
    struct sg_engine_stats *s = &e->stats;
    s->steps++;
    s->prefill_tokens += step->n_rows - step->n_decode;
    *(step->n_decode == 0 ? &s->prefill_ns : step->n_chunks == 0 ? &s->decode_ns : &s->mixed_ns) += ns;
}

enum sg_status sg_engine_step(struct sg_engine *e, bool *busy, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const void *hidden;
    report(e); /* groups that failed at submit */
    const int64_t t0 = now_ns();
    if (sg_sched_next(&e->sched)) {
        SG_TRY(sg_batcher_build(&e->batcher, &e->sched.step, false, err));
        SG_TRY(sg_model_forward(e->model, e->kv, &e->ws, &e->batcher.batch, &hidden, err));
        SG_TRY(draw(e, hidden, err));
        collect(e);
        count_step(e, now_ns() - t0);
        report(e);
    }
    *busy = sg_engine_pending(e) > 0;
out:
    return st;
}

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

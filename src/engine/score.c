/* score - log-probabilities and embeddings of one sequence at a time, with the engine's model, pool and
 * workspace. */
#include "engine/internal.h"

#include "base/mem.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Makes a group without samples that holds the pages of its prompt; the caller frees it with drop. */
static enum sg_status hold(struct sg_engine *e, const int32_t *ids, int32_t n, struct sg_group **out,
                           struct sg_err *err) {
    const int32_t vocab = e->config->vocab, need = n > 0 ? sg_pages_for(n) : 0;
    if (n < 1) return sg_fail(err, SG_E_INPUT, "ids is empty: expected at least one token");
    if (n > e->max_context)
        return sg_fail(err, SG_E_INPUT, "%d tokens exceed the context of %d tokens", n, e->max_context);
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return sg_fail(err, SG_E_INPUT, "ids[%d] = %d is outside the vocabulary of %d of %s", i, ids[i],
                           vocab, sg_model_dir(e->model));
    if (need > e->pool.n_free)
        return sg_fail(err, SG_E_NOMEM,
                       "%d tokens take %d KV pages of %" PRId64 " bytes, %d are free: raise kv_cache_mib", n,
                       need, e->size.page_bytes, e->pool.n_free);
    struct sg_group *group = NULL;
    const enum sg_status st = sg_group_new(0, ids, n, NULL, NULL, 0, 0, &group, err);
    if (st != SG_OK) return st;
    for (int32_t i = 0; i < need; i++) group->prompt_pages[i] = sg_kv_pool_get(&e->pool);
    group->n_prompt_pages = need;
    *out = group;
    return SG_OK;
}

static void drop(struct sg_engine *e, struct sg_group *group) {
    if (!group) return;
    for (int32_t i = 0; i < group->n_prompt_pages; i++) sg_kv_pool_put(&e->pool, group->prompt_pages[i]);
    sg_group_free(group);
}

/* Runs the next chunk of the group through the model. */
static enum sg_status run_chunk(struct sg_engine *e, struct sg_group *group, bool all_out,
                                const void **hidden, struct sg_err *err) {
    const int32_t left = group->n_prompt - group->n_prefilled, most = e->size.sched.max_rows;
    struct sg_chunk chunk = {.group = group, .pos0 = group->n_prefilled, .n = left < most ? left : most};
    const struct sg_step step = {.n_rows = chunk.n, .n_chunks = 1, .chunks = &chunk};
    struct sg_row none; /* stays unused: a group without samples has no draws */
    enum sg_status st = sg_batcher_build(&e->batcher[0], &step, NULL, all_out ? NULL : &none, err);
    if (st == SG_OK) st = sg_model_forward(e->model, e->kv, &e->ws[0], &e->batcher[0].batch, hidden, err);
    if (st == SG_OK) group->n_prefilled += chunk.n;
    return st;
}

static enum sg_status not_finite(const struct sg_engine *e, int32_t place, const char *what,
                                 struct sg_err *err) {
    return sg_fail(err, SG_E_INPUT,
                   "%s: the %s after %d token%s not finite: the checkpoint holds NaN or infinite weights",
                   sg_model_dir(e->model), what, place, place == 1 ? " are" : "s are");
}

/* Log-probabilities from hidden rows [first, first + n), which are positions pos0.. of the sequence. */
static enum sg_status score_rows(struct sg_engine *e, const struct sg_group *group, const void *hidden,
                                 int32_t first, int32_t n, int32_t pos0, float *logprobs,
                                 struct sg_err *err) {
    const int32_t vocab = e->config->vocab;
    enum sg_status st;
    SG_TRY(sg_model_logits(e->model, hidden, first, n, e->logits, err));
    if (!logprobs) goto out;
    for (int32_t i = 0; i < n; i++)
        e->target[i] = pos0 + i + 1 < group->n_prompt ? group->prompt[pos0 + i + 1] : 0;
    SG_TRY(sg_dev_upload(e->dev, e->d_target, e->target, (size_t)n * sizeof *e->target, err));
    SG_TRY(sg_op_logprob(e->dev, e->logits, e->d_target, n, vocab, e->d_logprob, err));
    SG_TRY(sg_dev_download(e->dev, e->logprob, e->d_logprob, (size_t)n * sizeof *e->logprob, err));
    for (int32_t i = 0; i < n; i++) {
        if (isnan(e->logprob[i])) return not_finite(e, pos0 + i + 1, "logits", err);
        if (pos0 + i + 1 < group->n_prompt) logprobs[pos0 + i + 1] = e->logprob[i];
    }
out:
    return st;
}

/* Scores all rows of the next chunk (without logprobs: the last row of the last chunk alone). */
static enum sg_status score_chunk(struct sg_engine *e, struct sg_group *group, float *last_logits,
                                  float *logprobs, struct sg_err *err) {
    const int32_t pos0 = group->n_prefilled, slice = e->size.logit_rows, vocab = e->config->vocab;
    const void *hidden;
    enum sg_status st;
    SG_TRY(run_chunk(e, group, logprobs != NULL, &hidden, err));
    const int32_t n = e->batcher[0].batch.n_out;
    int32_t rows = 0;
    for (int32_t first = 0; first < n; first += slice) {
        rows = n - first < slice ? n - first : slice;
        SG_TRY(score_rows(e, group, hidden, first, rows, pos0 + first, logprobs, err));
    }
    if (last_logits && n && group->n_prefilled == group->n_prompt) {
        const float *row = e->logits + (size_t)(rows - 1) * (size_t)vocab;
        SG_TRY(sg_dev_download(e->dev, last_logits, row, (size_t)vocab * sizeof *row, err));
        for (int32_t i = 0; i < vocab; i++)
            if (!isfinite(last_logits[i])) return not_finite(e, group->n_prompt, "logits", err);
    }
out:
    return st;
}

enum sg_status sg_engine_score(struct sg_engine *e, const int32_t *ids, int32_t n, float *last_logits,
                               float *logprobs, struct sg_err *err) {
    enum sg_status st;
    struct sg_group *group = NULL;
    SG_TRY(sg__engine_settle(e, err)); /* its arrays and logits are used here */
    SG_TRY(hold(e, ids, n, &group, err));
    if (logprobs) logprobs[0] = NAN;
    while (group->n_prefilled < n) SG_TRY(score_chunk(e, group, last_logits, logprobs, err));
out:
    drop(e, group);
    return st;
}

enum sg_status sg_engine_embed(struct sg_engine *e, const int32_t *ids, int32_t n, float *out,
                               struct sg_err *err) {
    enum sg_status st;
    struct sg_group *group = NULL;
    const void *hidden = NULL;
    const int32_t width = e->config->hidden;
    SG_TRY(sg__engine_settle(e, err)); /* its arrays and logits are used here */
    SG_TRY(hold(e, ids, n, &group, err));
    while (group->n_prefilled < n) SG_TRY(run_chunk(e, group, false, &hidden, err));
    SG_TRY(sg_op_l2norm(e->dev, hidden, 1, width, e->d_row, err));
    SG_TRY(sg_dev_download(e->dev, out, e->d_row, (size_t)width * sizeof *out, err));
    for (int32_t i = 0; i < width; i++)
        if (!isfinite(out[i])) {
            st = not_finite(e, n, "numbers of the embedding", err);
            goto out;
        }
out:
    drop(e, group);
    return st;
}

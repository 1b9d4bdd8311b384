/* memory - computes the sizes of an engine before it allocates. */
#include "engine/internal.h"
#include "base/minmax.h"

#include <inttypes.h>

/* Bytes that the host allocator and the alignment of device memory may add to one request. */
enum { ALLOCATION_SLACK = 512, ALLOCATIONS = 34 };

static enum sg_status check_ids(const char *what, const int32_t *ids, int32_t n, int32_t vocab,
                                struct sg_err *err) {
    if (n < 0 || (n > 0 && !ids))
        return sg_fail(err, SG_E_INTERNAL, "engine: %d %s ids, or NULL for them", n, what);
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return sg_fail(err, SG_E_INPUT, "engine: %s id %d is outside the model's vocabulary of %d", what,
                           ids[i], vocab);
    return SG_OK;
}

struct sg_draw_settings sg__engine_setting(const struct sg_sampling *s) {
    return (struct sg_draw_settings){
        .temperature = (float)s->temperature, .top_p = (float)s->top_p, .top_k = s->top_k};
}

static enum sg_status check_setting(const struct sg_draw_settings *s, struct sg_err *err) {
    if (!(s->temperature == 0 || (s->temperature >= 1e-6f && s->temperature <= 1e6f)))
        return sg_fail(err, SG_E_INPUT, "temperature %g: expected 0, or 1e-6 to 1e6", (double)s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1) || s->top_k < 0)
        return sg_fail(err, SG_E_INPUT, "top_p %g, top_k %d: expected 0 < top_p <= 1 and top_k >= 0",
                       (double)s->top_p, s->top_k);
    return SG_OK;
}

static enum sg_status check_options(const struct sg_model *model, const struct sg_engine_options *o,
                                    struct sg_err *err) {
    const struct sg_sampling *s = &o->sampling;
    const int32_t limit = sg_model_max_context(model), vocab = sg_model_config(model)->vocab;
    if (o->max_batch_tokens < 16)
        return sg_fail(err, SG_E_INPUT, "max_batch_tokens %d: expected at least 16", o->max_batch_tokens);
    if (o->max_context < 1 || o->max_context > limit)
        return sg_fail(err, SG_E_INPUT, "%s: a context of %d tokens: the model was opened for 1 to %d",
                       sg_model_dir(model), o->max_context, limit);
    if (o->max_samples < 1)
        return sg_fail(err, SG_E_INPUT, "max_samples %d: expected at least 1", o->max_samples);
    if (o->overlap_rows < 0)
        return sg_fail(err, SG_E_INPUT, "overlap_rows %d: expected 0 for none, or rows of a step",
                       o->overlap_rows);
    if (s->max_new_tokens < 1 || s->max_new_tokens > o->max_context)
        return sg_fail(err, SG_E_INPUT, "max_new_tokens %d: expected 1 to the context of %d",
                       s->max_new_tokens, o->max_context);
    if (o->n_settings < 0 || (o->n_settings > 0 && !o->settings))
        return sg_fail(err, SG_E_INTERNAL, "engine: %d settings, or NULL for them", o->n_settings);
    const struct sg_draw_settings one = sg__engine_setting(s);
    enum sg_status st = o->n_settings > 0 ? SG_OK : check_setting(&one, err);
    for (int32_t i = 0; st == SG_OK && i < o->n_settings; i++) st = check_setting(&o->settings[i], err);
    if (st == SG_OK) st = check_ids("yes", o->yes_ids, o->n_yes, vocab, err);
    return st != SG_OK ? st : check_ids("no", o->no_ids, o->n_no, vocab, err);
}

/* Rows of a slice. On a host its logits stay near 64 MiB, but 16 rows at least make a matrix product
 * efficient. A device reads all of the head for every slice (778 MB of Qwen3-4B): it takes 512 rows, whole
 * tiles, and 300 MB of logits for them; a slice that begins on a tile leaves the rows behind it alone. */
enum { DEVICE_LOGIT_ROWS = 512 };
static int32_t logit_rows(const struct sg_dev *dev, int32_t vocab, int32_t most) {
    const int64_t fit = ((int64_t)64 << 20) / ((int64_t)vocab * (int64_t)sizeof(float)) / 16 * 16;
    const int64_t rows = sg_dev_info(dev)->host_memory ? sg_max64(sg_min64(fit, 256), 16) : DEVICE_LOGIT_ROWS;
    return (int32_t)sg_min64(rows, sg_max64(most, 1));
}

static int64_t workspace(const struct sg_dev *dev, const struct sg_model *model,
                         const struct sg_engine_options *o, const struct sg__sizes *z) {
    const int64_t draws = z->batch.max_draws, rows = z->logit_rows;
    int64_t bytes = (int64_t)sizeof(struct sg_engine);
    bytes += (int64_t)sg_workspace_bytes(model, z->dev.max_rows);
    bytes += (int64_t)sg_dev_reserve_bytes(dev, &z->dev);
    bytes += sg_tile_rows(dev, z->logit_rows) * (int64_t)z->dev.vocab * (int64_t)sizeof(float);
    bytes += (int64_t)sg_batcher_device_bytes(&z->batch) + (int64_t)sg_batcher_host_bytes(&z->batch);
    if (z->overlap_rows)
        bytes += (int64_t)sg_workspace_bytes(model, z->half.max_rows) +
                 (int64_t)sg_batcher_device_bytes(&z->half) + (int64_t)sg_batcher_host_bytes(&z->half);
    bytes += sg_sched_bytes(&z->sched) + sg_kv_pool_bytes(z->pages);
    bytes += (3 * draws + 2 * rows) * (int64_t)(sizeof(int32_t) + sizeof(float));
    bytes += 2 * draws * (int64_t)sizeof(struct sg_row);
    bytes += z->pad ? SG_PAD_PAGES * z->page_bytes : 0;
    bytes += (int64_t)(o->n_yes + o->n_no + z->dev.hidden) * (int64_t)sizeof(int32_t);
    bytes += (int64_t)o->max_samples * (int64_t)sizeof(struct sg_sample_out);
    bytes += 2 * sg_max64(o->n_settings, 1) * (int64_t)sizeof(struct sg_draw_settings);
    return bytes + ALLOCATIONS * ALLOCATION_SLACK;
}

enum sg_status sg__engine_sizes(const struct sg_dev *dev, const struct sg_model *model,
                                const struct sg_engine_options *o, struct sg__sizes *out,
                                struct sg_err *err) {
    const struct sg_config *c = sg_model_config(model);
    enum sg_status st = check_options(model, o, err);
    if (st != SG_OK) return st;
    struct sg__sizes z = {.page_bytes = (int64_t)sg_kv_page_bytes(dev, c->layers, c->kv_heads, c->head_dim)};
    const int64_t pages = o->kv_cache_bytes / z.page_bytes;
    if (pages < 1)
        return sg_fail(err, SG_E_INPUT,
                       "a KV cache of %" PRId64 " bytes: one page of this model takes %" PRId64
                       "; raise kv_cache_mib",
                       o->kv_cache_bytes, z.page_bytes);
    z.pages = (int32_t)sg_min64(pages, INT32_MAX / SG_PAGE_TOKENS - SG_PAD_PAGES);
    /* Above this many rows arithmetic bounds the products: more rows lengthen a step and make no token
     * cheaper, and the scratch of attention takes 528 bytes per row, head and split. */
    const int32_t decode_cap = sg_dev_info(dev)->host_memory ? 256 : 2048;
    z.sched = (struct sg_sched_limits){
        .max_rows = o->max_batch_tokens,
        .max_decode_rows = (int32_t)sg_min64(sg_min64(o->max_batch_tokens, decode_cap), z.pages),
        .max_samples = o->max_samples,
        .max_new_tokens = o->sampling.max_new_tokens,
    };
    const int32_t groups = sg_sched_max_groups(&z.sched);
    z.logit_rows = logit_rows(dev, c->vocab, (int32_t)sg_max64(groups, z.sched.max_rows));
    z.batch = (struct sg_batch_limits){.max_rows = z.sched.max_rows,
                                       .max_decode_rows = z.sched.max_decode_rows,
                                       .max_groups = groups,
                                       .max_draws = groups,
                                       .max_context = o->max_context,
                                       .pages = z.pages,
                                       .logit_rows = z.logit_rows};
    z.dev = (struct sg_limits){.max_rows = z.sched.max_rows,
                               .max_decode_rows = z.sched.max_decode_rows,
                               .max_logit_rows = z.logit_rows,
                               .max_draws = groups,
                               .max_context = o->max_context};
    sg_model_limits(model, &z.dev);
    z.ahead = o->steps_ahead ? o->steps_ahead > 0 : sg_dev_info(dev)->async;
    z.record = o->records == SG_GRAPHS_AUTO && sg_dev_info(dev)->records;
    z.pad = z.record || o->records == SG_GRAPHS_PAD;
    if (sg_dev_info(dev)->lanes >= SG_DEV_LANES) z.overlap_rows = o->overlap_rows;
    z.half = z.batch;
    z.half.max_rows = sg_lane_rows(1, z.batch.max_rows);
    z.half.max_decode_rows = sg_lane_rows(1, z.batch.max_decode_rows);
    z.dev.lanes = z.overlap_rows ? SG_DEV_LANES : 1;
    z.workspace_bytes = workspace(dev, model, o, &z);
    *out = z;
    return SG_OK;
}

/* A campaign's steps hold about as many prompt rows as answer rows, so that 2,048 rows would halve the answers
 * that a GPU decodes at once; more than 4,096 make no token cheaper (tests/bench/gpu-model.md). */
int32_t sg_engine_batch_tokens(const struct sg_dev *dev, int64_t asked) {
    return asked > 0 ? (int32_t)asked : sg_dev_info(dev)->host_memory ? 2048 : 4096;
}

enum sg_status sg_engine_plan(const struct sg_dev *dev, const struct sg_model *model,
                              const struct sg_engine_options *opt, struct sg_engine_memory *out,
                              struct sg_err *err) {
    struct sg__sizes z;
    const enum sg_status st = sg__engine_sizes(dev, model, opt, &z, err);
    if (st != SG_OK) return st;
    *out = (struct sg_engine_memory){.kv_bytes = z.pages * z.page_bytes,
                                     .workspace_bytes = z.workspace_bytes,
                                     .weight_bytes = sg_model_device_bytes(model),
                                     .pages = z.pages,
                                     .decode_rows = z.sched.max_decode_rows};
    return SG_OK;
}

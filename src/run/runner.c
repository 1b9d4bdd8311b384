#include "run/runner.h"

#include "base/json.h"
#include "base/mem.h"
#include "run/pipeline.h"
#include "engine/kv_budget.h"
#include "model/config.h"
#include "model/digest.h"
#include "model/qwen3.h"
#include "text/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Part of the fingerprint. Raise one of these when the same inputs may give other results: what a backend of
 * the host, and what one of a device of its own computes, the built-in template and how prompts are built. The verdict
 * parser has a version of its own (text/verdict.h). */
enum {
    NUMERICS = 1,
    DEVICE_NUMERICS = 2,
    PROMPTS = 1,
    FP8_WEIGHTS = 1,
    FLOAT32_COMPUTE = 1,
    BF16_COMPUTE = 1
};

struct sg_runner {
    bool keeps;       /* sg_runner_keep: device, tokenizer and model stay after a run */
    struct sg_buf id; /* of these three (identify); empty: they are not all open */
    struct sg_compute_facts facts;
    double joules; /* that the device had used when this run began */
    struct sg_dev *dev;
    int32_t threads;
    const char *model_dir; /* borrowed */
    struct sg_tokenizer *tok;
    struct sg_model *model;
    struct sg_engine *engine;
    struct sg_pipeline *pipeline;
    struct sg_token_ids yes, no;
    struct sg_kv_budget budget;
    struct sg_draw_settings *settings; /* [n_params] of the plan */
    /* the embedding model, between embed_open and embed_close */
    struct {
        struct sg_tokenizer *tok;
        struct sg_encoder *enc;
        struct sg_model *model;
        struct sg_engine *engine;
        struct sg_token_ids ids;
    } embed;
};

enum sg_status sg_runner_new(struct sg_runner **out, struct sg_err *err) {
    return SG_NEW(out, 1, "runner", err);
}

/* ---- stage 1 ---------------------------------------------------------------------------------------- */

static enum sg_status find(void *ctx, const struct sg_job *job, int32_t index, struct sg_dev_place *out,
                           struct sg_err *err) {
    (void)ctx;
    return sg_dev_find(job->engine.device, index, out, err);
}

/* Fills out->device. Measures a GPU's rates before it holds anything: some 50 ms. Does not measure a host:
 * that would take a second of all cores, and several ranks may have the same ones. */
static enum sg_status describe(struct sg_dev *dev, struct sg_compute_facts *out, struct sg_err *err) {
    const struct sg_dev_info *info = sg_dev_info(dev);
    memcpy(out->device.name, info->name, sizeof out->device.name);
    memcpy(out->device.uuid, info->uuid, sizeof out->device.uuid);
    memcpy(out->device.driver, info->driver, sizeof out->device.driver);
    memcpy(out->device.runtime, info->runtime, sizeof out->device.runtime);
    out->device.memory_bytes = info->memory_bytes;
    if (info->host_memory) return SG_OK;
    struct sg_err why = {0};
    const enum sg_status st = sg_dev_measure(dev, &out->device.flops_per_s, &out->device.bytes_per_s, &why);
    if (st == SG_OK || st == SG_E_NOMEM) return SG_OK; /* a shared device may be full: rates not known */
    if (err) *err = why;
    return st;
}

/* Closes model, tokenizer and device, which sg_runner_keep lets outlive a run. */
static void let_go(struct sg_runner *s) {
    sg_model_close(s->model);
    sg_tokenizer_close(s->tok);
    sg_dev_close(s->dev);
    s->model = NULL;
    s->tok = NULL;
    s->dev = NULL;
    s->joules = 0;
    s->facts = (struct sg_compute_facts){0};
    sg_buf_clear(&s->id);
}

/* Appends what determines device, tokenizer and model: the job's sections model and engine, the place and the
 * digest of the files. */
static enum sg_status identify(const struct sg_job *job, const struct sg_compute_place *place,
                               struct sg_buf *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const char *const sections[] = {"model", "engine"};
    char hex[SG_DIGEST_HEX], *text = NULL;
    cJSON *doc = NULL;
    SG_TRY(sg_json_parse(job->text, strlen(job->text), job->path, 1, &doc, err));
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(doc, sections[i]));
        SG_TRY(sg_buf_str(out, text ? text : "null", err));
        free(text);
        text = NULL;
    }
    sg_digest_hex(*place->model, hex);
    SG_TRY(sg_buf_printf(out, err, "%d %d %d %s", place->threads, place->device, place->sharers, hex));
    SG_TRY(sg_buf_add(out, "", 1, err));
out:
    free(text);
    cJSON_Delete(doc);
    return st;
}

static enum sg_status open_device(struct sg_runner *s, const struct sg_job *job,
                                  const struct sg_compute_place *place, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_config config;
    static const enum sg_precision precisions[] = {[SG_COMPUTE_TYPE_AUTO] = SG_PRECISION_AUTO,
                                                   [SG_COMPUTE_TYPE_BF16] = SG_PRECISION_BF16,
                                                   [SG_COMPUTE_TYPE_FLOAT32] = SG_PRECISION_FLOAT32};
    const struct sg_dev_options dev = {.backend = job->engine.device,
                                       .threads = s->threads,
                                       .device = place->device,
                                       .precision = precisions[job->compute_type]};
    SG_TRY(sg_dev_open(&dev, &s->dev, err));
    s->budget.sharers = place->sharers;
    if (sg_dev_info(s->dev)->host_memory) s->budget.host_free = sg_dev_memory_free(s->dev);
    SG_TRY(sg_config_read(s->model_dir, &config, err));
    SG_TRY(sg_tokenizer_open(s->model_dir, &s->tok, err));
    if (sg_tokenizer_size(s->tok) > config.vocab) {
        st =
            sg_fail(err, SG_E_INPUT, "%s: tokenizer.json has token id %d, but config.json says vocab_size %d",
                    s->model_dir, (int)sg_tokenizer_size(s->tok) - 1, (int)config.vocab);
        goto out;
    }
    const struct sg_dev_info *info = sg_dev_info(s->dev);
    snprintf(s->facts.numerics, sizeof s->facts.numerics, "%s numerics %d, prompts %d, verdicts %d",
             info->backend, info->host_memory ? NUMERICS : DEVICE_NUMERICS, PROMPTS, SG_VERDICT_VERSION);
    if (!info->host_memory) {
        /* The library picks an algorithm of a product by its version and the kind of GPU: results differ. */
        const size_t n = strlen(s->facts.numerics);
        snprintf(s->facts.numerics + n, sizeof s->facts.numerics - n, ", %s, %s", info->name, info->runtime);
    }
    if (job->weight_type == SG_WEIGHT_TYPE_FP8) {
        const size_t n = strlen(s->facts.numerics);
        snprintf(s->facts.numerics + n, sizeof s->facts.numerics - n, ", fp8 weights %d", FP8_WEIGHTS);
    }
    /* Only for a type that is not the device's default: "auto" and the default by name must have the same
     * fingerprint. */
    if (info->host_memory != (info->products == SG_F32)) {
        const size_t n = strlen(s->facts.numerics);
        snprintf(s->facts.numerics + n, sizeof s->facts.numerics - n, ", %s compute %d",
                 info->host_memory ? "bf16" : "float32", info->host_memory ? BF16_COMPUTE : FLOAT32_COMPUTE);
    }
    SG_TRY(describe(s->dev, &s->facts, err));
out:
    return st;
}

static enum sg_status look(void *ctx, const struct sg_job *job, const struct sg_compute_place *place,
                           struct sg_compute_facts *out, struct sg_err *err) {
    struct sg_runner *s = ctx;
    enum sg_status st = SG_OK;
    struct sg_buf id = {0};
    s->threads = job->engine.threads > 0 ? (int32_t)job->engine.threads : place->threads;
    s->model_dir = job->model_path;
    if (place->model) SG_TRY(identify(job, place, &id, err));
    if (id.len && s->id.len && !strcmp(s->id.data, id.data)) {
        struct sg_dev_power before;
        sg_dev_power(s->dev, &before);
        s->joules = before.joules;
    } else {
        let_go(s);
        SG_TRY(open_device(s, job, place, err));
        if (place->model)
            s->facts.model = *place->model;
        else
            SG_TRY(sg_model_digest(s->model_dir, s->threads, &s->facts.model, err));
        sg_buf_free(&s->id);
        s->id = id;
        id = (struct sg_buf){0};
    }
    *out = s->facts;
out:
    sg_buf_free(&id);
    return st;
}

/* ---- between: anchors by an embedding model ---------------------------------------------------------- */

static enum sg_status embed_text(void *ctx, const char *text, int64_t n, float *out, struct sg_err *err) {
    struct sg_runner *s = ctx;
    enum sg_status st = SG_OK;
    const struct sg_span span = {.text = text, .len = (size_t)n, .trusted = false};
    const int32_t *before, *after;
    size_t n_before, n_after;
    struct sg_token_ids *ids = &s->embed.ids;
    const size_t limit = (size_t)sg_model_max_context(s->embed.model);
    sg_tokenizer_wrap(s->embed.tok, &before, &n_before, &after, &n_after);
    ids->len = 0;
    SG_TRY(SG_GROW(&ids->data, &ids->cap, n_before + 1, "token ids", err));
    if (n_before) memcpy(ids->data, before, n_before * sizeof *before);
    ids->len = n_before;
    SG_TRY(sg_tokenizer_encode(s->embed.tok, s->embed.enc, &span, 1, ids, err));
    if (ids->len + n_after > limit) ids->len = limit - n_after; /* as the reference truncates */
    SG_TRY(SG_GROW(&ids->data, &ids->cap, ids->len + n_after + 1, "token ids", err));
    if (n_after) memcpy(ids->data + ids->len, after, n_after * sizeof *after);
    ids->len += n_after;
    SG_TRY(sg_engine_embed(s->embed.engine, ids->data, (int32_t)ids->len, out, err));
out:
    return st;
}

static void embed_close(void *ctx) {
    struct sg_runner *s = ctx;
    sg_engine_close(s->embed.engine);
    sg_model_close(s->embed.model);
    sg_encoder_free(s->embed.enc);
    sg_tokenizer_close(s->embed.tok);
    sg_token_ids_free(&s->embed.ids);
    memset(&s->embed, 0, sizeof s->embed);
}

/* plan.c cuts texts at 2,000 code points, four tokens a code point at most. */
enum { EMBED_CONTEXT = 8192, EMBED_BATCH = 2048 };

static enum sg_status embed_open(void *ctx, const struct sg_job *job, struct sg_plan_inputs *in,
                                 struct sg_err *err) {
    struct sg_runner *s = ctx;
    enum sg_status st = SG_OK;
    const char *dir = job->prompt.similarity.model;
    struct sg_config config;
    SG_TRY(sg_config_read(dir, &config, err));
    const int32_t context = config.max_position < EMBED_CONTEXT ? config.max_position : EMBED_CONTEXT;
    SG_TRY(sg_tokenizer_open(dir, &s->embed.tok, err));
    SG_TRY(sg_encoder_new(s->embed.tok, &s->embed.enc, err));
    const struct sg_model_options model = {.max_context = context};
    SG_TRY(sg_model_open(s->dev, dir, &model, &s->embed.model, err));
    const int64_t page = (int64_t)sg_kv_page_bytes(s->dev, config.layers, config.kv_heads, config.head_dim);
    const struct sg_engine_options opt = {.max_batch_tokens = EMBED_BATCH,
                                          .kv_cache_bytes = page * (context / SG_PAGE_TOKENS + 2),
                                          .max_context = context,
                                          .max_samples = 1,
                                          .sampling = {.top_p = 1, .max_new_tokens = 1}};
    const struct sg_engine_hooks hooks = {0};
    SG_TRY(sg_engine_open(s->dev, s->embed.model, &opt, &hooks, &s->embed.engine, err));
    in->embed = embed_text;
    in->embed_ctx = s;
    in->embed_dim = config.hidden;
out:
    if (st != SG_OK) embed_close(s);
    return st;
}

/* ---- stage 2 ---------------------------------------------------------------------------------------- */

static enum sg_status engine_submit(void *ctx, uint64_t tag, const int32_t *prompt, int32_t n_prompt,
                                    const struct sg_stream *streams, const int32_t *settings,
                                    int32_t n_samples, struct sg_err *err) {
    return sg_engine_submit(((struct sg_runner *)ctx)->engine, tag, prompt, n_prompt, streams, settings,
                            n_samples, err);
}
static enum sg_status engine_step(void *ctx, bool *busy, struct sg_err *err) {
    return sg_engine_step(((struct sg_runner *)ctx)->engine, busy, err);
}
static int32_t engine_pending(void *ctx) {
    return sg_engine_pending(((struct sg_runner *)ctx)->engine);
}

/* Longest sequence that can occur: what the model allows, or less when all prompts are shorter. A token holds
 * at least one byte of normalised text, and NFC makes UTF-8 at most three times longer. */
static int32_t context_for(const struct sg_plan *plan, const struct sg_config *config) {
    int64_t longest = 0;
    for (int64_t q = 0; q < plan->n_rows; q++) {
        int64_t w = sg_plan_cell_weight(plan, q * plan->n_models);
        if (w > longest) longest = w;
    }
    int64_t most = 3 * longest + plan->job.sampling.max_new_tokens + 64;
    return most < config->max_position ? (int32_t)most : config->max_position;
}

static enum sg_status options_for(struct sg_runner *s, const struct sg_plan *plan,
                                  struct sg_engine_options *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_job *job = &plan->job;
    struct sg_config config;
    SG_TRY(sg_config_read(s->model_dir, &config, err));
    s->yes.len = s->no.len = 0;
    SG_TRY(sg_tokenizer_answer_ids(s->tok, "yes", &s->yes, err));
    SG_TRY(sg_tokenizer_answer_ids(s->tok, "no", &s->no, err));
    free(s->settings);
    s->settings = NULL;
    SG_TRY(SG_NEW(&s->settings, plan->n_params, "sampling parameters", err));
    for (int32_t i = 0; i < plan->n_params; i++) {
        const struct sg_sampling_params *d = &plan->params[i];
        s->settings[i] = (struct sg_draw_settings){(float)d->temperature, (float)d->top_p, (int32_t)d->top_k};
    }
    *out = (struct sg_engine_options){
        .max_batch_tokens = sg_engine_batch_tokens(s->dev, job->engine.max_batch_tokens),
        .overlap_rows = (int32_t)job->engine.overlap_rows,
        .kv_cache_bytes = 0, /* set by size_cache */
        .max_context = context_for(plan, &config),
        .max_samples = (int32_t)plan->n_samples,
        .sampling = {.max_new_tokens = (int32_t)job->sampling.max_new_tokens},
        .settings = s->settings,
        .n_settings = plan->n_params,
        .yes_ids = s->yes.data,
        .n_yes = (int32_t)s->yes.len,
        .no_ids = s->no.data,
        .n_no = (int32_t)s->no.len,
    };
out:
    return st;
}

static struct sg_model_options model_options(const struct sg_plan *plan, int32_t max_context) {
    return (struct sg_model_options){.max_context = max_context,
                                     .fp8_weights = plan->job.weight_type == SG_WEIGHT_TYPE_FP8};
}

/* Sets opt->kv_cache_bytes. s->model is planned or loaded. *measured (may be NULL): as of cache_measured. */
static enum sg_status size_cache(struct sg_runner *s, const struct sg_plan *plan,
                                 struct sg_engine_options *opt, bool *measured, struct sg_err *err) {
    enum { HOST_MIB = 1024 };
    int64_t mib = plan->job.engine.kv_cache_mib;
    if (mib == SG_JOB_UNSET) mib = sg_dev_info(s->dev)->host_memory ? HOST_MIB : 0;
    if (measured) *measured = mib == 0;
    opt->kv_cache_bytes = mib << 20;
    if (mib > 0) return SG_OK;
    s->budget.cells = plan->n_cells;
    return sg_kv_budget_bytes(s->dev, s->model, opt, &s->budget, &opt->kv_cache_bytes, err);
}

static void power(void *ctx, struct sg_dev_power *out) {
    const struct sg_runner *s = ctx;
    sg_dev_power(s->dev, out);
    out->joules -= s->joules;
}

/* Computes the logits after one token before any cell begins, and fails when they are not finite: with NaN
 * among the weights every cell would fail. NaN in another row of an untied embedding is not found, and fails
 * only the cells that read that row. */
static enum sg_status try_weights(struct sg_runner *s, struct sg_err *err) {
    const int32_t token = 0;
    enum sg_status st = SG_OK;
    float *logits = NULL;
    SG_TRY(SG_NEW(&logits, sg_model_config(s->model)->vocab, "logits", err));
    SG_TRY(sg_engine_score(s->engine, &token, 1, logits, NULL, err));
out:
    free(logits);
    return st;
}

static enum sg_status open_all(void *ctx, const struct sg_plan *plan, const struct sg_cell_sink *sink,
                               struct sg_compute *out, struct sg_err *err) {
    struct sg_runner *s = ctx;
    enum sg_status st = SG_OK;
    struct sg_engine_options opt;
    const struct sg_pipeline_options po = {.plan = plan, .tok = s->tok, .sink = *sink};
    SG_TRY(options_for(s, plan, &opt, err));
    SG_TRY(sg_pipeline_new(&po, &s->pipeline, err));
    const struct sg_model_options model = model_options(plan, opt.max_context);
    if (s->model && sg_model_max_context(s->model) < opt.max_context) {
        sg_model_close(s->model);
        s->model = NULL;
    }
    if (!s->model) SG_TRY(sg_model_open(s->dev, s->model_dir, &model, &s->model, err));
    SG_TRY(size_cache(s, plan, &opt, NULL, err));
    const struct sg_engine_hooks hooks = sg_pipeline_hooks(s->pipeline);
    SG_TRY(sg_engine_open(s->dev, s->model, &opt, &hooks, &s->engine, err));
    SG_TRY(try_weights(s, err));
    const struct sg_token_engine engine = {s, engine_submit, engine_step, engine_pending,
                                           opt.max_batch_tokens};
    sg_pipeline_set_engine(s->pipeline, &engine);
    *out = sg_pipeline_compute(s->pipeline);
    out->power = power;
    out->power_ctx = s;
out:
    return st;
}

static void close_all(void *ctx) {
    struct sg_runner *s = ctx;
    embed_close(s);
    sg_engine_close(s->engine);
    sg_pipeline_free(s->pipeline);
    s->engine = NULL;
    s->pipeline = NULL;
    if (!s->keeps) let_go(s);
}

void sg_runner_keep(struct sg_runner *s) {
    s->keeps = true;
}

void sg_runner_free(struct sg_runner *s) {
    if (!s) return;
    close_all(s);
    let_go(s);
    sg_buf_free(&s->id);
    sg_token_ids_free(&s->yes);
    sg_token_ids_free(&s->no);
    free(s->settings);
    free(s);
}

struct sg_compute_maker sg_runner_maker(struct sg_runner *s) {
    return (struct sg_compute_maker){.ctx = s,
                                     .reads_model = true,
                                     .find = find,
                                     .probe = look,
                                     .embed_open = embed_open,
                                     .embed_close = embed_close,
                                     .open = open_all,
                                     .close = close_all};
}

/* ---- estimate --------------------------------------------------------------------------------------- */

enum { LOOK_AT = 20000 }; /* prompts: some 10 s of tokenizing */

static int by_size(const void *a, const void *b) {
    const int32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static enum sg_status measure_prompts(struct sg_runner *s, const struct sg_plan *plan,
                                      struct sg_runner_estimate *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t stride = (plan->n_cells + LOOK_AT - 1) / LOOK_AT, n = (plan->n_cells + stride - 1) / stride;
    struct sg_token_ids ids = {0};
    int32_t *sizes = NULL;
    SG_TRY(SG_NEW(&sizes, n, "prompt sizes", err));
    for (int64_t i = 0; i < n; i++) {
        ids.len = 0;
        SG_TRY(sg_pipeline_prompt(s->pipeline, i * stride, &ids, err));
        sizes[i] = (int32_t)ids.len;
        out->prompt_tokens += sizes[i];
        out->too_long += sizes[i] + plan->job.sampling.max_new_tokens > out->max_context;
    }
    qsort(sizes, (size_t)n, sizeof *sizes, by_size);
    out->cells_looked_at = n;
    out->shortest = sizes[0];
    out->longest = sizes[n - 1];
    out->mean = (double)out->prompt_tokens / (double)n;
    out->median = ((double)sizes[(n - 1) / 2] + (double)sizes[n / 2]) / 2;
out:
    free(sizes);
    sg_token_ids_free(&ids);
    return st;
}

enum sg_status sg_runner_estimate(struct sg_runner *s, const struct sg_plan *plan,
                                  struct sg_runner_estimate *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_engine_options opt;
    struct sg_runner_estimate e = {0};
    const struct sg_pipeline_options po = {.plan = plan, .tok = s->tok};
    SG_TRY(options_for(s, plan, &opt, err));
    const struct sg_model_options model = model_options(plan, opt.max_context);
    SG_TRY(sg_model_plan(s->dev, s->model_dir, &model, &s->model, err));
    SG_TRY(size_cache(s, plan, &opt, &e.cache_measured, err));
    SG_TRY(sg_engine_plan(s->dev, s->model, &opt, &e.memory, err));
    SG_TRY(sg_pipeline_new(&po, &s->pipeline, err));
    e.max_context = opt.max_context;
    SG_TRY(measure_prompts(s, plan, &e, err));
    *out = e;
out:
    return st;
}

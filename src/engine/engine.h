/* engine - continuous batching on one device. The caller submits groups of tokens and receives samples; the
 * engine knows no text, no MPI and no results files.
 *
 * A group is one prompt and n samples. The engine prefills the prompt once, in chunks within the token
 * budget. The samples share the prompt's KV pages; each has suffix pages of its own. A finished sample frees
 * its pages at once, and a new group enters as soon as pages and rows are free. Results are the same bits for
 * every batch composition, max_batch_tokens, pool size and order of submission, because kernels are
 * row-invariant and draws are keyed. When the pool has no free page, the schedule sends the youngest group
 * back to the queue; it starts again from its prompt with the same keys and draws the same tokens. A group
 * whose n samples do not fit at once runs them in waves. A group whose prompt and one answer exceed the pool
 * fails without affecting others. */
#ifndef SG_ENGINE_H
#define SG_ENGINE_H

#include "base/finish.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_model; /* model/qwen3.h */
struct sg_engine;

const char *sg_finish_name(enum sg_finish f);

/* How tokens are drawn and when an answer ends, for every group of an engine; `settings` may override the
 * first three per sample. */
struct sg_sampling {
    double temperature; /* 0 = greedy */
    double top_p;       /* (0, 1]; 1 = off */
    int32_t top_k;      /* 0 = off */
    int32_t max_new_tokens;
    bool ignore_eos; /* bench only */
};

/* The engine can pad a step without prompt chunks to one of a few shapes. The device records such a step once
 * per shape, as a graph (sg_dev_record_begin), and replays the graph for later steps of that shape. Results
 * are the same bits with any choice. */
enum sg_engine_graphs {
    SG_GRAPHS_AUTO, /* graphs where the device can record operators */
    SG_GRAPHS_OFF,  /* no padding; the device's statistics list every operator by itself */
    SG_GRAPHS_PAD   /* padding, whether the device records or not (tests) */
};

/* Where the uniforms come from that a sample's tokens are drawn at. */
struct sg_stream {
    uint64_t key;
    int32_t stratum; /* index among the samples that share the key, stratified; -1: the key is one sample's */
};

struct sg_engine_options {
    int32_t max_batch_tokens; /* rows of one step, prefill and decode together; >= 16 */
    int64_t kv_cache_bytes;   /* size of the page pool, at least one page of the model */
    int32_t max_context;      /* largest prompt + max_new_tokens of any group; bounded by the model */
    int32_t max_samples;      /* largest n of any group */
    struct sg_sampling sampling;
    /* copied; each sample draws with one of these in place of temperature, top_p and top_k of `sampling` */
    const struct sg_draw_settings *settings;
    int32_t n_settings; /* 0: every sample draws with those of `sampling` */
    /* Steps that the engine launches before it has the tokens of the previous one, so that the device does
     * not wait for the host: 1, or -1 for none. 0: 1 where operators return before they have finished. */
    int32_t steps_ahead;
    enum sg_engine_graphs records;
    /* A step of at least so many rows is computed in two halves side by side, where the device has two lanes
     * (sg_dev_fork): attention of one under the products of the other. Each half must have a quarter of that; steps of
     * fewer rows, which reading the weights bounds, stay whole. Results are the same bits. 0: none. */
    int32_t overlap_rows;
    const int32_t *yes_ids, *no_ids; /* copied; token ids that p_yes is computed from (may be empty) */
    int32_t n_yes, n_no;
};

/* One finished sample. Its arrays are owned by the result. */
struct sg_sample_out {
    int32_t *tokens; /* [n_tokens], the EOS token included when one was drawn */
    float *p_yes;    /* [n_tokens]: p(yes) from the logits each token was drawn from; NaN without ids */
    int32_t n_tokens;
    enum sg_finish finish;
};

/* The argument of on_done; owned by the engine, valid during the call only. */
struct sg_group_result {
    uint64_t tag; /* of sg_engine_submit */
    int32_t prompt_tokens, n_samples;
    struct sg_sample_out *samples; /* [n_samples]; NULL when status is not SG_OK */
    enum sg_status status;         /* SG_OK, or why this group failed: prompt too long, non-finite logits */
    struct sg_err err;
};

/* Callbacks run on the thread that calls sg_engine_step. on_token (may be NULL) sees each token of each
 * sample in order and returns true when the sample is complete (its tokens hold the verdict). It must be a
 * pure function of the sample's own tokens: the engine replays a sample that was sent back from index 0. */
struct sg_engine_hooks {
    void *ctx;
    bool (*on_token)(void *ctx, uint64_t tag, int32_t sample, int32_t index, int32_t token, float p_yes);
    void (*on_done)(void *ctx, const struct sg_group_result *result);
};

/* max_batch_tokens for this device where nobody set it (asked < 1), else `asked`. */
int32_t sg_engine_batch_tokens(const struct sg_dev *dev, int64_t asked);

/* Bytes an engine takes: `kv` for the page pool, `weight` for the model, `workspace` for everything else.
 * `plan` computes from the configuration alone what `run` will take. */
struct sg_engine_memory {
    int64_t kv_bytes, workspace_bytes, weight_bytes;
    int32_t pages;
    int32_t decode_rows; /* samples that can be decoded in one step */
};
enum sg_status sg_engine_plan(const struct sg_dev *dev, const struct sg_model *model,
                              const struct sg_engine_options *opt, struct sg_engine_memory *out,
                              struct sg_err *err);

/* Takes all memory at once, at most what sg_engine_plan says; steps allocate nothing. Every group also takes
 * host memory from submit to on_done: its prompt and about n_samples * max_new_tokens * 8 bytes.
 * dev and model are borrowed and must outlive the engine. One engine at a time on a device: opening sizes the
 * device's scratch (sg_dev_reserve). */
enum sg_status sg_engine_open(struct sg_dev *dev, struct sg_model *model, const struct sg_engine_options *opt,
                              const struct sg_engine_hooks *hooks, struct sg_engine **out,
                              struct sg_err *err);
void sg_engine_close(struct sg_engine *e); /* NULL accepted; unfinished groups are dropped */

/* Queues one group; prompt [n_prompt] is copied. streams[n_samples]: of each sample
 * (sg_sample_stream). settings[n_samples]: index of each sample's draw settings; NULL: 0 for all. The engine
 * reports a prompt that can never fit through on_done, not here. */
enum sg_status sg_engine_submit(struct sg_engine *e, uint64_t tag, const int32_t *prompt, int32_t n_prompt,
                                const struct sg_stream *streams, const int32_t *settings, int32_t n_samples,
                                struct sg_err *err);
/* Schedules and launches one step, then judges the tokens of the previous step (of this one without
 * steps_ahead). *busy = false when sg_engine_pending is 0. A group's failure goes to on_done; an error here
 * means that the device has failed. */
enum sg_status sg_engine_step(struct sg_engine *e, bool *busy, struct sg_err *err);
/* Groups queued, running or not yet reported. */
int32_t sg_engine_pending(const struct sg_engine *e);
/* Whether a new group could enter the next step: the queue is empty, and either no group runs or free pages
 * and rows suffice for its answers at their usual length. */
bool sg_engine_has_room(const struct sg_engine *e, int32_t n_prompt, int32_t n_samples);

struct sg_engine_stats {
    int64_t steps, prefill_tokens, decode_tokens, restarts; /* decode_tokens: kept output tokens */
    int64_t prefill_ns, decode_ns, mixed_ns;                /* step time by what the step held */
    /* Time inside sg_engine_step: launching operators (a host backend runs them then), waiting for tokens,
     * and the rest (scheduling, laying out, judging, hooks). The device does not wait for the host while
     * launch and host time of a step together stay below its step time. */
    int64_t launch_ns, wait_ns, host_ns;
    int64_t wasted_rows; /* draws discarded because their sample or group had ended one step before */
    int64_t padded_rows; /* rows that only pad a step and belong to no group */
    int64_t halved;      /* steps computed in two halves */
    /* Graphs recorded, steps run by a replay, recordings that failed (the engine records none after that). */
    int64_t records, replays, record_errors;
    int32_t pages, pages_peak;
};
void sg_engine_stats(const struct sg_engine *e, struct sg_engine_stats *out);

/* Outside continuous batching, on the same model and kernels:
 * logits after the last token, f32 [vocab] (may be NULL), and logprobs[n] of each token given those before
 * it (logprobs[0] = NaN; may be NULL); host arrays owned by the caller. */
enum sg_status sg_engine_score(struct sg_engine *e, const int32_t *ids, int32_t n, float *last_logits,
                               float *logprobs, struct sg_err *err);
/* L2-normalised hidden state of the last token after the final norm: out f32 [hidden]. */
enum sg_status sg_engine_embed(struct sg_engine *e, const int32_t *ids, int32_t n, float *out,
                               struct sg_err *err);

/* The stream of sample 0, 1, ... of a cell; the position in it is the sample's number of new tokens. It
 * depends on neither rank nor order nor batch.
 * Independent: the key is a hash of (seed, query id, model id, sample).
 * Stratified (sg_uniform_stratified): the key is a hash of (seed, query id). The models of a query share it:
 * the answers about them then err alike, and differences between models, which routing decides on, are
 * estimated more exactly. */
struct sg_stream sg_sample_stream(bool stratified, uint64_t seed, const char *query_id, const char *model_id,
                                  int32_t sample);
/* In [0, 1), a multiple of 2^-24: what the token at that position is drawn at. */
float sg_stream_uniform(const struct sg_stream *s, uint32_t position);

#endif

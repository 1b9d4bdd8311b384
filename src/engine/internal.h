/* internal - what engine.c, memory.c and score.c share. */
#ifndef SG_ENGINE_INTERNAL_H
#define SG_ENGINE_INTERNAL_H

#include "engine/batch.h"
#include "engine/engine.h"
#include "engine/schedule.h"
#include "model/qwen3.h"

/* Every size of an engine, from the configuration alone: plan adds them up, open takes them. */
struct sg__sizes {
    int32_t pages, logit_rows;
    int64_t page_bytes;
    struct sg_sched_limits sched;
    struct sg_batch_limits batch;
    struct sg_limits dev;
    int64_t workspace_bytes;
};
enum sg_status sg__engine_sizes(const struct sg_dev *dev, const struct sg_model *model,
                                const struct sg_engine_options *opt, struct sg__sizes *out,
                                struct sg_err *err);

/* How `sampling` draws. */
struct sg_draw_settings sg__engine_setting(const struct sg_sampling *s);

struct sg_engine {
    struct sg_dev *dev;     /* borrowed */
    struct sg_model *model; /* borrowed */
    const struct sg_config *config;
    struct sg_sampling sampling;
    struct sg_engine_hooks hooks;
    struct sg__sizes size;
    int32_t max_context;

    struct sg_kv *kv;
    struct sg_kv_pool pool;
    struct sg_sched sched;
    struct sg_batcher batcher;
    struct sg_workspace ws;
    float *logits; /* device [logit_rows][vocab] */
    /* draws: device and host side [max_draws] */
    int32_t *d_token, *token;
    float *d_p_yes, *p_yes;
    struct sg_draw_settings *d_settings, *settings; /* device and host [n_settings] */
    int32_t n_settings;
    int32_t *d_yes, *d_no; /* device */
    int32_t n_yes, n_no;
    /* score: device and host side [logit_rows] */
    int32_t *d_target, *target;
    float *d_logprob, *logprob;
    float *d_row; /* embed: device [hidden] */

    struct sg_seq_list ended;      /* groups to report: complete or failed */
    struct sg_sample_out *results; /* [max_samples] of the group being reported */
    struct sg_engine_stats stats;
};

#endif

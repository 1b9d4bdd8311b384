/* internal - what engine.c, step.c, memory.c and score.c share. */
#ifndef SG_ENGINE_INTERNAL_H
#define SG_ENGINE_INTERNAL_H

#include "engine/batch.h"
#include "engine/engine.h"
#include "engine/graph_cache.h"
#include "engine/schedule.h"
#include "model/qwen3.h"

/* Every size of an engine, from the configuration alone. sg_engine_plan adds them up, sg_engine_open takes
 * the memory. */
struct sg__sizes {
    int32_t pages, logit_rows;
    int64_t page_bytes;
    struct sg_sched_limits sched;
    struct sg_batch_limits batch;
    struct sg_limits dev;
    int64_t workspace_bytes;
    bool ahead, pad, record;     /* see steps_ahead and records of the options */
    int32_t overlap_rows;        /* 0: one lane */
    struct sg_batch_limits half; /* of the second lane's batch */
};
enum sg_status sg__engine_sizes(const struct sg_dev *dev, const struct sg_model *model,
                                const struct sg_engine_options *opt, struct sg__sizes *out,
                                struct sg_err *err);

/* The draw settings of `sampling`. */
struct sg_draw_settings sg__engine_setting(const struct sg_sampling *s);

/* A launched step whose draws the host has not received. */
struct sg__inflight_step {
    bool up;
    int slot;             /* of sg_dev_fetch */
    struct sg_row *draws; /* [max_draws]; group NULL: the group has ended since the launch */
    int32_t n_draws;
    void *landing;    /* sg_dev_host_alloc: tokens [max_draws], then p_yes [max_draws] */
    int64_t launched; /* when, ns */
    int32_t n_prefill, n_decode;
};

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
    struct sg_batcher batcher[SG_DEV_LANES]; /* the second: of steps in halves */
    struct sg_workspace ws[SG_DEV_LANES];
    float *logits; /* device [logit_rows][vocab] */
    int32_t
        *d_token; /* device [max_draws]: the newest step's draws, which the next step is fed; followed by: */
    float *d_p_yes; /* device [max_draws] */
    struct sg__inflight_step inflight[2];
    int newest;        /* index in inflight of the step launched last */
    int64_t collected; /* when the last wait for a step ended, sg_clock_ns */
    struct sg_graph_cache records;
    bool no_records;                                /* a recording has failed: the engine tries no other */
    struct sg_draw_settings *d_settings, *settings; /* device and host [n_settings] */
    int32_t n_settings;
    int32_t *d_yes, *d_no; /* device */
    int32_t n_yes, n_no;
    /* score: device and host side [logit_rows] */
    int32_t *d_target, *target;
    float *d_logprob, *logprob;
    float *d_row; /* embed: device [hidden] */

    struct sg_group_list ended;    /* groups to report: complete or failed */
    struct sg_sample_out *results; /* [max_samples] of the group being reported */
    struct sg_engine_stats stats;
};

/* step.c: waits for the step in flight if there is one, judges its tokens, moves ended groups to `ended`. */
enum sg_status sg__engine_settle(struct sg_engine *e, struct sg_err *err);

#endif

/* compute - the interface through which a run computes cells. The product implements it with a runner
 * (runner.h: device, model, tokenizer, engine, pipeline). Tests implement it with a simulated one, and so run
 * the real leases, messages, segments and resume on hundreds of ranks without a model. */
#ifndef SG_RUN_COMPUTE_H
#define SG_RUN_COMPUTE_H

#include "base/status.h"
#include "cell/cell.h"
#include "job/plan.h"
#include "kernels/kernels.h"
#include <stdbool.h>
#include <stdint.h>

/* Receives every finished cell, failed ones too. *cell is valid during the call. An error ends the run. */
struct sg_cell_sink {
    void *ctx;
    enum sg_status (*done)(void *ctx, int64_t cell_index, const struct sg_cell *cell, struct sg_err *err);
};

/* What one rank computes with. Used by one thread. */
struct sg_compute {
    void *ctx;
    /* True when cell_index would enter the device's next steps at once, and when nothing is pending. */
    bool (*has_room)(void *ctx, int64_t cell_index);
    /* Samples from `first` on, of the sg_plan_cell_samples of the cell, as they are when all are computed. */
    enum sg_status (*submit)(void *ctx, int64_t cell_index, int32_t first, struct sg_err *err);
    /* Does some work on all pending cells and calls the sink for those that it finishes. An error means that
     * the device is lost, or comes from the sink. A cell's own failure is in its sg_cell. */
    enum sg_status (*step)(void *ctx, struct sg_err *err);
    int64_t (*pending)(void *ctx); /* submitted and unfinished */
    /* What the device draws. NULL: not known. */
    void (*power)(void *power_ctx, struct sg_dev_power *out);
    void *power_ctx;
};

/* What a rank finds on its node. `model` and `numerics` must be the same on all ranks. */
struct sg_compute_facts {
    struct sg_digest model; /* files of the estimator */
    char numerics[320];     /* backend and versions of everything whose change may change results */
    /* for messages, metrics and /runtime of the results; "" and 0: not known */
    struct {
        char name[128], uuid[64], driver[64], runtime[64];
        int64_t memory_bytes;
        double flops_per_s, bytes_per_s; /* measured */
    } device;
};

/* Where a rank computes. */
struct sg_compute_place {
    int32_t threads;               /* cores that this rank may use when the job says 0 */
    const struct sg_digest *model; /* digest of the estimator's files, NULL when not computed yet */
    int32_t device;                /* ordinal, as sg_device_choose found it */
    int32_t sharers;               /* ranks of this run on that device, or on this node's memory; 0: one */
};

/* Makes a rank's compute in two stages, one before the plan and one after it. The run calls the functions in
 * this order, each at most once. */
struct sg_compute_maker {
    void *ctx;
    /* The estimator's files are at the job's model.path, and probe needs their digest (node_digest.h). */
    bool reads_model;
    /* Stage 0, every rank: finds device `index` (modulo their number) of those that the job's backend could
     * open here, without opening it. NULL: no choice of device. */
    enum sg_status (*find)(void *ctx, const struct sg_job *job, int32_t index, struct sg_dev_place *out,
                           struct sg_err *err);
    /* Stage 1, every rank: opens the device, reads the checkpoint's small files, loads no weights. */
    enum sg_status (*probe)(void *ctx, const struct sg_job *job, const struct sg_compute_place *place,
                            struct sg_compute_facts *out, struct sg_err *err);
    /* Root only, for a job that ranks anchors with an embedding model: fills embed, embed_ctx and embed_dim
     * of *in. NULL: not supported. embed_close frees what embed_open has allocated. */
    enum sg_status (*embed_open)(void *ctx, const struct sg_job *job, struct sg_plan_inputs *in,
                                 struct sg_err *err);
    void (*embed_close)(void *ctx);
    /* Stage 2, every computing rank: loads the model and opens *out. plan is borrowed until close. */
    enum sg_status (*open)(void *ctx, const struct sg_plan *plan, const struct sg_cell_sink *sink,
                           struct sg_compute *out, struct sg_err *err);
    void (*close)(void *ctx); /* after any of the above, failed or not */
};

#endif

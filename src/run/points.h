/* points - begins a run in its folder, and at its end makes results.h5 and DONE out of its segments. Serves a
 * job's run and the points of a sweep, whose cells the run of their prefill group computes (sweep/sweep.h).
 * Root only, with the folder's lock held. */
#ifndef SG_RUN_POINTS_H
#define SG_RUN_POINTS_H

#include "job/plan.h"
#include "run/reuse.h"
#include "rundir/lock.h"
#include "rundir/rundir.h"
#include "store/merge.h"

struct sg_run_summary {
    char *run_dir; /* owned: free */
    bool already;  /* it was DONE before: nothing was computed */
    struct sg_digest digest;
    int64_t calibration;             /* of total: cells of calibration anchors */
    int64_t total, failed, computed; /* cells; computed: by this call; of a point: those not taken over */
    int64_t unparsed;            /* cells that did not fail and have no verdict in any sample: no estimate */
    struct sg_reuse_count reuse; /* not counted when `already` */
    int64_t prompt_tokens, output_tokens;
    double seconds;
    struct sg_err first_failure; /* of a failed cell, clear when none failed */
};

struct sg_begin_options {
    struct sg_reuse_options reuse;
    bool fresh;        /* discard what the folder holds */
    bool retry_failed; /* removes the DONE of a run with failed cells, so that it continues */
    bool reopen;       /* removes the DONE of any run */
};

/* Begins plan's run in plan->job.output.dir, or checks that the run there is the same. When that one is DONE,
 * writes *sum and reads nothing else. Otherwise takes over earlier results and writes done[n_cells], *n_done
 * and *n_failed: what the segments then hold. id: as sg_rundir_begin takes it. */
enum sg_status sg_run_begin(const struct sg_plan *plan, const struct sg_begin_options *opt,
                            struct sg_run_id *id, uint8_t *done, int64_t *n_done, int64_t *n_failed,
                            struct sg_run_summary *sum, struct sg_err *err);

struct sg_end_options {
    const char *night;                  /* of the run */
    const struct sg_merge_group *group; /* NULL: all cells are in the run's own segments */
    struct sg_lock *lock;               /* the folder's, checked after the merge; NULL: not checked */
    enum sg_status (*runtime)(void *ctx, struct sg_results *r, struct sg_err *err); /* NULL: not known */
    void *ctx;
};

/* Writes dir/results.h5, and DONE when no cell is missing. Writes the digest and counts of *sum; computed:
 * cells found. *prompt_tokens (may be NULL): of the estimator's prompts of all cells not taken over. */
enum sg_status sg_run_end(const char *dir, const struct sg_plan *plan, const struct sg_end_options *opt,
                          struct sg_run_summary *sum, int64_t *prompt_tokens, struct sg_err *err);

/* One point of a sweep. */
struct sg_run_point {
    struct sg_job job; /* the caller's */
    struct sg_run_summary sum;
};
/* A prefill group: the points whose cells one run computes. All of it is the caller's. */
struct sg_run_group {
    const char *name;                        /* of the run's folder, which is beside those of the points */
    const struct sg_sampling_params *params; /* [n_params]: of all points that are not done */
    int32_t n_params;
    bool replace; /* discard what the run's folder holds */
    struct sg_run_point *points;
    int64_t n_points;
    int64_t prompt_tokens; /* out: of the run's cells, each counted once */
};

/* Index in the group's cells of the first sample of a point with these parameters; -1: none. */
int64_t sg_params_find(const struct sg_sampling_params *params, int32_t n_params,
                       const struct sg_sampling_params *point);

/* Begins every point in its folder, under its lock. Writes needless[n_cells], 1 where all points that are not
 * done have the cell already, and *open, whether any point is not done. plan: the group's. */
enum sg_status sg_points_begin(struct sg_run_group *group, const struct sg_plan *plan,
                               const struct sg_begin_options *opt, const char *night, uint8_t *needless,
                               bool *open, struct sg_err *err);
/* Writes the results of every point that is not done. end: of the group's run. */
enum sg_status sg_points_end(struct sg_run_group *group, const struct sg_plan *plan,
                             const struct sg_plan_inputs *in, const struct sg_end_options *end,
                             struct sg_err *err);

#endif

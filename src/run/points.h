/* points - the two ends of a run that touch its folder: what is there when it begins, and from its segments
 * to results.h5 and DONE. The same for a job's run and for the points of a sweep, whose cells the run of
 * their prefill group computes (sweep/sweep.h). Root only, with the folder's lock held. */
#ifndef SG_RUN_POINTS_H
#define SG_RUN_POINTS_H

#include "job/plan.h"
#include "run/reuse.h"
#include "rundir/lock.h"
#include "rundir/rundir.h"
#include "store/merge.h"

struct sg_run_summary {
    char *run_dir; /* owned: free */
    bool already;  /* it was done before: nothing was computed */
    struct sg_digest digest;
    int64_t total, failed, computed; /* cells; computed: by this call, of a point: not taken over */
    int64_t unparsed; /* cells that did not fail and hold no verdict: no estimate of theirs counts */
    int64_t taken;    /* cells taken over from earlier results; already: not counted */
    int64_t prompt_tokens, output_tokens;
    double seconds;
    struct sg_err first_failure; /* of a failed cell, clear when none failed */
};

struct sg_begin_options {
    struct sg_reuse_options reuse;
    bool fresh;        /* discard what the folder holds */
    bool retry_failed; /* a run that is DONE with failed cells goes on */
    bool reopen;       /* a run that is DONE goes on */
};

/* Begins plan's run in plan->job.output.dir or checks that it is there. DONE: *sum says so, and nothing else
 * is read. Otherwise done[n_cells], *n_done and *n_failed are what its segments hold once earlier results are
 * taken over. id: as sg_rundir_begin takes it. */
enum sg_status sg_run_begin(const struct sg_plan *plan, const struct sg_begin_options *opt,
                            struct sg_run_id *id, uint8_t *done, int64_t *n_done, int64_t *n_failed,
                            struct sg_run_summary *sum, struct sg_err *err);

struct sg_end_options {
    const char *night;                  /* of the run */
    const struct sg_merge_group *group; /* NULL: the run has all of its cells */
    struct sg_lock *lock;               /* the folder's; the merge may take long */
    enum sg_status (*runtime)(void *ctx, struct sg_results *r, struct sg_err *err); /* NULL: not known */
    void *ctx;
};

/* Writes dir/results.h5, and DONE when no cell is missing. sum: digest, counts; computed: cells that are
 * there. *prompt_tokens (may be NULL): of the estimator's prompts of all cells that were not taken over. */
enum sg_status sg_run_end(const char *dir, const struct sg_plan *plan, const struct sg_end_options *opt,
                          struct sg_run_summary *sum, int64_t *prompt_tokens, struct sg_err *err);

/* One point of a sweep. */
struct sg_run_point {
    struct sg_job job; /* the caller's */
    struct sg_run_summary sum;
};
/* What the run of a prefill group is for. All of it is the caller's. */
struct sg_run_group {
    const char *name;                        /* of the run's folder, which lies beside those of the points */
    const struct sg_sampling_params *params; /* [n_params]: of all points that are not done */
    int32_t n_params;
    bool replace; /* what the run's folder holds is of no use */
    struct sg_run_point *points;
    int64_t n_points;
    int64_t prompt_tokens; /* out: of the run's cells, each counted once */
};

/* The sample of the group's cells that is the first of a point with these parameters; -1: they have none. */
int64_t sg_params_find(const struct sg_sampling_params *params, int32_t n_params,
                       const struct sg_sampling_params *point);

/* Begins every point in its folder, under its lock. needless[n_cells]: 1 where all open points have taken the
 * cell over. *open: whether there is a point that is not done. plan: the group's. */
enum sg_status sg_points_begin(struct sg_run_group *group, const struct sg_plan *plan,
                               const struct sg_begin_options *opt, const char *night, uint8_t *needless,
                               bool *open, struct sg_err *err);
/* Writes the results of every point that is not done. end: of the group's run. */
enum sg_status sg_points_end(struct sg_run_group *group, const struct sg_plan *plan,
                             const struct sg_plan_inputs *in, const struct sg_end_options *end,
                             struct sg_err *err);

#endif

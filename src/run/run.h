/* run - one run from the job file to results.h5, on all ranks.
 *
 * The root reads the job; every rank probes its node; the root reads the inputs, plans and locks the run
 * directory; every rank receives the plan, loads its model and computes leases; the root merges. Between
 * these steps all ranks agree on one status: a file missing on one node ends the run with one message. */
#ifndef SG_RUN_RUN_H
#define SG_RUN_RUN_H

#include "base/digest.h"
#include "run/comm.h"
#include "run/compute.h"
#include "run/points.h"

struct sg_run_options {
    const char *job_path;         /* read by the root alone */
    const char *const *overrides; /* --set items */
    size_t n_overrides;
    bool root_only;           /* the root leases and does not compute; needs two ranks */
    bool array;               /* a task of several that share the directory without MPI (shards.h) */
    bool fresh;               /* discard what the run directory holds of another or an earlier run */
    bool quiet;               /* no progress on stderr */
    const char *night;        /* as sg_night_name takes it; NULL: the date */
    const char *const *since; /* results of earlier runs to take cells from (reuse.h) */
    size_t n_since;
    bool extend; /* take cells from the results that the run's folder has, of fewer samples (extend.h) */
    bool retry_failed;      /* cells that failed are computed again, each alone on its rank */
    double segment_seconds; /* < 0: the rule of segment_thread.h */
    /* For tests: >= 0: cells in a random order. The digest must not change. */
    int64_t shuffle_leases;
};

/* Collective. *out is filled on the root when the status is SG_OK or SG_E_PARTIAL (some cells failed; the
 * results are complete otherwise). SG_E_STOPPED: asked to stop; finished cells are safe, a restart resumes.
 * Every rank returns the same status and error; err may not be NULL. */
enum sg_status sg_run(struct sg_comm *comm, const struct sg_run_options *opt,
                      const struct sg_compute_maker *maker, struct sg_run_summary *out, struct sg_err *err);

/* Collective. The same for a prefill group of a sweep (the root's, NULL on the others): the run computes each
 * cell with all of group->params in the output.dir of opt's job, and writes results.h5 and DONE of every
 * point that was not done. SG_E_PARTIAL: some points have failed cells. */
enum sg_status sg_run_points(struct sg_comm *comm, const struct sg_run_options *opt,
                             struct sg_run_group *group, const struct sg_compute_maker *maker,
                             struct sg_run_summary *out, struct sg_err *err);

/* Merges the segments of a run directory into results.h5, without inputs or model. For a run that is not
 * complete it marks the missing cells, writes no DONE and returns SG_E_PARTIAL. SG_E_BUSY while the run
 * computes. Not collective. */
enum sg_status sg_run_merge(const char *run_dir, struct sg_run_summary *out, struct sg_err *err);

#endif

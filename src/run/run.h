/* run - one run from the job file to results.h5, on all ranks.
 *
 * Root reads the job and the inputs once, plans, holds the run directory; every rank looks at its node,
 * receives the plan, loads its model, takes leases; root merges. Between these steps all ranks agree on one
 * verdict, so that a missing file on one node ends the run everywhere with one message. */
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
    bool array;               /* one process of several that share the directory without MPI (shards.h) */
    bool fresh;               /* discard what the run directory holds of another or an earlier run */
    bool quiet;               /* no progress on stderr */
    const char *night;        /* of night.h; NULL: the date */
    const char *const *since; /* results of earlier runs to take cells from (reuse.h) */
    size_t n_since;
    bool retry_failed;      /* cells that failed are computed again, each alone on its rank */
    double segment_seconds; /* < 0: the rule of segment_thread.h */
    /* For tests: >= 0: cells in a random order. The digest must not change. */
    int64_t shuffle_leases;
};

/* Collective. *out is filled on the root when the status is SG_OK or SG_E_PARTIAL (some cells failed; the
 * results are complete otherwise). SG_E_STOPPED: told to stop; what is finished is safe, start it again.
 * Every rank returns the same status and error; err may not be NULL. */
enum sg_status sg_run(struct sg_comm *comm, const struct sg_run_options *opt,
                      const struct sg_compute_maker *maker, struct sg_run_summary *out, struct sg_err *err);

/* Collective. The same for a prefill group of a sweep (the root's, NULL on the others): opt's job computes
 * group->params for each cell in its output.dir, and every point of the group that was not done gets its
 * results.h5 and DONE. SG_E_PARTIAL: some points have failed cells. */
enum sg_status sg_run_points(struct sg_comm *comm, const struct sg_run_options *opt,
                             struct sg_run_group *group, const struct sg_compute_maker *maker,
                             struct sg_run_summary *out, struct sg_err *err);

/* Merges what a run directory's segments hold into results.h5, without inputs or model; also of a run that is
 * not complete (missing cells are marked so), which then gets no DONE. SG_E_BUSY while the run computes. Not
 * collective. */
enum sg_status sg_run_merge(const char *run_dir, struct sg_run_summary *out, struct sg_err *err);

#endif

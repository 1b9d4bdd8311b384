/* rundir - the folder of one run, and what its files mean.
 *
 *   lock           who computes here now (rundir/lock.h)
 *   job.json       the job as canonical text, defaults and overrides included
 *   run.json       format, fingerprint, number of cells, name of the night; in a sweep the prefill group
 *   plan.bin       the packed plan: `merge` needs neither inputs nor model
 *   segments/      finished cells (store/segment.h)
 *   progress.json  while it runs: counts, rates, ranks (run/progress.h)
 *   metrics.jsonl  the same over time, for dashboards
 *   metrics.prom   the newest of it in Prometheus' text format
 *   inflight/      which cells each rank has on its device now (run/inflight.h)
 *   shards/        of an array run: locks, marks (rundir/shard_files.h), notes of tasks (store/runtime.h)
 *   heads/         in a run that adds samples: those that its cells had before (store/heads.h); until DONE
 *   earlier.h5     in a run that adds samples to its own folder: what was results.h5 before; until DONE
 *   results.h5     the end result
 *   DONE           written last: digest, fingerprint, counts. With it the run is over. */
#ifndef SG_RUNDIR_RUNDIR_H
#define SG_RUNDIR_RUNDIR_H

#include "base/digest.h"
#include "base/status.h"
#include "job/plan.h"
#include "rundir/lock.h"
#include <stdbool.h>
#include <stdint.h>

enum { SG_NIGHT_NAME = 100, SG_GROUP_NAME = 120 }; /* bytes, NUL included */

/* run.json */
struct sg_run_id {
    struct sg_digest fingerprint;
    int64_t total;
    char night[SG_NIGHT_NAME]; /* of the start that began the run; "" in a folder of an earlier version */
    /* Of a point of a sweep: the name of the folder beside this one that holds the run of its prefill group.
     * Of that run: ".". Else "". */
    char group[SG_GROUP_NAME];
};

struct sg_run_done {
    struct sg_digest digest, fingerprint; /* digest: 0 where the run has no results of its own */
    int64_t total, failed, unparsed;      /* unparsed: not failed, and no sample had a verdict */
    int64_t prompt_tokens;                /* of the run of a prefill group: of its cells, each counted once */
    char finished_at[32];                 /* UTC, ISO 8601 */
};

/* True in *is when `dir` is a folder that a run has begun in (has run.json). */
bool sg_rundir_is(const char *dir);

/* Begins the run of `plan` in the folder (writes job.json, plan.bin, run.json), or checks that the run there
 * has the plan's fingerprint. SG_E_MISMATCH says which keys of the job differ (or that the files it names or
 * the model differ) and how to go on. id: the caller sets night and group; the call sets all of it to what
 * run.json says, whose night and group are those of the start that began the run. Call with the lock held. */
enum sg_status sg_rundir_begin(const char *dir, const struct sg_plan *plan, struct sg_run_id *id,
                               struct sg_err *err);
/* Takes RUNDIR/lock (lock.h) for a run or a merge that is no task of an array. SG_E_BUSY when another process
 * holds it, or when a living task of an array holds a shard. The caller drops *lock. */
enum sg_status sg_rundir_lock(const char *dir, struct sg_lock **lock, struct sg_err *err);
/* Removes temporary files of killed writers. Call with the lock held. alone: no task of an array lives, so
 * those in shards/ and segments/ go too. Unfinished segments are left to sg_segments_scan, an unfinished
 * results.h5 of the merge to sg_merge. Errors are ignored. */
void sg_rundir_tidy(const char *dir, bool alone);
#define SG_EARLIER_RESULTS "earlier.h5"
/* Gives results.h5 the name earlier.h5, where there is a results.h5, and removes all other files of the run: the
 * folder is ready for a run that takes its cells from earlier.h5. After a kill at any point the same call goes on.
 * Call with the lock held. */
enum sg_status sg_rundir_set_aside(const char *dir, struct sg_err *err);
/* Removes heads/ and earlier.h5, which nobody needs once the run is done. Errors are ignored. */
void sg_rundir_drop_earlier(const char *dir);
/* Removes the run's own files (--fresh), nothing else. Call with the lock held. */
enum sg_status sg_rundir_clear(const char *dir, struct sg_err *err);

enum sg_status sg_rundir_read_done(const char *dir, bool *exists, struct sg_run_done *out,
                                   struct sg_err *err);
enum sg_status sg_rundir_write_done(const char *dir, const struct sg_run_done *done, struct sg_err *err);

/* Removes DONE, so that the run goes on. */
enum sg_status sg_rundir_reopen(const char *dir, struct sg_err *err);

/* Reads run.json alone. SG_E_INPUT: there is none; SG_E_UNSUPPORTED: another format. */
enum sg_status sg_rundir_read_run(const char *dir, struct sg_run_id *out, struct sg_err *err);
/* Reads plan.bin and checks it against run.json. */
enum sg_status sg_rundir_read_plan(const char *dir, struct sg_plan *out, struct sg_err *err);

#endif

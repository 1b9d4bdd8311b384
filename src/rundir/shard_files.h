/* shard_files - the files of an array run: which task computes which shard of the grid, which shards are
 * done.
 *
 *   RUNDIR/shards             made once the run has begun: run.json exists, earlier results are taken over
 *   RUNDIR/shards/NNN.lock    held (lock.h) by the task that computes shard NNN
 *   RUNDIR/shards/NNN.begun   a task has had the shard: some of its cells may be in segments
 *   RUNDIR/shards/NNN.done    every cell of the shard is in closed segments
 *   RUNDIR/shards/TASK.json   the task's note: its device and counts (store/runtime.h)
 *
 * A task marks its shard done before it drops the lock, and checks the mark after it has taken a lock. So a
 * shard that is done is not computed again, even if the task chose it from an old listing. */
#ifndef SG_RUNDIR_SHARD_FILES_H
#define SG_RUNDIR_SHARD_FILES_H

#include "rundir/lock.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_shard_state {
    bool done;
    bool held; /* by a task that lives, as far as sg_lock_look knows */
    bool left; /* there is a lock, or what its takers write beside it (lock.h) */
};
/* The state of the shards 0 <= k < n; *tasks: the number of living processes that hold a shard (of any
 * number); *first: one of them (may be NULL). Other names are ignored; a missing folder counts as empty. */
enum sg_status sg_shard_files_list(const char *run_dir, struct sg_shard_state *files, int64_t n,
                                   int32_t *tasks, struct sg_lock_holder *first, struct sg_err *err);

/* For a run that has taken RUNDIR/lock: SG_E_BUSY, naming a task, when a living task of an array holds a
 * shard. */
enum sg_status sg_shard_files_refuse(const char *run_dir, struct sg_err *err);

struct sg_shard_taken {
    struct sg_lock *lock; /* NULL: another task has it, or it is done */
    bool done, begun;
};
/* Tries to take shard k. SG_E_BUSY when a run that is no task of an array holds RUNDIR/lock. */
enum sg_status sg_shard_files_take(const char *run_dir, int64_t k, struct sg_shard_taken *out,
                                   struct sg_err *err);
/* Marks shard k, whose lock is `lock`, done. SG_E_BUSY when the lock was lost. */
enum sg_status sg_shard_files_mark_done(const char *run_dir, int64_t k, struct sg_lock *lock,
                                        struct sg_err *err);
/* Removes the mark: cells of the shard are missing. */
enum sg_status sg_shard_files_unmark(const char *run_dir, int64_t k, struct sg_err *err);
/* Removes what dead tasks left of the locks of the shards 0 <= k < n that are done: a lock when one died between the mark
 * and the drop, a file beside it when one died taking it. No task takes a shard that is done. Lists into files[n] first.
 * Failures are ignored: the next task tries again. */
void sg_shard_files_tidy(const char *run_dir, struct sg_shard_state *files, int64_t n);

#endif

/* shard_files - the files of an array run: who computes which shard of the grid, and which shards are done.
 *
 *   RUNDIR/shards             there once the run has begun: run.json is there, earlier results are taken over
 *   RUNDIR/shards/NNN.lock    held (lock.h) by the task that computes shard NNN
 *   RUNDIR/shards/NNN.begun   a task has had the shard: some of its cells may be in segments
 *   RUNDIR/shards/NNN.done    every cell of the shard is in closed segments
 *   RUNDIR/shards/TASK.json   what a task tells of itself (store/runtime.h)
 *
 * A shard is marked done before its lock is dropped, and a task that takes a lock asks for the mark after it:
 * so a shard that is done is not computed again, however old a listing is. */
#ifndef SG_RUNDIR_SHARD_FILES_H
#define SG_RUNDIR_SHARD_FILES_H

#include "rundir/lock.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_shard_state {
    bool done;
    bool held; /* by a task that lives, as far as sg_lock_look knows */
};
/* The state of the shards 0 <= k < n; *tasks: living processes that hold one, and *first one of them (NULL:
 * not asked for). Other names are ignored; a folder that is not there holds nothing. */
enum sg_status sg_shard_files_list(const char *run_dir, struct sg_shard_state *files, int64_t n,
                                   int32_t *tasks, struct sg_lock_holder *first, struct sg_err *err);

/* For a run that has taken RUNDIR/lock: SG_E_BUSY names a living task of an array. */
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
/* Takes the mark back: cells of the shard are missing after all. */
enum sg_status sg_shard_files_unmark(const char *run_dir, int64_t k, struct sg_err *err);

#endif

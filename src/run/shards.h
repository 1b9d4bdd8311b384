/* shards - a run by independent processes that share the run directory and nothing else: `scope-grid run JOB
 * --array`, for sites where MPI does not span nodes, and for job arrays. Every task plans for itself, takes
 * shards of the ordered grid under locks (rundir/shard_files.h), and writes segments of its own; the task
 * that finds all shards done merges under RUNDIR/lock. Tasks may come and go at any time. A task that died
 * leaves stale locks: others take its shards, keep what it had in closed segments and compute the rest.
 *
 * The cut follows from the number of cells alone, so that all tasks cut alike: positions in heavy-first order
 * (dispatch.h), each shard 1/64 of what is left, but not below 1/512 of the grid. That makes 64 shards of the
 * smallest size behind some 133 larger ones; up to 274 under 1,000 cells, where sizes are rounded to whole
 * ones. With T tasks the last shards keep them waiting for each other for about half of T/512 of the run;
 * the first are no more than an equal share of 64 tasks.
 *
 * A cell that was in flight when its task crashed is treated as in a run with MPI (inflight.h): the task that
 * takes the shard over reads the notes. */
#ifndef SG_RUN_SHARDS_H
#define SG_RUN_SHARDS_H

#include "job/plan.h"
#include "run/comm.h"
#include "run/dispatch.h"
#include "run/workqueue.h"
#include "rundir/lock.h"
#include "rundir/rundir.h"

/* First positions of the shards, n_cells behind the last: first[*n + 1], owned by the caller. */
enum sg_status sg_shards_cut(int64_t n_cells, int64_t **first, int64_t *n, struct sg_err *err);

struct sg_shards; /* owned by the caller of open */

struct sg_shards_options {
    const struct sg_plan *plan;   /* borrowed, as all here */
    const struct sg_order *order; /* not shuffled */
    const struct sg_comm *comm;   /* a signal to this process ends every wait: SG_E_STOPPED */
    struct sg_run_id *id;         /* as of sg_rundir_begin */
    bool quiet;                   /* nothing on stderr */
    /* Called by the task that begins the run, under RUNDIR/lock, once run.json is there. */
    enum sg_status (*begin)(void *ctx, struct sg_err *err);
    /* Called before shards are marked done: what this task tells of itself is on disk before the run can be
     * complete. name: of the task, a file name. */
    void (*note)(void *ctx, const char *name);
    void *ctx;
};

/* Becomes a task of the array on plan->job.output.dir: begins the run, or waits for the task that does, and
 * reads what is finished. SG_E_BUSY when a run that is no array's holds the directory. *finished: the run is
 * DONE and there is nothing to do. */
enum sg_status sg_shards_open(const struct sg_shards_options *opt, struct sg_shards **out, bool *finished,
                              struct sg_err *err);
/* Cells in closed segments when this task came. */
int64_t sg_shards_found(const struct sg_shards *a);
/* The queue to compute with, whose on_cell is sg_shards_cell_done with a: so shards are known to be
 * complete. */
void sg_shards_set_queue(struct sg_shards *a, struct sg_workqueue *queue);
void sg_shards_cell_done(void *a, int64_t cell_index);
/* Takes first shards, so that others see this task at work while it loads its model. */
enum sg_status sg_shards_take_first(struct sg_shards *a, struct sg_err *err);
/* Until every cell of the grid is in a closed segment, whoever computed it. SG_E_STOPPED after a signal;
 * finished cells are safe in any case. */
enum sg_status sg_shards_loop(struct sg_shards *a, struct sg_err *err);
/* Waits for RUNDIR/lock, to merge under it (*lock is the caller's to drop), or for another task's DONE:
 * *lock is NULL then. */
enum sg_status sg_shards_lock(struct sg_shards *a, struct sg_lock **lock, struct sg_err *err);
/* Frees a and lets go of its shards. NULL accepted. */
void sg_shards_close(struct sg_shards *a);

#endif

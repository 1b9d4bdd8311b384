/* shards - a run by independent processes, its tasks, that share the run directory only: `scope-grid run JOB
 * --array`, for sites where MPI does not span nodes, and for job arrays. Every task makes the plan, takes
 * shards of the ordered grid under locks (rundir/shard_files.h), and writes segments of its own; the task
 * that finds all shards done merges under RUNDIR/lock. Tasks may start and end at any time. When a task died
 * its locks become stale: others take its shards, keep its closed segments and compute the rest.
 *
 * The number of cells alone determines the shards, so that all tasks have the same ones: ranges of positions
 * in heavy-first order (dispatch.h), each 1/64 of the cells that are left, but at least 1/512 of the grid.
 * That makes some 133 shards and then 64 of the smallest size; up to 274 for about 1,000 cells, where sizes
 * are rounded to whole cells. At the end T tasks wait for the last shards for about half of T/512 of the run.
 * The first shard is at most an equal share of 64 tasks.
 *
 * A cell that was in flight when its task crashed is treated as in a run with MPI (inflight.h): the task that
 * takes the shard next reads the notes. */
#ifndef SG_RUN_SHARDS_H
#define SG_RUN_SHARDS_H

#include "job/plan.h"
#include "run/comm.h"
#include "run/dispatch.h"
#include "run/workqueue.h"
#include "rundir/lock.h"
#include "rundir/rundir.h"

/* Writes first[*n + 1], owned by the caller: shard k is the positions first[k] to first[k + 1] - 1. */
enum sg_status sg_shards_cut(int64_t n_cells, int64_t **first, int64_t *n, struct sg_err *err);

struct sg_shards; /* owned by the caller of open */

struct sg_shards_options {
    const struct sg_plan *plan;   /* borrowed, as all here */
    const struct sg_order *order; /* not shuffled */
    const struct sg_comm *comm;   /* a signal to this process ends every wait: SG_E_STOPPED */
    struct sg_run_id *id;         /* as of sg_rundir_begin */
    bool quiet;                   /* nothing on stderr */
    /* Called in the task that begins the run, under RUNDIR/lock, after it has written run.json. */
    enum sg_status (*begin)(void *ctx, struct sg_err *err);
    /* Called before the task marks shards done; writes its runtime note, which is so on disk before the run
     * can be complete. name: the task's, fit for a file name. */
    void (*note)(void *ctx, const char *name);
    void *ctx;
};

/* Makes this process a task of the array on plan->job.output.dir: begins the run, or waits for the task that
 * does, and reads which cells are finished. SG_E_BUSY when a run without --array holds the directory.
 * *finished: the run is DONE. */
enum sg_status sg_shards_open(const struct sg_shards_options *opt, struct sg_shards **out, bool *finished,
                              struct sg_err *err);
/* Cells in closed segments when this task started. */
int64_t sg_shards_found(const struct sg_shards *a);
/* Sets the queue to compute with. Its on_cell is sg_shards_cell_done with a, which counts finished cells. */
void sg_shards_set_queue(struct sg_shards *a, struct sg_workqueue *queue);
void sg_shards_cell_done(void *a, int64_t cell_index);
/* Takes shards for the first time, so that other tasks count this one while it loads its model. */
enum sg_status sg_shards_take_first(struct sg_shards *a, struct sg_err *err);
/* Computes until every cell of the grid is in a closed segment. SG_E_STOPPED after a signal; this task's
 * finished cells are then safe. */
enum sg_status sg_shards_loop(struct sg_shards *a, struct sg_err *err);
/* Waits until this task has RUNDIR/lock and may merge (the caller drops *lock), or until another task has
 * written DONE (*lock is NULL). */
enum sg_status sg_shards_lock(struct sg_shards *a, struct sg_lock **lock, struct sg_err *err);
/* Frees a and drops the locks of its shards. NULL accepted. */
void sg_shards_close(struct sg_shards *a);

#endif

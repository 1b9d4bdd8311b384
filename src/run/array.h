/* array - a run by independent processes that share the run directory and nothing else: `scope-grid run JOB
 * --array`, for sites where MPI does not span nodes, and for job arrays. Every member plans for itself,
 * leases pieces of the grid through files (rundir/members.h), writes segments of its own, and the one that
 * finds all pieces done merges under the directory's lock. Members may come and go at any time; what a dead
 * one had in hand is computed by the others, what it had in closed segments is kept.
 *
 * Pieces are runs of positions (dispatch.h: heavy first) whose sizes follow from the number of cells alone,
 * so that all members cut alike: each is a 1/128 of what is left, down to one cell, some 128 ln(n / 128) in
 * all.
 *
 * A cell that was in hand when its member crashed is counted by whoever takes that member's pieces over, and
 * treated as in a run with MPI (inflight.h): alone on the device the next time, quarantined at the second
 * crash. */
#ifndef SG_RUN_ARRAY_H
#define SG_RUN_ARRAY_H

#include "run/comm.h"
#include "run/compute.h"
#include "run/dispatch.h"
#include "run/workqueue.h"
#include "job/plan.h"
#include "rundir/rundir.h"

/* First positions of the pieces, n_cells behind the last: first[*n + 1], owned by the caller. */
enum sg_status sg_array_pieces(int64_t n_cells, int64_t **first, int64_t *n, struct sg_err *err);

struct sg_array; /* owned by the caller of join */

/* Becomes a member of the array on plan->job.output.dir: begins the run there or checks that it is this one,
 * reads what is finished. SG_E_BUSY when a run that is no member holds it; SG_E_STOPPED after a signal to
 * this process, c's, while it waits for other members. plan, order and c are borrowed.
 * id: as sg_rundir_begin takes it; borrowed. quiet: nothing on stderr. *finished: the run is DONE and there is nothing to do. */
enum sg_status sg_array_join(const struct sg_plan *plan, const struct sg_order *order,
                             const struct sg_comm *c, struct sg_run_id *id, bool quiet, struct sg_array **out,
                             bool *finished, struct sg_err *err);
/* Name of this member, for its journal. */
const char *sg_array_member(const struct sg_array *a);
/* What the directory held when this member joined. */
int64_t sg_array_found(const struct sg_array *a);
/* The queue to compute with, whose on_cell is sg_array_cell_done with a: so the array keeps count. */
void sg_array_set_queue(struct sg_array *a, struct sg_workqueue *queue);
void sg_array_cell_done(void *a, int64_t cell_index);
/* note(ctx) is called before pieces are marked done: what this member tells of itself is then on disk before
 * the run can be complete. */
void sg_array_on_done(struct sg_array *a, void (*note)(void *ctx), void *ctx);
/* Until every cell of the grid is in a closed segment, whoever computed it. SG_E_STOPPED after a signal;
 * finished cells are safe in any case. */
enum sg_status sg_array_loop(struct sg_array *a, struct sg_err *err);
/* Calls merge(ctx) in one member, with the lock held; the others wait for its DONE. SG_OK: DONE is there. */
enum sg_status sg_array_merge(struct sg_array *a, enum sg_status (*merge)(void *ctx, struct sg_err *err),
                              void *ctx, struct sg_err *err);
/* Frees a and gives back what it holds. NULL accepted. */
void sg_array_leave(struct sg_array *a);

#endif

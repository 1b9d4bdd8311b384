/* coordinator - the loop of the root: it leases the plan's open cells to the ranks, reads their reports,
 * computes cells itself, and ends the run for all ranks. */
#ifndef SG_RUN_COORDINATOR_H
#define SG_RUN_COORDINATOR_H

#include "run/comm.h"
#include "run/dispatch.h"
#include "run/workqueue.h"
#include "run/progress.h"

struct sg_coordinator {
    struct sg_comm *comm;
    struct sg_workqueue *queue;   /* NULL: this rank only leases (--root-only) */
    struct sg_dispatch *dispatch; /* its ranks are the computing ranks in order */
    struct sg_progress *progress; /* ranks[size]; the coordinator updates their counts */
    /* Called every 10 s or after a longer step; checks the directory's lock. An error ends the run. */
    enum sg_status (*beat)(void *ctx, struct sg_err *err);
    void *beat_ctx;
};

/* Runs until all cells are done, a rank failed, or a rank was asked to stop (SG_E_STOPPED). Then every other
 * rank has sent BYE, and all ranks have closed their segments. The error of another rank names it. */
enum sg_status sg_coordinator_loop(struct sg_coordinator *r, struct sg_err *err);

#endif

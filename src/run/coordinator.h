/* coordinator - the rank that holds the plan's open cells: leases them, hears reports, computes too, and ends the
 * run for all. */
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
    struct sg_progress *progress; /* ranks[size], counts kept up to date here */
    /* Called every 10 s or after a longer step; an error ends the run. The heartbeat of the directory's lock.
     */
    enum sg_status (*beat)(void *ctx, struct sg_err *err);
    void *beat_ctx;
};

/* Until all cells are done, somebody failed or was asked to stop; every other rank has then said farewell and
 * all finished cells are in closed segments. SG_E_STOPPED after a signal; a rank's failure with its name. */
enum sg_status sg_coordinator_loop(struct sg_coordinator *r, struct sg_err *err);

#endif

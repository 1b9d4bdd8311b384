/* worker - the loop of a rank that is not the root: takes leases, computes, reports, and ends with BYE. */
#ifndef SG_RUN_WORKER_H
#define SG_RUN_WORKER_H

#include "run/comm.h"
#include "run/workqueue.h"

/* Computes until the coordinator sends END. Every rank but the root calls it while the root is in
 * sg_coordinator_loop. The worker closes its segments and puts its own failure or stop into BYE, so that it
 * passes SG_OK to the sg_comm_agree that follows; the coordinator then ends the run for all. */
void sg_worker_loop(struct sg_comm *c, struct sg_workqueue *h);

#endif

/* worker - a rank that is not the root: takes leases, computes, reports, and never leaves without a farewell.
 */
#ifndef SG_RUN_WORKER_H
#define SG_RUN_WORKER_H

#include "run/comm.h"
#include "run/workqueue.h"

/* Until the root says END. Every computing rank but the root calls it while the root is in sg_coordinator_loop. Own
 * failures and signals are told to the root, which ends the run for all; finished cells are made safe in
 * either case, and so the rank has nothing of its own to say in the sg_comm_agree that follows. */
void sg_worker_loop(struct sg_comm *c, struct sg_workqueue *h);

#endif

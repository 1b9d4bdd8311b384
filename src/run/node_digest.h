/* node_digest - the digest of the estimator's files, which must be the same on all ranks. One rank of each
 * node reads and hashes them for all ranks of the node that see the same files. */
#ifndef SG_RUN_NODE_DIGEST_H
#define SG_RUN_NODE_DIGEST_H

#include "base/digest.h"
#include "job/job.h"
#include "run/comm.h"

/* Collective. A rank uses the digest of its node's first rank when both see the same files at
 * job->model_path (device, inode, size and times of each); else it hashes the files that it sees.
 * SG_E_INPUT: no such checkpoint, or it changed meanwhile. SG_E_STOPPED: asked to stop meanwhile. */
enum sg_status sg_node_digest(struct sg_comm *c, const struct sg_job *job, struct sg_digest *out,
                              struct sg_err *err);

#endif

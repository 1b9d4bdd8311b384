/* stage - how the estimator's files reach the ranks (engine.weights), and their digest, which all must agree
 * on.
 *
 * mmap       every rank reads them where they lie. One rank of each node, its leader, computes the digest;
 * the others take it over when they see the same files (device, inode, size, times of each), else they
 *            compute it themselves.
 * stage      the leader of each node copies them to a folder on the node and hashes them in the same pass.
 * broadcast  the root alone reads them and sends them in pieces to the leaders, which hash and write them.
 * With one node this is stage.
 *
 * The copy lies in engine.stage_dir (default: $SLURM_TMPDIR, $TMPDIR, else /tmp for stage and /dev/shm for
 * broadcast) in scope-grid-UID-KEY, KEY being a hash of the path of model.path and of the names, sizes and
 * times of its files. Several runs and array tasks share it (stage_folder.h); a copy that is found is hashed
 * again by every run that uses it, and made anew when it does not have the digest it had when it was made.
 * The last run that uses a copy removes it, unless engine.stage_keep.
 *
 * Two runs that broadcast over the same nodes cannot wait for each other: nobody waits while it has a folder
 * to fill; who finds one busy tries again after those of its own run that had none to wait for. */
#ifndef SG_RUN_STAGE_H
#define SG_RUN_STAGE_H

#include "base/digest.h"
#include "run/comm.h"
#include "job/job.h"

struct sg_staging; /* owned by the caller of open */

/* Collective. SG_E_INPUT: no such checkpoint, or it changed meanwhile. SG_E_IO: no room (says how much is
 * missing, where, and which key mends it). SG_E_STOPPED: told to stop meanwhile; nothing is left half. */
enum sg_status sg_staging_open(struct sg_comm *c, const struct sg_job *job, bool quiet,
                               struct sg_staging **out, struct sg_err *err);
/* Where this rank finds the files; as long as the stage is open. */
const char *sg_staging_dir(const struct sg_staging *s);
const struct sg_digest *sg_staging_digest(const struct sg_staging *s);
/* Not collective: what this process has opened or mapped stays usable. NULL accepted. */
void sg_staging_close(struct sg_staging *s);

#endif

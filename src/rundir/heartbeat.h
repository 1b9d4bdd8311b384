/* heartbeat - the heartbeat of a lock or member file, from a thread of its own: whatever takes its holder long (a
 * merge of a billion cells, eight gigabytes of weights from a slow file system, one step of a slow device),
 * the file is touched in time, and no caller can forget it. A process that is stopped, swapped out or gone
 * does not beat; one that hangs does, and rightly: it lives and may go on to write. Inside src/store alone.
 */
#ifndef SG_RUNDIR_HEARTBEAT_H
#define SG_RUNDIR_HEARTBEAT_H

#include "base/digest.h"
#include "base/status.h"
#include <stdint.h>

struct sg__heartbeat; /* owned by the caller of start */

/* Touches `path` every beat_ms while it names the holder `token` (lock_file.h). The thread takes no signals
 * and no memory. */
enum sg_status sg__heartbeat_start(const char *path, const char token[SG_DIGEST_HEX], int64_t beat_ms,
                                   struct sg__heartbeat **out, struct sg_err *err);
/* Ends the thread, waiting for a touch under way, and frees. NULL accepted. In a child of fork, which has no
 * such thread, it only frees. */
void sg__heartbeat_stop(struct sg__heartbeat *p);

#endif

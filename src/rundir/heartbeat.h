/* heartbeat - a thread that calls a function at a fixed interval. lock.c touches a lock's file from it, so
 * the file is touched in time even while its owner merges a billion cells or loads weights from a slow file
 * system. A process that is stopped, swapped out or gone does not beat. A process that hangs does beat: it
 * may still write. Inside src/rundir alone. */
#ifndef SG_RUNDIR_HEARTBEAT_H
#define SG_RUNDIR_HEARTBEAT_H

#include "base/status.h"
#include <stdint.h>

struct sg__heartbeat; /* owned by the caller of start */

/* Calls beat(ctx) every beat_ms, from a thread that takes no signals. */
enum sg_status sg__heartbeat_start(void (*beat)(const void *ctx), const void *ctx, int64_t beat_ms,
                                   struct sg__heartbeat **out, struct sg_err *err);
/* Ends the thread, waiting for a call under way, and frees. NULL accepted. In a child of fork, where the
 * thread does not exist, it only frees. */
void sg__heartbeat_stop(struct sg__heartbeat *h);

#endif

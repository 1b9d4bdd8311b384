/* lock - one run at a time on a run directory.
 *
 * RUNDIR/lock is a small text file that says who holds it: host, machine id, boot id, pid namespace, pid, the
 * process's start time, a random token. It appears whole or not at all (written aside, then linked). Who
 * finds one judges the holder: same boot and pid namespace   the process table decides: no such pid, or
 * another start time, is stale same machine, another boot    stale: nothing outlives a reboot another machine
 * or container  only the heartbeat can tell: stale when the file has not been touched for
 *                                 SG_LOCK_STALE_SECONDS, by the clock of the file system
 * so neither a crash nor a reboot nor a killed container locks a directory for good, and a holder that lives
 * is never robbed as long as it beats. */
#ifndef SG_STORE_LOCK_H
#define SG_STORE_LOCK_H

#include "base/status.h"
#include <stdbool.h>

/* A holder beats at least once a minute; five missed beats on another machine count as its end. */
enum { SG_LOCK_BEAT_SECONDS = 60, SG_LOCK_STALE_SECONDS = 300 };

struct sg_lock; /* owned by the caller of take */

/* SG_E_BUSY names the holder and what to do; SG_E_IO when run_dir cannot be written. Makes run_dir. */
enum sg_status sg_lock_take(const char *run_dir, struct sg_lock **out, struct sg_err *err);
/* Says that the holder lives. Cheap; call it from the progress loop at least every SG_LOCK_BEAT_SECONDS.
 * SG_E_BUSY when the lock was lost (somebody removed the file or took it over): stop writing. */
enum sg_status sg_lock_beat(struct sg_lock *lock, struct sg_err *err);
/* Removes the lock if it is still ours, and frees. NULL accepted. In a child of fork it only frees: the lock
 * is the parent's. */
void sg_lock_drop(struct sg_lock *lock);

/* Only looks: does a living process hold the directory? One that cannot be asked (another machine) counts as
 * living while it beats, by this machine's clock. */
bool sg_lock_held(const char *run_dir);

#endif

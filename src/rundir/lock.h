/* lock - one run at a time on a run directory.
 *
 * RUNDIR/lock is a small text file that says who holds it: host, machine id, boot id, pid namespace, pid, the
 * process's start time, a random token. It appears whole or not at all (written aside, then linked). Who
 * finds one judges the holder by what the file says:
 *
 *   same boot and pid namespace    the process table decides: no such pid, or another start time, is stale
 *   same machine, another boot     stale: nothing outlives a reboot
 *   another machine or container   only the heartbeat can tell: stale when the file has not been touched for
 *                                  SG_LOCK_STALE_SECONDS, by the clock of the file system
 *
 * so neither a crash nor a reboot nor a killed container locks a directory for good, and a holder that lives
 * is never robbed: a thread of its own touches the file as long as the process runs (pulse.h).
 *
 * No flock, no fcntl locks: they are absent or per host on many shared file systems. Everything rests on link
 * (or O_EXCL where there are no hard links) and rename. A stale lock is not removed and made again, which two
 * could do one after the other: whoever takes it over first links lock.KEY.next, KEY being the hash of the
 * stale file, then sees that the lock still is that file, then renames its own over it. Only one can have
 * lock.KEY.next, and who gets it after the rename finds another lock than the one it judged and lets go. A
 * taker that dies in between leaves a lock.KEY.next that is judged, and taken over, in the same way.
 * What no protocol on files can exclude: a holder on another machine that was silent for
 * SG_LOCK_STALE_SECONDS (suspended, cut off from the file server) and wakes up. It finds its lock taken at
 * its next beat and stops. */
#ifndef SG_RUNDIR_LOCK_H
#define SG_RUNDIR_LOCK_H

#include "base/status.h"
#include <stdbool.h>

/* A holder beats twice a minute; ten missed beats on another machine count as its end. */
enum { SG_LOCK_BEAT_SECONDS = 30, SG_LOCK_STALE_SECONDS = 300 };

struct sg_lock; /* owned by the caller of take */

/* SG_E_BUSY names the holder and what to do; SG_E_IO when run_dir cannot be written or is not there: it is
 * the caller's to make, with the rights it is meant to have. From here to the drop a thread beats for the
 * lock. */
enum sg_status sg_lock_take(const char *run_dir, struct sg_lock **out, struct sg_err *err);
/* Beats now, and tells whether the lock is still ours: SG_E_BUSY when it was lost (somebody removed the file
 * or took it over): stop writing. Cheap; ask now and then, and before what others will believe. */
enum sg_status sg_lock_beat(struct sg_lock *lock, struct sg_err *err);
/* Removes the lock if it is still ours, and frees. NULL accepted. In a child of fork it only frees: the lock
 * is the parent's. */
void sg_lock_drop(struct sg_lock *lock);

/* Only looks: does a living process hold the directory? One that cannot be asked (another machine) counts as
 * living while it beats, by this machine's clock. */
bool sg_lock_held(const char *run_dir);

#endif

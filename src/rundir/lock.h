/* lock - a file that one living process holds: RUNDIR/lock by the run that computes, merges or begins there,
 * RUNDIR/shards/NNN.lock by the task of an array that computes that shard (rundir/shard_files.h).
 *
 * It is a small text file that says who holds it: role, host, machine id, boot id, pid namespace, pid, the
 * process's start time, a random token. It appears whole or not at all (written aside, then linked). A
 * process that finds one judges the holder by what the file says:
 *
 *   same boot and pid namespace    the process table decides: no such pid, or another start time, is stale
 *   same machine, another boot     stale: nothing outlives a reboot
 *   another machine or container   only the heartbeat can tell: stale when the file has not been touched for
 *                                  SG_LOCK_STALE_SECONDS, by the clock of the file system
 *
 * so neither a crash nor a reboot nor a killed container locks a directory for good, and a holder that lives
 * keeps its lock: a thread of its own touches the file as long as the process runs (heartbeat.h).
 *
 * No flock, no fcntl locks: they are absent or per host on many shared file systems. Everything rests on link
 * (or O_EXCL where there are no hard links) and rename. A stale lock is not removed and made again, which two
 * could do one after the other: whoever takes it over first links LOCK.KEY.next, KEY being the hash of the
 * stale file, then sees that the lock still is that file, then renames its own over it. Only one can have
 * LOCK.KEY.next, and who gets it after the rename finds another lock than the one it judged and lets go. A
 * taker that dies in between leaves a LOCK.KEY.next that is judged, and taken over, in the same way.
 * What no protocol on files can exclude: a holder on another machine that was silent for
 * SG_LOCK_STALE_SECONDS (suspended, cut off from the file server) and wakes up. It finds its lock taken at
 * its next beat and stops. */
#ifndef SG_RUNDIR_LOCK_H
#define SG_RUNDIR_LOCK_H

#include "base/process_id.h"
#include "base/status.h"

enum sg_lock_role {
    SG_LOCK_RUN,   /* a run with or without MPI, or a merge */
    SG_LOCK_ARRAY, /* a task of an array that begins the run or merges it */
    SG_LOCK_SHARD
};
struct sg_lock_holder {
    enum sg_lock_role role;
    struct sg_process_id owner;
    char token[SG_PROCESS_TEXT], since[SG_PROCESS_TEXT];
};

/* A holder beats twice a minute; ten missed beats on another machine count as its end. */
enum { SG_LOCK_BEAT_SECONDS = 30, SG_LOCK_STALE_SECONDS = 300 };

struct sg_lock; /* owned by the caller of take */

/* SG_E_BUSY names the holder and what to do; SG_E_IO when the folder of `path` cannot be written or is not
 * there: it is the caller's to make, with the rights it is meant to have. From here to the drop a thread
 * beats for the lock. */
enum sg_status sg_lock_take(const char *path, enum sg_lock_role role, struct sg_lock **out,
                            struct sg_err *err);
/* Beats now, and tells whether the lock is still ours: SG_E_BUSY when it was lost (somebody removed the file
 * or took it over): stop writing. Cheap; ask now and then, and before what others will believe. */
enum sg_status sg_lock_beat(struct sg_lock *lock, struct sg_err *err);
/* Removes the lock if it is still ours, and frees. NULL accepted. In a child of fork it only frees: the lock
 * is the parent's. */
void sg_lock_drop(struct sg_lock *lock);

/* Only looks: SG_OK when no living process is known to hold it, else SG_E_BUSY as sg_lock_take says it, with
 * *h. A holder that cannot be asked (another machine) counts as living while it beats, by this machine's
 * clock. A file that is not whole (yet) says nothing. */
enum sg_status sg_lock_look(const char *path, struct sg_lock_holder *h, struct sg_err *err);

#endif

/* lock - a file that one living process holds: RUNDIR/lock by the run that computes, merges or begins there,
 * RUNDIR/shards/NNN.lock by the task of an array that computes that shard (rundir/shard_files.h).
 *
 * It is a small text file that names its holder: role, host, machine id, boot id, pid namespace, pid, the
 * process's start time, a random token. It appears whole or not at all: the taker writes it under another
 * name, then links it. A process that finds a lock decides from the file's content whether it is stale:
 *
 *   same boot and pid namespace    the process table decides: no such pid, or another start time, is stale
 *   same machine, another boot     stale: no process outlives a reboot
 *   another machine or container   only the heartbeat can tell: stale when the file has not been touched for
 *                                  SG_LOCK_STALE_SECONDS, by the clock of the file system, and is not while
 *                                  the taker watches it for SG_LOCK_WATCH_SECONDS (that clock may have jumped
 *                                  ahead; not for a shard, see shard_files.c); who finds it with a time in
 *                                  the future beyond that sets it to now, from where it ages
 *
 * So neither a crash nor a reboot nor a killed container locks a directory for good. A living holder keeps
 * its lock: its heartbeat thread touches the file as long as the process runs (heartbeat.h).
 *
 * flock and fcntl locks are absent or per host on many shared file systems, so the protocol uses only link
 * (or O_EXCL where there are no hard links) and rename. Removing a stale lock and making a new one is unsafe:
 * two processes could do it one after the other. Instead a taker links LOCK.KEY.next, KEY being the hash of
 * the stale file, then checks that the lock still is that file, then renames LOCK.KEY.next over it. Only one
 * process can have LOCK.KEY.next; one that gets it after the rename finds a lock with another hash and
 * removes LOCK.KEY.next. If a taker dies in between, the next taker judges and replaces its LOCK.KEY.next in
 * the same way. One case remains: a holder on another machine that was silent for SG_LOCK_STALE_SECONDS
 * (suspended, cut off from the file server) and then resumes. At its next beat it finds its lock taken and
 * stops. */
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

/* A holder on another machine counts as dead after ten missed beats, and one more that is watched for. */
enum { SG_LOCK_BEAT_SECONDS = 30, SG_LOCK_STALE_SECONDS = 300, SG_LOCK_WATCH_SECONDS = 36 };

struct sg_lock; /* owned by the caller of take */

/* SG_E_BUSY names the holder and what to do; SG_E_IO when the lock cannot be read, or the folder of `path` cannot be
 * written or does not exist (the caller makes it). Takes SG_LOCK_WATCH_SECONDS when a holder on another machine seems to be dead;
 * SG_E_STOPPED when a signal ends that. A thread beats for the lock until sg_lock_drop. */
enum sg_status sg_lock_take(const char *path, enum sg_lock_role role, struct sg_lock **out,
                            struct sg_err *err);
/* Beats now, and tells whether the lock is still ours. SG_E_BUSY: it was lost (the file was removed or
 * another process took it over), so the caller must stop writing. Cheap: call it now and then, and before
 * writing a file that says that work is finished. */
enum sg_status sg_lock_beat(struct sg_lock *lock, struct sg_err *err);
/* Removes the lock if it is still ours, and frees. NULL accepted. In a child of fork it only frees: the lock
 * is the parent's. */
void sg_lock_drop(struct sg_lock *lock);

/* Takes nothing: SG_OK when no living process is known to hold the lock, else SG_E_BUSY with the text of
 * sg_lock_take, and *h. A holder on another machine counts as living while it beats, by the time of `fresh`, a file
 * beside the lock that the caller has just written (the file server's clock); NULL: by this machine's clock, which may
 * differ. A file that is not a whole lock file counts as no lock. */
enum sg_status sg_lock_look(const char *path, const char *fresh, struct sg_lock_holder *h,
                            struct sg_err *err);

#endif

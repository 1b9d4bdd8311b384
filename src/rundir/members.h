/* members - independent processes that share one run directory without messages: who they are, whether they
 * live, and which of them holds which piece of work. Everything is a small file that appears whole and by one
 * atomic step (rename, link, O_EXCL); no flock, nothing is rewritten in place, so it works on NFS too.
 *
 *   RUNDIR/array/members/TOKEN      a member: the same owner lines as in lock.h, and the same heartbeat by a
 *                                   thread; there while it lives, removed when it leaves or is found dead
 *   RUNDIR/array/leases/PIECE.N     piece PIECE is held by the member that this file names, at the Nth
 *                                   attempt: a hard link to its own file, so that one touch beats for all
 *   RUNDIR/array/leases/PIECE.done  every cell of the piece is in closed segments
 *
 * A lease is never taken away: the highest N holds, and when its member is dead or has left, whoever first
 * links N + 1 has the piece. So two that judge one holder at the same moment cannot both win, and nobody can
 * remove a lease that is newer than the one it judged. Judging is lock.h's: the process table on the same
 * boot and pid namespace, SG_LOCK_STALE_SECONDS of silence by the file server's clock elsewhere. */
#ifndef SG_RUNDIR_MEMBERS_H
#define SG_RUNDIR_MEMBERS_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_member; /* owned by the caller of join */

/* Becomes a member of run_dir, which is there. SG_E_BUSY, naming the holder, when a run that is no member holds the directory's lock:
 * call sg_member_check after it when the lock may have been taken meanwhile. */
enum sg_status sg_member_join(const char *run_dir, struct sg_member **out, struct sg_err *err);
/* Removes this member's file: its pieces are free for others. NULL accepted. */
void sg_member_leave(struct sg_member *m);

/* Beats now, and tells whether this member counts: SG_E_BUSY when others have found it dead: stop writing. */
enum sg_status sg_member_beat(struct sg_member *m, struct sg_err *err);
/* The name of this member's file, and whether the member of such a name lives. A dead one's file is removed.
 */
const char *sg_member_token(const struct sg_member *m);
bool sg_member_lives(const struct sg_member *m, const char *token);
/* SG_E_BUSY when somebody who lives and is no member holds the directory's lock. */
enum sg_status sg_member_check(struct sg_member *m, struct sg_err *err);
/* Members that live, this one included; the files of the dead are removed. */
enum sg_status sg_member_count(struct sg_member *m, int32_t *n, struct sg_err *err);

/* For a run that is no member and has taken the lock: SG_E_BUSY names a member that lives. */
enum sg_status sg_members_refuse(const char *run_dir, struct sg_err *err);
/* Living members; 0 where there are none. For people: errors count as none. */
int32_t sg_members_living(const char *run_dir);

/* Tries to be attempt `attempt` (from 1) at a piece. *mine = false when another was faster. */
enum sg_status sg_member_claim(struct sg_member *m, int64_t piece, int32_t attempt, bool *mine,
                               struct sg_err *err);
/* All cells of the piece are in closed segments. */
enum sg_status sg_member_done(struct sg_member *m, int64_t piece, struct sg_err *err);
/* Takes the mark back: cells of the piece are missing after all. */
enum sg_status sg_member_undone(struct sg_member *m, int64_t piece, struct sg_err *err);

struct sg_piece {
    int32_t attempt; /* the highest; 0: nobody ever held it */
    bool done;
    bool held; /* by a member that lives (not asked for pieces that are done) */
};
/* The state of all pieces, 0 <= piece < n; names of others are ignored. */
enum sg_status sg_member_look(struct sg_member *m, struct sg_piece *pieces, int64_t n, struct sg_err *err);

#endif

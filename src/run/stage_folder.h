/* stage_folder - the copy of a checkpoint on one node, which several runs may use at once. Inside stage.c.
 *
 *   FOLDER/                   mode 0700, ours; its name says what it holds a copy of
 *   FOLDER/lock, array/...    the lock (lock.h) and the members (members.h) of store: who copies, who uses
 *   FOLDER/NAME.part          while a file is copied, under the lock
 *   FOLDER/NAME, complete     the copy; "complete" appears last, by rename, and holds the digest
 *   FOLDER.gone.PID           what a killed run had half copied, while it is unlinked (tidy)
 *
 * Everybody is a member first, and only members lock: the one that has the lock and finds no whole copy makes
 * it. The last member that leaves removes everything. A process that was killed is no member any more, and
 * what it has left is cleaned or, when it is whole, used by the next. */
#ifndef SG_RUN_STAGE_FOLDER_H
#define SG_RUN_STAGE_FOLDER_H

#include "model/files.h"
#include "rundir/lock.h"
#include "rundir/members.h"

#include <sys/stat.h>

struct sg__folder { /* zeroed is closed */
    char *path;
    const struct sg_model_files *files; /* borrowed until close */
    struct sg_member *member;
    struct sg_lock *lock; /* while MINE */
    struct stat claim;    /* HAVE: "complete", as it was found */
};
enum sg__folder_state {
    SG__FOLDER_BUSY, /* another process copies or looks: try again */
    SG__FOLDER_HAVE, /* a whole copy is there, by names and sizes */
    SG__FOLDER_MINE, /* empty and locked: fill it with NAME.part, then commit or close */
};

/* Removes what killed runs have half copied into other folders of ours: BASE/PREFIX*, but for `but`. */
void sg__folder_tidy(const char *base, const char *prefix, const char *but);
/* Makes the folder and joins its members. SG_E_INPUT when something else is there under this name, or a
 * folder that others may write to. */
enum sg_status sg__folder_open(const char *path, const struct sg_model_files *files, struct sg__folder *out,
                               struct sg_err *err);
/* Not waiting. HAVE: *digest is what the copy had when it was made. */
enum sg_status sg__folder_try(struct sg__folder *f, enum sg__folder_state *state, struct sg_digest *digest,
                              struct sg_err *err);
/* MINE: the files are all there: the copy becomes visible, the lock is dropped. */
enum sg_status sg__folder_commit(struct sg__folder *f, struct sg_digest digest, struct sg_err *err);
/* HAVE: what is there is not what it claims to be. Removes the claim, if it is still the one that was found:
 * another run may have made a new copy meanwhile, and use it. Then try again. */
void sg__folder_discredit(struct sg__folder *f);
/* Bytes that its files take now: does whoever copies get on? */
int64_t sg__folder_bytes(const struct sg__folder *f);
/* Leaves. An unfinished copy is removed; a whole one too, unless `keep` or others use it. */
void sg__folder_close(struct sg__folder *f, bool keep);

#endif

/* lock_internal - what a lock file says, for the files of members too (members.h), and locks on other terms than
 * the program's, for tests. Inside src/store alone. */
#ifndef SG_RUNDIR_LOCK_INTERNAL_H
#define SG_RUNDIR_LOCK_INTERNAL_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/status.h"
#include "rundir/lock.h"
#include "rundir/members.h"
#include "base/process_id.h"
#include <stdbool.h>
#include <stdint.h>

struct sg__lock_holder {
    struct sg_process_id owner;
    char token[SG_PROCESS_TEXT], since[SG_PROCESS_TEXT];
};

/* A token that no other process makes. */
void sg__lock_token(const struct sg_process_id *self, const char *run_dir, char out[SG_DIGEST_HEX]);
enum sg_status sg__lock_text(const struct sg_process_id *o, const char *token, struct sg_buf *out,
                             struct sg_err *err);
/* False when there is no readable, whole file of this kind. */
bool sg__lock_read(const char *path, struct sg__lock_holder *h);
/* Looks at the lock at `path` without taking it: SG_OK when there is none or a stale one, else SG_E_BUSY as
 * sg_lock_take says it. `fresh` is a file in the same file system that was touched just now. *h is who is
 * named there, zeroed when nobody can be read. */
enum sg_status sg__lock_look(const char *path, const char *fresh, struct sg__lock_holder *h,
                             struct sg_err *err);

/* As sg_lock_take and sg_member_join, which call these with this process and the constants of lock.h. */
struct sg__lock_terms {
    struct sg_process_id self;
    int64_t beat_ms, stale_seconds;
};
enum sg_status sg__lock_take_on(const char *run_dir, const struct sg__lock_terms *terms, struct sg_lock **out,
                                struct sg_err *err);
enum sg_status sg__member_join_on(const char *run_dir, const struct sg__lock_terms *terms,
                                  struct sg_member **out, struct sg_err *err);
/* The terms of the program. */
void sg__lock_terms_usual(struct sg__lock_terms *out);

#endif

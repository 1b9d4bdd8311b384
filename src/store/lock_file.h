/* lock_file - what a lock file says, for the files of members too (members.h). Inside src/store alone. */
#ifndef SG_STORE_LOCK_FILE_H
#define SG_STORE_LOCK_FILE_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/owner.h"
#include <stdbool.h>

struct sg__lock_holder {
    struct sg__owner owner;
    char token[SG_OWNER_TEXT], since[SG_OWNER_TEXT];
};

/* A token that no other process makes. */
void sg__lock_token(const struct sg__owner *self, const char *run_dir, char out[SG_DIGEST_HEX]);
enum sg_status sg__lock_text(const struct sg__owner *o, const char *token, struct sg_buf *out,
                             struct sg_err *err);
/* False when there is no readable, whole file of this kind. */
bool sg__lock_read(const char *path, struct sg__lock_holder *h);
/* Looks at the lock at `path` without taking it: SG_OK when there is none or a stale one, else SG_E_BUSY as
 * sg_lock_take says it. `fresh` is a file in the same file system that was touched just now. *h is who is
 * named there, zeroed when nobody can be read. */
enum sg_status sg__lock_look(const char *path, const char *fresh, struct sg__lock_holder *h,
                             struct sg_err *err);

#endif

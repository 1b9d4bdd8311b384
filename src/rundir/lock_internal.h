/* lock_internal - locks with another identity, beat and stale time than the program's, for tests. Inside
 * src/rundir alone. */
#ifndef SG_RUNDIR_LOCK_INTERNAL_H
#define SG_RUNDIR_LOCK_INTERNAL_H

#include "rundir/lock.h"

struct sg__lock_terms {
    struct sg_process_id self;
    int64_t beat_ms, stale_seconds;
    int64_t watch_ms; /* a lock that seems to be stale is watched so long: longer than a beat of any holder */
};
/* As sg_lock_take, which calls it with this process and the constants of lock.h. */
enum sg_status sg__lock_take_on(const char *path, enum sg_lock_role role, const struct sg__lock_terms *terms,
                                struct sg_lock **out, struct sg_err *err);
/* The terms of the program. */
void sg__lock_terms_usual(struct sg__lock_terms *out);

#endif

/* owner - which process, on which boot of which machine, wrote a file, and whether it still lives. Locks and
 * unfinished segments carry this, so that a crash or a reboot never leaves something that nobody may touch.
 */
#ifndef SG_STORE_OWNER_H
#define SG_STORE_OWNER_H

#include <stdint.h>

enum { SG_OWNER_TEXT = 128 };

struct sg__owner {
    char host[SG_OWNER_TEXT];    /* for people; names repeat across clusters and containers */
    char machine[SG_OWNER_TEXT]; /* /etc/machine-id, "" where there is none */
    char boot[SG_OWNER_TEXT];    /* the kernel's boot id, "" where there is none */
    char space[SG_OWNER_TEXT];   /* the pid namespace: a pid means nothing outside it */
    int64_t pid;
    uint64_t start; /* clock ticks after boot at which the process began: tells reused pids apart */
};

enum sg__life {
    SG_LIFE_DEAD,   /* certainly gone */
    SG_LIFE_ALIVE,  /* certainly there */
    SG_LIFE_UNKNOWN /* on another machine, or in another container: only its heartbeat can tell */
};

void sg__owner_self(struct sg__owner *out);
/* Judges from here; `self` is what sg__owner_self says. */
enum sg__life sg__owner_life(const struct sg__owner *o, const struct sg__owner *self);
/* Fixed-width fingerprint of (boot, space): equal means that pids can be compared. 0 when unknown. */
uint64_t sg__owner_pid_domain(const struct sg__owner *o);
/* Life of (pid, start) in this process's own pid domain. */
enum sg__life sg__pid_life(int64_t pid, uint64_t start);

#endif

/* process_id - which process, on which boot of which machine, wrote a file, and whether it still lives. Locks
 * and unfinished segments carry it: other processes remove or take over those of a dead process. */
#ifndef SG_BASE_PROCESS_ID_H
#define SG_BASE_PROCESS_ID_H

#include <stdint.h>

enum { SG_PROCESS_TEXT = 128 };

struct sg_process_id {
    char host[SG_PROCESS_TEXT];    /* for people; names repeat across clusters and containers */
    char machine[SG_PROCESS_TEXT]; /* /etc/machine-id, "" where there is none */
    char boot[SG_PROCESS_TEXT];    /* the kernel's boot id, "" where there is none */
    char space[SG_PROCESS_TEXT];   /* the pid namespace: a pid means nothing outside it */
    int64_t pid;
    uint64_t start; /* clock ticks after boot at which the process began: tells reused pids apart */
};

enum sg_process_state {
    SG_LIFE_DEAD,   /* certainly gone */
    SG_LIFE_ALIVE,  /* certainly there */
    SG_LIFE_UNKNOWN /* on another machine, or in another container: only its heartbeat can tell */
};

void sg_process_self(struct sg_process_id *out);
/* Judges from here; `self` is what sg_process_self says. */
enum sg_process_state sg_process_life(const struct sg_process_id *o, const struct sg_process_id *self);
/* Fixed-width fingerprint of (boot, space): equal means that pids can be compared. 0 when unknown. */
uint64_t sg_process_pid_domain(const struct sg_process_id *o);
/* Life of (pid, start) in this process's own pid domain. */
enum sg_process_state sg_process_pid_life(int64_t pid, uint64_t start);

#endif

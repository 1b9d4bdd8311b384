/* comm - the ranks of one run: messages, collective agreement, and the end of the program. The only file
 * that calls MPI. Without a launcher there is one rank and MPI is never initialised, so that `scope-grid run`
 * works where mpirun, its daemons or its network do not.
 *
 * Waiting never spins: ranks of one node may share cores with the rank that computes or plans.
 *
 * "Collective" below means that every rank of the run calls it, in the same order. Nobody leaves alone: a
 * rank that fails says so in the next sg_comm_agree (or in its farewell to the root, see worker.h) and all
 * end with one verdict. A rank that dies takes the run with it, through MPI; a restart resumes. */
#ifndef SG_RUN_COMM_H
#define SG_RUN_COMM_H

#include "base/mem.h"
#include "base/status.h"
#include "run/dispatch.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SG_HOST_MAX = 64 };

struct sg_comm; /* owned by the caller of open */

/* Collective. Joins the other ranks, and from then on SIGTERM, SIGINT, SIGUSR1 and SIGHUP (unless it was
 * ignored, as under nohup) ask for a stop instead of ending the process (a second SIGINT ends it).
 * SG_E_INTERNAL when MPI cannot start; SG_E_USAGE when a launcher without process management has started
 * several unconnected copies. */
enum sg_status sg_comm_open(struct sg_comm **out, struct sg_err *err);
/* As open, for one process that knows no others (shards.h), whatever launcher has started it: never calls MPI.
 */
enum sg_status sg_comm_open_alone(struct sg_comm **out, struct sg_err *err);
/* As open, with ranks dealt out in turn to n_nodes pretended nodes: for tests on one machine. */
enum sg_status sg_comm_open_pretended(int32_t n_nodes, struct sg_comm **out, struct sg_err *err);
/* Collective. Frees c; NULL accepted. */
void sg_comm_close(struct sg_comm *c);

int32_t sg_comm_rank(const struct sg_comm *c);
int32_t sg_comm_size(const struct sg_comm *c);
int32_t sg_comm_local_size(const struct sg_comm *c); /* ranks on this node */
int32_t sg_comm_local_rank(const struct sg_comm *c); /* of these, in the order of ranks: 0 leads the node */
bool sg_comm_beside_root(const struct sg_comm *c);   /* the root is on this node */
const char *sg_comm_host(const struct sg_comm *c);

/* True once this process was asked to stop; *name (may be NULL) is then the signal's name. */
bool sg_comm_stop_asked(const struct sg_comm *c, const char **name);

/* Collective. Every rank brings its own status and error; all leave with the same: SG_OK when all succeeded,
 * else the error of the lowest rank that failed, which then names rank and host unless it is the root (which
 * speaks for the run), and says how many others failed too. */
enum sg_status sg_comm_agree(struct sg_comm *c, enum sg_status mine, struct sg_err *err);

/* Collective. Root's bytes to all: on the other ranks *b is replaced. Any size: sent in pieces. Every rank
 * leaves with the same status (agree is called inside). */
enum sg_status sg_comm_bcast(struct sg_comm *c, struct sg_buf *b, struct sg_err *err);

/* Collective. `n` bytes of every rank to the root: all[size * n] there, by rank; NULL elsewhere. */
void sg_comm_gather(struct sg_comm *c, const void *mine, size_t n, void *all);

/* Collective on each node. `n` bytes of the node's leader to its other ranks. */
void sg_comm_local_bcast(struct sg_comm *c, void *bytes, size_t n);

/* ---- messages between the root and one other rank -------------------------------------------------- */

/* kind, from whom, meaning */
enum sg_message_kind {
    SG_MSG_REPORT = 1, /* rank to root: counts so far, cells wanted */
    SG_MSG_LEASE,      /* root to rank: leases */
    SG_MSG_END,        /* root to rank, exactly once: finish what `status` says and say farewell */
    SG_MSG_BYE,        /* rank to root, exactly once: final counts, status and error; no report follows */
};
/* Totals of one rank since the run began. */
struct sg_counts {
    int64_t cells, weight, failed;        /* finished cells, in a segment (open or closed) */
    int64_t prompt_tokens, output_tokens; /* of those cells */
    int64_t busy_ns;                      /* in compute steps */
    bool metered;                         /* the rest is known; NaN where it is not */
    double joules, watts, celsius; /* of the rank's device: since it was opened, and at the last look */
};
enum { SG_MESSAGE_LEASES = 32 };
struct sg_message {
    int32_t kind;   /* enum sg_message_kind */
    int32_t status; /* BYE: enum sg_status; END: SG_OK (all is done), SG_E_STOPPED or what went wrong */
    int64_t want;   /* REPORT: cells it would take now, in all (leases on their way included) */
    int32_t n_leases;
    struct sg_counts counts; /* REPORT, BYE */
    union {
        struct sg_lease leases[SG_MESSAGE_LEASES]; /* LEASE */
        char text[1024];                           /* BYE */
    } u;
};

/* Not collective. Queues a copy and returns at once. */
enum sg_status sg_comm_send(struct sg_comm *c, int32_t to, const struct sg_message *m, struct sg_err *err);
/* As send, for END and BYE, the one message to `to` without which it would wait for ever: its place is there
 * since the open, so that it goes out without memory, too. The same message to every rank. */
void sg_comm_send_last(struct sg_comm *c, int32_t to, const struct sg_message *m);
/* Not collective. False when no message waits. */
bool sg_comm_poll(struct sg_comm *c, struct sg_message *out, int32_t *from);
/* Sleeps a little: longer the more often it was called since the last message, 2 ms at most. */
void sg_comm_idle(struct sg_comm *c);

/* Messages and bytes that this rank has sent. */
void sg_comm_traffic(const struct sg_comm *c, int64_t *messages, int64_t *bytes);

#endif

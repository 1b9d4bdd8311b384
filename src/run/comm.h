/* comm - the ranks of one run: messages, collective agreement and requests to stop. The only file that calls
 * MPI. Without a launcher there is one rank and MPI is never initialised, so that `scope-grid run` works
 * where mpirun, its daemons or its network do not.
 *
 * The root is rank 0, which also runs the coordinator (coordinator.h). A waiting rank sleeps between tests:
 * it may share its cores with a rank that computes or plans.
 *
 * "Collective" below means that every rank of the run calls the function, in the same order. A rank that
 * fails says so in the next sg_comm_agree (or in its BYE message, see worker.h), and all ranks end with the
 * same status. When a rank's process dies, MPI ends the run; a restart resumes it. */
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

/* Collective. Joins the other ranks. From then on SIGTERM, SIGINT, SIGUSR1 and SIGHUP (unless it was ignored,
 * as under nohup) ask for a stop instead of ending the process (a second SIGINT ends it).
 * SG_E_INTERNAL when MPI cannot start; SG_E_USAGE when a launcher without process management has started
 * several unconnected copies. */
enum sg_status sg_comm_open(struct sg_comm **out, struct sg_err *err);
/* As open, for one process without other ranks (shards.h), whatever launcher started it. Never calls MPI. */
enum sg_status sg_comm_open_alone(struct sg_comm **out, struct sg_err *err);
/* As open, for tests on one machine: assigns the ranks in turn to n_nodes pretended nodes. */
enum sg_status sg_comm_open_pretended(int32_t n_nodes, struct sg_comm **out, struct sg_err *err);
/* Collective. Frees c; NULL accepted. */
void sg_comm_close(struct sg_comm *c);

int32_t sg_comm_rank(const struct sg_comm *c);
int32_t sg_comm_size(const struct sg_comm *c);
int32_t sg_comm_local_size(const struct sg_comm *c); /* ranks on this node */
int32_t sg_comm_local_rank(const struct sg_comm *c); /* among these, by rank; 0 is the node's leader */
bool sg_comm_beside_root(const struct sg_comm *c);   /* the root is on this node */
const char *sg_comm_host(const struct sg_comm *c);

/* True once this process was asked to stop; *name (may be NULL) is then the signal's name. */
bool sg_comm_stop_asked(const struct sg_comm *c, const char **name);

/* Collective. Every rank passes its own status and error, and all return the same: SG_OK when all succeeded,
 * else the error of the lowest rank that failed. Its text names that rank and its host (not for the root,
 * whose errors concern the whole run) and the number of other ranks that failed. */
enum sg_status sg_comm_agree(struct sg_comm *c, enum sg_status mine, struct sg_err *err);

/* Collective. Copies the root's bytes to all ranks and replaces *b on them. Any size: the root sends chunks.
 * Every rank returns the same status (agree is called inside). */
enum sg_status sg_comm_bcast(struct sg_comm *c, struct sg_buf *b, struct sg_err *err);

/* Collective. Copies `n` bytes of every rank to the root: all[size * n] there, by rank; NULL elsewhere. */
void sg_comm_gather(struct sg_comm *c, const void *mine, size_t n, void *all);

/* Collective on each node. Copies `n` bytes of the node's leader to its other ranks. */
void sg_comm_local_bcast(struct sg_comm *c, void *bytes, size_t n);

/* ---- messages between the root and one other rank -------------------------------------------------- */

/* kind, sender and receiver, meaning */
enum sg_message_kind {
    SG_MSG_REPORT = 1, /* rank to root: counts so far, cells wanted */
    SG_MSG_LEASE,      /* root to rank: leases */
    SG_MSG_END,        /* root to rank, exactly once: the run ends with `status`; close segments, send BYE */
    SG_MSG_BYE,        /* rank to root, exactly once: final counts, status and error; no report follows */
};
/* Totals of one rank since the run began. */
struct sg_counts {
    int64_t cells, weight, failed;        /* finished cells, in a segment (open or closed) */
    int64_t prompt_tokens, output_tokens; /* of those cells */
    int64_t busy_ns;                      /* in compute steps */
    bool metered;                         /* the device reports at least one of these; NaN: not that one */
    double joules, watts, celsius; /* of the rank's device: since it was opened, and at the last reading */
};
enum { SG_MESSAGE_LEASES = 32 };
struct sg_message {
    int32_t kind;   /* enum sg_message_kind */
    int32_t status; /* BYE: the rank's enum sg_status; END: the run's, SG_OK when all cells are done */
    int64_t want;   /* REPORT: cells the rank would take now, in all (leases on their way included) */
    int32_t n_leases;
    struct sg_counts counts; /* REPORT, BYE */
    union {
        struct sg_lease leases[SG_MESSAGE_LEASES]; /* LEASE */
        char text[1024];                           /* BYE */
    } u;
};

/* Not collective. Starts sending a copy and returns at once. */
enum sg_status sg_comm_send(struct sg_comm *c, int32_t to, const struct sg_message *m, struct sg_err *err);
/* As send, for END and BYE, without which `to` would wait for ever. sg_comm_open has allocated its buffer, so
 * that it cannot fail for lack of memory. One buffer serves all receivers: the same message to every rank. */
void sg_comm_send_last(struct sg_comm *c, int32_t to, const struct sg_message *m);
/* Not collective. False when no message has arrived. */
bool sg_comm_poll(struct sg_comm *c, struct sg_message *out, int32_t *from);
/* Sleeps 0.05 to 2 ms, longer with each call since the last message. */
void sg_comm_idle(struct sg_comm *c);

/* Messages and bytes that this rank has sent. */
void sg_comm_traffic(const struct sg_comm *c, int64_t *messages, int64_t *bytes);

#endif

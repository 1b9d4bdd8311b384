#include "run/comm.h"

#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- signals ---------------------------------------------------------------------------------------- */

/* Global because a signal handler can reach nothing else. */
static volatile sig_atomic_t stop_signal;

static void on_signal(int sig) {
    if (sig == SIGINT && stop_signal == SIGINT) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    stop_signal = sig;
}

static void catch_signals(void) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_signal;
    sa.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGUSR1, &sa, NULL);
    struct sigaction hup; /* the terminal is gone; under nohup it stays ignored */
    if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN) sigaction(SIGHUP, &sa, NULL);
    sa.sa_handler = SIG_IGN; /* then write returns an error when a pipe is closed */
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGXFSZ, &sa, NULL); /* or a file reaches its size limit */
}

/* ---- open and close --------------------------------------------------------------------------------- */

struct outgoing {
    struct outgoing *next;
    MPI_Request request;
    struct sg_message message;
};
struct sg_comm {
    bool mpi; /* MPI is initialised; false: one rank, no MPI call at all */
    MPI_Comm world, node;
    int32_t rank, size, local_size, local_rank;
    bool beside_root;
    char host[SG_HOST_MAX];
    struct outgoing *out;   /* sent and not yet known to be delivered */
    struct sg_message last; /* of sg_comm_send_last */
    MPI_Request *last_to;   /* [size] */
    int64_t messages, bytes;
    int idle; /* calls of sg_comm_idle since the last message */
};

enum { TAG = 1 };

/* A launcher that connects ranks sets one of these: PMIx (Open MPI, srun --mpi=pmix), PMI (MPICH, Intel,
 * srun --mpi=pmi2), Open MPI's own. */
static bool launched(void) {
    static const char *const names[] = {"PMIX_RANK", "PMI_RANK", "PMI_FD", "OMPI_COMM_WORLD_RANK",
                                        "MPI_LOCALNRANKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) return true;
    return false;
}

/* Ends the run on an error of MPI, which gives no way to continue; a rank that only returned would leave the
 * others waiting. A restart resumes the run. */
static void must(int code, const char *what) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "unknown error", host[SG_HOST_MAX] = "";
    int n = 0;
    MPI_Error_string(code, text, &n);
    gethostname(host, sizeof host - 1);
    fprintf(stderr, "scope-grid: MPI on %s: %s failed: %s\n", host, what, text);
    MPI_Abort(MPI_COMM_WORLD, sg_status_exit_code(SG_E_INTERNAL));
    abort();
}

/* pretended: as of sg_comm_open_pretended; 0: the real nodes. */
static enum sg_status open_mpi(struct sg_comm *c, int32_t pretended, struct sg_err *err) {
    int level, size, rank, local, place, first;
    /* One thread makes all calls: it polls for messages between compute steps. */
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
        return sg_fail(err, SG_E_INTERNAL, "MPI cannot start");
    c->mpi = true;
    must(MPI_Comm_dup(MPI_COMM_WORLD, &c->world), "MPI_Comm_dup");
    must(MPI_Comm_set_errhandler(c->world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    must(MPI_Comm_size(c->world, &size), "MPI_Comm_size");
    must(MPI_Comm_rank(c->world, &rank), "MPI_Comm_rank");
    if (pretended > 0)
        must(MPI_Comm_split(c->world, rank % pretended, rank, &c->node), "MPI_Comm_split");
    else
        must(MPI_Comm_split_type(c->world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &c->node),
             "MPI_Comm_split_type");
    must(MPI_Comm_size(c->node, &local), "MPI_Comm_size");
    must(MPI_Comm_rank(c->node, &place), "MPI_Comm_rank");
    first = rank; /* the split keeps the order: a node's first rank is its lowest */
    must(MPI_Bcast(&first, 1, MPI_INT, 0, c->node), "MPI_Bcast");
    c->size = size;
    c->rank = rank;
    c->local_size = local;
    c->local_rank = place;
    c->beside_root = first == 0;
    const enum sg_status st = SG_NEW(&c->last_to, size, "ranks", err);
    for (int i = 0; st == SG_OK && i < size; i++) c->last_to[i] = MPI_REQUEST_NULL;
    return st;
}

static enum sg_status new_comm(struct sg_comm **out, struct sg_err *err) {
    struct sg_comm *c = NULL;
    enum sg_status st = SG_NEW(&c, 1, "communicator", err);
    if (st != SG_OK) return st;
    c->world = c->node = MPI_COMM_NULL;
    c->size = c->local_size = 1;
    c->beside_root = true;
    if (gethostname(c->host, sizeof c->host) != 0) snprintf(c->host, sizeof c->host, "unknown host");
    c->host[sizeof c->host - 1] = 0;
    *out = c;
    return SG_OK;
}

enum sg_status sg_comm_open_alone(struct sg_comm **out, struct sg_err *err) {
    enum sg_status st = new_comm(out, err);
    if (st == SG_OK) catch_signals();
    return st;
}

enum sg_status sg_comm_open(struct sg_comm **out, struct sg_err *err) {
    return sg_comm_open_pretended(0, out, err);
}

enum sg_status sg_comm_open_pretended(int32_t n_nodes, struct sg_comm **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_comm *c = NULL;
    SG_TRY(new_comm(&c, err));
    if (launched()) {
        SG_TRY(open_mpi(c, n_nodes, err));
    } else {
        /* Unconnected copies would all try to lock the run directory. */
        const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
        if (tasks && atoi(tasks) > 1) {
            st = sg_fail(
                err, SG_E_USAGE,
                "srun started %s unconnected tasks: use srun --mpi=pmix (see srun --mpi=list), or mpirun",
                tasks);
            goto out;
        }
    }
    catch_signals();
    *out = c;
    c = NULL;
out:
    sg_comm_close(c);
    return st;
}

/* Waits for a request without spinning: sleeps 0.05 to 1 ms between tests. */
static int wait_request(MPI_Request *r) {
    for (long ns = 50000;; ns = ns < 500000 ? 2 * ns : 1000000) {
        int done = 0, code = MPI_Test(r, &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS || done) return code;
        nanosleep(&(struct timespec){0, ns}, NULL);
    }
}

static void reap(struct sg_comm *c, bool all) {
    for (struct outgoing **p = &c->out; *p;) {
        struct outgoing *o = *p;
        int done = 1;
        if (all)
            must(wait_request(&o->request), "MPI_Isend");
        else
            must(MPI_Test(&o->request, &done, MPI_STATUS_IGNORE), "MPI_Isend");
        if (done) {
            *p = o->next;
            free(o);
        } else {
            p = &o->next;
        }
    }
}

static void wait_last(struct sg_comm *c) {
    for (int32_t i = 0; c->last_to && i < c->size; i++) must(wait_request(&c->last_to[i]), "MPI_Isend");
}

void sg_comm_close(struct sg_comm *c) {
    if (!c) return;
    if (c->mpi) {
        reap(c, true);
        wait_last(c);
        if (c->node != MPI_COMM_NULL) MPI_Comm_free(&c->node);
        if (c->world != MPI_COMM_NULL) MPI_Comm_free(&c->world);
        MPI_Finalize();
    }
    free(c->last_to);
    free(c);
}

int32_t sg_comm_rank(const struct sg_comm *c) {
    return c->rank;
}
int32_t sg_comm_size(const struct sg_comm *c) {
    return c->size;
}
int32_t sg_comm_local_size(const struct sg_comm *c) {
    return c->local_size;
}
int32_t sg_comm_local_rank(const struct sg_comm *c) {
    return c->local_rank;
}
bool sg_comm_beside_root(const struct sg_comm *c) {
    return c->beside_root;
}
const char *sg_comm_host(const struct sg_comm *c) {
    return c->host;
}
void sg_comm_traffic(const struct sg_comm *c, int64_t *messages, int64_t *bytes) {
    *messages = c->messages;
    *bytes = c->bytes;
}

bool sg_comm_stop_asked(const struct sg_comm *c, const char **name) {
    (void)c;
    int sig = stop_signal;
    if (sig && name)
        *name = sig == SIGTERM ? "SIGTERM" : sig == SIGINT ? "SIGINT" : sig == SIGHUP ? "SIGHUP" : "SIGUSR1";
    return sig != 0;
}

/* ---- collective ------------------------------------------------------------------------------------- */

struct verdict {
    int32_t status;
    char host[SG_HOST_MAX];
    char text[1024];
};

enum sg_status sg_comm_agree(struct sg_comm *c, enum sg_status mine, struct sg_err *err) {
    if (!c->mpi || c->size == 1) return mine;
    /* number of failures; and size - rank of the lowest failed rank, by the largest */
    int32_t sum_in = mine != SG_OK, sum = 0, top_in = mine != SG_OK ? c->size - c->rank : 0, top = 0;
    MPI_Request r[2];
    must(MPI_Iallreduce(&sum_in, &sum, 1, MPI_INT32_T, MPI_SUM, c->world, &r[0]), "MPI_Iallreduce");
    must(MPI_Iallreduce(&top_in, &top, 1, MPI_INT32_T, MPI_MAX, c->world, &r[1]), "MPI_Iallreduce");
    must(wait_request(&r[0]), "MPI_Iallreduce");
    must(wait_request(&r[1]), "MPI_Iallreduce");
    if (sum == 0) return SG_OK;
    struct verdict v = {.status = (int32_t)mine};
    int32_t who = c->size - top;
    if (c->rank == who) {
        memcpy(v.host, c->host, sizeof v.host);
        if (err) memcpy(v.text, err->text, sizeof v.text);
    }
    must(MPI_Ibcast(&v, sizeof v, MPI_BYTE, who, c->world, &r[0]), "MPI_Ibcast");
    must(wait_request(&r[0]), "MPI_Ibcast");
    char more[48] = "";
    if (sum > 1) snprintf(more, sizeof more, " (and %d more rank%s)", (int)sum - 1, sum > 2 ? "s" : "");
    enum sg_status st = (enum sg_status)v.status;
    if (who == 0) return sg_fail(err, st, "%s%s", v.text, more);
    return sg_fail(err, st, "rank %d on %s%s: %s", (int)who, v.host, more, v.text);
}

enum sg_status sg_comm_bcast(struct sg_comm *c, struct sg_buf *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (!c->mpi || c->size == 1) return SG_OK;
    MPI_Request r;
    uint64_t n = b->len;
    must(MPI_Ibcast(&n, 1, MPI_UINT64_T, 0, c->world, &r), "MPI_Ibcast");
    must(wait_request(&r), "MPI_Ibcast");
    if (c->rank != 0) {
        sg_buf_clear(b);
        st = SG_GROW(&b->data, &b->cap, n + 1, "inputs from the root", err);
    }
    SG_TRY(sg_comm_agree(c, st, err));
    /* MPI counts with int; 256 MiB is far below its limit */
    const uint64_t piece = (uint64_t)256 << 20;
    for (uint64_t at = 0; at < n; at += piece) {
        uint64_t len = n - at < piece ? n - at : piece;
        must(MPI_Ibcast(b->data + at, (int)len, MPI_BYTE, 0, c->world, &r), "MPI_Ibcast");
        must(wait_request(&r), "MPI_Ibcast");
    }
    if (c->rank != 0) {
        b->len = n;
        b->data[n] = 0;
    }
out:
    return st;
}

void sg_comm_gather(struct sg_comm *c, const void *mine, size_t n, void *all) {
    MPI_Request r;
    if (!c->mpi || c->size == 1) {
        memcpy(all, mine, n);
        return;
    }
    must(MPI_Igather(mine, (int)n, MPI_BYTE, all, (int)n, MPI_BYTE, 0, c->world, &r), "MPI_Igather");
    must(wait_request(&r), "MPI_Igather");
}

void sg_comm_local_bcast(struct sg_comm *c, void *bytes, size_t n) {
    MPI_Request r;
    SG_ASSERT(n <= INT32_MAX);
    if (!c->mpi || c->local_size == 1) return;
    must(MPI_Ibcast(bytes, (int)n, MPI_BYTE, 0, c->node, &r), "MPI_Ibcast");
    must(wait_request(&r), "MPI_Ibcast");
}

/* ---- messages --------------------------------------------------------------------------------------- */

/* Bytes of m that are sent: everything before the union, and as much of the union as is used. */
static size_t message_bytes(const struct sg_message *m) {
    size_t n = offsetof(struct sg_message, u);
    if (m->kind == SG_MSG_LEASE) n += (size_t)m->n_leases * sizeof m->u.leases[0];
    if (m->kind == SG_MSG_BYE) n += strlen(m->u.text) + 1;
    return n;
}

enum sg_status sg_comm_send(struct sg_comm *c, int32_t to, const struct sg_message *m, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct outgoing *o = NULL;
    SG_ASSERT(c->mpi && to != c->rank && m->n_leases <= SG_MESSAGE_LEASES);
    SG_TRY(SG_NEW(&o, 1, "message", err));
    size_t n = message_bytes(m);
    memcpy(&o->message, m, n);
    must(MPI_Isend(&o->message, (int)n, MPI_BYTE, to, TAG, c->world, &o->request), "MPI_Isend");
    o->next = c->out;
    c->out = o;
    o = NULL;
    c->messages++;
    c->bytes += (int64_t)n;
out:
    free(o);
    return st;
}

void sg_comm_send_last(struct sg_comm *c, int32_t to, const struct sg_message *m) {
    SG_ASSERT(c->mpi && to != c->rank && (m->kind == SG_MSG_END || m->kind == SG_MSG_BYE));
    const size_t n = message_bytes(m);
    /* first: of this run. The last messages of the run before have arrived: it ended with sg_comm_agree. */
    const bool first = c->last_to[to] != MPI_REQUEST_NULL || !c->last.kind;
    if (first) {
        wait_last(c);
        c->last = *m;
    }
    must(MPI_Isend(&c->last, (int)n, MPI_BYTE, to, TAG, c->world, &c->last_to[to]), "MPI_Isend");
    c->messages++;
    c->bytes += (int64_t)n;
}

bool sg_comm_poll(struct sg_comm *c, struct sg_message *out, int32_t *from) {
    if (!c->mpi || c->size == 1) return false;
    if (c->out) reap(c, false);
    int waits = 0;
    MPI_Status s;
    must(MPI_Iprobe(MPI_ANY_SOURCE, TAG, c->world, &waits, &s), "MPI_Iprobe");
    if (!waits) return false;
    memset(out, 0, sizeof *out);
    must(MPI_Recv(out, sizeof *out, MPI_BYTE, s.MPI_SOURCE, TAG, c->world, MPI_STATUS_IGNORE), "MPI_Recv");
    *from = s.MPI_SOURCE;
    c->idle = 0;
    return true;
}

void sg_comm_idle(struct sg_comm *c) {
    int shift = c->idle / 4;
    long ns = shift >= 6 ? 2000000 : 50000L << shift;
    if (c->idle < 1000) c->idle++;
    nanosleep(&(struct timespec){0, ns > 2000000 ? 2000000 : ns}, NULL);
}

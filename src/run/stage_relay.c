#include "run/stage_relay.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 16 }; /* the slots limit what more could do */

/* A slot serves the pieces i, i + SLOTS, i + 2 SLOTS ... in turn:
 *   root:  EMPTY -thread-> READING -> READY -main-> UNDER_WAY -main-> ARRIVED -thread-> WRITING -> EMPTY
 *   else:  READY -main-> UNDER_WAY -main-> ARRIVED -thread-> WRITING -> READY */
enum state { EMPTY, READING, READY, UNDER_WAY, ARRIVED, WRITING };
struct slot {
    enum state state;
    int64_t piece;
    char *data;
};
struct sg__relay {
    struct sg__relay_options o;
    const struct sg_comm *comm; /* for its stop signal; with stream, while it runs */
    struct sg_comm_stream *stream;
    struct sg_model_fds from, to;
    struct sg_digest *digest; /* [n], by piece */
    struct slot slots[SG__RELAY_SLOTS];
    int64_t n;
    pthread_mutex_t mutex; /* for all that follows, and the states */
    pthread_cond_t wake;
    int64_t end; /* pieces from here on are not begun any more: n, or less after a failure */
    bool over;   /* the threads may go */
    enum sg_status st;
    struct sg_err err;
    pthread_t threads[MAX_THREADS];
    int n_threads;
};

/* ---- threads: files --------------------------------------------------------------------------------- */

static bool failed(struct sg__relay *r) {
    pthread_mutex_lock(&r->mutex);
    const bool is = r->st != SG_OK;
    pthread_mutex_unlock(&r->mutex);
    return is;
}

static void fail(struct sg__relay *r, enum sg_status st, const struct sg_err *err) {
    pthread_mutex_lock(&r->mutex);
    if (r->st == SG_OK) {
        r->st = st;
        r->err = *err;
    }
    pthread_mutex_unlock(&r->mutex);
}

/* Reads or writes a slot's piece; after a failure nothing any more, but the turns go on. */
static void move(struct sg__relay *r, struct slot *s, bool reading) {
    struct sg_err err = {0};
    const struct sg_model_piece p = sg_model_piece_at(r->o.files, s->piece);
    enum sg_status st = SG_OK;
    if (failed(r)) return;
    if (reading) st = sg_model_read(&r->from, p.file, s->data, p.bytes, p.at, &err);
    if (st == SG_OK && reading == (r->from.n > 0)) r->digest[s->piece] = sg_digest_bytes(s->data, p.bytes);
    if (!reading && r->to.n) st = sg_model_write(&r->to, p.file, s->data, p.bytes, p.at, &err);
    if (st != SG_OK) fail(r, st, &err);
}

/* Something for a thread to do, the lowest piece first. */
static struct slot *find(struct sg__relay *r) {
    struct slot *best = NULL;
    for (int i = 0; i < SG__RELAY_SLOTS; i++) {
        struct slot *s = &r->slots[i];
        if (s->state != ARRIVED && (s->state != EMPTY || s->piece >= r->end)) continue;
        if (!best || s->piece < best->piece) best = s;
    }
    return best;
}

static void *carry(void *arg) {
    struct sg__relay *r = arg;
    pthread_mutex_lock(&r->mutex);
    for (;;) {
        struct slot *s = find(r);
        if (!s && r->over) break;
        if (!s) {
            pthread_cond_wait(&r->wake, &r->mutex);
            continue;
        }
        const bool reading = s->state == EMPTY;
        s->state = reading ? READING : WRITING;
        pthread_mutex_unlock(&r->mutex);
        move(r, s, reading);
        pthread_mutex_lock(&r->mutex);
        if (!reading) s->piece += SG__RELAY_SLOTS;
        s->state = reading || !r->from.n ? READY : EMPTY;
        pthread_cond_broadcast(&r->wake);
    }
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

/* ---- the caller: messages --------------------------------------------------------------------------- */

/* Starts the piece when its slot is ready. */
static bool start(struct sg__relay *r, int64_t piece) {
    struct slot *s = &r->slots[piece % SG__RELAY_SLOTS];
    pthread_mutex_lock(&r->mutex);
    const bool ready = piece < r->end && s->state == READY;
    if (ready) s->state = UNDER_WAY;
    const bool well = r->st == SG_OK;
    pthread_mutex_unlock(&r->mutex);
    if (!ready) return false;
    SG_ASSERT(s->piece == piece);
    sg_comm_stream_start(r->stream, (int32_t)(piece % SG__RELAY_SLOTS), s->data,
                         sg_model_piece_at(r->o.files, piece).bytes, well);
    return true;
}

static bool finish(struct sg__relay *r, int64_t piece, bool *broken) {
    struct slot *s = &r->slots[piece % SG__RELAY_SLOTS];
    bool well;
    if (!sg_comm_stream_test(r->stream, (int32_t)(piece % SG__RELAY_SLOTS), &well)) return false;
    pthread_mutex_lock(&r->mutex);
    s->state = ARRIVED;
    if (!well) {
        *broken = true;
        if (r->end > piece + SG__RELAY_SLOTS) r->end = piece + SG__RELAY_SLOTS;
    }
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->mutex);
    return true;
}

static void stop_if_asked(struct sg__relay *r) {
    const char *name;
    struct sg_err err = {0};
    if (!sg_comm_stop_asked(r->comm, &name)) return;
    fail(r, sg_fail(&err, SG_E_STOPPED, "stopped by %s while the weights were sent", name), &err);
}

static void drive(struct sg__relay *r, bool *broken) {
    long ns = 0;
    /* end is changed by this thread alone */
    for (int64_t started = 0, finished = 0; finished < r->end;) {
        bool moved = false;
        stop_if_asked(r);
        for (; started < r->end && start(r, started); started++) moved = true;
        for (; finished < started && finish(r, finished, broken); finished++) moved = true;
        ns = moved ? 0 : ns < 500000 ? ns + 10000 : ns;
        if (finished < started) /* MPI moves bytes only while it is called */
            sched_yield();
        else if (!moved)
            nanosleep(&(struct timespec){0, ns}, NULL);
    }
}

/* After everything that was begun. */
static void end_threads(struct sg__relay *r) {
    pthread_mutex_lock(&r->mutex);
    r->over = true;
    if (!r->stream) r->end = 0; /* not run: what is read ahead is for nobody */
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->mutex);
    for (; r->n_threads > 0; r->n_threads--) pthread_join(r->threads[r->n_threads - 1], NULL);
}

enum sg_status sg__relay_run(struct sg__relay *r, const struct sg_comm *comm, struct sg_comm_stream *stream,
                             struct sg_digest *digest, bool *broken, struct sg_err *err) {
    struct sg_err closing = {0};
    *broken = false;
    r->comm = comm;
    r->stream = stream;
    drive(r, broken);
    end_threads(r);
    const enum sg_status closed = sg_model_fds_close(&r->to, &closing);
    if (closed != SG_OK) fail(r, closed, &closing);
    if (r->st != SG_OK) {
        if (err) *err = r->err;
        return r->st;
    }
    return *broken ? SG_OK : sg_model_digest_join(r->o.files, r->digest, digest, err);
}

enum sg_status sg__relay_open(const struct sg__relay_options *options, struct sg__relay **out,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__relay *r = NULL;
    const int wanted = options->threads < MAX_THREADS ? options->threads : MAX_THREADS;
    SG_TRY(SG_NEW(&r, 1, "sending the weights", err));
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->wake, NULL);
    r->o = *options;
    r->n = r->end = sg_model_pieces(options->files);
    for (int i = 0; i < SG__RELAY_SLOTS; i++) {
        r->slots[i].piece = i;
        r->slots[i].state = options->from ? EMPTY : READY;
        SG_TRY(sg_new_aligned((void **)&r->slots[i].data, SG_MODEL_PIECE, "pieces of the weights", err));
    }
    SG_TRY(SG_NEW(&r->digest, r->n, "pieces of the weights", err));
    if (options->from) SG_TRY(sg_model_fds_open(options->files, options->from, false, &r->from, err));
    if (options->to) SG_TRY(sg_model_fds_open(options->files, options->to, true, &r->to, err));
    while (r->n_threads < wanted && pthread_create(&r->threads[r->n_threads], NULL, carry, r) == 0)
        r->n_threads++;
    if (r->n_threads == 0) {
        st = sg_fail(err, SG_E_NOMEM, "cannot start a thread that reads the weights");
        goto out;
    }
    *out = r;
    r = NULL;
out:
    sg__relay_close(r);
    return st;
}

void sg__relay_close(struct sg__relay *r) {
    if (!r) return;
    end_threads(r);
    for (int i = 0; i < SG__RELAY_SLOTS; i++) free(r->slots[i].data);
    free(r->digest);
    (void)sg_model_fds_close(&r->from, NULL);
    (void)sg_model_fds_close(&r->to, NULL);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

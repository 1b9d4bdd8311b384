#include "model/digest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* Bytes that a thread reads and hashes at once, while they are in the core's cache. Reading is as fast as
 * mapping from the page cache (8 against 7 GB/s per thread), and a network file system gets requests of this
 * size. */
static const size_t CHUNK = (size_t)2 << 20;
enum { MAX_THREADS = 64 };

struct work {
    const struct sg_model_pass *pass;
    struct sg_model_fds fds;
    struct sg_digest *digest; /* [n], by piece */
    int64_t n;
    atomic_llong next;
    atomic_bool ended; /* a thread has failed or `stop` returned true: all threads end */
    pthread_mutex_t mutex;
    enum sg_status st; /* under the mutex, with err: the first failure */
    struct sg_err err;
};
struct worker {
    struct work *work;
    bool caller; /* runs on the caller's thread, which may call `stop` */
};

static void fail(struct work *w, enum sg_status st, const struct sg_err *err) {
    pthread_mutex_lock(&w->mutex);
    if (w->st == SG_OK) {
        w->st = st;
        w->err = *err;
    }
    pthread_mutex_unlock(&w->mutex);
    atomic_store(&w->ended, true);
}

static enum sg_status do_piece(struct work *w, int64_t i, char *buffer, XXH3_state_t *state, bool caller,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_model_pass *pass = w->pass;
    const struct sg_model_piece p = sg_model_piece_at(pass->files, i);
    XXH3_128bits_reset(state);
    for (size_t at = 0; at < p.bytes && !atomic_load(&w->ended); at += CHUNK) {
        const size_t n = p.bytes - at < CHUNK ? p.bytes - at : CHUNK;
        if (caller && pass->stop && pass->stop(pass->ctx))
            return sg_fail(err, SG_E_STOPPED, "stopped while the weights were read");
        SG_TRY(sg_model_read(&w->fds, p.file, buffer, n, p.at + (int64_t)at, err));
        XXH3_128bits_update(state, buffer, n);
    }
    const XXH128_hash_t h = XXH3_128bits_digest(state);
    w->digest[i] = (struct sg_digest){.hi = h.high64, .lo = h.low64};
out:
    return st;
}

static void *work(void *arg) {
    struct worker *me = arg;
    struct work *w = me->work;
    struct sg_err err = {0};
    char *buffer = NULL;
    XXH3_state_t *state = XXH3_createState();
    enum sg_status st = SG_OK;
    if (!state) st = sg_fail(&err, SG_E_NOMEM, "no memory to read the weights");
    if (st == SG_OK) st = sg_new_aligned((void **)&buffer, CHUNK, "reading the weights", &err);
    for (int64_t i; st == SG_OK && !atomic_load(&w->ended) && (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        st = do_piece(w, i, buffer, state, me->caller, &err);
    if (st != SG_OK) fail(w, st, &err);
    free(buffer);
    XXH3_freeState(state);
    return NULL;
}

/* Starting fewer threads than requested is no error: the caller's thread works too. */
static void run_threads(struct work *w, int threads) {
    pthread_t t[MAX_THREADS];
    struct worker helper = {w, false}, caller = {w, true};
    int started = 0;
    for (; started < threads - 1 && started < MAX_THREADS; started++)
        if (pthread_create(&t[started], NULL, work, &helper) != 0) break;
    work(&caller);
    for (int i = 0; i < started; i++) pthread_join(t[i], NULL);
}

enum sg_status sg_model_pass(const struct sg_model_pass *pass, struct sg_digest *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct work w = {.pass = pass, .n = sg_model_pieces(pass->files), .mutex = PTHREAD_MUTEX_INITIALIZER};
    atomic_init(&w.next, 0);
    atomic_init(&w.ended, false);
    SG_TRY(SG_NEW(&w.digest, w.n, "file pieces", err));
    SG_TRY(sg_model_fds_open(pass->files, pass->dir, &w.fds, err));
    run_threads(&w, pass->threads > 0 ? pass->threads : (int)sysconf(_SC_NPROCESSORS_ONLN));
    st = w.st;
    if (st != SG_OK && err) *err = w.err;
    if (st == SG_OK) st = sg_model_digest_join(pass->files, w.digest, out, err);
out:
    sg_model_fds_close(&w.fds);
    free(w.digest);
    return st;
}

enum sg_status sg_model_digest(const char *dir, int threads, struct sg_digest *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_model_files files = {0};
    SG_TRY(sg_model_files_list(dir, &files, err));
    const struct sg_model_pass pass = {.files = &files, .dir = dir, .threads = threads};
    SG_TRY(sg_model_pass(&pass, out, err));
    SG_TRY(sg_model_files_unchanged(&files, dir, err));
out:
    sg_model_files_free(&files);
    return st;
}

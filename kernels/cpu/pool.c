#include "kernels/cpu/pool.h"

#include "base/mem.h"
#include "kernels/host.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* `state` is one word so that opening, joining and closing a run are single atomic steps:
 * number of the run << 32 | OPEN | workers that joined. */
static const uint64_t OPEN = (uint64_t)1 << 31;
static const uint64_t JOINED = ((uint64_t)1 << 31) - 1;

/* How long an idle worker (or the waiting caller) looks again before it sleeps (or yields). To wake a sleeper takes
 * longer than most operators of a step. Where every thread has a core: some forty microseconds, the end of another
 * thread's task and the gap between two operators. Else some ten: more would steal cores from the others. */
enum { SPINS = 500, OWN_CORE_SPINS = 2000 };

struct worker {
    struct sg__pool *pool;
    pthread_t id;
    int index;
};

struct sg__pool {
    int threads, created, spins;
    struct worker *workers; /* [threads - 1] */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic uint64_t state;
    _Atomic int sleepers;
    _Atomic int64_t next;
    atomic_bool stop;
    /* of the open run; written before it opens, stable until all that joined have left */
    int64_t n_tasks;
    sg__task_fn *fn;
    void *ctx;
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void work(struct sg__pool *p, int thread) {
    for (;;) {
        const int64_t task = atomic_fetch_add(&p->next, 1);
        if (task >= p->n_tasks) return;
        p->fn(p->ctx, task, thread);
    }
}

/* Waits until a run after `seen` is open or the pool stops; false when it stops. */
static bool await_run(struct sg__pool *p, uint64_t seen, uint64_t *state) {
    for (int i = 0; i < p->spins; i++) {
        if (atomic_load(&p->stop)) return false;
        *state = atomic_load(&p->state);
        if ((*state & OPEN) && *state >> 32 != seen) return true;
        relax();
    }
    bool ran = false;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!atomic_load(&p->stop)) {
        *state = atomic_load(&p->state);
        ran = (*state & OPEN) && *state >> 32 != seen;
        if (ran) break;
        pthread_cond_wait(&p->wake, &p->lock);
    }
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return ran;
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    struct sg__pool *p = w->pool;
    uint64_t seen = 0, state;
    while (await_run(p, seen, &state)) {
        if (!atomic_compare_exchange_strong(&p->state, &state, state + 1))
            continue; /* closed, or another joined */
        seen = state >> 32;
        work(p, w->index);
        atomic_fetch_sub(&p->state, 1);
    }
    return NULL;
}

enum sg_status sg__pool_open(int threads, struct sg__pool **out, struct sg_err *err) {
    struct sg__pool *p = NULL;
    enum sg_status st;
    SG_TRY(SG_NEW(&p, 1, "thread pool", err));
    p->threads = threads;
    p->spins = threads <= sg__host_cores() ? OWN_CORE_SPINS : SPINS;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    SG_TRY(SG_NEW(&p->workers, threads, "thread pool", err));
    for (int i = 0; i < threads - 1; i++) {
        p->workers[i] = (struct worker){.pool = p, .index = i + 1};
        const int rc = pthread_create(&p->workers[i].id, NULL, worker_main, &p->workers[i]);
        if (rc != 0) {
            st = sg_fail(err, SG_E_DEVICE, "cannot start thread %d of %d: %s", i + 2, threads, strerror(rc));
            goto out;
        }
        p->created++;
    }
    *out = p;
    p = NULL;
out:
    sg__pool_close(p);
    return st;
}

void sg__pool_close(struct sg__pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->created; i++) pthread_join(p->workers[i].id, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

int sg__pool_threads(const struct sg__pool *p) {
    return p->threads;
}

void sg__pool_run(struct sg__pool *p, int64_t n_tasks, sg__task_fn *fn, void *ctx) {
    if (p->threads == 1 || n_tasks <= 1) {
        for (int64_t t = 0; t < n_tasks; t++) fn(ctx, t, 0);
        return;
    }
    p->n_tasks = n_tasks;
    p->fn = fn;
    p->ctx = ctx;
    atomic_store(&p->next, 0);
    const uint64_t run = (atomic_load(&p->state) >> 32) + 1;
    atomic_store(&p->state, run << 32 | OPEN);
    /* a worker counts itself as a sleeper, under the lock, before its last look at `state`: either it sees
     * this run there, or we see it here */
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    work(p, 0);
    uint64_t state = atomic_fetch_and(&p->state, ~OPEN);
    for (int i = 0; state & JOINED; i++) {
        if (i < p->spins)
            relax();
        else
            sched_yield();
        state = atomic_load(&p->state);
    }
}

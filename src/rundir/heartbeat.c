#include "rundir/heartbeat.h"

#include "base/mem.h"
#include "base/thread.h"
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct sg__heartbeat {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop; /* under the mutex */
    pid_t pid; /* of the process that started it */
    int64_t beat_ms;
    void (*beat)(const void *ctx);
    const void *ctx;
};

static void *run(void *arg) {
    struct sg__heartbeat *p = arg;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&p->mutex);
    while (!p->stop) {
        const int64_t ns = (int64_t)next.tv_nsec + p->beat_ms * 1000000;
        next.tv_sec += (time_t)(ns / 1000000000);
        next.tv_nsec = (long)(ns % 1000000000);
        while (!p->stop && pthread_cond_timedwait(&p->wake, &p->mutex, &next) == 0) {
        }
        if (p->stop) break;
        pthread_mutex_unlock(&p->mutex);
        p->beat(p->ctx);
        clock_gettime(CLOCK_MONOTONIC, &next);
        pthread_mutex_lock(&p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

enum sg_status sg__heartbeat_start(void (*beat)(const void *ctx), const void *ctx, int64_t beat_ms,
                                   struct sg__heartbeat **out, struct sg_err *err) {
    struct sg__heartbeat *p = NULL;
    enum sg_status st = SG_NEW(&p, 1, "heartbeat", err);
    if (st != SG_OK) return st;
    p->beat = beat;
    p->ctx = ctx;
    p->beat_ms = beat_ms;
    p->pid = getpid();
    pthread_mutex_init(&p->mutex, NULL);
    sg_cond_init(&p->wake);
    st = sg_thread_start(&p->thread, run, p, "heartbeats", err);
    if (st == SG_OK) {
        *out = p;
        return SG_OK;
    }
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    free(p);
    return st;
}

void sg__heartbeat_stop(struct sg__heartbeat *p) {
    if (!p) return;
    if (p->pid == getpid()) {
        pthread_mutex_lock(&p->mutex);
        p->stop = true;
        pthread_cond_signal(&p->wake);
        pthread_mutex_unlock(&p->mutex);
        pthread_join(p->thread, NULL);
        pthread_cond_destroy(&p->wake);
        pthread_mutex_destroy(&p->mutex);
    }
    free(p);
}

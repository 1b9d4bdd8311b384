#include "run/segment_thread.h"

#include "base/mem.h"
#include "base/thread.h"
#include "base/clock.h"

#include <stdbool.h>
#include <stdlib.h>

static const int64_t segment_bytes = 64 << 20;
static const size_t usual_queue = 64 << 20;

struct job {
    struct sg_segment_record *record;
    struct job *next;
};

struct sg_segment_thread {
    struct sg_segment_thread_options opt;
    int64_t started; /* ns */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work; /* the thread has something to do */
    pthread_cond_t done; /* the thread has done something */
    /* under the mutex */
    struct job *first, **last; /* the queue */
    size_t queued;             /* bytes in it */
    int64_t safe;
    bool closing; /* finish waits: no segment may stay open */
    bool quit;
    bool told; /* the failure was returned to the caller */
    enum sg_status status;
    struct sg_err err;
    /* the thread's own */
    struct sg_segment_writer *segment; /* NULL: none open */
    int64_t opened;                    /* ns */
};

/* ---- the thread ------------------------------------------------------------------------------------- */

/* When the open segment must close, ns. */
static int64_t due(const struct sg_segment_thread *s) {
    double seconds = s->opt.segment_seconds;
    if (seconds < 0) {
        seconds = sg_clock_seconds(s->opened - s->started) / 60;
        seconds = seconds < 5 ? 5 : seconds > 60 ? 60 : seconds;
    }
    return s->opened + (int64_t)(seconds * 1e9);
}

static void failed(struct sg_segment_thread *s, enum sg_status st, const struct sg_err *err) {
    pthread_mutex_lock(&s->mutex);
    s->status = st;
    s->err = *err;
    pthread_mutex_unlock(&s->mutex);
}

static void close_segment(struct sg_segment_thread *s) {
    struct sg_err err = {0};
    const int64_t cells = sg_segment_count(s->segment);
    const enum sg_status st = sg_segment_close(s->segment, &err); /* frees it in any case */
    s->segment = NULL;
    if (st != SG_OK) {
        failed(s, st, &err);
        return;
    }
    pthread_mutex_lock(&s->mutex);
    s->safe += cells;
    pthread_mutex_unlock(&s->mutex);
}

static void write_record(struct sg_segment_thread *s, const struct sg_segment_record *r) {
    struct sg_err err = {0};
    enum sg_status st = SG_OK;
    if (s->status != SG_OK) return; /* only this thread sets it */
    if (!s->segment) {
        SG_TRY(sg_segment_open(s->opt.run_dir, &s->opt.head, &s->segment, &err));
        s->opened = sg_clock_ns();
    }
    SG_TRY(sg_segment_put(s->segment, r, &err));
    if (sg_segment_bytes(s->segment) >= segment_bytes || sg_clock_ns() >= due(s)) close_segment(s);
out:
    if (st == SG_OK) return;
    sg_segment_abandon(s->segment);
    s->segment = NULL;
    failed(s, st, &err);
}

static void free_job(struct job *j) {
    sg_segment_record_free(j->record);
    free(j);
}

/* Waits for work, or until the open segment must close; true when that time has come. */
static bool wait_for_work(struct sg_segment_thread *s) {
    if (!s->segment) {
        pthread_cond_wait(&s->work, &s->mutex);
        return false;
    }
    const int64_t at = due(s);
    const struct timespec until = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
    pthread_cond_timedwait(&s->work, &s->mutex, &until);
    return sg_clock_ns() >= at;
}

static void *write_segments(void *arg) {
    struct sg_segment_thread *s = arg;
    bool late = false;
    pthread_mutex_lock(&s->mutex);
    while (!s->quit) {
        struct job *j = s->first;
        if (j) {
            s->first = j->next;
            if (!s->first) s->last = &s->first;
            pthread_mutex_unlock(&s->mutex);
            const size_t bytes = sg_segment_record_bytes(j->record);
            write_record(s, j->record);
            free_job(j);
            pthread_mutex_lock(&s->mutex);
            s->queued -= bytes;
        } else if (s->segment && (s->closing || late)) {
            pthread_mutex_unlock(&s->mutex);
            close_segment(s);
            pthread_mutex_lock(&s->mutex);
        } else if (s->closing) {
            s->closing = false;
        } else {
            late = wait_for_work(s);
            continue;
        }
        late = false;
        pthread_cond_signal(&s->done);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* ---- the caller's side ------------------------------------------------------------------------------ */

enum sg_status sg_segment_thread_open(const struct sg_segment_thread_options *opt,
                                      struct sg_segment_thread **out, struct sg_err *err) {
    struct sg_segment_thread *s = NULL;
    enum sg_status st = SG_NEW(&s, 1, "segment writer", err);
    if (st != SG_OK) return st;
    s->opt = *opt;
    if (!s->opt.queue_bytes) s->opt.queue_bytes = usual_queue;
    s->started = sg_clock_ns();
    s->last = &s->first;
    pthread_mutex_init(&s->mutex, NULL);
    sg_cond_init(&s->work);
    sg_cond_init(&s->done);
    st = sg_thread_start(&s->thread, write_segments, s, "segments", err);
    if (st == SG_OK) {
        *out = s;
        return SG_OK;
    }
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->mutex);
    free(s);
    return st;
}

/* Mutex held. */
static enum sg_status tell(struct sg_segment_thread *s, struct sg_err *err) {
    if (s->status != SG_OK && err) *err = s->err;
    s->told = s->status != SG_OK;
    return s->status;
}

enum sg_status sg_segment_thread_put(struct sg_segment_thread *s, int64_t cell_index,
                                     struct sg_digest cell_fingerprint, const struct sg_cell *cell,
                                     struct sg_err *err) {
    struct job *j = NULL;
    enum sg_status st = SG_NEW(&j, 1, "finished cell", err);
    if (st == SG_OK) st = sg_segment_encode(cell_index, cell_fingerprint, cell, &j->record, err);
    if (st != SG_OK) {
        free(j);
        return st;
    }
    const size_t bytes = sg_segment_record_bytes(j->record);
    pthread_mutex_lock(&s->mutex);
    while (s->status == SG_OK && s->queued > 0 && s->queued + bytes > s->opt.queue_bytes)
        pthread_cond_wait(&s->done, &s->mutex);
    st = tell(s, err);
    if (st == SG_OK) {
        *s->last = j;
        s->last = &j->next;
        s->queued += bytes;
        j = NULL;
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->mutex);
    if (j) free_job(j);
    return st;
}

enum sg_status sg_segment_thread_check(struct sg_segment_thread *s, struct sg_err *err) {
    pthread_mutex_lock(&s->mutex);
    const enum sg_status st = tell(s, err);
    pthread_mutex_unlock(&s->mutex);
    return st;
}

int64_t sg_segment_thread_safe(struct sg_segment_thread *s) {
    pthread_mutex_lock(&s->mutex);
    const int64_t safe = s->safe;
    pthread_mutex_unlock(&s->mutex);
    return safe;
}

enum sg_status sg_segment_thread_finish(struct sg_segment_thread *s, struct sg_err *err) {
    pthread_mutex_lock(&s->mutex);
    s->closing = true;
    pthread_cond_signal(&s->work);
    while (s->closing) pthread_cond_wait(&s->done, &s->mutex);
    const enum sg_status st = s->told ? SG_OK : tell(s, err);
    pthread_mutex_unlock(&s->mutex);
    return st;
}

void sg_segment_thread_free(struct sg_segment_thread *s) {
    if (!s) return;
    pthread_mutex_lock(&s->mutex);
    s->quit = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    for (struct job *j = s->first, *next; j; j = next) {
        next = j->next;
        free_job(j);
    }
    sg_segment_abandon(s->segment);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

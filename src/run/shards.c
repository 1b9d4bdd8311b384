#include "run/shards.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process_id.h"
#include "rundir/shard_files.h"
#include "store/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SHARE = 64, FLOOR = 512 };                       /* shards.h: the cut */
static const int64_t LOOK_NS = 500000000;               /* between listings of the other tasks' shards */
static const int64_t BEAT_NS = 10000000000;             /* between checks of this task's locks */
static const int64_t LINE_NS = 10000000000;             /* between lines on stderr */
static const struct timespec PAUSE = {0, 20 * 1000000}; /* while there is nothing to do */
static const struct timespec WAIT = {0, 200 * 1000000}; /* while another task has RUNDIR/lock */

enum state {
    FREE,    /* as of the last listing; sg_shard_files_take decides */
    OTHERS,  /* held by a living task */
    TAKEN,   /* held by this task, its cells are not in the queue yet */
    OURS,    /* held by this task, not all of its cells are finished */
    CLOSING, /* held by this task, all finished, some not yet in a closed segment */
    DONE
};
struct shard {
    struct sg_lock *lock; /* TAKEN, OURS, CLOSING */
    int64_t left;         /* OURS: cells to finish */
    int64_t safe_at;      /* CLOSING: done when so many cells of this task are safe */
    enum state state;
};
struct sg_shards {
    struct sg_shards_options opt;
    const char *dir;
    char *lock_path, *folder; /* RUNDIR/lock, RUNDIR/shards */
    char name[160];           /* of this task */
    struct sg_workqueue *queue;
    uint8_t *done; /* [n_cells]: in a closed segment at the last scan */
    int64_t found, failed;
    int32_t *rank_of; /* [n_rows]: rank of a row in the order */
    int64_t *first;   /* [n + 1] */
    struct shard *shards;
    struct sg_shard_state *files; /* [n]: scratch */
    int64_t n, n_done, closing, in_hand, finished;
    int32_t tasks; /* that hold shards, this one included, at the last listing */
    int64_t last_look, last_beat, last_line;
};

/* ---- the cut ---------------------------------------------------------------------------------------- */

enum sg_status sg_shards_cut(int64_t n_cells, int64_t **first, int64_t *n, struct sg_err *err) {
    int64_t *at = NULL, count = 0, floor = n_cells / FLOOR > 1 ? n_cells / FLOOR : 1;
    size_t cap = 0;
    enum sg_status st = SG_OK;
    for (int64_t p = 0; st == SG_OK; count++) {
        st = SG_GROW(&at, &cap, count + 1, "shards of the grid", err);
        if (st != SG_OK) break;
        at[count] = p;
        if (p == n_cells) break;
        const int64_t left = n_cells - p, size = left / SHARE > floor ? left / SHARE : floor;
        p += size < left ? size : left;
    }
    if (st != SG_OK) {
        free(at);
        return st;
    }
    *first = at;
    *n = count;
    return SG_OK;
}

static int64_t shard_of(const struct sg_shards *a, int64_t cell) {
    const int64_t m = a->opt.plan->n_models, position = (int64_t)a->rank_of[cell / m] * m + cell % m;
    int64_t low = 0, high = a->n; /* first[low] <= position < first[high] */
    while (high - low > 1) {
        const int64_t mid = low + (high - low) / 2;
        if (a->first[mid] <= position)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static bool all_cells(const struct sg_shards *a, int64_t k) {
    for (int64_t p = a->first[k]; p < a->first[k + 1]; p++)
        if (!a->done[sg_order_cell(a->opt.order, p)]) return false;
    return true;
}

/* ---- what the directory holds ----------------------------------------------------------------------- */

/* Reads which cells are in closed segments, and which were in flight when other tasks crashed. */
static enum sg_status scan(struct sg_shards *a, struct sg_err *err) {
    if (a->queue) sg_workqueue_read_crashes(a->queue, !a->opt.quiet);
    return sg_segments_scan(a->dir, a->opt.plan->fingerprint, a->opt.plan->n_cells, a->done, &a->found,
                            &a->failed, a->tasks > 1 ? SG_CLEAN_DEAD : SG_CLEAN_SILENT, err);
}

/* Lists which shards other tasks hold and have finished. Open shards of a task that ended are FREE again. */
static enum sg_status look(struct sg_shards *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool holding = false;
    SG_TRY(sg_shard_files_list(a->dir, a->files, a->n, &a->tasks, NULL, err));
    a->last_look = sg_clock_ns();
    for (int64_t k = 0; k < a->n; k++) {
        struct shard *s = &a->shards[k];
        holding = holding || s->lock;
        if (s->lock || s->state == DONE) continue;
        s->state = a->files[k].done ? DONE : a->files[k].held ? OTHERS : FREE;
        a->n_done += s->state == DONE;
    }
    a->tasks += !holding;
out:
    return st;
}

/* At the start: also removes the mark of a shard that is marked done but lacks cells (a lost segment). */
static enum sg_status first_look(struct sg_shards *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(look(a, err));
    SG_TRY(scan(a, err)); /* after the marks, which are written when the segments are closed */
    for (int64_t k = 0; k < a->n; k++) {
        if (a->shards[k].state != DONE || all_cells(a, k)) continue;
        SG_TRY(sg_shard_files_unmark(a->dir, k, err));
        a->shards[k].state = FREE;
        a->n_done--;
    }
out:
    return st;
}

/* ---- RUNDIR/lock ------------------------------------------------------------------------------------ */

static enum sg_status stopped(const struct sg_shards *a, const char *meanwhile, struct sg_err *err) {
    const char *name;
    if (!sg_comm_stop_asked(a->opt.comm, &name)) return SG_OK;
    return sg_fail(err, SG_E_STOPPED, "stopped by %s%s", name, meanwhile);
}

/* Tries to take RUNDIR/lock; when another task has it, waits a moment, with *lock NULL. SG_E_BUSY when a run
 * without --array holds it; SG_E_IO when it is this process's own, which it could not drop. */
static enum sg_status try_lock(const struct sg_shards *a, struct sg_lock **lock, struct sg_err *err) {
    struct sg_err why = {0};
    struct sg_lock_holder h;
    struct sg_process_id self;
    enum sg_status st = sg_lock_take(a->lock_path, SG_LOCK_ARRAY, lock, &why);
    if (st == SG_E_BUSY) {
        const bool held = sg_lock_look(a->lock_path, NULL, &h, &why) == SG_E_BUSY;
        sg_process_self(&self);
        if (held && h.owner.pid == self.pid && h.owner.start == self.start &&
            sg_process_life(&h.owner, &self) == SG_LIFE_ALIVE)
            return sg_fail(err, SG_E_IO,
                           "%s: this process could not remove its own lock; start the task again, or remove "
                           "the file when no task is active here",
                           a->lock_path);
        if (!held || h.role != SG_LOCK_RUN) {
            nanosleep(&WAIT, NULL);
            return SG_OK;
        }
    }
    if (st != SG_OK && err) *err = why;
    return st;
}

enum sg_status sg_shards_lock(struct sg_shards *a, struct sg_lock **lock, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_done end;
    bool done = false;
    *lock = NULL;
    for (;;) {
        SG_TRY(sg_rundir_read_done(a->dir, &done, &end, err));
        if (done || *lock)
            break; /* reads DONE once more under the lock: another task may have written it meanwhile */
        SG_TRY(stopped(a, " while another task merges", err));
        SG_TRY(try_lock(a, lock, err));
    }
out:
    if (done || st != SG_OK) {
        sg_lock_drop(*lock);
        *lock = NULL;
    }
    return st;
}

/* Begins the run, or waits for the task that does. That task makes the directory's files under RUNDIR/lock,
 * the folder of the shards last: where that folder exists the run has begun. */
static enum sg_status begin(struct sg_shards *a, bool *finished, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_lock *lock = NULL;
    struct sg_run_done end;
    for (;;) {
        SG_TRY(sg_rundir_read_done(a->dir, finished, &end, err));
        if (*finished || sg_dir_exists(a->folder)) break;
        if (lock) {
            SG_TRY(sg_rundir_begin(a->dir, a->opt.plan, a->opt.id, err));
            SG_TRY(a->opt.begin(a->opt.ctx, err));
            SG_TRY(sg_dir_make(a->folder, err));
            goto out;
        }
        SG_TRY(stopped(a, " while another task begins the run", err));
        SG_TRY(try_lock(a, &lock, err));
    }
    SG_TRY(sg_rundir_begin(a->dir, a->opt.plan, a->opt.id, err)); /* checks that it is this run */
out:
    sg_lock_drop(lock);
    return st;
}

/* ---- open and close --------------------------------------------------------------------------------- */

enum sg_status sg_shards_open(const struct sg_shards_options *opt, struct sg_shards **out, bool *finished,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_shards *a = NULL;
    const struct sg_plan *plan = opt->plan;
    struct timespec now;
    *finished = false;
    SG_TRY(SG_NEW(&a, 1, "task of an array", err));
    a->opt = *opt;
    a->dir = plan->job.output.dir;
    a->tasks = 1;
    clock_gettime(CLOCK_REALTIME, &now); /* pids repeat */
    snprintf(a->name, sizeof a->name, "%.100s-%ld-%" PRIx64, sg_comm_host(opt->comm), (long)getpid(),
             (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    SG_TRY(sg_shards_cut(plan->n_cells, &a->first, &a->n, err));
    SG_TRY(SG_NEW(&a->shards, a->n, "shards of the grid", err));
    SG_TRY(SG_NEW(&a->files, a->n, "shards of the grid", err));
    SG_TRY(SG_NEW(&a->done, plan->n_cells, "cells done", err));
    SG_TRY(SG_NEW(&a->rank_of, plan->n_rows, "order of cells", err));
    for (int64_t r = 0; r < opt->order->n_queries; r++) a->rank_of[opt->order->query[r]] = (int32_t)r;
    SG_TRY(sg_dir_make(a->dir, err));
    SG_TRY(sg_path_join(a->dir, "lock", &a->lock_path, err));
    SG_TRY(sg_path_join(a->dir, "shards", &a->folder, err));
    SG_TRY(begin(a, finished, err));
    if (!*finished) SG_TRY(first_look(a, err));
    *out = a;
    a = NULL;
out:
    sg_shards_close(a);
    return st;
}

void sg_shards_close(struct sg_shards *a) {
    if (!a) return;
    for (int64_t k = 0; a->shards && k < a->n; k++) sg_lock_drop(a->shards[k].lock);
    if (a->files) sg_shard_files_tidy(a->dir, a->files, a->n);
    free(a->lock_path);
    free(a->folder);
    free(a->done);
    free(a->rank_of);
    free(a->first);
    free(a->shards);
    free(a->files);
    free(a);
}

int64_t sg_shards_found(const struct sg_shards *a) {
    return a->found;
}

void sg_shards_set_queue(struct sg_shards *a, struct sg_workqueue *queue) {
    a->queue = queue;
    sg_workqueue_read_crashes(queue, !a->opt.quiet);
}

/* ---- taking shards ---------------------------------------------------------------------------------- */

/* Puts the cells of a taken shard that are not done into the queue, as leases. */
static enum sg_status queue_shard(struct sg_shards *a, int64_t k, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct shard *s = &a->shards[k];
    struct sg_lease l = {0};
    s->left = 0;
    for (int64_t p = a->first[k]; p <= a->first[k + 1]; p++) {
        const bool open = p < a->first[k + 1] && !a->done[sg_order_cell(a->opt.order, p)];
        if (open) {
            if (l.count == 0) l.first = p;
            l.count++;
            continue;
        }
        if (l.count > 0) SG_TRY(sg_workqueue_take(a->queue, &l, err));
        s->left += l.count;
        l.count = 0;
    }
    a->in_hand += s->left;
    s->state = s->left > 0 ? OURS : CLOSING;
    s->safe_at = 0; /* if nothing is left, all is in closed segments already */
    a->closing += s->left == 0;
out:
    return st;
}

/* *want: how many cells to take now. What the queue asks for, but leased cells are at most an equal share of
 * the free ones (as in dispatch.h). At least one while any is free and none is leased. */
static enum sg_status wanted(struct sg_shards *a, int64_t *want, struct sg_err *err) {
    int64_t free_now = 0;
    *want = sg_workqueue_want(a->queue);
    if (*want == 0) return SG_OK;
    if (sg_clock_ns() - a->last_look >= LOOK_NS) {
        enum sg_status st = look(a, err);
        if (st != SG_OK) return st;
    }
    for (int64_t k = 0; k < a->n; k++)
        if (a->shards[k].state == FREE) free_now += a->first[k + 1] - a->first[k];
    const int64_t most = free_now / (a->tasks > 0 ? a->tasks : 1) - a->in_hand;
    if (*want > most) *want = most;
    if (*want <= 0) *want = free_now > 0 && a->in_hand == 0;
    return SG_OK;
}

static enum sg_status take(struct sg_shards *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t want;
    bool taken = false, begun = false;
    SG_TRY(wanted(a, &want, err));
    for (int64_t k = 0; k < a->n && want > 0; k++) {
        struct shard *s = &a->shards[k];
        struct sg_shard_taken t;
        if (s->state != FREE) continue;
        SG_TRY(sg_shard_files_take(a->dir, k, &t, err));
        s->lock = t.lock;
        s->state = t.done ? DONE : t.lock ? TAKEN : OTHERS;
        a->n_done += t.done;
        if (!t.lock) continue;
        taken = true;
        begun = begun || t.begun;
        want -= a->first[k + 1] - a->first[k];
    }
    /* Another task had the shard, and may have closed segments with its cells since the last scan. */
    if (begun) SG_TRY(scan(a, err));
    for (int64_t k = 0; k < a->n && taken; k++)
        if (a->shards[k].state == TAKEN) SG_TRY(queue_shard(a, k, err));
out:
    return st;
}

enum sg_status sg_shards_take_first(struct sg_shards *a, struct sg_err *err) {
    return take(a, err);
}

/* ---- finishing shards ------------------------------------------------------------------------------- */

void sg_shards_cell_done(void *ctx, int64_t cell_index) {
    struct sg_shards *a = ctx;
    struct shard *s = &a->shards[shard_of(a, cell_index)];
    SG_ASSERT(s->state == OURS && s->left > 0);
    a->in_hand--;
    a->finished++;
    if (--s->left > 0) return;
    s->state = CLOSING;
    s->safe_at = a->finished;
    a->closing++;
}

/* Marks this task's finished shards done, once all their cells are in closed segments. */
static enum sg_status settle(struct sg_shards *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (a->closing == 0) return SG_OK;
    const int64_t safe = sg_workqueue_safe(a->queue);
    bool noted = false;
    for (int64_t k = 0; k < a->n; k++) {
        struct shard *s = &a->shards[k];
        if (s->state != CLOSING || s->safe_at > safe) continue;
        if (!noted) a->opt.note(a->opt.ctx, a->name);
        noted = true;
        SG_TRY(sg_shard_files_mark_done(a->dir, k, s->lock, err));
        sg_lock_drop(s->lock);
        s->lock = NULL;
        s->state = DONE;
        a->n_done++;
        a->closing--;
    }
out:
    return st;
}

static enum sg_status beat(struct sg_shards *a, int64_t now, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (now - a->last_beat < BEAT_NS) return SG_OK;
    a->last_beat = now;
    for (int64_t k = 0; k < a->n; k++)
        if (a->shards[k].lock) SG_TRY(sg_lock_beat(a->shards[k].lock, err));
out:
    return st;
}

static void line(struct sg_shards *a, int64_t now) {
    if (now - a->last_line < LINE_NS) return;
    a->last_line = now;
    struct sg_counts c;
    sg_workqueue_counts(a->queue, &c);
    int64_t cells = 0;
    for (int64_t k = 0; k < a->n; k++)
        if (a->shards[k].state == DONE) cells += a->first[k + 1] - a->first[k];
    fprintf(stderr, "scope-grid: array: %lld of %lld cells are safe, %lld finished here\n", (long long)cells,
            (long long)a->opt.plan->n_cells, (long long)c.cells);
}

static enum sg_status work(struct sg_shards *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    a->last_line = sg_clock_ns();
    while (a->n_done < a->n) {
        const int64_t now = sg_clock_ns();
        SG_TRY(stopped(a, "", err));
        SG_TRY(beat(a, now, err));
        if (!a->opt.quiet) line(a, now);
        SG_TRY(take(a, err));
        if (!sg_workqueue_empty(a->queue)) {
            SG_TRY(sg_workqueue_step(a->queue, err));
        } else {
            /* Other tasks wait for these cells, so the open segment is closed now. */
            SG_TRY(sg_workqueue_finish(a->queue, err));
            if (a->closing == 0) nanosleep(&PAUSE, NULL);
        }
        SG_TRY(settle(a, err));
    }
out:
    return st;
}

enum sg_status sg_shards_loop(struct sg_shards *a, struct sg_err *err) {
    struct sg_err closing = {0};
    enum sg_status st = work(a, err), end = sg_workqueue_finish(a->queue, &closing);
    if (end == SG_OK) end = settle(a, &closing);
    if (end != SG_OK && (st == SG_OK || st == SG_E_STOPPED)) {
        st = end;
        if (err) *err = closing;
    }
    return st;
}

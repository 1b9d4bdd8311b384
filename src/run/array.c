#include "run/array.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/clock.h"
#include "rundir/rundir.h"
#include "rundir/lock.h"
#include "rundir/members.h"
#include "store/segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SHARES = 128 };                                    /* of what is left: the size of a piece */
static const int64_t LOOK_NS = 500000000;                 /* between looks at what the others do */
static const int64_t BEAT_NS = 10000000000;               /* between signs of life */
static const int64_t LINE_NS = 10000000000;               /* between lines for people */
static const int64_t BEGIN_NS = 30000000000;              /* how long another may take to begin the run */
static const struct timespec PAUSE = {0, 20 * 1000000};   /* while there is nothing to do */
static const struct timespec LOCKED = {0, 200 * 1000000}; /* while another merges */

enum state {
    FREE,    /* as far as we know; claiming it tells */
    OTHERS,  /* held by a member that lives */
    OURS,    /* not all of its cells are finished */
    CLOSING, /* ours, all finished, some not yet in a closed segment */
    DONE
};
struct piece {
    int32_t attempt; /* the highest that we know of */
    int32_t dead;    /* that attempt's holder was dead before the last scan: its cells are in done[] */
    int64_t left;    /* OURS: cells to finish */
    int64_t safe_at; /* CLOSING: done when so many of our cells are safe */
    enum state state;
};
struct sg_array {
    const struct sg_plan *plan;
    const struct sg_order *order;
    struct sg_member *member;
    const struct sg_comm *comm;
    struct sg_run_id *id;
    bool quiet;
    struct sg_workqueue *queue;
    uint8_t *done; /* [n_cells]: in a closed segment when we last scanned, or finished by us */
    int64_t found, failed;
    int32_t *rank_of; /* [n_queries]: rank of a query in the order */
    int64_t *first;   /* [n + 1] */
    struct piece *pieces;
    struct sg_piece *look; /* [n]: scratch */
    int64_t n, n_done, closing, in_hand, finished;
    int32_t members; /* that live, ourselves included, at the last look */
    int64_t last_look, last_beat, last_line;
    void (*note)(void *ctx); /* NULL: none */
    void *note_ctx;
};

/* ---- pieces ----------------------------------------------------------------------------------------- */

enum sg_status sg_array_pieces(int64_t n_cells, int64_t **first, int64_t *n, struct sg_err *err) {
    int64_t *at = NULL, count = 0;
    size_t cap = 0;
    enum sg_status st = SG_OK;
    for (int64_t p = 0; st == SG_OK; count++) {
        st = SG_GROW(&at, &cap, count + 1, "pieces of the grid", err);
        if (st != SG_OK) break;
        at[count] = p;
        if (p == n_cells) break;
        int64_t size = (n_cells - p) / SHARES;
        p += size < 1 ? 1 : size;
    }
    if (st != SG_OK) {
        free(at);
        return st;
    }
    *first = at;
    *n = count;
    return SG_OK;
}

static int64_t piece_of(const struct sg_array *a, int64_t position) {
    int64_t low = 0, high = a->n; /* first[low] <= position < first[high] */
    while (high - low > 1) {
        int64_t mid = low + (high - low) / 2;
        if (a->first[mid] <= position)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* The order is heavy first, never shuffled: models stand in their own order. */
static int64_t position_of(const struct sg_array *a, int64_t cell) {
    const int64_t m = a->plan->n_models;
    return (int64_t)a->rank_of[cell / m] * m + cell % m;
}

/* ---- what the directory holds ----------------------------------------------------------------------- */

/* Reads which cells are in closed segments. */
static enum sg_status scan(struct sg_array *a, struct sg_err *err) {
    return sg_segments_scan(a->plan->job.output.dir, a->plan->fingerprint, a->plan->n_cells, a->done,
                            &a->found, &a->failed, a->members > 1 ? SG_CLEAN_DEAD : SG_CLEAN_SILENT, err);
}

/* The directory's lock, once no other member has it. *lock stays NULL when the run is DONE meanwhile. */
static enum sg_status wait_for_lock(struct sg_array *a, struct sg_lock **lock, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *dir = a->plan->job.output.dir, *name;
    struct sg_run_done end;
    for (;;) {
        bool done;
        SG_TRY(sg_rundir_read_done(dir, &done, &end, err));
        if (done) break;
        if (sg_comm_stop_asked(a->comm, &name)) return sg_fail(err, SG_E_STOPPED, "stopped by %s", name);
        SG_TRY(sg_member_beat(a->member, err));
        SG_TRY(sg_member_check(a->member, err)); /* a stranger's lock: nothing to wait for */
        struct sg_err busy = {0};
        st = sg_lock_take(dir, lock, &busy);
        if (st == SG_OK) {
            st = sg_rundir_read_done(dir, &done, &end, err); /* while we waited */
            if (st != SG_OK || done) {
                sg_lock_drop(*lock);
                *lock = NULL;
            }
            break;
        }
        if (st != SG_E_BUSY) {
            if (err) *err = busy;
            break;
        }
        st = SG_OK;
        nanosleep(&LOCKED, NULL);
    }
out:
    return st;
}

/* Also which cells were in flight when others crashed: their cells may be among those that are missing. */
static enum sg_status scan_after_deaths(struct sg_array *a, struct sg_err *err) {
    if (a->queue) sg_workqueue_read_crashes(a->queue, !a->quiet);
    return scan(a, err);
}

static bool all_cells(const struct sg_array *a, int64_t k) {
    for (int64_t p = a->first[k]; p < a->first[k + 1]; p++)
        if (!a->done[sg_order_cell(a->order, p)]) return false;
    return true;
}

/* Sees what the others hold and have finished. A piece of a dead or departed member is FREE again. */
static enum sg_status look(struct sg_array *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_member_look(a->member, a->look, a->n, err));
    SG_TRY(sg_member_count(a->member, &a->members, err));
    a->last_look = sg_clock_ns();
    for (int64_t k = 0; k < a->n; k++) {
        struct piece *p = &a->pieces[k];
        const struct sg_piece *l = &a->look[k];
        if (p->state == OURS || p->state == CLOSING || p->state == DONE) continue;
        if (l->attempt > p->attempt) p->attempt = l->attempt;
        p->state = l->done ? DONE : l->held ? OTHERS : FREE;
        a->n_done += p->state == DONE;
    }
out:
    return st;
}

/* At the beginning: first who is dead, then what they have left, so that nothing of theirs is missed. A piece
 * that is marked done although cells are missing has lost a segment: it is computed again. */
static enum sg_status first_look(struct sg_array *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(look(a, err));
    for (int64_t k = 0; k < a->n; k++)
        if (a->pieces[k].state == FREE) a->pieces[k].dead = a->pieces[k].attempt;
    SG_TRY(scan_after_deaths(a, err));
    for (int64_t k = 0; k < a->n; k++) {
        if (a->pieces[k].state != DONE || all_cells(a, k)) continue;
        SG_TRY(sg_member_undone(a->member, k, err));
        a->pieces[k].state = FREE;
        a->n_done--;
    }
out:
    return st;
}

/* ---- joining ---------------------------------------------------------------------------------------- */

/* The first member makes the directory's files under the lock; who comes meanwhile waits for run.json. */
static enum sg_status begin(struct sg_array *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *dir = a->plan->job.output.dir, *name;
    const int64_t until = sg_clock_ns() + BEGIN_NS;
    struct sg_lock *lock = NULL;
    while (!sg_rundir_is(dir)) {
        if (sg_comm_stop_asked(a->comm, &name)) return sg_fail(err, SG_E_STOPPED, "stopped by %s", name);
        SG_TRY(sg_member_check(a->member, err));
        st = sg_lock_take(dir, &lock, err);
        if (st == SG_OK) {
            st = sg_rundir_begin(dir, a->plan, a->id, err);
            sg_lock_drop(lock);
            goto out;
        }
        if (st != SG_E_BUSY || sg_clock_ns() > until) goto out;
        if (err) memset(err, 0, sizeof *err);
        st = SG_OK;
        nanosleep(&PAUSE, NULL);
    }
    SG_TRY(sg_rundir_begin(dir, a->plan, a->id, err));
out:
    return st;
}

enum sg_status sg_array_join(const struct sg_plan *plan, const struct sg_order *order,
                             const struct sg_comm *c, struct sg_run_id *id, bool quiet, struct sg_array **out,
                             bool *finished, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_array *a = NULL;
    struct sg_run_done end;
    int32_t living;
    *finished = false;
    SG_TRY(SG_NEW(&a, 1, "array member", err));
    a->plan = plan;
    a->order = order;
    a->comm = c;
    a->id = id;
    a->quiet = quiet;
    SG_TRY(sg_array_pieces(plan->n_cells, &a->first, &a->n, err));
    SG_TRY(SG_NEW(&a->pieces, a->n, "pieces of the grid", err));
    SG_TRY(SG_NEW(&a->look, a->n, "pieces of the grid", err));
    SG_TRY(SG_NEW(&a->done, plan->n_cells, "cells done", err));
    SG_TRY(SG_NEW(&a->rank_of, plan->n_queries, "order of cells", err));
    for (int64_t r = 0; r < order->n_queries; r++) a->rank_of[order->query[r]] = (int32_t)r;
    SG_TRY(sg_dir_make(plan->job.output.dir, err));
    SG_TRY(sg_member_join(plan->job.output.dir, &a->member, err));
    SG_TRY(begin(a, err));
    SG_TRY(sg_rundir_read_done(plan->job.output.dir, finished, &end, err));
    if (*finished)
        SG_TRY(sg_member_count(a->member, &living, err)); /* clears the files of those killed behind DONE */
    else
        SG_TRY(first_look(a, err));
    *out = a;
    a = NULL;
out:
    sg_array_leave(a);
    return st;
}

void sg_array_leave(struct sg_array *a) {
    if (!a) return;
    sg_member_leave(a->member);
    free(a->done);
    free(a->rank_of);
    free(a->first);
    free(a->pieces);
    free(a->look);
    free(a);
}

const char *sg_array_member(const struct sg_array *a) {
    return sg_member_token(a->member);
}

int64_t sg_array_found(const struct sg_array *a) {
    return a->found;
}

/* ---- taking pieces ---------------------------------------------------------------------------------- */

/* Puts the open cells of a piece that is ours into the hand, as runs of positions. */
static enum sg_status queue_piece(struct sg_array *a, int64_t k, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct piece *piece = &a->pieces[k];
    struct sg_lease l = {0};
    piece->left = 0;
    for (int64_t p = a->first[k]; p <= a->first[k + 1]; p++) {
        const bool open = p < a->first[k + 1] && !a->done[sg_order_cell(a->order, p)];
        if (open) {
            if (l.count == 0) l.first = p;
            l.count++;
            continue;
        }
        if (l.count > 0) SG_TRY(sg_workqueue_take(a->queue, &l, err));
        piece->left += l.count;
        l.count = 0;
    }
    a->in_hand += piece->left;
    piece->state = piece->left > 0 ? OURS : CLOSING;
    piece->safe_at = 0; /* in closed segments, if nothing is left */
    a->closing += piece->left == 0;
out:
    return st;
}

/* Tries to get piece k. */
static enum sg_status claim(struct sg_array *a, int64_t k, bool *mine, struct sg_err *err) {
    struct piece *p = &a->pieces[k];
    enum sg_status st = sg_member_claim(a->member, k, p->attempt + 1, mine, err);
    if (st != SG_OK) return st;
    p->attempt++;
    p->state = *mine ? OURS : OTHERS;
    return SG_OK;
}

/* Cells that nobody holds, as far as we know. */
static int64_t free_cells(const struct sg_array *a) {
    int64_t n = 0;
    for (int64_t k = 0; k < a->n; k++)
        if (a->pieces[k].state == FREE) n += a->first[k + 1] - a->first[k];
    return n;
}

/* How many cells to take now: what the device wants, but no more in hand than an equal share of what is free
 * (dispatch.h says why), and never nothing while there is something and the hand is empty. */
static enum sg_status wanted(struct sg_array *a, int64_t *want, struct sg_err *err) {
    *want = sg_workqueue_want(a->queue);
    if (*want == 0) return SG_OK;
    if (sg_clock_ns() - a->last_look >= LOOK_NS) {
        enum sg_status st = look(a, err);
        if (st != SG_OK) return st;
    }
    const int64_t free_now = free_cells(a);
    if (free_now == 0) {
        *want = 0;
        return SG_OK;
    }
    const int64_t room = free_now / (a->members > 0 ? a->members : 1) - a->in_hand;
    if (*want > room) *want = room;
    if (*want <= 0) *want = a->in_hand == 0;
    return SG_OK;
}

static enum sg_status take(struct sg_array *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t want, first_new = -1, last_new = -1;
    bool stale = false;
    SG_TRY(wanted(a, &want, err));
    for (int64_t k = 0; k < a->n && want > 0; k++) {
        struct piece *p = &a->pieces[k];
        if (p->state != FREE) continue;
        bool mine;
        const bool unseen = p->attempt > p->dead; /* its holder died after our last scan */
        SG_TRY(claim(a, k, &mine, err));
        if (!mine) continue;
        p->left = -1; /* to be queued */
        stale = stale || unseen;
        want -= a->first[k + 1] - a->first[k];
        if (first_new < 0) first_new = k;
        last_new = k;
    }
    /* Cells that we have finished and not yet closed are not in the scan; their pieces are not new. */
    if (stale) SG_TRY(scan_after_deaths(a, err));
    for (int64_t k = first_new; k >= 0 && k <= last_new; k++)
        if (a->pieces[k].state == OURS && a->pieces[k].left < 0) SG_TRY(queue_piece(a, k, err));
out:
    return st;
}

/* ---- finishing pieces ------------------------------------------------------------------------------- */

void sg_array_cell_done(void *ctx, int64_t cell_index) {
    struct sg_array *a = ctx;
    struct piece *p = &a->pieces[piece_of(a, position_of(a, cell_index))];
    SG_ASSERT(p->state == OURS && p->left > 0);
    a->in_hand--;
    a->finished++;
    if (--p->left > 0) return;
    p->state = CLOSING;
    p->safe_at = a->finished;
    a->closing++;
}

void sg_array_set_queue(struct sg_array *a, struct sg_workqueue *queue) {
    a->queue = queue;
}

void sg_array_on_done(struct sg_array *a, void (*note)(void *ctx), void *ctx) {
    a->note = note;
    a->note_ctx = ctx;
}

/* Marks our finished pieces done, once all their cells are in closed segments. */
static enum sg_status settle(struct sg_array *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (a->closing == 0) return SG_OK;
    const int64_t safe = sg_workqueue_safe(a->queue);
    bool noted = !a->note;
    for (int64_t k = 0; k < a->n; k++) {
        if (a->pieces[k].state != CLOSING || a->pieces[k].safe_at > safe) continue;
        if (!noted) a->note(a->note_ctx);
        noted = true;
        SG_TRY(sg_member_done(a->member, k, err));
        a->pieces[k].state = DONE;
        a->n_done++;
        a->closing--;
    }
out:
    return st;
}

static enum sg_status beat(struct sg_array *a, int64_t now, struct sg_err *err) {
    if (now - a->last_beat < BEAT_NS) return SG_OK;
    a->last_beat = now;
    return sg_member_beat(a->member, err);
}

static void line(struct sg_array *a, int64_t now) {
    if (now - a->last_line < LINE_NS) return;
    a->last_line = now;
    struct sg_counts c;
    sg_workqueue_counts(a->queue, &c);
    int64_t cells = 0;
    for (int64_t k = 0; k < a->n; k++)
        if (a->pieces[k].state == DONE) cells += a->first[k + 1] - a->first[k];
    fprintf(stderr, "scope-grid: array: %lld of %lld cells are safe, %lld finished here\n", (long long)cells,
            (long long)a->plan->n_cells, (long long)c.cells);
}

static enum sg_status work(struct sg_array *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *name;
    a->last_beat = a->last_line = sg_clock_ns();
    while (a->n_done < a->n) {
        const int64_t now = sg_clock_ns();
        if (sg_comm_stop_asked(a->comm, &name)) return sg_fail(err, SG_E_STOPPED, "stopped by %s", name);
        SG_TRY(beat(a, now, err));
        if (!a->quiet) line(a, now);
        SG_TRY(take(a, err));
        if (!sg_workqueue_empty(a->queue)) {
            SG_TRY(sg_workqueue_step(a->queue, err));
        } else {
            /* The others wait for these cells: no reason to keep them in an open segment. */
            SG_TRY(sg_workqueue_finish(a->queue, err));
            if (a->closing == 0) nanosleep(&PAUSE, NULL);
        }
        SG_TRY(settle(a, err));
    }
out:
    return st;
}

enum sg_status sg_array_loop(struct sg_array *a, struct sg_err *err) {
    struct sg_err closing = {0};
    enum sg_status st = work(a, err), end = sg_workqueue_finish(a->queue, &closing);
    if (end == SG_OK) end = settle(a, &closing);
    if (end != SG_OK && (st == SG_OK || st == SG_E_STOPPED)) {
        st = end;
        if (err) *err = closing;
    }
    return st;
}

/* ---- the end ---------------------------------------------------------------------------------------- */

enum sg_status sg_array_merge(struct sg_array *a, enum sg_status (*merge)(void *ctx, struct sg_err *err),
                              void *ctx, struct sg_err *err) {
    struct sg_lock *lock = NULL;
    enum sg_status st = wait_for_lock(a, &lock, err);
    if (st == SG_OK && lock) st = merge(ctx, err);
    sg_lock_drop(lock);
    return st;
}

#include "run/coordinator.h"

#include "base/mem.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct root {
    struct sg_coordinator *r;
    int64_t *want; /* [size]: cells each rank would take, as of its last report */
    int32_t byes;  /* BYE messages received */
    bool ended;    /* END was sent; status and err are the run's */
    enum sg_status status;
    struct sg_err err;
};

static int32_t dispatch_rank(const struct root *s, int32_t rank) {
    return s->r->queue ? rank : rank - 1;
}

/* Sends END, once. A later failure replaces the status only when that was SG_OK or a stop: a rank closes its
 * last segment after END, and its disk may be full. */
static void end(struct root *s, enum sg_status why, const struct sg_err *err) {
    const bool broke = why != SG_OK && why != SG_E_STOPPED;
    if (!s->ended || (broke && (s->status == SG_OK || s->status == SG_E_STOPPED))) {
        s->status = why;
        if (err) s->err = *err;
    }
    if (s->ended) return;
    s->ended = true;
    struct sg_message m = {.kind = SG_MSG_END, .status = (int32_t)why};
    for (int32_t i = 1; i < sg_comm_size(s->r->comm); i++) sg_comm_send_last(s->r->comm, i, &m);
}

static void count(struct root *s, int32_t rank, const struct sg_counts *now) {
    struct sg_counts *old = &s->r->progress->ranks[rank].counts;
    sg_dispatch_finished(s->r->dispatch, dispatch_rank(s, rank), now->cells - old->cells,
                         now->weight - old->weight);
    *old = *now;
}

/* Leases cells to one rank while it may have more, in as few messages as possible. */
static enum sg_status serve(struct root *s, int32_t rank, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_message m = {.kind = SG_MSG_LEASE};
    struct sg_lease l;
    while (s->want[rank] > 0 && sg_dispatch_next(s->r->dispatch, dispatch_rank(s, rank), s->want[rank], &l)) {
        s->want[rank] -= l.count;
        if (rank == 0) {
            SG_TRY(sg_workqueue_take(s->r->queue, &l, err));
            continue;
        }
        m.u.leases[m.n_leases++] = l;
        if (m.n_leases == SG_MESSAGE_LEASES) {
            SG_TRY(sg_comm_send(s->r->comm, rank, &m, err));
            m.n_leases = 0;
        }
    }
    if (m.n_leases > 0) SG_TRY(sg_comm_send(s->r->comm, rank, &m, err));
out:
    return st;
}

static void hear(struct root *s, int32_t from, const struct sg_message *m) {
    count(s, from, &m->counts);
    if (s->want) s->want[from] = m->kind == SG_MSG_REPORT ? m->want : 0;
    if (m->kind == SG_MSG_REPORT) return;
    SG_ASSERT(m->kind == SG_MSG_BYE);
    s->byes++;
    if (m->status == SG_OK) return;
    struct sg_err why = {0};
    sg_fail(&why, (enum sg_status)m->status, "rank %d on %s: %s", (int)from, s->r->progress->ranks[from].host,
            m->u.text);
    end(s, why.status, &why);
}

static enum sg_status turn(struct root *s, int64_t *last_beat, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_coordinator *r = s->r;
    const int32_t size = sg_comm_size(r->comm);
    struct sg_message m;
    int32_t from;
    bool heard = false;
    while (sg_comm_poll(r->comm, &m, &from)) {
        hear(s, from, &m);
        heard = true;
    }
    const char *name;
    if (!s->ended && sg_comm_stop_asked(r->comm, &name)) {
        struct sg_err why = {0};
        sg_fail(&why, SG_E_STOPPED, "stopped by %s", name);
        end(s, SG_E_STOPPED, &why);
    }
    if (!s->ended) {
        if (r->queue) s->want[0] = sg_workqueue_want(r->queue);
        for (int32_t i = 0; i < size; i++)
            if (s->want[i] > 0) SG_TRY(serve(s, i, err));
        if (sg_dispatch_left(r->dispatch) == 0 && sg_dispatch_leased(r->dispatch) == 0) end(s, SG_OK, NULL);
    }
    if (!s->ended && r->queue && !sg_workqueue_empty(r->queue)) {
        SG_TRY(sg_workqueue_step(r->queue, err));
    } else {
        if (!s->ended && r->queue) SG_TRY(sg_workqueue_tend(r->queue, err));
        if (!heard) sg_comm_idle(r->comm);
    }
    if (r->queue) {
        struct sg_counts now;
        sg_workqueue_counts(r->queue, &now);
        count(s, 0, &now);
    }
    sg_progress_update(r->progress);
    int64_t now = sg_clock_ns();
    if (r->beat && sg_clock_seconds(now - *last_beat) >= 10) {
        *last_beat = now;
        SG_TRY(r->beat(r->beat_ctx, err));
    }
out:
    return st;
}

enum sg_status sg_coordinator_loop(struct sg_coordinator *r, struct sg_err *err) {
    struct root s = {.r = r};
    int64_t last_beat = 0;
    int32_t others = sg_comm_size(r->comm) - 1;
    struct sg_err e = {0};
    enum sg_status st = SG_NEW(&s.want, sg_comm_size(r->comm), "ranks", &e);
    if (st != SG_OK) end(&s, st, &e);
    while (!s.ended || s.byes < others) {
        memset(&e, 0, sizeof e);
        st = turn(&s, &last_beat, &e);
        if (st != SG_OK) end(&s, st, &e);
    }
    if (r->queue) {
        memset(&e, 0, sizeof e);
        st = sg_workqueue_finish(r->queue, &e);
        if (st != SG_OK && (s.status == SG_OK || s.status == SG_E_STOPPED)) {
            s.status = st;
            s.err = e;
        }
    }
    free(s.want);
    if (s.status != SG_OK && err) *err = s.err;
    return s.status;
}

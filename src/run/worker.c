#include "run/worker.h"

#include "base/clock.h"

#include <string.h>

static const int64_t REPORT_NS = 200000000; /* between reports that ask for nothing */

struct worker {
    struct sg_comm *c;
    struct sg_workqueue *h;
    int64_t asked;    /* cells asked for and not received */
    int64_t reported; /* cells in the last report */
    int64_t last;     /* ns of the last report */
    bool ended;       /* END has come */
};

static enum sg_status read_messages(struct worker *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_message m;
    int32_t from;
    while (!w->ended && sg_comm_poll(w->c, &m, &from)) {
        if (m.kind == SG_MSG_END) {
            w->ended = true;
            break;
        }
        SG_ASSERT(m.kind == SG_MSG_LEASE);
        for (int32_t i = 0; i < m.n_leases; i++) {
            SG_TRY(sg_workqueue_take(w->h, &m.u.leases[i], err));
            w->asked -= m.u.leases[i].count;
        }
        if (w->asked < 0) w->asked = 0;
    }
out:
    return st;
}

/* Sends a report when the queue wants more cells than were asked for, and after finished cells when it is
 * empty or REPORT_NS have passed. */
static enum sg_status report(struct worker *w, struct sg_err *err) {
    int64_t want = sg_workqueue_want(w->h), now = sg_clock_ns();
    struct sg_message m = {.kind = SG_MSG_REPORT, .want = want};
    sg_workqueue_counts(w->h, &m.counts);
    bool news = m.counts.cells != w->reported;
    if (!(want > w->asked || (news && (sg_workqueue_empty(w->h) || now - w->last >= REPORT_NS))))
        return SG_OK;
    w->asked = want;
    w->reported = m.counts.cells;
    w->last = now;
    return sg_comm_send(w->c, 0, &m, err);
}

static enum sg_status work(struct worker *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *signal_name = NULL;
    while (!w->ended) {
        if (sg_comm_stop_asked(w->c, &signal_name))
            return sg_fail(err, SG_E_STOPPED, "stopped by %s", signal_name);
        SG_TRY(read_messages(w, err));
        SG_TRY(report(w, err));
        if (w->ended) break;
        if (sg_workqueue_empty(w->h)) {
            SG_TRY(sg_workqueue_tend(w->h, err));
            sg_comm_idle(w->c);
        } else {
            SG_TRY(sg_workqueue_step(w->h, err));
        }
    }
out:
    return st;
}

void sg_worker_loop(struct sg_comm *c, struct sg_workqueue *h) {
    struct worker w = {.c = c, .h = h};
    struct sg_err why = {0}, closing = {0};
    enum sg_status st = work(&w, &why), end = sg_workqueue_finish(h, &closing);
    /* A segment that could not be closed replaces a stop, but not a failure that came first. */
    if (end != SG_OK && (st == SG_OK || st == SG_E_STOPPED)) {
        st = end;
        why = closing;
    }
    struct sg_message bye = {.kind = SG_MSG_BYE, .status = (int32_t)st};
    sg_workqueue_counts(h, &bye.counts);
    memcpy(bye.u.text, why.text, sizeof why.text);
    sg_comm_send_last(c, 0, &bye);
    struct sg_message m;
    int32_t from;
    while (!w.ended) {
        if (!sg_comm_poll(c, &m, &from)) {
            sg_comm_idle(c);
            continue;
        }
        w.ended = m.kind == SG_MSG_END; /* leases sent before the root received BYE are dropped */
    }
}

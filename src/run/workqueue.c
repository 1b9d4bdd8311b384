#include "run/workqueue.h"

#include "base/mem.h"
#include "run/clock.h"
#include "run/journal.h"
#include "run/segment_thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_WANT = 16 };

struct sg_workqueue {
    struct sg_workqueue_options opt;
    struct sg_compute compute;
    struct sg_lease *queue; /* ring: [head, head + n) modulo cap */
    size_t head, n, cap;
    int64_t begun;    /* cells of the first lease already submitted */
    int64_t waiting;  /* cells leased and not submitted */
    int64_t capacity; /* cells the device was seen to hold at once */
    struct sg_counts counts;
    int64_t metered;            /* ns: the last look at the device's meter */
    struct sg_journal *journal; /* NULL: cannot be written */
    bool suspect_in;            /* a suspect has the device to itself */
    struct sg_segment_thread *scribe;
};

static enum sg_status take_cell(void *ctx, int64_t cell_index, const struct sg_cell *cell,
                                struct sg_err *err) {
    struct sg_workqueue *h = ctx;
    const struct sg_plan *p = h->opt.plan;
    enum sg_status st = SG_OK;
    sg_journal_end(h->journal, cell_index);
    SG_TRY(sg_segment_thread_put(h->scribe, cell_index, p->cell_fingerprint[cell_index], cell, err));
    h->counts.cells++;
    h->counts.weight += h->opt.order->weight[cell_index / p->n_models];
    h->counts.failed += cell->status != SG_OK;
    h->counts.prompt_tokens += cell->estimator_prompt_tokens;
    h->counts.output_tokens += cell->output_tokens;
out:
    return st;
}

enum sg_status sg_workqueue_open(const struct sg_workqueue_options *opt, struct sg_workqueue **out,
                                 struct sg_err *err) {
    struct sg_workqueue *h = NULL;
    enum sg_status st = SG_NEW(&h, 1, "cells in hand", err);
    if (st != SG_OK) return st;
    h->opt = *opt;
    const struct sg_segment_thread_options so = {
        .run_dir = opt->run_dir,
        .head = {opt->plan->fingerprint, opt->rank, opt->night, NULL},
        .segment_seconds = opt->segment_seconds};
    st = sg_segment_thread_open(&so, &h->scribe, err);
    if (st != SG_OK) {
        sg_workqueue_free(h);
        return st;
    }
    h->journal = sg_journal_open(opt->run_dir, opt->rank, opt->member);
    *out = h;
    return SG_OK;
}

struct sg_cell_sink sg_workqueue_sink(struct sg_workqueue *h) {
    return (struct sg_cell_sink){h, take_cell};
}

void sg_workqueue_set_compute(struct sg_workqueue *h, const struct sg_compute *compute) {
    h->compute = *compute;
}

void sg_workqueue_heed(struct sg_workqueue *h) {
    sg_journal_reload(h->journal, h->opt.run_dir);
}

enum sg_status sg_workqueue_take(struct sg_workqueue *h, const struct sg_lease *lease, struct sg_err *err) {
    if (h->n == h->cap) {
        struct sg_lease *q = NULL;
        size_t cap = h->cap ? 2 * h->cap : 8;
        enum sg_status st = SG_NEW(&q, cap, "leases in hand", err);
        if (st != SG_OK) return st;
        for (size_t i = 0; i < h->n; i++) q[i] = h->queue[(h->head + i) % h->cap];
        free(h->queue);
        h->queue = q;
        h->cap = cap;
        h->head = 0;
    }
    h->queue[(h->head + h->n++) % h->cap] = *lease;
    h->waiting += lease->count;
    return SG_OK;
}

/* Half a device's fill waits, so that an answer of the root that takes a while (it computes too) finds the
 * device still busy. Until the device has refused a cell its capacity is a guess. */
int64_t sg_workqueue_want(const struct sg_workqueue *h) {
    int64_t fill = h->capacity > FIRST_WANT ? h->capacity : FIRST_WANT, ahead = fill / 2;
    return h->waiting < ahead ? fill + ahead - h->waiting : 0;
}

bool sg_workqueue_empty(const struct sg_workqueue *h) {
    return h->waiting == 0 && (!h->compute.pending || h->compute.pending(h->compute.ctx) == 0);
}

/* Asking takes about a millisecond: once a second, and at the end. */
static void look_at_meter(struct sg_workqueue *h, bool at_once) {
    const int64_t now = sg__now_ns();
    struct sg_dev_power p;
    if (!h->compute.power || (!at_once && sg__seconds(now - h->metered) < 1)) return;
    h->metered = now;
    h->compute.power(h->compute.power_ctx, &p);
    h->counts.metered = !(isnan(p.joules) && isnan(p.watts) && isnan(p.celsius));
    h->counts.joules = p.joules;
    h->counts.watts = p.watts;
    h->counts.celsius = p.celsius;
}

enum sg_status sg_workqueue_tend(struct sg_workqueue *h, struct sg_err *err) {
    return sg_segment_thread_check(h->scribe, err);
}

enum sg_status sg_workqueue_step(struct sg_workqueue *h, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_compute *c = &h->compute;
    int64_t begin = sg__now_ns();
    while (h->waiting > 0) {
        struct sg_lease *l = &h->queue[h->head];
        int64_t cell = sg_order_cell(h->opt.order, l->first + h->begun);
        const bool suspect = sg_journal_suspect(h->journal, cell);
        if ((h->opt.alone || suspect || h->suspect_in) && c->pending(c->ctx) > 0) break;
        h->suspect_in = suspect;
        if (!c->has_room(c->ctx, cell)) {
            int64_t pending = c->pending(c->ctx);
            if (pending > h->capacity) h->capacity = pending;
            break;
        }
        sg_journal_begin(h->journal, cell);
        SG_TRY(c->submit(c->ctx, cell, err));
        h->waiting--;
        if (++h->begun == l->count) {
            h->head = (h->head + 1) % h->cap;
            h->n--;
            h->begun = 0;
        }
    }
    if (h->waiting == 0) { /* the device would have taken more */
        int64_t pending = c->pending(c->ctx);
        if (pending > h->capacity) h->capacity = pending;
    }
    SG_TRY(c->step(c->ctx, err));
    h->counts.busy_ns += sg__now_ns() - begin;
    look_at_meter(h, false);
    SG_TRY(sg_workqueue_tend(h, err));
out:
    return st;
}

int64_t sg_workqueue_safe(const struct sg_workqueue *h) {
    return sg_segment_thread_safe(h->scribe);
}

void sg_workqueue_counts(const struct sg_workqueue *h, struct sg_counts *out) {
    *out = h->counts;
}

enum sg_status sg_workqueue_finish(struct sg_workqueue *h, struct sg_err *err) {
    look_at_meter(h, true);
    return sg_segment_thread_finish(h->scribe, err);
}

void sg_workqueue_free(struct sg_workqueue *h) {
    if (!h) return;
    sg_segment_thread_free(h->scribe);
    sg_journal_close(h->journal);
    free(h->queue);
    free(h);
}

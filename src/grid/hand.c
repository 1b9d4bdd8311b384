#include "grid/hand.h"

#include "base/mem.h"
#include "grid/clock.h"
#include "grid/journal.h"
#include "store/segment.h"

#include <stdlib.h>
#include <string.h>

enum { SEGMENT_BYTES = 64 << 20, FIRST_WANT = 16 };

struct sg_hand {
    struct sg_hand_options opt;
    struct sg_compute compute;
    struct sg_lease *queue; /* ring: [head, head + n) modulo cap */
    size_t head, n, cap;
    int64_t begun;    /* cells of the first lease already submitted */
    int64_t waiting;  /* cells leased and not submitted */
    int64_t capacity; /* cells the device was seen to hold at once */
    struct sg_counts counts;
    struct sg_journal *journal;        /* NULL: cannot be written */
    bool suspect_in;                   /* a suspect has the device to itself */
    struct sg_segment_writer *segment; /* NULL: none open */
    bool segment_lost;                 /* an append or close failed */
    int64_t started, opened;           /* ns: of the hand, of the segment */
};

static enum sg_status take_cell(void *ctx, int64_t cell_index, const struct sg_cell *cell,
                                struct sg_err *err) {
    struct sg_hand *h = ctx;
    const struct sg_plan *p = h->opt.plan;
    enum sg_status st = SG_OK;
    if (!h->segment) {
        SG_TRY(sg_segment_open(h->opt.run_dir, p->fingerprint, h->opt.rank, &h->segment, err));
        h->opened = sg__now_ns();
    }
    sg_journal_end(h->journal, cell_index);
    SG_TRY(sg_segment_append(h->segment, cell_index, p->cell_fingerprint[cell_index], cell, err));
    h->counts.cells++;
    h->counts.weight += h->opt.order->weight[cell_index / p->n_models];
    h->counts.failed += cell->status != SG_OK;
    h->counts.prompt_tokens += cell->estimator_prompt_tokens;
    h->counts.output_tokens += cell->output_tokens;
out:
    if (st != SG_OK) h->segment_lost = true;
    return st;
}

enum sg_status sg_hand_open(const struct sg_hand_options *opt, struct sg_hand **out, struct sg_err *err) {
    struct sg_hand *h = NULL;
    enum sg_status st = SG_NEW(&h, 1, "cells in hand", err);
    if (st != SG_OK) return st;
    h->opt = *opt;
    h->journal = sg_journal_open(opt->run_dir, opt->rank);
    h->started = sg__now_ns();
    *out = h;
    return SG_OK;
}

struct sg_cell_sink sg_hand_sink(struct sg_hand *h) {
    return (struct sg_cell_sink){h, take_cell};
}

void sg_hand_set_compute(struct sg_hand *h, const struct sg_compute *compute) {
    h->compute = *compute;
}

enum sg_status sg_hand_take(struct sg_hand *h, const struct sg_lease *lease, struct sg_err *err) {
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
int64_t sg_hand_want(const struct sg_hand *h) {
    int64_t fill = h->capacity > FIRST_WANT ? h->capacity : FIRST_WANT, ahead = fill / 2;
    return h->waiting < ahead ? fill + ahead - h->waiting : 0;
}

bool sg_hand_empty(const struct sg_hand *h) {
    return h->waiting == 0 && (!h->compute.pending || h->compute.pending(h->compute.ctx) == 0);
}

static double segment_seconds(const struct sg_hand *h, int64_t now) {
    if (h->opt.segment_seconds >= 0) return h->opt.segment_seconds;
    double s = sg__seconds(now - h->started) / 60;
    return s < 5 ? 5 : s > 60 ? 60 : s;
}

static enum sg_status close_segment(struct sg_hand *h, struct sg_err *err) {
    struct sg_segment_writer *w = h->segment;
    if (!w) return SG_OK;
    h->segment = NULL; /* close frees it whatever happens */
    enum sg_status st = sg_segment_close(w, err);
    if (st != SG_OK) h->segment_lost = true;
    return st;
}

enum sg_status sg_hand_tend(struct sg_hand *h, struct sg_err *err) {
    if (!h->segment) return SG_OK;
    int64_t now = sg__now_ns();
    if (sg_segment_bytes(h->segment) < SEGMENT_BYTES &&
        sg__seconds(now - h->opened) < segment_seconds(h, now))
        return SG_OK;
    return close_segment(h, err);
}

enum sg_status sg_hand_step(struct sg_hand *h, struct sg_err *err) {
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
    SG_TRY(sg_hand_tend(h, err));
out:
    return st;
}

bool sg_hand_safe(const struct sg_hand *h) {
    return !h->segment && !h->segment_lost;
}

void sg_hand_counts(const struct sg_hand *h, struct sg_counts *out) {
    *out = h->counts;
}

enum sg_status sg_hand_finish(struct sg_hand *h, struct sg_err *err) {
    return h->segment_lost ? SG_OK : close_segment(h, err);
}

void sg_hand_free(struct sg_hand *h) {
    if (!h) return;
    sg_segment_abandon(h->segment);
    sg_journal_close(h->journal);
    free(h->queue);
    free(h);
}

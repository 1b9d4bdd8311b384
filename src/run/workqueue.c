#include "run/workqueue.h"

#include "base/mem.h"
#include "cell/estimate.h"
#include "base/clock.h"
#include "run/inflight.h"
#include "run/segment_thread.h"
#include "store/heads.h"

#include <math.h>
#include <stdio.h>
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
    int64_t metered;              /* ns: when the device's meter was read last */
    struct sg_inflight *inflight; /* NULL: cannot be written */
    bool suspect_in;              /* the cell last submitted was in flight at a crash: nothing joins it */
    struct sg_segment_thread *writer;
    struct sg_heads *heads; /* NULL: none */
};

/* Puts a finished cell, computed or not, into the writer's queue, counts it and calls on_cell. */
static enum sg_status put_cell(struct sg_workqueue *h, int64_t cell_index, const struct sg_cell *cell,
                               struct sg_err *err) {
    const struct sg_plan *p = h->opt.plan;
    enum sg_status st = SG_OK;
    SG_TRY(sg_segment_thread_put(h->writer, cell_index, p->cell_fingerprint[cell_index], cell, err));
    h->counts.cells++;
    h->counts.weight += h->opt.order->weight[cell_index / p->n_models];
    h->counts.failed += cell->status != SG_OK;
    h->counts.prompt_tokens += cell->estimator_prompt_tokens;
    h->counts.output_tokens += cell->output_tokens;
    if (h->opt.on_cell) h->opt.on_cell(h->opt.ctx, cell_index);
out:
    return st;
}

static enum sg_status take_cell(void *ctx, int64_t cell_index, const struct sg_cell *cell,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_workqueue *h = ctx;
    struct sg_cell whole;
    int64_t before = 0;
    sg_inflight_end(h->inflight, cell_index);
    if (cell->status == SG_OK && sg_heads_has(h->heads, cell_index)) {
        SG_TRY(sg_heads_join(h->heads, cell_index, cell, &whole, err));
        sg_cell_estimate(&whole, h->opt.plan->models[whole.model].price);
        before = whole.output_tokens - cell->output_tokens;
        cell = &whole;
    }
    SG_TRY(put_cell(h, cell_index, cell, err));
    h->counts.output_tokens -= before; /* this run has not computed these */
out:
    return st;
}

/* Records as failed a cell that was in flight at SG_INFLIGHT_CRASHES crashes. */
static enum sg_status give_up(struct sg_workqueue *h, int64_t cell_index, int32_t crashes, const char *by,
                              struct sg_err *err) {
    const struct sg_plan *p = h->opt.plan;
    char why[256];
    snprintf(why, sizeof why,
             "quarantined: in flight at %d crashes, the last of %s; run --retry-failed tries it alone",
             (int)crashes, by);
    struct sg_cell cell = {.query = (int32_t)(cell_index / p->n_models),
                           .model = (int32_t)(cell_index % p->n_models),
                           .prompt_tokens = -1,
                           .status = SG_E_DEVICE,
                           .reason = why};
    sg_cell_estimate(&cell, p->models[cell.model].price);
    if (!h->opt.quiet)
        fprintf(stderr, "scope-grid: %s %s, model %s is %s\n", sg_plan_row_kind(p, cell_index),
                p->queries[cell.query].id, p->models[cell.model].id, why);
    return put_cell(h, cell_index, &cell, err);
}

enum sg_status sg_workqueue_open(const struct sg_workqueue_options *opt, struct sg_workqueue **out,
                                 struct sg_err *err) {
    struct sg_workqueue *h = NULL;
    enum sg_status st = SG_NEW(&h, 1, "work queue", err);
    if (st != SG_OK) return st;
    h->opt = *opt;
    const struct sg_segment_thread_options so = {
        .run_dir = opt->run_dir,
        .head = {opt->plan->fingerprint, opt->rank, opt->night, NULL},
        .segment_seconds = opt->segment_seconds};
    st = sg_heads_open(opt->run_dir, opt->plan->fingerprint, opt->plan->cell_fingerprint, opt->plan->n_cells,
                       &h->heads, err);
    if (st == SG_OK) st = sg_segment_thread_open(&so, &h->writer, err);
    if (st != SG_OK) {
        sg_workqueue_free(h);
        return st;
    }
    h->inflight = sg_inflight_open(opt->run_dir, opt->rank);
    *out = h;
    return SG_OK;
}

struct sg_cell_sink sg_workqueue_sink(struct sg_workqueue *h) {
    return (struct sg_cell_sink){h, take_cell};
}

void sg_workqueue_set_compute(struct sg_workqueue *h, const struct sg_compute *compute) {
    h->compute = *compute;
}

void sg_workqueue_read_crashes(struct sg_workqueue *h, bool tell) {
    sg_inflight_read(h->inflight, tell ? h->opt.plan : NULL);
}

enum sg_status sg_workqueue_take(struct sg_workqueue *h, const struct sg_lease *lease, struct sg_err *err) {
    if (h->n == h->cap) {
        struct sg_lease *q = NULL;
        size_t cap = h->cap ? 2 * h->cap : 8;
        enum sg_status st = SG_NEW(&q, cap, "leases", err);
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

/* Keeps half the device's capacity of cells waiting, so that the device stays busy until the coordinator,
 * which computes too, answers. Until the device has refused a cell its capacity is a guess. */
int64_t sg_workqueue_want(const struct sg_workqueue *h) {
    int64_t fill = h->capacity > FIRST_WANT ? h->capacity : FIRST_WANT, ahead = fill / 2;
    return h->waiting < ahead ? fill + ahead - h->waiting : 0;
}

bool sg_workqueue_empty(const struct sg_workqueue *h) {
    return h->waiting == 0 && (!h->compute.pending || h->compute.pending(h->compute.ctx) == 0);
}

/* Reads the device's meter once a second and at the end: a reading takes about a millisecond. */
static void look_at_meter(struct sg_workqueue *h, bool at_once) {
    const int64_t now = sg_clock_ns();
    struct sg_dev_power p;
    if (!h->compute.power || (!at_once && sg_clock_seconds(now - h->metered) < 1)) return;
    h->metered = now;
    h->compute.power(h->compute.power_ctx, &p);
    h->counts.metered = !(isnan(p.joules) && isnan(p.watts) && isnan(p.celsius));
    h->counts.joules = p.joules;
    h->counts.watts = p.watts;
    h->counts.celsius = p.celsius;
}

enum sg_status sg_workqueue_tend(struct sg_workqueue *h, struct sg_err *err) {
    return sg_segment_thread_check(h->writer, err);
}

enum sg_status sg_workqueue_step(struct sg_workqueue *h, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_compute *c = &h->compute;
    int64_t begin = sg_clock_ns();
    while (h->waiting > 0) {
        struct sg_lease *l = &h->queue[h->head];
        int64_t cell = sg_order_cell(h->opt.order, l->first + h->begun);
        const char *by = NULL;
        const int32_t crashes = sg_inflight_crashes(h->inflight, cell, &by);
        if (crashes >= SG_INFLIGHT_CRASHES) {
            SG_TRY(give_up(h, cell, crashes, by, err));
        } else {
            if ((h->opt.alone || crashes > 0 || h->suspect_in) && c->pending(c->ctx) > 0) break;
            h->suspect_in = crashes > 0;
            if (!c->has_room(c->ctx, cell)) {
                int64_t pending = c->pending(c->ctx);
                if (pending > h->capacity) h->capacity = pending;
                break;
            }
            sg_inflight_begin(h->inflight, cell);
            int32_t first = 0;
            SG_TRY(sg_heads_samples(h->heads, cell, sg_plan_cell_samples(h->opt.plan, cell), &first, err));
            SG_TRY(c->submit(c->ctx, cell, first, err));
        }
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
    h->counts.busy_ns += sg_clock_ns() - begin;
    look_at_meter(h, false);
    SG_TRY(sg_workqueue_tend(h, err));
out:
    return st;
}

int64_t sg_workqueue_safe(const struct sg_workqueue *h) {
    return sg_segment_thread_safe(h->writer);
}

void sg_workqueue_counts(const struct sg_workqueue *h, struct sg_counts *out) {
    *out = h->counts;
}

enum sg_status sg_workqueue_finish(struct sg_workqueue *h, struct sg_err *err) {
    look_at_meter(h, true);
    return sg_segment_thread_finish(h->writer, err);
}

void sg_workqueue_free(struct sg_workqueue *h) {
    if (!h) return;
    sg_segment_thread_free(h->writer);
    sg_inflight_close(h->inflight);
    sg_heads_close(h->heads);
    free(h->queue);
    free(h);
}

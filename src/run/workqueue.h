/* workqueue - the cells that one rank has in hand: leased positions waiting, cells on the device, finished cells
 * going to the rank's own segments by way of a writer thread (scribe.h). The same for the root and the
 * others; knows no messages.
 *
 * What stays on the thread that drives the device: prompts, tokens, verdicts, the journal. A cell of 700
 * prompt tokens and 8 answers of 240 takes them 0.12 ms (tests/bench/bench_cell.c: prompt 12 us, answers 100
 * us, record 13 us, journal 2 us, on one idle core of an EPYC 9004): some 50 ns a token, against tens of
 * microseconds that a fast GPU takes for one, and the engine keeps the device a step ahead meanwhile. Only
 * writing had no bound. */
#ifndef SG_RUN_WORKQUEUE_H
#define SG_RUN_WORKQUEUE_H

#include "run/comm.h"
#include "run/compute.h"
#include "run/dispatch.h"

struct sg_workqueue; /* owned by the caller of open */

struct sg_workqueue_options {
    const struct sg_plan *plan;   /* borrowed */
    const struct sg_order *order; /* borrowed */
    const char *run_dir;          /* borrowed */
    const char *night;            /* of the run; borrowed */
    int32_t rank;
    const char *member;     /* borrowed: name of this member of an array; NULL: of none */
    double segment_seconds; /* as in scribe.h */
    bool alone;             /* one cell on the device at a time: cells that failed are tried again */
};

enum sg_status sg_workqueue_open(const struct sg_workqueue_options *opt, struct sg_workqueue **out,
                                 struct sg_err *err);
/* Where the compute must send its cells: the hand itself. */
struct sg_cell_sink sg_workqueue_sink(struct sg_workqueue *h);
/* The compute to use from now on; its struct is copied. */
void sg_workqueue_set_compute(struct sg_workqueue *h, const struct sg_compute *compute);

/* Others may have found cells that bring ranks down: those get the device to themselves from now on. */
void sg_workqueue_heed(struct sg_workqueue *h);

/* Puts a lease behind the others in hand. */
enum sg_status sg_workqueue_take(struct sg_workqueue *h, const struct sg_lease *lease, struct sg_err *err);
/* How many more cells it would take now, so that the device never waits for a lease: 0 while enough wait. */
int64_t sg_workqueue_want(const struct sg_workqueue *h);
/* Nothing waits and nothing is on the device. */
bool sg_workqueue_empty(const struct sg_workqueue *h);
/* Fills the device with waiting cells and makes one compute step. A segment that could not be written shows
 * here, at the first call after it. */
enum sg_status sg_workqueue_step(struct sg_workqueue *h, struct sg_err *err);
/* Has writing failed? For while there is nothing to compute. */
enum sg_status sg_workqueue_tend(struct sg_workqueue *h, struct sg_err *err);

/* How many of the cells that were finished (sg_counts) are in closed segments: the first so many. */
int64_t sg_workqueue_safe(const struct sg_workqueue *h);
void sg_workqueue_counts(const struct sg_workqueue *h, struct sg_counts *out);

/* Leaves cells that wait or are on the device uncomputed, and makes the finished ones safe: closes the open
 * segment and waits for it. An error of a segment (disk full) that was told before is not told again. */
enum sg_status sg_workqueue_finish(struct sg_workqueue *h, struct sg_err *err);
void sg_workqueue_free(struct sg_workqueue *h); /* NULL accepted; what is not safe is given up */

#endif

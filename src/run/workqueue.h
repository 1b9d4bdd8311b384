/* workqueue - the cells of one rank between lease and segment: leased positions that wait, cells on the
 * device, finished cells on their way to the rank's own segments through a writer thread (segment_thread.h).
 * The coordinator, the workers and the tasks of an array use it alike; it knows no messages.
 *
 * The thread that drives the device also makes prompts, tokens, verdicts and the in-flight note. A cell of
 * 700 prompt tokens and 8 answers of 240 takes them 0.12 ms (tests/bench/bench_cell.c: prompt 12 us, answers
 * 100 us, record 13 us, note 2 us, on one idle core of an EPYC 9004): some 50 ns a token, against tens of
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
    double segment_seconds; /* as in segment_thread.h */
    bool alone;             /* one cell on the device at a time: cells that failed are tried again */
    bool quiet;             /* nothing on stderr of cells that are given up */
    void (*on_cell)(void *ctx, int64_t cell); /* NULL, or called when a cell has gone to its segment */
    void *ctx;
};

enum sg_status sg_workqueue_open(const struct sg_workqueue_options *opt, struct sg_workqueue **out,
                                 struct sg_err *err);
/* Where the compute must send its cells. */
struct sg_cell_sink sg_workqueue_sink(struct sg_workqueue *h);
/* The compute to use from now on; its struct is copied. */
void sg_workqueue_set_compute(struct sg_workqueue *h, const struct sg_compute *compute);

/* Reads which cells were in flight when other ranks crashed (inflight.h), and tells of new crashes on
 * stderr. A cell with one crash has the device to itself, one with two is recorded as failed when its turn
 * comes. */
void sg_workqueue_read_crashes(struct sg_workqueue *h, bool tell);

/* Puts a lease behind the others. */
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

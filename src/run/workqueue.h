/* workqueue - the cells of one rank between lease and segment: leased positions that wait, cells on the
 * device, and finished cells that a thread writes into the rank's own segments (segment_thread.h). The
 * coordinator, the workers and the tasks of an array use it; it sends no messages. Of a cell whose first samples an
 * earlier run has drawn (store/heads.h) the device computes the others.
 *
 * The thread that drives the device also makes prompts, tokens, verdicts and the in-flight note. That takes
 * 0.12 ms for a cell of 700 prompt tokens and 8 answers of 240 (tests/bench/bench_cell.c: prompt 12 us,
 * answers 100 us, record 13 us, note 2 us, on one idle core of an EPYC 9004). That is some 50 ns a token,
 * against tens of microseconds that a fast GPU takes for one, and the engine keeps the device a step ahead
 * meanwhile. Writing segments may take any time and so has its own thread. */
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
    double segment_seconds;                   /* as in segment_thread.h */
    bool alone;                               /* one cell on the device at a time (--retry-failed) */
    bool quiet;                               /* nothing on stderr about cells that are not tried again */
    void (*on_cell)(void *ctx, int64_t cell); /* NULL, or called when the writer thread has got the cell */
    void *ctx;
};

enum sg_status sg_workqueue_open(const struct sg_workqueue_options *opt, struct sg_workqueue **out,
                                 struct sg_err *err);
/* The sink to open the compute with. */
struct sg_cell_sink sg_workqueue_sink(struct sg_workqueue *h);
/* Sets the compute to use from now on; its struct is copied. */
void sg_workqueue_set_compute(struct sg_workqueue *h, const struct sg_compute *compute);

/* Reads which cells were in flight when other ranks crashed (inflight.h); with `tell` prints new crashes on
 * stderr. From then on a cell with one crash has the device to itself, and one with two is recorded as failed
 * when its turn comes. */
void sg_workqueue_read_crashes(struct sg_workqueue *h, bool tell);

/* Appends a lease to the queue. */
enum sg_status sg_workqueue_take(struct sg_workqueue *h, const struct sg_lease *lease, struct sg_err *err);
/* How many more cells to lease now, so that the device never waits for a lease: 0 while enough wait. */
int64_t sg_workqueue_want(const struct sg_workqueue *h);
/* True when no cell waits and none is on the device. */
bool sg_workqueue_empty(const struct sg_workqueue *h);
/* Fills the device with waiting cells and makes one compute step. The first call after a failure to write a
 * segment returns that failure. */
enum sg_status sg_workqueue_step(struct sg_workqueue *h, struct sg_err *err);
/* Returns a failure to write; called in place of step while there is nothing to compute. */
enum sg_status sg_workqueue_tend(struct sg_workqueue *h, struct sg_err *err);

/* The number n of finished cells (sg_counts) that are in closed segments: the first n that finished. */
int64_t sg_workqueue_safe(const struct sg_workqueue *h);
void sg_workqueue_counts(const struct sg_workqueue *h, struct sg_counts *out);

/* Closes the open segment and waits until all finished cells are safe; computes nothing. SG_OK also after an
 * error of a segment (disk full) that was returned before. */
enum sg_status sg_workqueue_finish(struct sg_workqueue *h, struct sg_err *err);
void sg_workqueue_free(struct sg_workqueue *h); /* NULL accepted; drops the cells that are not safe */

#endif

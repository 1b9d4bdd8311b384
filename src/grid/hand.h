/* hand - the cells that one rank has in hand: leased positions waiting, cells on the device, finished cells
 * going into the rank's own segment. The same for the root and the others; knows no messages.
 *
 * When a segment is closed: a crash loses what is in the open one, so it closes after a sixtieth of the time
 * the run has taken, 5 s at least and 60 s at most, or at 64 MiB. Early on that loses seconds; after hours it
 * loses a minute at most and makes some 1,000 files a rank and day, not 17,000. */
#ifndef SG_GRID_HAND_H
#define SG_GRID_HAND_H

#include "grid/comm.h"
#include "grid/compute.h"
#include "grid/dispatch.h"

struct sg_hand; /* owned by the caller of open */

struct sg_hand_options {
    const struct sg_plan *plan;   /* borrowed */
    const struct sg_order *order; /* borrowed */
    const char *run_dir;          /* borrowed */
    int32_t rank;
    double segment_seconds; /* < 0: the rule above; 0: every cell */
    bool alone;             /* one cell on the device at a time: cells that failed are tried again */
};

enum sg_status sg_hand_open(const struct sg_hand_options *opt, struct sg_hand **out, struct sg_err *err);
/* Where the compute must send its cells: the hand itself. */
struct sg_cell_sink sg_hand_sink(struct sg_hand *h);
/* The compute to use from now on; its struct is copied. */
void sg_hand_set_compute(struct sg_hand *h, const struct sg_compute *compute);

/* Puts a lease behind the others in hand. */
enum sg_status sg_hand_take(struct sg_hand *h, const struct sg_lease *lease, struct sg_err *err);
/* How many more cells it would take now, so that the device never waits for a lease: 0 while enough wait. */
int64_t sg_hand_want(const struct sg_hand *h);
/* Nothing waits and nothing is on the device. */
bool sg_hand_empty(const struct sg_hand *h);
/* Fills the device with waiting cells, makes one compute step, closes the segment when it is time. */
enum sg_status sg_hand_step(struct sg_hand *h, struct sg_err *err);
/* Closes the open segment when it is time, also while there is nothing to compute. */
enum sg_status sg_hand_tend(struct sg_hand *h, struct sg_err *err);

/* Every cell that was finished is in a closed segment. */
bool sg_hand_safe(const struct sg_hand *h);
void sg_hand_counts(const struct sg_hand *h, struct sg_counts *out);

/* Leaves cells that wait or are on the device uncomputed, and makes the finished ones safe: closes the open
 * segment. After an error of a segment (disk full) that segment is given up and this does nothing. */
enum sg_status sg_hand_finish(struct sg_hand *h, struct sg_err *err);
void sg_hand_free(struct sg_hand *h); /* NULL accepted; an open segment is abandoned */

#endif

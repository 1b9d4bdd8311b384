/* inflight - the in-flight note of each rank: which cells its device has now. From it the next start reports
 * what a rank that died had on its device, and stops trying a cell that crashes its rank again and again.
 *
 *   RUNDIR/inflight/RANK-HOST-PID-TIME   one page, rewritten when a cell begins or ends, removed when
 *                                        the rank ends normally. A rank that crashes (SIGSEGV, SIGBUS,
 *                                        SIGFPE, SIGILL, SIGABRT) writes the signal into it
 *
 * The note of a crashed rank stays. A cell's number of crashes is the number of such notes that list it.
 * Counting changes nothing on disk, so a start that is killed while it counts cannot count twice. The work
 * queue gives a cell with one crash the device to itself, so that a second crash has one possible cause. It
 * records a cell with SG_INFLIGHT_CRASHES as failed without computing it. --retry-failed removes the notes. A
 * note without a signal (SIGKILL, a lost node, the walltime) counts for no cell.
 *
 * A note that cannot be written or read is left out. It never ends a run. */
#ifndef SG_RUN_INFLIGHT_H
#define SG_RUN_INFLIGHT_H

#include "job/plan.h"

#include <stdbool.h>
#include <stdint.h>

enum { SG_INFLIGHT_CRASHES = 2 }; /* a cell with so many is recorded as failed */

struct sg_inflight; /* owned by the caller of open */

/* NULL when the note cannot be written; the functions below accept that. At most one a process: it catches
 * signals. */
struct sg_inflight *sg_inflight_open(const char *run_dir, int32_t rank);
void sg_inflight_begin(struct sg_inflight *n, int64_t cell); /* before the device gets the cell */
void sg_inflight_end(struct sg_inflight *n, int64_t cell);   /* after it has left the device */
/* For a rank that ends normally: removes the note. */
void sg_inflight_close(struct sg_inflight *n);

/* Reads the notes of crashed ranks that are new since the last reading. `tell`, if not NULL: prints their
 * crashes on stderr, with names out of that plan. */
void sg_inflight_read(struct sg_inflight *n, const struct sg_plan *tell);
/* Crashes that had the cell in flight, as of the last reading. *by (where > 0): one of them, "rank 2 on host:
 * SIGSEGV", borrowed. */
int32_t sg_inflight_crashes(const struct sg_inflight *n, int64_t cell, const char **by);

/* At the start of a run, or at its merge, when no other process has cells in flight: prints (as above) what
 * ranks that died had in flight, and removes the notes without a signal; forget (--retry-failed): all. */
void sg_inflight_tidy(const char *run_dir, const struct sg_plan *tell, bool forget);

#endif

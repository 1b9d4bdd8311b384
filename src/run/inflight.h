/* inflight - the in-flight note of each rank: which cells its device has now. The next start can say what a
 * rank that died had on its device, and a cell that kills its rank does not do so for ever.
 *
 *   RUNDIR/inflight/RANK-HOST-PID-TIME   one page, rewritten when a cell begins or ends, removed when
 *                                        the rank ends normally. A rank that crashes (SIGSEGV, SIGBUS,
 *                                        SIGFPE, SIGILL, SIGABRT) writes the signal into it
 *
 * The note of a crashed rank stays, and these notes are the count: a cell has as many crashes as there are
 * such notes that list it. Counting changes nothing on disk, so a start that is killed while it counts cannot
 * count twice. A cell with one crash has the device to itself, so that a second crash has one culprit; a cell
 * with SG_INFLIGHT_CRASHES is recorded as failed, without the device (workqueue.c). --retry-failed removes
 * the notes. A note without a signal (SIGKILL, a lost node, the walltime) blames no cell.
 *
 * What cannot be written or read is left out: a note never ends a run. */
#ifndef SG_RUN_INFLIGHT_H
#define SG_RUN_INFLIGHT_H

#include "job/plan.h"

#include <stdbool.h>
#include <stdint.h>

enum { SG_INFLIGHT_CRASHES = 2 }; /* until a cell is given up */

struct sg_inflight; /* owned by the caller of open */

/* NULL when the note cannot be written; the functions below accept that. One a process: it
 * catches signals. */
struct sg_inflight *sg_inflight_open(const char *run_dir, int32_t rank);
void sg_inflight_begin(struct sg_inflight *n, int64_t cell); /* before the device gets the cell */
void sg_inflight_end(struct sg_inflight *n, int64_t cell);   /* after it has left the device */
/* Ends normally: removes the note. */
void sg_inflight_close(struct sg_inflight *n);

/* Reads the notes of crashed ranks that were not there at the last reading. `tell` (or NULL): their crashes
 * are told on stderr, with names out of that plan. */
void sg_inflight_read(struct sg_inflight *n, const struct sg_plan *tell);
/* Crashes that had the cell in flight, as of the last reading. *by (where > 0): who crashed last, "rank 2 on
 * host: SIGSEGV", borrowed. */
int32_t sg_inflight_crashes(const struct sg_inflight *n, int64_t cell, const char **by);

/* At the start of a run, or at its merge, when no other process has cells in flight: tells (as above) what
 * ranks that died had in flight, and removes the notes that count nothing; forget (--retry-failed): all. */
void sg_inflight_tidy(const char *run_dir, const struct sg_plan *tell, bool forget);

#endif

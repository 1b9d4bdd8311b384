/* journal - what each rank has on its device, on disk while it is there, so that the next start can say what
 * a rank that died had in hand, and so that a cell that brings ranks down does not do it for ever.
 *
 *   RUNDIR/hand/RANK-HOST-PID   one rank's cells on the device (RANK-TOKEN for a member of an array); removed
 *                               when the rank leaves in peace. A rank that crashes (SIGSEGV, SIGBUS, SIGFPE,
 *                               SIGILL, SIGABRT) notes the signal in it
 *   RUNDIR/hand/deaths          cells that were in hand at a crash, and how often; and the ids of the journals
 *                               that say so, as long as these may be there: a start that is killed while it
 *                               counts makes the next one count nothing twice
 *
 * A cell that was in hand when its rank crashed is a suspect: from then on it has its rank's device to
 * itself, so that a second crash has one culprit. At two crashes it is quarantined: recorded as failed, with
 * its reason; --retry-failed tries it again. A rank that was killed (SIGKILL, a lost node, the walltime) is
 * told of and blames nobody: a run may be killed any number of times.
 *
 * All of this is a help and never an obstacle: what cannot be written or read is left out. */
#ifndef SG_RUN_JOURNAL_H
#define SG_RUN_JOURNAL_H

#include "job/plan.h"

#include <stdbool.h>
#include <stdint.h>

enum { SG_JOURNAL_DEATHS = 2 }; /* crashes until a cell is quarantined */

struct sg_journal; /* owned by the caller of open */

/* NULL when it cannot be written; all below accept that. One a process: it catches the signals. member: the
 * name of a member of an array (members.h), else NULL. */
struct sg_journal *sg_journal_open(const char *run_dir, int32_t rank, const char *member);
/* Reads anew which cells are suspects: other members of an array may have learnt of some. */
void sg_journal_reload(struct sg_journal *j, const char *run_dir);
void sg_journal_begin(struct sg_journal *j, int64_t cell); /* before the device gets the cell */
void sg_journal_end(struct sg_journal *j, int64_t cell);   /* after it has left it */
bool sg_journal_suspect(const struct sg_journal *j, int64_t cell);
/* The rank leaves in peace. */
void sg_journal_close(struct sg_journal *j);

struct sg_journal_rules {
    const char *night; /* of the run */
    bool forget;       /* deaths counted so far do not matter (--retry-failed) */
    bool quiet;        /* nothing on stderr */
    /* Does the member of this name live? NULL: nobody else is at work, every journal is of a dead one. */
    bool (*lives)(void *ctx, const char *member);
    void *ctx;
};

/* Have ranks died since the last collect? Cheap. */
bool sg_journal_deaths(const char *run_dir, const struct sg_journal_rules *rules);

/* With the directory's lock held: counts the dead, tells of them, and records quarantined cells as failed in
 * a segment. done[n_cells], *n_done and *n_failed are what the segments hold now, and follow. */
enum sg_status sg_journal_collect(const char *run_dir, const struct sg_plan *plan,
                                  const struct sg_journal_rules *rules, uint8_t *done, int64_t *n_done,
                                  int64_t *n_failed, struct sg_err *err);

#endif

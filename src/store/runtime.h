/* runtime - how a run went, rank by rank (struct sg_runtime): sums, and in an array run the notes that tasks
 * leave for the task that merges: RUNDIR/shards/NAME.json, rewritten whole. A note that cannot be written or
 * read is left out. */
#ifndef SG_STORE_RUNTIME_H
#define SG_STORE_RUNTIME_H

#include "store/results.h"

/* t->joules: of all devices whose energy is known, each once (ranks that share a device all count its energy:
 * the most of theirs); NaN when none is known. */
enum sg_status sg_runtime_sum(struct sg_runtime *t, struct sg_err *err);

/* name: of the task, a file name. */
void sg_runtime_note(const char *run_dir, const char *name, const struct sg_runtime_rank *rank);
/* The notes as r->runtime.ranks, in the order of their names; replaces what is there. */
enum sg_status sg_runtime_read_notes(const char *run_dir, struct sg_results *r, struct sg_err *err);

#endif

/* merge - the segments of a run into its results.h5. */
#ifndef SG_STORE_MERGE_H
#define SG_STORE_MERGE_H

#include "base/digest.h"
#include "base/status.h"
#include "store/results.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_plan; /* job/plan.h */

struct sg_merge_stats {
    int64_t n_cells, n_done, n_failed; /* done: computed, failed ones included */
    int64_t n_unparsed;                /* computed, not failed, and no sample had a verdict */
    int64_t prompt_tokens; /* of the done cells: of the estimator's prompts, 0 for cells taken over */
};

/* The run of a prefill group (sweep/sweep.h): some of the samples of its cells are those of the results. */
struct sg_merge_group {
    const char *dir;                          /* its run folder */
    struct sg_digest fingerprint;             /* of its run */
    const struct sg_digest *cell_fingerprint; /* [n_cells], its own */
    int64_t n_samples;                        /* of its cells */
    int64_t first;                            /* the sample of its cells that is the results' first */
};

/* What the plan knows of the results: axes, categories, prices, truth, baselines, job text, name,
 * fingerprint and those of the cells (no nights: see sg_results_set_night); every cell missing. The caller
 * may set version, finished_at and runtime before the merge. *out is owned by the caller (sg_results_free).
 */
enum sg_status sg_results_init_plan(const struct sg_plan *plan, struct sg_results *out, struct sg_err *err);

/* The name of the run's own night, before the merge; without it results.h5 names no nights. */
enum sg_status sg_results_set_night(struct sg_results *r, const char *night, struct sg_err *err);

/* Reads all closed segments of run_dir, fills the cell and sample columns, failures and digest of *r (made by
 * sg_results_init_plan, or by hand), and writes run_dir/results.h5, texts included when `texts`. Cells that
 * no segment holds stay missing (valid 0, status -1). Texts pass through: memory is that of *r alone. cost is
 * computed anew from r's prices, so that a change of price needs no new run; true_cost is filled where truth
 * has a length but no measured prompt tokens.
 *
 * Where r has fingerprints of cells, every record must have its cell's (SG_E_CORRUPT names the segment).
 * Where r has the name of its own night, each cell gets the night of its segment, and r->origin.taken_over
 * and .since follow from the segments of cells taken over.
 *
 * group (may be NULL): cells that run_dir's segments lack are taken from the segments of the group's run:
 * r->n_samples samples from group->first on, and the aggregates of these.
 *
 * A cell in several segments is taken from the first in order of file names that did not fail; copies must
 * agree (SG_E_CORRUPT names both files). Other errors as sg_segments_scan and sg_results_write. On failure an
 * existing results.h5 is untouched and no partial one is left; what an earlier merge left when it was killed
 * is removed. The caller holds the directory's lock (lock.h). */
enum sg_status sg_merge(const char *run_dir, struct sg_digest fingerprint, const struct sg_merge_group *group,
                        bool texts, struct sg_results *r, struct sg_merge_stats *stats, struct sg_err *err);

#endif

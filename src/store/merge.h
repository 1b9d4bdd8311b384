/* merge - writes results.h5 from the segments of a run. */
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
    int64_t n_calibration;             /* of n_cells */
    int64_t n_unparsed;                /* computed, not failed, and no sample had a verdict */
    int64_t prompt_tokens; /* of the done cells: of the estimator's prompts, 0 for cells taken over */
};

/* The run of a prefill group (sweep/sweep_run.h): its cells hold the samples of several points. */
struct sg_merge_group {
    const char *dir;                          /* its run folder */
    struct sg_digest fingerprint;             /* of its run */
    const struct sg_digest *cell_fingerprint; /* [n_cells], its own */
    int64_t n_samples;                        /* of its cells */
    int64_t first;                            /* the sample of its cells that is the results' first */
};

/* Fills *out with what the plan holds: axes, categories, prices, truth, baselines, anchors and the rows of
 * calibration, job text, name, fingerprint and those of the cells (no nights: see sg_results_set_night); every cell is
 * missing. The caller may set version, finished_at and runtime before the merge, and frees *out (sg_results_free). */
enum sg_status sg_results_init_plan(const struct sg_plan *plan, struct sg_results *out, struct sg_err *err);

/* The name of the run's own night, before the merge; without it results.h5 names no nights. */
enum sg_status sg_results_set_night(struct sg_results *r, const char *night, struct sg_err *err);

/* Reads all closed segments of run_dir, fills the cell and sample columns, failures and digest of *r (made by
 * sg_results_init_plan, or by hand), and writes run_dir/results.h5, texts included when `texts`. Cells that
 * no segment holds stay missing (valid 0, status -1). Texts are streamed: memory is that of *r alone. cost is
 * computed from r's prices, so that a change of price needs no new run; true_cost is filled where truth has a
 * length but no measured prompt tokens.
 *
 * Where r has fingerprints of cells, every record must have its cell's (SG_E_CORRUPT names the segment).
 * Where r has the name of its own night, each cell gets the night of its segment, and r->origin.taken_over
 * and .since follow from the segments of cells taken over.
 *
 * group (may be NULL): cells that run_dir's segments lack are taken from the segments of the group's run:
 * r->n_samples samples from group->first on, and the aggregates of these.
 *
 * Of a cell in several segments the merge takes the first copy, in order of file names, that did not fail;
 * copies that did not fail must agree (SG_E_CORRUPT names both files). Other errors as sg_segments_scan and
 * sg_results_write. On failure an existing results.h5 is untouched and no partial one is left. The merge
 * removes temporary files of a killed merge. The caller holds the directory's lock (rundir/lock.h). */
enum sg_status sg_merge(const char *run_dir, struct sg_digest fingerprint, const struct sg_merge_group *group,
                        bool texts, struct sg_results *r, struct sg_merge_stats *stats, struct sg_err *err);

#endif

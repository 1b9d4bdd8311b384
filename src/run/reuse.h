/* reuse - results of earlier runs in place of computing: `scope-grid run JOB --since LAST.h5`, and what the
 * points of a sweep have in common.
 *
 * A cell is taken over when an earlier results file has one of the same fingerprint (estimator, prompt,
 * sampling: see job/plan.h) that did not fail; samples and texts come along, cost follows from tonight's
 * prices. A file with more samples serves too: its first ones are what fewer would have been. What is taken
 * over goes into a segment of the new run before anything is leased, so that resume, status and merge know
 * nothing of it, and the results have the digest of a run that computes everything.
 *
 * Not taken over although its fingerprint fits: a failed cell; a cell without texts when the job keeps them;
 * a cell whose prompt_tokens came from an outcome that tonight's inputs do not have (the tokenizer's count is
 * not in the file).
 *
 * A point of a sweep takes its cells out of the pass that drew for it and others (sweep.h): its own samples
 * of each, where the pass's cell is what the point's would be. They count as this run's own. Cells that
 * failed in the pass are left to the point, for it may have been another point's samples that failed; those
 * that were given up (inflight.h) are failed for all.
 *
 * Each segment of cells taken over names the night that computed them and the file that they come from
 * (store/segment.h). So a start that was killed while taking over needs no account of its own: the next one
 * takes what is not in the segments yet. Root only, with the directory's lock held. */
#ifndef SG_RUN_REUSE_H
#define SG_RUN_REUSE_H

#include "job/plan.h"
#include "store/results.h"

struct sg_reuse_options {
    const char *night;                   /* of the run */
    const char *const *since;            /* results files, the most wanted first */
    size_t n_since;                      /* 0: take over nothing */
    const char *pass;                    /* run folder of a finished pass, or NULL */
    const struct sg_plan_inputs *inputs; /* what the plan was built with */
    bool quiet;                          /* no notes on stderr */
};

struct sg_reuse_found {
    int64_t taken;  /* cells taken over from results in this run so far, also by an earlier start */
    int64_t shared; /* cells taken from the pass in this start */
};

/* Takes over what it can into the run's folder, which has begun. done[n_cells] and *n_done are what
 * sg_segments_scan found there, and follow. A file that does not exist is a first night: said on stderr, no error; a
 * link that leads nowhere, a damaged file, or one that does not say what its cells were computed from is one.
 *
 * For the plan of a pass: cells that the files have for each of its points are marked done, and that is all;
 * found->taken is how many. */
enum sg_status sg_reuse_begin(const char *dir, const struct sg_plan *plan, const struct sg_reuse_options *opt,
                              uint8_t *done, int64_t *n_done, struct sg_reuse_found *found,
                              struct sg_err *err);

/* For --fresh: SG_E_USAGE when clearing the run in `dir` would remove one of the files. */
enum sg_status sg_reuse_survives(const char *dir, const char *const *since, size_t n_since,
                                 struct sg_err *err);

#endif

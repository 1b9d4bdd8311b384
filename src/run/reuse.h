/* reuse - results of earlier runs in place of computing: `scope-grid run JOB --since LAST.h5`.
 *
 * A cell is taken over when an earlier results file has one of the same fingerprint (estimator, prompt,
 * sampling: see job/plan.h) that did not fail. Its samples and texts are copied; its cost is computed from
 * the prices of this job. A file with more samples also fits: its first samples are those that a run with
 * fewer would have drawn. Cells taken over go into segments of the new run before anything is leased, so that
 * resume, status and merge need no special case, and the results have the digest of a run that computes
 * everything. A cell that has fewer samples there than it gets here is computed from its next sample on: the
 * samples that are there go into the run's heads (store/heads.h), and the digest is the same again.
 *
 * Not taken over although the fingerprint is the same: a failed cell; a cell without texts when the job keeps
 * them; a cell whose prompt_tokens came from an outcome that this job's inputs do not have (the tokenizer's
 * count is not in the file).
 *
 * Each segment of cells taken over names the night that computed them and the file that they come from
 * (store/segment.h). After a start that was killed while taking over, the next one takes what the segments
 * lack. Root only, with the directory's lock held. */
#ifndef SG_RUN_REUSE_H
#define SG_RUN_REUSE_H

#include "job/plan.h"
#include "store/results.h"

struct sg_reuse_options {
    const char *const *since;            /* results files; a cell comes from the first that has it */
    size_t n_since;                      /* 0: take over nothing */
    const struct sg_plan_inputs *inputs; /* what the plan was built with */
    bool quiet;                          /* no notes on stderr */
    bool heads;                          /* take cells with fewer samples too */
};
struct sg_reuse_count {      /* of cells, those that an earlier start took among them */
    int64_t taken, extended; /* whole; the first samples of them */
};

/* Takes over what it can into the folder of a run that has begun. The plan has one set of sampling
 * parameters. done[n_cells] and *n_done: as sg_segments_scan found them; updated here. A file that does not exist is a
 * first night: a line on stderr. Errors are a link that leads nowhere, a damaged file, and a file without cell
 * fingerprints. */
enum sg_status sg_reuse_begin(const char *dir, const struct sg_plan *plan, const struct sg_reuse_options *opt,
                              uint8_t *done, int64_t *n_done, struct sg_reuse_count *count,
                              struct sg_err *err);

/* What a run would find, without reading or writing samples. */
struct sg_reuse_foreseen {
    int64_t taken, extended, samples; /* cells as above; samples that are left to draw, of all cells */
    double seen_tokens, seen_samples; /* output tokens of the earlier results' samples, and their number */
};
enum sg_status sg_reuse_foresee(const struct sg_plan *plan, const struct sg_reuse_options *opt,
                                struct sg_reuse_foreseen *out, struct sg_err *err);

/* For --fresh: SG_E_USAGE when clearing the run in `dir` would remove one of the `since` files. */
enum sg_status sg_reuse_survives(const char *dir, const char *const *since, size_t n_since,
                                 struct sg_err *err);

#endif

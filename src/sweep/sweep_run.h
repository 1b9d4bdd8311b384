/* sweep_run - all points of a sweep: `scope-grid run SWEEP.json`.
 *
 * Points that differ in temperature, top_p, top_k, seed, samples, draws and texts alone are a prefill group: one run
 * in DIR/group..., named by the other axes, computes each cell's prompt once and draws the samples of all
 * points from it (run/points.h). A merge per point selects the point's samples into its folder, which holds
 * what a job's folder holds but no computed segments: results.h5 with the digest of the point's job run
 * alone, DONE, run.json, plan.bin. Points that differ in the number of samples alone share them: the smaller
 * number is a prefix of the larger. A cell that failed has failed for all points of its group. A group holds
 * at most 512 samples of a cell; further points go into another group.
 *
 * The group's folder stays: a point that is missing later is merged from its segments without computing. When
 * the sweep's file has points that the group's run has no samples for, the run begins again with the points
 * that are not done; points that are done stay as they are. With --since, each point takes over what it finds
 * into its own segments, and the group computes the cells that some point lacks.
 *
 * DIR/index.json, rewritten whole after every group:
 *   {"format": "scope-grid sweep", "version": 1, "name", "job", "axes": {key: [values]},
 *    "groups": [{"name", "points": [names], "samples": of a cell, "cells", "prefill_tokens",
 *                "prefill_tokens_saved": against each point computed alone}],
 *    "points": [{"name", "settings": {key: value}, "state": "done" | "open", "results": path from DIR,
 *                "digest", "cells", "failed", "taken_over", "computed": cells not taken over}]} */
#ifndef SG_SWEEP_SWEEP_RUN_H
#define SG_SWEEP_SWEEP_RUN_H

#include "run/run.h"

/* Collective. opt->job_path is the sweep's file (only the coordinator reads it); opt's overrides hold for
 * every point. The coordinator checks the inputs, device and models of all points before the first computes.
 * maker serves one run after the other. The coordinator calls say (may be NULL) for every finished point.
 * SG_E_PARTIAL: all points are there, with failed cells. Started again, it goes on where it stopped. */
enum sg_status sg_sweep_run(struct sg_comm *comm, const struct sg_run_options *opt,
                            const struct sg_compute_maker *maker,
                            void (*say)(const char *point, const struct sg_run_summary *s),
                            struct sg_err *err);

#endif

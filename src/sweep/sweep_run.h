/* sweep_run - all points of a sweep: `scope-grid run SWEEP.json`.
 *
 * Points that differ in temperature, top_p, top_k, seed, samples and texts alone are a prefill group: one run
 * in DIR/group..., named by the other axes, computes each cell's prompt once and draws the samples of all
 * points from it (points.h). Its merge selects each point's samples into the point's folder, which holds what
 * a job's folder holds but segments: results.h5 with the digest of the point's job run alone, DONE, run.json,
 * plan.bin. A point's fewer samples are the first of another's more. A cell that failed has failed for all
 * points of its group. A group holds 512 samples of a cell at most; more make more groups.
 *
 * The group's folder stays: points that are missing later come out of its segments without computing. When
 * the sweep's file has points that the group's run has no samples for, the run begins again with those that
 * are not done; points that are done stay as they are. With --since, each point takes over what it finds into
 * segments of its own, and the group computes the cells that some point lacks.
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

/* Collective. opt->job_path is the sweep's file (read by the root alone); its overrides hold for every point.
 * All points are checked before the first computes: their inputs are there and fit, device and models are
 * known. maker serves one run after the other. say (may be NULL) is told of every finished point, on the
 * root. SG_E_PARTIAL: all points are there, with failed cells. Started again, it goes on where it was. */
enum sg_status sg_sweep_run(struct sg_comm *comm, const struct sg_run_options *opt,
                            const struct sg_compute_maker *maker,
                            void (*say)(const char *point, const struct sg_run_summary *s),
                            struct sg_err *err);

#endif

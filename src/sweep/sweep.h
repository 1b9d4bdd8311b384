/* sweep - one run over axes of a job: `scope-grid run SWEEP.json`. A sweep file names a job and, for keys of
 * it, the values to try; every combination is a point: a run of its own folder and results file below the
 * sweep's, with an index beside them. Points with more samples come first, because the first samples of many
 * are what few would have been: what points have in common is computed once (since.h).
 *
 * Points that agree in all but how they draw (temperature, top_p, top_k, seed, samples) and whether texts are
 * kept are computed together before the first of them, when there is more than one way of drawing: a pass. It
 * is a run of its own in DIR/pass-N, whose cells hold the samples of all these points, drawn from one
 * prefill, and that has segments and DONE but no results.h5; it is leased, killed and resumed like any run.
 * Each point then takes its samples out of it (since.h) and computes what it did not find there: cells that
 * failed. The pass's folder goes when all of its points are done. Points that were done before take no part.
 *
 *   {"name": "sweep", "job": "demo/job.json", "dir": "../runs/sweep",
 *    "axes": {"prompt.anchors": [3, 5, 8], "sampling.samples": [4, 8]}}
 *
 * name and dir may be absent (the file's name; runs/NAME beside the file). Values are what --set takes; paths
 * among them are relative to the job's folder.
 *
 * DIR/index.json, rewritten whole after every point:
 *   {"format": "scope-grid sweep", "version": 1, "name", "job", "axes": {key: [values]},
 *    "passes": [{"name", "points": [names], "samples": of a cell, "cells", "prefill_tokens",
 *                "prefill_tokens_saved": against each point computed alone}],
 *    "points": [{"name", "settings": {key: value}, "state": "done" | "open", "results": path from DIR,
 *                "digest", "cells", "failed", "taken_over", "computed"}]} */
#ifndef SG_SWEEP_SWEEP_H
#define SG_SWEEP_SWEEP_H

#include "run/run.h"

/* Asked anew for every run: a point may have a model of its own. */
struct sg_maker_source {
    void *ctx;
    enum sg_status (*make)(void *ctx, struct sg_compute_maker *out, struct sg_err *err);
    void (*drop)(void *ctx); /* after every make */
};

/* True when the file is JSON with a member "axes"; whatever else is wrong with it shows when it is read. */
bool sg_sweep_is(const char *path);

/* One point as sg_sweep_each shows it; all of it is the callee's for the call alone. */
struct sg_sweep_point {
    const char *sweep, *job, *dir; /* the sweep's name, its job's file, its folder */
    int64_t n_points, index;       /* index: in the order of the file, last axis fastest */
    int64_t
        like; /* the first point with this one's cells (they differ in sampling.* and output.*); or index */
    const char *name, *json;      /* json: {key: value} of the axes */
    const char *const *overrides; /* [n_overrides]: those of the run, then the point's, its axes first */
    size_t n_overrides, first_axis, n_axes; /* axes: overrides[first_axis..first_axis + n_axes) */
};

/* Shows every point of the sweep opt->job_path under opt's overrides, after all were checked as a run checks
 * them. Makes no folder and reads nothing but the sweep's and the job's file. Not collective. */
enum sg_status sg_sweep_each(const struct sg_run_options *opt,
                             enum sg_status (*each)(void *ctx, const struct sg_sweep_point *p,
                                                    struct sg_err *err),
                             void *ctx, struct sg_err *err);

/* Collective. opt->job_path is the sweep's file (read by the root alone); its overrides hold for every point.
 * All points are checked before the first computes. say (may be NULL) is told of every finished point, on the
 * root. SG_E_PARTIAL: all points are there, with failed cells. Started again, it goes on where it was. */
enum sg_status sg_sweep_run(struct sg_comm *comm, const struct sg_run_options *opt,
                            const struct sg_maker_source *source,
                            void (*say)(const char *point, const struct sg_run_summary *s),
                            struct sg_err *err);

#endif

/* sweep - axes over a job. A sweep file names a job and, for some of its keys, the values to try. Every
 * combination is a point: a job with its own folder and results file below the sweep's folder.
 *
 *   {"name": "sweep", "job": "demo/job.json", "dir": "../runs/sweep",
 *    "axes": {"prompt.anchors": [3, 5, 8], "sampling.samples": [4, 8]}}
 *
 * name and dir may be absent (the file's name; runs/NAME beside the file). Values are what --set takes; paths
 * among them are relative to the job's folder. */
#ifndef SG_SWEEP_SWEEP_H
#define SG_SWEEP_SWEEP_H

#include "base/json.h"
#include "run/run.h"

enum { SG_SWEEP_AXES = 16, SG_POINT_NAME = 100 };

struct sg_sweep_axis {
    const char *key;     /* of the job */
    const cJSON *values; /* array */
    int64_t n;
};
struct sg_sweep_member {
    char name[SG_POINT_NAME];
    int64_t value[SG_SWEEP_AXES];            /* index among the values of each axis */
    const char *settings[SG_SWEEP_AXES + 4]; /* overrides: its axes first */
    size_t n_settings;
    struct sg_sampling_params params;
    bool texts;
};
/* A sweep's file, read. */
struct sg_sweep {
    cJSON *doc;
    char *name, *job, *dir; /* dir: absolute, once it is there */
    struct sg_sweep_axis axes[SG_SWEEP_AXES];
    int64_t n_axes, n_points;
    struct sg_sweep_member *points; /* [n_points], last axis fastest */
    struct sg_arena strings;
};

/* True when the file is JSON with a member "axes". sg_sweep_read checks the rest. */
bool sg_sweep_is(const char *path);

/* Reads the sweep opt->job_path and checks that every point is a valid job under opt's overrides. make: makes
 * its folder. The caller frees *out also after an error (sg_sweep_free). */
enum sg_status sg_sweep_read(const struct sg_run_options *opt, bool make, struct sg_sweep *out,
                             struct sg_err *err);
void sg_sweep_free(struct sg_sweep *s); /* zeroed accepted */

/* *out: the run's overrides, then n settings; an array that the caller frees. */
enum sg_status sg_sweep_overrides(const struct sg_run_options *opt, const char *const *settings, size_t n,
                                  const char ***out, struct sg_err *err);
/* Appends the last part of an axis's key with the point's value, as in "anchors-3_samples-8". size: bytes of
 * name. */
void sg_sweep_add_name(const struct sg_sweep *s, const struct sg_sweep_member *p, int64_t axis, char *name,
                       size_t size);

/* One point as sg_sweep_each shows it; borrowed, valid during the call only. */
struct sg_sweep_point {
    const char *sweep, *job, *dir; /* the sweep's name, its job's file, its folder */
    int64_t n_points, index;       /* index: in the order of the file, last axis fastest */
    int64_t
        like; /* the first point with this one's cells (they differ in sampling.* and output.*); or index */
    const char *name, *json;      /* json: {key: value} of the axes */
    const char *const *overrides; /* [n_overrides]: those of the run, then the point's, its axes first */
    size_t n_overrides, first_axis, n_axes; /* axes: overrides[first_axis..first_axis + n_axes) */
};

/* Calls each(ctx, point) for every point of the sweep opt->job_path, after sg_sweep_read has checked all of
 * them. Makes no folder and reads only the sweep's and the job's file. Not collective. */
enum sg_status sg_sweep_each(const struct sg_run_options *opt,
                             enum sg_status (*each)(void *ctx, const struct sg_sweep_point *p,
                                                    struct sg_err *err),
                             void *ctx, struct sg_err *err);

#endif

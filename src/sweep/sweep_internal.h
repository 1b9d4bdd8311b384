/* sweep_internal - what sweep.c and sweep_pass.c share. All of it lives on the root alone. */
#ifndef SG_SWEEP_SWEEP_INTERNAL_H
#define SG_SWEEP_SWEEP_INTERNAL_H

#include "base/json.h"
#include "sweep/sweep.h"
#include "job/plan.h"

enum { SG__SWEEP_AXES = 16, SG__POINT_NAME = 100 };

struct sg__axis {
    const char *key;     /* of the job */
    const cJSON *values; /* array */
    int64_t n;
};
struct sg__point {
    char name[SG__POINT_NAME];
    int64_t value[SG__SWEEP_AXES]; /* which of its axis's */
    const char *settings[SG__SWEEP_AXES + 2];
    size_t n_settings;
    struct sg_plan_draws draws;
    bool texts;
    int64_t gives;         /* how much others can take from it: samples, and texts rather than none */
    struct sg__pass *pass; /* that may draw for it; NULL: none */
    bool served;           /* the pass has drawn for it */
    char *results;         /* path, once it is done; else NULL */
    struct sg_digest digest;
    int64_t cells, failed, taken;
};

/* Points that agree in all but how they draw: one run can compute them together, each cell's prompt once. */
struct sg__pass {
    char name[24]; /* "pass-1": of its folder, too */
    char *dir;
    int64_t n_points, samples; /* that may take part, and theirs together */
    bool seen;                 /* in this start it was run, or there was no need */
    bool ran;                  /* points may take from it */
    bool texts;                /* it keeps them */
    /* of the last run, for the index */
    struct sg_plan_draws *draws; /* [n_draws], owned */
    size_t n_draws, cap_draws;
    int64_t cells, prompt_tokens;
};
struct sg__sweep {
    cJSON *doc;
    char *name, *job, *dir; /* dir: absolute */
    struct sg__axis axes[SG__SWEEP_AXES];
    int64_t n_axes, n_points;
    struct sg__point *points; /* [n_points], last axis fastest */
    int64_t *order;           /* [n_points]: in which they compute */
    struct sg__pass *passes;  /* [n_passes] of [n_points] */
    int64_t n_passes;
    struct sg_arena strings;
};

/* Whether every point could begin: its inputs are there and fit, its device and its models are known. Makes no
 * folder. The root's alone. */
enum sg_status sg__sweep_check(const struct sg_run_options *opt, const struct sg_maker_source *source,
                               struct sg_err *err);

/* Which points could be one run; their draws are known. What an earlier start wrote of its passes into the
 * index is taken from there. */
enum sg_status sg__passes_make(struct sg__sweep *s, struct sg_err *err);
void sg__passes_free(struct sg__sweep *s);

/* Before point p: *run is the pass that must be run first, with its draws filled in, or NULL. *fresh: what
 * its folder holds is of no use. fresh_sweep: what the points' folders hold counts for nothing. */
enum sg_status sg__pass_before(struct sg__sweep *s, struct sg__point *p, bool fresh_sweep,
                               struct sg__pass **run, bool *fresh, struct sg_err *err);
/* The overrides that make a pass out of one of its points: items appended to list[*n..], which has room. */
enum sg_status sg__pass_settings(struct sg__sweep *s, const struct sg__pass *pass, const char **list,
                                 size_t *n, struct sg_err *err);
/* It has run: its cells and how many tokens its prompts have together. */
void sg__pass_ran(struct sg__sweep *s, struct sg__pass *pass, int64_t cells, int64_t prompt_tokens);
/* Removes the folder of p's pass when all of its points are done. */
enum sg_status sg__pass_tidy(struct sg__sweep *s, const struct sg__point *p, struct sg_err *err);

/* The passes as a member of the index. */
enum sg_status sg__passes_put(const struct sg__sweep *s, struct sg_buf *b, struct sg_err *err);

#endif

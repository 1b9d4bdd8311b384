/* plan - what a run computes: the corpus, the grid of cells, each cell's anchors, and the fingerprints.
 * Built by one rank, packed to bytes, broadcast, unpacked by the others: all ranks hold the same plan.
 * Immutable after build.
 *
 * The rows of the grid are the queries and, behind them, the calibration anchors: anchors that are estimated
 * as if they were queries (job/calibration.h). Cell index c = row * n_models + model. */
#ifndef SG_PLAN_H
#define SG_PLAN_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/status.h"
#include "cell/anchors.h"
#include "cell/estimate.h"
#include "job/job.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_text {
    const char *s; /* UTF-8, NUL-terminated, owned by the plan */
    int64_t n;     /* bytes */
};
struct sg_query {
    const char *id, *category; /* category "" when the input has none */
    struct sg_text prompt;
};
struct sg_portfolio_model {
    const char *id, *name; /* id is what the prompt and the results show; name may be NULL */
    struct sg_price price;
};
/* One true outcome of a model on a question; known = false where the input has none. */
struct sg_outcome {
    bool known, correct;                      /* correct: what a prompt shows */
    int32_t prompt_tokens, completion_tokens; /* prompt_tokens -1 when not given */
    double score; /* in [0, 1]; of an outcome that is not graded 1 or 0, as correct */
};
/* A model name of the outcomes that no entry of the portfolio knows. */
struct sg_unknown_model {
    const char *name,
        *near;        /* near: the portfolio's name most like it, or NULL; looked for in the first few */
    int64_t outcomes; /* records that bear it */
};
/* What samples [0, samples) of a cell are drawn with. */
struct sg_sampling_params {
    double temperature, top_p;
    int64_t top_k;
    uint64_t seed;
    int64_t draws; /* enum sg_draws; 8 bytes, as params are hashed and packed without padding */
    int64_t samples;
};
struct sg_plan {
    struct sg_job job;
    int64_t n_queries, n_anchors, n_models;
    int64_t n_calibration, n_rows,
        n_cells;            /* n_rows = n_queries + n_calibration; n_cells = n_rows * n_models */
    int64_t n_calibratable; /* anchors with an outcome and, where a similarity file ranks, a record there */
    /* What each cell's samples are drawn with: the job's own sampling; or, in the run of a prefill group
     * (sweep/sweep.h), that of several jobs, all from one prefill. A cell's samples lie in this order. */
    int32_t n_params;
    int64_t n_samples; /* of a cell: all of params together */
    uint8_t *listed;   /* [n_cells] 1: has n_samples, 0: sampling.others; NULL: all have n_samples */
    struct sg_sampling_params *params;  /* [n_params] */
    struct sg_query *queries;           /* [n_rows] */
    struct sg_query *anchors;           /* [n_anchors] */
    int32_t *calibration;               /* [n_calibration]: the anchor of row n_queries + i, rising */
    struct sg_portfolio_model *models;  /* [n_models] */
    struct sg_outcome *anchor_outcomes; /* [n_anchors * n_models] */
    struct sg_outcome *truth;           /* [n_queries * n_models], or NULL when no query has an outcome */
    bool graded;                        /* some outcome has a score between 0 and 1 */
    int32_t top_k;                      /* anchors ranked per row */
    struct sg_cell_anchor *ranked;      /* [n_rows * top_k], most similar first; anchor = -1 past the end */
    const char *template_text, *example_text; /* NULL: built in */
    struct sg_digest fingerprint;             /* of the run: refuses a mix */
    struct sg_digest *cell_fingerprint; /* [n_cells]: what this cell's values depend on, prices excluded */
    int64_t unused_outcomes;            /* records on questions that are neither query nor anchor */
    /* What the inputs tell of themselves; not packed: an unpacked plan has none of it. */
    struct sg_unknown_model *unknown; /* [n_unknown]: most outcomes first */
    int64_t n_unknown;
    const char *prices_from,
        *prices_to; /* oldest and newest as_of of the portfolio; NULL when none has one */
    void *memory;   /* owns all arrays (see plan_memory.h) */
    struct sg_arena strings;
};

/* Inputs that the plan cannot know by itself: computed by the caller (grid) from files and devices. */
struct sg_plan_inputs {
    struct sg_digest model_digest; /* weights, config, tokenizer of the estimator */
    const char *numerics;          /* backend, numerics version, and the version of the built-in template and
                                      verdict parser: changes when results may change */
    /* similarity.method = embedding: called for each text in order, fills out[dim] (L2-normalised). */
    enum sg_status (*embed)(void *ctx, const char *text, int64_t n, float *out, struct sg_err *err);
    void *embed_ctx;
    int32_t embed_dim;
    const struct sg_sampling_params *params; /* [n_params], copied; none: the job's own */
    int32_t n_params;
};

/* Reads every file the job names and builds the plan. Errors name file and line. A template of the job's own
 * is a text file; the block of one example then stands beside it, with -example before the extension
 * (mine.txt, mine-example.txt), or is the built-in one. */
enum sg_status sg_plan_build(const struct sg_job *job, const struct sg_plan_inputs *in, struct sg_plan *out,
                             struct sg_err *err);
void sg_plan_free(struct sg_plan *p); /* zeroed accepted */

/* What the job draws with. */
struct sg_sampling_params sg_plan_job_params(const struct sg_job *job);
/* Whether two are equal but for their numbers of samples. */
bool sg_plan_same_params(const struct sg_sampling_params *a, const struct sg_sampling_params *b);

/* What the fingerprints cover (plan_fingerprint.c).
 * A cell's: estimator, numerics, template and example, its number of samples, draws, temperature, top_p, top_k,
 * max_new_tokens, seed (those of all jobs of a prefill group), the id and text of the query or calibration
 * anchor, the model's id, anchor_chars, and the
 * anchors of its prompt in order: text, correct, completion tokens. Not: prices, truth, categories, ids of
 * anchors, similarities, other cells, engine.*, output.*, name, paths. So a cell computed for one grid is
 * good for another. The run's: all cells' in order, and what else results.h5 holds: ids, categories, prices,
 * truth, the ranked anchors, all anchors' ids, categories and outcomes (with their scores where graded), which are
 * calibrated, output.texts. Not: engine.*, output.dir, name, paths. */

/* The cells' fingerprints as they would be if the job drew all with these parameters, out[n_cells]: tells
 * whether a cell that was computed with more samples begins with this plan's, or one with fewer is the beginning
 * of it. `in` is what the plan was built with. */
enum sg_status sg_plan_fingerprints_of(const struct sg_plan *p, const struct sg_plan_inputs *in,
                                       const struct sg_sampling_params *params, struct sg_digest *out,
                                       struct sg_err *err);

/* The run's fingerprint as it would be with these of the cells [n_cells]. */
enum sg_status sg_plan_run_fingerprint(const struct sg_plan *p, const struct sg_digest *cells,
                                       struct sg_digest *out, struct sg_err *err);

/* The plan of `job`, which differs from p's in sampling (max_new_tokens apart), output and name alone: all
 * but its own sampling and fingerprints is borrowed from p and job. Free with sg_plan_point_free. */
enum sg_status sg_plan_point(const struct sg_plan *p, const struct sg_plan_inputs *in,
                             const struct sg_job *job, struct sg_plan *out, struct sg_err *err);
void sg_plan_point_free(struct sg_plan *point); /* zeroed accepted */

/* The whole plan as bytes and back; the bytes are machine-local (same architecture), checked by a digest. */
enum sg_status sg_plan_pack(const struct sg_plan *p, struct sg_buf *out, struct sg_err *err);
/* Whether bytes that begin so are a plan that this program can read: SG_E_UNSUPPORTED for one of another
 * version, which says what to do; SG_E_CORRUPT for none. */
enum sg_status sg_plan_format(const void *bytes, size_t n, struct sg_err *err);
enum sg_status sg_plan_unpack(const void *bytes, size_t n, struct sg_plan *out, struct sg_err *err);

/* The anchors that go into the prompt of one cell: at most max, most similar first; *n is how many there
 * are. With prompt.missing = "error" build has made sure that all have outcomes. */
void sg_plan_cell_anchors(const struct sg_plan *p, int64_t cell, struct sg_cell_anchor *out, int32_t max,
                          int32_t *n);

/* What is known of the cell's outcome: of a query the truth, of a calibration anchor its own outcome, which
 * its prompt does not show. NULL: nothing. */
const struct sg_outcome *sg_plan_cell_truth(const struct sg_plan *p, int64_t cell);

/* Mean similarity of the row to the anchors of its prompts, over all models; NaN where they show none. */
double sg_plan_row_similarity(const struct sg_plan *p, int64_t row);

/* How many samples the cell gets. */
static inline int64_t sg_plan_cell_samples(const struct sg_plan *p, int64_t cell) {
    return p->listed && !p->listed[cell] ? p->job.sampling.others : p->n_samples;
}

/* For messages: what the row of the cell is. */
static inline const char *sg_plan_row_kind(const struct sg_plan *p, int64_t cell) {
    return cell / p->n_models < p->n_queries ? "query" : "calibration anchor";
}

/* Cells of calibration anchors. */
static inline int64_t sg_plan_calibration_cells(const struct sg_plan *p) {
    return p->n_calibration * p->n_models;
}
/* Why the job has no calibration cells, or fewer than it asks for, as a line for people; false (and nothing
 * written): it has what it asks for. */
enum { SG_CALIBRATION_TEXT = 200 };
bool sg_plan_calibration_lacks(const struct sg_plan *p, char text[SG_CALIBRATION_TEXT]);

/* Relative weight of a cell's work (bytes of its prompt, its anchors included), for heavy-first leasing. */
int64_t sg_plan_cell_weight(const struct sg_plan *p, int64_t cell);

/* The k-nearest-anchor baseline of a cell: top 6 of `ranked` that have outcomes, weights similarity^2; and
 * the mean score over all anchors of the query's category (all anchors when that category has none). A calibration
 * anchor, and others with its text, are left out of its own. NaN where no outcome is known. */
void sg_plan_cell_baselines(const struct sg_plan *p, int64_t cell, double *knn_correct, double *knn_length,
                            double *anchor_correct, double *anchor_length);

#endif

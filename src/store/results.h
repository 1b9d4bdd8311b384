/* results - results.h5 in memory: the columns that the merge writes and the analysis reads. schema.h defines
 * the file's layout.
 *
 * Matrices are row-major [n_queries][n_models]; index q * n_models + m. */
#ifndef SG_STORE_RESULTS_H
#define SG_STORE_RESULTS_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/status.h"
#include "cell/estimate.h"
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* Where prompt_tokens come from: the outcomes' measured usage, or this estimator's own tokenizer. */
enum sg_prompt_count { SG_PROMPT_MEASURED = 0, SG_PROMPT_COUNTED = 1 };

/* One rank of a run. Strings belong to the struct sg_results; NULL is written as "". */
struct sg_runtime_rank {
    const char *host, *device, *device_uuid, *driver, *device_runtime;
    int64_t cells, output_tokens;
    double busy_seconds;
    int64_t device_memory;          /* bytes; 0 unknown */
    double product_rate, read_rate; /* flop/s and byte/s as measured before the work; NaN unknown */
    double joules; /* of the device while the rank had it, whoever else used it; NaN unknown */
};

/* How the run went: written to /runtime, no part of the digest, not read back. Zeroed: nothing is known.
 * Arrays are owned by the struct sg_results (free), strings by its `strings`. */
struct sg_runtime {
    char *started_at; /* UTC, ISO 8601 */
    double seconds;   /* wall time of the last run of the job; a resumed run counts from its restart */
    int64_t cells, prompt_tokens, output_tokens; /* computed by that run, all ranks; prompts as prefilled */
    double joules;                               /* of all devices, each counted once; NaN unknown */
    int64_t n_ranks;
    struct sg_runtime_rank *ranks; /* [n_ranks] */
};

/* Where each cell comes from. No part of the digest: a cell taken over from an earlier night has the same
 * values. Arrays are owned by the struct sg_results (free), strings by its `strings`. Zeroed: the file has no
 * such group. */
struct sg_origin {
    struct sg_digest *fingerprint; /* [all cells] what the cell's values depend on (job/plan.h) */
    int32_t *night;                /* [all cells] in which of `nights` it was computed; -1: in none */
    struct sg_digest
        *prompt; /* [n_queries] sg_digest_bytes of each query's text; NULL: not kept (older files) */
    int64_t n_nights;
    char **nights;      /* [n_nights], names as --night gives them; the file's own is the last */
    char *since;        /* the earlier results that cells were taken over from; NULL: none */
    int64_t taken_over; /* cells; the other computed ones are this run's own */
};

/* All anchors of the job with their outcomes; n = 0: the file does not have them. Matrices [n * n_models]. */
struct sg_anchor_outcomes {
    int64_t n;
    const char **id, **category;                /* [n]; the strings live in the results' `strings` */
    int8_t *correct;                            /* 1, 0, -1 unknown */
    double *score;                              /* NaN unknown; NULL: no outcome is graded */
    int32_t *completion_tokens, *prompt_tokens; /* -1 unknown */
};

struct sg_results {
    int format; /* version of the file's layout, of which the digest depends: sg_results_alloc, _read set it */
    int64_t n_queries, n_models, n_samples;
    /* coordinates; strings live in `strings` */
    char **query;                       /* [n_queries] ids */
    char **category;                    /* [n_queries], "" where the input has none */
    char **model;                       /* [n_models] ids */
    double *price_input, *price_output; /* [n_models] USD per million tokens */
    double *price_request;              /* [n_models] USD per call; NaN in a file that does not say */
    /* per cell [n_queries * n_models]; NaN where valid is 0 */
    uint8_t *valid;
    double *p_correct;
    int32_t *votes_yes, *votes_no, *votes_unparsed;
    double *length_mean, *length_sd; /* tokens */
    double *p_se, *length_se;        /* standard errors of p_correct and length_mean (spread.h) */
    double *cost;                    /* USD a call, as estimated */
    int32_t *prompt_tokens;          /* -1 unknown: never computed and not measured */
    uint8_t *prompt_source;          /* enum sg_prompt_count */
    int64_t *output_tokens;          /* the estimator's own, all samples */
    int32_t *status;                 /* enum sg_status of a failed cell, 0 otherwise; -1 never computed */
    /* truth; NULL when the run had no outcomes. true_correct: 1, 0, -1 unknown; the others NaN there */
    int8_t *true_correct;
    double *true_score; /* 0 to 1; NULL too where no outcome is graded: then true_correct says it */
    double *true_length, *true_cost;
    /* correctness, or where outcomes are graded score: the k nearest anchors' estimate and the anchor mean per (model,
     * category), computed from the same anchors at plan time; NaN where there is none */
    double *knn_correct, *knn_length;       /* [cells]: top 6, weights similarity^2 */
    double *anchor_correct, *anchor_length; /* [cells]: mean over the anchors of the query's category */
    double *similarity; /* [n_queries]: mean similarity to the anchors of its prompts; NaN unknown */
    /* per sample [cells * n_samples], NULL when not asked for */
    int8_t *sample_correct;
    int64_t *sample_length;
    float *sample_p_yes;
    int32_t *sample_tokens;
    uint8_t *sample_finish;
    struct sg_anchor_outcomes anchors;
    /* The anchors that were estimated as if they were queries, over (anchor, model): n_queries of them, their
     * ids in `query`, their outcomes as the truth (always there), each left out of its own baselines. The
     * number of models and of samples, the models and prices are those of the whole. Only the axes, the
     * columns and n_* are set in it; texts, failures and origin of its cells stand in the whole's, behind
     * the queries' cells. NULL: none. */
    struct sg_results *calibration;
    /* [all cells] sg_results_text_digest of each cell's texts; NULL when the run kept none. The texts themselves
     * stay in the file: sg_results_texts_open */
    struct sg_digest *text_digest;
    /* why cells failed, in cell order; may name hosts and files, so it is outside the digest */
    int64_t n_failures;
    int64_t *failure_cell; /* [n_failures] among all cells */
    char **failure_reason; /* [n_failures] */
    /* provenance; each may be NULL */
    char *name, *job_text, *fingerprint, *version, *finished_at;
    struct sg_digest digest; /* of everything above but failures and provenance */
    struct sg_origin origin;
    struct sg_runtime runtime;
    struct sg_arena strings; /* owns all strings */
};

/* The price of a model; a file that does not tell a price of requests has none. */
static inline struct sg_price sg_results_price(const struct sg_results *r, int64_t model) {
    const double request = r->price_request ? r->price_request[model] : 0;
    return (struct sg_price){.input = r->price_input[model],
                             .output = r->price_output[model],
                             .request = request > 0 ? request : 0};
}
/* All cells: the queries', then the calibration's. */
static inline int64_t sg_results_n_cells(const struct sg_results *r) {
    return (r->n_queries + (r->calibration ? r->calibration->n_queries : 0)) * r->n_models;
}
/* The part that holds the columns of cell i of all, and *at, the cell's place in them. */
static inline const struct sg_results *sg_results_part(const struct sg_results *r, int64_t i, int64_t *at) {
    const int64_t cells = r->n_queries * r->n_models;
    *at = i < cells ? i : i - cells;
    return i < cells ? r : r->calibration;
}

/* Whether outcomes have scores beside correct or not. */
static inline bool sg_results_graded(const struct sg_results *r) {
    return r->true_score || r->anchors.score;
}
/* What the model's answer of cell i was worth: its score, or 1 and 0; NaN unknown. Needs true_correct. */
static inline double sg_results_true_score(const struct sg_results *r, int64_t i) {
    if (r->true_correct[i] < 0) return (double)NAN;
    return r->true_score ? r->true_score[i] : r->true_correct[i];
}
/* The same of outcome i of the anchors. */
static inline double sg_results_anchor_score(const struct sg_results *r, int64_t i) {
    if (r->anchors.correct[i] < 0) return (double)NAN;
    return r->anchors.score ? r->anchors.score[i] : r->anchors.correct[i];
}

/* How many of the n_samples samples the cell at `at` of r's columns has: all, or fewer where the job gives few to some
 * cells (sampling.cells); what is behind them is filled. */
static inline int64_t sg_results_cell_samples(const struct sg_results *r, int64_t at) {
    const int64_t n = (int64_t)r->votes_yes[at] + r->votes_no[at] + r->votes_unparsed[at];
    return r->status[at] != SG_OK || n < 0 ? 0 : n < r->n_samples ? n : r->n_samples;
}

/* For messages: what the row of cell i of all is, and its id. */
static inline const char *sg_results_row_kind(const struct sg_results *r, int64_t i) {
    return i < r->n_queries * r->n_models ? "query" : "calibration anchor";
}
static inline const char *sg_results_row_id(const struct sg_results *r, int64_t i) {
    int64_t at;
    const struct sg_results *part = sg_results_part(r, i, &at);
    return part->query[at / r->n_models];
}

/* Which parts to load. ORIGIN: where cells come from. VERIFY: recompute the digest (needs the samples, loads
 * them, and the origin) and compare it with the stored one, and the origin's with its own: SG_E_CORRUPT when
 * they differ. */
enum { SG_RESULTS_CELLS = 1, SG_RESULTS_SAMPLES = 2, SG_RESULTS_VERIFY = 4, SG_RESULTS_ORIGIN = 8 };

/* Reads a results file. SG_E_INPUT when it is not an HDF5 file or not a results file of ours (says what was
 * found), SG_E_UNSUPPORTED for a newer format version (says both), SG_E_CORRUPT for shapes that do not agree
 * or a file that is cut short. HDF5's own error stack is silenced; its message is folded into err. */
enum sg_status sg_results_read(const char *path, unsigned parts, struct sg_results *out, struct sg_err *err);
void sg_results_free(struct sg_results *r); /* zeroed accepted */

/* Allocates the cell columns (and the sample columns when n_samples > 0, the truth when with_truth) for the
 * given sizes, everything invalid/NaN; coordinates are allocated and NULL-filled for the caller to set from
 * r->strings. */
enum sg_status sg_results_alloc(struct sg_results *r, int64_t n_queries, int64_t n_models, int64_t n_samples,
                                bool with_truth, struct sg_err *err);
/* Allocates r->anchors, outcomes unknown, ids and categories NULL for the caller to set. */
enum sg_status sg_results_alloc_anchors(struct sg_results *r, int64_t n, struct sg_err *err);
/* Allocates r->calibration for n anchors like sg_results_alloc; copies models and prices, so set these first. */
enum sg_status sg_results_alloc_calibration(struct sg_results *r, int64_t n, struct sg_err *err);
/* Allocates the scores of all outcomes that r has (grid, anchors, calibration: set these first), NaN; r->format
 * becomes that of graded results. */
enum sg_status sg_results_alloc_scores(struct sg_results *r, struct sg_err *err);
/* Allocates r->runtime.ranks, zeroed. */
enum sg_status sg_results_alloc_ranks(struct sg_results *r, int64_t n_ranks, struct sg_err *err);

/* Recomputes the digest from the columns; sg_results_read's `digest` is the stored one. Columns that are not
 * loaded are missing from it: load CELLS | SAMPLES. The texts enter through text_digest. */
struct sg_digest sg_results_digest(const struct sg_results *r);
/* A digest over r->origin and r->digest, so that fingerprints and nights of other results are refused. */
struct sg_digest sg_results_origin_digest(const struct sg_results *r);

/* Writes the file under a temporary name; an existing file survives any failure. The digest written is
 * sg_results_digest(r), whatever r->digest says. Without texts: text_digest must be NULL (see
 * results_writer.h for the streaming form that keeps them). */
enum sg_status sg_results_write(const char *path, const struct sg_results *r, struct sg_err *err);

/* Texts of a results file. */
struct sg_results_texts; /* owned by the caller of open */
/* *out = NULL (and SG_OK) when the file holds none. */
enum sg_status sg_results_texts_open(const char *path, struct sg_results_texts **out, struct sg_err *err);
/* Appends one sample's text to buf; empty for a cell not computed. cell = query * n_models + model. */
enum sg_status sg_results_texts_get(const struct sg_results_texts *t, int64_t cell, int64_t sample,
                                    struct sg_buf *buf, struct sg_err *err);
void sg_results_texts_close(struct sg_results_texts *t); /* NULL accepted */
/* One text: open, get, close. SG_E_INPUT when the file holds none. */
enum sg_status sg_results_text(const char *path, int64_t cell, int64_t sample, struct sg_buf *buf,
                               struct sg_err *err);

#endif

/* schema - the layout of results.h5, format versions 2 and 3. The list of columns is data (schema.c): allocation,
 * writing, reading and the digest all walk it. Version 1 had neither similarity, p_se and length_se nor the groups
 * anchors and calibration; such files are read, and checked against the digest of version 1, which leaves these out.
 * Version 3 is version 2 with scores (true_score, and score of anchors). A file is written as version 3 only where
 * an outcome is graded, so that other files keep the digest they had. Programs from before origin/prompt analyse these,
 * but take the checksum of origin for wrong (check, --since).
 *
 * Root group: what xarray.open_dataset(path, engine="h5netcdf") shows.
 *   attributes  format = "scope-grid results", format_version (i64), title,
 *               coordinates = "category input_price output_price" (xarray makes these coordinates too)
 *   query       string (query)    ids, in the order of the job's queries
 *   model       string (model)    ids, in the order of the portfolio
 *   sample      i32 (sample)      0 .. n-1; absent when the run kept no samples. A cell has the first votes_yes +
 *                                 votes_no + votes_unparsed of them, n unless the job gives few to some cells;
 *                                 behind these the columns over sample hold their fill values
 *   category    string (query)    "" where the input has none
 *   input_price, output_price     f64 (model), USD per million tokens
 *   request_price                 f64 (model), USD a call; NaN where a file does not say, which counts as 0
 *   columns of SG_AXES_QUERY      (query)
 *   columns of SG_AXES_CELL       (query, model)
 *   columns of SG_AXES_SAMPLE     (query, model, sample)
 * Floats are NaN where there is nothing, integers -1, which their _FillValue says; coded integers carry flag_values and
 * flag_meanings. No conventions are claimed: USD is no unit of CF.
 * Strings are variable-length UTF-8. Large datasets are chunked, shuffled, deflated, with Fletcher-32 sums.
 *
 * Group anchors: every anchor of the job with its outcomes; absent when there are none.
 *   anchor string (anchor) ids, category string (anchor), model string (model)
 *   columns of SG_AXES_ANCHOR     (anchor, model)
 *
 * Group calibration: the anchors that were also estimated as if they were queries, each left out of its own
 * prompt and baselines; absent when there are none. anchor string (anchor) ids, category, model and sample as
 * above, and the root's columns of SG_AXES_QUERY, _CELL (those of truth always) and _SAMPLE with the axis
 * anchor in place of query.
 *
 * In the groups texts, failures and origin, cells are numbered query * number of models + model; the cells of
 * the group calibration follow, as if its anchors were further queries.
 *
 * Group texts (when the job says output.texts): the analyses and verdicts as the estimator wrote them.
 *   bytes       u8 (byte)         all texts end to end, in order of (query, model, sample); UTF-8
 *   offset      i64 (text)        n_cells * n_samples + 1 values: text i is bytes[offset[i] .. offset[i + 1])
 *   digest      u64 (cell, word)  per cell {hi, lo} of sg_results_text_digest
 *
 * Group failures: one entry a failed cell, in cell order; absent when none failed.
 *   cell i64 (failure), reason string (failure); not part of the digest: reasons may name hosts and files
 *
 * Group origin: where each cell comes from; absent when the writer did not know. Not part of the digest.
 *   fingerprint u64 (cell, word)  {hi, lo} of the cell's fingerprint (job/plan.h)
 *   night       i32 (cell)        in which of `name` the cell was computed; -1: not computed
 *   name        string (run)      nights; the last is this file's own
 *   prompt      u64 (query, word) {hi, lo} of sg_digest_bytes of each query's text; older files lack it
 *   attribute check               over this group and the results' digest
 *
 * Group provenance: job (string: the whole job as JSON) and attributes name, version, fingerprint, digest,
 *   finished_at (UTC, ISO 8601), night, taken_over (cells), and since (the results they were taken from).
 * Group runtime: how it was computed; nothing here is part of the digest. Attributes seconds, cells,
 *   prompt_tokens, output_tokens, ranks, started_at, energy (J, NaN unknown); datasets over (rank): host,
 *   device, device_uuid, driver, device_runtime (strings), rank_cells, rank_output_tokens,
 *   device_memory (i64), rank_busy_seconds, product_rate, read_rate, rank_energy (f64). In array mode each
 *   task is a rank, in the order of the tasks' names. */
#ifndef SG_STORE_SCHEMA_H
#define SG_STORE_SCHEMA_H

#include "store/h5.h"
#include "store/results.h"
#include <stddef.h>
#include <string.h>

#define SG_RESULTS_FORMAT "scope-grid results"
enum {
    SG_RESULTS_VERSION = 3, /* the newest that is read; graded outcomes are written so */
    SG_RESULTS_PLAIN = 2    /* what is written otherwise */
};

enum sg__axes { SG_AXES_MODEL, SG_AXES_QUERY, SG_AXES_CELL, SG_AXES_SAMPLE, SG_AXES_ANCHOR };
enum sg__need {
    SG_NEED_ALWAYS,   /* a file without it is not ours */
    SG_NEED_TRUTH,    /* all of these or none */
    SG_NEED_SCORE,    /* wherever there are outcomes, or nowhere in the file */
    SG_NEED_OPTIONAL, /* filled with its fill value when a file lacks it */
};

struct sg__column {
    size_t offset; /* of the pointer in struct sg_results */
    struct sg_h5_var var;
    enum sg__axes axes;
    enum sg__need need;
    int fill;  /* of integers; floats are filled with NaN */
    int since; /* the first format version that has it */
};

/* The columns in the order of the file and of the digest. */
extern const struct sg__column sg__columns[];
extern const int sg__n_columns;

/* The column's pointer in r, by memcpy: it has many types. */
static inline void *sg__column_data(const struct sg_results *r, const struct sg__column *c) {
    void *p;
    memcpy(&p, (const char *)r + c->offset, sizeof p);
    return p;
}
static inline void sg__column_set(struct sg_results *r, const struct sg__column *c, void *p) {
    memcpy((char *)r + c->offset, &p, sizeof p);
}
/* Elements of the column; sizes were checked by sg__results_sizes. */
static inline int64_t sg__column_len(const struct sg_results *r, const struct sg__column *c) {
    if (c->axes == SG_AXES_MODEL) return r->n_models;
    if (c->axes == SG_AXES_QUERY) return r->n_queries;
    if (c->axes == SG_AXES_ANCHOR) return r->anchors.n * r->n_models;
    const int64_t cells = r->n_queries * r->n_models;
    return c->axes == SG_AXES_CELL ? cells : cells * r->n_samples;
}
/* SG_E_INPUT when the product of the axes does not fit. */
enum sg_status sg__results_sizes(int64_t n_queries, int64_t n_models, int64_t n_samples, struct sg_err *err);
/* Memory for one column: zeroed, for who reads the whole column into it; filled. */
enum sg_status sg__column_zeros(struct sg_results *r, const struct sg__column *c, struct sg_err *err);
enum sg_status sg__column_new(struct sg_results *r, const struct sg__column *c, struct sg_err *err);

/* Copies models and prices of r to r->calibration. */
void sg__results_share_models(struct sg_results *r);

/* The group runtime (runtime.c). */
enum sg_status sg__results_put_runtime(struct sg_h5_out *out, const struct sg_runtime *t, struct sg_err *err);

#endif

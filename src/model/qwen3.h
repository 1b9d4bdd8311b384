/* qwen3 - a loaded Qwen3 checkpoint and its forward pass, written once against kernels.h for every backend.
 * Per layer: RMSNorm, packed q/k/v projection, RMSNorm of each q and k head, RoPE, causal grouped-query
 * attention, output projection; RMSNorm, SwiGLU; both with a residual (arXiv:2505.09388 and the model's
 * configuration; equal to transformers' Qwen3Model, see tests/unit/engine/test_oracle.c). */
#ifndef SG_MODEL_QWEN3_H
#define SG_MODEL_QWEN3_H

#include "kernels/kernels.h"
#include "model/config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_model; /* opaque; owned by the caller of open or plan; borrows the device */

struct sg_model_options {
    /* Tokens of the longest sequence; 0 = max_position_embeddings of config.json. More than that is an
     * error. */
    int32_t max_context;
    /* Loading rounds the linear maps of the layers to e4m3 (SG_USE_FP8). Results differ; a device that stores
     * codes takes half the memory for them. Embedding, LM head and norms are not rounded. */
    bool fp8_weights;
    /* Not NULL: a model of this shape with random weights (norms 1), which the device generates from `seed`,
     * the same on every device. No file is read; messages use `dir` as a name. For measurements. */
    const struct sg_config *random;
    uint64_t seed;
};
/* Loads DIR onto the device. Not thread-safe, like the device. */
enum sg_status sg_model_open(struct sg_dev *dev, const char *dir, const struct sg_model_options *opt,
                             struct sg_model **out, struct sg_err *err);
/* Checks every file, name, shape and dtype as open does, but loads nothing: `plan` needs no more to compute a
 * run's memory. Such a model serves the getters below and sg_engine_plan alone. */
enum sg_status sg_model_plan(struct sg_dev *dev, const char *dir, const struct sg_model_options *opt,
                             struct sg_model **out, struct sg_err *err);
void sg_model_close(struct sg_model *m); /* NULL accepted */

const struct sg_config *sg_model_config(const struct sg_model *m);
const char *sg_model_dir(const struct sg_model *m);
int32_t sg_model_max_context(const struct sg_model *m);
bool sg_model_has_head(const struct sg_model *m);        /* false: hidden states only (an embedding model) */
bool sg_model_loaded(const struct sg_model *m);          /* false: made by sg_model_plan */
int64_t sg_model_device_bytes(const struct sg_model *m); /* weights, norms and the RoPE table */
int64_t sg_model_params(const struct sg_model *m);

/* ---- one forward pass -------------------------------------------------------------------------------- */

/* Runs of consecutive positions: see struct sg_prefill_args. Device arrays, and host copies of some. */
struct sg_segs {
    int32_t n;
    const int32_t *row_begin, *pos0, *page_begin, *pages;
    const int32_t *host_row_begin, *host_pos0, *host_page_begin;
};
/* Groups of decode rows: see struct sg_decode_args. */
struct sg_groups {
    int32_t n_groups, n_rows;
    const int32_t *row_begin, *prompt_len, *prompt_page_begin, *prompt_pages;
    const int32_t *suffix_len, *suffix_page_begin, *suffix_pages;
    const int32_t *host_row_begin, *host_prompt_len, *host_prompt_page_begin, *host_suffix_len,
        *host_suffix_page_begin;
    int32_t bound_group_rows, bound_prompt_len, bound_suffix_len;
};
/* Rows: the prefill rows of segs first, then the decode rows. The keys and values of all rows go to the pool.
 * n_out of them are output rows, whose hidden states are computed: some prefill rows, which out_segs
 * describes as segments (row_begin counts output rows), then every decode row. out_rows NULL: all rows are
 * output rows (out_segs is not read). */
struct sg_batch {
    int32_t n, n_out;
    const int32_t *ids, *positions, *slot; /* device [n] */
    const int32_t *out_rows;               /* device [n_out] or NULL */
    struct sg_segs segs, out_segs;
    struct sg_groups groups;
};

/* Activations of a forward pass; allocated once. */
struct sg_workspace {
    void *memory; /* device; owned */
    int32_t max_rows;
};
size_t sg_workspace_bytes(const struct sg_model *m, int32_t max_rows);
enum sg_status sg_workspace_new(const struct sg_model *m, int32_t max_rows, struct sg_workspace *out,
                                struct sg_err *err);
void sg_workspace_free(const struct sg_model *m, struct sg_workspace *ws); /* zeroed accepted */

/* Fills the part of `lim` that the model determines: heads, widths, vocabulary, fp8 weights. */
void sg_model_limits(const struct sg_model *m, struct sg_limits *lim);

/* *hidden: act [n_out][hidden] after the final norm, in ws, valid until the next call; NULL if n_out is 0. */
enum sg_status sg_model_forward(struct sg_model *m, struct sg_kv *kv, struct sg_workspace *ws,
                                const struct sg_batch *b, const void **hidden, struct sg_err *err);
/* logits f32 [n][vocab] of rows [first, first + n) of hidden. */
enum sg_status sg_model_logits(struct sg_model *m, const void *hidden, int32_t first, int32_t n,
                               float *logits, struct sg_err *err);

#endif

/* pipeline - cells to samples to results: prompt, tokens, one group of the engine a cell; then verdicts,
 * estimate, sink. Works without MPI, files and devices: the engine is an interface, so that tests drive the
 * pipeline with one of their own.
 *
 * A prompt names its target model and shows that model's outcomes, so every cell is a group of its own.
 * prompt_tokens of a cell, which its cost counts, are those the outcomes measured for this query and model,
 * and this tokenizer's count of the query alone where they did not (the merge tells which from the plan).
 * A cell's own failure (prompt too long, non-finite logits) becomes that cell's status and reason. */
#ifndef SG_RUN_PIPELINE_H
#define SG_RUN_PIPELINE_H

#include "engine/engine.h"
#include "run/compute.h"
#include "text/tokenizer.h"

/* The part of engine.h that the pipeline uses; same contracts. Its settings are the plan's sampling
 * parameters, in order. */
struct sg_token_engine {
    void *ctx;
    enum sg_status (*submit)(void *ctx, uint64_t tag, const int32_t *prompt, int32_t n_prompt,
                             const uint64_t *keys, const int32_t *settings, int32_t n_samples,
                             struct sg_err *err);
    enum sg_status (*step)(void *ctx, bool *busy, struct sg_err *err);
    int32_t (*pending)(void *ctx);
};

struct sg_pipeline; /* owned by the caller of new */

struct sg_pipeline_options {
    const struct sg_plan *plan;     /* borrowed */
    const struct sg_tokenizer *tok; /* borrowed */
    struct sg_cell_sink sink;
};
enum sg_status sg_pipeline_new(const struct sg_pipeline_options *opt, struct sg_pipeline **out,
                               struct sg_err *err);
void sg_pipeline_free(struct sg_pipeline *p); /* NULL accepted; cells in the engine are forgotten */

/* The hooks to open the engine with, and then the engine; its struct is copied. */
struct sg_engine_hooks sg_pipeline_hooks(struct sg_pipeline *p);
void sg_pipeline_set_engine(struct sg_pipeline *p, const struct sg_token_engine *engine);

/* The pipeline as the grid uses it; p must outlive it. */
struct sg_compute sg_pipeline_compute(struct sg_pipeline *p);

/* Tokens of one cell's prompt as the engine gets it; appended to *ids. For `plan` and tests. */
enum sg_status sg_pipeline_prompt(struct sg_pipeline *p, int64_t cell_index, struct sg_token_ids *ids,
                                  struct sg_err *err);

#endif

/* pipeline - from a cell to its result: prompt, tokens, one group of the engine; then verdicts, estimate,
 * sink. Uses no MPI, files or devices. The engine is an interface, so that tests can pass one of their own.
 *
 * A prompt names its target model and shows that model's outcomes, so every cell is a group of its own.
 * A cell's prompt_tokens, which its cost counts, are those that the outcomes give for this query and model;
 * where they give none, this tokenizer's count of the query alone (the merge derives which from the plan).
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
                             const struct sg_stream *streams, const int32_t *settings, int32_t n_samples,
                             struct sg_err *err);
    enum sg_status (*step)(void *ctx, bool *busy, struct sg_err *err);
    int32_t (*pending)(void *ctx);
    int32_t batch_tokens; /* of one step */
};

struct sg_pipeline; /* owned by the caller of new */

struct sg_pipeline_options {
    const struct sg_plan *plan;     /* borrowed */
    const struct sg_tokenizer *tok; /* borrowed */
    struct sg_cell_sink sink;
};
enum sg_status sg_pipeline_new(const struct sg_pipeline_options *opt, struct sg_pipeline **out,
                               struct sg_err *err);
void sg_pipeline_free(struct sg_pipeline *p); /* NULL accepted; drops unfinished cells */

/* The hooks to open the engine with; then sets the engine, whose struct is copied. */
struct sg_engine_hooks sg_pipeline_hooks(struct sg_pipeline *p);
void sg_pipeline_set_engine(struct sg_pipeline *p, const struct sg_token_engine *engine);

/* The compute that the work queue uses; p must outlive it. */
struct sg_compute sg_pipeline_compute(struct sg_pipeline *p);

/* Appends to *ids the tokens of one cell's prompt, as the engine gets them. For `plan` and tests. */
enum sg_status sg_pipeline_prompt(struct sg_pipeline *p, int64_t cell_index, struct sg_token_ids *ids,
                                  struct sg_err *err);

#endif

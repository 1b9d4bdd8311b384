/* runner - what a rank computes with: device, tokenizer, model, engine, pipeline. The real sg_compute_maker.
 */
#ifndef SG_RUN_RUNNER_H
#define SG_RUN_RUNNER_H

#include "engine/engine.h"
#include "run/compute.h"
#include "text/tokenizer.h"

struct sg_runner; /* owned by the caller of new */

enum sg_status sg_runner_new(struct sg_runner **out, struct sg_err *err);
void sg_runner_free(struct sg_runner *s); /* NULL accepted */

/* s must outlive it. A runner may make for several runs, one after the other. */
struct sg_compute_maker sg_runner_maker(struct sg_runner *s);
/* From now on what a run has loaded stays, for the next run whose job says the same of model and engine, finds
 * the same files and needs no longer a context. */
void sg_runner_keep(struct sg_runner *s);

/* What a run of `plan` takes on this rank and what it computes, without loading weights (after look). */
struct sg_runner_estimate {
    struct sg_engine_memory memory;
    bool cache_measured;       /* the KV cache's size follows from what is free now */
    int32_t max_context;       /* tokens of prompt and answer that the model and the job allow */
    int64_t cells_looked_at;   /* prompts tokenized: all, or an even sample of a large grid */
    int64_t prompt_tokens;     /* of those cells */
    int32_t shortest, longest; /* prompts, tokens */
    double mean, median;
    int64_t too_long; /* of those cells, prompts that leave no room for an answer */
};
enum sg_status sg_runner_estimate(struct sg_runner *s, const struct sg_plan *plan,
                                  struct sg_runner_estimate *out, struct sg_err *err);

#endif

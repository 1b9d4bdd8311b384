/* runner - a rank's device, tokenizer, model, engine and pipeline. The product's sg_compute_maker. */
#ifndef SG_RUN_RUNNER_H
#define SG_RUN_RUNNER_H

#include "engine/engine.h"
#include "run/compute.h"
#include "text/tokenizer.h"

struct sg_runner; /* owned by the caller of new */

enum sg_status sg_runner_new(struct sg_runner **out, struct sg_err *err);
void sg_runner_free(struct sg_runner *s); /* NULL accepted */

/* s must outlive the maker, which serves several runs one after the other. */
struct sg_compute_maker sg_runner_maker(struct sg_runner *s);
/* From now on the runner keeps device, tokenizer and model after a run. The next run uses them when its job's
 * sections model and engine, its place and the model's files are the same. It loads the model again when it
 * needs a longer context. */
void sg_runner_keep(struct sg_runner *s);

/* The memory that a run of `plan` takes on this rank and the prompts that it computes. */
struct sg_runner_estimate {
    struct sg_engine_memory memory;
    bool cache_measured;       /* the KV cache's size is computed from the memory that is free now */
    int32_t max_context;       /* tokens of prompt and answer that the model and the job allow */
    int64_t cells_looked_at;   /* prompts tokenized: all, or every n-th of a large grid */
    int64_t prompt_tokens;     /* of those cells */
    int32_t shortest, longest; /* prompts, tokens */
    double mean, median;
    int64_t too_long; /* of those cells, prompts that leave no room for an answer */
};
/* After the maker's probe. Loads no weights. */
enum sg_status sg_runner_estimate(struct sg_runner *s, const struct sg_plan *plan,
                                  struct sg_runner_estimate *out, struct sg_err *err);

#endif

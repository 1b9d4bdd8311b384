#include "engine/kv_budget.h"
#include "base/minmax.h"

#include "kernels/layout.h"
#include "model/qwen3.h"

static const int64_t MOST_MARGIN = (int64_t)1536 << 20;
static const int64_t UNKNOWN_HOST = (int64_t)4 << 30; /* used when the free memory is unknown */

static double mib(int64_t bytes) {
    return (double)bytes / (1 << 20);
}

/* Bytes that pool and workspace may take together; may be negative. */
static int64_t pool_limit(struct sg_dev *dev, const struct sg_model *model, const struct sg_kv_budget *budget,
                          int64_t *weights) {
    const struct sg_dev_info *info = sg_dev_info(dev);
    const bool loaded = sg_model_loaded(model);
    const int64_t sharers = budget->sharers > 1 ? budget->sharers : 1;
    *weights = sg_model_device_bytes(model);
    if (info->host_memory) {
        const int64_t host = budget->host_free > 0 ? budget->host_free : UNKNOWN_HOST;
        return host / 4 * 3 / sharers - *weights;
    }
    const int64_t margin = sg_min64(info->memory_bytes / 16, MOST_MARGIN);
    int64_t left = sg_dev_memory_free(dev) - (loaded ? 0 : *weights);
    /* The other ranks may have allocated their part already, or not yet. */
    if (sharers > 1) left = sg_min64(left, info->memory_bytes / sharers - *weights);
    return left - margin;
}

/* Pages that the largest batch fills with every row in its own cell, or all cells of the grid if fewer. */
static int64_t pages_of_use(const struct sg_engine_options *o, const struct sg_engine_memory *m,
                            int64_t cells) {
    const int64_t sequence = sg_pages_for(o->max_context), answer = sg_pages_for(o->sampling.max_new_tokens);
    const int64_t of_rows = m->decode_rows * (sequence + 1);
    return cells > 0 ? sg_min64(of_rows, cells * (sequence + answer * o->max_samples)) : of_rows;
}

enum sg_status sg_kv_budget_bytes(struct sg_dev *dev, const struct sg_model *model,
                                  const struct sg_engine_options *opt, const struct sg_kv_budget *budget,
                                  int64_t *bytes, struct sg_err *err) {
    const struct sg_config *c = sg_model_config(model);
    const int64_t page = (int64_t)sg_kv_page_bytes(dev, c->layers, c->kv_heads, c->head_dim);
    struct sg_engine_options o = *opt;
    struct sg_engine_memory m = {0};
    int64_t weights;
    const int64_t all = pool_limit(dev, model, budget, &weights);
    /* The workspace grows with the pool, so a pool of all the memory gives an upper bound for it. */
    o.kv_cache_bytes = all > page ? all : page;
    enum sg_status st = sg_engine_plan(dev, model, &o, &m, err);
    if (st != SG_OK) return st;
    const int64_t pool = all - m.workspace_bytes;
    if (pool < page)
        return sg_fail(
            err, SG_E_NOMEM,
            "no room for a KV cache on %s: %.0f MiB beside %.0f MiB of weights, the workspace takes %.0f "
            "MiB; lower engine.max_batch_tokens, or set engine.kv_cache_mib",
            sg_dev_info(dev)->name, mib(all > 0 ? all : 0), mib(weights), mib(m.workspace_bytes));
    *bytes = sg_min64(pool, pages_of_use(opt, &m, budget->cells) * page);
    return SG_OK;
}

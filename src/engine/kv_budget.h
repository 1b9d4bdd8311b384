/* kv_budget - how much memory a rank's KV cache may have when the job does not say (engine.kv_cache_mib 0).
 * The size changes how many cells run side by side, never a result. */
#ifndef SG_ENGINE_KV_BUDGET_H
#define SG_ENGINE_KV_BUDGET_H

#include "engine/engine.h"

struct sg_kv_budget {
    int64_t host_free; /* bytes that this node could still give before any rank took some; 0: not known */
    int32_t sharers;   /* ranks of the run on this device, or on this node's memory; at least 1 */
    int64_t cells;     /* of the grid: no more than they could ever fill; 0: not known */
};

/* Bytes of the pool for an engine with `opt` (its kv_cache_bytes does not matter) on `model`, planned or
 * loaded. On a GPU: what is free, weights and workspace taken off, less a margin of a sixteenth of the
 * device, 1.5 GiB at most, for what the driver loads later; ranks that share one divide it. On a host: a
 * rank's share of three quarters of host_free, weights and workspace taken off. Never more than the largest
 * batch could fill. SG_E_NOMEM when not one page is left. */
enum sg_status sg_kv_budget_bytes(struct sg_dev *dev, const struct sg_model *model,
                                  const struct sg_engine_options *opt, const struct sg_kv_budget *budget,
                                  int64_t *bytes, struct sg_err *err);

#endif

/* kv_budget - chooses the size of a rank's KV cache when the job does not (engine.kv_cache_mib 0). The size
 * changes how many cells run at once, never a result. */
#ifndef SG_ENGINE_KV_BUDGET_H
#define SG_ENGINE_KV_BUDGET_H

#include "engine/engine.h"

struct sg_kv_budget {
    int64_t host_free; /* bytes free on this node before any rank allocated; 0: unknown */
    int32_t sharers;   /* ranks of the run on this device, or on this node's memory; at least 1 */
    int64_t cells;     /* of the grid: the pool is no larger than they can fill; 0: unknown */
};

/* Bytes of the pool for an engine with `opt` (kv_cache_bytes is ignored) on `model`, planned or loaded.
 * On a GPU: free memory less weights, workspace, and a margin for what the driver loads later (1/16 of the
 * device, at most 1.5 GiB); ranks that share a GPU divide it. On a host: the rank's share of three quarters
 * of host_free, less weights and workspace. Never more than the largest batch can fill. SG_E_NOMEM when no
 * page fits. */
enum sg_status sg_kv_budget_bytes(struct sg_dev *dev, const struct sg_model *model,
                                  const struct sg_engine_options *opt, const struct sg_kv_budget *budget,
                                  int64_t *bytes, struct sg_err *err);

#endif

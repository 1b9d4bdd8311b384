/* kv_pool - the free list of KV pages. Pure: no device, no allocation after init. */
#ifndef SG_ENGINE_KV_POOL_H
#define SG_ENGINE_KV_POOL_H

#include "base/status.h"
#include <stdint.h>

struct sg_kv_pool {
    int32_t pages, n_free, peak; /* peak: most pages in use at once */
    int32_t *free_list;          /* [pages], a stack of n_free page ids */
    uint8_t *out;                /* [pages] 1: in use */
};
enum sg_status sg_kv_pool_init(struct sg_kv_pool *p, int32_t pages, struct sg_err *err);
void sg_kv_pool_free(struct sg_kv_pool *p); /* zeroed accepted */
/* A free page; -1 when no page is free. */
int32_t sg_kv_pool_get(struct sg_kv_pool *p);
void sg_kv_pool_put(struct sg_kv_pool *p, int32_t page);
/* Host bytes that sg_kv_pool_init takes, for sg_engine_plan. */
int64_t sg_kv_pool_bytes(int32_t pages);

#endif

#include "engine/kv_pool.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum sg_status sg_kv_pool_init(struct sg_kv_pool *p, int32_t pages, struct sg_err *err) {
    enum sg_status st;
    memset(p, 0, sizeof *p);
    SG_TRY(SG_NEW(&p->free_list, pages, "page list", err));
    SG_TRY(SG_NEW(&p->out, pages, "page marks", err));
    p->pages = p->n_free = pages;
    for (int32_t i = 0; i < pages; i++) p->free_list[i] = pages - 1 - i; /* get returns page 0 first */
out:
    if (st != SG_OK) sg_kv_pool_free(p);
    return st;
}

void sg_kv_pool_free(struct sg_kv_pool *p) {
    free(p->free_list);
    free(p->out);
    memset(p, 0, sizeof *p);
}

int32_t sg_kv_pool_get(struct sg_kv_pool *p) {
    if (p->n_free == 0) return -1;
    const int32_t page = p->free_list[--p->n_free];
    SG_ASSERT(!p->out[page]);
    p->out[page] = 1;
    if (p->pages - p->n_free > p->peak) p->peak = p->pages - p->n_free;
    return page;
}

void sg_kv_pool_put(struct sg_kv_pool *p, int32_t page) {
    SG_ASSERT(page >= 0 && page < p->pages && p->out[page]);
    p->out[page] = 0;
    p->free_list[p->n_free++] = page;
}

int64_t sg_kv_pool_bytes(int32_t pages) {
    return pages * (int64_t)(sizeof(int32_t) + sizeof(uint8_t));
}

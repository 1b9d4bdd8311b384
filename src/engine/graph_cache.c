#include "engine/graph_cache.h"

#include <string.h>

static bool same(const struct sg_bucket *a, const struct sg_bucket *b) {
    return a->rows == b->rows && a->groups == b->groups && a->group_rows == b->group_rows &&
           a->prompt_len == b->prompt_len && a->suffix_len == b->suffix_len;
}

struct sg_graph *sg_graph_cache_find(struct sg_graph_cache *t, struct sg_dev *dev,
                                     const struct sg_bucket *bucket, bool *fresh) {
    struct sg_graph *oldest = t->places;
    *fresh = false;
    t->clock++;
    for (struct sg_graph *r = t->places; r < t->places + SG_GRAPH_CACHE; r++) {
        if (r->used && same(&r->bucket, bucket)) {
            r->used = t->clock;
            return r;
        }
        if (r->used < oldest->used) oldest = r;
    }
    sg_dev_record_free(dev, oldest->run); /* allowed while a replay runs: kernels.h */
    *oldest = (struct sg_graph){.bucket = *bucket, .used = t->clock};
    *fresh = true;
    return oldest;
}

void sg_graph_cache_free(struct sg_graph_cache *t, struct sg_dev *dev) {
    for (int i = 0; i < SG_GRAPH_CACHE; i++) sg_dev_record_free(dev, t->places[i].run);
    memset(t, 0, sizeof *t);
}

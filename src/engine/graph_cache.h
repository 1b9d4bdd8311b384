/* graph_cache - the steps that an engine has recorded, by their bucket. A small table; the one that was used
 * longest ago makes room. A record takes memory of the driver's own (about a megabyte on a GPU: some hundred
 * nodes with their arguments), which no plan counts: the table is what bounds it. */
#ifndef SG_ENGINE_GRAPH_CACHE_H
#define SG_ENGINE_GRAPH_CACHE_H

#include "engine/batch.h"

enum { SG_GRAPH_CACHE = 64 };
struct sg_graph {
    struct sg_bucket bucket;
    struct sg_dev_record *run; /* NULL: steps of this bucket have been seen, none was recorded */
    int64_t used;              /* the table's clock then; 0: an empty place */
};
struct sg_graph_cache {
    struct sg_graph places[SG_GRAPH_CACHE];
    int64_t clock;
};
/* The bucket's place; a new one (run NULL, *fresh true) when it has none. */
struct sg_graph *sg_graph_cache_find(struct sg_graph_cache *t, struct sg_dev *dev,
                                     const struct sg_bucket *bucket, bool *fresh);
void sg_graph_cache_free(struct sg_graph_cache *t, struct sg_dev *dev); /* zeroed accepted */

#endif

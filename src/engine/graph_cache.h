/* graph_cache - the graphs of an engine: recorded steps, by their bucket (batch.h). When the table is full,
 * the graph used longest ago is freed. A graph takes memory of the driver's own (about a megabyte on a GPU:
 * some hundred nodes with their arguments), which no plan counts: the size of the table bounds it. */
#ifndef SG_ENGINE_GRAPH_CACHE_H
#define SG_ENGINE_GRAPH_CACHE_H

#include "engine/batch.h"

enum { SG_GRAPH_CACHE = 64 };
struct sg_graph {
    struct sg_bucket bucket;
    struct sg_dev_record *run; /* NULL: the engine has run steps of this bucket and recorded none */
    int64_t used;              /* the table's clock then; 0: an empty place */
};
struct sg_graph_cache {
    struct sg_graph places[SG_GRAPH_CACHE];
    int64_t clock;
};
/* The graph of a bucket, borrowed from the table; one without a recording (run NULL, *fresh true) when the
 * table has none. */
struct sg_graph *sg_graph_cache_find(struct sg_graph_cache *t, struct sg_dev *dev,
                                     const struct sg_bucket *bucket, bool *fresh);
void sg_graph_cache_free(struct sg_graph_cache *t, struct sg_dev *dev); /* zeroed accepted */

#endif

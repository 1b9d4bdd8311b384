/* graph_cache - an engine's recorded steps, by bucket (batch.h). A full table frees the graph that was used
 * longest ago. A graph takes driver memory (about a megabyte on a GPU: some hundred nodes with their
 * arguments). sg_engine_plan does not count it; the size of the table bounds it. */
#ifndef SG_ENGINE_GRAPH_CACHE_H
#define SG_ENGINE_GRAPH_CACHE_H

#include "engine/batch.h"

enum { SG_GRAPH_CACHE = 64 };
struct sg_graph {
    struct sg_bucket bucket;
    struct sg_dev_record *run; /* NULL: the engine has run steps of this bucket but recorded none */
    int64_t used;              /* the table's clock at the last find; 0: an empty place */
};
struct sg_graph_cache {
    struct sg_graph places[SG_GRAPH_CACHE];
    int64_t clock;
};
/* The entry of a bucket, borrowed from the table. When there is none, the table adds one without a recording
 * (run NULL) and sets *fresh. */
struct sg_graph *sg_graph_cache_find(struct sg_graph_cache *t, struct sg_dev *dev,
                                     const struct sg_bucket *bucket, bool *fresh);
void sg_graph_cache_free(struct sg_graph_cache *t, struct sg_dev *dev); /* zeroed accepted */

#endif

/* record - the steps that an engine has recorded, by their bucket. A small table; the one that was used
 * longest ago makes room. A record takes memory of the driver's own (about a megabyte on a GPU: some hundred
 * nodes with their arguments), which no plan counts: the table is what bounds it. */
#ifndef SG_ENGINE_RECORD_H
#define SG_ENGINE_RECORD_H

#include "engine/batch.h"

enum { SG_RECORDS = 64 };
struct sg_record {
    struct sg_bucket bucket;
    struct sg_dev_record *run; /* NULL: steps of this bucket have been seen, none was recorded */
    int64_t used;              /* the table's clock then; 0: an empty place */
};
struct sg_records {
    struct sg_record places[SG_RECORDS];
    int64_t clock;
};
/* The bucket's place; a new one (run NULL, *fresh true) when it has none. */
struct sg_record *sg_records_find(struct sg_records *t, struct sg_dev *dev, const struct sg_bucket *bucket,
                                  bool *fresh);
void sg_records_free(struct sg_records *t, struct sg_dev *dev); /* zeroed accepted */

#endif

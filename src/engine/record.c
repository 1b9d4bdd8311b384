#include "engine/record.h"

#include <string.h>

static bool same(const struct sg_bucket *a, const struct sg_bucket *b) {
    return a->rows == b->rows && a->groups == b->groups && a->group_rows == b->group_rows &&
           a->prompt_len == b->prompt_len && a->suffix_len == b->suffix_len;
}

struct sg_record *sg_records_find(struct sg_records *t, struct sg_dev *dev, const struct sg_bucket *bucket,
                                  bool *fresh) {
    struct sg_record *oldest = t->places;
    *fresh = false;
    t->clock++;
    for (struct sg_record *r = t->places; r < t->places + SG_RECORDS; r++) {
        if (r->used && same(&r->bucket, bucket)) {
            r->used = t->clock;
            return r;
        }
        if (r->used < oldest->used) oldest = r;
    }
    sg_dev_record_free(dev, oldest->run); /* may be under way: kernels.h */
    *oldest = (struct sg_record){.bucket = *bucket, .used = t->clock};
    *fresh = true;
    return oldest;
}

void sg_records_free(struct sg_records *t, struct sg_dev *dev) {
    for (int i = 0; i < SG_RECORDS; i++) sg_dev_record_free(dev, t->places[i].run);
    memset(t, 0, sizeof *t);
}

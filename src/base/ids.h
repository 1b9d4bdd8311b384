/* ids - from an id to its index, for millions of ids: open addressing over 64-bit hashes. */
#ifndef SG_BASE_IDS_H
#define SG_BASE_IDS_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/* Zeroed is empty. The strings stay the caller's and must live as long as the table. */
struct sg_ids {
    struct sg_id_slot *slots; /* [1 << bits] */
    int bits;
    size_t n;
};
/* Adds key -> index. When the key is there already, nothing changes and *old is its index (else -1). */
enum sg_status sg_ids_add(struct sg_ids *t, const char *key, size_t n_key, int64_t index, int64_t *old,
                          struct sg_err *err);
int64_t sg_ids_get(const struct sg_ids *t, const char *key, size_t n_key); /* -1 when absent */
void sg_ids_free(struct sg_ids *t);

#endif

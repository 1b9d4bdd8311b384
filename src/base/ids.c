#include "base/ids.h"

#include "base/digest.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

struct sg_id_slot {
    const char *key; /* NULL: empty */
    size_t n_key;
    uint64_t hash;
    int64_t index;
};

/* The slot that holds the key, or the empty one where it belongs; the table is never full. */
static struct sg_id_slot *find(struct sg_id_slot *slots, int bits, const char *key, size_t n_key,
                               uint64_t hash) {
    size_t mask = ((size_t)1 << bits) - 1, i = (size_t)hash & mask;
    while (slots[i].key &&
           !(slots[i].hash == hash && slots[i].n_key == n_key && !memcmp(slots[i].key, key, n_key)))
        i = (i + 1) & mask;
    return &slots[i];
}

static enum sg_status enlarge(struct sg_ids *t, struct sg_err *err) {
    struct sg_id_slot *slots = NULL;
    int bits = t->slots ? t->bits + 1 : 6;
    enum sg_status st = SG_NEW(&slots, (size_t)1 << bits, "table of ids", err);
    if (st != SG_OK) return st;
    for (size_t i = 0; t->slots && i < (size_t)1 << t->bits; i++) {
        const struct sg_id_slot *s = &t->slots[i];
        if (s->key) *find(slots, bits, s->key, s->n_key, s->hash) = *s;
    }
    free(t->slots);
    t->slots = slots;
    t->bits = bits;
    return SG_OK;
}

enum sg_status sg_ids_add(struct sg_ids *t, const char *key, size_t n_key, int64_t index, int64_t *old,
                          struct sg_err *err) {
    if (!t->slots || t->n + 1 > ((size_t)1 << t->bits) / 4 * 3) {
        enum sg_status st = enlarge(t, err);
        if (st != SG_OK) return st;
    }
    uint64_t hash = sg_hash64(key, n_key);
    struct sg_id_slot *s = find(t->slots, t->bits, key, n_key, hash);
    *old = s->key ? s->index : -1;
    if (s->key) return SG_OK;
    *s = (struct sg_id_slot){.key = key, .n_key = n_key, .hash = hash, .index = index};
    t->n++;
    return SG_OK;
}

int64_t sg_ids_get(const struct sg_ids *t, const char *key, size_t n_key) {
    if (!t->slots) return -1;
    const struct sg_id_slot *s = find(t->slots, t->bits, key, n_key, sg_hash64(key, n_key));
    return s->key ? s->index : -1;
}

void sg_ids_free(struct sg_ids *t) {
    if (!t) return;
    free(t->slots);
    *t = (struct sg_ids){0};
}

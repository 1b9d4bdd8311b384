/* The guard's checks around a call: extents, canaries, hashes of inputs, poison in outputs. */
#include "kernels/guard/guard.h"

#include "base/digest.h"
#include "base/mem.h"
#include <string.h>

void sg__guard_poison(void *p, size_t bytes) {
    sg__fill32(p, bytes / 4, SG__POISON);
    if (bytes % 4) memcpy((char *)p + bytes / 4 * 4, &SG__POISON, bytes % 4);
}

/* Index of the first poisoned element of four bytes, or -1. */
static int64_t find_poison(const void *p, size_t bytes) {
    for (size_t i = 0; i < bytes / 4; i++)
        if (memcmp((const char *)p + 4 * i, &SG__POISON, 4) == 0) return (int64_t)i;
    return -1;
}

/* ---- extents ------------------------------------------------------------------------------------ */

enum sg_status sg__guard_inside(const struct sg__guard_dev *g, const char *op, const char *name,
                                const void *p, size_t bytes, struct sg_err *err) {
    const uintptr_t at = (uintptr_t)p;
    for (const struct sg__guard_block *b = g->blocks; b; b = b->next) {
        const uintptr_t lo = (uintptr_t)b->base + SG__GUARD_ZONE;
        if (at < lo || at >= lo + b->bytes) continue;
        if (bytes <= lo + b->bytes - at) return SG_OK;
        return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s takes %zu bytes, %zu are left of '%s' (%zu bytes)",
                       op, name, bytes, (size_t)(lo + b->bytes - at), b->what, b->bytes);
    }
    return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s points into no device allocation", op, name);
}

enum sg_status sg__guard_canaries(const struct sg__guard_dev *g, const char *op, struct sg_err *err) {
    for (const struct sg__guard_block *b = g->blocks; b; b = b->next)
        for (size_t i = 0; i < SG__GUARD_ZONE; i++) {
            const bool front = (unsigned char)b->base[i] != SG__CANARY;
            const bool back = (unsigned char)b->base[SG__GUARD_ZONE + b->bytes + i] != SG__CANARY;
            if (front || back)
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: memory %s '%s' (%zu bytes) was overwritten",
                               op, front ? "in front of" : "behind", b->what, b->bytes);
        }
    return SG_OK;
}

/* ---- around a call ------------------------------------------------------------------------------ */

void sg__guard_add(struct sg__guard_call *c, const char *name, const void *p, size_t count, size_t size,
                   enum sg__guard_use use) {
    if (!p) return;
    SG_ASSERT(c->n < SG__GUARD_RANGES);
    c->ranges[c->n++] = (struct sg__guard_range){.name = name, .p = p, .bytes = count * size, .use = use};
}

void sg__guard_out(struct sg__guard_call *c, const char *name, void *p, size_t count, size_t size) {
    sg__guard_add(c, name, p, count, size, SG__WRITE);
    if (p) c->ranges[c->n - 1].out = p;
}

static bool writes(const struct sg__guard_range *r) {
    return r->use == SG__WRITE || r->use == SG__UPDATE;
}

enum sg_status sg__guard_enter(struct sg__guard_call *c, struct sg_err *err) {
    enum sg_status st;
    c->g->calls++;
    for (int i = 0; i < c->n; i++) {
        struct sg__guard_range *r = &c->ranges[i];
        st = sg__guard_inside(c->g, c->op, r->name, r->p, r->bytes, err);
        if (st != SG_OK) return st;
        for (int j = 0; j < c->n; j++) {
            const struct sg__guard_range *o = &c->ranges[j];
            const uintptr_t a = (uintptr_t)r->p, b = (uintptr_t)o->p;
            if (i != j && writes(r) && a < b + o->bytes && b < a + r->bytes)
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s overlaps %s", c->op, r->name, o->name);
        }
        if (r->use == SG__READ || r->use == SG__UPDATE) {
            const int64_t bad = find_poison(r->p, r->bytes);
            if (bad >= 0)
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s[%lld] was never written", c->op, r->name,
                               (long long)bad);
        }
        if (!writes(r)) r->hash = sg_hash64(r->p, r->bytes);
    }
    for (int i = 0; i < c->n; i++)
        if (c->ranges[i].out) sg__guard_poison(c->ranges[i].out, c->ranges[i].bytes);
    if (c->g->inner->be->poison_scratch) c->g->inner->be->poison_scratch(c->g->inner, SG__POISON);
    return SG_OK;
}

enum sg_status sg__guard_leave(struct sg__guard_call *c, enum sg_status st, struct sg_err *err) {
    if (st != SG_OK) return st;
    for (int i = 0; i < c->n; i++) {
        const struct sg__guard_range *r = &c->ranges[i];
        if (!writes(r)) {
            if (r->hash != sg_hash64(r->p, r->bytes))
                return sg_fail(err, SG_E_INTERNAL, "guard: %s: the input %s was changed", c->op, r->name);
            continue;
        }
        const int64_t bad = find_poison(r->p, r->bytes);
        if (bad >= 0)
            return sg_fail(err, SG_E_INTERNAL,
                           "guard: %s: %s[%lld] was left unwritten, or made of memory nobody wrote", c->op,
                           r->name, (long long)bad);
    }
    return sg__guard_canaries(c->g, c->op, err);
}

enum sg_status sg__guard_values(const struct sg__guard_call *c, const char *name, const int32_t *x, int64_t n,
                                int64_t below, struct sg_err *err) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] < 0 || x[i] >= below)
            return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s[%lld] is %d, expected 0 to %lld", c->op, name,
                           (long long)i, x[i], (long long)below - 1);
    return SG_OK;
}

uint32_t *sg__guard_stamps(const struct sg__guard_dev *g, const struct sg_kv *kv, int32_t layer) {
    const struct sg__guard_kv *k = g->kvs;
    while (k->kv != kv) k = k->next; /* ops.c has checked that the pool is ours */
    return k->stamp + (size_t)layer * (size_t)kv->pages * SG_PAGE_TOKENS;
}

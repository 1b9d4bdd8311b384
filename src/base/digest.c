#include "base/digest.h"

#include "base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct sg_hasher {
    XXH3_state_t *state;
};

static struct sg_digest from_xxh(XXH128_hash_t h) {
    return (struct sg_digest){.hi = h.high64, .lo = h.low64};
}

struct sg_digest sg_digest_bytes(const void *p, size_t n) {
    return from_xxh(XXH3_128bits(n ? p : "", n));
}

uint64_t sg_hash64(const void *p, size_t n) {
    return XXH3_64bits(n ? p : "", n);
}

bool sg_digest_equal(struct sg_digest a, struct sg_digest b) {
    return a.hi == b.hi && a.lo == b.lo;
}

void sg_digest_hex(struct sg_digest d, char out[SG_DIGEST_HEX]) {
    static const char digit[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i] = digit[d.hi >> (60 - 4 * i) & 15];
        out[16 + i] = digit[d.lo >> (60 - 4 * i) & 15];
    }
    out[32] = 0;
}

bool sg_digest_from_hex(const char *hex, struct sg_digest *out) {
    struct sg_digest d = {0, 0};
    for (int i = 0; i < 32; i++) {
        char c = hex[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0) return false;
        if (i < 16)
            d.hi = d.hi << 4 | (uint64_t)v;
        else
            d.lo = d.lo << 4 | (uint64_t)v;
    }
    if (hex[32]) return false;
    *out = d;
    return true;
}

enum sg_status sg_hasher_new(struct sg_hasher **out, struct sg_err *err) {
    struct sg_hasher *h = NULL;
    enum sg_status st = SG_NEW(&h, 1, "hasher", err);
    if (st != SG_OK) return st;
    h->state = XXH3_createState();
    if (!h->state) {
        free(h);
        return sg_fail(err, SG_E_NOMEM, "hasher: no memory");
    }
    XXH3_128bits_reset(h->state);
    *out = h;
    return SG_OK;
}

void sg_hasher_add(struct sg_hasher *h, const void *p, size_t n) {
    uint64_t len = n;
    XXH3_128bits_update(h->state, &len, sizeof len);
    if (n) XXH3_128bits_update(h->state, p, n);
}

void sg_hasher_raw(struct sg_hasher *h, const void *p, size_t n) {
    if (n) XXH3_128bits_update(h->state, p, n);
}

void sg_hasher_str(struct sg_hasher *h, const char *s) {
    sg_hasher_add(h, s, strlen(s));
}

void sg_hasher_i64(struct sg_hasher *h, int64_t v) {
    sg_hasher_add(h, &v, sizeof v);
}

void sg_hasher_f64(struct sg_hasher *h, double v) {
    uint64_t bits;
    if (v == 0) v = 0;
    memcpy(&bits, &v, sizeof bits);
    if (isnan(v)) bits = 0x7ff8000000000000u;
    sg_hasher_add(h, &bits, sizeof bits);
}

struct sg_digest sg_hasher_end(const struct sg_hasher *h) {
    return from_xxh(XXH3_128bits_digest(h->state));
}

void sg_hasher_free(struct sg_hasher *h) {
    if (!h) return;
    XXH3_freeState(h->state);
    free(h);
}

/* digest - 128-bit content hashes (XXH3, seed 0): fingerprints, segment checksums, the results digest.
 * They guard against mixing and damage, not against an adversary. */
#ifndef SG_BASE_DIGEST_H
#define SG_BASE_DIGEST_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_digest {
    uint64_t hi, lo;
};
enum { SG_DIGEST_HEX = 33 }; /* 32 hex digits and a NUL */

struct sg_digest sg_digest_bytes(const void *p, size_t n);
uint64_t sg_hash64(const void *p, size_t n); /* XXH3 64-bit: keys of tables and of random streams */
bool sg_digest_equal(struct sg_digest a, struct sg_digest b);
void sg_digest_hex(struct sg_digest d, char out[SG_DIGEST_HEX]);
bool sg_digest_from_hex(const char *hex, struct sg_digest *out); /* false unless 32 hex digits */

/* Streaming form; a value is added with its length so that ("ab","c") and ("a","bc") differ. */
struct sg_hasher; /* opaque, owned by the caller of new, freed by free (NULL accepted) */
enum sg_status sg_hasher_new(struct sg_hasher **out, struct sg_err *err);
void sg_hasher_add(struct sg_hasher *h, const void *p, size_t n);
/* Without the length: a hasher that was given only these ends as sg_digest_bytes of all of them end to end. */
void sg_hasher_raw(struct sg_hasher *h, const void *p, size_t n);
void sg_hasher_str(struct sg_hasher *h, const char *s);
void sg_hasher_i64(struct sg_hasher *h, int64_t v);
void sg_hasher_f64(struct sg_hasher *h, double v); /* by bits; -0 counts as 0, every NaN as one */
struct sg_digest sg_hasher_end(const struct sg_hasher *h);
void sg_hasher_free(struct sg_hasher *h);

#endif

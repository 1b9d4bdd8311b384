/* bytes - puts little-endian fields into a buffer and takes them out of one with bounds checks. Segments and
 * digests use it, so their bytes are the same on every machine. Header only. */
#ifndef SG_STORE_BYTES_H
#define SG_STORE_BYTES_H

#include "base/mem.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Taking: past the end, `bad` is set, stays set, and every later field reads as 0. The caller checks once. */
struct sg__cursor {
    const unsigned char *p, *end;
    bool bad;
};

static inline struct sg__cursor sg__cursor(const void *p, size_t n) {
    const unsigned char *b = p;
    return (struct sg__cursor){.p = b, .end = n ? b + n : b, .bad = false};
}
static inline size_t sg__left(const struct sg__cursor *c) {
    return c->bad ? 0 : (size_t)(c->end - c->p);
}
/* n bytes where they are, or NULL (and bad) when fewer are left. */
static inline const void *sg__take(struct sg__cursor *c, size_t n) {
    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return NULL;
    }
    const void *p = c->p;
    c->p += n;
    return p;
}
static inline uint64_t sg__load(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}
static inline void sg__save(unsigned char *p, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(v >> (8 * i));
}
static inline uint64_t sg__take_uint(struct sg__cursor *c, int bytes) {
    const unsigned char *p = sg__take(c, (size_t)bytes);
    return p ? sg__load(p, bytes) : 0;
}
static inline uint32_t sg__take_u32(struct sg__cursor *c) {
    return (uint32_t)sg__take_uint(c, 4);
}
static inline int32_t sg__take_i32(struct sg__cursor *c) {
    return (int32_t)sg__take_u32(c);
}
static inline uint64_t sg__take_u64(struct sg__cursor *c) {
    return sg__take_uint(c, 8);
}
static inline int64_t sg__take_i64(struct sg__cursor *c) {
    return (int64_t)sg__take_u64(c);
}
static inline double sg__take_f64(struct sg__cursor *c) {
    const uint64_t bits = sg__take_u64(c);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
static inline float sg__take_f32(struct sg__cursor *c) {
    const uint32_t bits = sg__take_u32(c);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Putting, into memory that the caller has reserved: returns the place after the field. */
static inline unsigned char *sg__put_uint(unsigned char *p, uint64_t v, int bytes) {
    sg__save(p, v, bytes);
    return p + bytes;
}
static inline unsigned char *sg__put_i32(unsigned char *p, int32_t v) {
    return sg__put_uint(p, (uint32_t)v, 4);
}
static inline unsigned char *sg__put_i64(unsigned char *p, int64_t v) {
    return sg__put_uint(p, (uint64_t)v, 8);
}
static inline unsigned char *sg__put_f64(unsigned char *p, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return sg__put_uint(p, bits, 8);
}
static inline unsigned char *sg__put_f32(unsigned char *p, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return sg__put_uint(p, bits, 4);
}
static inline unsigned char *sg__put_bytes(unsigned char *p, const void *bytes, size_t n) {
    if (n) memcpy(p, bytes, n);
    return p + n;
}

#endif

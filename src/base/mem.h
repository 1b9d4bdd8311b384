/* mem - checked allocation, growing buffers, and an arena for objects that are freed together. */
#ifndef SG_BASE_MEM_H
#define SG_BASE_MEM_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* *out = a * b (or a + b); false, and *out untouched, when it does not fit. */
static inline bool sg_mul_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool sg_add_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* Zeroed memory for n elements of `size` bytes; *out is owned by the caller, freed with free().
 * `what` names it in the error. n = 0 gives a valid pointer that must be freed too. */
enum sg_status sg_new(void **out, size_t n, size_t size, const char *what, struct sg_err *err);

/* Typed form: SG_NEW(&p, n, "cells", err) for `T *p`. */
#define SG_NEW(pp, n, what, err) sg_new((void **)(pp), (size_t)(n), sizeof **(pp), what, err)

/* Grows *p (capacity *cap elements) so that at least `need` fit; doubles, keeps the contents, new part
 * not zeroed. On failure *p and *cap are unchanged and still owned by the caller. */
enum sg_status sg_grow(void **p, size_t *cap, size_t need, size_t size, const char *what, struct sg_err *err);
#define SG_GROW(pp, cap, need, what, err)                                                                    \
    sg_grow((void **)(pp), cap, (size_t)(need), sizeof **(pp), what, err)

/* Memory aligned to 64 bytes (a cache line, one AVX-512 register), zeroed; freed with free(). */
enum sg_status sg_new_aligned(void **out, size_t bytes, const char *what, struct sg_err *err);

bool sg_ends_with(const char *s, const char *tail);

/* A growing byte string. data is NUL-terminated after every append (the NUL is not counted). Zeroed is
 * empty; sg_buf_free accepts the half-built. Owns data. */
struct sg_buf {
    char *data;
    size_t len, cap;
};
enum sg_status sg_buf_add(struct sg_buf *b, const void *bytes, size_t n, struct sg_err *err);
enum sg_status sg_buf_str(struct sg_buf *b, const char *s, struct sg_err *err);
enum sg_status sg_buf_printf(struct sg_buf *b, struct sg_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void sg_buf_clear(struct sg_buf *b); /* len = 0, keeps the capacity */
void sg_buf_free(struct sg_buf *b);

/* Bump allocator: many small objects, one free. Zeroed is empty. Pointers stay valid until the free. */
struct sg_arena_chunk;
struct sg_arena {
    struct sg_arena_chunk *head;
    size_t total; /* bytes handed out, alignment included */
};
/* n bytes aligned to 16, zeroed. */
enum sg_status sg_arena_get(struct sg_arena *a, size_t n, void **out, struct sg_err *err);
/* A NUL-terminated copy of n bytes at s. */
enum sg_status sg_arena_dup(struct sg_arena *a, const char *s, size_t n, char **out, struct sg_err *err);
void sg_arena_free(struct sg_arena *a);

#ifdef __cplusplus
}
#endif
#endif

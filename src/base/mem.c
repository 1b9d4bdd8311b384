#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_new(void **out, size_t n, size_t size, const char *what, struct sg_err *err) {
    size_t bytes;
    if (!sg_mul_size(n, size, &bytes))
        return sg_fail(err, SG_E_NOMEM, "%s: %zu elements of %zu bytes overflow the address space", what, n,
                       size);
    void *p = calloc(bytes ? bytes : 1, 1);
    if (!p) return sg_fail(err, SG_E_NOMEM, "%s: no memory for %zu bytes", what, bytes);
    *out = p;
    return SG_OK;
}

enum sg_status sg_grow(void **p, size_t *cap, size_t need, size_t size, const char *what,
                       struct sg_err *err) {
    if (need <= *cap) return SG_OK;
    size_t next = *cap ? *cap : 8, bytes;
    while (next < need) {
        if (next > SIZE_MAX / 2) {
            next = need;
            break;
        }
        next *= 2;
    }
    if (!sg_mul_size(next, size, &bytes))
        return sg_fail(err, SG_E_NOMEM, "%s: %zu elements of %zu bytes overflow the address space", what,
                       next, size);
    void *q = realloc(*p, bytes);
    if (!q) return sg_fail(err, SG_E_NOMEM, "%s: no memory for %zu bytes", what, bytes);
    *p = q;
    *cap = next;
    return SG_OK;
}

enum sg_status sg_new_aligned(void **out, size_t bytes, const char *what, struct sg_err *err) {
    void *p = NULL;
    size_t padded;
    if (!sg_add_size(bytes, 63, &padded) || posix_memalign(&p, 64, (padded & ~(size_t)63) + 64) != 0)
        return sg_fail(err, SG_E_NOMEM, "%s: no memory for %zu bytes", what, bytes);
    memset(p, 0, bytes);
    *out = p;
    return SG_OK;
}

enum sg_status sg_buf_add(struct sg_buf *b, const void *bytes, size_t n, struct sg_err *err) {
    size_t need;
    if (!sg_add_size(b->len, n, &need) || !sg_add_size(need, 1, &need))
        return sg_fail(err, SG_E_NOMEM, "text buffer: size overflow");
    enum sg_status st = SG_GROW(&b->data, &b->cap, need, "text buffer", err);
    if (st != SG_OK) return st;
    if (n) memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
    return SG_OK;
}

enum sg_status sg_buf_str(struct sg_buf *b, const char *s, struct sg_err *err) {
    return sg_buf_add(b, s, strlen(s), err);
}

enum sg_status sg_buf_printf(struct sg_buf *b, struct sg_err *err, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    enum sg_status st = SG_OK;
    if (n < 0) {
        st = sg_fail(err, SG_E_INTERNAL, "text buffer: unprintable format");
    } else {
        st = SG_GROW(&b->data, &b->cap, b->len + (size_t)n + 1, "text buffer", err);
        if (st == SG_OK) {
            vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
            b->len += (size_t)n;
        }
    }
    va_end(again);
    return st;
}

void sg_buf_clear(struct sg_buf *b) {
    b->len = 0;
    if (b->data) b->data[0] = 0;
}

void sg_buf_free(struct sg_buf *b) {
    if (!b) return;
    free(b->data);
    memset(b, 0, sizeof *b);
}

struct sg_arena_chunk {
    struct sg_arena_chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

enum { ARENA_CHUNK = 64 * 1024 };

enum sg_status sg_arena_get(struct sg_arena *a, size_t n, void **out, struct sg_err *err) {
    size_t padded;
    if (!sg_add_size(n ? n : 1, 15, &padded)) return sg_fail(err, SG_E_NOMEM, "arena: size overflow");
    padded &= ~(size_t)15;
    if (!a->head || a->head->size - a->head->used < padded) {
        size_t size = padded > ARENA_CHUNK ? padded : ARENA_CHUNK, bytes;
        if (!sg_add_size(size, sizeof(struct sg_arena_chunk), &bytes))
            return sg_fail(err, SG_E_NOMEM, "arena: size overflow");
        struct sg_arena_chunk *c = calloc(1, bytes);
        if (!c) return sg_fail(err, SG_E_NOMEM, "arena: no memory for %zu bytes", bytes);
        c->size = size;
        c->next = a->head;
        a->head = c;
    }
    *out = a->head->bytes + a->head->used;
    a->head->used += padded;
    a->total += padded;
    return SG_OK;
}

enum sg_status sg_arena_dup(struct sg_arena *a, const char *s, size_t n, char **out, struct sg_err *err) {
    void *p = NULL;
    size_t bytes;
    if (!sg_add_size(n, 1, &bytes)) return sg_fail(err, SG_E_NOMEM, "arena: size overflow");
    enum sg_status st = sg_arena_get(a, bytes, &p, err);
    if (st != SG_OK) return st;
    if (n) memcpy(p, s, n);
    *out = p;
    return SG_OK;
}

void sg_arena_free(struct sg_arena *a) {
    if (!a) return;
    while (a->head) {
        struct sg_arena_chunk *next = a->head->next;
        free(a->head);
        a->head = next;
    }
    a->total = 0;
}

bool sg_ends_with(const char *s, const char *tail) {
    const size_t n = strlen(s), k = strlen(tail);
    return n >= k && !strcmp(s + n - k, tail);
}

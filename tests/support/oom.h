/* oom - makes the n-th allocation of the code under test fail, and counts what it does not give back. Include
 * in the one source of a test that is linked with
 *   -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=free
 * Calls inside shared libraries are not seen; cJSON's are, through its hooks. Not for threads. */
#ifndef SG_TEST_OOM_H
#define SG_TEST_OOM_H

#include "base/status.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);
void __wrap_free(void *p);

/* What a child process and this one share, so that the allocations of both are counted. */
struct oom_count {
    int64_t countdown; /* allocations until one fails; 0 = never */
    bool hit;          /* one has failed since oom_arm */
};
static inline struct oom_count *oom_shared(void) {
    static struct oom_count *count;
    if (!count) count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == MAP_FAILED) abort();
    return count;
}
#define oom_countdown (oom_shared()->countdown)
#define oom_hit       (oom_shared()->hit)
static int64_t oom_live; /* blocks held by this process */

/* The n-th allocation from here on fails (once); 0 = none. */
static inline void oom_arm(int64_t n) {
    static cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = __wrap_free};
    cJSON_InitHooks(&hooks);
    oom_countdown = n;
    oom_hit = false;
}

static inline bool oom_now(void) {
    if (oom_countdown == 0 || --oom_countdown > 0) return false;
    oom_hit = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n) {
    void *p = oom_now() ? NULL : __real_malloc(n);
    oom_live += p != NULL;
    return p;
}

void *__wrap_calloc(size_t n, size_t size) {
    void *p = oom_now() ? NULL : __real_calloc(n, size);
    oom_live += p != NULL;
    return p;
}

void *__wrap_realloc(void *old, size_t n) {
    bool had = old != NULL;
    void *p = oom_now() ? NULL : __real_realloc(old, n);
    oom_live += p && !had;
    return p;
}

int __wrap_posix_memalign(void **p, size_t align, size_t n) {
    int rc = oom_now() ? ENOMEM : __real_posix_memalign(p, align, n);
    oom_live += rc == 0;
    return rc;
}

void __wrap_free(void *p) {
    oom_live -= p != NULL;
    __real_free(p);
}

/* What a call that fails leaves as it was (files, say), as a number; NULL: nothing is counted. */
static int (*oom_world)(void);

/* Fails the first, the second, ... allocation until the call gets through without one failing. Each that fails leaves no
 * block and no file, and says why. */
static inline void oom_each(const char *what, enum sg_status (*once)(struct sg_err *), int64_t at_least) {
    for (int64_t n = 1;; n++) {
        struct sg_err err = {0};
        const int64_t before = oom_live;
        const int world = oom_world ? oom_world() : 0;
        oom_arm(n);
        const enum sg_status st = once(&err);
        const bool hit = oom_hit;
        oom_arm(0);
        if (oom_live != before)
            fail_msg("%s: allocation %d failed, %d blocks leaked", what, (int)n, (int)(oom_live - before));
        if (oom_world && oom_world() != world)
            fail_msg("%s: allocation %d failed and left a file", what, (int)n);
        if (!hit) {
            if (st != SG_OK) fail_msg("%s: %s", what, err.text);
            if (n <= at_least) fail_msg("%s: only %d allocations seen", what, (int)n - 1);
            return;
        }
        if (st != SG_E_NOMEM || !err.text[0])
            fail_msg("%s: allocation %d failed, status %s: %s", what, (int)n, sg_status_name(st), err.text);
    }
}

#endif

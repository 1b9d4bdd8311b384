#define _GNU_SOURCE /* sched_getaffinity */
#include "kernels/host.h"

#include "base/mem.h"
#include "base/rng.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64 };
static const size_t HUGE_BLOCK = (size_t)1 << 20;

/* Stands in the cache line in front of the memory it describes. */
struct sg__host_block {
    struct sg__host_block *prev, *next;
    void *base; /* what calloc gave */
};

enum sg_status sg__host_alloc(struct sg__host_mem *m, size_t bytes, const char *what, void **out,
                              struct sg_err *err) {
    size_t total;
    char *base = NULL;
    /* calloc, not memalign and memset: fresh pages of the system are zero already and stay untouched */
    if (sg_add_size(bytes, 3 * ALIGN, &total)) base = calloc(total, 1);
    if (!base) return sg_fail(err, SG_E_NOMEM, "%s: no memory for %zu bytes", what, bytes);
    char *user = base + ALIGN + (ALIGN - (uintptr_t)base % ALIGN);
    struct sg__host_block *b = (void *)(user - ALIGN);
    b->base = base;
    b->next = m->head;
    b->prev = NULL;
    if (m->head) m->head->prev = b;
    m->head = b;
    if (bytes >= HUGE_BLOCK) {
        /* Advice only: without huge pages it is merely slower. From the first page to the last: blocks of one size
         * follow each other, and the system then takes them for one, with huge pages across their borders. */
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), lo = (uintptr_t)base / page * page,
                        hi = ((uintptr_t)base + total + page - 1) / page * page;
        (void)madvise((void *)lo, hi - lo, MADV_HUGEPAGE);
    }
    if (m->touch) sg__fill32(user, bytes / sizeof(uint32_t), 0);
    *out = user;
    return SG_OK;
}

void sg__host_free(struct sg__host_mem *m, void *p) {
    if (!p) return;
    struct sg__host_block *b = (void *)((char *)p - ALIGN);
    if (b->prev)
        b->prev->next = b->next;
    else
        m->head = b->next;
    if (b->next) b->next->prev = b->prev;
    free(b->base);
}

void sg__host_free_all(struct sg__host_mem *m) {
    while (m->head) sg__host_free(m, (char *)m->head + ALIGN);
}

int sg__host_cores(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    if (n < 1) { /* more processors than cpu_set_t holds */
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        n = online < 1 ? 1 : (int)online;
    }
    return n;
}

int64_t sg__host_memory_bytes(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (int64_t)pages * size : 0;
}

void sg__host_cpu_name(char *out, size_t size) {
    snprintf(out, size, "host");
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = 0;
        snprintf(out, size, "%s", colon + 1 + (colon[1] == ' '));
        break;
    }
    if (f) fclose(f);
}

void sg__fill32(void *p, size_t count, uint32_t word) {
    for (size_t i = 0; i < count; i++) memcpy((char *)p + 4 * i, &word, 4);
}

void sg__random_weights(uint16_t *to, uint64_t key, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n;) {
        const int64_t at = (first + i) % 8, some = n - i < 8 - at ? n - i : 8 - at;
        uint32_t w[4];
        sg_random_weights(key, (uint64_t)(first + i) / 8, w);
        for (int64_t j = 0; j < some; j++) to[i + j] = (uint16_t)(w[(at + j) / 2] >> (at + j) % 2 * 16);
        i += some;
    }
}

/* shared - shared memory: one heap object per array and block, so that its ends are exact, filled with NaN.
 */
#include "emu_internal.h"

#include <stdlib.h>
#include <string.h>
#ifdef EMU_TSAN
#    include <sys/mman.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#endif

namespace emu {

enum { MAX_ARRAYS = 64, STATIC_LIMIT = 48 * 1024, DEVICE_LIMIT = 227 * 1024 };

struct region {
    unsigned char *p;
    size_t bytes;
};
static region arrays[MAX_ARRAYS]; /* by key */
static int n_keys, used[MAX_ARRAYS], n_used;
static size_t static_bytes;
static region dynamic;

struct allowance {
    const void *kernel;
    long long bytes;
};
static std::vector<allowance> allowances;

/* Not memset: a race detector takes that for an access of the kernel. */
void poison(void *p, size_t bytes) {
#ifdef __x86_64__
    void *d = p;
    size_t n = bytes;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(0xff) : "memory");
#else
    memset(p, 0xff, bytes);
#endif
#ifdef EMU_MSAN
    __msan_poison(p, bytes);
#endif
}

#ifdef EMU_TSAN
/* Fresh addresses for every block, unseen by the race detector; used again after the launch, by the same lane. */
static char *arenas[LANES];
static size_t arena_at;
static void *block_alloc(size_t n) {
    char *&arena = arenas[race_lane];
    if (!arena)
        arena = (char *)syscall(SYS_mmap, nullptr, 1ul << 32, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *p = arena + arena_at;
    arena_at += (n + 255) & ~(size_t)127;
    return p;
}
static void block_free(void *) {
}
void shared_launch_end(void) {
    arena_at = 0;
}
#else
static void *block_alloc(size_t n) {
    void *p = nullptr;
    if (posix_memalign(&p, 128, n)) abort();
    return p;
}
static void block_free(void *p) {
    free(p);
}
void shared_launch_end(void) {
}
#endif

void shared_begin(long long bytes) {
    dynamic = {nullptr, (size_t)bytes};
    if (!bytes) return;
    dynamic.p = (unsigned char *)block_alloc(dynamic.bytes);
    poison(dynamic.p, dynamic.bytes);
}
void shared_end(void) {
    for (int i = 0; i < n_used; i++) {
        block_free(arrays[used[i]].p);
        arrays[used[i]].p = nullptr;
    }
    n_used = 0;
    static_bytes = 0;
    if (dynamic.p) block_free(dynamic.p);
    dynamic.p = nullptr;
}

void *static_shared(int *key, size_t bytes, const char *name) {
    if (!*key) {
        if (n_keys == MAX_ARRAYS - 1) fail("more than %d SHARED lines", MAX_ARRAYS - 1);
        *key = ++n_keys;
    }
    region &r = arrays[*key];
    if (!r.p) {
        r = {(unsigned char *)block_alloc(bytes), bytes};
        poison(r.p, bytes);
        used[n_used++] = *key;
        static_bytes += bytes;
        if (static_bytes > STATIC_LIMIT) fail("static shared memory over 48 KiB at %s", name);
    }
    return r.p;
}
unsigned char *dynamic_shared(void) {
    if (!dynamic.p) fail("dynamic shared memory used but none was asked for at the launch");
    return dynamic.p;
}
bool in_shared(const void *p, size_t bytes) {
    const unsigned char *c = (const unsigned char *)p;
    if (dynamic.p && c >= dynamic.p && c + bytes <= dynamic.p + dynamic.bytes) return true;
    for (int i = 0; i < n_used; i++) {
        const region &r = arrays[used[i]];
        if (c >= r.p && c + bytes <= r.p + r.bytes) return true;
    }
    return false;
}

int allow_smem(const void *kernel, long long bytes) {
    if (bytes > DEVICE_LIMIT)
        fail("%lld bytes of shared memory asked for; sm_90 has %d", bytes, DEVICE_LIMIT);
    for (allowance &a : allowances)
        if (a.kernel == kernel) {
            a.bytes = bytes;
            return 0;
        }
    allowances.push_back({kernel, bytes});
    return 0;
}
void check_dynamic(const void *kernel, long long bytes) {
    long long limit = STATIC_LIMIT;
    for (const allowance &a : allowances)
        if (a.kernel == kernel) limit = a.bytes;
    if (bytes < 0 || bytes > limit)
        fail("%lld bytes of dynamic shared memory, %lld allowed (ALLOW_SMEM raises it)", bytes, limit);
}

} // namespace emu

dim3::dim3(long long a, long long b, long long c) : x((unsigned)a), y((unsigned)b), z((unsigned)c) {
    if (a < 1 || b < 1 || c < 1 || a > 0x7fffffffLL || b > 65535 || c > 65535)
        emu::fail("launch dimension (%lld,%lld,%lld) is out of range", a, b, c);
}

/* banks - see banks.h. */
#include "banks.h"
#include "emu_internal.h"

#include <algorithm>
#include <map>

namespace emu {

enum { BANKS = 32, WORD = 4 };

/* A warp's pass through an instruction. Shared arrays begin at multiples of 128 bytes: a word's bank follows
 * from its address. */
struct access {
    unsigned lanes;
    uintptr_t at[32];
};
struct site {
    sg_bank_kind kind;
    int bytes;
    std::vector<access> of_warp[MAX_WARPS];
    uint32_t passed[MAX_THREADS]; /* by each thread of the block */
};
static std::map<const void *, site> sites;
static std::vector<sg_bank_report> reports; /* the last: of the kernel that runs */
static unsigned long long block;            /* whose accesses `sites` has */
static const char *watched;
static size_t watched_bytes;

/* Lanes that want the same word share a pass, unless they add to it. */
static int passes_of(const site &s, const access &a, int first, int n) {
    std::vector<uintptr_t> words[BANKS];
    size_t most = 0;
    for (int l = first; l < first + n; l++) {
        if (!(a.lanes >> l & 1)) continue;
        for (int w = 0; w < (s.bytes + WORD - 1) / WORD; w++) {
            const uintptr_t word = a.at[l] / WORD + (uintptr_t)w;
            std::vector<uintptr_t> &bank = words[word % BANKS];
            if (s.kind == SG_BANK_ATOMIC || std::find(bank.begin(), bank.end(), word) == bank.end())
                bank.push_back(word);
            most = std::max(most, bank.size());
        }
    }
    return (int)most;
}
static void count(const void *where, const site &s, const access &a) {
    const int together = s.bytes <= WORD ? 32 : 32 * WORD / s.bytes;
    int passes = 0, least = 0;
    for (int first = 0; first < 32; first += together) {
        const int p = passes_of(s, a, first, together);
        passes += p;
        least += p > 0;
    }
    sg_bank_counts &c = reports.back().of[s.kind];
    c.instructions++;
    c.passes += passes;
    c.least += least;
    const int degree = (passes + least - 1) / least;
    if (degree > c.worst) c.worst = degree, c.where = where;
}
static void settle(void) {
    for (auto &entry : sites)
        for (const std::vector<access> &accesses : entry.second.of_warp)
            for (const access &a : accesses) count(entry.first, entry.second, a);
    sites.clear();
}

static void accessed(sg_bank_kind kind, const void *p, int bytes, const void *where) {
    if (current == &host) return;
    const bool shared = in_shared(p, (size_t)bytes);
    if (!shared && (size_t)((const char *)p - watched) >= watched_bytes) return;
    if (block != counts.threads) settle(); /* another block's */
    block = counts.threads;
    if (reports.empty() || reports.back().kernel != kernel_name) reports.push_back({kernel_name, {}, 0, 0});
    if (!shared) {
        reports.back().watched++;
        return;
    }
    site &s = sites[where];
    s.kind = kind;
    s.bytes = bytes;
    const int thread = self->linear;
    std::vector<access> &accesses = s.of_warp[thread / 32];
    const uint32_t n = s.passed[thread]++;
    if (n >= accesses.size()) accesses.resize(n + 1);
    accesses[n].lanes |= 1u << self->lane;
    accesses[n].at[self->lane] = (uintptr_t)p;
}
/* ldmatrix and cp.async tell by themselves. */
static void told(const void *p, bool copy, bool reads, const void *where) {
    accessed(copy ? SG_BANK_COPY : SG_BANK_LDMATRIX, p, 16, where);
    reports.back().copied += copy && reads;
}
static const bool listening = (on_shared = told, true);

__attribute__((noinline)) void bank_load(void *to, const void *from, int bytes) {
    accessed(SG_BANK_ACCESS, from, bytes, __builtin_return_address(0));
    memcpy(to, from, (size_t)bytes);
}
__attribute__((noinline)) void bank_store(void *to, const void *from, int bytes) {
    accessed(SG_BANK_ACCESS, to, bytes, __builtin_return_address(0));
    memcpy(to, from, (size_t)bytes);
}

} // namespace emu

using namespace emu;

extern "C" {
int sg_emu_take_banks(struct sg_bank_report *out, int room) {
    settle();
    const int n = std::min(room, (int)reports.size());
    std::copy(reports.begin(), reports.begin() + n, out);
    reports.clear();
    return n;
}

void sg_emu_watch(const void *p, size_t bytes) {
    watched = (const char *)p;
    watched_bytes = bytes;
}

/* What -fsanitize=thread makes a compiler call. */
#define ACCESS(name, bytes)                                                                                  \
    void __tsan_##name(void *p) {                                                                            \
        accessed(SG_BANK_ACCESS, p, bytes, __builtin_return_address(0));                                     \
    }
ACCESS(read1, 1)
ACCESS(read2, 2)
ACCESS(read4, 4)
ACCESS(read8, 8)
ACCESS(read16, 16)
ACCESS(write1, 1)
ACCESS(write2, 2)
ACCESS(write4, 4)
ACCESS(write8, 8)
ACCESS(write16, 16)
ACCESS(unaligned_read2, 2)
ACCESS(unaligned_read4, 4)
ACCESS(unaligned_read8, 8)
ACCESS(unaligned_read16, 16)
ACCESS(unaligned_write2, 2)
ACCESS(unaligned_write4, 4)
ACCESS(unaligned_write8, 8)
ACCESS(unaligned_write16, 16)
#define ATOMIC(bits)                                                                                         \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t *p, uint##bits##_t v, int) {      \
        accessed(SG_BANK_ATOMIC, (const void *)p, bits / 8, __builtin_return_address(0));                    \
        const uint##bits##_t old = *p;                                                                       \
        *p = old + v;                                                                                        \
        return old;                                                                                          \
    }                                                                                                        \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int) {                       \
        return *p;                                                                                           \
    }                                                                                                        \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int) {                    \
        accessed(SG_BANK_ATOMIC, (const void *)p, bits / 8, __builtin_return_address(0));                    \
        *p = v;                                                                                              \
    }
ATOMIC(32)
ATOMIC(64)
/* Whole structs, such as a kernel's parameters: none is in shared memory. */
void __tsan_read_range(void *, unsigned long) {
}
void __tsan_write_range(void *, unsigned long) {
}
void __tsan_init(void) {
}
void __tsan_func_entry(void *) {
}
void __tsan_func_exit(void) {
}
}

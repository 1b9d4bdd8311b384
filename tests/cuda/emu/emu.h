/* emu - the CUDA C subset that kernels/cuda uses, on the CPU. Included by kernels/cuda/device.cuh where the
 * compiler is not nvcc; not a CUDA implementation.
 *
 * Blocks run one after another, each thread of a block is a fiber. A warp operation is computed by the last
 * lane that arrives, after the masks, the operation and the call site of all lanes were compared. Shared
 * memory is a new NaN-filled heap object per block, device memory is NaN-filled and ends at a guard page.
 * The order in which warps and lanes run is drawn from a seed. What a GPU leaves undefined ends the process
 * with one line that names kernel, block and thread (see control.h for the exit codes). */
#ifndef SG_TESTS_CUDA_EMU_H
#define SG_TESTS_CUDA_EMU_H

#include <functional>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tuple>

#define __global__
#define __device__
#define __host__
#ifdef EMU_BANKS /* every access has a place of its own in the code (banks.h) */
#    define __forceinline__ inline __attribute__((always_inline))
#else
#    define __forceinline__ inline
#endif
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)

#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define __SANITIZE_THREAD__ 1
#    endif
#    if __has_feature(address_sanitizer)
#        define __SANITIZE_ADDRESS__ 1
#    endif
#endif
/* Shuffles do not order memory: the race detector must not see the exchange itself. */
#ifdef __SANITIZE_THREAD__
#    define EMU_NO_TSAN __attribute__((no_sanitize("thread"), noinline))
#else
#    define EMU_NO_TSAN
#endif

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(long long x = 1, long long y = 1, long long z = 1); /* out of CUDA's range: reported */
};
/* may_alias: kernels read rows of bf16 through these */
struct __attribute__((aligned(16), may_alias)) uint4 {
    uint32_t x, y, z, w;
};
struct __attribute__((aligned(8), may_alias)) uint2 {
    uint32_t x, y;
};
struct __attribute__((aligned(4), may_alias)) uint1 {
    uint32_t x;
};
struct __attribute__((aligned(16), may_alias)) float4 {
    float x, y, z, w;
};
struct __attribute__((aligned(8), may_alias)) float2 {
    float x, y;
};
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
    return {x, y, z, w};
}
static inline uint2 make_uint2(uint32_t x, uint32_t y) {
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
static inline float2 make_float2(float x, float y) {
    return {x, y};
}

/* Storage only: no arithmetic, so nothing can differ from the device by accident. */
struct bf16 {
    uint16_t bits;
};
static inline uint32_t __float_as_uint(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline float __uint_as_float(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline float bf2f(bf16 x) {
    return __uint_as_float((uint32_t)x.bits << 16);
}
/* cvt.rn.bf16.f32: to nearest even, every NaN becomes 0x7fff */
static inline bf16 f2bf(float f) {
    const uint32_t u = __float_as_uint(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
    return {(uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16)};
}

/* cvt.rn.bf16x2.f32 */
static inline uint32_t bf_pack(float lo, float hi) {
    return f2bf(lo).bits | (uint32_t)f2bf(hi).bits << 16;
}
/* max.NaN.f32: the canonical NaN when one is; 0 is larger than -0 */
static inline float nan_max(float a, float b) {
    if (a != a || b != b) return __uint_as_float(0x7fffffffu);
    if (a == b) return __uint_as_float(__float_as_uint(a) & __float_as_uint(b));
    return a > b ? a : b;
}
/* ex2.approx.ftz.f32, but for the last bits */
static inline float exp2_fast(float x) {
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
}

namespace emu {

/* What device code may know about the thread that runs. */
struct thread_view {
    uint3 tid, bid;
    dim3 block, grid;
    int linear, lane;
};
extern thread_view *self;

[[noreturn]] void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* __syncthreads and its voting forms */
struct barrier_votes {
    int any, all, count;
};
barrier_votes barrier(const char *file, int line, bool vote);

/* One warp operation: every lane of `mask` hands in an argument block; `op` computes all of them. */
using warp_op = void (*)(void **args, unsigned lanes);
void warp(const char *file, int line, const char *what, unsigned mask, void *arg, warp_op op);
void warp_barrier(const char *file, int line, unsigned mask);

enum shuffle_mode { SHFL_INDEX, SHFL_UP, SHFL_DOWN, SHFL_XOR };
struct shuffle_args {
    uint64_t in, out;
    int src, width, mode;
};
void op_shuffle(void **args, unsigned lanes);
template <class T>
EMU_NO_TSAN static inline T shuffle(const char *file, int line, const char *what, int mode, unsigned mask,
                                    T value, long long src, int width = 32) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles values of 4 and 8 bytes");
    shuffle_args x = {0, 0, (int)src, width, mode};
    memcpy(&x.in, &value, sizeof value);
    warp(file, line, what, mask, &x, op_shuffle);
    memcpy(&value, &x.out, sizeof value);
    return value;
}
struct vote_args {
    int pred;
    unsigned ballot;
};
void op_vote(void **args, unsigned lanes);
EMU_NO_TSAN static inline unsigned ballot(const char *file, int line, unsigned mask, bool pred) {
    vote_args x = {pred, 0};
    warp(file, line, "vote", mask, &x, op_vote);
    return x.ballot;
}
static inline unsigned full_mask(unsigned mask = 0xffffffffu) {
    return mask;
}

void mma(const char *file, int line, float *d, const uint32_t *a, const uint32_t *b);
void ldmatrix(const char *file, int line, uint32_t *r, const void *row, bool transposed);

/* Shared memory of the running block. key: one per SHARED line, 0 before its first use. */
void *static_shared(int *key, size_t bytes, const char *name);
unsigned char *dynamic_shared(void);

/* Queues a kernel on a stream; arguments were copied by the caller. */
int launch(const char *name, const void *kernel, dim3 grid, dim3 block, long long smem, void *stream,
           std::function<void()> body);
int allow_smem(const void *kernel, long long bytes);
/* Arguments are evaluated, converted and copied at the launch, as CUDA does it: a graph keeps these copies.
 */
template <class... P, class... A>
static inline int launch_kernel(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, long long smem,
                                void *stream, A... args) {
    const std::tuple<P...> copies(args...);
    return launch(name, (const void *)kernel, grid, block, smem, stream,
                  [kernel, copies]() { std::apply(kernel, copies); });
}

static inline void check_aligned(const void *p, unsigned bytes) {
    if ((uintptr_t)p & (bytes - 1)) fail("misaligned: %u-byte access to %p", bytes, p);
}

} // namespace emu

#define threadIdx (emu::self->tid)
#define blockIdx  (emu::self->bid)
#define blockDim  (emu::self->block)
#define gridDim   (emu::self->grid)

#define UNROLL
#define ROLLED
#define LAUNCH(kernel, grid, block, smem, stream, ...)                                                       \
    emu::launch_kernel(#kernel, kernel, (grid), (block), (long long)(smem), (stream), __VA_ARGS__)
#define ALLOW_SMEM(kernel, bytes) emu::allow_smem((const void *)(kernel), (long long)(bytes))
/* A new heap object per block: red zones at the exact ends, poison, no false races between blocks. */
#define SHARED(type, name, dims)                                                                             \
    typedef type name##_type_ dims;                                                                          \
    static int name##_key_;                                                                                  \
    name##_type_ &name = *(name##_type_ *)emu::static_shared(&name##_key_, sizeof(name##_type_), #name)
#define SHARED_ALIGNED SHARED
#define DYN_SMEM(name) unsigned char *name = emu::dynamic_shared()

#define __syncthreads()        ((void)emu::barrier(__FILE__, __LINE__, false))
#define __syncthreads_or(p)    (emu::barrier(__FILE__, __LINE__, (p) != 0).any)
#define __syncthreads_and(p)   (emu::barrier(__FILE__, __LINE__, (p) != 0).all)
#define __syncthreads_count(p) (emu::barrier(__FILE__, __LINE__, (p) != 0).count)
#define __syncwarp(...)        emu::warp_barrier(__FILE__, __LINE__, emu::full_mask(__VA_ARGS__))
#define __shfl_sync(m, ...)    emu::shuffle(__FILE__, __LINE__, "shfl", emu::SHFL_INDEX, (m), __VA_ARGS__)
#define __shfl_up_sync(m, ...) emu::shuffle(__FILE__, __LINE__, "shfl_up", emu::SHFL_UP, (m), __VA_ARGS__)
#define __shfl_down_sync(m, ...)                                                                             \
    emu::shuffle(__FILE__, __LINE__, "shfl_down", emu::SHFL_DOWN, (m), __VA_ARGS__)
#define __shfl_xor_sync(m, ...) emu::shuffle(__FILE__, __LINE__, "shfl_xor", emu::SHFL_XOR, (m), __VA_ARGS__)
#define __ballot_sync(m, p)     emu::ballot(__FILE__, __LINE__, (m), (p) != 0)
#define __any_sync(m, p)        (emu::ballot(__FILE__, __LINE__, (m), (p) != 0) != 0)
#define __all_sync(m, p)        (emu::ballot(__FILE__, __LINE__, (m), (p) != 0) == (m))

#define mma_m16n8k16_bf16(d, a, b) emu::mma(__FILE__, __LINE__, (d), (a), (b))
#define ldmatrix_x4(r, row)        emu::ldmatrix(__FILE__, __LINE__, (r), (row), false)
#define ldmatrix_x4_trans(r, row)  emu::ldmatrix(__FILE__, __LINE__, (r), (row), true)
void cp_async16(void *dst, const void *src, int ok);
void cp_async_commit(void);
void cp_async_wait(int n);

#ifdef EMU_BANKS
namespace emu {
void bank_load(void *to, const void *from, int bytes);
void bank_store(void *to, const void *from, int bytes);
} // namespace emu
#    define EMU_LOAD(value, p)  emu::bank_load(&(value), (p), sizeof(value))
#    define EMU_STORE(p, value) emu::bank_store((p), &(value), sizeof(value))
#else
#    define EMU_LOAD(value, p)  ((value) = *(const decltype(value) *)(p))
#    define EMU_STORE(p, value) (*(decltype(value) *)(p) = (value))
#endif
static __forceinline__ uint4 ld16(const void *p) {
    uint4 v;
    emu::check_aligned(p, 16);
    EMU_LOAD(v, p);
    return v;
}
static __forceinline__ void st16(void *p, uint4 v) {
    emu::check_aligned(p, 16);
    EMU_STORE(p, v);
}
static __forceinline__ uint2 ld8(const void *p) {
    uint2 v;
    emu::check_aligned(p, 8);
    EMU_LOAD(v, p);
    return v;
}
static __forceinline__ void st8(void *p, uint2 v) {
    emu::check_aligned(p, 8);
    EMU_STORE(p, v);
}
static __forceinline__ void st4(void *p, uint32_t word) {
    uint1 v = {word};
    emu::check_aligned(p, 4);
    EMU_STORE(p, v);
}

/* Relaxed, so that a race detector knows them to be atomic. */
template <class T> static __forceinline__ T emu_fetch_add(T *p, T v) {
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
static __forceinline__ int atomicAdd(int *p, int v) {
    return emu_fetch_add(p, v);
}
static __forceinline__ unsigned atomicAdd(unsigned *p, unsigned v) {
    return emu_fetch_add(p, v);
}
static __forceinline__ unsigned long long atomicAdd(unsigned long long *p, unsigned long long v) {
    return emu_fetch_add(p, v);
}
static __forceinline__ int atomicMin(int *p, int v) {
    const int old = __atomic_load_n(p, __ATOMIC_RELAXED); /* fibers do not preempt each other */
    if (v < old) __atomic_store_n(p, v, __ATOMIC_RELAXED);
    return old;
}

/* glibc declares an __expf of its own: a macro, not a function */
#define __expf(x) expf(x)
static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}

#endif

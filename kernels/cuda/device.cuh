/* device - the only header a kernel file includes for the machine below it. nvcc compiles a kernel for the
 * GPU; a host compiler compiles the very same file against the emulation of tests/cuda/emu, which executes
 * it without a GPU and reports what a GPU would leave undefined.
 *
 * What kernels use instead of CUDA's own notation
 *   LAUNCH(kernel, grid, block, dynamic shared bytes, stream, args...)   0 or an error code
 *   ALLOW_SMEM(kernel, bytes)       more than 48 KiB of dynamic shared memory for a kernel
 *   UNROLL ROLLED                   in front of a loop: unrolled, never unrolled
 *   SHARED(type, name, [n][m])      static shared memory, SHARED_ALIGNED: on 16 bytes
 *   DYN_SMEM(name)                  dynamic shared memory as bytes, aligned to 128
 *   ld16 st16 ld8 st8 st4           access of 16, 8 and 4 bytes, at an address that is a multiple of that
 *   mma_m16n8k16_bf16 ldmatrix_x4 ldmatrix_x4_trans cp_async16 cp_async_commit cp_async_wait
 *   bf16                            storage only: bf2f, f2bf and bf_pack convert, rounding to nearest even
 *   nan_max exp2_fast               the larger of two floats, NaN when one is; 2^x to about 22 bits
 * Rules (tests/cuda/lint.sh greps them): no asm, no <<<>>>, no __shared__, no cooperative groups, no
 * __activemask; kernels are static with __launch_bounds__; every thread reaches every barrier; offsets into
 * global memory are 64 bit; two kernels instead of flags between blocks. */
#ifndef SG_KERNELS_CUDA_DEVICE_CUH
#define SG_KERNELS_CUDA_DEVICE_CUH

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef __CUDACC__
#    include "emu.h"
#else
#    include <cuda_bf16.h>
#    include <cuda_runtime.h>

using bf16 = __nv_bfloat16;

#    define UNROLL _Pragma("unroll")
#    define ROLLED _Pragma("unroll 1")
#    define LAUNCH(kernel, grid, block, smem, stream, ...)                                                   \
        (kernel<<<(grid), (block), (size_t)(smem), (cudaStream_t)(stream)>>>(__VA_ARGS__),                   \
         (int)cudaGetLastError())
#    define ALLOW_SMEM(kernel, bytes)                                                                        \
        ((int)cudaFuncSetAttribute((const void *)(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,      \
                                   (int)(bytes)))
#    define SHARED(type, name, dims)         __shared__ type name dims
#    define SHARED_ALIGNED(type, name, dims) __shared__ __align__(16) type name dims
#    define DYN_SMEM(name)                   extern __shared__ __align__(128) unsigned char name[]

__device__ __forceinline__ float bf2f(bf16 x) {
    return __bfloat162float(x);
}
__device__ __forceinline__ bf16 f2bf(float x) {
    return __float2bfloat16_rn(x);
}
/* Two floats as bf16 in a word, the first in the low half; a NaN becomes 0x7fff. */
__device__ __forceinline__ uint32_t bf_pack(float lo, float hi) {
    uint32_t u;
    asm("cvt.rn.bf16x2.f32 %0,%1,%2;" : "=r"(u) : "f"(hi), "f"(lo));
    return u;
}
/* One instruction each: fmaxf loses a NaN, exp2f takes care of subnormal numbers, which these flush to 0. */
__device__ __forceinline__ float nan_max(float a, float b) {
    float r;
    asm("max.NaN.f32 %0,%1,%2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
}
__device__ __forceinline__ float exp2_fast(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0,%1;" : "=f"(r) : "f"(x));
    return r;
}
__device__ __forceinline__ uint4 ld16(const void *p) {
    return *(const uint4 *)p;
}
__device__ __forceinline__ void st16(void *p, uint4 v) {
    *(uint4 *)p = v;
}
__device__ __forceinline__ uint2 ld8(const void *p) {
    return *(const uint2 *)p;
}
__device__ __forceinline__ void st8(void *p, uint2 v) {
    *(uint2 *)p = v;
}
__device__ __forceinline__ void st4(void *p, uint32_t v) {
    *(uint32_t *)p = v;
}

__device__ __forceinline__ uint32_t sg__smem_address(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}
/* d[16][8] += a[16][16] b[16][8]; fragments as the PTX manual lays them out ("Matrix Fragments for
 * mma.m16n8k16 with floating point type"): lane l, g = l / 4, t = 2 (l % 4):
 * a[0] (g, t) a[1] (g + 8, t) a[2] (g, t + 8) a[3] (g + 8, t + 8), pairs along k; b[0] (k = t, n = g),
 * b[1] (k = t + 8); d[0] (g, t) d[1] (g, t + 1) d[2] (g + 8, t) d[3] (g + 8, t + 1). */
__device__ __forceinline__ void mma_m16n8k16_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* Four 8 x 8 matrices of bf16: lane 8 m + j gives the address of row j of matrix m (16 bytes, in shared
 * memory); lane l receives in r[m] elements (l / 4, 2 (l % 4)) and the next of matrix m, _trans of its
 * transpose. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(sg__smem_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(sg__smem_address(row))
                 : "memory");
}
/* 16 bytes global -> shared without waiting; ok = 0 writes zeros and does not read src. The thread's copies
 * up to its n-th last commit have landed after cp_async_wait(n); others see them after a barrier. */
__device__ __forceinline__ void cp_async16(void *dst, const void *src, int ok) {
    const int n = ok ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;\n" ::"r"(sg__smem_address(dst)), "l"(src), "r"(n)
                 : "memory");
}
__device__ __forceinline__ void cp_async_commit(void) {
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}
#    define cp_async_wait(n)                 asm volatile("cp.async.wait_group %0;\n" ::"n"(n) : "memory")
#endif

/* ---- written once for both ------------------------------------------------------------------------- */

/* The floats of such a word. */
static __device__ __forceinline__ float bf_lo(uint32_t u) {
    return __uint_as_float(u << 16);
}
static __device__ __forceinline__ float bf_hi(uint32_t u) {
    return __uint_as_float(u & 0xffff0000u);
}
/* Through f2bf, which keeps a NaN a NaN. */
static __device__ __forceinline__ uint32_t bf_bits(float f) {
    const bf16 h = f2bf(f);
    uint16_t u;
    memcpy(&u, &h, sizeof u);
    return u;
}
/* Four neighbours, at an address that is a multiple of their size. */
static __device__ __forceinline__ void load4(float f[4], const bf16 *p) {
    const uint2 u = ld8(p);
    f[0] = bf_lo(u.x), f[1] = bf_hi(u.x), f[2] = bf_lo(u.y), f[3] = bf_hi(u.y);
}
static __device__ __forceinline__ void store4(bf16 *p, const float f[4]) {
    st8(p, make_uint2(bf_pack(f[0], f[1]), bf_pack(f[2], f[3])));
}
static __device__ __forceinline__ void load4(float f[4], const float *p) {
    const uint4 u = ld16(p);
    f[0] = __uint_as_float(u.x), f[1] = __uint_as_float(u.y);
    f[2] = __uint_as_float(u.z), f[3] = __uint_as_float(u.w);
}
static __device__ __forceinline__ void store4(float *p, const float f[4]) {
    st16(p, make_uint4(__float_as_uint(f[0]), __float_as_uint(f[1]), __float_as_uint(f[2]),
                       __float_as_uint(f[3])));
}
/* Eight consecutive bf16 of a row as floats, and back. `left`: elements from p to the end of the row; whole
 * rows are 16-byte aligned when their length is a multiple of 8 (WIDE), else they are read one by one. What
 * lies past the end reads as 0 and is not written. */
template <bool WIDE> static __device__ __forceinline__ void load8(float f[8], const bf16 *p, int left) {
    if (WIDE) {
        const uint4 u = ld16(p);
        f[0] = bf_lo(u.x), f[1] = bf_hi(u.x), f[2] = bf_lo(u.y), f[3] = bf_hi(u.y);
        f[4] = bf_lo(u.z), f[5] = bf_hi(u.z), f[6] = bf_lo(u.w), f[7] = bf_hi(u.w);
    } else {
        for (int j = 0; j < 8; j++) f[j] = j < left ? bf2f(p[j]) : 0.0f;
    }
}
template <bool WIDE> static __device__ __forceinline__ void store8(bf16 *p, const float f[8], int left) {
    if (WIDE) {
        st16(p,
             make_uint4(bf_pack(f[0], f[1]), bf_pack(f[2], f[3]), bf_pack(f[4], f[5]), bf_pack(f[6], f[7])));
    } else {
        for (int j = 0; j < 8 && j < left; j++) p[j] = f2bf(f[j]);
    }
}
/* The same of float32. */
template <bool WIDE> static __device__ __forceinline__ void load8(float f[8], const float *p, int left) {
    if (WIDE) {
        load4(f, p), load4(f + 4, p + 4);
    } else {
        for (int j = 0; j < 8; j++) f[j] = j < left ? p[j] : 0.0f;
    }
}
template <bool WIDE> static __device__ __forceinline__ void store8(float *p, const float f[8], int left) {
    if (WIDE) {
        store4(p, f), store4(p + 4, f + 4);
    } else {
        for (int j = 0; j < 8 && j < left; j++) p[j] = f[j];
    }
}

/* exp(x) as accurate as an operator with activations of type T needs it. */
template <class T> static __device__ __forceinline__ float exp_for(float x) {
    return sizeof(T) == sizeof(float) ? expf(x) : __expf(x);
}

/* A block copies one row. */
template <bool WIDE> static __device__ __forceinline__ void copy_row(bf16 *to, const bf16 *from, int cols) {
    if (WIDE) {
        for (int i = (int)threadIdx.x * 8; i < cols; i += (int)blockDim.x * 8) st16(to + i, ld16(from + i));
    } else {
        for (int i = (int)threadIdx.x; i < cols; i += (int)blockDim.x) to[i] = from[i];
    }
}

/* The sum over a warp, the same bits in every lane. */
static __device__ __forceinline__ float warp_sum(float x) {
    for (int o = 16; o > 0; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
    return x;
}
/* The sum over a block of a multiple of 32 threads, in a fixed order; part has room for a float per warp.
 * Two barriers, so that part may be used again at once. */
static __device__ __forceinline__ float block_sum(float x, float *part) {
    const int lane = (int)threadIdx.x & 31, warps = (int)blockDim.x >> 5;
    x = warp_sum(x);
    if (lane == 0) part[threadIdx.x >> 5] = x;
    __syncthreads();
    float sum = part[0];
    for (int w = 1; w < warps; w++) sum += part[w];
    __syncthreads();
    return sum;
}
/* The largest value of a block; NaN when any is NaN. */
static __device__ __forceinline__ float block_max(float x, float *part) {
    const int lane = (int)threadIdx.x & 31, warps = (int)blockDim.x >> 5;
    for (int o = 16; o > 0; o >>= 1) x = nan_max(x, __shfl_xor_sync(0xffffffffu, x, o));
    if (lane == 0) part[threadIdx.x >> 5] = x;
    __syncthreads();
    float top = part[0];
    for (int w = 1; w < warps; w++) top = nan_max(top, part[w]);
    __syncthreads();
    return top;
}

#endif

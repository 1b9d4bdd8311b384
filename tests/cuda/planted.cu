/* planted - kernels with what machine_code.py refuses, one each, and one without; compiled for sm_90a alone and
 * never run. Each is named for the word that must be said of it. */
#include "kernels/cuda/device.cuh"

enum { THREADS = 128 };

static __global__ void __launch_bounds__(THREADS) good_kernel(float *x, int n) {
    float top = -INFINITY;
    for (int i = (int)threadIdx.x; i < n; i += THREADS) top = nan_max(top, x[i]);
    x[threadIdx.x] = top;
}
static __global__ void __launch_bounds__(THREADS) local_kernel(float *x, const int *order, int n) {
    float seen[32];
    for (int i = 0; i < 32; i++) seen[i] = x[i];
    for (int i = 0; i < n; i++) seen[order[i]] += seen[order[i + n]];
    for (int i = 0; i < 32; i++) x[i] = seen[i];
}
static __global__ void __launch_bounds__(THREADS)
    cas_kernel(unsigned long long *x, const unsigned *bin, int n) {
    SHARED(unsigned long long, sums, [THREADS]);
    sums[threadIdx.x] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < n; i += THREADS) atomicAdd(&sums[bin[i]], x[i]);
    __syncthreads();
    x[threadIdx.x] = sums[threadIdx.x];
}
/* Bins in shared memory, unless there is something else: additions that find out at each which it is. */
static __global__ void __launch_bounds__(THREADS) generic_kernel(unsigned *x, const unsigned *bin, int n) {
    SHARED(unsigned, sums, [THREADS]);
    unsigned *to = n > THREADS ? sums : x + n, last = 0;
    sums[threadIdx.x] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < n; i += THREADS) last += atomicAdd(&to[bin[i]], bin[i]);
    __syncthreads();
    x[threadIdx.x] = sums[threadIdx.x] + last;
}
static __global__ void __launch_bounds__(THREADS) division_kernel(float *x, float by, int n) {
    for (int i = (int)threadIdx.x; i < n; i += THREADS) x[i] = x[i] / by;
}
/* A row's largest score by comparisons around which it branches, between products. */
static __global__ void __launch_bounds__(THREADS) branch_kernel(float *x, const uint32_t *ab, int n) {
    float d[4] = {0}, top[4] = {0};
    const uint32_t a[4] = {ab[0], ab[1], ab[2], ab[3]}, b[2] = {ab[4], ab[5]};
    for (int i = 0; i < n; i++) {
        mma_m16n8k16_bf16(d, a, b);
        UNROLL
        for (int c = 0; c < 4; c++) {
            if (d[c] > top[c]) ROLLED
            for (int j = 0; j < n; j++) x[j] = top[c] = d[c] + x[j];
            if (d[c] < -top[c]) ROLLED
            for (int j = 0; j < n; j++) x[j] += d[c];
            if (d[c] == top[c]) ROLLED
            for (int j = 0; j < n; j++) x[j] -= top[c];
        }
    }
    for (int c = 0; c < 4; c++) x[c] = d[c] + top[c];
}

/* So that the compiler keeps them. */
int sg__planted(float *x, int n, void *stream) {
    int e = LAUNCH(good_kernel, 1, THREADS, 0, stream, x, n);
    e |= LAUNCH(local_kernel, 1, THREADS, 0, stream, x, (const int *)x, n);
    e |= LAUNCH(cas_kernel, 1, THREADS, 0, stream, (unsigned long long *)x, (const unsigned *)x, n);
    e |= LAUNCH(generic_kernel, 1, THREADS, 0, stream, (unsigned *)x, (const unsigned *)x, n);
    e |= LAUNCH(division_kernel, 1, THREADS, 0, stream, x, 3.0f, n);
    return e | LAUNCH(branch_kernel, 1, THREADS, 0, stream, x, (const uint32_t *)x, n);
}

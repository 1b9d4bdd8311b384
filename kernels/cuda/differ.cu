/* differ - counts what differs: row r of y against row r % n_ref of ref, bit by bit. A row has `halves` pieces of
 * 16 bits and begins `stride` pieces behind the one before, in both. Reads 2 rows halves (twice, the reference
 * from the cache), writes one number. To verify algorithms of a library; not part of a step. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS)
    differ_kernel(uint32_t *count, const uint16_t *y, const uint16_t *ref, int64_t halves, int64_t stride,
                  int32_t n_ref) {
    const int64_t row = blockIdx.x;
    const uint16_t *a = y + row * stride, *b = ref + row % n_ref * stride;
    uint32_t n = 0;
    for (int64_t i = (int)threadIdx.x; i < halves; i += THREADS) n += a[i] != b[i];
    if (n) atomicAdd(count, n);
}

extern "C" int sg__launch_differ(uint32_t *count, const void *y, const void *ref, int64_t rows,
                                 int64_t halves, int64_t stride, int32_t n_ref, void *stream) {
    return LAUNCH(differ_kernel, (unsigned)rows, THREADS, 0, stream, count, (const uint16_t *)y,
                  (const uint16_t *)ref, halves, stride, n_ref);
}

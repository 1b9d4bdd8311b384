/* banks - kernels whose bank conflicts are known, for the test of those who count them. */
#include "kernels/cuda/device.cuh"
#include "tests/cuda/banks_known.h"

enum { WORDS = 2048 };

static __global__ void __launch_bounds__(32) known_kernel(uint32_t *out, bank_pattern pattern, int stride) {
    SHARED_ALIGNED(uint32_t, x, [WORDS]);
    const int lane = (int)threadIdx.x;
    uint32_t r[4] = {0};
    uint32_t *mine = x + lane * stride;
    if (pattern == BANK_WORDS) {
        *mine = 1;
    } else if (pattern == BANK_PAIRS) {
        st8(mine, make_uint2(1, 2));
    } else if (pattern == BANK_QUADS) {
        st16(mine, make_uint4(1, 2, 3, 4));
    } else if (pattern == BANK_MATRIX) {
        ldmatrix_x4(r, mine);
    } else if (pattern == BANK_COPIES) {
        cp_async16(mine, out + lane * 4, 1);
        cp_async_commit();
        cp_async_wait(0);
    } else if (pattern == BANK_ADDS) {
        atomicAdd(mine, 1u);
    } else if (lane % 2) { /* BANK_ODD */
        *mine = 1;
    }
    __syncthreads();
    out[lane] = r[0];
}
int sg__bank_known(uint32_t *out, bank_pattern pattern, int stride, void *stream) {
    return LAUNCH(known_kernel, 1, 32, 0, stream, out, pattern, stride);
}

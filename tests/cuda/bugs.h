/* bugs - kernels with planted faults, for the tests of the emulation. BUG_NONE is the correct kernel. */
#ifndef SG_TESTS_CUDA_BUGS_H
#define SG_TESTS_CUDA_BUGS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bug {
    BUG_NONE,
    /* reduce: the sum of n floats by one block */
    BUG_NO_SYNCTHREADS,
    BUG_DIVERGENT_BARRIER,
    BUG_EARLY_RETURN,
    BUG_SHUFFLE_MASK,
    BUG_SHUFFLE_BRANCH,
    BUG_UNWRITTEN_SHARED,
    BUG_SHARED_BOUNDS,
    BUG_GLOBAL_BOUNDS,
    BUG_MISALIGNED,
    BUG_GRID_OVERFLOW,
    BUG_BLOCK_TOO_LARGE,
    BUG_SMEM_NOT_ALLOWED,
    BUG_SMEM_OVER_DEVICE,
    /* exchange: lanes hand values to neighbours through shared memory */
    BUG_NO_SYNCWARP,
    BUG_DEADLOCK,
    /* stream: sums rows that are copied ahead into two buffers */
    BUG_NO_BARRIER_BEFORE_REFILL,
    BUG_COPY_NOT_WAITED,
    BUG_COPY_LEFT_OPEN,
    BUG_COPY_MISALIGNED,
    /* product: 16 x 8 by mma */
    BUG_MMA_LAYOUT,
    BUG_MMA_HALF_WARP,
    BUG_COUNT
};

/* Each returns the launch's code; x has n floats, a multiple of 1024; out as said. */
int sg__bug_reduce(float *out, const float *x, int n, enum bug bug, void *stream); /* out[0] = sum x */
int sg__bug_exchange(float *out, const float *x, int n, enum bug bug,
                     void *stream); /* out[i] = x[i ^ 1], n = 256 */
int sg__bug_stream(float *out, const float *x, int n, enum bug bug,
                   void *stream); /* out[i] = sum x[i + 256 r] */
/* out f32 [16][8] = a [16][16] b [8][16]^T, a and b bf16 */
int sg__bug_product(float *out, const uint16_t *a, const uint16_t *b, enum bug bug, void *stream);
int sg__bug_scale(float *out, const float *x, int n, float by, void *stream); /* out[i] = by x[i] */

#ifdef __cplusplus
}
#endif
#endif

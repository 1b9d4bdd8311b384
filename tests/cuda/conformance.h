/* conformance - kernels that do one wrapped operation of device.cuh each and write what every lane got, so
 * that the emulation and a GPU can be held to the same expectation. One warp each. */
#ifndef SG_TESTS_CUDA_CONFORMANCE_H
#define SG_TESTS_CUDA_CONFORMANCE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* a, b, c: what lane l hands to mma at [l][.]; out [32][4]: d of each lane, started from c */
int sg__conf_mma(float *out, const uint32_t *a, const uint32_t *b, const float *c, void *stream);
/* rows [32][8] bf16 in shared memory; out [2][32][4]: ldmatrix_x4, then _trans */
int sg__conf_ldmatrix(uint32_t *out, const uint16_t *rows, void *stream);
/* out [64] words: lanes 0-15 copy 16 bytes of in each by cp.async, odd ones with ok = 0 */
int sg__conf_copy(uint32_t *out, const uint32_t *in, void *stream);
/* out [5][32]: shfl_xor 5, shfl_up 3, ballot of odd values, sum by warp_sum of (float)(in & 255), popc */
int sg__conf_warp(uint32_t *out, const uint32_t *in, void *stream);
/* out [n]: bf_bits(in[i]) */
int sg__conf_round(uint32_t *out, const float *in, int n, void *stream);
/* out [3][n]: __expf, expf, 1 / sqrtf of in */
int sg__conf_math(float *out, const float *in, int n, void *stream);
/* out [n]: bf_pack(in[i], in[n - 1 - i]) */
int sg__conf_pack(uint32_t *out, const float *in, int n, void *stream);
/* out [n][n]: nan_max(in[i], in[j]) */
int sg__conf_max(float *out, const float *in, int n, void *stream);
/* out [n]: exp2_fast(in[i]) */
int sg__conf_exp2(float *out, const float *in, int n, void *stream);
/* out[0] += in, out[1] = min, over 32 lanes (64-bit sum, then int minimum in the low word) */
int sg__conf_atomic(unsigned long long *out, const uint32_t *in, void *stream);

#ifdef __cplusplus
}
#endif
#endif

/* banks_known - see banks.cu: 32 lanes access shared memory once each, `stride` words apart. */
#ifndef SG_TESTS_CUDA_BANKS_KNOWN_H
#define SG_TESTS_CUDA_BANKS_KNOWN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bank_pattern {
    BANK_WORDS,  /* store 4 bytes */
    BANK_PAIRS,  /* store 8 */
    BANK_QUADS,  /* store 16 */
    BANK_MATRIX, /* ldmatrix */
    BANK_COPIES, /* cp.async */
    BANK_ADDS,   /* atomicAdd */
    BANK_ODD,    /* store 4 bytes, odd lanes alone */
};
/* out [128]; stride at most 60, a multiple of what a lane accesses; returns the launch's code. */
int sg__bank_known(uint32_t *out, enum bank_pattern pattern, int stride, void *stream);

#ifdef __cplusplus
}
#endif
#endif

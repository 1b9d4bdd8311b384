/* banks - how kernels use shared memory: the banks that the lanes of a warp access, instruction by instruction.
 * Kernels for this are compiled with EMU_BANKS and -fsanitize=thread, whose calls at every load and store go
 * to banks.cpp instead of a race detector. Lanes are put together by the place in the code and by how often
 * each has passed it in its block: exact where a warp's lanes go the same way. Plain C. */
#ifndef SG_TESTS_CUDA_BANKS_H
#define SG_TESTS_CUDA_BANKS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sg_bank_kind { SG_BANK_ACCESS, SG_BANK_LDMATRIX, SG_BANK_COPY, SG_BANK_ATOMIC, SG_BANK_KINDS };
/* Instructions of warps; passes over the 32 banks of 4 bytes that they take, and would take without a conflict:
 * a warp's 8 and 16 bytes a lane go by halves and quarters of it. */
struct sg_bank_counts {
    int64_t instructions, passes, least;
    int worst;         /* passes of one instruction for each of its least, rounded up */
    const void *where; /* code address behind that one */
};
struct sg_bank_report {
    const char *kernel; /* as its LAUNCH line writes it */
    struct sg_bank_counts of[SG_BANK_KINDS];
    int64_t copied;  /* pieces of 16 bytes that cp.async read from global memory */
    int64_t watched; /* accesses of threads to what is watched */
};
/* Watches these bytes, and nothing else; those of kernels compiled for this alone. */
void sg_emu_watch(const void *p, size_t bytes);
/* What was counted since the last call, of at most `room` kernels; returns how many. */
int sg_emu_take_banks(struct sg_bank_report *out, int room);

#ifdef __cplusplus
}
#endif
#endif

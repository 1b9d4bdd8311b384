/* host - what the backends on host memory (ref, cpu, guard) share: owned memory and facts about the
 * machine. Private to kernels/. */
#ifndef SG_KERNELS_HOST_H
#define SG_KERNELS_HOST_H

#include "kernels/backend.h"

/* A list of allocations, so that closing a device frees what its user forgot. Zeroed is empty. */
struct sg__host_block;
struct sg__host_mem {
    struct sg__host_block *head;
};
/* Zeroed memory at a 64-byte boundary; large blocks ask for huge pages and are touched by nobody yet. */
enum sg_status sg__host_alloc(struct sg__host_mem *m, size_t bytes, const char *what, void **out,
                              struct sg_err *err);
void sg__host_free(struct sg__host_mem *m, void *p); /* NULL accepted */
void sg__host_free_all(struct sg__host_mem *m);

/* Processors this process may run on (its affinity mask), at least 1. */
int sg__host_cores(void);
int64_t sg__host_memory_bytes(void);
/* Bytes that this process could still take: what the system has available, or what a control group above the
 * process leaves it if that is less (version 2 and 1; file pages that nobody has touched lately count as free).
 * root: in front of /proc and /sys, "" outside of tests. 0 = unknown. */
int64_t sg__host_memory_free(const char *root);
/* The processor's name as the system tells it, or "host". */
void sg__host_cpu_name(char *out, size_t size);

/* Fills count words of four bytes. */
void sg__fill32(void *p, size_t count, uint32_t word);

/* n random weights of the stream `key` from number `first` on, as bf16 (sg_random_weights). */
void sg__random_weights(uint16_t *to, uint64_t key, int64_t first, int64_t n);

#endif

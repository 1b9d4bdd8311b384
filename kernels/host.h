/* host - memory and machine facts for the backends on host memory (ref, cpu, guard). Private to kernels/. */
#ifndef SG_KERNELS_HOST_H
#define SG_KERNELS_HOST_H

#include "kernels/backend.h"

/* A list of allocations: closing a device frees those that its user did not. Zeroed is empty. */
struct sg__host_block;
struct sg__host_mem {
    struct sg__host_block *head;
    bool touch; /* sg_dev_options.touch */
};
/* Zeroed memory at a 64-byte boundary. Large blocks request huge pages; their pages stay untouched unless m->touch. */
enum sg_status sg__host_alloc(struct sg__host_mem *m, size_t bytes, const char *what, void **out,
                              struct sg_err *err);
void sg__host_free(struct sg__host_mem *m, void *p); /* NULL accepted */
void sg__host_free_all(struct sg__host_mem *m);

/* Processors that this process may run on (its affinity mask), at least 1. */
int sg__host_cores(void);
int64_t sg__host_memory_bytes(void);
/* Bytes that this process can still take: the smaller of MemAvailable and what its control groups (version 1
 * and 2) leave, where inactive file pages count as free. root: prefix of /proc and /sys, "" outside of tests.
 * 0 = unknown. */
int64_t sg__host_memory_free(const char *root);
/* The processor's name from the system, or "host". */
void sg__host_cpu_name(char *out, size_t size);

/* Fills count words of four bytes. */
void sg__fill32(void *p, size_t count, uint32_t word);

/* Writes n random weights of the stream `key`, from number `first` on, as bf16 (sg_random_weights). */
void sg__random_weights(uint16_t *to, uint64_t key, int64_t first, int64_t n);

#endif

/* layout - constants and index arithmetic that host code and kernels share. */
#ifndef SG_KERNELS_LAYOUT_H
#define SG_KERNELS_LAYOUT_H

#include <stdint.h>

#ifdef __CUDACC__
#    define SG_LAYOUT __host__ __device__ static inline
#else
#    define SG_LAYOUT static inline
#endif

enum {
    SG_PAGE_TOKENS = 16,   /* tokens in a KV page */
    SG_SPLIT_TOKENS = 256, /* keys in one split of the KV axis: a multiple of the page, the same for all
                            * batches, because the cuts of a row's sums affect its result */
    SG_MAX_GQA = 8,        /* query heads per KV head, at most */
    SG_MAX_HEAD_DIM = 256
};

/* Pages that hold `tokens` tokens. */
SG_LAYOUT int32_t sg_pages_for(int32_t tokens) {
    return (int32_t)(((int64_t)tokens + SG_PAGE_TOKENS - 1) / SG_PAGE_TOKENS);
}
SG_LAYOUT int32_t sg_slot(int32_t page, int32_t offset) {
    return page * SG_PAGE_TOKENS + offset;
}

/* How a token is drawn (sg_op_sample). */
struct sg_draw_settings {
    float temperature; /* 0 = greedy */
    float top_p;       /* (0, 1]; 1 = off */
    int32_t top_k;     /* 0 = off */
};

#endif

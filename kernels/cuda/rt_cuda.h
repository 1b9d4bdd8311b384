/* rt_cuda - the device of rt_cuda.c, which rt_gemm.c multiplies on. Private to these two. */
#ifndef SG_KERNELS_CUDA_RT_CUDA_H
#define SG_KERNELS_CUDA_RT_CUDA_H

#include "kernels/cuda/plans.h"
#include "kernels/cuda/rt.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

/* The functions of cuBLASLt that are used, by name. */
#define SG_BLAS_LIST(X)                                                                                      \
    X(cublasLtCreate)                                                                                        \
    X(cublasLtDestroy)                                                                                       \
    X(cublasLtGetVersion)                                                                                    \
    X(cublasLtMatmul)                                                                                        \
    X(cublasLtMatmulDescCreate)                                                                              \
    X(cublasLtMatmulDescDestroy)                                                                             \
    X(cublasLtMatmulDescSetAttribute)                                                                        \
    X(cublasLtMatrixLayoutCreate)                                                                            \
    X(cublasLtMatrixLayoutDestroy)                                                                           \
    X(cublasLtMatmulPreferenceCreate)                                                                        \
    X(cublasLtMatmulPreferenceDestroy)                                                                       \
    X(cublasLtMatmulPreferenceSetAttribute)                                                                  \
    X(cublasLtMatmulAlgoGetHeuristic)                                                                        \
    X(cublasLtMatmulAlgoConfigGetAttribute)                                                                  \
    X(cublasLtMatmulAlgoCheck)
#define SG_BLAS_POINTER(name) __typeof__(&name) name;
struct blas {
    void *library;
    SG_BLAS_LIST(SG_BLAS_POINTER)
};
#undef SG_BLAS_POINTER

enum {
    WORKSPACE_BYTES = 32 << 20, /* what cuBLASLt may use */
    MAX_PLANS = 64
};

/* What a product is apart from its rows. */
struct shape {
    int64_t n, k, y_stride;
    cudaDataType_t in, out; /* of x and w; of y */
};
/* Its algorithms, chosen at its first call. */
struct plan {
    struct shape of;
    int64_t m;        /* rows that it was chosen for alone (sg__rt_gemm_any), 0: it serves all */
    int64_t max_rows; /* of one call */
    cublasLtMatmulAlgo_t algo[SG__PLAN_BUCKETS]; /* of m rows alone: the first */
};
struct block { /* what is allocated, so that close frees it */
    void *p;
    struct block *next;
};
struct sg__rt {
    int ordinal;
    cudaStream_t stream; /* of the current lane */
    struct {
        cudaStream_t stream; /* NULL: not taken */
        void *workspace;     /* of its products */
        cudaEvent_t passed;  /* what others wait for */
    } lanes[SG_RT_LANES];
    struct blas lt;
    cublasLtHandle_t blas;
    cublasLtMatmulDesc_t product;
    void *workspace; /* of the current lane */
    struct plan plans[MAX_PLANS];
    int n_plans;
    cudaEvent_t marks[SG_RT_EVENTS];
    char *staging[2];
    cudaEvent_t staged[2]; /* the copies out of a buffer are done */
    bool in_use[2];
    int half;
    size_t at; /* bytes of staging[half] taken */
    cudaEvent_t fetched[SG_RT_FETCHES];
    struct block *blocks, *pinned; /* device memory, pinned host memory */
};
struct sg__rt_graph {
    cudaGraphExec_t exec;
};

enum sg_status sg__rt_failed(struct sg_err *err, const char *what, cudaError_t code);
/* Calls that fail leave by `out`. */
#define SG_CUDA(what, call)                                                                                  \
    do {                                                                                                     \
        const cudaError_t code_ = (call);                                                                    \
        if (code_ != cudaSuccess) {                                                                          \
            st = sg__rt_failed(err, what, code_);                                                            \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)
#define SG_BLAS(what, call)                                                                                  \
    do {                                                                                                     \
        const cublasStatus_t code_ = (call);                                                                 \
        if (code_ != CUBLAS_STATUS_SUCCESS) {                                                                \
            st = sg_fail(err, SG_E_DEVICE, "cuda: cuBLASLt: %s: status %d", what, (int)code_);               \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

#endif

/* rt_cuda - rt.h on the CUDA runtime and cuBLASLt. The runtime is linked statically and finds the driver when
 * it is first called; cuBLASLt is opened when a device is: the program starts where neither exists. */
#include "kernels/cuda/rt.h"

#include "base/mem.h"
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    X(cublasLtMatmulAlgoGetHeuristic)
#define SG_BLAS_POINTER(name) __typeof__(&name) name;
struct blas {
    void *library;
    SG_BLAS_LIST(SG_BLAS_POINTER)
};
#undef SG_BLAS_POINTER

enum {
    STAGING_BYTES = 8 << 20,           /* each of two pinned buffers */
    WORKSPACE_BYTES = 32 << 20,        /* what cuBLASLt may use */
    CHOICE_ROWS = 8 * SG_RT_GEMM_ROWS, /* rows for which the algorithm of a product is chosen */
    MAX_PLANS = 64
};

/* What a product is apart from its rows. */
struct shape {
    int64_t n, k, y_stride;
    cudaDataType_t in, out; /* of x and w; of y */
};
/* Its algorithm, chosen at its first call. */
struct plan {
    struct shape of;
    int64_t m; /* rows that it was chosen for alone (sg__rt_gemm_any), 0: it serves all */
    cublasLtMatmulAlgo_t algo;
};
struct block { /* what is allocated, so that close frees it */
    void *p;
    struct block *next;
};
struct sg__rt {
    int ordinal;
    cudaStream_t stream;
    struct blas lt;
    cublasLtHandle_t blas;
    cublasLtMatmulDesc_t product;
    void *workspace;
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

const char *sg__rt_error(int code) {
    return cudaGetErrorString((cudaError_t)code);
}

static enum sg_status failed(struct sg_err *err, const char *what, cudaError_t code) {
    return sg_fail(err, code == cudaErrorMemoryAllocation ? SG_E_NOMEM : SG_E_DEVICE, "cuda: %s: %s", what,
                   cudaGetErrorString(code));
}
#define SG_CUDA(what, call)                                                                                  \
    do {                                                                                                     \
        const cudaError_t code_ = (call);                                                                    \
        if (code_ != cudaSuccess) {                                                                          \
            st = failed(err, what, code_);                                                                   \
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

/* ---- opening ---------------------------------------------------------------------------------------- */

/* libcublasLt of the runtime's own major version, by the loader's search path or in the toolkit's folder. */
static enum sg_status load_blas(struct blas *b, struct sg_err *err) {
    char name[64], path[128];
    snprintf(name, sizeof name, "libcublasLt.so.%d", CUDART_VERSION / 1000);
    snprintf(path, sizeof path, "/usr/local/cuda/lib64/%s", name);
    b->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!b->library) b->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!b->library)
        return sg_fail(err, SG_E_DEVICE, "cuda: %s is not installed here (cuBLAS of CUDA %d)", name,
                       CUDART_VERSION / 1000);
    void *symbol;
#define SG_BLAS_LOAD(f)                                                                                      \
    symbol = dlsym(b->library, #f);                                                                          \
    if (!symbol) return sg_fail(err, SG_E_DEVICE, "cuda: %s has no function %s", name, #f);                  \
    memcpy(&b->f, &symbol, sizeof symbol);
    SG_BLAS_LIST(SG_BLAS_LOAD)
#undef SG_BLAS_LOAD
    return SG_OK;
}

/* The uuid as nvidia-smi writes it. Of a slice of a device (MIG) its own, which the driver alone tells. */
static void put_uuid(int ordinal, const struct cudaDeviceProp *prop, char out[64]) {
    cudaUUID_t u = prop->uuid;
    void *f = NULL;
    enum cudaDriverEntryPointQueryResult found;
    if (cudaGetDriverEntryPointByVersion("cuDeviceGetUuid", &f, 11040, cudaEnableDefault, &found) !=
        cudaSuccess) {
        cudaGetLastError(); /* not sticky */
    } else if (found == cudaDriverEntryPointSuccess) {
        int (*device_uuid)(cudaUUID_t *, int);
        cudaUUID_t own;
        memcpy(&device_uuid, &f, sizeof f);
        if (device_uuid(&own, ordinal) == 0) u = own;
    }
    size_t n = (size_t)snprintf(out, 64, "GPU-");
    for (int i = 0; i < 16; i++)
        n += (size_t)snprintf(out + n, 64 - n, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                              (unsigned)(unsigned char)u.bytes[i]);
}

static enum sg_status describe(int ordinal, struct sg__rt_info *info, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct cudaDeviceProp prop;
    int driver = 0;
    SG_CUDA("properties", cudaGetDeviceProperties(&prop, ordinal));
    if (prop.major < 8) {
        st = sg_fail(err, SG_E_DEVICE, "cuda: %s has compute capability %d.%d: expected 8.0 or later",
                     prop.name, prop.major, prop.minor);
        goto out;
    }
    SG_CUDA("driver version", cudaDriverGetVersion(&driver));
    *info = (struct sg__rt_info){.memory_bytes = (int64_t)prop.totalGlobalMem};
    snprintf(info->name, sizeof info->name, "%.120s", prop.name);
    snprintf(info->driver, sizeof info->driver, "CUDA %d.%d", driver / 1000, driver % 1000 / 10);
    snprintf(info->runtime, sizeof info->runtime, "CUDA %d.%d", CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10);
    if (cudaDeviceGetPCIBusId(info->pci, sizeof info->pci, ordinal) != cudaSuccess) {
        cudaGetLastError(); /* not sticky */
        info->pci[0] = 0;
    }
    put_uuid(ordinal, &prop, info->uuid);
out:
    return st;
}

static enum sg_status count_devices(int *n, struct sg_err *err) {
    const cudaError_t code = cudaGetDeviceCount(n);
    if (code == cudaSuccess && *n > 0) return SG_OK;
    return sg_fail(err, SG_E_DEVICE, "cuda: no NVIDIA driver or GPU can be used here (%s)",
                   code != cudaSuccess ? cudaGetErrorString(code) : "no device");
}

enum sg_status sg__rt_find(int index, int *count, struct sg__rt_info *info, struct sg_err *err) {
    int n = 0;
    enum sg_status st = count_devices(&n, err);
    if (st == SG_OK) st = describe(index % n, info, err);
    if (st == SG_OK) *count = n;
    return st;
}

enum sg_status sg__rt_open(int ordinal, struct sg__rt **out, struct sg__rt_info *info, struct sg_err *err) {
    enum sg_status st;
    struct sg__rt *rt = NULL;
    int n = 0;
    SG_TRY(count_devices(&n, err));
    if (ordinal < 0 || ordinal >= n)
        return sg_fail(err, SG_E_DEVICE, "cuda: device %d is not there, %d are", ordinal, n);
    SG_TRY(SG_NEW(&rt, 1, "cuda runtime", err));
    rt->ordinal = ordinal;
    SG_CUDA("device", cudaSetDevice(ordinal));
    SG_TRY(describe(ordinal, info, err));
    SG_TRY(load_blas(&rt->lt, err));
    const size_t blas = rt->lt.cublasLtGetVersion(), used = strlen(info->runtime);
    snprintf(info->runtime + used, sizeof info->runtime - used, ", cuBLASLt %zu.%zu.%zu", blas / 10000,
             blas / 100 % 100, blas % 100);
    SG_CUDA("stream", cudaStreamCreateWithFlags(&rt->stream, cudaStreamNonBlocking));
    SG_BLAS("create", rt->lt.cublasLtCreate(&rt->blas));
    SG_BLAS("product", rt->lt.cublasLtMatmulDescCreate(&rt->product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transpose = CUBLAS_OP_T;
    SG_BLAS("product", rt->lt.cublasLtMatmulDescSetAttribute(rt->product, CUBLASLT_MATMUL_DESC_TRANSA,
                                                             &transpose, sizeof transpose));
    SG_CUDA("workspace", cudaMalloc(&rt->workspace, WORKSPACE_BYTES));
    for (int i = 0; i < SG_RT_EVENTS; i++) SG_CUDA("event", cudaEventCreate(&rt->marks[i]));
    for (int i = 0; i < 2; i++) {
        SG_CUDA("pinned memory", cudaMallocHost((void **)&rt->staging[i], STAGING_BYTES));
        SG_CUDA("event", cudaEventCreateWithFlags(&rt->staged[i], cudaEventDisableTiming));
    }
    /* who waits for a fetch sleeps: the next step is queued by then, and other threads want the core */
    for (int i = 0; i < SG_RT_FETCHES; i++)
        SG_CUDA("event",
                cudaEventCreateWithFlags(&rt->fetched[i], cudaEventDisableTiming | cudaEventBlockingSync));
    *out = rt;
    return SG_OK;
out:
    sg__rt_close(rt);
    cudaGetLastError(); /* or the first launch on another device would report it */
    return st;
}

void sg__rt_close(struct sg__rt *rt) {
    if (!rt) return;
    if (rt->stream) cudaStreamSynchronize(rt->stream);
    while (rt->blocks) sg__rt_free(rt, rt->blocks->p);
    while (rt->pinned) sg__rt_host_free(rt, rt->pinned->p);
    for (int i = 0; i < SG_RT_FETCHES; i++)
        if (rt->fetched[i]) cudaEventDestroy(rt->fetched[i]);
    for (int i = 0; i < 2; i++) {
        if (rt->staging[i]) cudaFreeHost(rt->staging[i]);
        if (rt->staged[i]) cudaEventDestroy(rt->staged[i]);
    }
    for (int i = 0; i < SG_RT_EVENTS; i++)
        if (rt->marks[i]) cudaEventDestroy(rt->marks[i]);
    if (rt->workspace) cudaFree(rt->workspace);
    if (rt->product) rt->lt.cublasLtMatmulDescDestroy(rt->product);
    if (rt->blas) rt->lt.cublasLtDestroy(rt->blas);
    if (rt->stream) cudaStreamDestroy(rt->stream);
    if (rt->lt.library) dlclose(rt->lt.library);
    free(rt);
}

void *sg__rt_stream(struct sg__rt *rt) {
    return rt->stream;
}

/* ---- memory and copies ------------------------------------------------------------------------------ */

/* A block by cudaMalloc or cudaMallocHost, put on the list that close frees. */
static enum sg_status take_block(cudaError_t (*get)(void **, size_t), const char *kind, struct block **list,
                                 size_t bytes, const char *what, void **out, struct sg_err *err) {
    enum sg_status st;
    struct block *b = NULL;
    SG_TRY(SG_NEW(&b, 1, "cuda block", err));
    if (get(&b->p, bytes ? bytes : 1) != cudaSuccess) {
        cudaGetLastError(); /* not sticky: the device is fine */
        st = sg_fail(err, SG_E_NOMEM, "cuda: no %zu bytes of %s memory for %s", bytes, kind, what);
        goto out;
    }
    b->next = *list;
    *list = b;
    *out = b->p;
    return SG_OK;
out:
    free(b);
    return st;
}

enum sg_status sg__rt_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                            struct sg_err *err) {
    return take_block(cudaMalloc, "device", &rt->blocks, bytes, what, out, err);
}

/* Takes p off a list; false when it is not there. */
static bool forget(struct block **list, const void *p) {
    for (struct block **at = list; *at; at = &(*at)->next) {
        struct block *b = *at;
        if (b->p != p) continue;
        *at = b->next;
        free(b);
        return true;
    }
    return false;
}

void sg__rt_free(struct sg__rt *rt, void *p) {
    if (!p) return;
    cudaStreamSynchronize(rt->stream);
    if (forget(&rt->blocks, p)) cudaFree(p);
}

int64_t sg__rt_memory_free(struct sg__rt *rt) {
    size_t left, all;
    (void)rt; /* the thread's device */
    if (cudaMemGetInfo(&left, &all) == cudaSuccess) return (int64_t)left;
    cudaGetLastError(); /* not for the next launch to report */
    return 0;
}

/* A full buffer is marked in the stream and left; the other may be filled once the stream has passed its
 * mark, 8 MiB of copies ago. cudaMemcpyAsync from pinned memory returns before the copy is done (CUDA Runtime
 * API, "API synchronization behavior"), so that filling and copying overlap. */
enum sg_status sg__rt_stage(struct sg__rt *rt, size_t want, void **at, size_t *got, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (rt->at == STAGING_BYTES) {
        SG_CUDA("upload", cudaEventRecord(rt->staged[rt->half], rt->stream));
        rt->in_use[rt->half] = true;
        rt->half ^= 1;
        rt->at = 0;
        if (rt->in_use[rt->half]) SG_CUDA("upload", cudaEventSynchronize(rt->staged[rt->half]));
    }
    *at = rt->staging[rt->half] + rt->at;
    *got = want < STAGING_BYTES - rt->at ? want : STAGING_BYTES - rt->at;
out:
    return st;
}
enum sg_status sg__rt_send(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *from = rt->staging[rt->half] + rt->at;
    SG_CUDA("upload", cudaMemcpyAsync(dst, from, bytes, cudaMemcpyHostToDevice, rt->stream));
    const size_t taken = rt->at + (bytes + 255) / 256 * 256;
    rt->at = taken < STAGING_BYTES ? taken : STAGING_BYTES;
out:
    return st;
}
enum sg_status sg__rt_upload(struct sg__rt *rt, void *dst, const void *src, size_t bytes,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (size_t done = 0, some = 0; done < bytes; done += some) {
        void *at = NULL;
        SG_TRY(sg__rt_stage(rt, bytes - done, &at, &some, err));
        memcpy(at, (const char *)src + done, some);
        SG_TRY(sg__rt_send(rt, (char *)dst + done, some, err));
    }
out:
    return st;
}

enum sg_status sg__rt_host_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                                 struct sg_err *err) {
    return take_block(cudaMallocHost, "pinned", &rt->pinned, bytes, what, out, err);
}
void sg__rt_host_free(struct sg__rt *rt, void *p) {
    if (!p) return;
    cudaStreamSynchronize(rt->stream);
    if (forget(&rt->pinned, p)) cudaFreeHost(p);
}

/* Into pinned memory: asynchronous to the host. The event stands behind the copy in the stream; recording it
 * again, for another fetch in the slot, moves it behind that one, and with it behind the first. */
enum sg_status sg__rt_fetch(struct sg__rt *rt, int slot, void *dst, const void *src, size_t bytes,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("fetch", cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, rt->stream));
    SG_CUDA("fetch", cudaEventRecord(rt->fetched[slot], rt->stream));
out:
    return st;
}
/* An event that was never recorded counts as passed (cudaEventSynchronize). */
enum sg_status sg__rt_fetch_wait(struct sg__rt *rt, int slot, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("fetch", cudaEventSynchronize(rt->fetched[slot]));
out:
    return st;
}

enum sg_status sg__rt_download(struct sg__rt *rt, void *dst, const void *src, size_t bytes,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("download", cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, rt->stream));
    SG_CUDA("download", cudaStreamSynchronize(rt->stream));
out:
    return st;
}
enum sg_status sg__rt_copy(struct sg__rt *rt, void *dst, const void *src, size_t bytes, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("copy", cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, rt->stream));
out:
    return st;
}
enum sg_status sg__rt_clear(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("clear", cudaMemsetAsync(dst, 0, bytes, rt->stream));
out:
    return st;
}
enum sg_status sg__rt_sync(struct sg__rt *rt, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("synchronisation", cudaStreamSynchronize(rt->stream));
out:
    return st;
}

/* ---- the product ------------------------------------------------------------------------------------ */

/* cuBLASLt counts columns first: y^T [n][m] = w^T' x^T with w as [k][n] transposed. */
struct layouts {
    cublasLtMatrixLayout_t w, x, y;
};
static void layouts_free(struct sg__rt *rt, struct layouts *l) {
    if (l->w) rt->lt.cublasLtMatrixLayoutDestroy(l->w);
    if (l->x) rt->lt.cublasLtMatrixLayoutDestroy(l->x);
    if (l->y) rt->lt.cublasLtMatrixLayoutDestroy(l->y);
}
static enum sg_status layouts_new(struct sg__rt *rt, struct layouts *l, const struct shape *s, int64_t m,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    const uint64_t n = (uint64_t)s->n, k = (uint64_t)s->k;
    *l = (struct layouts){0};
    SG_BLAS("layout", rt->lt.cublasLtMatrixLayoutCreate(&l->w, s->in, k, n, s->k));
    SG_BLAS("layout", rt->lt.cublasLtMatrixLayoutCreate(&l->x, s->in, k, (uint64_t)m, s->k));
    SG_BLAS("layout", rt->lt.cublasLtMatrixLayoutCreate(&l->y, s->out, n, (uint64_t)m, s->y_stride));
out:
    return st;
}

/* The bytes that every row of such a matrix is aligned to, as far as cuBLASLt cares. */
static uint32_t alignment(int64_t stride, cudaDataType_t t) {
    const int64_t bytes = stride * (t == CUDA_R_32F ? 4 : 2);
    return bytes % 16 == 0 ? 16 : (uint32_t)(bytes & -bytes);
}

/* cuBLASLt's first choice for CHOICE_ROWS rows among the algorithms that add along k in one piece; of a plan
 * for m rows alone, its first choice of all. */
static enum sg_status choose(struct sg__rt *rt, struct plan *p, struct sg_err *err) {
    enum sg_status st;
    struct layouts l = {0};
    cublasLtMatmulPreference_t want = NULL;
    cublasLtMatmulHeuristicResult_t found;
    int n_found = 0;
    const size_t workspace = WORKSPACE_BYTES;
    const uint32_t sums = p->m ? CUBLASLT_REDUCTION_SCHEME_MASK : CUBLASLT_REDUCTION_SCHEME_NONE;
    const uint32_t in = alignment(p->of.k, p->of.in), out_bytes = alignment(p->of.y_stride, p->of.out);
    SG_TRY(layouts_new(rt, &l, &p->of, p->m ? p->m : CHOICE_ROWS, err));
    SG_BLAS("preference", rt->lt.cublasLtMatmulPreferenceCreate(&want));
    const struct {
        cublasLtMatmulPreferenceAttributes_t what;
        const void *value;
        size_t bytes;
    } set[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
               {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &in, sizeof in},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &in, sizeof in},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out_bytes, sizeof out_bytes},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out_bytes, sizeof out_bytes}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        SG_BLAS("preference",
                rt->lt.cublasLtMatmulPreferenceSetAttribute(want, set[i].what, set[i].value, set[i].bytes));
    SG_BLAS("choice of an algorithm",
            rt->lt.cublasLtMatmulAlgoGetHeuristic(rt->blas, rt->product, l.w, l.x, l.y, l.y, want, 1, &found,
                                                  &n_found));
    if (n_found < 1) {
        st = sg_fail(err, SG_E_DEVICE, "cuda: cuBLASLt has no algorithm for [%lld][%lld]", (long long)p->of.n,
                     (long long)p->of.k);
        goto out;
    }
    p->algo = found.algo;
    st = SG_OK;
out:
    layouts_free(rt, &l);
    if (want) rt->lt.cublasLtMatmulPreferenceDestroy(want);
    return st;
}

static bool same_shape(const struct shape *a, const struct shape *b) {
    return a->n == b->n && a->k == b->k && a->y_stride == b->y_stride && a->in == b->in && a->out == b->out;
}

static enum sg_status plan_for(struct sg__rt *rt, int64_t m, const struct shape *of, struct plan **out,
                               struct sg_err *err) {
    for (int i = 0; i < rt->n_plans; i++) {
        struct plan *p = &rt->plans[i];
        if (p->m == m && same_shape(&p->of, of)) {
            *out = p;
            return SG_OK;
        }
    }
    if (rt->n_plans == MAX_PLANS)
        return sg_fail(err, SG_E_DEVICE, "cuda: products of more than %d shapes", MAX_PLANS);
    struct plan *p = &rt->plans[rt->n_plans];
    *p = (struct plan){.of = *of, .m = m};
    const enum sg_status st = choose(rt, p, err);
    if (st != SG_OK) return st;
    rt->n_plans++;
    *out = p;
    return SG_OK;
}

/* The descriptor asks for CUBLAS_COMPUTE_32F: float32 sums of bf16, plain float32 of float32 (TF32 would be
 * CUBLAS_COMPUTE_32F_FAST_TF32). */
static enum sg_status multiply(struct sg__rt *rt, bool any, const struct shape *of, void *y, const void *x,
                               const void *w, int64_t m, struct sg_err *err) {
    enum sg_status st;
    struct layouts l = {0};
    struct plan *p = NULL;
    const float one = 1.0f, zero = 0.0f;
    if (m % SG_RT_GEMM_ROWS) return sg_fail(err, SG_E_INTERNAL, "cuda: product of %lld rows", (long long)m);
    SG_TRY(plan_for(rt, any ? m : 0, of, &p, err));
    SG_TRY(layouts_new(rt, &l, of, m, err));
    SG_BLAS("product", rt->lt.cublasLtMatmul(rt->blas, rt->product, &one, w, l.w, x, l.x, &zero, y, l.y, y,
                                             l.y, &p->algo, rt->workspace, WORKSPACE_BYTES, rt->stream));
out:
    layouts_free(rt, &l);
    return st;
}

static struct shape of_bf16(int64_t n, int64_t k, bool y_f32) {
    return (struct shape){n, k, n, CUDA_R_16BF, y_f32 ? CUDA_R_32F : CUDA_R_16BF};
}
enum sg_status sg__rt_gemm(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w, int64_t m,
                           int64_t n, int64_t k, struct sg_err *err) {
    const struct shape of = of_bf16(n, k, y_f32);
    return multiply(rt, false, &of, y, x, w, m, err);
}
enum sg_status sg__rt_gemm_f32(struct sg__rt *rt, float *y, int64_t y_stride, const float *x, const float *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err) {
    const struct shape of = {n, k, y_stride, CUDA_R_32F, CUDA_R_32F};
    return multiply(rt, false, &of, y, x, w, m, err);
}
enum sg_status sg__rt_gemm_any(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err) {
    const struct shape of = of_bf16(n, k, y_f32);
    return multiply(rt, true, &of, y, x, w, m, err);
}

/* ---- marks and graphs ------------------------------------------------------------------------------- */

enum sg_status sg__rt_mark(struct sg__rt *rt, int event, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("mark", cudaEventRecord(rt->marks[event], rt->stream));
out:
    return st;
}
enum sg_status sg__rt_between(struct sg__rt *rt, int first, int second, double *ns, struct sg_err *err) {
    enum sg_status st = SG_OK;
    float ms;
    SG_CUDA("time", cudaEventSynchronize(rt->marks[second]));
    SG_CUDA("time", cudaEventElapsedTime(&ms, rt->marks[first], rt->marks[second]));
    *ns = (double)ms * 1e6;
out:
    return st;
}

/* Stream capture. What is inside: kernel launches, copies on the device and memsets, which become nodes; and
 * cublasLtMatmul with our own workspace, whose factors alpha and beta (host pointers) are read at the call.
 * Nothing that allocates or waits: a call of that kind by this thread would end the capture with an error
 * (cudaStreamCaptureModeThreadLocal; other threads are not concerned). The engine runs a step of every shape
 * once before it records one: the algorithm of each product is chosen, its kernels and ours are loaded.
 * Timing marks are left out by the backend: an event recorded inside would be a node whose time belongs to
 * every replay. */
enum sg_status sg__rt_record_begin(struct sg__rt *rt, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("recording", cudaStreamBeginCapture(rt->stream, cudaStreamCaptureModeThreadLocal));
out:
    if (st != SG_OK) cudaGetLastError(); /* as below: the caller goes on without records */
    return st;
}
enum sg_status sg__rt_record_end(struct sg__rt *rt, struct sg__rt_graph **out, struct sg_err *err) {
    enum sg_status st;
    struct sg__rt_graph *g = NULL;
    cudaGraph_t graph = NULL;
    SG_CUDA("recording", cudaStreamEndCapture(rt->stream, &graph));
    if (out) {
        SG_TRY(SG_NEW(&g, 1, "cuda graph", err));
        SG_CUDA("graph", cudaGraphInstantiate(&g->exec, graph, 0));
        *out = g;
        g = NULL;
    }
    st = SG_OK;
out:
    /* not sticky, and no later launch shall report it, nor what made the caller drop a record */
    if (st != SG_OK || !out) cudaGetLastError();
    if (graph) cudaGraphDestroy(graph); /* the executable graph is its own */
    free(g);
    return st;
}
enum sg_status sg__rt_replay(struct sg__rt *rt, struct sg__rt_graph *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("replay", cudaGraphLaunch(g->exec, rt->stream));
out:
    return st;
}
/* A graph in flight is freed when it is done (cuGraphExecDestroy). */
void sg__rt_graph_free(struct sg__rt_graph *g) {
    if (!g) return;
    cudaGraphExecDestroy(g->exec);
    free(g);
}

/* rt_cuda - rt.h on the CUDA runtime and cuBLASLt, whose products are in rt_gemm.c. The runtime is linked
 * statically and finds the driver when
 * it is first called; cuBLASLt is opened when a device is: the program starts where neither exists. */
#include "kernels/cuda/rt_cuda.h"

#include "base/mem.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGING_BYTES = 8 << 20 }; /* each of two pinned buffers */

const char *sg__rt_error(int code) {
    return cudaGetErrorString((cudaError_t)code);
}

enum sg_status sg__rt_failed(struct sg_err *err, const char *what, cudaError_t code) {
    return sg_fail(err, code == cudaErrorMemoryAllocation ? SG_E_NOMEM : SG_E_DEVICE, "cuda: %s: %s", what,
                   cudaGetErrorString(code));
}

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
    SG_TRY(sg__rt_lanes(rt, 1, err));
    sg__rt_lane(rt, 0);
    SG_BLAS("create", rt->lt.cublasLtCreate(&rt->blas));
    SG_BLAS("product", rt->lt.cublasLtMatmulDescCreate(&rt->product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transpose = CUBLAS_OP_T;
    SG_BLAS("product", rt->lt.cublasLtMatmulDescSetAttribute(rt->product, CUBLASLT_MATMUL_DESC_TRANSA,
                                                             &transpose, sizeof transpose));
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

/* Also for what a fork left unjoined, after an operator has failed. */
static void wait_for_lanes(struct sg__rt *rt) {
    for (int i = 0; i < SG_RT_LANES; i++)
        if (rt->lanes[i].stream) cudaStreamSynchronize(rt->lanes[i].stream);
}

void sg__rt_close(struct sg__rt *rt) {
    if (!rt) return;
    wait_for_lanes(rt);
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
    if (rt->product) rt->lt.cublasLtMatmulDescDestroy(rt->product);
    if (rt->blas) rt->lt.cublasLtDestroy(rt->blas);
    for (int i = 0; i < SG_RT_LANES; i++) {
        if (rt->lanes[i].workspace) cudaFree(rt->lanes[i].workspace);
        if (rt->lanes[i].passed) cudaEventDestroy(rt->lanes[i].passed);
        if (rt->lanes[i].stream) cudaStreamDestroy(rt->lanes[i].stream);
    }
    if (rt->lt.library) dlclose(rt->lt.library);
    free(rt);
}

void *sg__rt_stream(struct sg__rt *rt) {
    return rt->stream;
}

/* ---- lanes ------------------------------------------------------------------------------------------ */

size_t sg__rt_lane_bytes(const struct sg__rt *rt) {
    (void)rt;
    return WORKSPACE_BYTES;
}
/* Events without times: one that is only waited for costs the stream nothing else. */
enum sg_status sg__rt_lanes(struct sg__rt *rt, int n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int i = 0; i < n; i++) {
        if (!rt->lanes[i].workspace)
            SG_CUDA("workspace", cudaMalloc(&rt->lanes[i].workspace, WORKSPACE_BYTES));
        if (!rt->lanes[i].passed)
            SG_CUDA("event", cudaEventCreateWithFlags(&rt->lanes[i].passed, cudaEventDisableTiming));
        if (!rt->lanes[i].stream)
            SG_CUDA("stream", cudaStreamCreateWithFlags(&rt->lanes[i].stream, cudaStreamNonBlocking));
    }
out:
    return st;
}
void sg__rt_lane(struct sg__rt *rt, int lane) {
    rt->stream = rt->lanes[lane].stream;
    rt->workspace = rt->lanes[lane].workspace;
}
/* A wait is for the event's last record before the call (cudaStreamWaitEvent): the next order may record it anew
 * while this one is still waited for. */
enum sg_status sg__rt_order(struct sg__rt *rt, int first, int later, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_CUDA("order", cudaEventRecord(rt->lanes[first].passed, rt->lanes[first].stream));
    SG_CUDA("order", cudaStreamWaitEvent(rt->lanes[later].stream, rt->lanes[first].passed, 0));
out:
    return st;
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
    wait_for_lanes(rt);
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
    wait_for_lanes(rt);
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

/* fake_cudart - as much of the CUDA runtime as kernels/cuda/rt_cuda.c and rt_gemm.c call, on the host: streams that
 * run as late or as early as they may, events on a clock that only products move (fake_cuda_work). What a stream has queued runs when
 * somebody waits for it, on the host or by cudaStreamWaitEvent, and not before: or streams beside the first at once
 * (fake_cuda_hurry). Work that relies on an order that nobody has asked for then finds what was there before. For test_rt_gemm. */
#include "tests/cuda/fake_cudart.h"

#include <stdlib.h>
#include <string.h>

static double clock_ms;
static int hurry;
void fake_cuda_hurry(int on) {
    hurry = on;
}
void fake_cuda_work(double ms) {
    clock_ms += ms;
}

/* ---- streams ---------------------------------------------------------------------------------------- */

struct event {
    long recorded, passed; /* how often it was recorded, and which of these the stream has passed last */
    struct stream *stream; /* of the last record */
    double at;
};
struct op {
    enum { COPY, FILL, CALL, RECORD, WAIT } kind;
    void *dst;
    const void *src;
    size_t width, to, from, rows; /* of a copy: rows of `width` bytes */
    int value;
    void (*call)(void *arg); /* frees arg */
    void *arg;
    struct event *event;
    long ticket; /* which record of the event */
    struct stream *of;
    struct op *next;
};
struct stream {
    struct op *head, **tail;
    int beside; /* not the first */
};
static int n_streams;

static void run_one(struct stream *s) {
    struct op *o = s->head;
    if (!o) abort(); /* a wait for what was never queued */
    s->head = o->next;
    if (!s->head) s->tail = &s->head;
    for (size_t r = 0; o->kind == COPY && r < o->rows; r++)
        memcpy((char *)o->dst + r * o->to, (const char *)o->src + r * o->from, o->width);
    if (o->kind == FILL) memset(o->dst, o->value, o->width);
    if (o->kind == CALL) o->call(o->arg);
    if (o->kind == RECORD) o->event->passed = o->ticket, o->event->at = clock_ms;
    while (o->kind == WAIT && o->event->passed < o->ticket) run_one(o->of);
    free(o);
}
static struct stream *of(cudaStream_t s) {
    return (struct stream *)(void *)s;
}
static cudaError_t queue(cudaStream_t s, struct op what) {
    struct op *o = malloc(sizeof *o);
    if (!o) return cudaErrorMemoryAllocation;
    *o = what;
    *of(s)->tail = o;
    of(s)->tail = &o->next;
    while (hurry && of(s)->beside && of(s)->head) run_one(of(s));
    return cudaSuccess;
}
cudaError_t fake_cuda_queue(cudaStream_t s, void (*call)(void *arg), void *arg) {
    return queue(s, (struct op){.kind = CALL, .call = call, .arg = arg});
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags) {
    struct stream *s = calloc(1, sizeof *s);
    (void)flags;
    if (!s) return cudaErrorMemoryAllocation;
    s->tail = &s->head;
    s->beside = n_streams++ > 0;
    *out = (cudaStream_t)(void *)s;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
    while (of(s)->head) run_one(of(s));
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
    cudaStreamSynchronize(s);
    free(of(s));
    n_streams--;
    return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void *dst, size_t to, const void *src, size_t from, size_t width, size_t rows,
                              enum cudaMemcpyKind kind, cudaStream_t s) {
    (void)kind;
    return queue(
        s, (struct op){
               .kind = COPY, .dst = dst, .to = to, .src = src, .from = from, .width = width, .rows = rows});
}
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind, cudaStream_t s) {
    return cudaMemcpy2DAsync(dst, n, src, n, n, 1, kind, s);
}
cudaError_t cudaMemsetAsync(void *dst, int value, size_t n, cudaStream_t s) {
    return queue(s, (struct op){.kind = FILL, .dst = dst, .value = value, .width = n});
}

/* ---- events ----------------------------------------------------------------------------------------- */

static struct event *event_of(cudaEvent_t e) {
    return (struct event *)(void *)e;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned int flags) {
    (void)flags;
    *e = (cudaEvent_t)calloc(1, sizeof(struct event));
    return *e ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) {
    return cudaEventCreateWithFlags(e, 0);
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
    free(e);
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    event_of(e)->stream = of(s);
    return queue(s, (struct op){.kind = RECORD, .event = event_of(e), .ticket = ++event_of(e)->recorded});
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
    while (event_of(e)->passed < event_of(e)->recorded) run_one(event_of(e)->stream);
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned int flags) {
    (void)flags;
    return queue(s, (struct op){.kind = WAIT,
                                .event = event_of(e),
                                .ticket = event_of(e)->recorded,
                                .of = event_of(e)->stream});
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
    *ms = (float)(event_of(b)->at - event_of(a)->at);
    return cudaSuccess;
}

/* ---- device and memory ------------------------------------------------------------------------------ */

cudaError_t cudaGetDeviceCount(int *n) {
    *n = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
    (void)device;
    memset(p, 0, sizeof *p);
    strcpy(p->name, "fake");
    p->major = 9, p->totalGlobalMem = (size_t)1 << 30;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    (void)device;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *v) {
    *v = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char *id, int len, int device) {
    (void)id, (void)len, (void)device;
    return cudaErrorNotSupported;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **f, unsigned int version,
                                             unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *status) {
    (void)symbol, (void)f, (void)version, (void)flags, (void)status;
    return cudaErrorNotSupported;
}
const char *cudaGetErrorString(cudaError_t code) {
    return code == cudaErrorMemoryAllocation ? "out of memory" : "fake error";
}
cudaError_t cudaGetLastError(void) {
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t bytes) {
    *p = malloc(bytes);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaMallocHost(void **p, size_t bytes) {
    return cudaMalloc(p, bytes);
}
cudaError_t cudaFree(void *p) {
    free(p);
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p) {
    return cudaFree(p);
}
cudaError_t cudaMemGetInfo(size_t *left, size_t *all) {
    *left = *all = (size_t)1 << 30;
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode) {
    (void)s, (void)mode;
    return cudaErrorNotSupported;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g) {
    (void)s, (void)g;
    return cudaErrorNotSupported;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t g, unsigned long long flags) {
    (void)exec, (void)g, (void)flags;
    return cudaErrorNotSupported;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s) {
    (void)exec, (void)s;
    return cudaErrorNotSupported;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
    (void)g;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    (void)exec;
    return cudaSuccess;
}

/* rt - every call that the cuda backend makes to a device: memory, copies, streams, events, graphs and the
 * matrix product. Two implementations: rt_cuda.c on the CUDA runtime and cuBLASLt, tests/cuda/emu/rt_emu.cpp
 * on the CPU. Private to kernels/cuda.
 *
 * Calls that return enum sg_status fail with SG_E_DEVICE (or SG_E_NOMEM) and a line that names the call. */
#ifndef SG_KERNELS_CUDA_RT_H
#define SG_KERNELS_CUDA_RT_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sg__rt;       /* one device and its streams; owned by the caller of open */
struct sg__rt_graph; /* a recorded sequence of launches and copies */

struct sg__rt_info {
    char name[128]; /* "NVIDIA H100 80GB HBM3" */
    char uuid[64];  /* of the device, or of the slice of one: "GPU-" and five groups of digits */
    char pci[32];   /* "" when it has no address */
    char driver[64], runtime[64]; /* "CUDA 13.0" */
    int64_t memory_bytes;
    bool emulated; /* measurements say nothing; sizes may be small */
};

/* Device index % *count, without opening it. SG_E_DEVICE with the reason where none can be used. */
enum sg_status sg__rt_find(int index, int *count, struct sg__rt_info *info, struct sg_err *err);

/* Device `ordinal`, which the calling thread drives from then on, it alone. SG_E_DEVICE with the reason where
 * there is no driver, no such device, or no cuBLASLt. */
enum sg_status sg__rt_open(int ordinal, struct sg__rt **out, struct sg__rt_info *info, struct sg_err *err);
void sg__rt_close(struct sg__rt *rt); /* waits for the streams; NULL accepted */

/* Lanes: streams beside each other, each with a workspace of products of its own. All that is queued, marks too,
 * goes to the current one; lane 0 at first. Copies from and to the host, fetches and records are for lane 0. */
enum { SG_RT_LANES = 2 };
/* Device memory that a second lane takes. */
size_t sg__rt_lane_bytes(const struct sg__rt *rt);
/* Takes lanes [0, n); those that are there stay. */
enum sg_status sg__rt_lanes(struct sg__rt *rt, int n, struct sg_err *err);
void sg__rt_lane(struct sg__rt *rt, int lane);
/* What is queued on lane `later` from now on waits for all that is queued on lane `first`. */
enum sg_status sg__rt_order(struct sg__rt *rt, int first, int later, struct sg_err *err);

/* What kernel launchers take as their stream: the current lane's. */
void *sg__rt_stream(struct sg__rt *rt);
/* The text of an error code that a launcher returned. */
const char *sg__rt_error(int code);

enum sg_status sg__rt_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                            struct sg_err *err);
void sg__rt_free(struct sg__rt *rt, void *p);  /* NULL accepted; waits until the device is done with it */
int64_t sg__rt_memory_free(struct sg__rt *rt); /* bytes; 0: cannot be told */

/* In stream order. src of upload may be reused when it returns; download waits for its bytes. */
enum sg_status sg__rt_upload(struct sg__rt *rt, void *dst, const void *src, size_t bytes, struct sg_err *err);
/* The same in two halves: *at is pinned memory for *got of the caller's next `want` bytes (whole cache lines
 * unless it is all of them), to be filled; send then copies `bytes` of it to dst. Two buffers in turn: one is
 * filled while the other is on its way, and stage waits only for a buffer's own last copies. */
enum sg_status sg__rt_stage(struct sg__rt *rt, size_t want, void **at, size_t *got, struct sg_err *err);
enum sg_status sg__rt_send(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *err);
enum sg_status sg__rt_download(struct sg__rt *rt, void *dst, const void *src, size_t bytes,
                               struct sg_err *err);
enum sg_status sg__rt_copy(struct sg__rt *rt, void *dst, const void *src, size_t bytes, struct sg_err *err);
enum sg_status sg__rt_clear(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *err); /* zeros */
enum sg_status sg__rt_sync(struct sg__rt *rt, struct sg_err *err);

/* Pinned host memory, freed after the stream has run empty. A fetch copies into it in stream order; the bytes
 * are there once fetch_wait(slot) returns, which waits for what was queued up to the slot's last fetch alone. */
enum { SG_RT_FETCHES = 2 };
enum sg_status sg__rt_host_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                                 struct sg_err *err);
void sg__rt_host_free(struct sg__rt *rt, void *p); /* NULL accepted */
enum sg_status sg__rt_fetch(struct sg__rt *rt, int slot, void *dst, const void *src, size_t bytes,
                            struct sg_err *err);
enum sg_status sg__rt_fetch_wait(struct sg__rt *rt, int slot, struct sg_err *err);

/* y[m][n] = x[m][k] w[n][k]^T: bf16 inputs, float32 sums, y in bf16, or in float32 when y_f32. x and y hold
 * whole tiles of SG_RT_GEMM_ROWS rows: what is in x behind row m may be anything, what is in y there is
 * undefined afterwards. A row of y depends on its row of x alone, to the bit, whatever m is and wherever the
 * row stands: all algorithms that calls of one (n, k, y_f32) use have been seen to give the same bits
 * (plans.h). */
enum { SG_RT_GEMM_ROWS = 64 };
/* Chooses and verifies those algorithms, which the first call of a shape would do otherwise. It takes up to
 * 320 MiB and the size of x and w of device memory while it runs, well below a second on a large GPU, and
 * waits for the stream. SG_E_DEVICE when the library has none. */
enum sg_status sg__rt_gemm_plan(struct sg__rt *rt, bool y_f32, int64_t n, int64_t k, struct sg_err *err);
enum sg_status sg__rt_gemm(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w, int64_t m,
                           int64_t n, int64_t k, struct sg_err *err);
/* The same in float32 throughout, y_stride values from one row of y to the next: w may be some rows of a
 * larger matrix. None uses TF32. */
enum sg_status sg__rt_gemm_f32(struct sg__rt *rt, float *y, int64_t y_stride, const float *x, const float *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err);
/* The product of bf16 by what the library likes best for this m, a multiple of SG_RT_GEMM_ROWS, split along k
 * or not: benchmarks measure with it what equal bits cost. */
enum sg_status sg__rt_gemm_any(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err);

/* Marks in the stream, numbered from 0 to SG_RT_EVENTS - 1; `between` waits for the second. */
enum { SG_RT_EVENTS = 8192 };
enum sg_status sg__rt_mark(struct sg__rt *rt, int event, struct sg_err *err);
enum sg_status sg__rt_between(struct sg__rt *rt, int first, int second, double *ns, struct sg_err *err);

/* Between begin and end the stream records instead of running; arguments are kept as they were then. Between
 * them only launches, copies on the device, clears and products, of kernels and shapes that have run before.
 * End leaves the stream as it was before begin also when it fails; out NULL drops what was recorded. A graph
 * may be freed while a replay of it is under way. */
enum sg_status sg__rt_record_begin(struct sg__rt *rt, struct sg_err *err);
enum sg_status sg__rt_record_end(struct sg__rt *rt, struct sg__rt_graph **out, struct sg_err *err);
enum sg_status sg__rt_replay(struct sg__rt *rt, struct sg__rt_graph *g, struct sg_err *err);
void sg__rt_graph_free(struct sg__rt_graph *g); /* NULL accepted */

#ifdef __cplusplus
}
#endif
#endif

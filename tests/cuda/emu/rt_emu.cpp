/* rt_emu - kernels/cuda/rt.h on the CPU: device memory that is NaN-filled and ends at a guard page (a red
 * zone under ASan), streams that run at once or only when somebody waits, graphs as lists of closures.
 *
 * Two lanes: what they have queued runs in any order that their waits for each other allow, drawn from the seed: now
 * one of them far ahead, now both by turns (EMU_ORDER: forward has the other lane run no more than somebody waits
 * for, backward all that it can), or as sg_emu_set_lane_stop asks, of whose orders one breaks what a missing wait
 * allows. The race detector takes lanes for threads: it tells two accesses without an order at any seed. */
#include "emu_internal.h"
#include "kernels/cuda/rt.h"

#include <deque>
#include <memory>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

namespace emu {
void check_dynamic(const void *kernel, long long bytes); /* shared.cpp */
}

using operation = std::function<void()>;
struct sg__rt_graph {
    std::shared_ptr<std::vector<operation>> ops; /* a replay under way keeps them, whoever frees the graph */
};
struct allocation {
    void *p, *base;
    size_t mapped, bytes;
};
/* Bytes that have left the device and are not in their place yet: the destination holds garbage until somebody
 * waits, as it may on a machine where copies take their time. */
struct arrival {
    void *dst;
    std::shared_ptr<std::vector<char>> bytes;
};
static const size_t STAGING_BYTES = 1 << 16, WORKSPACE_BYTES = 4096;
/* A place in a lane: what was queued up to it. */
struct place {
    int lane;
    long long operations;
};
struct queued {
    operation op;
    place behind;         /* runs when that has run: nothing, or what another lane had queued */
    long long until_stop; /* operations from this one to where its lane stops: none below 1 */
};
struct lane {
    std::deque<queued> queue;
    long long submitted, done;    /* operations that were queued, that have run */
    long long stop;               /* submitted, when it stops (sg_emu_set_lane_stop) */
    place behind;                 /* of the next operation */
    void *workspace;              /* as products have one: for the race detector alone */
    std::vector<operation> spent; /* for the race detector: they are freed when the host has waited */
};
struct sg__rt {
    lane lanes[SG_RT_LANES];
    long long forks;
    int current, ahead; /* lanes: where calls go, which one runs ahead of the other */
    sg__rt_graph *recording;
    std::vector<allocation> memory;
    std::vector<void *> pinned;
    std::vector<double> marks;
    std::vector<place> marked; /* up to and with each mark */
    std::vector<arrival> arrivals[SG_RT_FETCHES];
    place fetched[SG_RT_FETCHES];
    /* as rt_cuda.c has them: a buffer is read when its copies run, not when they are queued */
    char staging[2][STAGING_BYTES];
    place staged[2];
    size_t at;
    int half;
};
/* The null stream of launches without a device, as tests of single kernels use it. */
static sg__rt null_stream;
static std::vector<sg__rt *> open_devices;

static double now_ns(void) {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- who may touch device memory ---- */

static void set_access(const allocation &a, bool on) {
#ifdef __SANITIZE_ADDRESS__
    if (on)
        ASAN_UNPOISON_MEMORY_REGION(a.p, a.bytes);
    else
        ASAN_POISON_MEMORY_REGION(a.p, a.bytes);
#else
    mprotect(a.base, a.mapped - 4096, on ? PROT_READ | PROT_WRITE : PROT_NONE);
#endif
}
static void open_memory(bool on) {
    if (!emu::config().host_check) return;
    for (sg__rt *rt : open_devices)
        for (const allocation &a : rt->memory) set_access(a, on);
}
/* What the host has done orders what it queues, and what it has waited for orders what it does: told to the race
 * detector by these two. */
#ifdef EMU_TSAN
static char host_order, wait_order[SG_RT_LANES];
#endif
static void run(sg__rt *rt, int which, operation op) {
    (void)rt;
    emu::race_lane = which;
#ifdef EMU_TSAN
    emu::lane_enter();
    __tsan_acquire(&host_order);
    emu::lane_leave();
#endif
    open_memory(true);
    op();
    open_memory(false);
#ifdef EMU_TSAN
    emu::lane_enter();
    __tsan_release(&wait_order[which]);
    emu::lane_leave();
    rt->lanes[which].spent.push_back(std::move(op));
#endif
    emu::race_lane = 0;
}
/* The host has waited for a lane. */
static void waited(sg__rt *rt, int which) {
    (void)rt, (void)which;
#ifdef EMU_TSAN
    __tsan_acquire(&wait_order[which]);
    rt->lanes[which].spent.clear();
#endif
}
static bool may_run(const sg__rt *rt, int which) {
    const lane &l = rt->lanes[which];
    return !l.queue.empty() &&
           rt->lanes[l.queue.front().behind.lane].done >= l.queue.front().behind.operations;
}
/* The lane that runs next, of those that may: one that `want` is in need of, or another before it. */
static int pick_lane(sg__rt *rt, int want) {
    const int other = !want;
    if (!may_run(rt, other)) return want;
    if (!may_run(rt, want)) return other;
    const sg_emu_order order = emu::config().order;
    const int stops = emu::config().stop_lane;
    if (emu::config().stop >= 0) return rt->lanes[stops].queue.front().until_stop > 0 ? stops : !stops;
    if (order != SG_EMU_RANDOM) return order == SG_EMU_FORWARD ? want : other;
    if ((emu::random32() & 31) == 0) rt->ahead = (int)(emu::random32() % (SG_RT_LANES + 1));
    return rt->ahead < SG_RT_LANES ? rt->ahead : (int)(emu::random32() & 1);
}
static void run_next(sg__rt *rt, int which) {
    lane &l = rt->lanes[which];
    queued next = std::move(l.queue.front());
    l.queue.pop_front();
    run(rt, which, std::move(next.op));
    l.done++;
}
/* Runs operations until those up to a place have run: what was queued behind them may stay queued. */
static void drain_to(sg__rt *rt, place until) {
    while (rt->lanes[until.lane].done < until.operations) run_next(rt, pick_lane(rt, until.lane));
    waited(rt, until.lane);
}
static place here(const sg__rt *rt) {
    return {rt->current, rt->lanes[rt->current].submitted};
}
static void submit(sg__rt *rt, operation op) {
    if (rt->recording) {
        rt->recording->ops->push_back(std::move(op));
        return;
    }
    lane &l = rt->lanes[rt->current];
    EMU_IF_TSAN(__tsan_release(&host_order));
    l.queue.push_back({std::move(op), l.behind, l.stop - l.submitted});
    l.behind = {};
    l.submitted++;
    if (emu::config().lazy) return;
    /* in the order of the calls, which is one that every wait allows */
    while (l.done < l.submitted) run_next(rt, pick_lane(rt, rt->current));
    if (rt == &null_stream) waited(rt, 0); /* tests read what is there then */
}
static void drain(sg__rt *rt) {
    for (int i = 0; i < SG_RT_LANES; i++) drain_to(rt, {i, rt->lanes[i].submitted});
}
static void need_no_record(const sg__rt *rt, const char *what) {
    if (rt->recording) emu::fail("%s while the stream records", what);
}

/* Accesses that are not compiled for the race detector. */
static void access(const void *p, size_t bytes, bool write) {
    (void)p, (void)bytes, (void)write;
#ifdef EMU_TSAN
    emu::lane_enter();
    if (write)
        __tsan_write_range((void *)p, bytes);
    else
        __tsan_read_range((void *)p, bytes);
    emu::lane_leave();
#endif
}
/* memcpy and memset are calls that the race detector sees. */
static void copy(void *dst, const void *src, size_t bytes) {
    EMU_IF_TSAN(emu::lane_enter());
    memcpy(dst, src, bytes);
    EMU_IF_TSAN(emu::lane_leave());
}
static void clear(void *dst, size_t bytes) {
    EMU_IF_TSAN(emu::lane_enter());
    memset(dst, 0, bytes);
    EMU_IF_TSAN(emu::lane_leave());
}

namespace emu {

int launch(const char *name, const void *kernel, dim3 grid, dim3 block, long long smem, void *stream,
           operation body) {
    const char *outer = kernel_name;
    kernel_name = name;
    if ((long long)block.x * block.y * block.z > MAX_THREADS || block.z > 64)
        fail("block of %lld threads", (long long)block.x * block.y * block.z);
    check_dynamic(kernel, smem);
    kernel_name = outer;
    submit(stream ? (sg__rt *)stream : &null_stream, [=]() { run_grid(name, grid, block, smem, body); });
    return 0;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(EMU_TSAN) && !defined(EMU_MSAN)
static void on_signal(int sig, siginfo_t *info, void *) {
    static char text[400];
    const thread_view &v = *self;
    const int n =
        snprintf(text, sizeof text,
                 "emulation: signal %d at address %p in kernel %s block (%u,%u,%u) thread (%u,%u,%u)%s\n",
                 sig, info->si_addr, kernel_name, v.bid.x, v.bid.y, v.bid.z, v.tid.x, v.tid.y, v.tid.z,
                 current == &host ? " [host code: a device pointer used on the host?]" : "");
    if (n > 0 && write(2, text, (size_t)n) < 0) _exit(SG_EMU_EXIT_SIGNAL);
    _exit(SG_EMU_EXIT_SIGNAL);
}
static void catch_signals(void) {
    static char stack[65536];
    stack_t alt = {};
    alt.ss_sp = stack;
    alt.ss_size = sizeof stack;
    sigaltstack(&alt, nullptr);
    struct sigaction sa = {};
    sa.sa_sigaction = on_signal;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &sa, nullptr);
    sigaction(SIGBUS, &sa, nullptr);
}
#else
static void catch_signals(void) {
}
#endif

} // namespace emu

/* ---- the product ---- */

/* Eight running sums per element, then their sum: an order that depends on k alone. */
static float dot(const float *x, const float *w, int64_t k) {
    float part[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= k; i += 8)
        for (int u = 0; u < 8; u++) part[u] += x[i + u] * w[i + u];
    for (; i < k; i++) sum += x[i] * w[i];
    for (int u = 0; u < 8; u++) sum += part[u];
    return sum;
}
static void widen(std::vector<float> &f, const void *p, int64_t n) {
    f.resize((size_t)n);
    float *to = f.data();
    for (int64_t i = 0; i < n; i++) to[i] = bf2f(((const bf16 *)p)[i]);
}
/* What a tile has behind row m: read, so that memory that is not there is told, and not computed. */
static void touch(const void *x, int64_t m, int64_t row_bytes) {
    const int64_t end = (m + SG_RT_GEMM_ROWS - 1) / SG_RT_GEMM_ROWS * SG_RT_GEMM_ROWS * row_bytes;
    for (int64_t i = m * row_bytes; i < end; i++) (void)((const volatile char *)x)[i];
}
/* Its results there: garbage, that nobody may read. */
static void spoil(void *y, int64_t m, int64_t n, int64_t y_stride, int64_t width) {
    for (int64_t i = m; i % SG_RT_GEMM_ROWS; i++)
        emu::poison((char *)y + i * y_stride * width, (size_t)(n * width));
}
static int64_t tiled(int64_t rows) {
    return (rows + SG_RT_GEMM_ROWS - 1) / SG_RT_GEMM_ROWS * SG_RT_GEMM_ROWS;
}
static void product(void *workspace, void *y, bool y_f32, const void *x, const void *w, int64_t m, int64_t n,
                    int64_t k) {
    static std::vector<float> fx, fw;
    access(workspace, WORKSPACE_BYTES, true);
    access(x, (size_t)(tiled(m) * k * 2), false);
    access(w, (size_t)(n * k * 2), false);
    access(y, (size_t)(tiled(m) * n * (y_f32 ? 4 : 2)), true);
    touch(x, m, k * 2);
    spoil(y, m, n, n, y_f32 ? 4 : 2);
    widen(fx, x, m * k);
    for (int64_t j = 0; j < n; j++) {
        widen(fw, (const bf16 *)w + j * k, k);
        for (int64_t i = 0; i < m; i++) {
            const float sum = dot(&fx[(size_t)(i * k)], fw.data(), k);
            if (y_f32)
                ((float *)y)[i * n + j] = sum;
            else
                ((bf16 *)y)[i * n + j] = f2bf(sum);
        }
    }
}

static void product_f32(void *workspace, float *y, int64_t y_stride, const float *x, const float *w,
                        int64_t m, int64_t n, int64_t k) {
    access(workspace, WORKSPACE_BYTES, true);
    access(x, (size_t)(tiled(m) * k * 4), false);
    access(w, (size_t)(n * k * 4), false);
    for (int64_t i = 0; i < tiled(m); i++) access(y + i * y_stride, (size_t)(n * 4), true);
    touch(x, m, k * 4);
    spoil(y, m, n, y_stride, 4);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) y[i * y_stride + j] = dot(x + i * k, w + j * k, k);
}

/* ---- the node's devices ---- */

static int64_t setting(const char *name, int64_t otherwise) {
    const char *s = getenv(name);
    return s && *s ? strtoll(s, nullptr, 10) : otherwise;
}
/* Of EMU_DEVICES devices those that CUDA_VISIBLE_DEVICES lists, in its order; the list ends at the first number
 * that is none, as the driver's does. */
static std::vector<int> visible_devices(void) {
    const int n = (int)setting("EMU_DEVICES", 1);
    std::vector<int> all;
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!list) {
        for (int i = 0; i < n; i++) all.push_back(i);
        return all;
    }
    for (const char *at = list; *at;) {
        char *end;
        const long i = strtol(at, &end, 10);
        if (end == at || i < 0 || i >= n) break;
        all.push_back((int)i);
        at = *end == ',' ? end + 1 : end;
    }
    return all;
}
static int64_t memory_bytes(void) {
    return setting("EMU_MEMORY_MIB", 16384) << 20;
}
static void describe(int physical, struct sg__rt_info *info) {
    *info = {};
    snprintf(info->name, sizeof info->name, "CUDA emulated on the CPU");
    snprintf(info->uuid, sizeof info->uuid, "emu-%d", physical);
    snprintf(info->driver, sizeof info->driver, "emulated");
    snprintf(info->runtime, sizeof info->runtime, "emulated");
    info->memory_bytes = memory_bytes();
    info->emulated = true;
}

extern "C" {

enum sg_status sg__rt_find(int index, int *count, struct sg__rt_info *info, struct sg_err *err) {
    const std::vector<int> all = visible_devices();
    if (all.empty())
        return sg_fail(err, SG_E_DEVICE,
                       "cuda: no NVIDIA driver or GPU can be used here (no emulated device)");
    *count = (int)all.size();
    describe(all[(size_t)index % all.size()], info);
    return SG_OK;
}
enum sg_status sg__rt_open(int ordinal, struct sg__rt **out, struct sg__rt_info *info, struct sg_err *err) {
    int n;
    const enum sg_status st = sg__rt_find(ordinal < 0 ? 0 : ordinal, &n, info, err);
    if (st != SG_OK) return st;
    if (ordinal < 0 || ordinal >= n)
        return sg_fail(err, SG_E_DEVICE, "cuda: device %d is not there, %d are", ordinal, n);
    emu::config();
    emu::catch_signals();
    *out = new sg__rt();
    (*out)->marks.resize(SG_RT_EVENTS);
    (*out)->marked.resize(SG_RT_EVENTS);
    open_devices.push_back(*out);
    return sg__rt_lanes(*out, 1, err);
}
size_t sg__rt_lane_bytes(const struct sg__rt *) {
    return WORKSPACE_BYTES;
}
enum sg_status sg__rt_lanes(struct sg__rt *rt, int n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int i = 0; i < n && st == SG_OK; i++)
        if (!rt->lanes[i].workspace)
            st = sg__rt_alloc(rt, WORKSPACE_BYTES, "a workspace", &rt->lanes[i].workspace, err);
    return st;
}
void sg__rt_lane(struct sg__rt *rt, int lane) {
    if (!rt->lanes[lane].workspace) emu::fail("lane %d was not taken", lane);
    rt->current = lane;
}
/* An operation of each lane's own, so that the race detector sees the order as well. */
static void tell_order(void *order, bool release) {
    (void)order, (void)release;
#ifdef EMU_TSAN
    emu::lane_enter();
    if (release)
        __tsan_release(order);
    else
        __tsan_acquire(order);
    emu::lane_leave();
#endif
}
enum sg_status sg__rt_order(struct sg__rt *rt, int first, int later, struct sg_err *) {
    const int was = rt->current;
    const auto order = std::make_shared<char>();
    need_no_record(rt, "an order of lanes");
    if (first == 0)
        for (lane &l : rt->lanes)
            l.stop = l.submitted + emu::config().stop + emu::config().stop_more * rt->forks;
    if (first == 0) rt->forks++;
    rt->current = first;
    submit(rt, [=] { tell_order(order.get(), true); });
    rt->lanes[later].behind = here(rt);
    rt->current = later;
    submit(rt, [=] { tell_order(order.get(), false); });
    rt->current = was;
    return SG_OK;
}
void sg__rt_close(struct sg__rt *rt) {
    if (!rt) return;
    drain(rt);
    while (!rt->memory.empty()) sg__rt_free(rt, rt->memory.back().p);
    while (!rt->pinned.empty()) sg__rt_host_free(rt, rt->pinned.back());
    for (size_t i = 0; i < open_devices.size(); i++)
        if (open_devices[i] == rt) {
            open_devices.erase(open_devices.begin() + (long)i);
            break;
        }
    delete rt;
}
void *sg__rt_stream(struct sg__rt *rt) {
    return rt;
}
const char *sg__rt_error(int) {
    return "launch failed";
}

int64_t sg__rt_memory_free(struct sg__rt *rt) {
    int64_t left = memory_bytes();
    for (const allocation &a : rt->memory) left -= (int64_t)a.bytes;
    return left > 0 ? left : 0;
}
enum sg_status sg__rt_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                            struct sg_err *err) {
    allocation a = {nullptr, nullptr, 0, bytes ? bytes : 1};
    if ((int64_t)bytes > sg__rt_memory_free(rt))
        return sg_fail(err, SG_E_NOMEM, "cuda: no %zu bytes of device memory for %s", bytes, what);
#ifdef __SANITIZE_ADDRESS__
    if (posix_memalign(&a.p, 256, a.bytes)) a.p = nullptr;
    a.base = a.p;
#else
    const size_t aligned = (a.bytes + 255) & ~(size_t)255; /* what cudaMalloc promises */
    a.mapped = ((aligned + 4095) & ~(size_t)4095) + 4096;
    void *m = mmap(nullptr, a.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m != MAP_FAILED) {
        a.base = m;
        mprotect((char *)m + a.mapped - 4096, 4096, PROT_NONE);
        a.p = (char *)m + a.mapped - 4096 - aligned;
    }
#endif
    if (!a.p) return sg_fail(err, SG_E_NOMEM, "cuda: no %zu bytes of device memory for %s", bytes, what);
    emu::poison(a.p, a.bytes);
    rt->memory.push_back(a);
    if (emu::config().host_check) set_access(a, false);
    *out = a.p;
    return SG_OK;
}
void sg__rt_free(struct sg__rt *rt, void *p) {
    if (!p) return;
    drain(rt);
    for (size_t i = 0; i < rt->memory.size(); i++) {
        const allocation a = rt->memory[i];
        if (a.p != p) continue;
#ifdef __SANITIZE_ADDRESS__
        ASAN_UNPOISON_MEMORY_REGION(a.p, a.bytes);
        free(a.p);
#else
        munmap(a.base, a.mapped);
#endif
        rt->memory.erase(rt->memory.begin() + (long)i);
        return;
    }
    emu::fail("free of a pointer that is no device memory");
}

enum sg_status sg__rt_stage(struct sg__rt *rt, size_t want, void **at, size_t *got, struct sg_err *) {
    need_no_record(rt, "an upload");
    if (rt->at == STAGING_BYTES) {
        rt->staged[rt->half] = here(rt);
        rt->half ^= 1;
        rt->at = 0;
        drain_to(rt, rt->staged[rt->half]);
        emu::poison(rt->staging[rt->half], STAGING_BYTES);
    }
    *at = rt->staging[rt->half] + rt->at;
    *got = want < STAGING_BYTES - rt->at ? want : STAGING_BYTES - rt->at;
    return SG_OK;
}
enum sg_status sg__rt_send(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *) {
    const char *from = rt->staging[rt->half] + rt->at;
    const size_t taken = rt->at + (bytes + 63) / 64 * 64;
    rt->at = taken < STAGING_BYTES ? taken : STAGING_BYTES;
    submit(rt, [=] { copy(dst, from, bytes); });
    return SG_OK;
}
enum sg_status sg__rt_upload(struct sg__rt *rt, void *dst, const void *src, size_t bytes,
                             struct sg_err *err) {
    for (size_t done = 0, some; done < bytes; done += some) {
        void *at;
        sg__rt_stage(rt, bytes - done, &at, &some, err);
        memcpy(at, (const char *)src + done, some);
        sg__rt_send(rt, (char *)dst + done, some, err);
    }
    return SG_OK;
}

enum sg_status sg__rt_host_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                                 struct sg_err *err) {
    void *p = malloc(bytes);
    if (!p) return sg_fail(err, SG_E_NOMEM, "cuda: no %zu bytes of pinned memory for %s", bytes, what);
    emu::poison(p, bytes);
    rt->pinned.push_back(p);
    *out = p;
    return SG_OK;
}
void sg__rt_host_free(struct sg__rt *rt, void *p) {
    if (!p) return;
    drain(rt);
    for (size_t i = 0; i < rt->pinned.size(); i++) {
        if (rt->pinned[i] != p) continue;
        free(p);
        rt->pinned.erase(rt->pinned.begin() + (long)i);
        return;
    }
    emu::fail("free of a pointer that is no pinned memory");
}
enum sg_status sg__rt_fetch(struct sg__rt *rt, int slot, void *dst, const void *src, size_t bytes,
                            struct sg_err *) {
    need_no_record(rt, "a fetch");
    const arrival a = {dst, std::make_shared<std::vector<char>>(bytes)};
    emu::poison(dst, bytes);
    rt->arrivals[slot].push_back(a);
    submit(rt, [=] { copy(a.bytes->data(), src, bytes); });
    rt->fetched[slot] = here(rt);
    return SG_OK;
}
enum sg_status sg__rt_fetch_wait(struct sg__rt *rt, int slot, struct sg_err *) {
    need_no_record(rt, "a wait");
    drain_to(rt, rt->fetched[slot]);
    for (const arrival &a : rt->arrivals[slot]) memcpy(a.dst, a.bytes->data(), a.bytes->size());
    rt->arrivals[slot].clear();
    return SG_OK;
}
enum sg_status sg__rt_download(struct sg__rt *rt, void *dst, const void *src, size_t bytes, struct sg_err *) {
    need_no_record(rt, "a download");
    drain_to(rt, here(rt));
    /* dst may be fresh: this call queues its copy, as submit does */
    EMU_IF_TSAN(__tsan_release(&host_order));
    run(rt, rt->current, [=] { copy(dst, src, bytes); });
    waited(rt, rt->current);
    return SG_OK;
}
enum sg_status sg__rt_copy(struct sg__rt *rt, void *dst, const void *src, size_t bytes, struct sg_err *) {
    submit(rt, [=] { copy(dst, src, bytes); });
    return SG_OK;
}
enum sg_status sg__rt_clear(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *) {
    submit(rt, [=] { clear(dst, bytes); });
    return SG_OK;
}
enum sg_status sg__rt_sync(struct sg__rt *rt, struct sg_err *) {
    need_no_record(rt, "a synchronisation");
    drain_to(rt, here(rt));
    return SG_OK;
}

enum sg_status sg__rt_gemm_plan(struct sg__rt *rt, bool, int64_t, int64_t, struct sg_err *) {
    need_no_record(rt, "a plan");
    return SG_OK;
}
enum sg_status sg__rt_gemm(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w, int64_t m,
                           int64_t n, int64_t k, struct sg_err *) {
    void *const workspace = rt->lanes[rt->current].workspace;
    submit(rt, [=] { product(workspace, y, y_f32, x, w, m, n, k); });
    return SG_OK;
}
enum sg_status sg__rt_gemm_f32(struct sg__rt *rt, float *y, int64_t y_stride, const float *x, const float *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *) {
    void *const workspace = rt->lanes[rt->current].workspace;
    submit(rt, [=] { product_f32(workspace, y, y_stride, x, w, m, n, k); });
    return SG_OK;
}
enum sg_status sg__rt_gemm_any(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err) {
    return sg__rt_gemm(rt, y, y_f32, x, w, m, n, k, err);
}

enum sg_status sg__rt_mark(struct sg__rt *rt, int event, struct sg_err *) {
    double *at = &rt->marks[(size_t)event];
    need_no_record(rt, "a mark");
    submit(rt, [=] { *at = now_ns(); });
    rt->marked[(size_t)event] = here(rt);
    return SG_OK;
}
enum sg_status sg__rt_between(struct sg__rt *rt, int first, int second, double *ns, struct sg_err *) {
    drain_to(rt, rt->marked[(size_t)second]);
    *ns = rt->marks[(size_t)second] - rt->marks[(size_t)first];
    return SG_OK;
}

enum sg_status sg__rt_record_begin(struct sg__rt *rt, struct sg_err *err) {
    if (rt->recording) return sg_fail(err, SG_E_DEVICE, "cuda: the stream records already");
    rt->recording = new sg__rt_graph();
    rt->recording->ops = std::make_shared<std::vector<operation>>();
    return SG_OK;
}
enum sg_status sg__rt_record_end(struct sg__rt *rt, struct sg__rt_graph **out, struct sg_err *err) {
    if (!rt->recording) return sg_fail(err, SG_E_DEVICE, "cuda: the stream does not record");
    if (out)
        *out = rt->recording;
    else
        delete rt->recording;
    rt->recording = nullptr;
    return SG_OK;
}
enum sg_status sg__rt_replay(struct sg__rt *rt, struct sg__rt_graph *g, struct sg_err *) {
    need_no_record(rt, "a replay");
    const std::shared_ptr<std::vector<operation>> ops = g->ops;
    submit(rt, [=] {
        for (const operation &op : *ops) op();
    });
    return SG_OK;
}
void sg__rt_graph_free(struct sg__rt_graph *g) {
    delete g;
}
}

/* Planted bugs: each must be caught by the emulation, by name, by its exit code or by a wrong value, on every
 * seed or on at least one of a few; and the correct kernels must pass with every seed, order and copy mode.
 * Protects: the emulation itself, without which no CUDA kernel is tested on a machine without a GPU. */
#include "tests/cuda/bugs.h"
#include "tests/cuda/emu/control.h"

#include "kernels/cuda/rt.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#    define WITH_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define WITH_ASAN 1
#    endif
#endif
#ifndef WITH_ASAN
#    define WITH_ASAN 0
#endif

enum { N = 4096, SEEDS = 6, WRONG_VALUE = 1 };

static struct sg__rt *open_rt(void) {
    struct sg__rt *rt = NULL;
    struct sg__rt_info info;
    struct sg_err err = {0};
    if (sg__rt_open(0, &rt, &info, &err) != SG_OK) exit(50);
    return rt;
}
static void *device(struct sg__rt *rt, const void *from, size_t bytes) {
    void *p = NULL;
    if (sg__rt_alloc(rt, bytes, "test", &p, NULL) != SG_OK) exit(51);
    if (from) sg__rt_upload(rt, p, from, bytes, NULL);
    return p;
}
static uint16_t bf16(float f) { /* exact for the small integers used here */
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)(u >> 16);
}

/* Small integers: sums are exact in any order. */
static void fill(float *x, int n) {
    for (int i = 0; i < n; i++) x[i] = (float)((i * 37 + i / 7) % 17 - 8);
}

/* Runs the kernel that `family` belongs to with fault `bug` and compares; returns an exit code. */
static int run_family(enum bug family, enum bug bug) {
    struct sg__rt *rt = open_rt();
    static float x[N], out[256], expect[256];
    int n_out = 256;
    fill(x, N);
    memset(expect, 0, sizeof expect);
    float *dx = device(rt, x, sizeof x), *dout = device(rt, NULL, sizeof out);
    void *stream = sg__rt_stream(rt);
    if (family <= BUG_SMEM_OVER_DEVICE) {
        n_out = 1;
        for (int i = 0; i < N; i++) expect[0] += x[i];
        if (sg__bug_reduce(dout, dx, N, bug, stream)) return 52;
    } else if (family <= BUG_DEADLOCK) {
        for (int i = 0; i < 256; i++) expect[i] = x[i ^ 1];
        if (sg__bug_exchange(dout, dx, 256, bug, stream)) return 52;
    } else if (family <= BUG_COPY_MISALIGNED) {
        for (int i = 0; i < N; i++) expect[i % 256] += x[i];
        if (sg__bug_stream(dout, dx, N, bug, stream)) return 52;
    } else {
        uint16_t a[256], b[128];
        n_out = 128;
        for (int i = 0; i < 256; i++) a[i] = bf16(x[i]);
        for (int i = 0; i < 128; i++) b[i] = bf16(x[300 + i]);
        for (int i = 0; i < 128; i++)
            for (int k = 0; k < 16; k++) expect[i] += x[i / 8 * 16 + k] * x[300 + i % 8 * 16 + k];
        if (sg__bug_product(dout, device(rt, a, sizeof a), device(rt, b, sizeof b), bug, stream)) return 52;
    }
    sg__rt_download(rt, out, dout, sizeof out, NULL);
    int code = 0;
    for (int i = 0; i < n_out; i++)
        if (!(fabsf(out[i] - expect[i]) < 0.5f)) code = WRONG_VALUE;
    sg__rt_close(rt);
    return code;
}
static int run(enum bug bug) {
    return run_family(bug, bug);
}

/* ---- host-side faults ---- */

/* The host changes what it had passed to a recorded launch, and expects the replay to see it. */
static int run_stale_graph(enum bug unused) {
    (void)unused;
    struct sg__rt *rt = open_rt();
    float x[256], out[256], by = 2.0f;
    struct sg__rt_graph *g = NULL;
    fill(x, 256);
    float *dx = device(rt, x, sizeof x), *dout = device(rt, NULL, sizeof out);
    sg__rt_record_begin(rt, NULL);
    sg__bug_scale(dout, dx, 256, by, sg__rt_stream(rt));
    sg__rt_record_end(rt, &g, NULL);
    by = 3.0f;
    sg__rt_replay(rt, g, NULL);
    sg__rt_download(rt, out, dout, sizeof out, NULL);
    const int code = out[1] == by * x[1] ? 0 : WRONG_VALUE;
    sg__rt_graph_free(g);
    sg__rt_close(rt);
    return code;
}
/* A recorded launch has not run before its replay, and runs once per replay. */
static int run_graph(enum bug unused) {
    (void)unused;
    struct sg__rt *rt = open_rt();
    float x[256], out[256];
    struct sg__rt_graph *g = NULL;
    fill(x, 256);
    float *d = device(rt, x, sizeof x);
    sg__rt_record_begin(rt, NULL);
    sg__bug_scale(d, d, 256, 2.0f, sg__rt_stream(rt));
    sg__rt_record_end(rt, &g, NULL);
    sg__rt_download(rt, out, d, sizeof out, NULL);
    if (out[1] != x[1]) return 2;
    for (int i = 0; i < 3; i++) sg__rt_replay(rt, g, NULL);
    sg__rt_download(rt, out, d, sizeof out, NULL);
    sg__rt_graph_free(g);
    sg__rt_close(rt);
    return out[1] == 8.0f * x[1] ? 0 : 3;
}
static int run_device_pointer_on_host(enum bug unused) {
    (void)unused;
    sg_emu_set_host_check(1);
    struct sg__rt *rt = open_rt();
    volatile float *d = device(rt, NULL, 4096);
    return d[3] > 0 ? 2 : 0;
}
static int run_unwritten_device_memory(enum bug unused) {
    (void)unused;
    struct sg__rt *rt = open_rt();
    float out[256];
    float *dx = device(rt, NULL, sizeof out), *dout = device(rt, NULL, sizeof out);
    sg__bug_scale(dout, dx, 256, 0.0f, sg__rt_stream(rt)); /* zero times anything finite is zero */
    sg__rt_download(rt, out, dout, sizeof out, NULL);
    sg__rt_close(rt);
    return out[7] == 0.0f ? 0 : WRONG_VALUE;
}
/* The host reads a result without waiting: with lazy streams the kernel has not run. */
static int run_no_wait(enum bug unused) {
    (void)unused;
    sg_emu_set_lazy(1);
    struct sg__rt *rt = open_rt();
    float x[256];
    fill(x, 256);
    float *d = device(rt, x, sizeof x);
    sg__bug_scale(d, d, 256, 2.0f, sg__rt_stream(rt));
    return d[1] == 2.0f * x[1] ? 0 : WRONG_VALUE; /* host memory here: readable, but too early */
}

/* The host reads what it fetched without waiting: the bytes are on their way. */
static int run_fetch_not_waited(enum bug unused) {
    (void)unused;
    struct sg__rt *rt = open_rt();
    float x[256];
    void *to;
    fill(x, 256);
    float *d = device(rt, x, sizeof x);
    if (sg__rt_host_alloc(rt, sizeof x, "test", &to, NULL) != SG_OK) exit(51);
    sg__rt_fetch(rt, 0, to, d, sizeof x, NULL);
    return memcmp(to, x, sizeof x) == 0 ? 0 : WRONG_VALUE;
}
/* One pinned buffer for two fetches: the first's bytes are gone when the second's are under way. */
static int run_fetch_buffer_shared(enum bug unused) {
    (void)unused;
    struct sg__rt *rt = open_rt();
    float x[256], y[256];
    void *to;
    fill(x, 256);
    for (int i = 0; i < 256; i++) y[i] = x[i] + 100;
    float *dx = device(rt, x, sizeof x), *dy = device(rt, y, sizeof y);
    if (sg__rt_host_alloc(rt, sizeof x, "test", &to, NULL) != SG_OK) exit(51);
    sg__rt_fetch(rt, 0, to, dx, sizeof x, NULL);
    sg__rt_fetch_wait(rt, 0, NULL);
    sg__rt_fetch(rt, 1, to, dy, sizeof y, NULL); /* before the host has looked at the first */
    return memcmp(to, x, sizeof x) == 0 ? 0 : WRONG_VALUE;
}
/* A pinned buffer is filled again before the copy out of it has run. */
static int run_staging_reused(enum bug unused) {
    (void)unused;
    sg_emu_set_lazy(1);
    struct sg__rt *rt = open_rt();
    float x[256], out[256];
    void *at;
    size_t got;
    fill(x, 256);
    float *d = device(rt, NULL, sizeof x);
    sg__rt_stage(rt, sizeof x, &at, &got, NULL);
    memcpy(at, x, sizeof x);
    sg__rt_send(rt, d, sizeof x, NULL);
    memset(at, 1, sizeof x);
    sg__rt_download(rt, out, d, sizeof out, NULL);
    sg__rt_close(rt);
    return memcmp(out, x, sizeof x) == 0 ? 0 : WRONG_VALUE;
}
/* A wait in the middle of a recording would not be part of it. */
static int run_wait_in_record(enum bug unused) {
    (void)unused;
    struct sg__rt *rt = open_rt();
    sg__rt_record_begin(rt, NULL);
    sg__rt_sync(rt, NULL);
    return 0;
}
/* Waiting for a fetch runs what stood before it, and nothing behind it. */
static int run_fetch(enum bug unused) {
    (void)unused;
    sg_emu_set_lazy(1);
    struct sg__rt *rt = open_rt();
    float x[256], *to;
    void *p;
    fill(x, 256);
    float *d = device(rt, x, sizeof x);
    if (sg__rt_host_alloc(rt, sizeof x, "test", &p, NULL) != SG_OK) return 2;
    to = p;
    sg__bug_scale(d, d, 256, 2.0f, sg__rt_stream(rt));
    sg__rt_fetch(rt, 0, to, d, sizeof x, NULL);
    sg__bug_scale(d, d, 256, 2.0f, sg__rt_stream(rt));
    sg__rt_fetch_wait(rt, 0, NULL);
    if (to[1] != 2.0f * x[1] || d[1] != 2.0f * x[1]) return 3;
    sg__rt_fetch(rt, 0, to, d, sizeof x, NULL);
    sg__rt_fetch_wait(rt, 0, NULL);
    if (to[1] != 4.0f * x[1]) return 4;
    sg__rt_host_free(rt, p);
    sg__rt_close(rt);
    return 0;
}

/* ---- running a fault in a process of its own ---- */

struct outcome {
    int code;
    char text[2000];
};
static struct outcome in_child(int (*what)(enum bug), enum bug bug, int seed) {
    int fd[2];
    struct outcome o = {0};
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fd[1], 2);
        close(fd[0]);
        sg_emu_set_seed((uint64_t)seed);
        _exit(what(bug));
    }
    close(fd[1]);
    size_t len = 0;
    ssize_t n;
    char rest[512];
    while ((n = read(fd[0], len + 1 < sizeof o.text ? o.text + len : rest,
                     len + 1 < sizeof o.text ? sizeof o.text - 1 - len : sizeof rest)) > 0)
        if (len + 1 < sizeof o.text) len += (size_t)n;
    close(fd[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return o;
}

enum caught { BY_NAME, BY_VALUE, BY_DEADLOCK, BY_MEMORY, BY_RACE };
struct planted {
    const char *name;
    enum bug bug;
    int (*what)(enum bug);
    enum caught how;
    const char *text; /* part of the message */
    int of_seeds;     /* how many of SEEDS must catch it at least */
};
/* With the race detector the races are what matters; it reports them whatever the order was. */
static const struct planted races[] = {
    {"missing __syncthreads", BUG_NO_SYNCTHREADS, run, BY_RACE, "data race", SEEDS},
    {"missing __syncwarp", BUG_NO_SYNCWARP, run, BY_RACE, "data race", SEEDS},
    {"no barrier before a buffer is filled again", BUG_NO_BARRIER_BEFORE_REFILL, run, BY_RACE, "data race",
     SEEDS},
};
static const struct planted planted[] = {
    {"missing __syncthreads", BUG_NO_SYNCTHREADS, run, BY_VALUE, "", SEEDS},
    {"divergent barrier", BUG_DIVERGENT_BARRIER, run, BY_NAME, "divergent __syncthreads", SEEDS},
    {"early return", BUG_EARLY_RETURN, run, BY_NAME, "return", SEEDS},
    {"bad shuffle mask", BUG_SHUFFLE_MASK, run, BY_NAME, "is not in mask 0000ffff", SEEDS},
    {"shuffle in a branch", BUG_SHUFFLE_BRANCH, run, BY_NAME, "divergent warp operation", SEEDS},
    {"unwritten shared memory", BUG_UNWRITTEN_SHARED, run, BY_VALUE, "", SEEDS},
    {"misaligned 16-byte load", BUG_MISALIGNED, run, BY_NAME, "misaligned", SEEDS},
    {"read past the end of global memory", BUG_GLOBAL_BOUNDS, run, BY_MEMORY, "", SEEDS},
    {"grid too large", BUG_GRID_OVERFLOW, run, BY_NAME, "out of range", SEEDS},
    {"block too large", BUG_BLOCK_TOO_LARGE, run, BY_NAME, "block of 2048 threads", SEEDS},
    {"shared memory not allowed", BUG_SMEM_NOT_ALLOWED, run, BY_NAME, "65536 bytes of dynamic shared", SEEDS},
    {"more shared memory than a device has", BUG_SMEM_OVER_DEVICE, run, BY_NAME, "262144 bytes", SEEDS},
    {"missing __syncwarp", BUG_NO_SYNCWARP, run, BY_VALUE, "", SEEDS},
    {"deadlock", BUG_DEADLOCK, run, BY_DEADLOCK, "no thread can run", SEEDS},
    {"no barrier before a buffer is filled again", BUG_NO_BARRIER_BEFORE_REFILL, run, BY_VALUE, "", 2},
    {"cp.async not waited for", BUG_COPY_NOT_WAITED, run, BY_VALUE, "", SEEDS},
    {"cp.async still open at return", BUG_COPY_LEFT_OPEN, run, BY_NAME, "not waited for", SEEDS},
    {"cp.async misaligned", BUG_COPY_MISALIGNED, run, BY_NAME, "misaligned", SEEDS},
    {"wrong mma layout", BUG_MMA_LAYOUT, run, BY_VALUE, "", SEEDS},
    {"mma by half a warp", BUG_MMA_HALF_WARP, run, BY_NAME, "returned", SEEDS},
    {"stale graph arguments", BUG_NONE, run_stale_graph, BY_VALUE, "", SEEDS},
    {"device pointer used on the host", BUG_NONE, run_device_pointer_on_host, BY_MEMORY, "", SEEDS},
    {"unwritten device memory", BUG_NONE, run_unwritten_device_memory, BY_VALUE, "", SEEDS},
    {"result read before the stream ran", BUG_NONE, run_no_wait, BY_VALUE, "", SEEDS},
    {"fetched bytes read before the wait", BUG_NONE, run_fetch_not_waited, BY_VALUE, "", SEEDS},
    {"one buffer for two fetches", BUG_NONE, run_fetch_buffer_shared, BY_VALUE, "", SEEDS},
    {"pinned buffer used again before its copy", BUG_NONE, run_staging_reused, BY_VALUE, "", SEEDS},
    {"wait while the stream records", BUG_NONE, run_wait_in_record, BY_NAME, "while the stream records",
     SEEDS},
#if WITH_ASAN
    {"write past the end of shared memory", BUG_SHARED_BOUNDS, run, BY_MEMORY, "bugs.cu", SEEDS},
#endif
};

static bool is_caught(const struct planted *p, const struct outcome *o) {
    if (!strstr(o->text, p->text)) return false;
    switch (p->how) {
    case BY_NAME:
        return o->code == SG_EMU_EXIT_RULE;
    case BY_VALUE:
        return o->code == WRONG_VALUE;
    case BY_DEADLOCK:
        return o->code == SG_EMU_EXIT_DEADLOCK;
    case BY_RACE:
        return o->code != 0 && o->code != WRONG_VALUE;
    case BY_MEMORY:
        break;
    }
    if (!WITH_ASAN) return o->code == SG_EMU_EXIT_SIGNAL;
    return strstr(o->text, "AddressSanitizer") || strstr(o->text, "runtime error"); /* UBSan sees it first */
}

static void test_planted(void **state) {
    const struct planted *p = *state;
    int caught = 0;
    struct outcome o = {0};
    for (int seed = 1; seed <= SEEDS; seed++) {
        o = in_child(p->what, p->bug, seed);
        caught += is_caught(p, &o);
    }
    if (caught < p->of_seeds)
        fail_msg("caught with %d of %d seeds, expected %d; the last ended with %d: %s", caught, SEEDS,
                 p->of_seeds, o.code, o.text);
}

/* Correct kernels pass whatever the order, the moment a copy lands, and whether streams are lazy. */
static int all_families(enum bug mode) {
    sg_emu_set_order((enum sg_emu_order)((int)mode % 3));
    sg_emu_set_copies((enum sg_emu_copies)((int)mode / 3 % 3));
    sg_emu_set_lazy((int)mode / 9);
    static const enum bug families[] = {BUG_NONE, BUG_DEADLOCK, BUG_COPY_MISALIGNED, BUG_MMA_LAYOUT};
    for (int i = 0; i < 4; i++)
        if (run_family(families[i], BUG_NONE)) return 10 + i;
    return 0;
}
static void test_correct(void **state) {
    (void)state;
    for (int mode = 0; mode < 18; mode++)
        for (int seed = 1; seed <= 2; seed++) {
            const struct outcome o = in_child(all_families, (enum bug)mode, seed);
            if (o.code) fail_msg("mode %d, seed %d: ended with %d: %s", mode, seed, o.code, o.text);
        }
}
static void test_graph(void **state) {
    (void)state;
    struct outcome o = in_child(run_graph, BUG_NONE, 1);
    if (o.code) fail_msg("graph: ended with %d: %s", o.code, o.text);
    o = in_child(run_fetch, BUG_NONE, 1);
    if (o.code) fail_msg("fetch: ended with %d: %s", o.code, o.text);
}

int main(void) {
#ifdef EMU_TSAN
    const struct planted *list = races;
    const size_t n = sizeof races / sizeof *races;
    (void)planted;
#else
    const struct planted *list = planted;
    const size_t n = sizeof planted / sizeof *planted;
    (void)races;
#endif
    struct CMUnitTest tests[2 + sizeof planted / sizeof *planted + sizeof races / sizeof *races] = {
        cmocka_unit_test(test_correct), cmocka_unit_test(test_graph)};
    for (size_t i = 0; i < n; i++)
        tests[i + 2] = (struct CMUnitTest){
            .name = list[i].name, .test_func = test_planted, .initial_state = (void *)(uintptr_t)&list[i]};
    return _cmocka_run_group_tests("planted bugs", tests, n + 2, NULL, NULL);
}

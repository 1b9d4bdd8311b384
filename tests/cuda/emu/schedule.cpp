/* schedule - runs a grid: blocks one after another, each thread a fiber, barriers and warp operations where
 * fibers meet. Which warp and lane goes on is drawn from a seed, and each block draws whether warps advance
 * evenly or one of them runs as far ahead as it can: a missing barrier before a buffer is filled again shows
 * only in the second. */
#include "emu_internal.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace emu {

thread host;
thread *current = &host;
thread_view *self = &host.view;
const char *kernel_name = "(host)";
int race_lane;
sg_emu_counts counts;

#ifdef EMU_TSAN
/* Blocks of a lane alternate between two sets of fibers that are unordered to the race detector; no set serves two
 * lanes, as what a fiber has run orders what it runs next. */
static thread thread_sets[2 * LANES][MAX_THREADS];
static int thread_set;
#    define block_threads thread_sets[thread_set]
static char barrier_order[2 * LANES][2], launch_order[LANES], done_order[LANES];
static void *lane_fibers[LANES], *outside;
void lane_enter(void) {
    outside = __tsan_get_current_fiber();
    if (!lane_fibers[race_lane]) lane_fibers[race_lane] = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(lane_fibers[race_lane], 1 /* orders nothing */);
}
void lane_leave(void) {
    __tsan_switch_to_fiber(outside, 1);
}
#else
static thread block_threads[MAX_THREADS];
#endif
static warp_state warps[MAX_WARPS];
static unsigned ready_warps;
static int n_threads, n_warps, n_exited, n_arrived;
static bool one_ahead;
static unsigned barrier_number;
static barrier_votes votes, votes_out[2];
static const std::function<void()> *kernel_body;

/* ---- settings, randomness, ends ---- */

static uint64_t rng = 88172645463325252ull;
uint32_t random32(void) {
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 32);
}
static unsigned below(unsigned n) {
    return (unsigned)((uint64_t)random32() * n >> 32);
}
static void seed(uint64_t s) {
    rng = s * 0x9E3779B97F4A7C15ull + 88172645463325252ull;
    if (!rng) rng = 1;
}

static bool is_set(const char *name) {
    const char *v = getenv(name);
    return v && atoi(v);
}
/* The place of an environment variable's value among three names, in the order of control.h; the last when it
 * is not set. */
static int choice(const char *name, const char *a, const char *b, const char *c) {
    const char *v = getenv(name);
    if (!v || !strcmp(v, c)) return 2;
    if (!strcmp(v, a)) return 0;
    if (!strcmp(v, b)) return 1;
    fail("%s=%s: expected %s, %s or %s", name, v, a, b,
         c); /* a typing error must not look like a passed test */
}
static settings &mutable_config(void) {
    static settings s = [] {
        settings c = {SG_EMU_RANDOM, SG_EMU_MIXED, is_set("EMU_LAZY"), is_set("EMU_HOST_CHECK"), 0, -1, 0};
        c.order = (sg_emu_order)choice("EMU_ORDER", "forward", "backward", "random");
        c.copies = (sg_emu_copies)choice("EMU_COPIES", "early", "late", "mixed");
        const char *v = getenv("EMU_SEED");
        if (v) seed(strtoull(v, nullptr, 0));
        return c;
    }();
    return s;
}
const settings &config(void) {
    return mutable_config();
}

/* No atexit handlers and no unwinding: the stack is a fiber's. */
[[noreturn]] static void leave(int code) {
    fflush(nullptr);
    _exit(code);
}

void fail(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "emulation: kernel %s", kernel_name);
    if (current != &host) {
        const thread_view &v = current->view;
        fprintf(stderr, " block (%u,%u,%u) thread (%u,%u,%u)", v.bid.x, v.bid.y, v.bid.z, v.tid.x, v.tid.y,
                v.tid.z);
    }
    fprintf(stderr, ": ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    leave(SG_EMU_EXIT_RULE);
}

/* ---- choosing who runs ---- */

static void wake(thread *t) {
    warp_state *w = t->w;
    t->st = READY;
    w->runnable[w->n_runnable++] = t;
    ready_warps |= 1u << (w - warps);
}

static int pick_warp(void) {
    const sg_emu_order order = config().order;
    if (order == SG_EMU_FORWARD) return __builtin_ctz(ready_warps);
    if (order == SG_EMU_BACKWARD) return 31 - __builtin_clz(ready_warps);
    if (one_ahead && current != &host) {
        const int mine = (int)(current->w - warps);
        if ((ready_warps >> mine & 1) && (random32() & 63)) return mine;
    }
    if ((ready_warps & (ready_warps - 1)) == 0) return __builtin_ctz(ready_warps);
    for (;;) {
        const int k = (int)below((unsigned)n_warps);
        if (ready_warps >> k & 1) return k;
    }
}

static thread *pick(void) {
    if (!ready_warps) return &host;
    const int k = pick_warp();
    warp_state *w = &warps[k];
    const sg_emu_order order = config().order;
    const int last = w->n_runnable - 1;
    const int i = order == SG_EMU_RANDOM     ? (int)below((unsigned)w->n_runnable)
                  : order == SG_EMU_BACKWARD ? last
                                             : 0;
    thread *t = w->runnable[i];
    w->n_runnable = last;
    if (order == SG_EMU_FORWARD)
        for (int j = 0; j < last; j++)
            w->runnable[j] = w->runnable[j + 1]; /* memmove is seen by a race detector */
    else
        w->runnable[i] = w->runnable[last];
    if (!last) ready_warps &= ~(1u << k);
    return t;
}

static void go_to(thread *to) {
    thread *from = current;
    if (to == from) return;
    current = to;
    self = &to->view;
    counts.switches++;
    fiber_switch(&from->fib, &to->fib);
}

/* ---- the block's barrier ---- */

static void reset_votes(void) {
    votes = {0, 1, 0};
}

static void barrier_release(void) {
    const thread *first = nullptr;
    for (int i = 0; i < n_threads; i++) {
        const thread *t = &block_threads[i];
        if (t->st == DONE) continue;
        if (!first)
            first = t;
        else if (t->barrier_file != first->barrier_file || t->barrier_line != first->barrier_line)
            fail("divergent __syncthreads: thread %d waits at %s:%d, thread %d at %s:%d", first->view.linear,
                 first->barrier_file, first->barrier_line, t->view.linear, t->barrier_file, t->barrier_line);
    }
    votes_out[barrier_number & 1] = votes;
    barrier_number++;
    n_arrived = 0;
    reset_votes();
    for (int i = 0; i < n_threads; i++)
        if (block_threads[i].st == AT_BARRIER && &block_threads[i] != current) wake(&block_threads[i]);
}

barrier_votes barrier(const char *file, int line, bool vote) {
    thread *me = current;
    const unsigned number = barrier_number;
    if (n_exited)
        fail("__syncthreads at %s:%d reached after %d threads of the block have returned", file, line,
             n_exited);
    me->barrier_file = file;
    me->barrier_line = line;
    me->st = AT_BARRIER;
    votes.any |= vote;
    votes.all &= vote;
    votes.count += vote;
    EMU_IF_TSAN(__tsan_release(&barrier_order[thread_set][number & 1]));
    if (++n_arrived == n_threads) {
        barrier_release();
        wake(me);
    }
    go_to(pick());
    EMU_IF_TSAN(__tsan_acquire(&barrier_order[thread_set][number & 1]));
    return votes_out[number & 1];
}

/* ---- warp operations ---- */

static void compare_lanes(const thread *me, const thread *t) {
    if (t->mask == me->mask && t->what == me->what && t->file == me->file && t->line == me->line) return;
    fail("divergent warp operation: lane %d is at %s mask %08x (%s:%d), lane %d at %s mask %08x (%s:%d)",
         me->view.lane, me->what, me->mask, me->file, me->line, t->view.lane, t->what, t->mask, t->file,
         t->line);
}

void warp(const char *file, int line, const char *what, unsigned mask, void *arg, warp_op op) {
    thread *me = current;
    warp_state *w = me->w;
    const unsigned bit = 1u << me->view.lane;
    if (!(mask & bit))
        fail("%s at %s:%d: calling lane %d is not in mask %08x", what, file, line, me->view.lane, mask);
    if (mask & w->exited)
        fail("%s at %s:%d: mask %08x names lanes that have returned (%08x)", what, file, line, mask,
             mask & w->exited);
    if ((mask & ~w->exist) && mask != 0xffffffffu)
        fail("%s at %s:%d: mask %08x names lanes that do not exist (%08x)", what, file, line, mask,
             mask & ~w->exist);
    me->mask = mask;
    me->what = what;
    me->file = file;
    me->line = line;
    me->arg = arg;
    me->st = AT_WARP;
    w->arrived |= bit;
    const unsigned need = mask & w->exist;
    if ((w->arrived & need) != need) {
        go_to(pick());
        me->st = READY;
        return;
    }
    void *args[32] = {nullptr};
    for (int i = 0; i < 32; i++) {
        if (!(need >> i & 1)) continue;
        compare_lanes(me, w->t[i]);
        args[i] = w->t[i]->arg;
    }
    counts.warp_ops++;
    if (op) op(args, need);
    w->arrived &= ~need;
    me->st = READY;
    for (int i = 0; i < 32; i++)
        if ((need >> i & 1) && w->t[i] != me) wake(w->t[i]);
    if (config().order == SG_EMU_RANDOM && (random32() & 3) == 0) { /* now and then another lane goes first */
        wake(me);
        go_to(pick());
    }
}

void warp_barrier(const char *file, int line, unsigned mask) {
    const unsigned number = current->warp_barriers++;
    warp_state *w = current->w;
    (void)number;
    (void)w;
    EMU_IF_TSAN(__tsan_release(&w->order[thread_set][number & 1]));
    warp(file, line, "__syncwarp", mask, nullptr, nullptr);
    EMU_IF_TSAN(__tsan_acquire(&w->order[thread_set][number & 1]));
}

/* ---- threads, blocks, grids ---- */

/* A fiber lives on: it runs one thread of every block. */
static void thread_main(void) {
    fiber_entered(&host.fib);
    for (;;) {
        thread *me = current;
        EMU_IF_TSAN(__tsan_acquire(&launch_order[race_lane]));
        (*kernel_body)();
        EMU_IF_TSAN(__tsan_release(&done_order[race_lane]));
        if (!me->copies.empty())
            fail("thread returned with %zu cp.async copies not waited for", me->copies.size());
        me->st = DONE;
        n_exited++;
        me->w->exited |= 1u << me->view.lane;
        if (n_arrived) fail("a thread returned while %d threads wait at __syncthreads", n_arrived);
        go_to(pick());
    }
}

static void deadlock(uint3 bid) {
    fprintf(stderr, "emulation: kernel %s block (%u,%u,%u): deadlock, no thread can run:\n", kernel_name,
            bid.x, bid.y, bid.z);
    int shown = 0;
    for (int i = 0; i < n_threads && shown < 8; i++) {
        const thread *t = &block_threads[i];
        if (t->st == DONE) continue;
        shown++;
        if (t->st == AT_BARRIER)
            fprintf(stderr, "  thread %d waits at __syncthreads %s:%d\n", t->view.linear, t->barrier_file,
                    t->barrier_line);
        else
            fprintf(stderr, "  thread %d waits at %s mask %08x %s:%d\n", t->view.linear, t->what, t->mask,
                    t->file, t->line);
    }
    leave(SG_EMU_EXIT_DEADLOCK);
}

/* rotation: thread 0 of two blocks is not the same fiber, or the race detector could not compare blocks */
static void place_thread(thread *t, int i, dim3 grid, dim3 block, uint3 bid) {
    const unsigned u = (unsigned)i;
    t->view.tid = {u % block.x, u / block.x % block.y, u / (block.x * block.y)};
    t->view.bid = bid;
    t->view.block = block;
    t->view.grid = grid;
    t->view.linear = i;
    t->view.lane = i & 31;
    t->w = &warps[i >> 5];
    t->w->t[i & 31] = t;
    t->w->exist |= 1u << (i & 31);
    t->copies.clear();
    t->copy_group = 0;
    t->barrier_file = nullptr;
    t->warp_barriers = 0;
    wake(t);
}

static void run_block(dim3 grid, dim3 block, uint3 bid, long long smem) {
    EMU_IF_TSAN(thread_set = 2 * race_lane + !(thread_set & 1));
    n_exited = n_arrived = 0;
    ready_warps = 0;
    one_ahead = random32() & 1;
    reset_votes();
    shared_begin(smem);
    n_warps = (n_threads + 31) / 32;
    for (int i = 0; i < n_warps; i++) {
        warps[i].exist = warps[i].arrived = warps[i].exited = 0;
        warps[i].n_runnable = 0;
    }
    const int rotation = config().order == SG_EMU_RANDOM ? (int)below((unsigned)n_threads) : 0;
    for (int i = 0; i < n_threads; i++)
        if (!block_threads[i].fib.stack) fiber_create(&block_threads[i].fib, thread_main, i);
    for (int i = 0; i < n_threads; i++)
        place_thread(&block_threads[(i + rotation) % n_threads], i, grid, block, bid);
    counts.threads += (unsigned)n_threads;
    go_to(pick());
    if (n_exited != n_threads) deadlock(bid);
    shared_end();
}

void run_grid(const char *name, dim3 grid, dim3 block, long long smem, const std::function<void()> &body) {
    kernel_body = &body;
    kernel_name = name;
    n_threads = (int)(block.x * block.y * block.z);
    counts.launches++;
#ifdef EMU_TSAN
    host.fib.tsan = __tsan_get_current_fiber();
    lane_enter();
    __tsan_release(&launch_order[race_lane]);
    lane_leave();
#endif
    const uint64_t n = (uint64_t)grid.x * grid.y * grid.z, xy = (uint64_t)grid.x * grid.y;
    const sg_emu_order order = config().order;
    const uint64_t first =
        order == SG_EMU_RANDOM && n > 1 ? random32() % n : 0; /* no block order is promised */
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t j = order == SG_EMU_BACKWARD ? n - 1 - i : (i + first) % n;
        run_block(grid, block, {(unsigned)(j % grid.x), (unsigned)(j / grid.x % grid.y), (unsigned)(j / xy)},
                  smem);
    }
#ifdef EMU_TSAN
    lane_enter();
    __tsan_acquire(&done_order[race_lane]);
    lane_leave();
#endif
    shared_launch_end();
    kernel_name = "(host)";
}

} // namespace emu

extern "C" {
void sg_emu_set_seed(uint64_t s) {
    emu::config(); /* the environment first, so that it does not undo this later */
    emu::seed(s);
}
void sg_emu_set_order(enum sg_emu_order order) {
    emu::mutable_config().order = order;
}
void sg_emu_set_copies(enum sg_emu_copies copies) {
    emu::mutable_config().copies = copies;
}
void sg_emu_set_lazy(int on) {
    emu::mutable_config().lazy = on;
}
void sg_emu_set_host_check(int on) {
    emu::mutable_config().host_check = on;
}
void sg_emu_set_lane_stop(int lane, int operations, int more) {
    emu::mutable_config().stop_lane = lane;
    emu::mutable_config().stop = operations;
    emu::mutable_config().stop_more = more;
}
struct sg_emu_counts sg_emu_read_counts(void) {
    return emu::counts;
}
}

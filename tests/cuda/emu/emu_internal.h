/* emu_internal - what the parts of the emulation share. The runtime itself is compiled without
 * TSan, which would take its bookkeeping for the kernels' own accesses. */
#ifndef SG_TESTS_CUDA_EMU_INTERNAL_H
#define SG_TESTS_CUDA_EMU_INTERNAL_H

#include "control.h"
#include "emu.h"
#include <vector>
#if !defined(__x86_64__) && !defined(EMU_UCONTEXT)
#    define EMU_UCONTEXT 1
#endif
#ifdef EMU_UCONTEXT
#    include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMU_MSAN
#    include <sanitizer/msan_interface.h>
#endif
#ifdef EMU_TSAN
extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
void __tsan_read16(void *addr);
void __tsan_write16(void *addr);
void __tsan_read_range(void *addr, unsigned long size);
void __tsan_write_range(void *addr, unsigned long size);
}
#    define EMU_IF_TSAN(x) x
#else
#    define EMU_IF_TSAN(x) ((void)0)
#endif

namespace emu {

enum { MAX_THREADS = 1024, MAX_WARPS = 32, STACK_BYTES = 256 * 1024 };

/* ---- fiber.cpp ---- */
struct fiber {
#ifdef EMU_UCONTEXT
    ucontext_t context;
#else
    void *sp;
#endif
    void *stack; /* lowest address; of the host's fiber: learned at the first switch */
    size_t stack_bytes;
    void *fake_stack; /* ASan's */
    void *tsan;
};
void fiber_create(fiber *f, void (*entry)(void), int color);
void fiber_switch(fiber *from, fiber *to);
/* First call of a new fiber's entry; `host` is the fiber it was entered from. */
void fiber_entered(fiber *host);

/* ---- schedule.cpp ---- */
enum state { READY, AT_BARRIER, AT_WARP, DONE };
struct pending_copy {
    void *dst;
    const void *src;
    int ok, group;
    bool landed;
};
struct warp_state;
struct thread {
    thread_view view;
    fiber fib;
    state st;
    warp_state *w;
    unsigned mask; /* of the warp operation it waits at */
    const char *what, *file;
    int line;
    void *arg;
    const char *barrier_file;
    int barrier_line;
    unsigned warp_barriers;
    std::vector<pending_copy> copies;
    int copy_group;
};
struct warp_state {
    thread *t[32], *runnable[32];
    int n_runnable;
    unsigned exist, arrived, exited;
    char order[4][2]; /* addresses for the race detector */
};
extern thread *current; /* &host outside kernels */
extern thread host;
extern const char *kernel_name;

/* The lane that the running operation belongs to: the race detector takes lanes for threads of their own. */
enum { LANES = 2 };
extern int race_lane;
#ifdef EMU_TSAN
/* Between these the race detector takes what is done for the lane's own. Nothing that is compiled for it may run
 * there: the stack is the host's. */
void lane_enter(void);
void lane_leave(void);
#endif
void run_grid(const char *name, dim3 grid, dim3 block, long long smem, const std::function<void()> &body);
uint32_t random32(void);

struct settings {
    sg_emu_order order;
    sg_emu_copies copies;
    bool lazy, host_check;
    int stop_lane, stop, stop_more; /* as sg_emu_set_lane_stop has it */
};
const settings &config(void); /* reads the environment at the first call */
extern sg_emu_counts counts;

/* ---- warp_ops.cpp ---- */
/* Set by banks.cpp: told of a lane's 16 bytes of shared memory by ldmatrix or cp.async, at the place `where` */
extern void (*on_shared)(const void *p, bool copy, bool reads_global, const void *where);

/* ---- shared.cpp ---- */
void shared_begin(long long dynamic_bytes);
void shared_end(void);
void shared_launch_end(void);
bool in_shared(const void *p, size_t bytes);
void poison(void *p, size_t bytes); /* 0xff: NaN as float and bf16, -1 as int */

} // namespace emu
#endif

/* control - what tests can set about the emulation, and how it ends a process. Plain C.
 *
 * The same settings come from the environment: EMU_SEED (number), EMU_ORDER (random, forward, backward),
 * EMU_COPIES (mixed, early, late: when a cp.async lands), EMU_LAZY=1 (streams run at the next
 * synchronisation, not at the call), EMU_HOST_CHECK=1 (device memory is unreadable to host code). By the
 * environment alone: EMU_DEVICES (1) devices "emu-0", "emu-1", ... of EMU_MEMORY_MIB (16384) each, of which
 * CUDA_VISIBLE_DEVICES hides some as for a real driver. */
#ifndef SG_TESTS_CUDA_CONTROL_H
#define SG_TESTS_CUDA_CONTROL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exit codes of a process whose kernel did what a GPU leaves undefined. */
enum {
    SG_EMU_EXIT_DEADLOCK = 97, /* no thread of the block can run */
    SG_EMU_EXIT_SIGNAL = 98,   /* memory that is not there: a guard page, a device pointer on the host */
    SG_EMU_EXIT_RULE = 99,     /* a rule of CUDA broken, told by name */
};
enum sg_emu_order { SG_EMU_FORWARD, SG_EMU_BACKWARD, SG_EMU_RANDOM };
enum sg_emu_copies { SG_EMU_EARLY, SG_EMU_LATE, SG_EMU_MIXED };

void sg_emu_set_seed(uint64_t seed);
void sg_emu_set_order(enum sg_emu_order order);
void sg_emu_set_copies(enum sg_emu_copies copies);
void sg_emu_set_lazy(int on);
void sg_emu_set_host_check(int on);
/* Of two lanes: behind a fork `lane` runs `operations` of its own, then the other all that it may, then the first the
 * rest; behind each later fork `more` than behind the one before. So whatever the other must not see or write in between
 * shows by some number, without luck. operations < 0: the order is drawn from the seed, as at first. */
void sg_emu_set_lane_stop(int lane, int operations, int more);

struct sg_emu_counts {
    unsigned long long switches, warp_ops, threads, launches;
};
struct sg_emu_counts sg_emu_read_counts(void);

#ifdef __cplusplus
}
#endif
#endif

/* fiber - switching between the threads of a block: a hand-written switch of the callee-saved registers on
 * x86-64 (15 ns), ucontext elsewhere or with EMU_UCONTEXT, both told to the sanitizers. */
#include "emu_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

namespace emu {

enum { GUARD = 4096 };

#ifndef EMU_UCONTEXT
extern "C" void sg__emu_swap(void **save, void *next);
asm(".text\n"
    ".p2align 4\n"
    ".globl sg__emu_swap\n"
    ".type sg__emu_swap,@function\n"
    "sg__emu_swap:\n"
    "pushq %rbp\n"
    "pushq %rbx\n"
    "pushq %r12\n"
    "pushq %r13\n"
    "pushq %r14\n"
    "pushq %r15\n"
    "movq %rsp,(%rdi)\n"
    "movq %rsi,%rsp\n"
    "popq %r15\n"
    "popq %r14\n"
    "popq %r13\n"
    "popq %r12\n"
    "popq %rbx\n"
    "popq %rbp\n"
    "ret\n"
    ".size sg__emu_swap,.-sg__emu_swap\n");
#endif

/* color: neighbours' stacks begin at different offsets, or they would all share the same sets of the cache */
void fiber_create(fiber *f, void (*entry)(void), int color) {
    void *m = mmap(nullptr, STACK_BYTES + GUARD, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) {
        perror("emulation: stack");
        abort();
    }
    mprotect(m, GUARD, PROT_NONE);
    f->stack = (char *)m + GUARD;
    f->stack_bytes = STACK_BYTES;
    EMU_IF_TSAN(f->tsan = __tsan_create_fiber(0));
#ifdef EMU_UCONTEXT
    (void)color;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = nullptr;
    makecontext(&f->context, entry, 0);
#else
    void **sp = (void **)((char *)f->stack + STACK_BYTES - (size_t)(color * 37 % 61 * 64));
    *--sp = nullptr;
    *--sp = (void *)entry; /* popped by ret with the stack as the ABI wants it at a function's entry */
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    f->sp = sp;
#endif
}

void fiber_entered(fiber *from) {
    (void)from;
#ifdef __SANITIZE_ADDRESS__
    const void *old;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &old, &size);
    if (!from->stack) {
        from->stack = (void *)old;
        from->stack_bytes = size;
    }
#endif
}

void fiber_switch(fiber *from, fiber *to) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
    EMU_IF_TSAN(__tsan_switch_to_fiber(to->tsan, 1 /* orders nothing */));
#ifdef EMU_UCONTEXT
    swapcontext(&from->context, &to->context);
#else
    sg__emu_swap(&from->sp, to->sp);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

} // namespace emu

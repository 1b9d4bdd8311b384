/* thread - starts a helper thread beside the one that computes. */
#ifndef SG_BASE_THREAD_H
#define SG_BASE_THREAD_H

#include "base/status.h"
#include <pthread.h>

/* Starts fn(arg). The thread blocks signals from outside: the main thread gets them, whose waits they
 * interrupt. Signals of its own crash (SIGSEGV and the like) are not blocked. `what` names it in the error,
 * SG_E_NOMEM. The caller joins it. */
enum sg_status sg_thread_start(pthread_t *out, void *(*fn)(void *), void *arg, const char *what,
                               struct sg_err *err);

/* A condition whose timed waits go by CLOCK_MONOTONIC. */
void sg_cond_init(pthread_cond_t *c);

#endif

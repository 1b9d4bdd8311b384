/* thread - a helper thread that lives beside the one that computes. */
#ifndef SG_BASE_THREAD_H
#define SG_BASE_THREAD_H

#include "base/status.h"
#include <pthread.h>

/* Starts fn(arg). The thread takes no signals from outside: those are for the thread that asks whether the
 * program was told to stop, and they cut its waits short; a crash of its own still is one. `what` names it in
 * the error, SG_E_NOMEM. The caller joins it. */
enum sg_status sg_thread_start(pthread_t *out, void *(*fn)(void *), void *arg, const char *what,
                               struct sg_err *err);

/* A condition whose timed waits go by CLOCK_MONOTONIC. */
void sg_cond_init(pthread_cond_t *c);

#endif

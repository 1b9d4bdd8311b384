#include "base/thread.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum sg_status sg_thread_start(pthread_t *out, void *(*fn)(void *), void *arg, const char *what,
                               struct sg_err *err) {
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t quiet, before;
    sigfillset(&quiet);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) sigdelset(&quiet, crashes[i]);
    pthread_sigmask(SIG_SETMASK, &quiet, &before);
    const int e = pthread_create(out, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e ? sg_fail(err, SG_E_NOMEM, "cannot start a thread for %s: %s", what, strerror(e)) : SG_OK;
}

void sg_cond_init(pthread_cond_t *c) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

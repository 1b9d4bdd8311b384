/* clock - monotonic time. Nothing that goes into results may depend on it. */
#ifndef SG_RUN_CLOCK_H
#define SG_RUN_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t sg__now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline double sg__seconds(int64_t ns) {
    return (double)ns * 1e-9;
}

#endif

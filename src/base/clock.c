#include "base/clock.h"

#include <time.h>

int64_t sg_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sg_clock_utc(char out[SG_CLOCK_UTC]) {
    const time_t now = time(NULL);
    struct tm t;
    *out = 0;
    if (gmtime_r(&now, &t)) (void)strftime(out, SG_CLOCK_UTC, "%Y-%m-%dT%H:%M:%SZ", &t);
}

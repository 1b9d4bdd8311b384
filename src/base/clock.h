/* clock - monotonic time and the time of day. Nothing that goes into results may depend on either. */
#ifndef SG_CLOCK_H
#define SG_CLOCK_H

#include <stdint.h>

enum { SG_CLOCK_UTC = 32 }; /* bytes for sg_clock_utc's text */

/* Nanoseconds since an unspecified start (CLOCK_MONOTONIC): use only differences within one boot. */
int64_t sg_clock_ns(void);
static inline double sg_clock_seconds(int64_t ns) {
    return 1e-9 * (double)ns;
}
/* Seconds since `then`, an earlier value of sg_clock_ns. */
static inline double sg_clock_since(int64_t then) {
    return sg_clock_seconds(sg_clock_ns() - then);
}
/* The time of day, UTC, as "2026-01-31T23:59:59Z" (ISO 8601); its first 10 characters are the date. */
void sg_clock_utc(char out[SG_CLOCK_UTC]);

#endif

/* minmax - the smaller and the larger of two integers. */
#ifndef SG_MINMAX_H
#define SG_MINMAX_H

#include <stdint.h>

static inline int32_t sg_min32(int32_t a, int32_t b) {
    return a < b ? a : b;
}
static inline int32_t sg_max32(int32_t a, int32_t b) {
    return a > b ? a : b;
}
static inline int64_t sg_min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t sg_max64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

#endif

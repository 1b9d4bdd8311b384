/* skip - for tests that need a CUDA device, emulated or real. */
#ifndef SG_TESTS_CUDA_SKIP_H
#define SG_TESTS_CUDA_SKIP_H

#include "kernels/kernels.h"
#include <stdio.h>

/* Says SKIP where there is none; main then returns 77. */
static inline bool no_cuda(void) {
    const struct sg_dev_options cuda = {.backend = "cuda"};
    struct sg_dev *dev = NULL;
    struct sg_err why = {0};
    const bool none = sg_dev_open(&cuda, &dev, &why) == SG_E_DEVICE;
    if (none) printf("SKIP: %s\n", why.text);
    sg_dev_close(dev);
    return none;
}

#endif

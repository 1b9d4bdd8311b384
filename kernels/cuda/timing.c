/* timing - how long operators take on the device, without stopping it: see struct sg__cuda_times. */
#include "kernels/cuda/backend_cuda.h"

enum sg_status sg__cuda_read_times(struct cuda_dev *d, int64_t until, struct sg_err *err) {
    struct sg__cuda_times *t = d->times;
    for (; t->read < until; t->read++) {
        const int at = (int)(t->read % SG__TIMED);
        double ns;
        const enum sg_status st = sg__rt_between(d->rt, 2 * at, 2 * at + 1, &ns, err);
        if (st != SG_OK) return st;
        t->ns[t->stage[at]] += (int64_t)ns;
    }
    return SG_OK;
}

/* The marks hold two steps of a model of a hundred layers; a caller that never waits for anything is made to
 * wait for the older half of them. */
enum sg_status sg__cuda_begin(struct cuda_dev *d, enum sg_stage stage, struct sg_err *err) {
    struct sg__cuda_times *t = d->times;
    if (d->base.recording) return SG_OK;
    if (t->made - t->read == SG__TIMED) {
        const enum sg_status st = sg__cuda_read_times(d, t->read + SG__TIMED / 2, err);
        if (st != SG_OK) return st;
    }
    const int at = (int)(t->made % SG__TIMED);
    t->stage[at] = stage;
    return sg__rt_mark(d->rt, 2 * at, err);
}

enum sg_status sg__cuda_end(struct cuda_dev *d, struct sg_err *err) {
    if (d->base.recording) return SG_OK;
    return sg__rt_mark(d->rt, 2 * (int)(d->times->made++ % SG__TIMED) + 1, err);
}

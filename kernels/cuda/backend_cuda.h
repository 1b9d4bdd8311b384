/* backend_cuda - the cuda backend's device and what its sources share: times of operators, weights. Private
 * to kernels/cuda. */
#ifndef SG_KERNELS_CUDA_BACKEND_CUDA_H
#define SG_KERNELS_CUDA_BACKEND_CUDA_H

#include "kernels/backend.h"
#include "kernels/cuda/nvml.h"
#include "kernels/cuda/rt.h"

/* Times of operators: a mark in the stream before and after each, read when the stream is known to have
 * passed them. Operators are counted from 0; number i has marks 2 (i % SG__TIMED) and the next. */
enum { SG__TIMED = SG_RT_EVENTS / 2 };
struct sg__cuda_times {
    enum sg_stage stage[SG__TIMED];
    int64_t read, made;              /* operators whose times are in ns; operators marked */
    int64_t fetched[SG_FETCH_SLOTS]; /* `made` at the last fetch of a slot */
    int64_t ns[SG_STAGE_COUNT];
};
struct cuda_dev {
    struct sg_dev base;
    struct sg__rt *rt;
    struct sg__cuda_times *times;
    struct sg__nvml *nvml; /* NULL: cannot be told */
    bool emulated;
    /* Scratch of the last reserve, one allocation, a part for each lane: partial holds the splits of decode
     * attention; weights that are kept narrower than they are multiplied are expanded in `expanded` in front of
     * their product. */
    void *scratch;
    struct sg__cuda_lane {
        void *expanded;
        float *partial;
        size_t partial_bytes, expanded_bytes;
    } lanes[SG_DEV_LANES], *lane; /* lane: the current one */
    bool f32;                     /* activations, KV pool and products in float32 */
    int32_t max_splits;           /* of one row's context: the widest `partial` that rows can need */
};
struct cuda_weight {
    struct sg_weight base;
    void *data;   /* bf16 [rows][cols]; with SG_USE_FP8 e4m3 [rows][cols], and behind them on 16 bytes: */
    float *scale; /* [rows], or NULL */
    bool f32; /* data is float32: of a checkpoint that is not bf16, on a device that computes in float32 */
};

/* Whether weights of type t are kept in float32. */
static inline bool sg__cuda_keeps_f32(const struct cuda_dev *d, enum sg_dtype t, unsigned use) {
    return d->f32 && t != SG_BF16 && !(use & SG_USE_FP8);
}

static inline struct cuda_dev *cuda_of(struct sg_dev *dev) {
    return (struct cuda_dev *)dev;
}
static inline const struct cuda_dev *cuda_seen(const struct sg_dev *dev) {
    return (const struct cuda_dev *)dev;
}

/* ---- timing.c ---- */
/* Around one operator; nothing while operators are recorded: a replay is timed as a whole. */
enum sg_status sg__cuda_begin(struct cuda_dev *d, enum sg_stage stage, struct sg_err *err);
enum sg_status sg__cuda_end(struct cuda_dev *d, struct sg_err *err);
/* Reads the times of operators [read, until); waits for them where the stream has not passed them yet. */
enum sg_status sg__cuda_read_times(struct cuda_dev *d, int64_t until, struct sg_err *err);

/* ---- weights.c ---- */
size_t sg__cuda_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                                 unsigned use);
enum sg_status sg__cuda_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                   struct sg_weight **out, struct sg_err *err);
enum sg_status sg__cuda_weight_random(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                      struct sg_weight **out, struct sg_err *err);
void sg__cuda_weight_free(struct sg_dev *dev, struct sg_weight *w);

#endif

/* Weights: from row-major checkpoints into panels (see cpu.h), and single rows back out for embeddings. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/internal.h"
#include "kernels/fp8.h"

#include <string.h>

static bool wants_panels(unsigned use) {
    return use & SG_USE_LINEAR;
}

size_t sg__cpu_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                                unsigned use) {
    (void)dev;
    const int64_t held = wants_panels(use) ? sg__panels(rows) * SG__PANEL : rows;
    return (size_t)held * (size_t)cols * sg_dtype_bytes(t);
}

/* Where column c of a panel lies among the 32 elements of one k. */
static int32_t lane_of(int32_t c, enum sg_dtype t) {
    if (t != SG_BF16) return c;
    return c < 16 ? 2 * c : 2 * (c - 16) + 1; /* little-endian words: the low half comes first */
}

/* Row `row` of W, 0 <= row < rows: in its part, or made in the thread's own room. */
static const char *row_at(const struct sg__pack_job *j, int64_t row, int thread) {
    const struct sg_weight_spec *spec = j->spec;
    if (j->made) {
        uint16_t *to = j->made + thread * spec->cols;
        sg__random_weights(to, j->key, row * spec->cols, spec->cols);
        return (const char *)to;
    }
    int part = 0;
    while (row >= spec->parts[part].rows) row -= spec->parts[part++].rows;
    return (const char *)spec->parts[part].data +
           (size_t)row * (size_t)spec->cols * sg_dtype_bytes(spec->dtype);
}

/* Task: one panel. */
static void pack_panel(void *ctx, int64_t task, int thread) {
    const struct sg__pack_job *j = ctx;
    const struct sg_weight_spec *spec = j->spec;
    const size_t size = sg_dtype_bytes(spec->held);
    char *to = (char *)j->w->data + (size_t)task * SG__PANEL * (size_t)spec->cols * size;
    for (int32_t c = 0; c < SG__PANEL; c++) {
        const int64_t row = task * SG__PANEL + c;
        if (row >= spec->rows) break; /* the pad: the memory came zeroed */
        const char *from = row_at(j, row, thread);
        char *lane = to + (size_t)lane_of(c, spec->held) * size;
        if (spec->use & SG_USE_FP8)
            sg__fp8_round_row((uint16_t *)(void *)lane, SG__PANEL, from, spec->cols, spec->dtype);
        else if (size == 2)
            for (int64_t k = 0; k < spec->cols; k++) memcpy(lane + k * SG__PANEL * 2, from + k * 2, 2);
        else
            for (int64_t k = 0; k < spec->cols; k++) memcpy(lane + k * SG__PANEL * 4, from + k * 4, 4);
    }
}

/* Room for a weight. */
static enum sg_status take_weight(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                  struct sg__cpu_weight **out, struct sg_err *err) {
    struct sg__cpu_weight *w;
    const size_t head = (sizeof *w + 63) / 64 * 64;
    const size_t bytes = sg__cpu_weight_bytes_for(dev, spec->rows, spec->cols, spec->held, spec->use);
    const enum sg_status st =
        sg__host_alloc(&((struct sg__cpu_dev *)dev)->mem, head + bytes, "weight", (void **)&w, err);
    if (st != SG_OK) return st;
    w->data = (char *)w + head;
    w->panels = wants_panels(spec->use);
    w->base.bytes = bytes;
    *out = w;
    return SG_OK;
}

enum sg_status sg__cpu_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                  struct sg_weight **out, struct sg_err *err) {
    struct sg__cpu_weight *w;
    const enum sg_status st = take_weight(dev, spec, &w, err);
    if (st != SG_OK) return st;
    if (w->panels) {
        struct sg__pack_job job = {.spec = spec, .w = w};
        sg__pool_run(((struct sg__cpu_dev *)dev)->pool, sg__panels(spec->rows), pack_panel, &job);
    } else {
        char *at = w->data;
        for (int i = 0; i < spec->n_parts; i++) {
            const size_t part =
                (size_t)spec->parts[i].rows * (size_t)spec->cols * sg_dtype_bytes(spec->dtype);
            memcpy(at, spec->parts[i].data, part);
            at += part;
        }
    }
    *out = &w->base;
    return SG_OK;
}

/* Task: one row of a weight without panels. */
static void make_row(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__pack_job *j = ctx;
    const int64_t cols = j->spec->cols;
    sg__random_weights((uint16_t *)j->w->data + task * cols, j->key, task * cols, cols);
}

enum sg_status sg__cpu_weight_random(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                     struct sg_weight **out, struct sg_err *err) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__pack_job job = {.spec = spec, .key = key};
    const size_t made = (size_t)d->base.info.threads * (size_t)spec->cols * sizeof *job.made;
    enum sg_status st;
    SG_TRY(take_weight(dev, spec, &job.w, err));
    if (job.w->panels) {
        SG_TRY(sg__host_alloc(&d->mem, made, "random rows", (void **)&job.made, err));
        sg__pool_run(d->pool, sg__panels(spec->rows), pack_panel, &job);
    } else {
        sg__pool_run(d->pool, spec->rows, make_row, &job);
    }
    *out = &job.w->base;
    job.w = NULL;
out:
    sg__host_free(&d->mem, job.made);
    sg__host_free(&d->mem, job.w);
    return st;
}

void sg__cpu_weight_free(struct sg_dev *dev, struct sg_weight *w) {
    sg__host_free(&((struct sg__cpu_dev *)dev)->mem, w);
}

void sg__cpu_weight_row(const struct sg__cpu_weight *w, int32_t row, float *out) {
    const int64_t cols = w->base.cols;
    const enum sg_dtype t = w->base.dtype;
    if (!w->panels) {
        for (int64_t k = 0; k < cols; k++) out[k] = sg_dtype_to_f32(w->data, row * cols + k, t);
        return;
    }
    const int64_t first = row / SG__PANEL * SG__PANEL * cols + lane_of(row % SG__PANEL, t);
    for (int64_t k = 0; k < cols; k++) out[k] = sg_dtype_to_f32(w->data, first + k * SG__PANEL, t);
}

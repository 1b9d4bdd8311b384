/* Weights: from row-major checkpoints into panels (see cpu.h), and single rows back out for embeddings. */
#include "kernels/bf16.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/internal.h"
#include "kernels/fp8.h"

#include <string.h>

static bool wants_panels(unsigned use) {
    return use & SG_USE_LINEAR;
}
static bool in_pairs(const struct sg_dev *dev) {
    return dev->info.products == SG_BF16;
}

size_t sg__cpu_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                                unsigned use) {
    const int64_t held = wants_panels(use) ? sg__panels(rows) * SG__PANEL : rows;
    const int64_t wide = wants_panels(use) && in_pairs(dev) ? (cols + 1) / 2 * 2 : cols;
    return (size_t)held * (size_t)wide * sg_dtype_bytes(t);
}

/* Where column c of a panel lies among the 32 elements of one k. */
static int32_t lane_of(int32_t c, enum sg_dtype t) {
    if (t != SG_BF16) return c;
    return c < 16 ? 2 * c : 2 * (c - 16) + 1; /* little-endian words: the low half comes first */
}

/* Where column c at k lies in a panel of pairs: little-endian words, the lower k in the high half. */
static int64_t pair_at(int32_t c, int64_t k) {
    return 2 * (k / 2 * SG__PANEL + c) + 1 - k % 2;
}

/* Row `row` of W, 0 <= row < rows: in its part, or made in the thread's own room. */
static const char *row_at(const struct sg__pack_job *j, int64_t row, int thread) {
    const struct sg_weight_spec *spec = j->spec;
    if (j->made) {
        uint16_t *to = j->row + thread * spec->cols;
        sg__random_weights(to, j->key, row * spec->cols, spec->cols);
        return (const char *)to;
    }
    int part = 0;
    while (row >= spec->parts[part].rows) row -= spec->parts[part++].rows;
    return (const char *)spec->parts[part].data +
           (size_t)row * (size_t)spec->cols * sg_dtype_bytes(spec->dtype);
}

/* Task: one panel of bf16 in pairs. */
static void pack_pairs(void *ctx, int64_t task, int thread) {
    const struct sg__pack_job *j = ctx;
    const struct sg_weight_spec *spec = j->spec;
    const int64_t cols = spec->cols;
    uint16_t *row = j->row + thread * cols;
    uint16_t *to = (uint16_t *)j->w->data + task * SG__PANEL * ((cols + 1) / 2 * 2);
    for (int32_t c = 0; c < SG__PANEL && task * SG__PANEL + c < spec->rows; c++) {
        const char *from = row_at(j, task * SG__PANEL + c, thread);
        if (spec->use & SG_USE_FP8) {
            sg__fp8_round_row(row, 1, from, cols, spec->dtype);
            sg__bf16_from(row, row, cols, SG_BF16);
        } else {
            sg__bf16_from(row, from, cols, spec->dtype);
        }
        for (int64_t k = 0; k < cols; k++) to[pair_at(c, k)] = row[k];
    }
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

/* All panels. Rows that are made or rounded take room: one row for each thread. */
static enum sg_status pack(struct sg_dev *dev, struct sg__pack_job *job, struct sg_err *err) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    const size_t bytes = (size_t)dev->info.threads * (size_t)job->spec->cols * sizeof *job->row;
    enum sg_status st = SG_OK;
    if (job->made || in_pairs(dev))
        st = sg__host_alloc(&d->mem, bytes, "rows of a weight", (void **)&job->row, err);
    if (st != SG_OK) return st;
    sg__pool_run(d->pool, sg__panels(job->spec->rows), in_pairs(dev) ? pack_pairs : pack_panel, job);
    sg__host_free(&d->mem, job->row);
    return SG_OK;
}

enum sg_status sg__cpu_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                  struct sg_weight **out, struct sg_err *err) {
    struct sg__pack_job job = {.spec = spec};
    enum sg_status st;
    SG_TRY(take_weight(dev, spec, &job.w, err));
    if (job.w->panels) {
        SG_TRY(pack(dev, &job, err));
    } else {
        char *at = job.w->data;
        for (int i = 0; i < spec->n_parts; i++) {
            const int64_t n = spec->parts[i].rows * spec->cols;
            if (in_pairs(dev))
                sg__bf16_from((uint16_t *)(void *)at, spec->parts[i].data, n, spec->dtype);
            else
                memcpy(at, spec->parts[i].data, (size_t)n * sg_dtype_bytes(spec->dtype));
            at += (size_t)n * sg_dtype_bytes(spec->held);
        }
    }
    *out = &job.w->base;
    job.w = NULL;
out:
    sg__cpu_weight_free(dev, job.w ? &job.w->base : NULL);
    return st;
}

/* Task: one row of a weight without panels. */
static void make_row(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__pack_job *j = ctx;
    const int64_t cols = j->spec->cols;
    uint16_t *to = (uint16_t *)j->w->data + task * cols;
    sg__random_weights(to, j->key, task * cols, cols);
}

enum sg_status sg__cpu_weight_random(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                     struct sg_weight **out, struct sg_err *err) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__pack_job job = {.spec = spec, .made = true, .key = key};
    enum sg_status st;
    SG_TRY(take_weight(dev, spec, &job.w, err));
    if (job.w->panels) {
        SG_TRY(pack(dev, &job, err));
    } else {
        sg__pool_run(d->pool, spec->rows, make_row, &job);
    }
    *out = &job.w->base;
    job.w = NULL;
out:
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
    if (in_pairs(w->base.dev)) {
        const uint16_t *panel =
            (const uint16_t *)w->data + row / SG__PANEL * SG__PANEL * ((cols + 1) / 2 * 2);
        for (int64_t k = 0; k < cols; k++)
            out[k] = sg_dtype_to_f32(panel, pair_at(row % SG__PANEL, k), SG_BF16);
        return;
    }
    const int64_t first = row / SG__PANEL * SG__PANEL * cols + lane_of(row % SG__PANEL, t);
    for (int64_t k = 0; k < cols; k++) out[k] = sg_dtype_to_f32(w->data, first + k * SG__PANEL, t);
}

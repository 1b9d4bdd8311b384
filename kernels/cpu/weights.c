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

/* Task: one panel. */
static void pack_panel(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__pack_job *j = ctx;
    const struct sg_weight_spec *spec = j->spec;
    const size_t row_bytes = (size_t)spec->cols * sg_dtype_bytes(spec->dtype);
    const size_t size = sg_dtype_bytes(spec->held);
    char *to = (char *)j->w->data + (size_t)task * SG__PANEL * (size_t)spec->cols * size;
    int64_t part_begin = 0;
    int part = 0;
    for (int32_t c = 0; c < SG__PANEL; c++) {
        const int64_t row = task * SG__PANEL + c;
        if (row >= spec->rows) break; /* the pad: the memory came zeroed */
        while (row >= part_begin + spec->parts[part].rows) part_begin += spec->parts[part++].rows;
        const char *from = (const char *)spec->parts[part].data + (size_t)(row - part_begin) * row_bytes;
        char *lane = to + (size_t)lane_of(c, spec->held) * size;
        if (spec->use & SG_USE_FP8)
            sg__fp8_round_row((uint16_t *)(void *)lane, SG__PANEL, from, spec->cols, spec->dtype);
        else if (size == 2)
            for (int64_t k = 0; k < spec->cols; k++) memcpy(lane + k * SG__PANEL * 2, from + k * 2, 2);
        else
            for (int64_t k = 0; k < spec->cols; k++) memcpy(lane + k * SG__PANEL * 4, from + k * 4, 4);
    }
}

enum sg_status sg__cpu_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                  struct sg_weight **out, struct sg_err *err) {
    struct sg__cpu_dev *d = (struct sg__cpu_dev *)dev;
    struct sg__cpu_weight *w;
    const size_t head = (sizeof *w + 63) / 64 * 64;
    const size_t bytes = sg__cpu_weight_bytes_for(dev, spec->rows, spec->cols, spec->held, spec->use);
    const enum sg_status st = sg__host_alloc(&d->mem, head + bytes, "weight", (void **)&w, err);
    if (st != SG_OK) return st;
    w->data = (char *)w + head;
    w->panels = wants_panels(spec->use);
    w->base.bytes = bytes;
    if (w->panels) {
        struct sg__pack_job job = {spec, w};
        sg__pool_run(d->pool, sg__panels(spec->rows), pack_panel, &job);
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

void sg__cpu_weight_free(struct sg_dev *dev, struct sg_weight *w) {
    sg__host_free(&((struct sg__cpu_dev *)dev)->mem, w);
}

void sg__cpu_weight_row(const struct sg__cpu_weight *w, int32_t row, float *out) {
    const int64_t cols = w->base.cols;
    const enum sg_dtype t = w->base.dtype;
    if (!w->panels) {
        for (int64_t k = 0; k < cols; k++) out[k] = sg__dtype_to_f32(w->data, row * cols + k, t);
        return;
    }
    const int64_t first = row / SG__PANEL * SG__PANEL * cols + lane_of(row % SG__PANEL, t);
    for (int64_t k = 0; k < cols; k++) out[k] = sg__dtype_to_f32(w->data, first + k * SG__PANEL, t);
}

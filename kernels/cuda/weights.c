/* weights - from a mapped file onto the device, through pinned memory: bf16 as it is, float16 and float32
 * rounded to bf16, the type of the products, or where that is float32, kept as such (bf16 stays bf16,
 * widen.cu expands it); or all of them to e4m3, which dequant.cu expands. The processor fills one pinned
 * buffer, converting on the way, while the other is copied; nothing waits for the end of a weight (rt.h,
 * sg__rt_stage), and model/qwen3.c has the pages of the next weight read ahead meanwhile. Random weights are
 * made on the device (random.cu). */
#include "kernels/cuda/backend_cuda.h"
#include "kernels/cuda/launch.h"

#include "base/mem.h"
#include "kernels/fp8.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint16_t to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static float half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 0x3ffu;
    uint32_t u;
    float f;
    if (exponent == 31) {
        u = sign | 0x7f800000u | fraction << 13;
    } else if (exponent) {
        u = sign | (exponent + 112) << 23 | fraction << 13;
    } else {
        f = (float)fraction * (1.0f / 16777216.0f); /* subnormal: fraction 2^-24 */
        memcpy(&u, &f, sizeof u);
        u |= sign;
    }
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Element i of float32 or float16 data at any alignment. */
static float element(const char *from, size_t i, enum sg_dtype t) {
    float f;
    uint16_t h;
    if (t == SG_F32) {
        memcpy(&f, from + 4 * i, sizeof f);
        return f;
    }
    memcpy(&h, from + 2 * i, sizeof h);
    return half_to_float(h);
}
/* n elements of type t at any alignment, as bf16, or as float32. */
static void convert(void *to, bool f32, const char *from, size_t n, enum sg_dtype t) {
    if (t == SG_BF16 || (f32 && t == SG_F32)) {
        memcpy(to, from, sg_dtype_bytes(t) * n);
    } else if (f32) {
        for (size_t i = 0; i < n; i++) ((float *)to)[i] = element(from, i, t);
    } else {
        for (size_t i = 0; i < n; i++) ((uint16_t *)to)[i] = to_bf16(element(from, i, t));
    }
}

/* The codes, padded so that the scales behind them are aligned. */
static size_t codes_bytes(int64_t rows, int64_t cols) {
    return ((size_t)rows * (size_t)cols + 15) / 16 * 16;
}

size_t sg__cuda_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                                 unsigned use) {
    if (use & SG_USE_FP8) return codes_bytes(rows, cols) + (size_t)rows * sizeof(float);
    return (size_t)rows * (size_t)cols * (sg__cuda_keeps_f32(cuda_seen(dev), t, use) ? 4 : 2);
}

void sg__cuda_weight_free(struct sg_dev *dev, struct sg_weight *w) {
    sg__rt_free(cuda_of(dev)->rt, ((struct cuda_weight *)w)->data);
    free(w);
}

/* n elements from `from` to the device's `to`. */
static enum sg_status send_part(struct sg__rt *rt, char *to, bool f32, const char *from, size_t n,
                                enum sg_dtype t, struct sg_err *err) {
    const size_t width = sg_dtype_bytes(t), held = f32 ? 4 : 2;
    enum sg_status st = SG_OK;
    for (size_t done = 0; done < n;) {
        void *room;
        size_t bytes;
        SG_TRY(sg__rt_stage(rt, held * (n - done), &room, &bytes, err));
        const size_t some = bytes / held; /* room comes in whole cache lines: never half an element */
        convert(room, f32, from + done * width, some, t);
        SG_TRY(sg__rt_send(rt, to + held * done, held * some, err));
        done += some;
    }
out:
    return st;
}

/* The rows of a part as codes to the device's `to`, and their scales to the host's. */
static enum sg_status send_codes(struct sg__rt *rt, char *to, float *scale, const struct sg_weight_part *part,
                                 int64_t cols, struct sg_err *err) {
    const size_t width = sg_dtype_bytes(part->dtype);
    const int64_t n = part->rows * cols;
    enum sg_status st = SG_OK;
    int k = 0; /* of the row that `done` is in: a room may end within one */
    for (int64_t done = 0; done < n;) {
        void *room;
        size_t bytes;
        SG_TRY(sg__rt_stage(rt, (size_t)(n - done), &room, &bytes, err));
        for (int64_t at = 0, some; at < (int64_t)bytes; at += some) {
            const int64_t row = (done + at) / cols, col = (done + at) % cols;
            const char *from = (const char *)part->data + (size_t)(done + at) * width;
            if (col == 0) {
                k = sg__fp8_exponent(from, cols, part->dtype);
                scale[row] = ldexpf(1, k);
            }
            some = cols - col < (int64_t)bytes - at ? cols - col : (int64_t)bytes - at;
            sg__fp8_encode((uint8_t *)room + at, from, some, part->dtype, k);
        }
        SG_TRY(sg__rt_send(rt, to + done, bytes, err));
        done += (int64_t)bytes;
    }
out:
    return st;
}

static enum sg_status send_fp8(struct cuda_dev *d, struct cuda_weight *w, const struct sg_weight_spec *spec,
                               struct sg_err *err) {
    enum sg_status st;
    char *to = w->data;
    float *scale = NULL;
    int64_t row = 0;
    SG_TRY(SG_NEW(&scale, spec->rows, "scales of a weight", err));
    for (int i = 0; i < spec->n_parts; i++) {
        SG_TRY(send_codes(d->rt, to + row * spec->cols, scale + row, &spec->parts[i], spec->cols, err));
        row += spec->parts[i].rows;
    }
    SG_TRY(sg__rt_upload(d->rt, w->scale, scale, (size_t)spec->rows * sizeof *scale, err));
out:
    free(scale);
    return st;
}

/* Room for a weight. */
static enum sg_status take_weight(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                  struct cuda_weight **out, struct sg_err *err) {
    enum sg_status st;
    struct cuda_weight *w = NULL;
    SG_TRY(SG_NEW(&w, 1, "weight", err));
    w->base.bytes = sg__cuda_weight_bytes_for(dev, spec->rows, spec->cols, spec->dtype, spec->use);
    SG_TRY(sg__rt_alloc(cuda_of(dev)->rt, w->base.bytes, "weight", &w->data, err));
    w->f32 = sg__cuda_keeps_f32(cuda_of(dev), spec->dtype, spec->use);
    if (spec->use & SG_USE_FP8)
        w->scale = (float *)(void *)((char *)w->data + codes_bytes(spec->rows, spec->cols));
    *out = w;
    w = NULL;
out:
    free(w);
    return st;
}

enum sg_status sg__cuda_weight_new(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                   struct sg_weight **out, struct sg_err *err) {
    enum sg_status st;
    struct cuda_dev *d = cuda_of(dev);
    struct cuda_weight *w = NULL;
    SG_TRY(take_weight(dev, spec, &w, err));
    char *to = w->data;
    if (w->scale) SG_TRY(send_fp8(d, w, spec, err));
    for (int i = 0; i < spec->n_parts && !w->scale; i++) {
        const size_t n = (size_t)spec->parts[i].rows * (size_t)spec->cols;
        SG_TRY(send_part(d->rt, to, w->f32, spec->parts[i].data, n, spec->dtype, err));
        to += n * (w->f32 ? 4 : 2);
    }
    *out = &w->base;
    return SG_OK;
out:
    if (w) sg__cuda_weight_free(dev, &w->base);
    return st;
}

enum sg_status sg__cuda_weight_random(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                      struct sg_weight **out, struct sg_err *err) {
    struct sg__rt *rt = cuda_of(dev)->rt;
    struct cuda_weight *w;
    const enum sg_status st = take_weight(dev, spec, &w, err);
    if (st != SG_OK) return st;
    const int code =
        sg__launch_random(w->data, w->scale, spec->rows, (int32_t)spec->cols, key, sg__rt_stream(rt));
    if (code) {
        sg__cuda_weight_free(dev, &w->base);
        return sg_fail(err, SG_E_DEVICE, "cuda: random weights: %s", sg__rt_error(code));
    }
    *out = &w->base;
    return SG_OK;
}

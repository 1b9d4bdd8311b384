/* y = W x. Tiles of R rows times panels of 32 columns live in registers over the whole of k; see cpu.h for
 * the order of sums and the layout of panels. */
#include "kernels/cpu/isa.h"

/* A unit is SG_LANES words of a panel: columns c.. and c + 16.. of it, two vectors. */
enum { UNITS = 16 / SG_LANES };

/* The two vectors of unit `sub` at one k; `at` is where the panel's 32 values for this k begin. */
SG_INLINE struct sg_pair load_weights(const char *at, int sub, const enum sg_dtype t) {
    if (t == SG_BF16) return vn_bf16_pair(at + sub * SG_LANES * 4);
    const char *a = at + (size_t)sub * SG_LANES * (t == SG_F32 ? 4 : 2);
    if (t == SG_F16) return (struct sg_pair){vn_f16(a), vn_f16(a + 32)};
    return (struct sg_pair){vn_load((const float *)(const void *)a),
                            vn_load((const float *)(const void *)(a + 64))};
}

/* R rows times U consecutive units from unit `first` on; x [cols][R]. Constants R, U, t: the loops over them
 * vanish and acc stays in registers. */
SG_INLINE void product(const int R, const int U, const enum sg_dtype t, const struct sg__cpu_weight *w,
                       int64_t first, const float *x, float *y) {
    const int64_t cols = w->base.cols, rows = w->base.rows;
    const size_t step = SG__PANEL * (t == SG_F32 ? 4u : 2u); /* bytes of one k of a panel */
    const char *at[8];
    struct vn acc[16][8][2];
    SG_UNROLL
    for (int u = 0; u < U; u++) at[u] = (const char *)w->data + (size_t)((first + u) / UNITS * cols) * step;
    SG_UNROLL
    for (int r = 0; r < R; r++) {
        SG_UNROLL
        for (int u = 0; u < U; u++) acc[r][u][0] = acc[r][u][1] = vn_set1(0);
    }
    for (int64_t k = 0; k < cols; k++) {
        struct sg_pair wk[8];
        SG_UNROLL
        for (int u = 0; u < U; u++)
            wk[u] = load_weights(at[u] + (size_t)k * step, (int)((first + u) % UNITS), t);
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            const struct vn xk = vn_set1(x[k * R + r]);
            SG_UNROLL
            for (int u = 0; u < U; u++) {
                acc[r][u][0] = vn_fma(xk, wk[u].a, acc[r][u][0]);
                acc[r][u][1] = vn_fma(xk, wk[u].b, acc[r][u][1]);
            }
        }
    }
    SG_UNROLL
    for (int u = 0; u < U; u++) {
        const int64_t c0 = (first + u) / UNITS * SG__PANEL + (first + u) % UNITS * SG_LANES, c1 = c0 + 16;
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            if (c0 < rows) vn_store_upto(y + r * rows + c0, acc[r][u][0], rows - c0);
            if (c1 < rows) vn_store_upto(y + r * rows + c1, acc[r][u][1], rows - c1);
        }
    }
}

/* Units [u0, u1) for R rows, U at a time while they last. */
SG_INLINE void sweep(const int R, const int U, const enum sg_dtype t, const struct sg__cpu_weight *w,
                     int64_t u0, int64_t u1, const float *x, float *y) {
    for (; u0 + U <= u1; u0 += U) product(R, U, t, w, u0, x, y);
    for (; u0 < u1; u0++) product(R, 1, t, w, u0, x, y);
}

/* Low tiles take several units at once: a lone chain would wait for each of its own additions. */
SG_INLINE void sweep_rows(int32_t height, const enum sg_dtype t, const struct sg__cpu_weight *w, int64_t u0,
                          int64_t u1, const float *x, float *y) {
    switch (height) {
#define SG_CASE(R, U)                                                                                        \
    case R:                                                                                                  \
        sweep(R, U, t, w, u0, u1, x, y);                                                                     \
        break;
        SG_PRODUCT_SHAPES(SG_CASE)
#undef SG_CASE
    }
}

static void sweep_bf16(int32_t height, const struct sg__cpu_weight *w, int64_t u0, int64_t u1, const float *x,
                       float *y) {
    sweep_rows(height, SG_BF16, w, u0, u1, x, y);
}
static void sweep_f16(int32_t height, const struct sg__cpu_weight *w, int64_t u0, int64_t u1, const float *x,
                      float *y) {
    sweep_rows(height, SG_F16, w, u0, u1, x, y);
}
static void sweep_f32(int32_t height, const struct sg__cpu_weight *w, int64_t u0, int64_t u1, const float *x,
                      float *y) {
    sweep_rows(height, SG_F32, w, u0, u1, x, y);
}

/* Task: one tile of rows from row-major to [cols][height]. */
void SG_ISA_NAME(linear_pack)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__linear_job *j = ctx;
    const int64_t cols = j->w->base.cols;
    const int32_t begin = sg__tile_begin(j->tiling, (int32_t)task),
                  end = sg__tile_begin(j->tiling, (int32_t)task + 1);
    const int32_t height = end - begin;
    const float *row[16] = {0};
    for (int32_t r = 0; r < height; r++) row[r] = j->x + (begin + r) * cols;
    f32_pack(row, height, cols, 1, j->x_pack + begin * cols);
}

/* Task: a group of panels times a run of row tiles. The group's panels stay in the second-level cache while
 * the tiles pass by. */
void SG_ISA_NAME(linear)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__linear_job *j = ctx;
    const int64_t cols = j->w->base.cols, rows = j->w->base.rows;
    const struct sg__linear_part c = sg__linear_part(j, task);
    for (int32_t t = c.t0; t < c.t1; t++) {
        const int32_t begin = sg__tile_begin(j->tiling, t), height = sg__tile_begin(j->tiling, t + 1) - begin;
        const float *x = j->packed + begin * cols;
        float *y = j->y + begin * rows;
        switch (j->w->base.dtype) {
        case SG_BF16:
            sweep_bf16(height, j->w, c.p0 * UNITS, c.p1 * UNITS, x, y);
            break;
        case SG_F16:
            sweep_f16(height, j->w, c.p0 * UNITS, c.p1 * UNITS, x, y);
            break;
        default:
            sweep_f32(height, j->w, c.p0 * UNITS, c.p1 * UNITS, x, y);
            break;
        }
    }
}

/* y = W x in bf16: both rounded to bf16, sums in float32, two products of a chain at a time (vn_dot2). Tiles
 * as in isa_linear.c. */
#include "kernels/cpu/isa.h"

/* A unit is SG_LANES columns of a panel, half of what isa_linear.c calls so. */
enum { UNITS = SG__PANEL / SG_LANES };

/* R rows times U consecutive units from unit `first` on; x [pairs][R]; fetches what comes `ahead` bytes later. */
SG_INLINE void product(const int R, const int U, const struct sg__cpu_weight *w, int64_t first,
                       const struct sg_x2 *x, size_t ahead, float *y) {
    const int64_t pairs = (w->base.cols + 1) / 2, rows = w->base.rows;
    const char *at[8];
    struct vn acc[16][8];
    SG_UNROLL
    for (int u = 0; u < U; u++)
        at[u] = (const char *)w->data + (size_t)((first + u) / UNITS * pairs) * (SG__PANEL * 4) +
                (size_t)((first + u) % UNITS) * (SG_LANES * 4);
    SG_UNROLL
    for (int r = 0; r < R; r++) {
        SG_UNROLL
        for (int u = 0; u < U; u++) acc[r][u] = vn_set1(0);
    }
    for (int64_t k = 0; k < pairs; k++) {
        struct vw wk[8];
        __builtin_prefetch(at[0] + ahead + (size_t)k * (SG__PANEL * 2), 0, 2);
        SG_UNROLL
        for (int u = 0; u < U; u++) wk[u] = vw_load(at[u] + (size_t)k * (SG__PANEL * 4));
        SG_UNROLL
        for (int r = 0; r < R; r++) {
            const struct sg_x2 xk = x[k * R + r];
            SG_UNROLL
            for (int u = 0; u < U; u++) acc[r][u] = vn_dot2(acc[r][u], xk, wk[u]);
        }
    }
    SG_UNROLL
    for (int u = 0; u < U; u++) {
        const int64_t c = (first + u) / UNITS * SG__PANEL + (first + u) % UNITS * SG_LANES;
        SG_UNROLL
        for (int r = 0; r < R; r++)
            if (c < rows) vn_store_upto(y + r * rows + c, acc[r][u], rows - c);
    }
}

/* Units [u0, u1) for R rows, U at a time while they last. */
SG_INLINE void sweep(const int R, const int U, const struct sg__cpu_weight *w, int64_t u0, int64_t u1,
                     const struct sg_x2 *x, size_t ahead, float *y) {
    for (; u0 + U <= u1; u0 += U) product(R, U, w, u0, x, ahead, y);
    for (; u0 < u1; u0++) product(R, 1, w, u0, x, ahead, y);
}

SG_OWN void sweep_rows(int32_t height, const struct sg__cpu_weight *w, int64_t u0, int64_t u1,
                       const struct sg_x2 *x, size_t ahead, float *y) {
    switch (height) {
#define SG_CASE(R, U)                                                                                        \
    case R:                                                                                                  \
        sweep(R, U * 2, w, u0, u1, x, ahead, y);                                                             \
        break;
        SG_PRODUCT_SHAPES(SG_CASE)
#undef SG_CASE
    }
}

/* Task: a part of the columns of one tile of rows, from row-major to [pairs][height], rounded; behind an odd last column
 * comes 0. */
void SG_ISA_NAME(pack_bf16)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__linear_job *j = ctx;
    const int64_t cols = j->w->base.cols, whole = cols / 2, lines = whole / 16;
    const int32_t tile = (int32_t)(task / j->pack_parts), part = (int32_t)(task % j->pack_parts);
    const int32_t begin = sg__tile_begin(j->tiling, tile),
                  height = sg__tile_begin(j->tiling, tile + 1) - begin;
    const bool last = part + 1 == j->pack_parts;
    const int64_t p0 = lines * part / j->pack_parts * 16,
                  p1 = last ? whole : lines * (part + 1) / j->pack_parts * 16;
    struct sg_x2 *to = (struct sg_x2 *)j->x_pack + begin * ((cols + 1) / 2);
    const float *row[16] = {0};
    for (int32_t r = 0; r < height; r++) row[r] = j->x + (begin + r) * cols + 2 * p0;
    x2_pack(row, height, p1 - p0, to + p0 * height);
    if (last && cols % 2)
        for (int32_t r = 0; r < height; r++) to[whole * height + r] = x2_make(row[r][cols - 1 - 2 * p0], 0);
}

/* Task: as SG_ISA_NAME(linear). */
void SG_ISA_NAME(linear_bf16)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__linear_job *j = ctx;
    const int64_t pairs = (j->w->base.cols + 1) / 2, rows = j->w->base.rows, panels = sg__panels(rows);
    const struct sg__linear_part c = sg__linear_part(j, task);
    const unsigned mode = flush_begin();
    for (int32_t t = c.t0; t < c.t1; t++) {
        const int32_t begin = sg__tile_begin(j->tiling, t), height = sg__tile_begin(j->tiling, t + 1) - begin;
        const size_t ahead = sg__fetch_ahead(j, t - c.t0, c.p0, panels, (size_t)pairs * (SG__PANEL * 4));
        sweep_rows(height, j->w, c.p0 * UNITS, c.p1 * UNITS, (const struct sg_x2 *)j->x_pack + begin * pairs,
                   ahead, j->y + begin * rows);
    }
    flush_end(mode);
}

/* ---- the products alone ------------------------------------------------------------------------- */

SG_OWN void dot2_all(const uint32_t *x, const uint32_t *w, const float *c, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i += SG_LANES) {
        const uint32_t hi = x[i / 16] & 0xFFFF0000u, lo = x[i / 16] << 16;
        float f[2];
        memcpy(f, &hi, sizeof hi);
        memcpy(f + 1, &lo, sizeof lo);
        vn_store(out + i, vn_dot2(vn_load(c + i), x2_make(f[0], f[1]), vw_load(w + i)));
    }
}

void SG_ISA_NAME(dot2)(const uint32_t *x, const uint32_t *w, const float *c, int64_t n, float *out) {
    const unsigned mode = flush_begin();
    dot2_all(x, w, c, n, out);
    flush_end(mode);
}

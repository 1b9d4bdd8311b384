/* How attention is cut into tiles: plain integers, the same for every instruction set. */
#include "kernels/cpu/cpu.h"

static int64_t tiles_of(int32_t rows, int32_t ratio) {
    const int32_t per = SG__TILE / ratio;
    return (rows + per - 1) / per;
}

int64_t sg__count_tiles(const int32_t *row_begin, int32_t n_groups, int32_t kv_heads, int32_t ratio) {
    int64_t n = 0;
    for (int32_t g = 0; g < n_groups; g++) n += kv_heads * tiles_of(row_begin[g + 1] - row_begin[g], ratio);
    return n;
}

struct sg__tile sg__find_tile(const int32_t *row_begin, int32_t n_groups, int32_t kv_heads, int32_t ratio,
                              int64_t i) {
    struct sg__tile t = {0};
    const int32_t per = SG__TILE / ratio;
    for (int32_t g = 0; g < n_groups; g++) {
        const int64_t runs = tiles_of(row_begin[g + 1] - row_begin[g], ratio);
        if (i >= runs * kv_heads) {
            i -= runs * kv_heads;
            continue;
        }
        t.group = g;
        t.kv_head = (int32_t)(i / runs);
        t.row = row_begin[g] + (int32_t)(i % runs) * per;
        t.rows = row_begin[g + 1] - t.row < per ? row_begin[g + 1] - t.row : per;
        break;
    }
    return t;
}

size_t sg__partial_floats(int32_t dim_pad) {
    return (size_t)SG__TILE * (2 + (size_t)dim_pad);
}

struct sg__partial sg__partial_at(float *p) {
    return (struct sg__partial){p, p + SG__TILE, p + 2 * SG__TILE};
}

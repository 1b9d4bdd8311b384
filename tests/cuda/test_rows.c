/* The claim that all results stand on: a row of a product has the same bits in every batch. For the five products
 * of Qwen3-4B, through the device interface: rows in tiles of 64 are the reference; batches of up to 4,096 rows,
 * with partial last tiles, from the first row and from the second (every row at another place in its tile), must
 * give their very bits. What lies behind the last row of a batch is NaN here, and must reach nobody.
 *
 * On a GPU (SG_ON_GPU) at the real shapes: this is cuBLASLt's behaviour, and that of the algorithms which
 * kernels/cuda/plans.c chose at load. Emulated, the shapes are a 64th: tails, padding and offsets alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rt.h"
#include "tests/cuda/skip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SG_ON_GPU
enum { BY = 1, MAX_ROWS = 4096, MAX_LOGITS = 512 };
static const int32_t batches[] = {1, 63, 64, 65, 128, 190, 192, 511, 512, 1024, 1816, 1856, 4095, 4096};
#else
enum { BY = 64, MAX_ROWS = 192, MAX_LOGITS = 128 };
static const int32_t batches[] = {1, 63, 64, 65, 127, 128, 190, 192};
#endif
enum { TILE = 64 };

static const struct product {
    const char *name;
    int64_t rows, cols;
    bool logits;
} products[] = {{"q,k,v", 6144, 2560, false},
                {"o", 2560, 4096, false},
                {"gate,up", 19456, 2560, false},
                {"down", 2560, 9728, false},
                {"head", 151936, 2560, true}};

#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct sg_err err = {0};                                                                             \
        if ((call) != SG_OK) fail_msg("%s", err.text);                                                       \
    } while (0)

static void *memory(size_t bytes) {
    void *p = malloc(bytes);
    if (!p) fail_msg("no %zu bytes", bytes);
    return p;
}

static struct sg_dev *open_device(void) {
    struct sg_dev *dev = NULL;
    const struct sg_dev_options opt = {.backend = "cuda", .precision = SG_PRECISION_BF16};
    const struct sg_limits lim = {.max_rows = MAX_ROWS + TILE,
                                  .max_decode_rows = 1,
                                  .max_logit_rows = MAX_LOGITS,
                                  .max_draws = 1,
                                  .max_context = 16,
                                  .q_heads = BY > 1 ? 8 : 32,
                                  .kv_heads = BY > 1 ? 2 : 8,
                                  .head_dim = BY > 1 ? 8 : 128,
                                  .hidden = 2560 / BY,
                                  .intermediate = 9728 / BY,
                                  .vocab = 151936 / BY};
    OK(sg_dev_open(&opt, &dev, &err));
    OK(sg_dev_reserve(dev, &lim, &err));
    return dev;
}

struct test {
    struct sg_dev *dev;
    const struct product *p;
    struct sg_weight *w;
    int64_t rows, cols;
    size_t width; /* bytes of an element of y */
    int32_t n;    /* rows of x */
    char *x, *y;  /* device */
    char *reference, *got;
};

/* y of rows [first, first + m) of x, into `to`. */
static void multiply(const struct test *t, int32_t first, int32_t m, char *to) {
    const char *x = t->x + (size_t)first * (size_t)t->cols * 2;
    if (t->p->logits)
        OK(sg_op_logits(t->dev, t->w, x, m, (float *)(void *)t->y, &err));
    else
        OK(sg_op_linear(t->dev, t->w, x, m, t->y, &err));
    OK(sg_dev_download(t->dev, to, t->y, (size_t)m * (size_t)t->rows * t->width, &err));
}

/* Rows of random bf16 of either sign between 1/4 and 4, and a tile of NaN behind them. */
static void put_x(const struct test *t) {
    const size_t n = (size_t)t->n * (size_t)t->cols, all = n + (size_t)(TILE * t->cols);
    uint16_t *x = memory(all * sizeof *x);
    for (size_t i = 0; i < all; i++) {
        const uint64_t r = sg_random64(7, i);
        x[i] = i < n ? (uint16_t)((r & 0x807f) | (125 + (r >> 16) % 4) << 7) : 0x7fff;
    }
    OK(sg_dev_upload(t->dev, t->x, x, all * sizeof *x, &err));
    free(x);
}

static void check(struct sg_dev *dev, const struct product *p) {
    struct test t = {.dev = dev, .p = p, .rows = p->rows / BY, .cols = p->cols / BY};
    t.n = p->logits ? MAX_LOGITS : MAX_ROWS;
    t.width = p->logits ? 4 : 2;
    const size_t row = (size_t)t.rows * t.width, y_bytes = (size_t)t.n * row;
    int32_t compared = 0;
    OK(sg_weight_random(dev, t.rows, t.cols, SG_USE_LINEAR, 11, &t.w, &err));
    OK(sg_dev_alloc(dev, (size_t)(t.n + TILE) * (size_t)t.cols * 2, "x", (void **)&t.x, &err));
    OK(sg_dev_alloc(dev, y_bytes, "y", (void **)&t.y, &err));
    t.reference = memory(y_bytes), t.got = memory(y_bytes);
    put_x(&t);
    for (int32_t first = 0; first < t.n; first += TILE)
        multiply(&t, first, TILE, t.reference + (size_t)first * row);
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
        for (int32_t first = 0; first < 2; first++) {
            const int32_t m = batches[b];
            if (first + m > t.n) continue;
            multiply(&t, first, m, t.got);
            compared += m;
            for (int32_t r = 0; r < m; r++)
                if (memcmp(t.got + (size_t)r * row, t.reference + (size_t)(first + r) * row, row))
                    fail_msg("%s: row %d has other bits as row %d of %d than in its tile of %d", p->name,
                             first + r, r, m, TILE);
        }
    printf("%s [%lld][%lld]: %d rows in batches of 1 to %d have the bits of their tiles\n", p->name,
           (long long)t.rows, (long long)t.cols, compared, t.n);
    free(t.reference), free(t.got);
    sg_dev_free(dev, t.x), sg_dev_free(dev, t.y);
    sg_weight_free(dev, t.w);
}

static void same_bits_in_every_batch(void **state) {
    (void)state;
    struct sg_dev *dev = open_device();
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) check(dev, &products[i]);
    sg_dev_close(dev);
}

/* What the algorithms of products are verified by: every difference is counted, and none where there is none. */
static void counts_differences(void **state) {
    (void)state;
    enum { ROWS = 150, HALVES = 300, STRIDE = 304 };
    struct sg__rt *rt = NULL;
    struct sg__rt_info info;
    static uint16_t ref[TILE * STRIDE], y[ROWS * STRIDE];
    void *d_ref, *d_y, *d_n;
    OK(sg__rt_open(0, &rt, &info, &err));
    for (int i = 0; i < TILE * STRIDE; i++) ref[i] = (uint16_t)sg_random64(3, (uint64_t)i);
    for (int i = 0; i < ROWS * STRIDE; i++) y[i] = i % STRIDE < HALVES ? ref[i % (TILE * STRIDE)] : 1;
    OK(sg__rt_alloc(rt, sizeof ref, "ref", &d_ref, &err));
    OK(sg__rt_alloc(rt, sizeof y, "y", &d_y, &err));
    OK(sg__rt_alloc(rt, 4, "count", &d_n, &err));
    OK(sg__rt_upload(rt, d_ref, ref, sizeof ref, &err));
    static const int at[] = {0, HALVES - 1, 77 * STRIDE + 5,
                             (ROWS - 1) * STRIDE + HALVES - 1}; /* of y, spoilt */
    for (uint32_t changed = 0; changed <= 4; changed++) {
        uint32_t n = 99;
        if (changed) y[at[changed - 1]] ^= 0x8000;
        OK(sg__rt_upload(rt, d_y, y, sizeof y, &err));
        OK(sg__rt_clear(rt, d_n, 4, &err));
        assert_int_equal(sg__launch_differ(d_n, d_y, d_ref, ROWS, HALVES, STRIDE, TILE, sg__rt_stream(rt)),
                         0);
        OK(sg__rt_download(rt, &n, d_n, 4, &err));
        assert_int_equal(n, changed);
    }
    sg__rt_close(rt);
}

int main(void) {
    if (no_cuda()) return 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_differences),
                                       cmocka_unit_test(same_bits_in_every_batch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

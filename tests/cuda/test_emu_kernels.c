/* What tests/kernels cannot see of kernels/cuda: that every wrapped operation does what the PTX manual says
 * (the same test holds the emulation and a GPU to it; SG_GOLDEN names a file that the results are written
 * to), launch geometry, sampling from the row against sampling from the list, and narrow against wide rows.
 */
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rt.h"
#include "kernels/fp8.h"
#include "tests/cuda/conformance.h"

#include "base/rng.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sg__rt *rt;
static void *stream;
static FILE *golden;

static int open_device(void **state) {
    (void)state;
    struct sg__rt_info info;
    struct sg_err err = {0};
    if (sg__rt_open(0, &rt, &info, &err) != SG_OK) {
        fprintf(stderr, "SKIP: %s\n", err.text);
        exit(77);
    }
    stream = sg__rt_stream(rt);
    if (getenv("SG_GOLDEN")) golden = fopen(getenv("SG_GOLDEN"), "w");
    if (golden) fprintf(golden, "# %s\n", info.name);
    return 0;
}
static int close_device(void **state) {
    (void)state;
    if (golden) fclose(golden);
    sg__rt_close(rt);
    return 0;
}
static void *device(const void *from, size_t bytes) {
    void *p = NULL;
    assert_int_equal(sg__rt_alloc(rt, bytes, "test", &p, NULL), SG_OK);
    if (from) assert_int_equal(sg__rt_upload(rt, p, from, bytes, NULL), SG_OK);
    return p;
}
static void host(void *to, const void *from, size_t bytes) {
    assert_int_equal(sg__rt_download(rt, to, from, bytes, NULL), SG_OK);
}
static void keep(const char *name, const void *words, size_t n) {
    if (!golden) return;
    fprintf(golden, "%s", name);
    for (size_t i = 0; i < n; i++) fprintf(golden, " %08x", ((const uint32_t *)words)[i]);
    fprintf(golden, "\n");
}
static uint32_t noise(uint64_t stream_of, int i) {
    return (uint32_t)sg_random64(stream_of, (uint64_t)i);
}
static uint16_t bf16(float f) { /* exact values only */
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)(u >> 16);
}

/* ---- wrapped operations ---- */

static void test_mma(void **state) {
    (void)state;
    float a[16][16], b[16][8], c[32][4], out[32][4], d[16][8];
    uint32_t fa[32][4], fb[32][2];
    for (int i = 0; i < 256; i++) a[i / 16][i % 16] = (float)(noise(1, i) % 15) - 7;
    for (int i = 0; i < 128; i++) b[i / 8][i % 8] = (float)(noise(2, i) % 15) - 7;
    for (int l = 0; l < 32; l++) {
        const int g = l / 4, t = 2 * (l % 4);
        for (int i = 0; i < 4; i++) {
            const int r = g + 8 * (i % 2), k = t + 8 * (i / 2);
            fa[l][i] = bf16(a[r][k]) | (uint32_t)bf16(a[r][k + 1]) << 16;
            c[l][i] = (float)(noise(3, l * 4 + i) % 100);
            d[g + 8 * (i / 2)][t + i % 2] = c[l][i];
        }
        for (int i = 0; i < 2; i++)
            fb[l][i] = bf16(b[t + 8 * i][g]) | (uint32_t)bf16(b[t + 8 * i + 1][g]) << 16;
    }
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++)
            for (int k = 0; k < 16; k++) d[m][n] += a[m][k] * b[k][n];
    float *dout = device(NULL, sizeof out);
    assert_int_equal(
        sg__conf_mma(dout, device(fa, sizeof fa), device(fb, sizeof fb), device(c, sizeof c), stream), 0);
    host(out, dout, sizeof out);
    keep("mma", out, 128);
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++) assert_true(out[l][i] == d[l / 4 + 8 * (i / 2)][2 * (l % 4) + i % 2]);
}

static void test_ldmatrix(void **state) {
    (void)state;
    uint16_t rows[32][8];
    uint32_t out[2][32][4];
    for (int i = 0; i < 256; i++) rows[i / 8][i % 8] = (uint16_t)noise(4, i);
    uint32_t *dout = device(NULL, sizeof out);
    assert_int_equal(sg__conf_ldmatrix(dout, device(rows, sizeof rows), stream), 0);
    host(out, dout, sizeof out);
    keep("ldmatrix", out, 256);
    for (int l = 0; l < 32; l++)
        for (int m = 0; m < 4; m++) {
            const int g = l / 4, t = 2 * (l % 4);
            assert_int_equal(out[0][l][m], rows[8 * m + g][t] | (uint32_t)rows[8 * m + g][t + 1] << 16);
            assert_int_equal(out[1][l][m], rows[8 * m + t][g] | (uint32_t)rows[8 * m + t + 1][g] << 16);
        }
}

static void test_copy(void **state) {
    (void)state;
    uint32_t in[64], out[64];
    for (int i = 0; i < 64; i++) in[i] = noise(5, i) | 1;
    uint32_t *dout = device(NULL, sizeof out);
    assert_int_equal(sg__conf_copy(dout, device(in, sizeof in), stream), 0);
    host(out, dout, sizeof out);
    keep("cp.async", out, 64);
    for (int i = 0; i < 64; i++) assert_int_equal(out[i], i / 4 % 2 ? 0 : in[i]);
}

static void test_warp(void **state) {
    (void)state;
    uint32_t in[32], out[5][32], ballot = 0, sum = 0;
    for (int i = 0; i < 32; i++) {
        in[i] = noise(6, i);
        ballot |= (in[i] & 1) << i;
        sum += in[i] & 255;
    }
    uint32_t *dout = device(NULL, sizeof out);
    assert_int_equal(sg__conf_warp(dout, device(in, sizeof in), stream), 0);
    host(out, dout, sizeof out);
    keep("warp", out, 160);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(out[0][i], in[i ^ 5]);
        assert_int_equal(out[1][i], in[i < 3 ? i : i - 3]);
        assert_int_equal(out[2][i], ballot);
        assert_int_equal(out[3][i], sum);
        assert_int_equal(out[4][i], __builtin_popcount(in[i]));
    }
}

/* To nearest, ties to even, overflow to infinity, subnormals kept, NaN stays NaN. */
static void test_round(void **state) {
    (void)state;
    static const struct {
        uint32_t in, out;
    } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82},
                 {0xbf807fff, 0xbf80}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
                 {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x00018000, 0x0002}, {0x00008000, 0x0000},
                 {0x00008001, 0x0001}, {0x7fc00000, 0x7fff}, {0xffffffff, 0x7fff}, {0x7f800001, 0x7fff}};
    enum { N = sizeof cases / sizeof *cases };
    uint32_t in[N], out[N];
    for (int i = 0; i < N; i++) in[i] = cases[i].in;
    uint32_t *dout = device(NULL, sizeof out);
    assert_int_equal(sg__conf_round(dout, device(in, sizeof in), N, stream), 0);
    host(out, dout, sizeof out);
    keep("round", out, N);
    for (int i = 0; i < N; i++) assert_int_equal(out[i], cases[i].out);
    assert_int_equal(sg__conf_pack(dout, device(in, sizeof in), N, stream), 0);
    host(out, dout, sizeof out);
    keep("pack", out, N);
    for (int i = 0; i < N; i++) assert_int_equal(out[i], cases[i].out | cases[N - 1 - i].out << 16);
}

/* A NaN on either side gives the canonical one; 0 is larger than -0. */
static void test_max(void **state) {
    (void)state;
    static const uint32_t in[] = {0xff800000, 0xc0400000, 0x80000001, 0x80000000, 0x00000000, 0x00000001,
                                  0x3f800000, 0x7f800000, 0x7fc00000, 0xffc00001}; /* ascending, two NaN */
    enum { N = sizeof in / sizeof *in, NUMBERS = N - 2 };
    uint32_t out[N][N];
    float *dout = device(NULL, sizeof out);
    assert_int_equal(sg__conf_max(dout, device(in, sizeof in), N, stream), 0);
    host(out, dout, sizeof out);
    keep("max", out, N * N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            assert_int_equal(out[i][j], i >= NUMBERS || j >= NUMBERS ? 0x7fffffff : in[i > j ? i : j]);
}

/* ex2.approx.ftz: 2 ulp; exact for whole numbers that softmax relies on (0), 0 far below, NaN stays NaN. */
static void test_exp2(void **state) {
    (void)state;
    enum { N = 400 };
    float in[N], out[N];
    for (int i = 0; i < N; i++) in[i] = (float)(i - 300) * 0.41f;
    in[0] = 0, in[1] = -INFINITY, in[2] = -127, in[3] = -200, in[4] = NAN, in[5] = INFINITY, in[6] = -0.0f;
    float *dout = device(NULL, sizeof out);
    assert_int_equal(sg__conf_exp2(dout, device(in, sizeof in), N, stream), 0);
    host(out, dout, sizeof out);
    assert_true(out[0] == 1 && out[1] == 0 && out[2] == 0 && out[3] == 0 && isnan(out[4]));
    assert_true(isinf(out[5]) && out[6] == 1);
    for (int i = 7; i < N; i++) {
        const double e = exp2((double)in[i]);
        assert_true(fabs(out[i] - e) <= e * 0x1p-22);
    }
}

/* __expf: 2 ulp and one rounding of its argument times log2 e (CUDA C++ Programming Guide, intrinsics). */
static void test_math(void **state) {
    (void)state;
    enum { N = 200 };
    float in[N], out[3][N];
    for (int i = 0; i < N; i++) in[i] = (float)i * 0.41f + 1e-3f;
    for (int i = 0; i < N / 2; i++) in[i] = -in[i];
    float *dout = device(NULL, sizeof out);
    assert_int_equal(sg__conf_math(dout, device(in, sizeof in), N, stream), 0);
    host(out, dout, sizeof out);
    keep("math", out, 3 * N);
    for (int i = 0; i < N; i++) {
        const double e = exp((double)in[i]);
        assert_true(fabs(out[0][i] - e) <= e * (4 + 1.5 * fabs((double)in[i])) * 0x1p-23 + 0x1p-126);
        assert_true(fabs(out[1][i] - e) <= e * 3 * 0x1p-23 + 0x1p-126);
        if (in[i] > 0) assert_true(fabs(out[2][i] * sqrt((double)in[i]) - 1) <= 0x1p-22);
    }
}

static void test_atomic(void **state) {
    (void)state;
    uint32_t in[32], least = UINT32_MAX;
    unsigned long long out[2] = {7, 0}, sum = 7;
    for (int i = 0; i < 32; i++) {
        in[i] = noise(7, i);
        sum += (unsigned long long)in[i] << 20;
        least = in[i] >> 1 < least ? in[i] >> 1 : least;
    }
    unsigned long long *dout = device(out, sizeof out);
    assert_int_equal(sg__conf_atomic(dout, device(in, sizeof in), stream), 0);
    host(out, dout, sizeof out);
    keep("atomic", out, 4);
    assert_true(out[0] == sum && out[1] == least);
}

/* ---- geometry ---- */

static void test_geometry(void **state) {
    (void)state;
    static const int32_t cols[] = {1, 8, 255, 256, 257, 2560, 4096, 9728, 200000};
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        const int32_t t = sg__row_threads(cols[i]);
        assert_true(t % 32 == 0 && t >= 32 && t <= 512);
        assert_true(t == 512 || t * 8 >= cols[i]);
        assert_true(t == 32 || (t - 32) * 8 < cols[i]);
    }
    assert_int_equal(sg__splits(1), 1);
    assert_int_equal(sg__splits(SG__SPLIT_KEYS), 1);
    assert_int_equal(sg__splits(SG__SPLIT_KEYS + 1), 2);
    assert_int_equal(sg__splits(INT32_MAX), INT32_MAX / SG__SPLIT_KEYS + 1);
    assert_int_equal(SG__SPLIT_KEYS % SG_SPLIT_TOKENS, 0);
    assert_int_equal(SG__SPLIT_KEYS % SG_PAGE_TOKENS, 0);
    /* prompt and suffix are split apart: any division of a context stays within the reserve */
    for (int32_t context = 1; context <= 2100; context += 7)
        for (int32_t prompt = 1; prompt < context; prompt += 13)
            assert_true(sg__splits(prompt) + sg__splits(context - prompt) <= sg__max_splits(context));
    /* beyond 2^31 bytes and 2^31 items */
    assert_true(sg__partial_bytes(4096, 64, 17) == (size_t)4096 * 64 * 17 * SG__PARTIAL_FLOATS * 4);
    assert_true(sg__blocks((int64_t)1 << 33, 256) == (int64_t)1 << 25);
    assert_int_equal(sg__blocks(257, 256), 2);
    char aligned[32] __attribute__((aligned(16)));
    assert_true(sg__wide(64, aligned, aligned + 16, NULL));
    assert_false(sg__wide(64, aligned, aligned + 2, NULL));
    assert_false(sg__wide(60, aligned, NULL, NULL));
}

/* ---- the two ways of the sampler, of a row ---- */

static void sample(int32_t list, const float *logits, int32_t vocab, int32_t n, int32_t top_k, float top_p,
                   float t, int32_t *token) {
    float u[64];
    int32_t rows[64], first[64] = {0};
    const struct sg_draw_settings how = {t, top_p, top_k};
    for (int i = 0; i < n; i++) u[i] = sg_uniform(9, (uint32_t)i), rows[i] = i % 2;
    int32_t *dtoken = device(NULL, sizeof(int32_t) * (size_t)n);
    const struct sg__sample_launch a = {.logits = device(logits, sizeof(float) * (size_t)vocab * 2),
                                        .vocab = vocab,
                                        .n = n,
                                        .row = device(rows, sizeof rows),
                                        .u = device(u, sizeof u),
                                        .setting = device(first, sizeof first),
                                        .settings = device(&how, sizeof how),
                                        .token = dtoken,
                                        .list = list};
    assert_int_equal(sg__launch_sample(&a, stream), 0);
    host(token, dtoken, sizeof(int32_t) * (size_t)n);
}
/* Lists that take all, the largest alone, a few, nothing. */
static void test_sample_ways(void **state) {
    (void)state;
    enum { VOCAB = 900, N = 40, SHAPES = 5 };
    static float x[2 * VOCAB];
    int32_t list[N], row[N];
    static const int32_t lists[] = {300, 100, 7, 0};
    static const struct {
        int32_t k;
        float p, t;
    } how[] = {{0, 1, 1}, {20, 0.95f, 0.6f}, {200, 0.5f, 2}, {0, 0.9f, 1.3f}, {1, 1, 1}, {0, 0.25f, 0.7f}};
    for (int shape = 0; shape < SHAPES; shape++) {
        for (int i = 0; i < 2 * VOCAB; i++) {
            x[i] = (float)(noise(8, i) % 4096) / 512 - 4;
            if (shape == 1) x[i] = roundf(x[i]);             /* equals */
            if (shape == 2) x[i] = 1 + x[i] / 4096;          /* few differ in their first bits */
            if (shape == 3) x[i] = i % 9 ? x[i] - 20 : x[i]; /* one in nine has nearly all */
            if (shape == 4) x[i] = i % 3 ? 2 : -3;           /* two values */
        }
        x[5] = -INFINITY;
        for (size_t h = 0; h < sizeof how / sizeof *how; h++) {
            sample(SG__SAMPLE_LIST, x, VOCAB, N, how[h].k, how[h].p, how[h].t, list);
            for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
                sample(lists[l], x, VOCAB, N, how[h].k, how[h].p, how[h].t, row);
                assert_memory_equal(list, row, sizeof row);
            }
            for (int i = 0; i < N; i++) assert_true(row[i] >= 0 && row[i] < VOCAB && (i % 2 || row[i] != 5));
        }
    }
}

/* Lists that are sorted and added up by several warps. */
static void test_sample_wide(void **state) {
    (void)state;
    enum { VOCAB = 4200, N = 40 };
    static float x[2 * VOCAB];
    int32_t list[N], row[N];
    static const int32_t top_k[] = {0, 500, 3000};
    for (int i = 0; i < 2 * VOCAB; i++) x[i] = (float)(noise(12, i) % 65536) / 32768;
    for (int h = 0; h < 3; h++) {
        sample(SG__SAMPLE_LIST, x, VOCAB, N, top_k[h], 0.9f, 1, list);
        sample(0, x, VOCAB, N, top_k[h], 0.9f, 1, row);
        assert_memory_equal(list, row, sizeof row);
    }
}

/* Logits that differ, but not after the division, on both sides of an edge between two bins of the list's
 * histogram: top_k keeps them all. */
static void test_sample_ties_below_bin(void **state) {
    (void)state;
    enum { VOCAB = 900, N = 60 };
    static float x[2 * VOCAB];
    int32_t list[N], row[N], below = 0;
    const float t = 1.45f, under = nextafterf(8, 0);
    assert_true(8 / t == under / t);
    for (int i = 0; i < 2 * VOCAB; i++) x[i] = i % 5 ? -4 : i % 2 ? 8 : under;
    sample(SG__SAMPLE_LIST, x, VOCAB, N, 20, 1, t, list);
    sample(0, x, VOCAB, N, 20, 1, t, row);
    assert_memory_equal(list, row, sizeof row);
    sample(100, x, VOCAB, N, 20, 1, t, list); /* the bin's 90 fit, those below it do not */
    assert_memory_equal(list, row, sizeof row);
    for (int i = 0; i < N; i++) below += x[i % 2 * VOCAB + row[i]] == under;
    sample(100, x, VOCAB, N, 0, 1, t,
           list); /* nor do they without top_k: no sum of the list is one of the row */
    sample(0, x, VOCAB, N, 0, 1, t, row);
    assert_memory_equal(list, row, sizeof row);
    assert_true(below > N / 4 && below < N * 3 / 4);
}

/* The 16-byte way and the element way give the same bits. */
static void test_narrow_rows(void **state) {
    (void)state;
    enum { N = 5, COLS = 264, SIZE = N * COLS };
    float x[SIZE], gain[COLS], sum[2][SIZE];
    uint16_t delta[SIZE], norm[2][SIZE];
    for (int i = 0; i < SIZE; i++) {
        delta[i] = bf16((float)(noise(10, i) % 512) / 256 - 1);
        x[i] = (float)(noise(11, i) % 4096) / 2048 - 1;
    }
    for (int i = 0; i < COLS; i++) gain[i] = (float)(i % 7) - 3;
    float *resid = device(NULL, sizeof x + 16);
    uint16_t *d = device(NULL, sizeof delta + 16), *out = device(NULL, sizeof delta + 16);
    const float *dgain = device(gain, sizeof gain);
    for (int odd = 0; odd < 2; odd++) {
        assert_int_equal(sg__rt_upload(rt, resid + odd, x, sizeof x, NULL), SG_OK);
        assert_int_equal(sg__rt_upload(rt, d + odd, delta, sizeof delta, NULL), SG_OK);
        assert_int_equal(
            sg__launch_add_rmsnorm(out + odd, resid + odd, d + odd, dgain, N, COLS, 1e-6f, false, stream), 0);
        host(sum[odd], resid + odd, sizeof x);
        host(norm[odd], out + odd, sizeof delta);
    }
    assert_memory_equal(sum[0], sum[1], sizeof x);
    assert_memory_equal(norm[0], norm[1], sizeof delta);
}

/* Every code at every scale that a row can have, against the definition of e4m3: wide rows, narrow ones and
 * rows of odd length, which come at any alignment; to bf16 and to float32. */
static void test_dequant(void **state) {
    (void)state;
    static const int32_t widths[] = {256, 257, 40, 16, 1040};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        enum { ROWS = SG__FP8_MAX_EXPONENT - SG__FP8_MIN_EXPONENT + 1 };
        const int32_t cols = widths[w];
        const size_t n = (size_t)ROWS * (size_t)cols;
        uint8_t *codes = malloc(n);
        uint16_t *out = malloc((n + 1) * sizeof *out);
        float scale[ROWS];
        assert_true(codes && out);
        for (size_t i = 0; i < n; i++) codes[i] = (uint8_t)(i % (size_t)cols + i / (size_t)cols * 16);
        for (int r = 0; r < ROWS; r++) scale[r] = ldexpf(1, r + SG__FP8_MIN_EXPONENT);
        memset(out, 0x5A, (n + 1) * sizeof *out);
        void *d_codes = device(codes, n), *d_scale = device(scale, sizeof scale),
             *d_out = device(out, 2 * n + 2);
        assert_int_equal(sg__launch_dequant(d_out, d_codes, d_scale, ROWS, cols, false, stream), 0);
        host(out, d_out, 2 * n + 2);
        for (size_t i = 0; i < n; i++) {
            const int c = codes[i], e = c >> 3 & 15, f = c & 7;
            const double x = e ? ldexp(1 + f / 8.0, e - 7) : ldexp(f / 8.0, -6);
            const float y = (float)ldexp(c & 128 ? -x : x, (int)(i / (size_t)cols) + SG__FP8_MIN_EXPONENT);
            const int want = (c & 127) == 127 ? (c & 128) << 8 | 0x7FC0 : bf16(y);
            if (out[i] != want)
                fail_msg("row %d of %d columns, code %02x: %04x, expected %04x", (int)(i / (size_t)cols),
                         cols, (unsigned)c, out[i], (unsigned)want);
        }
        assert_int_equal(out[n], 0x5A5A);
        uint32_t *wide = malloc((n + 1) * sizeof *wide); /* the same numbers, of more bits */
        assert_true(wide);
        memset(wide, 0x5A, (n + 1) * sizeof *wide);
        void *d_wide = device(wide, 4 * n + 4);
        assert_int_equal(sg__launch_dequant(d_wide, d_codes, d_scale, ROWS, cols, true, stream), 0);
        host(wide, d_wide, 4 * n + 4);
        for (size_t i = 0; i < n; i++) assert_int_equal(wide[i], (uint32_t)out[i] << 16);
        assert_int_equal(wide[n], 0x5A5A5A5A);
        sg__rt_free(rt, d_codes), sg__rt_free(rt, d_scale), sg__rt_free(rt, d_out), sg__rt_free(rt, d_wide);
        free(codes), free(out), free(wide);
    }
}

/* Every bf16, at lengths that 8 divides and others, and nothing behind the last one. */
static void test_widen(void **state) {
    (void)state;
    static const int32_t lengths[] = {65536, 65535, 4100, 8, 7, 1};
    static uint16_t x[65536];
    static uint32_t out[65537];
    for (size_t i = 0; i < 65536; i++) x[i] = (uint16_t)i;
    void *d_x = device(x, sizeof x), *d_out = device(NULL, sizeof out);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        const size_t n = (size_t)lengths[l];
        memset(out, 0x5A, sizeof out);
        assert_int_equal(sg__rt_upload(rt, d_out, out, sizeof out, NULL), SG_OK);
        assert_int_equal(sg__launch_widen(d_out, (const char *)d_x + 2 * (65536 - n), (int64_t)n, stream), 0);
        host(out, d_out, sizeof out);
        for (size_t i = 0; i < n; i++) assert_int_equal(out[i], (uint32_t)(65536 - n + i) << 16);
        assert_int_equal(out[n], 0x5A5A5A5A);
    }
    sg__rt_free(rt, d_x), sg__rt_free(rt, d_out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mma),
        cmocka_unit_test(test_ldmatrix),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_warp),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_math),
        cmocka_unit_test(test_max),
        cmocka_unit_test(test_exp2),
        cmocka_unit_test(test_atomic),
        cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_sample_ways),
        cmocka_unit_test(test_sample_wide),
        cmocka_unit_test(test_sample_ties_below_bin),
        cmocka_unit_test(test_narrow_rows),
        cmocka_unit_test(test_dequant),
        cmocka_unit_test(test_widen),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}

/* kernels/cuda/rt_cuda.c and rt_gemm.c as they are, on a CUDA runtime and a cuBLASLt made of host code
 * (fake_cudart.c, fake_cublaslt.c): which of the library's algorithms come to multiply, for how many rows each,
 * that more rows than are verified go in pieces, and that a library without a right one is refused by name. And which
 * stream waits for which: those of the fake run as late as they may, so that a missing wait finds old values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rt.h"
#include "tests/cuda/fake_cudart.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { N = 6, K = 40, STRIDE = 7, MOST = 4096 + 130 };

/* ---- the two kernels that verification launches ---- */

int sg__launch_random(void *out, float *scale, int64_t rows, int32_t cols, uint64_t key, void *stream) {
    uint16_t *to = out;
    (void)scale;
    if (stream) cudaStreamSynchronize(stream); /* runs at once, behind what is queued */
    for (int64_t i = 0; i < rows * cols; i++) {
        uint32_t w[4];
        sg_random_weights(key, (uint64_t)i / 8, w);
        to[i] = (uint16_t)(w[i % 8 / 2] >> (i % 2 ? 16 : 0));
    }
    return 0;
}
int sg__launch_differ(uint32_t *count, const void *y, const void *ref, int64_t rows, int64_t halves,
                      int64_t stride, int32_t n_ref, void *stream) {
    cudaStreamSynchronize(stream);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < halves; i++)
            *count +=
                ((const uint16_t *)y)[r * stride + i] != ((const uint16_t *)ref)[r % n_ref * stride + i];
    return 0;
}

/* ---- a product ---- */

#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct sg_err err = {0};                                                                             \
        if ((call) != SG_OK) fail_msg("%s", err.text);                                                       \
    } while (0)

static struct sg__rt *open_with(const char *algorithms) {
    struct sg__rt *rt = NULL;
    struct sg__rt_info info;
    setenv("FAKE_BLAS", algorithms, 1);
    OK(sg__rt_open(0, &rt, &info, &err));
    assert_non_null(strstr(info.runtime, "cuBLASLt 13.0.0"));
    return rt;
}

/* How often the fake's algorithm has run, by the copy of it that is loaded. */
static int calls(char letter) {
    void *library = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_NOLOAD), *symbol;
    int (*f)(int);
    assert_non_null(library);
    symbol = dlsym(library, "fake_blas_calls");
    memcpy(&f, &symbol, sizeof f);
    const int n = f(letter);
    dlclose(library);
    return n;
}

static uint16_t x[MOST * K], w[N * K];
static float y[MOST * N];

static float bf16(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static float expected(int64_t row, int64_t col, bool halves) {
    float part[2] = {0, 0};
    for (int i = 0; i < K; i++) part[halves && i >= K / 2] += bf16(x[row * K + i]) * bf16(w[col * K + i]);
    return halves ? part[0] + part[1] : part[0];
}
/* m rows; every one has the bits of `halves` or not. */
static void check(struct sg__rt *rt, int64_t m, bool halves) {
    const int64_t room = (m + 63) / 64 * 64;
    void *dx, *dw, *dy;
    sg__launch_random(x, NULL, m, K, 77, NULL);
    sg__launch_random(w, NULL, N, K, 78, NULL);
    OK(sg__rt_alloc(rt, (size_t)room * K * 2, "x", &dx, &err));
    OK(sg__rt_alloc(rt, sizeof w, "w", &dw, &err));
    OK(sg__rt_alloc(rt, (size_t)room * N * 4, "y", &dy, &err));
    OK(sg__rt_clear(rt, dx, (size_t)room * K * 2, &err));
    OK(sg__rt_upload(rt, dx, x, (size_t)m * K * 2, &err));
    OK(sg__rt_upload(rt, dw, w, sizeof w, &err));
    OK(sg__rt_gemm(rt, dy, true, dx, dw, m, N, K, &err));
    OK(sg__rt_download(rt, y, dy, (size_t)m * N * 4, &err));
    for (int64_t r = 0; r < m; r++)
        for (int64_t c = 0; c < N; c++) {
            const float want = expected(r, c, halves);
            if (memcmp(&y[r * N + c], &want, sizeof want)) fail_msg("row %d of %d", (int)r, (int)m);
        }
    sg__rt_free(rt, dx), sg__rt_free(rt, dw), sg__rt_free(rt, dy);
}
/* Which algorithm multiplies m rows, once planned. */
static char who(struct sg__rt *rt, const char *algorithms, int64_t m) {
    int before[128];
    char found = '?';
    for (const char *a = algorithms; *a; a++) before[(int)*a] = calls(*a);
    check(rt, m, false);
    for (const char *a = algorithms; *a; a++)
        if (calls(*a) > before[(int)*a]) found = *a;
    return found;
}

static void only_right_ones(void **state) {
    (void)state;
    static const char all[] = "sbwmrlghf";
    struct sg__rt *rt = open_with(all);
    OK(sg__rt_gemm_plan(rt, true, N, K, &err));
    /* never tried: what says that it splits, failed, or has no room */
    assert_true(calls('s') == 0 && calls('b') == 0 && calls('w') == 0);
    assert_true(calls('h') > 0 && calls('m') > 0 && calls('l') > 0);
    /* r and l are the fastest, where they may; m too, in the ranges above 256 rows; h never, whatever its speed */
    assert_true(strchr("rl", who(rt, all, 1)) && strchr("rl", who(rt, all, 128)));
    assert_true(strchr("r", who(rt, all, 192)) && strchr("rlm", who(rt, all, 512)));
    assert_true(strchr("lm", who(rt, all, 1025)) && strchr("lm", who(rt, all, 4096)));
    for (int64_t m = 1; m < MOST; m += m < 300 ? 37 : 411) check(rt, m, false);
    check(rt, MOST, false); /* in two pieces */
    const int planned = calls('g');
    check(rt, 77, false);
    assert_int_equal(calls('g'), planned); /* nothing is verified twice */
    sg__rt_close(rt);
}

static void fastest_of_equals(void **state) {
    (void)state;
    static const char all[] = "ghf";
    struct sg__rt *rt = open_with(all);
    check(rt, 1, false); /* planned by its first call */
    assert_int_equal(who(rt, all, 64), 'g');
    assert_int_equal(who(rt, all, 500), 'g');
    assert_int_equal(who(rt, all, 513), 'f');
    assert_int_equal(who(rt, all, 4096), 'f');
    sg__rt_close(rt);
    rt = open_with("hgf"); /* the library's first choice is the reference, if it is right in itself */
    check(rt, 64, true);
    check(rt, 4000, true);
    sg__rt_close(rt);
}

static void refusals(void **state) {
    (void)state;
    struct sg_err err = {0};
    static const char *const libraries[] = {"", "sbw", "mrl"};
    for (int i = 0; i < 3; i++) {
        struct sg__rt *rt = open_with(libraries[i]);
        assert_int_equal(sg__rt_gemm_plan(rt, true, N, K, &err), SG_E_DEVICE);
        assert_non_null(strstr(err.text, i < 2 ? "of 0 algorithms" : "of 3 algorithms"));
        sg__rt_close(rt);
    }
}

/* float32, a block of a wider matrix: columns beside it are left alone. */
static void strided(void **state) {
    (void)state;
    struct sg__rt *rt = open_with("mg");
    enum { M = 70, ROOM = 128 };
    static float fx[ROOM * K], fw[N * K], fy[ROOM * STRIDE];
    void *dx, *dw, *dy;
    for (int i = 0; i < ROOM * K; i++) fx[i] = (float)(i % 17) - 8;
    for (int i = 0; i < N * K; i++) fw[i] = (float)(i % 13) - 6;
    for (int i = 0; i < ROOM * STRIDE; i++) fy[i] = -77;
    OK(sg__rt_alloc(rt, sizeof fx, "x", &dx, &err));
    OK(sg__rt_alloc(rt, sizeof fw, "w", &dw, &err));
    OK(sg__rt_alloc(rt, sizeof fy, "y", &dy, &err));
    OK(sg__rt_upload(rt, dx, fx, sizeof fx, &err));
    OK(sg__rt_upload(rt, dw, fw, sizeof fw, &err));
    OK(sg__rt_upload(rt, dy, fy, sizeof fy, &err));
    OK(sg__rt_gemm_f32(rt, dy, STRIDE, dx, dw, M, N, K, &err));
    OK(sg__rt_download(rt, fy, dy, sizeof fy, &err));
    for (int r = 0; r < M; r++) {
        for (int c = 0; c < N; c++) {
            float sum = 0;
            for (int i = 0; i < K; i++) sum += fx[r * K + i] * fw[c * K + i];
            assert_true(fy[r * STRIDE + c] == sum);
        }
        assert_true(fy[r * STRIDE + N] == -77);
    }
    sg__rt_close(rt);
}

/* Lanes as the backend uses them: inputs come in lane 0, the product runs in lane 1, its result is taken in lane 0.
 * With both waits it is that of the new inputs; without the first a lane 1 that hurries sees the old ones, without the
 * second lane 0 takes the old result of one that does not. */
static void lanes(void **state) {
    (void)state;
    enum { M = 64 };
    struct sg__rt *rt = open_with("g");
    void *dx, *dw, *dy, *taken;
    sg__launch_random(x, NULL, M, K, 77, NULL);
    sg__launch_random(w, NULL, N, K, 78, NULL);
    static uint16_t zeros[M * K];
    OK(sg__rt_gemm_plan(rt, true, N, K, &err));
    OK(sg__rt_lanes(rt, 2, &err));
    OK(sg__rt_alloc(rt, sizeof zeros, "x", &dx, &err));
    OK(sg__rt_alloc(rt, sizeof w, "w", &dw, &err));
    OK(sg__rt_alloc(rt, M * N * 4, "y", &dy, &err));
    OK(sg__rt_alloc(rt, M * N * 4, "taken", &taken, &err));
    OK(sg__rt_upload(rt, dw, w, sizeof w, &err));
    for (int i = 0; i < 4; i++) {
        const int without = i < 2 ? 0 : i - 1, quick = i == 1 || without == 1;
        fake_cuda_hurry(quick);
        OK(sg__rt_upload(rt, dx, zeros, sizeof zeros, &err));
        OK(sg__rt_clear(rt, dy, M * N * 4, &err));
        OK(sg__rt_sync(rt, &err));
        OK(sg__rt_upload(rt, dx, x, sizeof zeros, &err));
        if (without != 1) OK(sg__rt_order(rt, 0, 1, &err));
        sg__rt_lane(rt, 1);
        OK(sg__rt_gemm(rt, dy, true, dx, dw, M, N, K, &err)); /* refused, had it lane 0's workspace */
        sg__rt_lane(rt, 0);
        OK(sg__rt_gemm(rt, taken, true, dx, dw, M, N, K, &err));
        if (without != 2) OK(sg__rt_order(rt, 1, 0, &err));
        OK(sg__rt_copy(rt, taken, dy, M * N * 4, &err));
        OK(sg__rt_download(rt, y, taken, M * N * 4, &err));
        int old = 0;
        for (int k = 0; k < M * N; k++) {
            const float want = expected(k / N, k % N, false);
            old += memcmp(&y[k], &want, sizeof want) != 0;
        }
        if (without ? old < M : old > 0) fail_msg("without %d: %d of %d values are old", without, old, M * N);
    }
    sg__rt_free(rt,
                dx); /* waits for lane 1 as well, which nobody has waited for: the last product runs now */
    OK(sg__rt_download(rt, y, dy, M * N * 4, &err));
    assert_true(y[0] == expected(0, 0, false));
    sg__rt_close(rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_right_ones), cmocka_unit_test(fastest_of_equals),
                                       cmocka_unit_test(refusals), cmocka_unit_test(strided),
                                       cmocka_unit_test(lanes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

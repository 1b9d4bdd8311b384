/* kernels/fp8: that codes are the nearest e4m3 numbers, ties to even, against a table made from the format's
 * definition: every bf16 number at the ends and in the middle of the scale, every midpoint of two codes and
 * its neighbours in float32; that scales are the smallest powers of two that fit; that code * 2^k is a bf16
 * exactly and what round_row gives; that NaN and infinities stay no numbers. */
#include "kernels/fp8.h"
#include "kt.h"

static double table[128]; /* of the codes without sign; table[127] is NaN */

/* The definition: 4 bits of exponent, bias 7; 3 of fraction; exponent 0: subnormal; S.1111.111 NaN. */
static int make_table(void **state) {
    (void)state;
    for (int c = 0; c < 127; c++) {
        const int e = c >> 3, f = c & 7;
        table[c] = e ? ldexp(1 + f / 8.0, e - 7) : ldexp(f / 8.0, -6);
    }
    table[127] = NAN;
    assert_true(table[126] == 448 && table[1] == 0x1p-9 && table[8] == 0x1p-6);
    return 0;
}

/* The code of the table's number nearest to x, the even one in the middle. */
static int nearest(double x) {
    const double a = fabs(x);
    int best = 0;
    for (int c = 1; c < 127; c++) {
        const double d = fabs(table[c] - a) - fabs(table[best] - a);
        if (d < 0 || (d == 0 && c % 2 == 0)) best = c;
    }
    return best | (signbit(x) ? 128 : 0);
}

static float bf16_float(uint16_t h) {
    const uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void check_code(double x, int k, uint8_t got) {
    const int want = nearest(ldexp(x, -k));
    if (got != want) fail_msg("%a / 2^%d: code %02x, expected %02x", x, k, got, (unsigned)want);
}

static void test_every_bf16(void **state) {
    (void)state;
    static const int exponents[] = {SG__FP8_MIN_EXPONENT, -60, -9, 0, 1, 50, SG__FP8_MAX_EXPONENT};
    uint16_t *all = kt_malloc(65536 * sizeof *all);
    uint8_t *code = kt_malloc(65536);
    for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
        int used[256] = {0};
        sg__fp8_encode(code, all, 65536, SG_BF16, exponents[e]);
        for (int i = 0; i < 65536; i++) {
            const float x = bf16_float((uint16_t)i);
            used[code[i]]++;
            if (isfinite(x))
                check_code((double)x, exponents[e], code[i]);
            else
                assert_int_equal(code[i], signbit(x) ? 255 : 127);
        }
        for (int c = 0; c < 256; c++)
            if (!used[c]) fail_msg("code %02x is never used at 2^%d", (unsigned)c, exponents[e]);
    }
    free(all), free(code);
}

/* Between all neighbours: the middle, and the float32 on either side of it; and the codes themselves. */
static void test_midpoints(void **state) {
    (void)state;
    for (int k = -3; k <= 3; k += 3)
        for (int c = 0; c + 1 < 127; c++)
            for (int sign = 0; sign < 2; sign++) {
                const double middle = ldexp((table[c] + table[c + 1]) / 2, k);
                const float mid = (float)(sign ? -middle : middle);
                const float x[5] = {mid, nextafterf(mid, 0), nextafterf(mid, sign ? -INFINITY : INFINITY),
                                    (float)ldexp(sign ? -table[c] : table[c], k),
                                    (float)ldexp(sign ? -table[c + 1] : table[c + 1], k)};
                uint8_t code[5];
                sg__fp8_encode(code, x, 5, SG_F32, k);
                for (int i = 0; i < 5; i++) check_code((double)x[i], k, code[i]);
                assert_int_equal(code[0] & 1, 0);
                assert_int_equal(code[4] & 127, c + 1);
            }
}

/* One row of bf16 through round_row: element i is table[code i] 2^k. Returns k. */
static int check_row(const uint16_t *row, int64_t n) {
    const int k = sg__fp8_exponent(row, n, SG_BF16);
    enum { STRIDE = 3 };
    uint8_t *code = kt_malloc((size_t)n);
    uint16_t *out = kt_malloc((size_t)n * STRIDE * sizeof *out);
    for (int64_t i = 0; i < n * STRIDE; i++) out[i] = 0xABCD;
    sg__fp8_encode(code, row, n, SG_BF16, k);
    sg__fp8_round_row(out, STRIDE, row, n, SG_BF16);
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)bf16_float(row[i]), y = (double)bf16_float(out[i * STRIDE]);
        const double want = ldexp(table[code[i] & 127], k);
        if (!isfinite(x)) {
            assert_true(isnan(y) && isnan(want));
        } else if (fabs(y) != want || signbit(y) != signbit(x)) {
            fail_msg("%a of a row of 2^%d: %a, its code is %a", x, k, y, want);
        }
        for (int s = 1; s < STRIDE; s++) assert_int_equal(out[i * STRIDE + s], 0xABCD);
    }
    free(code), free(out);
    return k;
}

static uint16_t to_bf16(double x) { /* exact values only */
    const float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    assert_true((u & 0xFFFF) == 0 && (double)f == x);
    return (uint16_t)(u >> 16);
}

static void test_scales(void **state) {
    (void)state;
    uint16_t row[300];
    const double zero[1] = {0};
    assert_int_equal(sg__fp8_exponent(zero, 1, SG_F32), 0);
    for (int e = -133; e <= 127; e++)
        for (int f = 0; f < 128; f++) { /* the largest of a row: every bf16 */
            const double most = e >= -126 ? ldexp(1 + f / 128.0, e) : ldexp(1, e);
            for (int i = 0; i < 300; i++) row[i] = (uint16_t)(i % 7 ? 0 : 0x8000);
            row[(e + 133 + f) % 300] = to_bf16(f % 2 ? most : -most);
            row[(e + 135 + f) % 300] = to_bf16(e > -120 ? most / 4 : 0);
            const int k = check_row(row, 300);
            const bool fits = most <= ldexp(448, k), tight = most > ldexp(448, k - 1);
            if (k < SG__FP8_MIN_EXPONENT || k > SG__FP8_MAX_EXPONENT || (!fits && k < SG__FP8_MAX_EXPONENT) ||
                (!tight && k > SG__FP8_MIN_EXPONENT))
                fail_msg("largest %a: scale 2^%d", most, k);
        }
}

static void test_odd_rows(void **state) {
    (void)state;
    /* zeros of both signs keep their signs */
    const uint16_t zeros[5] = {0, 0x8000, 0, 0x8000, 0x8000};
    assert_int_equal(check_row(zeros, 5), 0);
    /* NaN and infinities do not make the scale, and are never numbers */
    const uint16_t odd[6] = {0x7F80, 0xFF80, 0x7FC1, 0xFFFF, to_bf16(448), to_bf16(-1)};
    assert_int_equal(check_row(odd, 6), 0);
    assert_int_equal(sg__fp8_exponent(odd, 4, SG_BF16), 0);
    /* the smallest subnormal of bf16 is kept, of float32 it is lost below the lowest scale */
    const uint16_t least[2] = {0x0001, 0x8001};
    assert_int_equal(check_row(least, 2), SG__FP8_MIN_EXPONENT);
    uint16_t out[2];
    sg__fp8_round_row(out, 1, least, 2, SG_BF16);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 0x8001);
    const float lost[2] = {0x1p-149f, -0x1p-149f};
    sg__fp8_round_row(out, 1, lost, 2, SG_F32);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 0x8000);
    /* what is finite stays finite */
    const float huge[2] = {3.4028235e38f, -3.4028235e38f};
    sg__fp8_round_row(out, 1, huge, 2, SG_F32);
    assert_int_equal(out[0], to_bf16(ldexp(448, 119)));
    assert_int_equal(out[1], to_bf16(-ldexp(448, 119)));
}

/* float16 and float32 rows are rounded once, from what they hold; pieces and alignment change nothing; random
 * rows of many lengths, relative error at most 1/16 in the normal range. */
static void test_rows(void **state) {
    (void)state;
    for (int t = 0; t < SG_DTYPE_COUNT; t++)
        for (int64_t n = 1; n < 1300; n += n < 40 ? 1 : 253) {
            float *x = kt_malloc((size_t)n * sizeof *x);
            kt_fill(x, n, (uint64_t)(100 + n), 0.02f, n % 2);
            unsigned char *bytes = kt_encode(x, n, (enum sg_dtype)t);
            for (int64_t i = 0; i < n; i++) x[i] = sg_dtype_to_f32(bytes, i, (enum sg_dtype)t); /* -0 too */
            const size_t width = sg_dtype_bytes((enum sg_dtype)t);
            unsigned char *moved = kt_malloc((size_t)n * width + 1);
            memcpy(moved + 1, bytes, (size_t)n * width);
            const int k = sg__fp8_exponent(moved + 1, n, (enum sg_dtype)t);
            uint8_t *whole = kt_malloc((size_t)n), *pieces = kt_malloc((size_t)n);
            uint16_t *y = kt_malloc((size_t)n * sizeof *y);
            sg__fp8_encode(whole, moved + 1, n, (enum sg_dtype)t, k);
            for (int64_t i = 0, some; i < n; i += some) {
                some = n - i < 37 ? n - i : 37;
                sg__fp8_encode(pieces + i, moved + 1 + (size_t)i * width, some, (enum sg_dtype)t, k);
            }
            assert_memory_equal(whole, pieces, (size_t)n);
            sg__fp8_round_row(y, 1, bytes, n, (enum sg_dtype)t);
            for (int64_t i = 0; i < n; i++) {
                check_code((double)x[i], k, whole[i]);
                const double d = fabs((double)bf16_float(y[i]) - (double)x[i]), a = fabs((double)x[i]);
                assert_true(d <= (a >= ldexp(1, k - 6) ? a / 16 : ldexp(1, k - 10)));
            }
            free(x), free(bytes), free(moved), free(whole), free(pieces), free(y);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_bf16), cmocka_unit_test(test_midpoints),
                                       cmocka_unit_test(test_scales), cmocka_unit_test(test_odd_rows),
                                       cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("fp8", tests, make_table, NULL);
}

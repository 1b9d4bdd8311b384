/* Products of bf16 on the cpu backend: every instruction set gives the bits of two chained FMAs with subnormal
 * numbers as zero (kernels/cpu/isa.h), on 10^8 random cases: numbers of all sizes, subnormal ones, sums around
 * 2^-126, where it matters when a result is judged to be subnormal. And rounding to bf16 against double. */
#include "kernels/bf16.h"
#include "kernels/cpu/cpu.h"

#include "kt.h"
#include <float.h>

enum { N = 1 << 16, ROUNDS = 1526 };

static uint32_t bits_of(float x) {
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

/* bf16 with a random sign and fraction and an exponent of [least, least + spread). */
static uint32_t half(uint64_t r, uint32_t least, uint32_t spread) {
    return ((uint32_t)r & 0x807Fu) | (least + (uint32_t)(r >> 16 & 0xFFFF) % spread) << 7;
}
static uint32_t pair(uint64_t r, uint32_t least, uint32_t spread) {
    return half(r, least, spread) << 16 | half(r >> 32, least, spread);
}

static void make(int round, uint32_t *x, uint32_t *w, float *c) {
    const uint64_t stream = 0xBF0000u + (uint64_t)round;
    for (int i = 0; i < N; i++) {
        const uint64_t a = sg_random64(stream, 3 * (uint64_t)i), b = sg_random64(stream, 3 * (uint64_t)i + 1),
                       e = sg_random64(stream, 3 * (uint64_t)i + 2);
        uint32_t at = ((uint32_t)e & 0x807FFFFFu);
        switch (round % 4) {
        case 0: /* all numbers, infinities and NaN among them */
            w[i] = (uint32_t)b, x[i / 16] = (uint32_t)a, at = (uint32_t)e;
            break;
        case 1: /* sizes of a model */
            w[i] = pair(b, 115, 16), x[i / 16] = pair(a, 115, 16),
            at |= (115 + (uint32_t)(e >> 40) % 16) << 23;
            break;
        case 2: /* products, and c, about 2^-126, subnormal ones among them */
            w[i] = pair(b, 57, 10), x[i / 16] = pair(a, 57, 10), at |= (uint32_t)(e >> 40) % 6 << 23;
            break;
        default: /* c just above 2^-126, less or more a product of 2^-145 to 2^-155 */
            w[i] = pair(b, 50, 4), x[i / 16] = pair(a, 50, 4);
            at = (at & 0x80000003u) | 1u << 23;
            break;
        }
        memcpy(&c[i], &at, sizeof at);
    }
}

static void test_bits(void **state) {
    (void)state;
    uint32_t *x = kt_malloc(N / 16 * sizeof *x), *w = kt_malloc(N * sizeof *w);
    float *c = kt_malloc(N * sizeof *c), *want = kt_malloc(N * sizeof *c), *got = kt_malloc(N * sizeof *c);
    int64_t normal = 0, zero = 0;
    for (int round = 0; round < ROUNDS; round++) {
        make(round, x, w, c);
        sg__isa_find("scalar", true, NULL)->dot2(x, w, c, N, want);
        for (int i = 0; i < N; i++) normal += isnormal(want[i]), zero += want[i] == 0;
        for (const char *const *isa = kt_isas() + 1; *isa; isa++) {
            sg__isa_find(*isa, true, NULL)->dot2(x, w, c, N, got);
            if (memcmp(got, want, N * sizeof *got)) kt_same_bits(*isa, got, want, N); /* NaN may differ */
        }
    }
    printf("%lld results are normal, %lld zero\n", (long long)normal, (long long)zero);
    assert_true(normal > (int64_t)N * ROUNDS / 2 && zero > (int64_t)N * ROUNDS / 16);
    free(x), free(w), free(c), free(want), free(got);
}

/* What the hardware does with two FMAs, from their definition: long double holds product and sum exactly. */
static void test_meaning(void **state) {
    (void)state;
    static const struct {
        float hi[2], lo[2], c, want;
    } cases[] = {
        {{3, 5}, {7, 11}, 1, 93},
        {{1, 0x1p30f}, {-1, 0x1p30f}, 1, 0},                   /* the high half first: the 1 is lost */
        {{-0x1p30f, 0x1p30f}, {1, 1}, 0x1p60f, 1},             /* then the low half */
        {{0x1p-127f, 0x1p100f}, {0, 0}, 2, 2},                 /* a subnormal factor is zero */
        {{0, 0}, {0, 0}, 0x1p-127f, 0},                        /* so is a subnormal addend */
        {{0x1p-63f, 0x1p-63f}, {0, 0}, 0, 0x1p-126f},          /* the smallest normal number stays */
        {{0x1p-64f, -0x1p-63f}, {-0.0f, 0}, 0, -0.0f},         /* half of it becomes zero, with its sign */
        {{-0x1p-76f, 0x1p-76f}, {0, 0}, 0x1p-126f, 0x1p-126f}, /* 2^-126 - 2^-152 rounds to 2^-126 */
        {{-0x1p-75f, 0x1p-75f}, {0, 0}, 0x1p-126f, 0}, /* 2^-126 - 2^-150 is a number of 24 bits below it */
        {{-0x1p-76f, 0x1p-75f}, {0, 0}, 0x1p-126f, 0x1p-126f}, /* 2^-126 - 2^-151: a tie, to even */
    };
    for (const char *const *isa = kt_isas(); *isa; isa++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            uint32_t x[1], w[16];
            float c[16], got[16];
            x[0] = bits_of(cases[i].hi[0]) | bits_of(cases[i].lo[0]) >> 16;
            for (int j = 0; j < 16; j++) {
                w[j] = bits_of(cases[i].hi[1]) | bits_of(cases[i].lo[1]) >> 16;
                c[j] = cases[i].c;
            }
            sg__isa_find(*isa, true, NULL)->dot2(x, w, c, 16, got);
            for (int j = 0; j < 16; j++)
                if (bits_of(got[j]) != bits_of(cases[i].want))
                    fail_msg("%s, case %zu: %a, expected %a", *isa, i, (double)got[j], (double)cases[i].want);
        }
}

static void test_rounding(void **state) {
    (void)state;
    static const struct {
        float x, want;
    } cases[] = {{1, 1},
                 {-0.0f, -0.0f},
                 {0x1.01p0f, 0x1.00p0f}, /* ties to even */
                 {0x1.03p0f, 0x1.04p0f},
                 {0x1.010002p0f, 0x1.02p0f},
                 {0x1.00fffep0f, 0x1.00p0f},
                 {INFINITY, INFINITY},
                 {FLT_MAX, INFINITY},
                 {-0x1.fep127f, -0x1.fep127f},
                 {0x1p-126f, 0x1p-126f},
                 {0x1.fffffcp-127f, 0}, /* subnormal, though it would round to a normal number */
                 {-0x1p-127f, -0.0f}};
    uint16_t h;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(bits_of(sg__bf16_round(cases[i].x)), bits_of(cases[i].want));
        sg__bf16_from(&h, &cases[i].x, 1, SG_F32);
        assert_int_equal((uint32_t)h << 16, bits_of(cases[i].want));
    }
    assert_true(isnan(sg__bf16_round(NAN)));
    const uint32_t low = 0x7F800001u; /* a NaN whose upper half alone is an infinity */
    float x;
    memcpy(&x, &low, sizeof x);
    assert_true(isnan(sg__bf16_round(x)));
    const uint16_t subnormal = 0x807F;
    sg__bf16_from(&h, &subnormal, 1, SG_BF16);
    assert_int_equal(h, 0x8000);
    for (int64_t i = 0; i < 1 << 20; i++) {
        const float v = (float)ldexp(2 * kt_uniform(5, i) - 1, kt_pick(6, i, 200) - 100);
        const float near = sg__bf16_round(v);
        int e;
        (void)frexp((double)v, &e);
        assert_true(fabs((double)near - (double)v) <= ldexp(1, e - 9)); /* half of a unit of 8 bits */
        assert_int_equal(bits_of(near) & 0xFFFF, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_meaning),
                                       cmocka_unit_test(test_rounding)};
    return cmocka_run_group_tests_name("bf16", tests, NULL, NULL);
}

/* Protects: draws are Philox4x32-10 to the bit, so results are the same on every machine and device; stratified
 * ones are a Latin hypercube over the samples, and each by itself is uniform and independent of the others of its
 * sample. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include <math.h>

/* The known answers that the authors publish with Random123 (kat_vectors). */
static void known_answers(void **state) {
    (void)state;
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
         0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
         0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t c[4] = {kat[i][0], kat[i][1], kat[i][2], kat[i][3]};
        sg_philox(c, kat[i][4], kat[i][5]);
        for (int k = 0; k < 4; k++) assert_int_equal(c[k], kat[i][6 + k]);
    }
}

/* Uniform: in [0, 1), the top 24 bits of the first word, mean and spread as they should be. */
static void uniforms_are_the_top_bits(void **state) {
    (void)state;
    double sum = 0, squares = 0;
    enum { N = 200000 };
    for (uint32_t i = 0; i < N; i++) {
        uint32_t c[4] = {i, 0, 0, 0};
        sg_philox(c, 0x89abcdef, 0x01234567);
        float u = sg_uniform(0x0123456789abcdefu, i);
        assert_true(u == (float)((double)(c[0] >> 8) / 16777216.0));
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += (double)u * u;
    }
    assert_true(sum / N > 0.497 && sum / N < 0.503); /* 4.6 standard errors of sqrt(1/12/N) */
    assert_true(squares / N > 0.330 && squares / N < 0.3367);
}

/* ---- stratified uniforms ------------------------------------------------------------------------------ */

/* Upper 1e-6 point of chi-square (Wilson and Hilferty). */
static double chi_limit(double df) {
    const double t = 1 - 2 / (9 * df) + 4.75 * sqrt(2 / (9 * df));
    return df * t * t * t;
}
static void assert_even(const char *what, uint32_t k, uint32_t pos, const int *count, int bins, int n) {
    double chi = 0;
    for (int i = 0; i < bins; i++) chi += pow(count[i] - (double)n / bins, 2) * bins / n;
    if (chi > chi_limit(bins - 1))
        fail_msg("%s, sample %u, position %u: chi-square %.1f over %d bins", what, k, pos, chi, bins);
}
static uint32_t bits24(uint64_t key, uint32_t pos, uint32_t k) {
    const float u = sg_uniform_stratified(key, pos, k);
    assert_true(u >= 0 && u < 1);
    return (uint32_t)(u * 16777216.0f);
}
static uint64_t a_key(int i) {
    return sg_random64(2026, (uint64_t)i);
}

/* Of each sample at each position over the keys: leading bits, the bits where stratum and jitter meet, last
 * bits. Of neighbouring positions: independent, of one sample and of two. */
static void each_sample_is_uniform(void **state) {
    (void)state;
    static const uint32_t samples[] = {0, 1, 2, 3, 5, 7, 8, 31, 63, 64, 100, 9999},
                          positions[] = {0, 1, 70000};
    enum { N = 1 << 15 };
    for (size_t s = 0; s < sizeof samples / sizeof *samples; s++)
        for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
            const uint32_t k = samples[s], pos = positions[p];
            int first[256] = {0}, middle[256] = {0}, last[256] = {0}, same[64] = {0}, cross[64] = {0};
            for (int i = 0; i < N; i++) {
                const uint32_t u = bits24(a_key(i), pos, k), v = bits24(a_key(i), pos + 1, k),
                               w = bits24(a_key(i), pos + 1, k ^ 1);
                first[u >> 16]++, middle[u >> 14 & 255]++, last[u & 255]++;
                same[u >> 21 << 3 | v >> 21]++, cross[u >> 21 << 3 | w >> 21]++;
            }
            assert_even("leading bits", k, pos, first, 256, N);
            assert_even("middle bits", k, pos, middle, 256, N);
            assert_even("last bits", k, pos, last, 256, N);
            assert_even("next position", k, pos, same, 64, N);
            assert_even("next position of another sample", k, pos, cross, 64, N);
        }
}

/* Of the first 1, 4, 8, ... 64 samples, and of the samples from 64 and from 128 on, one in each interval. */
static void the_first_samples_are_a_hypercube(void **state) {
    (void)state;
    for (int i = 0; i < 2000; i++)
        for (uint32_t base = 0; base <= 128; base += 64)
            for (uint32_t j = 0; j <= 6; j += j ? 1 : 2) {
                uint64_t seen = 0;
                for (uint32_t k = 0; k < 1u << j; k++)
                    seen |= (uint64_t)1 << (bits24(a_key(i), (uint32_t)i % 7, base + k) >> (24 - j));
                assert_true(seen == (j == 6 ? ~(uint64_t)0 : ((uint64_t)1 << (1u << j)) - 1));
            }
}

/* All orders of four strata, 24, are equally likely, and those at one
 * position say nothing about those at the next, nor those of samples 0-3 about those of samples 64-67. */
static void strata_are_shuffled_anew(void **state) {
    (void)state;
    enum { N = 1 << 15, ORDERS = 256 };
    int code[ORDERS], n_codes = 0, count[24] = {0}, next[576] = {0}, block[576] = {0};
    for (int i = 0; i < ORDERS; i++) code[i] = -1;
    for (int i = 0; i < N; i++) {
        int order[3] = {0};
        for (uint32_t k = 0; k < 4; k++) {
            order[0] = order[0] << 2 | (int)(bits24(a_key(i), 4, k) >> 22);
            order[1] = order[1] << 2 | (int)(bits24(a_key(i), 5, k) >> 22);
            order[2] = order[2] << 2 | (int)(bits24(a_key(i), 4, 64 + k) >> 22);
        }
        for (int o = 0; o < 3; o++) {
            if (code[order[o]] < 0) code[order[o]] = n_codes++;
            assert_true(n_codes <= 24);
            order[o] = code[order[o]];
        }
        count[order[0]]++, next[order[0] * 24 + order[1]]++, block[order[0] * 24 + order[2]]++;
    }
    assert_even("orders", 0, 4, count, 24, N);
    assert_even("orders at the next position", 0, 4, next, 576, N);
    assert_even("orders of the next block", 0, 4, block, 576, N);
}

/* Which of samples 0-3 shares the quarter of sample k, 4-7, and which of samples 0-7 the eighth of sample k,
 * 8-15: any, and another one at the next position. Two samples that stay together would be one answer twice. */
static void no_samples_stay_together(void **state) {
    (void)state;
    enum { N = 1 << 15 };
    for (uint32_t l = 2; l <= 3; l++)
        for (uint32_t k = 1u << l; k < 2u << l; k++) {
            int pairs[64] = {0};
            for (int i = 0; i < N; i++) {
                uint32_t with[2] = {0};
                for (uint32_t pos = 0; pos < 2; pos++)
                    while (bits24(a_key(i), pos, with[pos]) >> (24 - l) !=
                           bits24(a_key(i), pos, k) >> (24 - l))
                        assert_true(++with[pos] < 1u << l);
                pairs[with[0] << l | with[1]]++;
            }
            assert_even("partners", k, 0, pairs, 1 << (2 * l), N);
        }
}

static void words_differ_by_key_and_place(void **state) {
    (void)state;
    assert_true(sg_random64(1, 0) != sg_random64(1, 1));
    assert_true(sg_random64(1, 0) != sg_random64(2, 0));
    assert_true(sg_random64(1, 0) != sg_random64((uint64_t)1 << 32, 0));
    assert_true(sg_random64(1, 5) != sg_random64(1, 5 + ((uint64_t)1 << 32)));
    assert_true(sg_random64(7, 9) == sg_random64(7, 9));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(uniforms_are_the_top_bits),
        cmocka_unit_test(each_sample_is_uniform),
        cmocka_unit_test(the_first_samples_are_a_hypercube),
        cmocka_unit_test(strata_are_shuffled_anew),
        cmocka_unit_test(no_samples_stay_together),
        cmocka_unit_test(words_differ_by_key_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Protects: draws are Philox4x32-10 to the bit, so results are the same on every machine and device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"

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
        cmocka_unit_test(words_differ_by_key_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

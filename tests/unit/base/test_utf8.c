/* Protects: what counts as UTF-8 is exactly Unicode table 3-7, and cuts fall between code points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/utf8.h"
#include <string.h>

/* An independent decoder: by value, not by byte ranges. */
static bool valid_by_value(const unsigned char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        unsigned c = s[i];
        size_t len = c < 0x80 ? 1 : c < 0xC0 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF8 ? 4 : 0;
        if (!len || i + len > n) return false;
        unsigned v = len == 1 ? c : c & (0x7Fu >> len);
        for (size_t k = 1; k < len; k++) {
            if ((s[i + k] & 0xC0) != 0x80) return false;
            v = v << 6 | (s[i + k] & 0x3F);
        }
        static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (v < least[len] || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF)) return false;
        i += len;
    }
    return true;
}

static void all_short_sequences_are_judged_right(void **state) {
    (void)state;
    unsigned char s[4];
    size_t accepted = 0;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            s[0] = (unsigned char)a;
            s[1] = (unsigned char)b;
            assert_int_equal(sg_utf8_valid((char *)s, 2, NULL), valid_by_value(s, 2));
            if (a < 0xE0) continue;
            for (unsigned c = 0x70; c < 0xD0; c++) { /* around the continuation bytes, both sides */
                s[2] = (unsigned char)c;
                assert_int_equal(sg_utf8_valid((char *)s, 3, NULL), valid_by_value(s, 3));
                s[3] = 0x80;
                bool ok = valid_by_value(s, 4);
                accepted += ok;
                assert_int_equal(sg_utf8_valid((char *)s, 4, NULL), ok);
            }
        }
    assert_true(accepted > 1000);
}

static void the_first_bad_byte_is_named_at_any_place(void **state) {
    (void)state;
    for (size_t at = 0; at < 40; at++) {
        char s[48];
        memset(s, 'a', sizeof s);
        s[at] = (char)0xFF;
        size_t bad = 99;
        assert_false(sg_utf8_valid(s, sizeof s, &bad));
        assert_int_equal(bad, at);
    }
    size_t bad = 99;
    assert_false(sg_utf8_valid("abc\xE2\x82", 5, &bad));
    assert_int_equal(bad, 3);
    assert_true(sg_utf8_valid("", 0, NULL));
}

static void prefixes_hold_whole_code_points(void **state) {
    (void)state;
    const char *s = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
    size_t n = strlen(s), want[] = {0, 1, 3, 6, 10, 11, 11};
    for (size_t k = 0; k < 7; k++) assert_int_equal(sg_utf8_prefix(s, n, k), want[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_short_sequences_are_judged_right),
        cmocka_unit_test(the_first_bad_byte_is_named_at_any_place),
        cmocka_unit_test(prefixes_hold_whole_code_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

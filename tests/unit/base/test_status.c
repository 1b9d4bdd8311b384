/* Protects: an error is one line of text whatever the input held, and exit codes stay what scripts test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/status.h"
#include "base/utf8.h"
#include <string.h>

static void control_characters_become_visible(void **state) {
    (void)state;
    struct sg_err err = {0};
    assert_int_equal(sg_fail(&err, SG_E_INPUT, "a\nb\tc\x1b[31m\x7f"), SG_E_INPUT);
    assert_string_equal(err.text, "a?b?c?[31m?");
    assert_int_equal(err.status, SG_E_INPUT);
    /* C1, the controls of writing direction, a line separator; letters of other scripts stay */
    sg_fail(&err, SG_E_INPUT,
            "\xC2\x9B"
            "1m \xE2\x80\xAE"
            "txt.exe \xD8\x9C \xE2\x81\xA6 \xE2\x80\xA8 \xC3\xBC\xE6\xA8\xA1\xD8\xB9");
    assert_string_equal(err.text, "?1m ?txt.exe ? ? ? \xC3\xBC\xE6\xA8\xA1\xD8\xB9");
}

static void long_text_is_cut_between_characters(void **state) {
    (void)state;
    for (int lead = 0; lead < 4; lead++) {
        char text[3000] = "xxx";
        text[lead] = 0;
        while (strlen(text) < 2000) strcat(text, "\xE2\x82\xAC");
        struct sg_err err = {0};
        sg_fail(&err, SG_E_IO, "%s", text);
        size_t n = strlen(err.text);
        assert_true(n >= sizeof err.text - 6 && n < sizeof err.text);
        assert_string_equal(err.text + n - 3, "...");
        assert_true(sg_utf8_valid(err.text, n, NULL));
        sg_err_at(&err, "%s", "place");
        n = strlen(err.text);
        assert_int_equal(strncmp(err.text, "place: ", 7), 0);
        assert_true(sg_utf8_valid(err.text, n, NULL));
    }
}

static void a_place_goes_in_front_only_of_an_error(void **state) {
    (void)state;
    struct sg_err err = {0};
    sg_err_at(&err, "x");
    assert_string_equal(err.text, "");
    sg_fail(&err, SG_E_IO, "gone");
    sg_err_at(&err, "rank %d", 3);
    assert_string_equal(err.text, "rank 3: gone");
    sg_err_at(NULL, "x");
    assert_int_equal(sg_fail(NULL, SG_E_BUSY, "x"), SG_E_BUSY);
}

static void exit_codes_are_distinct_and_fixed(void **state) {
    (void)state;
    for (int a = 0; a < SG_STATUS_COUNT; a++)
        for (int b = 0; b < a; b++) {
            assert_int_not_equal(sg_status_exit_code((enum sg_status)a),
                                 sg_status_exit_code((enum sg_status)b));
            assert_string_not_equal(sg_status_name((enum sg_status)a), sg_status_name((enum sg_status)b));
        }
    assert_int_equal(sg_status_exit_code(SG_OK), 0);
    assert_int_equal(sg_status_exit_code(SG_E_USAGE), 2);
    assert_int_equal(sg_status_exit_code(SG_E_INPUT), 3);
    assert_int_equal(sg_status_exit_code(SG_E_PARTIAL), 10);
    assert_int_equal(sg_status_exit_code(SG_E_STOPPED), 75);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_become_visible),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(a_place_goes_in_front_only_of_an_error),
        cmocka_unit_test(exit_codes_are_distinct_and_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

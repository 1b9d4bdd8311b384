/* Protects: the pull reader takes exactly JSON, and tells line and column of what it does not take. */
#include "text_test.h"

static enum sg_status skip_all(const char *s, char *why, size_t size) {
    struct sg_err err = {0};
    struct sg_scan j;
    sg_scan_init(&j, s, strlen(s), "x.json", 1);
    enum sg_status st = sg_scan_skip(&j, &err);
    if (st == SG_OK) st = sg_scan_finish(&j, &err);
    snprintf(why, size, "%.299s", err.text);
    sg_scan_free(&j);
    return st;
}

static void values_are_skipped_or_refused(void **state) {
    (void)state;
    static const char *const good[] = {
        "0",
        "-1.5e+10",
        "\"\"",
        "\"\\u00e9\\ud83d\\ude00\\n\"",
        "[]",
        "{}",
        " [1, [2, {\"a\": null}], true, false] ",
        "{\"a\":{\"b\":[{}]},\"c\":\"\\\"\"}",
    };
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "x.json:1:1: the text ends where a value was expected"},
        {"[1,]", "x.json:1:4: expected a value"},
        {"[1 2]", "x.json:1:4: expected ',' or ']'"},
        {"{\"a\" 1}", "x.json:1:6: expected ':'"},
        {"{a:1}", "x.json:1:2: expected a key in quotes"},
        {"[\n\"\xC3\xA9\", 01]", "x.json:2:7: expected ',' or ']'"},
        {"1.", "x.json:1:3: the text ends where a digit was expected"},
        {"-", "x.json:1:2: the text ends where a digit was expected"},
        {"\"abc", "x.json:1:5: the text ends where the end of a string was expected"},
        {"\"a\nb\"", "x.json:1:3: a control character inside a string"},
        {"\"\\x\"", "x.json:1:2: unknown escape in a string"},
        {"\"\\u12g4\"", "x.json:1:2: expected four hex digits after \\u"},
        {"\"\\ud800\"", "x.json:1:2: half of a surrogate pair: not a character"},
        {"\"\\udc00\"", "x.json:1:2: half of a surrogate pair: not a character"},
        {"\"\\ud800\\u0041\"", "x.json:1:2: half of a surrogate pair: not a character"},
        {"nul", "x.json:1:1: expected a value"},
        {"1 1", "x.json:1:3: text after the end of the JSON value"},
        {"[1}", "x.json:1:3: expected ',' or ']'"},
    };
    char why[300];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (skip_all(good[i], why, sizeof why)) fail_msg("%s: %s", good[i], why);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(skip_all(bad[i].text, why, sizeof why), SG_E_INPUT);
        assert_string_equal(why, bad[i].says);
    }
    struct sg_buf deep = {0};
    for (int i = 0; i < 257; i++) CHECK_OK(sg_buf_str(&deep, "[", &err));
    assert_int_equal(skip_all(deep.data, why, sizeof why), SG_E_INPUT);
    assert_string_equal(why, "x.json:1:257: nested deeper than 256");
    sg_buf_free(&deep);
}

static void strings_are_unescaped(void **state) {
    (void)state;
    const char *s = "[\"plain\", \"a\\u0000b\\t\\/\\ud83d\\ude00\\u20ac\\u00e9\"]";
    struct sg_scan j;
    struct sg_scan_str v;
    bool first = true, more;
    sg_scan_init(&j, s, strlen(s), "x", 1);
    CHECK_OK(sg_scan_open(&j, '[', &err));
    CHECK_OK(sg_scan_more(&j, ']', &first, &more, &err));
    CHECK_OK(sg_scan_string(&j, &v, &err));
    assert_true(sg_scan_str_is(v, "plain"));
    assert_true(v.s > s && v.s < s + strlen(s)); /* not copied */
    CHECK_OK(sg_scan_more(&j, ']', &first, &more, &err));
    CHECK_OK(sg_scan_string(&j, &v, &err));
    const char want[] = "a\0b\t/\xF0\x9F\x98\x80\xE2\x82\xAC\xC3\xA9";
    assert_int_equal(v.n, sizeof want - 1);
    assert_memory_equal(v.s, want, v.n);
    sg_scan_free(&j);
}

static void whole_numbers_have_ranges(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"5", true},
                 {"-5", true},
                 {"6", false},
                 {"-6", false},
                 {"5.0", false},
                 {"5e0", false},
                 {"99999999999999999999", false},
                 {"x", false},
                 {"\"5\"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_scan j;
        struct sg_err err = {0};
        int64_t v = 77;
        sg_scan_init(&j, cases[i].text, strlen(cases[i].text), "x", 1);
        assert_int_equal(sg_scan_int(&j, -5, 5, &v, &err) == SG_OK, cases[i].good);
        assert_int_equal(v, cases[i].good ? strtol(cases[i].text, NULL, 10) : 77);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_skipped_or_refused),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(whole_numbers_have_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

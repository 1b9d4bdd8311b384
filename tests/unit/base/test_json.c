/* Protects: JSON is read to the letter, and each error names file, line and column, or the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum sg_status parse(const char *text, cJSON **out, struct sg_err *err) {
    return sg_json_parse(text, strlen(text), "f.json", 1, out, err);
}

static void what_is_json_is_read(void **state) {
    (void)state;
    static const char *const good[] = {
        "{}",
        " [ ] ",
        "null",
        "-0",
        "0.5e-3",
        "1E+2",
        "\"\\u00e9\\ud83d\\ude00\\/\\b\"",
        "[1,{\"a\":[]},\"x\"]\n",
        "\xEF\xBB\xBF{\"a\": 1}",
        "{\"\": 1, \" \": 2}",
        "\"\x7f\"",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cJSON *doc = NULL;
        struct sg_err err = {0};
        assert_int_equal(parse(good[i], &doc, &err), SG_OK);
        cJSON_Delete(doc);
    }
}

static void what_is_not_json_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"", "f.json:1:1: broken JSON: it ends where a value was expected"},
        {"{\n  \"a\": 1,\n}", "f.json:3:1: broken JSON: expected a key in double quotes"},
        {"{\"a\" 1}", "f.json:1:6: broken JSON: expected ':' after a key"},
        {"{\"a\": 1 \"b\": 2}", "f.json:1:9: broken JSON: expected ',' or '}'"},
        {"[1 2]", "f.json:1:4: broken JSON: expected ',' or ']'"},
        {"[1,]", "f.json:1:4: broken JSON: expected a value"},
        {"{'a': 1}", "f.json:1:2: broken JSON: expected a key in double quotes"},
        {"01", "f.json:1:1: broken JSON: malformed number"},
        {"[1.]", "f.json:1:2: broken JSON: malformed number"},
        {"[-]", "f.json:1:2: broken JSON: malformed number"},
        {"[1e]", "f.json:1:2: broken JSON: malformed number"},
        {"[.5]", "f.json:1:2: broken JSON: expected a value"},
        {"[+1]", "f.json:1:2: broken JSON: expected a value"},
        {"[NaN]", "f.json:1:2: broken JSON: expected a value"},
        {"[Infinity]", "f.json:1:2: broken JSON: expected a value"},
        {"[tru]", "f.json:1:2: broken JSON: expected a value"},
        {"{\"a\": \"x\ny\"}",
         "f.json:1:9: broken JSON: a control character in a string; write it as an escape"},
        {"[\"abc", "f.json:1:2: broken JSON: this string does not end"},
        {"[\"a\\x\"]", "f.json:1:4: broken JSON: unknown escape in a string"},
        {"[\"a\\", "f.json:1:4: broken JSON: unknown escape in a string"},
        {"[\"a\\u12\"]", "f.json:1:4: broken JSON: unknown escape in a string"},
        {"[\"a\\u0000\"]", "f.json:1:4: broken JSON: \\u0000 is not accepted in strings"},
        {"[\"\\ud83d\"]", "f.json:1:3: broken JSON: half of a surrogate pair"},
        {"[\"\\ude00\"]", "f.json:1:3: broken JSON: half of a surrogate pair"},
        {"{} {}", "f.json:1:4: broken JSON: text after the end of the JSON value"},
        {"{\"a\": 1}\n\n // no", "f.json:3:2: broken JSON: text after the end of the JSON value"},
        {"\x1F\x8B\x08", "f.json:1:2: this is packed by gzip; unpack it first"},
        {"\xFF\xFE{", "f.json:1:1: this is UTF-16; save it as UTF-8"},
        {"[\"\xC3\x28\"]", "f.json:1:3: invalid UTF-8"},
        {"{\n\"a\": 1,\n\"b\": \"\xFF\"}", "f.json:3:7: invalid UTF-8"},
        {"{\"a\": {\"b\": 1, \"c\": 2, \"b\": 3}}", "f.json:1: a.b stands twice in one object"},
        {"{\"a\": [0, {\"b\": 1e999}]}", "f.json:1: a[1].b is too large a number"},
        {"-1e400", "f.json:1: the value is too large a number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cJSON *doc = NULL;
        struct sg_err err = {0};
        assert_int_equal(parse(bad[i].text, &doc, &err), SG_E_INPUT);
        assert_null(doc);
        assert_string_equal(err.text, bad[i].error);
    }
}

static void a_nul_byte_is_refused(void **state) {
    (void)state;
    cJSON *doc = NULL;
    struct sg_err err = {0};
    assert_int_equal(sg_json_parse("[1,\0 2]", 7, "f", 1, &doc, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f:1:4: broken JSON: expected a value");
    assert_int_equal(sg_json_parse("[\"a\0b\"]", 7, "f", 1, &doc, &err), SG_E_INPUT);
    assert_string_equal(err.text,
                        "f:1:4: broken JSON: a control character in a string; write it as an escape");
}

static void depth_and_long_numbers_are_bounded(void **state) {
    (void)state;
    char text[2000];
    cJSON *doc = NULL;
    struct sg_err err = {0};
    memset(text, '[', 1000);
    text[1000] = 0;
    assert_int_equal(parse(text, &doc, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:1:257: broken JSON: nested too deeply");
    memset(text, '[', 256);
    memset(text + 256, ']', 256);
    text[512] = 0;
    assert_int_equal(parse(text, &doc, &err), SG_OK);
    cJSON_Delete(doc);
    doc = NULL;
    memset(text, '1', 61);
    text[61] = 0;
    assert_int_equal(parse(text, &doc, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:1:1: broken JSON: a number of more than 60 characters");
    text[60] = 0;
    assert_int_equal(parse(text, &doc, &err), SG_OK);
    assert_true(doc->valuedouble > 1.1e59 && doc->valuedouble < 1.2e59);
    cJSON_Delete(doc);
}

/* More keys than the pairwise search takes, the doubled pair far apart. */
static void a_doubled_key_among_many_is_found(void **state) {
    (void)state;
    struct sg_buf b = {0};
    cJSON *doc = NULL;
    struct sg_err err = {0};
    for (int i = 0; i < 40; i++)
        assert_int_equal(sg_buf_printf(&b, &err, "%c\"k%d\": 1", i ? ',' : '{', i == 39 ? 3 : i), SG_OK);
    sg_buf_str(&b, "}", &err);
    assert_int_equal(parse(b.data, &doc, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:1: k3 stands twice in one object");
    sg_buf_free(&b);
}

static void line_numbers_start_where_told(void **state) {
    (void)state;
    cJSON *doc = NULL;
    struct sg_err err = {0};
    assert_int_equal(sg_json_parse("{\n\"a\":x}", 8, "f", 41, &doc, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f:42:5: broken JSON: expected a value");
}

/* One document for the typed readers. */
static const char *const DOC = "{\"i\": 7, \"f\": 0.5, \"s\": \"x\", \"b\": true, \"n\": null, \"o\": "
                               "{\"big\": 1e15, \"d\": 2.5}, \"l\": [3]}";

static void typed_readers_name_the_key(void **state) {
    (void)state;
    cJSON *doc = NULL;
    struct sg_err err = {0};
    assert_int_equal(parse(DOC, &doc, &err), SG_OK);
    struct sg_json root = {.node = doc, .where = "f.json:9", .path = ""}, o, missing;
    int64_t i = -1;
    double f = -1;
    bool b = false;
    const char *s = "default";

    assert_int_equal(sg_json_get_i64(&root, "i", 0, 10, &i, &err), SG_OK);
    assert_int_equal(i, 7);
    assert_int_equal(sg_json_get_i64(&root, "i", 8, 10, &i, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: i is 7; expected 8 to 10");
    assert_int_equal(sg_json_get_i64(&root, "f", 0, 10, &i, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: f is 0.5; expected a whole number");
    assert_int_equal(sg_json_get_i64(&root, "s", 0, 10, &i, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: s must be a whole number, not a string");
    assert_int_equal(sg_json_get_i64(&root, "none", 0, 10, &i, &err), SG_OK);
    assert_int_equal(sg_json_get_i64(&root, "n", 0, 10, &i, &err), SG_OK);
    assert_int_equal(i, 7);

    assert_int_equal(sg_json_get_f64(&root, "f", 0, 1, &f, &err), SG_OK);
    assert_true(f == 0.5);
    assert_int_equal(sg_json_get_f64(&root, "f", 0.6, 1, &f, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "f.json:9: f is 0.5; expected 0.6"));
    assert_int_equal(sg_json_get_f64(&root, "b", 0, 1, &f, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: b must be a number, not true or false");

    assert_int_equal(sg_json_get_bool(&root, "b", &b, &err), SG_OK);
    assert_true(b);
    assert_int_equal(sg_json_get_bool(&root, "i", &b, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: i must be true or false, not a number");
    assert_int_equal(sg_json_get_str(&root, "none", &s, &err), SG_OK);
    assert_string_equal(s, "default");
    assert_int_equal(sg_json_get_str(&root, "l", &s, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: l must be a string, not an array");
    assert_int_equal(sg_json_need_str(&root, "n", &s, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: n is missing");

    assert_int_equal(sg_json_member(&root, "o", true, &o, &err), SG_OK);
    assert_int_equal(sg_json_need_i64(&o, "d", 0, 10, &i, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: o.d is 2.5; expected a whole number");
    assert_int_equal(sg_json_need_i64(&o, "gone", 0, 10, &i, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: o.gone is missing");
    assert_int_equal(sg_json_member(&root, "i", true, &missing, &err), SG_OK);
    assert_int_equal(sg_json_member(&missing, "x", true, &o, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f.json:9: i must be an object, not a number");
    assert_int_equal(i, 7);
    cJSON_Delete(doc);
}

static void unknown_keys_get_a_suggestion(void **state) {
    (void)state;
    static const char *const allowed[] = {"temperature", "top_p", "top_k"};
    struct sg_err err = {0};
    cJSON *doc = NULL;
    assert_int_equal(parse("{\"sampling\": {\"temprature\": 1}}", &doc, &err), SG_OK);
    struct sg_json root = {.node = doc, .where = "f", .path = ""}, at;
    assert_int_equal(sg_json_member(&root, "sampling", true, &at, &err), SG_OK);
    assert_int_equal(sg_json_only(&at, allowed, 3, &err), SG_E_INPUT);
    assert_string_equal(err.text, "f: unknown key sampling.temprature; did you mean \"temperature\"?");
    cJSON_Delete(doc);
    assert_string_equal(sg_nearest("topp", allowed, 3), "top_p");
    assert_null(sg_nearest("max_new_tokens", allowed, 3));
    assert_null(sg_nearest("x", allowed, 3));
}

static void numbers_are_short_and_read_back(void **state) {
    (void)state;
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0.6, "0.6"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1e15, "1e+15"},
                 {123456789012345.0, "123456789012345"},
                 {9007199254740992.0, "9007199254740992"},
                 {-0.0, "-0"},
                 {5e-324, "4.94065645841247e-324"},
                 {NAN, "null"},
                 {INFINITY, "null"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[SG_JSON_NUMBER];
        sg_json_number(cases[i].v, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* Whatever bytes go in, what comes out is a JSON string that reads back (bad bytes as U+FFFD). */
static void quoting_reads_back(void **state) {
    (void)state;
    char in[256];
    for (int i = 0; i < 255; i++) in[i] = (char)(i + 1);
    in[255] = 0;
    struct sg_buf b = {0};
    struct sg_err err = {0};
    cJSON *doc = NULL;
    assert_int_equal(sg_json_quote(&b, in, 127, &err), SG_OK);
    assert_int_equal(parse(b.data, &doc, &err), SG_OK);
    assert_int_equal(strlen(doc->valuestring), 127);
    assert_memory_equal(doc->valuestring, in, 127);
    cJSON_Delete(doc);
    sg_buf_clear(&b);
    assert_int_equal(sg_json_quote(&b, "\xC3\xA9\xE2\x82\xF0\x9F\x98\x80\x80", 9, &err), SG_OK);
    assert_string_equal(b.data, "\"\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xF0\x9F\x98\x80\xEF\xBF\xBD\"");
    sg_buf_clear(&b); /* line separators beyond ASCII, and their neighbours */
    const char seps[] = "\xC2\x84\xC2\x85\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA";
    assert_int_equal(sg_json_quote(&b, seps, sizeof seps - 1, &err), SG_OK);
    assert_string_equal(b.data, "\"\xC2\x84\\u0085\xE2\x80\xA7\\u2028\\u2029\xE2\x80\xAA\"");
    sg_buf_free(&b);
}

/* A path longer than its place is cut between characters: the error stays valid text. */
static void long_paths_are_cut_cleanly(void **state) {
    (void)state;
    char key[400];
    for (size_t lead = 0; lead < 3; lead++) {
        memset(key, 0, sizeof key);
        memset(key, 'k', lead);
        while (strlen(key) < 300) strcat(key, "\xE2\x82\xAC");
        struct sg_json at = {.node = NULL, .where = "f", .path = ""}, out;
        cJSON *doc = cJSON_CreateObject();
        at.node = doc;
        assert_int_equal(sg_json_member(&at, key, false, &out, NULL), SG_OK);
        size_t n = strlen(out.path);
        assert_true(n > 190 && n < sizeof out.path);
        assert_int_equal((n - lead) % 3, 0);
        cJSON_Delete(doc);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_read),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(depth_and_long_numbers_are_bounded),
        cmocka_unit_test(a_doubled_key_among_many_is_found),
        cmocka_unit_test(line_numbers_start_where_told),
        cmocka_unit_test(typed_readers_name_the_key),
        cmocka_unit_test(unknown_keys_get_a_suggestion),
        cmocka_unit_test(numbers_are_short_and_read_back),
        cmocka_unit_test(quoting_reads_back),
        cmocka_unit_test(long_paths_are_cut_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

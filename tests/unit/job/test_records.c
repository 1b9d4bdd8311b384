/* Protects: records are read one by one from lines or an array, in bounded memory, with the right line in
 * each error. */
#include "job_test.h"

#include "job/records.h"

/* Reads all records of a text; returns their "n" values joined by spaces, or the error. */
static const char *read_all(const char *text, size_t n) {
    static char out[2000];
    struct sg__records r = {.fd = -1};
    struct sg_json rec;
    struct sg_err err = {0};
    bool more = true;
    out[0] = 0;
    assert_int_equal(sg__records_memory("f", text, n, &r, &err), SG_OK);
    while (more) {
        int64_t v = -1;
        if (sg__records_next(&r, &rec, &more, &err) != SG_OK) {
            snprintf(out, sizeof out, "%s", err.text);
            break;
        }
        if (!more) break;
        assert_int_equal(sg_json_need_i64(&rec, "n", 0, 1000000, &v, &err), SG_OK);
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%lld@%lld", out[0] ? " " : "", (long long)v,
                 (long long)r.record_line);
    }
    if (!err.text[0]) { /* the end stays the end */
        assert_int_equal(sg__records_next(&r, &rec, &more, &err), SG_OK);
        assert_false(more);
    }
    sg__records_close(&r);
    sg__records_close(&r);
    return out;
}

static void both_forms_give_the_same_records(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {" \n\n", ""},
        {"[]", ""},
        {" [ \n ] \n", ""},
        {"{\"n\":1}", "1@1"},
        {"{\"n\":1}\n{\"n\":2}\n", "1@1 2@2"},
        {"\n {\"n\":1} \r\n\r\n{\"n\":2}", "1@2 2@4"},
        {"\xEF\xBB\xBF{\"n\":1}\n", "1@1"},
        {"\xEF\xBB\xBF[{\"n\":1}]\n", "1@1"},
        {"[{\"n\":1},{\"n\":2}]", "1@1 2@1"},
        {"[\n{\"n\":1},\n\n{\"n\":\n2}\n, {\"n\":3, \"s\": \"}]\\\"\\\\\"}]\n", "1@2 2@4 3@6"},
        {"[{\"n\":4, \"l\": [[], {\"x\": \"[\"}]}]", "4@1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(read_all(cases[i].text, strlen(cases[i].text)), cases[i].want);
}

static void errors_name_the_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{\"n\":1}\n{\"n\":2\n", "f:2:7: broken JSON: expected ',' or '}'"},
        {"{\"n\":1}\n[2]\n", "f:2: expected an object in braces"},
        {"7\n", "f:1: expected an object in braces"},
        {"{\"n\":1} {\"n\":2}\n", "f:1:9: broken JSON: text after the end of the JSON value"},
        {"{\"n\":1}\n\n{\"n\":\"\xFF\"}", "f:3:7: invalid UTF-8"},
        {"{\"n\":1, \"n\":1}", "f:1: n stands twice in one object"},
        {"[\n{\"n\":1}\n{\"n\":2}]", "f:3: '{'; expected ',' or ']' after a record of the array"},
        {"[\n{\"n\":1},\n]", "f:3: ']'; expected '{', the start of a record"},
        {"[1]", "f:1: '1'; expected '{', the start of a record"},
        {"[[{\"n\":1}]]", "f:1: '['; expected '{', the start of a record"},
        {"[{\"n\":1}", "f:1: the file ends here; expected ',' or ']' after a record of the array"},
        {"[\n", "f:2: the file ends here; expected '{', the start of a record"},
        {"[{\"n\":1}]\nx", "f:2: 'x'; expected nothing after the array"},
        {"[{\"n\":1},\n{\"n\":1", "f:2:7: broken JSON: expected ',' or '}'"},
        {"[{\"n\":1},\x01", "f:1: byte 0x01; expected '{', the start of a record"},
        {"[{\"n\":1,\n \"m\": [1}]", "f:2:9: broken JSON: expected ',' or ']'"},
        {"[{\"n\":1,\n \"m\": tru}]", "f:2:7: broken JSON: expected a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(read_all(cases[i].text, strlen(cases[i].text)), cases[i].want);
}

static void a_nul_byte_is_an_error(void **state) {
    (void)state;
    assert_string_equal(read_all("{\"n\":1}\n\0{\"n\":2}", 16), "f:2:1: broken JSON: expected a value");
}

/* 100 MB without a newline (a hole in the file): refused after 16 MiB, and never held whole. */
static void a_huge_line_is_refused_early(void **state) {
    (void)state;
    static const char *const starts[] = {"{\"n\": 1}\n{\"id\": \"", "[{\"n\": 1},\n{\"id\": \""};
    for (int i = 0; i < 2; i++) {
        struct sg__records r = {.fd = -1};
        struct sg_json rec;
        struct sg_err err = {0};
        bool more = false;
        char want[400];
        tmp_put("huge", starts[i]);
        assert_int_equal(truncate(tmp_path("huge"), 100000000), 0);
        const char *path = tmp_path("huge");
        assert_int_equal(sg__records_open(path, &r, &err), SG_OK);
        assert_int_equal(sg__records_next(&r, &rec, &more, &err), SG_OK);
        assert_true(more);
        assert_int_equal(sg__records_next(&r, &rec, &more, &err), SG_E_INPUT);
        snprintf(want, sizeof want,
                 "%s:2: a record longer than 16777216 bytes, which is the most that is read", path);
        assert_string_equal(err.text, want);
        assert_true(r.cap <= 2 * (size_t)SG_RECORD_MAX_BYTES + 1);
        sg__records_close(&r);
    }
}

/* Records of many lengths, so that they lie across the reader's buffer in every way, from a real file. */
static void long_files_are_read_whole(void **state) {
    (void)state;
    for (int array = 0; array < 2; array++) {
        FILE *f = fopen(tmp_path("long"), "wb");
        assert_non_null(f);
        enum { N = 400 };
        if (array) fputs("[", f);
        for (int i = 0; i < N; i++) {
            fprintf(f, "%s{\"n\": %d, \"pad\": \"", array && i ? "," : "", i);
            for (int k = 0; k < i * 37 % 9000; k++) fputs(k % 5 ? "}" : "\\\"", f);
            fputs("\"}\n", f);
        }
        if (array) fputs("]", f);
        fclose(f);
        struct sg__records r = {.fd = -1};
        struct sg_json rec;
        struct sg_err err = {0};
        bool more;
        const char *path = tmp_path("long");
        assert_int_equal(sg__records_open(path, &r, &err), SG_OK);
        for (int i = 0; i < N; i++) {
            int64_t v = -1;
            if (sg__records_next(&r, &rec, &more, &err) != SG_OK) fail_msg("%s", err.text);
            assert_true(more);
            assert_int_equal(sg_json_need_i64(&rec, "n", 0, N, &v, &err), SG_OK);
            assert_int_equal(v, i);
            assert_int_equal(r.record_line, i + 1);
        }
        assert_int_equal(sg__records_next(&r, &rec, &more, &err), SG_OK);
        assert_false(more);
        assert_int_equal(r.count, N);
        assert_true(r.cap < 2000000);
        sg__records_close(&r);
    }
}

static void what_cannot_be_opened_is_named(void **state) {
    (void)state;
    struct sg__records r = {.fd = -1};
    struct sg_err err = {0};
    char want[400];
    const char *path = tmp_path("none");
    assert_int_equal(sg__records_open(path, &r, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s: cannot open: No such file or directory", path);
    assert_string_equal(err.text, want);
    assert_int_equal(sg__records_open(tmpdir, &r, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s: is a folder, not a regular file", tmpdir);
    assert_string_equal(err.text, want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_give_the_same_records), cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(a_nul_byte_is_an_error),           cmocka_unit_test(a_huge_line_is_refused_early),
        cmocka_unit_test(long_files_are_read_whole),        cmocka_unit_test(what_cannot_be_opened_is_named),
    };
    return cmocka_run_group_tests(tests, tmpdir_make, tmpdir_remove);
}

/* Protects: the reference parser is the reference's, on its own cases and at the corners of its expressions.
 */
#include "text_test.h"

#include "base/json.h"
#include "tests/reference/verdict_reference.h"

static void check(const char *text, const char *length, const char *correct, double confidence) {
    struct sg_reference_verdict v = {0};
    CHECK_OK(sg_verdict_reference(text, strlen(text), &v, &err));
    if (strcmp(v.length.data, length) != 0 || strcmp(v.correct, correct) != 0 || v.confidence != confidence)
        fail_msg("\"%s\": %s %s %g, expected %s %s %g", text, v.length.data, v.correct, v.confidence, length,
                 correct, confidence);
    sg_reference_verdict_free(&v);
}

static void its_own_cases(void **state) {
    (void)state;
    struct sg_buf file = {0};
    cJSON *doc = NULL;
    CHECK_OK(sg_file_read("data/text/parse-reference.json", 1 << 20, &file, &err));
    CHECK_OK(sg_json_parse(file.data, file.len, "parse-reference.json", 1, &doc, &err));
    int n = 0;
    for (const cJSON *c = doc->child; c; c = c->next, n++) {
        char length[32];
        snprintf(length, sizeof length, "%.0f", cJSON_GetObjectItem(c, "len")->valuedouble);
        check(cJSON_GetStringValue(cJSON_GetObjectItem(c, "text")), length,
              cJSON_GetStringValue(cJSON_GetObjectItem(c, "correct")),
              cJSON_GetObjectItem(c, "confidence")->valuedouble);
    }
    assert_int_equal(n, 200);
    cJSON_Delete(doc);
    sg_buf_free(&file);
}

static void corners(void **state) {
    (void)state;
    check("len: \xD9\xA3\xD9\xA4 correct: no", "34", "no", 1.0);                 /* Arabic digits */
    check("len: \xF0\x9D\x9F\x98\xF0\x9D\x9F\xA3, correct: no", "1", "no", 1.0); /* mathematical 0, then 1 */
    check("len:\xE3\x80\x80\x1C"
          "7 correct:\xC2\x85yes",
          "7", "yes", 1.0);                                      /* white space of Python */
    check("len: 5 correct: ye\xC5\xBF", "5", "ye\xC5\xBF", 1.0); /* long s folds to s */
    check("len: 123456789012345678901234567890, correct: no", "123456789012345678901234567890", "no", 1.0);
    check("len: 0, len = 7", "0", "unknown", 0.5);
    check("correct = yes, len = 0", "0", "yes", 0.8);
    check("Predicted Performance: {len: 0, correct = yes} len = 5", "0", "yes", 1.0);
    check("****len**: 4, `correct: n`o", "4", "no", 1.0);
    check("__Analysis__ __Predicted Performance__ len = (3), correct = [no]", "3", "no", 1.0);
    check("**Predicted Performance**: correct = no", "0", "no", 0.9);
    check("len: x len: 6 correct: y correct: no", "6", "no", 1.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(its_own_cases), cmocka_unit_test(corners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

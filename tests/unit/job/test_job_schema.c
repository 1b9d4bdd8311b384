/* Protects: jobs/job.schema.json, which people and editors read, says what the code does. After a change of
 * job_fields.inc write it anew: (cd tests && ../build/tests/test_job_schema --write). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "job/job.h"
#include <stdio.h>
#include <string.h>

static const char *const COMMITTED = "../jobs/job.schema.json";

static void the_committed_schema_is_the_codes(void **state) {
    (void)state;
    struct sg_buf code = {0}, file = {0};
    struct sg_err err = {0};
    assert_int_equal(sg_job_schema(&code, &err), SG_OK);
    if (sg_file_read(COMMITTED, 1 << 20, &file, &err) != SG_OK) fail_msg("%s", err.text);
    assert_string_equal(file.data, code.data);
    sg_buf_free(&code);
    sg_buf_free(&file);
}

static const cJSON *at(const cJSON *schema, const char *a, const char *b, const char *c) {
    const char *keys[] = {a, b, c};
    for (int i = 0; i < 3 && keys[i]; i++) {
        schema =
            cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(schema, "properties"), keys[i]);
        assert_non_null(schema);
    }
    return schema;
}

/* Each leaf has a type and a sentence, each object refuses other keys. */
static void check_object(const cJSON *schema, int *leaves) {
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(schema, "additionalProperties")));
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties");
    assert_true(cJSON_IsObject(properties));
    for (const cJSON *p = properties->child; p; p = p->next) {
        const cJSON *sentence = cJSON_GetObjectItemCaseSensitive(p, "description");
        assert_true(cJSON_IsString(sentence) && strlen(sentence->valuestring) > 10);
        assert_non_null(cJSON_GetObjectItemCaseSensitive(p, "type"));
        if (cJSON_GetObjectItemCaseSensitive(p, "properties"))
            check_object(p, leaves);
        else
            (*leaves)++;
    }
}

static void the_schema_describes_every_key(void **state) {
    (void)state;
    struct sg_buf code = {0};
    struct sg_err err = {0};
    cJSON *doc = NULL;
    int leaves = 0;
    assert_int_equal(sg_job_schema(&code, &err), SG_OK);
    if (sg_json_parse(code.data, code.len, "schema", 1, &doc, &err) != SG_OK) fail_msg("%s", err.text);
    check_object(doc, &leaves);
    assert_int_equal(leaves, 35);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(doc, "$schema")->valuestring,
                        "https://json-schema.org/draft/2020-12/schema");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(doc, "required")), 5);
    const cJSON *top_p = at(doc, "sampling", "top_p", NULL),
                *top_k = at(doc, "prompt", "similarity", "top_k");
    assert_true(cJSON_GetObjectItemCaseSensitive(top_p, "default")->valuedouble == 0.95);
    assert_true(cJSON_GetObjectItemCaseSensitive(top_p, "exclusiveMinimum")->valuedouble == 0);
    assert_null(cJSON_GetObjectItemCaseSensitive(top_p, "minimum"));
    assert_true(cJSON_GetObjectItemCaseSensitive(top_k, "minimum")->valuedouble == 1);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(top_k, "unit")->valuestring, "anchors");
    cJSON_Delete(doc);
    sg_buf_free(&code);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_committed_schema_is_the_codes),
        cmocka_unit_test(the_schema_describes_every_key),
    };
    if (argc == 2 && !strcmp(argv[1], "--write")) {
        struct sg_buf b = {0};
        struct sg_err err = {0};
        enum sg_status st = sg_job_schema(&b, &err);
        if (st == SG_OK) st = sg_file_write_atomic(COMMITTED, b.data, b.len, &err);
        if (st != SG_OK) fprintf(stderr, "%s\n", err.text);
        sg_buf_free(&b);
        return sg_status_exit_code(st);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

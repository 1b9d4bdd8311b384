/* Protects: batch request files and policy.json. Every query goes to the model that the policy names, under the name
 * that its provider knows, with the text that was estimated, as one line of JSON; limits of a file hold; names of files
 * are safe and differ; a text that was not estimated, an unknown id, a folder in use leave nothing behind. */
#include "analysis/output/policy_json.h"
#include "analysis/output/requests.h"
#include "base/file.h"
#include "base/json.h"
#include "fake.h"
#include "tests/support/oom.h"
#include "tests/support/tmpdir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 40, M = 7 };
/* What JSON, lines and shells make something of. */
static const char *const texts[] = {"What is 2 + 2?", "Two\nlines\r\n\tand \"quotes\" \\ slash",
                                    "\x01 control", "\xE2\x80\xA8 line separator \xC2\x85 \xF0\x9F\x99\x82",
                                    "{}"};
static const char *const ids[M] = {"a/b", "a_b", "A/B", "../x", "-rf", ".h \xC3\xA9", "plain"};

static struct {
    struct sg_results r;
    struct sg_dataset d;
    struct sg_analysis a;
    struct sg_advice advice;
    struct sg_advice_step step;
    struct sg_decision_step decided;
    struct sg_asked_policy policy;
    struct sg_provider_ids names;
    struct sg_requests_spec spec;
    struct sg_requests_done done;
    char prompt[N][80];
} x;

static void must(enum sg_status st, const struct sg_err *err) {
    if (st != SG_OK) fail_msg("%s", err->text);
}

/* The queries' file, with the text of query `other` (-1: none) and the id of query `unknown` changed, without query
 * `lacks`. */
static void put_queries(int other, int unknown, int lacks) {
    struct sg_buf b = {0};
    for (int q = N - 1; q >= 0; q--) { /* not in the order of the results */
        char id[40];
        if (q == lacks) continue;
        snprintf(id, sizeof id, "query-%06d%s", q, q == unknown ? "x" : "");
        sg_buf_str(&b, "{\"id\": ", NULL);
        sg_json_quote(&b, id, strlen(id), NULL);
        sg_buf_str(&b, ", \"prompt\": ", NULL);
        sg_json_quote(&b, x.prompt[q], strlen(x.prompt[q]) - (q == other), NULL);
        sg_buf_str(&b, "}\n", NULL);
    }
    tmp_put("queries.jsonl", b.data);
    sg_buf_free(&b);
}

static int setup(void **state) {
    struct sg_err err = {0};
    const struct fake f = {.n = N, .m = M, .seed = 3, .noise = 0.5, .categories = 3, .anchors = 20};
    const struct sg_dataset_spec all = {.pool = NULL};
    char *id;
    memset(&x, 0, sizeof x);
    if (tmpdir_make(state) != 0) return -1;
    must(fake_results(&f, &x.r, &err), &err);
    for (int k = 0; k < M; k++) {
        must(sg_arena_dup(&x.r.strings, ids[k], strlen(ids[k]), &id, &err), &err);
        x.r.model[k] = id;
    }
    must(SG_NEW(&x.r.origin.prompt, N, "test", &err), &err);
    for (int q = 0; q < N; q++) {
        snprintf(x.prompt[q], sizeof x.prompt[q], "%d %s", q, texts[q % 5]);
        x.r.origin.prompt[q] = sg_digest_bytes(x.prompt[q], strlen(x.prompt[q]));
    }
    must(sg_dataset_open(&x.r, "fake.h5", &all, &x.d, &err), &err);
    must(SG_NEW(&x.policy.model, N, "test", &err), &err);
    for (int q = 0; q < N; q++) x.policy.model[q] = q % 5 == 4 ? 6 : q % 6; /* every model answers some */
    x.policy.name = "budget=0.01";
    x.step = (struct sg_advice_step){.budget = 0.01, .sentence = "Do so.", .is = &x.decided, .single = 0};
    for (int k = 0; k < SG_CANDIDATES; k++) {
        struct sg_candidate_value *v = &x.decided.candidate[k];
        v->rule = (struct sg_rule){.kind = (enum sg_candidate)k, .affordable = true, .from = 6, .to = -1};
        v->accuracy = (struct sg_value){0.1 * k, 0, 1};
    }
    x.step.value = &x.decided.candidate[SG_CANDIDATE_SINGLE];
    x.a = (struct sg_analysis){.data = &x.d, .opt.advice = &x.advice};
    must(sg_provider_ids_read(NULL, &x.d, &x.names, &err), &err);
    x.spec = (struct sg_requests_spec){.dir = strdup(tmp_path("requests")),
                                       .queries = strdup(tmp_path("queries.jsonl"))};
    put_queries(-1, -1, -1);
    return 0;
}

static int teardown(void **state) {
    free((void *)x.spec.dir);
    free((void *)x.spec.queries);
    free(x.policy.model);
    sg_provider_ids_free(&x.names);
    sg_dataset_free(&x.d);
    sg_results_free(&x.r);
    return tmpdir_remove(state);
}

static enum sg_status request_files(struct sg_err *err) {
    const struct sg_advised advised = {.policy = &x.policy, .step = &x.step};
    return sg_requests_write(&x.a, &advised, &x.names, &x.spec, &x.done, err);
}

/* Refused with these words, and nothing stands in the folder but what stood there. */
static void refused(enum sg_status want, const char *says) {
    struct sg_err err = {0};
    const enum sg_status st = request_files(&err);
    assert_int_equal(st, want);
    if (!strstr(err.text, says)) fail_msg("\"%s\" lacks \"%s\"", err.text, says);
    DIR *dir = opendir(tmpdir);
    for (struct dirent *e; (e = readdir(dir));) assert_null(strstr(e->d_name, ".tmp."));
    closedir(dir);
}

static cJSON *parsed(const char *folder, const char *name, int64_t *bytes) {
    struct sg_err err = {0};
    struct sg_buf text = {0};
    cJSON *list = cJSON_CreateArray(), *doc;
    char *path;
    must(sg_path_join(folder, name, &path, &err), &err);
    must(sg_file_read(path, 1 << 20, &text, &err), &err);
    *bytes = (int64_t)text.len;
    if (strstr(name, ".jsonl")) {
        assert_int_equal(text.data[text.len - 1], '\n');
        for (char *s = strtok(text.data, "\n"); s; s = strtok(NULL, "\n")) {
            must(sg_json_parse(s, strlen(s), name, 1, &doc, &err), &err);
            cJSON_AddItemToArray(list, doc);
        }
    } else {
        cJSON_Delete(list);
        must(sg_json_parse(text.data, text.len, name, 1, &list, &err), &err);
    }
    sg_buf_free(&text);
    free(path);
    return list;
}

static const char *text_of(const cJSON *o, const char *key) {
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    assert_non_null(s);
    return s;
}
static double number_of(const cJSON *o, const char *key) {
    const cJSON *e = cJSON_GetObjectItemCaseSensitive(o, key);
    assert_true(cJSON_IsNumber(e));
    return e->valuedouble;
}

/* All of the folder against the policy; most: requests a file, bytes a file. Number of files. */
static int whole(int64_t per_file, int64_t file_bytes) {
    int64_t bytes;
    int last = N, files = 0;
    double bill = 0, sum = 0;
    bool seen[N] = {false};
    cJSON *manifest = parsed(x.spec.dir, "manifest.json", &bytes);
    for (const cJSON *f = cJSON_GetObjectItem(manifest, "files")->child, *before = NULL; f;
         before = f, f = f->next) {
        cJSON *list = parsed(x.spec.dir, text_of(f, "file"), &bytes);
        const char *model = text_of(f, "model");
        files++;
        assert_int_equal(bytes, (int64_t)number_of(f, "bytes"));
        assert_true(bytes <= file_bytes && cJSON_GetArraySize(list) <= per_file);
        assert_int_equal(cJSON_GetArraySize(list), (int)number_of(f, "requests"));
        if (!before || strcmp(model, text_of(before, "model")) != 0) last = N;
        double part = 0;
        for (const cJSON *r = list->child; r; r = r->next) {
            const cJSON *body = cJSON_GetObjectItem(r, "body"),
                        *messages = cJSON_GetObjectItem(body, "messages");
            const int q = atoi(text_of(r, "custom_id") + 6);
            assert_int_equal(cJSON_GetArraySize(r), 4);
            assert_string_equal(text_of(r, "method"), "POST");
            assert_string_equal(text_of(r, "url"), "/v1/chat/completions");
            assert_string_equal(model, ids[x.policy.model[q]]);
            assert_string_equal(text_of(body, "model"), x.names.id[x.policy.model[q]]);
            assert_string_equal(text_of(f, "provider_id"), text_of(body, "model"));
            assert_int_equal(cJSON_GetArraySize(messages), 1);
            assert_string_equal(text_of(messages->child, "role"), "user");
            assert_string_equal(text_of(messages->child, "content"), x.prompt[q]);
            assert_true(q < last && !seen[q]); /* in the order of the queries' file */
            last = q;
            seen[q] = true;
            part += x.d.c[q * M + x.policy.model[q]];
        }
        assert_near(part, number_of(f, "expected_bill_usd"), 1e-12);
        bill += part;
        cJSON_Delete(list);
    }
    for (int q = 0; q < N; q++) sum += seen[q];
    assert_int_equal((int)sum, N);
    assert_int_equal((int)number_of(manifest, "requests"), N);
    assert_near(number_of(manifest, "expected_bill_usd"), bill, 1e-12);
    assert_near(x.done.bill, bill, 1e-12);
    assert_int_equal(x.done.files, files);
    assert_int_equal(x.done.models, M);
    cJSON_Delete(manifest);
    return files;
}

static void as_the_policy_says(void **state) {
    (void)state;
    struct sg_err err = {0};
    must(request_files(&err), &err);
    assert_true(x.done.prompts_verified);
    assert_int_equal(whole(SG_REQUESTS_PER_FILE, SG_REQUESTS_FILE_BYTES), M);
    /* one folder, one name each, whatever case a file system ignores */
    const char *const want[M] = {"a_b-0001", "a_b_2-0001", "A_B_3-0001", "_._x-0001",
                                 "_rf-0001", "_h___-0001", "plain-0001"};
    for (int k = 0; k < M; k++) {
        char name[80];
        snprintf(name, sizeof name, "requests/%s.jsonl", want[k]);
        if (!sg_file_exists(tmp_path(name))) fail_msg("no %s", name);
    }
    refused(SG_E_INPUT, "is not empty; give a new folder");
    whole(SG_REQUESTS_PER_FILE, SG_REQUESTS_FILE_BYTES); /* and it is as it was */
}

static void limits_hold(void **state) {
    (void)state;
    struct sg_err err = {0};
    x.spec.per_file = 2;
    must(request_files(&err), &err);
    assert_true(whole(2, SG_REQUESTS_FILE_BYTES) >= N / 2);
    assert_true(sg_file_exists(tmp_path("requests/plain-0004.jsonl"))); /* 8 queries */
    assert_false(sg_file_exists(tmp_path("requests/plain-0005.jsonl")));
    tmpdir_remove_tree(x.spec.dir);
    x.spec.per_file = 0;
    x.spec.file_bytes = 400;
    must(request_files(&err), &err);
    assert_true(whole(SG_REQUESTS_PER_FILE, 400) > M);
    tmpdir_remove_tree(x.spec.dir);
}

static void only_what_was_estimated(void **state) {
    (void)state;
    struct sg_err err = {0};
    char says[80];
    put_queries(7, -1, -1);
    snprintf(says, sizeof says, "queries.jsonl:%d: query \"query-000007\" has another text", N - 7);
    refused(SG_E_INPUT, says);
    put_queries(-1, 0, -1);
    snprintf(says, sizeof says, "queries.jsonl:%d: query \"query-000000x\" is not in fake.h5; did you mean",
             N);
    refused(SG_E_INPUT, says);
    put_queries(-1, -1, 3);
    refused(SG_E_INPUT, "lacks query \"query-000003\" of fake.h5");
    tmp_put("queries.jsonl", "{\"id\": \"query-000001\", \"prompt\": \"1\"");
    refused(SG_E_INPUT, "queries.jsonl:1:");
    assert_false(sg_dir_exists(x.spec.dir));
    /* results of an older version hold no hashes: ids alone, and that is said */
    free(x.r.origin.prompt);
    x.r.origin.prompt = NULL;
    put_queries(7, -1, -1);
    must(request_files(&err), &err);
    assert_false(x.done.prompts_verified);
    int64_t bytes;
    cJSON *manifest = parsed(x.spec.dir, "manifest.json", &bytes);
    assert_string_equal(text_of(manifest, "verified"), "ids alone");
    cJSON_Delete(manifest);
}

static void folders(void **state) {
    (void)state;
    struct sg_err err = {0};
    tmp_put("target", "mine");
    assert_int_equal(symlink("target", x.spec.dir), 0);
    refused(SG_E_INPUT, "is not a folder");
    assert_int_equal(unlink(x.spec.dir), 0);
    assert_int_equal(mkdir(x.spec.dir, 0777), 0); /* an empty one will do */
    must(request_files(&err), &err);
    whole(SG_REQUESTS_PER_FILE, SG_REQUESTS_FILE_BYTES);
    char *const dir = (char *)x.spec.dir;
    x.spec.dir = tmp_path("target/requests");
    refused(SG_E_IO, "target");
    x.spec.dir = dir;
}

static void bodies(void **state) {
    (void)state;
    struct sg_err err = {0};
    int64_t bytes;
    tmp_put("portfolio.json",
            "[{\"id\": \"plain\", \"provider_id\": \"gpt \\\"q\\\"\", \"as_of\": \"2026-01-31\"}, {\"id\": "
            "\"elsewhere\", \"provider_id\": \"e\"}, {\"id\": \"a/b\"}]");
    sg_provider_ids_free(&x.names);
    must(sg_provider_ids_read(tmp_path("portfolio.json"), &x.d, &x.names, &err), &err);
    assert_int_equal(x.names.n_named, 1);
    assert_string_equal(x.names.as_of[6], "2026-01-31");
    x.spec.body = " {\"max_tokens\": 20,\n \"stop\": [\"}\"], \"temperature\": 0.10} ";
    must(request_files(&err), &err);
    whole(SG_REQUESTS_PER_FILE, SG_REQUESTS_FILE_BYTES);
    cJSON *list = parsed(x.spec.dir, "plain-0001.jsonl", &bytes);
    const cJSON *body = cJSON_GetObjectItem(list->child, "body");
    assert_string_equal(text_of(body, "model"), "gpt \"q\"");
    assert_int_equal(cJSON_GetArraySize(body), 5);
    assert_int_equal((int)number_of(body, "max_tokens"), 20);
    cJSON_Delete(list);
    tmpdir_remove_tree(x.spec.dir);
    x.spec.body = "{}";
    must(request_files(&err), &err);
    whole(SG_REQUESTS_PER_FILE, SG_REQUESTS_FILE_BYTES);
    tmpdir_remove_tree(x.spec.dir);
    x.spec.body = "[1]";
    refused(SG_E_USAGE, "--request-body: expected a JSON object");
    x.spec.body = "{\"model\": \"other\"}";
    refused(SG_E_USAGE, "\"model\" is what the policy says");
    x.spec.body = "{\"a\": 1} x";
    refused(SG_E_INPUT, "--request-body:1:");
    /* answers of two models under one name could not be told apart */
    struct sg_provider_ids two;
    tmp_put("portfolio.json",
            "[{\"id\": \"plain\", \"provider_id\": \"p\"}, {\"id\": \"a/b\", \"provider_id\": \"p\"}]");
    assert_int_equal(sg_provider_ids_read(tmp_path("portfolio.json"), &x.d, &two, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "\"a/b\" and \"plain\" have the same provider_id \"p\""));
    tmp_put("portfolio.json", "[{\"id\": \"plain\", \"provider_id\": 7}]");
    assert_int_equal(sg_provider_ids_read(tmp_path("portfolio.json"), &x.d, &two, &err), SG_E_INPUT);
}

/* policy.json as model:probability of each of default and categories, in order. */
static void policy_is(const char *kind, const char *want) {
    struct sg_err err = {0};
    const struct sg_advised advised = {.policy = &x.policy, .step = &x.step};
    struct sg_buf b = {0};
    int64_t bytes;
    must(sg_policy_json_write(&x.a, &advised, &x.names, tmp_path("out"), &err), &err);
    cJSON *doc = parsed(tmp_path("out"), "policy.json", &bytes);
    assert_string_equal(text_of(doc, "kind"), kind);
    assert_string_equal(text_of(doc, "advised"), sg_candidate_name[x.step.value->rule.kind]);
    const cJSON *lists[] = {cJSON_GetObjectItem(doc, "default"),
                            cJSON_GetObjectItem(doc, "categories")->child};
    for (int i = 0; i < 2; i++)
        for (const cJSON *list = lists[i]; list; list = i ? list->next : NULL) {
            sg_buf_printf(&b, NULL, "%s%s", i ? " | " : "", i ? list->string : "default");
            for (const cJSON *e = list->child; e; e = e->next)
                sg_buf_printf(&b, NULL, " %s:%g", text_of(e, "model"), number_of(e, "probability"));
        }
    assert_string_equal(b.data, want);
    sg_buf_free(&b);
    cJSON_Delete(doc);
}

static void rules_for_other_traffic(void **state) {
    (void)state;
    struct sg_err err = {0};
    struct sg_candidate_value *c = x.decided.candidate;
    int32_t table[3] = {1, 2, 3};
    c[SG_CANDIDATE_MIX].rule.from = 4;
    c[SG_CANDIDATE_MIX].rule.to = 1;
    c[SG_CANDIDATE_MIX].rule.weight = 0.25;
    c[SG_CANDIDATE_TABLE].rule.table = table;
    policy_is("one model", "default plain:1");
    x.step.value = &c[SG_CANDIDATE_MIX];
    policy_is("mix", "default -rf:0.75 a_b:0.25");
    x.step.value = &c[SG_CANDIDATE_TABLE];
    policy_is("table", "default plain:1 | category-0 a_b:1 | category-1 A/B:1 | category-2 ../x:1");
    x.step.value = &c[SG_CANDIDATE_ROUTING]; /* needs estimates that other traffic has not */
    policy_is("table", "default plain:1 | category-0 a_b:1 | category-1 A/B:1 | category-2 ../x:1");
    c[SG_CANDIDATE_SINGLE].rule.barred = true; /* a cap below 1: no one model for all that the table lacks */
    policy_is("table", "default -rf:0.75 a_b:0.25 | category-0 a_b:1 | category-1 A/B:1 | category-2 ../x:1");
    c[SG_CANDIDATE_TABLE].rule.affordable = false;
    policy_is("mix", "default -rf:0.75 a_b:0.25");
    must(sg_policy_json_write(&x.a, NULL, &x.names, tmp_path("out"), &err),
         &err); /* not asked for: no old one stays */
    assert_false(sg_file_exists(tmp_path("out/policy.json")));
}

/* Each allocation fails in turn: one line says so, nothing leaks, and no folder is left. (free of what strdup gave is not
 * counted here: both are made outside.) */
static void memory_runs_out(void **state) {
    (void)state;
    struct sg_err err = {0};
    const struct sg_advised advised = {.policy = &x.policy, .step = &x.step};
    for (int q = 0; q < N; q++)
        x.policy.model[q] = q % 20 ? 6 : 0; /* two files: each is waited for on the disk */
    for (int what = 0; what < 2; what++)
        for (int64_t n = 1;; n++) {
            const int64_t before = oom_live;
            oom_arm(n);
            const enum sg_status st =
                what ? sg_policy_json_write(&x.a, &advised, &x.names, tmpdir, &err) : request_files(&err);
            const bool hit = oom_hit;
            oom_arm(0);
            assert_int_equal(oom_live, before);
            if (!hit) {
                must(st, &err);
                assert_true(n > 10);
                break;
            }
            if (st == SG_OK) continue; /* an allocation that nothing depends on */
            assert_int_equal(st, SG_E_NOMEM);
            assert_false(what ? sg_file_exists(tmp_path("policy.json")) : sg_dir_exists(x.spec.dir));
        }
    DIR *dir = opendir(tmpdir);
    for (struct dirent *e; (e = readdir(dir));) assert_null(strstr(e->d_name, ".tmp."));
    closedir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(as_the_policy_says, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_was_estimated, setup, teardown),
        cmocka_unit_test_setup_teardown(folders, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_for_other_traffic, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

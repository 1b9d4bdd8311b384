/* Protects: a job file means what job_fields.inc says; whatever it does not say is refused with its key. */
#include "job_test.h"

#include <sys/stat.h>

static const char *const NEEDED =
    "\"model\": {\"path\": \"m\"}, \"queries\": \"q\", \"anchors\": \"a\", \"outcomes\": "
    "\"o\", \"portfolio\": \"p\"";

static enum sg_status read_job(const char *more, const char *const *set, size_t n_set, struct sg_job *job,
                               struct sg_err *err) {
    char text[4096];
    snprintf(text, sizeof text, "{%s%s%s}", NEEDED, more[0] ? ", " : "", more);
    tmp_put("j.json", text);
    return sg_job_read(tmp_path("j.json"), set, n_set, job, err);
}

static void assert_refused(const char *more, const char *error) {
    struct sg_job job = {0};
    struct sg_err err = {0};
    char want[1000];
    snprintf(want, sizeof want, "%s/j.json%s", tmpdir, error);
    assert_int_equal(read_job(more, NULL, 0, &job, &err), SG_E_INPUT);
    assert_string_equal(err.text, want);
    assert_null(job.text);
}

static void defaults_are_those_of_the_issue(void **state) {
    (void)state;
    struct sg_job job = {0};
    struct sg_err err = {0};
    assert_int_equal(read_job("", NULL, 0, &job, &err), SG_OK);
    assert_string_equal(job.name, "j");
    assert_string_equal(job.model_path, tmp_path("m"));
    assert_string_equal(job.queries, tmp_path("q"));
    assert_string_equal(job.anchors, tmp_path("a"));
    assert_string_equal(job.outcomes, tmp_path("o"));
    assert_string_equal(job.portfolio, tmp_path("p"));
    assert_null(job.prompt.template_path);
    assert_int_equal(job.prompt.anchors, 5);
    assert_int_equal(job.prompt.anchor_chars, 0);
    assert_int_equal(job.prompt.missing, SG_MISSING_ERROR);
    assert_int_equal(job.weight_type, SG_WEIGHT_TYPE_CHECKPOINT);
    assert_int_equal(job.prompt.similarity.method, SG_SIM_TFIDF);
    assert_int_equal(job.prompt.similarity.top_k, 10);
    assert_int_equal(job.sampling.samples, 8);
    assert_int_equal(job.sampling.draws, SG_DRAWS_STRATIFIED);
    assert_true(job.sampling.temperature == 0.6);
    assert_true(job.sampling.top_p == 0.95);
    assert_int_equal(job.sampling.top_k, 20);
    assert_int_equal(job.sampling.max_new_tokens, 1536);
    assert_int_equal(job.sampling.seed, 0);
    assert_int_equal(job.calibration.anchors, 64);
    assert_string_equal(job.engine.device, "auto");
    assert_int_equal(job.engine.threads, 0);
    assert_string_equal(job.output.dir, tmp_path("runs/j"));
    assert_true(job.output.texts);
    sg_job_free(&job);
    sg_job_free(&job);
}

/* Every key has a value other than its default, and each arrives in its own member. */
static void every_key_arrives(void **state) {
    (void)state;
    static const char *const all =
        "{\"name\": \"n\u00e9\", \"model\": {\"path\": \"/abs/m\"}, \"queries\": "
        "\"d/q\", \"anchors\": \"d/a\", "
        "\"outcomes\": \"d/o\", \"portfolio\": \"d/p\", \"prompt\": "
        "{\"template\": \"t.txt\", \"anchors\": 3, "
        "\"anchor_chars\": 200, \"missing\": \"next\", \"similarity\": "
        "{\"method\": \"embedding\", \"top_k\": 7, "
        "\"model\": \"emb\", \"path\": \"sim.json\"}}, \"sampling\": "
        "{\"samples\": 2, \"draws\": \"independent\", \"temperature\": 0, \"top_p\": 1, "
        "\"top_k\": 0, \"max_new_tokens\": 64, \"seed\": 9007199254740992}, "
        "\"calibration\": {\"anchors\": \"all\"}, "
        "\"engine\": {\"device\": \"ref\", "
        "\"max_batch_tokens\": 64, \"kv_cache_mib\": 33, \"overlap_rows\": 512, \"threads\": 3}, "
        "\"output\": {\"dir\": \"/out\", \"texts\": "
        "false}}";
    struct sg_job job = {0};
    struct sg_err err = {0};
    tmp_put("all.json", all);
    if (sg_job_read(tmp_path("all.json"), NULL, 0, &job, &err) != SG_OK) fail_msg("%s", err.text);
    assert_string_equal(job.name, "n\u00e9");
    assert_string_equal(job.model_path, "/abs/m");
    assert_string_equal(job.queries, tmp_path("d/q"));
    assert_string_equal(job.anchors, tmp_path("d/a"));
    assert_string_equal(job.outcomes, tmp_path("d/o"));
    assert_string_equal(job.portfolio, tmp_path("d/p"));
    assert_string_equal(job.prompt.template_path, tmp_path("t.txt"));
    assert_int_equal(job.prompt.anchors, 3);
    assert_int_equal(job.prompt.anchor_chars, 200);
    assert_int_equal(job.prompt.missing, SG_MISSING_NEXT);
    assert_int_equal(job.prompt.similarity.method, SG_SIM_EMBEDDING);
    assert_int_equal(job.prompt.similarity.top_k, 7);
    assert_string_equal(job.prompt.similarity.model, tmp_path("emb"));
    assert_string_equal(job.prompt.similarity.path, tmp_path("sim.json"));
    assert_int_equal(job.sampling.samples, 2);
    assert_int_equal(job.sampling.draws, SG_DRAWS_INDEPENDENT);
    assert_true(job.sampling.temperature == 0);
    assert_true(job.sampling.top_p == 1);
    assert_int_equal(job.sampling.top_k, 0);
    assert_int_equal(job.sampling.max_new_tokens, 64);
    assert_true(job.sampling.seed == (uint64_t)1 << 53);
    assert_int_equal(job.calibration.anchors, SG_JOB_ALL);
    assert_string_equal(job.engine.device, "ref");
    assert_int_equal(job.engine.max_batch_tokens, 64);
    assert_int_equal(job.engine.kv_cache_mib, 33);
    assert_int_equal(job.engine.overlap_rows, 512);
    assert_int_equal(job.engine.threads, 3);
    assert_string_equal(job.output.dir, "/out");
    assert_false(job.output.texts);

    /* the canonical text makes the same job, and is its own canonical text */
    struct sg_job again = {0};
    if (sg_job_from_text(job.text, strlen(job.text), "rank 1", &again, &err) != SG_OK)
        fail_msg("%s", err.text);
    assert_string_equal(again.text, job.text);
    assert_string_equal(again.prompt.similarity.model, job.prompt.similarity.model);
    assert_string_equal(again.output.dir, "/out");
    assert_true(again.sampling.seed == job.sampling.seed);
    sg_job_free(&again);
    sg_job_free(&job);
}

/* A cache of measured size, one as the device likes it, and one that is given are three things, on every rank. */
static void the_cache_may_be_left_open(void **state) {
    (void)state;
    static const struct {
        const char *set;
        int64_t want;
    } list[] = {{"engine.kv_cache_mib=null", SG_JOB_UNSET},
                {"engine.kv_cache_mib=0", 0},
                {"engine.kv_cache_mib=7", 7},
                {"engine.oversubscribe=true", SG_JOB_UNSET}};
    world_put();
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct sg_job job = {0}, again = {0};
        struct sg_err err = {0};
        assert_int_equal(sg_job_read(tmp_path("job.json"), &list[i].set, 1, &job, &err), SG_OK);
        assert_int_equal(sg_job_from_text(job.text, strlen(job.text), "rank 1", &again, &err), SG_OK);
        assert_true(job.engine.kv_cache_mib == list[i].want && again.engine.kv_cache_mib == list[i].want);
        assert_true(again.engine.oversubscribe == (i == 3));
        assert_string_equal(again.text, job.text);
        sg_job_free(&again);
        sg_job_free(&job);
    }
}

/* A number, all of them, or none, from the file or the command line, on every rank. */
static void a_count_may_be_all(void **state) {
    (void)state;
    static const struct {
        const char *set;
        int64_t want;
    } list[] = {{"calibration.anchors=all", SG_JOB_ALL},
                {"calibration.anchors=\"all\"", SG_JOB_ALL},
                {"calibration.anchors=0", 0},
                {"calibration.anchors=17", 17},
                {"calibration.anchors=null", 64}};
    world_put();
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct sg_job job = {0}, again = {0};
        struct sg_err err = {0};
        assert_int_equal(sg_job_read(tmp_path("job.json"), &list[i].set, 1, &job, &err), SG_OK);
        assert_int_equal(sg_job_from_text(job.text, strlen(job.text), "rank 1", &again, &err), SG_OK);
        assert_true(job.calibration.anchors == list[i].want && again.calibration.anchors == list[i].want);
        assert_string_equal(again.text, job.text);
        sg_job_free(&again);
        sg_job_free(&job);
    }
}

/* Relative names in the canonical text are relative to where the job was read from, not to its folder: they
 * must not be resolved a second time. */
static void canonical_text_of_a_relative_job_is_stable(void **state) {
    (void)state;
    struct sg_job job = {0}, again = {0};
    struct sg_err err = {0};
    char cwd[1024];
    assert_non_null(getcwd(cwd, sizeof cwd));
    world_put();
    assert_int_equal(chdir(tmpdir), 0);
    assert_int_equal(mkdir("sub", 0777), 0);
    assert_int_equal(rename("job.json", "sub/job.json"), 0);
    assert_int_equal(sg_job_read("sub/job.json", NULL, 0, &job, &err), SG_OK);
    assert_string_equal(job.queries, "sub/queries.jsonl");
    assert_string_equal(job.output.dir, "sub/runs/small");
    assert_int_equal(sg_job_from_text(job.text, strlen(job.text), "x", &again, &err), SG_OK);
    assert_string_equal(again.queries, "sub/queries.jsonl");
    assert_string_equal(again.text, job.text);
    sg_job_free(&job);
    sg_job_free(&again);
    assert_int_equal(chdir(cwd), 0);
}

static void broken_files_are_refused_with_line_and_column(void **state) {
    (void)state;
    struct sg_job job = {0};
    struct sg_err err = {0};
    char want[600];
    assert_int_equal(sg_job_read(tmp_path("none.json"), NULL, 0, &job, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s/none.json: cannot open: No such file or directory", tmpdir);
    assert_string_equal(err.text, want);
    assert_int_equal(sg_job_read(tmpdir, NULL, 0, &job, &err), SG_E_INPUT);
    tmp_put("broken.json", "{\n \"name\": \"x\",\n \"queries\" \"q\"\n}");
    assert_int_equal(sg_job_read(tmp_path("broken.json"), NULL, 0, &job, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s/broken.json:3:12: broken JSON: expected ':' after a key", tmpdir);
    assert_string_equal(err.text, want);
    tmp_put("list.json", "[]");
    assert_int_equal(sg_job_read(tmp_path("list.json"), NULL, 0, &job, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s/list.json: the value must be an object, not an array", tmpdir);
    assert_string_equal(err.text, want);
    tmp_put("empty.json", "{}");
    assert_int_equal(sg_job_read(tmp_path("empty.json"), NULL, 0, &job, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s/empty.json: model.path is missing", tmpdir);
    assert_string_equal(err.text, want);
}

static void bad_keys_and_values_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *more, *error;
    } bad[] = {
        {"\"sampling\": {\"temprature\": 1}",
         ": unknown key sampling.temprature; did you mean \"temperature\"?"},
        {"\"prompt\": {\"similarity\": {\"k\": 1}}", ": unknown key prompt.similarity.k"},
        {"\"samplings\": {}", ": unknown key samplings; did you mean \"sampling\"?"},
        {"\"name\": \"a\", \"name\": \"b\"", ":1: name stands twice in one object"},
        {"\"engine\": {\"threads\": 1, \"threads\": 1}", ":1: engine.threads stands twice in one object"},
        {"\"sampling\": 5", ": sampling must be an object, not a number"},
        {"\"prompt\": {\"similarity\": \"tfidf\"}", ": prompt.similarity must be an object, not a string"},
        {"\"name\": 5", ": name must be a string, not a number"},
        {"\"name\": \"\"", ": name is 0 bytes long; expected 1 to 100"},
        {"\"name\": \"a/b\"", ": name is \"a/b\"; expected no '/', no control character and no '.' in front"},
        {"\"name\": \"..\"", ": name is \"..\"; expected no '/', no control character and no '.' in front"},
        {"\"name\": \"a\\nb\"",
         ": name is \"a?b\"; expected no '/', no control character and no '.' in front"},
        {"\"sampling\": {\"samples\": 0}", ": sampling.samples is 0; expected 1 to 10000"},
        {"\"sampling\": {\"samples\": -3}", ": sampling.samples is -3; expected 1 to 10000"},
        {"\"sampling\": {\"samples\": 1e9}", ": sampling.samples is 1000000000; expected 1 to 10000"},
        {"\"sampling\": {\"samples\": 2.5}", ": sampling.samples is 2.5; expected a whole number"},
        {"\"sampling\": {\"samples\": \"8\"}", ": sampling.samples must be a whole number, not a string"},
        {"\"sampling\": {\"temperature\": -1}", ": sampling.temperature is -1; expected 0 to 10"},
        {"\"sampling\": {\"temperature\": 1e9}", ": sampling.temperature is 1000000000; expected 0 to 10"},
        {"\"sampling\": {\"temperature\": 1e999}", ":1: sampling.temperature is too large a number"},
        {"\"sampling\": {\"top_p\": 0}", ": sampling.top_p is 0; expected above 0, at most 1"},
        {"\"sampling\": {\"top_p\": -0.0}", ": sampling.top_p is -0; expected above 0, at most 1"},
        {"\"sampling\": {\"top_p\": 1.1}", ": sampling.top_p is 1.1; expected 0 to 1"},
        {"\"sampling\": {\"top_p\": 1.5}", ": sampling.top_p is 1.5; expected 0 to 1"},
        {"\"sampling\": {\"top_k\": -1}", ": sampling.top_k is -1; expected 0 to 1000000"},
        {"\"sampling\": {\"max_new_tokens\": 0}", ": sampling.max_new_tokens is 0; expected 1 to 1000000"},
        {"\"sampling\": {\"seed\": -1}", ": sampling.seed is -1; expected 0 to 9007199254740992"},
        {"\"sampling\": {\"seed\": 1e300}", ": sampling.seed is 1e+300; expected a whole number"},
        {"\"calibration\": {\"anchors\": -1}", ": calibration.anchors is -1; expected 0 to 2147483647"},
        {"\"calibration\": {\"anchors\": \"some\"}",
         ": calibration.anchors is \"some\"; expected a whole number or \"all\""},
        {"\"calibration\": {\"anchors\": true}",
         ": calibration.anchors must be a whole number, not true or false"},
        {"\"engine\": {\"max_batch_tokens\": 1}", ": engine.max_batch_tokens is 1; expected 16 to 1048576"},
        {"\"engine\": {\"kv_cache_mib\": -1}", ": engine.kv_cache_mib is -1; expected 0 to 16777216"},
        {"\"engine\": {\"threads\": -1}", ": engine.threads is -1; expected 0 to 4096"},
        {"\"output\": {\"texts\": 1}", ": output.texts must be true or false, not a number"},
        {"\"output\": {\"dir\": \"\"}", ": output.dir is 0 bytes long; expected 1 to 4096"},
        {"\"prompt\": {\"missing\": \"skip\"}",
         ": prompt.missing is \"skip\"; expected \"error\" or \"next\""},
        {"\"prompt\": {\"similarity\": {\"method\": \"bm25\"}}",
         ": prompt.similarity.method is \"bm25\"; expected \"tfidf\" or \"embedding\" or \"file\""},
        {"\"prompt\": {\"similarity\": {\"method\": \"file\"}}",
         ": prompt.similarity.path is missing; prompt.similarity.method \"file\" needs it"},
        {"\"prompt\": {\"similarity\": {\"method\": \"embedding\"}}",
         ": prompt.similarity.model is missing; prompt.similarity.method \"embedding\" needs it"},
        {"\"prompt\": {\"anchors\": 11}",
         ": prompt.similarity.top_k is 10; expected at least prompt.anchors, which is 11"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_refused(bad[i].more, bad[i].error);
}

/* null is the same as leaving a key out, at every level. */
static void null_gives_the_default(void **state) {
    (void)state;
    struct sg_job job = {0};
    struct sg_err err = {0};
    assert_int_equal(read_job("\"sampling\": null, \"prompt\": {\"similarity\": null, \"anchors\": null}",
                              NULL, 0, &job, &err),
                     SG_OK);
    assert_int_equal(job.sampling.samples, 8);
    assert_int_equal(job.prompt.anchors, 5);
    sg_job_free(&job);
    assert_refused("\"model\": null", ":1: model stands twice in one object");
    tmp_put("n.json", "{\"model\": {\"path\": null}, \"queries\": \"q\"}");
    assert_int_equal(sg_job_read(tmp_path("n.json"), NULL, 0, &job, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "n.json: model.path is missing"));
}

static void overrides_win(void **state) {
    (void)state;
    static const char *const set[] = {
        "sampling.samples=3",    "sampling.temperature=0.25", "name=12",
        "engine.device=\"cpu\"", "output.texts=false",        "output.dir=elsewhere",
        "sampling.samples=4",    "prompt.missing=next",       "engine.threads=null",
        "queries=a=b",
    };
    struct sg_job job = {0};
    struct sg_err err = {0};
    if (read_job("\"engine\": {\"threads\": 9}", set, sizeof set / sizeof set[0], &job, &err) != SG_OK)
        fail_msg("%s", err.text);
    assert_int_equal(job.sampling.samples, 4);
    assert_true(job.sampling.temperature == 0.25);
    assert_string_equal(job.name, "12");
    assert_string_equal(job.engine.device, "cpu");
    assert_false(job.output.texts);
    assert_string_equal(job.output.dir, tmp_path("elsewhere")); /* as if it stood in the file */
    assert_int_equal(job.prompt.missing, SG_MISSING_NEXT);
    assert_int_equal(job.engine.threads, 0);
    assert_string_equal(job.queries, tmp_path("a=b"));
    assert_non_null(strstr(job.text, "\"samples\": 4"));
    sg_job_free(&job);
}

/* An override can mend a value of the file that would be refused. */
static void an_override_replaces_a_bad_value(void **state) {
    (void)state;
    static const char *const set[] = {"sampling.samples=3"};
    struct sg_job job = {0};
    struct sg_err err = {0};
    assert_int_equal(read_job("\"sampling\": {\"samples\": \"many\"}", set, 1, &job, &err), SG_OK);
    assert_int_equal(job.sampling.samples, 3);
    sg_job_free(&job);
}

static void bad_overrides_name_the_command_line(void **state) {
    (void)state;
    static const struct {
        const char *set, *error;
        enum sg_status st;
    } bad[] = {
        {"sampling.samples", "--set sampling.samples: expected key=value", SG_E_USAGE},
        {"=3", "--set =3: expected key=value", SG_E_USAGE},
        {"sampling.sample=3",
         "--set sampling.sample=3: unknown key sampling.sample; did you mean \"sampling.samples\"?",
         SG_E_INPUT},
        {"sampling={}", "--set sampling={}: sampling is a section; set its keys one by one", SG_E_INPUT},
        {"sampling.samples=0", "--set sampling.samples=0: sampling.samples is 0; expected 1 to 10000",
         SG_E_INPUT},
        {"sampling.samples=many",
         "--set sampling.samples=many: sampling.samples must be a whole number, not a string", SG_E_INPUT},
        {"sampling.temperature=nan",
         "--set sampling.temperature=nan: sampling.temperature must be a number, not a string", SG_E_INPUT},
        {"prompt.missing=maybe",
         "--set prompt.missing=maybe: prompt.missing is \"maybe\"; expected \"error\" or "
         "\"next\"",
         SG_E_INPUT},
        {"name=\xff", "--set name: the value is not valid UTF-8", SG_E_INPUT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sg_job job = {0};
        struct sg_err err = {0};
        assert_int_equal(read_job("", &bad[i].set, 1, &job, &err), bad[i].st);
        assert_string_equal(err.text, bad[i].error);
    }
}

/* Numbers are written so that they read back the same: another rank must have the very same temperature. */
static void numbers_survive_the_canonical_text(void **state) {
    (void)state;
    static const char *const values[] = {"0.1", "0.30000000000000004", "1e-300", "9.999999999999998", "0.7"};
    for (size_t i = 0; i < 5; i++) {
        char set[64];
        const char *item = set;
        struct sg_job job = {0}, again = {0};
        struct sg_err err = {0};
        snprintf(set, sizeof set, "sampling.temperature=%s", values[i]);
        assert_int_equal(read_job("", &item, 1, &job, &err), SG_OK);
        assert_int_equal(sg_job_from_text(job.text, strlen(job.text), "x", &again, &err), SG_OK);
        assert_true(again.sampling.temperature == job.sampling.temperature);
        assert_true(again.sampling.temperature == strtod(values[i], NULL));
        sg_job_free(&job);
        sg_job_free(&again);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_issue),
        cmocka_unit_test(every_key_arrives),
        cmocka_unit_test(canonical_text_of_a_relative_job_is_stable),
        cmocka_unit_test(the_cache_may_be_left_open),
        cmocka_unit_test(a_count_may_be_all),
        cmocka_unit_test(broken_files_are_refused_with_line_and_column),
        cmocka_unit_test(bad_keys_and_values_are_refused_by_name),
        cmocka_unit_test(null_gives_the_default),
        cmocka_unit_test(overrides_win),
        cmocka_unit_test(an_override_replaces_a_bad_value),
        cmocka_unit_test(bad_overrides_name_the_command_line),
        cmocka_unit_test(numbers_survive_the_canonical_text),
    };
    return cmocka_run_group_tests(tests, tmpdir_make, tmpdir_remove);
}

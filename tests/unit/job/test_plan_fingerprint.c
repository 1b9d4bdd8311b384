/* Protects: a fingerprint changes exactly when what it stands for changes. Too little, and results of
 * different runs are mixed; too much, and finished cells are computed again. */
#include "job_test.h"

static const struct sg_plan_inputs INPUTS = {.model_digest = {1, 2}, .numerics = "cpu 1"};

static void plan_with(const char *const *set, size_t n_set, const struct sg_plan_inputs *in,
                      struct sg_plan *p) {
    struct sg_err err = {0};
    if (world_plan(set, n_set, in, p, &err) != SG_OK) fail_msg("%s", err.text);
}

/* Which cells of `p` differ from the plain world's, as a string of cell numbers; and whether the run does. */
static void assert_change(const char *what, const struct sg_plan *p, const char *cells, bool run) {
    struct sg_plan plain = {0};
    char got[32] = "";
    world_put();
    plan_with(NULL, 0, &INPUTS, &plain);
    assert_int_equal(p->n_cells, plain.n_cells);
    for (int64_t c = 0; c < p->n_cells; c++)
        if (!sg_digest_equal(p->cell_fingerprint[c], plain.cell_fingerprint[c]))
            snprintf(got + strlen(got), sizeof got - strlen(got), "%d", (int)c);
    if (strcmp(got, cells) != 0) fail_msg("%s: cells \"%s\" changed; expected \"%s\"", what, got, cells);
    if (sg_digest_equal(p->fingerprint, plain.fingerprint) == run)
        fail_msg("%s: the run's fingerprint %s", what, run ? "did not change" : "changed");
    sg_plan_free(&plain);
}

static void settings(void **state) {
    (void)state;
    static const struct {
        const char *set, *cells;
        bool run;
    } cases[] = {
        {"sampling.samples=9", "0123", true},
        {"sampling.draws=independent", "0123", true},
        {"sampling.temperature=0.7", "0123", true},
        {"sampling.top_p=0.9", "0123", true},
        {"sampling.top_k=21", "0123", true},
        {"sampling.max_new_tokens=100", "0123", true},
        {"sampling.seed=5", "0123", true},
        {"prompt.anchors=1", "0123", true},
        {"prompt.anchor_chars=3", "0123", true},
        {"prompt.similarity.top_k=4", "", true}, /* the k-nearest-anchor columns */
        {"prompt.missing=next", "", false},      /* nothing is missing */
        {"prompt.correct_at=0.9", "", false},    /* nothing is graded */
        {"output.texts=false", "", true},
        {"output.dir=elsewhere", "", false},
        {"engine.max_batch_tokens=64", "", false},
        {"engine.kv_cache_mib=7", "", false},
        {"engine.overlap_rows=512", "", false},
        {"engine.threads=2", "", false},
        {"engine.device=cpu", "", false}, /* what results depend on is in numerics */
        {"name=other", "", false},
        {"model.path=elsewhere", "", false}, /* its digest counts, not its place */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sg_plan p = {0};
        plan_with(&cases[i].set, 1, &INPUTS, &p);
        assert_change(cases[i].set, &p, cases[i].cells, cases[i].run);
        sg_plan_free(&p);
    }
}

static void data(void **state) {
    (void)state;
    static const struct {
        const char *what, *file, *from, *to, *cells;
        bool run;
    } cases[] = {
        {"price", "portfolio.json", "\"output\": 75", "\"output\": 76", "", true},
        {"price of a request", "portfolio.json", "\"output\": 75", "\"output\": 75, \"request\": 0.1", "",
         true},
        {"model id", "portfolio.json", "\"id\": \"lab/dear\"", "\"name\": \"lab/dear\", \"id\": \"new\"",
         "13", true},
        {"model name", "portfolio.json", "\"id\": \"lab/dear\"", "\"id\": \"lab/dear\", \"name\": \"D\"", "",
         false},
        {"query id", "queries.jsonl", "\"q1\"", "\"q9\"", "23", true},
        {"query text", "queries.jsonl", "x + 2 = 5 for x", "x + 2 = 6 for x", "23", true},
        {"query category", "queries.jsonl", "\"count\"", "\"tally\"", "", true},
        {"other keys", "queries.jsonl", "\"gt\": 3", "\"gt\": 4", "", false},
        {"prompt or question", "queries.jsonl", "\"question\"", "\"prompt\"", "", false},
        {"anchor text", "anchors.jsonl", "How many apples has Ann?", "How many apples has Eve?", "01", true},
        {"anchor category", "anchors.jsonl", "\"algebra\"", "\"maths\"", "", true},
        {"anchor correct", "outcomes.jsonl", "false, \"usage_completion_tokens\": 30",
         "true, \"usage_completion_tokens\": 30", "1", true},
        {"a score that says what the flag said", "outcomes.jsonl",
         "\"is_correct\": false, \"usage_completion_tokens\": 30",
         "\"score\": 0, \"usage_completion_tokens\": 30", "", false},
        {"a score of the same flag", "outcomes.jsonl",
         "\"is_correct\": false, \"usage_completion_tokens\": 30",
         "\"score\": 0.25, \"usage_completion_tokens\": 30", "", true},
        {"a score of the other flag", "outcomes.jsonl",
         "\"is_correct\": false, \"usage_completion_tokens\": 30",
         "\"score\": 0.5, \"usage_completion_tokens\": 30", "1", true},
        {"true score", "outcomes.jsonl",
         "\"is_correct\": true, \"usage_completion_tokens\": 7, \"usage_prompt",
         "\"score\": 0.5, \"usage_completion_tokens\": 7, \"usage_prompt", "", true},
        {"anchor length", "outcomes.jsonl", ": 30}", ": 31}", "1", true},
        {"anchor of the other model", "outcomes.jsonl", ": 100}", ": 101}", "0", true},
        {"truth", "outcomes.jsonl", ": 7, \"usage_prompt", ": 8, \"usage_prompt", "", true},
        {"truth prompt tokens", "outcomes.jsonl", "_tokens\": 11", "_tokens\": 12", "", true},
        {"unused outcome", "outcomes.jsonl", "\"elsewhere\"", "\"nowhere\"", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sg_plan p = {0};
        const char *file = cases[i].file, *text = !strcmp(file, "portfolio.json")  ? WORLD_PORTFOLIO
                                                  : !strcmp(file, "queries.jsonl") ? WORLD_QUERIES
                                                  : !strcmp(file, "anchors.jsonl") ? WORLD_ANCHORS
                                                                                   : WORLD_OUTCOMES;
        world_put();
        tmp_put(file, edited(text, cases[i].from, cases[i].to));
        plan_with(NULL, 0, &INPUTS, &p);
        assert_change(cases[i].what, &p, cases[i].cells, cases[i].run);
        sg_plan_free(&p);
    }
}

static void the_estimator_and_its_numerics(void **state) {
    (void)state;
    struct sg_plan p = {0};
    struct sg_plan_inputs in = INPUTS;
    world_put();
    in.model_digest.lo = 3;
    plan_with(NULL, 0, &in, &p);
    assert_change("model digest", &p, "0123", true);
    sg_plan_free(&p);
    in = INPUTS;
    in.numerics = "cpu 2";
    plan_with(NULL, 0, &in, &p);
    assert_change("numerics", &p, "0123", true);
    sg_plan_free(&p);
}

static void the_template(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.template=t.txt"};
    struct sg_plan p = {0}, q = {0};
    world_put();
    tmp_put("t.txt", "");
    plan_with(set, 1, &INPUTS, &p);
    assert_change("a template", &p, "0123", true);
    tmp_put("t-example.txt", "");
    plan_with(set, 1, &INPUTS, &q);
    assert_false(sg_digest_equal(p.cell_fingerprint[0], q.cell_fingerprint[0]));
    sg_plan_free(&p);
    sg_plan_free(&q);
    unlink(tmp_path("t-example.txt"));
}

/* An anchor cut at its last character and one a character longer are different prompts (... follows). */
static void a_cut_anchor_is_not_the_whole_one(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.anchor_chars=24"};
    struct sg_plan p = {0}, q = {0};
    world_put();
    plan_with(set, 1, &INPUTS, &p);
    tmp_put("anchors.jsonl", edited(WORLD_ANCHORS, "has Ann?", "has Ann??"));
    plan_with(set, 1, &INPUTS, &q);
    assert_int_equal(p.ranked[0].anchor, q.ranked[0].anchor);
    assert_int_equal(p.ranked[1].anchor, q.ranked[1].anchor);
    assert_false(sg_digest_equal(p.cell_fingerprint[0], q.cell_fingerprint[0]));
    assert_true(sg_digest_equal(p.cell_fingerprint[2], q.cell_fingerprint[2]));
    sg_plan_free(&p);
    sg_plan_free(&q);
    /* beyond the cut nothing counts */
    tmp_put("anchors.jsonl", edited(WORLD_ANCHORS, "has Ann?", "has Ann?!"));
    plan_with(set, 1, &INPUTS, &p);
    tmp_put("anchors.jsonl", edited(WORLD_ANCHORS, "has Ann?", "has Ann?;"));
    plan_with(set, 1, &INPUTS, &q);
    assert_true(sg_digest_equal(p.cell_fingerprint[0], q.cell_fingerprint[0]));
    sg_plan_free(&p);
    sg_plan_free(&q);
    world_put();
}

/* A cell keeps its fingerprint in a bigger grid: last night's results are good for it. */
static void cells_are_the_same_in_another_grid(void **state) {
    (void)state;
    struct sg_plan small = {0}, big = {0};
    struct sg_buf more = {0};
    world_put();
    plan_with(NULL, 0, &INPUTS, &small);
    sg_buf_printf(&more, NULL, "{\"id\": \"new\", \"prompt\": \"Solve for pears\"}\n%s", WORLD_QUERIES);
    tmp_put("queries.jsonl", more.data);
    tmp_put("portfolio.json", "[{\"id\": \"lab/dear\", \"input\": 1, \"output\": 1},"
                              "{\"id\": \"lab/cheap\", \"name\": \"Cheap\", \"input\": 1, \"output\": 1}]");
    plan_with(NULL, 0, &INPUTS, &big);
    for (int q = 0; q < 2; q++)
        for (int m = 0; m < 2; m++)
            assert_true(sg_digest_equal(small.cell_fingerprint[q * 2 + m],
                                        big.cell_fingerprint[(q + 1) * 2 + 1 - m]));
    assert_false(sg_digest_equal(small.fingerprint, big.fingerprint));
    sg_plan_free(&small);
    sg_plan_free(&big);
    sg_buf_free(&more);
    world_put();
}

/* Anchors are named by what a prompt shows of them, not by their ids. */
static void an_anchors_id_counts_for_the_run_alone(void **state) {
    (void)state;
    struct sg_plan p = {0};
    const char *outcomes = edited(WORLD_OUTCOMES, "\"a0\"", "\"b0\"");
    world_put();
    tmp_put("anchors.jsonl", edited(WORLD_ANCHORS, "\"a0\"", "\"b0\""));
    tmp_put("outcomes.jsonl", edited(outcomes, "\"a0\"", "\"b0\""));
    plan_with(NULL, 0, &INPUTS, &p);
    assert_change("anchor id", &p, "", true); /* results.h5 names it */
    sg_plan_free(&p);
}

/* What tells that a cell with eight samples begins with this one's four. */
static void fingerprints_with_other_samples(void **state) {
    (void)state;
    const char *const four = "sampling.samples=4";
    struct sg_plan plain = {0}, few = {0};
    struct sg_digest of[4];
    struct sg_err err = {0};
    plan_with(NULL, 0, &INPUTS, &plain);
    plan_with(&four, 1, &INPUTS, &few);
    assert_int_equal(few.n_cells, 4);
    const struct sg_sampling_params params = sg_plan_job_params(&plain.job);
    if (sg_plan_fingerprints_of(&few, &INPUTS, &params, of, &err) != SG_OK) fail_msg("%s", err.text);
    for (int c = 0; c < 4; c++) {
        assert_true(sg_digest_equal(of[c], plain.cell_fingerprint[c]));
        assert_false(sg_digest_equal(few.cell_fingerprint[c], plain.cell_fingerprint[c]));
    }
    sg_plan_free(&plain);
    sg_plan_free(&few);
}

/* A listed cell is that of a job with eight samples, any other that of one with four. */
static void fingerprints_of_a_list(void **state) {
    (void)state;
    const char *const few[] = {"sampling.samples=4"}, *const list[] = {"sampling.cells=cells.csv",
                                                                       "sampling.others=4"};
    struct sg_plan eight = {0}, four = {0}, p = {0}, q = {0};
    struct sg_buf b = {0};
    struct sg_err err = {0};
    plan_with(NULL, 0, &INPUTS, &eight);
    plan_with(few, 1, &INPUTS, &four);
    sg_buf_printf(&b, NULL, "%s,\"%s\"\r\n", eight.queries[1].id, eight.models[0].id);
    tmp_put("cells.csv", b.data);
    plan_with(list, 2, &INPUTS, &p);
    sg_buf_clear(&b);
    assert_int_equal(sg_plan_pack(&p, &b, &err), SG_OK);
    assert_int_equal(sg_plan_unpack(b.data, b.len, &q, &err), SG_OK);
    for (int64_t c = 0; c < p.n_cells; c++) {
        const bool listed = c == p.n_models;
        assert_true(sg_digest_equal(p.cell_fingerprint[c], (listed ? &eight : &four)->cell_fingerprint[c]));
        assert_int_equal(sg_plan_cell_samples(&p, c), listed ? 8 : 4);
        assert_int_equal(sg_plan_cell_samples(&q, c), listed ? 8 : 4);
    }
    assert_false(sg_digest_equal(p.fingerprint, eight.fingerprint));
    assert_false(sg_digest_equal(p.fingerprint, four.fingerprint));
    sg_buf_free(&b);
    sg_plan_free(&q);
    sg_plan_free(&p);
    sg_plan_free(&four);
    sg_plan_free(&eight);
}

/* The run of a prefill group is a run of its own, and the plan of each of its points is that of the point's job. */
static void a_group_has_the_plans_of_its_points(void **state) {
    (void)state;
    const char *const seed = "sampling.seed=7";
    struct sg_plan one = {0}, other = {0}, group = {0};
    struct sg_digest of[4];
    struct sg_err err = {0};
    plan_with(NULL, 0, &INPUTS, &one);
    plan_with(&seed, 1, &INPUTS, &other);
    const struct sg_sampling_params params[2] = {sg_plan_job_params(&one.job),
                                                 sg_plan_job_params(&other.job)};
    struct sg_plan_inputs in = INPUTS;
    in.params = params;
    in.n_params = 2;
    plan_with(NULL, 0, &in, &group);
    assert_int_equal(one.n_params, 1);
    assert_int_equal(one.n_samples, one.job.sampling.samples);
    assert_int_equal(group.n_samples, 2 * one.n_samples);
    assert_false(sg_digest_equal(group.fingerprint, one.fingerprint));
    for (int v = 0; v < 2; v++) {
        const struct sg_plan *alone = v ? &other : &one;
        struct sg_plan point;
        assert_true(sg_plan_same_params(&group.params[v], &params[v]));
        assert_int_equal(sg_plan_fingerprints_of(&group, &INPUTS, &group.params[v], of, &err), SG_OK);
        assert_int_equal(sg_plan_point(&group, &INPUTS, &alone->job, &point, &err), SG_OK);
        for (int c = 0; c < 4; c++) {
            assert_true(sg_digest_equal(of[c], alone->cell_fingerprint[c]));
            assert_true(sg_digest_equal(point.cell_fingerprint[c], alone->cell_fingerprint[c]));
            assert_false(sg_digest_equal(of[c], group.cell_fingerprint[c]));
        }
        assert_true(sg_digest_equal(point.fingerprint, alone->fingerprint));
        struct sg_buf a = {0}, b = {0};
        assert_int_equal(sg_plan_pack(&point, &a, &err), SG_OK);
        assert_int_equal(sg_plan_pack(alone, &b, &err), SG_OK);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        sg_buf_free(&a);
        sg_buf_free(&b);
        sg_plan_point_free(&point);
    }
    assert_false(sg_plan_same_params(&params[0], &params[1]));
    sg_plan_free(&one);
    sg_plan_free(&other);
    sg_plan_free(&group);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings),
        cmocka_unit_test(data),
        cmocka_unit_test(fingerprints_with_other_samples),
        cmocka_unit_test(fingerprints_of_a_list),
        cmocka_unit_test(a_group_has_the_plans_of_its_points),
        cmocka_unit_test(the_estimator_and_its_numerics),
        cmocka_unit_test(the_template),
        cmocka_unit_test(a_cut_anchor_is_not_the_whole_one),
        cmocka_unit_test(cells_are_the_same_in_another_grid),
        cmocka_unit_test(an_anchors_id_counts_for_the_run_alone),
    };
    return cmocka_run_group_tests(tests, world_setup, tmpdir_remove);
}

/* Protects: bad data is refused with file, line and what was expected; good data lands where it belongs. */
#include "job_test.h"

/* One edit of one file of the world, and the one line that planning must then answer with. */
struct bad {
    const char *file, *from, *to, *error;
};

static void check_all(const struct bad *bad, size_t n, const char *text) {
    for (size_t i = 0; i < n; i++) {
        world_put();
        tmp_put(bad[i].file, bad[i].from ? edited(text, bad[i].from, bad[i].to) : bad[i].to);
        world_plan_fails(bad[i].error);
    }
    world_put();
}

static void bad_questions(void **state) {
    (void)state;
    static const struct bad bad[] = {
        {"queries.jsonl", NULL, "", "queries.jsonl: holds no queries; expected at least one record"},
        {"queries.jsonl", NULL, "[]", "queries.jsonl: holds no queries; expected at least one record"},
        {"queries.jsonl", "\"id\": \"q0\", ", "", "queries.jsonl:1: id is missing"},
        {"queries.jsonl", "\"q0\"", "7", "queries.jsonl:1: id must be a string, not a number"},
        {"queries.jsonl", "\"q1\"", "\"\"", "queries.jsonl:2: id is empty"},
        {"queries.jsonl", "\"q1\"", "\"q0\"",
         "queries.jsonl:2: id \"q0\" stands here a second time; first on line 1"},
        {"queries.jsonl", "\"question\"", "\"text\"", "queries.jsonl:2: prompt (or question) is missing"},
        {"queries.jsonl", "\"Solve x + 2 = 5 for x\"", "\"\"", "queries.jsonl:2: question is empty"},
        {"queries.jsonl", "\"How many red apples are in the basket?\"", "[]",
         "queries.jsonl:1: prompt must be a string, not an array"},
        {"queries.jsonl", "\"count\"", "{}", "queries.jsonl:1: category must be a string, not an object"},
        {"queries.jsonl", "Solve", "S\xC0lve", "queries.jsonl:2:28: invalid UTF-8"},
        {"queries.jsonl", "Solve", "S\\u0000lve",
         "queries.jsonl:2:28: broken JSON: \\u0000 is not accepted in strings"},
    };
    check_all(bad, sizeof bad / sizeof bad[0], WORLD_QUERIES);
    static const struct bad anchors[] = {
        {"anchors.jsonl", NULL, "\n", "anchors.jsonl: holds no anchors; expected at least one record"},
        {"anchors.jsonl", "\"a2\"", "\"a1\"",
         "anchors.jsonl:3: id \"a1\" stands here a second time; first on line 2"},
    };
    check_all(anchors, sizeof anchors / sizeof anchors[0], WORLD_ANCHORS);
}

static void bad_portfolios(void **state) {
    (void)state;
    static const struct bad bad[] = {
        {"portfolio.json", NULL, "[]", "portfolio.json: holds no models; expected at least one record"},
        {"portfolio.json", ", \"output\": 75", "",
         "portfolio.json:3: model \"lab/dear\" has no price: output is missing (USD per million tokens)"},
        {"portfolio.json", "\"input\": 0.5", "\"input\": null",
         "portfolio.json:2: model \"lab/cheap\" has no price: input is missing (USD per million tokens)"},
        {"portfolio.json", "0.5", "-0.5", "portfolio.json:2: input is -0.5; expected 0 to 1e+09"},
        {"portfolio.json", "0.5", "NaN", "portfolio.json:2:48: broken JSON: expected a value"},
        {"portfolio.json", "0.5", "1e999", "portfolio.json:2: input is too large a number"},
        {"portfolio.json", "0.5", "\"0.5\"", "portfolio.json:2: input must be a number, not a string"},
        {"portfolio.json", "lab/dear", "lab/cheap",
         "portfolio.json:3: model \"lab/cheap\" stands here a second time; first on line 2"},
        {"portfolio.json", "\"lab/dear\"", "\"\"", "portfolio.json:3: id is empty"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"aliases\": \"dear\"",
         "portfolio.json:3: aliases must be an array of names"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"aliases\": [\"dear\", \"\"]",
         "portfolio.json:3: aliases must be an array of names"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"aliases\": [\"dear\", 3]",
         "portfolio.json:3: aliases must be an array of names"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"aliases\": [\"lab/cheap\"]",
         "portfolio.json:3: \"lab/cheap\" is an alias, and a name of the model of line 2 as well"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"aliases\": [\"Cheap\"]",
         "portfolio.json:3: \"Cheap\" is an alias, and a name of the model of line 2 as well"},
        {"portfolio.json", "\"name\": \"Cheap\"", "\"aliases\": [\"lab/dear\"]",
         "portfolio.json:2: \"lab/dear\" is an alias, and a name of the model of line 3 as well"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"provider_id\": \"\"",
         "portfolio.json:3: provider_id is empty"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"as_of\": \"2026-1-31\"",
         "portfolio.json:3: as_of is \"2026-1-31\"; expected YYYY-MM-DD"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"as_of\": 20260131",
         "portfolio.json:3: as_of must be a string, not a number"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"request\": -0.005",
         "portfolio.json:3: request is -0.005; expected 0 to 1e+09"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"batch_input\": 7.5",
         "portfolio.json:3: model \"lab/dear\" has one batch price: batch_output is missing"},
        {"portfolio.json", "\"input\": 15", "\"input\": 15, \"batch_output\": -1, \"batch_input\": 7",
         "portfolio.json:3: batch_output is -1; expected 0 to 1e+09"},
    };
    check_all(bad, sizeof bad / sizeof bad[0], WORLD_PORTFOLIO);
}

static void bad_outcomes(void **state) {
    (void)state;
    static const struct bad bad[] = {
        {"outcomes.jsonl", "\"a1\", \"model_name\": \"lab/cheap\"", "\"a1\", \"model_name\": \"lab/cheep\"",
         "outcomes.jsonl: no outcome of model \"lab/cheap\" on anchor \"a1\", which query \"q1\" shows; add "
         "it, or "
         "set prompt.missing to \"next\" (the outcomes have 1 of \"lab/cheep\", which no portfolio entry "
         "knows)"},
        {"outcomes.jsonl", "\"a3\", \"model_name\": \"Cheap\"", "\"a0\", \"model_name\": \"Cheap\"",
         "outcomes.jsonl:4: a second outcome of model \"Cheap\" on question \"a0\"; keep one"},
        {"outcomes.jsonl", "\"is_correct\": false", "\"is_correct\": \"false\"",
         "outcomes.jsonl:2: is_correct must be true, false, 1 or 0"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"is_correct\": 2,",
         "outcomes.jsonl:3: is_correct must be true, false, 1 or 0"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "", "outcomes.jsonl:3: is_correct (or score) is missing"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"score\": 1.2,",
         "outcomes.jsonl:3: score is 1.2; expected 0 to 1"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"score\": -0.1,",
         "outcomes.jsonl:3: score is -0.1; expected 0 to 1"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"score\": \"x\",",
         "outcomes.jsonl:3: score must be a number, not a string"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"score\": true,",
         "outcomes.jsonl:3: score must be a number, not true or false"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"score\": 1e999,",
         "outcomes.jsonl:3: score is too large a number"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"score\": NaN,",
         "outcomes.jsonl:3:50: broken JSON: expected a value"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"score\": null,",
         "outcomes.jsonl:3: is_correct (or score) is missing"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"is_correct\": 1, \"score\": 0.4,",
         "outcomes.jsonl:3: score is 0.4 and is_correct is true, but from prompt.correct_at = 0.5 on an "
         "answer is "
         "correct; mend the record or prompt.correct_at"},
        {"outcomes.jsonl", "\"is_correct\": false", "\"is_correct\": false, \"score\": 0.5",
         "outcomes.jsonl:2: score is 0.5 and is_correct is false, but from prompt.correct_at = 0.5 on an "
         "answer is "
         "correct; mend the record or prompt.correct_at"},
        {"outcomes.jsonl", ", \"usage_completion_tokens\": 200", "",
         "outcomes.jsonl:2: usage_completion_tokens is missing"},
        {"outcomes.jsonl", "\"usage_completion_tokens\": 200", "\"usage_completion_tokens\": -1",
         "outcomes.jsonl:2: usage_completion_tokens is -1; expected 0 to 2147483647"},
        {"outcomes.jsonl", "\"usage_prompt_tokens\": 11", "\"usage_prompt_tokens\": 1.5",
         "outcomes.jsonl:9: usage_prompt_tokens is 1.5; expected a whole number"},
        {"outcomes.jsonl", "\"id\": \"a0\", ", "", "outcomes.jsonl:1: id is missing"},
        {"outcomes.jsonl", "{\"id\": \"a0\"", "\"id\": \"a0\"",
         "outcomes.jsonl:1:5: broken JSON: text after the end of the JSON value"},
    };
    check_all(bad, sizeof bad / sizeof bad[0], WORLD_OUTCOMES);
    world_put();
    unlink(tmp_path("outcomes.jsonl"));
    world_plan_fails("outcomes.jsonl: cannot open: No such file or directory");
    world_put();
}

static void good_data_lands_where_it_belongs(void **state) {
    (void)state;
    struct sg_plan p = {0};
    world_plan_ok(NULL, 0, &p);
    assert_int_equal(p.n_queries, 2);
    assert_int_equal(p.n_anchors, 4);
    assert_int_equal(p.n_models, 2);
    assert_int_equal(p.n_cells, 4);
    assert_int_equal(p.top_k, 3);
    assert_string_equal(p.queries[0].id, "q0");
    assert_string_equal(p.queries[0].category, "count");
    assert_string_equal(p.queries[1].prompt.s, "Solve x + 2 = 5 for x");
    assert_int_equal(p.queries[1].prompt.n, 21);
    assert_string_equal(p.queries[1].category, "");
    assert_string_equal(p.anchors[3].id, "a3");
    assert_string_equal(p.models[0].id, "lab/cheap");
    assert_string_equal(p.models[0].name, "Cheap");
    assert_null(p.models[1].name);
    assert_true(p.models[1].price.input == 15 && p.models[1].price.output == 75 &&
                p.models[1].price.request == 0);
    const struct sg_outcome *o = &p.anchor_outcomes[3 * 2 + 0]; /* told by the short name, with 0 for false */
    assert_true(o->known && !o->correct && o->completion_tokens == 400 && o->prompt_tokens == -1);
    o = &p.anchor_outcomes[2 * 2 + 0];
    assert_true(o->known && o->correct && o->completion_tokens == 300);
    assert_non_null(p.truth);
    assert_false(p.truth[0].known);
    assert_true(p.truth[1].known && p.truth[1].correct && p.truth[1].prompt_tokens == 11 &&
                p.truth[1].completion_tokens == 7);
    assert_int_equal(p.unused_outcomes, 1);
    sg_plan_free(&p);
    sg_plan_free(&p);
}

/* a1 on lab/cheap is worth 0.75, with its flag; a2 on lab/dear 0.25, without. */
static const char *graded_outcomes(void) {
    const char *text =
        edited(WORLD_OUTCOMES, "\"is_correct\": false", "\"is_correct\": true, \"score\": 0.75");
    return edited(text, "\"is_correct\": false", "\"score\": 0.25");
}

/* Scores are kept as they are; prompt.correct_at makes the flags of them, and of nothing else. */
static void scores(void **state) {
    (void)state;
    static const char *const low[] = {"prompt.correct_at=0.25"}, *const high[] = {"prompt.correct_at=0.75"};
    struct sg_plan p = {0};
    world_put();
    world_plan_ok(NULL, 0, &p);
    assert_false(p.graded);
    assert_true(p.anchor_outcomes[0].score == 1 && p.anchor_outcomes[1 * 2].score == 0);
    sg_plan_free(&p);
    tmp_put("outcomes.jsonl", graded_outcomes());
    world_plan_ok(high, 1, &p);
    assert_true(p.graded);
    const struct sg_outcome *o = p.anchor_outcomes;
    assert_true(o[1 * 2].score == 0.75 && o[1 * 2].correct);
    assert_true(o[2 * 2 + 1].score == 0.25 && !o[2 * 2 + 1].correct);
    assert_true(o[0].score == 1 && o[0].correct && o[3 * 2].score == 0 && !o[3 * 2].correct);
    assert_true(p.truth[1].score == 1);
    sg_plan_free(&p);
    world_plan_ok(low, 1, &p);
    assert_true(p.anchor_outcomes[2 * 2 + 1].correct);
    sg_plan_free(&p);
    /* full marks and none are what true and false are */
    tmp_put("outcomes.jsonl", edited(edited(WORLD_OUTCOMES, "\"is_correct\": 1", "\"score\": 1.0"),
                                     "\"is_correct\": 0", "\"score\": 0"));
    world_plan_ok(NULL, 0, &p);
    assert_false(p.graded);
    assert_true(p.anchor_outcomes[2 * 2].correct && !p.anchor_outcomes[3 * 2].correct);
    sg_plan_free(&p);
    world_put();
}

/* A short name that two models bear says neither. */
static void shared_short_names_mean_nobody(void **state) {
    (void)state;
    world_put();
    tmp_put("portfolio.json",
            edited(WORLD_PORTFOLIO, "\"id\": \"lab/dear\"", "\"id\": \"lab/dear\", \"name\": \"Cheap\""));
    world_plan_fails(
        "outcomes.jsonl: no outcome of model \"lab/cheap\" on anchor \"a3\", which query \"q1\" shows; "
        "add it, or set prompt.missing to \"next\" (the outcomes have 1 of \"Cheap\", which no "
        "portfolio entry knows)");
    world_put();
}

/* Outcomes may say a model by its provider's id and by aliases; the oldest and newest price date are kept. */
static void models_have_other_names(void **state) {
    (void)state;
    struct sg_plan p = {0};
    world_put();
    tmp_put(
        "portfolio.json",
        "[{\"id\": \"lab/cheap\", \"provider_id\": \"Cheap\", \"input\": 0.5, \"output\": 1, \"as_of\": "
        "\"2026-02-01\", \"aliases\": [\"c\", \"Cheap\", \"c\"]},\n"
        " {\"id\": \"lab/dear\", \"name\": \"Dear\", \"provider_id\": \"Dear\", \"aliases\": [\"d-2025\"], "
        "\"input\": 15, \"output\": 75, \"as_of\": \"2025-12-31\", \"batch_input\": 7.5, \"batch_output\": "
        "37.5}]");
    tmp_put("outcomes.jsonl",
            edited(edited(WORLD_OUTCOMES, "\"lab/dear\"", "\"d-2025\""), "\"lab/dear\"", "\"Dear\""));
    world_plan_ok(NULL, 0, &p);
    assert_true(p.anchor_outcomes[3 * 2 + 0].known); /* by the provider's id */
    assert_int_equal(p.anchor_outcomes[0 * 2 + 1].completion_tokens, 10);
    assert_int_equal(p.anchor_outcomes[1 * 2 + 1].completion_tokens, 20);
    assert_int_equal(p.n_unknown, 0);
    assert_string_equal(p.prices_from, "2025-12-31");
    assert_string_equal(p.prices_to, "2026-02-01");
    sg_plan_free(&p);
    /* a provider's id of two models says neither of them */
    tmp_put("portfolio.json",
            "[{\"id\": \"lab/cheap\", \"name\": \"Cheap\", \"provider_id\": \"p\", \"input\": 0.5, "
            "\"output\": 1},\n"
            " {\"id\": \"lab/dear\", \"provider_id\": \"p\", \"input\": 15, \"output\": 75}]");
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "\"elsewhere\", \"model_name\": \"lab/dear\"",
                                     "\"elsewhere\", \"model_name\": \"p\""));
    world_plan_ok(NULL, 0, &p);
    assert_null(p.prices_from);
    assert_int_equal(p.n_unknown, 1);
    assert_string_equal(p.unknown[0].name, "p");
    sg_plan_free(&p);
    world_put();
}

/* Names that no entry knows are counted, most outcomes first, and the nearest known name goes with them. */
static void unknown_models_are_counted(void **state) {
    (void)state;
    struct sg_plan p = {0};
    world_put();
    struct sg_buf b = {0};
    assert_int_equal(sg_buf_str(&b, WORLD_OUTCOMES, NULL), SG_OK);
    for (int i = 0; i < 3; i++) /* of no use and incomplete, but of no model of this job either */
        assert_int_equal(sg_buf_printf(&b, NULL, "{\"id\": \"a%d\", \"model_name\": \"%s\"}\n", i,
                                       i ? "lab/deer" : "an unheard of model"),
                         SG_OK);
    tmp_put("outcomes.jsonl", b.data);
    sg_buf_free(&b);
    world_plan_ok(NULL, 0, &p);
    assert_int_equal(p.n_unknown, 2);
    assert_string_equal(p.unknown[0].name, "lab/deer");
    assert_string_equal(p.unknown[0].near, "lab/dear");
    assert_int_equal(p.unknown[0].outcomes, 2);
    assert_string_equal(p.unknown[1].name, "an unheard of model");
    assert_null(p.unknown[1].near);
    assert_int_equal(p.unknown[1].outcomes, 1);
    assert_int_equal(p.unused_outcomes, 1);
    sg_plan_free(&p);
    world_put();
}

static void without_truth_there_is_none(void **state) {
    (void)state;
    struct sg_plan p = {0};
    world_put();
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "\"q0\"", "\"nobody\""));
    world_plan_ok(NULL, 0, &p);
    assert_null(p.truth);
    assert_int_equal(p.unused_outcomes, 2);
    sg_plan_free(&p);
    world_put();
}

/* A question that is query and anchor at once has one outcome for both. */
static void a_query_may_be_an_anchor(void **state) {
    (void)state;
    struct sg_plan p = {0};
    world_put();
    tmp_put("queries.jsonl", "{\"id\": \"a2\", \"prompt\": \"How many pears are red?\"}\n");
    world_plan_ok(NULL, 0, &p);
    assert_true(p.truth[1].known && !p.truth[1].correct);
    assert_true(p.anchor_outcomes[2 * 2 + 1].known);
    for (int i = 0; i < p.top_k; i++) assert_int_not_equal(p.ranked[i].anchor, 2);
    sg_plan_free(&p);
    world_put();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_questions),
        cmocka_unit_test(bad_portfolios),
        cmocka_unit_test(bad_outcomes),
        cmocka_unit_test(good_data_lands_where_it_belongs),
        cmocka_unit_test(scores),
        cmocka_unit_test(shared_short_names_mean_nobody),
        cmocka_unit_test(models_have_other_names),
        cmocka_unit_test(unknown_models_are_counted),
        cmocka_unit_test(without_truth_there_is_none),
        cmocka_unit_test(a_query_may_be_an_anchor),
    };
    return cmocka_run_group_tests(tests, world_setup, tmpdir_remove);
}

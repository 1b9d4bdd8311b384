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
    };
    check_all(bad, sizeof bad / sizeof bad[0], WORLD_PORTFOLIO);
}

static void bad_outcomes(void **state) {
    (void)state;
    static const struct bad bad[] = {
        {"outcomes.jsonl", "\"a1\", \"model_name\": \"lab/cheap\"", "\"a1\", \"model_name\": \"lab/cheep\"",
         "outcomes.jsonl:2: model_name \"lab/cheep\" is not in the portfolio; did you mean \"lab/cheap\"?"},
        {"outcomes.jsonl", "\"Cheap\"", "\"unheard of\"",
         "outcomes.jsonl:4: model_name \"unheard of\" is not in the portfolio"},
        {"outcomes.jsonl", "\"elsewhere\", \"model_name\": \"lab/dear\"",
         "\"elsewhere\", \"model_name\": \"else\"",
         "outcomes.jsonl:10: model_name \"else\" is not in the portfolio"},
        {"outcomes.jsonl", "\"a3\", \"model_name\": \"Cheap\"", "\"a0\", \"model_name\": \"Cheap\"",
         "outcomes.jsonl:4: a second outcome of model \"Cheap\" on question \"a0\""},
        {"outcomes.jsonl", "\"is_correct\": false", "\"is_correct\": \"false\"",
         "outcomes.jsonl:2: is_correct must be true, false, 1 or 0"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "\"is_correct\": 2,",
         "outcomes.jsonl:3: is_correct must be true, false, 1 or 0"},
        {"outcomes.jsonl", "\"is_correct\": 1,", "", "outcomes.jsonl:3: is_correct is missing"},
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
    assert_true(p.models[1].input == 15 && p.models[1].output == 75);
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

/* A short name that two models bear says neither. */
static void shared_short_names_mean_nobody(void **state) {
    (void)state;
    world_put();
    tmp_put("portfolio.json",
            edited(WORLD_PORTFOLIO, "\"id\": \"lab/dear\"", "\"id\": \"lab/dear\", \"name\": \"Cheap\""));
    world_plan_fails("outcomes.jsonl:4: model_name \"Cheap\" is not in the portfolio");
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
        cmocka_unit_test(shared_short_names_mean_nobody),
        cmocka_unit_test(without_truth_there_is_none),
        cmocka_unit_test(a_query_may_be_an_anchor),
    };
    return cmocka_run_group_tests(tests, world_setup, tmpdir_remove);
}

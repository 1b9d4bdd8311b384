/* Protects the way from the inputs to the file: axes, prices, truth and baselines of a plan arrive where they
 * belong, and what was not measured is not invented. */
#include "store/merge.h"

#include "cell/estimate.h"
#include "unit/job/job_test.h"
#include <math.h>
#include <string.h>

static void a_plan_becomes_results(void **state) {
    (void)state;
    struct sg_plan p = {0};
    struct sg_results r = {0};
    struct sg_err e = {0};
    char hex[SG_DIGEST_HEX];
    world_plan_ok(NULL, 0, &p);
    if (sg_results_init_plan(&p, &r, &e) != SG_OK) fail_msg("%s", e.text);
    assert_int_equal(r.n_queries, 2);
    assert_int_equal(r.n_models, 2);
    assert_int_equal(r.n_samples, p.job.sampling.samples);
    assert_string_equal(r.query[0], "q0");
    assert_string_equal(r.query[1], "q1");
    assert_string_equal(r.category[0], "count");
    assert_string_equal(r.category[1], "");
    assert_string_equal(r.model[0], "lab/cheap");
    assert_string_equal(r.model[1], "lab/dear");
    assert_true(r.price_input[0] == 0.5 && r.price_output[0] == 1 && r.price_input[1] == 15 &&
                r.price_output[1] == 75);
    /* The one known outcome of a query: q0 on lab/dear, 11 prompt and 7 completion tokens. */
    assert_int_equal(r.true_correct[1], 1);
    assert_true(r.true_length[1] == 7 && r.true_cost[1] == sg_call_cost((struct sg_price){15, 75, 0}, 11, 7));
    assert_true(r.price_request[0] == 0 && r.price_request[1] == 0);
    assert_int_equal(r.prompt_tokens[1], 11);
    assert_int_equal(r.prompt_source[1], SG_PROMPT_MEASURED);
    const int others[] = {0, 2, 3};
    for (int i = 0; i < 3; i++) {
        const int c = others[i];
        assert_int_equal(r.true_correct[c], -1);
        assert_true(isnan(r.true_length[c]) && isnan(r.true_cost[c]));
        assert_int_equal(r.prompt_tokens[c], -1);
        assert_int_equal(r.prompt_source[c], SG_PROMPT_COUNTED);
    }
    for (int64_t c = 0; c < 4; c++) {
        double kc, kl, ac, al;
        sg_plan_cell_baselines(&p, c, &kc, &kl, &ac, &al);
        assert_memory_equal(&r.knn_correct[c], &kc, 8);
        assert_memory_equal(&r.knn_length[c], &kl, 8);
        assert_memory_equal(&r.anchor_correct[c], &ac, 8);
        assert_memory_equal(&r.anchor_length[c], &al, 8);
        assert_int_equal(r.valid[c], 0);
        assert_int_equal(r.status[c], -1);
    }
    /* By hand: q0 counts, lab/cheap has both count anchors right, with 100 and 300 tokens. */
    assert_true(r.anchor_correct[0] == 1 && r.anchor_length[0] == 200);
    sg_digest_hex(p.fingerprint, hex);
    assert_string_equal(r.fingerprint, hex);
    assert_string_equal(r.name, "small");
    assert_string_equal(r.job_text, p.job.text);
    sg_results_free(&r);
    sg_plan_free(&p);
}

/* What a call costs beside its tokens is in its cost, and in the model's column. */
static void requests_have_a_price(void **state) {
    (void)state;
    struct sg_plan p = {0};
    struct sg_results r = {0};
    world_put();
    tmp_put("portfolio.json", edited(WORLD_PORTFOLIO, "\"output\": 75", "\"output\": 75, \"request\": 0.25"));
    world_plan_ok(NULL, 0, &p);
    assert_int_equal(sg_results_init_plan(&p, &r, NULL), SG_OK);
    assert_true(r.price_request[0] == 0 && r.price_request[1] == 0.25);
    assert_true(r.true_cost[1] == 11 / 1e6 * 15 + 7 / 1e6 * 75 + 0.25);
    sg_results_free(&r);
    sg_plan_free(&p);
    world_put();
}

/* The rows behind the queries go to calibration, with the anchors' outcomes as their truth. */
static void calibration_rows_are_apart(void **state) {
    (void)state;
    static const char *const set[] = {"calibration.anchors=all"};
    struct sg_plan p = {0};
    struct sg_results r = {0};
    struct sg_err e = {0};
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "\"usage_completion_tokens\": 20}", /* a1 on lab/dear */
                                     "\"usage_completion_tokens\": 20, \"usage_prompt_tokens\": 9}"));
    world_plan_ok(set, 1, &p);
    if (sg_results_init_plan(&p, &r, &e) != SG_OK) fail_msg("%s", e.text);
    assert_int_equal(r.n_queries, 2);
    assert_int_equal(sg_results_n_cells(&r), 12);
    assert_int_equal(r.anchors.n, 4);
    assert_string_equal(r.anchors.id[2], "a2");
    assert_string_equal(r.anchors.category[1], "algebra");
    assert_int_equal(r.anchors.correct[2 * 2 + 1], 0);
    assert_int_equal(r.anchors.completion_tokens[3 * 2], 400);
    assert_int_equal(r.anchors.prompt_tokens[3], 9);
    assert_int_equal(r.anchors.prompt_tokens[0], -1);
    const struct sg_results *c = r.calibration;
    assert_non_null(c);
    assert_int_equal(c->n_queries, 4);
    for (int a = 0; a < 4; a++) {
        assert_string_equal(c->query[a], r.anchors.id[a]);
        assert_string_equal(c->category[a], r.anchors.category[a]);
        assert_true(c->similarity[a] == sg_plan_row_similarity(&p, 2 + a));
    }
    for (int m = 0; m < 2; m++) {
        assert_string_equal(c->model[m], r.model[m]);
        assert_true(c->price_input[m] == r.price_input[m] && c->price_output[m] == r.price_output[m]);
    }
    for (int64_t i = 0; i < 8; i++) {
        double kc, kl, ac, al;
        sg_plan_cell_baselines(&p, 4 + i, &kc, &kl, &ac, &al);
        assert_memory_equal(&c->knn_correct[i], &kc, 8);
        assert_memory_equal(&c->anchor_length[i], &al, 8);
        assert_int_equal(c->true_correct[i], r.anchors.correct[i]);
        assert_true(c->true_length[i] == r.anchors.completion_tokens[i]);
        assert_int_equal(c->status[i], -1);
    }
    assert_int_equal(c->prompt_source[3], SG_PROMPT_MEASURED);
    assert_true(c->true_cost[3] == sg_call_cost((struct sg_price){15, 75, 0}, 9, 20));
    assert_true(isnan(c->true_cost[0])); /* the merge counts its prompt */
    sg_results_free(&r);
    sg_plan_free(&p);
    world_put();
}

/* By hand: a0 on lab/cheap is worth 0.5, a2 0.75; q0 on lab/dear 0.25. Scores stand beside all flags, baselines are
 * their means, and the digest is that of another format. */
static void graded_outcomes_have_scores(void **state) {
    (void)state;
    static const char *const set[] = {"calibration.anchors=all"};
    struct sg_plan p = {0};
    struct sg_results r = {0};
    struct sg_err e = {0};
    world_put();
    const char *text = edited(WORLD_OUTCOMES, "\"is_correct\": true", "\"score\": 0.5");
    text = edited(text, "\"is_correct\": 1", "\"score\": 0.75");
    text = edited(text, "\"is_correct\": true, \"usage_completion_tokens\": 7, \"usage_p",
                  "\"score\": 0.25, \"usage_completion_tokens\": 7, \"usage_p");
    tmp_put("outcomes.jsonl", text);
    world_plan_ok(set, 1, &p);
    if (sg_results_init_plan(&p, &r, &e) != SG_OK) fail_msg("%s", e.text);
    assert_int_equal(r.format, 3);
    assert_int_equal(r.calibration->format, 3);
    assert_true(sg_results_graded(&r));
    assert_int_equal(r.true_correct[1], 0);
    assert_true(r.true_score[1] == 0.25 && isnan(r.true_score[0]) && isnan(r.true_score[2]));
    assert_true(sg_results_true_score(&r, 1) == 0.25 && isnan(sg_results_true_score(&r, 0)));
    assert_true(r.anchors.score[0] == 0.5 && r.anchors.correct[0] == 1);
    assert_true(r.anchors.score[2 * 2] == 0.75 && r.anchors.score[1 * 2] == 0 && r.anchors.score[1] == 1);
    for (int64_t i = 0; i < 8; i++) assert_true(r.calibration->true_score[i] == r.anchors.score[i]);
    assert_true(r.anchor_correct[0] == 0.625);                          /* category count: a0 and a2 */
    assert_true(fabs(r.calibration->anchor_correct[0] - 0.75) < 1e-15); /* of a0: a2 alone */
    sg_results_free(&r);
    sg_plan_free(&p);
    world_put();
    world_plan_ok(set, 1, &p);
    assert_int_equal(sg_results_init_plan(&p, &r, NULL), SG_OK);
    assert_int_equal(r.format, 2);
    assert_true(!sg_results_graded(&r) && !r.calibration->true_score);
    assert_true(sg_results_true_score(&r, 1) == 1 && sg_results_anchor_score(&r, 2) == 0);
    sg_results_free(&r);
    sg_plan_free(&p);
}

static void no_outcomes_no_truth(void **state) {
    (void)state;
    struct sg_plan p = {0};
    struct sg_results r = {0};
    struct sg_err e = {0};
    const char *q0 = strstr(WORLD_OUTCOMES, "{\"id\": \"q0\"");
    char text[4096];
    assert_non_null(q0);
    (void)snprintf(text, sizeof text, "%.*s", (int)(q0 - WORLD_OUTCOMES), WORLD_OUTCOMES);
    tmp_put("outcomes.jsonl", text);
    world_plan_ok(NULL, 0, &p);
    if (sg_results_init_plan(&p, &r, &e) != SG_OK) fail_msg("%s", e.text);
    assert_null(r.true_correct);
    assert_null(r.true_length);
    assert_null(r.true_cost);
    sg_results_free(&r);
    sg_plan_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plan_becomes_results, world_setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(requests_have_a_price, world_setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(calibration_rows_are_apart, world_setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(graded_outcomes_have_scores, world_setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(no_outcomes_no_truth, world_setup, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
    assert_true(r.true_length[1] == 7 && r.true_cost[1] == sg_call_cost(15, 75, 11, 7));
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
        cmocka_unit_test_setup_teardown(no_outcomes_no_truth, world_setup, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

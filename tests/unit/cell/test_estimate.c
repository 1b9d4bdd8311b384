/* Protects what is stored of a cell: which samples count, what is missing rather than zero, and the money. */
#include "cell/estimate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct sg_cell_sample sample(int correct, int64_t length, float p_yes, int32_t tokens) {
    return (struct sg_cell_sample){
        .correct = (int8_t)correct, .length = length, .p_yes = p_yes, .tokens = tokens};
}

static struct sg_cell cell_of(struct sg_cell_sample *s, int32_t n) {
    /* Garbage in the aggregates: the estimate must not add to what was there. */
    return (struct sg_cell){.samples = s,
                            .n_samples = n,
                            .prompt_tokens = 200,
                            .votes_yes = 7,
                            .votes_no = 7,
                            .votes_unparsed = 7,
                            .output_tokens = 99,
                            .valid = true,
                            .p_correct = 3};
}

static void near(double got, double want) {
    if (!(fabs(got - want) <= 1e-12 * (1 + fabs(want)))) fail_msg("got %.17g, want %.17g", got, want);
}

static void money_by_hand(void **state) {
    (void)state;
    /* 1000 prompt tokens at 3 USD/M and 500 completion tokens at 15 USD/M: 0.003 + 0.0075 */
    near(sg_call_cost((struct sg_price){3, 15, 0}, 1000, 500), 0.0105);
    near(sg_call_cost((struct sg_price){3, 15, 0}, 1000, 0), 0.003); /* the prompt is never free */
    near(sg_call_cost((struct sg_price){0, 0, 0}, 1000, 500), 0);
    near(sg_call_cost((struct sg_price){3, 15, 0.005}, 1000, 500), 0.0155); /* and 0.005 a call */
}

static void mixed_samples_by_hand(void **state) {
    (void)state;
    struct sg_cell_sample s[] = {
        sample(SG_ANSWER_YES, 100, 0.75f, 10),
        sample(SG_ANSWER_UNPARSED, -1, NAN, 1536),
        sample(SG_ANSWER_NO, 300, 0.25f, 20),
        sample(SG_ANSWER_YES, 200, NAN, 30), /* parsed, no p_yes */
        sample(SG_ANSWER_YES, 400, 0.875f, 40),
        sample(SG_ANSWER_UNPARSED, -1, 0.5f, 5), /* a p_yes of an unparsed sample does not count */
    };
    struct sg_cell c = cell_of(s, 6);
    sg_cell_estimate(&c, (struct sg_price){2, 10, 0});
    assert_true(c.valid);
    assert_int_equal(c.votes_yes, 3);
    assert_int_equal(c.votes_no, 1);
    assert_int_equal(c.votes_unparsed, 2);
    near(c.p_correct, (0.75 + 0.25 + 0.875) / 3);
    near(c.length_mean, 250);                /* (100 + 300 + 200 + 400) / 4 */
    near(c.length_sd, sqrt(50000.0 / 3));    /* 150^2 + 50^2 + 50^2 + 150^2 = 50000, n - 1 = 3 */
    near(c.cost, 200e-6 * 2 + 250e-6 * 10);  /* 0.0004 + 0.0025 */
    assert_int_equal(c.output_tokens, 1641); /* unparsed samples were paid for too */
}

static void votes_when_no_p_yes(void **state) {
    (void)state;
    struct sg_cell_sample s[] = {sample(SG_ANSWER_YES, 10, NAN, 1), sample(SG_ANSWER_NO, 10, NAN, 1),
                                 sample(SG_ANSWER_NO, 10, NAN, 1), sample(SG_ANSWER_UNPARSED, -1, 0.9f, 1)};
    struct sg_cell c = cell_of(s, 4);
    sg_cell_estimate(&c, (struct sg_price){1, 1, 0});
    near(c.p_correct, 1.0 / 3);
    near(c.length_sd, 0);
}

static void one_sample_has_no_spread(void **state) {
    (void)state;
    struct sg_cell_sample s[] = {sample(SG_ANSWER_NO, 0, 0.125f, 3)}; /* a length of 0 is a length */
    struct sg_cell c = cell_of(s, 1);
    sg_cell_estimate(&c, (struct sg_price){2, 10, 0});
    assert_true(c.valid);
    near(c.p_correct, 0.125);
    assert_true(c.length_mean == 0 && c.length_sd == 0);
    near(c.cost, 0.0004);
}

static void expect_missing(const struct sg_cell *c) {
    assert_false(c->valid);
    assert_true(isnan(c->p_correct) && isnan(c->length_mean) && isnan(c->length_sd) && isnan(c->cost));
}

static void unparsed_is_missing_not_free(void **state) {
    (void)state;
    struct sg_cell_sample s[] = {sample(SG_ANSWER_UNPARSED, -1, 0.9f, 8), sample(SG_ANSWER_YES, -1, 0.9f, 8)};
    struct sg_cell c = cell_of(s, 2); /* the second has an answer but no length: half a verdict is none */
    sg_cell_estimate(&c, (struct sg_price){2, 10, 0});
    expect_missing(&c);
    assert_int_equal(c.votes_unparsed, 2);
    assert_int_equal(c.votes_yes, 0);
    assert_int_equal(c.output_tokens, 16);
    c = cell_of(NULL, 0);
    sg_cell_estimate(&c, (struct sg_price){2, 10, 0});
    expect_missing(&c);
}

static void failed_cell_stays_invalid(void **state) {
    (void)state;
    struct sg_cell_sample s[] = {sample(SG_ANSWER_YES, 10, 0.5f, 8)};
    struct sg_cell c = cell_of(s, 1);
    c.status = SG_E_INPUT;
    sg_cell_estimate(&c, (struct sg_price){2, 10, 0});
    expect_missing(&c);
    assert_int_equal(c.status, SG_E_INPUT);
}

static void small_spread_on_a_large_mean(void **state) {
    (void)state;
    /* One-pass sums of squares give 0 or NaN here: 2^40 squared is past 53 bits. */
    const int64_t big = (int64_t)1 << 40;
    struct sg_cell_sample s[] = {sample(1, big, 0.5f, 1), sample(1, big + 2, 0.5f, 1),
                                 sample(1, big + 4, 0.5f, 1)};
    struct sg_cell c = cell_of(s, 3);
    sg_cell_estimate(&c, (struct sg_price){0, 0, 0});
    near(c.length_sd, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money_by_hand),
        cmocka_unit_test(mixed_samples_by_hand),
        cmocka_unit_test(votes_when_no_p_yes),
        cmocka_unit_test(one_sample_has_no_spread),
        cmocka_unit_test(unparsed_is_missing_not_free),
        cmocka_unit_test(failed_cell_stays_invalid),
        cmocka_unit_test(small_spread_on_a_large_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

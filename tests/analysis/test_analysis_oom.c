/* Protects: the whole analysis succeeds or leaves nothing. One allocation after another fails (calloc and realloc
 * are wrapped by the linker); each time the answer is "out of memory", and the sanitizer build sees that
 * nothing leaks. */
#include "analysis/analysis_run.h"
#include "analysis/compare.h"
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static long left = -1; /* allocations until one fails; negative: none does. One thread allocates. */

static bool fails(void) {
    if (left < 0) return false;
    return left-- == 0;
}
void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t size) {
    return fails() ? NULL : __real_realloc(p, size);
}

static enum sg_status whole(const struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset_spec spec = {.pool = "maker/model-00,maker/model-02,maker/model-01"};
    const double budget = 0.01, lambda = 3;
    const struct sg_analysis_options opt = {.budgets = &budget,
                                            .n_budgets = 1,
                                            .lambdas = &lambda,
                                            .n_lambdas = 1,
                                            .alphas = 5,
                                            .reps = 4,
                                            .seed = 1,
                                            .threads = 1,
                                            .n_grid = 7,
                                            .baselines = true};
    const struct sg_advice_options wanted = {.estimate = -1, .seed = 1, .n_grid = 3};
    struct sg_dataset d[2] = {{0}};
    struct sg_analysis a = {0};
    struct sg_comparison c = {0};
    SG_TRY(sg_dataset_open(r, "r", &spec, &d[0], err));
    SG_TRY(sg_dataset_open(r, "r", &spec, &d[1], err));
    SG_TRY(sg_analysis_run(&d[0], &opt, &a, err));
    SG_TRY(sg_nights_add(&c.nights, &a, &d[1], &wanted, err));
    sg_nights_free(&c.nights);
    SG_TRY(sg_compare(d, 2, &opt, &c, err));
out:
    sg_comparison_free(&c);
    sg_analysis_free(&a);
    sg_dataset_free(&d[0]);
    sg_dataset_free(&d[1]);
    return st;
}

static void every_allocation(void **state) {
    (void)state;
    for (int truth = 0; truth < 2; truth++) {
        const struct fake f = {
            .n = 9, .m = 3, .samples = 2, .seed = 1, .truth = truth, .noise = 0.5, .categories = 2};
        struct sg_results r;
        assert_int_equal(fake_results(&f, &r, NULL), SG_OK);
        long n = 0;
        for (;; n += n < 600 ? 1 : 23) { /* the decision repeats itself: of its allocations some */
            struct sg_err err = {0};
            left = n;
            const enum sg_status st = whole(&r, &err);
            const bool done = left >= 0;
            left = -1;
            if (done) {
                assert_int_equal(st, SG_OK);
                break;
            }
            assert_int_equal(st, SG_E_NOMEM);
        }
        print_message("allocations up to the %ld-th failed in turn\n", n);
        assert_true(n > 100);
        sg_results_free(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

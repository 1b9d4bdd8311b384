/* Protects: what of a results file is analysed. Filters, pools, prices, missing cells, and errors that name
 * the nearest name or the very cell. */
#include "analysis/dataset.h"
#include "base/file.h"
#include "fake.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct sg_results r;
static char dir[] = "/tmp/sg_dataset_XXXXXX", path[64];

static int setup(void **state) {
    (void)state;
    const struct fake f = {.n = 12, .m = 4, .samples = 0, .seed = 3, .truth = true, .categories = 3};
    snprintf(path, sizeof path, "%s/x", mkdtemp(dir));
    return fake_results(&f, &r, NULL) == SG_OK ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    unlink(path);
    rmdir(dir);
    sg_results_free(&r);
    return 0;
}

static struct sg_dataset open_ok(const char *pool, const char *prices, const char *filter) {
    struct sg_dataset d;
    struct sg_err err = {0};
    const struct sg_dataset_spec s = {
        .pool = pool, .prices = prices, .queries = &filter, .n_queries = filter != NULL};
    if (sg_dataset_open(&r, "r.h5", &s, &d, &err) != SG_OK) fail_msg("%s", err.text);
    return d;
}

static void open_bad(const char *pool, const char *prices, const char *filter, const char *says) {
    struct sg_dataset d;
    struct sg_err err = {0};
    const struct sg_dataset_spec s = {
        .pool = pool, .prices = prices, .queries = &filter, .n_queries = filter != NULL};
    assert_int_not_equal(sg_dataset_open(&r, "r.h5", &s, &d, &err), SG_OK);
    if (!strstr(err.text, says)) fail_msg("says \"%s\", not \"%s\"", err.text, says);
}

static void put(const char *text) {
    assert_int_equal(sg_file_write_atomic(path, text, strlen(text), NULL), SG_OK);
}

static void choosing(void **state) {
    (void)state;
    const struct {
        const char *filter;
        int64_t n;
        const char *first;
    } f[] = {{"category=category-1", 4, "query-000001"},
             {"category!=category-1", 8, "query-000000"},
             {"category=category-1,category-2", 8, "query-000001"},
             {"id=query-00000[1-3]", 3, "query-000001"},
             {"id!=query-00000*", 2, "query-000010"},
             {NULL, 12, "query-000000"}};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        struct sg_dataset d = open_ok(NULL, NULL, f[i].filter);
        assert_int_equal(d.n, f[i].n);
        assert_int_equal(d.n_filtered, 12 - f[i].n);
        assert_string_equal(sg_dataset_query(&d, 0), f[i].first);
        for (int64_t q = 0; q < d.n; q++)
            for (int32_t k = 0; k < d.m; k++)
                assert_true(d.p[q * d.m + k] == r.p_correct[d.row[q] * r.n_models + d.col[k]]);
        sg_dataset_free(&d);
    }
    struct sg_dataset d = open_ok("maker/model-02, maker/model-00", NULL, NULL);
    assert_int_equal(d.m, 2);
    assert_string_equal(sg_dataset_model(&d, 0), "maker/model-00"); /* in the order of the file */
    sg_dataset_free(&d);
    put("[{\"id\": \"maker/model-03\", \"input\": 1}, \"maker/model-01\"]");
    d = open_ok(path, NULL, NULL);
    assert_int_equal(d.m, 2);
    sg_dataset_free(&d);
    put("maker/model-01\r\n\n  maker/model-02  \n");
    d = open_ok(path, NULL, NULL);
    assert_int_equal(d.m, 2);
    sg_dataset_free(&d);
    put("query-000003\nquery-000001\n");
    char at[80];
    snprintf(at, sizeof at, "@%s", path);
    d = open_ok(NULL, NULL, at);
    assert_int_equal(d.n, 2);
    assert_int_equal(d.n_categories, 2);
    sg_dataset_free(&d);
}

static void unknown_names(void **state) {
    (void)state;
    char at[80];
    open_bad("maker/model-0l", NULL, NULL,
             "no model \"maker/model-0l\" in the results; did you mean \"maker/model-0");
    open_bad(",", NULL, NULL, "names no model");
    open_bad(NULL, NULL, "category=category-9", "did you mean \"category-");
    open_bad(NULL, NULL, "id=query-00x001", "did you mean \"query-000001\"?");
    open_bad(NULL, NULL, "categories=a", "expected category=");
    open_bad(NULL, NULL, "id!=query*", "nothing to analyse");
    put("query-000003\nquery-0000xx\n");
    snprintf(at, sizeof at, "@%s", path);
    open_bad(NULL, NULL, at, "no query \"query-0000xx\"");
    open_bad(NULL, NULL, "@/nowhere", "/nowhere: cannot open");
}

static void other_prices(void **state) {
    (void)state;
    put("[{\"id\": \"maker/model-00\", \"input\": 2, \"output\": 10}, {\"id\": \"maker/model-01\", "
        "\"input\": 0, \"output\": 0},"
        " {\"id\": \"other\", \"input\": 1, \"output\": 1}]");
    struct sg_dataset d = open_ok("maker/model-00,maker/model-01", path, NULL);
    for (int64_t q = 0; q < d.n; q++) {
        const int64_t at = q * r.n_models;
        assert_near(d.c[q * 2], r.prompt_tokens[at] / 1e6 * 2 + r.length_mean[at] / 1e6 * 10, 1e-15);
        assert_near(d.tc[q * 2], r.prompt_tokens[at] / 1e6 * 2 + r.true_length[at] / 1e6 * 10, 1e-15);
        assert_near(d.c[q * 2 + 1], 0, 0);
    }
    sg_dataset_free(&d);
    open_bad(NULL, path, NULL, "no price for model \"maker/model-02\" of the pool; it has \"maker/model-0");
    put("{\"maker/model-00\": {\"input\": 2}, \"maker/model-01\": {\"input\": 1, \"output\": 1}}");
    open_bad("maker/model-00", path, NULL, "has no \"output\" price");
    put("[{\"id\": \"maker/model-00\", \"input\": -2, \"output\": 10}]");
    open_bad("maker/model-00", path, NULL, "input");
    put("[{\"id\": \"maker/model-00\", \"input\": 2, \"output\": 1}, {\"id\": \"maker/model-00\", \"input\": "
        "2, \"output\": 1}]");
    open_bad("maker/model-00", path, NULL, "stands twice");
    put("3");
    open_bad(NULL, path, NULL, "expected an array");
    put("[{\"id\": \"maker/model-00\", \"input\": 2, \"output\": 10, \"request\": 0.25}]"); /* and USD a call */
    d = open_ok("maker/model-00", path, NULL);
    double *p = calloc((size_t)d.n, sizeof *p), *c = calloc((size_t)d.n, sizeof *c);
    assert_non_null(p);
    assert_non_null(c);
    sg_dataset_baseline(&d, SG_BASE_KNN, p, c);
    for (int64_t q = 0; q < d.n; q++) {
        const double prompt = r.prompt_tokens[q * r.n_models] / 1e6 * 2;
        assert_near(d.c[q], prompt + r.length_mean[q * r.n_models] / 1e6 * 10 + 0.25, 1e-15);
        assert_near(d.tc[q], prompt + r.true_length[q * r.n_models] / 1e6 * 10 + 0.25, 1e-15);
        assert_near(c[q], prompt + r.knn_length[q * r.n_models] / 1e6 * 10 + 0.25, 1e-15);
    }
    sg_dataset_free(&d);
    r.price_request[0] = 0.5; /* of the results themselves */
    d = open_ok("maker/model-00,maker/model-01", NULL, NULL);
    assert_true(d.price_request[0] == 0.5 && d.price_request[1] == 0);
    sg_dataset_free(&d);
    r.price_request[0] = (double)NAN; /* a file that does not tell it */
    free(p);
    free(c);
    const double kept = r.price_input[1];
    r.price_input[1] = (double)NAN;
    open_bad(NULL, NULL, NULL, "no price for model \"maker/model-01\" of the pool; give one with --prices");
    r.price_input[1] = kept;
}

static void missing_is_neither_wrong_nor_free(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) r.valid[5 * 4 + k] = 0; /* query 5 has nothing */
    r.valid[6 * 4 + 1] = 0;
    r.p_correct[6 * 4 + 1] = (double)NAN;
    r.true_correct[7 * 4 + 2] = -1; /* truth unknown: query 7 is not scored */
    struct sg_dataset d = open_ok(NULL, NULL, NULL);
    assert_int_equal(d.n, 11);
    assert_int_equal(d.n_empty, 1);
    assert_int_equal(d.n_missing, 1);
    assert_int_equal(d.n_scored, 10);
    for (int64_t q = 0; q < d.n; q++) {
        assert_int_not_equal(d.row[q], 5);
        assert_int_equal(d.scored[q], d.row[q] != 7);
        if (d.row[q] == 6) assert_true(isnan(d.p[q * 4 + 1]) && isnan(d.c[q * 4 + 1]));
        if (d.row[q] == 6) assert_true(d.tp[q * 4 + 1] >= 0); /* its truth is known all the same */
    }
    double p[48], c[48];
    assert_int_equal(sg_dataset_baseline(&d, SG_BASE_KNN, p, c), 0);
    for (int i = 0; i < 44; i++) assert_true(!isnan(p[i]) == !isnan(d.p[i]));
    sg_dataset_free(&d);
    for (int k = 0; k < 4; k++) r.valid[5 * 4 + k] = 1;
    r.valid[6 * 4 + 1] = 1;
    open_bad(NULL, NULL, NULL, "query \"query-000006\", model \"maker/model-01\": p_correct is");
    r.p_correct[6 * 4 + 1] = 1.5;
    open_bad(NULL, NULL, NULL, "expected a number from 0 to 1");
    r.p_correct[6 * 4 + 1] = 0.5;
    r.cost[2] = -1;
    open_bad(NULL, NULL, NULL, "query \"query-000000\", model \"maker/model-02\": cost -1");
    r.cost[2] = 1;
    r.true_correct[7 * 4 + 2] = 1;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(choosing), cmocka_unit_test(unknown_names),
                                       cmocka_unit_test(other_prices),
                                       cmocka_unit_test(missing_is_neither_wrong_nor_free)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Protects: SCOPE's two-stage router. The reference's own decisions, accuracies and costs on its own files,
 * and the pruned, incremental form against the formula written out. */
#include "tests/reference/route_reference.h"
#include "analysis/scope_router.h"
#include "base/file.h"
#include "base/json.h"
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

static const struct sg_route_files files = {"data/routing/selection.json", "data/routing/similarity.json",
                                            "data/routing/anchor-performance.json",
                                            "data/routing/portfolio.json"};

static void reference_curve(void **state) {
    (void)state;
    struct sg_route_curve c;
    struct sg_err err = {0};
    struct sg_buf text = {0};
    cJSON *want = NULL;
    int decided = 0;
    if (sg_route_reference(&files, 101, &c, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(sg_file_read("data/routing/curve.json", 1 << 24, &text, &err), SG_OK);
    assert_int_equal(sg_json_parse(text.data, text.len, "curve.json", 1, &want, &err), SG_OK);
    assert_int_equal(cJSON_GetArraySize(want), 101);
    assert_int_equal(c.n_queries, 150);
    int k = 0;
    for (const cJSON *e = want->child; e; e = e->next, k++) {
        assert_near(c.alpha[k], cJSON_GetObjectItem(e, "alpha")->valuedouble, 1e-12);
        assert_near(c.accuracy[k], cJSON_GetObjectItem(e, "accuracy")->valuedouble, 1e-9);
        assert_near(c.total_cost[k], cJSON_GetObjectItem(e, "total_cost")->valuedouble, 1e-9);
        const cJSON *s = cJSON_GetObjectItem(e, "selected");
        if (!s) continue;
        int64_t q = 0;
        for (const cJSON *m = s->child; m; m = m->next, q++)
            assert_string_equal(c.selected[k * c.n_queries + q], m->valuestring);
        assert_int_equal(q, 150);
        decided++;
    }
    assert_int_equal(decided, 5);
    sg_route_curve_free(&c);
    cJSON_Delete(want);
    sg_buf_free(&text);
}

static void formula(const struct sg_scope_router *in, double alpha, int32_t *choice) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < in->n * in->m; i++)
        if (!isnan(in->yes[i])) low = fmin(low, in->cost[i]), high = fmax(high, in->cost[i]);
    for (int64_t q = 0; q < in->n; q++) {
        double a0 = INFINITY, a1 = -INFINITY, c0 = INFINITY, c1 = -INFINITY, best = -INFINITY;
        for (int32_t k = 0; k < in->m; k++) {
            const double a = in->anchor_correct[q * in->m + k],
                         c = log(in->anchor_cost[q * in->m + k] + 1e-9);
            if (isnan(a)) continue;
            a0 = fmin(a0, a), a1 = fmax(a1, a), c0 = fmin(c0, c), c1 = fmax(c1, c);
        }
        choice[q] = -1;
        for (int32_t k = 0; k < in->m; k++) {
            const int64_t at = q * in->m + k;
            if (isnan(in->yes[at])) continue;
            const double gamma = 2 * (1 + 2 * (1 - alpha)), w1 = 0.3 * (0.5 + 0.5 * alpha);
            const double cp = high > low ? (in->cost[at] - low) / (high - low) : 0.5;
            double s1 = 0;
            if (!isnan(in->anchor_correct[at])) {
                const double c = log(in->anchor_cost[at] + 1e-9);
                const double A = a1 - a0 <= 1e-9 ? 0.5 : (in->anchor_correct[at] - a0) / (a1 - a0);
                const double C = c1 - c0 <= 1e-9 ? 0.5 : (c - c0) / (c1 - c0);
                s1 = alpha * A + (1 - alpha) * pow(1 - C, gamma);
            }
            const double s2 = alpha * in->yes[at] + (1 - alpha) * pow(1 - cp, gamma);
            const double score = w1 * s1 + (1 - w1) * s2;
            if (score > best) best = score, choice[q] = k;
        }
    }
}

static void against_formula(void **state) {
    (void)state;
    enum { N = 200, M = 9, K = 41 };
    static double a[N * M], c[N * M], y[N * M], cost[N * M], alpha[K];
    static int32_t choice[K * N], want[N];
    for (int kind = 0; kind < 3; kind++) {
        for (int i = 0; i < N * M; i++) {
            a[i] = floor(6 * fake_uniform(1, (uint64_t)i)) / 6; /* ties, as six anchors make them */
            c[i] = 1e-4 * exp(4 * fake_uniform(2, (uint64_t)i));
            y[i] = fake_uniform(3, (uint64_t)i) < 0.6;
            cost[i] = 1e-4 * exp(4 * fake_uniform(4, (uint64_t)i));
            if (kind == 1 && i % 4 == 1) a[i] = c[i] = (double)NAN;
            if (kind == 1 && i % 5 == 2) y[i] = cost[i] = (double)NAN;
            if (kind == 2) cost[i] = 1e-4, c[i] = 1e-4; /* no range */
        }
        const struct sg_scope_router in = {
            .n = N, .m = M, .anchor_correct = a, .anchor_cost = c, .yes = y, .cost = cost};
        assert_int_equal(sg_scope_router_choose(&in, K, alpha, choice, NULL), SG_OK);
        int changes = 0;
        for (int k = 0; k < K; k++) {
            formula(&in, alpha[k], want);
            for (int q = 0; q < N; q++) assert_int_equal(choice[k * N + q], want[q]);
            for (int q = 0; k && q < N; q++) changes += choice[k * N + q] != choice[(k - 1) * N + q];
        }
        if (kind < 2) assert_true(changes > N / 2);
    }
}

/* Each fault is named with file and place. */
static void bad_files(void **state) {
    (void)state;
    char dir[] = "/tmp/sg_route_XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.json", dir);
    const struct {
        int which; /* 0 selection, 1 similarity, 2 anchors, 3 portfolio */
        const char *text, *says;
    } bad[] = {
        {0, "[]", "expected an object with an array \"questions\""},
        {0, "{\"questions\": [{}]}", "questions[0] needs"},
        {0,
         "{\"questions\": [{\"question_id\": \"crux-0248\", \"all_models\": [{\"model\": "
         "\"qwen/qwen-2-72b-instrukt\"}]}]}",
         "did you mean \"qwen/qwen-2-72b-instruct\""},
        {0,
         "{\"questions\": [{\"question_id\": \"crux-0248\", \"all_models\": [{\"model\": "
         "\"qwen/qwen-2-72b-instruct\"}]}]}",
         "predicted and ground_truth need"},
        {0, "{\"questions\": [", "x.json"},
        {1, "{}", "expected an array"},
        {1, "[]", "no question has an anchor"},
        {2, "[]", "expected an object"},
        {3, "[]", "no models"},
        {3, "[{\"name\": \"x\"}]", "[0] has no \"id\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sg_route_files f = files;
        struct sg_route_curve c;
        struct sg_err err = {0};
        assert_int_equal(sg_file_write_atomic(path, bad[i].text, strlen(bad[i].text), &err), SG_OK);
        const char **slot[] = {&f.selection, &f.similarity, &f.anchors, &f.portfolio};
        *slot[bad[i].which] = path;
        assert_int_equal(sg_route_reference(&f, 11, &c, &err), SG_E_INPUT);
        if (!strstr(err.text, bad[i].says)) fail_msg("case %zu says: %s", i, err.text);
        assert_non_null(strstr(err.text, path));
    }
    unlink(path);
    rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reference_curve), cmocka_unit_test(against_formula),
                                       cmocka_unit_test(bad_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

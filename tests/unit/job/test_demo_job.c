/* Protects: the jobs that come with the repository are valid, and the demo is what its README says: 120
 * questions of three categories, 250 anchors, 8 models, every outcome known. Also reads the reference's own
 * similarity file. */
#include "job_test.h"

#include "base/file.h"
#include "job/corpus.h"

static void load(const char *path, struct sg_plan *p) {
    static const struct sg_plan_inputs in = {.numerics = "test"};
    struct sg_job job = {0};
    struct sg_err err = {0};
    if (sg_job_read(path, NULL, 0, &job, &err) != SG_OK || sg_plan_build(&job, &in, p, &err) != SG_OK)
        fail_msg("%s", err.text);
    sg_job_free(&job);
}

static void the_demo_is_what_it_says(void **state) {
    (void)state;
    struct sg_plan p = {0};
    load("../jobs/demo/job.json", &p);
    assert_int_equal(p.n_queries, 120);
    assert_int_equal(p.n_anchors, 250);
    assert_int_equal(p.n_models, 8);
    assert_int_equal(p.job.sampling.samples, 8);
    assert_true(p.job.sampling.temperature == 0.6);
    assert_int_equal(p.job.prompt.anchor_chars, 200); /* what scope-mini was trained with */
    assert_int_equal(p.unused_outcomes, 0);
    assert_non_null(p.truth);
    assert_int_equal(sg_plan_calibration_cells(&p), 64 * 8);
    int categories[3] = {0};
    for (int64_t q = 0; q < p.n_queries; q++) {
        const char *c = p.queries[q].category;
        int k = !strcmp(c, "crux") ? 0 : !strcmp(c, "gsm") ? 1 : 2;
        assert_true(k < 2 || !strcmp(c, "math-l5"));
        categories[k]++;
    }
    assert_true(categories[0] == 40 && categories[1] == 40 && categories[2] == 40);
    int64_t alike = 0;
    double least = 1e9, most = 0;
    for (int64_t m = 0; m < p.n_models; m++) {
        least = p.models[m].price.output < least ? p.models[m].price.output : least;
        most = p.models[m].price.output > most ? p.models[m].price.output : most;
    }
    assert_true(most / least > 100);
    for (int64_t c = 0; c < p.n_cells; c++) {
        struct sg_cell_anchor a[5];
        int32_t n;
        const struct sg_outcome *truth = sg_plan_cell_truth(&p, c);
        assert_true(truth && truth->prompt_tokens > 0);
        sg_plan_cell_anchors(&p, c, a, 5, &n);
        assert_int_equal(n, 5);
        alike += !strcmp(p.anchors[a[0].anchor].category, p.queries[c / p.n_models].category);
    }
    assert_true(alike * 100 >
                90 * p.n_cells); /* neighbours are of the query's kind: why they are worth showing */
    sg_plan_free(&p);
}

static void the_4b_job_plans(void **state) {
    (void)state;
    struct sg_plan p = {0};
    load("../jobs/scope-4b.json", &p);
    assert_int_equal(p.job.prompt.anchor_chars, 0);
    assert_int_equal(p.n_cells, 960 + sg_plan_calibration_cells(&p));
    sg_plan_free(&p);
}

/* tests/data/routing/similarity.json is the reference's: every row must come out as listed there. */
static void the_references_similarity_file_is_read(void **state) {
    (void)state;
    enum { K = 10 };
    struct sg_buf file = {0};
    struct sg_err err = {0};
    cJSON *doc = NULL;
    struct sg__questions q = {0}, a = {0};
    struct sg_arena strings = {0};
    struct sg__records r = {.fd = -1};
    const char *path = "data/routing/similarity.json";
    if (sg_file_read(path, 1 << 22, &file, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(sg_json_parse(file.data, file.len, path, 1, &doc, &err), SG_OK);
    /* questions with the ids that stand in the file */
    struct sg_buf queries = {0}, anchors = {0};
    struct sg_ids seen = {0};
    for (const cJSON *row = doc->child; row; row = row->next) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(row, "similar_anchors");
        sg_buf_printf(&queries, NULL, "{\"id\": \"%s\", \"prompt\": \"q\"}\n",
                      cJSON_GetObjectItemCaseSensitive(row, "router_id")->valuestring);
        for (const cJSON *c = list->child; c; c = c->next) {
            const char *id = cJSON_GetObjectItemCaseSensitive(c, "anchor_id")->valuestring;
            int64_t old;
            assert_int_equal(sg_ids_add(&seen, id, strlen(id), 0, &old, NULL), SG_OK);
            if (old < 0) sg_buf_printf(&anchors, NULL, "{\"id\": \"%s\", \"prompt\": \"a\"}\n", id);
        }
    }
    assert_int_equal(sg__records_memory("q", queries.data, queries.len, &r, &err), SG_OK);
    assert_int_equal(sg__questions_read(&r, "queries", false, &strings, &q, &err), SG_OK);
    sg__records_close(&r);
    assert_int_equal(sg__records_memory("a", anchors.data, anchors.len, &r, &err), SG_OK);
    assert_int_equal(sg__questions_read(&r, "anchors", false, &strings, &a, &err), SG_OK);
    sg__records_close(&r);
    struct sg_cell_anchor *ranked = calloc((size_t)q.n * K, sizeof *ranked);
    assert_non_null(ranked);
    assert_int_equal(sg__records_open(path, &r, &err), SG_OK);
    if (sg__similarity_read(&r, &q, &a, K, ranked, NULL, &err) != SG_OK) fail_msg("%s", err.text);
    sg__records_close(&r);
    assert_true(q.n >= 100);
    int64_t i = 0;
    for (const cJSON *row = doc->child; row; row = row->next, i++) {
        int k = 0;
        for (const cJSON *c = cJSON_GetObjectItemCaseSensitive(row, "similar_anchors")->child; c;
             c = c->next, k++) {
            const struct sg_cell_anchor *got = &ranked[i * K + k];
            assert_true(got->anchor >= 0);
            assert_string_equal(a.items[got->anchor].id,
                                cJSON_GetObjectItemCaseSensitive(c, "anchor_id")->valuestring);
            assert_true(got->similarity ==
                        (float)cJSON_GetObjectItemCaseSensitive(c, "similarity")->valuedouble);
        }
        assert_int_equal(k, K);
    }
    free(ranked);
    sg__questions_free(&q);
    sg__questions_free(&a);
    sg_ids_free(&seen);
    sg_arena_free(&strings);
    sg_buf_free(&file);
    sg_buf_free(&queries);
    sg_buf_free(&anchors);
    cJSON_Delete(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_demo_is_what_it_says),
        cmocka_unit_test(the_4b_job_plans),
        cmocka_unit_test(the_references_similarity_file_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

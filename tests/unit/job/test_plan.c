/* Protects: which anchors a cell shows, what happens when an outcome is missing, the baselines, weights. */
#include "job_test.h"

#include "base/utf8.h"
#include <math.h>

static void assert_anchors(const struct sg_plan *p, int64_t cell, const char *want) {
    struct sg_cell_anchor a[8];
    int32_t n = -1;
    char got[100] = "";
    sg_plan_cell_anchors(p, cell, a, 8, &n);
    for (int32_t i = 0; i < n; i++) {
        strcat(got, i ? " " : "");
        strcat(got, p->anchors[a[i].anchor].id);
        assert_true(i == 0 || a[i].similarity <= a[i - 1].similarity);
    }
    assert_string_equal(got, want);
}

static void the_nearest_anchors_come_first(void **state) {
    (void)state;
    struct sg_plan p = {0};
    world_plan_ok(NULL, 0, &p);
    assert_anchors(&p, 0, "a2 a0"); /* how many ... are ... red ... ? */
    assert_anchors(&p, 1, "a2 a0");
    assert_anchors(&p, 2, "a1 a3"); /* solve ... for ... */
    struct sg_cell_anchor a[2];
    int32_t n;
    sg_plan_cell_anchors(&p, 0, a, 1, &n); /* no more than there is room for */
    assert_int_equal(n, 1);
    assert_int_equal(a[0].anchor, 2);
    sg_plan_free(&p);
}

static void fewer_anchors_than_asked_for_are_all_shown(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.anchors=9", "prompt.similarity.top_k=9"};
    struct sg_plan p = {0};
    struct sg_cell_anchor a[9];
    int32_t n;
    world_plan_ok(set, 2, &p);
    assert_int_equal(p.top_k, 4);
    sg_plan_cell_anchors(&p, 0, a, 9, &n);
    assert_int_equal(n, 4);
    sg_plan_free(&p);
}

static void no_anchors_at_all_is_a_choice(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.anchors=0"};
    struct sg_plan p = {0};
    double kc, kl, ac, al;
    tmp_put("anchors.jsonl", "");
    world_plan_ok(set, 1, &p);
    assert_int_equal(p.top_k, 0);
    assert_anchors(&p, 0, "");
    sg_plan_cell_baselines(&p, 0, &kc, &kl, &ac, &al);
    assert_true(isnan(kc) && isnan(kl) && isnan(ac) && isnan(al));
    assert_int_equal(p.unused_outcomes, 9);
    sg_plan_free(&p);
    world_put();
}

static void a_missing_outcome_is_an_error_naming_both(void **state) {
    (void)state;
    const char *line = "{\"id\": \"a2\", \"model_name\": \"lab/dear\"";
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, line, "{\"id\": \"zz\", \"model_name\": \"lab/dear\""));
    world_plan_fails(
        "outcomes.jsonl: no outcome of model \"lab/dear\" on anchor \"a2\", which query \"q0\" shows; add "
        "it, or set prompt.missing to \"next\"");

    static const char *const next[] = {"prompt.missing=next"};
    struct sg_plan p = {0};
    world_plan_ok(next, 1, &p);
    assert_anchors(&p, 0, "a2 a0"); /* this model has it */
    assert_int_equal(p.ranked[0].anchor, 2);
    char third[4];
    snprintf(third, sizeof third, "%s", p.anchors[p.ranked[2].anchor].id);
    char want[20];
    snprintf(want, sizeof want, "a0 %s", third);
    assert_anchors(&p, 1, want); /* this one has not, and takes the next */
    sg_plan_free(&p);

    /* what is ranked but not shown may be missing, even beside one that is shown and missing */
    const char *text = edited(WORLD_OUTCOMES, line, "{\"id\": \"zz\", \"model_name\": \"lab/dear\"");
    assert_string_equal(third, "a3");
    tmp_put("outcomes.jsonl", edited(text, "{\"id\": \"a3\", \"model_name\": \"Cheap\"",
                                     "{\"id\": \"zz\", \"model_name\": \"Cheap\""));
    world_plan_fails(
        "outcomes.jsonl: no outcome of model \"lab/dear\" on anchor \"a2\", which query \"q0\" shows; add "
        "it, or set prompt.missing to \"next\"");

    /* an anchor that no query shows may lack what it likes */
    static const char *const one[] = {"prompt.anchors=1"};
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "{\"id\": \"a0\", \"model_name\": \"lab/dear\"",
                                     "{\"id\": \"zz\", \"model_name\": \"lab/dear\""));
    world_plan_ok(one, 1, &p);
    sg_plan_free(&p);
    world_put();
}

static void a_model_without_any_outcome_is_an_error_even_with_next(void **state) {
    (void)state;
    static const char *const next[] = {"prompt.missing=next", "prompt.similarity.top_k=2"};
    struct sg_plan p = {0};
    struct sg_err err = {0};
    const char *text = edited(WORLD_OUTCOMES, "\"a2\", \"model_name\": \"lab/dear\"",
                              "\"zz\", \"model_name\": \"lab/dear\"");
    text = edited(text, "\"a0\", \"model_name\": \"lab/dear\"", "\"zz\", \"model_name\": \"lab/dear\"");
    tmp_put("outcomes.jsonl", text);
    assert_int_equal(world_plan(next, 2, NULL, &p, &err), SG_E_INPUT);
    assert_non_null(strstr(
        err.text, "outcomes.jsonl: no outcome of model \"lab/dear\" on any of the 2 anchors nearest to "
                  "query \"q0\"; add some, or raise prompt.similarity.top_k"));
    world_put();
}

/* By hand: weights are similarity squared over the ranked anchors with an outcome. */
static void baselines_are_the_weighted_and_the_category_means(void **state) {
    (void)state;
    struct sg_plan p = {0};
    double kc, kl, ac, al, w[3], sum = 0, c = 0, l = 0;
    world_plan_ok(NULL, 0, &p);
    for (int i = 0; i < 3; i++) {
        const struct sg_cell_anchor *a = &p.ranked[i];
        const struct sg_outcome *o = &p.anchor_outcomes[a->anchor * 2 + 1];
        w[i] = (double)a->similarity * a->similarity;
        sum += w[i];
        c += w[i] * o->correct;
        l += w[i] * o->completion_tokens;
    }
    sg_plan_cell_baselines(&p, 1, &kc, &kl, &ac, &al);
    assert_true(fabs(kc - c / sum) < 1e-12 && kc > 0 && kc < 1);
    assert_true(fabs(kl - l / sum) < 1e-9);
    assert_true(ac == 0.5 && al == 20); /* "count": a0 and a2 */
    sg_plan_cell_baselines(&p, 2, &kc, &kl, &ac, &al);
    assert_true(ac == 0.5 && al == 250); /* q1 has no category: all four anchors */
    sg_plan_free(&p);

    /* no word in common with anything: the neighbours count alike, instead of 0/0 */
    tmp_put("queries.jsonl", "{\"id\": \"q\", \"prompt\": \"zzz\", \"category\": \"algebra\"}\n");
    world_plan_ok(NULL, 0, &p);
    for (int i = 0; i < 3; i++)
        assert_int_equal(p.ranked[i].anchor, 3 - i); /* ties: the higher index first */
    sg_plan_cell_baselines(&p, 0, &kc, &kl, &ac, &al);
    assert_true(fabs(kc - 1.0 / 3) < 1e-12 && fabs(kl - 300) < 1e-9);
    assert_true(ac == 0 && al == 300);
    sg_plan_free(&p);
    world_put();
}

/* Six neighbours at most, whatever top_k is. */
static void the_baseline_takes_six(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.similarity.top_k=8"};
    struct sg_buf anchors = {0}, outcomes = {0};
    struct sg_plan p = {0};
    double kc, kl, ac, al;
    for (int i = 0; i < 9; i++) { /* the same similarity to "zzz" for all: ties, the highest index first */
        sg_buf_printf(&anchors, NULL, "{\"id\": \"n%d\", \"prompt\": \"word%d\"}\n", i, i);
        for (int m = 0; m < 2; m++)
            sg_buf_printf(&outcomes, NULL,
                          "{\"id\": \"n%d\", \"model_name\": \"%s\", \"is_correct\": %s, "
                          "\"usage_completion_tokens\": %d}\n",
                          i, m ? "lab/dear" : "lab/cheap", i > 2 ? "true" : "false", i > 2 ? 10 : 1000);
    }
    tmp_put("anchors.jsonl", anchors.data);
    tmp_put("outcomes.jsonl", outcomes.data);
    tmp_put("queries.jsonl", "{\"id\": \"q\", \"prompt\": \"zzz\"}\n");
    world_plan_ok(set, 1, &p);
    sg_plan_cell_baselines(&p, 0, &kc, &kl, &ac, &al);
    assert_true(kc == 1 && kl == 10); /* n8 ... n3; the seventh, n2, would show */
    sg_plan_free(&p);
    sg_buf_free(&anchors);
    sg_buf_free(&outcomes);
    world_put();
}

static void weight_follows_the_bytes_of_the_prompt(void **state) {
    (void)state;
    static const char *const cut[] = {"prompt.anchor_chars=3"};
    struct sg_plan p = {0}, q = {0};
    world_plan_ok(NULL, 0, &p);
    world_plan_ok(cut, 1, &q);
    int64_t shown = p.anchors[2].prompt.n + p.anchors[0].prompt.n;
    assert_int_equal(sg_plan_cell_weight(&p, 0) - sg_plan_cell_weight(&q, 0), shown - 6);
    assert_true(sg_plan_cell_weight(&p, 0) > shown + p.queries[0].prompt.n);
    sg_plan_free(&p);
    sg_plan_free(&q);
}

/* --- similarity from a file ------------------------------------------------------------------------ */

static const char *const SIMILARITY =
    "[{\"router_id\": \"q0\", \"similar_anchors\": [\n"
    "  {\"rank\": 1, \"anchor_id\": \"a3\", \"similarity\": 0.9},\n"
    "  {\"rank\": 2, \"anchor_id\": \"a1\", \"similarity\": 0.4},\n"
    "  {\"rank\": 3, \"anchor_id\": \"a0\", \"similarity\": 0.4},\n"
    "  {\"rank\": 4, \"anchor_id\": \"a2\", \"similarity\": 0.5}]},\n"
    " {\"router_id\": \"someone else\", \"similar_anchors\": []},\n"
    " {\"router_id\": \"q1\", \"similar_anchors\": [{\"anchor_id\": \"a2\", \"similarity\": -0.25}]}]\n";
static const char *const BY_FILE[] = {"prompt.similarity.method=file", "prompt.similarity.path=sim.json"};

static void a_similarity_file_is_taken_as_it_is(void **state) {
    (void)state;
    struct sg_plan p = {0};
    tmp_put("sim.json", SIMILARITY);
    world_plan_ok(BY_FILE, 2, &p);
    static const int want[6] = {3, 2, 1, 2, -1, -1}; /* by similarity, equal ones as listed, three kept */
    for (int i = 0; i < 6; i++) assert_int_equal(p.ranked[i].anchor, want[i]);
    assert_true(p.ranked[0].similarity == 0.9f && p.ranked[3].similarity == -0.25f);
    assert_anchors(&p, 0, "a3 a2");
    assert_anchors(&p, 2, "a2");
    sg_plan_free(&p);
}

static void an_anchor_that_is_the_query_is_left_out_of_a_file(void **state) {
    (void)state;
    struct sg_plan p = {0};
    tmp_put("sim.json", SIMILARITY);
    tmp_put("anchors.jsonl",
            edited(WORLD_ANCHORS, "Solve z - 4 = 0", "How many red apples are in the basket?"));
    world_plan_ok(BY_FILE, 2, &p);
    assert_anchors(&p, 0, "a2 a1");
    sg_plan_free(&p);
    world_put();
}

static void bad_similarity_files(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *error;
    } bad[] = {
        {"\"a3\"", "\"a9\"",
         "sim.json:1: similar_anchors[0].anchor_id is \"a9\", which is no anchor of this job"},
        {"\"a1\"", "\"a3\"", "sim.json:1: similar_anchors[1].anchor_id \"a3\" stands twice for this query"},
        {"0.5", "1e999", "sim.json:1: similar_anchors[3].similarity is too large a number"},
        {"0.5", "NaN", "sim.json:5:48: broken JSON: expected a value"},
        {"0.5", "\"high\"", "sim.json:1: similar_anchors[3].similarity must be a number, not a string"},
        {"\"similarity\": 0.9", "\"score\": 0.9", "sim.json:1: similar_anchors[0].similarity is missing"},
        {"\"q1\"", "\"q2\"", "sim.json: has no record for query \"q1\""},
        {"\"q1\"", "\"q0\"", "sim.json:7: router_id \"q0\" stands here a second time"},
        {"\"router_id\": \"q1\"", "\"id\": \"q1\"", "sim.json:7: router_id is missing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sg_plan p = {0};
        struct sg_err err = {0};
        char want[1000];
        tmp_put("sim.json", edited(SIMILARITY, bad[i].from, bad[i].to));
        snprintf(want, sizeof want, "%s/%s", tmpdir, bad[i].error);
        assert_int_equal(world_plan(BY_FILE, 2, NULL, &p, &err), SG_E_INPUT);
        assert_string_equal(err.text, want);
    }
}

/* --- similarity from an embedding ------------------------------------------------------------------- */

struct embedder {
    int calls;
    char order[200];
    enum sg_status fail_with;
    bool bad_value;
};

/* A vector by the first letter: "H" and "S" are orthogonal, longer texts lean to the third axis. */
static enum sg_status embed(void *ctx, const char *text, int64_t n, float *out, struct sg_err *err) {
    struct embedder *e = ctx;
    e->calls++;
    snprintf(e->order + strlen(e->order), sizeof e->order - strlen(e->order), "%c%d ", text[0], (int)n);
    if (e->fail_with != SG_OK) return sg_fail(err, e->fail_with, "the device is gone");
    float lean = (float)(n % 7) / 10;
    out[0] = text[0] == 'H' ? 1 - lean : 0;
    out[1] = text[0] == 'S' ? 1 - lean : 0;
    out[2] = e->bad_value ? NAN : lean;
    return SG_OK;
}

static const char *const BY_EMBEDDING[] = {"prompt.similarity.method=embedding",
                                           "prompt.similarity.model=emb"};

static void embeddings_come_from_the_callback(void **state) {
    (void)state;
    struct embedder e = {0};
    struct sg_plan_inputs in = {.numerics = "x", .embed = embed, .embed_ctx = &e, .embed_dim = 3};
    struct sg_plan p = {0};
    struct sg_err err = {0};
    if (world_plan(BY_EMBEDDING, 2, &in, &p, &err) != SG_OK) fail_msg("%s", err.text);
    assert_string_equal(e.order, "H24 S21 H23 S15 H38 S21 "); /* anchors first, then queries, each once */
    /* q0 = (.7, 0, .3): a0 (.7, 0, .3) .58, a2 (.8, 0, .2) .62, a3 (0, .9, .1) .03, a1 (0, 1, 0) 0 */
    assert_int_equal(p.ranked[0].anchor, 2);
    assert_int_equal(p.ranked[1].anchor, 0);
    assert_int_equal(p.ranked[2].anchor, 3);
    assert_true(fabs((double)p.ranked[0].similarity - 0.62) < 1e-6);
    sg_plan_free(&p);
}

static void long_texts_are_cut_for_the_embedding(void **state) {
    (void)state;
    struct embedder e = {0};
    struct sg_plan_inputs in = {.numerics = "x", .embed = embed, .embed_ctx = &e, .embed_dim = 3};
    struct sg_plan p = {0};
    struct sg_err err = {0};
    struct sg_buf b = {0};
    sg_buf_str(&b, "{\"id\": \"q\", \"prompt\": \"H", &err);
    for (int i = 0; i < 3000; i++) sg_buf_str(&b, "\xC3\xA9", &err);
    sg_buf_str(&b, "\"}\n", &err);
    tmp_put("queries.jsonl", b.data);
    assert_int_equal(world_plan(BY_EMBEDDING, 2, &in, &p, &err), SG_OK);
    assert_non_null(strstr(e.order, "S15 H3999 ")); /* 2,000 code points */
    sg_plan_free(&p);
    sg_buf_free(&b);
    world_put();
}

static void a_failing_embedder_names_the_question(void **state) {
    (void)state;
    struct embedder e = {.fail_with = SG_E_DEVICE};
    struct sg_plan_inputs in = {.numerics = "x", .embed = embed, .embed_ctx = &e, .embed_dim = 3};
    struct sg_plan p = {0};
    struct sg_err err = {0};
    assert_int_equal(world_plan(BY_EMBEDDING, 2, &in, &p, &err), SG_E_DEVICE);
    assert_string_equal(err.text, "embedding of \"a0\": the device is gone");
    e = (struct embedder){.bad_value = true};
    assert_int_equal(world_plan(BY_EMBEDDING, 2, &in, &p, &err), SG_E_INPUT);
    assert_string_equal(err.text, "embedding of \"a0\": value 2 is not finite");
    assert_int_equal(world_plan(BY_EMBEDDING, 2, NULL, &p, &err), SG_E_UNSUPPORTED);
}

/* --- templates ---------------------------------------------------------------------------------------- */

static void a_template_and_its_example_are_read(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.template=mine.txt"};
    struct sg_plan p = {0};
    struct sg_err err = {0};
    tmp_put("mine.txt", "Task {{target_question}}\n");
    world_plan_ok(set, 1, &p);
    assert_string_equal(p.template_text, "Task {{target_question}}\n");
    assert_null(p.example_text);
    sg_plan_free(&p);
    tmp_put("mine-example.txt", "E {{index}}\n");
    world_plan_ok(set, 1, &p);
    assert_string_equal(p.example_text, "E {{index}}\n");
    sg_plan_free(&p);
    tmp_put("mine.txt", "one\ntwo \xFF\n");
    assert_int_equal(world_plan(set, 1, NULL, &p, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "mine.txt:2: invalid UTF-8, or a NUL byte"));
    unlink(tmp_path("mine.txt"));
    assert_int_equal(world_plan(set, 1, NULL, &p, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "mine.txt: cannot open: No such file or directory"));
}

/* --- calibration --------------------------------------------------------------------------------------- */

/* The ids of the calibration rows, with blanks between. */
static const char *calibrated(const struct sg_plan *p) {
    static char ids[4000];
    ids[0] = 0;
    for (int64_t i = 0; i < p->n_calibration; i++) {
        assert_string_equal(p->queries[p->n_queries + i].id, p->anchors[p->calibration[i]].id);
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s%s", i ? " " : "",
                 p->anchors[p->calibration[i]].id);
    }
    return ids;
}

static void calibration_rows_follow_the_queries(void **state) {
    (void)state;
    static const char *const all[] = {"calibration.anchors=all"}, *const two[] = {"calibration.anchors=2"},
                             *const none[] = {"calibration.anchors=0"};
    struct sg_plan p = {0}, q = {0};
    struct sg_outcome o;
    world_plan_ok(all, 1, &p);
    assert_int_equal(p.n_calibration, 4);
    assert_int_equal(p.n_calibratable, 4);
    assert_int_equal(p.n_rows, 6);
    assert_int_equal(p.n_cells, 12);
    assert_string_equal(calibrated(&p), "a0 a1 a2 a3");
    assert_anchors(&p, 4, "a2 a3"); /* a0 shows others, never itself */
    assert_anchors(&p, 6, "a3 a2"); /* a1 */
    o = *sg_plan_cell_truth(&p, 5); /* a0 on lab/dear: its outcome as an anchor */
    assert_true(o.known && o.correct && o.completion_tokens == 10);
    assert_null(sg_plan_cell_truth(&p, 0));
    assert_true(sg_plan_cell_truth(&p, 1)->completion_tokens == 7);
    assert_string_equal(sg_plan_row_kind(&p, 3), "query");
    assert_string_equal(sg_plan_row_kind(&p, 4), "calibration anchor");
    assert_true(fabs(sg_plan_row_similarity(&p, 2) -
                     ((double)p.ranked[2 * 3].similarity + (double)p.ranked[2 * 3 + 1].similarity) / 2) <
                1e-12);
    /* the queries' cells are those of the job without calibration, and a chosen cell is the same in each */
    world_plan_ok(none, 1, &q);
    assert_int_equal(q.n_cells, 4);
    assert_memory_equal(p.cell_fingerprint, q.cell_fingerprint, 4 * sizeof *p.cell_fingerprint);
    assert_false(sg_digest_equal(p.fingerprint, q.fingerprint));
    sg_plan_free(&q);
    world_plan_ok(two, 1, &q);
    assert_int_equal(q.n_calibration, 2);
    for (int64_t i = 0; i < 2; i++)
        assert_memory_equal(&q.cell_fingerprint[4 + 2 * i], &p.cell_fingerprint[4 + 2 * q.calibration[i]],
                            2 * sizeof *p.cell_fingerprint);
    sg_plan_free(&q);
    sg_plan_free(&p);
}

/* By hand, the anchor itself left out: a0's category is count, where a2 is left; a1's algebra, with a3. */
static void calibration_is_left_out_of_its_baselines(void **state) {
    (void)state;
    static const char *const all[] = {"calibration.anchors=all"};
    struct sg_plan p = {0};
    double kc, kl, ac, al;
    world_plan_ok(all, 1, &p);
    sg_plan_cell_baselines(&p, 4, &kc, &kl, &ac, &al); /* a0, lab/cheap */
    assert_true(ac == 1 && al == 300);
    sg_plan_cell_baselines(&p, 9, &kc, &kl, &ac, &al); /* a2, lab/dear */
    assert_true(ac == 1 && al == 10);
    for (int64_t row = 2; row < 6; row++)
        for (int32_t i = 0; i < 3; i++) assert_true(p.ranked[row * 3 + i].anchor != row - 2);
    sg_plan_free(&p);
    /* alone in its category: the mean of all others */
    tmp_put("anchors.jsonl", edited(WORLD_ANCHORS, "\"count\"", "\"lonely\""));
    world_plan_ok(all, 1, &p);
    sg_plan_cell_baselines(&p, 4, &kc, &kl, &ac, &al); /* a0, lab/cheap: a1, a2, a3 */
    assert_true(fabs(ac - 1.0 / 3) < 1e-15 && al == 300);
    sg_plan_free(&p);
    world_put();
}

/* An anchor with the very text of another would tell its outcome. */
static void calibration_never_shows_its_twin(void **state) {
    (void)state;
    static const char *const all[] = {"calibration.anchors=all"};
    struct sg_plan p = {0};
    double kc, kl, ac, al;
    tmp_put("anchors.jsonl", edited(WORLD_ANCHORS, "How many pears are red?", "How many apples has Ann?"));
    world_plan_ok(all, 1, &p); /* a2 has a0's text now, and no other is in their category */
    for (int32_t i = 0; i < 3; i++) {
        assert_true(p.ranked[2 * 3 + i].anchor != 0 && p.ranked[2 * 3 + i].anchor != 2);
        assert_true(p.ranked[4 * 3 + i].anchor != 0 && p.ranked[4 * 3 + i].anchor != 2);
    }
    sg_plan_cell_baselines(&p, 4, &kc, &kl, &ac, &al); /* a0, lab/cheap: the mean of a1 and a3 */
    assert_true(ac == 0 && al == 300);
    sg_plan_cell_baselines(&p, 9, &kc, &kl, &ac, &al); /* a2, lab/dear */
    assert_true(ac == 1 && al == 30);
    sg_plan_cell_baselines(&p, 0, &kc, &kl, &ac, &al); /* a query still has both */
    assert_true(ac == 1 && al == 200);
    sg_plan_free(&p);
    world_put();
}

/* An outcome that is missing must not stop a job that would run without calibration. */
static void calibration_takes_what_can_be_made(void **state) {
    (void)state;
    static const char *const set[] = {"calibration.anchors=all", "prompt.anchors=1"},
                             *const next[] = {"calibration.anchors=all", "prompt.missing=next"};
    struct sg_plan p = {0};
    char text[SG_CALIBRATION_TEXT];
    world_plan_ok(set, 2, &p);
    assert_false(sg_plan_calibration_lacks(&p, text));
    sg_plan_free(&p);
    /* lab/dear lacks a0, which no query shows first, but a2 does */
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "{\"id\": \"a0\", \"model_name\": \"lab/dear\"",
                                     "{\"id\": \"zz\", \"model_name\": \"lab/dear\""));
    world_plan_ok(set, 2, &p);
    assert_string_equal(calibrated(&p), "a0 a1 a3");
    assert_null(sg_plan_cell_truth(&p, 5)); /* a0 itself has one outcome: enough to be chosen */
    assert_non_null(sg_plan_cell_truth(&p, 4));
    assert_true(sg_plan_calibration_lacks(&p, text));
    assert_string_equal(
        text, "3 of the 4 anchors that have outcomes; prompts of the others lack outcomes of some model");
    sg_plan_free(&p);
    world_plan_ok(next, 2, &p);
    assert_string_equal(calibrated(&p), "a0 a1 a2 a3");
    assert_anchors(&p, 9, "a3 a1"); /* a2 on lab/dear: without a0 */
    sg_plan_free(&p);
    /* an anchor without any outcome has no truth to be compared with */
    tmp_put("outcomes.jsonl", edited(edited(WORLD_OUTCOMES, "\"a3\"", "\"zz\""), "\"a3\"", "\"zz\""));
    world_plan_ok(next, 2, &p);
    assert_string_equal(calibrated(&p), "a0 a1 a2");
    assert_int_equal(p.n_calibratable, 3);
    assert_true(sg_plan_calibration_lacks(&p, text));
    assert_string_equal(text, "3 of 4 anchors: no others have outcomes");
    sg_plan_free(&p);
    world_put();
}

/* The anchor with number i of a large world. */
static void put_anchor(struct sg_buf *anchors, struct sg_buf *outcomes, int i, const char *category) {
    sg_buf_printf(anchors, NULL, "{\"id\": \"n%d\", \"prompt\": \"word%d of %s\", \"category\": \"%s\"}\n", i,
                  i, category, category);
    for (int m = 0; m < 2; m++)
        sg_buf_printf(outcomes, NULL,
                      "{\"id\": \"n%d\", \"model_name\": \"%s\", \"is_correct\": %s, "
                      "\"usage_completion_tokens\": %d}\n",
                      i, m ? "lab/dear" : "lab/cheap", i % 3 ? "true" : "false", 10 + i);
}

/* Anchors: 30 x, 10 y, 5 z, in rising or falling order, with n60 in addition or not; the queries: 6 x, 3 y,
 * 3 of a category without anchors. */
static void large_world(bool falling, bool one_more) {
    struct sg_buf anchors = {0}, outcomes = {0}, queries = {0};
    for (int k = 0; k < 45; k++) {
        const int i = falling ? 44 - k : k;
        put_anchor(&anchors, &outcomes, i, i < 30 ? "x" : i < 40 ? "y" : "z");
    }
    if (one_more) put_anchor(&anchors, &outcomes, 60, "x");
    for (int q = 0; q < 12; q++)
        sg_buf_printf(&queries, NULL, "{\"id\": \"q%d\", \"prompt\": \"what\", \"category\": \"%s\"}\n", q,
                      q < 6   ? "x"
                      : q < 9 ? "y"
                              : "elsewhere");
    tmp_put("anchors.jsonl", anchors.data);
    tmp_put("outcomes.jsonl", outcomes.data);
    tmp_put("queries.jsonl", queries.data);
    sg_buf_free(&anchors);
    sg_buf_free(&outcomes);
    sg_buf_free(&queries);
}

static void count_categories(const struct sg_plan *p, int64_t want_x, int64_t want_y, int64_t want_z) {
    int64_t n[3] = {0};
    for (int64_t i = 0; i < p->n_calibration; i++) n[p->queries[p->n_queries + i].category[0] - 'x']++;
    assert_int_equal(n[0], want_x);
    assert_int_equal(n[1], want_y);
    assert_int_equal(n[2], want_z);
}

static void calibration_is_chosen_by_category(void **state) {
    (void)state;
    static const struct {
        const char *set;
        int64_t x, y, z;
    } cases[] = {
        {"calibration.anchors=9", 6, 3, 0},     {"calibration.anchors=10", 7, 3, 0}, /* 6.67 and 3.33 */
        {"calibration.anchors=36", 25, 10, 1}, /* 24 and 12, but y has 10; the two go to 6 x and 5 z: 1.09, .91 */
        {"calibration.anchors=45", 30, 10, 5},  {"calibration.anchors=46", 30, 10, 5},
        {"calibration.anchors=all", 30, 10, 5}, {"calibration.anchors=1", 1, 0, 0},
        {"calibration.anchors=64", 30, 10, 5},
    };
    large_world(false, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_plan p = {0};
        world_plan_ok(&cases[i].set, 1, &p);
        count_categories(&p, cases[i].x, cases[i].y, cases[i].z);
        sg_plan_free(&p);
    }
    world_put();
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The ids chosen of 12, sorted, whatever the order of the file. */
static int chosen_of(bool falling, bool one_more, char ids[20][8]) {
    static const char *const set[] = {"calibration.anchors=12"};
    struct sg_plan p = {0};
    const char *list[20];
    large_world(falling, one_more);
    world_plan_ok(set, 1, &p);
    for (int64_t i = 0; i < p.n_calibration; i++) list[i] = p.queries[p.n_queries + i].id;
    qsort(list, (size_t)p.n_calibration, sizeof *list, by_name);
    for (int64_t i = 0; i < p.n_calibration; i++) snprintf(ids[i], 8, "%s", list[i]);
    const int n = (int)p.n_calibration;
    sg_plan_free(&p);
    return n;
}

static void the_choice_of_calibration_is_stable(void **state) {
    (void)state;
    char rising[20][8], falling[20][8], more[20][8];
    assert_int_equal(chosen_of(false, false, rising), 12);
    assert_int_equal(chosen_of(true, false, falling), 12);
    for (int i = 0; i < 12; i++) assert_string_equal(rising[i], falling[i]);
    assert_int_equal(chosen_of(false, true, more), 12); /* a new anchor takes the place of at most one */
    int kept = 0;
    for (int i = 0; i < 12; i++)
        for (int k = 0; k < 12; k++) kept += !strcmp(rising[i], more[k]);
    assert_true(kept >= 11);
    bool first = true; /* not simply the first ones of the file */
    for (int i = 0; i < 12; i++) first = first && atoi(rising[i] + 1) < 12;
    assert_false(first);
    world_put();
}

static void calibration_with_a_similarity_file(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.similarity.method=file", "prompt.similarity.path=sim.json",
                                      "calibration.anchors=64"};
    struct sg_plan p = {0};
    char text[SG_CALIBRATION_TEXT];
    tmp_put("sim.json", SIMILARITY);
    world_plan_ok(set, 3, &p); /* no record of an anchor: none, and no error */
    assert_int_equal(p.n_calibration, 0);
    assert_int_equal(p.n_cells, 4);
    assert_true(sg_plan_calibration_lacks(&p, text));
    assert_string_equal(text,
                        "0 of 4 anchors: no others have outcomes and a record of their own in the similarity "
                        "file");
    sg_plan_free(&p);
    tmp_put("sim.json", edited(SIMILARITY, "{\"router_id\": \"someone else\", \"similar_anchors\": []}",
                               "{\"router_id\": \"a2\", \"similar_anchors\": ["
                               "{\"anchor_id\": \"a2\", \"similarity\": 1},"
                               "{\"anchor_id\": \"unknown here\", \"similarity\": 0.9},"
                               "{\"anchor_id\": \"a1\", \"similarity\": 0.5},"
                               "{\"anchor_id\": \"a3\", \"similarity\": 0.75}]},"
                               "{\"router_id\": \"a1\", \"similar_anchors\": []}"));
    world_plan_ok(set, 3, &p); /* a1 has a record, but nothing to show */
    assert_string_equal(calibrated(&p), "a2");
    assert_int_equal(p.n_calibratable, 2);
    assert_anchors(&p, 4, "a3 a1");
    assert_true(sg_plan_row_similarity(&p, 2) == 0.625);
    assert_anchors(&p, 0, "a3 a2"); /* the queries' rows are as without */
    sg_plan_free(&p);
}

static void calibration_with_embeddings(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.similarity.method=embedding", "prompt.similarity.model=emb",
                                      "calibration.anchors=all"};
    struct embedder e = {0};
    struct sg_plan_inputs in = {.numerics = "x", .embed = embed, .embed_ctx = &e, .embed_dim = 3};
    struct sg_plan p = {0};
    struct sg_err err = {0};
    if (world_plan(set, 3, &in, &p, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(e.calls, 6);   /* no text is embedded twice */
    assert_anchors(&p, 4, "a2 a3"); /* a0 (.7, 0, .3): a2 (.8, 0, .2) .62, a3 (0, .9, .1) .03 */
    sg_plan_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_anchors_come_first),
        cmocka_unit_test(fewer_anchors_than_asked_for_are_all_shown),
        cmocka_unit_test(no_anchors_at_all_is_a_choice),
        cmocka_unit_test(a_missing_outcome_is_an_error_naming_both),
        cmocka_unit_test(a_model_without_any_outcome_is_an_error_even_with_next),
        cmocka_unit_test(baselines_are_the_weighted_and_the_category_means),
        cmocka_unit_test(the_baseline_takes_six),
        cmocka_unit_test(weight_follows_the_bytes_of_the_prompt),
        cmocka_unit_test(a_similarity_file_is_taken_as_it_is),
        cmocka_unit_test(an_anchor_that_is_the_query_is_left_out_of_a_file),
        cmocka_unit_test(bad_similarity_files),
        cmocka_unit_test(calibration_rows_follow_the_queries),
        cmocka_unit_test(calibration_is_left_out_of_its_baselines),
        cmocka_unit_test(calibration_never_shows_its_twin),
        cmocka_unit_test(calibration_takes_what_can_be_made),
        cmocka_unit_test(calibration_is_chosen_by_category),
        cmocka_unit_test(the_choice_of_calibration_is_stable),
        cmocka_unit_test(calibration_with_a_similarity_file),
        cmocka_unit_test(calibration_with_embeddings),
        cmocka_unit_test(embeddings_come_from_the_callback),
        cmocka_unit_test(long_texts_are_cut_for_the_embedding),
        cmocka_unit_test(a_failing_embedder_names_the_question),
        cmocka_unit_test(a_template_and_its_example_are_read),
    };
    return cmocka_run_group_tests(tests, world_setup, tmpdir_remove);
}

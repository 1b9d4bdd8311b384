/* Protects: every rank holds the very same plan, and damaged bytes are an error, never a crash. */
#include "job_test.h"

#include <math.h>

static void assert_same_questions(const struct sg_query *a, const struct sg_query *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        assert_string_equal(a[i].id, b[i].id);
        assert_string_equal(a[i].category, b[i].category);
        assert_string_equal(a[i].prompt.s, b[i].prompt.s);
        assert_int_equal(a[i].prompt.n, b[i].prompt.n);
    }
}

static void assert_same_outcomes(const struct sg_outcome *a, const struct sg_outcome *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        assert_true(a[i].known == b[i].known && a[i].correct == b[i].correct && a[i].score == b[i].score &&
                    a[i].prompt_tokens == b[i].prompt_tokens &&
                    a[i].completion_tokens == b[i].completion_tokens);
}

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static void assert_same_plan(const struct sg_plan *p, const struct sg_plan *q) {
    assert_string_equal(p->job.text, q->job.text);
    assert_string_equal(p->job.path, q->job.path);
    assert_string_equal(p->job.output.dir, q->job.output.dir);
    assert_int_equal(p->n_queries, q->n_queries);
    assert_int_equal(p->n_anchors, q->n_anchors);
    assert_int_equal(p->n_models, q->n_models);
    assert_int_equal(p->n_cells, q->n_cells);
    assert_int_equal(p->top_k, q->top_k);
    assert_int_equal(p->unused_outcomes, q->unused_outcomes);
    assert_int_equal(p->n_rows, q->n_rows);
    assert_int_equal(p->n_calibratable, q->n_calibratable);
    assert_memory_equal(p->calibration, q->calibration, (size_t)p->n_calibration * sizeof *p->calibration);
    assert_same_questions(p->queries, q->queries, p->n_rows);
    assert_same_questions(p->anchors, q->anchors, p->n_anchors);
    for (int64_t m = 0; m < p->n_models; m++) {
        assert_string_equal(p->models[m].id, q->models[m].id);
        assert_int_equal(p->models[m].name != NULL, q->models[m].name != NULL);
        if (p->models[m].name) assert_string_equal(p->models[m].name, q->models[m].name);
        assert_memory_equal(&p->models[m].price, &q->models[m].price, sizeof(struct sg_price));
    }
    assert_same_outcomes(p->anchor_outcomes, q->anchor_outcomes, p->n_anchors * p->n_models);
    assert_int_equal(p->truth != NULL, q->truth != NULL);
    if (p->truth) assert_same_outcomes(p->truth, q->truth, p->n_queries * p->n_models);
    assert_int_equal(p->template_text != NULL, q->template_text != NULL);
    if (p->template_text) assert_string_equal(p->template_text, q->template_text);
    assert_int_equal(p->example_text != NULL, q->example_text != NULL);
    assert_memory_equal(p->ranked, q->ranked, (size_t)(p->n_rows * p->top_k) * sizeof *p->ranked);
    assert_true(sg_digest_equal(p->fingerprint, q->fingerprint));
    for (int64_t c = 0; c < p->n_cells; c++) {
        double a[4], b[4];
        assert_true(sg_digest_equal(p->cell_fingerprint[c], q->cell_fingerprint[c]));
        assert_int_equal(sg_plan_cell_weight(p, c), sg_plan_cell_weight(q, c));
        sg_plan_cell_baselines(p, c, &a[0], &a[1], &a[2], &a[3]);
        sg_plan_cell_baselines(q, c, &b[0], &b[1], &b[2], &b[3]);
        for (int i = 0; i < 4; i++) assert_true(same(a[i], b[i]));
    }
}

static void a_packed_plan_unpacks_to_the_same(void **state) {
    (void)state;
    static const char *const set[] = {"prompt.template=t.txt", "calibration.anchors=3",
                                      "prompt.anchor_chars=7"};
    tmp_put("t.txt", "template\n");
    for (size_t round = 0; round < 5; round++) { /* the last: with scores */
        const size_t n_set = round < 4 ? round : 2;
        struct sg_plan p = {0}, q = {0};
        struct sg_buf b = {0}, again = {0};
        struct sg_err err = {0};
        if (n_set == 2)
            tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "\"q0\"", "\"nobody\"")); /* no truth */
        if (round == 4)
            tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "\"is_correct\": true", "\"score\": 0.625"));
        world_plan_ok(set, n_set, &p);
        assert_int_equal(p.truth == NULL, round == 2 || round == 3);
        assert_int_equal(p.graded, round == 4);
        sg_buf_str(&b, "before", &err);
        assert_int_equal(sg_plan_pack(&p, &b, &err), SG_OK);
        if (sg_plan_unpack(b.data + 6, b.len - 6, &q, &err) != SG_OK) fail_msg("%s", err.text);
        assert_same_plan(&p, &q);
        assert_int_equal(sg_plan_pack(&q, &again, &err), SG_OK);
        assert_int_equal(again.len, b.len - 6);
        assert_memory_equal(again.data, b.data + 6, again.len);
        sg_plan_free(&p);
        sg_plan_free(&q);
        sg_buf_free(&b);
        sg_buf_free(&again);
    }
    world_put();
}

/* The packed world; with its digest made right again after a change. */
static void pack_world(struct sg_buf *b) {
    struct sg_plan p = {0};
    static const char *const calibrate[] = {"calibration.anchors=3"};
    struct sg_err err = {0};
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "\"is_correct\": true", "\"score\": 0.625"));
    world_plan_ok(calibrate, 1, &p);
    assert_int_equal(sg_plan_pack(&p, b, &err), SG_OK);
    sg_plan_free(&p);
}

static void reseal(char *bytes, size_t n) {
    struct sg_digest d = sg_digest_bytes(bytes, n - sizeof d);
    memcpy(bytes + n - sizeof d, &d, sizeof d);
}

static void damage_is_seen_by_the_digest(void **state) {
    (void)state;
    struct sg_buf b = {0};
    pack_world(&b);
    for (size_t i = 0; i < b.len; i += 3) {
        struct sg_plan q = {0};
        struct sg_err err = {0};
        b.data[i] ^= 0x10;
        assert_int_equal(sg_plan_unpack(b.data, b.len, &q, &err), SG_E_CORRUPT);
        assert_int_equal(strncmp(err.text, "packed plan: ", 13), 0);
        assert_null(q.memory);
        b.data[i] ^= 0x10;
    }
    sg_buf_free(&b);
}

/* Cut at every offset: as it is (the digest says so), and with a digest that fits (the lengths say so). Each
 * piece is a block of its own, so that a sanitizer sees a read behind its end. */
static void a_cut_at_every_offset_is_an_error(void **state) {
    (void)state;
    struct sg_buf b = {0};
    pack_world(&b);
    for (size_t n = 0; n < b.len; n++) {
        struct sg_plan q = {0};
        struct sg_err err = {0};
        char *piece = malloc(n ? n : 1);
        assert_non_null(piece);
        memcpy(piece, b.data, n);
        assert_int_equal(sg_plan_unpack(piece, n, &q, &err), SG_E_CORRUPT);
        if (n >= 24) {
            enum sg_status st;
            reseal(piece, n);
            st = sg_plan_unpack(piece, n, &q, &err);
            assert_true(st == SG_E_CORRUPT || st == SG_E_INPUT);
            assert_null(q.memory);
        }
        free(piece);
    }
    sg_buf_free(&b);
}

/* Every byte changed in several ways under a digest that fits: whatever comes out can be freed and asked, and
 * nothing out of bounds is read. */
static void changed_bytes_never_crash(void **state) {
    (void)state;
    static const unsigned char flips[] = {0x01, 0x04, 0x80, 0xFF, 0x20};
    struct sg_buf b = {0};
    int accepted = 0, refused = 0;
    pack_world(&b);
    for (size_t i = 8; i + 16 < b.len; i++)
        for (size_t k = 0; k < sizeof flips; k++) {
            struct sg_plan q = {0};
            struct sg_err err = {0};
            char *copy = malloc(b.len);
            assert_non_null(copy);
            memcpy(copy, b.data, b.len);
            copy[i] = (char)(copy[i] ^ (char)flips[k]);
            reseal(copy, b.len);
            if (sg_plan_unpack(copy, b.len, &q, &err) == SG_OK) {
                struct sg_cell_anchor a[4];
                int32_t n;
                double v[4];
                for (int64_t r = 0; r < q.n_rows * q.top_k; r++)
                    assert_true(q.ranked[r].anchor >= -1 && q.ranked[r].anchor < q.n_anchors);
                for (int64_t c = 0; c < q.n_cells; c++) {
                    sg_plan_cell_anchors(&q, c, a, 4, &n);
                    sg_plan_cell_baselines(&q, c, &v[0], &v[1], &v[2], &v[3]);
                    assert_true(sg_plan_cell_weight(&q, c) > 0);
                    (void)sg_plan_cell_truth(&q, c);
                    (void)sg_plan_row_similarity(&q, c / q.n_models);
                }
                accepted++;
            } else {
                assert_true(err.text[0] != 0);
                refused++;
            }
            sg_plan_free(&q);
            free(copy);
        }
    assert_true(accepted > 100 && refused > 100);
    sg_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packed_plan_unpacks_to_the_same),
        cmocka_unit_test(damage_is_seen_by_the_digest),
        cmocka_unit_test(a_cut_at_every_offset_is_an_error),
        cmocka_unit_test(changed_bytes_never_crash),
    };
    return cmocka_run_group_tests(tests, world_setup, tmpdir_remove);
}

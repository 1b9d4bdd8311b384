/* Protects the last step of a run: whatever the order and number of segments, the same cells make the same
 * results.h5 and digest; missing is missing; copies that disagree are an error. */
#include "store/merge.h"

#include "cell/estimate.h"
#include "store/segment.h"
#include "store_test.h"
#include <fcntl.h>

enum { Q = 7, M = TEST_MODELS, CELLS = Q * M };

/* As sg_results_init_plan would make it. Cell 1: measured prompt tokens; cell 2: truth without them. */
static void prefill(struct sg_results *r) {
    static char *const ids[] = {"a", "b", "c", "d", "e", "f", "g"};
    CHECK_OK(sg_results_alloc(r, Q, M, TEST_SAMPLES, true, err));
    for (int q = 0; q < Q; q++) r->query[q] = r->category[q] = ids[q];
    for (int m = 0; m < M; m++) {
        r->model[m] = ids[m];
        r->price_input[m] = 2 * (m + 1);
        r->price_output[m] = 10 * (m + 1);
    }
    r->true_correct[1] = r->true_correct[2] = 1;
    r->true_length[1] = r->true_length[2] = 300;
    r->prompt_tokens[1] = 77;
    r->prompt_source[1] = SG_PROMPT_MEASURED;
    r->true_cost[1] = sg_call_cost((struct sg_price){4, 20, 0}, 77, 300);
}

static void put_head(const char *dir, const struct sg_segment_head *head, int64_t first, int64_t last,
                     int64_t step) {
    struct sg_segment_writer *w = NULL;
    CHECK_OK(sg_segment_open(dir, head, &w, err));
    for (int64_t i = first; step > 0 ? i <= last : i >= last; i += step) {
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(i, &room);
        CHECK_OK(sg_segment_append(w, i, test_cell_fingerprint(i), &c, err));
    }
    CHECK_OK(sg_segment_close(w, err));
}

static void put(const char *dir, int32_t rank, int64_t first, int64_t last, int64_t step) {
    put_head(dir, &(struct sg_segment_head){TEST_RUN, rank, "tonight", NULL}, first, last, step);
}

/* One segment with one cell, changed by `edit`. */
static void put_edited(const char *dir, int32_t rank, int64_t i,
                       void (*edit)(struct sg_cell *, struct test_kv_budget *)) {
    struct sg_segment_writer *w = NULL;
    struct test_kv_budget room;
    struct sg_cell c = test_cell(i, &room);
    edit(&c, &room);
    CHECK_OK(sg_segment_open(dir, &(struct sg_segment_head){TEST_RUN, rank, "tonight", NULL}, &w, err));
    CHECK_OK(sg_segment_append(w, i, test_cell_fingerprint(i), &c, err));
    CHECK_OK(sg_segment_close(w, err));
}

static struct sg_digest merged(const char *dir, bool texts, struct sg_merge_stats *stats) {
    struct sg_results r;
    prefill(&r);
    CHECK_OK(sg_merge(dir, TEST_RUN, NULL, texts, &r, stats, err));
    const struct sg_digest d = r.digest;
    sg_results_free(&r);
    return d;
}

static void any_partition_one_digest(void **state) {
    char one[1024], many[1024], twice[1024];
    struct sg_merge_stats s;
    path_to(one, "%s/one", (char *)*state);
    path_to(many, "%s/many", (char *)*state);
    path_to(twice, "%s/twice", (char *)*state);
    put(one, 0, 0, CELLS - 1, 1);
    for (int64_t k = 0; k < 5; k++) put(many, (int32_t)(4 - k), CELLS - 1 - k, 0, -5);
    put(twice, 0, 5, CELLS - 1, 1);
    put(twice, 1, 0, 12, 1);
    const struct sg_digest d = merged(one, true, &s);
    assert_int_equal(s.n_cells, CELLS);
    assert_int_equal(s.n_done, CELLS);
    assert_int_equal(s.n_failed, 3);
    assert_true(sg_digest_equal(d, merged(many, true, &s)));
    assert_int_equal(s.n_done, CELLS);
    assert_true(sg_digest_equal(d, merged(twice, true, &s)));
    assert_int_equal(s.n_done, CELLS);
    assert_false(sg_digest_equal(d, merged(one, false, &s)));
    assert_true(sg_digest_equal(merged(many, false, &s), merged(one, false, &s)));
}

/* Standard errors by their formula, over all samples that have a verdict. */
static void check_errors(const struct sg_results *r) {
    double s2[2][CELLS], mean[2][CELLS], pool[2] = {0, 0};
    int n[CELLS], cells = 0, checked = 0;
    for (int c = 0; c < CELLS; c++) {
        n[c] = 0;
        for (int v = 0; v < 2; v++) mean[v][c] = s2[v][c] = 0;
        for (int pass = 0; pass < 2; pass++) {
            for (int64_t k = c * TEST_SAMPLES; k < (c + 1) * TEST_SAMPLES; k++) {
                if (r->sample_length[k] < 0) continue;
                const double x[2] = {(double)r->sample_p_yes[k], (double)r->sample_length[k]};
                n[c] += !pass;
                for (int v = 0; v < 2; v++)
                    if (pass)
                        s2[v][c] += (x[v] - mean[v][c]) * (x[v] - mean[v][c]) / (n[c] - 1);
                    else
                        mean[v][c] += x[v];
            }
            for (int v = 0; v < 2 && !pass; v++) mean[v][c] /= n[c];
        }
        if (n[c] < 2) continue;
        cells++;
        pool[0] += s2[0][c], pool[1] += s2[1][c] / mean[1][c] / mean[1][c];
    }
    assert_true(cells >= 4);
    for (int c = 0; c < CELLS; c++) {
        if (!r->valid[c]) {
            assert_true(isnan(r->p_se[c]) && isnan(r->length_se[c]));
            continue;
        }
        const double prior[2] = {pool[0] / cells, pool[1] / cells * mean[1][c] * mean[1][c]},
                     got[2] = {r->p_se[c], r->length_se[c]};
        for (int v = 0; v < 2; v++) {
            const double want =
                sqrt((4 * prior[v] + (n[c] - 1) * (n[c] > 1 ? s2[v][c] : 0)) / (n[c] + 3) / n[c]);
            assert_true(want > 0 && fabs(got[v] - want) <= 1e-9 * want);
            checked++;
        }
    }
    assert_true(checked >= 8);
}

static void values_arrive(void **state) {
    struct sg_results r, b;
    char path[1024];
    struct sg_buf text = {0};
    put(*state, 0, 0, 8, 1);
    prefill(&r);
    struct sg_merge_stats s;
    CHECK_OK(sg_merge(*state, TEST_RUN, NULL, true, &r, &s, err));
    assert_int_equal(s.n_done, 9);
    path_to(path, "%s/results.h5", (char *)*state);
    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &b, err));
    assert_true(sg_digest_equal(b.digest, r.digest));
    for (int64_t i = 0; i < 9; i++) {
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(i, &room);
        assert_int_equal(b.valid[i], c.valid);
        assert_int_equal(b.status[i], c.status);
        assert_int_equal(b.votes_yes[i], c.votes_yes);
        assert_int_equal(b.output_tokens[i], c.output_tokens);
        if (!c.valid) {
            assert_true(isnan(b.p_correct[i]) && isnan(b.cost[i]));
            continue;
        }
        assert_true(b.p_correct[i] == c.p_correct && b.length_sd[i] == c.length_sd);
        const int32_t prompt = i == 1 ? 77 : c.prompt_tokens; /* what was measured stands */
        assert_int_equal(b.prompt_tokens[i], prompt);
        assert_int_equal(b.prompt_source[i], i == 1 ? SG_PROMPT_MEASURED : SG_PROMPT_COUNTED);
        /* at today's prices, not those of the segment */
        assert_true(b.cost[i] == sg_call_cost(sg_results_price(&b, c.model), prompt, c.length_mean));
        for (int k = 0; k < TEST_SAMPLES; k++) {
            assert_int_equal(b.sample_length[i * TEST_SAMPLES + k], c.samples[k].length);
            sg_buf_clear(&text);
            CHECK_OK(sg_results_text(path, i, k, &text, err));
            assert_int_equal(text.len, c.samples[k].text_bytes);
            if (text.len) assert_memory_equal(text.data, c.samples[k].text, text.len);
        }
    }
    assert_true(b.true_cost[1] == sg_call_cost((struct sg_price){4, 20, 0}, 77, 300));
    assert_true(b.true_cost[2] ==
                sg_call_cost((struct sg_price){6, 30, 0}, 52, 300)); /* cell 2 counted 52 prompt tokens */
    check_errors(&b);
    for (int64_t i = 9; i < CELLS; i++) {
        assert_int_equal(b.valid[i], 0);
        assert_int_equal(b.status[i], -1);
        assert_int_equal(b.sample_correct[i * TEST_SAMPLES], -1);
        assert_true(isnan(b.cost[i]));
    }
    assert_int_equal(b.n_failures, 1);
    assert_int_equal(b.failure_cell[0], 6);
    assert_string_equal(b.failure_reason[0], "prompt of 9000 tokens exceeds the context of 8192");
    sg_buf_free(&text);
    sg_results_free(&r);
    sg_results_free(&b);
}

static void leftovers_of_a_killed_merge_go(void **state) {
    char left[1024], other[1024];
    path_to(left, "%s/results.h5.tmp.12345", (char *)*state);
    path_to(other, "%s/results.h5.mine", (char *)*state);
    write_file(left, "x", 1);
    write_file(other, "x", 1);
    (void)merged(*state, true, NULL);
    assert_int_not_equal(access(left, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
}

static void nothing_computed_is_a_file_too(void **state) {
    struct sg_merge_stats s = {0};
    (void)merged(*state, true, &s);
    assert_int_equal(s.n_done, 0);
    assert_int_equal(s.n_cells, CELLS);
}

static void other_p(struct sg_cell *c, struct test_kv_budget *room) {
    (void)room;
    c->p_correct += 1e-16 + 1e-15;
}
static void other_text(struct sg_cell *c, struct test_kv_budget *room) {
    (void)c;
    room->text[0][0] = 'B';
}
static void no_text(struct sg_cell *c, struct test_kv_budget *room) {
    (void)room;
    c->samples[0].text = NULL;
    c->samples[0].text_bytes = 0;
    c->cost = 5; /* the segment's price is not a result */
}
static void failed(struct sg_cell *c, struct test_kv_budget *room) {
    (void)room;
    c->status = SG_E_NOMEM;
    c->valid = false;
    c->n_samples = 0;
}
static void elsewhere(struct sg_cell *c, struct test_kv_budget *room) {
    (void)room;
    c->model = 2;
}
static void more_samples(struct sg_cell *c, struct test_kv_budget *room) {
    static struct sg_cell_sample many[TEST_SAMPLES + 1];
    memcpy(many, room->samples, sizeof room->samples);
    c->samples = many;
    c->n_samples = TEST_SAMPLES + 1;
}

static void merge_fails(const char *dir, const char *words) {
    struct sg_results r;
    char path[1024], tmp[64];
    prefill(&r);
    CHECK_FAILS(SG_E_CORRUPT, words, sg_merge(dir, TEST_RUN, NULL, true, &r, NULL, err));
    sg_results_free(&r);
    path_to(path, "%s/results.h5", dir);
    assert_int_not_equal(access(path, F_OK), 0); /* no partial file */
    (void)snprintf(tmp, sizeof tmp, ".tmp.%ld", (long)getpid());
    assert_int_equal(count_names(dir, tmp, NULL), 0);
}

static void copies_must_agree(void **state) {
    char dir[1024];
    struct sg_merge_stats s;
    path_to(dir, "%s/p", (char *)*state);
    put(dir, 0, 4, 4, 1);
    put_edited(dir, 1, 4, other_p);
    merge_fails(dir, "cell 4 differs between");
    path_to(dir, "%s/text", (char *)*state);
    put(dir, 0, 4, 4, 1);
    put_edited(dir, 1, 4, other_text);
    merge_fails(dir, "cell 4 differs between");
    path_to(dir, "%s/none", (char *)*state);
    put(dir, 0, 4, 4, 1);
    put_edited(dir, 1, 4, no_text);
    (void)merged(dir, true, &s);
    assert_int_equal(s.n_done, 1);
}

static void success_beats_failure(void **state) {
    char a[1024], b[1024];
    struct sg_merge_stats s;
    path_to(a, "%s/a", (char *)*state);
    path_to(b, "%s/b", (char *)*state);
    put_edited(a, 0, 4, failed);
    put(a, 1, 4, 4, 1);
    put(b, 0, 4, 4, 1);
    put_edited(b, 1, 4, failed);
    const struct sg_digest d = merged(a, true, &s);
    assert_int_equal(s.n_failed, 0);
    assert_true(sg_digest_equal(d, merged(b, true, &s)));
}

static void cells_that_do_not_fit_the_plan(void **state) {
    char dir[1024];
    path_to(dir, "%s/a", (char *)*state);
    put_edited(dir, 0, 4, elsewhere);
    merge_fails(dir, "cell 4 is (query 1, model 2)");
    path_to(dir, "%s/b", (char *)*state);
    put_edited(dir, 0, 4, more_samples);
    merge_fails(dir, "with 5 samples; the plan has (1, 1) with at most 4");
}

static void foreign_runs_are_refused(void **state) {
    struct sg_results r;
    const struct sg_digest other = {1, 1};
    put(*state, 0, 4, 4, 1);
    prefill(&r);
    CHECK_FAILS(SG_E_MISMATCH, "another output.dir", sg_merge(*state, other, NULL, true, &r, NULL, err));
    sg_results_free(&r);
}

/* Where the results state what each cell depends on, a record of something else is not let in; cells that
 * nothing holds have no night. */
static void cells_are_of_their_fingerprint(void **state) {
    char dir[1024], path[1100];
    struct sg_results r, back;
    path_to(dir, "%s/run", (char *)*state);
    path_to(path, "%s/results.h5", dir);
    put(dir, 0, 0, CELLS - 2, 1);
    prefill(&r);
    CHECK_OK(sg_results_set_night(&r, "tonight", err));
    CHECK_OK(SG_NEW(&r.origin.fingerprint, CELLS, "fingerprints", err));
    for (int64_t i = 0; i < CELLS; i++) r.origin.fingerprint[i] = test_cell_fingerprint(i);
    CHECK_OK(sg_merge(dir, TEST_RUN, NULL, true, &r, NULL, err));
    assert_int_equal(r.origin.night[0], 0);
    assert_int_equal(r.origin.night[CELLS - 1], -1);
    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &back, err));
    assert_int_equal(back.origin.n_nights, 1);
    assert_string_equal(back.origin.nights[0], "tonight");
    assert_memory_equal(back.origin.night, r.origin.night, CELLS * sizeof *r.origin.night);
    assert_memory_equal(back.origin.fingerprint, r.origin.fingerprint, CELLS * sizeof *r.origin.fingerprint);
    sg_results_free(&back);
    r.origin.fingerprint[5].lo ^= 1;
    CHECK_FAILS(SG_E_CORRUPT, "cell 5 was computed from other inputs",
                sg_merge(dir, TEST_RUN, NULL, true, &r, NULL, err));
    /* without fingerprints: as ever, and the digest is the same */
    const struct sg_digest with = r.digest;
    sg_results_free(&r);
    assert_true(sg_digest_equal(merged(dir, true, NULL), with));
}

/* Each cell has the night of the segment it lies in, the run's own night is the last, and what was taken over
 * is counted, with the files it came from. */
static void nights_are_the_segments(void **state) {
    struct sg_results r;
    const struct sg_segment_head heads[] = {
        {TEST_RUN, 0, "friday", "b.h5 (digest 2)"},
        {TEST_RUN, 1, "thursday", "b.h5 (digest 2)"},
        {TEST_RUN, 2, "friday", "a.h5 (digest 1)"},
        {TEST_RUN, 3, "saturday", NULL}, /* own; its night is not the run's */
        {TEST_RUN, 4, "tonight", "a.h5 (digest 1)"}};
    static const int32_t want[] = {0, 0, 1, 0, 2, 3, 3};
    for (int i = 0; i < 5; i++) put_head(*state, &heads[i], i ? i + 1 : 0, i ? i + 1 : 1, 1);
    put(*state, 5, 6, 6, 1);
    put(*state, 6, 0, 0, 1); /* once more: the first segment counts */
    prefill(&r);
    CHECK_OK(sg_results_set_night(&r, "tonight", err));
    CHECK_OK(sg_merge(*state, TEST_RUN, NULL, true, &r, NULL, err));
    static const char *const names[] = {"friday", "thursday", "saturday", "tonight"};
    assert_int_equal(r.origin.n_nights, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(r.origin.nights[i], names[i]);
    for (int i = 0; i < 7; i++) assert_int_equal(r.origin.night[i], want[i]);
    assert_int_equal(r.origin.night[7], -1);
    assert_int_equal(r.origin.taken_over, 5);
    assert_string_equal(r.origin.since, "b.h5 (digest 2), a.h5 (digest 1)");
    sg_results_free(&r);
}

/* The rows of calibration are those behind the queries: the same segments, the same values, in columns of
 * their own. */
static void calibration_is_apart(void **state) {
    enum { OWN = Q - 2, REST = 2 * M };
    static char *const ids[] = {"a", "b"};
    struct sg_results whole, r, b;
    struct sg_merge_stats s;
    char path[1024];
    path_to(path, "%s/results.h5", (char *)*state);
    put(*state, 0, 0, CELLS - 2, 1);
    prefill(&whole);
    CHECK_OK(sg_merge(*state, TEST_RUN, NULL, true, &whole, &s, err));
    assert_int_equal(s.n_calibration, 0);
    CHECK_OK(sg_results_alloc(&r, OWN, M, TEST_SAMPLES, false, err));
    for (int q = 0; q < OWN; q++) r.query[q] = r.category[q] = whole.query[q];
    memcpy(r.model, whole.model, M * sizeof *r.model);
    memcpy(r.price_input, whole.price_input, M * sizeof *r.price_input);
    memcpy(r.price_output, whole.price_output, M * sizeof *r.price_output);
    CHECK_OK(sg_results_alloc_calibration(&r, 2, err));
    struct sg_results *c = r.calibration;
    for (int a = 0; a < 2; a++) c->query[a] = c->category[a] = ids[a];
    c->true_length[0] = 300; /* without prompt tokens: the merge counts */
    CHECK_OK(sg_results_set_night(&r, "tonight", err));
    CHECK_OK(SG_NEW(&r.origin.fingerprint, CELLS, "fingerprints", err));
    for (int64_t i = 0; i < CELLS; i++) r.origin.fingerprint[i] = test_cell_fingerprint(i);
    CHECK_OK(sg_merge(*state, TEST_RUN, NULL, true, &r, &s, err));
    assert_int_equal(s.n_cells, CELLS);
    assert_int_equal(s.n_calibration, REST);
    assert_int_equal(s.n_done, CELLS - 1);
    assert_int_equal(s.n_failed, 2); /* cells 6 and 13 of the queries' */
    sg_results_free(&r);

    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &b, err));
    assert_int_equal(sg_results_n_cells(&b), CELLS);
    c = b.calibration;
    const size_t own = (size_t)OWN * M, rest = REST;
    assert_memory_equal(b.p_correct, whole.p_correct, own * sizeof *b.p_correct);
    assert_memory_equal(c->p_correct, whole.p_correct + own, rest * sizeof *b.p_correct);
    assert_memory_equal(c->cost, whole.cost + own, rest * sizeof *b.cost);
    assert_memory_equal(c->status, whole.status + own, rest * sizeof *b.status);
    assert_memory_equal(c->prompt_tokens, whole.prompt_tokens + own, rest * sizeof *b.prompt_tokens);
    assert_memory_equal(c->sample_length, whole.sample_length + own * TEST_SAMPLES,
                        rest * TEST_SAMPLES * sizeof *b.sample_length);
    assert_memory_equal(b.text_digest, whole.text_digest, CELLS * sizeof *b.text_digest);
    assert_int_equal(c->status[REST - 1], -1); /* in no segment */
    assert_int_equal(b.origin.night[CELLS - 1], -1);
    assert_int_equal(b.origin.night[CELLS - 2], 0);
    assert_true(c->true_cost[0] == sg_call_cost((struct sg_price){2, 10, 0}, c->prompt_tokens[0], 300));
    sg_results_free(&b);
    sg_results_free(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_DIR(any_partition_one_digest),
        IN_DIR(calibration_is_apart),
        IN_DIR(cells_are_of_their_fingerprint),
        IN_DIR(nights_are_the_segments),
        IN_DIR(values_arrive),
        IN_DIR(leftovers_of_a_killed_merge_go),
        IN_DIR(nothing_computed_is_a_file_too),
        IN_DIR(copies_must_agree),
        IN_DIR(success_beats_failure),
        IN_DIR(cells_that_do_not_fit_the_plan),
        IN_DIR(foreign_runs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

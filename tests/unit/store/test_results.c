/* Protects results.h5: everything written is read back, the digest covers all of it and nothing else, damage
 * and foreign files are told apart in words, and a failed write leaves the old file alone. */
#include "store/results.h"

#include "store/h5_checksum.h"
#include "store/results_writer.h"
#include "store/schema.h"
#include "store_test.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { Q = 5, M = TEST_MODELS, S = TEST_SAMPLES, CELLS = Q * M };
enum { ANCHORS = 4, CALIBRATION = 2, ALL = CELLS + CALIBRATION * M }; /* all cells */

static char *keep(struct sg_results *r, const char *s) {
    char *out = NULL;
    CHECK_OK(sg_arena_dup(&r->strings, s, strlen(s), &out, err));
    return out;
}

/* Columns of n cells, which are test_cell's from `first` on. */
static void fill_cells(struct sg_results *r, int first, int n, bool truth) {
    for (int i = 0; i < n; i++) {
        const int cell = first + i;
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(cell, &room);
        r->valid[i] = c.valid;
        r->status[i] = c.status;
        r->p_correct[i] = c.p_correct;
        r->votes_yes[i] = c.votes_yes;
        r->votes_no[i] = c.votes_no;
        r->votes_unparsed[i] = c.votes_unparsed;
        r->length_mean[i] = c.length_mean;
        r->length_sd[i] = c.length_sd;
        r->cost[i] = c.cost;
        r->prompt_tokens[i] = c.prompt_tokens;
        r->prompt_source[i] = (uint8_t)(i % 2);
        r->output_tokens[i] = c.output_tokens;
        r->knn_correct[i] = 0.125 * (i % 8);
        r->knn_length[i] = cell == 4 ? (double)NAN : 10.0 * i;
        r->anchor_correct[i] = 0.5;
        r->anchor_length[i] = 300 + i;
        for (int64_t s = 0; s < r->n_samples && s < c.n_samples; s++) {
            const int64_t k = i * r->n_samples + s;
            r->sample_correct[k] = c.samples[s].correct;
            r->sample_length[k] = c.samples[s].length;
            r->sample_p_yes[k] = c.samples[s].p_yes;
            r->sample_tokens[k] = c.samples[s].tokens;
            r->sample_finish[k] = c.samples[s].finish;
        }
        if (truth && i != 3) {
            r->true_correct[i] = (int8_t)(i % 3 == 0);
            r->true_length[i] = 200 + i;
            r->true_cost[i] = 0.002 * i;
        }
    }
}

/* Results of the cells of test_cell, with one cell never computed (14) and truth for most; two of four anchors
 * are calibrated. Strings include non-ASCII ones and one longer than any fixed width somebody might have chosen. */
static void fill(struct sg_results *r, int64_t samples, bool truth) {
    char name[700];
    CHECK_OK(sg_results_alloc(r, Q, M, samples, truth, err));
    CHECK_OK(sg_results_alloc_anchors(r, ANCHORS, err));
    for (int q = 0; q < Q; q++) {
        (void)snprintf(name, sizeof name, "q\xc3\xbc%d", q);
        if (q == 3) memset(name, 'x', 600), name[600] = 0;
        r->query[q] = keep(r, name);
        r->category[q] = keep(r, q == 2 ? "" : q % 2 ? "math" : "r\xc3\xa4tsel");
        r->similarity[q] = q == 2 ? (double)NAN : 0.1 * q;
    }
    for (int m = 0; m < M; m++) {
        (void)snprintf(name, sizeof name, "vendor/model-%d", m);
        r->model[m] = keep(r, name);
        r->price_input[m] = 0.25 * (m + 1);
        r->price_output[m] = 1.5 * (m + 1);
        r->price_request[m] = 0.001 * m;
    }
    for (int a = 0; a < ANCHORS; a++) {
        (void)snprintf(name, sizeof name, "anchor %d", a);
        r->anchors.id[a] = keep(r, name);
        r->anchors.category[a] = keep(r, a % 2 ? "math" : "");
        for (int m = 0; m < M; m++) {
            if (a == 2 && m == 1) continue; /* unknown */
            r->anchors.correct[a * M + m] = (int8_t)(a == m);
            r->anchors.completion_tokens[a * M + m] = 1000 + 10 * a + m;
            r->anchors.prompt_tokens[a * M + m] = m ? 20 + a : -1;
        }
    }
    CHECK_OK(sg_results_alloc_calibration(r, CALIBRATION, err));
    for (int a = 0; a < CALIBRATION; a++) {
        r->calibration->query[a] = keep(r, r->anchors.id[2 * a + 1]);
        r->calibration->category[a] = keep(r, "math");
        r->calibration->similarity[a] = 0.5 + a;
    }
    fill_cells(r, 0, CELLS - 1, truth);
    fill_cells(r->calibration, CELLS, CALIBRATION * M, true);
    r->name = keep(r, "a demo");
    r->job_text = keep(r, "{\"name\":\"a demo\"}");
    r->fingerprint = keep(r, "0123456789abcdef0123456789abcdef");
    r->version = keep(r, "0.1.0");
    r->finished_at = keep(r, "2026-01-02T03:04:05Z");
}

static void file_of(void **state, const char *name, char out[1024]) {
    path_to(out, "%s/%s", (char *)*state, name);
}

static void expect_same(const struct sg_results *a, const struct sg_results *b, bool samples) {
    assert_int_equal(a->n_queries, b->n_queries);
    assert_int_equal(a->n_models, b->n_models);
    assert_int_equal(a->n_samples, b->n_samples);
    for (int64_t q = 0; q < a->n_queries; q++) {
        assert_string_equal(a->query[q], b->query[q]);
        assert_string_equal(a->category[q], b->category[q]);
    }
    for (int64_t m = 0; m < a->n_models; m++) assert_string_equal(a->model[m], b->model[m]);
    for (int i = 0; i < sg__n_columns; i++) {
        const struct sg__column *c = &sg__columns[i];
        const void *x = sg__column_data(a, c), *y = sg__column_data(b, c);
        if (c->axes == SG_AXES_SAMPLE && !samples) continue;
        if (!x != !y) fail_msg("column %s is in one only", c->var.name);
        /* By bits: NaN with NaN, all else exactly. */
        if (x) assert_memory_equal(x, y, (size_t)sg__column_len(a, c) * sg_h5_type_bytes(c->var.type));
    }
    assert_int_equal(a->anchors.n, b->anchors.n);
    for (int64_t i = 0; i < a->anchors.n; i++) {
        assert_string_equal(a->anchors.id[i], b->anchors.id[i]);
        assert_string_equal(a->anchors.category[i], b->anchors.category[i]);
    }
    assert_int_equal(!a->calibration, !b->calibration);
    if (a->calibration) expect_same(a->calibration, b->calibration, samples);
}

static enum sg_status write_with_texts(const char *path, struct sg_results *r, struct sg_err *err) {
    struct sg_results_writer *w = NULL;
    enum sg_status st = sg_results_writer_open(path, ALL, S, true, &w, err);
    for (int64_t i = 0; i < ALL && st == SG_OK; i++) {
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(i, &room);
        st = sg_results_writer_cell(w, i == CELLS - 1 ? NULL : &c, err);
    }
    if (st == SG_OK) return sg_results_writer_close(w, r, err);
    sg_results_writer_abandon(w);
    return st;
}

static void round_trip(void **state) {
    char path[1024];
    file_of(state, "results.h5", path);
    for (int variant = 0; variant < 4; variant++) {
        struct sg_results a = {0}, b = {0};
        const int64_t samples = variant & 1 ? S : 0;
        fill(&a, samples, variant & 2);
        CHECK_OK(sg_results_write(path, &a, err));
        CHECK_OK(sg_results_read(path, SG_RESULTS_CELLS | SG_RESULTS_SAMPLES | SG_RESULTS_VERIFY, &b, err));
        expect_same(&a, &b, true);
        assert_true(sg_digest_equal(b.digest, sg_results_digest(&a)));
        assert_string_equal(b.name, "a demo");
        assert_string_equal(b.job_text, "{\"name\":\"a demo\"}");
        assert_string_equal(b.fingerprint, a.fingerprint);
        assert_string_equal(b.version, "0.1.0");
        assert_string_equal(b.finished_at, a.finished_at);
        sg_results_free(&b);
        CHECK_OK(sg_results_read(path, SG_RESULTS_CELLS, &b, err));
        expect_same(&a, &b, false);
        assert_int_equal(b.n_samples, samples); /* known even when not loaded */
        assert_null(b.sample_correct);
        sg_results_free(&b);
        sg_results_free(&a);
    }
    assert_int_equal(count_names(*state, ".h5", NULL), 1);
}

static void alloc_is_all_missing(void **state) {
    (void)state;
    struct sg_results r;
    CHECK_OK(sg_results_alloc(&r, 2, 3, 2, true, err));
    for (int i = 0; i < 6; i++) {
        assert_int_equal(r.valid[i], 0);
        assert_int_equal(r.status[i], -1);
        assert_int_equal(r.true_correct[i], -1);
        assert_int_equal(r.prompt_tokens[i], -1);
        assert_true(isnan(r.p_correct[i]) && isnan(r.cost[i]) && isnan(r.length_mean[i]) &&
                    isnan(r.length_sd[i]));
        assert_true(isnan(r.true_length[i]) && isnan(r.true_cost[i]) && isnan(r.knn_correct[i]));
    }
    for (int i = 0; i < 12; i++) {
        assert_int_equal(r.sample_correct[i], -1);
        assert_int_equal(r.sample_length[i], -1);
        assert_true(isnan(r.sample_p_yes[i]));
    }
    sg_results_free(&r);
    CHECK_FAILS(SG_E_INPUT, "0 queries", sg_results_alloc(&r, 0, 3, 2, true, err));
    CHECK_FAILS(SG_E_INPUT, "not possible", sg_results_alloc(&r, INT64_MAX / 2, 3, 2, true, err));
    sg_results_free(&r);
    sg_results_free(NULL);
}

/* The digests of `r` when one value of a column of `part` (r or its calibration) changes; two of each. */
static int digests_of_columns(const struct sg_results *r, const struct sg_results *part,
                              struct sg_digest *seen) {
    int n = 0;
    for (int i = 0; i < sg__n_columns; i++) {
        const struct sg__column *c = &sg__columns[i];
        unsigned char *data = sg__column_data(part, c);
        if (!data || (part != r && c->axes == SG_AXES_MODEL)) continue; /* prices stand in the root alone */
        const size_t bytes = sg_h5_type_bytes(c->var.type), len = (size_t)sg__column_len(part, c),
                     last = len > 2 * S ? len - 1 - (size_t)S : 0;
        /* Element 1, and one near the end; the top byte but one: a NaN's payload is not a value */
        for (int k = 0; k < 2; k++) {
            unsigned char *p = data + (k ? (c->axes == SG_AXES_MODEL ? 2 : last) : 1) * bytes;
            unsigned char old[8];
            memcpy(old, p, bytes);
            memset(p, 1, bytes); /* no value of fill() is 0x0101.. */
            if (memcmp(old, p, bytes) == 0) memset(p, 2, bytes);
            seen[n++] = sg_results_digest(r);
            memcpy(p, old, bytes);
        }
    }
    return n;
}

/* Every value counts, and only values: each change must change the digest, and none may collide. */
static void digest_covers_everything(void **state) {
    (void)state;
    struct sg_results r;
    fill(&r, S, true);
    CHECK_OK(sg_results_alloc_scores(&r, err));
    struct sg_digest seen[300];
    int n = 0;
    seen[n++] = sg_results_digest(&r);
    n += digests_of_columns(&r, &r, seen + n);
    assert_int_equal(n, 1 + 2 * sg__n_columns);
    n += digests_of_columns(&r, r.calibration, seen + n);
    assert_int_equal(n, 1 + 2 * (2 * sg__n_columns - 7)); /* without three prices and four of the anchors */
    char **strings[] = {&r.query[1],
                        &r.category[1],
                        &r.model[1],
                        &r.calibration->query[1],
                        &r.calibration->category[0],
                        (char **)&r.anchors.id[1],
                        (char **)&r.anchors.category[1]};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        char *old = *strings[i];
        *strings[i] = "other";
        seen[n++] = sg_results_digest(&r);
        *strings[i] = old;
    }
    struct sg_digest texts[ALL] = {{0}};
    r.text_digest = texts;
    seen[n++] = sg_results_digest(&r);
    texts[CELLS - 1].lo = 1;
    seen[n++] = sg_results_digest(&r);
    texts[ALL - 1].lo = 1;
    seen[n++] = sg_results_digest(&r);
    r.text_digest = NULL;
    struct sg_results *calibration = r.calibration;
    r.calibration = NULL;
    seen[n++] = sg_results_digest(&r);
    r.anchors.n--;
    seen[n++] = sg_results_digest(&r);
    r.anchors.n++;
    r.calibration = calibration;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (sg_digest_equal(seen[i], seen[j])) fail_msg("changes %d and %d have one digest", i, j);

    /* What is not a result does not count. */
    r.finished_at = r.name = r.version = r.job_text = "other";
    r.runtime.seconds = 5;
    r.cost[0] = -0.0; /* was 0 */
    uint64_t bits;
    memcpy(&bits, &r.p_correct[6], 8);
    bits ^= 1; /* another NaN */
    memcpy(&r.p_correct[6], &bits, 8);
    assert_true(isnan(r.p_correct[6]));
    assert_true(sg_digest_equal(sg_results_digest(&r), seen[0]));
    sg_results_free(&r);
}

static void digest_is_the_same_everywhere(void **state) {
    (void)state;
    /* A number written down: another compiler, another build or a later version must not change it silently.
     * A change on purpose belongs to a new SG_RESULTS_VERSION. */
    struct sg_results r;
    char hex[SG_DIGEST_HEX];
    fill(&r, S, true);
    sg_digest_hex(sg_results_digest(&r), hex);
    assert_string_equal(hex, "c3b262fa39c20223fb7328be0e96812c");
    r.format = 1; /* as programs wrote it that knew neither anchors nor calibration */
    sg_digest_hex(sg_results_digest(&r), hex);
    assert_string_equal(hex, "bdd1d3897138cdf78a9ea20935550fe1");
    sg_results_free(&r);
}

/* Files of version 1 have neither similarity nor anchors nor calibration: read, and verified by their own
 * digest. */
static void files_of_version_1(void **state) {
    char path[1024], hex[SG_DIGEST_HEX];
    struct sg_results a, b;
    file_of(state, "old.h5", path);
    fill(&a, S, true);
    sg_results_free(a.calibration);
    free(a.calibration);
    a.calibration = NULL;
    a.format = 1;
    CHECK_OK(sg_results_write(path, &a, err));
    struct sg_h5_in in;
    CHECK_OK(sg_h5_open(path, NULL, &in, err));
    assert_false(sg_h5_has(&in, "similarity") || sg_h5_has(&in, "anchors") || sg_h5_has(&in, "calibration"));
    sg_h5_close(&in);
    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &b, err));
    sg_digest_hex(b.digest, hex);
    assert_string_equal(hex, "bdd1d3897138cdf78a9ea20935550fe1");
    assert_int_equal(b.format, 1);
    assert_null(b.calibration);
    assert_int_equal(b.anchors.n, 0);
    for (int q = 0; q < Q; q++) assert_true(isnan(b.similarity[q]));
    assert_int_equal(sg_results_n_cells(&b), CELLS);
    sg_results_free(&a);
    sg_results_free(&b);
}

static void verify_sees_an_edited_value(void **state) {
    char path[1024];
    struct sg_results a, b;
    file_of(state, "r.h5", path);
    fill(&a, S, true);
    CHECK_OK(sg_results_write(path, &a, err));
    const hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), d = H5Dopen2(f, "votes_no", H5P_DEFAULT);
    a.votes_no[4]++;
    assert_true(H5Dwrite(d, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, a.votes_no) >= 0);
    H5Dclose(d);
    H5Fclose(f);
    CHECK_FAILS(SG_E_CORRUPT, "damaged or edited", sg_results_read(path, SG_RESULTS_VERIFY, &b, err));
    CHECK_OK(sg_results_read(path, SG_RESULTS_CELLS, &b, err));
    sg_results_free(&b);
    sg_results_free(&a);
}

static void files_that_are_not_ours(void **state) {
    char path[1024];
    struct sg_results r;
    file_of(state, "absent.h5", path);
    CHECK_FAILS(SG_E_INPUT, "absent.h5: cannot open", sg_results_read(path, SG_RESULTS_CELLS, &r, err));
    CHECK_FAILS(SG_E_INPUT, "not a regular file", sg_results_read(*state, SG_RESULTS_CELLS, &r, err));
    file_of(state, "x.h5", path);
    write_file(path, "", 0);
    CHECK_FAILS(SG_E_INPUT, "not an HDF5 file (it is empty)",
                sg_results_read(path, SG_RESULTS_CELLS, &r, err));
    write_file(path, "id,correct\n1,0\n", 15);
    CHECK_FAILS(SG_E_INPUT, "x.h5: is not an HDF5 file", sg_results_read(path, SG_RESULTS_CELLS, &r, err));

    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(f);
    CHECK_FAILS(SG_E_INPUT, "'format' is absent", sg_results_read(path, SG_RESULTS_CELLS, &r, err));

    struct sg_h5_out out;
    CHECK_OK(sg_h5_create(path, &out, err));
    CHECK_OK(sg_h5_attr_str(&out, out.file, NULL, "format", "somebody else's", err));
    CHECK_OK(sg_h5_commit(&out, err));
    CHECK_FAILS(SG_E_INPUT, "'format' is \"somebody else's\"",
                sg_results_read(path, SG_RESULTS_CELLS, &r, err));

    CHECK_OK(sg_h5_create(path, &out, err));
    CHECK_OK(sg_h5_attr_str(&out, out.file, NULL, "format", SG_RESULTS_FORMAT, err));
    CHECK_OK(sg_h5_attr_i64(&out, out.file, NULL, "format_version", 4, err));
    CHECK_OK(sg_h5_commit(&out, err));
    CHECK_FAILS(SG_E_UNSUPPORTED, "version 4, this build reads up to version 3",
                sg_results_read(path, SG_RESULTS_CELLS, &r, err));

    CHECK_OK(sg_h5_create(path, &out, err));
    CHECK_OK(sg_h5_attr_str(&out, out.file, NULL, "format", SG_RESULTS_FORMAT, err));
    CHECK_OK(sg_h5_attr_i64(&out, out.file, NULL, "format_version", 1, err));
    CHECK_OK(sg_h5_commit(&out, err));
    CHECK_FAILS(SG_E_INPUT, "has no dataset 'query'", sg_results_read(path, SG_RESULTS_CELLS, &r, err));
}

/* Replaces one dataset of a good file by another and says what comes of it. */
static void replace(const char *path, const char *name, hid_t type, int rank, const hsize_t *dims) {
    const hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(f, name, H5P_DEFAULT) >= 0);
    if (rank >= 0) {
        const hid_t s = H5Screate_simple(rank, dims, NULL);
        const hid_t d = H5Dcreate2(f, name, type, s, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(d >= 0);
        H5Dclose(d);
        H5Sclose(s);
    }
    H5Fclose(f);
}

static void columns_that_do_not_agree(void **state) {
    char path[1024];
    struct sg_results a, r;
    fill(&a, S, true);
    file_of(state, "r.h5", path);
    const hsize_t right[] = {Q, M, S}, wrong[] = {Q, M + 1, S}, huge[] = {1000000000, 1000000000},
                  none[] = {0, 0};
    const unsigned all = SG_RESULTS_CELLS | SG_RESULTS_SAMPLES;
#define CASE(status, words, ...)                                                                             \
    do {                                                                                                     \
        CHECK_OK(sg_results_write(path, &a, err));                                                           \
        replace(path, __VA_ARGS__);                                                                          \
        CHECK_FAILS(status, words, sg_results_read(path, all, &r, err));                                     \
    } while (0)
    CASE(SG_E_INPUT, "has no dataset 'cost'", "cost", 0, -1, NULL);
    CASE(SG_E_CORRUPT, "'cost' has shape 5 x 4, the axes say 5 x 3", "cost", H5T_NATIVE_DOUBLE, 2, wrong);
    CASE(SG_E_CORRUPT, "'cost' has shape 5, the axes say 5 x 3", "cost", H5T_NATIVE_DOUBLE, 1, right);
    CASE(SG_E_CORRUPT, "sample_p_yes", "sample_p_yes", H5T_NATIVE_FLOAT, 3, wrong);
    CASE(SG_E_CORRUPT, "'valid' is not of shape (query 5, model 3)", "valid", H5T_NATIVE_UINT8, 2, none);
    CASE(SG_E_CORRUPT, "'valid' claims 1000000000 x 1000000000 elements", "valid", H5T_NATIVE_UINT8, 2, huge);
    CASE(SG_E_INPUT, "'votes_yes' does not hold integers", "votes_yes", H5T_NATIVE_DOUBLE, 2, right);
    CASE(SG_E_CORRUPT, "'model' claims 3 elements", "model", H5T_NATIVE_DOUBLE, 1, &right[1]);
    CASE(SG_E_CORRUPT, "'query' claims 1000000000 elements", "query", H5T_C_S1, 1, huge);
    CASE(SG_E_CORRUPT, "only some of true_correct", "true_cost", 0, -1, NULL);
    CASE(SG_E_CORRUPT, "'calibration/valid' is not of shape (anchor 2, model 3)", "calibration/valid",
         H5T_NATIVE_UINT8, 2, none);
    CASE(SG_E_CORRUPT, "'calibration/valid' claims 5 x 3 elements", "calibration/valid", H5T_NATIVE_UINT8, 2,
         right);
    CASE(SG_E_INPUT, "has no dataset 'calibration/cost'", "calibration/cost", 0, -1, NULL);
    CASE(SG_E_CORRUPT, "calibration has 0 models with 4 samples, the grid 3 with 4", "calibration/model",
         H5T_NATIVE_DOUBLE, 1, none);
    CASE(SG_E_CORRUPT, "'anchors/correct' is not of shape (anchor 4, model 3)", "anchors/correct",
         H5T_NATIVE_INT8, 2, none);
    CASE(SG_E_CORRUPT, "'anchors/anchor' claims 1000000000 elements", "anchors/anchor", H5T_C_S1, 1, huge);
    CASE(SG_E_CORRUPT, "'similarity' has shape 5 x 4, the axes say 5", "similarity", H5T_NATIVE_DOUBLE, 2,
         wrong);
#undef CASE
    /* Optional columns may be absent and read as missing. */
    CHECK_OK(sg_results_write(path, &a, err));
    replace(path, "knn_correct", 0, -1, NULL);
    replace(path, "category", 0, -1, NULL);
    CHECK_OK(sg_results_read(path, all, &r, err));
    assert_true(isnan(r.knn_correct[2]));
    assert_string_equal(r.category[1], "");
    sg_results_free(&r);
    sg_results_free(&a);
}

/* Graded outcomes make a file of version 3: scores come back, count in the digest, and stand beside all outcomes or
 * none. */
static void scores_of_graded_outcomes(void **state) {
    char path[1024];
    struct sg_results a, b;
    file_of(state, "r.h5", path);
    fill(&a, S, true);
    CHECK_OK(sg_results_alloc_scores(&a, err));
    const struct sg_digest unknown = sg_results_digest(&a);
    for (int i = 0; i < CELLS; i++) a.true_score[i] = a.true_correct[i] < 0 ? (double)NAN : 0.1 * (i % 11);
    for (int i = 0; i < CALIBRATION * M; i++) a.calibration->true_score[i] = 0.25 * (i % 5);
    for (int i = 0; i < ANCHORS * M; i++) a.anchors.score[i] = a.anchors.correct[i] < 0 ? (double)NAN : 0.5;
    assert_false(sg_digest_equal(unknown, sg_results_digest(&a)));
    CHECK_OK(sg_results_write(path, &a, err));
    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &b, err));
    assert_int_equal(b.format, 3);
    assert_memory_equal(a.true_score, b.true_score, sizeof(double) * CELLS);
    assert_memory_equal(a.calibration->true_score, b.calibration->true_score,
                        sizeof(double) * CALIBRATION * M);
    assert_memory_equal(a.anchors.score, b.anchors.score, sizeof(double) * ANCHORS * M);
    const struct sg_digest before = b.digest;
    b.anchors.score[0] = 0.75;
    assert_false(sg_digest_equal(before, sg_results_digest(&b)));
    sg_results_free(&b);
    static const char *const all[] = {"true_score", "anchors/score", "calibration/true_score"};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(sg_results_write(path, &a, err));
        replace(path, all[i], 0, -1, NULL);
        CHECK_FAILS(SG_E_CORRUPT, "only some of its outcomes have scores",
                    sg_results_read(path, SG_RESULTS_CELLS, &b, err));
    }
    sg_results_free(&a);
}

static void truncated_files(void **state) {
    char path[1024];
    struct sg_results a, r;
    size_t n;
    fill(&a, S, true);
    file_of(state, "r.h5", path);
    CHECK_OK(sg_results_write(path, &a, err));
    sg_results_free(&a);
    unsigned char *b = read_whole(path, &n);
    const size_t body = n - SG_H5_CHECKSUM_BYTES;
    for (size_t cut = 8; cut < body; cut += cut < 200 ? 1 : 997) {
        write_file(path, b, cut);
        CHECK_FAILS(SG_E_CORRUPT, "r.h5: damaged or cut short",
                    sg_results_read(path, SG_RESULTS_CELLS, &r, err));
    }
    write_file(path, b, body - 1);
    CHECK_FAILS(SG_E_CORRUPT, "r.h5: damaged or cut short", sg_results_read(path, SG_RESULTS_CELLS, &r, err));
    for (size_t cut = body + 1; cut < n; cut++) {
        write_file(path, b, cut);
        CHECK_FAILS(SG_E_CORRUPT, "r.h5: damaged or cut short: the checksum at its end is not whole",
                    sg_results_read(path, SG_RESULTS_CELLS, &r, err));
    }
    for (size_t cut = body; cut <= n;
         cut += n - body) { /* the seal as a whole may go, as other tools cut it */
        write_file(path, b, cut);
        CHECK_OK(sg_results_read(path, SG_RESULTS_CELLS, &r, err));
        sg_results_free(&r);
    }
    free(b);
}

/* Any flipped bit is seen before HDF5, which could crash on it, is handed the file. */
static void flipped_bits(void **state) {
    char path[1024];
    struct sg_results a, r;
    size_t n;
    fill(&a, S, true);
    file_of(state, "r.h5", path);
    CHECK_OK(write_with_texts(path, &a, err));
    sg_results_free(&a);
    unsigned char *b = read_whole(path, &n);
    for (uint64_t k = 0; k < 300; k++) {
        const size_t place =
            k < SG_H5_CHECKSUM_BYTES ? n - 1 - k : 8 + sg_random64(7, k) % (n - 8 - SG_H5_CHECKSUM_BYTES);
        b[place] ^= (unsigned char)(1u << (k % 8));
        write_file(path, b, n);
        CHECK_FAILS(SG_E_CORRUPT,
                    place < n - 32 && place >= n - 40 ? "r.h5: damaged or cut short"
                                                      : "r.h5: damaged: its bytes do not have",
                    sg_results_read(path, SG_RESULTS_CELLS, &r, err));
        b[place] ^= (unsigned char)(1u << (k % 8));
    }
    free(b);
}

/* Without its seal (another tool has rewritten the file) large columns still have HDF5's own checksums. Only
 * raw data is damaged here: HDF5 1.10 may crash on damaged metadata. */
static void damaged_data(void **state) {
    char path[1024];
    struct sg_results a, r;
    file_of(state, "r.h5", path);
    CHECK_OK(sg_results_alloc(&a, 2000, 5, 0, false, err));
    for (int64_t i = 0; i < 10000; i++) a.p_correct[i] = sg_uniform(1, (uint32_t)i);
    for (int64_t i = 0; i < 2000; i++) a.query[i] = a.category[i] = "x";
    for (int64_t i = 0; i < 5; i++) a.model[i] = "m", a.price_input[i] = a.price_output[i] = 1;
    CHECK_OK(sg_results_write(path, &a, err));
    const hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), d = H5Dopen2(f, "p_correct", H5P_DEFAULT);
    const hsize_t zero[] = {0, 0};
    unsigned mask;
    haddr_t at;
    hsize_t size;
    assert_true(H5Dget_chunk_info_by_coord(d, zero, &mask, &at, &size) >= 0);
    H5Dclose(d);
    H5Fclose(f);
    size_t n;
    unsigned char *b = read_whole(path, &n);
    n -= SG_H5_CHECKSUM_BYTES;
    for (uint64_t k = 0; k < 50; k++) {
        const size_t place = at + sg_random64(2, k) % size;
        b[place] ^= 0x10;
        write_file(path, b, n);
        CHECK_FAILS(SG_E_CORRUPT, "p_correct", sg_results_read(path, SG_RESULTS_CELLS, &r, err));
        b[place] ^= 0x10;
    }
    free(b);
    sg_results_free(&a);
}

/* ---- texts ---- */

static void texts_come_back(void **state) {
    char path[1024];
    struct sg_results a, b;
    struct sg_results_texts *t = NULL;
    struct sg_buf buf = {0};
    file_of(state, "r.h5", path);
    fill(&a, S, true);
    const struct sg_digest bare = sg_results_digest(&a);
    CHECK_OK(write_with_texts(path, &a, err));
    assert_false(sg_digest_equal(a.digest, bare)); /* the texts are results */
    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &b, err));
    assert_true(sg_digest_equal(a.digest, b.digest));
    CHECK_OK(sg_results_texts_open(path, &t, err));
    for (int64_t i = 0; i < ALL; i++) {
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(i, &room);
        for (int64_t s = 0; s < S; s++) {
            const bool there = i != CELLS - 1 && s < c.n_samples && c.samples[s].text;
            sg_buf_clear(&buf);
            CHECK_OK(sg_results_texts_get(t, i, s, &buf, err));
            assert_int_equal(buf.len, there ? c.samples[s].text_bytes : 0);
            if (there) assert_memory_equal(buf.data, c.samples[s].text, buf.len);
        }
    }
    sg_buf_clear(&buf);
    CHECK_OK(sg_buf_str(&buf, "> ", err));
    CHECK_OK(sg_results_text(path, 0, 0, &buf, err));
    assert_memory_equal(buf.data, "> Analysis 0/0", 14);
    CHECK_FAILS(SG_E_INPUT, "no cell 21", sg_results_texts_get(t, ALL, 0, &buf, err));
    CHECK_FAILS(SG_E_INPUT, "sample 4", sg_results_texts_get(t, 0, S, &buf, err));
    CHECK_FAILS(SG_E_INPUT, "no cell -1", sg_results_text(path, -1, 0, &buf, err));
    sg_results_texts_close(t);
    CHECK_FAILS(SG_E_USAGE, "have texts", sg_results_write(path, &b, err));
    sg_results_free(&b);
    free(a.text_digest);
    a.text_digest = NULL;
    CHECK_OK(sg_results_write(path, &a, err));
    CHECK_OK(sg_results_texts_open(path, &t, err));
    assert_null(t);
    CHECK_FAILS(SG_E_INPUT, "holds no texts", sg_results_text(path, 0, 0, &buf, err));
    sg_results_free(&a);
    sg_buf_free(&buf);
}

static void long_texts_cross_chunks(void **state) {
    char path[1024];
    struct sg_results r;
    struct sg_results_writer *w = NULL;
    struct sg_buf buf = {0};
    const int64_t size = 700001; /* three of them in two chunks of 1 MiB */
    char *text = malloc((size_t)size);
    assert_non_null(text);
    for (int64_t i = 0; i < size; i++) text[i] = (char)('a' + sg_random64(3, (uint64_t)i) % 26);
    file_of(state, "r.h5", path);
    CHECK_OK(sg_results_alloc(&r, 3, 1, 1, false, err));
    r.price_input[0] = r.price_output[0] = 1;
    CHECK_OK(sg_results_writer_open(path, 3, 1, true, &w, err));
    for (int i = 0; i < 3; i++) {
        struct sg_cell_sample s = {.text = text, .text_bytes = size - i};
        const struct sg_cell c = {.n_samples = 1, .samples = &s};
        CHECK_OK(sg_results_writer_cell(w, &c, err));
    }
    CHECK_OK(sg_results_writer_close(w, &r, err));
    for (int i = 0; i < 3; i++) {
        sg_buf_clear(&buf);
        CHECK_OK(sg_results_text(path, i, 0, &buf, err));
        assert_int_equal(buf.len, size - i);
        assert_memory_equal(buf.data, text, buf.len);
    }
    sg_buf_free(&buf);
    sg_results_free(&r);
    free(text);
}

/* ---- failing writes ---- */

static void failed_writes_leave_the_old_file(void **state) {
    char path[1024];
    struct sg_results a, b;
    struct rlimit old, low;
    size_t n, m;
    file_of(state, "r.h5", path);
    fill(&a, S, true);
    CHECK_OK(write_with_texts(path, &a, err));
    unsigned char *before = read_whole(path, &n);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    /* Wherever the disk fills: HDF5 must neither crash nor hang, then or when the program ends. */
    for (rlim_t limit = 0; limit < n; limit += limit < 4096 ? 257 : 1777) {
        low = old;
        low.rlim_cur = limit + 1777 < n ? limit : n - 1; /* the last one: in the seal */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        CHECK_FAILS(SG_E_IO, "r.h5.tmp", write_with_texts(path, &a, err));
        assert_int_equal(count_names(*state, "", NULL), 1 + 2); /* ours, . and .. */
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    unsigned char *after = read_whole(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &b, err)); /* and HDF5 still works */
    sg_results_free(&b);
    file_of(state, "no/such/dir.h5", path);
    CHECK_FAILS(SG_E_IO, "cannot create", write_with_texts(path, &a, err));
    sg_results_free(&a);
    free(before);
    free(after);
}

static void equal_results_make_equal_files(void **state) {
    char one[1024], two[1024];
    struct sg_results a, b;
    size_t n, m;
    file_of(state, "1.h5", one);
    file_of(state, "2.h5", two);
    fill(&a, S, true);
    fill(&b, S, true);
    CHECK_OK(write_with_texts(one, &a, err));
    sleep(1); /* no time stamps: they have a resolution of a second */
    CHECK_OK(write_with_texts(two, &b, err));
    unsigned char *x = read_whole(one, &n), *y = read_whole(two, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
    sg_results_free(&a);
    sg_results_free(&b);
}

static void runtime_and_failures(void **state) {
    char path[1024];
    struct sg_results a, b;
    file_of(state, "r.h5", path);
    fill(&a, S, true);
    const struct sg_digest plain = sg_results_digest(&a);
    CHECK_OK(SG_NEW(&a.failure_cell, 2, "x", err));
    CHECK_OK(SG_NEW(&a.failure_reason, 2, "x", err));
    a.n_failures = 2;
    a.failure_cell[0] = 6;
    a.failure_cell[1] = 13;
    a.failure_reason[0] = "too long";
    a.failure_reason[1] = "no logits on n\xc3\xb8"
                          "de7";
    CHECK_OK(sg_results_alloc_ranks(&a, 2, err));
    a.runtime.ranks[0].host = "node7";
    a.runtime.ranks[1].host = "node8";
    a.runtime.ranks[0].device = a.runtime.ranks[1].device = "cpu";
    a.runtime.ranks[1].cells = 9;
    a.runtime.ranks[0].device_uuid = "GPU-1";
    a.runtime.ranks[0].joules = NAN;
    a.runtime.ranks[1].joules = 2.5;
    a.runtime.seconds = 12.5;
    CHECK_OK(sg_results_write(path, &a, err));
    CHECK_OK(sg_results_read(path, SG_RESULTS_VERIFY, &b, err));
    assert_true(sg_digest_equal(b.digest, plain));
    assert_int_equal(b.n_failures, 2);
    assert_int_equal(b.failure_cell[1], 13);
    assert_string_equal(b.failure_reason[1], a.failure_reason[1]);
    struct sg_h5_in in;
    double seconds = 0;
    int64_t cells[2] = {0}, two = 2;
    CHECK_OK(sg_h5_open(path, NULL, &in, err));
    const hid_t attribute = H5Aopen_by_name(in.file, "runtime", "seconds", H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Aread(attribute, H5T_NATIVE_DOUBLE, &seconds) >= 0 && H5Aclose(attribute) >= 0);
    CHECK_OK(sg_h5_read(&in, "runtime/rank_cells", SG_H5_I64, 1, &two, cells, err));
    assert_true(seconds == 12.5 && cells[1] == 9);
    double joules[2] = {0};
    CHECK_OK(sg_h5_read(&in, "runtime/rank_energy", SG_H5_F64, 1, &two, joules, err));
    assert_true(isnan(joules[0]) && joules[1] == 2.5);
    sg_h5_close(&in);
    sg_results_free(&a);
    sg_results_free(&b);
}

/* --sample PATH: the file that check_xarray.py opens. */
static int write_sample(const char *path) {
    struct sg_results r;
    fill(&r, S, true);
    CHECK_OK(sg_results_alloc_ranks(&r, 2, err));
    for (int i = 0; i < 2; i++) {
        r.runtime.ranks[i] = (struct sg_runtime_rank){.host = "node",
                                                      .device = "NVIDIA H100 80GB HBM3",
                                                      .device_uuid = i ? "GPU-1" : "GPU-0",
                                                      .driver = "580.65.06, CUDA 13.0",
                                                      .device_memory = 85017493504,
                                                      .product_rate = 7e14,
                                                      .read_rate = 3e12,
                                                      .joules = i ? NAN : 1234.5};
    }
    CHECK_OK(write_with_texts(path, &r, err));
    sg_results_free(&r);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "--sample")) return write_sample(argv[2]);
    const struct CMUnitTest tests[] = {
        IN_DIR(round_trip),
        IN_DIR(alloc_is_all_missing),
        IN_DIR(digest_covers_everything),
        IN_DIR(digest_is_the_same_everywhere),
        IN_DIR(files_of_version_1),
        IN_DIR(verify_sees_an_edited_value),
        IN_DIR(files_that_are_not_ours),
        IN_DIR(columns_that_do_not_agree),
        IN_DIR(scores_of_graded_outcomes),
        IN_DIR(truncated_files),
        IN_DIR(flipped_bits),
        IN_DIR(damaged_data),
        IN_DIR(texts_come_back),
        IN_DIR(long_texts_cross_chunks),
        IN_DIR(failed_writes_leave_the_old_file),
        IN_DIR(equal_results_make_equal_files),
        IN_DIR(runtime_and_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Protects: when any allocation fails, segments, lock, merge and results end with "out of memory", give back
 * all memory and leave no file behind. (HDF5's own allocations are its own affair.) */
#include "rundir/lock.h"
#include "store/merge.h"
#include "store/segment.h"

#include "store_test.h"
#include "support/oom.h"

enum { Q = 2, M = TEST_MODELS, CELLS = Q * M };

static char *dir; /* with one closed segment of all cells */
static char out_path[1024];

static int names(void) {
    char segments[1024];
    path_to(segments, "%s/segments", dir);
    return count_names(dir, "", NULL) * 1000 + count_names(segments, "", NULL);
}

static enum sg_status segment_once(struct sg_err *err) {
    struct sg_segment_writer *w = NULL;
    enum sg_status st =
        sg_segment_open(dir, &(struct sg_segment_head){TEST_RUN, 1, "tonight", NULL}, &w, err);
    for (int64_t i = 0; i < CELLS && st == SG_OK; i++) {
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(i, &room);
        st = sg_segment_append(w, i, test_cell_fingerprint(i), &c, err);
    }
    sg_segment_abandon(w);
    return st;
}

/* Fails at close (its footer), so that success does not add a file either. */
static enum sg_status close_once(struct sg_err *err) {
    char path[1024], segments[1024];
    struct sg_segment_writer *w = NULL;
    struct test_kv_budget room;
    const struct sg_cell c = test_cell(0, &room);
    enum sg_status st =
        sg_segment_open(dir, &(struct sg_segment_head){TEST_RUN, 1, "tonight", NULL}, &w, err);
    if (st != SG_OK) return st;
    st = sg_segment_append(w, 0, test_cell_fingerprint(0), &c, err);
    if (st != SG_OK) {
        sg_segment_abandon(w);
        return st;
    }
    st = sg_segment_close(w, err);
    if (st == SG_OK) { /* rank 1 sorts last: remove what was made */
        path_to(segments, "%s/segments", dir);
        DIR *d = opendir(segments);
        for (const struct dirent *e; d && (e = readdir(d));) {
            if (strncmp(e->d_name, "00001-", 6) != 0) continue;
            path_to(path, "%s/%s", segments, e->d_name);
            unlink(path);
        }
        closedir(d);
    }
    return st;
}

static enum sg_status scan_once(struct sg_err *err) {
    uint8_t done[CELLS];
    int64_t n;
    return sg_segments_scan(dir, TEST_RUN, CELLS, done, &n, NULL, SG_CLEAN_SILENT, err);
}

static enum sg_status lock_once(struct sg_err *err) {
    struct sg_lock *l = NULL;
    char path[1024];
    path_to(path, "%s/lock", dir);
    enum sg_status st = sg_lock_take(path, SG_LOCK_RUN, &l, err);
    if (st != SG_OK) assert_null(l);
    sg_lock_drop(l);
    return st;
}

static enum sg_status alloc_once(struct sg_err *err) {
    struct sg_results r;
    enum sg_status st = sg_results_alloc(&r, Q, M, 2, true, err);
    if (st == SG_OK) st = sg_results_alloc_ranks(&r, 3, err);
    sg_results_free(&r);
    return st;
}

static enum sg_status merge_once(struct sg_err *err) {
    static char *ids[] = {"a", "b", "c"};
    struct sg_results r;
    enum sg_status st = sg_results_alloc(&r, Q - 1, M, TEST_SAMPLES, false, err);
    if (st != SG_OK) return st;
    for (int q = 0; q < Q - 1; q++) r.query[q] = r.category[q] = ids[q];
    for (int m = 0; m < M; m++) r.model[m] = ids[m];
    st = sg_results_alloc_anchors(&r, 2, err);
    if (st == SG_OK) st = sg_results_alloc_calibration(&r, 1, err);
    if (st == SG_OK) {
        r.anchors.id[0] = r.anchors.id[1] = r.anchors.category[0] = r.anchors.category[1] = ids[0];
        r.calibration->query[0] = r.calibration->category[0] = ids[0];
        st = sg_merge(dir, TEST_RUN, NULL, true, &r, NULL, err);
    }
    sg_results_free(&r);
    return st;
}

static enum sg_status read_once(struct sg_err *err) {
    struct sg_results r = {0};
    struct sg_buf text = {0};
    enum sg_status st = sg_results_read(out_path, SG_RESULTS_VERIFY, &r, err);
    sg_results_free(&r);
    if (st == SG_OK) st = sg_results_text(out_path, 0, 0, &text, err);
    sg_buf_free(&text);
    return st;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    dir = fresh_dir();
    path_to(out_path, "%s/results.h5", dir);
    struct sg_segment_writer *w = NULL;
    CHECK_OK(sg_segment_open(dir, &(struct sg_segment_head){TEST_RUN, 0, "tonight", NULL}, &w, err));
    for (int64_t i = 0; i < CELLS; i++) {
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(i, &room);
        CHECK_OK(sg_segment_append(w, i, test_cell_fingerprint(i), &c, err));
    }
    CHECK_OK(sg_segment_close(w, err));
    CHECK_OK(lock_once(err)); /* the guard file stays */
    CHECK_OK(merge_once(err));

    oom_world = names;
    oom_each("segment", segment_once, 5);
    oom_each("close", close_once, 5);
    oom_each("scan", scan_once, 3);
    oom_each("lock", lock_once, 4);
    oom_each("alloc", alloc_once, 30);
    oom_each("merge", merge_once, 40);
    oom_each("read", read_once, 40);
    remove_tree(dir);
    free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

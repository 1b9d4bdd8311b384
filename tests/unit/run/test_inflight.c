/* Protects: a crash counts once, whoever reads and however often; the second one gives the cell up, without the
 * device; a kill blames no cell; --retry-failed forgets. */
#include "run/inflight.h"
#include "run/workqueue.h"
#include "store/segment.h"
#include "support/tmpdir.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUERIES = 3, MODELS = 2, CELLS = QUERIES * MODELS, CULPRIT = 3 };

/* A rank that has the cell (and its neighbour, when both) in flight as it ends by this signal. */
static void die(int64_t cell, bool both, int sig) {
    int how = 0;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(sig, SIG_DFL); /* the test's framework catches it */
        struct sg_inflight *n = sg_inflight_open(tmpdir, 2);
        if (!n) _exit(9);
        sg_inflight_begin(n, CELLS - 1);
        sg_inflight_begin(n, cell);
        if (both) sg_inflight_begin(n, cell + 1);
        sg_inflight_end(n, CELLS - 1);
        raise(sig);
        _exit(8);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == sig);
}

/* What a rank that starts now counts. */
static int32_t crashes(int64_t cell) {
    const char *by = NULL;
    struct sg_inflight *n = sg_inflight_open(tmpdir, 0);
    assert_non_null(n);
    sg_inflight_read(n, NULL);
    sg_inflight_read(n, NULL);
    const int32_t count = sg_inflight_crashes(n, cell, &by);
    assert_true(count == 0 || (strstr(by, "rank 2 on ") && strstr(by, ": SIG")));
    sg_inflight_close(n);
    return count;
}

static int notes(void) {
    char dir[300];
    int n = 0;
    snprintf(dir, sizeof dir, "%s/inflight", tmpdir);
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void a_crash_counts_once_and_a_kill_never(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        die(CULPRIT, true, SIGKILL);
        assert_int_equal(crashes(CULPRIT), 0);
    }
    assert_int_equal(notes(), 5);
    sg_inflight_tidy(tmpdir, NULL, false);
    assert_int_equal(notes(), 0);
    die(CULPRIT, true, SIGABRT);
    for (int i = 0; i < 3; i++) { /* a start that was killed while it counted, and the next ones */
        sg_inflight_tidy(tmpdir, NULL, false);
        assert_int_equal(crashes(CULPRIT), 1);
        assert_int_equal(crashes(CULPRIT + 1), 1);
        assert_int_equal(crashes(CELLS - 1), 0); /* it had left the device */
    }
    die(CULPRIT, false, SIGFPE);
    assert_int_equal(crashes(CULPRIT), 2);
    assert_int_equal(crashes(CULPRIT + 1), 1);
    sg_inflight_tidy(tmpdir, NULL, true);
    assert_int_equal(crashes(CULPRIT), 0);
    assert_int_equal(notes(), 0);
}

static void damaged_notes_count_nothing(void **state) {
    char path[600];
    (void)state;
    assert_int_equal(crashes(0), 0); /* makes the folder */
    snprintf(path, sizeof path, "%s/inflight/00002-host-1-1", tmpdir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("SGINFL1", f);
    fclose(f);
    assert_int_equal(crashes(0), 0);
    sg_inflight_tidy(tmpdir, NULL, false);
    assert_int_equal(notes(), 0);
}

/* ---- what the queue makes of it ---- */

struct device {
    struct sg_cell_sink sink;
    int64_t running[CELLS], n, most_with_suspect, submitted[CELLS];
};

static bool has_room(void *ctx, int64_t cell) {
    (void)cell;
    return ((struct device *)ctx)->n < CELLS;
}
static enum sg_status submit(void *ctx, int64_t cell, int32_t first, struct sg_err *err) {
    (void)first;
    struct device *d = ctx;
    (void)err;
    d->running[d->n++] = cell;
    d->submitted[cell]++;
    for (int64_t i = 0; i < d->n; i++)
        if (d->running[i] == CULPRIT + 1 && d->n > d->most_with_suspect) d->most_with_suspect = d->n;
    return SG_OK;
}
static enum sg_status step(void *ctx, struct sg_err *err) {
    struct device *d = ctx;
    if (d->n == 0) return SG_OK;
    const int64_t c = d->running[--d->n];
    struct sg_cell cell = {
        .query = (int32_t)(c / MODELS), .model = (int32_t)(c % MODELS), .output_tokens = 1};
    return d->sink.done(d->sink.ctx, c, &cell, err);
}
static int64_t pending(void *ctx) {
    return ((struct device *)ctx)->n;
}

static void the_second_crash_gives_the_cell_up(void **state) {
    struct sg_query queries[QUERIES];
    struct sg_portfolio_model models[MODELS];
    struct sg_digest fingerprints[CELLS];
    int64_t weight[QUERIES] = {1, 1, 1}, n_done, n_failed;
    uint8_t done[CELLS];
    struct sg_order order;
    struct device device = {.n = 0};
    struct sg_err err = {0};
    struct sg_counts counts;
    (void)state;
    memset(queries, 0, sizeof queries);
    memset(models, 0, sizeof models);
    memset(fingerprints, 0, sizeof fingerprints);
    for (int i = 0; i < QUERIES; i++) queries[i].id = (char *)"q";
    for (int i = 0; i < MODELS; i++) models[i].id = (char *)"m";
    const struct sg_plan plan = {.n_queries = QUERIES,
                                 .n_models = MODELS,
                                 .n_cells = CELLS,
                                 .queries = queries,
                                 .models = models,
                                 .cell_fingerprint = fingerprints};
    die(CULPRIT, true, SIGABRT);
    die(CULPRIT, false, SIGSEGV);
    assert_int_equal(sg_order_init(&order, QUERIES, MODELS, weight, -1, NULL), SG_OK);
    const struct sg_workqueue_options o = {
        .plan = &plan, .order = &order, .run_dir = tmpdir, .night = "n", .segment_seconds = 0, .quiet = true};
    const struct sg_compute c = {
        .ctx = &device, .has_room = has_room, .submit = submit, .step = step, .pending = pending};
    const struct sg_lease all = {.count = CELLS};
    struct sg_workqueue *q = NULL;
    assert_int_equal(sg_workqueue_open(&o, &q, &err), SG_OK);
    sg_workqueue_read_crashes(q, false);
    sg_workqueue_set_compute(q, &c);
    device.sink = sg_workqueue_sink(q);
    assert_int_equal(sg_workqueue_take(q, &all, &err), SG_OK);
    while (!sg_workqueue_empty(q)) assert_int_equal(sg_workqueue_step(q, &err), SG_OK);
    assert_int_equal(sg_workqueue_finish(q, &err), SG_OK);
    sg_workqueue_counts(q, &counts);
    assert_int_equal(counts.cells, CELLS);
    assert_int_equal(counts.failed, 1);
    for (int i = 0; i < CELLS; i++) assert_int_equal(device.submitted[i], i != CULPRIT);
    assert_int_equal(device.most_with_suspect, 1); /* alone, because of its one crash */
    assert_int_equal(
        sg_segments_scan(tmpdir, plan.fingerprint, CELLS, done, &n_done, &n_failed, SG_CLEAN_NONE, &err),
        SG_OK);
    assert_int_equal(n_done, CELLS);
    assert_int_equal(n_failed, 1);
    sg_workqueue_free(q);
    sg_order_free(&order);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_crash_counts_once_and_a_kill_never, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(damaged_notes_count_nothing, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(the_second_crash_gives_the_cell_up, tmpdir_make, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

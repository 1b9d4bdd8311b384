/* Protects: leased cells are computed once each and end in a segment, the device never waits while cells are
 * in hand, segments close when they must, what is finished survives a stop, an error of the disk is reported.
 */
#include "base/file.h"
#include "base/mem.h"
#include "run/workqueue.h"
#include "store/segment.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { SLOTS = 4, QUERIES = 6, MODELS = 3, CELLS = QUERIES * MODELS };

struct bench {
    struct sg_plan plan; /* only what the queue reads */
    struct sg_order order;
    struct sg_digest fingerprints[CELLS];
    struct sg_workqueue *queue;
    struct sg_cell_sink sink;
    int64_t running[SLOTS]; /* cell or -1 */
    int64_t n_running, n_submitted[CELLS], n_steps;
    char dir[64];
};

static bool has_room(void *ctx, int64_t cell) {
    (void)cell;
    return ((struct bench *)ctx)->n_running < SLOTS;
}
static enum sg_status submit(void *ctx, int64_t cell, int32_t first, struct sg_err *err) {
    (void)first;
    struct bench *b = ctx;
    (void)err;
    b->n_submitted[cell]++;
    for (int i = 0; i < SLOTS; i++)
        if (b->running[i] < 0) {
            b->running[i] = cell;
            b->n_running++;
            return SG_OK;
        }
    return SG_E_INTERNAL;
}
/* Finishes one cell a step. */
static enum sg_status step(void *ctx, struct sg_err *err) {
    struct bench *b = ctx;
    int i = (int)(b->n_steps++ % SLOTS);
    if (b->running[i] < 0) return SG_OK;
    int64_t c = b->running[i];
    struct sg_cell cell = {.query = (int32_t)(c / MODELS),
                           .model = (int32_t)(c % MODELS),
                           .status = c == 5 ? SG_E_INPUT : SG_OK,
                           .reason = c == 5 ? "too long" : NULL,
                           .output_tokens = 10,
                           .estimator_prompt_tokens = 100};
    b->running[i] = -1;
    b->n_running--;
    return b->sink.done(b->sink.ctx, c, &cell, err);
}
static int64_t pending(void *ctx) {
    return ((struct bench *)ctx)->n_running;
}

static void begin(struct bench *b, double segment_seconds, const char *dir) {
    struct sg_err err = {0};
    const struct sg_workqueue_options o = {.plan = &b->plan,
                                           .order = &b->order,
                                           .run_dir = dir,
                                           .night = "tonight",
                                           .rank = 3,
                                           .segment_seconds = segment_seconds};
    assert_int_equal(sg_workqueue_open(&o, &b->queue, &err), SG_OK);
    b->sink = sg_workqueue_sink(b->queue);
    const struct sg_compute c = {
        .ctx = b, .has_room = has_room, .submit = submit, .step = step, .pending = pending};
    sg_workqueue_set_compute(b->queue, &c);
}

static int setup(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    int64_t weight[QUERIES];
    for (int i = 0; i < QUERIES; i++) weight[i] = 10 * (i + 1);
    for (int i = 0; i < SLOTS; i++) b->running[i] = -1;
    for (int i = 0; i < CELLS; i++) b->fingerprints[i] = sg_digest_bytes(&i, sizeof i);
    b->plan.n_queries = QUERIES;
    b->plan.n_models = MODELS;
    b->plan.n_cells = CELLS;
    b->plan.cell_fingerprint = b->fingerprints;
    b->plan.fingerprint = sg_digest_bytes("run", 3);
    snprintf(b->dir, sizeof b->dir, "/tmp/sg-hand.XXXXXX");
    if (!mkdtemp(b->dir) || sg_order_init(&b->order, QUERIES, MODELS, weight, -1, NULL) != SG_OK) return 1;
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    sg_workqueue_free(b->queue);
    sg_order_free(&b->order);
    tmpdir_remove_tree(b->dir); /* segments and in-flight note */
    free(b);
    return 0;
}

static int segments(const struct bench *b) {
    char path[128];
    int n = 0;
    snprintf(path, sizeof path, "%s/segments", b->dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strlen(e->d_name) > 4 && !strcmp(e->d_name + strlen(e->d_name) - 4, ".seg");
    if (d) closedir(d);
    return n;
}

static int64_t safe(const struct bench *b, int64_t *failed) {
    uint8_t done[CELLS];
    int64_t n = 0;
    struct sg_err err = {0};
    assert_int_equal(
        sg_segments_scan(b->dir, b->plan.fingerprint, CELLS, done, &n, failed, SG_CLEAN_NONE, &err), SG_OK);
    return n;
}

static void every_leased_cell_once(void **state) {
    struct bench *b = *state;
    struct sg_err err = {0};
    begin(b, 1e6,
          b->dir); /* by the usual rule a machine that stands still for 5 s would close one meanwhile */
    assert_true(sg_workqueue_empty(b->queue));
    assert_true(sg_workqueue_want(b->queue) >= SLOTS); /* a device that has nothing wants cells */
    const struct sg_lease leases[] = {{0, 1}, {1, 6}, {7, 2}, {12, 6}};
    int64_t leased = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(sg_workqueue_take(b->queue, &leases[i], &err), SG_OK);
        leased += leases[i].count;
    }
    while (!sg_workqueue_empty(b->queue)) {
        assert_int_equal(sg_workqueue_step(b->queue, &err), SG_OK);
        assert_true(b->n_steps < 200);
    }
    struct sg_counts c;
    sg_workqueue_counts(b->queue, &c);
    assert_int_equal(c.cells, leased);
    assert_int_equal(c.output_tokens, 10 * leased);
    assert_int_equal(c.prompt_tokens, 100 * leased);
    int64_t weight = 0;
    for (int64_t p = 0; p < CELLS; p++) {
        bool mine = p < 9 || p >= 12;
        assert_int_equal(b->n_submitted[sg_order_cell(&b->order, p)], mine);
        if (mine) weight += sg_order_weight(&b->order, p, 1);
    }
    assert_int_equal(c.weight, weight);
    assert_int_equal(segments(b), 0); /* still open */
    assert_int_equal(sg_workqueue_finish(b->queue, &err), SG_OK);
    int64_t failed;
    assert_int_equal(safe(b, &failed), leased);
    assert_int_equal(segments(b), 1);
    assert_int_equal(failed, c.failed);
}

static void wants_ahead_of_need(void **state) {
    struct bench *b = *state;
    struct sg_err err = {0};
    begin(b, -1, b->dir);
    const struct sg_lease l = {0, CELLS};
    assert_int_equal(sg_workqueue_take(b->queue, &l, &err), SG_OK);
    assert_int_equal(sg_workqueue_want(b->queue), 0); /* enough waits */
    bool asked = false;
    while (!sg_workqueue_empty(b->queue)) {
        assert_int_equal(sg_workqueue_step(b->queue, &err), SG_OK);
        /* asks while cells still wait, so that the answer finds the device busy */
        if (sg_workqueue_want(b->queue) > 0 && b->n_running == SLOTS - 1) asked = true;
        assert_true(b->n_steps < 200);
    }
    assert_true(asked);
}

static void closes_segments_in_time(void **state) {
    struct bench *b = *state;
    struct sg_err err = {0};
    begin(b, 0, b->dir);
    const struct sg_lease l = {0, 5};
    assert_int_equal(sg_workqueue_take(b->queue, &l, &err), SG_OK);
    while (!sg_workqueue_empty(b->queue)) assert_int_equal(sg_workqueue_step(b->queue, &err), SG_OK);
    const struct timespec moment = {0, 10 * 1000000}; /* closed without a further call */
    for (int i = 0; i < 10000 && sg_workqueue_safe(b->queue) < 5; i++) nanosleep(&moment, NULL);
    assert_int_equal(sg_workqueue_safe(b->queue), 5);
    assert_int_equal(segments(b), 5);
    assert_int_equal(safe(b, NULL), 5);
}

static void a_stop_keeps_what_is_finished(void **state) {
    struct bench *b = *state;
    struct sg_err err = {0};
    struct sg_counts c;
    begin(b, -1, b->dir);
    const struct sg_lease l = {0, CELLS};
    assert_int_equal(sg_workqueue_take(b->queue, &l, &err), SG_OK);
    for (int i = 0; i < 7; i++) assert_int_equal(sg_workqueue_step(b->queue, &err), SG_OK);
    sg_workqueue_counts(b->queue, &c);
    assert_int_equal(c.cells, 7);
    assert_int_equal(sg_workqueue_finish(b->queue, &err), SG_OK);
    assert_int_equal(safe(b, NULL), 7);
}

static void a_killed_rank_leaves_nothing_half(void **state) {
    struct bench *b = *state;
    struct sg_err err = {0};
    begin(b, 1e6, b->dir);
    const struct sg_lease l = {0, 3};
    assert_int_equal(sg_workqueue_take(b->queue, &l, &err), SG_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(sg_workqueue_step(b->queue, &err), SG_OK);
    sg_workqueue_free(b->queue); /* without finish: the open segment is given up */
    b->queue = NULL;
    assert_int_equal(safe(b, NULL), 0);
}

static void no_place_to_write(void **state) {
    struct bench *b = *state;
    struct sg_err err = {0};
    begin(b, 0, "/dev/null/nowhere");
    const struct sg_lease l = {0, 3};
    assert_int_equal(sg_workqueue_take(b->queue, &l, &err), SG_OK);
    enum sg_status st = SG_OK;
    const struct timespec moment = {0, 10 * 1000000}; /* the writer thread says it: soon, not at once */
    for (int i = 0; i < 10000 && st == SG_OK; i++) {
        st = sg_workqueue_step(b->queue, &err);
        nanosleep(&moment, NULL);
    }
    assert_int_equal(st, SG_E_IO);
    assert_non_null(strstr(err.text, "/dev/null"));
    assert_int_equal(sg_workqueue_finish(b->queue, &err), SG_OK); /* nothing to save, and said already */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_leased_cell_once, setup, teardown),
        cmocka_unit_test_setup_teardown(wants_ahead_of_need, setup, teardown),
        cmocka_unit_test_setup_teardown(closes_segments_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stop_keeps_what_is_finished, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_rank_leaves_nothing_half, setup, teardown),
        cmocka_unit_test_setup_teardown(no_place_to_write, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

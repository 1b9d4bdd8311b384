/* Protects: a slow file system does not hold up the thread that hands cells over; cells count as safe only
 * once their segment is closed, in order; segments close by the clock without a further call; the queue is
 * bounded; a failure of the disk is told once, at the next call; what was not safe is given up without a
 * trace. fsync is replaced: it can take long, wait until it is let through, or fail. */
#include "base/clock.h"
#include "run/segment_thread.h"
#include "store/segment.h"
#include "support/tmpdir.h"

#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { CELLS = 1000 };
static const struct sg_digest RUN = {1, 2};

static atomic_int fsync_ms, fsync_error, fsyncs; /* the last: how many were begun */
static atomic_bool fsync_held;                   /* until let through, each by one post */
static sem_t let;
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    const int ms = fsync_ms;
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    fsyncs++;
    if (ms) nanosleep(&t, NULL);
    if (fsync_held) sem_wait(&let);
    if (fsync_error) {
        errno = fsync_error;
        return -1;
    }
    return __real_fsync(fd);
}

static int setup(void **state) {
    fsync_ms = fsync_error = fsyncs = 0;
    fsync_held = false;
    if (sem_init(&let, 0, 0) != 0) return -1;
    return tmpdir_make(state);
}

static struct sg_segment_thread *begin(double segment_seconds, size_t queue_bytes) {
    struct sg_segment_thread *s = NULL;
    struct sg_err err = {0};
    const struct sg_segment_thread_options o = {.run_dir = tmpdir,
                                                .head = {RUN, 1, "tonight", NULL},
                                                .segment_seconds = segment_seconds,
                                                .queue_bytes = queue_bytes};
    assert_int_equal(sg_segment_thread_open(&o, &s, &err), SG_OK);
    return s;
}

static enum sg_status put(struct sg_segment_thread *s, int64_t cell, struct sg_err *err) {
    const struct sg_cell c = {
        .query = (int32_t)cell, .status = SG_E_INPUT, .reason = "a reason of some length"};
    return sg_segment_thread_put(s, cell, RUN, &c, err);
}

static void wait_ms(int ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void wait_for_safe(struct sg_segment_thread *s, int64_t n) {
    for (int i = 0; i < 12000 && sg_segment_thread_safe(s) < n; i++) wait_ms(5);
    assert_int_equal(sg_segment_thread_safe(s), n);
}

static int64_t on_disk(uint8_t done[CELLS]) {
    int64_t n;
    assert_int_equal(sg_segments_scan(tmpdir, RUN, CELLS, done, &n, NULL, SG_CLEAN_NONE, NULL), SG_OK);
    return n;
}

static int names(void) {
    char path[512];
    int n = 0;
    snprintf(path, sizeof path, "%s/segments", tmpdir);
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void a_slow_disk_holds_up_nobody(void **state) {
    (void)state;
    struct sg_err err = {0};
    uint8_t done[CELLS];
    struct sg_segment_thread *s = begin(0, 0); /* a segment a cell */
    fsync_held = true;
    for (int64_t i = 0; i < 3; i++)
        assert_int_equal(put(s, i, &err), SG_OK); /* the disk does not move at all */
    assert_int_equal(sg_segment_thread_safe(s), 0);
    assert_int_equal(on_disk(done), 0);
    for (int n = 1; n <= 10; n++) { /* of file, directory, ...: until the next segment's first */
        for (int i = 0; i < 12000 && fsyncs < n; i++) wait_ms(5);
        assert_int_equal(fsyncs, n);
        if (sg_segment_thread_safe(s) > 0) break;
        sem_post(&let);
    }
    assert_int_equal(sg_segment_thread_safe(s), 1); /* in order, each when it is closed */
    assert_int_equal(on_disk(done), 1);
    assert_true(done[0]);
    fsync_held = false;
    sem_post(&let);
    assert_int_equal(sg_segment_thread_finish(s, &err), SG_OK);
    assert_int_equal(sg_segment_thread_safe(s), 3);
    assert_int_equal(on_disk(done), 3);
    assert_int_equal(names(), 3);
    sg_segment_thread_free(s);
}

static void segments_close_by_the_clock(void **state) {
    (void)state;
    struct sg_err err = {0};
    bool together = false;
    /* On a machine that stands still between two cells they are two segments: once more, with more time. */
    for (double seconds = 0.2; !together && seconds < 10; seconds *= 2) {
        const int before = names();
        struct sg_segment_thread *s = begin(seconds, 0);
        assert_int_equal(put(s, 0, &err), SG_OK);
        assert_int_equal(put(s, 1, &err), SG_OK);
        const int64_t at_once = sg_segment_thread_safe(s);
        wait_for_safe(s, 2); /* the computing thread is in a long step: no call of its own */
        together = at_once == 0 && names() == before + 1;
        const int after = names();
        assert_int_equal(sg_segment_thread_finish(s, &err), SG_OK); /* nothing to do: no empty segment */
        assert_int_equal(names(), after);
        sg_segment_thread_free(s);
    }
    assert_true(together);
}

static void the_usual_rule(void **state) {
    (void)state;
    struct sg_err err = {0};
    bool looked = false;
    for (int i = 0; !looked && i < 20;
         i++) { /* nothing is due in the first five seconds, if we look within them */
        const int before = names();
        const int64_t from = sg_clock_ns();
        struct sg_segment_thread *s = begin(-1, 0);
        assert_int_equal(put(s, i, &err), SG_OK);
        wait_ms(400);
        const int64_t safe = sg_segment_thread_safe(s);
        sg_segment_thread_free(s); /* given up, as by a crash */
        looked = sg_clock_ns() - from < 5000000000;
        if (looked) assert_int_equal(safe, 0);
        if (looked) assert_int_equal(names(), before);
    }
    assert_true(looked);
}

static void the_queue_is_bounded(void **state) {
    (void)state;
    struct sg_err err = {0};
    struct sg_segment_thread *s = begin(0, 2000); /* some five cells */
    fsync_ms = 100;
    const int64_t from = sg_clock_ns();
    for (int64_t i = 0; i < 12; i++) assert_int_equal(put(s, i, &err), SG_OK);
    assert_true(sg_clock_ns() - from > 300000000); /* it had to wait for several of 0.2 s */
    assert_true(sg_segment_thread_safe(s) >= 1);
    fsync_ms = 0;
    assert_int_equal(sg_segment_thread_finish(s, &err), SG_OK);
    assert_int_equal(sg_segment_thread_safe(s), 12);
    sg_segment_thread_free(s);
}

static void a_failure_is_told_once(void **state) {
    (void)state;
    struct sg_err err = {0};
    uint8_t done[CELLS];
    enum sg_status st = SG_OK;
    struct sg_segment_thread *s = begin(0, 0);
    assert_int_equal(put(s, 0, &err), SG_OK);
    wait_for_safe(s, 1);
    fsync_error = ENOSPC;
    assert_int_equal(put(s, 1, &err), SG_OK);
    for (int i = 0; i < 12000 && st == SG_OK; i++) {
        st = sg_segment_thread_check(s, &err);
        wait_ms(5);
    }
    assert_int_equal(st, SG_E_IO);
    assert_non_null(strstr(err.text, tmpdir));
    assert_non_null(strstr(err.text, "No space left"));
    fsync_error = 0; /* the disk has room again: what was lost in between is not glossed over */
    assert_int_equal(put(s, 2, &err), SG_E_IO);
    memset(&err, 0, sizeof err);
    assert_int_equal(sg_segment_thread_finish(s, &err), SG_OK);
    assert_int_equal(sg_segment_thread_safe(s), 1);
    sg_segment_thread_free(s);
    assert_int_equal(on_disk(done), 1);
    assert_int_equal(names(), 1); /* the broken segment has left nothing */
    /* one that nobody has asked about shows at the end */
    s = begin(100, 0);
    assert_int_equal(put(s, 3, &err), SG_OK);
    fsync_error = EROFS;
    assert_int_equal(sg_segment_thread_finish(s, &err), SG_E_IO);
    assert_non_null(strstr(err.text, "Read-only"));
    sg_segment_thread_free(s);
    fsync_error = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slow_disk_holds_up_nobody, setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(segments_close_by_the_clock, setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(the_usual_rule, setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(the_queue_is_bounded, setup, tmpdir_remove),
        cmocka_unit_test_setup_teardown(a_failure_is_told_once, setup, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Protects: the cut covers the grid once and is the same for all; a shard has one holder until it is done or
 * its task dies; runs of the two kinds refuse each other; a signal ends every wait. */
#include "run/shards.h"
#include "base/file.h"
#include "rundir/lock_internal.h"
#include "rundir/shard_files.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>

static void the_cut_covers_the_grid_and_shrinks(void **state) {
    (void)state;
    const int64_t sizes[] = {1, 2, 63, 64, 65, 512, 1000, 100000, 1000000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t *first = NULL, n = 0;
        assert_int_equal(sg_shards_cut(sizes[i], &first, &n, NULL), SG_OK);
        assert_int_equal(first[0], 0);
        assert_int_equal(first[n], sizes[i]);
        assert_true(n <= 320);
        for (int64_t k = 0; k < n; k++) assert_true(first[k + 1] > first[k]);
        for (int64_t k = 1; k < n; k++) assert_true(first[k + 1] - first[k] <= first[k] - first[k - 1]);
        assert_true(first[1] <= sizes[i] / 64 || first[1] == 1);
        assert_true(first[n] - first[n - 1] <= sizes[i] / 512 || first[n] - first[n - 1] == 1);
        if (sizes[i] >= 100000) assert_true(n > 190 && n < 205);
        free(first);
    }
}

static char *in_run(const char *name) {
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", tmpdir, name);
    return path;
}

/* A child that does what `begin` does and stays until it is killed. Returns once that is done. */
static pid_t child_that(bool (*begin)(void)) {
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that aborts must not leave it behind */
        (void)!write(ready[1], begin() ? "y" : "n", 1);
        for (;;) pause();
    }
    char c = 0;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void end_child(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool take_3(void) {
    struct sg_shard_taken t;
    return sg_shard_files_take(tmpdir, 3, &t, NULL) == SG_OK && t.lock;
}
static bool finish_3(void) {
    struct sg_shard_taken t;
    return sg_shard_files_take(tmpdir, 3, &t, NULL) == SG_OK && t.lock &&
           sg_shard_files_mark_done(tmpdir, 3, t.lock, NULL) == SG_OK;
}
static bool lock_run(void) {
    struct sg_lock *lock;
    return sg_lock_take(in_run("lock"), SG_LOCK_RUN, &lock, NULL) == SG_OK;
}
static bool lock_array(void) {
    struct sg_lock *lock;
    return sg_lock_take(in_run("lock"), SG_LOCK_ARRAY, &lock, NULL) == SG_OK;
}

static void a_shard_has_one_holder_until_it_dies(void **state) {
    (void)state;
    struct sg_shard_taken t, other;
    struct sg_shard_state s[5];
    int32_t tasks;
    assert_int_equal(sg_dir_make(in_run("shards"), NULL), SG_OK);
    const pid_t child = child_that(take_3);
    assert_int_equal(sg_shard_files_take(tmpdir, 3, &t, NULL), SG_OK);
    assert_true(!t.lock && !t.done);
    assert_int_equal(sg_shard_files_take(tmpdir, 4, &t, NULL), SG_OK);
    assert_true(t.lock && !t.begun);
    assert_int_equal(sg_shard_files_take(tmpdir, 4, &other, NULL), SG_OK);
    assert_null(other.lock);
    assert_int_equal(sg_shard_files_list(tmpdir, s, 5, &tasks, NULL, NULL), SG_OK);
    assert_int_equal(tasks, 2);
    assert_true(s[3].held && s[4].held && !s[0].held && !s[3].done);
    end_child(child);
    assert_int_equal(sg_shard_files_list(tmpdir, s, 5, &tasks, NULL, NULL), SG_OK);
    assert_int_equal(tasks, 1);
    assert_false(s[3].held);
    assert_int_equal(sg_shard_files_take(tmpdir, 3, &other, NULL), SG_OK);
    assert_true(other.lock && other.begun); /* so what the dead one has closed is looked for */
    assert_int_equal(sg_shard_files_mark_done(tmpdir, 3, other.lock, NULL), SG_OK);
    sg_lock_drop(other.lock);
    assert_int_equal(sg_shard_files_take(tmpdir, 3, &other, NULL), SG_OK);
    assert_true(!other.lock && other.done); /* whatever an old listing says */
    assert_int_equal(sg_shard_files_unmark(tmpdir, 3, NULL), SG_OK);
    assert_int_equal(sg_shard_files_list(tmpdir, s, 5, &tasks, NULL, NULL), SG_OK);
    assert_false(s[3].done || s[3].held);
    sg_lock_drop(t.lock); /* a task that leaves holds nothing, and its shard is known to be begun */
    assert_int_equal(sg_shard_files_take(tmpdir, 4, &t, NULL), SG_OK);
    assert_true(t.lock && t.begun);
    sg_lock_drop(t.lock);
}

/* A task that dies between the mark and the drop, or while it takes the lock: nobody takes a shard that is done. */
static void a_dead_holder_of_a_done_shard_leaves_no_lock(void **state) {
    (void)state;
    struct sg_shard_taken t;
    struct sg_shard_state files[5];
    char beside[700];
    assert_int_equal(sg_dir_make(in_run("shards"), NULL), SG_OK);
    assert_int_equal(sg_shard_files_take(tmpdir, 1, &t, NULL), SG_OK);
    assert_int_equal(sg_shard_files_mark_done(tmpdir, 1, t.lock, NULL), SG_OK);
    sg_lock_drop(t.lock);
    assert_int_equal(sg_shard_files_take(tmpdir, 2, &t, NULL), SG_OK);
    const pid_t child = child_that(finish_3);
    snprintf(beside, sizeof beside, "%s", in_run("shards/001.lock.0123456789abcdef0123456789abcdef"));
    assert_int_equal(link(in_run("shards/003.lock"), beside), 0);
    sg_shard_files_tidy(tmpdir, files, 5);
    assert_int_equal(access(in_run("shards/003.lock"), F_OK), 0); /* its holder lives */
    assert_int_equal(access(beside, F_OK), 0);
    end_child(child);
    sg_shard_files_tidy(tmpdir, files, 5);
    assert_int_not_equal(access(in_run("shards/003.lock"), F_OK), 0);
    assert_int_not_equal(access(beside, F_OK), 0);
    assert_int_equal(access(in_run("shards/003.done"), F_OK), 0);
    assert_int_equal(access(in_run("shards/002.lock"), F_OK), 0); /* not done */
    sg_lock_drop(t.lock);
}

static void foreign_names_are_no_shards(void **state) {
    (void)state;
    struct sg_shard_state s[3];
    int32_t tasks;
    const char *names[] = {"001.x", "009.done", "readme", "-1.done", "host-1-2.json", "000."};
    assert_int_equal(sg_shard_files_list(tmpdir, s, 3, &tasks, NULL, NULL), SG_OK); /* no folder */
    assert_int_equal(sg_dir_make(in_run("shards"), NULL), SG_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "shards/%s", names[i]);
        FILE *f = fopen(in_run(name), "w");
        assert_non_null(f);
        fclose(f);
    }
    assert_int_equal(sg_shard_files_list(tmpdir, s, 3, &tasks, NULL, NULL), SG_OK);
    assert_int_equal(tasks, 0);
    for (int i = 0; i < 3; i++) assert_true(!s[i].held && !s[i].done);
    /* a lock that says nothing (torn by a power cut) holds until it is old */
    struct sg_shard_taken t;
    FILE *f = fopen(in_run("shards/001.lock"), "w");
    fclose(f);
    assert_int_equal(sg_shard_files_take(tmpdir, 1, &t, NULL), SG_OK);
    assert_null(t.lock);
    const struct utimbuf old = {time(NULL) - 1000, time(NULL) - 1000};
    assert_int_equal(utime(in_run("shards/001.lock"), &old), 0);
    assert_int_equal(sg_shard_files_take(tmpdir, 1, &t, NULL), SG_OK);
    assert_non_null(t.lock);
    sg_lock_drop(t.lock);
}

static void a_task_that_was_robbed_stops(void **state) {
    (void)state;
    struct sg_shard_taken t;
    struct sg_err err = {0};
    assert_int_equal(sg_dir_make(in_run("shards"), NULL), SG_OK);
    assert_int_equal(sg_shard_files_take(tmpdir, 0, &t, NULL), SG_OK);
    assert_int_equal(unlink(in_run("shards/000.lock")), 0);
    assert_int_equal(sg_shard_files_mark_done(tmpdir, 0, t.lock, &err), SG_E_BUSY);
    assert_non_null(strstr(err.text, "silent for so long that another took it"));
    assert_int_not_equal(access(in_run("shards/000.done"), F_OK), 0);
    sg_lock_drop(t.lock);
}

static void runs_of_two_kinds_refuse_each_other(void **state) {
    (void)state;
    struct sg_shard_taken t;
    struct sg_err err = {0};
    char who[32];
    assert_int_equal(sg_dir_make(in_run("shards"), NULL), SG_OK);
    pid_t child = child_that(take_3);
    snprintf(who, sizeof who, "process %d", (int)child);
    assert_int_equal(sg_shard_files_refuse(tmpdir, &err), SG_E_BUSY);
    assert_non_null(strstr(err.text, who));
    assert_non_null(strstr(err.text, "--array"));
    end_child(child);
    assert_int_equal(sg_shard_files_refuse(tmpdir, &err), SG_OK);

    child = child_that(lock_run);
    assert_int_equal(sg_shard_files_take(tmpdir, 0, &t, &err), SG_E_BUSY);
    assert_non_null(strstr(err.text, "another run holds this directory"));
    assert_int_not_equal(access(in_run("shards/000.lock"), F_OK), 0); /* nothing of the refused one stays */
    end_child(child);
    assert_int_equal(sg_shard_files_take(tmpdir, 0, &t, NULL), SG_OK);
    sg_lock_drop(t.lock);
    child = child_that(lock_array); /* a task that begins or merges is no stranger */
    assert_int_equal(sg_shard_files_take(tmpdir, 0, &t, NULL), SG_OK);
    assert_non_null(t.lock);
    sg_lock_drop(t.lock);
    end_child(child);
}

static enum sg_status nothing(void *ctx, struct sg_err *err) {
    (void)err;
    ++*(int *)ctx;
    return SG_OK;
}

/* While another begins the run, and while another merges; and a run's lock is refused, not waited for. */
static void a_signal_ends_the_wait_for_others(void **state) {
    (void)state;
    struct sg_query query = {.id = (char *)"q"};
    struct sg_portfolio_model model = {.id = (char *)"m"};
    struct sg_digest fingerprint = {3, 4};
    const int64_t weight = 1;
    struct sg_order order;
    struct sg_comm *comm = NULL;
    struct sg_shards *a = NULL;
    struct sg_lock *lock = NULL, *own = NULL;
    struct sg_err err = {0};
    struct sg_run_id id = {.night = "n"};
    int begun = 0;
    bool finished;
    struct sg_plan plan = {.n_queries = 1,
                           .n_rows = 1,
                           .n_models = 1,
                           .n_cells = 1,
                           .queries = &query,
                           .models = &model,
                           .cell_fingerprint = &fingerprint,
                           .job = {.output = {.dir = tmpdir}, .text = (char *)"{}", .path = (char *)"job"}};
    assert_int_equal(sg_order_init(&order, 1, 1, &weight, -1, NULL), SG_OK);
    assert_int_equal(sg_comm_open_alone(&comm, NULL), SG_OK);
    const struct sg_shards_options o = {.plan = &plan,
                                        .order = &order,
                                        .comm = comm,
                                        .id = &id,
                                        .quiet = true,
                                        .begin = nothing,
                                        .ctx = &begun};
    pid_t child = child_that(lock_run);
    assert_int_equal(sg_shards_open(&o, &a, &finished, &err), SG_E_BUSY);
    assert_non_null(strstr(err.text, "another run holds this directory"));
    end_child(child);
    assert_int_equal(sg_shards_open(&o, &a, &finished, &err), SG_OK);
    assert_int_equal(begun, 1);
    assert_int_equal(sg_lock_take(in_run("lock"), SG_LOCK_ARRAY, &own, &err), SG_OK);
    assert_int_equal(sg_shards_lock(a, &lock, &err), SG_E_IO); /* it would wait for itself */
    assert_non_null(strstr(err.text, "could not remove its own lock"));
    sg_lock_drop(own);
    memset(&err, 0, sizeof err);
    child = child_that(lock_array);
    raise(SIGTERM);
    assert_int_equal(sg_shards_lock(a, &lock, &err), SG_E_STOPPED);
    assert_string_equal(err.text, "stopped by SIGTERM while another task merges");
    assert_null(lock);
    sg_shards_close(a);
    a = NULL;
    assert_int_equal(rmdir(in_run("shards")), 0);
    assert_int_equal(sg_shards_open(&o, &a, &finished, &err), SG_E_STOPPED);
    assert_string_equal(err.text, "stopped by SIGTERM while another task begins the run");
    assert_int_equal(begun, 1);
    end_child(child);
    sg_order_free(&order);
    sg_comm_close(comm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cut_covers_the_grid_and_shrinks),
        cmocka_unit_test_setup_teardown(a_shard_has_one_holder_until_it_dies, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(a_dead_holder_of_a_done_shard_leaves_no_lock, tmpdir_make,
                                        tmpdir_remove),
        cmocka_unit_test_setup_teardown(foreign_names_are_no_shards, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(a_task_that_was_robbed_stops, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(runs_of_two_kinds_refuse_each_other, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(a_signal_ends_the_wait_for_others, tmpdir_make, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

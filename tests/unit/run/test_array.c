/* array and members: pieces cover the grid once and are the same for all; a piece has one holder; what the
 * dead held is free again and what the living hold is not; runs of the two kinds refuse each other. */
#include "run/array.h"
#include "rundir/rundir.h"
#include "rundir/lock.h"
#include "rundir/lock_internal.h"
#include "rundir/members.h"
#include "support/tmpdir.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>

static void pieces_cover_the_grid_and_shrink(void **state) {
    (void)state;
    const int64_t sizes[] = {1, 2, 127, 128, 129, 512, 100000, 1000000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t *first = NULL, n = 0;
        assert_int_equal(sg_array_pieces(sizes[i], &first, &n, NULL), SG_OK);
        assert_int_equal(first[0], 0);
        assert_int_equal(first[n], sizes[i]);
        assert_true(n <= 2500);
        for (int64_t k = 0; k < n; k++) assert_true(first[k + 1] > first[k]);
        for (int64_t k = 1; k < n; k++) assert_true(first[k + 1] - first[k] <= first[k] - first[k - 1]);
        assert_int_equal(first[n] - first[n - 1], 1); /* the tail is one cell at a time */
        free(first);
    }
}

/* A child that does what `begin` does and stays until it is killed. Returns once that is done. */
static pid_t child_that(bool (*begin)(const char *dir), const char *dir) {
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)!write(ready[1], begin(dir) ? "y" : "n", 1);
        for (;;) pause();
    }
    char c = 0;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static bool join_and_claim(const char *dir) {
    struct sg_member *m;
    bool mine = false;
    return sg_member_join(dir, &m, NULL) == SG_OK && sg_member_claim(m, 3, 1, &mine, NULL) == SG_OK && mine;
}

static pid_t member_in_a_child(const char *dir) {
    return child_that(join_and_claim, dir);
}

static void end_child(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_piece_has_one_holder_until_it_dies(void **state) {
    (void)state;
    const char *dir = tmpdir;
    struct sg_member *m;
    struct sg_piece look[5];
    bool mine;
    int32_t n = 0;
    pid_t child = member_in_a_child(dir);
    assert_int_equal(sg_member_join(dir, &m, NULL), SG_OK);
    assert_int_equal(sg_member_count(m, &n, NULL), SG_OK);
    assert_int_equal(n, 2);
    assert_int_equal(sg_member_claim(m, 3, 1, &mine, NULL), SG_OK);
    assert_false(mine);
    assert_int_equal(sg_member_claim(m, 4, 1, &mine, NULL), SG_OK);
    assert_true(mine);
    assert_int_equal(sg_member_claim(m, 4, 1, &mine, NULL), SG_OK);
    assert_true(mine); /* a repeated claim is no loss: NFS may repeat a link whose answer it lost */
    assert_int_equal(sg_member_look(m, look, 5, NULL), SG_OK);
    assert_true(look[3].attempt == 1 && look[3].held && !look[3].done);
    assert_true(look[4].attempt == 1 && look[4].held);
    assert_int_equal(look[0].attempt, 0);
    end_child(child);
    assert_int_equal(sg_member_look(m, look, 5, NULL), SG_OK);
    assert_false(look[3].held);
    assert_true(look[4].held);
    assert_int_equal(sg_member_count(m, &n, NULL), SG_OK);
    assert_int_equal(n, 1);
    assert_int_equal(sg_member_claim(m, 3, 2, &mine, NULL), SG_OK);
    assert_true(mine);
    assert_int_equal(sg_member_done(m, 3, NULL), SG_OK);
    assert_int_equal(sg_member_done(m, 3, NULL), SG_OK);
    assert_int_equal(sg_member_look(m, look, 5, NULL), SG_OK);
    assert_true(look[3].done && look[3].attempt == 2);
    assert_int_equal(sg_member_undone(m, 3, NULL), SG_OK);
    assert_int_equal(sg_member_look(m, look, 5, NULL), SG_OK);
    assert_false(look[3].done);
    sg_member_leave(m);
    /* who has left holds nothing */
    assert_int_equal(sg_member_join(dir, &m, NULL), SG_OK);
    assert_int_equal(sg_member_look(m, look, 5, NULL), SG_OK);
    assert_false(look[3].held || look[4].held);
    sg_member_leave(m);
}

static void damaged_or_foreign_names_are_no_leases(void **state) {
    (void)state;
    const char *dir = tmpdir;
    char path[512];
    struct sg_member *m;
    struct sg_piece look[3];
    assert_int_equal(sg_member_join(dir, &m, NULL), SG_OK);
    const char *names[] = {"00000001.x", "00000009.1", "readme", "-1.1", "00000002.99999999999", "00000000."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/array/leases/%s", dir, names[i]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fclose(f);
    }
    assert_int_equal(sg_member_look(m, look, 3, NULL), SG_OK);
    for (int i = 0; i < 3; i++) assert_true(look[i].attempt == 0 && !look[i].done);
    /* a lease that says nothing (torn by a power cut) holds until it is old */
    snprintf(path, sizeof path, "%s/array/leases/00000001.1", dir);
    FILE *f = fopen(path, "w");
    fclose(f);
    assert_int_equal(sg_member_look(m, look, 3, NULL), SG_OK);
    assert_true(look[1].held);
    const struct utimbuf old = {time(NULL) - 1000, time(NULL) - 1000};
    assert_int_equal(utime(path, &old), 0);
    assert_int_equal(sg_member_look(m, look, 3, NULL), SG_OK);
    assert_true(!look[1].held && look[1].attempt == 1);
    sg_member_leave(m);
}

static void whoever_was_found_dead_stops(void **state) {
    (void)state;
    const char *dir = tmpdir;
    char command[512];
    struct sg_member *m;
    struct sg_err err = {0};
    bool mine;
    assert_int_equal(sg_member_join(dir, &m, NULL), SG_OK);
    assert_int_equal(sg_member_beat(m, NULL), SG_OK);
    snprintf(command, sizeof command, "rm %s/array/members/*", dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(sg_member_beat(m, &err), SG_E_BUSY);
    assert_non_null(strstr(err.text, "taken its work over"));
    assert_int_equal(sg_member_claim(m, 0, 1, &mine, &err), SG_E_BUSY);
    sg_member_leave(m);
}

static void runs_of_two_kinds_refuse_each_other(void **state) {
    (void)state;
    const char *dir = tmpdir;
    struct sg_member *m = NULL;
    struct sg_lock *lock = NULL;
    struct sg_err err = {0};
    pid_t child = member_in_a_child(dir);
    char who[32];
    assert_int_equal(sg_members_refuse(dir, &err), SG_E_BUSY);
    snprintf(who, sizeof who, "process %d", (int)child);
    assert_non_null(strstr(err.text, who));
    assert_non_null(strstr(err.text, "--array"));
    end_child(child);
    assert_int_equal(sg_members_refuse(dir, &err), SG_OK);
    assert_int_equal(sg_members_living(dir), 0);

    /* a lock of another process: this test's parent lives as long as we do */
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        (void)!write(ready[1], sg_lock_take(dir, &lock, NULL) == SG_OK ? "y" : "n", 1);
        for (;;) pause();
    }
    char c = 0;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    assert_int_equal(sg_member_join(dir, &m, &err), SG_E_BUSY);
    assert_non_null(strstr(err.text, "another run holds this directory"));
    assert_int_equal(sg_members_living(dir), 0); /* nothing of the refused one stays */
    end_child(child);
    assert_int_equal(sg_member_join(dir, &m, NULL), SG_OK);
    /* a member that holds the lock (it merges) is no stranger */
    assert_int_equal(sg_lock_take(dir, &lock, NULL), SG_OK);
    assert_int_equal(sg_member_check(m, NULL), SG_OK);
    sg_lock_drop(lock);
    sg_member_leave(m);
    close(ready[0]);
    close(ready[1]);
}

/* Every member of the run: with `silence`, as if it had been silent for ten times the limit of the test
 * below. Returns how many are. */
static int silent_members(bool silence) {
    char path[1024];
    const struct utimbuf then = {time(NULL) - 10000, time(NULL) - 10000};
    int n = 0;
    snprintf(path, sizeof path, "%s/array/members", tmpdir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat s;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/array/members/%s", tmpdir, e->d_name);
        if (silence) assert_int_equal(utime(path, &then), 0);
        n += stat(path, &s) == 0 && time(NULL) - s.st_mtime > 1000;
    }
    closedir(d);
    return n;
}

/* A member on another host that is long in one stage (weights, a step, a merge) beats all the same. */
static void a_long_stage_is_no_death(void **state) {
    (void)state;
    struct sg__lock_terms here = {.beat_ms = 20, .stale_seconds = 1000}, there = here;
    struct sg_member *m, *other;
    const struct timespec moment = {0, 10000000};
    int32_t n = 0;
    bool mine = false;
    sg_process_self(&here.self);
    there.self = here.self;
    snprintf(there.self.host, sizeof there.self.host, "elsewhere");
    snprintf(there.self.machine, sizeof there.self.machine, "another");
    snprintf(there.self.boot, sizeof there.self.boot, "another");
    assert_int_equal(sg__member_join_on(tmpdir, &there, &other, NULL), SG_OK);
    assert_int_equal(sg_member_claim(other, 0, 1, &mine, NULL), SG_OK);
    assert_int_equal(sg__member_join_on(tmpdir, &here, &m, NULL), SG_OK);
    struct sg_piece look[1];
    for (int i = 0; i < 5; i++) {
        silent_members(true);
        for (int k = 0; k < 6000 && silent_members(false) > 0; k++) nanosleep(&moment, NULL);
        assert_int_equal(silent_members(false), 0);
        assert_int_equal(sg_member_look(m, look, 1, NULL), SG_OK);
        assert_true(look[0].held);
    }
    sg_member_leave(other);
    there.beat_ms = 1000000; /* as good as dead */
    assert_int_equal(sg__member_join_on(tmpdir, &there, &other, NULL), SG_OK);
    assert_int_equal(sg_member_claim(other, 0, 2, &mine, NULL), SG_OK);
    assert_int_equal(sg_member_look(m, look, 1, NULL), SG_OK);
    assert_true(look[0].held);
    silent_members(true);
    assert_int_equal(sg_member_look(m, look, 1, NULL), SG_OK);
    assert_false(look[0].held);
    assert_int_equal(sg_member_count(m, &n, NULL), SG_OK);
    assert_int_equal(n, 1);
    assert_int_equal(sg_member_beat(other, NULL), SG_E_BUSY); /* and it finds out */
    sg_member_leave(other);
    sg_member_leave(m);
}

/* As a member that begins the run, or merges. */
static bool join_and_lock(const char *dir) {
    struct sg_member *m = NULL;
    struct sg_lock *lock = NULL;
    return sg_member_join(dir, &m, NULL) == SG_OK && sg_lock_take(dir, &lock, NULL) == SG_OK;
}

/* While another begins the run, and while another has the lock and a dead one's cells are to be counted. */
static void a_signal_ends_the_wait_for_others(void **state) {
    (void)state;
    struct sg_query query = {.id = (char *)"q"};
    struct sg_portfolio_model model = {.id = (char *)"m"};
    struct sg_digest fingerprint = {3, 4};
    const int64_t weight = 1;
    struct sg_order order;
    struct sg_comm *comm = NULL;
    struct sg_array *a = NULL;
    bool finished;
    struct sg_plan plan = {.n_queries = 1,
                           .n_models = 1,
                           .n_cells = 1,
                           .queries = &query,
                           .models = &model,
                           .cell_fingerprint = &fingerprint,
                           .job = {.output = {.dir = tmpdir}, .text = (char *)"{}", .path = (char *)"job"}};
    assert_int_equal(sg_order_init(&order, 1, 1, &weight, -1, NULL), SG_OK);
    assert_int_equal(sg_comm_open_alone(&comm, NULL), SG_OK);
    pid_t child = child_that(join_and_lock, tmpdir);
    raise(SIGTERM);
    struct sg_err err = {0};
    assert_int_equal(sg_array_join(&plan, &order, comm, &(struct sg_run_id){.night = "tonight"}, true, &a,
                                   &finished, &err),
                     SG_E_STOPPED);
    assert_string_equal(err.text, "stopped by SIGTERM");

    assert_int_equal(sg_rundir_begin(tmpdir, &plan, &(struct sg_run_id){.night = "tonight"}, &err), SG_OK);
    char path[300];
    snprintf(path, sizeof path, "%s/hand", tmpdir);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/hand/00000-0123456789abcdef0123456789abcdef", tmpdir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    memset(&err, 0, sizeof err);
    assert_int_equal(sg_array_join(&plan, &order, comm, &(struct sg_run_id){.night = "tonight"}, true, &a,
                                   &finished, &err),
                     SG_E_STOPPED);
    assert_string_equal(err.text, "stopped by SIGTERM");
    end_child(child);
    sg_order_free(&order);
    sg_comm_close(comm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_signal_ends_the_wait_for_others, tmpdir_make, tmpdir_remove),
        cmocka_unit_test(pieces_cover_the_grid_and_shrink),
        cmocka_unit_test_setup_teardown(a_piece_has_one_holder_until_it_dies, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(damaged_or_foreign_names_are_no_leases, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(whoever_was_found_dead_stops, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(runs_of_two_kinds_refuse_each_other, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(a_long_stage_is_no_death, tmpdir_make, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

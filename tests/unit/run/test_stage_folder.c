/* Protects the copy of the weights that runs of one node share: a copy that is in use is never taken away by
 * one that found an older one bad; who tidies holds nobody up and leaves nothing. */
#include "base/file.h"
#include "run/stage_folder.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct sg_model_file file = {.name = "weights", .size = 4};
static const struct sg_model_files files = {.files = &file, .n = 1};
static const struct sg_digest digest = {1, 2};

static const char *at(const char *name) {
    static char paths[8][400];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", tmpdir, name);
    return p;
}

static void put(const char *path) {
    assert_int_equal(sg_file_write_atomic(path, "abcd", 4, NULL), SG_OK);
}

static void fill(struct sg__folder *f) {
    put(at("x-copy/weights.part"));
    assert_int_equal(sg__folder_commit(f, digest, NULL), SG_OK);
}

static enum sg__folder_state try_it(struct sg__folder *f) {
    enum sg__folder_state state;
    struct sg_digest d;
    assert_int_equal(sg__folder_try(f, &state, &d, NULL), SG_OK);
    return state;
}

static void a_new_copy_is_not_discredited_by_who_found_the_old_one_bad(void **state) {
    struct sg__folder a, b;
    (void)state;
    assert_int_equal(sg__folder_open(at("x-copy"), &files, &a, NULL), SG_OK);
    assert_int_equal(sg__folder_open(at("x-copy"), &files, &b, NULL), SG_OK);
    assert_int_equal(try_it(&a), SG__FOLDER_MINE);
    fill(&a);
    /* both find it, and find it bad; a is faster */
    assert_int_equal(try_it(&a), SG__FOLDER_HAVE);
    assert_int_equal(try_it(&b), SG__FOLDER_HAVE);
    sg__folder_discredit(&a);
    assert_int_equal(try_it(&a), SG__FOLDER_MINE);
    sg__folder_discredit(&b); /* while a copies */
    assert_int_equal(try_it(&b), SG__FOLDER_BUSY);
    fill(&a);
    sg__folder_discredit(&b); /* and when it has copied */
    assert_int_equal(try_it(&a), SG__FOLDER_HAVE);
    assert_int_equal(try_it(&b), SG__FOLDER_HAVE);
    sg__folder_discredit(&b); /* this one it has seen */
    assert_int_equal(try_it(&b), SG__FOLDER_MINE);
    sg__folder_close(&b, false);
    sg__folder_close(&a, false);
    assert_int_not_equal(access(at("x-copy"), F_OK), 0);
}

/* A child that holds the folder's lock as one that tidies, for as long as it is let. */
static pid_t lock_in_a_child(const char *path, int ms) {
    int ready[2];
    char ok = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sg_lock *lock = NULL;
        ok = sg_lock_take(path, &lock, NULL) == SG_OK;
        (void)!write(ready[1], &ok, 1);
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
        sg_lock_drop(lock);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &ok, 1), 1);
    assert_true(ok);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void who_comes_while_another_tidies_waits(void **state) {
    struct sg__folder f;
    (void)state;
    assert_int_equal(mkdir(at("x-copy"), 0700), 0);
    const pid_t child = lock_in_a_child(at("x-copy"), 700);
    assert_int_equal(sg__folder_open(at("x-copy"), &files, &f, NULL), SG_OK);
    assert_int_equal(try_it(&f), SG__FOLDER_MINE);
    sg__folder_close(&f, false);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void half_copies_go_and_whole_ones_stay(void **state) {
    struct sg__folder f;
    (void)state;
    assert_int_equal(sg__folder_open(at("x-copy"), &files, &f, NULL), SG_OK);
    assert_int_equal(try_it(&f), SG__FOLDER_MINE);
    fill(&f);
    sg__folder_close(&f, true);
    /* of a run that was killed, and of one that was killed while it tidied */
    assert_int_equal(mkdir(at("x-half"), 0700), 0);
    assert_int_equal(mkdir(at("x-half/array"), 0700), 0);
    put(at("x-half/weights.part"));
    assert_int_equal(mkdir(at("x-other.gone.1"), 0700), 0);
    put(at("x-other.gone.1/weights.part"));
    /* of somebody who waits for us to follow it */
    assert_int_equal(mkdir(at("mine"), 0700), 0);
    put(at("mine/letter"));
    assert_int_equal(mkdir(at("x-trap"), 0700), 0);
    put(at("x-trap/weights.part"));
    char trap[64];
    snprintf(trap, sizeof trap, "x-trap.gone.%ld", (long)getpid());
    assert_int_equal(symlink(at("mine"), at(trap)), 0);
    sg__folder_tidy(tmpdir, "x-", at("x-none"));
    assert_int_equal(access(at("x-copy/weights"), F_OK), 0);
    assert_int_not_equal(access(at("x-half"), F_OK), 0);
    assert_int_not_equal(access(at("x-other.gone.1"), F_OK), 0);
    assert_int_equal(access(at("mine/letter"), F_OK), 0);
    DIR *d = opendir(tmpdir);
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    assert_int_equal(n, 4); /* x-copy, mine, x-trap and the link */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_copy_is_not_discredited_by_who_found_the_old_one_bad,
                                        tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(who_comes_while_another_tidies_waits, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(half_copies_go_and_whole_ones_stay, tmpdir_make, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

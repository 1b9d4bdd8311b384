/* Protects: a crash is counted once, whoever is killed while counting it; the second crash quarantines the
 * cell, a kill blames nobody. */
#include "base/file.h"
#include "run/journal.h"
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

struct run {
    struct sg_plan plan; /* only what the journal reads */
    struct sg_query queries[QUERIES];
    struct sg_portfolio_model models[MODELS];
    struct sg_digest fingerprints[CELLS];
    uint8_t done[CELLS];
    int64_t n_done, n_failed;
};

static void begin(struct run *r) {
    memset(r, 0, sizeof *r);
    for (int i = 0; i < QUERIES; i++) r->queries[i].id = (char *)"q";
    for (int i = 0; i < MODELS; i++) r->models[i].id = (char *)"m";
    r->plan.n_queries = QUERIES;
    r->plan.n_models = MODELS;
    r->plan.n_cells = CELLS;
    r->plan.queries = r->queries;
    r->plan.models = r->models;
    r->plan.cell_fingerprint = r->fingerprints;
}

/* A rank that has the cell in hand when it ends by this signal. */
static void die(int64_t cell, int sig) {
    int how = 0;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(sig, SIG_DFL); /* the test's framework catches it */
        struct sg_journal *j = sg_journal_open(tmpdir, 2, NULL);
        if (!j) _exit(9);
        sg_journal_begin(j, cell);
        raise(sig);
        _exit(8);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == sig);
}

static const struct sg_journal_rules quiet = {.night = "tonight", .quiet = true};

static void collect(struct run *r) {
    assert_int_equal(sg_journal_collect(tmpdir, &r->plan, &quiet, r->done, &r->n_done, &r->n_failed, NULL),
                     SG_OK);
}

/* The journal of the one that died: its path, and what is in it. */
static void keep_journal(char path[600], struct sg_buf *bytes) {
    char dir[300];
    snprintf(dir, sizeof dir, "%s/hand", tmpdir);
    DIR *d = opendir(dir);
    int n = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9') continue;
        snprintf(path, 600, "%s/%s", dir, e->d_name);
        n++;
    }
    closedir(d);
    assert_int_equal(n, 1);
    assert_int_equal(sg_file_read(path, 1 << 20, bytes, NULL), SG_OK);
}

static void second_crash_quarantines(void **state) {
    struct run r;
    (void)state;
    begin(&r);
    for (int i = 0; i < 5; i++) { /* killed, any number of times */
        die(CULPRIT, SIGKILL);
        assert_true(sg_journal_deaths(tmpdir, &quiet));
        collect(&r);
        assert_false(sg_journal_deaths(tmpdir, &quiet));
    }
    assert_int_equal(r.n_failed, 0);
    die(CULPRIT, SIGABRT);
    collect(&r);
    assert_int_equal(r.n_failed, 0);
    struct sg_journal *j = sg_journal_open(tmpdir, 0, NULL);
    assert_true(sg_journal_suspect(j, CULPRIT));
    assert_false(sg_journal_suspect(j, CULPRIT + 1));
    sg_journal_close(j);
    die(CULPRIT, SIGFPE);
    collect(&r);
    assert_int_equal(r.n_failed, 1);
    assert_int_equal(r.done[CULPRIT], 1);
    collect(&r);
    assert_int_equal(r.n_failed, 1);
}

/* Killed when the deaths were written and the journals still there: the next start finds them again. */
static void counted_once_though_killed_while_counting(void **state) {
    struct run r;
    char path[600];
    struct sg_buf journal = {0};
    (void)state;
    begin(&r);
    die(CULPRIT, SIGABRT);
    keep_journal(path, &journal);
    for (int i = 0; i < 4; i++) {
        collect(&r);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(sg_file_write_atomic(path, journal.data, journal.len, NULL), SG_OK);
    }
    assert_int_equal(r.n_failed, 0);
    collect(&r);
    /* a crash of another process counts, whatever its file is called */
    sg_buf_free(&journal);
    die(CULPRIT, SIGABRT);
    collect(&r);
    assert_int_equal(r.n_failed, 1);
}

/* --retry-failed forgets deaths, those among them that it has just found: also for the start after it. */
static void forgotten_though_killed_while_counting(void **state) {
    struct run r;
    char path[600];
    struct sg_buf journal = {0};
    const struct sg_journal_rules forget = {.night = "tonight", .quiet = true, .forget = true};
    (void)state;
    begin(&r);
    die(CULPRIT, SIGABRT);
    keep_journal(path, &journal);
    assert_int_equal(sg_journal_collect(tmpdir, &r.plan, &forget, r.done, &r.n_done, &r.n_failed, NULL),
                     SG_OK);
    assert_int_equal(sg_file_write_atomic(path, journal.data, journal.len, NULL), SG_OK);
    collect(&r);
    struct sg_journal *j = sg_journal_open(tmpdir, 0, NULL);
    assert_false(sg_journal_suspect(j, CULPRIT));
    sg_journal_close(j);
    sg_buf_free(&journal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(second_crash_quarantines, tmpdir_make, tmpdir_remove),
        cmocka_unit_test_setup_teardown(counted_once_though_killed_while_counting, tmpdir_make,
                                        tmpdir_remove),
        cmocka_unit_test_setup_teardown(forgotten_though_killed_while_counting, tmpdir_make, tmpdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

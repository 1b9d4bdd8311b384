/* Protects a run directory from two runs at once, and its user from a lock that nobody holds any more. */
#include "rundir/lock.h"

#include "rundir/lock_internal.h"
#include "../store/store_test.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <utime.h>

static enum sg_status take_in(const char *dir, struct sg_lock **out, struct sg_err *err) {
    char path[1024];
    struct sg__lock_terms terms;
    sg__lock_terms_usual(&terms);
    terms.watch_ms = 40;
    path_to(path, "%s/lock", dir);
    return sg__lock_take_on(path, SG_LOCK_RUN, &terms, out, err);
}

static enum sg_status take_on(const char *dir, const struct sg__lock_terms *terms, struct sg_lock **out,
                              struct sg_err *err) {
    char path[1024];
    path_to(path, "%s/lock", dir);
    return sg__lock_take_on(path, SG_LOCK_RUN, terms, out, err);
}

static bool has_lock(const char *dir) {
    char path[1024];
    path_to(path, "%s/lock", dir);
    return access(path, F_OK) == 0;
}

/* A child that takes the lock and holds it until killed. */
static pid_t holder(const char *dir) {
    int ready[2];
    char ok = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct sg_lock *l = NULL;
        struct sg_err e = {0};
        ok = take_in(dir, &l, &e) == SG_OK;
        if (write(ready[1], &ok, 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &ok, 1), 1);
    assert_true(ok);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void end(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void second_is_refused(void **state) {
    struct sg_lock *l = NULL;
    char words[128];
    const pid_t child = holder(*state);
    (void)snprintf(words, sizeof words, "another run holds this directory: process %ld on ", (long)child);
    CHECK_FAILS(SG_E_BUSY, words, take_in(*state, &l, err));
    CHECK_FAILS(SG_E_BUSY, "wait for it or stop it", take_in(*state, &l, err));
    assert_null(l);
    /* Silence proves nothing about a process that can be seen. */
    char path[1024];
    path_to(path, "%s/lock", (char *)*state);
    const struct utimbuf past = {1000000, 1000000};
    assert_int_equal(utime(path, &past), 0);
    CHECK_FAILS(SG_E_BUSY, words, take_in(*state, &l, err));
    end(child);
    assert_true(has_lock(*state)); /* it had no time to remove it */
    CHECK_OK(take_in(*state, &l, err));
    sg_lock_drop(l);
    assert_int_equal(count_names(*state, "", NULL), 2); /* . and .. */
}

static void zombies_hold_nothing(void **state) {
    struct sg_lock *l = NULL;
    siginfo_t info;
    const pid_t child = holder(*state);
    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    CHECK_OK(take_in(*state, &l, err));
    sg_lock_drop(l);
    waitpid(child, NULL, 0);
}

static void even_oneself(void **state) {
    struct sg_lock *l = NULL, *m = NULL;
    CHECK_OK(take_in(*state, &l, err));
    CHECK_FAILS(SG_E_BUSY, "holds this directory", take_in(*state, &m, err));
    CHECK_OK(sg_lock_beat(l, err));
    sg_lock_drop(l);
    assert_false(has_lock(*state));
    CHECK_OK(take_in(*state, &l, err)); /* and again */
    sg_lock_drop(l);
    sg_lock_drop(NULL);
}

/* Who makes it gives it its rights; one that is gone is not made anew with others (a folder in /tmp would be
 * open to a group). */
static void does_not_make_the_directory(void **state) {
    struct sg_lock *l = NULL;
    char path[1024];
    path_to(path, "%s/a", (char *)*state);
    CHECK_FAILS(SG_E_IO, "No such file or directory", take_in(path, &l, err));
    assert_int_not_equal(access(path, F_OK), 0);
    path_to(path, "%s/file", (char *)*state);
    write_file(path, "x", 1);
    CHECK_FAILS(SG_E_IO, "file", take_in(path, &l, err));
}

static void children_do_not_drop_it(void **state) {
    struct sg_lock *l = NULL;
    int how = 0;
    CHECK_OK(take_in(*state, &l, err));
    const pid_t child = fork();
    if (child == 0) {
        sg_lock_drop(l);
        _exit(0);
    }
    waitpid(child, &how, 0);
    assert_int_equal(how, 0);
    CHECK_OK(sg_lock_beat(l, err));
    sg_lock_drop(l);
}

/* Writes a lock by hand, `age` seconds old. */
static void plant(const char *dir, const struct sg_process_id *o, int age) {
    char path[1024], text[1024];
    path_to(path, "%s/lock", dir);
    const int n =
        snprintf(text, sizeof text,
                 "scope-grid lock 1\nhost %s\nmachine %s\nboot %s\nspace %s\npid %lld\nstart %llu\ntoken t\n"
                 "since 2026-01-01T00:00:00Z\nend\n",
                 o->host, o->machine, o->boot, o->space, (long long)o->pid, (unsigned long long)o->start);
    write_file(path, text, (size_t)n);
    const struct utimbuf then = {time(NULL) - age, time(NULL) - age};
    assert_int_equal(utime(path, &then), 0);
}

static void takes(const char *dir) {
    struct sg_lock *l = NULL;
    CHECK_OK(take_in(dir, &l, err));
    CHECK_OK(sg_lock_beat(l, err));
    sg_lock_drop(l);
}

static void reused_pids_and_reboots(void **state) {
    struct sg_process_id self, o;
    struct sg_lock *l = NULL;
    sg_process_self(&self);
    if (!self.start) skip(); /* no /proc here */
    o = self;
    plant(*state, &o, 0);
    CHECK_FAILS(SG_E_BUSY, "since 2026-01-01T00:00:00Z", take_in(*state, &l, err));
    o.start++; /* this pid, but another process of earlier */
    plant(*state, &o, 0);
    takes(*state);
    if (self.machine[0]) { /* the machine has booted since */
        o = self;
        (void)snprintf(o.boot, sizeof o.boot, "00000000-0000-0000-0000-000000000000");
        plant(*state, &o, 0);
        takes(*state);
    }
}

static void other_machines_by_heartbeat(void **state) {
    struct sg_process_id o;
    struct sg_lock *l = NULL;
    sg_process_self(&o);
    (void)snprintf(o.host, sizeof o.host, "node99");
    (void)snprintf(o.machine, sizeof o.machine, "ffffffffffffffffffffffffffffffff");
    (void)snprintf(o.boot, sizeof o.boot, "11111111-0000-0000-0000-000000000000");
    plant(*state, &o, SG_LOCK_STALE_SECONDS - 100);
    CHECK_FAILS(SG_E_BUSY, "on node99", take_in(*state, &l, err));
    CHECK_FAILS(SG_E_BUSY, "last sign of life 2", take_in(*state, &l, err)); /* 200 to 299 s ago */
    CHECK_FAILS(SG_E_BUSY, "remove this file", take_in(*state, &l, err));
    plant(*state, &o, SG_LOCK_STALE_SECONDS + 5);
    takes(*state);
    /* Another container of this very kernel: its pids are not ours, nor is our process table its judge. */
    sg_process_self(&o);
    (void)snprintf(o.space, sizeof o.space, "pid:[1]");
    o.pid = 1;
    plant(*state, &o, 0);
    CHECK_FAILS(SG_E_BUSY, "process 1 on", take_in(*state, &l, err));
    plant(*state, &o, SG_LOCK_STALE_SECONDS + 5);
    takes(*state);
}

/* A clock was set back, or a file came from a machine whose clock is ahead: nobody is locked out for longer. */
static void times_in_the_future(void **state) {
    struct sg_process_id o;
    struct sg_lock *l = NULL;
    struct sg_lock_holder h;
    char path[1024];
    struct stat s;
    path_to(path, "%s/lock", (char *)*state);
    sg_process_self(&o);
    (void)snprintf(o.machine, sizeof o.machine, "ffffffffffffffffffffffffffffffff");
    (void)snprintf(o.boot, sizeof o.boot, "11111111-0000-0000-0000-000000000000");
    plant(*state, &o, -86400);
    CHECK_FAILS(SG_E_BUSY, "s in the future", sg_lock_look(path, NULL, &h, err));
    CHECK_FAILS(SG_E_BUSY, "last sign of life 0 s ago", take_in(*state, &l, err));
    assert_int_equal(stat(path, &s), 0);
    assert_true(s.st_mtime <= time(NULL) + 1); /* from here on it ages */
    CHECK_FAILS(SG_E_BUSY, "wait until 300 s have passed", sg_lock_look(path, NULL, &h, err));
    plant(*state, &o, SG_LOCK_STALE_SECONDS + 5);
    takes(*state);
    /* a node's clock is a minute ahead: within the limit, nothing is touched */
    plant(*state, &o, -60);
    CHECK_FAILS(SG_E_BUSY, "last sign of life 0 s ago", take_in(*state, &l, err));
    assert_int_equal(stat(path, &s), 0);
    assert_true(s.st_mtime > time(NULL) + 30);
    /* no lock file at all */
    write_file(path, "torn", 4);
    const struct utimbuf ahead = {time(NULL) + 86400, time(NULL) + 86400};
    assert_int_equal(utime(path, &ahead), 0);
    CHECK_FAILS(SG_E_BUSY, "is not a lock file", take_in(*state, &l, err));
    assert_int_equal(stat(path, &s), 0);
    assert_true(s.st_mtime <= time(NULL) + 1);
}

static void files_that_are_no_lock(void **state) {
    struct sg_lock *l = NULL;
    char path[1024];
    const struct utimbuf past = {1000000, 1000000};
    static const char *const bad[] = {"", "hello", "scope-grid lock 1\nhost x\npid 5\n"};
    path_to(path, "%s/lock", (char *)*state);
    for (int i = 0; i < 3; i++) {
        write_file(path, bad[i], strlen(bad[i]));
        CHECK_FAILS(SG_E_BUSY, "is not a lock file of this program", take_in(*state, &l, err));
        assert_int_equal(utime(path, &past), 0);
        takes(*state);
    }
}

/* No rights, no descriptors, a server that is busy: that says nothing about the holder, however old. */
static void what_cannot_be_read_is_not_stale(void **state) {
    struct sg_lock *l = NULL;
    char path[1024];
    const struct utimbuf past = {1000000, 1000000};
    path_to(path, "%s/lock", (char *)*state);
    assert_int_equal(mkdir(path, 0700), 0); /* opens, and gives an error when it is read: to root, too */
    assert_int_equal(utime(path, &past), 0);
    CHECK_FAILS(SG_E_IO, "cannot be read", take_in(*state, &l, err));
    assert_int_equal(access(path, F_OK), 0);
}

/* The sweep takes what has a name of the program's own. */
static void files_of_others_stay(void **state) {
    char kept[3][1024], left[2][1024];
    const struct utimbuf past = {1000000, 1000000};
    path_to(kept[0], "%s/lock.txt", (char *)*state);
    path_to(kept[1], "%s/lock.next", (char *)*state);
    path_to(kept[2], "%s/lock.0123456789abcdef0123456789abcdef.old", (char *)*state);
    path_to(left[0], "%s/lock.0123456789abcdef0123456789abcdef", (char *)*state);
    path_to(left[1], "%s/lock.0123456789abcdef0123456789abcdef.next", (char *)*state);
    for (int i = 0; i < 5; i++) {
        const char *path = i < 3 ? kept[i] : left[i - 3];
        write_file(path, "x", 1);
        assert_int_equal(utime(path, &past), 0);
    }
    takes(*state);
    for (int i = 0; i < 3; i++) assert_int_equal(access(kept[i], F_OK), 0);
    for (int i = 0; i < 2; i++) assert_int_not_equal(access(left[i], F_OK), 0);
}

static void a_lost_lock_is_noticed(void **state) {
    struct sg_lock *l = NULL;
    struct sg_process_id o;
    char path[1024];
    path_to(path, "%s/lock", (char *)*state);
    CHECK_OK(take_in(*state, &l, err));
    assert_int_equal(unlink(path), 0);
    CHECK_FAILS(SG_E_BUSY, "lock is gone", sg_lock_beat(l, err));
    sg_process_self(&o);
    plant(*state, &o, 0);
    CHECK_FAILS(SG_E_BUSY, "was taken over by process", sg_lock_beat(l, err));
    sg_lock_drop(l);
    assert_true(has_lock(*state)); /* not ours to remove */
}

static void beats_touch_the_file(void **state) {
    struct sg_lock *l = NULL;
    struct stat s;
    char path[1024];
    const struct utimbuf past = {1000000, 1000000};
    path_to(path, "%s/lock", (char *)*state);
    CHECK_OK(take_in(*state, &l, err));
    assert_int_equal(utime(path, &past), 0);
    CHECK_OK(sg_lock_beat(l, err));
    assert_int_equal(stat(path, &s), 0);
    assert_true(time(NULL) - s.st_mtime < 100);
    sg_lock_drop(l);
}

/* Many at once on a stale lock: exactly one gets it. */
static void one_of_many(void **state) {
    enum { N = 12 };
    struct sg_process_id o;
    for (int round = 0; round < 20; round++) {
        int go[2], told[2], won = 0;
        pid_t child[N];
        sg_process_self(&o);
        o.start++;
        plant(*state, &o, 0);
        assert_int_equal(pipe(go), 0);
        assert_int_equal(pipe(told), 0);
        for (int i = 0; i < N; i++) {
            child[i] = fork();
            if (child[i] == 0) {
                struct sg_lock *l = NULL;
                struct sg_err e = {0};
                char c;
                close(go[1]);
                if (read(go[0], &c, 1) < 0) _exit(1); /* all start when the parent closes its end */
                c = take_in(*state, &l, &e) == SG_OK ? 'w' : e.status == SG_E_BUSY ? 'b' : 'e';
                if (write(told[1], &c, 1) != 1) _exit(1);
                for (;;) pause();
            }
        }
        close(go[0]);
        close(go[1]);
        for (int i = 0; i < N; i++) {
            char c = 0;
            assert_int_equal(read(told[0], &c, 1), 1);
            assert_true(c == 'w' || c == 'b');
            won += c == 'w';
        }
        for (int i = 0; i < N; i++) end(child[i]);
        close(told[0]);
        close(told[1]);
        assert_int_equal(won, 1);
    }
    char path[1024];
    path_to(path, "%s/lock", (char *)*state);
    unlink(path);
    takes(*state);
    assert_int_equal(count_names(*state, "", NULL), 2); /* what the killed have left is swept */
}

static void foreign(struct sg__lock_terms *t, const char *host) {
    sg_process_self(&t->self);
    (void)snprintf(t->self.host, sizeof t->self.host, "%s", host);
    (void)snprintf(t->self.machine, sizeof t->self.machine, "machine of %s", host);
    (void)snprintf(t->self.boot, sizeof t->self.boot, "boot of %s", host);
}

/* As if the lock had been silent for ten times the limit. */
static void silence_it(const char *dir) {
    char path[1024];
    path_to(path, "%s/lock", dir);
    const struct utimbuf then = {time(NULL) - 10000, time(NULL) - 10000};
    assert_int_equal(utime(path, &then), 0);
}

/* Until a beat has made it fresh again, a minute at most. */
static void await_a_beat(const char *dir) {
    const struct timespec moment = {0, 10000000};
    char path[1024];
    struct stat s = {0};
    path_to(path, "%s/lock", dir);
    for (int i = 0; i < 6000 && time(NULL) - s.st_mtime > 1000; i++) {
        nanosleep(&moment, NULL);
        assert_int_equal(stat(path, &s), 0);
    }
    assert_true(time(NULL) - s.st_mtime < 1000);
}

/* A holder that does nothing of its own for longer than the limit (it merges, it loads a model) is not robbed
 * by another host; one that no longer runs is. */
static void long_stages_keep_the_lock(void **state) {
    struct sg__lock_terms a = {.beat_ms = 20, .stale_seconds = 1000}, b = a;
    struct sg_lock *mine = NULL, *theirs = NULL;
    foreign(&a, "one");
    foreign(&b, "two");
    CHECK_OK(take_on(*state, &a, &mine, err));
    for (int i = 0; i < 5; i++) {
        silence_it(*state);
        await_a_beat(*state);
        CHECK_FAILS(SG_E_BUSY, "on one,", take_on(*state, &b, &theirs, err));
    }
    CHECK_OK(sg_lock_beat(mine, err));
    sg_lock_drop(mine);
    a.beat_ms = 1000000; /* as good as dead */
    CHECK_OK(take_on(*state, &a, &mine, err));
    CHECK_FAILS(SG_E_BUSY, "on one,", take_on(*state, &b, &theirs, err));
    silence_it(*state);
    CHECK_OK(take_on(*state, &b, &theirs, err));
    CHECK_FAILS(SG_E_BUSY, "was taken over by process", sg_lock_beat(mine, err));
    sg_lock_drop(mine);
    CHECK_OK(sg_lock_beat(theirs, err));
    sg_lock_drop(theirs);
}

/* The file server's clock jumps ahead: every lock looks old until its holder's next beat. Who watches it for longer than a
 * beat does not rob the living, and takes what the dead have left. */
static void clocks_that_jump_ahead(void **state) {
    struct sg__lock_terms a = {.beat_ms = 200, .stale_seconds = 1000},
                          b = {.beat_ms = 200, .stale_seconds = 1000};
    struct sg_lock *mine = NULL, *theirs = NULL;
    b.watch_ms = 20000; /* a beat comes in time on a loaded machine, too; it ends the watch */
    foreign(&a, "one");
    foreign(&b, "two");
    CHECK_OK(take_on(*state, &a, &mine, err));
    silence_it(*state);
    CHECK_FAILS(SG_E_BUSY, "on one,", take_on(*state, &b, &theirs, err));
    CHECK_OK(sg_lock_beat(mine, err));
    sg_lock_drop(mine);
    a.beat_ms = 1000000; /* as good as dead */
    b.watch_ms = 300;
    CHECK_OK(take_on(*state, &a, &mine, err));
    silence_it(*state);
    CHECK_OK(take_on(*state, &b, &theirs, err));
    CHECK_FAILS(SG_E_BUSY, "was taken over by process", sg_lock_beat(mine, err));
    sg_lock_drop(mine);
    sg_lock_drop(theirs);
}

/* A lock is judged by the clock that gives files their times: a node whose own is wrong sees the living alive. */
static void wrong_clocks_of_nodes(void **state) {
    struct sg_lock_holder h;
    struct sg_process_id o;
    char path[1024], fresh[1024];
    path_to(path, "%s/lock", (char *)*state);
    path_to(fresh, "%s/fresh", (char *)*state);
    sg_process_self(&o);
    (void)snprintf(o.machine, sizeof o.machine, "ffffffffffffffffffffffffffffffff");
    (void)snprintf(o.boot, sizeof o.boot, "11111111-0000-0000-0000-000000000000");
    plant(*state, &o, 1000); /* by a file server that is a thousand seconds behind */
    write_file(fresh, "x", 1);
    const struct utimbuf behind = {time(NULL) - 1000, time(NULL) - 1000};
    assert_int_equal(utime(fresh, &behind), 0);
    CHECK_OK(sg_lock_look(path, NULL, &h, err)); /* by this machine's clock it is stale */
    CHECK_FAILS(SG_E_BUSY, "last sign of life 0 s ago", sg_lock_look(path, fresh, &h, err));
}

/* Makes the right to replace the file at `of`, held by whom `text` says; its path goes to out. */
static void plant_right(const char *dir, const char *of, const char *text, char out[1024]) {
    size_t n;
    char key[SG_DIGEST_HEX];
    unsigned char *bytes = read_whole(of, &n);
    sg_digest_hex(sg_digest_bytes(bytes, n), key);
    free(bytes);
    path_to(out, "%s/lock.%s.next", dir, key);
    write_file(out, text, strlen(text));
}

/* Who was about to replace a stale lock may die too, and so may who was about to replace that one's claim;
 * while one of them lives, nobody else takes the directory. */
static void takers_that_died_on_the_way(void **state) {
    struct sg_process_id dead, self;
    struct sg_lock *l = NULL;
    char lock[1024], first[1024], second[1024], text[2048];
    sg_process_self(&self);
    if (!self.start) skip();
    dead = self;
    dead.start++;
    static const char form[] =
        "scope-grid lock 1\nhost %s\nmachine %s\nboot %s\nspace %s\npid %lld\nstart %llu\n"
        "token %s\nsince then\nend\n";
    path_to(lock, "%s/lock", (char *)*state);
    plant(*state, &dead, 0);
    (void)snprintf(text, sizeof text, form, dead.host, dead.machine, dead.boot, dead.space,
                   (long long)dead.pid, (unsigned long long)dead.start, "1");
    plant_right(*state, lock, text, first);
    (void)snprintf(text, sizeof text, form, self.host, self.machine, self.boot, self.space,
                   (long long)self.pid, (unsigned long long)self.start, "2");
    plant_right(*state, first, text, second);
    CHECK_FAILS(SG_E_BUSY, "another run holds this directory", take_in(*state, &l, err));
    assert_int_equal(unlink(second), 0);
    takes(*state);
    assert_int_equal(count_names(*state, "", NULL), 2); /* . and .. */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_DIR(second_is_refused),
        IN_DIR(zombies_hold_nothing),
        IN_DIR(even_oneself),
        IN_DIR(does_not_make_the_directory),
        IN_DIR(what_cannot_be_read_is_not_stale),
        IN_DIR(files_of_others_stay),
        IN_DIR(children_do_not_drop_it),
        IN_DIR(reused_pids_and_reboots),
        IN_DIR(other_machines_by_heartbeat),
        IN_DIR(times_in_the_future),
        IN_DIR(files_that_are_no_lock),
        IN_DIR(a_lost_lock_is_noticed),
        IN_DIR(beats_touch_the_file),
        IN_DIR(one_of_many),
        IN_DIR(long_stages_keep_the_lock),
        IN_DIR(clocks_that_jump_ahead),
        IN_DIR(wrong_clocks_of_nodes),
        IN_DIR(takers_that_died_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

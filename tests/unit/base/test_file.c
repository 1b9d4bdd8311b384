/* Protects: a file is replaced whole or not at all, reading refuses what is not a plain file or too large,
 * paths join as users expect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "support/tmpdir.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static size_t files_in(const char *dir) {
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void assert_holds(const char *path, const char *text) {
    struct sg_buf b = {0};
    struct sg_err err = {0};
    assert_int_equal(sg_file_read(path, 1000, &b, &err), SG_OK);
    assert_string_equal(b.data, text);
    sg_buf_free(&b);
}

static void a_write_replaces_the_file_and_leaves_nothing_beside_it(void **state) {
    (void)state;
    struct sg_err err = {0};
    assert_int_equal(sg_dir_make(tmp_path("w"), &err), SG_OK);
    assert_int_equal(sg_file_write_atomic(tmp_path("w/a"), "one", 3, &err), SG_OK);
    assert_holds(tmp_path("w/a"), "one");
    assert_int_equal(sg_file_write_atomic(tmp_path("w/a"), "three", 5, &err), SG_OK);
    assert_holds(tmp_path("w/a"), "three");
    assert_int_equal(sg_file_write_atomic(tmp_path("w/empty"), "", 0, &err), SG_OK);
    assert_holds(tmp_path("w/empty"), "");
    assert_int_equal(files_in(tmp_path("w")), 2);
}

static void a_failed_write_leaves_the_old_file(void **state) {
    (void)state;
    struct sg_err err = {0};
    char want[400];
    assert_int_equal(sg_file_write_atomic(tmp_path("gone/a"), "x", 1, &err), SG_E_IO);
    snprintf(want, sizeof want, "%s.tmp.", tmp_path("gone/a"));
    assert_memory_equal(err.text, want, strlen(want));
    assert_string_equal(strstr(err.text, ": "), ": cannot create: No such file or directory");
    /* the last step fails: a folder stands where the file should go */
    assert_int_equal(sg_dir_make(tmp_path("f/a/b"), &err), SG_OK);
    assert_int_equal(sg_file_write_atomic(tmp_path("f/a"), "x", 1, &err), SG_E_IO);
    assert_non_null(strstr(err.text, "cannot rename"));
    assert_true(sg_dir_exists(tmp_path("f/a/b")));
    assert_int_equal(files_in(tmp_path("f")), 1);
    /* the device is full: /dev/full refuses every byte */
    if (access("/dev/full", W_OK) == 0) {
        FILE *full = fopen("/dev/full", "wb");
        assert_non_null(full);
        assert_int_equal(sg_fd_write(fileno(full), "x", 1, "/dev/full", &err), SG_E_IO);
        assert_string_equal(err.text, "/dev/full: cannot write: No space left on device");
        fclose(full);
    }
}

static void reading_refuses_what_it_cannot_take(void **state) {
    (void)state;
    struct sg_err err = {0};
    struct sg_buf b = {0};
    char want[400];
    assert_int_equal(sg_buf_str(&b, "before", &err), SG_OK);
    assert_int_equal(sg_file_read(tmp_path("none"), 10, &b, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s: cannot open: No such file or directory", tmp_path("none"));
    assert_string_equal(err.text, want);
    assert_int_equal(sg_file_read(tmpdir, 10, &b, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s: is a folder, not a regular file", tmpdir);
    assert_string_equal(err.text, want);
    assert_int_equal(mkfifo(tmp_path("pipe"), 0600), 0);
    assert_int_equal(sg_file_read(tmp_path("pipe"), 10, &b, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s: is not a regular file", tmp_path("pipe"));
    assert_string_equal(err.text, want);
    tmp_put("eleven", "12345678901");
    assert_int_equal(sg_file_read(tmp_path("eleven"), 10, &b, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s: is 11 bytes long; at most 10 are accepted here", tmp_path("eleven"));
    assert_string_equal(err.text, want);
    assert_string_equal(b.data, "before");
    assert_int_equal(b.len, 6);
    assert_int_equal(sg_file_read(tmp_path("eleven"), 11, &b, &err), SG_OK);
    assert_string_equal(b.data, "before12345678901");
    sg_buf_free(&b);
}

/* A data file may be a pipe; one without a writer ends in a message, not in waiting for ever. */
static void pipes(void **state) {
    (void)state;
    struct sg_err err = {0};
    char want[400], byte = 0;
    int fd = -1;
    assert_int_equal(mkfifo(tmp_path("data"), 0600), 0);
    assert_int_equal(sg_file_open(tmp_path("data"), &fd, &err), SG_E_INPUT);
    snprintf(want, sizeof want, "%s: is a pipe that nobody has written to for 5 s", tmp_path("data"));
    assert_string_equal(err.text, want);
    int both_ends = open(tmp_path("data"), O_RDWR);
    assert_true(both_ends >= 0);
    assert_int_equal(write(both_ends, "x", 1), 1);
    assert_int_equal(sg_file_open(tmp_path("data"), &fd, &err), SG_OK);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0); /* a slow writer is waited for */
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(fd);
    close(both_ends);
}

/* A link is followed where the user names a file, and nowhere else. */
static void links(void **state) {
    (void)state;
    struct sg_err err = {0};
    struct sg_buf b = {0};
    struct sg_map m = {0};
    char want[400], *a = NULL, *again = NULL;
    int fd;
    tmp_put("target", "text");
    snprintf(want, sizeof want, "%s", tmp_path("link"));
    assert_int_equal(symlink(tmp_path("target"), want), 0);
    assert_int_equal(sg_file_read(want, 10, &b, &err), SG_OK);
    assert_string_equal(b.data, "text");
    assert_int_equal(sg_file_read_own(want, 10, &b, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "link: is a symbolic link"));
    assert_int_equal(sg_map_own(want, &m, &err), SG_E_INPUT);
    assert_int_equal(sg_open(want, SG_OPEN_APPEND), -1);
    assert_int_equal(sg_open(want, SG_OPEN_NEW), -1);
    /* a file that is replaced is not written through a link */
    assert_int_equal(sg_file_write_atomic(want, "new", 3, &err), SG_OK);
    sg_buf_clear(&b);
    assert_int_equal(sg_file_read(tmp_path("target"), 10, &b, &err), SG_OK);
    assert_string_equal(b.data, "text");
    assert_int_equal(sg_file_read_own(want, 10, &b, &err), SG_OK);
    sg_buf_free(&b);
    /* pipes are neither waited for nor taken */
    assert_int_equal(mkfifo(tmp_path("fifo"), 0600), 0);
    for (int how = SG_OPEN_INPUT; how <= SG_OPEN_APPEND; how++)
        if (how != SG_OPEN_PIPE) assert_int_equal(sg_open(tmp_path("fifo"), (enum sg_open)how), -1);
    /* folders */
    assert_int_equal(sg_dir_make(tmp_path("folder"), &err), SG_OK);
    snprintf(want, sizeof want, "%s", tmp_path("folder link"));
    assert_int_equal(symlink(tmp_path("folder"), want), 0);
    assert_null(sg_dir_open(want, false));
    DIR *d = sg_dir_open(want, true);
    assert_non_null(d);
    closedir(d);
    /* temporary names differ, and are known again */
    assert_int_equal(sg_temp_open(tmp_path("t"), &a, &fd, &err), SG_OK);
    close(fd);
    assert_int_equal(sg_temp_open(tmp_path("t"), &again, &fd, &err), SG_OK);
    close(fd);
    assert_string_not_equal(a, again);
    assert_true(sg_temp_is(strrchr(a, '/') + 1, "t"));
    assert_false(sg_temp_is(strrchr(a, '/') + 1, "u"));
    assert_false(sg_temp_is("t.tmp.12x", "t"));
    free(a);
    free(again);
}

static void leave(const char *path, int64_t age) {
    struct sg_err err = {0};
    const struct timespec at = {.tv_sec = time(NULL) - age};
    char *name = NULL;
    int fd = -1;
    assert_int_equal(sg_temp_open(path, &name, &fd, &err), SG_OK);
    assert_int_equal(futimens(fd, (const struct timespec[]){at, at}), 0);
    close(fd);
    free(name);
}

static void what_killed_writers_left_is_removed(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", NULL};
    struct sg_err err = {0};
    assert_int_equal(sg_dir_make(tmp_path("tidy"), &err), SG_OK);
    assert_int_equal(symlink("tidy", tmp_path("tidy link")), 0);
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", tmp_path(""));
    leave(tmp_path("tidy/a"), 3600);
    leave(tmp_path("tidy/b"), 0);
    leave(tmp_path("tidy/c"), 3600);
    assert_int_equal(sg_file_write_atomic(tmp_path("tidy/a.tmp.1b"), "x", 1, &err), SG_OK);
    sg_temp_tidy(dir, "tidy link", names, 0); /* somebody put a link in the place of the folder */
    assert_int_equal(files_in(tmp_path("tidy")), 4);
    sg_temp_tidy(dir, "tidy", names, SG_TEMP_AGE);
    assert_int_equal(files_in(tmp_path("tidy")), 3);    /* b may be written to now */
    sg_temp_tidy(tmp_path("tidy link"), ".", names, 0); /* the user's link to his folder */
    assert_int_equal(files_in(tmp_path("tidy")), 2);
    sg_temp_tidy(dir, "tidy", NULL, 0);
    assert_int_equal(files_in(tmp_path("tidy")), 1);
    assert_holds(tmp_path("tidy/a.tmp.1b"), "x");
}

static void maps_show_the_bytes(void **state) {
    (void)state;
    struct sg_err err = {0};
    struct sg_map m = {0};
    tmp_put("map", "abc");
    tmp_put("nothing", "");
    assert_int_equal(sg_map_open(tmp_path("map"), &m, &err), SG_OK);
    assert_int_equal(m.size, 3);
    assert_memory_equal(m.data, "abc", 3);
    sg_map_close(&m);
    sg_map_close(&m);
    assert_int_equal(sg_map_open(tmp_path("nothing"), &m, &err), SG_OK);
    assert_int_equal(m.size, 0);
    assert_null(m.data);
    sg_map_close(&m);
    assert_int_equal(sg_map_open(tmp_path("none"), &m, &err), SG_E_INPUT);
}

static void folders_are_made_with_their_parents(void **state) {
    (void)state;
    struct sg_err err = {0};
    assert_int_equal(sg_dir_make(tmp_path("x/y//z/"), &err), SG_OK);
    assert_true(sg_dir_exists(tmp_path("x/y/z")));
    assert_int_equal(sg_dir_make(tmp_path("x/y"), &err), SG_OK);
    tmp_put("file", "");
    assert_int_equal(sg_dir_make(tmp_path("file/sub"), &err), SG_E_IO);
    /* the reason is mkdir's, not that of looking whether it was there: a read-only disk must say so */
    assert_int_equal(sg_dir_make("/sys/sg-test", &err), SG_E_IO);
    if (access("/sys", F_OK) == 0) assert_null(strstr(err.text, "No such file"));
    assert_false(sg_file_exists(tmp_path("x")));
    assert_false(sg_dir_exists(tmp_path("file")));
}

static void assert_join(const char *base, const char *name, const char *want) {
    char *p = NULL;
    assert_int_equal(sg_path_join(base, name, &p, NULL), SG_OK);
    assert_string_equal(p, want);
    free(p);
}

static void assert_dir(const char *path, const char *want) {
    char *p = NULL;
    assert_int_equal(sg_path_dir(path, &p, NULL), SG_OK);
    assert_string_equal(p, want);
    free(p);
}

static void paths_join_and_split(void **state) {
    (void)state;
    assert_join("a/b", "c", "a/b/c");
    assert_join("a/b", "/c", "/c");
    assert_join(".", "c", "c");
    assert_dir("a/b", "a");
    assert_dir("b", ".");
    assert_dir("/b", "/");
}

static void a_read_goes_on_until_all_is_there(void **state) {
    (void)state;
    char bytes[16];
    int end[2];
    assert_int_equal(pipe(end), 0);
    const pid_t child = fork();
    if (!child) { /* in two pieces, as a file server may send them */
        if (write(end[1], "abc", 3) != 3 || nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL) != 0 ||
            write(end[1], "defgh", 5) != 5)
            _exit(1);
        _exit(0);
    }
    close(end[1]);
    assert_int_equal(sg_fd_read(end[0], bytes, 8), 8);
    assert_memory_equal(bytes, "abcdefgh", 8);
    assert_int_equal(sg_fd_read(end[0], bytes, sizeof bytes), 0); /* the end */
    close(end[0]);
    assert_int_equal(sg_fd_read(end[0], bytes, 1), -1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_replaces_the_file_and_leaves_nothing_beside_it),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(reading_refuses_what_it_cannot_take),
        cmocka_unit_test(pipes),
        cmocka_unit_test(links),
        cmocka_unit_test(what_killed_writers_left_is_removed),
        cmocka_unit_test(maps_show_the_bytes),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(paths_join_and_split),
        cmocka_unit_test(a_read_goes_on_until_all_is_there),
    };
    return cmocka_run_group_tests(tests, tmpdir_make, tmpdir_remove);
}

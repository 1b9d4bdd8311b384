/* Protects the promise of resume: what a closed segment holds comes back whole, what is damaged, foreign or
 * unfinished is never taken for data, and a failed write leaves nothing behind. */
#include "store/segment.h"

#include "base/process_id.h"
#include "store/segment_format.h"
#include "store/segment_reader.h"
#include "store_test.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <utime.h>

static enum sg_status write_cells(const char *dir, int32_t rank, const int64_t *cells, int n,
                                  struct sg_err *err) {
    struct sg_segment_writer *w = NULL;
    enum sg_status st =
        sg_segment_open(dir, &(struct sg_segment_head){TEST_RUN, rank, "tonight", NULL}, &w, err);
    if (st != SG_OK) return st;
    for (int i = 0; i < n; i++) {
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(cells[i], &room);
        st = sg_segment_append(w, cells[i], test_cell_fingerprint(cells[i]), &c, err);
        if (st != SG_OK) {
            sg_segment_abandon(w);
            return st;
        }
    }
    assert_int_equal(sg_segment_count(w), n);
    return sg_segment_close(w, err);
}

static bool same_f64(double a, double b) {
    return (isnan(a) && isnan(b)) || a == b;
}

static void expect_cell(const struct sg_cell *got, int64_t index) {
    struct test_kv_budget room;
    const struct sg_cell c = test_cell(index, &room);
    assert_int_equal(got->query, c.query);
    assert_int_equal(got->model, c.model);
    assert_int_equal(got->valid, c.valid);
    assert_int_equal(got->status, c.status);
    assert_int_equal(got->votes_yes, c.votes_yes);
    assert_int_equal(got->votes_no, c.votes_no);
    assert_int_equal(got->votes_unparsed, c.votes_unparsed);
    assert_true(same_f64(got->p_correct, c.p_correct) && same_f64(got->length_mean, c.length_mean));
    assert_true(same_f64(got->length_sd, c.length_sd) && same_f64(got->cost, c.cost));
    assert_int_equal(got->prompt_tokens, c.prompt_tokens);
    assert_int_equal(got->output_tokens, c.output_tokens);
    assert_int_equal(got->estimator_prompt_tokens, c.estimator_prompt_tokens);
    assert_int_equal(got->n_samples, c.n_samples);
    if (c.reason)
        assert_string_equal(got->reason, c.reason);
    else
        assert_null(got->reason);
    for (int i = 0; i < c.n_samples; i++) {
        const struct sg_cell_sample *a = &got->samples[i], *b = &c.samples[i];
        assert_int_equal(a->correct, b->correct);
        assert_int_equal(a->finish, b->finish);
        assert_int_equal(a->tokens, b->tokens);
        assert_int_equal(a->length, b->length);
        assert_true(same_f64((double)a->p_yes, (double)b->p_yes));
        assert_int_equal(a->text != NULL, b->text != NULL);
        assert_int_equal(a->text_bytes, b->text_bytes);
        if (a->text) {
            assert_memory_equal(a->text, b->text, (size_t)b->text_bytes);
            assert_int_equal(a->text[a->text_bytes], 0);
        }
    }
}

struct seen {
    int64_t cell[64];
    int n;
};
static enum sg_status see(void *ctx, int64_t index, struct sg_digest fp, const struct sg_cell *cell,
                          struct sg_err *err) {
    (void)err;
    struct seen *s = ctx;
    assert_true(s->n < 64);
    s->cell[s->n++] = index;
    assert_true(sg_digest_equal(fp, test_cell_fingerprint(index)));
    expect_cell(cell, index);
    return SG_OK;
}

static void what_goes_in_comes_out(void **state) {
    const int64_t first[] = {5, 0, 6, 20}, second[] = {1, 13};
    uint8_t done[21];
    memset(done, 9, sizeof done);
    int64_t n_done = -1, n_failed = -1;
    CHECK_OK(write_cells(*state, 0, first, 4, err));
    CHECK_OK(write_cells(*state, 1, second, 2, err));
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 21, done, &n_done, &n_failed, SG_CLEAN_NONE, err));
    assert_int_equal(n_done, 6);
    assert_int_equal(n_failed, 3); /* 6, 13 and 20 */
    for (int i = 0; i < 21; i++)
        assert_int_equal(done[i], i == 0 || i == 1 || i == 5 || i == 6 || i == 13 || i == 20);
    struct seen seen = {0};
    CHECK_OK(sg_segments_read(*state, TEST_RUN, 21, see, &seen, err));
    const int64_t want[] = {5, 0, 6, 20, 1, 13}; /* rank order, then the order of writing */
    assert_int_equal(seen.n, 6);
    for (int i = 0; i < 6; i++) assert_int_equal(seen.cell[i], want[i]);
}

static void nothing_yet(void **state) {
    uint8_t done[4] = {7, 7, 7, 7};
    int64_t n = -1;
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 4, done, &n, NULL, SG_CLEAN_SILENT,
                              err)); /* no segments/ at all */
    assert_int_equal(n, 0);
    assert_int_equal(done[0] | done[3], 0);
    CHECK_OK(write_cells(*state, 0, NULL, SG_CLEAN_NONE, err)); /* an empty segment leaves no file */
    char dir[1024];
    path_to(dir, "%s/segments", (char *)*state);
    assert_int_equal(count_names(dir, ".seg", NULL) + count_names(dir, ".open", NULL), 0);
}

static void a_cell_twice_counts_once(void **state) {
    const int64_t a[] = {3, 3}, b[] = {3, 2};
    uint8_t done[4];
    int64_t n = 0, failed = 0;
    CHECK_OK(write_cells(*state, 0, a, 2, err));
    CHECK_OK(write_cells(*state, 4, b, 2, err));
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 4, done, &n, &failed, SG_CLEAN_NONE, err));
    assert_int_equal(n, 2);
    assert_int_equal(failed, 0);
}

/* The one segment of dir and its bytes. */
static unsigned char *the_segment(const char *dir, char path[1024], size_t *n) {
    char sub[1024];
    path_to(sub, "%s/segments", dir);
    assert_int_equal(count_names(sub, ".seg", path), 1);
    return read_whole(path, n);
}

static enum sg_status scan(const char *dir, int64_t n_cells, struct sg_err *err) {
    uint8_t done[64];
    int64_t n;
    assert_true(n_cells <= 64);
    return sg_segments_scan(dir, TEST_RUN, n_cells, done, &n, NULL, SG_CLEAN_NONE, err);
}

static void every_truncation_is_seen(void **state) {
    const int64_t cells[] = {4, 6};
    char path[1024];
    size_t n;
    CHECK_OK(write_cells(*state, 0, cells, 2, err));
    unsigned char *b = the_segment(*state, path, &n);
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(truncate(path, (off_t)0), 0);
        write_file(path, b, cut);
        CHECK_FAILS(SG_E_CORRUPT, path, scan(*state, 9, err));
    }
    write_file(path, b, n); /* and the whole is good: the loop above could fail */
    CHECK_OK(scan(*state, 9, err));
    unsigned char *longer = malloc(n + 1);
    assert_non_null(longer);
    memcpy(longer, b, n);
    longer[n] = 0;
    write_file(path, longer, n + 1);
    CHECK_FAILS(SG_E_CORRUPT, "does not end in a footer", scan(*state, 9, err));
    free(longer);
    free(b);
}

static void every_flipped_bit_is_seen(void **state) {
    const int64_t cells[] = {4, 6};
    char path[1024];
    size_t n;
    struct sg__segment_view v;
    CHECK_OK(write_cells(*state, 0, cells, 2, err));
    unsigned char *b = the_segment(*state, path, &n);
    CHECK_OK(sg__segment_parse(b, n, true, "x", &v, err));
    for (size_t bit = 0; bit < 8 * n; bit++) {
        b[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        CHECK_FAILS(SG_E_CORRUPT, "seg: damaged segment", sg__segment_parse(b, n, true, "seg", &v, err));
        b[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    b[n / 2] ^= 1; /* in a record: the message says which */
    write_file(path, b, n);
    CHECK_FAILS(SG_E_CORRUPT, "fails its checksum", scan(*state, 9, err));
    free(b);
}

/* Behind the checksums, too, nothing is believed: a crash here is what a sanitizer would show. */
static void damage_behind_checksums(void **state) {
    const int64_t cells[] = {4, 6, 5};
    char path[1024];
    size_t n;
    CHECK_OK(write_cells(*state, 0, cells, 3, err));
    unsigned char *b = the_segment(*state, path, &n), *d = malloc(n);
    assert_non_null(d);
    struct sg__cell_buf room = {0};
    int accepted = 0;
    for (uint64_t round = 0; round < 20000; round++) {
        memcpy(d, b, n);
        for (uint64_t k = 0; k <= round % 3; k++) {
            const uint64_t r = sg_random64(99, 8 * round + k);
            d[r % n] = (unsigned char)(r >> 40);
        }
        const size_t size = round % 5 ? n : sg_random64(98, round) % n;
        struct sg__segment_view v;
        struct sg_cell cell;
        struct sg_digest fp;
        struct sg_err e = {0};
        if (sg__segment_parse(d, size, false, "seg", &v, &e) != SG_OK) continue;
        for (int64_t i = 0; i < v.count; i++)
            if (sg__segment_take(&v, i, "seg", &room, &fp, &cell, &e) == SG_OK)
                for (int s = 0; s < cell.n_samples; s++)
                    accepted += cell.samples[s].text && cell.samples[s].text[cell.samples[s].text_bytes] == 0;
    }
    assert_true(accepted > 1000); /* the loop got past the header */
    free(room.samples);
    free(d);
    free(b);
}

static void random_bytes_are_no_segment(void **state) {
    char dir[1024], path[1024];
    path_to(dir, "%s/segments", (char *)*state);
    assert_int_equal(mkdir(dir, 0777), 0);
    path_to(path, "%s/00000-x.seg", dir);
    for (uint64_t round = 0; round < 200; round++) {
        unsigned char b[600];
        for (size_t i = 0; i < sizeof b; i++) b[i] = (unsigned char)sg_random64(5 + round, i);
        if (round % 2) memcpy(b, "SGSEG\r\n\x1a\1\0\0\0", 12);
        write_file(path, b, round * 3);
        CHECK_FAILS(SG_E_CORRUPT, "00000-x.seg", scan(*state, 9, err));
    }
}

static void foreign_segments_are_refused(void **state) {
    const int64_t cells[] = {4};
    const struct sg_digest other = {1, 2};
    uint8_t done[9] = {0};
    int64_t n = 0;
    CHECK_OK(write_cells(*state, 0, cells, 1, err));
    CHECK_FAILS(SG_E_MISMATCH, "0123456789abcdeffedcba9876543210",
                sg_segments_scan(*state, other, 9, done, &n, NULL, SG_CLEAN_NONE, err));
    struct seen seen = {0};
    CHECK_FAILS(SG_E_MISMATCH, ".seg", sg_segments_read(*state, other, 9, see, &seen, err));
    CHECK_FAILS(SG_E_CORRUPT, "holds cell 4", scan(*state, 4, err)); /* right run, impossible cell */
}

/* As another version of the program might write it: its header may be as short as that of version 1 was. */
static void other_versions_are_named(void **state) {
    const int64_t cells[] = {4};
    char path[1024], words[80];
    size_t n;
    CHECK_OK(write_cells(*state, 0, cells, 1, err));
    unsigned char *b = the_segment(*state, path, &n);
    for (int version = 1; version <= 3; version += 2) {
        const size_t head = 64;
        b[8] = (unsigned char)version;
        b[12] = (unsigned char)head;
        const uint64_t sum = sg_hash64(b, head - 8);
        for (int i = 0; i < 8; i++) b[head - 8 + (size_t)i] = (unsigned char)(sum >> (8 * i));
        write_file(path, b, n);
        snprintf(words, sizeof words, "version %d, this program reads version 2: finish the run with",
                 version);
        CHECK_FAILS(SG_E_UNSUPPORTED, words, scan(*state, 9, err));
    }
    free(b);
}

/* The scan tells the cells that were taken over; a head whose names are too long is refused. */
static void heads_come_back(void **state) {
    struct sg_segment_writer *w = NULL;
    struct test_kv_budget room;
    const struct sg_segment_head head = {TEST_RUN, 0, "friday", "last.h5 (digest 12)"};
    const int64_t own[] = {4};
    uint8_t done[9];
    int64_t n;
    const struct sg_cell c = test_cell(2, &room);
    CHECK_OK(sg_segment_open(*state, &head, &w, err));
    CHECK_OK(sg_segment_append(w, 2, test_cell_fingerprint(2), &c, err));
    CHECK_OK(sg_segment_close(w, err));
    CHECK_OK(write_cells(*state, 1, own, 1, err));
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 9, done, &n, NULL, SG_CLEAN_NONE, err));
    assert_int_equal(n, 2);
    assert_int_equal(done[2], SG_CELL_TAKEN_OVER);
    assert_int_equal(done[4], SG_CELL_COMPUTED);
    assert_int_equal(done[3], SG_CELL_OPEN);
    struct sg__segment_reader set;
    CHECK_OK(sg__segment_reader_open(*state, TEST_RUN, 9, &set, err));
    assert_int_equal(set.n_files, 2);
    assert_string_equal(set.files[0].view.night, "friday");
    assert_string_equal(set.files[0].view.since, "last.h5 (digest 12)");
    assert_string_equal(set.files[1].view.night, "tonight");
    assert_null(set.files[1].view.since);
    sg__segment_reader_close(&set);
    char *long_name = calloc(1, 70000);
    memset(long_name, 'x', 69999);
    const struct sg_segment_head too_long = {TEST_RUN, 0, "friday", long_name};
    CHECK_FAILS(SG_E_INPUT, "the names in it", sg_segment_open(*state, &too_long, &w, err));
    free(long_name);
}

/* A child opens a segment, appends and is killed: nothing of it counts, and only `clean` removes it. */
static void killed_writers_leave_no_data(void **state) {
    char dir[1024];
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct sg_segment_writer *w = NULL;
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(1, &room);
        struct sg_err e = {0};
        char ok = sg_segment_open(*state, &(struct sg_segment_head){TEST_RUN, 2, "tonight", NULL}, &w, &e) ==
                      SG_OK &&
                  sg_segment_append(w, 1, test_cell_fingerprint(1), &c, &e) == SG_OK;
        if (write(ready[1], &ok, 1) != 1) _exit(1);
        for (;;) pause();
    }
    char ok = 0;
    assert_int_equal(read(ready[0], &ok, 1), 1);
    assert_true(ok);
    uint8_t done[9];
    int64_t n = -1;
    path_to(dir, "%s/segments", (char *)*state);
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 9, done, &n, NULL, SG_CLEAN_SILENT, err));
    assert_int_equal(n, 0);
    assert_int_equal(count_names(dir, ".open", NULL), 1); /* its writer lives */
    kill(child, SIGKILL);
    /* Not yet waited for: a zombie is dead all the same. */
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 9, done, &n, NULL, SG_CLEAN_NONE, err));
    assert_int_equal(n, 0);
    assert_int_equal(count_names(dir, ".open", NULL), 1); /* not asked to clean */
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 9, done, &n, NULL, SG_CLEAN_SILENT, err));
    assert_int_equal(count_names(dir, ".open", NULL), 0);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

static void writers_elsewhere_are_judged_by_age(void **state) {
    char dir[1024], fresh[1024], old[1024];
    uint8_t done[9];
    int64_t n;
    path_to(dir, "%s/segments", (char *)*state);
    assert_int_equal(mkdir(dir, 0777), 0);
    path_to(fresh, "%s/00001-00000000000000aa-12-34-000000000000000001.seg.open", dir);
    path_to(old, "%s/00001-00000000000000bb-12-34-000000000000000001.seg.open", dir);
    write_file(fresh, "x", 1);
    write_file(old, "x", 1);
    const struct utimbuf past = {time(NULL) - SG_STALE_SECONDS - 60, time(NULL) - SG_STALE_SECONDS - 60};
    assert_int_equal(utime(old, &past), 0);
    /* While others are at work (an array over hosts), silence is no proof: a segment may stay open for long.
     */
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 9, done, &n, NULL, SG_CLEAN_DEAD, err));
    assert_int_equal(count_names(dir, ".open", NULL), 2);
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, 9, done, &n, NULL, SG_CLEAN_SILENT, err));
    assert_int_equal(access(fresh, F_OK), 0);
    assert_int_not_equal(access(old, F_OK), 0);
    assert_int_equal(count_names(dir, ".open", NULL), 1);
}

/* More segments than a process may have mappings (vm.max_map_count, usually 65,530): 64 ranks make as many in
 * a day. A few files under many names stand for them; a file may have 65,000 names at most. */
static void more_segments_than_mappings(void **state) {
    enum { NAMES = 66000, FILES = 4 };
    char dir[1024], from[1024], to[1024];
    uint8_t done[FILES] = {0};
    int64_t n = 0;
    for (int64_t i = 0; i < FILES; i++) {
        struct sg_segment_writer *w = NULL;
        struct test_kv_budget room;
        const struct sg_cell c = test_cell(i, &room);
        CHECK_OK(sg_segment_open(*state, &(struct sg_segment_head){TEST_RUN, (int32_t)i, "tonight", NULL}, &w,
                                 err));
        CHECK_OK(sg_segment_append(w, i, test_cell_fingerprint(i), &c, err));
        CHECK_OK(sg_segment_close(w, err));
    }
    path_to(dir, "%s/segments", (char *)*state);
    char *base[FILES] = {NULL};
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        path_to(from, "%s/%s", dir, e->d_name);
        base[n++] = strdup(from);
    }
    closedir(d);
    assert_int_equal(n, FILES);
    for (int i = FILES; i < NAMES; i++) {
        path_to(to, "%s/10000-%06d.seg", dir, i);
        assert_int_equal(link(base[i % FILES], to), 0);
    }
    CHECK_OK(sg_segments_scan(*state, TEST_RUN, FILES, done, &n, NULL, SG_CLEAN_NONE, err));
    assert_int_equal(n, FILES);
    /* damage behind the last mapping is found as anywhere */
    path_to(to, "%s/99999-damaged.seg", dir);
    write_file(to, "x", 1);
    CHECK_FAILS(SG_E_CORRUPT, "99999-damaged.seg",
                sg_segments_scan(*state, TEST_RUN, FILES, done, &n, NULL, SG_CLEAN_NONE, err));
    for (int i = 0; i < FILES; i++) free(base[i]);
}

/* Appends until a write fails; every step after that must fail too and nothing may stay. */
static void fill_until_refused(const char *dir) {
    struct sg_segment_writer *w = NULL;
    struct sg_err e = {0};
    static char text[1 << 18];
    memset(text, 'a', sizeof text);
    enum sg_status st = sg_segment_open(dir, &(struct sg_segment_head){TEST_RUN, 0, "tonight", NULL}, &w, &e);
    for (int64_t i = 0; st == SG_OK && i < 64; i++) {
        struct test_kv_budget room;
        struct sg_cell c = test_cell(1, &room);
        c.samples[0].text = text;
        c.samples[0].text_bytes = sizeof text;
        st = sg_segment_append(w, i, test_cell_fingerprint(i), &c, &e);
    }
    assert_int_equal(st, SG_E_IO);
    assert_non_null(strstr(e.text, "cannot write"));
    if (w) CHECK_FAILS(SG_E_IO, "earlier write failed", sg_segment_close(w, err));
    char sub[1024];
    path_to(sub, "%s/segments", dir);
    assert_int_equal(count_names(sub, ".seg", NULL) + count_names(sub, ".open", NULL), 0);
}

static void file_size_limit(void **state) {
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 3 << 20;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    fill_until_refused(*state);
    /* Refused at close: all of it was still pending. */
    low.rlim_cur = 200;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    const int64_t cells[] = {1, 2, 3};
    CHECK_FAILS(SG_E_IO, "cannot write", write_cells(*state, 0, cells, 3, err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    char sub[1024];
    path_to(sub, "%s/segments", (char *)*state);
    assert_int_equal(count_names(sub, ".seg", NULL) + count_names(sub, ".open", NULL), 0);
}

static void directory_that_is_a_file(void **state) {
    char path[1024];
    struct sg_segment_writer *w = NULL;
    path_to(path, "%s/segments", (char *)*state);
    write_file(path, "x", 1);
    CHECK_FAILS(SG_E_IO, "segments",
                sg_segment_open(*state, &(struct sg_segment_head){TEST_RUN, 0, "tonight", NULL}, &w, err));
    CHECK_FAILS(SG_E_IO, "segments", scan(*state, 4, err));
    assert_null(w);
}

static void one_writer_many_segments(void **state) {
    /* Names of one process must not meet, nor their order differ from the order of writing. */
    struct seen seen = {0};
    for (int64_t i = 0; i < 20; i++) CHECK_OK(write_cells(*state, 3, &i, 1, err));
    CHECK_OK(sg_segments_read(*state, TEST_RUN, 20, see, &seen, err));
    assert_int_equal(seen.n, 20);
    for (int64_t i = 0; i < 20; i++) assert_int_equal(seen.cell[i], i);
}

static enum sg_status stop(void *ctx, int64_t index, struct sg_digest fp, const struct sg_cell *cell,
                           struct sg_err *err) {
    (void)ctx, (void)index, (void)fp, (void)cell;
    return sg_fail(err, SG_E_STOPPED, "enough");
}
static void readers_errors_pass_through(void **state) {
    const int64_t cells[] = {1, 2};
    CHECK_OK(write_cells(*state, 0, cells, 2, err));
    CHECK_FAILS(SG_E_STOPPED, "enough", sg_segments_read(*state, TEST_RUN, 9, stop, NULL, err));
}

/* --tmpfs: a real full disk; needs the right to mount, so it is a test of its own that may say SKIP. */
static int on_tmpfs(void) {
    char *dir = fresh_dir();
    if (mount("tmpfs", dir, "tmpfs", 0, "size=2m") != 0) {
        perror("SKIP: cannot mount a tmpfs");
        remove_tree(dir);
        free(dir);
        return 77;
    }
    fill_until_refused(dir);
    umount(dir);
    rmdir(dir);
    free(dir);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--tmpfs")) return on_tmpfs();
    const struct CMUnitTest tests[] = {
        IN_DIR(what_goes_in_comes_out),       IN_DIR(nothing_yet),
        IN_DIR(a_cell_twice_counts_once),     IN_DIR(every_truncation_is_seen),
        IN_DIR(every_flipped_bit_is_seen),    IN_DIR(damage_behind_checksums),
        IN_DIR(random_bytes_are_no_segment),  IN_DIR(foreign_segments_are_refused),
        IN_DIR(other_versions_are_named),     IN_DIR(heads_come_back),
        IN_DIR(killed_writers_leave_no_data), IN_DIR(writers_elsewhere_are_judged_by_age),
        IN_DIR(more_segments_than_mappings),  IN_DIR(file_size_limit),
        IN_DIR(directory_that_is_a_file),     IN_DIR(one_writer_many_segments),
        IN_DIR(readers_errors_pass_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

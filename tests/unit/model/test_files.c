/* Protects: the pieces that a checkpoint's files are hashed in (sizes above 2 GiB included); a file that changes
 * or shrinks meanwhile is told by name, and a stop is heard. */
#include "model/digest.h"
#include "support/tmpdir.h"
#include "unit/model/tiny.h"

#include <fcntl.h>
#include <sys/stat.h>

static char dir[64];

static int set_up(void **state) {
    tiny_dir(dir);
    return tmpdir_make(state);
}
static int tear_down(void **state) {
    tiny_remove(dir);
    return tmpdir_remove(state);
}

static void pieces_tile_files_of_any_size(void **state) {
    (void)state;
    const int64_t G = (int64_t)1 << 30;
    struct sg_model_file list[] = {{.name = "a", .size = 7},
                                   {.name = "empty", .size = 0},
                                   {.name = "large", .size = 5 * G + 1},
                                   {.name = "even", .size = 2 * (int64_t)SG_MODEL_PIECE},
                                   {.name = "b", .size = SG_MODEL_PIECE + 1}};
    const struct sg_model_files f = {.files = list, .n = 5};
    int64_t at = 0, n = sg_model_pieces(&f);
    int32_t file = 0;
    assert_int_equal(n, 1 + 161 + 2 + 2);
    for (int64_t i = 0; i < n; i++) {
        const struct sg_model_piece p = sg_model_piece_at(&f, i);
        while (at == list[file].size) file++, at = 0;
        assert_int_equal(p.file, file);
        assert_true(p.at == at);
        assert_true(p.bytes > 0 && p.bytes <= SG_MODEL_PIECE);
        at += (int64_t)p.bytes;
        assert_true(at <= list[file].size);
    }
    assert_int_equal(file, 4);
    assert_true(at == list[4].size);
}

static bool yes(void *ctx) {
    (void)ctx;
    return true;
}

static void what_happens_to_a_file_meanwhile_is_told(void **state) {
    (void)state;
    struct sg_model_files f = {0}, again = {0};
    struct sg_err e = {0};
    struct sg_digest d, before, after;
    struct tiny c = TINY_DEFAULTS;
    char path[128];
    tiny_checkpoint(dir, &c);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    TINY_OK(sg_model_files_list(dir, &f, err));
    TINY_OK(sg_model_files_unchanged(&f, dir, err));
    const struct sg_model_pass stopped = {.files = &f, .dir = dir, .threads = 1, .stop = yes};
    assert_int_equal(sg_model_pass(&stopped, &d, &e), SG_E_STOPPED);
    TINY_OK(sg_model_files_identity(&f, &before, err));
    const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(sg_model_files_unchanged(&f, dir, &e), SG_E_INPUT);
    assert_non_null(strstr(e.text, "model.safetensors: changed while it was read"));
    TINY_OK(sg_model_files_list(dir, &again, err));
    TINY_OK(sg_model_files_identity(&again, &after, err));
    assert_false(sg_digest_equal(before, after));
    assert_int_equal(truncate(path, f.files[f.n - 1].size - 1), 0);
    const struct sg_model_pass pass = {.files = &f, .dir = dir, .threads = 2};
    assert_int_equal(sg_model_pass(&pass, &d, &e), SG_E_INPUT);
    assert_non_null(strstr(e.text, "model.safetensors: became shorter"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sg_model_files_unchanged(&f, dir, &e), SG_E_INPUT);
    sg_model_files_free(&f);
    sg_model_files_free(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_tile_files_of_any_size),
        cmocka_unit_test_setup_teardown(what_happens_to_a_file_meanwhile_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

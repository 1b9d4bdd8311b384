/* What the store's tests share: a directory of their own, cells to write, files to damage. */
#ifndef SG_TEST_STORE_H
#define SG_TEST_STORE_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cell/cell.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#include <cmocka.h>

#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        struct sg_err check_err = {0};                                                                       \
        struct sg_err *err = &check_err;                                                                     \
        if ((call) != SG_OK) fail_msg("%s: %s", #call, check_err.text);                                      \
    } while (0)

/* The call fails with this status and its message holds `words`. */
#define CHECK_FAILS(status, words, call)                                                                     \
    do {                                                                                                     \
        struct sg_err check_err = {0};                                                                       \
        struct sg_err *err = &check_err;                                                                     \
        enum sg_status got = (call);                                                                         \
        if (got != (status) || !strstr(check_err.text, words))                                               \
            fail_msg("%s: got %s \"%s\", want %s \"%s\"", #call, sg_status_name(got), check_err.text,        \
                     sg_status_name(status), words);                                                         \
    } while (0)

/* A fresh directory under TMPDIR; remove_tree it at the end. */
static inline char *fresh_dir(void) {
    const char *base = getenv("TMPDIR");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/sg-store-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) fail_msg("mkdtemp failed");
    char *out = malloc(strlen(path) + 1);
    assert_non_null(out);
    return memcpy(out, path, strlen(path) + 1);
}

/* printf into a path that must fit. */
static inline void path_to(char out[1024], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void path_to(char out[1024], const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(out, 1024, fmt, ap);
    va_end(ap);
    assert_true(n > 0 && n < 1024);
}

static inline void remove_tree(const char *path) {
    DIR *d = opendir(path);
    if (d) {
        for (const struct dirent *e; (e = readdir(d));) {
            if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
            char child[1024];
            path_to(child, "%s/%s", path, e->d_name);
            remove_tree(child);
        }
        closedir(d);
    }
    remove(path);
}

/* A test whose *state is the path of a directory of its own. */
static inline int dir_setup(void **state) {
    *state = fresh_dir();
    return 0;
}
static inline int dir_teardown(void **state) {
    remove_tree(*state);
    free(*state);
    return 0;
}
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, dir_setup, dir_teardown)

/* How many names in dir end in `suffix`; the last one's path goes to found[1024] (may be NULL). */
static inline int count_names(const char *dir, const char *suffix, char *found) {
    DIR *d = opendir(dir);
    int n = 0;
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));) {
        const size_t have = strlen(e->d_name), want = strlen(suffix);
        if (have <= want || strcmp(e->d_name + have - want, suffix) != 0) continue;
        n++;
        if (found) path_to(found, "%s/%s", dir, e->d_name);
    }
    closedir(d);
    return n;
}

static inline void write_file(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline unsigned char *read_whole(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *b = malloc(*n + 1);
    assert_non_null(b);
    assert_int_equal(fread(b, 1, *n, f), *n);
    fclose(f);
    return b;
}

static const struct sg_digest TEST_RUN = {0x0123456789abcdefu, 0xfedcba9876543210u};

enum { TEST_MODELS = 3, TEST_SAMPLES = 4 };

/* Cell `index` of a made-up grid, the same every time: four samples, one unparsed, texts with newlines,
 * NULs and none. Every seventh cell has failed. The arrays belong to *room. */
struct test_kv_budget {
    struct sg_cell_sample samples[TEST_SAMPLES];
    char text[TEST_SAMPLES][96];
};
static inline struct sg_cell test_cell(int64_t index, struct test_kv_budget *room) {
    struct sg_cell c = {.query = (int32_t)(index / TEST_MODELS),
                        .model = (int32_t)(index % TEST_MODELS),
                        .valid = true,
                        .p_correct = 0.25 + 0.01 * (double)index,
                        .votes_yes = 2,
                        .votes_no = 1,
                        .votes_unparsed = 1,
                        .length_mean = 100.5 + (double)index,
                        .length_sd = 3.25,
                        .cost = 0.001 * (double)index,
                        .prompt_tokens = (int32_t)(50 + index),
                        .output_tokens = 4000000000 + index,
                        .estimator_prompt_tokens = 800,
                        .n_samples = TEST_SAMPLES,
                        .samples = room->samples};
    for (int i = 0; i < TEST_SAMPLES; i++) {
        struct sg_cell_sample *s = &room->samples[i];
        const int n = snprintf(room->text[i], sizeof room->text[i], "Analysis %lld/%d:\n\xc3\xa9t\xc3\xa9",
                               (long long)index, i);
        *s = (struct sg_cell_sample){.correct = (int8_t)(i == 3   ? -1
                                                         : i == 0 ? 0
                                                                  : 1),
                                     .finish = (uint8_t)(1 + i % 3),
                                     .tokens = 100 + i,
                                     .length = i == 3 ? -1 : 90 + index + i,
                                     .p_yes = i == 3 ? NAN : 0.25f * (float)i,
                                     .text = room->text[i],
                                     .text_bytes = n};
        if (i == 1) room->text[i][3] = 0; /* a NUL inside a text is a byte like any other */
        if (i == 2) s->text_bytes = 0;    /* empty is not none */
        if (i == 3 && index % 2) s->text = NULL, s->text_bytes = 0;
    }
    if (index % 7 == 6) {
        c.valid = false;
        c.status = SG_E_INPUT;
        c.reason = "prompt of 9000 tokens exceeds the context of 8192";
        c.n_samples = 0;
        c.samples = NULL;
        c.p_correct = c.length_mean = c.length_sd = c.cost = NAN;
        c.votes_yes = c.votes_no = c.votes_unparsed = 0;
        c.output_tokens = 0;
    }
    return c;
}
static inline struct sg_digest test_cell_fingerprint(int64_t index) {
    return sg_digest_bytes(&index, sizeof index);
}

#endif

/* Guards: what a record relies on. Two steps of one bucket have every array at the same place and the same
 * shapes, whatever their groups, pages and lengths; a bucket covers its step and stays within the limits; and
 * the table of records tells buckets apart by each of their fields and drops the one that was used longest
 * ago. */
#include "base/rng.h"
#include "engine/graph_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { GROUPS = 80, SAMPLES = 6, MAX_NEW = 700, CONTEXT = 2000, PAGES = 9000, ROWS = 200 };

struct world {
    struct sg_step step;
    struct sg_group *seqs[GROUPS];
    struct sg_row decode[ROWS];
    int32_t pages;
};

/* A step of decode rows: n_groups groups of up to `most` rows, prompts and answers of up to these lengths. */
static void make_step(struct world *w, uint64_t seed, int32_t n_groups, int32_t most, int32_t prompt,
                      int32_t answer) {
    static const int32_t tokens[CONTEXT];
    static const struct sg_stream streams[SAMPLES];
    struct sg_err err = {0};
    uint64_t at = 0;
    memset(w, 0, sizeof *w);
    w->step.decode = w->decode;
    for (int32_t g = 0; g < n_groups && w->step.n_decode < ROWS; g++) {
        const int32_t n = 1 + (int32_t)(sg_random64(seed, at++) % (uint64_t)prompt);
        const int32_t rows = 1 + (int32_t)(sg_random64(seed, at++) % (uint64_t)most);
        assert_int_equal(
            sg_group_new((uint64_t)g, tokens, n, streams, NULL, rows, MAX_NEW, &w->seqs[g], &err), SG_OK);
        struct sg_group *s = w->seqs[g];
        for (int32_t i = 0; i < sg_pages_for(n); i++) s->prompt_pages[i] = w->pages++ % PAGES;
        w->step.n_groups++;
        for (int32_t k = 0; k < rows && w->step.n_decode < ROWS; k++) {
            struct sg_group_sample *a = &s->samples[k];
            a->state = SG_SAMPLE_LIVE;
            a->n_drawn = 1 + (int32_t)(sg_random64(seed, at++) % (uint64_t)answer);
            a->n_tokens = a->n_drawn - k % 2;
            a->draw_at = k;
            for (int32_t i = 0; i < sg_pages_for(a->n_drawn); i++) a->pages[i] = w->pages++ % PAGES;
            w->decode[w->step.n_decode++] = (struct sg_row){s, k};
        }
    }
    w->step.n_rows = w->step.n_decode;
    assert_true(w->pages <= PAGES);
}

static void drop_step(struct world *w) {
    for (int32_t g = 0; g < GROUPS; g++) sg_group_free(w->seqs[g]);
}

static const struct sg_batch_limits lim = {.max_rows = 256,
                                           .max_decode_rows = ROWS,
                                           .max_groups = ROWS,
                                           .max_draws = ROWS,
                                           .max_context = CONTEXT,
                                           .pages = PAGES,
                                           .logit_rows = 48};

static void covers(const struct sg_bucket *b, const struct sg_step *step) {
    assert_true(b->rows >= step->n_decode && b->rows <= lim.max_decode_rows);
    assert_true(b->rows - step->n_decode < SG_PAD_ROWS);
    assert_true(b->groups >= step->n_groups && b->groups <= b->rows);
    for (int32_t k = 0, in_group = 0; k < step->n_decode; k++) {
        const struct sg_row *r = &step->decode[k];
        in_group = k > 0 && step->decode[k - 1].group == r->group ? in_group + 1 : 1;
        assert_true(in_group <= b->group_rows);
        assert_true(r->group->n_prompt <= b->prompt_len && b->prompt_len <= CONTEXT);
        assert_true(r->group->samples[r->sample].n_drawn <= b->suffix_len && b->suffix_len <= CONTEXT);
    }
}

/* Everything that launchers are given: addresses and shapes. */
struct image {
    struct sg_batch batch;
    const void *rest[5];
    int32_t slices[8];
};
static struct image image_of(const struct sg_batcher *b) {
    struct image i;
    memset(&i, 0, sizeof i);
    i.batch = b->batch;
    const void *const rest[] = {b->fed, b->from, b->draw_row, b->draw_u, b->draw_setting};
    memcpy(i.rest, rest, sizeof rest);
    for (int32_t k = 0; k * lim.logit_rows < b->batch.n_out + lim.logit_rows; k++)
        i.slices[k] = b->slice_begin[k];
    return i;
}

static void test_places(void **state) {
    (void)state;
    static struct world w;
    struct sg_dev *dev = NULL;
    struct sg_batcher b;
    struct sg_err err = {0};
    struct sg_row draws[ROWS];
    struct image first[64];
    struct sg_bucket seen[64];
    int32_t n = 0, again = 0;
    const struct sg_dev_options opt = {.backend = "ref"};
    assert_int_equal(sg_dev_open(&opt, &dev, &err), SG_OK);
    assert_int_equal(sg_batcher_init(&b, dev, &lim, &err), SG_OK);
    for (uint64_t seed = 0; seed < 600; seed++) {
        static const int32_t shapes[][4] = {
            {3, 2, 200, 60}, {7, 6, 700, 300}, {60, 6, 100, 20}, {1, 1, 1900, 90}, {30, 4, 500, 64}};
        const int32_t *s = shapes[seed % 5];
        make_step(&w, seed, s[0], s[1], s[2], s[3]);
        struct sg_bucket k;
        assert_true(sg_bucket_of(&w.step, &lim, &k));
        covers(&k, &w.step);
        assert_int_equal(sg_batcher_build(&b, &w.step, &k, draws, &err), SG_OK);
        assert_int_equal(b.batch.n, k.rows);
        assert_int_equal(b.batch.n_out, k.rows);
        assert_int_equal(b.batch.groups.n_groups, k.groups);
        assert_int_equal(b.n_draws, w.step.n_decode);
        const struct image now = image_of(&b);
        int32_t at = 0;
        while (at < n && memcmp(&seen[at], &k, sizeof k) != 0) at++;
        if (at < n) {
            again++;
            assert_memory_equal(&now, &first[at], sizeof now);
        } else if (n < 64) {
            seen[n] = k;
            first[n++] = now;
        }
        drop_step(&w);
    }
    assert_true(again > 200 && n > 5); /* the comparison is about something */
    sg_batcher_free(&b);
    sg_dev_close(dev);
}

static void test_bounds(void **state) {
    (void)state;
    static struct world w;
    struct sg_bucket k;
    make_step(&w, 1, 1, 1, 1, 1);
    assert_true(sg_bucket_of(&w.step, &lim, &k));
    assert_int_equal(k.rows, 1);
    assert_int_equal(k.groups, 1);
    assert_int_equal(k.group_rows, 1);
    assert_int_equal(k.prompt_len, SG_SPLIT_TOKENS);
    assert_int_equal(k.suffix_len, SG_SPLIT_TOKENS);
    w.step.n_chunks = 1;
    assert_false(sg_bucket_of(&w.step, &lim, &k)); /* with a chunk of a prompt */
    w.step.n_chunks = w.step.n_decode = 0;
    assert_false(sg_bucket_of(&w.step, &lim, &k));
    drop_step(&w);
    static const int32_t rows[][2] = {{2, 2},   {3, 4},   {5, 8},    {9, 16},    {17, 24},
                                      {33, 48}, {49, 64}, {65, 128}, {129, 192}, {193, 200}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        make_step(&w, 2, 1, 1, 100, 10);
        for (int32_t r = 1; r < rows[i][0]; r++) w.decode[r] = w.decode[0];
        w.step.n_decode = w.step.n_rows = rows[i][0];
        assert_true(sg_bucket_of(&w.step, &lim, &k));
        assert_int_equal(k.rows, rows[i][1]);
        drop_step(&w);
    }
}

static void test_table(void **state) {
    (void)state;
    static struct sg_graph_cache t;
    bool fresh;
    const struct sg_bucket one = {
        .rows = 8, .groups = 4, .group_rows = 2, .prompt_len = 256, .suffix_len = 512};
    struct sg_bucket other[5] = {one, one, one, one, one};
    other[0].rows++, other[1].groups++, other[2].group_rows++, other[3].prompt_len++, other[4].suffix_len++;
    struct sg_graph *r = sg_graph_cache_find(&t, NULL, &one, &fresh);
    assert_true(fresh && !r->run);
    for (int i = 0; i < 5; i++) {
        assert_ptr_not_equal(sg_graph_cache_find(&t, NULL, &other[i], &fresh), r);
        assert_true(fresh);
    }
    assert_ptr_equal(sg_graph_cache_find(&t, NULL, &one, &fresh), r);
    assert_false(fresh);
    struct sg_bucket many = one;
    for (int i = 0; i < SG_GRAPH_CACHE - 1; i++) { /* as many as fit beside the one just used */
        many.rows = 100 + i;
        sg_graph_cache_find(&t, NULL, &many, &fresh);
        assert_true(fresh);
    }
    assert_ptr_equal(sg_graph_cache_find(&t, NULL, &one, &fresh), r);
    assert_false(fresh);
    many.rows = 100; /* the oldest now: the next that comes takes its place */
    struct sg_bucket last = one;
    last.rows = 1000;
    sg_graph_cache_find(&t, NULL, &last, &fresh);
    assert_true(fresh);
    sg_graph_cache_find(&t, NULL, &many, &fresh);
    assert_true(fresh);
    sg_graph_cache_free(&t, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places), cmocka_unit_test(test_bounds),
                                       cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

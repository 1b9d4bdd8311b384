/* sg_op_attn_decode: groups that share a prompt, prompts longer than a split, suffixes of their own; and
 * that a row's bits do not change when others join or leave its group, when groups are added, with threads
 * (among them more threads than tiles: prompts are then cut along the keys) or with the instruction set. */
#include "kt_attn.h"

enum { MAX_GROUPS = 4, MAX_ROWS = 64 };

struct batch {
    int32_t groups, rows, q_heads;
    int32_t row_begin[MAX_GROUPS + 1];
    const struct kt_seq *prompt[MAX_GROUPS], *suffix[MAX_ROWS];
    int32_t bound_rows, bound_prompt, bound_suffix; /* of the launch; 0: none */
};

static void run(struct kt_pool *p, const struct batch *b, float scale, const float *q, float *out) {
    int32_t prompt_len[MAX_GROUPS], prompt_begin[MAX_GROUPS + 1] = {0}, suffix_len[MAX_ROWS],
                                                              suffix_begin[MAX_ROWS + 1] = {0};
    int32_t prompt_pages[1024], suffix_pages[1024];
    for (int32_t g = 0; g < b->groups; g++) {
        prompt_len[g] = 0;
        prompt_begin[g + 1] = prompt_begin[g];
        if (!b->prompt[g]) continue; /* a group without rows */
        prompt_len[g] = b->prompt[g]->len;
        prompt_begin[g + 1] = prompt_begin[g] + b->prompt[g]->n_pages;
        memcpy(prompt_pages + prompt_begin[g], b->prompt[g]->pages,
               sizeof(int32_t) * (size_t)b->prompt[g]->n_pages);
    }
    for (int32_t r = 0; r < b->rows; r++) {
        suffix_len[r] = b->suffix[r]->len;
        suffix_begin[r + 1] = suffix_begin[r] + b->suffix[r]->n_pages;
        memcpy(suffix_pages + suffix_begin[r], b->suffix[r]->pages,
               sizeof(int32_t) * (size_t)b->suffix[r]->n_pages);
    }
    struct sg_dev *dev = p->dev;
    const int64_t size = (int64_t)b->rows * b->q_heads * p->dim;
    void *d_q = kt_act(dev, q, size), *d_out = kt_act(dev, NULL, size);
    int32_t *ints[] = {kt_i32(dev, b->row_begin, b->groups + 1),
                       kt_i32(dev, prompt_len, b->groups),
                       kt_i32(dev, prompt_begin, b->groups + 1),
                       kt_i32(dev, prompt_pages, prompt_begin[b->groups]),
                       kt_i32(dev, suffix_len, b->rows),
                       kt_i32(dev, suffix_begin, b->rows + 1),
                       kt_i32(dev, suffix_pages, suffix_begin[b->rows])};
    struct sg_decode_args a = {.q = d_q, .out = d_out, .kv = p->kv, .layer = p->layer, .q_heads = b->q_heads};
    a.kv_heads = p->kv_heads, a.head_dim = p->dim, a.scale = scale, a.n_groups = b->groups,
    a.n_rows = b->rows;
    a.row_begin = ints[0], a.prompt_len = ints[1], a.prompt_page_begin = ints[2], a.prompt_pages = ints[3];
    a.suffix_len = ints[4], a.suffix_page_begin = ints[5], a.suffix_pages = ints[6];
    a.host_row_begin = b->row_begin, a.host_prompt_len = prompt_len, a.host_prompt_page_begin = prompt_begin;
    a.host_suffix_len = suffix_len, a.host_suffix_page_begin = suffix_begin;
    a.bound_group_rows = b->bound_rows, a.bound_prompt_len = b->bound_prompt;
    a.bound_suffix_len = b->bound_suffix;
    KT_OK(sg_op_attn_decode(dev, &a, &err));
    kt_act_get(dev, d_out, size, out);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) sg_dev_free(dev, ints[i]);
    sg_dev_free(dev, d_q), sg_dev_free(dev, d_out);
}

/* Sequences of a test: prompts of prompt_len[g], and for each of its rows[g] rows a suffix, suffix_len[row]
 * or, where that is NULL, one of a few lengths. */
struct world {
    struct kt_pool pool;
    struct kt_seq prompt[MAX_GROUPS], suffix[MAX_ROWS];
    struct batch batch;
};

static struct world *world_new(struct sg_dev *dev, int32_t kv_heads, int32_t ratio, int32_t dim,
                               const int32_t *prompt_len, const int32_t *rows, const int32_t *suffix_len,
                               int32_t groups) {
    struct world *w = kt_malloc(sizeof *w);
    memset(w, 0, sizeof *w);
    w->pool = kt_pool_new(dev, suffix_len ? 211 : 131, kv_heads, dim);
    w->batch.groups = groups;
    w->batch.q_heads = kv_heads * ratio;
    for (int32_t g = 0; g < groups; g++) {
        w->prompt[g] = kt_seq_new(&w->pool, prompt_len[g], (uint64_t)(100 + g));
        w->batch.prompt[g] = &w->prompt[g];
        for (int32_t i = 0; i < rows[g]; i++) {
            const int32_t r = w->batch.rows++;
            static const int32_t lens[] = {1, 16, 19, 5, 17, 40};
            const int32_t len = suffix_len ? suffix_len[r] : r == 3 ? 70 : lens[r % 6];
            w->suffix[r] = kt_seq_new(&w->pool, len, (uint64_t)(200 + r));
            w->batch.suffix[r] = &w->suffix[r];
        }
        w->batch.row_begin[g + 1] = w->batch.rows;
    }
    return w;
}

static void world_free(struct world *w) {
    for (int32_t g = 0; g < w->batch.groups; g++) kt_seq_free(&w->prompt[g]);
    for (int32_t r = 0; r < w->batch.rows; r++) kt_seq_free(&w->suffix[r]);
    kt_pool_free(&w->pool);
    free(w);
}

/* What was counted: a prompt's keys and values once for all its rows, in the cache's type. */
static void check_counts(struct sg_dev *dev, const struct batch *b, int32_t kv_heads, int32_t dim) {
    struct sg_stage_stats stats[SG_STAGE_COUNT];
    sg_dev_stats(dev, stats);
    const struct sg_dev_info *info = sg_dev_info(dev);
    double keys = 0;
    for (int32_t g = 0; g < b->groups; g++)
        if (b->row_begin[g] < b->row_begin[g + 1]) keys += b->prompt[g]->len;
    for (int32_t r = 0; r < b->rows; r++) keys += b->suffix[r]->len;
    const double act = (double)sg_dtype_bytes(info->act), kv = (double)sg_dtype_bytes(info->products);
    assert_true(stats[SG_STAGE_DECODE].bytes ==
                2.0 * b->rows * b->q_heads * dim * act + 2 * keys * kv_heads * dim * kv);
}

/* sharp: how many times further apart than usual the scores are. */
static void check_sharp(struct sg_dev *dev, int32_t kv_heads, int32_t ratio, int32_t dim,
                        const int32_t *prompt_len, const int32_t *rows, const int32_t *suffix_len,
                        int32_t groups, double sharp) {
    if (!kt_has_head_dim(dev, dim)) return;
    struct world *w = world_new(dev, kv_heads, ratio, dim, prompt_len, rows, suffix_len, groups);
    const struct batch *b = &w->batch;
    const int64_t size = (int64_t)b->rows * b->q_heads * dim;
    float *q = kt_malloc((size_t)size * sizeof *q), *out = kt_malloc((size_t)size * sizeof *out);
    double *want = kt_malloc((size_t)size * sizeof *want), *bound = kt_malloc((size_t)size * sizeof *bound);
    kt_fill(q, size, 111, 1.7f, false);
    for (int64_t i = 0; i < size; i += 499) q[i] *= 20;
    kt_round_act(dev, q, size);
    const float scale = (float)(sharp / sqrt(dim));
    sg_dev_stats_reset(dev);
    run(&w->pool, b, scale, q, out);
    check_counts(dev, b, kv_heads, dim);
    for (int32_t g = 0; g < groups; g++)
        for (int32_t r = b->row_begin[g]; r < b->row_begin[g + 1]; r++)
            for (int32_t h = 0; h < b->q_heads; h++) {
                const int64_t o = ((int64_t)r * b->q_heads + h) * dim;
                kt_attend(&w->pool, q + o, h / ratio, (double)scale, b->prompt[g], b->prompt[g]->len,
                          b->suffix[r], b->suffix[r]->len, want + o, bound + o);
            }
    char what[64];
    snprintf(what, sizeof what, "decode dim %d ratio %d", dim, ratio);
    kt_close(what, out, want, bound, size);
    free(q), free(out), free(want), free(bound);
    world_free(w);
}

static void check(struct sg_dev *dev, int32_t kv_heads, int32_t ratio, int32_t dim, const int32_t *prompt_len,
                  const int32_t *rows, const int32_t *suffix_len, int32_t groups) {
    check_sharp(dev, kv_heads, ratio, dim, prompt_len, rows, suffix_len, groups, 1);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const int32_t one[] = {1}, prompts[] = {99, 19, 600, 256}, rows[] = {8, 1, 3, 5},
                         many[] = {19, 8, 3, 1}, edges[] = {17, 16, 11};
    check(dev, 1, 1, 8, one, one, NULL, 1);
    check(dev, 2, 2, 64, prompts, rows, NULL, 4);
    check(dev, 1, 3, 24, prompts, many, NULL, 4);
    check(dev, 2, 7, 40, prompts, rows, NULL, 3);
    check(dev, 1, 8, 128, prompts, many, NULL, 3);
    check(dev, 2, 1, 256, prompts, rows, NULL, 2);
    check(dev, 1, 4, 16, prompts, many, NULL, 4);
    check(dev, 1, 1, 16, prompts + 1, edges, NULL,
          1); /* one more than a tile of 16 matrix rows, and than 32 */
    check(dev, 1, 3, 16, prompts + 1, edges + 2, NULL, 1);
    sg_dev_close(dev);
}

/* Answers that are cut along their keys as prompts are: every cut finds its own pages and its own place among
 * the partial results, of the prompt's too. Lengths at the edges of a split, of SG_SPLIT_TOKENS and of twice
 * that. */
static void test_long_suffixes(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const int32_t prompts[] = {5, 513}, rows[] = {2, 2}, suffix[] = {1090, 512, 1, 513};
    check(dev, 1, 3, 24, prompts, rows, suffix, 2);
    check(dev, 2, 5, 128, prompts, rows, suffix, 2);
    sg_dev_close(dev);
}

/* Scores hundreds apart: whoever merges parts without the largest score of all of them overflows. */
static void test_far_apart(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const int32_t prompts[] = {600, 99}, rows[] = {3, 8};
    check_sharp(dev, 1, 3, 16, prompts, rows, NULL, 2, 200);
    check_sharp(dev, 2, 1, 128, prompts, rows, NULL, 2, 200);
    sg_dev_close(dev);
}

/* Every subset of a group and every set of neighbours: a row keeps its bits. */
static void test_membership(void **state) {
    (void)state;
    static const int32_t prompts[] = {600, 33, 90}, rows[] = {9, 2, 4};
    enum { KV = 2, RATIO = 2, DIM = 24, ROW = KV * RATIO * DIM };
    for (int threads = 1; threads <= 7; threads += 3) {
        struct sg_dev *dev = kt_open(threads);
        kt_reserve(dev, NULL);
        struct world *w = world_new(dev, KV, RATIO, DIM, prompts, rows, NULL, 3);
        float q[15 * ROW], all[15 * ROW], part_q[15 * ROW], part[15 * ROW];
        kt_fill(q, 15 * ROW, 121, 1, true);
        kt_round_act(dev, q, 15 * ROW);
        run(&w->pool, &w->batch, 0.3f, q, all);
        for (uint32_t mask = 1; mask < 1u << 15; mask = mask * 3 + 1) {
            struct batch b = {.q_heads = KV * RATIO};
            int32_t from[15];
            for (int32_t g = 0; g < 3; g++) {
                const int32_t before = b.rows;
                for (int32_t r = w->batch.row_begin[g]; r < w->batch.row_begin[g + 1]; r++)
                    if (mask >> r & 1) {
                        memcpy(part_q + b.rows * ROW, q + r * ROW, ROW * sizeof *q);
                        from[b.rows] = r;
                        b.suffix[b.rows++] = w->batch.suffix[r];
                    }
                if (b.rows == before) continue;
                b.prompt[b.groups++] = w->batch.prompt[g];
                b.row_begin[b.groups] = b.rows;
            }
            run(&w->pool, &b, 0.3f, part_q, part);
            for (int32_t r = 0; r < b.rows; r++)
                kt_same_bits("row", part + r * ROW, all + from[r] * ROW, ROW);
        }
        world_free(w);
        sg_dev_close(dev);
    }
}

/* Groups without rows, and launches made for more than there is: nothing changes. */
static void check_bounds(struct sg_dev *dev, const int32_t *suffix_len, int32_t longest) {
    static const int32_t prompts[] = {600, 33}, rows[] = {3, 2};
    enum { KV = 2, RATIO = 2, DIM = 24, ROW = KV * RATIO * DIM };
    struct world *w = world_new(dev, KV, RATIO, DIM, prompts, rows, suffix_len, 2);
    float q[5 * ROW], plain[5 * ROW], out[5 * ROW];
    kt_fill(q, 5 * ROW, 131, 1, true);
    kt_round_act(dev, q, 5 * ROW);
    run(&w->pool, &w->batch, 0.3f, q, plain);
    struct batch b = w->batch;
    b.groups = 4; /* the second and the last are empty */
    b.prompt[2] = b.prompt[1], b.prompt[1] = b.prompt[3] = NULL;
    b.row_begin[2] = b.row_begin[1], b.row_begin[3] = b.row_begin[4] = b.rows;
    run(&w->pool, &b, 0.3f, q, out);
    kt_same_bits("empty groups", out, plain, 5 * ROW);
    b.bound_rows = 16, b.bound_prompt = 1024, b.bound_suffix = longest + 186;
    run(&w->pool, &b, 0.3f, q, out);
    kt_same_bits("wide bounds", out, plain, 5 * ROW);
    b = w->batch;
    b.bound_rows = 3, b.bound_prompt = 600, b.bound_suffix = longest;
    run(&w->pool, &b, 0.3f, q, out);
    kt_same_bits("tight bounds", out, plain, 5 * ROW);
    world_free(w);
}

static void test_bounds(void **state) {
    (void)state;
    static const int32_t several_splits[] = {1, 1030, 17, 513, 40};
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    check_bounds(dev, NULL, 70);
    check_bounds(dev, several_splits, 1030);
    sg_dev_close(dev);
}

static void test_isa_and_threads(void **state) {
    (void)state;
    if (!kt_is("cpu")) skip();
    static const int32_t prompts[] = {700}, rows[] = {3};
    static const int threads[] = {1, 2, 3, 5, 9};
    enum { KV = 1, RATIO = 5, DIM = 40, SIZE = 3 * KV * RATIO * DIM };
    float q[SIZE], first[SIZE], out[SIZE];
    kt_fill(q, SIZE, 122, 1, true);
    bool have = false;
    for (const char *const *isa = kt_isas(); *isa; isa++)
        for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
            struct sg_dev *dev = kt_open_as("cpu", *isa, threads[i]);
            kt_reserve(dev, NULL);
            struct world *w = world_new(dev, KV, RATIO, DIM, prompts, rows, NULL, 1);
            run(&w->pool, &w->batch, 0.3f, q, out);
            if (have) kt_same_bits(*isa, out, first, SIZE);
            memcpy(first, out, sizeof out);
            have = true;
            world_free(w);
            sg_dev_close(dev);
        }
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),    cmocka_unit_test(test_long_suffixes),
        cmocka_unit_test(test_far_apart), cmocka_unit_test(test_membership),
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_isa_and_threads),
    };
    return cmocka_run_group_tests_name("attn_decode", tests, NULL, NULL);
}

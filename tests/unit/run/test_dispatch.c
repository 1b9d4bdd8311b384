/* Protects: every cell is leased exactly once whatever the ranks' speeds, heavy cells go first, leases shrink
 * toward the end, the tail stays short. */
#include "base/rng.h"
#include "run/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static double unit(uint64_t key, uint64_t i) {
    return (double)(sg_random64(key, i) >> 11) / 9007199254740992.0;
}

/* Ranks that finish cells one by one at speeds of their own, each working on up to `slots` cells at once, in
 * virtual time. Returns the makespan over the ideal (all work spread by speed, no rank ever waiting). */
struct sim_rank {
    double speed;
    struct sg_lease *queue;
    size_t n, cap, at;
    int64_t offset; /* cells of queue[at] already begun */
    double *ends;   /* [slots] end times of running cells, < 0: free */
    int64_t *cell_weight;
};

static double simulate(uint64_t seed, int64_t n_queries, int64_t n_models, int32_t n_ranks, int slots,
                       int64_t shuffle, int64_t *max_lease_late) {
    struct sg_order o;
    struct sg_dispatch d;
    struct sg_err err = {0};
    int64_t *w = calloc((size_t)n_queries, sizeof *w), n_cells = n_queries * n_models;
    uint8_t *done = calloc((size_t)n_cells, 1), *seen = calloc((size_t)n_cells, 1);
    for (int64_t q = 0; q < n_queries; q++) w[q] = 100 + (int64_t)(unit(seed, (uint64_t)q) * 5000);
    for (int64_t c = 0; c < n_cells; c++) done[c] = unit(seed + 1, (uint64_t)c) < 0.2;
    assert_int_equal(sg_order_init(&o, n_queries, n_models, w, shuffle, &err), SG_OK);
    assert_int_equal(sg_dispatch_init(&d, &o, done, n_ranks, &err), SG_OK);
    struct sim_rank *r = calloc((size_t)n_ranks, sizeof *r);
    double total_speed = 0, total_work = 0, now = 0, last = 0;
    for (int64_t c = 0; c < n_cells; c++)
        if (!done[c]) total_work += (double)w[c / n_models];
    for (int i = 0; i < n_ranks; i++) {
        r[i].speed = 1 + 3 * unit(seed + 2, (uint64_t)i);
        total_speed += r[i].speed * slots;
        r[i].ends = calloc((size_t)slots, sizeof(double));
        r[i].cell_weight = calloc((size_t)slots, sizeof(int64_t));
        for (int k = 0; k < slots; k++) r[i].ends[k] = -1;
    }
    int64_t n_done = 0, todo = sg_dispatch_left(&d), late = 0;
    while (n_done < todo) {
        for (int i = 0; i < n_ranks; i++) {
            /* begin what is in hand */
            for (int k = 0; k < slots; k++) {
                if (r[i].ends[k] >= 0) continue;
                if (r[i].at == r[i].n) {
                    struct sg_lease l;
                    if (!sg_dispatch_next(&d, i, slots, &l)) break;
                    assert_true(l.count >= 1 && l.count <= slots);
                    if (sg_dispatch_left(&d) < n_ranks && l.count > late) late = l.count;
                    if (r[i].n == r[i].cap) {
                        r[i].cap = r[i].cap ? 2 * r[i].cap : 16;
                        r[i].queue = realloc(r[i].queue, r[i].cap * sizeof *r[i].queue);
                    }
                    r[i].queue[r[i].n++] = l;
                    r[i].offset = 0;
                }
                struct sg_lease *l = &r[i].queue[r[i].at];
                int64_t p = l->first + r[i].offset++, c = sg_order_cell(&o, p);
                if (r[i].offset == l->count) r[i].at++, r[i].offset = 0;
                assert_true(c >= 0 && c < n_cells);
                assert_false(done[c]);
                assert_int_equal(seen[c]++, 0);
                r[i].cell_weight[k] = w[c / n_models];
                r[i].ends[k] = now + (double)w[c / n_models] / r[i].speed;
            }
        }
        int bi = -1, bk = -1;
        for (int i = 0; i < n_ranks; i++)
            for (int k = 0; k < slots; k++)
                if (r[i].ends[k] >= 0 && (bi < 0 || r[i].ends[k] < r[bi].ends[bk])) bi = i, bk = k;
        assert_true(bi >= 0);
        now = r[bi].ends[bk];
        if (now > last) last = now;
        r[bi].ends[bk] = -1;
        sg_dispatch_finished(&d, bi, 1, r[bi].cell_weight[bk]);
        n_done++;
    }
    assert_int_equal(sg_dispatch_left(&d), 0);
    assert_int_equal(sg_dispatch_leased(&d), 0);
    for (int64_t c = 0; c < n_cells; c++) assert_int_equal(seen[c], done[c] ? 0 : 1);
    for (int i = 0; i < n_ranks; i++) {
        free(r[i].queue);
        free(r[i].ends);
        free(r[i].cell_weight);
    }
    free(r);
    free(w);
    free(done);
    free(seen);
    sg_dispatch_free(&d);
    sg_order_free(&o);
    if (max_lease_late) *max_lease_late = late;
    return last * total_speed / total_work;
}

static void every_cell_once(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        int32_t ranks = 1 + (int32_t)(sg_random64(seed, 0) % 7);
        int slots = 1 + (int)(sg_random64(seed, 1) % 9);
        int64_t queries = 1 + (int64_t)(sg_random64(seed, 2) % 60),
                models = 1 + (int64_t)(sg_random64(seed, 3) % 9);
        simulate(seed, queries, models, ranks, slots, seed % 3 ? -1 : (int64_t)seed, NULL);
    }
}

static void tail_is_short(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        int64_t late;
        double r = simulate(seed, 400, 10, 8, 16, -1, &late);
        if (r > 1.06) print_error("seed %d: makespan %.3f of the ideal\n", (int)seed, r);
        assert_true(r >= 1.0 && r <= 1.06);
        assert_true(late <= 2); /* with fewer cells left than ranks, nobody takes a heap */
    }
}

static void heavy_first(void **state) {
    (void)state;
    const int64_t w[5] = {3, 50, 0, 50, 7}; /* 0 counts as 1 */
    struct sg_order o;
    assert_int_equal(sg_order_init(&o, 5, 2, w, -1, NULL), SG_OK);
    const int64_t want[10] = {2, 3, 6, 7, 8, 9, 0, 1, 4, 5};
    for (int64_t p = 0; p < 10; p++) assert_int_equal(sg_order_cell(&o, p), want[p]);
    assert_int_equal(sg_order_weight(&o, 0, 10), 2 * (50 + 50 + 7 + 3 + 1));
    assert_int_equal(sg_order_weight(&o, 1, 4), 50 + 50 + 50 + 7);
    assert_int_equal(sg_order_weight(&o, 9, 1), 1);
    sg_order_free(&o);
}

static void shuffled_is_a_permutation(void **state) {
    (void)state;
    int64_t w[50] = {0};
    struct sg_order a, b;
    assert_int_equal(sg_order_init(&a, 50, 7, w, 3, NULL), SG_OK);
    assert_int_equal(sg_order_init(&b, 50, 7, w, 4, NULL), SG_OK);
    uint8_t seen[350] = {0};
    int moved = 0;
    for (int64_t p = 0; p < 350; p++) {
        seen[sg_order_cell(&a, p)]++;
        moved += sg_order_cell(&a, p) != sg_order_cell(&b, p);
    }
    for (int i = 0; i < 350; i++) assert_int_equal(seen[i], 1);
    assert_true(moved > 300);
    sg_order_free(&a);
    sg_order_free(&b);
}

static void shares(void **state) {
    (void)state;
    int64_t w[100];
    for (int i = 0; i < 100; i++) w[i] = 10;
    struct sg_order o;
    struct sg_dispatch d;
    struct sg_lease l;
    assert_int_equal(sg_order_init(&o, 100, 1, w, -1, NULL), SG_OK);
    assert_int_equal(sg_dispatch_init(&d, &o, NULL, 4, NULL), SG_OK);
    assert_false(sg_dispatch_next(&d, 0, 0, &l));
    assert_true(sg_dispatch_next(&d, 0, 1000, &l)); /* a quarter of what is left, however much it wants */
    assert_int_equal(l.count, 25);
    assert_true(sg_dispatch_next(&d, 1, 3, &l)); /* no more than it wants */
    assert_int_equal(l.count, 3);
    assert_int_equal(l.first, 25);
    assert_false(sg_dispatch_next(&d, 0, 1000, &l)); /* has 25 in hand, share is 18 */
    sg_dispatch_finished(&d, 0, 20, 200);
    assert_true(sg_dispatch_next(&d, 0, 1000, &l));
    assert_int_equal(l.first, 28);
    assert_int_equal(l.count, 13); /* 72 left, share 18, 5 in hand */
    assert_int_equal(sg_dispatch_left(&d), 72 - 13);
    sg_dispatch_free(&d);
    sg_order_free(&o);
}

static void all_done_gives_nothing(void **state) {
    (void)state;
    int64_t w[3] = {1, 2, 3};
    uint8_t done[6];
    memset(done, 1, sizeof done);
    struct sg_order o;
    struct sg_dispatch d;
    struct sg_lease l;
    assert_int_equal(sg_order_init(&o, 3, 2, w, -1, NULL), SG_OK);
    assert_int_equal(sg_dispatch_init(&d, &o, done, 2, NULL), SG_OK);
    assert_false(sg_dispatch_next(&d, 0, 5, &l));
    sg_dispatch_free(&d);
    done[4] = 0; /* the last cell alone */
    assert_int_equal(sg_dispatch_init(&d, &o, done, 2, NULL), SG_OK);
    assert_true(sg_dispatch_next(&d, 1, 5, &l));
    assert_int_equal(sg_order_cell(&o, l.first), 4);
    assert_int_equal(l.count, 1);
    assert_false(sg_dispatch_next(&d, 0, 5, &l));
    sg_dispatch_free(&d);
    sg_order_free(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_once), cmocka_unit_test(tail_is_short),
        cmocka_unit_test(heavy_first),     cmocka_unit_test(shuffled_is_a_permutation),
        cmocka_unit_test(shares),          cmocka_unit_test(all_done_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

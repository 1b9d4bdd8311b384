/* Which algorithms of a library multiply (kernels/cuda/plans.h), against a library that misbehaves in every way
 * we could think of: it splits sums where rows are few, adds the last tile in another order, has other bits at
 * one number of rows alone, refuses some numbers beforehand or only when it is called. Whatever its order of
 * preference, what is chosen gives every row the same bits for every number of rows, and is the fastest that
 * does. The results are real sums in float32, in orders that differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "kernels/cuda/plans.h"

enum { K = 96, TILE = SG__PLAN_TILE };

enum kind {
    STRAIGHT,      /* right, slow where rows are many */
    STRAIGHT_WIDE, /* the same bits, slow where rows are few */
    HALVES,        /* right in itself, other bits than STRAIGHT, the fastest of all */
    SPLITS_FEW,    /* split along k below 512 rows */
    LAST_TILE,     /* another order in the last tile above 1,024 rows */
    ONE_NUMBER,    /* other bits at 1,856 rows */
    REFUSES_4096,  /* the library's check knows */
    REFUSES_LATE,  /* it does not: the call at 192 rows fails */
    SMALL_ALONE,   /* the bits of STRAIGHT, the fastest, up to 64 rows; refused above */
    NOISE,         /* the bits of STRAIGHT in 98 % of its time */
    KINDS
};

struct library {
    enum kind kind[SG__PLAN_CANDIDATES];
    float straight[TILE], halves[TILE], reference[TILE]; /* the sums of each row; those of the reference */
    int compared, fail_at; /* the fail_at-th comparison loses the device; 0: none does */
};

/* Row `row` of m rows. */
static float result(const struct library *l, enum kind kind, int64_t row, int64_t m) {
    const bool other = kind == HALVES || (kind == SPLITS_FEW && m < 512) ||
                       (kind == LAST_TILE && m > 1024 && row >= m - TILE) ||
                       (kind == ONE_NUMBER && m == 1856);
    return other ? l->halves[row % TILE] : l->straight[row % TILE];
}
static double duration(enum kind kind, int64_t m) {
    const double all = (double)m;
    switch (kind) {
    case STRAIGHT:
        return 100 + all;
    case STRAIGHT_WIDE:
        return 1000 + 0.5 * all; /* better from 1,800 rows on */
    case NOISE:
        return 0.98 * duration(STRAIGHT, m);
    default:
        return 0.1 * all;
    }
}

static bool takes(void *ctx, int32_t c, int64_t m) {
    const enum kind kind = ((struct library *)ctx)->kind[c];
    return !(kind == REFUSES_4096 && m > 2048) && !(kind == SMALL_ALONE && m > TILE);
}
static enum sg_status refer(void *ctx, int32_t c, enum sg__plan_answer *out, struct sg_err *err) {
    struct library *l = ctx;
    (void)err;
    for (int64_t r = 0; r < TILE; r++) l->reference[r] = result(l, l->kind[c], r, TILE);
    *out = SG__PLAN_SAME;
    return SG_OK;
}
static bool same(const struct library *l, enum kind kind, int64_t m) {
    for (int64_t r = 0; r < m; r++) {
        const float y = result(l, kind, r, m);
        if (memcmp(&y, &l->reference[r % TILE], sizeof y)) return false;
    }
    return true;
}
static enum sg_status compare(void *ctx, int32_t c, int64_t m, enum sg__plan_answer *out,
                              struct sg_err *err) {
    struct library *l = ctx;
    if (++l->compared == l->fail_at) return sg_fail(err, SG_E_DEVICE, "the device is gone");
    assert_true(m >= TILE && m <= SG__PLAN_MAX_ROWS && m % TILE == 0 && takes(ctx, c, m));
    *out = l->kind[c] == REFUSES_LATE && m == 192 ? SG__PLAN_REFUSED
           : same(l, l->kind[c], m)               ? SG__PLAN_SAME
                                                  : SG__PLAN_OTHER;
    return SG_OK;
}
static enum sg_status clock_of(void *ctx, int32_t c, int64_t m, double *ns, struct sg_err *err) {
    (void)err;
    *ns = duration(((struct library *)ctx)->kind[c], m);
    return SG_OK;
}

static float number(uint64_t stream, int i) { /* in [-1, 1) */
    return (float)((double)(sg_random64(stream, (uint64_t)i) >> 11) * 0x1p-52 - 1);
}
/* One column of a product: each row added in one piece, and in two. */
static struct library make(void) {
    struct library l = {.fail_at = 0};
    int differ = 0;
    for (int r = 0; r < TILE; r++) {
        float sum = 0, half[2] = {0, 0};
        for (int i = 0; i < K; i++) {
            const float term = number(1, r * K + i) * number(2, i);
            sum += term, half[i >= K / 2] += term;
        }
        l.straight[r] = sum, l.halves[r] = half[0] + half[1];
        differ += sum != half[0] + half[1];
    }
    assert_true(differ > TILE / 2);
    return l;
}
static struct sg__plan_source source(struct library *l, int32_t n, int64_t max_rows) {
    return (struct sg__plan_source){l, "[8][96]", n, max_rows, takes, refer, compare, clock_of};
}

static const enum kind everything[] = {SPLITS_FEW, LAST_TILE,     ONE_NUMBER, REFUSES_4096, REFUSES_LATE,
                                       STRAIGHT,   STRAIGHT_WIDE, NOISE,      SMALL_ALONE,  HALVES};
enum { ALL = sizeof everything / sizeof *everything };

/* For every number of rows the library does what was chosen, and with the reference's bits. */
static void check_bits(struct library *l, const struct sg__plan *p, int64_t max_rows) {
    refer(l, p->reference, &(enum sg__plan_answer){SG__PLAN_SAME}, NULL);
    for (int64_t m = TILE; m <= max_rows; m += TILE) {
        const int32_t c = p->bucket[sg__plan_bucket(m)];
        if (c < 0 || !takes(l, c, m) || (l->kind[c] == REFUSES_LATE && m == 192) || !same(l, l->kind[c], m))
            fail_msg("%d rows: candidate %d of kind %d", (int)m, c, c < 0 ? -1 : (int)l->kind[c]);
    }
}

static void in_the_librarys_order(void **state) {
    (void)state;
    struct library l = make();
    struct sg__plan p;
    struct sg_err err = {0};
    memcpy(l.kind, everything, sizeof everything);
    const struct sg__plan_source s = source(&l, ALL, SG__PLAN_MAX_ROWS);
    assert_int_equal(sg__plan_choose(&s, &p, &err), SG_OK);
    assert_int_equal(l.kind[p.reference], STRAIGHT);
    check_bits(&l, &p, SG__PLAN_MAX_ROWS);
    /* Up to 64 rows the one that can no more; then whoever is right in the bucket and fast: SPLITS_FEW is, from
     * 512 rows on, in the bucket that begins above 512; LAST_TILE below 1,024; ONE_NUMBER but at 1,856. */
    static const enum kind may[SG__PLAN_BUCKETS][4] = {{SMALL_ALONE, LAST_TILE, ONE_NUMBER, REFUSES_LATE},
                                                       {LAST_TILE, ONE_NUMBER, REFUSES_4096, REFUSES_LATE},
                                                       {LAST_TILE, ONE_NUMBER, REFUSES_4096, LAST_TILE},
                                                       {LAST_TILE, ONE_NUMBER, REFUSES_4096, REFUSES_LATE},
                                                       {SPLITS_FEW, LAST_TILE, ONE_NUMBER, REFUSES_LATE},
                                                       {SPLITS_FEW, REFUSES_4096, REFUSES_LATE, SPLITS_FEW},
                                                       {SPLITS_FEW, ONE_NUMBER, REFUSES_LATE, SPLITS_FEW}};
    for (int32_t b = 0; b < SG__PLAN_BUCKETS; b++) {
        bool found = false;
        for (int i = 0; i < 4; i++) found |= l.kind[p.bucket[b]] == may[b][i];
        if (!found) fail_msg("bucket %d has kind %d", b, (int)l.kind[p.bucket[b]]);
    }
}

/* Some of the kinds in some order, 200 times: right whenever a right one is there, an error otherwise. */
static void in_any_order(void **state) {
    (void)state;
    struct library l = make();
    int failed = 0;
    for (uint64_t round = 0; round < 200; round++) {
        const int32_t n = 1 + (int32_t)(sg_random64(round, 99) % ALL);
        const int64_t max_rows = round % 3 ? SG__PLAN_MAX_ROWS : round % 2 ? 512 : 1088;
        bool right = false;
        for (int32_t i = 0; i < n; i++) {
            const enum kind k = l.kind[i] = (enum kind)(sg_random64(round, (uint64_t)i) % KINDS);
            right |= k == STRAIGHT || k == STRAIGHT_WIDE || k == HALVES || k == NOISE ||
                     (k == REFUSES_4096 && max_rows < 4096) || (k == LAST_TILE && max_rows < 1024) ||
                     (k == ONE_NUMBER && max_rows < 1856);
        }
        const struct sg__plan_source s = source(&l, n, max_rows);
        struct sg__plan p = {.reference = 77};
        struct sg_err err = {0};
        const enum sg_status st = sg__plan_choose(&s, &p, &err);
        assert_int_equal(st, right ? SG_OK : SG_E_DEVICE);
        failed += !right;
        if (right)
            check_bits(&l, &p, max_rows);
        else
            assert_int_equal(p.reference, 77); /* results on success only */
        for (int32_t b = 0; right && b < SG__PLAN_BUCKETS; b++)
            assert_int_equal(p.bucket[b]<0, b> sg__plan_bucket(max_rows));
    }
    assert_in_range(failed, 5, 100);
}

static void choose(struct library *l, const enum kind *kinds, int32_t n, struct sg__plan *p) {
    struct sg_err err = {0};
    memcpy(l->kind, kinds, (size_t)n * sizeof *kinds);
    const struct sg__plan_source s = source(l, n, SG__PLAN_MAX_ROWS);
    assert_int_equal(sg__plan_choose(&s, p, &err), SG_OK);
}

/* The fastest of equal bits, per bucket; the library's first choice stays where the clock cannot tell, and other
 * bits are not taken however fast they come. */
static void fastest_of_equals(void **state) {
    (void)state;
    struct library l = make();
    struct sg__plan p;
    choose(&l, (enum kind[]){STRAIGHT, STRAIGHT_WIDE, NOISE, HALVES, SMALL_ALONE}, 5, &p);
    static const int32_t expected[SG__PLAN_BUCKETS] = {4, 0, 0, 0, 0, 1, 1};
    assert_memory_equal(p.bucket, expected, sizeof expected);
    choose(&l, (enum kind[]){HALVES, STRAIGHT, STRAIGHT_WIDE, NOISE}, 4,
           &p); /* others' bits are not its own */
    for (int32_t b = 0; b < SG__PLAN_BUCKETS; b++) assert_int_equal(p.bucket[b], 0);
}

static void tells_why(void **state) {
    (void)state;
    struct library l = make();
    struct sg__plan p;
    struct sg_err err = {0};
    l.kind[0] = SPLITS_FEW, l.kind[1] = ONE_NUMBER;
    struct sg__plan_source s = source(&l, 2, SG__PLAN_MAX_ROWS);
    assert_int_equal(sg__plan_choose(&s, &p, &err), SG_E_DEVICE);
    assert_non_null(strstr(err.text, "[8][96]: of 2 algorithms none"));
    assert_non_null(strstr(err.text, "(0 refuse some, 2 differ, the first at 4096)"));
    l.kind[1] = REFUSES_4096;
    assert_int_equal(sg__plan_choose(&s, &p, &err), SG_E_DEVICE);
    assert_non_null(strstr(err.text, "(1 refuse some, 1 differ, the first at 4096)"));
    s.n = 0;
    assert_int_equal(sg__plan_choose(&s, &p, &err), SG_E_DEVICE);
    l.kind[0] = STRAIGHT, s.n = 1;
    for (int at = 1; at < 70; at += 22) { /* while it looks for a reference, and behind that */
        l.compared = 0, l.fail_at = at;
        assert_int_equal(sg__plan_choose(&s, &p, &err), SG_E_DEVICE);
        assert_string_equal(err.text, "the device is gone");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_the_librarys_order),
                                       cmocka_unit_test(in_any_order), cmocka_unit_test(fastest_of_equals),
                                       cmocka_unit_test(tells_why)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

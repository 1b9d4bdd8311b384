/* Guards: the schedule never loses or doubles a page, never exceeds the rows of a step, always moves on, and
 * ends every group with exactly the tokens it was given, through restarts and waves; driven without a device
 * for a million steps over random sizes, half of the worlds with a step ahead of the tokens that are known:
 * there nobody is sent back while draws are unknown, and a sample has at most one row too many; and every step is
 * shared out to two halves that are the step. */
#include "base/rng.h"
#include "engine/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A deterministic answer: length and tokens depend on the sample's key alone. */
static int32_t answer_length(uint64_t key, int32_t max_new) {
    return 1 + (int32_t)(sg_random64(key, 1000000) % (uint64_t)max_new);
}

static int32_t token_at(uint64_t key, int32_t i) {
    return (int32_t)(sg_random64(key, (uint64_t)i) & 0xFFFF);
}

struct flight { /* a step on its way: the draws of it, group NULL when the group has ended */
    struct sg_row draws[512];
    int32_t n;
    bool up;
};
struct world {
    struct sg_sched s;
    struct sg_kv_pool pool;
    struct flight inflight[2];
    int newest;
    bool ahead;
    int64_t steps, groups_done, restarts, waves, wasted, collects, halved;
};

/* Every page is free once or counted by its holders, nobody else's. */
static void check_pages(struct world *w) {
    int32_t *held = calloc((size_t)w->pool.pages, sizeof *held);
    int32_t used = 0, live = 0, open = 0;
    for (const struct sg_group *q = w->s.running.head; q; q = q->next) {
        for (int32_t i = 0; i < q->n_prompt_pages; i++) held[q->prompt_pages[i]]++;
        for (int32_t k = 0; k < q->n_samples; k++) {
            const struct sg_group_sample *a = &q->samples[k];
            for (int32_t i = 0; i < a->n_pages; i++) held[a->pages[i]]++;
            live += a->state == SG_SAMPLE_LIVE;
            open += a->state != SG_SAMPLE_DONE;
            if (a->state != SG_SAMPLE_LIVE) assert_int_equal(a->n_pages, 0);
        }
    }
    for (const struct sg_group *q = w->s.queue.head; q; q = q->next) assert_int_equal(q->n_prompt_pages, 0);
    for (int32_t i = 0; i < w->pool.pages; i++) {
        assert_int_equal(held[i], w->pool.out[i]);
        assert_true(held[i] <= 1); /* nothing is shared between groups yet */
        used += held[i] > 0;
    }
    assert_int_equal(used + w->pool.n_free, w->pool.pages);
    assert_int_equal(live, w->s.n_live);
    assert_int_equal(open, w->s.n_open);
    free(held);
}

static void finish(struct world *w, struct sg_group *group) {
    for (int32_t k = 0; k < group->n_samples; k++) {
        const struct sg_group_sample *a = &group->samples[k];
        assert_int_equal(a->n_tokens, answer_length(a->stream.key, w->s.lim.max_new_tokens));
        for (int32_t i = 0; i < a->n_tokens; i++) assert_int_equal(a->tokens[i], token_at(a->stream.key, i));
    }
    w->groups_done++;
    sg_group_free(group);
}

/* Draws in flight of a group that is freed now. */
static void forget(struct world *w, const struct sg_group *group) {
    for (int i = 0; i < 2; i++)
        for (int32_t k = 0; w->inflight[i].up && k < w->inflight[i].n; k++)
            if (w->inflight[i].draws[k].group == group) w->inflight[i].draws[k].group = NULL;
}

static void give(struct world *w, struct sg_group *group, int32_t k) {
    struct sg_group_sample *a = &group->samples[k];
    assert_true(a->n_drawn - a->n_tokens >= 1 && a->n_drawn - a->n_tokens <= 1 + w->ahead);
    sg_sched_token(&w->s, group, k, token_at(a->stream.key, a->n_tokens), 0.5f);
    if (a->n_tokens == answer_length(a->stream.key, w->s.lim.max_new_tokens) &&
        sg_sched_finish_sample(&w->s, group, k, SG_FINISH_EOS)) {
        forget(w, group);
        finish(w, group);
    }
}

static void check_step(const struct world *w) {
    const struct sg_step *step = &w->s.step;
    int32_t rows = step->n_decode, groups = 0;
    assert_true(step->n_decode <= w->s.lim.max_decode_rows);
    assert_true(step->n_chunks <= sg_sched_max_groups(&w->s.lim));
    for (int32_t k = 0; k < step->n_chunks; k++) {
        const struct sg_chunk *c = &step->chunks[k];
        assert_true(c->n > 0 && c->pos0 == c->group->n_prefilled && c->pos0 + c->n <= c->group->n_prompt);
        rows += c->n;
    }
    for (int32_t k = 0; k < step->n_decode; k++) {
        const struct sg_row *r = &step->decode[k];
        const struct sg_group_sample *a = &r->group->samples[r->sample];
        assert_int_equal(a->state, SG_SAMPLE_LIVE);
        assert_int_equal(r->group->n_prefilled, r->group->n_prompt);
        assert_true(a->n_pages >= sg_pages_for(a->n_drawn));
        assert_true(a->n_drawn < w->s.lim.max_new_tokens); /* known beforehand: no row for nothing */
        groups += k == 0 || step->decode[k - 1].group != r->group;
    }
    assert_int_equal(groups, step->n_groups);
    assert_int_equal(rows, step->n_rows);
    assert_true(rows > 0 && rows <= w->s.lim.max_rows);
}

/* Both halves together are the step; no group's rows are in both; the second is within its bounds, and not empty
 * where a cut in the middle half of the decode rows, or a chunk, would have filled it. */
static void check_halves(struct world *w) {
    struct sg_step *step = &w->s.step, half[2];
    const struct sg_step before = *step;
    int32_t chunk_rows = 0, halved_rows = 0, least_chunk = INT32_MAX;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        chunk_rows += step->chunks[k].n;
        if (step->chunks[k].n < least_chunk) least_chunk = step->chunks[k].n;
    }
    sg_step_halve(step, half);
    assert_memory_equal(step, &before, sizeof before);
    assert_ptr_equal(half[0].chunks, step->chunks);
    assert_ptr_equal(half[1].chunks, step->chunks + half[0].n_chunks);
    assert_ptr_equal(half[1].decode, step->decode + half[0].n_decode);
    assert_int_equal(half[0].n_chunks + half[1].n_chunks, step->n_chunks);
    assert_int_equal(half[0].n_decode + half[1].n_decode, step->n_decode);
    assert_int_equal(half[0].n_groups + half[1].n_groups, step->n_groups);
    for (int h = 0; h < 2; h++) {
        int32_t rows = half[h].n_decode, groups = 0;
        for (int32_t k = 0; k < half[h].n_chunks; k++) rows += half[h].chunks[k].n;
        for (int32_t k = 0; k < half[h].n_decode; k++)
            groups += k == 0 || half[h].decode[k - 1].group != half[h].decode[k].group;
        assert_int_equal(rows, half[h].n_rows);
        assert_int_equal(groups, half[h].n_groups);
        halved_rows += rows;
    }
    assert_int_equal(halved_rows, before.n_decode + chunk_rows);
    if (half[0].n_decode && half[1].n_decode)
        assert_ptr_not_equal(half[0].decode[half[0].n_decode - 1].group, half[1].decode[0].group);
    assert_true(2 * half[1].n_decode <= step->n_decode + 1 && 2 * half[1].n_rows <= step->n_rows + 1);
    for (int32_t k = step->n_decode / 2; k < step->n_decode; k++)
        if (k > 0 && step->decode[k - 1].group != step->decode[k].group) assert_true(half[1].n_decode > 0);
    if (step->n_chunks && 2 * (half[1].n_decode + least_chunk) <= step->n_rows)
        assert_true(half[1].n_chunks > 0);
    w->halved += half[1].n_decode > 0 && half[1].n_chunks > 0;
}

/* What an engine does with a step: sends it off, then, or with a step ahead after the next, looks at its
 * draws. */
static void launch(struct world *w) {
    const struct sg_step *step = &w->s.step;
    struct flight *f = &w->inflight[w->newest ^= 1];
    check_step(w);
    check_halves(w);
    assert_false(f->up);
    f->n = 0;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        const struct sg_chunk *c = &step->chunks[k];
        for (int32_t i = 0; i < c->group->n_samples && c->pos0 + c->n == c->group->n_prompt; i++)
            if (c->group->samples[i].state == SG_SAMPLE_WAITS)
                f->draws[f->n++] = (struct sg_row){c->group, i};
    }
    for (int32_t k = 0; k < step->n_decode; k++) f->draws[f->n++] = step->decode[k];
    assert_true(f->n <= sg_sched_max_groups(&w->s.lim));
    sg_sched_launched(&w->s, f->draws, f->n);
    f->up = true;
}

static void collect(struct world *w, struct flight *f) {
    sg_sched_landed(&w->s, f->n);
    for (int32_t k = 0; k < f->n; k++) {
        const struct sg_row r = f->draws[k];
        if (!r.group || r.group->samples[r.sample].state == SG_SAMPLE_DONE) {
            w->wasted++;
            continue;
        }
        w->waves += r.group->samples[r.sample].replay;
        r.group->samples[r.sample].replay = false;
        f->draws[k].group = NULL;
        give(w, r.group, r.sample);
    }
    f->up = false;
}

/* One call of an engine's step; false when there was nothing to do. */
static bool run_step(struct world *w) {
    struct flight *last = &w->inflight[w->newest];
    const int64_t restarts = w->s.restarts;
    enum sg_go go = sg_sched_next(&w->s);
    if (go == SG_GO_COLLECT) assert_true(last->up && w->s.restarts == restarts);
    if (last->up) assert_int_equal(w->s.restarts, restarts); /* nobody is sent back with draws unknown */
    if (go != SG_GO_STEP && last->up) {
        w->collects += go == SG_GO_COLLECT;
        collect(w, last);
        assert_int_equal(w->s.n_flying, 0);
        go = sg_sched_next(&w->s);
        assert_int_not_equal(go, SG_GO_COLLECT);
    }
    if (go != SG_GO_STEP) return false;
    launch(w);
    if (last->up) collect(w, last);
    if (!w->ahead) collect(w, &w->inflight[w->newest]);
    return true;
}

/* One random world, until its groups are done or `max_steps`. */
static void run_world(uint64_t seed, int32_t n_groups, bool small_pool, struct world *total) {
    static struct world w;
    struct sg_err err = {0};
    uint64_t at = 0;
    memset(&w, 0, sizeof w);
    w.ahead = seed % 4 < 2;
#define PICK(lo, hi) ((lo) + (int32_t)(sg_random64(seed, at++) % (uint64_t)((hi) - (lo) + 1)))
    struct sg_sched_limits lim = {0};
    lim.max_rows = PICK(16, 200);
    lim.max_samples = PICK(1, 12);
    lim.max_new_tokens = PICK(1, 120);
    lim.max_decode_rows = PICK(1, 16);
    const int32_t longest = PICK(1, 300),
                  alone = sg_pages_for(longest) + sg_pages_for(lim.max_new_tokens - 1);
    const int32_t pages = small_pool ? alone + PICK(0, 6) : alone * 4;
    assert_int_equal(sg_kv_pool_init(&w.pool, pages, &err), SG_OK);
    assert_int_equal(sg_sched_init(&w.s, &lim, &w.pool, &err), SG_OK);
    for (int32_t g = 0; g < n_groups || w.s.queue.n + w.s.running.n > 0;) {
        while (g < n_groups && w.s.queue.n < 3) {
            int32_t prompt[300];
            struct sg_stream streams[12] = {{0}};
            struct sg_group *group = NULL;
            const int32_t n = PICK(1, longest), samples = PICK(1, lim.max_samples);
            memset(prompt, 0, sizeof prompt);
            for (int32_t k = 0; k < samples; k++) streams[k].key = seed * 1000003 + (uint64_t)(g * 16 + k);
            assert_true(sg_sched_pages_alone(&w.s, n) <= pages);
            assert_int_equal(sg_group_new((uint64_t)g, prompt, n, streams, NULL, samples, lim.max_new_tokens,
                                          &group, &err),
                             SG_OK);
            sg_sched_submit(&w.s, group);
            g++;
        }
        if (small_pool && seed % 2)
            w.s.usual = 1; /* as if answers had been short so far: too many groups enter */
        const bool moved = run_step(&w);
        assert_true(moved || w.s.queue.n + w.s.running.n == 0); /* work is left, so something moves */
        if (w.steps++ % 16 == 0) check_pages(&w);
        assert_true(w.steps < 200000); /* and it ends */
    }
    if (w.inflight[w.newest].up) collect(&w, &w.inflight[w.newest]);
    assert_int_equal(w.s.n_flying, 0);
    assert_int_equal(sg_sched_next(&w.s), SG_GO_IDLE);
    assert_int_equal(w.groups_done, n_groups);
    assert_int_equal(w.pool.n_free, pages);
    total->steps += w.steps;
    total->restarts += w.s.restarts;
    total->waves += w.waves;
    total->wasted += w.wasted;
    total->collects += w.collects;
    total->halved += w.halved;
    if (!w.ahead) assert_int_equal(w.wasted, 0);
    total->groups_done += w.groups_done;
    sg_sched_free(&w.s);
    sg_kv_pool_free(&w.pool);
}

static void test_small_pools(void **state) {
    (void)state;
    static struct world total;
    for (uint64_t seed = 1; total.steps < 700000; seed++) run_world(seed, 60, true, &total);
    assert_true(total.restarts > 100);
    assert_true(total.waves > 100);
    assert_true(total.wasted > 100);
    assert_true(total.collects > 100);
    print_message("%lld steps, %lld groups, %lld restarts, %lld samples taken back, %lld draws for nothing, "
                  "%lld times dry with draws unknown\n",
                  (long long)total.steps, (long long)total.groups_done, (long long)total.restarts,
                  (long long)total.waves, (long long)total.wasted, (long long)total.collects);
}

static void test_large_pools(void **state) {
    (void)state;
    static struct world total;
    for (uint64_t seed = 900000; total.steps < 300000; seed++) run_world(seed, 60, false, &total);
    print_message("%lld steps with both kinds in the second half\n", (long long)total.halved);
    assert_true(total.halved > 20);
    print_message("%lld steps, %lld groups, %lld restarts\n", (long long)total.steps,
                  (long long)total.groups_done, (long long)total.restarts);
}

static void test_has_room(void **state) {
    (void)state;
    struct sg_kv_pool pool;
    struct sg_sched s;
    struct sg_err err = {0};
    const struct sg_sched_limits lim = {
        .max_rows = 64, .max_decode_rows = 8, .max_samples = 8, .max_new_tokens = 16};
    const int32_t prompt[64] = {0};
    const struct sg_stream streams[8] = {{0}};
    struct sg_group *group = NULL;
    assert_int_equal(sg_kv_pool_init(&pool, 16, &err), SG_OK);
    assert_int_equal(sg_sched_init(&s, &lim, &pool, &err), SG_OK);
    assert_true(
        sg_sched_has_room(&s, 1000, 8)); /* an idle engine always has: the group itself will be judged */
    assert_int_equal(sg_group_new(0, prompt, 64, streams, NULL, 4, 16, &group, &err), SG_OK);
    sg_sched_submit(&s, group);
    assert_false(sg_sched_has_room(&s, 1, 1)); /* somebody is ahead */
    assert_int_equal(sg_sched_next(&s), SG_GO_STEP);
    assert_int_equal(pool.n_free, 12);
    assert_true(sg_sched_has_room(&s, 64, 4));  /* 4 pages here, 4 + 4 there */
    assert_false(sg_sched_has_room(&s, 80, 4)); /* a page too many */
    assert_false(sg_sched_has_room(&s, 1, 5));  /* a row too many */
    sg_sched_free(&s);
    sg_kv_pool_free(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_pools), cmocka_unit_test(test_large_pools),
                                       cmocka_unit_test(test_has_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

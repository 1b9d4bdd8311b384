/* Guards: a group's tokens and p_yes are the same bits whatever shares its batch, whether steps are launched
 * ahead of the tokens that are known, whether they are padded: any max_batch_tokens, pool (restarts and waves
 * included), order, threads, beside whom; and what the engine promises about stops, failures, memory and
 * score. Random tiny checkpoints, no outside data. */
#include "engine/internal.h"
#include "model/qwen3.h"
#include "unit/model/tiny.h"

#include <math.h>

enum { GROUPS = 12, MAX_SAMPLES = 6, MAX_NEW = 40, CONTEXT = 256 };

struct group {
    int32_t prompt[200], n_prompt, n_samples;
    struct sg_stream streams[MAX_SAMPLES];
};
struct outcome {
    int32_t n[MAX_SAMPLES], tokens[MAX_SAMPLES][MAX_NEW];
    float p_yes[MAX_SAMPLES][MAX_NEW];
    enum sg_finish finish[MAX_SAMPLES];
    int32_t n_samples, done;
    enum sg_status status;
    struct sg_err err;
};
struct run {
    struct sg_dev *dev;
    struct sg_model *model;
    struct sg_engine *engine;
    struct outcome out[GROUPS];
    int32_t seen[GROUPS][MAX_SAMPLES]; /* tokens that on_token has seen since its last index 0 */
    int64_t replays;
    int32_t stop_at; /* on_token stops a sample after this many tokens whose sum is even; 0: never */
};

/* How the engines of all tests run: the argument is a name of modes. */
struct mode {
    const char *name;
    int32_t steps_ahead;
    enum sg_engine_graphs records;
};
static const struct mode modes[] = {{"plain", -1, SG_GRAPHS_AUTO}, /* a host backend does not record */
                                    {"ahead", 1, SG_GRAPHS_OFF},   /* one step */
                                    {"padded", 0, SG_GRAPHS_PAD},  /* 0: none ahead here */
                                    {"ahead_padded", 1, SG_GRAPHS_PAD}};
static struct mode mode;

static char dir[64];
static struct group groups[GROUPS];

static bool on_token(void *ctx, uint64_t tag, int32_t sample, int32_t i, int32_t token, float p_yes) {
    struct run *r = ctx;
    (void)p_yes;
    if (i == 0) {
        r->replays += r->seen[tag][sample] > 0;
        r->seen[tag][sample] = 0;
    }
    assert_int_equal(i, r->seen[tag][sample]); /* in order, none left out */
    r->seen[tag][sample]++;
    return r->stop_at > 0 && i + 1 >= r->stop_at && token % 2 == 0;
}

static void on_done(void *ctx, const struct sg_group_result *g) {
    struct run *r = ctx;
    struct outcome *o = &r->out[g->tag];
    o->done++;
    o->status = g->status;
    o->err = g->err;
    o->n_samples = g->n_samples;
    if (g->status != SG_OK) {
        assert_null(g->samples);
        return;
    }
    for (int32_t k = 0; k < g->n_samples; k++) {
        const struct sg_sample_out *a = &g->samples[k];
        assert_true(a->n_tokens >= 1 && a->n_tokens <= MAX_NEW);
        assert_int_equal(a->n_tokens, r->seen[g->tag][k]);
        o->n[k] = a->n_tokens;
        o->finish[k] = a->finish;
        memcpy(o->tokens[k], a->tokens, (size_t)a->n_tokens * sizeof(int32_t));
        memcpy(o->p_yes[k], a->p_yes, (size_t)a->n_tokens * sizeof(float));
    }
}

struct setup {
    const char *backend;
    int threads;
    int32_t max_batch_tokens, pages, order; /* order: step through the groups with this stride */
    double temperature;
    int32_t max_new, stop_at;
    bool ignore_eos;
    bool hopeful; /* the schedule is told that answers are short: too many groups enter, some go back */
    const struct sg_draw_settings *settings; /* sample k of group g has number (g + k) % n_settings */
    int32_t n_settings;
};

static struct sg_engine_options options_of(const struct setup *s, const struct sg_dev *dev,
                                           const struct sg_model *m) {
    static const int32_t yes[] = {10, 11}, no[] = {20};
    const struct sg_config *c = sg_model_config(m);
    return (struct sg_engine_options){
        .max_batch_tokens = s->max_batch_tokens,
        .kv_cache_bytes = s->pages * (int64_t)sg_kv_page_bytes(dev, c->layers, c->kv_heads, c->head_dim),
        .max_context = CONTEXT,
        .max_samples = MAX_SAMPLES,
        .steps_ahead = mode.steps_ahead,
        .records = mode.records,
        .settings = s->settings,
        .n_settings = s->n_settings,
        .sampling = {.temperature = s->temperature,
                     .top_p = 0.95,
                     .top_k = 20,
                     .max_new_tokens = s->max_new,
                     .ignore_eos = s->ignore_eos},
        .yes_ids = yes,
        .no_ids = no,
        .n_yes = 2,
        .n_no = 1};
}

static void open_run(struct run *r, const struct setup *s) {
    memset(r, 0, sizeof *r);
    r->stop_at = s->stop_at;
    const struct sg_dev_options dev = {.backend = s->backend, .threads = s->threads};
    const struct sg_engine_hooks hooks = {.ctx = r, .on_token = on_token, .on_done = on_done};
    TINY_OK(sg_dev_open(&dev, &r->dev, err));
    TINY_OK(sg_model_open(r->dev, dir, &(struct sg_model_options){.max_context = CONTEXT}, &r->model, err));
    const struct sg_engine_options opt = options_of(s, r->dev, r->model);
    TINY_OK(sg_engine_open(r->dev, r->model, &opt, &hooks, &r->engine, err));
}

static void close_run(struct run *r) {
    sg_engine_close(r->engine);
    sg_model_close(r->model);
    sg_dev_close(r->dev);
}

static void drain(struct run *r, bool hopeful) {
    for (bool busy = true; busy;) {
        if (hopeful) r->engine->sched.usual = 1;
        TINY_OK(sg_engine_step(r->engine, &busy, err));
    }
    assert_int_equal(sg_engine_pending(r->engine), 0);
}

static void submit(struct run *r, int32_t g) {
    int32_t settings[MAX_SAMPLES];
    const int32_t kinds = r->engine->n_settings;
    for (int32_t k = 0; k < MAX_SAMPLES; k++) settings[k] = (g + k) % kinds;
    TINY_OK(sg_engine_submit(r->engine, (uint64_t)g, groups[g].prompt, groups[g].n_prompt, groups[g].streams,
                             kinds > 1 ? settings : NULL, groups[g].n_samples, err));
}

static void run_all(struct run *r, const struct setup *s, struct sg_engine_stats *stats) {
    open_run(r, s);
    for (int32_t k = 0, g = 0; k < GROUPS; k++, g = (g + s->order) % GROUPS) submit(r, g);
    drain(r, s->hopeful);
    sg_engine_stats(r->engine, stats);
    for (int32_t g = 0; g < GROUPS; g++) {
        assert_int_equal(r->out[g].done, 1);
        if (r->out[g].status != SG_OK) fail_msg("%s", r->out[g].err.text);
    }
    close_run(r);
}

/* In the plainest way there is: what all others are compared with. */
static void run_plain(struct run *r, const struct setup *s, struct sg_engine_stats *stats) {
    const struct mode now = mode;
    mode = modes[0];
    run_all(r, s, stats);
    mode = now;
    assert_true(stats->wasted_rows == 0 && stats->padded_rows == 0);
}

static void compare(const struct run *a, const struct run *b, const char *what) {
    for (int32_t g = 0; g < GROUPS; g++)
        if (memcmp(a->out[g].n, b->out[g].n, sizeof a->out[g].n) ||
            memcmp(a->out[g].tokens, b->out[g].tokens, sizeof a->out[g].tokens) ||
            memcmp(a->out[g].p_yes, b->out[g].p_yes, sizeof a->out[g].p_yes) ||
            memcmp(a->out[g].finish, b->out[g].finish, sizeof a->out[g].finish))
            fail_msg("group %d differs with %s", g, what);
}

static void make_groups(uint64_t seed, int32_t vocab) {
    uint64_t at = 0;
    memset(groups, 0, sizeof groups);
    for (int32_t g = 0; g < GROUPS; g++) {
        char name[16];
        snprintf(name, sizeof name, "q%d", g);
        groups[g].n_prompt = 1 + (int32_t)(sg_random64(seed, at++) % 199);
        groups[g].n_samples = 1 + (int32_t)(sg_random64(seed, at++) % MAX_SAMPLES);
        if (g == 0) groups[g].n_prompt = 1;
        if (g == 1) groups[g].n_prompt = 64; /* whole pages */
        for (int32_t i = 0; i < groups[g].n_prompt; i++)
            groups[g].prompt[i] = (int32_t)(sg_random64(seed, at++) % (uint64_t)vocab);
        for (int32_t k = 0; k < groups[g].n_samples; k++)
            groups[g].streams[k] = sg_sample_stream(g % 2, seed, name, "m", k);
    }
}

static int make_model(void **state) {
    (void)state;
    struct tiny c = TINY_DEFAULTS;
    tiny_dir(dir);
    tiny_checkpoint(dir, &c);
    make_groups(3, c.vocab);
    return 0;
}

static int remove_model(void **state) {
    (void)state;
    tiny_remove(dir);
    return 0;
}

static void invariance(const char *backend) {
    static struct run base, other;
    struct sg_engine_stats stats;
    const struct setup wide = {.backend = backend,
                               .threads = 1,
                               .max_batch_tokens = 4096,
                               .pages = 600,
                               .order = 1,
                               .temperature = 1.3,
                               .max_new = MAX_NEW};
    run_plain(&base, &wide, &stats);
    assert_int_equal(stats.restarts, 0);
    int32_t eos = 0, length = 0, distinct = 0;
    for (int32_t g = 0; g < GROUPS; g++)
        for (int32_t k = 0; k < groups[g].n_samples; k++) {
            eos += base.out[g].finish[k] == SG_FINISH_EOS;
            length += base.out[g].finish[k] == SG_FINISH_LENGTH;
            distinct += k > 0 && memcmp(base.out[g].tokens[k], base.out[g].tokens[0],
                                        sizeof base.out[g].tokens[0]) != 0;
            for (int32_t i = 0; i < base.out[g].n[k]; i++)
                assert_true(base.out[g].p_yes[k][i] > 0 && base.out[g].p_yes[k][i] < 1);
        }
    assert_true(eos > 3 && length > 3 && distinct > 3); /* the comparison is about something */

    run_all(&other, &wide, &stats);
    compare(&base, &other, "this mode");
    assert_true((stats.wasted_rows > 0) == (mode.steps_ahead == 1)); /* EOS is not known beforehand */
    assert_true((stats.padded_rows > 0) == (mode.records == SG_GRAPHS_PAD));
    assert_int_equal(stats.replays + stats.records + stats.record_errors, 0);

    struct setup s = wide;
    s.max_batch_tokens = 64;
    run_all(&other, &s, &stats);
    compare(&base, &other, "64 batch tokens");
    s.max_batch_tokens = 16; /* fewer rows than samples are live: waves by rows */
    s.order = 5;
    run_all(&other, &s, &stats);
    compare(&base, &other, "16 batch tokens, another order");
    s = wide;
    s.threads = 2;
    s.order = 7;
    run_all(&other, &s, &stats);
    compare(&base, &other, "2 threads, another order");

    int64_t restarts = 0, replays = 0;
    s.order = 1;
    for (int32_t pages = 17; pages <= 40; pages += 3) { /* 13 for the longest prompt, 3 for one answer */
        s = wide;
        s.pages = pages;
        s.hopeful = true;
        s.max_batch_tokens = pages % 2 ? 64 : 1024;
        run_all(&other, &s, &stats);
        compare(&base, &other, "a small pool");
        assert_int_equal(stats.pages, pages);
        assert_true(stats.pages_peak <= pages);
        restarts += stats.restarts;
        replays += other.replays;
    }
    assert_true(restarts > 0 && replays > 0);

    open_run(&other, &wide); /* each group alone, one after the other */
    for (int32_t g = 0; g < GROUPS; g++) {
        submit(&other, g);
        drain(&other, false);
    }
    close_run(&other);
    compare(&base, &other, "nobody beside");
}

static void test_invariance_cpu(void **state) {
    (void)state;
    invariance("cpu");
}

static void test_invariance_guard(void **state) {
    (void)state;
    invariance("guard:ref");
}

/* Samples of one prompt with different temperatures, top_p and top_k: each is what it is in an engine that
 * draws all of them its way, and the prompt is prefilled once. */
static void settings(const char *backend) {
    static const struct sg_draw_settings kinds[] = {{1.3f, 0.95f, 20}, {0, 1, 0}, {0.6f, 0.9f, 0}, {2, 1, 7}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    static struct run mixed, one;
    struct sg_engine_stats stats, alone;
    int32_t seen = 0, differ = 0;
    const struct setup s = {.backend = backend,
                            .threads = 1,
                            .max_batch_tokens = 128,
                            .pages = 100,
                            .order = 5,
                            .max_new = MAX_NEW,
                            .settings = kinds,
                            .n_settings = KINDS};
    run_all(&mixed, &s, &stats);
    for (int32_t i = 0; i < KINDS; i++) {
        struct setup only = s;
        only.settings = &kinds[i];
        only.n_settings = 1;
        only.pages = 600;
        run_all(&one, &only, &alone);
        assert_int_equal(stats.prefill_tokens, alone.prefill_tokens);
        for (int32_t g = 0; g < GROUPS; g++)
            for (int32_t k = 0; k < groups[g].n_samples; k++) {
                const struct outcome *m = &mixed.out[g], *o = &one.out[g];
                const bool same = !memcmp(m->tokens[k], o->tokens[k], sizeof o->tokens[k]) &&
                                  !memcmp(m->p_yes[k], o->p_yes[k], sizeof o->p_yes[k]);
                if ((g + k) % KINDS == i && !same) fail_msg("group %d, sample %d, setting %d", g, k, i);
                seen += (g + k) % KINDS == i;
                differ += !same;
            }
    }
    assert_int_equal(stats.restarts, 0); /* else prompts would count twice */
    assert_true(seen > GROUPS && differ > seen);
}

static void test_settings_cpu(void **state) {
    (void)state;
    settings("cpu");
}

static void test_settings_guard(void **state) {
    (void)state;
    settings("guard:ref");
}

/* A hook's stop, greedy decoding, and EOS off. */
static void test_stops(void **state) {
    (void)state;
    static struct run base, r;
    struct sg_engine_stats stats;
    struct setup s = {.backend = "cpu",
                      .threads = 1,
                      .max_batch_tokens = 256,
                      .pages = 200,
                      .order = 1,
                      .temperature = 1.3,
                      .max_new = MAX_NEW};
    run_plain(&base, &s, &stats);
    s.stop_at = 5;
    run_all(&r, &s, &stats);
    int32_t stopped = 0;
    int64_t kept = 0;
    for (int32_t g = 0; g < GROUPS; g++)
        for (int32_t k = 0; k < groups[g].n_samples; k++) {
            const struct outcome *o = &r.out[g];
            kept += o->n[k];
            /* a stop cuts an answer, it does not change it */
            assert_memory_equal(o->tokens[k], base.out[g].tokens[k], (size_t)o->n[k] * sizeof(int32_t));
            const int32_t last = o->tokens[k][o->n[k] - 1];
            if (o->finish[k] == SG_FINISH_EOS) assert_int_equal(last, 2);
            if (o->finish[k] != SG_FINISH_VERDICT) continue;
            stopped++;
            assert_true(o->n[k] >= 5 && last % 2 == 0 && last != 2);
        }
    assert_true(stopped > 5);
    assert_int_equal(stats.decode_tokens, kept);
    assert_true(stats.wasted_rows <= kept && (stats.wasted_rows > 0) == (mode.steps_ahead == 1));
    s.stop_at = 0;
    s.ignore_eos = true;
    run_all(&r, &s, &stats);
    assert_int_equal(stats.wasted_rows, 0); /* the last token is known to be the last */
    for (int32_t g = 0; g < GROUPS; g++)
        for (int32_t k = 0; k < groups[g].n_samples; k++) {
            assert_int_equal(r.out[g].n[k], MAX_NEW);
            assert_int_equal(r.out[g].finish[k], SG_FINISH_LENGTH);
        }
    s.temperature = 0;
    run_all(&r, &s, &stats);
    for (int32_t g = 0; g < GROUPS; g++)
        for (int32_t k = 1; k < groups[g].n_samples; k++)
            assert_memory_equal(r.out[g].tokens[k], r.out[g].tokens[0], sizeof r.out[g].tokens[0]);
}

/* What cannot run fails by itself, names sizes and the setting, and leaves the others alone. */
static void test_cannot_fit(void **state) {
    (void)state;
    static struct run r;
    struct sg_err err = {0};
    struct setup s = {.backend = "cpu",
                      .threads = 1,
                      .max_batch_tokens = 64,
                      .pages = 10,
                      .order = 1,
                      .max_new = 20,
                      .temperature = 1};
    int32_t prompt[300] = {0};
    const struct sg_stream stream = {5, -1};
    open_run(&r, &s);
    assert_int_equal(sg_engine_submit(r.engine, 0, prompt, 200, &stream, NULL, 1, &err),
                     SG_OK); /* 13 pages of 10 */
    assert_int_equal(sg_engine_submit(r.engine, 1, prompt, 240, &stream, NULL, 1, &err),
                     SG_OK); /* 240 + 20 of 256 tokens */
    assert_int_equal(sg_engine_submit(r.engine, 2, prompt, 100, &stream, NULL, 1, &err), SG_OK);
    assert_int_equal(sg_engine_pending(r.engine), 3);
    drain(&r, false);
    assert_int_equal(r.out[0].status, SG_E_NOMEM);
    assert_non_null(strstr(r.out[0].err.text,
                           "prompt of 200 tokens and one answer of up to 20 take 15 KV pages, the "
                           "cache has 10: raise kv_cache_mib to at least 1"));
    assert_int_equal(r.out[1].status, SG_E_INPUT);
    assert_non_null(
        strstr(r.out[1].err.text, "prompt of 240 tokens and max_new_tokens 20 exceed the context of 256"));
    assert_int_equal(r.out[2].status, SG_OK);
    prompt[7] = 97;
    assert_int_equal(sg_engine_submit(r.engine, 3, prompt, 100, &stream, NULL, 1, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "token id 97 at place 7 is outside the vocabulary of 97"));
    assert_int_equal(sg_engine_submit(r.engine, 3, prompt, 0, &stream, NULL, 1, &err), SG_E_INPUT);
    const int32_t setting = 1;
    assert_int_equal(sg_engine_submit(r.engine, 3, prompt, 50, &stream, &setting, 1, &err), SG_E_INTERNAL);
    assert_non_null(strstr(err.text, "sample 0 has setting 1, the engine has 1"));
    close_run(&r);
}

static void test_options(void **state) {
    (void)state;
    static struct run r;
    struct setup s = {.backend = "cpu", .threads = 1, .max_batch_tokens = 64, .pages = 10, .max_new = 20};
    static const struct {
        int32_t batch, new_tokens;
        double temperature;
        const char *says;
    } bad[] = {{15, 20, 0, "max_batch_tokens 15"},
               {64, 0, 0, "max_new_tokens 0"},
               {64, 20, 1e-9, "temperature 1e-09"}};
    open_run(&r, &s);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sg_err err = {0};
        struct sg_engine *e = NULL;
        struct sg_engine_options o = options_of(&s, r.dev, r.model);
        o.max_batch_tokens = bad[i].batch;
        o.sampling.max_new_tokens = bad[i].new_tokens;
        o.sampling.temperature = bad[i].temperature;
        assert_int_equal(sg_engine_open(r.dev, r.model, &o, NULL, &e, &err), SG_E_INPUT);
        assert_null(e);
        assert_non_null(strstr(err.text, bad[i].says));
    }
    struct sg_err err = {0};
    struct sg_engine_memory m;
    struct sg_engine_options o = options_of(&s, r.dev, r.model);
    o.kv_cache_bytes = 100;
    assert_int_equal(sg_engine_plan(r.dev, r.model, &o, &m, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "raise kv_cache_mib"));
    const struct sg_draw_settings none = {.temperature = 1, .top_p = 0};
    o = options_of(&s, r.dev, r.model);
    o.settings = &none;
    o.n_settings = 1;
    assert_int_equal(sg_engine_plan(r.dev, r.model, &o, &m, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "top_p 0"));
    close_run(&r);
}

/* Log-probabilities do not depend on chunks, and decoding agrees with them. */
static void test_score(void **state) {
    (void)state;
    static struct run a, b;
    const struct setup
        wide = {.backend = "cpu", .threads = 1, .max_batch_tokens = 512, .pages = 100, .max_new = 8},
        narrow = {.backend = "cpu", .threads = 1, .max_batch_tokens = 17, .pages = 100, .max_new = 8};
    float la[97], lb[97], pa[200], pb[200];
    open_run(&a, &wide);
    for (int32_t g = 0; g < 4; g++) {
        const int32_t n = groups[g].n_prompt;
        TINY_OK(sg_engine_score(a.engine, groups[g].prompt, n, la, pa, err));
        double sum = 0;
        for (int32_t i = 0; i < 97; i++) sum += exp((double)la[i]);
        assert_true(isnan(pa[0]));
        TINY_OK(sg_engine_score(a.engine, groups[g].prompt, n, lb, NULL, err));
        assert_memory_equal(la, lb, sizeof la); /* the last row alone or with the others */
        if (n > 1) {
            TINY_OK(sg_engine_score(a.engine, groups[g].prompt, n - 1, lb, NULL, err));
            double before = 0;
            for (int32_t i = 0; i < 97; i++) before += exp((double)lb[i]);
            assert_float_equal(pa[n - 1], lb[groups[g].prompt[n - 1]] - (float)log(before), 1e-4f);
        }
        assert_true(sum > 0);
    }
    close_run(&a);
    open_run(&a, &wide);
    TINY_OK(sg_engine_score(a.engine, groups[1].prompt, 64, la, pa, err));
    close_run(&a);
    open_run(&b, &narrow);
    TINY_OK(sg_engine_score(b.engine, groups[1].prompt, 64, lb, pb, err));
    close_run(&b);
    assert_memory_equal(la, lb, sizeof la);
    assert_memory_equal(pa + 1, pb + 1, 63 * sizeof(float));
}

/* Score and embed in the middle of groups, with a step in flight: neither changes the other. */
static void test_score_between(void **state) {
    (void)state;
    static struct run base, r;
    struct sg_engine_stats stats;
    const struct setup s = {.backend = "guard:ref",
                            .threads = 1,
                            .max_batch_tokens = 64,
                            .pages = 200,
                            .order = 1,
                            .temperature = 1.3,
                            .max_new = MAX_NEW};
    float alone[97], between[97], row[48], row_between[48];
    run_plain(&base, &s, &stats);
    open_run(&r, &s);
    TINY_OK(sg_engine_score(r.engine, groups[1].prompt, 64, alone, NULL, err));
    TINY_OK(sg_engine_embed(r.engine, groups[2].prompt, groups[2].n_prompt, row, err));
    for (int32_t g = 0; g < GROUPS; g++) submit(&r, g);
    bool busy = true;
    for (int step = 0; busy; step++) {
        TINY_OK(sg_engine_step(r.engine, &busy, err));
        if (step % 5) continue;
        TINY_OK(sg_engine_score(r.engine, groups[1].prompt, 64, between, NULL, err));
        assert_memory_equal(between, alone, sizeof alone);
        TINY_OK(sg_engine_embed(r.engine, groups[2].prompt, groups[2].n_prompt, row_between, err));
        assert_memory_equal(row_between, row, sizeof row);
    }
    compare(&base, &r, "scores between");
    close_run(&r);
    open_run(&r, &s); /* closed with groups running and a step in flight */
    for (int32_t g = 0; g < GROUPS; g++) submit(&r, g);
    for (int step = 0; step < 7; step++) TINY_OK(sg_engine_step(r.engine, &busy, err));
    assert_true(busy);
    close_run(&r);
}

static void test_embed(void **state) {
    (void)state;
    static struct run r;
    struct setup s = {.backend = "cpu", .threads = 1, .max_batch_tokens = 512, .pages = 100, .max_new = 8};
    float a[48], b[48];
    double norm = 0;
    open_run(&r, &s);
    TINY_OK(sg_engine_embed(r.engine, groups[1].prompt, 64, a, err));
    close_run(&r);
    s.max_batch_tokens = 16;
    open_run(&r, &s);
    TINY_OK(sg_engine_embed(r.engine, groups[1].prompt, 64, b, err));
    struct sg_err err = {0};
    assert_int_equal(sg_engine_embed(r.engine, groups[1].prompt, 0, b, &err), SG_E_INPUT);
    int32_t longer[300] = {0};
    assert_int_equal(sg_engine_embed(r.engine, longer, 257, b, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "257 tokens exceed the context of 256"));
    close_run(&r);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < 48; i++) norm += (double)a[i] * (double)a[i];
    assert_float_equal(norm, 1, 1e-5);
}

/* NaN in a weight is told at the first logits, with the directory's name; the engine lives on. */
static void test_nan_weights(void **state) {
    (void)state;
    static struct run r;
    const struct setup s = {
        .backend = "cpu", .threads = 1, .max_batch_tokens = 64, .pages = 50, .max_new = 4, .temperature = 1};
    struct tiny c = TINY_DEFAULTS;
    char good[64];
    memcpy(good, dir, sizeof good);
    tiny_dir(dir);
    struct tiny_tensors l = tiny_make(&c);
    tiny_put(tiny_find(&l, "layers.1.mlp.down_proj")->data + 100, SG_BF16, NAN);
    tiny_config(dir, &c, NULL);
    tiny_weights(dir, &c, &l);
    tiny_free(&l);
    open_run(&r, &s);
    submit(&r, 1);
    drain(&r, false);
    assert_int_equal(r.out[1].status, SG_E_INPUT);
    assert_non_null(strstr(r.out[1].err.text, dir));
    assert_non_null(strstr(r.out[1].err.text, "logits after 64 tokens are not finite"));
    struct sg_err err = {0};
    float x[97], p[200];
    assert_int_equal(sg_engine_score(r.engine, groups[1].prompt, 64, x, NULL, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "not finite"));
    assert_int_equal(sg_engine_score(r.engine, groups[1].prompt, 64, NULL, p, &err), SG_E_INPUT);
    assert_int_equal(sg_engine_embed(r.engine, groups[1].prompt, 64, x, &err), SG_E_INPUT);
    close_run(&r);
    tiny_remove(dir);
    memcpy(dir, good, sizeof good);
}

static void test_no_eos(void **state) {
    (void)state;
    static struct run r;
    const struct setup s = {
        .backend = "cpu", .threads = 1, .max_batch_tokens = 64, .pages = 50, .max_new = 4};
    struct tiny c = TINY_DEFAULTS;
    struct sg_err err = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/generation_config.json", dir);
    tiny_write(dir, "generation_config.json", "{\"eos_token_id\": []}", 20);
    open_run(&r, &s);
    assert_int_equal(sg_engine_submit(r.engine, 0, groups[1].prompt, 64, groups[1].streams, NULL, 1, &err),
                     SG_E_INPUT);
    assert_non_null(strstr(err.text, "eos_token_id"));
    close_run(&r);
    assert_int_equal(unlink(path), 0);
    (void)c;
}

/* The keys tell every part apart, also where strings run together; stratified samples of all models of a
 * query share one, and their index. */
static void test_streams(void **state) {
    (void)state;
    const struct sg_stream a = sg_sample_stream(false, 1, "ab", "c", 0),
                           s = sg_sample_stream(true, 1, "ab", "c", 3);
    assert_true(a.key == sg_sample_stream(false, 1, "ab", "c", 0).key && a.stratum == -1);
    assert_true(a.key != sg_sample_stream(false, 1, "a", "bc", 0).key);
    assert_true(a.key != sg_sample_stream(false, 2, "ab", "c", 0).key);
    assert_true(a.key != sg_sample_stream(false, 1, "ab", "c", 1).key);
    assert_true(a.key != sg_sample_stream(false, 1, "c", "ab", 0).key);
    assert_true(s.key == sg_sample_stream(true, 1, "ab", "other", 0).key && s.stratum == 3);
    assert_true(s.key != sg_sample_stream(true, 1, "a", "bc", 3).key);
    assert_true(s.key != sg_sample_stream(true, 2, "ab", "c", 3).key);
    assert_true(s.key != a.key);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariance_cpu), cmocka_unit_test(test_invariance_guard),
        cmocka_unit_test(test_settings_cpu),   cmocka_unit_test(test_settings_guard),
        cmocka_unit_test(test_stops),          cmocka_unit_test(test_cannot_fit),
        cmocka_unit_test(test_options),        cmocka_unit_test(test_score),
        cmocka_unit_test(test_embed),          cmocka_unit_test(test_nan_weights),
        cmocka_unit_test(test_no_eos),         cmocka_unit_test(test_streams),
        cmocka_unit_test(test_score_between)};
    for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) != 0) continue;
        mode = modes[i];
        return cmocka_run_group_tests_name(mode.name, tests, make_model, remove_model);
    }
    fprintf(stderr, "test_engine plain|ahead|padded|ahead_padded\n");
    return 2;
}

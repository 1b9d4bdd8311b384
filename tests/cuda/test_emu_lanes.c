/* Two lanes: steps computed in two halves side by side have the bits of whole ones, at any order of the lanes that
 * their waits for each other allow; and a wait that is missing, or memory that both lanes use, is caught: by a wrong
 * value when one lane stops behind some operation and the other goes on, by the race detector at once. Protects:
 * fork, lanes and join of the cuda backend, the engine's use of them, and the emulation that shows their faults. */
#include "engine/internal.h"
#include "kernels/cuda/backend_cuda.h"
#include "model/qwen3.h"
#include "tests/cuda/emu/control.h"
#include "unit/model/tiny.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GROUPS = 6, SAMPLES = 2, MAX_NEW = 7, CONTEXT = 80 };
#if defined(EMU_TSAN) || defined(EMU_MSAN) || defined(__SANITIZE_ADDRESS__)
enum { SEEDS = 1, FIRSTS = 1 };
#else
enum { SEEDS = 3, FIRSTS = 6 };
#endif
/* Where a lane stops behind the first fork, and how much later behind each fork after it. A run forks seven times
 * (the first time without decode rows), so that six runs stop it behind each of a half's first 42 operations: what
 * comes before its first layer, that layer, and the beginning of the next. */
static const int firsts[] = {1, 0, 2, 21, 22, 23};
enum { MORE = 3 };
static const int32_t prompt_len[GROUPS] = {9, 33, 1, 50, 16, 27};
static char dir[64];

struct outcome {
    int32_t tokens[GROUPS][SAMPLES][MAX_NEW];
    float p_yes[GROUPS][SAMPLES][MAX_NEW];
    int32_t done;
    struct sg_engine_stats stats;
};
enum fault { NONE, NO_FORK, NO_JOIN, ONE_WORKSPACE, ONE_PARTIAL, ONE_EXPANDED, JOIN_EARLY };
struct setup {
    enum fault fault;
    int32_t overlap_rows, batch_tokens, pages;
    enum sg_precision precision;
    enum sg_engine_graphs records;
    bool eager;
    bool stops; /* this lane, behind so many operations (sg_emu_set_lane_stop); else orders by seed */
    int lane, first;
};

/* ---- drivers with a fault ---- */

static enum sg_status no_wait(struct sg_dev *dev, struct sg_err *err) {
    (void)err;
    sg__backend_find("cuda")->lane(dev, 0);
    return SG_OK;
}
/* Joined before lane 1 has its operators: what comes after waits for none of them. */
static void early(struct sg_dev *dev, int lane) {
    if (lane == 1) TINY_OK(sg__backend_find("cuda")->join(dev, err));
    sg__backend_find("cuda")->lane(dev, lane);
}
static enum sg_status one_partial(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err) {
    const enum sg_status st = sg__backend_find("cuda")->reserve(dev, lim, err);
    cuda_of(dev)->lanes[1].partial = cuda_of(dev)->lanes[0].partial;
    return st;
}
static enum sg_status one_expanded(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err) {
    const enum sg_status st = sg__backend_find("cuda")->reserve(dev, lim, err);
    cuda_of(dev)->lanes[1].expanded = cuda_of(dev)->lanes[0].expanded;
    return st;
}
static void spoil(struct sg_backend *be, enum fault f) {
    if (f == NO_FORK) be->fork = no_wait;
    if (f == NO_JOIN || f == JOIN_EARLY) be->join = no_wait;
    if (f == JOIN_EARLY) be->lane = early;
    if (f == ONE_PARTIAL) be->reserve = one_partial;
    if (f == ONE_EXPANDED) be->reserve = one_expanded;
}

/* ---- an engine ---- */

static void on_done(void *ctx, const struct sg_group_result *g) {
    struct outcome *o = ctx;
    if (g->status != SG_OK) return; /* as a fault may end it */
    o->done++;
    for (int32_t k = 0; k < g->n_samples; k++) {
        const struct sg_sample_out *s = &g->samples[k];
        memcpy(o->tokens[g->tag][k], s->tokens, (size_t)s->n_tokens * sizeof *s->tokens);
        memcpy(o->p_yes[g->tag][k], s->p_yes, (size_t)s->n_tokens * sizeof *s->p_yes);
    }
}

static void submit(struct sg_engine *e, int32_t g, int32_t vocab) {
    int32_t prompt[CONTEXT];
    struct sg_stream streams[SAMPLES];
    char name[16];
    snprintf(name, sizeof name, "q%d", g);
    for (int32_t i = 0; i < prompt_len[g]; i++)
        prompt[i] = (int32_t)(sg_random64((uint64_t)g, (uint64_t)i) % (uint64_t)vocab);
    for (int32_t k = 0; k < SAMPLES; k++) streams[k] = sg_sample_stream(true, 5, name, "m", k);
    TINY_OK(sg_engine_submit(e, (uint64_t)g, prompt, prompt_len[g], streams, NULL, SAMPLES, err));
}

static void run_with(struct outcome *o, const struct setup *s, int seed) {
    static const int32_t yes[] = {10, 11}, no[] = {20};
    struct sg_dev *dev = NULL;
    struct sg_model *model = NULL;
    struct sg_engine *e = NULL;
    const struct sg_dev_options opt = {.backend = "cuda", .precision = s->precision};
    const struct sg_engine_hooks hooks = {.ctx = o, .on_done = on_done};
    memset(o, 0, sizeof *o);
    sg_emu_set_lazy(!s->eager);
    sg_emu_set_lane_stop(s->lane, s->stops ? s->first : -1, MORE);
    sg_emu_set_seed((uint64_t)seed);
    TINY_OK(sg_dev_open(&opt, &dev, err));
    assert_int_equal(sg_dev_info(dev)->lanes, SG_DEV_LANES);
    struct sg_backend spoilt = *dev->be;
    spoil(&spoilt, s->fault);
    dev->be = &spoilt;
    TINY_OK(sg_model_open(dev, dir, &(struct sg_model_options){.max_context = CONTEXT}, &model, err));
    const struct sg_config *c = sg_model_config(model);
    const struct sg_engine_options eng = {
        .max_batch_tokens = s->batch_tokens,
        .kv_cache_bytes = s->pages * (int64_t)sg_kv_page_bytes(dev, c->layers, c->kv_heads, c->head_dim),
        .max_context = CONTEXT,
        .max_samples = SAMPLES,
        .records = s->records,
        .overlap_rows = s->overlap_rows,
        .sampling = {.temperature = 1.3, .top_p = 1, .max_new_tokens = MAX_NEW, .ignore_eos = true},
        .yes_ids = yes,
        .no_ids = no,
        .n_yes = 2,
        .n_no = 1};
    struct sg_engine_memory plan;
    TINY_OK(sg_engine_plan(dev, model, &eng, &plan, err));
    const int64_t free_before = sg_dev_memory_free(dev);
    TINY_OK(sg_engine_open(dev, model, &eng, &hooks, &e, err));
    assert_true(free_before - sg_dev_memory_free(dev) <= plan.kv_bytes + plan.workspace_bytes);
    if (s->fault == ONE_WORKSPACE) {
        sg_dev_free(dev, e->ws[1].memory);
        e->ws[1].memory = e->ws[0].memory;
    }
    for (int32_t g = 0; g < GROUPS; g++) submit(e, g, c->vocab);
    for (bool busy = true; busy;) TINY_OK(sg_engine_step(e, &busy, err));
    sg_engine_stats(e, &o->stats);
    if (s->fault == ONE_WORKSPACE) e->ws[1].memory = NULL;
    sg_engine_close(e);
    sg_model_close(model);
    sg_dev_close(dev);
}

static struct outcome whole, whole_f32;
static const struct outcome *expected(const struct setup *s) {
    return s->precision == SG_PRECISION_FLOAT32 ? &whole_f32 : &whole;
}
static bool same(const struct outcome *a, const struct outcome *b) {
    return a->done == b->done && !memcmp(a->tokens, b->tokens, sizeof a->tokens) &&
           !memcmp(a->p_yes, b->p_yes, sizeof a->p_yes);
}

/* Exit code of a process that runs the setup: 0 for the bits of whole steps. Any other way to end is none: a fault
 * may hand rows to a kernel that lie outside of the memory. */
static int in_child(const struct setup *s, int seed) {
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static struct outcome o;
        /* whatever ends it ends the process: cmocka would go on in it with the next test */
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(50);
        run_with(&o, s, seed);
        exit(same(&o, expected(s)) ? 0 : 1); /* not _exit: a race detector tells at the end */
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_same_bits(void **state) {
    (void)state;
    static struct outcome o;
    static const struct {
        const char *name;
        struct setup s;
    } setups[] = {
        {"halves", {.overlap_rows = 1, .batch_tokens = 256, .pages = 100}},
        {"halves, a device that runs at once",
         {.overlap_rows = 1, .batch_tokens = 256, .pages = 100, .eager = true}},
        {"large steps in halves, small ones recorded",
         {.overlap_rows = 13, .batch_tokens = 64, .pages = 100}},
        {"halves beside padded steps, a small pool",
         {.overlap_rows = 5, .batch_tokens = 40, .pages = 14, .records = SG_GRAPHS_PAD}},
        {"halves in float32",
         {.overlap_rows = 1, .batch_tokens = 256, .pages = 100, .precision = SG_PRECISION_FLOAT32}},
    };
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
        for (int seed = 1; seed <= (i == 0 ? SEEDS : 1); seed++) {
            run_with(&o, &setups[i].s, seed);
            assert_int_equal(o.done, GROUPS);
            if (o.stats.halved <= 2)
                fail_msg("%s: %d of %d steps", setups[i].name, (int)o.stats.halved, (int)o.stats.steps);
            if (i == 2) assert_true(o.stats.replays > 0 && o.stats.halved < o.stats.steps);
            if (!same(&o, expected(&setups[i].s)))
                fail_msg("other bits with %s, seed %d", setups[i].name, seed);
        }
}

/* One lane stops, the other does all that it may. */
static void test_stops(void **state) {
    (void)state;
    static struct outcome o;
    struct setup s = {.overlap_rows = 1, .batch_tokens = 256, .pages = 100, .stops = true};
    for (int i = 0; i < FIRSTS; i++)
        for (s.lane = 0; s.lane < SG_DEV_LANES; s.lane++) {
            s.first = firsts[i];
            run_with(&o, &s, 1);
            assert_int_equal(o.stats.halved, 7);
            if (!same(&o, &whole)) fail_msg("other bits when lane %d stops behind %d", s.lane, s.first);
        }
}

/* The same orders, until one shows the fault: without luck, by what correct code is asked. */
static bool caught(struct setup s) {
    s.stops = true;
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        for (s.lane = 0; s.lane < SG_DEV_LANES; s.lane++) {
            s.first = firsts[i];
            const int code = in_child(&s, 1);
            if (code) print_message("%d, lane %d stopped behind %d and more: ", code, s.lane, s.first);
            if (code) return true;
        }
    return false;
}

static void test_faults(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum fault fault;
        enum sg_precision precision;
    } faults[] = {
        {"lane 1 does not wait for what was called before", NO_FORK, SG_PRECISION_BF16},
        {"lane 0 does not wait for lane 1", NO_JOIN, SG_PRECISION_BF16},
        {"lane 0 waits for lane 1 too early", JOIN_EARLY, SG_PRECISION_BF16},
        {"one array of activations", ONE_WORKSPACE, SG_PRECISION_BF16},
        {"one array of splits", ONE_PARTIAL, SG_PRECISION_BF16},
        {"one array of expanded weights", ONE_EXPANDED, SG_PRECISION_FLOAT32},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const struct setup s = {.fault = faults[i].fault,
                                .precision = faults[i].precision,
                                .overlap_rows = 1,
                                .batch_tokens = 256,
                                .pages = 100};
        if (!caught(s)) fail_msg("%s: not caught", faults[i].name);
        print_message("%s\n", faults[i].name);
    }
}

/* What may not be called on two lanes, and where they are not. */
static void test_contract(void **state) {
    (void)state;
    struct sg_dev *dev = NULL, *host = NULL;
    struct sg_err why = {0};
    const struct sg_dev_options opt = {.backend = "cuda"}, cpu = {.backend = "cpu", .threads = 1};
    struct sg_limits lim = tiny_limits();
    int32_t word = 0;
    void *p = NULL, *pinned = NULL;
    TINY_OK(sg_dev_open(&opt, &dev, err));
    TINY_OK(sg_dev_alloc(dev, 4, "word", &p, err));
    TINY_OK(sg_dev_host_alloc(dev, 4, "word", &pinned, err));
    TINY_OK(sg_dev_reserve(dev, &lim, err));
    const size_t one = sg_dev_reserve_bytes(dev, &lim);
    assert_int_equal(sg_dev_fork(dev, &why), SG_E_INTERNAL); /* one lane is reserved */
    lim.lanes = 2;
    assert_true(sg_dev_reserve_bytes(dev, &lim) > one);
    TINY_OK(sg_dev_reserve(dev, &lim, err));
    assert_int_equal(sg_dev_lane(dev, 1, &why), SG_E_INTERNAL);
    assert_int_equal(sg_dev_join(dev, &why), SG_E_INTERNAL);
    TINY_OK(sg_dev_fork(dev, err));
    assert_int_equal(sg_dev_fork(dev, &why), SG_E_INTERNAL);
    assert_int_equal(sg_dev_lane(dev, 2, &why), SG_E_INTERNAL);
    assert_int_equal(sg_dev_upload(dev, p, &word, 4, &why), SG_E_INTERNAL);
    assert_non_null(strstr(why.text, "on two lanes"));
    assert_int_equal(sg_dev_download(dev, &word, p, 4, &why), SG_E_INTERNAL);
    assert_int_equal(sg_dev_fetch(dev, 0, pinned, p, 4, &why), SG_E_INTERNAL);
    assert_int_equal(sg_dev_fetch_wait(dev, 0, &why), SG_E_INTERNAL);
    assert_int_equal(sg_dev_record_begin(dev, &why), SG_E_INTERNAL);
    assert_int_equal(sg_dev_sync(dev, &why), SG_E_INTERNAL);
    TINY_OK(sg_dev_lane(dev, 1, err));
    TINY_OK(sg_dev_join(dev, err));
    TINY_OK(sg_dev_upload(dev, p, &word, 4, err));
    sg_dev_host_free(dev, pinned);
    sg_dev_close(dev);
    TINY_OK(sg_dev_open(&cpu, &host, err));
    assert_int_equal(sg_dev_reserve(host, &lim, &why), SG_E_UNSUPPORTED);
    assert_int_equal(sg_dev_fork(host, &why), SG_E_UNSUPPORTED);
    sg_dev_close(host);
}

static int prepare(void **state) {
    (void)state;
    struct tiny tiny = TINY_DEFAULTS;
    tiny_dir(dir);
    tiny_checkpoint(dir, &tiny);
    struct setup s = {.batch_tokens = 256, .pages = 100};
    run_with(&whole, &s, 1);
    s.precision = SG_PRECISION_FLOAT32;
    run_with(&whole_f32, &s, 1);
    assert_true(whole.done == GROUPS && whole.stats.halved == 0 && !same(&whole, &whole_f32));
    return 0;
}
static int clean_up(void **state) {
    (void)state;
    tiny_remove(dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_stops),
                                       cmocka_unit_test(test_faults), cmocka_unit_test(test_contract)};
    return cmocka_run_group_tests(tests, prepare, clean_up);
}

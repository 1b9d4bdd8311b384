/* Opening, reserving and the checks in front of all backends: what fails fails by name and leaves nothing
 * behind (proved by failing the n-th allocation for every n), what was reserved is what was stated, and no
 * operator allocates. The program is linked with --wrap for the allocators and pthread_create. */
#include "kt.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- allocation counters ------------------------------------------------------------------------ */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void __real_free(void *p);
int __real_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);
void __wrap_free(void *p);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

static atomic_int left = -1; /* allocations until the one that fails; negative: none fails */
static atomic_int calls, live;
static atomic_size_t asked; /* bytes */

static bool fails(size_t bytes) {
    atomic_fetch_add(&calls, 1);
    atomic_fetch_add(&asked, bytes);
    if (left < 0) return false;
    return atomic_fetch_sub(&left, 1) == 0;
}
void *__wrap_malloc(size_t n) {
    void *p = fails(n) ? NULL : __real_malloc(n);
    live += p != NULL;
    return p;
}
void *__wrap_calloc(size_t n, size_t size) {
    void *p = fails(n * size) ? NULL : __real_calloc(n, size);
    live += p != NULL;
    return p;
}
void *__wrap_realloc(void *p, size_t n) {
    void *q = fails(n) ? NULL : __real_realloc(p, n);
    live += !p && q;
    return q;
}
int __wrap_posix_memalign(void **p, size_t align, size_t n) {
    const int rc = fails(n) ? ENOMEM : __real_posix_memalign(p, align, n);
    live += rc == 0;
    return rc;
}
void __wrap_free(void *p) {
    live -= p != NULL;
    __real_free(p);
}
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
    return fails(0) ? EAGAIN : __real_pthread_create(id, attr, fn, arg);
}

/* ---- a small world ------------------------------------------------------------------------------ */

enum { HIDDEN = 48, VOCAB = 70, HEADS = 4, KV = 2, DIM = 8, PAGES = 5, LAYERS = 2, ROWS = 6, CONTEXT = 64 };

static const struct sg_limits lim = {.max_rows = ROWS,
                                     .max_decode_rows = 4,
                                     .max_logit_rows = 5,
                                     .max_draws = 7,
                                     .max_context = CONTEXT,
                                     .q_heads = HEADS,
                                     .kv_heads = KV,
                                     .head_dim = DIM,
                                     .hidden = HIDDEN,
                                     .intermediate = 64,
                                     .vocab = VOCAB};

struct world {
    struct sg_dev *dev;
    struct sg_weight *w, *embed, *random;
    struct sg_kv *kv;
    void *mem;
};

static const float table[VOCAB * HIDDEN];

/* Everything that takes memory, in order; stops at the first failure. */
static enum sg_status build(struct world *w, int threads, struct sg_err *err) {
    const struct sg_dev_options opt = {.backend = kt_backend(), .isa = kt_isa(), .threads = threads};
    const struct sg_weight_part part = {table, SG_F32, VOCAB};
    enum sg_status st;
    memset(w, 0, sizeof *w);
    SG_TRY(sg_dev_open(&opt, &w->dev, err));
    SG_TRY(sg_dev_reserve(w->dev, &lim, err));
    SG_TRY(sg_weight_new(w->dev, &part, 1, HIDDEN, SG_USE_LINEAR, &w->w, err));
    SG_TRY(sg_weight_new(w->dev, &part, 1, HIDDEN, SG_USE_EMBED, &w->embed, err));
    SG_TRY(sg_weight_random(w->dev, VOCAB, HIDDEN, SG_USE_LINEAR, 1, &w->random, err));
    SG_TRY(sg_kv_new(w->dev, LAYERS, PAGES, KV, DIM, &w->kv, err));
    SG_TRY(sg_dev_alloc(w->dev, 1000, "something", &w->mem, err));
out:
    return st;
}

static void tear_down(struct world *w) {
    if (!w->dev) return;
    sg_dev_free(w->dev, w->mem);
    sg_kv_free(w->dev, w->kv);
    sg_weight_free(w->dev, w->w);
    sg_weight_free(w->dev, w->embed);
    sg_weight_free(w->dev, w->random);
    sg_dev_close(w->dev);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    int failed = 0;
    for (int n = 0;; n++) {
        struct world w;
        struct sg_err err = {0};
        const int before = live;
        left = n;
        const enum sg_status st = build(&w, 3, &err);
        left = -1;
        if (st == SG_OK) {
            tear_down(&w);
            assert_int_equal(live, before);
            break;
        }
        failed++;
        assert_true(st == SG_E_NOMEM || st == SG_E_DEVICE); /* DEVICE: no thread */
        assert_true(strlen(err.text) > 5);
        sg_dev_close(w.dev); /* NULL when it was the open that failed */
        assert_int_equal(live, before);
    }
    assert_true(failed >= 5);
}

/* Closing frees what the user forgot. */
static void test_close_frees_all(void **state) {
    (void)state;
    struct world w;
    const int before = live;
    KT_OK(build(&w, 2, &err));
    sg_dev_close(w.dev);
    assert_int_equal(live, before);
    sg_dev_close(NULL);
}

static void test_stated_bytes(void **state) {
    (void)state;
    enum { HEAD = 256 + 256 }; /* an allocation's own header, the guard's zones */
    struct world w;
    KT_OK(build(&w, 3, &err));
    struct sg_limits other = lim;
    other.max_rows = 33, other.vocab = 1001, other.max_context = 5000;
    const size_t want = sg_dev_reserve_bytes(w.dev, &other);
    size_t before = asked;
    KT_OK(sg_dev_reserve(w.dev, &other, &err));
    assert_in_range(asked - before, want, want + HEAD);
    struct sg_kv *kv;
    const size_t page = sg_kv_page_bytes(w.dev, LAYERS, KV, DIM);
    before = asked;
    KT_OK(sg_kv_new(w.dev, LAYERS, 100, KV, DIM, &kv, &err));
    const size_t stamps = strncmp(kt_backend(), "guard", 5) == 0 ? 4 * SG_PAGE_TOKENS * 100 * LAYERS : 0;
    assert_in_range(asked - before, 100 * page + stamps, 100 * page + stamps + HEAD);
    sg_kv_free(w.dev, kv);
    tear_down(&w);
}

/* ---- calls -------------------------------------------------------------------------------------- */

/* One of each operator, small; none may allocate. */
static void call_all(struct world *w) {
    struct sg_dev *dev = w->dev;
    float x[ROWS * 2 * 64], ones[64], cs[CONTEXT * DIM];
    for (int i = 0; i < ROWS * 2 * 64; i++) x[i] = 0.25f;
    for (int i = 0; i < 64; i++) ones[i] = 1;
    for (int i = 0; i < CONTEXT * DIM; i++) cs[i] = i % DIM < DIM / 2;
    const int32_t ids[ROWS] = {0, 1, 2, 3, 4, 5}, rows01[2] = {0, 2}, pos[1] = {0}, at[2] = {0, 1},
                  one[2] = {1, 1};
    const int32_t suffix_at[3] = {0, 1, 2}, suffix_pages[2] = {1, 2};
    const int32_t slots[ROWS] = {0, 1, 16, 32, 48, 49};
    void *dx = kt_act(dev, x, ROWS * 2 * 64), *dy = kt_act(dev, NULL, ROWS * VOCAB),
         *dq = kt_act(dev, x, ROWS * 64);
    float *d1 = kt_f32(dev, ones, 64), *dc = kt_f32(dev, cs, CONTEXT * DIM),
          *dl = kt_f32(dev, NULL, ROWS * VOCAB);
    int32_t *di = kt_i32(dev, ids, ROWS), *dr = kt_i32(dev, rows01, 2), *dp = kt_i32(dev, pos, 1),
            *da = kt_i32(dev, at, 2);
    int32_t *do1 = kt_i32(dev, one, 2), *dsa = kt_i32(dev, suffix_at, 3), *dsp = kt_i32(dev, suffix_pages, 2);
    int32_t *ds = kt_i32(dev, slots, ROWS), *dt = kt_i32(dev, ids, ROWS), *dz = kt_i32(dev, pos, 1);
    const float u[2] = {0.25f, 0.75f};
    float *du = kt_f32(dev, u, 2);
    const struct sg_draw_settings how[2] = {{0.5f, 0.9f, 0}, {0.5f, 0.9f, 3}};
    void *settings;
    KT_OK(sg_dev_alloc(dev, sizeof how, "settings", &settings, &err));
    KT_OK(sg_dev_upload(dev, settings, how, sizeof how, &err));

    const int before = calls;
    KT_OK(sg_op_embed(dev, w->embed, di, ROWS, dy, &err));
    KT_OK(sg_op_feed_tokens(dev, di, ROWS, do1, 2, dt, &err));
    KT_OK(sg_op_add_rmsnorm(dev, dx, NULL, d1, ROWS, HIDDEN, 1e-6f, dy, &err));
    KT_OK(sg_op_linear(dev, w->w, dx, ROWS, dy, &err));
    KT_OK(sg_op_logits(dev, w->w, dx, 5, dl, &err));
    const struct sg_qkv_args q = {.qkv = dx,
                                  .q_out = dq,
                                  .kv = w->kv,
                                  .layer = 1,
                                  .n = ROWS,
                                  .q_heads = HEADS,
                                  .kv_heads = KV,
                                  .head_dim = DIM,
                                  .q_norm = d1,
                                  .k_norm = d1,
                                  .cos_sin = dc,
                                  .eps = 1e-6f,
                                  .max_context = CONTEXT,
                                  .positions = di,
                                  .slot = ds};
    KT_OK(sg_op_qkv_rope(dev, &q, &err));
    const struct sg_prefill_args p = {.q = dq,
                                      .out = dy,
                                      .kv = w->kv,
                                      .layer = 1,
                                      .q_heads = HEADS,
                                      .kv_heads = KV,
                                      .head_dim = DIM,
                                      .scale = 1,
                                      .n_segs = 1,
                                      .row_begin = dr,
                                      .pos0 = dz,
                                      .page_begin = da,
                                      .pages = dp,
                                      .host_row_begin = rows01,
                                      .host_pos0 = pos,
                                      .host_page_begin = at};
    KT_OK(sg_op_attn_prefill(dev, &p, &err));
    const struct sg_decode_args d = {.q = dq,
                                     .out = dy,
                                     .kv = w->kv,
                                     .layer = 1,
                                     .q_heads = HEADS,
                                     .kv_heads = KV,
                                     .head_dim = DIM,
                                     .scale = 1,
                                     .n_groups = 1,
                                     .n_rows = 2,
                                     .row_begin = dr,
                                     .prompt_len = do1,
                                     .prompt_page_begin = da,
                                     .prompt_pages = dp,
                                     .suffix_len = do1,
                                     .suffix_page_begin = dsa,
                                     .suffix_pages = dsp,
                                     .host_row_begin = rows01,
                                     .host_prompt_len = one,
                                     .host_prompt_page_begin = at,
                                     .host_suffix_len = one,
                                     .host_suffix_page_begin = suffix_at};
    KT_OK(sg_op_attn_decode(dev, &d, &err));
    KT_OK(sg_op_swiglu(dev, dx, ROWS, 64, dy, &err));
    KT_OK(sg_op_gather_rows(dev, dx, ROWS, di, ROWS, HIDDEN, dy, &err));
    KT_OK(sg_op_l2norm(dev, dx, ROWS, HIDDEN, dl, &err));
    KT_OK(sg_op_logits(dev, w->w, dx, 5, dl, &err));
    KT_OK(sg_op_logprob(dev, dl, di, 5, VOCAB, dy, &err));
    struct sg_sample_args s = {.logits = dl,
                               .n_rows = 5,
                               .vocab = VOCAB,
                               .n = 2,
                               .row = do1,
                               .u = du,
                               .setting = da,
                               .settings = settings,
                               .host_settings = how,
                               .n_settings = 2,
                               .token = dt};
    KT_OK(sg_op_sample(dev, &s, &err));
    KT_OK(sg_dev_sync(dev, &err));
    assert_int_equal(calls, before);

    void *all[] = {dx, dy, dq, d1, dc, dl, di, dr, dp, da, do1, dsa, dsp, ds, dt, dz, du, settings};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
}

static void test_no_operator_allocates(void **state) {
    (void)state;
    struct world w;
    KT_OK(build(&w, 3, &err));
    call_all(&w);
    struct sg_stage_stats stats[SG_STAGE_COUNT];
    sg_dev_stats(w.dev, stats);
    for (int s = 0; s < SG_STAGE_COUNT; s++) {
        if (s == SG_STAGE_STEP) continue; /* replays: test_op_record */
        assert_true(stats[s].calls > 0 && stats[s].bytes > 0);
        assert_true(strlen(sg_stage_name((enum sg_stage)s)) > 2);
    }
    assert_true(stats[SG_STAGE_LINEAR].flops == 2.0 * ROWS * VOCAB * HIDDEN);
    sg_dev_stats_reset(w.dev);
    sg_dev_stats(w.dev, stats);
    assert_true(stats[SG_STAGE_LINEAR].calls == 0 && stats[SG_STAGE_LINEAR].ns == 0);
    KT_OK(sg_dev_reserve(w.dev, &lim, &err)); /* a second reserve replaces the first */
    call_all(&w);
    tear_down(&w);
}

/* Pages of a large block that the system has given. */
static int64_t resident(bool touch, size_t bytes) {
    const struct sg_dev_options opt = {
        .backend = kt_backend(), .isa = kt_isa(), .threads = 1, .touch = touch};
    struct sg_dev *dev = NULL;
    void *p = NULL;
    KT_OK(sg_dev_open(&opt, &dev, &err));
    KT_OK(sg_dev_alloc(dev, bytes, "something", &p, &err));
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), lo = ((uintptr_t)p + page - 1) / page * page;
    const size_t pages = bytes / page - 1;
    unsigned char *in = calloc(pages, 1);
    assert_non_null(in);
    assert_int_equal(mincore((void *)lo, pages * page, in), 0);
    int64_t n = 0;
    for (size_t i = 0; i < pages; i++) n += in[i] & 1;
    free(in);
    sg_dev_close(dev);
    return n * (int64_t)page;
}

static void test_touched_memory(void **state) {
    (void)state;
    const size_t bytes = (size_t)40 << 20; /* more than malloc takes from memory that was freed */
    assert_true(resident(true, bytes) > (int64_t)bytes * 9 / 10);
    if (strncmp(kt_backend(), "guard", 5) != 0) assert_true(resident(false, bytes) < (int64_t)bytes / 2);
}

/* ---- refusals ----------------------------------------------------------------------------------- */

static void test_open_errors(void **state) {
    (void)state;
    struct sg_dev *dev = NULL;
    struct sg_dev_options o = {.backend = "gpu9"};
    KT_REFUSED(sg_dev_open(&o, &dev, &err), SG_E_USAGE, "it has: auto, ref, cpu, guard");
    o = (struct sg_dev_options){.backend = "cpu", .isa = "sse9"};
    KT_REFUSED(sg_dev_open(&o, &dev, &err), SG_E_USAGE, "expected auto, scalar, avx2, avx512 or avx512bf16");
    o = (struct sg_dev_options){.backend = "cpu", .threads = -1};
    KT_REFUSED(sg_dev_open(&o, &dev, &err), SG_E_USAGE, "-1 threads");
    o = (struct sg_dev_options){.backend = "guard:guard"};
    KT_REFUSED(sg_dev_open(&o, &dev, &err), SG_E_USAGE, "the guard can wrap ref or cpu");
    o = (struct sg_dev_options){.backend = "guard:none"};
    KT_REFUSED(sg_dev_open(&o, &dev, &err), SG_E_USAGE, "the guard can wrap ref or cpu");
    assert_null(dev);
    KT_OK(sg_dev_open(NULL, &dev, &err));
    assert_true(sg_dev_info(dev)->threads >= 1 && sg_dev_info(dev)->memory_bytes > 0);
    sg_dev_close(dev);
    bool listed = false;
    for (int i = 0; sg_backend_name(i); i++) listed |= strcmp(sg_backend_name(i), "cpu") == 0;
    assert_true(listed);
    assert_null(sg_backend_name(-1));
}

static void test_refusals(void **state) {
    (void)state;
    struct world w, other;
    struct sg_dev *fresh = kt_open(1);
    KT_OK(build(&w, 1, &err));
    KT_OK(build(&other, 1, &err));
    struct sg_dev *dev = w.dev;
    float *f = kt_f32(dev, table, 2048), *g = kt_f32(dev, table, 2048);
    int32_t *ids = kt_i32(dev, (const int32_t[8]){0}, 8);
    KT_REFUSED(sg_op_swiglu(fresh, f, 1, 4, g, &err), SG_E_INTERNAL, "swiglu: called before sg_dev_reserve");
    KT_REFUSED(sg_op_swiglu(dev, f, ROWS + 1, 4, g, &err), SG_E_INTERNAL, "swiglu: 7 rows, 6 reserved");
    KT_REFUSED(sg_op_swiglu(dev, f, -1, 4, g, &err), SG_E_INTERNAL, "swiglu: -1 rows");
    KT_REFUSED(sg_op_swiglu(dev, f, 1, 0, g, &err), SG_E_INTERNAL, "swiglu: 0 columns");
    KT_REFUSED(sg_op_swiglu(dev, NULL, 1, 4, g, &err), SG_E_INTERNAL, "swiglu: NULL");
    KT_REFUSED(sg_op_swiglu(dev, f, 1, 4, f + 7, &err), SG_E_INTERNAL, "swiglu: out overlaps gate_up");
    KT_OK(sg_op_swiglu(dev, NULL, 0, 4, NULL, &err)); /* no rows: nothing to do */
    KT_REFUSED(sg_op_embed(dev, w.w, ids, 1, f, &err), SG_E_INTERNAL,
               "embed: the weight was not made for this use");
    KT_REFUSED(sg_op_embed(dev, other.embed, ids, 1, f, &err), SG_E_INTERNAL,
               "embed: the weight belongs to another device");
    KT_REFUSED(sg_op_linear(dev, w.embed, f, 1, g, &err), SG_E_INTERNAL,
               "linear: the weight was not made for this use");
    KT_REFUSED(sg_op_linear(dev, NULL, f, 1, g, &err), SG_E_INTERNAL, "linear: NULL weight");
    KT_REFUSED(sg_op_linear(dev, w.w, f, 1, f + 10, &err), SG_E_INTERNAL, "linear: y overlaps x");
    KT_REFUSED(sg_op_logits(dev, w.w, f, 6, g, &err), SG_E_INTERNAL, "logits: 6 rows, 5 reserved");
    KT_REFUSED(sg_op_add_rmsnorm(dev, f, NULL, g, 1, 8, 1e-6f, f, &err), SG_E_INTERNAL,
               "add_rmsnorm: out overlaps resid");
    KT_REFUSED(sg_op_add_rmsnorm(dev, f, f, g, 1, 8, 1e-6f, g, &err), SG_E_INTERNAL,
               "add_rmsnorm: resid overlaps delta");
    KT_REFUSED(sg_op_add_rmsnorm(dev, f, NULL, g, 1, 8, NAN, g + 99, &err), SG_E_INTERNAL,
               "add_rmsnorm: 8 columns, eps nan");
    KT_REFUSED(sg_op_gather_rows(dev, f, 1, ids, 1, 8, f + 3, &err), SG_E_INTERNAL,
               "gather_rows: out overlaps x");
    KT_REFUSED(sg_op_l2norm(dev, f, 2, 8, f + 3, &err), SG_E_INTERNAL, "l2norm: out overlaps x");
    KT_REFUSED(sg_op_logprob(dev, f, ids, 1, VOCAB + 1, g, &err), SG_E_INTERNAL,
               "logprob: vocabulary of 71, 70 reserved");

    struct sg_qkv_args q = {.qkv = f,
                            .q_out = g,
                            .kv = w.kv,
                            .layer = 2,
                            .n = 1,
                            .q_heads = HEADS,
                            .kv_heads = KV,
                            .head_dim = DIM,
                            .eps = 1e-6f,
                            .max_context = 4};
    KT_REFUSED(sg_op_qkv_rope(dev, &q, &err), SG_E_INTERNAL, "qkv_rope: layer 2 of 2");
    q.layer = 0, q.head_dim = 16;
    KT_REFUSED(sg_op_qkv_rope(dev, &q, &err), SG_E_INTERNAL,
               "qkv_rope: 2 key heads of 16, the KV pool has 2 of 8");
    q.head_dim = DIM, q.q_heads = 3;
    KT_REFUSED(sg_op_qkv_rope(dev, &q, &err), SG_E_INTERNAL, "qkv_rope: 3 query heads over 2 key heads");
    q.q_heads = HEADS, q.kv = other.kv;
    KT_REFUSED(sg_op_qkv_rope(dev, &q, &err), SG_E_INTERNAL,
               "qkv_rope: the KV pool belongs to another device");

    const int32_t rows[2] = {0, 4}, bad_rows[2] = {1, 4}, pos[1] = {14}, at[2] = {0, 1}, far[1] = {61};
    struct sg_prefill_args p = {.q = f,
                                .out = g,
                                .kv = w.kv,
                                .q_heads = HEADS,
                                .kv_heads = KV,
                                .head_dim = DIM,
                                .scale = 1,
                                .n_segs = 1,
                                .row_begin = ids,
                                .pos0 = ids,
                                .page_begin = ids,
                                .pages = ids,
                                .host_row_begin = rows,
                                .host_pos0 = pos,
                                .host_page_begin = at};
    KT_REFUSED(sg_op_attn_prefill(dev, &p, &err), SG_E_INTERNAL,
               "attn_prefill: segment 0 has 1 pages for 18 tokens");
    p.host_pos0 = far;
    KT_REFUSED(sg_op_attn_prefill(dev, &p, &err), SG_E_INTERNAL,
               "attn_prefill: segment 0 has positions 61..65");
    p.host_row_begin = bad_rows;
    KT_REFUSED(sg_op_attn_prefill(dev, &p, &err), SG_E_INTERNAL, "attn_prefill: row_begin[0] is 1, not 0");

    const int32_t one[2] = {0, 1}, len[1] = {3}, none[1] = {0};
    struct sg_decode_args d = {.q = f,
                               .out = g,
                               .kv = w.kv,
                               .q_heads = HEADS,
                               .kv_heads = KV,
                               .head_dim = DIM,
                               .scale = 1,
                               .n_groups = 1,
                               .n_rows = 1,
                               .row_begin = ids,
                               .prompt_len = ids,
                               .prompt_page_begin = ids,
                               .prompt_pages = ids,
                               .suffix_len = ids,
                               .suffix_page_begin = ids,
                               .suffix_pages = ids,
                               .host_row_begin = one,
                               .host_prompt_len = len,
                               .host_prompt_page_begin = one,
                               .host_suffix_len = none,
                               .host_suffix_page_begin = one};
    KT_REFUSED(sg_op_attn_decode(dev, &d, &err), SG_E_INTERNAL,
               "attn_decode: row 0 has 1 pages for 0 suffix tokens");
    d.host_suffix_len = len, d.out = f + 1;
    KT_REFUSED(sg_op_attn_decode(dev, &d, &err), SG_E_INTERNAL, "attn_decode: out overlaps q in part");
    d.bound_group_rows = 1, d.bound_prompt_len = 16, d.bound_suffix_len = 2;
    KT_REFUSED(sg_op_attn_decode(dev, &d, &err), SG_E_INTERNAL,
               "attn_decode: row 0 has 3 suffix tokens, the bound is 2");
    d.bound_prompt_len = 2;
    KT_REFUSED(sg_op_attn_decode(dev, &d, &err), SG_E_INTERNAL,
               "attn_decode: group 0 has 1 rows and 3 prompt tokens, the bounds are 1 and 2");
    d.n_rows = 5;
    KT_REFUSED(sg_op_attn_decode(dev, &d, &err), SG_E_INTERNAL, "attn_decode: 5 rows, 4 reserved");

    struct sg_draw_settings how[2] = {{1, 1, 0}, {1, 1, 0}};
    struct sg_sample_args s = {
        .logits = f, .n_rows = 1, .vocab = VOCAB, .n = 8, .host_settings = how, .n_settings = 2};
    KT_REFUSED(sg_op_sample(dev, &s, &err), SG_E_INTERNAL, "sample: 8 draws, 7 reserved");
    s.n = 1, how[1].top_p = 0;
    KT_REFUSED(sg_op_sample(dev, &s, &err), SG_E_INTERNAL, "sample: top_p 0");
    how[1].top_p = 1, how[1].temperature = NAN;
    KT_REFUSED(sg_op_sample(dev, &s, &err), SG_E_INTERNAL, "sample: temperature nan");
    how[1].temperature = 1, s.n_settings = 0;
    KT_REFUSED(sg_op_sample(dev, &s, &err), SG_E_INTERNAL, "sample: 0 settings");
    s.n_settings = 2;
    KT_REFUSED(sg_op_sample(dev, &s, &err), SG_E_INTERNAL, "sample: NULL logits, row, u, setting");
    s.n_yes = 1;
    KT_REFUSED(sg_op_sample(dev, &s, &err), SG_E_INTERNAL, "sample: 1 yes and 0 no ids, or NULL");

    struct sg_weight *none_made = NULL;
    struct sg_weight_part parts[2] = {{table, SG_F32, 2}, {table, SG_BF16, 2}};
    KT_REFUSED(sg_weight_new(dev, parts, 2, 4, SG_USE_LINEAR, &none_made, &err), SG_E_INTERNAL,
               "part 1 is BF16, part 0 is F32");
    KT_REFUSED(sg_weight_new(dev, parts, 1, 0, SG_USE_LINEAR, &none_made, &err), SG_E_INTERNAL,
               "shape [2][0]");
    assert_null(none_made);
    struct sg_kv *kv = NULL;
    KT_REFUSED(sg_kv_new(dev, 1, 1, 1, 12, &kv, &err), SG_E_UNSUPPORTED, "head_dim 12");
    KT_REFUSED(sg_kv_new(dev, 1, 0, 1, 8, &kv, &err), SG_E_UNSUPPORTED, "0 pages");
    struct sg_limits bad = lim;
    bad.q_heads = 18;
    KT_REFUSED(sg_dev_reserve(fresh, &bad, &err), SG_E_UNSUPPORTED, "18 query heads over 2 key heads");
    bad = lim, bad.head_dim = 264;
    KT_REFUSED(sg_dev_reserve(fresh, &bad, &err), SG_E_UNSUPPORTED, "head_dim 264");
    bad = lim, bad.max_rows = -1;
    KT_REFUSED(sg_dev_reserve(fresh, &bad, &err), SG_E_INTERNAL, "limits out of range (rows -1");
    sg_dev_free(dev, f), sg_dev_free(dev, g), sg_dev_free(dev, ids);
    tear_down(&w);
    tear_down(&other);
    sg_dev_close(fresh);
}

static void test_measure(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    double flops = 0, bytes = 0;
    KT_OK(sg_dev_measure(dev, &flops, &bytes, &err));
    assert_true(flops > 1e6 && flops < 1e16); /* a plausible machine, and no zero to divide by */
    assert_true(bytes > 1e6 && bytes < 1e14);
    sg_dev_close(dev);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_close_frees_all),
        cmocka_unit_test(test_stated_bytes),
        cmocka_unit_test(test_no_operator_allocates),
        cmocka_unit_test(test_touched_memory),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_measure),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}

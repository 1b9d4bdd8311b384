/* sg_op_sample against the distribution of its contract, computed in double with a full sort.
 *
 * Every draw is checked by itself: u, which the test can compute too, must lie in the token's interval of the
 * CDF, give or take `slack`: float32 sums of n weights are off by n u relative, the weights by 4 u and by the
 * rounding of the scaled logits, |z| u each; where top_p cuts, the same again for the nucleus.
 * Then frequencies by chi-square (fixed seed), and that what is excluded never appears. */
#include "kt.h"

struct kept {
    int32_t n;
    int32_t *id; /* in the order of the contract */
    double *end; /* end[i]: CDF after token i; 1 for the last */
    bool unsure; /* a token of weight beyond the slack stands where top_p cuts: the test cannot tell */
};

struct ranked {
    float z;
    int32_t id;
};
static int by_rank(const void *pa, const void *pb) {
    const struct ranked *a = pa, *b = pb;
    if (a->z != b->z) return a->z > b->z ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Tokens that top_p cuts off by less than `slack` are kept too, with ends above 1. */
static struct kept expect(const float *logits, int32_t vocab, float temperature, int32_t top_k, float top_p,
                          double slack) {
    struct ranked *r = kt_malloc((size_t)vocab * sizeof *r);
    for (int32_t j = 0; j < vocab; j++) r[j] = (struct ranked){logits[j] / temperature, j};
    qsort(r, (size_t)vocab, sizeof *r, by_rank);
    int32_t n = vocab;
    if (top_k > 0 && top_k < vocab)
        for (n = top_k; n < vocab && r[n].z == r[top_k - 1].z;) n++;
    struct kept k = {.id = kt_malloc((size_t)n * sizeof *k.id), .end = kt_malloc((size_t)n * sizeof *k.end)};
    double mass = 0, sum = 0, nucleus = 0;
    for (int32_t i = 0; i < n; i++) mass += exp((double)r[i].z - r[0].z);
    for (int32_t i = 0; i < n; i++) {
        const double p = exp((double)r[i].z - r[0].z), over = sum / mass - (double)top_p;
        if (top_p < 1 && i > 0) {
            if (over >= 0 && nucleus == 0) nucleus = sum;
            k.unsure |= fabs(over) <= slack && p / mass > slack;
            if (over >= slack) break;
        }
        sum += p;
        k.id[k.n] = r[i].id;
        k.end[k.n++] = sum;
    }
    if (nucleus == 0) nucleus = sum;
    for (int32_t i = 0; i < k.n; i++) k.end[i] /= nucleus;
    free(r);
    return k;
}

static void kept_free(struct kept *k) {
    free(k->id), free(k->end);
}

struct draws {
    int32_t n_rows, vocab, n, top_k;
    float temperature, top_p; /* of all draws, unless there are settings */
    const struct sg_draw_settings *settings;
    const int32_t *setting;
    int32_t n_settings;
    const float *logits;
    const int32_t *row, *yes, *no;
    int32_t n_yes, n_no;
    const float *u;
};

static void run(struct sg_dev *dev, const struct draws *d, int32_t *token, float *p_yes, float *logprob) {
    const struct sg_draw_settings only = {d->temperature, d->top_p, d->top_k};
    struct sg_sample_args a = {.n_rows = d->n_rows, .vocab = d->vocab, .n = d->n};
    a.host_settings = d->settings ? d->settings : &only, a.n_settings = d->settings ? d->n_settings : 1;
    a.n_yes = d->n_yes, a.n_no = d->n_no;
    int32_t *first = calloc((size_t)d->n, sizeof *first), *setting;
    void *settings;
    const size_t bytes = (size_t)a.n_settings * sizeof only;
    setting = kt_i32(dev, d->settings ? d->setting : first, d->n);
    free(first);
    KT_OK(sg_dev_alloc(dev, bytes, "settings", &settings, &err));
    KT_OK(sg_dev_upload(dev, settings, a.host_settings, bytes, &err));
    a.settings = settings, a.setting = setting;
    float *logits = kt_f32(dev, d->logits, (int64_t)d->n_rows * d->vocab);
    float *py = p_yes ? kt_f32(dev, NULL, d->n) : NULL, *lp = logprob ? kt_f32(dev, NULL, d->n) : NULL;
    int32_t *row = kt_i32(dev, d->row, d->n), *tok = kt_i32(dev, NULL, d->n);
    int32_t *yes = d->n_yes ? kt_i32(dev, d->yes, d->n_yes) : NULL,
            *no = d->n_no ? kt_i32(dev, d->no, d->n_no) : NULL;
    float *u = kt_f32(dev, d->u, d->n);
    a.logits = logits, a.row = row, a.u = u, a.yes_ids = yes, a.no_ids = no;
    a.token = tok, a.p_yes = py, a.logprob = lp;
    KT_OK(sg_op_sample(dev, &a, &err));
    kt_get(dev, tok, (size_t)d->n * sizeof *token, token);
    if (py) kt_get(dev, py, (size_t)d->n * sizeof *py, p_yes);
    if (lp) kt_get(dev, lp, (size_t)d->n * sizeof *lp, logprob);
    void *all[] = {logits, py, lp, row, tok, yes, no, u, settings, setting};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
}

enum { DRAWS = 4000 };
struct keys {
    float u[DRAWS];
    int32_t row[DRAWS]; /* all zero */
};
static struct keys *keys_new(uint64_t seed) {
    struct keys *k = kt_malloc(sizeof *k);
    memset(k, 0, sizeof *k);
    for (int i = 0; i < DRAWS; i++)
        k->u[i] = sg_uniform(sg_random64(seed, (uint64_t)(i / 4)), (uint32_t)(i % 4));
    return k;
}

/* Backends that are meant to be right, or are most often emulated: fewer draws. */
static bool is_slow(void) {
    return kt_is("ref") || kt_is("cuda") || (kt_isa() && strcmp(kt_isa(), "scalar") == 0);
}

/* Upper 1e-6 point of chi-square (Wilson and Hilferty). */
static double chi_limit(double df) {
    const double t = 1 - 2 / (9 * df) + 4.75 * sqrt(2 / (9 * df));
    return df * t * t * t;
}

/* Frequencies of the kept tokens; tokens expected fewer than five times are put together. */
static void check_frequencies(const struct kept *k, const int32_t *count, int32_t n) {
    double chi = 0, rest_want = 0, rest = 0;
    int bins = 0;
    for (int32_t i = 0; i < k->n; i++) {
        const double want = n * (k->end[i] - (i ? k->end[i - 1] : 0));
        if (want < 5) {
            rest_want += want, rest += count[k->id[i]];
            continue;
        }
        chi += (count[k->id[i]] - want) * (count[k->id[i]] - want) / want;
        bins++;
    }
    if (rest_want >= 5) chi += (rest - rest_want) * (rest - rest_want) / rest_want, bins++;
    if (bins > 1 && chi > chi_limit(bins - 1)) fail_msg("chi-square %.1f over %d bins", chi, bins);
}

static void check(struct sg_dev *dev, const float *logits, int32_t vocab, int32_t n, float t, int32_t top_k,
                  float top_p) {
    struct keys *k = keys_new((uint64_t)(vocab + 7 * top_k));
    int32_t *token = kt_malloc((size_t)n * sizeof *token), *count = calloc((size_t)vocab, sizeof *count);
    int32_t *place = kt_malloc((size_t)vocab * sizeof *place);
    const struct draws d = {.n_rows = 1,
                            .vocab = vocab,
                            .n = n,
                            .top_k = top_k,
                            .temperature = t,
                            .top_p = top_p,
                            .logits = logits,
                            .row = k->row,
                            .u = k->u};
    run(dev, &d, token, NULL, NULL);
    double top = 0;
    for (int32_t j = 0; j < vocab; j++) top = fmax(top, fabs((double)(isinf(logits[j]) ? 0 : logits[j] / t)));
    const int32_t most = top_k > 0 && top_k < vocab ? top_k : vocab;
    const double edge = (most + 16 + 2 * top) * KT_U, slack = edge + (top_p < 1 ? edge / (double)top_p : 0);
    struct kept e = expect(logits, vocab, t, top_k, top_p, edge);
    if (e.unsure) fail_msg("the test's top_p %g falls on an edge of the CDF: choose another", (double)top_p);
    for (int32_t j = 0; j < vocab; j++) place[j] = -1;
    for (int32_t i = 0; i < e.n; i++) place[e.id[i]] = i;
    for (int32_t i = 0; i < n; i++) {
        const double u = (double)k->u[i];
        if (token[i] < 0 || token[i] >= vocab || place[token[i]] < 0)
            fail_msg("draw %d of T %g k %d p %g: token %d is excluded", i, (double)t, top_k, (double)top_p,
                     token[i]);
        const int32_t at = place[token[i]];
        const double lo = at ? e.end[at - 1] : 0, hi = e.end[at];
        if (u < lo - slack || u > hi + slack)
            fail_msg("draw %d of T %g k %d p %g: token %d spans %.9g..%.9g, u %.9g", i, (double)t, top_k,
                     (double)top_p, token[i], lo, hi, u);
        count[token[i]]++;
    }
    check_frequencies(&e, count, n);
    kept_free(&e);
    free(k), free(token), free(count), free(place);
}

static void test_distribution(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { SMALL = 99 };
    float x[SMALL], one = 3;
    kt_fill(x, SMALL, 131, 4, false);
    x[17] = x[60] = x[61] = 3.5f; /* ties high in the order */
    x[3] = x[4] = -INFINITY;      /* ruled out */
    static const struct {
        float t;
        int32_t k;
        float p;
    } c[] = {{1, 0, 1},       {0.6f, 20, 0.95f}, {1, 1, 1},         {1, 5, 1},
             {0.3f, 0, 0.5f}, {2, 98, 0.9f},     {1, 99, 0.801f},   {1, 1000, 1},
             {1, 0, 1e-6f},   {5, 2, 0.7f},      {1e-3f, 10, 0.9f}, {50, 0, 0.999f}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        check(dev, x, SMALL, is_slow() ? DRAWS / 4 : DRAWS, c[i].t, c[i].k, c[i].p);
    check(dev, &one, 1, 10, 1, 0, 1);
    check(dev, &one, 1, 10, 0.5f, 1, 0.5f);
    sg_dev_close(dev);
}

/* Many equal logits: the k-th value is shared, all of them stay; and 0 and -0 are equal. */
static void test_ties(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { VOCAB = 1000 };
    float x[VOCAB];
    for (int j = 0; j < VOCAB; j++) x[j] = (float)(j % 7) - 6; /* 142 or 143 of each of -6..0 */
    for (int j = 6; j < VOCAB; j += 14) x[j] = -0.0f;
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 3, 1);
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 200, 0.333f);
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 0.7f, 0, 0.41f);
    for (int j = 0; j < VOCAB; j++) x[j] = 1;
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 10, 1);
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 0, 0.30051f);
    sg_dev_close(dev);
}

/* Every one of the k largest far from the others: a search by blocks of the vocabulary must find the last. */
static void test_scattered_top_k(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { VOCAB = 4096, K = 12 };
    float x[VOCAB];
    for (int j = 0; j < VOCAB; j++) x[j] = -30 + (float)kt_uniform(136, j);
    for (int i = 0; i < K + 3; i++) x[(i * 7 % 15) * 270 + 13] = 3 - 0.1f * (float)i;
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, K, 1);
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 1, 1);
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 31, 1);
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 32, 1);
    check(dev, x, VOCAB, is_slow() ? DRAWS / 4 : DRAWS, 1, 33, 0.93f);
    sg_dev_close(dev);
}

/* Where the nucleus ends exactly at a token: the next has not less than top_p before it and stays out. Equal
 * logits, so that every sum is exact on every device. */
static void test_exact_nucleus(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { VOCAB = 64, N = 400 };
    static const struct {
        float p;
        int32_t kept;
    } c[] = {{0.5f, 8}, {0.0625f, 1}, {0.9375f, 15}, {0.03125f, 1}, {0.53125f, 9}};
    float x[VOCAB];
    for (int j = 0; j < VOCAB; j++) x[j] = j % 4 == 3 ? 2.5f : -200; /* 16 that share all */
    struct keys *k = keys_new(6);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        int32_t token[N], seen = 0;
        bool drawn[VOCAB] = {false};
        const struct draws d = {.n_rows = 1,
                                .vocab = VOCAB,
                                .n = N,
                                .temperature = 0.5f,
                                .top_p = c[i].p,
                                .logits = x,
                                .row = k->row,
                                .u = k->u};
        run(dev, &d, token, NULL, NULL);
        for (int j = 0; j < N; j++) {
            assert_true(token[j] % 4 == 3);
            seen += !drawn[token[j]];
            drawn[token[j]] = true;
        }
        assert_int_equal(seen, c[i].kept);
        assert_true(drawn[c[i].kept * 4 - 1]); /* the lowest ids are kept */
    }
    free(k);
    sg_dev_close(dev);
}

/* As many candidates as a device keeps on the chip (1024 on cuda), one more and one less, by vocabulary and
 * by top_k; all nearly as likely, so that a lost one moves every draw behind it. */
static void test_list_limit(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    float x[1200];
    for (int j = 0; j < 1200; j++) x[j] = (float)((j * 367) % 1200) * 1e-3f; /* all different, scattered */
    for (int32_t n = 1023; n <= 1025; n++) {
        check(dev, x, n, is_slow() ? 100 : DRAWS, 1, 0, 1);
        check(dev, x, 1200, is_slow() ? 100 : DRAWS, 1, n, 1);
    }
    check(dev, x, 1200, is_slow() ? 100 : DRAWS, 1, 1199, 1);
    sg_dev_close(dev);
}

static void test_large_vocabulary(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { VOCAB = 151936 };
    const bool slow = is_slow();
    const int32_t n = slow ? 8 : 100;
    float *x = kt_malloc(VOCAB * sizeof *x);
    kt_fill(x, VOCAB, 141, 6, false);
    for (int32_t i = 0; i < 40; i++) x[kt_pick(142, i, VOCAB)] = 9 + (float)i * 0.25f;
    check(dev, x, VOCAB, n, 0.6f, 20, 0.95f);
    check(dev, x, VOCAB, n, 1, 0, 0.9f);
    check(dev, x, VOCAB, n, 1, 0, 1);
    check(dev, x, VOCAB, n, 1, 2000, 0.99f);
    for (int32_t j = 0; j < VOCAB; j++)
        x[j] = (float)kt_uniform(143, j) * 1e-3f; /* flat: no head to stop at */
    check(dev, x, VOCAB, slow ? 4 : 20, 1, 0, 1);
    check(dev, x, VOCAB, slow ? 4 : 20, 1, 0, 0.5f);
    free(x);
    sg_dev_close(dev);
}

static void test_greedy_and_broken(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { VOCAB = 300, ROWS = 7 };
    float *x = kt_malloc(ROWS * VOCAB * sizeof *x), p_yes[ROWS], logprob[ROWS];
    kt_fill(x, ROWS * VOCAB, 151, 1, false);
    x[0 * VOCAB + 299] = 5;
    x[1 * VOCAB + 200] = x[1 * VOCAB + 40] = x[1 * VOCAB + 41] = 7; /* the lowest id of equals */
    x[2 * VOCAB + 150] = NAN;
    x[3 * VOCAB + 150] = INFINITY;
    x[4 * VOCAB + 150] = -INFINITY; /* fine */
    x[4 * VOCAB + 0] = 9;
    for (int j = 0; j < VOCAB; j++) x[5 * VOCAB + j] = -INFINITY; /* nothing left */
    for (int j = 0; j < VOCAB; j++) x[6 * VOCAB + j] = -3e38f;
    x[6 * VOCAB + 77] = -2e38f;
    static const int32_t row[ROWS] = {0, 1, 2, 3, 4, 5, 6}, want[ROWS] = {299, 40, -1, -1, 0, -1, 77};
    static const int32_t yes[1] = {1}, no[1] = {2};
    static const float u[ROWS];
    static const struct {
        float t, p;
        int32_t k;
    } c[] = {{0, 1, 0}, {0, 0.5f, 20}, {1e-3f, 1, 1}, {1e-3f, 1e-6f, 0}};
    for (int i = 0; i < 4; i++) {
        int32_t token[ROWS];
        const struct draws d = {.n_rows = ROWS,
                                .vocab = VOCAB,
                                .n = i ? 6 : ROWS,
                                .top_k = c[i].k,
                                .temperature = c[i].t,
                                .top_p = c[i].p,
                                .logits = x,
                                .row = row,
                                .u = u,
                                .yes = yes,
                                .no = no,
                                .n_yes = 1,
                                .n_no = 1};
        run(dev, &d, token, p_yes, logprob);
        for (int r = 0; r < d.n; r++) {
            if (r == 1 && c[i].k == 1 && c[i].t > 0) /* all three equals are kept by top_k */
                assert_true(token[r] == 40 || token[r] == 41 || token[r] == 200);
            else
                assert_int_equal(token[r], want[r]);
            assert_true(isnan(p_yes[r]) == (want[r] < 0));
            assert_true(isnan(logprob[r]) == (want[r] < 0));
        }
    }
    free(x);
    sg_dev_close(dev);
}

/* p_yes: (n_yes + n_no + 10) u relative. logprob: as in test_op_logprob.c. */
static void test_outputs(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    enum { VOCAB = 4096, ROWS = 19, N = 40 };
    float *x = kt_malloc(ROWS * VOCAB * sizeof *x), p_yes[N], logprob[N];
    kt_fill(x, ROWS * VOCAB, 161, 5, false);
    static const int32_t yes[3] = {4095, 17, 2000}, no[2] = {0, 100};
    x[2 * VOCAB + 17] = 80;                                  /* one rules all */
    x[3 * VOCAB + 17] = 150, x[3 * VOCAB + 100] = 149;       /* exp of these is no float */
    for (int j = 0; j < VOCAB; j++) x[4 * VOCAB + j] -= 200; /* nor of these */
    struct keys *k = keys_new(3);
    for (int i = 0; i < N; i++) k->row[i] = i * 7 % ROWS;
    int32_t token[N];
    double want_p[N], want_l[N], bound_p[N], bound_l[N];
    struct draws d = {.n_rows = ROWS,
                      .vocab = VOCAB,
                      .n = N,
                      .top_k = 20,
                      .temperature = 0.6f,
                      .top_p = 0.95f,
                      .logits = x,
                      .row = k->row,
                      .u = k->u,
                      .yes = yes,
                      .no = no,
                      .n_yes = 3,
                      .n_no = 2};
    run(dev, &d, token, p_yes, logprob);
    for (int i = 0; i < N; i++) {
        const float *row = x + k->row[i] * VOCAB;
        double y = 0, n = 0, sum = 0;
        for (int j = 0; j < 3; j++) y += exp((double)row[yes[j]]);
        for (int j = 0; j < 2; j++) n += exp((double)row[no[j]]);
        for (int j = 0; j < VOCAB; j++) sum += exp((double)row[j]);
        want_p[i] = y / (y + n), bound_p[i] = 15 * KT_U * want_p[i];
        want_l[i] = row[token[i]] - log(sum), bound_l[i] = (VOCAB + 8) * KT_U + 650 * KT_U;
    }
    kt_close("p_yes", p_yes, want_p, bound_p, N);
    kt_close("logprob", logprob, want_l, bound_l, N);
    for (int i = 0; i < N; i++) { /* each draw alone: the same */
        struct draws one = d;
        int32_t t;
        float p, l;
        one.n = 1, one.row = k->row + i, one.u = k->u + i;
        run(dev, &one, &t, &p, &l);
        assert_int_equal(t, token[i]);
        kt_same_bits("p_yes alone", &p, p_yes + i, 1);
        kt_same_bits("logprob alone", &l, logprob + i, 1);
    }
    d.n_yes = 0;
    run(dev, &d, token, p_yes, NULL);
    for (int i = 0; i < N; i++) assert_true(isnan(p_yes[i]));
    d.n_yes = 3, d.n_no = 0;
    run(dev, &d, token, p_yes, NULL);
    for (int i = 0; i < N; i++) assert_true(isnan(p_yes[i]));
    free(x), free(k);
    sg_dev_close(dev);
}

/* Draws of many settings in one call: every one is what it is in a call of its own setting alone. */
static void test_mixed_settings(void **state) {
    (void)state;
    struct sg_dev *dev = kt_open(2);
    kt_reserve(dev, NULL);
    static const struct sg_draw_settings settings[] = {{0.6f, 0.95f, 20}, {0, 1, 0},    {1.3f, 1, 0},
                                                       {1, 0.5f, 0},      {2, 1, 3},    {0.6f, 0.95f, 20},
                                                       {0.2f, 0.9f, 40},  {1, 1, 2000}, {5, 0.999f, 299}};
    enum { VOCAB = 300, ROWS = 4, KINDS = sizeof settings / sizeof *settings, N = 30 * KINDS };
    float x[ROWS * VOCAB], p_yes[N], logprob[N], p[N], l[N];
    kt_fill(x, ROWS * VOCAB, 181, 3, false);
    static const int32_t yes[1] = {17}, no[1] = {18};
    struct keys *k = keys_new(5);
    int32_t setting[N], token[N], alone[N], seen = 0;
    for (int i = 0; i < N; i++) k->row[i] = i * 3 % ROWS, setting[i] = (i * 7 + i / 13) % KINDS;
    struct draws d = {.n_rows = ROWS,
                      .vocab = VOCAB,
                      .n = N,
                      .settings = settings,
                      .setting = setting,
                      .n_settings = KINDS,
                      .logits = x,
                      .row = k->row,
                      .u = k->u,
                      .yes = yes,
                      .no = no,
                      .n_yes = 1,
                      .n_no = 1};
    run(dev, &d, token, p_yes, logprob);
    d.settings = NULL;
    for (int s = 0; s < KINDS; s++) {
        d.temperature = settings[s].temperature, d.top_p = settings[s].top_p, d.top_k = settings[s].top_k;
        run(dev, &d, alone, p, l);
        int differ = 0;
        for (int i = 0; i < N; i++) {
            differ += alone[i] != token[i];
            if (setting[i] != s) continue;
            assert_int_equal(token[i], alone[i]);
            kt_same_bits("p_yes mixed", p_yes + i, p + i, 1);
            kt_same_bits("logprob mixed", logprob + i, l + i, 1);
            seen++;
        }
        assert_true(differ > N / 4); /* the settings do matter */
    }
    assert_int_equal(seen, N);
    free(k);
    sg_dev_close(dev);
}

static void test_isa_and_threads(void **state) {
    (void)state;
    if (!kt_is("cpu")) skip();
    enum { VOCAB = 4099, N = 500 };
    float *x = kt_malloc(2 * VOCAB * sizeof *x), *p = kt_malloc(4 * N * sizeof *p), *l = p + N, *p0 = l + N,
          *l0 = p0 + N;
    kt_fill(x, 2 * VOCAB, 171, 5, false);
    static const int32_t yes[2] = {1, 5}, no[2] = {7, 4098};
    static const int threads[] = {1, 3};
    struct keys *k = keys_new(4);
    for (int i = 0; i < N; i++) k->row[i] = i % 2;
    int32_t token[N], first[N];
    for (int c = 0; c < 3; c++) {
        const struct draws d = {.n_rows = 2,
                                .vocab = VOCAB,
                                .n = N,
                                .top_k = c == 0 ? 50 : 0,
                                .temperature = 0.9f,
                                .top_p = c == 1 ? 1.0f : 0.9f,
                                .logits = x,
                                .row = k->row,
                                .u = k->u,
                                .yes = yes,
                                .no = no,
                                .n_yes = 2,
                                .n_no = 2};
        bool have = false;
        for (const char *const *isa = kt_isas(); *isa; isa++)
            for (int i = 0; i < 2; i++) {
                struct sg_dev *dev = kt_open_as("cpu", *isa, threads[i]);
                kt_reserve(dev, NULL);
                run(dev, &d, token, p, l);
                if (have) {
                    assert_memory_equal(token, first, sizeof token);
                    kt_same_bits(*isa, p, p0, N);
                    kt_same_bits(*isa, l, l0, N);
                }
                memcpy(first, token, sizeof token);
                memcpy(p0, p, 2 * N * sizeof *p);
                have = true;
                sg_dev_close(dev);
            }
    }
    free(x), free(p), free(k);
}

int main(int argc, char **argv) {
    kt_init(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution),      cmocka_unit_test(test_ties),
        cmocka_unit_test(test_scattered_top_k),   cmocka_unit_test(test_exact_nucleus),
        cmocka_unit_test(test_list_limit),        cmocka_unit_test(test_large_vocabulary),
        cmocka_unit_test(test_greedy_and_broken), cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_mixed_settings),    cmocka_unit_test(test_isa_and_threads),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}

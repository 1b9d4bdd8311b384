#include "kt.h"

static char backend[32], isa[16];
static bool bf16;

void kt_init(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BACKEND[:ISA][,bf16]\n", argv[0]);
        exit(2);
    }
    snprintf(backend, sizeof backend, "%s", argv[1]);
    char *comma = strchr(backend, ','), *colon = strchr(backend, ':');
    bf16 = comma && !strcmp(comma, ",bf16");
    if (bf16) *comma = 0;
    if (colon && strncmp(backend, "guard:", 6) != 0) {
        snprintf(isa, sizeof isa, "%s", colon + 1);
        *colon = 0;
    }
    if (getenv("KT_ONLY")) cmocka_set_test_filter(getenv("KT_ONLY"));
    sg_dev_close(kt_open(1)); /* skips at once where there is no such thing */
}

const char *kt_backend(void) {
    return backend;
}

const char *kt_isa(void) {
    return isa[0] ? isa : NULL;
}

bool kt_is(const char *name) {
    if (strncmp(backend, "guard", 5) == 0) return strcmp(name, backend[5] ? backend + 6 : "cpu") == 0;
    return strcmp(name, backend) == 0;
}

struct sg_dev *kt_open_as(const char *name, const char *set, int threads) {
    const bool f32 = set && !strcmp(set, "float32");
    const struct sg_dev_options opt = {.backend = name,
                                       .isa = f32 ? NULL : set,
                                       .threads = threads,
                                       .precision = f32    ? SG_PRECISION_FLOAT32
                                                    : bf16 ? SG_PRECISION_BF16
                                                           : SG_PRECISION_AUTO};
    struct sg_dev *dev;
    struct sg_err err = {0};
    const enum sg_status st = sg_dev_open(&opt, &dev, &err);
    if (st == SG_OK) return dev;
    fprintf(stderr, "%s: %s\n", st == SG_E_DEVICE ? "SKIP" : "cannot open", err.text);
    exit(st == SG_E_DEVICE ? 77 : 1);
}

struct sg_dev *kt_open(int threads) {
    return kt_open_as(backend, kt_isa(), threads);
}

const char *const *kt_isas(void) {
    static const char *const all[] = {"scalar", "avx2", "avx512", "avx512bf16"};
    static const char *here[5];
    int n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct sg_dev_options opt = {.backend = "cpu", .isa = all[i], .threads = 1};
        struct sg_dev *dev;
        if (sg_dev_open(&opt, &dev, NULL) != SG_OK) continue;
        sg_dev_close(dev);
        here[n++] = all[i];
    }
    here[n] = NULL;
    return here;
}

struct sg_limits kt_limits(void) {
    return (struct sg_limits){.max_rows = 600,
                              .max_decode_rows = 128,
                              .max_logit_rows = 600,
                              .max_draws = 4096,
                              .max_context = 2048,
                              .q_heads = 16,
                              .kv_heads = 8,
                              .head_dim = 256,
                              .hidden = 4096,
                              .intermediate = 4096,
                              .vocab = 151936};
}

void kt_reserve(struct sg_dev *dev, const struct sg_limits *lim) {
    const struct sg_limits mine = kt_limits();
    KT_OK(sg_dev_reserve(dev, lim ? lim : &mine, &err));
}

void kt_ok(enum sg_status st, const struct sg_err *err) {
    if (st != SG_OK) fprintf(stderr, "%s: %s\n", sg_status_name(st), err->text);
    assert_int_equal(st, SG_OK);
}

void kt_refused(enum sg_status got, const struct sg_err *err, enum sg_status want, const char *text) {
    if (got != want || !err->text[0] || !strstr(err->text, text))
        fail_msg("got %s: %s; expected %s with '%s'", sg_status_name(got), err->text, sg_status_name(want),
                 text);
}

double kt_uniform(uint64_t stream, int64_t i) {
    return (double)(sg_random64(stream, (uint64_t)i) >> 11) * 0x1p-53;
}

int32_t kt_pick(uint64_t stream, int64_t i, int32_t below) {
    return (int32_t)(kt_uniform(stream, i) * below);
}

void kt_fill(float *x, int64_t n, uint64_t stream, float scale, bool outliers) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)(2 * kt_uniform(stream, i) - 1) * scale;
        if (outliers && kt_pick(stream ^ 0x0117, i, 97) == 0) x[i] *= 100;
    }
}

static uint16_t to_bf16(float x) {
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    if (isnan(x)) return (uint16_t)(b >> 16 | 0x40);
    return (uint16_t)((b + 0x7FFF + (b >> 16 & 1)) >> 16); /* to nearest, ties to even */
}

static float from_bf16(uint16_t h) {
    const uint32_t b = (uint32_t)h << 16;
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

void kt_round_act(const struct sg_dev *dev, float *x, int64_t n) {
    if (sg_dev_info(dev)->products != SG_BF16) return;
    for (int64_t i = 0; i < n; i++) x[i] = from_bf16(to_bf16(x[i]));
}

/* `bytes` of x in an allocation of `room`. */
static void *on_device(struct sg_dev *dev, const void *x, size_t bytes, size_t room) {
    void *p;
    KT_OK(sg_dev_alloc(dev, room, "test data", &p, &err));
    if (x) KT_OK(sg_dev_upload(dev, p, x, bytes, &err));
    return p;
}

static void *put_act(struct sg_dev *dev, const float *x, int64_t n, int64_t room) {
    if (sg_dev_info(dev)->act == SG_F32)
        return on_device(dev, x, (size_t)n * sizeof *x, (size_t)room * sizeof *x);
    uint16_t *h = kt_malloc((size_t)n * sizeof *h);
    for (int64_t i = 0; x && i < n; i++) h[i] = to_bf16(x[i]);
    void *p = on_device(dev, x ? h : NULL, (size_t)n * sizeof *h, (size_t)room * sizeof *h);
    free(h);
    return p;
}
void *kt_act(struct sg_dev *dev, const float *x, int64_t n) {
    return put_act(dev, x, n, n);
}
void *kt_act_rows(struct sg_dev *dev, const float *x, int32_t n, int64_t cols) {
    return put_act(dev, x, n * cols, sg_tile_rows(dev, n) * cols);
}

float *kt_f32(struct sg_dev *dev, const float *x, int64_t n) {
    return on_device(dev, x, (size_t)n * sizeof *x, (size_t)n * sizeof *x);
}
float *kt_f32_rows(struct sg_dev *dev, int32_t n, int64_t cols) {
    return on_device(dev, NULL, 0, (size_t)sg_tile_rows(dev, n) * (size_t)cols * sizeof(float));
}

int32_t *kt_i32(struct sg_dev *dev, const int32_t *x, int64_t n) {
    return on_device(dev, x, (size_t)n * sizeof *x, (size_t)n * sizeof *x);
}

void kt_get(struct sg_dev *dev, const void *p, size_t bytes, void *out) {
    KT_OK(sg_dev_download(dev, out, p, bytes, &err));
    KT_OK(sg_dev_sync(dev, &err));
}

void kt_act_get(struct sg_dev *dev, const void *p, int64_t n, float *out) {
    if (sg_dev_info(dev)->act == SG_F32) {
        kt_get(dev, p, (size_t)n * sizeof *out, out);
        return;
    }
    uint16_t *h = kt_malloc((size_t)n * sizeof *h);
    kt_get(dev, p, (size_t)n * sizeof *h, h);
    for (int64_t i = 0; i < n; i++) out[i] = from_bf16(h[i]);
    free(h);
}

double kt_act_round(const struct sg_dev *dev) {
    return sg_dev_info(dev)->act == SG_F32 ? KT_U : 0x1p-8;
}

double kt_inner_round(const struct sg_dev *dev) {
    return sg_dev_info(dev)->products == SG_F32 ? 0 : 0x1p-8;
}

/* Round to nearest binary16 for |x| in its normal range or zero; smaller values become zero (test data). */
static uint16_t to_f16(float *x) {
    uint32_t b;
    memcpy(&b, x, sizeof b);
    const uint32_t sign = b >> 16 & 0x8000u;
    if (fabsf(*x) < 0x1p-14f) {
        *x = 0;
        return (uint16_t)sign;
    }
    b &= 0x7FFFFFFFu;
    b = (b + 0xFFF + (b >> 13 & 1)) >> 13; /* exponent and ten bits */
    const uint32_t back = (b << 13) | sign << 16;
    memcpy(x, &back, sizeof back);
    return (uint16_t)(sign | (b - (112u << 10)));
}

void *kt_encode(float *w, int64_t n, enum sg_dtype t) {
    char *bytes = kt_malloc((size_t)n * sg_dtype_bytes(t));
    for (int64_t i = 0; i < n; i++) {
        if (t == SG_F32) {
            memcpy(bytes + i * 4, &w[i], 4);
            continue;
        }
        const uint16_t h = t == SG_BF16 ? to_bf16(w[i]) : to_f16(&w[i]);
        if (t == SG_BF16) w[i] = from_bf16(h);
        memcpy(bytes + i * 2, &h, 2);
    }
    return bytes;
}

bool kt_has_head_dim(struct sg_dev *dev, int32_t head_dim) {
    struct sg_kv *kv = NULL;
    struct sg_err err = {0};
    const enum sg_status st = sg_kv_new(dev, 1, 1, 1, head_dim, &kv, &err);
    if (st == SG_E_UNSUPPORTED) return false;
    kt_ok(st, &err);
    sg_kv_free(dev, kv);
    return true;
}

void kt_write_kv(struct sg_dev *dev, struct sg_kv *kv, int32_t layer, int32_t kv_heads, int32_t head_dim,
                 int32_t n, const int32_t *slots, float *k, float *v, float k_gain) {
    const int32_t width = kv_heads * head_dim;
    float *qkv = calloc((size_t)n * 3 * (size_t)width, sizeof *qkv),
          *gain = kt_malloc((size_t)head_dim * sizeof *gain);
    float *cs = calloc((size_t)head_dim, sizeof *cs);
    int32_t *zeros = calloc((size_t)n, sizeof *zeros);
    const bool signs = sg_dev_info(dev)->products == SG_BF16;
    for (int64_t i = 0; signs && i < (int64_t)n * width; i++)
        if (!isnan(k[i])) k[i] = copysignf(1, k[i]);
    kt_round_act(dev, v, (int64_t)n * width);
    for (int32_t i = 0; i < n; i++) {
        memcpy(qkv + ((int64_t)i * 3 + 1) * width, k + (int64_t)i * width, (size_t)width * sizeof *k);
        memcpy(qkv + ((int64_t)i * 3 + 2) * width, v + (int64_t)i * width, (size_t)width * sizeof *v);
    }
    for (int32_t d = 0; d < head_dim; d++) gain[d] = k_gain;
    for (int32_t d = 0; d < head_dim / 2; d++) cs[d] = 1; /* position 0: no rotation */
    struct sg_qkv_args a = {.kv = kv, .layer = layer, .n = n, .q_heads = kv_heads, .kv_heads = kv_heads};
    a.head_dim = head_dim;
    a.eps = 1e-6f;
    a.max_context = 1;
    void *d_qkv = kt_act(dev, qkv, (int64_t)n * 3 * width), *d_q = kt_act(dev, NULL, (int64_t)n * width);
    float *d_gain = kt_f32(dev, gain, head_dim), *d_cs = kt_f32(dev, cs, head_dim);
    int32_t *d_pos = kt_i32(dev, zeros, n), *d_slot = kt_i32(dev, slots, n);
    a.qkv = d_qkv, a.q_out = d_q, a.q_norm = a.k_norm = d_gain, a.cos_sin = d_cs, a.positions = d_pos,
    a.slot = d_slot;
    const struct sg_limits lim = kt_limits();
    for (int32_t i = 0; i < n; i += lim.max_rows) { /* in pieces that the reserve allows */
        struct sg_qkv_args part = a;
        const size_t act = sg_dtype_bytes(sg_dev_info(dev)->act);
        part.n = n - i < lim.max_rows ? n - i : lim.max_rows;
        part.qkv = (char *)d_qkv + (size_t)i * 3 * (size_t)width * act;
        part.q_out = (char *)d_q + (size_t)i * (size_t)width * act;
        part.positions = d_pos + i;
        part.slot = d_slot + i;
        KT_OK(sg_op_qkv_rope(dev, &part, &err));
    }
    for (int64_t h = 0; h < (int64_t)n * kv_heads; h++) {
        double squares = 0;
        float *x = k + h * head_dim;
        for (int32_t d = 0; d < head_dim; d++) squares += (double)x[d] * x[d];
        const double by = 1 / sqrt(squares / head_dim + 1e-6f);
        for (int32_t d = 0; d < head_dim; d++) x[d] = (float)(x[d] * by * k_gain);
    }
    kt_round_act(dev, k, (int64_t)n * width);
    KT_OK(sg_dev_sync(dev, &err));
    void *all[] = {d_qkv, d_q, d_gain, d_cs, d_pos, d_slot};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
    free(qkv), free(gain), free(cs), free(zeros);
}

void kt_close(const char *what, const float *got, const double *want, const double *bound, int64_t n) {
    int64_t bad = 0, alive = 0;
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        alive += isnan(want[i]) || fabs(want[i]) > 10 * bound[i];
        if (isnan(want[i]) && isnan(got[i])) continue;
        const double off = fabs((double)got[i] - want[i]);
        if (bound[i] > 0 && off / bound[i] > worst) worst = off / bound[i];
        if (off <= bound[i]) continue;           /* false for NaN */
        if ((double)got[i] == want[i]) continue; /* infinities */
        if (bad++ < 10)
            fprintf(stderr, "%s [%lld]: got %.9g, expected %.9g +- %.3g\n", what, (long long)i,
                    (double)got[i], want[i], bound[i]);
    }
    if (bad)
        fprintf(stderr, "%s: %lld of %lld values off, the worst by %.3g of its bound\n", what, (long long)bad,
                (long long)n, worst);
    if (4 * alive < n)
        fprintf(stderr, "%s: only %lld of %lld expected values stand out of their error bound\n", what,
                (long long)alive, (long long)n);
    assert_true(bad == 0);
    assert_true(4 * alive >= n);
}

void kt_same_bits(const char *what, const float *a, const float *b, int64_t n) {
    int64_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        if (memcmp(&a[i], &b[i], sizeof *a) == 0) continue;
        if (bad++ < 10)
            fprintf(stderr, "%s [%lld]: %.9g and %.9g\n", what, (long long)i, (double)a[i], (double)b[i]);
    }
    assert_true(bad == 0);
}

void *kt_malloc(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (!p) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return p;
}

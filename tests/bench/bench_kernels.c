/* bench_kernels - speed of the cpu backend's operators beside the machine's own limits.
 *
 *   bench_kernels [THREADS [ISA [float32|bf16]]]   (default: all cores, the widest instruction set, float32)
 *
 * Products: GFLOP/s, percent of OpenBLAS sgemm on the same shape where libopenblas is installed (loaded at
 * run time: the program does not need it), and the rate at which weights are read as percent of the measured
 * memory bandwidth; weights rotate through more memory than the caches hold. Attention, sampling and row
 * operators: time and GFLOP/s. Times are the best of several rounds: run it on a machine that is idle. With one thread
 * they are the thread's own, and what else runs matters less. */
#include "base/rng.h"
#include "kernels/kernels.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROWS = 512, MAX_COPIES = 64, CONTEXT = 1024, HEADS = 16, KV_HEADS = 8, DIM = 128, VOCAB = 151936 };

static struct sg_dev *dev;
static int threads;

static void need(enum sg_status st, const struct sg_err *err) {
    if (st == SG_OK) return;
    fprintf(stderr, "bench_kernels: %s\n", err->text);
    exit(sg_status_exit_code(st));
}
#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct sg_err err = {0};                                                                             \
        need((call), &err);                                                                                  \
    } while (0)

static double now(void) {
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* *best: the shortest time of one call. */
#define BEST(best, rounds, call)                                                                             \
    do {                                                                                                     \
        *(best) = 1e9;                                                                                       \
        for (int round_ = 0; round_ < (rounds); round_++) {                                                  \
            const double t_ = now();                                                                         \
            call;                                                                                            \
            if (now() - t_ < *(best)) *(best) = now() - t_;                                                  \
        }                                                                                                    \
    } while (0)

static float uniform(uint64_t stream, int64_t i) {
    return (float)(sg_random64(stream, (uint64_t)i) >> 40) * 0x1p-24f - 0.5f;
}

static float *floats(int64_t n, uint64_t stream) {
    float *x = malloc((size_t)n * sizeof *x);
    if (!x) exit(1);
    for (int64_t i = 0; i < n; i++) x[i] = stream ? uniform(stream, i) : 0;
    return x;
}

static void *upload(const void *x, size_t bytes) {
    void *p;
    OK(sg_dev_alloc(dev, bytes, "bench", &p, &err));
    OK(sg_dev_upload(dev, p, x, bytes, &err));
    return p;
}

/* ---- products ----------------------------------------------------------------------------------- */
typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                      const float *b, int ldb, float beta, float *c, int ldc);

static sgemm_fn *find_sgemm(void) {
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW);
    sgemm_fn *gemm = NULL;
    void (*set)(int) = NULL;
    if (!lib) return NULL;
    *(void **)&gemm = dlsym(lib, "cblas_sgemm"); /* the POSIX way to get a function pointer */
    *(void **)&set = dlsym(lib, "openblas_set_num_threads");
    if (set) set(threads);
    return gemm;
}

static void bench_product(sgemm_fn *sgemm, int32_t cols, int32_t rows, double read_rate) {
    static const int32_t batch[] = {1, 8, 16, 32, 64, 512};
    const int64_t size = (int64_t)rows * cols;
    float *w = floats(size, 1), *x = floats((int64_t)MAX_ROWS * cols, 2),
          *y = floats((int64_t)MAX_ROWS * rows, 0);
    uint16_t *bf16 = malloc((size_t)size * sizeof *bf16);
    if (!bf16) exit(1);
    for (int64_t i = 0; i < size; i++) {
        uint32_t bits;
        memcpy(&bits, &w[i], sizeof bits);
        bf16[i] = (uint16_t)(bits >> 16);
    }
    const int64_t bytes = 2 * size;
    int copies = (int)(160000000 / bytes);
    if (copies > MAX_COPIES) copies = MAX_COPIES;
    struct sg_weight *weights[MAX_COPIES];
    const struct sg_weight_part part = {bf16, SG_BF16, rows};
    for (int i = 0; i < copies; i++) OK(sg_weight_new(dev, &part, 1, cols, SG_USE_LINEAR, &weights[i], &err));
    void *dx = upload(x, sizeof *x * MAX_ROWS * (size_t)cols),
         *dy = upload(y, sizeof *y * MAX_ROWS * (size_t)rows);
    for (size_t b = 0; b < sizeof batch / sizeof *batch; b++) {
        const int32_t n = batch[b];
        const int calls = n >= 512 ? 4 : copies;
        double best = 1e9, best_gemm = 1e9;
        for (int round = 0; round < 5; round++) {
            const double t = now();
            for (int i = 0; i < calls; i++) OK(sg_op_linear(dev, weights[i % copies], dx, n, dy, &err));
            const double s = (now() - t) / calls;
            if (s < best) best = s;
        }
        const double flops = 2.0 * n * (double)size;
        printf("linear %4d x %4d, %3d rows: %9.1f us %6.1f GFLOP/s, weights %5.1f GB/s = %3.0f%% of memory",
               cols, rows, n, 1e6 * best, 1e-9 * flops / best, 1e-9 * (double)bytes / best,
               100 * (double)bytes / best / read_rate);
        for (int round = 0; sgemm && round < 5; round++) {
            const double t = now();
            sgemm(101, 111, 112, n, rows, cols, 1, x, cols, w, cols, 0, y, rows);
            const double s = now() - t;
            if (s < best_gemm) best_gemm = s;
        }
        if (sgemm) printf(", sgemm %6.1f: %3.0f%%", 1e-9 * flops / best_gemm, 100 * best_gemm / best);
        printf("\n");
    }
    for (int i = 0; i < copies; i++) sg_weight_free(dev, weights[i]);
    sg_dev_free(dev, dx);
    sg_dev_free(dev, dy);
    free(w), free(x), free(y), free(bf16);
}

/* ---- attention ---------------------------------------------------------------------------------- */
static int32_t *ints(int32_t n, int32_t first, int32_t step) {
    int32_t *x = malloc((size_t)n * sizeof *x);
    if (!x) exit(1);
    for (int32_t i = 0; i < n; i++) x[i] = first + i * step;
    return x;
}

/* Prompts of 800 tokens in four groups of eight samples with 32 tokens each: the shape of a demo step. */
static void bench_attention(void) {
    enum { GROUPS = 4, SAMPLES = 8, PROMPT = 800, SUFFIX = 32, ROWS = GROUPS * SAMPLES, CALLS = 10 };
    enum {
        PROMPT_PAGES = PROMPT / SG_PAGE_TOKENS,
        SUFFIX_PAGES = SUFFIX / SG_PAGE_TOKENS,
        WIDTH = HEADS * DIM
    };
    enum { PAGES = GROUPS * PROMPT_PAGES + ROWS * SUFFIX_PAGES, QKV = (HEADS + 2 * KV_HEADS) * DIM };
    struct sg_kv *kv;
    OK(sg_kv_new(dev, 1, PAGES, KV_HEADS, DIM, &kv, &err));
    float *qkv = floats((int64_t)MAX_ROWS * QKV, 3), ones[DIM], cs[DIM];
    for (int i = 0; i < DIM; i++) ones[i] = 1, cs[i] = i < DIM / 2;
    int32_t *zeros = ints(MAX_ROWS, 0, 0);
    void *d_qkv = upload(qkv, sizeof *qkv * MAX_ROWS * QKV),
         *d_q = upload(qkv, sizeof *qkv * MAX_ROWS * WIDTH);
    void *d_out = upload(qkv, sizeof *qkv * MAX_ROWS * WIDTH), *d_one = upload(ones, sizeof ones);
    void *d_cs = upload(cs, sizeof cs), *d_pos = upload(zeros, sizeof *zeros * MAX_ROWS);
    for (int32_t at = 0; at < PAGES * SG_PAGE_TOKENS; at += MAX_ROWS) { /* fill the pool */
        const int32_t n = PAGES * SG_PAGE_TOKENS - at < MAX_ROWS ? PAGES * SG_PAGE_TOKENS - at : MAX_ROWS;
        int32_t *slots = ints(n, at, 1);
        void *d_slots = upload(slots, sizeof *slots * (size_t)n);
        const struct sg_qkv_args a = {.qkv = d_qkv,
                                      .q_out = d_q,
                                      .kv = kv,
                                      .n = n,
                                      .q_heads = HEADS,
                                      .kv_heads = KV_HEADS,
                                      .head_dim = DIM,
                                      .q_norm = d_one,
                                      .k_norm = d_one,
                                      .cos_sin = d_cs,
                                      .eps = 1e-6f,
                                      .max_context = 1,
                                      .positions = d_pos,
                                      .slot = d_slots};
        const double t = now();
        OK(sg_op_qkv_rope(dev, &a, &err));
        if (at == 0) printf("qkv_rope, %d rows: %.0f us\n", n, 1e6 * (now() - t));
        sg_dev_free(dev, d_slots);
        free(slots);
    }
    const int32_t rows[2] = {0, MAX_ROWS}, pos0[1] = {PROMPT - MAX_ROWS}, page_at[2] = {0, PROMPT_PAGES};
    int32_t *pages = ints(PAGES, 0, 1);
    void *d_rows = upload(rows, sizeof rows), *d_pos0 = upload(pos0, sizeof pos0),
         *d_at = upload(page_at, sizeof page_at);
    void *d_pages = upload(pages, sizeof *pages * PAGES);
    const struct sg_prefill_args p = {.q = d_q,
                                      .out = d_out,
                                      .kv = kv,
                                      .q_heads = HEADS,
                                      .kv_heads = KV_HEADS,
                                      .head_dim = DIM,
                                      .scale = 0.088f,
                                      .n_segs = 1,
                                      .row_begin = d_rows,
                                      .pos0 = d_pos0,
                                      .page_begin = d_at,
                                      .pages = d_pages,
                                      .host_row_begin = rows,
                                      .host_pos0 = pos0,
                                      .host_page_begin = page_at};
    int32_t *group_rows = ints(GROUPS + 1, 0, SAMPLES), *lens = ints(GROUPS, PROMPT, 0);
    int32_t *group_pages = ints(GROUPS + 1, 0, PROMPT_PAGES), *own = ints(ROWS, SUFFIX, 0);
    int32_t *own_pages = ints(ROWS + 1, 0, SUFFIX_PAGES);
    void *d[] = {upload(group_rows, 4 * (GROUPS + 1)), upload(lens, 4 * GROUPS),
                 upload(group_pages, 4 * (GROUPS + 1)), upload(own, 4 * ROWS),
                 upload(own_pages, 4 * (ROWS + 1))};
    const struct sg_decode_args a = {.q = d_q,
                                     .out = d_out,
                                     .kv = kv,
                                     .q_heads = HEADS,
                                     .kv_heads = KV_HEADS,
                                     .head_dim = DIM,
                                     .scale = 0.088f,
                                     .n_groups = GROUPS,
                                     .n_rows = ROWS,
                                     .row_begin = d[0],
                                     .prompt_len = d[1],
                                     .prompt_page_begin = d[2],
                                     .prompt_pages = d_pages,
                                     .suffix_len = d[3],
                                     .suffix_page_begin = d[4],
                                     .suffix_pages = (int32_t *)d_pages + GROUPS * PROMPT_PAGES,
                                     .host_row_begin = group_rows,
                                     .host_prompt_len = lens,
                                     .host_prompt_page_begin = group_pages,
                                     .host_suffix_len = own,
                                     .host_suffix_page_begin = own_pages};
    sg_dev_stats_reset(dev);
    double prefill, decode;
    BEST(&prefill, CALLS, OK(sg_op_attn_prefill(dev, &p, &err)));
    BEST(&decode, CALLS, OK(sg_op_attn_decode(dev, &a, &err)));
    struct sg_stage_stats s[SG_STAGE_COUNT];
    sg_dev_stats(dev, s);
    printf("attn_prefill, rows %d..%d of %d: %.0f us, %.1f GFLOP/s\n", PROMPT - MAX_ROWS, PROMPT, PROMPT,
           1e6 * prefill, 1e-9 * s[SG_STAGE_PREFILL].flops / CALLS / prefill);
    printf("attn_decode, %d groups of %d, prompt %d, suffix %d: %.0f us, %.1f GFLOP/s, KV %.1f GB/s\n",
           GROUPS, SAMPLES, PROMPT, SUFFIX, 1e6 * decode, 1e-9 * s[SG_STAGE_DECODE].flops / CALLS / decode,
           1e-9 * s[SG_STAGE_DECODE].bytes / CALLS / decode);
    void *all[] = {d_qkv, d_q, d_out, d_one, d_cs, d_pos, d_rows, d_pos0, d_at, d_pages};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
    for (size_t i = 0; i < sizeof d / sizeof *d; i++) sg_dev_free(dev, d[i]);
    sg_kv_free(dev, kv);
    free(qkv), free(zeros), free(pages), free(group_rows), free(lens), free(group_pages), free(own),
        free(own_pages);
}

/* ---- the rest ----------------------------------------------------------------------------------- */

static void bench_sample(const char *what, float temperature, int32_t top_k, float top_p) {
    enum { ROWS = 32, CALLS = 3 };
    float *x = floats((int64_t)ROWS * VOCAB, 4);
    for (int64_t i = 0; i < (int64_t)ROWS * VOCAB; i++) x[i] *= 12;
    for (int64_t i = 0; i < ROWS * 30; i++)
        x[i / 30 * VOCAB + (int64_t)(sg_random64(5, (uint64_t)i) % VOCAB)] = 9 + uniform(6, i);
    int32_t *row = ints(ROWS, 0, 1);
    float u[ROWS];
    for (int i = 0; i < ROWS; i++) u[i] = sg_uniform(7, (uint32_t)i);
    const struct sg_draw_settings how = {temperature, top_p, top_k};
    const int32_t first[ROWS] = {0};
    struct sg_sample_args a = {
        .n_rows = ROWS, .vocab = VOCAB, .n = ROWS, .host_settings = &how, .n_settings = 1};
    void *d_how = upload(&how, sizeof how), *d_first = upload(first, sizeof first);
    void *d_x = upload(x, sizeof *x * ROWS * VOCAB), *d_row = upload(row, sizeof *row * ROWS),
         *d_u = upload(u, sizeof u);
    void *d_token = upload(row, sizeof *row * ROWS), *d_p = upload(row, sizeof *row * ROWS);
    a.logits = d_x, a.row = d_row, a.u = d_u, a.token = d_token, a.p_yes = d_p, a.settings = d_how,
    a.setting = d_first;
    a.yes_ids = a.no_ids = d_row, a.n_yes = a.n_no = 1;
    double best;
    BEST(&best, CALLS, OK(sg_op_sample(dev, &a, &err)));
    printf("sample %s, %d draws from %d: %.0f us\n", what, ROWS, VOCAB, 1e6 * best);
    void *all[] = {d_x, d_row, d_u, d_token, d_p, d_how, d_first};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
    free(x), free(row);
}

static void bench_rows(void) {
    enum { ROWS = MAX_ROWS, COLS = 3072, CALLS = 20 };
    float *x = floats((int64_t)ROWS * 2 * COLS, 8);
    void *a = upload(x, sizeof *x * ROWS * 2 * COLS), *b = upload(x, sizeof *x * ROWS * COLS),
         *c = upload(x, sizeof *x * ROWS * COLS);
    void *w = upload(x, sizeof *x * COLS);
    double best;
    BEST(&best, CALLS, OK(sg_op_swiglu(dev, a, ROWS, COLS, b, &err)));
    printf("swiglu, %d x %d: %.0f us\n", ROWS, COLS, 1e6 * best);
    BEST(&best, CALLS, OK(sg_op_add_rmsnorm(dev, b, c, w, ROWS, 1024, 1e-6f, a, &err)));
    printf("add_rmsnorm, %d x 1024: %.0f us\n", ROWS, 1e6 * best);
    void *all[] = {a, b, c, w};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sg_dev_free(dev, all[i]);
    free(x);
}

int main(int argc, char **argv) {
    const bool bf16 = argc > 3 && strcmp(argv[3], "bf16") == 0;
    const struct sg_dev_options opt = {.backend = "cpu",
                                       .threads = argc > 1 ? atoi(argv[1]) : 0,
                                       .isa = argc > 2 ? argv[2] : "auto",
                                       .precision = bf16 ? SG_PRECISION_BF16 : SG_PRECISION_AUTO};
    const struct sg_limits lim = {.max_rows = MAX_ROWS,
                                  .max_decode_rows = 64,
                                  .max_logit_rows = 64,
                                  .max_draws = 64,
                                  .max_context = CONTEXT,
                                  .q_heads = HEADS,
                                  .kv_heads = KV_HEADS,
                                  .head_dim = DIM,
                                  .hidden = 3072,
                                  .intermediate = 3072,
                                  .vocab = VOCAB};
    static const int32_t shapes[][2] = {{1024, 1024}, {1024, 4096}, {2048, 1024}, {1024, 6144}, {3072, 1024}};
    double fma_rate, read_rate;
    OK(sg_dev_open(&opt, &dev, &err));
    OK(sg_dev_reserve(dev, &lim, &err));
    threads = sg_dev_info(dev)->threads;
    OK(sg_dev_measure(dev, &fma_rate, &read_rate, &err));
    printf("%s: %.1f GFLOP/s FMA, %.1f GB/s read\n", sg_dev_info(dev)->name, 1e-9 * fma_rate,
           1e-9 * read_rate);
    sgemm_fn *sgemm = find_sgemm();
    if (!sgemm) printf("no libopenblas here: products are not compared with sgemm\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_product(sgemm, shapes[i][0], shapes[i][1], read_rate);
    bench_attention();
    bench_sample("top_k 20 top_p 0.95", 0.6f, 20, 0.95f);
    bench_sample("top_p 0.95", 0.6f, 0, 0.95f);
    bench_sample("temperature alone", 1, 0, 1);
    bench_sample("greedy", 0, 0, 1);
    bench_rows();
    sg_dev_close(dev);
    return 0;
}

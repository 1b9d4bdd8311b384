/* rt_gemm - the matrix product of rt.h by cuBLASLt, whose algorithms are verified before they are used. */
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rt_cuda.h"

#include "base/mem.h"
#include "base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VERIFIED_BYTES = 320 << 20, /* most bytes of a result that is verified at once: 512 rows of logits */
    ASKED = 16                  /* algorithms that are asked for at a time */
};

/* cuBLASLt counts columns first: y^T [n][m] = w^T' x^T with w as [k][n] transposed. */
struct layouts {
    cublasLtMatrixLayout_t w, x, y;
};
static void layouts_free(struct sg__rt *rt, struct layouts *l) {
    if (l->w) rt->lt.cublasLtMatrixLayoutDestroy(l->w);
    if (l->x) rt->lt.cublasLtMatrixLayoutDestroy(l->x);
    if (l->y) rt->lt.cublasLtMatrixLayoutDestroy(l->y);
}
static enum sg_status layouts_new(struct sg__rt *rt, struct layouts *l, const struct shape *s, int64_t m,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    const uint64_t n = (uint64_t)s->n, k = (uint64_t)s->k;
    *l = (struct layouts){0};
    SG_BLAS("layout", rt->lt.cublasLtMatrixLayoutCreate(&l->w, s->in, k, n, s->k));
    SG_BLAS("layout", rt->lt.cublasLtMatrixLayoutCreate(&l->x, s->in, k, (uint64_t)m, s->k));
    SG_BLAS("layout", rt->lt.cublasLtMatrixLayoutCreate(&l->y, s->out, n, (uint64_t)m, s->y_stride));
out:
    return st;
}

/* The bytes that every row of such a matrix is aligned to, as far as cuBLASLt cares. */
static uint32_t alignment(int64_t stride, cudaDataType_t t) {
    const int64_t bytes = stride * (t == CUDA_R_32F ? 4 : 2);
    return bytes % 16 == 0 ? 16 : (uint32_t)(bytes & -bytes);
}

/* Up to `want` algorithms for m rows, in the library's order of preference. `any`: split along k or not. */
static enum sg_status ask(struct sg__rt *rt, const struct shape *of, int64_t m, bool any, int want,
                          cublasLtMatmulHeuristicResult_t *found, int *n_found, struct sg_err *err) {
    enum sg_status st;
    struct layouts l = {0};
    cublasLtMatmulPreference_t how = NULL;
    const size_t workspace = WORKSPACE_BYTES;
    const uint32_t sums = any ? CUBLASLT_REDUCTION_SCHEME_MASK : CUBLASLT_REDUCTION_SCHEME_NONE;
    const uint32_t in = alignment(of->k, of->in), out_bytes = alignment(of->y_stride, of->out);
    *n_found = 0;
    SG_TRY(layouts_new(rt, &l, of, m, err));
    SG_BLAS("preference", rt->lt.cublasLtMatmulPreferenceCreate(&how));
    const struct {
        cublasLtMatmulPreferenceAttributes_t what;
        const void *value;
        size_t bytes;
    } set[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
               {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &in, sizeof in},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &in, sizeof in},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out_bytes, sizeof out_bytes},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out_bytes, sizeof out_bytes}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        SG_BLAS("preference",
                rt->lt.cublasLtMatmulPreferenceSetAttribute(how, set[i].what, set[i].value, set[i].bytes));
    const cublasStatus_t code = rt->lt.cublasLtMatmulAlgoGetHeuristic(rt->blas, rt->product, l.w, l.x, l.y,
                                                                      l.y, how, want, found, n_found);
    if (code == CUBLAS_STATUS_NOT_SUPPORTED)
        *n_found = 0; /* none, which the caller tells */
    else
        SG_BLAS("choice of an algorithm", code);
    st = SG_OK;
out:
    layouts_free(rt, &l);
    if (how) rt->lt.cublasLtMatmulPreferenceDestroy(how);
    return st;
}

/* What was found for one number of rows may be an entry that failed, or want more workspace than there is. */
static bool usable(const cublasLtMatmulHeuristicResult_t *h) {
    return h->state == CUBLAS_STATUS_SUCCESS && h->workspaceSize <= WORKSPACE_BYTES;
}
/* Whether it adds along k in one piece; the preference asks for that, its answer is not trusted. */
static bool in_one_piece(struct sg__rt *rt, const cublasLtMatmulAlgo_t *algo) {
    int32_t split = 0;
    uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t n = 0;
    return rt->lt.cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                                       sizeof split, &n) == CUBLAS_STATUS_SUCCESS &&
           rt->lt.cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                                       sizeof scheme, &n) == CUBLAS_STATUS_SUCCESS &&
           split <= 1 && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

/* ---- verified algorithms (plans.h) ------------------------------------------------------------------ */

/* The arrays and candidates while one shape is planned. */
struct verifier {
    struct sg__rt *rt;
    const struct shape *of;
    int32_t n;
    cublasLtMatmulAlgo_t algo[SG__PLAN_CANDIDATES];
    void *x, *w, *y, *reference;
    uint32_t *differ;
    cudaEvent_t mark[2];
};

/* Bytes of an element. */
static size_t width(cudaDataType_t t) {
    return t == CUDA_R_32F ? 4 : 2;
}
/* Rows of a result that are verified, and so the most of one product: by its shape alone, so that every engine
 * on a device chooses the same reference. */
static int64_t rows_of(const struct shape *of) {
    const int64_t fit = VERIFIED_BYTES / ((int64_t)width(of->out) * of->y_stride) / SG_RT_GEMM_ROWS;
    const int64_t most = SG__PLAN_MAX_ROWS / SG_RT_GEMM_ROWS;
    return SG_RT_GEMM_ROWS * (fit < 1 ? 1 : fit < most ? fit : most);
}

static bool has_candidate(const struct verifier *v, const cublasLtMatmulAlgo_t *algo) {
    for (int32_t c = 0; c < v->n; c++)
        if (!memcmp(&v->algo[c], algo, sizeof *algo)) return true;
    return false;
}
/* Those that the library likes for m rows, behind those that are there. */
static enum sg_status add_candidates(struct verifier *v, int64_t m, int want, struct sg_err *err) {
    cublasLtMatmulHeuristicResult_t found[ASKED];
    int n = 0;
    const enum sg_status st = ask(v->rt, v->of, m, false, want, found, &n, err);
    for (int i = 0; st == SG_OK && i < n && v->n < SG__PLAN_CANDIDATES; i++)
        if (usable(&found[i]) && in_one_piece(v->rt, &found[i].algo) && !has_candidate(v, &found[i].algo))
            v->algo[v->n++] = found[i].algo;
    return st;
}

static bool takes(void *ctx, int32_t c, int64_t m) {
    struct verifier *v = ctx;
    struct layouts l = {0};
    cublasLtMatmulHeuristicResult_t is = {0};
    const bool yes = layouts_new(v->rt, &l, v->of, m, NULL) == SG_OK &&
                     v->rt->lt.cublasLtMatmulAlgoCheck(v->rt->blas, v->rt->product, l.w, l.x, l.y, l.y,
                                                       &v->algo[c], &is) == CUBLAS_STATUS_SUCCESS &&
                     usable(&is);
    layouts_free(v->rt, &l);
    return yes;
}

static cublasStatus_t launch(struct sg__rt *rt, const struct layouts *l, const cublasLtMatmulAlgo_t *algo,
                             void *y, const void *x, const void *w) {
    const float one = 1.0f, zero = 0.0f;
    return rt->lt.cublasLtMatmul(rt->blas, rt->product, &one, w, l->w, x, l->x, &zero, y, l->y, y, l->y, algo,
                                 rt->workspace, WORKSPACE_BYTES, rt->stream);
}

/* m rows into y, which holds NaN before: what is not written is seen. */
static enum sg_status try_out(struct verifier *v, int32_t c, void *y, int64_t m, enum sg__plan_answer *out,
                              struct sg_err *err) {
    enum sg_status st;
    struct layouts l = {0};
    const size_t bytes = (size_t)m * (size_t)v->of->y_stride * width(v->of->out);
    SG_TRY(layouts_new(v->rt, &l, v->of, m, err));
    SG_CUDA("verification", cudaMemsetAsync(y, 0xff, bytes, v->rt->stream));
    *out = launch(v->rt, &l, &v->algo[c], y, v->x, v->w) == CUBLAS_STATUS_SUCCESS ? SG__PLAN_SAME
                                                                                  : SG__PLAN_REFUSED;
out:
    layouts_free(v->rt, &l);
    return st;
}

static enum sg_status refer(void *ctx, int32_t c, enum sg__plan_answer *out, struct sg_err *err) {
    struct verifier *v = ctx;
    return try_out(v, c, v->reference, SG_RT_GEMM_ROWS, out, err);
}

static enum sg_status compare(void *ctx, int32_t c, int64_t m, enum sg__plan_answer *out,
                              struct sg_err *err) {
    struct verifier *v = ctx;
    enum sg_status st;
    uint32_t n = 0;
    const int64_t halves = (int64_t)width(v->of->out) / 2;
    SG_TRY(try_out(v, c, v->y, m, out, err));
    if (*out == SG__PLAN_REFUSED) goto out;
    SG_CUDA("verification", cudaMemsetAsync(v->differ, 0, sizeof n, v->rt->stream));
    SG_CUDA("verification",
            (cudaError_t)sg__launch_differ(v->differ, v->y, v->reference, m, v->of->n * halves,
                                           v->of->y_stride * halves, SG_RT_GEMM_ROWS, v->rt->stream));
    SG_TRY(sg__rt_download(v->rt, &n, v->differ, sizeof n, err));
    *out = n ? SG__PLAN_OTHER : SG__PLAN_SAME;
out:
    return st;
}

/* The better of two calls; compare has run it before. */
static enum sg_status clock_of(void *ctx, int32_t c, int64_t m, double *ns, struct sg_err *err) {
    struct verifier *v = ctx;
    enum sg_status st;
    struct layouts l = {0};
    float best = 0, ms = 0;
    SG_TRY(layouts_new(v->rt, &l, v->of, m, err));
    for (int i = 0; i < 2; i++) {
        SG_CUDA("verification", cudaEventRecord(v->mark[0], v->rt->stream));
        SG_BLAS("verification", launch(v->rt, &l, &v->algo[c], v->y, v->x, v->w));
        SG_CUDA("verification", cudaEventRecord(v->mark[1], v->rt->stream));
        SG_CUDA("verification", cudaEventSynchronize(v->mark[1]));
        SG_CUDA("verification", cudaEventElapsedTime(&ms, v->mark[0], v->mark[1]));
        if (i == 0 || ms < best) best = ms;
    }
    *ns = (double)best * 1e6;
out:
    layouts_free(v->rt, &l);
    return st;
}

/* A tile of x, made here: random bf16 over eight binades, in the second half of a row those of the first with the
 * other sign and a random last bit. With equal halves of w a sum rises far above what it ends with, so that
 * what its order rounds away is in the leading bits of its result: also a result in bf16 shows it. */
static enum sg_status put_x(struct verifier *v, struct sg_err *err) {
    enum sg_status st;
    const size_t k = (size_t)v->of->k, half = k / 2, n = SG_RT_GEMM_ROWS * k;
    uint32_t *wide = NULL; /* float32; bf16 is the upper halves, packed in place */
    SG_TRY(SG_NEW(&wide, n, "verification", err));
    for (size_t i = 0; i < n; i++) {
        const uint64_t r = sg_random64(1, i);
        const bool again = i % k >= half && i % k < 2 * half;
        const uint32_t fresh = (uint32_t)(r & 0x807f) | (uint32_t)(124 + (r >> 16) % 8) << 7;
        const uint32_t bits = again ? (wide[i - half] >> 16 ^ 0x8000) ^ (uint32_t)(r >> 20 & 1) : fresh;
        wide[i] = bits << 16;
    }
    uint16_t *narrow = (uint16_t *)(void *)wide;
    for (size_t i = 0; i < n && v->of->in == CUDA_R_16BF; i++) {
        const uint16_t bits = (uint16_t)(wide[i] >> 16);
        memcpy(&narrow[i], &bits, sizeof bits);
    }
    SG_TRY(sg__rt_upload(v->rt, v->x, wide, n * width(v->of->in), err));
out:
    free(wide);
    return st;
}
/* Random w, the second half of every row as the first. */
static enum sg_status put_w(struct verifier *v, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const size_t row = (size_t)v->of->k * width(v->of->in), half = (size_t)v->of->k / 2 * width(v->of->in);
    SG_CUDA("verification",
            (cudaError_t)sg__launch_random(v->w, NULL, v->of->n, (int32_t)(row / 2), 2, v->rt->stream));
    if (half)
        SG_CUDA("verification", cudaMemcpy2DAsync((char *)v->w + half, row, v->w, row, half, (size_t)v->of->n,
                                                  cudaMemcpyDeviceToDevice, v->rt->stream));
out:
    return st;
}

static enum sg_status verifier_fill(struct verifier *v, int64_t max_rows, struct sg_err *err) {
    enum sg_status st;
    const size_t in = (size_t)v->of->k * width(v->of->in), tile = SG_RT_GEMM_ROWS * in;
    const size_t y_row = (size_t)v->of->y_stride * width(v->of->out);
    SG_TRY(sg__rt_alloc(v->rt, (size_t)max_rows * in, "verification", &v->x, err));
    SG_TRY(sg__rt_alloc(v->rt, (size_t)v->of->n * in, "verification", &v->w, err));
    SG_TRY(sg__rt_alloc(v->rt, (size_t)max_rows * y_row, "verification", &v->y, err));
    SG_TRY(sg__rt_alloc(v->rt, SG_RT_GEMM_ROWS * y_row, "verification", &v->reference, err));
    SG_TRY(sg__rt_alloc(v->rt, sizeof *v->differ, "verification", (void **)&v->differ, err));
    for (int i = 0; i < 2; i++) SG_CUDA("event", cudaEventCreate(&v->mark[i]));
    SG_TRY(put_x(v, err));
    for (int64_t m = SG_RT_GEMM_ROWS; m < max_rows; m += SG_RT_GEMM_ROWS)
        SG_TRY(sg__rt_copy(v->rt, (char *)v->x + (size_t)m * in, v->x, tile, err));
    SG_TRY(put_w(v, err));
out:
    return st;
}
static void verifier_free(struct verifier *v) {
    void *const arrays[] = {v->x, v->w, v->y, v->reference, v->differ};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) sg__rt_free(v->rt, arrays[i]);
    for (int i = 0; i < 2; i++)
        if (v->mark[i]) cudaEventDestroy(v->mark[i]);
}

/* The candidates are those that the library likes for 512 rows, then those for the fewest and for the most. */
static enum sg_status choose(struct sg__rt *rt, struct plan *p, struct sg_err *err) {
    enum sg_status st;
    struct verifier v = {.rt = rt, .of = &p->of};
    struct sg__plan chosen;
    char what[64];
    snprintf(what, sizeof what, "[%lld][%lld]%s", (long long)p->of.n, (long long)p->of.k,
             p->of.in == CUDA_R_32F ? " in float32" : "");
    p->max_rows = rows_of(&p->of);
    const int64_t middle = p->max_rows < 512 ? p->max_rows : 512;
    SG_TRY(add_candidates(&v, middle, ASKED, err));
    SG_TRY(add_candidates(&v, p->max_rows, ASKED / 2, err));
    SG_TRY(add_candidates(&v, SG_RT_GEMM_ROWS, ASKED / 2, err));
    SG_TRY(verifier_fill(&v, p->max_rows, err));
    const struct sg__plan_source source = {&v, what, v.n, p->max_rows, takes, refer, compare, clock_of};
    SG_TRY(sg__plan_choose(&source, &chosen, err));
    for (int b = 0; b < SG__PLAN_BUCKETS; b++)
        p->algo[b] = v.algo[chosen.bucket[b] < 0 ? chosen.reference : chosen.bucket[b]];
out:
    verifier_free(&v);
    return st;
}

/* The library's first choice of all for p->m rows. */
static enum sg_status choose_any(struct sg__rt *rt, struct plan *p, struct sg_err *err) {
    cublasLtMatmulHeuristicResult_t found[ASKED];
    int n = 0;
    const enum sg_status st = ask(rt, &p->of, p->m, true, ASKED, found, &n, err);
    p->max_rows = p->m;
    for (int i = 0; st == SG_OK && i < n; i++)
        if (usable(&found[i])) {
            p->algo[0] = found[i].algo;
            return SG_OK;
        }
    return st != SG_OK ? st
                       : sg_fail(err, SG_E_DEVICE, "cuda: cuBLASLt has no algorithm for [%lld][%lld]",
                                 (long long)p->of.n, (long long)p->of.k);
}

static bool same_shape(const struct shape *a, const struct shape *b) {
    return a->n == b->n && a->k == b->k && a->y_stride == b->y_stride && a->in == b->in && a->out == b->out;
}

static enum sg_status plan_for(struct sg__rt *rt, int64_t m, const struct shape *of, struct plan **out,
                               struct sg_err *err) {
    for (int i = 0; i < rt->n_plans; i++) {
        struct plan *p = &rt->plans[i];
        if (p->m == m && same_shape(&p->of, of)) {
            *out = p;
            return SG_OK;
        }
    }
    if (rt->n_plans == MAX_PLANS)
        return sg_fail(err, SG_E_DEVICE, "cuda: products of more than %d shapes", MAX_PLANS);
    struct plan *p = &rt->plans[rt->n_plans];
    *p = (struct plan){.of = *of, .m = m};
    const enum sg_status st = m ? choose_any(rt, p, err) : choose(rt, p, err);
    if (st != SG_OK) return st;
    rt->n_plans++;
    *out = p;
    return SG_OK;
}

/* The descriptor asks for CUBLAS_COMPUTE_32F: float32 sums of bf16, plain float32 of float32 (TF32 would be
 * CUBLAS_COMPUTE_32F_FAST_TF32). More rows than were verified are multiplied in pieces. */
static enum sg_status multiply(struct sg__rt *rt, bool any, const struct shape *of, void *y, const void *x,
                               const void *w, int64_t m, struct sg_err *err) {
    enum sg_status st;
    struct layouts l = {0};
    struct plan *p = NULL;
    const int64_t all = (m + SG_RT_GEMM_ROWS - 1) / SG_RT_GEMM_ROWS * SG_RT_GEMM_ROWS;
    const size_t x_row = (size_t)of->k * width(of->in), y_row = (size_t)of->y_stride * width(of->out);
    SG_TRY(plan_for(rt, any ? all : 0, of, &p, err));
    for (int64_t done = 0, some; done < all; done += some) {
        some = all - done < p->max_rows ? all - done : p->max_rows;
        SG_TRY(layouts_new(rt, &l, of, some, err));
        SG_BLAS("product",
                launch(rt, &l, &p->algo[any ? 0 : sg__plan_bucket(some)], (char *)y + (size_t)done * y_row,
                       (const char *)x + (size_t)done * x_row, w));
        layouts_free(rt, &l);
        l = (struct layouts){0};
    }
    st = SG_OK;
out:
    layouts_free(rt, &l);
    return st;
}

static struct shape of_bf16(int64_t n, int64_t k, bool y_f32) {
    return (struct shape){n, k, n, CUDA_R_16BF, y_f32 ? CUDA_R_32F : CUDA_R_16BF};
}
enum sg_status sg__rt_gemm_plan(struct sg__rt *rt, bool y_f32, int64_t n, int64_t k, struct sg_err *err) {
    const struct shape of = of_bf16(n, k, y_f32);
    struct plan *p;
    return plan_for(rt, 0, &of, &p, err);
}
enum sg_status sg__rt_gemm(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w, int64_t m,
                           int64_t n, int64_t k, struct sg_err *err) {
    const struct shape of = of_bf16(n, k, y_f32);
    return multiply(rt, false, &of, y, x, w, m, err);
}
enum sg_status sg__rt_gemm_f32(struct sg__rt *rt, float *y, int64_t y_stride, const float *x, const float *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err) {
    const struct shape of = {n, k, y_stride, CUDA_R_32F, CUDA_R_32F};
    return multiply(rt, false, &of, y, x, w, m, err);
}
enum sg_status sg__rt_gemm_any(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err) {
    const struct shape of = of_bf16(n, k, y_f32);
    return multiply(rt, true, &of, y, x, w, m, err);
}

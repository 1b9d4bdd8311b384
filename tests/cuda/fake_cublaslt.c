/* fake_cublaslt - a libcublasLt.so.13 on the host whose algorithms are the letters of FAKE_BLAS, in its order of
 * preference:
 *   g  right                                     f  the same bits, faster from 512 rows on
 *   h  sums in two halves: its own bits, fastest of all
 *   s  the bits of g, but says that it splits k  b  the bits of g, its entry says that it failed
 *   w  the bits of g, wants too much workspace   m  the bits of h below 256 rows
 *   r  refused by AlgoCheck above 1,024 rows     l  refused at the call, at 192 rows
 * All refuse more than 4,096 rows, and part of a tile: those are never verified; and a workspace that a product in
 * another stream has had. fake_blas_calls(letter): how
 * often an algorithm has multiplied. float32 sums; results float32 or bf16. */
#include "tests/cuda/fake_cudart.h" /* of the program */

#include <cublasLt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int fake_blas_calls(int letter);

static int calls[128];
int fake_blas_calls(int letter) {
    return calls[letter];
}

struct layout {
    cudaDataType_t type;
    int64_t rows, cols, ld;
};
static struct layout *of(cublasLtMatrixLayout_t l) {
    return (struct layout *)(void *)l;
}

size_t cublasLtGetVersion(void) {
    return 130000;
}
enum { OWNERS = 4 };
static struct {
    void *workspace;
    cudaStream_t stream;
} owners[OWNERS];
static int n_owners;
cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) {
    n_owners = 0;
    *h = malloc(1);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) {
    free(h);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t c, cudaDataType_t t) {
    (void)c, (void)t;
    *d = malloc(1);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    free(d);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t a,
                                              const void *value, size_t n) {
    (void)d, (void)a, (void)value, (void)n;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType_t t, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
    struct layout *p = malloc(sizeof *p);
    if (!p) return CUBLAS_STATUS_ALLOC_FAILED;
    *p = (struct layout){t, (int64_t)rows, (int64_t)cols, ld};
    *l = (cublasLtMatrixLayout_t)(void *)p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
    free(l);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) {
    *p = malloc(1);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    free(p);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t a, const void *value,
                                                    size_t n) {
    (void)p, (void)a, (void)value, (void)n;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasLtMatmulHeuristicResult_t entry(char letter) {
    cublasLtMatmulHeuristicResult_t r;
    memset(&r, 0, sizeof r);
    r.algo.data[0] = (uint64_t)letter;
    r.workspaceSize = letter == 'w' ? (size_t)1 << 30 : 1 << 20;
    r.state = letter == 'b' ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_SUCCESS;
    return r;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t e,
                                              cublasLtMatmulPreference_t p, int want,
                                              cublasLtMatmulHeuristicResult_t *out, int *n) {
    const char *list = getenv("FAKE_BLAS");
    (void)h, (void)d, (void)a, (void)b, (void)c, (void)e, (void)p;
    for (*n = 0; list && list[*n] && *n < want; ++*n) out[*n] = entry(list[*n]);
    return *n ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t what, void *out,
                                                    size_t bytes, size_t *written) {
    const uint32_t value = what == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? (algo->data[0] == 's' ? 2 : 1) : 0;
    if (bytes != sizeof value) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(out, &value, bytes);
    *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t w,
                                       cublasLtMatrixLayout_t x, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t y, const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *out) {
    (void)h, (void)d, (void)w, (void)c, (void)y;
    *out = entry((char)algo->data[0]);
    return algo->data[0] == 'r' && of(x)->cols > 1024 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

static float value(const void *p, cudaDataType_t t, int64_t i) {
    float f;
    if (t == CUDA_R_32F) {
        memcpy(&f, (const char *)p + 4 * i, 4);
    } else {
        uint16_t half;
        memcpy(&half, (const char *)p + 2 * i, 2);
        const uint32_t bits = (uint32_t)half << 16;
        memcpy(&f, &bits, 4);
    }
    return f;
}
static void put(void *p, cudaDataType_t t, int64_t i, float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    const uint16_t half = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    if (t == CUDA_R_32F)
        memcpy((char *)p + 4 * i, &bits, 4);
    else
        memcpy((char *)p + 2 * i, &half, 2);
}
static double duration(char letter, double m) {
    return letter == 'h'   ? 1e-4 * m
           : letter == 'g' ? 1 + 1e-3 * m
           : letter == 'f' ? 1.4 + 2e-4 * m
                           : 2e-4 * m;
}
struct product {
    char letter;
    int64_t m, n, k;
    const void *x, *w;
    void *y;
    struct layout xl, wl, yl;
};
static void multiply(void *arg) {
    const struct product *p = arg;
    const int64_t cut = p->letter == 'h' || (p->letter == 'm' && p->m < 256) ? p->k / 2 : p->k;
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            float first = 0, second = 0;
            for (int64_t t = 0; t < p->k; t++) {
                const float term =
                    value(p->x, p->xl.type, i * p->xl.ld + t) * value(p->w, p->wl.type, j * p->wl.ld + t);
                if (t < cut)
                    first += term;
                else
                    second += term;
            }
            put(p->y, p->yl.type, i * p->yl.ld + j, cut < p->k ? first + second : first);
        }
    fake_cuda_work(duration(p->letter, (double)p->m));
    calls[(int)p->letter]++;
    free(arg);
}
/* The stream that has this workspace: a product may use it while another is under way only in that one. */
static bool is_own(void *workspace, cudaStream_t stream) {
    for (int i = 0; i < n_owners; i++)
        if (owners[i].workspace == workspace) return owners[i].stream == stream;
    if (n_owners == OWNERS) return false;
    owners[n_owners].workspace = workspace;
    owners[n_owners++].stream = stream;
    return true;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *w,
                              cublasLtMatrixLayout_t wl, const void *x, cublasLtMatrixLayout_t xl,
                              const void *beta, const void *c, cublasLtMatrixLayout_t cl, void *y,
                              cublasLtMatrixLayout_t yl, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t bytes, cudaStream_t stream) {
    const char letter = (char)algo->data[0];
    const int64_t k = of(xl)->rows, m = of(xl)->cols, n = of(wl)->cols;
    (void)h, (void)d, (void)alpha, (void)beta, (void)c, (void)cl, (void)bytes;
    if (m > 4096 || m % 64 || (letter == 'l' && m == 192) || (letter == 'r' && m > 1024))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    if (!is_own(workspace, stream)) return CUBLAS_STATUS_INVALID_VALUE;
    struct product *p = malloc(sizeof *p);
    if (!p) return CUBLAS_STATUS_ALLOC_FAILED;
    *p = (struct product){letter, m, n, k, x, w, y, *of(xl), *of(wl), *of(yl)};
    return fake_cuda_queue(stream, multiply, p) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                               : CUBLAS_STATUS_ALLOC_FAILED;
}

/* Row-wise operators: norms, SwiGLU, q/k norm with RoPE. A task is a block of rows. */
#include "kernels/cpu/isa.h"

SG_INLINE int32_t lanes_left(int32_t n, int32_t at) {
    return n - at < 16 ? n - at : 16;
}

static int32_t block_end(const struct sg__rows_job *j, int64_t task) {
    const int64_t end = (task + 1) * j->block;
    return end < j->n ? (int32_t)end : j->n;
}

/* Sixteen chains, lane j over the elements j, j + 16, ..., summed in the tree of v16_sum. */
static float sum_squares(const float *x, int32_t n) {
    struct v16 sum = v16_set1(0);
    int32_t j = 0;
    for (; j + 16 <= n; j += 16) sum = v16_fma(v16_load(x + j), v16_load(x + j), sum);
    if (j < n) {
        const struct v16 last = v16_load_n(x + j, n - j, 0);
        sum = v16_fma(last, last, sum);
    }
    return v16_sum(sum);
}

/* a = resid, b = delta or NULL, out */
void SG_ISA_NAME(norm)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__rows_job *j = ctx;
    for (int64_t i = task * j->block; i < block_end(j, task); i++) {
        float *r = (float *)j->c + i * j->cols, *out = (float *)j->out + i * j->cols;
        if (j->b) {
            const float *d = (const float *)j->b + i * j->cols;
            for (int32_t k = 0; k < j->cols; k += 16) {
                const int32_t n = lanes_left(j->cols, k);
                v16_store_n(r + k, v16_add(v16_load_n(r + k, n, 0), v16_load_n(d + k, n, 0)), n);
            }
        }
        const float mean = sum_squares(r, j->cols) / (float)j->cols;
        const struct v16 scale = v16_set1(1.0f / sqrtf(mean + j->eps));
        for (int32_t k = 0; k < j->cols; k += 16) {
            const int32_t n = lanes_left(j->cols, k);
            const struct v16 y = v16_mul(v16_load_n(r + k, n, 0), scale);
            v16_store_n(out + k, v16_mul(y, v16_load_n(j->weight + k, n, 0)), n);
        }
    }
}

void SG_ISA_NAME(swiglu)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__rows_job *j = ctx;
    const struct v16 zero = v16_set1(0), one = v16_set1(1);
    for (int64_t i = task * j->block; i < block_end(j, task); i++) {
        const float *gate = (const float *)j->a + i * 2 * j->cols, *up = gate + j->cols;
        float *out = (float *)j->out + i * j->cols;
        for (int32_t k = 0; k < j->cols; k += 16) {
            const int32_t n = lanes_left(j->cols, k);
            const struct v16 g = v16_load_n(gate + k, n, 0);
            const struct v16 silu = v16_div(g, v16_add(one, v16_exp(v16_sub(zero, g))));
            v16_store_n(out + k, v16_mul(silu, v16_load_n(up + k, n, 0)), n);
        }
    }
}

/* Squares of values outside 1e-19..1e19 leave the range of float; these rows are rare and go by double. */
static float row_norm(const float *x, int32_t n) {
    const float squares = sum_squares(x, n);
    if (squares > 1e-30f && squares < 1e30f) return sqrtf(squares);
    double sum = 0;
    for (int32_t j = 0; j < n; j++) sum += (double)x[j] * x[j];
    return (float)sqrt(sum);
}

void SG_ISA_NAME(l2norm)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__rows_job *j = ctx;
    for (int64_t i = task * j->block; i < block_end(j, task); i++) {
        const float *x = (const float *)j->a + i * j->cols;
        float *out = (float *)j->out + i * j->cols;
        const float norm = row_norm(x, j->cols);
        const struct v16 by = v16_set1(norm < 1e-12f ? 1e-12f : norm);
        for (int32_t k = 0; k < j->cols; k += 16) {
            const int32_t n = lanes_left(j->cols, k);
            v16_store_n(out + k, v16_div(v16_load_n(x + k, n, 0), by), n);
        }
    }
}

/* out = rope(x / rms(x) * weight), cs: cos of the dim/2 angles, then sin. */
static void norm_rope(const float *x, const float *weight, const float *cs, int32_t dim, float eps,
                      float *out) {
    const int32_t half = dim / 2;
    const struct v16 scale = v16_set1(1.0f / sqrtf(sum_squares(x, dim) / (float)dim + eps)),
                     zero = v16_set1(0);
    for (int32_t j = 0; j < half; j += 16) {
        const int32_t n = lanes_left(half, j), k = j + half;
        const struct v16 a = v16_mul(v16_mul(v16_load_n(x + j, n, 0), scale), v16_load_n(weight + j, n, 0));
        const struct v16 b = v16_mul(v16_mul(v16_load_n(x + k, n, 0), scale), v16_load_n(weight + k, n, 0));
        const struct v16 c = v16_load_n(cs + j, n, 0), s = v16_load_n(cs + k, n, 0);
        v16_store_n(out + j, v16_fma(a, c, v16_sub(zero, v16_mul(b, s))), n);
        v16_store_n(out + k, v16_fma(b, c, v16_mul(a, s)), n);
    }
}

/* Keys and values of one row and head into the cache, rounded and in pairs. The other token of a pair of values
 * is left alone: another thread may be writing it. */
static void store_bf16(float *page, int32_t token, int32_t dim, const float *k, const float *v) {
    uint32_t *keys = (uint32_t *)(void *)page;
    uint16_t *values = (uint16_t *)(keys + dim * 8) + (size_t)(token / 2 * sg__pad16(dim)) * 2;
    for (int32_t d = 0; d < dim; d += 2)
        keys[d * 8 + token] = sg__bf16_bits(k[d]) | sg__bf16_bits(k[d + 1]) >> 16;
    for (int32_t d = 0; d < dim; d++) /* little-endian: the high half comes second */
        values[2 * d + (token % 2 ? 0 : 1)] = (uint16_t)(sg__bf16_bits(v[d]) >> 16);
}

static void store_f32(float *page, int32_t token, int32_t dim, const float *k, const float *v) {
    for (int32_t d = 0; d < dim; d++) page[d * SG_PAGE_TOKENS + token] = k[d];
    /* the pad behind the values stays zero as it came */
    memcpy(page + dim * SG_PAGE_TOKENS + token * sg__pad16(dim), v, (size_t)dim * sizeof *v);
}

static float *page_of(const struct sg_qkv_args *a, const struct sg__cpu_kv *kv, int64_t row, int32_t head) {
    return sg__kv_at(kv, a->layer, a->slot[row] / SG_PAGE_TOKENS, head);
}
/* Asks for the lines of a page that a row writes to: of keys, all. Else each store would wait for its own. */
static void fetch_page(const float *page, const struct sg__cpu_kv *kv) {
    const int32_t n = kv->base.head_dim * (kv->half ? 8 : 16);
    for (int32_t w = 0; w < n; w += 16) __builtin_prefetch(page + w, 1, 3);
}

/* Sixteen where rows [i, i + 16) fill a page: their keys go in as registers are turned, not word by word. Else 1. */
static int64_t rows_together(const struct sg_qkv_args *a, int64_t i, int64_t end) {
    if (end - i < SG_PAGE_TOKENS || a->slot[i] % SG_PAGE_TOKENS != 0) return 1;
    for (int32_t t = 1; t < SG_PAGE_TOKENS; t++)
        if (a->slot[i + t] != a->slot[i] + t) return 1;
    return SG_PAGE_TOKENS;
}
/* As store_f32 for all tokens of a page: k [16][dim], v rows `stride` apart. */
static void store_page_f32(float *page, int32_t dim, const float *k, const float *v, int64_t stride) {
    const float *row[16];
    for (int32_t t = 0; t < 16; t++) row[t] = k + t * dim;
    f32_pack(row, 16, dim, 1, page);
    for (int32_t t = 0; t < 16; t++)
        memcpy(page + dim * 16 + t * sg__pad16(dim), v + t * stride, (size_t)dim * sizeof *v);
}
#if defined(__AVX512BF16__)
/* As store_bf16 for all tokens of a page. */
static void store_page_bf16(float *page, int32_t dim, const float *k, const float *v, int64_t stride) {
    const float *row[16];
    for (int32_t t = 0; t < 16; t++) row[t] = k + t * dim;
    x2_pack(row, 16, dim / 2, (struct sg_x2 *)(void *)page);
    float *values = page + dim * 8;
    for (int32_t t = 0; t < 16; t += 2, values += sg__pad16(dim))
        for (int32_t d = 0; d < dim; d += 16) { /* VCVTNEPS2BF16 rounds as sg__bf16_bits does */
            const int32_t n = lanes_left(dim, d);
            const struct v16 even = v16_load_n(v + t * stride + d, n, 0),
                             odd = v16_load_n(v + (t + 1) * stride + d, n, 0);
            const __m512i hi = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even.v)),
                          lo = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd.v));
            const __m512i pairs = _mm512_or_si512(_mm512_slli_epi32(hi, 16), lo);
            v16_store_n(values + d, (struct v16){_mm512_castsi512_ps(pairs)}, n);
        }
}
#else
static void store_page_bf16(float *page, int32_t dim, const float *k, const float *v, int64_t stride) {
    for (int32_t t = 0; t < 16; t++) store_bf16(page, t, dim, k + t * dim, v + t * stride);
}
#endif

void SG_ISA_NAME(qkv)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__rows_job *j = ctx;
    const struct sg_qkv_args *a = j->qkv;
    const struct sg__cpu_kv *kv = (const struct sg__cpu_kv *)a->kv;
    const int32_t dim = a->head_dim, heads = a->q_heads + 2 * a->kv_heads;
    for (int64_t i = task * j->block; i < block_end(j, task); i++) {
        const float *row = (const float *)a->qkv + i * heads * dim;
        const float *cs = a->cos_sin + (int64_t)a->positions[i] * dim;
        float *q = (float *)a->q_out + i * a->q_heads * dim;
        for (int32_t h = 0; h < a->q_heads; h++)
            norm_rope(row + h * dim, a->q_norm, cs, dim, a->eps, q + h * dim);
    }
    /* Head by head: the rows of a block mostly lie in one page, which stays in the first-level cache. */
    const int64_t begin = task * j->block, end = block_end(j, task), stride = (int64_t)heads * dim;
    for (int32_t h = 0; h < a->kv_heads; h++)
        for (int64_t i = begin, rows; i < end; i += rows) {
            rows = rows_together(a, i, end);
            const float *row = (const float *)a->qkv + i * stride + (a->q_heads + h) * dim;
            const float *v = row + (int64_t)a->kv_heads * dim;
            float key[SG_PAGE_TOKENS * SG_MAX_HEAD_DIM], *page = page_of(a, kv, i, h);
            const float *next = i + rows < end        ? page_of(a, kv, i + rows, h)
                                : h + 1 < a->kv_heads ? page_of(a, kv, begin, h + 1)
                                                      : page;
            if (next != page) fetch_page(next, kv);
            for (int64_t r = 0; r < rows; r++)
                norm_rope(row + r * stride, a->k_norm, a->cos_sin + (int64_t)a->positions[i + r] * dim, dim,
                          a->eps, key + r * dim);
            if (rows > 1)
                (kv->half ? store_page_bf16 : store_page_f32)(page, dim, key, v, stride);
            else
                (kv->half ? store_bf16 : store_f32)(page, a->slot[i] % SG_PAGE_TOKENS, dim, key, v);
        }
}

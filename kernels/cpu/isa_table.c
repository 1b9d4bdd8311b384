/* The table of one instruction set, and what only measuring and testing use. */
#include "kernels/cpu/isa.h"

/* float32 products gain nothing from AVX512_BF16 (kernels/CMakeLists.txt). */
#if defined(__AVX512BF16__)
#    define SG_FLOAT32_NAME(name) SG__CAT(sg__avx512_, name)
#else
#    define SG_FLOAT32_NAME(name) SG_ISA_NAME(name)
#endif
void SG_FLOAT32_NAME(linear_pack)(void *ctx, int64_t task, int thread);
void SG_FLOAT32_NAME(linear)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(pack_bf16)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(linear_bf16)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(dot2)(const uint32_t *x, const uint32_t *w, const float *c, int64_t n, float *out);
void SG_ISA_NAME(norm)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(swiglu)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(l2norm)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(qkv)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(prefill)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(decode)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(decode_split)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(decode_fold)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(sample)(void *ctx, int64_t task, int thread);
void SG_ISA_NAME(logprob)(void *ctx, int64_t task, int thread);

/* Task: fma_rounds times 12 independent chains in registers: the rate that no product can beat. */
static void measure_fma(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__measure_job *j = ctx;
    struct vn acc[12];
    SG_UNROLL
    for (int i = 0; i < 12; i++) acc[i] = vn_set1((float)i);
    const struct vn a = vn_set1(0.999f), b = vn_set1(0.001f);
    for (int64_t k = 0; k < j->fma_rounds; k++) {
        SG_UNROLL
        for (int i = 0; i < 12; i++) acc[i] = vn_fma(acc[i], a, b);
    }
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        float f[SG_LANES];
        vn_store(f, acc[i]);
        sum += f[0];
    }
    j->sink[task * 16] = sum;
}

/* The same of products of bf16, two to a step of a chain. */
SG_OWN void chains_of_dot2(int64_t rounds, float *sink) {
    struct vn acc[12];
    SG_UNROLL
    for (int i = 0; i < 12; i++) acc[i] = vn_set1((float)i);
    uint32_t words[16];
    for (int i = 0; i < 16; i++) words[i] = 0x3F003E80u; /* 0.5 and 0.25 */
    const struct sg_x2 x = x2_make(0.5f, 0.25f);
    const struct vw w = vw_load(words);
    for (int64_t k = 0; k < rounds; k++) {
        SG_UNROLL
        for (int i = 0; i < 12; i++) acc[i] = vn_dot2(acc[i], x, w);
    }
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        float f[SG_LANES];
        vn_store(f, acc[i]);
        sum += f[0];
    }
    *sink = sum;
}
static void measure_dot2(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__measure_job *j = ctx;
    const unsigned mode = flush_begin();
    chains_of_dot2(j->fma_rounds, j->sink + task * 16);
    flush_end(mode);
}

/* Task: reads one chunk once. */
static void measure_read(void *ctx, int64_t task, int thread) {
    const struct sg__measure_job *j = ctx;
    const float *p = j->data + task * j->chunk_floats;
    struct v16 s0 = v16_set1(0), s1 = s0, s2 = s0, s3 = s0;
    for (int64_t k = 0; k + 64 <= j->chunk_floats; k += 64) {
        s0 = v16_add(s0, v16_load(p + k));
        s1 = v16_add(s1, v16_load(p + k + 16));
        s2 = v16_add(s2, v16_load(p + k + 32));
        s3 = v16_add(s3, v16_load(p + k + 48));
    }
    j->sink[thread * 16] = v16_sum(v16_add(v16_add(s0, s1), v16_add(s2, s3)));
}

static void exp_all(const float *x, int32_t n, float *out) {
    for (int32_t i = 0; i < n; i += 16) {
        const int32_t lanes = n - i < 16 ? n - i : 16;
        v16_store_n(out + i, v16_exp(v16_load_n(x + i, lanes, 0)), lanes);
    }
}

#define SG_STR2(x) #x
#define SG_STR(x)  SG_STR2(x)
const struct sg__isa SG__CAT(sg__isa_, SG_ISA) = {
    .name = SG_STR(SG_ISA),
    .tile_rows = SG_TILE_ROWS,
    .linear_pack = SG_FLOAT32_NAME(linear_pack),
    .linear = SG_FLOAT32_NAME(linear),
    .pack_bf16 = SG_ISA_NAME(pack_bf16),
    .linear_bf16 = SG_ISA_NAME(linear_bf16),
    .dot2 = SG_ISA_NAME(dot2),
    .norm = SG_ISA_NAME(norm),
    .swiglu = SG_ISA_NAME(swiglu),
    .l2norm = SG_ISA_NAME(l2norm),
    .qkv = SG_ISA_NAME(qkv),
    .prefill = SG_ISA_NAME(prefill),
    .decode = SG_ISA_NAME(decode),
    .decode_split = SG_ISA_NAME(decode_split),
    .decode_fold = SG_ISA_NAME(decode_fold),
    .sample = SG_ISA_NAME(sample),
    .logprob = SG_ISA_NAME(logprob),
    .measure_fma = measure_fma,
    .measure_dot2 = measure_dot2,
    .measure_read = measure_read,
    .exp = exp_all,
};

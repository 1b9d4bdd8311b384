/* launch - the launchers of kernels/cuda, one per operator kernel, and the launch geometry they use. All
 * pointers are device memory; `stream` comes from sg__rt_stream; a launcher returns 0 or an error code of the
 * runtime (sg__rt_error). Activations are bf16, or float32 where a launcher is told so (f32). Arguments were
 * checked by kernels/ops.c and backend_cuda.c. Geometry depends on shapes alone and lives here as host
 * functions that tests call. Private to kernels/cuda. */
#ifndef SG_KERNELS_CUDA_LAUNCH_H
#define SG_KERNELS_CUDA_LAUNCH_H

#include "kernels/layout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SG__HEAD_TILE = 128, /* values of a head in a tile: smaller heads are padded with zeros */
    SG__SPLIT_KEYS = 2 * SG_SPLIT_TOKENS,   /* keys of one decode split: fixed, as it is part of a result */
    SG__PREFILL_ROWS = 128,                 /* (query row, head) pairs of a prefill block */
    SG__PREFILL_ROWS_F32 = 64,              /* the same in float32 */
    SG__PREFILL_KEYS = 64,                  /* keys of a prefill step */
    SG__PREFILL_KEYS_F32 = 32,              /* the same in float32 */
    SG__DECODE_TILE = 32,                   /* (sample, head) rows of a decode block */
    SG__PARTIAL_FLOATS = SG__HEAD_TILE + 4, /* one split's result: 128 values, max, sum; of a row's first the
                                             * splits of its prompt; padding */
    SG__SAMPLE_LIST = 1024,                 /* candidates that sampling keeps on the chip */
    SG__SAMPLE_THREADS = 512,
};

/* Threads of a block that works on one row of `cols` elements, 8 at a time: a function of cols alone. */
static inline int32_t sg__row_threads(int32_t cols) {
    const int32_t warps = (cols + 255) / 256;
    return 32 * (warps < 1 ? 1 : warps > 16 ? 16 : warps);
}
/* Threads that draw from one row of logits. */
static inline int32_t sg__sample_threads(int32_t vocab) {
    return vocab >= 16384 ? SG__SAMPLE_THREADS : vocab >= 4096 ? 128 : 32;
}
/* Splits of a KV axis of `keys` keys. */
SG_LAYOUT int32_t sg__splits(int32_t keys) {
    return (int32_t)(((int64_t)keys + SG__SPLIT_KEYS - 1) / SG__SPLIT_KEYS);
}
/* Partial results that one (row, head) of decode attention may need for a context of max_context tokens:
 * prompt and suffix are split apart. */
static inline int32_t sg__max_splits(int32_t max_context) {
    return sg__splits(max_context) + 1;
}
static inline size_t sg__partial_bytes(int32_t rows, int32_t q_heads, int32_t splits) {
    return (size_t)rows * (size_t)q_heads * (size_t)splits * SG__PARTIAL_FLOATS * sizeof(float);
}
/* Rows may be moved 16 bytes at a time: their length and every array's address allow it. Both ways give the
 * same bits. */
static inline int sg__wide(int32_t cols, const void *a, const void *b, const void *c) {
    return cols % 8 == 0 && (((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) & 15) == 0;
}
/* Blocks along x of a launch that gives every `per` of n items a block. */
static inline int64_t sg__blocks(int64_t n, int64_t per) {
    return (n + per - 1) / per;
}

int sg__launch_embed(float *out, const void *w, bool w_f32, const int32_t *ids, int32_t n, int32_t cols,
                     void *stream);
int sg__launch_feed_tokens(int32_t *ids, const int32_t *token, const int32_t *from, int32_t n, void *stream);
int sg__launch_gather_rows(void *out, const void *x, const int32_t *rows, int32_t n, int32_t cols,
                           void *stream);
int sg__launch_add_rmsnorm(void *out, float *resid, const void *delta, const float *weight, int32_t n,
                           int32_t cols, float eps, bool f32, void *stream);
int sg__launch_swiglu(void *out, const void *gate_up, int32_t n, int32_t cols, bool f32, void *stream);
int sg__launch_l2norm(float *out, const void *x, int32_t n, int32_t cols, bool f32, void *stream);
/* codes e4m3 [rows][cols], scale [rows]; out bf16 or float32 [rows][cols]. */
int sg__launch_dequant(void *out, const void *codes, const float *scale, int64_t rows, int32_t cols, bool f32,
                       void *stream);
/* x bf16 [n]. */
int sg__launch_widen(float *out, const void *x, int64_t n, void *stream);
/* out bf16 [rows][cols] on a boundary of 16 bytes; with scale [rows] e4m3 codes. */
int sg__launch_random(void *out, float *scale, int64_t rows, int32_t cols, uint64_t key, void *stream);
int sg__launch_logprob(float *out, const float *logits, const int32_t *target, int32_t n, int32_t vocab,
                       void *stream);

/* Where one layer's keys and values are: [page][kv_head][SG_PAGE_TOKENS][head_dim], in the type of the
 * activations. */
struct sg__kv_layer {
    void *k, *v;
    int32_t kv_heads, head_dim; /* head_dim: a multiple of 8, at most SG__HEAD_TILE */
    bool f32;                   /* with them the activations */
};
struct sg__qkv_launch {
    const void *qkv;
    void *q_out;
    struct sg__kv_layer kv;
    int32_t n, q_heads;
    const float *q_norm, *k_norm, *cos_sin;
    float eps;
    const int32_t *positions, *slot;
};
int sg__launch_qkv_rope(const struct sg__qkv_launch *a, void *stream);

struct sg__prefill_launch {
    const void *q;
    void *out;
    struct sg__kv_layer kv;
    int32_t q_heads, n_segs;
    float scale;
    const int32_t *row_begin, *pos0, *page_begin, *pages;
    int32_t max_rows; /* rows of the longest segment */
};
int sg__launch_attn_prefill(const struct sg__prefill_launch *a, void *stream);

struct sg__decode_launch {
    const void *q;
    void *out;
    float *partial; /* [n_rows][q_heads][stride][SG__PARTIAL_FLOATS] */
    struct sg__kv_layer kv;
    int32_t q_heads, n_groups, n_rows;
    float scale;
    const int32_t *row_begin, *prompt_len, *prompt_page_begin, *prompt_pages;
    const int32_t *suffix_len, *suffix_page_begin, *suffix_pages;
    int32_t max_group_rows;    /* rows of the largest group */
    int32_t max_prompt_splits; /* sg__splits of the longest prompt, of the longest suffix */
    int32_t max_suffix_splits;
    int32_t stride; /* partial results of one (row, head), at least its prompt's and its suffix's splits */
};
int sg__launch_attn_decode(const struct sg__decode_launch *a, void *stream);

struct sg__sample_launch {
    const float *logits;
    int32_t vocab, n;
    const int32_t *row;
    const float *u;
    const int32_t *setting;
    const struct sg_draw_settings *settings;
    const int32_t *yes_ids, *no_ids;
    int32_t n_yes, n_no;
    int32_t *token;
    float *p_yes, *logprob;
    int32_t
        list; /* candidates to keep on the chip, at most SG__SAMPLE_LIST; tests set 0 to force the row path */
};
int sg__launch_sample(const struct sg__sample_launch *a, void *stream);

/* Adds to *count how many 16-bit pieces of y [rows][halves] are not those of row r % n_ref of ref; `stride` pieces
 * from one row to the next, in both. */
int sg__launch_differ(uint32_t *count, const void *y, const void *ref, int64_t rows, int64_t halves,
                      int64_t stride, int32_t n_ref, void *stream);

/* Sums n floats (a multiple of 4) into out[blocks]: read bandwidth, for measurements. */
int sg__launch_read(float *out, const float *x, int64_t n, int32_t blocks, void *stream);

#ifdef __cplusplus
}
#endif
#endif

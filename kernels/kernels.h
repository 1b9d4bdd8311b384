/* kernels - the interface between the model and a device. It declares every operator of the forward pass,
 * sampling included. kernels/ops.c validates the arguments for all backends and calls the device's backend
 * (ref, cpu, guard, cuda, or the emulated cuda).
 *
 * Conventions
 * - Matrices are row-major, rows = tokens of the batch. `n` is the number of rows; n = 0 is a no-op.
 * - "act" pointers are device arrays of the device's activation type (sg_dev_info.act: f32 on ref and
 *   cpu, bf16 on cuda unless it was opened for float32). `float` and `int32_t` pointers in operator
 *   arguments are device arrays too.
 * - Device memory comes from sg_dev_alloc; on host backends it can be read directly, but callers use
 *   sg_dev_download, which works everywhere.
 * - Operators run in call order, on lanes (below) in call order of each; they may return before they have
 *   finished.
 *   sg_dev_download waits for its bytes; sg_dev_fetch queues the copy and does not stop the stream. No
 *   operator allocates: sg_dev_reserve takes the scratch once. Nothing here is thread-safe: one thread of the
 *   caller drives a device.
 * - Batch invariance: a row's result depends, bit for bit, on that row's inputs alone: never on n, on the
 *   other rows, on the number of threads, or on how a prompt was cut into chunks. The cpu backend gives
 *   the same bits with every instruction set it has (scalar, AVX2, AVX-512).
 * - Errors: SG_E_INTERNAL for arguments that break a contract (a caller's bug; the message gives both
 *   values), SG_E_DEVICE when the device fails, SG_E_NOMEM, SG_E_UNSUPPORTED for a shape a backend lacks. */
#ifndef SG_KERNELS_H
#define SG_KERNELS_H

#include "base/status.h"
#include "kernels/layout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* dtype, name in safetensors, bytes per element */
#define SG_DTYPE_LIST(X)                 X(SG_F32, "F32", 4) X(SG_F16, "F16", 2) X(SG_BF16, "BF16", 2)
#define SG_DTYPE_ENUM(code, name, bytes) code,
enum sg_dtype { SG_DTYPE_LIST(SG_DTYPE_ENUM) SG_DTYPE_COUNT };
#undef SG_DTYPE_ENUM
const char *sg_dtype_name(enum sg_dtype t);
size_t sg_dtype_bytes(enum sg_dtype t);
/* Element i of host data of dtype t, exact; for the norm weights, which operators take as float32. */
float sg_dtype_to_f32(const void *data, int64_t i, enum sg_dtype t);

/* ---- devices ---------------------------------------------------------------------------------------- */

struct sg_dev; /* opaque: one open device, owned by the caller of sg_dev_open */

/* What a device computes in: KV cache, attention and the factors of products; on cuda activations too. */
enum sg_precision {
    SG_PRECISION_AUTO,    /* the device's default: bf16 on cuda, float32 on host backends */
    SG_PRECISION_BF16,    /* float32 sums of bf16 */
    SG_PRECISION_FLOAT32, /* no rounding below float32, weights as the checkpoint stores them */
};
struct sg_dev_options {
    const char *backend; /* "auto", "ref", "cpu", "guard" (guards cpu), "guard:ref", "cuda"; NULL = "auto" */
    int threads;         /* host backends: threads, caller's included; 0 = all cores of the affinity mask */
    const char *isa;     /* cpu: "auto", "scalar", "avx2", "avx512", "avx512bf16"; NULL = "auto" */
    int device;          /* cuda: ordinal */
    enum sg_precision precision;
    /* Host backends: memory is written when it is taken, so that no operator waits for the system's pages. */
    bool touch;
};

struct sg_dev_info {
    char backend[16];  /* "cpu" */
    char name[128];    /* "AMD EPYC 9354 (avx512, 2 threads)" or the GPU's name */
    enum sg_dtype act; /* activation type */
    /* What the factors of sums are rounded to: inputs of linear and logits, keys, values, queries and softmax
     * weights. On cuda the activation type. */
    enum sg_dtype products;
    bool host_memory; /* device pointers are host pointers */
    int threads;
    bool async;           /* operators return before they have finished */
    bool records;         /* supports sg_dev_record_begin */
    int32_t max_head_dim; /* largest head of its attention; 0: any (SG_MAX_HEAD_DIM) */
    int32_t row_tile;     /* linear and logits read and write whole tiles of so many rows; 0: rows alone */
    int32_t lanes;        /* batches that it can compute side by side (sg_dev_fork): SG_DEV_LANES; 0: one */
    int64_t memory_bytes; /* total device (or host) memory; 0 = unknown */
    /* of a device that is not the host, else "": the same uuid for every process that sees the device */
    char uuid[64], driver[64], runtime[64];
};

/* Describes a device without opening it: no memory is taken on it. */
struct sg_dev_place {
    char backend[16]; /* its backend; the one chosen for "auto" */
    int count;        /* devices this process sees; 0: a host backend, of which any number can be open */
    int device;       /* ordinal of the one described below */
    char name[128], uuid[64];
};
/* Device `index` % count of the backend. SG_E_DEVICE when there is none ("auto" then chooses a host backend),
 * SG_E_USAGE for an unknown backend. */
enum sg_status sg_dev_find(const char *backend, int index, struct sg_dev_place *out, struct sg_err *err);

/* Opens a device. SG_E_DEVICE with the reason when it is not available, SG_E_USAGE for an unknown name (the
 * error lists the known ones) or a precision that the backend lacks. Never collective. */
enum sg_status sg_dev_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err);
void sg_dev_close(struct sg_dev *dev); /* NULL accepted; frees what the device still owns */
const struct sg_dev_info *sg_dev_info(const struct sg_dev *dev);
/* n rows in whole tiles of info.row_tile. */
static inline int32_t sg_tile_rows(const struct sg_dev *dev, int32_t n) {
    const int32_t tile = sg_dev_info(dev)->row_tile > 1 ? sg_dev_info(dev)->row_tile : 1;
    return (int32_t)(((int64_t)n + tile - 1) / tile * tile);
}
/* Names of the backends built into this binary, for i = 0, 1, ...; NULL past the end. */
const char *sg_backend_name(int i);

/* Device memory, 64-byte aligned, contents undefined (the guard poisons them). */
enum sg_status sg_dev_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                            struct sg_err *err);
void sg_dev_free(struct sg_dev *dev, void *p); /* NULL accepted */
/* Copies in call order with the operators. The caller may reuse src as soon as upload returns. Download
 * returns once dst holds the bytes. */
enum sg_status sg_dev_upload(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                             struct sg_err *err);
enum sg_status sg_dev_download(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                               struct sg_err *err);
enum sg_status sg_dev_sync(struct sg_dev *dev, struct sg_err *err);

/* Host memory that the device can write to (pinned on a GPU); contents undefined. */
enum sg_status sg_dev_host_alloc(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                 struct sg_err *err);
void sg_dev_host_free(struct sg_dev *dev, void *p); /* NULL accepted; waits for the stream */
/* Queues a download behind the operators called so far, into dst from sg_dev_host_alloc, and returns. Until
 * sg_dev_fetch_wait(slot) has returned, the contents of dst are undefined and the caller may not use it.
 * Several fetches may share a slot. The wait does not cover operators called after the fetch. Waiting on a
 * slot without a fetch is a no-op. */
enum { SG_FETCH_SLOTS = 2 };
enum sg_status sg_dev_fetch(struct sg_dev *dev, int slot, void *dst, const void *src, size_t bytes,
                            struct sg_err *err);
enum sg_status sg_dev_fetch_wait(struct sg_dev *dev, int slot, struct sg_err *err);
/* Bytes that can still be allocated: free device memory, or on the host what the system and this process's
 * control groups leave. 0 = unknown. */
int64_t sg_dev_memory_free(struct sg_dev *dev);

/* Largest shapes that operators will be called with; sg_dev_reserve sizes the scratch from them. */
struct sg_limits {
    int32_t max_rows;        /* rows of one batch (prefill and decode together) */
    int32_t max_decode_rows; /* decode rows of one batch */
    int32_t max_logit_rows;  /* rows that go through the LM head in one step */
    int32_t max_draws;       /* draws of one sg_op_sample call */
    int32_t max_context;     /* tokens of one sequence, prompt and answer */
    int32_t lanes;           /* 0 and 1: one; 2: sg_dev_fork will be called */
    int32_t q_heads, kv_heads, head_dim, hidden, intermediate, vocab;
    bool
        fp8_weights; /* products will take weights with SG_USE_FP8, of the shapes that the widths above set */
};
/* Scratch bytes that sg_dev_reserve(lim) takes, for `plan`. */
size_t sg_dev_reserve_bytes(const struct sg_dev *dev, const struct sg_limits *lim);
enum sg_status sg_dev_reserve(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err);

/* ---- lanes ------------------------------------------------------------------------------------------ */

/* A device with info.lanes = 2, reserved with lim.lanes = 2, can run two sequences of operators side by side:
 * attention of one batch, which reads memory, under products of another, which compute. Fork begins with lane 0;
 * sg_dev_lane chooses where the following operators go. What was called before the fork has finished for both
 * lanes; join makes what is called after it wait for both. Between fork and join only operators may be called: no
 * copies, allocations or records. Operators of different lanes are not ordered: nothing that one writes may be
 * read or written by the other. Lane 1 takes at most half of lim.max_rows and of lim.max_decode_rows, rounded up
 * (sg_lane_rows). A row has the same bits on either lane. */
enum { SG_DEV_LANES = 2 };
static inline int32_t sg_lane_rows(int lane, int32_t rows) {
    return lane ? rows - rows / 2 : rows;
}
/* SG_E_UNSUPPORTED where the device has one lane. */
enum sg_status sg_dev_fork(struct sg_dev *dev, struct sg_err *err);
enum sg_status sg_dev_lane(struct sg_dev *dev, int lane, struct sg_err *err);
/* Also after an operator has failed: the lanes are joined, and lane 0 is current, unless the device is lost. */
enum sg_status sg_dev_join(struct sg_dev *dev, struct sg_err *err);

/* ---- weights ---------------------------------------------------------------------------------------- */

/* Host matrices that, stacked along rows, form W [rows][cols] (q, k, v or gate, up). data is row-major,
 * little-endian, at any alignment (it points into a mapped file), borrowed for the call. */
struct sg_weight_part {
    const void *data;
    enum sg_dtype dtype; /* the same for all parts of a weight */
    int64_t rows;
};
enum sg_weight_use {
    SG_USE_LINEAR = 1, /* sg_op_linear, sg_op_logits */
    SG_USE_EMBED = 2,  /* sg_op_embed */
    /* Only with SG_USE_LINEAR alone: loading rounds every element to e4m3 times a power of two of its row
     * (fp8.h). All backends multiply the same rounded weights; a backend may store one byte for each. */
    SG_USE_FP8 = 4,
};
/* Opaque, in device memory, in the backend's own packing. Without SG_USE_FP8, host backends keep the element
 * type, or round to bf16 when they compute in bf16; cuda rounds F32 and F16 to bf16 on loading when it computes in bf16,
 * and converts F16 to F32 when it computes in float32. */
struct sg_weight;
enum sg_status sg_weight_new(struct sg_dev *dev, const struct sg_weight_part *parts, int n_parts,
                             int64_t cols, unsigned use, struct sg_weight **out, struct sg_err *err);
/* A weight of random numbers that the device generates, without host copy or file; for measurements without
 * a checkpoint. Element (r, c) is number r cols + c of the stream `key` (sg_random_weights in base/rng.h),
 * the same bits on every device, and with SG_USE_FP8 rounded as above. */
enum sg_status sg_weight_random(struct sg_dev *dev, int64_t rows, int64_t cols, unsigned use, uint64_t key,
                                struct sg_weight **out, struct sg_err *err);
void sg_weight_free(struct sg_dev *dev, struct sg_weight *w); /* NULL accepted */
int64_t sg_weight_rows(const struct sg_weight *w);
int64_t sg_weight_cols(const struct sg_weight *w);
size_t sg_weight_bytes(const struct sg_weight *w); /* device bytes held */
/* Device bytes of such a weight, padding included; for `plan`. */
size_t sg_weight_bytes_for(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                           unsigned use);

/* ---- paged KV cache --------------------------------------------------------------------------------- */

/* The pool: for every layer, `pages` pages of SG_PAGE_TOKENS tokens of K and V for all KV heads. Opaque:
 * each backend chooses the layout inside a page. Page ids: 0 <= id < pages. */
struct sg_kv;
size_t sg_kv_page_bytes(const struct sg_dev *dev, int32_t layers, int32_t kv_heads, int32_t head_dim);
enum sg_status sg_kv_new(struct sg_dev *dev, int32_t layers, int32_t pages, int32_t kv_heads,
                         int32_t head_dim, struct sg_kv **out, struct sg_err *err);
void sg_kv_free(struct sg_dev *dev, struct sg_kv *kv); /* NULL accepted */
int32_t sg_kv_pages(const struct sg_kv *kv);

/* ---- recorded runs of operators --------------------------------------------------------------------- */

/* Between begin and end the device records operators and does not run them. A replay runs them all for one
 * call, with the recorded arguments: the same addresses and host arrays, but the present contents of device
 * memory. The caller may not allocate, free or copy while recording. New contents are allowed as long as the
 * recorded launch geometry covers them: see the bounds of struct sg_decode_args; the geometry of other
 * operators follows from their shapes alone. Every operator of a record must have run once before with the
 * same shapes: its first call chooses variants and loads code. */
struct sg_dev_record; /* opaque; owned by the caller, freed before the device is closed */
struct sg_decode_args;
/* SG_E_UNSUPPORTED where sg_dev_info.records is false. */
enum sg_status sg_dev_record_begin(struct sg_dev *dev, struct sg_err *err);
/* Ends the recording also when it fails; then *out = NULL. out NULL: drops the recording. */
enum sg_status sg_dev_record_end(struct sg_dev *dev, struct sg_dev_record **out, struct sg_err *err);
/* decode: the arguments of sg_op_attn_decode in this step, for the statistics (its cost depends on lengths
 * that vary between replays); NULL: counted as recorded. */
enum sg_status sg_dev_replay(struct sg_dev *dev, struct sg_dev_record *r, const struct sg_decode_args *decode,
                             struct sg_err *err);
/* NULL accepted; a replay in progress completes. */
void sg_dev_record_free(struct sg_dev *dev, struct sg_dev_record *r);

/* ---- operators -------------------------------------------------------------------------------------- */

/* out[i][:] = W[ids[i]][:]; out f32 [n][cols], the residual stream. W must have SG_USE_EMBED; 0 <= ids[i] <
 * rows. */
enum sg_status sg_op_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                           float *out, struct sg_err *err);

/* ids[i] = max(token[from[i]], 0) where from[i] >= 0, unchanged elsewhere: gives a step the tokens that the
 * previous one drew before the host has received them. A token of -1 (no draw) becomes the valid id 0; the
 * engine discards that row. ids, from [n], from[i] < n_tokens; token [n_tokens]; no aliasing. */
enum sg_status sg_op_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                 const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err);

/* resid[i][:] += delta[i][:] (delta NULL: nothing added), then
 * out[i][j] = resid[i][j] / sqrt(mean_j(resid^2) + eps) * weight[j].   (RMSNorm, arXiv:1910.07467)
 * resid f32 [n][cols] on every device: the sum over layers is not rounded at each layer (rounding it to bf16
 * makes a quarter or more of the final error's variance, tests/cuda/bf16_error.py). delta, out act
 * [n][cols]; weight f32 [cols]; out may not alias resid or delta. */
enum sg_status sg_op_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                 int32_t n, int32_t cols, float eps, void *out, struct sg_err *err);

/* y[i][:] = W x[i][:]; x act [n][cols], y act [n][rows]; no aliasing. x and y hold sg_tile_rows(dev, n) rows:
 * what x has behind row n may be anything, what y has there is undefined afterwards. */
enum sg_status sg_op_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n, void *y,
                            struct sg_err *err);
/* The same with float32 results: logits [n][rows], in whole tiles as well. */
enum sg_status sg_op_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                            float *logits, struct sg_err *err);

/* After the packed q,k,v projection, per row i: RMSNorm of each q and k head over head_dim with its
 * weight, RoPE in the half-rotation form (pairs j and j + head_dim/2) at positions[i], k and v written to
 * slot[i] of layer `layer` in the pool, q to q_out.
 * qkv act [n][(q_heads + 2 kv_heads) head_dim], heads in the order q, k, v; q_out act [n][q_heads head_dim];
 * q_norm, k_norm f32 [head_dim]; cos_sin f32 [max_context][head_dim]: cos of the head_dim/2 angles, then
 * sin; positions [n], 0 <= p < max_context; slot [n] = page * SG_PAGE_TOKENS + offset, all different. */
struct sg_qkv_args {
    const void *qkv;
    void *q_out;
    struct sg_kv *kv;
    int32_t layer, n, q_heads, kv_heads, head_dim;
    const float *q_norm, *k_norm, *cos_sin;
    float eps;
    int32_t max_context;
    const int32_t *positions, *slot;
};
enum sg_status sg_op_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err);

/* Causal attention of prefill rows. Segment s is a run of consecutive positions of one sequence: rows
 * [row_begin[s], row_begin[s+1]) of q at positions pos0[s], pos0[s]+1, ...; each row attends to keys
 * 0..its own position, found in pages[page_begin[s] + pos / SG_PAGE_TOKENS]. sg_op_qkv_rope must have
 * written the keys and values of these rows. scale multiplies q.k. out may alias q.
 * q, out act [n][q_heads head_dim] with n = row_begin[n_segs]. The host_* arrays are host copies of the
 * device arrays beside them (launch geometry, validation). */
struct sg_prefill_args {
    const void *q;
    void *out;
    const struct sg_kv *kv;
    int32_t layer, q_heads, kv_heads, head_dim;
    float scale;
    int32_t n_segs;
    const int32_t *row_begin;  /* [n_segs + 1], row_begin[0] = 0 */
    const int32_t *pos0;       /* [n_segs] */
    const int32_t *page_begin; /* [n_segs + 1] */
    const int32_t *pages;      /* [page_begin[n_segs]] */
    const int32_t *host_row_begin, *host_pos0, *host_page_begin;
};
enum sg_status sg_op_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a, struct sg_err *err);

/* Attention of decode rows, one new token each, grouped by the prompt they share. Rows
 * [row_begin[g], row_begin[g+1]) are the live samples of group g. Each row attends to the whole prompt of
 * its group (prompt_len[g] tokens in the group's pages, all of them visible) and to its own suffix
 * (suffix_len[r] >= 1 tokens, the new one included, in its own pages, which start at a page boundary).
 * The prompt part of all rows of a group is one matrix product per KV head; both parts are merged by
 * log-sum-exp. Prompts are cut along the keys at multiples of SG_SPLIT_TOKENS for every batch.
 * A group without rows is skipped, and nothing of it is read.
 * q, out act [n_rows][q_heads head_dim]; out may alias q. host_* as above. */
struct sg_decode_args {
    const void *q;
    void *out;
    const struct sg_kv *kv;
    int32_t layer, q_heads, kv_heads, head_dim;
    float scale;
    int32_t n_groups, n_rows;
    const int32_t *row_begin;         /* [n_groups + 1] */
    const int32_t *prompt_len;        /* [n_groups], >= 1 */
    const int32_t *prompt_page_begin; /* [n_groups + 1] */
    const int32_t *prompt_pages;      /* [prompt_page_begin[n_groups]] */
    const int32_t *suffix_len;        /* [n_rows] */
    const int32_t *suffix_page_begin; /* [n_rows + 1] */
    const int32_t *suffix_pages;      /* [suffix_page_begin[n_rows]] */
    const int32_t *host_row_begin, *host_prompt_len, *host_prompt_page_begin, *host_suffix_len,
        *host_suffix_page_begin;
    /* All 0, or upper bounds of the rows of a group and of prompt_len and suffix_len: a recorded launch then
     * covers every step within them that has the same n_groups and n_rows. */
    int32_t bound_group_rows, bound_prompt_len, bound_suffix_len;
};
enum sg_status sg_op_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err);

/* out[i][j] = silu(gate_up[i][j]) * gate_up[i][cols + j], silu(x) = x / (1 + exp(-x)).
 * gate_up act [n][2 cols], out act [n][cols]; no aliasing. */
enum sg_status sg_op_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                            struct sg_err *err);

/* out[i][:] = x[rows[i]][:], bit by bit; x act [n_x][cols], out act [n][cols]; no aliasing. Rows of float32
 * are gathered as twice the columns where act is bf16. */
enum sg_status sg_op_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                 int32_t n, int32_t cols, void *out, struct sg_err *err);

/* out[i][:] = x[i][:] / max(|x[i]|_2, 1e-12); x act [n][cols], out f32 [n][cols]. */
enum sg_status sg_op_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                            struct sg_err *err);

/* out[i] = log softmax(logits[i])[target[i]] at temperature 1; logits f32 [n][vocab]. NaN when the row
 * holds a NaN. */
enum sg_status sg_op_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                             int32_t vocab, float *out, struct sg_err *err);

/* One token per draw i from logits row row[i] (several draws may share a row), with the temperature, top_p
 * and top_k of settings[setting[i]], independently of the other draws.
 *   temperature = 0: the largest logit, the lowest id on ties.
 *   Otherwise (1e-6 to 1e6), as vLLM and transformers do: z = logits / temperature;
 *   top_k (0 or >= vocab = off) keeps z >= the k-th largest (with all ties); p = softmax over the kept;
 *   top_p (1 = off) keeps, in descending order of p (lower id first on ties), every token whose preceding
 *   tokens sum to < top_p, at least one, and p is renormalised;
 *   the token is the inverse of that CDF, in the same order, at u[i], a multiple of 2^-24 in [0, 1).
 *   token[i] = -1 when the row holds a NaN or +inf (a broken checkpoint).
 * p_yes[i] = sum exp(logit of yes ids) / (sum exp(yes) + sum exp(no)) at temperature 1, for any token drawn;
 * NaN when n_yes or n_no is 0. logprob[i] = log softmax(logits)[token] at temperature 1. p_yes and logprob
 * may be NULL. Sums are taken in a fixed order. */
struct sg_sample_args {
    const float *logits; /* [n_rows][vocab] */
    int32_t n_rows, vocab, n;
    const int32_t *row;                           /* [n] */
    const float *u;                               /* [n] */
    const int32_t *setting;                       /* [n], 0 <= setting[i] < n_settings */
    const struct sg_draw_settings *settings;      /* device [n_settings] */
    const struct sg_draw_settings *host_settings; /* the host's copy of it, for validation */
    int32_t n_settings;
    const int32_t *yes_ids, *no_ids; /* device arrays */
    int32_t n_yes, n_no;
    int32_t *token; /* [n] */
    float *p_yes;   /* [n] or NULL */
    float *logprob; /* [n] or NULL */
};
enum sg_status sg_op_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err);

/* ---- measurement ------------------------------------------------------------------------------------ */

/* operator, name: one slot of time, flops and bytes each (bytes = the least that the operator must move) */
#define SG_STAGE_LIST(X)                                                                                     \
    X(SG_STAGE_EMBED, "embed")                                                                               \
    X(SG_STAGE_NORM, "norm")                                                                                 \
    X(SG_STAGE_LINEAR, "linear")                                                                             \
    X(SG_STAGE_LOGITS, "logits")                                                                             \
    X(SG_STAGE_QKV, "qkv_rope")                                                                              \
    X(SG_STAGE_PREFILL, "attn_prefill")                                                                      \
    X(SG_STAGE_DECODE, "attn_decode")                                                                        \
    X(SG_STAGE_SWIGLU, "swiglu")                                                                             \
    X(SG_STAGE_SAMPLE, "sample")                                                                             \
    X(SG_STAGE_STEP, "step") /* replays, all their operators */                                              \
    X(SG_STAGE_OTHER, "other")
#define SG_STAGE_ENUM(code, name) code,
enum sg_stage { SG_STAGE_LIST(SG_STAGE_ENUM) SG_STAGE_COUNT };
#undef SG_STAGE_ENUM
const char *sg_stage_name(enum sg_stage s);
struct sg_stage_stats {
    int64_t calls, ns;
    double flops, bytes;
};
/* Totals since open or the last reset; stats[SG_STAGE_COUNT]. */
void sg_dev_stats(struct sg_dev *dev, struct sg_stage_stats *stats);
void sg_dev_stats_reset(struct sg_dev *dev);
/* Measures the machine's limits on all of the device's threads (about 1 s): rate of the best known loop of the device's
 * products (float32 FMA; of bf16 where the cpu computes in it), and read bandwidth from memory. For "percent of the limit"
 * in bench. */
enum sg_status sg_dev_measure(struct sg_dev *dev, double *flops_per_s, double *bytes_per_s,
                              struct sg_err *err);

/* NaN: unknown (host backends, no NVML). A call may take a millisecond. */
struct sg_dev_power {
    double joules; /* since the device was opened, by all its users */
    double watts, celsius;
};
void sg_dev_power(struct sg_dev *dev, struct sg_dev_power *out);

#ifdef __cplusplus
}
#endif
#endif

/* tiny - random Qwen3 checkpoints for tests, written as config.json and safetensors: no outside data needed.
 * A checkpoint is first a list of tensors that a test may spoil, then files. */
#ifndef SG_TESTS_TINY_H
#define SG_TESTS_TINY_H

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct tiny {
    int32_t layers, hidden, q_heads, kv_heads, head_dim, intermediate, vocab, eos;
    bool tied, prefix, nested_rope;
    enum sg_dtype dtype;
    int32_t shards; /* 1: model.safetensors */
    uint64_t seed;
    float scale; /* of the weights; the larger, the more a token depends on those before it */
};
#define TINY_DEFAULTS                                                                                        \
    {                                                                                                        \
        .layers = 2, .hidden = 48, .q_heads = 4, .kv_heads = 2, .head_dim = 16, .intermediate = 72,          \
        .vocab = 97, .eos = 2, .tied = true, .prefix = true, .dtype = SG_BF16, .shards = 1, .seed = 1,       \
        .scale = 0.35f                                                                                       \
    }

struct tiny_tensor {
    char name[96], dtype[8];
    int32_t n_dims;
    int64_t dims[3];
    size_t bytes;
    unsigned char *data; /* owned */
};
struct tiny_tensors {
    struct tiny_tensor *t; /* owned */
    size_t n;
};

#define TINY_OK(call)                                                                                        \
    do {                                                                                                     \
        struct sg_err tiny_err_ = {0};                                                                       \
        struct sg_err *err = &tiny_err_;                                                                     \
        if ((call) != SG_OK) fail_msg("%s:%d: %s", __FILE__, __LINE__, tiny_err_.text);                      \
    } while (0)

static inline void tiny_put(unsigned char *at, enum sg_dtype t, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (t == SG_F32) {
        memcpy(at, &bits, 4);
        return;
    }
    uint16_t half;
    if (t == SG_BF16) {
        half = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    } else { /* f16, cut off: any value will do, as long as it is a normal number or zero */
        const int32_t e = (int32_t)(bits >> 23 & 255) - 112;
        half = (uint16_t)(e <= 0 ? 0 : (bits >> 16 & 0x8000u) | (uint32_t)e << 10 | (bits >> 13 & 1023));
    }
    memcpy(at, &half, 2);
}

/* One random tensor; norms are near 1. cols 0: a vector of `rows`. */
static inline void tiny_add(struct tiny_tensors *l, const struct tiny *c, const char *name, int64_t rows,
                            int64_t cols) {
    l->t = realloc(l->t, (l->n + 1) * sizeof *l->t);
    assert_non_null(l->t);
    struct tiny_tensor *t = &l->t[l->n++];
    const size_t n = (size_t)(rows * (cols ? cols : 1)), width = sg_dtype_bytes(c->dtype);
    const bool norm = cols == 0;
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->dtype, sizeof t->dtype, "%s", sg_dtype_name(c->dtype));
    t->n_dims = norm ? 1 : 2;
    t->dims[0] = rows;
    t->dims[1] = cols;
    t->bytes = n * width;
    t->data = malloc(t->bytes + 1);
    assert_non_null(t->data);
    for (size_t i = 0; i < n; i++) {
        const double u = (double)(sg_random64(c->seed + l->n * 1000, i) >> 11) * 0x1p-53 * 2 - 1;
        tiny_put(t->data + i * width, c->dtype, norm ? (float)(1 + 0.2 * u) : (float)(u * (double)c->scale));
    }
}

static inline struct tiny_tensors tiny_make(const struct tiny *c) {
    struct tiny_tensors l = {0};
    const char *p = c->prefix ? "model." : "";
    const int64_t q = (int64_t)c->q_heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    char name[96];
#define ADD(rows, cols, ...)                                                                                 \
    do {                                                                                                     \
        snprintf(name, sizeof name, __VA_ARGS__);                                                            \
        tiny_add(&l, c, name, rows, cols);                                                                   \
    } while (0)
    ADD(c->vocab, c->hidden, "%sembed_tokens.weight", p);
    for (int32_t i = 0; i < c->layers; i++) {
        ADD(q, c->hidden, "%slayers.%d.self_attn.q_proj.weight", p, i);
        ADD(kv, c->hidden, "%slayers.%d.self_attn.k_proj.weight", p, i);
        ADD(kv, c->hidden, "%slayers.%d.self_attn.v_proj.weight", p, i);
        ADD(c->hidden, q, "%slayers.%d.self_attn.o_proj.weight", p, i);
        ADD(c->head_dim, 0, "%slayers.%d.self_attn.q_norm.weight", p, i);
        ADD(c->head_dim, 0, "%slayers.%d.self_attn.k_norm.weight", p, i);
        ADD(c->intermediate, c->hidden, "%slayers.%d.mlp.gate_proj.weight", p, i);
        ADD(c->intermediate, c->hidden, "%slayers.%d.mlp.up_proj.weight", p, i);
        ADD(c->hidden, c->intermediate, "%slayers.%d.mlp.down_proj.weight", p, i);
        ADD(c->hidden, 0, "%slayers.%d.input_layernorm.weight", p, i);
        ADD(c->hidden, 0, "%slayers.%d.post_attention_layernorm.weight", p, i);
    }
    ADD(c->hidden, 0, "%snorm.weight", p);
    if (!c->tied) ADD(c->vocab, c->hidden, "lm_head.weight");
#undef ADD
    return l;
}

static inline void tiny_free(struct tiny_tensors *l) {
    for (size_t i = 0; i < l->n; i++) free(l->t[i].data);
    free(l->t);
    memset(l, 0, sizeof *l);
}

static inline struct tiny_tensor *tiny_find(struct tiny_tensors *l, const char *part) {
    for (size_t i = 0; i < l->n; i++)
        if (strstr(l->t[i].name, part)) return &l->t[i];
    fail_msg("no tensor %s", part);
    abort(); /* fail_msg does not return, but it does not say so */
}

static inline void tiny_write(const char *dir, const char *name, const void *bytes, size_t n) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    TINY_OK(sg_file_write_atomic(path, bytes, n, err));
}

/* The bytes of a safetensors file. */
static inline struct sg_buf tiny_safetensors(const struct tiny_tensor *t, size_t n) {
    struct sg_buf head = {0}, out = {0};
    size_t at = 0;
    TINY_OK(sg_buf_str(&head, "{\"__metadata__\": {\"format\": \"pt\"}", err));
    for (size_t i = 0; i < n; i++) {
        TINY_OK(
            sg_buf_printf(&head, err, ", \"%s\": {\"dtype\": \"%s\", \"shape\": [", t[i].name, t[i].dtype));
        for (int32_t d = 0; d < t[i].n_dims; d++)
            TINY_OK(sg_buf_printf(&head, err, "%s%lld", d ? ", " : "", (long long)t[i].dims[d]));
        TINY_OK(sg_buf_printf(&head, err, "], \"data_offsets\": [%zu, %zu]}", at, at + t[i].bytes));
        at += t[i].bytes;
    }
    TINY_OK(sg_buf_str(&head, "} ", err)); /* an odd length: tensors at unaligned addresses */
    unsigned char len[8];
    for (int i = 0; i < 8; i++) len[i] = (unsigned char)(head.len >> 8 * i);
    TINY_OK(sg_buf_add(&out, len, 8, err));
    TINY_OK(sg_buf_add(&out, head.data, head.len, err));
    for (size_t i = 0; i < n; i++) TINY_OK(sg_buf_add(&out, t[i].data, t[i].bytes, err));
    sg_buf_free(&head);
    return out;
}

static inline void tiny_config(const char *dir, const struct tiny *c, const char *more) {
    char text[2048];
    const int n =
        snprintf(text, sizeof text,
                 "{\"architectures\": [\"%s\"], \"model_type\": \"qwen3\", \"hidden_size\": %d, "
                 "\"num_hidden_layers\": %d, "
                 "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %d, "
                 "\"intermediate_size\": %d, "
                 "\"vocab_size\": %d, \"max_position_embeddings\": 2048, \"rms_norm_eps\": 1e-6, "
                 "\"hidden_act\": \"silu\", "
                 "\"attention_bias\": false, \"tie_word_embeddings\": %s, %s%s, \"eos_token_id\": %d}",
                 c->prefix ? "Qwen3ForCausalLM" : "Qwen3Model", c->hidden, c->layers, c->q_heads, c->kv_heads,
                 c->head_dim, c->intermediate, c->vocab, c->tied ? "true" : "false",
                 c->nested_rope ? "\"rope_parameters\": {\"rope_theta\": 10000.0, \"rope_type\": \"default\"}"
                                : "\"rope_theta\": 10000.0, \"rope_scaling\": null",
                 more ? more : "", c->eos);
    assert_true(n > 0 && (size_t)n < sizeof text);
    tiny_write(dir, "config.json", text, (size_t)n);
}

/* Tensors into one file, or dealt out over shards with their index. */
static inline void tiny_weights(const char *dir, const struct tiny *c, const struct tiny_tensors *l) {
    if (c->shards <= 1) {
        struct sg_buf b = tiny_safetensors(l->t, l->n);
        tiny_write(dir, "model.safetensors", b.data, b.len);
        sg_buf_free(&b);
        return;
    }
    struct sg_buf index_text = {0};
    TINY_OK(sg_buf_str(&index_text, "{\"metadata\": {}, \"weight_map\": {", err));
    for (int32_t s = 0; s < c->shards; s++) {
        const size_t from = l->n * (size_t)s / (size_t)c->shards,
                     to = l->n * ((size_t)s + 1) / (size_t)c->shards;
        char name[64];
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", s + 1, c->shards);
        struct sg_buf b = tiny_safetensors(l->t + from, to - from);
        tiny_write(dir, name, b.data, b.len);
        sg_buf_free(&b);
        for (size_t i = from; i < to; i++)
            TINY_OK(sg_buf_printf(&index_text, err, "%s\"%s\": \"%s\"", i ? ", " : "", l->t[i].name, name));
    }
    TINY_OK(sg_buf_str(&index_text, "}}", err));
    tiny_write(dir, "model.safetensors.index.json", index_text.data, index_text.len);
    sg_buf_free(&index_text);
}

static inline void tiny_checkpoint(const char *dir, const struct tiny *c) {
    struct tiny_tensors l = tiny_make(c);
    tiny_config(dir, c, NULL);
    tiny_weights(dir, c, &l);
    tiny_free(&l);
}

/* The least that a device can be asked to reserve for. */
static inline struct sg_limits tiny_limits(void) {
    return (struct sg_limits){.max_rows = 1,
                              .max_decode_rows = 1,
                              .max_logit_rows = 1,
                              .max_draws = 1,
                              .max_context = 16,
                              .q_heads = 1,
                              .kv_heads = 1,
                              .head_dim = 8,
                              .hidden = 8,
                              .intermediate = 8,
                              .vocab = 8};
}

/* A fresh directory; its name is written to dir (at least 64 bytes). */
static inline void tiny_dir(char dir[64]) {
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, 64, "%.40s/sg-tiny-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
}

/* Removes the files a test of this folder may have made, and the directory. */
static inline void tiny_remove(const char *dir) {
    static const char *const names[] = {
        "config.json",       "generation_config.json",       "tokenizer.json",
        "model.safetensors", "model.safetensors.index.json", "extra.safetensors"};
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    for (int of = 1; of <= 6; of++)
        for (int s = 1; s <= of; s++) {
            snprintf(path, sizeof path, "%s/model-%05d-of-%05d.safetensors", dir, s, of);
            unlink(path);
        }
    assert_int_equal(rmdir(dir), 0);
}

#endif

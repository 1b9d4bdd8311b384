#include "model/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char LM_HEAD[] = "lm_head.weight";

enum sg_status sg_weights_open(const char *dir, struct sg_weights *out, struct sg_err *err) {
    enum sg_status st;
    struct sg_weights w = {.dir = dir};
    SG_TRY(sg_safetensors_open(dir, &w.files, err));
    SG_TRY(SG_NEW(&w.taken, w.files.n, "weight table", err));
    const bool with = sg_safetensors_find(&w.files, "model.embed_tokens.weight") != NULL;
    const bool without = sg_safetensors_find(&w.files, "embed_tokens.weight") != NULL;
    if (with == without) {
        st = sg_fail(err, SG_E_INPUT,
                     "%s: holds %s embed_tokens.weight %s model.embed_tokens.weight; expected one", dir,
                     with ? "both" : "neither", with ? "and" : "nor");
        goto out;
    }
    w.prefix = with ? "model." : "";
    *out = w;
out:
    if (st != SG_OK) sg_weights_close(&w);
    return st;
}

void sg_weights_close(struct sg_weights *w) {
    if (!w) return;
    sg_safetensors_close(&w->files);
    free(w->taken);
    memset(w, 0, sizeof *w);
}

/* Requests pieces: Linux reads no more per request than the device's largest transfer
 * (force_page_cache_ra). */
static void want_soon(const unsigned char *data, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), piece = 256 << 10;
    const uintptr_t end = (uintptr_t)data + bytes;
    for (uintptr_t at = (uintptr_t)data / page * page; at < end; at += piece)
        (void)madvise((void *)at, end - at < piece ? end - at : piece, MADV_WILLNEED);
}

void sg_weights_read_ahead(const struct sg_weights *w, const char *begin) {
    char full[256];
    const int len = snprintf(full, sizeof full, "%s%s", w->prefix, begin);
    for (size_t i = 0; i < w->files.n && len < (int)sizeof full; i++)
        if (strncmp(w->files.tensors[i].name, full, (size_t)len) == 0)
            want_soon(w->files.tensors[i].data, w->files.tensors[i].bytes);
}

static bool weight_dtype(const char *name, enum sg_dtype *out) {
    for (int t = 0; t < SG_DTYPE_COUNT; t++)
        if (!strcmp(name, sg_dtype_name((enum sg_dtype)t))) {
            *out = (enum sg_dtype)t;
            return true;
        }
    return false;
}

enum sg_status sg_weights_take(struct sg_weights *w, const char *name, int64_t rows, int64_t cols,
                               struct sg_weight_part *part, struct sg_err *err) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", strcmp(name, LM_HEAD) ? w->prefix : "", name);
    const struct sg_tensor *t = sg_safetensors_find(&w->files, full);
    if (!t) return sg_fail(err, SG_E_INPUT, "%s: tensor %s is missing", w->dir, full);
    const char *path = w->files.paths[t->file];
    bool *taken = &w->taken[t - w->files.tensors];
    if (*taken) return sg_fail(err, SG_E_INTERNAL, "%s: tensor %s was asked for twice", path, full);
    const int64_t dims[2] = {rows ? rows : cols, cols};
    const int32_t n_dims = rows ? 2 : 1;
    if (t->n_dims != n_dims || memcmp(t->dims, dims, (size_t)n_dims * sizeof *dims) != 0) {
        char has[SG_SHAPE_TEXT], wants[SG_SHAPE_TEXT];
        sg_shape_text(t->dims, t->n_dims, has);
        sg_shape_text(dims, n_dims, wants);
        return sg_fail(err, SG_E_INPUT, "%s: tensor %s has shape %s; config.json makes it %s", path, full,
                       has, wants);
    }
    enum sg_dtype dtype;
    if (!weight_dtype(t->dtype, &dtype))
        return sg_fail(
            err, SG_E_UNSUPPORTED,
            "%s: tensor %s is %s: quantised or other weights are not supported; expected BF16, F16 or F32",
            path, full, t->dtype);
    *taken = true;
    *part = (struct sg_weight_part){.data = t->data, .dtype = dtype, .rows = dims[0]};
    return SG_OK;
}

/* Checks that a stored head equals the embedding although config.json says that the two are tied. */
static enum sg_status check_tied_head(const struct sg_weights *w, const struct sg_tensor *head,
                                      const struct sg_weight_part *embed, int64_t cols, struct sg_err *err) {
    const size_t bytes = (size_t)embed->rows * (size_t)cols * sg_dtype_bytes(embed->dtype);
    if (head->n_dims == 2 && head->dims[0] == embed->rows && head->dims[1] == cols && head->bytes == bytes &&
        !strcmp(head->dtype, sg_dtype_name(embed->dtype)) && !memcmp(head->data, embed->data, bytes))
        return SG_OK;
    return sg_fail(err, SG_E_INPUT,
                   "%s: tensor %s differs from the embedding, but config.json says tie_word_embeddings true",
                   w->files.paths[head->file], head->name);
}

enum sg_status sg_weights_finish(struct sg_weights *w, const struct sg_weight_part *tied_embed, int64_t cols,
                                 struct sg_err *err) {
    for (size_t i = 0; i < w->files.n; i++) {
        const struct sg_tensor *t = &w->files.tensors[i];
        if (w->taken[i] || sg_ends_with(t->name, ".rotary_emb.inv_freq")) continue;
        if (strcmp(t->name, LM_HEAD) != 0)
            return sg_fail(err, SG_E_UNSUPPORTED, "%s: tensor %s belongs to no part of a Qwen3 model",
                           w->files.paths[t->file], t->name);
        if (!tied_embed) continue; /* an embedding model that is stored with a head */
        const enum sg_status st = check_tied_head(w, t, tied_embed, cols, err);
        if (st != SG_OK) return st;
    }
    return SG_OK;
}

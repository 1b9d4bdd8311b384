/* safetensors - maps the tensors of a checkpoint directory read-only: one model.safetensors, or the shards
 * that model.safetensors.index.json lists. Format: github.com/huggingface/safetensors, README: 8 bytes
 * little-endian header length N, N bytes of JSON, then the data; offsets count from the data's first byte.
 *
 * Before it returns a tensor, the parser checks header length, JSON, dtypes, the product of every shape,
 * every offset, and that the tensors cover the data without overlap, hole or rest. */
#ifndef SG_MODEL_SAFETENSORS_H
#define SG_MODEL_SAFETENSORS_H

#include "base/file.h"
#include "base/mem.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { SG_TENSOR_DIMS = 8 };

struct sg_tensor {
    const char *name, *dtype; /* as written in the file; owned by the arena of the parse */
    int32_t n_dims;           /* 0: a scalar */
    int32_t file;             /* index into sg_safetensors.paths */
    int64_t dims[SG_TENSOR_DIMS];
    const unsigned char *data; /* in the mapping, at any alignment */
    size_t bytes;
};

/* Parses one file's bytes; tensors come in the order of the data. `path` names the file in errors. `arena`
 * owns *out [*n] and all strings; data points into bytes. */
enum sg_status sg_safetensors_parse(const unsigned char *bytes, size_t size, const char *path,
                                    struct sg_arena *arena, struct sg_tensor **out, size_t *n,
                                    struct sg_err *err);

struct sg_safetensors {
    struct sg_tensor *tensors; /* [n], sorted by name */
    size_t n;
    char **paths; /* [n_files] */
    struct sg_map *maps;
    int32_t n_files;
    struct sg_arena arena; /* owns all but the mappings */
};
enum sg_status sg_safetensors_open(const char *dir, struct sg_safetensors *out, struct sg_err *err);
void sg_safetensors_close(struct sg_safetensors *s); /* zeroed accepted */
/* NULL when no tensor has that name. */
const struct sg_tensor *sg_safetensors_find(const struct sg_safetensors *s, const char *name);

/* Writes "[2, 3]" to out, cut when too long; for errors. */
enum { SG_SHAPE_TEXT = 96 };
void sg_shape_text(const int64_t *dims, int32_t n_dims, char out[SG_SHAPE_TEXT]);

#endif

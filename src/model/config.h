/* config - reads config.json and generation_config.json of a Qwen3 model. It refuses by name and value every
 * setting that would need arithmetic that this program does not implement. */
#ifndef SG_MODEL_CONFIG_H
#define SG_MODEL_CONFIG_H

#include "base/status.h"
#include "kernels/kernels.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SG_MAX_EOS = 32 };

struct sg_config {
    int32_t hidden, layers, q_heads, kv_heads, head_dim, intermediate, vocab;
    int32_t max_position; /* tokens of one sequence, prompt and answer */
    float rms_eps;
    double rope_theta;
    enum sg_dtype dtype; /* "dtype" or "torch_dtype", the dtype of the whole model; SG_F32 when absent */
    bool causal;         /* Qwen3ForCausalLM: has an LM head */
    bool tied;           /* the LM head is the embedding matrix */
    int32_t n_eos;
    int32_t eos[SG_MAX_EOS]; /* ids that end an answer; n_eos = 0 when the checkpoint names none */
};

/* Dense Qwen3 models as they were published, all with 8 key heads of 128 and a vocabulary of 151,936:
 * name, hidden, layers, q_heads, intermediate, tied, rope_theta, max_position (4b: as of July 2025) */
#define SG_SHAPE_LIST(X)                                                                                     \
    X("qwen3-0.6b", 1024, 28, 16, 3072, true, 1e6, 40960)                                                    \
    X("qwen3-1.7b", 2048, 28, 16, 6144, true, 1e6, 40960)                                                    \
    X("qwen3-4b", 2560, 36, 32, 9728, true, 5e6, 262144)                                                     \
    X("qwen3-8b", 4096, 36, 32, 12288, false, 1e6, 40960)                                                    \
    X("qwen3-14b", 5120, 40, 40, 17408, false, 1e6, 40960)                                                   \
    X("qwen3-32b", 5120, 64, 64, 25600, false, 1e6, 40960)

/* Reads DIR/config.json and, if it exists, DIR/generation_config.json. SG_E_INPUT for missing or malformed
 * values, SG_E_UNSUPPORTED for well-formed ones of another architecture. */
enum sg_status sg_config_read(const char *dir, struct sg_config *out, struct sg_err *err);

/* The configuration alone, for a model of random weights: `name` is a published shape (SG_SHAPE_LIST), a
 * directory with a config.json, or the path of such a file. */
enum sg_status sg_config_shape(const char *name, struct sg_config *out, struct sg_err *err);

/* Parses the text of a config.json; `where` names it in errors. text[n] must be readable. */
enum sg_status sg_config_parse(const char *text, size_t n, const char *where, struct sg_config *out,
                               struct sg_err *err);
/* Parses the text of a generation_config.json: its eos_token_id, if present, replaces that of config.json. */
enum sg_status sg_config_parse_generation(const char *text, size_t n, const char *where,
                                          struct sg_config *config, struct sg_err *err);

#endif

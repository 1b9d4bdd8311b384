/* config - what a checkpoint says about itself: config.json and generation_config.json of a Qwen3 model.
 * Everything that would change the arithmetic and is not implemented is refused by name and value. */
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
    enum sg_dtype dtype; /* "dtype" or "torch_dtype": what the whole model was cast to; SG_F32 when absent */
    bool causal;         /* Qwen3ForCausalLM: has an LM head */
    bool tied;           /* the LM head is the embedding matrix */
    int32_t n_eos;
    int32_t eos[SG_MAX_EOS]; /* ids that end an answer; n_eos = 0 when the checkpoint names none */
};

/* Reads DIR/config.json and, when it is there, DIR/generation_config.json. SG_E_INPUT for what is missing or
 * malformed, SG_E_UNSUPPORTED for what is well formed but not this architecture. */
enum sg_status sg_config_read(const char *dir, struct sg_config *out, struct sg_err *err);

/* The same from text: `where` names config.json in errors; generation may be NULL. text[n] must be readable.
 */
enum sg_status sg_config_parse(const char *text, size_t n, const char *where, struct sg_config *out,
                               struct sg_err *err);
/* eos_token_id of a generation_config.json replaces the one of config.json, when it is there. */
enum sg_status sg_config_parse_generation(const char *text, size_t n, const char *where,
                                          struct sg_config *config, struct sg_err *err);

#endif

/* cmd_session - not a command: the device, checkpoint, engine and tokenizer that score, generate, embed and
 * bench run on, and the options that choose them. */
#ifndef SG_CMD_SESSION_H
#define SG_CMD_SESSION_H

#include "cmd/cmd.h"
#include "engine/engine.h"
#include "model/qwen3.h"
#include "text/tokenizer.h"

struct sg_session {
    /* options, with their defaults from SG_SESSION_DEFAULTS */
    const char *dir, *device, *weight_type, *compute_type;
    int64_t threads, kv_cache_mib, max_batch_tokens, overlap_rows, max_context;
    /* bench --random: the model's shape and the seed of its weights; `dir` is then a name. NULL: a
     * checkpoint. */
    const struct sg_config *random;
    int64_t seed;
    bool touch; /* memory is written when it is taken (sg_dev_options) */
    bool apart; /* no steps are recorded, so that the device's statistics list every operator */
    /* owned; NULL until opened */
    struct sg_dev *dev;
    struct sg_model *model;
    struct sg_engine *engine;
    struct sg_tokenizer *tok;
    struct sg_encoder *enc;
};
#define SG_SESSION_DEFAULTS                                                                                  \
    { .device = "auto", .weight_type = "checkpoint", .compute_type = "auto", .kv_cache_mib = 1024 }

/* Rows of an option table, for the session `s`. */
/* clang-format off */
#define SG_SESSION_OPTIONS(s)                                                                                \
    {"model", SG_OPT_STR, &(s)->dir, 0, 0, "DIR", "checkpoint directory"},                                   \
    {"device", SG_OPT_STR, &(s)->device, 0, 0, "NAME",                                                       \
     "auto, cpu, ref, guard, guard:ref, cuda (default auto)"},                                               \
    {"weight-type", SG_OPT_STR, &(s)->weight_type, 0, 0, "NAME",                                             \
     "checkpoint: as they are; fp8: the layers' linear maps rounded to e4m3"},                               \
    {"compute-type", SG_OPT_STR, &(s)->compute_type, 0, 0, "NAME",                                           \
     "auto: bf16 on a GPU, float32 on the CPU; bf16; float32 (default auto)"},                               \
    {"threads", SG_OPT_I64, &(s)->threads, 0, 4096, "N",                                                     \
     "threads of a host device (default 0: all cores)"},                                                     \
    {"kv-cache-mib", SG_OPT_I64, &(s)->kv_cache_mib, 0, 16777216, "MIB",                                     \
     "size of the KV cache in MiB (default 1024; bench: as much as it takes)"},                              \
    {"max-context", SG_OPT_I64, &(s)->max_context, 0, 16777216, "N",                                         \
     "tokens of one sequence at most (default 0: what the model allows, up to 32768)"},                      \
    {"overlap-rows", SG_OPT_I64, &(s)->overlap_rows, 0, 1048576, "N",                                        \
     "on a GPU: steps of so many tokens in two halves side by side (default 0: none)"},                      \
    {"max-batch-tokens", SG_OPT_I64, &(s)->max_batch_tokens, 16, 1048576, "N",                               \
     "tokens of one engine step (default 2048, 4096 on a GPU)"}
/* clang-format on */

/* Opens device and checkpoint; sets s->max_context and s->max_batch_tokens to the values that are used. */
enum sg_status sg_session_model(struct sg_session *s, const char *command, struct sg_err *err);
/* Opens the engine on them. hooks and sampling may be NULL. */
enum sg_status sg_session_engine(struct sg_session *s, int32_t max_context, int32_t max_samples,
                                 const struct sg_sampling *sampling, const struct sg_engine_hooks *hooks,
                                 struct sg_err *err);
/* The whole of it for a command that has no options but these and draws no samples. *help: the usage was printed. */
enum sg_status sg_session_start(struct sg_session *s, const char *usage, int argc, char **argv, bool *help,
                                struct sg_err *err);
/* DIR/tokenizer.json, once; s->tok stays NULL when there is none and it is not `required`. A tokenizer with
 * more ids than the model has embeddings is refused. */
enum sg_status sg_session_tokenizer(struct sg_session *s, bool required, struct sg_err *err);
void sg_session_close(struct sg_session *s);

/* A number as JSON with all its digits; null when it is NaN. */
enum sg_status sg_json_float(struct sg_buf *out, float x, struct sg_err *err);
/* "[a, b, ...]" */
enum sg_status sg_json_floats(struct sg_buf *out, const float *x, int32_t n, struct sg_err *err);

#endif

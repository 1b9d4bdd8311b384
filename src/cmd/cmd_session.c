#include "cmd/cmd_session.h"

#include "base/file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT_UNASKED = 32768 }; /* bounds RoPE table and cache unless a longer context is asked for */

static enum sg_status precision_of(const struct sg_session *s, const char *command, enum sg_precision *out,
                                   struct sg_err *err) {
    static const char *const names[] = {
        [SG_PRECISION_AUTO] = "auto", [SG_PRECISION_BF16] = "bf16", [SG_PRECISION_FLOAT32] = "float32"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(s->compute_type, names[i])) {
            *out = (enum sg_precision)i;
            return SG_OK;
        }
    return sg_fail(err, SG_E_USAGE, "%s: --compute-type %s; expected auto, bf16 or float32", command,
                   s->compute_type);
}

enum sg_status sg_session_model(struct sg_session *s, const char *command, struct sg_err *err) {
    enum sg_status st;
    struct sg_config config;
    if (!s->dir) return sg_fail(err, SG_E_USAGE, "%s: --model DIR is missing", command);
    const bool fp8 = !strcmp(s->weight_type, "fp8");
    if (!fp8 && strcmp(s->weight_type, "checkpoint") != 0)
        return sg_fail(err, SG_E_USAGE, "%s: --weight-type %s; expected checkpoint or fp8", command,
                       s->weight_type);
    enum sg_precision precision = SG_PRECISION_AUTO;
    SG_TRY(precision_of(s, command, &precision, err));
    if (s->random)
        config = *s->random;
    else
        SG_TRY(sg_config_read(s->dir, &config, err));
    if (s->max_context == 0)
        s->max_context = config.max_position < CONTEXT_UNASKED ? config.max_position : CONTEXT_UNASKED;
    const struct sg_dev_options opt = {
        .backend = s->device, .threads = (int)s->threads, .precision = precision, .touch = s->touch};
    SG_TRY(sg_dev_open(&opt, &s->dev, err));
    const struct sg_model_options model = {.max_context = (int32_t)s->max_context,
                                           .fp8_weights = fp8,
                                           .random = s->random,
                                           .seed = (uint64_t)s->seed};
    SG_TRY(sg_model_open(s->dev, s->dir, &model, &s->model, err));
    s->max_batch_tokens = sg_engine_batch_tokens(s->dev, s->max_batch_tokens);
out:
    return st;
}

enum sg_status sg_session_engine(struct sg_session *s, int32_t max_context, int32_t max_samples,
                                 const struct sg_sampling *sampling, const struct sg_engine_hooks *hooks,
                                 struct sg_err *err) {
    static const struct sg_sampling greedy = {.top_p = 1, .max_new_tokens = 1};
    const struct sg_engine_options opt = {.max_batch_tokens = (int32_t)s->max_batch_tokens,
                                          .kv_cache_bytes = s->kv_cache_mib << 20,
                                          .max_context = max_context,
                                          .max_samples = max_samples,
                                          .overlap_rows = (int32_t)s->overlap_rows,
                                          .records = s->apart ? SG_GRAPHS_OFF : SG_GRAPHS_AUTO,
                                          .sampling = sampling ? *sampling : greedy};
    return sg_engine_open(s->dev, s->model, &opt, hooks, &s->engine, err);
}

enum sg_status sg_session_start(struct sg_session *s, const char *usage, int argc, char **argv, bool *help,
                                struct sg_err *err) {
    enum sg_status st;
    const struct sg_opt opts[] = {SG_SESSION_OPTIONS(s)};
    SG_TRY(sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, NULL, 0, 0}, help, err));
    if (*help) goto out;
    SG_TRY(sg_session_model(s, argv[0], err));
    SG_TRY(sg_session_engine(s, (int32_t)s->max_context, 1, NULL, NULL, err));
out:
    return st;
}

enum sg_status sg_session_tokenizer(struct sg_session *s, bool required, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    if (s->tok) return SG_OK;
    SG_TRY(sg_path_join(s->dir, "tokenizer.json", &path, err));
    if (!required && !sg_file_exists(path)) goto out;
    SG_TRY(sg_tokenizer_open(path, &s->tok, err));
    SG_TRY(sg_encoder_new(s->tok, &s->enc, err));
    const int32_t ids = sg_tokenizer_size(s->tok), rows = sg_model_config(s->model)->vocab;
    if (ids > rows)
        st = sg_fail(err, SG_E_MISMATCH, "%s: ids up to %d, but the vocab_size of %s/config.json is %d", path,
                     ids - 1, s->dir, rows);
out:
    free(path);
    return st;
}

void sg_session_close(struct sg_session *s) {
    sg_engine_close(s->engine);
    sg_model_close(s->model);
    sg_dev_close(s->dev);
    sg_encoder_free(s->enc);
    sg_tokenizer_close(s->tok);
}

enum sg_status sg_json_float(struct sg_buf *out, float x, struct sg_err *err) {
    char text[32];
    const int n =
        isnan(x) ? snprintf(text, sizeof text, "null") : snprintf(text, sizeof text, "%.9g", (double)x);
    return sg_buf_add(out, text, (size_t)n, err);
}

enum sg_status sg_json_floats(struct sg_buf *out, const float *x, int32_t n, struct sg_err *err) {
    enum sg_status st;
    SG_TRY(sg_buf_add(out, "[", 1, err));
    for (int32_t i = 0; i < n; i++) {
        if (i) SG_TRY(sg_buf_add(out, ", ", 2, err));
        SG_TRY(sg_json_float(out, x[i], err));
    }
    SG_TRY(sg_buf_add(out, "]", 1, err));
out:
    return st;
}

#include "model/config.h"

#include "base/file.h"
#include "base/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX_BYTES = 16 << 20 };

/* Checks that a string member is `expected`; absent is allowed unless required. */
static enum sg_status only_value(const struct sg_json *at, const char *key, bool required,
                                 const char *expected, struct sg_err *err) {
    const char *v = NULL;
    enum sg_status st = required ? sg_json_need_str(at, key, &v, err) : sg_json_get_str(at, key, &v, err);
    if (st == SG_OK && v && strcmp(v, expected) != 0)
        st = sg_fail(err, SG_E_UNSUPPORTED, "%s: %s \"%s\" is not supported; expected \"%s\"", at->where, key,
                     v, expected);
    return st;
}

/* Checks that a switch is off or absent. */
static enum sg_status must_be_off(const struct sg_json *at, const char *key, struct sg_err *err) {
    bool on = false;
    enum sg_status st = sg_json_get_bool(at, key, &on, err);
    if (st == SG_OK && on)
        st = sg_fail(err, SG_E_UNSUPPORTED, "%s: %s true is not supported", at->where, key);
    return st;
}

static enum sg_status check_architecture(const struct sg_json *root, struct sg_config *c,
                                         struct sg_err *err) {
    struct sg_json list;
    enum sg_status st = only_value(root, "model_type", true, "qwen3", err);
    if (st == SG_OK) st = sg_json_member(root, "architectures", false, &list, err);
    c->causal = true;
    if (st != SG_OK || !list.node) return st;
    const cJSON *first = cJSON_IsArray(list.node) ? list.node->child : NULL;
    const char *name = cJSON_IsString(first) ? first->valuestring : NULL;
    if (!name || first->next)
        return sg_fail(err, SG_E_INPUT, "%s: architectures must be a list of one name", root->where);
    if (strcmp(name, "Qwen3ForCausalLM") != 0 && strcmp(name, "Qwen3Model") != 0)
        return sg_fail(err, SG_E_UNSUPPORTED,
                       "%s: architecture %s is not supported; expected Qwen3ForCausalLM or Qwen3Model",
                       root->where, name);
    c->causal = strcmp(name, "Qwen3ForCausalLM") == 0;
    return SG_OK;
}

/* Rotation of a part of each head alone: at the top level (transformers 4) or beside rope_type (transformers 5). */
static enum sg_status check_partial(const struct sg_json *at, struct sg_err *err) {
    double partial = 1;
    enum sg_status st = sg_json_get_f64(at, "partial_rotary_factor", 0, 1, &partial, err);
    if (st == SG_OK && partial != 1)
        st = sg_fail(err, SG_E_UNSUPPORTED, "%s: %s%spartial_rotary_factor %g is not supported; expected 1",
                     at->where, at->path, *at->path ? "." : "", partial);
    return st;
}

/* Checks the kind of rotary embedding in `at`: the program implements the plain one alone. */
static enum sg_status check_rope_type(const struct sg_json *at, struct sg_err *err) {
    static const char *const keys[] = {"rope_type", "type"};
    for (int i = 0; i < 2; i++) {
        const char *type = NULL;
        enum sg_status st = sg_json_get_str(at, keys[i], &type, err);
        if (st != SG_OK) return st;
        if (type && strcmp(type, "default") != 0)
            return sg_fail(err, SG_E_UNSUPPORTED, "%s: %s.%s \"%s\" is not supported; expected \"default\"",
                           at->where, at->path, keys[i], type);
    }
    return check_partial(at, err);
}

/* rope_theta is at the top level (transformers 4) or in rope_parameters (transformers 5). */
static enum sg_status read_rope(const struct sg_json *root, struct sg_config *c, struct sg_err *err) {
    struct sg_json scaling, params;
    double top = 0, inner = 0;
    enum sg_status st;
    SG_TRY(check_partial(root, err));
    SG_TRY(sg_json_get_f64(root, "rope_theta", 1, 1e12, &top, err));
    SG_TRY(sg_json_member(root, "rope_scaling", false, &scaling, err));
    if (scaling.node) SG_TRY(check_rope_type(&scaling, err));
    SG_TRY(sg_json_member(root, "rope_parameters", false, &params, err));
    if (params.node) {
        SG_TRY(check_rope_type(&params, err));
        SG_TRY(sg_json_get_f64(&params, "rope_theta", 1, 1e12, &inner, err));
    }
    if (top > 0 && inner > 0 && top != inner)
        st = sg_fail(err, SG_E_INPUT, "%s: rope_theta is %.17g, but rope_parameters.rope_theta is %.17g",
                     root->where, top, inner);
    else if (top == 0 && inner == 0)
        st = sg_fail(err, SG_E_INPUT, "%s: neither rope_theta nor rope_parameters.rope_theta is given",
                     root->where);
    else
        c->rope_theta = inner > 0 ? inner : top;
out:
    return st;
}

/* Reads the dtype that `key` names; *out is unchanged when the key is absent. */
static enum sg_status get_dtype(const struct sg_json *root, const char *key, enum sg_dtype *out,
                                struct sg_err *err) {
    static const char *const names[SG_DTYPE_COUNT] = {
        [SG_F32] = "float32", [SG_F16] = "float16", [SG_BF16] = "bfloat16"};
    const char *name = NULL;
    enum sg_status st = sg_json_get_str(root, key, &name, err);
    if (st != SG_OK || !name) return st;
    for (int t = 0; t < SG_DTYPE_COUNT; t++)
        if (!strcmp(names[t], name)) {
            *out = (enum sg_dtype)t;
            return SG_OK;
        }
    return sg_fail(err, SG_E_UNSUPPORTED,
                   "%s: %s \"%s\" is not supported; expected bfloat16, float16 or float32", root->where, key,
                   name);
}

/* transformers 5 writes "dtype", transformers 4 "torch_dtype". */
static enum sg_status read_dtype(const struct sg_json *root, struct sg_config *c, struct sg_err *err) {
    c->dtype = SG_F32;
    enum sg_status st = get_dtype(root, "torch_dtype", &c->dtype, err);
    return st != SG_OK ? st : get_dtype(root, "dtype", &c->dtype, err);
}

static enum sg_status check_layer_types(const struct sg_json *root, int32_t layers, struct sg_err *err) {
    struct sg_json list;
    enum sg_status st = sg_json_member(root, "layer_types", false, &list, err);
    if (st != SG_OK || !list.node) return st;
    if (!cJSON_IsArray(list.node) || cJSON_GetArraySize(list.node) != layers)
        return sg_fail(err, SG_E_INPUT, "%s: layer_types must be a list of num_hidden_layers = %d names",
                       root->where, layers);
    int i = 0;
    for (const cJSON *t = list.node->child; t; t = t->next, i++)
        if (!cJSON_IsString(t) || strcmp(t->valuestring, "full_attention") != 0)
            return sg_fail(err, SG_E_UNSUPPORTED,
                           "%s: layer_types[%d] \"%s\" is not supported; expected \"full_attention\"",
                           root->where, i, cJSON_IsString(t) ? t->valuestring : "?");
    return SG_OK;
}

static enum sg_status check_unsupported(const struct sg_json *root, struct sg_err *err) {
    struct sg_json m;
    const char *method = "?";
    enum sg_status st;
    SG_TRY(must_be_off(root, "attention_bias", err));
    SG_TRY(must_be_off(root, "mlp_bias", err));
    SG_TRY(must_be_off(root, "use_sliding_window", err));
    SG_TRY(only_value(root, "hidden_act", false, "silu", err));
    static const char *const quantised[] = {"quantization_config", "compression_config"};
    for (int i = 0; i < 2; i++) {
        SG_TRY(sg_json_member(root, quantised[i], false, &m, err));
        if (!m.node) continue;
        if (cJSON_IsObject(m.node)) SG_TRY(sg_json_get_str(&m, "quant_method", &method, err));
        st = sg_fail(
            err, SG_E_UNSUPPORTED,
            "%s: %s (quant_method \"%s\"): quantised weights are not supported; expected bf16, f16 or f32",
            root->where, quantised[i], method);
        goto out;
    }
out:
    return st;
}

static enum sg_status check_heads(const struct sg_config *c, const char *where, struct sg_err *err) {
    if (c->q_heads % c->kv_heads || c->q_heads / c->kv_heads > SG_MAX_GQA)
        return sg_fail(
            err, SG_E_UNSUPPORTED,
            "%s: num_attention_heads %d over num_key_value_heads %d is not supported; expected a whole "
            "ratio from 1 to %d",
            where, c->q_heads, c->kv_heads, SG_MAX_GQA);
    if (c->head_dim % 8 || c->head_dim > SG_MAX_HEAD_DIM)
        return sg_fail(err, SG_E_UNSUPPORTED,
                       "%s: head_dim %d is not supported; expected a multiple of 8 up to %d", where,
                       c->head_dim, SG_MAX_HEAD_DIM);
    return SG_OK;
}

/* Reads eos_token_id, one id or a list of them; *n is unchanged when the key is absent. */
static enum sg_status read_eos(const struct sg_json *root, int32_t vocab, int32_t eos[SG_MAX_EOS], int32_t *n,
                               struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(root, "eos_token_id", false, &m, err);
    if (st != SG_OK || !m.node) return st;
    const bool list = cJSON_IsArray(m.node);
    int32_t count = 0;
    for (const cJSON *v = list ? m.node->child : m.node; v; v = list ? v->next : NULL) {
        const double id = cJSON_IsNumber(v) ? v->valuedouble : -1;
        if (!(id >= 0 && id < vocab) || id != floor(id))
            return sg_fail(err, SG_E_INPUT, "%s: eos_token_id: expected token ids from 0 to %d", root->where,
                           vocab - 1);
        if (count == SG_MAX_EOS)
            return sg_fail(err, SG_E_UNSUPPORTED, "%s: eos_token_id lists more than %d ids", root->where,
                           SG_MAX_EOS);
        eos[count++] = (int32_t)id;
    }
    *n = count;
    return SG_OK;
}

static enum sg_status read_sizes(const struct sg_json *root, struct sg_config *c, struct sg_err *err) {
    const struct {
        const char *key;
        int32_t *to;
        int64_t max;
    } sizes[] = {
        {"hidden_size", &c->hidden, 1 << 17},
        {"num_hidden_layers", &c->layers, 4096},
        {"num_attention_heads", &c->q_heads, 4096},
        {"num_key_value_heads", &c->kv_heads, 4096},
        {"intermediate_size", &c->intermediate, 1 << 20},
        {"vocab_size", &c->vocab, (1 << 24) - 1}, /* 2^24 weights of 2^40 overflow the sampler's sums */
        {"max_position_embeddings", &c->max_position, 1 << 24},
    };
    enum sg_status st;
    int64_t v = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        SG_TRY(sg_json_need_i64(root, sizes[i].key, 1, sizes[i].max, &v, err));
        *sizes[i].to = (int32_t)v;
    }
    v = 0;
    SG_TRY(sg_json_get_i64(root, "head_dim", 1, 1 << 16, &v, err));
    if (v == 0 && c->hidden % c->q_heads)
        st =
            sg_fail(err, SG_E_INPUT,
                    "%s: head_dim is missing, and hidden_size %d is not a multiple of num_attention_heads %d",
                    root->where, c->hidden, c->q_heads);
    else
        c->head_dim = v ? (int32_t)v : c->hidden / c->q_heads;
out:
    return st;
}

static enum sg_status read_config(const struct sg_json *root, struct sg_config *c, struct sg_err *err) {
    enum sg_status st;
    double eps = 1e-6;
    SG_TRY(check_architecture(root, c, err));
    SG_TRY(check_unsupported(root, err));
    SG_TRY(read_sizes(root, c, err));
    SG_TRY(check_heads(c, root->where, err));
    SG_TRY(check_layer_types(root, c->layers, err));
    SG_TRY(read_rope(root, c, err));
    SG_TRY(read_dtype(root, c, err));
    SG_TRY(sg_json_get_f64(root, "rms_norm_eps", 0, 1, &eps, err));
    c->rms_eps = (float)eps;
    SG_TRY(sg_json_get_bool(root, "tie_word_embeddings", &c->tied, err));
    SG_TRY(read_eos(root, c->vocab, c->eos, &c->n_eos, err));
out:
    return st;
}

enum sg_status sg_config_parse(const char *text, size_t n, const char *where, struct sg_config *out,
                               struct sg_err *err) {
    cJSON *doc = NULL;
    struct sg_config c = {0};
    enum sg_status st = sg_json_parse(text, n, where, 1, &doc, err);
    if (st != SG_OK) return st;
    const struct sg_json root = {.node = doc, .where = where, .path = ""};
    st = read_config(&root, &c, err);
    cJSON_Delete(doc);
    if (st == SG_OK) *out = c;
    return st;
}

enum sg_status sg_config_parse_generation(const char *text, size_t n, const char *where,
                                          struct sg_config *config, struct sg_err *err) {
    cJSON *doc = NULL;
    enum sg_status st = sg_json_parse(text, n, where, 1, &doc, err);
    if (st != SG_OK) return st;
    const struct sg_json root = {.node = doc, .where = where, .path = ""};
    st = read_eos(&root, config->vocab, config->eos, &config->n_eos, err);
    cJSON_Delete(doc);
    return st;
}

enum sg_status sg_config_read(const char *dir, struct sg_config *out, struct sg_err *err) {
    enum sg_status st;
    struct sg_config c = {0};
    struct sg_buf text = {0};
    char *main_path = NULL, *generation = NULL;
    if (!sg_dir_exists(dir)) return sg_fail(err, SG_E_INPUT, "%s: no such model directory", dir);
    SG_TRY(sg_path_join(dir, "config.json", &main_path, err));
    SG_TRY(sg_path_join(dir, "generation_config.json", &generation, err));
    SG_TRY(sg_file_read(main_path, CONFIG_MAX_BYTES, &text, err));
    SG_TRY(sg_config_parse(text.data, text.len, main_path, &c, err));
    if (sg_file_exists(generation)) {
        sg_buf_clear(&text);
        SG_TRY(sg_file_read(generation, CONFIG_MAX_BYTES, &text, err));
        SG_TRY(sg_config_parse_generation(text.data, text.len, generation, &c, err));
    }
    *out = c;
out:
    sg_buf_free(&text);
    free(main_path);
    free(generation);
    return st;
}

enum sg_status sg_config_shape(const char *name, struct sg_config *out, struct sg_err *err) {
#define SHAPE(name_, hidden_, layers_, heads_, intermediate_, tied_, theta_, context_)                       \
    {name_,                                                                                                  \
     {.hidden = hidden_,                                                                                     \
      .layers = layers_,                                                                                     \
      .q_heads = heads_,                                                                                     \
      .kv_heads = 8,                                                                                         \
      .head_dim = 128,                                                                                       \
      .intermediate = intermediate_,                                                                         \
      .vocab = 151936,                                                                                       \
      .max_position = context_,                                                                              \
      .rms_eps = 1e-6f,                                                                                      \
      .rope_theta = theta_,                                                                                  \
      .dtype = SG_BF16,                                                                                      \
      .causal = true,                                                                                        \
      .tied = tied_,                                                                                         \
      .n_eos = 2,                                                                                            \
      .eos = {151645, 151643}}},
#define NAME(name_, hidden_, layers_, heads_, intermediate_, tied_, theta_, context_) name_ ", "
    static const struct {
        const char *name;
        struct sg_config config;
    } shapes[] = {SG_SHAPE_LIST(SHAPE)};
    static const char names[] = SG_SHAPE_LIST(NAME);
#undef SHAPE
#undef NAME
    struct sg_buf text = {0};
    enum sg_status st;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(name, shapes[i].name)) {
            *out = shapes[i].config;
            return SG_OK;
        }
    if (sg_dir_exists(name)) return sg_config_read(name, out, err);
    if (!sg_file_exists(name))
        return sg_fail(err, SG_E_INPUT,
                       "%s: no such shape, directory or config.json; expected %sor one of those", name,
                       names);
    SG_TRY(sg_file_read(name, CONFIG_MAX_BYTES, &text, err));
    SG_TRY(sg_config_parse(text.data, text.len, name, out, err));
out:
    sg_buf_free(&text);
    return st;
}

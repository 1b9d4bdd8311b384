#include "model/qwen3.h"

#include "base/mem.h"
#include "base/rng.h"
#include "model/weights.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct layer {
    struct sg_weight *qkv, *out, *gate_up, *down;
    float *input_norm, *post_norm, *q_norm, *k_norm; /* into sg_model.norms */
};
struct sg_model {
    struct sg_dev *dev;
    char *dir;
    struct sg_config c;
    int32_t max_context;
    bool loaded, has_head, fp8;
    struct sg_weight *embed, *head; /* the same one when tied */
    struct layer *layers;           /* [c.layers] */
    float *norms;                   /* device: every layer's norm weights, then the final one */
    float *final_norm;              /* into norms */
    float *cos_sin;                 /* device [max_context][head_dim] */
    int64_t bytes, params;
};

/* ---- loading ----------------------------------------------------------------------------------------- */

/* The state of one open or plan. */
struct loader {
    struct sg_model *m;
    struct sg_weights files; /* empty for a model of random weights */
    float *norms;            /* host copy of m->norms; NULL when planning */
    size_t n_norms;
    bool random;
    uint64_t seed, n_random; /* weights made so far */
};

struct part_name {
    const char *name;
    int64_t rows;
};

/* Drops the mapped pages of a tensor, which otherwise count as memory beside the loaded weight. */
static void forget(const struct sg_weight_part *p, int64_t cols) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)p->data;
    const uintptr_t end = at + (uintptr_t)p->rows * (uintptr_t)cols * sg_dtype_bytes(p->dtype);
    const uintptr_t lo = (at + page - 1) / page * page, hi = end / page * page;
    if (hi > lo) (void)madvise((void *)lo, hi - lo, MADV_DONTNEED);
}

/* Stacks tensors along their rows to one weight on the device; when planning, only counts them. */
static enum sg_status load_weight(struct loader *l, const struct part_name *names, int n, int64_t cols,
                                  unsigned use, struct sg_weight **out, struct sg_weight_part *first,
                                  struct sg_err *err) {
    struct sg_weight_part parts[3] = {{.dtype = SG_BF16}};
    int64_t rows = 0;
    enum sg_status st = SG_OK;
    for (int i = 0; i < n; i++) {
        rows += names[i].rows;
        if (l->random) continue;
        SG_TRY(sg_weights_take(&l->files, names[i].name, names[i].rows, cols, &parts[i], err));
        if (parts[i].dtype != parts[0].dtype)
            return sg_fail(err, SG_E_UNSUPPORTED, "%s: tensor %s is %s, but %s is %s; expected one dtype",
                           l->m->dir, names[i].name, sg_dtype_name(parts[i].dtype), names[0].name,
                           sg_dtype_name(parts[0].dtype));
    }
    l->m->params += rows * cols;
    l->m->bytes += (int64_t)sg_weight_bytes_for(l->m->dev, rows, cols, parts[0].dtype, use);
    if (first) *first = parts[0];
    if (l->m->loaded && l->random) {
        SG_TRY(sg_weight_random(l->m->dev, rows, cols, use, sg_random64(l->seed, l->n_random++), out, err));
    } else if (l->m->loaded) {
        SG_TRY(sg_weight_new(l->m->dev, parts, n, cols, use, out, err));
        for (int i = 0; i < n; i++) forget(&parts[i], cols);
    }
out:
    return st;
}

/* Converts the next n norm weights to floats. */
static enum sg_status load_norm(struct loader *l, const char *name, int32_t n, float **out,
                                struct sg_err *err) {
    static const float one = 1;
    struct sg_weight_part part = {&one, SG_F32, 1};
    const enum sg_status st = l->random ? SG_OK : sg_weights_take(&l->files, name, 0, n, &part, err);
    if (st != SG_OK) return st;
    l->m->params += n;
    if (l->m->loaded) {
        for (int32_t i = 0; i < n; i++)
            l->norms[l->n_norms + (size_t)i] = sg_dtype_to_f32(part.data, l->random ? 0 : i, part.dtype);
        *out = l->m->norms + l->n_norms;
    }
    l->n_norms += (size_t)n;
    return SG_OK;
}

static enum sg_status load_layer(struct loader *l, int32_t i, struct sg_err *err) {
    const struct sg_config *c = &l->m->c;
    struct layer *layer = &l->m->layers[i];
    const int64_t q = (int64_t)c->q_heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    enum { NAMES = 11, LONGEST = 64 };
    static const char *const tails[NAMES] = {
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
        "mlp.down_proj",    "input_layernorm",  "post_attention_layernorm",
        "self_attn.q_norm", "self_attn.k_norm"};
    char name[NAMES][LONGEST];
    for (int k = 0; k < NAMES; k++) snprintf(name[k], LONGEST, "layers.%" PRId32 ".%s.weight", i, tails[k]);
    const struct part_name qkv[] = {{name[0], q}, {name[1], kv}, {name[2], kv}};
    const struct part_name out_proj[] = {{name[3], c->hidden}};
    const struct part_name gate_up[] = {{name[4], c->intermediate}, {name[5], c->intermediate}};
    const struct part_name down[] = {{name[6], c->hidden}};
    const unsigned use = l->m->fp8 ? SG_USE_LINEAR | SG_USE_FP8 : SG_USE_LINEAR;
    enum sg_status st;
    SG_TRY(load_weight(l, qkv, 3, c->hidden, use, &layer->qkv, NULL, err));
    SG_TRY(load_weight(l, out_proj, 1, q, use, &layer->out, NULL, err));
    SG_TRY(load_weight(l, gate_up, 2, c->hidden, use, &layer->gate_up, NULL, err));
    SG_TRY(load_weight(l, down, 1, c->intermediate, use, &layer->down, NULL, err));
    SG_TRY(load_norm(l, name[7], c->hidden, &layer->input_norm, err));
    SG_TRY(load_norm(l, name[8], c->hidden, &layer->post_norm, err));
    SG_TRY(load_norm(l, name[9], c->head_dim, &layer->q_norm, err));
    SG_TRY(load_norm(l, name[10], c->head_dim, &layer->k_norm, err));
out:
    return st;
}

/* The system reads layer i from disk while the loader converts and copies the one before. */
static void read_ahead(const struct loader *l, int32_t i) {
    char begin[32];
    snprintf(begin, sizeof begin, "layers.%" PRId32 ".", i);
    if (l->m->loaded && !l->random && i < l->m->c.layers) sg_weights_read_ahead(&l->files, begin);
}

/* Called before the layers: the largest tensor is mapped and packed while little else is in memory. */
static enum sg_status load_embed(struct loader *l, struct sg_weight_part *part, struct sg_err *err) {
    struct sg_model *m = l->m;
    const struct part_name embed[] = {{"embed_tokens.weight", m->c.vocab}};
    const struct part_name head[] = {{"lm_head.weight", m->c.vocab}};
    const bool stored_head = !l->random && sg_safetensors_find(&l->files.files, "lm_head.weight") != NULL;
    enum sg_status st;
    m->has_head = m->c.tied || m->c.causal || stored_head;
    SG_TRY(load_weight(l, embed, 1, m->c.hidden, m->c.tied ? SG_USE_EMBED | SG_USE_LINEAR : SG_USE_EMBED,
                       &m->embed, part, err));
    if (m->c.tied)
        m->head = m->embed;
    else if (m->has_head)
        SG_TRY(load_weight(l, head, 1, m->c.hidden, SG_USE_LINEAR, &m->head, NULL, err));
out:
    return st;
}

static size_t count_norms(const struct sg_config *c) {
    return (size_t)c->layers * 2 * (size_t)(c->hidden + c->head_dim) + (size_t)c->hidden;
}

static size_t cos_sin_bytes(const struct sg_model *m) {
    return (size_t)m->max_context * (size_t)m->c.head_dim * sizeof(float);
}

/* Fills the RoPE table as transformers does when it loads a checkpoint: inverse frequencies and angles are
 * float32 for every dtype of the weights, and cosine and sine are taken of those. */
static enum sg_status load_cos_sin(struct sg_model *m, struct sg_err *err) {
    const int32_t dim = m->c.head_dim, half = dim / 2;
    enum sg_status st;
    float *table = NULL, inv_freq[SG_MAX_HEAD_DIM / 2];
    SG_TRY(SG_NEW(&table, (size_t)m->max_context * (size_t)dim, "RoPE table", err));
    for (int32_t j = 0; j < half; j++) {
        const float power = (float)pow(m->c.rope_theta, (double)((float)(2 * j) / (float)dim));
        inv_freq[j] = 1.0f / power;
    }
    for (int32_t p = 0; p < m->max_context; p++)
        for (int32_t j = 0; j < half; j++) {
            const float angle = (float)p * inv_freq[j];
            table[(size_t)p * (size_t)dim + (size_t)j] = (float)cos((double)angle);
            table[(size_t)p * (size_t)dim + (size_t)(half + j)] = (float)sin((double)angle);
        }
    SG_TRY(sg_dev_alloc(m->dev, cos_sin_bytes(m), "RoPE table", (void **)&m->cos_sin, err));
    SG_TRY(sg_dev_upload(m->dev, m->cos_sin, table, cos_sin_bytes(m), err));
out:
    free(table);
    return st;
}

static enum sg_status load(struct loader *l, struct sg_err *err) {
    struct sg_model *m = l->m;
    const size_t norm_bytes = count_norms(&m->c) * sizeof(float);
    struct sg_weight_part embed;
    enum sg_status st;
    if (m->loaded) {
        SG_TRY(SG_NEW(&l->norms, count_norms(&m->c), "norm weights", err));
        SG_TRY(sg_dev_alloc(m->dev, norm_bytes, "norm weights", (void **)&m->norms, err));
    }
    if (!l->random) SG_TRY(sg_weights_open(m->dir, &l->files, err));
    if (m->loaded && !l->random) sg_weights_read_ahead(&l->files, "embed_tokens.");
    read_ahead(l, 0);
    SG_TRY(load_embed(l, &embed, err));
    for (int32_t i = 0; i < m->c.layers; i++) {
        read_ahead(l, i + 1);
        SG_TRY(load_layer(l, i, err));
    }
    SG_TRY(load_norm(l, "norm.weight", m->c.hidden, &m->final_norm, err));
    if (!l->random) SG_TRY(sg_weights_finish(&l->files, m->c.tied ? &embed : NULL, m->c.hidden, err));
    SG_ASSERT(l->n_norms == count_norms(&m->c));
    m->bytes += (int64_t)(norm_bytes + cos_sin_bytes(m));
    if (m->loaded) {
        SG_TRY(sg_dev_upload(m->dev, m->norms, l->norms, norm_bytes, err));
        SG_TRY(load_cos_sin(m, err));
    }
out:
    return st;
}

static enum sg_status open_model(struct sg_dev *dev, const char *dir, const struct sg_model_options *opt,
                                 bool loaded, struct sg_model **out, struct sg_err *err) {
    enum sg_status st;
    struct sg_model *m = NULL;
    struct loader l = {.random = opt->random, .seed = opt->seed};
    const int32_t max_context = opt->max_context;
    SG_TRY(SG_NEW(&m, 1, "model", err));
    m->dev = dev;
    m->loaded = loaded;
    m->fp8 = opt->fp8_weights;
    SG_TRY(SG_NEW(&m->dir, strlen(dir) + 1, "model path", err));
    memcpy(m->dir, dir, strlen(dir));
    if (opt->random)
        m->c = *opt->random;
    else
        SG_TRY(sg_config_read(dir, &m->c, err));
    const struct sg_dev_info *info = sg_dev_info(dev);
    if (info->max_head_dim && m->c.head_dim > info->max_head_dim) {
        st = sg_fail(err, SG_E_UNSUPPORTED, "%s: head_dim %d: the attention of device %s reaches to %d", dir,
                     m->c.head_dim, info->backend, info->max_head_dim);
        goto out;
    }
    if (max_context < 0 || max_context > m->c.max_position) {
        st = sg_fail(err, SG_E_INPUT,
                     "%s: a context of %d tokens; config.json allows 1 to %d (max_position_embeddings)", dir,
                     max_context, m->c.max_position);
        goto out;
    }
    m->max_context = max_context ? max_context : m->c.max_position;
    SG_TRY(SG_NEW(&m->layers, m->c.layers, "layers", err));
    l.m = m;
    SG_TRY(load(&l, err));
    *out = m;
    m = NULL;
out:
    free(l.norms);
    sg_weights_close(&l.files);
    sg_model_close(m);
    return st;
}

enum sg_status sg_model_open(struct sg_dev *dev, const char *dir, const struct sg_model_options *opt,
                             struct sg_model **out, struct sg_err *err) {
    return open_model(dev, dir, opt, true, out, err);
}

enum sg_status sg_model_plan(struct sg_dev *dev, const char *dir, const struct sg_model_options *opt,
                             struct sg_model **out, struct sg_err *err) {
    return open_model(dev, dir, opt, false, out, err);
}

void sg_model_close(struct sg_model *m) {
    if (!m) return;
    for (int32_t i = 0; m->layers && i < m->c.layers; i++) {
        sg_weight_free(m->dev, m->layers[i].qkv);
        sg_weight_free(m->dev, m->layers[i].out);
        sg_weight_free(m->dev, m->layers[i].gate_up);
        sg_weight_free(m->dev, m->layers[i].down);
    }
    if (m->head != m->embed) sg_weight_free(m->dev, m->head);
    sg_weight_free(m->dev, m->embed);
    sg_dev_free(m->dev, m->norms);
    sg_dev_free(m->dev, m->cos_sin);
    free(m->layers);
    free(m->dir);
    free(m);
}

const struct sg_config *sg_model_config(const struct sg_model *m) {
    return &m->c;
}

const char *sg_model_dir(const struct sg_model *m) {
    return m->dir;
}

int32_t sg_model_max_context(const struct sg_model *m) {
    return m->max_context;
}

bool sg_model_has_head(const struct sg_model *m) {
    return m->has_head;
}

bool sg_model_loaded(const struct sg_model *m) {
    return m->loaded;
}

int64_t sg_model_device_bytes(const struct sg_model *m) {
    return m->bytes;
}

int64_t sg_model_params(const struct sg_model *m) {
    return m->params;
}

/* ---- the forward pass -------------------------------------------------------------------------------- */

void sg_model_limits(const struct sg_model *m, struct sg_limits *lim) {
    lim->q_heads = m->c.q_heads;
    lim->kv_heads = m->c.kv_heads;
    lim->head_dim = m->c.head_dim;
    lim->hidden = m->c.hidden;
    lim->intermediate = m->c.intermediate;
    lim->vocab = m->c.vocab;
    lim->fp8_weights = m->fp8;
}

/* The arrays of a forward pass. `wide` holds q, k, v and q after RoPE during attention; it holds gate, up and
 * their product during the MLP. */
struct space {
    float *x, *x_out; /* the residual stream; its output rows, in the last layer */
    void *h, *delta, *wide;
    size_t wide_elements; /* per row */
};

static size_t round64(size_t n) {
    return (n + 63) / 64 * 64;
}

static struct space lay_out(const struct sg_model *m, const struct sg_workspace *ws, int32_t rows,
                            size_t *total) {
    const size_t act = sg_dtype_bytes(sg_dev_info(m->dev)->act), n = (size_t)sg_tile_rows(m->dev, rows);
    const size_t hidden = round64(n * (size_t)m->c.hidden * act),
                 resid = round64(n * (size_t)m->c.hidden * sizeof(float));
    const size_t attn = (size_t)(2 * m->c.q_heads + 2 * m->c.kv_heads) * (size_t)m->c.head_dim;
    const size_t mlp = 3 * (size_t)m->c.intermediate;
    struct space s = {.wide_elements = attn > mlp ? attn : mlp};
    char *at = ws ? ws->memory : NULL;
    *total = 2 * resid + 2 * hidden + round64(n * s.wide_elements * act) + 64;
    if (!at) return s;
    s.x = (float *)(void *)at;
    s.x_out = (float *)(void *)(at + resid);
    s.h = at + 2 * resid;
    s.delta = at + 2 * resid + hidden;
    s.wide = at + 2 * resid + 2 * hidden;
    return s;
}

size_t sg_workspace_bytes(const struct sg_model *m, int32_t max_rows) {
    size_t total;
    (void)lay_out(m, NULL, max_rows, &total);
    return total;
}

enum sg_status sg_workspace_new(const struct sg_model *m, int32_t max_rows, struct sg_workspace *out,
                                struct sg_err *err) {
    void *memory = NULL;
    const enum sg_status st =
        sg_dev_alloc(m->dev, sg_workspace_bytes(m, max_rows), "activations", &memory, err);
    if (st == SG_OK) *out = (struct sg_workspace){.memory = memory, .max_rows = max_rows};
    return st;
}

void sg_workspace_free(const struct sg_model *m, struct sg_workspace *ws) {
    if (ws->memory) sg_dev_free(m->dev, ws->memory);
    memset(ws, 0, sizeof *ws);
}

/* Row `row` of an act array with `cols` columns. */
static void *row_at(const struct sg_model *m, void *p, int32_t row, int64_t cols) {
    return (char *)p + (size_t)row * (size_t)cols * sg_dtype_bytes(sg_dev_info(m->dev)->act);
}

/* The first 64-byte boundary after n rows of `cols` columns at p. */
static void *behind(const struct sg_model *m, void *p, int32_t n, int64_t cols) {
    return (void *)(((uintptr_t)row_at(m, p, n, cols) + 63) / 64 * 64);
}

/* Attention in place on q: prefill rows first, described by segs, then decode rows, described by groups. */
static enum sg_status attend(struct sg_model *m, struct sg_kv *kv, int32_t layer, const struct sg_segs *s,
                             const struct sg_groups *g, void *q, struct sg_err *err) {
    const struct sg_config *c = &m->c;
    const float scale = (float)(1.0 / sqrt((double)c->head_dim));
    const int32_t n_prefill = s->n ? s->host_row_begin[s->n] : 0;
    enum sg_status st = SG_OK;
    if (n_prefill) {
        const struct sg_prefill_args a = {.q = q,
                                          .out = q,
                                          .kv = kv,
                                          .layer = layer,
                                          .q_heads = c->q_heads,
                                          .kv_heads = c->kv_heads,
                                          .head_dim = c->head_dim,
                                          .scale = scale,
                                          .n_segs = s->n,
                                          .row_begin = s->row_begin,
                                          .pos0 = s->pos0,
                                          .page_begin = s->page_begin,
                                          .pages = s->pages,
                                          .host_row_begin = s->host_row_begin,
                                          .host_pos0 = s->host_pos0,
                                          .host_page_begin = s->host_page_begin};
        SG_TRY(sg_op_attn_prefill(m->dev, &a, err));
    }
    if (g->n_rows) {
        void *rows = row_at(m, q, n_prefill, (int64_t)c->q_heads * c->head_dim);
        const struct sg_decode_args a = {.q = rows,
                                         .out = rows,
                                         .kv = kv,
                                         .layer = layer,
                                         .q_heads = c->q_heads,
                                         .kv_heads = c->kv_heads,
                                         .head_dim = c->head_dim,
                                         .scale = scale,
                                         .n_groups = g->n_groups,
                                         .n_rows = g->n_rows,
                                         .row_begin = g->row_begin,
                                         .prompt_len = g->prompt_len,
                                         .prompt_page_begin = g->prompt_page_begin,
                                         .prompt_pages = g->prompt_pages,
                                         .suffix_len = g->suffix_len,
                                         .suffix_page_begin = g->suffix_page_begin,
                                         .suffix_pages = g->suffix_pages,
                                         .host_row_begin = g->host_row_begin,
                                         .host_prompt_len = g->host_prompt_len,
                                         .host_prompt_page_begin = g->host_prompt_page_begin,
                                         .host_suffix_len = g->host_suffix_len,
                                         .host_suffix_page_begin = g->host_suffix_page_begin,
                                         .bound_group_rows = g->bound_group_rows,
                                         .bound_prompt_len = g->bound_prompt_len,
                                         .bound_suffix_len = g->bound_suffix_len};
        SG_TRY(sg_op_attn_decode(m->dev, &a, err));
    }
out:
    return st;
}

static enum sg_status project_qkv(struct sg_model *m, struct sg_kv *kv, int32_t i, const struct sg_batch *b,
                                  const void *h, void *qkv, void *q, struct sg_err *err) {
    const struct layer *l = &m->layers[i];
    const struct sg_qkv_args a = {.qkv = qkv,
                                  .q_out = q,
                                  .kv = kv,
                                  .layer = i,
                                  .n = b->n,
                                  .q_heads = m->c.q_heads,
                                  .kv_heads = m->c.kv_heads,
                                  .head_dim = m->c.head_dim,
                                  .q_norm = l->q_norm,
                                  .k_norm = l->k_norm,
                                  .cos_sin = m->cos_sin,
                                  .eps = m->c.rms_eps,
                                  .max_context = m->max_context,
                                  .positions = b->positions,
                                  .slot = b->slot};
    const enum sg_status st = sg_op_linear(m->dev, l->qkv, h, b->n, qkv, err);
    return st != SG_OK ? st : sg_op_qkv_rope(m->dev, &a, err);
}

enum sg_status sg_model_forward(struct sg_model *m, struct sg_kv *kv, struct sg_workspace *ws,
                                const struct sg_batch *b, const void **hidden, struct sg_err *err) {
    const struct sg_config *c = &m->c;
    const int32_t width = c->hidden, q_width = c->q_heads * c->head_dim;
    const float eps = c->rms_eps;
    enum sg_status st;
    size_t total;
    *hidden = NULL;
    if (!m->loaded) return sg_fail(err, SG_E_INTERNAL, "%s: planned, not loaded", m->dir);
    if (b->n > ws->max_rows)
        return sg_fail(err, SG_E_INTERNAL, "forward: %d rows, workspace for %d", b->n, ws->max_rows);
    if (b->n == 0) return SG_OK;
    const struct space s = lay_out(m, ws, ws->max_rows, &total);
    float *x = s.x;
    void *h = s.h, *delta = s.delta;
    int32_t n = b->n;
    SG_TRY(sg_op_embed(m->dev, m->embed, b->ids, n, x, err));
    for (int32_t i = 0; i < c->layers; i++) {
        const struct layer *l = &m->layers[i];
        void *qkv = s.wide, *q = behind(m, qkv, n, q_width + 2 * (int64_t)c->kv_heads * c->head_dim);
        SG_TRY(sg_op_add_rmsnorm(m->dev, x, i ? delta : NULL, l->input_norm, n, width, eps, h, err));
        SG_TRY(project_qkv(m, kv, i, b, h, qkv, q, err));
        if (i + 1 == c->layers && b->out_rows) {
            /* The rest computes output rows alone. qkv is free now and takes the output rows of q. */
            const int32_t x_width =
                width * (int32_t)(sizeof(float) / sg_dtype_bytes(sg_dev_info(m->dev)->act));
            if (b->n_out == 0) return SG_OK;
            SG_TRY(sg_op_gather_rows(m->dev, q, n, b->out_rows, b->n_out, q_width, qkv, err));
            SG_TRY(sg_op_gather_rows(m->dev, x, n, b->out_rows, b->n_out, x_width, s.x_out, err));
            x = s.x_out;
            q = qkv;
            n = b->n_out;
            SG_TRY(attend(m, kv, i, &b->out_segs, &b->groups, q, err));
        } else {
            SG_TRY(attend(m, kv, i, &b->segs, &b->groups, q, err));
        }
        SG_TRY(sg_op_linear(m->dev, l->out, q, n, delta, err));
        SG_TRY(sg_op_add_rmsnorm(m->dev, x, delta, l->post_norm, n, width, eps, h, err));
        void *gate_up = s.wide, *product = behind(m, gate_up, n, 2 * (int64_t)c->intermediate);
        SG_TRY(sg_op_linear(m->dev, l->gate_up, h, n, gate_up, err));
        SG_TRY(sg_op_swiglu(m->dev, gate_up, n, c->intermediate, product, err));
        SG_TRY(sg_op_linear(m->dev, l->down, product, n, delta, err));
    }
    SG_TRY(sg_op_add_rmsnorm(m->dev, x, delta, m->final_norm, n, width, eps, h, err));
    *hidden = h;
out:
    return st;
}

enum sg_status sg_model_logits(struct sg_model *m, const void *hidden, int32_t first, int32_t n,
                               float *logits, struct sg_err *err) {
    if (!m->head)
        return sg_fail(err, SG_E_UNSUPPORTED, "%s: the checkpoint has no lm_head: it makes embeddings only",
                       m->dir);
    const size_t skip = (size_t)first * (size_t)m->c.hidden * sg_dtype_bytes(sg_dev_info(m->dev)->act);
    return sg_op_logits(m->dev, m->head, (const char *)hidden + skip, n, logits, err);
}

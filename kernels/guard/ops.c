/* The guard's operators: what each reads and writes, and which values its integers may have. */
#include "kernels/guard/guard.h"

#include <string.h>

#define SG_BEGIN(dev, name) struct sg__guard_call c = {.g = (struct sg__guard_dev *)(dev), .op = (name)}
#define SG_ADD(arg, count, use)                                                                              \
    sg__guard_add(&c, #arg, arg, (size_t)(count), sizeof(float), use) /* every type here has four bytes */
#define SG_OUT(arg, count) sg__guard_out(&c, #arg, arg, (size_t)(count), sizeof(float))
#define SG_CHECK(call)                                                                                       \
    do {                                                                                                     \
        const enum sg_status st_ = (call);                                                                   \
        if (st_ != SG_OK) return st_;                                                                        \
    } while (0)
/* The wrapped operator, with the checks around it; ends the function. */
#define SG_INNER(op, ...)                                                                                    \
    do {                                                                                                     \
        struct sg_dev *inner = c.g->inner;                                                                   \
        return sg__guard_leave(&c, inner->be->op(inner, __VA_ARGS__), err);                                  \
    } while (0)

enum sg_status sg__guard_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                               float *out, struct sg_err *err) {
    SG_BEGIN(dev, "embed");
    SG_ADD(ids, n, SG__READ);
    SG_OUT(out, n * w->cols);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_CHECK(sg__guard_values(&c, "ids", ids, n, w->rows, err));
    SG_INNER(embed, w, ids, n, out, err);
}

enum sg_status sg__guard_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                     const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err) {
    SG_BEGIN(dev, "feed_tokens");
    SG_ADD(token, n_tokens, SG__RAW); /* those that are not asked for may be anything */
    SG_ADD(from, n, SG__READ);
    SG_ADD(ids, n, SG__UPDATE);
    SG_CHECK(sg__guard_enter(&c, err));
    for (int32_t i = 0; i < n; i++)
        if (from[i] >= 0) SG_CHECK(sg__guard_values(&c, "from", from + i, 1, n_tokens, err));
    SG_INNER(feed_tokens, token, n_tokens, from, n, ids, err);
}

enum sg_status sg__guard_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                     int32_t n, int32_t cols, float eps, void *out, struct sg_err *err) {
    SG_BEGIN(dev, "add_rmsnorm");
    const int64_t size = (int64_t)n * cols;
    SG_ADD(resid, size, delta ? SG__UPDATE : SG__READ);
    SG_ADD(delta, size, SG__READ);
    SG_ADD(weight, cols, SG__READ);
    SG_OUT(out, size);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_INNER(add_rmsnorm, resid, delta, weight, n, cols, eps, out, err);
}

enum sg_status sg__guard_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                                void *y, struct sg_err *err) {
    SG_BEGIN(dev, "linear");
    SG_ADD(x, n * w->cols, SG__READ);
    SG_OUT(y, n * w->rows);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_INNER(linear, w, x, n, y, err);
}

enum sg_status sg__guard_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                                float *logits, struct sg_err *err) {
    SG_BEGIN(dev, "logits");
    SG_ADD(x, n * w->cols, SG__READ);
    SG_OUT(logits, n * w->rows);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_INNER(logits, w, x, n, logits, err);
}

enum sg_status sg__guard_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err) {
    SG_BEGIN(dev, "qkv_rope");
    const int64_t n = a->n, dim = a->head_dim;
    sg__guard_add(&c, "qkv", a->qkv, (size_t)(n * (a->q_heads + 2 * a->kv_heads) * dim), 4, SG__READ);
    sg__guard_out(&c, "q_out", a->q_out, (size_t)(n * a->q_heads * dim), 4);
    sg__guard_add(&c, "q_norm", a->q_norm, (size_t)dim, 4, SG__READ);
    sg__guard_add(&c, "k_norm", a->k_norm, (size_t)dim, 4, a->k_norm == a->q_norm ? SG__RAW : SG__READ);
    sg__guard_add(&c, "cos_sin", a->cos_sin, (size_t)(a->max_context * dim), 4, SG__READ);
    sg__guard_add(&c, "positions", a->positions, (size_t)n, 4, SG__READ);
    sg__guard_add(&c, "slot", a->slot, (size_t)n, 4, SG__READ);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_CHECK(sg__guard_values(&c, "positions", a->positions, n, a->max_context, err));
    SG_CHECK(sg__guard_values(&c, "slot", a->slot, n, (int64_t)a->kv->pages * SG_PAGE_TOKENS, err));
    uint32_t *stamp = sg__guard_stamps(c.g, a->kv, a->layer);
    for (int32_t i = 0; i < n; i++) {
        if (stamp[a->slot[i]] == c.g->calls)
            return sg_fail(err, SG_E_INTERNAL, "guard: qkv_rope: slot[%d] = %d was given to two rows", i,
                           a->slot[i]);
        stamp[a->slot[i]] = c.g->calls;
    }
    SG_INNER(qkv_rope, a, err);
}

/* A host array is the copy of the device array beside it. */
static enum sg_status same(const struct sg__guard_call *c, const char *name, const void *device,
                           const void *host, size_t bytes, struct sg_err *err) {
    if (memcmp(device, host, bytes) == 0) return SG_OK;
    return sg_fail(err, SG_E_INTERNAL, "guard: %s: %s differs from its host copy", c->op, name);
}

static enum sg_status same_ints(const struct sg__guard_call *c, const char *name, const int32_t *device,
                                const int32_t *host, int32_t n, struct sg_err *err) {
    return same(c, name, device, host, (size_t)n * sizeof *host, err);
}

/* Pages of one run of `len` tokens are in the pool, and every token of them was written. */
static enum sg_status check_run(const struct sg__guard_call *c, const struct sg_kv *kv, int32_t layer,
                                const char *name, const int32_t *pages, int32_t len, struct sg_err *err) {
    SG_CHECK(sg__guard_values(c, name, pages, sg_pages_for(len), kv->pages, err));
    const uint32_t *stamp = sg__guard_stamps(c->g, kv, layer);
    for (int32_t t = 0; t < len; t++)
        if (!stamp[sg_slot(pages[t / SG_PAGE_TOKENS], t % SG_PAGE_TOKENS)])
            return sg_fail(err, SG_E_INTERNAL,
                           "guard: %s: %s: token %d, page %d, of layer %d was never written", c->op, name, t,
                           pages[t / SG_PAGE_TOKENS], layer);
    return SG_OK;
}

/* q and out: one range when they are the same memory. */
static void add_q_out(struct sg__guard_call *c, const void *q, void *out, size_t size) {
    if (q == out) {
        sg__guard_add(c, "q = out", q, size, 4, SG__UPDATE);
        return;
    }
    sg__guard_add(c, "q", q, size, 4, SG__READ);
    sg__guard_out(c, "out", out, size, 4);
}

enum sg_status sg__guard_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a,
                                      struct sg_err *err) {
    SG_BEGIN(dev, "attn_prefill");
    const int32_t n = a->n_segs;
    add_q_out(&c, a->q, a->out, (size_t)a->host_row_begin[n] * (size_t)a->q_heads * (size_t)a->head_dim);
    sg__guard_add(&c, "row_begin", a->row_begin, (size_t)n + 1, 4, SG__READ);
    sg__guard_add(&c, "pos0", a->pos0, (size_t)n, 4, SG__READ);
    sg__guard_add(&c, "page_begin", a->page_begin, (size_t)n + 1, 4, SG__READ);
    sg__guard_add(&c, "pages", a->pages, (size_t)a->host_page_begin[n], 4, SG__RAW);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_CHECK(same_ints(&c, "row_begin", a->row_begin, a->host_row_begin, n + 1, err));
    SG_CHECK(same_ints(&c, "pos0", a->pos0, a->host_pos0, n, err));
    SG_CHECK(same_ints(&c, "page_begin", a->page_begin, a->host_page_begin, n + 1, err));
    for (int32_t s = 0; s < n; s++) {
        const int32_t rows = a->row_begin[s + 1] - a->row_begin[s];
        if (rows > 0)
            SG_CHECK(
                check_run(&c, a->kv, a->layer, "pages", a->pages + a->page_begin[s], a->pos0[s] + rows, err));
    }
    SG_INNER(attn_prefill, a, err);
}

enum sg_status sg__guard_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err) {
    SG_BEGIN(dev, "attn_decode");
    const int32_t groups = a->n_groups, rows = a->n_rows;
    add_q_out(&c, a->q, a->out, (size_t)rows * (size_t)a->q_heads * (size_t)a->head_dim);
    sg__guard_add(&c, "row_begin", a->row_begin, (size_t)groups + 1, 4, SG__READ);
    sg__guard_add(&c, "prompt_len", a->prompt_len, (size_t)groups, 4, SG__READ);
    sg__guard_add(&c, "prompt_page_begin", a->prompt_page_begin, (size_t)groups + 1, 4, SG__READ);
    sg__guard_add(&c, "prompt_pages", a->prompt_pages, (size_t)a->host_prompt_page_begin[groups], 4, SG__RAW);
    sg__guard_add(&c, "suffix_len", a->suffix_len, (size_t)rows, 4, SG__READ);
    sg__guard_add(&c, "suffix_page_begin", a->suffix_page_begin, (size_t)rows + 1, 4, SG__READ);
    sg__guard_add(&c, "suffix_pages", a->suffix_pages, (size_t)a->host_suffix_page_begin[rows], 4, SG__RAW);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_CHECK(same_ints(&c, "row_begin", a->row_begin, a->host_row_begin, groups + 1, err));
    SG_CHECK(same_ints(&c, "prompt_len", a->prompt_len, a->host_prompt_len, groups, err));
    SG_CHECK(
        same_ints(&c, "prompt_page_begin", a->prompt_page_begin, a->host_prompt_page_begin, groups + 1, err));
    SG_CHECK(same_ints(&c, "suffix_len", a->suffix_len, a->host_suffix_len, rows, err));
    SG_CHECK(
        same_ints(&c, "suffix_page_begin", a->suffix_page_begin, a->host_suffix_page_begin, rows + 1, err));
    for (int32_t g = 0; g < groups; g++)
        if (a->row_begin[g + 1] > a->row_begin[g])
            SG_CHECK(check_run(&c, a->kv, a->layer, "prompt_pages", a->prompt_pages + a->prompt_page_begin[g],
                               a->prompt_len[g], err));
    for (int32_t r = 0; r < rows; r++)
        SG_CHECK(check_run(&c, a->kv, a->layer, "suffix_pages", a->suffix_pages + a->suffix_page_begin[r],
                           a->suffix_len[r], err));
    SG_INNER(attn_decode, a, err);
}

enum sg_status sg__guard_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                                struct sg_err *err) {
    SG_BEGIN(dev, "swiglu");
    SG_ADD(gate_up, 2 * (int64_t)n * cols, SG__READ);
    SG_OUT(out, (int64_t)n * cols);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_INNER(swiglu, gate_up, n, cols, out, err);
}

enum sg_status sg__guard_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                     int32_t n, int32_t cols, void *out, struct sg_err *err) {
    SG_BEGIN(dev, "gather_rows");
    SG_ADD(x, (int64_t)n_x * cols, SG__RAW); /* rows that are not asked for may be anything */
    SG_ADD(rows, n, SG__READ);
    SG_OUT(out, (int64_t)n * cols);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_CHECK(sg__guard_values(&c, "rows", rows, n, n_x, err));
    SG_INNER(gather_rows, x, n_x, rows, n, cols, out, err);
}

enum sg_status sg__guard_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                                struct sg_err *err) {
    SG_BEGIN(dev, "l2norm");
    SG_ADD(x, (int64_t)n * cols, SG__READ);
    SG_OUT(out, (int64_t)n * cols);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_INNER(l2norm, x, n, cols, out, err);
}

enum sg_status sg__guard_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                                 int32_t vocab, float *out, struct sg_err *err) {
    SG_BEGIN(dev, "logprob");
    SG_ADD(logits, (int64_t)n * vocab, SG__READ);
    SG_ADD(target, n, SG__READ);
    SG_OUT(out, n);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_CHECK(sg__guard_values(&c, "target", target, n, vocab, err));
    SG_INNER(logprob, logits, target, n, vocab, out, err);
}

enum sg_status sg__guard_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err) {
    SG_BEGIN(dev, "sample");
    const size_t n = (size_t)a->n;
    sg__guard_add(&c, "logits", a->logits, (size_t)a->n_rows * (size_t)a->vocab, 4,
                  SG__RAW); /* see gather_rows */
    sg__guard_add(&c, "row", a->row, n, 4, SG__READ);
    sg__guard_add(&c, "u", a->u, n, 4, SG__READ);
    sg__guard_add(&c, "setting", a->setting, n, 4, SG__READ);
    sg__guard_add(&c, "settings", a->settings, (size_t)a->n_settings, sizeof *a->settings, SG__READ);
    sg__guard_add(&c, "yes_ids", a->n_yes ? a->yes_ids : NULL, (size_t)a->n_yes, 4, SG__READ);
    sg__guard_add(&c, "no_ids", a->n_no ? a->no_ids : NULL, (size_t)a->n_no, 4, SG__READ);
    sg__guard_out(&c, "token", a->token, n, 4);
    sg__guard_out(&c, "p_yes", a->p_yes, n, 4);
    sg__guard_out(&c, "logprob", a->logprob, n, 4);
    SG_CHECK(sg__guard_enter(&c, err));
    SG_CHECK(sg__guard_values(&c, "row", a->row, a->n, a->n_rows, err));
    SG_CHECK(sg__guard_values(&c, "setting", a->setting, a->n, a->n_settings, err));
    for (int32_t i = 0; i < a->n; i++)
        if (!(a->u[i] >= 0 && a->u[i] < 1))
            return sg_fail(err, SG_E_INTERNAL, "guard: sample: u[%d] is %g, expected 0 to below 1", i,
                           (double)a->u[i]);
    SG_CHECK(same(&c, "settings", a->settings, a->host_settings, (size_t)a->n_settings * sizeof *a->settings,
                  err));
    SG_CHECK(sg__guard_values(&c, "yes_ids", a->yes_ids, a->n_yes, a->vocab, err));
    SG_CHECK(sg__guard_values(&c, "no_ids", a->no_ids, a->n_no, a->vocab, err));
    SG_INNER(sample, a, err);
}

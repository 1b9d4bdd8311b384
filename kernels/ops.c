/* ops - every operator once, in front of all backends: checks the arguments, counts time, flops and bytes,
 * dispatches. What cannot be told from the host (values in device memory) is the guard backend's work. */
#include "kernels/backend.h"
#include "base/minmax.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>

/* Leaves with SG_E_INTERNAL: the caller broke a contract. */
#define SG_NEED(cond, ...)                                                                                   \
    do {                                                                                                     \
        if (!(cond)) return sg_fail(err, SG_E_INTERNAL, __VA_ARGS__);                                        \
    } while (0)

/* Bytes [p, p + n) and [q, q + m) share one. */
static bool overlap(const void *p, double n, const void *q, double m) {
    return (double)(uintptr_t)p < (double)(uintptr_t)q + m && (double)(uintptr_t)q < (double)(uintptr_t)p + n;
}

static double act_bytes(const struct sg_dev *dev) {
    return (double)sg_dtype_bytes(dev->info.act);
}

/* Of a number of the KV cache. */
static double kv_bytes(const struct sg_dev *dev) {
    return (double)sg_dtype_bytes(dev->info.products);
}

/* Rows any row-wise operator may get. */
static int32_t row_limit(const struct sg_dev *dev) {
    return sg_max32(dev->lim.max_rows, sg_max32(dev->lim.max_decode_rows, dev->lim.max_logit_rows));
}

static enum sg_status check_rows(const struct sg_dev *dev, const char *op, int32_t n, struct sg_err *err) {
    SG_NEED(dev, "%s: NULL device", op);
    SG_NEED(dev->lim.max_context > 0, "%s: called before sg_dev_reserve", op);
    SG_NEED(n >= 0 && n <= row_limit(dev), "%s: %d rows, %d reserved", op, n, row_limit(dev));
    return SG_OK;
}

static enum sg_status check_weight(const struct sg_dev *dev, const char *op, const struct sg_weight *w,
                                   unsigned use, struct sg_err *err) {
    SG_NEED(w, "%s: NULL weight", op);
    SG_NEED(w->dev == dev, "%s: the weight belongs to another device", op);
    SG_NEED(w->use & use, "%s: the weight was not made for this use (%u, has %u)", op, use, w->use);
    return SG_OK;
}

static void count_recorded(struct sg_dev_record *r, enum sg_stage s, double flops, double bytes) {
    const bool decode = s == SG_STAGE_DECODE;
    r->n_decode += decode;
    *(decode ? &r->decode_flops : &r->flops) += flops;
    *(decode ? &r->decode_bytes : &r->bytes) += bytes;
}

static void count(struct sg_dev *dev, enum sg_stage s, int64_t t0, double flops, double bytes) {
    struct sg_stage_stats *st = &dev->stats[s];
    if (dev->recording) {
        count_recorded(dev->recording, s, flops, bytes);
        return;
    }
    st->calls++;
    st->flops += flops;
    st->bytes += bytes;
    if (!dev->be->async) st->ns += sg_clock_ns() - t0;
}

/* Runs `call` and enters it into the statistics of stage `s`; ends the function. */
#define SG_RUN(s, flops, bytes, call)                                                                        \
    do {                                                                                                     \
        const int64_t t0_ = sg_clock_ns();                                                                   \
        const enum sg_status st_ = (call);                                                                   \
        if (st_ == SG_OK) count(dev, s, t0_, flops, bytes);                                                  \
        return st_;                                                                                          \
    } while (0)

enum sg_status sg_op_embed(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                           float *out, struct sg_err *err) {
    enum sg_status st = check_rows(dev, "embed", n, err);
    if (st != SG_OK) return st;
    st = check_weight(dev, "embed", w, SG_USE_EMBED, err);
    if (st != SG_OK || n == 0) return st;
    SG_NEED(ids && out, "embed: NULL ids or out");
    const double row = (double)w->cols, width = (double)w->bytes / ((double)w->rows * row) + sizeof(float);
    SG_RUN(SG_STAGE_EMBED, 0, n * row * width, dev->be->embed(dev, w, ids, n, out, err));
}

enum sg_status sg_op_feed_tokens(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                 const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err) {
    const enum sg_status st = check_rows(dev, "feed_tokens", n, err);
    if (st != SG_OK) return st;
    SG_NEED(n_tokens >= 1 && n_tokens <= dev->lim.max_draws, "feed_tokens: %d tokens, %d reserved", n_tokens,
            dev->lim.max_draws);
    if (n == 0) return SG_OK;
    SG_NEED(token && from && ids, "feed_tokens: NULL token, from or ids");
    SG_NEED(!overlap(ids, 4.0 * n, token, 4.0 * n_tokens) && !overlap(ids, 4.0 * n, from, 4.0 * n),
            "feed_tokens: ids overlaps token or from");
    SG_RUN(SG_STAGE_OTHER, 0, 12.0 * n, dev->be->feed_tokens(dev, token, n_tokens, from, n, ids, err));
}

enum sg_status sg_op_add_rmsnorm(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                 int32_t n, int32_t cols, float eps, void *out, struct sg_err *err) {
    const enum sg_status st = check_rows(dev, "add_rmsnorm", n, err);
    if (st != SG_OK) return st;
    SG_NEED(cols >= 1 && eps >= 0 && isfinite(eps), "add_rmsnorm: %d columns, eps %g", cols, (double)eps);
    if (n == 0) return SG_OK;
    SG_NEED(resid && weight && out, "add_rmsnorm: NULL resid, weight or out");
    const double size = (double)n * cols * act_bytes(dev), sums = (double)n * cols * sizeof(float);
    SG_NEED(!overlap(out, size, resid, sums), "add_rmsnorm: out overlaps resid");
    SG_NEED(!delta || !overlap(out, size, delta, size), "add_rmsnorm: out overlaps delta");
    SG_NEED(!delta || !overlap(resid, sums, delta, size), "add_rmsnorm: resid overlaps delta");
    SG_RUN(SG_STAGE_NORM, (delta ? 5.0 : 4.0) * n * cols,
           (delta ? 2 * (size + sums) : size + sums) + 4.0 * cols,
           dev->be->add_rmsnorm(dev, resid, delta, weight, n, cols, eps, out, err));
}

static enum sg_status check_product(struct sg_dev *dev, const char *op, const struct sg_weight *w,
                                    const void *x, int32_t n, const void *y, double y_width,
                                    struct sg_err *err) {
    enum sg_status st = check_rows(dev, op, n, err);
    if (st != SG_OK) return st;
    st = check_weight(dev, op, w, SG_USE_LINEAR, err);
    if (st != SG_OK || n == 0) return st;
    const int32_t attn = dev->lim.q_heads * dev->lim.head_dim;
    const int32_t widest = sg_max32(sg_max32(dev->lim.hidden, dev->lim.intermediate), attn);
    SG_NEED(w->cols <= widest, "%s: %" PRId64 " columns, the widest reserved input has %d", op, w->cols,
            widest);
    SG_NEED(x && y, "%s: NULL x or y", op);
    SG_NEED(
        !overlap(x, (double)n * (double)w->cols * act_bytes(dev), y, (double)n * (double)w->rows * y_width),
        "%s: y overlaps x", op);
    return SG_OK;
}

enum sg_status sg_op_linear(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n, void *y,
                            struct sg_err *err) {
    const enum sg_status st = check_product(dev, "linear", w, x, n, y, dev ? act_bytes(dev) : 0, err);
    if (st != SG_OK || n == 0) return st;
    const double rows = (double)w->rows, cols = (double)w->cols;
    SG_RUN(SG_STAGE_LINEAR, 2.0 * n * rows * cols, (double)w->bytes + n * (rows + cols) * act_bytes(dev),
           dev->be->linear(dev, w, x, n, y, err));
}

enum sg_status sg_op_logits(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                            float *logits, struct sg_err *err) {
    const enum sg_status st = check_product(dev, "logits", w, x, n, logits, sizeof(float), err);
    if (st != SG_OK || n == 0) return st;
    SG_NEED(n <= dev->lim.max_logit_rows, "logits: %d rows, %d reserved", n, dev->lim.max_logit_rows);
    const double rows = (double)w->rows, cols = (double)w->cols;
    SG_RUN(SG_STAGE_LOGITS, 2.0 * n * rows * cols,
           (double)w->bytes + n * (4.0 * rows + cols * act_bytes(dev)),
           dev->be->logits(dev, w, x, n, logits, err));
}

/* The shape that all three attention operators share, against the pool and the reserve. */
static enum sg_status check_heads(const struct sg_dev *dev, const char *op, const struct sg_kv *kv,
                                  int32_t layer, int32_t q_heads, int32_t kv_heads, int32_t head_dim,
                                  struct sg_err *err) {
    const struct sg_limits *l = &dev->lim;
    SG_NEED(kv, "%s: NULL KV pool", op);
    SG_NEED(kv->dev == dev, "%s: the KV pool belongs to another device", op);
    SG_NEED(kv->kv_heads == kv_heads && kv->head_dim == head_dim,
            "%s: %d key heads of %d, the KV pool has %d of %d", op, kv_heads, head_dim, kv->kv_heads,
            kv->head_dim);
    SG_NEED(layer >= 0 && layer < kv->layers, "%s: layer %d of %d", op, layer, kv->layers);
    SG_NEED(q_heads >= 1 && q_heads % kv_heads == 0 && q_heads / kv_heads <= SG_MAX_GQA,
            "%s: %d query heads over %d key heads", op, q_heads, kv_heads);
    SG_NEED(q_heads <= l->q_heads && kv_heads <= l->kv_heads && head_dim <= l->head_dim,
            "%s: %d and %d heads of %d, reserved %d and %d of %d", op, q_heads, kv_heads, head_dim,
            l->q_heads, l->kv_heads, l->head_dim);
    return SG_OK;
}

enum sg_status sg_op_qkv_rope(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err) {
    SG_NEED(dev && a, "qkv_rope: NULL argument");
    enum sg_status st = check_rows(dev, "qkv_rope", a->n, err);
    if (st != SG_OK) return st;
    st = check_heads(dev, "qkv_rope", a->kv, a->layer, a->q_heads, a->kv_heads, a->head_dim, err);
    if (st != SG_OK) return st;
    SG_NEED(a->eps >= 0 && isfinite(a->eps) && a->max_context >= 1, "qkv_rope: eps %g, max_context %d",
            (double)a->eps, a->max_context);
    if (a->n == 0) return SG_OK;
    SG_NEED(a->qkv && a->q_out && a->q_norm && a->k_norm && a->cos_sin && a->positions && a->slot,
            "qkv_rope: NULL array");
    const double q = (double)a->q_heads * a->head_dim, kv = (double)a->kv_heads * a->head_dim;
    SG_NEED(!overlap(a->qkv, a->n * (q + 2 * kv) * act_bytes(dev), a->q_out, a->n * q * act_bytes(dev)),
            "qkv_rope: q_out overlaps qkv");
    SG_RUN(SG_STAGE_QKV, a->n * 7.0 * (q + kv),
           a->n * (2.0 * (q + kv) * act_bytes(dev) + 2.0 * kv * kv_bytes(dev)),
           dev->be->qkv_rope(dev, a, err));
}

/* begin[0..n] starts at 0 and never falls; each step at most `most` (when >= 0). */
static enum sg_status check_offsets(const char *op, const char *name, const int32_t *begin, int32_t n,
                                    bool grows, struct sg_err *err) {
    SG_NEED(begin, "%s: NULL %s", op, name);
    SG_NEED(begin[0] == 0, "%s: %s[0] is %d, not 0", op, name, begin[0]);
    for (int32_t i = 0; i < n; i++)
        SG_NEED(begin[i + 1] >= begin[i] + (grows ? 1 : 0), "%s: %s[%d] = %d after %d", op, name, i + 1,
                begin[i + 1], begin[i]);
    return SG_OK;
}

enum sg_status sg_op_attn_prefill(struct sg_dev *dev, const struct sg_prefill_args *a, struct sg_err *err) {
    static const char op[] = "attn_prefill";
    SG_NEED(dev && a, "%s: NULL argument", op);
    enum sg_status st = check_rows(dev, op, 0, err);
    if (st != SG_OK) return st;
    st = check_heads(dev, op, a->kv, a->layer, a->q_heads, a->kv_heads, a->head_dim, err);
    if (st != SG_OK) return st;
    SG_NEED(isfinite(a->scale) && a->n_segs >= 0, "%s: scale %g, %d segments", op, (double)a->scale,
            a->n_segs);
    if (a->n_segs == 0) return SG_OK;
    st = check_offsets(op, "row_begin", a->host_row_begin, a->n_segs, false, err);
    if (st == SG_OK) st = check_offsets(op, "page_begin", a->host_page_begin, a->n_segs, false, err);
    if (st != SG_OK) return st;
    const int32_t n = a->host_row_begin[a->n_segs];
    st = check_rows(dev, op, n, err);
    if (st != SG_OK || n == 0) return st;
    SG_NEED(a->q && a->out && a->row_begin && a->pos0 && a->page_begin && a->pages && a->host_pos0,
            "%s: NULL array", op);
    double pairs = 0, keys = 0;
    for (int32_t s = 0; s < a->n_segs; s++) {
        const int32_t rows = a->host_row_begin[s + 1] - a->host_row_begin[s], pos0 = a->host_pos0[s];
        const int32_t have = a->host_page_begin[s + 1] - a->host_page_begin[s];
        SG_NEED(pos0 >= 0 && rows <= dev->lim.max_context - pos0,
                "%s: segment %d has positions %d..%d, reserved context %d", op, s, pos0, pos0 + rows,
                dev->lim.max_context);
        SG_NEED(rows == 0 || have >= sg_pages_for(pos0 + rows), "%s: segment %d has %d pages for %d tokens",
                op, s, have, pos0 + rows);
        pairs += (double)rows * pos0 + 0.5 * rows * (rows + 1.0);
        keys += rows ? pos0 + rows : 0;
    }
    const double q = (double)a->q_heads * a->head_dim, kv = (double)a->kv_heads * a->head_dim;
    const double bytes = n * q * act_bytes(dev);
    SG_NEED(a->out == a->q || !overlap(a->out, bytes, a->q, bytes), "%s: out overlaps q in part", op);
    SG_RUN(SG_STAGE_PREFILL, 4.0 * pairs * q, 2.0 * bytes + 2.0 * keys * kv * kv_bytes(dev),
           dev->be->attn_prefill(dev, a, err));
}

/* Every key of a group's prompt is read once for all its rows. */
void sg__decode_cost(const struct sg_dev *dev, const struct sg_decode_args *a, double *flops, double *bytes) {
    double pairs = 0, keys = 0;
    for (int32_t g = 0; g < a->n_groups; g++) {
        const int32_t first = a->host_row_begin[g], end = a->host_row_begin[g + 1];
        if (first == end) continue;
        keys += a->host_prompt_len[g];
        for (int32_t r = first; r < end; r++) {
            pairs += (double)a->host_prompt_len[g] + a->host_suffix_len[r];
            keys += a->host_suffix_len[r];
        }
    }
    const double q = (double)a->q_heads * a->head_dim, kv = (double)a->kv_heads * a->head_dim;
    *flops = 4.0 * pairs * q;
    *bytes = 2.0 * a->n_rows * q * act_bytes(dev) + 2.0 * keys * kv * kv_bytes(dev);
}

enum sg_status sg_op_attn_decode(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err) {
    static const char op[] = "attn_decode";
    SG_NEED(dev && a, "%s: NULL argument", op);
    enum sg_status st = check_rows(dev, op, 0, err);
    if (st != SG_OK) return st;
    st = check_heads(dev, op, a->kv, a->layer, a->q_heads, a->kv_heads, a->head_dim, err);
    if (st != SG_OK) return st;
    SG_NEED(isfinite(a->scale) && a->n_groups >= 0 && a->n_rows >= 0, "%s: scale %g, %d groups, %d rows", op,
            (double)a->scale, a->n_groups, a->n_rows);
    SG_NEED(a->n_rows <= dev->lim.max_decode_rows, "%s: %d rows, %d reserved", op, a->n_rows,
            dev->lim.max_decode_rows);
    SG_NEED(a->n_groups <= dev->lim.max_decode_rows, "%s: %d groups, %d rows reserved", op, a->n_groups,
            dev->lim.max_decode_rows);
    if (a->n_rows == 0) return SG_OK;
    st = check_offsets(op, "row_begin", a->host_row_begin, a->n_groups, false, err);
    if (st == SG_OK)
        st = check_offsets(op, "prompt_page_begin", a->host_prompt_page_begin, a->n_groups, false, err);
    if (st == SG_OK)
        st = check_offsets(op, "suffix_page_begin", a->host_suffix_page_begin, a->n_rows, true, err);
    if (st != SG_OK) return st;
    SG_NEED(a->host_row_begin[a->n_groups] == a->n_rows, "%s: groups hold %d rows of %d", op,
            a->host_row_begin[a->n_groups], a->n_rows);
    SG_NEED(a->q && a->out && a->row_begin && a->prompt_len && a->prompt_page_begin && a->prompt_pages &&
                a->suffix_len && a->suffix_page_begin && a->suffix_pages && a->host_prompt_len &&
                a->host_suffix_len,
            "%s: NULL array", op);
    const bool bound = a->bound_group_rows || a->bound_prompt_len || a->bound_suffix_len;
    for (int32_t g = 0; g < a->n_groups; g++) {
        const int32_t len = a->host_prompt_len[g], in_group = a->host_row_begin[g + 1] - a->host_row_begin[g];
        const int32_t have = a->host_prompt_page_begin[g + 1] - a->host_prompt_page_begin[g];
        if (in_group == 0) continue;
        SG_NEED(!bound || (in_group <= a->bound_group_rows && len <= a->bound_prompt_len),
                "%s: group %d has %d rows and %d prompt tokens, the bounds are %d and %d", op, g, in_group,
                len, a->bound_group_rows, a->bound_prompt_len);
        SG_NEED(len >= 1 && have >= sg_pages_for(len), "%s: group %d has %d pages for %d prompt tokens", op,
                g, have, len);
        for (int32_t r = a->host_row_begin[g]; r < a->host_row_begin[g + 1]; r++) {
            const int32_t suffix = a->host_suffix_len[r];
            const int32_t own = a->host_suffix_page_begin[r + 1] - a->host_suffix_page_begin[r];
            SG_NEED(suffix >= 1 && own >= sg_pages_for(suffix),
                    "%s: row %d has %d pages for %d suffix tokens", op, r, own, suffix);
            SG_NEED(len <= dev->lim.max_context && suffix <= dev->lim.max_context - len,
                    "%s: row %d has %d + %d tokens, reserved context %d", op, r, len, suffix,
                    dev->lim.max_context);
            SG_NEED(!bound || suffix <= a->bound_suffix_len,
                    "%s: row %d has %d suffix tokens, the bound is %d", op, r, suffix, a->bound_suffix_len);
        }
    }
    const double size = (double)a->n_rows * a->q_heads * a->head_dim * act_bytes(dev);
    SG_NEED(a->out == a->q || !overlap(a->out, size, a->q, size), "%s: out overlaps q in part", op);
    double flops, bytes;
    sg__decode_cost(dev, a, &flops, &bytes);
    SG_RUN(SG_STAGE_DECODE, flops, bytes, dev->be->attn_decode(dev, a, err));
}

enum sg_status sg_op_swiglu(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                            struct sg_err *err) {
    const enum sg_status st = check_rows(dev, "swiglu", n, err);
    if (st != SG_OK) return st;
    SG_NEED(cols >= 1, "swiglu: %d columns", cols);
    if (n == 0) return SG_OK;
    SG_NEED(gate_up && out, "swiglu: NULL gate_up or out");
    const double size = (double)n * cols * act_bytes(dev);
    SG_NEED(!overlap(out, size, gate_up, 2 * size), "swiglu: out overlaps gate_up");
    SG_RUN(SG_STAGE_SWIGLU, 5.0 * n * cols, 3 * size, dev->be->swiglu(dev, gate_up, n, cols, out, err));
}

enum sg_status sg_op_gather_rows(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                 int32_t n, int32_t cols, void *out, struct sg_err *err) {
    enum sg_status st = check_rows(dev, "gather_rows", n, err);
    if (st == SG_OK) st = check_rows(dev, "gather_rows", n_x, err);
    if (st != SG_OK) return st;
    SG_NEED(cols >= 1, "gather_rows: %d columns", cols);
    if (n == 0) return SG_OK;
    SG_NEED(x && rows && out && n_x >= 1, "gather_rows: NULL x, rows or out, or %d rows to choose from", n_x);
    const double row = (double)cols * act_bytes(dev);
    SG_NEED(!overlap(out, n * row, x, n_x * row), "gather_rows: out overlaps x");
    SG_RUN(SG_STAGE_OTHER, 0, 2 * n * row, dev->be->gather_rows(dev, x, n_x, rows, n, cols, out, err));
}

enum sg_status sg_op_l2norm(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                            struct sg_err *err) {
    const enum sg_status st = check_rows(dev, "l2norm", n, err);
    if (st != SG_OK) return st;
    SG_NEED(cols >= 1, "l2norm: %d columns", cols);
    if (n == 0) return SG_OK;
    SG_NEED(x && out, "l2norm: NULL x or out");
    const double size = (double)n * cols;
    SG_NEED(!overlap(out, 4 * size, x, size * act_bytes(dev)), "l2norm: out overlaps x");
    SG_RUN(SG_STAGE_OTHER, 3 * size, size * (4 + act_bytes(dev)), dev->be->l2norm(dev, x, n, cols, out, err));
}

enum sg_status sg_op_logprob(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                             int32_t vocab, float *out, struct sg_err *err) {
    const enum sg_status st = check_rows(dev, "logprob", n, err);
    if (st != SG_OK) return st;
    SG_NEED(vocab >= 1 && vocab <= dev->lim.vocab, "logprob: vocabulary of %d, %d reserved", vocab,
            dev->lim.vocab);
    if (n == 0) return SG_OK;
    SG_NEED(logits && target && out, "logprob: NULL logits, target or out");
    const double size = (double)n * vocab;
    SG_RUN(SG_STAGE_SAMPLE, 3 * size, 4 * size, dev->be->logprob(dev, logits, target, n, vocab, out, err));
}

enum sg_status sg_op_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err) {
    SG_NEED(dev && a, "sample: NULL argument");
    const enum sg_status st = check_rows(dev, "sample", a->n_rows, err);
    if (st != SG_OK) return st;
    const struct sg_limits *l = &dev->lim;
    SG_NEED(a->n >= 0 && a->n <= l->max_draws, "sample: %d draws, %d reserved", a->n, l->max_draws);
    SG_NEED(a->vocab >= 1 && a->vocab <= l->vocab, "sample: vocabulary of %d, %d reserved", a->vocab,
            l->vocab);
    SG_NEED(a->n_settings >= 1 && a->host_settings, "sample: %d settings, or NULL for them", a->n_settings);
    for (int32_t i = 0; i < a->n_settings; i++) {
        const struct sg_draw_settings *s = &a->host_settings[i];
        /* below 1e-6 logits / temperature would overflow for logits that models do have */
        SG_NEED(s->temperature == 0 || (s->temperature >= 1e-6f && s->temperature <= 1e6f),
                "sample: temperature %g", (double)s->temperature);
        SG_NEED(s->top_p > 0 && s->top_p <= 1 && s->top_k >= 0, "sample: top_p %g, top_k %d",
                (double)s->top_p, s->top_k);
    }
    SG_NEED(a->n_yes >= 0 && a->n_no >= 0 && (!a->n_yes || a->yes_ids) && (!a->n_no || a->no_ids),
            "sample: %d yes and %d no ids, or NULL for them", a->n_yes, a->n_no);
    if (a->n == 0) return SG_OK;
    SG_NEED(a->n_rows >= 1 && a->logits && a->row && a->u && a->setting && a->settings && a->token,
            "sample: NULL logits, row, u, setting, settings or token, or %d rows", a->n_rows);
    SG_RUN(SG_STAGE_SAMPLE, 4.0 * a->n * a->vocab, 4.0 * a->n_rows * a->vocab, dev->be->sample(dev, a, err));
}

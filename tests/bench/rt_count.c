/* rt_count - kernels/cuda/rt.h and launch.h by a device that computes nothing and counts everything: the program,
 * engine and backend run as they are, at real shapes and with as many cells as a card holds, and every step's
 * products, launches and attention work are written down. What gpu_model.py makes times of. Memory above 64 MiB is
 * address space alone; small arrays are real, as the work of attention is in them. Every draw is token 7.
 *
 *   COUNT_FILE       one JSON object a line and step
 *   COUNT_MEMORY_MIB what the device has free when it is opened (default: an H200)
 *
 * Run with --operators: steps replayed from records are not taken apart. */
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { REAL_BYTES = 64 << 20, SHAPES = 40, H200_MIB = 143771 - 700, WORKSPACE_BYTES = 32 << 20 };

enum kernel {
    EMBED,
    FEED,
    GATHER,
    NORM,
    SWIGLU,
    QKV,
    PREFILL,
    PROMPT,
    SUFFIX,
    MERGE,
    SAMPLE,
    LOGPROB,
    OTHER,
    KERNELS
};
static const char *const kernel_names[KERNELS] = {
    "embed",       "feed_tokens", "gather_rows", "add_rmsnorm", "swiglu",  "qkv_rope", "attn_prefill",
    "attn_prompt", "attn_suffix", "attn_merge",  "sample",      "logprob", "other"};
struct product {
    int64_t m, n, k, calls;
    bool f32;
};
/* One step. Pages: of 16 keys, times key-value heads. */
struct step {
    /* by lane: a step in two halves has both */
    int32_t rows[SG_RT_LANES], decode_rows[SG_RT_LANES], groups[SG_RT_LANES], prompt_rows[SG_RT_LANES];
    int64_t launches[KERNELS], copies;
    struct product products[SHAPES];
    int n_products;
    int64_t prompt_pages,
        prompt_tile_pages;    /* read once a tile of 32 (sample, head) rows; of tiles of 16 rows */
    int64_t prompt_row_pages; /* the same if every row read its prompt for itself */
    int64_t suffix_pages;
    int64_t partials;                          /* results of splits, of one row and head */
    int64_t prefill_pairs, prefill_tile_pairs; /* (query, key) of one head; of whole blocks of 128 x 64 */
    int64_t prefill_pages;                     /* pages that its blocks read */
    int64_t drawn, vocab;
};
struct sg__rt {
    FILE *out;
    struct step step;
    int lane;
    int64_t taken, memory;
    struct block *blocks;
};
struct block {
    void *p;
    size_t bytes;
    bool real;
    struct block *next;
};
struct sg__rt_graph {
    int none;
};

static void write_step(struct sg__rt *rt) {
    const struct step *s = &rt->step;
    if (rt->out && s->rows[0]) {
        fprintf(rt->out,
                "{\"rows\": %d, \"halves\": %d, \"decode_rows\": %d, \"groups\": %d, \"prompt_rows\": %d, "
                "\"launches\": {",
                s->rows[0] + s->rows[1], s->rows[1] > 0, s->decode_rows[0] + s->decode_rows[1],
                s->groups[0] + s->groups[1], s->prompt_rows[0] + s->prompt_rows[1]);
        for (int k = 0; k < KERNELS; k++)
            fprintf(rt->out, "%s\"%s\": %" PRId64, k ? ", " : "", kernel_names[k], s->launches[k]);
        fprintf(rt->out, "}, \"products\": [");
        for (int i = 0; i < s->n_products; i++) {
            const struct product *p = &s->products[i];
            fprintf(rt->out, "%s[%" PRId64 ", %" PRId64 ", %" PRId64 ", %d, %" PRId64 "]", i ? ", " : "",
                    p->m, p->n, p->k, p->f32 ? 4 : 2, p->calls);
        }
        fprintf(rt->out,
                "], \"copies\": %" PRId64 ", \"prompt_pages\": %" PRId64 ", \"prompt_tile_pages\": %" PRId64
                ", \"prompt_row_pages\": %" PRId64 ", \"suffix_pages\": %" PRId64 ", \"partials\": %" PRId64
                ", \"prefill_pairs\": %" PRId64 ", \"prefill_tile_pairs\": %" PRId64
                ", \"prefill_pages\": %" PRId64 ", \"drawn\": %" PRId64 ", \"vocab\": %" PRId64 "}\n",
                s->copies, s->prompt_pages, s->prompt_tile_pages, s->prompt_row_pages, s->suffix_pages,
                s->partials, s->prefill_pairs, s->prefill_tile_pairs, s->prefill_pages, s->drawn, s->vocab);
    }
    rt->step = (struct step){0};
}
static struct step *count(void *stream, enum kernel k) {
    struct step *s = &((struct sg__rt *)stream)->step;
    s->launches[k]++;
    return s;
}

/* ---- the device ------------------------------------------------------------------------------------- */

enum sg_status sg__rt_find(int index, int *n, struct sg__rt_info *info, struct sg_err *err) {
    (void)index, (void)err;
    const char *mib = getenv("COUNT_MEMORY_MIB");
    *n = 1;
    *info = (struct sg__rt_info){.name = "counts, computes nothing", .uuid = "count", .emulated = true};
    info->memory_bytes = (mib ? strtoll(mib, NULL, 10) : H200_MIB) << 20;
    return SG_OK;
}
enum sg_status sg__rt_open(int ordinal, struct sg__rt **out, struct sg__rt_info *info, struct sg_err *err) {
    int n;
    const char *path = getenv("COUNT_FILE");
    struct sg__rt *rt = calloc(1, sizeof *rt);
    if (!rt) return sg_fail(err, SG_E_NOMEM, "count: no memory");
    sg__rt_find(ordinal, &n, info, err);
    rt->memory = info->memory_bytes;
    if (path && !(rt->out = fopen(path, "w"))) {
        free(rt);
        return sg_fail(err, SG_E_IO, "%s: cannot be written", path);
    }
    *out = rt;
    return SG_OK;
}
void sg__rt_close(struct sg__rt *rt) {
    if (!rt) return;
    write_step(rt);
    while (rt->blocks) sg__rt_free(rt, rt->blocks->p);
    if (rt->out) fclose(rt->out);
    free(rt);
}
size_t sg__rt_lane_bytes(const struct sg__rt *rt) {
    (void)rt;
    return WORKSPACE_BYTES;
}
enum sg_status sg__rt_lanes(struct sg__rt *rt, int n, struct sg_err *err) {
    void *workspace;
    return n > 1 ? sg__rt_alloc(rt, WORKSPACE_BYTES, "workspace", &workspace, err) : SG_OK;
}
void sg__rt_lane(struct sg__rt *rt, int lane) {
    rt->lane = lane;
}
enum sg_status sg__rt_order(struct sg__rt *rt, int first, int later, struct sg_err *err) {
    (void)rt, (void)first, (void)later, (void)err;
    return SG_OK;
}
void *sg__rt_stream(struct sg__rt *rt) {
    return rt;
}
const char *sg__rt_error(int code) {
    (void)code;
    return "not counted";
}
int64_t sg__rt_memory_free(struct sg__rt *rt) {
    return rt->memory - rt->taken;
}
enum sg_status sg__rt_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                            struct sg_err *err) {
    struct block *b = calloc(1, sizeof *b);
    if (b && (int64_t)bytes <= sg__rt_memory_free(rt)) {
        b->bytes = bytes ? bytes : 1, b->real = bytes <= REAL_BYTES;
        b->p = b->real ? calloc(1, (b->bytes + 255) / 256 * 256)
                       : mmap(NULL, b->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (!b || !b->p || b->p == MAP_FAILED) {
        free(b);
        return sg_fail(err, SG_E_NOMEM, "count: no %zu bytes for %s", bytes, what);
    }
    b->next = rt->blocks;
    rt->blocks = b;
    rt->taken += (int64_t)b->bytes;
    *out = b->p;
    return SG_OK;
}
static struct block **block_of(struct sg__rt *rt, const void *p) {
    struct block **at = &rt->blocks;
    while (*at && !((const char *)p >= (char *)(*at)->p && (const char *)p < (char *)(*at)->p + (*at)->bytes))
        at = &(*at)->next;
    return at;
}
void sg__rt_free(struct sg__rt *rt, void *p) {
    struct block **at = block_of(rt, p), *b = *at;
    if (!p || !b) return;
    *at = b->next;
    rt->taken -= (int64_t)b->bytes;
    if (b->real)
        free(b->p);
    else
        munmap(b->p, b->bytes);
    free(b);
}
enum sg_status sg__rt_upload(struct sg__rt *rt, void *dst, const void *src, size_t bytes,
                             struct sg_err *err) {
    (void)err;
    struct block *b = *block_of(rt, dst);
    if (b && b->real) memcpy(dst, src, bytes);
    return SG_OK;
}
enum sg_status sg__rt_stage(struct sg__rt *rt, size_t want, void **at, size_t *got, struct sg_err *err) {
    static char staging[1 << 16];
    (void)rt, (void)err;
    *at = staging;
    *got = want < sizeof staging ? want : sizeof staging;
    return SG_OK;
}
enum sg_status sg__rt_send(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *err) {
    (void)rt, (void)dst, (void)bytes, (void)err;
    return SG_OK;
}
/* What comes from the device: draws and rates. Every word is the id 7, as a float a tiny number. */
static enum sg_status sevens(void *dst, size_t bytes) {
    for (size_t i = 0; i + 4 <= bytes; i += 4) memcpy((char *)dst + i, &(int32_t){7}, 4);
    return SG_OK;
}
enum sg_status sg__rt_download(struct sg__rt *rt, void *dst, const void *src, size_t bytes,
                               struct sg_err *err) {
    (void)rt, (void)src, (void)err;
    return sevens(dst, bytes);
}
enum sg_status sg__rt_fetch(struct sg__rt *rt, int slot, void *dst, const void *src, size_t bytes,
                            struct sg_err *err) {
    (void)rt, (void)slot, (void)src, (void)err;
    return sevens(dst, bytes);
}
enum sg_status sg__rt_fetch_wait(struct sg__rt *rt, int slot, struct sg_err *err) {
    (void)rt, (void)slot, (void)err;
    return SG_OK;
}
enum sg_status sg__rt_copy(struct sg__rt *rt, void *dst, const void *src, size_t bytes, struct sg_err *err) {
    (void)dst, (void)src, (void)bytes, (void)err;
    rt->step.copies++;
    return SG_OK;
}
enum sg_status sg__rt_clear(struct sg__rt *rt, void *dst, size_t bytes, struct sg_err *err) {
    return sg__rt_copy(rt, dst, NULL, bytes, err);
}
enum sg_status sg__rt_sync(struct sg__rt *rt, struct sg_err *err) {
    (void)rt, (void)err;
    return SG_OK;
}
enum sg_status sg__rt_host_alloc(struct sg__rt *rt, size_t bytes, const char *what, void **out,
                                 struct sg_err *err) {
    (void)rt;
    *out = calloc(1, bytes);
    return *out ? SG_OK : sg_fail(err, SG_E_NOMEM, "count: no %zu bytes for %s", bytes, what);
}
void sg__rt_host_free(struct sg__rt *rt, void *p) {
    (void)rt;
    free(p);
}
enum sg_status sg__rt_mark(struct sg__rt *rt, int event, struct sg_err *err) {
    (void)rt, (void)event, (void)err;
    return SG_OK;
}
enum sg_status sg__rt_between(struct sg__rt *rt, int first, int second, double *ns, struct sg_err *err) {
    (void)rt, (void)first, (void)second, (void)err;
    *ns = 1;
    return SG_OK;
}
enum sg_status sg__rt_record_begin(struct sg__rt *rt, struct sg_err *err) {
    (void)rt;
    return sg_fail(err, SG_E_DEVICE, "count: --operators is missing");
}
enum sg_status sg__rt_record_end(struct sg__rt *rt, struct sg__rt_graph **out, struct sg_err *err) {
    (void)out;
    return sg__rt_record_begin(rt, err);
}
enum sg_status sg__rt_replay(struct sg__rt *rt, struct sg__rt_graph *g, struct sg_err *err) {
    (void)g;
    return sg__rt_record_begin(rt, err);
}
void sg__rt_graph_free(struct sg__rt_graph *g) {
    (void)g;
}

/* ---- products --------------------------------------------------------------------------------------- */

enum sg_status sg__rt_gemm_plan(struct sg__rt *rt, bool y_f32, int64_t n, int64_t k, struct sg_err *err) {
    (void)rt, (void)y_f32, (void)n, (void)k, (void)err;
    return SG_OK;
}
enum sg_status sg__rt_gemm(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w, int64_t m,
                           int64_t n, int64_t k, struct sg_err *err) {
    struct step *s = &rt->step;
    struct product *p = s->products;
    (void)y, (void)x, (void)w;
    while (p < s->products + s->n_products && !(p->m == m && p->n == n && p->k == k && p->f32 == y_f32)) p++;
    if (p == s->products + SHAPES)
        return sg_fail(err, SG_E_INTERNAL, "count: more than %d shapes a step", SHAPES);
    if (p == s->products + s->n_products) *p = (struct product){m, n, k, 0, y_f32}, s->n_products++;
    p->calls++;
    return SG_OK;
}
enum sg_status sg__rt_gemm_any(struct sg__rt *rt, void *y, bool y_f32, const void *x, const void *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err) {
    (void)rt, (void)y, (void)y_f32, (void)x, (void)w, (void)m, (void)n, (void)k, (void)err;
    return SG_OK;
}
enum sg_status sg__rt_gemm_f32(struct sg__rt *rt, float *y, int64_t y_stride, const float *x, const float *w,
                               int64_t m, int64_t n, int64_t k, struct sg_err *err) {
    (void)y_stride;
    return sg__rt_gemm(rt, y, true, x, w, m, n, k, err);
}

/* ---- kernels ---------------------------------------------------------------------------------------- */

int sg__launch_embed(float *out, const void *w, bool w_f32, const int32_t *ids, int32_t n, int32_t cols,
                     void *stream) {
    (void)out, (void)w, (void)w_f32, (void)ids, (void)cols;
    const int lane = ((struct sg__rt *)stream)->lane;
    if (lane == 0) write_step(stream); /* a step begins with its rows */
    count(stream, EMBED)->rows[lane] = n;
    return 0;
}
int sg__launch_feed_tokens(int32_t *ids, const int32_t *token, const int32_t *from, int32_t n, void *stream) {
    (void)ids, (void)token, (void)from, (void)n, (void)stream; /* in front of its step: one of 400 launches */
    return 0;
}
int sg__launch_gather_rows(void *out, const void *x, const int32_t *rows, int32_t n, int32_t cols,
                           void *stream) {
    (void)out, (void)x, (void)rows, (void)n, (void)cols;
    count(stream, GATHER);
    return 0;
}
int sg__launch_add_rmsnorm(void *out, float *resid, const void *delta, const float *weight, int32_t n,
                           int32_t cols, float eps, bool f32, void *stream) {
    (void)out, (void)resid, (void)delta, (void)weight, (void)n, (void)cols, (void)eps, (void)f32;
    count(stream, NORM);
    return 0;
}
int sg__launch_swiglu(void *out, const void *gate_up, int32_t n, int32_t cols, bool f32, void *stream) {
    (void)out, (void)gate_up, (void)n, (void)cols, (void)f32;
    count(stream, SWIGLU);
    return 0;
}
int sg__launch_l2norm(float *out, const void *x, int32_t n, int32_t cols, bool f32, void *stream) {
    (void)out, (void)x, (void)n, (void)cols, (void)f32;
    count(stream, OTHER);
    return 0;
}
int sg__launch_dequant(void *out, const void *codes, const float *scale, int64_t rows, int32_t cols, bool f32,
                       void *stream) {
    (void)out, (void)codes, (void)scale, (void)rows, (void)cols, (void)f32;
    count(stream, OTHER);
    return 0;
}
int sg__launch_widen(float *out, const void *x, int64_t n, void *stream) {
    (void)out, (void)x, (void)n;
    count(stream, OTHER);
    return 0;
}
int sg__launch_random(void *out, float *scale, int64_t rows, int32_t cols, uint64_t key, void *stream) {
    (void)out, (void)scale, (void)rows, (void)cols, (void)key, (void)stream;
    return 0;
}
int sg__launch_logprob(float *out, const float *logits, const int32_t *target, int32_t n, int32_t vocab,
                       void *stream) {
    (void)out, (void)logits, (void)target, (void)n, (void)vocab;
    count(stream, LOGPROB);
    return 0;
}
int sg__launch_differ(uint32_t *n, const void *y, const void *ref, int64_t rows, int64_t halves,
                      int64_t stride, int32_t n_ref, void *stream) {
    (void)n, (void)y, (void)ref, (void)rows, (void)halves, (void)stride, (void)n_ref, (void)stream;
    return 0;
}
int sg__launch_read(float *out, const float *x, int64_t n, int32_t blocks, void *stream) {
    (void)out, (void)x, (void)n, (void)blocks, (void)stream;
    return 0;
}
int sg__launch_qkv_rope(const struct sg__qkv_launch *a, void *stream) {
    (void)a;
    count(stream, QKV);
    return 0;
}

static int64_t pages_for(int64_t tokens) {
    return (tokens + SG_PAGE_TOKENS - 1) / SG_PAGE_TOKENS;
}

/* A block: 128 (row, head) pairs of a KV head, keys in steps of 64 up to its last row's own. */
int sg__launch_attn_prefill(const struct sg__prefill_launch *a, void *stream) {
    struct step *s = count(stream, PREFILL);
    int32_t all = 0, *const most = &s->prompt_rows[((struct sg__rt *)stream)->lane];
    for (int32_t i = 0; i < a->n_segs; i++) {
        const int64_t rows = a->row_begin[i + 1] - a->row_begin[i], pos = a->pos0[i];
        all += (int32_t)rows;
        s->prefill_pairs += a->q_heads * (rows * pos + rows * (rows + 1) / 2);
        const int64_t gqa = a->q_heads / a->kv.kv_heads, pairs = rows * gqa;
        for (int64_t first = 0; first < pairs; first += SG__PREFILL_ROWS) {
            const int64_t end = first + SG__PREFILL_ROWS < pairs ? first + SG__PREFILL_ROWS : pairs;
            const int64_t keys = pos + (end - 1) / gqa + 1;
            const int64_t steps = (keys + SG__PREFILL_KEYS - 1) / SG__PREFILL_KEYS;
            s->prefill_tile_pairs += a->kv.kv_heads * steps * SG__PREFILL_KEYS * SG__PREFILL_ROWS;
            s->prefill_pages += a->kv.kv_heads * pages_for(keys);
        }
    }
    if (all > *most) *most = all; /* the last layer has output rows alone */
    return 0;
}

/* Prompts: a block is a tile of 32 (sample, head) rows of one group and key-value head, or of 16 where that is
 * enough, and a split. Suffixes: one row. */
int sg__launch_attn_decode(const struct sg__decode_launch *a, void *stream) {
    struct step *s = count(stream, PROMPT);
    const int64_t gqa = a->q_heads / a->kv.kv_heads, kv = a->kv.kv_heads;
    const int64_t height =
        a->max_group_rows * gqa <= SG__DECODE_TILE / 2 ? SG__DECODE_TILE / 2 : SG__DECODE_TILE;
    count(stream, SUFFIX), count(stream, MERGE);
    const int lane = ((struct sg__rt *)stream)->lane;
    s->decode_rows[lane] = 0, s->groups[lane] = a->n_groups;
    for (int32_t g = 0; g < a->n_groups; g++) {
        const int64_t rows = a->row_begin[g + 1] - a->row_begin[g], pages = pages_for(a->prompt_len[g]);
        const int64_t tiles = (rows * gqa + height - 1) / height;
        s->decode_rows[lane] += (int32_t)rows;
        s->prompt_pages += kv * tiles * pages;
        s->prompt_tile_pages += kv * tiles * (height / 16) * pages;
        s->prompt_row_pages += kv * rows * pages;
        for (int32_t r = a->row_begin[g]; r < a->row_begin[g + 1]; r++) {
            s->suffix_pages += kv * pages_for(a->suffix_len[r]);
            s->partials += a->q_heads * (sg__splits(a->prompt_len[g]) + sg__splits(a->suffix_len[r]));
        }
    }
    return 0;
}
int sg__launch_sample(const struct sg__sample_launch *a, void *stream) {
    struct step *s = count(stream, SAMPLE);
    s->drawn += a->n, s->vocab = a->vocab;
    return 0;
}

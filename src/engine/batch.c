#include "engine/batch.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, ARRAYS = 27, SMALL_HOLE = 4096 };

/* ---- memory ----------------------------------------------------------------------------------------- */

/* Bytes of the largest step: every array that build lays out, at its bound and aligned. */
size_t sg_batcher_device_bytes(const struct sg_batch_limits *l) {
    const size_t rows = (size_t)l->max_rows, decode = (size_t)l->max_decode_rows,
                 groups = (size_t)l->max_groups, draws = (size_t)l->max_draws, pages = (size_t)l->pages;
    const size_t words = 4 * rows + draws              /* ids, sources, positions, slots, output rows */
                         + 2 * (3 * groups + 2)        /* segments and output segments */
                         + 4 * pages + 2 * SG_PAD_ROWS /* prompts of each kind, suffixes */
                         + 3 * groups + 2 + 2 * decode + 1 + 3 * draws;
    return words * sizeof(int32_t) + (size_t)ARRAYS * ALIGN;
}

static size_t slices(const struct sg_batch_limits *l) {
    return (size_t)(l->max_draws + l->logit_rows - 1) / (size_t)l->logit_rows + 1;
}

size_t sg_batcher_host_bytes(const struct sg_batch_limits *l) {
    return sg_batcher_device_bytes(l) + slices(l) * sizeof(int32_t);
}

enum sg_status sg_batcher_init(struct sg_batcher *b, struct sg_dev *dev, const struct sg_batch_limits *lim,
                               struct sg_err *err) {
    enum sg_status st;
    memset(b, 0, sizeof *b);
    b->lim = *lim;
    b->dev = dev;
    b->bytes = sg_batcher_device_bytes(lim);
    SG_TRY(sg_new((void **)&b->host, 1, b->bytes, "step arrays", err));
    SG_TRY(SG_NEW(&b->slice_begin, slices(lim), "draw slices", err));
    SG_TRY(sg_dev_alloc(dev, b->bytes, "step arrays", (void **)&b->device, err));
out:
    if (st != SG_OK) sg_batcher_free(b);
    return st;
}

void sg_batcher_free(struct sg_batcher *b) {
    free(b->host);
    free(b->slice_begin);
    if (b->device) sg_dev_free(b->dev, b->device);
    memset(b, 0, sizeof *b);
}

/* Takes the next n elements of the block, on host and device. */
static void *take(struct sg_batcher *b, size_t n, size_t size, const void **device) {
    const size_t at = b->used;
    b->used = (at + n * size + ALIGN - 1) / ALIGN * ALIGN;
    SG_ASSERT(b->used <= b->bytes);
    *device = b->device + at;
    return b->host + at;
}
#define TAKE(b, n, device) take(b, (size_t)(n), sizeof **(device), (const void **)(device))

/* ---- the arrays -------------------------------------------------------------------------------------- */

static bool ends_prompt(const struct sg_chunk *c) {
    return c->pos0 + c->n == c->group->n_prompt;
}

static int32_t slot_of(const int32_t *pages, int32_t position) {
    return sg_slot(pages[position / SG_PAGE_TOKENS], position % SG_PAGE_TOKENS);
}

/* Padded rows read the first padding slot, which the first padded row writes in this step. */
static void put_rows(struct sg_batcher *b, const struct sg_step *step, int32_t n) {
    struct sg_batch *out = &b->batch;
    int32_t *ids = TAKE(b, n, &out->ids), *from = TAKE(b, n, &b->from);
    int32_t *positions = TAKE(b, n, &out->positions), *slot = TAKE(b, n, &out->slot), row = 0;
    b->fed = (int32_t *)(void *)(b->device + ((char *)ids - b->host));
    memset(from, -1, (size_t)n * sizeof *from);
    for (int32_t k = 0; k < step->n_chunks; k++) {
        const struct sg_chunk *c = &step->chunks[k];
        memcpy(ids + row, c->group->prompt + c->pos0, (size_t)c->n * sizeof *ids);
        for (int32_t p = c->pos0; p < c->pos0 + c->n; p++, row++) {
            positions[row] = p;
            slot[row] = slot_of(c->group->prompt_pages, p);
        }
    }
    for (int32_t k = 0; k < step->n_decode; k++, row++) {
        const struct sg_group *group = step->decode[k].group;
        const struct sg_group_sample *a = &group->samples[step->decode[k].sample];
        const bool known = a->n_tokens == a->n_drawn;
        ids[row] = known ? a->tokens[a->n_tokens - 1] : 0;
        if (!known) from[row] = a->draw_at;
        b->feeds |= !known;
        positions[row] = group->n_prompt + a->n_drawn - 1;
        slot[row] = slot_of(a->pages, a->n_drawn - 1);
    }
    for (int32_t k = 0; row < n; k++, row++) {
        ids[row] = positions[row] = 0;
        slot[row] = sg_slot(b->lim.pages, k);
    }
    out->n = n;
}

/* The chunks as segments. `last`: only the chunks that end their prompts, and only their last rows. */
static void put_segs(struct sg_batcher *b, const struct sg_step *step, bool last, struct sg_segs *out) {
    int32_t n = 0, n_pages = 0, rows = 0, pages_at = 0;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        const struct sg_chunk *c = &step->chunks[k];
        if (last && !ends_prompt(c)) continue;
        n++;
        n_pages += sg_pages_for(c->pos0 + c->n);
    }
    int32_t *row_begin = TAKE(b, n + 1, &out->row_begin), *pos0 = TAKE(b, n, &out->pos0);
    int32_t *page_begin = TAKE(b, n + 1, &out->page_begin), *pages = TAKE(b, n_pages, &out->pages);
    n = 0;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        const struct sg_chunk *c = &step->chunks[k];
        if (last && !ends_prompt(c)) continue;
        const int32_t need = sg_pages_for(c->pos0 + c->n);
        row_begin[n] = rows;
        pos0[n] = last ? c->group->n_prompt - 1 : c->pos0;
        page_begin[n] = pages_at;
        memcpy(pages + pages_at, c->group->prompt_pages, (size_t)need * sizeof *pages);
        rows += last ? 1 : c->n;
        pages_at += need;
        n++;
    }
    row_begin[n] = rows;
    page_begin[n] = pages_at;
    out->n = n;
    out->host_row_begin = row_begin;
    out->host_pos0 = pos0;
    out->host_page_begin = page_begin;
}

/* Groups and their rows; put_pages adds their pages. The step's groups come first, then groups of padded rows
 * with at most bucket->group_rows each, then groups without rows. */
static void put_groups(struct sg_batcher *b, const struct sg_step *step, const struct sg_bucket *bucket) {
    struct sg_groups *out = &b->batch.groups;
    const struct sg_row *rows = step->decode;
    const int32_t n = step->n_decode, n_rows = bucket ? bucket->rows : n,
                  n_groups = bucket ? bucket->groups : step->n_groups;
    int32_t *row_begin = TAKE(b, n_groups + 1, &out->row_begin), g = 0;
    int32_t *prompt_len = TAKE(b, n_groups, &out->prompt_len);
    int32_t *suffix_len = TAKE(b, n_rows, &out->suffix_len);
    for (int32_t k = 0; k < n; k++) {
        const struct sg_group *group = rows[k].group;
        if (k == 0 || rows[k - 1].group != group) {
            row_begin[g] = k;
            prompt_len[g++] = group->n_prompt;
        }
        suffix_len[k] = group->samples[rows[k].sample].n_drawn;
    }
    SG_ASSERT(g == step->n_groups);
    for (int32_t k = n; k < n_rows; k += bucket->group_rows) {
        row_begin[g] = k;
        prompt_len[g++] = 1;
    }
    for (int32_t k = n; k < n_rows; k++) suffix_len[k] = 1;
    for (row_begin[g] = n_rows; g < n_groups; row_begin[g] = n_rows) prompt_len[g++] = 0;
    out->n_groups = n_groups;
    out->n_rows = n_rows;
    out->host_row_begin = row_begin;
    out->host_prompt_len = prompt_len;
    out->host_suffix_len = suffix_len;
    if (!bucket) return;
    out->bound_group_rows = bucket->group_rows;
    out->bound_prompt_len = bucket->prompt_len;
    out->bound_suffix_len = bucket->suffix_len;
}

/* Copies the n pages of run i to pages + begin[i] and sets begin[i + 1] to their end. */
static void add_pages(int32_t *begin, int32_t i, int32_t *pages, const int32_t *from, int32_t n) {
    memcpy(pages + begin[i], from, (size_t)n * sizeof *pages);
    begin[i + 1] = begin[i] + n;
}

/* The pages of groups and rows, last in the block. Their number varies among the steps of a bucket, so a
 * padded step reserves the most prompt pages: the suffix pages then start at a fixed address. */
static void put_pages(struct sg_batcher *b, const struct sg_step *step, const struct sg_bucket *bucket) {
    struct sg_groups *out = &b->batch.groups;
    const struct sg_row *rows = step->decode;
    const int32_t *const row_begin = out->host_row_begin, pad = b->lim.pages;
    const int32_t n = step->n_decode;
    int32_t prompt_n = 0, suffix_n = out->n_rows - n;
    for (int32_t g = 0; g < step->n_groups; g++) prompt_n += sg_pages_for(out->host_prompt_len[g]);
    for (int32_t k = 0; k < n; k++) suffix_n += sg_pages_for(out->host_suffix_len[k]);
    int32_t *prompt_begin = TAKE(b, out->n_groups + 1, &out->prompt_page_begin);
    int32_t *suffix_begin = TAKE(b, out->n_rows + 1, &out->suffix_page_begin);
    const size_t at = b->used;
    int32_t *prompt_pages = TAKE(b, bucket ? b->lim.pages + SG_PAD_ROWS : prompt_n, &out->prompt_pages);
    b->after_hole = b->used;
    int32_t *suffix_pages = TAKE(b, suffix_n, &out->suffix_pages);
    prompt_begin[0] = suffix_begin[0] = 0;
    for (int32_t g = 0; g < out->n_groups; g++) {
        const bool own = g < step->n_groups, empty = row_begin[g] == row_begin[g + 1];
        add_pages(prompt_begin, g, prompt_pages, own ? rows[row_begin[g]].group->prompt_pages : &pad,
                  empty ? 0 : sg_pages_for(out->host_prompt_len[g]));
    }
    for (int32_t k = 0; k < out->n_rows; k++)
        add_pages(suffix_begin, k, suffix_pages, k < n ? rows[k].group->samples[rows[k].sample].pages : &pad,
                  sg_pages_for(out->host_suffix_len[k]));
    b->hole = at + (size_t)prompt_begin[out->n_groups] * sizeof *prompt_pages;
    out->host_prompt_page_begin = prompt_begin;
    out->host_suffix_page_begin = suffix_begin;
}

/* The output rows: the last row of every prompt that ends here, then the decode rows. */
static void put_out_rows(struct sg_batcher *b, const struct sg_step *step) {
    struct sg_batch *out = &b->batch;
    const int32_t n = out->out_segs.n + out->groups.n_rows;
    int32_t *rows = TAKE(b, n, &out->out_rows), row = 0, at = 0;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        row += step->chunks[k].n;
        if (ends_prompt(&step->chunks[k])) rows[at++] = row - 1;
    }
    while (at < n) rows[at++] = row++;
    out->n_out = n;
}

/* The draws, by output row: every waiting sample from the prompt's last row, every live one from its own. */
static void list_draws(struct sg_batcher *b, const struct sg_step *step, struct sg_row *draws) {
    int32_t n = 0;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        struct sg_group *group = step->chunks[k].group;
        if (!ends_prompt(&step->chunks[k])) continue;
        for (int32_t i = 0; i < group->n_samples; i++)
            if (group->samples[i].state == SG_SAMPLE_WAITS) {
                SG_ASSERT(n < b->lim.max_draws);
                draws[n++] = (struct sg_row){.group = group, .sample = i};
            }
    }
    for (int32_t k = 0; k < step->n_decode; k++) {
        SG_ASSERT(n < b->lim.max_draws);
        draws[n++] = step->decode[k];
    }
    b->n_draws = n;
}

/* The arrays of the draws; every padded row has one draw. */
static void put_draws(struct sg_batcher *b, const struct sg_step *step, const struct sg_row *draws) {
    const int32_t n = b->n_draws + b->batch.groups.n_rows - step->n_decode;
    int32_t *row = TAKE(b, n, &b->draw_row);
    float *u = TAKE(b, n, &b->draw_u);
    int32_t *setting = TAKE(b, n, &b->draw_setting);
    int32_t out_row = -1, slice = 0;
    for (int32_t k = 0; k < n; k++) {
        const struct sg_row *d = k < b->n_draws ? &draws[k] : NULL;
        const struct sg_group_sample *a = d ? &d->group->samples[d->sample] : NULL;
        const bool same = a && a->state == SG_SAMPLE_WAITS && k > 0 && draws[k - 1].group == d->group;
        if (!same) out_row++;
        while (out_row >= slice * b->lim.logit_rows) b->slice_begin[slice++] = k;
        u[k] = a ? sg_stream_uniform(&a->stream, (uint32_t)a->n_drawn) : 0;
        setting[k] = a ? a->setting : 0;
        row[k] = out_row % b->lim.logit_rows;
    }
    SG_ASSERT(n == 0 || out_row + 1 == b->batch.n_out);
    b->slice_begin[slice] = n;
}

/* ---- a step ------------------------------------------------------------------------------------------ */

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t power_of_two(int32_t n, int32_t unit) {
    int64_t p = unit;
    while (p < n) p *= 2;
    return (int32_t)(p < INT32_MAX ? p : INT32_MAX);
}

static int32_t bucket_rows(int32_t n) {
    static const int32_t few[] = {1, 2, 4, 8, 16, 24, 32, 48};
    for (size_t i = 0; i < sizeof few / sizeof *few; i++)
        if (n <= few[i]) return few[i];
    return (n + SG_PAD_ROWS - 1) / SG_PAD_ROWS * SG_PAD_ROWS;
}

bool sg_bucket_of(const struct sg_step *step, const struct sg_batch_limits *lim, struct sg_bucket *out) {
    int32_t in_group = 0, most = 0, prompt = 1, suffix = 1;
    if (step->n_chunks || !step->n_decode) return false;
    for (int32_t k = 0; k < step->n_decode; k++) {
        const struct sg_row *r = &step->decode[k];
        in_group = k > 0 && step->decode[k - 1].group == r->group ? in_group + 1 : 1;
        if (in_group > most) most = in_group;
        if (r->group->n_prompt > prompt) prompt = r->group->n_prompt;
        if (r->group->samples[r->sample].n_drawn > suffix) suffix = r->group->samples[r->sample].n_drawn;
    }
    out->rows = least(bucket_rows(step->n_decode), lim->max_decode_rows);
    out->group_rows = power_of_two(most, 1);
    const int32_t padded = out->rows - step->n_decode;
    const int32_t groups = step->n_groups + (padded + out->group_rows - 1) / out->group_rows;
    out->groups = least(power_of_two(groups, 1), out->rows); /* a group has at least one row */
    out->prompt_len = least(power_of_two(prompt, SG_SPLIT_TOKENS), lim->max_context);
    out->suffix_len = least(power_of_two(suffix, SG_SPLIT_TOKENS), lim->max_context);
    return true;
}

enum sg_status sg_batcher_build(struct sg_batcher *b, const struct sg_step *step,
                                const struct sg_bucket *bucket, struct sg_row *draws, struct sg_err *err) {
    b->used = 0;
    b->feeds = false;
    memset(&b->batch, 0, sizeof b->batch);
    b->n_draws = 0;
    put_rows(b, step, bucket ? bucket->rows : step->n_rows);
    put_segs(b, step, false, &b->batch.segs);
    put_groups(b, step, bucket);
    if (draws) {
        put_segs(b, step, true, &b->batch.out_segs);
        put_out_rows(b, step);
        list_draws(b, step, draws);
        put_draws(b, step, draws);
    } else {
        b->batch.n_out = b->batch.n;
    }
    put_pages(b, step, bucket);
    if (b->after_hole - b->hole < SMALL_HOLE) return sg_dev_upload(b->dev, b->device, b->host, b->used, err);
    const size_t rest = b->after_hole;
    const enum sg_status st = sg_dev_upload(b->dev, b->device, b->host, b->hole, err);
    if (st != SG_OK) return st;
    return sg_dev_upload(b->dev, b->device + rest, b->host + rest, b->used - rest, err);
}

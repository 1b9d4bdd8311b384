#include "engine/batch.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, ARRAYS = 24 };

/* ---- memory ----------------------------------------------------------------------------------------- */

/* The largest step: every array of build at its bound, each on a boundary of its own. */
size_t sg_batcher_device_bytes(const struct sg_batch_limits *l) {
    const size_t rows = (size_t)l->max_rows, decode = (size_t)l->max_decode_rows,
                 groups = (size_t)l->max_groups, draws = (size_t)l->max_draws, pages = (size_t)l->pages;
    const size_t words = 3 * rows + draws       /* ids, positions, slots, output rows */
                         + 2 * (3 * groups + 2) /* segments and output segments */
                         + 4 * pages            /* prompts of each kind, suffixes */
                         + 3 * groups + 2 + 2 * decode + 1 + 3 * draws;
    return words * sizeof(int32_t) + draws * sizeof(uint64_t) + (size_t)ARRAYS * ALIGN;
}

static size_t slices(const struct sg_batch_limits *l) {
    return (size_t)(l->max_draws + l->logit_rows - 1) / (size_t)l->logit_rows + 1;
}

size_t sg_batcher_host_bytes(const struct sg_batch_limits *l) {
    return sg_batcher_device_bytes(l) + (size_t)l->max_draws * sizeof(struct sg_draw) +
           slices(l) * sizeof(int32_t);
}

enum sg_status sg_batcher_init(struct sg_batcher *b, struct sg_dev *dev, const struct sg_batch_limits *lim,
                               struct sg_err *err) {
    enum sg_status st;
    memset(b, 0, sizeof *b);
    b->lim = *lim;
    b->dev = dev;
    b->bytes = sg_batcher_device_bytes(lim);
    SG_TRY(sg_new((void **)&b->host, 1, b->bytes, "step arrays", err));
    SG_TRY(SG_NEW(&b->draws, lim->max_draws, "draws", err));
    SG_TRY(SG_NEW(&b->slice_begin, slices(lim), "draw slices", err));
    SG_TRY(sg_dev_alloc(dev, b->bytes, "step arrays", (void **)&b->device, err));
out:
    if (st != SG_OK) sg_batcher_free(b);
    return st;
}

void sg_batcher_free(struct sg_batcher *b) {
    free(b->host);
    free(b->draws);
    free(b->slice_begin);
    if (b->device) sg_dev_free(b->dev, b->device);
    memset(b, 0, sizeof *b);
}

/* The next n elements of the block, on both sides. */
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
    return c->pos0 + c->n == c->seq->n_prompt;
}

static int32_t slot_of(const int32_t *pages, int32_t position) {
    return sg_slot(pages[position / SG_PAGE_TOKENS], position % SG_PAGE_TOKENS);
}

static void put_rows(struct sg_batcher *b, const struct sg_step *step) {
    struct sg_batch *out = &b->batch;
    int32_t *ids = TAKE(b, step->n_rows, &out->ids), *positions = TAKE(b, step->n_rows, &out->positions);
    int32_t *slot = TAKE(b, step->n_rows, &out->slot), row = 0;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        const struct sg_chunk *c = &step->chunks[k];
        memcpy(ids + row, c->seq->prompt + c->pos0, (size_t)c->n * sizeof *ids);
        for (int32_t p = c->pos0; p < c->pos0 + c->n; p++, row++) {
            positions[row] = p;
            slot[row] = slot_of(c->seq->prompt_pages, p);
        }
    }
    for (int32_t k = 0; k < step->n_decode; k++, row++) {
        const struct sg_seq *seq = step->decode[k].seq;
        const struct sg_seq_sample *a = &seq->samples[step->decode[k].sample];
        ids[row] = a->tokens[a->n_tokens - 1];
        positions[row] = seq->n_prompt + a->n_tokens - 1;
        slot[row] = slot_of(a->pages, a->n_tokens - 1);
    }
    out->n = row;
}

/* The chunks as segments; `last` keeps of each chunk that ends its prompt the last row alone. */
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
        pos0[n] = last ? c->seq->n_prompt - 1 : c->pos0;
        page_begin[n] = pages_at;
        memcpy(pages + pages_at, c->seq->prompt_pages, (size_t)need * sizeof *pages);
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

static void put_groups(struct sg_batcher *b, const struct sg_step *step, struct sg_groups *out) {
    const struct sg_row *rows = step->decode;
    const int32_t n = step->n_decode;
    int32_t prompt_pages_n = 0, suffix_pages_n = 0, g = 0;
    for (int32_t k = 0; k < n; k++) {
        const struct sg_seq *seq = rows[k].seq;
        if (k == 0 || rows[k - 1].seq != seq) prompt_pages_n += sg_pages_for(seq->n_prompt);
        suffix_pages_n += sg_pages_for(seq->samples[rows[k].sample].n_tokens);
    }
    int32_t *row_begin = TAKE(b, step->n_groups + 1, &out->row_begin);
    int32_t *prompt_len = TAKE(b, step->n_groups, &out->prompt_len);
    int32_t *prompt_begin = TAKE(b, step->n_groups + 1, &out->prompt_page_begin);
    int32_t *prompt_pages = TAKE(b, prompt_pages_n, &out->prompt_pages);
    int32_t *suffix_len = TAKE(b, n, &out->suffix_len);
    int32_t *suffix_begin = TAKE(b, n + 1, &out->suffix_page_begin);
    int32_t *suffix_pages = TAKE(b, suffix_pages_n, &out->suffix_pages);
    prompt_begin[0] = suffix_begin[0] = 0;
    for (int32_t k = 0; k < n; k++) {
        const struct sg_seq *seq = rows[k].seq;
        if (k == 0 || rows[k - 1].seq != seq) {
            const int32_t need = sg_pages_for(seq->n_prompt);
            row_begin[g] = k;
            prompt_len[g] = seq->n_prompt;
            memcpy(prompt_pages + prompt_begin[g], seq->prompt_pages, (size_t)need * sizeof *prompt_pages);
            prompt_begin[g + 1] = prompt_begin[g] + need;
            g++;
        }
        const struct sg_seq_sample *a = &seq->samples[rows[k].sample];
        const int32_t need = sg_pages_for(a->n_tokens);
        suffix_len[k] = a->n_tokens;
        memcpy(suffix_pages + suffix_begin[k], a->pages, (size_t)need * sizeof *suffix_pages);
        suffix_begin[k + 1] = suffix_begin[k] + need;
    }
    row_begin[g] = n;
    SG_ASSERT(g == step->n_groups);
    out->n_groups = g;
    out->n_rows = n;
    out->host_row_begin = row_begin;
    out->host_prompt_len = prompt_len;
    out->host_prompt_page_begin = prompt_begin;
    out->host_suffix_len = suffix_len;
    out->host_suffix_page_begin = suffix_begin;
}

/* Which rows come out: the last of every prompt that ends here, then the decode rows. */
static void put_out_rows(struct sg_batcher *b, const struct sg_step *step) {
    struct sg_batch *out = &b->batch;
    int32_t n = out->out_segs.n, row = 0, at = 0;
    int32_t *rows = TAKE(b, n + step->n_decode, &out->out_rows);
    for (int32_t k = 0; k < step->n_chunks; k++) {
        row += step->chunks[k].n;
        if (ends_prompt(&step->chunks[k])) rows[at++] = row - 1;
    }
    for (int32_t k = 0; k < step->n_decode; k++) rows[at++] = row++;
    out->n_out = at;
}

/* The draws, by output row: every waiting sample from the prompt's last row, every live one from its own. */
static void list_draws(struct sg_batcher *b, const struct sg_step *step) {
    b->n_draws = 0;
    for (int32_t k = 0; k < step->n_chunks; k++) {
        struct sg_seq *seq = step->chunks[k].seq;
        if (!ends_prompt(&step->chunks[k])) continue;
        for (int32_t i = 0; i < seq->n_samples; i++)
            if (seq->samples[i].state == SG_SAMPLE_WAITS) {
                SG_ASSERT(b->n_draws < b->lim.max_draws);
                b->draws[b->n_draws++] = (struct sg_draw){.seq = seq, .sample = i};
            }
    }
    for (int32_t k = 0; k < step->n_decode; k++) {
        SG_ASSERT(b->n_draws < b->lim.max_draws);
        b->draws[b->n_draws++] =
            (struct sg_draw){.seq = step->decode[k].seq, .sample = step->decode[k].sample};
    }
}

static void put_draws(struct sg_batcher *b) {
    const int32_t n = b->n_draws;
    uint64_t *key = TAKE(b, n, &b->draw_key);
    int32_t *row = TAKE(b, n, &b->draw_row);
    uint32_t *pos = TAKE(b, n, &b->draw_pos);
    int32_t *setting = TAKE(b, n, &b->draw_setting);
    int32_t out_row = -1, slice = 0;
    for (int32_t k = 0; k < n; k++) {
        const struct sg_draw *d = &b->draws[k];
        const struct sg_seq_sample *a = &d->seq->samples[d->sample];
        const bool same = a->state == SG_SAMPLE_WAITS && k > 0 && b->draws[k - 1].seq == d->seq;
        if (!same) out_row++;
        while (out_row >= slice * b->lim.logit_rows) b->slice_begin[slice++] = k;
        key[k] = a->key;
        pos[k] = (uint32_t)a->n_tokens;
        setting[k] = a->setting;
        row[k] = out_row % b->lim.logit_rows;
    }
    SG_ASSERT(n == 0 || out_row + 1 == b->batch.n_out);
    b->slice_begin[slice] = n;
}

enum sg_status sg_batcher_build(struct sg_batcher *b, const struct sg_step *step, bool all_out,
                                struct sg_err *err) {
    b->used = 0;
    memset(&b->batch, 0, sizeof b->batch);
    b->n_draws = 0;
    put_rows(b, step);
    put_segs(b, step, false, &b->batch.segs);
    put_groups(b, step, &b->batch.groups);
    if (all_out) {
        b->batch.n_out = b->batch.n;
    } else {
        put_segs(b, step, true, &b->batch.out_segs);
        put_out_rows(b, step);
        list_draws(b, step);
        put_draws(b);
    }
    return sg_dev_upload(b->dev, b->device, b->host, b->used, err);
}

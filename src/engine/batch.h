/* batch - a step as flat arrays: what schedule.c decided, laid out in one host block, sent to the device in
 * one copy, and described to the model by pointers into both. */
#ifndef SG_ENGINE_BATCH_H
#define SG_ENGINE_BATCH_H

#include "engine/schedule.h"
#include "model/qwen3.h"

/* Steps are padded to buckets so that one graph serves many of them: at most SG_PAD_ROWS rows that belong to
 * nobody, whose keys and values go to SG_PAD_PAGES pages of their own. */
enum { SG_PAD_ROWS = 64, SG_PAD_PAGES = SG_PAD_ROWS / SG_PAGE_TOKENS };

struct sg_batch_limits {
    int32_t max_rows, max_decode_rows, max_groups, max_draws, max_context;
    int32_t pages;      /* of the pool: no step names more prompt or suffix pages than these. Page number
                         * `pages` and those behind it are for padding */
    int32_t logit_rows; /* rows of one slice through the LM head */
};

/* What the arrays and launches of a step of decode rows alone depend on, each rounded up: every step that has
 * the same bucket has its arrays in the same places, and differs in their contents only. */
struct sg_bucket {
    int32_t rows, groups;
    int32_t group_rows, prompt_len, suffix_len; /* bounds of every group and row */
};
/* False for a step with chunks of prompts. rows: 1, 2, 4, 8, 16, 24, 32, 48, 64, then multiples of 64; the
 * others powers of two (lengths: of SG_SPLIT_TOKENS); none above its limit. */
bool sg_bucket_of(const struct sg_step *step, const struct sg_batch_limits *lim, struct sg_bucket *out);

struct sg_batcher {
    struct sg_batch_limits lim;
    struct sg_dev *dev; /* borrowed */
    char *host;         /* [bytes], owned */
    char *device;       /* [bytes], owned, device memory */
    size_t bytes, used;
    size_t hole, after_hole; /* host[hole .. after_hole) is not in use */
    /* of the last build: */
    struct sg_batch batch;
    int32_t *fed;        /* batch.ids, for sg_op_feed_tokens */
    const int32_t *from; /* device [n]: the draw of the step before whose token the row is fed; -1: its id */
    bool feeds;          /* some from is not -1 */
    int32_t n_draws;     /* of samples; behind them those of padded rows, which nobody looks at */
    const int32_t *draw_row;  /* device [draws]: output row of each, counted within its slice of logit_rows */
    const uint64_t *draw_key; /* device [draws]: the sample's stream */
    const uint32_t *draw_pos; /* device [draws]: position among the new tokens */
    const int32_t *draw_setting; /* device [draws]: which of the engine's settings */
    int32_t *slice_begin;        /* [slices + 1] first draw of each slice; owned */
};
size_t sg_batcher_device_bytes(const struct sg_batch_limits *lim);
size_t sg_batcher_host_bytes(const struct sg_batch_limits *lim);
enum sg_status sg_batcher_init(struct sg_batcher *b, struct sg_dev *dev, const struct sg_batch_limits *lim,
                               struct sg_err *err);
void sg_batcher_free(struct sg_batcher *b); /* zeroed accepted */

/* Lays out and sends a step. draws NULL: every row comes out and nothing is drawn (score); otherwise the last
 * row of each prompt that ends here and every decode row, and draws [max_draws] tells for whom, by output
 * row. bucket NULL: not padded. */
enum sg_status sg_batcher_build(struct sg_batcher *b, const struct sg_step *step,
                                const struct sg_bucket *bucket, struct sg_row *draws, struct sg_err *err);

#endif

/* batch - lays out the step that schedule.c chose as flat arrays in one host block, copies the block to the
 * device, and describes it to the model by pointers into both. */
#ifndef SG_ENGINE_BATCH_H
#define SG_ENGINE_BATCH_H

#include "engine/schedule.h"
#include "model/qwen3.h"

/* The batcher pads steps to buckets so that one graph serves many of them. It adds fewer than SG_PAD_ROWS
 * rows that belong to no group; their keys and values go to SG_PAD_PAGES pages of their own. */
enum { SG_PAD_ROWS = 64, SG_PAD_PAGES = SG_PAD_ROWS / SG_PAGE_TOKENS };

struct sg_batch_limits {
    int32_t max_rows, max_decode_rows, max_groups, max_draws, max_context;
    int32_t pages;      /* of the pool; bounds the prompt pages and the suffix pages of a step. Page number
                         * `pages` and the following ones are for padding */
    int32_t logit_rows; /* rows of one slice through the LM head */
};

/* The sizes, rounded up, that arrays and launches of a step without prompt chunks depend on. Steps of one
 * bucket have their arrays at the same addresses and differ in the contents alone. */
struct sg_bucket {
    int32_t rows, groups;
    int32_t group_rows, prompt_len, suffix_len; /* upper bounds for every group and row */
};
/* False for a step with prompt chunks or without decode rows. rows: 1, 2, 4, 8, 16, 24, 32, 48, 64, then
 * multiples of 64; the others: powers of two (lengths: times SG_SPLIT_TOKENS); none above its limit. */
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
    const int32_t *from; /* device [n]: the previous step's draw whose token the row takes; -1: its own id */
    bool feeds;          /* some from is not -1 */
    int32_t n_draws;     /* of samples; the draws of padded rows follow and are not read */
    const int32_t *draw_row; /* device [draws]: output row of each, counted within its slice of logit_rows */
    const float *draw_u;     /* device [draws]: the sample's uniform at its next position */
    const int32_t *draw_setting; /* device [draws]: index into the engine's settings */
    int32_t *slice_begin;        /* [slices + 1] first draw of each slice; owned */
};
size_t sg_batcher_device_bytes(const struct sg_batch_limits *lim);
size_t sg_batcher_host_bytes(const struct sg_batch_limits *lim);
enum sg_status sg_batcher_init(struct sg_batcher *b, struct sg_dev *dev, const struct sg_batch_limits *lim,
                               struct sg_err *err);
void sg_batcher_free(struct sg_batcher *b); /* zeroed accepted */

/* Lays out a step and uploads it. draws NULL: all rows are output rows and nothing is drawn (score).
 * Otherwise the output rows are the last row of each prompt that ends here and every decode row, and
 * draws [max_draws] receives the sample of each draw, by output row. bucket NULL: no padding. */
enum sg_status sg_batcher_build(struct sg_batcher *b, const struct sg_step *step,
                                const struct sg_bucket *bucket, struct sg_row *draws, struct sg_err *err);

#endif

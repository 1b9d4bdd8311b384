/* batch - a step as flat arrays: what schedule.c decided, laid out in one host block, sent to the device in
 * one copy, and described to the model by pointers into both. */
#ifndef SG_ENGINE_BATCH_H
#define SG_ENGINE_BATCH_H

#include "engine/schedule.h"
#include "model/qwen3.h"

/* A draw: which sample gets the token that comes out of a row. */
struct sg_draw {
    struct sg_seq *seq;
    int32_t sample;
};

struct sg_batch_limits {
    int32_t max_rows, max_decode_rows, max_groups, max_draws;
    int32_t pages;      /* of the pool: no step names more prompt or suffix pages than these */
    int32_t logit_rows; /* rows of one slice through the LM head */
};

struct sg_batcher {
    struct sg_batch_limits lim;
    struct sg_dev *dev; /* borrowed */
    char *host;         /* [bytes], owned */
    char *device;       /* [bytes], owned, device memory */
    size_t bytes, used;
    /* of the last build: */
    struct sg_batch batch;
    int32_t n_draws;
    struct sg_draw *draws; /* [max_draws], by output row; owned */
    const int32_t
        *draw_row; /* device [n_draws]: output row of each, counted within its slice of logit_rows */
    const uint64_t *draw_key; /* device [n_draws]: the sample's stream */
    const uint32_t *draw_pos; /* device [n_draws]: position among the new tokens */
    const int32_t *draw_setting; /* device [n_draws]: which of the engine's settings */
    int32_t *slice_begin;     /* [slices + 1] first draw of each slice; owned */
};
size_t sg_batcher_device_bytes(const struct sg_batch_limits *lim);
size_t sg_batcher_host_bytes(const struct sg_batch_limits *lim);
enum sg_status sg_batcher_init(struct sg_batcher *b, struct sg_dev *dev, const struct sg_batch_limits *lim,
                               struct sg_err *err);
void sg_batcher_free(struct sg_batcher *b); /* zeroed accepted */

/* Lays out and sends a step. With all_out every row comes out and nothing is drawn (score); otherwise the
 * last row of each prompt that ends here and every decode row. */
enum sg_status sg_batcher_build(struct sg_batcher *b, const struct sg_step *step, bool all_out,
                                struct sg_err *err);

#endif

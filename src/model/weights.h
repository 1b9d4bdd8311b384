/* weights - the tensors of a checkpoint, asked for by name, dtype and shape, each exactly once; what nobody
 * asked for is refused at the end, so that a checkpoint of another architecture cannot half load. */
#ifndef SG_MODEL_WEIGHTS_H
#define SG_MODEL_WEIGHTS_H

#include "kernels/kernels.h"
#include "model/safetensors.h"

struct sg_weights {
    struct sg_safetensors files;
    const char *dir;    /* borrowed */
    const char *prefix; /* "model." or "": what stands in front of every name but lm_head.weight */
    bool *taken;        /* [files.n] */
};
/* dir must outlive the struct. */
enum sg_status sg_weights_open(const char *dir, struct sg_weights *out, struct sg_err *err);
void sg_weights_close(struct sg_weights *w); /* zeroed accepted */

/* Tensor `name` (without prefix) as a part of a weight: rows x cols, or cols alone when rows is 0. Missing,
 * asked for twice, of another shape or dtype: refused with both sides. part->data borrows the mapping. */
enum sg_status sg_weights_take(struct sg_weights *w, const char *name, int64_t rows, int64_t cols,
                               struct sg_weight_part *part, struct sg_err *err);

/* Tells the system that the tensors whose names begin so (without prefix) are wanted soon: it reads them from the
 * disk while others are copied. Advice, no more. */
void sg_weights_read_ahead(const struct sg_weights *w, const char *begin);

/* All tensors have been taken, but for known harmless ones: stored rotary frequencies, and with a tied head a
 * lm_head.weight that is byte for byte the embedding `embed`. */
enum sg_status sg_weights_finish(struct sg_weights *w, const struct sg_weight_part *tied_embed, int64_t cols,
                                 struct sg_err *err);

#endif

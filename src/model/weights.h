/* weights - gives the loader each tensor of a checkpoint once, by name and shape. At the end it refuses
 * tensors that the loader did not take, so that no checkpoint of another architecture loads in part. */
#ifndef SG_MODEL_WEIGHTS_H
#define SG_MODEL_WEIGHTS_H

#include "kernels/kernels.h"
#include "model/safetensors.h"

struct sg_weights {
    struct sg_safetensors files;
    const char *dir;    /* borrowed */
    const char *prefix; /* "model." or "": begins every name except lm_head.weight */
    bool *taken;        /* [files.n] */
};
/* dir must outlive the struct. */
enum sg_status sg_weights_open(const char *dir, struct sg_weights *out, struct sg_err *err);
void sg_weights_close(struct sg_weights *w); /* zeroed accepted */

/* Takes tensor `name` (without prefix) as a part of a weight: rows x cols, or cols alone when rows is 0.
 * SG_E_INPUT when it is missing or has another shape, SG_E_UNSUPPORTED for another dtype than BF16, F16 or
 * F32, SG_E_INTERNAL when taken twice. part->data borrows the mapping. */
enum sg_status sg_weights_take(struct sg_weights *w, const char *name, int64_t rows, int64_t cols,
                               struct sg_weight_part *part, struct sg_err *err);

/* Advises the system to read the tensors whose names begin with `begin` (without prefix) from disk while the
 * loader copies others. */
void sg_weights_read_ahead(const struct sg_weights *w, const char *begin);

/* SG_E_UNSUPPORTED when a tensor was not taken, except stored rotary frequencies and lm_head.weight. With
 * tied_embed [rows][cols], a lm_head.weight must equal it byte for byte, else SG_E_INPUT. */
enum sg_status sg_weights_finish(struct sg_weights *w, const struct sg_weight_part *tied_embed, int64_t cols,
                                 struct sg_err *err);

#endif

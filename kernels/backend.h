/* backend - the table of functions that a backend implements, and the part of its objects that ops.c and
 * device.c read. Private to kernels/.
 *
 * A backend embeds struct sg_dev, sg_weight and sg_kv as the first member of its own structs. ops.c and
 * device.c check the arguments of its functions: required pointers are not NULL, n > 0, shapes agree with
 * each other and with the limits of the last reserve, weights and pools belong to the device. They do not
 * check values in device memory (ids, slots, page numbers in range): the guard backend does. */
#ifndef SG_KERNELS_BACKEND_H
#define SG_KERNELS_BACKEND_H

#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sg_backend;

struct sg_dev {
    const struct sg_backend *be; /* set by the backend's open */
    struct sg_dev_info info;     /* filled by the backend's open */
    struct sg_limits lim;        /* of the last successful reserve, set by device.c; all zero before */
    struct sg_stage_stats stats[SG_STAGE_COUNT];
    struct sg_dev_record *recording; /* between record_begin and record_end: ops.c counts there; else NULL */
    bool forked;                     /* between fork and join */
};
/* device.c fills all of it; `run` points to the backend's object. */
struct sg_dev_record {
    struct sg_dev *dev;
    void *run;
    double flops, bytes; /* of all operators except decode attention */
    int64_t n_decode;    /* calls of decode attention */
    double decode_flops, decode_bytes;
};
/* device.c fills dev, rows, cols, dtype, use after the backend's weight_new; the backend sets `bytes`. */
struct sg_weight {
    struct sg_dev *dev;
    int64_t rows, cols;
    enum sg_dtype dtype; /* of the elements that products see */
    unsigned use;
    size_t bytes;
};
/* device.c fills all of it after the backend's kv_new. */
struct sg_kv {
    struct sg_dev *dev;
    int32_t layers, pages, kv_heads, head_dim;
};

/* Arguments of weight_new and weight_random (no parts), checked and summed up by device.c. */
struct sg_weight_spec {
    const struct sg_weight_part *parts;
    int n_parts;
    int64_t rows, cols;        /* rows: the sum over parts */
    enum sg_dtype dtype, held; /* of the parts; of the elements that a backend on host memory stores */
    unsigned use;
};

/* Names follow kernels.h; see there for the contracts. */
struct sg_backend {
    const char *name;
    /* Operators return before they have finished: ops.c then counts calls, flops and bytes alone, and `stats`
     * supplies the times. */
    bool async;

    /* Optional (NULL: a host backend): sg_dev_find. */
    enum sg_status (*find)(int index, struct sg_dev_place *out, struct sg_err *err);
    enum sg_status (*open)(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err);
    void (*close)(struct sg_dev *dev); /* frees dev and all that it still owns */
    enum sg_status (*alloc)(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                            struct sg_err *err);
    void (*free)(struct sg_dev *dev, void *p); /* never NULL */
    enum sg_status (*upload)(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                             struct sg_err *err);
    enum sg_status (*download)(struct sg_dev *dev, void *dst, const void *src, size_t bytes,
                               struct sg_err *err);
    enum sg_status (*sync)(struct sg_dev *dev, struct sg_err *err);
    /* Optional, both or none (NULL: device memory is host memory). */
    enum sg_status (*host_alloc)(struct sg_dev *dev, size_t bytes, const char *what, void **out,
                                 struct sg_err *err);
    void (*host_free)(struct sg_dev *dev, void *p); /* never NULL */
    /* Optional, both or none (NULL: sg_dev_fetch waits for its copy). */
    enum sg_status (*fetch)(struct sg_dev *dev, int slot, void *dst, const void *src, size_t bytes,
                            struct sg_err *err);
    enum sg_status (*fetch_wait)(struct sg_dev *dev, int slot, struct sg_err *err);
    /* Optional, all of them or none. record_end with out NULL drops what was recorded. */
    enum sg_status (*record_begin)(struct sg_dev *dev, struct sg_err *err);
    enum sg_status (*record_end)(struct sg_dev *dev, void **out, struct sg_err *err);
    enum sg_status (*replay)(struct sg_dev *dev, void *run, struct sg_err *err);
    void (*record_free)(struct sg_dev *dev, void *run); /* never NULL */
    /* Optional, all of them or none (NULL: one lane). */
    enum sg_status (*fork)(struct sg_dev *dev, struct sg_err *err);
    void (*lane)(struct sg_dev *dev, int lane);
    enum sg_status (*join)(struct sg_dev *dev, struct sg_err *err);
    /* Optional (NULL: host memory). */
    int64_t (*memory_free)(struct sg_dev *dev);
    size_t (*reserve_bytes)(const struct sg_dev *dev, const struct sg_limits *lim);
    /* Replaces the scratch of an earlier reserve; on failure the device has none. */
    enum sg_status (*reserve)(struct sg_dev *dev, const struct sg_limits *lim, struct sg_err *err);

    /* t: sg_weight_spec.held */
    size_t (*weight_bytes_for)(const struct sg_dev *dev, int64_t rows, int64_t cols, enum sg_dtype t,
                               unsigned use);
    enum sg_status (*weight_new)(struct sg_dev *dev, const struct sg_weight_spec *spec,
                                 struct sg_weight **out, struct sg_err *err);
    enum sg_status (*weight_random)(struct sg_dev *dev, const struct sg_weight_spec *spec, uint64_t key,
                                    struct sg_weight **out, struct sg_err *err);
    void (*weight_free)(struct sg_dev *dev, struct sg_weight *w);
    size_t (*kv_page_bytes)(const struct sg_dev *dev, int32_t layers, int32_t kv_heads, int32_t head_dim);
    enum sg_status (*kv_new)(struct sg_dev *dev, int32_t layers, int32_t pages, int32_t kv_heads,
                             int32_t head_dim, struct sg_kv **out, struct sg_err *err);
    void (*kv_free)(struct sg_dev *dev, struct sg_kv *kv);

    enum sg_status (*embed)(struct sg_dev *dev, const struct sg_weight *w, const int32_t *ids, int32_t n,
                            float *out, struct sg_err *err);
    enum sg_status (*feed_tokens)(struct sg_dev *dev, const int32_t *token, int32_t n_tokens,
                                  const int32_t *from, int32_t n, int32_t *ids, struct sg_err *err);
    enum sg_status (*add_rmsnorm)(struct sg_dev *dev, float *resid, const void *delta, const float *weight,
                                  int32_t n, int32_t cols, float eps, void *out, struct sg_err *err);
    enum sg_status (*linear)(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n, void *y,
                             struct sg_err *err);
    enum sg_status (*logits)(struct sg_dev *dev, const struct sg_weight *w, const void *x, int32_t n,
                             float *logits, struct sg_err *err);
    enum sg_status (*qkv_rope)(struct sg_dev *dev, const struct sg_qkv_args *a, struct sg_err *err);
    enum sg_status (*attn_prefill)(struct sg_dev *dev, const struct sg_prefill_args *a, struct sg_err *err);
    enum sg_status (*attn_decode)(struct sg_dev *dev, const struct sg_decode_args *a, struct sg_err *err);
    enum sg_status (*swiglu)(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols, void *out,
                             struct sg_err *err);
    enum sg_status (*gather_rows)(struct sg_dev *dev, const void *x, int32_t n_x, const int32_t *rows,
                                  int32_t n, int32_t cols, void *out, struct sg_err *err);
    enum sg_status (*l2norm)(struct sg_dev *dev, const void *x, int32_t n, int32_t cols, float *out,
                             struct sg_err *err);
    enum sg_status (*logprob)(struct sg_dev *dev, const float *logits, const int32_t *target, int32_t n,
                              int32_t vocab, float *out, struct sg_err *err);
    enum sg_status (*sample)(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err);

    enum sg_status (*measure)(struct sg_dev *dev, double *flops_per_s, double *bytes_per_s,
                              struct sg_err *err);
    /* Optional, for the guard: fills the scratch with this word, to expose reads before writes. */
    void (*poison_scratch)(struct sg_dev *dev, uint32_t word);
    /* Optional (NULL: host times only): adds the device's times to stats[].ns. */
    void (*stats)(struct sg_dev *dev, struct sg_stage_stats *stats);
    void (*stats_reset)(struct sg_dev *dev);
    /* Optional (NULL: all values are NaN). */
    void (*power)(struct sg_dev *dev, struct sg_dev_power *out);
};

/* One table per backend of backends.inc. */
#define SG_BACKEND(name) extern const struct sg_backend sg__backend_##name;
#include "kernels/backends.inc"
#undef SG_BACKEND

/* Flops and bytes of one sg_op_attn_decode (ops.c). */
void sg__decode_cost(const struct sg_dev *dev, const struct sg_decode_args *a, double *flops, double *bytes);

/* Opens a backend by its name alone ("cpu"), for the guard. */
const struct sg_backend *sg__backend_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif

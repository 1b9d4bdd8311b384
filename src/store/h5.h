/* h5 - the part of HDF5 that our files need: datasets with named axes (dimension scales), units and flags, in
 * the form that netCDF readers understand; whole-file writes that leave the old or the new file; reads that
 * check shapes and turn HDF5's error stack into one line.
 *
 * Types are native C types: int8_t .. double, and strings (variable length UTF-8, never cut). HDF5 prints
 * nothing: its automatic error printing is switched off by the first call. One thread at a time. */
#ifndef SG_STORE_H5_H
#define SG_STORE_H5_H

#include "base/mem.h"
#include "base/status.h"
#include "store/h5_driver.h"
#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

/* type, HDF5 type, bytes, is it a float */
#define SG_H5_TYPE_LIST(X)                                                                                   \
    X(SG_H5_I8, H5T_NATIVE_INT8, 1, false)                                                                   \
    X(SG_H5_U8, H5T_NATIVE_UINT8, 1, false)                                                                  \
    X(SG_H5_I32, H5T_NATIVE_INT32, 4, false)                                                                 \
    X(SG_H5_I64, H5T_NATIVE_INT64, 8, false)                                                                 \
    X(SG_H5_U64, H5T_NATIVE_UINT64, 8, false)                                                                \
    X(SG_H5_F32, H5T_NATIVE_FLOAT, 4, true)                                                                  \
    X(SG_H5_F64, H5T_NATIVE_DOUBLE, 8, true)
#define SG_H5_TYPE_ENUM(code, h5, bytes, is_float) code,
enum sg_h5_type { SG_H5_TYPE_LIST(SG_H5_TYPE_ENUM) SG_H5_TYPE_COUNT };
#undef SG_H5_TYPE_ENUM
size_t sg_h5_type_bytes(enum sg_h5_type t);
hid_t sg_h5_type_id(enum sg_h5_type t); /* HDF5's own, not to be closed */

enum { SG_H5_MAX_RANK = 4 };

/* ---- writing ---- */

/* A file being written under a temporary name beside `path`. */
struct sg_h5_out {
    hid_t file;
    int fd;
    char *path, *tmp;
    struct sg__h5_driver *sink;
};
enum sg_status sg_h5_create(const char *path, struct sg_h5_out *out, struct sg_err *err);
/* Closes, appends the checksum (h5_checksum.h), fsyncs, renames to the final name. Frees the struct whatever
 * happens; on failure the temporary file is removed and a file already at `path` is untouched. */
enum sg_status sg_h5_commit(struct sg_h5_out *out, struct sg_err *err);
void sg_h5_discard(struct sg_h5_out *out); /* removes the temporary file; zeroed accepted */
/* SG_E_IO when the system has refused a write so far; the writers below return the same. */
enum sg_status sg_h5_out_ok(const struct sg_h5_out *out, struct sg_err *err);

enum sg_status sg_h5_group(struct sg_h5_out *out, hid_t parent, const char *name, hid_t *group,
                           struct sg_err *err);

/* A dataset's name, type and attributes. Axes are names of scales that exist in the same group. */
struct sg_h5_var {
    const char *name;
    enum sg_h5_type type;
    int rank;
    const char *axes[SG_H5_MAX_RANK];
    const char *units, *long_name; /* NULL: none */
    /* CF flags: what coded integers mean. n_flags = 0: none. meanings: blank-separated words. */
    int n_flags;
    const int32_t *flag_values;
    const char *flag_meanings;
    /* missing: the integer that stands for "no value", written as _FillValue so that xarray and netCDF4 mask it. */
    bool has_missing;
    int32_t missing;
};
/* Row-major data of the axes' sizes. Large ones are chunked, shuffled, deflated and checksummed. */
enum sg_status sg_h5_write(struct sg_h5_out *out, hid_t group, const struct sg_h5_var *var, const void *data,
                           struct sg_err *err);
/* A string per element of `axis`; axis = name makes the dataset itself the coordinate (the scale), of n
 * elements. NULL elements are written as "". */
enum sg_status sg_h5_write_strings(struct sg_h5_out *out, hid_t group, const char *name, const char *axis,
                                   int64_t n, char *const *values, const char *long_name, struct sg_err *err);
/* A numeric coordinate of n elements: dataset and scale of this name. */
enum sg_status sg_h5_write_scale(struct sg_h5_out *out, hid_t group, const char *name, enum sg_h5_type type,
                                 int64_t n, const void *values, const char *long_name, struct sg_err *err);
/* An axis of n elements without coordinates. */
enum sg_status sg_h5_write_axis(struct sg_h5_out *out, hid_t group, const char *name, int64_t n,
                                struct sg_err *err);
/* A single string as a dataset: for texts past the 64 KiB that an attribute may have. */
enum sg_status sg_h5_write_text(struct sg_h5_out *out, hid_t group, const char *name, const char *text,
                                const char *long_name, struct sg_err *err);

/* A column of bytes that grows as it is written, for data larger than memory. */
struct sg_h5_bytes {
    hid_t dataset;
    unsigned char *chunk; /* bytes not yet written */
    size_t used;
    int64_t written;
};
enum sg_status sg_h5_bytes_open(struct sg_h5_out *out, hid_t group, const char *name, const char *long_name,
                                struct sg_h5_bytes *b, struct sg_err *err);
enum sg_status sg_h5_bytes_add(struct sg_h5_out *out, struct sg_h5_bytes *b, const void *bytes, size_t n,
                               struct sg_err *err);
/* Writes the rest, attaches the axis `axis` (made here, of the final size). Frees b whatever happens. */
enum sg_status sg_h5_bytes_close(struct sg_h5_out *out, hid_t group, struct sg_h5_bytes *b, const char *axis,
                                 struct sg_err *err);
void sg_h5_bytes_drop(struct sg_h5_bytes *b); /* on the way out after an error; zeroed accepted */

/* Attributes of a group, a file or a dataset in `group` (name NULL: the group itself). */
enum sg_status sg_h5_attr_str(struct sg_h5_out *out, hid_t group, const char *object, const char *name,
                              const char *value, struct sg_err *err);
enum sg_status sg_h5_attr_i64(struct sg_h5_out *out, hid_t group, const char *object, const char *name,
                              int64_t value, struct sg_err *err);
enum sg_status sg_h5_attr_f64(struct sg_h5_out *out, hid_t group, const char *object, const char *name,
                              double value, struct sg_err *err);

/* ---- reading ---- */

struct sg_h5_in {
    hid_t file;
    char *path;
    uint64_t size;                /* of the file when it was opened, bytes */
    struct sg__h5_driver *source; /* what the system refused to read */
    bool trial;                   /* numbers of large datasets stay as they are in memory (h5_trial.h) */
};
/* Opens the file once; everything is read through that descriptor, and what is read follows the rules of
 * h5_object.h. SG_E_INPUT: no such file, or not HDF5 (says so); SG_E_CORRUPT: HDF5 that is cut short or damaged
 * (reads the whole file once to know, see h5_checksum.h). */
struct sg_h5_try { /* what a reader does with a file, `in` being open */
    enum sg_status (*read)(const struct sg_h5_in *in, const void *ctx, struct sg_err *err);
    const void *ctx;
    unsigned seconds; /* of computing; 0: as many as the size of the file asks for */
};
/* first: what the caller will read, for a child process to read before this one (h5_trial.h); NULL: a file that this
 * process has just written. */
enum sg_status sg_h5_open(const char *path, const struct sg_h5_try *first, struct sg_h5_in *in,
                          struct sg_err *err);
void sg_h5_close(struct sg_h5_in *in); /* zeroed accepted */

/* Names are paths from the root ("texts/offset"). True, too, where a part of the path is a link that the reader
 * refuses: reading it says so. */
bool sg_h5_has(const struct sg_h5_in *in, const char *name);
/* Rank and sizes. SG_E_INPUT when there is no such dataset, SG_E_CORRUPT when the file is too small to hold it:
 * memory for the sizes may be allocated. */
enum sg_status sg_h5_shape(const struct sg_h5_in *in, const char *name, int *rank,
                           int64_t dims[SG_H5_MAX_RANK], struct sg_err *err);
/* Reads all of it, converted to `type`. SG_E_INPUT when absent or of another class (text for numbers),
 * SG_E_CORRUPT when its shape is not dims[rank] or its bytes are damaged. data: room for the product. */
enum sg_status sg_h5_read(const struct sg_h5_in *in, const char *name, enum sg_h5_type type, int rank,
                          const int64_t *dims, void *data, struct sg_err *err);
/* Elements [first, first + n) of a one-dimensional dataset. */
enum sg_status sg_h5_read_part(const struct sg_h5_in *in, const char *name, enum sg_h5_type type,
                               int64_t first, int64_t n, void *data, struct sg_err *err);
/* n strings (variable or fixed length) into values[n], owned by the arena. */
enum sg_status sg_h5_read_strings(const struct sg_h5_in *in, const char *name, int64_t n, char **values,
                                  struct sg_arena *arena, struct sg_err *err);
/* A single string dataset; *value NULL when absent. */
enum sg_status sg_h5_read_text(const struct sg_h5_in *in, const char *name, char **value,
                               struct sg_arena *arena, struct sg_err *err);
/* Attributes of the group or dataset `object` ("/" for the root). *value stays (NULL, default) when absent;
 * SG_E_INPUT when it is of another type. */
enum sg_status sg_h5_get_str(const struct sg_h5_in *in, const char *object, const char *name, char **value,
                             struct sg_arena *arena, struct sg_err *err);
enum sg_status sg_h5_get_i64(const struct sg_h5_in *in, const char *object, const char *name, int64_t *value,
                             struct sg_err *err);

/* Fails with "path: what: message", message being the innermost of HDF5's error stack. Call it right after
 * the call that failed. */
enum sg_status sg_h5_fail(struct sg_err *err, enum sg_status status, const char *path, const char *what);

/* The same for a file that is read, SG_E_CORRUPT: SG_E_IO with the system's reason when it refused to read. */
enum sg_status sg__h5_read_failed(const struct sg_h5_in *in, const char *what, struct sg_err *err);

#endif

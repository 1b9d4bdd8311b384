#include "store/h5.h"

#include "base/file.h"
#include "store/h5_checksum.h"
#include <errno.h>
#include <hdf5_hl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 1 << 20,  /* one chunk, before compression */
    SMALL_BYTES = 16 << 10, /* data of this size are stored as they are */
    DEFLATE = 4
};

/* ---- the file ---- */

static void out_free(struct sg_h5_out *out) {
    if (out->fd >= 0) close(out->fd);
    free(out->path);
    free(out->tmp);
    free(out->sink);
    memset(out, 0, sizeof *out);
    out->file = -1;
    out->fd = -1;
}

enum sg_status sg_h5_create(const char *path, struct sg_h5_out *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_h5_out o = {.file = -1, .fd = -1};
    SG_TRY(sg_path_join(".", path, &o.path, err));
    SG_TRY(SG_NEW(&o.sink, 1, "file sink", err));
    SG_TRY(sg_temp_open(path, &o.tmp, &o.fd, err));
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    o.file = sg__h5_driver_create(o.fd, o.tmp, o.sink);
    if (o.file < 0) {
        st = o.sink->error ? sg_fail(err, o.sink->error == ENOMEM ? SG_E_NOMEM : SG_E_IO,
                                     "%s: cannot create: %s", o.tmp, strerror(o.sink->error))
                           : sg_h5_fail(err, SG_E_IO, o.tmp, "cannot create");
        goto out;
    }
    *out = o;
    return SG_OK;
out:
    if (o.tmp) unlink(o.tmp);
    out_free(&o);
    return st;
}

enum sg_status sg_h5_out_ok(const struct sg_h5_out *out, struct sg_err *err) {
    if (!out->sink->error) return SG_OK;
    return sg_fail(err, out->sink->error == ENOMEM ? SG_E_NOMEM : SG_E_IO, "%s: cannot write: %s", out->tmp,
                   strerror(out->sink->error));
}

/* A failed HDF5 call: the system's reason when there is one, else HDF5's. */
static enum sg_status write_failed(const struct sg_h5_out *out, const char *what, struct sg_err *err) {
    if (out->sink->error) return sg_h5_out_ok(out, err);
    return sg_h5_fail(err, SG_E_IO, out->tmp, what);
}

enum sg_status sg_h5_commit(struct sg_h5_out *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (H5Fclose(out->file) < 0) st = write_failed(out, "cannot close", err);
    if (st == SG_OK) st = sg_h5_out_ok(out, err);
    if (st == SG_OK) st = sg__h5_checksum_write(out->fd, out->tmp, err);
    if (st == SG_OK) st = sg_file_commit(out->tmp, out->path, err);
    if (st != SG_OK) unlink(out->tmp);
    out_free(out);
    return st;
}

void sg_h5_discard(struct sg_h5_out *out) {
    if (!out || !out->tmp) return;
    H5Fclose(out->file);
    unlink(out->tmp);
    out_free(out);
}

enum sg_status sg_h5_group(struct sg_h5_out *out, hid_t parent, const char *name, hid_t *group,
                           struct sg_err *err) {
    const hid_t g = H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (g < 0) return write_failed(out, name, err);
    *group = g;
    return SG_OK;
}

/* ---- attributes ---- */

static hid_t string_type(void) {
    const hid_t t = H5Tcopy(H5T_C_S1);
    if (t < 0) return t;
    H5Tset_size(t, H5T_VARIABLE);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

/* One attribute of the object `loc`; n = 0 makes a scalar. */
static bool put_attr(hid_t loc, const char *name, hid_t type, int64_t n, const void *value) {
    const hsize_t dim = (hsize_t)n;
    const hid_t space = n ? H5Screate_simple(1, &dim, NULL) : H5Screate(H5S_SCALAR);
    const hid_t a = space < 0 ? -1 : H5Acreate2(loc, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = a >= 0 && H5Awrite(a, type, value) >= 0;
    if (a >= 0) H5Aclose(a);
    if (space >= 0) H5Sclose(space);
    return ok;
}

static bool put_string(hid_t loc, const char *name, const char *value) {
    const hid_t t = string_type();
    const bool ok = t >= 0 && put_attr(loc, name, t, 0, &value);
    if (t >= 0) H5Tclose(t);
    return ok;
}

static enum sg_status attr_of(struct sg_h5_out *out, hid_t group, const char *object, const char *name,
                              hid_t type, const void *value, struct sg_err *err) {
    const hid_t loc = object ? H5Oopen(group, object, H5P_DEFAULT) : group;
    bool ok = loc >= 0 && (type < 0 ? put_string(loc, name, value) : put_attr(loc, name, type, 0, value));
    enum sg_status st = ok ? sg_h5_out_ok(out, err) : write_failed(out, name, err);
    if (object && loc >= 0) H5Oclose(loc);
    return st;
}

enum sg_status sg_h5_attr_str(struct sg_h5_out *out, hid_t group, const char *object, const char *name,
                              const char *value, struct sg_err *err) {
    return attr_of(out, group, object, name, -1, value, err);
}
enum sg_status sg_h5_attr_i64(struct sg_h5_out *out, hid_t group, const char *object, const char *name,
                              int64_t value, struct sg_err *err) {
    return attr_of(out, group, object, name, H5T_NATIVE_INT64, &value, err);
}
enum sg_status sg_h5_attr_f64(struct sg_h5_out *out, hid_t group, const char *object, const char *name,
                              double value, struct sg_err *err) {
    return attr_of(out, group, object, name, H5T_NATIVE_DOUBLE, &value, err);
}

/* ---- datasets ---- */

/* Creation properties: no time stamps (equal contents make equal files); large data in chunks of whole
 * trailing rows, shuffled, deflated, checksummed. */
static hid_t creation(int rank, const hsize_t *dims, size_t bytes) {
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    if (p < 0) return p;
    H5Pset_obj_track_times(p, false);
    hsize_t total = bytes;
    for (int i = 0; i < rank; i++) total *= dims[i];
    if (rank == 0 || total <= SMALL_BYTES) return p;
    hsize_t chunk[SG_H5_MAX_RANK], row = bytes;
    for (int i = rank - 1; i >= 0; i--) {
        const hsize_t fit = row < CHUNK_BYTES ? CHUNK_BYTES / row : 1;
        chunk[i] = dims[i] < fit ? dims[i] : fit;
        row *= chunk[i];
    }
    if (H5Pset_chunk(p, rank, chunk) < 0 || H5Pset_shuffle(p) < 0 || H5Pset_deflate(p, DEFLATE) < 0 ||
        H5Pset_fletcher32(p) < 0) {
        H5Pclose(p);
        return -1;
    }
    return p;
}

/* Creates and writes a dataset; the caller closes it. data NULL: nothing is written (an axis alone). */
static hid_t put_dataset(hid_t group, const char *name, hid_t type, size_t bytes, int rank,
                         const hsize_t *dims, const void *data) {
    const hid_t space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    const hid_t plist = bytes ? creation(rank, dims, bytes) : creation(0, NULL, 0);
    hid_t d =
        space < 0 || plist < 0 ? -1 : H5Dcreate2(group, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    hsize_t total = 1;
    for (int i = 0; i < rank; i++) total *= dims[i];
    if (d >= 0 && data && total && H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        H5Dclose(d);
        d = -1;
    }
    if (plist >= 0) H5Pclose(plist);
    if (space >= 0) H5Sclose(space);
    return d;
}

static bool attach(hid_t group, hid_t dataset, const char *axis, int i) {
    const hid_t scale = H5Dopen2(group, axis, H5P_DEFAULT);
    const bool ok = scale >= 0 && H5DSattach_scale(dataset, scale, (unsigned)i) >= 0;
    if (scale >= 0) H5Dclose(scale);
    return ok;
}

static int64_t axis_size(hid_t group, const char *axis) {
    const hid_t d = H5Dopen2(group, axis, H5P_DEFAULT);
    const hid_t space = d < 0 ? -1 : H5Dget_space(d);
    const hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (space >= 0) H5Sclose(space);
    if (d >= 0) H5Dclose(d);
    return (int64_t)n;
}

static bool put_flags(hid_t d, const struct sg_h5_var *var) {
    /* CF: flag_values have the type of the variable. */
    int8_t values[64] = {0};
    if (var->n_flags > 64) return false;
    bool ok;
    if (sg_h5_type_bytes(var->type) == 1) {
        for (int i = 0; i < var->n_flags; i++) values[i] = (int8_t)var->flag_values[i];
        ok = put_attr(d, "flag_values", sg_h5_type_id(var->type), var->n_flags, values);
    } else {
        ok = put_attr(d, "flag_values", H5T_NATIVE_INT32, var->n_flags, var->flag_values);
    }
    return ok && put_string(d, "flag_meanings", var->flag_meanings);
}

/* _FillValue has the variable's own type: netCDF masks nothing otherwise. */
static bool put_missing(hid_t d, const struct sg_h5_var *var) {
    const int8_t i8 = (int8_t)var->missing;
    const int32_t i32 = var->missing;
    const int64_t i64 = var->missing;
    const void *value = var->type == SG_H5_I8    ? (const void *)&i8
                        : var->type == SG_H5_I32 ? (const void *)&i32
                                                 : &i64;
    SG_ASSERT(var->type == SG_H5_I8 || var->type == SG_H5_I32 || var->type == SG_H5_I64);
    return put_attr(d, "_FillValue", sg_h5_type_id(var->type), 1, value);
}

enum sg_status sg_h5_write(struct sg_h5_out *out, hid_t group, const struct sg_h5_var *var, const void *data,
                           struct sg_err *err) {
    hsize_t dims[SG_H5_MAX_RANK] = {0};
    SG_ASSERT(var->rank >= 0 && var->rank <= SG_H5_MAX_RANK);
    for (int i = 0; i < var->rank; i++) {
        const int64_t n = axis_size(group, var->axes[i]);
        if (n < 0) return write_failed(out, var->axes[i], err);
        dims[i] = (hsize_t)n;
    }
    const hid_t d = put_dataset(group, var->name, sg_h5_type_id(var->type), sg_h5_type_bytes(var->type),
                                var->rank, dims, data);
    bool ok = d >= 0;
    for (int i = 0; ok && i < var->rank; i++) ok = attach(group, d, var->axes[i], i);
    if (ok && var->units) ok = put_string(d, "units", var->units);
    if (ok && var->long_name) ok = put_string(d, "long_name", var->long_name);
    if (ok && var->n_flags) ok = put_flags(d, var);
    if (ok && var->has_missing) ok = put_missing(d, var);
    enum sg_status st = ok ? sg_h5_out_ok(out, err) : write_failed(out, var->name, err);
    if (d >= 0) H5Dclose(d);
    return st;
}

enum sg_status sg_h5_write_strings(struct sg_h5_out *out, hid_t group, const char *name, const char *axis,
                                   int64_t n, char *const *values, const char *long_name,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    hid_t d = -1, type = -1;
    const char **texts = NULL;
    const hsize_t dim = (hsize_t)n;
    SG_TRY(SG_NEW(&texts, n, name, err));
    for (int64_t i = 0; i < n; i++) texts[i] = values[i] ? values[i] : "";
    type = string_type();
    d = put_dataset(group, name, type, 0, 1, &dim, texts);
    bool ok = d >= 0;
    if (ok && !strcmp(name, axis))
        ok = H5DSset_scale(d, name) >= 0;
    else if (ok)
        ok = attach(group, d, axis, 0);
    if (ok && long_name) ok = put_string(d, "long_name", long_name);
    st = ok ? sg_h5_out_ok(out, err) : write_failed(out, name, err);
out:
    if (d >= 0) H5Dclose(d);
    if (type >= 0) H5Tclose(type);
    free(texts);
    return st;
}

static enum sg_status put_scale(struct sg_h5_out *out, hid_t group, const char *name, const char *scale_name,
                                enum sg_h5_type type, int64_t n, const void *values, const char *long_name,
                                struct sg_err *err) {
    const hsize_t dim = (hsize_t)n;
    const hid_t d =
        put_dataset(group, name, sg_h5_type_id(type), values ? sg_h5_type_bytes(type) : 0, 1, &dim, values);
    bool ok = d >= 0 && H5DSset_scale(d, scale_name) >= 0;
    if (ok && long_name) ok = put_string(d, "long_name", long_name);
    enum sg_status st = ok ? sg_h5_out_ok(out, err) : write_failed(out, name, err);
    if (d >= 0) H5Dclose(d);
    return st;
}

enum sg_status sg_h5_write_scale(struct sg_h5_out *out, hid_t group, const char *name, enum sg_h5_type type,
                                 int64_t n, const void *values, const char *long_name, struct sg_err *err) {
    return put_scale(out, group, name, name, type, n, values, long_name, err);
}

enum sg_status sg_h5_write_axis(struct sg_h5_out *out, hid_t group, const char *name, int64_t n,
                                struct sg_err *err) {
    /* The netCDF-4 convention for a dimension without a variable: readers look for this text. */
    char text[80];
    (void)snprintf(text, sizeof text, "This is a netCDF dimension but not a netCDF variable.%10lld",
                   (long long)n);
    return put_scale(out, group, name, text, SG_H5_F32, n, NULL, NULL, err);
}

enum sg_status sg_h5_write_text(struct sg_h5_out *out, hid_t group, const char *name, const char *text,
                                const char *long_name, struct sg_err *err) {
    const hid_t type = string_type();
    const hid_t d = type < 0 ? -1 : put_dataset(group, name, type, 0, 0, NULL, &text);
    bool ok = d >= 0;
    if (ok && long_name) ok = put_string(d, "long_name", long_name);
    enum sg_status st = ok ? sg_h5_out_ok(out, err) : write_failed(out, name, err);
    if (d >= 0) H5Dclose(d);
    if (type >= 0) H5Tclose(type);
    return st;
}

/* ---- a growing column of bytes ---- */

void sg_h5_bytes_drop(struct sg_h5_bytes *b) {
    if (!b || !b->chunk) return;
    if (b->dataset >= 0) H5Dclose(b->dataset);
    free(b->chunk);
    memset(b, 0, sizeof *b);
    b->dataset = -1;
}

enum sg_status sg_h5_bytes_open(struct sg_h5_out *out, hid_t group, const char *name, const char *long_name,
                                struct sg_h5_bytes *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_h5_bytes n = {.dataset = -1};
    hid_t plist = -1, space = -1;
    const hsize_t zero = 0, chunk = CHUNK_BYTES, any = H5S_UNLIMITED;
    SG_TRY(SG_NEW(&n.chunk, CHUNK_BYTES, name, err));
    plist = H5Pcreate(H5P_DATASET_CREATE);
    space = H5Screate_simple(1, &zero, &any);
    if (plist >= 0 && space >= 0 && H5Pset_obj_track_times(plist, false) >= 0 &&
        H5Pset_chunk(plist, 1, &chunk) >= 0 && H5Pset_deflate(plist, DEFLATE) >= 0 &&
        H5Pset_fletcher32(plist) >= 0)
        n.dataset = H5Dcreate2(group, name, H5T_NATIVE_UINT8, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (n.dataset < 0 || (long_name && !put_string(n.dataset, "long_name", long_name)))
        st = write_failed(out, name, err);
out:
    if (space >= 0) H5Sclose(space);
    if (plist >= 0) H5Pclose(plist);
    if (st == SG_OK)
        *b = n;
    else
        sg_h5_bytes_drop(&n);
    return st;
}

static enum sg_status write_chunk(struct sg_h5_out *out, struct sg_h5_bytes *b, struct sg_err *err) {
    const hsize_t start = (hsize_t)b->written, count = b->used, end = start + count;
    if (!count) return SG_OK;
    hid_t space = -1, mem = -1;
    bool ok = H5Dset_extent(b->dataset, &end) >= 0 && (space = H5Dget_space(b->dataset)) >= 0 &&
              (mem = H5Screate_simple(1, &count, NULL)) >= 0 &&
              H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL) >= 0 &&
              H5Dwrite(b->dataset, H5T_NATIVE_UINT8, mem, space, H5P_DEFAULT, b->chunk) >= 0;
    if (mem >= 0) H5Sclose(mem);
    if (space >= 0) H5Sclose(space);
    if (!ok) return write_failed(out, "texts", err);
    b->written += (int64_t)count;
    b->used = 0;
    return sg_h5_out_ok(out, err);
}

enum sg_status sg_h5_bytes_add(struct sg_h5_out *out, struct sg_h5_bytes *b, const void *bytes, size_t n,
                               struct sg_err *err) {
    const unsigned char *p = bytes;
    while (n) {
        const size_t room = CHUNK_BYTES - b->used, k = n < room ? n : room;
        memcpy(b->chunk + b->used, p, k);
        b->used += k;
        p += k;
        n -= k;
        if (b->used < CHUNK_BYTES) break;
        enum sg_status st = write_chunk(out, b, err);
        if (st != SG_OK) return st;
    }
    return SG_OK;
}

enum sg_status sg_h5_bytes_close(struct sg_h5_out *out, hid_t group, struct sg_h5_bytes *b, const char *axis,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(write_chunk(out, b, err));
    SG_TRY(sg_h5_write_axis(out, group, axis, b->written, err));
    if (!attach(group, b->dataset, axis, 0)) st = write_failed(out, axis, err);
out:
    sg_h5_bytes_drop(b);
    return st;
}

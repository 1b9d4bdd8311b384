#include "store/h5_object.h"

#include <inttypes.h>
#include <string.h>

enum {
    DEFLATE_RATIO = 1032,       /* at most so many bytes come of one that deflate has packed */
    MAX_CHUNK_BYTES = 64 << 20, /* HDF5 allocates a whole chunk, however little of it is used */
};

enum sg_status sg__h5_find(const struct sg_h5_in *in, const char *name, bool *there, struct sg_err *err) {
    /* Every part must be there, and in this file, before HDF5 may be asked for the next. */
    char part[256];
    const size_t n = strlen(name);
    *there = false;
    if (n >= sizeof part) return SG_OK;
    for (size_t i = 1; i <= n; i++) {
        if (name[i] != '/' && name[i] != 0) continue;
        memcpy(part, name, i);
        part[i] = 0;
        if (H5Lexists(in->file, part, H5P_DEFAULT) <= 0)
            return in->source->error ? sg__h5_read_failed(in, part, err) : SG_OK;
        H5L_info_t link;
        if (H5Lget_info(in->file, part, &link, H5P_DEFAULT) < 0) return sg__h5_read_failed(in, part, err);
        if (link.type != H5L_TYPE_HARD)
            return sg_fail(err, SG_E_INPUT, "%s: '%s' is %s link; only objects of the file itself are read",
                           in->path, part,
                           link.type == H5L_TYPE_SOFT       ? "a soft"
                           : link.type == H5L_TYPE_EXTERNAL ? "an external"
                                                            : "a user-defined");
    }
    *there = true;
    return SG_OK;
}

static enum sg_status refuse(const struct sg_h5_in *in, const char *name, const char *what,
                             struct sg_err *err) {
    return sg_fail(err, SG_E_INPUT, "%s: '%s' %s", in->path, name, what);
}

/* How the dataset is stored. HDF5 opens the sources of a virtual dataset when it is asked for the data space: this
 * comes first. */
static enum sg_status check_storage(const struct sg_h5_in *in, const char *name, struct sg__h5_dataset *d,
                                    struct sg_err *err) {
    const hid_t plist = H5Dget_create_plist(d->id);
    if (plist < 0) return sg__h5_read_failed(in, name, err);
    const H5D_layout_t layout = H5Pget_layout(plist);
    const int external = H5Pget_external_count(plist), filters = H5Pget_nfilters(plist);
    enum sg_status st = SG_OK;
    if (layout == H5D_VIRTUAL)
        st = refuse(in, name, "is a virtual dataset; only data of the file itself are read", err);
    else if (external != 0)
        st = refuse(in, name, "has its data in another file; only data of the file itself are read", err);
    else if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED)
        st = refuse(in, name, "is stored in an unknown way", err);
    for (int i = 0; i < filters && st == SG_OK; i++) {
        unsigned flags, config;
        size_t values = 0;
        char filter_name[1];
        const H5Z_filter_t f = H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, sizeof filter_name,
                                              filter_name, &config);
        if (f == H5Z_FILTER_DEFLATE && !d->deflated)
            d->deflated = true;
        else if (f != H5Z_FILTER_SHUFFLE && f != H5Z_FILTER_FLETCHER32)
            st = refuse(in, name, "is packed by other filters than one deflate, shuffle and fletcher32", err);
    }
    H5Pclose(plist);
    return st;
}

static enum sg_status check_type(const struct sg_h5_in *in, const char *name, const struct sg__h5_dataset *d,
                                 struct sg_err *err) {
    const H5T_class_t c = H5Tget_class(d->type);
    /* Numbers that fill their bytes, as every machine has them: HDF5 converts others bit by bit. */
    const size_t bytes = H5Tget_size(d->type);
    const bool number = (c == H5T_INTEGER || c == H5T_FLOAT) && bytes <= 8 && bytes &&
                        H5Tget_precision(d->type) == 8 * bytes && H5Tget_offset(d->type) == 0;
    return number || c == H5T_STRING ? SG_OK : refuse(in, name, "holds neither numbers nor text", err);
}

static enum sg_status take_shape(const struct sg_h5_in *in, const char *name, struct sg__h5_dataset *d,
                                 struct sg_err *err) {
    const H5S_class_t c = H5Sget_simple_extent_type(d->space);
    d->rank = H5Sget_simple_extent_ndims(d->space);
    if ((c != H5S_SIMPLE && c != H5S_SCALAR) || d->rank < 0 || d->rank > SG_H5_MAX_RANK)
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' has %d axes", in->path, name, d->rank);
    H5Sget_simple_extent_dims(d->space, d->dims, NULL);
    d->bytes = H5Tget_size(d->type);
    bool none = false;
    for (int i = 0; i < d->rank; i++) none = none || !d->dims[i];
    for (int i = 0; i < d->rank && !none; i++)
        d->bytes = d->bytes > UINT64_MAX / d->dims[i] ? UINT64_MAX : d->bytes * d->dims[i];
    if (none) d->bytes = 0;
    d->stored = H5Dget_storage_size(d->id);
    return SG_OK;
}

void sg__h5_dataset_close(struct sg__h5_dataset *d) {
    if (d->type >= 0) H5Tclose(d->type);
    if (d->space >= 0) H5Sclose(d->space);
    if (d->id >= 0) H5Oclose(d->id);
    d->id = d->space = d->type = -1;
}

enum sg_status sg__h5_dataset_open(const struct sg_h5_in *in, const char *name, struct sg__h5_dataset *out,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__h5_dataset d = {.id = -1, .space = -1, .type = -1};
    bool there;
    SG_TRY(sg__h5_find(in, name, &there, err));
    if (!there) {
        st = sg_fail(err, SG_E_INPUT, "%s: has no dataset '%s'", in->path, name);
        goto out;
    }
    d.id = H5Oopen(in->file, name, H5P_DEFAULT);
    if (d.id >= 0 && H5Iget_type(d.id) != H5I_DATASET) {
        st = refuse(in, name, "is no dataset", err);
        goto out;
    }
    if (d.id >= 0) SG_TRY(check_storage(in, name, &d, err));
    if (d.id >= 0) d.space = H5Dget_space(d.id);
    if (d.space >= 0) d.type = H5Dget_type(d.id);
    if (d.type < 0) {
        st = sg__h5_read_failed(in, name, err);
        goto out;
    }
    SG_TRY(check_type(in, name, &d, err));
    SG_TRY(take_shape(in, name, &d, err));
    *out = d;
    return SG_OK;
out:
    sg__h5_dataset_close(&d);
    return st;
}

static uint64_t chunk_bytes(const struct sg__h5_dataset *d) {
    const hid_t plist = H5Dget_create_plist(d->id);
    hsize_t chunk[SG_H5_MAX_RANK] = {0};
    uint64_t bytes = 0;
    if (plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED) {
        const int rank = H5Pget_chunk(plist, SG_H5_MAX_RANK, chunk);
        bytes = H5Tget_size(d->type);
        for (int i = 0; i < rank && i < SG_H5_MAX_RANK; i++) /* HDF5 itself keeps a chunk below 4 GiB */
            bytes *= chunk[i];
    }
    if (plist >= 0) H5Pclose(plist);
    return bytes;
}

enum sg_status sg__h5_dataset_bounded(const struct sg_h5_in *in, const char *name,
                                      const struct sg__h5_dataset *d, struct sg_err *err) {
    const uint64_t ratio = d->deflated ? DEFLATE_RATIO : 1;
    const uint64_t chunk = chunk_bytes(d);
    if (d->stored <= in->size && d->bytes / ratio <= d->stored &&
        (chunk <= MAX_CHUNK_BYTES || chunk <= d->bytes))
        return SG_OK;
    char shape[100] = "1";
    for (int i = 0, at = 0; i < d->rank; i++)
        at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%" PRIu64, i ? " x " : "",
                       (uint64_t)d->dims[i]);
    return sg_fail(err, SG_E_CORRUPT,
                   "%s: '%s' claims %s elements, its %" PRIu64 " stored bytes cannot hold them (the file has "
                   "%" PRIu64 ")",
                   in->path, name, shape, d->stored, in->size);
}

enum sg_status sg__h5_dataset_claim(const struct sg_h5_in *in, const char *name,
                                    const struct sg__h5_dataset *d, struct sg_err *err) {
    enum sg_status st = sg__h5_dataset_bounded(in, name, d, err);
    if (st != SG_OK) return st;
    in->source->stored += d->stored;
    if (in->source->stored > in->size)
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' lies on bytes that other datasets use", in->path, name);
    return SG_OK;
}

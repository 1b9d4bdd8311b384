#include "store/h5.h"

#include "base/file.h"
#include "base/utf8.h"
#include "store/h5_checksum.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t sg_h5_type_bytes(enum sg_h5_type t) {
#define SG_H5_TYPE_BYTES(code, h5, bytes, is_float) bytes,
    static const size_t list[] = {SG_H5_TYPE_LIST(SG_H5_TYPE_BYTES)};
#undef SG_H5_TYPE_BYTES
    return list[t];
}

hid_t sg_h5_type_id(enum sg_h5_type t) {
    switch (t) {
#define SG_H5_TYPE_CASE(code, h5, bytes, is_float)                                                           \
    case code:                                                                                               \
        return h5;
        SG_H5_TYPE_LIST(SG_H5_TYPE_CASE)
#undef SG_H5_TYPE_CASE
    case SG_H5_TYPE_COUNT:
        break;
    }
    return -1;
}

static bool is_float(enum sg_h5_type t) {
    return t == SG_H5_F32 || t == SG_H5_F64;
}

/* ---- errors ---- */

struct innermost {
    char text[256];
};
static herr_t keep_last(unsigned n, const H5E_error2_t *e, void *ctx) {
    (void)n;
    struct innermost *k = ctx;
    size_t len = e->desc ? strlen(e->desc) : 0;
    if (len >= sizeof k->text) len = sizeof k->text - 1;
    if (len) memcpy(k->text, e->desc, len);
    k->text[len] = 0;
    return 0;
}

enum sg_status sg_h5_fail(struct sg_err *err, enum sg_status status, const char *path, const char *what) {
    struct innermost k = {{0}};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_last, &k);
    H5Eclear2(H5E_DEFAULT);
    return sg_fail(err, status, "%s: %s%s%s", path, what, k.text[0] ? ": " : "", k.text);
}

/* ---- the file ---- */

enum sg_status sg_h5_open(const char *path, struct sg_h5_in *in, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_h5_in r = {.file = -1};
    struct sg_map map = {0};
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    SG_TRY(sg_map_open(path, &map, err));
    const bool ours = map.size >= sizeof magic && !memcmp(map.data, magic, sizeof magic);
    const size_t size = map.size;
    st = ours ? sg__h5_checksum_check(map.data, map.size, path, err) : SG_OK;
    sg_map_close(&map);
    if (st != SG_OK) goto out;
    if (!ours) {
        st = sg_fail(err, SG_E_INPUT, "%s: is not an HDF5 file%s", path, size ? "" : " (it is empty)");
        goto out;
    }
    SG_TRY(sg_path_join(".", path, &r.path, err));
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    r.file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (r.file < 0) {
        st = sg_h5_fail(err, SG_E_CORRUPT, path, "damaged or cut short");
        goto out;
    }
    *in = r;
    return SG_OK;
out:
    free(r.path);
    return st;
}

void sg_h5_close(struct sg_h5_in *in) {
    if (!in || !in->path) return;
    H5Fclose(in->file);
    free(in->path);
    in->path = NULL;
    in->file = -1;
}

bool sg_h5_has(const struct sg_h5_in *in, const char *name) {
    /* Every part of the path must be there before HDF5 may be asked for the next. */
    char part[256];
    const size_t n = strlen(name);
    if (n >= sizeof part) return false;
    for (size_t i = 0; i <= n; i++) {
        if (name[i] != '/' && name[i] != 0) continue;
        memcpy(part, name, i);
        part[i] = 0;
        if (i && H5Lexists(in->file, part, H5P_DEFAULT) <= 0) return false;
    }
    return true;
}

/* ---- datasets ---- */

struct dataset {
    hid_t id, space, type;
    int rank;
    hsize_t dims[SG_H5_MAX_RANK];
};

static void dataset_close(struct dataset *d) {
    if (d->type >= 0) H5Tclose(d->type);
    if (d->space >= 0) H5Sclose(d->space);
    if (d->id >= 0) H5Dclose(d->id);
}

static enum sg_status dataset_open(const struct sg_h5_in *in, const char *name, struct dataset *d,
                                   struct sg_err *err) {
    *d = (struct dataset){.id = -1, .space = -1, .type = -1};
    if (!sg_h5_has(in, name)) return sg_fail(err, SG_E_INPUT, "%s: has no dataset '%s'", in->path, name);
    d->id = H5Dopen2(in->file, name, H5P_DEFAULT);
    if (d->id >= 0) d->space = H5Dget_space(d->id);
    if (d->space >= 0) d->type = H5Dget_type(d->id);
    if (d->type < 0) {
        dataset_close(d);
        d->id = d->space = d->type = -1;
        return sg_h5_fail(err, SG_E_CORRUPT, in->path, name);
    }
    d->rank = H5Sget_simple_extent_ndims(d->space);
    if (d->rank < 0 || d->rank > SG_H5_MAX_RANK) {
        const int rank = d->rank;
        dataset_close(d);
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' has %d axes", in->path, name, rank);
    }
    H5Sget_simple_extent_dims(d->space, d->dims, NULL);
    return SG_OK;
}

enum sg_status sg_h5_shape(const struct sg_h5_in *in, const char *name, int *rank,
                           int64_t dims[SG_H5_MAX_RANK], struct sg_err *err) {
    struct dataset d;
    enum sg_status st = dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    *rank = d.rank;
    for (int i = 0; i < d.rank && st == SG_OK; i++) {
        if (d.dims[i] > (hsize_t)INT64_MAX)
            st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' has an axis of impossible size", in->path, name);
        dims[i] = (int64_t)d.dims[i];
    }
    dataset_close(&d);
    return st;
}

/* Numbers only into numbers; a float column is not silently cut to integers. */
static enum sg_status check_class(const struct sg_h5_in *in, const char *name, const struct dataset *d,
                                  enum sg_h5_type type, struct sg_err *err) {
    const H5T_class_t c = H5Tget_class(d->type);
    if (c == H5T_INTEGER || (c == H5T_FLOAT && is_float(type))) return SG_OK;
    return sg_fail(err, SG_E_INPUT, "%s: '%s' does not hold %s", in->path, name,
                   is_float(type) ? "numbers" : "integers");
}

enum sg_status sg_h5_read(const struct sg_h5_in *in, const char *name, enum sg_h5_type type, int rank,
                          const int64_t *dims, void *data, struct sg_err *err) {
    struct dataset d;
    enum sg_status st = dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    SG_TRY(check_class(in, name, &d, type, err));
    bool same = d.rank == rank;
    hsize_t total = 1;
    for (int i = 0; same && i < rank; i++) {
        same = d.dims[i] == (hsize_t)dims[i];
        total *= d.dims[i];
    }
    if (!same) {
        char want[100] = "", has[100] = "";
        for (int i = 0; i < rank; i++)
            (void)snprintf(want + strlen(want), sizeof want - strlen(want), "%s%" PRId64, i ? " x " : "",
                           dims[i]);
        for (int i = 0; i < d.rank; i++)
            (void)snprintf(has + strlen(has), sizeof has - strlen(has), "%s%" PRIu64, i ? " x " : "",
                           (uint64_t)d.dims[i]);
        st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' has shape %s, the axes say %s", in->path, name, has, want);
        goto out;
    }
    if (total && H5Dread(d.id, sg_h5_type_id(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        st = sg_h5_fail(err, SG_E_CORRUPT, in->path, name);
out:
    dataset_close(&d);
    return st;
}

enum sg_status sg_h5_read_part(const struct sg_h5_in *in, const char *name, enum sg_h5_type type,
                               int64_t first, int64_t n, void *data, struct sg_err *err) {
    struct dataset d;
    hid_t mem = -1;
    enum sg_status st = dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    SG_TRY(check_class(in, name, &d, type, err));
    if (d.rank != 1 || first < 0 || n < 0 || (uint64_t)first > d.dims[0] ||
        (uint64_t)n > d.dims[0] - (uint64_t)first) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' ends before element %" PRId64, in->path, name, first + n);
        goto out;
    }
    if (!n) goto out;
    const hsize_t start = (hsize_t)first, count = (hsize_t)n;
    mem = H5Screate_simple(1, &count, NULL);
    if (mem < 0 || H5Sselect_hyperslab(d.space, H5S_SELECT_SET, &start, NULL, &count, NULL) < 0 ||
        H5Dread(d.id, sg_h5_type_id(type), mem, d.space, H5P_DEFAULT, data) < 0)
        st = sg_h5_fail(err, SG_E_CORRUPT, in->path, name);
out:
    if (mem >= 0) H5Sclose(mem);
    dataset_close(&d);
    return st;
}

/* ---- strings ---- */

static enum sg_status keep(const char *s, size_t n, const char *path, const char *name,
                           struct sg_arena *arena, char **out, struct sg_err *err) {
    if (!sg_utf8_valid(s, n, NULL))
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' holds text that is not UTF-8", path, name);
    return sg_arena_dup(arena, s, n, out, err);
}

/* What H5Dread and H5Aread have in common. */
static herr_t raw_read(hid_t id, bool is_attribute, hid_t type, void *data) {
    return is_attribute ? H5Aread(id, type, data) : H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
}

/* n strings of any HDF5 string type, from a dataset or an attribute, into the arena. */
static enum sg_status take_strings(hid_t id, bool is_attribute, hid_t type, hid_t space, int64_t n,
                                   const char *path, const char *name, char **values, struct sg_arena *arena,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    char **vlen = NULL, *fixed = NULL;
    hid_t mem = -1;
    if (H5Tget_class(type) != H5T_STRING)
        return sg_fail(err, SG_E_INPUT, "%s: '%s' does not hold text", path, name);
    if (!n) return SG_OK;
    mem = H5Tcopy(type); /* its own length, padding and character set: nothing is converted */
    if (mem < 0) return sg_h5_fail(err, SG_E_CORRUPT, path, name);
    if (H5Tis_variable_str(type) > 0) {
        SG_TRY(SG_NEW(&vlen, n, name, err));
        if (raw_read(id, is_attribute, mem, vlen) < 0) {
            st = sg_h5_fail(err, SG_E_CORRUPT, path, name);
            goto out;
        }
        for (int64_t i = 0; i < n && st == SG_OK; i++)
            st = keep(vlen[i] ? vlen[i] : "", vlen[i] ? strlen(vlen[i]) : 0, path, name, arena, &values[i],
                      err);
        H5Dvlen_reclaim(mem, space, H5P_DEFAULT, vlen);
    } else {
        const size_t width = H5Tget_size(type);
        size_t bytes;
        if (!width || !sg_mul_size(width, (size_t)n, &bytes)) {
            st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' has strings of impossible length", path, name);
            goto out;
        }
        SG_TRY(SG_NEW(&fixed, bytes, name, err));
        if (raw_read(id, is_attribute, mem, fixed) < 0) {
            st = sg_h5_fail(err, SG_E_CORRUPT, path, name);
            goto out;
        }
        const bool blanks = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
        for (int64_t i = 0; i < n && st == SG_OK; i++) {
            const char *s = fixed + (size_t)i * width;
            size_t len = strnlen(s, width);
            while (blanks && len && s[len - 1] == ' ') len--;
            st = keep(s, len, path, name, arena, &values[i], err);
        }
    }
out:
    if (mem >= 0) H5Tclose(mem);
    free(vlen);
    free(fixed);
    return st;
}

enum sg_status sg_h5_read_strings(const struct sg_h5_in *in, const char *name, int64_t n, char **values,
                                  struct sg_arena *arena, struct sg_err *err) {
    struct dataset d;
    enum sg_status st = dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    if (d.rank != 1 || d.dims[0] != (hsize_t)n)
        st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' does not have %" PRId64 " elements", in->path, name, n);
    else
        st = take_strings(d.id, false, d.type, d.space, n, in->path, name, values, arena, err);
    dataset_close(&d);
    return st;
}

enum sg_status sg_h5_read_text(const struct sg_h5_in *in, const char *name, char **value,
                               struct sg_arena *arena, struct sg_err *err) {
    *value = NULL;
    if (!sg_h5_has(in, name)) return SG_OK;
    struct dataset d;
    enum sg_status st = dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    if (d.rank != 0)
        st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' is not a single text", in->path, name);
    else
        st = take_strings(d.id, false, d.type, d.space, 1, in->path, name, value, arena, err);
    dataset_close(&d);
    return st;
}

/* ---- attributes ---- */

struct attribute {
    hid_t owner, id, type, space;
};

static void attribute_close(struct attribute *a) {
    if (a->space >= 0) H5Sclose(a->space);
    if (a->type >= 0) H5Tclose(a->type);
    if (a->id >= 0) H5Aclose(a->id);
    if (a->owner >= 0) H5Oclose(a->owner);
}

/* *found = false and all closed when there is no such object or attribute. */
static enum sg_status attribute_open(const struct sg_h5_in *in, const char *object, const char *name,
                                     struct attribute *a, bool *found, struct sg_err *err) {
    *a = (struct attribute){-1, -1, -1, -1};
    *found = false;
    if (strcmp(object, "/") != 0 && !sg_h5_has(in, object)) return SG_OK;
    a->owner = H5Oopen(in->file, object, H5P_DEFAULT);
    const htri_t there = a->owner < 0 ? -1 : H5Aexists(a->owner, name);
    if (there > 0) {
        a->id = H5Aopen(a->owner, name, H5P_DEFAULT);
        if (a->id >= 0) a->type = H5Aget_type(a->id);
        if (a->type >= 0) a->space = H5Aget_space(a->id);
    }
    enum sg_status st = SG_OK;
    if (there < 0 || (there > 0 && a->space < 0))
        st = sg_h5_fail(err, SG_E_CORRUPT, in->path, name);
    else if (there > 0 && H5Sget_simple_extent_npoints(a->space) != 1)
        st = sg_fail(err, SG_E_INPUT, "%s: attribute '%s' is not a single value", in->path, name);
    if (st != SG_OK || !there)
        attribute_close(a);
    else
        *found = true;
    return st;
}

enum sg_status sg_h5_get_str(const struct sg_h5_in *in, const char *object, const char *name, char **value,
                             struct sg_arena *arena, struct sg_err *err) {
    struct attribute a;
    bool found;
    enum sg_status st = attribute_open(in, object, name, &a, &found, err);
    if (st != SG_OK || !found) return st;
    st = take_strings(a.id, true, a.type, a.space, 1, in->path, name, value, arena, err);
    attribute_close(&a);
    return st;
}

static enum sg_status get_number(const struct sg_h5_in *in, const char *object, const char *name,
                                 enum sg_h5_type type, void *value, struct sg_err *err) {
    struct attribute a;
    bool found;
    enum sg_status st = attribute_open(in, object, name, &a, &found, err);
    if (st != SG_OK || !found) return st;
    const H5T_class_t c = H5Tget_class(a.type);
    if (c != H5T_INTEGER && !(c == H5T_FLOAT && is_float(type)))
        st = sg_fail(err, SG_E_INPUT, "%s: attribute '%s' is not a number", in->path, name);
    else if (H5Aread(a.id, sg_h5_type_id(type), value) < 0)
        st = sg_h5_fail(err, SG_E_CORRUPT, in->path, name);
    attribute_close(&a);
    return st;
}

enum sg_status sg_h5_get_i64(const struct sg_h5_in *in, const char *object, const char *name, int64_t *value,
                             struct sg_err *err) {
    return get_number(in, object, name, SG_H5_I64, value, err);
}
enum sg_status sg_h5_get_f64(const struct sg_h5_in *in, const char *object, const char *name, double *value,
                             struct sg_err *err) {
    return get_number(in, object, name, SG_H5_F64, value, err);
}

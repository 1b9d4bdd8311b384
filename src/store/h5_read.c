#include "store/h5.h"

#include "base/file.h"
#include "base/utf8.h"
#include "store/h5_checksum.h"
#include "store/h5_object.h"
#include "store/h5_trial.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- the file ---- */

enum sg_status sg_h5_open(const char *path, const struct sg_h5_try *first, struct sg_h5_in *in,
                          struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_h5_in r = {.file = -1};
    int fd = -1;
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char start[64] = {0};
    SG_TRY(sg_file_open_regular(path, &fd, &r.size, err));
    SG_TRY(sg_fd_read_at(fd, start, r.size < sizeof start ? (size_t)r.size : sizeof start, 0, path, err));
    if (r.size < sizeof magic || memcmp(start, magic, sizeof magic) != 0) {
        st = sg_fail(err, SG_E_INPUT, "%s: is not an HDF5 file%s", path, r.size ? "" : " (it is empty)");
        goto out;
    }
    SG_TRY(sg__h5_checksum_check(fd, r.size, start, path, err));
    SG_TRY(sg_path_join(".", path, &r.path, err));
    SG_TRY(SG_NEW(&r.source, 1, path, err));
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (first) SG_TRY(sg__h5_try(fd, &r, first, err));
    r.file = sg__h5_driver_open(fd, path, r.source);
    if (r.file < 0) {
        st = sg__h5_read_failed(&r, "damaged or cut short", err);
        goto out;
    }
    close(fd);
    *in = r;
    return SG_OK;
out:
    if (fd >= 0) close(fd);
    free(r.path);
    free(r.source);
    return st;
}

void sg_h5_close(struct sg_h5_in *in) {
    if (!in || !in->path) return;
    H5Fclose(in->file);
    free(in->path);
    free(in->source);
    in->path = NULL;
    in->source = NULL;
    in->file = -1;
}

bool sg_h5_has(const struct sg_h5_in *in, const char *name) {
    bool there;
    return sg__h5_find(in, name, &there, NULL) != SG_OK || there;
}

/* ---- datasets ---- */

enum sg_status sg_h5_shape(const struct sg_h5_in *in, const char *name, int *rank,
                           int64_t dims[SG_H5_MAX_RANK], struct sg_err *err) {
    struct sg__h5_dataset d;
    enum sg_status st = sg__h5_dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    *rank = d.rank;
    st = sg__h5_dataset_bounded(in, name, &d, err);
    for (int i = 0; i < d.rank && st == SG_OK; i++) {
        if (d.dims[i] > (hsize_t)INT64_MAX)
            st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' has an axis of impossible size", in->path, name);
        dims[i] = (int64_t)d.dims[i];
    }
    sg__h5_dataset_close(&d);
    return st;
}

/* Numbers only into numbers; a float column is not silently cut to integers. */
static enum sg_status check_class(const struct sg_h5_in *in, const char *name, const struct sg__h5_dataset *d,
                                  enum sg_h5_type type, struct sg_err *err) {
    const H5T_class_t c = H5Tget_class(d->type);
    if (c == H5T_INTEGER || (c == H5T_FLOAT && is_float(type))) return SG_OK;
    return sg_fail(err, SG_E_INPUT, "%s: '%s' does not hold %s", in->path, name,
                   is_float(type) ? "numbers" : "integers");
}

enum { TRIED_BYTES = 1 << 20 }; /* numbers of a larger dataset are left out in a trial: they take long */

enum sg_status sg_h5_read(const struct sg_h5_in *in, const char *name, enum sg_h5_type type, int rank,
                          const int64_t *dims, void *data, struct sg_err *err) {
    struct sg__h5_dataset d;
    enum sg_status st = sg__h5_dataset_open(in, name, &d, err);
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
    SG_TRY(sg__h5_dataset_claim(in, name, &d, err));
    if (total && (!in->trial || d.bytes <= TRIED_BYTES) &&
        H5Dread(d.id, sg_h5_type_id(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        st = sg__h5_read_failed(in, name, err);
out:
    sg__h5_dataset_close(&d);
    return st;
}

enum sg_status sg_h5_read_part(const struct sg_h5_in *in, const char *name, enum sg_h5_type type,
                               int64_t first, int64_t n, void *data, struct sg_err *err) {
    struct sg__h5_dataset d;
    hid_t mem = -1;
    enum sg_status st = sg__h5_dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    SG_TRY(check_class(in, name, &d, type, err));
    if (d.rank != 1 || first < 0 || n < 0 || (uint64_t)first > d.dims[0] ||
        (uint64_t)n > d.dims[0] - (uint64_t)first) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' ends before element %" PRId64, in->path, name, first + n);
        goto out;
    }
    SG_TRY(sg__h5_dataset_bounded(in, name, &d, err));
    if (!n) goto out;
    const hsize_t start = (hsize_t)first, count = (hsize_t)n;
    mem = H5Screate_simple(1, &count, NULL);
    if (mem < 0 || H5Sselect_hyperslab(d.space, H5S_SELECT_SET, &start, NULL, &count, NULL) < 0 ||
        H5Dread(d.id, sg_h5_type_id(type), mem, d.space, H5P_DEFAULT, data) < 0)
        st = sg__h5_read_failed(in, name, err);
out:
    if (mem >= 0) H5Sclose(mem);
    sg__h5_dataset_close(&d);
    return st;
}

/* ---- strings ---- */

static enum sg_status keep(const char *s, size_t n, const char *path, const char *name,
                           struct sg_arena *arena, char **out, struct sg_err *err) {
    if (!sg_utf8_valid(s, n, NULL))
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' holds text that is not UTF-8", path, name);
    return sg_arena_dup(arena, s, n, out, err);
}

/* A dataset or an attribute of text. */
struct text {
    const struct sg_h5_in *in;
    const char *name;
    hid_t id, type, space;
    bool is_attribute;
    int64_t n;
};

/* Elements [first, first + n), all of them for an attribute or a single text. */
static bool read_texts(const struct text *t, hid_t type, int64_t first, int64_t n, void *data) {
    if (t->is_attribute) return H5Aread(t->id, type, data) >= 0;
    if (n == t->n) return H5Dread(t->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    const hsize_t start = (hsize_t)first, count = (hsize_t)n;
    const hid_t mem = H5Screate_simple(1, &count, NULL);
    const bool ok = mem >= 0 &&
                    H5Sselect_hyperslab(t->space, H5S_SELECT_SET, &start, NULL, &count, NULL) >= 0 &&
                    H5Dread(t->id, type, mem, t->space, H5P_DEFAULT, data) >= 0;
    if (mem >= 0) H5Sclose(mem);
    return ok;
}

/* Texts of variable length lie in a heap, to which any number of elements may point: they are read in slices, and
 * together they are no longer than the file. */
static enum sg_status take_variable(const struct text *t, hid_t mem, char **values, struct sg_arena *arena,
                                    struct sg_err *err) {
    enum { SLICE = 256 };
    enum sg_status st = SG_OK;
    uint64_t total = 0;
    for (int64_t first = 0; first < t->n && st == SG_OK; first += SLICE) {
        char *s[SLICE] = {0};
        const int64_t n = t->n - first < SLICE ? t->n - first : SLICE;
        if (!read_texts(t, mem, first, n, s)) return sg__h5_read_failed(t->in, t->name, err);
        for (int64_t i = 0; i < n && st == SG_OK; i++) {
            const size_t len = s[i] ? strlen(s[i]) : 0;
            total += len;
            st = total > t->in->size
                     ? sg_fail(err, SG_E_CORRUPT, "%s: '%s' holds more text than the file can", t->in->path,
                               t->name)
                     : keep(s[i] ? s[i] : "", len, t->in->path, t->name, arena, &values[first + i], err);
        }
        for (int64_t i = 0; i < n; i++) H5free_memory(s[i]);
    }
    return st;
}

static enum sg_status take_fixed(const struct text *t, hid_t mem, char **values, struct sg_arena *arena,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *fixed = NULL;
    const size_t width = H5Tget_size(t->type);
    const bool blanks = H5Tget_strpad(t->type) == H5T_STR_SPACEPAD;
    size_t bytes;
    if (!width || width > t->in->size || !sg_mul_size(width, (size_t)t->n, &bytes))
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' has strings of impossible length", t->in->path, t->name);
    SG_TRY(SG_NEW(&fixed, bytes, t->name, err));
    if (!read_texts(t, mem, 0, t->n, fixed)) {
        st = sg__h5_read_failed(t->in, t->name, err);
        goto out;
    }
    for (int64_t i = 0; i < t->n && st == SG_OK; i++) {
        const char *s = fixed + (size_t)i * width;
        size_t len = strnlen(s, width);
        while (blanks && len && s[len - 1] == ' ') len--;
        st = keep(s, len, t->in->path, t->name, arena, &values[i], err);
    }
out:
    free(fixed);
    return st;
}

/* n strings of any HDF5 string type into the arena. */
static enum sg_status take_strings(const struct text *t, char **values, struct sg_arena *arena,
                                   struct sg_err *err) {
    if (H5Tget_class(t->type) != H5T_STRING)
        return sg_fail(err, SG_E_INPUT, "%s: '%s' does not hold text", t->in->path, t->name);
    if (!t->n) return SG_OK;
    const hid_t mem = H5Tcopy(t->type); /* its own length, padding and character set: nothing is converted */
    if (mem < 0) return sg__h5_read_failed(t->in, t->name, err);
    const enum sg_status st = H5Tis_variable_str(t->type) > 0 ? take_variable(t, mem, values, arena, err)
                                                              : take_fixed(t, mem, values, arena, err);
    H5Tclose(mem);
    return st;
}

/* The n texts of an open dataset. */
static enum sg_status take_dataset(const struct sg_h5_in *in, const char *name,
                                   const struct sg__h5_dataset *d, int64_t n, char **values,
                                   struct sg_arena *arena, struct sg_err *err) {
    const struct text t = {in, name, d->id, d->type, d->space, false, n};
    const enum sg_status st = sg__h5_dataset_claim(in, name, d, err);
    return st == SG_OK ? take_strings(&t, values, arena, err) : st;
}

enum sg_status sg_h5_read_strings(const struct sg_h5_in *in, const char *name, int64_t n, char **values,
                                  struct sg_arena *arena, struct sg_err *err) {
    struct sg__h5_dataset d;
    enum sg_status st = sg__h5_dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    if (d.rank != 1 || d.dims[0] != (hsize_t)n)
        st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' does not have %" PRId64 " elements", in->path, name, n);
    else
        st = take_dataset(in, name, &d, n, values, arena, err);
    sg__h5_dataset_close(&d);
    return st;
}

enum sg_status sg_h5_read_text(const struct sg_h5_in *in, const char *name, char **value,
                               struct sg_arena *arena, struct sg_err *err) {
    *value = NULL;
    if (!sg_h5_has(in, name)) return SG_OK;
    struct sg__h5_dataset d;
    enum sg_status st = sg__h5_dataset_open(in, name, &d, err);
    if (st != SG_OK) return st;
    if (d.rank != 0)
        st = sg_fail(err, SG_E_CORRUPT, "%s: '%s' is not a single text", in->path, name);
    else
        st = take_dataset(in, name, &d, 1, value, arena, err);
    sg__h5_dataset_close(&d);
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
    bool there_is = true;
    if (strcmp(object, "/") != 0) {
        enum sg_status st = sg__h5_find(in, object, &there_is, err);
        if (st != SG_OK || !there_is) return st;
    }
    a->owner = H5Oopen(in->file, object, H5P_DEFAULT);
    const htri_t there = a->owner < 0 ? -1 : H5Aexists(a->owner, name);
    if (there > 0) {
        a->id = H5Aopen(a->owner, name, H5P_DEFAULT);
        if (a->id >= 0) a->type = H5Aget_type(a->id);
        if (a->type >= 0) a->space = H5Aget_space(a->id);
    }
    enum sg_status st = SG_OK;
    if (there < 0 || (there > 0 && a->space < 0))
        st = sg__h5_read_failed(in, name, err);
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
    st = take_strings(&(struct text){in, name, a.id, a.type, a.space, true, 1}, value, arena, err);
    attribute_close(&a);
    return st;
}

enum sg_status sg_h5_get_i64(const struct sg_h5_in *in, const char *object, const char *name, int64_t *value,
                             struct sg_err *err) {
    struct attribute a;
    bool found;
    enum sg_status st = attribute_open(in, object, name, &a, &found, err);
    if (st != SG_OK || !found) return st;
    if (H5Tget_class(a.type) != H5T_INTEGER)
        st = sg_fail(err, SG_E_INPUT, "%s: attribute '%s' is not an integer", in->path, name);
    else if (H5Aread(a.id, H5T_NATIVE_INT64, value) < 0)
        st = sg__h5_read_failed(in, name, err);
    attribute_close(&a);
    return st;
}

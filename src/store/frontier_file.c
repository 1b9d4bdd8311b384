#include "store/frontier_file.h"

#include "store/h5.h"

#include <string.h>

static const struct sg_frontier_axis *axis_named(const struct sg_frontier_axis *axes, int32_t n,
                                                 const char *name) {
    for (int32_t i = 0; i < n; i++)
        if (!strcmp(axes[i].name, name)) return &axes[i];
    return NULL;
}

static enum sg_status write_axis(struct sg_h5_out *out, const struct sg_frontier_axis *a,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (a->strings)
        return sg_h5_write_strings(out, out->file, a->name, a->name, a->n, a->strings, a->long_name, err);
    if (!a->values) return sg_h5_write_axis(out, out->file, a->name, a->n, err);
    SG_TRY(sg_h5_write_scale(out, out->file, a->name, SG_H5_F64, a->n, a->values, a->long_name, err));
    if (a->units) SG_TRY(sg_h5_attr_str(out, out->file, a->name, "units", a->units, err));
out:
    return st;
}

static enum sg_status write_var(struct sg_h5_out *out, const struct sg_frontier_var *v, int64_t n,
                                struct sg_err *err) {
    static const enum sg_h5_type type[] = {SG_H5_F64, SG_H5_I32};
    if (v->type == SG_FRONTIER_STRING)
        return sg_h5_write_strings(out, out->file, v->name, v->axes[0], n, v->data, v->long_name, err);
    struct sg_h5_var var = {.name = v->name,
                            .type = type[v->type],
                            .rank = v->rank,
                            .units = v->units,
                            .long_name = v->long_name};
    for (int32_t i = 0; i < v->rank; i++) var.axes[i] = v->axes[i];
    return sg_h5_write(out, out->file, &var, v->data, err);
}

enum sg_status sg_frontier_file_write(const char *path, const struct sg_frontier_axis *axes, int32_t n_axes,
                                      const struct sg_frontier_var *vars, int32_t n_vars,
                                      const struct sg_frontier_attr *attrs, int32_t n_attrs,
                                      struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_h5_out out = {0};
    SG_TRY(sg_h5_create(path, &out, err));
    for (int32_t i = 0; i < n_attrs; i++)
        SG_TRY(sg_h5_attr_str(&out, out.file, NULL, attrs[i].name, attrs[i].value, err));
    for (int32_t i = 0; i < n_axes; i++)
        if (axes[i].n > 0) SG_TRY(write_axis(&out, &axes[i], err));
    for (int32_t i = 0; i < n_vars; i++) {
        bool whole = true;
        int64_t n = 0;
        for (int32_t k = 0; k < vars[i].rank; k++) {
            const struct sg_frontier_axis *a = axis_named(axes, n_axes, vars[i].axes[k]);
            SG_ASSERT(a);
            whole = whole && a->n > 0;
            n = a->n;
        }
        if (whole && vars[i].data) SG_TRY(write_var(&out, &vars[i], n, err));
    }
    st = sg_h5_commit(&out, err);
    return st;
out:
    sg_h5_discard(&out);
    return st;
}

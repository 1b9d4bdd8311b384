/* frontier_file - writes named axes and variables into one HDF5 file that xarray (engine h5netcdf) opens as a
 * dataset. scope-frontier writes its numbers with it. It lies here because only src/store includes hdf5.h. */
#ifndef SG_STORE_FRONTIER_FILE_H
#define SG_STORE_FRONTIER_FILE_H

#include "base/status.h"
#include <stdint.h>

/* A coordinate: strings or values (one of both, the other NULL; both NULL: an axis without coordinates). */
struct sg_frontier_axis {
    const char *name;
    int64_t n; /* 0: the axis and all its variables are left out */
    char *const *strings;
    const double *values;
    const char *units, *long_name;
};

enum sg_frontier_type { SG_FRONTIER_F64, SG_FRONTIER_I32, SG_FRONTIER_STRING };

struct sg_frontier_var {
    const char *name;
    enum sg_frontier_type type; /* STRING: data is char *const *, rank 1 */
    int32_t rank;               /* 1 to 4 */
    const char *axes[4];        /* names of axes above */
    const void *data;           /* row-major */
    const char *units, *long_name;
};

struct sg_frontier_attr {
    const char *name, *value;
};

/* Writes under a temporary name and renames; an existing file survives any failure. */
enum sg_status sg_frontier_file_write(const char *path, const struct sg_frontier_axis *axes, int32_t n_axes,
                                      const struct sg_frontier_var *vars, int32_t n_vars,
                                      const struct sg_frontier_attr *attrs, int32_t n_attrs,
                                      struct sg_err *err);

#endif

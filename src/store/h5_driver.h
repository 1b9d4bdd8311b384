/* h5_driver - a file that HDF5 writes to and that cannot make HDF5 crash.
 *
 * After one failed write (disk full, quota) HDF5 1.10 cannot close the file any more and segfaults when the
 * program ends. This driver records the first failure and discards every write after it, so that HDF5 can
 * close the file; the caller checks `error` and removes the file. */
#ifndef SG_STORE_H5_DRIVER_H
#define SG_STORE_H5_DRIVER_H

#include <hdf5.h>

struct sg__h5_driver {
    int error; /* errno of the first failure, 0 without one */
};

/* Creates (or empties) `path` through the driver; <0 on failure, with sink->error set where the system
 * refused. The sink must outlive the file; H5Fclose closes it. */
hid_t sg__h5_driver_create(const char *path, struct sg__h5_driver *sink);

#endif

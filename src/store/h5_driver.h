/* h5_driver - files between HDF5 and the system.
 *
 * After one failed write (disk full, quota) HDF5 1.10 cannot close the file any more and segfaults when the
 * program ends. This driver records the first failure and discards every write after it, so that HDF5 can
 * close the file; the caller checks `error` and removes the file. It takes a descriptor: HDF5 opens nothing by
 * name. */
#ifndef SG_STORE_H5_DRIVER_H
#define SG_STORE_H5_DRIVER_H

#include <hdf5.h>

struct sg__h5_driver {
    int error;       /* errno of the first failure, 0 without one */
    uint64_t stored; /* bytes of the file that were read as data so far (the reader's count) */
};

/* Files on what fd is open on; the descriptor stays the caller's, `name` only names the file. <0 on failure, with
 * sink->error set where the system refused. The sink must outlive the file; H5Fclose closes it. Create: fd is new, to be
 * read and written. Open: to be read; a read that fails, or finds the file shorter than it was here, sets error and
 * fails. */
hid_t sg__h5_driver_create(int fd, const char *name, struct sg__h5_driver *sink);
hid_t sg__h5_driver_open(int fd, const char *name, struct sg__h5_driver *source);

#endif

/* h5_trial - a file is first read in a process of its own, with limits of time and memory.
 *
 * HDF5 1.10 trusts the inner structure of a file: made or damaged ones crash it (variable-length strings) or keep it
 * busy for ever. The checksum (h5_checksum.h) finds damage, not malice: anybody can compute one. So a child reads the
 * names, shapes, attributes and texts, and walks the indices of the chunks; of the numbers it leaves out datasets
 * above 1 MiB, which pass through deflate alone. If the child lives, this process does the same and reads the numbers, too. */
#ifndef SG_STORE_H5_TRIAL_H
#define SG_STORE_H5_TRIAL_H

#include "store/h5.h"

/* Does it in a child, where in->trial is set, and returns what it returned there; SG_E_CORRUPT when the child crashed or
 * computed for too long (says which). Without a process to spare the file counts as tried. in: not open yet; fd: the
 * file. */
enum sg_status sg__h5_try(int fd, const struct sg_h5_in *in, const struct sg_h5_try *what,
                          struct sg_err *err);

#endif

/* h5_checksum - a checksum over a whole HDF5 file, in 40 bytes after its end.
 *
 * HDF5 1.10 trusts its metadata: one flipped bit can make it read wild pointers (1 in 200 of such files
 * crashed it). So the file is judged before HDF5 sees it. HDF5 ignores what follows its end and cuts it off
 * when it changes a file: a file that other tools have edited has no seal, and is then read without. A part of
 * a seal, or one that is not ours, is damage.
 *
 *   magic[8] "SGH5SEAL" | u64 bytes before the seal | u64 hi, lo XXH3-128 of them | u64 XXH3-64 of what
 * precedes */
#ifndef SG_STORE_H5_CHECKSUM_H
#define SG_STORE_H5_CHECKSUM_H

#include "base/status.h"
#include <stddef.h>

enum { SG_H5_CHECKSUM_BYTES = 40 };

/* Appends the seal to the file at path. */
enum sg_status sg__h5_checksum_write(const char *path, struct sg_err *err);
/* SG_E_CORRUPT when there is a seal, or a part of one, and it does not fit; SG_OK without one. */
enum sg_status sg__h5_checksum_check(const void *bytes, size_t size, const char *path, struct sg_err *err);

#endif

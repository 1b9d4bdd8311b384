/* h5_checksum - a checksum over a whole HDF5 file, in 40 bytes after its end.
 *
 * HDF5 1.10 trusts its metadata: one flipped bit can make it read wild pointers (1 in 200 of such files
 * crashed it). The reader therefore checks the file before HDF5 opens it. HDF5 ignores bytes behind its own
 * end and cuts them off when it changes a file: a file that another tool has edited has no checksum and is
 * read without one. A part of a checksum, or one of another layout, is damage.
 *
 *   magic[8] "SGH5SEAL" | u64 bytes before the magic | u64 hi, lo of their XXH3-128 |
 *   u64 XXH3-64 of the 32 bytes before */
#ifndef SG_STORE_H5_CHECKSUM_H
#define SG_STORE_H5_CHECKSUM_H

#include "base/status.h"
#include <stdint.h>

enum { SG_H5_CHECKSUM_BYTES = 40 };

/* Appends the checksum to the file, which is open to be read and written. */
enum sg_status sg__h5_checksum_write(int fd, const char *path, struct sg_err *err);
/* SG_E_CORRUPT when the file of `size` bytes has a checksum, or a part of one, that does not fit; SG_OK without
 * one. start: its first 64 bytes, zeros past its end. */
enum sg_status sg__h5_checksum_check(int fd, uint64_t size, const unsigned char start[64], const char *path,
                                     struct sg_err *err);

#endif

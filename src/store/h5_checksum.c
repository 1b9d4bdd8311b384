#include "store/h5_checksum.h"

#include "base/digest.h"
#include "base/file.h"
#include "store/bytes.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static const unsigned char magic[8] = {'S', 'G', 'H', '5', 'S', 'E', 'A', 'L'};

/* The digest of the first n bytes, read in blocks: a mapping would end the program when the file shrinks. */
static enum sg_status digest_of(int fd, uint64_t n, const char *path, struct sg_digest *out,
                                struct sg_err *err) {
    enum { BLOCK = 1 << 20 };
    enum sg_status st = SG_OK;
    struct sg_hasher *h = NULL;
    unsigned char *block = NULL;
    SG_TRY(sg_hasher_new(&h, err));
    SG_TRY(SG_NEW(&block, BLOCK, path, err));
    for (uint64_t at = 0; at < n;) {
        const size_t k = n - at < BLOCK ? (size_t)(n - at) : BLOCK;
        SG_TRY(sg_fd_read_at(fd, block, k, at, path, err));
        sg_hasher_raw(h, block, k);
        at += k;
    }
    *out = sg_hasher_end(h);
out:
    free(block);
    sg_hasher_free(h);
    return st;
}

enum sg_status sg__h5_checksum_write(int fd, const char *path, struct sg_err *err) {
    struct sg_digest d;
    const off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0) return sg_fail(err, SG_E_IO, "%s: cannot write: %s", path, strerror(errno));
    enum sg_status st = digest_of(fd, (uint64_t)end, path, &d, err);
    if (st != SG_OK) return st;
    unsigned char seal[SG_H5_CHECKSUM_BYTES];
    unsigned char *p = sg__put_bytes(seal, magic, sizeof magic);
    p = sg__put_uint(p, (uint64_t)end, 8);
    p = sg__put_uint(p, d.hi, 8);
    p = sg__put_uint(p, d.lo, 8);
    sg__save(p, sg_hash64(seal, SG_H5_CHECKSUM_BYTES - 8), 8);
    return sg_fd_write(fd, seal, sizeof seal, path, err);
}

/* The end of the file as its superblock gives it (HDF5 File Format Specification, II.A); 0 when unknown:
 * another version of the superblock, or a user block in front. */
static uint64_t own_end(const unsigned char *b, uint64_t size) {
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (size < 64 || memcmp(b, signature, sizeof signature) != 0) return 0;
    const bool old = b[8] < 2; /* versions 0 and 1; 2 and 3 are shorter */
    if (b[8] > 3 || b[old ? 13 : 9] != 8) return 0;
    const int base = b[8] == 0 ? 24 : b[8] == 1 ? 28 : 12;
    return sg__load(b + base, 8) == 0 ? sg__load(b + base + 16, 8) : 0;
}

enum sg_status sg__h5_checksum_check(int fd, uint64_t size, const unsigned char start[64], const char *path,
                                     struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_digest d;
    unsigned char seal[SG_H5_CHECKSUM_BYTES];
    if (size < SG_H5_CHECKSUM_BYTES) return SG_OK;
    const uint64_t body = size - SG_H5_CHECKSUM_BYTES;
    SG_TRY(sg_fd_read_at(fd, seal, sizeof seal, body, path, err));
    if (memcmp(seal, magic, sizeof magic) != 0) {
        const uint64_t end = own_end(start, size);
        if (end != 0 && size > end && size - end <= SG_H5_CHECKSUM_BYTES)
            st = sg_fail(err, SG_E_CORRUPT, "%s: damaged or cut short: the checksum at its end is not whole",
                         path);
        goto out;
    }
    SG_TRY(digest_of(fd, body, path, &d, err));
    if (sg__load(seal + 32, 8) != sg_hash64(seal, 32) || sg__load(seal + 8, 8) != body ||
        sg__load(seal + 16, 8) != d.hi || sg__load(seal + 24, 8) != d.lo)
        st = sg_fail(err, SG_E_CORRUPT, "%s: damaged: its bytes do not have the checksum at its end", path);
out:
    return st;
}

#include "store/h5_checksum.h"

#include "base/digest.h"
#include "base/file.h"
#include "store/bytes.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const unsigned char magic[8] = {'S', 'G', 'H', '5', 'S', 'E', 'A', 'L'};

enum sg_status sg__h5_checksum_write(const char *path, struct sg_err *err) {
    struct sg_map map = {0};
    enum sg_status st = sg_map_open(path, &map, err);
    if (st != SG_OK) return st;
    const struct sg_digest d = sg_digest_bytes(map.data, map.size);
    unsigned char seal[SG_H5_CHECKSUM_BYTES];
    unsigned char *p = sg__put_bytes(seal, magic, sizeof magic);
    p = sg__put_uint(p, map.size, 8);
    p = sg__put_uint(p, d.hi, 8);
    p = sg__put_uint(p, d.lo, 8);
    sg__save(p, sg_hash64(seal, SG_H5_CHECKSUM_BYTES - 8), 8);
    sg_map_close(&map);
    const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) return sg_fail(err, SG_E_IO, "%s: cannot open: %s", path, strerror(errno));
    st = sg_fd_write(fd, seal, sizeof seal, path, err);
    if (close(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", path, strerror(errno));
    return st;
}

/* The end of the file as its superblock gives it (HDF5 File Format Specification, II.A); 0 when unknown:
 * another version of the superblock, or a user block in front. */
static uint64_t own_end(const unsigned char *b, size_t size) {
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (size < 64 || memcmp(b, signature, sizeof signature) != 0) return 0;
    const bool old = b[8] < 2; /* versions 0 and 1; 2 and 3 are shorter */
    if (b[8] > 3 || b[old ? 13 : 9] != 8) return 0;
    const int base = b[8] == 0 ? 24 : b[8] == 1 ? 28 : 12;
    return sg__load(b + base, 8) == 0 ? sg__load(b + base + 16, 8) : 0;
}

enum sg_status sg__h5_checksum_check(const void *bytes, size_t size, const char *path, struct sg_err *err) {
    if (size < SG_H5_CHECKSUM_BYTES) return SG_OK;
    const size_t body = size - SG_H5_CHECKSUM_BYTES;
    const unsigned char *seal = (const unsigned char *)bytes + body;
    if (memcmp(seal, magic, sizeof magic) != 0) {
        const uint64_t end = own_end(bytes, size);
        if (end == 0 || size <= end || size - end > SG_H5_CHECKSUM_BYTES) return SG_OK;
        return sg_fail(err, SG_E_CORRUPT, "%s: damaged or cut short: the checksum at its end is not whole",
                       path);
    }
    const struct sg_digest d = sg_digest_bytes(bytes, body);
    if (sg__load(seal + 32, 8) != sg_hash64(seal, 32) || sg__load(seal + 8, 8) != body ||
        sg__load(seal + 16, 8) != d.hi || sg__load(seal + 24, 8) != d.lo)
        return sg_fail(err, SG_E_CORRUPT, "%s: damaged: its bytes do not have the checksum at its end", path);
    return SG_OK;
}

#include "store/h5_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__has_include)
#    if __has_include(<H5FDdevelop.h>)
#        include <H5FDdevelop.h> /* HDF5 1.13 and later keep the driver's interface there */
#    endif
#endif

struct file {
    H5FD_t base; /* HDF5's own part: must be first */
    int fd;
    haddr_t eoa, eof; /* end of what is allocated, end of what was written (or discarded) */
    haddr_t size;     /* of a file that is read, when it was opened; 0 for one that is written */
    char *whole;      /* [size]: the bytes of a small one; else NULL */
    struct sg__h5_driver *sink;
};
struct info {
    struct sg__h5_driver *sink;
    int fd;
    int create; /* else it is read */
};

/* Reads up to `size` bytes at addr; *n: how many there were. The errno of a failure, ENODATA when the file has become
 * shorter. */
static int read_bytes(const struct file *f, haddr_t addr, char *p, size_t size, size_t *n) {
    for (*n = 0; *n < size;) {
        const ssize_t got = pread(f->fd, p + *n, size - *n, (off_t)(addr + *n));
        if (got < 0 && errno != EINTR) return errno;
        if (got == 0) return addr + *n < f->size ? ENODATA : 0;
        if (got > 0) *n += (size_t)got;
    }
    return 0;
}

/* HDF5 reads the structure of a file some hundred bytes at a time. A file of at most so many bytes is read at once. */
enum { SMALL = 4 << 20 };

static H5FD_t *sink_open(const char *name, unsigned flags, hid_t fapl, haddr_t maxaddr) {
    (void)name, (void)flags, (void)maxaddr;
    const struct info *info = H5Pget_driver_info(fapl);
    if (!info) return NULL;
    struct file *f = calloc(1, sizeof *f);
    if (!f) {
        info->sink->error = ENOMEM;
        return NULL;
    }
    f->sink = info->sink;
    struct stat s = {0};
    size_t n;
    f->fd = fcntl(info->fd, F_DUPFD_CLOEXEC, 0);
    if (f->fd < 0 || (!info->create && fstat(f->fd, &s) != 0)) f->sink->error = errno;
    if (!info->create) f->eof = f->size = (haddr_t)s.st_size;
    if (!f->sink->error && f->size && f->size <= SMALL) {
        f->whole = malloc(f->size);
        f->sink->error = f->whole ? read_bytes(f, 0, f->whole, f->size, &n) : ENOMEM;
    }
    if (!f->sink->error) return &f->base;
    if (f->fd >= 0) close(f->fd);
    free(f->whole);
    free(f);
    return NULL;
}

static herr_t sink_close(H5FD_t *base) {
    struct file *f = (struct file *)base;
    if (close(f->fd) != 0 && !f->sink->error) f->sink->error = errno;
    free(f->whole);
    free(f);
    return 0;
}

static int sink_cmp(const H5FD_t *a, const H5FD_t *b) {
    return a < b ? -1 : a > b;
}

static herr_t sink_query(const H5FD_t *f, unsigned long *flags) {
    (void)f;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t sink_get_eoa(const H5FD_t *base, H5FD_mem_t type) {
    (void)type;
    return ((const struct file *)base)->eoa;
}
static herr_t sink_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t addr) {
    (void)type;
    ((struct file *)base)->eoa = addr;
    return 0;
}
static haddr_t sink_get_eof(const H5FD_t *base, H5FD_mem_t type) {
    (void)type;
    return ((const struct file *)base)->eof;
}

/* Past the end of the file there are zeros, as HDF5 expects; not where a file that is read has become shorter, and not
 * for a damaged size, which would fill gigabytes. */
enum { PAST_END = 1 << 16 };
static herr_t sink_read(H5FD_t *base, H5FD_mem_t type, hid_t dxpl, haddr_t addr, size_t size, void *buffer) {
    (void)type, (void)dxpl;
    struct file *f = (struct file *)base;
    size_t n = 0;
    if (f->size && (addr > f->size || size > f->size - addr + PAST_END)) return -1;
    if (f->whole) {
        n = size < f->size - addr ? size : f->size - addr;
        memcpy(buffer, f->whole + addr, n);
    } else {
        const int error = read_bytes(f, addr, buffer, size, &n);
        if (error && !f->sink->error) f->sink->error = error;
    }
    if (f->size && f->sink->error) return -1;
    memset((char *)buffer + n, 0, size - n);
    return 0;
}

static herr_t sink_write(H5FD_t *base, H5FD_mem_t type, hid_t dxpl, haddr_t addr, size_t size,
                         const void *buffer) {
    (void)type, (void)dxpl;
    struct file *f = (struct file *)base;
    const char *p = buffer;
    if (addr + size > f->eof) f->eof = addr + size;
    while (size && !f->sink->error) {
        const ssize_t n = pwrite(f->fd, p, size, (off_t)addr);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            f->sink->error = n < 0 ? errno : ENOSPC;
            break;
        }
        p += n;
        size -= (size_t)n;
        addr += (haddr_t)n;
    }
    return 0;
}

static herr_t sink_truncate(H5FD_t *base, hid_t dxpl, hbool_t closing) {
    (void)dxpl, (void)closing;
    struct file *f = (struct file *)base;
    if (!f->sink->error && ftruncate(f->fd, (off_t)f->eoa) != 0) f->sink->error = errno;
    f->eof = f->eoa;
    return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)512, /* from here on values are free for drivers of applications */
#endif
    .name = "scope-grid-sink",
    .maxaddr = ((haddr_t)1 << 62) - 1,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct info),
    .open = sink_open,
    .close = sink_close,
    .cmp = sink_cmp,
    .query = sink_query,
    .get_eoa = sink_get_eoa,
    .set_eoa = sink_set_eoa,
    .get_eof = sink_get_eof,
    .read = sink_read,
    .write = sink_write,
    .truncate = sink_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

static hid_t with_driver(const char *name, const struct info *info) {
    *info->sink = (struct sg__h5_driver){0};
    const hid_t id = H5FDregister(&driver);
    const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;
    /* Attributes and groups in the form that h5netcdf and old readers know; no time stamps. */
    if (id >= 0 && fapl >= 0 && H5Pset_driver(fapl, id, info) >= 0 &&
        H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG) >= 0)
        file = info->create ? H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, fapl)
                            : H5Fopen(name, H5F_ACC_RDONLY, fapl);
    if (fapl >= 0) H5Pclose(fapl);
    if (id >= 0) H5FDunregister(id); /* the open file keeps its own reference */
    return file;
}

hid_t sg__h5_driver_create(int fd, const char *name, struct sg__h5_driver *sink) {
    return with_driver(name, &(struct info){.sink = sink, .fd = fd, .create = 1});
}

hid_t sg__h5_driver_open(int fd, const char *name, struct sg__h5_driver *source) {
    return with_driver(name, &(struct info){.sink = source, .fd = fd});
}

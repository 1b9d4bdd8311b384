#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIPE_SECONDS = 5 }; /* how long a pipe may stay silent before its first byte */

/* Opens without waiting: open() of a named pipe without a writer would block for ever. */
static enum sg_status open_any(const char *path, int *out, struct stat *s, struct sg_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) { /* errors that the user can mend are bad input, others SG_E_IO */
        int e = errno;
        bool theirs =
            e == ENOENT || e == ENOTDIR || e == EACCES || e == ELOOP || e == ENAMETOOLONG || e == ENXIO;
        return sg_fail(err, theirs ? SG_E_INPUT : SG_E_IO, "%s: cannot open: %s", path, strerror(e));
    }
    if (fstat(fd, s) != 0 || S_ISDIR(s->st_mode)) {
        close(fd);
        return sg_fail(err, SG_E_INPUT, "%s: is a folder, not a regular file", path);
    }
    *out = fd;
    return SG_OK;
}

enum sg_status sg_file_open(const char *path, int *out, struct sg_err *err) {
    struct stat s;
    int fd = -1, n = 1;
    enum sg_status st = open_any(path, &fd, &s, err);
    if (st != SG_OK) return st;
    struct pollfd first = {.fd = fd, .events = POLLIN};
    if (S_ISFIFO(s.st_mode)) {
        do n = poll(&first, 1, PIPE_SECONDS * 1000);
        while (n < 0 && errno == EINTR);
    }
    if (n < 1) {
        st = sg_fail(err, SG_E_INPUT, "%s: is a pipe that nobody has written to for %d s", path,
                     (int)PIPE_SECONDS);
    } else if (!S_ISREG(s.st_mode) && fcntl(fd, F_SETFL, 0) < 0) { /* from here on reading waits */
        st = sg_fail(err, SG_E_IO, "%s: cannot be read from: %s", path, strerror(errno));
    }
    if (st == SG_OK)
        *out = fd;
    else
        close(fd);
    return st;
}

enum sg_status sg_file_open_regular(const char *path, int *fd_out, uint64_t *size, struct sg_err *err) {
    int fd = -1;
    struct stat s;
    enum sg_status st = open_any(path, &fd, &s, err);
    if (st != SG_OK) return st;
    if (!S_ISREG(s.st_mode)) {
        close(fd);
        return sg_fail(err, SG_E_INPUT, "%s: is not a regular file", path);
    }
    *fd_out = fd;
    *size = (uint64_t)s.st_size;
    return SG_OK;
}

enum sg_status sg_map_open(const char *path, struct sg_map *out, struct sg_err *err) {
    int fd = -1;
    uint64_t bytes = 0;
    enum sg_status st = sg_file_open_regular(path, &fd, &bytes, err);
    if (st != SG_OK) return st;
    const size_t size = (size_t)bytes;
    void *p = NULL;
    if (size) {
        p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            int e = errno;
            close(fd);
            return sg_fail(err, SG_E_IO, "%s: cannot map %zu bytes: %s", path, size, strerror(e));
        }
    }
    close(fd);
    out->data = out->mapping = p;
    out->size = size;
    return SG_OK;
}

void sg_map_close(struct sg_map *m) {
    if (!m) return;
    if (m->mapping) munmap(m->mapping, m->size);
    *m = (struct sg_map){0};
}

enum sg_status sg_file_read(const char *path, size_t max_bytes, struct sg_buf *out, struct sg_err *err) {
    int fd = -1;
    uint64_t bytes = 0;
    size_t start = out->len;
    enum sg_status st = sg_file_open_regular(path, &fd, &bytes, err);
    if (st != SG_OK) return st;
    const size_t size = (size_t)bytes;
    if (size > max_bytes) {
        st = sg_fail(err, SG_E_INPUT, "%s: is %zu bytes long; at most %zu are accepted here", path, size,
                     max_bytes);
        goto out;
    }
    SG_TRY(SG_GROW(&out->data, &out->cap, start + size + 1, path, err));
    while (out->len - start < size) {
        ssize_t n = read(fd, out->data + out->len, size - (out->len - start));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            st = sg_fail(err, SG_E_IO, "%s: cannot read: %s", path, strerror(errno));
            goto out;
        }
        if (n == 0) break; /* the file has shrunk: the parser judges what was read */
        out->len += (size_t)n;
    }
    out->data[out->len] = 0;
out:
    close(fd);
    if (st != SG_OK) out->len = start;
    return st;
}

enum sg_status sg_fd_read_at(int fd, void *bytes, size_t n, uint64_t offset, const char *path,
                             struct sg_err *err) {
    char *p = bytes;
    while (n) {
        const ssize_t k = pread(fd, p, n, (off_t)offset);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return sg_fail(err, SG_E_IO, "%s: cannot read: %s", path, strerror(errno));
        if (k == 0) return sg_fail(err, SG_E_CORRUPT, "%s: has become shorter while it was read", path);
        p += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    return SG_OK;
}

bool sg_file_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool sg_dir_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

enum sg_status sg_fd_write(int fd, const void *bytes, size_t n, const char *path, struct sg_err *err) {
    const char *p = bytes;
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return sg_fail(err, SG_E_IO, "%s: cannot write: %s", path, strerror(errno));
        p += k;
        n -= (size_t)k;
    }
    return SG_OK;
}

enum sg_status sg_dir_sync(const char *dir, struct sg_err *err) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return sg_fail(err, SG_E_IO, "%s: cannot open directory: %s", dir, strerror(errno));
    int bad = fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP; /* some file systems have none */
    int e = errno;
    close(fd);
    return bad ? sg_fail(err, SG_E_IO, "%s: cannot sync directory: %s", dir, strerror(e)) : SG_OK;
}

enum sg_status sg_file_commit(const char *tmp_path, const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *dir = NULL;
    int fd = open(tmp_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return sg_fail(err, SG_E_IO, "%s: cannot open: %s", tmp_path, strerror(errno));
    if (fsync(fd) != 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot sync: %s", tmp_path, strerror(errno));
        goto out;
    }
    SG_TRY(sg_path_dir(path, &dir, err)); /* before the rename, so that SG_E_NOMEM means no file */
    if (rename(tmp_path, path) != 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot rename to %s: %s", tmp_path, path, strerror(errno));
        goto out;
    }
    SG_TRY(sg_dir_sync(dir, err));
out:
    close(fd);
    free(dir);
    return st;
}

enum sg_status sg_file_write_atomic(const char *path, const void *bytes, size_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf tmp = {0};
    int fd = -1;
    SG_TRY(sg_buf_printf(&tmp, err, "%s.tmp.%ld", path, (long)getpid()));
    fd = open(tmp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", tmp.data, strerror(errno));
        goto out;
    }
    st = sg_fd_write(fd, bytes, n, tmp.data, err);
    if (close(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", tmp.data, strerror(errno));
    if (st == SG_OK) st = sg_file_commit(tmp.data, path, err);
    if (st != SG_OK) unlink(tmp.data);
out:
    sg_buf_free(&tmp);
    return st;
}

enum sg_status sg_dir_make(const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t n = strlen(path);
    char *p = NULL;
    SG_TRY(SG_NEW(&p, n + 1, "path", err));
    memcpy(p, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (p[i] != '/' && p[i] != 0) continue;
        char c = p[i];
        p[i] = 0;
        const int e = mkdir(p, 0777) == 0 ? 0 : errno; /* the next line has an errno of its own */
        if (e && !sg_dir_exists(p)) {
            st = sg_fail(err, SG_E_IO, "%s: cannot make directory: %s", p, strerror(e));
            goto out;
        }
        p[i] = c;
    }
out:
    free(p);
    return st;
}

enum sg_status sg_path_join(const char *base, const char *name, char **out, struct sg_err *err) {
    struct sg_buf b = {0};
    enum sg_status st = name[0] == '/' || !strcmp(base, ".") ? sg_buf_str(&b, name, err)
                                                             : sg_buf_printf(&b, err, "%s/%s", base, name);
    if (st == SG_OK)
        *out = b.data;
    else
        sg_buf_free(&b);
    return st;
}

enum sg_status sg_path_dir(const char *path, char **out, struct sg_err *err) {
    const char *slash = strrchr(path, '/');
    struct sg_buf b = {0};
    enum sg_status st = !slash          ? sg_buf_str(&b, ".", err)
                        : slash == path ? sg_buf_str(&b, "/", err)
                                        : sg_buf_add(&b, path, (size_t)(slash - path), err);
    if (st == SG_OK)
        *out = b.data;
    else
        sg_buf_free(&b);
    return st;
}

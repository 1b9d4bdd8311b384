#include "base/file.h"

#include "base/digest.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIPE_SECONDS = 5 }; /* how long a pipe may stay silent before its first byte */

/* Opens without waiting: open() of a named pipe without a writer would block for ever. */
int sg_open_at(int dir, const char *name, enum sg_open how) {
    static const int flags[] = {
        [SG_OPEN_INPUT] = O_RDONLY,
        [SG_OPEN_PIPE] = O_RDONLY,
        [SG_OPEN_OWN] = O_RDONLY | O_NOFOLLOW,
        [SG_OPEN_NEW] = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
        [SG_OPEN_APPEND] = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW,
    };
    int fd, e = 0;
    do fd = openat(dir, name, flags[how] | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return fd;
    struct stat s;
    if (fstat(fd, &s) != 0)
        e = errno;
    else if (S_ISDIR(s.st_mode))
        e = EISDIR;
    else if (!S_ISREG(s.st_mode) && how != SG_OPEN_PIPE)
        e = ENXIO;
    if (!e) return fd;
    close(fd);
    errno = e;
    return -1;
}

int sg_open(const char *path, enum sg_open how) {
    return sg_open_at(AT_FDCWD, path, how);
}

const char *sg_open_reason(int error) {
    return error == ELOOP    ? "is a symbolic link (or a circle of them), which is not followed here"
           : error == EISDIR ? "is a folder, not a regular file"
           : error == ENXIO  ? "is not a regular file"
                             : strerror(error);
}

static int open_dir(const char *path, int more) {
    int fd;
    do fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | more);
    while (fd < 0 && errno == EINTR);
    return fd;
}

DIR *sg_dir_open(const char *path, bool follow) {
    const int fd = open_dir(path, follow ? 0 : O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !d) {
        const int e = errno;
        close(fd);
        errno = e;
    }
    return d;
}

uint64_t sg_random_number(void) {
    uint64_t n;
    if (getrandom(&n, sizeof n, GRND_NONBLOCK) == (ssize_t)sizeof n) return n;
    struct {
        struct timespec now;
        int64_t pid;
    } seed = {.pid = (int64_t)getpid()};
    clock_gettime(CLOCK_REALTIME, &seed.now);
    return sg_hash64(&seed, sizeof seed);
}

static const char tmp_mark[] = ".tmp.";

enum sg_status sg_temp_open(const char *path, char **tmp, int *fd_out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf name = {0};
    int fd = -1;
    for (int tries = 0; fd < 0; tries++) {
        sg_buf_clear(&name);
        SG_TRY(sg_buf_printf(&name, err, "%s%s%020" PRIu64, path, tmp_mark, sg_random_number()));
        fd = sg_open(name.data, SG_OPEN_NEW);
        if (fd < 0 && (errno != EEXIST || tries > 100)) {
            st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", name.data, sg_open_reason(errno));
            goto out;
        }
    }
    *tmp = name.data;
    *fd_out = fd;
    return SG_OK;
out:
    sg_buf_free(&name);
    return st;
}

bool sg_temp_is(const char *file, const char *name) {
    const char *tail = NULL;
    for (const char *at = file; (at = strstr(at, tmp_mark)); at++) tail = at;
    if (!tail || !tail[5] || tail[5 + strspn(tail + 5, "0123456789")]) return false;
    const size_t n = (size_t)(tail - file);
    return n > 0 && (!name || (strlen(name) == n && !strncmp(file, name, n)));
}

void sg_temp_tidy(const char *dir, const char *folder, const char *const *names, int age) {
    char path[4096], *file = NULL, *own = NULL;
    struct stat s, now = {0};
    int fd = -1;
    const int n = snprintf(path, sizeof path, "%s/%s", dir, folder);
    DIR *d = n > 0 && (size_t)n < sizeof path ? sg_dir_open(path, false) : NULL;
    if (!d) goto out;
    if (age && (sg_path_join(path, names[0], &file, NULL) != SG_OK ||
                sg_temp_open(file, &own, &fd, NULL) != SG_OK || fstat(fd, &now) != 0))
        goto out;
    for (const struct dirent *e; (e = readdir(d));) {
        bool ours = !names && sg_temp_is(e->d_name, NULL);
        for (size_t i = 0; names && names[i] && !ours; i++) ours = sg_temp_is(e->d_name, names[i]);
        if (ours && age)
            ours =
                fstatat(dirfd(d), e->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 && s.st_mtime < now.st_mtime - age;
        if (ours) (void)unlinkat(dirfd(d), e->d_name, 0);
    }
out:
    if (fd >= 0) close(fd);
    if (own) unlink(own);
    if (d) closedir(d);
    free(file);
    free(own);
}

/* Opens for a reader who is told why not: errors that the user can mend are bad input, others SG_E_IO. */
static enum sg_status open_any(const char *path, enum sg_open how, int *out, struct stat *s,
                               struct sg_err *err) {
    const int fd = sg_open(path, how), e = errno;
    if (fd < 0) {
        const bool kind = e == EISDIR || e == ENXIO || (e == ELOOP && how == SG_OPEN_OWN);
        const bool theirs =
            kind || e == ENOENT || e == ENOTDIR || e == EACCES || e == ELOOP || e == ENAMETOOLONG;
        return sg_fail(err, theirs ? SG_E_INPUT : SG_E_IO, "%s: %s%s", path,
                       kind ? "" : "cannot open: ", kind ? sg_open_reason(e) : strerror(e));
    }
    if (fstat(fd, s) != 0) {
        const int why = errno;
        close(fd);
        return sg_fail(err, SG_E_IO, "%s: cannot open: %s", path, strerror(why));
    }
    *out = fd;
    return SG_OK;
}

enum sg_status sg_file_open(const char *path, int *out, struct sg_err *err) {
    struct stat s;
    int fd = -1, n = 1;
    enum sg_status st = open_any(path, SG_OPEN_PIPE, &fd, &s, err);
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

static enum sg_status open_regular(const char *path, enum sg_open how, int *fd, uint64_t *size,
                                   struct sg_err *err) {
    struct stat s;
    enum sg_status st = open_any(path, how, fd, &s, err);
    if (st == SG_OK) *size = (uint64_t)s.st_size;
    return st;
}

enum sg_status sg_file_open_regular(const char *path, int *fd, uint64_t *size, struct sg_err *err) {
    return open_regular(path, SG_OPEN_INPUT, fd, size, err);
}

static enum sg_status map(const char *path, enum sg_open how, struct sg_map *out, struct sg_err *err) {
    int fd = -1;
    uint64_t bytes = 0;
    enum sg_status st = open_regular(path, how, &fd, &bytes, err);
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

enum sg_status sg_map_open(const char *path, struct sg_map *out, struct sg_err *err) {
    return map(path, SG_OPEN_INPUT, out, err);
}
enum sg_status sg_map_own(const char *path, struct sg_map *out, struct sg_err *err) {
    return map(path, SG_OPEN_OWN, out, err);
}

void sg_map_close(struct sg_map *m) {
    if (!m) return;
    if (m->mapping) munmap(m->mapping, m->size);
    *m = (struct sg_map){0};
}

int64_t sg_fd_read(int fd, void *bytes, size_t n) {
    size_t got = 0;
    while (got < n) {
        const ssize_t k = read(fd, (char *)bytes + got, n - got);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        if (k == 0) break;
        got += (size_t)k;
    }
    return (int64_t)got;
}

static enum sg_status read_whole(const char *path, enum sg_open how, size_t max_bytes, struct sg_buf *out,
                                 struct sg_err *err) {
    int fd = -1;
    uint64_t bytes = 0;
    size_t start = out->len;
    enum sg_status st = open_regular(path, how, &fd, &bytes, err);
    if (st != SG_OK) return st;
    const size_t size = (size_t)bytes;
    if (size > max_bytes) {
        st = sg_fail(err, SG_E_INPUT, "%s: is %zu bytes long; at most %zu are accepted here", path, size,
                     max_bytes);
        goto out;
    }
    SG_TRY(SG_GROW(&out->data, &out->cap, start + size + 1, path, err));
    const int64_t n = sg_fd_read(fd, out->data + start, size); /* shrunk: the parser judges what was read */
    if (n < 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot read: %s", path, strerror(errno));
        goto out;
    }
    out->len += (size_t)n;
    out->data[out->len] = 0;
out:
    close(fd);
    if (st != SG_OK) out->len = start;
    return st;
}

enum sg_status sg_file_read(const char *path, size_t max_bytes, struct sg_buf *out, struct sg_err *err) {
    return read_whole(path, SG_OPEN_INPUT, max_bytes, out, err);
}
enum sg_status sg_file_read_own(const char *path, size_t max_bytes, struct sg_buf *out, struct sg_err *err) {
    return read_whole(path, SG_OPEN_OWN, max_bytes, out, err);
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
    const int fd = open_dir(dir, 0);
    if (fd < 0) return sg_fail(err, SG_E_IO, "%s: cannot open directory: %s", dir, strerror(errno));
    int bad = fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP; /* some file systems have none */
    int e = errno;
    close(fd);
    return bad ? sg_fail(err, SG_E_IO, "%s: cannot sync directory: %s", dir, strerror(e)) : SG_OK;
}

enum sg_status sg_file_commit(const char *tmp_path, const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *dir = NULL;
    const int fd = sg_open(tmp_path, SG_OPEN_OWN);
    if (fd < 0) return sg_fail(err, SG_E_IO, "%s: cannot open: %s", tmp_path, sg_open_reason(errno));
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

static enum sg_status write_renamed(const char *path, const void *bytes, size_t n, bool sync,
                                    struct sg_err *err) {
    char *tmp = NULL;
    int fd = -1;
    enum sg_status st = sg_temp_open(path, &tmp, &fd, err);
    if (st != SG_OK) return st;
    st = sg_fd_write(fd, bytes, n, tmp, err);
    if (close(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", tmp, strerror(errno));
    if (st == SG_OK && sync) st = sg_file_commit(tmp, path, err);
    if (st == SG_OK && !sync && rename(tmp, path) != 0)
        st = sg_fail(err, SG_E_IO, "%s: cannot rename to %s: %s", tmp, path, strerror(errno));
    if (st != SG_OK) unlink(tmp);
    free(tmp);
    return st;
}

enum sg_status sg_file_write_atomic(const char *path, const void *bytes, size_t n, struct sg_err *err) {
    return write_renamed(path, bytes, n, true, err);
}
enum sg_status sg_file_write_soon(const char *path, const void *bytes, size_t n, struct sg_err *err) {
    return write_renamed(path, bytes, n, false, err);
}

/* Makes the new name in the folder of `path` last. A folder that may be written but not read cannot be synced. */
static enum sg_status sync_name(const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *dir = NULL;
    SG_TRY(sg_path_dir(path, &dir, err));
    if (access(dir, R_OK) == 0) SG_TRY(sg_dir_sync(dir, err));
out:
    free(dir);
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
        struct stat s;
        const int e = mkdir(p, 0777) == 0 ? 0 : errno;
        const int unknown = e && stat(p, &s) != 0 ? errno : 0; /* what is there cannot be looked at */
        if (e && (unknown || !S_ISDIR(s.st_mode))) {
            st = sg_fail(err, SG_E_IO, "%s: cannot make directory: %s", p,
                         strerror(e == EEXIST && unknown ? unknown : e));
            goto out;
        }
        if (!e) SG_TRY(sync_name(p, err));
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

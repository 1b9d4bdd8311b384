/* file - reading whole files, mapping them, and writing so that a crash leaves the old or the new file. */
#ifndef SG_BASE_FILE_H
#define SG_BASE_FILE_H

#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A read-only mapping. data is NULL when size is 0. Owner: the struct; sg_map_close accepts zeroed. */
struct sg_map {
    const unsigned char *data;
    size_t size;
    void *mapping; /* what sg_map_close gives back: the pages of data */
};
enum sg_status sg_map_open(const char *path, struct sg_map *out, struct sg_err *err);
void sg_map_close(struct sg_map *m);

/* The whole file as NUL-terminated bytes appended to *out. SG_E_INPUT when the file does not exist, is a
 * directory, or is larger than max_bytes (named in the error); SG_E_IO when reading fails. */
enum sg_status sg_file_read(const char *path, size_t max_bytes, struct sg_buf *out, struct sg_err *err);

/* Opens a file or a pipe for reading; *fd is the caller's to close. SG_E_INPUT when it is missing, may not be
 * read, is a folder, or is a pipe that nobody has written to for five seconds. */
enum sg_status sg_file_open(const char *path, int *fd, struct sg_err *err);

/* Opens a regular file for reading, without waiting; *fd is the caller's to close. SG_E_INPUT when it is missing,
 * may not be read or is anything else. */
enum sg_status sg_file_open_regular(const char *path, int *fd, uint64_t *size, struct sg_err *err);
/* n bytes from `offset` on. SG_E_CORRUPT when the file ends before them: it has shrunk. */
enum sg_status sg_fd_read_at(int fd, void *bytes, size_t n, uint64_t offset, const char *path,
                             struct sg_err *err);

bool sg_file_exists(const char *path);
bool sg_dir_exists(const char *path);

/* Writes a temporary name beside `path`, fsyncs it, renames it over `path`, fsyncs the directory.
 * On any error the temporary file is removed and an existing `path` is untouched. */
enum sg_status sg_file_write_atomic(const char *path, const void *bytes, size_t n, struct sg_err *err);
/* The last two steps alone, for a file that the caller has written and closed at tmp_path. */
enum sg_status sg_file_commit(const char *tmp_path, const char *path, struct sg_err *err);
enum sg_status sg_dir_sync(const char *dir, struct sg_err *err);

/* write(2) of all n bytes, through EINTR and short writes; `path` only names the file in errors. */
enum sg_status sg_fd_write(int fd, const void *bytes, size_t n, const char *path, struct sg_err *err);

/* mkdir -p, mode 0777 less umask. */
enum sg_status sg_dir_make(const char *path, struct sg_err *err);

/* base and name joined: name itself when absolute. *out is owned by the caller (free). */
enum sg_status sg_path_join(const char *base, const char *name, char **out, struct sg_err *err);
/* The directory part of path ("." when none). Owned by the caller. */
enum sg_status sg_path_dir(const char *path, char **out, struct sg_err *err);

#endif

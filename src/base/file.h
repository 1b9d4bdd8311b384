/* file - opening files, reading them whole, mapping them, and writing so that a crash leaves the old or the new file.
 *
 * Every open of the program goes through sg_open (tests/e2e/lint.py checks it). Folders may be shared: another user may
 * have put a link to a file of ours, or a pipe, where a file of the run belongs. */
#ifndef SG_BASE_FILE_H
#define SG_BASE_FILE_H

#include "base/mem.h"
#include "base/status.h"
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sg_open {
    SG_OPEN_INPUT, /* to be read; the user names it: it may be a link (model caches are links) */
    SG_OPEN_PIPE,  /* as INPUT, and it may be a pipe or a device */
    SG_OPEN_OWN,   /* to be read; a file of a run folder: no link */
    SG_OPEN_NEW,   /* to be read and written; nothing may stand there */
    SG_OPEN_APPEND /* to be written at its end, made when absent; no link */
};
/* The descriptor, closed on exec, for the caller to close; -1 with errno when there is none. Regular files alone, but for
 * SG_OPEN_PIPE. Does not wait for the other end of a pipe. dir: as in openat. */
int sg_open(const char *path, enum sg_open how);
int sg_open_at(int dir, const char *name, enum sg_open how);
/* Text for the errno of these calls: names links, folders and what is no regular file. */
const char *sg_open_reason(int error);
/* A folder to be listed (closedir); NULL with errno. follow: it may be a link. */
DIR *sg_dir_open(const char *path, bool follow);

/* A new file beside `path`, to be written and renamed: *tmp is PATH.tmp.N with a random N, owned by the caller. */
enum sg_status sg_temp_open(const char *path, char **tmp, int *fd, struct sg_err *err);
/* True for such a name of `name` (NULL: of any); file and name without folders. */
bool sg_temp_is(const char *file, const char *name);
/* Removes what killed writers of `names` (NULL-terminated; NULL: of any name) left under such names in dir/folder, where
 * folder is no link. age: only what has not been written to for so many seconds by the file server's clock, where others
 * may be writing now; 0, with names or without: all, for who has the folder's lock. Errors are ignored: the next call
 * does it. */
#define SG_TEMP_AGE 60
void sg_temp_tidy(const char *dir, const char *folder, const char *const *names, int age);
/* Not to be guessed by others; from the clock and the process where the system has no random numbers. */
uint64_t sg_random_number(void);

/* A read-only mapping. data is NULL when size is 0. Owner: the struct; sg_map_close accepts zeroed. */
struct sg_map {
    const unsigned char *data;
    size_t size;
    void *mapping; /* what sg_map_close gives back: the pages of data */
};
enum sg_status sg_map_open(const char *path, struct sg_map *out, struct sg_err *err);
enum sg_status sg_map_own(const char *path, struct sg_map *out, struct sg_err *err); /* SG_OPEN_OWN */
void sg_map_close(struct sg_map *m);

/* The whole file as NUL-terminated bytes appended to *out. SG_E_INPUT when the file does not exist, is a
 * directory, or is larger than max_bytes (named in the error); SG_E_IO when reading fails. */
enum sg_status sg_file_read(const char *path, size_t max_bytes, struct sg_buf *out, struct sg_err *err);
enum sg_status sg_file_read_own(const char *path, size_t max_bytes, struct sg_buf *out,
                                struct sg_err *err); /* SG_OPEN_OWN */

/* Opens a file or a pipe for reading; *fd is the caller's to close. SG_E_INPUT when it is missing, may not be
 * read, is a folder, or is a pipe that nobody has written to for five seconds. */
enum sg_status sg_file_open(const char *path, int *fd, struct sg_err *err);

/* Opens a regular file for reading, without waiting; *fd is the caller's to close. SG_E_INPUT when it is missing,
 * may not be read or is anything else. */
enum sg_status sg_file_open_regular(const char *path, int *fd, uint64_t *size, struct sg_err *err);
/* read(2) of n bytes, through EINTR and short reads: how many there were, fewer only where the file ends; -1 with errno. */
int64_t sg_fd_read(int fd, void *bytes, size_t n);
/* n bytes from `offset` on. SG_E_CORRUPT when the file ends before them: it has shrunk. */
enum sg_status sg_fd_read_at(int fd, void *bytes, size_t n, uint64_t offset, const char *path,
                             struct sg_err *err);

bool sg_file_exists(const char *path);
bool sg_dir_exists(const char *path);

/* Writes a temporary name beside `path`, fsyncs it, renames it over `path`, fsyncs the directory.
 * On any error the temporary file is removed and an existing `path` is untouched. */
enum sg_status sg_file_write_atomic(const char *path, const void *bytes, size_t n, struct sg_err *err);
/* The same without fsync, for what is written again every second. */
enum sg_status sg_file_write_soon(const char *path, const void *bytes, size_t n, struct sg_err *err);
/* The last two steps alone, for a file that the caller has written and closed at tmp_path. */
enum sg_status sg_file_commit(const char *tmp_path, const char *path, struct sg_err *err);
enum sg_status sg_dir_sync(const char *dir, struct sg_err *err);

/* write(2) of all n bytes, through EINTR and short writes; `path` only names the file in errors. */
enum sg_status sg_fd_write(int fd, const void *bytes, size_t n, const char *path, struct sg_err *err);

/* mkdir -p, mode 0777 less umask. The names of new folders are synced, so that what is synced in them later stays. */
enum sg_status sg_dir_make(const char *path, struct sg_err *err);

/* base and name joined: name itself when absolute. *out is owned by the caller (free). */
enum sg_status sg_path_join(const char *base, const char *name, char **out, struct sg_err *err);
/* The directory part of path ("." when none). Owned by the caller. */
enum sg_status sg_path_dir(const char *path, char **out, struct sg_err *err);

#endif

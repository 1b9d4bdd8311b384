/* files - the files of a checkpoint directory that results depend on, and how they are cut into pieces that
 * threads hash. */
#ifndef SG_MODEL_FILES_H
#define SG_MODEL_FILES_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_model_file {
    const char *name; /* in the directory, without a slash; owned by the arena */
    int64_t size;     /* bytes */
    /* what the system says of the file (symbolic links followed) when it was listed */
    int64_t device, inode, mtime_ns, ctime_ns;
};
struct sg_model_files {
    struct sg_model_file *files; /* [n]: in the order of the digest */
    int32_t n;
    struct sg_arena arena;
};

/* config.json, generation_config.json and tokenizer.json as far as they are there, then the index and its
 * shards, or model.safetensors. Parses config.json and the headers: what is no checkpoint is refused here,
 * before anything large is read. */
enum sg_status sg_model_files_list(const char *dir, struct sg_model_files *out, struct sg_err *err);
void sg_model_files_free(struct sg_model_files *f); /* zeroed accepted */

/* Names, sizes and what the system says: equal on two processes that see one file system means that they see
 * the same unchanged files. */
enum sg_status sg_model_files_identity(const struct sg_model_files *f, struct sg_digest *out,
                                       struct sg_err *err);
/* SG_E_INPUT naming the first file that is not what it was when f was listed. */
enum sg_status sg_model_files_unchanged(const struct sg_model_files *f, const char *dir, struct sg_err *err);

/* ---- pieces ---- */

enum { SG_MODEL_PIECE = 32 << 20 }; /* bytes; a file's last piece is shorter, an empty file has none */
struct sg_model_piece {
    int32_t file;
    int64_t at; /* in the file */
    size_t bytes;
};
int64_t sg_model_pieces(const struct sg_model_files *f);
struct sg_model_piece sg_model_piece_at(const struct sg_model_files *f, int64_t i);

/* The checkpoint's digest from those of its pieces, pieces[sg_model_pieces(f)]. */
enum sg_status sg_model_digest_join(const struct sg_model_files *f, const struct sg_digest *pieces,
                                    struct sg_digest *out, struct sg_err *err);

/* ---- reading them ---- */

struct sg_model_fds { /* zeroed is closed */
    int *fd;          /* [n], by file */
    char **path;      /* [n] */
    int32_t n;
};
enum sg_status sg_model_fds_open(const struct sg_model_files *f, const char *dir, struct sg_model_fds *out,
                                 struct sg_err *err);
void sg_model_fds_close(struct sg_model_fds *fds);

/* n bytes at `at` of file i, through short reads; SG_E_INPUT when it has become shorter. */
enum sg_status sg_model_read(const struct sg_model_fds *fds, int32_t i, void *out, size_t n, int64_t at,
                             struct sg_err *err);

#endif

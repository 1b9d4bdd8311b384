/* files - lists the checkpoint files that results depend on, and cuts them into pieces that threads hash. */
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
    /* of stat (symbolic links followed) when the file was listed */
    int64_t device, inode, mtime_ns, ctime_ns;
};
struct sg_model_files {
    struct sg_model_file *files; /* [n]: in the order of the digest */
    int32_t n;
    struct sg_arena arena;
};

/* Lists config.json, generation_config.json, tokenizer.json and model.safetensors.index.json as far as they
 * exist, then model.safetensors or else the shards of the index. Parses config.json and the tensor headers,
 * so that it refuses a directory without a valid checkpoint before anything large is read. */
enum sg_status sg_model_files_list(const char *dir, struct sg_model_files *out, struct sg_err *err);
void sg_model_files_free(struct sg_model_files *f); /* zeroed accepted */

/* A digest of names, sizes, devices, inodes and times. If it is equal in two processes that see one file
 * system, they see the same unchanged files. */
enum sg_status sg_model_files_identity(const struct sg_model_files *f, struct sg_digest *out,
                                       struct sg_err *err);
/* SG_E_INPUT naming the first file whose size, device, inode or mtime has changed since f was listed. */
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

/* Computes the checkpoint's digest from pieces[sg_model_pieces(f)], the digests of its pieces. */
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

/* Reads n bytes at offset `at` of file i, repeating short reads; SG_E_INPUT when the file became shorter. */
enum sg_status sg_model_read(const struct sg_model_fds *fds, int32_t i, void *out, size_t n, int64_t at,
                             struct sg_err *err);

#endif

/* digest - a fingerprint of the checkpoint files that results depend on. */
#ifndef SG_MODEL_DIGEST_H
#define SG_MODEL_DIGEST_H

#include "base/digest.h"
#include "base/status.h"
#include "model/files.h"
#include <stdbool.h>

/* XXH3 over the names and all bytes of the files of sg_model_files_list. `threads` threads (0 = all cores)
 * read and hash pieces of fixed size, so the value does not depend on their number. 8 GB/s per thread from
 * the page cache. SG_E_INPUT when a file changed meanwhile. */
enum sg_status sg_model_digest(const char *dir, int threads, struct sg_digest *out, struct sg_err *err);

/* The same for files already listed; does not check whether they changed meanwhile. */
struct sg_model_pass {
    const struct sg_model_files *files;
    const char *dir;         /* the directory of the files */
    int threads;             /* 0 = all cores */
    bool (*stop)(void *ctx); /* NULL, or called repeatedly on the caller's thread: SG_E_STOPPED when true */
    void *ctx;
};
enum sg_status sg_model_pass(const struct sg_model_pass *pass, struct sg_digest *out, struct sg_err *err);

#endif

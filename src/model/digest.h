/* digest - a fingerprint of the files of a checkpoint directory: what results depend on. */
#ifndef SG_MODEL_DIGEST_H
#define SG_MODEL_DIGEST_H

#include "base/digest.h"
#include "base/status.h"
#include "model/files.h"
#include <stdbool.h>

/* XXH3 over every byte of config.json, generation_config.json, tokenizer.json, model.safetensors or the index
 * and its shards, with their names; files are cut into pieces of fixed size that `threads` threads read and
 * hash, so the value does not depend on threads (0 = all cores). 8 GB/s a thread from the page cache. */
enum sg_status sg_model_digest(const char *dir, int threads, struct sg_digest *out, struct sg_err *err);

/* The same for files that are listed already. */
struct sg_model_pass {
    const struct sg_model_files *files;
    const char *dir;         /* where they lie */
    int threads;             /* 0 = all cores */
    bool (*stop)(void *ctx); /* NULL, or asked now and then on the caller's thread: SG_E_STOPPED when true */
    void *ctx;
};
enum sg_status sg_model_pass(const struct sg_model_pass *pass, struct sg_digest *out, struct sg_err *err);

#endif

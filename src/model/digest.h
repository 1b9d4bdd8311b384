/* digest - a fingerprint of the files of a checkpoint directory: what results depend on. */
#ifndef SG_MODEL_DIGEST_H
#define SG_MODEL_DIGEST_H

#include "base/digest.h"
#include "base/status.h"

/* XXH3 over every byte of config.json, generation_config.json, tokenizer.json, model.safetensors or the index
 * and its shards, with their names; files are cut into pieces of fixed size that `threads` threads hash, so
 * the value does not depend on threads (0 = all cores). Reads 8 GB from the page cache in a few seconds. */
enum sg_status sg_model_digest(const char *dir, int threads, struct sg_digest *out, struct sg_err *err);

#endif

#define _GNU_SOURCE /* sched_getaffinity */
#include "run/node_digest.h"

#include "model/digest.h"
#include <sched.h>

enum { MAX_THREADS = 16 }; /* fewer already use a node's memory bandwidth */

/* While one rank hashes, the others of its node wait: it may use all cores of its affinity mask. */
static int threads_of(const struct sg_comm *c, const struct sg_job *job) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const int64_t asked = job->engine.threads * sg_comm_local_size(c);
    if (asked > 0 && asked < n) n = (int)asked;
    return n < 1 ? 1 : n < MAX_THREADS ? n : MAX_THREADS;
}

static bool stop_asked(void *ctx) {
    return sg_comm_stop_asked(ctx, NULL);
}

static enum sg_status hash(struct sg_comm *c, const struct sg_job *job, const struct sg_model_files *files,
                           struct sg_digest *out, struct sg_err *err) {
    const struct sg_model_pass pass = {.files = files,
                                       .dir = job->model_path,
                                       .threads = threads_of(c, job),
                                       .stop = stop_asked,
                                       .ctx = c};
    const enum sg_status st = sg_model_pass(&pass, out, err);
    return st == SG_OK ? sg_model_files_unchanged(files, job->model_path, err) : st;
}

enum sg_status sg_node_digest(struct sg_comm *c, const struct sg_job *job, struct sg_digest *out,
                              struct sg_err *err) {
    struct sg_model_files files = {0};
    struct sg_digest mine = {0};
    struct {
        struct sg_digest digest, identity;
    } first = {0}; /* of the node's first rank */
    enum sg_status st = sg_model_files_list(job->model_path, &files, err);
    if (st == SG_OK) st = sg_model_files_identity(&files, &mine, err);
    if (st == SG_OK && sg_comm_local_rank(c) == 0) {
        first.identity = mine;
        st = hash(c, job, &files, &first.digest, err);
    }
    SG_TRY(sg_comm_agree(c, st, err));
    sg_comm_local_bcast(c, &first, sizeof first);
    if (!sg_digest_equal(mine, first.identity)) st = hash(c, job, &files, &first.digest, err);
    SG_TRY(sg_comm_agree(c, st, err));
    *out = first.digest;
out:
    sg_model_files_free(&files);
    return st;
}

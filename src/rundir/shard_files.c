#include "rundir/shard_files.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "rundir/lock_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum sg_status shard_path(const char *run_dir, int64_t k, const char *suffix, char **out,
                                 struct sg_err *err) {
    char name[48];
    snprintf(name, sizeof name, "shards/%03" PRId64 "%s", k, suffix);
    return sg_path_join(run_dir, name, out, err);
}

/* ---- looking ---------------------------------------------------------------------------------------- */

struct tasks {
    uint64_t *id; /* [n] */
    size_t n, cap;
};

/* Adds the holder's process unless it is in the list: one process may hold several shards. */
static enum sg_status add_task(struct tasks *t, const struct sg_lock_holder *h, struct sg_err *err) {
    char text[2 * SG_PROCESS_TEXT + 64];
    const int n = snprintf(text, sizeof text, "%s %s %" PRId64 " %" PRIu64, h->owner.boot, h->owner.space,
                           h->owner.pid, h->owner.start);
    const uint64_t id = sg_hash64(text, (size_t)n);
    for (size_t i = 0; i < t->n; i++)
        if (t->id[i] == id) return SG_OK;
    enum sg_status st = SG_GROW(&t->id, &t->cap, t->n + 1, "tasks", err);
    if (st == SG_OK) t->id[t->n++] = id;
    return st;
}

/* fresh: as of sg_lock_look. */
static enum sg_status list(const char *run_dir, const char *fresh, struct sg_shard_state *files, int64_t n,
                           int32_t *tasks, struct sg_lock_holder *first, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *folder = NULL;
    struct tasks living = {0};
    DIR *d = NULL;
    if (n > 0) memset(files, 0, (size_t)n * sizeof *files);
    SG_TRY(sg_path_join(run_dir, "shards", &folder, err));
    d = sg_dir_open(folder, false);
    if (!d && errno != ENOENT) st = sg_fail(err, SG_E_IO, "%s: cannot list: %s", folder, strerror(errno));
    while (d) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno) st = sg_fail(err, SG_E_IO, "%s: cannot list: %s", folder, strerror(errno));
            break;
        }
        char *end, *path = NULL;
        const long long k = strtoll(e->d_name, &end, 10);
        const bool ours = end != e->d_name && k >= 0 && k < n;
        if (end == e->d_name) continue;
        if (ours && !strcmp(end, ".done")) files[k].done = true;
        if (ours && !strncmp(end, ".lock", 5)) files[k].left = true;
        if (strcmp(end, ".lock") != 0) continue;
        struct sg_lock_holder h;
        SG_TRY(sg_path_join(folder, e->d_name, &path, err));
        const bool held = sg_lock_look(path, fresh, &h, NULL) == SG_E_BUSY;
        free(path);
        if (!held) continue;
        if (first) *first = h;
        if (ours) files[k].held = true;
        SG_TRY(add_task(&living, &h, err));
    }
    *tasks = (int32_t)living.n;
out:
    if (d) closedir(d);
    free(living.id);
    free(folder);
    return st;
}

enum sg_status sg_shard_files_list(const char *run_dir, struct sg_shard_state *files, int64_t n,
                                   int32_t *tasks, struct sg_lock_holder *first, struct sg_err *err) {
    return list(run_dir, NULL, files, n, tasks, first, err);
}

enum sg_status sg_shard_files_refuse(const char *run_dir, struct sg_err *err) {
    int32_t n = 0;
    char *own = NULL;
    struct sg_lock_holder h = {.role = SG_LOCK_SHARD};
    enum sg_status st = sg_path_join(run_dir, "lock", &own, err);
    if (st == SG_OK) st = list(run_dir, own, NULL, 0, &n, &h, err);
    free(own);
    if (st != SG_OK || n == 0) return st;
    return sg_fail(err, SG_E_BUSY,
                   "%s: an array run is computing here: %d task%s, one is process %" PRId64
                   " on %s; wait for it, stop it, or join it with --array",
                   run_dir, (int)n, n == 1 ? "" : "s", h.owner.pid, h.owner.host);
}

/* ---- taking ----------------------------------------------------------------------------------------- */

/* Creates an empty file; *made = false when it exists already. */
static enum sg_status create(const char *path, bool *made, struct sg_err *err) {
    const int fd = sg_open(path, SG_OPEN_NEW);
    *made = fd >= 0;
    if (fd >= 0) {
        close(fd);
        return SG_OK;
    }
    const int e = errno; /* sshfs gives EPERM for a name that exists */
    if (e == EEXIST || access(path, F_OK) == 0) return SG_OK;
    return sg_fail(err, SG_E_IO, "%s: cannot create: %s", path, strerror(e));
}

/* Without the watch: a task may find many shards of a dead one, and would keep its device waiting for each. Who takes a
 * living one's shard after the file server's clock has jumped computes the same cells; the other stops at its next beat. */
static enum sg_status take_lock(const char *path, struct sg_lock **lock, struct sg_err *err) {
    struct sg__lock_terms terms;
    sg__lock_terms_usual(&terms);
    terms.watch_ms = 0;
    return sg__lock_take_on(path, SG_LOCK_SHARD, &terms, lock, err);
}

enum sg_status sg_shard_files_take(const char *run_dir, int64_t k, struct sg_shard_taken *out,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL, *done = NULL, *begun = NULL, *whole = NULL;
    struct sg_lock *lock = NULL;
    struct sg_lock_holder h;
    struct sg_err busy = {0};
    bool made;
    *out = (struct sg_shard_taken){.lock = NULL};
    SG_TRY(shard_path(run_dir, k, ".lock", &path, err));
    SG_TRY(shard_path(run_dir, k, ".done", &done, err));
    SG_TRY(shard_path(run_dir, k, ".begun", &begun, err));
    SG_TRY(sg_path_join(run_dir, "lock", &whole, err));
    st = take_lock(path, &lock, &busy);
    if (st == SG_E_BUSY) {
        st = SG_OK;
        goto out;
    }
    if (st != SG_OK) {
        if (err) *err = busy;
        goto out;
    }
    /* A task takes its shard's lock, then checks the run's. A run takes its own lock, then checks those of
     * shards. So of a task and a run that start together at least one sees the other. */
    if (sg_lock_look(whole, path, &h, &busy) == SG_E_BUSY && h.role == SG_LOCK_RUN) {
        if (err) *err = busy;
        st = SG_E_BUSY;
        goto out;
    }
    out->done = access(done, F_OK) == 0;
    if (out->done) goto out;
    SG_TRY(create(begun, &made, err));
    out->begun = !made;
    out->lock = lock;
    lock = NULL;
out:
    sg_lock_drop(lock);
    free(path);
    free(done);
    free(begun);
    free(whole);
    return st;
}

enum sg_status sg_shard_files_mark_done(const char *run_dir, int64_t k, struct sg_lock *lock,
                                        struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *done = NULL;
    bool made;
    SG_TRY(shard_path(run_dir, k, ".done", &done, err));
    SG_TRY(sg_lock_beat(lock, err));
    SG_TRY(create(done, &made, err));
out:
    free(done);
    return st;
}

enum sg_status sg_shard_files_unmark(const char *run_dir, int64_t k, struct sg_err *err) {
    char *path = NULL;
    enum sg_status st = shard_path(run_dir, k, ".done", &path, err);
    if (st == SG_OK && unlink(path) != 0 && errno != ENOENT)
        st = sg_fail(err, SG_E_IO, "%s: cannot remove: %s", path, strerror(errno));
    free(path);
    return st;
}

void sg_shard_files_tidy(const char *run_dir, struct sg_shard_state *files, int64_t n) {
    int32_t tasks;
    if (list(run_dir, NULL, files, n, &tasks, NULL, NULL) != SG_OK) return;
    for (int64_t k = 0; k < n; k++) {
        char *path = NULL;
        struct sg_lock *lock = NULL;
        if (files[k].done && files[k].left && !files[k].held &&
            shard_path(run_dir, k, ".lock", &path, NULL) == SG_OK && take_lock(path, &lock, NULL) == SG_OK)
            sg_lock_drop(lock);
        free(path);
    }
}

#include "model/files.h"

#include "base/file.h"
#include "model/config.h"
#include "model/safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- listing ---------------------------------------------------------------------------------------- */

static int64_t ns(struct timespec t) {
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Fills everything but the name. False when there is no such regular file. */
static bool look(const char *path, struct sg_model_file *out) {
    struct stat s;
    if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) return false;
    out->size = (int64_t)s.st_size;
    out->device = (int64_t)s.st_dev;
    out->inode = (int64_t)s.st_ino;
    out->mtime_ns = ns(s.st_mtim);
    out->ctime_ns = ns(s.st_ctim);
    return true;
}

static enum sg_status add(struct sg_model_files *f, const char *dir, const char *name, bool needed,
                          struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_model_file file = {0};
    char *path = NULL, *copy;
    SG_TRY(sg_path_join(dir, name, &path, err));
    if (look(path, &file)) {
        SG_TRY(sg_arena_dup(&f->arena, name, strlen(name), &copy, err));
        file.name = copy;
        f->files[f->n++] = file;
    } else if (needed) {
        st = sg_fail(err, SG_E_INPUT, "%s: is gone", path);
    }
out:
    free(path);
    return st;
}

enum sg_status sg_model_files_list(const char *dir, struct sg_model_files *out, struct sg_err *err) {
    static const char *const small[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "model.safetensors.index.json"};
    enum { SMALL = sizeof small / sizeof *small };
    enum sg_status st = SG_OK;
    struct sg_model_files f = {0};
    struct sg_safetensors tensors = {0};
    struct sg_config config;
    SG_TRY(sg_config_read(dir, &config, err));
    SG_TRY(sg_safetensors_open(dir, &tensors, err));
    SG_TRY(
        sg_arena_get(&f.arena, (SMALL + (size_t)tensors.n_files) * sizeof *f.files, (void **)&f.files, err));
    for (size_t i = 0; i < SMALL; i++) SG_TRY(add(&f, dir, small[i], false, err));
    for (int32_t i = 0; i < tensors.n_files; i++) {
        const char *slash = strrchr(tensors.paths[i], '/');
        SG_TRY(add(&f, dir, slash ? slash + 1 : tensors.paths[i], true, err));
    }
    *out = f;
    memset(&f, 0, sizeof f);
out:
    sg_safetensors_close(&tensors);
    sg_model_files_free(&f);
    return st;
}

void sg_model_files_free(struct sg_model_files *f) {
    if (!f) return;
    sg_arena_free(&f->arena);
    memset(f, 0, sizeof *f);
}

enum sg_status sg_model_files_identity(const struct sg_model_files *f, struct sg_digest *out,
                                       struct sg_err *err) {
    struct sg_hasher *h = NULL;
    enum sg_status st = sg_hasher_new(&h, err);
    if (st != SG_OK) return st;
    for (int32_t i = 0; i < f->n; i++) {
        const struct sg_model_file *a = &f->files[i];
        sg_hasher_str(h, a->name);
        sg_hasher_i64(h, a->size);
        sg_hasher_i64(h, a->device);
        sg_hasher_i64(h, a->inode);
        sg_hasher_i64(h, a->mtime_ns);
        sg_hasher_i64(h, a->ctime_ns);
    }
    *out = sg_hasher_end(h);
    sg_hasher_free(h);
    return SG_OK;
}

enum sg_status sg_model_files_unchanged(const struct sg_model_files *f, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    for (int32_t i = 0; i < f->n; i++) {
        const struct sg_model_file *a = &f->files[i];
        struct sg_model_file now = {0};
        free(path);
        path = NULL;
        SG_TRY(sg_path_join(dir, a->name, &path, err));
        if (look(path, &now) && now.size == a->size && now.device == a->device && now.inode == a->inode &&
            now.mtime_ns == a->mtime_ns)
            continue;
        st = sg_fail(err, SG_E_INPUT, "%s: changed while it was read; start again once it is whole", path);
        goto out;
    }
out:
    free(path);
    return st;
}

/* ---- pieces ----------------------------------------------------------------------------------------- */

static int64_t pieces_of(int64_t size) {
    return (size + SG_MODEL_PIECE - 1) / SG_MODEL_PIECE;
}

int64_t sg_model_pieces(const struct sg_model_files *f) {
    int64_t n = 0;
    for (int32_t i = 0; i < f->n; i++) n += pieces_of(f->files[i].size);
    return n;
}

struct sg_model_piece sg_model_piece_at(const struct sg_model_files *f, int64_t i) {
    struct sg_model_piece p = {0};
    while (i >= pieces_of(f->files[p.file].size)) {
        i -= pieces_of(f->files[p.file].size);
        p.file++;
        SG_ASSERT(p.file < f->n);
    }
    p.at = i * SG_MODEL_PIECE;
    const int64_t left = f->files[p.file].size - p.at;
    p.bytes = (size_t)(left < SG_MODEL_PIECE ? left : SG_MODEL_PIECE);
    return p;
}

enum sg_status sg_model_digest_join(const struct sg_model_files *f, const struct sg_digest *pieces,
                                    struct sg_digest *out, struct sg_err *err) {
    struct sg_hasher *h = NULL;
    enum sg_status st = sg_hasher_new(&h, err);
    if (st != SG_OK) return st;
    for (int32_t i = 0; i < f->n; i++) {
        sg_hasher_str(h, f->files[i].name);
        sg_hasher_i64(h, f->files[i].size);
        for (int64_t n = pieces_of(f->files[i].size); n > 0; n--, pieces++) {
            sg_hasher_i64(h, (int64_t)pieces->hi);
            sg_hasher_i64(h, (int64_t)pieces->lo);
        }
    }
    *out = sg_hasher_end(h);
    sg_hasher_free(h);
    return SG_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

enum sg_status sg_model_fds_open(const struct sg_model_files *f, const char *dir, struct sg_model_fds *out,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_model_fds fds = {0};
    SG_TRY(SG_NEW(&fds.fd, f->n, "files", err));
    SG_TRY(SG_NEW(&fds.path, f->n, "files", err));
    for (int32_t i = 0; i < f->n; i++, fds.n++) {
        SG_TRY(sg_path_join(dir, f->files[i].name, &fds.path[i], err));
        SG_TRY(sg_file_open(fds.path[i], &fds.fd[i], err));
    }
    *out = fds;
    fds = (struct sg_model_fds){0};
out:
    if (st != SG_OK && fds.path && fds.n < f->n) free(fds.path[fds.n]); /* of the file that did not open */
    sg_model_fds_close(&fds);
    return st;
}

void sg_model_fds_close(struct sg_model_fds *fds) {
    for (int32_t i = 0; i < fds->n; i++) {
        close(fds->fd[i]);
        free(fds->path[i]);
    }
    free(fds->fd);
    free(fds->path);
    *fds = (struct sg_model_fds){0};
}

enum sg_status sg_model_read(const struct sg_model_fds *fds, int32_t i, void *out, size_t n, int64_t at,
                             struct sg_err *err) {
    char *p = out;
    while (n) {
        const ssize_t k = pread(fds->fd[i], p, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return sg_fail(err, SG_E_IO, "%s: cannot read: %s", fds->path[i], strerror(errno));
        if (k == 0)
            return sg_fail(err, SG_E_INPUT,
                           "%s: became shorter while it was read; start again once it is whole",
                           fds->path[i]);
        p += k;
        at += k;
        n -= (size_t)k;
    }
    return SG_OK;
}

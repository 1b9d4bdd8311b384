#include "run/stage_folder.h"

#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GONE_TRIES = 20, JOIN_TRIES = 500, LOCK_TRIES = 100 };
#define GONE ".gone."
static const char COMPLETE[] = "complete", FIRST_LINE[] = "scope-grid copy 1\n";

/* FOLDER/NAME, NULL without memory. For what may fail silently. */
static char *inside(const struct sg__folder *f, const char *name, const char *tail) {
    struct sg_buf b = {0};
    if (sg_buf_printf(&b, NULL, "%s/%s%s", f->path, name, tail) != SG_OK) sg_buf_free(&b);
    return b.data;
}

static void remove_one(const struct sg__folder *f, const char *name, const char *tail) {
    char *path = inside(f, name, tail);
    if (path) unlink(path);
    free(path);
}

/* What is not empty stays. */
static void remove_folders(const struct sg__folder *f) {
    static const char *const folders[] = {"array/members", "array/leases", "array", ""};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *path = inside(f, folders[i], "");
        if (path) rmdir(path);
        free(path);
    }
}

/* The claim goes first: there is never one without its files. */
static void wipe(const struct sg__folder *f) {
    remove_one(f, COMPLETE, "");
    remove_one(f, COMPLETE, ".part");
    for (int32_t i = 0; i < f->files->n; i++) {
        remove_one(f, f->files->files[i].name, "");
        remove_one(f, f->files->files[i].name, ".part");
    }
}

/* The digest in "complete", and the file itself; false when there is none or a file is missing or of another size. */
static bool is_whole(const struct sg__folder *f, struct sg_digest *digest, struct stat *claim) {
    struct sg_buf text = {0};
    char *path = inside(f, COMPLETE, ""), hex[SG_DIGEST_HEX];
    bool whole = path && lstat(path, claim) == 0 && sg_file_read(path, 4096, &text, NULL) == SG_OK &&
                 text.len == strlen(FIRST_LINE) + SG_DIGEST_HEX &&
                 !memcmp(text.data, FIRST_LINE, strlen(FIRST_LINE));
    if (whole) {
        memcpy(hex, text.data + strlen(FIRST_LINE), SG_DIGEST_HEX);
        hex[SG_DIGEST_HEX - 1] = 0;
        whole = sg_digest_from_hex(hex, digest);
    }
    for (int32_t i = 0; whole && i < f->files->n; i++) {
        struct stat s;
        free(path);
        path = inside(f, f->files->files[i].name, "");
        whole = path && lstat(path, &s) == 0 && S_ISREG(s.st_mode) && s.st_size == f->files->files[i].size;
    }
    free(path);
    sg_buf_free(&text);
    return whole;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

/* In /tmp or /dev/shm anybody may have made something of this name. */
static enum sg_status check_ours(const char *path, struct sg_err *err) {
    struct stat s;
    if (lstat(path, &s) != 0)
        return sg_fail(err, SG_E_IO, "%s: cannot make folder: %s", path, strerror(errno));
    if (S_ISDIR(s.st_mode) && s.st_uid == geteuid() && !(s.st_mode & (S_IWGRP | S_IWOTH))) return SG_OK;
    return sg_fail(err, SG_E_INPUT,
                   "%s: is not a folder that you alone may write to; remove it, or set engine.stage_dir",
                   path);
}

/* Everything in `from` that is no folder and no lock, to `to`. */
static void move_files(const struct sg__folder *from, const struct sg__folder *to) {
    DIR *d = opendir(from->path);
    for (const struct dirent *e; d && (e = readdir(d));) {
        struct stat s;
        char *path = inside(from, e->d_name, ""), *there = inside(to, e->d_name, "");
        if (path && there && strncmp(e->d_name, "lock", 4) != 0 && lstat(path, &s) == 0 &&
            !S_ISDIR(s.st_mode))
            rename(path, there);
        free(path);
        free(there);
    }
    if (d) closedir(d);
}

/* What a killed run has left half copied, of a model that nobody may ever ask for again: gigabytes of a
 * node's memory. A whole copy stays, somebody may mean to keep it. Unlinking it takes seconds, and whoever
 * wants the folder would wait for the lock: the files are moved out first. Who is killed meanwhile leaves a
 * folder that looks like any other and is tidied by the next. */
static void tidy(const char *path) {
    static const struct sg_model_files none;
    struct sg__folder f = {.path = (char *)(uintptr_t)path, .files = &none}, gone = {.files = &none};
    struct sg_digest digest;
    struct sg_buf aside = {0};
    struct stat s;
    if (check_ours(path, NULL) != SG_OK || is_whole(&f, &digest, &s) || sg_members_living(path) > 0) return;
    if (sg_buf_printf(&aside, NULL, "%s" GONE "%ld", path, (long)getpid()) != SG_OK) goto out;
    if (mkdir(aside.data, 0700) != 0) goto out; /* not ours, whoever has made it */
    gone.path = aside.data;
    if (sg_lock_take(path, &f.lock, NULL) != SG_OK) goto out;
    if (!is_whole(&f, &digest, &s) && sg_members_living(path) == 0) move_files(&f, &gone);
    sg_lock_drop(f.lock);
    remove_folders(&f);
out:
    if (gone.path) {
        DIR *d = opendir(gone.path);
        for (const struct dirent *e; d && (e = readdir(d));) remove_one(&gone, e->d_name, "");
        if (d) closedir(d);
        remove_folders(&gone);
    }
    sg_buf_free(&aside);
}

void sg__folder_tidy(const char *base, const char *prefix, const char *but) {
    DIR *d = opendir(base);
    for (const struct dirent *e; d && (e = readdir(d));) {
        struct sg_buf path = {0};
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        if (sg_buf_printf(&path, NULL, "%s/%s", base, e->d_name) == SG_OK && strcmp(path.data, but) != 0)
            tidy(path.data);
        sg_buf_free(&path);
    }
    if (d) closedir(d);
}

enum sg_status sg__folder_open(const char *path, const struct sg_model_files *files, struct sg__folder *out,
                               struct sg_err *err) {
    struct sg__folder f = {.files = files};
    enum sg_status st = SG_OK;
    SG_TRY(sg_path_join(".", path, &f.path, err));
    /* Another run that leaves may remove the folder between our making it and joining; one that tidies may
     * have its lock for a moment. */
    for (int i = 0; i < JOIN_TRIES; i++) {
        if (err) memset(err, 0, sizeof *err);
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            st = sg_fail(err, SG_E_IO, "%s: cannot make folder: %s; set engine.stage_dir", path,
                         strerror(errno));
            goto out;
        }
        st = check_ours(path, err);
        if (st == SG_OK) st = sg_member_join(path, &f.member, err);
        if (st != SG_E_BUSY && (st != SG_E_IO || i == GONE_TRIES)) break;
        nanosleep(&(struct timespec){0, 10 * 1000000}, NULL);
    }
    if (st == SG_OK) {
        *out = f;
        return SG_OK;
    }
out:
    free(f.path);
    return st;
}

/* ---- whose turn ------------------------------------------------------------------------------------- */

enum sg_status sg__folder_try(struct sg__folder *f, enum sg__folder_state *state, struct sg_digest *digest,
                              struct sg_err *err) {
    struct sg_err busy = {0};
    SG_ASSERT(!f->lock);
    *state = SG__FOLDER_BUSY;
    const enum sg_status st = sg_lock_take(f->path, &f->lock, &busy);
    if (st == SG_E_BUSY) return SG_OK;
    if (st != SG_OK) {
        if (err) *err = busy;
        return st;
    }
    if (is_whole(f, digest, &f->claim)) {
        *state = SG__FOLDER_HAVE;
        sg_lock_drop(f->lock);
        f->lock = NULL;
    } else {
        *state = SG__FOLDER_MINE;
        wipe(f);
    }
    return SG_OK;
}

int64_t sg__folder_bytes(const struct sg__folder *f) {
    int64_t n = 0;
    for (int32_t i = 0; i < 2 * f->files->n; i++) {
        struct stat s;
        char *path = inside(f, f->files->files[i / 2].name, i % 2 ? ".part" : "");
        if (path && stat(path, &s) == 0) n += (int64_t)s.st_blocks * 512;
        free(path);
    }
    return n;
}

/* ---- the copy is there ------------------------------------------------------------------------------ */

static enum sg_status publish(const struct sg__folder *f, const char *name, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *part = inside(f, name, ".part"), *path = inside(f, name, "");
    if (!part || !path)
        st = sg_fail(err, SG_E_NOMEM, "%s: no memory", f->path);
    else if (rename(part, path) != 0)
        st = sg_fail(err, SG_E_IO, "%s: cannot rename: %s", part, strerror(errno));
    free(part);
    free(path);
    return st;
}

/* Nothing is synced: a copy that a loss of power has torn is found by its digest. */
static enum sg_status write_claim(const struct sg__folder *f, struct sg_digest digest, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    char hex[SG_DIGEST_HEX], *path = inside(f, COMPLETE, ".part");
    int fd = -1;
    sg_digest_hex(digest, hex);
    SG_TRY(sg_buf_printf(&text, err, "%s%s\n", FIRST_LINE, hex));
    fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd < 0) {
        st = sg_fail(err, SG_E_IO, "%s/%s: cannot create: %s", f->path, COMPLETE, strerror(errno));
        goto out;
    }
    st = sg_fd_write(fd, text.data, text.len, path, err);
    if (close(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", path, strerror(errno));
out:
    free(path);
    sg_buf_free(&text);
    return st;
}

enum sg_status sg__folder_commit(struct sg__folder *f, struct sg_digest digest, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_ASSERT(f->lock);
    SG_TRY(sg_lock_beat(f->lock, err)); /* still ours? */
    for (int32_t i = 0; i < f->files->n; i++) SG_TRY(publish(f, f->files->files[i].name, err));
    SG_TRY(write_claim(f, digest, err));
    SG_TRY(publish(f, COMPLETE, err));
    sg_lock_drop(f->lock);
    f->lock = NULL;
out:
    return st;
}

/* Waits for the lock while others look; f->lock stays NULL when somebody has it for longer: it copies. */
static void wait_for_lock(struct sg__folder *f) {
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (sg_lock_take(f->path, &f->lock, NULL) != SG_E_BUSY) return;
        nanosleep(&(struct timespec){0, 20 * 1000000}, NULL);
    }
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void sg__folder_discredit(struct sg__folder *f) {
    struct stat s;
    char *path = inside(f, COMPLETE, "");
    wait_for_lock(f);
    if (f->lock && path && lstat(path, &s) == 0 && same_file(&s, &f->claim)) unlink(path);
    sg_lock_drop(f->lock);
    f->lock = NULL;
    free(path);
}

/* ---- leaving ---------------------------------------------------------------------------------------- */

/* Only under the lock. Is anybody else a member? Who cannot tell leaves it alone. The dead are forgotten. */
static bool alone(struct sg__folder *f) {
    int32_t n;
    return sg_member_count(f->member, &n, NULL) == SG_OK && n == 1;
}

void sg__folder_close(struct sg__folder *f, bool keep) {
    if (!f || !f->path) return;
    const bool unfinished = f->lock != NULL;
    /* Two that leave at one moment must not both take the other for the last; nobody who has the lock for
     * longer than this leaves. */
    if (!unfinished) wait_for_lock(f);
    if (f->lock && ((alone(f) && !keep) || unfinished)) wipe(f);
    sg_member_leave(f->member); /* before the lock goes, so that the next that counts does not count us */
    sg_lock_drop(f->lock);
    remove_folders(f);
    free(f->path);
    *f = (struct sg__folder){0};
}

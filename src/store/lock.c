#include "store/lock.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/lock_file.h"
#include "store/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_BYTES = 4096, GUARD_TRIES = 500, GUARD_WAIT_MS = 10 };

struct sg_lock {
    char *path, *aside; /* the lock, and a name of our own beside it */
    char token[SG_DIGEST_HEX];
    int64_t pid;
};

/* ---- content ---- */

enum sg_status sg__lock_text(const struct sg__owner *o, const char *token, struct sg_buf *out,
                             struct sg_err *err) {
    char since[32] = "";
    const time_t now = time(NULL);
    struct tm t;
    if (gmtime_r(&now, &t)) (void)strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &t);
    return sg_buf_printf(out, err,
                         "scope-grid lock 1\nhost %s\nmachine %s\nboot %s\nspace %s\npid %" PRId64
                         "\nstart %" PRIu64 "\ntoken %s\nsince %s\nend\n",
                         o->host, o->machine, o->boot, o->space, o->pid, o->start, token, since);
}

/* The value of "key value" on a line of its own; "" when absent. */
static void field(const char *text, const char *key, char out[SG_OWNER_TEXT]) {
    const size_t n = strlen(key);
    out[0] = 0;
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, n) != 0 || line[n] != ' ') continue;
        size_t len = strcspn(line + n + 1, "\n");
        if (len >= SG_OWNER_TEXT) len = SG_OWNER_TEXT - 1;
        memcpy(out, line + n + 1, len);
        out[len] = 0;
        return;
    }
}

bool sg__lock_read(const char *path, struct sg__lock_holder *h) {
    char text[LOCK_BYTES + 1], number[SG_OWNER_TEXT];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, LOCK_BYTES);
    close(fd);
    if (n <= 0) return false;
    text[n] = 0;
    memset(h, 0, sizeof *h);
    if (strncmp(text, "scope-grid lock 1\n", 18) != 0 || !strstr(text, "\nend\n")) return false;
    field(text, "host", h->owner.host);
    field(text, "machine", h->owner.machine);
    field(text, "boot", h->owner.boot);
    field(text, "space", h->owner.space);
    field(text, "token", h->token);
    field(text, "since", h->since);
    field(text, "pid", number);
    h->owner.pid = strtoll(number, NULL, 10);
    field(text, "start", number);
    h->owner.start = strtoull(number, NULL, 10);
    return true;
}

/* ---- judging ---- */

/* Seconds since the lock was touched, by the clock that stamps files there: `aside` was written just now. */
static int64_t silence(const struct sg_lock *l) {
    struct stat lock, now;
    if (stat(l->path, &lock) != 0 || stat(l->aside, &now) != 0) return 0;
    return (int64_t)now.st_mtime - (int64_t)lock.st_mtime;
}

static enum sg_status busy(const struct sg_lock *l, const struct sg__lock_holder *h, enum sg__life life,
                           int64_t age, struct sg_err *err) {
    if (life == SG_LIFE_ALIVE)
        return sg_fail(err, SG_E_BUSY,
                       "%s: another run holds this directory: process %" PRId64
                       " on %s, since %s; wait for it or stop it",
                       l->path, h->owner.pid, h->owner.host, h->since);
    return sg_fail(err, SG_E_BUSY,
                   "%s: another run holds this directory: process %" PRId64
                   " on %s, since %s, last sign of life %" PRId64
                   " s ago; if it is gone, wait until %d s have passed or remove this file",
                   l->path, h->owner.pid, h->owner.host, h->since, age, SG_LOCK_STALE_SECONDS);
}

/* SG_OK when the lock at hand may be removed. */
static enum sg_status judge(const struct sg_lock *l, const struct sg__owner *self, struct sg__lock_holder *h,
                            struct sg_err *err) {
    const int64_t age = silence(l);
    if (!sg__lock_read(l->path, h)) {
        /* A torn file comes from a machine that lost power: nobody writes it in place. Give it the same time.
         */
        memset(h, 0, sizeof *h);
        if (age > SG_LOCK_STALE_SECONDS || access(l->path, F_OK) != 0) return SG_OK;
        return sg_fail(err, SG_E_BUSY,
                       "%s: is not a lock file of this program; if no run is active here, remove it",
                       l->path);
    }
    const enum sg__life life = sg__owner_life(&h->owner, self);
    if (life == SG_LIFE_DEAD || (life == SG_LIFE_UNKNOWN && age > SG_LOCK_STALE_SECONDS)) return SG_OK;
    return busy(l, h, life, age, err);
}

enum sg_status sg__lock_look(const char *path, const char *fresh, struct sg__lock_holder *h,
                             struct sg_err *err) {
    struct sg_lock l = {0};
    struct sg__owner self;
    enum sg_status st = SG_OK;
    memset(h, 0, sizeof *h);
    if (access(path, F_OK) != 0) return SG_OK;
    sg__owner_self(&self);
    l.path = strdup(path);
    l.aside = strdup(fresh);
    if (!l.path || !l.aside)
        st = sg_fail(err, SG_E_NOMEM, "no memory for the lock's name");
    else
        st = judge(&l, &self, h, err);
    free(l.path);
    free(l.aside);
    return st;
}

/* ---- taking ---- */

/* Serialises those who take: without it, two could judge one stale lock, and the slower would remove the
 * faster's new one. The kernel releases it with the process. File systems without flock (-1) go without; the
 * check after the removal then still narrows the gap. SG_E_BUSY after five seconds. */
static enum sg_status guard(const char *run_dir, int *fd, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    *fd = -1;
    SG_TRY(sg_path_join(run_dir, ".lock-guard", &path, err));
    const int g = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (g < 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", path, strerror(errno));
        goto out;
    }
    for (int i = 0; flock(g, LOCK_EX | LOCK_NB) != 0; i++) {
        const struct timespec wait = {.tv_nsec = GUARD_WAIT_MS * 1000000L};
        if (errno != EWOULDBLOCK && errno != EINTR) break;
        if (i >= GUARD_TRIES) {
            close(g);
            st = sg_fail(err, SG_E_BUSY,
                         "%s: another process has been taking the lock for seconds; try again", path);
            goto out;
        }
        nanosleep(&wait, NULL);
    }
    *fd = g;
out:
    free(path);
    return st;
}

void sg__lock_token(const struct sg__owner *self, const char *run_dir, char out[SG_DIGEST_HEX]) {
    struct {
        unsigned char random[16];
        struct timespec now;
        int64_t pid;
        uint64_t start, dir;
    } seed;
    memset(&seed, 0, sizeof seed);
    const int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    /* Without a random device the process and the time still make it unique. */
    if (fd >= 0 && read(fd, seed.random, sizeof seed.random) < 0) memset(seed.random, 0, sizeof seed.random);
    if (fd >= 0) close(fd);
    clock_gettime(CLOCK_REALTIME, &seed.now);
    seed.pid = self->pid;
    seed.start = self->start;
    seed.dir = sg_hash64(run_dir, strlen(run_dir));
    sg_digest_hex(sg_digest_bytes(&seed, sizeof seed), out);
}

static enum sg_status write_aside(const struct sg_lock *l, const struct sg_buf *text, struct sg_err *err) {
    const int fd = open(l->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return sg_fail(err, SG_E_IO, "%s: cannot create: %s", l->aside, strerror(errno));
    enum sg_status st = sg_fd_write(fd, text->data, text->len, l->aside, err);
    if (st == SG_OK && fsync(fd) != 0)
        st = sg_fail(err, SG_E_IO, "%s: cannot sync: %s", l->aside, strerror(errno));
    if (close(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", l->aside, strerror(errno));
    return st;
}

/* Makes the lock appear, whole; *taken = false when there is one already. */
static enum sg_status appear(const struct sg_lock *l, const struct sg_buf *text, bool *taken,
                             struct sg_err *err) {
    struct stat s;
    *taken = link(l->aside, l->path) == 0;
    const int e = errno;
    if (*taken) return SG_OK;
    /* NFS may lose the answer to a link that was made: the count of names tells. */
    if (stat(l->aside, &s) == 0 && s.st_nlink == 2) {
        *taken = true;
        return SG_OK;
    }
    if (e == EEXIST) return SG_OK;
    if (e != EPERM && e != ENOTSUP && e != ENOSYS && e != EMLINK)
        return sg_fail(err, SG_E_IO, "%s: cannot create: %s", l->path, strerror(e));
    /* No hard links here (FAT, some object stores): created exclusively, then written. */
    const int fd = open(l->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno == EEXIST ? SG_OK
                               : sg_fail(err, SG_E_IO, "%s: cannot create: %s", l->path, strerror(errno));
    enum sg_status st = sg_fd_write(fd, text->data, text->len, l->path, err);
    if (fsync(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot sync: %s", l->path, strerror(errno));
    close(fd);
    if (st != SG_OK) unlink(l->path);
    *taken = st == SG_OK;
    return st;
}

/* Takes the stale lock of `h` away. Somebody without a guard may have replaced it meanwhile: then what was
 * moved is not what was judged, and it is put back. */
static enum sg_status remove_stale(const struct sg_lock *l, const struct sg__lock_holder *h,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf moved = {0};
    struct sg__lock_holder got;
    SG_TRY(sg_buf_printf(&moved, err, "%s.stale", l->aside));
    if (rename(l->path, moved.data) != 0) {
        if (errno != ENOENT)
            st = sg_fail(err, SG_E_IO, "%s: cannot remove a stale lock: %s", l->path, strerror(errno));
        goto out;
    }
    if (sg__lock_read(moved.data, &got) && strcmp(got.token, h->token) != 0 && link(moved.data, l->path) == 0)
        st = sg_fail(err, SG_E_BUSY, "%s: another run has just taken this directory", l->path);
    unlink(moved.data);
out:
    sg_buf_free(&moved);
    return st;
}

static void lock_free(struct sg_lock *l) {
    if (!l) return;
    free(l->path);
    free(l->aside);
    free(l);
}

enum sg_status sg_lock_take(const char *run_dir, struct sg_lock **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_lock *l = NULL;
    struct sg__owner self;
    struct sg__lock_holder h;
    struct sg_buf text = {0}, aside = {0};
    int guard_fd = -1;
    bool taken = false;
    SG_TRY(sg_dir_make(run_dir, err));
    SG_TRY(SG_NEW(&l, 1, "lock", err));
    sg__owner_self(&self);
    l->pid = self.pid;
    sg__lock_token(&self, run_dir, l->token);
    SG_TRY(sg_path_join(run_dir, "lock", &l->path, err));
    SG_TRY(sg_buf_printf(&aside, err, "%s.%s", l->path, l->token));
    SG_TRY(sg__lock_text(&self, l->token, &text, err));
    SG_TRY(guard(run_dir, &guard_fd, err));
    l->aside = aside.data;
    aside = (struct sg_buf){0};
    SG_TRY(write_aside(l, &text, err));
    SG_TRY(appear(l, &text, &taken, err));
    if (!taken) {
        SG_TRY(judge(l, &self, &h, err));
        SG_TRY(remove_stale(l, &h, err));
        SG_TRY(appear(l, &text, &taken, err));
        if (!taken) st = sg_fail(err, SG_E_BUSY, "%s: another run has just taken this directory", l->path);
    }
out:
    if (l && l->aside) unlink(l->aside);
    if (guard_fd >= 0) close(guard_fd);
    sg_buf_free(&text);
    sg_buf_free(&aside);
    if (st == SG_OK)
        *out = l;
    else
        lock_free(l);
    return st;
}

enum sg_status sg_lock_beat(struct sg_lock *lock, struct sg_err *err) {
    struct sg__lock_holder h;
    if (!sg__lock_read(lock->path, &h))
        return sg_fail(err, SG_E_BUSY, "%s: this run's lock is gone: somebody removed it", lock->path);
    if (strcmp(h.token, lock->token) != 0)
        return sg_fail(err, SG_E_BUSY, "%s: this run's lock was taken over by process %" PRId64 " on %s",
                       lock->path, h.owner.pid, h.owner.host);
    if (utimensat(AT_FDCWD, lock->path, NULL, 0) != 0)
        return sg_fail(err, SG_E_IO, "%s: cannot touch: %s", lock->path, strerror(errno));
    return SG_OK;
}

void sg_lock_drop(struct sg_lock *lock) {
    if (!lock) return;
    struct sg__lock_holder h;
    if (lock->pid == (int64_t)getpid() && sg__lock_read(lock->path, &h) && !strcmp(h.token, lock->token))
        unlink(lock->path);
    lock_free(lock);
}

bool sg_lock_held(const char *run_dir) {
    char *path = NULL;
    struct sg__lock_holder h;
    struct sg__owner self;
    struct stat file;
    bool held = false;
    if (sg_path_join(run_dir, "lock", &path, NULL) == SG_OK && sg__lock_read(path, &h)) {
        sg__owner_self(&self);
        const enum sg__life life = sg__owner_life(&h.owner, &self);
        held = life == SG_LIFE_ALIVE || (life == SG_LIFE_UNKNOWN && stat(path, &file) == 0 &&
                                         time(NULL) - file.st_mtime < SG_LOCK_STALE_SECONDS);
    }
    free(path);
    return held;
}

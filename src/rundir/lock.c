#include "rundir/lock.h"
#include "base/clock.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "rundir/heartbeat.h"
#include "rundir/lock_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_BYTES = 4096, TRIES = 100, CHAIN = 8, WAIT_MS = 10 };

struct sg_lock {
    char *path, *aside; /* the lock, and a name of our own beside it */
    char token[SG_DIGEST_HEX];
    struct sg__lock_terms terms;
    struct sg__heartbeat *heartbeat;
    int64_t pid; /* of the process itself, whatever the terms say */
};

/* ---- content ---- */

static const char *const roles[] = {"run", "array", "shard"}; /* by enum sg_lock_role */

static enum sg_status put_text(const struct sg_process_id *o, enum sg_lock_role role, const char *token,
                               struct sg_buf *out, struct sg_err *err) {
    char since[SG_CLOCK_UTC];
    sg_clock_utc(since);
    return sg_buf_printf(out, err,
                         "scope-grid lock 1\nrole %s\nhost %s\nmachine %s\nboot %s\nspace %s\npid %" PRId64
                         "\nstart %" PRIu64 "\ntoken %s\nsince %s\nend\n",
                         roles[role], o->host, o->machine, o->boot, o->space, o->pid, o->start, token, since);
}

/* The value of "key value" on a line of its own; "" when absent. */
static void field(const char *text, const char *key, char out[SG_PROCESS_TEXT]) {
    const size_t n = strlen(key);
    out[0] = 0;
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, n) != 0 || line[n] != ' ') continue;
        size_t len = strcspn(line + n + 1, "\n");
        if (len >= SG_PROCESS_TEXT) len = SG_PROCESS_TEXT - 1;
        memcpy(out, line + n + 1, len);
        out[len] = 0;
        return;
    }
}

static bool parse(const char *text, struct sg_lock_holder *h) {
    char number[SG_PROCESS_TEXT];
    memset(h, 0, sizeof *h);
    if (strncmp(text, "scope-grid lock 1\n", 18) != 0 || !strstr(text, "\nend\n")) return false;
    field(text, "role", number);
    for (int i = SG_LOCK_RUN; i <= SG_LOCK_SHARD; i++)
        if (!strcmp(number, roles[i])) h->role = (enum sg_lock_role)i;
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

/* A lock file, read once, so that key and holder are of the same content. */
struct found {
    bool exists, readable;   /* readable: a whole lock file */
    int error;               /* != 0: the errno of a file that cannot be read; its holder is unknown */
    char key[SG_DIGEST_HEX]; /* of the bytes */
    struct sg_lock_holder h;
};

static void look_once(const char *path, struct found *f) {
    char text[LOCK_BYTES + 1];
    memset(f, 0, sizeof *f);
    const int fd = sg_open(path, SG_OPEN_OWN);
    f->exists = fd >= 0 || errno != ENOENT;
    const int64_t n = fd < 0 ? -1 : sg_fd_read(fd, text, LOCK_BYTES);
    f->error = n < 0 && f->exists ? errno : 0;
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    f->readable = n > 0 && parse(text, &f->h);
    sg_digest_hex(sg_digest_bytes(text, n > 0 ? (size_t)n : 0), f->key);
}

/* A read that fails once is tried again: a file server may have been restarted. */
static void look(const char *path, struct found *f) {
    look_once(path, f);
    if (f->error) look_once(path, f);
}

static bool read_holder(const char *path, struct sg_lock_holder *h) {
    struct found f;
    look(path, &f);
    if (f.readable) *h = f.h;
    return f.readable;
}

void sg__lock_terms_usual(struct sg__lock_terms *out) {
    sg_process_self(&out->self);
    out->beat_ms = SG_LOCK_BEAT_SECONDS * 1000;
    out->stale_seconds = SG_LOCK_STALE_SECONDS;
    out->watch_ms = SG_LOCK_WATCH_SECONDS * 1000;
}

/* ---- judging ---- */

/* Seconds since `path` was touched, by the file server's clock: the caller has just written `fresh` there. */
static int64_t silence(const char *path, const char *fresh) {
    struct stat lock, now;
    if (stat(path, &lock) != 0 || stat(fresh, &now) != 0) return 0;
    return (int64_t)now.st_mtime - (int64_t)lock.st_mtime;
}

static enum sg_status busy(const char *path, const struct sg_lock_holder *h, enum sg_process_state life,
                           int64_t age, int64_t limit, struct sg_err *err) {
    static const char *const who[] = {"another run holds this directory",
                                      "a task of an array begins or merges the run here",
                                      "another task of the array has this shard"};
    if (life == SG_LIFE_ALIVE)
        return sg_fail(err, SG_E_BUSY, "%s: %s: process %" PRId64 " on %s, since %s; wait for it or stop it",
                       path, who[h->role], h->owner.pid, h->owner.host, h->since);
    if (age < -limit)
        return sg_fail(err, SG_E_BUSY,
                       "%s: %s: process %" PRId64 " on %s, since %s; its time lies %" PRId64
                       " s in the future (a clock was set back); if it is gone, remove this file",
                       path, who[h->role], h->owner.pid, h->owner.host, h->since, -age);
    return sg_fail(err, SG_E_BUSY,
                   "%s: %s: process %" PRId64 " on %s, since %s, last sign of life %" PRId64
                   " s ago; if it is gone, wait until %" PRId64 " s have passed or remove this file",
                   path, who[h->role], h->owner.pid, h->owner.host, h->since, age > 0 ? age : 0, limit);
}

/* silence() of a lock whose holder only the heartbeat can tell. A time in the future (the clock was set back) would hold
 * the lock for as long: it is set to now, as a living holder's next beat would do, and ages from there. */
static int64_t silence_mended(const char *path, const char *fresh, const struct sg__lock_terms *t) {
    const int64_t age = silence(path, fresh);
    if (age >= -t->stale_seconds || utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) != 0) return age;
    return silence(path, fresh);
}

/* SG_OK when the lock file that was found under `path` is stale or gone. */
static enum sg_status judge(const char *path, const char *fresh, const struct sg__lock_terms *t,
                            const struct found *f, struct sg_err *err) {
    if (!f->exists) return SG_OK;
    if (f->error)
        return sg_fail(err, SG_E_IO, "%s: cannot be read: %s; if no run is active here, remove it", path,
                       sg_open_reason(f->error));
    if (!f->readable) {
        const int64_t age = silence_mended(path, fresh, t);
        /* A torn file comes from a machine that lost power, or from a writer without hard links (appear). It
         * becomes stale after the same time. */
        if (age > t->stale_seconds || access(path, F_OK) != 0) return SG_OK;
        return sg_fail(err, SG_E_BUSY,
                       "%s: is not a lock file of this program; if no run is active here, remove it", path);
    }
    const enum sg_process_state life = sg_process_life(&f->h.owner, &t->self);
    if (life == SG_LIFE_DEAD) return SG_OK;
    const int64_t age = life == SG_LIFE_UNKNOWN ? silence_mended(path, fresh, t) : 0;
    if (age > t->stale_seconds) return SG_OK;
    return busy(path, &f->h, life, age, t->stale_seconds, err);
}

/* Called for a lock that judge finds stale. Where the heartbeat alone tells, its time lies far back when the holder is dead,
 * and also when the file server's clock has jumped ahead: who looks for longer than a beat knows which. SG_E_BUSY when the
 * file was touched meanwhile; SG_OK also when it is gone. Opens it each time: NFS keeps attributes for a minute otherwise. */
static enum sg_status watch(const char *path, const struct sg__lock_terms *t, const struct found *f,
                            struct sg_err *err) {
    struct stat s, first = {0};
    const int64_t until = sg_clock_ns() + t->watch_ms * 1000000;
    const struct timespec pause = {.tv_sec = t->watch_ms / 20000, .tv_nsec = t->watch_ms % 20000 * 50000};
    if (!f->readable || sg_process_life(&f->h.owner, &t->self) != SG_LIFE_UNKNOWN) return SG_OK;
    for (bool again = false;; again = true) {
        const int fd = sg_open(path, SG_OPEN_OWN);
        if (fd < 0) return SG_OK;
        const bool known = fstat(fd, &s) == 0;
        close(fd);
        if (known && again &&
            (s.st_ino != first.st_ino || memcmp(&s.st_mtim, &first.st_mtim, sizeof s.st_mtim)))
            return busy(path, &f->h, SG_LIFE_UNKNOWN, 0, t->stale_seconds, err);
        if (known) first = s;
        if (sg_clock_ns() >= until) return SG_OK;
        if (nanosleep(&pause, NULL) != 0)
            return sg_fail(err, SG_E_STOPPED, "%s: stopped while it was watched: its holder seems to be dead",
                           path);
    }
}

/* ---- taking ---- */

/* A token that no other process makes. */
static void make_token(const struct sg_process_id *self, const char *path, char out[SG_DIGEST_HEX]) {
    struct {
        uint64_t random[2];
        struct timespec now;
        int64_t pid;
        uint64_t start, path;
    } seed;
    memset(&seed, 0, sizeof seed);
    /* Without random numbers, pid, start time and the time of day still make it unique. */
    seed.random[0] = sg_random_number();
    seed.random[1] = sg_random_number();
    clock_gettime(CLOCK_REALTIME, &seed.now);
    seed.pid = self->pid;
    seed.start = self->start;
    seed.path = sg_hash64(path, strlen(path));
    sg_digest_hex(sg_digest_bytes(&seed, sizeof seed), out);
}

static enum sg_status write_aside(const struct sg_lock *l, const struct sg_buf *text, struct sg_err *err) {
    const int fd = sg_open(l->aside, SG_OPEN_NEW);
    if (fd < 0) return sg_fail(err, SG_E_IO, "%s: cannot create: %s", l->aside, sg_open_reason(errno));
    enum sg_status st = sg_fd_write(fd, text->data, text->len, l->aside, err);
    if (st == SG_OK && fsync(fd) != 0)
        st = sg_fail(err, SG_E_IO, "%s: cannot sync: %s", l->aside, strerror(errno));
    if (close(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", l->aside, strerror(errno));
    return st;
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Creates `name` with the whole text; *taken = false when it exists already. */
static enum sg_status appear(const struct sg_lock *l, const char *name, const struct sg_buf *text,
                             bool *taken, struct sg_err *err) {
    *taken = link(l->aside, name) == 0;
    const int e = errno;
    if (*taken) return SG_OK;
    /* NFS may lose the answer to a link that was made: then both names are the same file. */
    *taken = same_file(l->aside, name);
    if (*taken || e == EEXIST) return SG_OK;
    if (e != EPERM && e != ENOTSUP && e != ENOSYS && e != EMLINK)
        return sg_fail(err, SG_E_IO, "%s: cannot create: %s", name, strerror(e));
    /* No hard links here (FAT, some object stores): created exclusively, then written. */
    const int fd = sg_open(name, SG_OPEN_NEW);
    if (fd < 0) {
        const int why = errno; /* sshfs gives EPERM for a name that exists */
        if (why == EEXIST || access(name, F_OK) == 0) return SG_OK;
        return sg_fail(err, SG_E_IO, "%s: cannot create: %s", name, strerror(why));
    }
    enum sg_status st = sg_fd_write(fd, text->data, text->len, name, err);
    if (fsync(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot sync: %s", name, strerror(errno));
    close(fd);
    if (st != SG_OK) unlink(name);
    *taken = st == SG_OK;
    return st;
}

/* Takes the right to replace the file `stale` (lock.h): *right is the path of our LOCK.KEY.next, to be freed
 * by the caller, or NULL when another process had it. SG_E_BUSY when the holder of the right lives. */
static enum sg_status take_right(const struct sg_lock *l, const struct found *stale,
                                 const struct sg_buf *text, char **right, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct found f = *stale;
    struct sg_buf name = {0};
    bool taken = false;
    *right = NULL;
    for (int i = 0; !taken && i < CHAIN; i++) {
        sg_buf_clear(&name);
        SG_TRY(sg_buf_printf(&name, err, "%s.%s.next", l->path, f.key));
        SG_TRY(appear(l, name.data, text, &taken, err));
        if (taken) break;
        look(name.data, &f);
        if (!f.exists) goto out; /* its holder has removed it or renamed it over the lock */
        SG_TRY(judge(name.data, l->aside, &l->terms, &f, err));
    }
    if (!taken) {
        st = sg_fail(err, SG_E_BUSY, "%s: %d processes in a row died taking it; remove %s.*.next", l->path,
                     CHAIN, l->path);
        goto out;
    }
    *right = name.data;
    name = (struct sg_buf){0};
out:
    sg_buf_free(&name);
    return st;
}

/* Renames our file over the stale one. *taken = false when another process has replaced or removed it. */
static enum sg_status replace(const struct sg_lock *l, const struct found *stale, const struct sg_buf *text,
                              bool *taken, struct sg_err *err) {
    char *right = NULL;
    struct found now;
    enum sg_status st = take_right(l, stale, text, &right, err);
    *taken = false;
    if (st != SG_OK || !right) return st;
    look(l->path, &now);
    if (!now.exists || strcmp(now.key, stale->key) != 0) {
        unlink(right);
    } else if (rename(right, l->path) != 0) {
        if (errno != ENOENT) {
            st = sg_fail(err, SG_E_IO, "%s: cannot replace a stale lock: %s", l->path, strerror(errno));
            unlink(right);
        }
    } else {
        look(l->path, &now);
        *taken = now.readable && !strcmp(now.h.token, l->token);
    }
    free(right);
    return st;
}

/* True for LOCK.KEY and LOCK.KEY.next, KEY being a digest in hex; *right: the latter. */
static bool is_aside(const char *name, const char *lock, bool *right) {
    static const char hex[] = "0123456789abcdef";
    const size_t n = strlen(lock);
    if (strncmp(name, lock, n) != 0 || name[n] != '.' || strspn(name + n + 1, hex) != SG_DIGEST_HEX - 1)
        return false;
    const char *tail = name + n + 1 + SG_DIGEST_HEX - 1;
    *right = !strcmp(tail, ".next");
    return *right || !*tail;
}

/* Removes files of killed takers. Call with the lock held: every LOCK.KEY.next is then void. */
static enum sg_status clear_asides(const struct sg_lock *l, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *slash = strrchr(l->path, '/');
    struct sg_buf folder = {0};
    DIR *d = NULL;
    SG_TRY(
        sg_buf_printf(&folder, err, "%.*s", slash ? (int)(slash - l->path) + 1 : 1, slash ? l->path : "."));
    d = sg_dir_open(folder.data, true);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char *path = NULL;
        struct found f;
        bool right;
        if (!is_aside(e->d_name, slash ? slash + 1 : l->path, &right)) continue;
        SG_TRY(sg_path_join(folder.data, e->d_name, &path, err));
        look(path, &f);
        if (right || (strcmp(path, l->aside) != 0 && judge(path, l->aside, &l->terms, &f, NULL) == SG_OK))
            unlink(path);
        free(path);
    }
out:
    if (d) closedir(d);
    sg_buf_free(&folder);
    return st;
}

/* The heartbeat. Failures are ignored: the next beat tries again, and the holder calls sg_lock_beat to learn
 * whether the lock is lost. */
static void touch(const void *ctx) {
    const struct sg_lock *l = ctx;
    struct sg_lock_holder h;
    if (read_holder(l->path, &h) && !strcmp(h.token, l->token)) (void)utimensat(AT_FDCWD, l->path, NULL, 0);
}

static void lock_free(struct sg_lock *l) {
    if (!l) return;
    sg__heartbeat_stop(l->heartbeat);
    free(l->path);
    free(l->aside);
    free(l);
}

static enum sg_status take(struct sg_lock *l, const struct sg_buf *text, bool *taken, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct timespec wait = {.tv_nsec = WAIT_MS * 1000000L};
    for (int i = 0; i < TRIES; i++) {
        struct found f;
        SG_TRY(appear(l, l->path, text, taken, err));
        if (*taken) goto out;
        look(l->path, &f);
        if (!f.exists || f.error == ESTALE) continue; /* replaced while we read it */
        SG_TRY(judge(l->path, l->aside, &l->terms, &f, err));
        SG_TRY(watch(l->path, &l->terms, &f, err));
        SG_TRY(replace(l, &f, text, taken, err));
        if (*taken) goto out;
        nanosleep(&wait, NULL);
    }
    st = sg_fail(err, SG_E_BUSY, "%s: other processes have been taking it for a second; try again", l->path);
out:
    return st;
}

enum sg_status sg__lock_take_on(const char *path, enum sg_lock_role role, const struct sg__lock_terms *terms,
                                struct sg_lock **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_lock *l = NULL;
    struct sg_buf text = {0}, aside = {0};
    bool taken = false;
    SG_TRY(SG_NEW(&l, 1, "lock", err));
    l->terms = *terms;
    l->pid = (int64_t)getpid();
    make_token(&terms->self, path, l->token);
    SG_TRY(SG_NEW(&l->path, strlen(path) + 1, "lock", err));
    memcpy(l->path, path, strlen(path));
    SG_TRY(sg_buf_printf(&aside, err, "%s.%s", l->path, l->token));
    SG_TRY(put_text(&terms->self, role, l->token, &text, err));
    l->aside = aside.data;
    aside = (struct sg_buf){0};
    SG_TRY(write_aside(l, &text, err));
    SG_TRY(take(l, &text, &taken, err));
    SG_TRY(sg__heartbeat_start(touch, l, terms->beat_ms, &l->heartbeat, err));
    SG_TRY(clear_asides(l, err));
out:
    if (st != SG_OK && taken) unlink(l->path);
    if (l && l->aside) unlink(l->aside);
    sg_buf_free(&text);
    sg_buf_free(&aside);
    if (st == SG_OK)
        *out = l;
    else
        lock_free(l);
    return st;
}

enum sg_status sg_lock_take(const char *path, enum sg_lock_role role, struct sg_lock **out,
                            struct sg_err *err) {
    struct sg__lock_terms usual;
    sg__lock_terms_usual(&usual);
    return sg__lock_take_on(path, role, &usual, out, err);
}

enum sg_status sg_lock_beat(struct sg_lock *lock, struct sg_err *err) {
    struct sg_lock_holder h;
    if (!read_holder(lock->path, &h)) {
        char byte;
        const int fd = sg_open(lock->path, SG_OPEN_OWN);
        const bool gone = fd >= 0 ? read(fd, &byte, 1) >= 0 : errno == ENOENT;
        if (fd >= 0) close(fd);
        if (!gone) return SG_OK; /* unknown (busy server, no free descriptor): the next beat asks again */
        if (!read_holder(lock->path, &h))
            return sg_fail(
                err, SG_E_BUSY,
                "%s: this process's lock is gone: it was silent for so long that another took it, or it was "
                "removed",
                lock->path);
    }
    if (strcmp(h.token, lock->token) != 0)
        return sg_fail(err, SG_E_BUSY, "%s: this process's lock was taken over by process %" PRId64 " on %s",
                       lock->path, h.owner.pid, h.owner.host);
    if (utimensat(AT_FDCWD, lock->path, NULL, 0) != 0)
        return sg_fail(err, SG_E_IO, "%s: cannot touch: %s", lock->path, strerror(errno));
    return SG_OK;
}

/* Each call is tried twice, and a lock that cannot be removed gets another name, which the next taker clears: a task that
 * takes the lock again would wait for itself. */
void sg_lock_drop(struct sg_lock *lock) {
    if (!lock) return;
    struct sg_lock_holder h;
    struct sg_buf other = {0};
    if (lock->pid == (int64_t)getpid() && read_holder(lock->path, &h) && !strcmp(h.token, lock->token) &&
        unlink(lock->path) != 0 && unlink(lock->path) != 0 &&
        sg_buf_printf(&other, NULL, "%s.next", lock->aside) == SG_OK)
        (void)rename(lock->path,
                     other.data); /* `aside` may still be a link to it: such a rename does nothing */
    sg_buf_free(&other);
    lock_free(lock);
}

enum sg_status sg_lock_look(const char *path, const char *fresh, struct sg_lock_holder *h,
                            struct sg_err *err) {
    struct sg_process_id self;
    struct stat file, now;
    if (!read_holder(path, h) || stat(path, &file) != 0) return SG_OK;
    sg_process_self(&self);
    const enum sg_process_state life = sg_process_life(&h->owner, &self);
    const bool served = fresh && stat(fresh, &now) == 0;
    const int64_t age = (int64_t)(served ? now.st_mtime : time(NULL)) - (int64_t)file.st_mtime;
    if (life == SG_LIFE_DEAD || (life == SG_LIFE_UNKNOWN && age >= SG_LOCK_STALE_SECONDS)) return SG_OK;
    return busy(path, h, life, age, SG_LOCK_STALE_SECONDS, err);
}

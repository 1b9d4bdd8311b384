#include "rundir/members.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "rundir/lock.h"
#include "rundir/lock_internal.h"
#include "base/process_id.h"
#include "rundir/heartbeat.h"
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

enum { TORN_TRIES = 150 }; /* of 0.2 s: looks at a lock that is not whole yet */

struct sg_member {
    char *run_dir, *members, *leases; /* folders */
    char *path;                       /* this member's file */
    char *lock;                       /* the directory's lock */
    struct sg_process_id self;
    char token[SG_DIGEST_HEX];
    struct sg__heartbeat *pulse;
    int64_t stale_seconds;
    int64_t pid;
};

/* ---- folders and files ------------------------------------------------------------------------------ */

static void member_free(struct sg_member *m) {
    if (!m) return;
    sg__heartbeat_stop(m->pulse);
    free(m->run_dir);
    free(m->members);
    free(m->leases);
    free(m->path);
    free(m->lock);
    free(m);
}

static enum sg_status make_paths(struct sg_member *m, const char *run_dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_path_join(".", run_dir, &m->run_dir, err));
    SG_TRY(sg_path_join(run_dir, "array/members", &m->members, err));
    SG_TRY(sg_path_join(run_dir, "array/leases", &m->leases, err));
    SG_TRY(sg_path_join(run_dir, "lock", &m->lock, err));
out:
    return st;
}

/* run_dir/array and what is in it, not run_dir itself: that is the caller's, with rights of its own. */
static enum sg_status make_folders(const struct sg_member *m, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *array = NULL;
    SG_TRY(sg_path_join(m->run_dir, "array", &array, err));
    const char *const folders[] = {array, m->members, m->leases};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (mkdir(folders[i], 0777) != 0) {
            const int e = errno; /* the next call has an errno of its own */
            if (sg_dir_exists(folders[i])) continue;
            st = sg_fail(err, SG_E_IO, "%s: cannot make folder: %s", folders[i], strerror(e));
            goto out;
        }
out:
    free(array);
    return st;
}

/* Exclusive: SG_OK and *made = false when the name is taken. */
static enum sg_status create(const char *path, const struct sg_buf *text, bool *made, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    *made = fd >= 0;
    if (fd < 0) {
        const int e = errno; /* sshfs says EPERM of a name that is taken */
        if (e == EEXIST || access(path, F_OK) == 0) return SG_OK;
        return sg_fail(err, SG_E_IO, "%s: cannot create: %s", path, strerror(e));
    }
    if (text) st = sg_fd_write(fd, text->data, text->len, path, err);
    if (close(fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", path, strerror(errno));
    if (st != SG_OK) unlink(path);
    return st;
}

/* Written aside, then renamed: whoever sees the name sees all of it. */
static enum sg_status appear(const struct sg_member *m, const struct sg_buf *text, struct sg_err *err) {
    struct sg_buf aside = {0};
    bool made;
    enum sg_status st = sg_buf_printf(&aside, err, "%s.new", m->path);
    if (st == SG_OK) st = create(aside.data, text, &made, err);
    if (st == SG_OK && !made)
        st = sg_fail(err, SG_E_IO, "%s: exists although its name is random", aside.data);
    if (st == SG_OK && rename(aside.data, m->path) != 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", m->path, strerror(errno));
        unlink(aside.data);
    }
    sg_buf_free(&aside);
    return st;
}

/* ---- judging ---------------------------------------------------------------------------------------- */

/* Does the member of that token live? `fresh` was touched just now (NULL: our own clock). A dead one's file
 * is removed: a member that only slept then finds out at its next beat. Not for silence by our own clock,
 * which may be minutes ahead of the file server's: who only looks must not end a run that lives. */
static bool lives(const char *folder, const char *token, const char *fresh, const struct sg_process_id *self,
                  int64_t stale_seconds, struct sg__lock_holder *h) {
    char *path = NULL;
    bool alive = false;
    if (sg_path_join(folder, token, &path, NULL) != SG_OK) return true; /* cannot tell: leave it alone */
    struct stat s, now;
    if (stat(path, &s) != 0) {
        alive = errno != ENOENT; /* gone: it has left; else (a stale handle, a busy server) nobody can tell */
        goto out;
    }
    const bool readable = sg__lock_read(path, h);
    enum sg_process_state life = readable ? sg_process_life(&h->owner, self) : SG_LIFE_UNKNOWN;
    bool certain = true;
    if (life == SG_LIFE_UNKNOWN) {
        certain = fresh && stat(fresh, &now) == 0;
        const time_t t = certain ? now.st_mtime : time(NULL);
        life = t - s.st_mtime > stale_seconds ? SG_LIFE_DEAD : SG_LIFE_ALIVE;
    }
    alive = life == SG_LIFE_ALIVE;
    if (!alive && certain) unlink(path);
out:
    free(path);
    return alive;
}

const char *sg_member_token(const struct sg_member *m) {
    return m->token;
}

bool sg_member_lives(const struct sg_member *m, const char *token) {
    struct sg__lock_holder h;
    return strlen(token) == SG_DIGEST_HEX - 1 &&
           lives(m->members, token, m->path, &m->self, m->stale_seconds, &h);
}

/* TOKEN.new, which who was killed while joining leaves. */
static bool is_new(const char *name) {
    const size_t n = strlen(name);
    return n == SG_DIGEST_HEX - 1 + 4 && !strcmp(name + n - 4, ".new");
}

/* Living members, and the first of them that is not `self`. */
static enum sg_status count_living(const char *folder, const char *fresh, const struct sg_process_id *self,
                                   int64_t stale_seconds, int32_t *n, struct sg__lock_holder *first,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    DIR *d = opendir(folder);
    *n = 0;
    if (!d) {
        if (errno == ENOENT) return SG_OK;
        return sg_fail(err, SG_E_IO, "%s: cannot list: %s", folder, strerror(errno));
    }
    for (;;) {
        struct sg__lock_holder h;
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno) st = sg_fail(err, SG_E_IO, "%s: cannot list: %s", folder, strerror(errno));
            break;
        }
        memset(&h, 0, sizeof h);
        if (strlen(e->d_name) != SG_DIGEST_HEX - 1) { /* ".", or a file that does not yet count: */
            if (is_new(e->d_name)) (void)lives(folder, e->d_name, fresh, self, stale_seconds, &h);
            continue;
        }
        if (!lives(folder, e->d_name, fresh, self, stale_seconds, &h)) continue;
        if (first && *n == 0) *first = h;
        ++*n;
    }
    closedir(d);
    return st;
}

static bool same_process(const struct sg_process_id *a, const struct sg_process_id *b) {
    return a->pid == b->pid && a->start == b->start && !strcmp(a->host, b->host) &&
           !strcmp(a->boot, b->boot) && !strcmp(a->space, b->space);
}

/* Is the holder of the lock one of the members (it prepares the directory, or merges)? */
static bool is_member(const struct sg_member *m, const struct sg_process_id *holder) {
    DIR *d = opendir(m->members);
    bool found = false;
    for (const struct dirent *e; !found && d && (e = readdir(d));) {
        struct sg__lock_holder h;
        char *path = NULL;
        if (strlen(e->d_name) == SG_DIGEST_HEX - 1 &&
            sg_path_join(m->members, e->d_name, &path, NULL) == SG_OK)
            found = sg__lock_read(path, &h) && same_process(&h.owner, holder);
        free(path);
    }
    if (d) closedir(d);
    return found;
}

/* Was the lock made less than half a minute ago? */
static bool is_young(const struct sg_member *m) {
    struct stat lock, now;
    return stat(m->lock, &lock) != 0 || stat(m->path, &now) != 0 || now.st_mtime - lock.st_mtime < 30;
}

enum sg_status sg_member_check(struct sg_member *m, struct sg_err *err) {
    char before[SG_PROCESS_TEXT] = "";
    for (int torn = 0;;) {
        struct sg__lock_holder h;
        struct sg_err busy = {0};
        const enum sg_status st = sg__lock_look(m->lock, m->path, &h, &busy);
        if (st == SG_OK || is_member(m, &h.owner)) return SG_OK;
        /* Where there are no hard links a lock is made before it is written, and a client that keeps what it
         * has seen (sshfs: 20 s) may find it empty for so long. */
        if (!h.token[0] && torn++ < TORN_TRIES && is_young(m)) {
            nanosleep(&(struct timespec){0, 200 * 1000000}, NULL);
            continue;
        }
        /* A member lets go of the lock before it leaves, which it may have done between the two looks. */
        if (!strcmp(h.token, before)) {
            if (err) *err = busy;
            return st;
        }
        memcpy(before, h.token, sizeof before);
    }
}

enum sg_status sg_member_count(struct sg_member *m, int32_t *n, struct sg_err *err) {
    return count_living(m->members, m->path, &m->self, m->stale_seconds, n, NULL, err);
}

/* fresh: as of lives. */
static enum sg_status living(const char *run_dir, const char *fresh, int32_t *n,
                             struct sg__lock_holder *first, struct sg_err *err) {
    struct sg_process_id self;
    char *folder = NULL;
    enum sg_status st = sg_path_join(run_dir, "array/members", &folder, err);
    sg_process_self(&self);
    if (st == SG_OK) st = count_living(folder, fresh, &self, SG_LOCK_STALE_SECONDS, n, first, err);
    free(folder);
    return st;
}

enum sg_status sg_members_refuse(const char *run_dir, struct sg_err *err) {
    int32_t n = 0;
    struct sg__lock_holder h = {0};
    char *lock = NULL;
    enum sg_status st = sg_path_join(run_dir, "lock", &lock, err);
    if (st == SG_OK) st = living(run_dir, lock, &n, &h, err); /* the lock was just made */
    free(lock);
    if (st != SG_OK || n == 0) return st;
    return sg_fail(err, SG_E_BUSY,
                   "%s: an array run is computing here: %d member%s, one is process %" PRId64
                   " on %s; wait for it, stop it, or join it with --array",
                   run_dir, (int)n, n == 1 ? "" : "s", h.owner.pid, h.owner.host);
}

int32_t sg_members_living(const char *run_dir) {
    int32_t n = 0;
    return living(run_dir, NULL, &n, NULL, NULL) == SG_OK ? n : 0;
}

/* ---- joining and leaving ---------------------------------------------------------------------------- */

enum sg_status sg__member_join_on(const char *run_dir, const struct sg__lock_terms *terms,
                                  struct sg_member **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_member *m = NULL;
    struct sg_buf text = {0};
    SG_TRY(SG_NEW(&m, 1, "member", err));
    SG_TRY(make_paths(m, run_dir, err));
    SG_TRY(make_folders(m, err));
    m->self = terms->self;
    m->stale_seconds = terms->stale_seconds;
    m->pid = (int64_t)getpid();
    sg__lock_token(&m->self, run_dir, m->token);
    SG_TRY(sg__lock_text(&m->self, m->token, &text, err));
    SG_TRY(sg_path_join(m->members, m->token, &m->path, err));
    /* First seen, then looking: of a member and another run that come at the same moment, at least one sees
     * the other. */
    st = appear(m, &text, err);
    if (st != SG_OK) {
        free(m->path);
        m->path = NULL;
        goto out;
    }
    SG_TRY(sg__heartbeat_start(m->path, m->token, terms->beat_ms, &m->pulse, err));
    SG_TRY(sg_member_check(m, err));
    *out = m;
    m = NULL;
out:
    sg_buf_free(&text);
    sg_member_leave(m);
    return st;
}

enum sg_status sg_member_join(const char *run_dir, struct sg_member **out, struct sg_err *err) {
    struct sg__lock_terms usual;
    sg__lock_terms_usual(&usual);
    return sg__member_join_on(run_dir, &usual, out, err);
}

void sg_member_leave(struct sg_member *m) {
    if (!m) return;
    if (m->path && m->pid == (int64_t)getpid()) unlink(m->path);
    member_free(m);
}

enum sg_status sg_member_beat(struct sg_member *m, struct sg_err *err) {
    if (utimensat(AT_FDCWD, m->path, NULL, 0) == 0) return SG_OK;
    if (errno == ENOENT)
        return sg_fail(
            err, SG_E_BUSY,
            "%s: is gone: this process was silent for so long that others have taken its work over", m->path);
    return sg_fail(err, SG_E_IO, "%s: cannot touch: %s", m->path, strerror(errno));
}

/* ---- leases ----------------------------------------------------------------------------------------- */

static enum sg_status lease_path(const struct sg_member *m, int64_t piece, int32_t attempt,
                                 struct sg_buf *out, struct sg_err *err) {
    if (attempt == 0) return sg_buf_printf(out, err, "%s/%08" PRId64 ".done", m->leases, piece);
    return sg_buf_printf(out, err, "%s/%08" PRId64 ".%" PRId32, m->leases, piece, attempt);
}

/* NFS may lose the answer to a link that was made: one inode under both names tells. */
static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

enum sg_status sg_member_claim(struct sg_member *m, int64_t piece, int32_t attempt, bool *mine,
                               struct sg_err *err) {
    struct sg_buf path = {0}, text = {0};
    enum sg_status st = SG_OK;
    *mine = false;
    SG_TRY(lease_path(m, piece, attempt, &path, err));
    if (link(m->path, path.data) == 0) {
        *mine = true;
        goto out;
    }
    switch (errno) {
    case EEXIST:
        *mine = same_file(m->path, path.data);
        break;
    case ENOENT:
        st = sg_member_beat(m, err);
        break; /* says why: our own file is gone */
    case EPERM:
    case ENOTSUP:
    case ENOSYS:
    case EMLINK: /* no hard links here, or no more of them */
        SG_TRY(sg__lock_text(&m->self, m->token, &text, err));
        st = create(path.data, &text, mine, err);
        break;
    default:
        st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", path.data, strerror(errno));
    }
out:
    sg_buf_free(&path);
    sg_buf_free(&text);
    return st;
}

enum sg_status sg_member_done(struct sg_member *m, int64_t piece, struct sg_err *err) {
    struct sg_buf path = {0};
    bool made;
    enum sg_status st = lease_path(m, piece, 0, &path, err);
    if (st == SG_OK) st = create(path.data, NULL, &made, err);
    sg_buf_free(&path);
    return st;
}

enum sg_status sg_member_undone(struct sg_member *m, int64_t piece, struct sg_err *err) {
    struct sg_buf path = {0};
    enum sg_status st = lease_path(m, piece, 0, &path, err);
    if (st == SG_OK && unlink(path.data) != 0 && errno != ENOENT)
        st = sg_fail(err, SG_E_IO, "%s: cannot remove: %s", path.data, strerror(errno));
    sg_buf_free(&path);
    return st;
}

/* Judgements of one look: holders have many pieces, and each is judged once. */
struct known {
    char token[SG_PROCESS_TEXT];
    bool alive;
};
struct judges {
    struct known *known;
    size_t n, cap;
};

static enum sg_status holder_lives(const struct sg_member *m, struct judges *j, const char *lease,
                                   bool *alive, struct sg_err *err) {
    struct sg__lock_holder h;
    struct stat s, mine;
    if (!sg__lock_read(lease, &h)) {
        /* Half written where there are no hard links, or by a machine that lost power: give it time. */
        *alive = stat(lease, &s) == 0 && stat(m->path, &mine) == 0 &&
                 mine.st_mtime - s.st_mtime <= m->stale_seconds;
        return SG_OK;
    }
    for (size_t i = 0; i < j->n; i++) {
        if (strcmp(j->known[i].token, h.token) != 0) continue;
        *alive = j->known[i].alive;
        return SG_OK;
    }
    enum sg_status st = SG_GROW(&j->known, &j->cap, j->n + 1, "members", err);
    if (st != SG_OK) return st;
    struct known *k = &j->known[j->n++];
    memcpy(k->token, h.token, sizeof k->token);
    k->alive = sg_member_lives(m, h.token);
    *alive = k->alive;
    return SG_OK;
}

static enum sg_status list_pieces(const struct sg_member *m, struct sg_piece *pieces, int64_t n,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    DIR *d = opendir(m->leases);
    if (!d) return sg_fail(err, SG_E_IO, "%s: cannot list: %s", m->leases, strerror(errno));
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno) st = sg_fail(err, SG_E_IO, "%s: cannot list: %s", m->leases, strerror(errno));
            break;
        }
        char *end;
        const long long piece = strtoll(e->d_name, &end, 10);
        if (end == e->d_name || *end != '.' || piece < 0 || piece >= n) continue;
        if (!strcmp(end, ".done")) {
            pieces[piece].done = true;
            continue;
        }
        const long attempt = strtol(end + 1, &end, 10);
        if (*end == 0 && attempt > pieces[piece].attempt && attempt < INT32_MAX)
            pieces[piece].attempt = (int32_t)attempt;
    }
    closedir(d);
    return st;
}

enum sg_status sg_member_look(struct sg_member *m, struct sg_piece *pieces, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct judges j = {0};
    struct sg_buf path = {0};
    memset(pieces, 0, (size_t)n * sizeof *pieces);
    SG_TRY(sg_member_beat(m, err)); /* our file's time is "now" by the clock of this directory */
    SG_TRY(list_pieces(m, pieces, n, err));
    for (int64_t i = 0; i < n; i++) {
        if (pieces[i].done || pieces[i].attempt == 0) continue;
        sg_buf_clear(&path);
        SG_TRY(lease_path(m, i, pieces[i].attempt, &path, err));
        SG_TRY(holder_lives(m, &j, path.data, &pieces[i].held, err));
    }
out:
    free(j.known);
    sg_buf_free(&path);
    return st;
}

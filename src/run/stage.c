#define _GNU_SOURCE /* sched_getaffinity */
#include "run/stage.h"

#include "base/file.h"
#include "run/clock.h"
#include "run/stage_folder.h"
#include "run/stage_relay.h"
#include "model/digest.h"
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 16 };                                 /* a node's memory is busy with fewer */
static const int64_t STALL_NS = (int64_t)300 * 1000000000; /* of another run's copy, without a new byte */
static const struct timespec PAUSE = {0, 50 * 1000000};    /* between looks at it */

struct sg_staging {
    char *dir;
    struct sg_digest digest;
    struct sg_model_files files; /* leaders */
    struct sg__folder folder;    /* leaders, with a copy */
    bool keep;
};

/* One opening, on one rank. */
struct opening {
    struct sg_comm *comm;
    const struct sg_job *job;
    bool quiet, root, leader, said;
    struct sg_staging *s;
    struct sg_digest key;        /* of the copy's folder */
    enum sg__folder_state state; /* leaders; the other ranks are HAVE from the start */
    int64_t bytes, since;        /* BUSY: what the other's copy had when it last grew, and when that was */
};

const char *sg_staging_dir(const struct sg_staging *s) {
    return s->dir;
}
const struct sg_digest *sg_staging_digest(const struct sg_staging *s) {
    return &s->digest;
}
void sg_staging_close(struct sg_staging *s) {
    if (!s) return;
    sg__folder_close(&s->folder, s->keep);
    sg_model_files_free(&s->files);
    free(s->dir);
    free(s);
}

/* ---- hashing ---------------------------------------------------------------------------------------- */

/* While the leader works the other ranks of its node wait: it may use all cores that it is let. */
static int threads_of(const struct opening *o) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const int64_t job = o->job->engine.threads * sg_comm_local_size(o->comm);
    if (job > 0 && job < n) n = (int)job;
    return n < 1 ? 1 : n < MAX_THREADS ? n : MAX_THREADS;
}

static bool asked(void *ctx) {
    return sg_comm_stop_asked(ctx, NULL);
}

/* One pass over the files in `from`, with a copy to `to` unless NULL. */
static enum sg_status pass(const struct opening *o, const char *from, const char *to, struct sg_digest *out,
                           struct sg_err *err) {
    const struct sg_model_pass p = {.files = &o->s->files,
                                    .from = from,
                                    .to = to,
                                    .threads = threads_of(o),
                                    .stop = asked,
                                    .ctx = o->comm};
    return sg_model_pass(&p, out, err);
}

static enum sg_status read_where_it_lies(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *dir = o->job->model_path;
    struct sg_staging *s = o->s;
    struct {
        struct sg_digest digest, identity;
    } leaders = {0};
    struct sg_digest mine = {0};
    s->dir = strdup(dir);
    if (!s->dir) st = sg_fail(err, SG_E_NOMEM, "%s: no memory", dir);
    if (st == SG_OK) st = sg_model_files_list(dir, &s->files, err);
    if (st == SG_OK) st = sg_model_files_identity(&s->files, &mine, err);
    if (st == SG_OK && o->leader) {
        leaders.identity = mine;
        st = pass(o, dir, NULL, &leaders.digest, err);
        if (st == SG_OK) st = sg_model_files_unchanged(&s->files, dir, err);
    }
    SG_TRY(sg_comm_agree(o->comm, st, err));
    sg_comm_local_bcast(o->comm, &leaders, sizeof leaders);
    s->digest = leaders.digest;
    if (!sg_digest_equal(mine, leaders.identity)) st = pass(o, dir, NULL, &s->digest, err);
    st = sg_comm_agree(o->comm, st, err);
out:
    return st;
}

/* ---- the copy's folder ------------------------------------------------------------------------------ */

static const char *base_dir(const struct sg_job *job) {
    static const char *const names[] = {"SLURM_TMPDIR", "TMPDIR"};
    if (job->engine.stage_dir) return job->engine.stage_dir;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *dir = getenv(names[i]);
        if (dir && dir[0] == '/') return dir;
    }
    return job->engine.weights == SG_WEIGHTS_BROADCAST ? "/dev/shm" : "/tmp";
}

static enum sg_status make_key(struct opening *o, struct sg_err *err) {
    struct sg_hasher *h = NULL;
    enum sg_status st = sg_hasher_new(&h, err);
    if (st != SG_OK) return st;
    char *path = realpath(o->job->model_path, NULL);
    sg_hasher_str(h, path ? path : o->job->model_path);
    free(path);
    for (int32_t i = 0; i < o->s->files.n; i++) {
        sg_hasher_str(h, o->s->files.files[i].name);
        sg_hasher_i64(h, o->s->files.files[i].size);
        sg_hasher_i64(h, o->s->files.files[i].mtime_ns);
    }
    o->key = sg_hasher_end(h);
    sg_hasher_free(h);
    return SG_OK;
}

static enum sg_status list(struct opening *o, struct sg_err *err) {
    enum sg_status st = sg_model_files_list(o->job->model_path, &o->s->files, err);
    return st == SG_OK ? make_key(o, err) : st;
}

/* Which files there are: each leader looks for itself, or the root for all. */
static enum sg_status list_files(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    if (o->job->engine.weights == SG_WEIGHTS_STAGE) {
        if (o->leader) st = list(o, err);
        return sg_comm_agree(o->comm, st, err);
    }
    if (o->root) {
        st = list(o, err);
        if (st == SG_OK) st = sg_buf_add(&b, &o->key, sizeof o->key, err);
        if (st == SG_OK) st = sg_model_files_pack(&o->s->files, &b, err);
    }
    SG_TRY(sg_comm_agree(o->comm, st, err));
    SG_TRY(sg_comm_bcast(o->comm, &b, err));
    if (!o->root && o->leader) {
        memcpy(&o->key, b.data, sizeof o->key);
        st = sg_model_files_unpack(b.data + sizeof o->key, b.len - sizeof o->key, &o->s->files, err);
    }
    st = sg_comm_agree(o->comm, st, err);
out:
    sg_buf_free(&b);
    return st;
}

static enum sg_status open_folder(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_staging *s = o->s;
    char hex[SG_DIGEST_HEX], prefix[64];
    struct sg_buf path = {0};
    sg_digest_hex(o->key, hex);
    snprintf(prefix, sizeof prefix, "scope-grid-%ld-", (long)geteuid());
    SG_TRY(sg_buf_printf(&path, err, "%s/%s%.16s", base_dir(o->job), prefix, hex));
    if (path.len >= PATH_MAX) {
        st = sg_fail(err, SG_E_INPUT, "engine.stage_dir: %.40s... is too long", path.data);
        goto out;
    }
    SG_TRY(sg_dir_make(base_dir(o->job), err));
    sg__folder_tidy(base_dir(o->job), prefix, path.data);
    SG_TRY(sg__folder_open(path.data, &s->files, &s->folder, err));
    s->dir = path.data;
    path = (struct sg_buf){0};
out:
    sg_buf_free(&path);
    return st;
}

static int64_t mib(int64_t bytes) {
    return (bytes + (1 << 20) - 1) / (1 << 20);
}

static int64_t free_bytes(const char *dir) {
    struct statvfs v;
    return statvfs(dir, &v) == 0 ? (int64_t)v.f_bavail * (int64_t)v.f_frsize : INT64_MAX;
}

static enum sg_status check_room(const struct opening *o, struct sg_err *err) {
    const int64_t need = sg_model_files_bytes(&o->s->files), have = free_bytes(o->s->dir);
    if (need <= have) return SG_OK;
    return sg_fail(
        err, SG_E_IO,
        "%s: a copy of %s takes %lld MiB and %lld are free: %lld MiB are missing; set engine.stage_dir "
        "to a folder with room, or engine.weights to mmap",
        base_dir(o->job), o->job->model_path, (long long)mib(need), (long long)mib(have),
        (long long)mib(need - have));
}

/* Somebody else may have taken the room meanwhile. The room that is free now says nothing: whoever took it may
 * have given it back. */
static enum sg_status explain(const struct opening *o, enum sg_status st, struct sg_err *err) {
    if (st != SG_E_IO || !err || strncmp(err->text, o->s->dir, strlen(o->s->dir)) != 0) return st;
    const struct sg_err e = *err;
    return sg_fail(err, st, "%s; set engine.stage_dir to a folder with room, or engine.weights to mmap",
                   e.text);
}

/* ---- copying ---------------------------------------------------------------------------------------- */

/* HAVE only when the bytes are those that were copied. */
static enum sg_status verify(struct opening *o, struct sg_digest claimed, struct sg_err *err) {
    enum sg_status st = pass(o, o->s->dir, NULL, &o->s->digest, err);
    if (st == SG_E_STOPPED || (st == SG_OK && sg_digest_equal(o->s->digest, claimed))) return st;
    if (err) memset(err, 0, sizeof *err);
    sg__folder_discredit(&o->s->folder);
    o->state = SG__FOLDER_BUSY; /* tried again at once */
    return SG_OK;
}

/* Leaders: whose turn is it on this node? */
static enum sg_status look(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_digest claimed;
    const char *name;
    if (o->state == SG__FOLDER_HAVE) return SG_OK;
    if (sg_comm_stop_asked(o->comm, &name))
        return sg_fail(err, SG_E_STOPPED, "stopped by %s before the weights were there", name);
    SG_TRY(sg__folder_try(&o->s->folder, &o->state, &claimed, err));
    if (o->state == SG__FOLDER_HAVE) SG_TRY(verify(o, claimed, err));
    if (o->state == SG__FOLDER_MINE) SG_TRY(check_room(o, err));
    if (o->state == SG__FOLDER_BUSY) {
        const int64_t bytes = sg__folder_bytes(&o->s->folder), now = sg__now_ns();
        if (bytes != o->bytes || o->since == 0) {
            o->bytes = bytes;
            o->since = now;
        } else if (now - o->since > STALL_NS) {
            st = sg_fail(
                err, SG_E_BUSY,
                "%s: another run copies the weights there and has not got on for %d s; stop it, or set "
                "engine.stage_dir",
                o->s->dir, (int)(STALL_NS / 1000000000));
        }
    }
out:
    return st;
}

static enum sg_status commit(struct opening *o, struct sg_err *err) {
    const enum sg_status st = sg__folder_commit(&o->s->folder, o->s->digest, err);
    if (st == SG_OK) o->state = SG__FOLDER_HAVE;
    return st;
}

static enum sg_status copy_here(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (o->state != SG__FOLDER_MINE) return SG_OK;
    SG_TRY(pass(o, o->job->model_path, o->s->dir, &o->s->digest, err));
    SG_TRY(sg_model_files_unchanged(&o->s->files, o->job->model_path, err));
    SG_TRY(commit(o, err));
out:
    return explain(o, st, err);
}

/* Collective. To all leaders whose turn it is on their nodes. */
static enum sg_status send_to_nodes(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_comm_stream *stream = NULL;
    struct sg__relay *relay = NULL;
    struct sg_digest digest;
    bool broken = false;
    const bool mine = o->leader && o->state == SG__FOLDER_MINE, root_has = o->state == SG__FOLDER_HAVE;
    const struct sg__relay_options ro = {.files = &o->s->files,
                                         .from = !o->root   ? NULL
                                                 : root_has ? o->s->dir
                                                            : o->job->model_path,
                                         .to = mine ? o->s->dir : NULL,
                                         .threads = threads_of(o)};
    if (sg_comm_sum(o->comm, mine && !o->root) == 0) { /* nobody to send to */
        st = copy_here(o, err);
        return sg_comm_agree(o->comm, st, err);
    }
    if (mine || o->root) st = sg__relay_open(&ro, &relay, err);
    SG_TRY(sg_comm_agree(o->comm, st, err));
    SG_TRY(sg_comm_stream_open(o->comm, mine, SG__RELAY_SLOTS, &stream, err));
    if (relay) st = sg__relay_run(relay, o->comm, stream, &digest, &broken, err);
    if (st == SG_OK && o->root && !root_has && !broken)
        st = sg_model_files_unchanged(&o->s->files, o->job->model_path, err);
    SG_TRY(sg_comm_agree(o->comm, o->leader ? explain(o, st, err) : st, err));
    if (mine) {
        SG_ASSERT(!broken);
        o->s->digest = digest;
        st = commit(o, err);
    }
    st = sg_comm_agree(o->comm, st, err);
out:
    sg_comm_stream_close(stream);
    sg__relay_close(relay);
    return st;
}

/* Root. */
static void say(struct opening *o, int64_t nodes) {
    if (!o->root || nodes == 0 || o->quiet || o->said) return;
    fprintf(stderr, "scope-grid: copying %lld MiB of weights to %s on %lld node%s\n",
            (long long)mib(sg_model_files_bytes(&o->s->files)), base_dir(o->job), (long long)nodes,
            nodes == 1 ? "" : "s");
    o->said = true;
}

static enum sg_status copy_to_nodes(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (;;) {
        if (o->leader) st = look(o, err);
        SG_TRY(sg_comm_agree(o->comm, st, err));
        say(o, sg_comm_sum(o->comm, o->leader && o->state == SG__FOLDER_MINE));
        if (o->job->engine.weights == SG_WEIGHTS_BROADCAST) {
            SG_TRY(send_to_nodes(o, err));
        } else {
            if (o->leader) st = copy_here(o, err);
            SG_TRY(sg_comm_agree(o->comm, st, err));
        }
        if (sg_comm_sum(o->comm, o->state != SG__FOLDER_HAVE) == 0) break;
        nanosleep(&PAUSE, NULL);
    }
out:
    return st;
}

/* Where the leader's copy is, to the ranks of its node. */
static enum sg_status tell_the_node(struct opening *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct {
        struct sg_digest digest;
        char dir[PATH_MAX];
    } note = {0};
    if (o->leader) {
        note.digest = o->s->digest;
        snprintf(note.dir, sizeof note.dir, "%s", o->s->dir);
    }
    sg_comm_local_bcast(o->comm, &note, sizeof note);
    if (!o->leader) {
        o->s->digest = note.digest;
        o->s->dir = strdup(note.dir);
        if (!o->s->dir) st = sg_fail(err, SG_E_NOMEM, "no memory for the weights' folder");
    }
    return sg_comm_agree(o->comm, st, err);
}

enum sg_status sg_staging_open(struct sg_comm *c, const struct sg_job *job, bool quiet,
                               struct sg_staging **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct opening o = {.comm = c,
                        .job = job,
                        .quiet = quiet,
                        .root = sg_comm_rank(c) == 0,
                        .leader = sg_comm_local_rank(c) == 0};
    o.state = o.leader ? SG__FOLDER_BUSY : SG__FOLDER_HAVE;
    st = SG_NEW(&o.s, 1, "weights", err);
    SG_TRY(sg_comm_agree(c, st, err));
    o.s->keep = job->engine.stage_keep;
    if (job->engine.weights == SG_WEIGHTS_MMAP) {
        SG_TRY(read_where_it_lies(&o, err));
    } else {
        SG_TRY(list_files(&o, err));
        if (o.leader) st = open_folder(&o, err);
        SG_TRY(sg_comm_agree(c, st, err));
        SG_TRY(copy_to_nodes(&o, err));
        SG_TRY(tell_the_node(&o, err));
    }
    *out = o.s;
    o.s = NULL;
out:
    sg_staging_close(o.s);
    return st;
}

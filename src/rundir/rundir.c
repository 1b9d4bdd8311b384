#include "rundir/rundir.h"

#include "base/file.h"
#include "base/json.h"
#include "rundir/shard_files.h"
#include "store/heads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FORMAT = 1, SMALL_FILE = 16 << 20 };

static enum sg_status read_json(const char *dir, const char *name, struct sg_buf *text, cJSON **doc,
                                char **path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_path_join(dir, name, path, err));
    SG_TRY(sg_file_read_own(*path, SMALL_FILE, text, err));
    st = sg_json_parse(text->data, text->len, *path, 1, doc, err);
    if (st == SG_E_INPUT) {
        st = SG_E_CORRUPT;
        if (err) err->status = st;
    }
out:
    return st;
}

static enum sg_status get_digest(const struct sg_json *at, const char *key, struct sg_digest *out,
                                 struct sg_err *err) {
    const char *hex;
    enum sg_status st = sg_json_need_str(at, key, &hex, err);
    if (st != SG_OK) return st;
    if (sg_digest_from_hex(hex, out)) return SG_OK;
    return sg_fail(err, SG_E_CORRUPT, "%s: %s is not a digest", at->where, key);
}

bool sg_rundir_is(const char *dir) {
    char *path = NULL;
    bool is = sg_path_join(dir, "run.json", &path, NULL) == SG_OK && sg_file_exists(path);
    free(path);
    return is;
}

/* Whether dir/name is there; SG_E_IO when it cannot be known: a run must not be taken for none and written over. */
static enum sg_status look_for(const char *dir, const char *name, bool *there, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    struct stat s;
    SG_TRY(sg_path_join(dir, name, &path, err));
    *there = stat(path, &s) == 0;
    if (!*there && errno != ENOENT && errno != ENOTDIR)
        st = sg_fail(err, SG_E_IO, "%s: cannot look at it: %s", path, strerror(errno));
out:
    free(path);
    return st;
}

/* ---- run.json, DONE, plan.bin ----------------------------------------------------------------------- */

enum sg_status sg_rundir_read_run(const char *dir, struct sg_run_id *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    cJSON *doc = NULL;
    char *path = NULL;
    const char *night = "", *group = "";
    int64_t format = 0;
    bool begun;
    SG_TRY(look_for(dir, "run.json", &begun, err));
    if (!begun) return sg_fail(err, SG_E_INPUT, "%s: no run in this folder (it has no run.json)", dir);
    SG_TRY(read_json(dir, "run.json", &text, &doc, &path, err));
    struct sg_json at = {.node = doc, .where = path};
    SG_TRY(sg_json_need_i64(&at, "format", 1, INT32_MAX, &format, err));
    if (format != FORMAT) {
        st = sg_fail(err, SG_E_UNSUPPORTED,
                     "%s: written by another version of this program (format %lld, this one reads and writes "
                     "%d): finish the run with that version, or begin again with --fresh or another "
                     "output.dir",
                     path, (long long)format, FORMAT);
        goto out;
    }
    SG_TRY(get_digest(&at, "fingerprint", &out->fingerprint, err));
    SG_TRY(sg_json_need_i64(&at, "total", 0, INT64_MAX >> 11, &out->total, err));
    SG_TRY(sg_json_get_str(&at, "night", &night, err));
    SG_TRY(sg_json_get_str(&at, "group", &group, err));
    snprintf(out->night, sizeof out->night, "%s", night);
    snprintf(out->group, sizeof out->group, "%s", group);
out:
    cJSON_Delete(doc);
    sg_buf_free(&text);
    free(path);
    return st;
}

enum sg_status sg_rundir_read_done(const char *dir, bool *exists, struct sg_run_done *out,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    cJSON *doc = NULL;
    char *path = NULL;
    const char *when = "";
    struct sg_run_done d = {0};
    *exists = false;
    bool there;
    SG_TRY(look_for(dir, "DONE", &there, err));
    if (!there) goto out;
    st = read_json(dir, "DONE", &text, &doc, &path, err);
    if (st == SG_E_CORRUPT)
        sg_err_at(err, "%s/DONE is damaged; without it the same command ends the run again", dir);
    if (st != SG_OK) goto out;
    struct sg_json at = {.node = doc, .where = path};
    SG_TRY(get_digest(&at, "digest", &d.digest, err));
    SG_TRY(get_digest(&at, "fingerprint", &d.fingerprint, err));
    SG_TRY(sg_json_need_i64(&at, "total", 0, INT64_MAX >> 11, &d.total, err));
    SG_TRY(sg_json_need_i64(&at, "failed", 0, d.total, &d.failed, err));
    SG_TRY(sg_json_get_i64(&at, "unparsed", 0, d.total, &d.unparsed, err));
    SG_TRY(sg_json_get_i64(&at, "prompt_tokens", 0, INT64_MAX >> 11, &d.prompt_tokens, err));
    SG_TRY(sg_json_get_str(&at, "finished_at", &when, err));
    snprintf(d.finished_at, sizeof d.finished_at, "%s", when);
    *out = d;
    *exists = true;
out:
    cJSON_Delete(doc);
    sg_buf_free(&text);
    free(path);
    return st;
}

static enum sg_status write_file(const char *dir, const char *name, const void *bytes, size_t n,
                                 struct sg_err *err) {
    char *path = NULL;
    enum sg_status st = sg_path_join(dir, name, &path, err);
    if (st == SG_OK) st = sg_file_write_atomic(path, bytes, n, err);
    free(path);
    return st;
}

enum sg_status sg_rundir_write_done(const char *dir, const struct sg_run_done *done, struct sg_err *err) {
    struct sg_buf b = {0};
    char digest[SG_DIGEST_HEX], fingerprint[SG_DIGEST_HEX];
    sg_digest_hex(done->digest, digest);
    sg_digest_hex(done->fingerprint, fingerprint);
    enum sg_status st =
        sg_buf_printf(&b, err,
                      "{\"digest\": \"%s\", \"fingerprint\": \"%s\", \"total\": %lld, \"failed\": %lld, "
                      "\"unparsed\": %lld, \"prompt_tokens\": %lld, \"finished_at\": \"%s\"}\n",
                      digest, fingerprint, (long long)done->total, (long long)done->failed,
                      (long long)done->unparsed, (long long)done->prompt_tokens, done->finished_at);
    if (st == SG_OK) st = write_file(dir, "DONE", b.data, b.len, err);
    sg_buf_free(&b);
    return st;
}

enum sg_status sg_rundir_read_plan(const char *dir, struct sg_plan *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_id id;
    char *path = NULL;
    struct sg_map map = {0};
    struct sg_plan p = {0};
    SG_TRY(sg_rundir_read_run(dir, &id, err));
    SG_TRY(sg_path_join(dir, "plan.bin", &path, err));
    SG_TRY(sg_map_own(path, &map, err));
    st = sg_plan_unpack(map.data, map.size, &p, err);
    if (st != SG_OK) {
        sg_err_at(err, "%s", path);
        goto out;
    }
    if (!sg_digest_equal(p.fingerprint, id.fingerprint) || p.n_cells != id.total) {
        st = sg_fail(err, SG_E_MISMATCH, "%s: not the plan that run.json beside it describes", path);
        goto out;
    }
    *out = p;
    memset(&p, 0, sizeof p);
out:
    sg_plan_free(&p);
    sg_map_close(&map);
    free(path);
    return st;
}

/* ---- begin ------------------------------------------------------------------------------------------ */

static enum sg_status mismatch(const char *dir, const struct sg_plan *plan, struct sg_err *err) {
    struct sg_buf text = {0}, keys = {0};
    char *path = NULL;
    bool known = sg_path_join(dir, "job.json", &path, NULL) == SG_OK &&
                 sg_file_read_own(path, SMALL_FILE, &text, NULL) == SG_OK &&
                 sg_job_differences(text.data, plan->job.text, &keys, NULL) == SG_OK;
    enum sg_status st = sg_fail(
        err, SG_E_MISMATCH,
        "%s holds another run (%s%s); use another output.dir, or --fresh to discard that run", dir,
        known && keys.len ? "its job differs in " : "same job, but ",
        known && keys.len ? keys.data
                          : "the files it names, the estimator or this program's numerics have changed");
    sg_buf_free(&text);
    sg_buf_free(&keys);
    free(path);
    return st;
}

/* Refuses a plan.bin of another format before the run computes: its merge could not read it. */
static enum sg_status check_plan_format(const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL, head[8];
    int fd = -1;
    SG_TRY(sg_path_join(dir, "plan.bin", &path, err));
    fd = sg_open(path, SG_OPEN_OWN);
    const int64_t n = fd < 0 ? -1 : sg_fd_read(fd, head, sizeof head);
    if (n < 0)
        st = sg_fail(err, SG_E_IO, "%s: cannot read: %s", path, sg_open_reason(errno));
    else if ((st = sg_plan_format(head, (size_t)n, err)) != SG_OK)
        sg_err_at(err, "%s", path);
out:
    if (fd >= 0) close(fd);
    free(path);
    return st;
}

enum sg_status sg_rundir_begin(const char *dir, const struct sg_plan *plan, struct sg_run_id *id,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char hex[SG_DIGEST_HEX];
    bool begun;
    SG_TRY(look_for(dir, "run.json", &begun, err));
    if (begun) {
        char night[SG_NIGHT_NAME];
        memcpy(night, id->night, sizeof night);
        SG_TRY(sg_rundir_read_run(dir, id, err));
        if (!*id->night) memcpy(id->night, night, sizeof night);
        SG_TRY(check_plan_format(dir, err));
        if (!sg_digest_equal(id->fingerprint, plan->fingerprint)) st = mismatch(dir, plan, err);
        goto out;
    }
    id->fingerprint = plan->fingerprint;
    id->total = plan->n_cells;
    SG_TRY(write_file(dir, "job.json", plan->job.text, strlen(plan->job.text), err));
    SG_TRY(sg_plan_pack(plan, &b, err));
    SG_TRY(write_file(dir, "plan.bin", b.data, b.len, err));
    /* run.json last: when it exists, the other two exist */
    sg_buf_clear(&b);
    sg_digest_hex(plan->fingerprint, hex);
    SG_TRY(sg_buf_printf(&b, err, "{\"format\": %d, \"fingerprint\": \"%s\", \"total\": %lld, \"night\": ",
                         FORMAT, hex, (long long)plan->n_cells));
    SG_TRY(sg_json_quote(&b, id->night, strlen(id->night), err));
    if (*id->group) SG_TRY(sg_buf_str(&b, ", \"group\": ", err));
    if (*id->group) SG_TRY(sg_json_quote(&b, id->group, strlen(id->group), err));
    SG_TRY(sg_buf_str(&b, "}\n", err));
    SG_TRY(write_file(dir, "run.json", b.data, b.len, err));
out:
    sg_buf_free(&b);
    return st;
}

enum sg_status sg_rundir_lock(const char *dir, struct sg_lock **lock, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_lock *l = NULL;
    char *path = NULL;
    SG_TRY(sg_path_join(dir, "lock", &path, err));
    SG_TRY(sg_lock_take(path, SG_LOCK_RUN, &l, err));
    SG_TRY(sg_shard_files_refuse(dir, err));
    *lock = l;
    l = NULL;
out:
    sg_lock_drop(l);
    free(path);
    return st;
}

/* ---- clear ------------------------------------------------------------------------------------------ */

static enum sg_status remove_file(const char *dir, const char *name, struct sg_err *err) {
    char *path = NULL;
    enum sg_status st = sg_path_join(dir, name, &path, err);
    if (st == SG_OK && unlink(path) != 0 && errno != ENOENT)
        st = sg_fail(err, SG_E_IO, "%s: cannot remove: %s", path, strerror(errno));
    free(path);
    return st;
}

enum sg_status sg_rundir_reopen(const char *dir, struct sg_err *err) {
    return remove_file(dir, "DONE", err);
}

/* Names that the program gives files in inflight/ and shards/: users may keep others there. */
static bool is_note(const char *name) {
    return strspn(name, "0123456789") == 5 && name[5] == '-';
}
static bool is_shard_file(const char *name) {
    const char *tail = name + strspn(name, "0123456789");
    const bool shard =
        tail > name && (!strncmp(tail, ".lock", 5) || !strcmp(tail, ".begun") || !strcmp(tail, ".done"));
    return shard || sg_ends_with(name, ".json") || sg_temp_is(name, NULL);
}

/* Removes the folder dir/name with its files that are `ours`; it stays when others are in it. */
static enum sg_status clear_folder(const char *dir, const char *name, bool (*ours)(const char *),
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    DIR *d = NULL;
    SG_TRY(sg_path_join(dir, name, &path, err));
    d = sg_dir_open(path, false);
    for (struct dirent *e; d && (e = readdir(d));)
        if (ours(e->d_name)) SG_TRY(remove_file(path, e->d_name, err));
    rmdir(path);
out:
    if (d) closedir(d);
    free(path);
    return st;
}

/* Removes the .clock.* files with which a scan of segments reads the file server's time. */
static void tidy_clocks(const char *dir) {
    char *path = NULL;
    DIR *d = sg_path_join(dir, "segments", &path, NULL) == SG_OK ? sg_dir_open(path, false) : NULL;
    for (const struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, ".clock.", 7) && !e->d_name[7 + strspn(e->d_name + 7, "0123456789.")])
            (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    free(path);
}

void sg_rundir_tidy(const char *dir, bool alone) {
    /* in the run's folder only ours: users may keep other files there */
    static const char *const names[] = {"job.json",   "run.json",         "plan.bin", "DONE",
                                        "results.h5", SG_EARLIER_RESULTS, NULL};
    sg_temp_tidy(dir, ".", names, 0);
    if (!alone) return; /* tasks of an array write their notes without RUNDIR/lock */
    sg_temp_tidy(dir, "shards", NULL, 0);
    tidy_clocks(dir);
    sg_temp_tidy(dir, ".", (const char *const[]){"progress.json", "metrics.prom", NULL}, 0);
    (void)remove_file(dir, "progress.json.tmp", NULL); /* of earlier versions */
}

/* Removes the segments of dir or, with name, of dir/name, and then that folder. */
static enum sg_status clear_segments(const char *dir, const char *name, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *sub = NULL, *segments = NULL;
    DIR *d = NULL;
    if (name) SG_TRY(sg_path_join(dir, name, &sub, err));
    SG_TRY(sg_path_join(sub ? sub : dir, "segments", &segments, err));
    d = sg_dir_open(segments, false);
    for (struct dirent *e; d && (e = readdir(d));)
        if (sg_ends_with(e->d_name, ".seg") || sg_ends_with(e->d_name, ".open"))
            SG_TRY(remove_file(segments, e->d_name, err));
    if (sub) {
        rmdir(segments);
        rmdir(sub);
    }
out:
    if (d) closedir(d);
    free(segments);
    free(sub);
    return st;
}

/* keep: not the earlier results. */
static enum sg_status clear(const char *dir, bool keep, struct sg_err *err) {
    enum sg_status st = SG_OK;
    /* DONE first and run.json last: after a crash in between, the folder still names its run, not done */
    static const char *const before[] = {"DONE", "results.h5", "progress.json", "metrics.jsonl",
                                         "metrics.prom"};
    static const char *const after[] = {"plan.bin", "job.json", "run.json"};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) SG_TRY(remove_file(dir, before[i], err));
    sg_rundir_tidy(dir, true);
    SG_TRY(clear_folder(dir, "inflight", is_note, err));
    SG_TRY(clear_folder(dir, "shards", is_shard_file, err));
    SG_TRY(clear_segments(dir, NULL, err));
    SG_TRY(clear_segments(dir, SG_HEADS_FOLDER, err));
    if (!keep) SG_TRY(remove_file(dir, SG_EARLIER_RESULTS, err));
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) SG_TRY(remove_file(dir, after[i], err));
out:
    return st;
}

enum sg_status sg_rundir_clear(const char *dir, struct sg_err *err) {
    return clear(dir, false, err);
}

/* The file is linked under a temporary name first, as a rename replaces an older one at once. */
enum sg_status sg_rundir_set_aside(const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *results = NULL, *earlier = NULL;
    struct sg_buf tmp = {0};
    SG_TRY(sg_path_join(dir, "results.h5", &results, err));
    SG_TRY(sg_path_join(dir, SG_EARLIER_RESULTS, &earlier, err));
    if (sg_file_exists(results)) {
        SG_TRY(sg_buf_printf(&tmp, err, "%s.tmp.%llu", earlier, (unsigned long long)sg_random_number()));
        if (link(results, tmp.data) != 0) {
            st = sg_fail(err, SG_E_IO, "%s: cannot make a second name for %s: %s", tmp.data, results,
                         strerror(errno));
            goto out;
        }
        if (rename(tmp.data, earlier) != 0)
            st = sg_fail(err, SG_E_IO, "%s: cannot rename to %s: %s", tmp.data, earlier, strerror(errno));
        unlink(tmp.data); /* a rename between two names of one file does nothing */
        if (st == SG_OK) st = sg_dir_sync(dir, err);
        if (st != SG_OK) goto out;
    }
    SG_TRY(clear(dir, true, err));
out:
    free(results);
    free(earlier);
    sg_buf_free(&tmp);
    return st;
}

void sg_rundir_drop_earlier(const char *dir) {
    (void)clear_segments(dir, SG_HEADS_FOLDER, NULL);
    (void)remove_file(dir, SG_EARLIER_RESULTS, NULL);
}

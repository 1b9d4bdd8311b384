#include "run/night.h"

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "rundir/rundir.h"
#include "rundir/lock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NIGHT "{night}"

enum sg_status sg_night_name(const char *name, char out[SG_NIGHT_NAME], struct sg_err *err) {
    if (!name) {
        time_t now = time(NULL);
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(out, SG_NIGHT_NAME, "%Y-%m-%d", &tm);
        return SG_OK;
    }
    if (!*name || *name == '.' || strlen(name) >= SG_NIGHT_NAME || strpbrk(name, "/{}\n") ||
        !sg_utf8_valid(name, strlen(name), NULL))
        return sg_fail(
            err, SG_E_USAGE,
            "--night %s: expected a name of 1 to %d bytes that can be a folder's, without a leading dot",
            name, SG_NIGHT_NAME - 1);
    memcpy(out, name, strlen(name) + 1);
    return SG_OK;
}

/* text with every {night} replaced; *out is the caller's. */
static enum sg_status replace(const char *text, const char *night, char **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    for (const char *at; (at = strstr(text, NIGHT)); text = at + strlen(NIGHT)) {
        SG_TRY(sg_buf_add(&b, text, (size_t)(at - text), err));
        SG_TRY(sg_buf_str(&b, night, err));
    }
    SG_TRY(sg_buf_str(&b, text, err));
    *out = b.data;
    return SG_OK;
out:
    sg_buf_free(&b);
    return st;
}

/* The job again, with another output.dir: by way of its text, which is where all ranks and the results have
 * it from. */
static enum sg_status set_dir(struct sg_job *job, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_job new = {0};
    cJSON *doc = NULL;
    char *text = NULL;
    SG_TRY(sg_json_parse(job->text, strlen(job->text), job->path, 1, &doc, err));
    cJSON *output = cJSON_GetObjectItemCaseSensitive(doc, "output");
    SG_ASSERT(output); /* the canonical text has all sections */
    cJSON *value = cJSON_CreateString(dir);
    if (!value || !cJSON_ReplaceItemInObjectCaseSensitive(output, "dir", value) ||
        !(text = cJSON_PrintUnformatted(doc))) {
        st = sg_fail(err, SG_E_NOMEM, "no memory for the job");
        goto out;
    }
    SG_TRY(sg_job_from_text(text, strlen(text), job->path, &new, err));
    sg_job_free(job);
    *job = new;
out:
    cJSON_Delete(doc);
    free(text);
    return st;
}

enum sg_status sg_night_expand(struct sg_job *job, const char *night, char **pattern, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *dir = NULL, *kept = NULL;
    const char *slash = strrchr(job->output.dir, '/'), *last = slash ? slash + 1 : job->output.dir;
    *pattern = NULL;
    if (job->output.keep > 0 && !strstr(last, NIGHT))
        return sg_fail(err, SG_E_INPUT,
                       "%s: output.keep is %lld, but the last part of output.dir (%s) has no {night}",
                       job->path, (long long)job->output.keep, job->output.dir);
    if (!strstr(job->output.dir, NIGHT)) return SG_OK;
    SG_TRY(replace(job->output.dir, night, &dir, err));
    kept = strdup(job->output.dir);
    if (!kept) {
        st = sg_fail(err, SG_E_NOMEM, "no memory for the job");
        goto out;
    }
    SG_TRY(set_dir(job, dir, err));
    *pattern = kept;
    kept = NULL;
out:
    free(kept);
    free(dir);
    return st;
}

/* ---- latest ----------------------------------------------------------------------------------------- */

enum sg_status sg_latest_check(const struct sg_job *job, struct sg_err *err) {
    struct stat s;
    const char *latest = job->output.latest;
    if (!latest || lstat(latest, &s) != 0 || S_ISLNK(s.st_mode)) return SG_OK;
    return sg_fail(err, SG_E_INPUT, "%s: output.latest would replace %s, which is no symbolic link",
                   job->path, latest);
}

/* How to get from the folder `from` to `to`, both absolute and without links. */
static enum sg_status relative(const char *from, const char *to, char **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    size_t common = 0; /* bytes of whole parts that agree, the slash behind them included */
    for (size_t i = 0;; i++) {
        const bool from_ends = from[i] == '/' || !from[i], to_ends = to[i] == '/' || !to[i];
        if (from_ends && to_ends) common = i + 1;
        if (!from[i] || !to[i] || from[i] != to[i]) break;
    }
    const size_t n = strlen(from);
    if (common <= n) {
        SG_TRY(sg_buf_str(&b, "../", err));
        for (const char *p = from + common; *p; p++)
            if (*p == '/') SG_TRY(sg_buf_str(&b, "../", err));
    }
    SG_TRY(sg_buf_str(&b, to + (common <= strlen(to) ? common : strlen(to)), err));
    *out = b.data;
    return SG_OK;
out:
    sg_buf_free(&b);
    return st;
}

/* DONE of the run whose results `latest` points at; false where there is none. */
static bool latest_done(const char *latest, char real[PATH_MAX], struct sg_run_done *done) {
    bool exists = false;
    if (!realpath(latest, real)) return false;
    char *slash = strrchr(real, '/');
    if (!slash || slash == real) return false;
    *slash = 0; /* real: the run's folder from here on */
    return sg_rundir_read_done(real, &exists, done, NULL) == SG_OK && exists;
}

enum sg_status sg_latest_update(const struct sg_job *job, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *latest = job->output.latest;
    char *results = NULL, *folder = NULL, *target = NULL;
    struct sg_buf tmp = {0};
    char from[PATH_MAX], to[PATH_MAX], real[PATH_MAX];
    struct sg_run_done ours, theirs;
    bool exists = false;
    if (!latest) return SG_OK;
    SG_TRY(sg_latest_check(job, err));
    SG_TRY(sg_rundir_read_done(job->output.dir, &exists, &ours, err));
    if (!exists || (latest_done(latest, real, &theirs) && strcmp(theirs.finished_at, ours.finished_at) > 0))
        goto out;
    SG_TRY(sg_path_join(job->output.dir, "results.h5", &results, err));
    SG_TRY(sg_path_dir(latest, &folder, err));
    SG_TRY(sg_dir_make(folder, err));
    if (!realpath(folder, from) || !realpath(results, to)) {
        st = sg_fail(err, SG_E_IO, "%s: cannot point at %s: %s", latest, results, strerror(errno));
        goto out;
    }
    SG_TRY(relative(from, to, &target, err));
    SG_TRY(sg_buf_printf(&tmp, err, "%s.tmp.%ld", latest, (long)getpid()));
    unlink(tmp.data);
    if (symlink(target, tmp.data) != 0 || rename(tmp.data, latest) != 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot point at %s: %s", latest, target, strerror(errno));
        unlink(tmp.data);
        goto out;
    }
    st = sg_dir_sync(folder, err);
out:
    free(results);
    free(folder);
    free(target);
    sg_buf_free(&tmp);
    return st;
}

/* ---- retention -------------------------------------------------------------------------------------- */

struct old {
    char *dir;
    char finished_at[32];
};

static int newest_first(const void *a, const void *b) {
    const struct old *x = a, *y = b;
    const int by_time = strcmp(y->finished_at, x->finished_at);
    return by_time ? by_time : strcmp(y->dir, x->dir);
}

static bool matches(const char *name, const char *before, size_t n_before, const char *after) {
    const size_t n = strlen(name), n_after = strlen(after);
    return n > n_before + n_after && !strncmp(name, before, n_before) && !strcmp(name + n - n_after, after);
}

enum sg_status sg_nights_retire(const struct sg_job *job, const char *pattern, int64_t *removed,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct old *runs = NULL;
    size_t n = 0, cap = 0;
    char *parent = NULL;
    char ours[PATH_MAX], latest[PATH_MAX] = "", real[PATH_MAX];
    DIR *d = NULL;
    struct sg_run_done done;
    *removed = 0;
    if (!pattern || job->output.keep < 1 || !realpath(job->output.dir, ours)) return SG_OK;
    if (job->output.latest) (void)latest_done(job->output.latest, latest, &done);
    SG_TRY(sg_path_dir(pattern, &parent, err));
    const char *slash = strrchr(pattern, '/'), *last = slash ? slash + 1 : pattern, *at = strstr(last, NIGHT);
    SG_ASSERT(at); /* sg_night_expand has seen to it */
    d = opendir(parent);
    for (struct dirent *e; d && (e = readdir(d));) {
        bool exists = false;
        char *dir = NULL;
        if (e->d_name[0] == '.' || !matches(e->d_name, last, (size_t)(at - last), at + strlen(NIGHT)))
            continue;
        SG_TRY(sg_path_join(parent, e->d_name, &dir, err));
        struct stat s;
        if (lstat(dir, &s) == 0 && S_ISDIR(s.st_mode) && sg_rundir_is(dir) &&
            sg_rundir_read_done(dir, &exists, &done, NULL) == SG_OK && exists) {
            st = SG_GROW(&runs, &cap, n + 1, "old runs", err);
            if (st == SG_OK) {
                runs[n].dir = dir;
                memcpy(runs[n++].finished_at, done.finished_at, sizeof done.finished_at);
                dir = NULL;
            }
        }
        free(dir);
        if (st != SG_OK) goto out;
    }
    if (n > 1) qsort(runs, n, sizeof *runs, newest_first);
    for (size_t i = (size_t)job->output.keep; i < n; i++) {
        if (!realpath(runs[i].dir, real) || !strcmp(real, ours) || !strcmp(real, latest)) continue;
        struct sg_err why = {0};
        st = sg_rundir_remove(runs[i].dir, &why);
        if (st == SG_E_BUSY) { /* somebody works there: next time */
            st = SG_OK;
            continue;
        }
        if (st != SG_OK) {
            if (err) *err = why;
            goto out;
        }
        ++*removed;
    }
out:
    if (d) closedir(d);
    for (size_t i = 0; i < n; i++) free(runs[i].dir);
    free(runs);
    free(parent);
    return st;
}

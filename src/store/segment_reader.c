#include "store/segment_reader.h"

#include "base/process_id.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct sg__segment_file *)a)->path, ((const struct sg__segment_file *)b)->path);
}

/* Paths of all names under run_dir/segments that end in `suffix`, sorted. */
static enum sg_status list(const char *run_dir, const char *suffix, struct sg__segment_reader *out,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *dir = NULL;
    DIR *d = NULL;
    size_t cap = 0;
    SG_TRY(sg_path_join(run_dir, "segments", &dir, err));
    d = sg_dir_open(dir, false);
    if (!d) {
        if (errno != ENOENT)
            st = sg_fail(err, SG_E_IO, "%s: cannot list: %s", dir,
                         errno == ENOTDIR ? "is no folder, or a link to one" : strerror(errno));
        goto out;
    }
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno) st = sg_fail(err, SG_E_IO, "%s: cannot list: %s", dir, strerror(errno));
            break;
        }
        if (e->d_name[0] == '.' || !sg_ends_with(e->d_name, suffix)) continue;
        SG_TRY(SG_GROW(&out->files, &cap, out->n_files + 1, "segments", err));
        struct sg__segment_file *f = &out->files[out->n_files];
        memset(f, 0, sizeof *f);
        SG_TRY(sg_path_join(dir, e->d_name, &f->path, err));
        out->n_files++;
    }
    if (out->n_files > 1) qsort(out->files, (size_t)out->n_files, sizeof *out->files, by_path);
out:
    if (d) closedir(d);
    free(dir);
    return st;
}

void sg__segment_reader_close(struct sg__segment_reader *s) {
    if (!s) return;
    for (int64_t i = 0; i < s->n_files; i++) {
        sg_map_close(&s->files[i].map);
        sg_buf_free(&s->files[i].copy);
        free(s->files[i].path);
    }
    free(s->files);
    memset(s, 0, sizeof *s);
}

static enum sg_status open_one(struct sg__segment_file *f, bool map, struct sg_digest fingerprint,
                               int64_t n_cells, struct sg_err *err) {
    enum sg_status st =
        map ? sg_map_own(f->path, &f->map, err) : sg_file_read_own(f->path, SIZE_MAX, &f->copy, err);
    if (st != SG_OK) return st;
    st = sg__segment_parse(map ? (const void *)f->map.data : f->copy.data, map ? f->map.size : f->copy.len,
                           true, f->path, &f->view, err);
    if (st != SG_OK) return st;
    if (!sg_digest_equal(f->view.fingerprint, fingerprint)) {
        char has[SG_DIGEST_HEX], want[SG_DIGEST_HEX];
        sg_digest_hex(f->view.fingerprint, has);
        sg_digest_hex(fingerprint, want);
        return sg_fail(
            err, SG_E_MISMATCH,
            "%s: belongs to a run of fingerprint %s, this one is %s: model, inputs or settings have changed; "
            "use another output.dir, or remove the directory's segments",
            f->path, has, want);
    }
    for (int64_t i = 0; i < f->view.count; i++) {
        const struct sg__segment_entry e = sg__segment_entry_at(&f->view, i);
        if (e.cell >= n_cells)
            return sg_fail(err, SG_E_CORRUPT, "%s: holds cell %" PRId64 ", the run has %" PRId64 " cells",
                           f->path, e.cell, n_cells);
    }
    return SG_OK;
}

enum sg_status sg__segment_reader_open(const char *run_dir, struct sg_digest fingerprint, int64_t n_cells,
                                       struct sg__segment_reader *out, struct sg_err *err) {
    struct sg__segment_reader s = {0};
    enum sg_status st = list(run_dir, SG__SEGMENT_SUFFIX, &s, err);
    for (int64_t i = 0; i < s.n_files && st == SG_OK; i++)
        st = open_one(&s.files[i], i < SG_SEGMENTS_MAPPED, fingerprint, n_cells, err);
    if (st == SG_OK)
        *out = s;
    else
        sg__segment_reader_close(&s);
    return st;
}

/* *now: the time by the clock that stamps files in this directory (a file server's may differ from ours). */
static bool directory_now(const char *dir, time_t *now) {
    char path[4096];
    struct stat s;
    const int n = snprintf(path, sizeof path, "%s/.clock.%020" PRIu64, dir, sg_random_number());
    if (n < 0 || (size_t)n >= sizeof path) return false;
    const int fd = sg_open(path, SG_OPEN_NEW);
    if (fd < 0) return false;
    const bool ok = fstat(fd, &s) == 0;
    close(fd);
    unlink(path);
    *now = s.st_mtime;
    return ok;
}

/* Names are RANK-DOMAIN-PID-START-COUNTER.seg.open, see segment.c. */
static bool writer_is_dead(const char *path, const struct sg_process_id *self, bool have_now, time_t now) {
    const char *name = strrchr(path, '/');
    unsigned long rank;
    unsigned long long domain, start;
    long long pid;
    if (sscanf(name ? name + 1 : path, "%lu-%llx-%lld-%llu-", &rank, &domain, &pid, &start) == 4 && domain &&
        domain == sg_process_pid_domain(self))
        return sg_process_pid_life(pid, start) == SG_LIFE_DEAD;
    struct stat s;
    return have_now && stat(path, &s) == 0 && now - s.st_mtime > SG_STALE_SECONDS;
}

enum sg_status sg__segments_clean(const char *run_dir, enum sg_segments_clean clean, struct sg_err *err) {
    struct sg__segment_reader s = {0};
    struct sg_process_id self;
    char *dir = NULL;
    time_t now = 0;
    if (clean == SG_CLEAN_NONE) return SG_OK;
    enum sg_status st = list(run_dir, SG__SEGMENT_OPEN_SUFFIX, &s, err);
    if (st != SG_OK || !s.n_files) goto out;
    SG_TRY(sg_path_join(run_dir, "segments", &dir, err));
    sg_process_self(&self);
    const bool have_now = clean == SG_CLEAN_SILENT && directory_now(dir, &now);
    for (int64_t i = 0; i < s.n_files; i++) {
        if (!writer_is_dead(s.files[i].path, &self, have_now, now)) continue;
        if (unlink(s.files[i].path) != 0 && errno != ENOENT) {
            st = sg_fail(err, SG_E_IO, "%s: cannot remove what a dead writer left: %s", s.files[i].path,
                         strerror(errno));
            break;
        }
    }
out:
    sg__segment_reader_close(&s);
    free(dir);
    return st;
}

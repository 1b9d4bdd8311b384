#include "store/segment.h"
#include "base/clock.h"

#include "base/file.h"
#include "base/process_id.h"
#include "store/segment_reader.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Records gather in memory up to this size before they are written: few, large writes for parallel file
 * systems. A crash loses the open segment anyhow. */
static const size_t flush_bytes = (size_t)1 << 20;

struct sg_segment_writer {
    int fd;
    char *tmp, *path;     /* name while open, final name */
    struct sg_buf header; /* kept for the footer's digest */
    struct sg_buf pending;
    struct sg__segment_entry *entries; /* [count] */
    size_t entry_cap;
    int64_t count, bytes; /* bytes: written and pending */
    bool broken;          /* a write failed: the file's content is unknown */
};

static void writer_free(struct sg_segment_writer *w) {
    if (w->fd >= 0) close(w->fd);
    free(w->tmp);
    free(w->path);
    sg_buf_free(&w->header);
    sg_buf_free(&w->pending);
    free(w->entries);
    free(w);
}

void sg_segment_abandon(struct sg_segment_writer *w) {
    if (!w) return;
    if (w->fd >= 0) unlink(w->tmp);
    writer_free(w);
}

static enum sg_status flush(struct sg_segment_writer *w, struct sg_err *err) {
    enum sg_status st = sg_fd_write(w->fd, w->pending.data, w->pending.len, w->tmp, err);
    if (st != SG_OK)
        w->broken = true;
    else
        sg_buf_clear(&w->pending);
    return st;
}

/* A name that neither another process on any host nor an earlier segment of this one has: the process is in
 * it, and the time since boot tells its segments apart (and orders them). */
static enum sg_status create(struct sg_segment_writer *w, const char *dir, int32_t rank,
                             const struct sg_process_id *self, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf tmp = {0}, path = {0};
    int64_t counter = sg_clock_ns();
    for (int tries = 0; w->fd < 0; tries++, counter++) {
        sg_buf_clear(&path);
        sg_buf_clear(&tmp);
        SG_TRY(sg_buf_printf(&path, err,
                             "%s/%05" PRId32 "-%016" PRIx64 "-%" PRId64 "-%" PRIu64
                             "-%018" PRId64 SG__SEGMENT_SUFFIX,
                             dir, rank, sg_process_pid_domain(self), self->pid, self->start, counter));
        SG_TRY(sg_buf_printf(&tmp, err, "%s" SG__SEGMENT_OPEN_SUFFIX, path.data));
        errno = EEXIST;
        if (!sg_file_exists(path.data)) w->fd = sg_open(tmp.data, SG_OPEN_NEW);
        if (w->fd < 0 && (errno != EEXIST || tries > 1000)) {
            st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", tmp.data, strerror(errno));
            goto out;
        }
    }
    w->tmp = tmp.data;
    w->path = path.data;
    return SG_OK;
out:
    sg_buf_free(&tmp);
    sg_buf_free(&path);
    return st;
}

enum sg_status sg_segment_open(const char *run_dir, const struct sg_segment_head *head,
                               struct sg_segment_writer **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_segment_writer *w = NULL;
    struct sg_process_id self;
    char *dir = NULL;
    SG_TRY(SG_NEW(&w, 1, "segment writer", err));
    w->fd = -1;
    SG_TRY(sg_path_join(run_dir, "segments", &dir, err));
    SG_TRY(sg_dir_make(dir, err));
    sg_process_self(&self);
    SG_TRY(sg__segment_put_header(&w->header, head, self.pid, self.start, self.host, err));
    SG_TRY(create(w, dir, head->rank, &self, err));
    /* Writes the header at once, so that a full or read-only disk is found before cells are computed. */
    SG_TRY(sg_fd_write(w->fd, w->header.data, w->header.len, w->tmp, err));
    w->bytes = (int64_t)w->header.len;
    *out = w;
    w = NULL;
out:
    sg_segment_abandon(w);
    free(dir);
    return st;
}

struct sg_segment_record {
    struct sg_buf bytes;
    struct sg__segment_entry entry;
};

enum sg_status sg_segment_encode(int64_t cell_index, struct sg_digest cell_fingerprint,
                                 const struct sg_cell *cell, struct sg_segment_record **out,
                                 struct sg_err *err) {
    struct sg_segment_record *r = NULL;
    enum sg_status st = SG_NEW(&r, 1, "segment record", err);
    if (st != SG_OK) return st;
    st = sg__segment_put_record(&r->bytes, cell_index, cell_fingerprint, cell, &r->entry, err);
    if (st == SG_OK)
        *out = r;
    else
        sg_segment_record_free(r);
    return st;
}

size_t sg_segment_record_bytes(const struct sg_segment_record *r) {
    return sizeof *r + r->bytes.cap;
}

void sg_segment_record_free(struct sg_segment_record *r) {
    if (!r) return;
    sg_buf_free(&r->bytes);
    free(r);
}

enum sg_status sg_segment_put(struct sg_segment_writer *w, const struct sg_segment_record *r,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (w->broken) return sg_fail(err, SG_E_IO, "%s: an earlier write failed", w->tmp);
    SG_TRY(SG_GROW(&w->entries, &w->entry_cap, w->count + 1, "segment index", err));
    SG_TRY(sg_buf_add(&w->pending, r->bytes.data, r->bytes.len, err));
    w->entries[w->count] = r->entry;
    w->entries[w->count++].offset = w->bytes;
    w->bytes += r->entry.bytes;
    if (w->pending.len >= flush_bytes) st = flush(w, err);
out:
    return st;
}

enum sg_status sg_segment_append(struct sg_segment_writer *w, int64_t cell_index,
                                 struct sg_digest cell_fingerprint, const struct sg_cell *cell,
                                 struct sg_err *err) {
    struct sg_segment_record *r = NULL;
    enum sg_status st = sg_segment_encode(cell_index, cell_fingerprint, cell, &r, err);
    if (st == SG_OK) st = sg_segment_put(w, r, err);
    sg_segment_record_free(r);
    return st;
}

int64_t sg_segment_count(const struct sg_segment_writer *w) {
    return w->count;
}

int64_t sg_segment_bytes(const struct sg_segment_writer *w) {
    return w->bytes;
}

enum sg_status sg_segment_close(struct sg_segment_writer *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool published = false;
    if (w->broken) {
        st = sg_fail(err, SG_E_IO, "%s: an earlier write failed", w->tmp);
        goto out;
    }
    if (!w->count) goto out;
    SG_TRY(sg__segment_put_footer(&w->pending, w->header.data, w->header.len, w->entries, w->count, err));
    SG_TRY(flush(w, err));
    const int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0) { /* NFS reports a full disk here */
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", w->tmp, strerror(errno));
        goto out;
    }
    SG_TRY(sg_file_commit(w->tmp, w->path, err));
    published = true;
out:
    if (!published) unlink(w->tmp);
    writer_free(w);
    return st;
}

enum sg_status sg_segments_scan(const char *run_dir, struct sg_digest fingerprint, int64_t n_cells,
                                uint8_t *done, int64_t *n_done, int64_t *n_failed,
                                enum sg_segments_clean clean, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__segment_reader set = {0};
    int64_t count = 0, failed = 0;
    SG_TRY(sg__segment_reader_open(run_dir, fingerprint, n_cells, &set, err));
    SG_TRY(sg__segments_clean(run_dir, clean, err));
    memset(done, 0, (size_t)n_cells);
    for (int64_t f = 0; f < set.n_files; f++) {
        const struct sg__segment_view *v = &set.files[f].view;
        for (int64_t i = 0; i < v->count; i++) {
            const struct sg__segment_entry e = sg__segment_entry_at(v, i);
            if (done[e.cell]) continue;
            done[e.cell] = v->since ? SG_CELL_TAKEN_OVER : SG_CELL_COMPUTED;
            count++;
            failed += e.status != SG_OK;
        }
    }
    *n_done = count;
    if (n_failed) *n_failed = failed;
out:
    sg__segment_reader_close(&set);
    return st;
}

enum sg_status sg_segments_read(const char *run_dir, struct sg_digest fingerprint, int64_t n_cells,
                                sg_segment_cell_fn *fn, void *ctx, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__segment_reader set = {0};
    struct sg__cell_buf buf = {0};
    SG_TRY(sg__segment_reader_open(run_dir, fingerprint, n_cells, &set, err));
    for (int64_t f = 0; f < set.n_files; f++) {
        const struct sg__segment_file *file = &set.files[f];
        for (int64_t i = 0; i < file->view.count; i++) {
            struct sg_cell cell;
            struct sg_digest fp;
            SG_TRY(sg__segment_take(&file->view, i, file->path, &buf, &fp, &cell, err));
            SG_TRY(fn(ctx, sg__segment_entry_at(&file->view, i).cell, fp, &cell, err));
        }
    }
out:
    sg__segment_reader_close(&set);
    free(buf.samples);
    return st;
}

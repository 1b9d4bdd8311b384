#include "store/heads.h"

#include "store/segment_reader.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* File 0: nowhere; else file - 1 of the reader. */
struct place {
    int32_t file, record;
};

struct sg_heads {
    struct sg__segment_reader files;
    const struct sg_digest *cell_fingerprint;
    struct place *place; /* [n_cells] */
    struct sg__cell_buf buf;
    struct sg_cell_sample *joined;
    size_t cap;
};

void sg_heads_close(struct sg_heads *h) {
    if (!h) return;
    sg__segment_reader_close(&h->files);
    free(h->place);
    free(h->buf.samples);
    free(h->joined);
    free(h);
}

enum sg_status sg_heads_open(const char *run_dir, struct sg_digest fingerprint,
                             const struct sg_digest *cell_fingerprint, int64_t n_cells, struct sg_heads **out,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_heads *h = NULL;
    char *dir = NULL;
    SG_TRY(sg_path_join(run_dir, SG_HEADS_FOLDER, &dir, err));
    if (!sg_dir_exists(dir)) {
        *out = NULL;
        goto out;
    }
    SG_TRY(SG_NEW(&h, 1, "earlier samples", err));
    h->cell_fingerprint = cell_fingerprint;
    SG_TRY(sg__segment_reader_open(dir, fingerprint, n_cells, &h->files, err));
    if (!h->files.n_files) {
        *out = NULL;
        goto out;
    }
    SG_TRY(SG_NEW(&h->place, n_cells, "earlier samples", err));
    for (int64_t f = 0; f < h->files.n_files; f++)
        for (int64_t i = 0; i < h->files.files[f].view.count; i++)
            h->place[sg__segment_entry_at(&h->files.files[f].view, i).cell] =
                (struct place){(int32_t)f + 1, (int32_t)i};
    *out = h;
    h = NULL;
out:
    sg_heads_close(h);
    free(dir);
    return st;
}

bool sg_heads_has(const struct sg_heads *h, int64_t cell) {
    return h && h->place[cell].file > 0;
}

static enum sg_status take(struct sg_heads *h, int64_t cell, struct sg_cell *out, struct sg_err *err) {
    const struct sg__segment_file *f = &h->files.files[h->place[cell].file - 1];
    struct sg_digest fingerprint;
    enum sg_status st =
        sg__segment_take(&f->view, h->place[cell].record, f->path, &h->buf, &fingerprint, out, err);
    if (st == SG_OK && !sg_digest_equal(fingerprint, h->cell_fingerprint[cell]))
        st = sg_fail(err, SG_E_CORRUPT, "%s: cell %" PRId64 " is of other inputs than the plan's", f->path,
                     cell);
    return st;
}

enum sg_status sg_heads_samples(struct sg_heads *h, int64_t cell, int64_t of, int32_t *n,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_cell head = {.n_samples = 0};
    if (!sg_heads_has(h, cell)) {
        *n = 0;
        return SG_OK;
    }
    SG_TRY(take(h, cell, &head, err));
    if (head.status != SG_OK || head.n_samples < 1 || head.n_samples >= of)
        st = sg_fail(err, SG_E_CORRUPT, "%s: cell %" PRId64 " has %d samples, of %" PRId64 " in all",
                     h->files.files[h->place[cell].file - 1].path, cell, head.n_samples, of);
    else
        *n = head.n_samples;
out:
    return st;
}

enum sg_status sg_heads_join(struct sg_heads *h, int64_t cell, const struct sg_cell *tail,
                             struct sg_cell *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_cell head;
    SG_TRY(take(h, cell, &head, err));
    const size_t n = (size_t)head.n_samples, m = (size_t)tail->n_samples;
    SG_TRY(SG_GROW(&h->joined, &h->cap, n + m, "samples", err));
    if (n) memcpy(h->joined, head.samples, n * sizeof *h->joined);
    if (m) memcpy(h->joined + n, tail->samples, m * sizeof *h->joined);
    *out = *tail;
    out->samples = h->joined;
    out->n_samples = (int32_t)(n + m);
out:
    return st;
}

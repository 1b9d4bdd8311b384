#include "run/reuse.h"

#include "base/file.h"
#include "cell/estimate.h"
#include "store/results_cell.h"
#include "store/segment.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SEGMENT_BYTES = 64 << 20 };

enum sg_status sg_reuse_survives(const char *dir, const char *const *since, size_t n_since,
                                 struct sg_err *err) {
    char own[PATH_MAX], file[PATH_MAX];
    if (!realpath(dir, own)) return SG_OK;
    const size_t n = strlen(own);
    for (size_t i = 0; i < n_since; i++)
        if (realpath(since[i], file) && !strncmp(file, own, n) && file[n] == '/')
            return sg_fail(
                err, SG_E_USAGE,
                "--fresh would remove %s, which --since wants to take from; use another --night or "
                "output.dir",
                since[i]);
    return SG_OK;
}

/* ---- one earlier file ------------------------------------------------------------------------------- */

struct known {
    struct sg_digest fingerprint;
    int64_t cell;
};

static int by_fingerprint(const void *a, const void *b) {
    const struct sg_digest x = ((const struct known *)a)->fingerprint,
                           y = ((const struct known *)b)->fingerprint;
    if (x.hi != y.hi) return x.hi < y.hi ? -1 : 1;
    return x.lo < y.lo ? -1 : x.lo > y.lo;
}

struct source {
    const char *path;
    struct sg_results r;
    struct sg_results_texts *texts;
    struct known *known; /* by fingerprint: cells that were computed and did not fail */
    size_t n_known;
    struct sg_digest *of_plan; /* the plan's cells, drawn with the source's number of samples; NULL: the
                                  plan's own */
};

static void source_close(struct source *s) {
    sg_results_texts_close(s->texts);
    sg_results_free(&s->r);
    free(s->known);
    free(s->of_plan);
}

/* parts: of sg_results_read, CELLS and ORIGIN among them. */
static enum sg_status source_open(struct source *s, const struct sg_plan *plan, unsigned parts,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_results_read(s->path, parts, &s->r, err));
    const int64_t cells = sg_results_n_cells(&s->r);
    if (!s->r.origin.fingerprint) {
        st =
            sg_fail(err, SG_E_UNSUPPORTED,
                    "%s: does not say what its cells were computed from, so none can be taken over", s->path);
        goto out;
    }
    if (plan->job.output.texts) SG_TRY(sg_results_texts_open(s->path, &s->texts, err));
    int64_t at;
    SG_TRY(SG_NEW(&s->known, cells, "cells of earlier results", err));
    for (int64_t i = 0; i < cells; i++)
        if (sg_results_part(&s->r, i, &at)->status[at] == SG_OK && s->r.origin.night[i] >= 0)
            s->known[s->n_known++] = (struct known){s->r.origin.fingerprint[i], i};
    if (s->n_known > 1) qsort(s->known, s->n_known, sizeof *s->known, by_fingerprint);
out:
    return st;
}

/* Prepares for find. *fits = false: the file cannot have the plan's cells, for it holds fewer samples or no
 * texts. */
static enum sg_status source_match(struct source *s, const struct sg_plan *plan,
                                   const struct sg_plan_inputs *in, bool *fits, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_sampling_params as_there = plan->params[0];
    *fits = s->r.n_samples >= plan->n_samples && (s->texts || !plan->job.output.texts);
    if (!*fits || s->r.n_samples == plan->n_samples) goto out;
    as_there.samples = s->r.n_samples;
    SG_TRY(SG_NEW(&s->of_plan, plan->n_cells, "cell fingerprints", err));
    SG_TRY(sg_plan_fingerprints_of(plan, in, &as_there, s->of_plan, err));
out:
    return st;
}

static bool measured(const struct sg_plan *plan, int64_t cell) {
    const struct sg_outcome *truth = sg_plan_cell_truth(plan, cell);
    return truth && truth->prompt_tokens >= 0;
}

/* The source's cell to take for the plan's, or -1. */
static int64_t find(const struct source *s, const struct sg_plan *plan, int64_t cell) {
    const struct known key = {s->of_plan ? s->of_plan[cell] : plan->cell_fingerprint[cell], 0};
    const struct known *k =
        s->n_known ? bsearch(&key, s->known, s->n_known, sizeof key, by_fingerprint) : NULL;
    if (!k) return -1;
    int64_t at;
    const struct sg_results *part = sg_results_part(&s->r, k->cell, &at);
    if (part->prompt_source[at] == SG_PROMPT_MEASURED && !measured(plan, cell)) return -1;
    return k->cell;
}

/* ---- taking over ------------------------------------------------------------------------------------ */

struct taking {
    const char *dir;
    const struct sg_plan *plan;
    uint8_t *done;
    int64_t *n_done;
    struct sg_segment_writer *w; /* NULL: none open */
    struct sg_cell_buf buf;
};

static enum sg_status close_segment(struct taking *t, struct sg_err *err) {
    struct sg_segment_writer *w = t->w;
    t->w = NULL;
    return w ? sg_segment_close(w, err) : SG_OK;
}

/* Puts a cell into the open segment, which has this head, and opens it if none is. */
static enum sg_status put_cell(struct taking *t, int64_t cell, struct sg_cell *c,
                               const struct sg_segment_head *head, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    c->query = (int32_t)(cell / plan->n_models);
    c->model = (int32_t)(cell % plan->n_models);
    if (measured(plan, cell)) c->prompt_tokens = sg_plan_cell_truth(plan, cell)->prompt_tokens;
    sg_cell_estimate(c, plan->models[c->model].price);
    if (!t->w) SG_TRY(sg_segment_open(t->dir, head, &t->w, err));
    SG_TRY(sg_segment_append(t->w, cell, plan->cell_fingerprint[cell], c, err));
    t->done[cell] = head->since ? SG_CELL_TAKEN_OVER : SG_CELL_COMPUTED;
    ++*t->n_done;
    if (sg_segment_bytes(t->w) >= SEGMENT_BYTES) SG_TRY(close_segment(t, err));
out:
    return st;
}

/* Copies the source's cells from[n_cells] (-1: none) into segments, separate ones for each night. */
static enum sg_status take_cells(struct taking *t, struct source *s, const int64_t *from,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    const struct sg_origin *o = &s->r.origin;
    struct sg_buf since = {0};
    struct sg_cell c;
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(s->r.digest, hex);
    SG_TRY(sg_buf_printf(&since, err, "%s (digest %s)", s->path, hex));
    for (int32_t night = 0; night < o->n_nights; night++) {
        const struct sg_segment_head head = {plan->fingerprint, 0, o->nights[night], since.data};
        for (int64_t cell = 0; cell < plan->n_cells; cell++) {
            if (from[cell] < 0 || o->night[from[cell]] != night) continue;
            st = sg_results_cell(&s->r, s->texts, from[cell], plan->n_samples, &t->buf, &c, err);
            if (st != SG_OK) {
                sg_err_at(err, "%s", s->path);
                goto out;
            }
            SG_TRY(put_cell(t, cell, &c, &head, err));
        }
        SG_TRY(close_segment(t, err));
    }
out:
    sg_buf_free(&since);
    return st;
}

/* *first: there is nothing at path. A link that leads nowhere is an error. */
static enum sg_status is_first(const char *path, bool *first, struct sg_err *err) {
    struct stat s;
    *first = false;
    if (stat(path, &s) == 0 || errno != ENOENT) return SG_OK; /* reading it says what is wrong */
    if (lstat(path, &s) == 0)
        return sg_fail(err, SG_E_INPUT,
                       "%s: points at results that are gone; name others with --since, or remove it", path);
    *first = true;
    return SG_OK;
}

/* Takes over the cells that the plan lacks and the file at path has. resumed: an earlier start may have taken
 * them all; then reads the file's fingerprints first, and the rest only when a cell is missing. */
static enum sg_status take_from(struct taking *t, const char *path, const struct sg_reuse_options *opt,
                                bool resumed, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    struct source s = {.path = path};
    int64_t *from = NULL, wanted = 0;
    bool fits;
    SG_TRY(SG_NEW(&from, plan->n_cells, "cells of earlier results", err));
    SG_TRY(source_open(&s, plan, resumed ? SG_RESULTS_CELLS | SG_RESULTS_ORIGIN : SG_RESULTS_VERIFY, err));
    SG_TRY(source_match(&s, plan, opt->inputs, &fits, err));
    for (int64_t c = 0; c < plan->n_cells; c++) {
        from[c] = fits && !t->done[c] ? find(&s, plan, c) : -1;
        wanted += from[c] >= 0;
    }
    if (resumed && wanted) {
        free(from);
        source_close(&s);
        return take_from(t, path, opt, false, err);
    }
    if (wanted) SG_TRY(take_cells(t, &s, from, err));
    if (opt->quiet) goto out;
    if (plan->job.output.texts && !s.texts)
        fprintf(stderr, "scope-grid: %s keeps no texts, this job does: nothing is taken over from it\n",
                path);
    else
        fprintf(stderr, "scope-grid: %lld of %lld cells are taken over from %s\n", (long long)wanted,
                (long long)plan->n_cells, path);
out:
    free(from);
    source_close(&s);
    return st;
}

/* ---- all together ------------------------------------------------------------------------------------ */

enum sg_status sg_reuse_begin(const char *dir, const struct sg_plan *plan, const struct sg_reuse_options *opt,
                              uint8_t *done, int64_t *n_done, int64_t *taken, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct taking t = {.dir = dir, .plan = plan, .done = done, .n_done = n_done};
    bool resumed = false, first;
    *taken = 0;
    for (int64_t c = 0; c < plan->n_cells; c++) resumed = resumed || done[c] == SG_CELL_TAKEN_OVER;
    for (size_t i = 0; i < opt->n_since && !(resumed && *n_done == plan->n_cells); i++) {
        SG_TRY(is_first(opt->since[i], &first, err));
        if (!first)
            SG_TRY(take_from(&t, opt->since[i], opt, resumed, err));
        else if (!opt->quiet && !resumed)
            fprintf(stderr, "scope-grid: %s does not exist: a first night, every cell is computed\n",
                    opt->since[i]);
    }
    for (int64_t c = 0; c < plan->n_cells; c++) *taken += done[c] == SG_CELL_TAKEN_OVER;
out:
    sg_segment_abandon(t.w);
    sg_cell_buf_free(&t.buf);
    return st;
}

#include "run/reuse.h"

#include "base/file.h"
#include "cell/estimate.h"
#include "store/heads.h"
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

/* The plan's cells, as they would be drawn with one number of samples. */
struct drawn {
    int64_t samples;
    struct sg_digest *cell; /* [n_cells] */
};
/* Different numbers of samples that one file is searched for. A plan gives its cells two at most, those that it
 * lists and the others, so that a file of this program has no more. */
enum { MAX_DRAWN = 8 };

struct source {
    const char *path;
    struct sg_results r;
    struct sg_results_texts *texts;
    struct known *known; /* by fingerprint: cells that were computed and did not fail */
    size_t n_known;
    struct drawn drawn[MAX_DRAWN]; /* by samples, rising: the numbers that its cells have */
    int n_drawn;
};

static void source_close(struct source *s) {
    for (int i = 0; i < s->n_drawn; i++) free(s->drawn[i].cell);
    sg_results_texts_close(s->texts);
    sg_results_free(&s->r);
    free(s->known);
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

static int64_t samples_of(const struct source *s, int64_t cell) {
    int64_t at;
    const struct sg_results *part = sg_results_part(&s->r, cell, &at);
    return sg_results_cell_samples(part, at);
}

/* Prepares for find. *fits = false: the file cannot have the plan's cells, for it has no texts. */
static enum sg_status source_match(struct source *s, const struct sg_plan *plan,
                                   const struct sg_plan_inputs *in, bool *fits, struct sg_err *err) {
    enum sg_status st = SG_OK;
    *fits = s->texts || !plan->job.output.texts;
    for (size_t i = 0; *fits && i < s->n_known; i++) {
        const int64_t n = samples_of(s, s->known[i].cell);
        int at = 0;
        while (at < s->n_drawn && s->drawn[at].samples < n) at++;
        if (n < 1 || (at < s->n_drawn && s->drawn[at].samples == n) || s->n_drawn == MAX_DRAWN) continue;
        memmove(&s->drawn[at + 1], &s->drawn[at], (size_t)(s->n_drawn++ - at) * sizeof *s->drawn);
        s->drawn[at] = (struct drawn){n, NULL};
    }
    for (int i = 0; i < s->n_drawn; i++) {
        struct sg_sampling_params as_there = plan->params[0];
        as_there.samples = s->drawn[i].samples;
        SG_TRY(SG_NEW(&s->drawn[i].cell, plan->n_cells, "cell fingerprints", err));
        if (plan->listed || as_there.samples != plan->n_samples)
            SG_TRY(sg_plan_fingerprints_of(plan, in, &as_there, s->drawn[i].cell, err));
        else /* every night's: they are the plan's own */
            memcpy(s->drawn[i].cell, plan->cell_fingerprint,
                   (size_t)plan->n_cells * sizeof *plan->cell_fingerprint);
    }
out:
    return st;
}

static bool measured(const struct sg_plan *plan, int64_t cell) {
    const struct sg_outcome *truth = sg_plan_cell_truth(plan, cell);
    return truth && truth->prompt_tokens >= 0;
}

/* The source's cell that is the plan's with that number of samples, or -1. */
static int64_t find_drawn(const struct source *s, const struct drawn *d, int64_t cell) {
    const struct known key = {d->cell[cell], 0};
    const struct known *k =
        s->n_known ? bsearch(&key, s->known, s->n_known, sizeof key, by_fingerprint) : NULL;
    return k && samples_of(s, k->cell) == d->samples ? k->cell : -1;
}

/* The source's cell to take for the plan's, or -1: one that has enough samples; else the one that has most, whose
 * samples are the plan's first (a head). */
static int64_t find(const struct source *s, const struct sg_plan *plan, int64_t cell) {
    const int64_t want = sg_plan_cell_samples(plan, cell);
    int64_t found = -1, at;
    int i = 0;
    while (i < s->n_drawn && s->drawn[i].samples < want) i++;
    for (int k = i; found < 0 && k < s->n_drawn; k++) found = find_drawn(s, &s->drawn[k], cell);
    for (int k = i - 1; found < 0 && k >= 0; k--) found = find_drawn(s, &s->drawn[k], cell);
    if (found < 0) return -1;
    const struct sg_results *part = sg_results_part(&s->r, found, &at);
    if (part->prompt_source[at] == SG_PROMPT_MEASURED && !measured(plan, cell)) return -1;
    return found;
}

/* ---- taking over ------------------------------------------------------------------------------------ */

struct taking {
    const char *dir;
    const struct sg_plan *plan;
    uint8_t *done, *head; /* [n_cells]; head: not 0, it has one */
    int64_t *n_done, n_heads;
    char *heads;                 /* the folder of the run's heads; NULL: takes none */
    struct sg_segment_writer *w; /* NULL: none open */
    struct sg_cell_buf buf;
};

static enum sg_status close_segment(struct taking *t, struct sg_err *err) {
    struct sg_segment_writer *w = t->w;
    t->w = NULL;
    return w ? sg_segment_close(w, err) : SG_OK;
}

static bool is_head(const struct taking *t, const struct source *s, int64_t cell, int64_t from) {
    return samples_of(s, from) < sg_plan_cell_samples(t->plan, cell);
}

/* Puts a cell, or the head of one, into the open segment, which has this head, and opens it if none is. */
static enum sg_status put_cell(struct taking *t, int64_t cell, struct sg_cell *c, bool whole,
                               const struct sg_segment_head *head, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    c->query = (int32_t)(cell / plan->n_models);
    c->model = (int32_t)(cell % plan->n_models);
    if (measured(plan, cell)) c->prompt_tokens = sg_plan_cell_truth(plan, cell)->prompt_tokens;
    sg_cell_estimate(c, plan->models[c->model].price);
    if (!t->w) SG_TRY(sg_segment_open(whole ? t->dir : t->heads, head, &t->w, err));
    SG_TRY(sg_segment_append(t->w, cell, plan->cell_fingerprint[cell], c, err));
    if (whole) {
        t->done[cell] = head->since ? SG_CELL_TAKEN_OVER : SG_CELL_COMPUTED;
        ++*t->n_done;
    } else {
        t->head[cell] = 1;
        t->n_heads++;
    }
    if (sg_segment_bytes(t->w) >= SEGMENT_BYTES) SG_TRY(close_segment(t, err));
out:
    return st;
}

/* Copies those of the source's cells from[n_cells] (-1: none) that are whole, or are heads, into segments, separate
 * ones for each night. */
static enum sg_status take_cells(struct taking *t, struct source *s, const int64_t *from, bool whole,
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
            if (from[cell] < 0 || o->night[from[cell]] != night || is_head(t, s, cell, from[cell]) == whole)
                continue;
            st = sg_results_cell(&s->r, s->texts, from[cell], sg_plan_cell_samples(plan, cell), &t->buf, &c,
                                 err);
            if (st != SG_OK) {
                sg_err_at(err, "%s", s->path);
                goto out;
            }
            SG_TRY(put_cell(t, cell, &c, whole, &head, err));
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

static void tell(const struct taking *t, const struct source *s, const int64_t wanted[2]) {
    const long long cells = (long long)t->plan->n_cells;
    if (t->plan->job.output.texts && !s->texts)
        fprintf(stderr, "scope-grid: %s keeps no texts, this job does: nothing is taken over from it\n",
                s->path);
    else if (!wanted[1])
        fprintf(stderr, "scope-grid: %lld of %lld cells are taken over from %s\n", (long long)wanted[0],
                cells, s->path);
    else
        fprintf(stderr,
                "scope-grid: %lld of %lld cells are taken over from %s, and the first samples of %lld more\n",
                (long long)wanted[0], cells, s->path, (long long)wanted[1]);
}

/* Takes over the cells that the plan lacks and the file at path has. resumed: an earlier start may have taken
 * them all; then reads the file's fingerprints first, and the rest only when a cell is missing. */
static enum sg_status take_from(struct taking *t, const char *path, const struct sg_reuse_options *opt,
                                bool resumed, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    struct source s = {.path = path};
    int64_t *from = NULL, wanted[2] = {0, 0}; /* cells, heads */
    bool fits;
    SG_TRY(SG_NEW(&from, plan->n_cells, "cells of earlier results", err));
    SG_TRY(source_open(&s, plan, resumed ? SG_RESULTS_CELLS | SG_RESULTS_ORIGIN : SG_RESULTS_VERIFY, err));
    SG_TRY(source_match(&s, plan, opt->inputs, &fits, err));
    for (int64_t c = 0; c < plan->n_cells; c++) {
        from[c] = fits && !t->done[c] ? find(&s, plan, c) : -1;
        if (from[c] < 0) continue;
        const bool head = is_head(t, &s, c, from[c]);
        if (head && (!t->heads || t->head[c]))
            from[c] = -1;
        else
            wanted[head]++;
    }
    if (resumed && (wanted[0] || wanted[1])) {
        free(from);
        source_close(&s);
        return take_from(t, path, opt, false, err);
    }
    if (wanted[0]) SG_TRY(take_cells(t, &s, from, true, err));
    if (wanted[1]) SG_TRY(take_cells(t, &s, from, false, err));
    if (!opt->quiet) tell(t, &s, wanted);
out:
    free(from);
    source_close(&s);
    return st;
}

/* ---- all together ------------------------------------------------------------------------------------ */

/* Reads which cells have a head already. */
static enum sg_status see_heads(struct taking *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    SG_TRY(sg_path_join(t->dir, SG_HEADS_FOLDER, &t->heads, err));
    SG_TRY(sg_segments_scan(t->heads, plan->fingerprint, plan->n_cells, t->head, &t->n_heads, NULL,
                            SG_CLEAN_SILENT, err));
out:
    return st;
}

enum sg_status sg_reuse_begin(const char *dir, const struct sg_plan *plan, const struct sg_reuse_options *opt,
                              uint8_t *done, int64_t *n_done, struct sg_reuse_count *count,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct taking t = {.dir = dir, .plan = plan, .done = done, .n_done = n_done};
    bool resumed = false, first;
    int64_t lacks = 0;
    *count = (struct sg_reuse_count){0, 0};
    SG_TRY(SG_NEW(&t.head, plan->n_cells, "cells", err));
    if (opt->heads) SG_TRY(see_heads(&t, err));
    for (int64_t c = 0; c < plan->n_cells; c++) {
        resumed = resumed || done[c] == SG_CELL_TAKEN_OVER || t.head[c];
        lacks += !done[c] && !t.head[c];
    }
    for (size_t i = 0; i < opt->n_since && !(resumed && !lacks); i++) {
        SG_TRY(is_first(opt->since[i], &first, err));
        if (!first)
            SG_TRY(take_from(&t, opt->since[i], opt, resumed, err));
        else if (!opt->quiet && !resumed)
            fprintf(stderr, "scope-grid: %s does not exist: a first night, every cell is computed\n",
                    opt->since[i]);
    }
    for (int64_t c = 0; c < plan->n_cells; c++) count->taken += done[c] == SG_CELL_TAKEN_OVER;
    count->extended = t.n_heads;
out:
    sg_segment_abandon(t.w);
    sg_cell_buf_free(&t.buf);
    free(t.head);
    free(t.heads);
    return st;
}

enum sg_status sg_reuse_foresee(const struct sg_plan *plan, const struct sg_reuse_options *opt,
                                struct sg_reuse_foreseen *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct source s = {.n_drawn = 0};
    int64_t *has = NULL; /* [n_cells] samples that are there already */
    struct sg_reuse_foreseen f = {.taken = 0};
    bool first, fits;
    SG_TRY(SG_NEW(&has, plan->n_cells, "cells", err));
    for (size_t i = 0; i < opt->n_since; i++) {
        SG_TRY(is_first(opt->since[i], &first, err));
        if (first) continue;
        s = (struct source){.path = opt->since[i]};
        SG_TRY(source_open(&s, plan, SG_RESULTS_CELLS | SG_RESULTS_ORIGIN, err));
        SG_TRY(source_match(&s, plan, opt->inputs, &fits, err));
        for (size_t k = 0; k < s.n_known; k++) {
            int64_t at;
            const struct sg_results *part = sg_results_part(&s.r, s.known[k].cell, &at);
            f.seen_tokens += (double)part->output_tokens[at];
            f.seen_samples += (double)sg_results_cell_samples(part, at);
        }
        for (int64_t c = 0; fits && c < plan->n_cells; c++) {
            const int64_t from = find(&s, plan, c), n = from < 0 ? 0 : samples_of(&s, from);
            if (has[c] >= sg_plan_cell_samples(plan, c) || (has[c] && n < sg_plan_cell_samples(plan, c)))
                continue; /* a run takes the first head that it finds */
            has[c] = n;
        }
        source_close(&s);
        s = (struct source){.n_drawn = 0};
    }
    for (int64_t c = 0; c < plan->n_cells; c++) {
        const int64_t want = sg_plan_cell_samples(plan, c);
        f.taken += has[c] >= want;
        f.extended += has[c] > 0 && has[c] < want;
        f.samples += has[c] < want ? want - has[c] : 0;
    }
    *out = f;
out:
    source_close(&s);
    free(has);
    return st;
}

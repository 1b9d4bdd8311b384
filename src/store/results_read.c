#include "store/results.h"

#include "store/schema.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sg_status check_format(const struct sg_h5_in *in, int64_t *format_version, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_arena a = {0};
    char *format = NULL;
    int64_t version = 0;
    SG_TRY(sg_h5_get_str(in, "/", "format", &format, &a, err));
    if (!format || strcmp(format, SG_RESULTS_FORMAT) != 0) {
        st = sg_fail(err, SG_E_INPUT,
                     "%s: is not a results file: its attribute 'format' is %s%s%s, expected \"%s\"", in->path,
                     format ? "\"" : "", format ? format : "absent", format ? "\"" : "", SG_RESULTS_FORMAT);
        goto out;
    }
    SG_TRY(sg_h5_get_i64(in, "/", "format_version", &version, err));
    if (version < 1)
        st = sg_fail(err, SG_E_INPUT, "%s: has no format_version", in->path);
    else if (version > SG_RESULTS_VERSION)
        st = sg_fail(err, SG_E_UNSUPPORTED,
                     "%s: results format version %lld, this build reads up to version %d", in->path,
                     (long long)version, SG_RESULTS_VERSION);
    else
        *format_version = version;
out:
    sg_arena_free(&a);
    return st;
}

static enum sg_status axis(const struct sg_h5_in *in, const char *name, int64_t *n, struct sg_err *err) {
    int rank;
    int64_t dims[SG_H5_MAX_RANK];
    enum sg_status st = sg_h5_shape(in, name, &rank, dims, err);
    if (st != SG_OK) return st;
    if (rank != 1)
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' has %d axes, expected 1", in->path, name, rank);
    *n = dims[0];
    return SG_OK;
}

/* The rows of a grid, and the group where it stands ("" or "calibration/"). */
struct grid {
    const char *group, *rows; /* rows: the name of their axis */
};

/* A dataset's path, good until the next call with the same `room`. */
static const char *in_group(const char *group, const char *name, char room[80]) {
    (void)snprintf(room, 80, "%s%s", group, name);
    return room;
}

/* Checks that the columns have the sizes of the axes before memory is allocated: the file may be damaged. */
static enum sg_status check_sizes(const struct sg_h5_in *in, const struct grid *g, const struct sg_results *r,
                                  struct sg_err *err) {
    int rank;
    int64_t dims[SG_H5_MAX_RANK];
    char room[80];
    const char *valid = in_group(g->group, "valid", room);
    enum sg_status st = sg_h5_shape(in, valid, &rank, dims, err);
    if (st != SG_OK) return st;
    if (rank != 2 || dims[0] != r->n_queries || dims[1] != r->n_models)
        return sg_fail(err, SG_E_CORRUPT, "%s: '%s' is not of shape (%s %lld, model %lld)", in->path, valid,
                       g->rows, (long long)r->n_queries, (long long)r->n_models);
    st = sg__results_sizes(r->n_queries, r->n_models, r->n_samples, err);
    if (st != SG_OK) return sg_fail(err, SG_E_CORRUPT, "%s: has an empty or impossible grid", in->path);
    return SG_OK;
}

static enum sg_status read_column(const struct sg_h5_in *in, const char *group, const struct sg__column *c,
                                  struct sg_results *r, struct sg_err *err) {
    char room[80];
    const char *name = in_group(group, c->var.name, room);
    int64_t dims[] = {r->n_queries, r->n_models, r->n_samples};
    if (c->axes == SG_AXES_MODEL) dims[0] = r->n_models;
    if (c->axes == SG_AXES_ANCHOR) dims[0] = r->anchors.n;
    const bool there = c->since <= r->format && sg_h5_has(in, name);
    if (!there && (c->need == SG_NEED_TRUTH || c->need == SG_NEED_SCORE)) return SG_OK;
    if (!there && c->need == SG_NEED_OPTIONAL) return sg__column_new(r, c, err);
    enum sg_status st =
        sg__column_zeros(r, c, err); /* a trial leaves large ones untouched: they cost nothing */
    if (st != SG_OK) return st;
    return sg_h5_read(in, name, c->var.type, c->var.rank, dims, sg__column_data(r, c), err);
}

/* Which of `parts` holds the column; 0: it comes with the axes. */
static unsigned part_of(const struct sg__column *c) {
    return c->axes == SG_AXES_MODEL ? 0 : c->axes == SG_AXES_SAMPLE ? SG_RESULTS_SAMPLES : SG_RESULTS_CELLS;
}

/* r's axes and columns, n_models and n_samples known. Strings go to `strings`. */
static enum sg_status read_grid(const struct sg_h5_in *in, const struct grid *g, unsigned parts,
                                struct sg_results *r, struct sg_arena *strings, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char room[80];
    bool truth = false;
    SG_TRY(axis(in, in_group(g->group, g->rows, room), &r->n_queries, err));
    SG_TRY(check_sizes(in, g, r, err));
    SG_TRY(SG_NEW(&r->query, r->n_queries, "queries", err));
    SG_TRY(SG_NEW(&r->category, r->n_queries, "categories", err));
    SG_TRY(SG_NEW(&r->model, r->n_models, "models", err));
    SG_TRY(sg_h5_read_strings(in, in_group(g->group, g->rows, room), r->n_queries, r->query, strings, err));
    SG_TRY(sg_h5_read_strings(in, in_group(g->group, "model", room), r->n_models, r->model, strings, err));
    if (sg_h5_has(in, in_group(g->group, "category", room)))
        SG_TRY(sg_h5_read_strings(in, room, r->n_queries, r->category, strings, err));
    else
        for (int64_t q = 0; q < r->n_queries; q++) SG_TRY(sg_arena_dup(strings, "", 0, &r->category[q], err));
    for (int i = 0; i < sg__n_columns; i++) {
        const struct sg__column *c = &sg__columns[i];
        const unsigned part = part_of(c);
        if (c->axes == SG_AXES_ANCHOR || (part && !(parts & part))) continue;
        if (c->axes == SG_AXES_SAMPLE && !r->n_samples) continue;
        if (c->axes == SG_AXES_MODEL && *g->group) /* the root's, set by the caller */
            st = sg__column_new(r, c, err);
        else
            st = read_column(in, g->group, c, r, err);
        if (st != SG_OK) goto out;
        truth = truth || (c->need == SG_NEED_TRUTH && sg__column_data(r, c));
    }
    if (truth && (!r->true_correct || !r->true_length || !r->true_cost))
        st = sg_fail(err, SG_E_CORRUPT, "%s: %shas only some of true_correct, true_length, true_cost",
                     in->path, *g->group ? "calibration: " : "");
out:
    return st;
}

static enum sg_status read_anchors(const struct sg_h5_in *in, unsigned parts, struct sg_results *r,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_anchor_outcomes *a = &r->anchors;
    int rank;
    int64_t n = 0, dims[SG_H5_MAX_RANK];
    if (r->format < 2 || !sg_h5_has(in, "anchors")) return SG_OK;
    SG_TRY(axis(in, "anchors/anchor", &n, err));
    SG_TRY(sg_h5_shape(in, "anchors/correct", &rank, dims, err));
    if (rank != 2 || dims[0] != n || dims[1] != r->n_models) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: 'anchors/correct' is not of shape (anchor %lld, model %lld)",
                     in->path, (long long)n, (long long)r->n_models);
        goto out;
    }
    SG_TRY(SG_NEW(&a->id, n, "anchors", err));
    SG_TRY(SG_NEW(&a->category, n, "anchors", err));
    a->n = n;
    SG_TRY(sg_h5_read_strings(in, "anchors/anchor", n, (char **)a->id, &r->strings, err));
    SG_TRY(sg_h5_read_strings(in, "anchors/category", n, (char **)a->category, &r->strings, err));
    for (int i = 0; i < sg__n_columns && parts & SG_RESULTS_CELLS; i++)
        if (sg__columns[i].axes == SG_AXES_ANCHOR)
            SG_TRY(read_column(in, "anchors/", &sg__columns[i], r, err));
out:
    return st;
}

static enum sg_status read_calibration(const struct sg_h5_in *in, unsigned parts, struct sg_results *r,
                                       struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct grid grid = {"calibration/", "anchor"};
    int64_t models = 0, samples = 0;
    if (r->format < 2 || !sg_h5_has(in, "calibration")) return SG_OK;
    SG_TRY(axis(in, "calibration/model", &models, err));
    if (sg_h5_has(in, "calibration/sample")) SG_TRY(axis(in, "calibration/sample", &samples, err));
    if (models != r->n_models || samples != r->n_samples) {
        st = sg_fail(err, SG_E_CORRUPT,
                     "%s: calibration has %lld models with %lld samples, the grid %lld with %lld", in->path,
                     (long long)models, (long long)samples, (long long)r->n_models, (long long)r->n_samples);
        goto out;
    }
    SG_TRY(SG_NEW(&r->calibration, 1, "calibration", err));
    struct sg_results *c = r->calibration;
    c->format = r->format;
    c->n_models = models;
    c->n_samples = samples;
    SG_TRY(read_grid(in, &grid, parts, c, &r->strings, err));
    SG_TRY(sg__results_sizes(r->n_queries + c->n_queries, models, samples, err));
    if (parts & SG_RESULTS_CELLS && !c->true_correct) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: calibration has no true_correct", in->path);
        goto out;
    }
    for (int64_t m = 0; m < models; m++)
        if (strcmp(c->model[m], r->model[m]) != 0) {
            st = sg_fail(err, SG_E_CORRUPT, "%s: model %lld is %s, in calibration %s", in->path, (long long)m,
                         r->model[m], c->model[m]);
            goto out;
        }
    sg__results_share_models(r);
out:
    return st;
}

/* Scores stand beside all outcomes or beside none. */
static enum sg_status check_scores(const struct sg_h5_in *in, const struct sg_results *r,
                                   struct sg_err *err) {
    const struct sg_results *c = r->calibration;
    const bool graded = sg_results_graded(r) || (c && c->true_score);
    if (!graded || ((r->true_score != NULL) == (r->true_correct != NULL) &&
                    (r->anchors.score != NULL) == (r->anchors.n > 0) && (!c || c->true_score)))
        return SG_OK;
    return sg_fail(err, SG_E_CORRUPT, "%s: only some of its outcomes have scores (true_score, anchors/score)",
                   in->path);
}

static enum sg_status read_text_digests(const struct sg_h5_in *in, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t cells = sg_results_n_cells(r), dims[] = {cells, 2};
    uint64_t *words = NULL;
    if (!sg_h5_has(in, "texts/digest")) return SG_OK;
    SG_TRY(SG_NEW(&words, 2 * cells, "text digests", err));
    SG_TRY(SG_NEW(&r->text_digest, cells, "text digests", err));
    SG_TRY(sg_h5_read(in, "texts/digest", SG_H5_U64, 2, dims, words, err));
    for (int64_t i = 0; i < cells; i++)
        r->text_digest[i] = (struct sg_digest){words[2 * i], words[2 * i + 1]};
out:
    free(words);
    return st;
}

static enum sg_status read_failures(const struct sg_h5_in *in, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t n;
    if (!sg_h5_has(in, "failures")) return SG_OK;
    SG_TRY(axis(in, "failures/cell", &n, err));
    if (n > sg_results_n_cells(r)) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: has more failures than cells", in->path);
        goto out;
    }
    SG_TRY(SG_NEW(&r->failure_cell, n, "failures", err));
    SG_TRY(SG_NEW(&r->failure_reason, n, "failures", err));
    SG_TRY(sg_h5_read(in, "failures/cell", SG_H5_I64, 1, &n, r->failure_cell, err));
    SG_TRY(sg_h5_read_strings(in, "failures/reason", n, r->failure_reason, &r->strings, err));
    for (int64_t i = 0; i < n; i++)
        if (r->failure_cell[i] < 0 || r->failure_cell[i] >= sg_results_n_cells(r)) {
            st = sg_fail(err, SG_E_CORRUPT, "%s: failures/cell holds cell %lld of %lld", in->path,
                         (long long)r->failure_cell[i], (long long)sg_results_n_cells(r));
            goto out;
        }
    r->n_failures = n;
out:
    return st;
}

static enum sg_status read_origin(const struct sg_h5_in *in, bool verify, struct sg_results *r,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_origin *o = &r->origin;
    const int64_t cells = sg_results_n_cells(r), dims[] = {cells, 2};
    uint64_t *words = NULL;
    char *hex = NULL;
    struct sg_digest check;
    if (!sg_h5_has(in, "origin")) return SG_OK;
    SG_TRY(axis(in, "origin/name", &o->n_nights, err));
    SG_TRY(SG_NEW(&words, 2 * (cells > r->n_queries ? cells : r->n_queries), "cell fingerprints", err));
    SG_TRY(SG_NEW(&o->fingerprint, cells, "cell fingerprints", err));
    SG_TRY(SG_NEW(&o->night, cells, "nights of cells", err));
    SG_TRY(SG_NEW(&o->nights, o->n_nights, "nights", err));
    SG_TRY(sg_h5_read(in, "origin/fingerprint", SG_H5_U64, 2, dims, words, err));
    SG_TRY(sg_h5_read(in, "origin/night", SG_H5_I32, 1, &cells, o->night, err));
    SG_TRY(sg_h5_read_strings(in, "origin/name", o->n_nights, o->nights, &r->strings, err));
    for (int64_t i = 0; i < cells; i++) {
        o->fingerprint[i] = (struct sg_digest){words[2 * i], words[2 * i + 1]};
        if (!in->trial && (o->night[i] < -1 || o->night[i] >= o->n_nights)) {
            st = sg_fail(err, SG_E_CORRUPT, "%s: origin/night has %d at cell %lld; there are %lld nights",
                         in->path, (int)o->night[i], (long long)i, (long long)o->n_nights);
            goto out;
        }
    }
    if (sg_h5_has(in, "origin/prompt")) {
        const int64_t queries[] = {r->n_queries, 2};
        SG_TRY(SG_NEW(&o->prompt, r->n_queries, "hashes of the queries", err));
        SG_TRY(sg_h5_read(in, "origin/prompt", SG_H5_U64, 2, queries, words, err));
        for (int64_t q = 0; q < r->n_queries; q++)
            o->prompt[q] = (struct sg_digest){words[2 * q], words[2 * q + 1]};
    }
    if (!verify && !in->trial) goto out;
    SG_TRY(sg_h5_get_str(in, "origin", "check", &hex, &r->strings, err));
    if (in->trial) goto out;
    if (!hex || !sg_digest_from_hex(hex, &check) || !sg_digest_equal(check, sg_results_origin_digest(r)))
        st =
            sg_fail(err, SG_E_CORRUPT,
                    "%s: the cells' fingerprints and nights do not have the checksum that it states: damaged "
                    "or edited",
                    in->path);
out:
    free(words);
    return st;
}

static enum sg_status read_provenance(const struct sg_h5_in *in, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *digest = NULL;
    SG_TRY(sg_h5_get_str(in, "provenance", "name", &r->name, &r->strings, err));
    SG_TRY(sg_h5_get_str(in, "provenance", "version", &r->version, &r->strings, err));
    SG_TRY(sg_h5_get_str(in, "provenance", "fingerprint", &r->fingerprint, &r->strings, err));
    SG_TRY(sg_h5_get_str(in, "provenance", "finished_at", &r->finished_at, &r->strings, err));
    SG_TRY(sg_h5_get_str(in, "provenance", "digest", &digest, &r->strings, err));
    SG_TRY(sg_h5_get_str(in, "provenance", "since", &r->origin.since, &r->strings, err));
    SG_TRY(sg_h5_get_i64(in, "provenance", "taken_over", &r->origin.taken_over, err));
    SG_TRY(sg_h5_read_text(in, "provenance/job", &r->job_text, &r->strings, err));
    if (digest && !sg_digest_from_hex(digest, &r->digest))
        st = sg_fail(err, SG_E_CORRUPT, "%s: provenance.digest is not 32 hex digits", in->path);
out:
    return st;
}

static enum sg_status read_all(const struct sg_h5_in *in, unsigned parts, struct sg_results *r,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct grid root = {"", "query"};
    int64_t version = 0;
    SG_TRY(check_format(in, &version, err));
    r->format = (int)version;
    SG_TRY(axis(in, "query", &r->n_queries, err));
    SG_TRY(axis(in, "model", &r->n_models, err));
    if (sg_h5_has(in, "sample")) SG_TRY(axis(in, "sample", &r->n_samples, err));
    SG_TRY(read_grid(in, &root, parts, r, &r->strings, err));
    SG_TRY(read_anchors(in, parts, r, err));
    SG_TRY(read_calibration(in, parts, r, err));
    if (parts & SG_RESULTS_CELLS) SG_TRY(check_scores(in, r, err));
    if (parts & SG_RESULTS_SAMPLES) SG_TRY(read_text_digests(in, r, err));
    SG_TRY(read_failures(in, r, err));
    SG_TRY(read_provenance(in, r, err));
out:
    return st;
}

static enum sg_status read_parts(const struct sg_h5_in *in, unsigned parts, struct sg_results *r,
                                 struct sg_err *err) {
    enum sg_status st = read_all(in, parts, r, err);
    if (st != SG_OK) return st;
    const bool verify = parts & SG_RESULTS_VERIFY && !in->trial; /* a trial has no numbers */
    if (verify && !sg_digest_equal(r->digest, sg_results_digest(r)))
        return sg_fail(err, SG_E_CORRUPT,
                       "%s: its contents do not have the digest it states: damaged or edited", in->path);
    return parts & (SG_RESULTS_ORIGIN | SG_RESULTS_VERIFY) ? read_origin(in, verify, r, err) : SG_OK;
}

static enum sg_status try_parts(const struct sg_h5_in *in, const void *parts, struct sg_err *err) {
    struct sg_results r = {0}; /* the process ends soon */
    return read_parts(in, *(const unsigned *)parts, &r, err);
}

enum sg_status sg_results_read(const char *path, unsigned parts, struct sg_results *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_h5_in in = {.file = -1};
    struct sg_results r = {0};
    if (parts & SG_RESULTS_VERIFY) parts |= SG_RESULTS_CELLS | SG_RESULTS_SAMPLES;
    SG_TRY(sg_h5_open(path, &(struct sg_h5_try){.read = try_parts, .ctx = &parts}, &in, err));
    SG_TRY(read_parts(&in, parts, &r, err));
    *out = r;
    memset(&r, 0, sizeof r);
out:
    sg_results_free(&r);
    sg_h5_close(&in);
    return st;
}

/* ---- texts ---- */

/* Texts in file order are read through a window of this size: HDF5 would inflate a whole chunk for each. */
enum { WINDOW_BYTES = 4 << 20 };
struct window {
    char *bytes;
    size_t cap;
    int64_t begin, end; /* what of texts/bytes is in `bytes` */
    int64_t next;       /* where the last text ended: a text that begins there is read in order */
};

struct sg_results_texts {
    struct sg_h5_in in;
    struct window *window;
    int64_t n_samples, n_cells, total; /* total: bytes of all texts */
    int64_t *offset;                   /* [n_cells * n_samples + 1] */
};

void sg_results_texts_close(struct sg_results_texts *t) {
    if (!t) return;
    sg_h5_close(&t->in);
    if (t->window) free(t->window->bytes);
    free(t->window);
    free(t->offset);
    free(t);
}

/* Takes what is known before the first text is asked for; *none: the file holds no texts. */
static enum sg_status take_texts(const struct sg_h5_in *in, struct sg_results_texts *t, bool *none,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t queries = 0, models = 0, anchors = 0, version, offsets;
    SG_TRY(check_format(in, &version, err));
    *none = !sg_h5_has(in, "texts/bytes");
    if (*none) goto out;
    SG_TRY(axis(in, "query", &queries, err));
    SG_TRY(axis(in, "model", &models, err));
    if (sg_h5_has(in, "calibration")) SG_TRY(axis(in, "calibration/anchor", &anchors, err));
    SG_TRY(axis(in, "sample", &t->n_samples, err));
    SG_TRY(axis(in, "texts/bytes", &t->total, err));
    SG_TRY(axis(in, "texts/offset", &offsets, err));
    if (__builtin_add_overflow(queries, anchors, &queries) ||
        sg__results_sizes(queries, models, t->n_samples, NULL) != SG_OK ||
        queries * models * t->n_samples != offsets - 1) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: 'texts/offset' does not have one text per sample", in->path);
        goto out;
    }
    t->n_cells = queries * models;
    SG_TRY(SG_NEW(&t->window, 1, "texts", err));
    SG_TRY(SG_NEW(&t->offset, offsets, "text offsets", err));
    SG_TRY(sg_h5_read(in, "texts/offset", SG_H5_I64, 1, &offsets, t->offset, err));
    for (int64_t i = 0; i < offsets; i++)
        if (t->offset[i] < (i ? t->offset[i - 1] : 0) || t->offset[i] > t->total) {
            st = sg_fail(err, SG_E_CORRUPT, "%s: 'texts/offset' is out of order or out of bounds at %lld",
                         in->path, (long long)i);
            goto out;
        }
out:
    return st;
}

static enum sg_status try_texts(const struct sg_h5_in *in, const void *ctx, struct sg_err *err) {
    struct sg_results_texts t = {0}; /* the process ends soon */
    bool none;
    (void)ctx;
    return take_texts(in, &t, &none, err);
}

enum sg_status sg_results_texts_open(const char *path, struct sg_results_texts **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results_texts *t = NULL;
    bool none = true;
    SG_TRY(SG_NEW(&t, 1, "texts", err));
    SG_TRY(sg_h5_open(path, &(struct sg_h5_try){.read = try_texts}, &t->in, err));
    SG_TRY(take_texts(&t->in, t, &none, err));
    *out = none ? NULL : t;
    if (!none) return SG_OK;
out:
    sg_results_texts_close(t);
    return st;
}

enum sg_status sg_results_texts_get(const struct sg_results_texts *t, int64_t cell, int64_t sample,
                                    struct sg_buf *buf, struct sg_err *err) {
    if (cell < 0 || cell >= t->n_cells || sample < 0 || sample >= t->n_samples)
        return sg_fail(err, SG_E_INPUT, "%s: there is no cell %lld with sample %lld", t->in.path,
                       (long long)cell, (long long)sample);
    const int64_t i = cell * t->n_samples + sample, begin = t->offset[i], n = t->offset[i + 1] - begin;
    struct window *w = t->window;
    enum sg_status st = SG_OK;
    if (begin < w->begin || begin + n > w->end) {
        int64_t size = n;
        if (begin == w->next && size < WINDOW_BYTES) size = WINDOW_BYTES;
        if (size > t->total - begin) size = t->total - begin;
        w->begin = w->end = 0;
        SG_TRY(SG_GROW(&w->bytes, &w->cap, size, "texts", err));
        SG_TRY(sg_h5_read_part(&t->in, "texts/bytes", SG_H5_U8, begin, size, w->bytes, err));
        w->begin = begin;
        w->end = begin + size;
    }
    w->next = begin + n;
    st = sg_buf_add(buf, n ? w->bytes + (begin - w->begin) : "", (size_t)n, err);
out:
    return st;
}

enum sg_status sg_results_text(const char *path, int64_t cell, int64_t sample, struct sg_buf *buf,
                               struct sg_err *err) {
    struct sg_results_texts *t = NULL;
    enum sg_status st = sg_results_texts_open(path, &t, err);
    if (st == SG_OK && !t) st = sg_fail(err, SG_E_INPUT, "%s: holds no texts (output.texts was off)", path);
    if (st == SG_OK) st = sg_results_texts_get(t, cell, sample, buf, err);
    sg_results_texts_close(t);
    return st;
}

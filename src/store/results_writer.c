#include "store/results_writer.h"

#include "store/schema.h"
#include <stdlib.h>
#include <string.h>

struct sg_results_writer {
    struct sg_h5_out out;
    int64_t n_cells, n_samples, cells; /* cells: how many have passed */
    hid_t group;                       /* texts; -1 without */
    struct sg_h5_bytes bytes;
    int64_t *offset;               /* [n_cells * n_samples + 1] */
    struct sg_digest *text_digest; /* [n_cells] */
    int64_t at;                    /* bytes of text so far */
};

static void writer_free(struct sg_results_writer *w) {
    sg_h5_bytes_drop(&w->bytes);
    if (w->group >= 0) H5Gclose(w->group);
    sg_h5_discard(&w->out);
    free(w->offset);
    free(w->text_digest);
    free(w);
}

void sg_results_writer_abandon(struct sg_results_writer *w) {
    if (w) writer_free(w);
}

enum sg_status sg_results_writer_open(const char *path, int64_t n_cells, int64_t n_samples, bool texts,
                                      struct sg_results_writer **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results_writer *w = NULL;
    SG_TRY(SG_NEW(&w, 1, "results writer", err));
    w->group = -1;
    w->out.file = -1;
    w->n_cells = n_cells;
    w->n_samples = n_samples;
    SG_TRY(sg_h5_create(path, &w->out, err));
    if (texts && n_samples) {
        SG_TRY(SG_NEW(&w->offset, n_cells * n_samples + 1, "text offsets", err));
        SG_TRY(SG_NEW(&w->text_digest, n_cells, "text digests", err));
        SG_TRY(sg_h5_group(&w->out, w->out.file, "texts", &w->group, err));
        SG_TRY(sg_h5_bytes_open(&w->out, w->group, "bytes", "analyses and verdicts end to end, UTF-8",
                                &w->bytes, err));
    }
    *out = w;
    w = NULL;
out:
    if (w) writer_free(w);
    return st;
}

enum sg_status sg_results_writer_cell(struct sg_results_writer *w, const struct sg_cell *cell,
                                      struct sg_err *err) {
    SG_ASSERT(w->cells < w->n_cells);
    const int64_t index = w->cells++;
    if (w->group < 0) return SG_OK;
    const struct sg_cell none = {0};
    if (!cell) cell = &none;
    SG_ASSERT(cell->n_samples <= w->n_samples);
    for (int64_t i = 0; i < w->n_samples; i++) {
        const struct sg_cell_sample *s = i < cell->n_samples ? &cell->samples[i] : NULL;
        if (s && s->text) {
            enum sg_status st = sg_h5_bytes_add(&w->out, &w->bytes, s->text, (size_t)s->text_bytes, err);
            if (st != SG_OK) return st;
            w->at += s->text_bytes;
        }
        w->offset[index * w->n_samples + i + 1] = w->at;
    }
    if (cell != &none) w->text_digest[index] = sg_results_text_digest(cell);
    return SG_OK;
}

static enum sg_status put_texts(struct sg_results_writer *w, struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint64_t *words = NULL;
    static const struct sg_h5_var offset = {.name = "offset",
                                            .type = SG_H5_I64,
                                            .rank = 1,
                                            .axes = {"text"},
                                            .units = "bytes",
                                            .long_name = "text i is bytes[offset[i] .. offset[i + 1])"};
    static const struct sg_h5_var digest = {.name = "digest",
                                            .type = SG_H5_U64,
                                            .rank = 2,
                                            .axes = {"cell", "word"},
                                            .long_name = "XXH3-128 of a cell's texts"};
    SG_TRY(sg_h5_bytes_close(&w->out, w->group, &w->bytes, "byte", err));
    SG_TRY(sg_h5_write_axis(&w->out, w->group, "text", w->n_cells * w->n_samples + 1, err));
    SG_TRY(sg_h5_write(&w->out, w->group, &offset, w->offset, err));
    SG_TRY(SG_NEW(&words, 2 * w->n_cells, "text digests", err));
    for (int64_t i = 0; i < w->n_cells; i++) {
        words[2 * i] = w->text_digest[i].hi;
        words[2 * i + 1] = w->text_digest[i].lo;
    }
    SG_TRY(sg_h5_write_axis(&w->out, w->group, "cell", w->n_cells, err));
    SG_TRY(sg_h5_write_axis(&w->out, w->group, "word", 2, err));
    SG_TRY(sg_h5_write(&w->out, w->group, &digest, words, err));
out:
    free(words);
    return st;
}

/* The columns of these axes; rows: the axis of the group's rows, "query" or "anchor". */
static enum sg_status put_columns(struct sg_h5_out *out, hid_t group, const struct sg_results *r,
                                  enum sg__axes axes, const char *rows, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int i = 0; i < sg__n_columns; i++) {
        const struct sg__column *c = &sg__columns[i];
        const void *data = sg__column_data(r, c);
        struct sg_h5_var var = c->var;
        if (c->axes != axes || !data || c->since > r->format) continue;
        if (axes != SG_AXES_MODEL) var.axes[0] = rows;
        SG_TRY(sg_h5_write(out, group, &var, data, err));
    }
out:
    return st;
}

/* A grid over (query, model[, sample]), or with anchors as its rows. */
static enum sg_status put_grid(struct sg_h5_out *out, hid_t group, const struct sg_results *r,
                               const char *rows, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int32_t *index = NULL;
    const bool queries = !strcmp(rows, "query");
    SG_TRY(sg_h5_write_strings(out, group, rows, rows, r->n_queries, r->query,
                               queries ? "query id" : "anchor id", err));
    SG_TRY(
        sg_h5_write_strings(out, group, "model", "model", r->n_models, r->model, "portfolio model id", err));
    if (r->n_samples) {
        SG_TRY(SG_NEW(&index, r->n_samples, "sample", err));
        for (int64_t i = 0; i < r->n_samples; i++) index[i] = (int32_t)i;
        SG_TRY(sg_h5_write_scale(out, group, "sample", SG_H5_I32, r->n_samples, index,
                                 "sample of the estimator", err));
    }
    SG_TRY(sg_h5_write_strings(out, group, "category", rows, r->n_queries, r->category,
                               queries ? "category of the query" : "category of the anchor", err));
    if (queries) SG_TRY(put_columns(out, group, r, SG_AXES_MODEL, rows, err));
    SG_TRY(put_columns(out, group, r, SG_AXES_CELL, rows, err));
    SG_TRY(put_columns(out, group, r, SG_AXES_QUERY, rows, err));
    SG_TRY(put_columns(out, group, r, SG_AXES_SAMPLE, rows, err));
out:
    free(index);
    return st;
}

static enum sg_status put_root(struct sg_h5_out *out, const struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const hid_t root = out->file;
    SG_TRY(sg_h5_attr_str(out, root, NULL, "format", SG_RESULTS_FORMAT, err));
    SG_TRY(sg_h5_attr_i64(out, root, NULL, "format_version", r->format, err));
    if (r->name) SG_TRY(sg_h5_attr_str(out, root, NULL, "title", r->name, err));
    SG_TRY(sg_h5_attr_str(out, root, NULL, "coordinates", "category input_price output_price", err));
    SG_TRY(put_grid(out, root, r, "query", err));
out:
    return st;
}

static enum sg_status put_anchors(struct sg_h5_out *out, const struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    hid_t g = -1;
    const struct sg_anchor_outcomes *a = &r->anchors;
    if (!a->n) return SG_OK;
    SG_TRY(sg_h5_group(out, out->file, "anchors", &g, err));
    SG_TRY(sg_h5_attr_str(out, g, NULL, "coordinates", "category", err));
    SG_TRY(sg_h5_write_strings(out, g, "anchor", "anchor", a->n, (char *const *)a->id, "anchor id", err));
    SG_TRY(sg_h5_write_strings(out, g, "model", "model", r->n_models, r->model, "portfolio model id", err));
    SG_TRY(sg_h5_write_strings(out, g, "category", "anchor", a->n, (char *const *)a->category,
                               "category of the anchor", err));
    SG_TRY(put_columns(out, g, r, SG_AXES_ANCHOR, "anchor", err));
out:
    if (g >= 0) H5Gclose(g);
    return st;
}

static enum sg_status put_calibration(struct sg_h5_out *out, const struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    hid_t g = -1;
    if (!r->calibration) return SG_OK;
    SG_TRY(sg_h5_group(out, out->file, "calibration", &g, err));
    SG_TRY(sg_h5_attr_str(out, g, NULL, "coordinates", "category", err));
    SG_TRY(put_grid(out, g, r->calibration, "anchor", err));
out:
    if (g >= 0) H5Gclose(g);
    return st;
}

static enum sg_status put_failures(struct sg_h5_out *out, const struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    hid_t g = -1;
    static const struct sg_h5_var cell = {.name = "cell",
                                          .type = SG_H5_I64,
                                          .rank = 1,
                                          .axes = {"failure"},
                                          .long_name =
                                              "query * number of models + model; calibration follows"};
    if (!r->n_failures) return SG_OK;
    SG_TRY(sg_h5_group(out, out->file, "failures", &g, err));
    SG_TRY(sg_h5_write_axis(out, g, "failure", r->n_failures, err));
    SG_TRY(sg_h5_write(out, g, &cell, r->failure_cell, err));
    SG_TRY(sg_h5_write_strings(out, g, "reason", "failure", r->n_failures, r->failure_reason,
                               "why the cell failed", err));
out:
    if (g >= 0) H5Gclose(g);
    return st;
}

static void to_words(const struct sg_digest *digest, int64_t n, uint64_t *words) {
    for (int64_t i = 0; i < n; i++) {
        words[2 * i] = digest[i].hi;
        words[2 * i + 1] = digest[i].lo;
    }
}

static enum sg_status put_origin(struct sg_h5_out *out, const struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    hid_t g = -1;
    uint64_t *words = NULL;
    char hex[SG_DIGEST_HEX];
    const struct sg_origin *o = &r->origin;
    const int64_t cells = sg_results_n_cells(r);
    static const struct sg_h5_var fingerprint = {.name = "fingerprint",
                                                 .type = SG_H5_U64,
                                                 .rank = 2,
                                                 .axes = {"cell", "word"},
                                                 .long_name = "what the cell's values depend on, XXH3-128"};
    static const struct sg_h5_var night = {.name = "night",
                                           .type = SG_H5_I32,
                                           .rank = 1,
                                           .axes = {"cell"},
                                           .long_name = "which of `name` computed the cell (-1 none)",
                                           .has_missing = true,
                                           .missing = -1};
    static const struct sg_h5_var prompt = {.name = "prompt",
                                            .type = SG_H5_U64,
                                            .rank = 2,
                                            .axes = {"query", "word"},
                                            .long_name = "hash of the query's text, XXH3-128"};
    if (!o->fingerprint || !o->night) return SG_OK;
    SG_TRY(sg_h5_group(out, out->file, "origin", &g, err));
    SG_TRY(SG_NEW(&words, 2 * cells, "cell fingerprints", err));
    to_words(o->fingerprint, cells, words);
    SG_TRY(sg_h5_write_axis(out, g, "cell", cells, err));
    SG_TRY(sg_h5_write_axis(out, g, "word", 2, err));
    SG_TRY(sg_h5_write(out, g, &fingerprint, words, err));
    SG_TRY(sg_h5_write(out, g, &night, o->night, err));
    if (o->prompt) { /* there are no more queries than cells */
        to_words(o->prompt, r->n_queries, words);
        SG_TRY(sg_h5_write_axis(out, g, "query", r->n_queries, err));
        SG_TRY(sg_h5_write(out, g, &prompt, words, err));
    }
    SG_TRY(sg_h5_write_axis(out, g, "run", o->n_nights, err));
    SG_TRY(sg_h5_write_strings(out, g, "name", "run", o->n_nights, o->nights, "night", err));
    sg_digest_hex(sg_results_origin_digest(r), hex);
    SG_TRY(sg_h5_attr_str(out, g, NULL, "check", hex, err));
out:
    free(words);
    if (g >= 0) H5Gclose(g);
    return st;
}

static enum sg_status put_provenance(struct sg_h5_out *out, const struct sg_results *r, struct sg_digest d,
                                     struct sg_err *err) {
    enum sg_status st = SG_OK;
    hid_t g = -1;
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(d, hex);
    SG_TRY(sg_h5_group(out, out->file, "provenance", &g, err));
    const struct {
        const char *name, *value;
    } list[] = {{"name", r->name},
                {"version", r->version},
                {"fingerprint", r->fingerprint},
                {"digest", hex},
                {"finished_at", r->finished_at}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].value) SG_TRY(sg_h5_attr_str(out, g, NULL, list[i].name, list[i].value, err));
    if (r->origin.n_nights) {
        SG_TRY(sg_h5_attr_str(out, g, NULL, "night", r->origin.nights[r->origin.n_nights - 1], err));
        SG_TRY(sg_h5_attr_i64(out, g, NULL, "taken_over", r->origin.taken_over, err));
    }
    if (r->origin.since) SG_TRY(sg_h5_attr_str(out, g, NULL, "since", r->origin.since, err));
    if (r->job_text)
        SG_TRY(sg_h5_write_text(out, g, "job", r->job_text, "the job as JSON, defaults included", err));
out:
    if (g >= 0) H5Gclose(g);
    return st;
}

enum sg_status sg_results_writer_close(struct sg_results_writer *w, struct sg_results *r,
                                       struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_ASSERT(w->cells == w->n_cells && sg_results_n_cells(r) == w->n_cells);
    SG_ASSERT(r->format >= 2 || !r->calibration);
    if (w->group >= 0) {
        SG_TRY(put_texts(w, err));
        H5Gclose(w->group);
        w->group = -1;
        free(r->text_digest);
        r->text_digest = w->text_digest;
        w->text_digest = NULL;
    }
    const struct sg_digest d = r->digest = sg_results_digest(r);
    SG_TRY(put_root(&w->out, r, err));
    if (r->format >= 2) SG_TRY(put_anchors(&w->out, r, err));
    if (r->format >= 2) SG_TRY(put_calibration(&w->out, r, err));
    SG_TRY(put_failures(&w->out, r, err));
    SG_TRY(put_origin(&w->out, r, err));
    SG_TRY(put_provenance(&w->out, r, d, err));
    SG_TRY(sg__results_put_runtime(&w->out, &r->runtime, err));
    SG_TRY(sg_h5_commit(&w->out, err));
out:
    writer_free(w);
    return st;
}

enum sg_status sg_results_write(const char *path, const struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results_writer *w = NULL;
    /* The writer sets digest fields: of a copy, whose pointers stay the caller's. */
    struct sg_results copy = *r;
    if (r->text_digest)
        return sg_fail(err, SG_E_USAGE,
                       "%s: these results have texts, which only the streaming writer can write", path);
    const int64_t cells = sg_results_n_cells(r);
    SG_TRY(sg_results_writer_open(path, cells, r->n_samples, false, &w, err));
    for (int64_t i = 0; i < cells; i++) SG_TRY(sg_results_writer_cell(w, NULL, err));
    st = sg_results_writer_close(w, &copy, err);
    w = NULL;
out:
    sg_results_writer_abandon(w);
    return st;
}

#include "store/results.h"

#include "store/bytes.h"
#include "store/results_writer.h"
#include "store/schema.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_results_alloc(struct sg_results *r, int64_t n_queries, int64_t n_models, int64_t n_samples,
                                bool with_truth, struct sg_err *err) {
    memset(r, 0, sizeof *r);
    enum sg_status st = sg__results_sizes(n_queries, n_models, n_samples, err);
    if (st != SG_OK) return st;
    r->format = SG_RESULTS_PLAIN;
    r->n_queries = n_queries;
    r->n_models = n_models;
    r->n_samples = n_samples;
    SG_TRY(SG_NEW(&r->query, n_queries, "queries", err));
    SG_TRY(SG_NEW(&r->category, n_queries, "categories", err));
    SG_TRY(SG_NEW(&r->model, n_models, "models", err));
    for (int i = 0; i < sg__n_columns; i++) {
        const struct sg__column *c = &sg__columns[i];
        if (c->axes == SG_AXES_ANCHOR || (c->axes == SG_AXES_SAMPLE && !n_samples) ||
            (c->need == SG_NEED_TRUTH && !with_truth) || c->need == SG_NEED_SCORE)
            continue;
        SG_TRY(sg__column_new(r, c, err));
    }
out:
    if (st != SG_OK) sg_results_free(r);
    return st;
}

enum sg_status sg_results_alloc_anchors(struct sg_results *r, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg__results_sizes(n, r->n_models, 0, err));
    SG_TRY(SG_NEW(&r->anchors.id, n, "anchors", err));
    SG_TRY(SG_NEW(&r->anchors.category, n, "anchors", err));
    r->anchors.n = n;
    for (int i = 0; i < sg__n_columns; i++)
        if (sg__columns[i].axes == SG_AXES_ANCHOR && sg__columns[i].need != SG_NEED_SCORE)
            SG_TRY(sg__column_new(r, &sg__columns[i], err));
out:
    return st;
}

enum sg_status sg_results_alloc_calibration(struct sg_results *r, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg__results_sizes(r->n_queries + n, r->n_models, r->n_samples, err));
    SG_TRY(SG_NEW(&r->calibration, 1, "calibration", err));
    SG_TRY(sg_results_alloc(r->calibration, n, r->n_models, r->n_samples, true, err));
    sg__results_share_models(r);
out:
    return st;
}

enum sg_status sg_results_alloc_scores(struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int i = 0; i < sg__n_columns; i++) {
        const struct sg__column *c = &sg__columns[i];
        if (c->need != SG_NEED_SCORE ||
            !(c->axes == SG_AXES_ANCHOR ? r->anchors.n > 0 : r->true_correct != NULL))
            continue;
        free(sg__column_data(r, c));
        sg__column_set(r, c, NULL);
        SG_TRY(sg__column_new(r, c, err));
    }
    r->format = SG_RESULTS_VERSION;
    if (r->calibration) SG_TRY(sg_results_alloc_scores(r->calibration, err));
out:
    return st;
}

void sg__results_share_models(struct sg_results *r) {
    struct sg_results *c = r->calibration;
    const size_t prices = (size_t)r->n_models * sizeof *r->price_input;
    memcpy(c->model, r->model, (size_t)r->n_models * sizeof *r->model);
    memcpy(c->price_input, r->price_input, prices);
    memcpy(c->price_output, r->price_output, prices);
    memcpy(c->price_request, r->price_request, prices);
}

enum sg_status sg_results_alloc_ranks(struct sg_results *r, int64_t n_ranks, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(SG_NEW(&r->runtime.ranks, n_ranks, "ranks", err));
    r->runtime.n_ranks = n_ranks;
out:
    return st;
}

void sg_results_free(struct sg_results *r) {
    if (!r) return;
    for (int i = 0; i < sg__n_columns; i++) free(sg__column_data(r, &sg__columns[i]));
    free(r->query);
    free(r->category);
    free(r->model);
    free(r->anchors.id);
    free(r->anchors.category);
    sg_results_free(r->calibration);
    free(r->calibration);
    free(r->text_digest);
    free(r->failure_cell);
    free(r->failure_reason);
    free(r->origin.fingerprint);
    free(r->origin.night);
    free(r->origin.prompt);
    free(r->origin.nights);
    free(r->runtime.ranks);
    sg_arena_free(&r->strings);
    memset(r, 0, sizeof *r);
}

/* ---- digest ---- */

/* A chained hash in blocks: acc = H(acc, block). Needs no memory, so it cannot fail, and takes cells one by
 * one. All values little-endian, -0 as 0, every NaN as one. */
struct chain {
    unsigned char block[4096]; /* begins with the accumulator */
    size_t used;
};

static void chain_step(struct chain *c) {
    const struct sg_digest d = sg_digest_bytes(c->block, c->used);
    sg__save(c->block, d.hi, 8);
    sg__save(c->block + 8, d.lo, 8);
    c->used = 16;
}
static void chain_u64(struct chain *c, uint64_t v) {
    if (c->used + 8 > sizeof c->block) chain_step(c);
    sg__save(c->block + c->used, v, 8);
    c->used += 8;
}
static void chain_digest(struct chain *c, struct sg_digest d) {
    chain_u64(c, d.hi);
    chain_u64(c, d.lo);
}
static void chain_string(struct chain *c, const char *s) {
    chain_digest(c, sg_digest_bytes(s ? s : "", s ? strlen(s) : 0));
}
static void chain_double(struct chain *c, double v) {
    uint64_t bits;
    if (v == 0) v = 0;
    memcpy(&bits, &v, sizeof bits);
    chain_u64(c, isnan(v) ? 0x7ff8000000000000u : bits);
}

static void chain_element(struct chain *c, enum sg_h5_type type, const void *data, int64_t i) {
    switch (type) {
    case SG_H5_I8:
        chain_u64(c, (uint64_t)((const int8_t *)data)[i]);
        break;
    case SG_H5_U8:
        chain_u64(c, ((const uint8_t *)data)[i]);
        break;
    case SG_H5_I32:
        chain_u64(c, (uint64_t)((const int32_t *)data)[i]);
        break;
    case SG_H5_I64:
    case SG_H5_U64:
        chain_u64(c, ((const uint64_t *)data)[i]);
        break;
    case SG_H5_F32:
        chain_double(c, (double)((const float *)data)[i]);
        break;
    case SG_H5_F64:
        chain_double(c, ((const double *)data)[i]);
        break;
    case SG_H5_TYPE_COUNT:
        break;
    }
}

static void chain_row(struct chain *c, const struct sg_results *r, enum sg__axes axes, int64_t first,
                      int64_t n) {
    for (int i = 0; i < sg__n_columns; i++) {
        const struct sg__column *col = &sg__columns[i];
        const void *data = sg__column_data(r, col);
        if (col->axes != axes || !data || col->since > r->format) continue;
        for (int64_t k = first; k < first + n; k++) chain_element(c, col->var.type, data, k);
    }
}

/* What version 2 has beside version 1. */
static void chain_anchors(struct chain *c, const struct sg_results *r) {
    chain_u64(c, (uint64_t)r->anchors.n);
    for (int64_t a = 0; a < r->anchors.n; a++) {
        chain_string(c, r->anchors.id[a]);
        chain_string(c, r->anchors.category[a]);
        chain_row(c, r, SG_AXES_ANCHOR, a * r->n_models, r->n_models);
    }
    chain_u64(c, r->calibration != NULL);
    if (!r->calibration) return;
    chain_digest(c, sg_results_digest(r->calibration));
    if (r->text_digest)
        for (int64_t i = r->n_queries * r->n_models; i < sg_results_n_cells(r); i++)
            chain_digest(c, r->text_digest[i]);
}

struct sg_digest sg_results_digest(const struct sg_results *r) {
    struct chain c = {.used = 16};
    chain_string(&c, SG_RESULTS_FORMAT);
    chain_u64(&c, (uint64_t)r->format);
    chain_u64(&c, (uint64_t)r->n_queries);
    chain_u64(&c, (uint64_t)r->n_models);
    chain_u64(&c, (uint64_t)r->n_samples);
    for (int i = 0; i < sg__n_columns; i++)
        if (sg__columns[i].since <= r->format) chain_u64(&c, sg__column_data(r, &sg__columns[i]) != NULL);
    chain_u64(&c, r->text_digest != NULL);
    for (int64_t q = 0; q < r->n_queries; q++) {
        chain_string(&c, r->query[q]);
        chain_string(&c, r->category[q]);
        chain_row(&c, r, SG_AXES_QUERY, q, 1);
    }
    for (int64_t m = 0; m < r->n_models; m++) {
        chain_string(&c, r->model[m]);
        chain_row(&c, r, SG_AXES_MODEL, m, 1);
    }
    const int64_t cells = r->n_queries * r->n_models;
    for (int64_t i = 0; i < cells; i++) {
        chain_row(&c, r, SG_AXES_CELL, i, 1);
        chain_row(&c, r, SG_AXES_SAMPLE, i * r->n_samples, r->n_samples);
        if (r->text_digest) chain_digest(&c, r->text_digest[i]);
    }
    if (r->format >= 2) chain_anchors(&c, r);
    chain_step(&c);
    return (struct sg_digest){.hi = sg__load(c.block, 8), .lo = sg__load(c.block + 8, 8)};
}

struct sg_digest sg_results_origin_digest(const struct sg_results *r) {
    struct chain c = {.used = 16};
    const int64_t cells = sg_results_n_cells(r);
    chain_string(&c, "scope-grid origin");
    chain_digest(&c, r->digest);
    chain_u64(&c, (uint64_t)r->origin.n_nights);
    for (int64_t i = 0; i < r->origin.n_nights; i++) chain_string(&c, r->origin.nights[i]);
    for (int64_t i = 0; i < cells; i++) {
        chain_digest(&c, r->origin.fingerprint[i]);
        chain_u64(&c, (uint64_t)r->origin.night[i]);
    }
    for (int64_t q = 0; r->origin.prompt && q < r->n_queries; q++) chain_digest(&c, r->origin.prompt[q]);
    chain_step(&c);
    return (struct sg_digest){.hi = sg__load(c.block, 8), .lo = sg__load(c.block + 8, 8)};
}

struct sg_digest sg_results_text_digest(const struct sg_cell *cell) {
    struct chain c = {.used = 16};
    for (int32_t i = 0; i < cell->n_samples; i++) {
        const struct sg_cell_sample *s = &cell->samples[i];
        const size_t n = s->text ? (size_t)s->text_bytes : 0;
        chain_u64(&c, n);
        chain_digest(&c, sg_digest_bytes(s->text, n));
    }
    chain_step(&c);
    return (struct sg_digest){.hi = sg__load(c.block, 8), .lo = sg__load(c.block + 8, 8)};
}

#include "job/ranking.h"

#include "base/utf8.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EMBED_CODE_POINTS = 2000 };

struct sg__ranker {
    struct sg_plan *p;
    const struct sg_plan_inputs *in;
    struct sg_doc *anchors;     /* [n_anchors] */
    struct sg_tfidf *tfidf;     /* method tfidf */
    float *vectors, *v;         /* method embedding: [n_anchors * dim], and that of a query [dim] */
    double *score;              /* [n_anchors] */
    struct sg__anchor_rows own; /* method file */
};

static struct sg_doc doc_of(const struct sg_query *q) {
    return (struct sg_doc){.id = q->id, .s = q->prompt.s, .n = q->prompt.n};
}

void sg__ranker_free(struct sg__ranker *r) {
    if (!r) return;
    sg_tfidf_free(r->tfidf);
    free(r->anchors);
    free(r->vectors);
    free(r->v);
    free(r->score);
    free(r->own.ranked);
    free(r->own.have);
    free(r);
}

static enum sg_status embed_one(const struct sg_plan_inputs *in, const struct sg_doc *d, float *out,
                                struct sg_err *err) {
    int64_t n = (int64_t)sg_utf8_prefix(d->s, (size_t)d->n, EMBED_CODE_POINTS);
    enum sg_status st = in->embed(in->embed_ctx, d->s, n, out, err);
    if (st != SG_OK) {
        sg_err_at(err, "embedding of \"%s\"", d->id);
        return st;
    }
    for (int32_t i = 0; i < in->embed_dim; i++)
        if (!isfinite(out[i]))
            return sg_fail(err, SG_E_INPUT, "embedding of \"%s\": value %d is not finite", d->id, (int)i);
    return SG_OK;
}

static enum sg_status embed_anchors(struct sg__ranker *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan_inputs *in = r->in;
    size_t n;
    if (!in->embed || in->embed_dim < 1)
        return sg_fail(err, SG_E_UNSUPPORTED,
                       "%s: prompt.similarity.method \"embedding\" cannot be computed here", r->p->job.path);
    if (!sg_mul_size((size_t)r->p->n_anchors, (size_t)in->embed_dim, &n))
        return sg_fail(err, SG_E_NOMEM, "anchor embeddings: size overflow");
    SG_TRY(SG_NEW(&r->vectors, n, "anchor embeddings", err));
    SG_TRY(SG_NEW(&r->v, in->embed_dim, "query embedding", err));
    SG_TRY(SG_NEW(&r->score, r->p->n_anchors, "similarities", err));
    for (int64_t a = 0; a < r->p->n_anchors; a++)
        SG_TRY(embed_one(in, &r->anchors[a], r->vectors + a * in->embed_dim, err));
out:
    return st;
}

static enum sg_status read_file(struct sg__ranker *r, const struct sg__questions *queries,
                                const struct sg__questions *anchors, bool with_anchors, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan *p = r->p;
    struct sg__records records = {.fd = -1};
    if (with_anchors) {
        SG_TRY(SG_NEW(&r->own.ranked, p->n_anchors * p->top_k, "similar anchors", err));
        SG_TRY(SG_NEW(&r->own.have, p->n_anchors, "similar anchors", err));
    }
    SG_TRY(sg__records_open(p->job.prompt.similarity.path, &records, err));
    SG_TRY(sg__similarity_read(&records, queries, anchors, p->top_k, p->ranked, with_anchors ? &r->own : NULL,
                               err));
out:
    sg__records_close(&records);
    return st;
}

enum sg_status sg__ranker_new(struct sg_plan *p, const struct sg_plan_inputs *in,
                              const struct sg__questions *queries, const struct sg__questions *anchors,
                              bool with_anchors, struct sg__ranker **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__ranker *r = NULL;
    SG_TRY(SG_NEW(&r, 1, "similar anchors", err));
    r->p = p;
    r->in = in;
    SG_TRY(SG_NEW(&r->anchors, p->n_anchors, "questions", err));
    for (int64_t a = 0; a < p->n_anchors; a++) r->anchors[a] = doc_of(&p->anchors[a]);
    switch (p->job.prompt.similarity.method) {
    case SG_SIM_TFIDF:
        SG_TRY(sg_tfidf_new(r->anchors, p->n_anchors, &r->tfidf, err));
        break;
    case SG_SIM_EMBEDDING:
        SG_TRY(embed_anchors(r, err));
        break;
    case SG_SIM_FILE:
        SG_TRY(read_file(r, queries, anchors, with_anchors, err));
        break;
    }
    *out = r;
    r = NULL;
out:
    sg__ranker_free(r);
    return st;
}

static void select_near(struct sg__ranker *r, const struct sg_doc *doc, const float *v,
                        struct sg_cell_anchor *row) {
    const struct sg_plan *p = r->p;
    sg_anchors_dot(v, r->vectors, p->n_anchors, r->in->embed_dim, r->score);
    sg_anchors_select(doc, r->anchors, p->n_anchors, r->score, p->top_k, row);
}

enum sg_status sg__ranker_queries(struct sg__ranker *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *p = r->p;
    for (int64_t q = 0; q < p->n_queries; q++) {
        const struct sg_doc doc = doc_of(&p->queries[q]);
        struct sg_cell_anchor *row = p->ranked + q * p->top_k;
        if (r->tfidf) {
            SG_TRY(sg_tfidf_rank(r->tfidf, &doc, p->top_k, row, err));
        } else if (r->vectors) {
            SG_TRY(embed_one(r->in, &doc, r->v, err));
            select_near(r, &doc, r->v, row);
        } /* a similarity file has filled the row */
    }
out:
    return st;
}

bool sg__ranker_knows(const struct sg__ranker *r, int64_t anchor) {
    return r->tfidf || r->vectors || (r->own.have && r->own.have[anchor]);
}

enum sg_status sg__ranker_anchor(struct sg__ranker *r, int64_t anchor, struct sg_cell_anchor *row,
                                 struct sg_err *err) {
    const int32_t k = r->p->top_k;
    const struct sg_doc *doc = &r->anchors[anchor];
    if (r->tfidf) return sg_tfidf_rank(r->tfidf, doc, k, row, err);
    if (r->vectors)
        select_near(r, doc, r->vectors + anchor * r->in->embed_dim, row);
    else if (k)
        memcpy(row, r->own.ranked + anchor * k, (size_t)k * sizeof *row);
    return SG_OK;
}

/* --- what prompt.missing asks of a ranking --------------------------------------------------------- */

enum sg_status sg__complete_anchors(const struct sg_plan *p, bool **complete, struct sg_err *err) {
    enum sg_status st = SG_NEW(complete, p->n_anchors, "anchors", err);
    for (int64_t a = 0; a < p->n_anchors && st == SG_OK; a++) {
        (*complete)[a] = true;
        for (int64_t m = 0; m < p->n_models; m++)
            (*complete)[a] &= p->anchor_outcomes[a * p->n_models + m].known;
    }
    return st;
}

bool sg__row_lacks(const struct sg_plan *p, const bool *complete, const struct sg_cell_anchor *row,
                   int64_t *model, int32_t *anchor) {
    const bool strict = p->job.prompt.missing == SG_MISSING_ERROR;
    int32_t shown = 0, incomplete = 0;
    for (int32_t i = 0; i < p->top_k && shown < p->job.prompt.anchors && row[i].anchor >= 0; i++, shown++)
        incomplete += !complete[row[i].anchor];
    if (!incomplete) return false;
    for (int64_t m = 0; m < p->n_models; m++) {
        int32_t lacking = -1, found = 0;
        for (int32_t i = 0; i < (strict ? shown : p->top_k) && row[i].anchor >= 0; i++) {
            if (p->anchor_outcomes[row[i].anchor * p->n_models + m].known)
                found++;
            else if (lacking < 0)
                lacking = row[i].anchor;
        }
        if (strict ? lacking < 0 : found > 0) continue;
        if (model) *model = m;
        if (anchor) *anchor = lacking;
        return true;
    }
    return false;
}

/* anchors - which anchors are nearest to a query: cosine over tf-idf vectors, or over vectors that somebody
 * else computed, and the choice of the k best.
 *
 * tf-idf: a token is a run of ASCII letters, digits, '_' and bytes >= 0x80 (so any word of UTF-8 text), with
 * ASCII letters lowered, or one ASCII punctuation character (code and formulas differ in those; with words
 * alone the k-nearest-anchor estimate on ZeroEval has AUC 0.785, with punctuation 0.791: tests/bench/
 * anchors_quality.py). Weight of a token that stands n times: (1 + ln n) * idf, idf = ln((1 + N) / (1 + df))
 * + 1 over the N anchors (the smooth form of scikit-learn; fitted on the anchors alone, so that a query's
 * anchors do not depend on the other queries). Vectors are L2-normalised. A query's tokens that no anchor
 * has are left out: they would only scale all its similarities alike.
 *
 * Rules for every method: ties go to the higher index (numpy's argsort reversed); an anchor with the query's
 * id or the query's very text is never used. Sums run in a fixed order: same input, same bits. */
#ifndef SG_CELL_ANCHORS_H
#define SG_CELL_ANCHORS_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_cell_anchor {
    int32_t anchor; /* index; -1: none (fewer anchors than k) */
    float similarity;
};

/* One question. Borrowed: id NUL-terminated, s has n bytes. */
struct sg_doc {
    const char *id, *s;
    int64_t n;
};

/* Same id or same text. */
bool sg_anchor_is_query(const struct sg_doc *query, const struct sg_doc *anchor);

/* The k anchors of highest score [n_anchors], best first, into out[k]; the rest {-1, 0}. */
void sg_anchors_select(const struct sg_doc *query, const struct sg_doc *anchors, int64_t n_anchors,
                       const double *score, int32_t k, struct sg_cell_anchor *out);

/* tf-idf vectors of the anchors, which stay the caller's and must live as long. SG_E_NOMEM only. */
struct sg_tfidf;
enum sg_status sg_tfidf_new(const struct sg_doc *anchors, int64_t n_anchors, struct sg_tfidf **out,
                            struct sg_err *err);
/* The k anchors nearest to the query, into out[k]. SG_E_NOMEM only. */
enum sg_status sg_tfidf_rank(struct sg_tfidf *t, const struct sg_doc *query, int32_t k,
                             struct sg_cell_anchor *out, struct sg_err *err);
void sg_tfidf_free(struct sg_tfidf *t); /* NULL accepted */

/* score[i] = dot product of v[dim] with vectors[i * dim], in double; all L2-normalised by their maker. */
void sg_anchors_dot(const float *v, const float *vectors, int64_t n_anchors, int32_t dim, double *score);

#endif

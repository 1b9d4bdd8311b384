/* ranking - ranks the anchors of a plan for its queries, and for anchors as if they were queries. */
#ifndef SG_JOB_RANKING_H
#define SG_JOB_RANKING_H

#include "job/corpus.h"
#include "job/plan.h"

struct sg__ranker; /* of one plan under construction; the caller frees it */

/* p->queries and p->anchors are set and p->ranked has room. With_anchors: anchors can be ranked too. The
 * ranker borrows p, in and the sources. Reads the similarity file, or embeds the anchors. */
enum sg_status sg__ranker_new(struct sg_plan *p, const struct sg_plan_inputs *in,
                              const struct sg__questions *queries, const struct sg__questions *anchors,
                              bool with_anchors, struct sg__ranker **out, struct sg_err *err);
/* Fills p->ranked for all queries. */
enum sg_status sg__ranker_queries(struct sg__ranker *r, struct sg_err *err);
/* Whether the anchor can be ranked: false where a similarity file has no record for it. */
bool sg__ranker_knows(const struct sg__ranker *r, int64_t anchor);
/* The anchors nearest to `anchor`, which has sg__ranker_knows, into row[p->top_k]; itself, and others with its
 * text, left out. */
enum sg_status sg__ranker_anchor(struct sg__ranker *r, int64_t anchor, struct sg_cell_anchor *row,
                                 struct sg_err *err);
void sg__ranker_free(struct sg__ranker *r); /* NULL accepted */

/* complete[n_anchors], the caller's: whether the anchor has an outcome of every model. */
enum sg_status sg__complete_anchors(const struct sg_plan *p, bool **complete, struct sg_err *err);
/* Whether prompt.missing refuses a row[top_k] of ranked anchors: of some model an anchor that is shown lacks
 * an outcome ("error"), or all have none ("next"). Sets *model, and *anchor to the first that lacks one (each
 * may be NULL). */
bool sg__row_lacks(const struct sg_plan *p, const bool *complete, const struct sg_cell_anchor *row,
                   int64_t *model, int32_t *anchor);

#endif

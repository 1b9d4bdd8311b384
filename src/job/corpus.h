/* corpus - the data files a job names, read record by record into arrays: questions, the portfolio of
 * models, known outcomes, and a similarity file. Records may hold more keys than are read here. Every error
 * names file and line. */
#ifndef SG_JOB_CORPUS_H
#define SG_JOB_CORPUS_H

#include "base/ids.h"
#include "job/plan.h"
#include "job/records.h"

/* Queries or anchors. Strings live in the arena that was given to the reader. */
struct sg__questions {
    struct sg_query *items;
    int64_t *lines; /* where each was read, for errors about pairs */
    int64_t n;
    size_t cap, cap_lines;
    struct sg_ids ids;
};
/* {id, prompt | question, category?}. `what` is "queries" or "anchors", for errors. Refused: an id twice, an
 * empty id or text, no record at all unless `may_be_empty`. */
enum sg_status sg__questions_read(struct sg__records *r, const char *what, bool may_be_empty,
                                  struct sg_arena *strings, struct sg__questions *out, struct sg_err *err);
void sg__questions_free(struct sg__questions *q);

struct sg__portfolio {
    struct sg_portfolio_model *items;
    int64_t *lines;
    int64_t n;
    size_t cap, cap_lines;
    struct sg_ids ids, names; /* names: short names that belong to one model alone */
};
/* {id, name?, input, output}: prices in USD per million tokens, finite and not negative, both needed. */
enum sg_status sg__portfolio_read(struct sg__records *r, struct sg_arena *strings, struct sg__portfolio *out,
                                  struct sg_err *err);
void sg__portfolio_free(struct sg__portfolio *p);
/* The model an outcome means: by id, else by short name; -1 when there is none. */
int64_t sg__portfolio_find(const struct sg__portfolio *p, const char *name);

/* {id, model_name, is_correct: bool or 0/1, usage_completion_tokens, usage_prompt_tokens?} into truth
 * [queries * models] and anchor_outcomes [anchors * models], both zeroed. A question in neither set is
 * counted in *unused (data sets hold more questions than one run asks); an unknown model, or an outcome told
 * twice, is an error. *n_truth counts outcomes on queries. */
enum sg_status sg__outcomes_read(struct sg__records *r, const struct sg__questions *queries,
                                 const struct sg__questions *anchors, const struct sg__portfolio *models,
                                 struct sg_outcome *truth, struct sg_outcome *anchor_outcomes,
                                 int64_t *n_truth, int64_t *unused, struct sg_err *err);

/* The reference's similarity file: {router_id, similar_anchors: [{anchor_id, similarity}]}, into
 * ranked[queries * k]: highest similarity first, equal ones as listed, the query itself left out, at most k.
 * Records of other queries are passed over; a query without a record, or an unknown anchor, is an error. */
enum sg_status sg__similarity_read(struct sg__records *r, const struct sg__questions *queries,
                                   const struct sg__questions *anchors, int32_t k,
                                   struct sg_cell_anchor *ranked, struct sg_err *err);

#endif

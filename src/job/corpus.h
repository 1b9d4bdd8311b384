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

/* A second way to say a model in outcomes. */
struct sg__model_name {
    const char *s;
    int64_t model;
    bool alias; /* given in aliases: no other model may bear it */
};
struct sg__portfolio {
    struct sg_portfolio_model *items;
    int64_t *lines;
    struct sg__model_name
        *names; /* [n_names]: short names, provider ids, aliases, in the order of the file */
    int64_t n, n_names;
    size_t cap, cap_lines, cap_names;
    struct sg_ids ids, by_name;           /* by_name: the names that belong to one model alone */
    const char *as_of_first, *as_of_last; /* of all entries' dates; NULL when none has one */
};
/* {id, name?, provider_id?, aliases?, as_of?, input, output, batch_input?, batch_output?, request?}: prices in USD per
 * million tokens, finite and not negative; input and output are needed, batch prices come in pairs. as_of is
 * the date of the prices, YYYY-MM-DD. A name or provider id that two models bear says neither; an alias that is
 * another model's too is an error. */
enum sg_status sg__portfolio_read(struct sg__records *r, struct sg_arena *strings, struct sg__portfolio *out,
                                  struct sg_err *err);
void sg__portfolio_free(struct sg__portfolio *p);
/* The model an outcome means: by id, else by one of its names; -1 when there is none. */
int64_t sg__portfolio_find(const struct sg__portfolio *p, const char *name);

struct sg__outcomes {
    double correct_at;                          /* given: least score that is correct */
    struct sg_outcome *truth, *anchor_outcomes; /* given: [queries * models], [anchors * models], zeroed */
    int64_t n_truth;                            /* outcomes on queries */
    int64_t unused; /* on questions in neither set: data sets hold more questions than one run asks */
    struct sg_unknown_model *unknown; /* [n_unknown]: most outcomes first, then by name */
    int64_t n_unknown;
};
/* {id, model_name, is_correct: bool or 0/1, score: 0..1, usage_completion_tokens, usage_prompt_tokens?} into *out;
 * is_correct or score must be there, and agree where both are: correct from correct_at on. Records of a model that the
 * portfolio does not have are counted by name and otherwise passed over; an outcome told twice is an error. On failure
 * *out keeps what was given alone. */
enum sg_status sg__outcomes_read(struct sg__records *r, const struct sg__questions *queries,
                                 const struct sg__questions *anchors, const struct sg__portfolio *models,
                                 struct sg_arena *strings, struct sg__outcomes *out, struct sg_err *err);
void sg__outcomes_free(struct sg__outcomes *o); /* frees unknown alone */

/* The anchors' own rows of a similarity file, for those that have a record. */
struct sg__anchor_rows {
    struct sg_cell_anchor *ranked; /* [anchors * k] */
    bool *have;                    /* [anchors] */
};
/* The reference's similarity file: {router_id, similar_anchors: [{anchor_id, similarity}]}, into
 * ranked[queries * k]: highest similarity first, equal ones as listed, the query itself left out, at most k.
 * Records of other queries are passed over; a query without a record, or an unknown anchor, is an error.
 * own (NULL: not asked for): records whose router_id is an anchor go there too, without the anchors that the
 * job does not have, and of two the first: a file that was good enough without them stays so. */
enum sg_status sg__similarity_read(struct sg__records *r, const struct sg__questions *queries,
                                   const struct sg__questions *anchors, int32_t k,
                                   struct sg_cell_anchor *ranked, struct sg__anchor_rows *own,
                                   struct sg_err *err);

#endif

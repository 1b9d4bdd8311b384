/* decision_holes - models of which a stratum has no outcome. What is said of one there is a prior: by how much that errs. */
#ifndef SG_ANALYSIS_DECISION_HOLES_H
#define SG_ANALYSIS_DECISION_HOLES_H

#include "decision_work.h"

/* Fills w->hole, where any model lacks all outcomes in a stratum that queries are in; else leaves it NULL. Before the
 * splits: w->outcomes, w->p, w->c and the rules of w->out are those of all outcomes. */
enum sg_status sg__find_holes(struct sg__work *w, struct sg_err *err);

/* Adds to the error of kind x less f times kind y (-1: of x alone) that of the priors which they answer by. */
void sg__add_holes(const struct sg__work *w, int32_t x, int32_t y, double f, bool cost,
                   struct sg__estimate *e);
/* The same of model k alone, for everything. */
void sg__add_model_holes(const struct sg__work *w, int32_t k, bool cost, struct sg__estimate *e);
/* Kind `to` now answers as kind `of`. */
void sg__copy_holes(struct sg__work *w, int32_t to, int32_t of);

#endif

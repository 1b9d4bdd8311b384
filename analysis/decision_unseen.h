/* decision_unseen - categories of the queries of which no outcome values anything. The others stand for them: by how much
 * that errs. */
#ifndef SG_ANALYSIS_DECISION_UNSEEN_H
#define SG_ANALYSIS_DECISION_UNSEEN_H

#include "decision_work.h"

/* Fills w->unseen, where any category of the queries has no outcome; else leaves it NULL. Before the splits: w->outcomes,
 * w->p, w->c and the rules of w->out are those of all outcomes. */
enum sg_status sg__find_unseen(struct sg__work *w, struct sg_err *err);

/* Adds to the error of row x less f times row y (-1: of x alone) how far categories differ. A row is a kind at a budget, or
 * after those a model by itself. cost: of the bill, else of the accuracy. */
void sg__add_unseen(const struct sg__work *w, int32_t x, int32_t y, double f, bool cost,
                    struct sg__estimate *e);
/* Kind `to` now answers as kind `of`. */
void sg__copy_unseen(struct sg__work *w, int32_t to, int32_t of);

#endif

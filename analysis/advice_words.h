/* advice_words - the advice in sentences. All strings live in the advice's arena. */
#ifndef SG_ANALYSIS_ADVICE_WORDS_H
#define SG_ANALYSIS_ADVICE_WORDS_H

#include "advice.h"
#include "prompts.h"

enum sg_status sg__words_estimate(struct sg_advice *a, bool asked, struct sg_err *err);
enum sg_status sg__words_budget(struct sg_advice *a, double budget, const char **out, struct sg_err *err);
enum sg_status sg__words_step(const struct sg_dataset *d, struct sg_advice *a, struct sg_advice_step *s,
                              struct sg_err *err);
/* The doubt that no anchor has a category of the queries. */
enum sg_status sg__words_foreign(struct sg_advice *a, struct sg_err *err);
/* A doubt about the category: `shift`: its queries are less like the anchors than the anchors are. */
enum sg_status sg__words_category(struct sg_advice *a, struct sg_advice_category *c, bool shift, bool anchors,
                                  struct sg_err *err);
/* The doubt about prompts that the estimator counted. */
enum sg_status sg__words_prompts(const struct sg_dataset *d, struct sg_advice *a,
                                 const struct sg_prompt_doubt *x, struct sg_err *err);
/* The answer in short, and the doubts that no category has. */
enum sg_status sg__words_answer(const struct sg_dataset *d, struct sg_advice *a, struct sg_err *err);

#endif

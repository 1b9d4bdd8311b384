/* prompts - the prompt tokens that bills are made of, where no outcome of a query says them.
 *
 * The estimator's tokenizer then counts the query's text. It knows neither a model's own tokens nor what a harness adds to a
 * prompt. As the lengths of answers are (estimates.h), counts are therefore scaled by model and category, to the mean of what
 * anchors of the category were billed. */
#ifndef SG_ANALYSIS_PROMPTS_H
#define SG_ANALYSIS_PROMPTS_H

#include "dataset.h"
#include "decision.h"

/* Sets d->prompt where some prompt was counted, and moves d->c by what that adds. A category without anchors that say what
 * the model billed is scaled as the others together; without any such anchor counts stay. None is scaled below half: no
 * tokenizer is that much better, and queries that are longer than the anchors stay so. The same whichever queries are chosen: all of the file count. Once. */
enum sg_status sg_scale_prompts(struct sg_dataset *d, struct sg_err *err);

/* The model whose bill that moves most: mean tokens of its counted prompts, what they are taken as, and the share of its bill
 * (bill [m]) that lies between; model -1, moves 0: none. */
struct sg_prompt_doubt {
    int32_t model;
    double counted, taken, moves;
};
struct sg_prompt_doubt sg_prompt_doubt(const struct sg_dataset *d, const struct sg_value *bill);

#endif

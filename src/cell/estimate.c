#include "cell/estimate.h"

#include <math.h>

double sg_call_cost(struct sg_price price, double prompt_tokens, double completion_tokens) {
    return prompt_tokens / 1e6 * price.input + completion_tokens / 1e6 * price.output + price.request;
}

/* A verdict is whole or it is none: an answer without a length tells nothing about cost. */
static bool parsed(const struct sg_cell_sample *s) {
    return (s->correct == SG_ANSWER_YES || s->correct == SG_ANSWER_NO) && s->length >= 0;
}

void sg_cell_estimate(struct sg_cell *cell, struct sg_price price) {
    cell->valid = false;
    cell->p_correct = cell->length_mean = cell->length_sd = cell->cost = NAN;
    cell->votes_yes = cell->votes_no = cell->votes_unparsed = 0;
    cell->output_tokens = 0;

    double length_sum = 0, p_sum = 0;
    int32_t n_p = 0;
    for (int32_t i = 0; i < cell->n_samples; i++) {
        const struct sg_cell_sample *s = &cell->samples[i];
        cell->output_tokens += s->tokens;
        if (!parsed(s)) {
            cell->votes_unparsed++;
            continue;
        }
        if (s->correct == SG_ANSWER_YES)
            cell->votes_yes++;
        else
            cell->votes_no++;
        length_sum += (double)s->length;
        if (!isnan(s->p_yes)) {
            p_sum += (double)s->p_yes;
            n_p++;
        }
    }
    const int32_t n = cell->votes_yes + cell->votes_no;
    if (cell->status != SG_OK || n == 0) return;

    cell->valid = true;
    cell->p_correct = n_p ? p_sum / n_p : (double)cell->votes_yes / n;
    cell->length_mean = length_sum / n;
    /* Two passes: the textbook one-pass form loses the digits of a small spread around a large mean. */
    double squares = 0;
    for (int32_t i = 0; i < cell->n_samples; i++) {
        if (!parsed(&cell->samples[i])) continue;
        const double d = (double)cell->samples[i].length - cell->length_mean;
        squares += d * d;
    }
    cell->length_sd = n > 1 ? sqrt(squares / (n - 1)) : 0;
    cell->cost = sg_call_cost(price, cell->prompt_tokens, cell->length_mean);
}

/* cell - what is known about one (query, model) pair after its samples are in. Plain data, no behaviour:
 * what src/cell/estimate makes, segments store, the merge writes and the analysis reads. */
#ifndef SG_CELL_H
#define SG_CELL_H

#include <stdbool.h>
#include <stdint.h>

/* The answer a sample gave. */
enum sg_answer { SG_ANSWER_NO = 0, SG_ANSWER_YES = 1, SG_ANSWER_UNPARSED = -1 };

/* One sample's verdict as stored. */
struct sg_cell_sample {
    int8_t correct;     /* enum sg_answer */
    uint8_t finish;     /* enum sg_finish of the engine (its names are written beside the data) */
    int32_t tokens;     /* tokens the estimator wrote */
    int64_t length;     /* predicted completion tokens; -1 when unparsed */
    float p_yes;        /* p(yes) at the answer to `correct:`; NaN when there was none */
    const char *text;   /* the analysis and verdict as written (UTF-8), or NULL when texts are off */
    int64_t text_bytes; /* without NUL */
};

/* One cell. Aggregates are over parsed samples; NaN where no sample was parsed (then valid is false:
 * an unparsed cell is missing, never free and never wrong). */
struct sg_cell {
    int32_t query, model; /* indices in the plan's axes */
    bool valid;           /* at least one sample parsed and no failure */
    double p_correct;     /* mean p_yes over samples that have one */
    int32_t votes_yes, votes_no, votes_unparsed;
    double length_mean, length_sd; /* tokens; sd with n-1, 0 for one sample */
    double
        cost; /* USD of one call: prompt_tokens and length_mean at the portfolio's prices, and the request's */
    int32_t prompt_tokens; /* of the query as the target model would be billed */
    int64_t output_tokens; /* tokens the estimator wrote for this cell, all samples */
    int32_t estimator_prompt_tokens;
    int32_t n_samples;
    struct sg_cell_sample *samples; /* [n_samples] */
    int32_t status;                 /* enum sg_status: why it failed, SG_OK otherwise */
    const char *reason;             /* NULL, or one line saying why it failed */
};

#endif

#include "store/schema.h"

#include "base/finish.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int32_t yes_no[] = {0, 1};
#define FINISH_CODE(code, name) code,
static const int32_t finish_codes[] = {SG_FINISH_LIST(FINISH_CODE)};
#undef FINISH_CODE
#define FINISH_NAME(code, name) " " name
static const char finish_names[] = SG_FINISH_LIST(FINISH_NAME);
#undef FINISH_NAME
/* Single words for flag_meanings: the names of enum sg_status hold blanks. */
static const int32_t status_codes[] = {
    -1,      SG_OK,      SG_E_USAGE, SG_E_INPUT,   SG_E_UNSUPPORTED, SG_E_CORRUPT, SG_E_MISMATCH,
    SG_E_IO, SG_E_NOMEM, SG_E_BUSY,  SG_E_PARTIAL, SG_E_DEVICE,      SG_E_STOPPED, SG_E_INTERNAL};
static const char status_names[] = "never_computed ok usage bad_input unsupported corrupt mismatch io_error "
                                   "out_of_memory busy incomplete device_error stopped internal_error";
_Static_assert(sizeof status_codes / sizeof *status_codes == SG_STATUS_COUNT + 1,
               "a status has no word in results.h5");

#define COUNT(a)    (int)(sizeof(a) / sizeof *(a))
#define AXES_MODEL  .rank = 1, .axes = {"model"}
#define AXES_QUERY  .rank = 1, .axes = {"query"}
#define AXES_CELL   .rank = 2, .axes = {"query", "model"}
#define AXES_SAMPLE .rank = 3, .axes = {"query", "model", "sample"}
#define AXES_ANCHOR .rank = 2, .axes = {"anchor", "model"}
#define COLUMN(since_, AX, field, h5name, h5type, need_, fill_, units_, long_, ...)                          \
    {                                                                                                        \
        .offset = offsetof(struct sg_results, field), .axes = SG_##AX, .need = need_, .fill = fill_,         \
        .since = since_, .var = {                                                                            \
            .name = h5name,                                                                                  \
            .type = h5type,                                                                                  \
            AX,                                                                                              \
            .units = units_,                                                                                 \
            .long_name = long_,                                                                              \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define FLAGS(values, meanings) .n_flags = COUNT(values), .flag_values = values, .flag_meanings = meanings
#define NO_FLAGS                .n_flags = 0
#define MISSING                 .has_missing = true, .missing = -1

/* clang-format off */
const struct sg__column sg__columns[] = {
    COLUMN(1, AXES_MODEL, price_input, "input_price", SG_H5_F64, SG_NEED_ALWAYS, 0, "USD per million tokens",
           "price of prompt tokens", NO_FLAGS),
    COLUMN(1, AXES_MODEL, price_output, "output_price", SG_H5_F64, SG_NEED_ALWAYS, 0, "USD per million tokens",
           "price of completion tokens", NO_FLAGS),
    COLUMN(2, AXES_MODEL, price_request, "request_price", SG_H5_F64, SG_NEED_OPTIONAL, 0, "USD",
           "price of a call beside its tokens", NO_FLAGS),

    COLUMN(1, AXES_CELL, valid, "valid", SG_H5_U8, SG_NEED_ALWAYS, 0, NULL,
           "1 where the cell was computed and a sample of it parsed", FLAGS(yes_no, "missing present")),
    COLUMN(1, AXES_CELL, p_correct, "p_correct", SG_H5_F64, SG_NEED_ALWAYS, 0, "1",
           "estimated probability that the model answers correctly (mean p_yes of the samples)", NO_FLAGS),
    COLUMN(1, AXES_CELL, votes_yes, "votes_yes", SG_H5_I32, SG_NEED_ALWAYS, 0, "samples",
           "samples that say correct: yes", NO_FLAGS),
    COLUMN(1, AXES_CELL, votes_no, "votes_no", SG_H5_I32, SG_NEED_ALWAYS, 0, "samples",
           "samples that say correct: no", NO_FLAGS),
    COLUMN(1, AXES_CELL, votes_unparsed, "votes_unparsed", SG_H5_I32, SG_NEED_ALWAYS, 0, "samples",
           "samples without a well-formed verdict", NO_FLAGS),
    COLUMN(1, AXES_CELL, length_mean, "length_mean", SG_H5_F64, SG_NEED_ALWAYS, 0, "tokens",
           "estimated completion length, mean of the parsed samples", NO_FLAGS),
    COLUMN(1, AXES_CELL, length_sd, "length_sd", SG_H5_F64, SG_NEED_ALWAYS, 0, "tokens",
           "standard deviation of the samples' lengths (n - 1; 0 for one sample)", NO_FLAGS),
    COLUMN(2, AXES_CELL, p_se, "p_se", SG_H5_F64, SG_NEED_OPTIONAL, 0, "1",
           "standard error of p_correct: the spread of its samples, shrunk to that of all cells; stratified draws err less",
           NO_FLAGS),
    COLUMN(2, AXES_CELL, length_se, "length_se", SG_H5_F64, SG_NEED_OPTIONAL, 0, "tokens",
           "standard error of length_mean, likewise", NO_FLAGS),
    COLUMN(1, AXES_CELL, cost, "cost", SG_H5_F64, SG_NEED_ALWAYS, 0, "USD",
           "estimated cost of the call: prompt_tokens and length_mean at the model's prices, and request_price", NO_FLAGS),
    COLUMN(1, AXES_CELL, prompt_tokens, "prompt_tokens", SG_H5_I32, SG_NEED_ALWAYS, -1, "tokens",
           "prompt tokens of the query as the model bills them (-1 unknown)", NO_FLAGS, MISSING),
    COLUMN(1, AXES_CELL, prompt_source, "prompt_source", SG_H5_U8, SG_NEED_OPTIONAL, SG_PROMPT_COUNTED, NULL,
           "where prompt_tokens come from: measured usage of the outcomes, or the estimator's tokenizer",
           FLAGS(yes_no, "measured counted")),
    COLUMN(1, AXES_CELL, output_tokens, "output_tokens", SG_H5_I64, SG_NEED_ALWAYS, 0, "tokens",
           "tokens the estimator wrote for this cell, all samples", NO_FLAGS),
    COLUMN(1, AXES_CELL, status, "status", SG_H5_I32, SG_NEED_OPTIONAL, -1, NULL, "why the cell failed",
           FLAGS(status_codes, status_names)),

    COLUMN(1, AXES_CELL, true_correct, "true_correct", SG_H5_I8, SG_NEED_TRUTH, -1, NULL,
           "whether the model's answer was correct", FLAGS(yes_no, "incorrect correct"), MISSING),
    COLUMN(3, AXES_CELL, true_score, "true_score", SG_H5_F64, SG_NEED_SCORE, 0, "1",
           "what the model's answer was worth, 0 to 1; true_correct says whether that counts as correct", NO_FLAGS),
    COLUMN(1, AXES_CELL, true_length, "true_length", SG_H5_F64, SG_NEED_TRUTH, 0, "tokens",
           "completion tokens of the model's answer", NO_FLAGS),
    COLUMN(1, AXES_CELL, true_cost, "true_cost", SG_H5_F64, SG_NEED_TRUTH, 0, "USD", "cost of the model's answer", NO_FLAGS),

    COLUMN(1, AXES_CELL, knn_correct, "knn_correct", SG_H5_F64, SG_NEED_OPTIONAL, 0, "1",
           "baseline: correctness (graded: score) of the 6 nearest anchors, weights similarity^2", NO_FLAGS),
    COLUMN(1, AXES_CELL, knn_length, "knn_length", SG_H5_F64, SG_NEED_OPTIONAL, 0, "tokens",
           "baseline: completion length of the 6 nearest anchors, weights similarity^2", NO_FLAGS),
    COLUMN(1, AXES_CELL, anchor_correct, "anchor_correct", SG_H5_F64, SG_NEED_OPTIONAL, 0, "1",
           "baseline: mean correctness (graded: score) of the model on the anchors of the query's category", NO_FLAGS),
    COLUMN(1, AXES_CELL, anchor_length, "anchor_length", SG_H5_F64, SG_NEED_OPTIONAL, 0, "tokens",
           "baseline: mean completion length of the model on the anchors of the query's category", NO_FLAGS),
    COLUMN(2, AXES_QUERY, similarity, "similarity", SG_H5_F64, SG_NEED_OPTIONAL, 0, "1",
           "mean similarity of the query to the anchors of its prompts", NO_FLAGS),

    COLUMN(1, AXES_SAMPLE, sample_correct, "sample_correct", SG_H5_I8, SG_NEED_ALWAYS, -1, NULL, "the sample's answer",
           FLAGS(yes_no, "no yes"), MISSING),
    COLUMN(1, AXES_SAMPLE, sample_length, "sample_length", SG_H5_I64, SG_NEED_ALWAYS, -1, "tokens",
           "completion length the sample predicts (-1 unparsed)", NO_FLAGS, MISSING),
    COLUMN(1, AXES_SAMPLE, sample_p_yes, "sample_p_yes", SG_H5_F32, SG_NEED_ALWAYS, 0, "1",
           "probability of yes at the sample's answer", NO_FLAGS),
    COLUMN(1, AXES_SAMPLE, sample_tokens, "sample_tokens", SG_H5_I32, SG_NEED_ALWAYS, 0, "tokens",
           "tokens the estimator wrote", NO_FLAGS),
    COLUMN(1, AXES_SAMPLE, sample_finish, "sample_finish", SG_H5_U8, SG_NEED_ALWAYS, 0, NULL, "why the sample ended",
           FLAGS(finish_codes, finish_names + 1)),

    COLUMN(2, AXES_ANCHOR, anchors.correct, "correct", SG_H5_I8, SG_NEED_ALWAYS, -1, NULL,
           "whether the model's answer to the anchor was correct", FLAGS(yes_no, "incorrect correct"), MISSING),
    COLUMN(3, AXES_ANCHOR, anchors.score, "score", SG_H5_F64, SG_NEED_SCORE, 0, "1",
           "what the model's answer to the anchor was worth, 0 to 1", NO_FLAGS),
    COLUMN(2, AXES_ANCHOR, anchors.completion_tokens, "completion_tokens", SG_H5_I32, SG_NEED_ALWAYS, -1, "tokens",
           "completion tokens of the model's answer to the anchor (-1 unknown)", NO_FLAGS, MISSING),
    COLUMN(2, AXES_ANCHOR, anchors.prompt_tokens, "prompt_tokens", SG_H5_I32, SG_NEED_ALWAYS, -1, "tokens",
           "prompt tokens of the anchor as the model billed them (-1 unknown)", NO_FLAGS, MISSING),
};
/* clang-format on */
const int sg__n_columns = COUNT(sg__columns);

enum sg_status sg__results_sizes(int64_t n_queries, int64_t n_models, int64_t n_samples, struct sg_err *err) {
    int64_t cells, all;
    if (n_queries < 1 || n_models < 1 || n_samples < 0 ||
        __builtin_mul_overflow(n_queries, n_models, &cells) ||
        __builtin_mul_overflow(cells, n_samples + 1, &all) || all > INT64_MAX / 16)
        return sg_fail(err, SG_E_INPUT, "a grid of %lld queries x %lld models x %lld samples is not possible",
                       (long long)n_queries, (long long)n_models, (long long)n_samples);
    return SG_OK;
}

enum sg_status sg__column_zeros(struct sg_results *r, const struct sg__column *c, struct sg_err *err) {
    void *p = NULL;
    enum sg_status st =
        sg_new(&p, (size_t)sg__column_len(r, c), sg_h5_type_bytes(c->var.type), c->var.name, err);
    if (st == SG_OK) sg__column_set(r, c, p);
    return st;
}

enum sg_status sg__column_new(struct sg_results *r, const struct sg__column *c, struct sg_err *err) {
    const int64_t n = sg__column_len(r, c);
    enum sg_status st = sg__column_zeros(r, c, err);
    if (st != SG_OK) return st;
    void *p = sg__column_data(r, c);
    switch (c->var.type) {
    case SG_H5_F64:
        for (int64_t i = 0; i < n; i++) ((double *)p)[i] = NAN;
        break;
    case SG_H5_F32:
        for (int64_t i = 0; i < n; i++) ((float *)p)[i] = NAN;
        break;
    case SG_H5_I32:
        for (int64_t i = 0; i < n; i++) ((int32_t *)p)[i] = c->fill;
        break;
    case SG_H5_I64:
        for (int64_t i = 0; i < n; i++) ((int64_t *)p)[i] = c->fill;
        break;
    case SG_H5_I8:
    case SG_H5_U8:
        memset(p, c->fill, (size_t)n);
        break;
    default:
        SG_ASSERT(c->var.type == SG_H5_F64); /* no column has another type */
    }
    return SG_OK;
}

/* changes - what differs between two results files on the same queries and models, cell by cell: estimates,
 * verdicts, lengths, prices, settings. */
#ifndef SG_ANALYSIS_CHANGES_H
#define SG_ANALYSIS_CHANGES_H

#include "analysis.h"

/* Second less first, over the cells that both have an estimate for. Intervals: 95 %, over the queries, from the
 * resamples of everything else. */
struct sg_changes {
    int64_t cells, known; /* known: of them with a truth */
    double p_mean_abs, p_largest;
    double length_first, length_mean_abs; /* tokens; length_first: the first file's mean */
    int64_t verdicts;                     /* cells on the other side of p_correct = 0.5 */
    struct sg_value p, length;
    struct sg_value brier, auc; /* over the known cells; NaN without */
};
enum sg_status sg__changes(const struct sg_dataset *a, const struct sg_dataset *b,
                           const struct sg_analysis_options *opt, struct sg_changes *out, struct sg_err *err);

/* A model in the second file against the first: means over the queries both have an estimate for. Cost is told
 * at the first file's prices, so that a change of price is no drift; prices are compared by themselves. */
struct sg_drift {
    int64_t n;
    double before, after;       /* means; of prices the prices, USD per million tokens, or a call */
    struct sg_value difference; /* mean difference, 95 % by Student's t; of prices without interval */
    double p_value,
        holm; /* two-sided paired t; after Holm (1979) over all models and quantities of the file; NaN of prices */
    bool moved; /* holm < 0.05; of prices: it is another price */
};
enum {
    SG_DRIFT_CORRECT,
    SG_DRIFT_LENGTH,
    SG_DRIFT_COST,
    SG_DRIFT_PRICE_INPUT,
    SG_DRIFT_PRICE_OUTPUT,
    SG_DRIFT_PRICE_CALL,
    SG_DRIFTS
};
extern const char *const sg_drift_name[SG_DRIFTS];
/* out: [models][SG_DRIFTS], the caller's. */
enum sg_status sg__drifts(const struct sg_dataset *a, const struct sg_dataset *b, struct sg_drift *out,
                          struct sg_err *err);

/* Holm's adjusted p-values of p[0..n) (NaN left out) into out. */
enum sg_status sg_holm(const double *p, int64_t n, double *out, struct sg_err *err);

/* The settings of two jobs (JSON texts) that differ and that results depend on: "sampling.seed: 1 -> 2, ...", ""
 * for none; *out is the arena's. Cells are matched by ids, wherever files lie. */
enum sg_status sg__settings_changed(const char *job_a, const char *job_b, struct sg_arena *arena, char **out,
                                    struct sg_err *err);

#endif

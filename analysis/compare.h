/* compare - several results files on what they have in common, each against the first. The files hold the
 * same grid with other settings (what does a setting of a sweep change?) or one portfolio on several
 * nights (drift: whose estimates changed by more than noise?). */
#ifndef SG_ANALYSIS_COMPARE_H
#define SG_ANALYSIS_COMPARE_H

#include "changes.h"
#include "nights.h"

enum { SG_COMPARE_BUDGETS = 3 };

/* One file, on the common queries and models. Differences: this file less the first, paired over queries. */
struct sg_compared {
    const char *path, *name;             /* borrowed */
    struct sg_quality quality;           /* of SCOPE's estimates; n = 0 without truth */
    double accuracy[SG_COMPARE_BUDGETS]; /* realised (without truth: predicted) at the budgets */
    struct sg_value accuracy_difference[SG_COMPARE_BUDGETS];
    double aiq;
    double sample_tokens; /* tokens the estimator wrote a cell: what the setting costs */
    /* against the first file; empty for itself */
    const char *settings; /* what differs between the jobs */
    bool
        another_seed; /* sampling.seed alone differs: what changes is noise, a yardstick for other settings */
    struct sg_changes changes;
    const char *new_models, *gone_models; /* with commas; not compared */
    int64_t new_queries, gone_queries;
};

struct sg_comparison {
    int32_t n_files, n_models;
    int64_t n_queries;
    bool truth;
    double
        budget[SG_COMPARE_BUDGETS]; /* 25, 50 and 100 % of the best single model's cost in the first file */
    struct sg_compared *file;       /* [n_files] */
    struct sg_drift *drift;         /* [n_files][n_models][SG_DRIFTS]; the first file's are empty */
    const char **model;             /* [n_models], borrowed */
    struct sg_nights nights;        /* what is advised: the caller adds it, sg_comparison_free frees it */
    struct sg_arena strings;
};

/* data[n_files] are cut down to what all have in common (models by id, queries by id with a valid cell in
 * every file). SG_E_INPUT when nothing is. */
enum sg_status sg_compare(struct sg_dataset *data, int32_t n_files, const struct sg_analysis_options *opt,
                          struct sg_comparison *out, struct sg_err *err);
void sg_comparison_free(struct sg_comparison *c);

#endif

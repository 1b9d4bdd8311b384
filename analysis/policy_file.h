/* policy_file - a policy as a file: which model answers which query. */
#ifndef SG_ANALYSIS_POLICY_FILE_H
#define SG_ANALYSIS_POLICY_FILE_H

#include "dataset.h"

/* Who answers query q of a dataset: model[i] with weight[i], i from first[q] to before first[q + 1]. */
struct sg_given_policy {
    int64_t n; /* queries */
    int64_t *first;
    int32_t *model;
    double *weight;
    double *share; /* [m] of the queries */
};

/* Reads a CSV file with the columns query, model and, where it has them, weight (1 without) and ask, in any order,
 * others ignored: what policies.csv is when it holds one ask. Queries of the results file that the dataset left out
 * are skipped. SG_E_INPUT, with the line: an unknown id, with the nearest; weights of a query that do not sum to 1;
 * a query of the dataset that has no row; more than one ask. Owned by the caller (sg_given_policy_free). */
enum sg_status sg_given_policy_read(const char *path, const struct sg_dataset *d, struct sg_given_policy *out,
                                    struct sg_err *err);
/* Model k's share of query q. */
double sg_given_policy_share(const struct sg_given_policy *p, int64_t q, int32_t k);
void sg_given_policy_free(struct sg_given_policy *p); /* zeroed accepted */

#endif

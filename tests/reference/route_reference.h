/* route_reference - the two-stage router of the reference scripts on the reference's own files, to the
 * letter: same decisions, accuracy and total cost. */
#ifndef SG_REFERENCE_ROUTE_REFERENCE_H
#define SG_REFERENCE_ROUTE_REFERENCE_H

#include "base/mem.h"
#include "base/status.h"
#include <stdint.h>

struct sg_route_files {
    const char *selection;  /* {"questions": [{"question_id", "all_models": [{"model", "predicted",
                               "ground_truth"}]}]} */
    const char *similarity; /* [{"router_id", "similar_anchors": [{"anchor_id", "similarity"}]}], most similar
                               first */
    const char *anchors;    /* {anchor id: {model: {"is_correct", "cost"}}} */
    const char *portfolio;  /* [{"id", ...}]: the models */
};

struct sg_route_curve {
    int64_t n_alphas, n_queries; /* queries without an anchor are dropped */
    int64_t n_dropped;
    double *alpha, *accuracy, *total_cost; /* [n_alphas] */
    const char **selected;                 /* [n_alphas * n_queries] model ids, strings in `strings` */
    const char **query;                    /* [n_queries] */
    struct sg_arena strings;
};

/* Errors name file and place. *out is owned by the caller. */
enum sg_status sg_route_reference(const struct sg_route_files *files, int64_t n_alphas,
                                  struct sg_route_curve *out, struct sg_err *err);
void sg_route_curve_free(struct sg_route_curve *c);

/* The command `route-reference`. */
enum sg_status sg_route_reference_main(int argc, char **argv, struct sg_err *err);

#endif

/* plan_memory - what the plan's arrays live in, shared by plan.c, plan_fingerprint.c, plan_pack.c and
 * plan_query.c only. */
#ifndef SG_JOB_PLAN_MEMORY_H
#define SG_JOB_PLAN_MEMORY_H

#include "job/plan.h"

/* sg_plan.memory points to this. Group 0 holds all anchors, the others the anchors of one category. */
struct sg__plan_memory {
    void *block;                      /* all public arrays */
    int64_t *anchor_bytes;            /* [n_anchors] bytes of the question that a prompt shows */
    int32_t *query_group;             /* [n_rows]: of its category, 0 when no anchor has that */
    int32_t *anchor_group;            /* [n_anchors] */
    int32_t *twin;                    /* [n_anchors]: the next anchor with the same text, in a circle */
    struct sg_unknown_model *unknown; /* what sg_plan.unknown points to */
    int64_t n_groups;
    /* [n_groups * n_models] known outcomes, and their sums, out of which one is taken; all but those of graded
     * scores are whole numbers */
    int64_t *group_count;
    double *group_correct, *group_length;
};

/* Makes p->memory and points the public arrays into one zeroed block, from n_queries, n_anchors, n_models,
 * n_calibration, n_params, top_k; sets n_rows and n_cells. On failure p->memory is freed by sg_plan_free as usual. */
enum sg_status sg__plan_alloc(struct sg_plan *p, struct sg_err *err);

/* Fills everything in sg__plan_memory that follows from the public arrays. */
enum sg_status sg__plan_derive(struct sg_plan *p, struct sg_err *err);

/* Fills p->cell_fingerprint and p->fingerprint; needs sg__plan_alloc's arrays filled and derived. */
enum sg_status sg__plan_fingerprint(struct sg_plan *p, const struct sg_plan_inputs *in, struct sg_err *err);

#endif

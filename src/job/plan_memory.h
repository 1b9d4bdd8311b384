/* plan_memory - what the plan's arrays live in, shared by plan.c, plan_fingerprint.c, plan_pack.c and
 * plan_query.c only. */
#ifndef SG_JOB_PLAN_MEMORY_H
#define SG_JOB_PLAN_MEMORY_H

#include "job/plan.h"

/* sg_plan.memory points to this. Group 0 holds all anchors, the others the anchors of one category. */
struct sg__plan_memory {
    void *block;                      /* all public arrays */
    int64_t *anchor_bytes;            /* [n_anchors] bytes of the question that a prompt shows */
    int32_t *query_group;             /* [n_queries]: of its category, 0 when no anchor has that */
    struct sg_unknown_model *unknown; /* what sg_plan.unknown points to */
    int64_t n_groups;
    double *group_correct, *group_length; /* [n_groups * n_models] means of known outcomes; NaN: none */
};

/* Makes p->memory and points the public arrays into one zeroed block, from n_queries, n_anchors, n_models,
 * n_params, top_k; sets n_cells. On failure p->memory is freed by sg_plan_free as usual. */
enum sg_status sg__plan_alloc(struct sg_plan *p, struct sg_err *err);

/* Fills everything in sg__plan_memory that follows from the public arrays. */
enum sg_status sg__plan_derive(struct sg_plan *p, struct sg_err *err);

/* Fills p->cell_fingerprint and p->fingerprint; needs sg__plan_alloc's arrays filled and derived. */
enum sg_status sg__plan_fingerprint(struct sg_plan *p, const struct sg_plan_inputs *in, struct sg_err *err);

#endif

/* pick - some of a job's queries, for a look at a job before it runs. */
#ifndef SG_JOB_PICK_H
#define SG_JOB_PICK_H

#include "job/job.h"

struct sg_pick {
    int64_t n_queries, n_models; /* picked; of the portfolio, all of it */
    int64_t all_queries;
};

/* Picks at least min_queries queries, as many as give `cells` cells with the job's whole portfolio (fewer
 * where there are no more): those whose ids have the smallest hashes, in the file's order, so that they do
 * not depend on the order and a longer file mostly keeps them. Appends them to *jsonl as a queries file.
 * Errors of the job's queries and portfolio as sg_plan_build has them. */
enum sg_status sg_queries_pick(const struct sg_job *job, int64_t cells, int64_t min_queries,
                               struct sg_buf *jsonl, struct sg_pick *out, struct sg_err *err);

#endif

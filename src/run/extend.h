/* extend - more samples in the folder of a run that is done: `scope-grid run JOB --extend`, where JOB asks for more
 * samples than the run there has and differs in nothing else that changes results. What was results.h5 becomes
 * earlier.h5, from which the new run takes its cells (reuse.h); it is removed when that run is done. Root only. */
#ifndef SG_RUN_EXTEND_H
#define SG_RUN_EXTEND_H

#include "job/plan.h"
#include "rundir/rundir.h"

#include <stddef.h>

/* Where the job has sampling.cells and no sampling.others, reads it again with the number of samples that the other
 * cells have in the earlier results: those of the folder (extend), or the first of since[n_since] that is there. Else
 * leaves *job as it is: the plan says what is missing. job: of sg_job_read with these overrides. */
enum sg_status sg_extend_job(struct sg_job *job, const char *const *overrides, size_t n_overrides,
                             const char *const *since, size_t n_since, bool extend, struct sg_err *err);

/* The earlier results of the folder, earlier.h5 or else results.h5; owned by the caller. SG_E_INPUT: it has none. */
enum sg_status sg_extend_source(const char *dir, char **path, struct sg_err *err);

/* Whether the folder's run can be extended to the plan. *begun: it is the plan's. Otherwise SG_E_MISMATCH names the keys
 * other than the number of samples in which the jobs differ, or a cell that has more samples than the plan gives it, or
 * says that the run there is not done. in: what the plan was built with. */
enum sg_status sg_extend_check(const char *dir, const struct sg_plan *plan, const struct sg_plan_inputs *in,
                               bool *begun, struct sg_err *err);
/* Makes the folder ready, with the errors of sg_extend_check: nothing to do when its run is the plan's. With the folder's
 * lock held. */
enum sg_status sg_extend_begin(const char *dir, const struct sg_plan *plan, const struct sg_plan_inputs *in,
                               struct sg_err *err);

#endif

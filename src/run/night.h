/* night - the name of a night, and its place in output.dir. Root only. (jobs/nightly.sh links the newest
 * night and removes old ones.) */
#ifndef SG_RUN_NIGHT_H
#define SG_RUN_NIGHT_H

#include "base/status.h"
#include "job/job.h"
#include "rundir/rundir.h"

/* Writes the night's name: `name`, or today's date in UTC when NULL. SG_E_USAGE for a name that cannot be a
 * folder's. */
enum sg_status sg_night_name(const char *name, char out[SG_NIGHT_NAME], struct sg_err *err);

/* Replaces every {night} in job->output.dir by the night's name. */
enum sg_status sg_night_expand(struct sg_job *job, const char *night, struct sg_err *err);

#endif

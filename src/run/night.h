/* night - the name of a night, and where it stands in output.dir. Root only. (jobs/nightly.sh links the newest
 * night and removes old ones.) */
#ifndef SG_RUN_NIGHT_H
#define SG_RUN_NIGHT_H

#include "base/status.h"
#include "job/job.h"
#include "rundir/rundir.h"

/* The night's name into out: `name`, or today's date in UTC when NULL. SG_E_USAGE for what cannot stand in
 * the name of a folder. */
enum sg_status sg_night_name(const char *name, char out[SG_NIGHT_NAME], struct sg_err *err);

/* Puts the night in place of every {night} in job->output.dir. */
enum sg_status sg_night_expand(struct sg_job *job, const char *night, struct sg_err *err);

#endif

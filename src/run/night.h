/* night - runs that follow one another: the name of a night, the link to the newest results, and how many
 * old ones are kept. Root only. */
#ifndef SG_RUN_NIGHT_H
#define SG_RUN_NIGHT_H

#include "base/status.h"
#include "job/job.h"
#include "rundir/rundir.h"

/* The night's name into out: `name`, or today's date in UTC when NULL. SG_E_USAGE for what cannot stand in
 * the name of a folder. */
enum sg_status sg_night_name(const char *name, char out[SG_NIGHT_NAME], struct sg_err *err);

/* Puts the night in place of {night} in job->output.dir. *pattern, owned by the caller, is output.dir before
 * that, or NULL when it has no {night}. SG_E_INPUT when output.keep is set and there is nothing that tells
 * the nights' folders apart. */
enum sg_status sg_night_expand(struct sg_job *job, const char *night, char **pattern, struct sg_err *err);

/* Before anything is computed: SG_E_INPUT when something that is no link stands at job->output.latest. */
enum sg_status sg_latest_check(const struct sg_job *job, struct sg_err *err);
/* Makes job->output.latest (when set) point at the results of job->output.dir, whose DONE is there, unless it
 * points at newer ones. A reader finds the old or the new file at any moment. */
enum sg_status sg_latest_update(const struct sg_job *job, struct sg_err *err);

/* Removes the oldest complete runs among the folders that `pattern` can name (NULL: none) until output.keep
 * are left. Never this run, never what output.latest points at, never one that is at work or not complete,
 * never files that are not the run's own. *removed: how many. */
enum sg_status sg_nights_retire(const struct sg_job *job, const char *pattern, int64_t *removed,
                                struct sg_err *err);

#endif

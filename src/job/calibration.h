/* calibration - which anchors are also estimated as if they were queries.
 *
 * They are chosen by category. A category's share is its share of the queries, among the categories whose
 * anchors can be chosen; what that leaves over goes to the categories in the shares of the anchors that they
 * have left. Shares become whole numbers by largest remainder, ties by the category's name. Within a category
 * the anchors with the lowest hash of their id are taken: so the choice does not depend on the order of the
 * file, and an anchor that comes or goes moves at most a few others.
 *
 * Left out: anchors without an outcome of any model, those that a similarity file has no record for, and
 * those whose prompt cannot be made for every model as prompt.missing demands it. */
#ifndef SG_JOB_CALIBRATION_H
#define SG_JOB_CALIBRATION_H

#include "job/ranking.h"

/* Appends the chosen anchors to p's rows behind the queries, in the order of the anchors: queries, ranked and
 * calibration; sets n_calibration (on entry the room there is: as many as asked for, or all) and
 * n_calibratable. */
enum sg_status sg__calibration_choose(struct sg_plan *p, struct sg__ranker *ranker, struct sg_err *err);

#endif

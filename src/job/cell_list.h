/* cell_list - the file of sampling.cells: which cells get sampling.samples, while the others get
 * sampling.others. */
#ifndef SG_JOB_CELL_LIST_H
#define SG_JOB_CELL_LIST_H

#include "job/plan.h"

/* Fills p->listed [n_cells], 0 before, from the file of p->job.sampling.cells. A line is the id of a query, a
 * comma and the id of a model of the portfolio; either may stand in quotes, as CSV has them (RFC 4180). A first
 * line that is no cell but names the columns (query or query_id, and model or model_id) is passed over, and so
 * are empty lines. A cell may stand there twice. in_sweep: the plan is of a prefill group, which has no lists.
 * SG_E_INPUT names file and line: an unknown id, no comma, an empty list. */
enum sg_status sg__cell_list_read(struct sg_plan *p, bool in_sweep, struct sg_err *err);

#endif

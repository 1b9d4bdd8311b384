/* cell_list - the file of sampling.cells: which cells get sampling.samples, while the others get
 * sampling.others. */
#ifndef SG_JOB_CELL_LIST_H
#define SG_JOB_CELL_LIST_H

#include "job/plan.h"

/* Fills p->listed [n_cells], 0 before, from the file of p->job.sampling.cells: CSV (base/csv.h), a line the id of a query
 * and the id of a model of the portfolio. A first line that is no cell but names columns (query or query_id, and model
 * or model_id) says where they stand among others, as in cells.csv of scope-frontier. A cell may stand there twice.
 * in_sweep: the plan is of a prefill group, which has no lists. SG_E_INPUT names file and line: an unknown id, another
 * number of columns, an empty list. */
enum sg_status sg__cell_list_read(struct sg_plan *p, bool in_sweep, struct sg_err *err);

#endif
